//! How an issuing exchange can end, branch by branch. The scripts fail on any byte that they do not expect, so each test also
//! shows that nothing else was sent, and nothing twice.

use std::time::Duration;

use taxdisk_protocol::class::DeviceClass;

use super::super::vectors;
use super::script::{SILENCE, answer, device, er, host, issue_packets, many, ms, online, order, ready_disk};
use crate::disk::{DiskError, IssueAnswer, TaxDisk};
use crate::transport::ByteLine;
use crate::transport::memory::{ScriptedLine, Step};

/// Issues the invoice of vector 4 against this script, 01 put before it.
fn issue(steps: impl IntoIterator<Item = Step>) -> (IssueAnswer, ScriptedLine) {
    let (mut disk, line) = ready_disk(online().into_iter().chain(steps));
    let answer = disk.issue(&order().request());
    let last_packets = line.written().iter().filter(|frame| frame.starts_with(&[0x1B, 0x10, 0x0A, 0])).count();
    assert!(last_packets <= 1, "the last packet went out {last_packets} times");
    (answer, line)
}

fn not_sent(steps: impl IntoIterator<Item = Step>) -> DiskError {
    let (IssueAnswer::NotSent(error), line) = issue(steps) else { panic!("nothing of the last packet was written: not sent") };
    assert!(line.is_finished(), "the script was not played to its end");
    error
}

fn in_doubt(steps: impl IntoIterator<Item = Step>) -> DiskError {
    let (answer, line) = issue(steps);
    let IssueAnswer::InDoubt(error) = answer else { panic!("the last packet was begun: in doubt, but {answer:?}") };
    assert!(line.is_finished(), "the script was not played to its end");
    error
}

/// Up to and including packet `count` of vector 4, without the device's word on the last of these.
fn packets(count: usize) -> Vec<Step> {
    let mut steps = issue_packets();
    steps.truncate(count * 2 - 1);
    steps
}

fn after(count: usize, reply: Vec<u8>) -> Vec<Step> {
    let mut steps = packets(count);
    steps.push(device(reply));
    steps
}

#[test]
fn a_clean_answer_in_three_packets() {
    let (answer, line) = issue(issue_packets().into_iter().chain(many(&vectors::frames("5 answer"))));
    let IssueAnswer::Signed(signed) = answer else { panic!("{answer:?}") };
    assert_eq!(signed.pair, order().expected);
    assert!(line.is_finished());
}

#[test]
fn packets_of_any_size_make_the_same_answer() {
    let data = vectors::answer_data("5 answer");
    let count = data.chunks(84).count();
    let number = |index: usize| if index + 1 == count { 0 } else { index as u8 + 1 };
    let frames: Vec<_> = data.chunks(84).enumerate().map(|(index, part)| answer(b"OK", number(index), part)).collect();
    let (answer, _) = issue(issue_packets().into_iter().chain(many(&frames)));
    assert!(matches!(answer, IssueAnswer::Signed(_)));
}

#[test]
fn a_wrong_acknowledgement_before_the_last_packet_is_not_sent() {
    for wrong in
        [answer(b"NP", 0, &[2]), answer(b"NP", 1, &[1]), answer(b"NP", 0, &[]), answer(b"OK", 0, &[]), answer(b"OK", 1, &[1])]
    {
        assert_eq!(not_sent(after(1, wrong)).class, DeviceClass::Link);
    }
    assert_eq!(not_sent(after(2, vectors::frame("14 next 1"))).class, DeviceClass::Link);
}

#[test]
fn silence_before_the_last_packet_is_not_sent_and_after_it_in_doubt() {
    let error = not_sent(packets(1));
    assert!(error.text.contains("30 s"), "{}", error.text);
    not_sent(packets(2));
    let error = in_doubt(packets(3));
    assert!(error.text.contains("30 s"), "{}", error.text);
}

#[test]
fn link_errors_count_as_not_sent_only_before_the_last_packet() {
    for code in [0x11, 0x12, 0x1F, 0x20, 0x22, 0x30, 0x77] {
        for count in [1, 2] {
            let error = not_sent(after(count, answer(b"ER", 0, &[code])));
            assert_eq!(error.code.unwrap(), format!("ER{code:02X}"));
        }
        in_doubt(after(3, answer(b"ER", 0, &[code])));
    }
    assert_eq!(in_doubt(after(3, answer(b"ER", 0, &[0x20]))).class, DeviceClass::Unsupported);
    in_doubt(after(3, answer(b"ER", 0, &[])));
}

#[test]
fn business_errors_to_the_last_packet_stay_in_doubt_whatever_their_class() {
    for (text, class) in [
        ("JSK176:无可用发票", DeviceClass::NoStock),
        ("JSK784:开票明细中发票代码或号码与票面不一致", DeviceClass::NumberMismatch),
        ("JSK3001:与金税盘通讯异常", DeviceClass::Link),
        ("JSK240:开票异常掉电造成发票明细混乱", DeviceClass::DeviceFault),
        ("JSK89:未找到指定发票明细", DeviceClass::InvalidRequest),
        ("正数发票金额不能为零", DeviceClass::InvalidRequest),
        ("什么", DeviceClass::DeviceFault),
    ] {
        assert_eq!(in_doubt(after(3, er(text))).class, class, "{text}");
        assert_eq!(not_sent(after(2, er(text))).class, class, "{text}");
    }
}

#[test]
fn busy_answers_start_the_wait_again_at_any_packet() {
    let busy = |count| (0..count).map(|_| Step::Reply(Duration::from_secs(29), vectors::frame("13 busy")));
    let mut steps = packets(1);
    steps.extend(busy(3));
    steps.extend(issue_packets().split_off(1));
    steps.extend(busy(5));
    steps.extend(many(&vectors::frames("5 answer")));
    let (answer, line) = issue(steps);
    assert!(matches!(answer, IssueAnswer::Signed(_)), "{answer:?}");
    assert!(line.now() > Duration::from_secs(8 * 29));
}

#[test]
fn a_storm_of_busy_answers_ends() {
    let storm = |every, count| (0..count).map(move |_| Step::Reply(every, vectors::frame("13 busy")));
    let (answer, line) = issue(packets(3).into_iter().chain(storm(Duration::from_secs(10), 100)));
    let IssueAnswer::InDoubt(error) = answer else { panic!("{answer:?}") };
    assert!(error.text.contains("busy"), "{}", error.text);
    assert!(line.now() < Duration::from_secs(200));
    let (answer, line) = issue(packets(3).into_iter().chain(storm(Duration::ZERO, 10_000)));
    let IssueAnswer::InDoubt(error) = answer else { panic!("{answer:?}") };
    assert!(error.text.contains("busy") && !line.is_finished(), "{}", error.text);
    let (answer, _) = issue(packets(1).into_iter().chain(storm(Duration::from_secs(10), 100)));
    assert!(matches!(answer, IssueAnswer::NotSent(_)), "{answer:?}");
}

#[test]
fn damaged_foreign_and_echoed_answers_are_in_doubt() {
    let mut damaged = vectors::frames("5 answer")[0].clone();
    damaged[100] ^= 1;
    assert!(in_doubt(after(3, damaged)).text.contains("checksum"));
    let noise = in_doubt(after(3, vec![0xFF, 0x00]));
    assert!(noise.text.contains("FF 00"), "{}", noise.text);
    // Not all of an echo is read: the rest is dropped before the next command.
    let (answer, _) = issue(after(3, vectors::frames("4 request")[2].clone()));
    let IssueAnswer::InDoubt(error) = answer else { panic!("{answer:?}") };
    assert!(error.text.contains("echo"), "{}", error.text);
    let (answer, _) = issue(after(1, vectors::frames("4 request")[0].clone()));
    assert!(matches!(answer, IssueAnswer::NotSent(_)));
}

#[test]
fn an_answer_that_breaks_off_is_in_doubt_wherever_it_does() {
    let frames = vectors::frames("5 answer");
    for bytes in [1, 2, 3, 4, 100, 254] {
        let error = in_doubt(after(3, frames[0][..bytes].to_vec()));
        assert!(error.text.contains(&format!("{bytes} bytes")), "{}", error.text);
    }
    // Two of three packets, and then nothing, or a refusal, or the wrong one.
    let two = |more: Option<Vec<u8>>| {
        let mut steps = packets(3);
        steps.extend(many(&frames).into_iter().take(4));
        steps.extend(more.map(device));
        steps
    };
    in_doubt(two(None));
    in_doubt(two(Some(er("JSK176:无可用发票"))));
    in_doubt(two(Some(answer(b"ER", 0, &[0x30]))));
    in_doubt(two(Some(frames[1].clone())));
    in_doubt(two(Some(answer(b"OK", 4, &[]))));
    in_doubt(two(Some(answer(b"NP", 0, &[3]))));
}

#[test]
fn the_wrong_size_or_kind_of_answer_is_in_doubt() {
    in_doubt(after(3, answer(b"OK", 0, &[])));
    in_doubt(after(3, answer(b"OK", 0, &[b'0'; 35])));
    in_doubt(after(3, answer(b"NP", 0, &[3])));
    let mut frames = vectors::frames("5 answer");
    let mut data = vectors::answer_data("5 answer")[..249].to_vec();
    data[..3].copy_from_slice(b"007");
    frames[0] = answer(b"OK", 1, &data);
    let error = in_doubt(issue_packets().into_iter().chain(many(&frames)));
    assert!(error.text.contains("025"), "{}", error.text);
    data[..3].copy_from_slice(b"025");
    data[3] = b'x';
    frames[0] = answer(b"OK", 1, &data);
    in_doubt(issue_packets().into_iter().chain(many(&frames)));
}

#[test]
fn another_pair_is_passed_on_for_the_caller_to_judge() {
    let mut frames = vectors::frames("5 answer");
    let mut data = vectors::answer_data("5 answer")[..249].to_vec();
    data[15..23].copy_from_slice(b"00000089");
    frames[0] = answer(b"OK", 1, &data);
    let (answer, _) = issue(issue_packets().into_iter().chain(many(&frames)));
    let IssueAnswer::Signed(signed) = answer else { panic!("{answer:?}") };
    assert_eq!(Some(signed.pair), order().expected.successor());
}

#[test]
fn one_byte_of_the_last_packet_makes_the_difference() {
    let broken = |packet: usize, step: Step| {
        let mut steps = issue_packets();
        steps.truncate((packet - 1) * 2);
        steps.push(step);
        steps
    };
    for packet in [1, 2] {
        for count in [0, 1, 200] {
            not_sent(broken(packet, Step::BreakWrite(count)));
            not_sent(broken(packet, Step::StallWrite(count)));
        }
    }
    assert_eq!(not_sent(broken(3, Step::BreakWrite(0))).class, DeviceClass::NotPresent);
    assert_eq!(not_sent(broken(3, Step::StallWrite(0))).class, DeviceClass::Link);
    assert_eq!(in_doubt(broken(3, Step::BreakWrite(1))).class, DeviceClass::NotPresent);
    assert_eq!(in_doubt(broken(3, Step::StallWrite(1))).class, DeviceClass::Link);
}

#[test]
fn unplugging_tells_the_two_sides_of_the_last_packet_apart() {
    let unplugged = |count: usize| packets(count).into_iter().chain([Step::Unplug(ms(100))]);
    not_sent(unplugged(1));
    not_sent(unplugged(2));
    assert!(in_doubt(unplugged(3)).text.contains("plug it in again"));
}

#[test]
fn a_whole_answer_counts_even_if_its_last_acknowledgement_is_lost() {
    let mut steps = issue_packets();
    steps.extend(many(&vectors::frames("5 answer")));
    steps.pop();
    steps.push(Step::BreakWrite(0));
    let (answer, _) = issue(steps);
    assert!(matches!(answer, IssueAnswer::Signed(_)), "{answer:?}");
}

#[test]
fn no_handshake_no_command() {
    for reply in [vec![], answer(b"ER", 0, &[0x30]), answer(b"OK", 0, &[1]), er("JSK4001:没有找到金税盘")] {
        let (mut disk, line) = ready_disk([host(vectors::frame("1 request")), device(reply)]);
        assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)));
        assert!(line.is_finished());
    }
}

#[test]
fn bytes_that_wait_before_the_command_stop_it() {
    let (mut disk, line) = ready_disk([]);
    // They arrive together with the handshake's answer.
    let mut reply = vectors::frame("1 answer");
    reply.extend_from_slice(&vectors::frame("3 answer"));
    line.then([host(vectors::frame("1 request")), device(reply)]);
    let IssueAnswer::NotSent(error) = disk.issue(&order().request()) else { panic!("it must not be sent") };
    assert!(error.text.contains("41 unexpected bytes"), "{}", error.text);
    // The line is not trusted until it was silent and answered.
    line.then(online());
    let before = line.now();
    disk.resync().unwrap();
    assert!(line.now() - before >= SILENCE);
}

//! The exchange without a disk: type 0x20, time limits, and a device that says anything at all.

use std::time::Duration;

use proptest::prelude::*;

use super::super::exchange::{Before, Broken, Fault, Progress, Timings, Wire};
use super::super::fields::{FieldReader, FieldWriter};
use super::super::frame::{FrameFault, FrameType, Word, acknowledgement, command_frames};
use super::super::vectors;
use super::script::{device, host, issue_packets, many, ms, online, order, ready_disk};
use crate::disk::{IssueAnswer, TaxDisk};
use crate::transport::ByteLine;
use crate::transport::memory::{ScriptedLine, Step};

/// A trusted type 0x20 line that goes on with these steps.
fn xml_wire(steps: impl IntoIterator<Item = Step>) -> (Wire<ScriptedLine>, ScriptedLine) {
    let online = command_frames(FrameType::Xml, 0x01, &[]).unwrap().remove(0);
    let line = ScriptedLine::new([host(online), device(vectors::frame("21 ok"))]);
    let mut wire = Wire::new(line.clone(), FrameType::Xml, Timings::default());
    wire.resync().unwrap();
    line.then(steps);
    (wire, line)
}

fn xml_request() -> (Vec<u8>, Step) {
    let frame = vectors::frame("23 request");
    (frame[6..frame.len() - 2].to_vec(), host(frame))
}

#[test]
fn xml_goes_there_and_back() {
    let (data, request) = xml_request();
    let (mut wire, line) = xml_wire([request, device(vectors::frame("21 busy")), device(vectors::frame("23 answer"))]);
    let answer = wire.exchange(0x08, &data, Before::Nothing).unwrap();
    assert!(answer.starts_with(b"<?xml") && answer.len() == 244);
    assert!(line.is_finished() && !wire.is_in_doubt());
}

#[test]
fn xml_errors_of_either_length_leave_the_line_quiet() {
    let (data, request) = xml_request();
    let stock = super::script::er("JSK176:无可用发票");
    let right = acknowledgement(FrameType::Xml, Word::Er, &stock[4..stock.len() - 2]);
    for frame in [vectors::frame("22 no stock"), right] {
        let (mut wire, line) = xml_wire([request.clone(), device(frame)]);
        let broken = wire.exchange(0x08, &data, Before::Nothing).unwrap_err();
        assert!(matches!(broken.fault, Fault::Refused { definite: true, .. }), "{broken:?}");
        assert!(line.is_finished() && !wire.is_in_doubt());
    }
    // The surplus byte never comes: the frame is damaged, and that is found after the gap, not after the long wait.
    let mut short = vectors::frame("22 no stock");
    short.pop();
    let (mut wire, line) = xml_wire([request, device(short)]);
    let before = line.now();
    let broken = wire.exchange(0x08, &data, Before::Nothing).unwrap_err();
    assert!(matches!(broken.fault, Fault::Cut { .. }), "{broken:?}");
    assert_eq!(line.now() - before, Duration::from_secs(3));
    assert!(wire.is_in_doubt());
}

#[test]
fn a_slow_device_is_heard_to_its_end_and_a_stopped_one_is_not_waited_for() {
    let frame = vectors::frame("3 answer");
    let dribble = |gap: u64| frame.iter().map(move |byte| Step::Reply(ms(gap), vec![*byte])).collect::<Vec<_>>();
    let run = |steps: Vec<Step>| {
        let line = ScriptedLine::new(online());
        let mut wire = Wire::new(line.clone(), FrameType::Fixed, Timings::default());
        wire.resync().unwrap();
        line.then([host(vectors::frame("3 request"))]);
        line.then(steps);
        let began = line.now();
        let request = vectors::frame("3 request");
        (wire.exchange(0x08, &request[5..request.len() - 2], Before::Nothing), line.now() - began)
    };
    let (answer, took) = run(dribble(2900));
    assert_eq!(answer.unwrap().len(), 35);
    assert_eq!(took, ms(2900) * 41);
    // The third byte comes too late.
    let (answer, took) = run(dribble(3100));
    assert!(matches!(answer, Err(Broken { fault: Fault::Cut { bytes: 2 }, .. })));
    assert_eq!(took, ms(3100 * 2 + 3000));
    // However steadily it drips, the answer as a whole is limited.
    let drip = (0..1000).map(|_| Step::Reply(ms(29_000), vectors::frame("13 busy"))).collect();
    let (answer, took) = run(drip);
    assert!(matches!(answer, Err(Broken { fault: Fault::Busy { .. }, progress: Progress::LastPacketBegun })));
    assert_eq!(took, Timings::default().answer);
}

#[test]
fn nothing_is_sent_on_a_line_in_doubt() {
    let line = ScriptedLine::default();
    let mut wire = Wire::new(line.clone(), FrameType::Fixed, Timings::default());
    let broken = wire.exchange(0x08, &[], Before::Anything).unwrap_err();
    assert_eq!(broken, Broken { progress: Progress::BeforeLastPacket, fault: Fault::Unanswered });
    assert_eq!(line.written(), Vec::<Vec<u8>>::new());
}

#[test]
fn an_echo_is_named_and_the_rest_of_it_waited_out() {
    let (data, _) = xml_request();
    let frame = vectors::frame("23 request");
    let (mut wire, line) = xml_wire([host(frame.clone()), device(frame)]);
    let broken = wire.exchange(0x08, &data, Before::Nothing).unwrap_err();
    assert_eq!(broken.fault, Fault::Frame(FrameFault::Echo));
    let online = command_frames(FrameType::Xml, 0x01, &[]).unwrap().remove(0);
    line.then([host(online), device(vectors::frame("21 ok"))]);
    wire.resync().unwrap();
    assert!(line.is_finished());
}

/// Texts of characters that every disk has.
fn gbk_text(max_chars: usize) -> impl Strategy<Value = String> {
    let character = prop_oneof![prop::char::range('!', '~'), prop::char::range('一', '龥'), Just('（'), Just('é')];
    prop::collection::vec(character, 0..max_chars).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_answers_the_last_packet_is_in_doubt(noise in prop::collection::vec(any::<u8>(), 0..80)) {
        let (mut disk, _) = ready_disk(online().into_iter().chain(issue_packets()).chain([device(noise)]));
        prop_assert!(matches!(disk.issue(&order().request()), IssueAnswer::InDoubt(_)));
    }

    #[test]
    fn whatever_answers_an_earlier_packet_is_not_sent(noise in prop::collection::vec(any::<u8>(), 0..80), packet in 1..=2_usize) {
        let mut steps = issue_packets();
        steps.truncate(packet * 2 - 1);
        let (mut disk, line) = ready_disk(online().into_iter().chain(steps).chain([device(noise)]));
        prop_assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)));
        prop_assert!(line.written().iter().all(|frame| !frame.starts_with(&[0x1B, 0x10, 0x0A, 0])));
    }

    #[test]
    fn one_wrong_byte_in_the_answer_is_in_doubt(frame in 0..3_usize, at in 0..77_usize, change in 1..=255_u8) {
        let mut frames = vectors::frames("5 answer");
        frames[frame][at] ^= change;
        // The acknowledgements are those for a good answer: the host may stop, but not write anything else.
        let (mut disk, _) = ready_disk(online().into_iter().chain(issue_packets()).chain(many(&frames)));
        prop_assert!(matches!(disk.issue(&order().request()), IssueAnswer::InDoubt(_)));
    }

    #[test]
    fn texts_come_back_as_they_were_written(first in gbk_text(10), second in gbk_text(40)) {
        let mut writer = FieldWriter::new();
        writer.text("a", &first, 20).text("b", &second, 80);
        let data = writer.finish().unwrap();
        let mut reader = FieldReader::exact(&data, 100).unwrap();
        prop_assert_eq!(reader.text(20), first);
        prop_assert_eq!(reader.text(80), second);
    }
}

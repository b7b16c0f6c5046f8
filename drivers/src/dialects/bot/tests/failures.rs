//! Every point at which an issuing command can fail: the verdict, and that it was sent once, whatever happened.

use taxdisk_protocol::class::DeviceClass;

use super::double::{At, Bench, Double, Twist, What, bench, known_disk};
use crate::dialects::bot::BotDisk;
use crate::dialects::nisec::document::samples;
use crate::disk::{DiskError, IssueAnswer, TaxDisk};
use crate::transport::usb::UsbError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Signed,
    NotSent,
    InDoubt,
}

fn timeout(moved: Option<usize>) -> What {
    What::FailsEarly(UsbError::Timeout { moved })
}

fn io_late() -> What {
    What::FailsLate(UsbError::Io { detail: "x".to_owned() })
}

fn io_early() -> What {
    What::FailsEarly(UsbError::Io { detail: "x".to_owned() })
}

fn issue(disk: &mut BotDisk<Double>) -> (Verdict, Option<DiskError>) {
    let order = samples::order();
    match disk.issue(&order.request()) {
        IssueAnswer::Signed(signed) => {
            assert_eq!(signed.pair, order.expected);
            (Verdict::Signed, None)
        }
        IssueAnswer::NotSent(error) => (Verdict::NotSent, Some(error)),
        IssueAnswer::Refused(error) => panic!("a bus has no exchange of its own for a command: {error}"),
        IssueAnswer::InDoubt(error) => (Verdict::InDoubt, Some(error)),
    }
}

/// One fault; the verdict; then the disk is plugged in again and brought back, and still nothing was sent twice.
fn check(at: At, what: What, verdict: Verdict, executed: usize) {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.arm(at, what.clone());
    let (found, error) = issue(&mut disk);
    assert_eq!(found, verdict, "{at:?} {what:?}: {error:?}");
    assert!(bench.state().faults.is_empty(), "{at:?} {what:?} did not happen");
    assert_eq!(bench.tried(0x7E), 1, "{at:?} {what:?}");
    assert_eq!(bench.executed("FPKJ"), executed, "{at:?} {what:?}");
    if !bench.state().plugged {
        bench.replug();
    }
    disk.resync().unwrap();
    disk.stock(samples::order().kind).unwrap();
    // Only the question for the stock has joined it.
    assert_eq!((bench.tried(0x7E), bench.executed("FPKJ")), (2, executed), "{at:?} {what:?}");
}

#[test]
fn before_the_last_packet_nothing_was_sent() {
    for what in [What::Stall, timeout(None), timeout(Some(0)), io_early(), io_late(), What::Unplug, What::UnplugLate] {
        check(At::Block, what, Verdict::NotSent, 0);
    }
    for what in [What::Stall, timeout(None), timeout(Some(64)), io_early(), io_late(), What::Unplug, What::UnplugLate] {
        check(At::Head, what, Verdict::NotSent, 0);
    }
}

#[test]
fn in_the_last_packet_only_the_count_of_the_system_proves_that_it_was_not_sent() {
    check(At::Tail, timeout(Some(3)), Verdict::NotSent, 0);
    for what in [What::Stall, timeout(None), io_early(), What::Unplug] {
        check(At::Tail, what, Verdict::InDoubt, 0);
    }
    check(At::Tail, What::UnplugLate, Verdict::InDoubt, 1);
}

#[test]
fn an_answer_to_our_own_token_is_good_whatever_became_of_the_status() {
    check(At::Tail, io_late(), Verdict::Signed, 1);
    check(At::Status, What::Stall, Verdict::Signed, 1);
    for what in [timeout(Some(0)), io_early(), What::FailsEarly(UsbError::Stall), What::FailsEarly(UsbError::Overflow)] {
        check(At::Status, what, Verdict::Signed, 1);
    }
    let bad: [fn(&mut Vec<u8>); 6] =
        [|csw| csw.truncate(12), |csw| csw[0] = b'X', |csw| csw[4] ^= 1, |csw| csw[11] = 1, |csw| csw[12] = 2, |csw| csw[8] = 1];
    for change in bad {
        check(At::Status, What::Bytes(change), Verdict::Signed, 1);
    }
}

#[test]
fn a_refusal_after_the_last_byte_is_doubt() {
    check(At::Status, What::Bytes(|csw| csw[12] = 1), Verdict::InDoubt, 1);
    for (sense, class) in [
        ((2, 4, 7), DeviceClass::InProgress),
        ((5, 0x26, 0), DeviceClass::Duplicate),
        ((0x0B, 0x47, 3), DeviceClass::Link),
        ((5, 0x24, 0), DeviceClass::Unsupported),
    ] {
        let bench = bench();
        let mut disk = known_disk(&bench);
        bench.state().refuse_sends = Some(sense);
        let (verdict, error) = issue(&mut disk);
        assert_eq!((verdict, error.unwrap().class), (Verdict::InDoubt, class));
        assert_eq!((bench.tried(0x7E), bench.executed("FPKJ")), (1, 0));
    }
}

#[test]
fn unplugged_after_the_last_byte_is_doubt() {
    check(At::Status, What::Unplug, Verdict::InDoubt, 1);
    check(At::FetchBlock, What::Unplug, Verdict::InDoubt, 1);
    check(At::FetchData, What::Unplug, Verdict::InDoubt, 1);
    check(At::FetchStatus, What::Unplug, Verdict::InDoubt, 1);
}

#[test]
fn a_fetch_that_fails_is_asked_again() {
    for at in [At::FetchBlock, At::FetchData, At::FetchStatus] {
        for what in [What::Stall, timeout(Some(0)), io_early()] {
            check(at, what, Verdict::Signed, 1);
        }
    }
    let bad: [fn(&mut Vec<u8>); 4] = [|data| data.truncate(10), |data| data[0] = b'X', |data| data[7] ^= 1, |data| data[20] ^= 1];
    for change in bad {
        check(At::FetchData, What::Bytes(change), Verdict::Signed, 1);
    }
}

fn twisted(twist: Twist) -> (Bench, Verdict, DiskError) {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.state().twist = twist;
    let (verdict, error) = issue(&mut disk);
    assert_eq!((bench.tried(0x7E), bench.executed("FPKJ")), (1, 1), "{twist:?}");
    (bench, verdict, error.unwrap())
}

#[test]
fn lost_unknown_damaged_and_foreign_answers_are_doubt() {
    for twist in [Twist::Lost, Twist::Unknown, Twist::WrongChecksum, Twist::WrongToken] {
        let (bench, verdict, error) = twisted(twist);
        assert_eq!(verdict, Verdict::InDoubt, "{twist:?} {error:?}");
        // The number of questions is bounded.
        assert!(bench.state().fetched.len() < 20, "{twist:?}");
    }
}

#[test]
fn an_answer_in_crumbs_is_given_up() {
    let (bench, verdict, _) = twisted(Twist::Crumbs);
    assert_eq!(verdict, Verdict::InDoubt);
    assert!(bench.state().fetched.len() < 400, "{}", bench.state().fetched.len());
}

#[test]
fn busy_until_the_limit_is_doubt_and_the_next_call_waits_for_its_end() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.state().twist = Twist::AlwaysBusy;
    let began = bench.state().now;
    let (verdict, error) = issue(&mut disk);
    assert_eq!((verdict, error.unwrap().class), (Verdict::InDoubt, DeviceClass::InProgress));
    assert_eq!((bench.state().now - began).as_secs(), 30);
    // It does not end: nothing else is sent, and it is said so.
    assert_eq!(disk.resync().unwrap_err().class, DeviceClass::InProgress);
    assert_eq!(disk.stock(samples::order().kind).unwrap_err().class, DeviceClass::InProgress);
    assert_eq!(bench.state().tried.len(), 1, "nothing goes out while the disk is at an older command");
    bench.state().twist = Twist::None;
    disk.resync().unwrap();
    assert_eq!(bench.tried(0x7E), 1);
}

#[test]
fn busy_for_a_while_is_waited_for() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.state().busy_questions = 10;
    let began = bench.state().now;
    assert_eq!(issue(&mut disk).0, Verdict::Signed);
    assert_eq!((bench.state().now - began).as_millis(), 20 + 10 * 100);
}

#[test]
fn the_pair_that_the_device_refuses_is_read_before_anything_is_concluded() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.say("FPKJ", samples::refusal("FPKJ", "10315", "当前号码不符"));
    let (verdict, error) = issue(&mut disk);
    assert_eq!((verdict, error.unwrap().class), (Verdict::InDoubt, DeviceClass::NumberMismatch));
}

#[test]
fn refusals_in_the_words_of_the_device_are_doubt() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.refuse("FPKJ", 0, "JSK176:无可用发票");
    let (verdict, error) = issue(&mut disk);
    assert_eq!((verdict, error.unwrap().class), (Verdict::InDoubt, DeviceClass::NoStock));
    bench.refuse("FPKJ", 0x20, "");
    let (verdict, error) = issue(&mut disk);
    assert_eq!((verdict, error.unwrap().class), (Verdict::InDoubt, DeviceClass::Unsupported));
    bench.say("FPKJ", b"<business>".to_vec());
    assert_eq!(issue(&mut disk).0, Verdict::InDoubt);
}

#[test]
fn another_pair_is_told_as_it_is_and_the_disk_is_asked_anew() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.say("FPKJ", samples::answer("FPKJ", &samples::SIGNED.replace("00000088", "00000087")));
    let order = samples::order();
    let IssueAnswer::Signed(signed) = disk.issue(&order.request()) else { panic!("told") };
    assert_ne!(signed.pair, order.expected);
    let asked = bench.state().fetched.len();
    disk.handshake().unwrap();
    assert_eq!(bench.state().fetched[asked], 0, "the disk is asked what it is at");
}

#[test]
fn a_request_that_does_not_fit_or_is_for_another_disk_is_not_sent() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    let mut order = samples::order();
    order.invoice.clerk = "很长的名字很长的名字很长的名字".to_owned();
    assert!(matches!(disk.issue(&order.request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::InvalidRequest));
    let mut order = samples::order();
    order.seller.disk = "661500000002".parse().unwrap();
    assert!(matches!(disk.issue(&order.request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::NotPresent));
    assert_eq!(bench.tried(0x7E), 0);
}

#[test]
fn an_exchanged_disk_gets_nothing() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.say("02", b"661500000002".to_vec());
    bench.state().plugged = false;
    assert!(disk.handshake().is_err());
    bench.replug();
    // The transport comes back with the other disk, and a handshake with it is good.
    disk.handshake().unwrap();
    let (verdict, error) = issue(&mut disk);
    assert_eq!((verdict, error.unwrap().class), (Verdict::NotSent, DeviceClass::NotPresent));
    assert_eq!(bench.tried(0x7E), 0);
}

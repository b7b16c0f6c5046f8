//! What every fault does to the line and, by the ledger, to the disk.

use super::*;
use crate::sim::config::Segment;
use crate::sim::faults::{Direction, FaultKind, ForeignContent, ForeignTime, When};
use crate::sim::ledger::Origin;

/// A device with one fault; 0A is sent; gives the bench and what was heard at once.
fn issue_with(kinds: &[FaultKind]) -> (Bench, Vec<u8>) {
    let mut bench = Bench::new();
    for kind in kinds {
        bench.fault(Fault::once(kind.clone()));
    }
    let heard = bench.command(&issue());
    (bench, heard)
}

/// After a fault: the line is silent, works again, and the fault is used up.
fn recovered(bench: &mut Bench, issued: usize) {
    bench.wait(3_500);
    bench.assert_alive();
    assert_eq!(bench.entries().len(), issued);
    assert!(bench.faults.waiting().is_empty());
}

fn refuse(jsk: u32, when: When) -> FaultKind {
    FaultKind::Refuse { jsk: Some(jsk), text: None, when }
}

#[test]
fn an_answer_is_lost_after_or_before_signing() {
    let (mut bench, heard) = issue_with(&[FaultKind::LoseAnswerAfterSigning]);
    assert_eq!(heard, b"");
    recovered(&mut bench, 1);
    let (mut bench, heard) = issue_with(&[FaultKind::LoseAnswerBeforeSigning]);
    assert_eq!(heard, b"");
    recovered(&mut bench, 0);
    // The next one is as if nothing had been.
    assert_eq!(bench.command(&issue()), vector("5.1"));
}

#[test]
fn wt_storms_come_before_or_after_executing() {
    let storm = |when| FaultKind::WtStorm { count: 3, interval_ms: 500, when };
    let (mut bench, heard) = issue_with(&[storm(When::Before)]);
    assert_eq!(heard, b"");
    assert_eq!(bench.wait(1_499), vector("13.1").repeat(2));
    assert!(bench.entries().is_empty());
    assert_eq!(bench.wait(1), [vector("13.1"), vector("5.1")].concat());
    assert_eq!(bench.entries().len(), 1);
    let (mut bench, _) = issue_with(&[storm(When::After)]);
    assert_eq!(bench.entries().len(), 1);
    assert_eq!(bench.wait(1_500), [vector("13.1").repeat(3), vector("5.1")].concat());
    assert_eq!(bench.device.counters().wt_sent, 3);
    assert_eq!(bench.whole_answer(vector("5.1")).len(), 569, "the host may go on as if nothing had been");
}

#[test]
fn damaged_refused_and_disturbed_answers() {
    let (mut bench, heard) = issue_with(&[FaultKind::CrcError]);
    assert_eq!(heard[..253], vector("5.1")[..253]);
    assert_ne!(heard, vector("5.1"));
    recovered(&mut bench, 1);
    let (mut bench, heard) = issue_with(&[FaultKind::RefuseCrc { packet: None }]);
    assert_eq!(heard, vector("12.1"));
    recovered(&mut bench, 0);
    let (mut bench, heard) = issue_with(&[FaultKind::Garbage { hex: "00FF4F".to_owned() }]);
    assert_eq!(heard, [vec![0, 0xFF, 0x4F], vector("5.1")].concat());
    recovered(&mut bench, 1);
    let (mut bench, heard) = issue_with(&[FaultKind::Echo]);
    assert_eq!(heard, [vector("4.3"), vector("5.1")].concat());
    recovered(&mut bench, 1);
}

#[test]
fn a_packet_of_a_command_is_refused_or_swallowed() {
    let mut bench = Bench::new();
    bench.fault(Fault::once(FaultKind::RefuseCrc { packet: Some(2) }));
    bench.send(&issue()[0]);
    assert_eq!(bench.send(&issue()[1]), vector("12.1"));
    assert_eq!(bench.send(&issue()[2]), error_text("JSK3003:接口输入参数错"), "a lone last packet is a command of its own");
    recovered(&mut bench, 0);
    let mut bench = Bench::new();
    bench.fault(Fault::once(FaultKind::BreakAfterPacket { packet: 1, direction: Direction::Command }));
    assert_eq!(bench.send(&issue()[0]), b"");
    assert_eq!(bench.send(&issue()[1]), b"");
    recovered(&mut bench, 0);
}

#[test]
fn a_long_answer_breaks_after_a_packet() {
    for (packet, names) in [(1, vec!["5.1"]), (2, vec!["5.1", "5.2"])] {
        let (mut bench, mut heard) = issue_with(&[FaultKind::BreakAfterPacket { packet, direction: Direction::Answer }]);
        for (number, name) in (1..).zip(names) {
            assert_eq!(heard, vector(name));
            heard = bench.send(&host_answer(b"NP", &[number]));
        }
        assert_eq!(heard, b"");
        recovered(&mut bench, 1);
    }
}

#[test]
fn an_answer_trickles_or_is_late() {
    let (mut bench, heard) = issue_with(&[FaultKind::Split { delay_ms: 10 }]);
    assert_eq!(heard, vector("5.1")[..1]);
    assert_eq!(bench.wait(2_530), vector("5.1")[1..254]);
    assert_eq!(bench.wait(10), vector("5.1")[254..]);
    assert_eq!(bench.whole_answer_split(), 569);
    for (when, at_once) in [(When::Before, 0), (When::After, 1)] {
        let (mut bench, heard) = issue_with(&[FaultKind::Stall { ms: 40_000, when }]);
        assert_eq!((heard.as_slice(), bench.entries().len()), (b"".as_slice(), at_once));
        assert_eq!(bench.wait(39_999), b"");
        assert_eq!(bench.wait(1), vector("5.1"));
        recovered(&mut bench, 1);
    }
}

impl Bench {
    /// The rest of an answer whose packets trickle with 10 ms a byte; gives the number of data bytes with the first packet's.
    fn whole_answer_split(&mut self) -> usize {
        let mut count = 249;
        for number in [1, 2] {
            let mut frame = self.send(&host_answer(b"NP", &[number]));
            frame.extend(self.wait(2_600));
            assert_eq!(frame.len(), usize::from(frame[3]) + 2);
            count += frame.len() - 6;
        }
        count
    }
}

#[test]
fn a_line_that_died_is_silent_until_it_is_plugged_in_again() {
    let (mut bench, heard) = issue_with(&[FaultKind::DieMidFrame { after_bytes: 7 }]);
    assert_eq!(heard, vector("5.1")[..7]);
    bench.wait(60_000);
    assert_eq!(bench.send(&vector("1.1")), b"");
    assert!(bench.device.is_dead());
    assert_eq!(bench.device.wake_at(), None);
    bench.device.line_lost();
    bench.device.line_back();
    recovered(&mut bench, 1);
}

#[test]
fn refusals_before_signing_use_no_number() {
    let cases = [
        (FaultKind::OutOfStock, "JSK176:无可用发票"),
        (FaultKind::Locked { jsk: 702 }, "JSK702:金税卡处于锁死期,不能开票"),
        (FaultKind::ClockFault, "JSK506:金税卡时钟异常"),
        (FaultKind::WrongPassword, "JSK237:操作员口令错误"),
        (refuse(784, When::Before), "JSK784:开票明细中发票代码或号码与票面不一致"),
        (FaultKind::Refuse { jsk: None, text: Some("别的".to_owned()), when: When::Before }, "别的"),
    ];
    for (kind, text) in cases {
        let (mut bench, heard) = issue_with(&[kind]);
        assert_eq!(heard, error_text(text));
        recovered(&mut bench, 0);
    }
}

#[test]
fn errors_after_signing_hide_an_invoice() {
    for jsk in [784, 120, 121, 240, 3001] {
        let (mut bench, heard) = issue_with(&[refuse(jsk, When::After)]);
        assert!(heard.starts_with(b"ER"), "{jsk}");
        recovered(&mut bench, 1);
        let heard = bench.send(&vector("7.1"));
        assert_eq!(bench.whole_answer(heard).len(), 1086, "{jsk}: the query finds it");
    }
    // What the disk itself refused is not misreported.
    let mut bench = Bench::new();
    bench.disk.configure(|config| config.state.locked = Some(21)).unwrap();
    bench.fault(Fault::once(refuse(784, When::After)));
    assert_eq!(bench.command(&issue()), error_text("JSK21:金税盘由于未报税锁死,不能开票"));
}

#[test]
fn wrong_passwords_cost_tries_until_locked() {
    let mut bench = Bench::new();
    bench.fault(Fault::once(FaultKind::WrongPassword).on(0x08).times(5));
    for _ in 0..4 {
        assert_eq!(bench.send(&vector("3.1")), error_text("JSK237:操作员口令错误"));
    }
    assert_eq!(bench.send(&vector("3.1")), error_text("JSK238:操作员锁死"));
    assert_eq!(bench.send(&vector("3.1")), error_text("JSK238:操作员锁死"), "the right one does not help any more");
    assert_eq!(bench.command(&issue()), error_text("JSK238:操作员锁死"));
    assert!(bench.entries().is_empty());
}

#[test]
fn another_program_takes_the_number_first() {
    let same = |remark: Option<&str>| FaultKind::ForeignIssue {
        at: ForeignTime::BeforeIssue,
        content: ForeignContent::SameAsNext(remark.map(str::to_owned)),
    };
    let (bench, heard) = issue_with(&[same(Some("mark of another"))]);
    assert_eq!(&heard[19..27], b"00000089");
    let (theirs, ours) = (&bench.entries()[0], &bench.entries()[1]);
    assert_eq!((theirs.origin, ours.origin), (Origin::Foreign, Origin::Host));
    assert_eq!((&theirs.lines, &theirs.buyer_name, theirs.gross), (&ours.lines, &ours.buyer_name, ours.gross));
    assert_eq!((theirs.remark.as_str(), ours.remark.as_str()), ("mark of another", ""));
    // With our own command lost, only the foreign one stands under the expected number.
    let (mut bench, heard) = issue_with(&[same(None), FaultKind::LoseAnswerAfterSigning, FaultKind::OutOfStock]);
    assert_eq!(heard, b"");
    recovered(&mut bench, 1);
    assert_eq!(bench.entries()[0].origin, Origin::Foreign);
    // Right after the stock was read.
    let mut bench = Bench::new();
    bench.fault(Fault::once(FaultKind::ForeignIssue { at: ForeignTime::AfterStock, content: ForeignContent::default() }));
    assert_eq!(bench.send(&vector("3.1")), vector("3.2"));
    assert_eq!(bench.entries()[0].buyer_name, "个人");
    assert_eq!(&bench.command(&issue())[19..27], b"00000089");
}

#[test]
fn the_pair_jumps_to_a_new_roll() {
    let mut config = SimConfig::of_the_vectors();
    config.segments.push(Segment { code: "011002000108".parse().unwrap(), ..config.segments[0].clone() });
    let mut bench = Bench::with(config, ZcOptions::default());
    bench.fault(Fault::once(FaultKind::RollJump { kind: None }));
    let heard = bench.command(&issue());
    assert_eq!(&bench.whole_answer(heard)[3..23], b"01100200010800000088");
    assert_eq!(&bench.send(&vector("3.1"))[7..31], b"01100200010800000089912\0");
}

#[test]
fn the_power_goes_between_signing_and_saving_or_before() {
    let cut = |when| FaultKind::PowerCut { when, off_ms: 1_000 };
    let (mut bench, heard) = issue_with(&[cut(When::After)]);
    assert_eq!(heard, b"");
    assert_eq!(bench.wait(999), b"");
    assert_eq!(bench.send(&vector("1.1")), b"", "still off");
    recovered(&mut bench, 1);
    assert!(!bench.entries()[0].saved);
    let heard = bench.send(&vector("7.1"));
    assert_eq!(bench.whole_answer(heard).len(), 1086, "a query by number finds what was not saved");
    let (mut bench, heard) = issue_with(&[cut(When::Before)]);
    assert_eq!(heard, b"");
    recovered(&mut bench, 0);
}

#[test]
fn faults_work_in_pairs() {
    let storm = FaultKind::WtStorm { count: 2, interval_ms: 0, when: When::After };
    let (mut bench, heard) = issue_with(&[storm.clone(), FaultKind::LoseAnswerAfterSigning]);
    assert_eq!(heard, vector("13.1").repeat(2));
    recovered(&mut bench, 1);
    let (mut bench, heard) = issue_with(&[storm, refuse(784, When::After)]);
    assert_eq!(heard, [vector("13.1").repeat(2), vector("20.1")].concat());
    recovered(&mut bench, 1);
    let (mut bench, heard) =
        issue_with(&[FaultKind::CrcError, FaultKind::Split { delay_ms: 1 }, FaultKind::Garbage { hex: "1B".to_owned() }]);
    assert_eq!(heard, [0x1B, b'O']);
    let rest = bench.wait(254);
    assert_eq!((rest.len(), &rest[..252]), (254, &vector("5.1")[1..253]));
    assert_ne!(rest[253], vector("5.1")[254]);
}

#[test]
fn pulling_the_cable_does_not_stop_a_signature_but_the_power_does() {
    for (power_too, issued) in [(false, 1), (true, 0)] {
        let mut bench = Bench::new();
        bench.disk.configure(|config| config.issue_time_ms = 500).unwrap();
        assert_eq!(bench.command(&issue()), b"");
        assert!(bench.wait(499).is_empty() && bench.device.is_working() && bench.entries().is_empty());
        bench.device.line_lost();
        if power_too {
            bench.device.power_cut(bench.now);
        }
        assert_eq!(bench.wait(100), b"");
        bench.device.line_back();
        bench.assert_alive();
        recovered(&mut bench, issued);
    }
    // Plugged in again while it still works: the old answer comes to the new client.
    let mut bench = Bench::new();
    bench.disk.configure(|config| config.issue_time_ms = 500).unwrap();
    bench.command(&issue());
    bench.device.line_lost();
    bench.device.line_back();
    assert_eq!(bench.wait(500), vector("5.1"));
}

#[test]
fn a_command_repeated_into_a_busy_device_runs_twice() {
    let mut bench = Bench::new();
    bench.disk.configure(|config| config.issue_time_ms = 500).unwrap();
    bench.command(&issue());
    let again: Vec<u8> = packets(0x0A, &data_of(&issue())).concat();
    assert_eq!(bench.send(&vector("1.1")), b"", "half duplex: it works");
    let heard = bench.wait(500);
    assert_eq!(heard, vector("5.1"));
    bench.wait(4_000);
    assert_eq!(bench.entries().len(), 1, "what came in place of an acknowledgement is dropped");
    bench.send(&again[..255]);
    bench.send(&again[255..510]);
    bench.send(&again[510..]);
    bench.wait(500);
    assert_eq!(bench.entries().len(), 2, "the device knows no repeats");
}

#[test]
fn while_it_sends_it_obeys_nothing() {
    let mut bench = Bench::new();
    bench.fault(Fault::once(FaultKind::Split { delay_ms: 10 }));
    let mut heard = bench.send(&vector("1.1"));
    bench.send(&vector("1.1"));
    assert_eq!(bench.device.counters().commands["01"], 1);
    heard.extend(bench.wait(50));
    assert_eq!(heard, [vector("1.2"), vector("1.2")].concat());
    assert_eq!(bench.device.counters().commands["01"], 2);
}

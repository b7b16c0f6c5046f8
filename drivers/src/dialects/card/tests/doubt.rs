//! F2 at every point of failure: what is not sent, what is in doubt, and what the card's own record settles. Whatever happens,
//! F2 goes out at most once.

use std::time::Duration;

use taxdisk_protocol::class::DeviceClass;

use super::super::CardDisk;
use super::super::files::{DAY, IDENTITY, ROLL};
use super::super::frame::{RequestType, request_frame};
use super::script::{
    CODE, after, answer, ask, before, day, device, f2, hex, host, identity, issued, order, power_on, prepared, read, ready,
    record, roll, selected, status,
};
use crate::disk::{IssueAnswer, TaxDisk};
use crate::transport::ByteLine;
use crate::transport::memory::{ScriptedLine, Step};

/// Silence, a proof of the line, and EF03 again.
fn settled(day: &[u8]) -> Vec<Step> {
    [selected(DAY), record(day)].concat()
}

fn again() -> Step {
    ask(RequestType::Again)
}

/// F2 with these steps after it.
fn issue(steps: impl IntoIterator<Item = Step>) -> (IssueAnswer, CardDisk<ScriptedLine>, ScriptedLine) {
    let (mut disk, line) = ready(prepared().into_iter().chain([host(&f2())]).chain(steps));
    let outcome = disk.issue(&order().request());
    assert_eq!(issued(&line), 1, "F2 goes out once");
    (outcome, disk, line)
}

fn assert_doubt(outcome: &IssueAnswer) {
    assert!(matches!(outcome, IssueAnswer::InDoubt(_)), "{outcome:?}");
}

fn assert_signed(outcome: &IssueAnswer) {
    let IssueAnswer::Signed(signed) = outcome else { panic!("{outcome:?}") };
    assert_eq!((signed.pair.to_string().as_str(), signed.fiscal_code.as_str()), ("1100200010 00000089", "01234605616436508552"));
}

#[test]
fn an_answer_that_was_got_again_counts_only_with_the_cards_record() {
    for start in [0x50, 0x05] {
        let got = || device(answer(start, 0xFA, &CODE, 0x9000));
        let (outcome, _, line) = issue([again(), got()].into_iter().chain(settled(&after())));
        assert_signed(&outcome);
        assert!(line.is_finished());
        // The second asking is answered.
        let (outcome, ..) = issue([again(), again(), got()].into_iter().chain(settled(&after())));
        assert_signed(&outcome);
        // The record shows the number before, another code, or cannot be read.
        let (outcome, ..) = issue([again(), got()].into_iter().chain(settled(&before())));
        assert_doubt(&outcome);
        let (outcome, ..) = issue([again(), got()].into_iter().chain(settled(&day(6, 33_900, 89, [9; 8]))));
        assert_doubt(&outcome);
        let (outcome, ..) = issue([again(), got()].into_iter().chain(settled(&day(7, 45_200, 90, CODE))));
        assert_doubt(&outcome);
    }
    // A stale answer of the invoice before: its code is in the record, its number is not ours.
    let stale = hex("0123456789ABCDEF");
    let (outcome, ..) = issue([again(), device(answer(0x50, 0xFA, &stale, 0x9000))].into_iter().chain(settled(&before())));
    assert_doubt(&outcome);
    // A refusal that was got again is no refusal of this command, and not a proof either.
    let (outcome, ..) = issue([again(), device(answer(0x50, 0xFA, &[], 0x9401))].into_iter().chain(settled(&before())));
    assert_doubt(&outcome);
    let (outcome, ..) = issue([again(), device(answer(0x50, 0xFA, &[], 0x9401))].into_iter().chain(settled(&after())));
    assert_signed(&outcome);
}

#[test]
fn without_any_answer_the_record_decides() {
    let lost = || [again(), again()].into_iter();
    let (outcome, _, line) = issue(lost().chain(settled(&after())));
    assert_signed(&outcome);
    assert!(line.is_finished());
    let (outcome, ..) = issue(lost().chain(settled(&before())));
    assert!(matches!(&outcome, IssueAnswer::InDoubt(error) if error.text.contains("did not move")), "{outcome:?}");
    // A new day begins a new record.
    let mut fresh = day(1, 11_300, 89, CODE);
    fresh[3] = 0x03;
    let (outcome, ..) = issue(lost().chain(settled(&fresh)));
    assert_signed(&outcome);
    // Our number, but not our invoice: another count, another sum, another index, a spoiled one.
    let mut other_index = day(6, 22_600, 89, CODE);
    other_index[20..24].copy_from_slice(&11_300_u32.to_be_bytes());
    let mut spoiled = day(5, 22_600, 89, CODE);
    spoiled[9] = 1;
    for record in [day(7, 33_900, 89, CODE), day(6, 33_901, 89, CODE), day(6, 33_900, 90, CODE), other_index, spoiled] {
        let (outcome, ..) = issue(lost().chain(settled(&record)));
        assert_doubt(&outcome);
    }
}

#[test]
fn everything_before_the_first_byte_is_not_sent() {
    let steps = prepared();
    // Each answer in turn stays away, is damaged, or is a refusal.
    for at in (1..steps.len()).step_by(2) {
        for instead in [None, Some(device(b"noise".to_vec())), Some(status(0x6F00)), Some(device(hex("0502F6FD")))] {
            let mut script: Vec<Step> = steps[..at].to_vec();
            script.extend(instead);
            let (mut disk, line) = ready(script);
            assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)), "step {at}");
            assert_eq!(issued(&line), 0);
        }
    }
    let (mut disk, line) = ready(prepared().into_iter().chain([Step::BreakWrite(0)]));
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)));
    assert_eq!(line.written().iter().filter(|frame| frame.len() > 50).count(), 0);
    // Something waits on the line just before F2.
    let mut script = prepared();
    script.push(device(vec![0x05]));
    let (mut disk, line) = ready(script);
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)));
    assert_eq!(issued(&line), 0);
}

#[test]
fn a_write_that_breaks_off_is_settled_by_the_record() {
    let whole = request_frame(RequestType::Apdu, &f2().bytes).len();
    for (written, record, signed) in [(1, before(), false), (whole - 1, before(), false), (whole - 1, after(), true)] {
        let steps = prepared().into_iter().chain([Step::BreakWrite(written)]);
        // The line is opened again; the card is switched on again.
        let steps = steps.chain(power_on()).chain(selected(DAY)).chain(super::script::record(&record));
        let (mut disk, line) = ready(steps);
        let outcome = disk.issue(&order().request());
        assert_eq!(matches!(outcome, IssueAnswer::Signed(_)), signed, "{written} {outcome:?}");
        assert!(signed || matches!(outcome, IssueAnswer::InDoubt(_)));
        assert_eq!(issued(&line), 1);
    }
    // Another card is there afterwards: whatever its record shows is not about this invoice.
    let mut other = identity();
    other[9] = 0;
    let steps = prepared().into_iter().chain([Step::BreakWrite(whole - 1)]).chain(power_on());
    let (mut disk, line) = ready(steps.chain(selected(DAY)).chain(read(IDENTITY, &other)));
    assert_doubt(&disk.issue(&order().request()));
    assert!(line.is_finished() && issued(&line) == 1);
    // Unplugged right after it, and nothing answers any more.
    let steps = prepared().into_iter().chain([host(&f2()), Step::Unplug(Duration::ZERO), ask(RequestType::PowerOn)]);
    let (mut disk, line) = ready(steps);
    let outcome = disk.issue(&order().request());
    assert!(matches!(&outcome, IssueAnswer::InDoubt(error) if error.class == DeviceClass::NotPresent), "{outcome:?}");
    assert_eq!(issued(&line), 1);
}

#[test]
fn hostile_readers_end_in_doubt() {
    let bad_sum = || {
        let mut frame = answer(0x05, 0x50, &CODE, 0x9000);
        *frame.last_mut().unwrap() ^= 1;
        device(frame)
    };
    let echo = || device(request_frame(RequestType::Apdu, &f2().bytes));
    let babble = || device(vec![0xAA; 1024 * 1024]);
    let endless = || device(vec![0x05; 1024 * 1024]);
    let cut = || device(answer(0x05, 0x50, &CODE, 0x9000)[..9].to_vec());
    let wrong_type = || device(answer(0x05, 0x52, &CODE, 0x9000));
    let short = || device(answer(0x05, 0x50, &CODE[..7], 0x9000));
    let cases: [(&str, Vec<Step>); 6] = [
        ("sum", thrice(&bad_sum)),
        ("echo", thrice(&echo)),
        ("babble", once(&babble)),
        ("endless", once(&endless)),
        ("cut", thrice(&cut)),
        ("type", thrice(&wrong_type)),
    ];
    for (name, steps) in cases {
        let (outcome, ..) = issue(steps.into_iter().chain(settled(&before())));
        assert!(matches!(outcome, IssueAnswer::InDoubt(_)), "{name}: {outcome:?}");
    }
    // A good frame without a whole code: no more is asked for, the record decides.
    let (outcome, _, line) = issue([short()].into_iter().chain(record(&before())));
    assert_doubt(&outcome);
    assert!(line.is_finished());
    let (outcome, ..) = issue([short()].into_iter().chain(record(&after())));
    assert_signed(&outcome);
}

fn thrice(reply: &dyn Fn() -> Step) -> Vec<Step> {
    vec![reply(), again(), reply(), again(), reply()]
}

fn once(reply: &dyn Fn() -> Step) -> Vec<Step> {
    vec![reply(), again(), again()]
}

#[test]
fn a_reader_that_drips_is_not_waited_for_for_ever() {
    // A frame of 255 bytes, one each 2.9 s: each byte is in time, the whole is not.
    let drip = [vec![0x05, 0xFF]].into_iter().chain((0..250).map(|_| vec![0x50]));
    let drip = drip.map(|bytes| Step::Reply(Duration::from_millis(2900), bytes));
    let (mut disk, line) = ready(prepared().into_iter().chain([host(&f2())]).chain(drip));
    line.then([again(), again()]);
    let began = line.now();
    assert_doubt(&disk.issue(&order().request()));
    assert!(line.now() - began < Duration::from_secs(60), "{:?}", line.now() - began);
    assert_eq!(issued(&line), 1);
}

#[test]
fn a_late_answer_is_never_taken_for_that_of_another_command() {
    // The answer to F2 comes during the silence; the record that is read afterwards is the card's.
    let late = Step::Reply(Duration::from_millis(500), hex("050C501122334455667788900055"));
    let (outcome, mut disk, line) = issue([again(), again(), late].into_iter().chain(settled(&after())));
    // It met the second asking, whose answer it is not.
    assert_signed(&outcome);
    assert!(line.is_finished());
    line.then(read(IDENTITY, &identity()).into_iter().chain(read(ROLL, &roll())).chain(read(DAY, &after())));
    assert_eq!(disk.stock(order().kind).unwrap().current.number.value(), 90);
}

#[test]
fn a_card_that_hangs_is_switched_off_and_on_and_its_record_decides() {
    let steps = [again(), again()].into_iter();
    // Silence, no answer to the proof of the line, silence, off, on.
    let steps = steps.chain([host(&super::super::apdu::select::by_id(DAY.id))]);
    let steps = steps.chain([ask(RequestType::PowerOff), device(hex("0502535A"))]).chain(power_on());
    let steps = steps.chain(selected(DAY)).chain(record(&after()));
    let (outcome, _, line) = issue(steps);
    assert_signed(&outcome);
    assert!(line.is_finished());
}

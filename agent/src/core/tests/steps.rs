//! The small pieces alone, in what no whole world comes to: one step of an attempt, one verdict over one survey.

use std::collections::BTreeSet;
use std::sync::Arc;

use taxdisk_drivers::disk::{DiskError, IssueAnswer, Signed, Stock};
use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::link::{AttemptRef, AttemptResult, OpenAttempt};
use taxdisk_protocol::number::NumberPair;

use super::fake::{FakeDisk, KIND, pair, pair_on};
use super::scenarios::repeated;
use super::world::{key, parse};
use crate::core::Context;
use crate::core::attempt::{Attempt, Step};
use crate::core::compare::Open;
use crate::core::effect::{Answer, Effect, Request, Trouble};
use crate::core::records::{Base, Outcome, Owner, Record};
use crate::core::settle::{self, Decision, Rules};
use crate::core::walk::Survey;
use crate::journal::memory::Memory;

const RULES: Rules = Rules { fence: Fence::Ordered, mark_readable: true, exclusive: false, ledger_since: 0 };

fn disk_number() -> taxdisk_protocol::ids::DiskNumber {
    "661234567890".parse().unwrap()
}

fn request(serial: &str, marked: bool) -> Arc<Request> {
    let mut assignment = repeated(&AttemptRef { key: key(serial), attempt: 1 }, 1);
    assignment.mark = assignment.mark.filter(|_| marked);
    Arc::new(Request::parse(&assignment, parse).unwrap())
}

fn open(request: &Arc<Request>, expected: Option<NumberPair>) -> Open {
    Open {
        attempt: request.assignment.attempt.clone(),
        epoch: 1,
        sequence: 1,
        kind: KIND,
        request: Some(Arc::clone(request)),
        mark: request.assignment.mark.clone(),
        expected,
        named: None,
        signed: None,
        begun: expected.is_some(),
        doubt: None,
        ended: false,
        again: false,
        disk_ms: 0,
    }
}

/// These numbers were read, and these bases known.
fn survey(disk: &mut FakeDisk, opens: &[Open], bases: Vec<Base>, read: &[NumberPair]) -> Survey {
    let plan = settle::plan(KIND, opens, bases);
    let stock = disk.stock().unwrap();
    let numbers = read.iter().map(|pair| (*pair, disk.query(*pair, &plan.against).unwrap())).collect();
    let (current, remaining) = (Some(stock.current), stock.remaining);
    Survey { plan, current, remaining, numbers, known: BTreeSet::new(), cut: false, readings: Vec::new() }
}

fn decide(survey: &Survey, opens: &[Open], rules: Rules) -> Decision {
    decide_knowing(survey, opens, rules, &Memory::default())
}

fn decide_knowing(survey: &Survey, opens: &[Open], rules: Rules, journal: &Memory) -> Decision {
    settle::decide(survey, opens, rules, None, &disk_number(), journal)
}

fn first_reading(answer: Result<Stock, Trouble>) -> Step {
    let (mut attempt, effect) = Attempt::start(request("A1", true), 1);
    assert_eq!(effect, Effect::Stock(KIND));
    let view = Memory::default();
    let context = Context { now_ms: 0, heard_ms: Some(0), at: "2026-03-02T10:15:30Z", view: &view };
    attempt.on(Answer::Stock(answer), &[Base::Last(pair(9))], true, &disk_number(), &context)
}

#[test]
fn a_disk_without_blanks_and_one_that_was_not_read_are_two_things() {
    let class_of = |step: &Step| match step {
        Step::Clean(AttemptResult::NotIssued { class, code, .. }, None) => Some((*class, code.clone())),
        _ => None,
    };
    let current = pair(10);
    let none_left = first_reading(Ok(Stock { current, remaining: 0 }));
    assert_eq!(class_of(&none_left), Some((DeviceClass::NoStock, None)));
    let error = |class| Trouble::Disk(DiskError { class, code: Some("E".into()), text: "t".into(), tries_left: None });
    let told = first_reading(Err(error(DeviceClass::NoStock)));
    assert_eq!(class_of(&told), Some((DeviceClass::NoStock, Some("E".into()))));
    for class in [DeviceClass::Link, DeviceClass::Locked] {
        assert_eq!(first_reading(Err(error(class))), Step::Unread(error(class)), "nothing was written for it");
    }
    assert!(matches!(first_reading(Ok(Stock { current, remaining: 1 })), Step::Do(Effect::Write(_))), "the last one is used");
}

/// The accounted number is read to show that the disk finds anything. On an `exclusive` disk an equal invoice would be adopted.
#[test]
fn i10_the_accounted_number_is_nobodys_new_invoice() {
    let request = request("A1", false);
    let (old, new) = ("011002000106", "011002000107");
    let mut same = FakeDisk::new(9, 99);
    same.foreign("个人", "10.00");
    let mut other = FakeDisk::default();
    other.rolls.push_back((pair_on(old, 99), 99));
    other.rolls.push_back((pair_on(new, 10), 99));
    other.foreign("个人", "10.00");
    // It never began, as far as is known; and it began on the next roll.
    for (disk, last, expected) in [(&mut same, pair(9), None), (&mut other, pair_on(old, 99), Some(pair_on(new, 10)))] {
        let opens = [open(&request, expected)];
        let survey = survey(disk, &opens, vec![Base::Last(last)], &[last, pair(10)]);
        let decision = decide(&survey, &opens, Rules { exclusive: true, ..RULES });
        let proven = matches!(decision.results[..], [AttemptResult::NotIssued { .. } | AttemptResult::GivenBack { .. }]);
        assert!(proven, "{expected:?}: {:?}", decision.results);
    }
}

/// Two attempts were open: the mark of one stands on the disk, and an equal invoice beside it may be the other's.
#[test]
fn i10_a_number_that_may_be_an_open_attempts_is_entered_for_nobody() {
    let (marked, unmarked) = (request("A1", true), request("A2", false));
    let mut disk = FakeDisk::used(10, 99);
    assert!(matches!(disk.issue(&marked).unwrap(), IssueAnswer::Signed(_)));
    disk.foreign("个人", "10.00");
    let opens = [open(&marked, Some(pair(10))), open(&unmarked, Some(pair(10)))];
    let survey = survey(&mut disk, &opens, vec![Base::Last(pair(9))], &[pair(9), pair(10), pair(11), pair(12)]);
    let decision = decide(&survey, &opens, RULES);
    assert!(matches!(&decision.results[0], AttemptResult::Issued { pair: found, .. } if *found == pair(10)));
    assert!(matches!(&decision.results[1], AttemptResult::Unsettled { .. }), "{:?}", decision.results);
    let entered: Vec<_> = decision.accounts.entries.iter().map(|entry| (entry.pair, entry.owner.clone())).collect();
    assert_eq!(entered, [(pair(10), Owner::Ours(opens[0].attempt.clone()))]);
}

fn results(disk: &mut FakeDisk, opens: &[Open], rules: Rules, upto: u32) -> Vec<AttemptResult> {
    let read: Vec<NumberPair> = (9..=upto).map(pair).collect();
    let survey = survey(disk, opens, vec![Base::Last(pair(9))], &read);
    decide(&survey, opens, rules).results
}

fn issued_as(result: &AttemptResult) -> Option<u32> {
    match result {
        AttemptResult::Issued { pair: found, .. } => (10..20).find(|number| pair(*number) == *found),
        _ => None,
    }
}

#[test]
fn of_two_open_attempts_each_has_what_is_proven_to_be_its_own() {
    let (first, second) = (request("A1", true), request("A2", true));
    let mut disk = FakeDisk::used(10, 99);
    disk.issue(&first).unwrap();
    disk.issue(&second).unwrap();
    let opens = [open(&first, Some(pair(10))), open(&second, Some(pair(10)))];
    let both = results(&mut disk, &opens, RULES, 12);
    assert_eq!(both.iter().map(issued_as).collect::<Vec<_>>(), [Some(10), Some(11)]);
    // Two attempts of one job carry one mark: it does not say which of them it was.
    let again = Open { attempt: AttemptRef { attempt: 2, ..opens[0].attempt.clone() }, ..opens[0].clone() };
    let neither = results(&mut disk, &[opens[0].clone(), again], RULES, 12);
    assert!(neither.iter().all(|result| matches!(result, AttemptResult::Unsettled { .. })), "{neither:?}");
    // Without marks: the answer that one of them heard, of this very number, proves it; the other one's content is equal.
    let (first, second) = (request("A1", false), request("A2", false));
    let mut disk = FakeDisk::used(10, 99);
    let IssueAnswer::Signed(signed) = disk.issue(&first).unwrap() else { panic!("it signs") };
    let heard = Open { signed: Some(signed), ..open(&first, Some(pair(10))) };
    let proven = results(&mut disk, &[heard, open(&second, Some(pair(10)))], RULES, 11);
    assert!(issued_as(&proven[0]) == Some(10) && matches!(proven[1], AttemptResult::Unsettled { .. }), "{proven:?}");
}

/// At first contact there is no invoice to find. Where one is known to be there, one that is not found shows that nothing is.
#[test]
fn i3_an_absence_proves_nothing_where_a_known_invoice_was_not_found() {
    let request = request("A1", true);
    for (known, proven) in [(false, true), (true, false)] {
        let mut journal = Memory::default();
        if known {
            let (disk, owner) = (disk_number(), Owner::Foreign);
            journal.append(&[Record::Owned { disk, kind: KIND, pair: pair(9), owner, reverses: None }]).unwrap();
        }
        let opens = [open(&request, Some(pair(10)))];
        let survey = survey(&mut FakeDisk::new(10, 99), &opens, vec![Base::From(pair(10))], &[pair(9), pair(10)]);
        let decision = decide_knowing(&survey, &opens, RULES, &journal);
        assert_eq!(matches!(decision.results[0], AttemptResult::NotIssued { .. }), proven, "{:?}", decision.results);
    }
}

fn outcome(request: &Request, sequence: u64, result: AttemptResult) -> Outcome {
    Outcome {
        attempt: request.assignment.attempt.clone(),
        disk: disk_number(),
        kind: KIND,
        epoch: 1,
        sequence,
        content_hash: None,
        mark: None,
        expected: Some(pair(10)),
        undoing: None,
        result,
        at: String::new(),
    }
}

/// What the broker lists is read from where the journal knows that it began, if it is the same assignment. What was said of it
/// when it ended unsettled is kept.
#[test]
fn an_attempt_is_looked_for_from_where_it_began() {
    let request = request("A1", true);
    let unsettled = AttemptResult::Unsettled { class: DeviceClass::Locked, text: "t".to_owned() };
    for (sequence, expected) in [(1, Some(pair(10))), (2, None)] {
        let mut journal = Memory::default();
        journal.append(&[Record::Outcome(outcome(&request, sequence, unsettled.clone()))]).unwrap();
        let (assignment, agent) = (request.assignment.clone(), "ag_0000000000000001".parse().unwrap());
        let listed = OpenAttempt { assignment, epoch: 1, agent, expected: None, named: None };
        let open = Open::listed(&listed, &journal, parse);
        assert_eq!((open.expected, open.begun), (expected, expected.is_some()), "sequence {sequence}");
    }
    let open = Open::unsettled(outcome(&request, 1, unsettled)).unwrap();
    assert_eq!(open.doubt.map(|doubt| (doubt.class, doubt.text)), Some((DeviceClass::Locked, "t".to_owned())));
    assert!(open.again && open.expected == Some(pair(10)));
    let given_back = AttemptResult::GivenBack { text: String::new() };
    assert_eq!(Open::unsettled(outcome(&request, 1, given_back)), None, "that one is decided");
}

/// Without a mark an equal invoice is proven only by the answer that this attempt heard: its number and its fiscal code.
#[test]
fn i10_an_answer_proves_an_invoice_by_number_and_fiscal_code() {
    let request = request("A1", false);
    let mut disk = FakeDisk::used(10, 99);
    let IssueAnswer::Signed(signed) = disk.issue(&request).unwrap() else { panic!("it signs") };
    let (number, code) = (signed.pair, signed.fiscal_code.clone());
    let heard = [(number, code.as_str(), true), (number, "other", false), (number, "", false), (pair(11), code.as_str(), false)];
    for (number, code, proven) in heard {
        let signed = Some(Signed { pair: number, fiscal_code: code.to_owned(), ..signed.clone() });
        let result = results(&mut disk, &[Open { signed, ..open(&request, Some(pair(10))) }], RULES, 11).remove(0);
        assert_eq!(issued_as(&result), proven.then_some(10), "{number} {code:?}: {result:?}");
    }
}

//! The table of states and events, and random lives against a tiny model.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::api::{Fault, JobProblem, SettleDecision};
use crate::printed::Printed;
use crate::undo::LinkState;

fn pair(number: u32) -> NumberPair {
    format!("011002000107 {number:08}").parse().unwrap()
}

fn invoice() -> IssuedInvoice {
    IssuedInvoice {
        code: "011002000107".to_owned(),
        number: "00000007".to_owned(),
        issued_at: String::new(),
        fiscal_code: String::new(),
        signature: String::new(),
        printed: Printed::default(),
        disk: "661234567890".to_owned(),
    }
}

fn problem() -> JobProblem {
    JobProblem { code: "disk_refused".to_owned(), fault: Fault::Request, class: None, text: String::new() }
}

fn accepted() -> What {
    What::Accepted {
        key: JobKey { seller: "911101080000000007".parse().unwrap(), serial: "A1".parse().unwrap() },
        operation: Operation::Issue,
        kind: InvoiceKind::Roll,
        issue_point: None,
        priority: Priority::Bulk,
        original: None,
        about: None,
        invoice: Some(InvoiceBody::default()),
        hash: "h1".to_owned(),
        fields: Fields::default(),
        mark: None,
        place: 1,
        trace: None,
    }
}

fn assigned(attempt: u32) -> What {
    What::Assigned {
        attempt,
        disk: "661234567890".parse().unwrap(),
        agent: "ag_0123456789abcdef".parse().unwrap(),
        epoch: u64::from(attempt),
        sequence: u64::from(attempt),
    }
}

fn started(attempt: u32) -> What {
    What::Started { attempt, epoch: u64::from(attempt), expected: pair(7) }
}

fn issued(attempt: u32, settled: bool) -> What {
    What::Issued { attempt, epoch: u64::from(attempt), invoice: invoice(), expected: None, settled, disk_ms: 1 }
}

fn not_issued(attempt: u32, next: Next) -> What {
    let (epoch, class) = (u64::from(attempt), DeviceClass::Locked);
    What::NotIssued { attempt, epoch, class, text: String::new(), expected: None, disk_ms: 1, next }
}

fn given_back(attempt: u32, next: Next) -> What {
    What::GivenBack { attempt, epoch: u64::from(attempt), text: String::new(), next }
}

fn unsettled(attempt: u32) -> What {
    What::Unsettled { attempt, epoch: u64::from(attempt), class: None, text: String::new(), expected: None }
}

fn by_hand(attempt: u32, issued: bool) -> What {
    What::SettledByHand {
        attempt,
        by: "k".to_owned(),
        reason: "r".to_owned(),
        decision: if issued { SettleDecision::Issued } else { SettleDecision::NotIssued },
        invoice: issued.then(invoice),
    }
}

fn evidence(attempt: u32, named: Option<u32>, cleared: bool) -> What {
    What::Evidence {
        attempt,
        kind: EvidenceKind::LateOutcome,
        from: "x".to_owned(),
        named: named.map(pair),
        cleared,
        body: serde_json::Value::Null,
    }
}

fn queue() -> Next {
    Next::Queue { waiting: None }
}

fn fail() -> Next {
    Next::Fail { problem: problem() }
}

fn cancelled() -> What {
    What::Cancelled { by: String::new(), reason: String::new() }
}

fn cancel_asked() -> What {
    What::CancelAsked { by: String::new(), reason: String::new() }
}

fn proposed(attempt: u32) -> What {
    let (by, at, tax_office, reason) = Default::default();
    let proposal = SettleProposal { by, at, decision: SettleDecision::NotIssued, pair: None, tax_office, reason };
    What::SettleProposed { attempt, proposal }
}

fn recovered(attempt: u32) -> What {
    What::Recovered {
        attempt,
        disk: "661234567890".parse().unwrap(),
        agent: Some("ag_0123456789abcdef".parse().unwrap()),
        epoch: 1,
        sequence: 9,
        invoice: invoice(),
        reason: String::new(),
    }
}

fn reissued() -> What {
    What::Reissued { by: String::new(), reason: String::new(), content: None, about: None, bulk: None }
}

fn event(job: &Job, what: What) -> Event {
    Event { revision: job.revision, at: job.changed_at.plus_ms(1), origin: None, what }
}

fn live(events: Vec<What>) -> Job {
    let mut job = Job::accept(&Event { revision: 0, at: Timestamp(1), origin: None, what: accepted() }).unwrap();
    for what in events {
        job = job.apply(&event(&job, what)).unwrap();
    }
    job
}

#[test]
fn every_state_takes_exactly_the_events_of_the_table() {
    // Columns: the events below, in their order. `+` is taken, `.` is refused.
    let jobs = [
        ("queued", live(vec![]), ".+..........++.......+"),
        ("assigned", live(vec![assigned(1)]), "..++++++.+....+...+..."),
        ("assigned, withdrawal asked", live(vec![assigned(1), cancel_asked()]), "..++++..+++...+...+..."),
        ("unsettled", live(vec![assigned(1), unsettled(1)]), "..++++++.+....+.+++.+."),
        ("issued", live(vec![assigned(1), issued(1, false)]), "..................+..."),
        ("failed", live(vec![assigned(1), not_issued(1, fail())]), "...............+..+..+"),
        ("cancelled", live(vec![cancelled()]), "...............+.....+"),
        (
            "failed, doubted",
            live(vec![assigned(1), not_issued(1, fail()), evidence(1, Some(7), false)]),
            "....+.............+...",
        ),
        (
            "queued, doubted",
            live(vec![assigned(1), given_back(1, queue()), evidence(1, Some(7), false)]),
            "....+.........+...+...",
        ),
    ];
    let events: Vec<(&str, What)> = vec![
        ("accepted", accepted()),
        ("assigned", assigned(1)),
        ("started", started(1)),
        ("issued", issued(1, false)),
        ("issued, found by reading", issued(1, true)),
        ("not issued, failed", not_issued(1, fail())),
        ("not issued, queued", not_issued(1, queue())),
        ("given back, queued", given_back(1, queue())),
        ("not issued, cancelled", not_issued(1, Next::Cancel)),
        ("unsettled", unsettled(1)),
        ("given back, cancelled", given_back(1, Next::Cancel)),
        ("assigned, a number ahead", assigned(3)),
        ("failed", What::Failed { problem: problem() }),
        ("cancelled", cancelled()),
        ("withdrawal asked", cancel_asked()),
        ("reissued", reissued()),
        ("issued by hand", by_hand(1, true)),
        ("not issued by hand", by_hand(1, false)),
        ("evidence", evidence(1, None, false)),
        ("evidence of no attempt", evidence(9, None, false)),
        ("proposed by the tax office's record", proposed(1)),
        ("recovered", recovered(1000)),
    ];
    let mut wrong = Vec::new();
    for (name, job, row) in &jobs {
        assert_eq!(row.len(), events.len());
        for ((label, what), wanted) in events.iter().zip(row.chars()) {
            let taken = job.apply(&event(job, what.clone())).is_ok();
            if taken != (wanted == '+') {
                wrong.push(format!("{name}: {label} is {}", if taken { "taken" } else { "refused" }));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn i9_revision_epoch_and_attempt_guard_every_event() {
    let job = live(vec![assigned(1)]);
    for revision in [0, 1, 3] {
        let stale = Event { revision, ..event(&job, issued(1, false)) };
        assert_eq!(job.apply(&stale), Err(TransitionError::Revision { given: revision, known: 2 }));
    }
    let mut other = event(&job, issued(1, false));
    if let What::Issued { epoch, .. } = &mut other.what {
        *epoch = 2;
    }
    assert_eq!(job.apply(&other), Err(TransitionError::Epoch { given: 2, known: 1 }));
    assert_eq!(job.apply(&event(&job, issued(2, false))), Err(TransitionError::Attempt { attempt: 2 }));
    assert!(matches!(Job::accept(&event(&job, accepted())), Err(TransitionError::Revision { .. })));
    let first = Event { revision: 0, at: Timestamp(1), origin: None, what: assigned(1) };
    assert!(Job::accept(&first).is_err());
}

#[test]
fn i4_a_job_that_a_late_outcome_names_is_not_handed_over() {
    let job = live(vec![assigned(1), given_back(1, queue()), evidence(1, Some(7), false)]);
    assert_eq!(job.apply(&event(&job, assigned(2))), Err(TransitionError::NotProven));
    assert_eq!(job.apply(&event(&job, cancelled())), Err(TransitionError::NotProven));
    let read = job.apply(&event(&job, evidence(1, None, true))).unwrap();
    assert!(read.apply(&event(&read, assigned(2))).is_ok());
}

#[test]
fn i6_all_versions_are_remembered_and_only_the_newest_body() {
    let mut job = live(vec![assigned(1), not_issued(1, fail())]);
    let body = InvoiceBody { remark: "new".to_owned(), ..InvoiceBody::default() };
    let content = Some(NewContent { invoice: Some(body.clone()), hash: "h2".to_owned(), fields: Fields::default() });
    let (by, reason) = Default::default();
    job = job.apply(&event(&job, What::Reissued { by, reason, content, about: None, bulk: None })).unwrap();
    assert!(job.had_content("h1") && job.had_content("h2") && !job.had_content("h3"));
    assert_eq!((job.invoice.clone(), job.view().version, job.reissues.count), (Some(body), 2, 1));
    job = job.apply(&event(&job, assigned(2))).unwrap();
    assert_eq!(job.attempt(2).unwrap().version, 2);
    assert_eq!((job.attempt(0), job.attempt(3)), (None, None));
}

#[test]
fn a_job_is_written_and_read_back() {
    let job = live(vec![assigned(1), started(1), unsettled(1), evidence(1, Some(9), false), cancel_asked()]);
    let text = serde_json::to_string(&job).unwrap();
    assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    for what in [accepted(), assigned(1), issued(1, true), not_issued(1, fail()), given_back(1, Next::Cancel), by_hand(1, true)] {
        let event = event(&job, what);
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
    }
}

/// The tiny model: what is known of the attempts, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Proven,
    Open,
    Issued,
}

fn any_event() -> impl Strategy<Value = What> {
    let next = prop_oneof![Just(queue()), Just(fail()), Just(Next::Cancel)];
    (1_u32..4, next, 0_u8..14).prop_map(|(attempt, next, which)| match which {
        0..=2 => assigned(attempt),
        3 => started(attempt),
        4 => issued(attempt, true),
        5 | 6 => not_issued(attempt, next),
        7 => given_back(attempt, next),
        8 => unsettled(attempt),
        9 => cancelled(),
        10 => cancel_asked(),
        11 => reissued(),
        12 => evidence(attempt, None, false),
        _ => by_hand(attempt, attempt == 1),
    })
}

proptest! {
    #[test]
    fn no_life_has_two_open_attempts_or_leaves_what_is_not_proven(events in prop::collection::vec(any_event(), 0..60)) {
        let mut job = live(vec![]);
        let mut known = Known::Proven;
        for what in events {
            let before = job.clone();
            let Ok(after) = job.apply(&event(&job, what.clone())) else {
                let mut same = job.clone();
                prop_assert!(same.advance(&event(&job, what)).is_err());
                prop_assert_eq!(&same, &before, "a refused event changes nothing");
                continue;
            };
            prop_assert_eq!(after.revision, before.revision + 1);
            known = match (&what, known) {
                (What::Assigned { .. }, Known::Proven) => Known::Open,
                (What::Assigned { .. }, _) => panic!("handed over while {known:?} (I4)"),
                (What::Issued { .. }, Known::Open) => Known::Issued,
                (What::Issued { .. }, _) => panic!("issued while {known:?}"),
                (What::NotIssued { .. } | What::GivenBack { .. }, Known::Open) => Known::Proven,
                (What::SettledByHand { invoice, .. }, Known::Open) => {
                    if invoice.is_some() { Known::Issued } else { Known::Proven }
                }
                (_, known) => known,
            };
            let state = match known {
                Known::Issued => matches!(after.state, JobState::Issued),
                Known::Open => matches!(after.state, JobState::Assigned | JobState::Unsettled),
                Known::Proven => matches!(after.state, JobState::Queued | JobState::Failed | JobState::Cancelled),
            };
            prop_assert!(state, "{:?} although {:?}", after.state, known);
            prop_assert!(after.attempts.iter().filter(|attempt| attempt.state.is_open()).count() <= 1);
            prop_assert_eq!(after.is_proven_not_issued(), known == Known::Proven);
            job = after;
        }
    }
}

fn voided(attempt: u32) -> What {
    What::Voided { attempt, epoch: u64::from(attempt), voided_at: String::new(), disk_ms: 1 }
}

fn linked(state: LinkState) -> What {
    What::Linked { by: "V1".parse().unwrap(), operation: Operation::Void, state, red: None, gross: None }
}

fn after(job: &Job, what: What) -> Result<Job, TransitionError> {
    job.apply(&Event { revision: job.revision, at: job.changed_at, origin: None, what })
}

#[test]
fn a_void_job_ends_voided_and_no_other_job_does() {
    let mut first = accepted();
    if let What::Accepted { operation, original, invoice, .. } = &mut first {
        (*operation, *original, *invoice) = (Operation::Void, Some(pair(7).into()), None);
    }
    let accept = |what: What| Job::accept(&Event { revision: 0, at: Timestamp(0), origin: None, what }).unwrap();
    let void = after(&accept(first), assigned(1)).unwrap();
    assert!(after(&void, issued(1, false)).is_err(), "a void issues nothing");
    assert!(void.counts_against_original());
    let done = after(&void, voided(1)).unwrap();
    assert_eq!((done.state, done.attempts[0].state), (JobState::Voided, AttemptState::Voided));
    assert!(done.counts_against_original() && !done.is_proven_not_issued());
    for what in [assigned(2), voided(1), unsettled(1), not_issued(1, fail()), cancelled(), linked(LinkState::Open)] {
        assert!(after(&done, what.clone()).is_err(), "{what:?}");
    }
    // By hand: without a number.
    let open = after(&void, unsettled(1)).unwrap();
    assert!(after(&open, by_hand(1, true)).is_err());
    let decision = SettleDecision::Issued;
    let by_hand = What::SettledByHand { attempt: 1, by: "k".into(), reason: "r".into(), decision, invoice: None };
    assert_eq!(after(&open, by_hand.clone()).unwrap().state, JobState::Voided);
    let failed = after(&void, not_issued(1, fail())).unwrap();
    assert!(!failed.counts_against_original());
    // A word that came late and was read then.
    let named = after(&failed, evidence(1, Some(7), false)).unwrap();
    assert!(named.counts_against_original(), "while it may have happened");
    assert!(after(&failed, voided(1)).is_err());
    assert_eq!(after(&named, voided(1)).unwrap().state, JobState::Voided);

    let issue = after(&accept(accepted()), assigned(1)).unwrap();
    assert!(after(&issue, voided(1)).is_err());
    let open = after(&issue, unsettled(1)).unwrap();
    assert!(after(&open, by_hand).is_err(), "an invoice has a number");
}

/// Found by the simulation (seed 20958): an earlier attempt named the very number that a later one issued, and was in doubt
/// for ever.
#[test]
fn a_named_number_that_is_the_jobs_own_invoice_is_in_doubt_no_more() {
    let job = Job::accept(&Event { revision: 0, at: Timestamp(0), origin: None, what: accepted() }).unwrap();
    let job = after(&after(&job, assigned(1)).unwrap(), not_issued(1, queue())).unwrap();
    let job = after(&job, assigned(2)).unwrap();
    for (named, doubted) in [(7, false), (8, true)] {
        let claimed = after(&job, evidence(1, Some(named), false)).unwrap();
        let ended = after(&claimed, issued(2, true)).unwrap();
        assert_eq!((ended.state, ended.is_doubted()), (JobState::Issued, doubted), "{named}");
        let open = after(&claimed, unsettled(2)).unwrap();
        assert_eq!(after(&open, by_hand(2, true)).unwrap().is_doubted(), doubted, "{named}, by hand");
    }
}

#[test]
fn what_was_done_to_an_invoice_changes_nothing_but_its_links() {
    let job = Job::accept(&Event { revision: 0, at: Timestamp(0), origin: None, what: accepted() }).unwrap();
    assert!(after(&job, linked(LinkState::Open)).is_err(), "nothing is issued yet");
    let job = after(&after(&job, assigned(1)).unwrap(), issued(1, false)).unwrap();
    let open = after(&job, linked(LinkState::Open)).unwrap();
    assert_eq!((open.view().voided, open.state), (None, JobState::Issued));
    let done = after(&open, linked(LinkState::Done)).unwrap();
    assert_eq!((done.links.len(), done.state, &done.issued), (1, JobState::Issued, &job.issued));
    assert_eq!(done.view().voided.unwrap().serial, "V1");
    assert!(!done.is_live());
}

#[test]
fn i1_attempts_of_a_new_generation_are_numbered_from_the_next_thousand_and_an_old_one_finds_its_place() {
    let job = live(vec![assigned(1), given_back(1, queue()), assigned(1001), given_back(1001, queue())]);
    for taken in [2, 1000, 1001, 1003] {
        assert!(job.apply(&event(&job, assigned(taken))).is_err(), "{taken}");
    }
    assert!(job.apply(&event(&job, assigned(1002))).is_ok());
    let job = job.apply(&event(&job, recovered(2))).unwrap();
    assert_eq!(job.attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1, 2, 1001]);
    assert_eq!((job.state, job.attempt(2).unwrap().state), (JobState::Issued, AttemptState::Issued));
}

#[test]
fn a_trace_is_carried_and_jobs_and_events_of_before_are_read_without_one() {
    let trace: Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let mut first = Event { revision: 0, at: Timestamp(0), origin: None, what: accepted() };
    let plain = Job::accept(&first).unwrap();
    let (old_event, old_job) = (serde_json::to_value(&first).unwrap(), serde_json::to_value(&plain).unwrap());
    assert!(old_event.get("trace").is_none() && old_job.get("trace").is_none(), "{old_event} {old_job}");
    assert_eq!(serde_json::from_value::<Event>(old_event.clone()).unwrap(), first);
    assert_eq!(serde_json::from_value::<Job>(old_job.clone()).unwrap(), plain);
    assert_eq!(plain.view().trace_id, None);

    if let What::Accepted { trace: of, .. } = &mut first.what {
        *of = Some(trace);
    }
    let traced = Job::accept(&first).unwrap();
    assert_eq!(traced.view().trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(traced.version(), plain.version(), "it is no part of the content");
    let after = after(&traced, assigned(1)).unwrap();
    assert_eq!(after.trace, Some(trace));
    // The chain's form of the event keeps it, and so does what is put together again.
    let (rest, content) = first.parts();
    let back: Event = serde_json::from_str(&rest).unwrap();
    assert!(content.is_some() && matches!(back.what, What::Accepted { trace: Some(of), .. } if of == trace));
    // What is damaged there costs the trace and not the job.
    let mut damaged = serde_json::to_value(&traced).unwrap();
    damaged["trace"] = serde_json::json!({"of": 1});
    assert_eq!(serde_json::from_value::<Job>(damaged).unwrap(), plain);
}

//! The model's table against production's state machine: every standing that a production job can have, with everything
//! that can happen to it. Standings and events are matched without wildcards, so that one that production gains does not
//! go unnoticed.

use std::collections::HashMap;

use taxdisk_protocol::api::{
    Fault, InvoiceBody, IssuedInvoice, JobProblem, JobState, Operation, Priority, SettleDecision, SettleProposal,
};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::hash::Fields;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::{Event, EvidenceKind, GENERATION_ATTEMPTS, Job, Next, TransitionError, What};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::time::Timestamp;
use taxdisk_protocol::undo::LinkState;
use taxdisk_tests::model::table::{HAPPENS, Happens, Standing, Then, happens, index};

const DISK: &str = "661234567890";
const AGENT: &str = "ag_0123456789abcdef";

fn pair() -> NumberPair {
    "011002000107 00000007".parse().unwrap()
}

fn invoice() -> IssuedInvoice {
    IssuedInvoice {
        code: "011002000107".to_owned(),
        number: "00000007".to_owned(),
        issued_at: String::new(),
        fiscal_code: String::new(),
        signature: String::new(),
        printed: Printed::default(),
        disk: DISK.to_owned(),
    }
}

fn problem() -> JobProblem {
    JobProblem { code: "disk_refused".to_owned(), fault: Fault::Request, class: None, text: String::new() }
}

fn accepted(operation: Operation) -> What {
    What::Accepted {
        key: JobKey { seller: "911101080000000007".parse().unwrap(), serial: "A1".parse().unwrap() },
        operation,
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

fn next(then: Then) -> Next {
    match then {
        Then::Queue => Next::Queue { waiting: None },
        Then::Fail => Next::Fail { problem: problem() },
        Then::Cancel => Next::Cancel,
    }
}

/// The attempt that an event is about: the open one, or the one that is in doubt, or the last.
fn about(job: &Job) -> (u32, u64) {
    let named = job.attempts.iter().find(|attempt| attempt.named.is_some());
    let found = job.open_attempt().or(named).or(job.attempts.last());
    found.map_or((1, 1), |found| (found.attempt, found.epoch))
}

/// The production event with everything right that guards look at.
fn event_of(job: &Job, what: Happens) -> What {
    let (attempt, epoch) = about(job);
    let last = job.attempts.last().map_or(0, |last| last.attempt);
    let (by, reason, text) = (String::new(), String::new(), String::new());
    let (class, expected, disk_ms) = (DeviceClass::Locked, None, 1);
    let (disk, agent) = (DISK.parse().unwrap(), AGENT.parse().unwrap());
    let issued = |settled| What::Issued { attempt, epoch, invoice: invoice(), expected: None, settled, disk_ms: 1 };
    let evidence = |named: Option<NumberPair>, cleared| What::Evidence {
        attempt,
        kind: EvidenceKind::LateOutcome,
        from: String::new(),
        named,
        cleared,
        body: serde_json::Value::Null,
    };
    match what {
        Happens::Accepted => accepted(job.operation),
        Happens::Assigned => {
            What::Assigned { attempt: last + 1, disk, agent, epoch: u64::from(last) + 1, sequence: u64::from(last) + 1 }
        }
        Happens::Started => What::Started { attempt, epoch, expected: pair() },
        Happens::Issued => issued(false),
        Happens::Found => issued(true),
        Happens::Voided => What::Voided { attempt, epoch, voided_at: String::new(), disk_ms },
        Happens::Linked => {
            What::Linked { by: "B1".parse().unwrap(), operation: Operation::Red, state: LinkState::Open, red: None, gross: None }
        }
        Happens::NotIssued(then) => What::NotIssued { attempt, epoch, class, text, expected, disk_ms, next: next(then) },
        Happens::GivenBack(then) => What::GivenBack { attempt, epoch, text, next: next(then) },
        Happens::Unsettled => What::Unsettled { attempt, epoch, class: None, text, expected },
        Happens::Failed => What::Failed { problem: problem() },
        Happens::Cancelled => What::Cancelled { by, reason },
        Happens::CancelAsked => What::CancelAsked { by, reason },
        Happens::Reissued => What::Reissued { by, reason, content: None, about: None, bulk: None },
        Happens::SettleProposed => {
            let (at, tax_office) = Default::default();
            let proposal = SettleProposal { by, at, decision: SettleDecision::NotIssued, pair: None, tax_office, reason };
            What::SettleProposed { attempt, proposal }
        }
        Happens::ByHand { done } => What::SettledByHand {
            attempt,
            by,
            reason,
            decision: if done { SettleDecision::Issued } else { SettleDecision::NotIssued },
            invoice: (done && job.operation != Operation::Void).then(invoice),
        },
        Happens::Recovered => What::Recovered {
            attempt: (last / GENERATION_ATTEMPTS + 1) * GENERATION_ATTEMPTS + 1,
            disk,
            agent: Some(agent),
            epoch,
            sequence: 9,
            invoice: invoice(),
            reason,
        },
        Happens::Named => evidence(Some(pair()), false),
        Happens::Cleared => evidence(None, true),
        Happens::Evidence => evidence(None, false),
    }
}

fn at(job: &Job, what: What) -> Event {
    Event { revision: job.revision, at: job.changed_at.plus_ms(1), origin: None, what }
}

/// The same event of another attempt, or of the right one under another epoch; `None` where it names none.
fn falsified(what: &What) -> Vec<What> {
    let mut all = Vec::new();
    let mut other = what.clone();
    match &mut other {
        What::Started { epoch, .. }
        | What::Issued { epoch, .. }
        | What::Voided { epoch, .. }
        | What::NotIssued { epoch, .. }
        | What::GivenBack { epoch, .. }
        | What::Unsettled { epoch, .. } => {
            *epoch += 1;
            all.push(other);
        }
        _ => {}
    }
    let mut other = what.clone();
    match &mut other {
        What::Assigned { attempt, .. }
        | What::Started { attempt, .. }
        | What::Issued { attempt, .. }
        | What::Voided { attempt, .. }
        | What::NotIssued { attempt, .. }
        | What::GivenBack { attempt, .. }
        | What::Unsettled { attempt, .. }
        | What::SettleProposed { attempt, .. }
        | What::SettledByHand { attempt, .. }
        | What::Evidence { attempt, .. } => {
            *attempt += 5;
            all.push(other);
        }
        _ => {}
    }
    all
}

/// From its acceptance on, every standing of a job that events lead to, each with a job that stands so.
fn compare(operation: Operation) -> (HashMap<Standing, Job>, usize) {
    let first = Event { revision: 0, at: Timestamp(1), origin: None, what: accepted(operation) };
    let job = Job::accept(&first).unwrap();
    assert_eq!(Standing::of(&job), Standing::NEW);
    let mut known = HashMap::from([(Standing::NEW, job.clone())]);
    let (mut open, mut pairs) = (vec![job], 0);
    while let Some(job) = open.pop() {
        let standing = Standing::of(&job);
        for what in HAPPENS {
            let event = at(&job, event_of(&job, what));
            assert_eq!(happens(&event.what), what);
            let production = job.apply(&event);
            let after = production.as_ref().ok().map(Standing::of);
            assert_eq!(after, standing.after(operation, what), "{operation:?} job, {standing:?}, {what:?}: {production:?}");
            let mut in_place = job.clone();
            assert_eq!(in_place.advance(&event).is_ok(), after.is_some());
            pairs += 1;
            let stale = Event { revision: job.revision + 1, ..event.clone() };
            assert!(matches!(job.apply(&stale), Err(TransitionError::Revision { .. })), "{what:?}");
            for wrong in falsified(&event.what) {
                assert!(job.apply(&at(&job, wrong.clone())).is_err(), "{standing:?} takes {wrong:?}");
            }
            if let (Ok(job), Some(after)) = (production, after)
                && known.insert(after, job.clone()).is_none()
            {
                open.push(job);
            }
        }
    }
    (known, pairs)
}

#[test]
fn the_table_of_the_model_is_the_state_machine_of_production() {
    for operation in [Operation::Issue, Operation::Void, Operation::Red] {
        let (known, pairs) = compare(operation);
        let mut reached = [false; 7];
        known.keys().for_each(|standing| reached[index(standing.state)] = true);
        let state = if operation == Operation::Void { JobState::Issued } else { JobState::Voided };
        // A void job ends voided, unless a ledger that went back hears of an invoice; the others are never voided themselves.
        let missing: Vec<usize> = (0..7).filter(|state| !reached[*state]).collect();
        let unreached = if operation == Operation::Void { vec![] } else { vec![index(state)] };
        assert_eq!(missing, unreached, "{operation:?}");
        println!("{operation:?}: {} standings, {pairs} pairs of standing and event", known.len());
        assert!(pairs == known.len() * HAPPENS.len() && known.len() >= 15, "{pairs}");
    }
}

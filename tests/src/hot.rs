//! The paths that every job takes, one by one and in one thread, so that what they cost can be counted: instructions and
//! allocations do not depend on how busy a machine is. `cargo xtask bench hot` and `tests/tests/hot.rs` run the program `hot`.
//!
//! Read first: [`PATHS`].

use std::hint::black_box;

use serde_json::json;
use taxdisk_broker::core::Prepared;
use taxdisk_broker::core::change::Change;
use taxdisk_broker::store::chain::{Draft, ROOT};
use taxdisk_drivers::conformance::line::{LineDialect, LineStand};
use taxdisk_drivers::conformance::{Stand, sample};
use taxdisk_drivers::dialects::zc::Framing;
use taxdisk_drivers::disk::{IssueAnswer, IssueRequest};
use taxdisk_protocol::api::{JobSubmission, Operation, Priority};
use taxdisk_protocol::job::{Event, Job, What};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::time::Timestamp;

use crate::jobs::SELLER;
use crate::sim::knobs::Knobs;

#[path = "../../layout/tests/samples/mod.rs"]
mod documents;

/// A path, and how often it is taken for one count.
pub struct Path {
    /// As on the command line and in the table.
    pub name: &'static str,
    /// What is counted.
    pub what: &'static str,
    /// How often a count takes it.
    pub times: u32,
    prepare: fn() -> Box<dyn FnMut() -> u64>,
}

/// All of them.
pub const PATHS: [Path; 5] = [
    Path { name: "submission", what: "a job's document read, hashed and checked", times: 40, prepare: submission },
    Path { name: "chain", what: "an accepted job's event written as text and chained", times: 40, prepare: chain },
    Path { name: "life", what: "a job through the cores of broker and agent, to its invoice", times: 1, prepare: life },
    Path { name: "telegram", what: "an invoice over a line: driver and simulated disk", times: 10, prepare: telegram },
    Path { name: "document", what: "an invoice drawn as PDF", times: 2, prepare: document },
];

/// What passages came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    /// Things that were done.
    pub done: u64,
    /// Allocations that this took.
    pub allocations: u64,
}

/// One passage; answers how many things it did.
pub type Passage<'a> = dyn FnMut() -> u64 + 'a;
/// Lets a passage happen; answers what it did, and what was counted meanwhile.
pub type Counter<'a> = dyn FnMut(&mut Passage<'_>) -> (u64, u64) + 'a;

/// Takes a path once to warm up, then `times` times inside of `measured` and `count`, which answers what was done and what it
/// counted.
pub fn take(path: &Path, times: u32, count: &mut Counter<'_>) -> Taken {
    let mut once = (path.prepare)();
    black_box(once());
    let mut taken = Taken::default();
    for _ in 0..times {
        let (done, allocations) = count(&mut || measured(&mut *once));
        taken.done += done;
        taken.allocations += allocations;
    }
    taken
}

/// What is counted: a name that a profiler finds.
#[inline(never)]
fn measured(once: &mut Passage<'_>) -> u64 {
    black_box(once())
}

fn job() -> Vec<u8> {
    let mut job = crate::load::toll_of(SELLER, "0123456789ABCDEF0123");
    job["kind"] = json!("026");
    job.to_string().into_bytes()
}

fn submission() -> Box<dyn FnMut() -> u64> {
    let bytes = job();
    Box::new(move || {
        let submission: JobSubmission = serde_json::from_slice(&bytes).expect("a job");
        black_box(Prepared::from(submission));
        1
    })
}

fn chain() -> Box<dyn FnMut() -> u64> {
    let submission: JobSubmission = serde_json::from_slice(&job()).expect("a job");
    let event = Event {
        revision: 0,
        at: Timestamp(1_760_000_000_000),
        origin: None,
        what: What::Accepted {
            key: taxdisk_protocol::rules::parse_key(&submission).expect("a key"),
            operation: Operation::Issue,
            kind: InvoiceKind::ElectronicOrdinary,
            issue_point: None,
            priority: Priority::Bulk,
            original: None,
            about: None,
            invoice: submission.invoice,
            hash: "0".repeat(64),
            fields: [("/invoice/totals/gross", "0".repeat(16))].into_iter().collect(),
            mark: None,
            place: 1,
            trace: None,
        },
    };
    let job = std::sync::Arc::new(Job::accept(&event).expect("an acceptance"));
    let change = Change::Job { job, event };
    Box::new(move || {
        let draft = Draft::of(&change).expect("a row of the chain");
        black_box(draft.place((7, ROOT)));
        1
    })
}

/// A world without faults: 20 jobs and more.
fn life() -> Box<dyn FnMut() -> u64> {
    let mut knobs = Knobs::of(1);
    knobs.faults.clear();
    Box::new(move || {
        let outcome = crate::sim::run(&knobs, false);
        assert!(outcome.violation.is_none(), "{:?}", outcome.violation);
        outcome.lives
    })
}

fn telegram() -> Box<dyn FnMut() -> u64> {
    let stand = LineStand::in_memory(LineDialect::Zc(Framing::Fixed));
    let mut disk = stand.driver(stand.line().expect("a line in memory"));
    let (seller, kind) = (disk.identity().expect("a disk that answers"), stand.kind());
    let invoice = sample::plain(disk.capabilities());
    Box::new(move || {
        let expected = disk.stock(kind).expect("a stock").current;
        let request =
            IssueRequest { kind, expected, invoice: &invoice, remark: "hot", seller: &seller, red: None, request_id: "R1" };
        assert!(matches!(disk.issue(&request), IssueAnswer::Signed(_)), "the disk issues");
        u64::from(disk.query(kind, expected).expect("a reading").is_some())
    })
}

fn document() -> Box<dyn FnMut() -> u64> {
    let invoice = documents::issued(&documents::content(&documents::order("10248")), 7);
    Box::new(move || u64::from(!taxdisk_layout::pdf(&invoice).expect("a document").is_empty()))
}

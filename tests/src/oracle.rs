//! The oracle: the simulated disk's own ledger, compared with what the broker says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use taxdisk_drivers::sim::ledger::{EntryStatus, LedgerEntry, Origin};
use taxdisk_protocol::api::{JobState, JobView, Operation};
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::mark::{find_mark, mark};

use crate::api::Api;
use crate::jobs::SELLER;
use crate::process::wait_for;
use crate::rig::SimRig;

fn is_void(entry: &LedgerEntry) -> bool {
    matches!(entry.status, EntryStatus::PositiveVoid | EntryStatus::NegativeVoid)
}

/// What a void job is about.
fn target<'a>(job: &JobView, entries: &'a [LedgerEntry]) -> Option<&'a LedgerEntry> {
    let pair = job.original.as_ref()?.pair()?;
    entries.iter().find(|entry| entry.pair() == pair && entry.kind.to_string() == job.kind)
}

/// Waits until every one of `count` jobs of the seller is in a state where nothing more happens by itself; gives them all.
pub fn wait_done(api: &Api, count: usize, bound: Duration) -> Vec<JobView> {
    wait_for(&format!("{count} finished jobs"), bound, || {
        let jobs = api.try_jobs(SELLER)?;
        let open: Vec<&JobView> = jobs.iter().filter(|job| !job.state.is_terminal()).collect();
        if jobs.len() == count && open.is_empty() {
            return Ok(jobs);
        }
        let sample: Vec<String> = open.iter().take(3).map(|job| summary(job)).collect();
        Err(format!("{} jobs, {} open: {sample:?}", jobs.len(), open.len()))
    })
}

pub fn summary(job: &JobView) -> String {
    let last = job.attempts.last().map(|attempt| (attempt.attempt, &attempt.result, &attempt.class, &attempt.text));
    format!("{} {:?} waiting {:?} last {last:?} problem {:?}", job.serial, job.state, job.waiting, job.problem)
}

/// I1, I10 and truthfulness: for every serial at most one of our numbers; every `issued` job's number is in the ledger with
/// this job's mark and amounts; nothing else of ours is there; no job that is called not issued has a number.
pub fn check(jobs: &[JobView], disks: &[&SimRig]) {
    let entries: Vec<LedgerEntry> = disks.iter().flat_map(|disk| disk.ledger()).collect();
    check_entries(jobs, &entries);
}

pub fn check_entries(jobs: &[JobView], entries: &[LedgerEntry]) {
    let mut pairs = BTreeSet::new();
    let mut by_mark: BTreeMap<String, Vec<&LedgerEntry>> = BTreeMap::new();
    for entry in entries {
        assert!(pairs.insert((entry.kind, entry.pair())), "the ledger has {} twice", entry.pair());
        if entry.origin == Origin::Host {
            let found = find_mark(&entry.remark).unwrap_or_else(|| panic!("{} has no mark: {:?}", entry.pair(), entry.remark));
            by_mark.entry(found.to_owned()).or_default().push(entry);
        }
    }
    let mut owned = BTreeSet::new();
    for job in jobs {
        let key = JobKey { seller: job.seller.parse().unwrap(), serial: job.serial.parse().unwrap() };
        let ours = by_mark.remove(&mark(&key)).unwrap_or_default();
        assert!(
            ours.len() <= 1,
            "I1: {key} has {} invoices: {:?}",
            ours.len(),
            ours.iter().map(|e| e.pair()).collect::<Vec<_>>()
        );
        match (job.state, &job.issued) {
            (JobState::Issued, Some(issued)) => {
                let entry = ours.first().unwrap_or_else(|| panic!("{key} is called issued, the disk has nothing"));
                assert_eq!(
                    (issued.code.as_str(), issued.number.as_str()),
                    (entry.code.as_str(), entry.number.to_string().as_str())
                );
                assert!(owned.insert(entry.pair()), "I10: {} has two owners", entry.pair());
                let totals = &job.invoice.as_ref().expect("content").totals;
                let sums = [entry.net.to_string(), entry.tax.to_string(), entry.gross.to_string()];
                // A converter keeps a red one's amounts without their sign.
                let plain = |text: &str| match job.operation {
                    Operation::Red => text.trim_start_matches('-').to_owned(),
                    _ => text.to_owned(),
                };
                let said = [&totals.net, &totals.tax, &totals.gross].map(|text| plain(text));
                assert_eq!(said, sums.map(|text| plain(&text)), "{key}: amounts");
                if job.operation == Operation::Red {
                    assert_eq!(entry.original, job.original.as_ref().and_then(|original| original.pair()), "{key}: original");
                }
            }
            (JobState::Issued, None) => panic!("{key} is issued without an invoice"),
            (JobState::Voided, _) => {
                let entry =
                    target(job, entries).unwrap_or_else(|| panic!("{key} is called voided, the disk has no such invoice"));
                assert!(is_void(entry), "{key} is called voided, and {} is valid", entry.pair());
            }
            (JobState::Failed | JobState::Cancelled | JobState::Queued, _) if job.operation == Operation::Void => {
                let valid = |entry: &LedgerEntry| {
                    let by_us = entry.voided.as_ref().is_some_and(|mark| mark.origin == Origin::Host);
                    !by_us || jobs.iter().any(|other| other.state == JobState::Voided && other.original == job.original)
                };
                assert!(target(job, entries).is_none_or(valid), "{key} is called {:?}, and its original is void", job.state);
            }
            (JobState::Failed | JobState::Cancelled | JobState::Queued, _) => {
                assert!(ours.is_empty(), "{key} is called {:?}, the disk has {}", job.state, ours[0].pair());
            }
            (JobState::Assigned | JobState::Unsettled, _) => {}
        }
    }
    let strangers: Vec<_> = by_mark.values().flatten().map(|entry| entry.pair()).collect();
    assert!(strangers.is_empty(), "numbers of ours that no job knows: {strangers:?}");
}

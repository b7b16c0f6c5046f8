//! Is what a store holds whole? Every chain is verified, and every job is folded anew from its events.
//!
//! It reads and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::job::{Event, Job};
use taxdisk_protocol::link::Owner;
use taxdisk_protocol::number::NumberPair;

use super::chain::Verified;
use super::{PAGE_JOBS, Store, StoreError};
use crate::core::change::NumberKey;
use crate::core::types::JobFilter;

/// The most findings that are listed; all are counted.
const LISTED: usize = 100;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Checked {
    /// Id of the ledger.
    pub ledger: String,
    /// Chains: one for each seller, and the broker's own.
    pub chains: u64,
    /// Their entries.
    pub entries: u64,
    /// Contents that the retention time has ended.
    pub ended: u64,
    /// Jobs.
    pub jobs: u64,
    /// Numbers that belong to issued jobs.
    pub issued: u64,
    /// What is not as it should be, in words.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub found: u64,
}

impl Checked {
    /// Nothing was found.
    pub fn is_whole(&self) -> bool {
        self.found == 0
    }

    fn add(&mut self, finding: String) {
        self.found += 1;
        if self.findings.len() < LISTED {
            self.findings.push(finding);
        }
    }
}

/// Checks everything.
///
/// # Errors
/// The store cannot be read at all.
pub async fn check(store: &dyn Store) -> Result<Checked, StoreError> {
    let mut checked = Checked { ledger: store.ledger().to_owned(), ..Checked::default() };
    for head in store.chains().await? {
        let seller = match head.seller.as_str() {
            "" => None,
            text => Some(TaxpayerNumber::from_device(text).map_err(|error| StoreError::Damaged(error.to_string()))?),
        };
        let whose = seller.as_ref().map_or("the broker itself".to_owned(), ToString::to_string);
        checked.chains += 1;
        match store.verify(seller.as_ref()).await? {
            Verified::Whole { entries, ended, .. } => {
                checked.entries += entries;
                checked.ended += ended;
            }
            Verified::Broken { sequence } => {
                checked.add(format!("the chain of {whose} is broken at entry {sequence}"));
            }
        }
    }
    let mut cursor: Option<String> = None;
    loop {
        let page = store.jobs(&JobFilter::default(), cursor.as_deref(), PAGE_JOBS).await?;
        for job in &page.jobs {
            check_job(store, job, &mut checked).await?;
        }
        check_numbers(store, &page.jobs, &mut checked).await?;
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(checked);
        }
    }
}

async fn check_job(store: &dyn Store, job: &Arc<Job>, checked: &mut Checked) -> Result<(), StoreError> {
    checked.jobs += 1;
    match fold(&store.events(&job.key).await?) {
        Err(error) => checked.add(format!("job {}: its events do not add up: {error}", job.key)),
        Ok(folded) if folded != **job => checked.add(format!("job {}: it is not what its events add up to", job.key)),
        Ok(_) => {}
    }
    Ok(())
}

fn fold(events: &[Event]) -> Result<Job, String> {
    let (first, rest) = events.split_first().ok_or("it has none")?;
    let mut job = Job::accept(first).map_err(|error| error.to_string())?;
    for event in rest {
        job.advance(event).map_err(|error| error.to_string())?;
    }
    Ok(job)
}

async fn check_numbers(store: &dyn Store, jobs: &[Arc<Job>], checked: &mut Checked) -> Result<(), StoreError> {
    let mut wanted = BTreeMap::new();
    for job in jobs {
        let Some(issued) = &job.issued else { continue };
        let number = (issued.disk.parse(), issued.code.parse(), issued.number.parse());
        let (Ok(disk), Ok(code), Ok(number)) = number else {
            checked.add(format!("job {}: its invoice has no proper number", job.key));
            continue;
        };
        wanted.insert(job.key.clone(), NumberKey { disk, kind: job.kind, pair: NumberPair { code, number } });
    }
    let numbers: Vec<NumberKey> = wanted.values().cloned().collect();
    let owners = store.number_owners(&numbers).await?;
    for (key, number) in wanted {
        checked.issued += 1;
        match owners.get(&number) {
            Some(Owner::Ours(attempt)) if attempt.key == key => {}
            other => checked.add(format!("job {key}: its number {} belongs to {other:?}", number.pair)),
        }
    }
    Ok(())
}

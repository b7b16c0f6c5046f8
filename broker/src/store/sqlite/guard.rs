//! Whether the tables will take a commit that is written into them later: asked before the log has it and anybody is told.
//!
//! What is asked is what the tables themselves guard (revision of a job, one job a serial number and a place, one owner a number
//! (I10), epochs and sequences that never fall), of what waits and of single rows. The answer is only ever yes or *not known*:
//! then the tables are asked at once, and theirs is the word that refuses.

use std::collections::HashMap;
use std::sync::Mutex;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::link::Owner;

use super::super::StoreError;
use super::super::chain::Draft;
use super::super::encoding::{damaged, json, text};
use super::super::fold::{self, Head, JobRow};
use super::commit;
use super::unseen::{Unseen, lock};
use crate::core::change::{Change, NumberKey};

/// Reads beside the tables' own connection, and remembers what it was told.
#[derive(Debug)]
pub(super) struct Guard {
    /// Sees what is in the tables, but not what waits.
    connection: SqliteConnection,
    /// The last entry of each chain that was written to.
    heads: HashMap<String, Head>,
    /// Epoch and sequence of each disk that was written.
    fences: HashMap<DiskNumber, (u64, u64)>,
    /// The last place that was given.
    top: u64,
}

impl Guard {
    pub(super) async fn new(mut connection: SqliteConnection) -> Result<Guard, StoreError> {
        let top: Option<i64> = sqlx::query_scalar("SELECT max(place) FROM jobs").fetch_one(&mut connection).await?;
        let top = top.map_or(0, i64::unsigned_abs);
        Ok(Guard { connection, heads: HashMap::new(), fences: HashMap::new(), top })
    }

    /// The last entries of the chains that these rows follow.
    pub(super) async fn heads(&mut self, drafts: &[Option<Draft<'_>>]) -> Result<HashMap<String, Head>, StoreError> {
        // Of a chain that waits for the tables the last entry is known here.
        commit::heads(&mut self.connection, &self.heads, drafts).await
    }

    /// All guards of these changes hold, and the tables may take them later.
    pub(super) async fn holds(&mut self, changes: &[Change], unseen: &Mutex<Unseen>) -> Result<bool, StoreError> {
        if !changes.iter().all(commit::may_wait) {
            return Ok(false);
        }
        let (mut jobs, mut numbers) = (HashMap::new(), HashMap::<&NumberKey, &Owner>::new());
        let mut fences = HashMap::new();
        for change in changes {
            let fits = match change {
                Change::Job { job, event } => fold::take_job(&mut jobs, job, event).is_ok(),
                Change::Number(row) => numbers.insert(&row.key, &row.owner).is_none_or(|known| *known == row.owner),
                Change::DiskFence(row) => {
                    let (epoch, sequence) = match fences.insert(&row.disk, (row.epoch, row.sequence)) {
                        Some(beside) => beside,
                        None => self.fence(&row.disk).await?,
                    };
                    epoch <= row.epoch && sequence <= row.sequence
                }
                _ => true,
            };
            if !fits {
                return Ok(false);
            }
        }
        // What waits comes first: once it is gone from there, the tables show it.
        let (mut of_tables, mut without_owner) = (Vec::new(), Vec::new());
        {
            let unseen = lock(unseen);
            for row in jobs.values() {
                match unseen.job(&row.job.key) {
                    Some(known) if known.revision == row.base && known.place == row.job.place => {}
                    Some(_) => return Ok(false),
                    None if row.base == 0 && row.job.place <= self.top => return Ok(false),
                    None => of_tables.push(row),
                }
            }
            for (key, owner) in numbers {
                match unseen.owner(key) {
                    Some(known) if known == owner => {}
                    Some(_) => return Ok(false),
                    None => without_owner.push((key, owner)),
                }
            }
        }
        Ok(self.revisions_hold(&of_tables).await? && self.owners_hold(&without_owner).await?)
    }

    /// These changes are in the log.
    pub(super) fn note(&mut self, changes: &[Change], heads: HashMap<String, Head>) {
        self.heads.extend(heads);
        for change in changes {
            match change {
                Change::Job { job, .. } => self.top = self.top.max(job.place),
                Change::DiskFence(row) => drop(self.fences.insert(row.disk.clone(), (row.epoch, row.sequence))),
                _ => {}
            }
        }
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }

    async fn fence(&mut self, disk: &DiskNumber) -> Result<(u64, u64), StoreError> {
        if let Some(known) = self.fences.get(disk) {
            return Ok(*known);
        }
        let row = sqlx::query("SELECT epoch, sequence FROM disk_fences WHERE disk = ?1")
            .bind(disk.as_str())
            .fetch_optional(&mut self.connection)
            .await?;
        let Some(row) = row else { return Ok((0, 0)) };
        Ok((row.try_get::<i64, _>(0)?.cast_unsigned(), row.try_get::<i64, _>(1)?.cast_unsigned()))
    }

    /// The tables have these jobs as their events found them: at that revision and place, or not at all.
    async fn revisions_hold(&mut self, rows: &[&JobRow]) -> Result<bool, StoreError> {
        if rows.is_empty() {
            return Ok(true);
        }
        let wanted: Vec<[&str; 2]> = rows.iter().map(|row| [row.job.key.seller.as_str(), row.job.key.serial.as_str()]).collect();
        let found = sqlx::query(
            "SELECT wanted.key, jobs.revision, jobs.place FROM json_each(?1) AS wanted CROSS JOIN jobs \
             ON jobs.seller = wanted.value ->> 0 AND jobs.serial = wanted.value ->> 1",
        )
        .bind(text(&wanted))
        .fetch_all(&mut self.connection)
        .await?;
        let mut known = HashMap::new();
        for row in found {
            known.insert(row.try_get::<i64, _>(0)?, (row.try_get::<i64, _>(1)?, row.try_get::<i64, _>(2)?));
        }
        Ok((0..).zip(rows).all(|(index, row)| match known.get(&index) {
            None => row.base == 0,
            Some((revision, place)) => row.base.cast_signed() == *revision && row.job.place.cast_signed() == *place,
        }))
    }

    /// The tables have no other owner of these numbers.
    async fn owners_hold(&mut self, numbers: &[(&NumberKey, &Owner)]) -> Result<bool, StoreError> {
        let keys: Vec<&NumberKey> = numbers.iter().map(|(key, _)| *key).collect();
        let known = owners(&mut self.connection, &keys).await?;
        Ok(numbers.iter().all(|(key, owner)| known.get(key).is_none_or(|known| known == *owner)))
    }
}

/// The owners of these numbers, as the tables have them.
pub(super) async fn owners(
    connection: &mut SqliteConnection,
    numbers: &[&NumberKey],
) -> Result<HashMap<NumberKey, Owner>, StoreError> {
    let mut owners = HashMap::new();
    if numbers.is_empty() {
        return Ok(owners);
    }
    let cells =
        |key: &&NumberKey| [key.disk.to_string(), key.kind.to_string(), key.pair.code.to_string(), key.pair.number.to_string()];
    let wanted: Vec<[String; 4]> = numbers.iter().map(cells).collect();
    let rows = sqlx::query(
        "SELECT wanted.key, numbers.owner FROM json_each(?1) AS wanted CROSS JOIN numbers \
         ON disk = wanted.value ->> 0 AND kind = wanted.value ->> 1 AND code = wanted.value ->> 2 AND number = wanted.value ->> 3",
    )
    .bind(text(&wanted))
    .fetch_all(connection)
    .await?;
    for row in rows {
        let index = usize::try_from(row.try_get::<i64, _>(0)?).map_err(|error| damaged("number", error))?;
        if let Some(key) = numbers.get(index) {
            owners.insert((*key).clone(), json("owner of a number", row.try_get(1)?)?);
        }
    }
    Ok(owners)
}

//! A page of jobs, newest first, by whatever finds it with the fewest rows however many jobs there are.
//!
//! Two things make a list slow: rows that are looked at and do not belong to it, and bodies that are read to find that out. So
//! a filter that few jobs pass is looked up first, in an index that holds nothing but places; and what else is asked of a job
//! is asked of the small tables beside it. No answer depends on which way was taken.

use sqlx::sqlite::Sqlite;
use sqlx::{QueryBuilder, Row as _};
use taxdisk_protocol::time::Timestamp;

use super::super::encoding::{text, word};
use super::super::{PAGE_JOBS, Page, StoreError};
use super::SqliteStore;
use crate::core::types::JobFilter;

/// So many places are looked up one by one; of more, newest first finds a page sooner. Tests take both ways with few jobs.
const FEW: i64 = if cfg!(test) { 5 } else { 5000 };

/// A way to find places, as the text of a subquery.
type Way = fn(&mut QueryBuilder<Sqlite>, &JobFilter);

/// Word for word what the index `jobs_of_rare_ends` holds: few of very many jobs.
const RARE_ENDS: &str = " AND jobs.state IN ('failed', 'cancelled', 'voided')";

fn live(filter: &JobFilter) -> bool {
    !filter.states.is_empty() && filter.states.iter().all(|state| !state.is_terminal())
}

fn ended_rarely(filter: &JobFilter) -> bool {
    !filter.states.is_empty() && filter.states.iter().all(|state| state.is_rare_end())
}

/// Of one state the index is in the order of the page; of several, or of one disk, the places are looked up first.
fn looks_up_rare_ends(filter: &JobFilter) -> bool {
    ended_rarely(filter) && (filter.states.len() > 1 || filter.disk.is_some())
}

/// All places of jobs that ended so, perhaps at a disk: nothing but indexes is read.
fn by_rare_end(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter) {
    query.push("SELECT jobs.place FROM jobs WHERE jobs.state IN (SELECT value FROM json_each(");
    query.push_bind(text(&filter.states)).push("))").push(RARE_ENDS);
    if let Some(disk) = &filter.disk {
        query.push(" AND EXISTS (SELECT 1 FROM attempted WHERE attempted.place = jobs.place AND attempted.disk = ");
        query.push_bind(disk.to_string()).push(")");
    }
}

/// All sellers that have a job, by one step in the index each.
const SELLERS: &str = "WITH RECURSIVE each(seller) AS (SELECT min(seller) FROM jobs UNION ALL \
     SELECT (SELECT min(seller) FROM jobs WHERE jobs.seller > each.seller) FROM each WHERE each.seller IS NOT NULL) \
     SELECT seller FROM each WHERE seller IS NOT NULL";

/// Of all sellers where none is named: the index begins with the seller.
fn by_serial(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter) {
    let prefix = filter.serial_prefix.clone().unwrap_or_default();
    query.push("SELECT place FROM jobs WHERE seller IN (");
    match filter.sellers.is_empty() {
        true => query.push(SELLERS),
        false => query.push("SELECT value FROM json_each(").push_bind(text(&filter.sellers)).push(")"),
    };
    query.push(") AND serial >= ").push_bind(prefix.clone());
    // Nothing that begins so is above it.
    query.push(" AND serial < ").push_bind(format!("{prefix}{}", char::MAX));
}

fn by_moment(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter) {
    query.push("SELECT place FROM accepted WHERE at >= ").push_bind(filter.since.map_or(i64::MIN, |since| since.0));
    query.push(" AND at < ").push_bind(filter.until.map_or(i64::MAX, |Timestamp(until)| until));
}

fn by_kind(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter) {
    query.push("SELECT place FROM accepted WHERE kind = ").push_bind(filter.kind.map(|kind| kind.to_string()));
}

fn by_disk(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter) {
    query.push("SELECT place FROM attempted WHERE disk = ").push_bind(filter.disk.as_ref().map(ToString::to_string));
}

fn by_sellers(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter) {
    query.push("SELECT place FROM jobs WHERE seller IN (SELECT value FROM json_each(");
    query.push_bind(text(&filter.sellers)).push("))");
}

fn ways(filter: &JobFilter) -> impl Iterator<Item = Way> {
    let given: [(bool, Way); 5] = [
        (filter.serial_prefix.is_some(), by_serial),
        (filter.since.is_some() || filter.until.is_some(), by_moment),
        (filter.kind.is_some(), by_kind),
        (filter.disk.is_some(), by_disk),
        (filter.sellers.len() > 1, by_sellers),
    ];
    given.into_iter().filter(|(is_given, _)| *is_given).map(|(_, way)| way)
}

/// Everything that is asked of a job, but for the place that its page begins at.
fn conditions(query: &mut QueryBuilder<Sqlite>, filter: &JobFilter) {
    match filter.sellers.as_slice() {
        [] => {}
        // Of one seller there is an index in the order of the page. Of several it would give one after the other, to be sorted
        // with all their bodies: the sign keeps it away.
        [one] => {
            query.push(" AND jobs.seller = ").push_bind(one.to_string());
        }
        several => {
            query.push(" AND +jobs.seller IN (SELECT value FROM json_each(").push_bind(text(&several)).push("))");
        }
    }
    // What was looked up by its state is not asked for it again, or the index would be taken whose order is another one.
    if !filter.states.is_empty() && !looks_up_rare_ends(filter) {
        match filter.states.as_slice() {
            [one] => query.push(" AND jobs.state = ").push_bind(word(one)),
            several => query.push(" AND jobs.state IN (SELECT value FROM json_each(").push_bind(text(&several)).push("))"),
        };
        if live(filter) {
            query.push(" AND jobs.live = 1");
        } else if ended_rarely(filter) {
            query.push(RARE_ENDS);
        }
    }
    if let Some(serial) = &filter.serial {
        query.push(" AND jobs.serial = ").push_bind(serial.to_string());
    }
    if let Some(prefix) = &filter.serial_prefix {
        query.push(" AND substr(jobs.serial, 1, length(").push_bind(prefix.clone());
        query.push(")) = ").push_bind(prefix.clone());
    }
    let accepted = " AND EXISTS (SELECT 1 FROM accepted WHERE accepted.place = jobs.place AND accepted.";
    if let Some(kind) = filter.kind {
        query.push(accepted).push("kind = ").push_bind(kind.to_string()).push(")");
    }
    if let Some(since) = filter.since {
        query.push(accepted).push("at >= ").push_bind(since.0).push(")");
    }
    if let Some(until) = filter.until {
        query.push(accepted).push("at < ").push_bind(until.0).push(")");
    }
    if let Some(disk) = &filter.disk {
        query.push(" AND EXISTS (SELECT 1 FROM attempted WHERE attempted.place = jobs.place AND attempted.disk = ");
        query.push_bind(disk.to_string()).push(")");
    }
    if let Some(code) = &filter.problem {
        query.push(" AND json_extract(jobs.body, '$.problem.code') = ").push_bind(code.clone());
    }
    if let Some(class) = &filter.class {
        query.push(" AND json_extract(jobs.body, '$.problem.class') = ").push_bind(word(class));
    }
}

impl SqliteStore {
    pub(super) async fn job_page(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Result<Page, StoreError> {
        let limit = i64::from(limit.clamp(1, PAGE_JOBS));
        let before: i64 = match cursor {
            None => i64::MAX,
            Some(cursor) => cursor.strip_prefix("p").and_then(|place| place.parse().ok()).ok_or(StoreError::Cursor)?,
        };
        let mut query = QueryBuilder::new("SELECT jobs.place, jobs.body FROM ");
        let mut order = "jobs.place";
        if looks_up_rare_ends(filter) {
            query.push("jobs WHERE jobs.place IN (");
            by_rare_end(&mut query, filter);
            query.push(") AND jobs.place < ").push_bind(before);
        } else if live(filter) || ended_rarely(filter) {
            query.push("jobs WHERE jobs.place < ").push_bind(before);
        } else if let Some(way) = self.way_to_few(filter).await? {
            query.push("jobs WHERE jobs.place IN (");
            way(&mut query, filter);
            query.push(") AND jobs.place < ").push_bind(before);
        } else if let Some(disk) = &filter.disk {
            // In the order of the page: the outer table of a cross join is the first one.
            order = "given.place";
            query.push("attempted AS given CROSS JOIN jobs ON jobs.place = given.place WHERE given.disk = ");
            query.push_bind(disk.to_string()).push(" AND given.place < ").push_bind(before);
        } else {
            query.push("jobs WHERE jobs.place < ").push_bind(before);
        }
        conditions(&mut query, filter);
        // One more than asked tells whether there is a next page.
        query.push(format_args!(" ORDER BY {order} DESC LIMIT ")).push_bind(limit + 1);
        let rows = query.build().fetch_all(self.readers().await?).await?;
        let more = rows.len() as i64 > limit;
        let mut page = Page::default();
        for row in rows.iter().take(limit as usize) {
            page.jobs.push(std::sync::Arc::new(self.vault.job(row.try_get(1)?)?));
            if more {
                page.cursor = Some(format!("p{}", row.try_get::<i64, _>(0)?));
            }
        }
        Ok(page)
    }

    /// The first filter that few jobs pass.
    async fn way_to_few(&self, filter: &JobFilter) -> Result<Option<Way>, StoreError> {
        for way in ways(filter) {
            let mut query = QueryBuilder::new("SELECT count(*) FROM (");
            way(&mut query, filter);
            query.push(" LIMIT ").push_bind(FEW + 1).push(")");
            if query.build_query_scalar::<i64>().fetch_one(self.readers().await?).await? <= FEW {
                return Ok(Some(way));
            }
        }
        Ok(None)
    }
}

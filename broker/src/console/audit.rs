//! The chains: searched by a word, and recomputed.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Response;
use axum::routing::{get, post};
use taxdisk_protocol::chain::StoredEntry;
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::time::Timestamp;

use super::jobs::{query, url};
use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, refused, shell, words};
use crate::http::parsed;
use crate::http::refused::Refused;
use crate::store::audit::VerifyView;

/// Entries of a page.
const PAGE: usize = 50;
/// Entries that are read at once.
const SLICE: u32 = 500;
/// Entries that one search looks at; the page says how far it came, and goes on from there.
const LOOKED_AT: usize = 5000;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/audit", get(list)).route("/console/audit/verify", post(verify))
}

struct Entry {
    sequence: i64,
    at: String,
    what: String,
    serial: String,
    url: String,
    body: String,
    hash: String,
}

#[derive(Template)]
#[template(path = "console/audit.html")]
struct Audit {
    shell: Shell,
    seller: String,
    word: String,
    entries: Vec<Entry>,
    next: Option<String>,
    found: Option<VerifyView>,
}

fn entry(entry: &StoredEntry) -> Entry {
    Entry {
        sequence: entry.sequence,
        at: words::time(Timestamp(entry.at)),
        what: entry.what.clone(),
        serial: entry.serial.clone(),
        url: url(&entry.seller, &entry.serial),
        body: entry.body.clone(),
        hash: entry.hash.chars().take(16).collect(),
    }
}

/// A search along a chain, as far as one page goes.
struct Search<'a> {
    word: &'a str,
    /// The last entry that was looked at.
    after: i64,
    entries: Vec<Entry>,
    looked_at: usize,
}

impl Search<'_> {
    fn wants_more(&self) -> bool {
        self.entries.len() < PAGE && self.looked_at < LOOKED_AT
    }

    /// Looks at the entries that come next; true: some of them were left, because the page is full.
    fn take(&mut self, slice: &[StoredEntry]) -> bool {
        for one in slice {
            if !self.wants_more() {
                return true;
            }
            self.after = one.sequence;
            self.looked_at += 1;
            if [&one.what, &one.serial, &one.body].iter().any(|text| text.contains(self.word)) {
                self.entries.push(entry(one));
            }
        }
        false
    }
}

/// Seller as the ledger names its chain: empty is the broker's own.
fn chain(seller: &str) -> Result<String, Refused> {
    if seller.is_empty() {
        return Ok(String::new());
    }
    Ok(parsed::<TaxpayerNumber>("seller", seller)?.to_string())
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    either(listed(&console, &visitor).await)
}

async fn listed(console: &Console, visitor: &Visitor) -> Page {
    let field = |name: &str| visitor.query.get(name).unwrap_or_default().trim().to_owned();
    let seller = chain(&field("seller")).map_err(|problem| shell::problem(console, visitor, problem))?;
    let word = field("word");
    let mut search = Search { word: &word, after: field("after").parse().unwrap_or(0), entries: Vec::new(), looked_at: 0 };
    let mut more = true;
    while more && search.wants_more() {
        let slice = console.edge.ledger.audit_entries(&seller, search.after, SLICE).await;
        let slice = slice.map_err(|refusal| refused(console, visitor, refusal))?;
        more = search.take(&slice) || slice.len() == SLICE as usize;
    }
    let Search { after, entries, .. } = search;
    let next = more.then(|| format!("seller={}&word={}&after={after}", query(&seller), query(&word)));
    Ok(page(&Audit { shell: Shell::new(visitor, "menu_audit"), seller, word, entries, next, found: None }))
}

async fn verify(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let seller = chain(form.get("seller").unwrap_or_default().trim());
        let seller = seller.map_err(|problem| shell::problem(&console, &visitor, problem))?;
        let one: Option<TaxpayerNumber> = seller.parse().ok();
        let found = console.edge.ledger.verify(one.as_ref()).await.map_err(|refusal| refused(&console, &visitor, refusal))?;
        if !found.whole {
            tracing::error!(?found, "the ledger is not as it was written");
        }
        let shell = Shell::new(&visitor, "menu_audit");
        Ok(page(&Audit { shell, seller, word: String::new(), entries: Vec::new(), next: None, found: Some(found) }))
    }
    .await;
    either(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(first: i64, count: i64, what: &str) -> Vec<StoredEntry> {
        let one = |sequence| StoredEntry {
            seller: String::new(),
            sequence,
            at: 0,
            serial: String::new(),
            what: what.to_owned(),
            body: String::new(),
            revision: 0,
            content: None,
            content_hash: String::new(),
            hash: String::new(),
        };
        (first..first + count).map(one).collect()
    }

    #[test]
    fn a_search_ends_with_its_page_or_when_it_has_looked_at_so_much() {
        let mut search = Search { word: "there", after: 0, entries: Vec::new(), looked_at: 0 };
        for slice in 0..10 {
            assert!(search.wants_more(), "{slice}");
            assert!(!search.take(&entries(1 + 500 * slice, 500, "nothing")));
        }
        assert!(!search.wants_more(), "five thousand entries");
        assert!(search.take(&entries(5001, 1, "it is there")));
        assert_eq!((search.after, search.entries.len()), (5000, 0), "the next page begins where this one ended");
        let mut search = Search { word: "there", after: 0, entries: Vec::new(), looked_at: 0 };
        assert!(search.take(&entries(1, 60, "it is there")));
        assert_eq!((search.after, search.entries.len()), (50, PAGE));
    }
}

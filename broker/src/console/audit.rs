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
    let mut after: i64 = field("after").parse().unwrap_or(0);
    let (mut entries, mut looked_at, mut more) = (Vec::new(), 0, true);
    while more && looked_at < LOOKED_AT {
        let slice = console.edge.ledger.audit_entries(&seller, after, SLICE).await;
        let slice = slice.map_err(|refusal| refused(console, visitor, refusal))?;
        more = slice.len() == SLICE as usize;
        for one in &slice {
            after = one.sequence;
            looked_at += 1;
            let is_wanted = [&one.what, &one.serial, &one.body].iter().any(|text| text.contains(&word));
            if is_wanted {
                entries.push(entry(one));
            }
            if entries.len() == PAGE {
                break;
            }
        }
        if entries.len() == PAGE {
            more = true;
            break;
        }
    }
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

//! Re-issues many jobs by a filter: first what it would do, then, from that very page, the thing itself.
//!
//! Nothing begins that was not looked at: the page of a dry run holds the request, its key and a digest that only this session
//! can make of it. So what begins is what was shown, and a button that is pressed twice begins one.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use taxdisk_protocol::api::{BulkFilter, BulkLine, BulkReissueRequest, BulkView, JobState};
use taxdisk_web::form::Form;

use super::jobs::url;
use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, refused, see_other, shell, words};
use crate::ledger;

/// States that can be chosen, as the form names them; without a choice the first.
const STATES: [(&str, JobState); 3] =
    [("failed", JobState::Failed), ("cancelled", JobState::Cancelled), ("issued", JobState::Issued)];
/// Lines of a dry run that are shown; the counts are of all.
const LINES: usize = 100;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/bulk", get(form).post(look))
        .route("/console/bulk/begin", post(begin))
        .route("/console/bulk/{key}", get(show))
}

struct Line {
    url: String,
    serial: String,
    seller: String,
    action: String,
    refused: String,
}

/// What a dry run or a bulk re-issue came to.
struct Shown {
    key: String,
    jobs: u64,
    done: bool,
    dry_run: bool,
    by: String,
    reason: String,
    totals: Vec<(String, u64)>,
    refused: Vec<(String, u64)>,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "console/bulk.html")]
struct Bulk {
    shell: Shell,
    view: Option<Shown>,
    /// The request and its digest, for the button that begins it.
    request: String,
    seen: String,
    asked: Asked,
}

/// The form as it was filled in: whoever looks once more changes one field of it, and writes none anew.
#[derive(Default)]
struct Asked {
    states: Vec<(&'static str, String, bool)>,
    seller: String,
    problem: String,
    kind: String,
    disk: String,
    serial: String,
    reason: String,
}

impl Asked {
    fn of(shell: &Shell, form: Option<&Form>) -> Asked {
        let field = |name: &str| form.and_then(|form| form.get(name)).unwrap_or_default().trim().to_owned();
        let state = field("state");
        let chosen = |(word, _): &(&'static str, JobState)| (*word, shell.t(&format!("state_{word}")).to_owned(), state == *word);
        Asked {
            states: STATES.iter().map(chosen).collect(),
            seller: field("seller"),
            problem: field("problem"),
            kind: field("kind"),
            disk: field("disk"),
            serial: field("serial"),
            reason: field("reason"),
        }
    }
}

fn shown(shell: &Shell, view: BulkView) -> Shown {
    let action = |word: String| shell.t(&format!("bulk_{word}")).to_owned();
    let line = |line: &BulkLine| Line {
        url: url(&line.seller, &line.serial),
        serial: line.serial.clone(),
        seller: line.seller.clone(),
        action: action(words::word(&line.action)),
        refused: line.refused.clone().unwrap_or_default(),
    };
    Shown {
        jobs: view.jobs,
        done: view.done,
        dry_run: view.dry_run,
        totals: view.totals.iter().map(|(one, count)| (action(words::word(one)), *count)).collect(),
        refused: view.refused.iter().map(|(code, count)| (code.clone(), *count)).collect(),
        lines: view.lines.iter().take(LINES).map(line).collect(),
        key: view.key,
        by: view.by,
        reason: view.reason,
    }
}

/// What only this session makes of a request that it was shown.
fn seen(visitor: &Visitor, request: &str) -> String {
    let token = visitor.signed.as_ref().map_or("", |(_, signed)| signed.token.as_str());
    hex::encode(Sha256::digest(format!("taxdisk-bulk-v1\n{token}\n{request}")))
}

async fn form(Extension(visitor): Who) -> Response<Body> {
    let shell = Shell::new(&visitor, "menu_bulk");
    page(&Bulk { view: None, request: String::new(), seen: String::new(), asked: Asked::of(&shell, None), shell })
}

/// A dry run.
async fn look(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let field = |name: &str| form.get(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let wanted = form.get("state").unwrap_or_default();
        let state = STATES.iter().find(|(word, _)| *word == wanted).map_or(JobState::Failed, |(_, state)| *state);
        let filter = BulkFilter {
            seller: field("seller"),
            states: vec![state],
            problem: field("problem"),
            kind: field("kind"),
            disk: field("disk"),
            serial: field("serial"),
            ..BulkFilter::default()
        };
        let key = format!("console-{}", hex::encode(rand::random::<[u8; 8]>()));
        let request = BulkReissueRequest { key, filter, reason: field("reason").unwrap_or_default(), dry_run: false };
        let dry_run = BulkReissueRequest { dry_run: true, ..request.clone() };
        let view = visitor.ledger(&console).reissue_bulk(dry_run, &visitor.by(), &[]).await;
        let ledger::Asked::Done(view) = view.map_err(|refusal| refused(&console, &visitor, refusal))? else {
            return Err(shell::busy(&console, &visitor));
        };
        let request = serde_json::to_string(&request).unwrap_or_default();
        let shell = Shell::new(&visitor, "menu_bulk");
        let seen = seen(&visitor, &request);
        let asked = Asked::of(&shell, Some(&form));
        Ok(page(&Bulk { view: Some(self::shown(&shell, view)), request, seen, asked, shell }))
    }
    .await;
    either(step)
}

async fn begin(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let text = form.get("request").unwrap_or_default();
        let given = form.get("seen").unwrap_or_default();
        let was_seen: bool = seen(&visitor, text).as_bytes().ct_eq(given.as_bytes()).into();
        let request = serde_json::from_str::<BulkReissueRequest>(text).ok().filter(|_| was_seen);
        let Some(request) = request.filter(|_| form.get("confirm") == Some("yes")) else {
            return Err(shell::unconfirmed(&console, &visitor));
        };
        let view = visitor.ledger(&console).reissue_bulk(request, &visitor.by(), &[]).await;
        let view = match view.map_err(|refusal| refused(&console, &visitor, refusal))? {
            ledger::Asked::Done(view) => view,
            ledger::Asked::Proposed(proposal) => {
                tracing::warn!(proposal = proposal.id, by = visitor.by(), "waits for a second person");
                return Ok(see_other("/console/proposals?done=done_proposed"));
            }
        };
        tracing::warn!(key = view.key, by = visitor.by(), "bulk re-issue");
        Ok(see_other(&format!("/console/bulk/{}", view.key)))
    }
    .await;
    either(step)
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(key): Path<String>) -> Response<Body> {
    let step: Page = async {
        let view = console.edge.ledger.bulk(&key, &[]).await.map_err(|refusal| refused(&console, &visitor, refusal))?;
        let shell = Shell::new(&visitor, "menu_bulk");
        let (view, asked) = (Some(self::shown(&shell, view)), Asked::of(&shell, None));
        Ok(page(&Bulk { view, request: String::new(), seen: String::new(), asked, shell }))
    }
    .await;
    either(step)
}

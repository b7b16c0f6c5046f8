//! The list of jobs, a page at a time, newest first.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Response;
use axum::routing::get;
use taxdisk_protocol::api::{JobPage, JobState, JobView, Waiting};
use taxdisk_protocol::error::Code;
use taxdisk_protocol::number::NumberPair;

use super::shell::Shell;
use super::{Console, Page, Shared, Visitor, Who, either, page, refused, shell, words};
use crate::http::{Refused, parsed};
use crate::ledger::JobFilter;

/// Jobs of a page.
const PAGE: u32 = 50;

pub(super) const STATES: [JobState; 7] = [
    JobState::Queued,
    JobState::Assigned,
    JobState::Unsettled,
    JobState::Issued,
    JobState::Voided,
    JobState::Failed,
    JobState::Cancelled,
];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/jobs", get(list))
}

pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) chosen: bool,
}

struct Row {
    url: String,
    accepted: String,
    seller: String,
    serial: String,
    state: String,
    class: &'static str,
    waiting: String,
    number: String,
    kind: String,
    problem: String,
}

#[derive(Template)]
#[template(path = "console/jobs.html")]
struct Jobs {
    shell: Shell,
    states: Vec<Choice>,
    waitings: Vec<Choice>,
    seller: String,
    serial: String,
    number: String,
    rows: Vec<Row>,
    first: String,
    next: Option<String>,
}

/// How a state looks.
pub(super) fn class(state: JobState) -> &'static str {
    match state {
        JobState::Issued | JobState::Voided => "good",
        JobState::Failed | JobState::Unsettled => "bad",
        JobState::Queued | JobState::Assigned => "warn",
        JobState::Cancelled => "",
    }
}

/// Where a job is looked at.
pub(super) fn url(seller: &str, serial: &str) -> String {
    format!("/console/jobs/{seller}/{}", query(serial))
}

/// A text inside a path or query (RFC 3986).
pub(super) fn query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn row(shell: &Shell, job: &JobView) -> Row {
    let word = |prefix: &str, value: String| match value.is_empty() {
        true => String::new(),
        false => shell.t(&format!("{prefix}_{value}")).to_owned(),
    };
    Row {
        url: url(&job.seller, &job.serial),
        accepted: words::time_of(&job.accepted_at),
        seller: job.seller.clone(),
        serial: job.serial.clone(),
        state: word("state", words::word(&job.state)),
        class: class(job.state),
        waiting: word("waiting", job.waiting.as_ref().map(words::word).unwrap_or_default()),
        number: job.issued.as_ref().map(|issued| format!("{} {}", issued.code, issued.number)).unwrap_or_default(),
        kind: format!("{} {}", job.kind, word("operation", words::word(&job.operation))),
        problem: job.problem.as_ref().map(|problem| problem.text.clone()).unwrap_or_default(),
    }
}

/// What was asked for.
struct Asked {
    filter: JobFilter,
    number: Option<NumberPair>,
}

/// Of the page's own query; what cannot be read is said like the API says it.
fn asked(visitor: &Visitor) -> Result<Asked, Refused> {
    let field = |name: &str| visitor.query.get(name).map(str::trim).filter(|text| !text.is_empty());
    let mut filter = JobFilter::default();
    if let Some(seller) = field("seller") {
        filter.sellers = vec![parsed("seller", seller)?];
    }
    if let Some(state) = field("state") {
        let known = serde_json::from_value(state.into());
        filter.states = vec![known.map_err(|error| Refused::new(Code::InvalidParameter, format!("state: {error}")))?];
    }
    if let Some(waiting) = field("waiting") {
        let known = serde_json::from_value(waiting.into());
        filter.waiting = Some(known.map_err(|error| Refused::new(Code::InvalidParameter, format!("waiting: {error}")))?);
        // Only queued jobs wait.
        filter.states = vec![JobState::Queued];
    }
    filter.serial = field("serial").map(|serial| parsed("serial", serial)).transpose()?;
    let number = field("number").map(|number| {
        // As people copy them: with a blank or none between the code and the last eight digits.
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let (code, number) = digits.split_at(digits.len().saturating_sub(8));
        Ok::<_, Refused>(NumberPair { code: parsed("number", code)?, number: parsed("number", number)? })
    });
    Ok(Asked { filter, number: number.transpose()? })
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    either(shown(&console, &visitor).await)
}

async fn shown(console: &Console, visitor: &Visitor) -> Page {
    let shell = Shell::new(visitor, "menu_jobs");
    let Asked { filter, number } = asked(visitor).map_err(|problem| shell::problem(console, visitor, problem))?;
    let found = found(console, visitor, &filter, number).await?;
    let field = |name: &str| visitor.query.get(name).unwrap_or_default().to_owned();
    let choices = |prefix: &str, values: Vec<String>| {
        let chosen = field(prefix);
        let choice =
            |value: String| Choice { label: shell.t(&format!("{prefix}_{value}")).to_owned(), chosen: value == chosen, value };
        values.into_iter().map(choice).collect::<Vec<_>>()
    };
    let kept = ["state", "waiting", "seller", "serial", "number"].map(|name| (name, field(name)));
    let kept = kept.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={}", query(value)));
    let first = kept.collect::<Vec<_>>().join("&");
    Ok(page(&Jobs {
        states: choices("state", STATES.iter().map(words::word).collect()),
        waitings: choices("waiting", Waiting::ALL.iter().map(words::word).collect()),
        seller: field("seller"),
        serial: field("serial"),
        number: field("number"),
        rows: found.jobs.iter().map(|job| row(&shell, job)).collect(),
        next: found.cursor.map(|cursor| format!("{first}&cursor={}", query(&cursor))),
        first,
        shell,
    }))
}

/// By what is in the hand first: each of these is a few steps in an index, however many jobs there are.
async fn found(
    console: &Console,
    visitor: &Visitor,
    filter: &JobFilter,
    number: Option<NumberPair>,
) -> Result<JobPage, Response<Body>> {
    let ledger = &console.edge.ledger;
    let told = |refusal| refused(console, visitor, refusal);
    let exact = match (number, &filter.serial) {
        (Some(number), _) => ledger.jobs_of_number(number).await.map_err(told)?,
        (None, Some(serial)) => ledger.jobs_of_serial(serial).await.map_err(told)?,
        (None, None) => return ledger.jobs(filter, visitor.query.get("cursor"), PAGE).await.map_err(told),
    };
    let wanted = |job: &JobView| {
        (filter.sellers.is_empty() || filter.sellers.iter().any(|seller| seller.as_str() == job.seller))
            && (filter.states.is_empty() || filter.states.contains(&job.state))
            && (filter.waiting.is_none() || filter.waiting == job.waiting)
            && filter.serial.as_ref().is_none_or(|serial| serial.as_str() == job.serial)
    };
    Ok(JobPage { jobs: exact.into_iter().filter(wanted).collect(), cursor: None })
}

//! What is going on: jobs by state and by what they wait for, how long and how fast, agents and disks in trouble.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Response;
use axum::routing::get;
use taxdisk_protocol::api::{Severity, WarningView};

use super::shell::Shell;
use super::{Console, Page, Shared, Visitor, Who, either, live, page, refused, words};
use crate::ledger::Figures;

/// Warnings that are shown.
const WARNINGS: usize = 20;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console", get(whole)).route("/console/now", get(part)).route("/console/live", get(live::stream))
}

/// A number with its name and where it is looked at.
struct Count {
    label: String,
    count: u64,
    path: String,
    class: &'static str,
}

struct Warning {
    label: String,
    text: String,
    disk: String,
    since: String,
    critical: bool,
}

/// What is replaced while somebody looks.
struct Now {
    shell: Shell,
    counts: Vec<Count>,
    waiting: Vec<Count>,
    oldest: String,
    minute: live::Ended,
    hour: live::Ended,
    disks: Vec<Count>,
    warnings: Vec<Warning>,
    more_warnings: usize,
    at: String,
}

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Whole {
    shell: Shell,
    now: Now,
}

#[derive(Template)]
#[template(path = "console/now.html")]
struct Part {
    now: Now,
}

async fn whole(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let step: Page = async {
        let now = now(&console, &visitor).await?;
        Ok(page(&Whole { shell: Shell::new(&visitor, "menu_overview"), now }))
    }
    .await;
    either(step)
}

async fn part(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    either(now(&console, &visitor).await.map(|now| page(&Part { now })))
}

async fn now(console: &Console, visitor: &Visitor) -> Result<Now, Response<Body>> {
    let ledger = &console.edge.ledger;
    let told = |refusal| refused(console, visitor, refusal);
    let figures = ledger.figures().await.map_err(told)?;
    let all = ledger.warnings().await.map_err(told)?;
    let shell = Shell::new(visitor, "menu_overview");
    let at = ledger.now();
    let count = |key: &str, count: u64, path: &str, bad: bool| Count {
        label: shell.t(key).to_owned(),
        count,
        path: path.to_owned(),
        class: if bad && count > 0 { "bad" } else { "" },
    };
    let queued = figures.queued.iter().map(|(_, count)| count).sum();
    let counts = vec![
        count("state_queued", queued, "/console/jobs?state=queued", false),
        count("state_assigned", figures.assigned, "/console/jobs?state=assigned", false),
        count("state_unsettled", figures.unsettled, "/console/jobs?state=unsettled", true),
    ];
    let waiting = figures.queued.iter().map(|(reason, number)| {
        let word = words::word(reason);
        count(&format!("waiting_{word}"), *number, &format!("/console/jobs?waiting={word}"), word != "backlog")
    });
    let waiting = waiting.collect();
    let disks = disks(&figures, count);
    let warnings = all.iter().take(WARNINGS).map(|warning| shown(&shell, warning)).collect();
    Ok(Now {
        waiting,
        counts,
        disks,
        warnings,
        oldest: words::span(visitor.language, figures.oldest_queued_s),
        minute: console.pace.lately(1, at),
        hour: console.pace.lately(60, at),
        more_warnings: all.len().saturating_sub(WARNINGS),
        at: words::time(at),
        shell,
    })
}

fn disks(figures: &Figures, count: impl Fn(&str, u64, &str, bool) -> Count) -> Vec<Count> {
    vec![
        count("agents_online", figures.sessions, "/console/agents", false),
        count("disks_online", figures.disks_online, "/console/disks", false),
        count("disks_known", figures.disks_known, "/console/disks", false),
        count("disks_troubled", figures.disks_troubled, "/console/disks", true),
        count("disks_paused", figures.disks_paused, "/console/disks", true),
        count("disks_contested", figures.disks_contested, "/console/disks", true),
    ]
}

fn shown(shell: &Shell, warning: &WarningView) -> Warning {
    Warning {
        label: shell.t(&format!("warning_{}", warning.code.as_str())).to_owned(),
        text: words::said(shell.lang, &warning.text),
        disk: warning.disk.clone(),
        since: words::time_of(&warning.since),
        critical: warning.severity == Severity::Critical,
    }
}

//! What waits for a second person: seen by everybody, confirmed by an administrator who did not propose it, and taken back by
//! whoever did.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use taxdisk_protocol::api::{ProposalView, Proposed};
use taxdisk_protocol::said;
use taxdisk_web::pages::Lang;

use super::jobs::url;
use super::roles::Action;
use super::shell::Shell;
use super::{Console, Form, Page, Posted, Shared, Visitor, Who, either, page, refused, see_other, shell, words};
use crate::ledger::Confirmed;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/proposals", get(list))
        .route("/console/proposals/{id}/confirm", post(confirm))
        .route("/console/proposals/{id}/decline", post(decline))
        .route("/console/proposals/{id}/withdraw", post(withdraw))
}

struct Row {
    id: String,
    what: String,
    /// Of a settlement: the job, and its page.
    job: Option<(String, String)>,
    by: String,
    at: String,
    until: String,
    reason: String,
    /// What exactly is done, and to which jobs.
    said: Vec<String>,
    /// He proposed it himself.
    own: bool,
}

#[derive(Template)]
#[template(path = "console/proposals.html")]
struct Proposals {
    shell: Shell,
    rows: Vec<Row>,
    may_decide: bool,
    may_withdraw: bool,
}

fn row(shell: &Shell, view: ProposalView, own: bool) -> Row {
    let job = match &view.what {
        Proposed::Settle { seller, serial, .. } => Some((format!("{seller} {serial}"), url(seller, serial))),
        // The job is one that the ledger has forgotten: it has no page.
        Proposed::BulkReissue { .. }
        | Proposed::ReconcileNumber { .. }
        | Proposed::ReconcileJob { .. }
        | Proposed::ReleaseUnread { .. } => None,
    };
    let key = match &view.what {
        Proposed::Settle { .. } => "proposal_settle",
        Proposed::BulkReissue { .. } => "proposal_bulk",
        Proposed::ReconcileNumber { .. } => "proposal_number",
        Proposed::ReconcileJob { .. } => "proposal_line",
        Proposed::ReleaseUnread { .. } => "proposal_release",
    };
    Row {
        what: shell.t(key).to_owned(),
        said: said::proposal(tongue(shell.lang), &view.what),
        job,
        at: words::time_of(&view.at),
        until: words::time_of(&view.expires_at),
        own,
        id: view.id,
        by: view.by,
        reason: view.reason,
    }
}

fn tongue(lang: Lang) -> said::Tongue {
    match lang {
        Lang::Zh => said::Tongue::Zh,
        Lang::En => said::Tongue::En,
    }
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let step: Page = async {
        let views =
            console.edge.ledger.proposals_seen_by(&visitor.by()).await.map_err(|refusal| refused(&console, &visitor, refusal))?;
        let shell = Shell::new(&visitor, "menu_proposals");
        let rows = views.into_iter().map(|(view, own)| row(&shell, view, own)).collect();
        let (may_decide, may_withdraw) = (visitor.may(Action::Settle), visitor.may(Action::Operate));
        Ok(page(&Proposals { shell, rows, may_decide, may_withdraw }))
    }
    .await;
    either(step)
}

async fn confirm(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    let step: Page = async {
        if form.get("confirm") != Some("yes") {
            return Err(shell::unconfirmed(&console, &visitor));
        }
        let confirmed = visitor.ledger(&console).confirm(&id, &visitor.by()).await;
        let confirmed = confirmed.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::warn!(proposal = id, by = visitor.by(), "confirmed by a second person");
        Ok(match confirmed {
            Confirmed::Job(job) => see_other(&format!("{}?done=done_settled", url(&job.seller, &job.serial))),
            Confirmed::Bulk(view) => see_other(&format!("/console/bulk/{}", view.key)),
            Confirmed::Entered => see_other("/console/proposals?done=done_entered"),
        })
    }
    .await;
    either(step)
}

async fn decline(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    end(&console, &visitor, &form, &id, End::Declined).await
}

async fn withdraw(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    end(&console, &visitor, &form, &id, End::Withdrawn).await
}

/// How a proposal ends by somebody's word.
#[derive(Debug, Clone, Copy)]
enum End {
    Declined,
    Withdrawn,
}

async fn end(console: &Console, visitor: &Visitor, form: &Form, id: &str, how: End) -> Response<Body> {
    let step: Page = async {
        let (ledger, reason, by) = (visitor.ledger(console), form.get("reason").unwrap_or_default(), visitor.by());
        let (ended, done) = match how {
            End::Declined => (ledger.decline(id, reason, &by).await, "done_declined"),
            End::Withdrawn => (ledger.withdraw(id, reason, &by).await, "done_withdrawn"),
        };
        ended.map_err(|refusal| refused(console, visitor, refusal))?;
        tracing::info!(proposal = id, by, ?how, "ended by a word");
        Ok(see_other(&format!("/console/proposals?done={done}")))
    }
    .await;
    either(step)
}

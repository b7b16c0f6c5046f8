//! Agents: which are on line, with which version and disks, and how they stand with updates; a code to enrol a new one, also as a
//! picture to be scanned.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, QRCode};
use taxdisk_protocol::api::{AgentView, EnrollmentRequest};
use taxdisk_protocol::update::{UpdatePolicy, UpdateState, UpdatesView};

use super::roles::Action;
use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, refused, see_other, shell, words};
use crate::http::parsed;

/// The quiet zone of the standard, modules.
const QUIET: usize = 4;
/// Characters of a name at most.
const NAME: usize = 100;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/agents", get(list))
        .route("/console/agents/enroll", post(enroll))
        .route("/console/agents/updates", post(updates))
        .route("/console/agents/{id}/revoke", post(revoke))
}

struct Row {
    id: String,
    name: String,
    online: bool,
    revoked: bool,
    paused: bool,
    version: String,
    update: String,
    /// Nothing a person should look at.
    update_good: bool,
    disks: Vec<String>,
    enrolled: String,
    seen: String,
    alarms: Vec<String>,
}

/// A new code, with its picture: side in modules, and the dark ones as a path.
struct Made {
    code: String,
    until: String,
    side: usize,
    path: String,
}

#[derive(Template)]
#[template(path = "console/agents.html")]
struct Agents {
    shell: Shell,
    rows: Vec<Row>,
    updates: UpdatesView,
    made: Option<Made>,
    may_operate: bool,
    may_manage: bool,
}

fn row(agent: AgentView, t: impl Fn(&str) -> String) -> Row {
    let update = agent.update.as_ref().map(|update| {
        let parts = [t(&format!("update_{}", update.state.as_str())), update.version.clone().unwrap_or_default()];
        let text = if update.text.is_empty() { String::new() } else { format!(" ({})", update.text) };
        format!("{}{text}", parts.join(" ").trim_end())
    });
    Row {
        update: update.unwrap_or_default(),
        update_good: agent.update.as_ref().is_none_or(|update| update.state != UpdateState::Failed),
        id: agent.agent,
        name: agent.name,
        online: agent.online,
        revoked: agent.revoked,
        paused: agent.pause.is_some(),
        version: agent.version,
        disks: agent.disks,
        enrolled: words::time_of(&agent.enrolled_at),
        seen: agent.seen_at.as_deref().map(words::time_of).unwrap_or_default(),
        alarms: agent.alarms,
    }
}

fn picture(text: &str) -> Option<(usize, String)> {
    let code: QRCode = QRBuilder::new(text).ecl(ECL::M).build().ok()?;
    let mut path = String::new();
    for (row, modules) in code.data.chunks(code.size).take(code.size).enumerate() {
        for (column, _) in modules.iter().enumerate().filter(|(_, module)| module.value()) {
            path += &format!("M{} {}h1v1h-1z", column + QUIET, row + QUIET);
        }
    }
    Some((code.size + 2 * QUIET, path))
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    either(shown(&console, &visitor, None).await)
}

async fn shown(console: &Console, visitor: &Visitor, made: Option<Made>) -> Page {
    let mut agents = console.edge.ledger.agents().await.map_err(|refusal| refused(console, visitor, refusal))?;
    console.edge.hub.updates.add_to(&mut agents);
    let updates = console.edge.hub.updates.view().await.map_err(|refusal| refused(console, visitor, refusal))?;
    let shell = Shell::new(visitor, "menu_agents");
    let rows = agents.into_iter().map(|agent| row(agent, |key| shell.t(key).to_owned())).collect();
    Ok(page(&Agents {
        shell,
        rows,
        updates,
        made,
        may_operate: visitor.may(Action::Operate),
        may_manage: visitor.may(Action::Manage),
    }))
}

async fn enroll(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let name: String = form.get("name").unwrap_or_default().trim().chars().take(NAME).collect();
        let request = EnrollmentRequest { name, valid_s: None };
        let made = visitor.ledger(&console).create_enrollment(request, &visitor.by()).await;
        let made = made.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(by = visitor.by(), "enrolment code made");
        let (side, path) = picture(&made.code).unwrap_or_default();
        let made = Made { until: words::time_of(&made.expires_at), code: made.code, side, path };
        shown(&console, &visitor, Some(made)).await
    }
    .await;
    either(step)
}

/// Offers agents a channel and a range, or nothing. Agents that the policy names by the API stay the only ones.
async fn updates(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let policy = match form.get("act") {
            Some("offer") => {
                let text = |name: &str| form.get(name).unwrap_or_default().trim().chars().take(NAME).collect::<String>();
                let former = console.edge.ledger.update_policy().await;
                let former = former.map_err(|refusal| refused(&console, &visitor, refusal))?;
                let agents = former.map(|policy| policy.agents).unwrap_or_default();
                Some(UpdatePolicy { channel: text("channel"), versions: text("versions"), agents })
            }
            _ => None,
        };
        tracing::info!(?policy, by = visitor.by(), "updates of agents changed");
        let set = visitor.ledger(&console).set_update_policy(policy, &visitor.by()).await;
        set.map_err(|refusal| refused(&console, &visitor, refusal))?;
        console.edge.hub.updates.policy_changed();
        Ok(see_other("/console/agents?done=done_saved"))
    }
    .await;
    either(step)
}

async fn revoke(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    let step: Page = async {
        if form.get("confirm") != Some("yes") {
            return Err(shell::unconfirmed(&console, &visitor));
        }
        let agent = parsed("id", &id).map_err(|problem| shell::problem(&console, &visitor, problem))?;
        let done = visitor.ledger(&console).revoke_agent(&agent, &visitor.by()).await;
        done.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::warn!(%agent, by = visitor.by(), "agent revoked");
        Ok(see_other("/console/agents?done=done_saved"))
    }
    .await;
    either(step)
}

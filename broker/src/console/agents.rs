//! Agents: which are on line, with which version and disks, and how they stand with updates; a code to enrol a new one, also as a
//! picture to be scanned.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::update::{UpdatePolicy, UpdateState, UpdatesView};
use taxdisk_web::form::Form;

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
        .route("/console/agents/{id}/approve", post(approve))
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
    address: String,
    /// It enrolled by a code for many.
    waiting: bool,
    fingerprint: String,
    /// What it may have: a seller, a disk; empty: any.
    bounds: String,
}

/// Agents whose links come from one network: of a shop's, all are away at once when its line is.
#[derive(Default)]
struct Network {
    name: String,
    agents: usize,
    online: usize,
    paused: usize,
    disks: usize,
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
    networks: Vec<Network>,
    rows: Vec<Row>,
    updates: UpdatesView,
    made: Option<Made>,
    may_operate: bool,
    may_manage: bool,
}

/// The network of an address: what one line of a shop usually has. Of an address of IPv4 that is mapped to IPv6, the former.
fn network(address: IpAddr) -> (IpAddr, u8) {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            (Ipv4Addr::new(a, b, c, 0).into(), 24)
        }
        IpAddr::V6(v6) => (Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(), 64),
    }
}

/// Who counts where, in the order of the networks; last, under no name, who was not heard of since the broker's start. Revoked
/// agents come no more and do not count.
fn networks(agents: &[AgentView]) -> Vec<Network> {
    let mut found: BTreeMap<(bool, Option<(IpAddr, u8)>), Network> = BTreeMap::new();
    for agent in agents.iter().filter(|agent| !agent.revoked) {
        let of = agent.address.as_deref().and_then(|address| address.parse().ok()).map(network);
        let one = found.entry((of.is_none(), of)).or_default();
        one.name = of.map(|(address, bits)| format!("{address}/{bits}")).unwrap_or_default();
        one.agents += 1;
        one.online += usize::from(agent.online);
        one.paused += usize::from(agent.pause.is_some());
        one.disks += agent.disks.len();
    }
    found.into_values().collect()
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
        address: agent.address.unwrap_or_default(),
        waiting: agent.waiting,
        fingerprint: agent.fingerprint,
        bounds: [agent.seller, agent.disk].into_iter().flatten().collect::<Vec<_>>().join(" "),
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
    console.edge.hub.add_to(&mut agents);
    let updates = console.edge.hub.updates.view().await.map_err(|refusal| refused(console, visitor, refusal))?;
    let shell = Shell::new(visitor, "menu_agents");
    let networks = networks(&agents);
    let rows = agents.into_iter().map(|agent| row(agent, |key| shell.t(key).to_owned())).collect();
    Ok(page(&Agents {
        shell,
        networks,
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
        let seller = Some(form.get("seller").unwrap_or_default().trim().to_owned()).filter(|seller| !seller.is_empty());
        let request = EnrollmentRequest { name, seller, ..Default::default() };
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

/// The agent of a path, if the person ticked the confirmation.
fn confirmed(console: &Console, visitor: &Visitor, form: &Form, id: &str) -> Result<AgentId, Box<Response<Body>>> {
    if form.get("confirm") != Some("yes") {
        return Err(Box::new(shell::unconfirmed(console, visitor)));
    }
    parsed("id", id).map_err(|problem| Box::new(shell::problem(console, visitor, problem)))
}

async fn revoke(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    let step: Page = async {
        let agent = confirmed(&console, &visitor, &form, &id).map_err(|page| *page)?;
        let done = visitor.ledger(&console).revoke_agent(&agent, &visitor.by()).await;
        done.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::warn!(%agent, by = visitor.by(), "agent revoked");
        Ok(see_other("/console/agents?done=done_saved"))
    }
    .await;
    either(step)
}

/// Approves an agent that enrolled by a code for many: whoever does has compared its fingerprint with what the PC shows.
async fn approve(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    let step: Page = async {
        let agent = confirmed(&console, &visitor, &form, &id).map_err(|page| *page)?;
        let done = visitor.ledger(&console).approve_agent(&agent, None, &visitor.by()).await;
        done.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(%agent, by = visitor.by(), "agent approved");
        Ok(see_other("/console/agents?done=done_saved"))
    }
    .await;
    either(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(address: Option<&str>, online: bool, revoked: bool) -> AgentView {
        AgentView {
            agent: "ag_0123456789abcdef".to_owned(),
            name: "till".to_owned(),
            online,
            version: "0.1.0".to_owned(),
            disks: if online { vec!["499000123456".to_owned()] } else { Vec::new() },
            enrolled_at: "2026-02-03T01:53:00Z".to_owned(),
            seen_at: None,
            revoked,
            alarms: Vec::new(),
            pause: None,
            update: None,
            address: address.map(str::to_owned),
            waiting: false,
            seller: None,
            disk: None,
            fingerprint: String::new(),
        }
    }

    #[test]
    fn agents_count_by_network_and_who_was_not_heard_of_comes_last() {
        let agents = [
            agent(Some("192.0.2.200"), true, false),
            agent(None, false, false),
            agent(Some("2001:db8::1:2:3:4"), true, false),
            agent(Some("192.0.2.7"), false, false),
            agent(Some("::ffff:192.0.2.8"), true, false),
            agent(Some("192.0.3.7"), true, false),
            agent(Some("192.0.3.8"), false, true),
        ];
        let found: Vec<_> = networks(&agents).into_iter().map(|one| (one.name, one.agents, one.online, one.disks)).collect();
        let row = |name: &str, agents, online, disks| (name.to_owned(), agents, online, disks);
        let expected =
            [row("192.0.2.0/24", 3, 2, 2), row("192.0.3.0/24", 1, 1, 1), row("2001:db8::/64", 1, 1, 1), row("", 1, 0, 0)];
        assert_eq!(found, expected);
    }
}

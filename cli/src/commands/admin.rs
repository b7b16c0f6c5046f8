//! Sellers, issue points, disks, agents, enrolment codes and keys.

use serde_json::{Value, json};
use taxdisk_protocol::api::{
    AgentName, AgentView, DiskAssignment, DiskTrouble, DiskView, EnrollmentCode, EnrollmentRequest, IssuePointBody, KeyRequest,
    NewKey, SellerBody, SellerView, Thresholds, WarningView,
};
use taxdisk_protocol::update::{AgentUpdate, UpdatePolicy, UpdatesView};
use ureq::http::Method;

use super::operations;
use super::pauses::{self, thresholds};
use super::rows;
use crate::args::{
    AgentCommand, DiskCommand, EnrollmentCommand, IssuePointCommand, KeyCommand, SellerCommand, SellerSetArgs, UpdatesCommand,
};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::{EXIT_OK, output};

/// The rules of a seller with what was given; a new one begins with the defaults.
fn changed(known: Option<SellerView>, given: SellerSetArgs) -> Result<SellerBody, Failure> {
    let name = given.name.or_else(|| known.as_ref().map(|known| known.name.clone()));
    let name = name.ok_or_else(|| Failure::Usage("the seller is new: give his --name".to_owned()))?;
    let asked = given.fail_after.map(DiskTrouble::FailAfter).or_else(|| given.disk_trouble.map(Into::into));
    let mark = match (given.without_mark, given.with_mark) {
        (true, _) => Some(false),
        (_, true) => Some(true),
        (false, false) => None,
    };
    let was = known.map(|known| (known.disk_trouble, known.mark, known.warnings));
    let (disk_trouble, marked, warnings) = was.unwrap_or((DiskTrouble::default(), true, Thresholds::default()));
    Ok(SellerBody {
        name,
        disk_trouble: asked.unwrap_or(disk_trouble),
        mark: mark.unwrap_or(marked),
        warnings: thresholds(warnings, &given.warnings)?,
    })
}

/// `seller …`
pub(super) fn seller(client: &Client, command: SellerCommand, json: bool) -> Result<u8, Failure> {
    match command {
        SellerCommand::Set(given) => {
            let (seller, path) = (given.seller.clone(), format!("/v1/sellers/{}", segment(&given.seller)));
            // The call writes all rules of a seller: what is not named here stays as it is only if it is sent along.
            let known = match client.get::<SellerView>(&path) {
                Ok(known) => Some(known),
                Err(Failure::Problem(problem)) if problem.code == "not_found" => None,
                Err(failure) => return Err(failure),
            };
            let body = changed(known, given)?;
            let answer: Value = client.send(Method::PUT, &path, &body)?;
            say(json, &answer, || format!("Seller {seller} is {}.", body.name));
        }
        SellerCommand::Show { seller } => {
            let answer: SellerView = client.get(&format!("/v1/sellers/{}", segment(&seller)))?;
            say(json, &answer, || {
                let trouble = match answer.disk_trouble {
                    DiskTrouble::Wait => "wait".to_owned(),
                    DiskTrouble::Fail => "fail".to_owned(),
                    DiskTrouble::FailAfter(s) => format!("fail after {s} s"),
                };
                let mark = if answer.mark { "yes" } else { "no" };
                let pause = answer.pause.as_ref().map_or(String::new(), |pause| format!("\n  {}", pauses::text(pause)));
                format!("{seller} {}\n  on disk trouble: {trouble}, mark in the remark: {mark}{pause}", answer.name)
            });
        }
        SellerCommand::Pause(args) => return pauses::pause(client, "sellers", &args, json),
        SellerCommand::Drain(args) => return pauses::drain(client, "sellers", &args, json),
        SellerCommand::Resume(args) => return pauses::resume(client, "sellers", &args, json),
        SellerCommand::List => {
            let sellers: Vec<Value> = rows(client, "/v1/sellers")?;
            say(json, &sellers, || {
                values(&sellers, &["taxpayer_number", "name", "disk_trouble", "mark"], "No sellers: `taxdisk seller set`.")
            });
        }
    }
    Ok(EXIT_OK)
}

/// `issue-point …`
pub(super) fn issue_point(client: &Client, command: IssuePointCommand, json: bool) -> Result<u8, Failure> {
    let IssuePointCommand::Set { seller, point, name, disks } = command;
    let path = format!("/v1/sellers/{}/issue-points/{}", segment(&seller), segment(&point));
    let answer: Value = client.send(Method::PUT, &path, &IssuePointBody { name, disks: disks.clone() })?;
    say(json, &answer, || {
        let which = if disks.is_empty() { "every disk of the seller".to_owned() } else { disks.join(", ") };
        format!("Issue point {point} of {seller} issues with {which}.")
    });
    Ok(EXIT_OK)
}

/// `disk …`
pub(super) fn disk(client: &Client, command: DiskCommand, json: bool) -> Result<u8, Failure> {
    match command {
        DiskCommand::List => {
            let disks: Vec<DiskView> = rows(client, "/v1/disks")?;
            say(json, &disks, || disk_table(&disks));
        }
        DiskCommand::Warnings => {
            let warnings: Vec<WarningView> = rows(client, "/v1/warnings")?;
            say(json, &warnings, || pauses::warnings(&warnings));
        }
        DiskCommand::Pause(args) => return pauses::pause(client, "disks", &args, json),
        DiskCommand::Drain(args) => return pauses::drain(client, "disks", &args, json),
        DiskCommand::Resume(args) => return pauses::resume(client, "disks", &args, json),
        DiskCommand::Operate(args) => return operations::operate(client, &args, json),
        DiskCommand::Operations(args) => return operations::list(client, &args, json),
        DiskCommand::Operation(args) => return operations::show(client, &args, json),
        DiskCommand::Calendar(args) => return operations::calendar(client, &args, json),
        DiskCommand::Assign { disk, seller, disable } => {
            let path = format!("/v1/disks/{}/assignment", segment(&disk));
            let answer: Value = client.send(Method::PUT, &path, &DiskAssignment { seller: seller.clone(), enabled: !disable })?;
            say(json, &answer, || match disable {
                true => format!("Disk {disk} of {seller} takes no more jobs; what it has begun is finished."),
                false => format!("Disk {disk} takes jobs of {seller}."),
            });
        }
    }
    Ok(EXIT_OK)
}

/// `agent …`
pub(super) fn agent(client: &Client, command: AgentCommand, json: bool) -> Result<u8, Failure> {
    match command {
        AgentCommand::List => {
            let agents: Vec<AgentView> = rows(client, "/v1/agents")?;
            say(json, &agents, || agent_table(&agents));
            Ok(EXIT_OK)
        }
        AgentCommand::Pause(args) => pauses::pause(client, "agents", &args, json),
        AgentCommand::Drain(args) => pauses::drain(client, "agents", &args, json),
        AgentCommand::Resume(args) => pauses::resume(client, "agents", &args, json),
        AgentCommand::Approve { agent, name } => {
            client.tell(&format!("/v1/agents/{}/approve", segment(&agent)), &AgentName { name })?;
            say(json, &json!({ "agent": agent, "approved": true }), || {
                format!("Agent {agent} is approved, and joins by itself within a few minutes.")
            });
            Ok(EXIT_OK)
        }
        AgentCommand::Rename { agent, name } => {
            client.tell(&format!("/v1/agents/{}/rename", segment(&agent)), &AgentName { name: Some(name.clone()) })?;
            say(json, &json!({ "agent": agent, "name": name }), || format!("Agent {agent} is called {name} now."));
            Ok(EXIT_OK)
        }
        AgentCommand::Revoke { agent } => {
            client.act(&format!("/v1/agents/{}/revoke", segment(&agent)))?;
            say(json, &json!({ "agent": agent, "revoked": true }), || {
                format!("Agent {agent} is revoked. Its disks wait for another agent: plug them in there.")
            });
            Ok(EXIT_OK)
        }
        AgentCommand::Updates { command } => updates(client, command, json),
    }
}

/// `agent updates …`
fn updates(client: &Client, command: Option<UpdatesCommand>, json: bool) -> Result<u8, Failure> {
    let view: UpdatesView = match command {
        None => client.get("/v1/updates")?,
        Some(UpdatesCommand::Offer { channel, versions, agents }) => {
            client.send(Method::PUT, "/v1/updates", &UpdatePolicy { channel, versions, agents })?
        }
        Some(UpdatesCommand::Stop) => {
            client.delete("/v1/updates")?;
            client.get("/v1/updates")?
        }
    };
    say(json, &view, || updates_text(&view));
    Ok(EXIT_OK)
}

fn updates_text(view: &UpdatesView) -> String {
    let mut text = match &view.policy {
        None => "Agents are offered no updates.\n".to_owned(),
        Some(UpdatePolicy { channel, versions, agents }) => {
            let whom = if agents.is_empty() { "All agents".to_owned() } else { format!("Agents {}", agents.join(", ")) };
            format!("{whom} are offered the newest version {versions} of the channel {channel}.\n")
        }
    };
    if view.releases.is_empty() {
        text.push_str("The broker has no programs: put a release into its folder ([updates] dir).");
    } else {
        let mut table = output::table(&["version", "channel", "system", "MiB", "offered"], &[3]);
        for release in &view.releases {
            let size = (release.size_bytes >> 20).to_string();
            let offered = if release.offered { "yes" } else { "no" };
            table.add_row([release.version.as_str(), &release.channel, &release.target, &size, offered]);
        }
        text.push_str(&table.to_string());
    }
    for why in &view.unusable {
        text.push_str(&format!("\nCannot be offered: {why}"));
    }
    text
}

/// `enrollment …`
pub(super) fn enrollment(client: &Client, command: EnrollmentCommand, json: bool) -> Result<u8, Failure> {
    let EnrollmentCommand::Create { name, seller, disk, agent, many, valid_s } = command;
    let (again, request) = (agent.is_some(), EnrollmentRequest { name, valid_s, seller, disk, agent, many });
    let code: EnrollmentCode = client.send(Method::POST, "/v1/enrollments", &request)?;
    let good = many.map_or_else(|| "once".to_owned(), |many| format!("for {many} agents, each to be approved"));
    let force = if again { " --force" } else { "" };
    say(json, &code, || {
        format!(
            "{}\nGood {good}, until {}. On the PC with the disk:\n  taxdisk-agent enroll {} {}{force}",
            code.code,
            code.expires_at,
            client.base(),
            code.code
        )
    });
    Ok(EXIT_OK)
}

/// `key …`
pub(super) fn key(client: &Client, command: KeyCommand, json: bool) -> Result<u8, Failure> {
    match command {
        KeyCommand::Create { name, role, sellers, actions, valid_s, owner } => {
            let request = KeyRequest { name, role: role.into(), sellers, actions, valid_s, owner };
            let key: NewKey = client.send(Method::POST, "/v1/keys", &request)?;
            say(json, &key, || {
                let until = key.expires_at.as_deref().map_or("for ever".to_owned(), |at| format!("until {at}"));
                format!("{}\nShown this once; good {until}. Its id is {}.", key.key, key.id)
            });
        }
        KeyCommand::List => {
            let keys: Vec<Value> = rows(client, "/v1/keys")?;
            let headings = ["id", "name", "role", "sellers", "actions", "used_at", "created_at", "expires_at", "revoked_at"];
            say(json, &keys, || values(&keys, &headings, "No keys."));
        }
        KeyCommand::Revoke { id } => {
            client.delete(&format!("/v1/keys/{}", segment(&id)))?;
            say(json, &json!({ "id": id, "revoked": true }), || format!("Key {id} opens nothing any more."));
        }
    }
    Ok(EXIT_OK)
}

pub(super) fn say(json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) {
    if json { output::json(value) } else { output::print(&text()) }
}

fn disk_table(disks: &[DiskView]) -> String {
    if disks.is_empty() {
        return "No disk has been seen yet. Enrol an agent: `taxdisk enrollment create`.".to_owned();
    }
    let headings = ["disk", "seller", "state", "kind", "next pair", "left", "waiting jobs", "open", "agent", "port"];
    let mut table = output::table(&headings, &[5, 6, 7]);
    for disk in disks {
        let report = &disk.report;
        let state = match disk {
            disk if disk.claimants.len() > 1 => format!("CONTESTED by {}", disk.claimants.join(", ")),
            disk if !disk.enabled => "switched off".to_owned(),
            disk if !disk.pauses.is_empty() => disk.pauses.iter().map(pauses::text).collect::<Vec<_>>().join("\n"),
            disk if !disk.online => "offline".to_owned(),
            disk if disk.report.health.ready => "ready".to_owned(),
            _ => match report.health.class {
                Some(class) => format!("{class}: {}", report.health.text),
                None => report.health.text.clone(),
            },
        };
        let column = |cell: &dyn Fn(&taxdisk_protocol::api::StockView) -> String| {
            report.stock.iter().map(cell).collect::<Vec<_>>().join("\n")
        };
        table.add_row([
            report.disk.clone(),
            report.taxpayer.clone(),
            state,
            column(&|stock| stock.kind.clone()),
            column(&|stock| stock.current.as_ref().map_or(String::new(), output::pair_text)),
            column(&|stock| stock.remaining.to_string()),
            disk.backlog.to_string(),
            disk.open_attempts.to_string(),
            disk.agent.clone().unwrap_or_default(),
            report.port.clone(),
        ]);
    }
    let warnings: Vec<WarningView> = disks.iter().flat_map(|disk| disk.warnings.clone()).collect();
    if warnings.is_empty() { table.to_string() } else { format!("{table}\n{}", pauses::warnings(&warnings)) }
}

fn agent_table(agents: &[AgentView]) -> String {
    if agents.is_empty() {
        return "No agents. Make a code for one: `taxdisk enrollment create`.".to_owned();
    }
    let mut table = output::table(&["agent", "name", "state", "version", "update", "disks", "last heard", "from", "alarms"], &[]);
    for agent in agents {
        let state = match agent {
            AgentView { revoked: true, .. } => "revoked",
            AgentView { waiting: true, .. } => &format!("to be approved: key {}", agent.fingerprint),
            AgentView { pause: Some(_), .. } => "paused",
            AgentView { online: true, .. } => "online",
            _ => "offline",
        };
        table.add_row([
            agent.agent.as_str(),
            &agent.name,
            state,
            &agent.version,
            &agent.update.as_ref().map(update_text).unwrap_or_default(),
            &agent.disks.join(", "),
            agent.seen_at.as_deref().unwrap_or("never"),
            agent.address.as_deref().unwrap_or_default(),
            &agent.alarms.join("; "),
        ]);
    }
    table.to_string()
}

/// How an agent stands with updates, in a cell.
fn update_text(update: &AgentUpdate) -> String {
    let version = update.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let why = if update.text.is_empty() { String::new() } else { format!(": {}", update.text) };
    format!("{}{version}{why}", update.state.as_str())
}

/// A table of objects whose type is the broker's own, by field name. Fields that no row has get no column.
fn values(rows: &[Value], fields: &[&str], none: &str) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let fields: Vec<&str> = fields.iter().copied().filter(|field| rows.iter().any(|row| !row[*field].is_null())).collect();
    let headings: Vec<String> = fields.iter().map(|field| field.replace('_', " ")).collect();
    let mut table = output::table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    for row in rows {
        table.add_row(fields.iter().map(|field| cell(&row[*field])));
    }
    table.to_string()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_values_has_the_columns_that_some_row_fills() {
        let rows = [json!({"id": "k1", "sellers": ["a", "b"], "revoked": false}), json!({"id": "k2", "expires_at": null})];
        let text = values(&rows, &["id", "sellers", "expires_at", "revoked"], "none");
        for part in ["id", "k1", "k2", "a, b", "no"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("expires"));
        assert_eq!(values(&[], &["id"], "none"), "none");
    }

    #[test]
    fn a_seller_keeps_what_is_not_given() {
        let set = |words: &[&str]| {
            use clap::Parser as _;
            let words = ["taxdisk", "seller", "set", "91110000MA0000001L"].iter().chain(words);
            match crate::args::Args::try_parse_from(words).unwrap().command {
                crate::args::Command::Seller(SellerCommand::Set(given)) => given,
                other => panic!("{other:?}"),
            }
        };
        let body = changed(None, set(&["--name", "示例"])).unwrap();
        assert_eq!(
            body,
            SellerBody {
                name: "示例".to_owned(), disk_trouble: DiskTrouble::Wait, mark: true, warnings: Thresholds::default()
            }
        );
        assert!(matches!(changed(None, set(&[])), Err(Failure::Usage(why)) if why.contains("--name")), "a new seller has a name");
        let known = SellerView {
            taxpayer_number: "91110000MA0000001L".to_owned(),
            name: "示例".to_owned(),
            disk_trouble: DiskTrouble::FailAfter(600),
            mark: false,
            warnings: Thresholds { stock_count: 100, ..Thresholds::default() },
            pause: None,
        };
        let same =
            SellerBody { name: known.name.clone(), disk_trouble: known.disk_trouble, mark: known.mark, warnings: known.warnings };
        assert_eq!(changed(Some(known.clone()), set(&[])).unwrap(), same);
        let body = changed(Some(known.clone()), set(&["--warn", "clock_s=60"])).unwrap();
        assert_eq!(body, SellerBody { warnings: Thresholds { clock_s: 60, ..known.warnings }, ..same.clone() });
        let body = changed(Some(known.clone()), set(&["--disk-trouble", "fail", "--with-mark"])).unwrap();
        assert_eq!(body, SellerBody { disk_trouble: DiskTrouble::Fail, mark: true, ..same.clone() });
        let body = changed(Some(known), set(&["--name", "新名"])).unwrap();
        assert_eq!(body, SellerBody { name: "新名".to_owned(), ..same });
    }
}

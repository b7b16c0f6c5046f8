//! `support`: one file for whoever helps, which says itself what is in it. It goes nowhere by itself.
//!
//! People are taken out of it: no names, taxpayer numbers, passwords, keys or contents of invoices.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use taxdisk_protocol::support::{self, Bundle};

use super::status::running;
use crate::clock::wall_clock;
use crate::config::Config;
use crate::daemon::Lock;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::recording::Recordings;

/// The last so many entries of the journal.
const ENTRIES_MAX: usize = 1000;
/// Left out of all parts.
const NOT_IN_IT: &str = "names, taxpayer numbers, passwords, keys, contents of invoices; logs (add the agent's log yourself)";

pub(super) fn support(config: &Config, file: &Path, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let mut bundle = Bundle::new(NOT_IN_IT);
    let mut put = |name: &str, what: &str, value: Value| bundle.put(name, what, value);
    put("host", "version of the agent, of the system and of its kernel", host());
    put("configuration", "every value as it is used, without the password of a proxy", configuration(config));
    put("doctor", "all checks, without whose the disks are", doctor(config));
    match running(&state)? {
        Some(status) => {
            let disks: Vec<Value> = status
                .disks
                .iter()
                .map(|disk| json!({ "port": disk.port, "epoch": disk.epoch, "running": disk.running, "trouble": disk.trouble }))
                .collect();
            let shown = json!({
                "pid": status.pid, "agent": status.agent, "started_at": status.started_at, "link": status.link,
                "outbox": status.outbox, "journal": status.journal, "sequence": status.journal_sequence, "disks": disks,
                "recoveries": status.recoveries,
            });
            put("status", "what the running agent says", shown);
        }
        None => put("journal", "the last entries, without names and signatures (the agent was not running)", journal(&state)),
    }
    if let Ok(lines) = Recordings::of(state.path()).export() {
        let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        put("recording", "what went over the disks' lines around failures, without people and passwords", lines.into());
    }
    let text = bundle.text(&wall_clock());

    let wrong = |error: std::io::Error| Failure::failed(format!("{} cannot be written ({error}).", file.display()));
    let mut out = crate::platform::with_mode(OpenOptions::new().write(true).create_new(true), 0o600).open(file).map_err(wrong)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(wrong)?;
    let said = json!({ "file": file, "in_it": bundle.in_it(), "not_in_it": bundle.not_in_it() });
    super::show(json, &said, || bundle.told(&file.display().to_string()));
    Ok(())
}

fn host() -> Value {
    let (system, kernel) = crate::platform::host_texts();
    support::host("agent", env!("CARGO_PKG_VERSION"), &system, &kernel)
}

fn configuration(config: &Config) -> Value {
    let mut value = serde_json::to_value(config).unwrap_or_default();
    if let Some(Value::String(proxy)) = value.pointer_mut("/broker/proxy")
        && let Some((_, host)) = proxy.rsplit_once('@')
    {
        *proxy = format!("http://***@{host}");
    }
    value
}

/// Whose a disk is stands in the text of its identity and nowhere else.
fn doctor(config: &Config) -> Value {
    let mut report = crate::doctor::examine(Ok(config.clone()));
    for check in report.checks.iter_mut().filter(|check| check.code == "disk.identity" || check.code == "disk.seller") {
        check.text = "left out".to_owned();
    }
    serde_json::to_value(report).unwrap_or_default()
}

fn journal(state: &StateDir) -> Value {
    let opened = Lock::take(&state.lock_file()).and_then(|lock| Ok((lock, super::open_journal(state)?)));
    let (_lock, journal) = match opened {
        Ok(opened) => opened,
        Err(failure) => return json!({ "trouble": failure.text }),
    };
    let lines: Vec<_> = journal.lines().collect();
    let entries: Vec<Value> = lines
        .into_iter()
        .rev()
        .take(ENTRIES_MAX)
        .map(|line| match line.body {
            Ok(entry) => json!({ "kind": line.kind, "key": line.key, "entry": entry }),
            Err(damage) => json!({ "kind": line.kind, "key": line.key, "damage": damage }),
        })
        .collect();
    json!({ "head": journal.head().id, "sequence": journal.head().sequence, "entries": entries })
}

//! `support`: one file for whoever helps, which says itself what is in it. It goes nowhere by itself.
//!
//! People are taken out of it: no names, taxpayer numbers, passwords, keys or contents of invoices.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};
use taxdisk_protocol::ids::TaxpayerNumber;

use super::status::running;
use crate::clock::wall_clock;
use crate::config::Config;
use crate::daemon::Lock;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::recording::Recordings;

/// The last so many entries of the journal.
const ENTRIES_MAX: usize = 1000;
/// What stands in place of a taxpayer number.
const MASK: &str = "(taxpayer number)";

pub(super) fn support(config: &Config, file: &Path, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let mut parts = serde_json::Map::new();
    let mut in_it = Vec::new();
    let mut put = |name: &str, what: &str, value: Value| {
        in_it.push(format!("{name}: {what}"));
        parts.insert(name.to_owned(), value);
    };
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
    let not_in_it = "names, taxpayer numbers, passwords, keys, contents of invoices; logs (add the agent's log yourself)";
    let about = json!({ "made_at": wall_clock(), "in_it": in_it, "not_in_it": not_in_it });
    parts.insert("about".to_owned(), about);
    let text = masked(&serde_json::to_string_pretty(&parts).expect("plain data with text keys"));

    let wrong = |error: std::io::Error| Failure::failed(format!("{} cannot be written ({error}).", file.display()));
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(wrong)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(wrong)?;
    super::show(json, &json!({ "file": file, "in_it": in_it, "not_in_it": not_in_it }), || {
        let list: String = in_it.iter().map(|line| format!("  {line}\n")).collect();
        format!("{} holds:\n{list}It does not hold: {not_in_it}.\nRead it before you send it.", file.display())
    });
    Ok(())
}

fn host() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let system = read("/etc/os-release");
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default().trim_matches('"');
    json!({
        "agent": env!("CARGO_PKG_VERSION"),
        "architecture": std::env::consts::ARCH,
        "system": system,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
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

/// Without taxpayer numbers, wherever they stand: every word that has the form of one and its right check character.
fn masked(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        out.push_str(&rest[..start]);
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let is_number = (15..=20).contains(&end) && word[..end].parse::<TaxpayerNumber>().is_ok();
        out.push_str(if is_number { MASK } else { &word[..end] });
        rest = &word[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taxpayer_numbers_are_masked_and_other_words_stay() {
        let text = "{\"key\": \"i/91110000MA0000001L/SERIAL-1\", \"n\": 011002000107, \"disk\": \"499000123456\"}";
        let shown = masked(text);
        assert_eq!(shown, text.replace("91110000MA0000001L", MASK));
        assert_eq!(masked("发票 ok"), "发票 ok");
    }
}

//! `journal show`.

use std::collections::VecDeque;

use serde::Serialize;

use super::table::table;
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::journal::Journal;

#[derive(Serialize)]
struct Shown {
    kind: &'static str,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

#[derive(Serialize)]
struct Document {
    journal: String,
    sequence: u64,
    entries: VecDeque<Shown>,
}

pub(super) fn show(config: &Config, limit: usize, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    if !state.journal_dir().exists() {
        return Err(Failure::failed(format!(
            "There is no journal in {}: the agent has not run here yet.",
            state.path().display()
        )));
    }
    let _lock = crate::daemon::Lock::take(&state.lock_file()).map_err(|_| {
        Failure::failed("The agent is running and holds the journal: ask `taxdisk-agent status`, or stop the agent first.")
    })?;
    let journal = Journal::open(&state.journal_dir()).map_err(|error| Failure::failed(format!("{error}.")))?;
    let mut entries = VecDeque::new();
    for line in journal.lines() {
        if entries.len() >= limit {
            entries.pop_front();
        }
        if limit > 0 {
            let (entry, damage) = line.body.map_or_else(|damage| (None, Some(damage)), |entry| (Some(entry), None));
            entries.push_back(Shown { kind: line.kind, key: line.key, entry, damage });
        }
    }
    let head = journal.head();
    let document = Document { journal: head.id, sequence: head.sequence, entries };
    super::show(json, &document, || {
        let rows = document.entries.iter().map(|line| {
            let body = line
                .entry
                .as_ref()
                .map(ToString::to_string)
                .or_else(|| line.damage.clone().map(|damage| format!("DAMAGED: {damage}")));
            vec![line.kind.to_owned(), line.key.clone(), body.unwrap_or_default()]
        });
        format!("journal {}, sequence {}\n{}", document.journal, document.sequence, table(&["entry", "key", "content"], rows))
    });
    Ok(())
}

//! `audit …`: the chains of the ledger.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use taxdisk_protocol::api::JobName;
use taxdisk_protocol::chain::StoredEntry;
use taxdisk_protocol::proof;
use taxdisk_protocol::time::Timestamp;

use super::admin::say;
use super::{read_whole_of, rows};
use crate::args::AuditCommand;
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::{EXIT_FAILED, EXIT_OK};

/// The longest proof that is read: a million digests and a job.
const PROOF_LIMIT_BYTES: u64 = 128 * 1024 * 1024;

/// `audit check FILE`: needs no broker.
pub(super) fn check(file: &Path, json: bool) -> Result<u8, Failure> {
    let text = read_whole_of(file, PROOF_LIMIT_BYTES)?;
    match proof::check(&text) {
        Ok(proven) => {
            let value = json!({ "proven": true, "job": proven.job.view(), "anchors": proven.anchors });
            say(json, &value, || proven_text(&proven));
            Ok(EXIT_OK)
        }
        Err(error) => {
            say(json, &json!({ "proven": false, "error": error.to_string() }), || format!("{}: {error}", file.display()));
            Ok(EXIT_FAILED)
        }
    }
}

fn proven_text(proven: &proof::Proven) -> String {
    let job = proven.job.view();
    let mut text = format!("{} {} is {}", job.seller, job.serial, format!("{:?}", job.state).to_lowercase());
    if let Some(issued) = &job.issued {
        text.push_str(&format!(" as {} {} on disk {}", issued.code, issued.number, issued.disk));
    }
    text.push_str(", proven by its events:\n");
    for event in &proven.events {
        let by = event.origin.as_ref().map_or("-", |origin| origin.by.as_str());
        let from = event.origin.as_ref().map_or("", |origin| origin.from.as_str());
        text.push_str(&format!("  {} {} by {by} {from}\n", event.at, event.what.name()));
    }
    for (sequence, hash) in &proven.anchors {
        text.push_str(&format!("anchored in entry {sequence} of the broker's chain: {hash}\n"));
    }
    text.push_str("Compare that hash with the one that the broker's log or `taxdisk audit list` shows.");
    text
}

/// `audit …` with a broker.
pub(super) fn run(client: &Client, command: AuditCommand, json: bool) -> Result<u8, Failure> {
    match command {
        AuditCommand::Check { file } => return check(&file, json),
        AuditCommand::List { seller, after } => {
            let seller = seller.map_or(String::new(), |seller| format!("&seller={}", segment(&seller)));
            let entries: Vec<StoredEntry> = rows(client, &format!("/v1/audit?limit=1000&after={after}{seller}"))?;
            say(json, &entries, || entries.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
        AuditCommand::Verify { seller } => {
            let seller = seller.map_or(String::new(), |seller| format!("?seller={}", segment(&seller)));
            let found: Value = client.get(&format!("/v1/audit/verify{seller}"))?;
            say(json, &found, || verified(&found));
            if found["whole"] != true {
                return Ok(EXIT_FAILED);
            }
        }
        AuditCommand::Proof { key, to } => {
            let to = to.unwrap_or_else(|| format!("{}-{}.proof.json", key.seller, key.serial).into());
            let body = JobName { seller: key.seller, serial: key.serial };
            let body = serde_json::to_string(&body).unwrap_or_default();
            let text = client.send_text("/v1/audit/proof", "application/json", body)?;
            let file = std::fs::File::options().write(true).create_new(true).open(&to);
            file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Failure::file(&to, error))?;
            say(json, &json!({ "file": to }), || format!("{} proves this job: `taxdisk audit check {0}`.", to.display()));
        }
    }
    Ok(EXIT_OK)
}

fn line(entry: &StoredEntry) -> String {
    let body: Value = serde_json::from_str(&entry.body).unwrap_or_default();
    let by = body["origin"]["by"].as_str().or(body["by"].as_str()).unwrap_or("-");
    let from = body["origin"]["from"].as_str().unwrap_or("");
    let about = if entry.serial.is_empty() { "-" } else { &entry.serial };
    let why = body["reason"].as_str().or(body["why"].as_str()).unwrap_or("");
    format!("{:6} {} {:16} {about:20} {by} {from} {why}", entry.sequence, Timestamp(entry.at), entry.what)
}

fn verified(found: &Value) -> String {
    let mut text = String::new();
    for chain in found["chains"].as_array().into_iter().flatten() {
        let seller = chain["seller"].as_str().filter(|seller| !seller.is_empty()).unwrap_or("the broker's own");
        let state = match chain["broken_at"].as_i64() {
            Some(at) => format!("BROKEN at entry {at}"),
            None => format!("whole, {} entries", chain["entries"]),
        };
        text.push_str(&format!("{seller}: {state}\n"));
    }
    let missing = found["missing"].as_u64().unwrap_or(0);
    if missing > 0 {
        text.push_str(&format!("{missing} anchored heads are in no chain: a chain lost its end, or is gone\n"));
    }
    text.push_str(if found["whole"] == true { "Everything is as it was written." } else { "It is NOT as it was written." });
    text
}

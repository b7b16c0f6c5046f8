//! `job …`: submit, show, list, watch, re-issue, cancel, settle. The importer has a folder of its own.

use std::path::Path;

use serde_json::Value;
use taxdisk_protocol::api::{
    CancelRequest, InvoiceBody, JobPage, JobState, JobView, PairBody, ProposalView, ReissueAnswer, ReissueOutcome,
    ReissueRequest, SettleRequest, Waiting,
};
use taxdisk_protocol::number::NumberPair;
use ureq::http::Method;

use super::{bulk, read_whole};
use crate::args::{Decision, JobCommand, Key, Reading, ReissueArgs, SettleArgs};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::{EXIT_FAILED, EXIT_OK, import, output};

/// How long one long poll waits; the broker allows at least this.
const POLL_S: u64 = 30;
/// Jobs of one page of a list.
const PAGE_COUNT: usize = 200;

/// Runs a job command.
///
/// # Errors
/// Whatever keeps it from doing what was asked.
pub(super) fn run(client: &Client, command: JobCommand, json: bool) -> Result<u8, Failure> {
    match command {
        JobCommand::Submit { file, wait } => submit(client, &file, wait, json),
        JobCommand::Import(args) => import::run(client, &args, json),
        JobCommand::Show { key } => {
            print(&client.get(&path(&key, ""))?, json);
            Ok(EXIT_OK)
        }
        JobCommand::List { seller, state, waiting, limit } => {
            let filter = [
                ("seller", seller),
                ("state", state.map(|state| word(&JobState::from(state)))),
                ("waiting", waiting.map(|waiting| word(&Waiting::from(waiting)))),
            ];
            list(client, &filter, limit, json)
        }
        JobCommand::Watch { key } => watch(client, &path(&key, ""), None, json),
        JobCommand::Reissue(args) => reissue(client, args, json),
        JobCommand::Cancel { key, reason } => {
            print(&client.send(Method::POST, &path(&key, "/cancel"), &CancelRequest { reason })?, json);
            Ok(EXIT_OK)
        }
        JobCommand::Settle(args) => settle(client, args, json),
    }
}

/// The path of a job or of what can be done with it.
pub(crate) fn job_path(seller: &str, serial: &str, action: &str) -> String {
    format!("/v1/jobs/{}/{}{action}", segment(seller), segment(serial))
}

fn path(key: &Key, action: &str) -> String {
    job_path(&key.seller, &key.serial, action)
}

fn print(job: &JobView, json: bool) {
    if json { output::json(job) } else { output::print(&output::job(job)) }
}

fn submit(client: &Client, file: &Path, wait: bool, json: bool) -> Result<u8, Failure> {
    let text = read_whole(file)?;
    let answer = client.send_text("/v1/jobs", "application/json", text)?;
    let job: JobView = serde_json::from_str(&answer).map_err(|e| Failure::Strange {
        url: client.base().to_owned(),
        status: 200,
        text: format!("the answer is no job ({e})"),
    })?;
    if job.repeated && !json {
        eprintln!("This serial number was known with the same content; nothing new was asked of a disk.");
    }
    if wait && !job.state.is_terminal() {
        return watch(client, &job_path(&job.seller, &job.serial, ""), Some(job), json);
    }
    print(&job, json);
    Ok(EXIT_OK)
}

fn list(client: &Client, filter: &[(&str, Option<String>)], limit: usize, json: bool) -> Result<u8, Failure> {
    let mut jobs: Vec<JobView> = Vec::new();
    let mut cursor: Option<String> = None;
    while jobs.len() < limit {
        let mut path = format!("/v1/jobs?limit={}", PAGE_COUNT.min(limit - jobs.len()));
        for (name, value) in filter.iter().chain(&[("cursor", cursor)]) {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", segment(value)));
            }
        }
        let page: JobPage = client.get(&path)?;
        jobs.extend(page.jobs);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    jobs.truncate(limit);
    if json {
        output::json(&jobs);
    } else {
        let unsettled = filter.iter().any(|(name, value)| *name == "state" && value.as_deref() == Some("unsettled"));
        output::print(&if unsettled { output::unsettled(&jobs) } else { output::jobs(&jobs) });
        if cursor.is_some() {
            eprintln!("There are more; see --limit.");
        }
    }
    Ok(EXIT_OK)
}

/// A value of the API as its word.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Prints the job now and at every change, until nothing more happens by itself.
fn watch(client: &Client, path: &str, known: Option<JobView>, json: bool) -> Result<u8, Failure> {
    let mut seen = 0;
    let mut next = match known {
        Some(job) => job,
        None => client.get(path)?,
    };
    loop {
        if next.revision > seen {
            seen = next.revision;
            print(&next, json);
        }
        if next.state.is_terminal() {
            return Ok(if next.state.is_done() { EXIT_OK } else { EXIT_FAILED });
        }
        next = client.get(&format!("{path}?wait={POLL_S}s&revision={seen}"))?;
    }
}

fn reissue(client: &Client, args: ReissueArgs, json: bool) -> Result<u8, Failure> {
    let ReissueArgs { seller, serial, reason, invoice, filter, dry_run, bulk_key } = args;
    let key = match (seller, serial) {
        (Some(seller), Some(serial)) => Key { seller, serial },
        _ => return bulk::reissue(client, &filter, reason, dry_run, bulk_key, json),
    };
    let (key, invoice) = (&key, invoice.as_deref());
    let invoice: Option<InvoiceBody> = match invoice {
        None => None,
        Some(file) => Some(serde_json::from_str(&read_whole(file)?).map_err(|error| Failure::file(file, error))?),
    };
    let answer: ReissueAnswer = client.send(Method::POST, &path(key, "/reissue"), &ReissueRequest { reason, invoice })?;
    if json {
        output::json(&answer);
    } else {
        output::print(match answer.outcome {
            ReissueOutcome::Requeued => "It was proven not issued and is queued again, under the same serial number.",
            ReissueOutcome::AlreadyIssued => "The invoice exists. Nothing was done.",
            ReissueOutcome::InProgress => "It is queued or on a disk. Nothing was done.",
            ReissueOutcome::Unsettled => "Whether it was issued is not known yet; the disk is being asked. Nothing was issued.",
        });
        print(&answer.job, false);
    }
    Ok(EXIT_OK)
}

fn settle(client: &Client, args: SettleArgs, json: bool) -> Result<u8, Failure> {
    if needs_pair(&args) {
        let text = "--decision issued needs --pair, the code and number that were issued (a void job has none: --reading void).";
        return Err(Failure::Usage(text.to_owned()));
    }
    let request = SettleRequest {
        decision: args.decision.into(),
        pair: args.pair.as_deref().map(pair).transpose()?,
        current: pair(&args.current)?,
        expected: args.reading.into(),
        tax_office: args.tax_office,
        reason: args.reason,
        revision: args.revision,
    };
    let answer: Value = client.send(Method::POST, &path(&args.key, "/settle"), &request)?;
    if let Ok(waits) = serde_json::from_value::<ProposalView>(answer.clone()) {
        super::proposal::waits(&waits, json);
        return Ok(EXIT_OK);
    }
    match serde_json::from_value::<JobView>(answer.clone()) {
        Ok(job) => print(&job, json),
        Err(_) => output::json(&answer),
    }
    Ok(EXIT_OK)
}

/// Only a void job is done without a number.
fn needs_pair(args: &SettleArgs) -> bool {
    args.decision == Decision::Issued && args.reading != Reading::Void && args.pair.is_none()
}

/// `CODE NUMBER`, also written with `/` or `-` between.
fn pair(text: &str) -> Result<PairBody, Failure> {
    let plain = text.trim().replace(['/', '-'], " ");
    let pair: NumberPair =
        plain.parse().map_err(|error| Failure::Usage(format!("{error}; a pair looks like \"011002000107 00000088\".")))?;
    Ok(pair.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_issued_decision_needs_its_pair_unless_it_is_a_void() {
        let settle = |decision, reading| SettleArgs {
            key: Key { seller: "S".into(), serial: "N".into() },
            decision,
            pair: None,
            current: "a".into(),
            reading,
            tax_office: None,
            reason: "r".into(),
            revision: 3,
        };
        assert!(needs_pair(&settle(Decision::Issued, Reading::PresentOurs)));
        assert!(!needs_pair(&settle(Decision::NotIssued, Reading::Absent)));
        assert!(!needs_pair(&settle(Decision::Issued, Reading::Void)));
    }

    #[test]
    fn pairs_are_read_with_their_zeros() {
        let read = pair("011002000107/00000088").unwrap();
        assert_eq!((read.code.as_str(), read.number.as_str()), ("011002000107", "00000088"));
        assert!(pair("011002000107 88").is_err());
        assert_eq!(word(&JobState::Unsettled), "unsettled");
    }
}

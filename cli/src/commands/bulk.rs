//! `job reissue --filter …`: many jobs at once.

use serde_json::Value;
use taxdisk_protocol::api::{BulkAction, BulkFilter, BulkReissueRequest, BulkView, JobState, ProposalView};
use taxdisk_protocol::chain::content_hash;
use taxdisk_protocol::time::Timestamp;
use ureq::http::Method;

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::{EXIT_OK, output};

/// Between two looks at how far it has come, milliseconds.
const LOOK_MS: u64 = 500;

/// Says what would be done, or does it and shows how far it has come.
pub(super) fn reissue(
    client: &Client,
    filter: &[String],
    reason: String,
    dry_run: bool,
    key: Option<String>,
    json: bool,
) -> Result<u8, Failure> {
    let key = key.unwrap_or_else(|| today_key(filter, &reason));
    let request = BulkReissueRequest { key, filter: parse(filter)?, reason, dry_run };
    let answer: Value = client.send(Method::POST, "/v1/jobs:reissue", &request)?;
    if let Ok(waits) = serde_json::from_value::<ProposalView>(answer.clone()) {
        super::proposal::waits(&waits, json);
        return Ok(EXIT_OK);
    }
    let strange = |error: serde_json::Error| Failure::Strange {
        url: format!("{}/v1/jobs:reissue", client.base()),
        status: 200,
        text: error.to_string(),
    };
    let mut view: BulkView = serde_json::from_value(answer).map_err(strange)?;
    let mut told = 0;
    while !view.done && !view.dry_run {
        if !json && view.jobs > told {
            told = view.jobs;
            eprintln!("{told} jobs …");
        }
        std::thread::sleep(std::time::Duration::from_millis(LOOK_MS));
        view = client.get(&format!("/v1/jobs:reissue/{}", segment(&view.key)))?;
    }
    if json {
        output::json(&view)
    } else {
        output::print(&text(&view))
    }
    Ok(EXIT_OK)
}

/// The same command on the same day is the same bulk re-issue.
fn today_key(filter: &[String], reason: &str) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    content_hash(&format!("{}\n{reason}\n{}", filter.join("\n"), now.day())).chars().take(32).collect()
}

fn parse(filter: &[String]) -> Result<BulkFilter, Failure> {
    let mut parsed = BulkFilter::default();
    for one in filter {
        let Some((name, value)) = one.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err(Failure::Usage(format!("--filter {one}: NAME=VALUE is expected, as in state=failed.")));
        };
        let value = value.to_owned();
        match name {
            "seller" => parsed.seller = Some(value),
            "state" => {
                for state in value.split(',') {
                    let state = serde_json::from_value::<JobState>(state.into());
                    parsed.states.push(state.map_err(|error| Failure::Usage(format!("--filter {one}: {error}.")))?);
                }
            }
            "problem" => parsed.problem = Some(value),
            "class" => {
                let class = serde_json::from_value(value.into());
                parsed.class = Some(class.map_err(|error| Failure::Usage(format!("--filter {one}: {error}.")))?);
            }
            "kind" => parsed.kind = Some(value),
            "disk" => parsed.disk = Some(value),
            "since" => parsed.since = Some(value),
            "until" => parsed.until = Some(value),
            "serial" => parsed.serial = Some(value),
            _ => return Err(Failure::Usage(format!("--filter {one}: this name is not known; see --help."))),
        }
    }
    Ok(parsed)
}

fn word(action: BulkAction) -> &'static str {
    match action {
        BulkAction::Redeliver => "issued: the result is there",
        BulkAction::Rerun => "issue again",
        BulkAction::InProgress => "in progress: nothing to do",
        BulkAction::NeedsSettling => "needs settling: the disk is asked",
        BulkAction::Refused => "refused",
    }
}

fn text(view: &BulkView) -> String {
    let mut text = String::new();
    for line in &view.lines {
        let why = line.refused.as_deref().map_or(String::new(), |code| format!(" ({code})"));
        text.push_str(&format!("{} {} {:?}: {}{why}\n", line.seller, line.serial, line.state, word(line.action)));
    }
    let began = if view.dry_run { "Nothing was done. It would be" } else { "Done" };
    text.push_str(&format!("{began}: {} jobs\n", view.jobs));
    for (action, count) in &view.totals {
        text.push_str(&format!("{count:8}  {}\n", word(*action)));
    }
    for (code, count) in &view.refused {
        text.push_str(&format!("{count:8}    refused: {code}\n"));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn filters_are_read_and_a_wrong_one_is_named() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let read = parse(&texts(&["state=failed,cancelled", "class=no_stock", "disk=661234567890"])).unwrap();
        assert_eq!(read.states, [JobState::Failed, JobState::Cancelled]);
        assert_eq!(read.disk.as_deref(), Some("661234567890"));
        for bad in ["stat=failed", "state=", "state=gone", "class=none", "failed"] {
            assert!(matches!(parse(&texts(&[bad])), Err(Failure::Usage(_))), "{bad}");
        }
        let key = |reason| today_key(&texts(&["state=failed"]), reason);
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
    }
}

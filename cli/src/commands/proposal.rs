//! `proposal …`: what waits for a second person.

use serde_json::json;
use taxdisk_protocol::api::{DeclineRequest, ProposalView, Proposed};

use super::admin::say;
use super::rows;
use crate::EXIT_OK;
use crate::args::ProposalCommand;
use crate::client::{Client, segment};
use crate::failure::Failure;

/// `proposal …`
pub(super) fn run(client: &Client, command: ProposalCommand, as_json: bool) -> Result<u8, Failure> {
    let path = |id: &str, act: &str| format!("/v1/proposals/{}/{act}", segment(id));
    match command {
        ProposalCommand::List => {
            let proposals: Vec<ProposalView> = rows(client, "/v1/proposals")?;
            say(as_json, &proposals, || match proposals.is_empty() {
                true => "Nothing waits for a second person.".to_owned(),
                false => proposals.iter().map(text).collect::<Vec<_>>().join("\n"),
            });
        }
        ProposalCommand::Confirm { id } => {
            client.act(&path(&id, "confirm"))?;
            say(as_json, &json!({ "confirmed": id }), || format!("{id} is confirmed and done."));
        }
        ProposalCommand::Decline { id, reason } => {
            let body = DeclineRequest { reason };
            client.tell(&path(&id, "decline"), &body)?;
            say(as_json, &body, || format!("{id} is declined; nothing was done."));
        }
    }
    Ok(EXIT_OK)
}

/// Said where something waits instead of being done.
pub(super) fn waits(proposal: &ProposalView, json: bool) {
    say(json, proposal, || {
        format!(
            "Nothing is done yet. Another person confirms it until {}:\n  taxdisk proposal confirm {}",
            proposal.expires_at, proposal.id
        )
    });
}

fn text(proposal: &ProposalView) -> String {
    let what = match &proposal.what {
        Proposed::Settle { seller, serial, request } => {
            let decision = serde_json::to_value(request.decision).ok().and_then(|word| word.as_str().map(str::to_owned));
            format!("settle {seller} {serial}: {}", decision.unwrap_or_default())
        }
        Proposed::BulkReissue { key, filter } => {
            format!("bulk re-issue {key}: {}", serde_json::to_string(filter).unwrap_or_default())
        }
        Proposed::ReconcileNumber { request } => {
            let whose = request.job.as_ref().map_or("nobody's".to_owned(), |job| format!("of {} {}", job.seller, job.serial));
            format!("number {} {} on disk {}: {whose}", request.pair.code, request.pair.number, request.disk)
        }
        Proposed::ReconcileJob { seller, serial, request } => {
            let pair = request.pair.as_ref().map(|pair| format!("issued as {} {}", pair.code, pair.number));
            format!("forgotten attempt of {seller} {serial}: {}", pair.unwrap_or_else(|| "not issued".to_owned()))
        }
        Proposed::ReleaseUnread { disk } => format!("release disk {disk} unread"),
    };
    format!(
        "{}  {what}\n  by {} at {}, until {}: {}",
        proposal.id, proposal.by, proposal.at, proposal.expires_at, proposal.reason
    )
}

//! `proposal …`: what waits for a second person.

use serde_json::json;
use taxdisk_protocol::api::{DeclineRequest, ProposalView};
use taxdisk_protocol::said::{self, Tongue};

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
        ProposalCommand::Withdraw { id, reason } => {
            let body = DeclineRequest { reason };
            client.tell(&path(&id, "withdraw"), &body)?;
            say(as_json, &body, || format!("{id} is taken back; nothing was done."));
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
    let ProposalView { id, by, at, expires_at, reason, what } = proposal;
    let said = said::proposal(Tongue::En, what).join("\n  ");
    format!("{id}  by {by} at {at}, until {expires_at}\n  {said}\n  because: {reason}")
}

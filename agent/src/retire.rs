//! The agent gives up at this PC: it asks the broker to revoke its key, for good. What a PC does that is given away, or that gets
//! no disk any more.
//!
//! It refuses while something here is not told or not settled: the broker would wait for it for ever, or for a person.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer, SigningKey};
use taxdisk_protocol::api::RetireBody;
use taxdisk_protocol::error::{Code, Problem};
use taxdisk_protocol::link::retire_message;

use crate::config::Config;
use crate::failure::Failure;
use crate::identity::{Identity, StateDir};
use crate::journal::Journal;
use crate::rotate;

/// The longest answer that is read, bytes.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;

/// Asks. Gives the agent's id; it may have been revoked before.
///
/// # Errors
/// The agent runs, is not enrolled, has something open, or the broker is not reached or refuses. Then nothing has changed.
pub fn retire(config: &Config) -> Result<String, Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let identity = Identity::require(&state)?;
    let _lock = crate::daemon::Lock::take(&state.lock_file())?;
    refuse_unfinished(&state)?;
    let place = identity.broker(config)?;
    let others = rotate::others(&state)?;
    let (agent, ledger) = (&identity.enrolled.agent, &identity.enrolled.ledger);
    let message = retire_message(ledger, agent);
    let signature = |key: &SigningKey| BASE64.encode(key.sign(&message).to_bytes());
    let keys = [Some(&identity.key), others.next.as_ref(), others.before.as_ref()];
    let body = RetireBody { agent: agent.to_string(), signatures: keys.into_iter().flatten().map(signature).collect() };
    let unreachable = |error: ureq::Error| Failure::failed(crate::link::trouble::http(&place.url, &error));
    let mut answer = place.http()?.post(place.url.http("/v1/agents/retire")).send_json(&body).map_err(unreachable)?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_string().map_err(unreachable)?;
    let problem = serde_json::from_str::<Problem>(&text).ok();
    match (status, problem) {
        (204, _) => Ok(agent.to_string()),
        (_, Some(problem)) if problem.code == Code::AgentRevoked.as_str() => Ok(agent.to_string()),
        (_, Some(problem)) => Err(Failure::failed(format!(
            "The broker refused to retire this agent ({}): have its administrator revoke {agent} (`taxdisk agent revoke`).",
            problem.code
        ))),
        (_, None) => Err(Failure::failed(format!(
            "What answers at {} (status {status}) retires no agents: have the broker's administrator revoke {agent} (`taxdisk agent revoke`).",
            place.url
        ))),
    }
}

fn refuse_unfinished(state: &StateDir) -> Result<(), Failure> {
    if !state.journal_dir().exists() {
        return Ok(());
    }
    let journal = Journal::open(&state.journal_dir()).map_err(|error| Failure::failed(format!("{error}.")))?;
    let untold = journal.pending().len();
    if journal.has_open() || untold > 0 {
        return Err(Failure::failed(format!(
            "Something here is not finished ({untold} results are not told, {} unsettled): start the agent once more, with its disk and the \
             broker in reach, or have the broker's administrator revoke it.",
            if journal.has_open() { "an order is" } else { "nothing is" }
        )));
    }
    Ok(())
}

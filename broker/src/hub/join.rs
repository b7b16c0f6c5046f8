//! Who is let in: hello, challenge, proof.
//!
//! A hello is cheap: until the proof is good, a link has cost one look-up in memory and one random number, has a short time, and
//! counts against a small limit. The challenge is new for every link, so a proof that was heard once opens nothing.

use axum::extract::ws::{Message, WebSocket};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signature;
use rand::RngCore;
use taxdisk_protocol::error::Code;
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, JournalHead, proof_message};

use super::Ending;
use super::frame::{Heard, read};
use crate::http::agents::public_key;
use crate::ledger::{Join, Ledger};

/// The link version that this broker speaks.
pub const VERSION: u32 = 1;

/// Lets an agent prove who it is.
pub(super) async fn prove(ledger: &Ledger, socket: &mut WebSocket) -> Result<Join, Ending> {
    let AgentFrame::Hello { agent, version, protocol, journal, join } = expect(socket).await? else {
        return Err(refused(Code::LinkOrder, "hello is expected first"));
    };
    if !protocol.contains(&VERSION) {
        return Err(refused(Code::LinkVersion, format!("the agent speaks link versions {protocol:?}, the broker {VERSION}")));
    }
    let key = ledger.agent_key(&agent).await.map_err(|refusal| Ending::from(crate::http::Refused::from(refusal)))?;
    let key = public_key(&key).map_err(|error| refused(Code::AgentProof, error))?;
    let mut nonce = [0; 32];
    rand::rngs::OsRng.fill_bytes(&mut nonce);
    let nonce = STANDARD.encode(nonce);
    let (id, ancestors) = (ledger.id().to_owned(), ledger.ancestors().to_vec());
    send(socket, &BrokerFrame::Challenge { nonce: nonce.clone(), ledger: id, ancestors }).await?;
    let AgentFrame::Proof { signature } = expect(socket).await? else {
        return Err(refused(Code::LinkOrder, "proof is expected after challenge"));
    };
    let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
    let message = proof_message(ledger.id(), &agent, join, &nonce);
    match signature {
        Some(signature) if key.verify_strict(&message, &signature).is_ok() => Ok(hello(agent, version, journal, join)),
        _ => Err(refused(Code::AgentProof, "the signature does not fit the key that this agent enrolled with")),
    }
}

fn hello(agent: AgentId, version: String, journal: JournalHead, join: u64) -> Join {
    // Shown to people; an agent does not fill the ledger with it.
    let version = version.chars().take(64).collect();
    Join { agent, version, journal, join }
}

fn refused(code: Code, reason: impl Into<String>) -> Ending {
    Ending { code, reason: reason.into() }
}

impl From<crate::http::Refused> for Ending {
    fn from(refused: crate::http::Refused) -> Ending {
        let code = Code::from_name(&refused.0.code).unwrap_or(Code::Internal);
        Ending { code, reason: refused.0.detail }
    }
}

/// Sends one frame before the session runs.
pub(super) async fn send(socket: &mut WebSocket, frame: &BrokerFrame) -> Result<(), Ending> {
    let text = serde_json::to_string(frame).map_err(|error| refused(Code::Internal, error.to_string()))?;
    socket.send(Message::Text(text.into())).await.map_err(|error| refused(Code::LinkOrder, format!("the link broke: {error}")))
}

async fn expect(socket: &mut WebSocket) -> Result<AgentFrame, Ending> {
    loop {
        let text = match socket.recv().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Binary(_) | Message::Close(_))) | None => {
                return Err(refused(Code::LinkOrder, "the link ended before the proof"));
            }
            Some(Err(error)) => return Err(refused(Code::LinkOrder, format!("the link broke: {error}"))),
        };
        return match read(&text) {
            Heard::Frame(frame) => Ok(*frame),
            Heard::Unsupported { why, .. } | Heard::Garbage(why) => Err(refused(Code::LinkOrder, why)),
        };
    }
}

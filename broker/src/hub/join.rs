//! Who is let in: hello, challenge, proof.
//!
//! A hello is cheap: until the proof is good, a link has cost one look-up in memory and one random number, has a short time, and
//! counts against a small limit. The challenge is new for every link, so a proof that was heard once opens nothing.

use axum::extract::ws::{Message, WebSocket};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use taxdisk_protocol::error::Code;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, KEYS_MAX, KeyProof, key_message, proof_message};

use super::Ending;
use super::frame::{Heard, read};
use crate::http::agents::{public_key, signed};
use crate::ledger::{Join, Ledger, Proven};

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
    let (known, key) = (key.clone(), public_key(&key).map_err(|error| refused(Code::AgentProof, error))?);
    let mut nonce = [0; 32];
    rand::rngs::OsRng.fill_bytes(&mut nonce);
    let nonce = STANDARD.encode(nonce);
    let (id, ancestors) = (ledger.id().to_owned(), ledger.ancestors().to_vec());
    send(socket, &BrokerFrame::Challenge { nonce: nonce.clone(), ledger: id, ancestors }).await?;
    let AgentFrame::Proof { signature, keys } = expect(socket).await? else {
        return Err(refused(Code::LinkOrder, "proof is expected after challenge"));
    };
    let newest = match keys.first() {
        None => signed(&key, &signature, &proof_message(ledger.id(), &agent, join, &nonce)).then(|| known.clone()),
        Some(newest) => {
            let message = key_message(ledger.id(), &agent, join, &nonce, &newest.public_key);
            exchanged(&known, &keys, &message)
        }
    };
    let Some(newest) = newest else {
        return Err(refused(Code::AgentProof, "the signature does not fit the key that this agent enrolled with"));
    };
    // Shown to people; an agent does not fill the ledger with it.
    let version = version.chars().take(64).collect();
    Ok(Join { agent, version, journal, join, key: Some(Proven { known, newest }) })
}

/// The newest of an agent's keys, if it has that one and the one that the broker knows.
fn exchanged(known: &str, keys: &[KeyProof], message: &[u8]) -> Option<String> {
    let has = |proof: &KeyProof| public_key(&proof.public_key).is_ok_and(|key| signed(&key, &proof.signature, message));
    let keys = keys.get(..KEYS_MAX.min(keys.len()))?;
    let newest = keys.first().filter(|newest| has(newest))?;
    keys.iter().any(|proof| proof.public_key == known && has(proof)).then(|| newest.public_key.clone())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    #[test]
    fn a_new_key_comes_in_with_the_known_one_only_and_only_who_has_both_brings_it() {
        let keys = [1, 2, 3].map(|byte| SigningKey::from_bytes(&[byte; 32]));
        let name = |key: &SigningKey| STANDARD.encode(key.verifying_key().as_bytes());
        let proof = |key: &SigningKey, message: &[u8]| KeyProof {
            public_key: name(key),
            signature: STANDARD.encode(key.sign(message).to_bytes()),
        };
        let [known, next, stranger] = &keys;
        let message = b"message".as_slice();
        let good = [proof(next, message), proof(known, message)];
        assert_eq!(exchanged(&name(known), &good, message), Some(name(next)));
        // The broker has taken the new one, and the agent has not heard of it.
        assert_eq!(exchanged(&name(next), &good, message), Some(name(next)));
        // A ledger that went back knows the one before.
        let back = [proof(stranger, message), proof(next, message), proof(known, message)];
        assert_eq!(exchanged(&name(known), &back, message), Some(name(stranger)));
        let claimed = KeyProof { public_key: name(known), signature: STANDARD.encode(next.sign(message).to_bytes()) };
        for (bad, why) in [
            (vec![proof(next, message)], "without the known key"),
            (vec![proof(next, message), claimed.clone()], "the known key is named, not had"),
            (vec![proof(next, b"another"), proof(known, message)], "the new key is named, not had"),
            (vec![proof(next, message), proof(known, b"another")], "the known key agreed to something else"),
            (vec![proof(next, message), proof(next, message), proof(next, message), proof(known, message)], "too many"),
        ] {
            assert_eq!(exchanged(&name(known), &bad, message), None, "{why}");
        }
    }
}

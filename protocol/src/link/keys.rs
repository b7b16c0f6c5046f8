//! What an agent signs to show who it is, and how it exchanges its key without a moment at which it has none, or two.
//!
//! The broker knows one key of an agent. An agent with a new one proves at its next join every key that it has, the newest
//! first. If the one that the broker knows is among them, the newest takes its place, in the commit of the join. Until the
//! agent has heard of that it keeps both; so wherever either of them stops, and however long the agent is away, the next join
//! comes through and there is one key. It keeps the one before it too: a ledger that went back to a backup knows that one.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::AgentId;

/// Keys that a proof may hold: the next one, the present one, and the one before it.
pub const KEYS_MAX: usize = 3;

/// One key of an agent that exchanges its key, and that the agent has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProof {
    /// Ed25519, base64.
    pub public_key: String,
    /// By this key, over [`key_message`], base64.
    pub signature: String,
}

/// The bytes that an agent signs to prove its key. Bound to ledger, agent and join, so that it can be used nowhere else.
pub fn proof_message(ledger: &str, agent: &AgentId, join: u64, nonce: &str) -> Vec<u8> {
    format!("taxdisk link v1\n{ledger}\n{agent}\n{join}\n{nonce}").into_bytes()
}

/// The bytes that each key of a [`KeyProof`] signs: it agrees that `newest` (base64) takes its place.
pub fn key_message(ledger: &str, agent: &AgentId, join: u64, nonce: &str, newest: &str) -> Vec<u8> {
    format!("taxdisk link key v1\n{ledger}\n{agent}\n{join}\n{nonce}\n{newest}").into_bytes()
}

/// The bytes that an agent signs to be revoked. Heard twice it says nothing new: an agent is revoked for good.
pub fn retire_message(ledger: &str, agent: &AgentId) -> Vec<u8> {
    format!("taxdisk retire v1\n{ledger}\n{agent}").into_bytes()
}

/// What people compare of a public key (base64): the first 64 bits of its SHA-256, in groups.
pub fn fingerprint(public_key: &str) -> String {
    let digits = hex::encode(&Sha256::digest(public_key)[..8]);
    digits.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_for_one_purpose_says_nothing_for_another() {
        let Ok(agent) = "ag_0123456789abcdef".parse::<AgentId>() else { panic!("an id") };
        let messages = [
            proof_message("l", &agent, 1, "n"),
            key_message("l", &agent, 1, "n", "k"),
            key_message("l", &agent, 1, "n", "k2"),
            key_message("l", &agent, 2, "n", "k"),
            key_message("m", &agent, 1, "n", "k"),
            retire_message("l", &agent),
            retire_message("m", &agent),
        ];
        for (index, message) in messages.iter().enumerate() {
            assert!(!messages[index + 1..].contains(message), "{index}");
        }
        assert_eq!(fingerprint("a"), "ca97-8112-ca1b-bdca");
    }
}

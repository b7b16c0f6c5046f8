//! Keys and codes: how they are made and how they are known again. What is kept is the hash alone.
//!
//! Each holds at least 128 random bits, so that a fast hash is enough: nobody can try them out.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use taxdisk_protocol::time::Timestamp;

use crate::core::KEY_USE_MS;
use crate::core::change::KeyRow;
use crate::core::types::{Caller, KeyView, Refusal};

/// SHA-256, hex.
pub(super) fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// A new API key: public id and the key itself.
pub(super) fn key() -> (String, String) {
    let id = format!("k_{}", hex::encode(rand::random::<[u8; 6]>()));
    let secret = hex::encode(rand::random::<[u8; 32]>());
    (id.clone(), format!("td{id}_{secret}"))
}

/// A new enrolment code, in groups that a person can read out.
pub(super) fn code() -> String {
    let digits = hex::encode(rand::random::<[u8; 16]>());
    let groups: Vec<&str> = (0..8).filter_map(|group| digits.get(group * 4..group * 4 + 4)).collect();
    groups.join("-")
}

/// A new agent's id.
pub(super) fn agent() -> String {
    format!("ag_{}", hex::encode(rand::random::<[u8; 8]>()))
}

/// API keys by the hash of the whole key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_hash: HashMap<String, KeyRow>,
}

impl Keys {
    pub(super) fn new<'a>(rows: impl Iterator<Item = &'a KeyRow>) -> Keys {
        Keys { by_hash: rows.map(|row| (row.hash.clone(), row.clone())).collect() }
    }

    /// Who calls with this key.
    pub(super) fn authenticate(&self, key: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let Some(row) = self.by_hash.get(&hash(key)) else {
            return Err(Refusal::new("unauthorized", "this API key is not known"));
        };
        if row.revoked_at.is_some() {
            return Err(Refusal::new("unauthorized", format!("API key {} was revoked", row.id)));
        }
        match row.expires_at {
            Some(until) if until <= now => Err(Refusal::new("key_expired", format!("API key {} ended at {until}", row.id))),
            _ => {
                let unnoted = row.used_at.is_none_or(|at| now.since_ms(at) >= KEY_USE_MS);
                Ok(Caller { unnoted, ..caller(row) })
            }
        }
    }

    pub(super) fn views(&self) -> Vec<KeyView> {
        let view = |row: &KeyRow| KeyView {
            caller: caller(row),
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            used_at: row.used_at,
        };
        let mut views: Vec<KeyView> = self.by_hash.values().map(view).collect();
        views.sort_by(|a, b| (a.created_at, &a.caller.id).cmp(&(b.created_at, &b.caller.id)));
        views
    }
}

fn caller(row: &KeyRow) -> Caller {
    Caller {
        id: row.id.clone(),
        name: row.name.clone(),
        role: row.role,
        sellers: row.sellers.clone(),
        actions: row.actions.clone(),
        unnoted: false,
    }
}

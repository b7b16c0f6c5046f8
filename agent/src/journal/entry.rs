//! Keys and values of the journal: how one record becomes a few keys of one tree, and how a damaged value is noticed.
//!
//! A value is a version byte, four bytes of checksum over key and body, and the body as JSON: small, and readable with
//! `journal show` for as long as the product lives. What this file refuses to do: read a value whose checksum is wrong, or
//! of a version that it does not know.
//!
//! Versions: 1 — first.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::AttemptRef;
use taxdisk_protocol::number::NumberPair;

/// Version of the values that are written.
const VERSION: u8 = 1;
/// Version byte and checksum.
const HEADER_BYTES: usize = 5;

pub(super) const HEAD_ID: &str = "h/id";
pub(super) const HEAD_SEQUENCE: &str = "h/sequence";
pub(super) const HEAD_JOIN: &str = "h/join";
pub(super) const OUTBOX: &str = "b/";
pub(super) const OUTCOMES: &str = "r/";
pub(super) const OPERATIONS: &str = "w/";

fn attempt_path(attempt: &AttemptRef) -> String {
    format!("{}/{}/{:08x}", attempt.key.seller, attempt.key.serial, attempt.attempt)
}

/// An intent without an outcome. Grouped by disk, so that a restart finds them with one scan.
pub(super) fn open(disk: &DiskNumber, attempt: &AttemptRef) -> String {
    format!("o/{disk}/{}", attempt_path(attempt))
}

pub(super) fn open_of(disk: &DiskNumber) -> String {
    format!("o/{disk}/")
}

/// The outcome of an attempt: the index line that is never deleted.
pub(super) fn outcome(attempt: &AttemptRef) -> String {
    format!("{OUTCOMES}{}", attempt_path(attempt))
}

/// The legal invoice of a job.
pub(super) fn issued(key: &JobKey) -> String {
    format!("k/{}/{}", key.seller, key.serial)
}

pub(super) fn outbox(id: &str) -> String {
    format!("{OUTBOX}{id}")
}

pub(super) fn accounting(disk: &DiskNumber, kind: InvoiceKind) -> String {
    format!("a/{disk}/{kind}")
}

pub(super) fn owner(disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> String {
    format!("n/{disk}/{kind}/{}/{}", pair.code, pair.number)
}

pub(super) fn sequence(disk: &DiskNumber) -> String {
    format!("s/{disk}")
}

/// An operation without an outcome: at most one a disk.
pub(super) fn operation(disk: &DiskNumber) -> String {
    format!("{OPERATIONS}{disk}")
}

pub(super) fn operation_outcome(id: &str) -> String {
    format!("x/{id}")
}

/// The operation that voids a number.
pub(super) fn void(disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> String {
    format!("v/{disk}/{kind}/{}/{}", pair.code, pair.number)
}

/// What was read before a person was asked about an operation.
pub(super) fn operation_evidence(id: &str) -> String {
    format!("e/{id}")
}

/// The red invoice that reverses a number.
pub(super) fn reversal(disk: &DiskNumber, kind: InvoiceKind, original: NumberPair) -> String {
    format!("d/{disk}/{kind}/{}/{}", original.code, original.number)
}

/// The last operation of its name, where it ended unsettled.
pub(super) fn unsettled_operation(disk: &DiskNumber, name: DiskOperation, kind: Option<InvoiceKind>) -> String {
    format!("z/{disk}/{name}/{}", kind.map_or_else(|| "-".to_owned(), |kind| kind.to_string()))
}

/// An attempt that ended unsettled.
pub(super) fn unsettled(disk: &DiskNumber, attempt: &AttemptRef) -> String {
    format!("u/{disk}/{}", attempt_path(attempt))
}

pub(super) fn unsettled_of(disk: &DiskNumber) -> String {
    format!("u/{disk}/")
}

/// An attempt that ended unsettled and was decided at the broker. Kept for ever: a ledger that goes back forgets the decision.
pub(super) fn decided(disk: &DiskNumber, attempt: &AttemptRef) -> String {
    format!("y/{disk}/{}", attempt_path(attempt))
}

pub(super) fn password_stop(port: &str) -> String {
    format!("p/{port}")
}

/// What `journal show` calls the entry of a key.
pub(super) fn kind_of(key: &str) -> &'static str {
    match key.get(..2).unwrap_or("") {
        "o/" => "intent",
        "r/" => "outcome",
        "k/" => "issued",
        "b/" => "outbox",
        "a/" => "accounted",
        "n/" => "owner",
        "s/" => "sequence",
        "p/" => "password_stop",
        "w/" => "operation",
        "x/" => "operation_outcome",
        "v/" => "void",
        "e/" => "operation_evidence",
        "d/" => "reversal",
        "u/" => "unsettled",
        "y/" => "decided",
        "z/" => "unsettled_operation",
        "h/" => "head",
        _ => "unknown",
    }
}

fn checksum(key: &str, body: &[u8]) -> [u8; 4] {
    let digest = Sha256::new().chain_update(key).chain_update([0]).chain_update(body).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// A value for a key. The key is part of the checksum: a value that turns up under another key is damage too.
pub(super) fn encode<T: Serialize>(key: &str, value: &T) -> Vec<u8> {
    let body = serde_json::to_vec(value).expect("journal values are plain structs with text keys, which JSON always holds");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&checksum(key, &body));
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads a value back; the error says what is wrong with it.
pub(super) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, String> {
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| format!("{key}: {} bytes only", bytes.len()))?;
    if header[0] != VERSION {
        return Err(format!("{key}: version {} is not known to this program", header[0]));
    }
    if header[1..] != checksum(key, body) {
        return Err(format!("{key}: wrong checksum"));
    }
    body_of(key, body)
}

/// The same of a value that never left memory.
pub(super) fn decode_whole<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, String> {
    body_of(key, bytes.get(HEADER_BYTES..).unwrap_or_default())
}

fn body_of<T: DeserializeOwned>(key: &str, body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("{key}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_changed_byte_a_cut_value_and_a_foreign_key_are_noticed() {
        let bytes = encode("s/1", &7_u64);
        assert_eq!(decode::<u64>("s/1", &bytes), Ok(7));
        for index in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[index] ^= 1;
            assert!(decode::<u64>("s/1", &bad).is_err(), "byte {index}");
            assert!(decode::<u64>("s/1", &bytes[..index]).is_err(), "cut at {index}");
        }
        assert!(decode::<u64>("s/2", &bytes).is_err());
    }
}

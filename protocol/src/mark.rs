//! The short mark in the remark by which an invoice that was read back is known as ours.

use sha2::{Digest, Sha256};

use crate::ids::JobKey;

/// First character of a mark.
const LEAD: char = '#';
/// Characters after it: 9 of 32 letters and digits, 45 bits. Among the open attempts of one disk a clash is beyond reach, and
/// 10 bytes are little of a remark of 80.
const LENGTH: usize = 9;
/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Bytes that a mark takes of a remark, the space before it included.
pub const MARK_BYTES: usize = 1 + 1 + LENGTH;

/// The mark of a job: the same for every attempt and version, since one serial number has one invoice at most.
pub fn mark(key: &JobKey) -> String {
    let digest = Sha256::digest(format!("taxdisk mark v1\n{}\n{}", key.seller, key.serial));
    let mut text = String::with_capacity(1 + LENGTH);
    text.push(LEAD);
    let bits = digest.iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    for index in 0..LENGTH {
        let shift = 64 - 5 * (index + 1);
        text.push(char::from(ALPHABET[((bits >> shift) & 31) as usize]));
    }
    text
}

/// The remark that goes to the disk: the caller's, then the mark.
pub fn marked_remark(remark: &str, mark: Option<&str>) -> String {
    match mark {
        None => remark.to_owned(),
        Some(mark) if remark.is_empty() => mark.to_owned(),
        Some(mark) => format!("{remark} {mark}"),
    }
}

/// The mark at the end of a remark that was read back, if there is one.
pub fn find_mark(remark: &str) -> Option<&str> {
    let start = remark.trim_end().rfind(LEAD)?;
    let candidate = remark.trim_end().get(start..)?;
    let body = candidate.strip_prefix(LEAD)?;
    (body.len() == LENGTH && body.bytes().all(|b| ALPHABET.contains(&b))).then_some(candidate)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mark_is_found_where_it_was_put_and_nowhere_else() {
        let key = JobKey { seller: "91110000MA0000001L".parse().unwrap(), serial: "NW10248".parse().unwrap() };
        let mark = mark(&key);
        assert_eq!(mark.len() + 1, MARK_BYTES);
        assert_eq!(find_mark(&marked_remark("订单 #7", Some(&mark))), Some(mark.as_str()));
        assert_eq!(find_mark(&marked_remark("", Some(&mark))), Some(mark.as_str()));
        assert_eq!(find_mark("订单 #7"), None);
        assert_eq!(find_mark(&mark[..mark.len() - 1]), None);
        let other = JobKey { serial: "NW10249".parse().unwrap(), ..key };
        assert_ne!(super::mark(&other), mark);
    }
}

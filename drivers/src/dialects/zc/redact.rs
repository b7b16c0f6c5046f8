//! Masks passwords in frames, so that traffic can be traced and recorded. What it does not know, it masks whole.

use super::crc::checksum;
use crate::redact::{MASK, mask_document};

/// Where a command carries passwords: offset and width in its data. `None`: unknown layout, everything is masked.
fn passwords(command: u8) -> Option<&'static [(usize, usize)]> {
    Some(match command {
        0x01 | 0x02 | 0x03 | 0x18 | 0x30 => &[],
        0x04 | 0x05 => &[(0, 8)],
        0x06 | 0x07 | 0x08 | 0x0C | 0x11 | 0x12 | 0x13 | 0x14 | 0x15 | 0x16 | 0x1D | 0x31 => &[(32, 8)],
        0x09 => &[(32, 8), (40, 8)],
        0x0A => &[(0, 8), (120, 8)],
        0x0B => &[(32, 8), (43, 8)],
        0x17 => &[(199, 16)],
        0x1C => &[(0, 8), (8, 8)],
        0x32 => &[(32, 8), (52, 8)],
        _ => return None,
    })
}

/// The data of a whole command of fixed fields, its passwords masked.
pub(in crate::dialects) fn mask_fields(command: u8, data: &mut [u8]) {
    match passwords(command) {
        Some(fields) => {
            for (offset, width) in fields {
                let from = (*offset).min(data.len());
                let to = (offset + width).min(data.len());
                data[from..to].fill(MASK);
            }
        }
        None => data.fill(MASK),
    }
}

/// A frame with a whole document: a command in one packet, or an answer. A document in several packets might be cut in the
/// middle of a password.
fn document(frame: &[u8]) -> Option<Vec<u8>> {
    let (header, len) = match frame {
        [0x1B, 0x20, _, 0, high, low, ..] => (6, u16::from_be_bytes([*high, *low])),
        [b'O', b'K', _, high, low, ..] | [b'E', b'R', _, high, low, ..] => (5, u16::from_be_bytes([*high, *low])),
        _ => return None,
    };
    let end = usize::from(len);
    if frame.len() != end + 2 || end < header {
        return None;
    }
    let mut copy = frame[..header].to_vec();
    copy.extend(mask_document(&frame[header..end]));
    let crc = checksum(&copy).to_be_bytes();
    copy.extend(crc);
    Some(copy)
}

/// A copy of a frame with the passwords masked and the checksum made to fit, so that it can be replayed. Answers and
/// acknowledgements carry no password and stay as they are; of a document in one packet only the passwords are masked. Anything
/// else (parts of frames) is masked behind its header.
pub fn redact_frame(frame: &[u8]) -> Vec<u8> {
    let mut copy = frame.to_vec();
    let says = |at: usize| frame.get(at).is_some_and(|len| usize::from(*len) + 2 == frame.len());
    if matches!(frame.get(..2), Some(b"OK" | b"ER" | b"WT" | b"NP")) && (says(3) || says(4)) {
        return copy;
    }
    if let Some(masked) = document(frame) {
        return masked;
    }
    let begins_like_a_command = matches!(frame.get(..2), Some([0x1B, 0x10 | 0x20]));
    if !begins_like_a_command || frame[1] == 0x20 || frame.len() < 7 || !says(4) {
        let header = if begins_like_a_command { copy.len().min(4) } else { 0 };
        copy[header..].fill(MASK);
        return copy;
    }
    let end = copy.len() - 2;
    let data = &mut copy[5..end];
    // All passwords stand in the first packet: pkgNo 1, or 0 when it is the only one. 0A always has at least three.
    let is_first = frame[3] == 1 || (frame[3] == 0 && frame[2] != 0x0A);
    match passwords(frame[2]) {
        Some(_) if !is_first => {}
        _ => mask_fields(frame[2], data),
    }
    let crc = checksum(&copy[..end]).to_be_bytes();
    copy[end..].copy_from_slice(&crc);
    copy
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::vectors;
    use super::*;

    fn contains(bytes: &[u8], needle: &[u8]) -> bool {
        bytes.windows(needle.len()).any(|window| window == needle)
    }

    #[test]
    fn no_password_is_left_in_any_vector() {
        let mut masked = 0;
        for name in vectors::names() {
            for frame in vectors::frames(name) {
                let redacted = redact_frame(&frame);
                assert!(!contains(&redacted, b"88888888"), "{name}");
                // The fiscal code of the answers begins like the certificate's password.
                assert!(frame[0] != 0x1B || !contains(&redacted, b"12345678"), "{name}");
                assert_eq!(redacted.len(), frame.len());
                masked += usize::from(redacted != frame);
            }
        }
        assert!(masked >= 8, "only {masked} frames were masked");
    }

    #[test]
    fn every_part_of_a_frame_is_masked_too() {
        for name in ["3 request", "7 request", "9 request"] {
            let frame = vectors::frame(name);
            for length in 0..frame.len() {
                assert!(!contains(&redact_frame(&frame[..length]), b"888"), "{name} cut at {length}");
                assert!(!contains(&redact_frame(&frame[length..]), b"888") || length == 0, "{name} from {length}");
            }
        }
    }

    #[test]
    fn unknown_commands_are_masked_whole_and_harmless_ones_not_at_all() {
        let frame = vectors::frames_of(0x0D, b"91110000MA00000019..old12345new67890").remove(0);
        assert!(redact_frame(&frame)[5..frame.len() - 2].iter().all(|byte| *byte == MASK));
        assert_eq!(redact_frame(&vectors::frame("2 request")), vectors::frame("2 request"));
        let subject = super::super::commands::samples::subject();
        let (old, new) = (crate::secret::Secret::new("88888888"), crate::secret::Secret::new("newpass"));
        use super::super::commands::{certificate_password, password};
        let data = password::request(subject.taxpayer, subject.disk, subject.machine, &old, &new);
        for (code, data) in [(0x09, data), (0x1C, certificate_password::request(subject.machine, &old, &new))] {
            let redacted = redact_frame(&vectors::frames_of(code, &data.unwrap()).remove(0));
            assert!(!contains(&redacted, b"8888") && !contains(&redacted, b"newpass"));
            assert!(contains(&redacted, subject.machine.as_bytes()));
        }
    }
}

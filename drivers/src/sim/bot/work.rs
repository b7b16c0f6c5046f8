//! Which commands change the disk and which business command is behind a document (cmd 7E). C.4, C.4.2.

use crate::sim::nisec;

/// A full document of the component interface.
pub(super) const CMD_DOCUMENT: u8 = 0x7E;

/// Commands of class W in device-serial-zc.md, section 5, and whatever is unknown: what may change is treated as changing.
pub(super) fn is_changing(cmd: u8, payload: &[u8]) -> bool {
    match cmd {
        0x01..=0x08 | 0x0C | 0x0E | 0x13 | 0x30..=0x32 => false,
        CMD_DOCUMENT => nisec::is_changing(payload),
        _ => true,
    }
}

/// The business command behind a command: faults and times are bound to it.
pub(super) fn effective(cmd: u8, payload: &[u8]) -> u8 {
    if cmd != CMD_DOCUMENT {
        return cmd;
    }
    match nisec::business_id(payload).as_deref() {
        Some("SKPXXCX") => 0x04,
        Some("JKSJCX") => 0x06,
        Some("SZSMCX") => 0x07,
        Some("GPXXCX") => 0x08,
        Some("FPKJ") => 0x0A,
        Some("FPZF") => 0x0B,
        Some("FPCX") => 0x0C,
        _ => CMD_DOCUMENT,
    }
}

/// Signing takes the disk's time.
pub(super) fn is_signing(effective: u8) -> bool {
    matches!(effective, 0x0A | 0x0B)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_disk_is_known_by_its_code_or_its_document() {
        assert!(is_changing(0x0A, b"") && is_changing(0x1C, b"") && is_changing(0x77, b""));
        assert!(!is_changing(0x08, b"") && !is_changing(0x0C, b""));
        let document = |id: &str| format!("<business id=\"{id}\"><body><input/></body></business>").into_bytes();
        assert!(is_changing(0x7E, &document("FPKJ")) && is_changing(0x7E, &document("BSPFPFF")));
        assert!(!is_changing(0x7E, &document("FPCX")) && !is_changing(0x7E, b"no document"));
        assert_eq!((effective(0x7E, &document("FPKJ")), effective(0x08, b""), effective(0x7E, b"")), (0x0A, 0x08, 0x7E));
    }
}

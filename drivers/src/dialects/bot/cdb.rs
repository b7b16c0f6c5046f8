//! The bytes of the profile: command descriptor blocks, the header before an answer, sense data (C.3 and C.4).
//!
//! Pure: no I/O, and nothing here knows what a command means.

use taxdisk_protocol::class::DeviceClass;

use crate::dialects::zc::crc::checksum;

/// Bytes of a descriptor block of this profile.
pub(super) const CDB_BYTES: usize = 16;
/// Bytes of the header before an answer.
pub(super) const HEADER_BYTES: usize = 16;
/// The longest payload, either way.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// The largest allocation of one FETCH.
pub(super) const MAX_FETCH_BYTES: usize = 65_536;
/// Bytes of INQUIRY data.
pub(super) const INQUIRY_BYTES: usize = 36;
/// Bytes of fixed-format sense data.
pub(super) const SENSE_BYTES: usize = 18;

/// INQUIRY.
pub(super) const INQUIRY: [u8; 6] = [0x12, 0, 0, 0, INQUIRY_BYTES as u8, 0];
/// REQUEST SENSE.
pub(super) const REQUEST_SENSE: [u8; 6] = [0x03, 0, 0, 0, SENSE_BYTES as u8, 0];

const SEND: u8 = 0xD0;
const FETCH: u8 = 0xD1;
const VERSION: u8 = 1;
const VENDOR: &[u8; 8] = b"TAXDISK ";
const PRODUCT: &[u8; 16] = b"BOT PROFILE     ";

/// How the payload of a command is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadType {
    /// 10: fixed-width fields.
    Fixed,
    /// 20: an XML document.
    Xml,
}

impl PayloadType {
    fn byte(self) -> u8 {
        match self {
            PayloadType::Fixed => 0x10,
            PayloadType::Xml => 0x20,
        }
    }
}

/// SEND COMMAND (C.4.1).
pub(super) fn send(payload_type: PayloadType, command: u8, token: u32, payload: &[u8]) -> [u8; CDB_BYTES] {
    let mut cdb = [0; CDB_BYTES];
    cdb[..4].copy_from_slice(&[SEND, VERSION, payload_type.byte(), command]);
    cdb[4..8].copy_from_slice(&token.to_be_bytes());
    cdb[8..12].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    // 0 of nothing is 0, as the profile wants it.
    cdb[12..14].copy_from_slice(&checksum(payload).to_be_bytes());
    cdb
}

/// FETCH ANSWER (C.4.3). Token 0 asks for the last changing one.
pub(super) fn fetch(token: u32, offset: u32, allocation: u32) -> [u8; CDB_BYTES] {
    let mut cdb = [0; CDB_BYTES];
    cdb[..2].copy_from_slice(&[FETCH, VERSION]);
    cdb[4..8].copy_from_slice(&token.to_be_bytes());
    cdb[8..12].copy_from_slice(&offset.to_be_bytes());
    cdb[12..16].copy_from_slice(&allocation.to_be_bytes());
    cdb
}

/// What the device says about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// 00: it does not know it.
    Unknown,
    /// 01: it is at it.
    Busy,
    /// 02: the answer is there; good or not.
    Done {
        /// 'O' as opposed to 'E'.
        good: bool,
        /// Link error code of an 'E' without text.
        code: u8,
    },
    /// 03: it took it, and holds no answer: the outcome is unknown.
    Lost,
}

/// The header before an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// What became of the command.
    pub(super) state: State,
    /// Whose answer this is.
    pub(super) token: u32,
    /// Checksum of the whole answer.
    pub(super) crc: u16,
    /// Bytes of the whole answer.
    pub(super) total: u32,
}

/// Reads a header.
///
/// # Errors
/// It is none, in words.
pub(super) fn parse_header(bytes: &[u8]) -> Result<Header, String> {
    let Some(head) = bytes.get(..HEADER_BYTES) else {
        return Err(format!("{} bytes, a header has {HEADER_BYTES}", bytes.len()));
    };
    if head[..3] != *b"TD\x01" {
        return Err("no header of profile version 1".to_owned());
    }
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let state = match (head[3], head[8]) {
        (0, _) => State::Unknown,
        (1, _) => State::Busy,
        (2, flag @ (b'O' | b'E')) => State::Done { good: flag == b'O', code: head[9] },
        (3, _) => State::Lost,
        (state, flag) => return Err(format!("state {state:02X} with {flag:02X}")),
    };
    let total = word(12);
    if total as usize > MAX_PAYLOAD_BYTES {
        return Err(format!("an answer of {total} bytes"));
    }
    Ok(Header { state, token: word(4), crc: u16::from_be_bytes([head[10], head[11]]), total })
}

/// Whether INQUIRY data are those of a disk of this profile; the words say what it is instead.
///
/// # Errors
/// It is another device.
pub(super) fn check_inquiry(data: &[u8]) -> Result<(), String> {
    let (Some(vendor), Some(product)) = (data.get(8..16), data.get(16..32)) else {
        return Err(format!("{} bytes of INQUIRY data", data.len()));
    };
    if vendor == VENDOR && product == PRODUCT {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&data[8..32]).chars().filter(|one| !one.is_control()).collect::<String>();
    Err(format!("it calls itself {:?}", text.trim()))
}

/// Key, ASC and ASCQ of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sense {
    key: u8,
    code: u8,
    qualifier: u8,
}

impl Sense {
    /// Reads fixed-format sense data; `None` if it is none.
    pub(super) fn parse(data: &[u8]) -> Option<Sense> {
        match data {
            [0x70 | 0x71, _, key, _, _, _, _, _, _, _, _, _, code, qualifier, ..] => {
                Some(Sense { key: key & 0x0F, code: *code, qualifier: *qualifier })
            }
            _ => None,
        }
    }

    /// What it says about the disk (C.4.2).
    pub(super) fn class(self) -> DeviceClass {
        match (self.key, self.code, self.qualifier) {
            (0x02, 0x04, 0x07) => DeviceClass::InProgress,
            (0x05, 0x26, 0x00) => DeviceClass::Duplicate,
            (0x0B, 0x47, 0x03) => DeviceClass::Link,
            (0x05, 0x20 | 0x24, 0x00) => DeviceClass::Unsupported,
            (0x02, 0x3A, 0x00) => DeviceClass::NotPresent,
            _ => DeviceClass::DeviceFault,
        }
    }

    fn text(self) -> &'static str {
        match (self.key, self.code, self.qualifier) {
            (0x02, 0x04, 0x07) => "the disk is still at an older command",
            (0x05, 0x26, 0x00) => "the disk was given this token before, with other content: another program uses it",
            (0x0B, 0x47, 0x03) => "the command arrived damaged (checksum): try another USB port",
            (0x05, 0x24, 0x00) => "the disk does not understand the command: it is another model or version",
            (0x05, 0x20, 0x00) => "the disk does not know this command: it is another model",
            _ => "the disk refuses the command",
        }
    }
}

impl std::fmt::Display for Sense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (sense {:02X}/{:02X}/{:02X})", self.text(), self.key, self.code, self.qualifier)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_but_a_header_is_taken_for_one() {
        let mut good = *b"TD\x01\x02\0\xA1\0\x01O\0\x96\x10\0\0\0\x23";
        let header = Header { state: State::Done { good: true, code: 0 }, token: 0xA1_0001, crc: 0x9610, total: 35 };
        assert_eq!(parse_header(&good), Ok(header));
        assert!(parse_header(&good[..15]).is_err());
        for (at, byte) in [(0, b'X'), (1, 0), (2, 2), (3, 4), (8, 0), (12, 1)] {
            let kept = std::mem::replace(&mut good[at], byte);
            assert!(parse_header(&good).is_err(), "byte {at}");
            good[at] = kept;
        }
    }

    #[test]
    fn a_disk_of_this_profile_knows_its_name() {
        let mut data = b"\0\x80\x04\x02\x1F\0\0\0TAXDISK BOT PROFILE     0100".to_vec();
        assert_eq!(data.len(), INQUIRY_BYTES);
        check_inquiry(&data).unwrap();
        data[8..16].copy_from_slice(b"KINGSTON");
        assert!(check_inquiry(&data).unwrap_err().contains("KINGSTON"));
        assert!(check_inquiry(&data[..20]).is_err());
    }

    #[test]
    fn refusals_have_their_class() {
        let sense = |key, code, qualifier| {
            let mut data = [0; SENSE_BYTES];
            (data[0], data[2], data[7], data[12], data[13]) = (0x70, key, 0x0A, code, qualifier);
            Sense::parse(&data).unwrap().class()
        };
        assert_eq!(sense(0x02, 0x04, 0x07), DeviceClass::InProgress);
        assert_eq!(sense(0x05, 0x26, 0x00), DeviceClass::Duplicate);
        assert_eq!(sense(0x0B, 0x47, 0x03), DeviceClass::Link);
        assert_eq!(sense(0x05, 0x24, 0x00), DeviceClass::Unsupported);
        assert_eq!(sense(0x03, 0x11, 0x00), DeviceClass::DeviceFault);
        assert_eq!(Sense::parse(&[0; 18]), None);
        assert_eq!(Sense::parse(&[0x70; 10]), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused_and_never_a_panic(mut bytes: Vec<u8>, as_header: bool) {
            if as_header && bytes.len() >= 4 {
                bytes[..3].copy_from_slice(b"TD\x01");
                bytes[3] %= 5;
            }
            if let Ok(header) = parse_header(&bytes) {
                proptest::prop_assert!(header.total as usize <= MAX_PAYLOAD_BYTES);
            }
            let _ = check_inquiry(&bytes);
            if let Some(sense) = Sense::parse(&bytes) {
                proptest::prop_assert!(!sense.to_string().is_empty());
            }
        }
    }
}

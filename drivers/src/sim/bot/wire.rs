//! Bytes of bulk-only transport and of the profile's two command blocks. device-xml-and-usb.md, C.2 and C.4.
//!
//! It reads and builds; it decides nothing but whether a block is a block.

/// Length of a command block wrapper.
pub(super) const CBW_BYTES: usize = 31;
/// Header before the bytes of an answer.
pub(super) const FETCH_HEADER_BYTES: usize = 16;
/// Longest payload of one command.
pub(super) const MAX_PAYLOAD_BYTES: u32 = 1_048_576;
/// What a fetch may ask for at once.
pub(super) const FETCH_ALLOCATION_BYTES: std::ops::RangeInclusive<u32> = 16..=65_536;
/// Version of the profile.
const PROFILE: u8 = 0x01;

/// First byte of a command block.
pub(super) mod operation {
    pub(crate) const TEST_UNIT_READY: u8 = 0x00;
    pub(crate) const REQUEST_SENSE: u8 = 0x03;
    pub(crate) const INQUIRY: u8 = 0x12;
    pub(crate) const READ_CAPACITY: u8 = 0x25;
    pub(crate) const READ: u8 = 0x28;
    pub(crate) const SEND: u8 = 0xD0;
    pub(crate) const FETCH: u8 = 0xD1;
}

/// Sense key, code and qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sense(pub(super) u8, pub(super) u8, pub(super) u8);

impl Sense {
    pub(super) const NO_MEDIUM: Sense = Sense(0x02, 0x3A, 0x00);
    pub(super) const UNKNOWN_OPERATION: Sense = Sense(0x05, 0x20, 0x00);
    pub(super) const BAD_BLOCK: Sense = Sense(0x05, 0x24, 0x00);
    pub(super) const BAD_PARAMETER: Sense = Sense(0x05, 0x26, 0x00);
    pub(super) const NO_SUCH_UNIT: Sense = Sense(0x05, 0x25, 0x00);
    pub(super) const BUSY: Sense = Sense(0x02, 0x04, 0x07);
    pub(super) const DAMAGED_DATA: Sense = Sense(0x0B, 0x47, 0x03);
    pub(super) const MEMORY_FAILED: Sense = Sense(0x04, 0x44, 0x00);

    /// Fixed format, 18 bytes.
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; 18];
        (bytes[0], bytes[2], bytes[7], bytes[12], bytes[13]) = (0x70, self.0, 0x0A, self.1, self.2);
        bytes
    }
}

/// A command block wrapper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cbw {
    pub(super) tag: u32,
    /// dCBWDataTransferLength.
    pub(super) length: u32,
    /// The data go to the host.
    pub(super) to_host: bool,
    pub(super) lun: u8,
    pub(super) cdb: [u8; 16],
    pub(super) cdb_length: u8,
}

impl Cbw {
    /// `None`: not valid or not meaningful; the device then stalls both pipes until it is reset.
    pub(super) fn parse(bytes: &[u8]) -> Option<Cbw> {
        let block: &[u8; CBW_BYTES] = bytes.try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        let reserved_clear = block[12] & 0x7F == 0 && block[13] & 0xF0 == 0 && block[14] & 0xE0 == 0;
        if &block[..4] != b"USBC" || !reserved_clear || !(1..=16).contains(&block[14]) {
            return None;
        }
        let mut cdb = [0; 16];
        cdb.copy_from_slice(&block[15..]);
        Some(Cbw { tag: word(4), length: word(8), to_host: block[12] & 0x80 != 0, lun: block[13], cdb, cdb_length: block[14] })
    }

    pub(super) fn operation(&self) -> u8 {
        self.cdb[0]
    }
}

/// Status of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Passed = 0,
    Failed = 1,
    PhaseError = 2,
}

/// A status wrapper, 13 bytes.
pub(super) fn csw(tag: u32, residue: u32, status: Status) -> Vec<u8> {
    [b"USBS".as_slice(), &tag.to_le_bytes(), &residue.to_le_bytes(), &[status as u8]].concat()
}

/// INQUIRY, 36 bytes: a removable disk that nobody mounts.
pub(super) fn inquiry() -> Vec<u8> {
    [&[0x00, 0x80, 0x04, 0x02, 0x1F, 0, 0, 0], b"TAXDISK BOT PROFILE     0100".as_slice()].concat()
}

/// SEND COMMAND (C.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Send {
    pub(super) xml: bool,
    pub(super) cmd: u8,
    pub(super) token: u32,
    pub(super) length: u32,
    pub(super) crc: u16,
}

/// FETCH ANSWER (C.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fetch {
    /// 0 = the last changing one.
    pub(super) token: u32,
    pub(super) offset: u32,
    pub(super) allocation: u32,
}

impl Send {
    pub(super) fn parse(cbw: &Cbw) -> Result<Send, Sense> {
        let cdb = &cbw.cdb;
        let (token, length) = (be32(cdb, 4), be32(cdb, 8));
        let good = cbw.cdb_length == 16
            && cdb[1] == PROFILE
            && matches!(cdb[2], 0x10 | 0x20)
            && cdb[14..] == [0, 0]
            && token != 0
            && length <= MAX_PAYLOAD_BYTES
            // More bytes announced than there is payload; fewer are found out by the checksum rule.
            && cbw.length <= length;
        let send = Send { xml: cdb[2] == 0x20, cmd: cdb[3], token, length, crc: u16::from_be_bytes([cdb[12], cdb[13]]) };
        if good { Ok(send) } else { Err(Sense::BAD_BLOCK) }
    }
}

impl Fetch {
    pub(super) fn parse(cbw: &Cbw) -> Result<Fetch, Sense> {
        let cdb = &cbw.cdb;
        let fetch = Fetch { token: be32(cdb, 4), offset: be32(cdb, 8), allocation: be32(cdb, 12) };
        let good = cbw.cdb_length == 16
            && cdb[1] == PROFILE
            && cdb[2..4] == [0, 0]
            && FETCH_ALLOCATION_BYTES.contains(&fetch.allocation);
        if good { Ok(fetch) } else { Err(Sense::BAD_BLOCK) }
    }
}

fn be32(cdb: &[u8; 16], at: usize) -> u32 {
    u32::from_be_bytes([cdb[at], cdb[at + 1], cdb[at + 2], cdb[at + 3]])
}

/// What a fetch says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenState {
    Unknown = 0,
    Busy = 1,
    Done = 2,
    Lost = 3,
}

/// Header of an answer (C.4.3).
pub(super) fn fetch_header(state: TokenState, token: u32, kind: u8, link: u8, crc: u16, total: u32) -> Vec<u8> {
    let mut bytes = vec![b'T', b'D', PROFILE, state as u8];
    bytes.extend(token.to_be_bytes());
    bytes.extend([kind, link]);
    bytes.extend(crc.to_be_bytes());
    bytes.extend(total.to_be_bytes());
    bytes
}

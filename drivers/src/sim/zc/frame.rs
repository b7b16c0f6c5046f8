//! Frames as the device sees them: it parses commands and acknowledgements and builds answers.
//!
//! Knows bytes and checksums, no commands. device-serial-zc.md, section 2.

/// First byte of every command.
const COMMAND_MARK: u8 = 0x1B;
/// Checksum after every frame.
const CRC_BYTES: usize = 2;
/// Longest frame of type 0x10, checksum included.
const MAX_NARROW_FRAME: usize = 255;
/// Longest frame of the other types.
const MAX_WIDE_FRAME: usize = 65_535;
/// Longest answer frame of a Bluetooth converter.
const MAX_SMALL_FRAME: usize = 90;

/// Link errors (section 3).
pub(super) mod link_error {
    /// Header bytes wrong.
    pub(crate) const HEADER: u8 = 0x11;
    /// Length or sequence wrong.
    pub(crate) const PARAMETER: u8 = 0x12;
    /// Checksum wrong.
    pub(crate) const CRC: u8 = 0x1F;
    /// Unknown command.
    pub(crate) const UNKNOWN: u8 = 0x20;
    /// Receive timeout.
    pub(crate) const TIMEOUT: u8 = 0x30;
}

/// Type of a command: it decides the width of every length field of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameType {
    /// 0x10: fixed fields.
    Fields,
    /// 0x20: XML.
    Xml,
    /// 0x30: certificates.
    Certificate,
    /// 0x40: raw print data.
    Print,
}

impl FrameType {
    fn of(byte: u8) -> Option<FrameType> {
        Some(match byte {
            0x10 => FrameType::Fields,
            0x20 => FrameType::Xml,
            0x30 => FrameType::Certificate,
            0x40 => FrameType::Print,
            _ => return None,
        })
    }

    fn is_wide(self) -> bool {
        self != FrameType::Fields
    }

    fn max_frame(self) -> usize {
        if self.is_wide() { MAX_WIDE_FRAME } else { MAX_NARROW_FRAME }
    }

    fn answer_header(self) -> usize {
        if self.is_wide() { 5 } else { 4 }
    }

    /// Most data bytes of one answer packet.
    pub(super) fn answer_room(self, small_packets: bool) -> usize {
        let frame = if small_packets { MAX_SMALL_FRAME } else { self.max_frame() };
        frame - self.answer_header() - CRC_BYTES
    }
}

/// One packet of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) frame_type: FrameType,
    pub(super) cmd: u8,
    pub(super) number: u8,
    pub(super) data: Vec<u8>,
}

/// What stands at the beginning of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    /// More bytes are needed.
    Incomplete,
    /// A frame, and how many bytes it took.
    Frame(T, usize),
    /// Not a frame: this link error, in the form of this type.
    Bad(u8, FrameType),
}

/// Reads a command packet.
pub(super) fn parse_command(input: &[u8]) -> Parsed<Packet> {
    let (Some(mark), Some(type_byte)) = (input.first(), input.get(1)) else { return Parsed::Incomplete };
    let Some(frame_type) = FrameType::of(*type_byte).filter(|_| *mark == COMMAND_MARK) else {
        return Parsed::Bad(link_error::HEADER, FrameType::Fields);
    };
    let header = if frame_type.is_wide() { 6 } else { 5 };
    if input.len() < header {
        return Parsed::Incomplete;
    }
    let length = read_length(&input[4..header]);
    if length < header || length + CRC_BYTES > frame_type.max_frame() {
        return Parsed::Bad(link_error::PARAMETER, frame_type);
    }
    match checked(input, length) {
        None => Parsed::Incomplete,
        Some(false) => Parsed::Bad(link_error::CRC, frame_type),
        Some(true) => {
            let data = input[header..length].to_vec();
            Parsed::Frame(Packet { frame_type, cmd: input[2], number: input[3], data }, length + CRC_BYTES)
        }
    }
}

/// What the host says while a multi-packet answer goes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// `NP` and the packet that it has.
    Next(u8),
    /// Anything else that is a frame.
    Other,
}

/// Reads an acknowledgement of the host.
pub(super) fn parse_ack(input: &[u8], frame_type: FrameType) -> Parsed<Ack> {
    if input.first() == Some(&COMMAND_MARK) {
        return match parse_command(input) {
            Parsed::Frame(_, used) => Parsed::Frame(Ack::Other, used),
            Parsed::Incomplete => Parsed::Incomplete,
            Parsed::Bad(error, frame_type) => Parsed::Bad(error, frame_type),
        };
    }
    let header = frame_type.answer_header();
    if input.len() >= 2 && !matches!(&input[..2], b"OK" | b"ER" | b"WT" | b"NP") {
        return Parsed::Bad(link_error::HEADER, frame_type);
    }
    if input.len() < header {
        return Parsed::Incomplete;
    }
    let length = read_length(&input[3..header]);
    if length < header || length + CRC_BYTES > frame_type.max_frame() {
        return Parsed::Bad(link_error::PARAMETER, frame_type);
    }
    match checked(input, length) {
        None => Parsed::Incomplete,
        Some(false) => Parsed::Bad(link_error::CRC, frame_type),
        Some(true) => match (&input[..2], &input[header..length]) {
            (b"NP", [number]) => Parsed::Frame(Ack::Next(*number), length + CRC_BYTES),
            _ => Parsed::Frame(Ack::Other, length + CRC_BYTES),
        },
    }
}

/// Builds an answer frame.
pub(super) fn answer(frame_type: FrameType, letters: [u8; 2], number: u8, data: &[u8]) -> Vec<u8> {
    let length = frame_type.answer_header() + data.len();
    build(frame_type, letters, number, length, data)
}

/// Builds an ER frame with a text. In the wide types the firmware counts one byte too few (section 2.4); the checksum
/// stands where the text really ends and covers all of it.
pub(super) fn text_error(frame_type: FrameType, text: &[u8], small_packets: bool) -> Vec<u8> {
    let room = frame_type.answer_room(small_packets);
    let text = &text[..text.len().min(room)];
    build(frame_type, *b"ER", 0, 4 + text.len(), text)
}

fn build(frame_type: FrameType, letters: [u8; 2], number: u8, length: usize, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![letters[0], letters[1], number];
    // Callers never pass more data than a packet holds, so the length fits its field.
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    frame.extend_from_slice(if frame_type.is_wide() { &length } else { &length[1..] });
    frame.extend_from_slice(data);
    let crc = crc16(&frame);
    frame.extend_from_slice(&crc.to_be_bytes());
    frame
}

fn read_length(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

/// Whether the checksum behind `length` bytes is right; `None` while bytes are missing.
fn checked(input: &[u8], length: usize) -> Option<bool> {
    let crc = input.get(length..length + CRC_BYTES)?;
    Some(crc16(&input[..length]).to_be_bytes() == crc)
}

/// CRC-16/UMTS: polynomial 0x8005, initial 0, not reflected, no final XOR.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x8005 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_umts() {
        assert_eq!(crc16(b"123456789"), 0xFEE8);
    }

    #[test]
    fn lengths_at_their_limits() {
        let narrow = |length: u8| parse_command(&[0x1B, 0x10, 0x01, 0x00, length]);
        assert_eq!(narrow(4), Parsed::Bad(link_error::PARAMETER, FrameType::Fields));
        assert_eq!(narrow(5), Parsed::Incomplete);
        assert_eq!(narrow(253), Parsed::Incomplete);
        assert_eq!(narrow(254), Parsed::Bad(link_error::PARAMETER, FrameType::Fields));
        let wide = |length: u16| parse_command(&[0x1B, 0x20, 0x01, 0, length.to_be_bytes()[0], length.to_be_bytes()[1]]);
        assert_eq!(wide(5), Parsed::Bad(link_error::PARAMETER, FrameType::Xml));
        assert_eq!(wide(65_533), Parsed::Incomplete);
        assert_eq!(wide(65_534), Parsed::Bad(link_error::PARAMETER, FrameType::Xml));
        assert_eq!(FrameType::Fields.answer_room(false), 249);
        assert_eq!(FrameType::Xml.answer_room(false), 65_528);
        assert_eq!((FrameType::Fields.answer_room(true), FrameType::Xml.answer_room(true)), (84, 83));
    }

    #[test]
    fn header_errors_need_two_bytes() {
        assert_eq!(parse_command(&[0x00]), Parsed::Incomplete);
        assert_eq!(parse_command(&[0x00, 0x10]), Parsed::Bad(link_error::HEADER, FrameType::Fields));
        assert_eq!(parse_command(&[0x1B, 0x50]), Parsed::Bad(link_error::HEADER, FrameType::Fields));
    }
}

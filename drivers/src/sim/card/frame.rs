//! Frames of the reader link: checked requests in, answers out. device-xml-and-usb.md, D.1.

/// Before the length, unless the build leaves the last three out.
const LONG_HEADER: [u8; 4] = [0x02, 0x55, 0xAA, 0x96];
const ANSWER_MARK: u8 = 0x05;
/// First byte of a repeated answer.
pub(super) const REPEAT_MARK: u8 = 0x50;

/// What a request is for.
pub(super) mod kind {
    pub(crate) const FISCAL_APDU: u8 = 0x50;
    pub(crate) const FISCAL_RESET: u8 = 0x51;
    pub(crate) const FISCAL_ON: u8 = 0x52;
    pub(crate) const FISCAL_OFF: u8 = 0x53;
    pub(crate) const USER_APDU: u8 = 0xF0;
    pub(crate) const USER_RESET: u8 = 0xF1;
    pub(crate) const USER_ON: u8 = 0xF2;
    pub(crate) const USER_OFF: u8 = 0xF3;
    pub(crate) const REPEAT: u8 = 0xFA;
}

/// Errors of the reader itself. Their meanings but the first are not known; these are ours.
pub(super) mod reader_error {
    pub(crate) const CARD_ABSENT: u8 = 0xF6;
    pub(crate) const NOT_POWERED: u8 = 0xF4;
    pub(crate) const UNKNOWN_TYPE: u8 = 0xF7;
    pub(crate) const CHECKSUM: u8 = 0xF8;
    pub(crate) const NOTHING_TO_REPEAT: u8 = 0xF9;
}

/// What stands at the beginning of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More bytes are needed.
    Incomplete,
    /// So many bytes are no frame.
    Noise(usize),
    /// A frame with a wrong sum, so many bytes long.
    BadSum(usize),
    /// Type, payload, and how many bytes it took.
    Frame(u8, Vec<u8>, usize),
}

/// Reads a request.
pub(super) fn parse(input: &[u8], short_header: bool) -> Parsed {
    let header = if short_header { &LONG_HEADER[..1] } else { &LONG_HEADER[..] };
    let known = input.iter().zip(header).take_while(|(byte, wanted)| byte == wanted).count();
    if known < header.len().min(input.len()) {
        return Parsed::Noise(known.max(1));
    }
    let Some(length) = input.get(header.len()).map(|length| usize::from(*length)) else { return Parsed::Incomplete };
    if length < 2 {
        return Parsed::Noise(header.len() + 1);
    }
    let end = header.len() + 1 + length;
    let Some(frame) = input.get(..end) else { return Parsed::Incomplete };
    let (body, sum) = frame.split_at(end - 1);
    if sum != [sum_of(body)] {
        return Parsed::BadSum(end);
    }
    Parsed::Frame(body[header.len() + 1], body[header.len() + 2..].to_vec(), end)
}

/// Builds an answer. `data` ends with its SW, or is empty where there is neither.
pub(super) fn answer(mark: u8, kind: u8, data: &[u8]) -> Vec<u8> {
    // The longest answer is 142 bytes of data and SW, so the length fits its byte.
    let length = u8::try_from(data.len() + 2).unwrap_or(u8::MAX);
    let mut bytes = [&[mark, length, kind], data].concat();
    bytes.push(sum_of(&bytes));
    bytes
}

/// An answer that is no repeat.
pub(super) fn first_answer(kind: u8, data: &[u8]) -> Vec<u8> {
    answer(ANSWER_MARK, kind, data)
}

fn sum_of(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

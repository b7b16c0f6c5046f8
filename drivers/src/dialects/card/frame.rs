//! Frames between computer and reader: a start, a length, a type, data, a sum (part D.1).
//!
//! [`AnswerReader`] says how many bytes it wants next and never takes more. It does not search for a frame in noise.

/// First bytes of a request. One build of the known host leaves 55 AA 96 out; readers here get all four.
const REQUEST_START: [u8; 4] = [0x02, 0x55, 0xAA, 0x96];

/// First byte of an answer.
const ANSWER_START: u8 = 0x05;

/// First byte of an answer that was got again; some readers keep 05.
const AGAIN_START: u8 = 0x50;

/// The length counts type, data and sum in one byte.
pub const MAX_PAYLOAD_BYTES: usize = 253;

/// What a request asks of the reader. The answer carries the same byte, or one of [`ReaderFault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestType {
    /// A command for the fiscal card.
    Apdu,
    /// Warm reset of the fiscal card.
    Reset,
    /// Switches the fiscal card on.
    PowerOn,
    /// Switches it off.
    PowerOff,
    /// The last answer once more. Executes nothing.
    Again,
}

impl RequestType {
    fn byte(self) -> u8 {
        match self {
            RequestType::Apdu => 0x50,
            RequestType::Reset => 0x51,
            RequestType::PowerOn => 0x52,
            RequestType::PowerOff => 0x53,
            RequestType::Again => 0xFA,
        }
    }

    /// Readers answer power commands with the request's type, or as if they were commands for a card.
    fn accepts(self, answer: u8) -> bool {
        let power = matches!(self, RequestType::Reset | RequestType::PowerOn | RequestType::PowerOff);
        answer == self.byte() || (power && matches!(answer, 0x50 | 0xF0))
    }
}

/// A fault that the reader itself reports, by the type of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderFault {
    /// F6: no card in the reader.
    CardAbsent,
    /// F1–F4, F7–F9: other faults, whose meaning is not documented.
    Other(u8),
}

impl ReaderFault {
    fn from_type(byte: u8) -> Option<ReaderFault> {
        match byte {
            0xF6 => Some(ReaderFault::CardAbsent),
            // F1 to F3 are types of the user card too; this driver sends none of those, so here they are faults.
            0xF1..=0xF4 | 0xF7..=0xF9 => Some(ReaderFault::Other(byte)),
            _ => None,
        }
    }
}

/// The frame of a request.
///
/// # Panics
/// The payload is longer than [`MAX_PAYLOAD_BYTES`]; no command of this dialect is.
pub fn request_frame(kind: RequestType, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "no command of this dialect is longer");
    let mut frame = REQUEST_START.to_vec();
    frame.push((payload.len() + 2) as u8);
    frame.push(kind.byte());
    frame.extend_from_slice(payload);
    frame.push(sum(&frame));
    frame
}

/// Low byte of the sum.
pub(super) fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// One answer frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its data without the status word.
    pub data: Vec<u8>,
    /// SW1 SW2, where the frame carries one.
    pub status: Option<u16>,
}

/// Bytes that are no answer to the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Our own request came back.
    #[error("the line echoes what is sent: switch off the local echo of the adapter, or correct the port")]
    Echo,
    /// The first byte is none of an answer.
    #[error("noise where an answer should begin ({0:02X}): check speed, cable and port")]
    Noise(u8),
    /// The length cannot be.
    #[error("an answer of {0} bytes cannot be: check speed and cable")]
    Length(usize),
    /// The sum is wrong.
    #[error("an answer arrived damaged (sum): check cable and speed")]
    Sum,
    /// It answers something else.
    #[error("the reader answered something else than was asked (type {0:02X})")]
    Type(u8),
    /// The reader reports a fault of its own.
    #[error("{}", match .0 { ReaderFault::CardAbsent => "there is no card in the reader: put it in".to_owned(),
        ReaderFault::Other(code) => format!("the reader reports the fault {code:02X}: take the card out and put it in again") })]
    Reader(ReaderFault),
}

/// Collects one answer from bytes that arrive in any portions.
#[derive(Debug)]
pub struct AnswerReader {
    asked: RequestType,
    buffer: Vec<u8>,
}

impl AnswerReader {
    /// Waits for the answer to this.
    pub fn new(asked: RequestType) -> AnswerReader {
        AnswerReader { asked, buffer: Vec::new() }
    }

    /// How many bytes it can take now; never beyond the end of the frame.
    pub fn wants(&self) -> usize {
        match self.buffer.get(1) {
            Some(len) => 2 + usize::from(*len) - self.buffer.len(),
            None => 2 - self.buffer.len(),
        }
    }

    /// Bytes taken so far.
    pub fn taken(&self) -> usize {
        self.buffer.len()
    }

    /// Takes at most [`Self::wants`] bytes; the answer when it is complete.
    ///
    /// # Errors
    /// What arrived is no answer. The reader is of no use afterwards.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Answer>, FrameFault> {
        debug_assert!(bytes.len() <= self.wants());
        self.buffer.extend_from_slice(bytes);
        let again = self.asked == RequestType::Again;
        match self.buffer.first() {
            None => return Ok(None),
            Some(&ANSWER_START) => {}
            Some(&AGAIN_START) if again => {}
            Some(&first) if first == REQUEST_START[0] => return Err(FrameFault::Echo),
            Some(&first) => return Err(FrameFault::Noise(first)),
        }
        let Some(len) = self.buffer.get(1).copied().map(usize::from) else { return Ok(None) };
        // Type and sum, and with data or without it a whole status word.
        if len < 2 || len == 3 {
            return Err(FrameFault::Length(len));
        }
        if self.buffer.len() < 2 + len {
            return Ok(None);
        }
        let (body, given) = self.buffer.split_at(self.buffer.len() - 1);
        if [sum(body)] != *given {
            return Err(FrameFault::Sum);
        }
        let kind = body[2];
        if !self.asked.accepts(kind) {
            return Err(ReaderFault::from_type(kind).map_or(FrameFault::Type(kind), FrameFault::Reader));
        }
        Ok(Some(match &body[3..] {
            [data @ .., first, second] => Answer { data: data.to_vec(), status: Some(u16::from_be_bytes([*first, *second])) },
            _ => Answer { data: Vec::new(), status: None },
        }))
    }
}

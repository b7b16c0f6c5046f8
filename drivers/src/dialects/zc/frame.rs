//! Frames of the ZC line: command packets, acknowledgements and answers, types 0x10 and 0x20 (device-serial-zc.md, section 2).
//!
//! [`AnswerReader`] says how many bytes it wants next and never takes more, so that nothing after a frame is swallowed. It
//! does not search for a frame in noise: what does not begin like an answer is a fault, and the line has to fall silent.

use super::crc::checksum;

/// Type byte of a frame. Answers carry none: their length field is as wide as that of the command just sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameType {
    /// 0x10: fixed-width fields, one-byte length.
    Fixed,
    /// 0x20: XML, two-byte length.
    Xml,
}

impl FrameType {
    fn byte(self) -> u8 {
        match self {
            FrameType::Fixed => 0x10,
            FrameType::Xml => 0x20,
        }
    }

    /// Data bytes of one command packet: 255 or 65535 less header and checksum.
    pub fn packet_bytes(self) -> usize {
        match self {
            FrameType::Fixed => 248,
            FrameType::Xml => 65_527,
        }
    }

    fn answer_header_bytes(self) -> usize {
        match self {
            FrameType::Fixed => 4,
            FrameType::Xml => 5,
        }
    }

    /// The largest length field of an answer: the frame with its checksum is at most 255 or 65535 bytes.
    fn max_answer_len(self) -> usize {
        match self {
            FrameType::Fixed => 253,
            FrameType::Xml => 65_533,
        }
    }
}

/// pkgNo is one byte, 0 is the last packet, and 255 is not used.
const MAX_LEADING_PACKETS: usize = 254;

/// First two bytes of an answer or acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Executed, or a packet of such an answer.
    Ok,
    /// Refused or failed.
    Er,
    /// Still busy.
    Wt,
    /// The next packet, please.
    Np,
}

impl Word {
    fn letters(self) -> [u8; 2] {
        match self {
            Word::Ok => *b"OK",
            Word::Er => *b"ER",
            Word::Wt => *b"WT",
            Word::Np => *b"NP",
        }
    }

    fn from_letters(letters: &[u8]) -> Option<Word> {
        [Word::Ok, Word::Er, Word::Wt, Word::Np].into_iter().find(|word| word.letters() == letters)
    }
}

/// The data is too long for the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command is too long for this line: {bytes} bytes, at most {max_bytes} are possible")]
pub struct TooLong {
    /// Data bytes of the command.
    pub bytes: usize,
    /// What all packets hold together.
    pub max_bytes: usize,
}

/// The frames of one command, in order: pkgNo 1, 2, 3 … and 0 for the last one.
///
/// # Errors
/// The data does not fit into the packets that one byte can count.
pub fn command_frames(kind: FrameType, command: u8, data: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
    let size = kind.packet_bytes();
    let max_bytes = size * (MAX_LEADING_PACKETS + 1);
    if data.len() > max_bytes {
        return Err(TooLong { bytes: data.len(), max_bytes });
    }
    if data.is_empty() {
        return Ok(vec![command_frame(kind, command, 0, data)]);
    }
    let count = data.len().div_ceil(size);
    let number = |index: usize| if index + 1 == count { 0 } else { (index + 1) as u8 };
    Ok(data.chunks(size).enumerate().map(|(index, chunk)| command_frame(kind, command, number(index), chunk)).collect())
}

fn command_frame(kind: FrameType, command: u8, number: u8, data: &[u8]) -> Vec<u8> {
    finish(kind, vec![0x1B, kind.byte(), command, number], data)
}

/// An acknowledgement from the host: `NP` with the number of the packet that came, or an empty `OK`.
pub fn acknowledgement(kind: FrameType, word: Word, data: &[u8]) -> Vec<u8> {
    let [first, second] = word.letters();
    finish(kind, vec![first, second, 0], data)
}

fn finish(kind: FrameType, mut frame: Vec<u8>, data: &[u8]) -> Vec<u8> {
    match kind {
        FrameType::Fixed => frame.push((frame.len() + 1 + data.len()) as u8),
        FrameType::Xml => frame.extend(((frame.len() + 2 + data.len()) as u16).to_be_bytes()),
    }
    frame.extend_from_slice(data);
    let crc = checksum(&frame);
    frame.extend(crc.to_be_bytes());
    frame
}

/// One answer frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it says.
    pub word: Word,
    /// Packet number; 0 is the last or only one.
    pub number: u8,
    /// Its data.
    pub data: Vec<u8>,
}

/// Bytes that are no answer frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Our own command came back.
    #[error("the line echoes what is sent: switch off the local echo of the adapter, or correct the port")]
    Echo,
    /// The first bytes are no answer.
    #[error("noise where an answer should begin ({0:02X} {1:02X}): check speed, cable and port")]
    Noise(u8, u8),
    /// The length field cannot be.
    #[error("an answer says that it is {0} bytes long, which cannot be: check speed and cable")]
    Length(usize),
    /// The checksum is wrong.
    #[error("an answer arrived damaged (checksum): check cable and speed")]
    Checksum,
}

/// Collects one answer frame from bytes that arrive in any portions.
#[derive(Debug)]
pub struct AnswerReader {
    kind: FrameType,
    buffer: Vec<u8>,
    /// Whole frame with checksum, known once the header is there.
    total: Option<usize>,
    /// The one surplus byte of the firmware's wrong length (section 2.4) is being waited for.
    surplus: bool,
}

impl AnswerReader {
    /// Waits for an answer to a command of this type.
    pub fn new(kind: FrameType) -> AnswerReader {
        AnswerReader { kind, buffer: Vec::new(), total: None, surplus: false }
    }

    /// How many bytes it can take now; never beyond the end of the frame.
    pub fn wants(&self) -> usize {
        let target = self.total.unwrap_or(match self.buffer.len() {
            0 | 1 => 2,
            _ => self.kind.answer_header_bytes(),
        });
        target - self.buffer.len()
    }

    /// Bytes taken so far.
    pub fn taken(&self) -> usize {
        self.buffer.len()
    }

    /// Takes at most [`Self::wants`] bytes; the frame when it is complete.
    ///
    /// # Errors
    /// What arrived is no frame. The reader is of no use afterwards.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Answer>, FrameFault> {
        debug_assert!(bytes.len() <= self.wants());
        self.buffer.extend_from_slice(bytes);
        let header = self.kind.answer_header_bytes();
        if self.total.is_none() && self.buffer.len() >= 2 {
            self.check_start()?;
        }
        if self.total.is_none() && self.buffer.len() == header {
            let len = match self.kind {
                FrameType::Fixed => usize::from(self.buffer[3]),
                FrameType::Xml => usize::from(u16::from_be_bytes([self.buffer[3], self.buffer[4]])),
            };
            if len > self.kind.max_answer_len() || len < header {
                return Err(FrameFault::Length(len));
            }
            self.total = Some(len + 2);
        }
        match self.total {
            Some(total) if self.buffer.len() == total => self.check_end(),
            _ => Ok(None),
        }
    }

    fn check_start(&self) -> Result<(), FrameFault> {
        let (first, second) = (self.buffer[0], self.buffer[1]);
        if Word::from_letters(&[first, second]).is_some() {
            return Ok(());
        }
        if first == 0x1B && second == self.kind.byte() { Err(FrameFault::Echo) } else { Err(FrameFault::Noise(first, second)) }
    }

    fn check_end(&mut self) -> Result<Option<Answer>, FrameFault> {
        let (body, crc) = self.buffer.split_at(self.buffer.len() - 2);
        let word = Word::from_letters(&body[..2]).ok_or(FrameFault::Noise(body[0], body[1]))?;
        if checksum(body).to_be_bytes() == crc {
            let data = body[self.kind.answer_header_bytes()..].to_vec();
            return Ok(Some(Answer { word, number: body[2], data }));
        }
        if self.kind == FrameType::Xml && word == Word::Er && !self.surplus {
            self.surplus = true;
            self.total = Some(self.buffer.len() + 1);
            return Ok(None);
        }
        Err(FrameFault::Checksum)
    }
}

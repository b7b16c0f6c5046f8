//! The commands of the fiscal card that this driver offers, one file each (part D.3).
//!
//! Each is a pure pair of functions: request → bytes, bytes → answer. Loading numbers (F7), registering (F1), updating keys
//! (F6) and the files that the tax office writes have none here: they belong to the tax office.

pub mod declare;
pub mod get_challenge;
pub mod issue;
pub mod read_binary;
pub mod register_number;
pub mod select;
pub mod verify;

/// The commands of the tax office's own.
const FISCAL_CLASS: u8 = 0xC0;

/// One command, and what its good answer must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Class, instruction, parameters, data and length, as they go to the card.
    pub bytes: Vec<u8>,
    /// Bytes of data in a good answer.
    pub answer_bytes: usize,
}

impl Command {
    /// Data there, none back.
    fn sends(class: u8, instruction: u8, parameters: [u8; 2], data: &[u8]) -> Command {
        let mut bytes = vec![class, instruction, parameters[0], parameters[1], data.len() as u8];
        bytes.extend_from_slice(data);
        Command { bytes, answer_bytes: 0 }
    }

    /// Data there, so many bytes back.
    fn both(class: u8, instruction: u8, data: &[u8], answer_bytes: u8) -> Command {
        let mut command = Command::sends(class, instruction, [0, 0], data);
        command.bytes.push(answer_bytes);
        Command { answer_bytes: usize::from(answer_bytes), ..command }
    }

    /// No data there, so many bytes back.
    fn fetches(class: u8, instruction: u8, parameters: [u8; 2], answer_bytes: u8) -> Command {
        let bytes = vec![class, instruction, parameters[0], parameters[1], answer_bytes];
        Command { bytes, answer_bytes: usize::from(answer_bytes) }
    }

    /// The instruction byte.
    pub fn instruction(&self) -> u8 {
        self.bytes[1]
    }
}

/// XOR over all bytes, the check at the end of fiscal data.
fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |xor, byte| xor ^ byte)
}

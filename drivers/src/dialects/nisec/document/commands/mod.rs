//! The commands, one file each: a function that makes the request and one that reads the answer.
//!
//! Only ids whose fields are known are here. Void, upload, password and report documents of newer components are known by
//! their titles alone, and are not guessed.

pub mod fpcx;
pub mod fpkj;
pub mod fpzf;
pub mod gpxxcx;
pub mod jksjcx;
pub mod skpxxcx;
pub mod szsmcx;

use super::envelope::parse_answer;
use super::errors::AnswerError;

/// Reads the fields of a good answer to a command.
fn fields(bytes: &[u8], id: &str) -> Result<super::Element, AnswerError> {
    parse_answer(bytes)?.success(id)
}

//! The envelope of an answer: encoding, `<business id>`, and the two elements that tell success from refusal.

use encoding_rs::{Encoding, GBK};

use super::element::Element;
use super::errors::{AnswerError, BadAnswer, Refusal, classify};

/// The longest answer that is read, in bytes. The longest known one, a range of invoices, is far below.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Where an XML declaration must have ended, in bytes.
const MAX_PROLOG_BYTES: usize = 256;

/// Where the fields of an answer stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// NISEC: all in `<output>`.
    Output,
    /// SKServer: the code in `<body>`, the rest in `<returndata>`.
    ReturnData,
}

/// An answer that says whether it is a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The business id that it carries, where it does.
    pub id: Option<String>,
    /// returncode, never empty.
    pub code: String,
    /// returnmsg; may be empty.
    pub message: String,
    /// The fields.
    pub data: Element,
}

impl Answer {
    /// A.2: success is a code of nothing but zeros.
    pub fn is_success(&self) -> bool {
        !self.code.is_empty() && self.code.bytes().all(|digit| digit == b'0')
    }

    /// The refusal that it is, if it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        (!self.is_success()).then(|| classify(&self.code, &self.message))
    }

    /// The fields of a successful answer to the command `id`.
    ///
    /// # Errors
    /// It refuses, or it is the answer to another command.
    pub fn success(self, id: &str) -> Result<Element, AnswerError> {
        if let Some(other) = self.id.as_deref().filter(|other| !other.trim().eq_ignore_ascii_case(id)) {
            let other: String = other.chars().take(40).collect();
            return Err(BadAnswer(format!("an answer to {other} came, {id} was asked")).into());
        }
        match self.refusal() {
            Some(refusal) => Err(refusal.into()),
            None => Ok(self.data),
        }
    }
}

/// Reads an answer of the NISEC component. Never panics, whatever the bytes.
///
/// # Errors
/// It is too long, not well formed, in an encoding that nobody knows, or has no returncode: nothing can be concluded from it.
pub fn parse_answer(bytes: &[u8]) -> Result<Answer, BadAnswer> {
    parse(bytes, Shape::Output)
}

/// Reads an answer of either shape. Never panics, whatever the bytes.
///
/// # Errors
/// As [`parse_answer`].
pub fn parse(bytes: &[u8], shape: Shape) -> Result<Answer, BadAnswer> {
    let root = Element::parse(&decode(bytes)?)?;
    if root.name() != "business" {
        return Err(BadAnswer("the answer is no <business> document".to_owned()));
    }
    let id = root.id().map(str::to_owned);
    let body = root.child("body")?.ok_or_else(|| BadAnswer("the answer has no <body>".to_owned()))?;
    // Both shapes may refuse without the level below.
    let (level, data) = match shape {
        Shape::Output => {
            let output = body.child("output")?.unwrap_or(body);
            (output, Some(output))
        }
        Shape::ReturnData => (body, body.child("returndata")?),
    };
    let code = level.text("returncode")?.to_owned();
    if code.is_empty() {
        return Err(BadAnswer("the answer has no returncode: nothing can be concluded from it".to_owned()));
    }
    let message = level.text("returnmsg")?.to_owned();
    Ok(Answer { id, code, message, data: data.cloned().unwrap_or_default() })
}

/// The text of an answer: a byte order mark rules, then the declaration, otherwise it is GBK. A damaged character becomes
/// U+FFFD, so that the rest can be read as evidence; nothing that decides is read from such a place.
fn decode(bytes: &[u8]) -> Result<String, BadAnswer> {
    if bytes.len() > MAX_ANSWER_BYTES {
        return Err(BadAnswer(format!("the answer has {} bytes, more than {MAX_ANSWER_BYTES}", bytes.len())));
    }
    // Components hand out C strings, some with their end.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bytes = &bytes[..end];
    let (encoding, skip) = match Encoding::for_bom(bytes) {
        Some(marked) => marked,
        None => (declared(bytes)?.unwrap_or(GBK), 0),
    };
    Ok(encoding.decode_without_bom_handling(&bytes[skip..]).0.into_owned())
}

/// The encoding that the XML declaration names.
fn declared(bytes: &[u8]) -> Result<Option<&'static Encoding>, BadAnswer> {
    let head = &bytes[..bytes.len().min(MAX_PROLOG_BYTES)];
    let head = head.trim_ascii_start();
    let Some(end) = head.windows(2).position(|pair| pair == b"?>") else { return Ok(None) };
    let prolog = String::from_utf8_lossy(&head[..end]);
    let Some(rest) = prolog.strip_prefix("<?xml").and_then(|prolog| prolog.split_once("encoding")) else { return Ok(None) };
    let rest = rest.1.trim_start().strip_prefix('=').unwrap_or("").trim_start();
    let label = rest.get(1..).and_then(|label| label.split(['"', '\'']).next()).unwrap_or("").trim();
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) => Ok(Some(encoding)),
        None => Err(BadAnswer("the answer declares an encoding that does not exist".to_owned())),
    }
}

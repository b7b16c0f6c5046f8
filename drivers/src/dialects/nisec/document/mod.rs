//! NISEC documents: one `<business id="…">` request, one answer (device-xml-and-usb.md, part A).
//!
//! A request is made by the module of its command in [`commands`] from typed values and comes out as GBK bytes in a
//! [`Document`]. An answer is read by the same module; below it [`parse_answer`] decodes and bounds it, and knows success
//! from refusal. Read [`AnswerError`] first: what is no good answer is either a refusal in the device's own words or an
//! answer that cannot be believed, and only some refusals of a query say "absent".
//!
//! What it refuses to do: I/O, repeat anything, cut or replace a character, take a broken answer for a refusal.

mod card;
pub mod commands;
mod compare;
mod element;
mod envelope;
mod errors;
mod fields;
pub(crate) mod found;
pub(crate) mod lines;
mod writer;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use card::{Card, Issuing};
pub use compare::compare;
pub use element::{Element, MAX_DEPTH, MAX_ELEMENTS};
pub use envelope::{Answer, MAX_ANSWER_BYTES, Shape, parse, parse_answer};
pub use errors::{AnswerError, BadAnswer, Refusal, classify};
pub use writer::{Document, FieldError};

pub(crate) use errors::{hide_passwords, own_error};
pub(crate) use fields::Fields;
pub(crate) use writer::Writer;

//! The fiscal card reader link, in the style of GB 18240.2: a serial reader with a fiscal card (税控卡) in it
//! (device-xml-and-usb.md, part D).
//!
//! From below: [`frame`] and [`link`] carry one request and its answer, [`apdu`] are the commands of the card, [`files`] what
//! stands on it. [`CardDisk`] puts them behind [`crate::disk::TaxDisk`]. Read [`link::GetAgain`] and [`files::DayRecord`]
//! first: what a lost answer is worth rests on them.
//!
//! The card signs amounts by tax index. It knows no names, no lines, no remark, and tells nothing but its last number; so a
//! doubt is settled by the day record that was read just before the command and is read again after it.
//!
//! What it refuses to do: send an issuing command twice, believe an answer that was got again without the card's own record,
//! call a number absent, round or leave out an amount.

pub mod apdu;
pub mod config;
mod content;
pub mod disk;
mod errors;
pub mod files;
pub mod frame;
pub mod link;
mod redact;
mod settling;

#[cfg(test)]
mod tests;

pub use config::CardConfig;
pub use disk::CardDisk;
pub use redact::{anonymise, redact_frame};

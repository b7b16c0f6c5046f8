//! Command languages of tax disks, one folder each. A dialect turns the calls of [`crate::disk::TaxDisk`] into bytes and
//! answers back into values; it never decides what an outcome means for a job.

pub mod bot;
pub mod card;
pub mod nisec;
pub mod skserver;
pub mod zc;

use crate::profile::Dialect;
use crate::redact::{Names, anonymise_document};
use crate::transport::record::{Entry, Event};

/// A recording of this dialect without people in it: Chinese text becomes 某, numbers as long as a taxpayer's become made-up
/// ones, the same one everywhere, and what the dialect does not know is masked whole. Passwords were masked when it was made.
pub fn anonymise(dialect: Dialect, entries: Vec<Entry>) -> Vec<Entry> {
    match dialect {
        Dialect::Zc => zc::anonymise::anonymise(entries),
        Dialect::Card => card::anonymise(entries),
        Dialect::Bot => bot::anonymise(entries),
        Dialect::Nisec | Dialect::Skserver => documents(entries),
    }
}

fn documents(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut names = Names::new();
    for entry in &mut entries {
        if let Event::Sent(bytes) | Event::Received(bytes) = &mut entry.event {
            if !bytes.trim_ascii_start().starts_with(b"<") {
                bytes.fill(crate::redact::MASK);
            }
            anonymise_document(bytes, &mut names);
        }
    }
    entries
}

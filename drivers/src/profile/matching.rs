//! What devices are compared by: USB ids and patterns with `*`.
//!
//! There are no regular expressions: a pattern that a shop's technician cannot read matches more than he thinks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `vid:pid` of a USB device, hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UsbId {
    /// Maker.
    pub vendor: u16,
    /// Model.
    pub product: u16,
}

impl FromStr for UsbId {
    type Err = String;

    fn from_str(text: &str) -> Result<UsbId, String> {
        let part = |text: &str| {
            (text.len() == 4 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| u16::from_str_radix(text, 16).ok()).flatten()
        };
        text.split_once(':')
            .and_then(|(vendor, product)| Some(UsbId { vendor: part(vendor)?, product: part(product)? }))
            .ok_or_else(|| {
                format!("{text:?} is no USB id: write four hexadecimal digits, a colon and four more, as in 101d:0003")
            })
    }
}

impl TryFrom<String> for UsbId {
    type Error = String;

    fn try_from(text: String) -> Result<UsbId, String> {
        text.parse()
    }
}

impl From<UsbId> for String {
    fn from(id: UsbId) -> String {
        id.to_string()
    }
}

impl fmt::Display for UsbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)
    }
}

/// A text in which `*` stands for any characters, none included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether the text is like this.
    pub fn fits(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        // `split` gives at least one part.
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Pattern, String> {
        if text.chars().all(|c| c == '*') {
            return Err(format!("{text:?} would match everything"));
        }
        Ok(Pattern(text))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.0
    }
}

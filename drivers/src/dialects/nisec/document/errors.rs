//! What a refusal means: the hex codes of Baiwang devices (device-xml-and-usb.md, A.6).
//!
//! A class never proves that nothing was issued. What is not in the table is a device fault: never a guess from words.

use taxdisk_protocol::class::DeviceClass;

use super::writer::FieldError;
use crate::disk::DiskError;
use crate::secret::Secret;

/// The longest text of a component that is kept, in characters.
const MAX_TEXT_CHARS: usize = 500;

/// C.4: the returncode of a device that checks the expected pair and found another one.
const PAIR_DIFFERS: &str = "10315";

/// A write that failed half way. Its code looks harmless and the invoice may exist (A.6).
const WHILE_WRITING: &str = "写发票明细";

/// Device code to class. `0963cX` is read apart.
const CODES: [(&str, DeviceClass); 20] = [
    ("09d103", DeviceClass::NoStock),
    ("09d106", DeviceClass::NoStock),
    ("09d200", DeviceClass::NoStock),
    ("09d108", DeviceClass::NumberMismatch),
    ("09d109", DeviceClass::Locked),
    ("09d110", DeviceClass::Unsupported),
    ("09d11c", DeviceClass::Locked),
    ("09d11f", DeviceClass::OverOfflineTime),
    ("09d120", DeviceClass::OverOfflineCount),
    ("09d121", DeviceClass::OverOfflineAmount),
    ("09d122", DeviceClass::Locked),
    ("096a80", DeviceClass::Clock),
    ("09e105", DeviceClass::Clock),
    ("09c000", DeviceClass::NotPresent),
    ("092000", DeviceClass::Unsupported),
    ("092100", DeviceClass::InvalidRequest),
    ("092400", DeviceClass::InvalidRequest),
    ("092403", DeviceClass::InvalidRequest),
    ("09240d", DeviceClass::Locked),
    ("092700", DeviceClass::DeviceFault),
];

/// Codes that mean "no such data" when they answer a query, and no stock otherwise.
const ABSENT: [&str; 2] = ["09d106", "09d200"];

/// An answer from which nothing can be concluded, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(pub String);

/// A refusal as the component put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What to tell people.
    pub class: DeviceClass,
    /// The device's code (`09d103`), else the component's returncode.
    pub code: String,
    /// The component's text.
    pub text: String,
    /// Tries left, where a password was refused.
    pub tries_left: Option<u8>,
    /// In answer to a query: the device says that it has no such invoice.
    pub absent_in_query: bool,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerError {
    /// The component refuses, in its own words.
    Refused(Refusal),
    /// What came is no answer to what was asked. After a changing command everything is open.
    Bad(BadAnswer),
}

impl AnswerError {
    /// The device itself says that it has no such data. Only in answer to a query is that absence.
    pub fn is_absent(&self) -> bool {
        matches!(self, AnswerError::Refused(refusal) if refusal.absent_in_query)
    }
}

/// Reads returncode and returnmsg of an answer that is no success.
pub fn classify(code: &str, message: &str) -> Refusal {
    let code: String = code.chars().take(40).collect();
    let text: String = message.chars().take(MAX_TEXT_CHARS).collect();
    let refusal = Refusal { class: DeviceClass::DeviceFault, code, text, tries_left: None, absent_in_query: false };
    if refusal.code == PAIR_DIFFERS {
        return Refusal { class: DeviceClass::NumberMismatch, ..refusal };
    }
    let Some(device) = device_code(&refusal.code).or_else(|| device_code(message)) else { return refusal };
    if message.contains(WHILE_WRITING) {
        return Refusal { code: device, ..refusal };
    }
    if let Some(tries) = device.strip_prefix("0963c").and_then(|digit| u8::from_str_radix(digit, 16).ok()) {
        return Refusal { class: DeviceClass::BadPassword, code: device, tries_left: Some(tries), ..refusal };
    }
    let class = CODES.iter().find(|(known, _)| *known == device).map_or(DeviceClass::DeviceFault, |(_, class)| *class);
    Refusal { class, absent_in_query: ABSENT.contains(&device.as_str()), code: device, ..refusal }
}

/// The first group of six hex digits that is a device code: all of them begin with 09. Lower case.
fn device_code(text: &str) -> Option<String> {
    let groups = text.split(|one: char| !one.is_ascii_alphanumeric());
    let mut groups = groups.map(|group| group.strip_prefix("0x").or_else(|| group.strip_prefix("0X")).unwrap_or(group));
    groups
        .find(|group| group.len() == 6 && group.starts_with("09") && group.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .map(str::to_ascii_lowercase)
}

impl From<Refusal> for AnswerError {
    fn from(refusal: Refusal) -> AnswerError {
        AnswerError::Refused(refusal)
    }
}

impl From<BadAnswer> for AnswerError {
    fn from(bad: BadAnswer) -> AnswerError {
        AnswerError::Bad(bad)
    }
}

impl From<AnswerError> for DiskError {
    fn from(error: AnswerError) -> DiskError {
        match error {
            AnswerError::Refused(Refusal { class, code, text, tries_left, .. }) => {
                DiskError { class, code: Some(code), text, tries_left }
            }
            AnswerError::Bad(bad) => own_error(DeviceClass::DeviceFault, bad.0),
        }
    }
}

impl From<FieldError> for DiskError {
    fn from(error: FieldError) -> DiskError {
        own_error(DeviceClass::InvalidRequest, error.to_string())
    }
}

/// An error of ours in a class of the device's.
pub(crate) fn own_error(class: DeviceClass, text: impl Into<String>) -> DiskError {
    DiskError { class, code: None, text: text.into(), tries_left: None }
}

/// An error without the passwords that a component may have put into its text.
pub(crate) fn hide_passwords(mut error: DiskError, passwords: &[&Secret]) -> DiskError {
    for password in passwords.iter().filter(|password| !password.is_empty()) {
        if let Ok(password) = std::str::from_utf8(password.expose()) {
            error.text = error.text.replace(password, "***");
            error.code = error.code.map(|code| code.replace(password, "***"));
        }
    }
    error
}

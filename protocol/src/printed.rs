//! What a disk signs beside code and number for the printed form alone: check code, cipher text and QR content.
//!
//! Opaque texts of the device, kept as they came and never parsed or made up (invoice-rules.md, section 2). They prove nothing:
//! no comparison of invoices reads them, because devices give them in some answers and leave them out of others. A text that is
//! longer than it can be, or holds control characters, is taken for absent: the invoice stands all the same, and a text that was
//! cut would be a false one.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// The longest check code (校验码), bytes: 20 digits are known; some devices group them.
pub const CHECK_CODE_BYTES_MAX: usize = 32;
/// The longest cipher text (密文), bytes: 84, 108 and 112 characters are known (invoice-rules.md, section 2).
pub const CIPHER_BYTES_MAX: usize = 224;
/// The longest QR content, bytes: that of an invoice is under 100.
pub const QR_BYTES_MAX: usize = 256;

/// What the device gave for the printed form; empty where it gave none, as on all invoices of senders that are older than these
/// fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Printed {
    /// 校验码 (jym): on ordinary invoices, none on special ones.
    #[serde(default, deserialize_with = "check_code", skip_serializing_if = "String::is_empty")]
    pub check_code: String,
    /// 密文 (fp_mw) of the cipher area.
    #[serde(default, deserialize_with = "cipher", skip_serializing_if = "String::is_empty")]
    pub cipher: String,
    /// QR content (ewm).
    #[serde(default, deserialize_with = "qr_text", skip_serializing_if = "String::is_empty")]
    pub qr_text: String,
}

impl Printed {
    /// From a device's texts; empty ones are absent, and so are those that cannot be right.
    pub fn new(check_code: &str, cipher: &str, qr_text: &str) -> Printed {
        Printed {
            check_code: bounded(check_code, CHECK_CODE_BYTES_MAX),
            cipher: bounded(cipher, CIPHER_BYTES_MAX),
            qr_text: bounded(qr_text, QR_BYTES_MAX),
        }
    }

    /// The device gave none of them.
    pub fn is_empty(&self) -> bool {
        self.check_code.is_empty() && self.cipher.is_empty() && self.qr_text.is_empty()
    }
}

fn bounded(text: &str, most: usize) -> String {
    let text = text.trim();
    let wrong = text.len() > most || text.chars().any(|one| one.is_control() || one == char::REPLACEMENT_CHARACTER);
    if wrong { String::new() } else { text.to_owned() }
}

// A frame or a row with a text that is too long is read without it: the outcome that carries it is never refused.
fn check_code<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(|text| bounded(&text, CHECK_CODE_BYTES_MAX))
}

fn cipher<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(|text| bounded(&text, CIPHER_BYTES_MAX))
}

fn qr_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(|text| bounded(&text, QR_BYTES_MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::IssuedInvoice;
    use crate::link::AttemptResult;

    #[test]
    fn texts_that_cannot_be_right_are_absent_and_never_cut() {
        let most = "7".repeat(CHECK_CODE_BYTES_MAX);
        let given = Printed::new(&format!(" {most} "), &"<".repeat(CIPHER_BYTES_MAX + 1), "01,\u{7}10");
        assert_eq!(given, Printed { check_code: most, ..Printed::default() });
        assert!(Printed::new("\u{FFFD}", "", &"1".repeat(QR_BYTES_MAX + 1)).is_empty());
    }

    #[test]
    fn each_text_has_its_own_bound_from_a_device_and_from_a_frame() {
        let bounds = [CHECK_CODE_BYTES_MAX, CIPHER_BYTES_MAX, QR_BYTES_MAX];
        for longer in 0..=bounds.len() {
            let texts: Vec<String> =
                bounds.iter().enumerate().map(|(at, most)| "7".repeat(most + usize::from(at == longer))).collect();
            let kept: Vec<&str> =
                texts.iter().enumerate().map(|(at, text)| if at == longer { "" } else { text.as_str() }).collect();
            let made = Printed::new(&texts[0], &texts[1], &texts[2]);
            assert_eq!([made.check_code.as_str(), &made.cipher, &made.qr_text], *kept);
            let frame = serde_json::json!({ "check_code": texts[0], "cipher": texts[1], "qr_text": texts[2] });
            assert_eq!(serde_json::from_value::<Printed>(frame).unwrap(), made);
        }
    }

    #[test]
    fn outcomes_and_invoices_of_older_senders_are_read_and_written_without_them() {
        let outcome = r#"{"result":"issued","pair":{"code":"011002000107","number":"00000088"},"issued_at":"20260302101530","fiscal_code":"1","signature":"s","settled":false}"#;
        let read: AttemptResult = serde_json::from_str(outcome).unwrap();
        assert!(matches!(&read, AttemptResult::Issued { printed, .. } if printed.is_empty()));
        assert_eq!(serde_json::to_string(&read).unwrap(), outcome);
        let invoice = r#"{"code":"011002000107","number":"00000088","issued_at":"20260302101530","disk":"661500000001"}"#;
        let read: IssuedInvoice = serde_json::from_str(invoice).unwrap();
        assert!(read.printed.is_empty());
        assert_eq!(serde_json::to_string(&read).unwrap(), invoice);
    }

    #[test]
    fn an_outcome_with_a_text_that_is_too_long_is_read_without_the_text() {
        let long = "9".repeat(QR_BYTES_MAX + 1);
        let outcome = serde_json::json!({
            "result": "issued", "pair": { "code": "011002000107", "number": "00000088" }, "issued_at": "20260302101530",
            "fiscal_code": "1", "signature": "s", "settled": false,
            "printed": { "check_code": "12345678901234567890", "qr_text": long, "seal": "a field of a later version" },
        });
        let AttemptResult::Issued { printed, .. } = serde_json::from_value(outcome).unwrap() else { panic!("issued") };
        assert_eq!(printed, Printed::new("12345678901234567890", "", ""));
    }
}

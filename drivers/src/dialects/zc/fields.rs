//! Fields of a ZC command: text of fixed width, ASCII or GBK, padded with 00 (device-serial-zc.md, section 6).
//!
//! Writing refuses what does not fit or is not in GBK; nothing is cut, replaced or split. Reading is lenient towards broken
//! pairs, because the device itself cuts texts at their width.

use encoding_rs::GBK;
use rust_decimal::{Decimal, RoundingStrategy};
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;

/// A value that a field cannot carry. Names the field in the words of the invoice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// Which field, such as `lines[2].name`.
    pub field: String,
    /// What is wrong with it and what would fit.
    pub problem: String,
}

/// Bytes of a text in GBK.
///
/// # Errors
/// Names the characters that GBK does not have, or that are control characters.
pub fn encode_gbk(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut refused = Vec::new();
    let mut scratch = [0; 4];
    for character in text.chars() {
        let encoded = (!is_refused(character)).then(|| GBK.encode(character.encode_utf8(&mut scratch)));
        match encoded {
            Some((encoded, _, false)) if !is_addition(&encoded) => bytes.extend_from_slice(&encoded),
            _ => refused.push(character),
        }
    }
    if refused.is_empty() {
        return Ok(bytes);
    }
    let names: Vec<String> = refused.iter().take(8).map(|one| format!("{one:?} (U+{:04X})", u32::from(*one))).collect();
    Err(format!("the disk cannot print {}; only GBK characters are possible", names.join(", ")))
}

/// Control characters would end or upset a field. Private-use characters and the one-byte euro are additions of some GBK
/// tables; a disk that lacks them prints something else.
fn is_refused(character: char) -> bool {
    character.is_control() || matches!(character, '\u{E000}'..='\u{F8FF}' | '\u{20AC}')
}

/// Places that GB 18030 filled later and code page 936 leaves empty: a disk prints nothing there, or something else.
fn is_addition(encoded: &[u8]) -> bool {
    match *encoded {
        [0xA6, trail] => matches!(trail, 0xD9..=0xDF | 0xEC | 0xED | 0xF3),
        [0xA8, trail] => matches!(trail, 0xBC | 0xBF),
        [0xA9, trail] => matches!(trail, 0x89..=0x95),
        [0xFE, trail] => trail >= 0x50,
        _ => false,
    }
}

/// Text of a field: up to the first 00, decoded leniently, spaces trimmed on both sides.
pub fn decode_text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    GBK.decode_without_bom_handling(&field[..end]).0.trim_matches(' ').to_owned()
}

/// Builds the data of a command, field by field. The first refusal is kept and returned at the end.
#[derive(Default)]
pub struct FieldWriter {
    data: Vec<u8>,
    refused: Option<FieldError>,
}

impl FieldWriter {
    /// An empty command.
    pub fn new() -> FieldWriter {
        FieldWriter::default()
    }

    /// A GBK text.
    pub fn text(&mut self, field: impl Into<String>, value: &str, width: usize) -> &mut Self {
        match encode_gbk(value) {
            Ok(bytes) => self.bytes(field, &bytes, width),
            Err(problem) => self.refuse(field, problem),
        }
    }

    /// An amount of yuan with two decimals.
    pub fn amount(&mut self, field: impl Into<String>, value: Amount, width: usize) -> &mut Self {
        self.bytes(field, value.to_string().as_bytes(), width)
    }

    /// A decimal with exactly so many decimals; refused when it has more, never rounded.
    pub fn decimal(&mut self, field: impl Into<String>, value: Decimal, decimals: u32, width: usize) -> &mut Self {
        match fixed(value, decimals) {
            Some(text) => self.bytes(field, text.as_bytes(), width),
            None => self.refuse(field, format!("{value} has more than the {decimals} decimals that this disk takes")),
        }
    }

    /// A field that stays empty.
    pub fn empty(&mut self, width: usize) -> &mut Self {
        self.data.resize(self.data.len() + width, 0);
        self
    }

    /// The bytes, left aligned in their field.
    pub fn bytes(&mut self, field: impl Into<String>, value: &[u8], width: usize) -> &mut Self {
        if value.len() > width {
            return self.refuse(field, format!("it needs {} bytes, this disk has room for {width}", value.len()));
        }
        self.data.extend_from_slice(value);
        self.empty(width - value.len())
    }

    /// Refuses the command.
    pub fn refuse(&mut self, field: impl Into<String>, problem: impl Into<String>) -> &mut Self {
        self.refused.get_or_insert(FieldError { field: field.into(), problem: problem.into() });
        self
    }

    /// The data of the command.
    ///
    /// # Errors
    /// The first field that was refused.
    pub fn finish(self) -> Result<Vec<u8>, FieldError> {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(self.data),
        }
    }
}

/// A decimal with exactly so many decimals, or `None` if it has more.
pub fn fixed(value: Decimal, decimals: u32) -> Option<String> {
    let mut value = value.normalize();
    if value.scale() > decimals {
        return None;
    }
    value.rescale(decimals);
    Some(value.to_string())
}

/// Quotient rounded half away from zero to so many decimals; `None` for a divisor of zero.
pub fn quotient(value: Decimal, divisor: Decimal, decimals: u32) -> Option<Decimal> {
    Some(value.checked_div(divisor)?.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero))
}

/// Takes an answer apart. The caller has checked the length of the whole answer: a field is never shorter than its width.
pub struct FieldReader<'a> {
    rest: &'a [u8],
}

/// An answer that is not what its command promises. The text names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(pub String);

impl<'a> FieldReader<'a> {
    /// Reads an answer that must be exactly so long.
    ///
    /// # Errors
    /// It is not.
    pub fn exact(data: &'a [u8], expected_bytes: usize) -> Result<FieldReader<'a>, BadAnswer> {
        if data.len() == expected_bytes {
            return Ok(FieldReader { rest: data });
        }
        Err(BadAnswer(format!("the answer has {} bytes, {expected_bytes} are expected of this command", data.len())))
    }

    /// The next field, padding included.
    pub fn bytes(&mut self, width: usize) -> &'a [u8] {
        let (field, rest) = self.rest.split_at(width.min(self.rest.len()));
        self.rest = rest;
        field
    }

    /// The next field as text.
    pub fn text(&mut self, width: usize) -> String {
        decode_text(self.bytes(width))
    }

    /// The next field as text; `None` when it is empty ("not told").
    pub fn told(&mut self, width: usize) -> Option<String> {
        Some(self.text(width)).filter(|text| !text.is_empty())
    }

    /// The next field as a value.
    ///
    /// # Errors
    /// Names the field and what stands in it.
    pub fn value<T: std::str::FromStr>(&mut self, field: &str, width: usize) -> Result<T, BadAnswer> {
        parse(field, &self.text(width))
    }

    /// The next field as a value; `None` when it is empty ("not told", never zero).
    ///
    /// # Errors
    /// Names the field and what stands in it.
    pub fn told_value<T: std::str::FromStr>(&mut self, field: &str, width: usize) -> Result<Option<T>, BadAnswer> {
        self.told(width).map(|text| parse(field, &text)).transpose()
    }

    /// Code 12 and number 8.
    ///
    /// # Errors
    /// Names the field and what stands in it.
    pub fn pair(&mut self) -> Result<NumberPair, BadAnswer> {
        Ok(NumberPair { code: self.value("fpdm", 12)?, number: self.value("fphm", 8)? })
    }
}

/// A value from the text of a field.
///
/// # Errors
/// Names the field and what stands in it.
pub fn parse<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, BadAnswer> {
    text.parse().map_err(|_| BadAnswer(format!("the disk's answer has {text:?} in the field {field}, which cannot be read")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_fits_exactly_or_is_refused_and_a_pair_is_never_split() {
        let mut writer = FieldWriter::new();
        writer.text("name", "打印纸打印纸打印纸纸", 20);
        assert_eq!(writer.finish().unwrap().len(), 20);
        for (text, bytes) in [("打印纸打印纸打印纸纸a", 21), ("一二三四五六七八九十一", 22)] {
            let mut writer = FieldWriter::new();
            writer.text("lines[0].name", text, 20);
            let error = writer.finish().unwrap_err();
            assert_eq!(error.to_string(), format!("lines[0].name: it needs {bytes} bytes, this disk has room for 20"));
        }
    }

    #[test]
    fn only_gbk_characters_pass() {
        assert_eq!(encode_gbk("测a").unwrap(), [0xB2, 0xE2, b'a']);
        for bad in ["Antonio Moreno Taquería 😀", "é\u{3400}ñ", "a\0b", "a\nb", "\u{E000}", "5 €", "\u{7f}", "ǹ", "\u{FE10}"]
        {
            let refusal = encode_gbk(bad).unwrap_err();
            assert!(refusal.contains("GBK") && refusal.contains("U+"), "{bad:?}: {refusal}");
        }
        assert_eq!(encode_gbk("ⅰé").unwrap().len(), 4);
        assert!(encode_gbk("ñ").unwrap_err().contains("U+00F1"));
    }

    #[test]
    fn reading_ends_at_the_first_zero_and_survives_a_split_pair() {
        assert_eq!(decode_text(b" ab \0cd"), "ab");
        assert_eq!(decode_text(&[0xB2, 0xE2, 0xCA]), "测\u{FFFD}");
        assert_eq!(decode_text(&[0; 4]), "");
    }

    #[test]
    fn decimals_are_never_rounded_on_the_way_out() {
        assert_eq!(fixed(Decimal::new(100, 0), 3).unwrap(), "100.000");
        assert_eq!(fixed(Decimal::new(4716980, 4), 3).unwrap(), "471.698");
        assert_eq!(fixed(Decimal::new(4716981, 4), 3), None);
        assert_eq!(quotient(Decimal::new(1, 0), Decimal::new(3, 0), 3).unwrap().to_string(), "0.333");
        assert_eq!(quotient(Decimal::new(5, 4), Decimal::ONE, 3).unwrap().to_string(), "0.001");
        assert_eq!(quotient(Decimal::ONE, Decimal::ZERO, 3), None);
        let mut writer = FieldWriter::new();
        writer.amount("net", "99999999999.99".parse().unwrap(), 12);
        assert!(writer.finish().unwrap_err().to_string().starts_with("net: it needs 14 bytes"));
    }
}

//! Fixed-width fields: ASCII or GBK, left aligned, padded with 00. device-serial-zc.md, section 6.

use encoding_rs::GBK;
use rust_decimal::{Decimal, RoundingStrategy};
use taxdisk_protocol::money::Amount;

use crate::sim::refusal::Refusal;

/// Reads fields in order. Reading past the end gives empty fields: the caller checks the length first.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Fields of a request that must have exactly one of these lengths.
    pub(super) fn of(data: &'a [u8], lengths: &[usize]) -> Result<Fields<'a>, Refusal> {
        if lengths.contains(&data.len()) { Ok(Fields { rest: data }) } else { Err(Refusal::jsk(3003)) }
    }

    /// Fields of data whose length is checked elsewhere.
    pub(super) fn unchecked(data: &'a [u8]) -> Fields<'a> {
        Fields { rest: data }
    }

    /// The next field: up to the first 00 or its width, spaces trimmed, decoded leniently.
    pub(super) fn text(&mut self, width: usize) -> String {
        let (field, rest) = self.rest.split_at(width.min(self.rest.len()));
        self.rest = rest;
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        let (text, _) = GBK.decode_without_bom_handling(&field[..end]);
        text.trim_matches(' ').to_owned()
    }

    /// An amount. The device reads a number and rounds it to cents; an empty field is 0.
    pub(super) fn amount(&mut self, width: usize) -> Result<Amount, Refusal> {
        Amount::round(decimal(&self.text(width))?).ok_or_else(|| Refusal::jsk(4006))
    }

    /// A number, as the device writes it back with so many decimals.
    pub(super) fn fixed(&mut self, width: usize, decimals: u32) -> Result<String, Refusal> {
        let value = decimal(&self.text(width))?;
        let mut rounded = value.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
        rounded.rescale(decimals);
        Ok(rounded.to_string())
    }
}

fn decimal(text: &str) -> Result<Decimal, Refusal> {
    if text.is_empty() {
        return Ok(Decimal::ZERO);
    }
    Decimal::from_str_exact(text).map_err(|_| Refusal::jsk(4006))
}

/// Writes fields in order.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Text in GBK, padded with 00, cut at the width.
    pub(super) fn text(&mut self, text: &str, width: usize) -> &mut Writer {
        let mut field = gbk(text);
        field.resize(width, 0);
        self.bytes.extend_from_slice(&field);
        self
    }

    /// Anything that prints.
    pub(super) fn show(&mut self, value: impl std::fmt::Display, width: usize) -> &mut Writer {
        self.text(&value.to_string(), width)
    }

    /// Something that the device may not tell: an empty field.
    pub(super) fn maybe(&mut self, value: Option<impl std::fmt::Display>, width: usize) -> &mut Writer {
        self.text(&value.map(|value| value.to_string()).unwrap_or_default(), width)
    }

    /// The answer.
    pub(super) fn done(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// Text in GBK. What GBK lacks becomes `?`, as in every lossy firmware; only configured names can hold such characters.
pub(super) fn gbk(text: &str) -> Vec<u8> {
    let (bytes, _, unmappable) = GBK.encode(text);
    if !unmappable {
        return bytes.into_owned();
    }
    text.chars()
        .flat_map(|character| {
            let mut buffer = [0; 4];
            let (bytes, _, unmappable) = GBK.encode(character.encode_utf8(&mut buffer));
            if unmappable { b"?".to_vec() } else { bytes.into_owned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_are_read_as_the_device_does() {
        let mut fields = Fields::unchecked(b" ab \0xx12.345\0\0\0");
        assert_eq!(fields.text(7), "ab");
        assert_eq!(fields.amount(9).unwrap().to_string(), "12.35");
        assert_eq!(fields.text(5), "");
        assert_eq!(Fields::unchecked(b"2").fixed(1, 3).unwrap(), "2.000");
        assert_eq!(Fields::unchecked(b"").fixed(0, 2).unwrap(), "0.00");
        assert_eq!(Fields::unchecked(b"1e5").amount(3).unwrap_err().code, Some(4006));
        // Half a GBK pair is decoded leniently, never a panic.
        assert!(!Fields::unchecked(&[0xB4]).text(1).is_empty());
    }

    #[test]
    fn fields_are_padded_and_cut() {
        assert_eq!(Writer::default().text("打印", 6).done(), [0xB4, 0xF2, 0xD3, 0xA1, 0, 0]);
        assert_eq!(Writer::default().text("abc", 2).show(7, 2).done(), b"ab7\0");
        assert_eq!(gbk("a\u{1F600}b"), b"a?b");
    }
}

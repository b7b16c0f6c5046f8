//! 0C 发票查询: one invoice by its code and number.
//!
//! Codes of 10 digits are refused here: how they are padded inside the condition is unknown, and a wrong guess would make a
//! present invoice look absent (section 6.3).

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;

use super::super::fields::{BadAnswer, FieldError, FieldReader, parse};
use super::Subject;
use crate::disk::{FoundInvoice, FoundLine, NumberStatus};

/// Command number.
pub const CODE: u8 = 0x0C;

const FIXED_BYTES: usize = 988;
pub(super) const LINE_BYTES: usize = 98;

/// Where 项目数 stands: behind code, number, status, upload flag, date, time, skm, disk, seller and buyer.
const LINE_COUNT_AT: usize = 12 + 8 + 2 + 2 + 8 + 6 + 20 + 12 + 20 + 80 + 20 + 80;

/// nsrsbh 20, skpbh 12, skpkl 8, fplxdm 3, cxfs 1, cxtj 30; no jqbh.
///
/// # Errors
/// A code of 10 digits, or a field that does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind, pair: NumberPair) -> Result<Vec<u8>, FieldError> {
    let mut writer = subject.begin(kind);
    if pair.code.width() != 12 {
        writer.refuse("code", format!("{} has 10 digits; this interface can only look for codes of 12 digits", pair.code));
    }
    writer.text("", "0", 1);
    writer.text("code", &format!("{}{}{}", pair.code, pair.number, pair.number), 30);
    writer.finish()
}

/// # Errors
/// Wrong length, another pair than asked for, or a value in it is none.
pub fn answer(data: &[u8], pair: NumberPair) -> Result<FoundInvoice, BadAnswer> {
    let lines = line_count(data)?;
    let mut reader = FieldReader::exact(data, FIXED_BYTES + LINE_BYTES * lines)?;
    let found = reader.pair()?;
    if found != pair {
        return Err(BadAnswer(format!("the disk answered with the invoice {found}, {pair} was asked for")));
    }
    let status = status(&reader.text(2))?;
    reader.bytes(2);
    let issued_at = reader.text(8) + &reader.text(6);
    let fiscal_code = reader.text(20);
    reader.bytes(12 + 20 + 80);
    let buyer_number = reader.text(20);
    let buyer_name = reader.text(80);
    reader.bytes(4);
    let lines = (0..lines).map(|_| line(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    // A voided blank has no sums.
    let mut sum = |field| Ok(reader.told_value(field, 12)?.unwrap_or(Amount::ZERO));
    let (net, tax, gross) = (sum("hjje")?, sum("hjse")?, sum("jshj")?);
    let remark = reader.text(80);
    let clerk = reader.text(20);
    // A blue invoice has no code here and eight zeros. What is no pair names no original: the comparison finds it missing.
    let (code, number) = (reader.text(12), reader.text(8));
    let original = code.parse().ok().zip(number.parse().ok()).map(|(code, number)| NumberPair { code, number });
    let voided_at = reader.told(14).filter(|time| time.bytes().any(|digit| digit != b'0'));
    reader.bytes(20 + 12);
    let signature = reader.text(512);
    Ok(FoundInvoice {
        pair,
        status,
        issued_at,
        fiscal_code,
        buyer_name,
        buyer_number,
        lines,
        net,
        tax,
        gross,
        remark,
        clerk,
        voided_at,
        signature,
        printed: Printed::default(),
        original,
        // These belong to other dialects.
        request_id: None,
        buyer_address_phone: String::new(),
        buyer_bank_account: String::new(),
    })
}

fn line_count(data: &[u8]) -> Result<usize, BadAnswer> {
    let Some(field) = data.get(LINE_COUNT_AT..LINE_COUNT_AT + 4) else {
        return Err(BadAnswer(format!(
            "the answer has {} bytes, at least {FIXED_BYTES} are expected of this command",
            data.len()
        )));
    };
    let mut reader = FieldReader::exact(field, 4)?;
    // The greatest count of 4 digits makes a megabyte: the bound is the field itself, and the length must match it.
    Ok(reader.told_value::<u16>("项目数", 4)?.map_or(0, usize::from))
}

pub(in super::super) fn status(text: &str) -> Result<NumberStatus, BadAnswer> {
    match parse::<u8>("fpzt", text)? {
        0 => Ok(NumberStatus::Positive),
        1 => Ok(NumberStatus::Negative),
        2 => Ok(NumberStatus::BlankVoid),
        3 => Ok(NumberStatus::PositiveVoid),
        4 => Ok(NumberStatus::NegativeVoid),
        other => Err(BadAnswer(format!("the disk gives the invoice the status {other}, which is not known"))),
    }
}

fn line(reader: &mut FieldReader<'_>) -> Result<FoundLine, BadAnswer> {
    let name = reader.text(20);
    let price = reader.text(12);
    let quantity = reader.text(12);
    let net = reader.value("je", 12)?;
    let rate = reader.text(6);
    let tax = reader.value("se", 12)?;
    reader.bytes(12 + 12);
    Ok(FoundLine { name, price, quantity, net, rate, tax, ..FoundLine::default() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::vectors;
    use super::super::samples::subject;
    use super::*;

    fn pair() -> NumberPair {
        "011002000107 00000088".parse().unwrap()
    }

    #[test]
    fn vectors_7_and_8() {
        let frames = vectors::frames_of(CODE, &request(&subject(), InvoiceKind::Roll, pair()).unwrap());
        assert_eq!(frames, vectors::frames("7 request"));
        let data = vectors::answer_data("8 answer");
        assert_eq!(data.len(), 1086);
        let found = answer(&data, pair()).unwrap();
        assert_eq!(found.status, NumberStatus::Positive);
        assert_eq!(found.issued_at, "20260302101530");
        assert_eq!((found.buyer_name.as_str(), found.buyer_number.as_str()), ("测试买方有限公司", "91310000MA00000027"));
        let line = &found.lines[0];
        assert_eq!((line.name.as_str(), line.price.as_str(), line.quantity.as_str()), ("打印纸", "100.000", "2.000"));
        assert_eq!((line.rate.as_str(), line.tax.to_string().as_str()), ("0.13", "26.00"));
        assert_eq!((found.net.to_string(), found.gross.to_string()), ("200.00".to_owned(), "226.00".to_owned()));
        assert_eq!((found.clerk.as_str(), found.voided_at), ("张三", None));
        assert_eq!(found.signature, "MEUCIQ-SAMPLE-SIGNATURE-0001");
        assert_eq!(found.original, None);
        let mut red = data;
        let at = red.len() - (512 + 12 + 20 + 14 + 8 + 12);
        red[at..at + 20].copy_from_slice(b"01100200010700000077");
        red[21] = b'1';
        let found = answer(&red, pair()).unwrap();
        assert_eq!((found.status, found.original), (NumberStatus::Negative, Some("011002000107 00000077".parse().unwrap())));
    }

    #[test]
    fn another_pair_is_an_error_and_never_absence() {
        let data = vectors::answer_data("8 answer");
        let error = answer(&data, pair().successor().unwrap()).unwrap_err();
        assert!(error.0.contains("00000089 was asked for"), "{error}");
        assert!(answer(&data[..1085], pair()).is_err());
        assert!(answer(&[], pair()).is_err());
        let mut unknown = data;
        unknown[20..22].copy_from_slice(b"07");
        assert!(answer(&unknown, pair()).is_err());
    }

    #[test]
    fn codes_of_ten_digits_are_not_asked_for() {
        let pair = "1100200010 00000001".parse().unwrap();
        assert!(request(&subject(), InvoiceKind::PaperOrdinary, pair).unwrap_err().to_string().contains("12 digits"));
    }

    #[test]
    fn a_voided_blank_has_no_lines_and_no_sums() {
        let mut data = vec![0; FIXED_BYTES];
        data[..22].copy_from_slice(b"0110020001070000008802");
        let found = answer(&data, pair()).unwrap();
        assert_eq!((found.status, found.lines.len(), found.gross), (NumberStatus::BlankVoid, 0, Amount::ZERO));
    }
}

//! Vectors and refusals of 0A.

#![allow(clippy::unwrap_used)]

use taxdisk_protocol::invoice::{Buyer, Totals};

use super::super::super::samples::{self, paper, service};
use super::super::super::vectors;
use super::super::samples::subject;
use super::*;

fn encode(invoice: &Invoice, remark: &str) -> Result<Vec<u8>, FieldError> {
    let certificate = Secret::new("12345678");
    request(&Request {
        subject: subject(),
        certificate_password: &certificate,
        seller_name: "示例商贸有限公司",
        kind: InvoiceKind::Roll,
        invoice,
        remark,
        red: None,
        max_lines: 10,
    })
}

fn refused_field(invoice: &Invoice) -> String {
    encode(invoice, "").unwrap_err().field
}

#[test]
fn vector_4_one_line() {
    let data = encode(&samples::invoice(vec![paper()]), "").unwrap();
    assert_eq!(data.len(), 502);
    assert_eq!(vectors::frames_of(CODE, &data), vectors::frames("4 request"));
}

#[test]
fn vector_6_two_lines_and_a_remark() {
    let data = encode(&samples::invoice(vec![paper(), service()]), "订单A1001").unwrap();
    assert_eq!(vectors::frames_of(CODE, &data), vectors::frames("6 request"));
}

#[test]
fn vector_5_answer() {
    let data = vectors::answer_data("5 answer");
    let signed = answer(&data, InvoiceKind::Roll).unwrap();
    assert_eq!(signed.pair.to_string(), "011002000107 00000088");
    assert_eq!(signed.issued_at, "20260302101530");
    assert_eq!(signed.fiscal_code, "01234567890123456789");
    assert_eq!(signed.signature, "MEUCIQ-SAMPLE-SIGNATURE-0001");
    for length in [0, 35, 568] {
        assert!(answer(&data[..length], InvoiceKind::Roll).is_err());
    }
    assert!(answer(&data, InvoiceKind::PaperOrdinary).is_err());
}

#[test]
fn a_discount_pair_becomes_one_line() {
    let line = Line {
        kind: LineKind::Discounted,
        quantity: Some("10".parse().unwrap()),
        net: "1000.00".parse().unwrap(),
        tax: "130.00".parse().unwrap(),
        ..paper()
    };
    let discount = Line {
        kind: LineKind::Discount,
        quantity: None,
        price: None,
        net: "-100.00".parse().unwrap(),
        tax: "-13.00".parse().unwrap(),
        ..paper()
    };
    let lines = vec![line.clone(), discount.clone(), service()];
    let merged = merge_discounts(&lines).unwrap();
    assert_eq!(merged.len(), 2);
    assert_eq!(merged[0].price.unwrap(), Decimal::from(90));
    assert_eq!((merged[0].net.to_string(), merged[0].tax.to_string()), ("900.00".to_owned(), "117.00".to_owned()));
    assert_eq!(merged[1].index, 2, "refusals name the line of the invoice, not of the command");
    let data = encode(&samples::invoice(lines), "").unwrap();
    assert_eq!(&data[236 + 20..236 + 26], b"90.000");
    // 900.00 / 7 = 128.571428…, 900.03 / 8 = 112.50375 → half up.
    let eight = Line { quantity: Some("8".parse().unwrap()), net: "1000.03".parse().unwrap(), ..line.clone() };
    assert_eq!(merge_discounts(&[eight, discount.clone()]).unwrap()[0].price.unwrap().to_string(), "112.504");
    assert!(merge_discounts(&[discount.clone(), line.clone()]).is_err());
    assert!(merge_discounts(&[line.clone(), service()]).is_err());
    assert!(merge_discounts(std::slice::from_ref(&line)).is_err());
    let other_rate = Line { rate: "0.06".parse().unwrap(), ..discount.clone() };
    assert!(merge_discounts(&[line.clone(), other_rate]).is_err());
    assert!(merge_discounts(&[line, discount.clone(), discount]).is_err());
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let with = |change: &dyn Fn(&mut Invoice)| {
        let mut invoice = samples::invoice(vec![service(), paper()]);
        change(&mut invoice);
        refused_field(&invoice)
    };
    assert_eq!(with(&|one| one.lines[1].name = "一二三四五六七八九十一".to_owned()), "lines[1].name");
    assert_eq!(with(&|one| one.lines[1].price = Some("1.2345".parse().unwrap())), "lines[1].price");
    assert_eq!(with(&|one| one.lines[1].quantity = Some("0.0001".parse().unwrap())), "lines[1].quantity");
    assert_eq!(with(&|one| one.lines[1].price = Some("123456789.5".parse().unwrap())), "lines[1].price");
    assert_eq!(with(&|one| one.lines[1].rate = "0.015".parse().unwrap()), "lines[1].rate");
    assert_eq!(with(&|one| one.lines[1].net = "1000000000.00".parse().unwrap()), "lines[1].net");
    assert_eq!(with(&|one| one.totals.gross = "1000000000.00".parse().unwrap()), "totals.gross");
    assert_eq!(with(&|one| one.buyer.name = "ñ".to_owned()), "buyer.name");
    assert_eq!(with(&|one| one.clerk = "张".repeat(11)), "clerk");
    assert_eq!(with(&|one| one.lines[0].unit = "件".to_owned()), "lines[0].unit");
    assert_eq!(with(&|one| one.lines[0].zero_rate = Some(ZeroRate::Exempt)), "lines[0].zero_rate");
    assert_eq!(with(&|one| one.reviewer = "李四".to_owned()), "reviewer");
    assert_eq!(with(&|one| one.lines.clear()), "lines");
    assert_eq!(with(&|one| one.totals.gross = Amount::ZERO), "totals.gross");
    assert_eq!(with(&|one| one.lines = vec![paper(); 11]), "lines");
    assert_eq!(encode(&samples::invoice(vec![paper()]), &"备".repeat(41)).unwrap_err().field, "remark");
}

#[test]
fn the_widest_values_fit() {
    let mut line = paper();
    line.name = "一二三四五六七八九十".to_owned();
    line.price = Some("99999999.999".parse().unwrap());
    line.quantity = Some("99999999.999".parse().unwrap());
    let mut invoice = samples::invoice(vec![line]);
    invoice.totals = Totals { gross: "999999999.99".parse().unwrap(), ..invoice.totals };
    invoice.buyer = Buyer { taxpayer_number: None, name: "个人".to_owned(), ..invoice.buyer };
    let data = encode(&invoice, &"备".repeat(40)).unwrap();
    assert_eq!(data.len(), 502);
    assert!(data[132..152].iter().all(|byte| *byte == 0), "no buyer number");
}

#[test]
fn a_red_invoice_names_its_original_and_takes_the_sign_of_the_device() {
    let mut line = paper();
    line.quantity = Some("-2".parse().unwrap());
    line.net = "-200.00".parse().unwrap();
    line.tax = "-26.00".parse().unwrap();
    let mut invoice = samples::invoice(vec![line]);
    invoice.remark.clear();
    let certificate = Secret::new("12345678");
    let original: NumberPair = "011002000107 00000088".parse().unwrap();
    for (sign, gross) in [(RedSign::Positive, "226.00"), (RedSign::Negative, "-226.00")] {
        let data = request(&Request {
            subject: subject(),
            certificate_password: &certificate,
            seller_name: "示例商贸有限公司",
            kind: InvoiceKind::Roll,
            invoice: &invoice,
            remark: "",
            red: Some(Red { original, sign }),
            max_lines: 10,
        })
        .unwrap();
        assert_eq!(data[131], b'1');
        let mut tail = FieldReader::exact(&data[334..], 168).unwrap();
        tail.bytes(24);
        assert_eq!(tail.text(12), gross);
        tail.bytes(100);
        assert_eq!(tail.pair().unwrap(), original);
    }
}

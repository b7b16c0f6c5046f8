//! Whatever the domain types allow gives a document or an error, never a panic, and never a document that hides something.

#![allow(clippy::unwrap_used)]

mod samples;

use proptest::collection::vec;
use proptest::prelude::*;
use rust_decimal::Decimal;
use taxdisk_layout::{IssuedInvoice, LayoutError, json, ofd, pdf, qr_png, qr_svg, xml};
use taxdisk_protocol::invoice::{Buyer, Invoice, Line, LineKind, Totals, ZeroRate};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::{Amount, Price, Quantity, TaxRate};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[一-龥A-Za-z0-9 （）*-]{0,40}",
        1 => "[一-龥]{0,500}",
        1 => "\\PC{0,20}",
        1 => any::<String>().prop_map(|text| text.chars().take(60).collect()),
    ]
}

fn amount() -> impl Strategy<Value = Amount> {
    (-Amount::MAX_FEN..=Amount::MAX_FEN, 0_u32..13).prop_map(|(fen, less)| Amount::from_fen(fen / 10_i64.pow(less)).unwrap())
}

fn line() -> impl Strategy<Value = Line> {
    let digits = (-999_999_999_999_i64..=999_999_999_999, 0_u32..=8);
    let kind = prop_oneof![Just(LineKind::Normal), Just(LineKind::Discounted), Just(LineKind::Discount)];
    let zero = prop_oneof![
        Just(None),
        Just(Some(ZeroRate::Exempt)),
        Just(Some(ZeroRate::NotTaxed)),
        Just(Some(ZeroRate::Ordinary)),
        Just(Some(ZeroRate::Export))
    ];
    let words = (text(), text(), text());
    let numbers = (amount(), amount(), proptest::option::of(amount()), 0_i64..=10_000);
    (kind, words, numbers, proptest::option::of((digits.clone(), digits)), zero).prop_map(
        |(kind, (name, specification, unit), (net, tax, deduction, rate), each, zero_rate)| Line {
            kind,
            name,
            goods_code: Some("1030307000000000000".to_owned()),
            specification,
            unit,
            quantity: each.and_then(|((value, scale), _)| Quantity::new(Decimal::new(value, scale))),
            price: each.and_then(|(_, (value, scale))| Price::new(Decimal::new(value, scale))),
            net,
            rate: TaxRate::new(Decimal::new(rate, 4)).unwrap(),
            tax,
            zero_rate,
            deduction,
        },
    )
}

fn invoice() -> impl Strategy<Value = IssuedInvoice> {
    let kinds = proptest::sample::select(InvoiceKind::ALL.to_vec());
    let lines = prop_oneof![4 => vec(line(), 0..10), 1 => vec(line(), 90..=100)];
    let people = (text(), text(), text(), text());
    let totals = (amount(), amount(), amount());
    let device = (proptest::option::of("[0-9+*/<>-]{0,224}"), proptest::option::of("[ -~]{0,256}"), any::<bool>(), any::<bool>());
    (kinds, lines, people, totals, device).prop_map(
        |(kind, lines, people, (net, tax, gross), (cipher, qr_text, simulated, red))| {
            let (name, remark, address_phone, clerk) = people;
            let buyer = Buyer { name, taxpayer_number: None, bank_account: address_phone.clone(), address_phone };
            let totals = Totals { net, tax, gross };
            let content = Invoice {
                buyer,
                lines,
                totals,
                remark,
                payee: clerk.clone(),
                reviewer: clerk.clone(),
                clerk,
                notice: String::new(),
            };
            let mut invoice = samples::signed(content, kind, 1);
            invoice.original = red.then_some(invoice.pair);
            IssuedInvoice { cipher, qr_text, simulated, ..invoice }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_invoice_gives_documents_or_an_error(invoice in invoice()) {
        let results = [pdf(&invoice).map(drop), ofd(&invoice).map(drop), qr_png(&invoice).map(drop), qr_svg(&invoice).map(drop)];
        for result in &results {
            prop_assert!(!matches!(result, Err(LayoutError::Defect(_))), "{:?}", result);
        }
        // PDF and OFD draw the same marks: what stops one stops the other.
        prop_assert_eq!(&results[0], &results[1]);
        if let Ok(text) = json(&invoice) {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(value["items"].as_array().unwrap().len(), invoice.invoice.lines.len());
            prop_assert!(xml(&invoice).is_ok());
        }
    }
}

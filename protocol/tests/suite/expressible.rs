//! What one disk can express, judged field by field.

use taxdisk_protocol::api::{JobSubmission, LineBody, Operation};
use taxdisk_protocol::capabilities::{Capabilities, CharacterSet};
use taxdisk_protocol::mark::{MARK_BYTES, mark};
use taxdisk_protocol::rules;

use crate::making::{BUYER, discount_pair, first, issue, line, of_kind, red, serial_converter, with, xml_disk};

fn misfits(submission: &JobSubmission, capabilities: &Capabilities) -> Vec<String> {
    let job = rules::parse(submission).unwrap();
    let found = rules::fits(&job, capabilities, Some(&mark(&job.key)));
    found.into_iter().map(|breach| format!("{} {}", breach.code, breach.pointer)).collect()
}

fn on_line(change: impl FnOnce(&mut LineBody)) -> JobSubmission {
    with(first(), |invoice| change(&mut invoice.lines[0]))
}

#[test]
fn the_plain_example_fits_both_disks() {
    assert_eq!(misfits(&first(), &serial_converter()), Vec::<String>::new());
    assert_eq!(misfits(&first(), &xml_disk()), Vec::<String>::new());
}

#[test]
fn what_a_serial_converter_has_no_field_for_is_named() {
    let cases = [
        (on_line(|l| l.name = "一二三四五六七八九十一".into()), "too_wide /invoice/lines/0/name"),
        (on_line(|l| l.goods_code = Some("1060105".into())), "not_expressible /invoice/lines/0/goods_code"),
        (on_line(|l| l.specification = "A4".into()), "not_expressible /invoice/lines/0/specification"),
        (on_line(|l| l.unit = "包".into()), "not_expressible /invoice/lines/0/unit"),
        (with(first(), |i| i.buyer.address_phone = "x".into()), "not_expressible /invoice/buyer/address_phone"),
        (with(first(), |i| i.buyer.bank_account = "x".into()), "not_expressible /invoice/buyer/bank_account"),
        (with(first(), |i| i.payee = "李四".into()), "not_expressible /invoice/payee"),
        (with(first(), |i| i.reviewer = "李四".into()), "not_expressible /invoice/reviewer"),
        (with(first(), |i| i.clerk = "A".repeat(21)), "too_wide /invoice/clerk"),
        (with(first(), |i| i.buyer.name = "买".repeat(41)), "too_wide /invoice/buyer/name"),
        (with(first(), |i| i.remark = "€".into()), "characters /invoice/remark"),
        (with(first(), |i| i.buyer.name = "Toms Spezialitäten".into()), "characters /invoice/buyer/name"),
        (on_line(|l| l.name = "\u{3400}".into()), "characters /invoice/lines/0/name"),
        (on_line(|l| l.name = "😀".into()), "characters /invoice/lines/0/name"),
        (on_line(|l| (l.quantity, l.price) = (Some("1".into()), Some("199.9999".into()))), "decimals /invoice/lines/0/price"),
        (
            on_line(|l| (l.quantity, l.price) = (Some("0.0002".into()), Some("1000000".into()))),
            "decimals /invoice/lines/0/quantity",
        ),
        (
            on_line(|l| (l.quantity, l.price) = (Some("200000000".into()), Some("0.000001".into()))),
            "decimals /invoice/lines/0/price",
        ),
        (
            issue("025", vec![line("a", None, "200.00", "0.015", "3.00")], ("200.00", "3.00", "203.00")),
            "decimals /invoice/lines/0/rate",
        ),
        (
            issue("025", vec![line("a", None, "1.00", "0.13", "0.13"); 11], ("11.00", "1.43", "12.43")),
            "too_many_lines /invoice/lines",
        ),
        (
            issue(
                "025",
                vec![LineBody { zero_rate: Some("exempt".into()), ..line("a", None, "9.00", "0", "0.00") }],
                ("9.00", "0.00", "9.00"),
            ),
            "not_expressible /invoice/lines/0/zero_rate",
        ),
        (
            issue(
                "025",
                vec![LineBody { deduction: Some("600".into()), ..line("a", None, "977.36", "0.06", "22.64") }],
                ("977.36", "22.64", "1000.00"),
            ),
            "not_expressible /invoice/lines/0/deduction",
        ),
        (
            JobSubmission {
                operation: Operation::Red,
                ..red("025", vec![line("a", None, "-1.00", "0.13", "-0.13")], ("-1.00", "-0.13", "-1.13"))
            },
            "operation /operation",
        ),
    ];
    for (submission, expected) in cases {
        let found = misfits(&submission, &serial_converter());
        assert!(found.contains(&expected.to_owned()), "{expected}: {found:?}");
    }
}

#[test]
fn what_just_fits_is_taken() {
    let just = [
        on_line(|l| l.name = "一二三四五六七八九十".into()),
        with(first(), |i| i.remark = "r".repeat(80 - MARK_BYTES)),
        with(first(), |i| i.buyer.name = "买".repeat(40)),
        with(first(), |i| (i.payee, i.reviewer) = ("张三".into(), "张三".into())),
        with(first(), |i| i.buyer.taxpayer_number = Some(BUYER.into())),
        issue("025", vec![line("a", None, "1.00", "0.13", "0.13"); 10], ("10.00", "1.30", "11.30")),
        on_line(|l| (l.quantity, l.price) = (Some("0.002".into()), Some("99999.99900".into()))),
    ];
    for submission in just {
        assert_eq!(misfits(&submission, &serial_converter()), Vec::<String>::new());
    }
}

#[test]
fn the_mark_counts_in_the_remark_and_is_explained() {
    let submission = with(first(), |invoice| invoice.remark = "r".repeat(81 - MARK_BYTES));
    let job = rules::parse(&submission).unwrap();
    let found = rules::fits(&job, &serial_converter(), Some(&mark(&job.key)));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code.as_str(), found[0].pointer.as_str()), ("too_wide", "/invoice/remark"));
    assert_eq!(found[0].detail, "81 bytes, of which 11 are our mark; this disk takes 80");
    assert_eq!(rules::fits(&job, &serial_converter(), None), []);
}

#[test]
fn characters_are_named_with_their_places() {
    let submission = with(first(), |invoice| invoice.buyer.name = "Frankenversänd €".into());
    let job = rules::parse(&submission).unwrap();
    let found = rules::fits(&job, &serial_converter(), None);
    assert_eq!(found[0].detail, "not in GBK: ä (U+00E4) at character 12, € (U+20AC) at character 16");
    let many = with(first(), |invoice| invoice.remark = "ö".repeat(30));
    let found = rules::fits(&rules::parse(&many).unwrap(), &serial_converter(), None);
    assert!(found[0].detail.ends_with("ö (U+00F6) at character 10 and 20 more"), "{}", found[0].detail);
    let unicode = Capabilities { characters: CharacterSet::Unicode, ..serial_converter() };
    assert_eq!(rules::fits(&job, &unicode, None), []);
}

#[test]
fn a_discount_pair_counts_as_the_line_that_it_becomes() {
    let lines: Vec<LineBody> = (0..10).flat_map(|_| discount_pair()).collect();
    let submission = issue("025", lines, ("9000.00", "1170.00", "10170.00"));
    assert_eq!(misfits(&submission, &serial_converter()), Vec::<String>::new());
    let ten_lines = Capabilities { max_lines: 10, ..xml_disk() };
    assert_eq!(misfits(&submission, &ten_lines), ["too_many_lines /invoice/lines"]);
}

#[test]
fn a_merged_price_must_still_give_its_amount() {
    // 900.00 for 7000 pieces: 0.129 × 7000 = 903.00.
    let mut lines = discount_pair();
    (lines[0].quantity, lines[0].price) = (Some("7000".into()), Some("0.14285714".into()));
    let submission = issue("025", lines.clone(), ("900.00", "117.00", "1017.00"));
    assert_eq!(misfits(&submission, &serial_converter()), ["decimals /invoice/lines/0/price"]);
    assert_eq!(misfits(&submission, &xml_disk()), Vec::<String>::new());
    // The price as sent is not transmitted, so its decimals do not matter.
    (lines[0].quantity, lines[0].price) = (Some("3".into()), Some("333.33333333".into()));
    lines[1].net = "-99.99".into();
    lines[1].tax = "-13.00".into();
    let submission = issue("025", lines, ("900.01", "117.00", "1017.01"));
    assert_eq!(misfits(&submission, &serial_converter()), Vec::<String>::new());
}

#[test]
fn a_discount_of_the_whole_line_cannot_be_merged() {
    let mut lines = discount_pair();
    lines[1].net = "-1000.00".into();
    lines[1].tax = "-130.00".into();
    lines.push(line("b", None, "1.00", "0.13", "0.13"));
    let submission = issue("025", lines, ("1.00", "0.13", "1.13"));
    assert_eq!(misfits(&submission, &serial_converter()), ["not_expressible /invoice/lines"]);
    assert_eq!(misfits(&submission, &xml_disk()), Vec::<String>::new());
}

#[test]
fn long_amounts_and_numbers_are_measured_as_they_are_written() {
    let long = line("a", None, "9999999999.99", "0", "0.00");
    let found = misfits(&issue("025", vec![long], ("9999999999.99", "0.00", "9999999999.99")), &serial_converter());
    assert_eq!(found, ["too_wide /invoice/totals/net", "too_wide /invoice/totals/gross", "too_wide /invoice/lines/0/net"]);
    let many = on_line(|l| (l.quantity, l.price) = (Some("100000000".into()), Some("0.000002".into())));
    assert!(misfits(&many, &serial_converter()).contains(&"too_wide /invoice/lines/0/quantity".to_owned()));
}

#[test]
fn what_a_line_is_with_tax_is_measured_too() {
    // 999999999.00 fits twelve characters, with tax it is 1129999998.87 and does not.
    let line = line("a", None, "999999999.00", "0.13", "129999999.87");
    let found = misfits(&issue("025", vec![line], ("999999999.00", "129999999.87", "1129999998.87")), &serial_converter());
    assert_eq!(found, ["too_wide /invoice/totals/gross", "too_wide /invoice/lines/0/net"]);
    let dear = crate::making::line("a", Some(("1", "90000000")), "90000000.00", "0.13", "11700000.00");
    let found = misfits(&issue("025", vec![dear], ("90000000.00", "11700000.00", "101700000.00")), &serial_converter());
    assert_eq!(found, ["too_wide /invoice/lines/0/price"]);
}

#[test]
fn a_pair_is_measured_as_the_line_that_it_becomes() {
    let pair = |net: &str, tax: &str, less: &str, less_tax: &str| {
        vec![
            of_kind("discounted", line("a", None, net, "0.13", tax)),
            of_kind("discount", line("a", None, less, "0.13", less_tax)),
        ]
    };
    // 1000000000.00 alone has thirteen characters; it is not sent.
    let lines = pair("1000000000.00", "130000000.00", "-999999000.00", "-129999870.00");
    let submission = issue("025", lines.clone(), ("1000.00", "130.00", "1130.00"));
    assert_eq!(misfits(&submission, &serial_converter()), Vec::<String>::new());
    let narrow = Capabilities { discount_lines: true, ..serial_converter() };
    assert!(misfits(&submission, &narrow).contains(&"too_wide /invoice/lines/0/net".to_owned()));
    // 999999999.00 is sent and fits, 1129999998.87 beside it does not.
    let lines = pair("1000000000.00", "130000000.00", "-1.00", "-0.13");
    let submission = issue("025", lines, ("999999999.00", "129999999.87", "1129999998.87"));
    assert_eq!(misfits(&submission, &serial_converter()), ["too_wide /invoice/totals/gross", "too_wide /invoice/lines/0/net"]);
}

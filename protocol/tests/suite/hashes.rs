//! Content hashes: what is equal, what differs, and values that must never change.

use proptest::prelude::*;
use taxdisk_protocol::api::{InvoiceBody, JobSubmission, LineBody, Operation, PairBody, Priority};
use taxdisk_protocol::hash::{content, differences};

use crate::making::{discount_pair, first, issue, with};

fn changed(old: &JobSubmission, new: &JobSubmission) -> Vec<String> {
    let (old, new) = (content(old), content(new));
    let pointers: Vec<String> = differences(&old.fields, &new.fields).into_iter().map(|difference| difference.pointer).collect();
    assert_eq!(old.hash == new.hash, pointers.is_empty(), "the hash and the fields disagree");
    pointers
}

/// Stored hashes decide for ever whether a submission is a repeat. If this test fails, the change is wrong, not the test.
/// The values were made by a program of a few lines in another language, from the canonical form alone.
#[test]
fn hashes_never_change() {
    assert_eq!(content(&first()).hash, "408fd1bee765d9144519b31406fcfbbf70295c2a5f03a90d448e8201721767ec");
    let all = everything();
    assert_eq!(content(&all).hash, "ddbffa2dfd17c2d3a891f28976ece2c8cf74cfac850469b9fc0c91c40309df61");
    let fields = content(&all).fields;
    let net = fields.iter().find(|(pointer, _)| pointer == "/invoice/lines/0/net");
    assert_eq!(net.map(|(_, hash)| hash), Some("0fe4cb5855861fde"));
    assert_eq!(content(&JobSubmission::default()).hash, "29a815acec5a23add209573a03a55af445993aa2e83b31cfe2881252dbd2965b");
}

/// Every field holds something.
fn everything() -> JobSubmission {
    let line = LineBody {
        goods_code: Some("1060105".into()),
        specification: "A4".into(),
        unit: "包".into(),
        zero_rate: Some("exempt".into()),
        deduction: Some("1.00".into()),
        ..discount_pair()[0].clone()
    };
    let submission = with(issue("025", vec![line], ("1", "2", "3")), |invoice| {
        invoice.buyer.taxpayer_number = Some("91310000MA00000025".into());
        invoice.buyer.address_phone = "地址".into();
        invoice.buyer.bank_account = "银行".into();
        invoice.remark = "备注".into();
        invoice.payee = "李四".into();
        invoice.reviewer = "王五".into();
    });
    let original = Some(PairBody { code: "011002000107".into(), number: "00000088".into() });
    JobSubmission { operation: Operation::Red, original, issue_point: Some("till1".into()), ..submission }
}

#[test]
fn each_field_is_named_when_it_changes_and_only_it() {
    let base = with(everything(), |invoice| invoice.notice = "1100000000000001".into());
    let json = serde_json::to_value(&base).unwrap();
    let pointers: Vec<String> =
        content(&base).fields.iter().map(|(pointer, _)| pointer).filter(|pointer| pointer != "/invoice/lines").collect();
    assert_eq!(pointers.len(), 28);
    for pointer in pointers {
        let mut other = json.clone();
        *other.pointer_mut(&pointer).unwrap() = if pointer == "/operation" { "void".into() } else { "changed".into() };
        let other: JobSubmission = serde_json::from_value(other).unwrap();
        assert_eq!(changed(&base, &other), [pointer]);
    }
}

#[test]
fn how_and_for_whom_is_not_what() {
    let base = first();
    let other = JobSubmission {
        seller: "x".into(),
        serial: "y".into(),
        issue_point: Some("z".into()),
        priority: Priority::Waiting,
        ..base.clone()
    };
    assert_eq!(changed(&base, &other), Vec::<String>::new());
}

#[test]
fn one_value_written_in_two_ways_is_one() {
    let base = first();
    let other = with(base.clone(), |invoice| {
        invoice.totals.gross = "0226".into();
        invoice.lines[0].kind = Some("normal".into());
        invoice.lines[0].goods_code = Some(String::new());
        invoice.lines[0].quantity = Some("2.000".into());
        invoice.buyer.taxpayer_number = Some(String::new());
    });
    assert_eq!(changed(&base, &other), Vec::<String>::new());
    for (text, other) in [
        ("-0.00", "0"),
        ("00.10", "0.1"),
        ("1000000000000000000000000000000000000000.50", "1000000000000000000000000000000000000000.5"),
    ] {
        let of = |text: &str| with(first(), |invoice| invoice.totals.net = text.into());
        assert_eq!(changed(&of(text), &of(other)), Vec::<String>::new(), "{text}");
    }
    for (text, other) in [("1.", "1"), ("+1", "1"), ("1e2", "100"), (" 1", "1"), (".5", "0.5"), ("-1", "1"), ("１", "1")] {
        let of = |text: &str| with(first(), |invoice| invoice.totals.net = text.into());
        assert_eq!(changed(&of(text), &of(other)), ["/invoice/totals/net"], "{text}");
    }
    let spaced = with(first(), |invoice| invoice.buyer.name.push(' '));
    assert_eq!(changed(&base, &spaced), ["/invoice/buyer/name"]);
}

#[test]
fn a_line_more_or_less_is_a_difference() {
    let more = with(first(), |invoice| invoice.lines.push(LineBody::default()));
    assert_eq!(changed(&first(), &more), ["/invoice/lines"]);
    assert_eq!(changed(&more, &first()), ["/invoice/lines"]);
    let none = JobSubmission { invoice: None, ..first() };
    assert!(changed(&first(), &none).contains(&"/invoice/buyer/name".to_owned()));
    let empty = JobSubmission { invoice: Some(InvoiceBody::default()), ..first() };
    assert_eq!(changed(&none, &empty), ["/invoice/lines"]);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[0-9.-]{1,6}", "\\PC{0,6}"]
}

prop_compose! {
    fn any_line()(name in text(), net in text(), price in proptest::option::of(text()), unit in text()) -> LineBody {
        LineBody { name, net, price, unit, ..LineBody::default() }
    }
}

prop_compose! {
    fn any_submission()(
        kind in text(), name in text(), gross in text(), remark in text(),
        lines in proptest::collection::vec(any_line(), 0..4),
    ) -> JobSubmission {
        with(issue(&kind, lines, ("1", "1", &gross)), |invoice| {
            invoice.buyer.name = name;
            invoice.remark = remark;
        })
    }
}

proptest! {
    #[test]
    fn the_order_of_fields_in_the_text_does_not_matter(submission in any_submission()) {
        // A map of serde_json is sorted; the types write their own order.
        let sorted = serde_json::to_string(&serde_json::to_value(&submission).unwrap()).unwrap();
        let again: JobSubmission = serde_json::from_str(&sorted).unwrap();
        prop_assert_eq!(content(&again), content(&submission));
    }

    #[test]
    fn hash_and_fields_agree_on_any_two(one in any_submission(), other in any_submission()) {
        changed(&one, &other);
        changed(&one, &one);
    }

    #[test]
    fn trailing_zeros_never_matter(whole in 0_u64..1_000_000, fraction in 0_u32..100, zeros in 0_usize..5) {
        let of = |text: String| with(first(), |invoice| invoice.lines[0].net = text);
        let short = of(format!("{whole}.{fraction:02}"));
        let long = of(format!("{}{whole}.{fraction:02}{}", "0".repeat(zeros), "0".repeat(zeros)));
        prop_assert_eq!(content(&short), content(&long));
        let other = of(format!("{}.{fraction:02}", whole + 1));
        prop_assert_eq!(changed(&short, &other), vec!["/invoice/lines/0/net".to_owned()]);
    }
}

/// They were an object once; both forms are one and the same, and name every field as the submission does.
#[test]
fn hashes_of_fields_are_read_in_both_forms() {
    let fields = content(&first()).fields;
    let object: serde_json::Map<String, serde_json::Value> =
        fields.iter().map(|(pointer, hash)| (pointer, hash.to_owned().into())).collect();
    assert!(object.len() > 10 && object.contains_key("/operation") && object.contains_key("/invoice/buyer/name"), "{object:?}");
    let text = serde_json::to_string(&fields).unwrap();
    for form in [&text, &serde_json::Value::Object(object).to_string()] {
        assert_eq!(serde_json::from_str::<taxdisk_protocol::hash::Fields>(form).unwrap(), fields);
    }
    assert_eq!(serde_json::from_str::<taxdisk_protocol::hash::Fields>("{}").unwrap(), taxdisk_protocol::hash::Fields::default());
}

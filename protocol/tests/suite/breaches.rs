//! Each rule by itself: broken alone it is named alone, with its place; and many at once are all named.

use std::collections::BTreeSet;

use taxdisk_protocol::api::{InvoiceBody, JobSubmission, LineBody, Operation, PairBody};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::rules::{self, Rule, RuleSet};

use crate::making::{BUYER, breaches, discount_pair, first, issue, line, of_kind, red, with};

fn pair() -> Option<PairBody> {
    Some(PairBody { code: "011002000107".into(), number: "00000088".into() })
}

fn on_line(change: impl FnOnce(&mut LineBody)) -> JobSubmission {
    with(first(), |invoice| change(&mut invoice.lines[0]))
}

/// One submission for each single breach, with the breach that it must name and no other.
fn cases() -> Vec<(JobSubmission, &'static str)> {
    let void = || JobSubmission { operation: Operation::Void, original: pair(), invoice: None, ..first() };
    let special = |change: fn(&mut InvoiceBody)| {
        with(JobSubmission { kind: "004".into(), ..first() }, |invoice| {
            invoice.buyer.taxpayer_number = Some(BUYER.into());
            invoice.buyer.address_phone = "上海 1".into();
            invoice.buyer.bank_account = "银行 1".into();
            change(invoice);
        })
    };
    let red_special = |notice: &str| {
        let lines = vec![line("打印纸", None, "-200.00", "0.13", "-26.00")];
        with(red("004", lines, ("-200.00", "-26.00", "-226.00")), |invoice| {
            invoice.buyer.taxpayer_number = Some(BUYER.into());
            invoice.buyer.address_phone = "上海 1".into();
            invoice.buyer.bank_account = "银行 1".into();
            invoice.notice = notice.into();
        })
    };
    let discount = |change: fn(&mut LineBody)| {
        let mut lines = discount_pair();
        change(&mut lines[1]);
        issue("025", lines, ("900.00", "117.00", "1017.00"))
    };
    let roll_of_26 = issue("025", vec![line("a", None, "1.00", "0.13", "0.13"); 26], ("26.00", "3.38", "29.38"));
    let deducted = LineBody { deduction: Some("600".into()), ..line("a", None, "977.36", "0.06", "22.64") };
    vec![
        (JobSubmission { seller: "91110000MA00000019".into(), ..first() }, "taxpayer_number /seller"),
        (JobSubmission { seller: "11010512345678O".into(), ..first() }, "taxpayer_letters /seller"),
        (
            with(first(), |i| i.buyer.taxpayer_number = Some("91310000MA00000027".into())),
            "taxpayer_number /invoice/buyer/taxpayer_number",
        ),
        (
            with(first(), |i| i.buyer.taxpayer_number = Some("1101051234567Z9".into())),
            "taxpayer_letters /invoice/buyer/taxpayer_number",
        ),
        (JobSubmission { serial: "NW-1".into(), ..first() }, "serial_number /serial"),
        (JobSubmission { serial: String::new(), ..first() }, "serial_number /serial"),
        (JobSubmission { kind: "12".into(), ..first() }, "kind /kind"),
        (JobSubmission { issue_point: Some("店 1".into()), ..first() }, "issue_point /issue_point"),
        (JobSubmission { original: pair(), ..first() }, "original /original"),
        (JobSubmission { original: None, ..void() }, "original /original"),
        (JobSubmission { original: Some(PairBody { code: "1".into(), ..pair().unwrap() }), ..void() }, "original /original/code"),
        (
            JobSubmission { original: Some(PairBody { number: "88".into(), ..pair().unwrap() }), ..void() },
            "original /original/number",
        ),
        (JobSubmission { kind: "026".into(), ..void() }, "void_kind /operation"),
        (JobSubmission { invoice: None, ..first() }, "content /invoice"),
        (JobSubmission { invoice: first().invoice, ..void() }, "content /invoice"),
        (with(first(), |i| i.buyer.name = " ".into()), "missing /invoice/buyer/name"),
        (on_line(|l| l.name = String::new()), "missing /invoice/lines/0/name"),
        (with(first(), |i| i.remark = "a\nb".into()), "control_character /invoice/remark"),
        (on_line(|l| l.name = "a\u{7f}".into()), "control_character /invoice/lines/0/name"),
        (with(first(), |i| i.payee = "收".repeat(501)), "too_long /invoice/payee"),
        (on_line(|l| l.net = "200.001".into()), "amount /invoice/lines/0/net"),
        (on_line(|l| l.price = Some("1e2".into())), "price /invoice/lines/0/price"),
        (on_line(|l| l.quantity = Some("two".into())), "quantity /invoice/lines/0/quantity"),
        (on_line(|l| l.rate = "13".into()), "rate /invoice/lines/0/rate"),
        (on_line(|l| l.kind = Some("gift".into())), "line_kind /invoice/lines/0/kind"),
        (on_line(|l| l.zero_rate = Some("no".into())), "zero_rate /invoice/lines/0/zero_rate"),
        (on_line(|l| l.zero_rate = Some("exempt".into())), "zero_rate /invoice/lines/0/zero_rate"),
        (on_line(|l| l.goods_code = Some("1".repeat(20))), "goods_code /invoice/lines/0/goods_code"),
        (on_line(|l| l.goods_code = Some("10A".into())), "goods_code /invoice/lines/0/goods_code"),
        (on_line(|l| l.price = None), "price_quantity /invoice/lines/0/price"),
        (on_line(|l| l.quantity = None), "price_quantity /invoice/lines/0/quantity"),
        (on_line(|l| l.quantity = Some("3".into())), "product /invoice/lines/0/net"),
        (roll_of_26, "too_many_lines /invoice/lines"),
        (special(|i| i.buyer.taxpayer_number = None), "special_buyer /invoice/buyer/taxpayer_number"),
        (special(|i| i.buyer.address_phone.clear()), "special_buyer /invoice/buyer/address_phone"),
        (special(|i| i.buyer.bank_account.clear()), "special_buyer /invoice/buyer/bank_account"),
        (with(first(), |i| i.notice = "1100000000000001".into()), "notice /invoice/notice"),
        (red_special(""), "notice /invoice/notice"),
        (red_special("11000000-0000001"), "notice /invoice/notice"),
        (red_special(&"1".repeat(31)), "notice /invoice/notice"),
        (discount(|l| l.name = "纸".into()), "discount_match /invoice/lines/1/name"),
        (discount(|l| l.goods_code = Some("1".into())), "discount_match /invoice/lines/1/goods_code"),
        (discount(|l| l.unit = "包".into()), "discount_fields /invoice/lines/1/unit"),
        (discount(|l| l.specification = "A4".into()), "discount_fields /invoice/lines/1/specification"),
        (discount(|l| l.quantity = Some("1".into())), "discount_fields /invoice/lines/1/quantity"),
        (
            issue("026", vec![deducted.clone(), line("b", None, "1.00", "0.06", "0.06")], ("978.36", "22.70", "1001.06")),
            "deduction /invoice/lines/0/deduction",
        ),
        (with(first(), |i| i.totals.tax = "26.01".into()), "total_gross /invoice/totals/gross"),
    ]
}

#[test]
fn each_breach_is_named_with_its_place_and_alone() {
    for (submission, expected) in cases() {
        let found = breaches(&submission);
        // A total that is off is off against two things.
        let alone: Vec<_> = found.iter().filter(|breach| !breach.starts_with("total_tax")).collect();
        assert_eq!(alone, [expected], "{found:?}");
    }
}

#[test]
fn rates_that_break_the_tax_as_well_are_named_too() {
    let zero = on_line(|line| line.rate = "0".into());
    assert!(breaches(&zero).contains(&"line_tax /invoice/lines/0/tax".to_owned()));
    // Within the tolerance of a line, but a zero rate has no tax at all.
    let small = issue("025", vec![line("a", None, "10.00", "0", "0.05")], ("10.00", "0.05", "10.05"));
    assert_eq!(breaches(&small), ["line_tax /invoice/lines/0/tax"]);
}

#[test]
fn signs_of_blue_and_red_are_opposite() {
    let negative = line("a", Some(("-2", "100")), "-200.00", "0.13", "-26.00");
    let totals = ("-200.00", "-26.00", "-226.00");
    assert_eq!(breaches(&red("025", vec![negative.clone()], totals)), Vec::<String>::new());
    assert_eq!(
        breaches(&issue("025", vec![negative], totals)),
        [
            "line_sign /invoice/lines/0/net",
            "line_sign /invoice/lines/0/tax",
            "quantity /invoice/lines/0/quantity",
            "total_sign /invoice/totals/gross"
        ]
    );
    let positive = first().invoice.unwrap();
    assert_eq!(
        breaches(&red("025", positive.lines, ("200.00", "26.00", "226.00"))),
        [
            "line_sign /invoice/lines/0/net",
            "line_sign /invoice/lines/0/tax",
            "quantity /invoice/lines/0/quantity",
            "total_sign /invoice/totals/gross"
        ]
    );
    let minus_times_minus =
        issue("025", vec![line("a", Some(("-2", "-100")), "200.00", "0.13", "26.00")], ("200.00", "26.00", "226.00"));
    assert_eq!(breaches(&minus_times_minus), ["quantity /invoice/lines/0/quantity", "price /invoice/lines/0/price"]);
    let nothing = issue("025", vec![line("a", None, "0.00", "0.13", "0.00")], ("0.00", "0.00", "0.00"));
    assert_eq!(breaches(&nothing), ["line_sign /invoice/lines/0/net", "total_sign /invoice/totals/gross"]);
    let no_red = red("025", vec![line("a", None, "0.00", "0.13", "0.00")], ("0.00", "0.00", "0.00"));
    assert_eq!(breaches(&no_red), ["line_sign /invoice/lines/0/net", "total_sign /invoice/totals/gross"]);
    let zero_quantity = on_line(|line| line.quantity = Some("0".into()));
    assert_eq!(breaches(&zero_quantity), ["quantity /invoice/lines/0/quantity", "product /invoice/lines/0/net"]);
}

#[test]
fn a_red_may_reverse_a_line_without_its_discount_and_old_discount_names() {
    let alone = of_kind("discounted", line("纸", Some(("-1", "5")), "-5.00", "0.13", "-0.65"));
    let normal = line("笔", None, "-5.00", "0.13", "-0.65");
    let lines = vec![alone.clone(), normal];
    assert_eq!(breaches(&red("025", lines, ("-10.00", "-1.30", "-11.30"))), Vec::<String>::new());
    assert_eq!(breaches(&red("025", vec![alone.clone()], ("-5.00", "-0.65", "-5.65"))), ["discount_place /invoice/lines/0/kind"]);
    let old = of_kind("discount", line("折扣行数1(20%)", None, "1.00", "0.13", "0.13"));
    assert_eq!(breaches(&red("025", vec![alone, old], ("-4.00", "-0.52", "-4.52"))), Vec::<String>::new());
}

#[test]
fn the_tax_of_all_lines_may_drift_by_one_yuan_27() {
    // Each line is 0.05 above the unrounded tax: 25 lines are 1.25 off, 26 are 1.30.
    let of = |count: usize, totals| issue("026", vec![line("a", None, "1.00", "0.13", "0.18"); count], totals);
    assert_eq!(breaches(&of(25, ("25.00", "4.50", "29.50"))), Vec::<String>::new());
    assert_eq!(breaches(&of(26, ("26.00", "4.68", "30.68"))), ["total_tax /invoice/totals/tax"]);
}

#[test]
fn a_deduction_is_part_of_its_line() {
    let of = |deduction: &str, tax: &str, net: &str| {
        let line = LineBody { deduction: Some(deduction.into()), ..line("a", None, net, "0.06", tax) };
        issue("026", vec![line], (net, tax, "1000.00"))
    };
    assert_eq!(breaches(&of("600.00", "22.64", "977.36")), Vec::<String>::new());
    assert_eq!(breaches(&of("600.00", "56.60", "943.40")), ["line_tax /invoice/lines/0/tax", "total_tax /invoice/totals/tax"]);
    assert!(breaches(&of("1000.01", "0.00", "1000.00")).contains(&"deduction /invoice/lines/0/deduction".to_owned()));
    assert!(breaches(&of("-1.00", "56.60", "943.40")).contains(&"deduction /invoice/lines/0/deduction".to_owned()));
}

#[test]
fn all_breaches_come_at_once() {
    let mut submission = with(first(), |invoice| {
        invoice.buyer.name.clear();
        invoice.remark = "\u{0}".into();
        invoice.lines.push(line("b", Some(("1", "1")), "x", "2", "0.13"));
        invoice.lines[0].tax = "27.00".into();
        invoice.totals.gross = "1".into();
    });
    submission.seller = "x".into();
    submission.serial = "?".into();
    submission.kind = "999".into();
    assert_eq!(
        breaches(&submission),
        [
            "taxpayer_number /seller",
            "serial_number /serial",
            "kind /kind",
            "missing /invoice/buyer/name",
            "amount /invoice/lines/1/net",
            "rate /invoice/lines/1/rate",
            "control_character /invoice/remark",
            "line_tax /invoice/lines/0/tax",
            "total_gross /invoice/totals/gross",
        ]
    );
}

#[test]
fn bounds_hold_for_what_is_too_much() {
    let many = issue("026", vec![line("a", None, "x", "0.13", "0.13"); 5000], ("1", "1", "2"));
    let found = rules::parse(&many).unwrap_err();
    assert!(found.len() <= 1 + 2 * rules::LINES_MAX, "{}", found.len());
    assert_eq!(found[0].code, "too_many_lines");
    // The lines beyond the bound are not looked at, so nothing is said of the sums.
    let one_more = issue("026", vec![line("a", None, "1.00", "0.13", "0.13"); 101], ("101.00", "13.13", "114.13"));
    assert_eq!(breaches(&one_more), ["too_many_lines /invoice/lines"]);
    let none = issue("026", vec![], ("0.00", "0.00", "0.00"));
    assert_eq!(breaches(&none), ["no_lines /invoice/lines", "total_sign /invoice/totals/gross"]);
    // Sums beyond the range of an amount are still sums.
    let huge =
        issue("026", vec![line("a", None, "99999999999.99", "0", "0.00"); 2], ("99999999999.99", "0.00", "99999999999.99"));
    assert_eq!(breaches(&huge), ["total_net /invoice/totals/net"]);
}

#[test]
fn each_switch_turns_its_rule_off_and_no_other() {
    let all = RuleSet::default();
    let deducted = LineBody { deduction: Some("600".into()), ..line("a", None, "977.36", "0.06", "22.64") };
    let oil = LineBody { goods_code: Some("1070101010200000000".into()), ..line("汽油", None, "1.00", "0.13", "0.13") };
    let cases = [
        (RuleSet { taxpayer_letters: false, ..all }, JobSubmission { seller: "11010512345678O".into(), ..first() }),
        (RuleSet { special_buyer: false, ..all }, JobSubmission { kind: "004".into(), ..first() }),
        (
            RuleSet { kind_lines: false, ..all },
            issue("025", vec![line("a", None, "1.00", "0.13", "0.13"); 26], ("26.00", "3.38", "29.38")),
        ),
        (
            RuleSet { single_deduction: false, ..all },
            issue("026", vec![deducted, line("b", None, "1.00", "0.06", "0.06")], ("978.36", "22.70", "1001.06")),
        ),
        (RuleSet { oil: false, ..all }, issue("026", vec![oil], ("1.00", "0.13", "1.13"))),
        (
            RuleSet { zero_rate_without_tax: false, ..all },
            issue("025", vec![line("a", None, "10.00", "0", "0.05")], ("10.00", "0.05", "10.05")),
        ),
        (
            RuleSet { electronic_not_voided: false, ..all },
            JobSubmission { operation: Operation::Void, kind: "026".into(), original: pair(), invoice: None, ..first() },
        ),
    ];
    for (index, (rules, submission)) in cases.iter().enumerate() {
        assert!(rules::parse_with(submission, rules).is_ok(), "case {index}: {:?}", rules::parse_with(submission, rules));
        for (other, (others, _)) in cases.iter().enumerate() {
            assert_eq!(rules::parse_with(submission, others).is_ok(), other == index, "case {index} under the switch of {other}");
        }
    }
}

#[test]
fn an_agent_reads_what_the_broker_let_through() {
    let blue = first().invoice.unwrap();
    assert!(rules::parse_invoice(&blue, InvoiceKind::Roll).is_ok());
    let negative = line("a", Some(("-2", "100")), "-200.00", "0.13", "-26.00");
    let reversed = red("025", vec![negative], ("-200.00", "-26.00", "-226.00")).invoice.unwrap();
    assert!(rules::parse_invoice(&reversed, InvoiceKind::Roll).is_ok());
    let off = with(first(), |invoice| invoice.totals.gross = "226.01".into()).invoice.unwrap();
    assert_eq!(rules::parse_invoice(&off, InvoiceKind::Roll).unwrap_err()[0].pointer, "/invoice/totals/gross");
    let zero = on_line(|line| line.rate = "0".into()).invoice.unwrap();
    assert_eq!(rules::parse_invoice(&zero, InvoiceKind::PaperSpecial).unwrap_err()[0].code, "special_zero_rate");
}

#[test]
fn the_key_is_read_whatever_the_rest_is() {
    let submission = JobSubmission { kind: "nonsense".into(), invoice: None, ..first() };
    assert_eq!(rules::parse_key(&submission).unwrap().to_string(), "91110000MA0000001L/NW10248");
    assert_eq!(rules::parse_key(&JobSubmission::default()).unwrap_err().len(), 2);
}

#[test]
fn rule_codes_are_unique() {
    let codes: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
    assert_eq!(codes.len(), Rule::ALL.len());
}

#[test]
fn every_text_is_looked_at() {
    let base = serde_json::to_value(with(first(), |invoice| invoice.buyer.taxpayer_number = Some(BUYER.into()))).unwrap();
    let texts = ["buyer/name", "buyer/address_phone", "buyer/bank_account", "remark", "clerk", "payee", "reviewer"];
    let of_line = ["name", "specification", "unit"];
    let pointers =
        texts.iter().map(|text| format!("/invoice/{text}")).chain(of_line.iter().map(|text| format!("/invoice/lines/0/{text}")));
    for pointer in pointers {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let mut value = base.clone();
        value.pointer_mut(parent).unwrap()[field] = "a\tb".into();
        let submission: JobSubmission = serde_json::from_value(value).unwrap();
        assert_eq!(breaches(&submission), [format!("control_character {pointer}")]);
    }
}

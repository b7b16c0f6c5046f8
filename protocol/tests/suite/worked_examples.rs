//! The worked table of invoice-rules.md, section 13: each row accepted as it stands, and its derived values worked out.

use taxdisk_protocol::api::{JobSubmission, LineBody};
use taxdisk_protocol::calc::{self, Taxed};
use taxdisk_protocol::invoice::LineKind;
use taxdisk_protocol::money::{Amount, TaxRate};
use taxdisk_protocol::rules;

use crate::making::{breaches, discount_pair, first, issue, line, of_kind, red, with};

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn rate(text: &str) -> TaxRate {
    text.parse().unwrap()
}

fn taxed(net: &str, tax: &str) -> Option<Taxed> {
    Some(Taxed { net: amount(net), tax: amount(tax) })
}

fn accepted(submission: &JobSubmission) {
    assert_eq!(breaches(submission), Vec::<String>::new());
    let invoice = rules::parse(submission).unwrap().invoice.unwrap();
    assert_eq!(calc::totals(&invoice.lines), Some(invoice.totals), "the totals are not what the lines give");
}

#[test]
fn row_1_exclusive() {
    assert_eq!(calc::exclusive(amount("200.00"), rate("0.13")), taxed("200.00", "26.00"));
    accepted(&first());
}

#[test]
fn row_2_inclusive_exact() {
    assert_eq!(calc::inclusive(amount("113.00"), rate("0.13")), taxed("100.00", "13.00"));
    accepted(&issue("025", vec![line("a", Some(("1", "100")), "100.00", "0.13", "13.00")], ("100.00", "13.00", "113.00")));
}

#[test]
fn row_3_inclusive_rounded() {
    assert_eq!(calc::inclusive(amount("100.00"), rate("0.13")), taxed("88.50", "11.50"));
    accepted(&issue("025", vec![line("a", Some(("1", "88.50")), "88.50", "0.13", "11.50")], ("88.50", "11.50", "100.00")));
}

#[test]
fn row_4_inclusive_with_quantity() {
    assert_eq!(calc::inclusive(amount("29.70"), rate("0.13")), taxed("26.28", "3.42"));
    assert_eq!(calc::unit_price(amount("26.28"), "3".parse().unwrap(), 8).unwrap().to_string(), "8.76");
    for price in ["8.76000000", "8.76106195"] {
        accepted(&issue("025", vec![line("a", Some(("3", price)), "26.28", "0.13", "3.42")], ("26.28", "3.42", "29.70")));
    }
}

#[test]
fn rows_5_and_6_other_rates() {
    assert_eq!(calc::exclusive(amount("1000.00"), rate("0.09")), taxed("1000.00", "90.00"));
    accepted(&issue("025", vec![line("a", None, "1000.00", "0.09", "90.00")], ("1000.00", "90.00", "1090.00")));
    assert_eq!(calc::inclusive(amount("500.00"), rate("0.06")), taxed("471.70", "28.30"));
    accepted(&issue("025", vec![line("a", Some(("1", "471.70")), "471.70", "0.06", "28.30")], ("471.70", "28.30", "500.00")));
}

#[test]
fn rows_7_and_8_zero_rates() {
    let zero = |mark: &str, quantity_price, net| LineBody {
        zero_rate: Some(mark.into()),
        ..line("a", Some(quantity_price), net, "0", "0.00")
    };
    for mark in ["ordinary", "export"] {
        accepted(&issue("025", vec![zero(mark, ("4", "200"), "800.00")], ("800.00", "0.00", "800.00")));
    }
    accepted(&issue("026", vec![zero("exempt", ("1", "60"), "60.00")], ("60.00", "0.00", "60.00")));
    let special = with(issue("004", vec![zero("export", ("4", "200"), "800.00")], ("800.00", "0.00", "800.00")), |invoice| {
        invoice.buyer.taxpayer_number = Some(crate::making::BUYER.into());
        invoice.buyer.address_phone = "上海 1".into();
        invoice.buyer.bank_account = "银行 1".into();
    });
    assert_eq!(breaches(&special), ["special_zero_rate /invoice/lines/0/rate"]);
}

#[test]
fn row_9_discount_pair_and_its_merged_line() {
    let submission = issue("025", discount_pair(), ("900.00", "117.00", "1017.00"));
    accepted(&submission);
    let lines = rules::parse(&submission).unwrap().invoice.unwrap().lines;
    let merged = calc::merged_lines(&lines, 3).unwrap();
    assert_eq!(merged.len(), 1);
    assert_eq!((merged[0].net, merged[0].tax, merged[0].kind), (amount("900.00"), amount("117.00"), LineKind::Normal));
    assert_eq!(merged[0].price.unwrap().to_string(), "90");
    assert_eq!(merged[0].quantity, lines[0].quantity);
    assert_eq!(calc::merged_lines(&lines[1..], 3), None, "a discount alone");
    let twice = [lines.clone(), lines[1..].to_vec()].concat();
    assert_eq!(calc::merged_lines(&twice, 3), None, "two discounts");
}

#[test]
fn row_10_the_head_is_the_sum_of_the_lines() {
    assert_eq!(calc::inclusive(amount("0.99"), rate("0.13")), taxed("0.88", "0.11"));
    let lines = vec![line("a", Some(("1", "0.88")), "0.88", "0.13", "0.11"); 3];
    accepted(&issue("025", lines.clone(), ("2.64", "0.33", "2.97")));
    let recomputed = issue("025", lines, ("2.63", "0.34", "2.97"));
    assert_eq!(breaches(&recomputed), ["total_net /invoice/totals/net", "total_tax /invoice/totals/tax"]);
}

#[test]
fn row_11_half_a_cent_goes_up() {
    assert_eq!(calc::exclusive(amount("0.50"), rate("0.09")), taxed("0.50", "0.05"));
    assert_eq!(calc::exclusive(amount("-0.50"), rate("0.09")), taxed("-0.50", "-0.05"));
    let lines =
        vec![line("a", Some(("1", "0.5")), "0.50", "0.09", "0.05"), line("b", Some(("2", "100")), "200.00", "0.13", "26.00")];
    accepted(&issue("025", lines, ("200.50", "26.05", "226.55")));
}

#[test]
fn row_12_deduction() {
    assert_eq!(calc::deducted(amount("1000.00"), amount("600.00"), rate("0.06")), taxed("977.36", "22.64"));
    assert_eq!(calc::deducted(amount("1000.00"), amount("600.00"), rate("0.05")), taxed("980.95", "19.05"));
    for (net, rate, tax) in [("977.36", "0.06", "22.64"), ("980.95", "0.05", "19.05")] {
        let line = LineBody { deduction: Some("600.00".into()), ..line("劳务派遣", None, net, rate, tax) };
        accepted(&issue("026", vec![line], (net, tax, "1000.00")));
    }
}

#[test]
fn row_13_full_red() {
    let lines = vec![
        of_kind("discounted", line("打印纸", Some(("-10", "100")), "-1000.00", "0.13", "-130.00")),
        of_kind("discount", line("打印纸", None, "100.00", "0.13", "13.00")),
    ];
    let submission = red("025", lines, ("-900.00", "-117.00", "-1017.00"));
    accepted(&submission);
    let job = rules::parse(&submission).unwrap();
    assert_eq!(job.original.unwrap().to_string(), "011002000107 00000088");
    assert_eq!(calc::merged_lines(&job.invoice.unwrap().lines, 3).unwrap()[0].price.unwrap().to_string(), "90");
}

#[test]
fn row_14_refined_oil() {
    assert_eq!(calc::inclusive(amount("300.00"), rate("0.13")), taxed("265.49", "34.51"));
    assert_eq!(calc::unit_price(amount("265.49"), "40".parse().unwrap(), 8).unwrap().to_string(), "6.63725");
    accepted(&issue("026", vec![oil()], ("265.49", "34.51", "300.00")));
}

fn oil() -> LineBody {
    LineBody {
        unit: "升".into(),
        goods_code: Some("1070101010200000000".into()),
        ..line("92号汽油", Some(("40", "6.63725000")), "265.49", "0.13", "34.51")
    }
}

// The negative tests of the same section.

#[test]
fn tax_off_by_more_than_six_fen_is_refused_and_six_need_their_head() {
    let off =
        |tax: &str, gross: &str| issue("025", vec![line("a", Some(("2", "100")), "200.00", "0.13", tax)], ("200.00", tax, gross));
    assert_eq!(breaches(&off("26.07", "226.07")), ["line_tax /invoice/lines/0/tax"]);
    assert_eq!(breaches(&off("25.93", "225.93")), ["line_tax /invoice/lines/0/tax"]);
    accepted(&off("26.06", "226.06"));
    assert_eq!(breaches(&off("26.06", "226.00")), ["total_gross /invoice/totals/gross"]);
}

#[test]
fn discounts_out_of_place_or_size_are_refused() {
    let mut larger = discount_pair();
    larger[1].net = "-1000.01".into();
    larger[1].tax = "-130.00".into();
    assert!(breaches(&issue("025", larger, ("-0.01", "0.00", "-0.01"))).contains(&"discount_size /invoice/lines/1/net".into()));

    let pair = discount_pair();
    let swapped = vec![pair[1].clone(), pair[0].clone()];
    assert_eq!(
        breaches(&issue("025", swapped, ("900.00", "117.00", "1017.00"))),
        ["discount_place /invoice/lines/0/kind", "discount_place /invoice/lines/1/kind"]
    );
    let twice = vec![pair[0].clone(), pair[1].clone(), pair[1].clone()];
    assert_eq!(breaches(&issue("025", twice, ("800.00", "104.00", "904.00"))), ["discount_place /invoice/lines/2/kind"]);
    let alone = vec![pair[0].clone()];
    assert_eq!(breaches(&issue("025", alone, ("1000.00", "130.00", "1130.00"))), ["discount_place /invoice/lines/0/kind"]);
    let without = vec![pair[0].clone(), LineBody { kind: None, ..pair[0].clone() }];
    assert_eq!(breaches(&issue("025", without, ("2000.00", "260.00", "2260.00"))), ["discount_place /invoice/lines/0/kind"]);
}

#[test]
fn oil_in_barrels_on_nine_lines_or_with_paper_is_refused() {
    let totals = ("265.49", "34.51", "300.00");
    let barrel = LineBody { unit: "桶".into(), ..oil() };
    assert_eq!(breaches(&issue("026", vec![barrel], totals)), ["oil /invoice/lines/0/unit"]);
    let nine = issue("026", vec![oil(); 9], ("2389.41", "310.59", "2700.00"));
    assert_eq!(breaches(&nine), ["oil /invoice/lines"]);
    let mixed = vec![oil(), line("打印纸", Some(("2", "100")), "200.00", "0.13", "26.00")];
    assert_eq!(breaches(&issue("026", mixed, ("465.49", "60.51", "526.00"))), ["oil /invoice/lines/1/goods_code"]);
    let uncounted = LineBody { quantity: None, price: None, ..oil() };
    assert_eq!(breaches(&issue("026", vec![uncounted], totals)), ["oil /invoice/lines/0/quantity"]);
}

#[test]
fn a_total_one_fen_off_is_refused() {
    let off = with(first(), |invoice| invoice.totals.net = "200.01".into());
    assert_eq!(breaches(&off), ["total_gross /invoice/totals/gross", "total_net /invoice/totals/net"]);
}

#[test]
fn price_times_quantity_may_miss_by_one_fen_and_no_more() {
    let of = |price: &str| issue("025", vec![line("a", Some(("3", price)), "10.00", "0.13", "1.30")], ("10.00", "1.30", "11.30"));
    accepted(&of("3.33"));
    assert_eq!(breaches(&of("3.32")), ["product /invoice/lines/0/net"]);
    let two_fen = issue("025", vec![line("a", Some(("2", "4.99")), "10.00", "0.13", "1.30")], ("10.00", "1.30", "11.30"));
    assert_eq!(breaches(&two_fen), ["product /invoice/lines/0/net"]);
    // Far off in the product, yet the price is net ÷ quantity at eight decimals.
    let many = line("a", Some(("30000000", "0.00000033")), "10.00", "0.13", "1.30");
    accepted(&issue("025", vec![many], ("10.00", "1.30", "11.30")));
}

#[test]
fn a_serial_of_21_characters_is_refused() {
    let submission = JobSubmission { serial: "A".repeat(21), ..first() };
    assert_eq!(breaches(&submission), ["serial_number /serial"]);
}

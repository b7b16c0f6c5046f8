//! The mapping against the whole sample, with the amounts computed a second time in integers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Widths};
use taxdisk_protocol::{gbk, mark, rules};

use super::*;

const ORDERS: &str = include_str!("../../../demo/northwind-orders.jsonl");

fn choices() -> Choices {
    Choices {
        seller: "91110000MA0000001L".to_owned(),
        kind: "025".to_owned(),
        issue_point: None,
        priority: Priority::Bulk,
        clerk: "收银员".to_owned(),
    }
}

fn orders() -> Vec<Order> {
    ORDERS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn gbk_width(text: &str) -> usize {
    gbk::width(text).unwrap_or_else(|| panic!("{text} is not in GBK"))
}

/// The serial converter: the narrowest disk that there is, with the ten lines that it is shipped with.
fn serial_disk(max_lines: u16) -> Capabilities {
    Capabilities {
        characters: CharacterSet::Gbk,
        widths: Widths {
            party_name: 80,
            taxpayer_number: 20,
            address_phone: None,
            bank_account: None,
            item_name: 20,
            specification: None,
            unit: None,
            remark: 80,
            person: 20,
            amount: 12,
            price: 12,
        },
        max_lines,
        discount_lines: false,
        goods_codes: false,
        price_decimals: 3,
        rate_decimals: 4,
        single_person: true,
        remark_readable: true,
        carries_pair: false,
        red: true,
        operations: vec![DiskOperation::Void],
        finds_request: false,
        numbers_readable: true,
    }
}

#[test]
fn item_names_are_complete_unique_and_narrow() {
    let products: BTreeSet<String> = orders().into_iter().flat_map(|o| o.lines).map(|l| l.product).collect();
    assert_eq!(products.len(), 77);
    assert_eq!(products, ITEMS.keys().map(|&k| k.to_owned()).collect());
    let rows = include_str!("../../../demo/northwind-items.tsv").lines().skip(1).count();
    assert_eq!(rows, ITEMS.len(), "a product stands twice");
    let names: BTreeSet<_> = ITEMS.values().collect();
    assert_eq!(names.len(), ITEMS.len(), "two products share a name");
    for name in names {
        assert!((1..=20).contains(&gbk_width(name)), "{name} is too wide");
    }
}

/// An integer of `text` at `scale` decimals, by moving the point: no decimal type involved.
fn scaled(text: &str, scale: usize) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= scale);
    format!("{whole}{fraction:0<scale$}").parse().unwrap()
}

/// Division that rounds half away from zero, for values that are not negative.
fn divide_half_up(value: i128, by: i128) -> i128 {
    (2 * value + by) / (2 * by)
}

#[test]
fn every_order_has_exact_amounts_computed_by_another_way() {
    let orders = orders();
    assert_eq!(orders.len(), 830);
    let (mut all_net, mut all_tax, mut all_lines) = (0, 0, 0);
    for order in &orders {
        let invoice = submission(order, &choices()).unwrap().invoice.unwrap();
        let (mut net_fen, mut tax_fen) = (0, 0);
        for (source, line) in order.lines.iter().zip(&invoice.lines) {
            // Price in thousandths, from hundredths of yuan times hundredths left after the discount.
            let price = divide_half_up(scaled(&source.unit_price, 2) * (100 - scaled(&source.discount, 2)), 10);
            let net = divide_half_up(price * scaled(&source.quantity, 0), 10);
            let percent = match source.category.as_str() {
                "Beverages" | "Condiments" | "Confections" => 13,
                _ => 9,
            };
            let tax = divide_half_up(net * percent, 100);
            assert_eq!(scaled(line.price.as_ref().unwrap(), 3), price, "{}", order.order);
            assert_eq!(scaled(&line.net, 2), net, "{}", order.order);
            assert_eq!(scaled(&line.tax, 2), tax, "{}", order.order);
            assert_eq!(scaled(&line.rate, 2), percent);
            net_fen += net;
            tax_fen += tax;
        }
        assert_eq!(invoice.lines.len(), order.lines.len());
        assert_eq!(scaled(&invoice.totals.net, 2), net_fen);
        assert_eq!(scaled(&invoice.totals.tax, 2), tax_fen);
        assert_eq!(scaled(&invoice.totals.gross, 2), net_fen + tax_fen);
        all_net += net_fen;
        all_tax += tax_fen;
        all_lines += invoice.lines.len();
    }
    // docs/northwind.md states these.
    assert_eq!((orders.len(), all_lines, all_net, all_tax), (830, 2155, ALL_NET_FEN, ALL_TAX_FEN));
}

const ALL_NET_FEN: i128 = 126_579_416;
const ALL_TAX_FEN: i128 = 13_557_326;

#[test]
fn every_order_passes_the_rules_and_all_but_one_fit_a_serial_disk() {
    let mut too_long = Vec::new();
    for order in orders() {
        let mut job = submission(&order, &choices()).unwrap();
        crate::transliterate::job(&mut job);
        let job = rules::parse(&job).unwrap_or_else(|breaches| panic!("{}: {breaches:?}", order.order));
        let mark = mark::mark(&job.key);
        assert_eq!(rules::fits(&job, &serial_disk(25), Some(&mark)), [], "{}", order.order);
        if !rules::fits(&job, &serial_disk(10), Some(&mark)).is_empty() {
            too_long.push(order.order.clone());
        }
        for line in &job.invoice.unwrap().lines {
            let product = line.price.unwrap().decimal() * line.quantity.unwrap().decimal();
            assert!((product - line.net.decimal()).abs() <= Decimal::new(5, 3), "{}", order.order);
        }
    }
    assert_eq!(too_long, ["11077"]);
}

#[test]
fn names_outside_gbk_are_left_alone_unless_asked() {
    let mut refused = 0;
    for order in orders() {
        let job = submission(&order, &choices()).unwrap();
        assert_eq!(job.invoice.as_ref().unwrap().buyer.name, order.customer.name);
        let job = rules::parse(&job).unwrap();
        let breaches = rules::fits(&job, &serial_disk(25), None);
        assert!(breaches.iter().all(|breach| breach.pointer == "/invoice/buyer/name"), "{breaches:?}");
        refused += usize::from(!breaches.is_empty());
    }
    assert_eq!(refused, 73, "docs/northwind.md states how many");
}

#[test]
fn what_the_tables_do_not_know_is_refused() {
    let mut order = orders().remove(0);
    order.lines[1].product = "Haggis".to_owned();
    let error = submission(&order, &choices()).unwrap_err();
    assert!(error.to_string().contains("order 10248, line 2") && error.to_string().contains("Haggis"));
    let mut order = orders().remove(0);
    order.lines[0].category = "Toys".to_owned();
    assert!(matches!(submission(&order, &choices()), Err(MapError::Category { line: 1, .. })));
    for (field, bad) in
        [("quantity", "-1"), ("quantity", "1e3"), ("unit_price", ""), ("unit_price", "99999999"), ("discount", "1")]
    {
        let mut order = orders().remove(0);
        match field {
            "quantity" => order.lines[0].quantity = bad.to_owned(),
            "unit_price" => order.lines[0].unit_price = bad.to_owned(),
            _ => order.lines[0].discount = bad.to_owned(),
        }
        assert!(matches!(submission(&order, &choices()), Err(MapError::Number { line: 1, .. })), "{field} {bad}");
    }
}

#[test]
fn the_first_order_is_the_one_of_the_documentation() {
    let job = submission(&orders()[0], &choices()).unwrap();
    assert_eq!(job.serial, "NW10248");
    let invoice = job.invoice.unwrap();
    assert_eq!(invoice.remark, "订单 10248");
    assert_eq!(invoice.lines[0].name, "卡布拉莱斯奶酪");
    assert_eq!(invoice.totals, TotalsBody { net: "440.00".into(), tax: "39.60".into(), gross: "479.60".into() });
}

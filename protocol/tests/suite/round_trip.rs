//! Whatever invoice the calculation makes, the rules take it, and text and domain form are two sides of one thing.

use proptest::prelude::*;
use taxdisk_protocol::api::LineBody;
use taxdisk_protocol::calc;
use taxdisk_protocol::hash::content;
use taxdisk_protocol::invoice::{Buyer, Invoice, Line, LineKind};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::{Amount, Price, Quantity, TaxRate};
use taxdisk_protocol::rules::{self, Rule};

use crate::making::{breaches, first, issue, red, serial_converter, xml_disk};

fn made_line(fen: i64, quantity: Option<u32>, rate: &str, inclusive: bool, name: String, discount_fen: i64) -> Vec<Line> {
    let amount = Amount::from_fen(fen).unwrap();
    let rate: TaxRate = rate.parse().unwrap();
    let taxed = if inclusive { calc::inclusive(amount, rate) } else { calc::exclusive(amount, rate) }.unwrap();
    let quantity: Option<Quantity> = quantity.map(|quantity| quantity.to_string().parse().unwrap());
    let price: Option<Price> = quantity.map(|quantity| calc::unit_price(taxed.net, quantity, 8).unwrap());
    let line = Line {
        kind: LineKind::Normal,
        name,
        goods_code: None,
        specification: String::new(),
        unit: String::new(),
        quantity,
        price,
        net: taxed.net,
        rate,
        tax: taxed.tax,
        zero_rate: None,
        deduction: None,
    };
    if discount_fen == 0 || discount_fen >= taxed.net.fen() {
        return vec![line];
    }
    let off = calc::exclusive(Amount::from_fen(-discount_fen).unwrap(), rate).unwrap();
    let discount = Line { kind: LineKind::Discount, quantity: None, price: None, net: off.net, tax: off.tax, ..line.clone() };
    vec![Line { kind: LineKind::Discounted, ..line }, discount]
}

prop_compose! {
    fn any_lines()(
        fen in 100_i64..100_000_000,
        quantity in proptest::option::of(1_u32..10_000),
        rate in prop::sample::select(vec!["0.13", "0.09", "0.06", "0.03", "0.01", "0"]),
        inclusive in any::<bool>(),
        name in "[a-zA-Z\u{4e00}-\u{4eff}]{1,20}",
        discount_fen in prop_oneof![Just(0_i64), 1_i64..1_000],
    ) -> Vec<Line> {
        made_line(fen, quantity, rate, inclusive, name, discount_fen)
    }
}

prop_compose! {
    fn any_invoice()(groups in proptest::collection::vec(any_lines(), 1..8), remark in "[a-z ]{0,20}") -> Invoice {
        let lines = groups.concat();
        let totals = calc::totals(&lines).unwrap();
        let buyer = Buyer {
            name: "个人".into(),
            taxpayer_number: None,
            address_phone: String::new(),
            bank_account: String::new(),
        };
        Invoice { buyer, lines, totals, remark, clerk: "张三".into(), payee: String::new(), reviewer: String::new(), notice: String::new() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn made_invoices_are_taken_and_read_back_the_same(invoice in any_invoice()) {
        let body = invoice.to_body();
        let submission = taxdisk_protocol::api::JobSubmission { invoice: Some(body.clone()), ..first() };
        prop_assert_eq!(breaches(&submission), Vec::<String>::new());
        let job = rules::parse(&submission).unwrap();
        prop_assert_eq!(job.invoice.as_ref(), Some(&invoice));
        prop_assert_eq!(&rules::parse_invoice(&body, InvoiceKind::Roll).unwrap(), &invoice);
        prop_assert_eq!(rules::fits(&job, &xml_disk(), None), vec![]);
        // What a caller wrote and what we write of it are the same content.
        let again = taxdisk_protocol::api::JobSubmission { invoice: Some(job.invoice.unwrap().to_body()), ..submission.clone() };
        prop_assert_eq!(content(&again), content(&submission));
    }

    #[test]
    fn merging_pairs_keeps_every_sum(invoice in any_invoice()) {
        let merged = calc::merged_lines(&invoice.lines, 3).unwrap();
        prop_assert_eq!(calc::totals(&merged), Some(invoice.totals));
        prop_assert!(merged.iter().all(|line| line.kind == LineKind::Normal));
    }

    #[test]
    fn one_fen_anywhere_is_noticed(invoice in any_invoice(), place in any::<prop::sample::Index>(), up in any::<bool>()) {
        let mut invoice = invoice;
        let fen = Amount::from_fen(if up { 1 } else { -1 }).unwrap();
        let line = place.index(invoice.lines.len());
        let add = |amount: &mut Amount| *amount = amount.checked_add(fen).unwrap();
        match place.index(5) {
            0 => add(&mut invoice.lines[line].net),
            1 => add(&mut invoice.lines[line].tax),
            2 => add(&mut invoice.totals.net),
            3 => add(&mut invoice.totals.tax),
            _ => add(&mut invoice.totals.gross),
        }
        prop_assert!(rules::parse_invoice(&invoice.to_body(), InvoiceKind::Roll).is_err());
    }
}

fn edge() -> impl Strategy<Value = String> {
    let edges =
        ["99999999999.99", "-99999999999.99", "999999999999.99999999", "0.00000001", "-0.00000001", "0", "1", "0.0001", "x", ""];
    prop_oneof![prop::sample::select(edges.to_vec()).prop_map(str::to_owned), "\\PC{0,12}"]
}

prop_compose! {
    fn edge_line()(
        kind in prop::sample::select(vec!["normal", "discounted", "discount", "?"]),
        quantity in proptest::option::of(edge()),
        price in proptest::option::of(edge()),
        deduction in proptest::option::of(edge()),
        net in edge(), rate in edge(), tax in edge(), name in "\\PC{0,12}",
    ) -> LineBody {
        LineBody { kind: Some(kind.into()), name, quantity, price, deduction, net, rate, tax, ..LineBody::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is sent, there is an answer: a job or at least one breach, and every breach points to what was sent.
    #[test]
    fn nothing_that_is_sent_stops_the_rules(
        lines in proptest::collection::vec(edge_line(), 0..5),
        net in edge(), tax in edge(), gross in edge(), is_red in any::<bool>(),
    ) {
        let sent = if is_red { red("025", lines, (&net, &tax, &gross)) } else { issue("025", lines, (&net, &tax, &gross)) };
        match rules::parse(&sent) {
            Ok(job) => {
                rules::fits(&job, &xml_disk(), None);
                rules::fits(&job, &serial_converter(), Some("#0123ABCDE"));
            }
            Err(breaches) => {
                prop_assert!(!breaches.is_empty());
                for breach in breaches {
                    prop_assert!(Rule::ALL.iter().any(|rule| rule.code() == breach.code));
                    prop_assert!(breach.pointer.starts_with("/invoice/"), "{}", breach.pointer);
                }
            }
        }
    }
}

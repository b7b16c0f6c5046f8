//! Short ways to write a submission down.

use taxdisk_protocol::api::{BuyerBody, InvoiceBody, JobSubmission, LineBody, Operation, PairBody, TotalsBody};
use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Widths};
use taxdisk_protocol::rules;

pub(crate) const SELLER: &str = "91110000MA0000001L";
pub(crate) const BUYER: &str = "91310000MA00000025";

/// A plain line: `("2", "100")` for quantity and price, or nothing.
pub(crate) fn line(name: &str, quantity_price: Option<(&str, &str)>, net: &str, rate: &str, tax: &str) -> LineBody {
    LineBody {
        name: name.into(),
        quantity: quantity_price.map(|(quantity, _)| quantity.into()),
        price: quantity_price.map(|(_, price)| price.into()),
        net: net.into(),
        rate: rate.into(),
        tax: tax.into(),
        ..LineBody::default()
    }
}

pub(crate) fn of_kind(kind: &str, line: LineBody) -> LineBody {
    LineBody { kind: Some(kind.into()), ..line }
}

pub(crate) fn issue(kind: &str, lines: Vec<LineBody>, (net, tax, gross): (&str, &str, &str)) -> JobSubmission {
    JobSubmission {
        seller: SELLER.into(),
        serial: "NW10248".into(),
        kind: kind.into(),
        invoice: Some(InvoiceBody {
            buyer: BuyerBody { name: "测试买方有限公司".into(), ..BuyerBody::default() },
            lines,
            totals: TotalsBody { net: net.into(), tax: tax.into(), gross: gross.into() },
            clerk: "张三".into(),
            ..InvoiceBody::default()
        }),
        ..JobSubmission::default()
    }
}

pub(crate) fn red(kind: &str, lines: Vec<LineBody>, totals: (&str, &str, &str)) -> JobSubmission {
    let original = Some(PairBody { code: "011002000107".into(), number: "00000088".into() });
    JobSubmission { operation: Operation::Red, original, ..issue(kind, lines, totals) }
}

/// Example 1 of the worked table.
pub(crate) fn first() -> JobSubmission {
    issue("025", vec![line("打印纸", Some(("2", "100.00")), "200.00", "0.13", "26.00")], ("200.00", "26.00", "226.00"))
}

/// The lines of example 9: a discount pair.
pub(crate) fn discount_pair() -> Vec<LineBody> {
    vec![
        of_kind("discounted", line("打印纸", Some(("10", "100.00")), "1000.00", "0.13", "130.00")),
        of_kind("discount", line("打印纸", None, "-100.00", "0.13", "-13.00")),
    ]
}

/// Changes the content of a submission.
pub(crate) fn with(mut submission: JobSubmission, change: impl FnOnce(&mut InvoiceBody)) -> JobSubmission {
    change(submission.invoice.as_mut().unwrap());
    submission
}

/// `code pointer` of each breach; empty if there is none.
pub(crate) fn breaches(submission: &JobSubmission) -> Vec<String> {
    match rules::parse(submission) {
        Ok(_) => Vec::new(),
        Err(breaches) => breaches.into_iter().map(|breach| format!("{} {}", breach.code, breach.pointer)).collect(),
    }
}

/// What a serial converter can express (invoice-rules.md, section 7, column ZC).
pub(crate) fn serial_converter() -> Capabilities {
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
        max_lines: 10,
        discount_lines: false,
        goods_codes: false,
        price_decimals: 3,
        rate_decimals: 2,
        single_person: true,
        remark_readable: true,
        carries_pair: true,
        red: false,
        operations: vec![DiskOperation::Void],
        finds_request: false,
        numbers_readable: true,
    }
}

/// What a disk with an XML dialect can express.
pub(crate) fn xml_disk() -> Capabilities {
    Capabilities {
        widths: Widths {
            party_name: 100,
            address_phone: Some(100),
            bank_account: Some(100),
            item_name: 92,
            specification: Some(40),
            unit: Some(22),
            remark: 230,
            amount: 18,
            price: 21,
            ..serial_converter().widths
        },
        max_lines: 100,
        discount_lines: true,
        goods_codes: true,
        price_decimals: 8,
        rate_decimals: 4,
        single_person: false,
        red: true,
        ..serial_converter()
    }
}

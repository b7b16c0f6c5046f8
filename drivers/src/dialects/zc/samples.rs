//! Content of the vectors, for the tests. Made-up data.

#![allow(clippy::unwrap_used)]

use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::invoice::{Buyer, Invoice, Line, LineKind, Totals};
use taxdisk_protocol::money::Amount;

use crate::disk::Identity;

/// 打印纸, 2 × 100.000, 13 %.
pub(super) fn paper() -> Line {
    Line {
        kind: LineKind::Normal,
        name: "打印纸".to_owned(),
        goods_code: None,
        specification: String::new(),
        unit: String::new(),
        quantity: Some("2".parse().unwrap()),
        price: Some("100".parse().unwrap()),
        net: "200.00".parse().unwrap(),
        rate: "0.13".parse().unwrap(),
        tax: "26.00".parse().unwrap(),
        zero_rate: None,
        deduction: None,
    }
}

/// 技术服务费, 1 × 471.698, 6 %.
pub(super) fn service() -> Line {
    Line {
        name: "技术服务费".to_owned(),
        quantity: Some("1".parse().unwrap()),
        price: Some("471.698".parse().unwrap()),
        net: "471.70".parse().unwrap(),
        rate: "0.06".parse().unwrap(),
        tax: "28.30".parse().unwrap(),
        ..paper()
    }
}

/// An invoice with these lines and their sums.
pub(super) fn invoice(lines: Vec<Line>) -> Invoice {
    let sum =
        |pick: fn(&Line) -> Amount| lines.iter().map(pick).fold(Amount::ZERO, |left, right| left.checked_add(right).unwrap());
    let (net, tax) = (sum(|line| line.net), sum(|line| line.tax));
    let buyer = Buyer {
        name: "测试买方有限公司".to_owned(),
        taxpayer_number: Some(TaxpayerNumber::from_device("91310000MA00000027").unwrap()),
        address_phone: String::new(),
        bank_account: String::new(),
    };
    let totals = Totals { net, tax, gross: net.checked_add(tax).unwrap() };
    let (clerk, payee, reviewer) = ("张三".to_owned(), String::new(), String::new());
    Invoice { buyer, lines, totals, remark: String::new(), clerk, payee, reviewer, notice: String::new() }
}

/// The disk of the vectors.
pub(super) fn identity() -> Identity {
    Identity {
        disk: "499000123456".parse().unwrap(),
        taxpayer: TaxpayerNumber::from_device("91110000MA00000019").unwrap(),
        taxpayer_name: "示例商贸有限公司".to_owned(),
        kinds: vec![taxdisk_protocol::kind::InvoiceKind::Roll],
        clock: None,
        version: String::new(),
    }
}

//! Jobs for the tests.

use serde_json::{Value, json};

/// The seller that the rig's disk was issued to.
pub const SELLER: &str = "91110000MA0000001L";

/// A toll: buyer 个人, one line, 10.00 with 9 % tax in it. Equal for every serial number: only the serial tells them apart.
pub fn toll(serial: &str) -> Value {
    job(serial, "个人", "通行费", "9.17", "0.09", "0.83", "10.00")
}

/// A coffee.
pub fn coffee(serial: &str) -> Value {
    job(serial, "个人", "咖啡", "25.00", "0.13", "3.25", "28.25")
}

/// One line, quantity 1. The buyer is made unique by the serial, so that no two are equal.
pub fn distinct(serial: &str) -> Value {
    job(serial, &format!("客户{serial}"), "打印纸", "100.00", "0.13", "13.00", "113.00")
}

pub fn job(serial: &str, buyer: &str, item: &str, net: &str, rate: &str, tax: &str, gross: &str) -> Value {
    json!({
        "seller": SELLER, "serial": serial, "kind": "025",
        "invoice": {
            "buyer": {"name": buyer},
            "lines": [{"name": item, "quantity": "1", "price": net, "net": net, "rate": rate, "tax": tax}],
            "totals": {"net": net, "tax": tax, "gross": gross},
            "clerk": "张三",
        }
    })
}

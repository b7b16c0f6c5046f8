//! Turns the Northwind sample orders into jobs, as a shop's till would do it (`docs/northwind.md`).
//!
//! Everything here is exact decimal arithmetic and two committed tables. The mapping refuses what it does not know (a product
//! without an item name, a category without a rate) rather than guess on a legal document. It does not judge whether a disk
//! can express the result: the broker does. Read [`submission`] first.

mod tables;

pub use tables::{ITEMS, item_name, rate};

use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;
use taxdisk_protocol::api::{BuyerBody, InvoiceBody, JobSubmission, LineBody, Operation, Priority, TotalsBody};

/// Decimals of a price that the narrowest disk, the serial converter, can carry (its price field prints three).
pub const PRICE_DECIMALS: u32 = 3;

/// One order of the sample, as its JSON line says it. Unknown fields are refused: another file is not this sample.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Order number, five digits.
    pub order: String,
    /// Day of the order, `yyyy-mm-dd`. Not used: an invoice carries the disk's own clock.
    pub date: String,
    /// Who bought.
    pub customer: Customer,
    /// What was bought.
    pub lines: Vec<OrderLine>,
}

/// Who bought.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// Five letters.
    pub id: String,
    /// Name: the buyer on the invoice.
    pub name: String,
    /// Not used: a roll invoice prints no address.
    pub address: String,
    /// Not used.
    pub phone: String,
}

/// One line of an order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// Product name, the key of the item table.
    pub product: String,
    /// Category, the key of the rate table.
    pub category: String,
    /// Packing, such as `10 boxes x 30 bags`. Not used: the serial converter prints no unit.
    pub unit: String,
    /// List price, taken as tax-exclusive.
    pub unit_price: String,
    /// Pieces.
    pub quantity: String,
    /// Fraction off the list price, `0.15` for 15 %.
    pub discount: String,
}

/// What the person who imports may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// Taxpayer number of the seller.
    pub seller: String,
    /// Invoice kind.
    pub kind: String,
    /// Issue point, if any.
    pub issue_point: Option<String>,
    /// Waiting or bulk.
    pub priority: Priority,
    /// 开票人.
    pub clerk: String,
}

/// Why an order has no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The item table lacks the product.
    #[error("order {order}, line {line}: product {product:?} has no item name in demo/northwind-items.tsv; add a row")]
    Product {
        /// Order number.
        order: String,
        /// Line, from 1.
        line: usize,
        /// Product.
        product: String,
    },
    /// The rate table lacks the category.
    #[error("order {order}, line {line}: category {category:?} has no tax rate; docs/northwind.md lists those that have")]
    Category {
        /// Order number.
        order: String,
        /// Line, from 1.
        line: usize,
        /// Category.
        category: String,
    },
    /// A number cannot be read or is too large.
    #[error("order {order}, line {line}: {field} {text:?} is not a plain decimal in range")]
    Number {
        /// Order number.
        order: String,
        /// Line, from 1.
        line: usize,
        /// Field of the order line.
        field: &'static str,
        /// What stands there.
        text: String,
    },
}

/// The job of an order: serial number `NW` and the order number, one invoice line a product, discounts folded into the price.
///
/// The rule of amounts, in this order, every rounding half away from zero:
/// price = list price × (1 − discount), three decimals; net = price × quantity, two decimals; tax = net × rate, two decimals.
/// Rounding the price first makes price × quantity and net agree to half a fen on the narrowest disk.
///
/// # Errors
/// A product, category or number that the mapping does not know.
pub fn submission(order: &Order, choices: &Choices) -> Result<JobSubmission, MapError> {
    let mut lines = Vec::with_capacity(order.lines.len());
    let (mut net_sum, mut tax_sum) = (Decimal::ZERO, Decimal::ZERO);
    for (index, line) in order.lines.iter().enumerate() {
        let amounts = amounts(&order.order, index + 1, line)?;
        net_sum += amounts.net;
        tax_sum += amounts.tax;
        lines.push(amounts.body);
    }
    let totals = TotalsBody { net: money(net_sum), tax: money(tax_sum), gross: money(net_sum + tax_sum) };
    Ok(JobSubmission {
        seller: choices.seller.clone(),
        serial: format!("NW{}", order.order),
        operation: Operation::Issue,
        kind: choices.kind.clone(),
        issue_point: choices.issue_point.clone(),
        priority: choices.priority,
        original: None,
        invoice: Some(InvoiceBody {
            buyer: BuyerBody { name: order.customer.name.clone(), ..BuyerBody::default() },
            lines,
            totals,
            remark: format!("订单 {}", order.order),
            clerk: choices.clerk.clone(),
            payee: String::new(),
            reviewer: String::new(),
            notice: String::new(),
        }),
    })
}

struct LineAmounts {
    net: Decimal,
    tax: Decimal,
    body: LineBody,
}

fn amounts(order: &str, number: usize, line: &OrderLine) -> Result<LineAmounts, MapError> {
    let order = || order.to_owned();
    let decimal = |field: &'static str, text: &str| {
        let bad = || MapError::Number { order: order(), line: number, field, text: text.to_owned() };
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value = Decimal::from_str(text).map_err(|_| bad())?;
        // Far below what a decimal holds, far above what the sample has: no product of three of them can overflow.
        (plain && value.scale() <= 4 && value < Decimal::from(10_000_000)).then_some(value).ok_or_else(bad)
    };
    let name = item_name(&line.product).ok_or_else(|| MapError::Product {
        order: order(),
        line: number,
        product: line.product.clone(),
    })?;
    let rate = rate(&line.category).ok_or_else(|| MapError::Category {
        order: order(),
        line: number,
        category: line.category.clone(),
    })?;
    let quantity = decimal("quantity", &line.quantity)?;
    let discount = decimal("discount", &line.discount)?;
    if discount >= Decimal::ONE {
        return Err(MapError::Number { order: order(), line: number, field: "discount", text: line.discount.clone() });
    }
    let price = round(decimal("unit_price", &line.unit_price)? * (Decimal::ONE - discount), PRICE_DECIMALS);
    let net = round(price * quantity, 2);
    let tax = round(net * rate, 2);
    let body = LineBody {
        name: name.to_owned(),
        quantity: Some(quantity.normalize().to_string()),
        price: Some(price.normalize().to_string()),
        net: money(net),
        rate: rate.to_string(),
        tax: money(tax),
        ..LineBody::default()
    };
    Ok(LineAmounts { net, tax, body })
}

fn round(value: Decimal, decimals: u32) -> Decimal {
    value.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero)
}

fn money(value: Decimal) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests;

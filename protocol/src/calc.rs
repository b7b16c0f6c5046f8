//! The arithmetic of invoice lines in exact decimals, rounded half away from zero (invoice-rules.md, section 3).
//!
//! For programs that make invoices: a line from a net or from a gross amount, a deduction, totals, and the one line that a
//! discount pair becomes on a disk without discount lines. Nothing here decides whether a given invoice is right:
//! [`crate::rules`] does.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::invoice::{Line, LineKind, Totals};
use crate::money::{Amount, Price, Quantity, TaxRate};

/// Net amount and tax of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taxed {
    /// 金额, without tax.
    pub net: Amount,
    /// 税额.
    pub tax: Amount,
}

/// A line whose net amount is given: tax = net × rate, rounded. `None` when out of range.
pub fn exclusive(net: Amount, rate: TaxRate) -> Option<Taxed> {
    Some(Taxed { net, tax: Amount::round(unrounded_tax(net, rate, None))? })
}

/// A line whose gross amount is given: net = gross ÷ (1 + rate), rounded; the tax is the rest, so that the gross is kept
/// exactly. `None` when out of range.
pub fn inclusive(gross: Amount, rate: TaxRate) -> Option<Taxed> {
    let net = Amount::round(gross.decimal().checked_div(Decimal::ONE + rate.decimal())?)?;
    Some(Taxed { net, tax: gross.checked_sub(net)? })
}

/// A line with a deduction (差额征税): tax = (gross − deduction) ÷ (1 + rate) × rate, rounded; net is the rest. `None` when
/// out of range.
pub fn deducted(gross: Amount, deduction: Amount, rate: TaxRate) -> Option<Taxed> {
    let base = gross.checked_sub(deduction)?.decimal();
    let divisor = Decimal::ONE + rate.decimal();
    // Multiplied first: the quotient has no end, the product has.
    let tax = Amount::round(base.checked_mul(rate.decimal())?.checked_div(divisor)?)?;
    Some(Taxed { net: gross.checked_sub(tax)?, tax })
}

/// Price of one unit: net ÷ quantity, rounded to so many decimals. `None` when out of range, or the quantity is zero.
pub fn unit_price(net: Amount, quantity: Quantity, decimals: u32) -> Option<Price> {
    let quotient = net.decimal().checked_div(quantity.decimal())?;
    Price::new(quotient.round_dp_with_strategy(decimals.min(Price::MAX_DECIMALS), RoundingStrategy::MidpointAwayFromZero))
}

/// Sums of the lines. `None` when out of range.
pub fn totals(lines: &[Line]) -> Option<Totals> {
    let sum = |of: fn(&Line) -> Amount| lines.iter().try_fold(Amount::ZERO, |sum, line| sum.checked_add(of(line)));
    let (net, tax) = (sum(|line| line.net)?, sum(|line| line.tax)?);
    Some(Totals { net, tax, gross: net.checked_add(tax)? })
}

/// The lines as a disk without discount lines takes them: each discount pair becomes one line with the sums of both and the
/// price that follows from them, rounded to the decimals of the disk. `None` when a pair cannot be merged: the discount
/// stands alone, is as large as its line, or a value leaves its range.
pub fn merged_lines(lines: &[Line], price_decimals: u8) -> Option<Vec<Line>> {
    let mut merged: Vec<Line> = Vec::with_capacity(lines.len());
    for line in lines {
        if line.kind != LineKind::Discount {
            merged.push(line.clone());
            continue;
        }
        let above = merged.last_mut().filter(|above| above.kind == LineKind::Discounted)?;
        above.kind = LineKind::Normal;
        above.net = above.net.checked_add(line.net)?;
        above.tax = above.tax.checked_add(line.tax)?;
        if above.net == Amount::ZERO {
            return None;
        }
        if let Some(quantity) = above.quantity {
            above.price = Some(unit_price(above.net, quantity, u32::from(price_decimals))?);
        }
    }
    for line in &mut merged {
        // A red invoice may reverse a discounted line without its discount.
        line.kind = LineKind::Normal;
    }
    Some(merged)
}

/// Tax before rounding: (net − deduction) × rate.
pub(crate) fn unrounded_tax(net: Amount, rate: TaxRate, deduction: Option<Amount>) -> Decimal {
    // In range: 15 digits times 5 digits.
    (net.decimal() - deduction.unwrap_or(Amount::ZERO).decimal()) * rate.decimal()
}

//! The rules over one line by itself, and over lines and kind of invoice (invoice-rules.md, sections 3, 6, 7).

use rust_decimal::{Decimal, RoundingStrategy};

use super::parse::{Draft, at};
use super::{Breaches, Rule, RuleSet, limits};
use crate::calc;
use crate::invoice::{Line, LineKind};
use crate::kind::InvoiceKind;
use crate::money::Price;

/// How far a line's tax may be from net × rate, in fen.
const TAX_TOLERANCE_FEN: i64 = 6;
/// How far price × quantity may be from net, in fen.
const PRODUCT_TOLERANCE_FEN: i64 = 1;

/// A special invoice carries no rate 0, whatever else is switched off.
pub(super) fn check_kind(draft: &Draft, kind: InvoiceKind, found: &mut Breaches) {
    if !kind.is_special() {
        return;
    }
    for (index, line) in draft.known_lines() {
        if line.rate.decimal().is_zero() {
            let detail = format!("{} cannot carry the rate 0: use an ordinary invoice", kind.name());
            found.add(Rule::SpecialZeroRate, at(index, "rate"), detail);
        }
    }
}

/// The buyer of a special invoice is named in full.
pub(super) fn check_special(draft: &Draft, buyer_number_given: bool, kind: InvoiceKind, rules: &RuleSet, found: &mut Breaches) {
    if !rules.special_buyer || !kind.is_special() {
        return;
    }
    let buyer = &draft.buyer;
    let given = [
        ("taxpayer_number", buyer_number_given),
        ("address_phone", !buyer.address_phone.is_empty()),
        ("bank_account", !buyer.bank_account.is_empty()),
    ];
    for (field, _) in given.into_iter().filter(|(_, given)| !*given) {
        found.add(Rule::SpecialBuyer, format!("/invoice/buyer/{field}"), format!("{} needs the buyer's {field}", kind.name()));
    }
}

/// No more lines than the kind can show.
pub(super) fn check_count(count: usize, kind: InvoiceKind, rules: &RuleSet, found: &mut Breaches) {
    let most = limits::kind_lines(kind);
    // Above the bound of all kinds it was said already.
    if rules.kind_lines && count > most && count <= limits::LINES_MAX {
        let detail = format!("{count} lines; {} has at most {most}", kind.name());
        found.add(Rule::TooManyLines, "/invoice/lines", detail);
    }
}

/// The arithmetic and the signs of each line.
pub(super) fn check(draft: &Draft, is_red: bool, rules: &RuleSet, found: &mut Breaches) {
    let single = draft.lines.len() == 1;
    for (index, line) in draft.known_lines() {
        check_signs(index, line, is_red, found);
        check_product(index, line, found);
        check_tax(index, line, rules, found);
        check_deduction(index, line, single, rules, found);
    }
}

fn check_signs(index: usize, line: &Line, is_red: bool, found: &mut Breaches) {
    let must_be_positive = is_red == (line.kind == LineKind::Discount);
    let (net, tax) = (line.net.fen(), line.tax.fen());
    let what = if line.kind == LineKind::Discount { "a discount" } else { "a line" };
    let invoice = if is_red { "a red invoice" } else { "an invoice" };
    let side = if must_be_positive { "above" } else { "below" };
    if net == 0 || (net > 0) != must_be_positive {
        found.add(Rule::LineSign, at(index, "net"), format!("{} of {what} on {invoice} must be {side} zero", line.net));
    }
    if tax != 0 && (tax > 0) != must_be_positive {
        found.add(
            Rule::LineSign,
            at(index, "tax"),
            format!("{} of {what} on {invoice} must not be on this side of zero", line.tax),
        );
    }
    if let Some(quantity) = line.quantity
        && line.kind != LineKind::Discount
        && (quantity.decimal().is_zero() || (quantity.decimal() > Decimal::ZERO) == is_red)
    {
        let side = if is_red { "below" } else { "above" };
        found.add(Rule::Quantity, at(index, "quantity"), format!("{quantity}: a quantity on {invoice} must be {side} zero"));
    }
    if let Some(price) = line.price
        && price.decimal() <= Decimal::ZERO
    {
        found.add(Rule::Price, at(index, "price"), format!("{price}: a price must be above zero"));
    }
}

fn check_product(index: usize, line: &Line, found: &mut Breaches) {
    if line.kind == LineKind::Discount {
        return;
    }
    match (line.price, line.quantity) {
        (None, None) => {}
        (Some(_), None) => found.add(Rule::PriceQuantity, at(index, "quantity"), "a price needs a quantity"),
        (None, Some(_)) => found.add(Rule::PriceQuantity, at(index, "price"), "a quantity needs a price"),
        (Some(price), Some(quantity)) => {
            let (price, quantity, net) = (price.decimal(), quantity.decimal(), line.net.decimal());
            let product = price.checked_mul(quantity);
            let near = product.is_some_and(|product| (product - net).abs() <= Decimal::new(PRODUCT_TOLERANCE_FEN, 2));
            // A price of eight decimals may be rounded: then net ÷ quantity gives it back.
            let exact = || {
                let quotient = net.checked_div(quantity)?;
                let rounded = quotient.round_dp_with_strategy(Price::MAX_DECIMALS, RoundingStrategy::MidpointAwayFromZero);
                Some(rounded == price)
            };
            if !near && exact() != Some(true) {
                let product = product.map_or_else(|| "out of range".to_owned(), |product| product.normalize().to_string());
                let detail = format!("{price} × {quantity} is {product}, not {}", line.net);
                found.add(Rule::Product, at(index, "net"), detail);
            }
        }
    }
}

fn check_tax(index: usize, line: &Line, rules: &RuleSet, found: &mut Breaches) {
    let expected = calc::unrounded_tax(line.net, line.rate, line.deduction);
    if (expected - line.tax.decimal()).abs() > Decimal::new(TAX_TOLERANCE_FEN, 2) {
        let detail = format!("{} is not {} × {}: {:.2} ± 0.06 is expected", line.tax, line.net, line.rate, expected);
        found.add(Rule::LineTax, at(index, "tax"), detail);
    }
    let is_zero_rate = line.rate.decimal().is_zero();
    if is_zero_rate && line.tax.fen() != 0 && rules.zero_rate_without_tax {
        found.add(Rule::LineTax, at(index, "tax"), format!("{}: a line with the rate 0 has the tax 0.00", line.tax));
    }
    if !is_zero_rate && line.zero_rate.is_some() {
        let detail = format!("the rate is {}: leave the zero-rate mark out", line.rate);
        found.add(Rule::ZeroRate, at(index, "zero_rate"), detail);
    }
}

fn check_deduction(index: usize, line: &Line, single: bool, rules: &RuleSet, found: &mut Breaches) {
    let Some(deduction) = line.deduction else { return };
    let gross = line.net.decimal() + line.tax.decimal();
    let deduction = deduction.decimal();
    let same_side = deduction.is_zero() || deduction.is_sign_negative() == gross.is_sign_negative();
    if deduction.abs() > gross.abs() || !same_side {
        let detail = format!("{deduction:.2} is not part of the line with tax, {gross:.2}");
        found.add(Rule::Deduction, at(index, "deduction"), detail);
    }
    if rules.single_deduction && (!single || line.kind != LineKind::Normal) {
        let detail = "a deduction stands on the only line of an invoice, without discount: split it";
        found.add(Rule::Deduction, at(index, "deduction"), detail);
    }
}

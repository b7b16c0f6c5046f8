//! Compares an invoice that was read with what was sent, as a ZC device stores it: no unit, trimmed texts, fifteen zeros for a
//! missing buyer number, three decimals, discounts merged.

use rust_decimal::Decimal;
use taxdisk_protocol::money::Amount;

use super::commands::issue::{SentLine, merge_discounts};
use crate::disk::{Comparison, FoundInvoice, FoundLine, IssueRequest, NumberStatus};

/// What the device keeps for a buyer without a number.
const NO_BUYER_NUMBER: &str = "000000000000000";

/// Names every field that differs.
pub(super) fn compare(request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
    let invoice = request.invoice;
    let mut different = Vec::new();
    let mut check = |field: &'static str, same: bool| {
        if !same {
            different.push(field);
        }
    };
    // A voided invoice is still the one that was issued; a voided blank never is.
    let (issued, voided) = match request.red {
        None => (NumberStatus::Positive, NumberStatus::PositiveVoid),
        Some(_) => (NumberStatus::Negative, NumberStatus::NegativeVoid),
    };
    check("status", found.status == issued || found.status == voided);
    check("original", found.original == request.red.map(|red| red.original));
    // Converters keep the amounts of a red invoice with either sign; that it is red, the status says.
    let is_red = request.red.is_some();
    let amount = |value: Amount| if is_red { value.abs() } else { value };
    let number = |value: Option<Decimal>| if is_red { value.map(|value| value.abs()) } else { value };
    let digits = |text: &str| if is_red { text.trim_start_matches('-').to_owned() } else { text.to_owned() };
    check("buyer.name", same_text(&invoice.buyer.name, &found.buyer_name));
    let buyer = invoice.buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    check("buyer.taxpayer_number", buyer_number(buyer) == buyer_number(&found.buyer_number));
    match merge_discounts(&invoice.lines) {
        Ok(lines) if lines.len() == found.lines.len() => {
            let all = |same: &dyn Fn(&SentLine<'_>, &FoundLine) -> bool| lines.iter().zip(&found.lines).all(|(l, r)| same(l, r));
            check("lines.name", all(&|sent, found| same_text(sent.name, &found.name)));
            check("lines.price", all(&|sent, found| same_number(number(sent.price), &digits(&found.price))));
            check("lines.quantity", all(&|sent, found| same_number(number(sent.quantity), &digits(&found.quantity))));
            check("lines.net", all(&|sent, found| amount(sent.net) == amount(found.net)));
            check("lines.rate", all(&|sent, found| found.rate.parse() == Ok(sent.rate)));
            check("lines.tax", all(&|sent, found| amount(sent.tax) == amount(found.tax)));
        }
        _ => check("lines", false),
    }
    let totals = [
        ("totals.net", invoice.totals.net, found.net),
        ("totals.tax", invoice.totals.tax, found.tax),
        ("totals.gross", invoice.totals.gross, found.gross),
    ];
    for (field, sent, stored) in totals {
        check(field, amount(sent) == amount(stored));
    }
    check("remark", same_text(request.remark, &found.remark));
    check("clerk", same_text(&invoice.clerk, &found.clerk));
    if different.is_empty() { Comparison::Equal } else { Comparison::Different(different) }
}

/// The device trims spaces on both sides.
fn same_text(sent: &str, found: &str) -> bool {
    sent.trim_matches(' ') == found.trim_matches(' ')
}

fn buyer_number(text: &str) -> &str {
    if text == NO_BUYER_NUMBER { "" } else { text }
}

/// A missing price or quantity may come back empty or as zero.
fn same_number(sent: Option<Decimal>, found: &str) -> bool {
    match (sent, found.parse::<Decimal>()) {
        (Some(sent), Ok(found)) => sent == found,
        (None, Ok(found)) => found.is_zero(),
        (sent, Err(_)) => sent.is_none() && found.is_empty(),
    }
}

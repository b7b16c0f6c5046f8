//! Compares an invoice that was read with what was sent, as a ZC device stores it: no unit, trimmed texts, fifteen zeros for a
//! missing buyer number, three decimals, discounts merged.

use rust_decimal::Decimal;

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
    // A voided invoice is still the one that was issued; a voided blank or a red one never is.
    check("status", matches!(found.status, NumberStatus::Positive | NumberStatus::PositiveVoid));
    check("buyer.name", same_text(&invoice.buyer.name, &found.buyer_name));
    let number = invoice.buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    check("buyer.taxpayer_number", buyer_number(number) == buyer_number(&found.buyer_number));
    match merge_discounts(&invoice.lines) {
        Ok(lines) if lines.len() == found.lines.len() => {
            let all = |same: fn(&SentLine<'_>, &FoundLine) -> bool| lines.iter().zip(&found.lines).all(|(l, r)| same(l, r));
            check("lines.name", all(|sent, found| same_text(sent.name, &found.name)));
            check("lines.price", all(|sent, found| same_number(sent.price, &found.price)));
            check("lines.quantity", all(|sent, found| same_number(sent.quantity, &found.quantity)));
            check("lines.net", all(|sent, found| sent.net == found.net));
            check("lines.rate", all(|sent, found| found.rate.parse() == Ok(sent.rate)));
            check("lines.tax", all(|sent, found| sent.tax == found.tax));
        }
        _ => check("lines", false),
    }
    let totals = [
        ("totals.net", invoice.totals.net, found.net),
        ("totals.tax", invoice.totals.tax, found.tax),
        ("totals.gross", invoice.totals.gross, found.gross),
    ];
    for (field, sent, stored) in totals {
        check(field, sent == stored);
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

//! Compares an invoice that was read with what was sent, as components of this family store it: trimmed texts, decimals of
//! their own, zeros or nothing for a buyer without a number, goods codes padded with zeros.

use rust_decimal::Decimal;
use taxdisk_protocol::invoice::Line;

use super::lines::nature;
use crate::disk::{Comparison, FoundInvoice, FoundLine, IssueRequest, NumberStatus};

/// Names every field that differs.
pub fn compare(request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
    let invoice = request.invoice;
    let mut different = Vec::new();
    let mut check = |field: &'static str, same: bool| {
        if !same {
            different.push(field);
        }
    };
    // A voided invoice is still the one that was issued; a voided blank or one of the other colour never is.
    let statuses = match request.red {
        None => [NumberStatus::Positive, NumberStatus::PositiveVoid],
        Some(_) => [NumberStatus::Negative, NumberStatus::NegativeVoid],
    };
    check("status", statuses.contains(&found.status));
    check("original", request.red.map(|red| red.original) == found.original);
    let buyer = &invoice.buyer;
    check("buyer.name", same_text(&buyer.name, &found.buyer_name));
    let number = buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    check("buyer.taxpayer_number", told_number(number) == told_number(&found.buyer_number));
    check("buyer.address_phone", same_text(&buyer.address_phone, &found.buyer_address_phone));
    check("buyer.bank_account", same_text(&buyer.bank_account, &found.buyer_bank_account));
    if invoice.lines.len() == found.lines.len() {
        let all = |same: fn(&Line, &FoundLine) -> bool| invoice.lines.iter().zip(&found.lines).all(|(l, r)| same(l, r));
        check("lines.kind", all(|sent, found| nature(sent.kind) == found.nature));
        check("lines.name", all(|sent, found| same_text(&sent.name, &found.name)));
        let code = |sent: &Line, found: &FoundLine| goods_code(sent.goods_code.as_deref()) == goods_code(Some(&found.goods_code));
        check("lines.goods_code", all(code));
        check("lines.specification", all(|sent, found| same_text(&sent.specification, &found.specification)));
        check("lines.unit", all(|sent, found| same_text(&sent.unit, &found.unit)));
        check("lines.price", all(|sent, found| same_number(sent.price.map(|price| price.decimal()), &found.price)));
        let quantity = |sent: &Line, found: &FoundLine| same_number(sent.quantity.map(|it| it.decimal()), &found.quantity);
        check("lines.quantity", all(quantity));
        check("lines.net", all(|sent, found| sent.net == found.net));
        check("lines.rate", all(|sent, found| same_number(Some(sent.rate.decimal()), &found.rate)));
        check("lines.tax", all(|sent, found| sent.tax == found.tax));
    } else {
        check("lines", false);
    }
    check("totals.net", invoice.totals.net == found.net);
    check("totals.tax", invoice.totals.tax == found.tax);
    check("totals.gross", invoice.totals.gross == found.gross);
    check("remark", same_text(request.remark, &found.remark));
    check("clerk", same_text(&invoice.clerk, &found.clerk));
    check("request_id", found.request_id.as_deref().is_none_or(|id| id == request.request_id));
    if different.is_empty() { Comparison::Equal } else { Comparison::Different(different) }
}

fn same_text(sent: &str, found: &str) -> bool {
    sent.trim() == found.trim()
}

/// Nothing, spaces and zeros stand for a buyer without a number.
fn told_number(text: &str) -> &str {
    let text = text.trim();
    if text.bytes().all(|digit| digit == b'0') { "" } else { text }
}

/// Short codes are padded with zeros on the right.
fn goods_code(text: Option<&str>) -> &str {
    text.unwrap_or("").trim().trim_end_matches('0')
}

/// A missing price or quantity may come back empty or as zero.
fn same_number(sent: Option<Decimal>, found: &str) -> bool {
    match (sent, found.trim().parse::<Decimal>()) {
        (Some(sent), Ok(found)) => sent == found,
        (None, Ok(found)) => found.is_zero(),
        (sent, Err(_)) => sent.is_none() && found.trim().is_empty(),
    }
}

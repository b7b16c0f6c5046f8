//! From an issued invoice to a document that is like it, as a client would write it, so that a person's edits are read and judged
//! by the same rules as everybody's ([`crate::document::read`]).

use rust_decimal::Decimal;

use crate::document::{Document, Line, LineKind, canonical};
use crate::wire::form::Form;
use crate::wire::json::Json;

/// Lines of a form at most; each has a handful of fields, and a form is limited.
pub(super) const LINES_MAX: usize = 200;

/// Fields of the head that a correction may change: name of the interface, and key of its label.
pub(super) const HEAD: [(&str, &str); 5] = [
    ("GMF_MC", "buyer"),
    ("GMF_NSRSBH", "buyer_number"),
    ("GMF_DZDH", "buyer_address"),
    ("GMF_YHZH", "buyer_bank"),
    ("BZ", "remark"),
];

/// Head and lines of a document, as members of the interface, under another serial number.
fn members(document: &Document, serial: &str) -> (Vec<(String, Json)>, Vec<Json>) {
    let whole = Json::parse(&canonical::text("blue", document)).unwrap_or_default();
    let known = whole.get("head").map(Json::members).unwrap_or_default();
    let mut head: Vec<(String, Json)> = known.iter().filter(|(name, _)| name != "operation").cloned().collect();
    head.push(("FPQQLSH".to_owned(), Json::text(serial)));
    let items = match whole.get("items") {
        Some(Json::List(items)) => items.clone(),
        _ => Vec::new(),
    };
    (head, items)
}

fn set(members: &mut Vec<(String, Json)>, name: &str, value: Option<Json>) {
    members.retain(|(known, _)| known != name);
    members.extend(value.map(|value| (name.to_owned(), value)));
}

fn text(form: &Form, name: &str) -> Option<Json> {
    form.get(name).map(str::trim).filter(|text| !text.is_empty()).map(Json::text)
}

/// The document again, with what a person corrected: the buyer, the remark, and of each line name, specification, unit, quantity
/// and amount. Amounts that follow from a corrected one are left to the rule of calculation. `Err`: an amount that is none.
pub(super) fn corrected(document: &Document, serial: &str, form: &Form) -> Result<Json, String> {
    let (mut head, mut items) = members(document, serial);
    for (name, _) in HEAD {
        // A field that the form does not have stays; one that was emptied goes.
        if form.get(name).is_some() {
            set(&mut head, name, text(form, name));
        }
    }
    let mut gross = Decimal::ZERO;
    let mut changed = false;
    for (place, (item, line)) in items.iter_mut().zip(&document.lines).enumerate() {
        let Json::Object(item) = item else { continue };
        for (name, field) in [("XMMC", "name"), ("GGXH", "specification"), ("DW", "unit")] {
            let field = format!("line{place}_{field}");
            if form.get(&field).is_some() {
                set(item, name, text(form, &field));
            }
        }
        let (quantity, amount) = (form.get(&format!("line{place}_quantity")), form.get(&format!("line{place}_gross")));
        let quantity = quantity.map_or(Ok(line.quantity), optional)?;
        let amount = amount.map_or(Ok(Some(line.gross)), optional)?.unwrap_or(line.gross);
        if quantity != line.quantity || amount != line.gross {
            changed = true;
            set(item, "XMSL", quantity.map(Json::decimal));
            set(item, "XMJSHJ", Some(Json::decimal(amount)));
            set(item, "XMDJ", None);
            if amount != line.gross {
                set(item, "XMJE", None);
                set(item, "SE", None);
            }
        }
        gross += amount;
    }
    if changed {
        set(&mut head, "JSHJ", Some(Json::Number(format!("{gross:.2}"))));
        set(&mut head, "HJJE", None);
        set(&mut head, "HJSE", None);
    }
    head.push(("items".to_owned(), Json::List(items)));
    Ok(Json::Object(head))
}

/// A decimal number, or nothing.
pub(super) fn optional(text: &str) -> Result<Option<Decimal>, String> {
    match text.trim() {
        "" => Ok(None),
        text => Decimal::from_str_exact(text).map(Some).map_err(|_| text.chars().take(40).collect()),
    }
}

/// A line that can be reversed in part: one of the invoice, its discount counted in.
pub(super) struct Reversible {
    /// The line.
    pub(super) line: Line,
    /// With tax, discount counted in.
    pub(super) gross: Decimal,
}

/// Lines that can be reversed in part. `None`: this invoice can be reversed as a whole alone, because a deduction (差额征税) cannot
/// be shared out, or because it has too many lines for a form.
pub(super) fn reversible(document: &Document) -> Option<Vec<Reversible>> {
    if document.lines.len() > LINES_MAX || document.lines.iter().any(|line| line.deduction.is_some()) {
        return None;
    }
    let mut lines: Vec<Reversible> = Vec::with_capacity(document.lines.len());
    for line in &document.lines {
        match (line.kind, lines.last_mut()) {
            // A discount stands directly after its line.
            (LineKind::Discount, Some(last)) => last.gross += line.gross,
            (LineKind::Discount, None) => return None,
            _ => lines.push(Reversible { line: line.clone(), gross: line.gross }),
        }
    }
    Some(lines)
}

/// The document of a partial red. `taken`: for each line that is reversed its place, the amount with tax and the quantity, both
/// above zero.
pub(super) fn part_red(
    lines: &[Reversible],
    serial: &str,
    pair: (&str, &str),
    notice: &str,
    taken: &[(usize, Decimal, Option<Decimal>)],
) -> Json {
    let item = |(place, gross, quantity): &(usize, Decimal, Option<Decimal>)| {
        let line = &lines.get(*place)?.line;
        let mut members: Vec<(String, Json)> = Vec::new();
        let texts = [
            ("XMMC", line.name.as_str()),
            ("GGXH", &line.specification),
            ("DW", &line.unit),
            ("SPBM", &line.goods_code),
            ("ZXBM", &line.own_code),
            ("LSLBS", &line.zero_rate),
            ("ZZSTSGL", &line.policy),
        ];
        for (name, text) in texts {
            set(&mut members, name, Some(text).filter(|text| !text.is_empty()).map(Json::text));
        }
        set(&mut members, "YHZCBS", Some(Json::integer(i64::from(line.preferential))));
        set(&mut members, "SL", Some(Json::decimal(line.rate)));
        set(&mut members, "XMSL", quantity.map(|quantity| Json::decimal(-quantity)));
        set(&mut members, "XMJSHJ", Some(Json::decimal(-*gross)));
        Some(Json::Object(members))
    };
    let gross: Decimal = taken.iter().map(|(_, gross, _)| *gross).sum();
    let mut head: Vec<(String, Json)> = Vec::new();
    set(&mut head, "FPQQLSH", Some(Json::text(serial)));
    set(&mut head, "fpDm", Some(Json::text(pair.0)));
    set(&mut head, "fpHm", Some(Json::text(pair.1)));
    set(&mut head, "hzxxbbh", Some(notice).filter(|notice| !notice.is_empty()).map(Json::text));
    set(&mut head, "JSHJ", Some(Json::decimal(-gross)));
    set(&mut head, "items", Some(Json::List(taken.iter().filter_map(item).collect())));
    Json::Object(head)
}

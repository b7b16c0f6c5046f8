//! When two requests say the same (yonyou-open-api.md, section 4.3).
//!
//! Compared is what the caller wrote, before anything is derived or filled in: empty is absent, numbers are decimals, documented
//! defaults are filled in, the order of members does not count and that of lines does. Who gets mail and callbacks is not part of
//! it. The text carries its version, so that a later rule never makes an old repeat look like a conflict.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use super::{Document, Line, LineKind, fields};
use crate::wire::json::Json;

/// Version of the rule.
pub const VERSION: u32 = 1;

/// The canonical text of a document. `operation`: what is asked (`blue`, `red`, `part_red`).
pub fn text(operation: &str, document: &Document) -> String {
    let mut head: Vec<(String, Json)> = vec![("operation".to_owned(), Json::text(operation))];
    let mut put = |name: &str, value: Option<Json>| head.extend(value.map(|value| (name.to_owned(), value)));
    put("FPLX", Some(Json::integer(document.kind)));
    put("JSHJ", Some(number(document.gross)));
    put("HJJE", document.net.map(number));
    put("HJSE", document.tax.map(number));
    for (name, value) in document.head.iter().filter(|(name, _)| !fields::DELIVERY.contains(&name.as_str())) {
        put(name, Some(Json::text(value.as_str())));
    }
    for (name, value) in &document.unknown {
        put(name, Some(Json::text(value.as_str())));
    }
    head.sort_by(|one, other| one.0.cmp(&other.0));
    let items = document.lines.iter().map(line).collect();
    let whole = vec![
        ("v".to_owned(), Json::integer(VERSION)),
        ("head".to_owned(), Json::Object(head)),
        ("items".to_owned(), Json::List(items)),
    ];
    Json::Object(whole).to_string()
}

/// SHA-256 of a canonical text, hexadecimal.
pub fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Names of the fields in which two canonical texts differ; never their values.
pub fn differences(one: &str, other: &str) -> Vec<String> {
    let (Ok(one), Ok(other)) = (Json::parse(one), Json::parse(other)) else { return vec!["requestdatas".to_owned()] };
    let mut names = Vec::new();
    compare("", one.get("head"), other.get("head"), &mut names);
    let lines = |json: &Json| match json.get("items") {
        Some(Json::List(items)) => items.clone(),
        _ => Vec::new(),
    };
    let (one, other) = (lines(&one), lines(&other));
    if one.len() != other.len() {
        names.push("items".to_owned());
    }
    for (index, (one, other)) in one.iter().zip(&other).enumerate() {
        compare(&format!("items[{index}]."), Some(one), Some(other), &mut names);
    }
    names
}

fn compare(prefix: &str, one: Option<&Json>, other: Option<&Json>, names: &mut Vec<String>) {
    let (one, other) = (one.unwrap_or(&Json::Null), other.unwrap_or(&Json::Null));
    let all: BTreeSet<&String> = one.members().iter().chain(other.members()).map(|(name, _)| name).collect();
    names.extend(all.into_iter().filter(|name| one.get(name) != other.get(name)).map(|name| format!("{prefix}{name}")));
}

fn line(line: &Line) -> Json {
    let kind = match line.kind {
        LineKind::Normal => 0,
        LineKind::Discount => 1,
        LineKind::Discounted => 2,
    };
    let own_code = if line.own_code.is_empty() { "10" } else { &line.own_code };
    let texts = [
        ("DW", line.unit.as_str()),
        ("GGXH", &line.specification),
        ("HH", &line.number),
        ("LSLBS", &line.zero_rate),
        ("SPBM", &line.goods_code),
        ("XMBM", &line.item_code),
        ("XMMC", &line.name),
        ("ZKHHH", &line.discount_number),
        ("ZXBM", own_code),
        ("ZZSTSGL", &line.policy),
    ];
    let numbers = [
        ("FPHXZ", Some(Decimal::from(kind))),
        ("KCE", line.deduction),
        ("SE", line.tax),
        ("SL", Some(line.rate)),
        ("XMDJ", line.price),
        ("XMJE", line.net),
        ("XMJSHJ", Some(line.gross)),
        ("XMSL", line.quantity),
        ("YHZCBS", Some(Decimal::from(u8::from(line.preferential)))),
    ];
    let mut members: Vec<(String, Json)> = Vec::new();
    members
        .extend(texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), Json::text(text))));
    members.extend(numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), number(value?)))));
    members.sort_by(|one, other| one.0.cmp(&other.0));
    Json::Object(members)
}

/// `1`, `1.00` and `1E0` are one number.
fn number(value: Decimal) -> Json {
    Json::decimal(value.normalize())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fields::Form;
    use super::super::read;
    use super::*;

    fn canonical(json: &str) -> String {
        text("blue", &read::document(&Json::parse(json).unwrap(), Form::Blue).unwrap())
    }

    const ONE: &str = r#"{"FPQQLSH":"A1","XSF_NSRSBH":"91110000MA0000001L","GMF_MC":"购方","JSHJ":106,
        "items":[{"XMMC":"服务","XMJSHJ":"106.00","SL":0.06,"SPBM":"3040000"}]}"#;

    #[test]
    fn the_same_said_otherwise_is_the_same() {
        let other = r#"{"items":[{"SPBM":"3040000000000000000","SL":"0.060","XMJSHJ":1.06E2,"XMMC":"服务","FPHXZ":"0","YHZCBS":0,
            "ZXBM":"10","GGXH":"","XMSL":null}],"FPLX":"1","JSHJ":"106.00","GMF_MC":"购方","XSF_NSRSBH":"91110000MA0000001L",
            "FPQQLSH":"A1","BZ":" "}"#;
        assert_eq!(canonical(ONE), canonical(other));
        let delivery = ONE.replace("\"JSHJ\"", "\"EMAIL\":\"a@b.example\",\"JSHJ\"");
        assert_eq!(canonical(ONE), canonical(&delivery));
    }

    #[test]
    fn differences_are_named_without_their_values() {
        let other = ONE.replace("购方", "别人").replace("服务", "货物").replace("\"JSHJ\"", "\"X9\":1,\"JSHJ\"");
        assert_eq!(differences(&canonical(ONE), &canonical(&other)), ["GMF_MC", "X9", "items[0].XMMC"]);
        assert!(differences(&canonical(ONE), &canonical(ONE)).is_empty());
        let longer = ONE.replace("\"items\":[", "\"items\":[{\"XMMC\":\"服务\",\"XMJSHJ\":0,\"SL\":0.06,\"SPBM\":\"1\"},");
        assert_eq!(differences(&canonical(ONE), &canonical(&longer))[0], "items");
    }
}

//! From JSON to a [`Document`]: form, length and characters of each field by itself.

use rust_decimal::Decimal;
use taxdisk_protocol::gbk;

use super::fields::{self, Form};
use super::{Document, Fault, Line, LineKind};
use crate::wire::json::Json;
use crate::wire::number;

/// Reads a document.
///
/// # Errors
/// Everything that is wrong with it.
pub fn document(json: &Json, form: Form) -> Result<Document, Vec<Fault>> {
    let Json::Object(members) = json else {
        return Err(vec![Fault::new("requestdatas", "object", "每张发票应为 JSON 对象")]);
    };
    let mut found = Faults::default();
    let mut document = Document { serial: serial(json, form, &mut found), ..Document::default() };
    document.kind = kind(json.get("FPLX"), &mut found);
    for field in fields::HEAD {
        let value = text(member(members, field.name), field.name, field.max, &mut found);
        match value {
            Some(value) => {
                if fields::PRINTED.contains(&field.name) {
                    printable(&value, field.name, &mut found);
                }
                document.head.insert(field.name.to_owned(), value);
            }
            None if field.required.contains(&form) => found.add(field.name, "required", "必填，不能为空"),
            None => {}
        }
    }
    if form != Form::Red {
        let gross = decimal(json.get("JSHJ"), "JSHJ", 15, 2, &mut found);
        if gross.is_none() && !found.has("JSHJ") {
            found.add("JSHJ", "required", "必填，不能为空");
        }
        document.gross = gross.unwrap_or_default();
        document.net = decimal(json.get("HJJE"), "HJJE", 15, 2, &mut found);
        document.tax = decimal(json.get("HJSE"), "HJSE", 15, 2, &mut found);
        document.lines = lines(json.get("items"), &mut found);
    }
    for (name, value) in members {
        if !known_head(name) && !matches!(value, Json::Null) {
            document.unknown.insert(name.clone(), value.to_string());
        }
    }
    found.or(document)
}

fn known_head(name: &str) -> bool {
    ["FPQQLSH", "FPLX", "JSHJ", "HJJE", "HJSE", "items"].contains(&name)
        || fields::HEAD.iter().any(|field| field.name == name)
        || fields::ANY_CASE.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn member<'a>(members: &'a [(String, Json)], name: &str) -> Option<&'a Json> {
    let any_case = fields::ANY_CASE.contains(&name);
    let fits = |key: &str| key == name || any_case && key.eq_ignore_ascii_case(name);
    members.iter().find(|(key, _)| fits(key)).map(|(_, value)| value)
}

/// FPQQLSH. A QR request may leave it out: then it is derived from LYID.
fn serial(json: &Json, form: Form, found: &mut Faults) -> String {
    let given = text(json.get("FPQQLSH"), "FPQQLSH", 20, found);
    match given {
        Some(serial) => {
            if let Err(text) = check_serial(&serial) {
                found.add("FPQQLSH", "serial_number", text);
            }
            serial
        }
        None if form == Form::Qr || found.has("FPQQLSH") => String::new(),
        None => {
            found.add("FPQQLSH", "required", "必填，不能为空");
            String::new()
        }
    }
}

/// 发票请求流水号: 1 to 20 letters, digits, `-` and `_`.
///
/// # Errors
/// What is wrong, for the caller.
pub fn check_serial(serial: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match serial.chars().count() {
        1..=20 if serial.chars().all(allowed) => Ok(()),
        1..=20 => Err("只能由字母、数字、“-”和“_”组成".to_owned()),
        length => Err(format!("长度为 {length}，应为 1 至 20 位")),
    }
}

fn kind(value: Option<&Json>, found: &mut Faults) -> u8 {
    let Some(text) = value.and_then(Json::scalar) else { return 1 };
    match number::decimal(text, 3, 0).ok().and_then(|value| u8::try_from(value).ok()) {
        Some(kind) => kind,
        None => {
            found.add("FPLX", "kind", "不是发票类型");
            0
        }
    }
}

fn lines(items: Option<&Json>, found: &mut Faults) -> Vec<Line> {
    let items = match items {
        Some(Json::List(items)) if !items.is_empty() => items,
        Some(Json::Null) | Some(Json::List(_)) | None => {
            found.add("items", "required", "至少需要一行明细");
            return Vec::new();
        }
        Some(_) => {
            found.add("items", "array", "应为数组");
            return Vec::new();
        }
    };
    if items.len() > fields::MAX_LINES {
        found.add("items", "too_many_lines", format!("{} 行，最多 {} 行", items.len(), fields::MAX_LINES));
        return Vec::new();
    }
    items.iter().enumerate().map(|(index, item)| line(index, item, found)).collect()
}

fn line(index: usize, item: &Json, found: &mut Faults) -> Line {
    let at = |name: &str| format!("items[{index}].{name}");
    if !matches!(item, Json::Object(_)) {
        found.add(format!("items[{index}]"), "object", "应为 JSON 对象");
        return Line::default();
    }
    let mut texts = fields::LINE.iter().map(|(name, max)| {
        let value = text(item.get(name), &at(name), *max, found).unwrap_or_default();
        if matches!(*name, "XMMC" | "GGXH" | "DW") {
            printable(&value, &at(name), found);
        }
        value
    });
    let mut next = || texts.next().unwrap_or_default();
    // In the order of `fields::LINE`.
    let (name, item_code, specification, unit, number, discount_number, goods_code, own_code, zero_rate, policy) =
        (next(), next(), next(), next(), next(), next(), next(), next(), next(), next());
    drop(texts);
    let mut decimals =
        fields::LINE_DECIMALS.iter().map(|(name, digits, scale)| decimal(item.get(name), &at(name), *digits, *scale, found));
    let mut next = || decimals.next().flatten();
    // In the order of `fields::LINE_DECIMALS`.
    let (quantity, price, net, gross, rate, tax, deduction) = (next(), next(), next(), next(), next(), next(), next());
    drop(decimals);
    for (name, missing) in
        [("XMMC", name.is_empty()), ("XMJSHJ", gross.is_none()), ("SL", rate.is_none()), ("SPBM", goods_code.is_empty())]
    {
        if missing && !found.has(&at(name)) {
            found.add(at(name), "required", "必填，不能为空");
        }
    }
    if rate.is_some_and(|rate| rate < Decimal::ZERO || rate >= Decimal::ONE) {
        found.add(at("SL"), "rate", "税率应为小数，例如 0.06，而不是 6");
    }
    let kind = match small(item.get("FPHXZ")) {
        Some(None) | Some(Some(0)) => LineKind::Normal,
        Some(Some(1)) => LineKind::Discount,
        Some(Some(2)) => LineKind::Discounted,
        _ => {
            found.add(at("FPHXZ"), "line_kind", "应为 0、1 或 2");
            LineKind::Normal
        }
    };
    let preferential = match small(item.get("YHZCBS")) {
        Some(None) | Some(Some(0)) => false,
        Some(Some(1)) => true,
        _ => {
            found.add(at("YHZCBS"), "preferential", "应为 0 或 1");
            false
        }
    };
    if !zero_rate.is_empty() && !matches!(zero_rate.as_str(), "0" | "1" | "2" | "3") {
        found.add(at("LSLBS"), "zero_rate", "应为空、0、1、2 或 3");
    }
    if !policy.is_empty() && !preferential {
        found.add(at("ZZSTSGL"), "policy", "填写增值税特殊管理时 YHZCBS 应为 1");
    }
    Line {
        kind,
        name,
        item_code,
        specification,
        unit,
        quantity,
        price,
        net,
        gross: gross.unwrap_or_default(),
        rate: rate.unwrap_or_default(),
        tax,
        number,
        discount_number,
        goods_code: padded(goods_code, &at("SPBM"), found),
        own_code,
        preferential,
        zero_rate,
        policy,
        deduction,
    }
}

/// A goods code of fewer digits is one of a higher level: zeros follow.
fn padded(code: String, field: &str, found: &mut Faults) -> String {
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        found.add(field, "goods_code", "税收分类编码应为至多 19 位数字");
    }
    if code.is_empty() { code } else { format!("{code:0<width$}", width = fields::GOODS_CODE_DIGITS) }
}

/// A small whole number. The outer `None`: there, but not one.
#[allow(clippy::option_option)]
fn small(value: Option<&Json>) -> Option<Option<u8>> {
    match value.and_then(Json::scalar) {
        None => Some(None),
        Some(text) => u8::try_from(number::decimal(text, 3, 0).ok()?).ok().map(Some),
    }
}

/// A text, blanks at its ends included where it is more than blanks.
fn text(value: Option<&Json>, field: &str, max: usize, found: &mut Faults) -> Option<String> {
    let value = match value {
        None | Some(Json::Null) => return None,
        Some(Json::Text(text) | Json::Number(text)) => text,
        Some(_) => {
            found.add(field, "text", "应为文本");
            return None;
        }
    };
    if value.trim().is_empty() {
        return None;
    }
    let length = value.chars().count();
    if length > max {
        found.add(field, "too_long", format!("长度为 {length}，最多 {max} 个字符"));
    }
    if let Some(place) = value.chars().position(char::is_control) {
        found.add(field, "control_character", format!("第 {} 个字符是控制字符", place + 1));
    }
    Some(value.clone())
}

fn printable(value: &str, field: &str, found: &mut Faults) {
    let unknown = gbk::unencodable(value);
    if let Some((place, c)) = unknown.first() {
        let text = format!("第 {} 个字符“{c}”（U+{:04X}）不在 GBK 字符集中，税控设备无法打印", place + 1, u32::from(*c));
        found.add(field, "characters", text);
    }
}

fn decimal(value: Option<&Json>, field: &str, digits: u32, scale: u32, found: &mut Faults) -> Option<Decimal> {
    match value {
        None | Some(Json::Null) => None,
        Some(Json::Text(_) | Json::Number(_)) => {
            let text = value.and_then(Json::scalar)?;
            number::decimal(text, digits, scale).map_err(|error| found.add(field, "number", error.to_string())).ok()
        }
        Some(_) => {
            found.add(field, "number", "应为数字");
            None
        }
    }
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, field: impl Into<String>, rule: &str, text: impl Into<String>) {
        self.0.push(Fault::new(field, rule, text));
    }

    fn has(&self, field: &str) -> bool {
        self.0.iter().any(|fault| fault.field == field)
    }

    pub(super) fn or<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

//! How single values are written on an invoice.

use rust_decimal::Decimal;
use taxdisk_protocol::invoice::{Invoice, Line, ZeroRate};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::{Amount, TaxRate};
use taxdisk_protocol::number::InvoiceCode;

/// What stands in place of the tax where none is levied.
pub(crate) const NO_TAX: &str = "***";

/// `2026年03月02日`. The time is checked to be 14 digits.
pub(crate) fn day(issued_at: &str) -> String {
    let part = |from, to| issued_at.get(from..to).unwrap_or_default();
    format!("{}年{}月{}日", part(0, 4), part(4, 6), part(6, 8))
}

/// 校验码 in groups of five.
pub(crate) fn grouped(check_code: &str) -> String {
    let characters: Vec<char> = check_code.chars().collect();
    let groups: Vec<String> = characters.chunks(5).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

/// 税率: `13%`, `1.5%`; `免税`, `不征税`; `***` where a deduction makes the rate unreadable from the amounts (差额征税).
pub(crate) fn rate(line: &Line) -> String {
    match line.zero_rate {
        Some(ZeroRate::Exempt) => "免税".to_owned(),
        Some(ZeroRate::NotTaxed) => "不征税".to_owned(),
        _ if line.deduction.is_some() => NO_TAX.to_owned(),
        _ => percent(line.rate),
    }
}

/// A rate in per cent.
pub(crate) fn percent(rate: TaxRate) -> String {
    // A rate is 0 to 1 with four decimals.
    let percent = rate.decimal().checked_mul(Decimal::ONE_HUNDRED).unwrap_or_default();
    format!("{}%", percent.normalize())
}

/// 税额; `***` where the line is not taxed.
pub(crate) fn tax(line: &Line) -> String {
    if is_untaxed(line) { NO_TAX.to_owned() } else { line.tax.to_string() }
}

/// 合计税额; `***` where no line is taxed.
pub(crate) fn tax_total(invoice: &Invoice) -> String {
    match !invoice.lines.is_empty() && invoice.lines.iter().all(is_untaxed) {
        true => NO_TAX.to_owned(),
        false => yuan(invoice.totals.tax),
    }
}

fn is_untaxed(line: &Line) -> bool {
    matches!(line.zero_rate, Some(ZeroRate::Exempt | ZeroRate::NotTaxed)) && line.tax == Amount::ZERO
}

/// `¥226.00`, `¥-226.00`.
pub(crate) fn yuan(amount: Amount) -> String {
    format!("¥{amount}")
}

/// The heading: the place where the code was given out, and the kind.
pub(crate) fn title(kind: InvoiceKind, code: InvoiceCode) -> String {
    format!("{}{}", place(code), kind.name())
}

/// The province, or the city that its tax office stands alone in, of an invoice code: digits 2–5 of twelve, 1–4 of ten
/// (invoice-rules.md, section 2; numbers of GB/T 2260). Empty where they are none.
fn place(code: InvoiceCode) -> &'static str {
    let digits = code.as_str();
    let region = if code.width() == 12 { &digits[1..5] } else { &digits[..4] };
    // Five cities with tax offices of their own (计划单列市).
    match region {
        "2102" => return "大连",
        "3302" => return "宁波",
        "3502" => return "厦门",
        "3702" => return "青岛",
        "4403" => return "深圳",
        _ => {}
    }
    match &region[..2] {
        "11" => "北京",
        "12" => "天津",
        "13" => "河北",
        "14" => "山西",
        "15" => "内蒙古",
        "21" => "辽宁",
        "22" => "吉林",
        "23" => "黑龙江",
        "31" => "上海",
        "32" => "江苏",
        "33" => "浙江",
        "34" => "安徽",
        "35" => "福建",
        "36" => "江西",
        "37" => "山东",
        "41" => "河南",
        "42" => "湖北",
        "43" => "湖南",
        "44" => "广东",
        "45" => "广西",
        "46" => "海南",
        "50" => "重庆",
        "51" => "四川",
        "52" => "贵州",
        "53" => "云南",
        "54" => "西藏",
        "61" => "陕西",
        "62" => "甘肃",
        "63" => "青海",
        "64" => "宁夏",
        "65" => "新疆",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_written_as_on_paper() {
        assert_eq!(day("20260302101530"), "2026年03月02日");
        assert_eq!(grouped("12345678901234567890"), "12345 67890 12345 67890");
        for (rate, text) in [("0.13", "13%"), ("0.06", "6%"), ("0.015", "1.5%"), ("0", "0%"), ("1", "100%"), ("0.1", "10%")] {
            assert_eq!(percent(rate.parse().unwrap()), text);
        }
    }

    #[test]
    fn the_heading_names_the_place_of_the_code() {
        let title = |code: &str| title(InvoiceKind::ElectronicOrdinary, code.parse().unwrap());
        assert_eq!(title("011002000111"), "北京增值税电子普通发票");
        assert_eq!(title("044031900111"), "深圳增值税电子普通发票");
        assert_eq!(title("4403190011"), "深圳增值税电子普通发票");
        assert_eq!(title("099990000000"), "增值税电子普通发票");
    }
}

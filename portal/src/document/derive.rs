//! The calculation rule (yonyou-open-api.md, section 3.1): what is empty is derived, what is given is kept and checked.
//!
//! G is the line with tax, r its rate, K a deduction. One rounding rule: half away from zero, so that a red mirrors its blue.

use rust_decimal::{Decimal, RoundingStrategy};

use super::read::Faults;
use super::{Document, Fault, Line, LineKind};

/// How far the tax of a line may be from (net − K) · r.
pub const TAX_TOLERANCE: Decimal = Decimal::from_parts(6, 0, 0, false, 2);
/// How far quantity · price may be from the net amount.
pub const PRODUCT_TOLERANCE: Decimal = Decimal::from_parts(1, 0, 0, false, 2);
/// Decimals of a derived price.
const PRICE_DECIMALS: u32 = 6;
/// Decimals of a derived price where six do not give the amount back; the most that an invoice carries.
const PRICE_DECIMALS_MAX: u32 = 8;

/// Fills and checks lines and totals.
///
/// # Errors
/// Everything that does not add up, with both figures.
pub fn derive(mut document: Document) -> Result<Document, Vec<Fault>> {
    let mut found = Faults::default();
    for (index, line) in document.lines.iter_mut().enumerate() {
        amounts(index, line, &mut found);
        quantity(index, line, &mut found);
    }
    let sum = |of: fn(&Line) -> Decimal| document.lines.iter().map(of).sum::<Decimal>();
    let (gross, net, tax) =
        (sum(|line| line.gross), sum(|line| line.net.unwrap_or_default()), sum(|line| line.tax.unwrap_or_default()));
    for (name, given, sum, of) in
        [("JSHJ", Some(document.gross), gross, "XMJSHJ"), ("HJJE", document.net, net, "XMJE"), ("HJSE", document.tax, tax, "SE")]
    {
        if let Some(given) = given.filter(|given| *given != sum) {
            found.add(name, "total", format!("为 {given:.2}，而各行 {of} 之和为 {sum:.2}"));
        }
    }
    document.net = Some(net);
    document.tax = Some(tax);
    found.or(document)
}

fn amounts(index: usize, line: &mut Line, found: &mut Faults) {
    let at = |name: &str| format!("items[{index}].{name}");
    let (gross, rate, deduction) = (line.gross, line.rate, line.deduction.unwrap_or_default());
    let (net, tax) = match (line.net, line.tax) {
        (Some(net), Some(tax)) => (net, tax),
        (Some(net), None) => (net, gross - net),
        (None, Some(tax)) => (gross - tax, tax),
        (None, None) => {
            let tax = cents((gross - deduction) * rate / (Decimal::ONE + rate));
            (gross - tax, tax)
        }
    };
    if net + tax != gross {
        let text = format!("金额 {net:.2} 加税额 {tax:.2} 不等于价税合计 {gross:.2}");
        found.add(at("XMJSHJ"), "line_sum", text);
    }
    let expected = (net - deduction) * rate;
    if (tax - expected).abs() > TAX_TOLERANCE {
        let text = format!("税额为 {tax:.2}，而按金额和税率应为 {:.2}（允许误差 0.06）", cents(expected));
        found.add(at("SE"), "line_tax", text);
    }
    line.net = Some(net);
    line.tax = Some(tax);
}

fn quantity(index: usize, line: &mut Line, found: &mut Faults) {
    if line.kind == LineKind::Discount {
        // Clients send them although the rule has none here: they say nothing.
        line.specification.clear();
        line.unit.clear();
        line.quantity = None;
    }
    let (Some(quantity), Some(net)) = (line.quantity, line.net) else {
        // A price without a quantity is not printed.
        line.price = None;
        return;
    };
    if quantity.is_zero() {
        found.add(format!("items[{index}].XMSL"), "quantity", "数量不能为 0；没有数量时请留空");
        return;
    }
    match line.price {
        Some(price) => {
            let product = price.checked_mul(quantity);
            let near = product.is_some_and(|product| (product - net).abs() <= PRODUCT_TOLERANCE);
            if !near && net.checked_div(quantity).map(|exact| rounded(exact, PRICE_DECIMALS_MAX)) != Some(price) {
                let product = product.map_or_else(|| "超出范围".to_owned(), |product| product.normalize().to_string());
                let text = format!("单价 × 数量为 {product}，而金额为 {net:.2}（允许误差 0.01）");
                found.add(format!("items[{index}].XMDJ"), "product", text);
            }
        }
        None => line.price = derived_price(net, quantity),
    }
}

pub(super) fn derived_price(net: Decimal, quantity: Decimal) -> Option<Decimal> {
    let exact = net.checked_div(quantity)?;
    let price = rounded(exact, PRICE_DECIMALS);
    let near = price.checked_mul(quantity).is_some_and(|product| (product - net).abs() <= PRODUCT_TOLERANCE);
    Some(if near { price } else { rounded(exact, PRICE_DECIMALS_MAX) }.normalize())
}

fn rounded(value: Decimal, decimals: u32) -> Decimal {
    value.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero)
}

/// Two decimals, half away from zero.
pub fn cents(value: Decimal) -> Decimal {
    rounded(value, 2)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dec(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn line(gross: &str, rate: &str) -> Line {
        Line { gross: dec(gross), rate: dec(rate), ..Line::default() }
    }

    fn whole(lines: Vec<Line>) -> Result<Document, Vec<Fault>> {
        derive(Document { gross: lines.iter().map(|line| line.gross).sum(), lines, ..Document::default() })
    }

    #[test]
    fn the_worked_examples_come_out() {
        for (gross, rate, net, tax) in [
            ("117", "0.17", "100.00", "17.00"),
            ("100", "0.16", "86.21", "13.79"),
            ("899", "0.17", "768.38", "130.62"),
            ("-100", "0.17", "-85.47", "-14.53"),
            ("500", "0.06", "471.70", "28.30"),
        ] {
            let document = whole(vec![line(gross, rate)]).unwrap();
            assert_eq!((document.lines[0].net, document.lines[0].tax), (Some(dec(net)), Some(dec(tax))), "{gross} at {rate}");
        }
        let pair = whole(vec![line("899", "0.17"), line("-100", "0.17")]).unwrap();
        assert_eq!((pair.net, pair.tax), (Some(dec("682.91")), Some(dec("116.09"))));
        let deducted = Line { deduction: Some(dec("600")), ..line("1000", "0.06") };
        let document = whole(vec![deducted]).unwrap();
        assert_eq!((document.net, document.tax), (Some(dec("977.36")), Some(dec("22.64"))));
    }

    #[test]
    fn what_is_given_is_kept_and_checked() {
        let given = |net: &str, tax: &str| {
            let amount = |text: &str| (!text.is_empty()).then(|| dec(text));
            whole(vec![Line { net: amount(net), tax: amount(tax), ..line("113", "0.13") }])
        };
        assert_eq!(given("100.05", "").unwrap().tax, Some(dec("12.95")));
        assert_eq!(given("", "13.05").unwrap().net, Some(dec("99.95")));
        assert_eq!(given("100", "12.99").unwrap_err()[0].field, "items[0].XMJSHJ");
        assert_eq!(given("99.90", "13.10").unwrap_err()[0].rule, "line_tax");
        let totals =
            Document { gross: dec("113"), net: Some(dec("100.01")), lines: vec![line("113", "0.13")], ..Document::default() };
        let faults = derive(totals).unwrap_err();
        assert_eq!(faults[0].field, "HJJE");
        assert!(faults[0].text.contains("100.01") && faults[0].text.contains("100.00"));
    }

    #[test]
    fn quantities_and_prices_follow_each_other() {
        let with = |quantity: &str, price: &str| {
            let amount = |text: &str| (!text.is_empty()).then(|| dec(text));
            whole(vec![Line { quantity: amount(quantity), price: amount(price), ..line("29.70", "0.13") }])
        };
        assert_eq!(with("3", "").unwrap().lines[0].price, Some(dec("8.76")));
        assert_eq!(with("", "8.76").unwrap().lines[0].price, None);
        assert_eq!(with("0", "").unwrap_err()[0].rule, "quantity");
        assert!(with("3", "8.763333").is_ok());
        assert_eq!(with("3", "8.77").unwrap_err()[0].rule, "product");
        let many = whole(vec![Line { quantity: Some(dec("700000")), ..line("1130000", "0.13") }]).unwrap();
        assert_eq!(many.lines[0].price, Some(dec("1.42857143")));
    }

    proptest! {
        #[test]
        fn a_red_mirrors_its_blue_and_the_parts_give_the_whole(
            cents_of in 1_i64..10_000_000_000,
            rate in prop::sample::select(vec![0_i64, 1, 3, 5, 6, 9, 10, 11, 13, 16, 17]),
        ) {
            let one = |sign: i64| {
                let line = Line { gross: Decimal::new(sign * cents_of, 2), rate: Decimal::new(rate, 2), ..Line::default() };
                whole(vec![line]).unwrap()
            };
            let (blue, red) = (one(1), one(-1));
            prop_assert_eq!(blue.net.unwrap() + blue.tax.unwrap(), blue.gross);
            prop_assert_eq!(red.net.unwrap(), -blue.net.unwrap());
            prop_assert_eq!(red.tax.unwrap(), -blue.tax.unwrap());
        }
    }
}

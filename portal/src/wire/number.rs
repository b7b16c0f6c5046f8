//! Exact decimals from what clients write: numbers or texts, with exponents (Gson) or with the dust of a float (PHP)
//! (yonyou-open-api.md, section 3.2). Nothing passes through a binary float.

use rust_decimal::{Decimal, RoundingStrategy};

/// A number that cannot be taken. Written for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NumberError(pub String);

/// How far a value may be from its rounding and still be taken for it: 10⁻⁶.
const DUST: (i64, u32) = (1, 6);

/// Reads a decimal of at most `digits` digits, `scale` of them after the point.
///
/// # Errors
/// Not a number, too many digits, or more decimals than allowed (beyond the dust of a float).
pub fn decimal(text: &str, digits: u32, scale: u32) -> Result<Decimal, NumberError> {
    let shown: String = text.chars().take(40).collect();
    let wrong = |why: String| Err(NumberError(format!("“{shown}”{why}")));
    if text.len() > 64 {
        return wrong("不是数字".to_owned());
    }
    let parsed = if text.contains(['e', 'E']) { Decimal::from_scientific(text).ok() } else { plain(text) };
    let Some(value) = parsed else { return wrong("不是数字".to_owned()) };
    let rounded = value.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero);
    if (value - rounded).abs() > Decimal::new(DUST.0, DUST.1.max(scale)) {
        return wrong(format!("的小数超过 {scale} 位"));
    }
    if rounded.abs() >= power_of_ten(digits - scale) {
        return wrong(format!("超出范围（最多 {digits} 位，其中小数 {scale} 位）"));
    }
    Ok(rounded.normalize())
}

/// `-0.5`, `.5` of a lenient client is not taken: the grammar is that of JSON.
fn plain(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all(whole) || !all(fraction) {
        return None;
    }
    // More fraction digits than fit are dust or an error; both are seen from the first 20.
    let cut = fraction.len().min(20);
    let sign = if text.starts_with('-') { "-" } else { "" };
    Decimal::from_str_exact(&format!("{sign}{whole}.{}", &fraction[..cut])).ok()
}

fn power_of_ten(exponent: u32) -> Decimal {
    (0..exponent).fold(Decimal::ONE, |power, _| power * Decimal::TEN)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_clients_are_exact() {
        for (text, value) in [
            ("106.00", "106"),
            ("100", "100"),
            ("1395.00", "1395"),
            ("1.09512E7", "10951200"),
            ("1E0", "1"),
            ("103.00000000000001", "103"),
            ("102.99999999999999", "103"),
            ("-0.10", "-0.1"),
            ("9999999999999.99", "9999999999999.99"),
        ] {
            assert_eq!(decimal(text, 15, 2).unwrap().to_string(), value, "{text}");
        }
        for bad in ["1.005", "10000000000000", "abc", "", "1,000", "+1", ".5", "5.", "1e400", "0x10", "NaN", "１"] {
            assert!(decimal(bad, 15, 2).is_err(), "{bad}");
        }
        assert_eq!(decimal("0.123456", 6, 6).unwrap().to_string(), "0.123456");
        assert!(decimal("6", 6, 6).is_err(), "a rate is a fraction");
    }
}

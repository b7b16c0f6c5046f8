//! Exact amounts, prices, quantities and rates. No binary floating point anywhere; one rounding rule: half away from zero
//! at two decimals (invoice-rules.md, section 3).

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};

use crate::quote::Quoted;

/// Not a number of the kind that is expected. The text is written for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MoneyError(pub String);

/// Yuan with exactly two decimals, kept in fen. At most 99,999,999,999.99 either way (the widest field of the dialects).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i64);

impl Amount {
    /// The largest amount, in fen.
    pub const MAX_FEN: i64 = 9_999_999_999_999;
    /// 0.00.
    pub const ZERO: Amount = Amount(0);

    /// An amount of so many fen; `None` beyond [`Self::MAX_FEN`].
    pub fn from_fen(fen: i64) -> Option<Amount> {
        (-Self::MAX_FEN..=Self::MAX_FEN).contains(&fen).then_some(Amount(fen))
    }

    /// The amount in fen.
    pub fn fen(self) -> i64 {
        self.0
    }

    /// The amount in yuan.
    pub fn decimal(self) -> Decimal {
        Decimal::new(self.0, 2)
    }

    /// Rounds half away from zero to two decimals; `None` when out of range.
    pub fn round(value: Decimal) -> Option<Amount> {
        let fen = value.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero).checked_mul(Decimal::ONE_HUNDRED)?;
        Amount::from_fen(i64::try_from(fen).ok()?)
    }

    /// Sum; `None` when out of range.
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        Amount::from_fen(self.0.checked_add(other.0)?)
    }

    /// Difference; `None` when out of range.
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        Amount::from_fen(self.0.checked_sub(other.0)?)
    }

    /// The distance from zero.
    pub fn abs(self) -> Amount {
        Amount(self.0.abs())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let fen = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", fen / 100, fen % 100))
    }
}

/// Reads a plain decimal: optional minus, digits, optional point and digits. No exponent, no grouping, no plus.
fn plain_decimal(text: &str, what: &str, max_decimals: u32) -> Result<Decimal, MoneyError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || text.len() > 32 {
        return Err(MoneyError(format!("{} is not {what}: a plain decimal number is expected", Quoted(text))));
    }
    let value =
        Decimal::from_str_exact(text).map_err(|_| MoneyError(format!("{} is not {what}: too many digits", Quoted(text))))?;
    if value.normalize().scale() > max_decimals {
        return Err(MoneyError(format!("{} is not {what}: at most {max_decimals} decimals are allowed", Quoted(text))));
    }
    Ok(value)
}

impl FromStr for Amount {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let value = plain_decimal(text, "an amount", 2)?;
        Amount::round(value).ok_or_else(|| MoneyError(format!("{} is not an amount: it is out of range", Quoted(text))))
    }
}

macro_rules! decimal_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max_decimals:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Decimal);

        impl $name {
            /// The most decimals that are kept.
            pub const MAX_DECIMALS: u32 = $max_decimals;

            /// A value in range with at most [`Self::MAX_DECIMALS`] decimals; `None` otherwise.
            pub fn new(value: Decimal) -> Option<$name> {
                let value = value.normalize();
                let in_range: fn(Decimal) -> bool = $check;
                (value.scale() <= $max_decimals && in_range(value)).then_some($name(value))
            }

            /// The exact value.
            pub fn decimal(self) -> Decimal {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = MoneyError;
            fn from_str(text: &str) -> Result<Self, MoneyError> {
                let value = plain_decimal(text, $what, $max_decimals)?;
                $name::new(value).ok_or_else(|| MoneyError(format!("{} is not {}: it is out of range", Quoted(text), $what)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// The largest price and quantity: 12 digits before the point (20 significant with 8 decimals; invoice-rules.md, section 3.4).
fn fits_twelve_digits(value: Decimal) -> bool {
    value.abs() < Decimal::from(1_000_000_000_000_i64)
}

decimal_type!(
    /// 单价: yuan for one unit without tax, at most 8 decimals.
    Price, "a price", 8, fits_twelve_digits
);
decimal_type!(
    /// 数量: at most 8 decimals; negative only on red invoices.
    Quantity, "a quantity", 8, fits_twelve_digits
);
decimal_type!(
    /// 税率: a fraction from 0 to 1 (`0.13`), at most 4 decimals.
    TaxRate, "a tax rate", 4, |value| value >= Decimal::ZERO && value <= Decimal::ONE
);

macro_rules! text_serde {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

text_serde!(Amount, Price, Quantity, TaxRate);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_exact_and_round_half_away_from_zero() {
        assert_eq!("226".parse::<Amount>().unwrap().to_string(), "226.00");
        assert_eq!("-0.05".parse::<Amount>().unwrap().fen(), -5);
        assert_eq!(Amount::round(Decimal::new(450, 4)).unwrap().to_string(), "0.05");
        assert_eq!(Amount::round(Decimal::new(-450, 4)).unwrap().to_string(), "-0.05");
        for bad in ["1.001", "1e2", "", ".5", "5.", "+1", "1,000", "NaN", "100000000000.00", "--1"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad:?} was taken for an amount");
        }
    }

    #[test]
    fn rates_and_prices_are_bounded() {
        assert_eq!("0.13".parse::<TaxRate>().unwrap().to_string(), "0.13");
        assert_eq!("0.130".parse::<TaxRate>().unwrap().to_string(), "0.13");
        assert!("1.01".parse::<TaxRate>().is_err());
        assert!("-0.13".parse::<TaxRate>().is_err());
        assert!("0.123456789".parse::<Price>().is_err());
        assert!("1000000000000".parse::<Quantity>().is_err());
    }

    #[test]
    fn rounding_goes_away_from_zero_and_stops_at_the_limits() {
        for (value, rounded) in
            [("0.004", "0.00"), ("0.005", "0.01"), ("-0.005", "-0.01"), ("0.015", "0.02"), ("0.025", "0.03"), ("-0.0049", "0.00")]
        {
            assert_eq!(Amount::round(Decimal::from_str_exact(value).unwrap()).unwrap().to_string(), rounded, "{value}");
        }
        assert_eq!("99999999999.99".parse::<Amount>().unwrap().fen(), Amount::MAX_FEN);
        assert_eq!(Amount::round(Decimal::new(99_999_999_999_995, 3)), None);
        assert_eq!(Amount::round(Decimal::MAX), None);
        let most = Amount::from_fen(Amount::MAX_FEN).unwrap();
        assert_eq!(most.checked_add(Amount::from_fen(1).unwrap()), None);
        assert_eq!(Amount::ZERO.checked_sub(most).unwrap().abs(), most);
        assert_eq!(Amount::from_fen(i64::MIN), None);
    }

    #[test]
    fn zeros_have_no_sign_and_no_tail() {
        assert_eq!("-0.00".parse::<Amount>().unwrap(), Amount::ZERO);
        assert_eq!("-0".parse::<Quantity>().unwrap().to_string(), "0");
        assert_eq!("0100.5000".parse::<Price>().unwrap().to_string(), "100.5");
        assert_eq!("6.63725000".parse::<Price>(), "6.63725".parse());
        assert_eq!("1.0".parse::<TaxRate>().unwrap().to_string(), "1");
        assert!("0.00001".parse::<TaxRate>().is_err());
        assert_eq!("999999999999.99999999".parse::<Price>().unwrap().to_string(), "999999999999.99999999");
    }

    proptest! {
        #[test]
        fn amounts_print_and_parse_alike(fen in -Amount::MAX_FEN..=Amount::MAX_FEN) {
            let amount = Amount::from_fen(fen).unwrap();
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            prop_assert_eq!(Amount::round(amount.decimal()).unwrap(), amount);
        }

        #[test]
        fn rounding_takes_the_nearer_and_of_two_the_outer(tenths_of_mille in -99_999_999_999_i64..99_999_999_999) {
            let rounded = Amount::round(Decimal::new(tenths_of_mille, 4)).unwrap().fen();
            let away = (tenths_of_mille.abs() + 50) / 100 * tenths_of_mille.signum();
            prop_assert_eq!(rounded, away);
        }

        #[test]
        fn prices_print_and_parse_alike(digits in 0_i64..1_000_000_000_000_000, scale in 0_u32..=8) {
            if let Some(price) = Price::new(Decimal::new(digits, scale)) {
                prop_assert_eq!(price.to_string().parse::<Price>().unwrap(), price);
            }
        }

        #[test]
        fn no_text_makes_an_amount_of_what_is_not_one(text in "[-+0-9.eE, ]{0,20}") {
            if let Ok(amount) = text.parse::<Amount>() {
                let digits = text.trim_start_matches('-');
                prop_assert!(digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
                prop_assert_eq!(amount.to_string().trim_start_matches('-').parse::<Amount>().unwrap(), amount.abs());
            }
        }
    }
}

//! The legal identity of a disk invoice: code and number (发票代码, 发票号码).

use std::fmt;
use std::str::FromStr;

use crate::quote::Quoted;

/// Not a code, a number or a pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NumberError(pub String);

/// 发票代码: 10 or 12 digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InvoiceCode {
    digits: [u8; 12],
    width: u8,
}

impl InvoiceCode {
    /// The digits, leading zeros kept.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.width)]).expect("a parsed code holds ASCII digits only")
    }

    /// 10 or 12.
    pub fn width(&self) -> usize {
        usize::from(self.width)
    }
}

impl FromStr for InvoiceCode {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Self, NumberError> {
        if !matches!(text.len(), 10 | 12) || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError(format!("{} is not an invoice code: 10 or 12 digits are expected", Quoted(text))));
        }
        let mut digits = [0; 12];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Ok(InvoiceCode { digits, width: if text.len() == 10 { 10 } else { 12 } })
    }
}

/// 发票号码: 8 digits, kept with their leading zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InvoiceNumber(u32);

impl InvoiceNumber {
    /// The largest number that 8 digits hold.
    pub const MAX: u32 = 99_999_999;

    /// A number of at most 8 digits; `None` above that.
    pub fn new(value: u32) -> Option<InvoiceNumber> {
        (value <= Self::MAX).then_some(InvoiceNumber(value))
    }

    /// The number as an integer, for counting only.
    pub fn value(self) -> u32 {
        self.0
    }
}

impl FromStr for InvoiceNumber {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Self, NumberError> {
        if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError(format!("{} is not an invoice number: 8 digits are expected", Quoted(text))));
        }
        text.parse().map(InvoiceNumber).map_err(|_| NumberError(format!("{} is not an invoice number", Quoted(text))))
    }
}

macro_rules! text_serde {
    ($name:ident) => {
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
    };
}

impl fmt::Display for InvoiceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for InvoiceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

text_serde!(InvoiceCode);
text_serde!(InvoiceNumber);

/// Code and number: what makes an invoice one of its own. Numbers under different codes overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct NumberPair {
    /// 发票代码.
    pub code: InvoiceCode,
    /// 发票号码.
    pub number: InvoiceNumber,
}

impl NumberPair {
    /// The next pair of the same code. `None` after 99999999. A roll may end earlier: only the device knows (ask it).
    pub fn successor(self) -> Option<NumberPair> {
        InvoiceNumber::new(self.number.0 + 1).map(|number| NumberPair { code: self.code, number })
    }

    /// The pair before this one of the same code. `None` before 00000000.
    pub fn predecessor(self) -> Option<NumberPair> {
        let number = self.number.0.checked_sub(1)?;
        Some(NumberPair { code: self.code, number: InvoiceNumber(number) })
    }
}

impl fmt::Display for NumberPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.number)
    }
}

/// Parses `code number` with one space between, as [`NumberPair`] prints it.
impl FromStr for NumberPair {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Self, NumberError> {
        let (code, number) =
            text.split_once(' ').ok_or_else(|| NumberError(format!("{} is not a code and a number", Quoted(text))))?;
        Ok(NumberPair { code: code.parse()?, number: number.parse()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pairs_keep_their_zeros_and_stop_at_the_end() {
        let pair: NumberPair = "011002000107 00000088".parse().unwrap();
        assert_eq!(pair.to_string(), "011002000107 00000088");
        assert_eq!(pair.successor().unwrap().number.to_string(), "00000089");
        assert_eq!("011002000107 99999999".parse::<NumberPair>().unwrap().successor(), None);
        assert_eq!("1100200010 00000000".parse::<NumberPair>().unwrap().predecessor(), None);
        assert!("01100200010 00000088".parse::<NumberPair>().is_err());
        assert!("011002000107 0000088".parse::<NumberPair>().is_err());
    }
}

//! Decimals in what is stored: as text, so that no float ever holds one.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serializer, de};

fn parsed<E: de::Error>(text: &str) -> Result<Decimal, E> {
    Decimal::from_str_exact(text).map_err(E::custom)
}

/// Writes a decimal.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads a decimal.
///
/// # Errors
/// No text of a decimal.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    parsed(&String::deserialize(deserializer)?)
}

/// The same for decimals that may be absent.
pub mod option {
    use super::{Decimal, Deserialize, Deserializer, Serializer, parsed};

    /// Writes a decimal, or nothing.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a decimal, or nothing.
    ///
    /// # Errors
    /// No text of a decimal.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| parsed(&text)).transpose()
    }
}

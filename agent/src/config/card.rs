//! `[disk.card]`: what a fiscal card does not tell of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::TaxRate;

/// The most tax indexes of a card.
const TAX_INDEXES_MAX: usize = 6;

/// As it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardSection {
    /// The kind that the card's numbers belong to, three digits.
    #[serde(default = "roll")]
    pub kind: String,
    /// 税目索引: the rate of each, as the tax office set the card up, such as `{ "1" = "0.13" }`.
    pub tax_indexes: BTreeMap<String, String>,
    /// The card asks for a PIN; it is kept as the disk's password.
    #[serde(default = "yes")]
    pub pin: bool,
    /// Which PIN that is.
    #[serde(default)]
    pub pin_id: u8,
    /// Buyer, items, persons and remark are printed by the till: the card does not sign them. Without it an invoice that has
    /// any of them is refused.
    #[serde(default)]
    pub content_is_printed_elsewhere: bool,
}

fn roll() -> String {
    InvoiceKind::Roll.to_string()
}

fn yes() -> bool {
    true
}

/// The same, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardSetup {
    /// Kind.
    pub kind: InvoiceKind,
    /// Rates by index.
    pub tax_indexes: Vec<(u8, TaxRate)>,
    /// It asks for a PIN.
    pub pin: bool,
    /// Which.
    pub pin_id: u8,
    /// See [`CardSection::content_is_printed_elsewhere`].
    pub content_is_printed_elsewhere: bool,
}

impl CardSection {
    pub(super) fn parse(&self) -> Result<CardSetup, String> {
        let kind = self.kind.parse().map_err(|_| format!("card.kind {:?} is no kind of invoice.", self.kind))?;
        if self.tax_indexes.is_empty() || self.tax_indexes.len() > TAX_INDEXES_MAX {
            return Err(format!("card.tax_indexes must name 1 to {TAX_INDEXES_MAX} rates."));
        }
        let mut tax_indexes = Vec::new();
        for (index, rate) in &self.tax_indexes {
            let number = index.parse().map_err(|_| format!("card.tax_indexes: {index:?} is no index."))?;
            let rate = rate.parse().map_err(|_| format!("card.tax_indexes: {rate:?} is no tax rate such as \"0.13\"."))?;
            tax_indexes.push((number, rate));
        }
        Ok(CardSetup {
            kind,
            tax_indexes,
            pin: self.pin,
            pin_id: self.pin_id,
            content_is_printed_elsewhere: self.content_is_printed_elsewhere,
        })
    }
}

//! The two tables of the mapping: item names (`demo/northwind-items.tsv`) and tax rates by category.
//!
//! The rates are those of the sample's shop. They are no advice on what a product is taxed with.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rust_decimal::Decimal;

/// Product and item name, tab-separated, one a line, the first line a heading.
const ITEM_TABLE: &str = include_str!("../../../demo/northwind-items.tsv");

/// Item name by product. Names are unique and at most 20 GBK bytes, the narrowest item field of the dialects (tested).
pub static ITEMS: LazyLock<BTreeMap<&'static str, &'static str>> =
    LazyLock::new(|| ITEM_TABLE.lines().skip(1).filter_map(|row| row.split_once('\t')).collect());

/// The item name that stands for a product on an invoice.
pub fn item_name(product: &str) -> Option<&'static str> {
    ITEMS.get(product).copied()
}

/// Percent by category: 9 for farm produce and staple food, 13 for what a factory made of it.
const RATES: [(&str, i64); 8] = [
    ("Beverages", 13),
    ("Condiments", 13),
    ("Confections", 13),
    ("Dairy Products", 9),
    ("Grains/Cereals", 9),
    ("Meat/Poultry", 9),
    ("Produce", 9),
    ("Seafood", 9),
];

/// The tax rate of a category, as a fraction.
pub fn rate(category: &str) -> Option<Decimal> {
    RATES.iter().find(|(name, _)| *name == category).map(|(_, percent)| Decimal::new(*percent, 2))
}

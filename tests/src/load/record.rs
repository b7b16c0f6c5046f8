//! What a measurement leaves behind for `cargo xtask bench --record`, which makes a file of docs/bench, tables and pictures of
//! it.

use std::collections::BTreeMap;

use serde::Serialize;

/// The variable that names the file; without it nothing is written.
const PLACE: &str = "TAXDISK_TEST_RECORD";

/// All rows of a run.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// In the order in which they are shown.
    pub rows: Vec<Row>,
    /// What was not measured, and why; what a reader must know.
    pub notes: Vec<String>,
}

/// One figure.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Row {
    /// Rows of one group make one table and one picture, and have one unit.
    pub group: String,
    /// What was measured.
    pub name: String,
    /// Of the values.
    pub unit: &'static str,
    /// Of each round; the median is what is shown first.
    pub values: Vec<f64>,
    /// Medians of what was seen beside it, named with their units.
    pub beside: BTreeMap<&'static str, f64>,
}

impl Row {
    /// A figure of these rounds.
    pub fn new(group: &str, name: &str, unit: &'static str, values: &[f64]) -> Row {
        let values = values.iter().copied().map(short).collect();
        Row { group: group.to_owned(), name: name.to_owned(), unit, values, beside: BTreeMap::new() }
    }

    /// With a median beside it.
    #[must_use]
    pub fn beside(mut self, name: &'static str, values: &[f64]) -> Row {
        self.beside.insert(name, short(super::median(values.to_vec())));
        self
    }
}

impl Record {
    /// Writes the file, if one is asked for.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn leave(&self) {
        if let Some(place) = std::env::var_os(PLACE) {
            let text = serde_json::to_string_pretty(self).expect("figures are JSON");
            std::fs::write(&place, text + "\n").unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        }
    }
}

/// Four digits: what is behind them is noise.
fn short(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_digits_and_medians_stand_beside_them() {
        let row = Row::new("g", "n", "ms", &[1234.567, 0.000_123_456]).beside("p50 ms", &[3.0, 1.0, 2.0]);
        assert_eq!(row.values, [1235.0, 0.000_123_5]);
        assert_eq!(row.beside["p50 ms"], 2.0);
    }
}

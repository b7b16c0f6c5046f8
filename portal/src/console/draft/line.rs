//! A line of a draft: texts as they were written, and the line that they stand for.

use rust_decimal::Decimal;

use crate::document::{Line, derive};
use crate::files::goods::exact_decimal;
use crate::files::{Entry, Goods};

/// Place of the price in the cells of goods.
pub(super) const PRICE: usize = 3;

/// A line as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::console) struct LineText {
    /// Cells of the goods.
    pub(in crate::console) cells: [String; 9],
    pub(in crate::console) quantity: String,
    /// With tax.
    pub(in crate::console) gross: String,
}

impl LineText {
    /// What goods bring along.
    pub(in crate::console) fn of(goods: &Goods) -> LineText {
        let mut cells: [String; 9] = Default::default();
        for (place, cell) in goods.cells().into_iter().enumerate().take(cells.len()) {
            cells[place] = cell;
        }
        LineText { cells, ..LineText::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        // YHZCBS is a choice that always says something.
        let written = self.cells.iter().enumerate().any(|(place, cell)| place != 6 && !cell.is_empty());
        !written && self.quantity.is_empty() && self.gross.is_empty()
    }

    /// The line that it stands for.
    pub(super) fn read(&self) -> Result<Line, Vec<String>> {
        let named = |(place, text): (Option<usize>, String)| match place {
            Some(place) => format!("{}：{text}", Goods::COLUMNS[place].heading),
            None => text,
        };
        let goods = Goods::read(&self.cells);
        let mut faults: Vec<String> = goods.as_ref().err().into_iter().flatten().map(|fault| named(fault.clone())).collect();
        let mut positive = |text: &str, name: &str, digits: u32, decimals: u32| match text {
            "" => None,
            text => match exact_decimal(text, (digits, decimals)) {
                Ok(value) if value > Decimal::ZERO => Some(value),
                Ok(_) => {
                    faults.push(format!("{name}：应大于 0"));
                    None
                }
                Err(why) => {
                    faults.push(format!("{name}：{why}"));
                    None
                }
            },
        };
        let quantity = positive(&self.quantity, "数量", 15, 6);
        let written = positive(&self.gross, "含税金额", 15, 2);
        let Ok(goods) = goods else { return Err(faults) };
        let product = quantity.zip(goods.price).and_then(|(quantity, price)| quantity.checked_mul(price)).map(derive::cents);
        let gross = match (written, product) {
            (Some(gross), Some(product)) if (gross - product).abs() > derive::PRODUCT_TOLERANCE => {
                faults.push(format!("含税金额：为 {gross:.2}，而数量 × 含税单价为 {product:.2}"));
                None
            }
            (Some(gross), _) => Some(gross),
            (None, product) => {
                if product.is_none() && faults.is_empty() {
                    faults.push("含税金额：请填写，或填写数量和含税单价".to_owned());
                }
                product
            }
        };
        match gross {
            Some(gross) if faults.is_empty() => Ok(goods.line(quantity, gross)),
            _ => Err(faults),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(cells: [&str; 9], quantity: &str, gross: &str) -> LineText {
        LineText { cells: cells.map(str::to_owned), quantity: quantity.to_owned(), gross: gross.to_owned() }
    }

    const COFFEE: [&str; 9] = ["咖啡", "", "杯", "28.5", "0.06", "1030307010000000000", "0", "", ""];

    #[test]
    fn a_line_has_its_amount_or_quantity_and_price_and_never_two_that_differ() {
        let gross = |quantity: &str, gross: &str| line(COFFEE, quantity, gross).read().map(|line| format!("{:.2}", line.gross));
        assert_eq!(gross("2", "").unwrap(), "57.00");
        assert_eq!(gross("", "30").unwrap(), "30.00");
        assert_eq!(gross("2", "57.01").unwrap(), "57.01", "one cent is rounding");
        assert!(gross("2", "60").unwrap_err()[0].contains("57.00"));
        assert!(gross("", "").is_err() && gross("-1", "").is_err() && gross("1", "0").is_err());
        assert!(gross("1", "28.505").unwrap_err()[0].contains("小数"), "money is never rounded by us");
        let mut unpriced = COFFEE;
        unpriced[PRICE] = "";
        assert!(line(unpriced, "2", "").read().is_err(), "nobody knows how much");
    }
}

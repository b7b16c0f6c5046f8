//! The content of a full red: the blue invoice as it was issued, with its signs turned (invoice-rules.md, section 8).

use rust_decimal::Decimal;
use taxdisk_protocol::api::{InvoiceBody, LineBody, PairBody, TotalsBody};

use super::submission::money;

/// Turns a blue invoice. Quantities turn with the amounts, prices stay positive. `persons`: who issues the red.
pub fn turned(blue: &InvoiceBody, original: &PairBody, persons: [String; 3]) -> Option<InvoiceBody> {
    let [clerk, payee, reviewer] = persons;
    let lines: Option<Vec<LineBody>> = blue.lines.iter().map(turned_line).collect();
    Some(InvoiceBody {
        buyer: blue.buyer.clone(),
        lines: lines?,
        totals: TotalsBody {
            net: negative(&blue.totals.net)?,
            tax: negative(&blue.totals.tax)?,
            gross: negative(&blue.totals.gross)?,
        },
        remark: remark(original),
        clerk,
        payee,
        reviewer,
        notice: String::new(),
    })
}

/// A red names its original in the remark.
pub fn remark(original: &PairBody) -> String {
    format!("对应正数发票代码:{}号码:{}", original.code, original.number)
}

fn turned_line(line: &LineBody) -> Option<LineBody> {
    let quantity = match &line.quantity {
        Some(quantity) => Some((-Decimal::from_str_exact(quantity).ok()?).normalize().to_string()),
        None => None,
    };
    let deduction = match &line.deduction {
        Some(deduction) => Some(negative(deduction)?),
        None => None,
    };
    Some(LineBody { quantity, deduction, net: negative(&line.net)?, tax: negative(&line.tax)?, ..line.clone() })
}

fn negative(amount: &str) -> Option<String> {
    let amount = Decimal::from_str_exact(amount).ok()?;
    // Zero has no sign.
    Some(money(if amount.is_zero() { amount } else { -amount }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use taxdisk_protocol::api::BuyerBody;

    use super::*;

    #[test]
    fn a_red_mirrors_every_amount_and_keeps_the_price() {
        let line = LineBody {
            name: "货".to_owned(),
            quantity: Some("3".to_owned()),
            price: Some("8.76".to_owned()),
            net: "26.28".to_owned(),
            rate: "0.13".to_owned(),
            tax: "0.00".to_owned(),
            ..LineBody::default()
        };
        let blue = InvoiceBody {
            buyer: BuyerBody { name: "购方".to_owned(), ..BuyerBody::default() },
            lines: vec![line],
            totals: TotalsBody { net: "26.28".to_owned(), tax: "0.00".to_owned(), gross: "26.28".to_owned() },
            ..InvoiceBody::default()
        };
        let original = PairBody { code: "011002000107".to_owned(), number: "00000001".to_owned() };
        let red = turned(&blue, &original, [const { String::new() }; 3]).unwrap();
        assert_eq!((red.lines[0].net.as_str(), red.lines[0].tax.as_str()), ("-26.28", "0.00"));
        assert_eq!((red.lines[0].quantity.as_deref(), red.lines[0].price.as_deref()), (Some("-3"), Some("8.76")));
        assert_eq!(red.totals.gross, "-26.28");
        assert!(red.remark.contains("011002000107") && red.remark.contains("00000001"));
    }
}

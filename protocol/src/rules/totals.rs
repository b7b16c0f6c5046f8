//! The head of an invoice (invoice-rules.md, section 3): sums of the lines, exact to the fen, never recomputed from a total.

use rust_decimal::Decimal;

use super::parse::Draft;
use super::{Breaches, Rule};
use crate::calc;
use crate::invoice::{Line, Totals};
use crate::money::Amount;

/// How far the tax total may be from the unrounded tax of all lines, in fen. Beyond it checkers say "split the order".
const TAX_DRIFT_MAX_FEN: i64 = 127;

/// The sums that hold for every invoice, blue or red, under every rule set.
pub(super) fn check_sums(draft: &Draft, found: &mut Breaches) {
    let Some(totals) = &draft.totals else { return };
    if i128::from(totals.gross.fen()) != i128::from(totals.net.fen()) + i128::from(totals.tax.fen()) {
        let detail = format!("{} is not {} + {}", totals.gross, totals.net, totals.tax);
        found.add(Rule::TotalGross, "/invoice/totals/gross", detail);
    }
    let Some(lines) = all_lines(draft) else { return };
    check_sum("net", totals.net, lines.iter().map(|line| line.net), Rule::TotalNet, found);
    check_sum("tax", totals.tax, lines.iter().map(|line| line.tax), Rule::TotalTax, found);
}

/// The rules over the head that need to know what is asked.
pub(super) fn check(draft: &Draft, is_red: bool, found: &mut Breaches) {
    let Some(totals) = &draft.totals else { return };
    check_sign(totals, is_red, found);
    let Some(lines) = all_lines(draft) else { return };
    let unrounded: Decimal = lines.iter().map(|line| calc::unrounded_tax(line.net, line.rate, line.deduction)).sum();
    let drift = (totals.tax.decimal() - unrounded).abs();
    if drift > Decimal::new(TAX_DRIFT_MAX_FEN, 2) {
        let detail =
            format!("{} is {drift:.2} from the unrounded tax of the lines; at most 1.27 is allowed: split it", totals.tax);
        found.add(Rule::TotalTax, "/invoice/totals/tax", detail);
    }
}

fn check_sign(totals: &Totals, is_red: bool, found: &mut Breaches) {
    let gross = totals.gross.fen();
    if is_red && gross >= 0 {
        found.add(Rule::TotalSign, "/invoice/totals/gross", "the total of a red invoice must be below zero");
    }
    if !is_red && gross <= 0 {
        found.add(Rule::TotalSign, "/invoice/totals/gross", "the total must be above zero");
    }
}

fn check_sum(field: &str, total: Amount, parts: impl Iterator<Item = Amount>, rule: Rule, found: &mut Breaches) {
    let sum: i128 = parts.map(|part| i128::from(part.fen())).sum();
    if sum != i128::from(total.fen()) {
        let sign = if sum < 0 { "-" } else { "" };
        let sum = sum.unsigned_abs();
        let detail = format!("{total} is not the sum of the lines, {sign}{}.{:02}", sum / 100, sum % 100);
        found.add(rule, format!("/invoice/totals/{field}"), detail);
    }
}

fn all_lines(draft: &Draft) -> Option<Vec<&Line>> {
    draft.lines.iter().map(Option::as_ref).collect()
}

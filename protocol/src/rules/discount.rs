//! Discount lines (invoice-rules.md, section 4): a discount directly follows its line, looks like it, and is not larger.

use super::parse::{Draft, at};
use super::{Breaches, Rule};
use crate::invoice::{Line, LineKind};

pub(super) fn check(draft: &Draft, is_red: bool, found: &mut Breaches) {
    let lines = &draft.lines;
    for (index, line) in draft.known_lines() {
        match line.kind {
            LineKind::Normal => {}
            LineKind::Discounted => check_discounted(index, lines.get(index + 1), is_red, found),
            LineKind::Discount => {
                check_fields(index, line, found);
                match index.checked_sub(1).map(|above| &lines[above]) {
                    Some(None) => {}
                    Some(Some(above)) if above.kind == LineKind::Discounted => check_pair(index, line, above, is_red, found),
                    _ => {
                        let detail = "a discount line must directly follow a line of the kind discounted";
                        found.add(Rule::DiscountPlace, at(index, "kind"), detail);
                    }
                }
            }
        }
    }
}

/// `next`: the line below; the inner `None` is one that could not be read.
fn check_discounted(index: usize, next: Option<&Option<Line>>, is_red: bool, found: &mut Breaches) {
    let detail = match next {
        None => "a discounted line cannot be the last one: its discount line is missing",
        // A red invoice may reverse the line without its discount.
        Some(Some(next)) if next.kind != LineKind::Discount && !is_red => "the line after a discounted line must be its discount",
        _ => return,
    };
    found.add(Rule::DiscountPlace, at(index, "kind"), detail);
}

fn check_fields(index: usize, line: &Line, found: &mut Breaches) {
    let given = [
        ("specification", !line.specification.is_empty()),
        ("unit", !line.unit.is_empty()),
        ("quantity", line.quantity.is_some()),
        ("price", line.price.is_some()),
        ("deduction", line.deduction.is_some()),
    ];
    for (field, _) in given.into_iter().filter(|(_, given)| *given) {
        found.add(Rule::DiscountFields, at(index, field), format!("a discount line has no {field}: leave it out"));
    }
}

fn check_pair(index: usize, discount: &Line, above: &Line, is_red: bool, found: &mut Breaches) {
    // Old red invoices name the discount 折扣行数…; they reverse what was issued so.
    let old_red_form = is_red && discount.name.starts_with("折扣");
    let equal = [
        ("name", discount.name == above.name || old_red_form),
        ("goods_code", discount.goods_code == above.goods_code),
        ("rate", discount.rate == above.rate),
    ];
    for (field, _) in equal.into_iter().filter(|(_, equal)| !*equal) {
        found.add(
            Rule::DiscountMatch,
            at(index, field),
            format!("the {field} of a discount line must be that of the line above"),
        );
    }
    let gross = |line: &Line| (line.net.decimal() + line.tax.decimal()).abs();
    if gross(discount) > gross(above) {
        let detail = format!("the discount with tax, {:.2}, is larger than its line, {:.2}", gross(discount), gross(above));
        found.add(Rule::DiscountSize, at(index, "net"), detail);
    }
}

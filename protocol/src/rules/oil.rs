//! Refined oil (成品油; invoice-rules.md, section 5): it stands alone, is counted in litres or tonnes, and is short.

use super::parse::{Draft, at};
use super::{Breaches, Rule, RuleSet};
use crate::invoice::{Line, LineKind};

/// Goods codes of refined oil begin so. Common knowledge of the trade, not a verified list: hence the switch.
const CODES: &str = "1070101";
/// The most lines of an oil invoice; it has no list.
const LINES_MAX: usize = 8;

pub(super) fn check(draft: &Draft, rules: &RuleSet, found: &mut Breaches) {
    if !rules.oil || !draft.known_lines().any(|(_, line)| is_oil(line)) {
        return;
    }
    if draft.lines.len() > LINES_MAX {
        let detail = format!("{} lines; an invoice of refined oil has at most {LINES_MAX}", draft.lines.len());
        found.add(Rule::Oil, "/invoice/lines", detail);
    }
    for (index, line) in draft.known_lines() {
        if !is_oil(line) {
            let detail = "refined oil and other goods cannot stand on one invoice: split it";
            found.add(Rule::Oil, at(index, "goods_code"), detail);
            continue;
        }
        if line.kind == LineKind::Discount {
            continue;
        }
        if !matches!(line.unit.as_str(), "升" | "吨") {
            found.add(Rule::Oil, at(index, "unit"), "the unit of refined oil is 升 or 吨");
        }
        if line.quantity.is_none() {
            found.add(Rule::Oil, at(index, "quantity"), "refined oil needs a quantity");
        }
    }
}

fn is_oil(line: &Line) -> bool {
    line.goods_code.as_deref().is_some_and(|code| code.starts_with(CODES))
}

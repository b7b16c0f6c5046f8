//! Bounds that hold for every dialect: how long a text and how many lines are looked at, and what text must not hold.

use super::{Breaches, Rule};
use crate::kind::InvoiceKind;

/// The most lines of any invoice (electronic kinds; invoice-rules.md, section 6). Lines beyond it are not looked at.
pub const LINES_MAX: usize = 100;
/// The most characters of any text. The widest field of all dialects is the remark of a paper invoice, 230 bytes; this leaves
/// room for texts that only the disk may judge.
pub const TEXT_CHARS_MAX: usize = 500;
/// Lines of a roll invoice. The paper decides (section 6 names 6 or 7 short ones), and rolls are cut by the metre: this only
/// stops what no till prints.
const ROLL_LINES_MAX: usize = 25;

/// The most lines of a kind.
pub(super) fn kind_lines(kind: InvoiceKind) -> usize {
    match kind {
        InvoiceKind::Roll => ROLL_LINES_MAX,
        _ => LINES_MAX,
    }
}

/// A text that may be empty.
pub(super) fn text(value: &str, pointer: &str, found: &mut Breaches) {
    let length = value.chars().count();
    if length > TEXT_CHARS_MAX {
        found.add(Rule::TooLong, pointer, format!("{length} characters; at most {TEXT_CHARS_MAX} are allowed"));
    }
    if let Some((at, c)) = value.chars().enumerate().find(|(_, c)| c.is_control()) {
        let code = u32::from(c);
        found.add(Rule::Control, pointer, format!("the control character U+{code:04X} at character {} is not allowed", at + 1));
    }
}

/// A text that must say something.
pub(super) fn required(value: &str, pointer: &str, found: &mut Breaches) {
    if value.trim().is_empty() {
        found.add(Rule::Missing, pointer, "this must not be empty");
    }
    text(value, pointer, found);
}

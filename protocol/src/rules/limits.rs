//! Bounds that hold for every dialect: how long a text and how many lines are looked at, and what text must not hold.

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick as is_nfc_quick_of};

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
    if let Some((at, c)) = value.chars().enumerate().find(|(_, c)| is_unseen(*c)) {
        let (code, at) = (u32::from(c), at + 1);
        let text = format!("U+{code:04X} at character {at} is not seen, or makes people read something else than is written");
        found.add(Rule::Invisible, pointer, text);
    } else if !is_nfc_quick(value) && !is_nfc(value) {
        let text = "the text is not in Unicode's form NFC: write each letter with its accent as one character".to_owned();
        found.add(Rule::Invisible, pointer, text);
    }
}

/// Shows nothing, or changes the order in which its neighbours are shown (Unicode UAX #9, Trojan Source): two names that look
/// alike would be two, and a name could read as another one. Variation selectors and the joiners of some scripts are among
/// them; no name in a Chinese register has one. Private use is not: registers write rare characters so.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// Nearly every text is: what is left is looked at in full.
fn is_nfc_quick(value: &str) -> bool {
    value.is_ascii() || is_nfc_quick_of(value.chars()) == IsNormalized::Yes
}

/// Characters that GBK has twice (郎, 凉) are none for NFC, and stand in registers all the same.
fn is_nfc(value: &str) -> bool {
    let plain = || value.chars().filter(|c| !('\u{F900}'..='\u{FAFF}').contains(c));
    plain().nfc().eq(plain())
}

/// A text that must say something.
pub(super) fn required(value: &str, pointer: &str, found: &mut Breaches) {
    if value.trim().is_empty() {
        found.add(Rule::Missing, pointer, "this must not be empty");
    }
    text(value, pointer, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(value: &str) -> Vec<String> {
        let mut found = Breaches::default();
        text(value, "/buyer/name", &mut found);
        found.0.into_iter().map(|breach| breach.code).collect()
    }

    #[test]
    fn what_is_not_seen_or_misleads_is_refused_and_what_registers_hold_is_not() {
        for good in
            ["北京测试有限公司", "Café Zürich", "㈱东芝（中国）", "\u{E000}氏", "ｶﾞ", "阿布都·热合曼", "한국", "\u{F979}茶店"]
        {
            assert_eq!(rules(good), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "北京\u{200B}公司",
            "\u{202E}司公",
            "A\u{2066}B",
            "公司\u{FEFF}",
            "公\u{00AD}司",
            "\u{3164}",
            "☺\u{FE0F}",
            "Cafe\u{301}",
            "\u{1112}\u{1161}",
        ] {
            assert_eq!(rules(bad), ["invisible_character"], "{bad:?}");
        }
    }
}

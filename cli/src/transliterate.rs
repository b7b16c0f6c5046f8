//! Writes letters that GBK lacks with letters that it has, when a person asked for it, and tells what was changed.
//!
//! Off unless asked: a name on a legal document is the buyer's. Only letters of [`TABLE`] are touched and only where GBK
//! cannot encode them; any other character stays, and the broker refuses it with its place.

use taxdisk_protocol::api::JobSubmission;
use taxdisk_protocol::gbk;

/// What a letter that GBK lacks becomes. Letters with an acute, a grave or a circumflex on `e` and some others are in GBK
/// (they spell Pinyin) and stay as they are.
pub const TABLE: &[(char, &str)] = &[
    ('Ä', "Ae"),
    ('Ö', "Oe"),
    ('Ü', "Ue"),
    ('ä', "ae"),
    ('ö', "oe"),
    ('ß', "ss"),
    ('Å', "Aa"),
    ('å', "aa"),
    ('Æ', "Ae"),
    ('æ', "ae"),
    ('Ø', "Oe"),
    ('ø', "oe"),
    ('À', "A"),
    ('Á', "A"),
    ('Â', "A"),
    ('Ã', "A"),
    ('â', "a"),
    ('ã', "a"),
    ('Ç', "C"),
    ('ç', "c"),
    ('È', "E"),
    ('É', "E"),
    ('Ê', "E"),
    ('Ë', "E"),
    ('ë', "e"),
    ('Í', "I"),
    ('Î', "I"),
    ('Ï', "I"),
    ('î', "i"),
    ('ï', "i"),
    ('Ñ', "N"),
    ('ñ', "n"),
    ('Ó', "O"),
    ('Ô', "O"),
    ('Õ', "O"),
    ('ô', "o"),
    ('õ', "o"),
    ('Ú', "U"),
    ('Û', "U"),
    ('û', "u"),
    ('ý', "y"),
    ('ÿ', "y"),
];

/// One text that was changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// JSON pointer into the job.
    pub pointer: String,
    /// As it was.
    pub from: String,
    /// As it is now.
    pub to: String,
}

/// The text with every letter of the table that GBK lacks replaced; `None` if nothing changed.
pub fn text(original: &str) -> Option<String> {
    let mut changed = false;
    let mut result = String::with_capacity(original.len());
    for letter in original.chars() {
        match TABLE.iter().find(|(from, _)| *from == letter) {
            Some((_, to)) if !in_gbk(letter) => {
                changed = true;
                result.push_str(to);
            }
            _ => result.push(letter),
        }
    }
    changed.then_some(result)
}

/// Changes the free texts of a job and says which.
pub fn job(job: &mut JobSubmission) -> Vec<Change> {
    let Some(invoice) = &mut job.invoice else { return Vec::new() };
    let mut changes = Vec::new();
    let mut apply = |pointer: String, field: &mut String| {
        if let Some(to) = text(field) {
            let from = std::mem::replace(field, to.clone());
            changes.push(Change { pointer, from, to });
        }
    };
    apply("/invoice/buyer/name".to_owned(), &mut invoice.buyer.name);
    apply("/invoice/buyer/address_phone".to_owned(), &mut invoice.buyer.address_phone);
    apply("/invoice/buyer/bank_account".to_owned(), &mut invoice.buyer.bank_account);
    for (index, line) in invoice.lines.iter_mut().enumerate() {
        apply(format!("/invoice/lines/{index}/name"), &mut line.name);
        apply(format!("/invoice/lines/{index}/specification"), &mut line.specification);
        apply(format!("/invoice/lines/{index}/unit"), &mut line.unit);
    }
    apply("/invoice/remark".to_owned(), &mut invoice.remark);
    apply("/invoice/clerk".to_owned(), &mut invoice.clerk);
    apply("/invoice/payee".to_owned(), &mut invoice.payee);
    apply("/invoice/reviewer".to_owned(), &mut invoice.reviewer);
    changes
}

fn in_gbk(letter: char) -> bool {
    gbk::width(letter.encode_utf8(&mut [0; 4])).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn letters_outside_gbk_are_spelt_and_all_others_stay() {
        assert_eq!(text("Toms Spezialitäten").unwrap(), "Toms Spezialitaeten");
        assert_eq!(text("Tradição Hipermercados").unwrap(), "Tradicao Hipermercados");
        assert_eq!(text("Königlich Essen").unwrap(), "Koeniglich Essen");
        // These are in GBK as they are.
        for kept in ["Galería del gastrónomo", "Suprêmes délices", "个人", "Müller"] {
            assert_eq!(text(kept), None, "{kept}");
        }
        // What the table does not know stays for the broker to refuse.
        assert_eq!(text("Łódź 🍜"), None);
    }

    #[test]
    fn every_row_is_ascii_and_no_row_is_given_twice() {
        for (index, (letter, spelt)) in TABLE.iter().enumerate() {
            assert!(spelt.is_ascii() && !spelt.is_empty());
            assert!(!in_gbk(*letter), "{letter} is in GBK: the row has no effect");
            assert!(TABLE[..index].iter().all(|(other, _)| other != letter), "{letter} stands twice");
        }
    }

    #[test]
    fn every_changed_field_is_named() {
        let mut submission = JobSubmission { invoice: Some(Default::default()), ..JobSubmission::default() };
        let invoice = submission.invoice.as_mut().unwrap();
        invoice.buyer.name = "ä".to_owned();
        invoice.lines.push(taxdisk_protocol::api::LineBody { name: "ö".to_owned(), ..Default::default() });
        invoice.remark = "plain".to_owned();
        let changes = job(&mut submission);
        assert_eq!(
            changes.iter().map(|c| c.pointer.as_str()).collect::<Vec<_>>(),
            ["/invoice/buyer/name", "/invoice/lines/0/name"]
        );
        assert_eq!(submission.invoice.unwrap().lines[0].name, "oe");
    }
}

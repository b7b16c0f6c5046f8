//! What each operation needs: an original for voids and reds, content for issues and reds (invoice-rules.md, sections 8, 9).
//!
//! Whether the original exists, was reversed before, or lies in a closed period is not known here: ledger and disk say so.

use super::{Breaches, Rule, RuleSet};
use crate::api::{JobSubmission, Operation};
use crate::kind::InvoiceKind;

/// Characters of a 信息表编号 at most. 16 digits are known, and are what disks take; other interfaces declare up to 30.
const NOTICE_CHARS_MAX: usize = 30;

/// The form of a 信息表编号, where there is one.
pub(super) fn check_notice_form(notice: &str, found: &mut Breaches) {
    if notice.len() > NOTICE_CHARS_MAX || !notice.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let detail = format!("an information-table number has at most {NOTICE_CHARS_MAX} ASCII letters and digits");
        found.add(Rule::Notice, "/invoice/notice", detail);
    }
}

/// A red special invoice names the information table that allows it (invoice-rules.md, section 8); no other has one.
pub(super) fn check_notice(notice: &str, kind: InvoiceKind, is_red: bool, found: &mut Breaches) {
    let needed = is_red && kind.is_special();
    if needed && notice.is_empty() {
        let detail = "a red special invoice needs the number of its information table (信息表编号)";
        found.add(Rule::Notice, "/invoice/notice", detail);
    }
    if !needed && !notice.is_empty() {
        found.add(Rule::Notice, "/invoice/notice", "only a red special invoice has an information-table number: leave it out");
    }
}

pub(super) fn check_operation(submission: &JobSubmission, kind: Option<InvoiceKind>, rules: &RuleSet, found: &mut Breaches) {
    match (submission.operation, &submission.original) {
        (Operation::Issue, Some(_)) => {
            let detail = "an issue job has no original: leave it out, or ask for red to reverse that invoice";
            found.add(Rule::Original, "/original", detail);
        }
        (Operation::Void | Operation::Red, None) => {
            found.add(Rule::Original, "/original", "code and number of the invoice that this is about are needed");
        }
        _ => {}
    }
    match (submission.operation, &submission.invoice) {
        (Operation::Void, Some(_)) => found.add(Rule::Content, "/invoice", "a void job has no content: leave it out"),
        (Operation::Issue | Operation::Red, None) => found.add(Rule::Content, "/invoice", "the content of the invoice is needed"),
        _ => {}
    }
    if let (Operation::Void, Some(kind)) = (submission.operation, kind)
        && rules.electronic_not_voided
        && kind.is_electronic()
    {
        found.add(Rule::VoidKind, "/operation", format!("{} is never voided: ask for a red invoice", kind.name()));
    }
}

//! What each operation needs: an original for voids and reds, content for issues and reds (invoice-rules.md, sections 8, 9).
//!
//! Whether the original exists, was reversed before, or lies in a closed period is not known here: ledger and disk say so.

use super::{Breaches, Rule, RuleSet};
use crate::api::{JobSubmission, Operation};
use crate::kind::InvoiceKind;

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

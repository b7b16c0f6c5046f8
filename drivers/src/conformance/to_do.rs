//! What is left to do on a driver that does not pass yet: the methods of [`crate::disk::TaxDisk`] in the order in which they
//! are best written, what has to be known for each, and the cases that it turns green.
//!
//! A skeleton fails nearly everywhere with its first call. So a case stands here under the *last* method that it needs.

use std::fmt::Write as _;

use super::{CaseReport, Finding, Report};

/// A method, or a few that are written together.
pub(super) struct Step {
    /// What to write.
    pub(super) method: &'static str,
    /// What has to be known of the device before.
    facts: &'static str,
    /// The cases that pass once it and all before it are written.
    pub(super) cases: &'static [&'static str],
}

/// In the order in which they are best written: reading first, changing last.
pub(super) const STEPS: &[Step] = &[
    Step {
        method: "identity, identity_proves",
        facts: "how the disk tells the number inside it, its taxpayer with the name, and its kinds; whether a password goes with \
                the question, and how a wrong one is refused with the tries that are left",
        cases: &["the identity is the disk's", "a wrong password costs one try and is not sent again"],
    },
    Step {
        method: "stock",
        facts: "code and number that come next, what is left of all segments, and how an empty disk says so",
        cases: &["stock is read as the disk has it"],
    },
    Step {
        method: "limits",
        facts: "which limits and dates the disk tells, and their units; what it does not tell is None",
        cases: &["an invoice limit holds and is told"],
    },
    Step {
        method: "capabilities, issue",
        facts: "every field of the issuing command with its width and character set, the most lines, how discounts are written, \
                what checks the expected pair; from which byte on the command may run; each refusal and its class",
        cases: &[
            "an invoice is issued once, as it was asked for",
            "a discount keeps its sums",
            "text that is too wide is refused before it is sent",
            "too many lines are refused before they are sent",
            "the last blank is used",
        ],
    },
    Step {
        method: "query, compare",
        facts: "how a number is asked for, how the device itself says that it has none (everything else is an error), the five \
                states of a number, and what the device rewrites of what it was given",
        cases: &[
            "an invoice reads back equal, and another one does not",
            "the last number is told",
            "a number that was never used is absent",
            "a number asked under another kind is not found",
        ],
    },
    Step {
        method: "fence, handshake, resync",
        facts: "the silence after which nothing older can still answer, a round trip that changes nothing, and whether the device \
                works off one command after the other, names the command that it answers, or neither",
        cases: &[
            "a locked disk issues nothing and can be read",
            "a lost command, then settling by reads",
            "a lost answer, then settling by reads",
            "a damaged answer, then settling by reads",
            "an answer in pieces, then settling by reads",
            "a refusal before signing, then settling by reads",
            "a refusal after signing, then settling by reads",
            "a busy device, then settling by reads",
            "a foreign invoice just before, then settling by reads",
            "a power cut before signing, then settling by reads",
            "a power cut after signing, then settling by reads",
        ],
    },
    Step {
        method: "operate, with capabilities.operations",
        facts: "void, blank void, report, clear, upload and password change: which of them the device has, what each changes, and \
                by which reading each is proven",
        cases: &[
            "a void is proven by its number",
            "a blank void takes the expected number",
            "a period is reported",
            "report and clear end a lock",
            "an operation that the dialect has not is refused before it is sent",
        ],
    },
    Step {
        method: "issue of a red invoice, with capabilities.red",
        facts: "how the original and the notice (信息表) are named, and the sign of the amounts",
        cases: &["a red invoice names the invoice that it reverses"],
    },
    Step {
        method: "find, with capabilities.finds_request",
        facts: "whether the device keeps the request that an invoice was issued for, and proof on a known one that it finds by it",
        cases: &["a number is found by its request"],
    },
];

/// The list for people. Empty when no case fails.
pub fn to_do(report: &Report) -> String {
    let failed = |name: &&&str| report.failures().any(|case| case.name == **name);
    let steps = STEPS.iter().map(|step| (step, step.cases.iter().filter(failed).collect::<Vec<_>>()));
    let steps: Vec<_> = steps.filter(|(_, cases)| !cases.is_empty()).collect();
    let mut text = String::new();
    if steps.is_empty() {
        return text;
    }
    let _ = writeln!(text, "{}: {} of {} cases are left to do.", report.stand, report.failures().count(), report.cases.len());
    for (place, (step, cases)) in (1..).zip(&steps) {
        let next = if place == 1 { "  <- write this next" } else { "" };
        let _ = writeln!(text, "\n{place}. {}{next}\n   Facts: {}.\n   Turns green:", step.method, step.facts);
        for name in cases {
            let _ = writeln!(text, "     {name}");
        }
    }
    let now = steps.first().and_then(|(_, cases)| cases.first()).and_then(|name| said(report, name));
    let _ = write!(text, "\nNow: {}", now.unwrap_or_default());
    text
}

/// Why a case fails.
fn said<'a>(report: &'a Report, name: &str) -> Option<&'a str> {
    let case: &CaseReport = report.cases.iter().find(|case| case.name == name)?;
    match &case.finding {
        Finding::Fail(what) => Some(what),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! Voids and reds: what they leave on their original, and the rules that need to know the original (invoice-rules.md, sections 8
//! and 9). What only the disk knows (whether a period was reported, whether another program reversed it) is not judged here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{DiskReport, Operation, PairBody};
use crate::error::Breach;
use crate::ids::{DiskNumber, SerialNumber};
use crate::money::Amount;
use crate::number::NumberPair;
use crate::rules::{Rule, RuleSet};
use crate::time::Timestamp;

/// What became of an issued invoice by a void or red job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UndoneView {
    /// Serial number of that job.
    pub serial: String,
    /// When the broker learned of it, RFC 3339.
    pub at: String,
    /// The red invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<PairBody>,
    /// Its gross amount, below zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gross: Option<String>,
}

/// What an attempt does to an earlier invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undoing {
    /// It issues an invoice that undoes none.
    Nothing,
    /// It voids or reverses this one.
    Of(NumberPair),
}

impl Undoing {
    /// The invoice that is undone.
    pub fn original(self) -> Option<NumberPair> {
        match self {
            Undoing::Nothing => None,
            Undoing::Of(original) => Some(original),
        }
    }
}

impl From<Option<NumberPair>> for Undoing {
    fn from(original: Option<NumberPair>) -> Undoing {
        original.map_or(Undoing::Nothing, Undoing::Of)
    }
}

/// How a void or red job stands to its original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It may still happen.
    Open,
    /// It happened.
    Done,
    /// Proven: it did not.
    Gone,
}

/// A void or red job, as its original knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its serial number; the seller is the original's.
    pub by: SerialNumber,
    /// Void or red.
    pub operation: Operation,
    /// How it stands.
    pub state: LinkState,
    /// The red invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<PairBody>,
    /// Its gross amount, below zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gross: Option<String>,
    /// Last change.
    pub at: Timestamp,
}

/// What a void or red job was found to be about, when it was accepted or asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    /// Serial number of the job that issued the original; absent where it was issued elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<SerialNumber>,
    /// The only disk that can do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskNumber>,
    /// Who voids, as the disk is told; empty: the agent's own word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
}

impl PairBody {
    /// The pair, if both parts are well formed.
    pub fn pair(&self) -> Option<NumberPair> {
        Some(NumberPair { code: self.code.parse().ok()?, number: self.number.parse().ok()? })
    }
}

impl DiskReport {
    /// Whether the agent takes such jobs for this disk.
    pub fn takes(&self, operation: Operation) -> bool {
        operation == Operation::Issue || self.takes.contains(&operation)
    }
}

fn breach(rule: Rule, pointer: &str, detail: String) -> Breach {
    Breach { code: rule.code().to_owned(), pointer: pointer.to_owned(), detail }
}

/// The period rule of a void: in the month of the issue, by the disk's own clock. A clock that was read a while ago is good
/// enough: months only pass. Both are `yyyyMMddHHmmss`.
pub fn void_period(issued_at: &str, disk_clock: Option<&str>, rules: &RuleSet) -> Option<Breach> {
    let month = |time: &str| time.get(..6).filter(|month| month.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned);
    let (issued, now) = (month(issued_at)?, disk_clock.and_then(month)?);
    (rules.void_in_month && issued < now).then(|| {
        let detail =
            format!("it was issued in {issued}, and by the disk's clock it is {now}: only a red invoice reverses it now");
        breach(Rule::VoidPeriod, "/original", detail)
    })
}

/// Red invoices reverse at most what their original comes to. All amounts with tax; `others` are the reds that exist or may come
/// to exist.
pub fn red_sum(original: Amount, others: &[Amount], red: Amount) -> Option<Breach> {
    let reversed: i128 = others.iter().map(|other| i128::from(other.fen())).sum();
    let left = i128::from(original.fen()) + reversed;
    (i128::from(red.fen()) + left < 0).then(|| {
        let sign = if left < 0 { "-" } else { "" };
        let left = left.unsigned_abs();
        let detail = format!("{red} is more than is left to reverse of {original}: {sign}{}.{:02}", left / 100, left % 100);
        breach(Rule::RedSum, "/invoice/totals/gross", detail)
    })
}

/// A newer agent may take jobs that this program does not know.
pub(crate) fn known_operations<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Operation>, D::Error> {
    let names = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(names.into_iter().filter_map(|name| serde_json::from_value(name).ok()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn reds_sum_up_to_their_original_and_not_a_fen_more() {
        let (ten, four) = (amount("10.00"), amount("-4.00"));
        assert_eq!(red_sum(ten, &[], amount("-10.00")), None);
        assert_eq!(red_sum(ten, &[four], amount("-6.00")), None);
        assert!(red_sum(ten, &[], amount("-10.01")).unwrap().detail.contains("10.00"));
        assert!(red_sum(ten, &[four, four], amount("-2.01")).unwrap().detail.contains("2.00"));
        assert!(red_sum(ten, &[amount("-10.00")], amount("-0.01")).is_some());
    }

    #[test]
    fn a_void_stays_in_the_month_of_the_disks_clock() {
        let rules = RuleSet::default();
        assert_eq!(void_period("20260331235959", Some("20260331235959"), &rules), None);
        assert!(void_period("20260331235959", Some("20260401000000"), &rules).is_some());
        assert!(void_period("20251231120000", Some("20260101120000"), &rules).is_some());
        // What is not known forbids nothing.
        assert_eq!(void_period("20260331235959", None, &rules), None);
        assert_eq!(void_period("", Some("20260401000000"), &rules), None);
        let off = RuleSet { void_in_month: false, ..rules };
        assert_eq!(void_period("20260331235959", Some("20260401000000"), &off), None);
    }

    #[test]
    fn an_agent_of_another_version_names_jobs_that_are_not_known_here() {
        #[derive(Deserialize)]
        struct Takes(#[serde(deserialize_with = "known_operations")] Vec<Operation>);
        let Takes(takes) = serde_json::from_str(r#"["issue","merge","red"]"#).unwrap();
        assert_eq!(takes, [Operation::Issue, Operation::Red]);
    }
}

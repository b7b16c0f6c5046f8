//! What an import came to: every refused line with its reason, every changed text, the sums. Nothing is left out in silence.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_protocol::error::Problem;

use super::Event;
use super::source::Changed;
use crate::failure::{Failure, problem_line};
use crate::{EXIT_FAILED, EXIT_OK, output};

/// Jobs that ended badly and are named one by one; more than this are counted only (`job list --state failed` shows them).
const NAMED_COUNT: usize = 50;

/// A line that did not become a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    /// Line of the file, from 1.
    pub(super) line: u64,
    /// Order or serial number, as far as it could be read.
    pub(super) label: String,
    /// Why, on one line.
    pub(super) reason: String,
    /// The broker's problem document, if it was the broker who refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Problem>,
}

impl Refusal {
    /// Refused before it was sent.
    pub(super) fn local(line: u64, label: &str, reason: String) -> Refusal {
        Refusal { line, label: label.to_owned(), reason, problem: None }
    }

    /// Refused by the broker.
    pub(super) fn by_broker(line: u64, label: &str, problem: Problem) -> Refusal {
        Refusal { line, label: label.to_owned(), reason: problem_line(&problem), problem: Some(problem) }
    }
}

/// The sums over issued jobs, in exact decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sums {
    net: Decimal,
    tax: Decimal,
    gross: Decimal,
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(super) struct Report {
    read: u64,
    accepted: u64,
    repeated: u64,
    states: BTreeMap<&'static str, u64>,
    troubled: Vec<(String, String)>,
    sums: Sums,
    refused: Vec<Refusal>,
    changed: Vec<Changed>,
    stopped: Vec<Failure>,
}

impl Report {
    /// Counts an event.
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Read => self.read += 1,
            Event::Changed(changed) => self.changed.push(changed),
            Event::Accepted(job) if job.repeated => self.repeated += 1,
            Event::Accepted(_) => self.accepted += 1,
            Event::Refused(refusal) => self.refused.push(refusal),
            Event::Ended(job) => self.ended(&job),
            Event::Stopped(failure) => self.stopped.push(failure),
            Event::Waiting(_) | Event::SenderDone => {}
        }
    }

    fn ended(&mut self, job: &JobView) {
        let state = match job.state {
            JobState::Issued => "issued",
            JobState::Voided => "voided",
            JobState::Cancelled => "cancelled",
            _ => "failed",
        };
        *self.states.entry(state).or_default() += 1;
        if job.state == JobState::Issued {
            if let Some(invoice) = &job.invoice {
                let amount = |text: &str| text.parse::<Decimal>().unwrap_or_default();
                self.sums.net += amount(&invoice.totals.net);
                self.sums.tax += amount(&invoice.totals.tax);
                self.sums.gross += amount(&invoice.totals.gross);
            }
        } else if job.state != JobState::Voided && self.troubled.len() < NAMED_COUNT {
            let why = job.problem.as_ref().map_or_else(|| state.to_owned(), |problem| problem.text.clone());
            self.troubled.push((job.serial.clone(), why));
        }
    }

    /// Jobs that were accepted and have not been seen to end.
    fn under_way(&self) -> u64 {
        (self.accepted + self.repeated).saturating_sub(self.states.values().sum())
    }

    /// 0 only if every line is a job and, when they were waited for, every job is issued.
    pub(super) fn exit_code(&self, waited: bool) -> u8 {
        let issued = self.states.get("issued").copied().unwrap_or(0);
        let whole = self.refused.is_empty() && self.stopped.is_empty();
        if whole && (!waited || issued == self.accepted + self.repeated) { EXIT_OK } else { EXIT_FAILED }
    }

    /// Prints it.
    pub(super) fn print(&mut self, json: bool) {
        self.refused.sort_by_key(|refusal| refusal.line);
        self.changed.sort_by_key(|changed| changed.line);
        if json {
            let stopped: Vec<String> = self.stopped.iter().map(Failure::sentences).collect();
            output::json(&serde_json::json!({
                "read": self.read, "accepted": self.accepted, "repeated": self.repeated, "refused": self.refused,
                "changed": self.changed, "ended": self.states, "under_way": self.under_way(),
                "sums": { "net": self.sums.net.to_string(), "tax": self.sums.tax.to_string(), "gross": self.sums.gross.to_string() },
                "stopped": stopped,
            }));
        } else {
            output::print(&self.text());
        }
    }

    fn text(&self) -> String {
        let mut parts = vec![format!(
            "{} lines read: {} accepted as new, {} known already with the same content, {} refused.",
            self.read,
            self.accepted,
            self.repeated,
            self.refused.len()
        )];
        if !self.states.is_empty() {
            let states: Vec<String> = self.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
            parts.push(format!("{}, {} still under way.", states.join(", "), self.under_way()));
            parts.push(format!("Issued in all: net {}, tax {}, gross {}.", self.sums.net, self.sums.tax, self.sums.gross));
        }
        if !self.changed.is_empty() {
            parts.push(format!("Letters changed by --transliterate in {} lines:\n{}", self.changed.len(), self.changes()));
        }
        if !self.troubled.is_empty() {
            let mut table = output::table(&["serial number", "not issued because"], &[]);
            for (serial, why) in &self.troubled {
                table.add_row([serial, why]);
            }
            parts.push(table.to_string());
        }
        if !self.refused.is_empty() {
            let mut table = output::table(&["line", "order or serial", "refused because"], &[0]);
            for refusal in &self.refused {
                table.add_row([&refusal.line.to_string(), &refusal.label, &refusal.reason]);
            }
            parts.push(table.to_string());
        }
        for failure in &self.stopped {
            parts.push(format!(
                "The import stopped before its end. {}\nRun the same command again to go on.",
                failure.sentences()
            ));
        }
        parts.join("\n")
    }

    /// Each change once, with the number of lines that it was made in.
    fn changes(&self) -> String {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for change in self.changed.iter().flat_map(|changed| &changed.changes) {
            *counts.entry((&change.from, &change.to)).or_default() += 1;
        }
        let mut table = output::table(&["in the file", "on the invoice", "lines"], &[2]);
        for ((from, to), count) in counts {
            table.add_row([from, to, &count.to_string()]);
        }
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::transliterate::Change;

    fn job(serial: &str, state: JobState, repeated: bool) -> Box<JobView> {
        let mut job: JobView = serde_json::from_value(serde_json::json!({
            "seller": "s", "serial": serial, "operation": "issue", "kind": "025", "state": state, "revision": 1, "version": 1,
            "accepted_at": "t", "changed_at": "t",
            "invoice": {"buyer": {"name": "n"}, "lines": [], "totals": {"net": "0.10", "tax": "0.01", "gross": "0.11"}}
        }))
        .unwrap();
        job.repeated = repeated;
        Box::new(job)
    }

    #[test]
    fn sums_are_exact_and_only_a_whole_import_is_a_success() {
        let mut report = Report::default();
        for (index, repeated) in [false, false, true].into_iter().enumerate() {
            report.take(Event::Read);
            report.take(Event::Accepted(job(&index.to_string(), JobState::Queued, repeated)));
        }
        assert_eq!((report.exit_code(false), report.exit_code(true)), (0, 1));
        for index in 0..3 {
            report.take(Event::Ended(job(&index.to_string(), JobState::Issued, false)));
        }
        assert_eq!(report.exit_code(true), 0);
        let text = report.text();
        assert!(text.contains("2 accepted as new, 1 known already") && text.contains("gross 0.33"), "{text}");
        report.take(Event::Refused(Refusal::local(7, "NW1", "too wide".to_owned())));
        assert_eq!((report.exit_code(false), report.exit_code(true)), (1, 1));
        assert!(report.text().contains("too wide"));
    }

    #[test]
    fn failed_jobs_changed_texts_and_a_stop_are_all_told() {
        let mut report = Report::default();
        report.take(Event::Accepted(job("F1", JobState::Queued, false)));
        report.take(Event::Ended(job("F1", JobState::Failed, false)));
        let change = Change { pointer: "/p".to_owned(), from: "ö".to_owned(), to: "oe".to_owned() };
        report.take(Event::Changed(Changed { line: 1, label: "F1".to_owned(), changes: vec![change] }));
        report.take(Event::Stopped(Failure::Unreachable { url: "u".to_owned(), cause: "c".to_owned() }));
        let text = report.text();
        for part in ["1 failed", "F1", "oe", "stopped before its end", "again is safe"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!(report.exit_code(true), 1);
    }
}

//! What people see: tables and a job in words. `--json` prints the broker's own types instead.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use serde_json::Value;
use taxdisk_protocol::api::{Fault, JobState, JobView, PairBody, Waiting};

/// Prints a value as JSON, on one line for pipes.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => print(&text),
        Err(error) => eprintln!("The answer has no JSON form: {error}."),
    }
}

/// Prints a text; a reader that went away (`| head`) is no trouble.
pub(crate) fn print(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A table with these headings. Columns named in `right` hold numbers.
pub(crate) fn table(headings: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(headings.iter().copied());
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// One row per job.
pub(crate) fn jobs(jobs: &[JobView]) -> String {
    if jobs.is_empty() {
        return "No jobs.".to_owned();
    }
    let mut table = table(&["serial number", "seller", "state", "code", "number", "gross", "accepted"], &[5]);
    for job in jobs {
        let (code, number) = job.issued.as_ref().map_or(("", ""), |invoice| (&invoice.code, &invoice.number));
        let gross = job.invoice.as_ref().map_or("", |invoice| &invoice.totals.gross);
        table.add_row([&job.serial, &job.seller, &state(job), code, number, gross, &job.accepted_at]);
    }
    table.to_string()
}

/// A job in words: state, invoice, trouble, attempts, evidence.
pub(crate) fn job(job: &JobView) -> String {
    let mut lines = vec![format!("{} {}: {}, revision {}", job.seller, job.serial, state(job), job.revision)];
    lines.push(format!("  accepted {}, changed {}", job.accepted_at, job.changed_at));
    if let Some(trace_id) = &job.trace_id {
        lines.push(format!("  trace {trace_id}"));
    }
    if let Some(text) = &job.waiting_text {
        lines.push(format!("  waits: {text}"));
    }
    if let Some(estimate) = &job.estimate {
        lines.push(format!("  begins about {} ({})", estimate.start, estimate.basis));
    }
    if let Some(original) = &job.original {
        let by = job.original_serial.as_ref().map_or_else(String::new, |serial| format!(", issued by {serial}"));
        lines.push(format!("  about {} {}{by}", original.code, original.number));
    }
    if let Some(void) = &job.voided {
        lines.push(format!("  voided by {} at {}", void.serial, void.at));
    }
    for red in &job.reversed_by {
        lines.push(format!("  reversed by {} at {}: {}", red.serial, red.at, red.gross.as_deref().unwrap_or("?")));
    }
    if let Some(invoice) = &job.invoice {
        let totals = &invoice.totals;
        lines.push(format!(
            "  kind {} for {}: net {}, tax {}, gross {}, {} lines",
            job.kind,
            invoice.buyer.name,
            totals.net,
            totals.tax,
            totals.gross,
            invoice.lines.len()
        ));
    }
    if let Some(issued) = &job.issued {
        lines.push(format!(
            "  invoice {} {}, issued {} by disk {}",
            issued.code,
            issued.number,
            disk_time(&issued.issued_at),
            issued.disk
        ));
    }
    if let Some(problem) = &job.problem {
        lines.push(format!("  {} ({}; {})", problem.text, problem.code, fault(problem.fault)));
    }
    for attempt in &job.attempts {
        let expected = attempt.expected.as_ref().map_or(String::new(), |pair| format!(", expected {}", pair_text(pair)));
        let disk_ms = attempt.disk_ms.map_or(String::new(), |ms| format!(", {ms} ms on the disk"));
        let text = if attempt.text.is_empty() { String::new() } else { format!(": {}", attempt.text) };
        lines.push(format!(
            "  attempt {} on disk {} by {} (epoch {}), {}: {}{expected}{disk_ms}{text}",
            attempt.attempt, attempt.disk, attempt.agent, attempt.epoch, attempt.assigned_at, attempt.result
        ));
    }
    for evidence in &job.evidence {
        lines.push(format!(
            "  evidence {} from {} on attempt {}: {}",
            evidence.at, evidence.from, evidence.attempt, evidence.what
        ));
        lines.push(format!("    {}", evidence.body));
    }
    lines.join("\n")
}

/// State and, while it waits, why.
pub(crate) fn state(job: &JobView) -> String {
    let name = match job.state {
        JobState::Queued => "queued",
        JobState::Assigned => "assigned",
        JobState::Unsettled => "unsettled",
        JobState::Issued => "issued",
        JobState::Voided => "voided",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
    };
    match (job.waiting, job.agent_away) {
        (Some(reason), _) => format!("{name} ({})", waiting(reason)),
        (None, true) => format!("{name} (agent away)"),
        (None, false) => name.to_owned(),
    }
}

fn waiting(reason: Waiting) -> &'static str {
    match reason {
        Waiting::NoDisk => "no disk of the seller has been seen",
        Waiting::DiskOffline => "disk offline",
        Waiting::NoStock => "no blank invoices left",
        Waiting::Locked => "disk locked: report and clear",
        Waiting::OverLimit => "over a limit of the disk",
        Waiting::Password => "a password must be set at the disk's PC",
        Waiting::DiskFault => "disk fault",
        Waiting::Contested => "two agents claim the disk",
        Waiting::Settling => "the disk is being read",
        Waiting::Backlog => "others are before it",
        Waiting::Breaker => "the disk failed several times and rests",
        Waiting::Paused => "paused by a person",
        Waiting::Reconcile => "the ledger went back: see `taxdisk reconcile show`",
        Waiting::Operation => "an operation is before it: see `taxdisk disk operations`",
    }
}

fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Request => "the content is at fault",
        Fault::Disk => "the disk is at fault",
        Fault::Policy => "the seller's policy",
    }
}

/// Unsettled jobs with their two readings side by side: the disk's current number, and what it says of the expected one.
pub(crate) fn unsettled(jobs: &[JobView]) -> String {
    if jobs.is_empty() {
        return "No job is unsettled.".to_owned();
    }
    let headings = [
        "seller",
        "serial",
        "revision",
        "disk",
        "expected",
        "disk's current number",
        "what the disk says of the expected",
        "note",
    ];
    let mut table = table(&headings, &[2]);
    for job in jobs {
        let attempt = job.attempts.last();
        let expected = attempt.and_then(|attempt| attempt.expected.as_ref());
        let readings: Vec<&Value> = job.evidence.iter().filter_map(|one| one.body["readings"].as_array()).flatten().collect();
        let current = readings.iter().rev().find(|reading| reading["read"] == "current").map(|reading| {
            let pair = pair_of(&reading["pair"]);
            if pair.is_empty() { "no stock".to_owned() } else { pair }
        });
        let of_expected = |reading: &&&Value| {
            reading["read"] == "query" && expected.is_none_or(|expected| pair_of(&reading["pair"]) == pair_text(expected))
        };
        let found = readings.iter().rev().find(of_expected).map(|reading| found_text(&reading["found"]));
        let note = match &job.proposal {
            Some(first) => format!("{} has noted {:?} by the tax office's record", first.by, first.decision),
            None => job.problem.as_ref().map(|problem| problem.text.clone()).unwrap_or_default(),
        };
        table.add_row([
            job.seller.clone(),
            job.serial.clone(),
            job.revision.to_string(),
            attempt.map(|attempt| attempt.disk.clone()).unwrap_or_default(),
            expected.map(pair_text).unwrap_or_default(),
            current.unwrap_or_else(|| "not read".to_owned()),
            found.unwrap_or_else(|| "not read".to_owned()),
            note,
        ]);
    }
    table.to_string()
}

/// A pair in a piece of evidence: one text, or code and number.
fn pair_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(pair) => {
            let part = |name: &str| pair.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{} {}", part("code"), part("number"))
        }
        _ => String::new(),
    }
}

fn found_text(found: &Value) -> String {
    if found == "absent" {
        return "absent".to_owned();
    }
    let present = &found["present"];
    if present.is_object() {
        let field = |name: &str| present[name].as_str().unwrap_or("-").to_owned();
        return format!("present: {} for {}, mark {}", field("gross"), field("buyer"), field("mark"));
    }
    format!("failed: {}", found["failed"]["text"].as_str().unwrap_or("-"))
}

/// Code and number with a space between.
pub(crate) fn pair_text(pair: &PairBody) -> String {
    format!("{} {}", pair.code, pair.number)
}

/// `20260302101530` as `2026-03-02 10:15:30`; anything else as it stands.
fn disk_time(text: &str) -> String {
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return text.to_owned();
    }
    format!("{}-{}-{} {}:{}:{}", &text[..4], &text[4..6], &text[6..8], &text[8..10], &text[10..12], &text[12..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_times_are_readable_and_odd_ones_stay() {
        assert_eq!(disk_time("20260302101530"), "2026-03-02 10:15:30");
        assert_eq!(disk_time("今日今日今日今日今"), "今日今日今日今日今");
        assert_eq!(disk_time(""), "");
    }
}

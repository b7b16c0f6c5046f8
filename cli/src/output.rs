//! What people see: tables and a job in words. `--json` prints the broker's own types instead.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
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
    }
}

fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Request => "the content is at fault",
        Fault::Disk => "the disk is at fault",
        Fault::Policy => "the seller's policy",
    }
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

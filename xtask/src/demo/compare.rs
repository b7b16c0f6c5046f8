//! The table of what was issued, and the comparison of the disk's own ledger with the broker's list.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use taxdisk_drivers::sim::ledger::{EntryStatus, Ledger, LedgerEntry};
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_protocol::mark::marked_remark;
use taxdisk_protocol::money::Amount;

/// More rows than this are counted only.
const SHOWN: usize = 50;
/// More differences than this are counted only.
const NAMED: usize = 20;

/// One row per invoice.
pub(super) fn table(jobs: &[JobView]) -> String {
    let issued: Vec<&JobView> = jobs.iter().filter(|job| job.state == JobState::Issued).collect();
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["serial number", "code", "number", "amount", "tax", "in queue", "on disk"]);
    for job in issued.iter().take(SHOWN) {
        let (code, number) = job.issued.as_ref().map_or(("", ""), |invoice| (&invoice.code, &invoice.number));
        let (amount, tax) = job.invoice.as_ref().map_or(("", ""), |invoice| (&invoice.totals.gross, &invoice.totals.tax));
        let (queue, disk) = times_ms(job);
        let ms = |time: Option<i64>| time.map_or(String::new(), |time| format!("{time} ms"));
        table.add_row([&job.serial, code, number, amount, tax, &ms(queue), &ms(disk)]);
    }
    for column in 3..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    match issued.len().checked_sub(SHOWN) {
        None | Some(0) => table.to_string(),
        Some(more) => format!("{table}\n… and {more} more."),
    }
}

/// From acceptance to the beginning of the work that issued, and that work, milliseconds.
fn times_ms(job: &JobView) -> (Option<i64>, Option<i64>) {
    let Some(attempt) = job.attempts.iter().rfind(|attempt| attempt.result == "issued") else { return (None, None) };
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    let began = time(attempt.started_at.as_deref().unwrap_or(&attempt.assigned_at));
    let queue = began.zip(time(&job.accepted_at)).map(|(began, accepted)| began - accepted);
    let whole = attempt.ended_at.as_deref().and_then(time).zip(began).map(|(ended, began)| ended - began);
    (queue, attempt.disk_ms.and_then(|ms| i64::try_from(ms).ok()).or(whole))
}

/// Compares every invoice of the disk with every job of the broker, in both directions.
pub(super) fn with_disk(jobs: &[JobView], disk: &Path) -> Result<String, String> {
    let entries = Ledger::read(disk).map_err(|error| format!("the disk's ledger: {error}"))?;
    let differences = differences(jobs, &entries);
    if differences.is_empty() {
        let total = entries.iter().try_fold(Amount::ZERO, |sum, entry| sum.checked_add(entry.gross));
        let total = total.map_or(String::new(), |total| format!(", {total} yuan in all"));
        return Ok(format!(
            "The disk's own ledger and the broker agree: {} invoices, one for each serial number, equal to the fen{total}.",
            entries.len()
        ));
    }
    let named = differences.iter().take(NAMED).cloned().collect::<Vec<_>>().join("\n  ");
    Err(format!("THE DISK'S OWN LEDGER AND THE BROKER DIFFER in {} points:\n  {named}", differences.len()))
}

fn differences(jobs: &[JobView], entries: &[LedgerEntry]) -> Vec<String> {
    let mut found = Vec::new();
    let mut on_disk: BTreeMap<(String, String), &LedgerEntry> = BTreeMap::new();
    let mut remarks: BTreeMap<&str, String> = BTreeMap::new();
    for entry in entries {
        let pair = (entry.code.to_string(), entry.number.to_string());
        let text = format!("{} {}", pair.0, pair.1);
        if entry.status != EntryStatus::Positive {
            found.push(format!("{text} on the disk is no positive invoice"));
        }
        // The remark holds the order's number and the job's mark: the same one twice is one order issued twice.
        if let Some(other) = remarks.insert(&entry.remark, text.clone()) {
            found.push(format!("{other} and {text} on the disk are for the same order ({})", entry.remark));
        }
        on_disk.insert(pair, entry);
    }
    for job in jobs {
        let serial = &job.serial;
        match (job.state, &job.issued, &job.invoice) {
            (JobState::Issued, Some(issued), Some(invoice)) => {
                let Some(entry) = on_disk.remove(&(issued.code.clone(), issued.number.clone())) else {
                    found.push(format!("{serial}: {} {} is not on the disk, or another job's too", issued.code, issued.number));
                    continue;
                };
                let remark = marked_remark(&invoice.remark, job.mark.as_deref());
                for (what, broker, disk) in [
                    ("net", &invoice.totals.net, entry.net.to_string()),
                    ("tax", &invoice.totals.tax, entry.tax.to_string()),
                    ("gross", &invoice.totals.gross, entry.gross.to_string()),
                    ("buyer", &invoice.buyer.name, entry.buyer_name.clone()),
                    ("remark", &remark, entry.remark.clone()),
                ] {
                    if *broker != disk {
                        found.push(format!("{serial}: {what} is {broker:?} at the broker and {disk:?} on the disk"));
                    }
                }
            }
            (JobState::Failed | JobState::Cancelled, None, _) => {}
            (state, _, _) => found.push(format!("{serial} is {state:?}, not ended as it should")),
        }
    }
    found.extend(on_disk.keys().map(|(code, number)| format!("{code} {number} is on the disk, and no job has it")));
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(serial: &str, number: &str, gross: &str) -> JobView {
        serde_json::from_value(json!({
            "seller": "s", "serial": serial, "operation": "issue", "kind": "025", "state": "issued", "revision": 3, "version": 1,
            "issued": {"code": "011002000107", "number": number, "issued_at": "20260302101530", "disk": "499000123456"},
            "invoice": {"buyer": {"name": "b"}, "lines": [], "remark": serial,
                        "totals": {"net": "1.00", "tax": "0.13", "gross": gross}},
            "attempts": [{"attempt": 1, "disk": "d", "agent": "a", "epoch": 1, "assigned_at": "2026-03-02T10:15:29Z",
                          "started_at": "2026-03-02T10:15:30Z", "ended_at": "2026-03-02T10:15:30.5Z", "result": "issued"}],
            "accepted_at": "2026-03-02T10:15:28Z", "changed_at": "2026-03-02T10:15:31Z",
        }))
        .expect("a job as the broker shows it")
    }

    fn entry(remark: &str, number: &str) -> LedgerEntry {
        serde_json::from_value(json!({
            "kind": "025", "code": "011002000107", "number": number, "status": "positive", "buyer_name": "b",
            "buyer_number": "000000000000000", "lines": [], "net": "1.00", "tax": "0.13", "gross": "1.13", "remark": remark,
            "clerk": "c", "time": "20260302101530", "fiscal_code": "f", "signature": "s", "origin": "host", "saved": true,
        }))
        .expect("an entry as the disk keeps it")
    }

    #[test]
    fn equal_ledgers_have_no_difference_and_every_kind_of_difference_is_seen() {
        let jobs = [job("A", "00000088", "1.13"), job("B", "00000089", "1.13")];
        let disk = [entry("A", "00000088"), entry("B", "00000089")];
        assert_eq!(differences(&jobs, &disk), Vec::<String>::new());
        let seen = |jobs: &[JobView], disk: &[LedgerEntry], what: &str| {
            let found = differences(jobs, disk);
            assert!(found.iter().any(|difference| difference.contains(what)), "{what}: {found:?}");
        };
        seen(&jobs, &disk[..1], "not on the disk");
        seen(&jobs[..1], &disk, "no job has it");
        seen(&jobs, &[entry("A", "00000088"), entry("B", "00000089"), entry("A", "00000090")], "same order");
        seen(&[job("A", "00000088", "1.14"), job("B", "00000089", "1.13")], &disk, "gross");
        seen(&[job("A", "00000088", "1.13"), job("B", "00000088", "1.13")], &disk, "another job's");
        let mut open = job("A", "00000088", "1.13");
        open.state = JobState::Unsettled;
        seen(&[open, job("B", "00000089", "1.13")], &disk, "not ended");
    }

    #[test]
    fn times_are_from_acceptance_to_work_and_of_the_work() {
        assert_eq!(times_ms(&job("A", "00000088", "1.13")), (Some(2000), Some(500)));
    }
}

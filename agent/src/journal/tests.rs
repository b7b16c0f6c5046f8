#![allow(clippy::unwrap_used)]
//! The journal on a real folder: its guards, its lock, damage, and a process that is killed in the middle.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, AttemptRef, AttemptResult};
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::undo::Undoing;

use crate::core::records::Owner;

use super::{Intent, Journal, JournalError, Outcome, Record, View};

const CHILD: &str = "TAXDISK_TEST_JOURNAL";

fn attempt(serial: &str, attempt: u32) -> AttemptRef {
    AttemptRef { key: JobKey { seller: "91350100M000100Y43".parse().unwrap(), serial: serial.parse().unwrap() }, attempt }
}

fn intent(serial: &str, number: u32) -> Record {
    Record::Intent(Intent {
        attempt: attempt(serial, 1),
        content_hash: "h".into(),
        disk: "499000123456".parse().unwrap(),
        kind: InvoiceKind::Roll,
        expected: format!("011002000107 {number:08}").parse().unwrap(),
        mark: None,
        trace: None,
        epoch: 1,
        sequence: u64::from(number),
        undoing: None,
        at: String::new(),
    })
}

fn issued(serial: &str, number: u32) -> Record {
    let pair = format!("011002000107 {number:08}").parse().unwrap();
    let result = AttemptResult::Issued {
        pair,
        issued_at: String::new(),
        fiscal_code: "F".into(),
        signature: "SECRETSIGN".into(),
        printed: Printed::new("12345678901234567890", "SECRETSIGN", "SECRETSIGN"),
        settled: false,
    };
    outcome(serial, number, result)
}

fn outcome(serial: &str, number: u32, result: AttemptResult) -> Record {
    Record::Outcome(Outcome {
        attempt: attempt(serial, 1),
        disk: "499000123456".parse().unwrap(),
        kind: InvoiceKind::Roll,
        epoch: 1,
        sequence: u64::from(number),
        content_hash: None,
        mark: None,
        expected: None,
        undoing: None,
        result,
        at: String::new(),
    })
}

fn owned(serial: &str, number: u32) -> Record {
    Record::Owned {
        disk: "499000123456".parse().unwrap(),
        kind: InvoiceKind::Roll,
        pair: format!("011002000107 {number:08}").parse().unwrap(),
        owner: Owner::Ours(attempt(serial, 1)),
        reverses: None,
    }
}

#[test]
fn what_was_confirmed_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let id = journal.head().id;
    journal.append(vec![intent("A1", 7)]).wait().unwrap();
    assert_eq!(journal.open(&"499000123456".parse().unwrap()).len(), 1);
    let frame = AgentFrame::Goodbye;
    let outbox = Record::Outbox { id: journal.fresh_id(), disk: "499000123456".parse().unwrap(), frame };
    journal.append(vec![owned("A1", 7), issued("A1", 7), outbox]).wait().unwrap();
    assert_eq!((journal.join().unwrap(), journal.join().unwrap()), (1, 2));
    let (head, fresh) = (journal.head(), journal.fresh_id());
    drop(journal);
    let journal = reopen(dir.path());
    assert_eq!(journal.head(), head);
    assert_eq!(journal.head().id, id);
    assert_eq!(journal.join().unwrap(), 3);
    assert!(journal.open(&"499000123456".parse().unwrap()).is_empty());
    assert_eq!(journal.highest_sequence(&"499000123456".parse().unwrap()), 7);
    assert_eq!(journal.pending().len(), 1);
    assert!(journal.pending()[0].0 < fresh || journal.fresh_id() > journal.pending()[0].0, "an id could be given twice");
    let ids = vec![journal.pending()[0].0.clone()];
    journal.append(vec![Record::Acked { ids }]).wait().unwrap();
    assert!(journal.pending().is_empty() && journal.issued(&attempt("A1", 1).key).is_some());
    let shown: Vec<String> = journal.lines().map(|line| format!("{} {:?}", line.kind, line.body)).collect();
    assert!(shown.iter().any(|line| line.starts_with("outcome")) && !shown.iter().any(|line| line.contains("SECRETSIGN")));
}

/// sled gives its lock back when its last thread has ended, a moment after the last handle is gone.
fn reopen(dir: &std::path::Path) -> Journal {
    for _ in 0..100_000 {
        match Journal::open(dir) {
            Err(JournalError::InUse(_)) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
    panic!("the journal is still locked");
}

/// After a restart the content of an open attempt may not be known; its intent is, and says what a red reverses.
#[test]
fn what_an_attempt_undoes_is_taken_over_from_its_intent() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let (Record::Intent(intent), Record::Outcome(outcome)) = (intent("R1", 7), issued("R1", 7)) else { panic!("other records") };
    let (disk, kind, original) = (intent.disk.clone(), intent.kind, "011002000107 00000003".parse().unwrap());
    let intent = Intent { undoing: Some(Undoing::Of(original)), ..intent };
    journal.append(vec![Record::Intent(intent)]).wait().unwrap();
    journal.append(vec![owned("R1", 7), Record::Outcome(outcome)]).wait().unwrap();
    assert_eq!(journal.reversed_by(&disk, kind, original), Some("011002000107 00000007".parse().unwrap()));
    let kept = journal.outcome(&attempt("R1", 1)).unwrap();
    assert_eq!((kept.undoing, kept.content_hash.as_deref()), (Some(Undoing::Of(original)), Some("h")));
}

#[test]
fn records_that_contradict_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let refused = |records: Vec<Record>| {
        let before = journal.head();
        let conflict = matches!(journal.append(records).wait(), Err(JournalError::Conflict(_)));
        conflict && journal.head() == before
    };
    journal.append(vec![intent("A1", 7)]).wait().unwrap();
    assert!(refused(vec![intent("A2", 8)]), "a second attempt began beside an open one");
    journal.append(vec![owned("A1", 7), issued("A1", 7)]).wait().unwrap();
    assert!(refused(vec![intent("A1", 8)]), "an issued job began again");
    assert!(refused(vec![owned("A2", 7)]), "a number got a second owner");
    assert!(refused(vec![owned("A3", 9), issued("A1", 9)]), "a job got a second invoice");
    assert_eq!(
        journal.owner(&"499000123456".parse().unwrap(), InvoiceKind::Roll, "011002000107 00000009".parse().unwrap()),
        None
    );
    let text = String::new();
    assert!(
        refused(vec![outcome("A1", 7, AttemptResult::NotIssued { class: DeviceClass::Link, code: None, text })]),
        "an issue was taken back"
    );
}

#[test]
fn second_process_on_one_folder_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let _journal = Journal::open(dir.path()).unwrap();
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::InUse(_))));
}

#[test]
fn lost_folder_is_another_journal() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_ne!(Journal::open(one.path()).unwrap().head().id, Journal::open(two.path()).unwrap().head().id);
}

#[test]
fn callers_at_once_are_grouped_and_all_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let journal = journal.clone();
            scope.spawn(move || {
                for number in 0..25 {
                    journal.append(vec![owned(&format!("T{thread}N{number}"), thread * 100 + number)]).wait().unwrap();
                }
            });
        }
    });
    assert_eq!(journal.head().sequence, 200);
    assert_eq!(journal.lines().filter(|line| line.kind == "owner").count(), 200);
}

/// Not a test by itself: the process that [`killed_process_keeps_what_it_confirmed`] starts and kills.
#[test]
fn child_writes_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let journal = reopen(std::path::Path::new(&dir));
    let first = u32::try_from(journal.head().sequence).unwrap();
    for number in first + 1.. {
        let serial = format!("N{number}");
        journal.append(vec![owned(&serial, number)]).wait().unwrap();
        println!("confirmed {number}");
    }
}

#[test]
fn killed_process_keeps_what_it_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut confirmed = Vec::new();
    for round in 1..=8_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["journal::tests::child_writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: std::io::Result<String>| line.ok()?.split_once("confirmed ")?.1.parse::<u32>().ok();
        // Killed after another number of records each time, while it goes on writing.
        confirmed.extend(lines.by_ref().filter_map(number).take(round * 17));
        child.kill().unwrap();
        confirmed.extend(lines.filter_map(number));
        child.wait().unwrap();
        let journal = reopen(dir.path());
        let disk = "499000123456".parse().unwrap();
        for number in &confirmed {
            let pair = format!("011002000107 {number:08}").parse().unwrap();
            assert!(journal.owner(&disk, InvoiceKind::Roll, pair).is_some(), "round {round}: {number} was confirmed and is gone");
        }
        assert!(journal.head().sequence >= u64::from(*confirmed.last().unwrap()));
    }
    assert!(confirmed.len() >= 17 * 36, "{}", confirmed.len());
}

#[test]
fn the_threads_of_the_store_do_not_wake_an_idle_computer_each_second() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join("journal")).unwrap();
    journal.append(vec![Record::PasswordSet { port: "/dev/ttyUSB0".into() }]).wait().unwrap();
    let own = std::fs::read_dir("/proc/self/task").unwrap().flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        name.starts_with("sled-io").then(|| task.file_name().into_string().unwrap())
    });
    let slacks: Vec<u64> =
        own.filter_map(|id| std::fs::read_to_string(format!("/proc/{id}/timerslack_ns")).ok()?.trim().parse().ok()).collect();
    assert!(!slacks.is_empty(), "the store has no threads of its own any more: then this test can go");
    assert!(slacks.iter().all(|slack| *slack == crate::platform::IDLE_SLACK_NS), "{slacks:?}");
}

/// Found by cutting the power at every call: the journal was called damaged for good.
#[test]
fn a_snapshot_that_was_cut_off_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let journal = Journal::open(&folder).unwrap();
    journal.append(vec![intent("A1", 7)]).wait().unwrap();
    drop(journal);
    drop(reopen(&folder));
    std::fs::write(folder.join("snap.00000000FFFFFFFF.generating"), b"half").unwrap();
    let journal = reopen(&folder);
    assert_eq!(journal.open(&"499000123456".parse().unwrap()).len(), 1);
    // While it is open, nobody else removes what it is writing.
    let writing = folder.join("snap.00000000FFFFFFFE.generating");
    std::fs::write(&writing, b"half").unwrap();
    assert!(matches!(Journal::open(&folder), Err(JournalError::InUse(_))));
    assert!(writing.exists());
}

/// Found by cutting the power at every call: sled's first files were there in part, and called damaged for good.
#[test]
fn a_journal_that_was_not_made_whole_has_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    // Two starts that were cut off, one of a process that had this one's number.
    for by in [std::process::id(), 1] {
        let half = dir.path().join(format!("journal.new-{by}"));
        std::fs::create_dir_all(half.join("blobs")).unwrap();
        std::fs::write(half.join("conf"), b"").unwrap();
    }
    // An installer may have made the folder.
    std::fs::create_dir(&folder).unwrap();
    let journal = Journal::open(&folder).unwrap();
    journal.append(vec![intent("A1", 7)]).wait().unwrap();
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["journal"]);
    drop(journal);
    assert_eq!(reopen(&folder).open(&"499000123456".parse().unwrap()).len(), 1);
}

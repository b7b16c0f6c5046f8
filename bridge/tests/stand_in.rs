//! The shipped program with a library that answers, hangs, crashes, answers nonsense or too late, seen by the real
//! driver: what it
//! must call issued, what doubt, and what proven not sent (I1, I3).
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use taxdisk_drivers::conformance::component::ComponentStand;
use taxdisk_drivers::conformance::{Stand, run, sample};
use taxdisk_drivers::disk::{IssueAnswer, IssueRequest};
use taxdisk_drivers::transport::document::{CommandLink, DocumentLink, Sent};
use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::mark::mark;

/// Longer than a start of the program takes on a busy computer.
const PATIENCE: Duration = Duration::from_secs(20);

fn bridge() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_taxdisk-bridge"))
}

/// The stand-in; cargo builds examples beside tests.
fn stand_in() -> PathBuf {
    let folder = bridge().parent().unwrap().join("examples");
    let library = folder.join(format!("{}stand_in{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    assert!(library.is_file(), "{} is missing: `cargo test --workspace` builds it", library.display());
    library
}

/// The program by way of `env`, which gives it these variables.
fn link(variables: &[(&str, &str)], library: &Path) -> CommandLink {
    let given = variables.iter().map(|(name, value)| format!("{name}={value}"));
    let words = [bridge().display().to_string(), library.display().to_string()];
    CommandLink::new("/usr/bin/env", given.chain(words))
}

#[test]
fn the_answer_comes_out_as_it_came_and_the_document_went_in_whole() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let document = format!("<business id=\"SKPXXCX\">{}</business>", "税".repeat(50_000));
    let answer = link(&[("TAXDISK_STAND_IN_SEEN", seen.to_str().unwrap())], &stand_in()).call(document.as_bytes(), PATIENCE);
    assert!(String::from_utf8(answer.unwrap()).unwrap().contains("<returncode>0</returncode>"));
    assert_eq!(std::fs::read_to_string(seen).unwrap().trim_end(), document);
}

#[test]
fn what_was_never_called_is_not_sent_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let seen_by = [("TAXDISK_STAND_IN_SEEN", seen.to_str().unwrap())];
    let missing = link(&seen_by, Path::new("/nonexistent/NISEC_SKSC.so")).call(b"<x/>", PATIENCE).unwrap_err();
    assert_eq!(missing.sent, Sent::No);
    assert!(missing.text.contains("/nonexistent"), "{missing}");
    let zero = link(&seen_by, &stand_in()).call(b"<x/>\0<y/>", PATIENCE).unwrap_err();
    assert_eq!(zero.sent, Sent::No, "{zero}");
    // A library that is another one.
    let words = [stand_in().display().to_string(), "--function".to_owned(), "NoSuchFunction".to_owned()];
    let other = CommandLink::new(bridge(), words).call(b"<x/>", PATIENCE).unwrap_err();
    assert_eq!(other.sent, Sent::No, "{other}");
    assert!(!seen.exists(), "the library got something");
}

#[test]
fn whatever_goes_wrong_in_the_library_may_have_been_carried_out() {
    let dir = tempfile::tempdir().unwrap();
    for mode in ["crash", "exit", "null", "empty", "hang", "late"] {
        let seen = dir.path().join(mode);
        // The last two use up all of the time: as little as a start needs.
        let within = if matches!(mode, "hang" | "late") { Duration::from_secs(3) } else { PATIENCE };
        let variables = [("TAXDISK_STAND_IN", mode), ("TAXDISK_STAND_IN_SEEN", seen.to_str().unwrap())];
        let answer = link(&variables, &stand_in()).call(b"<business id=\"FPKJ\"/>", within);
        match mode {
            // It ends well and says nothing: the driver judges an answer without a code.
            "exit" => assert_eq!(answer.unwrap(), b""),
            _ => assert_eq!(answer.unwrap_err().sent, Sent::Maybe, "{mode}"),
        }
        assert_eq!(std::fs::read(&seen).unwrap(), b"<business id=\"FPKJ\"/>\n", "{mode}: once, and no second time");
    }
}

/// A simulated disk behind the stand-in behind the program.
fn stand(folder: &Path) -> ComponentStand {
    let script = format!("TAXDISK_STAND_IN_DISK=\"$0\" exec '{}' '{}'", bridge().display(), stand_in().display());
    ComponentStand::by_command(Path::new("/bin/sh"), ["-c".to_owned(), script], folder).unwrap()
}

#[test]
fn the_whole_suite_passes_over_the_library() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(&mut stand(dir.path()));
    assert!(report.failures().next().is_none(), "{:?}", report.failures().collect::<Vec<_>>());
    assert!(report.cases.len() > 10, "{} cases", report.cases.len());
}

#[test]
fn an_issuing_command_that_meets_a_broken_library_is_doubt_and_reading_tells() {
    for mode in ["crash", "exit", "garbage", "null", "hang", "late", "chatter"] {
        let dir = tempfile::tempdir().unwrap();
        let mut stand = stand(dir.path());
        let mut good = stand.open().unwrap();
        assert_eq!(good.fence(), Fence::None, "nothing proves that the library does not go on");
        let (seller, kind) = (good.identity().unwrap(), stand.kind());
        let expected = good.stock(kind).unwrap().current;
        let invoice = sample::plain(good.capabilities());
        let key = taxdisk_protocol::ids::JobKey {
            seller: "91110000MA0000001L".parse().unwrap(),
            serial: format!("BRIDGE{mode}").parse().unwrap(),
        };
        let remark = mark(&key);
        let folder = dir.path().join("disk");
        let variables =
            [("TAXDISK_STAND_IN", mode), ("TAXDISK_STAND_IN_AT", "FPKJ"), ("TAXDISK_STAND_IN_DISK", folder.to_str().unwrap())];
        let mut broken = stand.driver(Box::new(link(&variables, &stand_in()))).unwrap();
        let request = IssueRequest {
            kind,
            expected,
            invoice: &invoice,
            remark: &remark,
            seller: &seller,
            red: None,
            request_id: "BRIDGE1",
        };
        let answer = broken.issue(&request);
        assert!(matches!(answer, IssueAnswer::InDoubt(_)), "{mode}: {answer:?}");
        let mut numbers = 0;
        stand.with_disk(&mut |disk| numbers = disk.ledger().entries().len());
        let signed = matches!(mode, "late" | "chatter");
        assert_eq!(numbers, usize::from(signed), "{mode}");
        // The agent lives, and the next reading through a good library says which of the two it was.
        let found = good.query(kind, expected).unwrap();
        assert_eq!(found.is_some_and(|found| found.remark.contains(&remark)), signed, "{mode}");
    }
}

#[test]
fn the_check_loads_and_calls_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let mut command = Command::new(bridge());
    command.arg(stand_in()).arg("--check").env("TAXDISK_STAND_IN_SEEN", &seen).stdin(Stdio::null());
    assert!(command.status().unwrap().success());
    assert!(!seen.exists());
}

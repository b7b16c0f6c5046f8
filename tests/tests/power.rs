//! Losses of power, made from recordings of real system calls: whatever an agent's journal, a broker's ledger or a portal's
//! store confirmed is there after a cut at any place, from the first call on that makes their files.
//! `TAXDISK_TEST_POWER_CUTS` says how many places are tried (`cargo xtask test-long power`).
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use taxdisk_tests::power::recording::{Call, Recording, record};
use taxdisk_tests::power::{Cuts, cut, work};
use taxdisk_tests::process::binary;

/// Places of a run in the ladder.
const CUTS: u64 = 200;

fn cuts() -> u64 {
    std::env::var("TAXDISK_TEST_POWER_CUTS").map_or(CUTS, |text| text.parse().expect("TAXDISK_TEST_POWER_CUTS is a number"))
}

fn seed() -> u64 {
    std::env::var("TAXDISK_TEST_SEED")
        .map_or_else(|_| rand::random(), |text| text.parse().expect("TAXDISK_TEST_SEED is a number"))
}

fn recorded(what: &str, pieces: u64) -> Recording {
    let home = tempfile::tempdir().unwrap();
    record(&binary("power_writer"), &[what, home.path().to_str().unwrap(), &pieces.to_string()], home.path())
}

fn judged(what: &str, pieces: u64, cuts: u64, check: impl Fn(&Path, u64) -> Result<(), String>) -> Cuts {
    let recording = recorded(what, pieces);
    let (seed, started) = (seed(), Instant::now());
    println!("{what}: {} calls; the same cuts again: TAXDISK_TEST_SEED={seed}", recording.calls.len());
    let confirmed = recording.calls.iter().filter(|call| matches!(call, Call::Confirmed(_))).count() as u64;
    assert!(confirmed >= pieces, "only {confirmed} confirmations were seen");
    let seen = cut(&recording, cuts, seed, check);
    println!("{what}: {seen:?}, {} s", started.elapsed().as_secs());
    assert!(seen.dirty * 2 > cuts, "most cuts took nothing away: {seen:?}");
    seen
}

#[test]
fn what_the_journal_confirmed_survives_a_loss_of_power_at_any_place() {
    judged("journal", 60, cuts(), work::check_journal);
}

#[test]
fn a_journal_that_is_being_made_survives_a_loss_of_power_at_any_place() {
    let seen = judged("journal", 1, cuts(), work::check_journal);
    assert!(seen.before_the_first > 0, "{seen:?}");
}

#[test]
fn what_the_ledger_confirmed_survives_a_loss_of_power_at_any_place() {
    judged("ledger", 60, cuts(), work::check_ledger);
}

#[test]
fn what_the_portal_confirmed_survives_a_loss_of_power_at_any_place() {
    judged("portal", 60, cuts(), work::check_portal);
}

/// The drive of the test takes what was not flushed: without the flushes, what was confirmed is lost.
#[test]
fn without_its_flushes_nothing_is_safe() {
    type Check = fn(&Path, u64) -> Result<(), String>;
    let checks = [("journal", work::check_journal as Check), ("ledger", work::check_ledger), ("portal", work::check_portal)];
    for (what, check) in checks {
        let mut recording = recorded(what, 20);
        recording.calls.retain(|call| !matches!(call, Call::FlushBegins { .. } | Call::FlushEnds { .. }));
        let lost = std::panic::catch_unwind(|| cut(&recording, 50, 1, check));
        assert!(lost.is_err(), "{what}: nothing was missed");
    }
}

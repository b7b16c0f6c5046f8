//! Early warning: raised once, cleared once.

use super::*;
use taxdisk_protocol::api::{OfflineView, Severity, Thresholds, WarningCode, WarningView};

fn up(world: &World) -> Vec<(WarningCode, Severity)> {
    world.core.warnings().iter().map(|warning| (warning.code, warning.severity)).collect()
}

fn entries(world: &World) -> (usize, usize) {
    let count = |what: &str| world.audits.iter().filter(|(name, _)| *name == what).count();
    (count("warning_raised"), count("warning_cleared"))
}

fn stocked(remaining: u32) -> DiskReport {
    let mut report = report(DISK);
    report.stock[0].remaining = remaining;
    report
}

fn only(world: &World) -> WarningView {
    let mut warnings = world.core.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings.remove(0)
}

#[test]
fn a_stock_that_swings_around_its_threshold_warns_once() {
    let mut world = World::new();
    let session = world.join('a');
    for (remaining, expected) in
        [(51, (0, 0)), (50, (1, 0)), (51, (1, 0)), (50, (1, 0)), (100, (1, 0)), (101, (1, 1)), (60, (1, 1))]
    {
        world.reports(session, vec![stocked(remaining)]);
        assert_eq!(entries(&world), expected, "at {remaining}");
    }
}

#[test]
fn a_warning_that_becomes_critical_is_told_again_and_survives_a_restart() {
    let mut world = World::new();
    let session = world.join('a');
    world.reports(session, vec![stocked(50)]);
    assert_eq!(up(&world), [(WarningCode::StockLow, Severity::Warning)]);
    let since = only(&world).since;
    world.pass_ms(60_000);
    world.reports(session, vec![stocked(10)]);
    assert_eq!((up(&world), entries(&world)), (vec![(WarningCode::StockLow, Severity::Critical)], (2, 0)));
    world.reports(session, vec![stocked(30)]);
    assert_eq!(entries(&world), (2, 0), "less urgent is no news");
    world.restart(Settings::default());
    let session = world.join('a');
    world.reports(session, vec![stocked(40)]);
    assert_eq!((only(&world).since, entries(&world).0), (since, 2), "a restart raises nothing anew");
}

#[test]
fn the_rate_of_the_last_hours_says_when_the_stock_runs_out() {
    let mut world = World::new();
    let session = world.join('a');
    // 2023-11-15 06:13 in China. One an hour; 100 are left after four: until Sunday morning.
    world.reports(session, vec![stocked(110)]);
    for number in 1..=5 {
        world.submit(&format!("A{number}"));
        let work = world.assigned(session).remove(0);
        world.outcome(session, &work, issued(number));
        world.pass_ms(3_600_000);
    }
    assert!(up(&world).is_empty(), "110 at one an hour last four days");
    // A threshold of the seller's own.
    let warnings = Thresholds { stock_hours: 200, ..Thresholds::default() };
    let body = SellerBody { name: "测试".to_owned(), disk_trouble: Default::default(), mark: true, warnings };
    world.ok(Input::PutSeller(seller().parse().unwrap(), body, "test".to_owned()));
    world.pass_ms(10_000);
    let warning = only(&world);
    assert_eq!((warning.code, warning.severity), (WarningCode::StockLow, Severity::Warning));
    // 110 blanks at five in five hours and ten seconds.
    assert!(warning.text.contains("110 ") && warning.text.contains("runs out Monday 01:17"), "{}", warning.text);
}

#[test]
fn dates_offline_limits_passwords_memory_and_clocks_warn_by_their_codes() {
    let mut world = World::new();
    let session = world.join('a');
    let mut bad = report(DISK);
    // Now it is 2023-11-15 06:13 in China.
    bad.stock[0].issue_deadline = Some("20231116".to_owned());
    bad.stock[0].upload_day = Some(15);
    bad.stock[0].offline_hours = Some(400);
    bad.stock[0].offline_amount = Some("1000.00".to_owned());
    let first = Some("20231031200000".to_owned());
    bad.offline = Some(OfflineView { count: 80, first, sum: "950.00".to_owned(), count_limit: Some(100) });
    bad.password_tries = Some(2);
    bad.memory_percent = Some(80);
    bad.clock_offset_s = Some(-300);
    world.reports(session, vec![bad.clone()]);
    let mut codes = up(&world);
    codes.sort();
    use Severity::{Critical, Warning};
    assert_eq!(
        codes,
        [
            (WarningCode::LockDateNear, Warning),
            (WarningCode::UploadDue, Critical),
            (WarningCode::OfflineTime, Warning),
            (WarningCode::OfflineAmount, Critical),
            (WarningCode::OfflineCount, Warning),
            (WarningCode::PasswordTries, Critical),
            (WarningCode::DiskMemory, Warning),
            (WarningCode::ClockOff, Warning),
        ]
    );
    assert_eq!(entries(&world), (8, 0));
    // Time alone makes the lock date critical.
    world.pass_ms(24 * 3_600_000);
    assert!(up(&world).contains(&(WarningCode::LockDateNear, Critical)));
    let view = match world.ok(Input::Disks) {
        Reply::Disks(disks) => disks[0].warnings.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(view, 8);
    world.reports(session, vec![report(DISK)]);
    assert_eq!((up(&world).len(), entries(&world).1), (0, 8));
}

#[test]
fn what_a_disk_does_not_tell_warns_of_nothing() {
    let mut world = World::new();
    world.connect('a', DISK);
    world.pass_ms(86_400_000);
    assert!(up(&world).is_empty());
}

//! Operations at their edges: bulk operations that somebody mistyped, calendars at the turn of a year, figures.

use super::*;
use crate::core::operations::{OperationAsk, operation_id};
use taxdisk_protocol::api::{
    BulkOperationAction, BulkOperationLine, BulkOperationRequest, DueState, DueWhat, OfflineView, OperationCancel, OperationKind,
    OperationRequest, OperationResultView, OperationVerdict,
};
use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::class::DeviceClass;

fn able(disk: &str) -> DiskReport {
    let mut able = report(disk);
    able.capabilities.operations = vec![DiskOperation::Report, DiskOperation::Clear, DiskOperation::Upload];
    able
}

fn bulk(key: &str, operation: OperationKind) -> BulkOperationRequest {
    let reason = "month end".to_owned();
    BulkOperationRequest { key: key.to_owned(), seller: None, operation, kind: None, reason, dry_run: false, anyway: false }
}

fn lines(world: &mut World, request: BulkOperationRequest) -> Vec<BulkOperationLine> {
    match world.ok(Input::OperateBulk(Box::new(request), "k1".to_owned())) {
        Reply::Operations(lines) => lines,
        other => panic!("{other:?}"),
    }
}

fn refused(world: &mut World, request: BulkOperationRequest) -> String {
    world.input(Input::OperateBulk(Box::new(request), "k1".to_owned())).unwrap_err().to_string()
}

fn single(key: &str, operation: OperationKind) -> Input {
    let request = OperationRequest {
        key: key.to_owned(),
        operation,
        kind: None,
        reason: "month end".to_owned(),
        dry_run: false,
        anyway: false,
    };
    Input::Operate(Box::new(OperationAsk { disk: DISK.parse().unwrap(), request, bulk: None }), "k1".to_owned())
}

#[test]
fn a_bulk_operation_that_says_nothing_good_is_refused_whole() {
    let mut world = World::new();
    let session = world.join('a');
    world.reports(session, vec![able(DISK)]);
    let long = "k".repeat(57);
    for key in ["", "a key", "schlüssel", long.as_str()] {
        assert!(refused(&mut world, bulk(key, OperationKind::Upload)).contains("key: 1 to 56"), "{key:?}");
    }
    let unsaid = BulkOperationRequest { reason: "  ".to_owned(), ..bulk("b1", OperationKind::Upload) };
    assert!(refused(&mut world, unsaid).contains("reason"));
    assert!(world.restored.operations.is_empty());
    let longest = "k".repeat(56);
    assert_eq!(lines(&mut world, bulk(&longest, OperationKind::Clear))[0].action, BulkOperationAction::Run, "kind and all");
}

#[test]
fn a_bulk_operation_of_a_seller_or_kind_leaves_all_others_alone() {
    let mut world = World::new();
    let session = world.join('a');
    let mut foreign = able("2");
    foreign.taxpayer = "91110000MA0000001L".to_owned();
    world.reports(session, vec![able(DISK), foreign]);
    let of = |seller: &str| BulkOperationRequest { seller: Some(seller.to_owned()), ..bulk("b1", OperationKind::Clear) };
    let own = lines(&mut world, of(&seller()));
    assert!(own.iter().all(|line| line.disk == DISK) && !own.is_empty(), "{own:?}");
    assert!(lines(&mut world, of("91110000MA0000003X")).is_empty(), "nobody's disks");
    let kind = BulkOperationRequest { kind: Some("999".to_owned()), ..bulk("b2", OperationKind::Clear) };
    assert!(lines(&mut world, kind).is_empty(), "no disk has this kind");
}

#[test]
fn more_disks_than_one_commit_takes_are_refused_with_a_way_out() {
    let mut world = World::new();
    let session = world.join('a');
    let many: Vec<DiskReport> = (0..2001).map(|number| able(&format!("{:012}", 700_000_000_000_u64 + number))).collect();
    for part in many.chunks(64) {
        let all: Vec<DiskReport> = part.to_vec();
        world.reports(session, all);
    }
    let text = refused(&mut world, bulk("b1", OperationKind::SelfTest));
    assert!(text.contains("at most 2000") && text.contains("name a seller"), "{text}");
    assert!(world.restored.operations.is_empty(), "none of them");
}

#[test]
fn figures_count_operations_that_wait_and_run() {
    let mut world = World::new();
    let session = world.join('a');
    world.reports(session, vec![able(DISK)]);
    let counted = |world: &World| {
        let figures = world.core.figures();
        (figures.operations_queued, figures.operations_running)
    };
    assert_eq!(counted(&world), (0, 0));
    world.ok(single("r1", OperationKind::Report));
    world.ok(single("c1", OperationKind::Clear));
    assert_eq!(counted(&world), (1, 1));
    let id = |key| operation_id(&DISK.parse().unwrap(), key, false);
    world.ok(Input::CancelOperation(id("c1"), OperationCancel { reason: "no".to_owned(), abandon: false }, "k1".to_owned()));
    assert_eq!(counted(&world), (0, 1));
    let verdict = OperationVerdict::Unsettled { class: DeviceClass::Link, text: "gone".to_owned() };
    let frame = AgentFrame::Operated {
        id: "p1".to_owned(),
        disk: DISK.parse().unwrap(),
        epoch: 1,
        operation: id("r1"),
        result: Box::new(OperationResultView { verdict, before: Default::default(), after: Default::default() }),
    };
    world.input(Input::Frame(session, Box::new(frame))).unwrap();
    assert_eq!(counted(&world), (0, 0));
}

fn calendar(report: DiskReport, now: &str) -> Vec<(DueWhat, DueState, Option<String>)> {
    let mut world = World::new();
    let session = world.join('a');
    world.reports(session, vec![report]);
    let now = Timestamp::from_disk(now).unwrap();
    world.core.calendar(None, &[], now).into_iter().map(|line| (line.what, line.state, line.due)).collect()
}

#[test]
fn a_calendar_says_nothing_that_the_disk_did_not_tell() {
    let mut silent = able(DISK);
    for stock in &mut silent.stock {
        (stock.issue_deadline, stock.period, stock.upload_day, stock.offline_hours) = (None, None, None, None);
        stock.offline_amount = None;
    }
    silent.offline = None;
    assert_eq!(calendar(silent.clone(), "20240115120000"), []);
    // Dates that are none are as good as none.
    silent.stock[0].issue_deadline = Some("20240231".to_owned());
    silent.stock[0].period = Some(("20240101".to_owned(), "January".to_owned()));
    assert_eq!(calendar(silent, "20240115120000"), []);
}

#[test]
fn a_calendar_at_the_turn_of_a_year_and_in_a_short_month() {
    let mut told = able(DISK);
    told.stock.truncate(1);
    told.stock[0].issue_deadline = Some("20240115".to_owned());
    told.stock[0].period = None;
    told.stock[0].upload_day = Some(31);
    (told.stock[0].offline_hours, told.stock[0].offline_amount) = (Some(0), None);
    told.offline =
        Some(OfflineView { count: 1, first: Some("20231231235959".to_owned()), sum: "1.00".to_owned(), count_limit: None });
    let clear = |now| calendar(told.clone(), now).iter().find(|line| line.0 == DueWhat::Clear).unwrap().1;
    assert_eq!(clear("20231231235959"), DueState::Done, "a lock date in the next year is in a later month");
    assert_eq!(clear("20240101000000"), DueState::Due);
    let upload = calendar(told.clone(), "20240131120000").into_iter().find(|line| line.0 == DueWhat::Upload).unwrap();
    assert_eq!((upload.1, upload.2.as_deref()), (DueState::Due, Some("2024-01-31T15:59:59.999Z")), "what is of December");
    assert!(!calendar(told.clone(), "20240131120000").iter().any(|line| line.0 == DueWhat::OfflineTime), "0 hours are no limit");
    // Issued in January, due on the 31st of February: its last day.
    told.offline.as_mut().unwrap().first = Some("20240101000000".to_owned());
    let of_january = |now| calendar(told.clone(), now).into_iter().find(|line| line.0 == DueWhat::Upload).unwrap();
    assert_eq!(of_january("20240229235959").1, DueState::Due);
    assert_eq!(of_january("20240301000000").1, DueState::Overdue);
    assert_eq!(of_january("20240301000000").2.as_deref(), Some("2024-02-29T15:59:59.999Z"));
}

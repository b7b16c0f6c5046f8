//! Operations: in line with jobs, handed over once, ended by the disk's owner alone.

use super::*;
use crate::core::operations::{OperationAsk, operation_id};
use taxdisk_protocol::api::{
    BulkOperationAction, BulkOperationLine, BulkOperationRequest, DueState, DueWhat, OfflineView, OperationCancel, OperationKind,
    OperationRequest, OperationResultView, OperationState, OperationVerdict, OperationView,
};
use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::link::{OperationOrder, RecountedNumbers};

fn able(disk: &str) -> DiskReport {
    let mut able = report(disk);
    able.capabilities.operations = vec![DiskOperation::Report, DiskOperation::Clear, DiskOperation::Upload];
    able
}

fn request(key: &str, operation: OperationKind) -> OperationRequest {
    let reason = "month end".to_owned();
    OperationRequest { key: key.to_owned(), operation, kind: None, reason, dry_run: false, anyway: false }
}

fn ask(request: OperationRequest) -> Input {
    Input::Operate(Box::new(OperationAsk { disk: DISK.parse().unwrap(), request, bulk: None }), "k1".to_owned())
}

fn asked(world: &mut World, request: OperationRequest) -> OperationView {
    match world.ok(ask(request)) {
        Reply::Operation(view) => *view,
        other => panic!("{other:?}"),
    }
}

fn cancel(key: &str, abandon: bool) -> Input {
    Input::CancelOperation(id(key), OperationCancel { reason: "not yet".to_owned(), abandon }, "k1".to_owned())
}

fn id(key: &str) -> String {
    operation_id(&DISK.parse().unwrap(), key, false)
}

fn view(world: &World, key: &str) -> OperationView {
    let row = world.restored.operations.iter().find(|row| row.view.id == id(key)).unwrap();
    world.core.operation_view(row)
}

fn orders(world: &mut World, session: SessionId) -> Vec<OperationOrder> {
    world.take(|to, frame| match frame {
        BrokerFrame::Operate { operation, .. } if to == session => Some(operation.clone()),
        _ => None,
    })
}

fn result(verdict: OperationVerdict) -> OperationResultView {
    OperationResultView { verdict, before: Default::default(), after: Default::default() }
}

/// True: acknowledged.
fn tell(world: &mut World, session: SessionId, key: &str, verdict: OperationVerdict) -> bool {
    let frame = AgentFrame::Operated {
        id: "p1".to_owned(),
        disk: DISK.parse().unwrap(),
        epoch: 1,
        operation: id(key),
        result: Box::new(result(verdict)),
    };
    let _ = world.input(Input::Frame(session, Box::new(frame)));
    !world.take(|_, frame| matches!(frame, BrokerFrame::Ack { ids } if ids[0] == "p1").then_some(())).is_empty()
}

fn online(world: &mut World, letter: char) -> SessionId {
    let session = world.join(letter);
    world.reports(session, vec![able(DISK)]);
    session
}

fn entries(world: &World, what: &str) -> usize {
    world.audits.iter().filter(|(name, _)| *name == what).count()
}

#[test]
fn an_operation_waits_for_what_the_disk_has_at_hand_and_jobs_wait_for_it() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    for n in 1..=3 {
        world.submit(&format!("A{n}"));
    }
    let work = world.assigned(session);
    assert_eq!(work.len(), 2);
    let queued = asked(&mut world, request("r1", OperationKind::Report));
    assert_eq!((queued.state, queued.kind.as_deref()), (OperationState::Queued, Some("025")));
    assert!(queued.waiting.unwrap().contains("end first"));
    assert!(orders(&mut world, session).is_empty(), "never beside a job");
    world.outcome(session, &work[0], issued(1));
    assert!(orders(&mut world, session).is_empty() && world.assigned(session).is_empty());
    assert_eq!(world.waiting("A3"), Some(Waiting::Operation));
    world.outcome(session, &work[1], issued(2));
    let handed = orders(&mut world, session);
    assert_eq!((handed.len(), handed[0].what, handed[0].settle_only), (1, OperationKind::Report, false));
    assert_eq!(view(&world, "r1").state, OperationState::Running);
    assert!(world.assigned(session).is_empty(), "no job beside an operation");
    assert!(tell(&mut world, session, "r1", OperationVerdict::Done { read: true }));
    assert_eq!(view(&world, "r1").state, OperationState::Done);
    assert_eq!(world.assigned(session).len(), 1, "the job goes on");
    let told = world.announcements.iter().filter(|told| told.kind == "disk.operation").count();
    assert_eq!((told, entries(&world, "operation_asked"), entries(&world, "operation_ended")), (1, 1, 1));
}

#[test]
fn the_same_key_is_the_same_operation_and_another_one_is_refused() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    assert!(asked(&mut world, request("r1", OperationKind::Report)).repeated);
    assert_eq!(world.input(ask(request("r1", OperationKind::Clear))).unwrap_err().code, "operation_key");
    assert_eq!(orders(&mut world, session).len(), 1, "handed over once");
    tell(&mut world, session, "r1", OperationVerdict::Done { read: false });
    let again = asked(&mut world, request("r1", OperationKind::Report));
    assert_eq!((again.repeated, again.state), (true, OperationState::Done));
    assert!(orders(&mut world, session).is_empty(), "done is done");
    let dry = OperationRequest { dry_run: true, ..request("r1", OperationKind::Report) };
    assert!(!asked(&mut world, dry).repeated, "a dry run is one of its own");
}

#[test]
fn what_a_disk_cannot_do_is_refused_at_once() {
    let mut world = World::new();
    assert_eq!(world.input(ask(request("r1", OperationKind::Report))).unwrap_err().code, "disk_unknown");
    let session = world.connect('a', DISK);
    assert_eq!(world.input(ask(request("r1", OperationKind::Report))).unwrap_err().code, "operation_impossible");
    world.reports(session, vec![able(DISK)]);
    let of_kind = |kind: &str| OperationRequest { kind: Some(kind.to_owned()), ..request("r1", OperationKind::Report) };
    assert_eq!(world.input(ask(of_kind("026"))).unwrap_err().code, "operation_impossible");
    let mute = OperationRequest { reason: " ".to_owned(), ..request("r1", OperationKind::Report) };
    assert_eq!(world.input(ask(mute)).unwrap_err().code, "invalid_parameter");
    assert_eq!(world.input(ask(request("no key", OperationKind::Report))).unwrap_err().code, "invalid_parameter");
}

#[test]
fn a_lost_answer_is_asked_for_and_an_agent_whose_journal_went_on_may_begin() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    assert_eq!(orders(&mut world, session).len(), 1);
    world.restart(Settings::default());
    assert_eq!(view(&world, "r1").state, OperationState::Running);
    let session = online(&mut world, 'a');
    assert!(!orders(&mut world, session)[0].settle_only, "nothing says that it began");
    let frame = AgentFrame::Operating { disk: DISK.parse().unwrap(), epoch: 2, operation: id("r1") };
    world.ok(Input::Frame(session, Box::new(frame)));
    world.leave(session, Left::Lost);
    let session = online(&mut world, 'a');
    assert!(orders(&mut world, session)[0].settle_only, "it began: never again");
}

#[test]
fn another_agent_and_another_journal_only_settle_for_ever() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    orders(&mut world, session);
    world.leave(session, Left::Goodbye);
    // Another journal, and at first without the disk.
    let replaced = world.join_as('a', 10, JournalHead { id: "new".to_owned(), sequence: 1 }).unwrap().session;
    world.leave(replaced, Left::Lost);
    let session = world.join_as('a', 11, JournalHead { id: "new".to_owned(), sequence: 2 }).unwrap().session;
    world.reports(session, vec![able(DISK)]);
    assert!(orders(&mut world, session)[0].settle_only, "the journal of then is gone");

    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    world.leave(session, Left::Goodbye);
    let other = online(&mut world, 'b');
    assert!(orders(&mut world, other)[0].settle_only);
    world.leave(other, Left::Goodbye);
    let first = online(&mut world, 'a');
    assert!(orders(&mut world, first)[0].settle_only, "nor the first one, afterwards");
}

#[test]
fn a_new_agent_waits_for_the_silence_of_one_that_may_still_begin() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    world.leave(session, Left::Lost);
    let other = online(&mut world, 'b');
    assert!(orders(&mut world, other).is_empty() && world.granted(other).is_empty());
    world.pass_ms(Settings::default().silence_ms);
    assert_eq!((world.granted(other).len(), orders(&mut world, other).len()), (1, 1));
}

#[test]
fn late_words_on_an_ended_operation_follow_each_other_whatever_is_durable_meanwhile() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    tell(&mut world, session, "r1", OperationVerdict::Done { read: false });
    // Its end is durable with this word, and this word with the next.
    tell(&mut world, session, "r1", OperationVerdict::Read);
    tell(&mut world, session, "r1", OperationVerdict::Done { read: true });
    let seen = view(&world, "r1");
    assert_eq!(seen.late.unwrap().verdict, OperationVerdict::Done { read: true });
    assert_eq!((seen.state, entries(&world, "operation_late")), (OperationState::Done, 2));
}

#[test]
fn only_the_owner_ends_it_and_what_others_say_is_kept() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    let stranger = world.join('b');
    assert!(tell(&mut world, stranger, "r1", OperationVerdict::Done { read: true }), "acknowledged all the same");
    let seen = view(&world, "r1");
    assert_eq!((seen.state, seen.late.unwrap().verdict), (OperationState::Running, OperationVerdict::Done { read: true }));
    tell(&mut world, session, "r1", OperationVerdict::Done { read: false });
    let before = view(&world, "r1");
    assert!(tell(&mut world, session, "r1", OperationVerdict::Done { read: false }), "twice");
    assert_eq!(view(&world, "r1"), before);
    assert!(tell(&mut world, session, "unheard", OperationVerdict::Read));
    assert_eq!((entries(&world, "operation_late"), entries(&world, "operation_of_unknown")), (1, 1));
}

#[test]
fn an_agent_that_does_not_know_operations_ends_it_with_a_clear_error() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    world.submit("A1");
    world.ok(Input::Frame(session, Box::new(AgentFrame::Unsupported { of: "operate".to_owned() })));
    let seen = view(&world, "r1");
    assert_eq!(seen.state, OperationState::Refused);
    assert!(seen.result.unwrap().verdict.text().contains("update"));
    assert_eq!(world.assigned(session).len(), 1, "jobs go on");
}

#[test]
fn what_is_queued_is_cancelled_and_what_is_handed_over_is_not() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    asked(&mut world, request("c1", OperationKind::Clear));
    assert!(view(&world, "c1").waiting.unwrap().contains("before it"));
    let cancel = |key: &str| cancel(key, false);
    assert_eq!(world.input(cancel("r1")).unwrap_err().code, "operation_begun");
    world.ok(cancel("c1"));
    world.ok(cancel("c1"));
    tell(&mut world, session, "r1", OperationVerdict::Done { read: true });
    assert_eq!(world.input(cancel("r1")).unwrap_err().code, "operation_ended");
    assert_eq!((view(&world, "c1").state, orders(&mut world, session).len()), (OperationState::Cancelled, 1));
    assert_eq!(entries(&world, "operation_cancelled"), 1);
}

#[test]
fn what_was_handed_over_is_given_up_only_while_nobody_can_be_asked_and_is_never_called_undone() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    asked(&mut world, request("c1", OperationKind::Clear));
    assert_eq!(world.input(cancel("r1", true)).unwrap_err().code, "operation_begun", "its agent is there");
    world.leave(session, Left::Lost);
    assert_eq!(world.input(cancel("r1", false)).unwrap_err().code, "operation_begun", "nobody said that it is given up");
    world.ok(cancel("r1", true));
    world.ok(cancel("r1", true));
    let seen = view(&world, "r1");
    assert_eq!((seen.state, entries(&world, "operation_abandoned")), (OperationState::Unsettled, 1));
    assert!(seen.result.unwrap().verdict.text().contains("not yet"), "the reason is told");
    // The disk comes back after all: the next one is its turn, and what its agent says of the first is kept as evidence.
    let session = online(&mut world, 'a');
    assert_eq!(orders(&mut world, session).iter().map(|order| order.id.clone()).collect::<Vec<_>>(), [id("c1")]);
    tell(&mut world, session, "r1", OperationVerdict::Done { read: true });
    let seen = view(&world, "r1");
    assert_eq!((seen.state, seen.late.is_some()), (OperationState::Unsettled, true));
}

#[test]
fn a_locked_and_paused_disk_still_operates() {
    let mut world = World::new();
    let session = world.join('a');
    let mut locked = able(DISK);
    locked.health = taxdisk_protocol::api::DiskHealth {
        ready: false,
        class: Some(taxdisk_protocol::class::DeviceClass::Locked),
        text: "locked".to_owned(),
    };
    world.reports(session, vec![locked]);
    let pause = taxdisk_protocol::api::PauseRequest { reason: "paper".to_owned() };
    let scope = crate::core::Scope::Disk(DISK.parse().unwrap());
    world.ok(Input::Pause(scope, taxdisk_protocol::api::PauseMode::Pause, pause, "k1".to_owned()));
    asked(&mut world, request("c1", OperationKind::Clear));
    assert_eq!(orders(&mut world, session).len(), 1);
}

fn bulk(world: &mut World, key: &str, operation: OperationKind, dry_run: bool) -> Vec<BulkOperationLine> {
    let reason = "month end".to_owned();
    let request =
        BulkOperationRequest { key: key.to_owned(), seller: None, operation, kind: None, reason, dry_run, anyway: false };
    match world.ok(Input::OperateBulk(Box::new(request), "k1".to_owned())) {
        Reply::Operations(lines) => lines,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bulk_operation_is_previewed_run_once_for_each_disk_and_names_who_is_left_out() {
    let mut world = World::new();
    let session = world.join('a');
    let mut empty = able("2");
    empty.offline = Some(OfflineView { sum: "0.00".to_owned(), ..OfflineView::default() });
    let mut full = able(DISK);
    full.offline = Some(OfflineView { count: 2, sum: "20.00".to_owned(), ..OfflineView::default() });
    world.reports(session, vec![full, empty, report("3")]);
    let actions = |lines: &[BulkOperationLine]| lines.iter().map(|line| (line.disk.clone(), line.action)).collect::<Vec<_>>();
    let wanted = [
        ("2".to_owned(), BulkOperationAction::Nothing),
        ("3".to_owned(), BulkOperationAction::Refused),
        (DISK.to_owned(), BulkOperationAction::Run),
    ];
    let preview = bulk(&mut world, "b1", OperationKind::Upload, true);
    assert_eq!(actions(&preview), wanted);
    assert!(world.restored.operations.is_empty() && orders(&mut world, session).is_empty(), "a preview does nothing");
    let run = bulk(&mut world, "b1", OperationKind::Upload, false);
    assert_eq!(actions(&run), wanted);
    assert_eq!((orders(&mut world, session).len(), world.restored.operations.len()), (1, 1));
    let again = bulk(&mut world, "b1", OperationKind::Upload, false);
    assert_eq!((again[2].action, again[2].operation.clone()), (BulkOperationAction::Repeated, run[2].operation.clone()));
    assert_eq!((orders(&mut world, session).len(), world.restored.operations.len()), (0, 1), "once for each key");
    world.leave(session, Left::Lost);
    let away = bulk(&mut world, "b2", OperationKind::Stock, true);
    assert!(away.iter().all(|line| line.action == BulkOperationAction::Wait && line.kind.is_none()), "{away:?}");
}

#[test]
fn the_calendar_says_what_is_due_overdue_and_done() {
    let at = |text: &str| Timestamp::from_disk(text).unwrap();
    let mut world = World::new();
    let session = world.join('a');
    let mut told = able(DISK);
    told.stock[0].issue_deadline = Some("20231215".to_owned());
    told.stock[0].period = Some(("20231101".to_owned(), "20231130".to_owned()));
    told.stock[0].upload_day = Some(15);
    told.stock[0].offline_hours = Some(72);
    told.stock[0].offline_amount = Some("100.00".to_owned());
    told.offline =
        Some(OfflineView { count: 3, first: Some("20231120080000".to_owned()), sum: "85.00".to_owned(), count_limit: Some(3) });
    world.reports(session, vec![told]);
    let states = |world: &World, now: &str| -> Vec<(DueWhat, DueState)> {
        world.core.calendar(None, &[], at(now)).into_iter().map(|line| (line.what, line.state)).collect()
    };
    use DueState::{Done, Due, Overdue};
    let of = |report, clear, lock, upload, time| {
        [
            (DueWhat::Report, report),
            (DueWhat::Clear, clear),
            (DueWhat::LockDate, lock),
            (DueWhat::Upload, upload),
            (DueWhat::OfflineTime, time),
            (DueWhat::OfflineAmount, Due),
            (DueWhat::OfflineCount, Overdue),
        ]
    };
    assert_eq!(states(&world, "20231121120000"), of(Done, Done, Done, Due, Due), "the month goes on");
    assert_eq!(states(&world, "20231130235959"), of(Done, Done, Done, Due, Overdue), "its last moment");
    assert_eq!(states(&world, "20231201000000"), of(Due, Due, Due, Due, Overdue), "the period is over");
    assert_eq!(states(&world, "20231215235959"), of(Due, Due, Due, Due, Overdue), "the day itself is good");
    assert_eq!(states(&world, "20231216000000"), of(Overdue, Overdue, Overdue, Overdue, Overdue));
    let lines = world.core.calendar(None, &[], at("20231201000000"));
    assert_eq!(lines[1].due.as_deref(), Some("2023-12-15T15:59:59.999Z"), "midnight in China");
    // A report that was done this month is done, whatever the disk's dates say.
    asked(&mut world, request("r1", OperationKind::Report));
    tell(&mut world, session, "r1", OperationVerdict::Done { read: false });
    let done = world.restored.operations.clone();
    let lines = world.core.calendar(Some(&seller().parse().unwrap()), &done, at("20231202000000"));
    assert_eq!((lines[0].what, lines[0].state), (DueWhat::Report, Done));
    assert!(world.core.calendar(Some(&"91110000MA0000001L".parse().unwrap()), &done, at("20231202000000")).is_empty());
}

#[test]
fn a_drain_is_over_when_the_operation_has_ended_too() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    asked(&mut world, request("r1", OperationKind::Report));
    let drain = taxdisk_protocol::api::PauseRequest { reason: "away".to_owned() };
    let scope = crate::core::Scope::Disk(DISK.parse().unwrap());
    world.ok(Input::Pause(scope, taxdisk_protocol::api::PauseMode::Drain, drain, "k1".to_owned()));
    world.pass_ms(60_000);
    assert_eq!(entries(&world, "drained"), 0, "its agent has it");
    tell(&mut world, session, "r1", OperationVerdict::Done { read: true });
    assert_eq!(entries(&world, "drained"), 1);
}

#[test]
fn a_ledger_that_went_back_changes_no_disk_before_its_numbers_are_read() {
    let mut world = World::new();
    let session = world.join('a');
    world.reports(session, vec![DiskReport { sequence: 9, ..able(DISK) }]);
    let recounts = world.take(|_, frame| match frame {
        BrokerFrame::Recount { epoch, .. } => Some(*epoch),
        _ => None,
    });
    let queued = asked(&mut world, request("r1", OperationKind::Report));
    assert!(queued.waiting.unwrap().contains("went back") && orders(&mut world, session).is_empty());
    let numbers = RecountedNumbers { kind: InvoiceKind::Roll, seen: Vec::new(), last: Some(pair(9)), complete: true };
    for (numbers, done) in [(Some(numbers), false), (None, true)] {
        let disk = DISK.parse().unwrap();
        let frame = AgentFrame::Recounted { disk, epoch: recounts[0], lines: Vec::new(), numbers, done };
        world.ok(Input::Frame(session, Box::new(frame)));
    }
    world.pass_ms(1000);
    assert_eq!(orders(&mut world, session).len(), 1);
    // What only reads waits for nothing of that.
    let mut world = World::new();
    let session = world.join('a');
    world.reports(session, vec![DiskReport { sequence: 9, ..able(DISK) }]);
    asked(&mut world, request("s1", OperationKind::Stock));
    assert_eq!(orders(&mut world, session).len(), 1);
}

#[test]
fn an_operation_waits_until_the_disk_was_read_for_what_is_not_settled() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.started(session, &work, 1);
    world.outcome_with(session, &work, unsettled(), vec![absent(1)]);
    world.leave(session, Left::Goodbye);
    let session = online(&mut world, 'a');
    let queued = asked(&mut world, request("r1", OperationKind::Report));
    assert!(queued.waiting.unwrap().contains("not settled") && orders(&mut world, session).is_empty());
    // Read, and still not settled: a report need not wait for a person, and its agent judges it.
    world.outcome_with(session, &work, unsettled(), vec![absent(1)]);
    assert_eq!(orders(&mut world, session).len(), 1);
}

#[test]
fn no_more_than_a_few_operations_wait_at_one_disk() {
    let mut world = World::new();
    let session = online(&mut world, 'a');
    world.leave(session, Left::Goodbye);
    for n in 0..16 {
        asked(&mut world, request(&format!("r{n}"), OperationKind::Report));
    }
    assert_eq!(world.input(ask(request("more", OperationKind::Report))).unwrap_err().code, "rate_limited");
    assert!(asked(&mut world, request("r0", OperationKind::Report)).repeated, "what is known is answered all the same");
    world.ok(cancel("r0", false));
    asked(&mut world, request("more", OperationKind::Report));
}

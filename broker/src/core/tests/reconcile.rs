//! A ledger that went back assigns nothing before the disks have told what it forgot, and what nobody knows waits for a person.

use super::*;
use taxdisk_protocol::api::{PairBody, SettleDecision, SettleReading, SettleRequest};
use taxdisk_protocol::link::{Accounted, AttemptRef, Forgotten, IndexLine, NumberEntry, RecountedNumbers, SeenNumber};
use taxdisk_protocol::undo::Undoing;

use super::super::change::ReconcileRow;
use super::super::types::{LineDecision, NumberDecision};
use super::undoing::{OTHER, half_red, take, void, voided, whole_red};

/// What a backup holds.
pub(super) struct Backup {
    jobs: HashMap<JobKey, Arc<Job>>,
    events: HashMap<JobKey, Vec<Event>>,
    numbers: HashMap<NumberKey, Owner>,
    restored: Restored,
}

fn copy(of: &Restored) -> Restored {
    Restored {
        jobs: Vec::new(),
        next_place: of.next_place,
        sellers: of.sellers.clone(),
        points: of.points.clone(),
        reports: of.reports.clone(),
        assignments: of.assignments.clone(),
        fences: of.fences.clone(),
        accounted: of.accounted.clone(),
        agents: of.agents.clone(),
        reconcile: of.reconcile.clone(),
        ..Restored::default()
    }
}

impl World {
    pub(super) fn backup(&self) -> Backup {
        Backup {
            jobs: self.jobs.clone(),
            events: self.events.clone(),
            numbers: self.numbers.clone(),
            restored: copy(&self.restored),
        }
    }

    /// The ledger is as it was then. `marked`: by the restore command, and not by hand or by a lossy failover.
    pub(super) fn go_back(&mut self, backup: Backup, marked: bool) {
        (self.jobs, self.events, self.numbers) = (backup.jobs, backup.events, backup.numbers);
        self.restored = backup.restored;
        if marked {
            let body = Some("a copy was put back".to_owned());
            self.restored.reconcile.push(ReconcileRow { what: "restored", key: String::new(), body });
        }
        self.restart(Settings::default());
    }

    /// The agent is back with its disk; its journal holds this sequence.
    pub(super) fn connect_knowing(&mut self, letter: char, sequence: u64) -> SessionId {
        self.comes_back(letter, DISK, sequence)
    }

    pub(super) fn comes_back(&mut self, letter: char, disk: &str, sequence: u64) -> SessionId {
        let session = self.join(letter);
        self.reports(session, vec![DiskReport { sequence, ..report(disk) }]);
        session
    }

    pub(super) fn asked_to_recount(&mut self, session: SessionId) -> Vec<(u64, u64, Vec<Accounted>)> {
        self.take(|to, frame| match frame {
            BrokerFrame::Recount { epoch, after, since, .. } if to == session => Some((*epoch, *after, since.clone())),
            _ => None,
        })
    }

    fn recounted(
        &mut self,
        session: SessionId,
        epoch: u64,
        lines: Vec<IndexLine>,
        numbers: Option<RecountedNumbers>,
        done: bool,
    ) {
        self.recounted_at(session, DISK, epoch, lines, numbers, done);
    }

    fn recounted_at(
        &mut self,
        session: SessionId,
        disk: &str,
        epoch: u64,
        lines: Vec<IndexLine>,
        numbers: Option<RecountedNumbers>,
        done: bool,
    ) {
        let frame = AgentFrame::Recounted { disk: disk.parse().unwrap(), epoch, lines, numbers, done };
        self.ok(Input::Frame(session, Box::new(frame)));
    }

    /// The whole answer to the one question that was asked.
    fn tells(&mut self, session: SessionId, lines: Vec<IndexLine>, seen: Vec<SeenNumber>, last: u32) {
        self.tells_at(session, DISK, lines, seen, last);
    }

    pub(super) fn tells_at(&mut self, session: SessionId, disk: &str, lines: Vec<IndexLine>, seen: Vec<SeenNumber>, last: u32) {
        let asked = self.asked_to_recount(session);
        assert_eq!(asked.len(), 1, "asked once a grant");
        let numbers = RecountedNumbers { kind: InvoiceKind::Roll, seen, last: Some(pair(last)), complete: true };
        self.recounted_at(session, disk, asked[0].0, lines, Some(numbers), false);
        self.recounted_at(session, disk, asked[0].0, Vec::new(), None, true);
    }

    fn accounts(&mut self, session: SessionId, epoch: u64, entries: Vec<NumberEntry>, last: u32) {
        let (disk, kind, last) = (DISK.parse().unwrap(), InvoiceKind::Roll, pair(last));
        let frame = AgentFrame::Accounted { id: "n".to_owned(), disk, epoch, kind, entries, last, note: None };
        self.ok(Input::Frame(session, Box::new(frame)));
    }

    pub(super) fn invoice(&self, serial: &str) -> String {
        self.job(serial).issued.as_ref().unwrap().number.clone()
    }

    fn decide(&mut self, number: u32, serial: Option<&str>) -> Result<Reply, Refusal> {
        self.decide_number(number, serial.map(key), false)
    }

    pub(super) fn decide_number(&mut self, number: u32, job: Option<JobKey>, forgotten: bool) -> Result<Reply, Refusal> {
        let number = NumberKey { disk: DISK.parse().unwrap(), kind: InvoiceKind::Roll, pair: pair(number) };
        let decision = NumberDecision { number, job, forgotten, reason: "asked the shop".to_owned() };
        self.input(Input::DecideNumber(Box::new(decision)))
    }
}

pub(super) fn remembered(serial: &str, sequence: u64, result: AttemptResult) -> IndexLine {
    IndexLine {
        attempt: AttemptRef { key: key(serial), attempt: 1 },
        kind: InvoiceKind::Roll,
        epoch: 1,
        sequence,
        content_hash: None,
        expected: None,
        undoing: None,
        result,
    }
}

pub(super) fn seen(number: u32, mark: Option<&str>) -> SeenNumber {
    SeenNumber {
        pair: pair(number),
        status: "positive".to_owned(),
        digest: "d".to_owned(),
        mark: mark.map(str::to_owned),
        reverses: None,
        gross: "226.00".to_owned(),
        buyer: "个人".to_owned(),
    }
}

/// A1 was issued as 7 before the backup, A2 waits in it; A2 and A3 were issued as 8 and 9 after it, and confirmed.
pub(super) fn yesterday() -> (World, Backup) {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.accounts(session, 1, Vec::new(), 6);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, issued(7));
    world.reports(session, Vec::new());
    world.submit("A2");
    let backup = world.backup();
    world.connect('a', DISK);
    world.submit("A3");
    (world, backup)
}

fn today() -> Vec<IndexLine> {
    vec![remembered("A2", 2, issued(8)), remembered("A3", 3, issued(9))]
}

#[test]
fn i1_nothing_is_assigned_before_every_disk_was_recounted() {
    for marked in [true, false] {
        let (mut world, backup) = yesterday();
        world.go_back(backup, marked);
        let session = world.connect_knowing('a', 3);
        world.submit("A9");
        assert!(world.assigned(session).is_empty(), "marked: {marked}");
        assert_eq!(world.waiting("A9"), Some(Waiting::Reconcile));
        let asked = world.asked_to_recount(session);
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].1, asked[0].2[0].last), (1, pair(7)), "from what the ledger knows");
        // A link that breaks in the middle, a restart, time: none of them is an answer.
        world.recounted(session, asked[0].0, today(), None, false);
        world.leave(session, Left::Lost);
        world.restart(Settings::default());
        world.pass_ms(86_400_000);
        let session = world.connect_knowing('a', 3);
        assert!(world.assigned(session).is_empty());
        world.tells(session, today(), Vec::new(), 9);
        let work = world.assigned(session);
        assert_eq!(work.len(), 1, "A9 alone is left");
        assert_eq!(work[0].1.attempt, AttemptRef { key: key("A9"), attempt: 1001 }, "no attempt is numbered twice");
        assert!(work[0].1.sequence > 3, "no sequence is given twice");
        assert_eq!(world.invoice("A2"), "00000008", "queued in the backup, and issued since");
    }
}

#[test]
fn i1_a_serial_number_that_is_sent_again_gets_the_invoice_that_the_index_remembers() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    // Before the recount it waits, and becomes issued by it; after the recount it is issued at once.
    assert_eq!(world.submit("A3").state, JobState::Queued);
    let mut lines = today();
    lines.push(remembered("A4", 4, issued(10)));
    world.tells(session, lines, Vec::new(), 10);
    assert_eq!((world.state("A3"), world.invoice("A3").as_str()), (JobState::Issued, "00000009"));
    world.restart(Settings::default());
    let session = world.connect_knowing('a', 4);
    assert_eq!((world.submit("A4").state, world.invoice("A4").as_str()), (JobState::Issued, "00000010"));
    assert!(world.assigned(session).is_empty());
    assert_eq!(world.number(10), Some(&Owner::Ours(AttemptRef { key: key("A4"), attempt: 1 })));
    assert_eq!(world.submit("A4").revision, world.job("A4").revision, "and again the same");
}

#[test]
fn i1_a_red_waits_until_every_remembered_line_of_its_seller_has_found_its_job() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    // A3 is in the part that was lost: for all that this ledger knows, it reversed 7.
    world.tells(session, today(), Vec::new(), 9);
    world.input(Input::Submit(Box::new(whole_red("R1", 7).into()))).unwrap();
    assert_eq!(world.waiting("R1"), Some(Waiting::Reconcile));
    assert!(world.assigned(session).is_empty());
    world.restart(Settings::default());
    let session = world.connect_knowing('a', 3);
    assert!(world.assigned(session).is_empty(), "a restart forgets no line");
    world.submit("A3");
    assert_eq!(world.invoice("A3"), "00000009");
    let work = world.assigned(session);
    assert_eq!(work.len(), 1, "nothing is left to find out");
    assert_eq!(work[0].1.attempt.key, key("R1"));
}

#[test]
fn i6_other_content_than_what_was_issued_is_a_conflict() {
    let (mut world, backup) = yesterday();
    let hash = world.job("A3").version().hash.clone();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    let line = |hash: &str| IndexLine { content_hash: Some(hash.to_owned()), ..remembered("A3", 3, issued(9)) };
    world.tells(session, vec![line("other")], Vec::new(), 9);
    let refusal = world.input(Input::Submit(Box::new(submission("A3").into()))).unwrap_err();
    assert_eq!(refusal.code, "conflict");
    assert!(!refusal.detail.contains("new serial"), "{}", refusal.detail);
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    world.tells(session, vec![line(&hash)], Vec::new(), 9);
    assert_eq!(world.submit("A3").state, JobState::Issued);
}

#[test]
fn i10_a_job_that_asks_for_a_number_of_unknown_origin_waits_for_a_person() {
    let (mut world, backup) = yesterday();
    let mark = world.job("A3").mark.clone().unwrap();
    world.go_back(backup, true);
    // The journal is lost: only the numbers tell.
    let session = world.connect_knowing('a', 0);
    world.tells(session, Vec::new(), vec![seen(8, None), seen(9, Some(&mark))], 9);
    // A2 fits 8, which has no mark; A3 fits both, and 9 by its mark. B1 fits neither by its own mark, but 8 by its content.
    for serial in ["A3", "B1"] {
        world.submit(serial);
    }
    assert!(world.assigned(session).is_empty());
    for serial in ["A2", "A3", "B1"] {
        assert_eq!(world.waiting(serial), Some(Waiting::Reconcile), "{serial}");
    }
    let mut other = submission("C1");
    other.invoice.as_mut().unwrap().buyer.name = "公司".to_owned();
    world.ok(Input::Submit(Box::new(other.into())));
    let work = world.assigned(session);
    assert_eq!(work.len(), 1, "what asks for something else goes on");
    world.outcome(session, &work[0], issued(30));
    // Nobody but a person takes such a number, and an account of it as foreign decides nothing.
    let entry = NumberEntry { pair: pair(9), owner: Owner::Foreign, status: "positive".to_owned(), digest: "d".to_owned() };
    let epoch = world.restored.fences[0].epoch;
    let ours = Owner::Ours(AttemptRef { key: key("A1"), attempt: 1 });
    world.accounts(session, epoch, vec![entry.clone(), NumberEntry { owner: ours, ..entry }], 9);
    assert_eq!((world.number(9), world.alarms('a').iter().filter(|alarm| alarm.contains("two owners")).count()), (None, 1));
    world.restart(Settings::default());
    let session = world.connect_knowing('a', 0);
    assert!(world.decide(9, Some("A1")).is_err(), "A1 has its invoice");
    world.decide(9, Some("A3")).unwrap();
    assert_eq!((world.state("A3"), world.invoice("A3").as_str()), (JobState::Issued, "00000009"));
    assert!(world.assigned(session).is_empty());
    world.decide(8, None).unwrap();
    assert_eq!(world.number(8), Some(&Owner::Foreign));
    assert!(!world.assigned(session).is_empty(), "A2 and B1 go on");
    assert_eq!(world.decide(8, None).unwrap_err().code, "not_found");
}

#[test]
fn a_mark_of_another_serial_number_holds_nothing() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 0);
    world.tells(session, Vec::new(), vec![seen(8, Some("#000000001"))], 8);
    assert_eq!(world.assigned(session).len(), 1, "A2 carries another mark");
}

#[test]
fn i3_an_attempt_that_the_index_holds_as_unsettled_waits_for_a_person() {
    for issued_as in [None, Some(pair(9))] {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        let session = world.connect_knowing('a', 3);
        world.tells(session, vec![remembered("A3", 3, unsettled())], Vec::new(), 9);
        world.besides_a2(session);
        world.submit("A3");
        assert!(world.assigned(session).is_empty());
        assert_eq!(world.waiting("A3"), Some(Waiting::Reconcile));
        let decide = |world: &mut World, reason: &str| {
            world.input(Input::DecideLine(
                key("A3"),
                LineDecision { issued: issued_as, reason: reason.to_owned(), ..Default::default() },
            ))
        };
        assert_eq!(decide(&mut world, " ").unwrap_err().code, "invalid_parameter");
        decide(&mut world, "read by hand").unwrap();
        match issued_as {
            Some(_) => assert_eq!(world.invoice("A3"), "00000009"),
            None => assert_eq!(world.assigned(session).len(), 1),
        }
    }
}

#[test]
fn i1_a_person_cannot_decide_against_an_invoice_that_an_index_remembers() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    world.tells(session, today(), Vec::new(), 9);
    // "Not issued" would let the serial number be issued a second time, and another number would be a second invoice of it.
    for issued_as in [None, Some(pair(10))] {
        assert_eq!(world.decide_line("A3", issued_as).unwrap_err().code, "settle_contradiction", "{issued_as:?}");
    }
    assert_eq!(world.number(10), None);
    world.submit("A3");
    assert_eq!((world.state("A3"), world.invoice("A3").as_str()), (JobState::Issued, "00000009"));
    assert!(world.assigned(session).is_empty());
}

#[test]
fn i10_a_person_cannot_give_a_number_away_that_has_an_owner() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    world.tells(session, vec![remembered("A3", 3, unsettled())], Vec::new(), 9);
    assert_eq!(world.decide_line("A3", Some(pair(7))).unwrap_err().code, "settle_contradiction");
    assert_eq!(world.number(7), Some(&Owner::Ours(AttemptRef { key: key("A1"), attempt: 1 })), "as before");
    assert!(world.audits.iter().all(|(what, _)| *what != "line_decided"), "the ledger says nothing that was not decided");
    world.submit("A3");
    assert_eq!(world.waiting("A3"), Some(Waiting::Reconcile), "and A3 is undecided as before");
}

#[test]
fn i10_no_outcome_adopts_a_number_of_unknown_origin() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 0);
    world.tells(session, Vec::new(), vec![seen(8, None)], 8);
    // It asks for something else than number 8 holds, so that it is handed out.
    let mut other = submission("C1");
    other.invoice.as_mut().unwrap().buyer.name = "公司".to_owned();
    world.ok(Input::Submit(Box::new(other.into())));
    let work = world.assigned(session).remove(0);
    assert_eq!(work.1.attempt.key, key("C1"));
    world.outcome(session, &work, issued(8));
    assert_eq!((world.state("C1"), world.number(8)), (JobState::Unsettled, None));
    assert_eq!(world.waiting("A2"), Some(Waiting::Reconcile), "a person still decides whose number 8 is");
}

/// Found by the simulation: the person who read the disk was refused because the number was unknown, and could not say whose the
/// number is because the job was unsettled. What was left to him was a lie.
#[test]
fn i3_a_person_settles_an_unsettled_job_with_a_number_of_unknown_origin() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.accounts(session, 1, Vec::new(), 6);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    let backup = world.backup();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 0);
    world.tells(session, Vec::new(), vec![seen(7, None)], 7);
    world.outcome(session, &work, unsettled());
    let settle = |world: &mut World, number: u32| {
        let request = SettleRequest {
            decision: SettleDecision::Issued,
            pair: Some(PairBody::from(pair(number))),
            current: PairBody::from(pair(8)),
            expected: SettleReading::PresentOurs,
            tax_office: None,
            reason: "looked at the disk".to_owned(),
            revision: world.job("A1").revision,
        };
        world.input(Input::Settle(key("A1"), request, "admin".to_owned()))
    };
    settle(&mut world, 7).unwrap();
    assert_eq!((world.state("A1"), world.invoice("A1").as_str()), (JobState::Issued, "00000007"));
    assert!(matches!(world.number(7), Some(Owner::Ours(attempt)) if attempt.key == key("A1")));
    assert!(world.core.reconcile_view().numbers.is_empty(), "its origin is known now");
    world.restart(Settings::default());
    assert!(world.core.reconcile_view().numbers.is_empty(), "also after a restart");
}

/// Found by the simulation: after a restore the red job that had been done was refused, because a void job of the same invoice
/// had come first; and the void job waited for the red one for ever.
#[test]
fn i1_a_red_that_a_restored_ledger_forgot_is_taken_before_a_void_that_came_first() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 4);
    world.tells(session, vec![remembered("R1", 4, issued(10))], Vec::new(), 10);
    world.besides_a2(session);
    let void =
        JobSubmission { operation: Operation::Void, original: Some(PairBody::from(pair(7))), invoice: None, ..submission("V1") };
    world.ok(Input::Submit(Box::new(void.into())));
    assert_eq!(world.waiting("V1"), Some(Waiting::Reconcile));
    world.ok(Input::Submit(Box::new(whole_red("R1", 7).into())));
    assert_eq!((world.state("R1"), world.invoice("R1").as_str()), (JobState::Issued, "00000010"));
    assert_eq!(world.job("V1").problem.as_ref().unwrap().code, "original_undone", "and the void job ends");
    assert_eq!(world.state("V1"), JobState::Failed);
    assert!(world.assigned(session).is_empty());
}

/// Found by the simulation: the void was told by the index and dropped, and a red of the same invoice went to another disk.
#[test]
fn i1_a_void_that_a_restored_ledger_forgot_is_the_only_undoing_of_its_invoice() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    // Number 3 was issued before the broker knew the disk: any disk of the seller could reverse it.
    take(&mut world, whole_red("R1", 3)).unwrap();
    take(&mut world, whole_red("R2", 4)).unwrap();
    let session = world.connect_knowing('a', 4);
    world.tells(session, vec![remembered("V1", 4, voided(3))], Vec::new(), 7);
    assert_eq!(
        (world.state("R1"), world.job("R1").problem.as_ref().unwrap().code.as_str()),
        (JobState::Failed, "original_undone")
    );
    let work = world.besides_a2(session);
    assert_eq!(work.iter().map(|work| work.1.attempt.key.clone()).collect::<Vec<_>>(), [key("R2")], "about another invoice");
    world.outcome(session, &work[0], issued(21));
    for restarted in [false, true] {
        for other in [whole_red("R3", 3), half_red("R4", 3), void("V2", 3)] {
            let refusal = take(&mut world, other).unwrap_err();
            assert_eq!(refusal.code, "original_undone", "restarted: {restarted}");
            assert!(refusal.detail.contains("voided by job V1"), "{refusal}");
        }
        assert_eq!(world.core.reconcile_view().jobs[0].result, "voided");
        assert_eq!(world.decide_line("V1", None).unwrap_err().code, "settle_contradiction", "what is proven is not decided");
        if !restarted {
            world.restart(Settings::default());
        }
    }
    // Sent again, it goes to the disk, which finds the original void; from then on the job itself is the guard.
    let session = world.connect_knowing('a', world.restored.fences[0].sequence);
    take(&mut world, void("V1", 3)).unwrap();
    let work = world.assigned(session);
    assert_eq!(work[0].1.attempt.key, key("V1"));
    world.outcome(session, &work[0], voided(3));
    assert_eq!(world.state("V1"), JobState::Voided);
    assert!(world.core.reconcile_view().jobs.is_empty(), "the job knows it now");
    world.restart(Settings::default());
    assert!(world.core.reconcile_view().jobs.is_empty());
    assert_eq!(take(&mut world, whole_red("R3", 3)).unwrap_err().code, "original_undone");
}

#[test]
fn a_remembered_invoice_that_undoes_nothing_holds_no_void_and_no_red() {
    // An agent of 0.1 does not say what its lines did.
    for (undoing, waits) in [(Some(Undoing::Nothing), false), (Some(Undoing::Of(pair(4))), false), (None, true)] {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        let session = world.connect_knowing('a', 4);
        take(&mut world, whole_red("R1", 3)).unwrap();
        let line = IndexLine { undoing, ..remembered("X1", 4, issued(8)) };
        world.tells(session, vec![line], Vec::new(), 8);
        let mut work = world.besides_a2(session);
        assert_eq!((world.waiting("R1") == Some(Waiting::Reconcile), work.is_empty()), (waits, waits), "{undoing:?}");
        // A line that may have undone it is known to be something else once its job is sent again.
        world.submit("X1");
        assert_eq!(world.state("X1"), JobState::Issued);
        work.extend(world.assigned(session));
        assert_eq!(work.iter().map(|work| work.1.attempt.key.clone()).collect::<Vec<_>>(), [key("R1")], "{undoing:?}");
    }
}

/// Found by the simulation: a red job that had been done was refused before its agent told of it, because another one had come
/// first; and that waited for ever.
#[test]
fn i1_a_red_that_is_remembered_as_done_ends_those_that_came_first_and_keeps_the_others_out() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 4);
    take(&mut world, half_red("R2", 3)).unwrap();
    let line = IndexLine { undoing: Some(Undoing::Of(pair(3))), ..remembered("R1", 4, issued(8)) };
    world.tells(session, vec![line], Vec::new(), 8);
    assert_eq!(world.job("R2").problem.as_ref().unwrap().code, "original_undone");
    let refusal = take(&mut world, void("V1", 3)).unwrap_err();
    assert!(refusal.code == "original_undone" && refusal.detail.contains("send R1 again"), "{refusal}");
    take(&mut world, half_red("R1", 3)).unwrap();
    assert_eq!((world.state("R1"), world.invoice("R1").as_str()), (JobState::Issued, "00000008"));
    assert!(world.core.reconcile_view().jobs.is_empty(), "from here on the job itself is the guard");
}

#[test]
fn i1_a_red_of_unknown_origin_holds_what_undoes_the_same_invoice() {
    let negative = |reverses: Option<u32>| SeenNumber {
        status: "negative".to_owned(),
        gross: "-226.00".to_owned(),
        reverses: reverses.map(pair),
        ..seen(8, Some("#of another job"))
    };
    for (found, waits) in [(negative(None), true), (negative(Some(3)), true), (negative(Some(4)), false), (seen(8, None), false)]
    {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        let session = world.connect_knowing('a', 4);
        take(&mut world, half_red("R1", 3)).unwrap();
        world.tells(session, Vec::new(), vec![found.clone()], 8);
        // Without a mark that can be compared, an invoice like A2's holds A2 as well.
        let work = if found.mark.is_some() { world.besides_a2(session) } else { world.assigned(session) };
        assert_eq!(work.len(), usize::from(!waits), "{found:?}");
        assert_eq!(world.waiting("R1") == Some(Waiting::Reconcile), waits, "{found:?}");
        world.decide(8, None).unwrap();
        assert_ne!(world.waiting("R1"), Some(Waiting::Reconcile), "a person has decided");
    }
}

#[test]
fn i3_a_person_gives_a_number_of_unknown_origin_to_a_remembered_attempt() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    world.tells(session, vec![remembered("A3", 3, unsettled())], vec![seen(9, None)], 9);
    world.decide_line("A3", Some(pair(9))).unwrap();
    assert!(world.core.reconcile_view().numbers.is_empty());
    world.submit("A3");
    assert_eq!((world.state("A3"), world.invoice("A3").as_str()), (JobState::Issued, "00000009"));
}

/// The ledger holds attempt 1 of A1 as open. It forgot that this was given back, and that attempt 2 issued number 8.
fn open_and_remembered() -> (World, SessionId, (u64, Assignment)) {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.accounts(session, 1, Vec::new(), 6);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    let backup = world.backup();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 2);
    let again = IndexLine { attempt: AttemptRef { key: key("A1"), attempt: 2 }, ..remembered("A1", 2, issued(8)) };
    world.tells(session, vec![again], Vec::new(), 8);
    (world, session, work)
}

#[test]
fn i3_a_remembered_invoice_waits_for_the_proof_of_what_is_open_here() {
    let (mut world, session, work) = open_and_remembered();
    assert_eq!(world.state("A1"), JobState::Assigned, "attempt 1 may have issued as well");
    world.outcome(session, &work, given_back());
    assert_eq!((world.state("A1"), world.invoice("A1").as_str()), (JobState::Issued, "00000008"));
    assert!(world.assigned(session).is_empty());
}

/// Found by the simulation: the job was called *failed*, while an index remembered its invoice.
#[test]
fn i3_a_person_says_not_issued_of_one_attempt_and_another_one_is_remembered_as_issued() {
    let (mut world, session, work) = open_and_remembered();
    world.outcome(session, &work, unsettled());
    assert_eq!(world.state("A1"), JobState::Unsettled);
    let request = SettleRequest {
        decision: SettleDecision::NotIssued,
        pair: None,
        current: PairBody::from(pair(9)),
        expected: SettleReading::PresentForeign,
        tax_office: None,
        reason: "read by hand".to_owned(),
        revision: world.job("A1").revision,
    };
    world.ok(Input::Settle(key("A1"), request, "admin".to_owned()));
    assert_eq!((world.state("A1"), world.invoice("A1").as_str()), (JobState::Issued, "00000008"));
}

impl World {
    fn decide_line(&mut self, serial: &str, issued: Option<NumberPair>) -> Result<Reply, Refusal> {
        self.input(Input::DecideLine(
            key(serial),
            LineDecision { issued, reason: "read by hand".to_owned(), ..Default::default() },
        ))
    }

    /// A2 was queued in the backup, is handed out and done. What else is handed out.
    fn besides_a2(&mut self, session: SessionId) -> Vec<(u64, Assignment)> {
        let mut work = self.assigned(session);
        let a2 = work.remove(0);
        assert_eq!(a2.1.attempt.key, key("A2"));
        self.outcome(session, &a2, issued(20));
        work.extend(self.assigned(session));
        work
    }
}

pub(super) fn forgotten(world: &mut World, to: SessionId) -> Vec<Forgotten> {
    world.take(|session, frame| match frame {
        BrokerFrame::Grant { forgotten, .. } if session == to => Some(forgotten.clone()),
        _ => None,
    })
}

#[test]
fn i10_a_grant_says_what_the_ledger_forgot_so_that_nobody_takes_it_for_settled() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    assert_eq!(forgotten(&mut world, session), [Forgotten { recounting: true, unsettled: Vec::new() }]);
    world.tells(session, vec![remembered("A2", 2, issued(8)), remembered("A3", 3, unsettled())], Vec::new(), 8);
    for restarted in [false, true] {
        if restarted {
            world.restart(Settings::default());
        } else {
            world.leave(session, Left::Lost);
        }
        let session = world.connect_knowing('a', 3);
        let attempt = AttemptRef { key: key("A3"), attempt: 1 };
        assert_eq!(forgotten(&mut world, session), [Forgotten { recounting: false, unsettled: vec![attempt] }]);
    }
    world.decide_line("A3", None).unwrap();
    let told = world.take(|_, frame| matches!(frame, BrokerFrame::Settled { .. }).then_some(()));
    assert_eq!(told.len(), 1, "the agent need not look for it any more");
}

#[test]
fn i3_what_the_disk_says_later_of_a_forgotten_attempt_decides_it() {
    for (result, state) in
        [(issued(9), JobState::Issued), (not_issued(DeviceClass::NoStock), JobState::Assigned), (unsettled(), JobState::Queued)]
    {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        let session = world.connect_knowing('a', 3);
        world.tells(session, vec![remembered("A2", 2, issued(8)), remembered("A3", 3, unsettled())], Vec::new(), 8);
        world.submit("A3");
        assert_eq!(world.waiting("A3"), Some(Waiting::Reconcile));
        let stranger = world.join('b');
        for (from, counts) in [(stranger, false), (session, true)] {
            let outcome = AgentFrame::Outcome {
                id: format!("late {counts}"),
                disk: DISK.parse().unwrap(),
                epoch: 1,
                sequence: 3,
                attempt: AttemptRef { key: key("A3"), attempt: 1 },
                expected: Some(pair(9)),
                outcome: result.clone(),
                readings: Vec::new(),
                disk_ms: 0,
            };
            world.ok(Input::Frame(from, Box::new(outcome)));
            assert_eq!(world.state("A3"), if counts { state } else { JobState::Queued }, "{result:?} from the owner: {counts}");
        }
        assert_eq!(world.core.reconcile_view().jobs.is_empty(), state != JobState::Queued);
    }
}

/// Found by the simulation: the number was entered for an attempt that the ledger had forgotten, its agent lost the disk before
/// it told its index, and the next agent's reading passed it over as known. The job was issued again.
#[test]
fn i1_a_number_that_is_entered_for_a_forgotten_attempt_is_not_known() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    let entry = |attempt: AttemptRef| NumberEntry {
        pair: pair(9),
        owner: Owner::Ours(attempt),
        status: "positive".to_owned(),
        digest: "d".to_owned(),
    };
    let epoch = world.asked_to_recount(session)[0].0;
    world.accounts(session, epoch, vec![entry(AttemptRef { key: key("A3"), attempt: 1 })], 9);
    assert_eq!(world.number(9), None);
    world.leave(session, Left::Lost);
    world.pass_ms(300_000);
    // An agent without that journal reads it, and says what it holds.
    let session = world.connect_knowing('b', 0);
    world.tells(session, Vec::new(), vec![SeenNumber { buyer: "个人".to_owned(), ..seen(9, None) }], 9);
    world.submit("A3");
    assert_eq!(world.waiting("A3"), Some(Waiting::Reconcile));
    assert!(world.assigned(session).iter().all(|work| work.1.attempt.key != key("A3")));
}

#[test]
fn i10_a_number_of_another_disk_is_not_what_an_attempt_at_this_one_issued() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let other = world.connect('b', OTHER);
    let epoch = super::doubts::epochs(&mut world, other)[0];
    let session = world.connect_knowing('a', 3);
    world.tells(session, vec![remembered("A3", 3, unsettled())], Vec::new(), 8);
    let (disk, kind, last) = (OTHER.parse().unwrap(), InvoiceKind::Roll, pair(30));
    let entries = vec![NumberEntry { pair: last, owner: Owner::Foreign, status: "positive".to_owned(), digest: "d".to_owned() }];
    let frame = AgentFrame::Accounted { id: "n".to_owned(), disk, epoch, kind, entries, last, note: None };
    world.ok(Input::Frame(other, Box::new(frame)));
    let refusal = world.decide_line("A3", Some(pair(30))).unwrap_err();
    assert_eq!(refusal.code, "settle_contradiction");
    assert!(refusal.detail.contains(OTHER), "{refusal}");
    world.decide_line("A3", Some(pair(9))).unwrap();
    // The same of an attempt that the ledger knows.
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, unsettled());
    let serial = work.1.attempt.key.serial.to_string();
    let request = SettleRequest {
        decision: SettleDecision::Issued,
        pair: Some(PairBody::from(pair(30))),
        current: PairBody::from(pair(40)),
        expected: SettleReading::PresentOurs,
        tax_office: None,
        reason: "read by hand".to_owned(),
        revision: world.job(&serial).revision,
    };
    let refusal = world.input(Input::Settle(key(&serial), request, "admin".to_owned())).unwrap_err();
    assert!(refusal.code == "settle_contradiction" && refusal.detail.contains(OTHER), "{refusal}");
}

#[test]
fn i3_a_void_that_was_done_and_forgotten_is_told_so_when_its_period_is_over() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 4);
    world.tells(session, vec![remembered("V1", 4, voided(7))], Vec::new(), 8);
    world.reports(session, vec![DiskReport { clock: Some("20240201000000".to_owned()), sequence: 4, ..report(DISK) }]);
    let other = take(&mut world, void("V2", 7)).unwrap_err();
    assert_eq!(other.code, "original_undone", "{other}");
    take(&mut world, void("V1", 7)).unwrap();
}

#[test]
fn a_disk_that_never_answers_is_released_by_a_person_with_a_reason() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let disk: DiskNumber = DISK.parse().unwrap();
    assert_eq!(world.input(Input::ReleaseDisk(disk.clone(), String::new())).unwrap_err().code, "invalid_parameter");
    world.ok(Input::ReleaseDisk(disk.clone(), "burnt, and replaced by the tax office".to_owned()));
    let session = world.connect_knowing('a', 0);
    assert!(world.asked_to_recount(session).is_empty());
    assert_eq!(world.assigned(session).len(), 1);
    assert!(
        world.audits.iter().any(|(what, body)| *what == "released_unread" && body["why"].as_str().unwrap().contains("burnt"))
    );
    assert_eq!(world.input(Input::ReleaseDisk(disk, "again".to_owned())).unwrap_err().code, "not_found");
}

#[test]
fn a_recount_that_was_cut_off_is_asked_for_from_where_it_ended() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    let epoch = world.asked_to_recount(session)[0].0;
    // The agent's own accounts do not move the place where the recount begins.
    world.accounts(session, epoch, Vec::new(), 9);
    let part = RecountedNumbers { kind: InvoiceKind::Roll, seen: Vec::new(), last: Some(pair(8)), complete: false };
    world.recounted(session, epoch, Vec::new(), Some(part), false);
    let asked = world.asked_to_recount(session);
    assert_eq!(asked[0].2[0].last, pair(8));
    assert!(world.assigned(session).is_empty());
}

#[test]
fn an_answer_of_somebody_who_does_not_own_the_disk_ends_nothing() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let session = world.connect_knowing('a', 3);
    let epoch = world.asked_to_recount(session)[0].0;
    world.recounted(session, epoch - 1, Vec::new(), None, true);
    let stranger = world.join('b');
    world.recounted(stranger, epoch, Vec::new(), None, true);
    assert!(world.assigned(session).is_empty());
    assert_eq!(world.core.reconcile_view().disks.len(), 1);
}

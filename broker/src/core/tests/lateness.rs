//! An outcome that comes late changes no state, is never thrown away, and makes the disk's owner read the number.

use super::*;
use taxdisk_protocol::job::What;
use taxdisk_protocol::link::RECORDED_MAX_BYTES;

/// A's attempt, taken over by B under a higher epoch.
fn moved() -> (World, SessionId, SessionId, (u64, Assignment)) {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(a).remove(0);
    world.reports(a, vec![]);
    let b = world.connect('b', DISK);
    assert_eq!(world.granted(b)[0].0, 2);
    (world, a, b, work)
}

fn evidence(world: &World) -> usize {
    world.events[&key("A1")].iter().filter(|event| matches!(event.what, What::Evidence { .. })).count()
}

#[test]
fn a_late_outcome_is_evidence_and_the_owner_is_made_to_read() {
    let (mut world, a, b, work) = moved();
    assert!(world.outcome(a, &work, issued(7)), "acknowledged");
    assert_eq!((world.state("A1"), evidence(&world)), (JobState::Assigned, 1));
    assert_eq!(world.number(7), None);
    let asked = world.settles(b);
    assert_eq!(asked[0].named, Some(pair(7)));
    world.outcome(b, &work, found(7));
    assert_eq!(world.state("A1"), JobState::Issued);
}

#[test]
fn i4_a_job_that_a_late_outcome_names_is_not_handed_over_before_the_number_was_read() {
    let (mut world, a, b, work) = moved();
    // B proves by reading 6 that nothing was issued, while A's word of 7 is under way.
    world.outcome_with(b, &work, not_issued(DeviceClass::Locked), vec![absent(6)]);
    assert_eq!(world.state("A1"), JobState::Queued);
    world.outcome(a, &work, issued(7));
    world.reports(b, vec![report(DISK)]);
    assert!(world.assigned(b).is_empty());
    assert_eq!(world.waiting("A1"), Some(Waiting::Settling));
    assert_eq!(world.settles(b)[0].named, Some(pair(7)));
    // Nor after a restart, and the next grant asks.
    world.restart(Settings::default());
    let b = world.connect('b', DISK);
    assert_eq!(world.granted(b)[0].1[0].named, Some(pair(7)));
    world.outcome_with(b, &work, not_issued(DeviceClass::Locked), vec![absent(6)]);
    assert!(world.assigned(b).is_empty(), "that reading was not of the number");
    world.outcome_with(b, &work, not_issued(DeviceClass::Locked), vec![absent(7)]);
    assert_eq!(world.assigned(b).len(), 1);
}

#[test]
fn i3_an_invoice_that_is_found_after_all_makes_the_job_issued() {
    let (mut world, a, b, work) = moved();
    world.outcome_with(b, &work, not_issued(DeviceClass::InvalidRequest), vec![absent(6)]);
    assert_eq!(world.state("A1"), JobState::Failed);
    world.outcome(a, &work, issued(7));
    assert_eq!(world.state("A1"), JobState::Failed, "a late word changes no state");
    // And no re-issue meanwhile.
    let request = taxdisk_protocol::api::ReissueRequest { reason: "again".to_owned(), invoice: None };
    let Reply::Reissued(answer) = world.ok(Input::Reissue(key("A1"), request, "k".to_owned())) else { panic!("no answer") };
    assert_eq!(answer.outcome, taxdisk_protocol::api::ReissueOutcome::Unsettled);
    world.outcome_with(b, &work, found(7), vec![]);
    assert_eq!(world.state("A1"), JobState::Issued);
    assert_eq!(world.job("A1").issued.as_ref().unwrap().number, "00000007");
}

#[test]
fn an_outcome_before_the_grant_of_a_new_link_is_late_and_is_answered_again() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(a).remove(0);
    world.leave(a, Left::Lost);
    let again = world.join('a');
    assert!(world.outcome(again, &work, issued(7)));
    assert_eq!(world.state("A1"), JobState::Assigned);
    world.reports(again, vec![report(DISK)]);
    let grant = world.granted(again).remove(0);
    assert_eq!(grant.1[0].named, Some(pair(7)));
    world.outcome(again, &work, issued(7));
    assert_eq!(world.state("A1"), JobState::Issued);
}

#[test]
fn an_answer_that_has_not_read_the_named_number_leaves_the_doubt() {
    let (mut world, a, b, work) = moved();
    world.outcome(a, &work, issued(7));
    world.settles(b);
    // B's answer crossed our question.
    world.outcome_with(b, &work, given_back(), vec![absent(6)]);
    assert_eq!(world.state("A1"), JobState::Queued);
    assert!(world.job("A1").is_doubted());
    assert!(world.assigned(b).is_empty());
    assert_eq!(world.settles(b).len(), 1, "asked again");
    world.outcome_with(b, &work, given_back(), vec![absent(7)]);
    assert_eq!(world.assigned(b).len(), 1);
}

/// The owner repeats the claim, and does not say that it has read the number.
#[test]
fn i1_a_claim_that_was_not_read_ends_no_doubt() {
    let (mut world, a, b, work) = moved();
    world.outcome_with(b, &work, not_issued(DeviceClass::Locked), vec![absent(6)]);
    world.outcome(a, &work, issued(7));
    world.outcome(b, &work, issued(7));
    assert!(world.state("A1") == JobState::Queued && world.job("A1").is_doubted());
    world.reports(b, vec![report(DISK)]);
    assert!(world.assigned(b).is_empty(), "it may be issued");
    world.outcome(b, &work, found(7));
    assert_eq!(world.state("A1"), JobState::Issued);
}

#[test]
fn a_late_outcome_that_repeats_what_was_read_is_kept_and_changes_no_state() {
    let (mut world, a, b, work) = moved();
    world.outcome(b, &work, found(7));
    let revision = world.job("A1").revision;
    assert!(world.outcome(a, &work, issued(7)));
    // Evidence raises the revision; the state and the number are what the disk's owner has read, and nobody is asked again.
    assert_eq!(world.job("A1").revision, revision + 1);
    assert_eq!(world.state("A1"), JobState::Issued);
    assert!(!world.job("A1").is_doubted());
    // Another number: kept, shown, and nothing changed.
    assert!(world.outcome(a, &work, issued(9)));
    assert_eq!((world.state("A1"), world.job("A1").issued.as_ref().unwrap().number.as_str()), (JobState::Issued, "00000007"));
    assert_eq!(world.alarms('a').len(), 1);
    // B, which has let go of the disk, says what it has said already, and it was not its attempt.
    world.reports(b, vec![]);
    let revision = world.job("A1").revision;
    assert!(world.outcome(b, &work, issued(7)));
    assert_eq!(world.job("A1").revision, revision);
}

#[test]
fn outcomes_of_a_revoked_agent_and_of_unknown_jobs_are_kept() {
    let (mut world, a, _b, work) = moved();
    let mut stranger = work.clone();
    stranger.1.attempt.key = key("ZZZ");
    let frame = AgentFrame::Outcome {
        id: "m".to_owned(),
        disk: DISK.parse().unwrap(),
        epoch: 1,
        sequence: 1,
        attempt: stranger.1.attempt,
        expected: None,
        outcome: issued(9),
        readings: Vec::new(),
        disk_ms: 1,
    };
    world.ok(Input::Frame(a, Box::new(frame)));
    assert!(world.audits.iter().any(|(what, _)| *what == "outcome_of_unknown_job"));
    assert!(!world.jobs.contains_key(&key("ZZZ")));
}

/// Found by the simulation: an agent's index answers for the first attempt with the invoice of the second. That was taken for a
/// claim which nobody could ever clear, and the disk waited for its answer for ever.
#[test]
fn i2_an_index_that_names_the_jobs_own_invoice_for_an_earlier_attempt_holds_nothing_up() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let first = world.assigned(session).remove(0);
    world.outcome(session, &first, given_back());
    let second = world.assigned(session).remove(0);
    world.outcome(session, &second, issued(7));
    let revision = world.job("A1").revision;
    assert!(world.outcome(session, &first, found(7)));
    assert_eq!((world.job("A1").revision, world.job("A1").is_live()), (revision, false), "no news");
    assert!(world.alarms('a').is_empty());
}

/// Found by the simulation (seed 41756): a claim on a number that is known to be another job's was a doubt for ever.
#[test]
fn i2_a_claim_on_another_jobs_number_is_read_once_and_holds_nothing_up_after_that() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let other = world.assigned(session).remove(0);
    world.outcome(session, &other, issued(7));
    world.submit("A2");
    let first = world.assigned(session).remove(0);
    world.outcome(session, &first, given_back());
    let second = world.assigned(session).remove(0);
    world.outcome(session, &second, issued(8));
    world.outcome(session, &first, found(7));
    assert_eq!(world.alarms('a').len(), 1, "people are told");
    assert!(world.job("A2").is_doubted());
    assert_eq!(world.settles(session)[0].named, Some(pair(7)));
    world.outcome(session, &first, found(7));
    assert_eq!((world.state("A2"), world.job("A2").is_live()), (JobState::Issued, false));
    assert_eq!(world.job("A1").issued.as_ref().map(|invoice| invoice.number.clone()), Some(pair(7).number.to_string()));
}

/// Nobody has the number: the job may have two invoices, and that is left to people.
#[test]
fn i1_a_claim_on_nobodys_number_stays_a_doubt() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let first = world.assigned(session).remove(0);
    world.outcome(session, &first, given_back());
    let second = world.assigned(session).remove(0);
    world.outcome(session, &second, issued(8));
    for _ in 0..2 {
        world.outcome(session, &first, found(7));
        assert!(world.state("A1") == JobState::Issued && world.job("A1").is_doubted());
    }
}

/// Found by the simulation: the owner answered for an attempt that had ended, and the disk still counted as being asked.
#[test]
fn i2_a_disk_whose_owner_cannot_clear_a_doubt_goes_on_with_other_jobs() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, not_issued(DeviceClass::InvalidRequest));
    world.leave(session, Left::Goodbye);
    // Somebody else says that it was issued: it is to be read.
    let stranger = world.join('b');
    world.outcome(stranger, &work, found(7));
    let session = world.connect('a', DISK);
    assert_eq!(world.granted(session).remove(0).1.len(), 1);
    world.submit("A2");
    assert!(world.assigned(session).is_empty(), "asked, and not answered");
    world.outcome(session, &work, unsettled());
    assert!(world.job("A1").is_live(), "still in doubt");
    assert_eq!(world.assigned(session).len(), 1);
}

/// Found by the simulation (seed 51720): a later attempt issued the very number that was in doubt for an earlier one. The job
/// knew that the doubt had ended and was forgotten; the disk did not, and waited for an answer for which nobody was asked.
#[test]
fn i2_a_doubt_that_ends_with_the_jobs_invoice_holds_its_disk_up_no_more() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    let first = world.assigned(a).remove(0);
    world.outcome(a, &first, not_issued(DeviceClass::Link));
    world.reports(a, vec![report(DISK)]);
    let second = world.assigned(a).remove(0);
    // Before the disk is granted anew, its agent names the number for the first attempt.
    world.leave(a, Left::Lost);
    let again = world.join('a');
    world.outcome(again, &first, found(7));
    assert!(world.job("A1").is_doubted());
    world.reports(again, vec![report(DISK)]);
    assert_eq!(world.granted(again).remove(0).1.len(), 2);
    world.outcome(again, &first, found(7));
    world.outcome(again, &second, found(7));
    assert_eq!((world.state("A1"), world.job("A1").is_live()), (JobState::Issued, false));
    world.submit("A2");
    let work = world.assigned(again).remove(0);
    world.outcome(again, &work, issued(8));
    // Nor after the next grant.
    world.leave(again, Left::Lost);
    let again = world.connect('a', DISK);
    assert!(world.granted(again).remove(0).1.is_empty());
    world.submit("A3");
    assert_eq!(world.assigned(again).len(), 1);
}

#[test]
fn recorded_frames_are_evidence_of_the_owner_and_change_nothing() {
    let (mut world, a, b, work) = moved();
    let told = |world: &mut World, session: SessionId, lines: String| {
        let (disk, attempt) = (DISK.parse().unwrap(), work.1.attempt.clone());
        let frame = AgentFrame::Recorded { disk, attempt, why: "silence".to_owned(), lines };
        world.ok(Input::Frame(session, Box::new(frame)));
        world.job("A1").evidence_count
    };
    let (state, before) = (world.state("A1"), world.job("A1").evidence_count);
    let line = "{\"at_us\":1}\nno json\n".to_owned();
    assert_eq!(told(&mut world, a, line.clone()), before, "it does not own the disk any more");
    assert_eq!(told(&mut world, b, "x".repeat(RECORDED_MAX_BYTES + 1)), before, "more than a frame carries");
    assert_eq!(told(&mut world, b, line.clone()), before + 1);
    assert_eq!((world.state("A1"), world.job("A1").is_doubted()), (state, false));
    for _ in 0..60 {
        told(&mut world, b, line.clone());
    }
    assert_eq!(world.job("A1").evidence_count, 40, "and no job drowns in it");
}

/// Found by the simulation: attempt 1 of a void job was given back, attempt 2 voided, and what was said late of the first one was
/// read with every grant without end.
#[test]
fn what_a_job_has_voided_is_no_doubt_of_its_other_attempts() {
    for told_by_another in [true, false] {
        let mut world = World::new();
        let a = world.connect('a', DISK);
        world.submit("A1");
        let work = world.assigned(a).remove(0);
        world.outcome(a, &work, issued(7));
        super::undoing::take(&mut world, super::undoing::void("V1", 7)).unwrap();
        let first = world.assigned(a).remove(0);
        if told_by_another {
            world.leave(a, Left::Goodbye);
        }
        let session = if told_by_another { world.connect('b', DISK) } else { a };
        world.outcome(session, &first, given_back());
        if told_by_another {
            // The first agent says that it voided, before the present owner did.
            let a = world.join('a');
            world.outcome(a, &first, super::undoing::voided(7));
            assert!(world.job("V1").is_doubted(), "it is read first");
            world.outcome(session, &first, given_back());
        }
        let second = world.assigned(session).pop();
        if let Some(second) = second {
            world.outcome(session, &second, super::undoing::voided(7));
        }
        world.outcome(session, &first, super::undoing::voided(7));
        assert_eq!((world.state("V1"), world.job("V1").is_doubted()), (JobState::Voided, false), "{told_by_another}");
    }
}

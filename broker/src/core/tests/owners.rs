//! I7: one owner at a time, under an epoch that only grows.

use super::*;
use crate::core::change::{CodeFor, EnrollmentRow};

fn denied(world: &mut World, session: SessionId) -> usize {
    world.take(|to, frame| (to == session && matches!(frame, BrokerFrame::Deny { .. })).then_some(())).len()
}

#[test]
fn i7_two_claimants_are_both_denied_and_nobody_issues_until_one_is_gone() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    assert_eq!(world.granted(a)[0].0, 1);
    let b = world.connect('b', DISK);
    assert_eq!((denied(&mut world, a), denied(&mut world, b)), (1, 1));
    assert!(world.granted(b).is_empty());
    assert!(!world.alarms('a').is_empty() && !world.alarms('b').is_empty());
    world.submit("A1");
    assert_eq!(world.waiting("A1"), Some(Waiting::Contested));
    assert!(world.assigned(a).is_empty() && world.assigned(b).is_empty());
    let Reply::Disks(disks) = world.ok(Input::Disks) else { panic!("no disks") };
    assert_eq!(disks[0].claimants.len(), 2);
    // The disk is pulled out of A's PC.
    world.reports(a, vec![]);
    assert_eq!(world.granted(b)[0].0, 2);
    assert_eq!(world.assigned(b).len(), 1);
}

#[test]
fn i7_a_moved_disk_gets_a_higher_epoch_and_settles_before_it_works() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    world.submit("A2");
    let work = world.assigned(a);
    world.started(a, &work[0], 7);
    world.reports(a, vec![]);
    let b = world.connect('b', DISK);
    let grants = world.granted(b);
    assert_eq!((grants[0].0, grants[0].1.len()), (2, 2));
    assert_eq!(grants[0].1[0].expected, Some(pair(7)));
    assert_eq!(grants[0].1[0].agent, agent('a'));
    world.submit("A3");
    assert_eq!(world.waiting("A3"), Some(Waiting::Settling));
    world.outcome(b, &work[0], found(7));
    assert!(world.assigned(b).is_empty(), "one answer is still missing");
    world.outcome(b, &work[1], given_back());
    let next = world.assigned(b);
    assert_eq!(next[0].1.attempt.key.serial.as_str(), "A2");
    assert_eq!((next[0].0, next[0].1.sequence), (2, 3));
    assert_eq!(world.state("A1"), JobState::Issued);
}

#[test]
fn i7_another_agent_waits_for_the_silence_of_the_former_owner_while_attempts_are_open() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    world.leave(a, Left::Lost);
    let b = world.connect('b', DISK);
    world.pass_ms(59_999);
    assert!(world.granted(b).is_empty());
    assert_eq!(world.state("A1"), JobState::Assigned);
    world.pass_ms(1);
    assert_eq!(world.granted(b)[0].1.len(), 1);
}

#[test]
fn i7_no_wait_after_a_goodbye_nor_for_the_same_agent_nor_without_open_attempts() {
    for case in 0..4 {
        let mut world = World::new();
        let a = world.connect('a', DISK);
        if case != 2 {
            world.submit("A1");
        }
        match case {
            0 => {
                world.ok(Input::Frame(a, Box::new(AgentFrame::Goodbye)));
                assert_eq!(world.closed, [a]);
            }
            3 => {
                // It lost its link, and is back without the disk.
                world.leave(a, Left::Lost);
                let again = world.join('a');
                world.reports(again, vec![]);
            }
            _ => world.leave(a, Left::Lost),
        }
        let next = world.connect(if case == 1 { 'a' } else { 'b' }, DISK);
        assert_eq!(world.granted(next).len(), 1, "case {case}");
    }
}

#[test]
fn i7_after_a_restart_the_last_owner_counts_as_lost_just_now() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    world.assigned(a);
    world.restart(Settings::default());
    let b = world.connect('b', DISK);
    world.pass_ms(59_000);
    assert!(world.granted(b).is_empty());
    world.pass_ms(1_000);
    assert_eq!(world.granted(b)[0].0, 2);
}

#[test]
fn i7_a_contested_disk_stays_quarantined_when_its_owner_falls_silent() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    world.assigned(a);
    let b = world.connect('b', DISK);
    world.leave(a, Left::Lost);
    assert!(world.granted(b).is_empty(), "A may still run what it has");
    world.pass_ms(60_000);
    assert_eq!(world.granted(b).len(), 1);
}

#[test]
fn a_new_link_of_the_same_agent_ends_the_old_one() {
    let mut world = World::new();
    let old = world.connect('a', DISK);
    let new = world.connect('a', DISK);
    assert_eq!(world.closed, [old]);
    assert_eq!(world.granted(new)[0].0, 2);
    world.submit("A1");
    assert!(world.assigned(old).is_empty());
    assert_eq!(world.assigned(new).len(), 1);
    let refusal = world.input(Input::Frame(old, Box::new(AgentFrame::Disks { disks: vec![] }))).unwrap_err();
    assert_eq!(refusal.code, "link_order");
}

#[test]
fn a_join_counter_that_does_not_rise_is_a_clone() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    let head = JournalHead { id: "ja".to_owned(), sequence: 9 };
    let refusal = world.join_as('a', 1, head).unwrap_err();
    assert_eq!(refusal.code, "agent_clone");
    assert_eq!(world.alarms('a').len(), 1);
    // Whoever proved the higher counter stays.
    world.submit("A1");
    assert_eq!(world.assigned(a).len(), 1);
}

#[test]
fn a_journal_that_went_back_is_alarmed_and_waits_like_a_new_agent() {
    let mut world = World::new();
    let head = |sequence| JournalHead { id: "ja".to_owned(), sequence };
    let a = world.join_as('a', 1, head(100)).unwrap().session;
    world.reports(a, vec![report(DISK)]);
    world.submit("A1");
    world.leave(a, Left::Lost);
    let joined = world.join_as('a', 2, head(40)).unwrap();
    assert_eq!(joined.journal_known, Some(100));
    assert!(world.alarms('a')[0].contains("100"), "{:?}", world.alarms('a'));
    world.reports(joined.session, vec![report(DISK)]);
    assert!(world.granted(joined.session).is_empty());
    world.pass_ms(60_000);
    assert_eq!(world.granted(joined.session)[0].1.len(), 1);
    // Another journal altogether is alarmed too.
    world.join_as('a', 3, JournalHead { id: "new".to_owned(), sequence: 1 }).unwrap();
    assert_eq!(world.alarms('a').len(), 2);
}

#[test]
fn a_revoked_agent_is_cut_off_and_its_disk_waits_for_its_silence() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    world.ok(Input::RevokeAgent(agent('a'), "test".to_owned()));
    assert_eq!(world.closed, [a]);
    assert_eq!(world.join_as('a', 9, JournalHead { id: "ja".to_owned(), sequence: 9 }).unwrap_err().code, "agent_revoked");
    assert_eq!(world.core.agent_key(&agent('a')).unwrap_err().code, "agent_revoked");
    let b = world.connect('b', DISK);
    assert!(world.granted(b).is_empty());
    world.pass_ms(60_000);
    assert_eq!(world.granted(b).len(), 1);
}

#[test]
fn i4_an_agent_that_is_away_too_long_makes_the_job_unsettled_never_queued() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    let view = world.submit("A1");
    assert!(!view.agent_away);
    let work = world.assigned(a).remove(0);
    // A slow disk with a live owner is nobody's absence.
    world.pass_ms(3_600_000);
    assert_eq!(world.state("A1"), JobState::Assigned);
    world.leave(a, Left::Lost);
    assert!(world.submit("A1").agent_away);
    world.pass_ms(15 * 60_000 - 1);
    assert_eq!(world.state("A1"), JobState::Assigned);
    world.pass_ms(1);
    assert_eq!(world.state("A1"), JobState::Unsettled);
    world.pass_ms(24 * 3_600_000);
    assert_eq!(world.state("A1"), JobState::Unsettled);
    // Settled wherever the disk appears next.
    let b = world.connect('b', DISK);
    assert_eq!(world.granted(b)[0].1.len(), 1);
    world.outcome(b, &work, found(3));
    assert_eq!(world.state("A1"), JobState::Issued);
}

#[test]
fn an_enrolment_code_is_good_once_and_not_for_ever() {
    let mut world = World::new();
    let row = EnrollmentRow {
        hash: "h".to_owned(),
        name: "till".to_owned(),
        expires_at: world.now.plus_s(60),
        used_by: None,
        what: CodeFor::default(),
    };
    let enroll = |hash: &str| Input::Enroll {
        hash: hash.to_owned(),
        agent: agent('c'),
        public_key: "k".to_owned(),
        version: "0".to_owned(),
    };
    world.ok(Input::CreateEnrollment(row.clone(), "test".to_owned()));
    // Both in one commit: one wins.
    let replies = world.batch(vec![enroll("h"), enroll("h")]);
    assert_eq!(replies[0].as_ref().unwrap(), &Reply::Enrolled(agent('c'), false));
    assert_eq!(replies[1].as_ref().unwrap_err().code, "enrollment_used");
    assert_eq!(world.input(enroll("x")).unwrap_err().code, "enrollment_invalid");
    world.ok(Input::CreateEnrollment(EnrollmentRow { hash: "i".to_owned(), ..row }, "test".to_owned()));
    world.now = world.now.plus_s(61);
    assert_eq!(world.input(enroll("i")).unwrap_err().code, "enrollment_expired");
}

/// Found by the simulation: the report of the claimant that is left came while two claimed the disk. It was thrown away, and the
/// last word of the one that is gone kept the disk from work for ever.
#[test]
fn i2_the_claimant_that_is_left_is_believed_and_not_the_one_that_is_gone() {
    let mut world = World::new();
    let first = world.connect('a', DISK);
    let mut locked = report(DISK);
    locked.health = DiskHealth { ready: false, class: Some(DeviceClass::Locked), text: "locked".to_owned() };
    world.reports(first, vec![locked]);
    let second = world.connect('b', DISK);
    world.submit("A1");
    assert_eq!(world.waiting("A1"), Some(Waiting::Contested));
    world.reports(first, Vec::new());
    assert_eq!(world.granted(second).len(), 1);
    assert_eq!(world.assigned(second).len(), 1, "it said that it is ready");
}

//! FIFO per issue point, and nobody starves, over random schedules of submissions, outcomes, limits and troubles.
//!
//! The oracle knows the rule and not the code: a job may be passed only by one of its own issue point and priority that was
//! accepted later if the disk that took that one cannot take it.

use proptest::prelude::*;
use std::collections::BTreeMap;
use taxdisk_protocol::api::{IssuePointBody, Priority};

use super::*;
use crate::core::queue::WAITING_RUN;

const DISKS: [&str; 3] = [DISK, "662222222222", "663333333333"];
const LIMITS: [u32; 3] = [100, 1000, 1000];
const POINTS: [&str; 2] = ["till-1", "till-2"];

#[derive(Debug, Clone)]
enum Step {
    Submit {
        point: u8,
        urgent: bool,
        large: bool,
    },
    /// The disk's first open attempt ends: issued, or given back.
    End {
        disk: u8,
        issues: bool,
    },
    Lock {
        disk: u8,
        locked: bool,
    },
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..2, any::<bool>(), any::<bool>()).prop_map(|(point, urgent, large)| Step::Submit { point, urgent, large }),
        6 => (0_u8..3, prop::bool::weighted(0.85)).prop_map(|(disk, issues)| Step::End { disk, issues }),
        1 => (0_u8..3, any::<bool>()).prop_map(|(disk, locked)| Step::Lock { disk, locked }),
        1 => (0_u16..5000).prop_map(Step::Pass),
    ]
}

#[derive(Debug, Clone)]
struct Known {
    point: usize,
    urgent: bool,
    gross: u32,
    place: u64,
}

struct Play {
    world: World,
    sessions: Vec<SessionId>,
    at: Vec<Vec<(u64, Assignment)>>,
    locked: [bool; 3],
    jobs: BTreeMap<String, Known>,
    queued: std::collections::BTreeSet<String>,
    number: u32,
    /// Hand-overs of a disk that a bulk job which it could take has seen pass it.
    passed: BTreeMap<(String, usize), u32>,
}

/// `till-2` has the first two disks alone.
fn may(disk: usize, job: &Known) -> bool {
    job.gross <= LIMITS[disk] && (job.point == 0 || disk < 2)
}

impl Play {
    fn new() -> Play {
        let mut world = World::new();
        world.core.agents.insert(
            agent('c'),
            crate::core::Agent {
                row: AgentRow { agent: agent('c'), ..world.core.agents[&agent('a')].row.clone() },
                session: None,
            },
        );
        for (point, disks) in [(POINTS[0], &DISKS[..]), (POINTS[1], &DISKS[..2])] {
            let body = IssuePointBody { name: String::new(), disks: disks.iter().map(ToString::to_string).collect() };
            world.ok(Input::PutIssuePoint(seller().parse().unwrap(), point.parse().unwrap(), body, "test".to_owned()));
        }
        let sessions = ['a', 'b', 'c'].map(|letter| world.join(letter)).to_vec();
        let at = vec![Vec::new(); 3];
        let mut play = Play {
            world,
            sessions,
            at,
            locked: [false; 3],
            jobs: BTreeMap::new(),
            queued: Default::default(),
            number: 0,
            passed: BTreeMap::new(),
        };
        for disk in 0..3 {
            play.report(disk);
        }
        play
    }

    fn report(&mut self, disk: usize) {
        let mut report = report(DISKS[disk]);
        report.stock[0].invoice_limit = Some(format!("{}.00", LIMITS[disk]));
        if self.locked[disk] {
            report.health = DiskHealth { ready: false, class: Some(DeviceClass::Locked), text: "locked".to_owned() };
        }
        self.world.reports(self.sessions[disk], vec![report]);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit { point, urgent, large } => {
                let serial = format!("S{}", self.jobs.len());
                let gross = if large { 500 } else { 50 };
                let priority = if urgent { Priority::Waiting } else { Priority::Bulk };
                let issue_point = Some(POINTS[usize::from(point)].to_owned());
                let submission = JobSubmission { priority, issue_point, ..submission_of(&serial, &format!("{gross}.00")) };
                self.queued.insert(serial.clone());
                let place = self.jobs.len() as u64;
                self.jobs.insert(serial, Known { point: point.into(), urgent, gross, place });
                self.world.ok(Input::Submit(Box::new(submission.into())));
            }
            Step::End { disk, issues } => {
                let disk = usize::from(disk);
                if self.at[disk].is_empty() {
                    return;
                }
                let work = self.at[disk].remove(0);
                let serial = work.1.attempt.key.serial.to_string();
                if issues {
                    self.number += 1;
                    self.world.outcome(self.sessions[disk], &work, issued(self.number));
                } else {
                    self.queued.insert(serial);
                    self.world.outcome(self.sessions[disk], &work, given_back());
                }
            }
            Step::Lock { disk, locked } => {
                let disk = usize::from(disk);
                self.locked[disk] = locked;
                self.report(disk);
            }
            Step::Pass(ms) => self.world.pass_ms(i64::from(ms)),
        }
        self.collect();
    }

    /// Hand-overs in the order in which they left.
    fn collect(&mut self) {
        let sessions = self.sessions.clone();
        let disk_of = |session: SessionId| sessions.iter().position(|known| *known == session).unwrap();
        let given = self.world.take(|to, frame| match frame {
            BrokerFrame::Assign { epoch, assignment, .. } => Some((disk_of(to), (*epoch, assignment.clone()))),
            _ => None,
        });
        for (disk, work) in given {
            let serial = work.1.attempt.key.serial.to_string();
            let job = self.jobs[&serial].clone();
            assert!(self.queued.remove(&serial), "{serial} was not in the queue");
            assert!(may(disk, &job), "{serial} went to a disk that may not take it");
            assert!(!self.locked[disk], "{serial} went to a locked disk");
            for other in &self.queued {
                let known = &self.jobs[other];
                let same = known.point == job.point && known.urgent == job.urgent;
                assert!(!(same && known.place < job.place && may(disk, known)), "{serial} passed {other} (FIFO per issue point)");
                if !known.urgent && may(disk, known) {
                    let passed = self.passed.entry((other.clone(), disk)).or_insert(0);
                    *passed += 1;
                    // One turn in WAITING_RUN + 1 is for bulk work; those bulk jobs that stand before it take such turns.
                    let before = self.jobs.values().filter(|one| !one.urgent && one.place < known.place).count() as u32;
                    // A job that comes back keeps its place: it takes a turn anew.
                    let back = self.world.jobs.values().map(|job| job.attempts.len().saturating_sub(1) as u32).sum::<u32>();
                    let bound = (before + back + 1) * (u32::from(WAITING_RUN) + 1);
                    assert!(*passed <= bound, "{other} was passed {passed} times at one disk: it starves");
                }
            }
            self.at[disk].push(work);
            assert!(self.at[disk].len() <= 2, "one running and one staged job at most");
        }
        // Work conserving: a job waits only if every disk that may take it is full or locked.
        for serial in &self.queued {
            let job = &self.jobs[serial];
            let free = (0..3).find(|disk| may(*disk, job) && !self.locked[*disk] && self.at[*disk].len() < 2);
            assert_eq!(free, None, "{serial} waits beside a free disk");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn first_come_first_served_per_issue_point_and_nobody_starves(steps in prop::collection::vec(step(), 1..120)) {
        let mut play = Play::new();
        for step in &steps {
            play.step(step);
        }
        // In the end everything is issued, whatever was given back.
        for disk in 0..3 {
            play.step(&Step::Lock { disk, locked: false });
        }
        for _ in 0..play.jobs.len() + 6 {
            for disk in 0..3 {
                play.step(&Step::End { disk, issues: true });
            }
        }
        prop_assert!(play.queued.is_empty());
        prop_assert!(play.world.jobs.values().all(|job| job.state == JobState::Issued));
    }
}

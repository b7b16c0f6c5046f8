//! Random operations of callers, agents and time against an oracle that knows what the disk did.
//!
//! The oracle is the disk's own ledger: agents here tell the truth about it, but late, twice, from the wrong link, or not at all.

use proptest::prelude::*;

use super::*;
use taxdisk_protocol::job::What;

#[derive(Debug, Clone)]
enum Step {
    Submit(u8),
    Connect(bool),
    Leave(bool, bool),
    Pull(bool),
    /// The agent runs the nth assignment it holds: the disk issues, and the agent may report.
    Run {
        agent: bool,
        nth: u8,
        issues: bool,
        reports: bool,
    },
    /// An agent sends an old outcome again.
    Repeat(u8),
    /// The owner answers everything that its grant listed, by reading.
    Answer,
    Reissue(u8),
    Cancel(u8),
    Pass(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..6).prop_map(Step::Submit),
        2 => any::<bool>().prop_map(Step::Connect),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(agent, goodbye)| Step::Leave(agent, goodbye)),
        1 => any::<bool>().prop_map(Step::Pull),
        6 => (any::<bool>(), 0_u8..3, any::<bool>(), any::<bool>())
            .prop_map(|(agent, nth, issues, reports)| Step::Run { agent, nth, issues, reports }),
        2 => (0_u8..20).prop_map(Step::Repeat),
        3 => Just(Step::Answer),
        1 => (0_u8..6).prop_map(Step::Reissue),
        1 => (0_u8..6).prop_map(Step::Cancel),
        2 => (0_u32..1_000_000).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

type Outcome = (SessionId, (u64, Assignment), AttemptResult);

struct Play {
    world: World,
    sessions: [Option<SessionId>; 2],
    /// Assignments that an agent holds and has not run.
    held: [Vec<(u64, Assignment)>; 2],
    asked: Vec<OpenAttempt>,
    owner: Option<usize>,
    /// What the disk did, by attempt.
    ledger: HashMap<(JobKey, u32), Option<u32>>,
    next_number: u32,
    said: Vec<Outcome>,
    epoch: u64,
    sequence: u64,
}

impl Play {
    fn collect(&mut self) {
        for index in 0..2 {
            let Some(session) = self.sessions[index] else { continue };
            for (epoch, open) in self.world.granted(session) {
                assert!(epoch > self.epoch, "an epoch only grows (I7)");
                self.epoch = epoch;
                self.owner = Some(index);
                self.asked = open;
                // What an agent held under an older epoch is not begun any more.
                self.held = [Vec::new(), Vec::new()];
            }
            for open in self.world.settles(session) {
                self.asked.push(open);
            }
            for work in self.world.assigned(session) {
                assert_eq!(work.0, self.epoch, "assigned under the present epoch");
                assert!(work.1.sequence > self.sequence, "the sequence only rises (I9)");
                self.sequence = work.1.sequence;
                self.held[index].push(work);
            }
        }
        self.check();
    }

    fn truth(&self, key: &JobKey, attempt: u32) -> AttemptResult {
        match self.ledger.get(&(key.clone(), attempt)).copied().flatten() {
            Some(number) => found(number),
            None => not_issued(DeviceClass::InvalidRequest),
        }
    }

    fn readings(&self, named: Option<NumberPair>) -> Vec<Reading> {
        named.map(|pair| absent(pair.number.value())).into_iter().collect()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit(n) => {
                self.world.submit(&format!("A{n}"));
            }
            Step::Connect(second) => {
                let index = usize::from(second);
                // Only one PC has the disk at a time; the other one reports none.
                let has_disk = self.sessions[1 - index].is_none();
                let session = self.world.join(if second { 'b' } else { 'a' });
                self.sessions[index] = Some(session);
                self.held[index].clear();
                if has_disk {
                    self.world.reports(session, vec![report(DISK)]);
                } else {
                    self.world.reports(session, vec![]);
                }
            }
            Step::Leave(second, goodbye) => {
                if let Some(session) = self.sessions[usize::from(second)].take() {
                    self.world.leave(session, if goodbye { Left::Goodbye } else { Left::Lost });
                    self.held[usize::from(second)].clear();
                }
            }
            Step::Pull(second) => {
                if let Some(session) = self.sessions[usize::from(second)] {
                    self.world.reports(session, vec![]);
                    self.held[usize::from(second)].clear();
                }
            }
            Step::Run { agent, nth, issues, reports } => {
                let index = usize::from(agent);
                let Some(session) = self.sessions[index] else { return };
                if usize::from(nth) >= self.held[index].len() {
                    return;
                }
                let work = self.held[index].remove(usize::from(nth));
                let id = (work.1.attempt.key.clone(), work.1.attempt.attempt);
                let number = issues.then(|| {
                    self.next_number += 1;
                    self.next_number
                });
                assert!(self.ledger.insert(id.clone(), number).is_none(), "an attempt is handed over once (I4)");
                let invoices = self.ledger.iter().filter(|((key, _), number)| *key == id.0 && number.is_some()).count();
                assert!(invoices <= 1, "two invoices for {} (I1)", id.0);
                let outcome = self.truth(&id.0, id.1);
                if reports {
                    self.world.outcome(session, &work, outcome.clone());
                }
                self.said.push((session, work, outcome));
            }
            Step::Repeat(nth) => {
                let Some((_, work, outcome)) = self.said.get(usize::from(nth)).cloned() else { return };
                let Some(session) = self.sessions.iter().flatten().next().copied() else { return };
                let owns = self.world.core.owns(session, &DISK.parse().unwrap());
                let before = self.world.job(work.1.attempt.key.serial.as_str()).state;
                assert!(self.world.outcome(session, &work, outcome), "whatever comes is acknowledged");
                let after = self.world.job(work.1.attempt.key.serial.as_str()).state;
                assert!(owns || before == after, "a late outcome changes no state");
            }
            Step::Answer => {
                let Some(session) = self.owner.and_then(|owner| self.sessions[owner]) else { return };
                for open in std::mem::take(&mut self.asked) {
                    let (key, attempt) = (open.assignment.attempt.key.clone(), open.assignment.attempt.attempt);
                    let outcome = self.truth(&key, attempt);
                    let readings = self.readings(open.named);
                    // What was answered is never run afterwards: the agent keeps the sequence for ever.
                    self.ledger.entry((key, attempt)).or_insert(None);
                    self.held.iter_mut().for_each(|held| held.retain(|work| work.1.attempt != open.assignment.attempt));
                    self.world.outcome_with(session, &(open.epoch, open.assignment), outcome, readings);
                }
            }
            Step::Reissue(n) => {
                let request = taxdisk_protocol::api::ReissueRequest { reason: "again".to_owned(), invoice: None };
                let _ = self.world.input(Input::Reissue(key(&format!("A{n}")), request, "k".to_owned()));
            }
            Step::Cancel(n) => {
                let request = taxdisk_protocol::api::CancelRequest::default();
                let _ = self.world.input(Input::Cancel(key(&format!("A{n}")), request, "k".to_owned()));
            }
            Step::Pass(ms) => self.world.pass_ms(i64::from(ms)),
            Step::Restart => {
                self.world.restart(Settings::default());
                self.sessions = [None, None];
                self.held = [Vec::new(), Vec::new()];
                self.asked.clear();
                self.owner = None;
            }
        }
        self.collect();
    }

    /// What must hold after every step.
    fn check(&self) {
        // Who left without releasing a disk is found when he comes or goes: else a former owner would bar it for ever.
        for disk in self.world.core.disks.values() {
            if let Some(former) = &disk.former {
                let noted = self.world.core.formers.get(&former.agent);
                assert!(noted.is_some_and(|noted| noted.contains(&disk.number)), "{} is not noted", disk.number);
            }
        }
        for job in self.world.jobs.values() {
            let open = job.attempts.iter().filter(|attempt| attempt.state.is_open()).count();
            assert!(open <= 1, "two open attempts of {}", job.key);
            if let Some(last) = job.attempts.last() {
                let earlier = &job.attempts[..job.attempts.len() - 1];
                assert!(
                    earlier.iter().all(|attempt| !attempt.state.is_open()),
                    "assigned while an earlier one is open: {}",
                    last.attempt
                );
            }
            match job.state {
                JobState::Issued => {
                    let number: u32 = job.issued.as_ref().unwrap().number.parse().unwrap();
                    assert!(
                        self.ledger.iter().any(|((key, _), made)| *key == job.key && *made == Some(number)),
                        "issued without an invoice"
                    );
                }
                JobState::Failed | JobState::Cancelled if !job.is_doubted() => {
                    assert!(
                        !self.ledger.iter().any(|((key, _), made)| *key == job.key && made.is_some()),
                        "{:?} although an invoice exists",
                        job.state
                    );
                }
                _ => {}
            }
        }
    }

    /// Once everything works, every job ends and says what the disk did.
    fn finish(&mut self) {
        self.step(&Step::Restart);
        self.world.pass_ms(120_000);
        self.step(&Step::Connect(false));
        for _ in 0..200 {
            self.step(&Step::Answer);
            self.step(&Step::Run { agent: false, nth: 0, issues: true, reports: true });
            if self.world.jobs.values().all(|job| !job.is_live()) {
                break;
            }
            let session = self.sessions[0].unwrap();
            self.world.reports(session, vec![report(DISK)]);
            self.step(&Step::Pass(61_000));
        }
        for job in self.world.jobs.values() {
            assert!(!job.is_live(), "{} is still {:?}", job.key, job.state);
            let made = self.ledger.iter().any(|((key, _), number)| *key == job.key && number.is_some());
            assert_eq!(made, job.state == JobState::Issued, "{}", job.key);
            assert!(
                !self.world.events[&job.key]
                    .iter()
                    .any(|event| matches!(&event.what, What::Evidence { kind, .. } if kind.as_str() == "contradiction"))
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_no_job_is_issued_twice_and_every_job_ends(steps in prop::collection::vec(step(), 1..80)) {
        let mut play = Play {
            world: World::new(),
            sessions: [None, None],
            held: [Vec::new(), Vec::new()],
            asked: Vec::new(),
            owner: None,
            ledger: HashMap::new(),
            next_number: 0,
            said: Vec::new(),
            epoch: 0,
            sequence: 0,
        };
        for step in &steps {
            play.step(step);
        }
        play.finish();
    }
}

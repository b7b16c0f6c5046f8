//! Scenarios in virtual time: the core, a store that is a few maps with the real guards, and agents that are played by hand.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use taxdisk_protocol::api::{
    BuyerBody, DiskHealth, DiskReport, InvoiceBody, JobState, JobSubmission, JobView, LineBody, Operation, SellerBody, StockView,
    TotalsBody, Waiting,
};
use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Fence, Widths};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{AgentId, DiskNumber, JobKey};
use taxdisk_protocol::job::{Event, Job};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{
    AgentFrame, Assignment, AttemptResult, BrokerFrame, JournalHead, OpenAttempt, Owner, QueryResult, Reading,
};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::time::Timestamp;

use super::announcement::Announcement;
use super::change::{AgentRow, Change, NumberKey, SignInRow};
use super::operations::OperationRow;
use super::original::More;
use super::types::{Join, Joined, Left, Refusal, SessionId, Settings, Submitted};
use super::{Core, Cut, Effect, Input, Known, Reply, Restored};

mod acceptance;
mod asked;
mod dispatching;
mod doubts;
mod fairness;
mod lateness;
mod operations;
mod operations_edges;
mod outcomes;
mod owners;
mod pauses;
mod people;
mod policies;
mod random;
mod reconcile;
mod retaining;
mod routing;
mod telling;
mod undoing;
mod waiting;
mod warnings;

pub(crate) const DISK: &str = "661234567890";

pub(crate) fn key(serial: &str) -> JobKey {
    JobKey { seller: seller().parse().unwrap(), serial: serial.parse().unwrap() }
}

pub(crate) fn seller() -> String {
    SELLER.to_owned()
}

/// With a right check character.
pub(crate) const SELLER: &str = "911101080000000007";

pub(super) fn capabilities() -> Capabilities {
    Capabilities {
        characters: CharacterSet::Gbk,
        widths: Widths {
            party_name: 100,
            taxpayer_number: 20,
            address_phone: Some(100),
            bank_account: Some(100),
            item_name: 92,
            specification: Some(40),
            unit: Some(22),
            remark: 130,
            person: 16,
            amount: 20,
            price: 20,
        },
        max_lines: 10,
        discount_lines: true,
        goods_codes: true,
        price_decimals: 8,
        rate_decimals: 3,
        single_person: false,
        remark_readable: true,
        carries_pair: true,
        red: true,
        operations: vec![DiskOperation::Void],
        finds_request: false,
        numbers_readable: true,
    }
}

pub(super) fn narrow() -> Capabilities {
    let mut narrow = capabilities();
    narrow.widths.item_name = 4;
    narrow
}

pub(crate) fn submission(serial: &str) -> JobSubmission {
    JobSubmission {
        seller: seller(),
        serial: serial.to_owned(),
        kind: "025".to_owned(),
        invoice: Some(InvoiceBody {
            buyer: BuyerBody { name: "个人".to_owned(), ..BuyerBody::default() },
            lines: vec![LineBody {
                name: "*餐饮*咖啡".to_owned(),
                goods_code: Some("3070401000000000000".to_owned()),
                quantity: Some("1".to_owned()),
                price: Some("200.00".to_owned()),
                net: "200.00".to_owned(),
                rate: "0.13".to_owned(),
                tax: "26.00".to_owned(),
                ..LineBody::default()
            }],
            totals: TotalsBody { net: "200.00".to_owned(), tax: "26.00".to_owned(), gross: "226.00".to_owned() },
            clerk: "王五".to_owned(),
            ..InvoiceBody::default()
        }),
        ..JobSubmission::default()
    }
}

pub(crate) fn report(disk: &str) -> DiskReport {
    DiskReport {
        disk: disk.to_owned(),
        taxpayer: seller(),
        taxpayer_name: "测试".to_owned(),
        kinds: vec!["025".to_owned()],
        capabilities: capabilities(),
        fence: Fence::Ordered,
        dialect: "zc".to_owned(),
        port: "/dev/ttyS0".to_owned(),
        health: DiskHealth { ready: true, class: None, text: String::new() },
        stock: vec![StockView {
            kind: "025".to_owned(),
            current: None,
            remaining: 1000,
            invoice_limit: None,
            issue_deadline: None,
            upload_day: None,
            offline_hours: None,
            offline_amount: None,
            period: None,
        }],
        clock: None,
        offline: None,
        password_tries: None,
        memory_percent: None,
        clock_offset_s: None,
        takes: vec![Operation::Issue, Operation::Void, Operation::Red],
        sequence: 0,
        climbs: Vec::new(),
    }
}

/// The submission with these amounts, of one line without price and tax.
pub(super) fn submission_of(serial: &str, gross: &str) -> JobSubmission {
    let mut submission = submission(serial);
    if let Some(invoice) = &mut submission.invoice {
        let line = &mut invoice.lines[0];
        (line.quantity, line.price) = (None, None);
        (line.net, line.rate, line.tax) = (gross.to_owned(), "0".to_owned(), "0.00".to_owned());
        line.zero_rate = Some("exempt".to_owned());
        invoice.totals = TotalsBody { net: gross.to_owned(), tax: "0.00".to_owned(), gross: gross.to_owned() };
    }
    submission
}

pub(super) fn agent(letter: char) -> AgentId {
    format!("ag_{}", letter.to_string().repeat(16)).parse().unwrap()
}

pub(super) fn pair(number: u32) -> NumberPair {
    format!("011002000107 {number:08}").parse().unwrap()
}

/// What every invoice of these tests carries for its printed form.
pub(super) fn printed() -> Printed {
    Printed::new("12345678901234567890", "03*<81", "01,10,011002000107")
}

pub(crate) fn issued(number: u32) -> AttemptResult {
    AttemptResult::Issued {
        pair: pair(number),
        issued_at: "20240101120000".to_owned(),
        fiscal_code: "1".to_owned(),
        signature: "s".to_owned(),
        printed: printed(),
        settled: false,
    }
}

pub(super) fn found(number: u32) -> AttemptResult {
    match issued(number) {
        AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, .. } => {
            AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, settled: true }
        }
        other => other,
    }
}

pub(super) fn not_issued(class: DeviceClass) -> AttemptResult {
    AttemptResult::NotIssued { class, code: None, text: "trouble".to_owned() }
}

pub(super) fn given_back() -> AttemptResult {
    AttemptResult::GivenBack { text: "not begun".to_owned() }
}

pub(super) fn unsettled() -> AttemptResult {
    AttemptResult::Unsettled { class: DeviceClass::Link, text: "silence".to_owned() }
}

pub(super) fn absent(number: u32) -> Reading {
    Reading::Query { pair: pair(number), found: QueryResult::Absent, at: "2024-01-01T00:00:00Z".to_owned() }
}

/// The core and everything around it that remembers.
pub(super) struct World {
    pub(super) core: Core,
    pub(super) now: Timestamp,
    pub(super) jobs: HashMap<JobKey, Arc<Job>>,
    pub(super) events: HashMap<JobKey, Vec<Event>>,
    pub(super) numbers: HashMap<NumberKey, Owner>,
    pub(super) restored: Restored,
    pub(super) frames: Vec<(SessionId, BrokerFrame)>,
    pub(super) closed: Vec<SessionId>,
    pub(super) audits: Vec<(String, serde_json::Value)>,
    pub(super) announcements: Vec<Announcement>,
    pub(super) ended: Vec<u64>,
    /// Sessions, attempts and links of people, by what they are and their key.
    pub(super) sign_ins: HashMap<(&'static str, String), String>,
    joins: HashMap<AgentId, u64>,
    /// Decided, and not durable yet: the store does not know it when the next batch asks.
    underway: Option<(Cut, Behind)>,
    next_session: u64,
    next_id: u64,
}

/// What the store still says of that which the batch under way has changed.
#[derive(Default)]
pub(super) struct Behind {
    jobs: HashMap<JobKey, Option<Arc<Job>>>,
    numbers: HashMap<NumberKey, Option<Owner>>,
    operations: HashMap<String, Option<OperationRow>>,
}

impl World {
    /// A seller, two enrolled agents, no link.
    pub(super) fn new() -> World {
        World::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> World {
        let mut restored = Restored { next_place: 1, ..Restored::default() };
        for letter in ['a', 'b'] {
            restored.agents.push(AgentRow {
                agent: agent(letter),
                name: letter.to_string(),
                public_key: String::new(),
                version: String::new(),
                enrolled_at: Timestamp(0),
                seen_at: None,
                revoked: false,
                journal: None,
                journal_sequence: 0,
                join: 0,
                alarms: Vec::new(),
                bounds: Default::default(),
                waiting: false,
                code: None,
            });
        }
        let agents = restored.agents.clone();
        let now = Timestamp(1_700_000_000_000);
        let mut world = World {
            core: Core::new(settings, restored, now),
            now,
            jobs: HashMap::new(),
            events: HashMap::new(),
            numbers: HashMap::new(),
            restored: Restored { next_place: 1, agents, ..Restored::default() },
            frames: Vec::new(),
            closed: Vec::new(),
            audits: Vec::new(),
            announcements: Vec::new(),
            ended: Vec::new(),
            sign_ins: HashMap::new(),
            joins: HashMap::new(),
            underway: None,
            next_session: 1,
            next_id: 1,
        };
        let body =
            SellerBody { name: "测试".to_owned(), disk_trouble: Default::default(), mark: true, warnings: Default::default() };
        world.ok(Input::PutSeller(seller().parse().unwrap(), body, "test".to_owned()));
        world
    }

    /// One input, committed at once under the store's guards.
    pub(super) fn input(&mut self, input: Input) -> Result<Reply, Refusal> {
        self.batch(vec![input]).remove(0)
    }

    /// A job as a batch finds it in the store.
    fn stored_job(&self, key: &JobKey) -> Option<Arc<Job>> {
        let behind = self.underway.as_ref().and_then(|(_, behind)| behind.jobs.get(key));
        behind.cloned().unwrap_or_else(|| self.jobs.get(key).cloned())
    }

    fn stored_owner(&self, number: &NumberKey) -> Option<Owner> {
        let behind = self.underway.as_ref().and_then(|(_, behind)| behind.numbers.get(number));
        behind.cloned().unwrap_or_else(|| self.numbers.get(number).cloned())
    }

    fn stored_operation(&self, id: &str) -> Option<OperationRow> {
        let behind = self.underway.as_ref().and_then(|(_, behind)| behind.operations.get(id));
        behind.cloned().unwrap_or_else(|| self.restored.operations.iter().find(|row| row.view.id == id).cloned())
    }

    /// What the store says before this change.
    fn note_behind(&self, change: &Change, behind: &mut Behind) {
        match change {
            Change::Job { job, .. } => {
                behind.jobs.entry(job.key.clone()).or_insert_with(|| self.jobs.get(&job.key).cloned());
            }
            Change::Number(row) => {
                behind.numbers.entry(row.key.clone()).or_insert_with(|| self.numbers.get(&row.key).cloned());
            }
            Change::Operation(row) => {
                let known = || self.restored.operations.iter().find(|known| known.view.id == row.view.id).cloned();
                behind.operations.entry(row.view.id.clone()).or_insert_with(known);
            }
            _ => {}
        }
    }

    /// The batch under way is durable.
    pub(super) fn durable(&mut self) {
        if let Some((cut, _)) = self.underway.take() {
            self.core.committed(cut);
        }
    }

    /// Several inputs in one commit. They are decided while the commit before is under way: what the store is asked for is older
    /// than that.
    pub(super) fn batch(&mut self, inputs: Vec<Input>) -> Vec<Result<Reply, Refusal>> {
        let (mut keys, mut numbers) = (Vec::new(), Vec::new());
        for input in &inputs {
            self.core.needs(input, &mut keys, &mut numbers);
        }
        let mut known = Known {
            jobs: keys.iter().filter_map(|key| self.stored_job(key).map(|job| (key.clone(), job))).collect(),
            numbers: numbers.iter().filter_map(|key| self.stored_owner(key).map(|owner| (key.clone(), owner))).collect(),
            ..Known::default()
        };
        for _ in 0..2 {
            let mut more = More::default();
            for input in &inputs {
                self.core.needs_more(input, &known, &mut more);
            }
            known.jobs.extend(more.keys.iter().filter_map(|key| self.stored_job(key).map(|job| (key.clone(), job))));
            known.numbers.extend(more.numbers.iter().filter_map(|key| self.stored_owner(key).map(|owner| (key.clone(), owner))));
            let operations = more.operations.iter().filter_map(|id| self.stored_operation(id));
            known.operations.extend(operations.map(|row| (row.view.id.clone(), row)));
            for original in more.originals {
                let stored = self.jobs.keys().filter_map(|key| self.stored_job(key));
                let about = stored.filter(|job| super::original::original_key(job).as_ref() == Some(&original)).collect();
                known.about.insert(original, about);
            }
        }
        let (mut replies, mut effects, mut behind) = (Vec::new(), Vec::new(), Behind::default());
        for input in inputs {
            let output = self.core.handle(input, &known, self.now, None);
            for change in output.changes {
                self.note_behind(&change, &mut behind);
                self.keep(change);
            }
            effects.extend(output.effects);
            replies.push(output.reply);
        }
        self.durable();
        self.underway = Some((self.core.cut(), behind));
        for effect in effects {
            match effect {
                Effect::Send(session, frame) => self.frames.push((session, *frame)),
                Effect::Close(session) => self.closed.push(session),
            }
        }
        replies
    }

    fn keep(&mut self, change: Change) {
        match change {
            Change::Job { job, event } => {
                let stored = self.jobs.get(&job.key);
                assert_eq!(stored.map_or(0, |job| job.revision), event.revision, "guard of the revision");
                let folded = match stored {
                    None => Job::accept(&event).unwrap(),
                    Some(stored) => stored.apply(&event).unwrap(),
                };
                assert_eq!(folded, *job, "a job is what its events add up to");
                self.events.entry(job.key.clone()).or_default().push(event);
                self.jobs.insert(job.key.clone(), job);
            }
            Change::Number(row) => {
                let known = self.numbers.insert(row.key, row.owner.clone());
                assert!(known.is_none_or(|known| known == row.owner), "a number has one owner (I10)");
            }
            Change::DiskFence(row) => {
                let known = self.restored.fences.iter_mut().find(|known| known.disk == row.disk);
                match known {
                    Some(known) => {
                        assert!(row.epoch >= known.epoch && row.sequence >= known.sequence, "epoch and sequence only grow (I7)");
                        *known = row;
                    }
                    None => self.restored.fences.push(row),
                }
            }
            Change::DiskReport(row) => {
                self.restored.reports.retain(|known| known.disk != row.disk);
                self.restored.reports.push(row);
            }
            Change::Accounted(disk, kind, pair) => {
                self.restored.accounted.retain(|known| (&known.0, known.1) != (&disk, kind));
                self.restored.accounted.push((disk, kind, pair));
            }
            Change::Seller(row) => {
                self.restored.sellers.retain(|known| known.seller != row.seller);
                self.restored.sellers.push(row);
            }
            Change::IssuePoint(row) => self.restored.points.push(row),
            Change::Agent(row) => {
                self.restored.agents.retain(|known| known.agent != row.agent);
                self.restored.agents.push(row);
            }
            Change::DiskAssignment(disk, body) => self.restored.assignments.push((disk, body)),
            Change::Notice { notice, on } => {
                self.restored.notices.retain(|known| known.name() != notice.name());
                if on {
                    self.restored.notices.push(notice);
                }
            }
            Change::Served(hours) => self.restored.served = hours,
            Change::EndContents(until) => self.ended.push(until),
            Change::EndContentsOf(_) => {}
            Change::Operation(row) => {
                let known = self.restored.operations.iter().position(|known| known.view.id == row.view.id);
                let base = known.map_or(0, |at| self.restored.operations[at].view.revision);
                assert_eq!(row.view.revision, base + 1, "guard of the revision");
                match known {
                    Some(at) => self.restored.operations[at] = *row,
                    None => self.restored.operations.push(*row),
                }
            }
            Change::Bulk(row) => {
                self.restored.bulks.retain(|known| known.view.key != row.view.key);
                self.restored.bulks.push(row);
            }
            Change::Reconcile(row) => {
                self.restored.reconcile.retain(|known| (known.what, &known.key) != (row.what, &row.key));
                if row.body.is_some() {
                    self.restored.reconcile.push(row);
                }
            }
            Change::Audit(audit) => self.audits.push((audit.what.into_owned(), audit.body)),
            Change::Announcement(announcement) => self.announcements.push(announcement),
            Change::User(row) => {
                self.restored.users.retain(|known| known.name != row.name);
                self.restored.users.push(row);
            }
            Change::SignIn(SignInRow { what, key, body }) => {
                match body {
                    Some(body) => self.sign_ins.insert((what, key), body),
                    None => self.sign_ins.remove(&(what, key)),
                };
            }
            Change::Enrollment(_) | Change::EnrollmentUsed { .. } | Change::Key(_) => {}
            other => panic!("the ledger does not decide on {other:?}"),
        }
    }

    /// Throws memory away and rebuilds it from what is durable. All links are gone.
    pub(super) fn restart(&mut self, settings: Settings) {
        let durable = &self.restored;
        let mut jobs: Vec<Arc<Job>> = self.jobs.values().filter(|job| job.is_live()).cloned().collect();
        jobs.sort_by_key(|job| job.place);
        let restored = Restored {
            users: durable.users.clone(),
            sign_ins: self
                .sign_ins
                .iter()
                .map(|((what, key), body)| SignInRow { what, key: key.clone(), body: Some(body.clone()) })
                .collect(),
            jobs,
            next_place: self.jobs.values().map(|job| job.place + 1).max().unwrap_or(1),
            sellers: durable.sellers.clone(),
            points: durable.points.clone(),
            reports: durable.reports.clone(),
            assignments: durable.assignments.clone(),
            fences: durable.fences.clone(),
            accounted: durable.accounted.clone(),
            agents: durable.agents.clone(),
            enrollments: Vec::new(),
            keys: Vec::new(),
            notices: durable.notices.clone(),
            reconcile: durable.reconcile.clone(),
            bulks: durable.bulks.clone(),
            served: durable.served,
            operations: durable.operations.iter().filter(|row| !row.view.state.is_ended()).cloned().collect(),
            next_operation: durable.operations.iter().map(|row| row.place + 1).max().unwrap_or(1),
        };
        self.core = Core::new(settings, restored, self.now);
        self.underway = None;
        self.frames.clear();
    }

    pub(super) fn ok(&mut self, input: Input) -> Reply {
        self.input(input).unwrap()
    }

    pub(super) fn submit(&mut self, serial: &str) -> JobView {
        match self.ok(Input::Submit(Box::new(submission(serial).into()))) {
            Reply::Submitted(Submitted::New(view) | Submitted::Repeated(view)) => view,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn join(&mut self, letter: char) -> SessionId {
        let join = self.joins.get(&agent(letter)).copied().unwrap_or(0) + 1;
        self.joins.insert(agent(letter), join);
        self.join_as(letter, join, JournalHead { id: format!("j{letter}"), sequence: join }).unwrap().session
    }

    pub(super) fn join_as(&mut self, letter: char, join: u64, journal: JournalHead) -> Result<Joined, Refusal> {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let joining = Join { agent: agent(letter), version: "0".to_owned(), journal, join, key: None };
        match self.input(Input::Join(joining, session))? {
            Reply::Joined(joined) => Ok(joined),
            other => panic!("{other:?}"),
        }
    }

    /// Joins and reports one disk.
    pub(super) fn connect(&mut self, letter: char, disk: &str) -> SessionId {
        let session = self.join(letter);
        self.reports(session, vec![report(disk)]);
        session
    }

    pub(super) fn reports(&mut self, session: SessionId, disks: Vec<DiskReport>) {
        self.ok(Input::Frame(session, Box::new(AgentFrame::Disks { disks })));
    }

    pub(super) fn leave(&mut self, session: SessionId, how: Left) {
        self.ok(Input::Leave(session, how));
    }

    pub(super) fn pass_ms(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        self.ok(Input::Tick);
    }

    /// Assignments sent to a session since the last call, of any session if `None`.
    pub(super) fn assigned(&mut self, session: SessionId) -> Vec<(u64, Assignment)> {
        self.take(|to, frame| match frame {
            BrokerFrame::Assign { epoch, assignment, .. } if to == session => Some((*epoch, assignment.clone())),
            _ => None,
        })
    }

    /// Grants sent to a session since the last call.
    pub(super) fn granted(&mut self, session: SessionId) -> Vec<(u64, Vec<OpenAttempt>)> {
        self.take(|to, frame| match frame {
            BrokerFrame::Grant { epoch, open, .. } if to == session => Some((*epoch, open.clone())),
            _ => None,
        })
    }

    pub(super) fn settles(&mut self, session: SessionId) -> Vec<OpenAttempt> {
        self.take(|to, frame| match frame {
            BrokerFrame::Settle { open, .. } if to == session => Some(open.clone()),
            _ => None,
        })
    }

    pub(super) fn recalls(&mut self, session: SessionId) -> Vec<String> {
        self.take(|to, frame| match frame {
            BrokerFrame::Recall { attempt, .. } if to == session => Some(attempt.key.serial.to_string()),
            _ => None,
        })
    }

    pub(super) fn take<T>(&mut self, wanted: impl Fn(SessionId, &BrokerFrame) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        self.frames.retain(|(to, frame)| match wanted(*to, frame) {
            Some(found) => {
                taken.push(found);
                false
            }
            None => true,
        });
        taken
    }

    /// An outcome of an assignment, as its agent would send it. True: acknowledged.
    pub(super) fn outcome(&mut self, session: SessionId, of: &(u64, Assignment), outcome: AttemptResult) -> bool {
        self.outcome_with(session, of, outcome, Vec::new())
    }

    pub(super) fn outcome_with(
        &mut self,
        session: SessionId,
        (epoch, assignment): &(u64, Assignment),
        outcome: AttemptResult,
        readings: Vec<Reading>,
    ) -> bool {
        let id = format!("m{}", self.next_id);
        self.next_id += 1;
        let frame = AgentFrame::Outcome {
            id: id.clone(),
            disk: self.disk_of(assignment),
            epoch: *epoch,
            sequence: assignment.sequence,
            attempt: assignment.attempt.clone(),
            expected: None,
            outcome,
            readings,
            disk_ms: 5,
        };
        let _ = self.input(Input::Frame(session, Box::new(frame)));
        !self.take(|_, frame| matches!(frame, BrokerFrame::Ack { ids } if ids.contains(&id)).then_some(())).is_empty()
    }

    fn disk_of(&self, assignment: &Assignment) -> DiskNumber {
        let job = &self.jobs[&assignment.attempt.key];
        job.attempt(assignment.attempt.attempt).unwrap().disk.clone()
    }

    pub(super) fn started(&mut self, session: SessionId, of: &(u64, Assignment), number: u32) {
        let disk = self.disk_of(&of.1);
        let frame = AgentFrame::Started { disk, epoch: of.0, attempt: of.1.attempt.clone(), expected: pair(number) };
        let _ = self.input(Input::Frame(session, Box::new(frame)));
    }

    pub(super) fn state(&self, serial: &str) -> JobState {
        self.jobs[&key(serial)].state
    }

    pub(super) fn job(&self, serial: &str) -> &Job {
        &self.jobs[&key(serial)]
    }

    pub(super) fn waiting(&mut self, serial: &str) -> Option<Waiting> {
        let job = self.jobs[&key(serial)].clone();
        self.core.view(&job).waiting
    }

    pub(super) fn alarms(&self, letter: char) -> Vec<String> {
        self.core.agents[&agent(letter)].row.alarms.clone()
    }

    pub(super) fn number(&self, number: u32) -> Option<&Owner> {
        let kind = InvoiceKind::Roll;
        self.numbers.get(&NumberKey { disk: DISK.parse().unwrap(), kind, pair: pair(number) })
    }
}

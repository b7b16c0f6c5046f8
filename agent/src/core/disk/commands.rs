//! What the broker, the link and people ask of a disk. A command never touches the effect in flight.

use std::sync::Arc;

use taxdisk_protocol::api::Operation;
use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::link::{
    Accounted, AgentFrame, Assignment, AttemptRef, AttemptResult, Forgotten, OpenAttempt, OperationOrder,
};

use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::undo::Undoing;

use super::{After, DiskCore, JOBS_MAX, Staged, State, Task};
use crate::core::Context;
use crate::core::compare::Open;
use crate::core::effect::{Request, Told};
use crate::core::operation::Order;
use crate::core::outbox::{self, Again, Ending};
use crate::core::records::{Owner, Record};
use crate::fault::planted;

/// What a disk's core is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The broker granted this disk.
    Grant {
        /// Disk that is granted; another one behind the port never uses it.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// What the broker knows as accounted.
        accounted: Vec<Accounted>,
        /// Attempts without an outcome at the broker.
        open: Vec<OpenAttempt>,
        /// What the broker's ledger does not know, because it went back.
        forgotten: Forgotten,
    },
    /// Nothing may be issued on the disk.
    Deny {
        /// Disk.
        disk: DiskNumber,
        /// For people.
        reason: String,
    },
    /// Do this.
    Assign {
        /// Disk.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// What.
        assignment: Assignment,
    },
    /// Give it back if it has not begun.
    Recall {
        /// Which.
        attempt: AttemptRef,
    },
    /// Read the disk and say what became of it.
    Settle {
        /// Disk.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// What.
        open: OpenAttempt,
    },
    /// A person has settled it at the broker.
    Settled {
        /// Disk.
        disk: DiskNumber,
        /// Which.
        attempt: AttemptRef,
        /// The number that was said to be its own.
        pair: Option<NumberPair>,
    },
    /// The broker's ledger went back: tell again what the index holds above this sequence, and read every number since.
    Recount {
        /// Disk.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// The highest assign sequence that the broker knows.
        after: u64,
        /// What it knows as accounted.
        since: Vec<Accounted>,
    },
    /// The broker asks for an operation.
    Operate {
        /// Disk.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// What.
        operation: OperationOrder,
    },
    /// The link is down: nothing begins until the next grant.
    LinkDown,
    /// A person set the passwords of this port.
    SecretChanged,
    /// Something changed at the ports: look now and not at the next turn.
    Look,
    /// The PC slept or was stopped for so long, milliseconds: what is known of port and grant is old.
    Woke(u64),
    /// A person asks for this.
    Order(Order),
    /// Finish what runs, give back what is staged, and end.
    Stop,
}

impl DiskCore {
    /// Takes a command.
    pub fn command(&mut self, command: Command, context: &Context<'_>) {
        match command {
            Command::Grant { disk, epoch, accounted, open, forgotten } if self.disk() == Some(&disk) => {
                self.on_grant(&disk, epoch, accounted, (open, forgotten), context)
            }
            Command::Assign { disk, epoch, assignment } if self.disk() == Some(&disk) => {
                self.on_assign(&disk, epoch, assignment, context)
            }
            Command::Settle { disk, epoch, open } if self.disk() == Some(&disk) && self.epoch == Some(epoch) => {
                self.on_settle(&disk, open, context);
            }
            Command::Settled { disk, attempt, pair } if self.disk() == Some(&disk) => {
                self.forget_settled(&disk, |unsettled| *unsettled == attempt, context);
                if let Some(pair) = pair.filter(|_| !planted("settled_number_ignored")) {
                    self.own_settled(disk, attempt, pair, context);
                }
            }
            Command::Recount { disk, epoch, after, since } if self.disk() == Some(&disk) && self.epoch == Some(epoch) => {
                self.on_recount(epoch, after, since);
            }
            Command::Operate { disk, epoch, operation } if self.disk() == Some(&disk) => {
                self.on_operate(&disk, epoch, operation, context);
            }
            // For a disk that is not behind this port any more: the broker hears from the report that it is away.
            Command::Grant { .. }
            | Command::Assign { .. }
            | Command::Settle { .. }
            | Command::Settled { .. }
            | Command::Recount { .. }
            | Command::Operate { .. } => {}
            Command::Deny { disk, reason } if self.disk() == Some(&disk) => {
                self.epoch = None;
                self.drop_remote_orders();
                self.give_back_staged(&format!("the broker took the grant back: {reason}"), context);
            }
            Command::Deny { .. } => {}
            Command::Recall { attempt } => {
                if let Some(at) = self.staged.iter().position(|staged| staged.assignment().attempt == attempt)
                    && let Some(staged) = self.staged.remove(at)
                {
                    self.give_back(staged.assignment(), staged.epoch, "it was recalled before it began", context);
                }
            }
            Command::LinkDown => {
                self.epoch = None;
                self.drop_remote_orders();
                if !planted("old_epoch_begins") {
                    self.give_back_staged("the link was lost before it began", context);
                }
            }
            Command::SecretChanged => {
                let records = vec![Record::PasswordSet { port: self.config.port.clone() }];
                // If we stop before this is durable, at the next start the stop still stands and the person sets it again.
                self.writes.push_back((records, After { password_stop: Some(None), ..After::default() }));
            }
            Command::Look => {
                self.open_at_ms = 0;
                self.levels.values_mut().for_each(|level| level.read_at_ms = 0);
            }
            Command::Woke(_) => self.on_woke(context),
            Command::Order(order) => self.on_order(order, context),
            Command::Stop => self.stopping = true,
        }
    }

    /// Another disk may be behind the port, and another agent may have been given this one: who it is is read anew, and nothing
    /// begins before the next grant.
    fn on_woke(&mut self, context: &Context<'_>) {
        self.epoch = None;
        self.drop_remote_orders();
        self.give_back_staged("the PC slept before it began", context);
        self.open_at_ms = 0;
        self.ladder.attempts(self.has_open(), context.now_ms);
        if self.ladder.may_disturb(context.now_ms) {
            self.reopen = self.opened.is_some();
        } else {
            // An open attempt is young: it is read over the line as it is. The broker hears that the disk was away all the same:
            // else it goes on to assign under a grant that is over, and gets everything back at once, again and again.
            self.resync = true;
            self.reporter.forget();
            let (class, text) = (DeviceClass::NotPresent, "the PC slept; the disk is read again".to_owned());
            self.told.push_back(Told::Away { class, text });
        }
        self.levels.clear();
    }

    fn on_grant(
        &mut self,
        disk: &DiskNumber,
        epoch: u64,
        accounted: Vec<Accounted>,
        (open, forgotten): (Vec<OpenAttempt>, Forgotten),
        context: &Context<'_>,
    ) {
        if self.epoch != Some(epoch) {
            self.give_back_staged("the disk was granted anew", context);
            self.drop_remote_orders();
        }
        self.epoch = Some(epoch);
        self.broker_accounted = accounted;
        if let Some(opened) = &self.opened {
            self.to_account.extend(opened.identity.kinds.iter().copied());
        }
        // What was said of an attempt without knowing that it had begun counts under no grant.
        let counts_no_more = |frame: &AgentFrame| match frame {
            AgentFrame::Outcome { attempt, .. } => {
                open.iter().any(|one| one.assignment.attempt == *attempt && outbox::is_contradicted(one, context.view))
            }
            _ => false,
        };
        for (_, frame) in context.view.outbox(disk).into_iter().filter(|_| !planted("outbox_lost")) {
            if !counts_no_more(&frame) {
                self.told.push_back(Told::Frame(outbox::under(frame, epoch)));
            }
        }
        // Unsettled here and not open there: somebody settled it at the broker, unless its ledger forgot it.
        let listed = |attempt: &AttemptRef| open.iter().any(|open| open.assignment.attempt == *attempt);
        let forgot = |attempt: &AttemptRef| forgotten.is(attempt) && !planted("forgotten_is_settled");
        self.forget_settled(disk, |attempt| !listed(attempt) && !forgot(attempt), context);
        for open in &open {
            self.take_open(disk, open, false, context);
        }
        // What the journal holds and the broker does not list: it too must be known before anything else begins.
        for intent in context.view.open(disk) {
            if !self.is_at_work_on(&intent.attempt) {
                self.opens.push(Open::remembered(&intent));
            }
        }
    }

    /// Unsettled attempts that somebody settled at the broker stand in the way of nothing any more.
    fn forget_settled(&mut self, disk: &DiskNumber, is_settled: impl Fn(&AttemptRef) -> bool, context: &Context<'_>) {
        let told = |attempt: &AttemptRef| {
            let of = |frame: &AgentFrame| matches!(frame, AgentFrame::Outcome { attempt: of, .. } if of == attempt);
            context.view.outbox(disk).iter().all(|(_, frame)| !of(frame))
        };
        // What the broker has not heard of yet it cannot have settled.
        let attempts: Vec<_> = context.view.unsettled(disk).into_iter().filter(is_settled).filter(told).collect();
        if !attempts.is_empty() {
            let records = vec![Record::SettledElsewhere { disk: disk.clone(), attempts }];
            self.writes.push_back((records, After::default()));
        }
    }

    /// A person said that this number is the attempt's: what reads the disk next must not enter it as another program's, nor must
    /// anybody believe that the attempt did not issue.
    fn own_settled(&mut self, disk: DiskNumber, attempt: AttemptRef, pair: NumberPair, context: &Context<'_>) {
        let Some(outcome) = context.view.outcome(&attempt).filter(|outcome| outcome.disk == disk) else { return };
        // What the journal gave to a job stays: it read a mark, or was answered by the disk.
        if matches!(context.view.owner(&disk, outcome.kind, pair), None | Some(Owner::Foreign)) {
            let reverses = outcome.undoing.and_then(Undoing::original);
            let record = Record::Owned { disk, kind: outcome.kind, pair, owner: Owner::Ours(attempt), reverses };
            self.writes.push_back((vec![record], After::default()));
        }
    }

    /// An attempt that the broker wants to know about. Nothing is ever run for it.
    fn take_open(&mut self, disk: &DiskNumber, open: &OpenAttempt, read_again: bool, context: &Context<'_>) {
        let assignment = &open.assignment;
        let attempt = &assignment.attempt;
        self.heard_sequence = self.heard_sequence.max(assignment.sequence);
        if self.is_staged(attempt) || self.is_at_work_on(attempt) {
            return;
        }
        let again = match read_again {
            _ if outbox::is_contradicted(open, context.view) => None,
            // It heard what lies in the outbox, or will, and asks all the same. The link tells no frame twice, so this is a
            // new one.
            true => outbox::afresh(assignment, open.epoch, disk, context),
            false => outbox::again(assignment, open.epoch, disk, context),
        };
        match again {
            // The grant told the outbox already.
            Some(Again::Tell(_)) => {}
            Some(Again::Write(records, frame)) => {
                self.writes.push_back((records, After { frames: vec![frame], ..After::default() }))
            }
            None => self.look_for(open.clone(), context),
        }
    }

    /// An attempt that may have begun, and of which nothing final is known: the disk is read for it.
    fn look_for(&mut self, open: OpenAttempt, context: &Context<'_>) {
        if planted("journal_silence_is_proof") && context.view.intent(&open.assignment.attempt).is_none() {
            return self.give_back(&open.assignment, open.epoch, "the journal knows nothing of it", context);
        }
        match open.assignment.operation {
            Operation::Issue | Operation::Red => self.opens.push(Open::listed(&open, context.view, self.config.parse)),
            // The journal has its intent: that is settled as any operation that was found open.
            Operation::Void if self.is_open_operation(&open.assignment.attempt, context) => {}
            Operation::Void => self.void_opens.push_back(open),
        }
    }

    fn is_open_operation(&self, attempt: &AttemptRef, context: &Context<'_>) -> bool {
        let open = self.disk().and_then(|disk| context.view.open_operation(disk));
        open.and_then(|open| open.job).is_some_and(|job| job.attempt == *attempt)
    }

    fn on_settle(&mut self, disk: &DiskNumber, open: OpenAttempt, context: &Context<'_>) {
        self.take_open(disk, &open, true, context);
    }

    fn on_assign(&mut self, disk: &DiskNumber, epoch: u64, assignment: Assignment, context: &Context<'_>) {
        let attempt = &assignment.attempt;
        if self.is_staged(attempt) || self.is_at_work_on(attempt) {
            return;
        }
        match outbox::again(&assignment, epoch, disk, context) {
            Some(Again::Tell(frame)) => return self.told.push_back(Told::Frame(frame)),
            Some(Again::Write(records, frame)) => {
                return self.writes.push_back((records, After { frames: vec![frame], ..After::default() }));
            }
            None => {}
        }
        if assignment.sequence <= self.heard_sequence.max(context.view.highest_sequence(disk)) && !planted("index_purged") {
            // Heard before, and not in the index: it may have begun. Never run, always read.
            let open = OpenAttempt { epoch, agent: no_agent(), expected: None, named: None, assignment };
            return self.look_for(open, context);
        }
        self.heard_sequence = assignment.sequence;
        if let Some(known) = context.view.outcome(attempt) {
            return self.refuse_number_given_twice(&assignment, epoch, &known.result, context);
        }
        let refuse = if self.epoch != Some(epoch) && !planted("old_epoch_begins") {
            Some(format!("it was assigned under epoch {epoch}, which is not the one granted here"))
        } else if self.stopping {
            Some("the agent is being stopped".to_owned())
        } else {
            let jobs = self.staged.len() + usize::from(self.running().is_some());
            (jobs >= JOBS_MAX).then(|| "the disk has a running and a staged job already".to_owned())
        };
        if let Some(text) = refuse {
            return self.end_unbegun(&assignment, epoch, AttemptResult::GivenBack { text }, context);
        }
        if let Some((class, text)) = self.unable(&assignment) {
            return self.end_unbegun(&assignment, epoch, AttemptResult::NotIssued { class, code: None, text }, context);
        }
        if assignment.operation == Operation::Void {
            return self.staged.push_back(Staged { task: Task::Void(Arc::new(assignment)), epoch });
        }
        match Request::parse(&assignment, self.config.parse) {
            Ok(request) => self.staged.push_back(Staged { task: Task::Issue(Arc::new(request)), epoch }),
            Err(text) => {
                let result = AttemptResult::NotIssued { class: DeviceClass::InvalidRequest, code: None, text };
                self.end_unbegun(&assignment, epoch, result, context);
            }
        }
    }

    /// The attempt's number was another one's before, in a part that the broker's ledger lost: under it nothing can begin here,
    /// for the index must stay true. Given back, the job comes again under the next number.
    fn refuse_number_given_twice(&mut self, assignment: &Assignment, epoch: u64, known: &AttemptResult, context: &Context<'_>) {
        let text = "this attempt's number was given before, by a ledger that went back since".to_owned();
        let result = match known {
            // Whether that one issued nobody knows: then the job must not come again.
            AttemptResult::Unsettled { class, .. } => AttemptResult::Unsettled { class: *class, text },
            _ => AttemptResult::GivenBack { text },
        };
        self.end_unbegun(assignment, epoch, result, context);
    }

    /// Why this disk is not asked at all.
    fn unable(&self, assignment: &Assignment) -> Option<(DeviceClass, String)> {
        let can = &self.opened.as_ref()?.capabilities;
        let able = match assignment.operation {
            Operation::Issue => return None,
            Operation::Void => can.can(DiskOperation::Void),
            Operation::Red => can.red,
        };
        if !able {
            return Some((DeviceClass::Unsupported, "this device cannot do what the job asks for".to_owned()));
        }
        let text = "a void or red job names its original".to_owned();
        assignment.original.is_none().then_some((DeviceClass::InvalidRequest, text))
    }

    /// Gives back what was assigned and not begun. Durable, so that it is told at the next grant if the link is down now.
    pub(super) fn give_back_staged(&mut self, text: &str, context: &Context<'_>) {
        for staged in std::mem::take(&mut self.staged) {
            self.give_back(staged.assignment(), staged.epoch, text, context);
        }
    }

    pub(super) fn give_back(&mut self, assignment: &Assignment, epoch: u64, text: &str, context: &Context<'_>) {
        let result = AttemptResult::GivenBack { text: text.to_owned() };
        self.end_unbegun(assignment, epoch, result, context);
    }

    pub(super) fn end_unbegun(&mut self, assignment: &Assignment, epoch: u64, result: AttemptResult, context: &Context<'_>) {
        let Some(disk) = self.disk().or(self.reporter.last_disk()).cloned() else { return };
        let ending = Ending {
            attempt: assignment.attempt.clone(),
            epoch,
            sequence: assignment.sequence,
            kind: assignment.kind,
            expected: None,
            result,
            readings: Vec::new(),
            disk_ms: 0,
            undoing: Some(assignment.original.into()),
        };
        let (records, frame) = outbox::ended(ending, &disk, context);
        self.writes.push_back((records, After { frames: vec![frame], ..After::default() }));
    }

    /// The worker waits for a command.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }
}

/// Which agent an attempt was assigned to plays no part in reading the disk for it.
fn no_agent() -> taxdisk_protocol::ids::AgentId {
    "ag_0000000000000000".parse().expect("ag_ and sixteen hex digits")
}

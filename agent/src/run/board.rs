//! Where the messages of link and workers meet: frames to the worker of their disk, reports and outcomes to the link, and a
//! picture of it all for `status`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use semver::Version;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame};
use taxdisk_protocol::update::AgentUpdate;
use tokio::sync::{mpsc, oneshot};

use crate::clock::since_boot;
use crate::core::ladder::Rung;
use crate::core::operation::{Order, OrderReport};
use crate::core::records::View;
use crate::journal::{Journal, Record};
use crate::link::client::LinkEvent;
use crate::link::outbox::Entry;
use crate::link::session::{Input, Standing};
use crate::status::{Answer, DiskStatus, LinkStatus, Question, Status};
use crate::update::desk::{Act, Desk};
use crate::update::fetch::Wanted;
use crate::worker::{Command, Worker, WorkerEvent};

/// Reports of orders that are kept in memory until they are asked for.
const REPORTS_MAX: usize = 64;

/// Something that the main loop hears of. The queue has no limit of its own: a disk says a few things for each command,
/// commands are
/// few (two open attempts a disk), and the loop never waits for anybody.
#[derive(Debug)]
pub(super) enum Happening {
    Link(LinkEvent),
    Worker(usize, Box<WorkerEvent>),
    /// Something changed at the port of this worker.
    Plugged(usize),
    Asked(Question, oneshot::Sender<Answer>),
    /// What came of fetching this version of the agent.
    Fetched(Version, Result<(), String>),
}

/// How this agent stands with updates.
pub(super) struct Updates {
    pub(super) desk: Desk,
    /// Has a program fetched, in a thread of its own.
    pub(super) fetch: Box<dyn Fn(Wanted) + Send>,
    /// Ports that must be read well, of an agent on trial. It reports no disk, so that none is granted: it can begin nothing.
    pub(super) trial: Option<Vec<String>>,
    /// The broker was told so.
    said: Option<AgentUpdate>,
}

impl Updates {
    pub(super) fn new(desk: Desk, fetch: Box<dyn Fn(Wanted) + Send>, trial: Option<Vec<String>>) -> Updates {
        Updates { desk, fetch, trial, said: None }
    }
}

pub(super) struct Board {
    status: Status,
    workers: Vec<Worker>,
    journal: Journal,
    inputs: mpsc::Sender<Input>,
    standing: Arc<Mutex<Standing>>,
    under_way: BTreeSet<String>,
    /// What came of orders, newest last; those that changed something are in the journal for ever.
    reports: VecDeque<OrderReport>,
    updates: Updates,
}

impl Board {
    pub(super) fn new(
        mut status: Status,
        workers: Vec<(DiskStatus, Worker)>,
        journal: Journal,
        inputs: mpsc::Sender<Input>,
        standing: Arc<Mutex<Standing>>,
        updates: Updates,
    ) -> Board {
        let (disks, workers): (Vec<_>, Vec<_>) = workers.into_iter().unzip();
        status.disks = disks;
        Board { status, workers, journal, inputs, standing, under_way: BTreeSet::new(), reports: VecDeque::new(), updates }
    }

    pub(super) fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Link(event) => self.link(event),
            Happening::Worker(index, event) => self.worker(index, *event),
            Happening::Plugged(index) => self.command(index, Command::Look),
            Happening::Asked(question, answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.answer(question));
            }
            Happening::Fetched(version, result) => self.updates.desk.fetched(&version, result, since_boot()),
        }
        self.say_update();
    }

    /// When [`Board::look_at_updates`] is due.
    pub(super) fn updates_due(&self) -> Option<Duration> {
        [self.updates.desk.deadline(), self.updates.desk.asks_at()].into_iter().flatten().min()
    }

    /// Takes the next step of an update. Gives the version to go to, and the ports of the disks that are ready now, when this is
    /// the moment.
    pub(super) fn look_at_updates(&mut self) -> Option<(Version, Vec<String>)> {
        let now = since_boot();
        let quiet = self.quiet();
        let act = self.updates.desk.step(now, quiet.as_ref().map(|_| ()).map_err(Clone::clone));
        if self.updates.desk.asks(now) {
            self.updates.said = None;
        }
        self.say_update();
        match act? {
            Act::Fetch(wanted) => {
                (self.updates.fetch)(*wanted);
                None
            }
            Act::Swap(version) => Some((version, quiet.unwrap_or_default())),
        }
    }

    /// The ports of the disks that are ready, if nothing at all is going on.
    fn quiet(&self) -> Result<Vec<String>, String> {
        let standing = self.standing();
        if standing.up_since.is_none() {
            return Err("the broker cannot be reached, so a new version could not prove itself".to_owned());
        }
        if let Some(disk) = self.status.disks.iter().find(|disk| disk.running.is_some()) {
            return Err(format!("the disk at {} is at work", disk.port));
        }
        if standing.outbox > 0 || !self.under_way.is_empty() {
            return Err("outcomes are on their way to the broker".to_owned());
        }
        let ready = |disk: &&DiskStatus| disk.report.as_ref().is_some_and(|report| report.health.ready);
        let ready: Vec<String> = self.status.disks.iter().filter(ready).map(|disk| disk.port.clone()).collect();
        if ready.is_empty() && !self.status.disks.is_empty() {
            return Err("no disk is ready, so a new version could not prove itself".to_owned());
        }
        if self.journal.has_open() {
            return Err("something that was begun on a disk is open".to_owned());
        }
        Ok(ready)
    }

    /// Of an agent on trial: the broker has answered, and every disk that was ready before was read well.
    pub(super) fn is_proven(&self) -> bool {
        let standing = self.standing();
        let reads = |port: &String| {
            let disk = self.status.disks.iter().find(|disk| disk.port == *port);
            disk.and_then(|disk| disk.report.as_ref()).is_some_and(|report| report.health.ready)
        };
        let Some(trial) = &self.updates.trial else { return false };
        standing.up_since.is_some() && standing.round_trip.is_some() && trial.iter().all(reads)
    }

    /// Tells the broker how it stands with updates, if that has changed.
    fn say_update(&mut self) {
        if self.updates.trial.is_some() || self.standing().up_since.is_none() {
            return;
        }
        let update = self.updates.desk.standing();
        if self.updates.said.as_ref() != Some(&update) {
            self.tell_link(Input::Send(AgentFrame::Updating { update: update.clone() }));
            self.updates.said = Some(update);
        }
    }

    /// Hands the workers out to be stopped. Frames that still come for them are left out; the broker lists them again.
    pub(super) fn stop(&mut self) -> Vec<Worker> {
        std::mem::take(&mut self.workers)
    }

    /// Something was begun on a disk, and its end is not known here.
    pub(super) fn has_open(&self) -> bool {
        self.journal.has_open()
    }

    pub(super) fn has_reports_under_way(&self) -> bool {
        self.standing().up_since.is_some() && !self.under_way.is_empty()
    }

    fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell_link(&self, input: Input) {
        if self.inputs.try_send(input).is_err() {
            // The link's task takes inputs at once; a full queue means that it hangs. What is durable is told again after a
            // grant.
            tracing::error!("the link takes no more messages; one was left out");
        }
    }

    fn link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(journal_known) => {
                tracing::info!("the link to the broker is up");
                self.updates.said = None;
                let head = self.journal.head();
                if journal_known.is_some_and(|known| known > head.sequence) {
                    tracing::error!(
                        journal = head.id,
                        known = journal_known,
                        own = head.sequence,
                        "the broker knows more of this journal than this PC: the folder was rolled back or copied; open attempts are settled by reading the disk"
                    );
                }
            }
            // The identity is written where the link is made.
            LinkEvent::Ledger(_) | LinkEvent::KeyTaken(_) => {}
            LinkEvent::Down(text) => {
                tracing::warn!("the link to the broker is down: {text}");
                self.status.disks.iter_mut().for_each(|disk| disk.epoch = None);
                (0..self.workers.len()).for_each(|index| self.command(index, Command::LinkDown));
            }
            LinkEvent::Heard(at) => self.workers.iter().for_each(|worker| worker.heard(at)),
            LinkEvent::Confirm(ids) => {
                self.under_way.retain(|id| !ids.contains(id));
                crate::traces::confirmed(&ids);
                // Nobody waits for it: an ack that is lost in a crash only means that the entry is sent once more.
                drop(self.journal.append(vec![Record::Acked { ids }]));
                crate::fault::point("after_confirm");
            }
            LinkEvent::Frame(frame) => self.frame(*frame),
        }
    }

    fn frame(&mut self, frame: BrokerFrame) {
        let (disk, command) = match frame {
            BrokerFrame::Update { offer } => return self.updates.desk.offered(offer, since_boot()),
            BrokerFrame::Grant { disk, epoch, accounted, open, forgotten } => {
                (disk.clone(), Command::Grant { disk, epoch, accounted, open, forgotten })
            }
            BrokerFrame::Deny { disk, reason } => (disk.clone(), Command::Deny { disk, reason }),
            BrokerFrame::Assign { disk, epoch, assignment } => (disk.clone(), Command::Assign { disk, epoch, assignment }),
            BrokerFrame::Recall { disk, attempt } => (disk, Command::Recall { attempt }),
            BrokerFrame::Settle { disk, epoch, open } => (disk.clone(), Command::Settle { disk, epoch, open }),
            BrokerFrame::Settled { disk, attempt, pair } => (disk.clone(), Command::Settled { disk, attempt, pair }),
            BrokerFrame::Recount { disk, epoch, after, since } => (disk.clone(), Command::Recount { disk, epoch, after, since }),
            BrokerFrame::Operate { disk, epoch, operation } => (disk.clone(), Command::Operate { disk, epoch, operation }),
            // The session keeps these to itself.
            BrokerFrame::Challenge { .. }
            | BrokerFrame::Welcome { .. }
            | BrokerFrame::Ack { .. }
            | BrokerFrame::Unsupported { .. }
            | BrokerFrame::Refused { .. } => return,
        };
        let Some(index) = self.port_of(&disk) else {
            tracing::warn!(%disk, "the broker speaks of a disk that is not here now; it learns so from the next report");
            return;
        };
        match &command {
            Command::Grant { epoch, .. } => {
                tracing::info!(%disk, epoch, "this agent owns the disk");
                self.status.disks[index].epoch = Some(*epoch);
                self.status.disks[index].trouble = None;
            }
            Command::Deny { reason, .. } => {
                tracing::warn!(%disk, reason, "the broker lets nobody here issue on this disk");
                self.status.disks[index].epoch = None;
                self.status.disks[index].trouble = Some(reason.clone());
            }
            _ => {}
        }
        self.command(index, command);
    }

    fn port_of(&self, disk: &DiskNumber) -> Option<usize> {
        let is = |status: &DiskStatus| status.report.as_ref().is_some_and(|report| report.disk == disk.as_str());
        // Of two that claim to be one disk, none is it.
        self.status.disks.iter().position(|status| is(status) && status.twins.is_empty())
    }

    fn command(&self, index: usize, command: Command) {
        let Some(worker) = self.workers.get(index) else { return };
        if worker.send(command).is_err() {
            // A disk that hangs so long must not make the others wait; the next grant repeats all that matters.
            let port = &self.status.disks[index].port;
            self.tell_link(Input::GiveUp(format!("The disk at {port} takes no commands any more.")));
        }
    }

    fn worker(&mut self, index: usize, event: WorkerEvent) {
        let status = &mut self.status.disks[index];
        match event {
            WorkerEvent::Report(report) => {
                status.trouble = (!report.health.ready).then(|| report.health.text.clone());
                status.class = report.health.class;
                status.recovery = status.recovery.filter(|_| !report.health.ready);
                status.report = Some(*report);
                self.find_twins();
                self.report();
            }
            WorkerEvent::Order(report) => {
                self.reports.retain(|known| known.id != report.id);
                if self.reports.len() == REPORTS_MAX {
                    self.reports.pop_front();
                }
                self.reports.push_back(*report);
            }
            WorkerEvent::Away(why) => {
                if status.trouble.as_ref() != Some(&why.text) {
                    tracing::warn!(port = status.port, class = %why.class, "{}", why.text);
                }
                let was_there = status.report.take().is_some();
                *status = DiskStatus {
                    port: std::mem::take(&mut status.port),
                    profile: std::mem::take(&mut status.profile),
                    recovery: status.recovery,
                    trouble: Some(why.text),
                    class: Some(why.class),
                    ..DiskStatus::default()
                };
                if was_there {
                    self.find_twins();
                    self.report();
                }
            }
            WorkerEvent::Climbed(rung) => {
                if rung != Rung::Retry && status.recovery != Some(rung) {
                    tracing::warn!(port = status.port, profile = status.profile, ?rung, "the disk does not read well");
                }
                status.recovery = Some(rung);
                self.status.recoveries.entry(status.profile.clone()).or_default().count(rung);
            }
            WorkerEvent::Frame(frame) => {
                match &frame {
                    AgentFrame::Started { attempt, .. } => status.running = Some(attempt.to_string()),
                    AgentFrame::Outcome { attempt, .. } if status.running.as_ref() == Some(&attempt.to_string()) => {
                        status.running = None
                    }
                    _ => {}
                }
                let input = match &frame {
                    AgentFrame::Outcome { id, disk, .. }
                    | AgentFrame::Accounted { id, disk, .. }
                    | AgentFrame::Operated { id, disk, .. } => {
                        self.under_way.insert(id.clone());
                        let text =
                            serde_json::to_string(&frame).expect("frames are plain data: maps have text keys and nothing fails");
                        Input::Outbox(Entry { id: id.clone(), disk: disk.clone(), text })
                    }
                    _ => Input::Send(frame),
                };
                self.tell_link(input);
            }
        }
    }

    /// Ports that show the same disk number. One may be a copy; or the disk was moved, and its old port was not read since. As
    /// long as two claim to be one, neither gets work (I7), and both are read at once.
    fn find_twins(&mut self) {
        let numbers: Vec<Option<String>> =
            self.status.disks.iter().map(|disk| disk.report.as_ref().map(|report| report.disk.clone())).collect();
        let twins_of = |at: usize| -> Vec<String> {
            let same = |other: &usize| *other != at && numbers[at].is_some() && numbers[*other] == numbers[at];
            (0..numbers.len()).filter(same).map(|other| self.status.disks[other].port.clone()).collect()
        };
        let found: Vec<Vec<String>> = (0..numbers.len()).map(twins_of).collect();
        for (index, twins) in found.into_iter().enumerate() {
            if twins == self.status.disks[index].twins {
                continue;
            }
            let status = &mut self.status.disks[index];
            status.twins = twins;
            let Some(disk) = numbers[index].as_ref().and_then(|number| number.parse().ok()).filter(|_| !status.twins.is_empty())
            else {
                continue;
            };
            let reason = format!("the same disk number shows at {} too", status.twins.join(", "));
            tracing::error!(port = status.port, %disk, "{reason}; nothing is issued on it");
            status.epoch = None;
            self.command(index, Command::Deny { disk, reason });
            self.command(index, Command::Look);
        }
    }

    fn report(&self) {
        if self.updates.trial.is_some() {
            return;
        }
        let alone = self.status.disks.iter().filter(|disk| disk.twins.is_empty());
        self.tell_link(Input::Disks(alone.filter_map(|disk| disk.report.clone()).collect()));
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Status => Answer::Status(Box::new(self.status())),
            Question::Report { id } => {
                let known = self.reports.iter().rev().find(|report| report.id == id).cloned();
                let known = known.or_else(|| self.journal.operation_outcome(&id).map(|outcome| OrderReport::ended(&outcome)));
                Answer::Report(known.map(Box::new))
            }
            Question::Order { port, order } => self.order(&port, order),
            Question::SecretChanged { port } => match self.status.disks.iter().position(|disk| disk.port == port) {
                Some(index) => {
                    self.command(index, Command::SecretChanged);
                    Answer::Done
                }
                None => Answer::Refused {
                    text: format!("The running agent has no disk at {port}: add it to the configuration and restart the agent."),
                },
            },
        }
    }

    fn order(&self, port: &str, order: Order) -> Answer {
        let index = self.status.disks.iter().position(|disk| disk.port == port);
        let worker = index.and_then(|index| self.workers.get(index));
        match worker.map(|worker| worker.send(Command::Order(order))) {
            Some(Ok(())) => Answer::Done,
            Some(Err(_)) => Answer::Refused { text: format!("The disk at {port} takes no orders now: nothing was sent.") },
            None => Answer::Refused {
                text: format!("The running agent has no disk at {port}: add it to the configuration and restart the agent."),
            },
        }
    }

    fn status(&self) -> Status {
        let standing = self.standing();
        let head = self.journal.head();
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let disks = self.status.disks.iter().map(|disk| {
            let claim = (!disk.twins.is_empty()).then(|| {
                format!(
                    "the same disk number shows at {} too: unplug the copy; nothing is issued meanwhile",
                    disk.twins.join(", ")
                )
            });
            DiskStatus { trouble: claim.or_else(|| disk.trouble.clone()), ..disk.clone() }
        });
        Status {
            disks: disks.collect(),
            link: LinkStatus {
                up: standing.up_since.is_some(),
                up_s: standing.up_since.map(|since| since_boot().saturating_sub(since).as_secs()),
                round_trip_ms: standing.round_trip.map(ms),
                trouble: standing.trouble,
            },
            outbox: standing.outbox,
            journal: head.id,
            journal_sequence: head.sequence,
            update: Some(self.updates.desk.standing()),
            ..self.status.clone()
        }
    }
}

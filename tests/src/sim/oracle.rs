//! What must hold, looked at whenever something happened. The judges are the disks' own ledgers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taxdisk_agent::core::effect::{Request, Send};
use taxdisk_agent::core::records::View;
use taxdisk_broker::core::change::Change;
use taxdisk_drivers::disk::NumberStatus;
use taxdisk_protocol::api::{JobState, Operation, SettleDecision};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::job::{EvidenceKind, Job, What};
use taxdisk_protocol::link::{AttemptRef, BEGIN_LEASE_S, BrokerFrame, Owner};
use taxdisk_protocol::number::NumberPair;

use super::disk::{Happened, KIND};
use super::knobs::{Fault, Line};
use super::trace::Lane;
use super::world::World;

/// What the oracle remembers.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Commands that went to a disk, by attempt or operation.
    sent: BTreeMap<String, u32>,
    /// The highest epoch under which a command went to a disk.
    epochs: BTreeMap<DiskNumber, u64>,
    assigned: BTreeSet<String>,
    owners: BTreeMap<DiskNumber, usize>,
    /// Blanks that were voided, by order.
    blanks: BTreeMap<String, u32>,
    /// When the ledger went back last.
    went_back_ms: Option<u64>,
}

impl Oracle {
    pub(super) fn ledger_went_back(&mut self, now_ms: u64) {
        self.went_back_ms = Some(now_ms);
        // The new generation begins with lower epochs.
        self.epochs.clear();
        // An agent that lost its journal too lets the new generation use a number again.
        self.sent.clear();
    }
}

/// The number that must come next, as the journal has accounted.
fn journal_base(journal: &taxdisk_agent::journal::memory::Memory, disk: &DiskNumber) -> Option<NumberPair> {
    journal.accounting(disk, KIND)?.base.next()
}

fn is_void(status: NumberStatus) -> bool {
    matches!(status, NumberStatus::PositiveVoid | NumberStatus::NegativeVoid)
}

impl World {
    /// Where the invoices of a job are, over all disks.
    pub(super) fn invoices_of(&self, key: &JobKey) -> Vec<(usize, NumberPair)> {
        let mut all = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            let ours = device.ledger.iter().filter(|(_, entry)| entry.by.as_ref().is_some_and(|by| by.key == *key));
            all.extend(ours.map(|(pair, _)| (index, *pair)));
        }
        all
    }

    pub(super) fn device_of(&self, disk: &str) -> Option<usize> {
        self.devices.iter().position(|device| device.number.as_str() == disk)
    }

    /// What took effect in a disk.
    pub(super) fn look_at_disk(&mut self, device: usize) {
        for happened in std::mem::take(&mut self.devices[device].news) {
            match happened {
                Happened::Late => self.trace.state("late_execution"),
                Happened::Signed(pair, attempt) => {
                    self.trace.mix_text(attempt.key.serial.as_str());
                    self.trace.mix(u64::from(pair.number.value()));
                    self.note(Lane::Disk, || format!("disk {device} signs {pair} for {attempt}"));
                    self.signed(device, pair, &attempt);
                }
                Happened::Voided(pair, by) => {
                    self.trace.mix(u64::from(pair.number.value()));
                    self.note(Lane::Disk, || format!("disk {device} voids {pair} for {by}"));
                    if !self.reds_of(pair).is_empty() {
                        self.violate("I1", None, format!("{pair} is reversed and was voided too, by {by}"));
                    }
                }
                Happened::BlankVoided(pair, by) => {
                    self.trace.state("blank_void");
                    self.note(Lane::Disk, || format!("disk {device} voids the blank {pair} for {by}"));
                    let count = self.oracle.blanks.entry(by.clone()).or_default();
                    *count += 1;
                    if *count > 1 {
                        self.violate("I1", None, format!("order {by} voided {pair}, its second blank"));
                    }
                }
            }
        }
    }

    fn reds_of(&self, original: NumberPair) -> Vec<NumberPair> {
        let entries = self.devices.iter().flat_map(|device| device.ledger.iter());
        entries.filter(|(_, entry)| entry.original == Some(original)).map(|(pair, _)| *pair).collect()
    }

    fn signed(&mut self, device: usize, pair: NumberPair, attempt: &AttemptRef) {
        let invoices = self.invoices_of(&attempt.key);
        if invoices.len() > 1 {
            let text = format!("{} has the invoices {}", attempt.key, list(invoices.iter().map(|(_, pair)| pair)));
            return self.violate("I1", Some(attempt.key.clone()), text);
        }
        let Some(original) = self.devices[device].ledger.get(&pair).and_then(|entry| entry.original) else { return };
        let reds = self.reds_of(original);
        let voided = self.devices.iter().any(|device| device.ledger.get(&original).is_some_and(|entry| is_void(entry.status)));
        if reds.len() > 1 || voided {
            let text = format!("{original} is reversed by {}, void: {voided}", list(reds.iter()));
            self.violate("I1", Some(attempt.key.clone()), text);
        }
    }

    /// An issuing command is about to go out.
    pub(super) fn look_at_command(&mut self, at: usize, device: usize, request: &Arc<Request>, expected: NumberPair, epoch: u64) {
        let attempt = request.assignment.attempt.clone();
        let job = Some(attempt.key.clone());
        let journal = &self.pcs[at].journal;
        if journal.intent(&attempt).is_none_or(|intent| intent.expected != expected) {
            self.violate("I8", job.clone(), format!("PC {at} sends {attempt}, and no intent with {expected} is durable"));
        }
        // A ledger that went back twice to one copy gives a number twice; the sequence tells them apart.
        let name = format!("{attempt}, sequence {}", request.assignment.sequence);
        let count = self.oracle.sent.entry(name).or_default();
        *count += 1;
        if *count > 1 {
            self.violate("I4", job.clone(), format!("{attempt} goes to a disk a second time"));
        }
        if self.devices.iter().any(|device| device.may_still_run(&attempt.key)) {
            self.violate("I4", job.clone(), format!("{attempt} goes to a disk while an earlier attempt may still run"));
        }
        let pc = &self.pcs[at];
        let heard_ms = pc.heard_ms();
        if pc.session.standing().up_since.is_none() || self.now.saturating_sub(heard_ms) >= BEGIN_LEASE_S * 1000 {
            let text = format!("{attempt} begins on PC {at}, which was last known to the broker at {heard_ms} ms");
            self.violate("I4", job.clone(), text);
        }
        let number = self.devices[device].number.clone();
        let accounted = journal_base(&self.pcs[at].journal, &number);
        if accounted != Some(expected) {
            let text = format!("{attempt} expects {expected}, and PC {at} has accounted up to before {accounted:?}");
            self.violate("I5", job.clone(), text);
        }
        // Who has not noticed that the broker died works on under the epochs of the generation before, for as long as the begin
        // lease.
        let may_be_old = self.oracle.went_back_ms.is_some_and(|at| self.now < at + BEGIN_LEASE_S * 1000);
        let highest = self.oracle.epochs.entry(number).or_default();
        if epoch < *highest {
            let text = format!("PC {at} sends {attempt} under epoch {epoch}, after one under epoch {highest}");
            self.violate("I7", job.clone(), text);
        } else if !may_be_old {
            *highest = epoch;
        }
        let alone = !self.knobs.on(Fault::OtherProgram)
            && !self.knobs.on(Fault::Shared)
            && self.knobs.line != Line::Component
            && !self.knobs.on(Fault::BlankVoid);
        let current = self.devices[device].current();
        if alone && current != Some(expected) {
            let text =
                format!("{attempt} expects {expected}, and the disk is at {current:?}: a number between is not accounted for");
            self.violate("I5", job, text);
        }
    }

    /// Another changing command is about to go out.
    pub(super) fn look_at_operation(&mut self, at: usize, device: usize, send: &Send) {
        let number = self.devices[device].number.clone();
        let durable = self.pcs[at].journal.open_operation(&number).is_some_and(|open| open.id == send.id);
        if !durable {
            self.violate("I8", None, format!("PC {at} sends operation {}, and no intent is durable", send.id));
        }
        let count = self.oracle.sent.entry(send.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            self.violate("I4", None, format!("operation {} goes to a disk a second time", send.id));
        }
    }

    /// The broker sends a frame: what it is about is durable.
    pub(super) fn look_at_frame(&mut self, pc: usize, frame: &BrokerFrame) {
        match frame {
            BrokerFrame::Grant { disk, .. } => {
                let before = self.oracle.owners.insert(disk.clone(), pc);
                if before.is_some_and(|before| before != pc) {
                    self.trace.state("disk_moved");
                }
            }
            BrokerFrame::Deny { .. } => self.trace.state("two_claimants"),
            BrokerFrame::Recall { .. } => self.trace.state("recall"),
            BrokerFrame::Recount { .. } => self.trace.state("recounted"),
            _ => {}
        }
    }

    /// What became durable at the broker.
    pub(super) fn look_at_changes(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Job { job, event } => {
                    self.trace.mix_text(event.what.name());
                    self.note(Lane::Broker, || {
                        let what = serde_json::to_string(&event.what).unwrap_or_default();
                        format!("{} is {:?}: {}", job.key.serial, job.state, what.chars().take(400).collect::<String>())
                    });
                    self.look_at_event(job, &event.what);
                }
                Change::Number(row) => self.look_at_number(&row.key.disk, row.key.pair, &row.owner),
                Change::Audit(audit) => self.look_at_audit(&audit.what, &audit.body),
                Change::Reconcile(row) if row.what == "number" && row.body.is_some() => self.trace.state("unknown_number"),
                _ => {}
            }
        }
    }

    fn look_at_audit(&mut self, what: &str, body: &serde_json::Value) {
        match what {
            "ledger_went_back" => self.trace.state("ledger_went_back"),
            "number_decided" => self.trace.state("number_decided"),
            "line_decided" => self.trace.state("line_decided"),
            "alarm" => {
                let text = body["text"].as_str().unwrap_or_default().to_owned();
                if text.contains("another journal") {
                    self.trace.state("journal_another");
                } else if text.contains("went back") {
                    self.trace.state("journal_went_back");
                }
                self.note(Lane::Broker, || format!("ALARM: {text}"));
            }
            _ => {}
        }
    }

    fn look_at_number(&mut self, disk: &DiskNumber, pair: NumberPair, owner: &Owner) {
        let Some(device) = self.device_of(disk.as_str()) else { return };
        let by = self.devices[device].ledger.get(&pair).map(|entry| entry.by.clone());
        match (owner, by) {
            (Owner::Ours(attempt), Some(Some(by))) if attempt.key == by.key => {}
            (Owner::Ours(attempt), by) => {
                let text = format!("{pair} is given to {attempt}, and the disk says: {by:?}");
                self.violate("I10", Some(attempt.key.clone()), text);
            }
            (Owner::Foreign, Some(None) | None) => self.trace.state("foreign_number"),
            (Owner::Foreign, Some(Some(by))) => {
                let text = format!("{pair} is entered as another program's, and it is that of {by}");
                self.violate("I10", Some(by.key), text);
            }
        }
    }

    fn look_at_event(&mut self, job: &Job, what: &What) {
        let key = &job.key;
        let state = match what {
            What::Accepted { .. } => "accepted",
            What::Issued { settled: false, .. } => "issued_clean",
            What::Issued { .. } => "issued_by_reading",
            What::NotIssued { .. } => "not_issued",
            What::GivenBack { text, .. } if text.contains("before the command was written") => "withheld",
            What::GivenBack { .. } => "given_back",
            What::Unsettled { text, .. } if text.contains("away too long") => "lapsed",
            What::Unsettled { .. } => "unsettled",
            What::SettledByHand { .. } => "settled_by_hand",
            What::Evidence { kind: EvidenceKind::LateOutcome, named: Some(_), .. } => "late_claim",
            What::Evidence { kind: EvidenceKind::LateOutcome, .. } => "late_outcome",
            What::Evidence { kind: EvidenceKind::Contradiction, .. } => "contradiction",
            What::Cancelled { .. } => "cancelled",
            What::Reissued { .. } => "reissued",
            What::Voided { .. } => "voided",
            What::Recovered { .. } => "recovered",
            _ => "",
        };
        if !state.is_empty() {
            self.trace.state(state);
        }
        let invoices = self.invoices_of(key);
        match what {
            What::Assigned { attempt, .. } => {
                let attempt = AttemptRef { key: key.clone(), attempt: *attempt };
                if !self.oracle.assigned.insert(attempt.to_string()) && self.oracle.went_back_ms.is_none() {
                    self.violate("I4", Some(key.clone()), format!("{attempt} is assigned a second time"));
                }
            }
            What::Issued { invoice, .. } | What::Recovered { invoice, .. } => {
                if job.operation == Operation::Red {
                    self.trace.state("red_issued");
                }
                self.look_at_invoice(key, &invoice.code, &invoice.number, &invoices);
            }
            What::SettledByHand { decision: SettleDecision::Issued, invoice: Some(invoice), .. } => {
                self.look_at_invoice(key, &invoice.code, &invoice.number, &invoices);
            }
            What::Voided { .. } => {
                let original = job.original.as_ref().and_then(|original| original.pair());
                let void = original.is_some_and(|pair| {
                    self.devices.iter().any(|device| device.ledger.get(&pair).is_some_and(|entry| is_void(entry.status)))
                });
                if !void {
                    self.violate("I3", Some(key.clone()), format!("{key} is done, and {original:?} is not void"));
                }
            }
            _ => {}
        }
        let free = matches!(job.state, JobState::Queued | JobState::Failed | JobState::Cancelled) && job.is_proven_not_issued();
        if free && !invoices.is_empty() && self.oracle.went_back_ms.is_none() {
            let text = format!(
                "{key} is {:?} and free to be issued, and has the invoice {}",
                job.state,
                list(invoices.iter().map(|(_, pair)| pair))
            );
            self.violate("I3", Some(key.clone()), text);
        }
    }

    fn look_at_invoice(&mut self, key: &JobKey, code: &str, number: &str, invoices: &[(usize, NumberPair)]) {
        let told = |pair: &NumberPair| pair.code.to_string() == code && pair.number.to_string() == number;
        if !invoices.iter().any(|(_, pair)| told(pair)) {
            let text = format!("{key} is told to be {code} {number}, and has {}", list(invoices.iter().map(|(_, pair)| pair)));
            self.violate("I3", Some(key.clone()), text);
        }
    }

    /// Jobs that have not ended, with how they stand.
    pub(super) fn open_jobs(&self) -> Vec<(JobKey, String)> {
        let open = self.broker.store.jobs.values().filter(|job| job.is_live());
        let mut all: Vec<(JobKey, String)> = open
            .map(|job| {
                let attempt = job.attempts.last().map(|last| format!(" attempt {} {}", last.attempt, last.state.as_str()));
                (job.key.clone(), format!("{:?}{}", job.state, attempt.unwrap_or_default()))
            })
            .collect();
        let lost = self.people.sales.iter().filter(|sale| !sale.accepted && !sale.refused);
        all.extend(lost.map(|sale| (sale.key.clone(), "not accepted".to_owned())));
        all
    }

    /// Everything has come to rest: what became of each job, against the disks.
    pub(super) fn check_end(&mut self) {
        self.flush_acks();
        let jobs: Vec<Arc<Job>> = self.broker.store.jobs.values().cloned().collect();
        for job in &jobs {
            let invoices = self.invoices_of(&job.key);
            let expected = usize::from(job.state == JobState::Issued);
            if invoices.len() != expected {
                let text = format!(
                    "{} ended {:?} with the invoices {}",
                    job.key,
                    job.state,
                    list(invoices.iter().map(|(_, pair)| pair))
                );
                self.violate(if invoices.len() > 1 { "I1" } else { "I3" }, Some(job.key.clone()), text);
            }
        }
        let lost: Vec<JobKey> = self
            .people
            .sales
            .iter()
            .filter(|sale| sale.accepted && !self.broker.store.jobs.contains_key(&sale.key))
            .map(|sale| sale.key.clone())
            .collect();
        for key in lost {
            self.violate("I2", Some(key.clone()), format!("{key} was accepted and is not known any more"));
        }
        self.check_numbers();
    }

    /// Every number that one of our attempts consumed has that owner at the broker.
    fn check_numbers(&mut self) {
        let mut unowned = Vec::new();
        for device in &self.devices {
            for (pair, entry) in &device.ledger {
                let Some(by) = &entry.by else { continue };
                let owner = self.broker.store.numbers.get(&(device.number.clone(), KIND, *pair));
                if !matches!(owner, Some(Owner::Ours(attempt)) if attempt.key == by.key) {
                    unowned.push((by.key.clone(), format!("{pair} is that of {by}, and its owner is {owner:?}")));
                }
            }
        }
        for (key, text) in unowned {
            self.violate("I5", Some(key), text);
        }
    }
}

fn list<'a>(pairs: impl Iterator<Item = &'a NumberPair>) -> String {
    let all: Vec<String> = pairs.map(ToString::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

//! Operations of administrators at a disk: uploads, period reports, clears, readings (decision 0022).
//!
//! One at a time a disk, in the order of their asking, and in line with its jobs: what the disk has at hand ends first, and no
//! job
//! is handed over beside an operation. An operation is handed over once. After a lost link or a restart its agent is asked what
//! became of it; only an agent whose journal went on without a break may begin it then. It refuses to send a changing command
//! again, and to end one because time passed.
//!
//! Read first: [`OperationRow`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use taxdisk_protocol::api::{
    BulkOperationAction, BulkOperationLine, BulkOperationRequest, OperationCancel, OperationKind, OperationRequest,
    OperationResultView, OperationState, OperationVerdict, OperationView,
};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{AgentId, DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{BrokerFrame, OperationOrder};
use taxdisk_protocol::time::Timestamp;

use super::change::Change;
use super::disk::Disk;
use super::types::{Refusal, SessionId};
use super::{Core, Known, Reply};

/// Operations that wait at one disk at most: more is a mistake of a program.
const WAITING: usize = 16;
/// The longest reason that is kept, characters: a paragraph.
const REASON_CHARACTERS: usize = 1000;
/// The longest key, characters.
const KEY_CHARACTERS: usize = 64;
/// The longest key of a bulk operation: the kind is put to it.
const BULK_KEY_CHARACTERS: usize = 56;
/// Operations of one bulk operation at most: they share one commit.
const BULK_LINES: usize = 2000;

/// An operation as it stands now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRow {
    /// As it is shown. Its disk and kind are those below.
    pub view: OperationView,
    /// Its place among all operations; they are handed over in this order.
    pub place: u64,
    /// Disk.
    pub disk: DiskNumber,
    /// Seller of the disk, when it was asked.
    pub seller: Option<TaxpayerNumber>,
    /// Invoice kind, where it is about one.
    pub kind: Option<InvoiceKind>,
    /// It was handed over, and who is asked now may not be who sent it, or his journal is not the one of then: nothing is begun
    /// for it any more.
    #[serde(default)]
    pub doubted: bool,
}

impl OperationRow {
    /// Would sending it twice do something twice?
    fn changes(&self) -> bool {
        !self.view.dry_run && self.view.operation.command().is_some()
    }

    fn order(&self) -> OperationOrder {
        OperationOrder {
            id: self.view.id.clone(),
            what: self.view.operation,
            kind: self.kind,
            dry_run: self.view.dry_run,
            anyway: self.view.anyway,
            settle_only: self.changes() && (self.doubted || self.view.started_at.is_some()),
        }
    }

    fn entry(&self) -> serde_json::Value {
        let view = &self.view;
        json!({
            "id": view.id, "key": view.key, "disk": view.disk, "what": view.operation, "kind": view.kind,
            "dry_run": view.dry_run, "state": view.state,
        })
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct OperationAsk {
    /// Disk.
    pub disk: DiskNumber,
    /// What.
    pub request: OperationRequest,
    /// Key of the bulk operation that it is part of.
    pub bulk: Option<String>,
}

/// The id of an operation: the same for the same disk and key for ever, so that an agent's journal answers also a ledger that
/// went back and is asked again.
pub fn operation_id(disk: &DiskNumber, key: &str, dry_run: bool) -> String {
    let mut hasher = Sha256::new_with_prefix("taxdisk operation v1");
    for text in [disk.as_str(), key, if dry_run { "dry" } else { "" }] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    format!("op_{}", hex::encode(&hasher.finalize()[..12]))
}

/// Operations that have not ended, and those whose end is not durable yet.
#[derive(Debug, Default)]
pub(super) struct Operations {
    rows: BTreeMap<String, OperationRow>,
    /// Those that have not ended, by place.
    by_disk: BTreeMap<DiskNumber, BTreeMap<u64, String>>,
    next_place: u64,
    /// Ended since the last cut, with the revision of then.
    ended: Vec<(String, u64)>,
}

impl Operations {
    pub(super) fn new(rows: Vec<OperationRow>, next_place: u64) -> Operations {
        let mut operations = Operations { next_place, ..Operations::default() };
        for row in rows {
            operations.put(row);
        }
        operations
    }

    fn put(&mut self, row: OperationRow) {
        let id = row.view.id.clone();
        let line = self.by_disk.entry(row.disk.clone()).or_default();
        if row.view.state.is_ended() {
            line.remove(&row.place);
            if line.is_empty() {
                self.by_disk.remove(&row.disk);
            }
            self.ended.push((id.clone(), row.view.revision));
        } else {
            line.insert(row.place, id.clone());
        }
        self.rows.insert(id, row);
    }

    /// Those that ended since the last call.
    pub(super) fn cut(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.ended)
    }

    /// The store knows that these ended. One that was given late evidence since stays, until that is durable too.
    pub(super) fn committed(&mut self, ended: Vec<(String, u64)>) {
        for (id, revision) in ended {
            if self.rows.get(&id).is_some_and(|row| row.view.state.is_ended() && row.view.revision == revision) {
                self.rows.remove(&id);
            }
        }
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.rows.contains_key(id)
    }

    /// The one that is before all jobs of this disk.
    pub(super) fn first(&self, disk: &DiskNumber) -> Option<&OperationRow> {
        self.rows.get(self.by_disk.get(disk)?.values().next()?)
    }

    fn waiting(&self, disk: &DiskNumber) -> usize {
        self.by_disk.get(disk).map_or(0, BTreeMap::len)
    }

    /// How many wait, and how many are at an agent.
    pub(super) fn open(&self) -> (u64, u64) {
        let open = self.by_disk.values().flat_map(BTreeMap::values).filter_map(|id| self.rows.get(id));
        open.fold((0, 0), |(queued, running), row| match row.view.state {
            OperationState::Running => (queued, running + 1),
            _ => (queued + 1, running),
        })
    }

    /// It was handed over and has not ended.
    pub(super) fn is_running(&self, disk: &DiskNumber) -> bool {
        self.first(disk).is_some_and(|row| row.view.state == OperationState::Running)
    }
}

fn count_ended(row: &OperationRow) {
    metrics::counter!("taxdisk_operations_ended_total", "state" => row.view.state.as_str()).increment(1);
}

/// What a job that waits for it is told.
pub(super) fn ahead_text(row: &OperationRow) -> String {
    let view = &row.view;
    format!(
        "disk {} has an operation before it: {} ({}, {}), asked by {}",
        view.disk, view.operation, view.id, view.state, view.by
    )
}

impl Core {
    pub(super) fn operation(&self, id: &str, known: &Known) -> Option<OperationRow> {
        self.operations.rows.get(id).or_else(|| known.operations.get(id)).cloned()
    }

    /// The operation as the API shows it, with what it waits for now.
    pub fn operation_view(&self, row: &OperationRow) -> OperationView {
        let row = self.operations.rows.get(&row.view.id).unwrap_or(row);
        OperationView { waiting: self.waits_for(row), ..row.view.clone() }
    }

    fn waits_for(&self, row: &OperationRow) -> Option<String> {
        let disk = self.disks.get(&row.disk)?;
        let number = &row.disk;
        match row.view.state {
            OperationState::Queued => {}
            OperationState::Running if disk.owner.is_none() => {
                return Some(format!("disk {number} is not connected; its agent is asked what became of it"));
            }
            _ => return None,
        }
        if let Some(first) = self.operations.first(number).filter(|first| first.view.id != row.view.id) {
            return Some(format!("{} ({}) is before it", first.view.operation, first.view.id));
        }
        Some(match self.keeps_from_operating(disk, row) {
            Some(text) => text,
            None => format!("it is handed to disk {number} next"),
        })
    }

    /// Why the first operation of a disk is not handed over now.
    fn keeps_from_operating(&self, disk: &Disk, row: &OperationRow) -> Option<String> {
        let number = &disk.number;
        if disk.claims.len() > 1 {
            return Some(format!("disk {number} is claimed by {} agents", disk.claims.len()));
        }
        if disk.owner.is_none() {
            return Some(format!("disk {number} is not connected"));
        }
        if disk.busy() > 0 {
            return Some(format!("the jobs that disk {number} has at hand end first"));
        }
        if disk.open.values().any(|open| open.asked) {
            return Some(format!("disk {number} is being read for an attempt that is not settled"));
        }
        if row.changes() && row.seller.as_ref().is_some_and(|seller| self.is_reconciling(seller)) {
            return Some("the ledger went back: the disk's numbers are read first; see /v1/reconcile".to_owned());
        }
        None
    }

    pub(super) fn operate(&mut self, ask: OperationAsk, by: &str, known: &Known) -> Result<Reply, Refusal> {
        let OperationAsk { disk: number, request, bulk } = ask;
        let decent = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=KEY_CHARACTERS).contains(&request.key.len()) || !request.key.bytes().all(decent) {
            let text = format!("key: 1 to {KEY_CHARACTERS} letters, digits and -_. are expected");
            return Err(Refusal::new("invalid_parameter", text));
        }
        let id = operation_id(&number, &request.key, request.dry_run);
        // Before anything is checked (I6): what the disk can do may have changed since.
        if let Some(row) = self.operation(&id, known) {
            let same = row.view.operation == request.operation
                && row.view.anyway == request.anyway
                && request.kind.as_ref().is_none_or(|kind| row.view.kind.as_ref() == Some(kind));
            if !same {
                let text = format!("key {:?} of disk {number} is that of another operation: {}", request.key, row.view.operation);
                return Err(Refusal::new("operation_key", text));
            }
            let view = OperationView { repeated: true, ..self.operation_view(&row) };
            return Ok(Reply::Operation(Box::new(view)));
        }
        let kind = self.check_operation(&number, &request)?;
        let reason: String = request.reason.trim().chars().take(REASON_CHARACTERS).collect();
        if reason.is_empty() {
            return Err(Refusal::new("invalid_parameter", "reason: say why; it is kept in the ledger"));
        }
        if self.operations.waiting(&number) >= WAITING {
            return Err(Refusal::new("rate_limited", format!("{WAITING} operations wait at disk {number} already")));
        }
        let now = self.turn.now.to_string();
        let seller = self.disks.get(&number).and_then(|disk| disk.seller.clone());
        let view = OperationView {
            id,
            key: request.key,
            disk: number.to_string(),
            seller: seller.as_ref().map(ToString::to_string),
            operation: request.operation,
            kind: kind.map(|kind| kind.to_string()),
            dry_run: request.dry_run,
            anyway: request.anyway,
            state: OperationState::Queued,
            revision: 0,
            waiting: None,
            by: by.to_owned(),
            reason,
            at: now.clone(),
            changed_at: now,
            agent: None,
            started_at: None,
            result: None,
            late: None,
            bulk,
            repeated: false,
        };
        let place = self.operations.next_place;
        self.operations.next_place += 1;
        let row = OperationRow { view, place, disk: number.clone(), seller, kind, doubted: false };
        let id = row.view.id.clone();
        let mut entry = row.entry();
        entry["by"] = json!(by);
        entry["reason"] = json!(row.view.reason);
        entry["anyway"] = json!(row.view.anyway);
        entry["bulk"] = json!(row.view.bulk);
        self.audit(row.seller.as_ref(), "operation_asked", entry);
        self.keep_operation(row);
        self.hand_operation(&number);
        let row = self.operation(&id, known).ok_or_else(|| Refusal::new("internal", "the operation is gone"))?;
        Ok(Reply::Operation(Box::new(self.operation_view(&row))))
    }

    /// Can the disk do that at all? The kind that it is about.
    pub(super) fn check_operation(
        &self,
        number: &DiskNumber,
        request: &OperationRequest,
    ) -> Result<Option<InvoiceKind>, Refusal> {
        let disk = self.disks.get(number).and_then(|disk| disk.report.as_ref().map(|report| (disk, report)));
        let Some((disk, report)) = disk else {
            return Err(Refusal::new("disk_unknown", format!("disk {number} has never been seen")));
        };
        let impossible = |text: String| Refusal::new("operation_impossible", text);
        let Some(command) = request.operation.command() else {
            if request.kind.is_some() {
                return Err(Refusal::new("invalid_parameter", format!("kind: {} is of all kinds", request.operation)));
            }
            return Ok(None);
        };
        if !report.capabilities.can(command) {
            return Err(impossible(format!("disk {number} cannot do {command}")));
        }
        let kind = match &request.kind {
            Some(kind) => {
                kind.parse::<InvoiceKind>().map_err(|error| Refusal::new("invalid_parameter", format!("kind: {error}")))?
            }
            None if disk.kinds.len() == 1 => *disk.kinds.first().ok_or_else(|| impossible("it has no kind".to_owned()))?,
            None => {
                let kinds = disk.kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(Refusal::new("invalid_parameter", format!("kind: disk {number} has {kinds}; name one")));
            }
        };
        if !disk.kinds.contains(&kind) {
            return Err(impossible(format!("disk {number} has no licence for kind {kind}")));
        }
        Ok(Some(kind))
    }

    /// The row is durable with this turn, and its disk is seen anew.
    fn keep_operation(&mut self, mut row: OperationRow) {
        row.view.revision += 1;
        row.view.changed_at = self.turn.now.to_string();
        self.turn.changes.push(Change::Operation(Box::new(row.clone())));
        let number = row.disk.clone();
        self.operations.put(row);
        self.touch_disk(&number);
    }

    pub(super) fn cancel_operation(
        &mut self,
        id: &str,
        cancel: &OperationCancel,
        by: &str,
        known: &Known,
    ) -> Result<Reply, Refusal> {
        let Some(mut row) = self.operation(id, known) else {
            return Err(Refusal::new("not_found", format!("operation {id} is not known here")));
        };
        let reason: String = cancel.reason.trim().chars().take(REASON_CHARACTERS).collect();
        match row.view.state {
            OperationState::Cancelled => return Ok(Reply::Operation(Box::new(row.view))),
            OperationState::Queued => {}
            // It may have been sent (I4): nobody calls it undone.
            OperationState::Running if !cancel.abandon => {
                return Err(Refusal::new("operation_begun", format!("operation {id} was handed to its agent")));
            }
            OperationState::Running => return self.abandon_operation(row, &reason, by),
            OperationState::Unsettled if cancel.abandon => return Ok(Reply::Operation(Box::new(row.view))),
            state => return Err(Refusal::new("operation_ended", format!("operation {id} has ended: {state}"))),
        }
        row.view.state = OperationState::Cancelled;
        count_ended(&row);
        let mut entry = row.entry();
        entry["by"] = json!(by);
        entry["reason"] = json!(reason);
        self.audit(row.seller.as_ref(), "operation_cancelled", entry);
        let number = row.disk.clone();
        self.keep_operation(row);
        self.pump(&number);
        let row = self.operation(id, known).ok_or_else(|| Refusal::new("internal", "the operation is gone"))?;
        Ok(Reply::Operation(Box::new(row.view)))
    }

    /// A person says that the disk will not come back. What its agent says of it later is evidence, like every late answer.
    fn abandon_operation(&mut self, row: OperationRow, reason: &str, by: &str) -> Result<Reply, Refusal> {
        if let Some(owner) = self.disks.get(&row.disk).and_then(|disk| disk.owner.as_ref()) {
            let text = format!("disk {} is back at agent {}, which is being asked: wait for its answer", row.disk, owner.agent);
            return Err(Refusal::new("operation_begun", text));
        }
        let mut entry = row.entry();
        entry["by"] = json!(by);
        entry["reason"] = json!(reason);
        self.audit(row.seller.as_ref(), "operation_abandoned", entry);
        let text = format!("its agent did not come back, and {by} stopped waiting for it: {reason}");
        let verdict = OperationVerdict::Unsettled { class: DeviceClass::NotPresent, text };
        let id = row.view.id.clone();
        self.end_operation(row, OperationResultView { verdict, before: Default::default(), after: Default::default() });
        let ended = self.operations.rows.get(&id).ok_or_else(|| Refusal::new("internal", "the operation is gone"))?;
        Ok(Reply::Operation(Box::new(self.operation_view(ended))))
    }

    /// Hands over the first operation of a disk, if nothing is at the disk. That is durable before the frame leaves (I8).
    pub(super) fn hand_operation(&mut self, number: &DiskNumber) {
        let Some(mut row) = self.operations.first(number).filter(|row| row.view.state == OperationState::Queued).cloned() else {
            return;
        };
        let Some(disk) = self.disks.get(number) else { return };
        if self.keeps_from_operating(disk, &row).is_some() {
            return;
        }
        let Some(owner) = disk.owner.clone() else { return };
        let epoch = disk.epoch;
        row.view.state = OperationState::Running;
        row.view.agent = Some(owner.agent.to_string());
        let mut entry = row.entry();
        entry["agent"] = json!(owner.agent);
        entry["epoch"] = json!(epoch);
        self.audit(row.seller.as_ref(), "operation_handed", entry);
        let operation = row.order();
        self.keep_operation(row);
        self.send(owner.session, BrokerFrame::Operate { disk: number.clone(), epoch, operation });
    }

    /// The disk was granted: its new owner is asked what became of the operation that was handed over.
    pub(super) fn ask_operation(&mut self, number: &DiskNumber) {
        let Some(mut row) = self.operations.first(number).filter(|row| row.view.state == OperationState::Running).cloned() else {
            return;
        };
        let Some(disk) = self.disks.get(number) else { return };
        let (Some(owner), epoch) = (disk.owner.clone(), disk.epoch) else { return };
        let suspicious = self.sessions.get(&owner.session).is_some_and(|live| live.suspicious);
        let another = row.view.agent.as_deref() != Some(owner.agent.as_str());
        if row.changes() && (another || suspicious) && !row.doubted {
            row.doubted = true;
            self.keep_operation(row.clone());
        }
        let operation = row.order();
        self.send(owner.session, BrokerFrame::Operate { disk: number.clone(), epoch, operation });
    }

    /// The journal of this agent is not the one that it had: what it was handed may have been sent, although it knows nothing of
    /// it.
    pub(super) fn doubt_operations(&mut self, agent: &AgentId) {
        let handed = |row: &&OperationRow| {
            row.view.state == OperationState::Running && row.view.agent.as_deref() == Some(agent.as_str()) && !row.doubted
        };
        let rows: Vec<OperationRow> = self.operations.rows.values().filter(handed).filter(|row| row.changes()).cloned().collect();
        for mut row in rows {
            row.doubted = true;
            self.keep_operation(row);
        }
    }

    /// The agent is about to send it.
    pub(super) fn operating(&mut self, session: SessionId, disk: &DiskNumber, id: &str) {
        let row = self.operations.rows.get(id).filter(|row| row.disk == *disk && row.view.state == OperationState::Running);
        let Some(mut row) = row.filter(|row| row.view.started_at.is_none()).cloned() else { return };
        if !self.owns(session, disk) {
            return;
        }
        row.view.started_at = Some(self.turn.now.to_string());
        self.keep_operation(row);
    }

    /// How an operation ended. Only the disk's owner changes its state; what others say of it is evidence.
    pub(super) fn operated(
        &mut self,
        session: SessionId,
        disk: &DiskNumber,
        id: &str,
        result: OperationResultView,
        known: &Known,
    ) {
        let agent = self.sessions.get(&session).map(|live| live.agent.to_string());
        let Some(mut row) = self.operation(id, known).filter(|row| row.disk == *disk) else {
            // A ledger that went back, or an agent of another ledger. Nothing is thrown away.
            let seller = self.disks.get(disk).and_then(|disk| disk.seller.clone());
            let entry = json!({ "id": id, "disk": disk, "from": agent, "result": result });
            self.audit(seller.as_ref(), "operation_of_unknown", entry);
            return;
        };
        if row.view.state.is_ended() || !self.owns(session, disk) {
            if row.view.result.as_ref() == Some(&result) || row.view.late.as_ref() == Some(&result) {
                return;
            }
            let mut entry = row.entry();
            entry["from"] = json!(agent);
            entry["result"] = json!(result);
            self.audit(row.seller.as_ref(), "operation_late", entry);
            row.view.late = Some(result);
            self.keep_operation(row);
            return;
        }
        if row.view.agent.is_none() {
            row.view.agent = agent;
        }
        self.end_operation(row, result);
    }

    fn end_operation(&mut self, mut row: OperationRow, result: OperationResultView) {
        row.view.state = result.verdict.state();
        row.view.result = Some(result.clone());
        count_ended(&row);
        let mut entry = row.entry();
        entry["agent"] = json!(row.view.agent);
        entry["result"] = json!(result);
        self.audit(row.seller.as_ref(), "operation_ended", entry);
        let mut body = json!({
            "operation": row.view.id, "key": row.view.key, "disk": row.view.disk, "what": row.view.operation,
            "kind": row.view.kind, "dry_run": row.view.dry_run, "state": row.view.state, "text": result.verdict.text(),
            "by": row.view.by,
        });
        if let Some(verdict) = serde_json::to_value(&result.verdict).ok().and_then(|verdict| verdict.get("verdict").cloned()) {
            body["verdict"] = verdict;
        }
        self.announce("disk.operation", row.seller.clone(), body);
        let (number, seller) = (row.disk.clone(), row.seller.clone());
        self.keep_operation(row);
        self.look_drained();
        // The jobs that waited for it.
        if let Some(seller) = seller {
            self.pump_seller(&seller);
        }
        self.pump(&number);
    }

    /// This agent does not know operations: it sent nothing for any.
    pub(super) fn operations_unsupported(&mut self, session: SessionId) {
        let disks: Vec<DiskNumber> =
            self.sessions.get(&session).map(|live| live.disks.iter().cloned().collect()).unwrap_or_default();
        for number in disks.into_iter().filter(|number| self.owns(session, number)).collect::<Vec<_>>() {
            let Some(row) = self.operations.first(&number).filter(|row| row.view.state == OperationState::Running).cloned()
            else {
                continue;
            };
            let class = DeviceClass::Unsupported;
            let verdict = if row.order().settle_only {
                let text = "it may have been sent by a newer agent, and the agent that has the disk now does not know operations: \
                            look at the disk, and update the agent";
                OperationVerdict::Unsettled { class, text: text.to_owned() }
            } else {
                let text = "the agent of this disk does not know operations: update it; nothing was sent";
                OperationVerdict::Refused { class, text: text.to_owned(), anyway: false }
            };
            self.end_operation(row, OperationResultView { verdict, before: Default::default(), after: Default::default() });
        }
    }

    /// Operations of the disks that have some, looked at by time: a disk may have become free without a word.
    pub(super) fn tick_operations(&mut self) {
        let numbers: Vec<DiskNumber> = self.operations.by_disk.keys().cloned().collect();
        for number in numbers {
            self.hand_operation(&number);
        }
    }
}

impl Core {
    /// What a bulk operation is about: each disk, with the kind where the operation has one, and its own key.
    fn bulk_targets(&self, request: &BulkOperationRequest) -> Vec<(DiskNumber, OperationRequest)> {
        let wanted = |disk: &&Disk| {
            disk.report.is_some()
                && request
                    .seller
                    .as_deref()
                    .is_none_or(|seller| disk.seller.as_ref().is_some_and(|inside| inside.as_str() == seller))
        };
        let one = |key: String, kind: Option<String>| OperationRequest {
            key,
            operation: request.operation,
            kind,
            reason: request.reason.clone(),
            dry_run: false,
            anyway: request.anyway,
        };
        let mut targets = Vec::new();
        for disk in self.disks.values().filter(wanted) {
            if request.operation.command().is_none() {
                targets.push((disk.number.clone(), one(request.key.clone(), None)));
                continue;
            }
            for kind in disk.kinds.iter().map(ToString::to_string) {
                if request.kind.as_ref().is_none_or(|wanted| *wanted == kind) {
                    targets.push((disk.number.clone(), one(format!("{}.{kind}", request.key), Some(kind))));
                }
            }
        }
        targets
    }

    /// Ids of its operations.
    pub(super) fn bulk_ids(&self, request: &BulkOperationRequest) -> Vec<String> {
        let targets = self.bulk_targets(request).into_iter().take(BULK_LINES);
        targets.map(|(disk, one)| operation_id(&disk, &one.key, false)).collect()
    }

    /// The same of many disks: each takes part once for each key, however often it is asked.
    pub(super) fn operate_bulk(&mut self, request: &BulkOperationRequest, by: &str, known: &Known) -> Result<Reply, Refusal> {
        let decent = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=BULK_KEY_CHARACTERS).contains(&request.key.len()) || !request.key.bytes().all(decent) {
            let text = format!("key: 1 to {BULK_KEY_CHARACTERS} letters, digits and -_. are expected");
            return Err(Refusal::new("invalid_parameter", text));
        }
        if request.reason.trim().is_empty() {
            return Err(Refusal::new("invalid_parameter", "reason: say why; it is kept in the ledger"));
        }
        let targets = self.bulk_targets(request);
        if targets.len() > BULK_LINES {
            let text = format!("{} operations at once, at most {BULK_LINES} are taken: name a seller", targets.len());
            return Err(Refusal::new("invalid_parameter", text));
        }
        let mut lines = Vec::with_capacity(targets.len());
        for (number, one) in targets {
            let seller = self.disks.get(&number).and_then(|disk| disk.seller.as_ref()).map(ToString::to_string);
            let (disk, kind) = (number.to_string(), one.kind.clone());
            let line = |action, text| BulkOperationLine { disk, seller, kind, action, operation: None, state: None, text };
            let seen = self.operation(&operation_id(&number, &one.key, false), known);
            if seen.is_none()
                && let Some((action, text)) = self.bulk_plan(&number, &one)
            {
                lines.push(line(action, text));
                continue;
            }
            if request.dry_run && seen.is_none() {
                let (action, text) = self.bulk_outlook(&number);
                lines.push(line(action, text));
                continue;
            }
            let ask = OperationAsk { disk: number.clone(), request: one, bulk: Some(request.key.clone()) };
            lines.push(match self.operate(ask, by, known) {
                Ok(Reply::Operation(view)) => {
                    let (action, text) = match (view.repeated, &view.waiting) {
                        (true, _) => (BulkOperationAction::Repeated, view.state.to_string()),
                        (false, None) => (BulkOperationAction::Run, String::new()),
                        (false, Some(text)) => (self.bulk_outlook(&number).0, text.clone()),
                    };
                    BulkOperationLine { operation: Some(view.id), state: Some(view.state), ..line(action, text) }
                }
                Ok(_) => line(BulkOperationAction::Refused, "internal".to_owned()),
                Err(refusal) => line(BulkOperationAction::Refused, refusal.to_string()),
            });
        }
        Ok(Reply::Operations(lines))
    }

    /// What keeps a disk out of a bulk operation; `None`: it takes part.
    fn bulk_plan(&self, number: &DiskNumber, one: &OperationRequest) -> Option<(BulkOperationAction, String)> {
        if let Err(refusal) = self.check_operation(number, one) {
            return Some((BulkOperationAction::Refused, refusal.to_string()));
        }
        let held = self.disks.get(number)?.report.as_ref()?.offline.as_ref()?;
        let nothing = one.operation == OperationKind::Upload && held.count == 0;
        nothing.then(|| (BulkOperationAction::Nothing, "no invoice waits for its upload".to_owned()))
    }

    fn bulk_outlook(&self, number: &DiskNumber) -> (BulkOperationAction, String) {
        let Some(disk) = self.disks.get(number) else { return (BulkOperationAction::Wait, String::new()) };
        if disk.owner.is_none() {
            return (BulkOperationAction::Wait, format!("disk {number} is not connected"));
        }
        let unsettled = disk.open.values().filter(|open| open.unsettled).count();
        let text = match (unsettled, disk.busy()) {
            (0, 0) => String::new(),
            (0, busy) => format!("{busy} jobs that the disk has at hand end first"),
            (unsettled, _) => format!("{unsettled} jobs are unsettled on it: it is refused unless `anyway` is given"),
        };
        (BulkOperationAction::Run, text)
    }
}

/// Which operations to list, newest first. Everything that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperationFilter {
    /// These.
    pub ids: Vec<String>,
    /// Of this disk.
    pub disk: Option<DiskNumber>,
    /// Of disks of these sellers; empty: of all.
    pub sellers: Vec<TaxpayerNumber>,
    /// In this state.
    pub state: Option<OperationState>,
    /// This.
    pub what: Option<OperationKind>,
    /// Of this bulk operation.
    pub bulk: Option<String>,
    /// Asked at or after.
    pub since: Option<Timestamp>,
    /// With a place before this one.
    pub before: Option<u64>,
}

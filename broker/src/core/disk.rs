//! One tax disk as the broker knows it: who owns it, what is open on it, and whether it can take a job.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use taxdisk_protocol::api::{DiskAssignment, DiskReport, Operation, StockView, Waiting};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{AgentId, DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;

use super::change::{DiskFenceRow, WarningRow};
use super::reconcile::Recount;
use super::types::SessionId;
use super::warn::{Burn, WarningKey};
use crate::fault::planted;

/// One attempt runs and one is staged, so that the disk never waits for the network.
pub(crate) const OPEN_ATTEMPTS: usize = 2;
/// A disk with so many unsettled attempts takes nothing more: something is wrong with it, and each grant repeats them all in one
/// frame of at most 1 MiB (64 KiB an invoice).
pub(crate) const UNSETTLED_ATTEMPTS: usize = 8;
/// After a trouble that follows a trouble, a disk rests so long even if it says that it is ready; doubled each time.
const REST_MS: i64 = 1000;
/// The longest rest.
const REST_MAX_MS: i64 = 60_000;
/// A disk in trouble that reports nothing new is tried again after so long; doubled each time.
const PROBE_MS: i64 = 2_000;
/// The longest time between two such tries.
const PROBE_MAX_MS: i64 = 300_000;
/// Invoices whose time is remembered: enough for a median that follows a disk's mood.
const DURATIONS: usize = 31;
const HOUR_MS: i64 = 3_600_000;

/// The live owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskOwner {
    pub(crate) agent: AgentId,
    pub(crate) session: SessionId,
}

/// The last owner that has not released the disk cleanly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) agent: AgentId,
    /// Its link broke without a goodbye; absent while that link is up.
    pub(crate) lost_at: Option<Timestamp>,
}

/// An attempt without a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenRef {
    pub(crate) key: JobKey,
    pub(crate) attempt: u32,
    pub(crate) kind: InvoiceKind,
    pub(crate) unsettled: bool,
    /// The present owner was told of it in its grant and has not answered yet.
    pub(crate) asked: bool,
    /// The owner was asked to give it back.
    pub(crate) recalled: bool,
}

/// Trouble that was proven not to have issued; until a newer report says ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) class: DeviceClass,
    pub(crate) reported_ready: bool,
    pub(crate) rest_until: Timestamp,
    /// A trouble of one attempt may leave the disk as ready as it was, so that no new report comes: then this time ends the hold.
    pub(crate) probe_at: Timestamp,
}

impl Hold {
    /// Nothing is handed to the disk yet. Time only ever delays here; it proves nothing (I4).
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        now < self.rest_until || (!self.reported_ready && now < self.probe_at)
    }
}

/// A disk.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) number: DiskNumber,
    pub(crate) seller: Option<TaxpayerNumber>,
    pub(crate) report: Option<DiskReport>,
    pub(crate) kinds: BTreeSet<InvoiceKind>,
    /// Blank invoices left, as the disk said and less what was issued since.
    left: BTreeMap<InvoiceKind, u32>,
    /// Single-invoice limits, where the disk tells.
    pub(crate) limits: BTreeMap<InvoiceKind, Amount>,
    pub(crate) profile: Option<u32>,
    pub(crate) assignment: Option<DiskAssignment>,
    pub(crate) seen_at: Timestamp,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) claims: BTreeSet<SessionId>,
    pub(crate) denied: HashSet<SessionId>,
    pub(crate) owner: Option<DiskOwner>,
    pub(crate) former: Option<Former>,
    pub(crate) ownerless_since: Timestamp,
    /// By assign sequence.
    pub(crate) open: BTreeMap<u64, OpenRef>,
    pub(crate) hold: Option<Hold>,
    /// Kinds whose last number was refused.
    pub(crate) sold_out: BTreeMap<InvoiceKind, Hold>,
    pub(crate) troubles: u32,
    pub(crate) accounted: BTreeMap<InvoiceKind, NumberPair>,
    pub(crate) waiting_run: u8,
    /// What outsiders were told of it last.
    pub(crate) told_ready: bool,
    /// Since when each kind is in trouble.
    pub(crate) trouble_since: BTreeMap<InvoiceKind, Timestamp>,
    /// Milliseconds of its last invoices.
    pub(super) durations_ms: VecDeque<u64>,
    pub(super) burn: BTreeMap<InvoiceKind, Burn>,
    /// Warnings that are up.
    pub(super) warnings: BTreeMap<WarningKey, WarningRow>,
    /// The ledger went back, and this disk was not recounted yet.
    pub(crate) recount: Option<Recount>,
}

impl Disk {
    pub(crate) fn new(number: DiskNumber, now: Timestamp) -> Disk {
        Disk {
            number,
            seller: None,
            report: None,
            kinds: BTreeSet::new(),
            left: BTreeMap::new(),
            limits: BTreeMap::new(),
            profile: None,
            assignment: None,
            seen_at: now,
            epoch: 0,
            sequence: 0,
            claims: BTreeSet::new(),
            denied: HashSet::new(),
            owner: None,
            former: None,
            ownerless_since: now,
            open: BTreeMap::new(),
            hold: None,
            sold_out: BTreeMap::new(),
            troubles: 0,
            accounted: BTreeMap::new(),
            waiting_run: 0,
            told_ready: false,
            trouble_since: BTreeMap::new(),
            durations_ms: VecDeque::new(),
            burn: BTreeMap::new(),
            warnings: BTreeMap::new(),
            recount: None,
        }
    }

    /// Takes what the disk says of itself.
    pub(crate) fn take_report(&mut self, report: DiskReport, now: Timestamp) {
        self.kinds = report.kinds.iter().filter_map(|kind| kind.parse().ok()).collect();
        self.left = report.stock.iter().filter_map(|stock| Some((stock.kind.parse().ok()?, stock.remaining))).collect();
        let limit = |stock: &StockView| Some((stock.kind.parse().ok()?, stock.invoice_limit.as_deref()?.parse().ok()?));
        // A limit of zero is how some disks write that they have none.
        self.limits = report.stock.iter().filter_map(limit).filter(|(_, limit)| *limit > Amount::ZERO).collect();
        for (kind, hold) in &mut self.sold_out {
            hold.reported_ready |= self.left.get(kind).is_some_and(|left| *left > 0);
        }
        self.seen_at = now;
        if report.health.ready
            && let Some(hold) = &mut self.hold
        {
            hold.reported_ready = true;
        }
        self.report = Some(report);
    }

    /// Jobs go to it: not switched off, and no other seller was assigned than the one inside.
    pub(crate) fn is_enabled(&self) -> bool {
        self.assignment.as_ref().is_none_or(|assigned| {
            assigned.enabled && self.seller.as_ref().is_none_or(|inside| inside.as_str() == assigned.seller)
        })
    }

    /// An outcome of the present owner is missing for an attempt that it was told of.
    pub(crate) fn is_settling(&self) -> bool {
        self.open.values().any(|open| open.asked) || self.unsettled() >= UNSETTLED_ATTEMPTS
    }

    fn unsettled(&self) -> usize {
        self.open.values().filter(|open| open.unsettled).count()
    }

    /// Attempts that run or are staged.
    pub(crate) fn busy(&self) -> usize {
        self.open.values().filter(|open| !open.unsettled).count()
    }

    /// Why it takes no job of this kind now; `None`: it does, as soon as a place is free.
    pub(crate) fn trouble(&self, kind: InvoiceKind, now: Timestamp) -> Option<Waiting> {
        if self.claims.len() > 1 && !planted("two_claimants_granted") {
            return Some(Waiting::Contested);
        }
        if self.owner.is_none() {
            return Some(if self.claims.is_empty() { Waiting::DiskOffline } else { Waiting::Settling });
        }
        if self.is_settling() {
            return Some(Waiting::Settling);
        }
        match &self.report {
            Some(report) if report.health.ready => {}
            Some(report) => return Some(report.health.class.map_or(Waiting::DiskFault, waiting_for)),
            None => return Some(Waiting::DiskOffline),
        }
        if let Some(hold) = &self.hold
            && hold.holds(now)
        {
            // It says that it is well and yet failed one attempt after the other.
            let rests = hold.reported_ready && now < hold.rest_until;
            return Some(if rests { Waiting::Breaker } else { waiting_for(hold.class) });
        }
        let sold_out = self.sold_out.get(&kind).is_some_and(|hold| hold.holds(now));
        if self.left(kind) == 0 || sold_out {
            return Some(Waiting::NoStock);
        }
        self.is_offline_full(kind, now).then_some(Waiting::OverLimit)
    }

    /// Blank invoices of a kind that are left.
    pub(crate) fn left(&self, kind: InvoiceKind) -> u32 {
        self.left.get(&kind).copied().unwrap_or(0)
    }

    /// Attempts of a kind that run or are staged.
    pub(crate) fn busy_of(&self, kind: InvoiceKind) -> usize {
        self.open.values().filter(|open| !open.unsettled && open.kind == kind).count()
    }

    /// The sum that may be issued without an upload, where the disk tells.
    pub(crate) fn offline_amount(&self, kind: InvoiceKind) -> Option<Amount> {
        self.stock_view(kind)?.offline_amount.as_deref()?.parse().ok()
    }

    fn stock_view(&self, kind: InvoiceKind) -> Option<&StockView> {
        let name = kind.to_string();
        self.report.as_ref()?.stock.iter().find(|stock| stock.kind == name)
    }

    /// What may still be issued before an upload, where the disk tells how much it holds and how much it allows.
    pub(crate) fn offline_room(&self, kind: InvoiceKind) -> Option<Amount> {
        let held = self.report.as_ref()?.offline.as_ref().filter(|held| held.count > 0)?;
        self.offline_amount(kind)?.checked_sub(held.sum.parse().ok()?)
    }

    /// A limit on what is not uploaded is reached: the disk would refuse.
    fn is_offline_full(&self, kind: InvoiceKind, now: Timestamp) -> bool {
        let held = self.report.as_ref().and_then(|report| report.offline.as_ref()).filter(|held| held.count > 0);
        let (Some(held), Some(stock)) = (held, self.stock_view(kind)) else { return false };
        let first = held.first.as_deref().and_then(Timestamp::from_disk);
        let late = first
            .zip(stock.offline_hours)
            .is_some_and(|(first, hours)| hours > 0 && now.since_ms(first) >= i64::from(hours).saturating_mul(HOUR_MS));
        let many = held.count_limit.is_some_and(|limit| limit > 0 && held.count >= limit);
        late || many || self.offline_room(kind).is_some_and(|room| room <= Amount::ZERO)
    }

    /// An invoice was issued here.
    pub(crate) fn issued(&mut self, kind: InvoiceKind, pair: NumberPair, disk_ms: Option<u64>, now: Timestamp) {
        self.troubles = 0;
        // A report that came after the signature counts without this number already: its current pair is beyond it.
        let counted = self
            .stock_view(kind)
            .and_then(|stock| stock.current.as_ref())
            .is_none_or(|current| current.code != pair.code.to_string() || current.number > pair.number.to_string());
        if !counted && let Some(left) = self.left.get_mut(&kind) {
            *left = left.saturating_sub(1);
        }
        self.burn.entry(kind).or_default().count(now);
        if let Some(ms) = disk_ms {
            self.durations_ms.push_back(ms);
            if self.durations_ms.len() > DURATIONS {
                self.durations_ms.pop_front();
            }
        }
    }

    /// As [`Disk::trouble`]: a void takes no number, so that it needs no stock.
    pub(crate) fn trouble_for(&self, operation: Operation, kind: InvoiceKind, now: Timestamp) -> Option<Waiting> {
        self.trouble(kind, now).filter(|waiting| operation != Operation::Void || *waiting != Waiting::NoStock)
    }

    /// The agent takes such jobs for it, and it is not the affair of another disk.
    pub(crate) fn may_do(&self, operation: Operation, only: Option<&DiskNumber>) -> bool {
        only.is_none_or(|only| *only == self.number) && self.takes(operation)
    }

    /// The agent takes such jobs for it.
    pub(crate) fn takes(&self, operation: Operation) -> bool {
        self.report.as_ref().is_some_and(|report| report.takes(operation))
    }

    /// A place is free for one more attempt.
    pub(crate) fn has_place(&self) -> bool {
        self.busy() < OPEN_ATTEMPTS
    }

    /// Holds the disk after trouble that is proven not to have issued.
    pub(crate) fn hold(&mut self, class: DeviceClass, kind: InvoiceKind, now: Timestamp) {
        let rest = match self.troubles {
            0 => 0,
            n => REST_MS.saturating_mul(1 << (n - 1).min(10)).min(REST_MAX_MS),
        };
        let probe = PROBE_MS.saturating_mul(1 << self.troubles.min(10)).min(PROBE_MAX_MS);
        self.troubles = self.troubles.saturating_add(1);
        let hold = Hold { class, reported_ready: false, rest_until: now.plus_ms(rest), probe_at: now.plus_ms(probe) };
        if class == DeviceClass::NoStock {
            // Only this kind is gone; the others go on.
            self.sold_out.insert(kind, hold);
            return;
        }
        self.hold = Some(hold);
    }

    /// The broker's clock was set back by so much: moments of before move with it, so that what rests, rests no longer for it.
    pub(crate) fn clock_set_back(&mut self, ms: i64) {
        let back = |at: &mut Timestamp| *at = at.plus_ms(-ms);
        back(&mut self.ownerless_since);
        if let Some(lost_at) = self.former.as_mut().and_then(|former| former.lost_at.as_mut()) {
            back(lost_at);
        }
        for hold in self.hold.iter_mut().chain(self.sold_out.values_mut()) {
            back(&mut hold.rest_until);
            back(&mut hold.probe_at);
        }
    }

    /// The row that fences it.
    pub(crate) fn fence(&self) -> DiskFenceRow {
        let owner = self.owner.as_ref().map(|owner| &owner.agent).or(self.former.as_ref().map(|former| &former.agent));
        DiskFenceRow { disk: self.number.clone(), epoch: self.epoch, sequence: self.sequence, owner: owner.cloned() }
    }
}

/// What a job waits for after this class of trouble.
pub(crate) fn waiting_for(class: DeviceClass) -> Waiting {
    match class {
        DeviceClass::NoStock => Waiting::NoStock,
        DeviceClass::Locked => Waiting::Locked,
        DeviceClass::OverInvoiceLimit
        | DeviceClass::OverOfflineTime
        | DeviceClass::OverOfflineCount
        | DeviceClass::OverOfflineAmount => Waiting::OverLimit,
        DeviceClass::BadPassword => Waiting::Password,
        DeviceClass::NotPresent | DeviceClass::Link => Waiting::DiskOffline,
        DeviceClass::Clock
        | DeviceClass::NumberMismatch
        | DeviceClass::Duplicate
        | DeviceClass::InProgress
        | DeviceClass::Unsupported
        | DeviceClass::InvalidRequest
        | DeviceClass::DeviceFault => Waiting::DiskFault,
    }
}

//! Webhooks as decisions: which event goes to which endpoint when, and what an answer changes. Pure: events, answers, time and
//! chance go in; changes to keep and messages to send come out.
//!
//! An event of the stream is, for each endpoint, in exactly one of two places: beyond the endpoint's *cursor*, or in a row of
//! *deliveries*. [`Machine::take_in`] moves it from one to the other in one commit. A row waits until it is delivered, or given
//! up while others were taken; nothing else removes it from waiting. So an endpoint that is switched off, by a person or by us,
//! keeps everything.
//!
//! Order: the events of one job are never sent at the same time, and in the order of their revisions as long as the older one
//! is within its first [`HELD_TRIES`] attempts (about five minutes). After that the newer one goes first, and the older one
//! says `superseded` when it comes.
//!
//! Read first: [`Machine`], [`WebhookRow`], [`DeliveryRow`].

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use taxdisk_protocol::event::{DeliveryState, Signing};
use taxdisk_protocol::ids::{JobKey, SerialNumber, TaxpayerNumber};
use taxdisk_protocol::time::Timestamp;
use taxdisk_web::webhook::Sent;
use taxdisk_web::webhook::schedule::{self, Outcome};

use super::announcement::Announcement;
use super::change::{Audit, Change};

#[cfg(test)]
mod tests;

/// A newer event of a job waits for an older one that was tried fewer times than this.
pub const HELD_TRIES: u64 = 3;
/// Attempts of a delivery that are kept for people; the newest ones.
const KEPT_ATTEMPTS: usize = 12;
/// An outage: nothing was taken for so long, milliseconds, and of several events. Its end brings everything forward that waits.
/// One event that is not wanted is no outage.
const OUTAGE_MS: i64 = 60_000;
/// So many events at least.
const OUTAGE_EVENTS: usize = 2;
/// Waiting deliveries of an endpoint that a replay may add to at most; a replay takes no more than that at once.
pub const MAX_REPLAY: usize = 1000;

/// An endpoint with everything that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRow {
    /// `wh_` and 16 hex digits.
    pub id: String,
    /// Address.
    pub url: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Patterns of types; empty: all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Sellers; empty: all.
    #[serde(default)]
    pub sellers: Vec<TaxpayerNumber>,
    /// How it signs.
    pub signing: Signing,
    /// Secret in force, as text. It must be readable: we sign with it.
    pub secret: String,
    /// The one before, and until when it signs too.
    #[serde(default)]
    pub old_secret: Option<(String, Timestamp)>,
    /// A person wants messages sent.
    pub enabled: bool,
    /// We switched it off.
    #[serde(default)]
    pub disabled: Option<Disabled>,
    /// All events up to here have been taken in.
    pub cursor: u64,
    /// Nothing was taken since.
    #[serde(default)]
    pub failing_since: Option<Timestamp>,
    /// Something was taken last.
    #[serde(default)]
    pub delivered_at: Option<Timestamp>,
    /// Made.
    pub created_at: Timestamp,
    /// By which key.
    pub created_by: String,
}

/// Why we switched an endpoint off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// When.
    pub at: Timestamp,
    /// `gone` or `failing`.
    pub reason: String,
    /// For people.
    pub text: String,
}

impl WebhookRow {
    /// Messages are sent to it.
    pub fn is_open(&self) -> bool {
        self.enabled && self.disabled.is_none()
    }

    /// Is this event for it?
    pub fn wants(&self, announcement: &Announcement) -> bool {
        let seller = match &announcement.seller {
            Some(seller) => self.sellers.is_empty() || self.sellers.contains(seller),
            None => self.sellers.is_empty(),
        };
        seller && taxdisk_protocol::event::is_wanted(&self.events, &announcement.kind)
    }
}

/// One attempt, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// Status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Milliseconds.
    pub ms: u64,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// One event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// Endpoint.
    pub webhook: String,
    /// Position of the event in the stream.
    pub position: u64,
    /// Id of the event.
    pub event: String,
    /// Type.
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// Seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<TaxpayerNumber>,
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<SerialNumber>,
    /// Revision of the job.
    #[serde(default)]
    pub revision: u64,
    /// How it stands.
    pub state: DeliveryState,
    /// The next attempt.
    pub next_at: Timestamp,
    /// Attempts in all.
    pub tries: u64,
    /// Attempts since it was taken in or replayed: the place in the schedule.
    pub round: u64,
    /// First attempt of this round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// The newest attempts, oldest first.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

impl DeliveryRow {
    fn job(&self) -> Option<JobKey> {
        Some(JobKey { seller: self.seller.clone()?, serial: self.serial.clone()? })
    }
}

/// An announcement with its place in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncementRow {
    /// Grows with every announcement of this ledger.
    pub position: u64,
    /// [`Announcement::tag`], as it was stored.
    pub tag: String,
    /// The announcement.
    pub announcement: Announcement,
}

impl AnnouncementRow {
    /// The event's id: it stays the same for ever, and holds no full stop.
    pub fn id(&self) -> String {
        format!("evt_{}_{}", self.position, self.tag)
    }
}

/// Position and tag of an event's id.
pub fn parse_id(id: &str) -> Option<(u64, &str)> {
    let (position, tag) = id.strip_prefix("evt_")?.split_once('_')?;
    let decent = position.bytes().all(|b| b.is_ascii_digit()) && tag.len() == 12 && tag.bytes().all(|b| b.is_ascii_hexdigit());
    if decent { Some((position.parse().ok()?, tag)) } else { None }
}

/// How deliveries go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Delays between attempts, milliseconds.
    pub delays_ms: Vec<i64>,
    /// An endpoint that took nothing for so long is switched off, milliseconds.
    pub disable_after_ms: i64,
    /// Messages on their way to one endpoint at the same time; one while it fails.
    pub concurrency: usize,
    /// Deliveries of one endpoint that wait at most; more events stay in the stream. About 1 KiB each.
    pub max_waiting: usize,
    /// Endpoints at most.
    pub max_webhooks: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            delays_ms: schedule::DELAYS_MS.to_vec(),
            disable_after_ms: 5 * 24 * 3_600_000,
            concurrency: 4,
            max_waiting: 1000,
            max_webhooks: 256,
        }
    }
}

#[derive(Debug)]
struct Hook {
    row: WebhookRow,
    waiting: BTreeMap<u64, DeliveryRow>,
    running: BTreeSet<u64>,
    /// Not taken since the last one that was; forgotten at a start.
    refused: BTreeSet<u64>,
    /// The receiver asked for silence until then.
    not_before: Timestamp,
}

/// All endpoints and what waits for them.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    hooks: BTreeMap<String, Hook>,
}

impl Machine {
    /// As the store has it. Rows of endpoints that are not there are left out.
    pub fn new(settings: Settings, rows: Vec<WebhookRow>, waiting: Vec<DeliveryRow>) -> Machine {
        let mut machine = Machine { settings, hooks: BTreeMap::new() };
        for row in rows {
            machine.insert(row);
        }
        for delivery in waiting {
            if let Some(hook) = machine.hooks.get_mut(&delivery.webhook) {
                hook.waiting.insert(delivery.position, delivery);
            }
        }
        machine
    }

    fn insert(&mut self, row: WebhookRow) {
        let not_before = Timestamp(i64::MIN);
        let hook = Hook { row, waiting: BTreeMap::new(), running: BTreeSet::new(), refused: BTreeSet::new(), not_before };
        self.hooks.insert(hook.row.id.clone(), hook);
    }

    /// Endpoints by id.
    pub fn rows(&self) -> impl Iterator<Item = (&WebhookRow, usize)> {
        self.hooks.values().map(|hook| (&hook.row, hook.waiting.len()))
    }

    /// One endpoint, and how many deliveries wait.
    pub fn row(&self, id: &str) -> Option<(&WebhookRow, usize)> {
        self.hooks.get(id).map(|hook| (&hook.row, hook.waiting.len()))
    }

    /// There is room for one more endpoint.
    pub fn has_room(&self) -> bool {
        self.hooks.len() < self.settings.max_webhooks
    }

    /// A new or changed endpoint. One that is open again begins at once with what it has.
    pub fn put(&mut self, row: WebhookRow, what: &'static str, by: &str, now: Timestamp) -> Vec<Change> {
        let mut changes = vec![Change::Webhook(row.clone()), audit(&row, what, by, now)];
        match self.hooks.get_mut(&row.id) {
            None => self.insert(row),
            Some(hook) => {
                let reopened = row.is_open() && !hook.row.is_open();
                hook.row = row;
                if reopened {
                    hook.not_before = now;
                    bring_forward(hook, now, &mut changes);
                }
            }
        }
        changes
    }

    /// The endpoint and all its deliveries go.
    pub fn remove(&mut self, id: &str, by: &str, now: Timestamp) -> Vec<Change> {
        let Some(hook) = self.hooks.remove(id) else { return Vec::new() };
        vec![Change::WebhookGone(id.to_owned()), audit(&hook.row, "webhook_deleted", by, now)]
    }

    /// Endpoints that can take events in, with their cursor and how many more may wait.
    pub fn hungry(&self, tip: u64) -> Vec<(String, u64, usize)> {
        let room = |hook: &Hook| self.settings.max_waiting.saturating_sub(hook.waiting.len());
        self.hooks
            .values()
            .filter(|hook| hook.row.is_open() && hook.row.cursor < tip && room(hook) > 0)
            .map(|hook| (hook.row.id.clone(), hook.row.cursor, room(hook)))
            .collect()
    }

    /// Takes in the events after the cursor. `announcements` are all of the stream after it, in order, without a gap.
    pub fn take_in(&mut self, id: &str, announcements: &[AnnouncementRow], now: Timestamp) -> Vec<Change> {
        let Some(hook) = self.hooks.get_mut(id) else { return Vec::new() };
        let mut changes = Vec::new();
        let known = hook.row.cursor;
        for row in announcements.iter().filter(|row| row.position > known) {
            hook.row.cursor = row.position;
            if hook.row.wants(&row.announcement) {
                let delivery = fresh(id, row, now);
                changes.push(Change::Delivery(delivery.clone()));
                hook.waiting.insert(row.position, delivery);
            }
        }
        if !announcements.is_empty() {
            changes.push(Change::Webhook(hook.row.clone()));
        }
        changes
    }

    /// Messages to send now. Each counts as running until [`Machine::finished`].
    pub fn due(&mut self, now: Timestamp) -> Vec<(WebhookRow, DeliveryRow)> {
        let mut due = Vec::new();
        for hook in self.hooks.values_mut().filter(|hook| hook.row.is_open() && hook.not_before <= now) {
            let most = if hook.row.failing_since.is_some() { 1 } else { self.settings.concurrency };
            // A job of which an older event is on its way, or must come first.
            let mut busy: HashSet<JobKey> = HashSet::new();
            let mut chosen = Vec::new();
            for (position, delivery) in &hook.waiting {
                if hook.running.len() + chosen.len() >= most {
                    break;
                }
                let job = delivery.job();
                let is_held = job.as_ref().is_some_and(|job| busy.contains(job));
                let runs = hook.running.contains(position);
                let is_due = !runs && !is_held && delivery.next_at <= now;
                if let Some(job) = job
                    && (runs || is_due || delivery.round < HELD_TRIES)
                {
                    busy.insert(job);
                }
                if is_due {
                    chosen.push(*position);
                }
            }
            for position in chosen {
                hook.running.insert(position);
                due.extend(hook.waiting.get(&position).map(|delivery| (hook.row.clone(), delivery.clone())));
            }
        }
        due
    }

    /// An attempt came back.
    pub fn finished(
        &mut self,
        id: &str,
        position: u64,
        sent: &Sent,
        began: Timestamp,
        now: Timestamp,
        chance: u32,
    ) -> Vec<Change> {
        // The endpoint may have been deleted meanwhile.
        let Some(hook) = self.hooks.get_mut(id) else { return Vec::new() };
        hook.running.remove(&position);
        let Some(mut delivery) = hook.waiting.remove(&position) else { return Vec::new() };
        let before = hook.row.clone();
        delivery.tries += 1;
        delivery.round += 1;
        delivery.first_at.get_or_insert(began);
        delivery.attempts.push(Attempt { at: began, status: sent.status, ms: sent.ms, text: sent.text.clone() });
        if delivery.attempts.len() > KEPT_ATTEMPTS {
            delivery.attempts.remove(0);
        }
        let mut changes = Vec::new();
        match sent.outcome {
            Outcome::Delivered => {
                delivery.state = DeliveryState::Delivered;
                hook.row.delivered_at = Some(now);
                let refused = std::mem::take(&mut hook.refused).len();
                let since = hook.row.failing_since.take();
                if refused >= OUTAGE_EVENTS && since.is_some_and(|since| now.since_ms(since) >= OUTAGE_MS) {
                    bring_forward(hook, now, &mut changes);
                }
            }
            Outcome::Gone => {
                delivery.next_at = now;
                hook.row.failing_since.get_or_insert(now);
                disable(&mut hook.row, "gone", "the endpoint answered 410: it wants nothing any more", now, &mut changes);
            }
            Outcome::Failed { after_ms } => {
                let since = *hook.row.failing_since.get_or_insert(now);
                hook.refused.insert(position);
                let asked = after_ms.map(|ms| now.plus_ms(ms));
                if let Some(until) = asked {
                    hook.not_before = hook.not_before.max(until);
                }
                let tries = usize::try_from(delivery.round).unwrap_or(usize::MAX);
                let last = self.settings.delays_ms.last().copied().unwrap_or(60_000);
                // Others were taken since the first attempt: it is the message that is not wanted, not the endpoint that is
                // away.
                let others = hook.row.delivered_at.is_some_and(|at| delivery.first_at.is_some_and(|first| at > first));
                match schedule::delay(&self.settings.delays_ms, tries, chance) {
                    None if others => delivery.state = DeliveryState::Failed,
                    delay => {
                        let delay = delay.unwrap_or_else(|| schedule::jittered(last, chance));
                        delivery.next_at = asked.unwrap_or(now).max(now.plus_ms(delay));
                    }
                }
                if now.since_ms(since) >= self.settings.disable_after_ms {
                    let text = format!("nothing was taken since {since}; the last attempt: {}", last_word(sent));
                    disable(&mut hook.row, "failing", &text, now, &mut changes);
                }
            }
        }
        changes.push(Change::Delivery(delivery.clone()));
        if delivery.state == DeliveryState::Waiting {
            hook.waiting.insert(position, delivery);
        }
        if hook.row != before {
            changes.push(Change::Webhook(hook.row.clone()));
        }
        changes
    }

    /// Sends again what was sent or given up. Rows that wait already are brought forward. None: too many wait already.
    pub fn replay(&mut self, id: &str, rows: Vec<DeliveryRow>, by: &str, now: Timestamp) -> Option<Vec<Change>> {
        let hook = self.hooks.get_mut(id)?;
        if hook.waiting.len() > MAX_REPLAY {
            return None;
        }
        let mut changes = Vec::new();
        for row in rows.into_iter().take(MAX_REPLAY) {
            if hook.running.contains(&row.position) {
                continue;
            }
            let mut row = hook.waiting.get(&row.position).cloned().unwrap_or(row);
            row.state = DeliveryState::Waiting;
            (row.next_at, row.round, row.first_at) = (now, 0, None);
            changes.push(Change::Delivery(row.clone()));
            hook.waiting.insert(row.position, row);
        }
        changes.push(audit(&hook.row, "webhook_replayed", by, now));
        Some(changes)
    }

    /// When something may become due by time alone.
    pub fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let open = self.hooks.values().filter(|hook| hook.row.is_open());
        let times = open.flat_map(|hook| {
            let waiting = hook.waiting.iter().filter(|(position, _)| !hook.running.contains(position));
            waiting.map(|(_, delivery)| delivery.next_at.max(hook.not_before))
        });
        // What is due and not sent waits for an answer, not for time.
        times.filter(|at| *at > now).min()
    }

    /// Up to where no endpoint needs the stream any more.
    pub fn needed_after(&self, tip: u64) -> u64 {
        let of = |hook: &Hook| hook.waiting.keys().next().map_or(hook.row.cursor, |first| hook.row.cursor.min(first - 1));
        self.hooks.values().map(of).min().unwrap_or(tip)
    }
}

/// A delivery of an event that was not tried yet.
pub fn fresh(webhook: &str, row: &AnnouncementRow, now: Timestamp) -> DeliveryRow {
    let announcement = &row.announcement;
    DeliveryRow {
        webhook: webhook.to_owned(),
        position: row.position,
        event: row.id(),
        kind: announcement.kind.clone(),
        at: announcement.at,
        seller: announcement.seller.clone(),
        serial: announcement.serial.clone(),
        revision: announcement.revision,
        state: DeliveryState::Waiting,
        next_at: now,
        tries: 0,
        round: 0,
        first_at: None,
        attempts: Vec::new(),
    }
}

fn last_word(sent: &Sent) -> String {
    match sent.status {
        Some(status) => format!("status {status} {}", sent.text),
        None => sent.text.clone(),
    }
}

/// Everything that waits is due now; it is sent in the order of the stream, within the usual bounds.
fn bring_forward(hook: &mut Hook, now: Timestamp, changes: &mut Vec<Change>) {
    for delivery in hook.waiting.values_mut().filter(|delivery| delivery.next_at > now) {
        delivery.next_at = now;
        changes.push(Change::Delivery(delivery.clone()));
    }
}

fn disable(row: &mut WebhookRow, reason: &str, text: &str, now: Timestamp, changes: &mut Vec<Change>) {
    if row.disabled.is_some() {
        return;
    }
    row.disabled = Some(Disabled { at: now, reason: reason.to_owned(), text: text.to_owned() });
    let seller = if let [seller] = row.sellers.as_slice() { Some(seller.clone()) } else { None };
    let body = serde_json::json!({ "webhook": row.id, "reason": reason, "text": text });
    changes.push(Change::Announcement(Announcement::of(now, "webhook.disabled", seller, body)));
    changes.push(audit(row, "webhook_disabled", "broker", now));
}

/// Without secrets and without the path, which may hold one.
fn audit(row: &WebhookRow, what: &'static str, by: &str, at: Timestamp) -> Change {
    let body = serde_json::json!({
        "by": by, "webhook": row.id, "host": host(&row.url), "events": row.events, "sellers": row.sellers, "enabled": row.enabled,
    });
    Change::Audit(Audit { seller: None, at, what: what.into(), body })
}

/// Scheme, host and port of an address.
pub fn host(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    &url[..end]
}

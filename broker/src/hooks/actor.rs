//! The task: takes in, keeps, sends, waits; in this order, again and again.

use std::time::{Duration, Instant, SystemTime};

use taxdisk_protocol::time::Timestamp;
use taxdisk_protocol::trace::Traceparent;
use taxdisk_telemetry::{Kind, Span};
use taxdisk_web::outbound::Outbound;
use taxdisk_web::webhook::schedule::Outcome;
use taxdisk_web::webhook::{self, Message, Sent};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Op, signers};
use crate::config;
use crate::core::change::Change;
use crate::core::webhooks::{DeliveryRow, Machine, WebhookRow};
use crate::fault;
use crate::ledger::Ledger;
use crate::serve::stopped;

/// Events that are taken in at once.
const PAGE: usize = 256;
/// Answers and calls that share one commit at most.
const BATCH: usize = 256;
/// How often old events are forgotten, a few thousand at a time.
const FORGET: Duration = Duration::from_secs(60);
/// Time is looked at again after so long at the latest: a clock may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// At the end, so long is waited for answers that are under way.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// After the store could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// What an attempt came to.
struct Done {
    webhook: String,
    position: u64,
    sent: Sent,
    began: Timestamp,
}

pub(super) struct Actor {
    ledger: Ledger,
    outbound: Option<Outbound>,
    ops: mpsc::Receiver<Op>,
    settings: crate::core::webhooks::Settings,
    keep_ms: i64,
    running: JoinSet<Done>,
    looked: Instant,
}

impl Actor {
    pub(super) fn new(ledger: Ledger, config: &config::Webhooks, outbound: Option<Outbound>, ops: mpsc::Receiver<Op>) -> Actor {
        let keep_ms = i64::try_from(config.keep_days).unwrap_or(i64::MAX).saturating_mul(24 * 3_600_000);
        Actor { ledger, outbound, ops, settings: config.machine(), keep_ms, running: JoinSet::new(), looked: Instant::now() }
    }

    /// Runs until the broker stops or the ledger ends.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let (rows, waiting) = loop {
            match self.ledger.store().webhooks().await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::error!(%error, "the webhooks cannot be read; nothing is sent");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = stopped(&mut stopping) => return,
                    }
                }
            }
        };
        let mut machine = Machine::new(self.settings.clone(), rows, waiting);
        let mut tip = self.ledger.feed().tip();
        let ledger = self.ledger.clone();
        let mut ended = std::pin::pin!(ledger.ended());
        let mut changes = Vec::new();
        let mut replies = Vec::new();
        loop {
            let known = *tip.borrow_and_update();
            let again = self.take_in(&mut machine, known, &mut changes).await;
            self.forget(&machine, known, &mut changes).await;
            // If we stop before this is durable, everything is as it was, and what was sent is sent again.
            let kept = self.ledger.keep(std::mem::take(&mut changes)).await.is_ok();
            for reply in replies.drain(..) {
                let reply: Box<dyn FnOnce(bool) + Send> = reply;
                reply(kept);
            }
            if !kept {
                return;
            }
            self.send(&mut machine);
            let now = self.ledger.now();
            let wait = machine
                .next_at(now)
                .map_or(LONGEST_WAIT, |at| Duration::from_millis(at.since_ms(now).max(0).unsigned_abs()).min(LONGEST_WAIT));
            let wait = if again { Duration::ZERO } else { wait };
            let mut finished = Vec::new();
            let mut asked = Vec::new();
            tokio::select! {
                Some(op) = self.ops.recv() => asked.push(op),
                Some(done) = self.running.join_next() => finished.extend(done),
                _ = tip.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut stopping) => break,
                () = &mut ended => return,
            }
            while finished.len() < BATCH
                && let Some(done) = self.running.try_join_next()
            {
                finished.extend(done);
            }
            while asked.len() < BATCH
                && let Ok(op) = self.ops.try_recv()
            {
                asked.push(op);
            }
            self.note(&mut machine, finished, &mut changes);
            for op in asked {
                let (made, reply) = op(&mut machine, self.ledger.now());
                changes.extend(made);
                replies.push(reply);
            }
        }
        self.end(machine).await;
    }

    /// Takes in what is new for whoever has room. True: there is more.
    async fn take_in(&self, machine: &mut Machine, tip: u64, changes: &mut Vec<Change>) -> bool {
        let mut again = false;
        for (id, cursor, room) in machine.hungry(tip) {
            match self.ledger.feed().after(self.ledger.store().as_ref(), cursor, room.min(PAGE)).await {
                Ok(rows) => {
                    let rows: Vec<_> = rows.iter().map(|row| row.as_ref().clone()).collect();
                    again |= rows.last().is_some_and(|last| last.position < tip);
                    changes.extend(machine.take_in(&id, &rows, self.ledger.now()));
                }
                Err(error) => {
                    tracing::error!(%error, "the stream of events cannot be read");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        again
    }

    /// Sends what is due, each message in a task of its own.
    fn send(&mut self, machine: &mut Machine) {
        let Some(outbound) = &self.outbound else { return };
        for (row, delivery) in machine.due(self.ledger.now()) {
            self.running.spawn(deliver(self.ledger.clone(), outbound.clone(), row, delivery));
        }
    }

    fn note(&self, machine: &mut Machine, finished: Vec<Done>, changes: &mut Vec<Change>) {
        let now = self.ledger.now();
        if !finished.is_empty() {
            fault::point("after_webhook_answer");
        }
        for done in finished {
            let result = if done.sent.outcome == Outcome::Delivered { "delivered" } else { "failed" };
            metrics::counter!("taxdisk_webhook_attempts_total", "result" => result).increment(1);
            let made = machine.finished(&done.webhook, done.position, &done.sent, done.began, now, rand::random());
            for change in &made {
                if let Change::Webhook(row) = change
                    && let Some(disabled) = row.disabled.as_ref().filter(|disabled| disabled.at == now)
                {
                    tracing::warn!(webhook = row.id, reason = disabled.reason, "webhook switched off: {}", disabled.text);
                }
            }
            changes.extend(made);
        }
    }

    /// What is old and needed by nobody goes, a little at a time.
    async fn forget(&mut self, machine: &Machine, tip: u64, changes: &mut Vec<Change>) {
        if self.looked.elapsed() < FORGET {
            return;
        }
        self.looked = Instant::now();
        let before = Timestamp(self.ledger.now().0.saturating_sub(self.keep_ms));
        let oldest = self.ledger.store().announcements(0, 1).await.unwrap_or_default();
        if oldest.first().is_some_and(|row| row.announcement.at < before) {
            changes.push(Change::ForgetAnnouncements { up_to: machine.needed_after(tip), before });
        }
    }

    /// Nothing new is sent; answers that are about to come are kept, so that fewer messages come twice.
    async fn end(mut self, mut machine: Machine) {
        let end = tokio::time::Instant::now() + LAST_ANSWERS;
        let mut changes = Vec::new();
        while let Ok(Some(done)) = tokio::time::timeout_at(end, self.running.join_next()).await {
            self.note(&mut machine, done.into_iter().collect(), &mut changes);
        }
        // Without a ledger there is nobody to tell: the rows wait, and the messages are sent again.
        let _ = self.ledger.keep(changes).await;
    }
}

async fn deliver(ledger: Ledger, outbound: Outbound, row: WebhookRow, delivery: DeliveryRow) -> Done {
    let (began, start) = (ledger.now(), SystemTime::now());
    let mut trace = None;
    let sent = attempt(&ledger, &outbound, &row, &delivery, began, &mut trace).await.unwrap_or_else(|text| {
        let outcome = Outcome::Failed { after_ms: None };
        Sent { outcome, status: None, ms: 0, text }
    });
    if let Some((at, job)) = trace {
        let failed = (sent.outcome != Outcome::Delivered).then(|| sent.text.clone());
        let span = Span::part(at, job, "webhook", Kind::Client, start, SystemTime::now()).failed(failed);
        span.with("taxdisk.webhook", &row.id)
            .with("taxdisk.event", &delivery.event)
            .with("taxdisk.try", delivery.tries + 1)
            .tell();
    }
    tracing::debug!(webhook = row.id, event = delivery.event, status = sent.status, ms = sent.ms, "webhook sent");
    Done { webhook: row.id, position: delivery.position, sent, began }
}

async fn attempt(
    ledger: &Ledger,
    outbound: &Outbound,
    row: &WebhookRow,
    delivery: &DeliveryRow,
    now: Timestamp,
    trace: &mut Option<(Traceparent, Traceparent)>,
) -> Result<Sent, String> {
    // Judged again: the configuration may have become stricter since.
    let target = outbound.target(&row.url).map_err(|error| error.0)?;
    let unreadable = |error: crate::store::StoreError| format!("the event cannot be read here: {error}");
    let store = ledger.store().as_ref();
    let found = ledger.feed().after(store, delivery.position.saturating_sub(1), 1).await.map_err(unreadable)?;
    let announcement = found.into_iter().find(|found| found.position == delivery.position && found.id() == delivery.event);
    let announcement = announcement.ok_or("the event is not kept any more")?;
    // Of an event about a job: the try's own place, under the job's.
    let job = announcement.announcement.body["traceparent"].as_str().and_then(|text| text.parse::<Traceparent>().ok());
    *trace = job.and_then(|job| Some((job.at(rand::random())?, job)));
    let body = ledger.feed().seen(store, announcement).await.map_err(unreadable)?.body();
    let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
    let message = Message { id: &delivery.event, at: now, body: body.into(), trace: trace.map(|(at, _)| at) };
    Ok(webhook::send(outbound, &target, &signers(row, now), &message).await)
}

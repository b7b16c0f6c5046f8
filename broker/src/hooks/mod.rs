//! Webhooks: the shell around [`crate::core::webhooks`]. One task owns all endpoints; it takes events in, sends what is due and
//! keeps what came of it.
//!
//! # Why nothing is lost
//!
//! 1. An announcement is a change of the same commit as the job's event that it tells of ([`crate::core::announcement`]): there
//!    is no moment at which one is durable and the other is not.
//! 2. The store gives announcements positions in one stream. A reader that sees a position sees all smaller ones too (one
//!    writer commits; see [`crate::store::Store::announcements`]), so a cursor that goes from page to page skips nothing.
//! 3. Moving the cursor over an event and making its delivery row is one commit. If we stop before it, the event is beyond the
//!    cursor at the next start; if we stop after it, the row waits.
//! 4. A row stops waiting only in the commit that holds the attempt which was answered 2xx, or which was the last of the
//!    schedule while the endpoint took others. If we stop between the answer and that commit, the message is sent again, with
//!    the same id: at least once, never less.
//! 5. Nothing that an endpoint has not taken is forgotten, however long it is switched off (`Machine::needed_after`).
//!
//! # What it refuses
//!
//! To let one endpoint wait for another: each has its own bound on messages under way, and no bound is shared. To call what the
//! guard of [`taxdisk_web::outbound`] does not allow. To hold an event in memory for its own sake: rows wait, the events stay
//! in the store.
//!
//! With several brokers on one database only one may run this task; the others answer the API from the store's rows.
//!
//! Read first: [`Hooks`], `actor`.

use taxdisk_protocol::event::{
    DeliveryAttempt, DeliveryPage, DeliveryState, DeliveryView, NewWebhook, ReplayAnswer, ReplayRequest, RotateRequest, Signing,
    TestAnswer, WebhookDisabled, WebhookRequest, WebhookView, is_pattern,
};
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::time::Timestamp;
use taxdisk_web::outbound::Outbound;
use taxdisk_web::webhook::{self, Message, Secret, Signers};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config;
use crate::core::change::Change;
use crate::core::webhooks::{self, DeliveryRow, MAX_REPLAY, Machine, WebhookRow, parse_id};
use crate::ledger::{Caller, Ledger, Refusal};
use crate::store::DeliveryFilter;

mod actor;

/// Calls that wait for the task at most; more callers wait before the door.
const QUEUE: usize = 64;
/// Description at most, characters.
const MAX_DESCRIPTION: usize = 200;
/// Patterns of one endpoint at most.
const MAX_EVENTS: usize = 32;
/// Sellers of one endpoint at most.
const MAX_SELLERS: usize = 1000;
/// An old secret signs so long if nothing is asked, seconds.
const OVERLAP_S: u64 = 24 * 3600;
/// The longest overlap, seconds: 30 days.
const OVERLAP_MAX_S: u64 = 30 * 24 * 3600;
/// Deliveries of one page at most.
pub const PAGE_DELIVERIES: u32 = 200;

type Answer<T> = Result<T, Refusal>;
/// What a caller wants of the machine: changes to keep, and what to do once they are kept (true) or cannot be (false).
type Op = Box<dyn FnOnce(&mut Machine, Timestamp) -> (Vec<Change>, Box<dyn FnOnce(bool) + Send>) + Send>;

/// Handle to the task; cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    ops: mpsc::Sender<Op>,
    ledger: Ledger,
    outbound: Option<Outbound>,
    ended: watch::Receiver<bool>,
}

fn not_ready() -> Refusal {
    Refusal::new("not_ready", "webhooks are not served now; ask again in a moment")
}

fn wrong(text: impl Into<String>) -> Refusal {
    Refusal::new("invalid_parameter", text)
}

fn unknown(id: &str) -> Refusal {
    Refusal::new("not_found", format!("there is no webhook {id}, or the key is not for it"))
}

impl Hooks {
    /// Starts the task. It ends when `stopping` turns true or the ledger ends.
    pub fn start(ledger: Ledger, config: &config::Webhooks, stopping: watch::Receiver<bool>) -> Hooks {
        let outbound = config
            .outbound()
            .map_err(|error| error.to_string())
            .and_then(|settings| Outbound::new(settings).map_err(|error| error.to_string()));
        let outbound = outbound.inspect_err(|error| tracing::error!(error, "webhooks cannot be sent")).ok();
        let (ops, receiver) = mpsc::channel(QUEUE);
        let (end, ended) = watch::channel(false);
        let task = actor::Actor::new(ledger.clone(), config, outbound.clone(), receiver);
        tokio::spawn(async move {
            task.run(stopping).await;
            // Nobody may listen any more.
            let _ = end.send(true);
        });
        Hooks { ops, ledger, outbound, ended }
    }

    /// The task has ended, and what it knew is kept.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error would mean that the task is gone: ended too.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    async fn ask<T: Send + 'static>(
        &self,
        op: impl FnOnce(&mut Machine, Timestamp) -> Answer<(Vec<Change>, T)> + Send + 'static,
    ) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        let op: Op = Box::new(move |machine, now| match op(machine, now) {
            Ok((changes, value)) => {
                let told = move |kept| {
                    let _ = reply.send(if kept { Ok(value) } else { Err(not_ready()) });
                };
                (changes, Box::new(told))
            }
            Err(refusal) => (
                Vec::new(),
                Box::new(move |_| {
                    let _ = reply.send(Err(refusal));
                }),
            ),
        });
        self.ops.send(op).await.map_err(|_| not_ready())?;
        answer.await.map_err(|_| not_ready())?
    }

    /// Makes an endpoint. It is told of everything from now on.
    ///
    /// # Errors
    /// `invalid_parameter`, `webhook_address`, `forbidden`, `rate_limited` (too many endpoints), `not_ready`.
    pub async fn create(&self, request: WebhookRequest, caller: &Caller) -> Answer<NewWebhook> {
        let secret = match &request.secret {
            Some(text) => Secret::parse(text).map_err(|error| wrong(format!("secret: {error}")))?,
            None => fresh_secret(request.signing.unwrap_or_default()),
        };
        let signing = signing_of(&secret);
        if request.signing.is_some_and(|wanted| wanted != signing) {
            return Err(wrong("secret: it is not of the kind that signing asks for"));
        }
        let checked = self.checked(&request, caller)?;
        let id = format!("wh_{}", hex::encode(rand::random::<[u8; 8]>()));
        let by = caller.id.clone();
        let given = request.secret.is_some();
        let cursor = self.ledger.store().last_announcement().await.map_err(|error| {
            tracing::error!(%error, "the stream of events cannot be read");
            not_ready()
        })?;
        self.ask(move |machine, now| {
            if !machine.has_room() {
                return Err(Refusal::new("rate_limited", "there are as many webhooks as this broker serves; delete one"));
            }
            let row = WebhookRow {
                id,
                url: checked.url,
                description: checked.description,
                events: checked.events,
                sellers: checked.sellers,
                signing,
                secret: secret.text(),
                old_secret: None,
                enabled: checked.enabled,
                disabled: None,
                cursor,
                failing_since: None,
                delivered_at: None,
                created_at: now,
                created_by: by.clone(),
            };
            let view = view(&row, 0, now);
            let shown = (signing == Signing::Symmetric && !given).then(|| secret.text());
            Ok((machine.put(row, "webhook_created", &by, now), NewWebhook { webhook: view, secret: shown }))
        })
        .await
    }

    /// The endpoints that this caller may see, by id.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn list(&self, caller: &Caller) -> Answer<Vec<WebhookView>> {
        let caller = caller.clone();
        self.ask(move |machine, now| {
            let rows = machine.rows().filter(|(row, _)| may(row, &caller));
            Ok((Vec::new(), rows.map(|(row, waiting)| view(row, waiting, now)).collect()))
        })
        .await
    }

    /// One endpoint.
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn show(&self, id: &str, caller: &Caller) -> Answer<WebhookView> {
        let (id, caller) = (id.to_owned(), caller.clone());
        self.ask(move |machine, now| {
            let (row, waiting) = found(machine, &id, &caller)?;
            Ok((Vec::new(), view(row, waiting, now)))
        })
        .await
    }

    /// Changes an endpoint. Enabled again, it begins with what was kept.
    ///
    /// # Errors
    /// As [`Hooks::create`], and `not_found`.
    pub async fn put(&self, id: &str, request: WebhookRequest, caller: &Caller) -> Answer<WebhookView> {
        if request.secret.is_some() || request.signing.is_some() {
            return Err(wrong("secret and signing are set at creation; a new secret comes by rotation"));
        }
        let checked = self.checked(&request, caller)?;
        let (id, caller) = (id.to_owned(), caller.clone());
        self.ask(move |machine, now| {
            let (known, waiting) = found(machine, &id, &caller)?;
            let mut row = known.clone();
            row.url = checked.url;
            row.description = checked.description;
            row.events = checked.events;
            row.sellers = checked.sellers;
            row.enabled = checked.enabled;
            if row.enabled {
                row.disabled = None;
                row.failing_since = None;
            }
            let view = view(&row, waiting, now);
            Ok((machine.put(row, "webhook_put", &caller.id, now), view))
        })
        .await
    }

    /// Deletes an endpoint with its deliveries.
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn delete(&self, id: &str, caller: &Caller) -> Answer<()> {
        let (id, caller) = (id.to_owned(), caller.clone());
        self.ask(move |machine, now| {
            found(machine, &id, &caller)?;
            Ok((machine.remove(&id, &caller.id, now), ()))
        })
        .await
    }

    /// Gives an endpoint a new secret; the old one signs too for a time.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_found`, `not_ready`.
    pub async fn rotate(&self, id: &str, request: RotateRequest, caller: &Caller) -> Answer<NewWebhook> {
        let overlap_s = request.overlap_s.unwrap_or(OVERLAP_S);
        if overlap_s > OVERLAP_MAX_S {
            return Err(wrong(format!("overlap_s is at most {OVERLAP_MAX_S} (30 days)")));
        }
        let given = request.secret.as_deref().map(Secret::parse).transpose();
        let given = given.map_err(|error| wrong(format!("secret: {error}")))?;
        let (id, caller) = (id.to_owned(), caller.clone());
        self.ask(move |machine, now| {
            let (known, waiting) = found(machine, &id, &caller)?;
            let mut row = known.clone();
            let shown = given.is_none() && row.signing == Signing::Symmetric;
            let secret = given.unwrap_or_else(|| fresh_secret(row.signing));
            row.signing = signing_of(&secret);
            let until = now.plus_s(overlap_s.cast_signed());
            row.old_secret = (overlap_s > 0).then(|| (std::mem::replace(&mut row.secret, secret.text()), until));
            row.secret = secret.text();
            let view = view(&row, waiting, now);
            let changes = machine.put(row, "webhook_rotated", &caller.id, now);
            Ok((changes, NewWebhook { webhook: view, secret: shown.then(|| secret.text()) }))
        })
        .await
    }

    /// Sends a test message at once and says what came of it. It is in no stream and no log.
    ///
    /// # Errors
    /// `webhook_address`, `not_found`, `not_ready`.
    pub async fn test(&self, id: &str, caller: &Caller) -> Answer<TestAnswer> {
        let (wanted, caller) = (id.to_owned(), caller.clone());
        let row = self.ask(move |machine, _| Ok((Vec::new(), found(machine, &wanted, &caller)?.0.clone()))).await?;
        let outbound = self.outbound.as_ref().ok_or_else(not_ready)?;
        let target = outbound.target(&row.url).map_err(|error| Refusal::new("webhook_address", error.0))?;
        let now = self.ledger.now();
        let id = format!("test_{}", hex::encode(rand::random::<[u8; 8]>()));
        let body = serde_json::json!({
            "id": id, "type": "webhook.test", "timestamp": now.to_string(), "data": { "webhook": row.id },
        });
        let message = Message { id: &id, at: now, body: body.to_string().into(), trace: None };
        let sent = webhook::send(outbound, &target, &signers(&row, now), &message).await;
        let delivered = sent.outcome == webhook::schedule::Outcome::Delivered;
        Ok(TestAnswer { delivered, id: id.clone(), status: sent.status, ms: sent.ms, text: sent.text })
    }

    /// Sends again what is in the delivery log: one event, or many from the newest to the oldest, 1000 at a time.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_found`, `rate_limited` (too many wait already), `not_ready`.
    pub async fn replay(&self, id: &str, request: ReplayRequest, caller: &Caller) -> Answer<ReplayAnswer> {
        let time = |name: &str, text: &Option<String>| {
            text.as_deref().map(str::parse::<Timestamp>).transpose().map_err(|error| wrong(format!("{name}: {error}")))
        };
        let mut filter = DeliveryFilter {
            before: request.cursor.as_deref().map(parse_cursor).transpose()?,
            position: None,
            state: request.failed.then_some(DeliveryState::Failed),
            since: time("since", &request.since)?,
            until: time("until", &request.until)?,
        };
        if let Some(event) = &request.event {
            let (position, _) = parse_id(event).ok_or_else(|| wrong(format!("event: {event:?} is no id of an event")))?;
            filter.position = Some(position);
        }
        // Not asked before it is known that the caller may.
        self.show(id, caller).await?;
        let limit = MAX_REPLAY as u32;
        let rows = self.ledger.store().deliveries(id, &filter, limit).await.map_err(|error| {
            tracing::error!(%error, "deliveries cannot be read");
            not_ready()
        })?;
        if let Some(event) = request.event.as_ref()
            && !rows.iter().any(|row| row.event == *event)
        {
            return Err(Refusal::new("not_found", format!("event {event} is not in the delivery log of {id}")));
        }
        let cursor = (rows.len() == MAX_REPLAY).then(|| rows.last().map(|row| cursor_of(row.position))).flatten();
        let (id, caller) = (id.to_owned(), caller.clone());
        self.ask(move |machine, now| {
            found(machine, &id, &caller)?;
            let queued = rows.len() as u64;
            let changes = machine.replay(&id, rows, &caller.id, now);
            let changes =
                changes.ok_or_else(|| Refusal::new("rate_limited", "too many deliveries wait for this webhook; replay later"))?;
            Ok((changes, ReplayAnswer { queued, cursor }))
        })
        .await
    }

    /// A page of the delivery log, the newest event first.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_found`, `not_ready`.
    pub async fn deliveries(
        &self,
        id: &str,
        state: Option<DeliveryState>,
        cursor: Option<&str>,
        limit: u32,
        caller: &Caller,
    ) -> Answer<DeliveryPage> {
        self.show(id, caller).await?;
        let filter = DeliveryFilter { before: cursor.map(parse_cursor).transpose()?, state, ..DeliveryFilter::default() };
        let limit = limit.clamp(1, PAGE_DELIVERIES);
        let rows = self.ledger.store().deliveries(id, &filter, limit + 1).await.map_err(|error| {
            tracing::error!(%error, "deliveries cannot be read");
            not_ready()
        })?;
        let more = rows.len() > limit as usize;
        let shown = &rows[..rows.len().min(limit as usize)];
        let cursor = shown.last().filter(|_| more).map(|row| cursor_of(row.position));
        Ok(DeliveryPage { deliveries: shown.iter().map(delivery_view).collect(), cursor })
    }

    /// What a request says, parsed and within the caller's rights.
    fn checked(&self, request: &WebhookRequest, caller: &Caller) -> Answer<Checked> {
        let outbound = self.outbound.as_ref().ok_or_else(not_ready)?;
        let target = outbound.target(&request.url).map_err(|error| Refusal::new("webhook_address", error.0))?;
        if request.description.chars().count() > MAX_DESCRIPTION {
            return Err(wrong(format!("description: at most {MAX_DESCRIPTION} characters")));
        }
        if request.events.len() > MAX_EVENTS || request.sellers.len() > MAX_SELLERS {
            return Err(wrong(format!("at most {MAX_EVENTS} events and {MAX_SELLERS} sellers")));
        }
        if let Some(bad) = request.events.iter().find(|pattern| !is_pattern(pattern)) {
            return Err(wrong(format!("events: {bad:?} is no type of event, as job.issued, nor a group, as job.*")));
        }
        let mut sellers = Vec::new();
        for seller in &request.sellers {
            let seller: TaxpayerNumber = seller.parse().map_err(|error| wrong(format!("sellers: {error}")))?;
            if !caller.may_use(&seller) {
                return Err(Refusal::new("forbidden", format!("the key {} is not for seller {seller}", caller.id)));
            }
            sellers.push(seller);
        }
        if sellers.is_empty() {
            // A key that is limited makes endpoints that are limited alike.
            sellers.clone_from(&caller.sellers);
        }
        Ok(Checked {
            url: target.url(),
            description: request.description.clone(),
            events: request.events.clone(),
            sellers,
            enabled: request.enabled,
        })
    }
}

struct Checked {
    url: String,
    description: String,
    events: Vec<String>,
    sellers: Vec<TaxpayerNumber>,
    enabled: bool,
}

fn may(row: &WebhookRow, caller: &Caller) -> bool {
    caller.sellers.is_empty() || !row.sellers.is_empty() && row.sellers.iter().all(|seller| caller.sellers.contains(seller))
}

/// What a key may not see is not there.
fn found<'a>(machine: &'a Machine, id: &str, caller: &Caller) -> Answer<(&'a WebhookRow, usize)> {
    machine.row(id).filter(|(row, _)| may(row, caller)).ok_or_else(|| unknown(id))
}

fn fresh_secret(signing: Signing) -> Secret {
    match signing {
        Signing::Symmetric => Secret::Symmetric(rand::random::<[u8; 32]>().to_vec()),
        Signing::Asymmetric => Secret::Asymmetric(rand::random()),
    }
}

fn signing_of(secret: &Secret) -> Signing {
    match secret {
        Secret::Symmetric(_) => Signing::Symmetric,
        Secret::Asymmetric(_) => Signing::Asymmetric,
    }
}

/// All secrets in force at this moment.
fn signers(row: &WebhookRow, now: Timestamp) -> Signers {
    let old = row.old_secret.as_ref().filter(|(_, until)| *until > now).map(|(secret, _)| secret.as_str());
    // What was stored was parsed once.
    Signers(std::iter::once(row.secret.as_str()).chain(old).filter_map(|text| Secret::parse(text).ok()).collect())
}

fn cursor_of(position: u64) -> String {
    format!("d{position}")
}

fn parse_cursor(text: &str) -> Answer<u64> {
    text.strip_prefix('d').and_then(|text| text.parse().ok()).ok_or_else(|| wrong("this cursor was not made here"))
}

fn view(row: &WebhookRow, waiting: usize, now: Timestamp) -> WebhookView {
    WebhookView {
        id: row.id.clone(),
        url: row.url.clone(),
        description: row.description.clone(),
        events: row.events.clone(),
        sellers: row.sellers.iter().map(ToString::to_string).collect(),
        enabled: row.is_open(),
        disabled: row.disabled.as_ref().map(|disabled| WebhookDisabled {
            at: disabled.at.to_string(),
            reason: disabled.reason.clone(),
            text: disabled.text.clone(),
        }),
        signing: row.signing,
        public_key: Secret::parse(&row.secret).ok().and_then(|secret| secret.public()),
        old_secret_until: row.old_secret.as_ref().filter(|(_, until)| *until > now).map(|(_, until)| until.to_string()),
        failing_since: row.failing_since.map(|at| at.to_string()),
        delivered_at: row.delivered_at.map(|at| at.to_string()),
        waiting: waiting as u64,
        created_by: row.created_by.clone(),
        created_at: row.created_at.to_string(),
    }
}

fn delivery_view(row: &DeliveryRow) -> DeliveryView {
    DeliveryView {
        event: row.event.clone(),
        kind: row.kind.clone(),
        seller: row.seller.as_ref().map(ToString::to_string),
        serial: row.serial.as_ref().map(ToString::to_string),
        revision: row.serial.as_ref().map(|_| row.revision),
        state: row.state,
        next_at: (row.state == DeliveryState::Waiting).then(|| row.next_at.to_string()),
        tries: row.tries,
        attempts: row.attempts.iter().map(attempt_view).collect(),
    }
}

fn attempt_view(attempt: &webhooks::Attempt) -> DeliveryAttempt {
    DeliveryAttempt { at: attempt.at.to_string(), status: attempt.status, ms: attempt.ms, text: attempt.text.clone() }
}

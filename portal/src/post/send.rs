//! Sends messages that are due. At least once: what went out and was not noted when we stopped goes out again, under the same
//! id. Nothing is sent that is not in the store.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::{Channels, Letter, Outcome};
use crate::core::callback::Attempt;
use crate::core::outbox::{self, Channel, Message, Report, Verdict};
use crate::core::request::{Phase, Request};
use crate::fault;
use crate::portal::Portal;
use crate::store::StoreError;

/// Messages of a channel that are read at once.
const PAGE: u32 = 256;
/// How often it looks without being woken.
const IDLE: Duration = Duration::from_secs(1);
/// Characters of an answer that are kept for people.
const TEXT_CHARS: usize = 200;

/// Runs until the writer ends.
pub async fn run(portal: Arc<Portal>, channels: Channels) {
    // Room for each channel of its own: a mail server that hangs keeps no short message waiting.
    let room = || Arc::new(Semaphore::new(portal.config.deliveries.concurrency));
    let rooms = Channel::ALL.map(|channel| (channel, room()));
    let under_way = Arc::new(Mutex::new(HashSet::<String>::new()));
    let done = Arc::new(tokio::sync::Notify::new());
    loop {
        for (channel, room) in &rooms {
            // Read by channel: a page full of mails that wait for their server would hide the short messages behind it.
            let due = due(&portal, *channel).await.unwrap_or_else(|error| {
                tracing::error!(%error, "due messages cannot be read");
                Vec::new()
            });
            for message in due {
                let Ok(permit) = room.clone().try_acquire_owned() else { break };
                if !under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(message.id.clone()) {
                    continue;
                }
                let (portal, channels, under_way, done) = (portal.clone(), channels.clone(), under_way.clone(), done.clone());
                tokio::spawn(async move {
                    one(&portal, &channels, &message.id).await;
                    under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&message.id);
                    drop(permit);
                    done.notify_one();
                });
            }
        }
        tokio::select! {
            () = portal.ledger.outbox.notified() => {}
            () = done.notified() => {}
            () = tokio::time::sleep(IDLE) => {}
            () = portal.ledger.ended() => return,
        }
    }
}

async fn due(portal: &Portal, channel: Channel) -> Result<Vec<Message>, StoreError> {
    portal.readers.get().await?.due_messages(channel, (portal.clock)(), PAGE).await
}

/// Sends one message that is due, once, and notes what came of it.
pub async fn one(portal: &Portal, channels: &Channels, id: &str) {
    // As it is now: it may have been sent since the list was read.
    let Ok((Some(message), Some(request))) = current(portal, id).await else { return };
    if message.due_at > (portal.clock)() {
        return;
    }
    let (at, began) = ((portal.clock)(), Instant::now());
    let (channel, id) = (message.channel, message.id.clone());
    let outcome = attempt(portal, channels, message, request).await;
    tracing::info!(id, channel = channel.as_str(), verdict = ?outcome.verdict, status = outcome.status, "message");
    // If we stop here, the message is due still and goes out again under its id at the next start.
    fault::point("after_message");
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let text = outcome.text.chars().take(TEXT_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let attempt = Attempt { at, status: outcome.status, ms, text };
    let report = Report { verdict: outcome.verdict, attempt, unclear: outcome.unclear };
    let schedule = portal.config.deliveries.schedule_s.clone();
    let noted = portal
        .ledger
        .behind()
        .run(move |session| Box::pin(async move { outbox::attempted(session, &id, report, &schedule).await }))
        .await;
    if noted.is_err() {
        tracing::debug!("the writer has ended; the message is sent again at the next start");
    }
}

async fn current(portal: &Portal, id: &str) -> Result<(Option<Message>, Option<Request>), StoreError> {
    let mut db = portal.readers.get().await?;
    let Some(message) = db.message(id).await? else { return Ok((None, None)) };
    let request = db.request(&message.tenant, &message.serial).await?;
    Ok((Some(message), request))
}

async fn attempt(portal: &Portal, channels: &Channels, message: Message, request: Request) -> Outcome {
    let Some(carrier) = channels.carrier(message.channel) else {
        return Outcome::new(Verdict::Unavailable, "this platform has no such channel");
    };
    if request.phase != Phase::Issued {
        return Outcome::new(Verdict::Never, "there is no invoice");
    }
    if let Err(why) = outbox::checked(message.channel, &message.address) {
        return Outcome::new(Verdict::Never, why);
    }
    let Ok(link) = portal.link(&request).await else { return Outcome::new(Verdict::Later, "the store does not answer") };
    let pdf = match message.channel {
        Channel::Sms => None,
        Channel::Mail | Channel::Card => portal.pdf(&request).await.ok().map(|document| document.bytes),
    };
    let directory = portal.directory();
    let seller = directory.tenant(&request.tenant).and_then(|tenant| tenant.seller(&request.seller));
    let seller = match request.document.text("XSF_MC") {
        "" => seller.map(|seller| seller.name.clone()).unwrap_or_default(),
        given => given.to_owned(),
    };
    let simulated = portal.is_sample();
    carrier.carry(&Letter { message, request, seller, link, pdf, simulated }).await
}

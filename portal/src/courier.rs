//! Carries requests to the broker and results back (I8: store, forward, confirm).
//!
//! A request is stored before it is answered; here it is handed to the broker under its own serial number, as often as it takes.
//! If we stop before the broker has it, the next start hands it in. If we stop after it has it and before we noted that, the next
//! start hands the same in again, and the broker answers with the job that it has: there is exactly one. Of results the broker's
//! webhooks tell ([`crate::hooks`]); what is asked for at an interval, or because somebody looks, is asked anyway.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::broker::{BrokerClient, BrokerError};
use crate::core::outcome;
use crate::core::request::{Phase, Request};
use crate::fault;
use crate::ledger::{Clock, Ledger};
use crate::store::{Readers, StoreError};

/// Requests that are read at once.
const PAGE: u32 = 256;
/// How often it looks without being woken.
const IDLE: Duration = Duration::from_millis(500);
/// Pause after the store did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Requests that somebody looks at, at most; more of them wait for their turn.
const LOOKS: usize = 1024;

type Key = (String, String);

/// Requests that somebody looks at: the broker is asked about them before their turn.
#[derive(Clone, Default)]
pub struct Looks(Arc<Mutex<HashSet<Key>>>);

impl Looks {
    /// Somebody looks at this one.
    pub fn add(&self, request: &Request) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() < LOOKS {
            looks.insert((request.tenant.clone(), request.serial.clone()));
        }
    }

    fn take(&self) -> HashSet<Key> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs until the writer ends.
pub async fn run(ledger: Ledger, readers: Readers, broker: BrokerClient, clock: Clock, concurrency: usize, looks: Looks) {
    let room = Arc::new(Semaphore::new(concurrency));
    let under_way = Arc::new(Mutex::new(HashSet::<Key>::new()));
    let done = Arc::new(tokio::sync::Notify::new());
    loop {
        let now = clock();
        let due = match due(&readers, now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "due requests cannot be read");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let mut started = 0;
        for key in due.into_iter().chain(looks.take()) {
            if !under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
                continue;
            }
            let Ok(room) = room.clone().acquire_owned().await else { return };
            let (ledger, broker, under_way, done) = (ledger.clone(), broker.clone(), under_way.clone(), done.clone());
            let readers = readers.clone();
            started += 1;
            tokio::spawn(async move {
                // What was read before it was marked may be old: an old re-issue would ask for one more than the merchant did.
                if let Ok(Some(request)) = current(&readers, &key).await
                    && (request.due_at <= now || outcome::is_stale(&request, now))
                {
                    carry(&ledger, &broker, request).await;
                }
                under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                drop(room);
                done.notify_one();
            });
        }
        // What was woken for while it was under way is due still: its end wakes too.
        let idle = if started == 0 { IDLE } else { Duration::from_millis(20) };
        tokio::select! {
            () = ledger.courier.notified() => {}
            () = done.notified() => {}
            () = tokio::time::sleep(idle) => {}
            () = ledger.ended() => return,
        }
    }
}

async fn due(readers: &Readers, now: i64) -> Result<Vec<Key>, StoreError> {
    readers.get().await?.due_requests(now, PAGE).await
}

async fn current(readers: &Readers, key: &Key) -> Result<Option<Request>, StoreError> {
    readers.get().await?.request(&key.0, &key.1).await
}

async fn carry(ledger: &Ledger, broker: &BrokerClient, request: Request) {
    let (tenant, serial) = (request.tenant.clone(), request.serial.clone());
    let asked = match request.phase {
        Phase::Forwarding if request.at_broker => broker.reissue(&request.job, "重新开具（商户请求）").await.map(Some),
        Phase::Forwarding => broker.submit(&request.job).await.map(Some),
        _ => broker.job(&request.seller, &request.job_serial).await,
    };
    fault::point("after_forward");
    let noted = match asked {
        Ok(Some(view)) => {
            ledger.run(move |session| Box::pin(async move { outcome::shown(session, &tenant, &serial, &view).await })).await
        }
        Ok(None) => ledger.run(move |session| Box::pin(async move { outcome::lost(session, &tenant, &serial).await })).await,
        Err(BrokerError::Refused(problem)) if problem.code == "not_found" => {
            // A re-issue of a job that is not there: it is handed in again.
            ledger.run(move |session| Box::pin(async move { outcome::lost(session, &tenant, &serial).await })).await
        }
        Err(BrokerError::Refused(problem)) => {
            tracing::warn!(%tenant, %serial, code = problem.code, detail = problem.detail, "the broker refuses a request");
            ledger.run(move |session| Box::pin(async move { outcome::refused(session, &tenant, &serial, &problem).await })).await
        }
        Err(BrokerError::Away(why)) => {
            tracing::debug!(%tenant, %serial, why, "the broker does not answer");
            ledger.run(move |session| Box::pin(async move { outcome::unreachable(session, &tenant, &serial, &why).await })).await
        }
    };
    if noted.is_err() {
        tracing::debug!("the writer has ended; the next start goes on");
    }
}

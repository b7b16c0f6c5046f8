//! Who must be told, and when again (yonyou-open-api.md, section 3.6). A callback is written in the transaction that makes its
//! reason true; it waits until somebody acknowledged it or its schedule has ended.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::request::{CallbackTarget, NEVER, Request};
use crate::ledger::Session;
use crate::store::StoreError;

/// After the n-th failed attempt the next one waits so long, minutes. Published: merchants rely on it.
pub const SCHEDULE_MINUTES: [u64; 10] = [1, 10, 10, 30, 30, 60, 60, 120, 180, 360];
/// Attempts that are kept for people, the latest ones.
const ATTEMPTS_KEPT: usize = 30;

/// Kind of the setting that holds a tenant's own address, under the tenant's id: [`TenantAddress`].
pub const TENANT_ADDRESS: &str = "callback";

/// Where a tenant is told of requests that name no address of their own: those that people and consumers made, and those of
/// systems that rely on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantAddress {
    /// The address; empty: none.
    pub url: String,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// The invoice exists.
    Issued,
    /// Proven that none exists.
    Failed {
        /// `1001` of the data, `9999` of the device.
        code: String,
        /// Why.
        msg: String,
    },
    /// The request was sent back.
    Returned {
        /// Why.
        reason: String,
    },
}

/// One attempt to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Milliseconds.
    pub at: i64,
    /// Status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// For people: the beginning of the answer, or why there was none.
    #[serde(default)]
    pub text: String,
}

/// How a callback stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It will be tried (again).
    Waiting,
    /// Acknowledged by `0000`.
    Delivered,
    /// Its schedule has ended; a replay begins anew.
    Parked,
}

/// A callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The same at every attempt: `X-Callback-Id`.
    pub id: String,
    /// Tenant.
    pub tenant: String,
    /// Serial number.
    pub serial: String,
    /// Whose switches say how it is written.
    pub appid: String,
    /// Where it goes.
    pub target: CallbackTarget,
    /// What is told.
    pub news: News,
    /// How it stands.
    pub standing: Standing,
    /// Failed attempts of this round; a replay begins a new one.
    pub tries: u32,
    /// The latest attempts.
    pub attempts: Vec<Attempt>,
    /// Milliseconds.
    pub created_at: i64,
    /// The next attempt, milliseconds.
    pub due_at: i64,
}

impl Callback {
    /// It was tried, and is not acknowledged: somebody should look.
    pub fn is_troubled(&self) -> bool {
        self.standing != Standing::Delivered && self.tries > 0
    }

    /// After an attempt. `schedule_s`: waits between attempts, seconds.
    pub fn attempted(&mut self, attempt: Attempt, acknowledged: bool, schedule_s: &[u64], now: i64) {
        self.attempts.push(attempt);
        let surplus = self.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        self.attempts.drain(..surplus);
        if acknowledged {
            (self.standing, self.due_at) = (Standing::Delivered, NEVER);
            return;
        }
        let wait = schedule_s.get(self.tries as usize);
        self.tries += 1;
        (self.standing, self.due_at) = match wait.and_then(|wait| i64::try_from(wait * 1000).ok()) {
            Some(wait) => (Standing::Waiting, now.saturating_add(wait)),
            None => (Standing::Parked, NEVER),
        };
    }

    /// Begins the schedule anew, under the same id.
    pub fn replay(&mut self, now: i64) {
        (self.standing, self.due_at, self.tries) = (Standing::Waiting, now, 0);
    }
}

/// Writes one callback for each address of a request. `what` makes the id: the same news is never written twice.
///
/// # Errors
/// Those of the store.
pub async fn tell(session: &mut Session, request: &Request, what: &str, news: &News) -> Result<(), StoreError> {
    let targets: Vec<CallbackTarget> = match news {
        News::Returned { .. } => {
            request.delivery.del_urls.iter().map(|url| CallbackTarget { url: url.clone(), ncc: None }).collect()
        }
        _ if request.delivery.urls.is_empty() => of_tenant(session, &request.tenant).await?.into_iter().collect(),
        _ => request.delivery.urls.clone(),
    };
    for (index, target) in targets.into_iter().enumerate() {
        let id = id(&request.tenant, &request.serial, what, index);
        if session.db.callback(&id).await?.is_some() {
            continue;
        }
        let callback = Callback {
            id,
            tenant: request.tenant.clone(),
            serial: request.serial.clone(),
            appid: request.appid.clone(),
            target,
            news: news.clone(),
            standing: Standing::Waiting,
            tries: 0,
            attempts: Vec::new(),
            created_at: session.now,
            due_at: session.now,
        };
        session.db.put_callback(&callback).await?;
        session.wake_callbacks();
    }
    Ok(())
}

async fn of_tenant(session: &mut Session, tenant: &str) -> Result<Option<CallbackTarget>, StoreError> {
    let Some(body) = session.db.setting(TENANT_ADDRESS, tenant).await? else { return Ok(None) };
    let address: TenantAddress =
        serde_json::from_str(&body).map_err(|error| StoreError::Damaged(format!("{TENANT_ADDRESS}: {error}")))?;
    Ok(Some(address.url).filter(|url| !url.is_empty()).map(|url| CallbackTarget { url, ncc: None }))
}

/// Sends all callbacks of a request again.
///
/// # Errors
/// Those of the store.
pub async fn replay(session: &mut Session, tenant: &str, serial: &str) -> Result<usize, StoreError> {
    let mut callbacks = session.db.callbacks_of(tenant, serial).await?;
    let now = session.now;
    for callback in &mut callbacks {
        callback.replay(now);
        session.db.put_callback(callback).await?;
    }
    session.wake_callbacks();
    Ok(callbacks.len())
}

fn id(tenant: &str, serial: &str, what: &str, index: usize) -> String {
    let digest = Sha256::digest(format!("callback-v1\n{tenant}\n{serial}\n{what}\n{index}").as_bytes());
    format!("cb_{}", &hex::encode(digest)[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schedule_is_kept_and_ends() {
        let schedule: Vec<u64> = SCHEDULE_MINUTES.iter().map(|minutes| minutes * 60).collect();
        let mut callback = Callback {
            id: id("t", "s", "issued", 0),
            tenant: "t".to_owned(),
            serial: "s".to_owned(),
            appid: "a".to_owned(),
            target: CallbackTarget::default(),
            news: News::Issued,
            standing: Standing::Waiting,
            tries: 0,
            attempts: Vec::new(),
            created_at: 0,
            due_at: 0,
        };
        let attempt = Attempt { at: 0, status: Some(500), ms: 1, text: String::new() };
        let mut waits = Vec::new();
        while callback.standing == Standing::Waiting {
            callback.attempted(attempt.clone(), false, &schedule, 0);
            waits.push(callback.due_at / 60_000);
        }
        assert_eq!(waits[..10], [1, 10, 10, 30, 30, 60, 60, 120, 180, 360]);
        assert_eq!((callback.standing, callback.due_at, waits.len()), (Standing::Parked, NEVER, 11));
        let id = callback.id.clone();
        callback.replay(7);
        assert_eq!((callback.standing, callback.due_at, callback.tries), (Standing::Waiting, 7, 0));
        callback.attempted(attempt, true, &schedule, 8);
        assert_eq!((callback.standing, callback.due_at, callback.id), (Standing::Delivered, NEVER, id));
    }
}

//! Sends callbacks that are due. At least once: what was answered and not yet noted when we stop is sent again, under the same
//! id. Nothing is sent that is not in the store, and a merchant who is slow holds up nobody else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use taxdisk_web::outbound::{Outbound, Target};
use tokio::sync::Semaphore;

use super::body;
use crate::core::act::random_token;
use crate::core::callback::{Attempt, Callback, News};
use crate::core::request::Request;
use crate::fault;
use crate::ledger::Ledger;
use crate::portal::Portal;
use crate::store::StoreError;
use crate::wire::json::Json;

/// Callbacks that are read at once.
const PAGE: u32 = 256;
/// How often it looks without being woken.
const IDLE: Duration = Duration::from_secs(1);
/// Callbacks to one host under way at the same time: one that hangs must not take all room.
const PER_HOST: usize = 8;
/// How callbacks are written unless their caller wants forms.
const JSON: &str = "application/json;charset=UTF-8";
/// Characters of an answer that are kept for people.
const TEXT_CHARS: usize = 200;

/// Runs until the writer ends.
pub async fn run(portal: Arc<Portal>, outbound: Outbound) {
    let room = Arc::new(Semaphore::new(portal.config.callbacks.concurrency));
    let under_way = Arc::new(Mutex::new(Vec::<(String, String)>::new()));
    let done = Arc::new(tokio::sync::Notify::new());
    loop {
        let now = (portal.clock)();
        let due = due(&portal, now).await.unwrap_or_else(|error| {
            tracing::error!(%error, "due callbacks cannot be read");
            Vec::new()
        });
        let mut told = HashSet::new();
        for callback in due {
            let host = outbound.target(&callback.target.url).map(|target| target.host().to_owned()).unwrap_or_default();
            {
                let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
                let same_host = under_way.iter().filter(|(_, other)| *other == host).count();
                if same_host >= PER_HOST || under_way.iter().any(|(id, _)| *id == callback.id) {
                    continue;
                }
                under_way.push((callback.id.clone(), host));
            }
            let Ok(room) = room.clone().acquire_owned().await else { return };
            told.insert(callback.id.clone());
            let (portal, outbound, under_way, done) = (portal.clone(), outbound.clone(), under_way.clone(), done.clone());
            tokio::spawn(async move {
                one(&portal, &outbound, &callback).await;
                under_way.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| *id != callback.id);
                drop(room);
                done.notify_one();
            });
        }
        let ledger: &Ledger = &portal.ledger;
        tokio::select! {
            () = ledger.callbacks.notified() => {}
            () = done.notified() => {}
            () = tokio::time::sleep(IDLE) => {}
            () = ledger.ended() => return,
        }
    }
}

async fn due(portal: &Portal, now: i64) -> Result<Vec<Callback>, StoreError> {
    portal.readers.get().await?.due_callbacks(now, PAGE).await
}

async fn current(portal: &Portal, callback: &Callback) -> Result<(Option<Callback>, Option<Request>), StoreError> {
    let mut db = portal.readers.get().await?;
    Ok((db.callback(&callback.id).await?, db.request(&callback.tenant, &callback.serial).await?))
}

async fn one(portal: &Portal, outbound: &Outbound, callback: &Callback) {
    // As it is now: it may have been answered, and its request may have become more than it was.
    let id = callback.id.clone();
    let Ok((Some(callback), Some(request))) = current(portal, callback).await else { return };
    if callback.due_at > (portal.clock)() {
        return;
    }
    let (attempt, acknowledged) = attempt(portal, outbound, &callback, &request).await;
    fault::point("after_callback");
    let schedule = portal.config.callbacks.schedule_s.clone();
    let noted = portal
        .ledger
        .behind()
        .run(move |session| {
            Box::pin(async move {
                let Some(mut callback) = session.db.callback(&id).await? else { return Ok(()) };
                callback.attempted(attempt, acknowledged, &schedule, session.now);
                session.db.put_callback(&callback).await
            })
        })
        .await;
    if noted.is_err() {
        tracing::debug!("the writer has ended; the callback is sent again at the next start");
    }
}

async fn attempt(portal: &Portal, outbound: &Outbound, callback: &Callback, request: &Request) -> (Attempt, bool) {
    let at = (portal.clock)();
    let failed = |text: String| (failed(at, text), false);
    let directory = portal.directory();
    let caller = directory.caller(&callback.appid);
    let switches = caller.map(|caller| caller.caller.switches.clone()).unwrap_or_default();
    if matches!(callback.news, News::Failed { .. }) && switches.no_failure_callback {
        return (Attempt { at, status: None, ms: 0, text: "switched off for this caller".to_owned() }, true);
    }
    let target = match outbound.target(&callback.target.url) {
        Ok(target) => target,
        Err(refused) => return failed(refused.to_string()),
    };
    let hosts = &switches.callback_hosts;
    if !hosts.is_empty() && !hosts.iter().any(|host| host.eq_ignore_ascii_case(target.host())) {
        return failed(format!("{} is not on this caller's list of hosts", target.host()));
    }
    let pdf = match callback.news {
        News::Issued => portal.pdf(request).await.ok(),
        _ => None,
    };
    let Ok(share) = portal.link(request).await else { return failed("the store does not answer".to_owned()) };
    let tenant = directory.tenant(&request.tenant).map(AsRef::as_ref);
    let json = body::callback(callback, request, tenant, &switches, pdf.as_ref(), share.as_deref());
    let (content_type, text) = match switches.callback_form {
        true => ("application/x-www-form-urlencoded;charset=UTF-8", body::as_form(&json)),
        false => (JSON, json.to_string()),
    };
    post(portal, outbound, &target, (&callback.id, &request.serial), content_type, text).await
}

/// Posts one callback, signed, and reads the answer. `ids`: of the callback, and the serial number.
async fn post(
    portal: &Portal,
    outbound: &Outbound,
    target: &Target,
    ids: (&str, &str),
    content_type: &'static str,
    text: String,
) -> (Attempt, bool) {
    let at = (portal.clock)();
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
    let signed = portal.platform_key.as_ref().map(|key| key.callback(ids.0, ids.1, text.as_bytes(), at / 1000));
    let ours = [
        ("x-callback-id", Some(ids.0.to_owned())),
        ("x-callback-timestamp", Some((at / 1000).to_string())),
        ("x-callback-sign", signed.flatten()),
    ];
    for (name, value) in ours {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.push((HeaderName::from_static(name), value));
        }
    }
    match outbound.post(target, &headers, Bytes::from(text)).await {
        Ok(answer) => {
            let acknowledged = body::acknowledged(answer.status, &answer.body);
            let text = String::from_utf8_lossy(&answer.body).chars().take(TEXT_CHARS).collect::<String>();
            let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            (Attempt { at, status: Some(answer.status), ms: answer.ms, text }, acknowledged)
        }
        Err(error) => (failed(at, error.to_string()), false),
    }
}

/// An attempt that got no answer.
fn failed(at: i64, text: String) -> Attempt {
    Attempt { at, status: None, ms: 0, text: text.chars().take(TEXT_CHARS).collect() }
}

/// Serial number that a test names: none of a request, which have at most 20 characters.
const TEST_SERIAL: &str = "TEST-THIS-IS-NO-INVOICE";

/// Tells an address that this is a test, at once and once; says what it answered, and whether that was an acknowledgement. No
/// code of an outcome is in it, so that a merchant who takes it for a callback books nothing.
pub async fn test(portal: &Portal, url: &str) -> (Attempt, bool) {
    let target = match portal.outbound.target(url) {
        Ok(target) => target,
        Err(refused) => return (failed((portal.clock)(), refused.to_string()), false),
    };
    let members =
        [("action", "test"), ("code", "TEST"), ("msg", "测试回调，不是发票 (a test, no invoice)"), ("fpqqlsh", TEST_SERIAL)];
    let json = Json::Object(members.map(|(name, value)| (name.to_owned(), Json::text(value))).to_vec());
    let id = format!("cb_test_{}", random_token());
    post(portal, &portal.outbound, &target, (&id, TEST_SERIAL), JSON, json.to_string()).await
}

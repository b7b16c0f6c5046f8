//! Merchant query interface, version 1 (yonyou-open-api.md, section 5.7): asks the merchant's own service what an order is.
//!
//! Both ways are signed: our request by the platform's key, the answer by a key that is registered with the tenant. An answer
//! that is late, too long, not signed, about another request or about another order is no answer: nothing is stored, and the
//! consumer is told to come again. No redirection is followed, and no private network is reached ([`taxdisk_web::outbound`]).
//!
//! Read first: [`ask`], [`Answer`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::application::System;
use crate::core::act::random_token;
use crate::portal::Portal;
use crate::sign::{Algorithm, PublicKey};
use crate::wire::json::Json;

/// One try, with connection and TLS.
const TRY: Duration = Duration::from_secs(5);
/// Tries of one question, under one request id.
const TRIES: u32 = 3;
/// Questions under way at most, of all merchants.
const AT_ONCE: usize = 64;
/// Questions under way at most, of one system: a service that stalls leaves room for the others.
const AT_ONCE_OF_ONE: usize = 8;
/// An answer at most, bytes: room for about a thousand lines.
pub const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// An answer is good for so long, milliseconds.
const KEPT_MS: i64 = 60_000;
/// Answers that are kept at most.
const KEPT: usize = 1024;
/// How far clocks may differ, seconds.
const SKEW_S: i64 = 300;
/// A signature is good for so long at most, seconds.
const LIFETIME_MAX_S: i64 = 24 * 3600;
/// Characters of a reason that are shown.
const REASON_CHARS: usize = 200;

/// What the merchant says of an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It can be invoiced: the data, as they came.
    Invoiceable(Json),
    /// Not known there yet: tills upload late.
    NotFound,
    /// It cannot be invoiced, for this reason.
    NotInvoiceable(String),
    /// It was invoiced by another road.
    AlreadyInvoiced,
    /// Too late.
    Expired,
    /// The merchant wants to be asked later.
    TryLater,
}

/// Why there is no answer: for the log. Nothing was stored, and asking again is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Too many questions are under way.
    #[error("too many questions are under way")]
    Busy,
    /// The platform has no key of its own.
    #[error("the platform has no key to sign with")]
    NoKey,
    /// The address may not be called, or nobody answered in time.
    #[error("no answer: {0}")]
    Silent(String),
    /// Another status than 200; a redirection too.
    #[error("status {0}")]
    Status(u16),
    /// The signature is absent, wrong, or about something else.
    #[error("the signature is not good: {0}")]
    Signature(&'static str),
    /// What came is not what the version says.
    #[error("not an answer of version 1: {0}")]
    Content(&'static str),
}

/// Answers of the last minute, and what is being asked now.
#[derive(Debug, Default)]
pub struct Questions {
    kept: Mutex<HashMap<(String, String), (i64, Answer)>>,
    /// Questions under way, by syscode; none has a zero.
    asking: Mutex<HashMap<String, usize>>,
}

/// A question under way.
struct Asking<'a>(&'a Questions, &'a str);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asking = self.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
        match asking.get_mut(self.1) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(asking.remove(self.1)),
        }
    }
}

impl Questions {
    /// Room for one more question of this system, until it is dropped.
    fn ask<'a>(&'a self, syscode: &'a str) -> Option<Asking<'a>> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if asking.values().sum::<usize>() >= AT_ONCE || asking.get(syscode).is_some_and(|own| *own >= AT_ONCE_OF_ONE) {
            return None;
        }
        *asking.entry(syscode.to_owned()).or_default() += 1;
        Some(Asking(self, syscode))
    }

    fn kept(&self, key: &(String, String), now: i64) -> Option<Answer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(at, _)| (0..KEPT_MS).contains(&(now - at))).map(|(_, answer)| answer.clone())
    }

    fn keep(&self, key: (String, String), now: i64, answer: &Answer) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.retain(|_, (at, _)| (0..KEPT_MS).contains(&(now - *at)));
        }
        // Full of fresh ones: this one is asked for again.
        if kept.len() < KEPT {
            kept.insert(key, (now, answer.clone()));
        }
    }
}

/// Asks the merchant of a system about an order, or repeats what he said in the last minute.
///
/// # Errors
/// See [`Trouble`].
pub async fn ask(portal: &Portal, system: &System, order: &str) -> Result<Answer, Trouble> {
    let (key, now) = ((system.syscode.clone(), order.to_owned()), (portal.clock)());
    if let Some(answer) = portal.questions.kept(&key, now) {
        return Ok(answer);
    }
    let _asking = portal.questions.ask(&system.syscode).ok_or(Trouble::Busy)?;
    let target = portal.outbound.target(&system.query_url).map_err(|refused| Trouble::Silent(refused.to_string()))?;
    let request_id = random_token();
    let body = serde_json::json!({
        "version": "1", "syscode": system.syscode, "order": order, "requestId": request_id, "timestamp": now / 1000,
    })
    .to_string();
    let sign = portal.platform_key.as_ref().and_then(|platform| {
        platform.jws(&serde_json::json!({
            "iss": "einvoice-platform", "aud": system.syscode, "iat": now / 1000, "exp": now / 1000 + SKEW_S, "jti": request_id,
            "body_sha256": hex::encode(Sha256::digest(&body)),
        }))
    });
    let sign = sign.and_then(|sign| HeaderValue::from_str(&sign).ok()).ok_or(Trouble::NoKey)?;
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json")), (HeaderName::from_static("sign"), sign)];
    // One byte more shows that there is more.
    let outbound = portal.outbound.reading(ANSWER_MAX_BYTES + 1);
    let mut last = Trouble::Silent("nobody was asked".to_owned());
    for _ in 0..TRIES {
        // The same request id: a merchant who answers twice is asked once.
        let call = outbound.post(&target, &headers, Bytes::from(body.clone()));
        last = match tokio::time::timeout(TRY, call).await {
            Err(_) => Trouble::Silent(format!("nothing within {} s", TRY.as_secs())),
            Ok(Err(error)) => Trouble::Silent(error.to_string()),
            Ok(Ok(answer)) if answer.status >= 500 => Trouble::Status(answer.status),
            Ok(Ok(answer)) if answer.status != 200 => return Err(Trouble::Status(answer.status)),
            Ok(Ok(answer)) if answer.body.len() > ANSWER_MAX_BYTES => return Err(Trouble::Content("longer than 256 KiB")),
            Ok(Ok(answer)) => {
                let sign = answer.headers.get("sign").and_then(|sign| sign.to_str().ok());
                let keys = keys_of(portal, &system.tenant);
                verified(sign.ok_or(Trouble::Signature("absent"))?, &keys, &request_id, &answer.body, now / 1000)?;
                let answer = read(&answer.body, order)?;
                portal.questions.keep(key, now, &answer);
                return Ok(answer);
            }
        };
    }
    Err(last)
}

/// Keys that are registered with a tenant.
fn keys_of(portal: &Portal, tenant: &str) -> Vec<PublicKey> {
    let directory = portal.directory();
    let own = directory.callers().filter(|known| known.caller.tenant == tenant && !known.caller.disabled);
    own.flat_map(|known| known.keys.iter().cloned()).collect()
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    jti: String,
    iat: i64,
    exp: i64,
    body_sha256: String,
}

/// The signature is of this tenant, about this request and this body, and of now.
fn verified(sign: &str, keys: &[PublicKey], request_id: &str, body: &[u8], now_s: i64) -> Result<(), Trouble> {
    let (signed, signature) = sign.rsplit_once('.').ok_or(Trouble::Signature("form"))?;
    let (head, claims) = signed.split_once('.').ok_or(Trouble::Signature("form"))?;
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Trouble::Signature("base64url"));
    let head: Head = serde_json::from_slice(&decoded(head)?).map_err(|_| Trouble::Signature("header"))?;
    // The algorithm is ours to choose, not the token's.
    if head.alg != "RS256" || head.crit.is_some() {
        return Err(Trouble::Signature("algorithm"));
    }
    let signature = decoded(signature)?;
    if !keys.iter().any(|key| key.verifies(Algorithm::Rs256, signed, &signature)) {
        return Err(Trouble::Signature("not by a key of this tenant"));
    }
    let claims: Claims = serde_json::from_slice(&decoded(claims)?).map_err(|_| Trouble::Signature("claims"))?;
    if claims.aud != "einvoice-platform" || claims.jti != request_id {
        return Err(Trouble::Signature("about another request"));
    }
    if !claims.body_sha256.eq_ignore_ascii_case(&hex::encode(Sha256::digest(body))) {
        return Err(Trouble::Signature("of another body"));
    }
    let fresh = claims.iat <= now_s + SKEW_S && claims.exp >= now_s - SKEW_S && claims.exp <= now_s + LIFETIME_MAX_S;
    if fresh { Ok(()) } else { Err(Trouble::Signature("not of now")) }
}

fn read(body: &[u8], order: &str) -> Result<Answer, Trouble> {
    let text = std::str::from_utf8(body).map_err(|_| Trouble::Content("not UTF-8"))?;
    let json = Json::parse(text).map_err(|_| Trouble::Content("not JSON"))?;
    let member = |name: &str| json.get(name).and_then(Json::scalar).unwrap_or_default();
    if member("version") != "1" || member("code") != "0000" {
        return Err(Trouble::Content("version or code"));
    }
    if member("order") != order {
        return Err(Trouble::Content("another order"));
    }
    let reason = || {
        // `msg` is about the call: a plain "ok" of it is no reason that anybody understands.
        let says_why = |text: &&str| !text.is_empty() && !text.eq_ignore_ascii_case("ok");
        let given = ["reason", "msg"].into_iter().map(member).find(says_why).unwrap_or_default();
        given.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect()
    };
    Ok(match member("state") {
        "INVOICEABLE" => match json.get("data") {
            Some(data @ Json::Object(_)) => Answer::Invoiceable(data.clone()),
            _ => return Err(Trouble::Content("data")),
        },
        "NOT_FOUND" => Answer::NotFound,
        "NOT_INVOICEABLE" => Answer::NotInvoiceable(reason()),
        "ALREADY_INVOICED" => Answer::AlreadyInvoiced,
        "EXPIRED" => Answer::Expired,
        "TRY_LATER" => Answer::TryLater,
        _ => return Err(Trouble::Content("state")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_a_minute_and_so_many_of_them() {
        let questions = Questions::default();
        let key = |order: usize| ("TOLL".to_owned(), order.to_string());
        for order in 0..2 * KEPT {
            questions.keep(key(order), 0, &Answer::TryLater);
        }
        assert_eq!(questions.kept.lock().map(|kept| kept.len()).unwrap_or_default(), KEPT, "a stranger's scans fill no memory");
        assert_eq!(questions.kept(&key(0), KEPT_MS - 1), Some(Answer::TryLater));
        assert_eq!(questions.kept(&key(0), KEPT_MS), None);
        questions.keep(key(2 * KEPT), KEPT_MS, &Answer::NotFound);
        assert_eq!(questions.kept(&key(2 * KEPT), KEPT_MS), Some(Answer::NotFound), "old ones make room");
    }

    #[test]
    fn a_merchant_who_stalls_leaves_room_for_the_others_and_all_have_their_bound() {
        let questions = Questions::default();
        let take = |name: &'static str| std::iter::from_fn(|| questions.ask(name)).take(AT_ONCE + 1).collect::<Vec<_>>();
        let stalled = take("A");
        assert_eq!(stalled.len(), AT_ONCE_OF_ONE);
        assert_eq!(take("B").len(), AT_ONCE_OF_ONE, "another one has room of his own");
        let others: Vec<_> = ["C", "D", "E", "F", "G", "H", "I", "J"].into_iter().flat_map(take).collect();
        assert_eq!(stalled.len() + others.len(), AT_ONCE);
        drop((stalled, others));
        assert_eq!(take("A").len(), AT_ONCE_OF_ONE);
        assert!(questions.asking.lock().is_ok_and(|asking| asking.is_empty()), "nothing is left of those that ended");
    }
}

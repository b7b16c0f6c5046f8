//! Who calls: API keys, roles, and the limit on failed authentications.
//!
//! The ledger knows the keys. A key's secret is 256 random bits, so a plain SHA-256 of it is stored: a slow password hash
//! protects guessable secrets, and nobody guesses 256 bits; it would only make every call slow. A key is never logged; its id is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::{header, request::Parts};
use taxdisk_protocol::api::{KeyAction, Role};
use taxdisk_protocol::error::Code;
use taxdisk_protocol::ids::TaxpayerNumber;

use taxdisk_web::crowd::network;
use taxdisk_web::serve::Room;

use super::refused::Refused;
use super::{Edge, Peer, surface, tokens};
use crate::ledger::{self, Ledger};

/// Who calls, proven by a key.
#[derive(Debug, Clone)]
pub struct Caller(ledger::Caller, Option<Peer>);

impl Caller {
    /// Id of the key, for the ledger's audit.
    pub fn by(&self) -> &str {
        &self.0.id
    }

    /// What the ledger knows of the key.
    pub fn known(&self) -> &ledger::Caller {
        &self.0
    }

    /// The ledger for this caller: what it changes is entered under its key and address.
    pub fn ledger(&self, edge: &Edge) -> Ledger {
        edge.ledger.of(self.by(), &self.1.map_or_else(String::new, |peer| peer.0.ip().to_canonical().to_string()))
    }

    /// Sellers that the key is limited to; empty: all.
    pub fn sellers(&self) -> &[TaxpayerNumber] {
        &self.0.sellers
    }

    /// May this caller act for `seller`? A text that is no taxpayer number is nobody's: only keys without a limit pass it on.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may(&self, seller: &str) -> Result<(), Refused> {
        if self.0.sellers.is_empty() || self.0.sellers.iter().any(|allowed| allowed.as_str() == seller) {
            return Ok(());
        }
        Err(Refused::new(Code::Forbidden, format!("the key {} is not for seller {seller:?}", self.0.id)))
    }

    /// May this caller see what concerns no seller in particular?
    ///
    /// # Errors
    /// `forbidden`.
    pub fn unlimited(&self) -> Result<(), Refused> {
        if self.0.sellers.is_empty() {
            return Ok(());
        }
        Err(Refused::new(
            Code::Forbidden,
            format!("the key {} is limited to sellers, and this call concerns all of them", self.0.id),
        ))
    }
}

impl FromRequestParts<Edge> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Refused> {
        let peer = parts.extensions.get::<Peer>().copied();
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(header) = header else {
            return Err(edge.failed(peer, Refused::new(Code::Unauthorized, "the header Authorization: Bearer tdk_… is missing")));
        };
        let Some((_, key)) = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
            return Err(edge.failed(peer, Refused::new(Code::Unauthorized, "the header Authorization must be Bearer and a key")));
        };
        let key = key.trim();
        let known = match &edge.tokens {
            Some(tokens) if tokens::Tokens::is_one(key) => tokens.authenticate(key).await,
            _ => edge.ledger.authenticate(key),
        };
        match known {
            Ok(caller) => {
                tracing::Span::current().record("key", caller.id.as_str());
                if let Some(room) = parts.extensions.get::<Room>() {
                    room.vouch();
                }
                admit(edge, &caller)?;
                edge.ledger.note_use(&caller);
                let caller = Caller(caller, peer);
                allowed(parts, &caller)?;
                Ok(caller)
            }
            Err(refusal) if refusal.code == "key_expired" => {
                Err(edge.failed(peer, Refused::new(Code::KeyExpired, "the key's time is over; an administrator makes a new one")))
            }
            Err(refusal) if refusal.code == "not_ready" => Err(refusal.into()),
            // A token says of itself what it is; why it is not taken tells nobody anything.
            Err(refusal) if edge.tokens.is_some() && tokens::Tokens::is_one(key) => {
                Err(edge.failed(peer, Refused::new(Code::Unauthorized, refusal.detail)))
            }
            // Unknown and revoked look alike from outside.
            Err(_) => Err(edge.failed(peer, Refused::new(Code::Unauthorized, "this key is not known, or it is revoked"))),
        }
    }
}

/// Takes a call out of what a key may make.
fn admit(edge: &Edge, caller: &ledger::Caller) -> Result<(), Refused> {
    let Some(Err(wait_s)) = edge.rates.as_ref().map(|rates| rates.admit(&caller.id, Instant::now())) else { return Ok(()) };
    metrics::counter!("taxdisk_calls_over_rate_total").increment(1);
    let mut refused = Refused::new(Code::RateLimited, format!("the key {} calls too often; wait {wait_s} s", caller.id));
    refused.0.retry_after_s = Some(wait_s);
    Err(refused)
}

/// May a key make this call? The table says what the call needs; one that is not there is nobody's.
fn allowed(parts: &Parts, caller: &Caller) -> Result<(), Refused> {
    let route = parts.extensions.get::<MatchedPath>();
    let needs = route.and_then(|route| surface::needs(&parts.method, route.as_str()));
    let Some((actions, all_sellers, admin)) = needs.as_ref().and_then(surface::Needs::of_key) else {
        tracing::error!(method = %parts.method, path = parts.uri.path(), "this call is missing in the table of calls");
        return Err(Refused::new(Code::Forbidden, "nobody may make this call: it is missing in the broker's table of calls"));
    };
    if admin && caller.0.role != Role::Admin {
        return Err(Refused::new(Code::Forbidden, "this call needs a key of the role admin"));
    }
    if !caller.0.actions.is_empty() && !actions.iter().any(|action| caller.0.actions.contains(action)) {
        let listed = |actions: &[KeyAction], by: &str| actions.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(by);
        let (only, this) = (listed(&caller.0.actions, ", "), listed(actions, " or "));
        let text = format!("the key {} is for {only} only; this call is {this}", caller.0.id);
        return Err(Refused::new(Code::Forbidden, text));
    }
    if all_sellers { caller.unlimited() } else { Ok(()) }
}

/// A caller with the role admin.
#[derive(Debug, Clone)]
pub struct Admin(pub Caller);

impl FromRequestParts<Edge> for Admin {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Refused> {
        let caller = Caller::from_request_parts(parts, edge).await?;
        match caller.0.role {
            // A limit on sellers limits an administrator too: what concerns all sellers is not his.
            Role::Admin => caller.unlimited().map(|()| Admin(caller)),
            Role::Platform => Err(Refused::new(Code::Forbidden, "this call needs a key of the role admin")),
        }
    }
}

/// Failed authentications per address in the running minute.
///
/// A good key is never refused because of it: behind a proxy all callers share one address, and one of them must not lock the
/// others out. Over the limit a failure costs no log line, and its caller learns nothing about the key.
#[derive(Debug)]
pub struct Failures {
    limit: u32,
    seen: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Failures {
    /// Addresses that are remembered; 100 KiB.
    const MAX_ADDRESSES: usize = 2048;
    const WINDOW: Duration = Duration::from_secs(60);

    /// At most `limit` a minute.
    pub fn new(limit: u32) -> Failures {
        Failures { limit, seen: Mutex::new(HashMap::new()) }
    }

    /// Counts one failure; true when the address is over its limit.
    pub fn count(&self, address: IpAddr, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let address = network(address);
        if !seen.contains_key(&address) && seen.len() >= Self::MAX_ADDRESSES {
            seen.retain(|_, (began, _)| now.saturating_duration_since(*began) < Self::WINDOW);
            if seen.len() >= Self::MAX_ADDRESSES {
                // So many addresses fail in one minute that one more is refused unseen.
                return true;
            }
        }
        let (began, count) = seen.entry(address).or_insert((now, 0));
        if now.saturating_duration_since(*began) >= Self::WINDOW {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count > self.limit
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn failures_are_counted_by_address_and_minute() {
        let failures = Failures::new(2);
        let start = Instant::now();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(!failures.count(one, start) && !failures.count(one, start));
        assert!(failures.count(one, start));
        assert!(!failures.count("192.0.2.2".parse().unwrap(), start));
        assert!(!failures.count(one, start + Duration::from_secs(60)));
        let v6 = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        assert!(!failures.count(v6(1), start) && !failures.count(v6(2), start));
        assert!(failures.count(v6(3), start));
    }

    #[test]
    fn the_memory_for_failures_is_bounded() {
        let failures = Failures::new(1000);
        let start = Instant::now();
        for index in 0..10_000_u32 {
            failures.count(IpAddr::from(index.to_be_bytes()), start);
        }
        assert_eq!(failures.seen.lock().unwrap().len(), Failures::MAX_ADDRESSES);
        assert!(failures.count("203.0.113.9".parse().unwrap(), start));
        assert!(!failures.count("203.0.113.9".parse().unwrap(), start + Duration::from_secs(61)));
    }
}

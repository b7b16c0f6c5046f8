//! What the broker tells by webhook (Standard Webhooks 1.0), and how the portal asks for it.
//!
//! A message is only a reason to look: the job itself is fetched, here and at once, so a message that comes late, twice or not at
//! all changes nothing that the courier would not find by asking.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use taxdisk_protocol::event::{EventBody, Signing, WebhookRequest};
use taxdisk_web::webhook::{Secret, Signers};

use crate::broker::{BrokerClient, BrokerError};
use crate::core::outcome;
use crate::portal::Portal;
use crate::serve::vouch;
use crate::store::StoreError;

/// Where messages come in.
pub const PATH: &str = "/hooks/broker";
/// A message at most, bytes.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
/// A message may be so old or so new, seconds (Standard Webhooks 1.0).
const TOLERANCE_S: i64 = 300;
/// How often the portal tries to register.
const RETRY: Duration = Duration::from_secs(5);

/// How its messages are taken.
#[derive(Clone)]
pub struct Hook {
    secret: Secret,
    broker: BrokerClient,
}

/// The endpoint that the broker has for this portal.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Registered {
    id: String,
    url: String,
    secret: String,
}

/// Registers the endpoint, again and again until the broker has it. Without it the portal asks by itself.
pub async fn register(portal: Arc<Portal>, broker: BrokerClient, url: String) {
    let stored = stored(&portal).await.unwrap_or_default();
    let mut known: Option<Registered> = stored.first().and_then(|(_, body)| serde_json::from_str(body).ok());
    loop {
        let request = WebhookRequest {
            url: url.clone(),
            description: "taxdisk-portal".to_owned(),
            events: vec!["job.*".to_owned()],
            enabled: true,
            ..WebhookRequest::default()
        };
        let done = match &known {
            Some(registered) => broker.put_webhook(&registered.id, &request).await.map(|_| registered.clone()),
            None => {
                let signing = Some(Signing::Symmetric);
                broker.create_webhook(&WebhookRequest { signing, ..request }).await.map(|made| Registered {
                    id: made.webhook.id,
                    url: url.clone(),
                    secret: made.secret.unwrap_or_default(),
                })
            }
        };
        match done {
            Ok(registered) => {
                let Ok(secret) = Secret::parse(&registered.secret) else {
                    tracing::error!("the broker gave no secret that can be used; results come by asking");
                    return;
                };
                let body = serde_json::to_string(&registered).unwrap_or_default();
                let kept = portal
                    .ledger
                    .run(move |session| Box::pin(async move { session.db.put_setting("webhook", "broker", &body).await }));
                if kept.await.is_ok() {
                    *portal.hook.write().unwrap_or_else(PoisonError::into_inner) = Some(Hook { secret, broker });
                    tracing::info!(webhook = registered.id, "the broker tells of results");
                }
                return;
            }
            // It was deleted there: a new one is made.
            Err(BrokerError::Refused(problem)) if problem.code == "not_found" => known = None,
            Err(BrokerError::Refused(problem)) => {
                tracing::warn!(why = problem.detail, "the broker takes no webhook to this portal; results come by asking");
                return;
            }
            Err(BrokerError::Away(why)) => {
                tracing::debug!(why, "the webhook is not registered yet");
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = portal.ledger.ended() => return,
                }
            }
        }
    }
}

async fn stored(portal: &Portal) -> Result<Vec<(String, String)>, StoreError> {
    portal.readers.get().await?.settings("webhook").await
}

/// Takes a message: 204 once what the broker says of the job is durable.
pub async fn receive(portal: Arc<Portal>, request: Request<Body>) -> Response<Body> {
    let status = match taken(&portal, request).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(status) => status,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

async fn taken(portal: &Portal, request: Request<Body>) -> Result<(), StatusCode> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BYTES).collect().await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
    let hook = portal.hook.read().unwrap_or_else(PoisonError::into_inner).clone();
    // Messages may be faster than the note of the secret: the broker sends again what was not taken.
    let Hook { secret, broker } = hook.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let now = (portal.clock)() / 1000;
    if !is_genuine(&secret, header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"), &body, now) {
        tracing::warn!("a message that is not the broker's was refused");
        return Err(StatusCode::UNAUTHORIZED);
    }
    vouch(&parts.extensions);
    let event: EventBody = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let text = |name: &str| event.data.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let (Some(seller), Some(serial)) = (text("seller"), text("serial")) else { return Ok(()) };
    let view = broker.job(&seller, &serial).await.map_err(|error| {
        tracing::debug!(%seller, %serial, %error, "a job that the broker told of cannot be fetched");
        StatusCode::SERVICE_UNAVAILABLE
    })?;
    // A ledger that was restored may not have it: the courier finds that out.
    let Some(view) = view else { return Ok(()) };
    let ledger = portal.ledger.behind();
    let told = ledger.run(move |session| Box::pin(async move { outcome::told(session, &seller, &serial, &view).await }));
    told.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// One of the signatures is that of the secret over id, time and body, and the time is near.
fn is_genuine(secret: &Secret, id: &str, timestamp: &str, signatures: &str, body: &[u8], now_s: i64) -> bool {
    let Ok(seconds) = timestamp.parse::<i64>() else { return false };
    if id.is_empty() || (now_s - seconds).abs() > TOLERANCE_S {
        return false;
    }
    let expected = Signers(vec![secret.clone()]).header(id, seconds, body);
    signatures.split(' ').any(|given| given.as_bytes().ct_eq(expected.as_bytes()).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_brokers_own_message_of_these_minutes_is_taken() {
        // The published vector of the reference libraries.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let genuine = |id: &str, at: &str, signature: &str, body: &[u8], now| is_genuine(&secret, id, at, signature, body, now);
        let text = at.to_string();
        assert!(genuine(id, &text, good, body, at + 300));
        assert!(genuine(id, &text, &format!("v1,AAAA {good}"), body, at));
        assert!(!genuine(id, &text, good, body, at + 301));
        assert!(!genuine(id, &text, good, b"{}", at));
        assert!(!genuine("msg_other", &text, good, body, at));
        assert!(!genuine(id, "1614265331", good, body, at));
        assert!(!genuine(id, &text, "v1,AAAA", body, at));
        assert!(!genuine("", &text, "", body, at));
    }
}

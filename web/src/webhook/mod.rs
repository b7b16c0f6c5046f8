//! Standard Webhooks 1.0: one message, signed by every secret in force, sent once.
//!
//! The signed content is `id.timestamp.body`. The id stays the same however often a message is sent; the timestamp is that of
//! the attempt. Whether and when to send again is decided by [`schedule`]; what is kept, by who uses this.
//!
//! Read first: [`Signers`], [`send`].

use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use taxdisk_protocol::time::Timestamp;
use taxdisk_protocol::trace::Traceparent;

use crate::outbound::{CallError, Outbound, Target};

pub mod schedule;
pub mod secret;

pub use secret::{Secret, SecretError, Signers};

use schedule::Outcome;

/// Characters of an answer's body that are kept for people.
const TEXT_CHARS: usize = 200;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Stays the same at every attempt. Holds no full stop.
    pub id: &'a str,
    /// When this attempt is made.
    pub at: Timestamp,
    /// JSON.
    pub body: Bytes,
    /// The place of this attempt in the trace of what it tells of.
    pub trace: Option<Traceparent>,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// For the schedule.
    pub outcome: Outcome,
    /// Status, if there was an answer.
    pub status: Option<u16>,
    /// Milliseconds.
    pub ms: u64,
    /// For people: the beginning of the answer, or why there was none.
    pub text: String,
}

/// Sends a message once.
pub async fn send(outbound: &Outbound, target: &Target, signers: &Signers, message: &Message<'_>) -> Sent {
    let began = std::time::Instant::now();
    let ms = |began: std::time::Instant| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let seconds = message.at.0.div_euclid(1000);
    let signature = signers.header(message.id, seconds, &message.body);
    let value = |text: &str| HeaderValue::from_str(text).ok();
    let headers = [("webhook-id", value(message.id)), ("webhook-signature", value(&signature))];
    let mut sent = vec![
        (HeaderName::from_static("content-type"), HeaderValue::from_static("application/json")),
        (HeaderName::from_static("webhook-timestamp"), HeaderValue::from(seconds)),
    ];
    for (name, value) in headers {
        let Some(value) = value else {
            let text = format!("{name} cannot be sent in a header");
            return Sent { outcome: Outcome::Failed { after_ms: None }, status: None, ms: 0, text };
        };
        sent.push((HeaderName::from_static(name), value));
    }
    if let Some(trace) = message.trace.and_then(|trace| value(&trace.to_string())) {
        sent.push((HeaderName::from_static("traceparent"), trace));
    }
    match outbound.post(target, &sent, message.body.clone()).await {
        Ok(answer) => {
            let retry_after = answer.headers.get("retry-after").and_then(|value| value.to_str().ok());
            let outcome = schedule::outcome(answer.status, retry_after, message.at);
            let text = if outcome == Outcome::Delivered { String::new() } else { readable(&answer.body) };
            Sent { outcome, status: Some(answer.status), ms: answer.ms, text }
        }
        Err(error) => Sent { outcome: Outcome::Failed { after_ms: None }, status: None, ms: ms(began), text: why(&error) },
    }
}

fn why(error: &CallError) -> String {
    error.to_string().chars().take(TEXT_CHARS).collect()
}

/// The beginning of a body as text, without what a terminal or a page would take for its own.
fn readable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().take(TEXT_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

//! What outsiders are told of: the types of events, their payload, and the API of webhooks.
//!
//! An event is a notice, not the truth: the job is. It may come twice (same id) and late (`superseded`); `revision` orders the
//! events of one job.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A type of event and what it means.
pub type EventType = (&'static str, &'static str);

/// All types, for documentation and to refuse a misspelt one. New ones are added at the end.
pub const EVENT_TYPES: &[EventType] = &[
    ("job.issued", "A legal invoice exists; `issued` holds it."),
    ("job.failed", "Proven not issued; `problem` says why. The same serial number may be re-issued."),
    ("job.cancelled", "Withdrawn, and proven not issued."),
    ("job.unsettled", "It is not known whether an invoice exists. The disk is read; nobody must take a new serial number."),
    ("job.queued", "Queued again: after a re-issue, or because a disk was in trouble and nothing was issued."),
    ("agent.up", "An agent's link came up."),
    ("agent.down", "An agent's link ended."),
    ("disk.up", "A disk is there and ready."),
    ("disk.down", "A disk is gone or not ready; `class` and `text` say why."),
    (
        "disk.warning",
        "A disk needs a person soon: stock, lock date, offline limit, clock. `warning` names which, `cleared` its end.",
    ),
    ("webhook.disabled", "An endpoint was switched off by us; it keeps its events."),
    ("job.voided", "Of a void job: the invoice that it names is void."),
    (
        "disk.operation",
        "An operation of an administrator ended: `operation`, `state` and `verdict` say which and how. Dry runs and readings too.",
    ),
];

/// Is this the name of a type, or of all that begin so (`job.*`)?
pub fn is_pattern(text: &str) -> bool {
    match text.strip_suffix(".*") {
        Some(group) => EVENT_TYPES.iter().any(|(name, _)| name.split('.').next() == Some(group)),
        None => EVENT_TYPES.iter().any(|(name, _)| *name == text),
    }
}

/// Is an event of this type wanted? No patterns: everything is.
pub fn is_wanted(patterns: &[String], name: &str) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| match pattern.strip_suffix(".*") {
            Some(group) => name.split('.').next() == Some(group),
            None => pattern == name,
        })
}

/// An event, as a webhook's body and as `data` of the event stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventBody {
    /// The same at every delivery.
    pub id: String,
    /// `job.issued` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, RFC 3339.
    pub timestamp: String,
    /// What happened. Of a job: seller, serial, operation, kind, state, revision, issued, problem; `superseded`, and then
    /// `current`.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// How messages are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// HMAC-SHA256 with a shared secret: `v1`.
    #[default]
    Symmetric,
    /// Ed25519: `v1a`; the receiver needs the public key only.
    Asymmetric,
}

fn yes() -> bool {
    true
}

/// An endpoint as a caller writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct WebhookRequest {
    /// `https://…`, at most 2048 bytes.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Types of events (`job.issued`, `disk.*`); empty: all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Taxpayer numbers; empty: all that the key is for. With sellers named, only what concerns one of them is sent.
    #[serde(default)]
    pub sellers: Vec<String>,
    /// False: nothing is sent, events are kept. True after an automatic end begins again with what was kept.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// At creation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// At creation only: a secret of the caller's own, `whsec_…` (24 to 64 bytes) or `whsk_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Why we switched an endpoint off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookDisabled {
    /// RFC 3339.
    pub at: String,
    /// `gone` (it answered 410) or `failing` (nothing was taken for days).
    pub reason: String,
    /// For people.
    pub text: String,
}

/// An endpoint as the API shows it; its secret is shown at creation and rotation only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Its id.
    pub id: String,
    /// Address.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Types of events; empty: all.
    pub events: Vec<String>,
    /// Sellers; empty: all.
    pub sellers: Vec<String>,
    /// Messages are sent.
    pub enabled: bool,
    /// Present if we switched it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<WebhookDisabled>,
    /// How messages are signed.
    pub signing: Signing,
    /// `whpk_…`, if asymmetric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The secret before this one signs too until then, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_secret_until: Option<String>,
    /// Nothing was taken since, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<String>,
    /// Something was taken last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<String>,
    /// Deliveries that wait for their (next) attempt. More may wait behind them in the stream of events.
    pub waiting: u64,
    /// Who made it (id of the API key).
    pub created_by: String,
    /// RFC 3339.
    pub created_at: String,
}

/// A new endpoint, or a new secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewWebhook {
    /// The endpoint.
    pub webhook: WebhookView,
    /// The secret of a symmetric endpoint, shown once. Absent where the public key is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A new secret for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct RotateRequest {
    /// How long the old secret signs too, seconds; one day if left out, at most 30 days, 0: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_s: Option<u64>,
    /// A secret of the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// What became of a test message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestAnswer {
    /// It was taken (2xx).
    pub delivered: bool,
    /// Id of the message.
    pub id: String,
    /// Status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Milliseconds.
    pub ms: u64,
    /// The beginning of the answer, or why there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// What to send again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReplayRequest {
    /// This event. Without it: all that are in the endpoint's delivery log, by the limits below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Only what was given up.
    #[serde(default)]
    pub failed: bool,
    /// Events at or after, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Events before, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// From the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayAnswer {
    /// So many deliveries are sent again, with their old ids.
    pub queued: u64,
    /// There is more: ask again with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is sent, or sent again.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// Given up after the last attempt while others were taken; may be replayed.
    Failed,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryAttempt {
    /// RFC 3339.
    pub at: String,
    /// Status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Milliseconds.
    pub ms: u64,
    /// The beginning of the answer, or why there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// One event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// Id of the event.
    pub event: String,
    /// Type of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// Seller, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Serial number, if it is about a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Revision of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// How it stands.
    pub state: DeliveryState,
    /// The next attempt, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// Attempts in all.
    pub tries: u64,
    /// The newest attempts, oldest first.
    pub attempts: Vec<DeliveryAttempt>,
}

/// A page of a delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryPage {
    /// The newest event first.
    pub deliveries: Vec<DeliveryView>,
    /// For the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_types_or_groups_that_exist() {
        for good in ["job.issued", "job.*", "disk.*", "webhook.disabled"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "*", "job", "job.", "job.isued", "jobs.*", "job.issued.*", ".*"] {
            assert!(!is_pattern(bad), "{bad}");
        }
        let wanted = |patterns: &[&str], name| is_wanted(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>(), name);
        assert!(
            wanted(&[], "job.issued") && wanted(&["job.*"], "job.issued") && wanted(&["disk.up", "job.issued"], "job.issued")
        );
        assert!(!wanted(&["disk.*"], "job.issued") && !wanted(&["job.failed"], "job.issued"));
    }
}

//! Spans of a job's way: what a program did for a job, from when to when, under which trace.
//!
//! A job outlives processes: it waits in a queue through restarts, and an agent that takes over from a killed one goes on
//! with the same attempt. So a span is no guard that is dropped at its end but a [`Span`] that is told once it is over, with
//! times that are durable where they must be, and its place is one that every process works out alike
//! ([`Traceparent::step`]).
//!
//! What it refuses to do: to decide anything, to make a caller wait, to fail. Spans that the receiver does not take in time
//! are dropped and counted in a log line. In a program that is built without the feature `otel` every span is dropped where
//! it is made.
//!
//! Read first: [`Span`], [`Traces`].

#![forbid(unsafe_code)]

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use taxdisk_protocol::trace::Traceparent;

#[cfg(unix)]
pub mod journal;
#[cfg(feature = "otel")]
mod otlp;

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// `http://host:port/v1/traces` of a receiver of OTLP over HTTP; left out: spans are not sent, and ids are in answers and log
    /// lines all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Why spans cannot be sent, for whoever wrote the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracesError(pub String);

impl std::fmt::Display for TracesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TracesError {}

/// How a span stands to others (OpenTelemetry, "SpanKind").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work inside of the program.
    Internal,
    /// A call from outside that was answered.
    Server,
    /// A call to something outside that answered.
    Client,
    /// Something handed over for later.
    Producer,
}

/// One step of a job's way, told when it is over.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its trace and its own id.
    pub at: Traceparent,
    /// The span that it is a part of; `None`: it begins the trace.
    pub parent: Option<[u8; 8]>,
    /// What it is called: one of a few words, never a name of somebody or a number.
    pub name: &'static str,
    /// How it stands to others.
    pub kind: Kind,
    /// From.
    pub start: SystemTime,
    /// Until.
    pub end: SystemTime,
    /// More about it. No content of an invoice and no secret.
    pub attributes: Vec<(&'static str, String)>,
    /// What went wrong, for people.
    pub error: Option<String>,
}

impl Span {
    /// A part of `parent`, at `at`.
    pub fn part(
        at: Traceparent,
        parent: Traceparent,
        name: &'static str,
        kind: Kind,
        start: SystemTime,
        end: SystemTime,
    ) -> Span {
        Span { at, parent: Some(parent.span()), name, kind, start, end, attributes: Vec::new(), error: None }
    }

    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Span {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With what went wrong, if something did.
    #[must_use]
    pub fn failed(mut self, error: Option<String>) -> Span {
        self.error = error;
        self
    }

    /// Tells it. Never waits; of a trace that its caller does not record nothing is sent.
    pub fn tell(self) {
        if self.at.sampled() {
            send(self);
        }
    }
}

/// Begins to send spans to the receiver that is configured, as this service. Call once, at the start.
///
/// The address cannot be used, or this program was built without the feature `otel`; a sentence that says what to do.
pub fn start(traces: &Traces, service: &'static str, version: &str) -> Result<(), TracesError> {
    match &traces.endpoint {
        None => Ok(()),
        Some(endpoint) => begin(endpoint, service, version),
    }
}

#[cfg(feature = "otel")]
fn begin(endpoint: &str, service: &'static str, version: &str) -> Result<(), TracesError> {
    otlp::start(endpoint, service, version)
}

#[cfg(not(feature = "otel"))]
fn begin(_: &str, _: &'static str, _: &str) -> Result<(), TracesError> {
    let text = "[traces] endpoint is set, but this program was built without the feature otel and sends none: leave it out, or \
                build with it.";
    Err(TracesError(text.to_owned()))
}

#[cfg(feature = "otel")]
fn send(span: Span) {
    otlp::send(span);
}

#[cfg(not(feature = "otel"))]
fn send(_: Span) {}

/// Sends what was told so far; waits for it some seconds at most. For the end of a program.
pub fn flush() {
    #[cfg(feature = "otel")]
    otlp::flush();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn without_a_receiver_nothing_is_begun() {
        start(&Traces::default(), "taxdisk-test", "0").unwrap();
    }

    #[cfg(not(feature = "otel"))]
    #[test]
    fn a_receiver_that_gets_nothing_is_refused() {
        let traces = Traces { endpoint: Some("http://127.0.0.1:4318/v1/traces".to_owned()) };
        assert!(start(&traces, "taxdisk-test", "0").unwrap_err().0.contains("feature otel"));
    }

    #[cfg(feature = "otel")]
    #[test]
    fn an_address_that_cannot_be_used_is_refused() {
        for bad in ["", "collector:4318", "ftp://collector/v1/traces", "http://user:password@collector/v1/traces"] {
            let traces = Traces { endpoint: Some(bad.to_owned()) };
            assert!(start(&traces, "taxdisk-test", "0").unwrap_err().0.contains("[traces] endpoint"), "{bad}");
        }
    }
}

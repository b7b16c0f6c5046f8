//! The trace that a call belongs to: its caller's (`traceparent`, W3C Trace Context), else one of its own.
//!
//! This is the edge at which ids enter: the core and the store only carry them. A header that is no trace context is as none, and
//! never a reason to refuse a call.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue};
use taxdisk_protocol::api::JobView;
use taxdisk_protocol::trace::Traceparent;
use taxdisk_telemetry::{Kind, Span};

/// Header of every answer: the trace that the log lines about it carry; of an answer that is one job, that job's.
pub(super) const HEADER: &str = "x-trace-id";

/// The trace of one call.
#[derive(Debug, Clone)]
pub struct Traced(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    caller: Option<Traceparent>,
    own: Traceparent,
    began: SystemTime,
    job: OnceLock<String>,
}

impl Default for Traced {
    /// Of a call that named none.
    fn default() -> Self {
        Traced::new(None)
    }
}

impl Traced {
    fn new(caller: Option<Traceparent>) -> Traced {
        let own = place(caller);
        Traced(Arc::new(Inner { caller, own, began: SystemTime::now(), job: OnceLock::new() }))
    }

    /// Of a call with these headers.
    pub fn of(headers: &HeaderMap) -> Traced {
        let mut given = headers.get_all("traceparent").iter();
        // More than one is as none (section 3.2): nobody can say which was meant.
        let one = given.next().filter(|_| given.next().is_none());
        Traced::new(one.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()))
    }

    /// The call's own trace, as log lines have it.
    pub fn trace_id(&self) -> String {
        self.0.own.trace_id()
    }

    /// A place for one acceptance. All jobs of a caller's trace are in it; without one, each job of a batch has its own.
    pub fn acceptance(&self, of_many: bool) -> Traceparent {
        if of_many { place(self.0.caller) } else { self.0.own }
    }

    /// Tells the acceptance of a job.
    pub fn accepted(&self, at: Traceparent, job: &JobView) {
        let span = Span {
            at,
            parent: self.0.caller.map(|caller| caller.span()),
            name: "accept",
            kind: Kind::Server,
            start: self.0.began,
            end: SystemTime::now(),
            attributes: Vec::new(),
            error: None,
        };
        span.with("taxdisk.job", format_args!("{}/{}", job.seller, job.serial)).with("taxdisk.kind", &job.kind).tell();
    }

    /// The call's answer is this job.
    pub fn answers(&self, job: &JobView) {
        if let Some(trace_id) = &job.trace_id {
            // The first one counts: a call answers with one job.
            let _ = self.0.job.set(trace_id.clone());
        }
    }

    /// For the answer's head.
    pub(super) fn header(&self) -> HeaderValue {
        let text = self.0.job.get().cloned().unwrap_or_else(|| self.trace_id());
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// A new span: in the caller's trace, or in a new one.
fn place(caller: Option<Traceparent>) -> Traceparent {
    loop {
        // Zero means "none" and comes once in 2^64 draws.
        let drawn = match caller {
            Some(caller) => caller.at(rand::random()),
            None => Traceparent::new(rand::random(), rand::random(), true),
        };
        if let Some(drawn) = drawn {
            return drawn;
        }
    }
}

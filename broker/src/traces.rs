//! The broker's steps of a job's way as spans: queue wait, hand-over, outcome. They are made of the job's own events once
//! these are durable, so what is told happened, and a start that repeats nothing tells nothing twice.
//!
//! It refuses to decide, to draw ids (the edge does: [`crate::http::Traced`]) and to know who looks on.
//!
//! ```text
//! accept            the acceptance; its parent is the caller's span, if it named one
//! ├ queue n         until attempt n: since the acceptance, or since the attempt before it ended
//! ├ hand-over n     from the assignment until the agent's intent is durable; what the agent does is a part of it
//! │ └ outcome       from the agent's report until it is durable here
//! └ webhook         one delivery, one for each try
//! ```

use std::time::{Duration, SystemTime};

use taxdisk_protocol::job::{Event, Job, What};
use taxdisk_protocol::time::Timestamp;
use taxdisk_protocol::trace::{HAND_OVER, Traceparent};
use taxdisk_telemetry::{Kind, Span};

/// Tells what is over with this event, which is durable since `durable`. `job` is the job after it.
pub(crate) fn tell(job: &Job, event: &Event, durable: SystemTime) {
    let Some(trace) = job.trace else { return };
    if job.state.is_terminal() && !matches!(event.what, What::Evidence { .. } | What::Linked { .. }) {
        tracing::info!(job = %job.key, trace_id = trace.trace_id(), event = event.what.name(), "job ended");
    }
    for span in spans(job, trace, event, durable) {
        span.with("taxdisk.job", &job.key).tell();
    }
}

fn spans(job: &Job, trace: Traceparent, event: &Event, durable: SystemTime) -> Vec<Span> {
    match &event.what {
        What::Assigned { attempt, .. } => vec![queue(job, trace, *attempt, event.at)],
        What::Started { attempt, .. } => hand_over(job, trace, *attempt, event.at).into_iter().collect(),
        What::Issued { attempt, .. }
        | What::Voided { attempt, .. }
        | What::NotIssued { attempt, .. }
        | What::GivenBack { attempt, .. }
        | What::Unsettled { attempt, .. } => {
            // Without a beginning the hand-over ends with the attempt. An unsettled one may still tell of its beginning.
            let begun = job.attempt(*attempt).is_none_or(|found| found.started_at.is_some());
            let over = !begun && !matches!(event.what, What::Unsettled { .. });
            let handed = over.then(|| hand_over(job, trace, *attempt, event.at)).flatten();
            let parent = trace.step(HAND_OVER, *attempt);
            // An attempt may come to several outcomes, one after the other; each has its own revision.
            let at = trace.step("outcome", u32::try_from(job.revision).unwrap_or(u32::MAX));
            let outcome = Span::part(at, parent, "outcome", Kind::Internal, moment(event.at), durable)
                .with("taxdisk.attempt", attempt)
                .with("taxdisk.outcome", event.what.name());
            handed.into_iter().chain([outcome]).collect()
        }
        _ => Vec::new(),
    }
}

/// It waited since the attempt before this one ended, or since it was accepted.
fn queue(job: &Job, trace: Traceparent, attempt: u32, until: Timestamp) -> Span {
    let before = job.attempts.iter().rev().find(|found| found.attempt < attempt).and_then(|found| found.ended_at);
    let since = before.unwrap_or(job.accepted_at);
    Span::part(trace.step("queue", attempt), trace, "queue", Kind::Internal, moment(since), moment(until))
        .with("taxdisk.attempt", attempt)
}

fn hand_over(job: &Job, trace: Traceparent, attempt: u32, until: Timestamp) -> Option<Span> {
    let found = job.attempt(attempt)?;
    let at = trace.step(HAND_OVER, attempt);
    let span = Span::part(at, trace, HAND_OVER, Kind::Producer, moment(found.assigned_at), moment(until));
    Some(span.with("taxdisk.attempt", attempt).with("taxdisk.disk", &found.disk).with("taxdisk.agent", &found.agent))
}

/// A moment of the ledger's clock, for a span.
pub(crate) fn moment(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.0.max(0).unsigned_abs())
}

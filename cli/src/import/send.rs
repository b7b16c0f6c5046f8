//! Sends lines in small batches and matches the answers to them.
//!
//! A batch whose answer did not come back whole is sent again with the same serial numbers: those that were taken are
//! answered as known, so nothing can double. Batches are small because a blocking client reads answers only after its whole
//! request is written: both must fit the sockets' buffers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use taxdisk_protocol::api::BatchLine;

use super::Event;
use super::report::Refusal;
use super::source::{Item, Line, Source};
use crate::client::Client;
use crate::failure::{Failure, is_passing};

/// Jobs of one batch: enough that one commit of the broker takes many, few enough that progress is seen.
const BATCH_COUNT: usize = 32;
/// Bytes of one batch. Answers are about twice as long; Linux gives a loopback or LAN socket more than that.
const BATCH_LIMIT_BYTES: usize = 48 * 1024;
/// Tries of one batch: over a minute with the pauses below, longer than a broker needs to start again.
const TRIES: u32 = 12;
/// First pause before another try; it doubles up to [`PAUSE_LIMIT`].
const PAUSE: Duration = Duration::from_millis(200);
/// Longest pause.
const PAUSE_LIMIT: Duration = Duration::from_secs(10);

/// Reads the source and sends it, from several threads at once.
pub(super) struct Sender {
    client: Client,
    source: Mutex<Source>,
    stopped: AtomicBool,
}

impl Sender {
    /// A sender of this source.
    pub(super) fn new(client: Client, source: Source) -> Sender {
        Sender { client, source: Mutex::new(source), stopped: AtomicBool::new(false) }
    }

    /// Sends until the source is at its end or nobody can go on.
    pub(super) fn run(&self, events: &mpsc::Sender<Event>) {
        // Whoever listens has gone only when the process ends: sending to nobody is no trouble.
        let tell = |event| drop(events.send(event));
        while !self.stopped.load(Ordering::Relaxed) {
            let result = self.batch(&tell).and_then(|batch| {
                if batch.is_empty() {
                    return Ok(false);
                }
                self.send(batch, &tell).map(|()| true)
            });
            match result {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    if !self.stopped.swap(true, Ordering::Relaxed) {
                        tell(Event::Stopped(failure));
                    }
                }
            }
        }
        tell(Event::SenderDone);
    }

    /// The next lines, refusals told on the way. Empty at the end.
    fn batch(&self, tell: &impl Fn(Event)) -> Result<Vec<Item>, Failure> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        let mut length = 0;
        while batch.len() < BATCH_COUNT && length < BATCH_LIMIT_BYTES {
            let Some(line) = source.next_line()? else { break };
            tell(Event::Read);
            match line {
                Line::Refused(refusal) => tell(Event::Refused(refusal)),
                Line::Job(item, changed) => {
                    if let Some(changed) = changed {
                        tell(Event::Changed(changed));
                    }
                    length += item.body.len();
                    batch.push(item);
                }
            }
        }
        Ok(batch)
    }

    /// Sends a batch until every line of it has an answer.
    fn send(&self, mut batch: Vec<Item>, tell: &impl Fn(Event)) -> Result<(), Failure> {
        let mut pause = PAUSE;
        for tries_left in (0..TRIES).rev() {
            let body: String = batch.iter().flat_map(|item| [item.body.as_str(), "\n"]).collect();
            let failure = match self.client.send_text("/v1/jobs:batch", "application/x-ndjson", body) {
                Ok(answer) => {
                    let before = batch.len();
                    batch = match_answers(batch, &answer, tell);
                    if batch.is_empty() {
                        return Ok(());
                    }
                    if batch.len() < before {
                        pause = PAUSE;
                    }
                    Failure::Strange {
                        url: format!("{}/v1/jobs:batch", self.client.base()),
                        status: 200,
                        text: format!("{} lines of a batch stay without an answer", batch.len()),
                    }
                }
                Err(failure) if failure.is_passing() => failure,
                Err(failure) => return Err(failure),
            };
            if tries_left == 0 || self.stopped.load(Ordering::Relaxed) {
                return Err(failure);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_LIMIT);
        }
        Ok(())
    }
}

/// Tells what each line came to; gives back those that must be sent again: no answer, or one that passes by itself.
fn match_answers(batch: Vec<Item>, answer: &str, tell: &impl Fn(Event)) -> Vec<Item> {
    // A line that was cut off is no answer; its job is asked for again.
    let mut answers: BTreeMap<u64, BatchLine> =
        answer.lines().filter_map(|line| serde_json::from_str::<BatchLine>(line).ok()).map(|line| (line.line, line)).collect();
    let mut again = Vec::new();
    for (index, item) in batch.into_iter().enumerate() {
        match answers.remove(&(index as u64 + 1)) {
            Some(BatchLine { job: Some(job), status: 200 | 201, .. }) => tell(Event::Accepted(Box::new(job))),
            Some(BatchLine { problem: Some(problem), .. }) if !is_passing(&problem) => {
                tell(Event::Refused(Refusal::by_broker(item.line, &item.label, problem)));
            }
            _ => again.push(item),
        }
    }
    again
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    fn item(line: u64) -> Item {
        Item { line, label: format!("S{line}"), body: "{}".to_owned() }
    }

    fn job(serial: &str) -> serde_json::Value {
        json!({"seller": "s", "serial": serial, "operation": "issue", "kind": "025", "state": "queued", "revision": 1,
               "version": 1, "accepted_at": "t", "changed_at": "t"})
    }

    fn problem(status: u16, retry: &str) -> serde_json::Value {
        json!({"type": "urn:taxdisk:problem:x", "title": "t", "status": status, "detail": "d", "code": "x",
               "issued": "no", "retry": retry, "who": "caller"})
    }

    #[test]
    fn answers_find_their_lines_whatever_their_order_and_lost_ones_are_asked_again() {
        let answer = [
            json!({"line": 3, "status": 422, "problem": problem(422, "never")}).to_string(),
            json!({"line": 1, "status": 201, "job": job("S10")}).to_string(),
            json!({"line": 4, "status": 503, "problem": problem(503, "safe")}).to_string(),
            "{\"line\":2,\"status\":201,\"job\":{\"sel".to_owned(),
        ]
        .join("\n");
        let told = RefCell::new(Vec::new());
        let again = match_answers(vec![item(10), item(11), item(12), item(13)], &answer, &|event| {
            told.borrow_mut().push(match event {
                Event::Accepted(job) => format!("accepted {}", job.serial),
                Event::Refused(refusal) => format!("refused {}", refusal.line),
                _ => "other".to_owned(),
            });
        });
        assert_eq!(told.into_inner(), ["accepted S10", "refused 12"]);
        assert_eq!(again.iter().map(|item| item.line).collect::<Vec<_>>(), [11, 13]);
    }

    #[test]
    fn a_success_without_its_job_is_no_answer() {
        let again = match_answers(vec![item(1)], "{\"line\":1,\"status\":201}", &|_| panic!("nothing is known of it"));
        assert_eq!(again.len(), 1);
    }
}

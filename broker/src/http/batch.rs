//! `POST /v1/jobs:batch`: many jobs as lines of JSON, answered line by line in the same order while more lines come in.
//!
//! A batch is no transaction: each line is accepted or refused as if it had been sent alone, and a batch that breaks off in the
//! middle is simply sent again (I6: what was accepted answers `repeated`). The same serial number twice: with equal content the
//! second line is a repetition (200); with other content it is refused (`duplicate_in_batch`, with the differences), since the
//! caller's file contradicts itself.
//!
//! Memory is bounded whatever the caller does: `WINDOW_LINES` lines at work, and `MAX_UNREAD_BYTES` of answers. Then no more
//! is read. A caller that sends everything before it reads must stay below about 40,000 lines.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use taxdisk_protocol::api::{BatchLine, JobSubmission, JobView};
use taxdisk_protocol::error::{Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::Instrument;

use super::auth::Caller;
use super::refused::Refused;
use super::{Edge, Traced, body, jobs};
use crate::serve::stopped;

/// The longest line, bytes: an invoice of 100 lines is under 64 KiB.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;
/// The longest batch, bytes.
const MAX_BATCH_BYTES: u64 = 512 * 1024 * 1024;
/// The most lines: the serial numbers of a batch are remembered, 16 bytes each.
const MAX_BATCH_LINES: u64 = 500_000;
/// Lines at the ledger at the same time: they share its commits.
const WINDOW_LINES: usize = 256;
/// Answers that the caller has not read yet, bytes. Many callers send all before they read; they must not be stuck at once.
const MAX_UNREAD_BYTES: u32 = 16 * 1024 * 1024;
/// A caller that sends nothing for so long has gone.
const IDLE: Duration = Duration::from_secs(60);

/// Submits jobs, one JSON object a line; the answer has one line for each, in the same order. The jobs in it come without
/// invoice, attempts and evidence.
#[utoipa::path(post, path = "/v1/jobs:batch", tag = "jobs", request_body(content = JobSubmission, content_type = "application/x-ndjson"), responses(
    (status = 200, description = "One line for each line", body = BatchLine, content_type = "application/x-ndjson"),
    (status = 503, description = "Too many batches at the same time", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn submit(State(edge): State<Edge>, caller: Caller, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    body::expect(&parts.headers, &["application/x-ndjson", "application/jsonl"])?;
    let room = edge.batches.clone().try_acquire_owned();
    let room = room.map_err(|_| Refused::new(Code::NotReady, "too many batches are running; send this one again in a moment"))?;
    let chunks = body.into_data_stream().map(|chunk| chunk.map_err(|error| error.to_string()));
    let traced = parts.extensions.get::<Traced>().cloned().unwrap_or_default();
    let answers = start(edge, (caller, traced), chunks, room);
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(answers)).into_response())
}

/// Works through the lines of `chunks` in a task of its own; the stream gives the answers. An answer that ends early ends with an
/// error, so that the connection breaks and nobody takes half an answer for a whole one.
fn start(
    edge: Edge,
    (caller, traced): (Caller, Traced),
    chunks: impl Stream<Item = Result<Bytes, String>> + Send + Unpin + 'static,
    room: OwnedSemaphorePermit,
) -> BoxStream<'static, Result<Bytes, std::io::Error>> {
    let (out, answers) = mpsc::unbounded_channel();
    let unread = Arc::new(Semaphore::new(MAX_UNREAD_BYTES as usize));
    let budget = unread.clone();
    tokio::spawn(
        async move {
            let _room = room;
            let mut work = std::pin::pin!(answered(&edge, (&caller, &traced), chunks));
            while let Some(answer) = work.next().await {
                let mut text = serde_json::to_vec(&answer).unwrap_or_default();
                text.push(b'\n');
                // Bounds the unbounded channel. One answer is far below the whole budget.
                let bytes = u32::try_from(text.len()).unwrap_or(MAX_UNREAD_BYTES).min(MAX_UNREAD_BYTES);
                let gone = tokio::select! {
                    permit = budget.acquire_many(bytes) => permit.map(OwnedForget::forget).is_err(),
                    () = out.closed() => true,
                };
                if gone || out.send(Some(Bytes::from(text))).is_err() {
                    // The caller hung up. What was accepted stays accepted.
                    return;
                }
            }
            let _ = out.send(None);
        }
        .in_current_span(),
    );
    let answers = stream::unfold((answers, unread, false), |(mut answers, unread, over)| async move {
        if over {
            return None;
        }
        match answers.recv().await {
            Some(Some(text)) => {
                unread.add_permits(text.len().min(MAX_UNREAD_BYTES as usize));
                Some((Ok(text), (answers, unread, false)))
            }
            Some(None) => None,
            None => Some((Err(std::io::Error::other("the batch broke off")), (answers, unread, true))),
        }
    });
    answers.boxed()
}

/// Permits come back when the answer is read, not when they are dropped.
trait OwnedForget {
    fn forget(self);
}

impl OwnedForget for tokio::sync::SemaphorePermit<'_> {
    fn forget(self) {
        tokio::sync::SemaphorePermit::forget(self);
    }
}

/// Answers in the order of the lines.
fn answered<'a>(
    edge: &'a Edge,
    who: (&'a Caller, &'a Traced),
    chunks: impl Stream<Item = Result<Bytes, String>> + Send + Unpin + 'a,
) -> impl Stream<Item = BatchLine> + Send + 'a {
    let mut seen = Seen::default();
    lines(chunks, edge.stopping.clone(), IDLE)
        .map(move |(line, text)| {
            // Noted here, in the order of the lines, before anything runs at the same time.
            let read = text.map(|bytes| {
                let parsed = super::json::parse::<JobSubmission>(&bytes);
                let first = parsed.as_ref().ok().and_then(|job| seen.first(job, line));
                (parsed.map_err(|refused| (bytes, refused)), first)
            });
            async move {
                match read {
                    Err(refused) => refused_line(line, refused),
                    Ok((parsed, first)) => one(edge, who, line, parsed, first).await,
                }
            }
        })
        .buffered(WINDOW_LINES)
}

/// A line that was read, or its text and why it could not be.
type Parsed = Result<JobSubmission, (Vec<u8>, Refused)>;

async fn one(edge: &Edge, (caller, traced): (&Caller, &Traced), line: u64, parsed: Parsed, first: Option<u64>) -> BatchLine {
    let accepted = async {
        match parsed {
            Ok(submission) => jobs::accept(edge, caller, submission, traced, true).await,
            Err((bytes, refused)) => Err(jobs::about_known(edge, caller, &bytes, refused).await),
        }
    };
    match (accepted.await, first) {
        (Ok((status, job)), _) => BatchLine { line, status: status.as_u16(), job: Some(slim(job)), problem: None },
        (Err(conflict), Some(first)) if conflict.0.code == Code::Conflict.as_str() => {
            let detail = format!("line {first} of this batch has the same serial number with other content");
            let mut problem = Problem::new(Code::DuplicateInBatch, detail);
            problem.differences = conflict.0.differences;
            problem.issued = conflict.0.issued;
            refused_line(line, Refused::from(problem))
        }
        (Err(refused), _) => refused_line(line, refused),
    }
}

fn refused_line(line: u64, refused: Refused) -> BatchLine {
    BatchLine { line, status: refused.0.status, job: None, problem: Some(*refused.0) }
}

/// What the caller sent himself a moment ago is not sent back.
fn slim(job: JobView) -> JobView {
    JobView { invoice: None, attempts: Vec::new(), evidence: Vec::new(), ..job }
}

/// Serial numbers of a batch, as hashes with a key of their own. Two that clash by chance only make a `conflict` look like a
/// `duplicate_in_batch`.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    lines: HashMap<u64, u64>,
}

impl Seen {
    /// The earlier line with the same key, if there is one.
    fn first(&mut self, job: &JobSubmission, line: u64) -> Option<u64> {
        let first = *self.lines.entry(self.hasher.hash_one((&job.seller, &job.serial))).or_insert(line);
        (first != line).then_some(first)
    }
}

type Line = (u64, Result<Vec<u8>, Refused>);

/// The lines of a body, counted from 1; empty ones are counted and left out. A line that is too long is one problem, and the next
/// line is read. Where the batch as a whole cannot go on, a last problem says why.
fn lines(
    chunks: impl Stream<Item = Result<Bytes, String>> + Send + Unpin,
    stopping: tokio::sync::watch::Receiver<bool>,
    idle: Duration,
) -> impl Stream<Item = Line> + Send {
    stream::unfold(Some((chunks, stopping, Splitter::default())), move |state| async move {
        let (mut chunks, mut stopping, mut splitter) = state?;
        loop {
            if let Some(line) = splitter.next() {
                return Some((line, Some((chunks, stopping, splitter))));
            }
            let chunk = tokio::select! {
                chunk = tokio::time::timeout(idle, chunks.next()) => chunk,
                () = stopped(&mut stopping) => {
                    let refused = Refused::new(Code::NotReady, "the broker stops; send the rest again in a moment");
                    return Some(((splitter.line + 1, Err(refused)), None));
                }
            };
            let refused = match chunk {
                Ok(Some(Ok(chunk))) => match splitter.push(&chunk) {
                    Ok(()) => continue,
                    Err(refused) => refused,
                },
                Ok(None) => return splitter.rest().map(|line| (line, None)),
                Ok(Some(Err(error))) => Refused::new(Code::MalformedJson, format!("the body broke off: {error}")),
                Err(_) => Refused::new(Code::Timeout, format!("nothing came for {} s; send the rest again", idle.as_secs())),
            };
            return Some(((splitter.line + 1, Err(refused)), None));
        }
    })
}

/// Cuts chunks into lines.
#[derive(Default)]
struct Splitter {
    chunk: Vec<u8>,
    at: usize,
    partial: Vec<u8>,
    too_long: bool,
    line: u64,
    total_bytes: u64,
}

impl Splitter {
    /// Takes the next chunk; the one before is used up.
    fn push(&mut self, chunk: &[u8]) -> Result<(), Refused> {
        self.total_bytes += chunk.len() as u64;
        if self.total_bytes > MAX_BATCH_BYTES || self.line >= MAX_BATCH_LINES {
            let detail =
                format!("a batch has at most {MAX_BATCH_BYTES} bytes and {MAX_BATCH_LINES} lines; send the rest as another");
            return Err(Refused::new(Code::BodyTooLarge, detail));
        }
        self.chunk.clear();
        self.chunk.extend_from_slice(chunk);
        self.at = 0;
        Ok(())
    }

    /// The next line that is not empty and ends in what was pushed.
    fn next(&mut self) -> Option<Line> {
        loop {
            let rest = &self.chunk[self.at..];
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.too_long |= self.partial.len() + rest.len() > MAX_LINE_BYTES;
                if self.too_long {
                    self.partial.clear();
                } else {
                    self.partial.extend_from_slice(rest);
                }
                self.at = self.chunk.len();
                return None;
            };
            self.too_long |= self.partial.len() + end > MAX_LINE_BYTES;
            if !self.too_long {
                self.partial.extend_from_slice(&rest[..end]);
            }
            self.at += end + 1;
            if let Some(line) = self.take() {
                return Some(line);
            }
        }
    }

    /// What stands after the last line break.
    fn rest(&mut self) -> Option<Line> {
        self.take()
    }

    fn take(&mut self) -> Option<Line> {
        self.line += 1;
        let text = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.too_long) {
            return Some((
                self.line,
                Err(Refused::new(Code::BodyTooLarge, format!("the line is longer than {MAX_LINE_BYTES} bytes"))),
            ));
        }
        if text.iter().all(u8::is_ascii_whitespace) { None } else { Some((self.line, Ok(text))) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn split(chunks: Vec<Result<Bytes, String>>) -> Vec<(u64, Result<String, String>)> {
        let (_keep, stopping) = tokio::sync::watch::channel(false);
        let lines: Vec<Line> = lines(stream::iter(chunks), stopping, IDLE).collect().await;
        let text = |text: Result<Vec<u8>, Refused>| {
            text.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|refused| refused.0.code)
        };
        lines.into_iter().map(|(line, content)| (line, text(content))).collect()
    }

    fn chunk(text: &str) -> Result<Bytes, String> {
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_are_the_same_wherever_the_chunks_are_cut() {
        let text = "one\n\ntwo\r\n  \nthree";
        let expected = [(1, "one"), (3, "two\r"), (5, "three")].map(|(line, text)| (line, Ok(text.to_owned())));
        for size in 1..text.len() {
            let chunks = text.as_bytes().chunks(size).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            assert_eq!(split(chunks).await, expected, "chunks of {size}");
        }
        assert_eq!(split(vec![]).await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_one_problem_and_takes_no_memory() {
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        let just = "y".repeat(MAX_LINE_BYTES);
        let text = format!("{long}\n{just}\n{long}");
        for size in [1000, MAX_LINE_BYTES, text.len()] {
            let chunks = text.as_bytes().chunks(size).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            let lines = split(chunks).await;
            assert_eq!(lines[0], (1, Err("body_too_large".to_owned())));
            assert_eq!(lines[1], (2, Ok(just.clone())));
            assert_eq!(lines[2], (3, Err("body_too_large".to_owned())));
        }
        let mut splitter = Splitter::default();
        for _ in 0..100 {
            splitter.push(&[b'x'; 50_000]).unwrap();
            assert!(splitter.next().is_none());
            assert!(splitter.partial.capacity() <= 2 * MAX_LINE_BYTES, "{}", splitter.partial.capacity());
        }
    }

    #[tokio::test]
    async fn a_batch_that_breaks_off_or_is_too_long_says_so_last() {
        let lines = split(vec![chunk("a\nb"), Err("reset".to_owned())]).await;
        assert_eq!(lines, [(1, Ok("a".to_owned())), (2, Err("malformed_json".to_owned()))]);
        let mut splitter = Splitter { total_bytes: MAX_BATCH_BYTES - 1, ..Splitter::default() };
        assert!(splitter.push(b"x").is_ok());
        assert_eq!(splitter.push(b"x").unwrap_err().0.code, "body_too_large");
        let mut splitter = Splitter { line: MAX_BATCH_LINES, ..Splitter::default() };
        assert_eq!(splitter.push(b"x").unwrap_err().0.code, "body_too_large");
    }

    #[tokio::test]
    async fn a_caller_that_falls_silent_is_answered() {
        let (_keep, stopping) = tokio::sync::watch::channel(false);
        let chunks = Box::pin(stream::iter([chunk("a\nb")]).chain(stream::pending()));
        let lines: Vec<Line> = lines(chunks, stopping, Duration::from_millis(20)).collect().await;
        assert_eq!(lines[0].0, 1);
        assert_eq!(lines[1].1.as_ref().unwrap_err().0.code, "timeout");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn the_first_line_of_a_serial_number_is_remembered() {
        let job = |serial: &str| JobSubmission { seller: "S".to_owned(), serial: serial.to_owned(), ..JobSubmission::default() };
        let mut seen = Seen::default();
        assert_eq!(seen.first(&job("A"), 1), None);
        assert_eq!(seen.first(&job("B"), 2), None);
        assert_eq!(seen.first(&job("A"), 3), Some(1));
    }
}

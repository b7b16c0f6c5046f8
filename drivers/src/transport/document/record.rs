//! A document link that records what goes over it, passwords masked; and a link that does again what a recording says.
//!
//! A recording keeps no text of an error: what may stand in it is not known.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{DocumentError, DocumentLink, Sent};
use crate::redact::mask_document;
use crate::transport::record::{During, Entry, Event, How};

/// A link under a recorder.
pub struct RecordedDocuments<L, S> {
    link: L,
    sink: S,
    since: Instant,
}

impl<L: DocumentLink, S: FnMut(Entry) + Send> RecordedDocuments<L, S> {
    /// Records what goes over a link.
    pub fn new(link: L, sink: S) -> RecordedDocuments<L, S> {
        RecordedDocuments { link, sink, since: Instant::now() }
    }

    fn keep(&mut self, event: Event) {
        let at = self.since.elapsed();
        (self.sink)(Entry { at, event });
    }
}

impl<L: DocumentLink, S: FnMut(Entry) + Send> DocumentLink for RecordedDocuments<L, S> {
    fn call(&mut self, document: &[u8], within: Duration) -> Result<Vec<u8>, DocumentError> {
        self.keep(Event::Sent(mask_document(document)));
        let outcome = self.link.call(document, within);
        self.keep(match &outcome {
            // A component may repeat what it was sent.
            Ok(answer) => Event::Received(mask_document(answer)),
            Err(DocumentError { sent: Sent::No, .. }) => Event::Failed(During::Call, How::NotSent),
            Err(DocumentError { sent: Sent::Maybe, .. }) => Event::Failed(During::Call, How::MaybeSent),
        });
        outcome
    }

    fn describe(&self) -> String {
        self.link.describe()
    }
}

/// A link that answers as recorded, as long as it is asked as recorded: the same business id, and as many bytes. Clones share
/// it. What is asked otherwise is refused as not sent, and told by [`ReplayedDocuments::surprises`].
#[derive(Debug, Clone, Default)]
pub struct ReplayedDocuments(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    surprises: Vec<String>,
}

impl ReplayedDocuments {
    /// Of this recording.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> ReplayedDocuments {
        let state = State { entries: entries.into_iter().collect(), surprises: Vec::new() };
        ReplayedDocuments(Arc::new(Mutex::new(state)))
    }

    /// What was asked otherwise than recorded.
    pub fn surprises(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).surprises.clone()
    }

    /// Entries that were not played.
    pub fn rest(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }
}

/// `id="…"` of the document.
fn id(document: &[u8]) -> Option<&[u8]> {
    let at = document.windows(5).position(|part| part == b" id=\"")? + 5;
    document[at..].split(|byte| *byte == b'"').next()
}

impl DocumentLink for ReplayedDocuments {
    fn call(&mut self, document: &[u8], _within: Duration) -> Result<Vec<u8>, DocumentError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { entries, surprises } = &mut *state;
        let mut surprised = |text: String| {
            surprises.push(text.clone());
            Err(DocumentError::not_sent(text))
        };
        let told = |document: &[u8]| String::from_utf8_lossy(id(document).unwrap_or(b"nothing")).into_owned();
        match entries.pop_front().map(|entry| entry.event) {
            Some(Event::Sent(recorded)) if id(&recorded) == id(document) && recorded.len() == document.len() => {}
            Some(Event::Sent(recorded)) => {
                let (asked, expected) = (told(document), told(&recorded));
                let (bytes, recorded) = (document.len(), recorded.len());
                return surprised(format!("{asked} of {bytes} bytes was sent, the recording has {expected} of {recorded}"));
            }
            other => return surprised(format!("{} was sent, the recording has {other:?}", told(document))),
        }
        match entries.pop_front().map(|entry| entry.event) {
            Some(Event::Received(answer)) => Ok(answer),
            Some(Event::Failed(During::Call, How::NotSent)) => Err(DocumentError::not_sent("as recorded")),
            _ => Err(DocumentError::maybe_sent("as recorded")),
        }
    }

    fn describe(&self) -> String {
        "a recording".to_owned()
    }
}

//! A scripted link for tests: it expects documents by their business id and gives prepared answers.
//!
//! It refuses surprises: a call that the script does not expect panics, because that is a failed test. Not for production.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{DocumentError, DocumentLink};

/// A document that was sent, and how long its answer might take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentDocument {
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// The time it was given.
    pub within: Duration,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<(String, Result<Vec<u8>, DocumentError>)>,
    sent: Vec<SentDocument>,
}

/// The link. Clones share one script, so that a test can look at it while a disk owns the other clone.
#[derive(Debug, Clone, Default)]
pub struct ScriptedDocuments {
    state: Arc<Mutex<State>>,
}

impl ScriptedDocuments {
    /// The next call must be for this business id, and comes to this.
    pub fn then(&self, id: &str, reply: Result<Vec<u8>, DocumentError>) -> &Self {
        self.lock().script.push_back((id.to_owned(), reply));
        self
    }

    /// Everything that was sent.
    pub fn sent(&self) -> Vec<SentDocument> {
        self.lock().sent.clone()
    }

    /// How many documents with this business id were sent.
    pub fn count(&self, id: &str) -> usize {
        self.lock().sent.iter().filter(|sent| has_id(&sent.bytes, id)).count()
    }

    /// True when every expected call was made.
    pub fn is_finished(&self) -> bool {
        self.lock().script.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_id(document: &[u8], id: &str) -> bool {
    let attribute = format!("id=\"{id}\"");
    document.windows(attribute.len()).any(|window| window == attribute.as_bytes())
}

impl DocumentLink for ScriptedDocuments {
    fn call(&mut self, document: &[u8], within: Duration) -> Result<Vec<u8>, DocumentError> {
        let mut state = self.lock();
        state.sent.push(SentDocument { bytes: document.to_vec(), within });
        let text = String::from_utf8_lossy(document).into_owned();
        let Some((id, reply)) = state.script.pop_front() else { panic!("the script expects no document, but this came: {text}") };
        assert!(has_id(document, &id), "the script expects {id}, but this came: {text}");
        reply
    }

    fn describe(&self) -> String {
        "script".to_owned()
    }
}

//! Document links: one request document, one answer, as components of tax disks are called over HTTP or through a program.
//!
//! A link carries bytes and knows no XML. It sends a document once: no retry, no redirect, no connection that was used
//! before. After a failure it says whether the component can have received anything; that is all that "not sent" may rest
//! on. Read first: [`DocumentLink`] and [`Sent`].

pub mod command;
pub mod http;
pub mod memory;
pub mod record;

use std::time::Duration;

pub use command::CommandLink;
pub use http::HttpLink;
pub use memory::ScriptedDocuments;
pub use record::{RecordedDocuments, ReplayedDocuments};

/// The longest answer that a link takes, in bytes. More is not an answer to anything that a driver asks.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Whether a request can have reached the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not: no connection came about, or the program did not start.
    No,
    /// It can have: everything that happens after that, however it looks.
    Maybe,
}

/// A call without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DocumentError {
    /// Whether the component can have got the request, and may still carry it out.
    pub sent: Sent,
    /// What happened and what to do, for the person who can mend it. Holds nothing of the document.
    pub text: String,
}

impl DocumentError {
    /// The request did not leave.
    pub(crate) fn not_sent(text: impl Into<String>) -> DocumentError {
        DocumentError { sent: Sent::No, text: text.into() }
    }

    /// The request may have arrived.
    pub(crate) fn maybe_sent(text: impl Into<String>) -> DocumentError {
        DocumentError { sent: Sent::Maybe, text: text.into() }
    }
}

/// A way to a component that takes a document and gives one back.
pub trait DocumentLink: Send {
    /// Sends the document, once, and waits for the answer, all in all no longer than `within` and a little (2 s at most) for
    /// tidying up. The answer has at most [`MAX_ANSWER_BYTES`].
    ///
    /// # Errors
    /// There is no answer. [`DocumentError::sent`] says what may have become of the request.
    fn call(&mut self, document: &[u8], within: Duration) -> Result<Vec<u8>, DocumentError>;

    /// Where it leads, for people.
    fn describe(&self) -> String;
}

impl<T: DocumentLink + ?Sized> DocumentLink for Box<T> {
    fn call(&mut self, document: &[u8], within: Duration) -> Result<Vec<u8>, DocumentError> {
        (**self).call(document, within)
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

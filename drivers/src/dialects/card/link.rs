//! One request and its answer over the reader's line: time limits, getting an answer again, silence (parts D.1 and D.2).
//!
//! It never sends a request twice. A lost answer can be asked for again ([`GetAgain`]), which executes nothing; what comes
//! then may be the answer to an *older* request, so whoever uses it needs another proof.

use std::time::Duration;

use super::frame::{Answer, AnswerReader, FrameFault, RequestType, request_frame};
use crate::transport::{ByteLine, LineError};

/// How often a lost answer is asked for again.
pub const MAX_AGAIN: u32 = 2;

/// Time limits of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// For each byte of an answer.
    pub byte: Duration,
    /// For a whole answer, however slowly it drips.
    pub answer: Duration,
    /// To write one request.
    pub write: Duration,
    /// So long must the line be silent before it is trusted again.
    pub silence: Duration,
    /// The line must fall silent within this time.
    pub silence_limit: Duration,
}

impl Default for Timings {
    fn default() -> Timings {
        Timings {
            byte: Duration::from_secs(3),
            answer: Duration::from_secs(10),
            write: Duration::from_secs(3),
            silence: Duration::from_millis(3500),
            silence_limit: Duration::from_secs(15),
        }
    }
}

impl Timings {
    /// The longest that one command can be waited for, and so run in the card: its answer, and that answer again.
    pub fn longest_command(&self) -> Duration {
        (self.answer + self.write) * (1 + MAX_AGAIN)
    }

    /// The longest that any call takes when the reader answers as slowly as it may: for the deadlines above.
    pub fn longest_call(&self) -> Duration {
        // Six readings, the command, its answer twice again; then silence, off and on, and five more.
        (self.silence_limit + self.silence) * 3 + (self.answer + self.write) * 18
    }
}

/// Whether a lost answer is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GetAgain {
    /// A reading request: it is simpler and surer to ask anew, later.
    Never,
    /// A changing one: nothing may wait on the line before it, and its answer, once lost, is asked for at most twice.
    Twice,
}

/// An answer, and how it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// It was asked for again: it may be that of an older request.
    pub again: bool,
}

/// Why a request brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The line failed.
    #[error("{0}")]
    Line(LineError),
    /// No answer came.
    #[error("the reader did not answer within {} s: check that it is switched on, and the cable", .waited.as_secs())]
    Silence {
        /// How long was waited.
        waited: Duration,
    },
    /// An answer broke off.
    #[error("the reader's answer broke off after {bytes} bytes: check the cable")]
    Cut {
        /// Bytes of the broken frame.
        bytes: usize,
    },
    /// What came is no answer.
    #[error("{0}")]
    Frame(FrameFault),
    /// Bytes were waiting before a request that must not meet any.
    #[error("{0} unexpected bytes were waiting on the line: another program may use the port; nothing was sent")]
    Stray(usize),
    /// The line owes an answer to an older request.
    #[error("an older request is still unanswered; nothing was sent")]
    Unanswered,
}

/// A request that brought no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// At least one byte of it was written, so it may have run.
    pub begun: bool,
    /// What happened.
    pub fault: Fault,
}

/// A line with a reader behind it, and whether it can be trusted.
pub struct Link<L> {
    line: L,
    timings: Timings,
    unanswered: bool,
}

impl<L: ByteLine> Link<L> {
    /// A line whose past is unknown begins in doubt.
    pub fn new(line: L, timings: Timings) -> Link<L> {
        Link { line, timings, unanswered: true }
    }

    /// The line under it.
    pub fn line(&self) -> &L {
        &self.line
    }

    /// An older request may still be answered, or run: [`Self::settle`] first.
    pub fn is_in_doubt(&self) -> bool {
        self.unanswered
    }

    /// Whoever used the answer found that it belongs to something else.
    pub fn distrust(&mut self) {
        self.unanswered = true;
    }

    /// Opens the line again. What is behind it may be another reader, and another card.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn reopen(&mut self) -> Result<(), LineError> {
        self.unanswered = true;
        self.line.reopen()
    }

    /// Waits until nothing comes any more. The next request has to be one that proves the line.
    ///
    /// # Errors
    /// The line failed or never falls silent; it stays in doubt.
    pub fn settle(&mut self) -> Result<(), Fault> {
        self.unanswered = true;
        self.line.drop_output();
        self.line.wait_silent(self.timings.silence, self.timings.silence_limit).map_err(Fault::Line)?;
        self.unanswered = false;
        Ok(())
    }

    /// Sends one request, once, and reads its answer.
    ///
    /// # Errors
    /// What happened, and whether the request can have run.
    pub fn exchange(&mut self, kind: RequestType, payload: &[u8], get_again: GetAgain) -> Result<Reply, Broken> {
        let not_begun = |fault| Broken { begun: false, fault };
        if self.unanswered {
            return Err(not_begun(Fault::Unanswered));
        }
        self.unanswered = true;
        let stray = self.line.drop_input().map_err(|error| not_begun(Fault::Line(error)))?;
        if stray > 0 && get_again == GetAgain::Twice {
            return Err(not_begun(Fault::Stray(stray)));
        }
        let mut frame = request_frame(kind, payload);
        let deadline = self.line.now() + self.timings.write;
        let written = self.line.write(&frame, deadline);
        // It may hold a PIN; best effort.
        frame.fill(0);
        std::hint::black_box(&frame);
        // A reader may look at the length only and not wait for the sum: one byte less is no proof that it did not run.
        written.map_err(|broken| Broken { begun: broken.written > 0, fault: Fault::Line(broken.error) })?;
        let fault = match self.answer(kind) {
            Ok(answer) => {
                // What waited before may have been the first half of a late answer; then this one is not to be trusted.
                self.unanswered = stray > 0;
                return Ok(Reply { answer, again: false });
            }
            Err(fault) => fault,
        };
        // A fault that the reader reports is its answer: nothing more is owed.
        if matches!(fault, Fault::Frame(FrameFault::Reader(_))) {
            self.unanswered = stray > 0;
            return Err(Broken { begun: true, fault });
        }
        if get_again == GetAgain::Twice {
            for _ in 0..MAX_AGAIN {
                if let Some(answer) = self.get_again() {
                    // The first answer may still come: the line stays in doubt.
                    return Ok(Reply { answer, again: true });
                }
            }
        }
        Err(Broken { begun: true, fault })
    }

    fn get_again(&mut self) -> Option<Answer> {
        self.line.drop_input().ok()?;
        let deadline = self.line.now() + self.timings.write;
        self.line.write(&request_frame(RequestType::Again, &[]), deadline).ok()?;
        self.answer(RequestType::Again).ok()
    }

    fn answer(&mut self, asked: RequestType) -> Result<Answer, Fault> {
        let mut reader = AnswerReader::new(asked);
        let mut buffer = [0; 256];
        let began = self.line.now();
        let give_up = began + self.timings.answer;
        loop {
            let want = reader.wants().min(buffer.len());
            let deadline = (self.line.now() + self.timings.byte).min(give_up);
            let count = self.line.read(&mut buffer[..want], deadline).map_err(Fault::Line)?;
            if count == 0 {
                return Err(match reader.taken() {
                    0 => Fault::Silence { waited: self.line.now() - began },
                    bytes => Fault::Cut { bytes },
                });
            }
            if let Some(answer) = reader.take(&buffer[..count]).map_err(Fault::Frame)? {
                return Ok(answer);
            }
        }
    }
}

//! What can go wrong between a client and a component, as data. Each fires a number of times, may let matching documents
//! pass first, and may be bound to a business id.
//!
//! The component's twin of [`crate::sim::faults`]: a fault never makes a ledger that a real disk could not have. This module
//! only counts and selects.

use serde::{Deserialize, Serialize};

use crate::sim::faults::{ForeignContent, MAX_FAULTS, When};

/// Longest garbage: what a driver's limit must stand.
const MAX_GARBAGE_BYTES: u32 = 16 << 20;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum ComponentFaultKind {
    /// Hangs so long, then goes on, also when the client has gone away meanwhile. `before` is the dangerous one: the command
    /// executes late.
    Stall {
        /// How long.
        ms: u64,
        /// Before or after executing.
        #[serde(default)]
        when: When,
    },
    /// The connection is closed without an answer: `before` executes nothing, `after` loses a signed invoice's answer.
    LoseAnswer {
        /// Before or after executing.
        #[serde(default)]
        when: When,
    },
    /// Executes; the answer ends after so many bytes of its document.
    CutAnswer {
        /// How many bytes still arrive.
        after_bytes: usize,
    },
    /// Answers with this HTTP status and an HTML page (a filter: the page, and a failing end).
    Html {
        /// 500, 502, 200 …
        status: u16,
        /// Before or after executing.
        #[serde(default)]
        when: When,
    },
    /// Answers with so many bytes of garbage.
    Garbage {
        /// How many.
        bytes: u32,
        /// Before or after executing.
        #[serde(default)]
        when: When,
    },
    /// Executes; the answer's bytes are in the other encoding than it declares.
    WrongEncoding,
    /// Executes; the answer has no returncode.
    NoReturncode,
    /// Executes; the answer has neither fpdm nor fphm.
    NoPair,
    /// The component restarts: every connection breaks, what waits in it is never executed. `after` = once this document was.
    Restart {
        /// Before or after executing.
        #[serde(default)]
        when: When,
        /// How long nobody listens.
        #[serde(default)]
        off_ms: u64,
    },
    /// Any returncode and text, before or after executing.
    Refuse {
        /// returncode.
        code: String,
        /// returnmsg.
        #[serde(default)]
        text: String,
        /// Before or after executing.
        #[serde(default)]
        when: When,
    },
    /// Another program takes a number just before the document is executed.
    ForeignIssue {
        /// What it issues.
        #[serde(default)]
        content: ForeignContent,
    },
}

/// A fault with its count and filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentFault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: ComponentFaultKind,
    /// How often it fires.
    #[serde(default = "once")]
    pub times: u32,
    /// How many matching documents pass before.
    #[serde(default)]
    pub skip: u32,
    /// Only for this business id; `*` = every document; absent = those that issue (FPKJ, 10008).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

fn once() -> u32 {
    1
}

impl ComponentFault {
    /// Once, at the next document that issues.
    pub fn once(kind: ComponentFaultKind) -> ComponentFault {
        ComponentFault { kind, times: 1, skip: 0, id: None }
    }

    /// Only for this business id; `*` = every document.
    pub fn on(self, id: &str) -> ComponentFault {
        ComponentFault { id: Some(id.to_owned()), ..self }
    }

    fn matches(&self, id: &str) -> bool {
        match self.id.as_deref() {
            None => matches!(id, "FPKJ" | "10008"),
            Some("*") => true,
            Some(wanted) => wanted == id,
        }
    }
}

/// The faults that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentFaults {
    waiting: Vec<ComponentFault>,
}

impl ComponentFaults {
    /// Adds one; `false` when too many wait already.
    pub fn add(&mut self, fault: ComponentFault) -> bool {
        if self.waiting.len() >= MAX_FAULTS {
            return false;
        }
        self.waiting.push(fault);
        true
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// What still waits.
    pub fn waiting(&self) -> &[ComponentFault] {
        &self.waiting
    }

    /// The faults that fire on this document. Counts them down.
    pub(in crate::sim) fn at(&mut self, id: &str) -> Vec<ComponentFaultKind> {
        let mut firing = Vec::new();
        self.waiting.retain_mut(|fault| {
            if !fault.matches(id) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            if fault.times > 0 {
                fault.times -= 1;
                firing.push(fault.kind.clone());
            }
            fault.times > 0
        });
        firing
    }
}

/// Bytes that are no document in any encoding: 0xFF is a lead byte of neither.
pub(super) fn garbage(bytes: u32) -> Vec<u8> {
    let pattern = *b"\xff<\x00>garbage&;\xfe";
    let length = usize::try_from(bytes.min(MAX_GARBAGE_BYTES)).unwrap_or_default();
    pattern.into_iter().cycle().take(length).collect()
}

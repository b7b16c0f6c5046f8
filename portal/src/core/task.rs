//! What a consumer asks the merchant's people for. A task changes no invoice: a clerk looks at it, and a correction is a red and
//! the invoice that takes its place, both made by him.

use serde::{Deserialize, Serialize};

use super::act::random_token;
use super::request::{Phase, Request};
use crate::ledger::Session;
use crate::store::StoreError;

/// Characters of what is to be corrected, at most.
pub const TEXT_MAX: usize = 500;
/// Characters of how to reach the consumer, at most.
pub const CONTACT_MAX: usize = 100;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// 更正: something on the invoice is wrong.
    Correction,
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// A clerk has to look.
    Open,
    /// He has.
    Done,
}

impl TaskKind {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskKind::Correction => "correction",
        }
    }
}

impl TaskState {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Open => "open",
            TaskState::Done => "done",
        }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Given by us.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// About which invoice.
    pub serial: String,
    /// What is asked for.
    pub kind: TaskKind,
    /// Where it is.
    pub state: TaskState,
    /// In the consumer's words.
    pub text: String,
    /// How he can be reached; may be empty.
    pub contact: String,
    /// Milliseconds.
    pub created_at: i64,
    /// Who finished it, and how; empty before.
    #[serde(default)]
    pub answer: String,
}

/// What asking did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A clerk will look.
    Taken,
    /// One about this invoice is open already; this one was not stored.
    OpenAlready,
    /// There is no invoice to correct.
    NotIssued,
}

/// Asks for a correction of an issued invoice. One at a time: whoever has the link of a receipt could otherwise fill the list.
///
/// # Errors
/// Those of the store.
pub async fn correction(session: &mut Session, request: &Request, text: &str, contact: &str) -> Result<Asked, StoreError> {
    let Some(request) = session.db.request(&request.tenant, &request.serial).await? else { return Ok(Asked::NotIssued) };
    if request.phase != Phase::Issued {
        return Ok(Asked::NotIssued);
    }
    if session.db.tasks_of(&request.tenant, &request.serial).await?.iter().any(|task| task.state == TaskState::Open) {
        return Ok(Asked::OpenAlready);
    }
    let task = Task {
        id: format!("tk_{}", random_token()),
        tenant: request.tenant.clone(),
        serial: request.serial.clone(),
        kind: TaskKind::Correction,
        state: TaskState::Open,
        text: text.to_owned(),
        contact: contact.to_owned(),
        created_at: session.now,
        answer: String::new(),
    };
    session.db.put_task(&task).await?;
    session.note(&task.tenant, &task.serial, "consumer", "correction_asked", &task.id).await?;
    Ok(Asked::Taken)
}

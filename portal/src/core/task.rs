//! What a consumer asks the merchant's people for. A task changes no invoice: a clerk looks at it, and a correction is a red and
//! the invoice that takes its place, both made by him.
//!
//! One clerk at a time has a task ([`take`]); a second one is told who. The invoice that takes the place of the wrong one has a
//! serial number that follows from the wrong one's ([`replacement_serial`]): it is replaced once, however many tasks are opened
//! about it, one after the other. And it is not issued before the wrong one is proven reversed or void ([`replace`]): otherwise a
//! red that the disk refuses would leave the consumer with two invoices for one sale.
//!
//! Whether the wrong invoice is reversed, and what became of the new one, is read from their requests and stored nowhere else.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::act::random_token;
use super::hold::Hold;
use super::insert::{self, Batch, Refusal, Verdict};
use super::request::{Phase, Request, Voiding};
use crate::document::split;
use crate::ledger::Session;
use crate::store::StoreError;

/// Characters of what is to be corrected, at most.
pub const TEXT_MAX: usize = 500;
/// Characters of a clerk's answer, at most.
pub const ANSWER_MAX: usize = 200;
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
    /// What was asked for is done.
    Done,
    /// It is not, for a reason.
    Refused,
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
            TaskState::Refused => "refused",
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
    /// What was done, or why not, in the clerk's words; empty before.
    #[serde(default)]
    pub answer: String,
    /// Who has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Who ended it, as histories name him; empty before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended_by: String,
    /// When, milliseconds; 0 before.
    #[serde(default)]
    pub ended_at: i64,
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
        hold: None,
        ended_by: String::new(),
        ended_at: 0,
    };
    session.db.put_task(&task).await?;
    session.note(&task.tenant, &task.serial, "consumer", "correction_asked", &task.id).await?;
    Ok(Asked::Taken)
}

/// What a clerk's step did.
#[derive(Debug, Clone)]
pub enum Stepped {
    /// It is as he wants it, now or before.
    Done(Box<Task>),
    /// Somebody else has it. Nothing was done.
    Other(Hold),
    /// He does not have it (any more); he takes it and looks again. Nothing was done.
    NotHeld,
    /// It is ended. Nothing was done.
    Ended(Box<Task>),
    /// No such task of this tenant.
    Unknown,
}

/// A clerk takes a task, or keeps it for longer.
///
/// # Errors
/// Those of the store.
pub async fn take(session: &mut Session, tenant: &str, id: &str, person: &str) -> Result<Stepped, StoreError> {
    let Some(mut task) = session.db.task(tenant, id).await? else { return Ok(Stepped::Unknown) };
    if task.state != TaskState::Open {
        return Ok(Stepped::Ended(Box::new(task)));
    }
    if let Some(other) = task.hold.take_if(|hold| hold.is_of_another(person, session.now)) {
        return Ok(Stepped::Other(other));
    }
    task.hold = Some(Hold::of(person, session.now));
    session.db.put_task(&task).await?;
    Ok(Stepped::Done(Box::new(task)))
}

/// A clerk gives a task back.
///
/// # Errors
/// Those of the store.
pub async fn give_back(session: &mut Session, tenant: &str, id: &str, person: &str) -> Result<Stepped, StoreError> {
    let mut task = match held(session, tenant, id, person).await? {
        Ok(task) => task,
        Err(stepped) => return Ok(stepped),
    };
    task.hold = None;
    session.db.put_task(&task).await?;
    Ok(Stepped::Done(Box::new(task)))
}

/// A clerk ends a task. The same clerk again, by a second click, changes nothing and is answered the same.
///
/// # Errors
/// Those of the store.
pub async fn end(
    session: &mut Session,
    tenant: &str,
    id: &str,
    person: &str,
    state: TaskState,
    answer: &str,
) -> Result<Stepped, StoreError> {
    let mut task = match held(session, tenant, id, person).await? {
        Ok(task) => task,
        Err(Stepped::Ended(task)) if task.ended_by == person && task.state == state && task.answer == answer => {
            return Ok(Stepped::Done(task));
        }
        Err(stepped) => return Ok(stepped),
    };
    (task.state, task.hold, task.ended_at) = (state, None, session.now);
    answer.clone_into(&mut task.answer);
    person.clone_into(&mut task.ended_by);
    session.db.put_task(&task).await?;
    session.note(tenant, &task.serial, person, &format!("correction_{}", state.as_str()), answer).await?;
    Ok(Stepped::Done(Box::new(task)))
}

/// The open task, if this person has it.
async fn held(session: &mut Session, tenant: &str, id: &str, person: &str) -> Result<Result<Task, Stepped>, StoreError> {
    let Some(task) = session.db.task(tenant, id).await? else { return Ok(Err(Stepped::Unknown)) };
    if task.state != TaskState::Open {
        return Ok(Err(Stepped::Ended(Box::new(task))));
    }
    Ok(match &task.hold {
        Some(hold) if hold.is_of_another(person, session.now) => Err(Stepped::Other(hold.clone())),
        Some(hold) if hold.is_of(person, session.now) => Ok(task),
        _ => Err(Stepped::NotHeld),
    })
}

/// The serial number of the invoice that takes the place of a wrong one. Of the wrong one's serial number and nothing else: a
/// second task about the same invoice names the same replacement, and a replacement that is wrong too has one of its own.
pub fn replacement_serial(tenant: &str, wrong: &str) -> String {
    split::base32(&Sha256::digest(format!("correction-v1\n{tenant}\n{wrong}").as_bytes()), 20)
}

/// The wrong invoice is out of the world: reversed whole, by reds that are issued, or void.
pub fn is_gone(request: &Request) -> bool {
    request.phase == Phase::Issued && (request.voiding == Voiding::Void || request.remaining().is_zero())
}

/// What issuing the replacement did.
#[derive(Debug, Clone)]
pub enum Replaced {
    /// What became of the one document.
    Verdict(Box<Verdict>),
    /// The task is not this person's to work on. No invoice was asked for.
    Stepped(Stepped),
}

/// Issues the invoice that takes the place of the wrong one. `batch` holds one document, under [`replacement_serial`].
///
/// # Errors
/// Those of the store.
pub async fn replace(session: &mut Session, tenant: &str, id: &str, person: &str, batch: &Batch) -> Result<Replaced, StoreError> {
    let Some(task) = session.db.task(tenant, id).await? else { return Ok(Replaced::Stepped(Stepped::Unknown)) };
    let serial = replacement_serial(tenant, &task.serial);
    let refused = |subcode, text: &str| Ok(Replaced::Verdict(Box::new(Verdict::Refused(Refusal::new(&serial, subcode, text)))));
    if batch.tenant != tenant || !matches!(batch.documents.as_slice(), [document] if document.serial == serial) {
        return refused("INVALID_DATA", "重开发票的流水号由原发票决定，本次未开票");
    }
    let task = match held(session, tenant, id, person).await? {
        Ok(task) => task,
        Err(stepped) => {
            // A second click, or the back button: what is there is answered, whoever has the task now.
            let known = session.db.request(tenant, &serial).await?.is_some_and(|known| known.phase != Phase::Deleted);
            if !known {
                return Ok(Replaced::Stepped(stepped));
            }
            return match insert::insert(session, batch).await?.pop() {
                Some(verdict) => Ok(Replaced::Verdict(Box::new(verdict))),
                None => refused("INVALID_DATA", "没有单据"),
            };
        }
    };
    let wrong = session.db.request(tenant, &task.serial).await?;
    // The guard of this module: the consumer never has two good invoices for one sale.
    if !wrong.as_ref().is_some_and(is_gone) {
        return refused("ORIGINAL_STANDS", "原发票尚未红冲成功或作废，不能重开；请等待红票开具成功后再试");
    }
    let Some(verdict) = insert::insert(session, batch).await?.pop() else {
        return refused("INVALID_DATA", "没有单据");
    };
    if let Verdict::Taken(seen) = &verdict {
        session.note(tenant, &task.serial, person, "replaced by", &seen.request.serial).await?;
        session.note(tenant, &seen.request.serial, person, "replaces", &task.serial).await?;
    }
    Ok(Replaced::Verdict(Box::new(verdict)))
}

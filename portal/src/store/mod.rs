//! What is kept: one set of tables and statements, in SQLite or PostgreSQL.
//!
//! The store decides nothing. [`Db`] is one connection; the writer has one of its own ([`crate::ledger`]), readers share a few
//! ([`Readers`]). Bodies are JSON in text columns; what is searched for stands beside them in columns of its own.
//!
//! Both databases are spoken to with the same statements, written once in `sql`, and pass the same suite (`conformance`).

mod buyers;
mod codes;
mod console;
mod late;
mod open;
mod reports;
mod schema;
mod sql;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod tests_reports;
#[cfg(test)]
mod tests_walls;

use async_trait::async_trait;
use taxdisk_web::keyring::Shut;

pub use buyers::BuyersDb;
pub use codes::CodesDb;
pub use console::{ConsoleDb, Field, Query, words};
pub use open::{Opened, Reader, Readers, open};
pub use reports::{By, Period, ReportsDb, Sum, number as day_number};
pub use sql::{PostgresDb, SqliteDb};

use crate::core::callback::Callback;
use crate::core::links::{Kind, Link};
use crate::core::outbox::{Channel, Message};
use crate::core::request::Request;
use crate::core::task::{Task, TaskState};

/// Something the store cannot do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or is gone.
    #[error("the store failed: {0}")]
    Database(#[from] sqlx::Error),
    /// What was read is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// A second factor was not opened: its key is not there, or it is not what was sealed.
    #[error(transparent)]
    Shut(#[from] Shut),
}

/// A token that was used (yonyou-open-api.md, section 2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedToken {
    /// Whose.
    pub appid: String,
    /// SHA-256 of the whole token.
    pub token: String,
    /// `jti`, where it names one token; else empty.
    pub jti: String,
    /// Interface and SHA-256 of its parameters.
    pub used_for: String,
    /// Kept until then, seconds.
    pub until_s: i64,
}

/// A consumer's code as it was stored before it was a link: its token in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainCode {
    /// Token.
    pub token: String,
    /// Tenant.
    pub tenant: String,
    /// Serial number.
    pub serial: String,
}

/// A line of a request's history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// Milliseconds.
    pub at: i64,
    /// Who.
    pub by: String,
    /// What happened.
    pub what: String,
    /// JSON.
    pub body: String,
}

/// One connection to the store.
#[async_trait]
pub trait Db: BuyersDb + CodesDb + ConsoleDb + ReportsDb {
    /// Is the connection alive?
    async fn ping(&mut self) -> Result<(), StoreError>;
    /// Begins a transaction.
    async fn begin(&mut self) -> Result<(), StoreError>;
    /// Ends it: durable afterwards.
    async fn commit(&mut self) -> Result<(), StoreError>;
    /// A request by its key.
    async fn request(&mut self, tenant: &str, serial: &str) -> Result<Option<Request>, StoreError>;
    /// Writes a request, new or not.
    async fn put_request(&mut self, request: &Request) -> Result<(), StoreError>;
    /// The request of this tenant and serial number, and the one whose job has this seller and serial number: none, one or two.
    async fn requests_named(&mut self, own: (&str, &str), job: (&str, &str)) -> Result<Vec<Request>, StoreError>;
    /// A request by the key of its job.
    async fn request_by_job(&mut self, seller: &str, job_serial: &str) -> Result<Option<Request>, StoreError>;
    /// The request that issued this number.
    async fn request_by_number(&mut self, tenant: &str, code: &str, number: &str) -> Result<Option<Request>, StoreError>;
    /// Requests of an extraction code, the oldest first. It has 12 random digits, so among very many two may have the same one.
    async fn requests_by_extraction(&mut self, code: &str, limit: u32) -> Result<Vec<Request>, StoreError>;
    /// Requests of all tenants under a serial number, the oldest first: it is unique for one tenant only.
    async fn requests_by_serial(&mut self, serial: &str, limit: u32) -> Result<Vec<Request>, StoreError>;
    /// Requests of all tenants that an order of this number became, the oldest first: it is unique for one syscode only.
    async fn requests_by_order(&mut self, number: &str, limit: u32) -> Result<Vec<Request>, StoreError>;
    /// Tenant and serial number that an order of an offline code became.
    async fn order(&mut self, syscode: &str, number: &str) -> Result<Option<(String, String)>, StoreError>;
    /// Remembers what an order became, and that its request is found by the order's number; refused if it is remembered already.
    /// The request is there.
    async fn put_order(&mut self, syscode: &str, number: &str, tenant: &str, serial: &str, at: i64) -> Result<(), StoreError>;
    /// Writes a task, new or not.
    async fn put_task(&mut self, task: &Task) -> Result<(), StoreError>;
    /// A task of a tenant.
    async fn task(&mut self, tenant: &str, id: &str) -> Result<Option<Task>, StoreError>;
    /// Tasks of a tenant in a state: open ones the oldest first, ended ones the latest first.
    async fn tasks(&mut self, tenant: &str, state: TaskState, limit: u32) -> Result<Vec<Task>, StoreError>;
    /// Tasks about a request, the oldest first.
    async fn tasks_of(&mut self, tenant: &str, serial: &str) -> Result<Vec<Task>, StoreError>;
    /// The reds and voids about this number.
    async fn about(&mut self, tenant: &str, code: &str, number: &str) -> Result<Vec<Request>, StoreError>;
    /// The latest request that says the same, accepted since then and not sent back.
    async fn similar(&mut self, tenant: &str, fingerprint: &str, since: i64) -> Result<Option<Request>, StoreError>;
    /// What the courier should look at, the longest due first: tenants and serial numbers.
    async fn due_requests(&mut self, now: i64, limit: u32) -> Result<Vec<(String, String)>, StoreError>;
    /// Requests that wait for a person, the oldest first.
    async fn waiting(&mut self, limit: u32) -> Result<Vec<Request>, StoreError>;
    /// Writes a callback, new or not.
    async fn put_callback(&mut self, callback: &Callback) -> Result<(), StoreError>;
    /// A callback by its id.
    async fn callback(&mut self, id: &str) -> Result<Option<Callback>, StoreError>;
    /// Callbacks that should be sent, the longest due first.
    async fn due_callbacks(&mut self, now: i64, limit: u32) -> Result<Vec<Callback>, StoreError>;
    /// All callbacks of a request, oldest first.
    async fn callbacks_of(&mut self, tenant: &str, serial: &str) -> Result<Vec<Callback>, StoreError>;
    /// Writes a message, new or not.
    async fn put_message(&mut self, message: &Message) -> Result<(), StoreError>;
    /// A message by its id.
    async fn message(&mut self, id: &str) -> Result<Option<Message>, StoreError>;
    /// Messages that should be sent by one channel, the longest due first.
    async fn due_messages(&mut self, channel: Channel, now: i64, limit: u32) -> Result<Vec<Message>, StoreError>;
    /// All messages of a request, oldest first.
    async fn messages_of(&mut self, tenant: &str, serial: &str) -> Result<Vec<Message>, StoreError>;
    /// How many messages to one address were written since then, whoever's they are.
    async fn messages_to(&mut self, channel: Channel, address: &str, since: i64) -> Result<u64, StoreError>;
    /// Writes a link, new or revoked.
    async fn put_link(&mut self, link: &Link) -> Result<(), StoreError>;
    /// A link by the SHA-256 of its token.
    async fn link(&mut self, hash: &str) -> Result<Option<Link>, StoreError>;
    /// All links of a kind of a request, oldest first.
    async fn links_of(&mut self, kind: Kind, tenant: &str, serial: &str) -> Result<Vec<Link>, StoreError>;
    /// Codes that an earlier version left as plain tokens, some of them.
    async fn plain_codes(&mut self, limit: u32) -> Result<Vec<PlainCode>, StoreError>;
    /// Forgets one of them.
    async fn forget_plain_code(&mut self, code: &PlainCode) -> Result<(), StoreError>;
    /// Gives freed pages back, with what stood in them. Outside of a transaction.
    async fn compact(&mut self) -> Result<(), StoreError>;
    /// Tokens that were used: this one, and those of this `jti` if it is not empty.
    async fn used_tokens(&mut self, appid: &str, token: &str, jti: &str) -> Result<Vec<UsedToken>, StoreError>;
    /// Remembers a token. In a transaction it is written at its end.
    async fn put_token(&mut self, token: &UsedToken) -> Result<(), StoreError>;
    /// Forgets tokens that no clock takes any more.
    async fn forget_tokens(&mut self, before_s: i64) -> Result<u64, StoreError>;
    /// All settings of a kind: name and JSON.
    async fn settings(&mut self, kind: &str) -> Result<Vec<(String, String)>, StoreError>;
    /// One setting.
    async fn setting(&mut self, kind: &str, name: &str) -> Result<Option<String>, StoreError>;
    /// Writes a setting.
    async fn put_setting(&mut self, kind: &str, name: &str, body: &str) -> Result<(), StoreError>;
    /// Adds to the history of a request. In a transaction it is written at its end.
    async fn add_note(&mut self, tenant: &str, serial: &str, note: &Note) -> Result<(), StoreError>;
    /// The history of a request, oldest first.
    async fn notes(&mut self, tenant: &str, serial: &str) -> Result<Vec<Note>, StoreError>;
    /// The end of a history, latest first.
    async fn latest_notes(&mut self, tenant: &str, serial: &str, limit: u32) -> Result<Vec<Note>, StoreError>;
}

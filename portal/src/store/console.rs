//! Statements of the console: sign-in, and finding requests. For both databases like those of [`super::sql`].

use async_trait::async_trait;
use sqlx::{QueryBuilder, Row as _};
use taxdisk_web::signin::lockout::Failures;
use taxdisk_web::signin::session::Session;

use super::sql::{many, read};
use super::{PostgresDb, SqliteDb, StoreError};
use crate::core::callback::Callback;
use crate::core::outbox::Message;
use crate::core::request::Request;

/// What a request is found by besides its serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 单据号: the source id (LYID), or the number of an order.
    Order,
    /// 发票提取码.
    Extraction,
    /// 发票号码.
    Number,
    /// 购方名称.
    Buyer,
    /// 购方税号.
    TaxpayerNumber,
    /// A telephone number that gets a message.
    Telephone,
    /// A mail address that gets one.
    Mail,
}

impl Field {
    /// As it is written in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Field::Order => "order",
            Field::Extraction => "extraction",
            Field::Number => "number",
            Field::Buyer => "buyer",
            Field::TaxpayerNumber => "taxpayer",
            Field::Telephone => "telephone",
            Field::Mail => "mail",
        }
    }
}

/// The words of a request.
pub fn words(request: &Request) -> Vec<(Field, &str)> {
    let text = |name: &str| request.document.text(name);
    let mut words = vec![
        (Field::Order, text("LYID")),
        (Field::Order, text("WXORDERID")),
        (Field::Extraction, request.qr.as_ref().map_or("", |qr| qr.code.as_str())),
        (Field::Number, request.issued.as_ref().map_or("", |issued| issued.number.as_str())),
        (Field::Buyer, text("GMF_MC")),
        (Field::TaxpayerNumber, text("GMF_NSRSBH")),
    ];
    words.extend(request.delivery.phones.iter().map(|phone| (Field::Telephone, phone.as_str())));
    words.extend(request.delivery.emails.iter().map(|mail| (Field::Mail, mail.as_str())));
    words.retain(|(_, word)| !word.is_empty());
    words
}

/// What is asked for in a list: the latest first, from behind `before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Whose requests.
    pub tenant: String,
    /// Accepted then or later, milliseconds.
    pub from: i64,
    /// Only what comes behind this one (acceptance, serial number).
    pub before: (i64, String),
    /// Any of these phases, as the store writes them; empty: all.
    pub phases: Vec<&'static str>,
    /// Of this organisation; empty: all.
    pub orgcode: String,
    /// Of this kind (FPLX).
    pub fplx: Option<u8>,
    /// With this word.
    pub word: Option<(Field, String)>,
    /// Rows at most.
    pub limit: u32,
}

/// What the console needs of a connection.
#[async_trait]
pub trait ConsoleDb: Send {
    /// A page of a list.
    async fn list_requests(&mut self, query: &Query) -> Result<Vec<Request>, StoreError>;
    /// Requests that an older version wrote, which lists do not show yet.
    async fn unlisted(&mut self, limit: u32) -> Result<Vec<Request>, StoreError>;
    /// Callbacks of a tenant that were tried and did not arrive, the latest first.
    async fn troubled_callbacks(&mut self, tenant: &str, limit: u32) -> Result<Vec<Callback>, StoreError>;
    /// The same of messages to people.
    async fn troubled_messages(&mut self, tenant: &str, limit: u32) -> Result<Vec<Message>, StoreError>;
    /// Writes the words of a request; those that are known stay.
    async fn put_words(&mut self, request: &Request) -> Result<(), StoreError>;
    /// The stored password of an account.
    async fn password(&mut self, account: &str) -> Result<Option<String>, StoreError>;
    /// Replaces it.
    async fn put_password(&mut self, account: &str, hash: &str, at: i64) -> Result<(), StoreError>;
    /// The second factor of an account, as it is stored: JSON, or sealed.
    async fn factor(&mut self, account: &str) -> Result<Option<String>, StoreError>;
    /// Replaces it, or takes it away.
    async fn put_factor(&mut self, account: &str, factor: Option<&str>) -> Result<(), StoreError>;
    /// All second factors: account, and as it is stored.
    async fn factors(&mut self) -> Result<Vec<(String, String)>, StoreError>;
    /// A session by its hash.
    async fn session(&mut self, hash: &str) -> Result<Option<Session>, StoreError>;
    /// Writes a new session.
    async fn add_session(&mut self, session: &Session) -> Result<(), StoreError>;
    /// Notes when a session was seen, if it is there still.
    async fn touch_session(&mut self, session: &Session) -> Result<(), StoreError>;
    /// Ends one session.
    async fn end_session(&mut self, hash: &str) -> Result<(), StoreError>;
    /// Ends all sessions of an account.
    async fn end_sessions_of(&mut self, account: &str) -> Result<(), StoreError>;
    /// Attempts that failed.
    async fn failures(&mut self, whose: &str) -> Result<Failures, StoreError>;
    /// Replaces them; a count of 0 forgets them.
    async fn put_failures(&mut self, whose: &str, failures: Failures) -> Result<(), StoreError>;
    /// Whose first password a link sets, and until when.
    async fn password_link(&mut self, hash: &str) -> Result<Option<(String, i64)>, StoreError>;
    /// Writes a link for a first password; earlier ones of the account end.
    async fn put_password_link(&mut self, hash: &str, account: &str, expires_at: i64) -> Result<(), StoreError>;
    /// Takes a link away. False: it was gone.
    async fn take_password_link(&mut self, hash: &str) -> Result<bool, StoreError>;
    /// Forgets sessions, links and attempts that count no longer.
    async fn forget_sign_ins(&mut self, sessions_before: i64, now: i64, attempts_before: i64) -> Result<(), StoreError>;
}

macro_rules! console {
    ($name:ident) => {
        #[async_trait]
        impl ConsoleDb for $name {
            async fn list_requests(&mut self, query: &Query) -> Result<Vec<Request>, StoreError> {
                self.write_late().await?;
                let mut sql = QueryBuilder::new("SELECT r.body FROM requests r");
                // The order goes by whichever index drives: of the word, or of the list.
                let order = match &query.word {
                    Some((field, word)) => {
                        sql.push(" JOIN request_words w ON w.tenant = r.tenant AND w.serial = r.serial WHERE w.tenant = ")
                            .push_bind(&query.tenant)
                            .push(" AND w.field = ")
                            .push_bind(field.as_str())
                            .push(" AND w.word = ")
                            .push_bind(word);
                        "w"
                    }
                    None => {
                        sql.push(" WHERE r.tenant = ").push_bind(&query.tenant);
                        "r"
                    }
                };
                sql.push(format_args!(" AND {order}.created_at >= ")).push_bind(query.from);
                sql.push(format_args!(" AND ({order}.created_at, {order}.serial) < ("))
                    .push_bind(query.before.0)
                    .push(", ")
                    .push_bind(&query.before.1)
                    .push(")");
                if !query.phases.is_empty() {
                    sql.push(" AND r.phase IN (");
                    let mut list = sql.separated(", ");
                    for phase in &query.phases {
                        list.push_bind(*phase);
                    }
                    sql.push(")");
                }
                if !query.orgcode.is_empty() {
                    sql.push(" AND r.orgcode = ").push_bind(&query.orgcode);
                }
                if let Some(fplx) = query.fplx {
                    sql.push(" AND r.fplx = ").push_bind(i64::from(fplx));
                }
                sql.push(format_args!(" ORDER BY {order}.created_at DESC, {order}.serial DESC LIMIT "))
                    .push_bind(i64::from(query.limit));
                many(sql.build_query_scalar().fetch_all(&mut self.0).await?)
            }

            async fn unlisted(&mut self, limit: u32) -> Result<Vec<Request>, StoreError> {
                many(
                    sqlx::query_scalar("SELECT body FROM requests WHERE listed = 0 ORDER BY created_at LIMIT $1")
                        .bind(i64::from(limit))
                        .fetch_all(&mut self.0)
                        .await?,
                )
            }

            async fn troubled_callbacks(&mut self, tenant: &str, limit: u32) -> Result<Vec<Callback>, StoreError> {
                let rows: Vec<String> = sqlx::query_scalar(
                    "SELECT body FROM callbacks WHERE tenant = $1 AND troubled = 1 ORDER BY created_at DESC, id LIMIT $2",
                )
                .bind(tenant)
                .bind(i64::from(limit))
                .fetch_all(&mut self.0)
                .await?;
                rows.iter().map(|body| read("callback", body)).collect()
            }

            async fn troubled_messages(&mut self, tenant: &str, limit: u32) -> Result<Vec<Message>, StoreError> {
                let rows: Vec<String> = sqlx::query_scalar(
                    "SELECT body FROM messages WHERE tenant = $1 AND troubled = 1 ORDER BY created_at DESC, id LIMIT $2",
                )
                .bind(tenant)
                .bind(i64::from(limit))
                .fetch_all(&mut self.0)
                .await?;
                rows.iter().map(|body| read("message", body)).collect()
            }

            async fn put_words(&mut self, request: &Request) -> Result<(), StoreError> {
                self.1.add_words(request);
                if self.1.is_open() { Ok(()) } else { self.write_late().await }
            }

            async fn password(&mut self, account: &str) -> Result<Option<String>, StoreError> {
                Ok(sqlx::query_scalar("SELECT hash FROM passwords WHERE account = $1")
                    .bind(account)
                    .fetch_optional(&mut self.0)
                    .await?)
            }

            async fn put_password(&mut self, account: &str, hash: &str, at: i64) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO passwords (account, hash, changed_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (account) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at",
                )
                .bind(account)
                .bind(hash)
                .bind(at)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn factor(&mut self, account: &str) -> Result<Option<String>, StoreError> {
                Ok(sqlx::query_scalar("SELECT body FROM second_factors WHERE account = $1")
                    .bind(account)
                    .fetch_optional(&mut self.0)
                    .await?)
            }

            async fn put_factor(&mut self, account: &str, factor: Option<&str>) -> Result<(), StoreError> {
                let Some(body) = factor else {
                    sqlx::query("DELETE FROM second_factors WHERE account = $1").bind(account).execute(&mut self.0).await?;
                    return Ok(());
                };
                sqlx::query(
                    "INSERT INTO second_factors (account, body) VALUES ($1, $2) \
                     ON CONFLICT (account) DO UPDATE SET body = excluded.body",
                )
                .bind(account)
                .bind(body)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn factors(&mut self) -> Result<Vec<(String, String)>, StoreError> {
                let rows =
                    sqlx::query("SELECT account, body FROM second_factors ORDER BY account").fetch_all(&mut self.0).await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
            }

            async fn session(&mut self, hash: &str) -> Result<Option<Session>, StoreError> {
                let row = sqlx::query("SELECT hash, account, created_at, seen_at FROM sessions WHERE hash = $1")
                    .bind(hash)
                    .fetch_optional(&mut self.0)
                    .await?;
                let Some(row) = row else { return Ok(None) };
                Ok(Some(Session {
                    hash: row.try_get(0)?,
                    account: row.try_get(1)?,
                    created_at: row.try_get(2)?,
                    seen_at: row.try_get(3)?,
                }))
            }

            async fn add_session(&mut self, session: &Session) -> Result<(), StoreError> {
                sqlx::query("INSERT INTO sessions (hash, account, created_at, seen_at) VALUES ($1, $2, $3, $4)")
                    .bind(&session.hash)
                    .bind(&session.account)
                    .bind(session.created_at)
                    .bind(session.seen_at)
                    .execute(&mut self.0)
                    .await?;
                Ok(())
            }

            async fn touch_session(&mut self, session: &Session) -> Result<(), StoreError> {
                sqlx::query("UPDATE sessions SET seen_at = $2 WHERE hash = $1")
                    .bind(&session.hash)
                    .bind(session.seen_at)
                    .execute(&mut self.0)
                    .await?;
                Ok(())
            }

            async fn end_session(&mut self, hash: &str) -> Result<(), StoreError> {
                sqlx::query("DELETE FROM sessions WHERE hash = $1").bind(hash).execute(&mut self.0).await?;
                Ok(())
            }

            async fn end_sessions_of(&mut self, account: &str) -> Result<(), StoreError> {
                sqlx::query("DELETE FROM sessions WHERE account = $1").bind(account).execute(&mut self.0).await?;
                Ok(())
            }

            async fn failures(&mut self, whose: &str) -> Result<Failures, StoreError> {
                let row = sqlx::query("SELECT count, last_at FROM sign_in_failures WHERE whose = $1")
                    .bind(whose)
                    .fetch_optional(&mut self.0)
                    .await?;
                let Some(row) = row else { return Ok(Failures::default()) };
                let count: i64 = row.try_get(0)?;
                Ok(Failures { count: u32::try_from(count).unwrap_or(u32::MAX), last_at: row.try_get(1)? })
            }

            async fn put_failures(&mut self, whose: &str, failures: Failures) -> Result<(), StoreError> {
                if failures.count == 0 {
                    sqlx::query("DELETE FROM sign_in_failures WHERE whose = $1").bind(whose).execute(&mut self.0).await?;
                    return Ok(());
                }
                sqlx::query(
                    "INSERT INTO sign_in_failures (whose, count, last_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (whose) DO UPDATE SET count = excluded.count, last_at = excluded.last_at",
                )
                .bind(whose)
                .bind(i64::from(failures.count))
                .bind(failures.last_at)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn password_link(&mut self, hash: &str) -> Result<Option<(String, i64)>, StoreError> {
                let row = sqlx::query("SELECT account, expires_at FROM password_links WHERE hash = $1")
                    .bind(hash)
                    .fetch_optional(&mut self.0)
                    .await?;
                row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
            }

            async fn put_password_link(&mut self, hash: &str, account: &str, expires_at: i64) -> Result<(), StoreError> {
                sqlx::query("DELETE FROM password_links WHERE account = $1").bind(account).execute(&mut self.0).await?;
                sqlx::query("INSERT INTO password_links (hash, account, expires_at) VALUES ($1, $2, $3)")
                    .bind(hash)
                    .bind(account)
                    .bind(expires_at)
                    .execute(&mut self.0)
                    .await?;
                Ok(())
            }

            async fn take_password_link(&mut self, hash: &str) -> Result<bool, StoreError> {
                let taken = sqlx::query("DELETE FROM password_links WHERE hash = $1").bind(hash).execute(&mut self.0).await?;
                Ok(taken.rows_affected() == 1)
            }

            async fn forget_sign_ins(&mut self, sessions_before: i64, now: i64, attempts_before: i64) -> Result<(), StoreError> {
                sqlx::query("DELETE FROM sessions WHERE seen_at < $1").bind(sessions_before).execute(&mut self.0).await?;
                sqlx::query("DELETE FROM password_links WHERE expires_at < $1").bind(now).execute(&mut self.0).await?;
                sqlx::query("DELETE FROM sign_in_failures WHERE last_at < $1").bind(attempts_before).execute(&mut self.0).await?;
                Ok(())
            }
        }
    };
}

console!(SqliteDb);
console!(PostgresDb);

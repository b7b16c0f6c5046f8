//! The statements, once for both databases: text and BIGINT columns, `$1` placeholders, `ON CONFLICT`.

use async_trait::async_trait;
use sqlx::{Connection, Executor, PgConnection, QueryBuilder, Row, SqliteConnection};

use super::late::Late;
use super::{ConsoleDb as _, Db, Field, Note, PlainCode, ReportsDb as _, StoreError, UsedToken};
use crate::core::callback::Callback;
use crate::core::links::{Kind, Link};
use crate::core::outbox::{Channel, Message};
use crate::core::request::{Phase, Request};
use crate::core::task::{Task, TaskState};

pub(super) fn read<T: serde::de::DeserializeOwned>(what: &str, body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|error| StoreError::Damaged(format!("{what}: {error}")))
}

pub(super) fn written<T: serde::Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Damaged(format!("{what}: {error}")))
}

fn one(rows: Option<String>) -> Result<Option<Request>, StoreError> {
    rows.map(|body| read("request", &body)).transpose()
}

pub(super) fn many(rows: Vec<String>) -> Result<Vec<Request>, StoreError> {
    rows.iter().map(|body| read("request", body)).collect()
}

/// As serde writes it into the body.
fn phase_name(phase: Phase) -> Result<String, StoreError> {
    written("phase", &phase).map(|text| text.trim_matches('"').to_owned())
}

macro_rules! link_columns {
    () => {
        "SELECT hash, kind, tenant, serial, generation, created_at, expires_at, revoked_at FROM links"
    };
}

macro_rules! database {
    ($(#[$doc:meta])* $name:ident, $connection:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub(super) $connection, pub(super) Late);

        impl $name {
            pub(super) fn new(connection: $connection) -> $name {
                $name(connection, Late::default())
            }

            /// Writes what waits for the end of the transaction.
            pub(super) async fn write_late(&mut self) -> Result<(), StoreError> {
                for tokens in self.1.take_tokens().chunks(super::late::ROWS) {
                    let mut sql = QueryBuilder::new("INSERT INTO tokens (appid, token, jti, used_for, until_s) ");
                    sql.push_values(tokens, |mut row, token| {
                        row.push_bind(&token.appid)
                            .push_bind(&token.token)
                            .push_bind(&token.jti)
                            .push_bind(&token.used_for)
                            .push_bind(token.until_s);
                    });
                    sql.build().persistent(false).execute(&mut self.0).await?;
                }
                for words in self.1.take_words().chunks(super::late::ROWS) {
                    let mut sql = QueryBuilder::new("INSERT INTO request_words (tenant, field, word, created_at, serial) ");
                    sql.push_values(words, |mut row, word| {
                        row.push_bind(&word.tenant)
                            .push_bind(word.field)
                            .push_bind(&word.word)
                            .push_bind(word.created_at)
                            .push_bind(&word.serial);
                    });
                    sql.push(" ON CONFLICT DO NOTHING").build().persistent(false).execute(&mut self.0).await?;
                }
                for notes in self.1.take_notes().chunks(super::late::ROWS) {
                    let mut sql = QueryBuilder::new("INSERT INTO notes (tenant, serial, place, at, who, what, body) ");
                    sql.push_values(notes.iter().zip(super::late::earlier(notes)), |mut row, (line, earlier)| {
                        row.push_bind(&line.tenant).push_bind(&line.serial);
                        // Counted before any row of this statement is there; `earlier` counts those.
                        row.push("(SELECT count(*) FROM notes WHERE tenant = ")
                            .push_bind_unseparated(&line.tenant)
                            .push_unseparated(" AND serial = ")
                            .push_bind_unseparated(&line.serial)
                            .push_unseparated(") + ")
                            .push_bind_unseparated(earlier);
                        row.push_bind(line.note.at)
                            .push_bind(&line.note.by)
                            .push_bind(&line.note.what)
                            .push_bind(&line.note.body);
                    });
                    sql.build().persistent(false).execute(&mut self.0).await?;
                }
                Ok(())
            }

            /// Closes the connection in good order.
            pub async fn close(self) -> Result<(), StoreError> {
                Ok(self.0.close().await?)
            }
        }

        #[async_trait]
        impl Db for $name {
            async fn ping(&mut self) -> Result<(), StoreError> {
                Ok(self.0.ping().await?)
            }

            async fn begin(&mut self) -> Result<(), StoreError> {
                self.0.execute("BEGIN").await?;
                self.1.open();
                Ok(())
            }

            async fn commit(&mut self) -> Result<(), StoreError> {
                self.write_late().await?;
                self.1.close();
                self.0.execute("COMMIT").await?;
                Ok(())
            }

            async fn request(&mut self, tenant: &str, serial: &str) -> Result<Option<Request>, StoreError> {
                one(sqlx::query_scalar("SELECT body FROM requests WHERE tenant = $1 AND serial = $2")
                    .bind(tenant)
                    .bind(serial)
                    .fetch_optional(&mut self.0)
                    .await?)
            }

            async fn put_request(&mut self, request: &Request) -> Result<(), StoreError> {
                let (code, number) = match &request.issued {
                    Some(issued) => (issued.code.as_str(), issued.number.as_str()),
                    None => ("", ""),
                };
                let about = request.original.as_ref().map_or(("", ""), |pair| (pair.code.as_str(), pair.number.as_str()));
                // What was sent back is no longer like anything.
                let fingerprint = if request.phase == Phase::Deleted { "" } else { request.fingerprint.as_str() };
                sqlx::query(
                    "INSERT INTO requests (tenant, serial, seller, job_serial, code, number, about_code, about_number, \
                     fingerprint, phase, created_at, due_at, body, orgcode, fplx, extraction, listed) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1) \
                     ON CONFLICT (tenant, serial) DO UPDATE SET job_serial = excluded.job_serial, code = excluded.code, \
                     number = excluded.number, about_code = excluded.about_code, about_number = excluded.about_number, \
                     fingerprint = excluded.fingerprint, phase = excluded.phase, \
                     due_at = excluded.due_at, body = excluded.body, orgcode = excluded.orgcode, fplx = excluded.fplx, \
                     extraction = excluded.extraction, \
                     listed = 1",
                )
                .bind(&request.tenant)
                .bind(&request.serial)
                .bind(&request.seller)
                .bind(&request.job_serial)
                .bind(code)
                .bind(number)
                .bind(about.0)
                .bind(about.1)
                .bind(fingerprint)
                .bind(phase_name(request.phase)?)
                .bind(request.created_at)
                .bind(request.due_at)
                .bind(written("request", request)?)
                .bind(&request.orgcode)
                .bind(i64::from(request.fplx))
                .bind(request.qr.as_ref().map_or("", |qr| qr.code.as_str()))
                .execute(&mut self.0)
                .await?;
                self.put_sums(request).await?;
                self.put_words(request).await
            }

            async fn requests_named(
                &mut self,
                (tenant, serial): (&str, &str),
                (seller, job_serial): (&str, &str),
            ) -> Result<Vec<Request>, StoreError> {
                many(sqlx::query_scalar(
                    "SELECT body FROM requests WHERE (tenant = $1 AND serial = $2) OR (seller = $3 AND job_serial = $4)",
                )
                .bind(tenant)
                .bind(serial)
                .bind(seller)
                .bind(job_serial)
                .fetch_all(&mut self.0)
                .await?)
            }

            async fn request_by_job(&mut self, seller: &str, job_serial: &str) -> Result<Option<Request>, StoreError> {
                one(sqlx::query_scalar("SELECT body FROM requests WHERE seller = $1 AND job_serial = $2")
                    .bind(seller)
                    .bind(job_serial)
                    .fetch_optional(&mut self.0)
                    .await?)
            }

            async fn request_by_number(
                &mut self,
                tenant: &str,
                code: &str,
                number: &str,
            ) -> Result<Option<Request>, StoreError> {
                one(sqlx::query_scalar(
                    "SELECT body FROM requests WHERE tenant = $1 AND code = $2 AND number = $3 AND code <> '' LIMIT 1",
                )
                .bind(tenant)
                .bind(code)
                .bind(number)
                .fetch_optional(&mut self.0)
                .await?)
            }

            async fn requests_by_extraction(&mut self, code: &str, limit: u32) -> Result<Vec<Request>, StoreError> {
                // The second condition is that of the index.
                let text = "SELECT body FROM requests WHERE extraction = $1 AND extraction <> '' \
                            ORDER BY created_at, serial LIMIT $2";
                many(sqlx::query_scalar(text).bind(code).bind(i64::from(limit)).fetch_all(&mut self.0).await?)
            }

            async fn requests_by_serial(&mut self, serial: &str, limit: u32) -> Result<Vec<Request>, StoreError> {
                many(sqlx::query_scalar("SELECT body FROM requests WHERE serial = $1 ORDER BY created_at, tenant LIMIT $2")
                    .bind(serial)
                    .bind(i64::from(limit))
                    .fetch_all(&mut self.0)
                    .await?)
            }

            async fn requests_by_order(&mut self, number: &str, limit: u32) -> Result<Vec<Request>, StoreError> {
                let sql = "SELECT r.body FROM orders o JOIN requests r ON r.tenant = o.tenant AND r.serial = o.serial \
                           WHERE o.number = $1 ORDER BY o.created_at, o.syscode LIMIT $2";
                many(sqlx::query_scalar(sql).bind(number).bind(i64::from(limit)).fetch_all(&mut self.0).await?)
            }

            async fn order(&mut self, syscode: &str, number: &str) -> Result<Option<(String, String)>, StoreError> {
                Ok(sqlx::query_as("SELECT tenant, serial FROM orders WHERE syscode = $1 AND number = $2")
                    .bind(syscode)
                    .bind(number)
                    .fetch_optional(&mut self.0)
                    .await?)
            }

            async fn put_order(
                &mut self,
                syscode: &str,
                number: &str,
                tenant: &str,
                serial: &str,
                at: i64,
            ) -> Result<(), StoreError> {
                let add = "INSERT INTO orders (syscode, number, tenant, serial, created_at) VALUES ($1, $2, $3, $4, $5)";
                sqlx::query(add).bind(syscode).bind(number).bind(tenant).bind(serial).bind(at).execute(&mut self.0).await?;
                // Lists go by when the request was accepted, which of another receipt's order was before.
                sqlx::query(
                    "INSERT INTO request_words (tenant, field, word, created_at, serial) \
                     SELECT tenant, $3, $4, created_at, serial FROM requests WHERE tenant = $1 AND serial = $2 \
                     ON CONFLICT DO NOTHING",
                )
                .bind(tenant)
                .bind(serial)
                .bind(Field::Order.as_str())
                .bind(number)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn put_task(&mut self, task: &Task) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO tasks (id, tenant, serial, kind, state, created_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                     ON CONFLICT (id) DO UPDATE SET state = excluded.state, body = excluded.body",
                )
                .bind(&task.id)
                .bind(&task.tenant)
                .bind(&task.serial)
                .bind(task.kind.as_str())
                .bind(task.state.as_str())
                .bind(task.created_at)
                .bind(written("task", task)?)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn task(&mut self, tenant: &str, id: &str) -> Result<Option<Task>, StoreError> {
                let body: Option<String> = sqlx::query_scalar("SELECT body FROM tasks WHERE tenant = $1 AND id = $2")
                    .bind(tenant)
                    .bind(id)
                    .fetch_optional(&mut self.0)
                    .await?;
                body.map(|body| read("task", &body)).transpose()
            }

            async fn tasks(&mut self, tenant: &str, state: TaskState, limit: u32) -> Result<Vec<Task>, StoreError> {
                let wanted = match state {
                    TaskState::Open => {
                        "SELECT body FROM tasks WHERE tenant = $1 AND state = $2 ORDER BY created_at, id LIMIT $3"
                    }
                    TaskState::Done | TaskState::Refused => {
                        "SELECT body FROM tasks WHERE tenant = $1 AND state = $2 ORDER BY created_at DESC, id DESC LIMIT $3"
                    }
                };
                let rows: Vec<String> = sqlx::query_scalar(wanted)
                    .bind(tenant)
                    .bind(state.as_str())
                    .bind(i64::from(limit))
                    .fetch_all(&mut self.0)
                    .await?;
                rows.iter().map(|body| read("task", body)).collect()
            }

            async fn tasks_of(&mut self, tenant: &str, serial: &str) -> Result<Vec<Task>, StoreError> {
                let rows: Vec<String> =
                    sqlx::query_scalar("SELECT body FROM tasks WHERE tenant = $1 AND serial = $2 ORDER BY created_at, id")
                        .bind(tenant)
                        .bind(serial)
                        .fetch_all(&mut self.0)
                        .await?;
                rows.iter().map(|body| read("task", body)).collect()
            }

            async fn about(&mut self, tenant: &str, code: &str, number: &str) -> Result<Vec<Request>, StoreError> {
                many(sqlx::query_scalar(
                    "SELECT body FROM requests WHERE tenant = $1 AND about_code = $2 AND about_number = $3 \
                     AND about_code <> '' ORDER BY created_at, serial",
                )
                .bind(tenant)
                .bind(code)
                .bind(number)
                .fetch_all(&mut self.0)
                .await?)
            }

            async fn similar(&mut self, tenant: &str, fingerprint: &str, since: i64) -> Result<Option<Request>, StoreError> {
                one(sqlx::query_scalar(
                    "SELECT body FROM requests WHERE tenant = $1 AND fingerprint = $2 AND fingerprint <> '' \
                     AND created_at >= $3 ORDER BY created_at DESC LIMIT 1",
                )
                .bind(tenant)
                .bind(fingerprint)
                .bind(since)
                .fetch_optional(&mut self.0)
                .await?)
            }

            async fn due_requests(&mut self, now: i64, limit: u32) -> Result<Vec<(String, String)>, StoreError> {
                Ok(sqlx::query_as(
                    "SELECT tenant, serial FROM requests WHERE due_at <= $1 AND due_at < 9223372036854775807 \
                     ORDER BY due_at LIMIT $2",
                )
                .bind(now)
                .bind(i64::from(limit))
                .fetch_all(&mut self.0)
                .await?)
            }

            async fn waiting(&mut self, limit: u32) -> Result<Vec<Request>, StoreError> {
                many(sqlx::query_scalar("SELECT body FROM requests WHERE phase = 'approval' ORDER BY created_at LIMIT $1")
                    .bind(i64::from(limit))
                    .fetch_all(&mut self.0)
                    .await?)
            }

            async fn put_callback(&mut self, callback: &Callback) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO callbacks (id, tenant, serial, created_at, due_at, body, troubled) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE \
                     SET due_at = excluded.due_at, body = excluded.body, troubled = excluded.troubled",
                )
                .bind(&callback.id)
                .bind(&callback.tenant)
                .bind(&callback.serial)
                .bind(callback.created_at)
                .bind(callback.due_at)
                .bind(written("callback", callback)?)
                .bind(i64::from(callback.is_troubled()))
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn callback(&mut self, id: &str) -> Result<Option<Callback>, StoreError> {
                let body: Option<String> = sqlx::query_scalar("SELECT body FROM callbacks WHERE id = $1")
                    .bind(id)
                    .fetch_optional(&mut self.0)
                    .await?;
                body.map(|body| read("callback", &body)).transpose()
            }

            async fn due_callbacks(&mut self, now: i64, limit: u32) -> Result<Vec<Callback>, StoreError> {
                let rows: Vec<String> = sqlx::query_scalar(
                    "SELECT body FROM callbacks WHERE due_at <= $1 AND due_at < 9223372036854775807 ORDER BY due_at LIMIT $2",
                )
                .bind(now)
                .bind(i64::from(limit))
                .fetch_all(&mut self.0)
                .await?;
                rows.iter().map(|body| read("callback", body)).collect()
            }

            async fn callbacks_of(&mut self, tenant: &str, serial: &str) -> Result<Vec<Callback>, StoreError> {
                let rows: Vec<String> = sqlx::query_scalar(
                    "SELECT body FROM callbacks WHERE tenant = $1 AND serial = $2 ORDER BY created_at, id",
                )
                .bind(tenant)
                .bind(serial)
                .fetch_all(&mut self.0)
                .await?;
                rows.iter().map(|body| read("callback", body)).collect()
            }

            async fn put_message(&mut self, message: &Message) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO messages (id, tenant, serial, channel, address, created_at, due_at, body, troubled) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE \
                     SET due_at = excluded.due_at, body = excluded.body, troubled = excluded.troubled",
                )
                .bind(&message.id)
                .bind(&message.tenant)
                .bind(&message.serial)
                .bind(message.channel.as_str())
                .bind(&message.address)
                .bind(message.created_at)
                .bind(message.due_at)
                .bind(written("message", message)?)
                .bind(i64::from(message.is_troubled()))
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn message(&mut self, id: &str) -> Result<Option<Message>, StoreError> {
                let body: Option<String> =
                    sqlx::query_scalar("SELECT body FROM messages WHERE id = $1").bind(id).fetch_optional(&mut self.0).await?;
                body.map(|body| read("message", &body)).transpose()
            }

            async fn due_messages(&mut self, channel: Channel, now: i64, limit: u32) -> Result<Vec<Message>, StoreError> {
                let rows: Vec<String> = sqlx::query_scalar(
                    "SELECT body FROM messages WHERE channel = $1 AND due_at <= $2 AND due_at < 9223372036854775807 \
                     ORDER BY due_at, id LIMIT $3",
                )
                .bind(channel.as_str())
                .bind(now)
                .bind(i64::from(limit))
                .fetch_all(&mut self.0)
                .await?;
                rows.iter().map(|body| read("message", body)).collect()
            }

            async fn messages_of(&mut self, tenant: &str, serial: &str) -> Result<Vec<Message>, StoreError> {
                let rows: Vec<String> = sqlx::query_scalar(
                    "SELECT body FROM messages WHERE tenant = $1 AND serial = $2 ORDER BY created_at, id",
                )
                .bind(tenant)
                .bind(serial)
                .fetch_all(&mut self.0)
                .await?;
                rows.iter().map(|body| read("message", body)).collect()
            }

            async fn messages_to(&mut self, channel: Channel, address: &str, since: i64) -> Result<u64, StoreError> {
                let count: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM messages WHERE channel = $1 AND address = $2 AND created_at > $3",
                )
                .bind(channel.as_str())
                .bind(address)
                .bind(since)
                .fetch_one(&mut self.0)
                .await?;
                Ok(u64::try_from(count).unwrap_or_default())
            }

            async fn put_link(&mut self, link: &Link) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO links (hash, kind, tenant, serial, generation, created_at, expires_at, revoked_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (hash) DO UPDATE SET revoked_at = excluded.revoked_at",
                )
                .bind(&link.hash)
                .bind(link.kind.as_str())
                .bind(&link.tenant)
                .bind(&link.serial)
                .bind(i64::from(link.generation))
                .bind(link.created_at)
                .bind(link.expires_at)
                .bind(link.revoked_at)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn link(&mut self, hash: &str) -> Result<Option<Link>, StoreError> {
                let row = sqlx::query(concat!(link_columns!(), " WHERE hash = $1"))
                    .bind(hash)
                    .fetch_optional(&mut self.0)
                    .await?;
                row.map(|row| link(&row)).transpose()
            }

            async fn links_of(&mut self, kind: Kind, tenant: &str, serial: &str) -> Result<Vec<Link>, StoreError> {
                let wanted = concat!(link_columns!(), " WHERE tenant = $1 AND serial = $2 AND kind = $3 ORDER BY generation");
                let rows = sqlx::query(wanted)
                    .bind(tenant)
                    .bind(serial)
                    .bind(kind.as_str())
                    .fetch_all(&mut self.0)
                    .await?;
                rows.iter().map(link).collect()
            }

            async fn plain_codes(&mut self, limit: u32) -> Result<Vec<PlainCode>, StoreError> {
                let rows = sqlx::query("SELECT token, tenant, serial FROM plain_codes ORDER BY tenant, serial LIMIT $1")
                    .bind(i64::from(limit))
                    .fetch_all(&mut self.0)
                    .await?;
                let code = |row: &_| Ok(PlainCode { token: get(row, 0)?, tenant: get(row, 1)?, serial: get(row, 2)? });
                rows.iter().map(code).collect()
            }

            async fn forget_plain_code(&mut self, code: &PlainCode) -> Result<(), StoreError> {
                sqlx::query("DELETE FROM plain_codes WHERE tenant = $1 AND serial = $2")
                    .bind(&code.tenant)
                    .bind(&code.serial)
                    .execute(&mut self.0)
                    .await?;
                Ok(())
            }

            async fn compact(&mut self) -> Result<(), StoreError> {
                self.0.execute("VACUUM").await?;
                if stringify!($name) == "SqliteDb" {
                    // The write-ahead log holds what stood there too, until it is taken over and cut.
                    self.0.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
                }
                Ok(())
            }

            async fn used_tokens(&mut self, appid: &str, token: &str, jti: &str) -> Result<Vec<UsedToken>, StoreError> {
                let rows = sqlx::query(
                    "SELECT appid, token, jti, used_for, until_s FROM tokens \
                     WHERE appid = $1 AND (token = $2 OR (jti = $3 AND jti <> ''))",
                )
                .bind(appid)
                .bind(token)
                .bind(jti)
                .fetch_all(&mut self.0)
                .await?;
                let used = |row: &_| {
                    Ok(UsedToken {
                        appid: get(row, 0)?,
                        token: get(row, 1)?,
                        jti: get(row, 2)?,
                        used_for: get(row, 3)?,
                        until_s: get(row, 4)?,
                    })
                };
                let mut known = rows.iter().map(used).collect::<Result<Vec<_>, StoreError>>()?;
                known.extend(self.1.used_tokens(appid, token, jti));
                Ok(known)
            }

            async fn put_token(&mut self, token: &UsedToken) -> Result<(), StoreError> {
                self.1.add_token(token);
                if self.1.is_open() { Ok(()) } else { self.write_late().await }
            }

            async fn forget_tokens(&mut self, before_s: i64) -> Result<u64, StoreError> {
                let done =
                    sqlx::query("DELETE FROM tokens WHERE until_s < $1").bind(before_s).execute(&mut self.0).await?;
                Ok(done.rows_affected())
            }

            async fn settings(&mut self, kind: &str) -> Result<Vec<(String, String)>, StoreError> {
                let rows = sqlx::query("SELECT name, body FROM settings WHERE kind = $1 ORDER BY name")
                    .bind(kind)
                    .fetch_all(&mut self.0)
                    .await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
            }

            async fn setting(&mut self, kind: &str, name: &str) -> Result<Option<String>, StoreError> {
                Ok(sqlx::query_scalar("SELECT body FROM settings WHERE kind = $1 AND name = $2")
                    .bind(kind)
                    .bind(name)
                    .fetch_optional(&mut self.0)
                    .await?)
            }

            async fn put_setting(&mut self, kind: &str, name: &str, body: &str) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO settings (kind, name, body) VALUES ($1, $2, $3) \
                     ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body",
                )
                .bind(kind)
                .bind(name)
                .bind(body)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn add_note(&mut self, tenant: &str, serial: &str, note: &Note) -> Result<(), StoreError> {
                self.1.add_note(tenant, serial, note);
                if self.1.is_open() { Ok(()) } else { self.write_late().await }
            }

            async fn notes(&mut self, tenant: &str, serial: &str) -> Result<Vec<Note>, StoreError> {
                self.write_late().await?;
                let rows =
                    sqlx::query("SELECT at, who, what, body FROM notes WHERE tenant = $1 AND serial = $2 ORDER BY place")
                        .bind(tenant)
                        .bind(serial)
                        .fetch_all(&mut self.0)
                        .await?;
                let note = |row: &_| Ok(Note { at: get(row, 0)?, by: get(row, 1)?, what: get(row, 2)?, body: get(row, 3)? });
                rows.iter().map(note).collect()
            }

            async fn latest_notes(&mut self, tenant: &str, serial: &str, limit: u32) -> Result<Vec<Note>, StoreError> {
                self.write_late().await?;
                let rows = sqlx::query(
                    "SELECT at, who, what, body FROM notes WHERE tenant = $1 AND serial = $2 ORDER BY place DESC LIMIT $3",
                )
                .bind(tenant)
                .bind(serial)
                .bind(i64::from(limit))
                .fetch_all(&mut self.0)
                .await?;
                let note = |row: &_| Ok(Note { at: get(row, 0)?, by: get(row, 1)?, what: get(row, 2)?, body: get(row, 3)? });
                rows.iter().map(note).collect()
            }
        }
    };
}

/// A link, of the columns of `link_columns`.
fn link<R>(row: &R) -> Result<Link, StoreError>
where
    R: Row,
    usize: sqlx::ColumnIndex<R>,
    String: for<'r> sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: for<'r> sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    Option<i64>: for<'r> sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    let (kind, generation): (String, i64) = (get(row, 1)?, get(row, 4)?);
    Ok(Link {
        hash: get(row, 0)?,
        kind: Kind::from_text(&kind).ok_or_else(|| StoreError::Damaged(format!("link of kind {kind:?}")))?,
        tenant: get(row, 2)?,
        serial: get(row, 3)?,
        generation: u32::try_from(generation).map_err(|_| StoreError::Damaged(format!("link of generation {generation}")))?,
        created_at: get(row, 5)?,
        expires_at: get(row, 6)?,
        revoked_at: get(row, 7)?,
    })
}

/// A column of a row of either database.
pub(super) fn get<'r, R, T>(row: &'r R, index: usize) -> Result<T, StoreError>
where
    R: Row,
    usize: sqlx::ColumnIndex<R>,
    T: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    Ok(row.try_get(index)?)
}

database!(
    /// A connection to a SQLite file.
    SqliteDb,
    SqliteConnection
);
database!(
    /// A connection to PostgreSQL.
    PostgresDb,
    PgConnection
);

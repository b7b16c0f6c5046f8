//! Statements of the schemes that need no integration: files, codes made by hand, reservations. For both databases.

use async_trait::async_trait;
use sqlx::Row as _;

use super::sql::{get, read, written};
use super::{PostgresDb, SqliteDb, StoreError};
use crate::core::codes::{Code, Receipt, Standing};
use crate::core::request::Request;
use crate::core::reservations::{Reservation, Search, Setup};
use crate::files::Kind;

/// What these schemes need of a connection.
#[async_trait]
pub trait CodesDb: Send {
    /// All entries of a file: key and JSON, by key.
    async fn entries(&mut self, tenant: &str, kind: Kind) -> Result<Vec<(String, String)>, StoreError>;
    /// Writes an entry, new or not.
    async fn put_entry(&mut self, tenant: &str, kind: Kind, key: &str, body: &str) -> Result<(), StoreError>;
    /// Takes an entry out. False: it was not there.
    async fn remove_entry(&mut self, tenant: &str, kind: Kind, key: &str) -> Result<bool, StoreError>;
    /// Writes a code made by hand; it never changes.
    async fn add_code(&mut self, code: &Code) -> Result<(), StoreError>;
    /// A code made by hand.
    async fn code(&mut self, tenant: &str, serial: &str) -> Result<Option<Code>, StoreError>;
    /// Codes of a tenant with their requests, the latest first, from behind `before` (time, serial number); of one standing, or
    /// all.
    async fn codes(
        &mut self,
        tenant: &str,
        standing: Option<Standing>,
        before: (i64, &str),
        limit: u32,
    ) -> Result<Vec<(Code, Request)>, StoreError>;
    /// How receipts of an organisation are printed.
    async fn receipt(&mut self, tenant: &str, orgcode: &str) -> Result<Option<Receipt>, StoreError>;
    /// Writes it.
    async fn put_receipt(&mut self, tenant: &str, orgcode: &str, receipt: &Receipt) -> Result<(), StoreError>;
    /// What a code on the wall asks.
    async fn setup(&mut self, token: &str) -> Result<Option<Setup>, StoreError>;
    /// All codes on the wall of an organisation, oldest first.
    async fn setups(&mut self, tenant: &str, orgcode: &str) -> Result<Vec<Setup>, StoreError>;
    /// Writes one, new or changed.
    async fn put_setup(&mut self, setup: &Setup) -> Result<(), StoreError>;
    /// A reservation by the serial number of its invoice.
    async fn reservation(&mut self, tenant: &str, serial: &str) -> Result<Option<Reservation>, StoreError>;
    /// A reservation by the key of its form.
    async fn reservation_by_form(&mut self, form_key: &str) -> Result<Option<Reservation>, StoreError>;
    /// Writes one, new or changed.
    async fn put_reservation(&mut self, reservation: &Reservation) -> Result<(), StoreError>;
    /// Reservations of an organisation, the latest first.
    async fn reservations(&mut self, search: &Search) -> Result<Vec<Reservation>, StoreError>;
    /// The highest number of an organisation, 0 before the first, and how many are not used.
    async fn reservation_counts(&mut self, tenant: &str, orgcode: &str) -> Result<(i64, i64), StoreError>;
}

/// A text inside another one, for LIKE with `\` as its escape.
pub(super) fn inside(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

macro_rules! codes {
    ($name:ident) => {
        #[async_trait]
        impl CodesDb for $name {
            async fn entries(&mut self, tenant: &str, kind: Kind) -> Result<Vec<(String, String)>, StoreError> {
                let rows = sqlx::query("SELECT key, body FROM entries WHERE tenant = $1 AND kind = $2 ORDER BY key")
                    .bind(tenant)
                    .bind(kind.as_str())
                    .fetch_all(&mut self.0)
                    .await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
            }

            async fn put_entry(&mut self, tenant: &str, kind: Kind, key: &str, body: &str) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO entries (tenant, kind, key, body) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (tenant, kind, key) DO UPDATE SET body = excluded.body",
                )
                .bind(tenant)
                .bind(kind.as_str())
                .bind(key)
                .bind(body)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn remove_entry(&mut self, tenant: &str, kind: Kind, key: &str) -> Result<bool, StoreError> {
                let done = sqlx::query("DELETE FROM entries WHERE tenant = $1 AND kind = $2 AND key = $3")
                    .bind(tenant)
                    .bind(kind.as_str())
                    .bind(key)
                    .execute(&mut self.0)
                    .await?;
                Ok(done.rows_affected() > 0)
            }

            async fn add_code(&mut self, code: &Code) -> Result<(), StoreError> {
                sqlx::query("INSERT INTO codes (tenant, serial, orgcode, made_by, created_at) VALUES ($1, $2, $3, $4, $5)")
                    .bind(&code.tenant)
                    .bind(&code.serial)
                    .bind(&code.orgcode)
                    .bind(&code.made_by)
                    .bind(code.created_at)
                    .execute(&mut self.0)
                    .await?;
                Ok(())
            }

            async fn code(&mut self, tenant: &str, serial: &str) -> Result<Option<Code>, StoreError> {
                let row = sqlx::query("SELECT orgcode, made_by, created_at FROM codes WHERE tenant = $1 AND serial = $2")
                    .bind(tenant)
                    .bind(serial)
                    .fetch_optional(&mut self.0)
                    .await?;
                let Some(row) = row else { return Ok(None) };
                Ok(Some(Code {
                    tenant: tenant.to_owned(),
                    serial: serial.to_owned(),
                    orgcode: row.try_get(0)?,
                    made_by: row.try_get(1)?,
                    created_at: row.try_get(2)?,
                }))
            }

            async fn codes(
                &mut self,
                tenant: &str,
                standing: Option<Standing>,
                before: (i64, &str),
                limit: u32,
            ) -> Result<Vec<(Code, Request)>, StoreError> {
                let rows = sqlx::query(
                    "SELECT c.serial, c.orgcode, c.made_by, c.created_at, r.body FROM codes c \
                     JOIN requests r ON r.tenant = c.tenant AND r.serial = c.serial \
                     WHERE c.tenant = $1 AND (c.created_at, c.serial) < ($2, $3) AND ($5 = '' OR $5 = \
                     CASE r.phase WHEN 'buyer' THEN 'unused' WHEN 'issued' THEN 'issued' WHEN 'deleted' THEN 'cancelled' \
                     ELSE 'filled' END) \
                     ORDER BY c.created_at DESC, c.serial DESC LIMIT $4",
                )
                .bind(tenant)
                .bind(before.0)
                .bind(before.1)
                .bind(i64::from(limit))
                .bind(standing.map_or("", Standing::as_str))
                .fetch_all(&mut self.0)
                .await?;
                let code = |row: &_| {
                    let (serial, orgcode, made_by, created_at) = (get(row, 0)?, get(row, 1)?, get(row, 2)?, get(row, 3)?);
                    let code = Code { tenant: tenant.to_owned(), serial, orgcode, made_by, created_at };
                    let body: String = get(row, 4)?;
                    Ok((code, read("request", &body)?))
                };
                rows.iter().map(code).collect()
            }

            async fn receipt(&mut self, tenant: &str, orgcode: &str) -> Result<Option<Receipt>, StoreError> {
                let body: Option<String> = sqlx::query_scalar("SELECT body FROM receipts WHERE tenant = $1 AND orgcode = $2")
                    .bind(tenant)
                    .bind(orgcode)
                    .fetch_optional(&mut self.0)
                    .await?;
                body.map(|body| read("receipt", &body)).transpose()
            }

            async fn put_receipt(&mut self, tenant: &str, orgcode: &str, receipt: &Receipt) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO receipts (tenant, orgcode, body) VALUES ($1, $2, $3) \
                     ON CONFLICT (tenant, orgcode) DO UPDATE SET body = excluded.body",
                )
                .bind(tenant)
                .bind(orgcode)
                .bind(written("receipt", receipt)?)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn setup(&mut self, token: &str) -> Result<Option<Setup>, StoreError> {
                let body: Option<String> = sqlx::query_scalar("SELECT body FROM reservation_codes WHERE token = $1")
                    .bind(token)
                    .fetch_optional(&mut self.0)
                    .await?;
                body.map(|body| read("setup", &body)).transpose()
            }

            async fn setups(&mut self, tenant: &str, orgcode: &str) -> Result<Vec<Setup>, StoreError> {
                let bodies: Vec<String> = sqlx::query_scalar(
                    "SELECT body FROM reservation_codes WHERE tenant = $1 AND orgcode = $2 ORDER BY created_at, token",
                )
                .bind(tenant)
                .bind(orgcode)
                .fetch_all(&mut self.0)
                .await?;
                bodies.iter().map(|body| read("setup", body)).collect()
            }

            async fn put_setup(&mut self, setup: &Setup) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO reservation_codes (token, tenant, orgcode, created_at, body) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (token) DO UPDATE SET body = excluded.body",
                )
                .bind(&setup.token)
                .bind(&setup.tenant)
                .bind(&setup.orgcode)
                .bind(setup.created_at)
                .bind(written("setup", setup)?)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn reservation(&mut self, tenant: &str, serial: &str) -> Result<Option<Reservation>, StoreError> {
                let body: Option<String> = sqlx::query_scalar("SELECT body FROM reservations WHERE tenant = $1 AND serial = $2")
                    .bind(tenant)
                    .bind(serial)
                    .fetch_optional(&mut self.0)
                    .await?;
                body.map(|body| read("reservation", &body)).transpose()
            }

            async fn reservation_by_form(&mut self, form_key: &str) -> Result<Option<Reservation>, StoreError> {
                let body: Option<String> = sqlx::query_scalar("SELECT body FROM reservations WHERE form_key = $1")
                    .bind(form_key)
                    .fetch_optional(&mut self.0)
                    .await?;
                body.map(|body| read("reservation", &body)).transpose()
            }

            async fn put_reservation(&mut self, reservation: &Reservation) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO reservations (tenant, serial, orgcode, form_key, number, buyer, phone, mail, used, \
                     created_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                     ON CONFLICT (tenant, serial) DO UPDATE SET used = excluded.used, body = excluded.body",
                )
                .bind(&reservation.tenant)
                .bind(&reservation.serial)
                .bind(&reservation.orgcode)
                .bind(&reservation.form_key)
                .bind(reservation.number)
                .bind(reservation.buyer.name.to_lowercase())
                .bind(&reservation.phone)
                .bind(reservation.mail.to_lowercase())
                .bind(i64::from(reservation.used.is_some()))
                .bind(reservation.created_at)
                .bind(written("reservation", reservation)?)
                .execute(&mut self.0)
                .await?;
                Ok(())
            }

            async fn reservations(&mut self, search: &Search) -> Result<Vec<Reservation>, StoreError> {
                let word = search.word.trim().to_lowercase();
                let used = search.used.map_or(-1, i64::from);
                let bodies: Vec<String> = sqlx::query_scalar(
                    "SELECT body FROM reservations WHERE tenant = $1 AND orgcode = $2 AND ($3 < 0 OR used = $3) \
                     AND number < $4 AND ($5 = '' OR number = $6 OR buyer LIKE $7 ESCAPE '\\' \
                     OR phone LIKE $7 ESCAPE '\\' OR mail LIKE $7 ESCAPE '\\') ORDER BY number DESC LIMIT $8",
                )
                .bind(&search.tenant)
                .bind(&search.orgcode)
                .bind(used)
                .bind(search.before)
                .bind(&word)
                .bind(word.parse::<i64>().unwrap_or(-1))
                .bind(inside(&word))
                .bind(i64::from(search.limit))
                .fetch_all(&mut self.0)
                .await?;
                bodies.iter().map(|body| read("reservation", body)).collect()
            }

            async fn reservation_counts(&mut self, tenant: &str, orgcode: &str) -> Result<(i64, i64), StoreError> {
                let row = sqlx::query(
                    "SELECT COALESCE(MAX(number), 0), COUNT(CASE WHEN used = 0 THEN 1 END) FROM reservations \
                     WHERE tenant = $1 AND orgcode = $2",
                )
                .bind(tenant)
                .bind(orgcode)
                .fetch_one(&mut self.0)
                .await?;
                Ok((row.try_get(0)?, row.try_get(1)?))
            }
        }
    };
}

codes!(SqliteDb);
codes!(PostgresDb);

//! Contents and second factors sealed anew: with the newest key, or in the plain.
//!
//! Nobody else has the ledger meanwhile. If it stops half-way, every content is under one of the keys of the file, and the same
//! again goes on.

use sqlx::{Connection, Row};

use super::super::StoreError;
use super::super::vault::Vault;
use super::SqliteStore;

/// Rows of one transaction.
const STEP: i64 = 500;

impl SqliteStore {
    /// Seals what is not sealed with the newest key; `plain`: opens all that is sealed. Gives how many contents and second
    /// factors were written. What stood there before is gone from the files when this returns.
    ///
    /// # Errors
    /// A content is sealed with a key that is not there.
    pub async fn rekey(&self, plain: bool) -> Result<u64, StoreError> {
        let to = if plain { Vault::default() } else { self.vault.clone() };
        // What begins otherwise than this is written anew.
        let (done, sealed) = match to.mark() {
            Some(mark) => (format!("{mark}%"), "%"),
            None => (String::new(), "sealed:%"),
        };
        // Nothing is committed meanwhile.
        let _writer = self.shared.writer.lock().await;
        let mut tables = self.shared.tables.lock().await;
        tables.settle().await?;
        let connection = &mut tables.connection;
        let mut written = 0;
        loop {
            let rows = sqlx::query(
                "SELECT seller, sequence, content FROM events WHERE content IS NOT NULL AND content NOT LIKE ?1 AND content LIKE ?2 LIMIT ?3",
            );
            let rows = rows.bind(&done).bind(sealed).bind(STEP).fetch_all(&mut *connection).await?;
            if rows.is_empty() {
                break;
            }
            let mut transaction = connection.begin().await?;
            for row in &rows {
                let content = self.vault.open_content(row.try_get(2)?)?.map(std::borrow::Cow::into_owned);
                sqlx::query("UPDATE events SET content = ?3 WHERE seller = ?1 AND sequence = ?2")
                    .bind(row.try_get::<&str, _>(0)?)
                    .bind(row.try_get::<i64, _>(1)?)
                    .bind(to.seal_content(content)?)
                    .execute(&mut *transaction)
                    .await?;
                written += 1;
            }
            transaction.commit().await?;
        }
        let mut place = 0;
        loop {
            let rows = sqlx::query("SELECT place, body FROM jobs WHERE place > ?1 ORDER BY place LIMIT ?2");
            let rows = rows.bind(place).bind(STEP).fetch_all(&mut *connection).await?;
            let Some(last) = rows.last() else { break };
            place = last.try_get::<i64, _>(0)?;
            let mut transaction = connection.begin().await?;
            for row in &rows {
                let job = self.vault.job(row.try_get(1)?)?;
                if job.invoice.is_none() {
                    continue;
                }
                sqlx::query("UPDATE jobs SET body = ?2 WHERE place = ?1")
                    .bind(row.try_get::<i64, _>(0)?)
                    .bind(to.job_text(&job)?)
                    .execute(&mut *transaction)
                    .await?;
                written += 1;
            }
            transaction.commit().await?;
        }
        let mut transaction = connection.begin().await?;
        for row in sqlx::query("SELECT name, body FROM users").fetch_all(&mut *transaction).await? {
            let user = self.vault.user(row.try_get(1)?)?;
            if user.factor.is_none() {
                continue;
            }
            sqlx::query("UPDATE users SET body = ?2 WHERE name = ?1")
                .bind(row.try_get::<&str, _>(0)?)
                .bind(to.user_text(&user)?)
                .execute(&mut *transaction)
                .await?;
            written += 1;
        }
        transaction.commit().await?;
        // Pages that were given up still hold what stood in them.
        sqlx::query("VACUUM").execute(&mut *connection).await?;
        // And so does the write-ahead log, until it is taken over and cut.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await?;
        Ok(written)
    }
}

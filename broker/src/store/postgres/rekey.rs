//! Contents and second factors sealed anew, as `sqlite/rekey.rs` does it. What stood in rows before is gone when the database
//! has vacuumed them.

use sqlx::{Connection, Row};

use super::super::StoreError;
use super::super::vault::Vault;
use super::{PostgresStore, fenced};

/// Rows of one transaction.
const STEP: i64 = 500;

impl PostgresStore {
    /// Seals what is not sealed with the newest key; `plain`: opens all that is sealed. Gives how many contents and second
    /// factors were written.
    ///
    /// # Errors
    /// A content is sealed with a key that is not there, or the lead was lost.
    pub async fn rekey(&self, plain: bool) -> Result<u64, StoreError> {
        let to = if plain { Vault::default() } else { self.vault.clone() };
        let (done, sealed) = match to.mark() {
            Some(mark) => (format!("{mark}%"), "%"),
            None => (String::new(), "sealed:%"),
        };
        let mut writer = self.writer.lock().await;
        let mut written = 0;
        loop {
            let mut transaction = writer.connection.begin().await?;
            fenced(&mut transaction, &self.lease).await?;
            let rows = sqlx::query(
                "SELECT seller, sequence, content FROM events WHERE content IS NOT NULL AND content NOT LIKE $1 AND content LIKE $2 LIMIT $3",
            );
            let rows = rows.bind(&done).bind(sealed).bind(STEP).fetch_all(&mut *transaction).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let content = self.vault.open_content(row.try_get(2)?)?.map(std::borrow::Cow::into_owned);
                sqlx::query("UPDATE events SET content = $3 WHERE seller = $1 AND sequence = $2")
                    .bind(row.try_get::<String, _>(0)?)
                    .bind(row.try_get::<i64, _>(1)?)
                    .bind(to.seal_content(content)?)
                    .execute(&mut *transaction)
                    .await?;
                written += 1;
            }
            transaction.commit().await?;
        }
        let mut place = 0_i64;
        loop {
            let mut transaction = writer.connection.begin().await?;
            fenced(&mut transaction, &self.lease).await?;
            let rows = sqlx::query("SELECT place, body FROM jobs WHERE place > $1 ORDER BY place LIMIT $2");
            let rows = rows.bind(place).bind(STEP).fetch_all(&mut *transaction).await?;
            let Some(last) = rows.last() else { break };
            place = last.try_get::<i64, _>(0)?;
            for row in &rows {
                let job = self.vault.job(row.try_get(1)?)?;
                if job.invoice.is_none() {
                    continue;
                }
                sqlx::query("UPDATE jobs SET body = $2 WHERE place = $1")
                    .bind(row.try_get::<i64, _>(0)?)
                    .bind(to.job_text(&job)?)
                    .execute(&mut *transaction)
                    .await?;
                written += 1;
            }
            transaction.commit().await?;
        }
        let mut transaction = writer.connection.begin().await?;
        fenced(&mut transaction, &self.lease).await?;
        for row in sqlx::query("SELECT name, body FROM users").fetch_all(&mut *transaction).await? {
            let user = self.vault.user(row.try_get(1)?)?;
            if user.factor.is_none() {
                continue;
            }
            sqlx::query("UPDATE users SET body = $2 WHERE name = $1")
                .bind(row.try_get::<String, _>(0)?)
                .bind(to.user_text(&user)?)
                .execute(&mut *transaction)
                .await?;
            written += 1;
        }
        transaction.commit().await?;
        Ok(written)
    }
}

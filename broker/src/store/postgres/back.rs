//! A database that was put back from a copy by its own tools: it gets a new ledger id, and the mark that makes the disks tell
//! what it forgot.

use sqlx::Connection;

use super::commit::fenced;
use super::database::bounded;
use super::{PostgresStore, READ};
use crate::store::encoding::text;
use crate::store::{StoreError, fresh_ledger};

impl PostgresStore {
    /// Says that what this database holds is a copy that was put back, and why. Gives the ledger's new id; the store must be
    /// opened anew to use it.
    ///
    /// # Errors
    /// The lead was lost, or the database failed: then nothing has changed, or it can be said once more.
    pub async fn was_put_back(&self, why: &str) -> Result<String, StoreError> {
        let ledger = fresh_ledger();
        let mut ancestors = self.ancestors.clone();
        ancestors.push(self.ledger.clone());
        let mut writer = self.writer.lock().await;
        let lease = writer.lease.clone();
        bounded(READ, async {
            let mut transaction = writer.connection.begin().await?;
            fenced(&mut transaction, &lease).await?;
            for (name, value) in [("ledger", ledger.clone()), ("ancestors", text(&ancestors))] {
                sqlx::query(
                    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )
                .bind(name)
                .bind(value)
                .execute(&mut *transaction)
                .await?;
            }
            sqlx::query(
                "INSERT INTO reconcile (what, key, body) VALUES ('restored', '', $1) \
                 ON CONFLICT (what, key) DO UPDATE SET body = excluded.body",
            )
            .bind(why)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok::<_, StoreError>(())
        })
        .await?;
        Ok(ledger)
    }
}

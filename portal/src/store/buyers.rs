//! Statements about what is kept of a buyer: found beside his requests, and removed. For both databases.

use async_trait::async_trait;

use super::sql::{read, written};
use super::{PostgresDb, SqliteDb, StoreError};
use crate::core::reservations::Reservation;

/// Requests that one contact leads to at most.
const BY_CONTACT: i64 = 1_000;

/// What removing a buyer's data needs of a connection.
#[async_trait]
pub trait BuyersDb: Send {
    /// Reservations of a tenant behind this serial number, by serial number.
    async fn reservations_after(&mut self, tenant: &str, serial: &str, limit: u32) -> Result<Vec<Reservation>, StoreError>;
    /// Serial numbers of requests to which a message was sent, or about which something was asked, with this in its address or
    /// words.
    async fn serials_by_contact(&mut self, tenant: &str, contact: &str) -> Result<Vec<String>, StoreError>;
    /// Writes a reservation of nobody: what it was found by goes too.
    async fn erase_reservation(&mut self, reservation: &Reservation) -> Result<(), StoreError>;
    /// Removes of a request its messages, what was asked about it, and the addresses that it is found by.
    async fn erase_contacts(&mut self, tenant: &str, serial: &str) -> Result<(), StoreError>;
    /// Removes of a request what else names the buyer beside its row: in its history, and what it is found by.
    async fn erase_buyer(&mut self, tenant: &str, serial: &str) -> Result<(), StoreError>;
}

macro_rules! buyers {
    ($name:ident) => {
        #[async_trait]
        impl BuyersDb for $name {
            async fn reservations_after(
                &mut self,
                tenant: &str,
                serial: &str,
                limit: u32,
            ) -> Result<Vec<Reservation>, StoreError> {
                let sql = "SELECT body FROM reservations WHERE tenant = $1 AND serial > $2 ORDER BY serial LIMIT $3";
                let rows = sqlx::query_scalar(sql).bind(tenant).bind(serial).bind(i64::from(limit));
                let bodies: Vec<String> = rows.fetch_all(&mut self.0).await?;
                bodies.iter().map(|body| read("reservation", body)).collect()
            }

            async fn serials_by_contact(&mut self, tenant: &str, contact: &str) -> Result<Vec<String>, StoreError> {
                let inside = super::codes::inside(contact);
                let sql = "SELECT serial FROM messages WHERE tenant = $1 AND address LIKE $2 ESCAPE '\\' \
                           UNION SELECT serial FROM tasks WHERE tenant = $1 AND body LIKE $2 ESCAPE '\\' ORDER BY 1 LIMIT $3";
                let rows = sqlx::query_scalar(sql).bind(tenant).bind(inside).bind(BY_CONTACT);
                Ok(rows.fetch_all(&mut self.0).await?)
            }

            async fn erase_reservation(&mut self, reservation: &Reservation) -> Result<(), StoreError> {
                let sql = "UPDATE reservations SET buyer = '', phone = '', mail = '', body = $3 WHERE tenant = $1 AND serial = $2";
                let query = sqlx::query(sql).bind(&reservation.tenant).bind(&reservation.serial);
                query.bind(written("reservation", reservation)?).execute(&mut self.0).await?;
                Ok(())
            }

            async fn erase_contacts(&mut self, tenant: &str, serial: &str) -> Result<(), StoreError> {
                // What waits for the end of the transaction would be written after this.
                self.write_late().await?;
                for sql in [
                    "DELETE FROM messages WHERE tenant = $1 AND serial = $2 AND channel <> 'card'",
                    "DELETE FROM tasks WHERE tenant = $1 AND serial = $2",
                    "DELETE FROM request_words WHERE tenant = $1 AND serial = $2 AND field IN ('telephone', 'mail')",
                    "UPDATE notes SET body = '' WHERE tenant = $1 AND serial = $2 AND what LIKE 'correction_%'",
                ] {
                    sqlx::query(sql).bind(tenant).bind(serial).execute(&mut self.0).await?;
                }
                Ok(())
            }

            async fn erase_buyer(&mut self, tenant: &str, serial: &str) -> Result<(), StoreError> {
                self.write_late().await?;
                for sql in [
                    "DELETE FROM request_words WHERE tenant = $1 AND serial = $2 AND field IN ('buyer', 'taxpayer')",
                    // The document as it was accepted.
                    "UPDATE notes SET body = '' WHERE tenant = $1 AND serial = $2 AND what = 'accepted'",
                ] {
                    sqlx::query(sql).bind(tenant).bind(serial).execute(&mut self.0).await?;
                }
                Ok(())
            }
        }
    };
}

buyers!(SqliteDb);
buyers!(PostgresDb);

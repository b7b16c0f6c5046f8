//! The stream of announcements, endpoints and deliveries.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use taxdisk_protocol::event::DeliveryState;
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::time::Timestamp;

use super::super::encoding::{damaged, json as from_json, text, word};
use super::super::{DeliveryFilter, StoreError};
use super::SqliteStore;
use super::rows::{self, Cell};
use crate::core::announcement::Announcement;
use crate::core::change::Change;
use crate::core::webhooks::{AnnouncementRow, DeliveryRow, WebhookRow};

/// Rows of one commit or of several. Of an endpoint and of a delivery only the last word counts.
#[derive(Debug, Default)]
pub(super) struct Rows {
    announcements: Vec<[Cell; 7]>,
    webhooks: BTreeMap<String, [Cell; 2]>,
    deliveries: BTreeMap<(String, u64), [Cell; 5]>,
    gone: Vec<String>,
    forget: Option<(u64, Timestamp)>,
}

impl Rows {
    /// Takes a change that is about webhooks; false: it is not.
    pub(super) fn take(&mut self, change: &Change) -> bool {
        match change {
            Change::Announcement(announcement) => {
                let seller = announcement.seller.as_ref().map_or("", |seller| seller.as_str());
                let serial = announcement.serial.as_ref().map_or("", |serial| serial.as_str());
                let body = announcement.body.to_string();
                self.announcements.push([
                    announcement.tag_of(&body).into(),
                    announcement.at.0.into(),
                    announcement.kind.as_str().into(),
                    seller.into(),
                    serial.into(),
                    announcement.revision.into(),
                    body.into(),
                ]);
            }
            Change::Webhook(row) => {
                self.webhooks.insert(row.id.clone(), [row.id.as_str().into(), text(row).into()]);
            }
            Change::Delivery(row) => {
                let state = word(&row.state);
                let cells = [row.webhook.as_str().into(), row.position.into(), state.into(), row.at.0.into(), text(row).into()];
                self.deliveries.insert((row.webhook.clone(), row.position), cells);
            }
            Change::WebhookGone(id) => self.gone.push(id.clone()),
            Change::ForgetAnnouncements { up_to, before } => self.forget = Some((*up_to, *before)),
            _ => return false,
        }
        true
    }

    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        rows::write(
            connection,
            self.announcements,
            "INSERT OR FAIL INTO announcements (tag, at, kind, seller, serial, revision, body) VALUES",
            "",
            "announcement",
        )
        .await?;
        rows::write(
            connection,
            self.webhooks.into_values().collect(),
            "INSERT OR FAIL INTO webhooks (id, body) VALUES",
            "ON CONFLICT DO UPDATE SET body = excluded.body",
            "webhook",
        )
        .await?;
        rows::write(
            connection,
            self.deliveries.into_values().collect(),
            "INSERT OR FAIL INTO deliveries (webhook, position, state, at, body) VALUES",
            "ON CONFLICT DO UPDATE SET state = excluded.state, body = excluded.body",
            "delivery",
        )
        .await?;
        for id in self.gone {
            sqlx::query("DELETE FROM deliveries WHERE webhook = ?1").bind(&id).execute(&mut *connection).await?;
            sqlx::query("DELETE FROM webhooks WHERE id = ?1").bind(id).execute(&mut *connection).await?;
        }
        if let Some((up_to, before)) = self.forget {
            let up_to = i64::try_from(up_to).unwrap_or(i64::MAX);
            // A few at a time: who commits waits for it.
            for sql in [
                "DELETE FROM announcements WHERE position IN (SELECT position FROM announcements WHERE position <= ?1 ORDER BY position LIMIT 5000) \
                 AND at < ?2",
                "DELETE FROM deliveries WHERE (webhook, position) IN (SELECT webhook, position FROM deliveries \
                 WHERE state <> 'waiting' AND at < ?2 AND position <= ?1 ORDER BY at LIMIT 5000)",
            ] {
                sqlx::query(sql).bind(up_to).bind(before.0).execute(&mut *connection).await?;
            }
        }
        Ok(())
    }
}

fn announcement(row: &SqliteRow) -> Result<AnnouncementRow, StoreError> {
    let (seller, serial): (&str, &str) = (row.try_get(4)?, row.try_get(5)?);
    let seller = (!seller.is_empty()).then(|| TaxpayerNumber::from_device(seller)).transpose();
    let serial = (!serial.is_empty()).then(|| serial.parse()).transpose();
    Ok(AnnouncementRow {
        position: row.try_get::<i64, _>(0)?.unsigned_abs(),
        tag: row.try_get(1)?,
        announcement: Announcement {
            at: Timestamp(row.try_get(2)?),
            kind: row.try_get(3)?,
            seller: seller.map_err(|error| damaged("seller of an announcement", error))?,
            serial: serial.map_err(|error| damaged("serial number of an announcement", error))?,
            revision: row.try_get::<i64, _>(6)?.unsigned_abs(),
            body: from_json("announcement", row.try_get(7)?)?,
        },
    })
}

impl SqliteStore {
    pub(super) async fn announcements_after(&self, after: u64, limit: u32) -> Result<Vec<AnnouncementRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT position, tag, at, kind, seller, serial, revision, body FROM announcements WHERE position > ?1 ORDER BY position LIMIT ?2",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(self.readers().await?)
        .await?;
        rows.iter().map(announcement).collect()
    }

    pub(super) async fn announcement_tip(&self) -> Result<u64, StoreError> {
        // The last position that was ever given, also when its row is gone.
        let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'announcements'")
            .fetch_optional(self.readers().await?)
            .await?;
        Ok(last.unwrap_or(0).unsigned_abs())
    }

    pub(super) async fn all_webhooks(&self) -> Result<(Vec<WebhookRow>, Vec<DeliveryRow>), StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT body FROM webhooks").fetch_all(self.readers().await?).await?;
        let waiting: Vec<String> =
            sqlx::query_scalar("SELECT body FROM deliveries WHERE state = 'waiting'").fetch_all(self.readers().await?).await?;
        let rows = rows.iter().map(|body| from_json("webhook", body)).collect::<Result<_, _>>()?;
        Ok((rows, waiting.iter().map(|body| from_json("delivery", body)).collect::<Result<_, _>>()?))
    }

    pub(super) async fn delivery_page(
        &self,
        webhook: &str,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new("SELECT body FROM deliveries WHERE webhook = ");
        query.push_bind(webhook.to_owned());
        if let Some(before) = filter.before {
            query.push(" AND position < ").push_bind(i64::try_from(before).unwrap_or(i64::MAX));
        }
        if let Some(position) = filter.position {
            query.push(" AND position = ").push_bind(i64::try_from(position).unwrap_or(i64::MAX));
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(word::<DeliveryState>(&state));
        }
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(since.0);
        }
        if let Some(until) = filter.until {
            query.push(" AND at < ").push_bind(until.0);
        }
        query.push(" ORDER BY position DESC LIMIT ").push_bind(limit);
        let rows = query.build_query_scalar::<String>().fetch_all(self.readers().await?).await?;
        rows.iter().map(|body| from_json("delivery", body)).collect()
    }
}

//! The stream of announcements, endpoints and deliveries.

use std::collections::BTreeMap;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, QueryBuilder, Row};
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::time::Timestamp;

use super::super::encoding::{damaged, json, text, word};
use super::super::{DeliveryFilter, StoreError};
use super::PostgresStore;
use super::commit::taken;
use crate::core::announcement::Announcement;
use crate::core::change::Change;
use crate::core::webhooks::{AnnouncementRow, DeliveryRow, WebhookRow};

/// Rows of one commit. Of an endpoint and of a delivery only the last word counts.
#[derive(Default)]
pub(super) struct Rows<'a> {
    webhooks: BTreeMap<&'a str, &'a WebhookRow>,
    deliveries: BTreeMap<(&'a str, u64), &'a DeliveryRow>,
    gone: Vec<&'a str>,
    forget: Option<(u64, Timestamp)>,
}

fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl<'a> Rows<'a> {
    /// Takes a change that is about webhooks; false: it is not.
    pub(super) fn take(&mut self, change: &'a Change) -> bool {
        match change {
            Change::Webhook(row) => drop(self.webhooks.insert(&row.id, row)),
            Change::Delivery(row) => drop(self.deliveries.insert((&row.webhook, row.position), row)),
            Change::WebhookGone(id) => self.gone.push(id),
            Change::ForgetAnnouncements { up_to, before } => self.forget = Some((*up_to, *before)),
            _ => return false,
        }
        true
    }

    pub(super) async fn write(self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if !self.webhooks.is_empty() {
            let query = sqlx::query(
                "INSERT INTO webhooks (id, body) SELECT * FROM unnest($1::text[], $2::text[]) \
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            )
            .bind(self.webhooks.keys().map(ToString::to_string).collect::<Vec<String>>())
            .bind(self.webhooks.values().map(text).collect::<Vec<String>>());
            taken(connection, query, self.webhooks.len(), "webhook").await?;
        }
        if !self.deliveries.is_empty() {
            let rows: Vec<&DeliveryRow> = self.deliveries.into_values().collect();
            let query = sqlx::query(
                "INSERT INTO deliveries (webhook, position, state, at, body) SELECT * FROM unnest($1::text[], $2::bigint[], \
                 $3::text[], $4::bigint[], $5::text[]) ON CONFLICT (webhook, position) \
                 DO UPDATE SET state = excluded.state, body = excluded.body",
            )
            .bind(rows.iter().map(|row| row.webhook.clone()).collect::<Vec<String>>())
            .bind(rows.iter().map(|row| big(row.position)).collect::<Vec<i64>>())
            .bind(rows.iter().map(|row| word(&row.state)).collect::<Vec<String>>())
            .bind(rows.iter().map(|row| row.at.0).collect::<Vec<i64>>())
            .bind(rows.iter().map(text).collect::<Vec<String>>());
            taken(connection, query, rows.len(), "delivery").await?;
        }
        for id in self.gone {
            sqlx::query("DELETE FROM deliveries WHERE webhook = $1").bind(id).execute(&mut *connection).await?;
            sqlx::query("DELETE FROM webhooks WHERE id = $1").bind(id).execute(&mut *connection).await?;
        }
        if let Some((up_to, before)) = self.forget {
            // A few at a time: who commits waits for it.
            for sql in [
                "DELETE FROM announcements WHERE position IN (SELECT position FROM announcements WHERE position <= $1 \
                 ORDER BY position LIMIT 5000) AND at < $2",
                "DELETE FROM deliveries WHERE (webhook, position) IN (SELECT webhook, position FROM deliveries \
                 WHERE state <> 'waiting' AND at < $2 AND position <= $1 ORDER BY at LIMIT 5000)",
            ] {
                sqlx::query(sql).bind(big(up_to)).bind(before.0).execute(&mut *connection).await?;
            }
        }
        Ok(())
    }
}

fn announcement(row: &PgRow) -> Result<AnnouncementRow, StoreError> {
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
            body: json("announcement", row.try_get(7)?)?,
        },
    })
}

impl PostgresStore {
    pub(super) async fn announcements_after(&self, after: u64, limit: u32) -> Result<Vec<AnnouncementRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT position, tag, at, kind, seller, serial, revision, body FROM announcements \
             WHERE position > $1 ORDER BY position LIMIT $2",
        )
        .bind(big(after))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(announcement).collect()
    }

    pub(super) async fn announcement_tip(&self) -> Result<u64, StoreError> {
        // The last position that was ever given, also when its row is gone or its commit was refused.
        let last: i64 =
            sqlx::query_scalar("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM announcements_position_seq")
                .fetch_one(&self.readers)
                .await?;
        Ok(last.unsigned_abs())
    }

    pub(super) async fn all_webhooks(&self) -> Result<(Vec<WebhookRow>, Vec<DeliveryRow>), StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT body FROM webhooks").fetch_all(&self.readers).await?;
        let waiting: Vec<String> =
            sqlx::query_scalar("SELECT body FROM deliveries WHERE state = 'waiting'").fetch_all(&self.readers).await?;
        let rows = rows.iter().map(|body| json("webhook", body)).collect::<Result<_, _>>()?;
        Ok((rows, waiting.iter().map(|body| json("delivery", body)).collect::<Result<_, _>>()?))
    }

    pub(super) async fn delivery_page(
        &self,
        webhook: &str,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut query = QueryBuilder::<Postgres>::new("SELECT body FROM deliveries WHERE webhook = ");
        query.push_bind(webhook.to_owned());
        if let Some(before) = filter.before {
            query.push(" AND position < ").push_bind(big(before));
        }
        if let Some(position) = filter.position {
            query.push(" AND position = ").push_bind(big(position));
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(word(&state));
        }
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(since.0);
        }
        if let Some(until) = filter.until {
            query.push(" AND at < ").push_bind(until.0);
        }
        query.push(" ORDER BY position DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.build_query_scalar::<String>().fetch_all(&self.readers).await?;
        rows.iter().map(|body| json("delivery", body)).collect()
    }
}

//! Reads everything that the core holds in memory.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::time::Timestamp;

use super::super::StoreError;
use super::super::encoding::{damaged, json};
use super::super::vault::Vault;
use crate::core::Restored;
use crate::core::change::{
    DiskFenceRow, DiskReportRow, EnrollmentRow, IssuePointRow, KeyRow, ReconcileRow, SellerRow, SignInRow,
};

fn parsed<T>(what: &str, row: &SqliteRow, column: usize) -> Result<T, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    row.try_get::<&str, _>(column)?.parse().map_err(|error| damaged(what, error))
}

/// A number that was accepted once; newer rules for callers do not reach back.
fn seller(row: &SqliteRow) -> Result<TaxpayerNumber, StoreError> {
    TaxpayerNumber::from_device(row.try_get(0)?).map_err(|error| damaged("seller", error))
}

pub(super) async fn restore(connection: &mut SqliteConnection, vault: &Vault) -> Result<Restored, StoreError> {
    let mut restored = Restored::default();
    let mut jobs = sqlx::query("SELECT body FROM jobs WHERE live = 1 ORDER BY place").fetch(&mut *connection);
    while let Some(row) = jobs.try_next().await? {
        restored.jobs.push(Arc::new(vault.job(row.try_get(0)?)?));
    }
    drop(jobs);
    let last: Option<i64> = sqlx::query_scalar("SELECT max(place) FROM jobs").fetch_one(&mut *connection).await?;
    restored.next_place = last.map_or(1, |place| place.unsigned_abs() + 1);
    for row in sqlx::query("SELECT seller, body FROM sellers").fetch_all(&mut *connection).await? {
        restored.sellers.push(SellerRow { seller: seller(&row)?, body: json("seller", row.try_get(1)?)? });
    }
    for row in sqlx::query("SELECT seller, point, body FROM issue_points").fetch_all(&mut *connection).await? {
        restored.points.push(IssuePointRow {
            seller: seller(&row)?,
            point: parsed("issue point", &row, 1)?,
            body: json("issue point", row.try_get(2)?)?,
        });
    }
    for row in sqlx::query("SELECT disk, seen_at, report FROM disk_reports").fetch_all(&mut *connection).await? {
        restored.reports.push(DiskReportRow {
            disk: parsed("disk", &row, 0)?,
            seen_at: Timestamp(row.try_get(1)?),
            report: json("disk report", row.try_get(2)?)?,
        });
    }
    for row in sqlx::query("SELECT disk, body FROM disk_assignments").fetch_all(&mut *connection).await? {
        restored.assignments.push((parsed("disk", &row, 0)?, json("disk assignment", row.try_get(1)?)?));
    }
    for row in sqlx::query("SELECT disk, epoch, sequence, owner FROM disk_fences").fetch_all(&mut *connection).await? {
        restored.fences.push(DiskFenceRow {
            disk: parsed("disk", &row, 0)?,
            epoch: row.try_get::<i64, _>(1)?.unsigned_abs(),
            sequence: row.try_get::<i64, _>(2)?.unsigned_abs(),
            owner: row
                .try_get::<Option<&str>, _>(3)?
                .map(|owner| owner.parse().map_err(|error| damaged("owner of a disk", error)))
                .transpose()?,
        });
    }
    for row in sqlx::query("SELECT disk, kind, pair FROM accounted").fetch_all(&mut *connection).await? {
        restored.accounted.push((parsed("disk", &row, 0)?, parsed("kind", &row, 1)?, parsed("accounted pair", &row, 2)?));
    }
    for row in sqlx::query("SELECT body FROM notices ORDER BY name").fetch_all(&mut *connection).await? {
        restored.notices.push(json("notice", row.try_get(0)?)?);
    }
    for row in sqlx::query("SELECT body FROM agents").fetch_all(&mut *connection).await? {
        restored.agents.push(json("agent", row.try_get(0)?)?);
    }
    for row in sqlx::query("SELECT hash, name, expires_at, what FROM enrollments WHERE used_by IS NULL")
        .fetch_all(&mut *connection)
        .await?
    {
        restored.enrollments.push(EnrollmentRow {
            hash: row.try_get(0)?,
            name: row.try_get(1)?,
            expires_at: Timestamp(row.try_get(2)?),
            used_by: None,
            what: json("purpose of an enrolment code", row.try_get(3)?)?,
        });
    }
    let keys = sqlx::query(
        "SELECT id, hash, name, role, sellers, created_at, expires_at, revoked_at, actions, used_at, about FROM api_keys",
    );
    for row in keys.fetch_all(&mut *connection).await? {
        restored.keys.push(KeyRow {
            id: row.try_get(0)?,
            hash: row.try_get(1)?,
            name: row.try_get(2)?,
            role: serde_json::from_value(serde_json::Value::String(row.try_get(3)?)).map_err(|error| damaged("role", error))?,
            sellers: json("sellers of a key", row.try_get(4)?)?,
            created_at: Timestamp(row.try_get(5)?),
            expires_at: row.try_get::<Option<i64>, _>(6)?.map(Timestamp),
            revoked_at: row.try_get::<Option<i64>, _>(7)?.map(Timestamp),
            actions: json("actions of a key", row.try_get(8)?)?,
            used_at: row.try_get::<Option<i64>, _>(9)?.map(Timestamp),
            about: json("what is known of a key", row.try_get(10)?)?,
        });
    }
    for row in sqlx::query("SELECT what, key, body FROM reconcile ORDER BY what, key").fetch_all(&mut *connection).await? {
        let what: &str = row.try_get(0)?;
        let known = ReconcileRow::WHATS.into_iter().find(|known| *known == what);
        let what = known.ok_or_else(|| damaged("reconcile", format!("{what:?} is not known to this program")))?;
        restored.reconcile.push(ReconcileRow { what, key: row.try_get(1)?, body: row.try_get(2)? });
    }
    let served: Option<i64> = sqlx::query_scalar("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'served'")
        .fetch_optional(&mut *connection)
        .await?;
    restored.served = served.unwrap_or(0).unsigned_abs();
    for row in sqlx::query("SELECT body FROM bulk_reissues").fetch_all(&mut *connection).await? {
        restored.bulks.push(json("bulk re-issue", row.try_get(0)?)?);
    }
    for row in sqlx::query("SELECT body FROM users ORDER BY name").fetch_all(&mut *connection).await? {
        restored.users.push(vault.user(row.try_get(0)?)?);
    }
    for row in sqlx::query("SELECT what, key, body FROM sign_ins").fetch_all(&mut *connection).await? {
        let what: &str = row.try_get(0)?;
        let known = SignInRow::WHATS.into_iter().find(|known| *known == what);
        let what = known.ok_or_else(|| damaged("sign-in", format!("{what:?} is not known to this program")))?;
        restored.sign_ins.push(SignInRow { what, key: row.try_get(1)?, body: row.try_get(2)? });
    }
    super::operations::restore(connection, &mut restored).await?;
    Ok(restored)
}

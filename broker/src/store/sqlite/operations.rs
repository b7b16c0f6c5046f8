//! Operations: one row each, as it stands now.

use sqlx::sqlite::SqliteConnection;
use taxdisk_protocol::time::Timestamp;

use super::super::StoreError;
use super::super::encoding::{json, text};
use super::SqliteStore;
use crate::core::Restored;
use crate::core::operations::{OperationFilter, OperationRow};

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Guarded by the revision that it comes from.
pub(super) async fn put(connection: &mut SqliteConnection, row: &OperationRow) -> Result<(), StoreError> {
    let view = &row.view;
    let at = view.at.parse().map_or(0, |at: Timestamp| at.0);
    let done = sqlx::query(
        "INSERT INTO operations (id, place, disk, seller, state, what, bulk, at, live, revision, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, live = excluded.live, revision = excluded.revision, \
         body = excluded.body WHERE operations.revision = excluded.revision - 1",
    )
    .bind(view.id.clone())
    .bind(number(row.place))
    .bind(row.disk.to_string())
    .bind(view.seller.clone().unwrap_or_default())
    .bind(view.state.as_str())
    .bind(view.operation.as_str())
    .bind(view.bulk.clone().unwrap_or_default())
    .bind(at)
    .bind(!view.state.is_ended())
    .bind(number(view.revision))
    .bind(text(row))
    .execute(connection)
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => StoreError::Stale("the place of an operation".to_owned()),
        _ => StoreError::Database(error),
    })?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    Err(StoreError::Stale("an operation is not at the revision that its change starts from".to_owned()))
}

/// Those that have not ended, and the place after the last one given.
pub(super) async fn restore(connection: &mut SqliteConnection, restored: &mut Restored) -> Result<(), StoreError> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT body FROM operations WHERE live = 1 ORDER BY place").fetch_all(&mut *connection).await?;
    restored.operations = rows.iter().map(|body| json("operation", body)).collect::<Result<_, _>>()?;
    let last: Option<i64> = sqlx::query_scalar("SELECT max(place) FROM operations").fetch_one(connection).await?;
    restored.next_operation = last.map_or(1, |place| place.unsigned_abs() + 1);
    Ok(())
}

impl SqliteStore {
    pub(super) async fn operation_page(&self, filter: &OperationFilter, limit: u32) -> Result<Vec<OperationRow>, StoreError> {
        let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new("SELECT body FROM operations WHERE place < ");
        query.push_bind(filter.before.map_or(i64::MAX, number));
        if !filter.ids.is_empty() {
            query.push(" AND id IN (SELECT value FROM json_each(").push_bind(text(&filter.ids)).push("))");
        }
        if !filter.sellers.is_empty() {
            query.push(" AND seller IN (SELECT value FROM json_each(").push_bind(text(&filter.sellers)).push("))");
        }
        if let Some(disk) = &filter.disk {
            query.push(" AND disk = ").push_bind(disk.to_string());
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(what) = filter.what {
            query.push(" AND what = ").push_bind(what.as_str());
        }
        if let Some(bulk) = &filter.bulk {
            query.push(" AND bulk = ").push_bind(bulk.clone());
        }
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(since.0);
        }
        query.push(" ORDER BY place DESC LIMIT ").push_bind(i64::from(limit));
        let rows = query.build_query_scalar::<String>().fetch_all(self.readers().await?).await?;
        rows.iter().map(|body| json("operation", body)).collect()
    }
}

//! One commit: the tables that nearly every commit writes in one statement ([`super::hot`]), the others beside it in one
//! transaction. Either way the lease is locked at our term, and every guard is counted.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::{Postgres, Row};
use taxdisk_protocol::ids::JobKey;

use super::super::encoding::{damaged, json, text, word};
use super::super::fold::Head;
use super::super::vault::Vault;
use super::super::{StoreError, chain};
use super::database::bounded;
use super::lease::Lease;
use super::{Writer, hot, operations, webhooks};
use crate::core::change::{CONTENTS_SLICE, Change, ReconcileRow, SignInRow};

/// A whole commit. Longer than any lock or statement of it may take on the server.
const COMMIT: Duration = Duration::from_secs(25);

type Sql = Query<'static, Postgres, PgArguments>;

impl Writer {
    /// After anything but a guard that does not hold, nobody knows what is durable: the store takes no more.
    pub(super) async fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Fenced);
        }
        let done = bounded(COMMIT, self.attempt(changes)).await;
        self.broken = !matches!(done, Ok(()) | Err(StoreError::Stale(_)));
        done
    }

    async fn attempt(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut heads = self.known_heads(changes).await?;
        let (mut rows, mut others) = (hot::Rows::default(), Vec::new());
        for change in changes {
            if !rows.take(change, &mut heads, &self.vault)? {
                others.push(change);
            }
        }
        // If we stop before this returns, the next leader reads what became durable; nobody was told anything yet.
        let done = if others.is_empty() && !self.stalls() {
            // The statement is its own transaction: it has failed whole, or is durable.
            rows.write(&mut self.connection, &self.lease, &self.vault).await
        } else {
            self.with_others(rows, &others).await
        };
        if let Err(error) = done {
            return Err(hot::explained(&mut self.connection, &self.lease, error).await);
        }
        self.heads.extend(heads);
        Ok(())
    }

    /// Is a test to stop it before its end?
    fn stalls(&self) -> bool {
        #[cfg(test)]
        return self.stall.is_some();
        #[cfg(not(test))]
        false
    }

    async fn with_others(&mut self, rows: hot::Rows<'_>, others: &[&Change]) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await?;
        let written = match fenced(&mut transaction, &self.lease).await {
            Ok(()) => write(&mut transaction, rows, others, &self.lease, &self.vault).await,
            refused => refused,
        };
        if let Err(error) = written {
            // Now, and not with the next commit: the lease's row is locked until then.
            transaction.rollback().await?;
            return Err(error);
        }
        #[cfg(test)]
        if let Some(stall) = &self.stall {
            stall.wait().await;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The last entries of all chains that this commit adds to; those that are not known yet are read in one statement.
    async fn known_heads(&mut self, changes: &[Change]) -> Result<HashMap<String, Head>, StoreError> {
        let (mut heads, mut unknown) = (HashMap::new(), Vec::new());
        for change in changes {
            let seller = match change {
                Change::Job { job, .. } => job.key.seller.as_str(),
                Change::Audit(audit) => audit.seller.as_ref().map_or("", |seller| seller.as_str()),
                _ => continue,
            };
            if heads.contains_key(seller) {
                continue;
            }
            let known = self.heads.get(seller).copied();
            if known.is_none() {
                unknown.push(seller.to_owned());
            }
            heads.insert(seller.to_owned(), known.unwrap_or((0, chain::ROOT)));
        }
        if unknown.is_empty() {
            return Ok(heads);
        }
        let rows = sqlx::query(
            "SELECT wanted.seller, last.sequence, last.hash FROM unnest($1::text[]) AS wanted (seller) CROSS JOIN LATERAL \
             (SELECT sequence, hash FROM events WHERE events.seller = wanted.seller ORDER BY sequence DESC LIMIT 1) AS last",
        )
        .bind(unknown)
        .fetch_all(&mut self.connection)
        .await?;
        for row in rows {
            let hash = row.try_get::<&[u8], _>(2)?.try_into().map_err(|error| damaged("hash of an event", error))?;
            heads.insert(row.try_get(0)?, (row.try_get(1)?, hash));
        }
        Ok(heads)
    }
}

/// Locks the lease at our term. Shared: a takeover changes this row, so it waits until we are done; after it, our term is not
/// there any more.
pub(in super::super) async fn fenced(connection: &mut PgConnection, lease: &Lease) -> Result<(), StoreError> {
    let leads: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM leases WHERE name = 'ledger' AND term = $1 AND holder = $2 FOR SHARE")
            .bind(lease.term())
            .bind(lease.holder())
            .fetch_optional(connection)
            .await?;
    if leads.is_some() {
        return Ok(());
    }
    lease.lose();
    Err(StoreError::Fenced)
}

async fn write(
    connection: &mut PgConnection,
    rows: hot::Rows<'_>,
    others: &[&Change],
    lease: &Lease,
    vault: &Vault,
) -> Result<(), StoreError> {
    let mut hooks = webhooks::Rows::default();
    let (mut end, mut erased) = (None, Vec::new());
    for change in others {
        if hooks.take(change) {
            continue;
        }
        match change {
            Change::EndContents(until) => end = Some(*until),
            Change::EndContentsOf(keys) => erased.extend(keys),
            other => seldom(connection, other, vault).await?,
        }
    }
    hooks.write(connection).await?;
    rows.write(connection, lease, vault).await?;
    // Last: a job that goes on in this very commit keeps its content.
    erase(connection, &erased).await?;
    match end {
        Some(until) => end_contents(connection, until).await,
        None => Ok(()),
    }
}

/// Ends the contents of these jobs, evidence included, if they can change no more.
async fn erase(connection: &mut PgConnection, keys: &[&JobKey]) -> Result<(), StoreError> {
    for key in keys {
        let row = sqlx::query("SELECT body FROM jobs WHERE seller = $1 AND serial = $2 AND NOT live");
        let row = row.bind(key.seller.to_string()).bind(key.serial.to_string()).fetch_optional(&mut *connection).await?;
        let Some(row) = row else { continue };
        let body = without_invoice(row.try_get(0)?)?;
        for (sql, body) in [
            ("UPDATE events SET content = NULL WHERE seller = $1 AND serial = $2 AND serial <> '' AND content IS NOT NULL", None),
            ("UPDATE jobs SET body = $3, ended = true WHERE seller = $1 AND serial = $2", Some(body)),
        ] {
            let query = sqlx::query(sql).bind(key.seller.to_string()).bind(key.serial.to_string());
            let query = if let Some(body) = body { query.bind(body) } else { query };
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn without_invoice(body: &str) -> Result<String, StoreError> {
    let mut body: serde_json::Value = json("job", body)?;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("invoice");
        fields.remove("sealed");
    }
    Ok(body.to_string())
}

/// Ends the contents of jobs that can change no more. The hash in the chain stays, and with it the chain. The bodies are parted
/// here: the database's own JSON cannot hold every text that an invoice may.
async fn end_contents(connection: &mut PgConnection, until: u64) -> Result<(), StoreError> {
    let due = sqlx::query(
        "SELECT place, seller, serial, body FROM jobs WHERE NOT live AND NOT ended AND served <= $1 ORDER BY served, place LIMIT $2",
    )
    .bind(i64::try_from(until).unwrap_or(i64::MAX))
    .bind(i64::from(CONTENTS_SLICE))
    .fetch_all(&mut *connection)
    .await?;
    let (mut places, mut sellers, mut serials, mut bodies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in due {
        let body = without_invoice(row.try_get(3)?)?;
        places.push(row.try_get::<i64, _>(0)?);
        sellers.push(row.try_get::<String, _>(1)?);
        serials.push(row.try_get::<String, _>(2)?);
        bodies.push(body);
    }
    if places.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE events SET content = NULL FROM unnest($1::text[], $2::text[]) AS due (seller, serial) \
         WHERE events.seller = due.seller AND events.serial = due.serial AND events.serial <> '' \
         AND what IN ('accepted', 'reissued') AND content IS NOT NULL",
    )
    .bind(sellers)
    .bind(serials)
    .execute(&mut *connection)
    .await?;
    let count = places.len();
    let query = sqlx::query(
        "UPDATE jobs SET body = due.body, ended = true FROM unnest($1::bigint[], $2::text[]) AS due (place, body) \
         WHERE jobs.place = due.place",
    )
    .bind(places)
    .bind(bodies);
    taken(connection, query, count, "a job whose content ends is gone").await
}

/// Runs a statement whose every row must be taken.
pub(super) async fn taken(connection: &mut PgConnection, query: Sql, rows: usize, guard: &str) -> Result<(), StoreError> {
    let done = query.execute(connection).await.map_err(|error| match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => StoreError::Stale(guard.to_owned()),
        _ => StoreError::Database(error),
    })?;
    if done.rows_affected() == rows as u64 { Ok(()) } else { Err(StoreError::Stale(guard.to_owned())) }
}

/// Changes that administrators make: one statement each. Names that people write stand as JSON.
async fn seldom(connection: &mut PgConnection, change: &Change, vault: &Vault) -> Result<(), StoreError> {
    let query = match change {
        Change::Seller(row) => sqlx::query(
            "INSERT INTO sellers (seller, body) VALUES ($1, $2) ON CONFLICT (seller) DO UPDATE SET body = excluded.body",
        )
        .bind(row.seller.to_string())
        .bind(text(&row.body)),
        Change::IssuePoint(row) => sqlx::query(
            "INSERT INTO issue_points (seller, point, body) VALUES ($1, $2, $3) \
             ON CONFLICT (seller, point) DO UPDATE SET body = excluded.body",
        )
        .bind(row.seller.to_string())
        .bind(row.point.to_string())
        .bind(text(&row.body)),
        Change::DiskAssignment(disk, body) => sqlx::query(
            "INSERT INTO disk_assignments (disk, body) VALUES ($1, $2) ON CONFLICT (disk) DO UPDATE SET body = excluded.body",
        )
        .bind(disk.to_string())
        .bind(text(body)),
        Change::Agent(row) => {
            sqlx::query("INSERT INTO agents (agent, body) VALUES ($1, $2) ON CONFLICT (agent) DO UPDATE SET body = excluded.body")
                .bind(row.agent.to_string())
                .bind(text(row))
        }
        Change::Notice { notice, on: true } => {
            sqlx::query("INSERT INTO notices (name, body) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET body = excluded.body")
                .bind(notice.name())
                .bind(text(notice))
        }
        Change::Notice { notice, on: false } => {
            // What a seller did not count yet has no row: there is nothing to take away.
            sqlx::query("DELETE FROM notices WHERE name = $1").bind(notice.name()).execute(connection).await?;
            return Ok(());
        }
        Change::Enrollment(row) => sqlx::query("INSERT INTO enrollments (hash, name, expires_at, what) VALUES ($1, $2, $3, $4)")
            .bind(row.hash.clone())
            .bind(text(&row.name))
            .bind(row.expires_at.0)
            .bind(text(&row.what)),
        Change::EnrollmentUsed { hash, agent } => {
            sqlx::query("UPDATE enrollments SET used_by = $2 WHERE hash = $1 AND used_by IS NULL")
                .bind(hash.clone())
                .bind(agent.to_string())
        }
        Change::Key(row) => sqlx::query(
            "INSERT INTO api_keys (id, hash, name, role, sellers, created_at, expires_at, revoked_at, actions, used_at, about) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, used_at = excluded.used_at",
        )
        .bind(row.id.clone())
        .bind(row.hash.clone())
        .bind(text(&row.name))
        .bind(word(&row.role))
        .bind(text(&row.sellers))
        .bind(row.created_at.0)
        .bind(row.expires_at.map(|at| at.0))
        .bind(row.revoked_at.map(|at| at.0))
        .bind(text(&row.actions))
        .bind(row.used_at.map(|at| at.0))
        .bind(text(&row.about)),
        Change::User(row) => {
            sqlx::query("INSERT INTO users (name, body) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET body = excluded.body")
                .bind(row.name.clone())
                .bind(vault.user_text(row)?)
        }
        Change::SignIn(SignInRow { what, key, body: None }) => {
            // A row that is not there is as good as removed.
            sqlx::query("DELETE FROM sign_ins WHERE what = $1 AND key = $2").bind(*what).bind(key).execute(connection).await?;
            return Ok(());
        }
        Change::SignIn(SignInRow { what, key, body: Some(body) }) => sqlx::query(
            "INSERT INTO sign_ins (what, key, body) VALUES ($1, $2, $3) ON CONFLICT (what, key) DO UPDATE SET body = excluded.body",
        )
        .bind(*what)
        .bind(key.clone())
        .bind(body.clone()),
        Change::Reconcile(ReconcileRow { what, key, body: None }) => {
            // A row that is not there is as good as removed.
            sqlx::query("DELETE FROM reconcile WHERE what = $1 AND key = $2").bind(*what).bind(key).execute(connection).await?;
            return Ok(());
        }
        Change::Reconcile(ReconcileRow { what, key, body: Some(body) }) => sqlx::query(
            "INSERT INTO reconcile (what, key, body) VALUES ($1, $2, $3) ON CONFLICT (what, key) DO UPDATE SET body = excluded.body",
        )
        .bind(*what)
        .bind(key.clone())
        .bind(body.clone()),
        Change::Bulk(row) => sqlx::query(
            "INSERT INTO bulk_reissues (key, body) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
        )
        .bind(row.view.key.clone())
        .bind(text(row)),
        Change::Served(hours) => sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('served', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(hours.to_string()),
        Change::Operation(row) => return operations::put(connection, row).await,
        Change::Job { .. }
        | Change::Audit(_)
        | Change::EndContents(_)
        | Change::EndContentsOf(_)
        | Change::Number(_)
        | Change::DiskFence(_)
        | Change::DiskReport(_)
        | Change::Accounted(..)
        | Change::Announcement(_)
        | Change::Webhook(_)
        | Change::WebhookGone(_)
        | Change::Delivery(_)
        | Change::ForgetAnnouncements { .. } => return Ok(()),
    };
    let guard = match change {
        Change::EnrollmentUsed { .. } => "an enrolment code was used already",
        _ => "the row exists already",
    };
    taken(connection, query, 1, guard).await
}

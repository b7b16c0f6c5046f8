//! Moves a ledger from SQLite to PostgreSQL, whole or not at all, while no broker runs.
//!
//! Every chain is verified before, copied in one transaction, and verified again in that transaction: entries and last hash must
//! be the same. Then the target is committed, and the source is shut for ever: a trigger refuses its next event, so that a broker
//! that still runs on it, or is started on it by mistake, can accept and hand over nothing. One ledger must not live twice.
//!
//! If we stop before the target is committed, nothing happened. If we stop after it and before the source is shut, the same
//! command again finds the same ledger in the target and only shuts the source; until then no broker may be started on the
//! source.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use taxdisk_protocol::ids::TaxpayerNumber;

use super::chain::Verified;
use super::encoding::damaged;
use super::postgres::lease::Candidate;
use super::postgres::{Database, fenced, verify_on};
use super::sqlite::SqliteStore;
use super::vault::Vault;
use super::{Store, StoreError};

/// Rows that travel together.
const ROWS: usize = 500;
/// Bytes that travel together, about; a page of large jobs stays below what a server likes to parse.
const BYTES: usize = 4 * 1024 * 1024;
/// A lease that outlives the copying is not needed: the transaction locks its row until the end.
const LEASE: Duration = Duration::from_secs(30);

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// The ledger's id; the same in both.
    pub ledger: String,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Chains that were verified on both sides.
    pub chains: u64,
    /// The target had it all already, from a run that was broken off.
    pub was_there: bool,
}

/// A table: the target's columns, their values as the source gives them (one JSON array a row), and as the target takes them
/// (`v` is that array).
struct Table {
    name: &'static str,
    columns: &'static str,
    from: &'static str,
    to: &'static str,
}

/// Every table of the ledger but its name, in both.
const TABLES: [Table; 21] = [
    Table {
        name: "events",
        columns: "seller, sequence, at, serial, revision, what, body, content, content_hash, hash",
        from: "seller, sequence, at, serial, revision, what, body, content, content_hash, hash",
        to: "v ->> 0, (v ->> 1)::bigint, (v ->> 2)::bigint, v ->> 3, (v ->> 4)::bigint, v ->> 5, v ->> 6, v ->> 7, v ->> 8, \
             decode(v ->> 9, 'hex')",
    },
    Table {
        name: "jobs",
        columns: "place, seller, serial, state, live, revision, kind, accepted_at, disks, body, served, ended, \
                  problem, problem_class, about",
        from: "place, seller, serial, state, live, revision, json_extract(body, '$.kind'), json_extract(body, '$.accepted_at'), \
               coalesce((SELECT group_concat(json_extract(value, '$.disk'), ',') FROM json_each(body, '$.attempts')), ''), body, \
               served, ended, coalesce(json_extract(body, '$.problem.code'), ''), \
               coalesce(json_extract(body, '$.problem.class'), ''), \
               coalesce(json_extract(body, '$.original.code') || ' ' || json_extract(body, '$.original.number'), '')",
        to: "(v ->> 0)::bigint, v ->> 1, v ->> 2, v ->> 3, v ->> 4 = '1', (v ->> 5)::bigint, v ->> 6, (v ->> 7)::bigint, \
             string_to_array(v ->> 8, ','), v ->> 9, (v ->> 10)::bigint, v ->> 11 = '1', \
             v ->> 12, v ->> 13, v ->> 14",
    },
    // Free text stands as JSON in the target; the concatenation makes a plain text of it here.
    Table {
        name: "numbers",
        columns: "disk, kind, code, number, owner, status, digest",
        from: "disk, kind, code, number, owner, json_quote(status) || '', json_quote(digest) || ''",
        to: "v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6",
    },
    Table { name: "accounted", columns: "disk, kind, pair", from: "disk, kind, pair", to: "v ->> 0, v ->> 1, v ->> 2" },
    Table {
        name: "disk_fences",
        columns: "disk, epoch, sequence, owner",
        from: "disk, epoch, sequence, owner",
        to: "v ->> 0, (v ->> 1)::bigint, (v ->> 2)::bigint, v ->> 3",
    },
    Table {
        name: "disk_reports",
        columns: "disk, seen_at, report",
        from: "disk, seen_at, report",
        to: "v ->> 0, (v ->> 1)::bigint, v ->> 2",
    },
    Table { name: "disk_assignments", columns: "disk, body", from: "disk, body", to: "v ->> 0, v ->> 1" },
    Table { name: "sellers", columns: "seller, body", from: "seller, body", to: "v ->> 0, v ->> 1" },
    Table { name: "issue_points", columns: "seller, point, body", from: "seller, point, body", to: "v ->> 0, v ->> 1, v ->> 2" },
    Table { name: "reconcile", columns: "what, key, body", from: "what, key, body", to: "v ->> 0, v ->> 1, v ->> 2" },
    Table { name: "users", columns: "name, body", from: "name, body", to: "v ->> 0, v ->> 1" },
    Table { name: "sign_ins", columns: "what, key, body", from: "what, key, body", to: "v ->> 0, v ->> 1, v ->> 2" },
    Table { name: "bulk_reissues", columns: "key, body", from: "key, body", to: "v ->> 0, v ->> 1" },
    Table {
        name: "operations",
        columns: "id, place, disk, seller, state, what, bulk, at, live, revision, body",
        from: "id, place, disk, seller, state, what, bulk, at, live, revision, body",
        to: "v ->> 0, (v ->> 1)::bigint, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6, (v ->> 7)::bigint, v ->> 8 = '1', \
             (v ->> 9)::bigint, v ->> 10",
    },
    Table { name: "agents", columns: "agent, body", from: "agent, body", to: "v ->> 0, v ->> 1" },
    Table { name: "notices", columns: "name, body", from: "name, body", to: "v ->> 0, v ->> 1" },
    Table {
        name: "enrollments",
        columns: "hash, name, expires_at, used_by, what",
        from: "hash, json_quote(name) || '', expires_at, used_by, what",
        to: "v ->> 0, v ->> 1, (v ->> 2)::bigint, v ->> 3, v ->> 4",
    },
    Table {
        name: "api_keys",
        columns: "id, hash, name, role, sellers, created_at, expires_at, revoked_at, actions, used_at, about",
        from: "id, hash, json_quote(name) || '', role, sellers, created_at, expires_at, revoked_at, actions, used_at, about",
        to: "v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, (v ->> 5)::bigint, (v ->> 6)::bigint, (v ->> 7)::bigint, \
             v ->> 8, (v ->> 9)::bigint, v ->> 10",
    },
    Table {
        name: "announcements",
        columns: "position, tag, at, kind, seller, serial, revision, body",
        from: "position, tag, at, kind, seller, serial, revision, body",
        to: "(v ->> 0)::bigint, v ->> 1, (v ->> 2)::bigint, v ->> 3, v ->> 4, v ->> 5, (v ->> 6)::bigint, v ->> 7",
    },
    Table { name: "webhooks", columns: "id, body", from: "id, body", to: "v ->> 0, v ->> 1" },
    Table {
        name: "deliveries",
        columns: "webhook, position, state, at, body",
        from: "webhook, position, state, at, body",
        to: "v ->> 0, (v ->> 1)::bigint, v ->> 2, (v ->> 3)::bigint, v ->> 4",
    },
];

/// The chains of a ledger: entries and last hash by seller (`""`: the broker's own).
type Chains = BTreeMap<String, (u64, [u8; 32])>;

/// Moves the ledger at `from` (`sqlite:…`) to `to` (`postgres://…`), which must be empty.
///
/// # Errors
/// A chain is broken, the target has another ledger or a leader, or a database failed. Nothing was moved then, and the source
/// goes on.
pub async fn migrate(from: &str, to: &str, vault: Vault) -> Result<Moved, StoreError> {
    let refused = |why: String| StoreError::Damaged(format!("nothing was moved: {why}"));
    // Brings the source's tables up to date, and refuses one that was moved already.
    let source = SqliteStore::open_with(from, vault.clone()).await?;
    let mut shut = SqliteConnectOptions::from_str(from)?.disable_statement_logging().connect().await?;
    // Nobody writes the source from here to our end.
    let mut shut = shut.begin_with("BEGIN IMMEDIATE").await?;
    let before = source_chains(&source, &mut shut).await?;

    let database = Database::connect(to, false).await?;
    let candidate = Candidate {
        holder: format!("migrate-{}", hex::encode(rand::random::<[u8; 8]>())),
        url: None,
        secret: String::new(),
        length: LEASE,
    };
    let lease = database.take(&candidate).await?;
    let lease = Arc::new(lease.ok_or_else(|| refused("a broker leads the target; stop all brokers first".to_owned()))?);
    let moved = async {
        database.bring_up_to_date().await?;
        let mut connection = database.open().await?;
        let mut target = connection.begin().await?;
        // Locked to our end: nobody can begin to lead meanwhile.
        fenced(&mut target, &lease).await?;
        sqlx::query(
            "SELECT set_config('statement_timeout', '600000', true), \
                 set_config('idle_in_transaction_session_timeout', '600000', true)",
        )
        .execute(&mut *target)
        .await?;
        let known: Option<String> =
            sqlx::query_scalar("SELECT value FROM meta WHERE name = 'ledger'").fetch_optional(&mut *target).await?;
        let was_there = match known {
            None => false,
            Some(known) if known == source.ledger() => true,
            Some(known) => return Err(refused(format!("the target holds another ledger, {known}"))),
        };
        let mut rows = BTreeMap::new();
        for table in &TABLES {
            let count = if was_there { count(&mut target, table).await? } else { copy(&mut shut, &mut target, table).await? };
            rows.insert(table.name.to_owned(), count);
        }
        if !was_there {
            // Positions go on after the last one that was ever given, also where its row is gone.
            let last = source.last_announcement().await?.cast_signed();
            sqlx::query("SELECT setval('announcements_position_seq', greatest($1, 1), $1 > 0)")
                .bind(last)
                .execute(&mut *target)
                .await?;
            let names: Vec<(String, String)> =
                sqlx::query_as("SELECT name, value FROM meta WHERE name IN ('ledger', 'ancestors', 'chain', 'served')")
                    .fetch_all(&mut *shut)
                    .await?;
            for (name, value) in names {
                sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
                    .bind(name)
                    .bind(value)
                    .execute(&mut *target)
                    .await?;
            }
        }
        same(&mut shut, &rows, &before, &target_chains(&mut target, &vault).await?).await?;
        target.commit().await?;
        Ok(Moved { ledger: source.ledger().to_owned(), rows, chains: before.len() as u64, was_there })
    };
    let moved = moved.await;
    let released = database.release(&lease).await;
    let moved = moved?;
    // If we stop here, the next run shuts the source.
    shut_source(&mut shut).await?;
    shut.commit().await?;
    source.close().await?;
    if let Err(error) = released {
        tracing::warn!(%error, "the target's lease ends by itself in {LEASE:?}");
    }
    Ok(moved)
}

/// Everything that was copied is there, and nothing else.
async fn same(
    source: &mut SqliteConnection,
    rows: &BTreeMap<String, u64>,
    before: &Chains,
    after: &Chains,
) -> Result<(), StoreError> {
    for (table, moved) in rows {
        let count: i64 =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(&mut *source).await?;
        if count.unsigned_abs() != *moved {
            return Err(StoreError::Damaged(format!("nothing was moved: {table} has {count} rows here and {moved} there")));
        }
    }
    if before != after {
        return Err(StoreError::Damaged("nothing was moved: the chains are not the same on both sides".to_owned()));
    }
    Ok(())
}

async fn source_chains(source: &SqliteStore, connection: &mut SqliteConnection) -> Result<Chains, StoreError> {
    let sellers: Vec<String> = sqlx::query_scalar("SELECT DISTINCT seller FROM events").fetch_all(connection).await?;
    let mut chains = Chains::new();
    for seller in sellers {
        let verified = source.verify(number(&seller)?.as_ref()).await?;
        chains.insert(seller.clone(), whole(&seller, verified)?);
    }
    Ok(chains)
}

async fn target_chains(connection: &mut PgConnection, vault: &Vault) -> Result<Chains, StoreError> {
    let sellers: Vec<String> = sqlx::query_scalar("SELECT DISTINCT seller FROM events").fetch_all(&mut *connection).await?;
    let mut chains = Chains::new();
    for seller in sellers {
        let verified = verify_on(connection, &seller, vault).await?;
        chains.insert(seller.clone(), whole(&seller, verified)?);
    }
    Ok(chains)
}

fn number(seller: &str) -> Result<Option<TaxpayerNumber>, StoreError> {
    if seller.is_empty() {
        return Ok(None);
    }
    TaxpayerNumber::from_device(seller).map(Some).map_err(|error| damaged("seller", error))
}

fn whole(seller: &str, verified: Verified) -> Result<(u64, [u8; 32]), StoreError> {
    match verified {
        Verified::Whole { entries, head, .. } => Ok((entries, head)),
        Verified::Broken { sequence } => {
            Err(StoreError::Damaged(format!("nothing was moved: the chain of {seller:?} is broken at entry {sequence}")))
        }
    }
}

async fn count(connection: &mut PgConnection, table: &Table) -> Result<u64, StoreError> {
    let count: i64 =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {}", table.name))).fetch_one(connection).await?;
    Ok(count.unsigned_abs())
}

async fn copy(source: &mut SqliteConnection, target: &mut PgConnection, table: &Table) -> Result<u64, StoreError> {
    let select = format!("SELECT json_array({}) FROM {}", table.from, table.name);
    let insert = format!(
        "INSERT INTO {} ({}) SELECT {} FROM json_array_elements($1::json) AS rows (v)",
        table.name, table.columns, table.to
    );
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(source);
    let (mut page, mut bytes, mut total) = (Vec::new(), 0, 0);
    loop {
        let row = rows.try_next().await?;
        let last = row.is_none();
        if let Some(row) = row {
            let text: String = row.try_get(0)?;
            bytes += text.len();
            page.push(text);
        }
        if page.len() >= ROWS || bytes >= BYTES || (last && !page.is_empty()) {
            let rows = format!("[{}]", page.join(","));
            total += sqlx::query(AssertSqlSafe(insert.clone())).bind(rows).execute(&mut *target).await?.rows_affected();
            page.clear();
            bytes = 0;
        }
        if last {
            return Ok(total);
        }
    }
}

/// From now on no event comes into the source, whoever has it open.
async fn shut_source(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(
        "CREATE TRIGGER IF NOT EXISTS moved BEFORE INSERT ON events \
         BEGIN SELECT RAISE(ABORT, 'this ledger was moved to PostgreSQL and lives there'); END",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query("INSERT INTO meta (name, value) VALUES ('moved_to', 'postgres') ON CONFLICT DO NOTHING")
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;

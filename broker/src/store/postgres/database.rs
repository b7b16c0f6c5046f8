//! A PostgreSQL database before anybody leads it: connections with their bounds, tables, and the row that says who leads.

use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::Mutex;

use super::super::StoreError;
use super::super::encoding::damaged;
use super::super::schema;
use super::hosts;
use super::lease::{Candidate, Lease, Seat, now_ms};

/// Tables, as this program knows them.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(schema::postgres);

/// From the first packet to a usable connection.
const CONNECT: Duration = Duration::from_secs(5);
/// A statement of the lease. Shorter than the lease: a database that is slower than this is no ground to lead on.
const LEASE_STATEMENT: Duration = Duration::from_secs(4);
/// Any other statement, milliseconds. The server ends it.
const STATEMENT_MS: &str = "15000";
/// Waiting for a lock, milliseconds. Nobody holds one longer but a leader that was stopped in the middle of a commit.
const LOCK_MS: &str = "8000";
/// A transaction whose owner says nothing, milliseconds: the server ends it, so that a leader that was stopped in the middle of a
/// commit keeps nobody else from leading.
const IDLE_IN_TRANSACTION_MS: &str = "4000";
/// Bringing tables up to date, or reading everything at the start, milliseconds.
pub(super) const LONG_STATEMENT_MS: &str = "600000";
/// Told on it: somebody began or ceased to lead.
const CHANNEL: &str = "taxdisk_lease";
/// PostgreSQL 15.
const OLDEST_VERSION: i32 = 150_000;

/// What the server must be for the ledger to be durable.
const DURABILITY: &str = "current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit, \
     current_setting('synchronous_standby_names') AS standbys, pg_is_in_recovery() AS standby";

/// A database that is reached and has tables.
#[derive(Debug)]
pub struct Database {
    /// One for each server that the URL names. One of them is the primary.
    pub(super) servers: Vec<PgConnectOptions>,
    /// The server that was the primary when it was last asked.
    pub(super) primary: AtomicUsize,
    /// Only for the lease, so that it never waits for a commit; with the server that it goes to. `None` after a failure; the next
    /// use connects again.
    pub(super) control: Mutex<Option<(usize, PgConnection)>>,
    /// Must every commit be on a second server before it counts?
    pub(super) replicated: bool,
}

/// Gives up after `limit`. What was asked may have happened.
pub(super) async fn bounded<T, E: Into<StoreError>>(
    limit: Duration,
    what: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, what).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(StoreError::Database(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
    }
}

impl Database {
    /// Reaches `postgres://user@host/database`; of several hosts (`one:5432,two:5432`) the one that takes writes. Makes the
    /// tables if there are none at all; tables that are there are changed by the broker that leads only
    /// ([`Database::bring_up_to_date`]). With `replicated`, a server that does not wait for a second one is refused.
    ///
    /// # Errors
    /// The server cannot be reached, is too old, or would lose what it called durable.
    pub async fn connect(url: &str, replicated: bool) -> Result<Database, StoreError> {
        let servers = hosts::each(url)?.iter().map(|url| options(url)).collect::<Result<_, _>>()?;
        let database = Database { servers, primary: AtomicUsize::new(0), control: Mutex::new(None), replicated };
        let (server, mut connection) = database.open_primary().await?;
        let version: i32 =
            sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(&mut connection).await?;
        if version < OLDEST_VERSION {
            return Err(StoreError::Damaged(format!("PostgreSQL 15 or newer is needed; the server is {version}")));
        }
        database.check_durable(&mut connection).await?;
        let made: bool = sqlx::query_scalar("SELECT to_regclass('leases') IS NOT NULL").fetch_one(&mut connection).await?;
        if !made {
            migrate(&mut connection).await?;
        }
        *database.control.lock().await = Some((server, connection));
        Ok(database)
    }

    /// A connection that cannot write, to the first server of the URL that answers; a standby will do. No table is made.
    pub(in super::super) async fn look(url: &str) -> Result<PgConnection, StoreError> {
        let mut trouble = None;
        for url in hosts::each(url)? {
            let server = options(&url)?.options([("default_transaction_read_only", "on")]);
            match bounded(CONNECT, server.connect()).await {
                Ok(connection) => return Ok(connection),
                Err(error) => trouble = Some(error),
            }
        }
        Err(trouble.unwrap_or_else(|| StoreError::Damaged("store.url names no server".to_owned())))
    }

    /// A new connection to the primary, with all its bounds.
    pub(in super::super) async fn open(&self) -> Result<PgConnection, StoreError> {
        Ok(self.open_primary().await?.1)
    }

    /// A new connection to one server.
    pub(super) async fn open_at(&self, server: usize) -> Result<PgConnection, StoreError> {
        bounded(CONNECT, self.servers[server].connect()).await
    }

    /// Asks one server after the other, the last primary first, until one takes writes. A single one is taken as it is: what it
    /// lacks is told when it is used.
    async fn open_primary(&self) -> Result<(usize, PgConnection), StoreError> {
        let first = self.primary.load(Ordering::Relaxed);
        let mut trouble = Vec::new();
        for step in 0..self.servers.len() {
            let server = (first + step) % self.servers.len();
            let asked = bounded(CONNECT, async {
                let mut connection = self.servers[server].connect().await?;
                let standby =
                    self.servers.len() > 1 && sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut connection).await?;
                Ok::<_, sqlx::Error>((!standby).then_some(connection))
            });
            match asked.await {
                Ok(Some(connection)) => {
                    self.primary.store(server, Ordering::Relaxed);
                    return Ok((server, connection));
                }
                Ok(None) => trouble.push(format!("server {} is a standby", server + 1)),
                Err(error) if self.servers.len() == 1 => return Err(error),
                Err(error) => trouble.push(format!("server {}: {error}", server + 1)),
            }
        }
        Err(StoreError::Database(sqlx::Error::Configuration(
            format!("no server of store.url takes writes: {}", trouble.join("; ")).into(),
        )))
    }

    /// `most` connections for readers to this server, opened when they are needed.
    pub(super) fn readers(&self, most: u32, server: usize) -> PgPool {
        PgPoolOptions::new().max_connections(most).acquire_timeout(CONNECT).connect_lazy_with(self.servers[server].clone())
    }

    /// A connection that hears when somebody begins or ceases to lead.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn listen(&self) -> Result<PgListener, StoreError> {
        // A standby hears nothing.
        let (server, _) = self.open_primary().await?;
        let pool = self.readers(1, server);
        bounded(CONNECT, async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(listener)
        })
        .await
    }

    async fn check_durable(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {DURABILITY}"))).fetch_one(connection).await?;
        self.durable(&row)
    }

    fn durable(&self, row: &sqlx::postgres::PgRow) -> Result<(), StoreError> {
        let text = |name: &str| row.try_get::<String, _>(name);
        let refused = |why: String| Err(StoreError::Damaged(format!("this PostgreSQL server cannot keep the ledger: {why}")));
        if row.try_get("standby")? {
            return refused("it is a standby and takes no writes; name the primary".to_owned());
        }
        if text("fsync")? != "on" {
            return refused("fsync is off: a power cut would lose invoices. Set fsync = on".to_owned());
        }
        let synchronous = text("synchronous_commit")?;
        if !matches!(synchronous.as_str(), "on" | "remote_apply") {
            return refused(format!("synchronous_commit is {synchronous}; it must be on"));
        }
        if self.replicated && text("standbys")?.trim().is_empty() {
            return Err(StoreError::Unreplicated(
                "store.replicated is set and synchronous_standby_names is empty: a commit waits for no second server".to_owned(),
            ));
        }
        Ok(())
    }

    /// Who leads.
    ///
    /// # Errors
    /// The database failed.
    pub async fn seat(&self) -> Result<Seat, StoreError> {
        let (_, row) = self
            .control(async |connection| {
                sqlx::query(
                    "SELECT term, holder, url, secret, holder IS NULL \
                     OR renewed_at + length_ms * interval '1 millisecond' < clock_timestamp() AS free \
                     FROM leases WHERE name = 'ledger'",
                )
                .fetch_one(connection)
                .await
            })
            .await?;
        Ok(Seat {
            term: row.try_get("term")?,
            holder: row.try_get("holder")?,
            url: row.try_get("url")?,
            secret: row.try_get("secret")?,
            free: row.try_get("free")?,
        })
    }

    /// Takes the lead if nobody has it, if it is over, or if the candidate had it itself (and has thrown away what it had in
    /// memory). A commit of the former leader that runs is waited for.
    ///
    /// # Errors
    /// The database failed, would lose what it called durable, or has tables of a newer version.
    pub async fn take(&self, candidate: &Candidate) -> Result<Option<Lease>, StoreError> {
        let sent_ms = now_ms();
        let length_ms = i64::try_from(candidate.length.as_millis()).unwrap_or(i64::MAX);
        // Before the lead: what is accepted under it must be kept from the first moment on.
        let (_, row) = self
            .control(async |connection| {
                sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {DURABILITY}"))).fetch_one(connection).await
            })
            .await?;
        self.durable(&row)?;
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
        let taken = self
            .control(async |connection| {
                let applied: Option<i64> =
                    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *connection).await?;
                if applied.unwrap_or_default() > newest {
                    return Err(sqlx::Error::Configuration("the tables are of a newer version of this program".into()));
                }
                // Told with the commit; the former leader and the doors look at once.
                sqlx::query_scalar::<_, i64>(
                    "WITH taken AS (UPDATE leases SET term = term + 1, holder = $1, url = $2, secret = $3, length_ms = $4, \
                     renewed_at = clock_timestamp() WHERE name = 'ledger' AND (holder IS NULL OR holder = $1 \
                     OR renewed_at + length_ms * interval '1 millisecond' < clock_timestamp()) RETURNING term) \
                     SELECT term FROM taken, pg_notify('taxdisk_lease', '')",
                )
                .bind(&candidate.holder)
                .bind(&candidate.url)
                .bind(&candidate.secret)
                .bind(length_ms)
                .fetch_optional(connection)
                .await
            })
            .await;
        let (server, term) = taken.map_err(|error| self.unconfirmed(error))?;
        Ok(term.map(|term| Lease::taken(term, candidate, server, sent_ms)))
    }

    /// Reading went well and writing had no end: with `replicated`, nothing confirms commits.
    fn unconfirmed(&self, error: StoreError) -> StoreError {
        match &error {
            StoreError::Database(sqlx::Error::Io(io)) if self.replicated && io.kind() == std::io::ErrorKind::TimedOut => {
                StoreError::Unreplicated("no second server confirmed a commit in time".to_owned())
            }
            _ => error,
        }
    }

    /// Renews a lease. `false`: it is over, and lost for good.
    ///
    /// # Errors
    /// The database failed (the lease goes on until its end), or it is no longer durable (the lease is lost).
    pub async fn renew(&self, lease: &Lease) -> Result<bool, StoreError> {
        let sent_ms = now_ms();
        let (server, row) = self
            .control(async |connection| {
                sqlx::query(sqlx::AssertSqlSafe(format!(
                    "UPDATE leases SET renewed_at = clock_timestamp() WHERE name = 'ledger' AND term = $1 AND holder = $2 \
                     RETURNING {DURABILITY}"
                )))
                .bind(lease.term())
                .bind(lease.holder())
                .fetch_optional(connection)
                .await
            })
            .await?;
        let Some(row) = row else {
            lease.lose();
            return Ok(false);
        };
        // The writer and the readers are still at the server of before, and what they say may be old.
        if server != lease.server() {
            lease.lose();
            return Ok(false);
        }
        if let Err(error) = self.durable(&row) {
            lease.lose();
            return Err(error);
        }
        lease.renewed(sent_ms);
        Ok(true)
    }

    /// Gives the lead back, so that another broker takes it at once. What was in memory must be thrown away before.
    ///
    /// # Errors
    /// The database failed; the lease ends by itself.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        lease.lose();
        self.control(async |connection| {
            sqlx::query(
                "WITH gone AS (UPDATE leases SET holder = NULL, url = NULL, secret = NULL \
                 WHERE name = 'ledger' AND term = $1 AND holder = $2 RETURNING term) \
                 SELECT term FROM gone, pg_notify('taxdisk_lease', '')",
            )
            .bind(lease.term())
            .bind(lease.holder())
            .fetch_optional(connection)
            .await
        })
        .await?;
        Ok(())
    }

    /// Changes the tables to what this version needs. For the leader, before it reads them: brokers of an older version that
    /// are still there do not lead, and never will again.
    ///
    /// # Errors
    /// The database failed, or the tables are of a newer version.
    pub async fn bring_up_to_date(&self) -> Result<(), StoreError> {
        let mut connection = self.open().await?;
        migrate(&mut connection).await?;
        // The server ends the connection too; nothing is lost with it.
        let _ = connection.close().await;
        Ok(())
    }

    /// One use of the control connection; with the server that was asked. After any failure it is opened anew at the next use,
    /// and the other servers are asked first: one that only accepts connections is no primary.
    async fn control<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<(usize, T), StoreError> {
        let mut control = self.control.lock().await;
        let (server, mut connection) = match control.take() {
            Some(open) => open,
            None => self.open_primary().await?,
        };
        match bounded(LEASE_STATEMENT, work(&mut connection)).await {
            Ok(result) => {
                *control = Some((server, connection));
                Ok((server, result))
            }
            Err(error) => {
                self.primary.store((server + 1) % self.servers.len(), Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

/// How one server is reached, with all bounds.
fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?
        .application_name("taxdisk-broker")
        .options([
            ("synchronous_commit", "on"),
            ("statement_timeout", STATEMENT_MS),
            ("lock_timeout", LOCK_MS),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MS),
            // A client whose machine has gone holds no lock for hours.
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            // A plan that is kept was made when the tables were small: it reads them whole, and each commit costs more than the
            // one before until statistics are taken. Compiling a plan never pays for statements as short as ours.
            ("plan_cache_mode", "force_custom_plan"),
            ("jit", "off"),
        ])
        .disable_statement_logging())
}

pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT set_config('statement_timeout', $1, false)").bind(LONG_STATEMENT_MS).execute(&mut *connection).await?;
    let done = MIGRATIONS.run(&mut *connection).await;
    sqlx::query("SELECT set_config('statement_timeout', $1, false)").bind(STATEMENT_MS).execute(connection).await?;
    done.map_err(|error| damaged("the tables cannot be brought up to date", error))
}

//! Opens a store: makes its tables, takes the writer's place, gives out readers.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, PgConnection, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Db, PostgresDb, SqliteDb, StoreError, schema};

/// Readers beside the writer: status queries are short, and two cores serve no more at once.
const READERS: usize = 4;
/// How long a reader waits for a lock of SQLite, seconds.
const BUSY_S: u64 = 10;
/// The writer's place in PostgreSQL: an advisory lock of this number. A portal that does not get it waits: it is a spare.
const WRITER_LOCK: i64 = 0x7461_7864_706f_7274;
/// Requests of an older version that are brought into the lists in one transaction.
const LISTED_AT_ONCE: u32 = 500;
/// How often a spare asks for the place.
const SPARE_EVERY: Duration = Duration::from_secs(2);

/// An open store.
pub struct Opened {
    /// The one connection that writes.
    pub writer: Box<dyn Db>,
    /// The others.
    pub readers: Readers,
}

#[derive(Clone)]
enum Source {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

/// A few connections that read. One that died is made anew.
#[derive(Clone)]
pub struct Readers {
    source: Source,
    idle: Arc<Mutex<Vec<Box<dyn Db>>>>,
    room: Arc<Semaphore>,
}

/// A connection that reads, for a while; given back when it is dropped.
pub struct Reader {
    db: Option<Box<dyn Db>>,
    idle: Arc<Mutex<Vec<Box<dyn Db>>>>,
    _room: OwnedSemaphorePermit,
}

/// Opens `sqlite:/path/file.db` or `postgres://user@host/database`. Waits while another portal is the writer (PostgreSQL).
///
/// # Errors
/// It cannot be opened, or was written by a newer version.
pub async fn open(url: &str) -> Result<Opened, StoreError> {
    let made = |error| StoreError::Damaged(format!("the tables cannot be brought up to date: {error}"));
    let (mut writer, source): (Box<dyn Db>, Source) = if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(BUSY_S))
            .disable_statement_logging();
        let mut connection: SqliteConnection = options.connect().await?;
        schema::portal().run(&mut connection).await.map_err(made)?;
        (Box::new(SqliteDb::new(connection)), Source::Sqlite(options.read_only(true)))
    } else {
        let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
        let mut connection: PgConnection = options.connect().await?;
        let mut told = false;
        while !sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
            .bind(WRITER_LOCK)
            .fetch_one(&mut connection)
            .await?
        {
            if !std::mem::replace(&mut told, true) {
                tracing::info!("another portal writes to this store; this one waits for its place");
            }
            tokio::time::sleep(SPARE_EVERY).await;
        }
        schema::portal().run(&mut connection).await.map_err(made)?;
        (Box::new(PostgresDb::new(connection)), Source::Postgres(options))
    };
    list_older(writer.as_mut()).await?;
    let readers = Readers { source, idle: Arc::default(), room: Arc::new(Semaphore::new(READERS)) };
    Ok(Opened { writer, readers })
}

/// Brings what an older version wrote into the lists. If we stop here, the next start goes on with the rest.
pub(super) async fn list_older(db: &mut dyn Db) -> Result<(), StoreError> {
    loop {
        let older = db.unlisted(LISTED_AT_ONCE).await?;
        if older.is_empty() {
            return Ok(());
        }
        db.begin().await?;
        for request in &older {
            db.put_request(request).await?;
        }
        db.commit().await?;
    }
}

impl Readers {
    /// A connection, once one is free.
    ///
    /// # Errors
    /// No connection can be made.
    pub async fn get(&self) -> Result<Reader, StoreError> {
        let closed = |_| StoreError::Damaged("the store is closed".to_owned());
        let room = self.room.clone().acquire_owned().await.map_err(closed)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // A file does not go away; a server may have.
        if let (Some(db), Source::Postgres(_)) = (&mut idle, &self.source)
            && db.ping().await.is_err()
        {
            idle = None;
        }
        let db = match (idle, &self.source) {
            (Some(db), _) => db,
            (None, Source::Sqlite(options)) => Box::new(SqliteDb::new(options.connect().await?)) as Box<dyn Db>,
            (None, Source::Postgres(options)) => Box::new(PostgresDb::new(options.connect().await?)),
        };
        Ok(Reader { db: Some(db), idle: self.idle.clone(), _room: room })
    }
}

impl Deref for Reader {
    type Target = dyn Db;

    fn deref(&self) -> &Self::Target {
        self.db.as_deref().expect("a reader has its connection until it is dropped")
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.db.as_deref_mut().expect("a reader has its connection until it is dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.db.take());
    }
}

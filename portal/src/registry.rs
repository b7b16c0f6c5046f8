//! What names or proves somebody belongs to one environment, for ever: appids, syscodes and public keys are claimed here before
//! they are stored, by production and test alike.
//!
//! The registry is a small database of its own that the portals of both environments open. It holds no secret: names, and
//! fingerprints of public keys. A token proves itself by its public key alone, so a key that both environments knew would make
//! every token of the one good in the other; a claim is one statement, so two portals never both get it. Decision 0026.
//!
//! What it refuses to do: give a claim back. An appid or a key that was once of one environment never moves.
//!
//! Read first: [`Registry::claim`].

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, PgConnection, Row as _, SqliteConnection};
use tokio::sync::Mutex;

use crate::config::Environment;
use crate::sign::PublicKey;
use crate::store::StoreError;

/// How long a claim waits for the other portal's, seconds.
const BUSY_S: u64 = 10;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS credentials (kind TEXT NOT NULL, name TEXT NOT NULL, environment TEXT NOT NULL, \
                     tenant TEXT NOT NULL, PRIMARY KEY (kind, name))";
const CLAIM: &str = "INSERT INTO credentials (kind, name, environment, tenant) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (kind, name) DO NOTHING";
const OWNER: &str = "SELECT environment, tenant FROM credentials WHERE kind = $1 AND name = $2";

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// An appid.
    Appid(String),
    /// A syscode.
    Syscode(String),
    /// A public key, by its fingerprint.
    Key(String),
}

impl Credential {
    /// A public key.
    pub fn key(key: &PublicKey) -> Credential {
        Credential::Key(key.fingerprint())
    }

    fn parts(&self) -> (&'static str, &str) {
        match self {
            Credential::Appid(name) => ("appid", name),
            Credential::Syscode(name) => ("syscode", name),
            Credential::Key(name) => ("key", name),
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Appid(name) => write!(f, "appid {name}"),
            Credential::Syscode(name) => write!(f, "syscode {name}"),
            Credential::Key(_) => f.write_str("this public key"),
        }
    }
}

/// Why a claim was not given.
#[derive(Debug, thiserror::Error)]
pub enum Claimed {
    /// Of the other environment.
    #[error("{0} belongs to the {1} environment for ever; use another one here")]
    Environment(Credential, String),
    /// Of another tenant.
    #[error("{0} belongs to another tenant for ever")]
    Tenant(Credential),
    /// It cannot be asked; nothing may be stored before it was.
    #[error("the registry of credentials does not answer; the same again is safe")]
    Unavailable(#[from] StoreError),
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

enum Source {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

/// The registry, as one environment sees it.
pub struct Registry {
    environment: Environment,
    source: Source,
    /// None after a failure: the next claim connects anew.
    connection: Mutex<Option<Connection>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("environment", &self.environment).finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens `sqlite:/path/credentials.db` or `postgres://user@host/database`, and makes its table.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn open(url: &str, environment: Environment) -> Result<Registry, StoreError> {
        let source = if url.starts_with("sqlite:") {
            Source::Sqlite(
                SqliteConnectOptions::from_str(url)?
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(BUSY_S))
                    .disable_statement_logging(),
            )
        } else {
            Source::Postgres(PgConnectOptions::from_str(url)?.disable_statement_logging())
        };
        let connection = source.connect().await?;
        Ok(Registry { environment, source, connection: Mutex::new(Some(connection)) })
    }

    /// Claims credentials for a tenant of this environment; durable afterwards. What is claimed already by the same tenant of the
    /// same environment is granted again. If one is refused, those before it stay claimed for this tenant, which harms nobody.
    ///
    /// # Errors
    /// See [`Claimed`].
    pub async fn claim(&self, tenant: &str, credentials: &[Credential]) -> Result<(), Claimed> {
        let mut held = self.connection.lock().await;
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => self.source.connect().await?,
        };
        for credential in credentials {
            let (kind, name) = credential.parts();
            // A connection that failed is dropped with the error.
            let (environment, owner) = connection.claim(kind, name, self.environment.as_str(), tenant).await?;
            let refused = if environment != self.environment.as_str() {
                Some(Claimed::Environment(credential.clone(), environment))
            } else if owner != tenant {
                Some(Claimed::Tenant(credential.clone()))
            } else {
                None
            };
            if let Some(refused) = refused {
                *held = Some(connection);
                return Err(refused);
            }
        }
        *held = Some(connection);
        Ok(())
    }
}

impl Source {
    async fn connect(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Source::Sqlite(options) => {
                let mut connection = options.connect().await?;
                sqlx::query(TABLE).execute(&mut connection).await?;
                Connection::Sqlite(connection)
            }
            Source::Postgres(options) => {
                let mut connection = options.connect().await?;
                sqlx::query(TABLE).execute(&mut connection).await?;
                Connection::Postgres(connection)
            }
        })
    }
}

impl Connection {
    /// Whose it is after the claim. Rows are never changed or removed, so the second statement sees what decided the first.
    async fn claim(&mut self, kind: &str, name: &str, environment: &str, tenant: &str) -> Result<(String, String), StoreError> {
        match self {
            Connection::Sqlite(db) => {
                let claim = sqlx::query(CLAIM).bind(kind).bind(name).bind(environment).bind(tenant);
                claim.execute(&mut *db).await?;
                let row = sqlx::query(OWNER).bind(kind).bind(name).fetch_one(db).await?;
                Ok((row.try_get(0)?, row.try_get(1)?))
            }
            Connection::Postgres(db) => {
                let claim = sqlx::query(CLAIM).bind(kind).bind(name).bind(environment).bind(tenant);
                claim.execute(&mut *db).await?;
                let row = sqlx::query(OWNER).bind(kind).bind(name).fetch_one(db).await?;
                Ok((row.try_get(0)?, row.try_get(1)?))
            }
        }
    }
}

//! Copies of the ledger: taken while the broker serves, checked, and put back.
//!
//! A copy is one file, complete in itself, written under another name and renamed once it is on the medium. What is put back gets
//! a **new ledger id** and a mark that it went back: before it assigns anything, the disks tell what it forgot
//! (`core::reconcile`).
//!
//! Where contents are sealed, the copy is sealed as a whole ([`envelope`]): what is in the plain meanwhile lies beside the
//! ledger, which is as much in the plain, and never where copies are kept. Copies of before are put back as they are.
//!
//! What it refuses to do: overwrite a file, put a copy back that is not whole, or replace a ledger that a broker has open.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::super::check::{Checked, check};
use super::super::encoding::text;
use super::super::envelope::{self, EnvelopeError};
use super::super::vault::Vault;
use super::super::{Store, StoreError};
use super::{SqliteStore, log};

/// Between the ledger's name and that of a copy that is being made.
const COPYING: &str = ".copying-";

/// Why a copy was not made or put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is overwritten.
    #[error("{0} is there already; nothing is overwritten")]
    Exists(PathBuf),
    /// A broker serves from it.
    #[error("{0} is in use: stop the broker first")]
    InUse(PathBuf),
    /// The copy is not whole.
    #[error("{0} is not whole: {1}")]
    NotWhole(PathBuf, String),
    /// It is sealed as a whole, and was not opened.
    #[error("{0} cannot be used, and nothing was changed: {1}")]
    Shut(PathBuf, EnvelopeError),
    /// It cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// Only SQLite files are copied by this program.
    #[error("{0} is not a SQLite file; use the database's own tools")]
    NotSqlite(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> BackupError {
        BackupError::Store(StoreError::Database(error))
    }
}

/// The file of a store's address.
///
/// # Errors
/// It is no SQLite file.
pub fn file_of(url: &str) -> Result<PathBuf, BackupError> {
    let options = url.starts_with("sqlite:").then(|| SqliteConnectOptions::from_str(url).ok()).flatten();
    options.map(|options| options.get_filename().to_owned()).ok_or_else(|| {
        let scheme = url.split(':').next().unwrap_or_default();
        BackupError::NotSqlite(format!("{scheme}:…"))
    })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> BackupError + '_ {
    |error| BackupError::Io(path.to_owned(), error)
}

/// The file and its name are on the medium.
fn sync(path: &Path) -> Result<(), BackupError> {
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(io(path))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

/// Leaves nothing of an earlier try.
fn clear(path: &Path) -> Result<(), BackupError> {
    remove(path)?;
    remove(&log::beside(path))?;
    remove_one(&beside(path, ".lock"))
}

/// Removes a SQLite file.
fn remove(path: &Path) -> Result<(), BackupError> {
    ["", "-wal", "-shm", "-journal"].iter().try_for_each(|suffix| remove_one(&beside(path, suffix)))
}

fn remove_one(file: &Path) -> Result<(), BackupError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BackupError::Io(file.to_owned(), error)),
        _ => Ok(()),
    }
}

/// Copies the ledger at `url` into a new file, as it is at one moment, while a broker may serve from it. Sealed as a whole where
/// there is a key.
///
/// # Errors
/// See [`BackupError`].
pub async fn backup(url: &str, to: &Path, vault: &Vault) -> Result<(), BackupError> {
    let from = file_of(url)?;
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let part = beside(to, ".part");
    clear(&part)?;
    if vault.current().is_none() {
        return copy(&from, &part, vault).await.and_then(|()| named(&part, to));
    }
    // Two copies at a time have two names.
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = beside(&from, &format!("{COPYING}{name}"));
    clear_leftovers(&from)?;
    clear(&plain)?;
    // Held until it is gone: whoever makes another copy meanwhile takes it for no leftover.
    let _held = held(&plain)?;
    let sealed = match copy(&from, &plain, vault).await {
        Ok(()) => sealed(&plain, &part, vault).await,
        Err(error) => Err(error),
    };
    clear(&plain)?;
    sealed.and_then(|()| named(&part, to))
}

/// The file, made where it is not there, under a lock that ends with this process at the latest.
fn held(plain: &Path) -> Result<std::fs::File, BackupError> {
    super::private(plain)?;
    let file = std::fs::File::open(plain).map_err(io(plain))?;
    file.try_lock().map_err(|error| BackupError::Io(plain.to_owned(), error.into()))?;
    Ok(file)
}

/// Removes what copies left beside the ledger that were killed before their end: each is as large as the ledger, and has a name
/// that may never come again.
fn clear_leftovers(ledger: &Path) -> Result<(), BackupError> {
    let folder = ledger.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let begin = beside(ledger, COPYING).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of_another = ["-wal", "-shm", "-journal", ".lock", log::SUFFIX];
    for entry in std::fs::read_dir(folder).map_err(io(folder))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // What SQLite and the log lay beside a copy goes with it, and only with it.
        let is_copy = name.starts_with(&begin) && !of_another.iter().any(|end| name.ends_with(end));
        if is_copy && std::fs::File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            clear(&entry.path())?;
        }
    }
    Ok(())
}

/// Copies the ledger in a file into a new file in the plain.
async fn copy(from: &Path, part: &Path, vault: &Vault) -> Result<(), BackupError> {
    // The log first: what leaves it while the tables are copied is in the tables.
    let (log, log_part) = (log::beside(from), log::beside(part));
    if log.exists() {
        log::copy(&log, &log_part).await?;
    }
    // What buyers bought is in it: for its owner alone from its first byte. SQLite takes a file that is empty for none.
    super::private(part)?;
    let options = SqliteConnectOptions::new().filename(from).read_only(true).busy_timeout(super::busy());
    let mut connection = options.disable_statement_logging().connect().await?;
    sqlx::query("VACUUM INTO ?1").bind(part.to_string_lossy().into_owned()).execute(&mut connection).await?;
    connection.close().await?;
    if log_part.exists() {
        if log::holds_more(&log_part, part).await? {
            SqliteStore::open_with(&format!("sqlite:{}", part.display()), vault.clone()).await?.close().await?;
            alone(part).await?;
        }
        remove(&log_part)?;
        remove_one(&beside(part, ".lock"))?;
    }
    Ok(())
}

/// SQLite leaves a copy to the system; it counts once it is on the medium under its own name.
fn named(part: &Path, to: &Path) -> Result<(), BackupError> {
    sync(part)?;
    std::fs::rename(part, to).map_err(io(to))?;
    sync(to)
}

/// Seals a file into a new one.
async fn sealed(plain: &Path, to: &Path, vault: &Vault) -> Result<(), BackupError> {
    super::private(to)?;
    let (from, into, keys) = (plain.to_owned(), to.to_owned(), vault.keys().clone());
    let done = tokio::task::spawn_blocking(move || envelope::seal(&from, &into, &keys)).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error).into())).map_err(|error| BackupError::Shut(to.to_owned(), error))
}

/// A copy, sealed as a whole or not, as a file of its own in the plain, for its owner alone.
async fn opened(from: &Path, to: &Path, vault: &Vault) -> Result<(), BackupError> {
    super::private(to)?;
    if !envelope::is_sealed(from).map_err(io(from))? {
        std::fs::copy(from, to).map_err(io(from))?;
        // Whatever mode the copy had.
        return std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(io(to));
    }
    let (sealed, into, keys) = (from.to_owned(), to.to_owned(), vault.keys().clone());
    let done = tokio::task::spawn_blocking(move || envelope::open(&sealed, &into, &keys)).await;
    let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
    done.map_err(|error| BackupError::Shut(from.to_owned(), error))
}

/// Checks a file without changing it: a copy of it is opened. `ledger`: the address of the ledger in use, beside which a sealed
/// copy is opened; where that is no file, beside the copy.
///
/// # Errors
/// It is no ledger, or it cannot be read.
pub async fn check_file(file: &Path, ledger: &str, vault: &Vault) -> Result<Checked, BackupError> {
    let is_sealed = envelope::is_sealed(file).map_err(io(file))?;
    let place = file_of(ledger).ok().filter(|_| is_sealed).unwrap_or_else(|| file.to_owned());
    let plain = beside(&place, ".checking");
    clear(&plain)?;
    let made = match is_sealed {
        true => opened(file, &plain, vault).await,
        false => copy(file, &plain, vault).await,
    };
    let checked = match made {
        Ok(()) => check_copy(&plain, vault).await,
        Err(error) => Err(error),
    };
    clear(&plain)?;
    checked
}

async fn check_copy(copy: &Path, vault: &Vault) -> Result<Checked, BackupError> {
    let store = SqliteStore::open_with(&format!("sqlite:{}", copy.display()), vault.clone()).await?;
    let integrity: Vec<String> = {
        let mut tables = store.shared.tables.lock().await;
        sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut tables.connection).await?
    };
    let mut checked = check(&store).await?;
    if integrity.iter().any(|line| line != "ok") {
        checked.found += 1;
        checked.findings.push(format!("the file: {}", integrity.join("; ")));
    }
    store.close().await?;
    Ok(checked)
}

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PutBack {
    /// Id of the ledger from now on.
    pub ledger: String,
    /// What it was called when it was copied.
    pub was: String,
    /// Where the ledger that was in its place lies now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<PathBuf>,
    /// What the check of the copy found.
    pub checked: Checked,
}

/// Puts a copy in the place of the ledger at `url`. A ledger that is there is moved aside if `replace` says so, never deleted.
///
/// # Errors
/// See [`BackupError`].
pub async fn restore(from: &Path, url: &str, replace: bool, at: &str, vault: &Vault) -> Result<PutBack, BackupError> {
    let to = file_of(url)?;
    if to.exists() && !replace {
        return Err(BackupError::Exists(to));
    }
    let part = beside(&to, ".restoring");
    clear(&part)?;
    let made = match opened(from, &part, vault).await {
        Ok(()) => check_copy(&part, vault).await,
        Err(error) => Err(error),
    };
    let checked = match made {
        Ok(checked) => checked,
        Err(error) => {
            clear(&part)?;
            return Err(error);
        }
    };
    if !checked.is_whole() {
        clear(&part)?;
        return Err(BackupError::NotWhole(from.to_owned(), checked.findings.join("; ")));
    }
    let store = SqliteStore::open_with(&format!("sqlite:{}", part.display()), vault.clone()).await?;
    let was = store.ledger().to_owned();
    let why = format!("{}, a copy of ledger {was}, was put back at {at}", from.display());
    let ledger = mark_restored(&store, &why).await?;
    store.close().await?;
    // One file, complete in itself: what is renamed has no log beside it.
    alone(&part).await?;
    remove(&log::beside(&part))?;
    remove_one(&beside(&part, ".lock"))?;
    sync(&part)?;
    let replaced = if to.exists() {
        // If a broker has it open, this fails, and it goes on with what it has.
        alone(&to).await.map_err(|_| BackupError::InUse(to.clone()))?;
        let aside = beside(&to, &format!(".before-{ledger}"));
        std::fs::rename(&to, &aside).map_err(io(&to))?;
        Some(aside)
    } else {
        None
    };
    // What lies there is the log of what was there; it goes the same way. If we stop before, no ledger takes it for its own.
    let log = log::beside(&to);
    if log.exists() {
        alone(&log).await.map_err(|_| BackupError::InUse(to.clone()))?;
        std::fs::rename(&log, log::beside(&beside(&to, &format!(".before-{ledger}")))).map_err(io(&log))?;
    }
    // If we stop here, the place is empty, and both files lie beside it under names that say what they are.
    std::fs::rename(&part, &to).map_err(io(&to))?;
    sync(&to)?;
    Ok(PutBack { ledger, was, replaced, checked })
}

/// Writes the log back and gives it up, which needs the file for oneself.
async fn alone(path: &Path) -> Result<(), BackupError> {
    let options = SqliteConnectOptions::new().filename(path).disable_statement_logging();
    let mut connection: SqliteConnection = options.connect().await?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await?;
    connection.close().await?;
    if mode == "delete" { Ok(()) } else { Err(BackupError::InUse(path.to_owned())) }
}

/// Gives a ledger that was put back a new id, and leaves the mark that makes the disks tell what it forgot.
async fn mark_restored(store: &SqliteStore, why: &str) -> Result<String, BackupError> {
    let ledger = super::super::fresh_ledger();
    let mut ancestors = store.ancestors().to_vec();
    ancestors.push(store.ledger().to_owned());
    let mut tables = store.shared.tables.lock().await;
    let mut transaction = tables.connection.begin().await?;
    for (name, value) in [("ledger", ledger.clone()), ("ancestors", text(&ancestors))] {
        sqlx::query("INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value")
            .bind(name)
            .bind(value)
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query(
        "INSERT INTO reconcile (what, key, body) VALUES ('restored', '', ?1) ON CONFLICT DO UPDATE SET body = excluded.body",
    )
    .bind(why)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(ledger)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::conformance::accept;

    struct Place(tempfile::TempDir);

    impl Place {
        fn file(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
        fn url(&self) -> String {
            format!("sqlite:{}", self.file("ledger.db").display())
        }
    }

    async fn place() -> (Place, SqliteStore) {
        let place = Place(tempfile::tempdir().unwrap());
        let store = SqliteStore::open(&place.url()).await.unwrap();
        store.commit(&[accept("A1", 1).1]).await.unwrap();
        (place, store)
    }

    #[tokio::test]
    async fn a_copy_is_taken_beside_a_writer_and_holds_one_moment() {
        let (place, store) = place().await;
        backup(&place.url(), &place.file("copy"), &Vault::default()).await.unwrap();
        store.commit(&[accept("A2", 2).1]).await.unwrap();
        let checked = check_file(&place.file("copy"), &place.url(), &Vault::default()).await.unwrap();
        assert_eq!((checked.jobs, checked.is_whole(), checked.ledger.as_str()), (1, true, store.ledger()));
        assert_eq!(
            check_file(&place.file("ledger.db"), &place.url(), &Vault::default()).await.unwrap().jobs,
            2,
            "while a writer has it open"
        );
        assert!(matches!(backup(&place.url(), &place.file("copy"), &Vault::default()).await, Err(BackupError::Exists(_))));
    }

    #[tokio::test]
    async fn what_is_put_back_is_another_ledger_and_knows_that_it_went_back() {
        let (place, store) = place().await;
        let old = store.ledger().to_owned();
        backup(&place.url(), &place.file("copy"), &Vault::default()).await.unwrap();
        store.commit(&[accept("A2", 2).1]).await.unwrap();
        let used = restore(&place.file("copy"), &place.url(), true, "now", &Vault::default()).await;
        assert!(matches!(used, Err(BackupError::InUse(_))), "{used:?}");
        store.close().await.unwrap();
        assert!(matches!(
            restore(&place.file("copy"), &place.url(), false, "now", &Vault::default()).await,
            Err(BackupError::Exists(_))
        ));
        let put = restore(&place.file("copy"), &place.url(), true, "now", &Vault::default()).await.unwrap();
        assert!(put.replaced.as_ref().unwrap().exists(), "what was there is kept");
        let store = SqliteStore::open(&place.url()).await.unwrap();
        assert_eq!((store.ledger(), store.ancestors()), (put.ledger.as_str(), [old.clone()].as_slice()));
        assert_ne!(store.ledger(), old);
        let restored = store.restore().await.unwrap();
        assert_eq!((restored.jobs.len(), restored.reconcile[0].what), (1, "restored"));
        store.close().await.unwrap();
        // The same copy once more is yet another ledger.
        let again = restore(&place.file("copy"), &place.url(), true, "now", &Vault::default()).await.unwrap();
        assert_ne!(again.ledger, put.ledger);
    }

    #[tokio::test]
    async fn a_copy_that_was_changed_is_not_put_back() {
        let (place, store) = place().await;
        backup(&place.url(), &place.file("copy"), &Vault::default()).await.unwrap();
        store.close().await.unwrap();
        let options = SqliteConnectOptions::new().filename(place.file("copy"));
        let mut connection = options.connect().await.unwrap();
        sqlx::query("UPDATE jobs SET body = replace(body, '\"queued\"', '\"failed\"')").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let checked = check_file(&place.file("copy"), &place.url(), &Vault::default()).await.unwrap();
        assert!(checked.findings[0].contains("A1"), "{checked:?}");
        let put = restore(&place.file("copy"), &place.url(), true, "now", &Vault::default()).await;
        assert!(matches!(put, Err(BackupError::NotWhole(..))), "{put:?}");
        assert!(place.file("ledger.db").exists());
    }

    fn bytes_with(file: &Path, text: &str) -> bool {
        std::fs::read(file).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[tokio::test]
    async fn what_a_killed_copy_left_is_removed_and_a_copy_under_way_is_not() {
        let place = Place(tempfile::tempdir().unwrap());
        let vault = Vault::parse(&crate::store::vault::new_key()).unwrap();
        SqliteStore::open_with(&place.url(), vault.clone()).await.unwrap().close().await.unwrap();
        let (left, under_way) = (place.file("ledger.db.copying-monday"), place.file("ledger.db.copying-tuesday"));
        for file in [&left, &under_way] {
            std::fs::write(file, "half").unwrap();
            std::fs::write(beside(file, "-wal"), "half").unwrap();
        }
        let _held = held(&under_way).unwrap();
        backup(&place.url(), &place.file("copy"), &vault).await.unwrap();
        let there = [&left, &beside(&left, "-wal"), &under_way, &beside(&under_way, "-wal")].map(|file| file.exists());
        assert_eq!(there, [false, false, true, true]);
        assert!(place.file("copy").exists() && place.file("ledger.db").exists());
    }

    #[tokio::test]
    async fn a_copy_is_sealed_as_a_whole_where_there_is_a_key_and_put_back_with_that_key_only() {
        let place = Place(tempfile::tempdir().unwrap());
        let lines = crate::store::vault::new_key();
        let vault = Vault::parse(&lines).unwrap();
        let store = SqliteStore::open_with(&place.url(), vault.clone()).await.unwrap();
        store.commit(&[accept("SERIALA1", 1).1]).await.unwrap();
        let (copy, ledger) = (place.file("elsewhere/copy"), place.file("ledger.db"));
        std::fs::create_dir(place.file("elsewhere")).unwrap();
        backup(&place.url(), &copy, &vault).await.unwrap();
        store.close().await.unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copy).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "a copy is its owner's");
        assert!(bytes_with(&ledger, "SERIALA1") && !bytes_with(&copy, "SERIALA1"), "not even serial numbers are in the plain");
        assert!(!bytes_with(&copy, "SQLite format"));
        let names = |folder: PathBuf| {
            let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = files.collect();
            names.sort();
            names
        };
        let elsewhere = place.file("elsewhere");
        assert_eq!(names(elsewhere.clone()), ["copy"]);
        let before = names(place.0.path().to_owned());
        assert!(!before.iter().any(|name| name.contains("copying")), "{before:?}");
        let other = format!("{} {}", vault.current().unwrap(), crate::store::vault::new_key().split_once(' ').unwrap().1);
        for lost in [Vault::default(), Vault::parse(&other).unwrap()] {
            for refused in [
                restore(&copy, &place.url(), true, "now", &lost).await.map(drop).unwrap_err(),
                check_file(&copy, &place.url(), &lost).await.map(drop).unwrap_err(),
            ] {
                assert!(matches!(&refused, BackupError::Shut(file, _) if *file == copy), "{refused}");
                let told = refused.to_string();
                assert!(told.contains(vault.current().unwrap()) && told.contains("nothing was changed"), "{told}");
            }
        }
        let whole = std::fs::read(&copy).unwrap();
        let mut bit = whole.clone();
        bit[70_000] ^= 1;
        for damaged in [&whole[..whole.len() - 1], &whole[..70_000], &bit] {
            std::fs::write(place.file("elsewhere/damaged"), damaged).unwrap();
            let refused = restore(&place.file("elsewhere/damaged"), &place.url(), true, "now", &vault).await;
            assert!(matches!(refused, Err(BackupError::Shut(..))), "{refused:?}");
        }
        assert_eq!(names(place.0.path().to_owned()), before, "nothing was changed, and nothing is left in the plain");
        // Years later: the key is an old line.
        let later = Vault::parse(&format!("{}\n{lines}", crate::store::vault::new_key())).unwrap();
        let checked = check_file(&copy, &place.url(), &later).await.unwrap();
        assert_eq!((checked.jobs, checked.is_whole()), (1, true));
        assert_eq!(names(elsewhere), ["copy", "damaged"], "nothing is opened where copies are kept");
        let put = restore(&copy, &place.url(), true, "now", &later).await.unwrap();
        assert_eq!((put.checked.jobs, put.checked.is_whole()), (1, true));
    }

    #[tokio::test]
    async fn a_copy_of_before_there_was_a_key_is_put_back_still() {
        let (place, store) = place().await;
        backup(&place.url(), &place.file("copy"), &Vault::default()).await.unwrap();
        store.close().await.unwrap();
        let vault = Vault::parse(&crate::store::vault::new_key()).unwrap();
        assert!(check_file(&place.file("copy"), &place.url(), &vault).await.unwrap().is_whole());
        let put = restore(&place.file("copy"), &place.url(), true, "now", &vault).await.unwrap();
        assert_eq!((put.checked.jobs, put.checked.is_whole()), (1, true));
    }

    #[tokio::test]
    async fn a_copy_in_the_plain_of_sealed_contents_is_put_back_with_the_key_only_and_the_refusal_names_it() {
        let place = Place(tempfile::tempdir().unwrap());
        let vault = Vault::parse(&crate::store::vault::new_key()).unwrap();
        let store = SqliteStore::open_with(&place.url(), vault.clone()).await.unwrap();
        store.commit(&[accept("A1", 1).1]).await.unwrap();
        // As versions before wrote them.
        copy(&place.file("ledger.db"), &place.file("copy"), &vault).await.unwrap();
        store.close().await.unwrap();
        let without = restore(&place.file("copy"), &place.url(), true, "now", &Vault::default()).await.unwrap_err();
        assert!(without.to_string().contains(vault.current().unwrap()), "{without}");
        assert!(place.file("ledger.db").exists() && !place.file("ledger.db.restoring").exists(), "nothing was changed");
        let put = restore(&place.file("copy"), &place.url(), true, "now", &vault).await.unwrap();
        assert_eq!((put.checked.jobs, put.checked.is_whole()), (1, true));
    }
}

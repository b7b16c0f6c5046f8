//! Makes a journal. sled writes its first files without a flush: a loss of power in between would leave a folder that reads
//! like a damaged journal, and nobody could say that nothing was in it. So it is made under another name, flushed, and named
//! last: a journal that has its name is whole.
//!
//! And removes what sled leaves behind when it is stopped in the middle of a snapshot, which it would take for damage.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{JournalError, open_db, writer};
use crate::platform;

/// sled gives lock and files back when its last thread has ended, a moment after the last handle is gone.
const LETS_GO: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Between the journal's name and the number of the process that makes it.
const MAKING: &str = ".new-";

/// Is there nothing yet? An empty folder is as good as none.
pub(super) fn is_missing(dir: &Path) -> bool {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Makes an empty journal, durable before it has its name.
///
/// # Errors
/// The folder cannot be written. If another process was faster, that one's journal stays.
pub(super) fn make(dir: &Path) -> io::Result<()> {
    let (parent, name) = (parent_of(dir), dir.file_name().map(OsString::from).unwrap_or_default());
    std::fs::create_dir_all(&parent)?;
    let fresh = made_as(&parent, &name, &std::process::id().to_string());
    // Of a process of an earlier start that had this number.
    remove(&fresh)?;
    platform::private_folder(&fresh)?;
    let db = open_db(&fresh).map_err(|error| io::Error::other(error.to_string()))?;
    writer::barrier(&db, &File::options().read(true).write(true).open(fresh.join("db"))?);
    for file in ["conf", "db", "blobs"] {
        platform::flush(&fresh.join(file))?;
    }
    platform::flush(&fresh)?;
    drop(db);
    // A system may refuse to rename over an empty folder, or while a file in it is open.
    if dir.is_dir() {
        std::fs::remove_dir(dir)?;
    }
    let until = Instant::now() + LETS_GO;
    loop {
        match std::fs::rename(&fresh, dir) {
            Ok(()) => break,
            Err(error) if dir.exists() || Instant::now() > until => {
                remove(&fresh)?;
                return if dir.exists() { Ok(()) } else { Err(error) };
            }
            Err(_) => std::thread::sleep(LOOK_AGAIN),
        }
    }
    // If we stop before this is durable, at the next start there is no journal, and nothing was confirmed yet.
    platform::flush(&parent)?;
    remove_leftovers(&parent, &name);
    Ok(())
}

/// At each start sled writes a snapshot, as `snap.….generating`, and names it when it is whole. One that was never named is
/// taken for the newest snapshot by sled 0.34 all the same, and then for damage. It holds nothing that the log does not.
///
/// # Errors
/// [`JournalError::InUse`]: sled's lock is another process's, which may be writing one; [`JournalError::Io`]: it cannot be
/// removed.
pub(super) fn remove_half_snapshots(dir: &Path) -> Result<(), JournalError> {
    let io = |error: io::Error| JournalError::Io(format!("{}: {error}", dir.display()));
    let Ok(db) = File::options().read(true).write(true).open(dir.join("db")) else { return Ok(()) };
    match db.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(JournalError::InUse(dir.display().to_string())),
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::warn!(%name, "a snapshot of the journal was cut off; it is made anew");
            std::fs::remove_file(entry.path()).map_err(io)?;
        }
    }
    // What refuses it (Wine does, once it has done it) gives the lock back when the file is closed.
    let _ = db.unlock();
    Ok(())
}

/// Opens what this process had a lock on a moment ago.
pub(super) fn open_released(dir: &Path) -> Result<sled::Db, JournalError> {
    let until = Instant::now() + LETS_GO;
    loop {
        match open_db(dir) {
            Err(JournalError::InUse(_)) if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
            opened => return opened,
        }
    }
}

fn parent_of(dir: &Path) -> PathBuf {
    match dir.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn made_as(parent: &Path, name: &OsString, by: &str) -> PathBuf {
    let mut fresh = name.clone();
    fresh.push(MAKING);
    fresh.push(by);
    parent.join(fresh)
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What earlier starts did not finish. Nothing depends on it: what cannot be removed stays.
fn remove_leftovers(parent: &Path, name: &OsString) {
    let begin = made_as(Path::new(""), name, "");
    let begin = begin.to_string_lossy();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(begin.as_ref()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

//! Being a service: one instance per state folder, and word to whoever runs services, as far as the system has one.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::platform;
pub use crate::platform::{
    Background, Side, Starter, hold_pid_file, reopen_log, tell_alive, tell_ready, tell_stopping, to_background, watchdog_interval,
};

/// A start waits so long for whoever is ending on its folder.
const ENDING: Duration = Duration::from_secs(2);

/// The right to run on a state folder. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says that another agent has it, and which.
    ///
    /// # Errors
    /// Another agent runs on this folder, or the file cannot be made.
    pub fn take(path: &Path) -> Result<Lock, Failure> {
        let folder = path.parent().unwrap_or(path).display();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = platform::with_mode(&mut options, 0o600).open(path).map_err(|error| {
            Failure::config(format!(
                "The lock {} cannot be opened ({error}): correct the owner of the state folder.",
                path.display()
            ))
        })?;
        held(&file).map_err(|()| {
            let process = pid_in(path).map(|pid| format!(" (process {pid})")).unwrap_or_default();
            Failure::failed(format!(
                "An agent is running on {folder} already{process}: stop it first, or give this one a state folder of its own."
            ))
        })?;
        // For people only: what counts is the lock, which a killed process does not leave behind.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock { _file: file })
    }
}

/// Locks a file. Whoever holds it may be ending: the threads of a killed agent, or the version that it had on trial, which dies
/// a moment after it.
fn held(file: &File) -> Result<(), ()> {
    let end = Instant::now() + ENDING;
    while file.try_lock().is_err() {
        if Instant::now() >= end {
            return Err(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The process that a file names.
pub(crate) fn pid_in(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.lock");
        let held = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err().text;
        assert!(refused.contains("running") && refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(held);
        Lock::take(&path).unwrap();
    }
}

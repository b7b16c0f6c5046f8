//! Being a service: one instance per state folder, the background on hosts without systemd, and word to systemd where it is.
//!
//! Going to the background forks, so it happens before any thread or runtime exists.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use daemonize::{Daemonize, Outcome};
use rustix::fs::{FlockOperation, flock};
use sd_notify::NotifyState;

use crate::failure::Failure;

/// The right to run on a state folder. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says that another agent has it.
    ///
    /// # Errors
    /// Another agent runs on this folder, or the file cannot be made.
    pub fn take(path: &Path) -> Result<Lock, Failure> {
        let folder = path.parent().unwrap_or(path).display();
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(|error| {
            Failure::config(format!(
                "The lock {} cannot be opened ({error}): correct the owner of the state folder.",
                path.display()
            ))
        })?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Failure::failed(format!(
                "An agent is running on {folder} already: stop it first, or give this one a state folder of its own."
            ))
        })?;
        Ok(Lock { _file: file })
    }
}

/// How to go to the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Background {
    /// Gets the number of the process.
    pub pid_file: PathBuf,
    /// Gets the log.
    pub log_file: PathBuf,
}

/// Which of the two processes came back.
#[derive(Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that the person started; it ends now.
    Starter,
    /// The one that stays.
    Service,
}

/// Forks into the background. What can go wrong for the person who starts it is tried before, where he still reads it.
///
/// # Errors
/// A file cannot be opened, another agent holds the pid file, or the fork failed.
pub fn to_background(background: &Background) -> Result<Side, Failure> {
    let pid_file = absolute(&background.pid_file)?;
    let log_file = absolute(&background.log_file)?;
    let wrong = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        Failure::config(format!("The {what} {} cannot be used ({error}).", path.display()))
    };
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(&log_file)
        .map_err(|error| wrong("log file", &log_file, &error))?;
    let second = log.try_clone().map_err(|error| wrong("log file", &log_file, &error))?;
    let probe = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&pid_file)
        .map_err(|error| wrong("pid file", &pid_file, &error))?;
    flock(&probe, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Failure::failed(format!("Another agent holds the pid file {}: stop that one first.", pid_file.display())))?;
    drop(probe);
    match Daemonize::new().pid_file(&pid_file).working_directory("/").umask(0o077).stdout(log).stderr(second).execute() {
        Outcome::Parent(Ok(_)) => Ok(Side::Starter),
        Outcome::Child(Ok(_)) => Ok(Side::Service),
        Outcome::Parent(Err(error)) | Outcome::Child(Err(error)) => {
            Err(Failure::failed(format!("The agent could not go to the background ({error}): start it without --daemon.")))
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::usage(format!("{} ({error}).", path.display())))
}

/// Tells systemd that the agent is up. Does nothing elsewhere.
pub fn tell_ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells systemd that the agent stops.
pub fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells systemd that the agent is alive.
pub fn tell_alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// How often systemd wants to hear that the agent is alive, halved; `None` if it does not.
pub fn watchdog_interval() -> Option<std::time::Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
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
        assert!(Lock::take(&path).unwrap_err().text.contains("running"));
        drop(held);
        Lock::take(&path).unwrap();
    }
}

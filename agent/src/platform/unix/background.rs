//! The background on hosts without systemd.
//!
//! Going there forks, so it happens before any thread or runtime exists.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemonize::{Daemonize, Outcome};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};

use crate::daemon::pid_in;
use crate::failure::{Exit, Failure};
use crate::platform::Background;

/// The starter waits so long for the service to be ready; as long as systemd does (`TimeoutStartSec`).
const READY_LIMIT: Duration = Duration::from_secs(120);
/// What the service says to its starter once it is ready. Otherwise it says the kind of trouble and the reason.
const READY: &str = "ready";
/// The longest reason, bytes.
const REASON_MAX_BYTES: u64 = 4096;

/// Which of the two processes came back.
#[derive(Debug)]
pub enum Side {
    /// The one that the person started. The service is ready; it ends now.
    Starter,
    /// The one that stays, and the one who waits for its word.
    Service(Starter),
}

/// The process that started this one waits at the other end until it hears that this one is ready, or why not. Gone without a
/// word, it is told by the closed pipe.
#[derive(Debug)]
pub struct Starter(PipeWriter);

impl Starter {
    /// Lets the starter end well.
    pub fn ready(&self) {
        // Who has stopped waiting has told the person so.
        let _ = writeln!(&self.0, "{READY}");
    }

    /// Lets the starter end badly, for this reason.
    pub fn failed(&self, failure: &Failure) {
        let exit = match failure.exit {
            Exit::Config => "config",
            Exit::Usage => "usage",
            Exit::Failed => "failed",
        };
        let _ = writeln!(&self.0, "{exit} {}", failure.text);
    }
}

/// Forks into the background. The process that was started comes back when the service is ready ([`Starter`]). What can go
/// wrong for the person who starts it is tried before, where he still reads it.
///
/// # Errors
/// A file cannot be opened, another agent holds the pid file, the fork failed, or the service did not become ready: then the
/// text is the service's own reason.
pub fn to_background(background: &Background) -> Result<Side, Failure> {
    refuse_threads()?;
    let pid_file = absolute(&background.pid_file)?;
    let log_file = absolute(&background.log_file)?;
    let wrong = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        Failure::config(format!("The {what} {} cannot be used ({error}).", path.display()))
    };
    let log = open_log(&log_file).map_err(|error| wrong("log file", &log_file, &error))?;
    let second = log.try_clone().map_err(|error| wrong("log file", &log_file, &error))?;
    let probe = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&pid_file)
        .map_err(|error| wrong("pid file", &pid_file, &error))?;
    flock(&probe, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let process = pid_in(&pid_file).map(|pid| format!(", process {pid},")).unwrap_or_default();
        Failure::failed(format!("Another agent{process} holds the pid file {}: stop that one first.", pid_file.display()))
    })?;
    drop(probe);
    let (hears, tells) =
        std::io::pipe().map_err(|error| Failure::failed(format!("There is no pipe to the service ({error}).")))?;
    match Daemonize::new().pid_file(&pid_file).working_directory("/").umask(0o077).stdout(log).stderr(second).execute() {
        Outcome::Parent(Ok(_)) => {
            // Its own copy would keep the pipe open after the service has ended.
            drop(tells);
            wait(hears, &log_file).map(|()| Side::Starter)
        }
        Outcome::Child(Ok(_)) => Ok(Side::Service(Starter(tells))),
        Outcome::Parent(Err(error)) | Outcome::Child(Err(error)) => {
            Err(Failure::failed(format!("The agent could not go to the background ({error}): start it without --daemon.")))
        }
    }
}

/// Of a process with threads, a fork keeps one: locks that the others held would stay locked for ever.
fn refuse_threads() -> Result<(), Failure> {
    // A host without /proc cannot be asked; it gets the benefit of the doubt.
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    match threads {
        0 | 1 => Ok(()),
        more => Err(Failure::failed(format!(
            "The agent cannot go to the background with {more} threads: that is a fault of this program; start it without --daemon."
        ))),
    }
}

/// Waits for the service's word.
fn wait(hears: PipeReader, log_file: &Path) -> Result<(), Failure> {
    let log = log_file.display();
    let limit = Timespec::try_from(READY_LIMIT).expect("two minutes fit into a timespec");
    let silent = poll(&mut [PollFd::new(&hears, PollFlags::IN)], Some(&limit)) == Ok(0);
    if silent {
        let limit_s = READY_LIMIT.as_secs();
        return Err(Failure::failed(format!("The agent was not ready within {limit_s} s and goes on trying: look into {log}.")));
    }
    let mut said = String::new();
    // One line, or nothing if the service is gone.
    let read = BufReader::new(hears.take(REASON_MAX_BYTES)).read_line(&mut said);
    match (read, said.trim_end().split_once(' ')) {
        (Ok(1..), None) if said.trim_end() == READY => Ok(()),
        (Ok(1..), Some((exit, text))) => {
            let exit = match exit {
                "config" => Exit::Config,
                "usage" => Exit::Usage,
                _ => Exit::Failed,
            };
            Err(Failure { exit, text: text.to_owned() })
        }
        _ => Err(Failure::failed(format!("The agent ended before it was ready: look into {log}."))),
    }
}

/// Holds the pid file of a process that went to the background as another version of this program: with that program its lock
/// went. Whoever held it meanwhile would find the agent's own lock taken.
pub fn hold_pid_file(path: &Path) -> Option<File> {
    let file = OpenOptions::new().write(true).open(path).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

fn open_log(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Writes the log to a new file of that name from now on: the old one was moved away by whoever rotates logs.
///
/// # Errors
/// It cannot be opened; the old one is written to as before.
pub fn reopen_log(path: &Path) -> std::io::Result<()> {
    let file = open_log(path)?;
    rustix::stdio::dup2_stdout(&file)?;
    rustix::stdio::dup2_stderr(&file)?;
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::usage(format!("{} ({error}).", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_with_threads_never_forks() {
        // The harness runs every test in a thread of its own.
        let dir = tempfile::tempdir().unwrap();
        let background = Background { pid_file: dir.path().join("pid"), log_file: dir.path().join("log") };
        let refused = to_background(&background).unwrap_err();
        assert!(refused.text.contains("threads"), "{refused}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
    }

    #[test]
    fn the_starter_hears_ready_a_reason_or_that_the_service_is_gone() {
        let heard = |say: fn(&Starter)| {
            let (hears, tells) = std::io::pipe().unwrap();
            say(&Starter(tells));
            wait(hears, Path::new("/log"))
        };
        assert_eq!(heard(Starter::ready), Ok(()));
        let reason = Failure::config("The journal is damaged.");
        assert_eq!(heard(|starter| starter.failed(&Failure::config("The journal is damaged."))), Err(reason));
        assert!(heard(|_| {}).unwrap_err().text.contains("ended before it was ready"));
    }
}

//! The trial of a new version: both sides of it.
//!
//! The old version has stopped in order: links, disks and journal are closed, nothing is open. It starts the new one as its child
//! and waits for its end. The child joins the link, reads the disks that were ready before, and reports none, so that the broker
//! grants none: it can begin nothing, and to kill it at any moment costs nothing. Its proof is a word that only this trial knows,
//! written where the old version looks, and a good end. The old version alone makes a version the one that runs.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use semver::Version;

use super::launch::{self, Words};
use super::shelf::{Shelf, Trial};
use crate::daemon;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::platform;
use crate::ready::write_atomic;

/// The round trip from the broker to the disks is proven in this time, or the old version goes on.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The journal of the old version is closed in this time: its threads end by themselves.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at the child.
const LOOK: Duration = Duration::from_millis(50);
/// The order to stop reaches both processes within this time.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// systemd hears so often that this process lives; its watchdog waits for a minute.
const ALIVE: Duration = Duration::from_secs(5);

/// What comes after a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The new version, which has proven itself.
    New(PathBuf),
    /// The old one again.
    Old,
    /// Neither: the agent was asked to stop meanwhile.
    Stop,
}

/// Tries a version. `asked_to_stop` ends when the agent is asked to.
///
/// # Errors
/// The file of versions cannot be read or written: nothing was tried.
pub async fn hold(
    shelf: &Shelf,
    state: &StateDir,
    words: &Words,
    base: &Path,
    (version, disks): (&Version, Vec<String>),
    asked_to_stop: impl Future<Output = ()>,
) -> Result<Next, Failure> {
    closed(state).await?;
    let mut book = shelf.book()?;
    let program = match shelf.check(version) {
        Ok(program) => program,
        Err(why) => {
            book.fail(version, why);
            shelf.write(&book)?;
            return Ok(Next::Old);
        }
    };
    if book.is_worn_out(version) {
        book.fail(version, "it was tried again and again, and what came of it could not be written down");
        shelf.write(&book)?;
        return Ok(Next::Old);
    }
    let word = hex::encode(rand::random::<[u8; 16]>());
    // If we stop from here on, the next start finds a trial that nobody judged, and runs the old version.
    book.try_out(Trial { version: version.clone(), word: word.clone(), disks });
    shelf.write(&book)?;
    crate::fault::point("update_marked");
    tracing::info!(%version, "the new version is on trial");
    let mut asked_to_stop = std::pin::pin!(asked_to_stop);
    let outcome = match words.on_trial(&program, base).spawn() {
        Ok(child) => {
            let limit = crate::fault::shorter("TAXDISK_UPDATE_TRIAL_MS", LIMIT);
            watch(child, limit, asked_to_stop.as_mut()).await
        }
        Err(error) => Outcome::Failed(format!("it cannot be started ({error})")),
    };
    let said = std::fs::read_to_string(shelf.proof_file()).unwrap_or_default();
    let _ = std::fs::remove_file(shelf.proof_file());
    let proven = matches!(outcome, Outcome::Ended(status) if status.success()) && said == proof(&word, &version.to_string());
    // A service is stopped with all its processes: that the child ended then is no fault of the new version.
    let grace = if proven { Duration::ZERO } else { STOP_GRACE };
    let stop = matches!(outcome, Outcome::Stopped) || tokio::time::timeout(grace, asked_to_stop).await.is_ok();
    let why = match outcome {
        Outcome::Ended(_) if proven => {
            crate::fault::point("update_proven");
            book.choose(version.clone());
            // The switch. If we stop before it, the old version runs; after it, the new one.
            shelf.write(&book)?;
            crate::fault::point("update_switched");
            tracing::info!(%version, "the new version has proven itself and runs from now on");
            return Ok(if stop { Next::Stop } else { Next::New(program) });
        }
        _ if stop => {
            // Nobody's fault.
            book.call_off();
            shelf.write(&book)?;
            return Ok(Next::Stop);
        }
        Outcome::Stopped => unreachable!("that is a stop"),
        Outcome::Ended(status) if status.success() && said.starts_with(&word) => {
            format!("it says that it is another version ({})", said[word.len()..].trim())
        }
        Outcome::Ended(status) => ended(status),
        Outcome::Failed(why) => why,
    };
    tracing::error!(%version, "the new version did not work: {why}; the old one goes on, and this version is not tried again");
    book.fail(version, why);
    shelf.write(&book)?;
    crate::fault::point("update_failed");
    Ok(Next::Old)
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), platform::signal_of(status)) {
        (Some(0), _) => "it ended without a proof".to_owned(),
        (Some(code), _) => format!("it ended with exit code {code}; its last lines in the log say more"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

fn proof(word: &str, version: &str) -> String {
    format!("{word} {version}\n")
}

enum Outcome {
    Ended(ExitStatus),
    Failed(String),
    Stopped,
}

/// Waits for the child's end, and ends it at the limit. It has nothing open, so it may be killed at any moment.
async fn watch(mut child: Child, limit: Duration, mut asked_to_stop: Pin<&mut impl Future<Output = ()>>) -> Outcome {
    crate::fault::point("update_on_trial");
    let began = Instant::now();
    let mut told_alive = began;
    let outcome = loop {
        match child.try_wait() {
            Ok(Some(status)) => return Outcome::Ended(status),
            Ok(None) if began.elapsed() < limit => {}
            Ok(None) => {
                let text = format!("the way from the broker to the disks was not proven within {} s", limit.as_secs());
                break Outcome::Failed(text);
            }
            Err(error) => break Outcome::Failed(format!("it cannot be waited for ({error})")),
        }
        if told_alive.elapsed() >= ALIVE {
            daemon::tell_alive();
            told_alive = Instant::now();
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = asked_to_stop.as_mut() => break Outcome::Stopped,
        }
    };
    let _ = child.kill();
    // It ends now, and with its end journal and lock are free.
    let _ = child.wait();
    outcome
}

/// Waits until this process holds the journal no more. sled's lock goes with the last of its threads.
async fn closed(state: &StateDir) -> Result<(), Failure> {
    let began = Instant::now();
    let file = state.journal_dir().join("db");
    let free = || std::fs::File::open(&file).is_ok_and(|file| file.try_lock().is_ok());
    while !free() {
        if began.elapsed() > CLOSE_LIMIT {
            return Err(Failure::failed("The journal was not closed for the update: nothing was tried."));
        }
        tokio::time::sleep(LOOK / 10).await;
    }
    Ok(())
}

/// The side of the new version: what it has to prove.
#[derive(Debug, Clone)]
pub struct Duty {
    shelf: Shelf,
    trial: Trial,
}

impl Duty {
    /// This process is on trial. It ends with the process that tries it, whatever becomes of that.
    ///
    /// # Errors
    /// Nobody tries anything.
    pub fn take(shelf: &Shelf) -> Result<Duty, Failure> {
        // Asked for first: a parent that is gone already is noticed below.
        if let Err(error) = platform::end_with_parent() {
            tracing::warn!(%error, "the trial would outlive a version before that is killed");
        }
        let parent = platform::parent().map(|pid| pid.to_string());
        if parent.is_none() || parent != std::env::var(launch::TRIED_BY).ok() {
            return Err(Failure::failed("The process that tries this version is gone."));
        }
        let trial = shelf.book()?.trial.ok_or_else(|| Failure::failed("There is no trial of this version."))?;
        Ok(Duty { shelf: shelf.clone(), trial })
    }

    /// Ports of the disks that must be read well.
    pub fn disks(&self) -> &[String] {
        &self.trial.disks
    }

    /// Writes the proof.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn prove(&self) -> Result<(), Failure> {
        crate::fault::point("trial_proven");
        let text = proof(&self.trial.word, crate::version::text());
        write_atomic(&self.shelf.proof_file(), text.as_bytes(), 0o600)
            .map_err(|error| Failure::failed(format!("The proof of the trial cannot be written ({error}).")))
    }
}

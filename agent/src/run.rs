//! `taxdisk-agent run`: joins the link and the disks' workers, answers `status`, and stops without leaving anything half done.
//!
//! It passes messages on and decides nothing about jobs: what a disk may do is for `core`, what is said on the link for
//! [`crate::link::session`]. One thread for all of this (tokio, current thread), one per disk, one for the journal.

mod board;
mod control;
mod page;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use self::board::{Board, Happening};
use crate::clock::wall_clock;
use crate::config::Config;
use crate::daemon;
use crate::failure::Failure;
use crate::hotplug;
use crate::identity::{self, Enrolled, Identity, StateDir};
use crate::journal::{Journal, JournalError};
use crate::link::client::{Dials, INPUTS_MAX, LinkEvent, drive};
use crate::link::outbox::Entry;
use crate::link::session::{Input, Session, Speaker, Standing};
use crate::ports::Port;
use crate::secrets::Secrets;
use crate::status::{DiskStatus, Status};
use crate::worker::{Worker, WorkerConfig};

/// A running attempt may take this long to end when the agent stops. A disk's slowest answers take about a minute; what is not
/// through by then is settled by reading at the next start, as after a crash.
pub const STOP_LIMIT: Duration = Duration::from_secs(45);
/// After the workers have ended, the link may take this long to bring their last outcomes to the broker. They are durable anyway.
pub const LAST_REPORTS_LIMIT: Duration = Duration::from_secs(2);

/// How to run.
#[derive(Debug, Default)]
pub struct Options {
    /// Written once the agent is up.
    pub ready_file: Option<PathBuf>,
    /// Removed at the end.
    pub pid_file: Option<PathBuf>,
    /// Standard output and error go there; opened anew on SIGHUP.
    pub log_file: Option<PathBuf>,
    /// Waits for word that the agent is ready.
    pub starter: Option<daemon::Starter>,
}

/// Everything that was checked before the agent went to work (and, with `--daemon`, to the background).
pub struct Prepared {
    config: Config,
    state: StateDir,
    identity: Identity,
    dials: Dials,
}

/// Checks configuration, state folder, identity and TLS, where a person still reads what is wrong.
///
/// # Errors
/// What is wrong, in one sentence.
pub fn prepare(config: Config) -> Result<Prepared, Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let identity = Identity::require(&state)?;
    let dials = identity.broker(&config)?.dials()?;
    drop(daemon::Lock::take(&state.lock_file())?);
    Ok(Prepared { config, state, identity, dials })
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from running.
pub fn run(prepared: Prepared, options: &Options) -> Result<(), Failure> {
    let _lock = daemon::Lock::take(&prepared.state.lock_file())?;
    let journal = Journal::open(&prepared.state.journal_dir()).map_err(|error| match error {
        JournalError::InUse(_) => Failure::failed(format!("{error}.")),
        other => Failure::config(format!("{other}.")),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .map_err(|error| Failure::failed(format!("The runtime does not start ({error}): the system has no resources left.")))?;
    let result = runtime.block_on(serve(prepared, journal, options));
    // A request of a tunnel may still wait at the broker; nothing depends on its end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(pid_file) = &options.pid_file {
        // A stale pid file harms nobody: its lock is gone with this process.
        let _ = std::fs::remove_file(pid_file);
    }
    result
}

async fn serve(prepared: Prepared, journal: Journal, options: &Options) -> Result<(), Failure> {
    let Prepared { config, state, identity, dials } = prepared;
    let no_signals = |error: std::io::Error| Failure::failed(format!("Signals cannot be heard ({error})."));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    // Without a log file of its own, a hang-up ends the agent as it does other programs: its terminal is gone.
    let mut hangup = match &options.log_file {
        Some(_) => Some(signal(SignalKind::hangup()).map_err(no_signals)?),
        None => None,
    };
    let listener = control::listen(&state.socket())?;
    let (happenings, mut incoming) = mpsc::unbounded_channel();
    let (inputs, link_inputs) = mpsc::channel(INPUTS_MAX);
    let standing = Arc::new(Mutex::new(Standing::default()));

    let page = match config.status.page {
        Some(address) => Some(page::listen(address).await?),
        None => None,
    };
    let status = Status {
        page: page.as_ref().and_then(|page| page.local_addr().ok()).map(|address| address.to_string()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        agent: identity.enrolled.agent.to_string(),
        name: identity.enrolled.name.clone(),
        broker: dials.to_string(),
        started_at: wall_clock(),
        ..Status::default()
    };
    tracing::info!(agent = %identity.enrolled.agent, broker = %dials, disks = config.disk.len(), "the agent starts");
    let kept = state.clone();
    let link = tokio::spawn(drive(
        dials,
        session(identity, &journal),
        joins(&journal),
        link_inputs,
        standing.clone(),
        Box::new({
            let happenings = happenings.clone();
            move |event| {
                if let LinkEvent::Ledger(ledger) = &event {
                    remember_ledger(&kept, ledger);
                }
                drop(happenings.send(Happening::Link(event)));
            }
        }),
    ));
    let secrets = Secrets::of(&state);
    let workers = config.disk.iter().enumerate().map(|(index, disk)| {
        let happenings = happenings.clone();
        let events = Arc::new(move |event| drop(happenings.send(Happening::Worker(index, Box::new(event)))));
        let port = Port::new(&config, disk, &secrets).knowing(journal.clone());
        let (profile, recovery) = (port.setup.profile.name.clone(), port.recovery());
        let worker = WorkerConfig { port: disk.name(), exclusive: disk.exclusive, recovery };
        let status = DiskStatus { port: disk.name(), profile, ..DiskStatus::default() };
        (status, Worker::spawn(worker, Box::new(port), journal.clone(), events))
    });
    let mut board = Board::new(status, workers.collect(), journal, inputs.clone(), standing);
    let plugged = {
        let happenings = happenings.clone();
        move |index| drop(happenings.send(Happening::Plugged(index)))
    };
    let places: Vec<_> = config.disk.iter().map(|disk| config.setup(disk).place).collect();
    let _watches = hotplug::watch_all(&places, plugged);
    let page = page.map(|page| tokio::spawn(page::serve(page, happenings.clone())));
    let control = tokio::spawn(control::serve(listener, happenings));

    if let Some(file) = &options.ready_file {
        crate::ready::announce(file)
            .map_err(|error| Failure::config(format!("--ready-file {} cannot be written ({error}).", file.display())))?;
    }
    daemon::tell_ready();
    if let Some(starter) = &options.starter {
        starter.ready();
    }
    let mut watchdog = daemon::watchdog_interval().map(tokio::time::interval);
    loop {
        tokio::select! {
            happening = incoming.recv() => match happening {
                Some(happening) => board.take(happening),
                None => break,
            },
            () = alive(&mut watchdog) => daemon::tell_alive(),
            () = hung_up(&mut hangup) => reopen(options),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }

    tracing::info!("the agent stops: running attempts end first");
    daemon::tell_stopping();
    control.abort();
    if let Some(page) = page {
        page.abort();
    }
    let workers = board.stop();
    let mut stopping = tokio::task::spawn_blocking(move || stop_all(workers));
    // What the workers still say goes out while they end.
    let through = loop {
        tokio::select! {
            Some(happening) = incoming.recv() => board.take(happening),
            done = &mut stopping => break done.unwrap_or(false),
        }
    };
    if !through {
        tracing::warn!("a disk did not come back in time; its attempt is settled by reading at the next start");
    }
    let _ = tokio::time::timeout(LAST_REPORTS_LIMIT, async {
        while board.has_reports_under_way() {
            match incoming.recv().await {
                Some(happening) => board.take(happening),
                None => break,
            }
        }
    })
    .await;
    // Goodbye last: nothing can begin any more, so the broker may give the disks to others.
    let _ = inputs.send(Input::Leave).await;
    let _ = link.await;
    let _ = std::fs::remove_file(state.socket());
    tracing::info!("the agent has stopped");
    Ok(())
}

/// Keeps the id of a ledger that was restored from a backup. If we stop before it is written, the next join is told again; if it
/// cannot be written, this process goes on, and the ledger of before could be spoken to after a restart: the log says so.
fn remember_ledger(state: &StateDir, ledger: &str) {
    let stored = Identity::require(state)
        .and_then(|known| identity::store(state, &Enrolled { ledger: ledger.to_owned(), ..known.enrolled }));
    if let Err(failure) = stored {
        tracing::error!("the new id of the broker's ledger was not kept: {failure}");
    }
}

/// All workers at once, so that one hung disk does not use up the time of the others.
fn stop_all(workers: Vec<Worker>) -> bool {
    let waits: Vec<_> = workers.into_iter().map(|worker| std::thread::spawn(move || worker.stop(STOP_LIMIT))).collect();
    // Each is waited for, also after one that did not come back.
    let ends: Vec<bool> = waits.into_iter().map(|wait| wait.join().unwrap_or(false)).collect();
    ends.into_iter().all(|ended| ended)
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn reopen(options: &Options) {
    let Some(file) = &options.log_file else { return };
    match daemon::reopen_log(file) {
        Ok(()) => tracing::info!("the log goes on in a new file"),
        Err(error) => tracing::error!(%error, "the log file could not be opened anew; the old one is written to"),
    }
}

async fn alive(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// A session with an empty outbox.
pub(crate) fn bare_session(identity: Identity) -> Session {
    let speaker = Speaker {
        agent: identity.enrolled.agent,
        key: identity.key,
        ledger: identity.enrolled.ledger,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Session::new(speaker, rand::random())
}

fn session(identity: Identity, journal: &Journal) -> Session {
    let mut session = bare_session(identity);
    for (id, disk, frame) in journal.pending() {
        let text = serde_json::to_string(&frame).expect("frames are plain data: maps have text keys and nothing fails");
        session.handle(Input::Outbox(Entry { id, disk, text }), Duration::ZERO);
    }
    session
}

/// Join counters from the journal.
pub(crate) fn joins(journal: &Journal) -> crate::link::client::Joins {
    let journal = journal.clone();
    Arc::new(move || {
        let join = journal.join().map_err(|error| format!("{error}."))?;
        Ok((join, journal.head()))
    })
}

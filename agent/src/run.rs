//! `taxdisk-agent run`: joins the link and the disks' workers, answers `status`, and stops without leaving anything half done.
//!
//! It passes messages on and decides nothing about jobs: what a disk may do is for `core`, what is said on the link for
//! [`crate::link::session`]. One thread for all of this (tokio, current thread), one per disk, one for the journal.

mod board;
mod control;
mod page;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use semver::Version;
use tokio::sync::mpsc;

use self::board::{Board, Happening, Updates};
use crate::clock::{since_boot, wall_clock};
use crate::config::Config;
use crate::daemon;
use crate::failure::Failure;
use crate::hotplug;
use crate::identity::{self, Enrolled, Identity, StateDir};
use crate::journal::{Journal, JournalError};
use crate::link::client::{Dials, INPUTS_MAX, LinkEvent, drive};
use crate::link::outbox::Entry;
use crate::link::session::{Input, Session, Speaker, Standing};
use crate::platform::{Hangups, Stops};
use crate::ports::Port;
use crate::rotate;
use crate::secrets::Secrets;
use crate::status::{DiskStatus, Status};
use crate::update;
use crate::update::desk::Desk;
use crate::update::fetch::{Wanted, Way, fetch};
use crate::update::launch::{self, Words};
use crate::update::shelf::Shelf;
use crate::update::trial::{self, Next};
use crate::version;
use crate::worker::{Worker, WorkerConfig};

/// A running attempt may take this long to end when the agent stops. A disk's slowest answers take about a minute; what is not
/// through by then is settled by reading at the next start, as after a crash.
pub const STOP_LIMIT: Duration = Duration::from_secs(45);
/// After the workers have ended, the link may take this long to bring their last outcomes to the broker. They are durable anyway.
pub const LAST_REPORTS_LIMIT: Duration = Duration::from_secs(2);

/// How to run.
#[derive(Debug, Default)]
pub struct Options {
    /// What was asked, for another version of this program that is asked the same.
    pub words: Words,
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
    off: Option<String>,
    shelf: Shelf,
}

/// How an agent ended that nothing kept from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to, or it was on trial.
    Stopped,
    /// This process is to become the new version.
    New(PathBuf),
    /// This process is to become this version again.
    Again,
}

fn no_signals(error: std::io::Error) -> Failure {
    Failure::failed(format!("Signals cannot be heard ({error})."))
}

/// Why serving ended.
enum Done {
    Stopped,
    /// Everything is closed for this version, and these disks were ready.
    Swap(Version, Vec<String>),
    /// It was to be closed for a new version, and something was open after all.
    NotClosed,
}

/// Checks configuration, state folder, identity and TLS, where a person still reads what is wrong.
///
/// # Errors
/// What is wrong, in one sentence.
pub fn prepare(config: Config) -> Result<Prepared, Failure> {
    let state = StateDir::open(&config.state.dir)?;
    identity::seal_what_is_plain(&state)?;
    let identity = Identity::require(&state)?;
    let dials = identity.broker(&config)?.dials()?;
    drop(daemon::Lock::take(&state.lock_file())?);
    let settings = update::Settings::of(&config, &update::base()?)?;
    let shelf = Shelf::new(&state, &settings.keys);
    Ok(Prepared { config, state, identity, dials, off: settings.off, shelf })
}

/// Runs until SIGTERM or SIGINT, or until another version is to take its place.
///
/// # Errors
/// What kept it from running.
pub fn run(prepared: Prepared, options: &Options) -> Result<Ended, Failure> {
    taxdisk_telemetry::start(&prepared.config.traces, "taxdisk-agent", version::text())
        .map_err(|error| Failure::config(error.0))?;
    let ended = work(prepared, options);
    taxdisk_telemetry::flush();
    ended
}

fn work(prepared: Prepared, options: &Options) -> Result<Ended, Failure> {
    let lock = daemon::Lock::take(&prepared.state.lock_file())?;
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
    let result = runtime.block_on(async {
        let (state, shelf) = (prepared.state.clone(), prepared.shelf.clone());
        let mut signals = Stops::listen().map_err(no_signals)?;
        let done = serve(prepared, journal, options, &mut signals).await?;
        drop(lock);
        match done {
            Done::Stopped => Ok(Ended::Stopped),
            Done::NotClosed => Ok(Ended::Again),
            Done::Swap(version, disks) => {
                let tried = trial::hold(&shelf, &state, &options.words, &update::base()?, (&version, disks), signals.any()).await;
                Ok(match tried {
                    Ok(Next::New(program)) => Ended::New(program),
                    Ok(Next::Old) => Ended::Again,
                    Ok(Next::Stop) => Ended::Stopped,
                    Err(failure) => {
                        tracing::error!("the new version was not tried: {failure}");
                        Ended::Again
                    }
                })
            }
        }
    });
    // A request of a tunnel may still wait at the broker; nothing depends on its end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let (Some(pid_file), Err(_) | Ok(Ended::Stopped)) = (&options.pid_file, &result) {
        // A stale pid file harms nobody: its lock is gone with this process.
        let _ = std::fs::remove_file(pid_file);
    }
    result
}

async fn serve(prepared: Prepared, journal: Journal, options: &Options, signals: &mut Stops) -> Result<Done, Failure> {
    let Prepared { config, state, identity, dials, off, shelf } = prepared;
    let duty = match launch::stage() {
        launch::Stage::Trial => Some(trial::Duty::take(&shelf)?),
        _ => None,
    };
    // Without a log file of its own, a hang-up ends the agent as it does other programs: its terminal is gone.
    let mut hangup = match &options.log_file {
        Some(_) => Some(Hangups::listen().map_err(no_signals)?),
        None => None,
    };
    // On trial nobody gives it orders, and the page is the next one's.
    let listener = match duty {
        None => Some(control::listen(&state.socket())?),
        Some(_) => None,
    };
    let (happenings, mut incoming) = mpsc::unbounded_channel();
    let (inputs, link_inputs) = mpsc::channel(INPUTS_MAX);
    let standing = Arc::new(Mutex::new(Standing::default()));

    let page = match config.status.page.filter(|_| duty.is_none()) {
        Some(address) => Some(page::listen(address).await?),
        None => None,
    };
    let status = Status {
        page: page.as_ref().and_then(|page| page.local_addr().ok()).map(|address| address.to_string()),
        version: version::text().to_owned(),
        pid: std::process::id(),
        agent: identity.enrolled.agent.to_string(),
        name: identity.enrolled.name.clone(),
        broker: dials.to_string(),
        started_at: wall_clock(),
        ..Status::default()
    };
    let agent = identity.enrolled.agent.clone();
    tracing::info!(%agent, broker = %dials, disks = config.disk.len(), version = version::text(), "the agent starts");
    let stop_fetching = Arc::new(AtomicBool::new(false));
    let updates = Updates::new(
        Desk::new(off, shelf.clone(), version::parsed()),
        fetcher(dials.ways(), shelf.clone(), stop_fetching.clone(), happenings.clone()),
        duty.as_ref().map(|duty| duty.disks().to_vec()),
    );
    let on_trial = duty.is_some();
    let (kept, mut unconfirmed) = (state.clone(), duty.is_none().then_some(shelf));
    let link = tokio::spawn(drive(
        dials,
        session(identity, &journal),
        // On trial nothing is changed that outlives a failure.
        joins(&journal, &state, if on_trial { 0 } else { config.state.key_days }),
        since_boot,
        link_inputs,
        standing.clone(),
        Box::new({
            let happenings = happenings.clone();
            move |event| {
                match &event {
                    LinkEvent::Ledger(ledger) => remember_ledger(&kept, ledger),
                    LinkEvent::KeyTaken(key) => {
                        if let Err(failure) = rotate::adopt(&kept, key) {
                            tracing::error!("the new key was not kept, and is tried again at the next join: {failure}");
                        }
                    }
                    _ => {}
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
    let mut board = Board::new(status, workers.collect(), journal, inputs.clone(), standing, updates);
    let plugged = {
        let happenings = happenings.clone();
        move |index| drop(happenings.send(Happening::Plugged(index)))
    };
    let places: Vec<_> = config.disk.iter().map(|disk| config.setup(disk).place).collect();
    let _watches = hotplug::watch_all(&places, plugged);
    let page = page.map(|page| tokio::spawn(page::serve(page, happenings.clone())));
    let control = listener.map(|listener| tokio::spawn(control::serve(listener, happenings)));

    if let Some(file) = &options.ready_file {
        crate::ready::announce(file)
            .map_err(|error| Failure::config(format!("--ready-file {} cannot be written ({error}).", file.display())))?;
    }
    daemon::tell_ready();
    if let Some(starter) = &options.starter {
        starter.ready();
    }
    let mut watchdog = daemon::watchdog_interval().map(tokio::time::interval);
    let mut swap = None;
    loop {
        tokio::select! {
            happening = incoming.recv() => match happening {
                Some(happening) => {
                    let up = matches!(happening, Happening::Link(LinkEvent::Heard(_)));
                    board.take(happening);
                    if up && let Some(shelf) = unconfirmed.take() {
                        confirm(&shelf);
                    }
                    if let Some(duty) = &duty && board.is_proven() {
                        tracing::info!(version = version::text(), "the trial is through: the broker answers and the disks read well");
                        duty.prove()?;
                        break;
                    }
                }
                None => break,
            },
            () = until(board.updates_due().filter(|_| duty.is_none())) => {
                swap = board.look_at_updates();
                if swap.is_some() {
                    break;
                }
            }
            () = alive(&mut watchdog) => daemon::tell_alive(),
            () = hung_up(&mut hangup) => reopen(options),
            () = signals.any() => break,
        }
    }

    match &swap {
        Some((version, _)) => tracing::info!(%version, "the agent stops for a new version: nothing is open"),
        None => {
            tracing::info!("the agent stops: running attempts end first");
            daemon::tell_stopping();
        }
    }
    stop_fetching.store(true, Ordering::Relaxed);
    if let Some(control) = control {
        control.abort();
    }
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
            () = alive(&mut watchdog) => daemon::tell_alive(),
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
    if duty.is_none() {
        let _ = std::fs::remove_file(state.socket());
    }
    let open = board.has_open();
    Ok(match swap {
        // An assignment that came at the last moment may have begun. What is not through is settled by this version.
        Some(_) if !through || open => Done::NotClosed,
        Some((version, disks)) => {
            crate::fault::point("update_drained");
            Done::Swap(version, disks)
        }
        None => {
            tracing::info!("the agent has stopped");
            Done::Stopped
        }
    })
}

/// The broker has answered the version that runs: it stays, and what is older than the one before it goes.
fn confirm(shelf: &Shelf) {
    let confirmed = shelf.book().and_then(|mut book| {
        if book.starts > 0 && book.current.as_ref() == Some(&version::parsed()) {
            book.starts = 0;
            shelf.write(&book)?;
            let keep: Vec<&Version> = [&book.current, &book.previous].into_iter().flatten().collect();
            shelf.sweep(&keep);
        }
        Ok(())
    });
    if let Err(failure) = confirmed {
        tracing::warn!("that this version works was not noted: {failure}");
    }
}

/// Has a program fetched in a thread of its own, and what came of it told to the main loop.
fn fetcher(
    ways: Vec<Way>,
    shelf: Shelf,
    stop: Arc<AtomicBool>,
    happenings: mpsc::UnboundedSender<Happening>,
) -> Box<dyn Fn(Wanted) + Send> {
    Box::new(move |wanted| {
        let (ways, shelf, stop) = (ways.clone(), shelf.clone(), stop.clone());
        let (told, version) = (happenings.clone(), wanted.manifest.version.clone());
        let run = move || {
            let result = fetch(&ways, &shelf, &wanted, &stop);
            // The main loop has ended: nobody waits for it.
            let _ = told.send(Happening::Fetched(wanted.manifest.version.clone(), result));
        };
        if let Err(error) = std::thread::Builder::new().name("update".into()).spawn(run) {
            let _ = happenings.send(Happening::Fetched(version, Err(format!("There is no thread for it ({error})."))));
        }
    })
}

async fn until(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due.saturating_sub(since_boot())).await,
        None => std::future::pending().await,
    }
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

async fn hung_up(hangup: &mut Option<Hangups>) {
    match hangup {
        Some(hangups) => hangups.next().await,
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
        version: version::text().to_owned(),
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

/// Join counters from the journal, and keys from the state folder: one that is older than so many days gets a successor (0:
/// never).
pub(crate) fn joins(journal: &Journal, state: &StateDir, key_days: u32) -> crate::link::client::Joins {
    let (journal, state) = (journal.clone(), state.clone());
    let next = move |journal: &Journal, state: &StateDir| {
        if let Err(failure) = rotate::begin_if_due(state, key_days) {
            tracing::error!("no new key could be made; the present one stays: {failure}");
        }
        let others = rotate::others(state).map_err(|failure| failure.text)?;
        let join = journal.join().map_err(|error| format!("{error}."))?;
        Ok((join, journal.head(), others))
    };
    Arc::new(move || {
        let (journal, state) = (journal.clone(), state.clone());
        Box::pin(async move {
            // It waits for the drive.
            let joined = tokio::task::spawn_blocking(move || next(&journal, &state)).await;
            joined.unwrap_or_else(|_| Err("The journal's thread has ended.".to_owned()))
        })
    })
}

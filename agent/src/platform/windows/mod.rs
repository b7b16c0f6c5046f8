//! Windows: files with access lists, `FlushFileBuffers`, a named pipe, a service of the service control manager.

mod control;
mod log;
pub mod service;

pub use control::{Listener, Stream, exchange, listen};
pub use log::log_writer;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

use super::{Background, Room, access};
use crate::failure::Failure;

pub use taxdisk_win32::NoEcho;
#[cfg(feature = "fault-points")]
pub use taxdisk_win32::end_now;

/// Configuration of this PC.
pub const DEFAULT_CONFIG: &str = r"C:\ProgramData\taxdisk\agent.toml";
/// State of the service.
pub const DEFAULT_STATE_DIR: &str = r"C:\ProgramData\taxdisk\state";
/// What starts the service.
pub const START: &str = "sc start taxdisk-agent";
/// A port, for people.
pub const PORT_EXAMPLE: &str = "COM3";

/// A file that another program (a virus scanner, a backup) has open for a moment can be replaced a moment later.
const REPLACE_TRIES: u32 = 25;
const REPLACE_PAUSE: Duration = Duration::from_millis(20);
/// Begins a file that DPAPI sealed.
const SEALED: &str = "taxdisk-dpapi-1 ";

/// Makes a folder, and those above it, for the system, administrators and the account that owns it.
///
/// # Errors
/// As the file system says.
pub fn private_folder(path: &Path) -> io::Result<()> {
    let fresh = !path.exists();
    std::fs::create_dir_all(path)?;
    // Files inherit the list of their folder: it is set where the folder is made, before anything is in it.
    if fresh { taxdisk_win32::set_access_list(path, &access::private()) } else { Ok(()) }
}

/// Files get the access list of their folder.
pub fn with_mode(options: &mut OpenOptions, _mode: u32) -> &mut OpenOptions {
    options
}

/// Before anything is in a file: one that is for its owner alone gets the list of its own. That of its folder says the
/// same, but a
/// file system may inherit nothing.
///
/// # Errors
/// As the system says.
pub fn protect(path: &Path, mode: u32) -> io::Result<()> {
    if mode & 0o077 == 0 { taxdisk_win32::set_access_list(path, &access::private()) } else { Ok(()) }
}

/// Windows has no modes.
pub fn mode_of(_path: &Path) -> Option<u32> {
    None
}

/// Makes a file durable (`FlushFileBuffers`, which wants a handle that may write). A folder has nothing to flush: see the
/// module's
/// words on names.
///
/// # Errors
/// As the file system says.
pub fn flush(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    OpenOptions::new().read(true).write(true).open(path)?.sync_all()
}

/// Puts a file into the place of another.
///
/// # Errors
/// As the file system says.
pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 1..REPLACE_TRIES {
        match std::fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => std::thread::sleep(REPLACE_PAUSE),
            done => return done,
        }
    }
    std::fs::rename(from, to)
}

/// Makes the name of a file durable that was just made or renamed.
///
/// # Errors
/// As the file system says.
pub fn settle_name(path: &Path) -> io::Result<()> {
    flush(path)
}

/// Refuses a file or folder whose access list lets in others than the system, administrators and its owner.
///
/// # Errors
/// It does, or cannot be read; the text holds the command that mends it.
pub fn refuse_wide(path: &Path, _allowed: u32) -> Result<(), Failure> {
    let shown = path.display();
    let list = taxdisk_win32::access_list(path)
        .map_err(|error| Failure::config(format!("The access list of {shown} cannot be read ({error}).")))?;
    let why = match access::stranger(&list) {
        Ok(None) => return Ok(()),
        Ok(Some(account)) => format!("it lets in {account}"),
        Err(why) => why,
    };
    Err(Failure::config(format!(
        "Other users of this PC can get at {shown} ({why}): as an administrator run `icacls \"{shown}\" /inheritance:r /grant:r \
         *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F *{}:(OI)(CI)F *S-1-3-4:(OI)(CI)F`, and change what was in it if others may have seen it.",
        access::SERVICE
    )))
}

/// A secret as it stands in its private file: sealed by DPAPI for this machine.
///
/// # Errors
/// As the system says.
pub fn seal(text: &str) -> io::Result<String> {
    Ok(format!("{SEALED}{}\n", STANDARD.encode(taxdisk_win32::seal(text.as_bytes())?)))
}

/// What stands in the plain was written by a person, and is sealed when it is written next.
pub fn is_to_seal(_: &str) -> bool {
    false
}

/// The other way round. Text that is not sealed is given as it is: a person wrote it.
///
/// # Errors
/// It was sealed on another machine, or changed.
pub fn unseal(text: String) -> io::Result<String> {
    let Some(sealed) = text.strip_prefix(SEALED) else { return Ok(text) };
    let wrong =
        |error: &dyn std::fmt::Display| io::Error::other(format!("it was made on another machine, or is damaged: {error}"));
    let bytes = STANDARD.decode(sealed.trim()).map_err(|error| wrong(&error))?;
    let plain = taxdisk_win32::unseal(&bytes).map_err(|error| wrong(&error))?;
    String::from_utf8(plain).map_err(|error| wrong(&error))
}

/// What an administrator makes in the state folder inherits its list, which lets the service in.
pub fn acts_for_others() -> bool {
    false
}

/// Nothing to give.
pub fn give_back(_folder: &Path) {}

/// Room on the file system of a folder.
///
/// # Errors
/// As the file system says.
pub fn room(folder: &Path) -> io::Result<Room> {
    // Files are not counted.
    Ok(Room { free_bytes: taxdisk_win32::free_bytes(folder)?, files: 0, free_files: 0 })
}

/// The proxy that the system names, and what is reached without it.
pub fn system_proxy() -> Option<(String, String)> {
    taxdisk_win32::proxy()
}

/// Id of this installation of Windows (`MachineGuid`).
pub fn machine_id() -> Option<String> {
    taxdisk_win32::machine_setting(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid")
}

/// Name and build of the system.
pub fn host_texts() -> (String, String) {
    let setting =
        |name| taxdisk_win32::machine_setting(r"SOFTWARE\Microsoft\Windows NT\CurrentVersion", name).unwrap_or_default();
    (format!("PRETTY_NAME=\"{}\"\n", setting("ProductName")), setting("CurrentBuild"))
}

/// Whether this is how a serial port is named; the text says how.
///
/// # Errors
/// It is not.
pub fn check_port_name(name: &str) -> Result<(), String> {
    let number = name.strip_prefix(r"\\.\").unwrap_or(name).strip_prefix("COM");
    if number.and_then(|number| number.parse::<u16>().ok()).is_some_and(|number| number > 0) {
        return Ok(());
    }
    Err(format!("[[disk]] port = {name:?} must be the name of a port such as {PORT_EXAMPLE}, as the device manager shows it."))
}

/// Time since the first look, sleep counted (`QueryPerformanceCounter`). Only differences of it are used.
pub fn since_boot() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

/// Time since boot, sleep not counted. Only differences of it are used.
pub fn awake() -> Duration {
    taxdisk_win32::awake()
}

/// Nothing to tell the system.
pub fn quiet_idle_threads() {}

/// Why this system's agents take no updates.
pub fn no_updates() -> Option<&'static str> {
    Some("on Windows a process cannot become another program: the installer updates it")
}

/// Windows cannot do it.
pub fn become_program(_command: &mut Command) -> io::Error {
    io::ErrorKind::Unsupported.into()
}

/// Windows cannot do it; nothing is tried there.
///
/// # Errors
/// Always.
pub fn end_with_parent() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows does not tell it.
pub fn parent() -> Option<u32> {
    None
}

/// There are none.
pub fn signal_of(_status: ExitStatus) -> Option<i32> {
    None
}

/// What ends the agent from outside: the service control manager, or whoever closes its console.
#[derive(Debug)]
pub struct Stops {
    c: CtrlC,
    r#break: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Stops {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system has nothing to listen with.
    pub fn listen() -> io::Result<Stops> {
        Ok(Stops { c: ctrl_c()?, r#break: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// Ends when the agent is to stop.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.c.recv() => {}
            _ = self.r#break.recv() => {}
            _ = self.close.recv() => {}
            // A service lives on while users sign out and is told of the end by its own way.
            _ = self.shutdown.recv(), if !service::is_service() => {}
            () = service::stop_wanted() => {}
        }
    }
}

/// There is no such word on Windows; the log rotates by itself.
#[derive(Debug)]
pub struct Hangups(());

impl Hangups {
    /// Never hears anything.
    ///
    /// # Errors
    /// None here.
    pub fn listen() -> io::Result<Hangups> {
        Ok(Hangups(()))
    }

    /// Never ends.
    pub async fn next(&mut self) {
        std::future::pending().await
    }
}

/// Which of the two processes came back. There is one.
#[derive(Debug)]
pub enum Side {
    /// The one that the person started.
    Starter,
    /// The one that stays.
    Service(Starter),
}

/// Nobody waits for it.
#[derive(Debug)]
pub enum Starter {}

impl Starter {
    /// Lets the starter end well.
    pub fn ready(&self) {
        match *self {}
    }

    /// Lets the starter end badly, for this reason.
    pub fn failed(&self, _failure: &Failure) {
        match *self {}
    }
}

/// Refuses: what runs without a person is a service.
///
/// # Errors
/// Always.
pub fn to_background(_background: &Background) -> Result<Side, Failure> {
    Err(Failure::usage("--daemon is for Unix: run `taxdisk-agent install --service` as an administrator."))
}

/// There is none.
pub fn hold_pid_file(_path: &Path) -> Option<std::fs::File> {
    None
}

/// The log rotates by itself.
///
/// # Errors
/// None here.
pub fn reopen_log(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Tells the service control manager that the agent is up. Does nothing where it did not start it.
pub fn tell_ready() {
    service::tell_running();
}

/// Tells it that the agent stops.
pub fn tell_stopping() {
    service::tell_stopping();
}

/// While the agent stops: tells it that it goes on.
pub fn tell_alive() {
    service::tell_alive();
}

/// How often it is told.
pub fn watchdog_interval() -> Option<Duration> {
    service::is_service().then_some(Duration::from_secs(2))
}

/// Installs and starts the service. Gives whether it did.
///
/// # Errors
/// Windows refuses, usually to somebody who is no administrator.
pub fn start_service(config: Option<&Path>, state_dir: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<bool, Failure> {
    say("Starting the service …");
    service::install(config, state_dir, true)?;
    Ok(true)
}

/// How to start it where it was not to be started.
pub fn how_to_start(file: &Path, _state: &Path) -> String {
    format!("Start it as an administrator: taxdisk-agent install --service --config \"{}\"", file.display())
}

//! Unix: files with modes, `fsync`, signals, a Unix socket, a service of systemd or of one's own.

mod background;
mod control;
mod seal;
mod systemd;

pub use background::{Side, Starter, hold_pid_file, reopen_log, to_background};
pub use control::{Listener, Stream, exchange, listen};
pub use seal::{is_to_seal, seal, unseal};
pub use systemd::{how_to_start, start_service, tell_alive, tell_ready, tell_stopping, watchdog_interval};

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::Room;
use crate::failure::Failure;

/// Configuration of this PC.
pub const DEFAULT_CONFIG: &str = "/etc/taxdisk/agent.toml";
/// State of the service.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/taxdisk-agent";
/// What starts the service.
pub const START: &str = "systemctl start taxdisk-agent";
/// A port, for people.
pub const PORT_EXAMPLE: &str = "/dev/ttyUSB0";
/// How late an idle thread of sled may look for work, nanoseconds.
pub const IDLE_SLACK_NS: u64 = 60_000_000_000;

/// Makes a folder, and those above it, for this user alone (0700).
///
/// # Errors
/// As the file system says.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A file that is made gets these modes.
pub fn with_mode(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    options.mode(mode)
}

/// Before anything is in a file: nobody reads it but whom these modes let. Here it was made with them.
///
/// # Errors
/// None here.
pub fn protect(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Modes of a file that is there.
pub fn mode_of(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o777)
}

/// Makes a file or folder durable: content, or names.
///
/// # Errors
/// As the file system says.
pub fn flush(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Puts a file into the place of another.
///
/// # Errors
/// As the file system says.
pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Makes the name of a file durable that was just made or renamed.
///
/// # Errors
/// As the file system says.
pub fn settle_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    flush(folder)
}

/// Refuses a file or folder that others than its owner can use.
///
/// # Errors
/// Its modes are wider, or its owner is neither this user nor root; the text holds the command that mends it.
pub fn refuse_wide(path: &Path, allowed: u32) -> Result<(), Failure> {
    let shown = path.display();
    let found = std::fs::metadata(path).map_err(|error| Failure::config(format!("{shown} cannot be read ({error}).")))?;
    let mode = found.permissions().mode() & 0o7777;
    if mode & !allowed & 0o777 != 0 {
        return Err(Failure::config(format!(
            "{shown} has mode {mode:04o}, so other users of this PC can get at it: run `chmod {allowed:04o} {shown}`, and change what was in it if others may have seen it."
        )));
    }
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user && found.uid() != 0 && user != 0 {
        return Err(Failure::config(format!(
            "{shown} belongs to user {}, the agent runs as user {user}: run `chown` on it.",
            found.uid()
        )));
    }
    Ok(())
}

/// This process may leave files that the service's account cannot read (it is root).
pub fn acts_for_others() -> bool {
    rustix::process::geteuid().is_root()
}

/// How deep the state folder is: the journal keeps its files two folders below it.
const GIVE_DEPTH: u8 = 4;

/// Gives what root made in a folder to the folder's owner. Does nothing for other users, and nothing to a folder of root's.
pub fn give_back(folder: &Path) {
    if !acts_for_others() {
        return;
    }
    let Ok(found) = std::fs::metadata(folder) else { return };
    if found.uid() != 0 {
        give(folder, found.uid(), found.gid(), GIVE_DEPTH);
    }
}

/// Of what is root's alone in a folder. A link is given itself, never what it points to; a file with other names stays, since
/// the account could have made it a name of something else.
fn give(folder: &Path, user: u32, group: u32, depth: u8) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(found)) = (entry.path(), entry.metadata()) else { continue };
        if found.uid() == 0
            && (found.is_dir() || found.nlink() == 1)
            && let Err(error) = std::os::unix::fs::lchown(&path, Some(user), Some(group))
        {
            tracing::warn!(path = %path.display(), %error, "the service's account could not be given this file");
        }
        if found.is_dir() {
            give(&path, user, group, depth);
        }
    }
}

/// Room on the file system of a folder.
///
/// # Errors
/// As the file system says.
pub fn room(folder: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(folder)?;
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    Ok(Room { free_bytes, files: found.f_files, free_files: found.f_favail })
}

/// Id of this machine, as systemd's machine-id(5) tells it.
pub fn machine_id() -> Option<String> {
    let id = std::fs::read_to_string("/etc/machine-id").ok()?;
    let id = id.trim();
    (id.len() == 32).then(|| id.to_owned())
}

/// Name and version of the system, as it tells them (os-release(5)), and of its kernel.
pub fn host_texts() -> (String, String) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    (read("/etc/os-release"), read("/proc/sys/kernel/osrelease"))
}

/// Whether this is how a serial port is named; the text says how.
///
/// # Errors
/// It is not.
pub fn check_port_name(name: &str) -> Result<(), String> {
    if Path::new(name).is_absolute() {
        return Ok(());
    }
    Err(format!("[[disk]] port = {name:?} must be the full path of a device file such as {PORT_EXAMPLE}."))
}

/// Time since boot, sleep counted (`CLOCK_BOOTTIME`).
pub fn since_boot() -> Duration {
    clock(rustix::time::ClockId::Boottime)
}

/// Time since boot, sleep not counted (`CLOCK_MONOTONIC`).
pub fn awake() -> Duration {
    clock(rustix::time::ClockId::Monotonic)
}

fn clock(id: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(id);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Threads that this one starts and that look for work without need wake seldom: with this slack the kernel lets them sleep until
/// the processor is awake for another reason.
pub fn quiet_idle_threads() {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(IDLE_SLACK_NS));
}

/// Where lines of the log go: standard error.
pub fn log_writer() -> BoxMakeWriter {
    BoxMakeWriter::new(io::stderr)
}

/// Ends this process as a power cut would.
#[cfg(feature = "fault-points")]
pub fn end_now() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The signal is on its way; nothing after this point may run.
    loop {
        std::thread::park();
    }
}

/// Unix names proxies by the environment alone.
pub fn system_proxy() -> Option<(String, String)> {
    None
}

/// Why this system's agents take no updates, if so.
pub fn no_updates() -> Option<&'static str> {
    None
}

/// This process becomes that program. It comes back only if it cannot.
pub fn become_program(command: &mut Command) -> io::Error {
    command.exec()
}

/// This process ends with the one that started it.
///
/// # Errors
/// The system cannot do it.
pub fn end_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(Into::into)
}

/// The process that started this one, if it lives.
pub fn parent() -> Option<u32> {
    rustix::process::getppid().and_then(|pid| u32::try_from(pid.as_raw_pid()).ok())
}

/// The signal that ended a process.
pub fn signal_of(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// What is typed at the terminal is not shown until this is dropped.
#[derive(Debug)]
pub struct NoEcho(Termios);

impl NoEcho {
    /// Begins.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub fn begin() -> io::Result<NoEcho> {
        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes -= LocalModes::ECHO;
        let restore = NoEcho(before);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(restore)
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// What ends the agent from outside: SIGTERM, SIGINT.
#[derive(Debug)]
pub struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system has nothing to listen with.
    pub fn listen() -> io::Result<Stops> {
        Ok(Stops { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ends when the agent is to stop.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Whoever rotates logs has moved the file: SIGHUP.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system has nothing to listen with.
    pub fn listen() -> io::Result<Hangups> {
        Ok(Hangups(signal(SignalKind::hangup())?))
    }

    /// The next one.
    pub async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_clock_of_waking_time_never_runs_ahead_and_the_machine_has_room() {
        let (awake, boot) = (awake(), since_boot());
        assert!(awake > Duration::ZERO && awake <= boot, "{awake:?} {boot:?}");
        assert!(room(Path::new("/")).unwrap().files > 0);
    }

    #[test]
    fn a_port_is_a_path() {
        assert!(check_port_name(PORT_EXAMPLE).is_ok());
        assert!(check_port_name("ttyUSB0").unwrap_err().contains("full path"));
    }
}

//! A real pseudo-terminal in front of the device: one thread that reads, lets the device think, writes, and waits.
//!
//! The terminal is raw before a client can open it, so nothing is echoed or translated. No slave is kept open: without a
//! client the master reports a hang-up, what the device says then is lost as on a real cable, and nothing stale waits for
//! the next client. Unplugging closes the master: the client gets its hang-up at once.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};

use super::rig::Shared;

/// How often to look for a client while there is none: the kernel cannot wake us for an opening.
const NO_CLIENT_POLL: Duration = Duration::from_millis(4);
/// Bytes read at once: more than any frame of type 0x10.
const READ_BYTES: usize = 4096;
/// Answers that a client does not read. A real line has no memory at all; beyond this they are dropped.
const MAX_UNREAD_BYTES: usize = 1 << 20;

const SLAVE_FLAGS: OFlags = OFlags::RDWR.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A pseudo-terminal and the link that points to it.
struct Pty {
    master: OwnedFd,
    slave_path: PathBuf,
    link: Option<PathBuf>,
}

impl Pty {
    fn open(link: Option<&Path>) -> io::Result<Pty> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave_path = PathBuf::from(std::ffi::OsString::from_vec(ptsname(&master, Vec::new())?.into_bytes()));
        // Raw before anybody can open it. The setting stays when this slave is closed, as long as the master is open.
        let slave = open(&slave_path, SLAVE_FLAGS, Mode::empty())?;
        let mut settings = tcgetattr(&slave)?;
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
        drop(slave);
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        let pty = Pty { master, slave_path, link: link.map(Path::to_owned) };
        pty.make_link()?;
        Ok(pty)
    }

    fn make_link(&self) -> io::Result<()> {
        let Some(link) = &self.link else { return Ok(()) };
        if std::fs::symlink_metadata(link).is_ok_and(|metadata| !metadata.is_symlink()) {
            let text = format!("{} exists and is no link: choose another path for the simulated port", link.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        // Made beside and moved over: a client never finds half a link.
        let mut beside = link.clone().into_os_string();
        beside.push(".new");
        let _ = std::fs::remove_file(&beside);
        std::os::unix::fs::symlink(&self.slave_path, &beside)?;
        std::fs::rename(&beside, link)
    }

    fn port(&self) -> PathBuf {
        self.link.clone().unwrap_or_else(|| self.slave_path.clone())
    }

    /// Everything that waits to be read. `None` = no client is there any more.
    fn read(&self) -> Option<Vec<u8>> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; READ_BYTES]);
        loop {
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(0) => return (!bytes.is_empty()).then_some(bytes),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Some(bytes),
                // EIO: the last client closed. What he sent before still counts.
                Err(_) => return (!bytes.is_empty()).then_some(bytes),
            }
        }
    }

    /// Writes what the terminal takes and keeps the rest.
    fn write(&self, pending: &mut Vec<u8>) {
        while !pending.is_empty() {
            match rustix::io::write(&self.master, pending) {
                Ok(count) => drop(pending.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => pending.clear(),
            }
        }
    }

    /// Drops what the last client did not read, so that the next one finds nothing stale. Only the slave's own side can
    /// do that: the kernel keeps those bytes beyond the close. A client who came meanwhile has not asked anything yet.
    fn forget_unread(&self) {
        if let Ok(slave) = open(&self.slave_path, SLAVE_FLAGS, Mode::empty()) {
            let _ = tcflush(&slave, QueueSelector::IFlush);
        }
    }

    fn has_client(&self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let asked = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        asked.is_ok() && !fds[0].revents().contains(PollFlags::HUP)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if let Some(link) = &self.link
            && std::fs::read_link(link).is_ok_and(|target| target == self.slave_path)
        {
            let _ = std::fs::remove_file(link);
        }
    }
}

/// Serves the line until it is told to stop. Runs on a thread of its own.
pub(super) fn run(shared: &Arc<Shared>, link: Option<&Path>, mut wake: UnixStream) {
    let mut pty: Option<Pty> = None;
    let mut pending: Vec<u8> = Vec::new();
    let mut had_client = false;
    loop {
        if settle_line(shared, link, &mut pty, &mut pending) {
            return;
        }
        // Read even without a client: he may have written and gone. And read before looking for him: whoever's bytes are
        // obeyed here must count as present when they are answered.
        let input = pty.as_ref().and_then(Pty::read).unwrap_or_default();
        let client = pty.as_ref().is_some_and(Pty::has_client);
        if !client {
            pending.clear();
        }
        let (said, wake_at) = {
            let mut rig = shared.lock();
            let now = shared.now();
            (rig.turn(&input, now), rig.wake_at())
        };
        match &pty {
            Some(pty) if client => {
                pending.extend(said);
                if pending.len() > MAX_UNREAD_BYTES {
                    pending.clear();
                }
                pty.write(&mut pending);
            }
            Some(pty) if had_client => pty.forget_unread(),
            _ => {}
        }
        if had_client != client {
            shared.lock().line.client = client;
        }
        had_client = client;
        wait(shared, pty.as_ref().filter(|_| client), pty.is_some(), !pending.is_empty(), wake_at, &wake);
        let mut drained = [0; 64];
        while wake.read(&mut drained).is_ok_and(|count| count > 0) {}
    }
}

/// Makes the line what is wanted of it. `true` = the thread ends.
fn settle_line(shared: &Shared, link: Option<&Path>, pty: &mut Option<Pty>, pending: &mut Vec<u8>) -> bool {
    let mut rig = shared.lock();
    let stop = rig.line.want_stop;
    if pty.is_some() && (stop || !rig.line.want_plugged) {
        pending.clear();
        *pty = None;
        let cut_power_at = rig.line.cut_power.then(|| shared.now());
        rig.line_lost(cut_power_at);
        rig.line.client = false;
        rig.line.plugged = false;
        rig.line.port = None;
        shared.announce();
    } else if pty.is_none() && rig.line.want_plugged && !stop {
        match Pty::open(link) {
            Ok(opened) => {
                rig.line_back();
                rig.line.plugged = true;
                rig.line.port = Some(opened.port());
                *pty = Some(opened);
            }
            Err(error) => {
                rig.line.want_plugged = false;
                rig.line.error = Some(error.to_string());
            }
        }
        shared.announce();
    }
    if stop {
        rig.line.stopped = true;
        shared.announce();
    }
    stop
}

/// Sleeps until the client, the device or somebody else wants something.
fn wait(shared: &Shared, client: Option<&Pty>, plugged: bool, writes: bool, wake_at: Option<Duration>, wake: &UnixStream) {
    let due = wake_at.map(|at| at.saturating_sub(shared.now()));
    let look = (plugged && client.is_none()).then_some(NO_CLIENT_POLL);
    let timeout = due.into_iter().chain(look).min().map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let flags = if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
    fds.extend(client.map(|pty| PollFd::new(&pty.master, flags)));
    // An interrupted wait only means to look again.
    let _ = poll(&mut fds, timeout.as_ref());
}

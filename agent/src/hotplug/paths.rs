//! Device files of serial ports: the kernel tells of changes in their folders (inotify). Nothing wakes as long as nothing
//! changes, and nothing is opened.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Folders that come and go faster than they can be watched are left after so many tries.
const FOLDER_TRIES: u32 = 16;

/// What a path leads to: device, file, and who may open it. A device that is plugged in again has another file even under the
/// old name, and udev gives it its group a moment later.
type Print = Option<[u64; 6]>;

fn print(path: &Path) -> Print {
    let found = std::fs::metadata(path).ok()?;
    Some([found.rdev(), found.dev(), found.ino(), found.mode().into(), found.uid().into(), found.gid().into()])
}

/// The configured paths, and where they led at the last look.
#[derive(Debug)]
struct Prints {
    paths: Vec<(usize, PathBuf)>,
    last: Vec<Print>,
}

impl Prints {
    fn new(paths: Vec<(usize, PathBuf)>) -> Prints {
        let last = paths.iter().map(|(_, path)| print(path)).collect();
        Prints { paths, last }
    }

    /// The indices of paths that lead elsewhere than at the last look.
    fn changed(&mut self) -> Vec<usize> {
        let mut changed = Vec::new();
        for ((index, path), last) in self.paths.iter().zip(&mut self.last) {
            let now = print(path);
            if now != *last {
                *last = now;
                changed.push(*index);
            }
        }
        changed
    }

    /// Asks to be told of changes in the nearest folder above each path that is there: `by-id` comes and goes with its last link.
    /// A folder that is watched already is not watched twice.
    fn watch(&self, events: &OwnedFd) -> io::Result<()> {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ATTRIB | WatchFlags::ONLYDIR;
        let flags = flags | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        for (_, path) in &self.paths {
            let mut watched = None;
            for _ in 0..FOLDER_TRIES {
                let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) else { break };
                // A nearer one that came before this one was watched is found by the next try.
                if watched == Some(folder) {
                    break;
                }
                match inotify::add_watch(events, folder, flags) {
                    Ok(_) | Err(rustix::io::Errno::ACCESS) => watched = Some(folder),
                    Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Tells of changes until the other end of `stopped` is dropped.
    fn run(mut self, events: &OwnedFd, stopped: &UnixStream, tell: impl Fn(usize)) -> io::Result<()> {
        loop {
            // Folders first, paths second: what comes in between is told of, and looked at once more.
            self.watch(events)?;
            self.changed().into_iter().for_each(&tell);
            let mut ends = [PollFd::new(events, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
            match poll(&mut ends, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !ends[1].revents().is_empty() {
                return Ok(());
            }
            // Which file it was does not matter; all paths are looked at.
            let mut unread = [0; 4096];
            while rustix::io::read(events, &mut unread).is_ok_and(|count| count > 0) {}
        }
    }
}

/// A running watch. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches these paths and tells the index of each that changed. Where the system has nothing left to watch with, nothing is
    /// told, and the log says so.
    pub(super) fn spawn(paths: Vec<(usize, PathBuf)>, tell: impl Fn(usize) + Send + 'static) -> Watch {
        if paths.is_empty() {
            return Watch { stop: None, thread: None };
        }
        // Looked at here: what changes from now on is told, also before the thread runs.
        let prints = Prints::new(paths);
        let warn = |error: &io::Error| tracing::warn!(%error, "the ports are not watched; disks are noticed some seconds later");
        let start = || -> io::Result<Watch> {
            let (stop, stopped) = UnixStream::pair()?;
            let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let run = move || {
                if let Err(error) = prints.run(&events, &stopped, tell) {
                    warn(&error);
                }
            };
            let thread = std::thread::Builder::new().name("hot-plug".to_owned()).spawn(run)?;
            Ok(Watch { stop: Some(stop), thread: Some(thread) })
        };
        start().unwrap_or_else(|error| {
            warn(&error);
            Watch { stop: None, thread: None }
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It holds nothing that could be lost.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_comes_goes_or_is_exchanged_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a"), "").unwrap();
        std::os::unix::fs::symlink("/dev/null", path("link")).unwrap();
        let mut prints = Prints::new(vec![(3, path("a")), (5, path("b")), (7, path("link"))]);
        assert_eq!(prints.changed(), [0; 0]);
        std::fs::remove_file(path("a")).unwrap();
        std::fs::write(path("b"), "").unwrap();
        assert_eq!(prints.changed(), [3, 5]);
        assert_eq!(prints.changed(), [0; 0]);
        std::fs::remove_file(path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("link")).unwrap();
        assert_eq!(prints.changed(), [7]);
    }

    #[test]
    fn a_watch_tells_of_a_path_whose_folder_comes_later_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("serial/by-id");
        let path = folder.join("usb-disk");
        let (told, heard) = std::sync::mpsc::channel();
        let watch = Watch::spawn(vec![(4, path.clone())], move |index| told.send(index).unwrap());
        let limit = Duration::from_secs(60);
        for _ in 0..3 {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, "").unwrap();
            assert_eq!(heard.recv_timeout(limit), Ok(4), "it came");
            std::fs::remove_dir_all(dir.path().join("serial")).unwrap();
            assert_eq!(heard.recv_timeout(limit), Ok(4), "it went");
        }
        drop(watch);
        assert!(heard.recv().is_err(), "its thread has ended");
    }
}

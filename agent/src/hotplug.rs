//! Notices when a configured device file comes, goes, or is another one, and says so at once: a worker looks at an idle disk only
//! every few seconds, and a till that waits for it costs a customer's time.
//!
//! It polls the configured paths and opens nothing. Missing an event costs time only: workers look by themselves too.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at the paths.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a path leads to: device and file. A device that is plugged in again has another file even under the old name.
type Print = Option<(u64, u64, u64)>;

fn print(path: &PathBuf) -> Print {
    std::fs::metadata(path).ok().map(|metadata| (metadata.rdev(), metadata.dev(), metadata.ino()))
}

/// The indices of paths that lead elsewhere than at the last look.
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
}

/// A running watch. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches these paths and tells the index of each that changed. Without a thread (the system has none left) nothing is told.
    pub fn spawn(paths: Vec<(usize, PathBuf)>, tell: impl Fn(usize) + Send + 'static) -> Watch {
        if paths.is_empty() {
            return Watch { stop: None, thread: None };
        }
        let (stop, stopped) = sync_channel::<()>(1);
        let mut prints = Prints::new(paths);
        let run = move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                prints.changed().into_iter().for_each(&tell);
            }
        };
        let thread = std::thread::Builder::new().name("hot-plug".to_owned()).spawn(run);
        let thread = thread.inspect_err(|error| tracing::warn!(%error, "no thread watches the ports")).ok();
        Watch { stop: Some(stop), thread }
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
    fn a_watch_tells_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("port");
        let (told, heard) = std::sync::mpsc::channel();
        let watch = Watch::spawn(vec![(4, path.clone())], move |index| told.send(index).unwrap());
        std::fs::write(&path, "").unwrap();
        assert_eq!(heard.recv_timeout(Duration::from_secs(60)), Ok(4));
        drop(watch);
        assert!(heard.recv().is_err(), "its thread has ended");
    }
}

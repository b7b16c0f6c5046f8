//! Trouble on purpose while an import runs: the agent is killed, the disk is pulled.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::site::{AgentControl, Site};

/// Pulls the disk.
pub(super) const UNPLUG: &str = "{\"do\":\"unplug\"}";
/// Plugs it in.
pub(super) const REPLUG: &str = "{\"do\":\"replug\"}";
/// How long a pulled disk stays out.
const OUT: Duration = Duration::from_secs(1);
/// The simulator answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Threads that make trouble until they are told to end.
pub(super) struct Faults {
    threads: Vec<(mpsc::Sender<()>, JoinHandle<String>)>,
}

/// Starts what was asked for; nothing if nothing was.
pub(super) fn start(kill_every: Option<Duration>, unplug_every: Option<Duration>, site: &Site) -> Faults {
    let mut threads = Vec::new();
    if let Some(every) = kill_every {
        let control = site.agent_control();
        threads.push(repeat(every, "The agent was killed", move |_| control.kill_and_restart()));
    }
    if let Some(every) = unplug_every {
        let control = site.agent_control();
        threads.push(repeat(every, "The disk was pulled", move |end| pull(&control, end)));
    }
    Faults { threads }
}

impl Faults {
    /// Ends the trouble and says how often there was some. The disk is plugged in and the agent runs afterwards.
    pub(super) fn end(self) -> String {
        let told: Vec<String> = self
            .threads
            .into_iter()
            .map(|(end, thread)| {
                drop(end);
                thread.join().unwrap_or_else(|_| "A thread of faults failed.".to_owned())
            })
            .collect();
        told.join("\n")
    }
}

/// Does it every so often until the other end of the channel is gone.
fn repeat(
    every: Duration,
    what: &'static str,
    once: impl Fn(&mpsc::Receiver<()>) -> Result<(), String> + Send + 'static,
) -> (mpsc::Sender<()>, JoinHandle<String>) {
    let (end, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut count = 0;
        while matches!(ended.recv_timeout(every), Err(RecvTimeoutError::Timeout)) {
            if let Err(error) = once(&ended) {
                return format!("{what} {count} times; then: {error}");
            }
            count += 1;
        }
        format!("{what} {count} times.")
    });
    (end, thread)
}

fn pull(control: &AgentControl, end: &mpsc::Receiver<()>) -> Result<(), String> {
    ask_disk(&control.disk_socket(), UNPLUG)?;
    // Out for its time, or until the end: in any case it is plugged in again.
    let _ = end.recv_timeout(OUT);
    ask_disk(&control.disk_socket(), REPLUG)
}

/// Asks the simulator for something and waits until it is done.
pub(super) fn ask_disk(socket: &Path, request: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}. Does the demonstration run?", socket.display());
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(failed)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(failed)?;
    let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|error| format!("the simulator: {error}"))?;
    if answer["ok"] == true { Ok(()) } else { Err(format!("the simulator refuses: {}", answer["error"])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_comes_again_and_again_and_ends_when_it_is_told_to() {
        let (told, heard) = mpsc::channel();
        let (end, thread) = repeat(Duration::from_millis(1), "It happened", move |_| told.send(()).map_err(|e| e.to_string()));
        for _ in 0..3 {
            heard.recv().expect("the thread runs");
        }
        drop(end);
        assert!(thread.join().expect("no panic").starts_with("It happened "));
    }
}

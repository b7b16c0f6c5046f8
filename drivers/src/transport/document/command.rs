//! A component behind a program on this computer: started once a document, the document on its input, the answer on its
//! output. So the maker's library, which may hang or crash, runs in a process that can be ended.
//!
//! Ending it says nothing about the disk: what the program had passed on may be carried out all the same.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{DocumentError, DocumentLink, MAX_ANSWER_BYTES};

/// How often it is looked whether a program has ended that closed its output.
const POLL: Duration = Duration::from_millis(5);

/// How the program of this workspace that calls makers' libraries says that it never called one: by this exit code, and
/// by these first
/// words of its output with the reason behind them. Another program could end with the code alone, by chance.
const NEVER_CALLED: i32 = 86;
const NOT_PASSED_ON: &[u8] = b"taxdisk-bridge: not passed on: ";
/// The longest reason that is shown, bytes.
const REASON_MAX_BYTES: usize = 500;

/// How long a program that was killed may take to go. One that hangs inside of the kernel is left to a thread of its own.
const REAP: Duration = Duration::from_secs(2);

/// The link.
#[derive(Debug, Clone)]
pub struct CommandLink {
    program: PathBuf,
    arguments: Vec<String>,
}

impl CommandLink {
    /// A link through this program. Nothing is started yet. What it writes to its error output is thrown away, as it may
    /// hold the document and the passwords in it.
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = String>) -> CommandLink {
        CommandLink { program: program.into(), arguments: arguments.into_iter().collect() }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        crate::system::in_own_group(&mut command);
        command.spawn()
    }
}

impl DocumentLink for CommandLink {
    fn call(&mut self, document: &[u8], within: Duration) -> Result<Vec<u8>, DocumentError> {
        let deadline = Instant::now() + within;
        let program = self.describe();
        let mut child = self.start().map_err(|error| {
            DocumentError::not_sent(format!("{program} did not start ({error}): correct the command in the configuration"))
        })?;
        feed(&mut child, document.to_vec());
        let answer = collect(&mut child, deadline);
        let status = match &answer {
            Ok(_) => ended(&mut child, deadline),
            Err(_) => None,
        };
        let Some(status) = status else {
            kill(child);
            let reason = answer.err().unwrap_or("did not end in time");
            return Err(DocumentError::maybe_sent(format!("{program} {reason}: the request may have been carried out")));
        };
        match answer {
            Ok(answer) if status.success() => Ok(answer),
            Ok(said) if never_called(status, &said) => {
                let reason = said.get(NOT_PASSED_ON.len()..).unwrap_or_default();
                let reason = String::from_utf8_lossy(reason.get(..REASON_MAX_BYTES).unwrap_or(reason)).trim().to_owned();
                Err(DocumentError::not_sent(format!("{program} did not call the library: {reason}")))
            }
            _ => Err(DocumentError::maybe_sent(format!("{program} failed: the request may have been carried out"))),
        }
    }

    fn describe(&self) -> String {
        self.program.display().to_string()
    }
}

/// The program proves that the library never got the document.
fn never_called(status: ExitStatus, said: &[u8]) -> bool {
    status.code() == Some(NEVER_CALLED) && said.starts_with(NOT_PASSED_ON)
}

/// Gives the document to the program. In a thread, since a program may answer before it has read everything.
fn feed(child: &mut Child, mut document: Vec<u8>) {
    let Some(mut input) = child.stdin.take() else { return };
    std::thread::spawn(move || {
        // A program that does not read is known by its answer.
        let _ = input.write_all(&document);
        document.fill(0);
        std::hint::black_box(&document);
    });
}

/// Everything that the program writes, to the end of its output.
fn collect(child: &mut Child, deadline: Instant) -> Result<Vec<u8>, &'static str> {
    let Some(output) = child.stdout.take() else { return Err("has no output") };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        let outcome = output.take(MAX_ANSWER_BYTES as u64 + 1).read_to_end(&mut answer).map(|_| answer);
        // Nobody waits any more when the time is over.
        let _ = sender.send(outcome);
    });
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(Ok(answer)) if answer.len() <= MAX_ANSWER_BYTES => Ok(answer),
        Ok(Ok(_)) => Err("answered with more than an answer can be"),
        Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err("has an output that cannot be read"),
        Err(RecvTimeoutError::Timeout) => Err("gave no answer in time and was ended"),
    }
}

/// Waits for the end of the program, and takes it off the system's list. `None` when the time is over.
fn ended(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
            _ => return None,
        }
    }
}

/// Ends the program and all that it started, and takes it off the system's list.
fn kill(mut child: Child) {
    crate::system::kill_group(&child);
    let _ = child.kill();
    if ended(&mut child, Instant::now() + REAP).is_none() {
        std::thread::spawn(move || child.wait());
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Sent;
    use super::*;

    const WITHIN: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> CommandLink {
        CommandLink::new("/bin/sh", ["-c".to_owned(), script.to_owned()])
    }

    #[test]
    fn the_document_goes_in_and_the_answer_comes_out() {
        let document = vec![b'x'; 300_000];
        assert_eq!(shell("cat").call(&document, WITHIN).unwrap(), document);
        // One that does not read its input.
        assert_eq!(shell("printf ok").call(&document, WITHIN).unwrap(), b"ok");
    }

    #[test]
    fn a_program_that_does_not_start_is_not_sent() {
        let error = CommandLink::new("/nonexistent/program", []).call(b"x", WITHIN).unwrap_err();
        assert_eq!(error.sent, Sent::No);
        assert!(error.text.contains("/nonexistent/program"), "{error}");
    }

    #[test]
    fn a_program_that_fails_is_maybe_even_with_an_answer() {
        let marked = "printf 'taxdisk-bridge: not passed on: '";
        let not_quite = [format!("{marked}; exit 85"), format!("printf x; {marked}; exit 86"), format!("{marked}; kill -9 $$")];
        for script in ["exit 3", "cat; exit 1", "kill -9 $$", "exit 86"].into_iter().map(str::to_owned).chain(not_quite) {
            let script = script.as_str();
            assert_eq!(shell(script).call(b"x", WITHIN).unwrap_err().sent, Sent::Maybe, "{script}");
        }
    }

    #[test]
    fn a_bridge_that_never_called_the_library_is_not_sent_and_says_why() {
        let error = shell("printf 'taxdisk-bridge: not passed on: no such file\\n'; exit 86").call(b"x", WITHIN).unwrap_err();
        assert_eq!(error.sent, Sent::No);
        assert!(error.text.ends_with("no such file"), "{error}");
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_all_its_children_and_reaped() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
        // Long enough for a shell to start on a busy computer; the numbers are read afterwards.
        let error = shell(&script).call(b"x", Duration::from_secs(3)).unwrap_err();
        assert_eq!(error.sent, Sent::Maybe);
        let pids = std::fs::read_to_string(pids).unwrap();
        let mut pids = pids.split_whitespace().map(|pid| pid.parse::<i32>().unwrap());
        let (program, grandchild) = (pids.next().unwrap(), pids.next().unwrap());
        let state = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        assert_eq!(state(program), None, "not reaped");
        // Whoever adopts it reaps it; it runs no more.
        let gone = || state(grandchild).is_none_or(|state| state.contains(") Z ") || state.contains(") X "));
        let until = Instant::now() + WITHIN;
        while !gone() && Instant::now() < until {
            std::thread::yield_now();
        }
        assert!(gone(), "the grandchild still runs");
    }

    #[test]
    fn an_answer_without_end_is_cut_off() {
        assert_eq!(shell("cat /dev/zero").call(b"x", WITHIN).unwrap_err().sent, Sent::Maybe);
    }
}

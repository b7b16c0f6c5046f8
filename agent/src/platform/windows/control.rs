//! A named pipe. Its usual access list lets the system, administrators and whoever runs the agent ask; others cannot write to it,
//! so they cannot ask. Nobody asks from another machine.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

use crate::failure::Failure;

/// `ERROR_FILE_NOT_FOUND`.
const NOT_FOUND: i32 = 2;
/// `ERROR_PIPE_BUSY`: the one end that is free was taken by somebody else at this moment.
const PIPE_BUSY: i32 = 231;
/// Between two tries while the pipe is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// One who asks.
pub type Stream = NamedPipeServer;

/// Where a running agent is asked.
#[derive(Debug)]
pub struct Listener {
    name: String,
    /// The next one's end. There is always one, so that nobody takes a running agent for one that does not run.
    free: NamedPipeServer,
}

/// Names of pipes are one list for the whole machine: the folder is in it, and does not show.
fn name_of(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let digest = Sha256::digest(path.to_string_lossy().to_lowercase().as_bytes());
    format!(r"\\.\pipe\taxdisk-agent-{}", hex::encode(&digest[..12]))
}

/// Listens. The state folder is locked by this process, so a pipe that is there is a stranger's.
///
/// # Errors
/// It cannot be made.
pub fn listen(path: &Path) -> Result<Listener, Failure> {
    let name = name_of(path);
    let free = ServerOptions::new().first_pipe_instance(true).create(&name).map_err(|error| {
        Failure::failed(format!("The pipe {name} cannot be made ({error}): another program of this PC may have taken its name."))
    })?;
    Ok(Listener { name, free })
}

impl Listener {
    /// The next one who asks.
    ///
    /// # Errors
    /// As the system says.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        self.free.connect().await?;
        let next = ServerOptions::new().create(&self.name)?;
        Ok(std::mem::replace(&mut self.free, next))
    }
}

/// Says one line and hears one, of at most so many bytes. `None`: nobody listens.
///
/// # Errors
/// `PermissionDenied`: it is not for this user. Others: whoever listens does not answer within `limit`.
pub fn exchange(path: &Path, line: &[u8], max_bytes: u64, limit: Duration) -> io::Result<Option<String>> {
    let (name, line) = (name_of(path), line.to_vec());
    let (told, heard) = sync_channel(1);
    // A pipe that is read has no time limit of its own; a thread that waits for ever ends with this command.
    std::thread::spawn(move || drop(told.send(exchange_now(&name, &line, max_bytes, limit))));
    heard.recv_timeout(limit).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn exchange_now(name: &str, line: &[u8], max_bytes: u64, limit: Duration) -> io::Result<Option<String>> {
    let end = Instant::now() + limit;
    let mut stream = loop {
        match OpenOptions::new().read(true).write(true).open(name) {
            Ok(stream) => break stream,
            Err(error) if error.raw_os_error() == Some(NOT_FOUND) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) && Instant::now() < end => std::thread::sleep(BUSY_PAUSE),
            Err(error) => return Err(error),
        }
    };
    stream.write_all(line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(max_bytes)).read_line(&mut answer)?;
    Ok(Some(answer))
}

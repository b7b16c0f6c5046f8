//! A Unix socket in the state folder: who may enter the folder (0700) may ask.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::failure::Failure;

/// One who asks.
pub type Stream = tokio::net::UnixStream;

/// Where a running agent is asked.
#[derive(Debug)]
pub struct Listener(tokio::net::UnixListener);

/// Listens. The state folder is locked by this process, so a socket that is there is a dead one's.
///
/// # Errors
/// It cannot be made; the text says how to mend it.
pub fn listen(path: &Path) -> Result<Listener, Failure> {
    let wrong = |error: io::Error| {
        Failure::config(format!(
            "The socket {} cannot be made ({error}): correct the state folder's owner, or give it a shorter path.",
            path.display()
        ))
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(error)),
        _ => {}
    }
    let listener = tokio::net::UnixListener::bind(path).map_err(wrong)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    Ok(Listener(listener))
}

impl Listener {
    /// The next one who asks.
    ///
    /// # Errors
    /// As the system says.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        self.0.accept().await.map(|(stream, _)| stream)
    }
}

/// Says one line and hears one, of at most so many bytes. `None`: nobody listens.
///
/// # Errors
/// `PermissionDenied`: it is not for this user. Others: whoever listens does not answer within `limit`.
pub fn exchange(path: &Path, line: &[u8], max_bytes: u64, limit: Duration) -> io::Result<Option<String>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(io::Error::new(io::ErrorKind::PermissionDenied, error)),
    };
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(max_bytes)).read_line(&mut answer)?;
    Ok(Some(answer))
}

//! The Unix socket on which a running agent answers [`crate::status::ask`].

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::board::Happening;
use crate::failure::Failure;
use crate::status::{LIMIT, LINE_MAX_BYTES, Question};

/// The state folder is locked by this process, so a socket that is there is a dead one's.
pub(super) fn listen(path: &Path) -> Result<UnixListener, Failure> {
    let wrong = |error: std::io::Error| {
        Failure::config(format!(
            "The socket {} cannot be made ({error}): correct the state folder's owner, or give it a shorter path.",
            path.display()
        ))
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrong(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(wrong)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    Ok(listener)
}

/// Answers one after the other: who asks is a person with a terminal.
pub(super) async fn serve(listener: UnixListener, happenings: mpsc::UnboundedSender<Happening>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Too slow, gone, or speaking nonsense: nobody to tell.
                let _ = tokio::time::timeout(LIMIT, answer(stream, &happenings)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the status socket does not accept");
                tokio::time::sleep(LIMIT).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, happenings: &mpsc::UnboundedSender<Happening>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    BufReader::new(reader.take(LINE_MAX_BYTES)).read_line(&mut line).await?;
    let question: Question = serde_json::from_str(&line)?;
    let (asked, answered) = oneshot::channel();
    if happenings.send(Happening::Asked(question, asked)).is_ok()
        && let Ok(answer) = answered.await
    {
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        writer.write_all(&text).await?;
    }
    Ok(())
}

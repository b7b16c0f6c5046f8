//! Where a running agent answers [`crate::status::ask`].

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use super::board::Happening;
use crate::platform::{Listener, Stream};
use crate::status::{LIMIT, LINE_MAX_BYTES, Question};

pub(super) use crate::platform::listen;

/// Answers one after the other: who asks is a person with a terminal.
pub(super) async fn serve(mut listener: Listener, happenings: mpsc::UnboundedSender<Happening>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
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

async fn answer(stream: Stream, happenings: &mpsc::UnboundedSender<Happening>) -> std::io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
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
        // A pipe of Windows takes bytes in the background: it is waited for until they are with whoever asked.
        writer.flush().await?;
    }
    Ok(())
}

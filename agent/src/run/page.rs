//! The status page: what `status` shows, for a browser on this PC. Off unless `[status] page` names a loopback address.
//!
//! It answers four fixed paths by GET and takes nothing. It refuses a request whose `Host` is not this PC's own: a page of
//! somebody else's could have its name point here.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::board::Happening;
use crate::failure::Failure;
use crate::status::{Answer, LIMIT, Question};

/// The longest head of a request, bytes.
const HEAD_MAX_BYTES: usize = 8 * 1024;
/// Connections at the same time; a browser opens up to six.
const CONNECTIONS_MAX: usize = 8;
/// After the system refused a connection, it is asked again after this time.
const PAUSE: Duration = Duration::from_secs(5);

/// Takes the address.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::config(format!(
            "[status] page = \"{address}\" cannot be listened at ({error}): take another port, or leave it out."
        ))
    })
}

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, happenings: mpsc::UnboundedSender<Happening>) {
    let room = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Without room, the next one waits in the system's queue.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let happenings = happenings.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(LIMIT, answer(stream, &happenings)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the status page does not accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, happenings: &mpsc::UnboundedSender<Happening>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_MAX_BYTES {
            return Ok(());
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (status, kind, body) = match asked(&head) {
        Ok("/") => ("200 OK", "text/html; charset=utf-8", include_str!("page/page.html").to_owned()),
        Ok("/page.css") => ("200 OK", "text/css; charset=utf-8", include_str!("page/page.css").to_owned()),
        Ok("/page.js") => ("200 OK", "text/javascript; charset=utf-8", include_str!("page/page.js").to_owned()),
        Ok("/status.json") => match status(happenings).await {
            Some(text) => ("200 OK", "application/json", text),
            None => ("503 Service Unavailable", "text/plain", "The agent stops.\n".to_owned()),
        },
        Ok(_) => ("404 Not Found", "text/plain", "There is / and /status.json.\n".to_owned()),
        Err(status) => (status, "text/plain", format!("{status}\n")),
    };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'self'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// The path of a request that may be answered, or the status that refuses it.
fn asked(head: &str) -> Result<&str, &'static str> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "GET" {
        return Err("405 Method Not Allowed");
    }
    let mut hosts = lines.filter_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("host")));
    match (hosts.next(), hosts.next()) {
        (Some((_, host)), None) if is_this_pc(host.trim()) => Ok(path),
        _ => Err("403 Forbidden"),
    }
}

/// A name of this PC for itself, with a port or without.
fn is_this_pc(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn status(happenings: &mpsc::UnboundedSender<Happening>) -> Option<String> {
    let (ask, answered) = oneshot::channel();
    happenings.send(Happening::Asked(Question::Status, ask)).ok()?;
    match answered.await.ok()? {
        Answer::Status(status) => serde_json::to_string(&status).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_get_and_only_under_this_pcs_own_name() {
        let head = |method: &str, host: &str| format!("{method} /status.json HTTP/1.1\r\n{host}\r\n\r\n");
        for host in ["Host: localhost", "host: 127.0.0.1:8475", "Host: [::1]:8475", "HOST: LOCALHOST:1"] {
            assert_eq!(asked(&head("GET", host)), Ok("/status.json"), "{host}");
        }
        for host in
            ["Host: evil.example", "Host: 127.0.0.1.evil.example", "X: localhost", "Host: localhost\r\nHost: evil.example"]
        {
            assert_eq!(asked(&head("GET", host)), Err("403 Forbidden"), "{host}");
        }
        assert_eq!(asked(&head("POST", "Host: localhost")), Err("405 Method Not Allowed"));
        assert!(asked("").is_err());
    }
}

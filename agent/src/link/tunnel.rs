//! The link's bytes over plain requests, where the network between passes no WebSocket: the other half of the broker's tunnels.
//!
//! To the link it is a stream like TCP. Two loops carry it: one sends what the link wrote, one fetches what the broker wrote and
//! waits there for more. Each request says from which byte on it speaks, so that one that broke is simply made again.
//!
//! It refuses to decide when it is needed: that is [`super::client`]'s.

use std::sync::Arc;
use std::time::Duration;

use taxdisk_protocol::api::TunnelBody;
use taxdisk_protocol::link::{TUNNEL_CHUNK_BYTES, TUNNEL_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

use super::trouble;
use crate::config::BrokerUrl;

/// A request that broke is made again so often before the tunnel counts as lost.
const TRIES: u32 = 4;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What both loops need.
struct Far {
    http: ureq::Agent,
    address: String,
}

/// What a request was answered.
enum Said {
    Bytes(Vec<u8>),
    Nothing,
    Ended,
}

/// Opens a tunnel.
///
/// # Errors
/// One sentence for people.
pub(super) async fn open(http: ureq::Agent, url: &BrokerUrl) -> Result<DuplexStream, String> {
    let (asked, place) = (http.clone(), url.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let mut answer = asked.post(place.http(TUNNEL_PATH)).send_empty().map_err(|error| trouble::http(&place, &error))?;
        if answer.status().as_u16() != 201 {
            return Err(format!("{place} opens no tunnel either (status {}).", answer.status().as_u16()));
        }
        let text = answer.body_mut().with_config().limit(4096).read_to_string().map_err(|error| trouble::http(&place, &error))?;
        let body: Result<TunnelBody, _> = serde_json::from_str(&text);
        let body =
            body.ok().filter(|body| (1..=64).contains(&body.tunnel.len()) && body.tunnel.bytes().all(|b| b.is_ascii_hexdigit()));
        body.ok_or_else(|| format!("What answers at {place} is not a taxdisk broker: correct the address."))
    });
    let body = opened.await.unwrap_or_else(|_| Err("The try to connect was broken off.".to_owned()))?;
    let far = Arc::new(Far { http, address: format!("{}/{}", url.http(TUNNEL_PATH), body.tunnel) });
    let (near, pump) = tokio::io::duplex(TUNNEL_CHUNK_BYTES);
    let (reader, writer) = tokio::io::split(pump);
    let fetching = tokio::spawn(fetch(far.clone(), writer));
    tokio::spawn(async move {
        send(&far, reader).await;
        // The link let go of its end: the broker need not wait for silence. The fetch that waits there ends by it too.
        let _ = tokio::task::spawn_blocking(move || drop(far.http.delete(&far.address).call())).await;
        fetching.abort();
    });
    Ok(near)
}

/// Carries what the link writes, until it lets go or the tunnel is lost.
async fn send(far: &Arc<Far>, mut reader: ReadHalf<DuplexStream>) {
    let mut at = 0_u64;
    loop {
        let mut bytes = Vec::with_capacity(4096);
        match (&mut reader).take(TUNNEL_CHUNK_BYTES as u64).read_buf(&mut bytes).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        let bytes = Arc::new(bytes);
        let count = bytes.len() as u64;
        let said = again(far, move |far| {
            let answer = far.http.post(format!("{}?at={at}", far.address)).send(&bytes[..])?;
            Ok(if answer.status().is_success() { Said::Nothing } else { Said::Ended })
        });
        match said.await {
            Said::Ended => return,
            _ => at += count,
        }
    }
}

/// Carries what the broker writes, until it ends.
async fn fetch(far: Arc<Far>, mut writer: WriteHalf<DuplexStream>) {
    let mut at = 0_u64;
    loop {
        let said = again(&far, move |far| {
            let mut answer = far.http.get(format!("{}?at={at}", far.address)).call()?;
            Ok(match answer.status().as_u16() {
                200 => Said::Bytes(answer.body_mut().with_config().limit(2 * TUNNEL_CHUNK_BYTES as u64).read_to_vec()?),
                204 => Said::Nothing,
                _ => Said::Ended,
            })
        });
        match said.await {
            Said::Bytes(bytes) => {
                at += bytes.len() as u64;
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Said::Nothing => {}
            Said::Ended => {
                // The link reads an end.
                let _ = writer.shutdown().await;
                return;
            }
        }
    }
}

/// Makes a request, again if it broke: what it says from which byte on makes that harmless.
async fn again<F>(far: &Arc<Far>, request: F) -> Said
where
    F: Fn(&Far) -> Result<Said, ureq::Error> + Clone + Send + 'static,
{
    for _ in 0..TRIES {
        let (far, request) = (far.clone(), request.clone());
        match tokio::task::spawn_blocking(move || request(&far)).await {
            Ok(Ok(said)) => return said,
            Ok(Err(error)) => tracing::debug!(%error, "a request of the tunnel broke"),
            Err(_) => return Said::Ended,
        }
        tokio::time::sleep(PAUSE).await;
    }
    Said::Ended
}

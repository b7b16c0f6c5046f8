//! The link's bytes over plain requests: what a tunnel lets through, and what it refuses.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use taxdisk_protocol::link::{LINK_PATH, TUNNEL_PATH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::link::Agent;
use crate::support::{Answer, BOUND, Broker, until};

async fn open(broker: &Broker) -> String {
    let opened = broker.raw("POST", TUNNEL_PATH, "content-length: 0\r\n", b"").await;
    assert_eq!(opened.status, 201, "{opened:?}");
    format!("{TUNNEL_PATH}/{}", opened.json()["tunnel"].as_str().unwrap())
}

async fn send(broker: &Broker, tunnel: &str, at: usize, bytes: &[u8]) -> Answer {
    broker.raw("POST", &format!("{tunnel}?at={at}"), &format!("content-length: {}\r\n", bytes.len()), bytes).await
}

async fn fetch(broker: &Broker, tunnel: &str, at: usize) -> Answer {
    broker.raw("GET", &format!("{tunnel}?at={at}"), "", b"").await
}

/// Everything that comes until the tunnel ends.
async fn all(broker: &Broker, tunnel: &str) -> String {
    let mut got = Vec::new();
    loop {
        let answer = fetch(broker, tunnel, got.len()).await;
        match answer.status {
            200 => got.extend_from_slice(&answer.body),
            204 => {}
            _ => {
                answer.problem(404, "not_found");
                return String::from_utf8(got).unwrap();
            }
        }
    }
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: taxdisk.v1\r\n";

#[tokio::test]
async fn bytes_sent_twice_count_once_and_bytes_not_fetched_are_kept() {
    let broker = Broker::start().await;
    let tunnel = open(&broker).await;
    let request = format!("GET {LINK_PATH} HTTP/1.1\r\nhost: broker\r\n{UPGRADE}\r\n");
    let (first, rest) = request.split_at(10);
    assert_eq!(send(&broker, &tunnel, 0, first.as_bytes()).await.status, 204);
    // The answer to the first was lost: its bytes come again, with more.
    assert_eq!(send(&broker, &tunnel, 0, request.as_bytes()).await.status, 204);
    assert_eq!(send(&broker, &tunnel, 10, rest.as_bytes()).await.status, 204);
    send(&broker, &tunnel, request.len() + 1, b"x").await.problem(400, "invalid_parameter");
    let answer = fetch(&broker, &tunnel, 0).await;
    assert!(answer.body.starts_with(b"HTTP/1.1 101"), "{answer:?}");
    // Not fetched as far as the broker knows: the same again, also from the middle.
    assert_eq!(fetch(&broker, &tunnel, 0).await.body, answer.body);
    assert_eq!(fetch(&broker, &tunnel, 9).await.body, answer.body[9..]);
    fetch(&broker, &tunnel, 8).await.problem(400, "invalid_parameter");
    fetch(&broker, &tunnel, answer.body.len() + 100).await.problem(400, "invalid_parameter");
    assert_eq!(broker.raw("DELETE", &tunnel, "", b"").await.status, 204);
    fetch(&broker, &tunnel, answer.body.len()).await.problem(404, "not_found");
}

#[tokio::test]
async fn nothing_but_the_link_is_reached_through_a_tunnel() {
    let broker = Broker::start().await;
    for path in ["/v1/jobs", "/healthz", "/metrics", TUNNEL_PATH] {
        let tunnel = open(&broker).await;
        let key = &broker.admin;
        let request = format!("GET {path} HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
        send(&broker, &tunnel, 0, request.as_bytes()).await;
        let got = all(&broker, &tunnel).await;
        assert!(got.starts_with("HTTP/1.1 404"), "{path}: {got}");
    }
    fetch(&broker, &format!("{TUNNEL_PATH}/00000000000000000000000000000000"), 0).await.problem(404, "not_found");
}

#[tokio::test]
async fn tunnels_are_counted_and_one_that_nobody_uses_ends() {
    let broker = Broker::start_with(|config| {
        config.link.tunnels = 1;
        config.link.ping_s = 1;
        config.link.silence_s = 2;
    })
    .await;
    let _tunnel = open(&broker).await;
    broker.raw("POST", TUNNEL_PATH, "content-length: 0\r\n", b"").await.problem(503, "not_ready");
    let begun = tokio::time::Instant::now();
    until("room again", || async { broker.raw("POST", TUNNEL_PATH, "content-length: 0\r\n", b"").await.status == 201 }).await;
    assert!(begun.elapsed() < BOUND);
}

/// A stranger who keeps his tunnels busy holds none of the places for long, and never more than those of links without proof.
#[tokio::test]
async fn strangers_hold_no_more_tunnels_than_links_without_proof_and_not_for_long() {
    let broker = Broker::start_with(|config| {
        config.link.unproven = 2;
        config.link.join_s = 1;
    })
    .await;
    let request = format!("GET {LINK_PATH} HTTP/1.1\r\nhost: broker\r\n{UPGRADE}\r\n");
    let tunnels = [open(&broker).await, open(&broker).await];
    broker.raw("POST", TUNNEL_PATH, "content-length: 0\r\n", b"").await.problem(503, "not_ready");
    // The link inside needs no second place.
    for tunnel in &tunnels {
        assert_eq!(send(&broker, tunnel, 0, request.as_bytes()).await.status, 204);
        let answer = fetch(&broker, tunnel, 0).await;
        assert!(answer.body.starts_with(b"HTTP/1.1 101"), "{answer:?}");
    }
    // Fetched again and again from the first byte on: used, and yet without proof.
    until("room again", || async {
        for tunnel in &tunnels {
            fetch(&broker, tunnel, 0).await;
        }
        broker.raw("POST", TUNNEL_PATH, "content-length: 0\r\n", b"").await.status == 201
    })
    .await;
}

/// Behind one proxy there may be more agents with tunnels than an address may have strangers: each of them waits on a connection.
#[tokio::test]
async fn requests_of_a_tunnel_that_has_proven_itself_make_no_room_for_strangers() {
    let broker = Arc::new(Broker::start_with(|config| config.limits.strangers_per_address = 2).await);
    let agent = Agent::enrol(&broker).await;
    let tunnel = open(&broker).await;
    // The link inside, over a pipe whose other end sends and fetches.
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut from, mut to) = tokio::io::split(far);
    let sending = tokio::spawn({
        let (broker, tunnel) = (broker.clone(), tunnel.clone());
        async move {
            let (mut at, mut buffer) = (0, vec![0; 16 * 1024]);
            while let Ok(count @ 1..) = from.read(&mut buffer).await {
                assert_eq!(send(&broker, &tunnel, at, &buffer[..count]).await.status, 204);
                at += count;
            }
        }
    });
    let (arrived, mut at) = tokio::sync::watch::channel(0);
    let fetching = tokio::spawn({
        let (broker, tunnel) = (broker.clone(), tunnel.clone());
        async move {
            let mut got = 0;
            while let answer @ Answer { status: 200 | 204, .. } = fetch(&broker, &tunnel, got).await {
                got += answer.body.len();
                to.write_all(&answer.body).await.unwrap();
                arrived.send_replace(got);
            }
        }
    });
    let mut request = format!("ws://broker{LINK_PATH}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "taxdisk.v1".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, near).await.unwrap();
    socket.send(Message::text(agent.hello(1).to_string())).await.unwrap();
    let challenge = socket.next().await.unwrap().unwrap();
    let proof = agent.proof(&serde_json::from_str(challenge.to_text().unwrap()).unwrap(), 1);
    socket.send(Message::text(proof.to_string())).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().to_text().unwrap().contains("welcome"));
    // One fetch waits for what comes next. Strangers come after it, and push out each other.
    fetching.abort();
    sending.abort();
    let got = *at.borrow_and_update();
    let mut waiting = TcpStream::connect(broker.address).await.unwrap();
    // Answered at once, so that it is known to have come in; then the fetch, on the same connection.
    waiting
        .write_all(format!("POST {tunnel}?at=0 HTTP/1.1\r\nhost: broker\r\ncontent-length: 0\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = vec![0; 4096];
    let count = tokio::time::timeout(BOUND, waiting.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer[..count]));
    waiting.write_all(format!("GET {tunnel}?at={got} HTTP/1.1\r\nhost: broker\r\n\r\n").as_bytes()).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..6 {
        strangers.push(TcpStream::connect(broker.address).await.unwrap());
    }
    let mut nothing = [0; 1];
    let cut = tokio::time::timeout(BOUND, strangers[0].read(&mut nothing)).await.expect("the oldest stranger is cut off");
    assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
    // The broker's ping, or nothing after the longest wait: an answer in any case.
    let read = tokio::time::timeout(BOUND + BOUND, waiting.read(&mut nothing)).await.expect("the fetch is answered");
    assert_eq!(read.unwrap(), 1, "the fetch was cut off to make room");
}

//! The stream of events: live, resumed, filtered, limited to the key, and closed for who may not or does not read.

use std::time::Duration;

use serde_json::{Value, json};
use taxdisk_protocol::api::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{BOUND, Broker, OTHER_SELLER, SELLER, until};

/// A stream as a client reads it.
struct Events {
    stream: TcpStream,
    text: String,
    ended: bool,
}

/// One event.
#[derive(Debug, Clone)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

impl Events {
    async fn open(broker: &Broker, key: &str, query: &str, last: Option<&str>) -> Events {
        let mut stream = TcpStream::connect(broker.address).await.unwrap();
        let last = last.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        let request = format!("GET /v1/events{query} HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {key}\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Events { stream, text: String::new(), ended: false };
        while !events.text.contains("\r\n\r\n") {
            events.more().await;
        }
        let end = events.text.find("\r\n\r\n").unwrap() + 4;
        let head: String = events.text.drain(..end).collect();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        events
    }

    async fn more(&mut self) {
        let mut buffer = vec![0; 16384];
        match tokio::time::timeout(BOUND, self.stream.read(&mut buffer)).await.expect("within the bound") {
            Ok(count) if count > 0 => {
                self.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                // The last chunk; the connection itself may stay open.
                self.ended = self.text.ends_with("0\r\n\r\n");
            }
            _ => self.ended = true,
        }
    }

    /// The next event; `None`: the stream ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(start) = self.text.find("id: ")
                && let Some(length) = self.text[start..].find("\n\n")
            {
                let block: String = self.text[start..start + length].to_owned();
                self.text.drain(..start + length + 2);
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
                let data = serde_json::from_str(&field("data: ")).unwrap();
                return Some(Event { id: field("id: "), kind: field("event: "), data });
            }
            if self.ended {
                return None;
            }
            self.more().await;
        }
    }
}

async fn cancelled(broker: &Broker, serial: &str) {
    assert_eq!(broker.submit(serial).await.status, 201);
    let path = format!("/v1/jobs/{SELLER}/{serial}/cancel");
    assert_eq!(broker.call("POST", &path, Some(&json!({ "reason": "test" }))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_live_and_a_reader_resumes_where_it_was() {
    let broker = Broker::start().await;
    let mut events = Events::open(&broker, &broker.platform, "", None).await;
    for n in 0..3 {
        cancelled(&broker, &format!("E{n}")).await;
    }
    let mut seen = Vec::new();
    for n in 0..3 {
        let event = events.next().await.unwrap();
        assert_eq!((event.kind.as_str(), &event.data["data"]["serial"]), ("job.cancelled", &json!(format!("E{n}"))));
        assert_eq!((&event.data["id"], &event.data["data"]["superseded"]), (&json!(event.id), &json!(false)));
        seen.push(event);
    }
    drop(events);
    cancelled(&broker, "E3").await;
    // From the first one on: the second, the third and what came meanwhile; nothing twice, nothing left out.
    let mut events = Events::open(&broker, &broker.platform, "", Some(&seen[0].id)).await;
    for expected in [Some(&seen[1].id), Some(&seen[2].id), None] {
        let event = events.next().await.unwrap();
        assert_eq!(expected.unwrap_or(&event.id), &event.id);
        assert_eq!(expected.is_none(), event.data["data"]["serial"] == "E3");
    }
    // A strange id is refused, and not taken for the beginning.
    for bad in ["nonsense", "evt_9999_0123456789ab", &seen[0].id.replace(&seen[0].id[seen[0].id.len() - 4..], "0000")] {
        let answer = broker.call("GET", &format!("/v1/events?after={bad}"), None).await;
        answer.problem(400, "invalid_parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_filtered_and_limited_to_the_sellers_of_the_key() {
    let broker = Broker::start().await;
    let ours = broker.key(Role::Platform, &[SELLER], None).await;
    let theirs = broker.key(Role::Platform, &[OTHER_SELLER], None).await;
    let mut mine = Events::open(&broker, &ours, "", None).await;
    let mut not_mine = Events::open(&broker, &theirs, "", None).await;
    let mut queued = Events::open(&broker, &broker.platform, "?type=job.queued", None).await;
    broker.call_as(&ours, "GET", &format!("/v1/events?seller={OTHER_SELLER}"), None).await.problem(403, "forbidden");
    broker.call("GET", "/v1/events?type=job.isued", None).await.problem(400, "invalid_parameter");
    cancelled(&broker, "F1").await;
    let path = format!("/v1/jobs/{SELLER}/F1/reissue");
    broker.call("POST", &path, Some(&json!({ "reason": "test" }))).await;
    assert_eq!(mine.next().await.unwrap().kind, "job.cancelled");
    assert_eq!(mine.next().await.unwrap().kind, "job.queued");
    assert_eq!(queued.next().await.unwrap().kind, "job.queued");
    // The other one is asked to end, and has got nothing by then.
    broker.stop.send(true).unwrap();
    assert!(not_mine.next().await.is_none());
    assert!(mine.next().await.is_none(), "a broker that stops ends its streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_costs_one_connection_and_no_memory() {
    let broker = Broker::start_with(|config| config.limits.streams = 1).await;
    let mut slow = Events::open(&broker, &broker.platform, "", None).await;
    let answer = broker.call("GET", "/v1/events", None).await;
    answer.problem(503, "not_ready");
    for n in 0..40 {
        cancelled(&broker, &format!("Q{n}")).await;
    }
    // It missed nothing meanwhile.
    for n in 0..40 {
        assert_eq!(slow.next().await.unwrap().data["data"]["serial"], format!("Q{n}"));
    }
    drop(slow);
    // Its room is free again once it is gone.
    until("there is room", || async {
        cancelled(&broker, &format!("W{:010}", rand_serial())).await;
        let mut stream = TcpStream::connect(broker.address).await.unwrap();
        let head = format!("GET /v1/events HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {}\r\n\r\n", broker.platform);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut buffer = [0; 64];
        let count = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.unwrap().unwrap();
        buffer[..count].starts_with(b"HTTP/1.1 200")
    })
    .await;
}

fn rand_serial() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_its_stream() {
    let broker = Broker::start().await;
    let key = broker.key(Role::Platform, &[], None).await;
    let mut events = Events::open(&broker, &key, "", None).await;
    cancelled(&broker, "V1").await;
    assert!(events.next().await.is_some());
    let id = key.strip_prefix("td").unwrap().rsplit_once('_').unwrap().0.to_owned();
    let answer = broker.call_as(&broker.admin, "DELETE", &format!("/v1/keys/{id}"), None).await;
    assert_eq!(answer.status, 204);
    cancelled(&broker, "V2").await;
    assert!(events.next().await.is_none(), "nothing is said to a key that is revoked");
}

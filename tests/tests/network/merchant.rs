//! The merchant: hands jobs in over HTTP until each is accepted, asks what became of them, and waits until everything rests.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taxdisk_protocol::api::JobSubmission;
use taxdisk_tests::sim::disk::SELLER;
use taxdisk_tests::sim::people::{key_of, submission};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use turmoil::net::TcpStream;

use super::broker::PORT;
use super::world::{KEY, World, now};

/// A call without an answer is made again after this.
const PATIENCE: Duration = Duration::from_secs(8);
/// Calls at the same time. `turmoil` panics where more connections wait for a listener than it has room for (64), and a link on
/// hold gathers them.
const LINES: usize = 3;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// From the last repair to rest, milliseconds.
pub(crate) const REST_MS: u64 = 180_000;

/// Until everything rests, or should have.
pub(crate) async fn run(world: World) -> turmoil::Result {
    set_up(&world).await;
    let mut jobs = JoinSet::new();
    let lines = Arc::new(Semaphore::new(LINES));
    for (index, at_ms) in world.plan().jobs_ms.clone().into_iter().enumerate() {
        jobs.spawn(hand_in(world.clone(), lines.clone(), index, Duration::from_millis(at_ms)));
    }
    while jobs.join_next().await.transpose()?.is_some() {}
    let mended = Duration::from_millis(world.plan().mended_ms());
    loop {
        tokio::time::sleep(PAUSE).await;
        if now() < mended {
            continue;
        }
        let Some(unrest) = world.unrest() else { break };
        if now() > mended + Duration::from_millis(REST_MS) {
            world.violate(&format!("no rest after {REST_MS} ms without faults: {unrest}"));
            return Ok(());
        }
    }
    for index in 0..world.plan().jobs_ms.len() {
        ask(&world, index).await;
    }
    world.note("merchant", "everything rests");
    Ok(())
}

async fn set_up(world: &World) {
    let body = json!({ "name": "示例商贸有限公司", "mark": world.plan().knobs.mark });
    loop {
        match call("PUT", &format!("/v1/sellers/{SELLER}"), Some(&body)).await {
            Some((200..300, _)) => return,
            other => world.note("merchant", &format!("the seller is not set up: {:?}", other.map(|(status, _)| status))),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Half of them are equal but for the serial number: two sold coffees.
fn job(index: usize) -> JobSubmission {
    let buyer = if index.is_multiple_of(2) { "个人".to_owned() } else { format!("客户{index}") };
    submission(&format!("S{index}"), &buyer)
}

async fn hand_in(world: World, lines: Arc<Semaphore>, index: usize, at: Duration) {
    tokio::time::sleep(at.saturating_sub(now())).await;
    let job = job(index);
    let key = key_of(&job.serial);
    let body = serde_json::to_value(&job).unwrap();
    loop {
        let answer = {
            let _line = lines.acquire().await;
            call("POST", "/v1/jobs", Some(&body)).await
        };
        match answer {
            Some((status @ (200 | 201), _)) => return world.accepted(&key, status),
            Some((status @ (429 | 500..), _)) => world.note("merchant", &format!("{} is answered {status}", key.serial)),
            None => world.note("merchant", &format!("{} is not answered", key.serial)),
            Some((status, answer)) => return world.violate(&format!("{} is refused: {status} {answer}", key.serial)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the broker tells of a job, against the disks.
async fn ask(world: &World, index: usize) {
    let key = key_of(&job(index).serial);
    match call("GET", &format!("/v1/jobs/{}/{}", key.seller, key.serial), None).await {
        Some((200, answer)) => world.told(&key, &answer),
        other => world.violate(&format!("{} is not shown: {other:?}", key.serial)),
    }
}

/// One call on a connection of its own. `None`: no answer, or not the whole of it.
async fn call(method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
    tokio::time::timeout(PATIENCE, exchange(method, path, body)).await.ok()?.ok()?
}

async fn exchange(method: &str, path: &str, body: Option<&Value>) -> std::io::Result<Option<(u16, Value)>> {
    let mut stream = TcpStream::connect(("broker", PORT)).await?;
    let text = body.map(ToString::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: broker\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all(format!("{head}{text}").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(parse(&String::from_utf8_lossy(&answer)))
}

fn parse(answer: &str) -> Option<(u16, Value)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

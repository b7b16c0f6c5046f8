//! The broker under test, over one of its stores: sellers, agents with disks that issue at once, and callers.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::agents::{self, Acknowledged};
use super::http::{Connection, request};
use super::usage::{Cores, Meter};
use super::{Sample, Serials, closed_loop, toll_of};
use crate::rig::BrokerRig;
use serde_json::json;

/// Sellers, each with one agent and one disk: as many as there are callers in the run end to end.
pub const SELLERS: usize = 64;
/// What a broker under test is configured with.
pub const CONFIG: &str = "[limits]\nconnections = 20000\ncalls_per_key_s = 0\n[log]\nfilter = \"warn\"\n";
/// Lines of a batch request.
pub const BATCH_LINES: usize = 2000;
/// Callers that send batches at the same time.
pub const BATCH_CALLERS: usize = 4;

/// The taxpayer number of the seller with this index: first those with a disk, then those without.
pub fn seller(index: usize) -> String {
    super::taxpayer(&format!("9111{index:013}"))
}

/// A running broker with its sellers, agents and disks.
pub struct Target {
    broker: BrokerRig,
    address: SocketAddr,
    key: String,
    /// Sellers with a disk.
    sellers: Vec<String>,
    /// Sellers without one: their jobs stay queued.
    diskless: Vec<String>,
    acknowledged: Acknowledged,
    runs: u32,
}

/// A request to submit, into which serial numbers are written.
struct Submission {
    bytes: Vec<u8>,
    at: usize,
    serials: Serials,
}

impl Submission {
    fn new(key: &str, seller: &str, serials: Serials) -> Submission {
        let body = toll_of(seller, &"#".repeat(20)).to_string();
        let bytes = request("POST", "/v1/jobs", key, "application/json", body.as_bytes());
        let at = bytes.windows(20).position(|part| part == [b'#'; 20]).expect("the place of the serial number");
        Submission { bytes, at, serials }
    }

    /// The next one, and its serial number.
    fn take(&mut self) -> String {
        let serial = self.serials.take();
        self.bytes[self.at..self.at + 20].copy_from_slice(serial.as_bytes());
        serial
    }
}

struct Caller {
    connection: Connection,
    submission: Submission,
    seller: String,
}

impl Target {
    /// Starts a broker on this store: [`SELLERS`] sellers that each have an agent and a disk that issues at once, and as many
    /// without.
    pub async fn start(folder: &Path, name: &str, store: &str) -> Target {
        Target::over(BrokerRig::start_on(folder, name, store, CONFIG), SELLERS).await
    }

    /// Takes a broker that runs on [`CONFIG`]. `count` agents are linked, each with a disk of a seller of its own; jobs go to the
    /// first [`SELLERS`].
    pub async fn over(broker: BrokerRig, count: usize) -> Target {
        let address = broker.url.trim_start_matches("http://").parse().expect("the address that it listens on");
        let key = broker.admin_key();
        let idle = (2 * SELLERS..).map(seller).take(count.saturating_sub(SELLERS));
        let sellers: Vec<String> = (0..SELLERS).map(seller).chain(idle).take(count).collect();
        let diskless: Vec<String> = (SELLERS..2 * SELLERS).map(seller).collect();
        let mut connection = Connection::open(address).await.unwrap();
        for seller in sellers.iter().chain(&diskless) {
            let body = json!({ "name": "示例商贸有限公司" }).to_string();
            agents::send(&mut connection, "PUT", &format!("/v1/sellers/{seller}"), &key, &body).await.unwrap();
        }
        let acknowledged = Acknowledged::default();
        let connect = async move || tokio::net::TcpStream::connect(address).await;
        for mut agent in agents::enrol(connect, &key, count, &sellers).await.unwrap() {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut link = agent.join(stream, 0).await.unwrap();
            link.granted().await.unwrap();
            let acknowledged = acknowledged.clone();
            tokio::task::spawn_local(async move { link.work(&acknowledged).await });
        }
        let sellers = sellers.into_iter().take(SELLERS).collect();
        Target { broker, address, key, sellers, diskless, acknowledged, runs: 0 }
    }

    /// Its key and address, for calls of another kind.
    pub fn door(&self) -> (SocketAddr, &str) {
        (self.address, &self.key)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.broker.running.pid()
    }

    async fn callers(&mut self, count: usize, sellers: &[String]) -> Vec<Caller> {
        self.runs += 1;
        let mut callers = Vec::new();
        for index in 0..count {
            let seller = sellers[index % sellers.len()].clone();
            let serials = Serials::new(self.runs, index as u32);
            let submission = Submission::new(&self.key, &seller, serials);
            callers.push(Caller { connection: Connection::open(self.address).await.unwrap(), submission, seller });
        }
        callers
    }

    /// Jobs are accepted, one a request.
    pub async fn accept(&mut self, count: usize, time: Duration, others: &[u32]) -> (Sample, Cores) {
        let sellers = self.diskless.clone();
        let callers = self.callers(count, &sellers).await;
        let meter = Meter::start(others);
        let sample = closed_loop(callers, time, async |caller: &mut Caller| {
            caller.submission.take();
            let answer = caller.connection.call(&caller.submission.bytes).await.unwrap();
            assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(answer.body));
        })
        .await;
        (sample, meter.cores())
    }

    /// Jobs are accepted in batches; the calls of the sample are jobs, its latencies those of a batch.
    pub async fn batches(&mut self, time: Duration, others: &[u32]) -> (Sample, Cores) {
        let sellers = self.diskless.clone();
        let mut callers = self.callers(BATCH_CALLERS, &sellers).await;
        // Made before: the generator is to cost little while it measures. More than can be sent in the time.
        let count = (time.as_secs_f64() * 100_000.0) as usize / BATCH_LINES / BATCH_CALLERS + 1;
        let mut batches: Vec<(Connection, Vec<Vec<u8>>)> = Vec::new();
        for (index, mut caller) in callers.drain(..).enumerate() {
            let made = (0..count).map(|batch| {
                let lines: String = (0..BATCH_LINES)
                    .map(|line| {
                        let seller = &sellers[(index + batch + line) % sellers.len()];
                        format!("{}\n", toll_of(seller, &caller.submission.serials.take()))
                    })
                    .collect();
                request("POST", "/v1/jobs:batch", &self.key, "application/x-ndjson", lines.as_bytes())
            });
            let made = made.collect();
            batches.push((caller.connection, made));
        }
        let meter = Meter::start(others);
        let sample = closed_loop(batches, time, async |(connection, batches): &mut (Connection, Vec<Vec<u8>>)| {
            let answer = connection.call(&batches.pop().expect("more batches than can be sent")).await.unwrap();
            let accepted = answer.body.split(|byte| *byte == b'\n').filter(|line| {
                let head = &line[..line.len().min(40)];
                head.windows(12).any(|part| part == b"\"status\":201")
            });
            assert_eq!(accepted.count(), BATCH_LINES, "{}", String::from_utf8_lossy(&answer.body[..400]));
        })
        .await;
        (Sample { calls: sample.calls * BATCH_LINES as u64, ..sample }, meter.cores())
    }

    /// Jobs end to end, counted as the queues are: accepted, handed over, and the outcome durable and acknowledged.
    pub async fn end_to_end(&mut self, count: usize, time: Duration, others: &[u32]) -> (Sample, Cores) {
        let sellers = self.sellers.clone();
        let callers = self.callers(count, &sellers).await;
        let acknowledged = self.acknowledged.clone();
        let meter = Meter::start(others);
        let sample = closed_loop(callers, time, async move |caller: &mut Caller| {
            let serial = caller.submission.take();
            let done = acknowledged.enter(&serial);
            let answer = caller.connection.call(&caller.submission.bytes).await.unwrap();
            assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(answer.body));
            done.await.expect("the outcome is acknowledged");
        })
        .await;
        (sample, meter.cores())
    }

    /// Jobs end to end, and the caller reads the invoice by a long poll.
    pub async fn with_result(&mut self, count: usize, time: Duration, others: &[u32]) -> (Sample, Cores) {
        let sellers = self.sellers.clone();
        let callers = self.callers(count, &sellers).await;
        let key = self.key.clone();
        let meter = Meter::start(others);
        let sample = closed_loop(callers, time, async move |caller: &mut Caller| {
            let serial = caller.submission.take();
            let answer = caller.connection.call(&caller.submission.bytes).await.unwrap();
            assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(answer.body));
            let path = format!("/v1/jobs/{}/{serial}?wait=30s", caller.seller);
            let answer = caller.connection.call(&request("GET", &path, &key, "application/json", b"")).await.unwrap();
            assert!(answer.body.windows(10).any(|part| part == b"\"issued_at"), "{}", String::from_utf8_lossy(answer.body));
        })
        .await;
        (sample, meter.cores())
    }
}

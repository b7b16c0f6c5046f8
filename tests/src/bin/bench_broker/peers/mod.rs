//! Queues that others run, as peers in the same run: each puts a message durably for every caller (accept), and gives it to a
//! worker whose acknowledgement ends the job (end to end). Messages are the bodies that the broker is sent. Those whose programs
//! are not installed are named.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use taxdisk_tests::load::Sample;
use taxdisk_tests::load::usage::{Cores, Meter};
use taxdisk_tests::process::{PATIENCE, Running, wait_for};
use tokio::sync::Notify;

mod beanstalkd;
mod postgres;
mod rabbitmq;
mod redis;

/// Callers that wait for the end of their message; a message begins with the index of its caller.
#[derive(Clone)]
pub(crate) struct Waiting(Rc<Vec<Notify>>);

/// Digits of the index.
const DIGITS: usize = 5;

impl Waiting {
    fn new(callers: usize) -> Waiting {
        Waiting(Rc::new((0..callers).map(|_| Notify::new()).collect()))
    }

    /// The end of the message that this caller sent.
    async fn end(&self, caller: usize) {
        self.0[caller].notified().await;
    }

    /// A worker has acknowledged this message.
    fn ended(&self, message: &[u8]) {
        let index = std::str::from_utf8(&message[..DIGITS]).ok().and_then(|digits| digits.parse::<usize>().ok());
        if let Some(caller) = index.and_then(|index| self.0.get(index)) {
            caller.notify_one();
        }
    }
}

fn message(caller: usize) -> Vec<u8> {
    let body = taxdisk_tests::load::toll_of(taxdisk_tests::jobs::SELLER, "0123456789ABCDEF0123");
    format!("{caller:0DIGITS$} {body}").into_bytes()
}

/// A peer that runs.
pub(crate) enum Peer {
    /// Streams, `appendfsync always`.
    Redis(redis::Redis),
    /// Quorum queues.
    RabbitMq(rabbitmq::RabbitMq),
    /// A table as a queue, many rows a commit.
    Postgres(postgres::Table),
    /// `-f0`.
    Beanstalkd(beanstalkd::Beanstalkd),
}

impl Peer {
    /// Starts those whose programs are there; names the others.
    pub(crate) async fn start_all(folder: &Path) -> (Vec<Peer>, Vec<String>) {
        let (mut peers, mut missing) = (Vec::new(), Vec::new());
        match program("redis-server", &["/usr/bin"]) {
            Some(program) => peers.push(Peer::Redis(redis::Redis::start(folder, &program).await)),
            None => missing.push("Redis Streams (redis-server is not installed)".to_owned()),
        }
        match program("rabbitmq-server", &["/usr/lib/rabbitmq/bin"]) {
            Some(program) => match rabbitmq::RabbitMq::start(folder, &program).await {
                Ok(rabbit) => peers.push(Peer::RabbitMq(rabbit)),
                Err(why) => missing.push(format!("RabbitMQ ({why})")),
            },
            None => missing.push("RabbitMQ (rabbitmq-server is not installed)".to_owned()),
        }
        peers.push(Peer::Postgres(postgres::Table::start().await));
        match program("beanstalkd", &["/usr/bin", "/usr/sbin"]) {
            Some(program) => peers.push(Peer::Beanstalkd(beanstalkd::Beanstalkd::start(folder, &program).await)),
            None => missing.push("beanstalkd (not installed)".to_owned()),
        }
        missing.push(match program("nats-server", &["/usr/sbin", "/usr/bin"]) {
            Some(program) => {
                let said = Command::new(program).arg("--version").output().map(|said| said.stdout).unwrap_or_default();
                let version = String::from_utf8_lossy(&said).trim().to_owned();
                format!("NATS JetStream ({version}; only 2.10 and newer can sync always, and no client of it is written here)")
            }
            None => "NATS JetStream (nats-server is not installed)".to_owned(),
        });
        (peers, missing)
    }

    /// What it is.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Peer::Redis(_) => "Redis Streams, appendfsync always",
            Peer::RabbitMq(_) => "RabbitMQ quorum queue",
            Peer::Postgres(_) => "PostgreSQL table, coalesced",
            Peer::Beanstalkd(_) => "beanstalkd -f0",
        }
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Peer::Redis(redis) => vec![redis.running.pid()],
            Peer::RabbitMq(rabbit) => vec![rabbit.running.pid()],
            Peer::Postgres(table) => table.server.pids(),
            Peer::Beanstalkd(beanstalkd) => vec![beanstalkd.running.pid()],
        }
    }

    /// Messages are put, each confirmed when it is durable.
    pub(crate) async fn accept(&self, callers: usize, time: Duration) -> (Sample, Cores) {
        let meter = Meter::start(&self.pids());
        let sample = match self {
            Peer::Redis(redis) => redis.run(callers, time, false).await,
            Peer::RabbitMq(rabbit) => rabbit.run(callers, time, false).await,
            Peer::Postgres(table) => table.run(callers, time, false).await,
            Peer::Beanstalkd(beanstalkd) => beanstalkd.run(callers, time, false).await,
        };
        (sample, meter.cores())
    }

    /// Messages are put, taken by a worker, and acknowledged; then their callers put the next.
    pub(crate) async fn end_to_end(&self, callers: usize, time: Duration) -> (Sample, Cores) {
        let meter = Meter::start(&self.pids());
        let sample = match self {
            Peer::Redis(redis) => redis.run(callers, time, true).await,
            Peer::RabbitMq(rabbit) => rabbit.run(callers, time, true).await,
            Peer::Postgres(table) => table.run(callers, time, true).await,
            Peer::Beanstalkd(beanstalkd) => beanstalkd.run(callers, time, true).await,
        };
        (sample, meter.cores())
    }
}

/// A program, from the path or where Debian keeps it.
fn program(name: &str, folders: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(folders.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn start(folder: &Path, name: &str, command: Command) -> Running {
    Running::start(name, &folder.join(format!("{name}.log")), command)
}

fn wait_listening(name: &str, port: u16) {
    wait_for(name, PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string()));
}

//! beanstalkd with a log that is synced at every write (`-f0`): `put`, `reserve`, `delete`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use taxdisk_tests::load::{Sample, closed_loop};
use taxdisk_tests::process::Running;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Waiting, free_port, message, start, wait_listening};

const WORKERS: usize = 8;

pub(crate) struct Beanstalkd {
    pub(crate) running: Running,
    port: u16,
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(port: u16, tube: &str) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut connection = Connection(BufReader::new(stream));
        connection.call(format!("use {tube}\r\n").as_bytes()).await;
        connection.call(format!("watch {tube}\r\n").as_bytes()).await;
        connection.call(b"ignore default\r\n").await;
        connection
    }

    async fn call(&mut self, bytes: &[u8]) -> String {
        self.0.write_all(bytes).await.unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }
}

impl Beanstalkd {
    pub(crate) async fn start(folder: &Path, program: &Path) -> Beanstalkd {
        let port = free_port();
        let data = folder.join("beanstalkd");
        std::fs::create_dir_all(&data).unwrap();
        let mut command = Command::new(program);
        command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-f0", "-b"]).arg(&data);
        let running = start(folder, "beanstalkd", command);
        wait_listening("beanstalkd", port);
        Beanstalkd { running, port }
    }

    pub(crate) async fn run(&self, count: usize, time: Duration, whole: bool) -> Sample {
        let tube = if whole { "jobs" } else { "accepts" };
        let waiting = Waiting::new(count);
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..if whole { WORKERS } else { 0 } {
            let (mut connection, waiting) = (Connection::open(self.port, tube).await, waiting.clone());
            workers.spawn_local(async move {
                loop {
                    let reserved = connection.call(b"reserve\r\n").await;
                    let mut words = reserved.split_whitespace().skip(1);
                    let (Some(id), Some(length)) = (words.next(), words.next().and_then(|length| length.parse::<usize>().ok()))
                    else {
                        panic!("beanstalkd: {reserved}");
                    };
                    let mut message = vec![0; length + 2];
                    connection.0.read_exact(&mut message).await.unwrap();
                    assert_eq!(connection.call(format!("delete {id}\r\n").as_bytes()).await, "DELETED\r\n");
                    waiting.ended(&message);
                }
            });
        }
        let mut callers = Vec::new();
        for index in 0..count {
            let message = message(index);
            let put = [format!("put 0 0 600 {}\r\n", message.len()).as_bytes(), &message, b"\r\n"].concat();
            callers.push((index, put, Connection::open(self.port, tube).await));
        }
        closed_loop(callers, time, async move |(index, put, connection): &mut (usize, Vec<u8>, Connection)| {
            let answer = connection.call(put).await;
            assert!(answer.starts_with("INSERTED"), "beanstalkd: {answer}");
            if whole {
                waiting.end(*index).await;
            }
        })
        .await
    }
}

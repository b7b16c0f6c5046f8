//! Redis Streams: `XADD`, a consumer group, `XACK`. Every command that changes something is synced before its answer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use taxdisk_tests::load::{Sample, closed_loop};
use taxdisk_tests::process::Running;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Waiting, free_port, message, start, wait_listening};

/// Workers, and messages that each takes at once.
const WORKERS: usize = 8;
const AT_ONCE: &[u8] = b"16";

pub(crate) struct Redis {
    pub(crate) running: Running,
    port: u16,
}

/// An answer.
#[derive(Debug)]
enum Reply {
    Text(Vec<u8>),
    List(Vec<Reply>),
    Nothing,
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    async fn call(&mut self, parts: &[&[u8]]) -> Reply {
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        self.0.write_all(&bytes).await.unwrap();
        self.reply().await
    }

    async fn reply(&mut self) -> Reply {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await.unwrap();
        let rest = String::from_utf8_lossy(line.get(1..).unwrap_or_default()).trim().to_owned();
        match line.first() {
            Some(b'+' | b':') => Reply::Text(rest.into_bytes()),
            Some(b'$') => match rest.parse::<usize>() {
                Ok(length) => {
                    let mut text = vec![0; length + 2];
                    self.0.read_exact(&mut text).await.unwrap();
                    text.truncate(length);
                    Reply::Text(text)
                }
                Err(_) => Reply::Nothing,
            },
            Some(b'*') => {
                let mut list = Vec::new();
                for _ in 0..rest.parse::<usize>().unwrap_or(0) {
                    list.push(Box::pin(self.reply()).await);
                }
                Reply::List(list)
            }
            _ => panic!("Redis: {}", String::from_utf8_lossy(&line)),
        }
    }
}

impl Redis {
    pub(crate) async fn start(folder: &Path, program: &Path) -> Redis {
        let port = free_port();
        let data = folder.join("redis");
        std::fs::create_dir_all(&data).unwrap();
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendonly", "yes", "--appendfsync", "always"]);
        command.args(["--save", "", "--auto-aof-rewrite-percentage", "0", "--dir"]).arg(&data);
        let running = start(folder, "redis", command);
        wait_listening("redis", port);
        let mut connection = Connection::open(port).await;
        connection.call(&[b"XGROUP", b"CREATE", b"jobs", b"workers", b"$", b"MKSTREAM"]).await;
        Redis { running, port }
    }

    pub(crate) async fn run(&self, count: usize, time: Duration, whole: bool) -> Sample {
        // Accepts go into a stream of their own, which nobody reads.
        let stream: &'static [u8] = if whole { b"jobs" } else { b"accepts" };
        let waiting = Waiting::new(count);
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..if whole { WORKERS } else { 0 } {
            let (mut connection, waiting) = (Connection::open(self.port).await, waiting.clone());
            workers.spawn_local(async move { work(&mut connection, worker, &waiting).await });
        }
        let mut callers = Vec::new();
        for index in 0..count {
            callers.push((index, message(index), Connection::open(self.port).await));
        }
        closed_loop(callers, time, async move |(index, message, connection): &mut (usize, Vec<u8>, Connection)| {
            let reply = connection.call(&[b"XADD", stream, b"*", b"job", message]).await;
            assert!(matches!(reply, Reply::Text(_)), "{reply:?}");
            if whole {
                waiting.end(*index).await;
            }
        })
        .await
    }
}

async fn work(connection: &mut Connection, worker: usize, waiting: &Waiting) {
    let name = worker.to_string();
    loop {
        let read: [&[u8]; 10] =
            [b"XREADGROUP", b"GROUP", b"workers", name.as_bytes(), b"COUNT", AT_ONCE, b"BLOCK", b"1000", b"STREAMS", b"jobs"];
        let reply = connection.call(&[&read[..], &[b">"]].concat()).await;
        // [[stream, [[id, [field, message]], …]]]
        let Reply::List(streams) = reply else { continue };
        let Some(Reply::List(stream)) = streams.into_iter().next() else { continue };
        let Some(Reply::List(entries)) = stream.into_iter().nth(1) else { continue };
        let mut taken = Vec::new();
        for entry in entries {
            let Reply::List(mut entry) = entry else { continue };
            if let (Some(Reply::List(mut fields)), Some(Reply::Text(id))) = (entry.pop(), entry.pop())
                && let Some(Reply::Text(message)) = fields.pop()
            {
                taken.push((id, message));
            }
        }
        let ids = taken.iter().map(|(id, _)| id.as_slice());
        let acknowledge: Vec<&[u8]> = [b"XACK".as_slice(), b"jobs", b"workers"].into_iter().chain(ids).collect();
        connection.call(&acknowledge).await;
        taken.iter().for_each(|(_, message)| waiting.ended(message));
    }
}

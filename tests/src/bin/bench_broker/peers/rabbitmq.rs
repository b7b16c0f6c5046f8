//! RabbitMQ with a quorum queue: published with confirms, consumed with acknowledgements. As much of AMQP 0-9-1 as that takes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use taxdisk_tests::load::usage::family;
use taxdisk_tests::load::{Sample, closed_loop};
use taxdisk_tests::process::{PATIENCE, Running, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Waiting, free_port, message, start};

const WORKERS: usize = 4;
/// Messages that a worker may hold.
const PREFETCH: u16 = 64;
const FRAME_END: u8 = 0xCE;

pub(crate) struct RabbitMq {
    pub(crate) running: Running,
    port: u16,
}

impl Drop for RabbitMq {
    /// Its script starts the server by way of another account; that outlives the script.
    fn drop(&mut self) {
        for started in family(self.running.pid()).into_iter().skip(1) {
            let pid = i32::try_from(started).ok().and_then(rustix::process::Pid::from_raw);
            // One that has ended meanwhile needs no end.
            let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

/// A frame: its type (1 method, 2 header, 3 body, 8 heartbeat) and payload.
struct Frame(u8, Vec<u8>);

impl Frame {
    fn is(&self, class: u16, method: u16) -> bool {
        self.0 == 1 && self.1.starts_with(&[class.to_be_bytes(), method.to_be_bytes()].concat())
    }
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat()
}

fn framed(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind], channel.to_be_bytes().as_slice(), &length, payload, &[FRAME_END]].concat()
}

fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    framed(1, channel, &[&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat())
}

/// A connection with one channel.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(port: u16, queue: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Connection(BufReader::new(stream));
        connection.0.write_all(b"AMQP\x00\x00\x09\x01").await?;
        connection.expect(10, 10).await?;
        let start_ok = [&[0; 4], short("PLAIN").as_slice(), &long(b"\0guest\0guest"), &short("en_US")].concat();
        connection.0.write_all(&method(0, 10, 11, &start_ok)).await?;
        let tune = connection.expect(10, 30).await?;
        // The limits that it offers, and no heartbeats.
        let tune_ok = [&tune.1[4..10], &[0, 0]].concat();
        connection.0.write_all(&method(0, 10, 31, &tune_ok)).await?;
        connection.0.write_all(&method(0, 10, 40, &[&short("/"), [0, 0].as_slice()].concat())).await?;
        connection.expect(10, 41).await?;
        connection.ask(20, 10, &[0], 11).await?;
        let quorum = [short("x-queue-type"), b"S".to_vec(), long(b"quorum")].concat();
        // Bit 1: durable.
        let declare = [&[0, 0], short(queue).as_slice(), &[2], &long(&quorum)].concat();
        connection.ask(50, 10, &declare, 11).await?;
        Ok(connection)
    }

    /// Calls a method and reads its answer.
    async fn ask(&mut self, class: u16, call: u16, arguments: &[u8], answer: u16) -> std::io::Result<Frame> {
        self.0.write_all(&method(1, class, call, arguments)).await?;
        self.expect(class, answer).await
    }

    async fn frame(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut payload = vec![0; length + 1];
        self.0.read_exact(&mut payload).await?;
        match payload.pop() {
            Some(FRAME_END) => Ok(Frame(head[0], payload)),
            _ => Err(std::io::Error::other("a frame without its end")),
        }
    }

    async fn expect(&mut self, class: u16, method: u16) -> std::io::Result<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.is(class, method) {
                return Ok(frame);
            }
            if frame.0 != 8 {
                let text = String::from_utf8_lossy(&frame.1).into_owned();
                return Err(std::io::Error::other(format!("{class}.{method} was expected, and not {text:?}")));
            }
        }
    }
}

/// Publishes to the queue: the method, the header (persistent), the body.
fn publish(queue: &str, message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_be_bytes();
    let header = [60_u16.to_be_bytes().as_slice(), &[0; 2], &length, &0x1000_u16.to_be_bytes(), &[2]].concat();
    let arguments = [&[0, 0], short("").as_slice(), &short(queue), &[0]].concat();
    [method(1, 60, 40, &arguments), framed(2, 1, &header), framed(3, 1, message)].concat()
}

impl RabbitMq {
    /// Starts it, with a node of its own.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) async fn start(folder: &Path, program: &Path) -> Result<RabbitMq, String> {
        let (port, distribution) = (free_port(), free_port());
        let data = folder.join("rabbitmq");
        std::fs::create_dir_all(&data).unwrap();
        // Its scripts leave root's account for one of their own.
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&data, PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::write(data.join("plugins"), "[].\n").unwrap();
        std::fs::write(data.join("rabbitmq.conf"), format!("listeners.tcp.default = 127.0.0.1:{port}\n")).unwrap();
        let mut command = Command::new(program);
        command.env("HOME", &data).env("RABBITMQ_NODENAME", "taxdisk-bench@localhost").env("RABBITMQ_MNESIA_BASE", &data);
        command.env("RABBITMQ_LOG_BASE", &data).env("RABBITMQ_ENABLED_PLUGINS_FILE", data.join("plugins"));
        command.env("RABBITMQ_CONFIG_FILE", data.join("rabbitmq.conf")).env("RABBITMQ_DIST_PORT", distribution.to_string());
        let mut running = start(folder, "rabbitmq", command);
        wait_for("RabbitMQ", PATIENCE, || match running.ended() {
            Some(status) => Ok(Err(format!("it ended with {status}: {}", taxdisk_tests::process::tail(&running.log)))),
            None => std::net::TcpStream::connect(("127.0.0.1", port)).map(|_| Ok(())).map_err(|error| error.to_string()),
        })?;
        Connection::open(port, "jobs").await.map_err(|error| error.to_string())?;
        Ok(RabbitMq { running, port })
    }

    pub(crate) async fn run(&self, count: usize, time: Duration, whole: bool) -> Sample {
        let queue = if whole { "jobs" } else { "accepts" };
        let waiting = Waiting::new(count);
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..if whole { WORKERS } else { 0 } {
            let (mut connection, waiting) = (Connection::open(self.port, queue).await.unwrap(), waiting.clone());
            let prefetch = [&[0; 4], PREFETCH.to_be_bytes().as_slice(), &[0]].concat();
            connection.ask(60, 10, &prefetch, 11).await.unwrap();
            let consume = [&[0, 0], short(queue).as_slice(), &short("w"), &[0], &[0; 4]].concat();
            connection.ask(60, 20, &consume, 21).await.unwrap();
            workers.spawn_local(async move {
                loop {
                    let delivered = connection.expect(60, 60).await.unwrap();
                    let tag_at = 5 + usize::from(delivered.1[4]);
                    let tag = delivered.1[tag_at..tag_at + 8].to_vec();
                    connection.frame().await.unwrap();
                    let body = connection.frame().await.unwrap();
                    connection.0.write_all(&method(1, 60, 80, &[tag.as_slice(), &[0]].concat())).await.unwrap();
                    waiting.ended(&body.1);
                }
            });
        }
        let mut callers = Vec::new();
        for index in 0..count {
            let mut connection = Connection::open(self.port, queue).await.unwrap();
            connection.ask(85, 10, &[0], 11).await.unwrap();
            callers.push((index, publish(queue, &message(index)), connection));
        }
        closed_loop(callers, time, async move |(index, publish, connection): &mut (usize, Vec<u8>, Connection)| {
            connection.0.write_all(publish).await.unwrap();
            connection.expect(60, 80).await.unwrap();
            if whole {
                waiting.end(*index).await;
            }
        })
        .await
    }
}

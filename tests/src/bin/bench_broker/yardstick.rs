//! The yardstick for single accepts: an axum handler that appends each body to a log and answers once it is on the disk. One
//! thread writes what has come since the last time and calls `fdatasync` once for all of it. It checks nothing, keeps no key and
//! chains nothing: nothing durable behind HTTP is faster by much.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use taxdisk_tests::load::http::{Connection, request};
use taxdisk_tests::load::usage::{Cores, Meter};
use taxdisk_tests::load::{Sample, closed_loop, toll_of};
use taxdisk_tests::process::{PATIENCE, Running, wait_for};
use tokio::sync::{mpsc, oneshot};

type Append = (Bytes, oneshot::Sender<()>);

/// Serves, as a process of its own: writes its address into `folder/address`.
pub(crate) fn serve(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (queue, appends) = mpsc::unbounded_channel::<Append>();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    std::thread::spawn(move || write(log, appends));
    runtime.block_on(async {
        let router = axum::Router::new().route("/v1/jobs", post(append)).with_state(queue);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        std::fs::write(folder.join("address.new"), listener.local_addr().unwrap().to_string()).unwrap();
        std::fs::rename(folder.join("address.new"), folder.join("address")).unwrap();
        axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), router).await.unwrap();
    });
}

async fn append(State(queue): State<mpsc::UnboundedSender<Append>>, body: Bytes) -> StatusCode {
    let (written, waits) = oneshot::channel();
    if queue.send((body, written)).is_err() || waits.await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::CREATED
}

fn write(mut log: std::fs::File, mut appends: mpsc::UnboundedReceiver<Append>) {
    while let Some(first) = appends.blocking_recv() {
        let mut group = vec![first];
        while let Ok(more) = appends.try_recv() {
            group.push(more);
        }
        let bytes: Vec<u8> = group.iter().flat_map(|(body, _)| body.iter().copied()).collect();
        log.write_all(&bytes).unwrap();
        log.sync_data().unwrap();
        for (_, written) in group {
            // A caller that hung up.
            let _ = written.send(());
        }
    }
}

/// The running process.
pub(crate) struct Yardstick {
    running: Running,
    address: SocketAddr,
}

impl Yardstick {
    /// Starts it.
    pub(crate) fn start(folder: &Path) -> Yardstick {
        let folder = folder.join("yardstick");
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.arg("yardstick").arg(&folder);
        let running = Running::start("yardstick", &folder.join("output"), command);
        let address = wait_for("the yardstick", PATIENCE, || {
            let text = std::fs::read_to_string(folder.join("address")).map_err(|error| error.to_string())?;
            text.parse().map_err(|error| format!("{text:?}: {error}"))
        });
        Yardstick { running, address }
    }

    /// Bodies are appended, one a request.
    pub(crate) async fn accept(&self, count: usize, time: Duration) -> (Sample, Cores) {
        let body = toll_of(taxdisk_tests::jobs::SELLER, "0123456789ABCDEF0123").to_string();
        let request = request("POST", "/v1/jobs", "none", "application/json", body.as_bytes());
        let mut callers = Vec::new();
        for _ in 0..count {
            callers.push(Connection::open(self.address).await.unwrap());
        }
        let meter = Meter::start(&[self.running.pid()]);
        let sample = closed_loop(callers, time, async move |caller: &mut Connection| {
            assert_eq!(caller.call(&request).await.unwrap().status, 201);
        })
        .await;
        (sample, meter.cores())
    }
}

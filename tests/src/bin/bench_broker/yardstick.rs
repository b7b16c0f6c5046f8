//! The limits of this machine. The yardstick of accepts is an axum handler that appends each body to a log and answers once it is
//! on the disk. One thread writes what has come since the last time and calls `fdatasync` once for all of it. It checks nothing,
//! keeps no key and chains nothing: nothing durable behind HTTP is faster by much. Beside it stand its two halves: the handler
//! that answers at once, and the log without HTTP.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use taxdisk_tests::load::http::{Connection, request};
use taxdisk_tests::load::target::{BATCH_CALLERS, BATCH_LINES};
use taxdisk_tests::load::usage::{Cores, Meter};
use taxdisk_tests::load::{Sample, closed_loop, toll_of};
use taxdisk_tests::process::{PATIENCE, Running, wait_for};
use tokio::sync::{mpsc, oneshot};

/// The handler alone: answers at once, and keeps nothing.
pub(crate) const BARE: Limit = Limit(Some("/bare"));
/// The log behind HTTP.
pub(crate) const APPEND: Limit = Limit(Some("/v1/jobs"));
/// The log alone, in the process of the callers.
pub(crate) const LOG: Limit = Limit(None);

/// The path of a limit; without one it is no server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(Option<&'static str>);

type Append = (Bytes, oneshot::Sender<()>);

/// Serves, as a process of its own: writes its address into `folder/address`.
pub(crate) fn serve(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (queue, appends) = mpsc::unbounded_channel::<Append>();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    std::thread::spawn(move || write(log, appends));
    runtime.block_on(async {
        let bare = post(async |body: Bytes| if body.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::CREATED });
        let router = axum::Router::new().route("/v1/jobs", post(append)).route("/bare", bare);
        let router = router.layer(axum::extract::DefaultBodyLimit::disable()).with_state(queue);
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

/// The running process, and the log without HTTP.
pub(crate) struct Yardstick {
    running: Running,
    address: SocketAddr,
    log: mpsc::UnboundedSender<Append>,
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
        let (log, appends) = mpsc::unbounded_channel();
        let file = std::fs::File::create(folder.join("bare-log")).unwrap();
        std::thread::spawn(move || write(file, appends));
        Yardstick { running, address, log }
    }

    /// Bodies are appended, one a request.
    pub(crate) async fn accept(&self, limit: Limit, count: usize, time: Duration) -> (Sample, Cores) {
        let body = toll_of(taxdisk_tests::jobs::SELLER, "0123456789ABCDEF0123").to_string();
        let Limit(Some(path)) = limit else {
            let (log, body, meter) = (self.log.clone(), Bytes::from(body), Meter::start(&[]));
            let sample = closed_loop(vec![(); count], time, async move |(): &mut ()| {
                let (written, waits) = oneshot::channel();
                log.send((body.clone(), written)).unwrap();
                waits.await.unwrap();
            })
            .await;
            return (sample, meter.cores());
        };
        let request = request("POST", path, "none", "application/json", body.as_bytes());
        self.calls(request, count, time).await
    }

    /// Bodies of as many lines as the broker's batches have; the calls of the sample are lines.
    pub(crate) async fn batches(&self, time: Duration) -> (Sample, Cores) {
        let line = toll_of(taxdisk_tests::jobs::SELLER, "0123456789ABCDEF0123").to_string() + "\n";
        let body = line.repeat(BATCH_LINES);
        let request = request("POST", "/v1/jobs", "none", "application/x-ndjson", body.as_bytes());
        let (sample, cores) = self.calls(request, BATCH_CALLERS, time).await;
        (Sample { calls: sample.calls * BATCH_LINES as u64, ..sample }, cores)
    }

    async fn calls(&self, request: Vec<u8>, count: usize, time: Duration) -> (Sample, Cores) {
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

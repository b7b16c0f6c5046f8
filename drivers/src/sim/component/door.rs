//! The HTTP door: `POST /SKServer/SKDo` (the tax-control server) and `POST /bridge` (the disk's component) on one loopback
//! port, before the same simulated disk as the serial line. `POST /control` steers the simulator, where that was asked for.
//!
//! One thread a connection, at most [`MAX_CONNECTIONS`]. A client that goes away does not stop what it asked for: as with a
//! real server, the command executes all the same. A restart of the component breaks every connection, and nothing that
//! waited is executed after it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::http::{NoRequest, Request, read_request, refusal, write_answer};
use super::{ComponentCounters, ComponentFaultKind, Delivery, Dialect, Stage, perform};
use crate::sim::bridge::BRIDGE_PATH;
use crate::sim::control::{ControlAnswer, ControlRequest, obey};
use crate::sim::disk::SimDisk;
use crate::sim::nisec::NisecOptions;
use crate::sim::rig::Shared;
use crate::sim::skserver::SkServerOptions;

/// Where the tax-control server listens (B.1).
pub const SKSERVER_PATH: &str = "/SKServer/SKDo";
/// What the control socket takes and answers, as JSON.
const CONTROL_PATH: &str = "/control";
/// Connections at once; one more is closed unheard. A server of this kind has a handful of clients.
const MAX_CONNECTIONS: usize = 32;
/// Longest silence of a client in a request, or between two.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for a client that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the listening thread looks whether it should end or restart.
const LOOK_MS: i64 = 10;

/// What the HTTP door serves and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// A loopback address; port 0 = any free one, told by [`crate::sim::SimHandle::http`].
    pub listen: SocketAddr,
    /// Whoever reaches the port may steer the simulator at `/control`.
    pub control: bool,
    /// How the tax-control server behaves.
    pub skserver: SkServerOptions,
    /// How the disk's component behaves.
    pub nisec: NisecOptions,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            control: false,
            skserver: SkServerOptions::default(),
            nisec: NisecOptions::default(),
        }
    }
}

/// The listening end.
pub(in crate::sim) struct Door {
    listener: Option<TcpListener>,
    address: SocketAddr,
    skserver: Arc<Dialect>,
    nisec: Arc<Dialect>,
    control: bool,
    clients: Vec<(JoinHandle<()>, TcpStream)>,
}

impl Door {
    pub(in crate::sim) fn bind(options: HttpOptions) -> io::Result<Door> {
        if !options.listen.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a simulated component listens on loopback only"));
        }
        let listener = listen(options.listen)?;
        Ok(Door {
            address: listener.local_addr()?,
            listener: Some(listener),
            skserver: Arc::new(Dialect::SkServer(options.skserver)),
            nisec: Arc::new(Dialect::Nisec(options.nisec)),
            control: options.control,
            clients: Vec::new(),
        })
    }

    pub(in crate::sim) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the simulator stops, on a thread of its own.
    pub(in crate::sim) fn run(mut self, shared: &Arc<Shared>) {
        while !shared.is_stopping() {
            if let Some(off) = shared.component_restart_wanted() {
                self.listener = None;
                self.hang_up();
                shared.component_is_down();
                shared.pause_component(shared.component_generation(), off);
            }
            match &self.listener {
                Some(listener) => {
                    let wait = Timespec { tv_sec: 0, tv_nsec: LOOK_MS * 1_000_000 };
                    let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&wait));
                    if let Ok((stream, _)) = listener.accept() {
                        self.admit(shared, stream);
                    }
                }
                None => match listen(self.address) {
                    Ok(listener) => self.listener = Some(listener),
                    Err(error) => {
                        tracing::warn!(%error, "the component's port cannot be had again; trying on");
                        shared.pause_component(shared.component_generation(), Duration::from_millis(100));
                    }
                },
            }
        }
        self.hang_up();
        for (thread, _) in self.clients.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the component panicked");
            }
        }
    }

    fn admit(&mut self, shared: &Arc<Shared>, stream: TcpStream) {
        self.clients.retain(|(thread, _)| !thread.is_finished());
        if self.clients.len() >= MAX_CONNECTIONS {
            tracing::warn!("too many connections to the simulated component");
            return;
        }
        let Ok(ours) = stream.set_nonblocking(false).and_then(|()| stream.try_clone()) else { return };
        // Weak: a client keeps neither the disk nor its lock.
        let (skserver, nisec) = (self.skserver.clone(), self.nisec.clone());
        let client = Client { shared: Arc::downgrade(shared), skserver, nisec, control: self.control };
        match std::thread::Builder::new().name("sim-http".to_owned()).spawn(move || client.serve(stream)) {
            Ok(thread) => self.clients.push((thread, ours)),
            Err(error) => tracing::warn!(%error, "a client of the component could not be served"),
        }
    }

    fn hang_up(&self) {
        for (_, stream) in &self.clients {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

struct Client {
    shared: Weak<Shared>,
    skserver: Arc<Dialect>,
    nisec: Arc<Dialect>,
    control: bool,
}

impl Client {
    fn serve(&self, mut stream: TcpStream) {
        let timeouts = stream.set_read_timeout(Some(READ_TIMEOUT)).and_then(|()| stream.set_write_timeout(Some(WRITE_TIMEOUT)));
        let mut left = Vec::new();
        let mut open = timeouts.is_ok();
        while open {
            open = match read_request(&mut stream, &mut left) {
                Ok(request) => self.answer(&mut stream, &request),
                Err(NoRequest::Refused(status)) => {
                    let _ = write_answer(&mut stream, &refusal(status), false);
                    false
                }
                Err(NoRequest::Gone) => false,
            };
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Whether the connection may be used again. Content-Type is not looked at (B.1).
    fn answer(&self, stream: &mut TcpStream, request: &Request) -> bool {
        let dialect = match request.path.as_str() {
            SKSERVER_PATH => &self.skserver,
            BRIDGE_PATH => &self.nisec,
            CONTROL_PATH if self.control && request.method == "POST" => {
                return write_answer(stream, &self.steer(&request.body), request.keeps).unwrap_or(false);
            }
            _ => return write_answer(stream, &refusal(404), request.keeps).unwrap_or(false),
        };
        if request.method != "POST" {
            return write_answer(stream, &refusal(405), request.keeps).unwrap_or(false);
        }
        let Some(generation) = self.shared.upgrade().map(|shared| shared.component_generation()) else { return false };
        let stage = HttpStage { shared: &self.shared, generation };
        match perform(&stage, dialect, &request.body) {
            Some(delivery) => write_answer(stream, &delivery, request.keeps).unwrap_or(false),
            None => false,
        }
    }
}

impl Client {
    fn steer(&self, body: &[u8]) -> Delivery {
        let answer = match (serde_json::from_slice::<ControlRequest>(body), self.shared.upgrade()) {
            (Ok(request), Some(shared)) => obey(&shared, request),
            (Err(error), _) => ControlAnswer { error: Some(format!("not a request: {error}")), ..ControlAnswer::default() },
            (_, None) => ControlAnswer { error: Some("the simulator has stopped".to_owned()), ..ControlAnswer::default() },
        };
        let status = if answer.ok { 200 } else { 400 };
        // Plain data with text keys.
        let body = serde_json::to_vec(&answer).unwrap_or_default();
        Delivery { status, kind: "application/json", body, cut_after: None }
    }
}

/// One exchange; it belongs to the component as it ran when the request arrived.
struct HttpStage<'a> {
    shared: &'a Weak<Shared>,
    generation: u64,
}

impl Stage for HttpStage<'_> {
    fn receive(&self, id: &str) -> Vec<ComponentFaultKind> {
        let Some(shared) = self.shared.upgrade() else { return Vec::new() };
        let component = &mut shared.lock().component;
        ComponentCounters::count(&mut component.counters.received, id);
        component.faults.at(id)
    }

    fn with_disk<T>(&self, work: impl FnOnce(&mut SimDisk) -> T) -> Option<T> {
        self.shared.upgrade().map(|shared| work(&mut shared.lock().disk))
    }

    fn execute(&self, id: &str, work: impl FnOnce(&mut SimDisk) -> Vec<u8>) -> Option<Vec<u8>> {
        let shared = self.shared.upgrade()?;
        let mut rig = shared.lock();
        // Under the same lock as a restart: what it ended is never executed.
        if rig.component.generation != self.generation || rig.line.want_stop {
            return None;
        }
        ComponentCounters::count(&mut rig.component.counters.executed, id);
        Some(work(&mut rig.disk))
    }

    fn pause(&self, time: Duration) -> bool {
        self.shared.upgrade().is_some_and(|shared| shared.pause_component(self.generation, time))
    }

    fn restart(&self, off: Duration) {
        if let Some(shared) = self.shared.upgrade() {
            shared.restart_component(off);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sim::nisec::sim_disk;
    use crate::sim::rig::Rig;
    use crate::sim::zc::{ZcDevice, ZcOptions};

    /// Between the end of a wait and the execution: the narrowest moment for a restart.
    #[test]
    fn a_document_of_before_a_restart_finds_no_disk_after_it() {
        let (shared, _line, _control) = Shared::new(Rig::new(sim_disk(), ZcDevice::new(ZcOptions::default()), None)).unwrap();
        let shared = Arc::new(shared);
        let weak = Arc::downgrade(&shared);
        let stage = HttpStage { shared: &weak, generation: shared.component_generation() };
        assert!(stage.pause(Duration::ZERO));
        assert_eq!(stage.execute("FPKJ", |_| b"executed".to_vec()), Some(b"executed".to_vec()));
        shared.restart_component(Duration::ZERO);
        assert!(!stage.pause(Duration::ZERO));
        assert_eq!(stage.execute("FPKJ", |_| unreachable!("the component that was asked has ended")), None);
        let stage = HttpStage { shared: &weak, generation: shared.component_generation() };
        assert!(stage.execute("FPKJ", |_| Vec::new()).is_some());
        drop(shared);
        assert_eq!(stage.with_disk(|_| ()), None, "a client alone keeps no disk");
    }
}

//! Control of a running simulator from another process: a Unix-domain socket, one JSON object a line each way.
//!
//! Only for tests, demonstrations and training. Whoever can open the socket can do anything to the simulated disk; it is
//! made with mode 0600.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::component::ComponentFault;
use super::config::{Segment, SimConfig};
use super::faults::Fault;
use super::issue::IssueOrder;
use super::ledger::{LedgerEntry, Origin};
use super::rig::{Rig, Shared, SimState, WireRecord};

/// Longest request: a foreign invoice with many lines is a few kilobytes.
const MAX_REQUEST_BYTES: u64 = 1 << 20;
/// Frames in one answer; ask again with the last `seq`.
const MAX_WIRE_ANSWER: usize = 10_000;

/// What can be asked. `{"do":"fault","fault":"crc_error","cmd":"0A"}`, `{"do":"state"}` …
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum ControlRequest {
    /// Adds a fault.
    Fault(Fault),
    /// Adds a fault of the components.
    ComponentFault(ComponentFault),
    /// Restarts the components: what waits in them is never executed.
    RestartComponent {
        /// How long nobody listens.
        #[serde(default)]
        off_ms: u64,
    },
    /// Forgets all faults that wait.
    ClearFaults,
    /// Pulls the line.
    Unplug {
        /// The power goes too: what was not signed never will be.
        #[serde(default)]
        cut_power: bool,
    },
    /// Plugs it in again.
    Replug,
    /// A look at everything.
    State,
    /// Another program issues.
    ForeignIssue {
        /// What; absent = one coffee.
        #[serde(default)]
        invoice: IssueOrder,
    },
    /// Another program voids.
    ForeignVoid {
        /// Kind.
        kind: InvoiceKind,
        /// Which.
        pair: NumberPair,
    },
    /// Changes the disk: fields of `disk.json`, `limits` and `state` merged field by field, everything else replaced;
    /// `null` empties an optional field.
    Set {
        /// The fields.
        #[serde(default)]
        patch: serde_json::Map<String, serde_json::Value>,
        /// Stock that is read in now.
        #[serde(default)]
        stock_add: Vec<Segment>,
    },
    /// Recorded frames.
    Wire {
        /// After this sequence number.
        #[serde(default)]
        since: u64,
    },
    /// Ends the simulator.
    Stop,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlAnswer {
    /// Done, or not and why.
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// To `state`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<SimState>>,
    /// To `wire`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<Vec<WireRecord>>,
    /// To `foreign_issue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Box<LedgerEntry>>,
}

impl ControlAnswer {
    fn done() -> ControlAnswer {
        ControlAnswer { ok: true, ..ControlAnswer::default() }
    }

    fn failed(error: impl std::fmt::Display) -> ControlAnswer {
        ControlAnswer { error: Some(error.to_string()), ..ControlAnswer::default() }
    }

    fn of<E: std::fmt::Display>(result: Result<(), E>) -> ControlAnswer {
        result.map_or_else(ControlAnswer::failed, |()| ControlAnswer::done())
    }
}

/// Does what is asked.
pub(super) fn obey(shared: &Shared, request: ControlRequest) -> ControlAnswer {
    match request {
        ControlRequest::Fault(fault) => {
            if shared.lock().faults.add(fault) {
                ControlAnswer::done()
            } else {
                ControlAnswer::failed("too many faults wait already: clear_faults first")
            }
        }
        ControlRequest::ComponentFault(fault) => {
            if shared.lock().component.faults.add(fault) {
                ControlAnswer::done()
            } else {
                ControlAnswer::failed("too many faults wait already: clear_faults first")
            }
        }
        ControlRequest::RestartComponent { off_ms } => {
            shared.restart_component(Duration::from_millis(off_ms));
            ControlAnswer::done()
        }
        ControlRequest::ClearFaults => {
            let mut rig = shared.lock();
            rig.faults.clear();
            rig.component.faults.clear();
            ControlAnswer::done()
        }
        ControlRequest::Unplug { cut_power } => {
            shared.unplug(cut_power);
            ControlAnswer::done()
        }
        ControlRequest::Replug => ControlAnswer::of(shared.replug()),
        ControlRequest::State => ControlAnswer { state: Some(Box::new(shared.lock().state())), ..ControlAnswer::done() },
        ControlRequest::ForeignIssue { invoice } => match shared.lock().disk.issue_foreign(&invoice) {
            Ok(entry) => ControlAnswer { entry: Some(Box::new(entry)), ..ControlAnswer::done() },
            Err(refusal) => ControlAnswer::failed(refusal),
        },
        ControlRequest::ForeignVoid { kind, pair } => {
            let mut rig = shared.lock();
            ControlAnswer::of(rig.disk.void_issued(kind, pair, "别的程序", None, Origin::Foreign).map(drop))
        }
        ControlRequest::Set { patch, stock_add } => ControlAnswer::of(set(&mut shared.lock(), &patch, stock_add)),
        ControlRequest::Wire { since } => {
            ControlAnswer { wire: Some(shared.lock().wire_since(since, MAX_WIRE_ANSWER)), ..ControlAnswer::done() }
        }
        ControlRequest::Stop => {
            shared.stop();
            ControlAnswer::done()
        }
    }
}

/// Changes fields of the configuration, all of them or none.
fn set(rig: &mut Rig, patch: &serde_json::Map<String, serde_json::Value>, mut add: Vec<Segment>) -> io::Result<()> {
    let mut value = serde_json::to_value(rig.disk.config())?;
    for (key, new) in patch {
        match (value.get_mut(key), new) {
            (Some(serde_json::Value::Object(old)), serde_json::Value::Object(new)) if key == "limits" || key == "state" => {
                old.extend(new.clone());
            }
            (Some(old), new) => *old = new.clone(),
            (None, _) => return Err(io::Error::other(format!("{key:?} is no field of the disk"))),
        }
    }
    let mut config: SimConfig = serde_json::from_value(value)?;
    let now = rig.disk.now();
    add.iter_mut().for_each(|segment| segment.bought_at = segment.bought_at.or(Some(now)));
    config.segments.extend(add);
    rig.disk.configure(|old| *old = config)
}

/// The listening socket; its file goes with it.
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    pub(super) fn bind(path: &Path) -> io::Result<ControlSocket> {
        // A socket that nobody answers is left from a killed simulator.
        if UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(ControlSocket { listener, path: path.to_owned() })
    }

    /// Serves until the simulator stops. Runs on a thread of its own, each client on another.
    pub(super) fn run(self, shared: &Arc<Shared>, wake: &UnixStream) {
        while !shared.is_stopping() {
            let mut fds = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(wake, PollFlags::IN)];
            let _ = poll(&mut fds, None);
            if let Ok((stream, _)) = self.listener.accept() {
                // Weak: a client that stays connected keeps neither the disk nor its lock.
                let shared = Arc::downgrade(shared);
                let served = std::thread::Builder::new().name("sim-client".to_owned());
                if let Err(error) = served.spawn(move || serve_client(&shared, stream)) {
                    tracing::warn!(%error, "a control client could not be served");
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve_client(shared: &Weak<Shared>, stream: UnixStream) {
    let Ok(mut writer) = stream.set_nonblocking(false).and_then(|()| stream.try_clone()) else { return };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_REQUEST_BYTES).read_until(b'\n', &mut line) {
            Ok(count) if count > 0 && line.last() == Some(&b'\n') => {}
            // Gone, or a request without end.
            _ => return,
        }
        let answer = match (serde_json::from_slice(&line), shared.upgrade()) {
            (Err(error), _) => ControlAnswer::failed(error),
            (Ok(_), None) => return,
            (Ok(request), Some(shared)) => obey(&shared, request),
        };
        let Ok(mut bytes) = serde_json::to_vec(&answer) else { return };
        bytes.push(b'\n');
        if writer.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// A client of the control socket.
pub struct ControlClient {
    reader: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects to a running simulator.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &Path) -> io::Result<ControlClient> {
        Ok(ControlClient { reader: BufReader::new(UnixStream::connect(path)?) })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// The simulator is gone, or it refused; the error says why.
    pub fn ask(&mut self, request: &ControlRequest) -> io::Result<ControlAnswer> {
        let mut bytes = serde_json::to_vec(request)?;
        bytes.push(b'\n');
        self.reader.get_mut().write_all(&bytes)?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer: ControlAnswer = serde_json::from_str(&line)?;
        match &answer.error {
            Some(error) => Err(io::Error::other(error.clone())),
            None => Ok(answer),
        }
    }

    /// Adds a fault.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn fault(&mut self, fault: Fault) -> io::Result<()> {
        self.ask(&ControlRequest::Fault(fault)).map(drop)
    }

    /// A look at everything.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn state(&mut self) -> io::Result<SimState> {
        let answer = self.ask(&ControlRequest::State)?;
        answer.state.map(|state| *state).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Recorded frames after a sequence number.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn wire(&mut self, since: u64) -> io::Result<Vec<WireRecord>> {
        Ok(self.ask(&ControlRequest::Wire { since })?.wire.unwrap_or_default())
    }
}

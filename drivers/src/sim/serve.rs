//! The entry point: a simulated disk behind a pseudo-terminal, or on USB, and where wanted behind components over HTTP, with its
//! control socket, in this process.

use std::fs::OpenOptions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::bot::{BotDevice, BotOptions};
use super::card::{CardDevice, CardOptions};
use super::clock::{TimeSource, real_time};
use super::component::door::Door;
use super::component::{ComponentFault, HttpOptions};
use super::config::{Segment, SimConfig};
use super::control::{ControlAnswer, ControlRequest, ControlSocket, obey};
use super::disk::SimDisk;
use super::faults::Fault;
use super::rig::{Rig, Shared, SimState, WireRecord};
use super::usb::line::{self, OnLine};
use super::zc::{ZcDevice, ZcOptions};
use super::{control, pty};

/// Name of the recording in the disk's folder.
pub const WIRE_FILE: &str = "wire.jsonl";
/// Digits of an invoice code in a card's file.
const CARD_CODE_DIGITS: usize = 10;

/// What is spoken on the line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The converter's serial protocol ([`SimOptions::zc`]).
    #[default]
    Zc,
    /// The link of a fiscal card reader. The disk must have one kind, with codes of ten digits.
    Card(CardOptions),
    /// The open profile of a USB disk. Only over USB ([`SimOptions::usbip`]).
    Bot(BotOptions),
}

/// What to serve and where.
#[derive(Clone, Default)]
pub struct SimOptions {
    /// Folder of the disk: `disk.json`, `ledger.jsonl`, `wire.jsonl`. Made if it does not exist.
    pub state_dir: PathBuf,
    /// Where the link to the pseudo-terminal stands; `None` = only [`SimHandle::port`] tells.
    pub link: Option<PathBuf>,
    /// Loopback address at which the disk is given away as a USB device, in place of the pseudo-terminal.
    pub usbip: Option<SocketAddr>,
    /// Path of the control socket; `None` = none.
    pub control: Option<PathBuf>,
    /// Configuration for the first start; later starts read `disk.json`.
    pub config: SimConfig,
    /// Overrides how long an invoice takes; kept in `disk.json`.
    pub issue_time_ms: Option<u64>,
    /// Also serve the disk through components over HTTP; `None` = only through the serial line.
    pub http: Option<HttpOptions>,
    /// What is spoken on the line.
    pub dialect: Dialect,
    /// How this converter differs from others.
    pub zc: ZcOptions,
    /// Also record every frame in `wire.jsonl`.
    pub record_wire: bool,
    /// Where the disk takes the time from; `None` = the machine's clock.
    pub time: Option<TimeSource>,
}

/// A running simulator. Dropping it stops it; the disk's ledger is whole at any moment.
pub struct SimHandle {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Opens the disk, makes its line, and serves both until stopped. Returns when a client can open the port.
///
/// # Errors
/// The folder, the link, the socket or a pseudo-terminal cannot be had; the text says which.
pub fn serve(options: SimOptions) -> io::Result<SimHandle> {
    let source = options.time.unwrap_or_else(real_time);
    let mut disk = SimDisk::open(&options.state_dir, &options.config, source)?;
    if let Some(time_ms) = options.issue_time_ms {
        disk.configure(|config| config.issue_time_ms = time_ms)?;
    }
    let wire_file = if options.record_wire {
        Some(OpenOptions::new().create(true).append(true).open(options.state_dir.join(WIRE_FILE))?)
    } else {
        None
    };
    let door = options.http.map(Door::bind).transpose()?;
    let control = options.control.as_deref().map(ControlSocket::bind).transpose()?;
    let bus = options.usbip.map(line::bind).transpose()?;
    let mut rig = Rig::new(disk, ZcDevice::new(options.zc), wire_file);
    if let Dialect::Card(card) = &options.dialect {
        rig.card = Some(card_device(card.clone(), &rig.disk)?);
    }
    rig.component.http = door.as_ref().map(Door::address);
    rig.line.usbip = bus.as_ref().map(TcpListener::local_addr).transpose()?;
    let (shared, wake_line, wake_control) = Shared::new(rig)?;
    let mut handle = SimHandle { shared: Arc::new(shared), threads: Vec::new() };
    let (shared, link) = (Arc::clone(&handle.shared), options.link);
    match bus {
        Some(bus) => {
            let on_line = on_bus(options.dialect, &shared)?;
            handle.spawn("sim-line", move || line::run(&shared, &bus, on_line, &wake_line))?;
        }
        None if matches!(options.dialect, Dialect::Bot(_)) => return Err(wrong("a USB disk stands on no serial line")),
        None => handle.spawn("sim-line", move || pty::run(&shared, link.as_deref(), wake_line))?,
    }
    if let Some(control) = control {
        let shared = Arc::clone(&handle.shared);
        handle.spawn("sim-control", move || control.run(&shared, &wake_control))?;
    }
    if let Some(door) = door {
        let shared = Arc::clone(&handle.shared);
        handle.spawn("sim-component", move || door.run(&shared))?;
    }
    // Waits for the first pseudo-terminal. On an error the handle's drop ends the threads.
    handle.shared.replug()?;
    Ok(handle)
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// What a host sees on its bus.
fn on_bus(dialect: Dialect, shared: &Shared) -> io::Result<OnLine> {
    match dialect {
        Dialect::Zc => Ok(OnLine::Converter),
        Dialect::Card(_) => Err(wrong("a card reader has a serial line only")),
        Dialect::Bot(options) => {
            // The memory of its tokens lies in the disk's folder, so it is opened with the disk, which stays the rig's.
            let stand_in = SimDisk::in_memory(SimConfig::default(), real_time());
            let disk = std::mem::replace(&mut shared.lock().disk, stand_in);
            let mut device = BotDevice::open(disk, options, shared.ticker())?;
            std::mem::swap(&mut device.disk, &mut shared.lock().disk);
            Ok(OnLine::Disk(Arc::new(Mutex::new(device))))
        }
    }
}

fn card_device(options: CardOptions, disk: &SimDisk) -> io::Result<CardDevice> {
    // EF05 has room for ten digits, and a card issues one kind.
    let fits = |segment: &Segment| segment.code.to_string().len() == CARD_CODE_DIGITS;
    let config = disk.config();
    if config.kinds.len() == 1 && config.segments.iter().all(fits) {
        return Ok(CardDevice::new(options));
    }
    let text = "a card holds one kind of invoice with codes of ten digits: set kinds and segments in the disk's configuration";
    Err(wrong(text))
}

impl SimHandle {
    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }

    /// What a client opens; `None` while it is unplugged.
    pub fn port(&self) -> Option<PathBuf> {
        self.shared.lock().line.port.clone()
    }

    /// Works on the disk, the faults and the device directly. The line stands still meanwhile.
    pub fn with<T>(&self, work: impl FnOnce(&mut Rig) -> T) -> T {
        let result = work(&mut self.shared.lock());
        self.shared.wake();
        result
    }

    /// Adds a fault; `false` when too many wait.
    pub fn fault(&self, fault: Fault) -> bool {
        self.with(|rig| rig.faults.add(fault))
    }

    /// Where the USB device is given away.
    pub fn usbip(&self) -> Option<SocketAddr> {
        self.shared.lock().line.usbip
    }

    /// Where the components listen.
    pub fn http(&self) -> Option<SocketAddr> {
        self.shared.lock().component.http
    }

    /// Adds a fault of the components; `false` when too many wait.
    pub fn component_fault(&self, fault: ComponentFault) -> bool {
        self.with(|rig| rig.component.faults.add(fault))
    }

    /// Restarts the components; returns when nobody listens any more. What waited in them is never executed.
    pub fn restart_component(&self, off: Duration) {
        self.shared.restart_component(off);
    }

    /// Pulls the cable; the device keeps its power and finishes what it does.
    pub fn unplug(&self) {
        self.shared.unplug(false);
    }

    /// Pulls cable and power: what was not signed never will be.
    pub fn unplug_and_cut_power(&self) {
        self.shared.unplug(true);
    }

    /// Plugs it in again: a new pseudo-terminal behind the same link.
    ///
    /// # Errors
    /// No pseudo-terminal or no link can be made.
    pub fn replug(&self) -> io::Result<()> {
        self.shared.replug()
    }

    /// A look at everything.
    pub fn state(&self) -> SimState {
        self.shared.lock().state()
    }

    /// Recorded frames after a sequence number, at most so many.
    pub fn wire(&self, since: u64, limit: usize) -> Vec<WireRecord> {
        self.shared.lock().wire_since(since, limit)
    }

    /// What the control socket would answer.
    pub fn ask(&self, request: control::ControlRequest) -> ControlAnswer {
        obey(&self.shared, request)
    }

    /// Stops and waits for the end.
    pub fn stop(self) {
        drop(self);
    }

    /// Waits until somebody stops it over the control socket.
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the simulator panicked");
            }
        }
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        self.ask(ControlRequest::Stop);
        self.join();
    }
}

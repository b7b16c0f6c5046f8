//! The disk, its dialect, the faults and the recording, as one value under one lock. Everything that touches a running
//! simulator from outside (line, control, tests) goes through `Shared`; there is no second lock, hence no lock order.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::bot::Ticker;
use super::card::CardDevice;
use super::clock::Stamp;
use super::component::{ComponentCounters, ComponentFault, ComponentFaults};
use super::disk::{Secret, SimDisk};
use super::faults::{Fault, Faults};
use super::ledger::{EntryStatus, Origin};
use super::zc::{WireDirection, WireFrame, ZcCounters, ZcDevice};

/// Recorded frames that are kept in memory; `wire.jsonl` keeps all. A run of 1,000 invoices makes about 30,000.
const MAX_WIRE_RECORDS: usize = 100_000;

/// One recorded frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRecord {
    /// Counts from 1, never repeats while the simulator runs.
    pub seq: u64,
    /// Milliseconds since the simulator was started.
    pub at_ms: u64,
    /// Which way it went.
    pub direction: WireDirection,
    /// Command it belongs to, two hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<String>,
    /// All bytes, upper-case hex. Holds the made-up passwords of the simulated disk.
    pub hex: String,
    /// What was special: `dropped` (not obeyed), `lost` (never sent), `cut`, `crc`, `split`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Stock of one kind as [`SimState`] shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindStock {
    /// Kind.
    pub kind: InvoiceKind,
    /// The next pair; absent when nothing is left.
    pub current: Option<NumberPair>,
    /// Blanks left.
    pub remaining: u64,
}

/// A look at a running simulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimState {
    /// The number inside the disk.
    pub disk_number: String,
    /// Where a client opens it.
    pub port: Option<PathBuf>,
    /// Whether the line is plugged in.
    pub plugged: bool,
    /// Whether the line died in mid-frame and waits to be plugged in again.
    pub dead: bool,
    /// Whether a command is being executed.
    pub working: bool,
    /// The disk's clock.
    pub clock: Stamp,
    /// Locked, with this code.
    pub locked: Option<u32>,
    /// Stock of every licensed kind.
    pub stock: Vec<KindStock>,
    /// Invoices signed for the host on the line, reds included, voided ones too.
    pub issued: u64,
    /// The same for other programs.
    pub issued_foreign: u64,
    /// Numbers void by now, blanks included.
    pub void: u64,
    /// Tries left of the disk password.
    pub password_tries: u8,
    /// Tries left of the certificate password.
    pub certificate_tries: u8,
    /// What the device has counted.
    pub counters: ZcCounters,
    /// Faults that still wait.
    pub faults: Vec<Fault>,
    /// Sequence number of the last recorded frame.
    pub wire_seq: u64,
    /// Where the USB device is given away, if it is.
    #[serde(default)]
    pub usbip: Option<SocketAddr>,
    /// Where the components listen, if they do.
    #[serde(default)]
    pub http: Option<SocketAddr>,
    /// What the components have seen.
    #[serde(default)]
    pub component_counters: ComponentCounters,
    /// Faults of the components that still wait.
    #[serde(default)]
    pub component_faults: Vec<ComponentFault>,
}

/// The components' side of a rig.
#[derive(Debug, Default)]
pub struct Component {
    /// Faults that wait.
    pub faults: ComponentFaults,
    /// What was seen.
    pub counters: ComponentCounters,
    /// Counts restarts. A document belongs to the generation in which it arrived.
    pub(super) generation: u64,
    /// A restart is wanted; nobody listens for so long.
    pub(super) restart: Option<Duration>,
    pub(super) http: Option<SocketAddr>,
}

/// What lies behind the lock.
pub struct Rig {
    /// The disk.
    pub disk: SimDisk,
    /// Faults that wait.
    pub faults: Faults,
    /// The device side of the serial protocol.
    pub device: ZcDevice,
    /// A card reader in its place; the line is the reader's then.
    pub card: Option<CardDevice>,
    /// The components before the disk.
    pub component: Component,
    pub(super) line: Line,
    wire: VecDeque<WireRecord>,
    wire_seq: u64,
    wire_file: Option<File>,
}

/// What is wanted of the line and what it is.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) want_plugged: bool,
    pub(super) want_stop: bool,
    /// The power goes with the line.
    pub(super) cut_power: bool,
    pub(super) plugged: bool,
    /// Somebody has the port open.
    pub(super) client: bool,
    pub(super) stopped: bool,
    pub(super) port: Option<PathBuf>,
    /// Where a USB device is given away.
    pub(super) usbip: Option<SocketAddr>,
    /// Why the last plugging in failed.
    pub(super) error: Option<String>,
}

impl Rig {
    pub(crate) fn new(disk: SimDisk, device: ZcDevice, wire_file: Option<File>) -> Rig {
        Rig {
            disk,
            faults: Faults::default(),
            device,
            card: None,
            component: Component::default(),
            line: Line { want_plugged: true, ..Line::default() },
            wire: VecDeque::new(),
            wire_seq: 0,
            wire_file,
        }
    }

    /// Gives bytes to the device, lets it do what is due, and takes what it says.
    pub(crate) fn turn(&mut self, input: &[u8], now: Duration) -> Vec<u8> {
        let (wire, said) = match &mut self.card {
            Some(card) => {
                if !input.is_empty() {
                    card.receive(input, now);
                }
                card.advance(&mut self.disk, &mut self.faults, now);
                (card.take_wire(), card.take_output(now))
            }
            None => {
                if !input.is_empty() {
                    self.device.receive(input, now);
                }
                self.device.advance(&mut self.disk, &mut self.faults, now);
                (self.device.take_wire(), self.device.take_output(now))
            }
        };
        for frame in wire {
            self.keep(frame);
        }
        said
    }

    /// When the device has something to do without input.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.card.as_ref().map_or_else(|| self.device.wake_at(), CardDevice::wake_at)
    }

    /// The cable was pulled, with or without the power.
    pub(super) fn line_lost(&mut self, cut_power_at: Option<Duration>) {
        match (&mut self.card, cut_power_at) {
            (Some(card), None) => card.line_lost(),
            (Some(card), Some(now)) => card.power_cut(now),
            (None, cut) => {
                self.device.line_lost();
                if let Some(now) = cut {
                    self.device.power_cut(now);
                }
            }
        }
    }

    /// The cable is in again.
    pub(super) fn line_back(&mut self) {
        match &mut self.card {
            Some(card) => card.line_back(),
            None => self.device.line_back(),
        }
    }

    fn keep(&mut self, frame: WireFrame) {
        self.wire_seq += 1;
        let record = WireRecord {
            seq: self.wire_seq,
            at_ms: u64::try_from(frame.at.as_millis()).unwrap_or(u64::MAX),
            direction: frame.direction,
            cmd: frame.cmd.map(|cmd| format!("{cmd:02X}")),
            hex: frame.bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
            note: frame.note.map(str::to_owned),
        };
        if let Some(file) = &mut self.wire_file
            && let Err(error) = append_line(file, &record)
        {
            tracing::warn!(%error, "the recording of the line ends here");
            self.wire_file = None;
        }
        if self.wire.len() == MAX_WIRE_RECORDS {
            self.wire.pop_front();
        }
        self.wire.push_back(record);
    }

    /// Whether somebody has the port open, as far as the line's thread has seen.
    pub fn has_client(&self) -> bool {
        self.line.client
    }

    /// Recorded frames after a sequence number, oldest first.
    pub fn wire_since(&self, seq: u64, limit: usize) -> Vec<WireRecord> {
        let start = self.wire.partition_point(|record| record.seq <= seq);
        self.wire.range(start..).take(limit).cloned().collect()
    }

    /// A look at everything.
    pub fn state(&self) -> SimState {
        let config = self.disk.config();
        let count = |wanted: &dyn Fn(EntryStatus, Origin) -> bool| {
            let entries = self.disk.ledger().entries().iter();
            entries.filter(|entry| wanted(entry.status, entry.origin)).count() as u64
        };
        SimState {
            disk_number: config.disk_number.clone(),
            port: self.line.port.clone(),
            plugged: self.line.plugged,
            dead: self.device.is_dead(),
            working: self.card.as_ref().map_or_else(|| self.device.is_working(), CardDevice::is_working),
            clock: self.disk.now(),
            locked: config.state.locked,
            stock: config.kinds.iter().map(|kind| self.stock_of(*kind)).collect(),
            issued: count(&|status, origin| status != EntryStatus::BlankVoid && origin == Origin::Host),
            issued_foreign: count(&|status, origin| status != EntryStatus::BlankVoid && origin == Origin::Foreign),
            void: count(&|status, _| !matches!(status, EntryStatus::Positive | EntryStatus::Negative)),
            password_tries: self.disk.tries_left(Secret::Disk),
            certificate_tries: self.disk.tries_left(Secret::Certificate),
            counters: self.device.counters().clone(),
            faults: self.faults.waiting().to_vec(),
            wire_seq: self.wire_seq,
            usbip: self.line.usbip,
            http: self.component.http,
            component_counters: self.component.counters.clone(),
            component_faults: self.component.faults.waiting().to_vec(),
        }
    }

    fn stock_of(&self, kind: InvoiceKind) -> KindStock {
        let level = self.disk.stock(kind).ok();
        KindStock { kind, current: level.map(|level| level.current), remaining: level.map_or(0, |level| level.remaining) }
    }
}

fn append_line(file: &mut File, record: &WireRecord) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    // Not synced: a recording is for tests and people, the ledger is the truth.
    file.write_all(&line)
}

/// A rig that several threads use.
pub(super) struct Shared {
    rig: Arc<Mutex<Rig>>,
    changed: Condvar,
    wake_line: UnixStream,
    wake_control: UnixStream,
    started: Instant,
}

impl Shared {
    /// The rig and the ends on which the line's and the control's thread are woken.
    pub(super) fn new(rig: Rig) -> io::Result<(Shared, UnixStream, UnixStream)> {
        let (wake_line, line) = UnixStream::pair()?;
        let (wake_control, control) = UnixStream::pair()?;
        for stream in [&wake_line, &line, &wake_control, &control] {
            stream.set_nonblocking(true)?;
        }
        let started = Instant::now();
        Ok((Shared { rig: Arc::new(Mutex::new(rig)), changed: Condvar::new(), wake_line, wake_control, started }, line, control))
    }

    /// A panic elsewhere leaves a usable rig: every operation on it is whole or not begun.
    pub(super) fn lock(&self) -> MutexGuard<'_, Rig> {
        self.rig.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rig alone, for a device on a bus.
    pub(super) fn rig(&self) -> Arc<Mutex<Rig>> {
        Arc::clone(&self.rig)
    }

    /// Tells the time as [`Self::now`] does.
    pub(super) fn ticker(&self) -> Ticker {
        let started = self.started;
        Arc::new(move || started.elapsed())
    }

    /// Time since the start.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Makes the line's thread look again. A full pipe means that it is woken already.
    pub(super) fn wake(&self) {
        let _ = (&self.wake_line).write(&[1]);
    }

    /// Tells everybody who waits that the line has changed.
    pub(super) fn announce(&self) {
        self.changed.notify_all();
    }

    /// Pulls the line; returns when the master is closed and the link is gone, or when somebody else wants it plugged in again.
    pub(super) fn unplug(&self, cut_power: bool) {
        let mut rig = self.lock();
        rig.line.want_plugged = false;
        rig.line.cut_power = cut_power;
        self.wake();
        // Who waits for the opposite waits in vain.
        self.announce();
        while rig.line.plugged && !rig.line.want_plugged && !rig.line.stopped {
            rig = self.changed.wait(rig).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Plugs the line in; returns when a client can open it, or when somebody else has pulled it again.
    pub(super) fn replug(&self) -> io::Result<()> {
        let mut rig = self.lock();
        rig.line.want_plugged = true;
        rig.line.error = None;
        self.wake();
        self.announce();
        loop {
            if rig.line.stopped {
                return Err(io::Error::other("the simulator is stopped"));
            }
            if let Some(error) = rig.line.error.take() {
                return Err(io::Error::other(error));
            }
            // An error of the line also takes the wish back, and was looked at before.
            if rig.line.plugged || !rig.line.want_plugged {
                return Ok(());
            }
            rig = self.changed.wait(rig).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends everything that the components wait for and breaks their connections; returns when nobody listens any more. What
    /// had not been executed by now never will be.
    pub(super) fn restart_component(&self, off: Duration) {
        let mut rig = self.lock();
        rig.component.generation += 1;
        rig.component.restart = rig.component.http.map(|_| off);
        self.changed.notify_all();
        while rig.component.restart.is_some() && !rig.line.want_stop {
            rig = self.changed.wait(rig).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn component_restart_wanted(&self) -> Option<Duration> {
        self.lock().component.restart
    }

    /// The port is closed and every connection is broken.
    pub(super) fn component_is_down(&self) {
        self.lock().component.restart = None;
        self.changed.notify_all();
    }

    pub(super) fn component_generation(&self) -> u64 {
        self.lock().component.generation
    }

    /// Waits so long; `false` when the component of that generation has ended by then.
    pub(super) fn pause_component(&self, generation: u64, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut rig = self.lock();
        loop {
            if rig.component.generation != generation || rig.line.want_stop {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            rig = self.changed.wait_timeout(rig, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks all threads to end.
    pub(super) fn stop(&self) {
        self.lock().line.want_stop = true;
        self.changed.notify_all();
        self.wake();
        let _ = (&self.wake_control).write(&[1]);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().line.want_stop
    }
}

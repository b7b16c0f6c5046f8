//! The stands of dialects on a byte line: the ZC protocol in both framings, and a fiscal card behind its reader.
//!
//! In memory, driver and device stand on one line without a kernel between them, on a clock that only goes when somebody
//! waits: the silences that the protocols prescribe, minutes in all, cost nothing. On a pseudo-terminal the same pair is
//! joined by the kernel's own terminal and the driver's own serial port, in real time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taxdisk_protocol::kind::InvoiceKind;

use super::{Stand, Trouble};
use crate::dialects::card::{CardConfig, CardDisk};
use crate::dialects::zc::exchange::Timings;
use crate::dialects::zc::{Framing, ZcConfig, ZcDisk};
use crate::disk::{DiskError, TaxDisk};
use crate::secret::Secret;
use crate::sim::card::{CardDevice, CardOptions};
use crate::sim::clock::real_time;
use crate::sim::config::Segment;
use crate::sim::faults::Fault;
use crate::sim::zc::{ZcDevice, ZcOptions};
use crate::sim::{Dialect, Rig, SimConfig, SimDisk, SimHandle, SimOptions, serve};
use crate::transport::serial::SerialLine;
use crate::transport::{BrokenWrite, ByteLine, LineError};

/// The issuing command, as faults name it (device-serial-zc.md); the simulated card takes it for its own F2.
const ISSUE: u8 = 0x0A;
/// A nap when the device itself has nothing planned.
const NAP: Duration = Duration::from_millis(10);
/// Time that passes between two cases: longer than any silence or power cut.
const BETWEEN: Duration = Duration::from_secs(600);
/// How long the driver waits on a terminal for the first byte of a device that answers at once, or never. All other times
/// are those of the protocols.
const TERMINAL_FIRST_BYTE: Duration = Duration::from_secs(2);
/// Speed of the port; a pseudo-terminal has none.
const SPEED_BAUD: u32 = 9600;

/// What both ends share in memory.
struct Bench {
    rig: Rig,
    now: Duration,
}

impl Bench {
    /// Lets the device do what is due, and returns what it says.
    fn turn(&mut self, input: &[u8]) -> Vec<u8> {
        let now = self.now;
        self.rig.turn(input, now)
    }
}

type Shared = Arc<Mutex<Bench>>;

fn lock(bench: &Shared) -> MutexGuard<'_, Bench> {
    bench.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver's end of the line in memory.
struct BenchLine {
    bench: Shared,
    received: Vec<u8>,
}

impl ByteLine for BenchLine {
    fn now(&self) -> Duration {
        lock(&self.bench).now
    }

    fn write(&mut self, bytes: &[u8], _deadline: Duration) -> Result<(), BrokenWrite> {
        let said = lock(&self.bench).turn(bytes);
        self.received.extend(said);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError> {
        let mut bench = lock(&self.bench);
        loop {
            let said = bench.turn(&[]);
            self.received.extend(said);
            if !self.received.is_empty() {
                let count = buffer.len().min(self.received.len());
                buffer[..count].copy_from_slice(&self.received[..count]);
                self.received.drain(..count);
                return Ok(count);
            }
            if bench.now >= deadline {
                return Ok(0);
            }
            let next = bench.rig.wake_at().filter(|at| *at > bench.now).unwrap_or(bench.now + NAP);
            bench.now = next.min(deadline);
        }
    }

    fn reopen(&mut self) -> Result<(), LineError> {
        self.received.clear();
        Ok(())
    }

    fn is_open(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        "the bench".to_owned()
    }
}

/// What is spoken on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineDialect {
    /// A converter.
    Zc(Framing),
    /// A fiscal card behind a reader. It asks for its PIN, and holds nothing but amounts.
    Card,
}

enum Place {
    Memory(Shared),
    Terminal { sim: Box<SimHandle>, port: PathBuf },
}

/// A disk on a byte line.
pub struct LineStand {
    dialect: LineDialect,
    place: Place,
}

impl LineStand {
    /// A fresh disk with the simulator's usual stock, on a line in memory.
    pub fn in_memory(dialect: LineDialect) -> LineStand {
        let disk = SimDisk::in_memory(config(dialect), real_time());
        let mut rig = Rig::new(disk, ZcDevice::new(ZcOptions::default()), None);
        if dialect == LineDialect::Card {
            rig.card = Some(CardDevice::new(card_options()));
        }
        LineStand { dialect, place: Place::Memory(Arc::new(Mutex::new(Bench { rig, now: Duration::ZERO }))) }
    }

    /// A fresh disk in `folder`, on a pseudo-terminal of this computer.
    ///
    /// # Errors
    /// The simulator cannot be started.
    pub fn on_a_terminal(dialect: LineDialect, folder: &Path) -> io::Result<LineStand> {
        let port = folder.join("tty");
        let options = SimOptions {
            state_dir: folder.join("disk"),
            link: Some(port.clone()),
            config: config(dialect),
            dialect: match dialect {
                LineDialect::Zc(_) => Dialect::Zc,
                LineDialect::Card => Dialect::Card(card_options()),
            },
            ..SimOptions::default()
        };
        Ok(LineStand { dialect, place: Place::Terminal { sim: Box::new(serve(options)?), port } })
    }

    /// The driver's end of the line.
    ///
    /// # Errors
    /// The terminal cannot be opened.
    pub fn line(&self) -> Result<Box<dyn ByteLine>, LineError> {
        match &self.place {
            Place::Memory(bench) => Ok(Box::new(BenchLine { bench: Arc::clone(bench), received: Vec::new() })),
            Place::Terminal { port, .. } => Ok(Box::new(SerialLine::open(&port.to_string_lossy(), SPEED_BAUD)?)),
        }
    }

    /// A driver with the right passwords on a line to this stand that may be anything, such as [`Self::line`] with something
    /// between.
    pub fn driver(&self, line: Box<dyn ByteLine>) -> Box<dyn TaxDisk> {
        self.driver_with(line, "88888888")
    }

    fn driver_with(&self, line: Box<dyn ByteLine>, password: &str) -> Box<dyn TaxDisk> {
        let on_terminal = matches!(self.place, Place::Terminal { .. });
        match self.dialect {
            LineDialect::Zc(framing) => {
                let mut timings = Timings::default();
                if on_terminal {
                    timings.first_byte = TERMINAL_FIRST_BYTE;
                }
                let config = ZcConfig {
                    disk_password: Secret::new(password),
                    certificate_password: Secret::new("12345678"),
                    machine_number: "JQ0000000001".to_owned(),
                    framing,
                    timings,
                    ..ZcConfig::default()
                };
                Box::new(ZcDisk::new(line, config))
            }
            LineDialect::Card => {
                let rates = config(self.dialect).rates;
                let tax_indexes = (1..=6).zip(rates).collect();
                let config = CardConfig { kind: self.kind(), tax_indexes, pin: Secret::new(password), ..CardConfig::default() };
                Box::new(CardDisk::new(line, config))
            }
        }
    }

    /// The next command that this fault names meets it.
    pub fn fault(&self, fault: Fault) -> bool {
        match &self.place {
            Place::Memory(bench) => lock(bench).rig.faults.add(fault),
            Place::Terminal { sim, .. } => sim.fault(fault),
        }
    }

    fn opened(&self, password: &str) -> Result<Box<dyn TaxDisk>, DiskError> {
        let line = self.line().map_err(|error| DiskError::unsupported(error.to_string()))?;
        Ok(self.driver_with(line, password))
    }
}

fn card_options() -> CardOptions {
    CardOptions { pin_required: true, ..CardOptions::default() }
}

/// The simulator's usual disk; a card's codes have ten digits, and its number sixteen.
fn config(dialect: LineDialect) -> SimConfig {
    let mut config = SimConfig::default();
    if dialect == LineDialect::Card
        && let Ok(code) = "1100200107".parse()
    {
        config.disk_number = "4990001234560001".to_owned();
        config.segments = config.segments.into_iter().map(|segment| Segment { code, ..segment }).collect();
    }
    config
}

impl Stand for LineStand {
    fn name(&self) -> String {
        let dialect = match self.dialect {
            LineDialect::Zc(Framing::Fixed) => "zc, fields of fixed width",
            LineDialect::Zc(Framing::Xml) => "zc, documents",
            LineDialect::Card => "card, behind a reader",
        };
        match self.place {
            Place::Memory(_) => dialect.to_owned(),
            Place::Terminal { .. } => format!("{dialect}, on a pseudo-terminal"),
        }
    }

    fn kind(&self) -> InvoiceKind {
        InvoiceKind::Roll
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
        self.opened("88888888")
    }

    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
        Some(self.opened("11111111"))
    }

    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
        match &self.place {
            Place::Memory(bench) => work(&mut lock(bench).rig.disk),
            Place::Terminal { sim, .. } => sim.with(|rig| work(&mut rig.disk)),
        }
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        self.fault(Fault::once(trouble.fault()).on(ISSUE))
    }

    fn calm(&mut self) {
        match &self.place {
            Place::Memory(bench) => {
                let mut bench = lock(bench);
                bench.rig.faults.clear();
                bench.now += BETWEEN;
                // What it still had to say goes to nobody, as on a line that nobody has open.
                let _ = bench.turn(&[]);
            }
            Place::Terminal { sim, .. } => sim.with(|rig| rig.faults.clear()),
        }
    }
}

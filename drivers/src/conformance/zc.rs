//! The stand of the ZC dialect: driver and simulated device on one line without a kernel between them, on a clock that only
//! goes when somebody waits. The silences that the protocol prescribes, minutes in all, cost nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taxdisk_protocol::kind::InvoiceKind;

use super::{Stand, Trouble};
use crate::dialects::zc::{Framing, ZcConfig, ZcDisk};
use crate::disk::{DiskError, TaxDisk};
use crate::secret::Secret;
use crate::sim::clock::real_time;
use crate::sim::faults::{Fault, FaultKind, Faults, ForeignContent, ForeignTime, When};
use crate::sim::zc::{ZcDevice, ZcOptions};
use crate::sim::{SimConfig, SimDisk};
use crate::transport::{BrokenWrite, ByteLine, LineError};

/// The issuing command (device-serial-zc.md).
const ISSUE: u8 = 0x0A;
/// A nap when the device itself has nothing planned.
const NAP: Duration = Duration::from_millis(10);
/// Time that passes between two cases: longer than any silence or power cut.
const BETWEEN: Duration = Duration::from_secs(600);

/// What both ends share.
struct Bench {
    disk: SimDisk,
    device: ZcDevice,
    faults: Faults,
    now: Duration,
}

impl Bench {
    /// Lets the device do what is due, and returns what it says.
    fn turn(&mut self) -> Vec<u8> {
        let _ = self.device.take_wire();
        self.device.advance(&mut self.disk, &mut self.faults, self.now);
        self.device.take_output(self.now)
    }
}

type Shared = Arc<Mutex<Bench>>;

fn lock(bench: &Shared) -> MutexGuard<'_, Bench> {
    bench.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver's end of the line.
struct BenchLine {
    bench: Shared,
    received: Vec<u8>,
}

impl ByteLine for BenchLine {
    fn now(&self) -> Duration {
        lock(&self.bench).now
    }

    fn write(&mut self, bytes: &[u8], _deadline: Duration) -> Result<(), BrokenWrite> {
        let mut bench = lock(&self.bench);
        let now = bench.now;
        bench.device.receive(bytes, now);
        let said = bench.turn();
        self.received.extend(said);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError> {
        let mut bench = lock(&self.bench);
        loop {
            let said = bench.turn();
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
            let next = bench.device.wake_at().filter(|at| *at > bench.now).unwrap_or(bench.now + NAP);
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

/// A ZC disk of either framing.
pub struct ZcStand {
    bench: Shared,
    framing: Framing,
}

impl ZcStand {
    /// A fresh disk with the simulator's usual stock.
    pub fn new(framing: Framing) -> ZcStand {
        let bench = Bench {
            disk: SimDisk::in_memory(SimConfig::default(), real_time()),
            device: ZcDevice::new(ZcOptions::default()),
            faults: Faults::default(),
            now: Duration::ZERO,
        };
        ZcStand { bench: Arc::new(Mutex::new(bench)), framing }
    }

    fn opened(&self, password: &str) -> Box<dyn TaxDisk> {
        let config = ZcConfig {
            disk_password: Secret::new(password),
            certificate_password: Secret::new("12345678"),
            machine_number: "JQ0000000001".to_owned(),
            framing: self.framing,
            ..ZcConfig::default()
        };
        Box::new(ZcDisk::new(BenchLine { bench: Arc::clone(&self.bench), received: Vec::new() }, config))
    }
}

impl Stand for ZcStand {
    fn name(&self) -> String {
        match self.framing {
            Framing::Fixed => "zc, fields of fixed width".to_owned(),
            Framing::Xml => "zc, documents".to_owned(),
        }
    }

    fn kind(&self) -> InvoiceKind {
        InvoiceKind::Roll
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
        Ok(self.opened("88888888"))
    }

    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
        Some(Ok(self.opened("11111111")))
    }

    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
        work(&mut lock(&self.bench).disk);
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        lock(&self.bench).faults.add(Fault::once(fault(trouble)).on(ISSUE))
    }

    fn calm(&mut self) {
        let mut bench = lock(&self.bench);
        bench.faults.clear();
        bench.now += BETWEEN;
        // What it still had to say goes to nobody, as on a line that nobody has open.
        let _ = bench.turn();
    }
}

/// What the simulated disk calls it.
pub fn fault(trouble: Trouble) -> FaultKind {
    let refuse = |jsk, when| FaultKind::Refuse { jsk: Some(jsk), text: None, when };
    match trouble {
        Trouble::LostCommand => FaultKind::LoseAnswerBeforeSigning,
        Trouble::LostAnswer => FaultKind::LoseAnswerAfterSigning,
        Trouble::DamagedAnswer => FaultKind::CrcError,
        Trouble::TornAnswer => FaultKind::Split { delay_ms: 1 },
        Trouble::RefusedBefore => refuse(784, When::Before),
        Trouble::RefusedAfter => refuse(784, When::After),
        Trouble::Busy => FaultKind::WtStorm { count: 4, interval_ms: 20, when: When::After },
        Trouble::ForeignInvoice => {
            let content = ForeignContent::SameAsNext(Some("别人的".to_owned()));
            FaultKind::ForeignIssue { at: ForeignTime::BeforeIssue, content }
        }
        Trouble::PowerCutBefore => FaultKind::PowerCut { when: When::Before, off_ms: 100 },
        Trouble::PowerCutAfter => FaultKind::PowerCut { when: When::After, off_ms: 100 },
    }
}

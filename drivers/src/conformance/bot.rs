//! The taxdisk-bot driver and its simulated device, joined in memory on virtual time: a bus without a kernel.
//!
//! It moves transfers and lets time pass where the device has nothing to say; it damages nothing of its own. The same device
//! behind a real USB stack is in the virtual machine's tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taxdisk_protocol::kind::InvoiceKind;

use super::{Stand, Trouble};
use crate::dialects::bot::{BotConfig, BotDisk};
use crate::disk::{DiskError, TaxDisk};
use crate::secret::Secret;
use crate::sim::SimDisk;
use crate::sim::bot::{BotDevice, BotOptions, ENDPOINT_IN, ENDPOINT_OUT};
use crate::sim::bridge::fresh_disk;
use crate::sim::clock::real_time;
use crate::sim::faults::Fault;
use crate::sim::usb::{self, BulkIn, BulkOut};
use crate::transport::usb::{BulkDevice, Pipe, Setup, UsbError};

/// Commands that issue, as faults name them.
const ISSUE: u8 = 0x0A;
/// wMaxPacketSize at high speed, bytes.
const PACKET_BYTES: usize = 512;
/// How far time goes on where the device does not say when it will have something.
const STEP: Duration = Duration::from_millis(1);

/// The device, the cable, and the time that both sides live in.
struct Bus {
    device: Mutex<BotDevice>,
    now_ns: Arc<AtomicU64>,
    plugged: Mutex<bool>,
    /// Token of every command that the host began to send, in order.
    sent: Mutex<Vec<u32>>,
}

impl Bus {
    fn lock(&self) -> MutexGuard<'_, BotDevice> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plugged(&self) -> MutexGuard<'_, bool> {
        self.plugged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> MutexGuard<'_, Vec<u32>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns.load(Ordering::SeqCst))
    }

    fn pass(&self, time: Duration) {
        self.now_ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

/// The host's end of the cable.
struct Port {
    bus: Arc<Bus>,
    open: bool,
}

impl Port {
    /// One transfer: asks the device until it takes part, the time is over, or it is gone.
    fn transfer<T>(
        &mut self,
        timeout: Duration,
        mut once: impl FnMut(&mut BotDevice) -> Option<Result<T, UsbError>>,
    ) -> Result<T, UsbError> {
        let end = self.bus.now() + timeout;
        loop {
            if !self.open || !*self.bus.plugged() {
                self.open = false;
                return Err(self.gone());
            }
            let mut device = self.bus.lock();
            let done = once(&mut device);
            if device.leaves_bus() {
                *self.bus.plugged() = false;
                continue;
            }
            if let Some(result) = done {
                return result;
            }
            let left = end.saturating_sub(self.bus.now());
            if left.is_zero() {
                return Err(UsbError::Timeout { moved: Some(0) });
            }
            let wait = device.wake_in().unwrap_or(left).max(STEP).min(left);
            drop(device);
            self.bus.pass(wait);
        }
    }

    fn gone(&self) -> UsbError {
        UsbError::Gone { device: self.describe(), detail: "the cable was pulled".to_owned() }
    }

    fn control(&mut self, setup: Setup, data: &[u8], length: usize) -> Result<Vec<u8>, UsbError> {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        let setup = usb::Setup {
            request_type: setup.request_type,
            request: setup.request,
            value: setup.value,
            index: setup.index,
            length,
        };
        self.transfer(STEP, |device| {
            let reply = device.control(setup, data);
            Some(reply.and_then(Result::ok).ok_or(UsbError::Stall))
        })
    }
}

impl BulkDevice for Port {
    fn now(&self) -> Duration {
        self.bus.now()
    }

    fn pause(&mut self, time: Duration) {
        self.bus.pass(time);
    }

    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError> {
        if let Some(token) = token_of(bytes) {
            self.bus.sent().push(token);
        }
        self.transfer(timeout, |device| match device.bulk_out(bytes) {
            BulkOut::Taken => Some(Ok(())),
            BulkOut::Stall => Some(Err(UsbError::Stall)),
            BulkOut::Nak => None,
        })
    }

    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        let max = buffer.len();
        let data = self.transfer(timeout, |device| match device.bulk_in(max) {
            BulkIn::Data(data) => Some(Ok(data)),
            BulkIn::Stall => Some(Err(UsbError::Stall)),
            BulkIn::Nak => None,
        })?;
        let room = buffer.get_mut(..data.len()).ok_or(UsbError::Overflow)?;
        room.copy_from_slice(&data);
        Ok(data.len())
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], _timeout: Duration) -> Result<(), UsbError> {
        self.control(setup, data, data.len()).map(drop)
    }

    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], _timeout: Duration) -> Result<usize, UsbError> {
        let data = self.control(setup, &[], buffer.len())?;
        let room = buffer.get_mut(..data.len()).ok_or(UsbError::Overflow)?;
        room.copy_from_slice(&data);
        Ok(data.len())
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError> {
        let endpoint = match pipe {
            Pipe::In => ENDPOINT_IN,
            Pipe::Out => ENDPOINT_OUT,
        };
        self.control(Setup { request_type: 0x02, request: 0x01, value: 0, index: endpoint.into() }, &[], 0).map(drop)
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        self.bus.lock().bus_reset();
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        self.open = *self.bus.plugged();
        if self.open { Ok(()) } else { Err(UsbError::NotFound { device: self.describe() }) }
    }

    fn is_open(&self) -> bool {
        self.open
    }

    fn serial_number(&self) -> Option<String> {
        Some(self.bus.lock().disk.config().disk_number.clone())
    }

    fn packet_bytes(&self) -> usize {
        PACKET_BYTES
    }

    fn describe(&self) -> String {
        "1209:0001".to_owned()
    }
}

/// The token, if this is the command block of a SEND (device-xml-and-usb.md, C.2 and C.4.1).
fn token_of(block: &[u8]) -> Option<u32> {
    let cdb = block.strip_prefix(b"USBC")?.get(11..27).filter(|_| block.len() == 31)?;
    let token = <[u8; 4]>::try_from(cdb.get(4..8)?).ok()?;
    (cdb.first() == Some(&0xD0)).then_some(u32::from_be_bytes(token))
}

/// A taxdisk-bot device in memory.
pub struct BotStand {
    options: BotOptions,
    bus: Arc<Bus>,
}

impl BotStand {
    /// A fresh disk, plugged in.
    ///
    /// # Errors
    /// The device's memory cannot be made.
    pub fn new() -> std::io::Result<BotStand> {
        BotStand::with(BotOptions::default())
    }

    /// A fresh disk that differs in this from others.
    ///
    /// # Errors
    /// The device's memory cannot be made.
    pub fn with(options: BotOptions) -> std::io::Result<BotStand> {
        let now_ns = Arc::new(AtomicU64::new(0));
        let ticks = Arc::clone(&now_ns);
        let ticker = Arc::new(move || Duration::from_nanos(ticks.load(Ordering::SeqCst)));
        let disk = SimDisk::in_memory(fresh_disk(), real_time());
        let device = BotDevice::open(disk, options, ticker)?;
        Ok(BotStand {
            options,
            bus: Arc::new(Bus { device: Mutex::new(device), now_ns, plugged: Mutex::new(true), sent: Mutex::default() }),
        })
    }

    /// Token of every command that the driver began to send, in order. A command that is sent again would show its token twice.
    pub fn tokens_sent(&self) -> Vec<u32> {
        self.bus.sent().clone()
    }

    /// The next command whose number or CDB this fault names meets it.
    pub fn fault(&self, fault: Fault) -> bool {
        self.bus.lock().faults.add(fault)
    }

    /// The host's end of the cable.
    pub fn port(&self) -> Box<dyn BulkDevice> {
        Box::new(Port { bus: Arc::clone(&self.bus), open: true })
    }

    /// A driver with the right passwords on a device that may be anything, such as [`Self::port`] with something between.
    pub fn driver(&self, device: Box<dyn BulkDevice>) -> Box<dyn TaxDisk> {
        self.driver_with(device, "88888888")
    }

    fn driver_with(&self, device: Box<dyn BulkDevice>, password: &str) -> Box<dyn TaxDisk> {
        let config = BotConfig {
            disk_password: Secret::new(password),
            certificate_password: Secret::new("12345678"),
            ..BotConfig::default()
        };
        Box::new(BotDisk::new(device, config))
    }
}

impl Stand for BotStand {
    fn name(&self) -> String {
        let weak = if self.options.durable { "" } else { ", forgets its token with the power" };
        let silent = if self.options.stalls { "" } else { ", skips a stage without a stall" };
        format!("taxdisk-bot, in memory{weak}{silent}")
    }

    fn kind(&self) -> InvoiceKind {
        InvoiceKind::PaperOrdinary
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
        Ok(self.driver(self.port()))
    }

    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
        Some(Ok(self.driver_with(self.port(), "11111111")))
    }

    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
        work(&mut self.bus.lock().disk);
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        // Packets of a fixed size are the bus's own: there are no pieces.
        trouble != Trouble::TornAnswer && self.fault(Fault::once(trouble.fault()).on(ISSUE))
    }

    fn calm(&mut self) {
        let mut device = self.bus.lock();
        device.faults.clear();
        if !std::mem::replace(&mut *self.bus.plugged(), true) {
            device.bus_reset();
        }
    }
}

//! Simulated USB devices on the guest's own bus, and the stand that the conformance suite runs on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taxdisk_drivers::conformance::{Stand, Trouble};
use taxdisk_drivers::dialects::bot::{BotConfig, BotDisk, Timings};
use taxdisk_drivers::disk::{DiskError, TaxDisk};
use taxdisk_drivers::secret::Secret;
use taxdisk_drivers::sim::SimDisk;
use taxdisk_drivers::sim::bot::{BotDevice, BotOptions, real_ticker};
use taxdisk_drivers::sim::bridge::fresh_disk;
use taxdisk_drivers::sim::clock::real_time;
use taxdisk_drivers::sim::faults::Fault;
use taxdisk_drivers::sim::usb::UsbBot;
use taxdisk_drivers::transport::usb::real::UsbDevice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_tests::process::wait_for;

use crate::outlet::Outlet;

/// The longest that a device may take to appear.
pub(crate) const PLUG_PATIENCE: Duration = Duration::from_secs(30);
/// As the simulated device calls itself.
const SELECTOR: &str = "1209:0001";
/// The issuing command.
const ISSUE: u8 = 0x0A;
/// Ports of the virtual controller that the disk goes round; there are 15 up to high speed. A port is free again only some
/// time after its device left: the next device takes the next one.
const PORTS: std::ops::Range<u32> = 0..14;

/// The taxdisk-bot device behind the kernel's USB stack.
pub(crate) struct UsbBotStand {
    pub(crate) device: Arc<Mutex<BotDevice>>,
    pub(crate) outlet: Outlet,
}

impl UsbBotStand {
    /// A fresh disk that takes so long to sign, plugged in.
    pub(crate) fn new(issue_time_ms: u64) -> UsbBotStand {
        let mut config = fresh_disk();
        config.issue_time_ms = issue_time_ms;
        let disk = SimDisk::in_memory(config, real_time());
        let device = BotDevice::open(disk, BotOptions::default(), real_ticker()).unwrap();
        let device = Arc::new(Mutex::new(device));
        let on_bus = Arc::clone(&device);
        let outlet = Outlet::new(PORTS, move || Box::new(UsbBot::new(Arc::clone(&on_bus))));
        let mut stand = UsbBotStand { device, outlet };
        stand.plug();
        stand
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BotDevice> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn plug(&mut self) {
        self.outlet.pull();
        // The kernel strikes a device out some time after its line broke: until then the old one would be opened.
        wait_for("the old device to go", PLUG_PATIENCE, || if on_the_bus() { Err("there".to_owned()) } else { Ok(()) });
        self.outlet.plug();
    }

    /// What it issues.
    pub(crate) const KIND: InvoiceKind = InvoiceKind::PaperOrdinary;

    /// The disk that is on the bus, whoever put it there.
    pub(crate) fn opened(password: &str) -> Box<dyn TaxDisk> {
        let device = wait_for("the disk on the bus", PLUG_PATIENCE, || {
            UsbDevice::open(SELECTOR.parse().unwrap()).map_err(|error| error.to_string())
        });
        let config = BotConfig {
            disk_password: Secret::new(password),
            certificate_password: Secret::new("12345678"),
            timings: Timings { answer: Duration::from_secs(2), ..Timings::default() },
            ..BotConfig::default()
        };
        Box::new(BotDisk::new(device, config))
    }
}

/// Whether the kernel lists a device with the numbers of [`SELECTOR`].
fn on_the_bus() -> bool {
    let is = |folder: &std::path::Path, file: &str, wanted: &str| {
        std::fs::read_to_string(folder.join(file)).is_ok_and(|text| text.trim() == wanted)
    };
    let devices = std::fs::read_dir("/sys/bus/usb/devices").unwrap().flatten().map(|entry| entry.path());
    devices.into_iter().any(|device| is(&device, "idVendor", "1209") && is(&device, "idProduct", "0001"))
}

impl Stand for UsbBotStand {
    fn name(&self) -> String {
        "taxdisk-bot, behind the kernel's USB stack".to_owned()
    }

    fn kind(&self) -> InvoiceKind {
        UsbBotStand::KIND
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
        Ok(UsbBotStand::opened("88888888"))
    }

    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
        Some(Ok(UsbBotStand::opened("11111111")))
    }

    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
        work(&mut self.lock().disk);
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        // Packets of a fixed size are the bus's own: there are no pieces.
        trouble != Trouble::TornAnswer && self.lock().faults.add(Fault::once(trouble.fault()).on(ISSUE))
    }

    fn calm(&mut self) {
        self.lock().faults.clear();
        // The host sees it leave a moment before its thread has ended: the device itself knows first.
        let leaves = self.lock().leaves_bus();
        if leaves || self.outlet.is_out() {
            self.plug();
        }
    }
}

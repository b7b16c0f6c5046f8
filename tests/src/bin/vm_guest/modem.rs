//! The serial converter behind the kernel's modem driver, as a stand of the conformance suite.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taxdisk_drivers::conformance::{Stand, Trouble};
use taxdisk_drivers::dialects::zc::exchange::Timings;
use taxdisk_drivers::dialects::zc::{ZcConfig, ZcDisk};
use taxdisk_drivers::disk::{DiskError, TaxDisk};
use taxdisk_drivers::secret::Secret;
use taxdisk_drivers::sim::bot::real_ticker;
use taxdisk_drivers::sim::clock::real_time;
use taxdisk_drivers::sim::faults::Fault;
use taxdisk_drivers::sim::usb::{Plugged, Speed, UsbAcm, attach_vhci};
use taxdisk_drivers::sim::zc::ZcOptions;
use taxdisk_drivers::sim::{Rig, SimConfig, SimDisk};
use taxdisk_drivers::transport::serial::SerialLine;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_tests::process::wait_for;

use crate::devices::PLUG_PATIENCE;

/// The kernel's name for it.
const PORT: &str = "/dev/ttyACM0";
/// The issuing command.
const ISSUE: u8 = 0x0A;

/// A converter, plugged in.
pub(crate) struct ModemStand {
    rig: Arc<Mutex<Rig>>,
    _cable: Plugged,
}

impl ModemStand {
    pub(crate) fn new(vhci_port: u32) -> ModemStand {
        let disk = SimDisk::in_memory(SimConfig::default(), real_time());
        let device = UsbAcm::new(disk, ZcOptions::default(), real_ticker());
        let rig = device.rig();
        wait_for("a free port of the bus", PLUG_PATIENCE, || crate::checks::free(vhci_port));
        ModemStand { rig, _cable: attach_vhci(vhci_port, Speed::High, Box::new(device)).unwrap() }
    }

    fn lock(&self) -> MutexGuard<'_, Rig> {
        self.rig.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, password: &str) -> Box<dyn TaxDisk> {
        let line =
            wait_for("the modem port", PLUG_PATIENCE, || SerialLine::open(PORT, 115_200).map_err(|error| error.to_string()));
        // The device answers at once, and `calm` waits until it listens: the protocol's own patience would add minutes.
        let timings = Timings { first_byte: Duration::from_secs(3), silence: Duration::from_millis(300), ..Timings::default() };
        let config = ZcConfig {
            disk_password: Secret::new(password),
            certificate_password: Secret::new("12345678"),
            machine_number: "JQ0000000001".to_owned(),
            timings,
            ..ZcConfig::default()
        };
        Box::new(ZcDisk::new(line, config))
    }
}

impl Stand for ModemStand {
    fn name(&self) -> String {
        format!("zc, fields of fixed width, at {PORT}")
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
        work(&mut self.lock().disk);
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        self.lock().faults.add(Fault::once(trouble.fault()).on(ISSUE))
    }

    fn calm(&mut self) {
        self.lock().faults.clear();
        // A device that was left in the middle of an answer waits three seconds for its host before it listens again.
        wait_for("the device to be at rest", PLUG_PATIENCE, || match self.lock().device.wake_at() {
            None => Ok(()),
            Some(at) => Err(format!("it has something to do at {at:?}")),
        });
    }
}

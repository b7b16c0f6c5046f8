//! A place on the guest's bus where one device is plugged in again and again, with a cable that breaks at a chosen transfer.
//!
//! Moments that are counted in transfers hit the same place on a fast and on a slow machine; moments in milliseconds do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use taxdisk_drivers::sim::usb::{BulkIn, BulkOut, ControlReply, Descriptors, Plugged, Setup, Speed, UsbDevice, attach_vhci};
use taxdisk_tests::process::wait_for;

use crate::devices::PLUG_PATIENCE;

/// A cable that nobody touches.
const WHOLE: u64 = u64::MAX;

/// What the device and whoever pulls share.
#[derive(Clone)]
struct Cable {
    /// Transfers that still get through.
    left: Arc<AtomicU64>,
    /// Transfers that got through since the device exists.
    moved: Arc<AtomicU64>,
}

impl Cable {
    /// Whether one more transfer gets through.
    fn is_broken(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn count(&self) {
        self.moved.fetch_add(1, Ordering::SeqCst);
        let one_less = |left: u64| if left == WHOLE { None } else { Some(left.saturating_sub(1)) };
        let _ = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
    }
}

/// A device behind such a cable. Control transfers are not counted: they belong to the bus.
struct Behind {
    device: Box<dyn UsbDevice>,
    cable: Cable,
}

impl UsbDevice for Behind {
    fn descriptors(&self) -> &Descriptors {
        self.device.descriptors()
    }

    fn class_request(&mut self, setup: Setup, data: &[u8]) -> ControlReply {
        self.device.class_request(setup, data)
    }

    fn is_halted(&self, endpoint: u8) -> bool {
        self.device.is_halted(endpoint)
    }

    fn clear_halt(&mut self, endpoint: u8) {
        self.device.clear_halt(endpoint);
    }

    fn transfer_out(&mut self, endpoint: u8, data: &[u8]) -> BulkOut {
        if self.cable.is_broken() {
            return BulkOut::Nak;
        }
        let answer = self.device.transfer_out(endpoint, data);
        if answer != BulkOut::Nak {
            self.cable.count();
        }
        answer
    }

    fn transfer_in(&mut self, endpoint: u8, max: usize) -> BulkIn {
        if self.cable.is_broken() {
            return BulkIn::Nak;
        }
        let answer = self.device.transfer_in(endpoint, max);
        if answer != BulkIn::Nak {
            self.cable.count();
        }
        answer
    }

    fn bus_reset(&mut self) {
        self.device.bus_reset();
    }

    fn wake_in(&mut self) -> Option<Duration> {
        self.device.wake_in()
    }

    fn leaves_bus(&self) -> bool {
        self.cable.is_broken() || self.device.leaves_bus()
    }
}

/// The place.
pub(crate) struct Outlet {
    device: Box<dyn Fn() -> Box<dyn UsbDevice> + Send + Sync>,
    cable: Cable,
    /// Ports of the virtual controller that it goes round: one is free again only some time after its device left.
    ports: std::ops::Range<u32>,
    next: u32,
    plugged: Option<Plugged>,
}

impl Outlet {
    /// Not plugged in yet. `device` gives the same device each time.
    pub(crate) fn new(ports: std::ops::Range<u32>, device: impl Fn() -> Box<dyn UsbDevice> + Send + Sync + 'static) -> Outlet {
        let cable = Cable { left: Arc::new(AtomicU64::new(WHOLE)), moved: Arc::default() };
        Outlet { device: Box::new(device), cable, next: ports.start, ports, plugged: None }
    }

    /// Plugs it in, with a whole cable.
    pub(crate) fn plug(&mut self) {
        self.plugged = None;
        self.break_after(WHOLE);
        let plugged = wait_for("a free port of the bus", PLUG_PATIENCE, || {
            let port = self.next;
            self.next = if port + 1 == self.ports.end { self.ports.start } else { port + 1 };
            let device = Behind { device: (self.device)(), cable: self.cable.clone() };
            attach_vhci(port, Speed::High, Box::new(device)).map_err(|error| error.to_string())
        });
        self.plugged = Some(plugged);
    }

    /// The cable breaks after so many more transfers.
    pub(crate) fn break_after(&self, transfers: u64) {
        self.cable.left.store(transfers, Ordering::SeqCst);
    }

    /// Transfers since the device exists.
    pub(crate) fn moved(&self) -> u64 {
        self.cable.moved.load(Ordering::SeqCst)
    }

    /// Pulls the cable now, if it is not out already.
    pub(crate) fn pull(&mut self) {
        self.plugged = None;
    }

    pub(crate) fn is_out(&self) -> bool {
        self.plugged.as_ref().is_none_or(Plugged::is_gone)
    }
}

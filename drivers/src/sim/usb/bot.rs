//! The USB disk on the bus: endpoints and descriptors around [`BotDevice`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{BulkIn, BulkOut, ControlReply, Descriptors, Setup, Stalled, UsbDevice};
use crate::sim::bot::BotDevice;
pub(super) use crate::sim::bot::{ENDPOINT_IN, ENDPOINT_OUT};

/// Calls with the device while it is locked.
type Access = Box<dyn Fn(&mut dyn FnMut(&mut BotDevice)) + Send>;

/// A taxdisk-bot device that can be plugged in again and again; whoever holds the device behind it can look into its disk
/// and cut its power at any time.
pub struct UsbBot {
    access: Access,
    descriptors: Descriptors,
}

impl UsbBot {
    /// Its serial number is the number of the disk.
    pub fn new(device: Arc<Mutex<BotDevice>>) -> UsbBot {
        let serial = lock(&device).disk.config().disk_number.clone();
        UsbBot::reached(&serial, move |work| work(&mut lock(&device)))
    }

    /// A device of this serial number that `access` reaches.
    pub(super) fn reached(serial: &str, access: impl Fn(&mut dyn FnMut(&mut BotDevice)) + Send + 'static) -> UsbBot {
        UsbBot { access: Box::new(access), descriptors: Descriptors::bot(serial) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BotDevice) -> T) -> T {
        let (mut work, mut result) = (Some(work), None);
        (self.access)(&mut |device| result = work.take().map(|work| work(device)));
        result.expect("every access calls once")
    }
}

/// A panic elsewhere leaves a usable device: each of its calls is whole or not begun.
fn lock(device: &Mutex<BotDevice>) -> MutexGuard<'_, BotDevice> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UsbDevice for UsbBot {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn class_request(&mut self, setup: Setup, data: &[u8]) -> ControlReply {
        self.with(|device| device.control(setup, data)).unwrap_or(Err(Stalled))
    }

    fn is_halted(&self, endpoint: u8) -> bool {
        self.with(|device| device.is_halted(endpoint))
    }

    fn clear_halt(&mut self, endpoint: u8) {
        let clear = Setup { request_type: 0x02, request: 0x01, value: 0, index: endpoint.into(), length: 0 };
        let _ = self.with(|device| device.control(clear, &[]));
    }

    fn transfer_out(&mut self, endpoint: u8, data: &[u8]) -> BulkOut {
        if endpoint == ENDPOINT_OUT { self.with(|device| device.bulk_out(data)) } else { BulkOut::Stall }
    }

    fn transfer_in(&mut self, endpoint: u8, max: usize) -> BulkIn {
        if endpoint == ENDPOINT_IN { self.with(|device| device.bulk_in(max)) } else { BulkIn::Stall }
    }

    fn bus_reset(&mut self) {
        self.with(BotDevice::bus_reset);
    }

    fn wake_in(&mut self) -> Option<Duration> {
        self.with(|device| {
            device.advance();
            device.wake_in()
        })
    }

    fn leaves_bus(&self) -> bool {
        self.with(|device| device.leaves_bus())
    }
}

//! A USB device of this computer, over libusb.
//!
//! It takes interface 0 from the operating system's driver and gives it back when it is dropped. It opens exactly the device
//! that the configuration names: where several match, none. What other drivers call "input/output error" may be an unplugged
//! device; it looks, and says which (virtual-hardware.md, section 6).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusb::{Context, Device, DeviceHandle, Direction, TransferType};

use super::list::{bus_path, describe, devices_in, open_context};
use super::{BulkDevice, Pipe, Setup, UsbError};
use crate::system::holder_of;

/// Class, subclass and protocol of bulk-only mass storage.
const BULK_ONLY: (u8, u8, u8) = (0x08, 0x06, 0x50);
/// The interface that the profiles use.
const INTERFACE: u8 = 0;

/// After a device was plugged in the kernel still chooses its configuration and udev sets its permissions: until then
/// opening fails (virtual-hardware.md, section 7).
const SETTLE_LIMIT: Duration = Duration::from_secs(3);
const SETTLE_STEP: Duration = Duration::from_millis(20);

/// So long may the operating system take to strike out a device that was unplugged.
const GONE_LIMIT: Duration = Duration::from_millis(200);

/// Which device is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// idVendor.
    pub vendor: u16,
    /// idProduct.
    pub product: u16,
    /// Which of several.
    pub which: Which,
}

/// Which of several devices of one make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// There must be one only.
    Only,
    /// The one with this serial-number string.
    Serial(String),
    /// The one on this port (`1-2.3`). Another device on the same port is taken for it: the disk's number tells.
    BusPath(String),
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)?;
        match &self.which {
            Which::Only => Ok(()),
            Which::Serial(serial) => write!(f, "/{serial}"),
            Which::BusPath(path) => write!(f, "@{path}"),
        }
    }
}

/// Not a USB device as the configuration names one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no USB device: 1209:0001, 1209:0001/SERIALNUMBER or 1209:0001@1-2.3 is expected")]
pub struct BadSelector(pub String);

/// `1209:0001`, `1209:0001/499000123456` or `1209:0001@1-2.3`.
impl std::str::FromStr for Selector {
    type Err = BadSelector;
    fn from_str(text: &str) -> Result<Selector, BadSelector> {
        let bad = || BadSelector(text.chars().take(80).collect());
        let (ids, which) = match text.find(['/', '@']) {
            None => (text, Which::Only),
            Some(at) if at + 1 == text.len() => return Err(bad()),
            Some(at) if text[at..].starts_with('/') => (&text[..at], Which::Serial(text[at + 1..].to_owned())),
            Some(at) => (&text[..at], Which::BusPath(text[at + 1..].to_owned())),
        };
        let id = |digits: &str| {
            let hex = digits.len() == 4 && digits.bytes().all(|one| one.is_ascii_hexdigit());
            if hex { u16::from_str_radix(digits, 16).map_err(|_| bad()) } else { Err(bad()) }
        };
        let (vendor, product) = ids.split_once(':').ok_or_else(bad)?;
        Ok(Selector { vendor: id(vendor)?, product: id(product)?, which })
    }
}

/// The device, open or not.
#[derive(Debug)]
pub struct UsbDevice {
    selector: Selector,
    born: Instant,
    context: Option<Context>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    handle: DeviceHandle<Context>,
    bulk_in: u8,
    bulk_out: u8,
    packet_bytes: usize,
    serial: Option<String>,
}

impl UsbDevice {
    /// The device that is meant. Nothing is opened yet: [`BulkDevice::reopen`].
    pub fn new(selector: Selector) -> UsbDevice {
        UsbDevice { selector, born: Instant::now(), context: None, open: None }
    }

    /// Opens the device that is meant.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open(selector: Selector) -> Result<UsbDevice, UsbError> {
        let mut device = UsbDevice::new(selector);
        device.reopen()?;
        Ok(device)
    }

    fn name(&self) -> String {
        self.selector.to_string()
    }

    /// The one device that is meant.
    fn find(&self, context: &Context) -> Result<Device<Context>, UsbError> {
        let mut found = Vec::new();
        for device in devices_in(context)? {
            let Ok(about) = device.device_descriptor() else { continue };
            if (about.vendor_id(), about.product_id()) != (self.selector.vendor, self.selector.product) {
                continue;
            }
            let meant = match &self.selector.which {
                Which::Only => true,
                Which::Serial(serial) => describe(&device).serial.as_ref() == Some(serial),
                Which::BusPath(path) => bus_path(&device) == *path,
            };
            if meant {
                found.push(device);
            }
        }
        match found.len() {
            0 => Err(UsbError::NotFound { device: self.name() }),
            1 => Ok(found.remove(0)),
            count => Err(UsbError::Several { device: self.name(), count }),
        }
    }

    fn try_open(&self, device: &Device<Context>) -> Result<Open, rusb::Error> {
        let configuration = device.active_config_descriptor()?;
        let interface = configuration.interfaces().find(|one| one.number() == INTERFACE).ok_or(rusb::Error::NotFound)?;
        let bulk_only = interface
            .descriptors()
            .find(|one| one.setting_number() == 0 && (one.class_code(), one.sub_class_code(), one.protocol_code()) == BULK_ONLY);
        let setting = bulk_only.ok_or(rusb::Error::NotSupported)?;
        let endpoint = |direction| {
            let mut endpoints = setting.endpoint_descriptors();
            endpoints.find(|one| one.transfer_type() == TransferType::Bulk && one.direction() == direction)
        };
        let (Some(input), Some(output)) = (endpoint(Direction::In), endpoint(Direction::Out)) else {
            return Err(rusb::Error::NotSupported);
        };
        let handle = device.open()?;
        // Where the system has no driver to detach, or no way to do it, claiming says what is the matter.
        let _ = handle.set_auto_detach_kernel_driver(true);
        handle.claim_interface(INTERFACE)?;
        Ok(Open {
            handle,
            bulk_in: input.address(),
            bulk_out: output.address(),
            packet_bytes: usize::from(output.max_packet_size()).max(1),
            serial: describe(device).serial,
        })
    }

    fn cannot_open(&self, device: &Device<Context>, error: rusb::Error) -> UsbError {
        let name = self.name();
        match error {
            rusb::Error::Access => UsbError::Permission { device: name },
            rusb::Error::Busy => {
                UsbError::Busy { device: name, holder: holder_of(&node(device.bus_number(), device.address()).to_string_lossy()) }
            }
            rusb::Error::NoDevice => UsbError::Gone { device: name, detail: "while it was opened".to_owned() },
            rusb::Error::NotSupported => {
                let detail = "no bulk-only mass storage on interface 0, or the system does not let a program have it";
                UsbError::WrongDevice { device: name, detail: detail.to_owned() }
            }
            other => UsbError::Io { detail: format!("opening {name}: {other}") },
        }
    }

    fn opened(&self) -> Result<&Open, UsbError> {
        self.open.as_ref().ok_or_else(|| UsbError::Closed { device: self.name() })
    }

    /// What an error of the library means; closes the device when it is gone.
    fn failed(&mut self, error: rusb::Error, moved: Option<usize>) -> UsbError {
        match error {
            rusb::Error::Pipe => return UsbError::Stall,
            rusb::Error::Timeout | rusb::Error::Interrupted => return UsbError::Timeout { moved },
            rusb::Error::Overflow => return UsbError::Overflow,
            rusb::Error::NoDevice => {}
            // Some kernels report the first failure after an unplug like one of the bus.
            _ if self.is_gone() => {}
            other => return UsbError::Io { detail: other.to_string() },
        }
        self.open = None;
        UsbError::Gone { device: self.name(), detail: error.to_string() }
    }

    fn is_gone(&self) -> bool {
        let (Some(context), Some(open)) = (&self.context, &self.open) else { return true };
        let device = open.handle.device();
        let same = |other: &Device<Context>| (other.bus_number(), other.address()) == (device.bus_number(), device.address());
        let until = Instant::now() + GONE_LIMIT;
        loop {
            let listed = devices_in(context).is_ok_and(|devices| devices.iter().any(same));
            if !listed || open.handle.active_configuration() == Err(rusb::Error::NoDevice) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(SETTLE_STEP);
        }
    }
}

impl BulkDevice for UsbDevice {
    fn now(&self) -> Duration {
        self.born.elapsed()
    }

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError> {
        let open = self.opened()?;
        match open.handle.write_bulk(open.bulk_out, bytes, at_least_a_millisecond(timeout)) {
            Ok(count) if count == bytes.len() => Ok(()),
            // The library reports a timeout in the middle as a smaller count.
            Ok(count) => Err(UsbError::Timeout { moved: Some(count) }),
            // It had not moved a byte then.
            Err(error) => Err(self.failed(error, Some(0))),
        }
    }

    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        let timeout = at_least_a_millisecond(timeout);
        let began = Instant::now();
        let open = self.opened()?;
        match open.handle.read_bulk(open.bulk_in, buffer, timeout) {
            // A timeout in the middle looks like a short answer, but for the time that it took.
            Ok(count) if count < buffer.len() && count > 0 && began.elapsed() >= timeout => {
                Err(UsbError::Timeout { moved: Some(count) })
            }
            Ok(count) => Ok(count),
            Err(error) => Err(self.failed(error, Some(0))),
        }
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], timeout: Duration) -> Result<(), UsbError> {
        let Setup { request_type, request, value, index } = setup;
        let timeout = at_least_a_millisecond(timeout);
        match self.opened()?.handle.write_control(request_type, request, value, index, data, timeout) {
            Ok(count) if count == data.len() => Ok(()),
            Ok(count) => Err(UsbError::Timeout { moved: Some(count) }),
            Err(error) => Err(self.failed(error, None)),
        }
    }

    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        let Setup { request_type, request, value, index } = setup;
        let timeout = at_least_a_millisecond(timeout);
        let outcome = self.opened()?.handle.read_control(request_type, request, value, index, buffer, timeout);
        outcome.map_err(|error| self.failed(error, None))
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError> {
        let open = self.opened()?;
        let endpoint = match pipe {
            Pipe::In => open.bulk_in,
            Pipe::Out => open.bulk_out,
        };
        let outcome = open.handle.clear_halt(endpoint);
        outcome.map_err(|error| self.failed(error, None))
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        match self.opened()?.handle.reset() {
            Ok(()) => Ok(()),
            Err(rusb::Error::NotFound) => {
                self.open = None;
                Err(UsbError::Gone { device: self.name(), detail: "it came back from a reset as another device".to_owned() })
            }
            Err(error) => Err(self.failed(error, None)),
        }
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        // First let go, so that our own claim does not stand in the way.
        self.open = None;
        self.context = None;
        let context = open_context()?;
        let until = Instant::now() + SETTLE_LIMIT;
        loop {
            let device = self.find(&context)?;
            match self.try_open(&device) {
                Ok(open) => {
                    self.open = Some(open);
                    self.context = Some(context);
                    return Ok(());
                }
                Err(rusb::Error::NotFound | rusb::Error::Access) if Instant::now() < until => std::thread::sleep(SETTLE_STEP),
                Err(error) => return Err(self.cannot_open(&device, error)),
            }
        }
    }

    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn serial_number(&self) -> Option<String> {
        self.open.as_ref().and_then(|open| open.serial.clone())
    }

    fn packet_bytes(&self) -> usize {
        self.open.as_ref().map_or(1, |open| open.packet_bytes)
    }

    fn describe(&self) -> String {
        self.name()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Gives the interface back to the operating system's driver. A device that is gone cannot be given back.
        let _ = self.handle.release_interface(INTERFACE);
    }
}

/// 0 would mean "for ever" to the library.
fn at_least_a_millisecond(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

/// The device node on Linux; there is no such file elsewhere.
fn node(bus: u8, address: u8) -> PathBuf {
    PathBuf::from(format!("/dev/bus/usb/{bus:03}/{address:03}"))
}

// Switching a port's power is left out on purpose: it is done by a person who sees the device, and never by a program that
// may still be waiting for an outcome.

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn devices_are_named_as_in_the_configuration() {
        for (text, which) in [
            ("1209:0001", Which::Only),
            ("1209:0001/499000123456", Which::Serial("499000123456".to_owned())),
            ("1209:0001@1-2.3", Which::BusPath("1-2.3".to_owned())),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector, Selector { vendor: 0x1209, product: 1, which });
            assert_eq!(selector.to_string(), text);
        }
        for text in ["", "1209", "1209:1", "1209:00g1", "1209:0001/", "1209:0001@", "+209:0001", "1209:0001x"] {
            let refused = text.parse::<Selector>().unwrap_err().to_string();
            assert!(refused.contains("1209:0001/SERIALNUMBER"), "{refused}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_not_opened() {
        let selector: Selector = "1209:0001/NOSUCHDISK".parse().unwrap();
        match UsbDevice::open(selector.clone()).unwrap_err() {
            UsbError::NotFound { device } => assert_eq!(device, selector.to_string()),
            UsbError::NoUsb { .. } => {}
            other => panic!("{other:?}"),
        }
        let mut closed = UsbDevice::new(selector);
        assert!(!closed.is_open());
        assert_eq!(closed.serial_number(), None);
        let error = closed.bulk_out(&[1], Duration::ZERO).unwrap_err();
        assert!(error.is_absence(), "{error:?}");
    }
}

//! What is plugged into the USB of this computer. Opens no device on Linux: names come from the system's own records.
//!
//! It decides nothing: a vendor and product id does not prove what a device can do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusb::{Context, Device, UsbContext};

use super::UsbError;

/// Where Linux describes its USB devices.
const SYSFS: &str = "/sys/bus/usb/devices";
/// Class code of hubs, the root hubs of every controller among them.
const HUB: u8 = 0x09;
/// For one string, where it has to be asked of the device.
const STRING_TIMEOUT: Duration = Duration::from_millis(500);
/// A string descriptor holds no more characters.
const MAX_STRING_CHARS: usize = 126;

/// A device that is plugged in.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct UsbDeviceInfo {
    /// idVendor.
    pub vendor: u16,
    /// idProduct.
    pub product: u16,
    /// Serial-number string; disks of the open profile give their disk number.
    pub serial: Option<String>,
    /// Manufacturer's name.
    pub manufacturer: Option<String>,
    /// Product's name.
    pub product_name: Option<String>,
    /// Bus and ports, as Linux writes them: `1-2.3`. Stays the same as long as it hangs on the same port.
    pub bus_path: String,
    /// Number of the bus.
    pub bus: u8,
    /// Address on the bus; a new one each time it is plugged in.
    pub address: u8,
    /// The driver of the operating system that has interface 0, where that is known.
    pub driver: Option<String>,
}

impl std::fmt::Display for UsbDeviceInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04x}:{:04x} at {}", self.vendor, self.product, self.bus_path)?;
        for name in [&self.manufacturer, &self.product_name].into_iter().flatten() {
            write!(f, " {name}")?;
        }
        if let Some(serial) = &self.serial {
            write!(f, ", serial number {serial}")?;
        }
        match &self.driver {
            Some(driver) => write!(f, ", used by the system's driver {driver}"),
            None => Ok(()),
        }
    }
}

/// Every device but the hubs, in the order of their bus paths.
///
/// # Errors
/// There is no USB on this computer, or it cannot be listed.
pub fn list() -> Result<Vec<UsbDeviceInfo>, UsbError> {
    list_in(&open_context()?)
}

/// What [`list`] found, in a sentence for people.
pub fn summary(found: &Result<Vec<UsbDeviceInfo>, UsbError>) -> String {
    match found {
        Ok(devices) if devices.is_empty() => "this computer has USB, and nothing is plugged into it".to_owned(),
        Ok(devices) if devices.len() == 1 => "1 USB device is plugged in".to_owned(),
        Ok(devices) => format!("{} USB devices are plugged in", devices.len()),
        Err(error) => error.to_string(),
    }
}

/// The library's view of this computer's USB.
pub(super) fn open_context() -> Result<Context, UsbError> {
    Context::new().map_err(|error| UsbError::NoUsb { detail: error.to_string() })
}

pub(super) fn list_in(context: &Context) -> Result<Vec<UsbDeviceInfo>, UsbError> {
    let mut found: Vec<UsbDeviceInfo> = devices_in(context)?.iter().map(describe).collect();
    found.sort_by(|left, right| (left.bus, &left.bus_path).cmp(&(right.bus, &right.bus_path)));
    Ok(found)
}

/// Every device but the hubs.
pub(super) fn devices_in(context: &Context) -> Result<Vec<Device<Context>>, UsbError> {
    let devices = context.devices().map_err(|error| UsbError::NoUsb { detail: error.to_string() })?;
    let hub = |device: &Device<Context>| device.device_descriptor().is_ok_and(|about| about.class_code() == HUB);
    Ok(devices.iter().filter(|device| !hub(device)).collect())
}

/// Everything that is known of a device.
pub(super) fn describe(device: &Device<Context>) -> UsbDeviceInfo {
    let bus_path = bus_path(device);
    let about = device.device_descriptor().ok();
    let record = Path::new(SYSFS).join(&bus_path);
    let text = |name: &str, index: Option<u8>| {
        let recorded = std::fs::read_to_string(record.join(name)).ok();
        let text = if record.exists() { recorded } else { index.and_then(|index| ask(device, index)) };
        text.map(|text| printable(&text)).filter(|text| !text.is_empty())
    };
    UsbDeviceInfo {
        vendor: about.as_ref().map_or(0, rusb::DeviceDescriptor::vendor_id),
        product: about.as_ref().map_or(0, rusb::DeviceDescriptor::product_id),
        serial: text("serial", about.as_ref().and_then(rusb::DeviceDescriptor::serial_number_string_index)),
        manufacturer: text("manufacturer", about.as_ref().and_then(rusb::DeviceDescriptor::manufacturer_string_index)),
        product_name: text("product", about.as_ref().and_then(rusb::DeviceDescriptor::product_string_index)),
        driver: bound_driver(&record),
        bus_path,
        bus: device.bus_number(),
        address: device.address(),
    }
}

/// `1-2.3`: the bus and the ports from its root.
pub(crate) fn bus_path(device: &Device<Context>) -> String {
    path_text(device.bus_number(), &device.port_numbers().unwrap_or_default(), device.address())
}

fn path_text(bus: u8, ports: &[u8], address: u8) -> String {
    let ports: Vec<String> = ports.iter().map(u8::to_string).collect();
    // Ports are not known everywhere; the address at least tells devices apart.
    if ports.is_empty() { format!("{bus}-@{address}") } else { format!("{bus}-{}", ports.join(".")) }
}

/// The driver of interface 0, whatever the configuration is called.
fn bound_driver(record: &Path) -> Option<String> {
    let interfaces = std::fs::read_dir(record).ok()?;
    let first = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".0"));
    let links = interfaces.flatten().map(|entry| entry.path()).filter(first).map(|path| path.join("driver"));
    links.filter_map(|link| std::fs::read_link(link).ok()).find_map(|target| {
        let name = target.file_name()?.to_string_lossy().into_owned();
        // This very library, or another program over it.
        Some(name).filter(|name| name != "usbfs")
    })
}

/// Asks the device, where the operating system keeps no record. Fails where it may not be opened.
fn ask(device: &Device<Context>, index: u8) -> Option<String> {
    let handle = device.open().ok()?;
    let language = handle.read_languages(STRING_TIMEOUT).ok()?.first().copied()?;
    handle.read_string_descriptor(language, index, STRING_TIMEOUT).ok()
}

/// A device may call itself anything; what goes into logs and tables is one line of bounded length.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(MAX_STRING_CHARS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_computer_without_usb_says_so_in_words() {
        let text = summary(&list());
        match list() {
            Ok(devices) if devices.is_empty() => assert_eq!(text, "this computer has USB, and nothing is plugged into it"),
            Ok(_) => assert!(text.contains("plugged in"), "{text}"),
            Err(error) => {
                assert!(matches!(error, UsbError::NoUsb { .. }), "{error:?}");
                assert!(text.starts_with("there is no USB on this computer"), "{text}");
            }
        }
    }

    #[test]
    fn paths_are_written_as_the_system_writes_them() {
        assert_eq!(path_text(1, &[2], 9), "1-2");
        assert_eq!(path_text(3, &[1, 4, 2], 9), "3-1.4.2");
        assert_eq!(path_text(3, &[], 9), "3-@9");
    }

    #[test]
    fn names_of_devices_are_one_short_line() {
        assert_eq!(printable("  USB\n Flash\u{1b}[31m Disk\n"), "USB Flash[31m Disk");
        assert_eq!(printable(&"x".repeat(500)).len(), MAX_STRING_CHARS);
    }

    #[test]
    fn a_device_describes_itself_for_people() {
        let mut info = UsbDeviceInfo {
            vendor: 0x1209,
            product: 1,
            serial: Some("499000123456".to_owned()),
            manufacturer: None,
            product_name: Some("BOT".to_owned()),
            bus_path: "1-2".to_owned(),
            bus: 1,
            address: 7,
            driver: None,
        };
        assert_eq!(info.to_string(), "1209:0001 at 1-2 BOT, serial number 499000123456");
        info.driver = Some("usb-storage".to_owned());
        assert!(info.to_string().ends_with("used by the system's driver usb-storage"));
    }

    #[test]
    fn the_driver_of_interface_0_is_found_under_any_configuration() {
        let record = tempfile::tempdir().unwrap();
        let interface = record.path().join("1-2:3.0");
        std::fs::create_dir(&interface).unwrap();
        std::fs::create_dir(record.path().join("1-2:3.1")).unwrap();
        assert_eq!(bound_driver(record.path()), None);
        std::os::unix::fs::symlink("../../drivers/usb-storage", interface.join("driver")).unwrap();
        assert_eq!(bound_driver(record.path()).as_deref(), Some("usb-storage"));
    }
}

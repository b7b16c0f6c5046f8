//! What is plugged in, as the kernel's file system tells it; on Windows, as the USB library does. Nothing of a disk is opened on
//! Linux; Windows has device names from the device alone.

use std::path::{Path, PathBuf};

use crate::profile::UsbId;

/// More devices than this are not looked at: a PC has a few dozen.
pub const DEVICES_MAX: usize = 256;
/// The longest text of a device that is shown, characters.
const TEXT_MAX_CHARS: usize = 126;
/// USB class of hubs.
const CLASS_HUB: u8 = 0x09;

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SerialSeen {
    /// Its device file.
    pub path: String,
    /// Links to it that survive replugging.
    pub names: Vec<String>,
    /// Id of the USB bridge.
    pub usb: Option<UsbId>,
    /// The bridge's serial number.
    pub usb_serial: Option<String>,
    /// What the bridge calls itself.
    pub product: Option<String>,
}

impl SerialSeen {
    /// Whether the path means this port.
    pub(super) fn is_called(&self, path: &str) -> bool {
        self.path == path
            || self.names.iter().any(|name| name == path)
            || std::fs::canonicalize(path).is_ok_and(|real| real == Path::new(&self.path))
    }

    /// The name that survives replugging, if it has one.
    pub(super) fn best_name(&self) -> &str {
        self.names.first().unwrap_or(&self.path)
    }
}

/// A USB device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbSeen {
    /// Where it is plugged in, as the kernel counts (`1-2.3`).
    pub bus_path: String,
    /// Its id.
    pub id: UsbId,
    /// Class of the whole device.
    pub class: u8,
    /// Its serial number.
    pub serial: Option<String>,
    /// What it calls itself.
    pub product: Option<String>,
    /// Its device file.
    pub node: PathBuf,
    /// Its interfaces.
    pub interfaces: Vec<UsbInterface>,
}

impl UsbSeen {
    pub(super) fn is_hub(&self) -> bool {
        self.class == CLASS_HUB
    }
}

/// An interface of a USB device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbInterface {
    /// Class, subclass, protocol.
    pub class: [u8; 3],
    /// The kernel's driver that has it.
    pub driver: Option<String>,
}

impl UsbInterface {
    /// Mass storage, SCSI commands, bulk-only: how tax disks show themselves.
    pub(super) fn is_bulk_only(&self) -> bool {
        self.class == [0x08, 0x06, 0x50]
    }
}

/// All that is plugged in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Serial ports.
    pub serial: Vec<SerialSeen>,
    /// USB devices, hubs included.
    pub usb: Vec<UsbSeen>,
}

impl Inventory {
    /// What is plugged in at this PC now. A PC without USB or without serial ports has none; that is no error.
    pub fn of_this_pc() -> Inventory {
        let names = links(Path::new("/dev/serial/by-id"));
        let ports = crate::system::serial_ports();
        let mut serial: Vec<SerialSeen> = ports.into_iter().take(DEVICES_MAX).map(|port| seen(port, &names)).collect();
        for (name, path) in &names {
            if !serial.iter().any(|seen| seen.path == *path) {
                serial.push(SerialSeen { path: path.clone(), names: vec![name.clone()], ..SerialSeen::default() });
            }
        }
        serial.sort_by(|a, b| a.path.cmp(&b.path));
        Inventory { serial, usb: crate::system::usb_devices() }
    }
}

fn seen(port: serialport::SerialPortInfo, names: &[(String, String)]) -> SerialSeen {
    let path = port.port_name;
    let names = names.iter().filter(|(_, target)| *target == path).map(|(name, _)| name.clone()).collect();
    match port.port_type {
        serialport::SerialPortType::UsbPort(usb) => SerialSeen {
            path,
            names,
            usb: Some(UsbId { vendor: usb.vid, product: usb.pid }),
            usb_serial: usb.serial_number,
            product: usb.product,
        },
        _ => SerialSeen { path, names, ..SerialSeen::default() },
    }
}

/// The links of a folder and what they lead to, in the order of their names.
fn links(dir: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut links: Vec<(String, String)> = entries
        .flatten()
        .take(DEVICES_MAX)
        .filter_map(|entry| {
            let target = std::fs::canonicalize(entry.path()).ok()?;
            Some((entry.path().to_str()?.to_owned(), target.to_str()?.to_owned()))
        })
        .collect();
    links.sort();
    links
}

/// The devices of a folder that is laid out as `/sys/bus/usb/devices`.
#[cfg_attr(windows, allow(dead_code))]
pub(crate) fn usb_devices(sysfs: &Path, nodes: &Path) -> Vec<UsbSeen> {
    let Ok(entries) = std::fs::read_dir(sysfs) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    // `1-2` is a device, `1-2:1.0` an interface of it.
    let devices = names.iter().filter(|name| !name.contains(':')).take(DEVICES_MAX);
    devices.filter_map(|name| usb_device(sysfs, nodes, name, &names)).collect()
}

fn usb_device(sysfs: &Path, nodes: &Path, name: &str, names: &[String]) -> Option<UsbSeen> {
    let folder = sysfs.join(name);
    let id = UsbId { vendor: hex(&folder, "idVendor")?, product: hex(&folder, "idProduct")? };
    let number = |file: &str| text(&folder, file)?.parse::<u32>().ok();
    let node = nodes.join(format!("{:03}", number("busnum")?)).join(format!("{:03}", number("devnum")?));
    let own = |other: &&String| other.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
    let interfaces = names.iter().filter(own).filter_map(|name| usb_interface(&sysfs.join(name))).collect();
    Some(UsbSeen {
        bus_path: name.to_owned(),
        id,
        class: byte(&folder, "bDeviceClass").unwrap_or(0),
        serial: text(&folder, "serial"),
        product: text(&folder, "product"),
        node,
        interfaces,
    })
}

fn usb_interface(folder: &Path) -> Option<UsbInterface> {
    let class = [byte(folder, "bInterfaceClass")?, byte(folder, "bInterfaceSubClass")?, byte(folder, "bInterfaceProtocol")?];
    let driver = std::fs::read_link(folder.join("driver")).ok();
    let driver = driver.and_then(|link| Some(link.file_name()?.to_str()?.to_owned()));
    Some(UsbInterface { class, driver })
}

fn text(folder: &Path, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(TEXT_MAX_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

fn hex(folder: &Path, file: &str) -> Option<u16> {
    u16::from_str_radix(&text(folder, file)?, 16).ok()
}

fn byte(folder: &Path, file: &str) -> Option<u8> {
    u8::from_str_radix(&text(folder, file)?, 16).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn put(folder: &Path, files: &[(&str, &str)]) {
        std::fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn devices_are_read_from_the_kernels_files() {
        let dir = tempfile::tempdir().unwrap();
        let sysfs = dir.path();
        let hub =
            [("idVendor", "1d6b\n"), ("idProduct", "0002\n"), ("busnum", "1\n"), ("devnum", "1\n"), ("bDeviceClass", "09\n")];
        put(&sysfs.join("usb1"), &hub);
        let disk = [
            ("idVendor", "101d\n"),
            ("idProduct", "0003\n"),
            ("busnum", "1\n"),
            ("devnum", "12\n"),
            ("bDeviceClass", "00\n"),
            ("serial", "A1\u{7}2\n"),
            ("product", "USB Flash Disk\n"),
        ];
        put(&sysfs.join("1-2"), &disk);
        let class = [("bInterfaceClass", "08\n"), ("bInterfaceSubClass", "06\n"), ("bInterfaceProtocol", "50\n")];
        put(&sysfs.join("1-2:1.0"), &class);
        std::os::unix::fs::symlink("../../../bus/usb/drivers/usb-storage", sysfs.join("1-2:1.0/driver")).unwrap();
        // Another device whose name begins alike, and one that is half gone.
        put(&sysfs.join("1-20:1.0"), &class);
        put(&sysfs.join("1-20"), &disk[..2]);

        let found = usb_devices(sysfs, Path::new("/dev/bus/usb"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].is_hub());
        let disk = &found[0];
        assert_eq!((disk.id.to_string().as_str(), disk.serial.as_deref()), ("101d:0003", Some("A12")));
        assert_eq!((disk.node.to_str().unwrap(), disk.bus_path.as_str()), ("/dev/bus/usb/001/012", "1-2"));
        assert_eq!(disk.interfaces.len(), 1);
        assert!(disk.interfaces[0].is_bulk_only());
        assert_eq!(disk.interfaces[0].driver.as_deref(), Some("usb-storage"));
        assert_eq!(usb_devices(Path::new("/nowhere"), Path::new("/dev/bus/usb")), []);
    }

    #[test]
    fn links_lead_to_ports() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join("usb-b")).unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join("usb-a")).unwrap();
        std::os::unix::fs::symlink("/dev/not-there", dir.path().join("usb-c")).unwrap();
        let found = links(dir.path());
        assert_eq!(found.len(), 2);
        assert!(found[0].0.ends_with("usb-a") && found[0].1 == "/dev/null");
        Inventory::of_this_pc();
    }
}

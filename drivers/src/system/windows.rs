//! Windows.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rusb::UsbContext;

use crate::discover::{DEVICES_MAX, UsbInterface, UsbSeen};
use crate::profile::UsbId;
use crate::transport::usb::list::bus_path;
use crate::transport::{Holder, LineError};

/// Profiles of this PC.
pub const DEFAULT_PROFILES_DIR: &str = r"C:\ProgramData\taxdisk\profiles.d";

/// A serial port; Windows opens each for one program alone.
pub(crate) type Port = serialport::COMPort;

/// A write that was given up may have taken more than it counted.
pub(crate) const GIVEN_UP_WRITE_COUNTS: bool = true;

/// The shortest time that a port can be told to wait. Zero is no time but "for ever" to a write (`COMMTIMEOUTS`).
pub(crate) const TIMEOUT_LEAST: Duration = Duration::from_millis(1);

/// `ERROR_FILE_NOT_FOUND`.
const NOT_FOUND: i32 = 2;

/// Ports above COM9 have a name only in the name space of devices; there all have one.
fn device(path: &str) -> String {
    if path.starts_with('\\') { path.to_owned() } else { format!(r"\\.\{path}") }
}

/// Nothing shows without opening.
pub(crate) fn before_opening(_path: &str) -> Result<(), LineError> {
    Ok(())
}

/// Why a port could not be opened. The library says "no device" for one that is not there and for one that another program has:
/// asked again, the system tells them apart.
pub(crate) fn open_failed(path: &str, error: serialport::Error) -> LineError {
    let port = path.to_owned();
    match error.kind() {
        serialport::ErrorKind::NoDevice => match std::fs::File::options().read(true).write(true).open(device(path)) {
            Err(error) if error.raw_os_error() == Some(NOT_FOUND) => LineError::NotFound { port },
            // Held, or given free at this moment: the next try opens it.
            _ => LineError::Busy { port, holder: Holder::Unknown },
        },
        serialport::ErrorKind::Io(std::io::ErrorKind::NotFound) => LineError::NotFound { port },
        _ => LineError::Other { port, detail: error.description },
    }
}

/// All COM ports.
pub(crate) fn serial_ports() -> Vec<serialport::SerialPortInfo> {
    serialport::available_ports().unwrap_or_default()
}

/// All USB devices, as the library found them by way of their hubs: none is opened, so that what a device calls itself stays
/// unknown.
pub(crate) fn usb_devices() -> Vec<UsbSeen> {
    let devices = rusb::Context::new().and_then(|context| context.devices());
    let devices = devices.inspect_err(|error| tracing::debug!(%error, "no list of USB devices"));
    devices.map(|devices| devices.iter().take(DEVICES_MAX).filter_map(|device| usb_device(&device)).collect()).unwrap_or_default()
}

fn usb_device(device: &rusb::Device<rusb::Context>) -> Option<UsbSeen> {
    let about = device.device_descriptor().ok()?;
    let classes = |config: rusb::ConfigDescriptor| {
        let settings = config.interfaces().filter_map(|interface| interface.descriptors().next());
        let class = |it: rusb::InterfaceDescriptor<'_>| [it.class_code(), it.sub_class_code(), it.protocol_code()];
        settings.map(|setting| UsbInterface { class: class(setting), driver: None }).collect()
    };
    Some(UsbSeen {
        bus_path: bus_path(device),
        id: UsbId { vendor: about.vendor_id(), product: about.product_id() },
        class: about.class_code(),
        serial: None,
        product: None,
        node: PathBuf::new(),
        interfaces: device.active_config_descriptor().map(classes).unwrap_or_default(),
    })
}

/// Whether it is a serial port that is there. A name that the list lacks is left to be opened: lists miss ports of some drivers.
pub(crate) fn is_serial_port(_path: &str) -> Option<bool> {
    Some(true)
}

/// Windows tells only who opens.
pub(crate) fn may_open(_path: &Path) -> bool {
    true
}

/// Windows does not tell who has a port.
pub fn holder_of(_path: &str) -> Holder {
    Holder::Unknown
}

/// No window appears before whoever sits there.
pub(crate) fn in_own_group(command: &mut Command) {
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NO_WINDOW);
}

/// Ends the program with all that it started, by the system's own tool: a process of Windows knows no group.
pub(crate) fn kill_group(child: &Child) {
    let tool = std::env::var_os("SystemRoot").map(|root| Path::new(&root).join(r"System32\taskkill.exe"));
    let Some(tool) = tool else { return };
    let mut command = Command::new(tool);
    command.args(["/F", "/T", "/PID", &child.id().to_string()]);
    in_own_group(&mut command);
    // It may be gone by now. Its own process is ended without the tool, too.
    let _ = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
}

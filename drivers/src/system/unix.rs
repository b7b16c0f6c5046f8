//! Unix.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::discover::{UsbSeen, inventory};
use crate::transport::{Holder, LineError};

/// Profiles of this PC.
pub const DEFAULT_PROFILES_DIR: &str = "/etc/taxdisk/profiles.d";

/// A serial port.
pub(crate) type Port = serialport::TTYPort;

/// A write that was given up took nothing that it did not count.
pub(crate) const GIVEN_UP_WRITE_COUNTS: bool = false;

/// The shortest time that a port can be told to wait; zero looks once.
pub(crate) const TIMEOUT_LEAST: Duration = Duration::ZERO;

/// What shows without opening: the port is not there, or not for this user.
pub(crate) fn before_opening(path: &str) -> Result<(), LineError> {
    let port = path.to_owned();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(LineError::NotFound { port }),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(LineError::Permission { port }),
        _ => Ok(()),
    }
}

/// Why a port could not be opened.
pub(crate) fn open_failed(path: &str, error: serialport::Error) -> LineError {
    let port = path.to_owned();
    match error.kind() {
        // The library says "no device" for a port that somebody holds, never for one that is not there.
        serialport::ErrorKind::NoDevice => LineError::Busy { port, holder: holder_of(path) },
        serialport::ErrorKind::Io(ErrorKind::NotFound) => LineError::NotFound { port },
        serialport::ErrorKind::Io(ErrorKind::PermissionDenied) => LineError::Permission { port },
        _ if error.description == "Not a typewriter" => LineError::NotSerial { port },
        _ => LineError::Other { port, detail: error.description },
    }
}

/// All serial ports that the system lists.
pub(crate) fn serial_ports() -> Vec<serialport::SerialPortInfo> {
    // The library panics where this folder is missing, as in some containers.
    if Path::new("/sys/class/tty").is_dir() { serialport::available_ports().unwrap_or_default() } else { Vec::new() }
}

/// All USB devices, from the kernel's own records: none is opened.
pub(crate) fn usb_devices() -> Vec<UsbSeen> {
    inventory::usb_devices(Path::new("/sys/bus/usb/devices"), Path::new("/dev/bus/usb"))
}

/// Whether the path is a serial port, as far as it shows without opening it. `None`: nothing is there.
pub(crate) fn is_serial_port(path: &str) -> Option<bool> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(std::os::unix::fs::FileTypeExt::is_char_device(&metadata.file_type()))
}

/// Whether this user may open it.
pub(crate) fn may_open(path: &Path) -> bool {
    accessat(CWD, path, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// Who has this port open, as far as this user can see it in `/proc`.
pub fn holder_of(path: &str) -> Holder {
    let Ok(target) = std::fs::canonicalize(path) else { return Holder::Unknown };
    let Ok(processes) = std::fs::read_dir("/proc") else { return Holder::Unknown };
    let own = std::process::id();
    let mut found = Holder::Unknown;
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if !holds(&process.path(), &target) {
            continue;
        }
        if pid == own {
            found = Holder::ThisProgram;
            continue;
        }
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        return Holder::Process { pid, name: name.trim().to_owned() };
    }
    found
}

fn holds(process: &Path, target: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|link| link == target))
}

/// The program gets a group of its own, so that what it starts can be ended with it.
pub(crate) fn in_own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Ends the program's group. It is not waited for yet, so its number cannot belong to another one.
pub(crate) fn kill_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It may be gone by now.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

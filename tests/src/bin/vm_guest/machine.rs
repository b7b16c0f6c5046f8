//! What an init system does for a machine, as far as the checks need it: file systems, modules, the loopback interface.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use rustix::mount::{MountFlags, mount};
use rustix::net::{AddressFamily, SendFlags, SocketType, send, socket};
use rustix::system::{RebootCommand, finit_module, reboot};

/// What is mounted where, in this order.
const MOUNTS: [(&str, &str); 6] =
    [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("devpts", "/dev/pts"), ("tmpfs", "/tmp"), ("tmpfs", "/run")];
/// Module files in the order in which they can be loaded, one a line.
const MODULES: &str = "/modules.order";

/// Makes the machine usable.
pub(crate) fn prepare() -> Result<(), String> {
    for (kind, at) in MOUNTS {
        std::fs::create_dir_all(at).map_err(|error| format!("{at}: {error}"))?;
        mount(kind, at, kind, MountFlags::empty(), None).map_err(|error| format!("mounting {at}: {error}"))?;
    }
    let modules = std::fs::read_to_string(MODULES).map_err(|error| format!("{MODULES}: {error}"))?;
    for module in modules.lines() {
        let path = Path::new("/lib/modules").join(module);
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        finit_module(&file, c"", 0).map_err(|error| format!("loading {module}: {error}"))?;
    }
    raise_loopback().map_err(|error| format!("the loopback interface: {error}"))
}

/// `ip link set lo up`, as a message to the kernel (rtnetlink(7)): a header, then the interface's number, and the flag "up" as
/// value and as what is to be changed. The kernel gives the interface its address by itself.
fn raise_loopback() -> Result<(), rustix::io::Errno> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const LOOPBACK: i32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    message.extend_from_slice(&32u32.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    // Sequence and sender: the kernel needs neither.
    message.extend_from_slice(&[0; 8]);
    // Family and kind of the interface: any.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&LOOPBACK.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    message.extend_from_slice(&IFF_UP.to_ne_bytes());
    // No protocol is number 0, NETLINK_ROUTE.
    let kernel = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(&kernel, &message, SendFlags::empty()).map(|_| ())
}

/// The value of `name=value` on the kernel's command line.
pub(crate) fn argument(name: &str) -> Option<String> {
    let line = std::fs::read_to_string("/proc/cmdline").ok()?;
    line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// Ends the machine; what was printed before is out.
pub(crate) fn power_off() -> ExitCode {
    rustix::fs::sync();
    match reboot(RebootCommand::PowerOff) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("the machine cannot be switched off: {error}");
            ExitCode::FAILURE
        }
    }
}

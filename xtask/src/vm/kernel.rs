//! A Linux kernel for the guest: Debian's own, fetched once and kept in `target/vm`.
//!
//! Only what the guest needs is kept: the kernel itself, unpacked (the packed one takes the guest five seconds more), and the
//! modules in the order in which they can be loaded. The `cloud` flavour of the kernel knows no USB, so it is the full one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::workspace;

/// The package that depends on the present kernel.
const PACKAGE: &str = "linux-image-amd64";
/// Under `kernel/drivers`, in the order of their needs: the bus, its virtual controller, serial ports, then QEMU's controller.
const MODULES: [&str; 9] = [
    "usb/common/usb-common",
    "usb/core/usbcore",
    "usb/usbip/usbip-core",
    "usb/usbip/vhci-hcd",
    "usb/class/cdc-acm",
    "usb/serial/usbserial",
    "usb/serial/ftdi_sio",
    "usb/host/xhci-hcd",
    "usb/host/xhci-pci",
];
/// Names of a packed kernel's fields (Documentation/x86/boot of the kernel): sectors of its set-up code, and where in the rest
/// the payload is and how long.
const SETUP_SECTORS_AT: usize = 0x1F1;
const PAYLOAD_AT: usize = 0x248;
const PAYLOAD_BYTES_AT: usize = 0x24C;
/// What a payload begins with that `xz` unpacks.
const XZ_MAGIC: &[u8] = b"\xFD7zXZ\0";

/// What was fetched.
pub(crate) struct Kernel {
    /// The unpacked kernel.
    pub(crate) image: PathBuf,
    /// Module files in their order.
    pub(crate) modules: Vec<PathBuf>,
}

/// The kernel in `folder`; fetched into it if it is not there.
///
/// # Errors
/// It cannot be fetched or unpacked.
pub(crate) fn fetched(folder: &Path) -> Result<Kernel, String> {
    let kernel = Kernel {
        image: folder.join("vmlinux"),
        modules: MODULES.iter().map(|module| folder.join(format!("{}.ko", base(module)))).collect(),
    };
    if kernel.modules.iter().chain([&kernel.image]).all(|file| file.is_file()) {
        return Ok(kernel);
    }
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let work = tempfile::tempdir_in(folder).map_err(|error| format!("no temporary folder: {error}"))?;
    fetch(&kernel, work.path())?;
    Ok(kernel)
}

fn fetch(kernel: &Kernel, work: &Path) -> Result<(), String> {
    let package = match present_package() {
        Ok(package) => package,
        Err(_) => {
            workspace::run(command("apt-get", &["update", "--quiet"]))?;
            present_package()?
        }
    };
    println!("fetching {package} for the guest, once");
    let mut download = command("apt-get", &["download", "--quiet", &package]);
    download.current_dir(work).stdout(Stdio::null());
    workspace::run(download)?;
    let files = std::fs::read_dir(work).map_err(|error| format!("{}: {error}", work.display()))?;
    let package_file = files
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get gave no file for {package}"))?;
    let version = package.trim_start_matches("linux-image-");
    let modules: Vec<String> =
        MODULES.iter().map(|module| format!("./lib/modules/{version}/kernel/drivers/{module}.ko")).collect();
    let packed = format!("./boot/vmlinuz-{version}");
    let mut tar = command("dpkg-deb", &["--fsys-tarfile"]).arg(&package_file).stdout(Stdio::piped()).spawn().map_err(text)?;
    let archive = tar.stdout.take().ok_or("no pipe to dpkg-deb")?;
    let mut unpack = command("tar", &["--extract", "--directory"]);
    unpack.arg(work).arg(&packed).args(&modules).stdin(archive);
    let unpacked = workspace::run(unpack);
    tar.wait().map_err(text)?;
    unpacked.map_err(|error| format!("{package} is not as expected (its modules may be packed): {error}"))?;
    // Renamed last and in one step each: a run that is ended here leaves nothing that looks complete.
    for (module, to) in modules.iter().zip(&kernel.modules) {
        std::fs::rename(work.join(module), to).map_err(text)?;
    }
    let image = work.join("vmlinux");
    extract(&work.join(&packed), &image)?;
    std::fs::rename(&image, &kernel.image).map_err(text)
}

/// `linux-image-6.1.0-56-amd64`, say.
fn present_package() -> Result<String, String> {
    let listed = workspace::output(command("apt-cache", &["depends", PACKAGE]))?;
    let depends = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let mut images = depends.filter(|name| name.starts_with("linux-image-"));
    images.next().map(str::to_owned).ok_or_else(|| format!("apt knows no kernel behind {PACKAGE}: is this Debian on amd64?"))
}

/// Takes the ELF file out of a packed kernel.
fn extract(packed: &Path, to: &Path) -> Result<(), String> {
    let bytes = std::fs::read(packed).map_err(|error| format!("{}: {error}", packed.display()))?;
    let payload = payload(&bytes).ok_or("the packed kernel is not of the known form")?;
    if !payload.starts_with(XZ_MAGIC) {
        return Err("the kernel is not packed with xz".to_owned());
    }
    let part = to.with_extension("xz");
    std::fs::write(&part, payload).map_err(text)?;
    let out = std::fs::File::create(to).map_err(text)?;
    // The length of the unpacked kernel follows the stream: that is no part of it.
    let mut unpack = command("xz", &["--decompress", "--stdout", "--single-stream"]);
    unpack.arg(&part).stdout(out);
    workspace::run(unpack)
}

fn payload(kernel: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(*kernel.get(at..)?.first_chunk()?) as usize);
    // Zero means four, for kernels older than anybody.
    let sectors = match *kernel.get(SETUP_SECTORS_AT)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    kernel.get((sectors + 1) * 512..)?.get(word(PAYLOAD_AT)?..)?.get(..word(PAYLOAD_BYTES_AT)?)
}

fn base(module: &str) -> &str {
    module.rsplit('/').next().unwrap_or(module)
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8");
    command
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_found_by_the_header_and_a_lying_header_finds_none() {
        let mut kernel = vec![0; 0x250 + 2 * 512];
        kernel[SETUP_SECTORS_AT] = 1;
        kernel[PAYLOAD_AT..PAYLOAD_AT + 4].copy_from_slice(&16u32.to_le_bytes());
        kernel[PAYLOAD_BYTES_AT..PAYLOAD_BYTES_AT + 4].copy_from_slice(&5u32.to_le_bytes());
        kernel[1024 + 16..1024 + 21].copy_from_slice(b"hello");
        assert_eq!(payload(&kernel), Some(b"hello".as_slice()));
        kernel[PAYLOAD_BYTES_AT + 3] = 0xFF;
        assert_eq!(payload(&kernel), None);
        assert_eq!(payload(&kernel[..100]), None);
    }
}

//! Starts QEMU, relays the guest's console, and takes its last word: the line `test result: …`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Memory of the guest, MiB: the archive (about 100) is there twice while it is unpacked.
const MEMORY_MIB: &str = "768";

/// What the guest is made of.
pub(crate) struct Machine<'a> {
    /// The unpacked kernel.
    pub(crate) kernel: &'a Path,
    /// Its first file system.
    pub(crate) initramfs: &'a Path,
    /// Socket behind QEMU's USB serial converter.
    pub(crate) converter: &'a Path,
    /// What is on QEMU's USB stick.
    pub(crate) medium: &'a Path,
    /// Part of the names of the checks to run.
    pub(crate) only: Option<&'a str>,
    /// Where the random choices of the guest begin; `None` = it draws one and prints it.
    pub(crate) seed: Option<u64>,
}

/// Runs the guest to its end.
///
/// # Errors
/// QEMU does not start, the guest is not done in time, prints no result, or its result is bad.
pub(crate) fn run(machine: &Machine<'_>, limit: Duration) -> Result<(), String> {
    let mut qemu = command(machine);
    let mut child = qemu.spawn().map_err(|error| format!("{qemu:?} does not start: {error}"))?;
    let console = child.stdout.take().ok_or("no pipe to QEMU")?;
    let (lines, inbox) = mpsc::channel();
    // The thread ends with the pipe, so with QEMU.
    std::thread::spawn(move || {
        let mut console = BufReader::new(console);
        let mut line = Vec::new();
        while matches!(console.read_until(b'\n', &mut line), Ok(bytes) if bytes > 0) {
            if lines.send(plain(&line)).is_err() {
                return;
            }
            line.clear();
        }
    });
    let end = Instant::now() + limit;
    let mut result = None;
    loop {
        match inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("{line}");
                if line.starts_with("test result: ") {
                    result = Some(line);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the guest was not done after {} s and was ended", limit.as_secs()));
            }
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("QEMU failed ({status})"));
    }
    verdict(result.as_deref())
}

/// No line is no success: a guest that panics or loses its first process prints none.
fn verdict(result: Option<&str>) -> Result<(), String> {
    match result {
        None => Err("the guest printed no result".to_owned()),
        Some(line) if line.starts_with("test result: ok. ") && !line.contains(" 0 passed") => Ok(()),
        Some(line) => Err(format!("checks failed in the guest: {line}")),
    }
}

/// A line of the console: it ends in CR LF.
fn plain(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned()
}

fn command(machine: &Machine<'_>) -> Command {
    // What the kernel does not know and has no dot becomes the environment of the first process: where the programs are.
    let mut append = format!("console=ttyS0 quiet loglevel=3 panic=-1 TAXDISK_TEST_BINARIES=/{}", super::image::PROGRAMS_FOLDER);
    if let Some(only) = machine.only {
        append.push_str(&format!(" taxdisk.only={only}"));
    }
    if let Some(seed) = machine.seed {
        append.push_str(&format!(" taxdisk.seed={seed}"));
    }
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "2", "-m", MEMORY_MIB]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]);
    qemu.arg("-kernel").arg(machine.kernel).arg("-initrd").arg(machine.initramfs).args(["-append", &append]);
    qemu.args(["-device", "qemu-xhci,id=xhci"]);
    qemu.arg("-chardev").arg(format!("socket,id=converter,path={}", machine.converter.display()));
    qemu.args(["-device", "usb-serial,chardev=converter,bus=xhci.0"]);
    qemu.arg("-drive").arg(format!("if=none,id=medium,format=raw,file={}", machine.medium.display()));
    qemu.args(["-device", "usb-storage,drive=medium,bus=xhci.0"]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    qemu
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_line_is_a_success() {
        let line =
            |word: &str, passed: u32, failed: u32| format!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
        assert_eq!(verdict(Some(&line("ok", 3, 0))), Ok(()));
        assert!(verdict(Some(&line("ok", 0, 0))).is_err(), "no check at all");
        assert!(verdict(Some(&line("FAILED", 2, 1))).is_err());
        assert!(verdict(None).is_err());
    }

    #[test]
    fn a_line_of_the_console_loses_its_ends() {
        assert_eq!(plain(b"test result: ok\r\n"), "test result: ok");
        assert_eq!(plain(b"cut"), "cut");
    }
}

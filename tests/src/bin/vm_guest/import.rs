//! The simulated USB disk that `taxdisk-agent sim --usbip` gives away, taken by this kernel as `usbip attach` takes it: a
//! request over TCP, and the socket handed to vhci_hcd.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use taxdisk_tests::process::{PATIENCE, Running, binary, wait_for};

use crate::checks::{free, issue_and_read_back};
use crate::devices::UsbBotStand;

/// Where the tool of the kernel expects it.
const ADDRESS: &str = "127.0.0.1:3240";
/// Port of the virtual controller.
const PORT: u32 = 13;

pub(crate) fn the_disk_that_sim_gives_away_is_plugged_in_by_this_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary("taxdisk-agent"));
    command.args(["sim", "--dialect", "bot", "--usbip", ADDRESS, "--kind", "007", "--stock", "1100000320:00000088-00000200"]);
    command.arg("--state").arg(folder.path().join("disk"));
    let mut sim = Running::start("sim", &folder.path().join("sim.log"), command);
    let mut stream = wait_for("the simulated disk", PATIENCE, || TcpStream::connect(ADDRESS).map_err(|error| error.to_string()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = vec![0x01, 0x11, 0x80, 0x03, 0, 0, 0, 0];
    request.extend(b"1-1");
    request.resize(40, 0);
    stream.write_all(&request).unwrap();
    let mut reply = [0; 320];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..8], [0x01, 0x11, 0, 3, 0, 0, 0, 0]);
    let word = |at: usize| u32::from_be_bytes(reply[at..at + 4].try_into().unwrap());
    let (bus, device, speed) = (word(296), word(300), word(304));
    wait_for("a free port of the bus", PATIENCE, || free(PORT));
    stream.set_read_timeout(None).unwrap();
    let line = format!("{PORT} {} {} {speed}", stream.as_raw_fd(), (bus << 16) | device);
    std::fs::write("/sys/devices/platform/vhci_hcd.0/attach", line).unwrap();
    // The kernel has the socket now.
    drop(stream);
    let mut disk = UsbBotStand::opened("88888888");
    issue_and_read_back(disk.as_mut(), UsbBotStand::KIND);
    let ledger = std::fs::read_to_string(folder.path().join("disk/ledger.jsonl")).unwrap();
    assert_eq!(ledger.lines().count(), 1, "{ledger}");
    // It ends, and the kernel's device goes.
    assert!(sim.terminate().success());
    wait_for("the disk to go", PATIENCE, || {
        let again = disk.stock(UsbBotStand::KIND);
        if again.is_err() { Ok(()) } else { Err(format!("{again:?}")) }
    });
    wait_for("a free port of the bus", Duration::from_secs(30), || free(PORT));
}

//! The shipped binary gives a simulated USB disk away over USB/IP, on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pc::Pc;
use taxdisk_drivers::sim::{ControlClient, ControlRequest};

/// A client of USB/IP, written from the kernel's own description of it.
struct Importer(TcpStream);

impl Importer {
    fn connect(address: &str) -> Importer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Importer(stream)
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// How many devices there are, and what is told of the first.
    fn list(address: &str) -> (u32, Vec<u8>) {
        let mut client = Importer::connect(address);
        client.0.write_all(&[0x01, 0x11, 0x80, 0x05, 0, 0, 0, 0]).unwrap();
        let head = client.read(12);
        assert_eq!(head[..8], [0x01, 0x11, 0, 5, 0, 0, 0, 0]);
        let mut rest = Vec::new();
        client.0.read_to_end(&mut rest).unwrap();
        (u32::from_be_bytes(head[8..].try_into().unwrap()), rest)
    }

    /// The status, and with 0 what is told of the device.
    fn import(&mut self, bus_id: &str) -> (u32, Vec<u8>) {
        let mut request = vec![0x01, 0x11, 0x80, 0x03, 0, 0, 0, 0];
        request.extend(bus_id.bytes());
        request.resize(40, 0);
        self.0.write_all(&request).unwrap();
        let head = self.read(8);
        assert_eq!(head[..4], [0x01, 0x11, 0, 3]);
        let status = u32::from_be_bytes(head[4..].try_into().unwrap());
        (status, if status == 0 { self.read(312) } else { Vec::new() })
    }

    /// USBIP_CMD_SUBMIT; the data of its answer.
    fn submit(&mut self, seq: u32, endpoint: u8, length: u32, setup: [u8; 8], data: &[u8]) -> Vec<u8> {
        let words = [1, seq, 0x1_0002, u32::from(endpoint >> 7), u32::from(endpoint & 15), 0, length, 0, 0xFFFF_FFFF, 0];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        bytes.extend(setup);
        bytes.extend(data);
        self.0.write_all(&bytes).unwrap();
        let head = self.read(48);
        let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(4), word(20)), (3, seq, 0), "RET_SUBMIT without an error");
        if endpoint >> 7 == 1 { self.read(word(24) as usize) } else { Vec::new() }
    }
}

#[test]
fn a_simulated_usb_disk_is_given_away_over_the_network() {
    let pc = Pc::new("");
    let log = std::fs::File::create(pc.path("sim.log")).unwrap();
    let stock = "1100200107:00000001-00000005";
    let arguments = ["--json", "sim", "--dialect", "bot", "--usbip", "127.0.0.1:0", "--state", "simulated", "--kind", "007"];
    let mut command = pc.command(&[arguments.as_slice(), &["--stock", stock]].concat());
    let sim = pc::Running { child: command.stdout(log).spawn().unwrap() };
    let told = || serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(pc.path("sim.log")).unwrap());
    pc::until("it has told", || told().is_ok());
    let told = told().unwrap();
    let address = told["usbip"].as_str().unwrap().to_owned();

    let (count, about) = Importer::list(&address);
    // 1209:0001, release 1.00, then the interface: bulk-only mass storage.
    let ids = [0x12, 0x09, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1];
    assert_eq!((count, about.len(), &about[300..312]), (1, 316, ids.as_slice()));
    assert_eq!(about[312..], [8, 6, 0x50, 0]);
    assert_eq!(about[256..260], *b"1-1\0");
    assert_eq!(about[296..300], 3_u32.to_be_bytes(), "high speed");

    assert_eq!(Importer::connect(&address).import("2-1").0, 4, "no such device");
    let mut host = Importer::connect(&address);
    assert_eq!(host.import("1-1"), (0, about[..312].to_vec()));
    assert_eq!(Importer::connect(&address).import("1-1").0, 2, "somebody has it");
    let descriptor = host.submit(1, 0x80, 18, [0x80, 6, 0, 1, 0, 0, 18, 0], &[]);
    assert_eq!(descriptor[8..12], [0x09, 0x12, 1, 0]);
    let inquiry = b"USBC\x01\0\0\0\x24\0\0\0\x80\0\x06\x12\0\0\0\x24\0\0\0\0\0\0\0\0\0\0\0";
    host.submit(2, 2, 31, [0; 8], inquiry);
    assert_eq!(host.submit(3, 0x81, 512, [0; 8], &[])[8..15], *b"TAXDISK");
    assert_eq!(host.submit(4, 0x81, 512, [0; 8], &[]), b"USBS\x01\0\0\0\0\0\0\0\0");

    // The cable is moved over the control socket, as on every line.
    let mut control = ControlClient::connect(&pc.path("simulated/control.sock")).unwrap();
    control.ask(&ControlRequest::Unplug { cut_power: true }).unwrap();
    assert_eq!(host.0.read(&mut [0]).unwrap(), 0, "the host sees it leave");
    assert_eq!(Importer::list(&address).0, 0);
    assert_eq!(Importer::connect(&address).import("1-1").0, 4);
    control.ask(&ControlRequest::Replug).unwrap();
    let mut host = Importer::connect(&address);
    assert_eq!(host.import("1-1").0, 0);
    host.submit(1, 2, 31, [0; 8], inquiry);
    assert_eq!(host.submit(2, 0x81, 512, [0; 8], &[])[8..15], *b"TAXDISK");
    assert_eq!(control.state().unwrap().disk_number, told["disk"].as_str().unwrap(), "the disk is the rig's, not a stand-in");
    // Nonsense ends a connection and nothing else.
    let mut rude = Importer::connect(&address);
    rude.0.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(rude.0.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(Importer::list(&address).0, 1);
    assert_eq!(sim.stop(), Some(0));

    for refused in [
        ["--dialect", "card", "--usbip", "127.0.0.1:0"],
        ["--dialect", "bot", "--pty", "tty"],
        ["--dialect", "bot", "--usbip", "0.0.0.0:0"],
    ] {
        pc.ends(1, &[["sim", "--state", "other", "--kind", "007", "--stock", stock].as_slice(), &refused].concat());
    }
}

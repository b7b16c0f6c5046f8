//! The device on virtual time under a hand-made host: the published vectors, the token rules, durability, every fault.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::sim::config::SimConfig;
use crate::sim::faults::{Fault, When};
use crate::sim::zc::content::crc16;
use crate::sim::zc::vector as zc_vector;

/// Bytes of a vector: hex with `{00*N}`, spaces for reading.
fn hex(text: &str) -> Vec<u8> {
    let mut digits = String::new();
    for part in text.replace(' ', "").split('{') {
        match part.strip_prefix("00*").and_then(|part| part.split_once('}')) {
            Some((count, rest)) => digits += &("00".repeat(count.parse().unwrap()) + rest),
            None => digits += part,
        }
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

const SEND_STOCK: &str = "555342430101000037 {00*5} 10D001100800A1000100000037A90F0000";
const STOCK: &str =
    "39313131303030304D413030303030303139000034393930303031323334353638383838383838383032354A5130303030303030303031";
const SEND_PASSED: &str = "555342530101 {00*7}";
const FETCH_STOCK: &str = "555342430301000000020000800010D101000000A10001 {00*6} 0200";
const STOCK_ANSWER: &str = "5444010200A100014F009610000000233032353031313030323030303130373030303030303838393133 {00*9}";

struct Bench {
    device: BotDevice,
    ms: Arc<AtomicU64>,
}

fn ticker(ms: &Arc<AtomicU64>) -> Ticker {
    let ms = Arc::clone(ms);
    Arc::new(move || Duration::from_millis(ms.load(Ordering::Relaxed)))
}

fn device_on(disk: SimDisk, options: BotOptions) -> Bench {
    let ms = Arc::new(AtomicU64::new(1000));
    Bench { device: BotDevice::open(disk, options, ticker(&ms)).unwrap(), ms }
}

impl Bench {
    fn new() -> Bench {
        Bench::with(BotOptions::default())
    }

    fn with(options: BotOptions) -> Bench {
        let never = Arc::new(|| "20000101000000".parse().unwrap());
        device_on(SimDisk::in_memory(SimConfig::of_the_vectors(), never), options)
    }

    fn pass(&self, ms: u64) {
        self.ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn fault(&mut self, kind: FaultKind) {
        assert!(self.device.faults.add(Fault::once(kind)));
    }

    fn out(&mut self, text: &str) -> BulkOut {
        self.device.bulk_out(&hex(text))
    }

    fn read(&mut self) -> Vec<u8> {
        match self.device.bulk_in(65_536) {
            BulkIn::Data(data) => data,
            other => panic!("{other:?}"),
        }
    }

    fn clear(&mut self, endpoint: u8) {
        let setup = Setup { request_type: 2, request: 1, value: 0, index: endpoint.into(), length: 0 };
        assert_eq!(self.device.control(setup, &[]), Some(Ok(vec![])));
    }

    fn reset(&mut self) {
        let setup = Setup { request_type: 0x21, request: 0xFF, value: 0, index: 0, length: 0 };
        assert_eq!(self.device.control(setup, &[]), Some(Ok(vec![])));
        self.clear(ENDPOINT_IN);
        self.clear(ENDPOINT_OUT);
    }

    /// Status byte of a whole command.
    fn command(&mut self, cdb: &[u8], data: &[u8], length: u32, to_host: bool) -> (Vec<u8>, u8, u32) {
        let mut cbw = b"USBC\x07\0\0\0".to_vec();
        cbw.extend(length.to_le_bytes());
        cbw.extend([if to_host { 0x80 } else { 0 }, 0, cdb.len() as u8]);
        cbw.extend(cdb);
        cbw.resize(31, 0);
        assert_eq!(self.device.bulk_out(&cbw), BulkOut::Taken);
        if !data.is_empty() && self.device.bulk_out(data) == BulkOut::Stall {
            self.clear(ENDPOINT_OUT);
        }
        let mut got = Vec::new();
        loop {
            match self.device.bulk_in(65_536) {
                BulkIn::Stall => self.clear(ENDPOINT_IN),
                BulkIn::Nak => panic!("no status"),
                BulkIn::Data(bytes) if bytes.len() == 13 && bytes.starts_with(b"USBS\x07") => {
                    return (got, bytes[12], u32::from_le_bytes(bytes[8..12].try_into().unwrap()));
                }
                BulkIn::Data(bytes) => got.extend(bytes),
            }
        }
    }

    fn send(&mut self, cmd: u8, token: u32, payload: &[u8]) -> u8 {
        let kind = if cmd == 0x7E { 0x20 } else { 0x10 };
        let cdb = send_cdb(kind, cmd, token, payload);
        self.command(&cdb, payload, payload.len() as u32, false).1
    }

    fn fetch(&mut self, token: u32) -> Vec<u8> {
        let (data, status, _) = self.command(&fetch_cdb(token, 0, 4096), &[], 4096, true);
        assert_eq!(status, 0);
        data
    }

    fn sense(&mut self) -> [u8; 3] {
        let (data, _, _) = self.command(&[3, 0, 0, 0, 18, 0], &[], 18, true);
        [data[2], data[12], data[13]]
    }

    fn entries(&self) -> usize {
        self.device.disk.ledger().entries().len()
    }
}

fn send_cdb(kind: u8, cmd: u8, token: u32, payload: &[u8]) -> Vec<u8> {
    let mut cdb = vec![0xD0, 1, kind, cmd];
    cdb.extend(token.to_be_bytes());
    cdb.extend((payload.len() as u32).to_be_bytes());
    cdb.extend(crc16(payload).to_be_bytes());
    cdb.extend([0, 0]);
    cdb
}

fn fetch_cdb(token: u32, offset: u32, allocation: u32) -> Vec<u8> {
    let mut cdb = vec![0xD1, 1, 0, 0];
    for word in [token, offset, allocation] {
        cdb.extend(word.to_be_bytes());
    }
    cdb
}

/// The data of 0A of one line: three packets of the serial vectors without their frames.
fn issue() -> Vec<u8> {
    ["4.1", "4.2", "4.3"].iter().flat_map(|name| zc_vector(name)[5..].split_last_chunk::<2>().unwrap().0.to_vec()).collect()
}

#[test]
fn the_published_vectors() {
    let mut bench = Bench::new();
    assert_eq!(bench.out("5553424301000000240000008000061200000024 {00*11}"), BulkOut::Taken);
    let inquiry = bench.read();
    assert_eq!((inquiry.len(), &inquiry[8..]), (36, b"TAXDISK BOT PROFILE     0100".as_slice()));
    assert_eq!(bench.read(), hex("5553425301000000 {00*5}"));

    bench.fault(FaultKind::Stall { ms: 50, when: When::Before });
    assert_eq!(bench.out(SEND_STOCK), BulkOut::Taken);
    assert_eq!(bench.device.bulk_in(13), BulkIn::Nak);
    assert_eq!(bench.out(STOCK), BulkOut::Taken);
    assert_eq!(bench.read(), hex(SEND_PASSED));
    assert_eq!(bench.out("555342430201000000020000800010D101000000A10001 {00*6} 0200"), BulkOut::Taken);
    assert_eq!(bench.read(), hex("5444010100A10001 {00*8}"));
    assert_eq!(bench.read(), hex("5553425302010000F001000000"));
    bench.pass(50);
    assert_eq!(bench.out(FETCH_STOCK), BulkOut::Taken);
    assert_eq!(bench.read(), hex(STOCK_ANSWER));
    assert_eq!(bench.read(), hex("5553425303010000CD01000000"));

    bench.fault(FaultKind::OutOfStock);
    assert_eq!(bench.send(0x08, 0x00A1_0002, &hex(STOCK)), 0);
    assert_eq!(bench.fetch(0x00A1_0002), hex("5444010200A10002450022FD000000114A534B3137363ACEDEBFC9D3C3B7A2C6B1"));
    assert!(bench.device.faults.add(Fault::once(FaultKind::LoseAnswerAfterSigning).on(0x08)));
    assert_eq!(bench.send(0x08, 0x00A1_0003, &hex(STOCK)), 0);
    assert_eq!(bench.fetch(0x00A1_0003), hex("5444010300A10003 {00*8}"));

    // Refused (here for its checksum), tag 104h.
    assert_eq!(bench.out("555342430401000037 {00*5} 10D001100800A1000900000037A90E0000"), BulkOut::Taken);
    assert_eq!(bench.out(STOCK), BulkOut::Taken);
    assert_eq!(bench.read(), hex("55534253040100003700000001"));
    assert_eq!(bench.sense(), [0x0B, 0x47, 0x03]);
}

#[test]
fn standard_commands_leave_the_disk_alone() {
    let mut bench = Bench::new();
    for cdb in [[0_u8, 0, 0, 0, 0, 0].as_slice(), &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]] {
        let length = if cdb[0] == 0 { 0 } else { 8 };
        assert_eq!(bench.command(cdb, &[], length, true), (vec![], 1, length));
        assert_eq!(bench.sense(), [0x02, 0x3A, 0x00]);
        assert_eq!(bench.sense(), [0, 0, 0], "told once");
    }
    assert_eq!(bench.command(&[0x1A, 0, 0x3F, 0, 192, 0], &[], 192, true).1, 1);
    assert_eq!(bench.sense(), [0x05, 0x20, 0x00]);
    let max_lun = Setup { request_type: 0xA1, request: 0xFE, value: 0, index: 0, length: 1 };
    assert_eq!(bench.device.control(max_lun, &[]), Some(Ok(vec![0])));
    let mut bench = Bench::with(BotOptions { stalls_max_lun: true, ..BotOptions::default() });
    assert_eq!(bench.device.control(max_lun, &[]), Some(Err(crate::sim::usb::Stalled)));
}

#[test]
fn a_token_executes_once_and_is_never_mistaken() {
    let mut bench = Bench::new();
    bench.device.disk.configure(|config| config.issue_time_ms = 500).unwrap();
    assert_eq!(bench.send(0x0A, 7, &issue()), 0);
    assert_eq!(bench.fetch(7)[3], 1);
    // Again while it runs; another while it runs; the same token with other content.
    assert_eq!(bench.send(0x0A, 7, &issue()), 0);
    assert_eq!(bench.send(0x08, 8, &hex(STOCK)), 1);
    assert_eq!(bench.sense(), [0x02, 0x04, 0x07]);
    assert_eq!(bench.send(0x08, 7, &hex(STOCK)), 1);
    assert_eq!(bench.sense(), [0x05, 0x26, 0x00]);
    assert_eq!((bench.entries(), bench.fetch(8)[3]), (0, 0));
    bench.pass(500);
    assert_eq!(bench.send(0x0A, 7, &issue()), 0);
    let answer = bench.fetch(7);
    assert_eq!((answer[3], answer[8], answer.len()), (2, b'O', 16 + 569));
    assert_eq!((bench.entries(), bench.device.executed), (1, 1));
    // Settling by reads does not displace it.
    for token in 9..12 {
        assert_eq!(bench.send(0x08, token, &hex(STOCK)), 0);
    }
    assert_eq!((bench.fetch(0), bench.fetch(7)), (answer.clone(), answer));
    assert_eq!(bench.fetch(9)[3], 0, "one reading token only");
    assert_eq!(bench.entries(), 1);
}

#[test]
fn damaged_and_malformed_blocks_execute_nothing() {
    let mut bench = Bench::new();
    let payload = issue();
    let good = send_cdb(0x10, 0x0A, 7, &payload);
    for (at, value, sense) in [
        (1, 2, [5, 0x24, 0]),
        (2, 0x30, [5, 0x24, 0]),
        (15, 1, [5, 0x24, 0]),
        (7, 0, [5, 0x24, 0]),
        (13, good[13] ^ 1, [0x0B, 0x47, 3]),
    ] {
        let mut cdb = good.clone();
        cdb[at] = value;
        assert_eq!(bench.command(&cdb, &payload, payload.len() as u32, false).1, 1, "byte {at}");
        assert_eq!(bench.sense(), sense, "byte {at}");
    }
    // Fewer bytes than the payload.
    assert_eq!(bench.command(&good, &payload[..100], 100, false).1, 1);
    assert_eq!(bench.sense(), [0x0B, 0x47, 3]);
    assert_eq!((bench.entries(), bench.fetch(7)[3], bench.device.executed), (0, 0, 0));
    assert_eq!(bench.send(0x0A, 7, &payload), 0, "none of it was stored");
    assert_eq!(bench.command(&fetch_cdb(7, 570, 64), &[], 64, true).1, 1);
    assert_eq!(bench.sense(), [5, 0x24, 0]);
    let (tail, status, residue) = bench.command(&fetch_cdb(7, 560, 64), &[], 64, true);
    assert_eq!((tail.len(), status, residue), (16 + 9, 0, 64 - 25));
    assert_eq!(bench.send(0x77, 9, b""), 0);
    assert_eq!(bench.fetch(9)[8..], [b'E', 0x20, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn an_invalid_block_stalls_until_the_reset() {
    let mut bench = Bench::new();
    assert_eq!(bench.device.bulk_out(&[0; 31]), BulkOut::Stall);
    bench.clear(ENDPOINT_IN);
    bench.clear(ENDPOINT_OUT);
    assert_eq!((bench.out(SEND_STOCK), bench.device.bulk_in(13)), (BulkOut::Stall, BulkIn::Stall));
    bench.reset();
    assert_eq!(bench.send(0x08, 1, &hex(STOCK)), 0);
    // A block in place of a status is held off, and the reset forgets the status but not the token.
    assert_eq!(bench.out(FETCH_STOCK), BulkOut::Taken);
    assert_eq!(bench.out(FETCH_STOCK), BulkOut::Nak);
    bench.reset();
    assert_eq!(bench.fetch(1)[3], 2);
}

#[test]
fn power_keeps_what_was_accepted_and_never_executes_it_late() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let never = Arc::new(|| "20000101000000".parse().unwrap());
        let config = SimConfig { issue_time_ms: 500, ..SimConfig::of_the_vectors() };
        device_on(SimDisk::open(folder.path(), &config, never).unwrap(), BotOptions::default())
    };
    let mut bench = open();
    assert_eq!(bench.send(0x0A, 7, &issue()), 0);
    bench.device.power_cut();
    bench.pass(10_000);
    assert_eq!((bench.fetch(7)[3], bench.entries()), (3, 0));
    assert_eq!(bench.send(0x0A, 7, &issue()), 0, "known, so nothing is done");
    bench.pass(10_000);
    assert_eq!((bench.fetch(0)[3], bench.entries()), (3, 0));
    assert_eq!(bench.send(0x0A, 8, &issue()), 0);
    bench.pass(500);
    let answer = bench.fetch(8);
    drop(bench);
    let mut bench = open();
    assert_eq!((bench.fetch(0), bench.fetch(7)[3]), (answer, 0));
    assert_eq!((bench.send(0x0A, 8, &issue()), bench.entries(), bench.device.executed), (0, 1, 0));
    // Gone while it was at work: the file knows the token, nobody knows the answer.
    assert_eq!(bench.send(0x0A, 9, &issue()), 0);
    drop(bench);
    let mut bench = open();
    bench.pass(10_000);
    assert_eq!((bench.fetch(9)[3], bench.send(0x0A, 9, &issue()), bench.entries()), (3, 0, 1));
}

#[test]
fn weak_hardware_forgets_its_tokens() {
    let mut bench = Bench::with(BotOptions { durable: false, ..BotOptions::default() });
    assert_eq!(bench.send(0x0A, 7, &issue()), 0);
    assert_eq!(bench.fetch(7)[3], 2);
    bench.device.power_cut();
    assert_eq!((bench.fetch(7)[3], bench.fetch(0)[3], bench.entries()), (0, 0, 1));
}

#[test]
fn faults_of_a_transfer() {
    for stage in [UsbStage::Command, UsbStage::Data, UsbStage::Status] {
        let mut bench = Bench::new();
        bench.fault(FaultKind::UsbStall { stage });
        let first = bench.out(SEND_STOCK);
        let second = if first == BulkOut::Taken { bench.out(STOCK) } else { first };
        assert_eq!(second == BulkOut::Stall, stage != UsbStage::Status, "{stage:?}");
        if stage == UsbStage::Status {
            assert_eq!(bench.device.bulk_in(13), BulkIn::Stall);
            bench.clear(ENDPOINT_IN);
            assert_eq!(bench.read(), hex(SEND_PASSED));
        }
        bench.reset();
        assert_eq!(bench.fetch(0x00A1_0001)[3], if stage == UsbStage::Status { 2 } else { 0 }, "{stage:?}");

        let mut bench = Bench::new();
        bench.fault(FaultKind::UsbNak { stage, ms: 70 });
        let mut naks = 0;
        for bytes in [SEND_STOCK, STOCK] {
            while bench.out(bytes) == BulkOut::Nak {
                (naks, _) = (naks + 1, bench.pass(10));
            }
        }
        while bench.device.bulk_in(0) == BulkIn::Nak {
            (naks, _) = (naks + 1, bench.pass(10));
        }
        assert_eq!(naks, 7, "{stage:?}");
    }
    let mut bench = Bench::new();
    bench.fault(FaultKind::UsbWrongTag);
    bench.fault(FaultKind::UsbPhaseError);
    assert_eq!((bench.out(SEND_STOCK), bench.out(STOCK)), (BulkOut::Taken, BulkOut::Taken));
    assert_eq!(bench.read(), hex("555342538101 {00*6} 02"));
}

#[test]
fn faults_of_a_command() {
    let mut bench = Bench::new();
    bench.fault(FaultKind::CrcError);
    assert_eq!(bench.send(0x0A, 1, &issue()), 0);
    let (damaged, whole) = (bench.fetch(1), bench.fetch(1));
    assert_ne!(damaged[10..12], whole[10..12]);
    assert_eq!(whole[10..12], crc16(&whole[16..]).to_be_bytes());

    bench.fault(FaultKind::OtherHost);
    assert_eq!(bench.send(0x0A, 2, &issue()), 0);
    assert_eq!((bench.fetch(2)[3], bench.fetch(0)[3], bench.entries()), (0, 3, 3));

    bench.fault(FaultKind::UsbUnplug);
    assert_eq!(bench.send(0x0A, 3, &issue()), 0);
    bench.device.advance();
    assert!(bench.device.leaves_bus());
    bench.device.bus_reset();
    assert_eq!((bench.fetch(3)[3], bench.entries()), (2, 4));

    bench.fault(FaultKind::PowerCut { when: When::After, off_ms: 0 });
    assert_eq!(bench.send(0x0A, 4, &issue()), 0);
    bench.device.advance();
    assert!(bench.device.leaves_bus());
    bench.device.power_cut();
    assert_eq!((bench.fetch(4)[3], bench.entries()), (3, 5));

    bench.fault(FaultKind::RefuseCrc { packet: None });
    assert_eq!(bench.send(0x0A, 5, &issue()), 1);
    assert_eq!((bench.sense(), bench.fetch(5)[3], bench.entries()), ([0x0B, 0x47, 3], 0, 5));
}

fn fpkj(expected: &str) -> Vec<u8> {
    let text = format!(
        "<business id=\"FPKJ\"><body yylxdm=\"1\"><input><skpbh>499000123456</skpbh><skpkl>88888888</skpkl>\
         <keypwd>12345678</keypwd><fplxdm>025</fplxdm><kplx>0</kplx><tspz>00</tspz><xhdwsbh>91110000MA00000019</xhdwsbh>\
         <ghdwmc>BUYER</ghdwmc><fyxm count=\"1\"><group xh=\"1\"><fphxz>0</fphxz><spmc>PAPER</spmc><spsl>2</spsl>\
         <dj>100</dj><je>200.00</je><sl>0.13</sl><se>26.00</se><hsbz>0</hsbz><spbm>1060105000000000000</spbm>\
         </group></fyxm><hjje>200.00</hjje><hjse>26.00</hjse><jshj>226.00</jshj><kpr>CLERK</kpr>\
         <qdbz>0</qdbz><qmcs>0000004282000000</qmcs>{expected}</input></body></business>"
    );
    text.into_bytes()
}

#[test]
fn a_document_issues_only_at_the_expected_pair() {
    let mut bench = Bench::new();
    let returncode = |answer: &[u8]| {
        let (text, _) = encoding_rs::GBK.decode_without_bom_handling(&answer[16..]);
        text.split_once("<returncode>").unwrap().1.split_once('<').unwrap().0.to_owned()
    };
    let other = fpkj("<dqfpdm>011002000107</dqfpdm><dqfphm>00000087</dqfphm>");
    assert_eq!(bench.send(0x7E, 1, &other), 0);
    let answer = bench.fetch(1);
    assert_eq!((answer[3], answer[8], returncode(&answer).as_str(), bench.entries()), (2, b'O', "10315", 0));
    let good = fpkj("<dqfpdm>011002000107</dqfpdm><dqfphm>00000088</dqfphm>");
    bench.fault(FaultKind::OutOfStock);
    assert_eq!(bench.send(0x7E, 2, &good), 0);
    let answer = bench.fetch(2);
    assert_eq!((returncode(&answer).as_str(), bench.entries()), ("09d103", 0));
    for _ in 0..2 {
        assert_eq!(bench.send(0x7E, 3, &good), 0);
        let answer = bench.fetch(0);
        assert_eq!((answer[7], returncode(&answer).as_str(), bench.entries()), (3, "0", 1));
    }
    let query = b"<business id=\"GPXXCX\"><body><input><skpbh>499000123456</skpbh></input></body></business>";
    assert_eq!(bench.send(0x7E, 4, query), 0);
    assert_eq!((bench.fetch(4)[3], bench.fetch(0)[7]), (2, 3), "a reading document is a reading token");
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic_or_issue(blocks in proptest::collection::vec(
        (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..64), any::<[u8; 16]>(), any::<u32>()), 1..24)) {
        let mut bench = Bench::new();
        for (framed, noise, mut cdb, length) in blocks {
            let bytes = if framed {
                cdb[0] = [0xD0, 0xD1, 0x12, 0x03][usize::from(cdb[0] & 3)];
                cdb[1] &= 1;
                let mut cbw = b"USBC\x07\0\0\0".to_vec();
                cbw.extend((length & 0x3F).to_le_bytes());
                cbw.extend([if length & 0x40 == 0 { 0x80 } else { 0 }, 0, 16]);
                cbw.extend(cdb);
                cbw
            } else {
                noise
            };
            let _ = bench.device.bulk_out(&bytes);
            let _ = bench.device.bulk_in((length & 0xFF) as usize);
            let setup = Setup { request_type: cdb[2], request: cdb[3], value: 0, index: cdb[4].into(), length: 0 };
            let _ = bench.device.control(setup, &bytes);
            bench.pass(u64::from(cdb[5]));
        }
        prop_assert_eq!(bench.entries(), 0);
        bench.reset();
        prop_assert_eq!(bench.fetch(0).len() >= 16, true);
    }
}

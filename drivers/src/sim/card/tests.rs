//! The reader on virtual time: the published vectors, FA, recovery by EF03, faults, and hostile bytes.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::sim::config::{Segment, Signing, SimConfig};
use crate::sim::faults::{Fault, When};
use crate::sim::ledger::EntryStatus;
use taxdisk_protocol::kind::InvoiceKind;

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

const POWER_ON: &str = "0255AA960252EB";
const SELECT_DAY: &str = "0255AA96095000A4000002EF0388";
const READ_DAY: &str = "0255AA96075000B000004CEA";
const ISSUE_89: &str = "0255AA963450C0F200002C2026030201000000590100002C24 {00*27} 2C245E08A5";
const ISSUED_89: &str = "050C501122334455667788900055";
const REPEAT: &str = "0255AA9602FA93";

fn fiscal_code(code: u64) -> Signing {
    Signing::Counted { fiscal_code: format!("{code:020}"), prefix: "SIM".to_owned() }
}

/// A card that has issued four small invoices and one larger one today, 84 to 88, 226.00 in all, at index 1 of two.
fn config() -> SimConfig {
    SimConfig {
        segments: vec![Segment {
            kind: InvoiceKind::Roll,
            code: "1100000320".parse().unwrap(),
            first: "00000084".parse().unwrap(),
            last: "00001000".parse().unwrap(),
            bought_at: None,
            closed: false,
        }],
        rates: SimConfig::default().rates[..2].to_vec(),
        signing: fiscal_code(0x0123_4567_89AB_CDEF),
        ..SimConfig::of_the_vectors()
    }
}

struct Bench {
    disk: SimDisk,
    faults: Faults,
    device: CardDevice,
    now: Duration,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(CardOptions::default())
    }

    fn with(options: CardOptions) -> Bench {
        let disk = SimDisk::in_memory(config(), Arc::new(|| "20000101000000".parse().unwrap()));
        Bench { disk, faults: Faults::default(), device: CardDevice::new(options), now: Duration::from_secs(1) }
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.device.receive(bytes, self.now);
        self.look()
    }

    fn look(&mut self) -> Vec<u8> {
        self.device.advance(&mut self.disk, &mut self.faults, self.now);
        self.device.take_output(self.now)
    }

    fn hex(&mut self, text: &str) -> Vec<u8> {
        self.send(&hex(text))
    }

    fn pass(&mut self, ms: u64) -> Vec<u8> {
        self.now += Duration::from_millis(ms);
        self.look()
    }

    /// Data and SW of an APDU to the fiscal card.
    fn apdu(&mut self, kind: u8, bytes: &[u8]) -> (Vec<u8>, u16) {
        let answer = self.send(&request(kind, bytes));
        assert_eq!((answer[0], usize::from(answer[1]), answer[2]), (0x05, answer.len() - 2, kind), "{answer:02X?}");
        let (data, sw) = answer[3..answer.len() - 1].split_last_chunk::<2>().unwrap();
        (data.to_vec(), u16::from_be_bytes(*sw))
    }

    fn ready(&mut self) -> &mut Bench {
        assert_eq!(self.hex(POWER_ON), hex("05025259"));
        for (number, fen) in (84..89).zip([100, 100, 100, 100, 22_200]) {
            assert_eq!(self.apdu(0x50, &issue(number, fen)).1, 0x9000);
        }
        self.disk.configure(|config| config.signing = fiscal_code(0x1122_3344_5566_7788)).unwrap();
        self
    }

    fn fault(&mut self, kind: FaultKind) {
        assert!(self.faults.add(Fault::once(kind)));
    }

    fn entries(&self) -> usize {
        self.disk.ledger().entries().len()
    }

    fn previous(&mut self) -> u32 {
        assert_eq!(self.hex(POWER_ON), hex("05025259"));
        assert_eq!(self.hex(SELECT_DAY), hex("0504509000E9"));
        let (day, _) = self.apdu(0x50, &hex("00B000004C"));
        u32::from_be_bytes(day[64..68].try_into().unwrap())
    }
}

fn request(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x02, 0x55, 0xAA, 0x96, payload.len() as u8 + 2, kind];
    bytes.extend(payload);
    bytes.push(bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    bytes
}

fn xored(mut data: Vec<u8>) -> Vec<u8> {
    data.push(data.iter().fold(0, |xor, byte| xor ^ byte));
    data
}

fn issue_of(kind: u8, number: u32, index: u8, fen: u32, total: u32) -> Vec<u8> {
    let mut data = hex("20260302");
    data.push(kind);
    data.extend(number.to_be_bytes());
    data.push(index);
    data.extend(fen.to_be_bytes());
    data.extend([0; 25]);
    data.extend(total.to_be_bytes());
    [hex("C0F200002C"), xored(data), vec![8]].concat()
}

fn issue(number: u32, fen: u32) -> Vec<u8> {
    issue_of(1, number, 1, fen, fen)
}

#[test]
fn the_published_vectors() {
    let mut bench = Bench::new();
    bench.ready();
    assert_eq!(bench.hex("0255AA9602F28B"), hex("0502F2F9"));
    assert_eq!(bench.hex(SELECT_DAY), hex("0504509000E9"));
    assert_eq!(bench.hex(READ_DAY), hex("055050202603020005 {00*4} 0102 {00*6} 5848 {00*47} 580123456789ABCDEF900040"));
    assert_eq!(request(0x50, &issue(89, 11_300)), hex(ISSUE_89));
    assert_eq!(bench.hex(ISSUE_89), hex(ISSUED_89));
    for _ in 0..2 {
        assert_eq!(bench.hex(REPEAT), hex("500CFA112233445566778890004A"));
    }
    assert_eq!(bench.entries(), 6);
    let entry = bench.disk.ledger().entries().last().unwrap();
    assert_eq!((entry.gross.to_string(), entry.fiscal_code.as_str()), ("113.00".to_owned(), "01234605616436508552"));
    assert_eq!(bench.send(&request(0x50, &issue(90, 0xFFFF_FFFF))), hex("0504509401EE"));
    for tries in 0..5 {
        let answer = bench.apdu(0x50, &hex("0020000004 31313131"));
        assert_eq!(answer.1, if tries < 4 { 0x63C4 - tries } else { 0x9303 });
    }
    assert_eq!(bench.send(&request(0x50, &hex("0020000004 31313131"))), hex("0504509303EF"));
    bench.fault(FaultKind::CardAbsent);
    assert_eq!(bench.hex(SELECT_DAY), hex("0502F6FD"));
}

#[test]
fn only_the_next_number_is_issued_and_only_what_adds_up() {
    let mut bench = Bench::new();
    bench.ready();
    for (bad, sw) in [
        (issue(88, 100), 0x6985),
        (issue(90, 100), 0x6985),
        (issue_of(1, 89, 1, 100, 101), 0x6A80),
        (issue_of(1, 89, 3, 100, 100), 0x6A80),
        (issue_of(4, 89, 1, 100, 100), 0x6A80),
        (issue(89, 0), 0x9401),
        (hex("C0F2000001 00"), 0x6700),
        (hex("C0AA0000"), 0x6D00),
    ] {
        assert_eq!(bench.apdu(0x50, &bad), (vec![], sw), "{bad:02X?}");
    }
    let mut damaged = issue(89, 100);
    damaged[20] ^= 1;
    assert_eq!((bench.apdu(0x50, &damaged).1, bench.entries()), (0x6A80, 5));
    assert_eq!(bench.apdu(0x50, &issue_of(2, 89, 2, 500, 500)).1, 0x9000);
    assert_eq!(bench.apdu(0x50, &issue_of(3, 90, 0, 0, 0)), (vec![0; 8], 0x9000));
    let statuses: Vec<_> = bench.disk.ledger().entries()[5..].iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [EntryStatus::Negative, EntryStatus::BlankVoid]);
    bench.hex(SELECT_DAY);
    let (day, _) = bench.apdu(0x50, &hex("00B000004C"));
    assert_eq!(day[4..10], hex("000500010001"));
    assert_eq!(day[40 + 4..48], 500_u32.to_be_bytes());
}

#[test]
fn files_have_the_lengths_of_the_facts() {
    let mut bench = Bench::new();
    bench.ready();
    for (id, length) in [(1, 23), (3, 76), (4, 75), (5, 19)] {
        assert_eq!(bench.apdu(0x50, &[0x00, 0xA4, 0, 0, 2, 0xEF, id]).1, 0x9000);
        assert_eq!(bench.apdu(0x50, &[0x00, 0xB0, 0, 0, 0]).0.len(), length, "EF0{id}");
    }
    let (roll, _) = bench.apdu(0x50, &[0x00, 0xB0, 0, 0, 0]);
    assert_eq!(roll, [b"\x001100000320".as_slice(), &[0, 0, 0, 84, 0, 0, 3, 0xE8]].concat());
    assert_eq!(bench.apdu(0x50, &[0x00, 0xA4, 0, 0, 2, 0xEF, 9]), (vec![], 0x6A82));
    bench.apdu(0x50, &hex("00A4000002EF02"));
    assert!(bench.apdu(0x50, &[0x00, 0xB0, 0, 26, 18]).0.starts_with(b"91110000MA00000019"));
}

#[test]
fn a_lost_answer_comes_again_and_is_executed_once() {
    let mut bench = Bench::new();
    bench.ready();
    bench.fault(FaultKind::LoseAnswerAfterSigning);
    assert_eq!(bench.hex(ISSUE_89), b"");
    assert_eq!((bench.hex(REPEAT), bench.entries()), (hex("500CFA112233445566778890004A"), 6));
    // Swallowed: FA gives the answer before it, which is the trap.
    bench.fault(FaultKind::LoseAnswerBeforeSigning);
    assert_eq!(bench.send(&request(0x50, &issue(90, 100))), b"");
    assert_eq!((bench.hex(REPEAT), bench.entries()), (hex("500CFA112233445566778890004A"), 6));
    assert_eq!(bench.previous(), 89);
    for kind in [FaultKind::CrcError, FaultKind::DieMidFrame { after_bytes: 5 }] {
        bench.fault(kind);
        assert_ne!(bench.hex(SELECT_DAY), hex("0504509000E9"));
        assert_eq!(bench.hex(REPEAT), hex("5004FA9000DE"));
    }
}

#[test]
fn a_restart_forgets_the_last_answer_and_the_card_remembers() {
    for (when, previous) in [(When::Before, 88), (When::After, 89)] {
        let mut bench = Bench::new();
        bench.ready();
        bench.fault(FaultKind::PowerCut { when, off_ms: 50 });
        assert_eq!(bench.hex(ISSUE_89), b"");
        assert_eq!(bench.hex(REPEAT), b"", "off");
        bench.pass(50);
        assert_eq!(bench.hex(REPEAT), frame::first_answer(0xF9, &[]));
        assert_eq!(bench.hex(SELECT_DAY), frame::first_answer(0xF4, &[]), "not powered");
        assert_eq!(bench.previous(), previous, "{when:?}");
    }
}

#[test]
fn signing_takes_time_and_a_cut_before_its_end_issues_nothing() {
    let mut bench = Bench::new();
    bench.ready();
    bench.disk.configure(|config| config.issue_time_ms = 400).unwrap();
    assert_eq!(bench.hex(ISSUE_89), b"");
    assert_eq!((bench.pass(399), bench.entries()), (vec![], 5));
    assert_eq!((bench.pass(1), bench.entries()), (hex(ISSUED_89), 6));
    assert_eq!(bench.send(&request(0x50, &issue(90, 100))), b"");
    bench.device.power_cut(bench.now);
    bench.pass(10_000);
    assert_eq!((bench.entries(), bench.previous()), (6, 89));
}

#[test]
fn options_change_the_bytes_that_the_facts_leave_open() {
    let options = CardOptions {
        short_header: true,
        power_answers_as_apdu: true,
        repeats_with_05: true,
        tells_length: true,
        pin_required: true,
        user_card: false,
        ..CardOptions::default()
    };
    let mut bench = Bench::with(options);
    let short = |kind: u8, payload: &[u8]| {
        let mut bytes = vec![0x02, payload.len() as u8 + 2, kind];
        bytes.extend(payload);
        bytes.push(bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
        bytes
    };
    assert_eq!(bench.send(&short(0x52, &[])), frame::first_answer(0x50, &[]));
    assert_eq!(bench.send(&short(0x51, &[]))[2..5], [0x50, 0x3B, 0x7C]);
    assert_eq!(bench.send(&short(0xF2, &[])), hex("0502F6FD"));
    let issue = short(0x50, &issue(84, 100));
    assert_eq!(bench.send(&issue)[3..5], [0x69, 0x82]);
    assert_eq!(bench.send(&short(0x50, &hex("C0F9000008 3838383838383838 8E")))[11..13], [0x61, 0x08]);
    assert_eq!(bench.send(&issue)[11..13], [0x61, 0x08]);
    assert_eq!(bench.send(&short(0xFA, &[]))[..3], [0x05, 0x0C, 0xFA]);
}

#[test]
fn a_roll_goes_from_the_user_card_to_the_fiscal_card() {
    let roll = Roll { code: "1100000321".to_owned(), first: 1, last: 50 };
    let mut bench = Bench::with(CardOptions { rolls: vec![roll], ..CardOptions::default() });
    bench.ready();
    assert_eq!(bench.hex("0255AA9602F28B"), hex("0502F2F9"));
    let (roll, sw) = bench.apdu(0xF0, &hex("C0E9000016"));
    assert_eq!((roll.len(), sw), (22, 0x9000));
    assert_eq!(bench.apdu(0xF0, &hex("C0E9000016")).1, 0x9401);
    let load = [hex("C0F7000016"), roll].concat();
    assert_eq!(bench.apdu(0x50, &load).1, 0x9000);
    assert_eq!(bench.apdu(0x50, &load).1, 0x6A80, "once");
    assert_eq!(bench.disk.stock(InvoiceKind::Roll).unwrap().remaining, 912 + 50);
}

#[test]
fn on_a_terminal_the_reader_keeps_its_answer_while_the_cable_is_out() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("port");
    let options = |name: &str, config: SimConfig| crate::sim::SimOptions {
        state_dir: folder.path().join(name),
        link: Some(link.clone()),
        dialect: crate::sim::Dialect::Card(CardOptions::default()),
        config,
        ..crate::sim::SimOptions::default()
    };
    let refused = crate::sim::serve(options("long", SimConfig::of_the_vectors())).err().unwrap();
    assert!(refused.to_string().contains("ten digits"), "{refused}");
    let sim = crate::sim::serve(options("card", config())).unwrap();
    let exchange = |requests: &[&str], answer: &str| {
        let patience = Duration::from_secs(20);
        let mut port = serialport::new(link.to_str().unwrap(), 9600).timeout(patience).open_native().unwrap();
        for request in requests {
            port.write_all(&hex(request)).unwrap();
            let mut heard = vec![0; if *request == requests[requests.len() - 1] { hex(answer).len() } else { 4 }];
            port.read_exact(&mut heard).unwrap();
            if *request == requests[requests.len() - 1] {
                assert_eq!(heard, hex(answer));
            }
        }
    };
    exchange(&[POWER_ON, SELECT_DAY], "0504509000E9");
    sim.unplug();
    sim.replug().unwrap();
    exchange(&[REPEAT], "5004FA9000DE");
    sim.unplug_and_cut_power();
    sim.replug().unwrap();
    exchange(&[REPEAT], "0502F900");
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic_or_issue(
        noise in proptest::collection::vec(any::<u8>(), 0..600),
        frames in proptest::collection::vec((0x4E_u8.., proptest::collection::vec(any::<u8>(), 0..60)), 0..12),
    ) {
        let mut bench = Bench::new();
        bench.send(&noise);
        bench.pass(4000);
        for (kind, mut payload) in frames {
            if let Some(class) = payload.first_mut() {
                *class = if *class & 1 == 0 { 0x00 } else { 0xC0 };
            }
            bench.send(&request(kind, &payload));
            bench.pass(10);
        }
        // A void needs a right XOR and number; noise has neither.
        prop_assert_eq!(bench.entries(), 0);
        bench.pass(4000);
        prop_assert_eq!(bench.hex(POWER_ON), hex("05025259"));
    }
}

//! Drivers over a byte line: ZC in both forms, and the fiscal card.

use std::sync::Arc;
use std::time::Duration;

use taxdisk_protocol::kind::InvoiceKind;

use super::calls::{About, Said, call, short};
use super::line::{Device, Line};
use super::script::{self, Act};
use crate::dialects::card::{CardConfig, CardDisk};
use crate::dialects::zc::crc::checksum;
use crate::dialects::zc::{Framing, ZcConfig, ZcDisk};
use crate::disk::TaxDisk;
use crate::secret::Secret;
use crate::sim::card::{CardDevice, CardOptions};
use crate::sim::clock::TimeSource;
use crate::sim::config::Segment;
use crate::sim::faults::Faults;
use crate::sim::zc::{ZcDevice, ZcOptions};
use crate::sim::{SimConfig, SimDisk};

/// A clock that stands: what is found once is found again.
pub(super) fn standing_clock() -> TimeSource {
    Arc::new(|| "20260302101500".parse().expect("fourteen digits of a day that was"))
}

/// A converter with its disk.
struct Converter {
    device: ZcDevice,
    faults: Faults,
    disk: SimDisk,
}

impl Converter {
    fn new() -> Converter {
        Converter {
            device: ZcDevice::new(ZcOptions::default()),
            faults: Faults::default(),
            disk: SimDisk::in_memory(SimConfig::default(), standing_clock()),
        }
    }
}

/// Letters of an answer by the act.
fn word(does: u8) -> [u8; 2] {
    match does / 8 % 8 {
        0..=4 => *b"OK",
        5 => *b"ER",
        6 => *b"WT",
        _ => *b"NP",
    }
}

fn zc_frame(act: &Act<'_>, wide: bool) -> Vec<u8> {
    let [first, second] = word(act.does);
    let mut frame = vec![first, second, act.how];
    if wide {
        let data = &act.data[..act.data.len().min(65_527)];
        frame.extend(u16::try_from(5 + data.len()).unwrap_or(u16::MAX).to_be_bytes());
        frame.extend_from_slice(data);
    } else {
        let data = &act.data[..act.data.len().min(249)];
        frame.push(u8::try_from(4 + data.len()).unwrap_or(u8::MAX));
        frame.extend_from_slice(data);
    }
    let crc = checksum(&frame);
    frame.extend(crc.to_be_bytes());
    frame
}

/// Of the first frame, as long as it says that it is.
fn zc_seal(bytes: &mut [u8], wide: bool) {
    let len = match (wide, &*bytes) {
        (false, [_, _, _, len, ..]) => usize::from(*len),
        (true, [_, _, _, high, low, ..]) => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return,
    };
    if let Some((body, crc)) = bytes.get_mut(..len + 2).and_then(<[u8]>::split_last_chunk_mut::<2>) {
        *crc = checksum(body).to_be_bytes();
    }
}

macro_rules! converter {
    ($name:ident, $wide:expr) => {
        /// A converter whose made-up answers have this form.
        pub(super) struct $name(Converter);

        impl $name {
            /// With a fresh disk.
            pub(super) fn fresh() -> $name {
                $name(Converter::new())
            }
        }

        impl Device for $name {
            fn receive(&mut self, bytes: &[u8], now: Duration) {
                self.0.device.receive(bytes, now);
            }

            fn turn(&mut self, now: Duration) -> Vec<u8> {
                let _ = self.0.device.take_wire();
                self.0.device.advance(&mut self.0.disk, &mut self.0.faults, now);
                self.0.device.take_output(now)
            }

            fn wake_at(&self) -> Option<Duration> {
                self.0.device.wake_at()
            }

            fn disk(&self) -> &SimDisk {
                &self.0.disk
            }

            fn frame(act: &Act<'_>) -> Vec<u8> {
                zc_frame(act, $wide)
            }

            fn seal(frame: &mut [u8]) {
                zc_seal(frame, $wide);
            }
        }
    };
}

converter!(FixedConverter, false);
converter!(XmlConverter, true);

/// A reader with its card.
pub(super) struct Reader {
    device: CardDevice,
    faults: Faults,
    disk: SimDisk,
}

impl Reader {
    /// With a fresh card.
    pub(super) fn new() -> Reader {
        let config = SimConfig {
            segments: vec![Segment {
                kind: InvoiceKind::Roll,
                code: "1100000320".parse().expect("ten digits"),
                first: "00000084".parse().expect("eight digits"),
                last: "00001000".parse().expect("eight digits"),
                bought_at: None,
                closed: false,
            }],
            rates: SimConfig::default().rates[..1].to_vec(),
            ..SimConfig::of_the_vectors()
        };
        let disk = SimDisk::in_memory(config, standing_clock());
        Reader { device: CardDevice::new(CardOptions::default()), faults: Faults::default(), disk }
    }
}

/// A driver for it.
pub(super) fn card_config() -> CardConfig {
    CardConfig {
        tax_indexes: vec![(1, "0.13".parse().expect("a rate"))],
        content_is_printed_elsewhere: true,
        today: || jiff::civil::date(2026, 3, 2),
        ..CardConfig::default()
    }
}

impl Device for Reader {
    fn receive(&mut self, bytes: &[u8], now: Duration) {
        self.device.receive(bytes, now);
    }

    fn turn(&mut self, now: Duration) -> Vec<u8> {
        let _ = self.device.take_wire();
        self.device.advance(&mut self.disk, &mut self.faults, now);
        self.device.take_output(now)
    }

    fn wake_at(&self) -> Option<Duration> {
        self.device.wake_at()
    }

    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn frame(act: &Act<'_>) -> Vec<u8> {
        let data = &act.data[..act.data.len().min(250)];
        let start = if act.does & 0x80 == 0 { 0x05 } else { 0x50 };
        let kind = match act.how {
            0 => 0x50,
            1 => 0xFA,
            other => other,
        };
        let mut frame = vec![start, u8::try_from(data.len() + 2).unwrap_or(u8::MAX), kind];
        frame.extend_from_slice(data);
        frame.push(sum(&frame));
        frame
    }

    fn seal(frame: &mut [u8]) {
        let len = frame.get(1).copied().map_or(0, usize::from);
        if let Some((last, body)) = frame.get_mut(..len + 2).and_then(<[u8]>::split_last_mut) {
            *last = sum(body);
        }
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// What every conversation over a line has to keep.
fn converse<D: Device + 'static>(
    bytes: &[u8],
    line: &Line<D>,
    disk: &mut dyn TaxDisk,
    kind: InvoiceKind,
    longest: Duration,
    checked: bool,
) {
    let (which, acts) = script::read(bytes);
    let Ok(identity) = disk.identity() else { panic!("an honest device is understood") };
    let Ok(stock) = disk.stock(kind) else { panic!("an honest device is understood") };
    let about = About::new(disk, kind, stock.current, identity);
    let (changes, issued) = line.with_disk(|disk| (disk.ledger().entries().len(), disk.ledger().signatures()));
    line.turn_hostile(&acts);
    use crate::transport::ByteLine as _;
    let began = line.now();
    let said = call(disk, which, &about);
    let took = line.now() - began;
    assert!(took <= longest, "call {which} took {took:?}, its longest time is {longest:?}");
    let (changes_now, issued_now) = line.with_disk(|disk| (disk.ledger().entries().len(), disk.ledger().signatures()));
    match said {
        Said::NotSent => assert_eq!((changes, issued), (changes_now, issued_now), "it was sent"),
        Said::Read => assert_eq!((changes, issued), (changes_now, issued_now), "a reading command changed the disk"),
        // A sum of one byte notices what is damaged in one byte; two may agree.
        Said::Issued if checked && !line.is_made_up() => {
            let known = line.with_disk(|disk| disk.ledger().find(kind, about.expected).is_some());
            assert!(known, "a damaged answer was read as a clean one");
        }
        Said::Issued | Said::Doubt => {}
    }
    // It lives, and says so in words.
    if let Err(error) = disk.handshake() {
        short(&error);
    }
}

fn zc_config(framing: Framing) -> ZcConfig {
    ZcConfig {
        disk_password: Secret::new("88888888"),
        certificate_password: Secret::new("12345678"),
        machine_number: "JQ0000000001".to_owned(),
        framing,
        ..ZcConfig::default()
    }
}

/// ZC with fields of fixed width: a call, and what comes in answer to each write.
pub(super) fn zc_fixed(bytes: &[u8]) {
    let line = Line::new(FixedConverter::fresh());
    let mut disk = ZcDisk::new(line.clone(), zc_config(Framing::Fixed));
    let longest = disk.longest_call();
    converse(bytes, &line, &mut disk, InvoiceKind::Roll, longest, true);
}

/// ZC with documents.
pub(super) fn zc_xml(bytes: &[u8]) {
    let line = Line::new(XmlConverter::fresh());
    let mut disk = ZcDisk::new(line.clone(), zc_config(Framing::Xml));
    let longest = disk.longest_call();
    converse(bytes, &line, &mut disk, InvoiceKind::Roll, longest, true);
}

/// A fiscal card: frames, APDUs and files.
pub(super) fn card(bytes: &[u8]) {
    let line = Line::new(Reader::new());
    let mut disk = CardDisk::new(line.clone(), card_config());
    let longest = disk.longest_call();
    converse(bytes, &line, &mut disk, InvoiceKind::Roll, longest, false);
}

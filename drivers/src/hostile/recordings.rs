//! A failure over each transport is recorded, exported as it leaves the PC, and played again: the driver says the same. No
//! name, taxpayer number or password is in the export.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::calls::About;
use super::line::Line;
use super::script::{Act, Pace};
use super::serial::{self, standing_clock};
use super::usb::Bus;
use crate::dialects::anonymise;
use crate::dialects::bot::{self, BotConfig, BotDisk};
use crate::dialects::card::{self, CardDisk};
use crate::dialects::nisec::{NisecConfig, NisecDisk};
use crate::dialects::skserver::{SkServerConfig, SkServerDisk};
use crate::dialects::zc::{Framing, ZcConfig, ZcDisk, redact_frame};
use crate::disk::{DiskError, Identity, IssueAnswer, TaxDisk};
use crate::profile::Dialect;
use crate::secret::Secret;
use crate::sim::bridge::fresh_disk;
use crate::sim::nisec::NisecOptions;
use crate::sim::skserver::SkServerOptions;
use crate::sim::{SimConfig, SimDisk, nisec, skserver};
use crate::transport::document::{DocumentError, DocumentLink, RecordedDocuments, ReplayedDocuments, Sent};
use crate::transport::memory::ScriptedLine;
use crate::transport::record::{Entry, Event, Recorded, replay};
use crate::transport::ring::{from_json_lines, to_json_lines};
use crate::transport::usb::record::{RecordedUsb, ReplayedUsb};

const PASSWORDS: [&str; 2] = ["88888888", "12345678"];
const MASKED: [&str; 2] = ["********", "********"];

/// What a driver said in a conversation with a failure in it.
#[derive(Debug, PartialEq, Eq)]
struct Story {
    current: NumberPair,
    failed: DeviceClass,
    found: Option<NumberPair>,
}

fn kept() -> (Arc<Mutex<Vec<Entry>>>, impl FnMut(Entry) + Send) {
    let kept: Arc<Mutex<Vec<Entry>>> = Arc::default();
    let sink = Arc::clone(&kept);
    (kept, move |entry| sink.lock().unwrap().push(entry))
}

/// As it leaves the PC and is read again.
fn exported(dialect: Dialect, kept: &Mutex<Vec<Entry>>, identity: &Identity) -> Vec<Entry> {
    let entries = kept.lock().unwrap().clone();
    let raw = bytes(&entries);
    let clean = anonymise(dialect, entries);
    let text = to_json_lines(&clean);
    let entries = from_json_lines(&text).unwrap();
    assert_eq!(entries.len(), clean.len());
    let all = bytes(&entries);
    let holds = |all: &[u8], needle: &[u8]| all.windows(needle.len()).any(|window| window == needle);
    let name = encoding_rs::GBK.encode(&identity.taxpayer_name).0.into_owned();
    assert!(holds(&raw, identity.taxpayer.as_str().as_bytes()) && holds(&raw, &name), "{dialect:?}: there is something to hide");
    assert!(!holds(&raw, PASSWORDS[0].as_bytes()), "{dialect:?}: a password was kept");
    for secret in [identity.taxpayer.as_str().as_bytes(), &name, b"91310000MA00000025", &encoding_rs::GBK.encode("测试买方").0]
    {
        assert!(!holds(&all, secret), "{dialect:?}: {}", String::from_utf8_lossy(secret));
    }
    entries
}

fn bytes(entries: &[Entry]) -> Vec<u8> {
    let of = |entry: &Entry| match &entry.event {
        Event::Sent(bytes) | Event::Received(bytes) => bytes.clone(),
        _ => Vec::new(),
    };
    entries.iter().flat_map(of).collect()
}

fn act(does: u8) -> Act<'static> {
    Act { does, how: 0, pace: Pace { first_ms: 0, gap_ms: 0 }, data: &[] }
}

fn class<T>(answer: Result<T, DiskError>) -> DeviceClass {
    answer.err().unwrap().class
}

fn issue_in_doubt(disk: &mut dyn TaxDisk, about: &About) -> DeviceClass {
    match disk.issue(&about.order.request()) {
        IssueAnswer::InDoubt(error) => error.class,
        other => panic!("the answer was lost, not {other:?}"),
    }
}

/// Who it is, what is next, an invoice whose answer is lost, and the look whether it exists.
fn tell(disk: &mut dyn TaxDisk, kind: InvoiceKind, trouble: impl FnOnce()) -> (Story, Identity) {
    let identity = disk.identity().unwrap();
    let current = disk.stock(kind).unwrap().current;
    let about = About::new(disk, kind, current, identity.clone());
    trouble();
    let failed = issue_in_doubt(disk, &about);
    let found = disk.query(kind, current).unwrap().map(|found| found.pair);
    (Story { current, failed, found }, identity)
}

#[test]
fn a_usb_disk_whose_answer_was_lost() {
    let kind = InvoiceKind::PaperOrdinary;
    let config = |[disk_password, certificate_password]: [&str; 2], token_floor| BotConfig {
        disk_password: Secret::new(disk_password),
        certificate_password: Secret::new(certificate_password),
        token_floor,
        ..BotConfig::default()
    };
    let bus = Bus::new();
    let (kept, sink) = kept();
    let mut disk = BotDisk::new(RecordedUsb::new(bus.clone(), bot::mask_command, sink), config(PASSWORDS, 4711));
    // The status of the command comes; then the bus fails, until the driver has given it up.
    let broken: Vec<Act<'_>> = std::iter::once(act(0)).chain((0..3).map(|_| act(6))).collect();
    let (story, identity) = tell(&mut disk, kind, || bus.turn_hostile(&broken));
    assert_eq!((story.failed, story.found), (DeviceClass::Link, Some(story.current)), "it was issued");

    let entries = exported(Dialect::Bot, &kept, &identity);
    let again = ReplayedUsb::new(entries.clone(), 512);
    let mut disk = BotDisk::new(again.clone(), config(MASKED, bot::token_floor(&entries)));
    let (replayed, other) = tell(&mut disk, kind, || ());
    assert_eq!(again.surprises(), Vec::<String>::new());
    assert_eq!((replayed, again.rest()), (story, 0));
    assert_ne!(other.taxpayer, identity.taxpayer);
    // A driver that does something else is found out.
    let again = ReplayedUsb::new(entries, 512);
    let mut disk = BotDisk::new(again.clone(), config(MASKED, 9));
    assert!(disk.identity().is_err() && !again.surprises().is_empty());
}

/// A component that hangs up on one document, after it was carried out.
struct Component {
    disk: SimDisk,
    answer: fn(&mut SimDisk, &[u8]) -> Vec<u8>,
    hangs_up_on: &'static str,
}

impl DocumentLink for Component {
    fn call(&mut self, document: &[u8], _within: Duration) -> Result<Vec<u8>, DocumentError> {
        let answer = (self.answer)(&mut self.disk, document);
        let id = format!(" id=\"{}\"", self.hangs_up_on);
        if document.windows(id.len()).any(|part| part == id.as_bytes()) {
            return Err(DocumentError { sent: Sent::Maybe, text: "hung up on 某有限公司".to_owned() });
        }
        Ok(answer)
    }

    fn describe(&self) -> String {
        "a component".to_owned()
    }
}

#[test]
fn a_component_that_hung_up() {
    let kind = InvoiceKind::PaperOrdinary;
    let config = |[disk_password, certificate_password]: [&str; 2]| NisecConfig {
        disk_password: Secret::new(disk_password),
        certificate_password: Secret::new(certificate_password),
        ..NisecConfig::default()
    };
    let component = Component {
        disk: SimDisk::in_memory(fresh_disk(), standing_clock()),
        answer: |disk, document| nisec::answer_with(disk, document, &NisecOptions::default()),
        hangs_up_on: "FPKJ",
    };
    let (kept, sink) = kept();
    let mut disk = NisecDisk::new(RecordedDocuments::new(component, sink), config(PASSWORDS));
    let (story, identity) = tell(&mut disk, kind, || ());
    assert_eq!((story.failed, story.found), (DeviceClass::Link, Some(story.current)));

    let again = ReplayedDocuments::new(exported(Dialect::Nisec, &kept, &identity));
    let (replayed, _) = tell(&mut NisecDisk::new(again.clone(), config(MASKED)), kind, || ());
    assert_eq!((again.surprises(), replayed, again.rest()), (Vec::new(), story, 0));
}

#[test]
fn a_server_that_hung_up() {
    let kind = InvoiceKind::PaperOrdinary;
    let sim = SimDisk::in_memory(fresh_disk(), standing_clock());
    let number = sim.config().disk_number.parse().unwrap();
    let base = SkServerConfig {
        taxpayer_name: sim.config().taxpayer_name.clone(),
        kinds: vec![kind],
        key_password: Secret::new(PASSWORDS[1]),
        ..SkServerConfig::new("1", number, TaxpayerNumber::from_device(&sim.config().taxpayer_number).unwrap())
    };
    let component = Component {
        disk: sim,
        answer: |disk, document| skserver::answer(disk, document, &SkServerOptions::default()),
        hangs_up_on: "10008",
    };
    let (kept, sink) = kept();
    let mut disk = SkServerDisk::new(RecordedDocuments::new(component, sink), base.clone());
    let (story, identity) = tell(&mut disk, kind, || ());
    assert_eq!((story.failed, story.found), (DeviceClass::Link, Some(story.current)));

    let entries = exported(Dialect::Skserver, &kept, &identity);
    // Whose server it is stands in the configuration, so the made-up number goes there too.
    let taxpayer = TaxpayerNumber::from_device("999999999999999991").unwrap();
    let config = SkServerConfig { taxpayer, key_password: Secret::new(MASKED[1]), ..base };
    let again = ReplayedDocuments::new(entries);
    let (replayed, _) = tell(&mut SkServerDisk::new(again.clone(), config), kind, || ());
    assert_eq!((again.surprises(), replayed, again.rest()), (Vec::new(), story, 0));
}

#[test]
fn a_card_whose_answer_was_lost_three_times() {
    let kind = InvoiceKind::Roll;
    let line = Line::new(serial::Reader::new());
    let (kept, sink) = kept();
    let mut disk = CardDisk::new(Recorded::new(line.clone(), card::redact_frame, sink), serial::card_config());
    let signed = |disk: &mut dyn TaxDisk, trouble: &dyn Fn()| {
        let identity = disk.identity().unwrap();
        let current = disk.stock(kind).unwrap().current;
        let about = About::new(disk, kind, current, identity.clone());
        trouble();
        let IssueAnswer::Signed(signed) = disk.issue(&about.order.request()) else { panic!("the card's record shows it") };
        assert_eq!(signed.pair, current);
        (signed, identity)
    };
    // Identity, roll and day record are read; the answer to F2 is lost, and twice what is got again.
    let acts: Vec<Act<'_>> = (0..6).map(|_| act(0)).chain((0..3).map(|_| act(3))).collect();
    let (first, identity) = signed(&mut disk, &|| line.turn_hostile(&acts));
    let entries = {
        let entries = kept.lock().unwrap().clone();
        assert!(bytes(&entries).windows(20).any(|part| part.starts_with(identity.taxpayer.as_str().as_bytes())));
        let clean = anonymise(Dialect::Card, entries);
        assert!(!bytes(&clean).windows(20).any(|part| part.starts_with(identity.taxpayer.as_str().as_bytes())));
        from_json_lines(&to_json_lines(&clean)).unwrap()
    };
    let again = ScriptedLine::new(replay(&entries));
    let (replayed, other) = signed(&mut CardDisk::new(again.clone(), serial::card_config()), &|| ());
    assert!(again.is_finished());
    assert_eq!((replayed, other.disk), (first, identity.disk));
    assert_ne!((other.taxpayer, other.taxpayer_name), (identity.taxpayer, identity.taxpayer_name));
}

#[test]
fn a_converter_of_documents_that_did_not_answer() {
    let config = |[disk_password, certificate_password]: [&str; 2]| ZcConfig {
        disk_password: Secret::new(disk_password),
        certificate_password: Secret::new(certificate_password),
        framing: Framing::Xml,
        ..ZcConfig::default()
    };
    let line = Line::new(serial::XmlConverter::fresh());
    let (kept, sink) = kept();
    let mut disk = ZcDisk::new(Recorded::new(line.clone(), redact_frame, sink), config(PASSWORDS));
    let story = |disk: &mut dyn TaxDisk, trouble: &dyn Fn()| {
        let identity = disk.identity().unwrap();
        trouble();
        let failed = class(disk.stock(InvoiceKind::Roll));
        (failed, disk.stock(InvoiceKind::Roll).unwrap(), identity)
    };
    let (failed, stock, identity) = story(&mut disk, &|| line.turn_hostile(&[act(3)]));
    assert_eq!(failed, DeviceClass::Link);
    let entries = exported(Dialect::Zc, &kept, &identity);
    let again = ScriptedLine::new(replay(&entries));
    let (failed_again, stock_again, other) = story(&mut ZcDisk::new(again.clone(), config(MASKED)), &|| ());
    assert!(again.is_finished());
    assert_eq!((failed_again, stock_again), (failed, stock));
    assert_ne!(other.taxpayer, identity.taxpayer);
    assert!(SimConfig::default().taxpayer_name == identity.taxpayer_name, "the sample has a name");
}

#[test]
fn the_password_of_a_usb_command_is_masked_wherever_the_transfers_are_cut() {
    use crate::transport::usb::{BulkDevice as _, bot::command_block};
    let mut payload = vec![b'1'; 32];
    payload.extend(b"88888888");
    payload.extend(vec![b'2'; 24]);
    // SEND of 08 in fields of fixed width.
    let cdb = [0xD0, 1, 0x10, 0x08, 0, 0, 0, 1, 0, 0, 0, payload.len() as u8, 0, 0, 0, 0];
    let wrapper = command_block(1, &cdb, payload.len() as u32, false);
    for cut in 0..=payload.len() {
        let (kept, sink) = kept();
        let mut device = RecordedUsb::new(Bus::new(), bot::mask_command, sink);
        let _ = device.bulk_out(&wrapper, Duration::ZERO);
        for part in [&payload[..cut], &payload[cut..]] {
            if !part.is_empty() {
                let _ = device.bulk_out(part, Duration::ZERO);
            }
        }
        // What is kept back comes out with the next event, whole or not.
        let _ = device.bulk_in(&mut [0; 64], Duration::ZERO);
        let all = bytes(&kept.lock().unwrap());
        assert!(!all.windows(3).any(|part| part == b"888"), "cut at {cut}");
    }
}

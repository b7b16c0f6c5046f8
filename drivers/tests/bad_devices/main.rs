//! Bad devices, as one list, over every dialect that can: each must end in a clear error, within bounded memory and time, and
//! never lose or double an invoice. The simulated disk's ledger is the oracle. Two disks in one agent, one of them bad:
//! `agent/tests/bad_disks.rs`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod tamper;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taxdisk_drivers::conformance::bot::BotStand;
use taxdisk_drivers::conformance::component::{Component, ComponentStand};
use taxdisk_drivers::conformance::line::{LineDialect, LineStand};
use taxdisk_drivers::conformance::{Stand, sample};
use taxdisk_drivers::dialects::zc::Framing;
use taxdisk_drivers::disk::{DiskError, Identity, IssueAnswer, IssueRequest, TaxDisk};
use taxdisk_drivers::sim::clock::ClockSetting;
use taxdisk_drivers::sim::component::{ComponentFault, ComponentFaultKind};
use taxdisk_drivers::sim::faults::When;
use taxdisk_drivers::sim::ledger::Origin;
use taxdisk_drivers::sim::{LedgerEntry, SimConfig};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use tamper::{BadLine, BadLink, BadPort, Control, Frames, Mode};

/// What one call may take from a device before it gives up: an answer of 1 MiB in parts, asked for a few times.
const MOST_BYTES: u64 = 8 << 20;
/// What one call may last in the device's own time, generously: a line that is never silent is given a minute for that.
const LONGEST: Duration = Duration::from_secs(20 * 60);
/// What all calls to one bad device may last in real time.
const LONGEST_REAL: Duration = Duration::from_secs(120);

/// A good device, and what can make it a bad one.
struct Desk {
    stand: Box<dyn Stand>,
    control: Arc<Control>,
    disk: Box<dyn TaxDisk>,
    seller: Identity,
    kind: InvoiceKind,
    /// Answers carry a checksum.
    checked: bool,
    _folder: tempfile::TempDir,
}

const DIALECTS: [&str; 6] = ["zc", "zc, documents", "card", "nisec", "skserver", "taxdisk-bot"];

impl Desk {
    fn of(dialect: &str) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let control = Control::new();
        let on_line = |dialect, frames| {
            let stand = LineStand::in_memory(dialect);
            let (inner, waiting) = (stand.line().unwrap(), VecDeque::new());
            let disk = stand.driver(Box::new(BadLine { inner, control: control.clone(), frames, waiting, packet: 0 }));
            (Box::new(stand) as Box<dyn Stand>, disk)
        };
        let on_link = |component| {
            let stand = ComponentStand::new(component, folder.path()).unwrap();
            let link = BadLink { inner: stand.link().unwrap(), control: control.clone() };
            let disk = stand.driver(Box::new(link)).unwrap();
            (Box::new(stand) as Box<dyn Stand>, disk)
        };
        let ((stand, mut disk), checked) = match dialect {
            "zc" => (on_line(LineDialect::Zc(Framing::Fixed), Frames::Zc), true),
            "zc, documents" => (on_line(LineDialect::Zc(Framing::Xml), Frames::ZcXml), true),
            "card" => (on_line(LineDialect::Card, Frames::Card), true),
            "nisec" => (on_link(Component::Nisec), false),
            "skserver" => (on_link(Component::SkServer), false),
            _ => {
                let stand = BotStand::new().unwrap();
                let (instead, echo) = (VecDeque::new(), Vec::new());
                let port = BadPort { inner: stand.port(), control: control.clone(), instead, echo };
                let disk = stand.driver(Box::new(port));
                ((Box::new(stand) as Box<dyn Stand>, disk), true)
            }
        };
        let seller = disk.identity().unwrap();
        let kind = stand.kind();
        Desk { stand, control, disk, seller, kind, checked, _folder: folder }
    }

    fn configure(&self, change: impl Fn(&mut SimConfig)) {
        self.stand.with_disk(&mut |disk| disk.configure(&change).unwrap());
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        let mut entries = Vec::new();
        self.stand.with_disk(&mut |disk| entries = disk.ledger().entries().to_vec());
        entries
    }

    /// What the disk itself would sign next.
    fn truth(&self) -> NumberPair {
        let mut current = None;
        self.stand.with_disk(&mut |disk| current = disk.stock(self.kind).ok());
        current.unwrap().current
    }

    fn issue(&mut self, expected: NumberPair) -> IssueAnswer {
        let invoice = sample::plain(self.disk.capabilities());
        self.disk.issue(&IssueRequest {
            kind: self.kind,
            expected,
            invoice: &invoice,
            remark: "",
            seller: &self.seller,
            red: None,
            request_id: "BAD1",
        })
    }

    /// Calls once, and checks what it cost.
    fn cheaply<T>(&mut self, what: &str, call: impl FnOnce(&mut Desk) -> T) -> T {
        let (taken, waited, began) = (self.control.taken(), self.control.extra(), Instant::now());
        let result = call(self);
        let (taken, waited) = (self.control.taken() - taken, self.control.extra() - waited);
        assert!(taken <= MOST_BYTES, "{what}: {taken} bytes were taken");
        assert!(waited <= LONGEST, "{what}: {waited:?} of the device's time");
        assert!(began.elapsed() <= LONGEST_REAL, "{what}: {:?}", began.elapsed());
        result
    }

    /// Good again: whatever happened before, reading tells the truth and the next invoice is issued, once.
    fn recovers(&mut self, what: &str) {
        self.stand.calm();
        let mut back = self.disk.resync();
        for _ in 0..2 {
            if back.is_err() {
                back = self.disk.resync();
            }
        }
        back.unwrap_or_else(|error| panic!("{what}: it does not come back: {error}"));
        self.disk.identity().unwrap_or_else(|error| panic!("{what}: {error}"));
        let stock = self.disk.stock(self.kind).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(stock.current, self.truth(), "{what}");
        let before = self.ledger().len();
        let answer = self.issue(stock.current);
        assert!(matches!(&answer, IssueAnswer::Signed(signed) if signed.pair == stock.current), "{what}: {answer:?}");
        assert_eq!(self.ledger().len(), before + 1, "{what}");
    }

    /// One command, at most one invoice, and never another one than it says.
    fn verdict_is_true(&self, what: &str, answer: &IssueAnswer, before: usize) {
        let entries = self.ledger();
        let new = &entries[before..];
        assert!(new.len() <= 1 && new.iter().all(|entry| entry.origin == Origin::Host), "{what}: {new:?}");
        match answer {
            IssueAnswer::Signed(signed) => {
                assert_eq!(new.first().map(LedgerEntry::pair), Some(signed.pair), "{what}: it says {signed:?}");
            }
            IssueAnswer::NotSent(error) => assert!(new.is_empty(), "{what}: {error}, and {new:?}"),
            IssueAnswer::Refused(_) | IssueAnswer::InDoubt(_) => {}
        }
    }
}

/// Somebody has to look at the device or its cable. Nothing else is to be concluded from bytes that are none.
fn is_of_the_line(error: &DiskError) -> bool {
    matches!(error.class, DeviceClass::Link | DeviceClass::DeviceFault | DeviceClass::NotPresent) && !error.text.is_empty()
}

/// The device turns bad between two calls: everything fails as a fault of line or device, and nothing is issued unless it says
/// so.
fn turns_bad(dialect: &str, mode: Mode) {
    let what = format!("{dialect}, {mode:?}");
    let mut desk = Desk::of(dialect);
    let first = desk.truth();
    assert!(matches!(desk.issue(first), IssueAnswer::Signed(_)), "{what}");
    let (known, expected, before) = (first, desk.truth(), desk.ledger().len());
    desk.control.set(mode);
    let kind = desk.kind;
    let answer = desk.cheaply(&what, |desk| desk.issue(expected));
    desk.verdict_is_true(&what, &answer, before);
    let error = match &answer {
        IssueAnswer::NotSent(error) | IssueAnswer::Refused(error) | IssueAnswer::InDoubt(error) => error,
        IssueAnswer::Signed(_) => panic!("{what}: {answer:?}"),
    };
    assert!(is_of_the_line(error), "{what}: {error:?}");
    let identity = desk.cheaply(&what, |desk| desk.disk.identity()).unwrap_err();
    let stock = desk.cheaply(&what, |desk| desk.disk.stock(kind)).unwrap_err();
    // An error is never "absent".
    let found = desk.cheaply(&what, |desk| desk.disk.query(kind, known)).unwrap_err();
    for error in [&identity, &stock, &found] {
        assert!(is_of_the_line(error), "{what}: {error:?}");
    }
    println!("{what}: {error} / {identity} / {stock} / {found}");
    desk.control.set(Mode::Good);
    desk.recovers(&what);
}

/// Each dialect on a thread of its own.
fn over_all(work: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for dialect in DIALECTS {
            let work = &work;
            scope.spawn(move || work(dialect));
        }
    });
}

#[test]
fn a_babbling_device() {
    over_all(|dialect| turns_bad(dialect, Mode::Babble));
}

#[test]
fn an_echo() {
    over_all(|dialect| turns_bad(dialect, Mode::Echo));
}

#[test]
fn an_answer_of_one_mebibyte() {
    over_all(|dialect| turns_bad(dialect, Mode::Endless));
}

#[test]
fn a_wrong_checksum_for_ever() {
    let mut without = Vec::new();
    for dialect in DIALECTS {
        if Desk::of(dialect).checked {
            turns_bad(dialect, Mode::WrongCheck);
        } else {
            without.push(dialect);
        }
    }
    // A document has no checksum.
    assert_eq!(without, ["nisec", "skserver"]);
}

/// Over a real connection, the same and worse: the link itself ends it.
#[test]
fn a_component_that_answers_with_sixteen_mebibytes() {
    for component in [Component::Nisec, Component::SkServer] {
        let folder = tempfile::tempdir().unwrap();
        let mut stand = ComponentStand::new(component, folder.path()).unwrap();
        let mut disk = stand.open().unwrap();
        disk.identity().unwrap();
        let kind = ComponentFaultKind::Garbage { bytes: 16 << 20, when: When::After };
        assert!(stand.fault(ComponentFault { times: u32::MAX, ..ComponentFault::once(kind).on("*") }));
        let error = disk.stock(stand.kind()).unwrap_err();
        assert!(is_of_the_line(&error), "{component:?}: {error}");
        stand.calm();
        disk.stock(stand.kind()).unwrap();
    }
}

#[test]
fn texts_that_are_no_gbk() {
    over_all(|dialect| {
        let mut desk = Desk::of(dialect);
        let (expected, before) = (desk.truth(), desk.ledger().len());
        let name = desk.seller.taxpayer_name.clone();
        desk.control.set(Mode::NotGbk);
        // A name that cannot be read is never guessed: it goes onto every invoice.
        match desk.disk.identity() {
            Err(error) => assert!(is_of_the_line(&error), "{dialect}: {error:?}"),
            Ok(identity) => assert_eq!(identity.taxpayer_name, name, "{dialect}"),
        }
        let answer = desk.issue(expected);
        desk.verdict_is_true(dialect, &answer, before);
        let signed = desk.ledger().len() > before;
        let invoice = sample::plain(desk.disk.capabilities());
        if signed && desk.disk.capabilities().numbers_readable {
            match desk.disk.query(desk.kind, expected) {
                Err(error) => assert!(is_of_the_line(&error), "{dialect}: {error:?}"),
                // Taken for a foreign invoice, or for none, it would be issued again.
                Ok(found) => {
                    let found = found.unwrap_or_else(|| panic!("{dialect}: {expected} is called absent"));
                    assert_eq!(found.buyer_name, invoice.buyer.name, "{dialect}: {found:?}");
                }
            }
        }
        desk.control.set(Mode::Good);
        desk.recovers(dialect);
    });
}

#[test]
fn a_clock_in_1970() {
    over_all(|dialect| {
        let mut desk = Desk::of(dialect);
        desk.configure(|config| config.clock = ClockSetting::Fixed("19700101000000".parse().unwrap()));
        let identity = desk.disk.identity().unwrap_or_else(|error| panic!("{dialect}: {error}"));
        assert!(identity.clock.as_ref().is_none_or(|clock| clock.starts_with("1970")), "{dialect}: {identity:?}");
        let (expected, before) = (desk.truth(), desk.ledger().len());
        let answer = desk.issue(expected);
        desk.verdict_is_true(dialect, &answer, before);
        // What the disk says is passed on as it is; the card is told the date by its host.
        let told = match &answer {
            IssueAnswer::Signed(signed) => dialect == "card" || signed.issued_at.starts_with("1970"),
            IssueAnswer::NotSent(error) | IssueAnswer::Refused(error) | IssueAnswer::InDoubt(error) => {
                error.class == DeviceClass::Clock
            }
        };
        assert!(told, "{dialect}: {answer:?}");
        println!("{dialect}: {answer:?}");
        desk.configure(|config| config.clock = ClockSetting::OffsetS(0));
        desk.recovers(dialect);
    });
}

#[test]
fn stock_that_goes_backwards() {
    over_all(|dialect| {
        let mut desk = Desk::of(dialect);
        let kind = desk.kind;
        for _ in 0..3 {
            let current = desk.truth();
            assert!(matches!(desk.issue(current), IssueAnswer::Signed(_)), "{dialect}");
        }
        let (expected, before) = (desk.truth(), desk.ledger().len());
        // Numbers before the first one, under the same code: as after a restored backup of the disk.
        desk.configure(|config| {
            let at = config.segments.iter_mut().find(|segment| segment.kind == kind).unwrap();
            (at.first, at.last) = ("00000010".parse().unwrap(), "00000080".parse().unwrap());
        });
        let back = desk.truth();
        assert!(back < expected, "{dialect}: {back} after {expected}");
        let answer = desk.issue(expected);
        desk.verdict_is_true(dialect, &answer, before);
        assert!(!matches!(&answer, IssueAnswer::Signed(signed) if signed.pair == expected), "{dialect}: {answer:?}");
        println!("{dialect}: {answer:?}");
        // Told as it is, so that the agent sees it; a card's own record may contradict it.
        match desk.disk.stock(kind) {
            Ok(stock) => assert!(stock.current <= desk.truth(), "{dialect}: {stock:?}"),
            Err(error) => panic!("{dialect}: {error}"),
        }
    });
}

#[test]
fn an_identity_that_changes_while_it_is_open() {
    over_all(|dialect| {
        let mut desk = Desk::of(dialect);
        let kind = desk.kind;
        let (expected, before) = (desk.truth(), desk.ledger().len());
        desk.configure(|config| {
            config.disk_number = config.disk_number.replace('1', "2");
            config.taxpayer_number = "91310000MA00000025".to_owned();
        });
        let answer = desk.issue(expected);
        desk.verdict_is_true(dialect, &answer, before);
        // The driver finds it out, or the other disk does, as every command names whose disk it is for.
        let (IssueAnswer::NotSent(error) | IssueAnswer::Refused(error) | IssueAnswer::InDoubt(error)) = &answer else {
            panic!("{dialect}: another disk was used: {answer:?}")
        };
        let is_of_another = |error: &DiskError| matches!(error.class, DeviceClass::NotPresent | DeviceClass::InvalidRequest);
        assert!(is_of_another(error), "{dialect}: {error}");
        assert_eq!(desk.ledger().len(), before, "{dialect}");
        // Its numbers are not given out as those of the disk that was there.
        let stock = desk.disk.stock(kind);
        assert!(stock.as_ref().is_err_and(is_of_another), "{dialect}: {stock:?}");
        println!("{dialect}: {answer:?}");
    });
}

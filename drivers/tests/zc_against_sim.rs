//! The ZC driver against the simulated disk, over a real pseudo-terminal. Both were written from the same facts by different
//! hands and share no code: what agrees here is what the facts say.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use taxdisk_drivers::dialects::zc::exchange::Timings;
use taxdisk_drivers::dialects::zc::{ZcConfig, ZcDisk};
use taxdisk_drivers::disk::{Comparison, Identity, IssueAnswer, IssueRequest, NumberStatus, Red, Search, TaxDisk};
use taxdisk_drivers::operation::{Operation, OperationAnswer, PasswordKind};
use taxdisk_drivers::secret::Secret;
use taxdisk_drivers::sim::config::{LimitConfig, SimConfig};
use taxdisk_drivers::sim::faults::{Direction, Fault, FaultKind, When};
use taxdisk_drivers::sim::{Ledger, SimHandle, SimOptions, serve};
use taxdisk_drivers::transport::serial::SerialLine;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::invoice::{Buyer, Invoice, Line, LineKind, Totals};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;

const ISSUE: u8 = 0x0A;

struct Desk {
    folder: tempfile::TempDir,
    sim: SimHandle,
    disk: ZcDisk<SerialLine>,
    identity: Identity,
}

fn config() -> ZcConfig {
    ZcConfig {
        disk_password: Secret::new("88888888"),
        certificate_password: Secret::new("12345678"),
        machine_number: "JQ0000000001".to_owned(),
        // Shorter than the 30 s of the facts, for a device that answers at once. The silence stays: the device waits 3 s for
        // an acknowledgement of its own packets, and must have given up before it is spoken to again.
        timings: Timings { first_byte: Duration::from_millis(800), ..Timings::default() },
        ..ZcConfig::default()
    }
}

impl Desk {
    fn new(change: impl FnOnce(&mut SimConfig)) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let mut sim_config = SimConfig::default();
        change(&mut sim_config);
        let link = folder.path().join("tty");
        let options = SimOptions {
            state_dir: folder.path().join("disk"),
            link: Some(link.clone()),
            config: sim_config,
            ..SimOptions::default()
        };
        let sim = serve(options).unwrap();
        let mut disk = ZcDisk::new(SerialLine::open(link.to_str().unwrap(), 9600).unwrap(), config());
        let identity = disk.identity().unwrap();
        Desk { folder, sim, disk, identity }
    }

    fn issue(&mut self, expected: NumberPair, invoice: &Invoice, remark: &str) -> IssueAnswer {
        let seller = self.identity.clone();
        self.disk.issue(&IssueRequest {
            kind: InvoiceKind::Roll,
            expected,
            invoice,
            remark,
            seller: &seller,
            red: None,
            request_id: "",
        })
    }

    fn current(&mut self) -> NumberPair {
        self.disk.stock(InvoiceKind::Roll).unwrap().current
    }

    fn ledger_count(&self) -> usize {
        Ledger::read(&self.folder.path().join("disk")).unwrap().len()
    }
}

fn line(name: &str, quantity: &str, price: &str, net: &str, rate: &str, tax: &str) -> Line {
    Line {
        kind: LineKind::Normal,
        name: name.to_owned(),
        goods_code: None,
        specification: String::new(),
        unit: String::new(),
        quantity: Some(quantity.parse().unwrap()),
        price: Some(price.parse().unwrap()),
        net: net.parse().unwrap(),
        rate: rate.parse().unwrap(),
        tax: tax.parse().unwrap(),
        zero_rate: None,
        deduction: None,
    }
}

fn invoice(lines: Vec<Line>) -> Invoice {
    let sum =
        |amount: fn(&Line) -> Amount| lines.iter().try_fold(Amount::ZERO, |sum, line| sum.checked_add(amount(line))).unwrap();
    let (net, tax) = (sum(|line| line.net), sum(|line| line.tax));
    Invoice {
        buyer: Buyer {
            name: "测试买方有限公司".to_owned(),
            taxpayer_number: Some("91310000MA00000025".parse().unwrap()),
            address_phone: String::new(),
            bank_account: String::new(),
        },
        totals: Totals { net, tax, gross: net.checked_add(tax).unwrap() },
        lines,
        remark: String::new(),
        clerk: "张三".to_owned(),
        payee: String::new(),
        reviewer: String::new(),
        notice: String::new(),
    }
}

fn two_lines() -> Invoice {
    invoice(vec![
        line("打印纸", "2", "100", "200.00", "0.13", "26.00"),
        line("技术服务费", "1", "471.698", "471.70", "0.06", "28.30"),
    ])
}

#[test]
fn identity_stock_limits_and_offline_totals_read_alike() {
    let mut desk = Desk::new(|config| {
        config.limits = LimitConfig { deadline: Some("20991231".to_owned()), offline_hours: Some(72), ..LimitConfig::default() };
    });
    assert_eq!(desk.identity.disk.as_str(), "499000123456");
    assert_eq!(desk.identity.taxpayer.as_str(), "91110000MA00000019");
    assert_eq!(desk.identity.taxpayer_name, "示例商贸有限公司");
    assert_eq!(desk.identity.kinds, [InvoiceKind::Roll]);
    let stock = desk.disk.stock(InvoiceKind::Roll).unwrap();
    assert_eq!((stock.current.to_string().as_str(), stock.remaining), ("011002000107 00000088", 913));
    let limits = desk.disk.limits(InvoiceKind::Roll).unwrap();
    assert_eq!(limits.offline_hours, Some(72));
    assert_eq!(limits.upload_day, Some(15));
    assert_eq!(limits.invoice_limit, Amount::from_fen(99_999_999));
    assert_eq!(desk.disk.offline_totals().unwrap().count, 0);
    desk.disk.handshake().unwrap();
}

#[test]
fn an_issued_invoice_reads_back_equal_and_can_be_voided() {
    let mut desk = Desk::new(|_| ());
    let content = two_lines();
    let expected = desk.current();
    let IssueAnswer::Signed(signed) = desk.issue(expected, &content, "订单A1001 #ABC") else { panic!("not signed") };
    assert_eq!(signed.pair, expected);
    let found = desk.disk.query(InvoiceKind::Roll, expected).unwrap().unwrap();
    assert_eq!((found.status, found.remark.as_str()), (NumberStatus::Positive, "订单A1001 #ABC"));
    assert_eq!(found.gross, content.totals.gross);
    let seller = desk.identity.clone();
    let mut request = IssueRequest {
        kind: InvoiceKind::Roll,
        expected,
        invoice: &content,
        remark: "订单A1001 #ABC",
        seller: &seller,
        red: None,
        request_id: "",
    };
    assert_eq!(desk.disk.compare(&request, &found), Comparison::Equal);
    request.remark = "订单A1001 #ABD";
    assert!(matches!(desk.disk.compare(&request, &found), Comparison::Different(_)));
    assert_eq!(desk.disk.query(InvoiceKind::Roll, expected.successor().unwrap()).unwrap(), None);

    let void =
        Operation::Void { kind: InvoiceKind::Roll, pair: expected, net: content.totals.net, operator: "张三".to_owned() };
    assert!(matches!(desk.disk.operate(&void), OperationAnswer::Done { .. }));
    let found = desk.disk.query(InvoiceKind::Roll, expected).unwrap().unwrap();
    assert_eq!(found.status, NumberStatus::PositiveVoid);
    assert!(matches!(desk.disk.operate(&void), OperationAnswer::InDoubt(error) if error.class == DeviceClass::Duplicate));
}

#[test]
fn ten_lines_fit_and_eleven_are_not_sent() {
    let mut desk = Desk::new(|_| ());
    let many = |count: usize| invoice((0..count).map(|_| line("打印纸", "1", "1", "1.00", "0.13", "0.13")).collect());
    let expected = desk.current();
    assert!(matches!(desk.issue(expected, &many(10), ""), IssueAnswer::Signed(_)));
    let next = desk.current();
    assert!(matches!(desk.issue(next, &many(11), ""), IssueAnswer::NotSent(error) if error.class == DeviceClass::InvalidRequest));
    assert_eq!(desk.ledger_count(), 1);
}

#[test]
fn what_the_driver_calls_not_sent_is_never_in_the_ledger_and_what_it_calls_signed_always_is() {
    let refuse = |jsk, when| FaultKind::Refuse { jsk: Some(jsk), text: None, when };
    let faults = [
        (FaultKind::LoseAnswerAfterSigning, 1),
        (FaultKind::LoseAnswerBeforeSigning, 0),
        (FaultKind::WtStorm { count: 4, interval_ms: 20, when: When::After }, 1),
        (FaultKind::CrcError, 1),
        (FaultKind::RefuseCrc { packet: Some(1) }, 0),
        (FaultKind::RefuseCrc { packet: None }, 0),
        (FaultKind::Split { delay_ms: 1 }, 1),
        (FaultKind::Stall { ms: 300, when: When::After }, 1),
        (FaultKind::BreakAfterPacket { packet: 1, direction: Direction::Command }, 0),
        (FaultKind::BreakAfterPacket { packet: 2, direction: Direction::Command }, 0),
        (FaultKind::BreakAfterPacket { packet: 1, direction: Direction::Answer }, 1),
        (FaultKind::Garbage { hex: "00FF".to_owned() }, 1),
        (refuse(784, When::After), 1),
        (refuse(784, When::Before), 0),
        (refuse(120, When::After), 1),
        (refuse(3001, When::After), 1),
        (FaultKind::OutOfStock, 0),
        (FaultKind::Locked { jsk: 702 }, 0),
        (FaultKind::ClockFault, 0),
    ];
    // A few disks side by side: each fault costs the silence time of a line in doubt.
    std::thread::scope(|scope| {
        for share in faults.chunks(4) {
            scope.spawn(move || meet(share));
        }
    });
}

fn meet(faults: &[(FaultKind, usize)]) {
    let mut desk = Desk::new(|_| ());
    let content = two_lines();
    for &(ref kind, signed) in faults {
        let (before, expected) = (desk.ledger_count(), desk.current());
        assert!(desk.sim.fault(Fault::once(kind.clone()).on(ISSUE)));
        let answer = desk.issue(expected, &content, "");
        let grown = desk.ledger_count() - before;
        assert_eq!(grown, signed, "{kind:?}: {answer:?}");
        match &answer {
            IssueAnswer::Signed(signed) => assert_eq!((signed.pair, grown), (expected, 1), "{kind:?}"),
            IssueAnswer::NotSent(_) => assert_eq!(grown, 0, "{kind:?}"),
            IssueAnswer::Refused(_) | IssueAnswer::InDoubt(_) => {}
        }
        // Whatever it was, a resync brings the line back, and reading tells the truth.
        desk.disk.resync().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let found = desk.disk.query(InvoiceKind::Roll, expected).unwrap();
        assert_eq!(found.is_some(), grown == 1, "{kind:?}");
        desk.sim.with(|rig| rig.faults.clear());
    }
}

#[test]
fn classes_come_through() {
    let mut desk = Desk::new(|_| ());
    let content = two_lines();
    for (jsk, class) in [
        (176, DeviceClass::NoStock),
        (702, DeviceClass::Locked),
        (554, DeviceClass::OverInvoiceLimit),
        (768, DeviceClass::OverOfflineTime),
        (769, DeviceClass::OverOfflineAmount),
        (506, DeviceClass::Clock),
        (784, DeviceClass::NumberMismatch),
        (4001, DeviceClass::NotPresent),
        (210, DeviceClass::Unsupported),
        (132, DeviceClass::InvalidRequest),
        (3001, DeviceClass::Link),
        (240, DeviceClass::DeviceFault),
    ] {
        let expected = desk.current();
        desk.sim.fault(Fault::once(FaultKind::Refuse { jsk: Some(jsk), text: None, when: When::Before }).on(ISSUE));
        let answer = desk.issue(expected, &content, "");
        assert!(matches!(&answer, IssueAnswer::InDoubt(error) if error.class == class), "{jsk}: {answer:?}");
    }
    assert_eq!(desk.ledger_count(), 0);
}

#[test]
fn a_wrong_password_costs_one_try_and_is_not_sent_again() {
    let mut desk = Desk::new(|_| ());
    let port = desk.folder.path().join("tty");
    let tries = desk.sim.state().password_tries;
    drop(desk.disk);
    let wrong = ZcConfig { disk_password: Secret::new("11111111"), ..config() };
    let mut disk = ZcDisk::new(SerialLine::open(port.to_str().unwrap(), 9600).unwrap(), wrong);
    for _ in 0..3 {
        assert_eq!(disk.identity().unwrap_err().class, DeviceClass::BadPassword);
    }
    assert_eq!(desk.sim.state().password_tries, tries - 1);
    desk.disk = disk;
}

#[test]
fn unplugged_and_plugged_in_again_the_driver_finds_its_disk() {
    let mut desk = Desk::new(|_| ());
    let before = desk.current();
    desk.sim.unplug();
    let error = desk.disk.stock(InvoiceKind::Roll).unwrap_err();
    assert!(matches!(error.class, DeviceClass::NotPresent | DeviceClass::Link), "{error:?}");
    desk.sim.replug().unwrap();
    assert_eq!(desk.current(), before);
}

/// The invoice, taken back: every amount and quantity below zero.
fn reversed(content: &Invoice) -> Invoice {
    let minus = |amount: Amount| Amount::ZERO.checked_sub(amount).unwrap();
    let mut red = content.clone();
    for line in &mut red.lines {
        (line.net, line.tax) = (minus(line.net), minus(line.tax));
        line.quantity = line.quantity.map(|quantity| format!("-{}", quantity.decimal()).parse().unwrap());
    }
    red.totals = Totals { net: minus(red.totals.net), tax: minus(red.totals.tax), gross: minus(red.totals.gross) };
    red
}

#[test]
fn red_invoices_blank_voids_reports_and_passwords() {
    let mut desk = Desk::new(|_| ());
    let kind = InvoiceKind::Roll;
    let content = two_lines();
    let original = desk.current();
    assert!(matches!(desk.issue(original, &content, "A"), IssueAnswer::Signed(_)));

    let (red, expected, seller) = (Red { original, notice: None }, desk.current(), desk.identity.clone());
    let invoice = reversed(&content);
    let request =
        IssueRequest { kind, expected, invoice: &invoice, remark: "B", seller: &seller, red: Some(&red), request_id: "" };
    let answer = desk.disk.issue(&request);
    assert!(matches!(&answer, IssueAnswer::Signed(signed) if signed.pair == expected), "{answer:?}");
    let found = desk.disk.find(kind, Search::Last).unwrap().remove(0);
    assert_eq!((found.pair, found.status, found.original), (expected, NumberStatus::Negative, Some(original)));
    assert_eq!(desk.disk.compare(&request, &found), Comparison::Equal, "{found:?}");

    let expected = desk.current();
    let blank = Operation::BlankVoid { kind, expected, operator: "张三".to_owned() };
    let answer = desk.disk.operate(&blank);
    assert!(matches!(answer, OperationAnswer::Done { pair: Some(pair), .. } if pair == expected), "{answer:?}");
    assert_eq!(desk.disk.query(kind, expected).unwrap().unwrap().status, NumberStatus::BlankVoid);
    // A repeat would burn the next blank.
    assert!(matches!(desk.disk.operate(&blank), OperationAnswer::NotSent(_)));
    assert_eq!(Some(desk.current()), expected.successor());

    for operation in [Operation::Report { kind }, Operation::RefreshOffline { kind }] {
        let answer = desk.disk.operate(&operation);
        assert!(matches!(answer, OperationAnswer::Done { .. }), "{operation:?} {answer:?}");
    }
    let (old, new) = (Secret::new("88888888"), Secret::new("87654321"));
    let change = Operation::ChangePassword { which: PasswordKind::Disk, old, new };
    assert!(matches!(desk.disk.operate(&change), OperationAnswer::Done { .. }));
    assert_eq!(Some(desk.current()), expected.successor());
}

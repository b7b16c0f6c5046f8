//! The card behind the trait, where all goes well, and what it refuses before a byte is sent.

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::super::apdu::issue;
use super::super::files::{DAY, IDENTITY, LIMITS, ROLL};
use super::super::{CardConfig, CardDisk};
use super::script::{
    CODE, after, before, config, day, device, f2, good, hex, host, identity, issued, order, power_on, prepared, read, ready,
    roll, selected, status,
};
use crate::disk::{Comparison, IssueAnswer, NumberStatus, Red, Search, TaxDisk};
use crate::operation::{Operation, OperationAnswer};
use crate::transport::memory::{ScriptedLine, Step};

const KIND: InvoiceKind = InvoiceKind::Roll;

fn pair(number: u32) -> NumberPair {
    format!("1100200010 {number:08}").parse().unwrap()
}

fn looked(day: Vec<u8>) -> Vec<Step> {
    [read(IDENTITY, &identity()), read(ROLL, &roll()), read(DAY, &day)].concat()
}

#[test]
fn reads() {
    let (mut disk, line) = ready(looked(before()));
    let stock = disk.stock(KIND).unwrap();
    assert_eq!((stock.current, stock.remaining), (pair(89), 12));
    let mut limits = hex("20260331");
    limits.extend(hex("000F423F {00*8} 01020000000000"));
    line.then(read(LIMITS, &limits));
    let limits = disk.limits(KIND).unwrap();
    assert_eq!(
        (limits.issue_deadline.as_deref(), limits.invoice_limit.unwrap().to_string().as_str()),
        (Some("20260331"), "9999.99")
    );
    line.then(looked(before()).into_iter().chain(read(ROLL, &roll())));
    let segments = disk.segments(KIND).unwrap();
    assert_eq!((segments[0].first.value(), segments[0].last.value(), segments[0].remaining), (80, 100, 12));
    assert_eq!(disk.stock(InvoiceKind::PaperSpecial).unwrap_err().class, DeviceClass::Unsupported);
    assert_eq!(disk.offline_totals().unwrap_err().class, DeviceClass::Unsupported);
    line.then(looked(day(5, 0, 100, CODE)));
    assert_eq!(disk.stock(KIND).unwrap_err().class, DeviceClass::NoStock);
    assert!(line.is_finished());
}

#[test]
fn an_invoice_is_the_vector() {
    let (mut disk, line) = ready(prepared().into_iter().chain([host(&f2()), device(hex("050C501122334455667788900055"))]));
    let IssueAnswer::Signed(signed) = disk.issue(&order().request()) else { panic!("it was issued") };
    assert_eq!((signed.pair, signed.fiscal_code.as_str()), (pair(89), "01234605616436508552"));
    assert_eq!(signed.issued_at, "20260302000000");
    assert!(line.is_finished());
    assert_eq!(issued(&line), 1);
    // A code that comes at once with 61xx is a code.
    let (mut disk, line) = ready(prepared());
    line.then([host(&f2()), device(super::script::answer(0x05, 0x50, &CODE, 0x6108))]);
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::Signed(_)));
}

#[test]
fn only_the_last_number_can_be_asked_for_and_no_number_is_ever_absent() {
    let (mut disk, line) = ready(looked(before()));
    let found = disk.query(KIND, pair(88)).unwrap().unwrap();
    assert_eq!((found.pair, found.status, found.issued_at.as_str()), (pair(88), NumberStatus::Positive, "20260302000000"));
    assert!(
        matches!(disk.compare(&order().request(), &found), Comparison::Different(fields) if fields.contains(&"totals.gross"))
    );
    for other in [87, 89, 90] {
        line.then(looked(before()));
        assert_eq!(disk.query(KIND, pair(other)).unwrap_err().class, DeviceClass::Unsupported);
    }
    line.then(looked(before()));
    assert!(disk.query(KIND, "011002000107 00000088".parse().unwrap()).is_err(), "another code");
    line.then(looked(before()));
    assert_eq!(disk.find(KIND, Search::Last).unwrap()[0].pair, pair(88));
    // The last number belongs to the roll before, or the day has several types.
    line.then(looked(day(5, 0, 7, CODE)));
    assert!(disk.query(KIND, pair(7)).is_err());
    let mut mixed = before();
    mixed[9] = 1;
    line.then(looked(mixed));
    assert!(disk.query(KIND, pair(88)).is_err());
    assert!(line.is_finished());
}

#[test]
fn what_the_card_would_lose_is_refused_before_anything_is_sent() {
    let (mut disk, line) = ready([]);
    let refused = |disk: &mut CardDisk<ScriptedLine>, change: &dyn Fn(&mut crate::actor::IssueOrder)| {
        let mut order = order();
        change(&mut order);
        let IssueAnswer::NotSent(error) = disk.issue(&order.request()) else { panic!("it cannot be expressed") };
        error.text
    };
    let red = Some(Red { original: pair(88), notice: None });
    assert!(refused(&mut disk, &|one| one.red = red.clone()).contains("reverses"));
    assert!(refused(&mut disk, &|one| one.invoice.lines[0].rate = "0.09".parse().unwrap()).starts_with("lines[0].rate"));
    assert!(refused(&mut disk, &|one| one.invoice.totals.gross = "113.01".parse().unwrap()).starts_with("totals.gross"));
    assert!(refused(&mut disk, &|one| one.invoice.lines.clear()).contains("113"));
    let huge = |one: &mut crate::actor::IssueOrder| {
        one.invoice.lines[0].net = "42949660.00".parse().unwrap();
        one.invoice.totals.gross = "42949673.00".parse().unwrap();
    };
    assert!(refused(&mut disk, &huge).contains("too much"));
    assert!(line.is_finished());
    let mut disk = CardDisk::new(line, CardConfig { content_is_printed_elsewhere: false, ..config() });
    assert_eq!((disk.capabilities().widths.item_name, disk.capabilities().widths.remark), (0, 0));
    assert!(refused(&mut disk, &|_| ()).starts_with("buyer.name"));
    assert!(refused(&mut disk, &|one| one.invoice.buyer.name.clear()).starts_with("clerk"));
    assert!(
        refused(&mut disk, &|one| {
            one.invoice.buyer.name.clear();
            one.invoice.clerk.clear();
        })
        .starts_with("lines.name")
    );
    let capabilities = disk.capabilities();
    assert!(!capabilities.red && !capabilities.remark_readable && capabilities.max_lines == 6);
}

#[test]
fn amounts_of_one_rate_are_one_sum() {
    let mut order = order();
    let line = order.invoice.lines[0].clone();
    order.invoice.lines.push(line);
    order.invoice.totals.gross = "226.00".parse().unwrap();
    let date = [0x20, 0x26, 0x03, 0x02];
    let invoice = issue::Invoice { date, kind: issue::Type::Normal, number: 89, amounts: vec![(1, 22_600)], total: 22_600 };
    let (mut disk, line) = ready(prepared());
    line.then([host(&issue::request(&invoice).unwrap()), good(&CODE)]);
    assert!(matches!(disk.issue(&order.request()), IssueAnswer::Signed(_)));
}

#[test]
fn nothing_is_sent_when_another_number_is_next_or_another_card_is_in() {
    let (mut disk, line) = ready(looked(after()));
    let IssueAnswer::NotSent(error) = disk.issue(&order().request()) else { panic!("90 is next") };
    assert_eq!(error.class, DeviceClass::NumberMismatch);
    let mut other = identity();
    other[9] = 0;
    line.then(read(IDENTITY, &other));
    let IssueAnswer::NotSent(error) = disk.issue(&order().request()) else { panic!("another card") };
    assert_eq!(error.class, DeviceClass::NotPresent);
    line.then(looked(before()));
    let mut foreign = order();
    foreign.seller.disk = "1234567890ABCDE0".parse().unwrap();
    assert!(matches!(disk.issue(&foreign.request()), IssueAnswer::NotSent(_)));
    assert_eq!(issued(&line), 0);
    assert!(line.is_finished());
}

#[test]
fn refusals_have_their_class_and_stay_in_doubt() {
    for (word, class) in [
        (0x9401, DeviceClass::OverInvoiceLimit),
        (0x9303, DeviceClass::BadPassword),
        (0x6983, DeviceClass::BadPassword),
        (0x6A81, DeviceClass::Locked),
        (0x6A82, DeviceClass::Unsupported),
        (0x6F00, DeviceClass::DeviceFault),
    ] {
        let (mut disk, line) = ready(prepared().into_iter().chain([host(&f2()), status(word)]));
        let IssueAnswer::InDoubt(error) = disk.issue(&order().request()) else { panic!("the command was written") };
        assert_eq!((error.class, error.code.unwrap()), (class, format!("SW{word:04X}")));
        assert!(line.is_finished() && issued(&line) == 1);
    }
}

#[test]
fn a_pin_is_shown_once_and_never_after_a_refusal() {
    let pin = crate::secret::Secret::new("87654321");
    let with_pin = || CardConfig { pin: pin.clone(), pin_id: 1, ..config() };
    let shown = host(&super::super::apdu::verify::request(&pin, 1).unwrap());
    let line = ScriptedLine::new(power_on().into_iter().chain([shown.clone(), good(&[])]).chain(selected(DAY)));
    let mut disk = CardDisk::new(line.clone(), with_pin());
    disk.handshake_again(&line);
    for refusal in [vec![status(0x63C2)], vec![status(0x9303)], vec![]] {
        let line = ScriptedLine::new(power_on().into_iter().chain([shown.clone()]).chain(refusal));
        let mut disk = CardDisk::new(line.clone(), with_pin());
        assert!(disk.handshake().is_err());
        line.then(power_on());
        assert_eq!(disk.handshake().unwrap_err().class, DeviceClass::BadPassword);
        line.then(power_on());
        assert_eq!(disk.identity().unwrap_err().class, DeviceClass::BadPassword);
        let pins = line.written().iter().filter(|frame| frame.windows(8).any(|window| window == b"87654321")).count();
        assert_eq!(pins, 1);
        assert!(line.is_finished());
    }
    // A card that was exchanged loses no try.
    let steps = power_on().into_iter().chain([shown, good(&[])]).chain(selected(DAY)).chain(read(IDENTITY, &identity()));
    let line = ScriptedLine::new(steps);
    let mut disk = CardDisk::new(line.clone(), with_pin());
    disk.identity().unwrap();
    line.then([host(&super::super::apdu::select::by_id(IDENTITY.id)), device(hex("0502F6FD"))]);
    assert_eq!(disk.stock(KIND).unwrap_err().class, DeviceClass::NotPresent);
    let mut other = identity();
    other[9] = 0;
    line.then(power_on().into_iter().chain(read(IDENTITY, &other)));
    assert!(disk.stock(KIND).unwrap_err().text.contains("another card"));
    assert!(line.is_finished());
}

trait HandshakeAgain {
    fn handshake_again(&mut self, line: &ScriptedLine);
}

impl HandshakeAgain for CardDisk<ScriptedLine> {
    /// Two handshakes: the first brings the card up, the second selects only.
    fn handshake_again(&mut self, line: &ScriptedLine) {
        line.then(selected(DAY));
        self.handshake().unwrap();
        line.then(selected(DAY));
        self.handshake().unwrap();
        assert!(line.is_finished());
    }
}

#[test]
fn operations_that_a_card_does_not_know_are_not_sent() {
    let (mut disk, line) = ready([]);
    let void = Operation::Void { kind: KIND, pair: pair(88), net: "1.00".parse().unwrap(), operator: String::new() };
    for operation in [void, Operation::Clear { kind: KIND }, Operation::Upload { kind: KIND }] {
        assert!(!disk.capabilities().can(operation.name()));
        assert!(matches!(disk.operate(&operation), OperationAnswer::NotSent(_)));
    }
    assert!(line.is_finished());
}

//! Spoiled numbers and declarations.

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::super::apdu::{Command, declare, issue};
use super::super::files::{DAY, DECLARATION, DayRecord, IDENTITY, ROLL};
use super::super::frame::RequestType;
use super::script::{
    CODE, after, answer, ask, before, device, good, hex, host, identity, issued, prepared, read, ready, roll, selected, status,
};
use crate::disk::{NumberStatus, TaxDisk};
use crate::operation::{Operation, OperationAnswer};
use crate::transport::memory::Step;

const KIND: InvoiceKind = InvoiceKind::Roll;

fn pair() -> NumberPair {
    "1100200010 00000089".parse().unwrap()
}

fn spoil() -> Command {
    let date = [0x20, 0x26, 0x03, 0x02];
    issue::request(&issue::Invoice { date, kind: issue::Type::Spoiled, number: 89, amounts: vec![], total: 0 }).unwrap()
}

fn spoiled() -> Vec<u8> {
    let mut record = before();
    record[9] = 1;
    record[64..68].copy_from_slice(&89_u32.to_be_bytes());
    record[68..].copy_from_slice(&CODE);
    record
}

fn operation(expected: NumberPair) -> Operation {
    Operation::BlankVoid { kind: KIND, expected, operator: "张三".to_owned() }
}

#[test]
fn a_spoiled_number_is_the_current_one_or_none() {
    let (mut disk, line) = ready(prepared().into_iter().chain([host(&spoil()), good(&CODE)]));
    let done = OperationAnswer::Done { pair: Some(pair()), at: Some("20260302000000".to_owned()) };
    assert_eq!(disk.operate(&operation(pair())), done);
    // Only this driver knows that the last one is spoiled: the day has invoices, too.
    line.then(read(IDENTITY, &identity()).into_iter().chain(read(ROLL, &roll())).chain(read(DAY, &spoiled())));
    assert_eq!(disk.query(KIND, pair()).unwrap().unwrap().status, NumberStatus::BlankVoid);
    // The number moved: nothing is sent.
    line.then(read(IDENTITY, &identity()).into_iter().chain(read(ROLL, &roll())).chain(read(DAY, &spoiled())));
    let OperationAnswer::NotSent(error) = disk.operate(&operation(pair())) else { panic!("90 is next") };
    assert_eq!(error.class, DeviceClass::NumberMismatch);
    assert_eq!(issued(&line), 1);
    // Lost, and settled by the record.
    for (record, is_done) in [(spoiled(), true), (before(), false), (after(), false)] {
        let lost = [host(&spoil()), ask(RequestType::Again), ask(RequestType::Again)];
        let (mut disk, line) =
            ready(prepared().into_iter().chain(lost).chain(selected(DAY)).chain(super::script::record(&record)));
        let outcome = disk.operate(&operation(pair()));
        assert_eq!(outcome == done, is_done, "{outcome:?}");
        assert!(is_done || matches!(outcome, OperationAnswer::InDoubt(_)));
        assert_eq!(issued(&line), 1);
    }
    let (mut disk, _) = ready(prepared().into_iter().chain([host(&spoil()), status(0x6F00)]));
    assert!(matches!(disk.operate(&operation(pair())), OperationAnswer::InDoubt(_)));
    let (mut disk, _) = ready(prepared().into_iter().chain([Step::BreakWrite(0)]));
    assert!(matches!(disk.operate(&operation(pair())), OperationAnswer::NotSent(_)));
}

/// EF04 of a declaration that ended on this day.
fn declared(start: &str, end: &str, normal: u32) -> Vec<u8> {
    let mut data = hex(start);
    data.extend(hex(end));
    data.extend(normal.to_be_bytes());
    data.resize(75, 0);
    data
}

fn f4(start: &str) -> Command {
    let day = DayRecord::read(&before()).unwrap();
    let command = declare::request(&declare::Period::of(hex(start).try_into().unwrap(), &day));
    assert_eq!((command.bytes.len(), command.bytes[4], *command.bytes.last().unwrap()), (5 + 71 + 1, 71, 0x8E));
    command
}

#[test]
fn a_declaration_is_believed_only_when_the_card_shows_it() {
    let report = Operation::Report { kind: KIND };
    let whole = vec![0_u8; 142];
    let begin = |last: &str| {
        let mut steps = read(IDENTITY, &identity());
        steps.extend(read(DECLARATION, &declared("20260201", last, 9)));
        steps.extend(read(DAY, &before()));
        steps
    };
    let done = OperationAnswer::Done { pair: None, at: None };
    let sent = |steps: Vec<Step>| [begin("20260228"), vec![host(&f4("20260301"))], steps].concat();
    let shown = || [read(IDENTITY, &identity()), read(DECLARATION, &declared("20260301", "20260302", 5))].concat();
    let old = || [read(IDENTITY, &identity()), read(DECLARATION, &declared("20260201", "20260228", 9))].concat();
    let (mut disk, line) = ready(sent([vec![good(&whole)], shown()].concat()));
    assert_eq!(disk.operate(&report), done);
    assert!(line.is_finished());
    let mut damaged = whole.clone();
    damaged[0] = 1;
    for (steps, is_done) in [
        ([vec![good(&whole)], old()].concat(), false),
        ([vec![good(&damaged)], old()].concat(), false),
        ([vec![good(&damaged)], shown()].concat(), true),
        (vec![status(0x6F00)], false),
    ] {
        let (mut disk, _) = ready(sent(steps));
        let outcome = disk.operate(&report);
        assert_eq!(outcome == done, is_done);
        assert!(is_done || matches!(outcome, OperationAnswer::InDoubt(_)));
    }
    // Lost and got again: only the card's own record counts.
    let again = [ask(RequestType::Again), device(answer(0x50, 0xFA, &whole, 0x9000))];
    let (mut disk, line) = ready(sent([again.to_vec(), selected(DAY), shown()].concat()));
    assert_eq!(disk.operate(&report), done);
    let frames = line.written().iter().filter(|frame| frame.get(7) == Some(&0xF4)).count();
    assert_eq!(frames, 1);
    // Nothing is left to declare.
    let (mut disk, _) = ready(begin("20260302"));
    assert!(matches!(disk.operate(&report), OperationAnswer::NotSent(error) if error.class == DeviceClass::Duplicate));
}

//! Building blocks of scripts. Made-up data.

use std::time::Duration;

use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::invoice::{Buyer, Invoice, Line, LineKind, Totals};
use taxdisk_protocol::kind::InvoiceKind;

use super::super::apdu::{Command, issue, read_binary, select};
use super::super::files::{DAY, File, IDENTITY, ROLL};
use super::super::frame::{RequestType, request_frame, sum};
use super::super::{CardConfig, CardDisk};
use crate::actor::IssueOrder;
use crate::disk::{Identity, TaxDisk};
use crate::transport::memory::{ScriptedLine, Step};

pub(super) const CODE: [u8; 8] = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];

pub(super) fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split(' ') {
        if let Some(count) = word.strip_prefix("{00*") {
            bytes.resize(bytes.len() + count.trim_end_matches('}').parse::<usize>().unwrap(), 0);
        } else {
            bytes.extend((0..word.len()).step_by(2).map(|at| u8::from_str_radix(&word[at..at + 2], 16).unwrap()));
        }
    }
    bytes
}

/// The reader answers at once.
pub(super) fn device(bytes: Vec<u8>) -> Step {
    Step::Reply(Duration::ZERO, bytes)
}

/// An answer of the reader.
pub(super) fn answer(start: u8, kind: u8, data: &[u8], status: u16) -> Vec<u8> {
    let mut frame = vec![start, (data.len() + 4) as u8, kind];
    frame.extend_from_slice(data);
    frame.extend(status.to_be_bytes());
    frame.push(sum(&frame));
    frame
}

pub(super) fn good(data: &[u8]) -> Step {
    device(answer(0x05, 0x50, data, 0x9000))
}

pub(super) fn status(status: u16) -> Step {
    device(answer(0x05, 0x50, &[], status))
}

pub(super) fn host(command: &Command) -> Step {
    Step::Expect(request_frame(RequestType::Apdu, &command.bytes))
}

pub(super) fn ask(kind: RequestType) -> Step {
    Step::Expect(request_frame(kind, &[]))
}

pub(super) fn power_on() -> Vec<Step> {
    vec![ask(RequestType::PowerOn), device(hex("05025259"))]
}

pub(super) fn selected(file: File) -> Vec<Step> {
    vec![host(&select::by_id(file.id)), good(&[])]
}

pub(super) fn read(file: File, data: &[u8]) -> Vec<Step> {
    let mut steps = selected(file);
    steps.extend([host(&read_binary::first(file.bytes)), good(data)]);
    steps
}

/// EF02 of the card 1234567890ABCDEF.
pub(super) fn identity() -> Vec<u8> {
    let mut data = vec![0x01, 0x01];
    data.extend(hex("1234567890ABCDEF"));
    data.extend([0; 16]);
    data.extend(b"91110000MA00000019\0\0");
    data.extend(hex("2025010120301231"));
    data.extend([0x01, 0x12, 0x00]);
    let mut name = encoding_rs::GBK.encode("示例商贸有限公司").0.into_owned();
    name.resize(40, 0);
    data.extend(name);
    data.extend([0; 6]);
    data
}

/// EF05: ten ASCII digits, 80 to 100.
pub(super) fn roll() -> Vec<u8> {
    let mut data = vec![0];
    data.extend(b"1100200010");
    data.extend(80_u32.to_be_bytes());
    data.extend(100_u32.to_be_bytes());
    data
}

/// EF03 on 2026-03-02 with index 1: normal count, sum in fen, last number, its code.
pub(super) fn day(normal: u16, fen: u32, previous: u32, code: [u8; 8]) -> Vec<u8> {
    let mut data = hex("20260302");
    data.extend(normal.to_be_bytes());
    data.extend([0, 0, 0, 0, 1, 2, 0, 0, 0, 0]);
    data.extend(fen.to_be_bytes());
    data.extend([0; 44]);
    data.extend(previous.to_be_bytes());
    data.extend(code);
    assert_eq!(data.len(), 76);
    data
}

/// EF03 of the vector: 5 invoices, 226.00, last number 88.
pub(super) fn before() -> Vec<u8> {
    day(5, 22_600, 88, [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF])
}

/// EF03 after number 89 of 113.00 was issued.
pub(super) fn after() -> Vec<u8> {
    day(6, 33_900, 89, CODE)
}

/// F2 of the vector.
pub(super) fn f2() -> Command {
    let date = [0x20, 0x26, 0x03, 0x02];
    issue::request(&issue::Invoice { date, kind: issue::Type::Normal, number: 89, amounts: vec![(1, 11_300)], total: 11_300 })
        .unwrap()
}

/// Everything that is read before F2.
pub(super) fn prepared() -> Vec<Step> {
    [read(IDENTITY, &identity()), read(ROLL, &roll()), read(DAY, &before())].concat()
}

pub(super) fn config() -> CardConfig {
    CardConfig {
        tax_indexes: vec![(1, "0.13".parse().unwrap()), (2, "0.06".parse().unwrap())],
        content_is_printed_elsewhere: true,
        today: || jiff::civil::date(2026, 3, 2),
        ..CardConfig::default()
    }
}

/// A card that is switched on and known; the script goes on with these steps.
pub(super) fn ready(steps: impl IntoIterator<Item = Step>) -> (CardDisk<ScriptedLine>, ScriptedLine) {
    let line = ScriptedLine::new(power_on().into_iter().chain(selected(DAY)).chain(read(IDENTITY, &identity())));
    let mut disk = CardDisk::new(line.clone(), config());
    disk.identity().unwrap();
    assert!(line.is_finished());
    line.then(steps);
    (disk, line)
}

/// How often an issuing command was written, whole or in part.
pub(super) fn issued(line: &ScriptedLine) -> usize {
    let start = &request_frame(RequestType::Apdu, &f2().bytes)[..9];
    line.written().iter().filter(|frame| !frame.is_empty() && start.starts_with(&frame[..frame.len().min(9)])).count()
}

/// 100.00 + 13.00 at 13 %.
pub(super) fn order() -> IssueOrder {
    let line = Line {
        kind: LineKind::Normal,
        name: "打印纸".to_owned(),
        goods_code: None,
        specification: String::new(),
        unit: String::new(),
        quantity: None,
        price: None,
        net: "100.00".parse().unwrap(),
        rate: "0.13".parse().unwrap(),
        tax: "13.00".parse().unwrap(),
        zero_rate: None,
        deduction: None,
    };
    let buyer =
        Buyer { name: "个人".to_owned(), taxpayer_number: None, address_phone: String::new(), bank_account: String::new() };
    let totals = Totals { net: line.net, tax: line.tax, gross: "113.00".parse().unwrap() };
    IssueOrder {
        kind: InvoiceKind::Roll,
        expected: "1100200010 00000089".parse().unwrap(),
        invoice: Invoice {
            buyer,
            lines: vec![line],
            totals,
            remark: String::new(),
            clerk: "张三".to_owned(),
            payee: String::new(),
            reviewer: String::new(),
            notice: String::new(),
        },
        remark: String::new(),
        seller: Identity {
            disk: "1234567890ABCDEF".parse().unwrap(),
            taxpayer: TaxpayerNumber::from_device("91110000MA00000019").unwrap(),
            taxpayer_name: "示例商贸有限公司".to_owned(),
            kinds: vec![InvoiceKind::Roll],
            clock: None,
            version: "12".to_owned(),
        },
        red: None,
        request_id: String::new(),
    }
}

/// What is read after a command that left a doubt: whose card it is, and EF03.
pub(super) fn record(day: &[u8]) -> Vec<Step> {
    [read(IDENTITY, &identity()), read(DAY, day)].concat()
}

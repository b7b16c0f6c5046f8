//! The vectors of C.4.6, byte by byte, as a conversation with a scripted device.

use std::time::Duration;

use super::super::cdb::{PayloadType, Sense, parse_header};
use super::super::session::{Broken, Fault, Order, Session};
use crate::disk::DiskError;
use crate::transport::usb::bot::Progress;
use crate::transport::usb::memory::{ScriptedDevice, Step};
use crate::transport::usb::{Pipe, Setup, UsbError};

const SEND: &str = "555342430101000037 0000000000 10D001100800A1000100000037A90F0000";
const PAYLOAD: &str =
    "39313131303030304D413030303030303139000034393930303031323334353638383838383838383032354A5130303030303030303031";
const FETCH: &str = "555342430201000000020000800010D101000000A10001 000000000000 0200";
const BUSY: &str = "5444010100A10001 0000000000000000";
const BUSY_STATUS: &str = "5553425302010000F001000000";
const AGAIN: &str = "555342430301000000020000800010D101000000A10001 000000000000 0200";
const DONE: &str = "5444010200A100014F009610000000233032353031313030323030303130373030303030303838393133 000000000000000000";
const DONE_STATUS: &str = "5553425303010000CD01000000";
const REFUSED: &str = "5444010200A10002450022FD000000114A534B3137363ACEDEBFC9D3C3B7A2C6B1";
const LOST: &str = "5444010300A10002 0000000000000000";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn csw(tag: u32, residue: u32, status: u8) -> Step {
    Step::In([b"USBS".as_slice(), &tag.to_le_bytes(), &residue.to_le_bytes(), &[status]].concat())
}

/// What a transport does first.
fn recovery() -> Vec<Step> {
    vec![
        Step::Control(Setup { request_type: 0x21, request: 0xFF, value: 0, index: 0 }),
        Step::ClearHalt(Pipe::In),
        Step::ClearHalt(Pipe::Out),
        Step::InFails(UsbError::Timeout { moved: Some(0) }),
    ]
}

/// Sends the stock query of the vectors under this token, the SEND with this tag.
fn converse(token: u32, tag: u32, steps: Vec<Step>) -> Result<Vec<u8>, Broken> {
    let device = ScriptedDevice::new([recovery(), steps].concat());
    let mut session = Session::for_vectors(device, token, tag);
    let payload = hex(PAYLOAD);
    let order = Order { payload_type: PayloadType::Fixed, command: 8, payload: &payload, limit: Duration::from_secs(30) };
    let outcome = session.run(order);
    assert_eq!(session.device().rest(), 0, "the device expected more");
    outcome
}

#[test]
fn a_stock_query_is_sent_is_busy_and_is_done() {
    let steps = vec![
        Step::Out(hex(SEND)),
        Step::Out(hex(PAYLOAD)),
        Step::In(hex("555342530101 00000000000000")),
        Step::Out(hex(FETCH)),
        Step::In(hex(BUSY)),
        Step::In(hex(BUSY_STATUS)),
        Step::Out(hex(AGAIN)),
        Step::In(hex(DONE)),
        Step::In(hex(DONE_STATUS)),
    ];
    let answer = converse(0x00A1_0001, 0x101, steps).unwrap();
    assert_eq!(answer.len(), 35);
    assert!(answer.starts_with(b"02501100200010700000088913"));
}

/// The SEND and the FETCH of the vectors under the token of the later ones.
fn later(answer: &str) -> Vec<Step> {
    let data = hex(answer);
    let with_token = |text: &str| {
        let mut bytes = hex(text);
        bytes[22] = 2;
        bytes
    };
    let residue = 512 - data.len() as u32;
    vec![
        Step::Out(with_token(SEND)),
        Step::Out(hex(PAYLOAD)),
        csw(0x101, 0, 0),
        Step::Out(with_token(FETCH)),
        Step::In(data),
        csw(0x102, residue, 0),
    ]
}

#[test]
fn a_refusal_in_words() {
    let broken = converse(0x00A1_0002, 0x101, later(REFUSED)).unwrap_err();
    assert_eq!(broken.progress, Progress::LastByteBegun);
    let Fault::Business(text) = &broken.fault else { panic!("{broken:?}") };
    assert_eq!(text.len(), 17);
    let error = DiskError::from(broken.fault);
    assert_eq!((error.code.as_deref(), error.text.as_str()), (Some("JSK176"), "无可用发票"));
}

#[test]
fn a_lost_answer() {
    let broken = converse(0x00A1_0002, 0x101, later(LOST)).unwrap_err();
    assert_eq!(broken, Broken { progress: Progress::LastByteBegun, fault: Fault::Lost });
}

#[test]
fn a_refused_send() {
    let mut block = hex(SEND);
    (block[4], block[22]) = (4, 2);
    let mut sense = vec![0; 18];
    (sense[0], sense[2], sense[7], sense[12], sense[13]) = (0x70, 2, 0x0A, 4, 7);
    let expected = Sense::parse(&sense);
    let steps = vec![
        Step::Out(block),
        Step::Out(hex(PAYLOAD)),
        Step::In(hex("55534253040100003700000001")),
        Step::Out(hex("5553424305010000120000008000060300000012 0000000000000000000000")),
        Step::In(sense),
        csw(0x105, 0, 0),
    ];
    let broken = converse(0x00A1_0002, 0x104, steps).unwrap_err();
    assert_eq!(broken, Broken { progress: Progress::LastByteBegun, fault: Fault::Refused(expected) });
}

#[test]
fn the_headers_stand_for_themselves() {
    for (text, token) in [(BUSY, 0x00A1_0001), (DONE, 0x00A1_0001), (REFUSED, 0x00A1_0002), (LOST, 0x00A1_0002)] {
        assert_eq!(parse_header(&hex(text)).unwrap().token, token);
    }
}

//! Building blocks of scripts.

use std::time::Duration;

use super::super::commands::disk_info;
use super::super::fields::FieldWriter;
use super::super::{ZcConfig, ZcDisk, samples, vectors};
use crate::actor::IssueOrder;
use crate::disk::TaxDisk;
use crate::secret::Secret;
use crate::transport::memory::{ScriptedLine, Step};

pub(super) const SILENCE: Duration = Duration::from_millis(3500);

pub(super) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The host writes these bytes.
pub(super) fn host(bytes: Vec<u8>) -> Step {
    Step::Expect(bytes)
}

/// The device answers at once.
pub(super) fn device(bytes: Vec<u8>) -> Step {
    Step::Reply(Duration::ZERO, bytes)
}

/// A frame of the device: letters, packet number, data.
pub(super) fn answer(word: &[u8; 2], number: u8, data: &[u8]) -> Vec<u8> {
    // Command frames and answers differ in their header only, so the checksum module is all that is needed here.
    let mut frame = vec![word[0], word[1], number, (4 + data.len()) as u8];
    frame.extend_from_slice(data);
    let crc = super::super::crc::checksum(&frame);
    frame.extend(crc.to_be_bytes());
    frame
}

/// A business error.
pub(super) fn er(text: &str) -> Vec<u8> {
    answer(b"ER", 0, &encoding_rs::GBK.encode(text).0)
}

/// 01 and its OK.
pub(super) fn online() -> Vec<Step> {
    vec![host(vectors::frame("1 request")), device(vectors::frame("1 answer"))]
}

/// A command with its one-packet answer.
pub(super) fn single(request: &str, reply: Vec<u8>) -> Vec<Step> {
    vec![host(vectors::frame(request)), device(reply)]
}

/// An answer in several packets, with the acknowledgements of the host.
pub(super) fn many(frames: &[Vec<u8>]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        steps.push(device(frame.clone()));
        let last = index + 1 == frames.len();
        steps.push(host(if last { answer(b"OK", 0, &[]) } else { answer(b"NP", 0, &[index as u8 + 1]) }));
    }
    steps
}

/// 02 and 04.
pub(super) fn identity() -> Vec<Step> {
    let data = identity_data("499000123456");
    let request = disk_info::request(&Secret::new("88888888"), "JQ0000000001").unwrap();
    let mut steps = single("2 request", vectors::frame("2 answer"));
    steps.push(host(vectors::frames_of(disk_info::CODE, &request).remove(0)));
    steps.extend(many(&[answer(b"OK", 1, &data[..249]), answer(b"OK", 0, &data[249..])]));
    steps
}

fn identity_data(disk: &str) -> Vec<u8> {
    let mut writer = FieldWriter::new();
    writer.text("", disk, 12).text("", "91110000MA00000019", 20).text("", "示例商贸有限公司", 80);
    writer.empty(11 + 80).text("", "025", 30).empty(14 + 14 + 10 + 5 + 3 + 16 + 80);
    writer.finish().unwrap()
}

/// The three packets of vector 4 with the device's NP after the first two. The answer to the last one is left out.
pub(super) fn issue_packets() -> Vec<Step> {
    let frames = vectors::frames("4 request");
    vec![
        host(frames[0].clone()),
        device(vectors::frame("14 next 1")),
        host(frames[1].clone()),
        device(vectors::frame("14 next 2")),
        host(frames[2].clone()),
    ]
}

pub(super) fn config() -> ZcConfig {
    ZcConfig {
        disk_password: Secret::new("88888888"),
        certificate_password: Secret::new("12345678"),
        machine_number: "JQ0000000001".to_owned(),
        ..ZcConfig::default()
    }
}

/// A disk that was brought to a trusted line and knows its identity; the script goes on with these steps.
pub(super) fn ready_disk(steps: impl IntoIterator<Item = Step>) -> (ZcDisk<ScriptedLine>, ScriptedLine) {
    let line = ScriptedLine::new(online().into_iter().chain(identity()));
    let mut disk = ZcDisk::new(line.clone(), config());
    disk.identity().unwrap();
    assert!(line.is_finished());
    line.then(steps);
    (disk, line)
}

/// The invoice of vector 4.
pub(super) fn order() -> IssueOrder {
    IssueOrder {
        kind: taxdisk_protocol::kind::InvoiceKind::Roll,
        expected: "011002000107 00000088".parse().unwrap(),
        invoice: samples::invoice(vec![samples::paper()]),
        remark: String::new(),
        seller: samples::identity(),
        red: None,
        request_id: String::new(),
    }
}

//! Every parser of this crate as a function of bytes that somebody else made: answers of a device to the driver, commands of a
//! host to the simulated device. None may panic, hang or take more memory than its limits say, whatever the bytes.
//!
//! Used by `tests/corpus.rs`, and by anybody who has a fuzzer: each target takes bytes and asserts nothing else.

use std::sync::Arc;
use std::time::Duration;

use crate::dialects::card::frame as card;
use crate::dialects::nisec::document;
use crate::dialects::zc::frame as zc;
use crate::sim::bot::{BotDevice, BotOptions};
use crate::sim::clock::real_time;
use crate::sim::faults::Faults;
use crate::sim::nisec::NisecOptions;
use crate::sim::skserver::SkServerOptions;
use crate::sim::usb::BulkIn;
use crate::sim::zc::{ZcDevice, ZcOptions};
use crate::sim::{SimConfig, SimDisk, nisec, skserver};

/// Most transfers that are taken from a device after one input.
const MAX_READS: usize = 1000;
/// Time between two inputs of a device.
const STEP: Duration = Duration::from_secs(1);

/// Feeds bytes to one parser.
pub type Target = fn(&[u8]);

/// All targets by name; the corpus has a folder for each.
pub const TARGETS: [(&str, Target); 8] = [
    ("zc_answer", zc_answer),
    ("card_answer", card_answer),
    ("nisec_answer", nisec_answer),
    ("skserver_answer", skserver_answer),
    ("zc_device", zc_device),
    ("nisec_device", nisec_device),
    ("skserver_device", skserver_device),
    ("bot_device", bot_device),
];

fn zc_answer(bytes: &[u8]) {
    for kind in [zc::FrameType::Fixed, zc::FrameType::Xml] {
        let mut reader = zc::AnswerReader::new(kind);
        // As the line gives them: never more than the reader wants.
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(reader.wants().clamp(1, rest.len()));
            rest = later;
            if !matches!(reader.take(now), Ok(None)) {
                reader = zc::AnswerReader::new(kind);
            }
        }
    }
}

fn card_answer(bytes: &[u8]) {
    let mut reader = card::AnswerReader::new(card::RequestType::Apdu);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(reader.wants().clamp(1, rest.len()));
        rest = later;
        if !matches!(reader.take(now), Ok(None)) {
            return;
        }
    }
}

fn nisec_answer(bytes: &[u8]) {
    let _ = document::parse_answer(bytes);
}

fn skserver_answer(bytes: &[u8]) {
    let _ = document::parse(bytes, document::Shape::ReturnData);
}

fn disk() -> SimDisk {
    SimDisk::in_memory(SimConfig::of_a_component(), real_time())
}

fn zc_device(bytes: &[u8]) {
    let (mut device, mut faults, mut disk) = (ZcDevice::new(ZcOptions::default()), Faults::default(), disk());
    let mut now = Duration::ZERO;
    for part in bytes.chunks(64) {
        device.receive(part, now);
        device.advance(&mut disk, &mut faults, now);
        let _ = device.take_output(now);
        now += STEP;
    }
}

fn nisec_device(bytes: &[u8]) {
    let _ = nisec::answer_with(&mut disk(), bytes, &NisecOptions::default());
}

fn skserver_device(bytes: &[u8]) {
    let _ = skserver::answer(&mut disk(), bytes, &SkServerOptions::default());
}

/// The first byte of each part says how many follow as one transfer.
fn bot_device(bytes: &[u8]) {
    let Ok(mut device) = BotDevice::open(disk(), BotOptions::default(), Arc::new(|| Duration::ZERO)) else { return };
    let mut rest = bytes;
    while let Some((count, after)) = rest.split_first() {
        let (transfer, later) = after.split_at(usize::from(*count).min(after.len()));
        rest = later;
        let _ = device.bulk_out(transfer);
        let reads = (0..MAX_READS).take_while(|_| matches!(device.bulk_in(512), BulkIn::Data(_))).count();
        debug_assert!(reads < MAX_READS, "it never ends");
    }
}

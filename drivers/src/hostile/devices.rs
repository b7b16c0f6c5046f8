//! Commands of a host to the simulated devices.

use std::sync::Arc;
use std::time::Duration;

use super::serial::standing_clock;
use crate::sim::bot::{BotDevice, BotOptions};
use crate::sim::card::{CardDevice, CardOptions};
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

fn disk() -> SimDisk {
    SimDisk::in_memory(SimConfig::of_a_component(), standing_clock())
}

/// A converter.
pub(super) fn zc(bytes: &[u8]) {
    let (mut device, mut faults, mut disk) = (ZcDevice::new(ZcOptions::default()), Faults::default(), disk());
    let mut now = Duration::ZERO;
    for part in bytes.chunks(64) {
        device.receive(part, now);
        device.advance(&mut disk, &mut faults, now);
        let _ = device.take_output(now);
        now += STEP;
    }
}

/// A reader with a card.
pub(super) fn card(bytes: &[u8]) {
    let mut disk = SimDisk::in_memory(SimConfig::of_the_vectors(), standing_clock());
    let (mut device, mut faults) = (CardDevice::new(CardOptions::default()), Faults::default());
    let mut now = Duration::ZERO;
    for part in bytes.chunks(64) {
        device.receive(part, now);
        device.advance(&mut disk, &mut faults, now);
        let _ = device.take_output(now);
        now += STEP;
    }
}

/// The component.
pub(super) fn nisec(bytes: &[u8]) {
    let _ = nisec::answer_with(&mut disk(), bytes, &NisecOptions::default());
}

/// The server.
pub(super) fn skserver(bytes: &[u8]) {
    let _ = skserver::answer(&mut disk(), bytes, &SkServerOptions::default());
}

/// A USB disk. The first byte of each part says how many follow as one transfer.
pub(super) fn bot(bytes: &[u8]) {
    let Ok(mut device) = BotDevice::open(disk(), BotOptions::default(), Arc::new(|| Duration::ZERO)) else { return };
    let mut rest = bytes;
    while let Some((count, after)) = rest.split_first() {
        let (transfer, later) = after.split_at(usize::from(*count).min(after.len()));
        rest = later;
        let _ = device.bulk_out(transfer);
        let reads = (0..MAX_READS).take_while(|_| matches!(device.bulk_in(512), BulkIn::Data(_))).count();
        assert!(reads < MAX_READS, "it never ends");
    }
}

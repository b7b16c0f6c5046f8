//! What the faults of one command come to: what happens before, instead of, during and after executing, and what is done to
//! the bytes of the answer.

use std::time::Duration;

use super::ZcOptions;
use super::commands::{self, Reply};
use super::frame::{FrameType, Packet};
use super::issuing;
use crate::sim::disk::{Secret, SimDisk};
use crate::sim::faults::{Direction, FaultKind, ForeignContent, ForeignTime, When};
use crate::sim::issue::{IssueOrder, Saving};
use crate::sim::refusal::Refusal;

/// A pause of the device, with or without WT.
pub(super) struct Delay {
    pub(super) count: u32,
    pub(super) each: Duration,
    pub(super) with_wt: bool,
}

/// What happens to the frames of an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Transmission {
    pub(super) lost: bool,
    pub(super) crc_error: bool,
    pub(super) cut_after: Option<usize>,
    pub(super) garbage: Vec<u8>,
    pub(super) split: Duration,
    pub(super) breaks_after: Option<u8>,
}

impl Transmission {
    /// The same for the packets after the first: what damages one frame damages the first one only.
    pub(super) fn following(&self) -> Transmission {
        Transmission { lost: self.lost, split: self.split, breaks_after: self.breaks_after, ..Transmission::default() }
    }
}

/// All faults of one command.
#[derive(Debug)]
pub(super) struct Script {
    faults: Vec<FaultKind>,
}

impl Script {
    pub(super) fn new(faults: Vec<FaultKind>) -> Script {
        Script { faults }
    }

    pub(super) fn echoes(&self) -> bool {
        self.faults.contains(&FaultKind::Echo)
    }

    pub(super) fn refuses_crc(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault, FaultKind::RefuseCrc { .. }))
    }

    pub(super) fn is_swallowed(&self) -> bool {
        self.faults.contains(&FaultKind::LoseAnswerBeforeSigning)
    }

    pub(super) fn before(&self) -> Vec<Delay> {
        self.delays(When::Before)
    }

    pub(super) fn after(&self) -> Vec<Delay> {
        self.delays(When::After)
    }

    fn delays(&self, wanted: When) -> Vec<Delay> {
        let delay = |fault: &FaultKind| match fault {
            FaultKind::WtStorm { count, interval_ms, when } if *when == wanted => {
                Some(Delay { count: *count, each: Duration::from_millis(*interval_ms), with_wt: true })
            }
            FaultKind::Stall { ms, when } if *when == wanted => {
                Some(Delay { count: 1, each: Duration::from_millis(*ms), with_wt: false })
            }
            _ => None,
        };
        self.faults.iter().filter_map(delay).collect()
    }

    /// How long the power stays away, if it goes.
    pub(super) fn power_cut(&self) -> Option<Duration> {
        self.faults.iter().find_map(|fault| match fault {
            FaultKind::PowerCut { off_ms, .. } => Some(Duration::from_millis(*off_ms)),
            _ => None,
        })
    }

    pub(super) fn has(&self, fault: &FaultKind) -> bool {
        self.faults.contains(fault)
    }

    /// Executes the command with everything that the faults put around it.
    pub(super) fn run(&self, packet: &Packet, options: &mut ZcOptions, disk: &mut SimDisk) -> Reply {
        let fields = match packet.frame_type {
            FrameType::Xml => super::xml::fields(packet.cmd, &packet.data),
            _ => Some(packet.data.clone()),
        };
        let next = fields.and_then(|fields| issuing::parse_issue(&fields, disk).ok()).map(|parsed| parsed.order);
        self.around(next, disk, |disk, saving| match (packet.frame_type, packet.cmd) {
            (FrameType::Fields, cmd) => commands::execute(cmd, &packet.data, options, disk, saving),
            (_, 0x01) => Reply::Data(Vec::new()),
            (FrameType::Xml, cmd) => super::xml::execute(cmd, &packet.data, options, disk, saving),
            _ => Reply::Unknown,
        })
    }

    /// Executes anything with the faults around it. `next` is what it is about to issue, where that is known.
    pub(super) fn around(
        &self,
        next: Option<IssueOrder>,
        disk: &mut SimDisk,
        work: impl FnOnce(&mut SimDisk, Saving) -> Reply,
    ) -> Reply {
        for fault in &self.faults {
            disturb(fault, next.clone(), disk);
        }
        if let Some(refusal) = self.faults.iter().find_map(|fault| refusal(fault, When::Before, disk)) {
            return Reply::Refused(refusal);
        }
        if self.faults.iter().any(|fault| matches!(fault, FaultKind::PowerCut { when: When::Before, .. })) {
            // Nobody hears this: the device is off.
            return Reply::Unknown;
        }
        let saving = if self.power_cut().is_some() { Saving::PowerCut } else { Saving::Done };
        let reply = work(disk, saving);
        for fault in &self.faults {
            if let FaultKind::ForeignIssue { at: ForeignTime::AfterStock, content: ForeignContent::Invoice(order) } = fault {
                let _ = disk.issue_foreign(order);
            }
        }
        match (&reply, self.faults.iter().find_map(|fault| refusal(fault, When::After, disk))) {
            // The device's own refusal stands; only a success can be misreported.
            (Reply::Data(_), Some(refusal)) => Reply::Refused(refusal),
            _ => reply,
        }
    }

    pub(super) fn transmission(&self) -> Transmission {
        let mut sending = Transmission::default();
        for fault in &self.faults {
            match fault {
                FaultKind::LoseAnswerAfterSigning => sending.lost = true,
                FaultKind::CrcError => sending.crc_error = true,
                FaultKind::DieMidFrame { after_bytes } => sending.cut_after = Some(*after_bytes),
                FaultKind::Garbage { hex } => sending.garbage.extend(unhex(hex)),
                FaultKind::Split { delay_ms } => sending.split = Duration::from_millis(*delay_ms),
                FaultKind::BreakAfterPacket { packet, direction: Direction::Answer } => {
                    sending.breaks_after = Some(*packet);
                }
                _ => {}
            }
        }
        sending
    }
}

/// What others do to the disk before the command executes. A foreign program that is refused issues nothing, as in life.
fn disturb(fault: &FaultKind, next: Option<IssueOrder>, disk: &mut SimDisk) {
    match fault {
        FaultKind::RollJump { kind } => {
            let of_command = next.map(|order| order.kind).or(disk.config().kinds.first().copied());
            if let Some(kind) = kind.or(of_command) {
                let _ = disk.jump_to_next_segment(kind);
            }
        }
        FaultKind::ForeignIssue { content: ForeignContent::SameAsNext(remark), .. } => {
            if let Some(next) = next {
                let remark = remark.clone().unwrap_or_else(|| next.remark.clone());
                let _ = disk.issue_foreign(&IssueOrder { remark, ..next });
            }
        }
        FaultKind::ForeignIssue { at: ForeignTime::BeforeIssue, content: ForeignContent::Invoice(order) } => {
            let _ = disk.issue_foreign(order);
        }
        _ => {}
    }
}

fn refusal(fault: &FaultKind, wanted: When, disk: &mut SimDisk) -> Option<Refusal> {
    if let FaultKind::Refuse { jsk, text, when } = fault {
        return (*when == wanted).then(|| Refusal::custom(*jsk, text.clone()));
    }
    match fault {
        _ if wanted == When::After => None,
        FaultKind::OutOfStock => Some(Refusal::jsk(176)),
        FaultKind::Locked { jsk } => Some(Refusal::jsk(*jsk)),
        FaultKind::ClockFault => Some(Refusal::jsk(506)),
        // No password can hold a NUL, so this is always a wrong one and costs a try like any other.
        FaultKind::WrongPassword => disk.check_secret(Secret::Disk, "\0").err(),
        _ => None,
    }
}

/// Hex digits to bytes; what is no pair of digits ends it.
fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

//! The business contents of the serial commands for dialects that carry them in other envelopes (the USB profile): the same
//! cmd numbers, fields and answers, and the same faults around them, without frames.

use std::time::Duration;

use super::ZcOptions;
use super::commands::Reply;
use super::fields::gbk;
use super::frame::{self, FrameType, Packet, link_error};
use super::script::{Delay, Script};
use crate::sim::disk::SimDisk;
use crate::sim::faults::FaultKind;
use crate::sim::issue::{IssueOrder, Saving};
use crate::sim::nisec;
use crate::sim::refusal::Refusal;

/// One command with everything that goes wrong around it.
pub(in crate::sim) struct Work {
    packet: Packet,
    script: Script,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) enum Outcome {
    /// Executed; the answer's data.
    Good(Vec<u8>),
    /// Refused; the text in GBK, with its `JSK` code where it has one.
    Refused(Vec<u8>),
    /// A link error without a text.
    Link(u8),
}

impl Work {
    /// A command of type 0x20 (`xml`) or 0x10.
    pub(in crate::sim) fn new(xml: bool, cmd: u8, data: Vec<u8>, faults: Vec<FaultKind>) -> Work {
        let frame_type = if xml { FrameType::Xml } else { FrameType::Fields };
        Work { packet: Packet { frame_type, cmd, number: 0, data }, script: Script::new(faults) }
    }

    /// The device says that the checksum was wrong.
    pub(in crate::sim) fn refuses_crc(&self) -> bool {
        self.script.refuses_crc()
    }

    /// Accepted and never executed.
    pub(in crate::sim) fn is_swallowed(&self) -> bool {
        self.script.is_swallowed()
    }

    /// The faults, for those that only one dialect knows.
    pub(in crate::sim) fn has(&self, fault: &FaultKind) -> bool {
        self.script.has(fault)
    }

    /// Executed, but the answer is not kept.
    pub(in crate::sim) fn loses_answer(&self) -> bool {
        self.script.transmission().lost
    }

    /// The checksum over the answer is wrong once.
    pub(in crate::sim) fn damages_crc(&self) -> bool {
        self.script.transmission().crc_error
    }

    /// The answer ends after so many bytes.
    pub(in crate::sim) fn cut_after(&self) -> Option<usize> {
        self.script.transmission().cut_after
    }

    /// The answer trickles with so much time between its bytes.
    pub(in crate::sim) fn split(&self) -> Option<Duration> {
        Some(self.script.transmission().split).filter(|split| !split.is_zero())
    }

    /// How long the power stays away, if it goes.
    pub(in crate::sim) fn power_off(&self) -> Duration {
        self.script.power_cut().unwrap_or_default()
    }

    /// Whether the power goes.
    pub(in crate::sim) fn cuts_power(&self) -> bool {
        self.script.power_cut().is_some()
    }

    /// Busy so long before and after executing, besides the time of signing.
    pub(in crate::sim) fn delays(&self) -> (Duration, Duration) {
        let sum = |delays: Vec<Delay>| delays.iter().map(|delay| delay.each.saturating_mul(delay.count)).sum();
        (sum(self.script.before()), sum(self.script.after()))
    }

    /// Executes it as the serial device would.
    pub(in crate::sim) fn run(&self, options: &mut ZcOptions, disk: &mut SimDisk) -> Outcome {
        outcome(self.script.run(&self.packet, options, disk))
    }

    /// Executes a document of the component interface with the same faults around it. Its answer is a document too.
    pub(in crate::sim) fn run_document(&self, disk: &mut SimDisk) -> Outcome {
        let document = &self.packet.data;
        let next = nisec::order_of(document, disk);
        match self.script.around(next, disk, |disk, _| Reply::Data(nisec::answer(disk, document, true))) {
            Reply::Refused(refusal) => Outcome::Good(nisec::refuse(disk, document, &refusal)),
            reply => outcome(reply),
        }
    }

    /// Executes another dialect's command with the same faults around it; `next` is what it is about to issue. The command keeps
    /// why it failed to itself.
    ///
    /// # Errors
    /// A fault refuses.
    pub(in crate::sim) fn run_other(
        &self,
        next: Option<IssueOrder>,
        disk: &mut SimDisk,
        execute: impl FnOnce(&mut SimDisk, Saving) -> Result<Vec<u8>, ()>,
    ) -> Result<Option<Outcome>, Refusal> {
        let mut failed = false;
        let reply = self.script.around(next, disk, |disk, saving| match execute(disk, saving) {
            Ok(data) => Reply::Data(data),
            Err(()) => {
                failed = true;
                Reply::Unknown
            }
        });
        match reply {
            Reply::Refused(refusal) => Err(refusal),
            _ if failed => Ok(None),
            reply => Ok(Some(outcome(reply))),
        }
    }
}

fn outcome(reply: Reply) -> Outcome {
    match reply {
        Reply::Data(data) => Outcome::Good(data),
        Reply::Refused(refusal) => Outcome::Refused(gbk(&refusal.to_string())),
        Reply::Unknown => Outcome::Link(link_error::UNKNOWN),
    }
}

/// The checksum of the serial protocol.
pub(in crate::sim) fn crc16(bytes: &[u8]) -> u16 {
    frame::crc16(bytes)
}

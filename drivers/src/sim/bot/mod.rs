//! The taxdisk-bot device: a tax disk behind USB bulk-only transport, as a machine without I/O. Bytes of the two pipes and
//! the control pipe in and out; the time is asked from a [`Ticker`], so that tests run on virtual time.
//!
//! Read [`BotDevice::bulk_out`], [`BotDevice::bulk_in`] and [`BotDevice::advance`]. It opens nothing but the memory of its
//! tokens in the disk's folder, knows no USB packets, addresses or descriptors (`sim::usb`), and shares no code with a driver.
//! Source: device-xml-and-usb.md, C.2 to C.4.
//!
//! Where the facts are silent:
//! - A refused command takes its announced data and drops them; its residue is all of them. With
//!   [`BotOptions::stalls`] (the default) a refused or empty data-in stage stalls the pipe instead of skipping the stage.
//! - A command block that comes while a status waits to be read is held off (NAK), as on a controller with one buffer.
//! - An invalid command block stalls both pipes; only a reset ends that, clearing the halts does not.
//! - More data announced than the payload needs, or any LUN but 0, is refused (05/24/00, 05/25/00). A stage in the wrong
//!   direction, or data beyond the announced length, is a phase error.

mod memory;
mod profile;
#[cfg(test)]
mod tests;
mod wire;
mod work;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::memory::MEMORY_FILE;
use self::memory::{Answer, Memory};
use self::wire::{Cbw, Send, Sense, Status, operation};
use super::disk::SimDisk;
use super::faults::{FaultKind, Faults, UsbStage};
use super::usb::{BulkIn, BulkOut, ControlReply, Setup};
use super::zc::ZcOptions;
use super::zc::content::Work;

/// Address of the bulk-IN endpoint.
pub const ENDPOINT_IN: u8 = 0x81;
/// Address of the bulk-OUT endpoint.
pub const ENDPOINT_OUT: u8 = 0x02;

/// Time since any start, never backwards.
pub type Ticker = Arc<dyn Fn() -> Duration + std::marker::Send + Sync>;

/// The machine's own monotonic clock.
pub fn real_ticker() -> Ticker {
    let started = Instant::now();
    Arc::new(move || started.elapsed())
}

/// How a particular device differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BotOptions {
    /// Tokens and answers survive the power. `false` imitates weak hardware (C.4.4).
    pub durable: bool,
    /// Stalls a data-in stage that it does not fill with anything.
    pub stalls: bool,
    /// GET MAX LUN is answered with a stall, which means 0.
    pub stalls_max_lun: bool,
}

impl Default for BotOptions {
    fn default() -> Self {
        BotOptions { durable: true, stalls: true, stalls_max_lun: false }
    }
}

enum Phase {
    /// Waits for a command block.
    Command,
    /// Takes the data of a command. `job` is what they are for; without one they are dropped.
    DataOut { cbw: Cbw, job: Option<Send>, got: Vec<u8>, sense: Sense },
    /// Gives data to the host, then the status.
    DataIn { data: Vec<u8>, sent: usize, status: Vec<u8> },
    /// The status waits to be read.
    Status(Vec<u8>),
    /// An invalid command block: stalled until the reset.
    Broken,
}

/// What is being executed.
enum Running {
    /// Executes then.
    Until { at: Duration, token: u32, work: Box<Work>, is_document: bool, cmd: u8 },
    /// Has executed, shows its answer then.
    Settling { at: Duration, token: u32, answer: Answer },
}

/// The device.
pub struct BotDevice {
    /// The disk behind it.
    pub disk: SimDisk,
    /// Faults that wait.
    pub faults: Faults,
    /// How many commands were executed; a repeat of a token executes nothing.
    pub executed: u64,
    options: BotOptions,
    ticker: Ticker,
    zc: ZcOptions,
    memory: Memory,
    running: Option<Running>,
    phase: Phase,
    sense: Sense,
    halted_in: bool,
    halted_out: bool,
    /// Transfer faults of the command under way.
    transfer: Vec<FaultKind>,
    held_until: Duration,
    crc_damaged: bool,
    leaves_bus: bool,
}

impl BotDevice {
    /// A device that was just plugged in, with the memory that its disk's folder holds.
    ///
    /// # Errors
    /// The memory's file cannot be read.
    pub fn open(disk: SimDisk, options: BotOptions, ticker: Ticker) -> io::Result<BotDevice> {
        let memory = Memory::open(disk.folder().map(std::path::Path::to_owned), options.durable)?;
        Ok(BotDevice {
            disk,
            faults: Faults::default(),
            executed: 0,
            options,
            ticker,
            zc: ZcOptions::default(),
            memory,
            running: None,
            phase: Phase::Command,
            sense: Sense::default(),
            halted_in: false,
            halted_out: false,
            transfer: Vec::new(),
            held_until: Duration::ZERO,
            crc_damaged: false,
            leaves_bus: false,
        })
    }

    /// A transfer on bulk-OUT: a command block, or data. What is taken is taken whole.
    pub fn bulk_out(&mut self, bytes: &[u8]) -> BulkOut {
        self.advance();
        if self.halted_out {
            return BulkOut::Stall;
        }
        if self.now() < self.held_until {
            return BulkOut::Nak;
        }
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Command => self.take_block(bytes),
            Phase::DataOut { cbw, job, mut got, sense } => {
                match self.disturbed_out(UsbStage::Data) {
                    Some(BulkOut::Stall) => {
                        self.sense = Sense::DAMAGED_DATA;
                        self.finish(&cbw, cbw.length, Status::Failed);
                        return BulkOut::Stall;
                    }
                    Some(answer) => {
                        self.phase = Phase::DataOut { cbw, job, got, sense };
                        return answer;
                    }
                    None => {}
                }
                if got.len() + bytes.len() > cbw.length as usize {
                    self.finish(&cbw, cbw.length, Status::PhaseError);
                    return BulkOut::Taken;
                }
                got.extend_from_slice(bytes);
                if got.len() < cbw.length as usize {
                    self.phase = Phase::DataOut { cbw, job, got, sense };
                } else {
                    self.end_of_data(&cbw, job, got, sense);
                }
                BulkOut::Taken
            }
            // The host must read the status first.
            phase @ (Phase::DataIn { .. } | Phase::Status(_)) => {
                self.phase = phase;
                BulkOut::Nak
            }
            Phase::Broken => {
                self.phase = Phase::Broken;
                BulkOut::Stall
            }
        }
    }

    /// A transfer on bulk-IN of at most so many bytes. Shorter data end the transfer.
    pub fn bulk_in(&mut self, max: usize) -> BulkIn {
        self.advance();
        if self.halted_in || matches!(self.phase, Phase::Broken) {
            return BulkIn::Stall;
        }
        if self.now() < self.held_until {
            return BulkIn::Nak;
        }
        let stage = match &self.phase {
            Phase::DataIn { .. } => UsbStage::Data,
            Phase::Status(_) => UsbStage::Status,
            _ => return BulkIn::Nak,
        };
        match self.disturbed(stage) {
            Some(FaultKind::UsbStall { .. }) => {
                self.halted_in = true;
                // A data stage that stalls is over; the status is asked for after the halt is cleared.
                if let Phase::DataIn { status, .. } = &mut self.phase {
                    self.phase = Phase::Status(std::mem::take(status));
                }
                return BulkIn::Stall;
            }
            Some(_) => return BulkIn::Nak,
            None => {}
        }
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::DataIn { data, sent, status } => {
                let end = data.len().min(sent + max);
                let chunk = data[sent..end].to_vec();
                self.phase = if end == data.len() { Phase::Status(status) } else { Phase::DataIn { data, sent: end, status } };
                BulkIn::Data(chunk)
            }
            Phase::Status(mut status) => {
                self.damage_status(&mut status);
                status.truncate(max);
                BulkIn::Data(status)
            }
            phase => {
                self.phase = phase;
                BulkIn::Nak
            }
        }
    }

    /// A class request, or CLEAR_FEATURE(ENDPOINT_HALT) on one of the two pipes. `None`: not for this device.
    pub fn control(&mut self, setup: Setup, _data: &[u8]) -> Option<ControlReply> {
        self.advance();
        match (setup.request_type, setup.request) {
            // Bulk-Only Mass Storage Reset: forgets the exchange, keeps halts, tokens, and what is being executed.
            (0x21, 0xFF) if setup.value == 0 && setup.index == 0 && setup.length == 0 => {
                self.phase = Phase::Command;
                self.transfer.clear();
                self.held_until = Duration::ZERO;
                Some(Ok(Vec::new()))
            }
            (0xA1, 0xFE) if setup.value == 0 && setup.index == 0 => {
                Some(if self.options.stalls_max_lun { Err(super::usb::Stalled) } else { Ok(vec![0]) })
            }
            (0x02, 0x01) if setup.value == 0 => {
                let endpoint = setup.index.to_le_bytes()[0];
                match endpoint {
                    ENDPOINT_IN => self.halted_in = false,
                    ENDPOINT_OUT => self.halted_out = false,
                    _ => return None,
                }
                Some(Ok(Vec::new()))
            }
            _ => None,
        }
    }

    /// Whether a pipe answers STALL (GET_STATUS asks).
    pub fn is_halted(&self, endpoint: u8) -> bool {
        let broken = matches!(self.phase, Phase::Broken);
        broken || if endpoint == ENDPOINT_IN { self.halted_in } else { endpoint == ENDPOINT_OUT && self.halted_out }
    }

    /// The power goes and comes back: what was not executed never will be; the rest is in the memory, if it is durable.
    pub fn power_cut(&mut self) {
        self.advance();
        self.running = None;
        self.memory.power_cut();
        self.crc_damaged = false;
        self.bus_reset();
    }

    /// The cable was pulled or the bus reset, the power stays: the exchange is forgotten, what is being executed goes on.
    pub fn bus_reset(&mut self) {
        self.phase = Phase::Command;
        self.sense = Sense::default();
        self.transfer.clear();
        self.held_until = Duration::ZERO;
        (self.halted_in, self.halted_out, self.leaves_bus) = (false, false, false);
    }

    /// Whether a fault wants the device off the bus now.
    pub fn leaves_bus(&self) -> bool {
        self.leaves_bus
    }

    /// When something happens without input. `None` = nothing will.
    pub fn wake_at(&self) -> Option<Duration> {
        let running = self.running.as_ref().map(|running| match running {
            Running::Until { at, .. } | Running::Settling { at, .. } => *at,
        });
        let held = Some(self.held_until).filter(|held| *held > self.now());
        running.into_iter().chain(held).min()
    }

    /// How long until then.
    pub fn wake_in(&self) -> Option<Duration> {
        self.wake_at().map(|at| at.saturating_sub(self.now()))
    }

    /// Does what is due. Every other call does it first.
    pub fn advance(&mut self) {
        let now = self.now();
        match self.running.take() {
            Some(Running::Until { at, token, work, is_document, cmd }) if now >= at => {
                self.execute(token, &work, is_document, cmd, now);
            }
            running => self.running = running,
        }
        match self.running.take() {
            Some(Running::Settling { at, token, answer }) if now >= at => {
                // If the power goes here the token stays without an answer: lost. If the memory fails, so too.
                let _ = self.memory.answer(token, answer);
            }
            running => self.running = running,
        }
    }

    fn now(&self) -> Duration {
        (self.ticker)()
    }

    fn take_block(&mut self, bytes: &[u8]) -> BulkOut {
        let Some(cbw) = Cbw::parse(bytes) else {
            self.phase = Phase::Broken;
            return BulkOut::Stall;
        };
        if self.transfer.is_empty() {
            self.transfer = self.faults.at_transfer(cbw.operation());
        }
        if let Some(answer) = self.disturbed_out(UsbStage::Command) {
            return answer;
        }
        if cbw.operation() != operation::REQUEST_SENSE {
            self.sense = Sense::default();
        }
        if cbw.lun != 0 {
            self.refuse(&cbw, Sense::NO_SUCH_UNIT);
            return BulkOut::Taken;
        }
        match cbw.operation() {
            operation::INQUIRY if cbw.cdb[1] & 1 == 0 => self.give(&cbw, wire::inquiry(), cbw.cdb[4].into()),
            operation::INQUIRY => self.refuse(&cbw, Sense::BAD_BLOCK),
            operation::REQUEST_SENSE => {
                let sense = std::mem::take(&mut self.sense);
                self.give(&cbw, sense.bytes(), cbw.cdb[4].into());
            }
            operation::TEST_UNIT_READY | operation::READ_CAPACITY | operation::READ => self.refuse(&cbw, Sense::NO_MEDIUM),
            operation::SEND => self.take_send(cbw),
            operation::FETCH => self.take_fetch(&cbw),
            _ => self.refuse(&cbw, Sense::UNKNOWN_OPERATION),
        }
        BulkOut::Taken
    }

    /// A data-in stage with these bytes, cut to what the command and the block allow.
    fn give(&mut self, cbw: &Cbw, mut data: Vec<u8>, allocation: usize) {
        if cbw.length > 0 && !cbw.to_host {
            return self.finish_stalled(cbw, Status::PhaseError);
        }
        data.truncate(allocation.min(cbw.length as usize));
        let sent = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let status = wire::csw(cbw.tag, cbw.length - sent, Status::Passed);
        self.phase = if data.is_empty() { Phase::Status(status) } else { Phase::DataIn { data, sent: 0, status } };
    }

    /// Fails a command. Data that come are dropped, data that are wanted are not given.
    fn refuse(&mut self, cbw: &Cbw, sense: Sense) {
        self.sense = sense;
        if cbw.length > 0 && !cbw.to_host && cbw.length <= wire::MAX_PAYLOAD_BYTES {
            self.phase = Phase::DataOut { cbw: cbw.clone(), job: None, got: Vec::new(), sense };
        } else {
            self.finish_stalled(cbw, Status::Failed);
        }
    }

    /// Ends a command without its data stage: the pipe of the stage stalls.
    fn finish_stalled(&mut self, cbw: &Cbw, status: Status) {
        if cbw.length > 0 {
            if !cbw.to_host {
                self.halted_out = true;
            } else if self.options.stalls {
                self.halted_in = true;
            }
        }
        self.finish(cbw, cbw.length, status);
    }

    fn finish(&mut self, cbw: &Cbw, residue: u32, status: Status) {
        self.phase = Phase::Status(wire::csw(cbw.tag, residue, status));
    }

    /// Takes the stall or hold of this stage out of the transfer's faults.
    fn disturbed(&mut self, at: UsbStage) -> Option<FaultKind> {
        let here =
            |fault: &FaultKind| matches!(fault, FaultKind::UsbStall { stage } | FaultKind::UsbNak { stage, .. } if *stage == at);
        let fault = self.transfer.iter().position(here).map(|index| self.transfer.remove(index))?;
        if let FaultKind::UsbNak { ms, .. } = &fault {
            self.held_until = self.now() + Duration::from_millis(*ms);
        }
        Some(fault)
    }

    fn disturbed_out(&mut self, stage: UsbStage) -> Option<BulkOut> {
        match self.disturbed(stage)? {
            FaultKind::UsbStall { .. } => {
                self.halted_out = true;
                Some(BulkOut::Stall)
            }
            _ => Some(BulkOut::Nak),
        }
    }

    /// The faults that sit in the status itself. The command is over with it.
    fn damage_status(&mut self, status: &mut [u8]) {
        for fault in std::mem::take(&mut self.transfer) {
            match fault {
                FaultKind::UsbWrongTag => status[4] ^= 0x80,
                FaultKind::UsbPhaseError => status[12] = Status::PhaseError as u8,
                _ => {}
            }
        }
    }
}

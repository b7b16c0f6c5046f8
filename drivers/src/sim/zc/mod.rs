//! The device side of the ZC serial protocol (款机 ↔ 转换器) as a state machine without I/O: bytes and the time in, bytes and
//! a wake-up time out. Read [`ZcDevice::receive`], [`ZcDevice::advance`] and [`ZcDevice::take_output`].
//!
//! It opens nothing, waits for nothing and never looks at a clock: time is what the caller says, counted from any start.
//! It shares no code with a driver.
//!
//! Where the facts are silent, it decides as a small firmware would:
//! - While it works or sends, incoming bytes wait (up to [`MAX_INPUT_BYTES`], the rest is lost) and are obeyed afterwards:
//!   a host that repeats a command into a busy device gets two invoices.
//! - After the last packet of a long answer it takes whatever comes within 3 s as the final OK, a new command too, which is
//!   thereby lost.
//! - A wrong or damaged acknowledgement ends a long answer at once and silently; the input is dropped.
//! - ER 20 is said only after the whole command has arrived, ER 11 after two bytes.
//! - A request of a wrong length is refused with JSK3003, a field that is no number with JSK4006.
//! - The line can be cut without the power: then what was being executed is still executed. Its answer is lost, or comes
//!   unasked to whoever plugged in again before it was done.
//! - The types 0x30 and 0x40 know command 01 only.

mod answering;
mod commands;
pub(super) mod content;
mod fields;
mod frame;
mod issuing;
mod script;
mod upkeep;
mod xml;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use self::tests::{host_next, vector};

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::commands::Reply;
use self::fields::gbk;
use self::frame::{FrameType, Packet, Parsed, link_error};
use self::script::{Script, Transmission};
use super::disk::SimDisk;
use super::faults::{FaultKind, Faults};

/// Longest silence inside a frame and between the packets of a command (section 4).
const GAP: Duration = Duration::from_secs(3);
/// Longest wait for the host's NP or final OK.
const ACK_WAIT: Duration = Duration::from_secs(3);
/// Business data of one command: 1 MiB in the device (section 2).
const MAX_COMMAND_BYTES: usize = 1 << 20;
/// Input that waits while the device works: two of the longest frames. A real receive buffer is smaller.
pub const MAX_INPUT_BYTES: usize = 2 * 65_535;
/// Recorded frames that nobody has fetched; older ones are forgotten.
const MAX_RECORDED: usize = 4096;
/// Start bit, eight data bits, stop bit.
const BITS_PER_BYTE: u64 = 10;
/// The number field of a packet is one byte and 0 means "last".
const MAX_ANSWER_PACKETS: usize = 255;

/// How a particular converter differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZcOptions {
    /// A Bluetooth converter: no answer frame above 90 bytes.
    pub small_packets: bool,
    /// 14 instead of 12 bytes for the offline amount in the answer to 06.
    pub wide_limits: bool,
    /// 14 instead of 12 bytes for amounts in the answer to 13.
    pub wide_statistics: bool,
    /// Speed of the line, as command 18 sets it. Used for pacing only.
    pub speed_baud: u32,
    /// Frames take the time that they take on a line of that speed, both ways. Off: as fast as the terminal.
    pub paced: bool,
}

impl Default for ZcOptions {
    fn default() -> Self {
        ZcOptions { small_packets: false, wide_limits: false, wide_statistics: false, speed_baud: 9600, paced: false }
    }
}

/// Which way a recorded frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireDirection {
    /// Host to device.
    ToDevice,
    /// Device to host.
    ToHost,
}

/// One frame that passed, or bytes that were none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFrame {
    /// When, on the caller's time.
    pub at: Duration,
    /// Which way.
    pub direction: WireDirection,
    /// Command that it belongs to, where there is one.
    pub cmd: Option<u8>,
    /// All bytes.
    pub bytes: Vec<u8>,
    /// What was special: `dropped`, `lost`, `cut` …
    pub note: Option<&'static str>,
}

/// What the device has counted since it was started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ZcCounters {
    /// Complete commands with a good checksum, by code as two hex digits.
    pub commands: BTreeMap<String, u64>,
    /// WT frames sent.
    pub wt_sent: u64,
    /// Link errors sent.
    pub link_errors_sent: u64,
    /// Bytes that arrived and were dropped.
    pub bytes_dropped: u64,
}

/// A command that is being collected from its packets.
struct Collected {
    packet: Packet,
    since: Duration,
}

enum State {
    /// Waits for a command, or for the rest of one.
    Idle,
    /// Executes a command when the time has come.
    Working { at: Duration, packet: Packet, script: Script },
    /// Has sent a packet of a long answer and waits for the host.
    Answering { rest: VecDeque<Vec<u8>>, number: u8, cmd: u8, frame_type: FrameType, until: Duration, sending: Transmission },
    /// Hears nothing until then.
    Deaf { until: Duration },
    /// The line is dead until it is plugged in again.
    Dead,
}

/// The converter.
pub struct ZcDevice {
    /// How it differs from others.
    pub options: ZcOptions,
    state: State,
    input: VecDeque<u8>,
    last_byte_at: Duration,
    collected: Option<Collected>,
    output: VecDeque<(Duration, Vec<u8>)>,
    sent_until: Duration,
    advanced_to: Duration,
    line_up: bool,
    counters: ZcCounters,
    wire: VecDeque<WireFrame>,
}

impl ZcDevice {
    /// A device that was just switched on.
    pub fn new(options: ZcOptions) -> ZcDevice {
        ZcDevice {
            options,
            state: State::Idle,
            input: VecDeque::new(),
            last_byte_at: Duration::ZERO,
            collected: None,
            output: VecDeque::new(),
            sent_until: Duration::ZERO,
            advanced_to: Duration::ZERO,
            line_up: true,
            counters: ZcCounters::default(),
            wire: VecDeque::new(),
        }
    }

    /// Bytes from the host. Call [`Self::advance`] afterwards.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        let room = MAX_INPUT_BYTES - self.input.len();
        let taken = bytes.len().min(room);
        self.input.extend(&bytes[..taken]);
        self.counters.bytes_dropped += (bytes.len() - taken) as u64;
        self.last_byte_at = now;
    }

    /// Does everything that is due. Never loops without taking input or ending a state.
    pub fn advance(&mut self, disk: &mut SimDisk, faults: &mut Faults, now: Duration) {
        while self.step(disk, faults, now) {}
        self.advanced_to = now;
    }

    /// The bytes that are due; empty if none are.
    pub fn take_output(&mut self, now: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some((_, due)) = self.output.pop_front_if(|(at, _)| *at <= now) {
            bytes.extend(due);
        }
        bytes
    }

    /// When [`Self::advance`] or [`Self::take_output`] next has something to do without input. `None` = never.
    pub fn wake_at(&self) -> Option<Duration> {
        let output = self.output.front().map(|(at, _)| *at);
        let state = match &self.state {
            // What is still being sent comes first; input that came meanwhile is looked at after it.
            State::Idle | State::Answering { .. } if !self.input.is_empty() && self.advanced_to < self.sent_until => {
                Some(self.sent_until)
            }
            State::Idle if !self.input.is_empty() => Some(self.last_byte_at + GAP),
            State::Idle => self.collected.as_ref().map(|collected| collected.since + GAP),
            State::Working { at, .. } => Some(*at),
            State::Answering { until, .. } | State::Deaf { until } => Some(*until),
            State::Dead => None,
        };
        [output, state].into_iter().flatten().min()
    }

    /// Whether the line is dead until it is plugged in again.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead)
    }

    /// Whether a command is being executed.
    pub fn is_working(&self) -> bool {
        matches!(self.state, State::Working { .. })
    }

    /// The cable was pulled: everything on its way is lost, and the device forgets the exchange. What is being executed
    /// goes on; its answer is lost, unless the cable is back by then: then it reaches whoever listens.
    pub fn line_lost(&mut self) {
        self.line_up = false;
        self.reset_line();
        if !self.is_working() {
            self.state = State::Idle;
        }
    }

    /// The cable is in again.
    pub fn line_back(&mut self) {
        self.line_up = true;
        if self.is_dead() {
            self.state = State::Idle;
        }
    }

    /// The power went: nothing that was not signed will be. Deaf until the given time.
    pub fn power_cut(&mut self, until: Duration) {
        self.reset_line();
        self.state = State::Deaf { until };
    }

    fn reset_line(&mut self) {
        self.drop_input();
        self.collected = None;
        self.output.clear();
        self.sent_until = Duration::ZERO;
    }

    /// What it has counted.
    pub fn counters(&self) -> &ZcCounters {
        &self.counters
    }

    /// Frames since the last call, oldest first.
    pub fn take_wire(&mut self) -> Vec<WireFrame> {
        self.wire.drain(..).collect()
    }

    /// Bytes held for input, collecting and output; bounded.
    #[cfg(test)]
    fn memory(&self) -> usize {
        let collected = self.collected.as_ref().map_or(0, |collected| collected.packet.data.len());
        self.input.len() + collected + self.output.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    fn step(&mut self, disk: &mut SimDisk, faults: &mut Faults, now: Duration) -> bool {
        match &self.state {
            State::Dead => {
                self.drop_input();
                false
            }
            State::Deaf { until } if now < *until => {
                self.drop_input();
                false
            }
            State::Deaf { .. } => {
                self.drop_input();
                self.state = State::Idle;
                true
            }
            State::Working { at, .. } if now < *at => false,
            State::Working { .. } => {
                if let State::Working { packet, script, .. } = std::mem::replace(&mut self.state, State::Idle) {
                    self.execute(&packet, script, disk, now);
                }
                true
            }
            // Half duplex: what is still being sent comes first.
            _ if now < self.sent_until => false,
            State::Answering { .. } => self.step_answer(now),
            State::Idle => self.step_command(disk, faults, now),
        }
    }

    fn step_command(&mut self, disk: &SimDisk, faults: &mut Faults, now: Duration) -> bool {
        if self.input.is_empty() {
            return match &self.collected {
                Some(collected) if now >= collected.since + GAP => {
                    let frame_type = collected.packet.frame_type;
                    self.refuse_link(link_error::TIMEOUT, frame_type, now);
                    true
                }
                _ => false,
            };
        }
        match frame::parse_command(self.input.make_contiguous()) {
            Parsed::Frame(packet, used) => {
                let bytes: Vec<u8> = self.input.drain(..used).collect();
                self.record(now, WireDirection::ToDevice, Some(packet.cmd), bytes.clone(), None);
                let arrived = now + self.line_time(used);
                self.take_packet(packet, &bytes, disk, faults, arrived);
                true
            }
            Parsed::Bad(error, frame_type) => {
                self.refuse_link(error, frame_type, now);
                true
            }
            Parsed::Incomplete if now >= self.last_byte_at + GAP => {
                let wide = matches!(self.input.get(1), Some(0x20 | 0x30 | 0x40));
                self.refuse_link(link_error::TIMEOUT, if wide { FrameType::Xml } else { FrameType::Fields }, now);
                true
            }
            Parsed::Incomplete => false,
        }
    }

    /// A packet with a good checksum: collects it, or takes the whole command.
    fn take_packet(&mut self, packet: Packet, bytes: &[u8], disk: &SimDisk, faults: &mut Faults, now: Duration) {
        let (number, cmd, frame_type) = (packet.number, packet.cmd, packet.frame_type);
        let started = self.collected.take();
        let whole = match (number, started) {
            // A packet 1 always starts afresh; a lone 0 is a whole command.
            (0, None) | (1, _) => packet,
            (_, Some(started)) => {
                let mut whole = started.packet;
                let follows = number == 0 || whole.number.checked_add(1) == Some(number);
                let fits = whole.data.len() + packet.data.len() <= MAX_COMMAND_BYTES;
                if !follows || !fits || whole.cmd != cmd || whole.frame_type != frame_type {
                    return self.refuse_link(link_error::PARAMETER, frame_type, now);
                }
                whole.data.extend(packet.data);
                whole.number = number;
                whole
            }
            (_, None) => return self.refuse_link(link_error::PARAMETER, frame_type, now),
        };
        match faults.at_packet(cmd, number).first() {
            None => {}
            Some(FaultKind::RefuseCrc { .. }) => return self.refuse_link(link_error::CRC, frame_type, now),
            Some(_) => {
                self.state = State::Deaf { until: now + GAP };
                return;
            }
        }
        if number != 0 {
            self.collected = Some(Collected { packet: whole, since: now });
            return self.send(now, &Transmission::default(), cmd, frame::answer(frame_type, *b"NP", 0, &[number]));
        }
        *self.counters.commands.entry(format!("{cmd:02X}")).or_default() += 1;
        self.begin(whole, bytes, disk, Script::new(faults.at_command(cmd)), now);
    }

    /// The whole command is here: from now on its outcome is unknown to the host.
    fn begin(&mut self, packet: Packet, bytes: &[u8], disk: &SimDisk, script: Script, now: Duration) {
        let mut at = now;
        if script.echoes() {
            self.schedule(at, bytes.to_vec());
        }
        if script.refuses_crc() {
            return self.refuse_link(link_error::CRC, packet.frame_type, now);
        }
        if script.is_swallowed() {
            return;
        }
        at = self.delay(&script.before(), packet.frame_type, packet.cmd, at);
        if matches!(packet.cmd, 0x0A | 0x0B) {
            at += Duration::from_millis(disk.config().issue_time_ms);
        }
        self.state = State::Working { at, packet, script };
    }

    fn execute(&mut self, packet: &Packet, script: Script, disk: &mut SimDisk, now: Duration) {
        let (cmd, frame_type) = (packet.cmd, packet.frame_type);
        let reply = script.run(packet, &mut self.options, disk);
        if let Some(off) = script.power_cut() {
            return self.power_cut(now + off);
        }
        if !self.line_up {
            return;
        }
        let at = self.delay(&script.after(), frame_type, cmd, now);
        let sending = script.transmission();
        match reply {
            Reply::Data(data) => self.answer(&data, cmd, frame_type, at, sending),
            Reply::Refused(refusal) => {
                let text = gbk(&refusal.to_string());
                self.send(at, &sending, cmd, frame::text_error(frame_type, &text, self.options.small_packets));
                self.after_send(&sending);
            }
            Reply::Unknown => {
                self.counters.link_errors_sent += 1;
                self.send(at, &sending, cmd, frame::answer(frame_type, *b"ER", 0, &[link_error::UNKNOWN]));
                self.after_send(&sending);
            }
        }
    }

    /// A receive error: the input and what was collected are dropped, and the host is told.
    fn refuse_link(&mut self, error: u8, frame_type: FrameType, now: Duration) {
        self.drop_input();
        self.collected = None;
        self.counters.link_errors_sent += 1;
        self.schedule_recorded(now, None, frame::answer(frame_type, *b"ER", 0, &[error]), None);
    }

    /// How long so many bytes take on the line.
    fn line_time(&self, bytes: usize) -> Duration {
        if !self.options.paced {
            return Duration::ZERO;
        }
        Duration::from_micros(bytes as u64 * BITS_PER_BYTE * 1_000_000 / u64::from(self.options.speed_baud.max(1)))
    }

    fn drop_input(&mut self) {
        if self.input.is_empty() {
            return;
        }
        let bytes: Vec<u8> = self.input.drain(..).collect();
        self.counters.bytes_dropped += bytes.len() as u64;
        self.record(self.last_byte_at, WireDirection::ToDevice, None, bytes, Some("dropped"));
    }
}

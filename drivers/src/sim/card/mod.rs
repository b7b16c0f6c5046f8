//! The fiscal card reader link, device side, as a state machine without I/O: a reader with a fiscal card, whose memory is the
//! simulated disk, and a user card. Read [`CardDevice::receive`] and [`CardDevice::advance`]. Source: device-xml-and-usb.md, D.
//!
//! It opens nothing and waits for nothing; time is what the caller says. It shares no code with a driver.
//!
//! The reader keeps exactly one last answer. FA repeats it, executes nothing and does not replace it; a request that the
//! reader never heard leaves the answer before it in place, and then FA gives that old one.
//!
//! Where the facts are silent: a wrong sum is answered with type F8, an unknown type with F7, an unpowered card with F4, FA
//! with nothing to repeat with F9, none of which replaces the last answer; an unfinished frame is dropped after 3 s.
//! EF05 shows the roll as it was loaded, whatever is used of it. A locked card answers F2 with 6A81.

mod apdu;
mod files;
mod frame;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::apdu::Roll;
use self::apdu::{Apdu, Card, Sw};
use self::frame::{Parsed, kind, reader_error};
use super::disk::SimDisk;
use super::faults::{FaultKind, Faults};
use super::issue::Saving;
use super::zc::content::{Outcome, Work};
use super::zc::{WireDirection, WireFrame};

/// Longest silence inside a frame.
const GAP: Duration = Duration::from_secs(3);
/// Input that waits while a card works: a few of the longest frames, 262 bytes each.
const MAX_INPUT_BYTES: usize = 2048;
/// Answer to reset: both first bytes are looked at.
const ATR: [u8; 8] = [0x3B, 0x7C, 0x13, 0x00, 0x00, 0x53, 0x49, 0x4D];
/// Commands under which faults find a card's commands: issuing and the stock query of the serial protocol.
const FAULT_ISSUE: u8 = 0x0A;
const FAULT_STOCK: u8 = 0x08;

/// How a particular reader differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardOptions {
    /// Requests begin with 02 alone, without 55 AA 96.
    pub short_header: bool,
    /// Power commands and resets are answered with 50/F0 in place of their own type.
    pub power_answers_as_apdu: bool,
    /// FA is answered with 05 in place of 50.
    pub repeats_with_05: bool,
    /// Answers with data end with 61xx in place of 9000.
    pub tells_length: bool,
    /// F2 wants F9 or VERIFY before (6982).
    pub pin_required: bool,
    /// There is a user card in the second slot.
    pub user_card: bool,
    /// Rolls on the user card.
    pub rolls: Vec<Roll>,
}

impl Default for CardOptions {
    fn default() -> Self {
        CardOptions {
            short_header: false,
            power_answers_as_apdu: false,
            repeats_with_05: false,
            tells_length: false,
            pin_required: false,
            user_card: true,
            rolls: Vec::new(),
        }
    }
}

/// What is being executed: done and answered then.
struct Working {
    at: Duration,
    kind: u8,
    payload: Vec<u8>,
    work: Work,
}

/// The reader and its cards.
pub struct CardDevice {
    /// How it differs from others.
    pub options: CardOptions,
    input: VecDeque<u8>,
    last_byte_at: Duration,
    output: VecDeque<(Duration, Vec<u8>)>,
    working: Option<Working>,
    deaf_until: Duration,
    /// Type and data of the last answer.
    last: Option<(u8, Vec<u8>)>,
    fiscal: Card,
    user: Card,
    line_up: bool,
    wire: Vec<WireFrame>,
}

impl CardDevice {
    /// A reader that was just switched on, with unpowered cards.
    pub fn new(options: CardOptions) -> CardDevice {
        CardDevice {
            options,
            input: VecDeque::new(),
            last_byte_at: Duration::ZERO,
            output: VecDeque::new(),
            working: None,
            deaf_until: Duration::ZERO,
            last: None,
            fiscal: Card::default(),
            user: Card::default(),
            line_up: true,
            wire: Vec::new(),
        }
    }

    /// Bytes from the host. Call [`Self::advance`] afterwards.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        let room = MAX_INPUT_BYTES - self.input.len();
        self.input.extend(&bytes[..bytes.len().min(room)]);
        self.last_byte_at = now;
    }

    /// Does everything that is due.
    pub fn advance(&mut self, disk: &mut SimDisk, faults: &mut Faults, now: Duration) {
        if now < self.deaf_until {
            self.input.clear();
            return;
        }
        loop {
            match self.working.take() {
                Some(working) if now < working.at => {
                    self.working = Some(working);
                    return;
                }
                Some(working) => self.execute(working, disk, now),
                None if self.take_frame(disk, faults, now) => {}
                None => return,
            }
        }
    }

    /// The bytes that are due; empty if none are.
    pub fn take_output(&mut self, now: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some((_, due)) = self.output.pop_front_if(|(at, _)| *at <= now) {
            bytes.extend(due);
        }
        bytes
    }

    /// When there is something to do without input. `None` = never.
    pub fn wake_at(&self) -> Option<Duration> {
        let output = self.output.front().map(|(at, _)| *at);
        let working = self.working.as_ref().map(|working| working.at);
        let gap = (working.is_none() && !self.input.is_empty()).then_some(self.last_byte_at + GAP);
        [output, working, gap].into_iter().flatten().min()
    }

    /// Whether a card is at work.
    pub fn is_working(&self) -> bool {
        self.working.is_some()
    }

    /// The cable was pulled. The reader keeps its power, its last answer and what it does.
    pub fn line_lost(&mut self) {
        self.line_up = false;
        self.input.clear();
        self.output.clear();
    }

    /// The cable is in again.
    pub fn line_back(&mut self) {
        self.line_up = true;
    }

    /// The power went: the last answer is forgotten, the cards are off, what was not signed never will be.
    pub fn power_cut(&mut self, until: Duration) {
        self.line_lost();
        self.line_up = true;
        self.working = None;
        self.last = None;
        self.deaf_until = until;
        (self.fiscal, self.user) = (Card::default(), Card::default());
    }

    /// Frames since the last call, oldest first.
    pub fn take_wire(&mut self) -> Vec<WireFrame> {
        std::mem::take(&mut self.wire)
    }

    fn take_frame(&mut self, disk: &SimDisk, faults: &mut Faults, now: Duration) -> bool {
        if self.input.is_empty() {
            return false;
        }
        match frame::parse(self.input.make_contiguous(), self.options.short_header) {
            Parsed::Incomplete if now >= self.last_byte_at + GAP => {
                self.input.clear();
                false
            }
            Parsed::Incomplete => false,
            Parsed::Noise(count) => {
                self.input.drain(..count);
                true
            }
            Parsed::BadSum(count) => {
                self.input.drain(..count);
                self.say(now, frame::first_answer(reader_error::CHECKSUM, &[]), None);
                true
            }
            Parsed::Frame(kind, payload, count) => {
                let bytes: Vec<u8> = self.input.drain(..count).collect();
                self.record(now, WireDirection::ToDevice, bytes, None);
                self.begin(kind, payload, disk, faults, now);
                true
            }
        }
    }

    fn begin(&mut self, kind: u8, payload: Vec<u8>, disk: &SimDisk, faults: &mut Faults, now: Duration) {
        if kind == kind::REPEAT {
            return self.repeat(now);
        }
        let apdu = Apdu::parse(&payload).filter(|_| matches!(kind, kind::FISCAL_APDU | kind::USER_APDU));
        let command = match apdu.as_ref().map(|apdu| (apdu.class, apdu.ins)) {
            Some((0xC0, 0xF2)) => FAULT_ISSUE,
            Some((0x00, 0xB0)) => FAULT_STOCK,
            Some((_, ins)) => ins,
            None => kind,
        };
        let work = Work::new(false, command, Vec::new(), faults.at_command(command));
        if work.has(&FaultKind::CardAbsent) {
            return self.keep_and_say(now, reader_error::CARD_ABSENT, Vec::new(), &work);
        }
        if work.refuses_crc() {
            return self.say(now, frame::first_answer(reader_error::CHECKSUM, &[]), None);
        }
        if work.is_swallowed() {
            return;
        }
        let signing = if command == FAULT_ISSUE { disk.config().issue_time_ms } else { 0 };
        let at = now + work.delays().0 + Duration::from_millis(signing);
        self.working = Some(Working { at, kind, payload, work });
    }

    fn execute(&mut self, working: Working, disk: &mut SimDisk, now: Duration) {
        let Working { kind, payload, work, .. } = working;
        let is_user = kind & 0xF0 == 0xF0;
        if is_user && !self.options.user_card {
            return self.keep_and_say(now, reader_error::CARD_ABSENT, Vec::new(), &work);
        }
        let as_apdu = if is_user { kind::USER_APDU } else { kind::FISCAL_APDU };
        let power_type = if self.options.power_answers_as_apdu { as_apdu } else { kind };
        let card = if is_user { &mut self.user } else { &mut self.fiscal };
        let (kind, data) = match kind {
            kind::FISCAL_ON | kind::USER_ON => {
                card.start();
                (power_type, Vec::new())
            }
            kind::FISCAL_RESET | kind::USER_RESET => {
                card.start();
                (power_type, [ATR.as_slice(), &Sw::GOOD.0.to_be_bytes()].concat())
            }
            kind::FISCAL_OFF | kind::USER_OFF => {
                *card = Card::default();
                (power_type, Vec::new())
            }
            kind::FISCAL_APDU | kind::USER_APDU if !card.powered => (reader_error::NOT_POWERED, Vec::new()),
            kind::FISCAL_APDU | kind::USER_APDU => {
                let (data, sw) = self.command(is_user, &payload, &work, disk);
                (kind, [data.as_slice(), &sw.0.to_be_bytes()].concat())
            }
            _ => (reader_error::UNKNOWN_TYPE, Vec::new()),
        };
        if work.cuts_power() {
            return self.power_cut(now + work.power_off());
        }
        self.keep_and_say(now + work.delays().1, kind, data, &work);
    }

    fn command(&mut self, is_user: bool, payload: &[u8], work: &Work, disk: &mut SimDisk) -> (Vec<u8>, Sw) {
        let Some(apdu) = Apdu::parse(payload) else { return (Vec::new(), Sw(0x6700)) };
        let pin_required = self.options.pin_required;
        let (fiscal, user, rolls) = (&mut self.fiscal, &mut self.user, &mut self.options.rolls);
        let mut status = Sw::GOOD;
        let execute = |disk: &mut SimDisk, saving: Saving| {
            let answer = if is_user {
                apdu::user(&apdu, user, rolls, disk)
            } else {
                apdu::fiscal(&apdu, fiscal, pin_required, disk, saving)
            };
            answer.map_err(|sw| status = sw)
        };
        let next = if is_user { None } else { apdu::order_of(&apdu, disk).ok() };
        match work.run_other(next, disk, execute) {
            Ok(Some(Outcome::Good(data))) => {
                let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
                let told = self.options.tells_length && (1..=255).contains(&length);
                let sw = if told { Sw(0x6100 | length) } else { Sw::GOOD };
                (data, sw)
            }
            Ok(_) => (Vec::new(), status),
            Err(refusal) => (Vec::new(), Sw::of(&refusal, disk)),
        }
    }

    /// The last answer once more, without executing anything.
    fn repeat(&mut self, now: Duration) {
        let mark = if self.options.repeats_with_05 { 0x05 } else { frame::REPEAT_MARK };
        let bytes = match &self.last {
            // A reader error has no data and says itself again.
            Some((kind, data)) if data.is_empty() && *kind >= 0xF4 => frame::answer(mark, *kind, data),
            Some((_, data)) => frame::answer(mark, kind::REPEAT, data),
            None => frame::first_answer(reader_error::NOTHING_TO_REPEAT, &[]),
        };
        self.say(now, bytes, None);
    }

    /// An answer that FA can repeat, with what the faults do to its bytes.
    fn keep_and_say(&mut self, at: Duration, kind: u8, data: Vec<u8>, work: &Work) {
        let mut bytes = frame::first_answer(kind, &data);
        self.last = Some((kind, data));
        if work.damages_crc()
            && let Some(sum) = bytes.last_mut()
        {
            *sum ^= 0x55;
        }
        if let Some(count) = work.cut_after() {
            bytes.truncate(count);
        }
        if work.loses_answer() || !self.line_up {
            return self.record(at, WireDirection::ToHost, bytes, Some("lost"));
        }
        match work.split() {
            Some(split) => {
                self.record(at, WireDirection::ToHost, bytes.clone(), Some("split"));
                let pieces = (0..).zip(bytes).map(|(place, byte)| (at + split.saturating_mul(place), vec![byte]));
                self.output.extend(pieces);
            }
            None => self.say(at, bytes, None),
        }
    }

    fn say(&mut self, at: Duration, bytes: Vec<u8>, note: Option<&'static str>) {
        self.record(at, WireDirection::ToHost, bytes.clone(), note);
        self.output.push_back((at, bytes));
    }

    fn record(&mut self, at: Duration, direction: WireDirection, bytes: Vec<u8>, note: Option<&'static str>) {
        // Fetched after every turn by the rig; a machine that nobody records keeps only the last few.
        if self.wire.len() >= 256 {
            self.wire.clear();
        }
        self.wire.push(WireFrame { at, direction, cmd: None, bytes, note });
    }
}

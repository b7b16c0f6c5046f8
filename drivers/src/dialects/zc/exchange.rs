//! One command and its answer over a ZC line: packets both ways, acknowledgements, busy answers, time limits
//! (device-serial-zc.md, sections 2.2 to 4).
//!
//! It never sends a command twice. It says how far a broken exchange came ([`Progress`]): nothing runs on the device before
//! the last packet is there. As answers carry no identifier, a line that still owes one is unusable until
//! [`Wire::resync`] brought it to silence and got a good handshake.

use std::time::Duration;

use super::errors::link_text;
use super::frame::{Answer, AnswerReader, FrameFault, FrameType, TooLong, Word, acknowledgement, command_frames};
use crate::transport::{ByteLine, LineError};

/// 01: does nothing, answers an empty OK.
pub const HANDSHAKE: u8 = 0x01;

/// Commands that the device answers after it has talked to the tax office (section 4). 32 is not named there; it does the same.
const NETWORK: [u8; 4] = [0x11, 0x12, 0x15, 0x32];

/// The device holds 1 MiB of business data; no answer is longer.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// After this many busy answers the device is broken, however quickly they come.
const MAX_BUSY_ANSWERS: u32 = 4096;

/// A late answer to an older command ends a round of [`Wire::resync`]; so many of them can be owed at the very most.
const RESYNC_ROUNDS: u32 = 3;

/// Time limits of an exchange (section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// To the first two bytes of an answer; a busy answer starts it again.
    pub first_byte: Duration,
    /// The same for commands that go over the network (11, 12, 15, 32).
    pub network_first_byte: Duration,
    /// Between bytes inside a frame.
    pub gap: Duration,
    /// For the whole answer, however many packets it has and however often the device says that it is busy.
    pub answer: Duration,
    /// To write one frame: 255 bytes take 8.5 s at 300 baud.
    pub write: Duration,
    /// So long must the line be silent before it is trusted again.
    pub silence: Duration,
    /// The line must fall silent within this time.
    pub silence_limit: Duration,
}

impl Default for Timings {
    fn default() -> Timings {
        Timings {
            first_byte: Duration::from_secs(30),
            network_first_byte: Duration::from_secs(180),
            gap: Duration::from_secs(3),
            answer: Duration::from_secs(180),
            write: Duration::from_secs(12),
            silence: Duration::from_millis(3500),
            silence_limit: Duration::from_secs(60),
        }
    }
}

impl Timings {
    /// For the whole answer to a command.
    fn limit(&self, command: u8) -> Duration {
        match command {
            // It does nothing.
            HANDSHAKE => self.first_byte,
            command if NETWORK.contains(&command) => self.answer + self.network_first_byte,
            _ => self.answer,
        }
    }

    /// The longest that one command can be waited for, and so run in the device.
    pub fn longest_command(&self) -> Duration {
        self.write * 2 + self.answer + self.network_first_byte
    }

    /// The longest that a call can take which sends a command of so many packets.
    pub(super) fn longest_call(&self, packets: u32) -> Duration {
        let handshake = self.write + self.first_byte;
        let resync = (self.silence_limit + self.silence + handshake) * RESYNC_ROUNDS;
        // 02 after reopening, the stock before a blank void, 01, and the command with all its packets.
        resync + (self.write * 2 + self.answer) * 2 + handshake * (packets + 1) + self.answer + self.longest_command()
    }
}

/// How far a broken exchange came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not a byte of the last packet was written: the device cannot have run the command.
    BeforeLastPacket,
    /// At least one byte of the last packet was written: it may have run.
    LastPacketBegun,
}

/// Why an exchange brought no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The line failed.
    #[error("{0}")]
    Line(LineError),
    /// The command does not fit into the protocol.
    #[error("{0}")]
    TooLong(TooLong),
    /// No answer came.
    #[error("the device did not answer within {} s: check that it is switched on, and the cable", .waited.as_secs())]
    Silence {
        /// How long was waited.
        waited: Duration,
    },
    /// An answer broke off.
    #[error("the device's answer broke off after {bytes} bytes: check the cable")]
    Cut {
        /// Bytes of the broken frame.
        bytes: usize,
    },
    /// It said that it is busy until the limit.
    #[error("the device says that it is busy for {} s on end: look at its display, restart it if it hangs", .waited.as_secs())]
    Busy {
        /// How long was waited.
        waited: Duration,
    },
    /// What came is no frame.
    #[error("{0}")]
    Frame(FrameFault),
    /// A frame came that has no place here.
    #[error("the device answered out of order ({0}): another program may use the port, or the device was restarted")]
    OutOfOrder(String),
    /// Bytes were waiting before a command that must not meet any.
    #[error("{0} unexpected bytes were waiting on the line: another program may use the port; nothing was sent")]
    Stray(usize),
    /// The line owes an answer to an older command.
    #[error("an older command is still unanswered; nothing was sent")]
    Unanswered,
    /// A link error from the device.
    #[error("{} (ER {code:02X})", link_text(*.code))]
    LinkCode {
        /// The device's code (section 3).
        code: u8,
        /// It answers this very packet: nothing else was waiting or owed.
        definite: bool,
    },
    /// A business error, text in GBK.
    #[error("the device refused")]
    Refused {
        /// The text as it came.
        text: Vec<u8>,
        /// It answers this very command: nothing else was waiting or owed.
        definite: bool,
    },
}

/// An exchange that brought no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Whether the device can have run the command.
    pub progress: Progress,
    /// What happened.
    pub fault: Fault,
}

/// What may be on the line before a command goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// A reading command: what waits is dropped, but then its refusal is not definite.
    Anything,
    /// A changing command: nothing may wait.
    Nothing,
}

/// A line that speaks frames, and whether it can be trusted.
pub struct Wire<L> {
    line: L,
    kind: FrameType,
    timings: Timings,
    unanswered: bool,
    /// Nothing was waiting on the line when the last command went out.
    clean: bool,
    /// The last command goes over the network.
    network: bool,
    /// For its whole answer.
    limit: Duration,
    received_bytes: u64,
}

/// An answer, and whether the conversation was brought to its end.
type Outcome<T> = Result<T, (Broken, LineState)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineState {
    /// Nobody waits for anything.
    Quiet,
    /// An answer or the rest of one may still come.
    InDoubt,
}

impl<L: ByteLine> Wire<L> {
    /// A line whose past is unknown: whoever had it before may have been ended in the middle of a command, so it begins in
    /// doubt.
    pub fn new(line: L, kind: FrameType, timings: Timings) -> Wire<L> {
        Wire { line, kind, timings, unanswered: true, clean: false, network: false, limit: timings.answer, received_bytes: 0 }
    }

    /// The line under it.
    pub fn line(&self) -> &L {
        &self.line
    }

    /// An older command may still be answered, or run: [`Self::resync`] first.
    pub fn is_in_doubt(&self) -> bool {
        self.unanswered
    }

    /// Whoever used the answer found that it belongs to something else.
    pub fn distrust(&mut self) {
        self.unanswered = true;
    }

    /// Nothing was waiting on the line when the last command went out, so its answer is surely its own.
    pub fn was_clean(&self) -> bool {
        self.clean
    }

    /// Opens the line again at another speed. What was sent at the old one is behind it.
    ///
    /// # Errors
    /// The line has no speed, or cannot be opened.
    pub fn set_speed(&mut self, speed_baud: u32) -> Result<(), LineError> {
        self.unanswered = true;
        self.line.set_speed(speed_baud)
    }

    /// Bytes of answers read so far, for traces.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Opens the line again. What is behind it may be another device.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn reopen(&mut self) -> Result<(), LineError> {
        // The device may be in the middle of an answer to whoever spoke last.
        self.unanswered = true;
        self.line.reopen()
    }

    /// Sends one command, once, and reads its answer.
    ///
    /// # Errors
    /// What happened, and whether the device can have run the command.
    pub fn exchange(&mut self, command: u8, data: &[u8], before: Before) -> Result<Vec<u8>, Broken> {
        let not_begun = |fault| Broken { progress: Progress::BeforeLastPacket, fault };
        if self.unanswered {
            return Err(not_begun(Fault::Unanswered));
        }
        let mut frames = command_frames(self.kind, command, data).map_err(|error| not_begun(Fault::TooLong(error)))?;
        let stray = self.line.drop_input().map_err(|error| {
            self.unanswered = true;
            not_begun(Fault::Line(error))
        })?;
        // From here on an answer may be owed, until it came in full.
        self.unanswered = true;
        self.clean = stray == 0;
        self.network = NETWORK.contains(&command);
        self.limit = self.timings.limit(command);
        if stray > 0 && before == Before::Nothing {
            return Err(not_begun(Fault::Stray(stray)));
        }
        let outcome = self.converse(&frames, stray == 0);
        for frame in &mut frames {
            // They hold passwords; best effort.
            frame.fill(0);
            std::hint::black_box(frame);
        }
        match outcome {
            Ok((data, state)) => {
                self.unanswered = state == LineState::InDoubt;
                Ok(data)
            }
            Err((broken, state)) => {
                self.unanswered = state == LineState::InDoubt;
                Err(broken)
            }
        }
    }

    /// 01: an empty OK is the only good answer.
    ///
    /// # Errors
    /// Anything else; the line is in doubt then.
    pub fn handshake(&mut self) -> Result<(), Broken> {
        let data = self.exchange(HANDSHAKE, &[], Before::Anything)?;
        if data.is_empty() {
            return Ok(());
        }
        self.unanswered = true;
        let fault = Fault::OutOfOrder(format!("{} bytes of data in answer to a handshake", data.len()));
        Err(Broken { progress: Progress::LastPacketBegun, fault })
    }

    /// Brings a line in doubt to a known state: silence, nothing waiting, a good handshake. As the device handles one command
    /// after the other, nothing that was sent before can still run after this.
    ///
    /// # Errors
    /// The line stays in doubt.
    pub fn resync(&mut self) -> Result<(), Broken> {
        self.unanswered = true;
        let mut round = 0;
        loop {
            round += 1;
            self.line.drop_output();
            let silent = self.line.wait_silent(self.timings.silence, self.timings.silence_limit);
            silent.map_err(|error| Broken { progress: Progress::BeforeLastPacket, fault: Fault::Line(error) })?;
            self.unanswered = false;
            match self.handshake() {
                Ok(()) => return Ok(()),
                Err(broken) => {
                    self.unanswered = true;
                    // Something answered, but not the handshake: a late answer to an older command. It had to come first.
                    let late = matches!(
                        broken.fault,
                        Fault::OutOfOrder(_)
                            | Fault::Refused { .. }
                            | Fault::LinkCode { .. }
                            | Fault::Frame(_)
                            | Fault::Cut { .. }
                    );
                    if !late || round >= RESYNC_ROUNDS {
                        return Err(broken);
                    }
                }
            }
        }
    }

    fn converse(&mut self, frames: &[Vec<u8>], clean: bool) -> Outcome<(Vec<u8>, LineState)> {
        let mut sent = 0_u8;
        let (last, leading) = frames.split_last().expect("every command has at least one packet");
        // It may be busy between packets, all in all for so long; at a slow speed the packets alone may take longer.
        let patience = self.line.now() + self.timings.answer;
        for frame in leading {
            sent += 1;
            let broken = |fault, state| (Broken { progress: Progress::BeforeLastPacket, fault }, state);
            self.send(frame).map_err(|(_, error)| broken(Fault::Line(error), LineState::InDoubt))?;
            let give_up = patience.max(self.line.now() + self.timings.first_byte);
            let answer = self.answer(give_up).map_err(|fault| broken(fault, LineState::InDoubt))?;
            match answer.word {
                Word::Np if answer.number == 0 && answer.data == [sent] => {}
                Word::Er => return Err(refused(Progress::BeforeLastPacket, answer, clean)),
                word => {
                    let what = format!("{word:?} {:02X?} after packet {sent}", answer.data.get(..4).unwrap_or(&answer.data));
                    return Err(broken(Fault::OutOfOrder(what), LineState::InDoubt));
                }
            }
        }
        self.send(last).map_err(|(written, error)| {
            let progress = if written == 0 { Progress::BeforeLastPacket } else { Progress::LastPacketBegun };
            (Broken { progress, fault: Fault::Line(error) }, LineState::InDoubt)
        })?;
        self.collect(clean)
    }

    /// Reads the answer to the last packet, in one packet or in many.
    fn collect(&mut self, clean: bool) -> Outcome<(Vec<u8>, LineState)> {
        let in_doubt = |fault| (Broken { progress: Progress::LastPacketBegun, fault }, LineState::InDoubt);
        let mut data = Vec::new();
        let mut expected = 1_u8;
        // One limit for all packets: a device that drips 255 of them would keep the thread for hours.
        let give_up = self.line.now() + self.limit;
        loop {
            let answer = self.answer(give_up).map_err(in_doubt)?;
            let out_of_order = |what: String| Err(in_doubt(Fault::OutOfOrder(what)));
            match (answer.word, answer.number) {
                (Word::Er, _) if expected == 1 => return Err(refused(Progress::LastPacketBegun, answer, clean)),
                (Word::Ok, 0) => {
                    data.extend_from_slice(&answer.data);
                    if expected == 1 {
                        return Ok((data, LineState::Quiet));
                    }
                    // The answer is whole, whatever becomes of this. If it is lost, the device waits 3 s for it.
                    let closed = self.send(&acknowledgement(self.kind, Word::Ok, &[]));
                    return Ok((data, if closed.is_ok() { LineState::Quiet } else { LineState::InDoubt }));
                }
                (Word::Ok, number) if number == expected => {
                    data.extend_from_slice(&answer.data);
                    if data.len() > MAX_ANSWER_BYTES {
                        return out_of_order(format!("an answer of more than {MAX_ANSWER_BYTES} bytes"));
                    }
                    let next = acknowledgement(self.kind, Word::Np, &[number]);
                    self.send(&next).map_err(|(_, error)| in_doubt(Fault::Line(error)))?;
                    match expected.checked_add(1) {
                        Some(next) => expected = next,
                        None => return out_of_order("more than 255 packets".to_owned()),
                    }
                }
                (word, number) => return out_of_order(format!("{word:?} with number {number}, {expected} was next")),
            }
        }
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), (usize, LineError)> {
        let deadline = self.line.now() + self.timings.write + WRITE_TIME_PER_BYTE * frame.len() as u32;
        self.line.write(frame, deadline).map_err(|broken| (broken.written, broken.error))
    }

    /// The next frame that is not a busy answer.
    fn answer(&mut self, give_up: Duration) -> Result<Answer, Fault> {
        let began = self.line.now();
        for busy in 0..MAX_BUSY_ANSWERS {
            match self.frame(give_up) {
                Ok(answer) if answer.word == Word::Wt => {}
                // It was alive all the time: the limit for the whole answer ended the wait, not its silence.
                Err(Fault::Silence { .. }) if busy > 0 && self.line.now() >= give_up => break,
                outcome => return outcome,
            }
        }
        Err(Fault::Busy { waited: self.line.now() - began })
    }

    fn frame(&mut self, give_up: Duration) -> Result<Answer, Fault> {
        let mut reader = AnswerReader::new(self.kind);
        let mut buffer = [0; 512];
        let began = self.line.now();
        let mut deadline = began + if self.network { self.timings.network_first_byte } else { self.timings.first_byte };
        loop {
            let want = reader.wants().min(buffer.len());
            let count = self.line.read(&mut buffer[..want], deadline.min(give_up)).map_err(Fault::Line)?;
            self.received_bytes += count as u64;
            if count == 0 {
                return Err(match reader.taken() {
                    0 => Fault::Silence { waited: self.line.now() - began },
                    bytes => Fault::Cut { bytes },
                });
            }
            if let Some(answer) = reader.take(&buffer[..count]).map_err(Fault::Frame)? {
                return Ok(answer);
            }
            if reader.taken() >= 2 {
                deadline = self.line.now() + self.timings.gap;
            }
        }
    }
}

/// A long XML frame at 9600 baud takes about a minute: 1.04 ms a byte, doubled.
const WRITE_TIME_PER_BYTE: Duration = Duration::from_millis(2);

/// An `ER` frame. The device drops all that it has collected, so the line is quiet, if the answer is to this packet at all.
fn refused(progress: Progress, answer: Answer, definite: bool) -> (Broken, LineState) {
    let state = if definite { LineState::Quiet } else { LineState::InDoubt };
    let fault = match answer.data.as_slice() {
        [] => return (Broken { progress, fault: Fault::OutOfOrder("ER without a code".to_owned()) }, LineState::InDoubt),
        [code] => Fault::LinkCode { code: *code, definite },
        _ => Fault::Refused { text: answer.data, definite },
    };
    (Broken { progress, fault }, state)
}

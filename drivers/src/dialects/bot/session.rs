//! One command under a token: SEND once, FETCH until the disk has its answer (C.4.2 to C.4.5).
//!
//! A command is sent at most once, whatever happens. Its token makes that enough: the disk keeps it with the answer, and
//! FETCH, which never executes anything, may be repeated until the outcome is known. The profile would also let a host send
//! again under the same token; this driver does not, because a further try is a decision of the caller's.
//!
//! What is owed: a token whose end was not heard. Nothing else is sent before the disk says that it is no longer at it.

use std::time::Duration;

use taxdisk_protocol::class::DeviceClass;

use super::cdb::{
    HEADER_BYTES, Header, INQUIRY, INQUIRY_BYTES, MAX_FETCH_BYTES, MAX_PAYLOAD_BYTES, PayloadType, REQUEST_SENSE, SENSE_BYTES,
    Sense, State, check_inquiry, fetch, parse_header, send,
};
use super::config::Timings;
use crate::dialects::zc::crc::checksum;
use crate::dialects::zc::errors::classify;
use crate::disk::DiskError;
use crate::transport::usb::bot::{self, Bot, Progress, Reply, Status};
use crate::transport::usb::{BulkDevice, UsbError};

/// Allocation of the first FETCH: most answers fit.
const FIRST_FETCH_BYTES: usize = 512;

/// So often in a row may a FETCH fail before the answer is given up: a bus that is that bad does not get better.
const MAX_FETCH_FAILURES: u32 = 5;

/// Parts of one answer: 1 MiB takes 17 of the largest; a device that crumbles its answers would keep the thread for hours.
const MAX_PARTS: u32 = 64;

/// The disk remembers two tokens. One that claims to know more new ones than that is broken.
const MAX_PROBES: u32 = 4;

/// Why a command has no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The device cannot be used.
    #[error("{0}")]
    Usb(UsbError),
    /// The transport broke off.
    #[error("{0}")]
    Transport(bot::Fault),
    /// The payload is longer than the profile has room for.
    #[error("a command of {0} bytes does not fit into this profile; nothing was sent")]
    TooLong(usize),
    /// It is no disk of this profile.
    #[error("the USB device is no disk of the profile taxdisk-bot: {0}")]
    WrongDevice(String),
    /// It refused the command before it took it.
    #[error("{}", .0.map_or_else(|| "the disk refuses the command and does not say why".to_owned(), |sense| sense.to_string()))]
    Refused(Option<Sense>),
    /// It says that it took all of a command of which it cannot have had all.
    #[error("the disk's status contradicts what was sent ({0}): it is broken, or another model")]
    Contradiction(String),
    /// 03.
    #[error("the disk took the command, lost its power and holds no answer: read what became of it")]
    Lost,
    /// 00 after it had taken it.
    #[error("the disk does not know the command that it took: another program or another disk, or it forgets at a power cut")]
    Forgotten,
    /// Still busy at the end of the time.
    #[error("the disk is still at it after {} s", .0.as_secs())]
    StillBusy(Duration),
    /// An answer that cannot be believed.
    #[error("the disk's answer cannot be used: {0}")]
    Damaged(String),
    /// 'E' with a code and no text.
    #[error("the disk reports error {0:02X} of the command's form")]
    LinkCode(u8),
    /// 'E' with a text, in GBK.
    #[error("the disk refused")]
    Business(Vec<u8>),
}

/// A command without a good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// Whether the disk can have had the command.
    pub(super) progress: Progress,
    /// What happened.
    pub(super) fault: Fault,
}

/// A command to be sent.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) payload_type: PayloadType,
    pub(super) command: u8,
    pub(super) payload: &'a [u8],
    /// The longest that its answer may take.
    pub(super) limit: Duration,
}

/// What a FETCH brought.
enum Fetched {
    Unknown,
    Busy,
    Lost,
    Done(Result<Vec<u8>, Fault>),
}

/// A disk under tokens. Its past is unknown at the beginning: it may still be at a command of the program before.
pub(super) struct Session<D> {
    bot: Bot<D>,
    timings: Timings,
    /// The last token that was used or seen.
    last_token: u32,
    /// It answered to its name, and its tokens were read, since it was opened.
    greeted: bool,
    /// How often it was greeted: a value that was checked under another count may be about another disk.
    greetings: u64,
    /// Tokens of commands whose end was not heard; 0 stands for the last changing one, whoever sent it.
    owed: Option<u32>,
}

impl<D: BulkDevice> Session<D> {
    /// Nothing is sent yet. Tokens up to the floor count as used.
    pub(super) fn new(device: D, timings: Timings, token_floor: u32) -> Session<D> {
        Session { bot: Bot::new(device), timings, last_token: token_floor, greeted: false, greetings: 0, owed: Some(0) }
    }

    /// A disk that was greeted before, with its next token and tag, for vectors.
    #[cfg(test)]
    pub(super) fn for_vectors(device: D, token: u32, tag: u32) -> Session<D> {
        let mut session = Session::new(device, Timings::default(), token - 1);
        (session.greeted, session.owed) = (true, None);
        session.bot.count_tags_from(tag);
        session
    }

    /// The device under it.
    pub(super) fn device(&self) -> &D {
        self.bot.device()
    }

    /// The last token that was used or seen.
    pub(super) fn last_token(&self) -> u32 {
        self.last_token
    }

    /// How often the disk was greeted. Another count: it was opened anew between, and may be another disk.
    pub(super) fn greetings(&self) -> u64 {
        self.greetings
    }

    /// Forgets what is trusted: the next command begins with the transport's recovery and the question what the disk is at.
    pub(super) fn distrust(&mut self) {
        self.owed.get_or_insert(0);
    }

    /// Opens, recovers, greets, and waits until the disk is idle, as far as each is needed. Sends no command of its own.
    ///
    /// # Errors
    /// The disk is not usable now.
    pub(super) fn ready(&mut self) -> Result<(), Fault> {
        if !self.bot.device().is_open() {
            self.greeted = false;
            self.bot.reopen().map_err(Fault::Usb)?;
        } else if !self.bot.is_ready()
            && let Err(error) = self.bot.recover()
        {
            self.greeted = false;
            if error.is_absence() {
                return Err(Fault::Usb(error));
            }
            self.bot.reopen().map_err(Fault::Usb)?;
        }
        if !self.greeted {
            self.greet()?;
        }
        self.wait_idle()
    }

    /// Is it a disk of this profile, and which tokens does it know?
    fn greet(&mut self) -> Result<(), Fault> {
        self.bot.max_lun().map_err(Fault::Usb)?;
        let about = self.bot.command_in(&INQUIRY, INQUIRY_BYTES).map_err(|broken| Fault::Transport(broken.fault))?;
        check_inquiry(&about.data).map_err(Fault::WrongDevice)?;
        let (changing, _) = self.fetch_part(0, 0, HEADER_BYTES)?;
        self.last_token = self.last_token.max(changing.token);
        // The last reading token shows only when asked for: a host that starts again at it would be given the old answer.
        for _ in 0..MAX_PROBES {
            let next = following(self.last_token);
            let (header, _) = self.fetch_part(next, 0, HEADER_BYTES)?;
            if header.state == State::Unknown {
                self.greeted = true;
                self.greetings += 1;
                // Whoever was here before may have been ended in the middle of a command.
                self.owed.get_or_insert(0);
                return Ok(());
            }
            self.last_token = next;
        }
        Err(Fault::Damaged("it claims to know tokens that nobody used".to_owned()))
    }

    /// Until the disk is no longer at what is owed, nor at the last changing command of anybody.
    fn wait_idle(&mut self) -> Result<(), Fault> {
        let Some(owed) = self.owed else { return Ok(()) };
        let began = self.bot.device().now();
        let mut tokens = vec![0];
        if owed != 0 {
            tokens.push(owed);
        }
        for token in tokens {
            while self.fetch_part(token, 0, HEADER_BYTES)?.0.state == State::Busy {
                self.wait(self.timings.poll, began, self.timings.network)?;
            }
        }
        self.owed = None;
        Ok(())
    }

    fn wait(&mut self, step: Duration, began: Duration, limit: Duration) -> Result<(), Fault> {
        if self.bot.device().now() - began >= limit {
            return Err(Fault::StillBusy(limit));
        }
        self.bot.device_mut().pause(step);
        Ok(())
    }

    /// Sends one command, once, and brings its answer. The only place that sends one.
    ///
    /// # Errors
    /// What happened, and whether the disk can have had the command.
    pub(super) fn run(&mut self, order: Order<'_>) -> Result<Vec<u8>, Broken> {
        let not_sent = |fault| Broken { progress: Progress::BeforeLastByte, fault };
        if order.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(not_sent(Fault::TooLong(order.payload.len())));
        }
        self.ready().map_err(not_sent)?;
        let token = following(self.last_token);
        // Used up even if the disk never hears of it.
        self.last_token = token;
        let cdb = send(order.payload_type, order.command, token, order.payload);
        // If we stop here, the next start finds the token by asking the disk, and reads what became of the command.
        let outcome = self.bot.command_out(&cdb, order.payload);
        let (accepted, fault) = match outcome {
            Ok(Reply { status: Status::Passed, residue: 0, progress: Progress::LastByteBegun, .. }) => (true, None),
            Ok(Reply { status: Status::Passed, residue, .. }) => {
                (false, Some(Fault::Contradiction(format!("passed, with {residue} bytes left over"))))
            }
            Ok(Reply { status: Status::Failed, progress, .. }) => {
                let fault = Fault::Refused(self.sense());
                self.owed = (progress == Progress::LastByteBegun).then_some(token);
                return Err(Broken { progress, fault });
            }
            Err(bot::Broken { progress: Progress::BeforeLastByte, fault }) => return Err(not_sent(Fault::Transport(fault))),
            Err(bot::Broken { fault, .. }) => (false, Some(Fault::Transport(fault))),
        };
        self.owed = Some(token);
        let in_doubt = |fault| Broken { progress: Progress::LastByteBegun, fault };
        if !self.bot.is_ready() {
            // Unplugged, or past recovery: the next call begins by opening it and asking for this token.
            return Err(in_doubt(fault.unwrap_or(Fault::Forgotten)));
        }
        match self.answer(token, order.limit) {
            Ok(result) => {
                self.owed = None;
                result.map_err(in_doubt)
            }
            // It does not know what it never said that it took: the first fault is the story.
            Err(Fault::Forgotten) if !accepted => Err(in_doubt(fault.unwrap_or(Fault::Forgotten))),
            Err(later) => Err(in_doubt(later)),
        }
    }

    /// Asks until the command is through. The inner result is the disk's own word.
    fn answer(&mut self, token: u32, limit: Duration) -> Result<Result<Vec<u8>, Fault>, Fault> {
        let began = self.bot.device().now();
        let mut step = self.timings.first_poll;
        let mut failures = 0;
        loop {
            self.wait(step, began, limit)?;
            step = self.timings.poll;
            match self.fetch_answer(token) {
                Ok(Fetched::Busy) => failures = 0,
                Ok(Fetched::Done(result)) => return Ok(result),
                Ok(Fetched::Lost) => return Err(Fault::Lost),
                Ok(Fetched::Unknown) => return Err(Fault::Forgotten),
                Err(fault) => {
                    failures += 1;
                    if failures >= MAX_FETCH_FAILURES || !self.bot.is_ready() {
                        return Err(fault);
                    }
                }
            }
        }
    }

    /// The whole answer to a token, in as many parts as it takes.
    fn fetch_answer(&mut self, token: u32) -> Result<Fetched, Fault> {
        let (header, mut answer) = self.fetch_part(token, 0, FIRST_FETCH_BYTES)?;
        let (good, code) = match header.state {
            State::Unknown => return Ok(Fetched::Unknown),
            State::Busy => return Ok(Fetched::Busy),
            State::Lost => return Ok(Fetched::Lost),
            State::Done { good, code } => (good, code),
        };
        let total = header.total as usize;
        let mut parts = 1;
        while answer.len() < total {
            parts += 1;
            if parts > MAX_PARTS {
                return Err(Fault::Damaged(format!("it comes in more than {MAX_PARTS} parts")));
            }
            let allocation = (total - answer.len() + HEADER_BYTES).min(MAX_FETCH_BYTES);
            let (again, part) = self.fetch_part(token, answer.len() as u32, allocation)?;
            if again != header || part.is_empty() {
                return Err(Fault::Damaged("its parts do not belong together".to_owned()));
            }
            answer.extend_from_slice(&part);
        }
        if answer.len() != total {
            return Err(Fault::Damaged(format!("{} bytes, {total} were announced", answer.len())));
        }
        if checksum(&answer) != header.crc {
            return Err(Fault::Damaged("its checksum is wrong".to_owned()));
        }
        Ok(Fetched::Done(match (good, answer.is_empty()) {
            (true, _) => Ok(answer),
            (false, true) => Err(Fault::LinkCode(code)),
            (false, false) => Err(Fault::Business(answer)),
        }))
    }

    /// One FETCH: the header, and a part of the answer.
    fn fetch_part(&mut self, token: u32, offset: u32, allocation: usize) -> Result<(Header, Vec<u8>), Fault> {
        let cdb = fetch(token, offset, allocation as u32);
        let reply = self.bot.command_in(&cdb, allocation).map_err(|broken| Fault::Transport(broken.fault))?;
        if reply.status == Status::Failed {
            return Err(Fault::Refused(self.sense()));
        }
        let mut data = reply.data;
        if reply.residue as usize != allocation - data.len() {
            return Err(Fault::Damaged(format!("{} of {allocation} bytes with residue {}", data.len(), reply.residue)));
        }
        let header = parse_header(&data).map_err(Fault::Damaged)?;
        // What it does not know it may name as it likes; everything else must be about what was asked for.
        if token != 0 && header.state != State::Unknown && header.token != token {
            return Err(Fault::Damaged(format!("it is about the token {:08X}, {token:08X} was asked for", header.token)));
        }
        data.drain(..HEADER_BYTES);
        Ok((header, data))
    }

    /// Why the last command was refused.
    fn sense(&mut self) -> Option<Sense> {
        let reply = self.bot.command_in(&REQUEST_SENSE, SENSE_BYTES).ok()?;
        Sense::parse(&reply.data)
    }
}

/// Tokens count up; 0 is none.
fn following(token: u32) -> u32 {
    token.checked_add(1).unwrap_or(1)
}

impl From<Fault> for DiskError {
    fn from(fault: Fault) -> DiskError {
        let text = fault.to_string();
        let class = match fault {
            Fault::Business(text) => return classify(&text).into(),
            Fault::Usb(error) | Fault::Transport(bot::Fault::Usb(error)) => usb_class(&error),
            Fault::WrongDevice(_) => DeviceClass::NotPresent,
            Fault::Refused(sense) => sense.map_or(DeviceClass::DeviceFault, Sense::class),
            Fault::TooLong(_) => DeviceClass::InvalidRequest,
            Fault::StillBusy(_) => DeviceClass::InProgress,
            Fault::LinkCode(0x20) => DeviceClass::Unsupported,
            Fault::LinkCode(0x22) => DeviceClass::InvalidRequest,
            Fault::Lost | Fault::Forgotten | Fault::Contradiction(_) => DeviceClass::DeviceFault,
            Fault::Transport(_) | Fault::Damaged(_) | Fault::LinkCode(_) => DeviceClass::Link,
        };
        DiskError { class, code: None, text, tries_left: None }
    }
}

fn usb_class(error: &UsbError) -> DeviceClass {
    match error {
        UsbError::Several { .. } | UsbError::WrongDevice { .. } => DeviceClass::NotPresent,
        error if error.is_absence() => DeviceClass::NotPresent,
        _ => DeviceClass::Link,
    }
}

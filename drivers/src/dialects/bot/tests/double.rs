//! A double of a taxdisk-bot device: the token rules of C.4.2, and one fault at a time at any stage of a command.
//!
//! It knows the answers that a test gives it and keeps no invoices.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::super::{BotConfig, BotDisk};
use crate::dialects::nisec::document::samples;
use crate::dialects::zc::crc::checksum;
use crate::disk::TaxDisk;
use crate::secret::Secret;
use crate::transport::usb::{BulkDevice, Pipe, Setup, UsbError};

/// Where in a SEND or in the FETCH after it something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Block,
    Head,
    Tail,
    Status,
    FetchBlock,
    FetchData,
    FetchStatus,
}

/// What happens there, once.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// The endpoint is halted, as bulk-only devices do it.
    Stall,
    /// The transfer fails although the device got it.
    FailsLate(UsbError),
    /// The transfer fails and the device got nothing of it.
    FailsEarly(UsbError),
    /// The device is unplugged before the transfer.
    Unplug,
    /// The device is unplugged after the transfer, which still fails.
    UnplugLate,
    /// The bytes that the host reads are others.
    Bytes(fn(&mut Vec<u8>)),
}

/// How the device speaks of its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twist {
    None,
    Lost,
    Unknown,
    WrongChecksum,
    WrongToken,
    AlwaysBusy,
    /// One byte a question.
    Crumbs,
}

struct Run {
    token: u32,
    fingerprint: (u8, u8, Vec<u8>),
    busy_questions: u32,
    answer: (bool, u8, Vec<u8>),
}

enum Stage {
    Idle,
    Collect { block: Vec<u8>, got: Vec<u8> },
    Data { bytes: Vec<u8>, status: Vec<u8>, fetch: bool },
    Status { bytes: Vec<u8>, fetch: bool, of_send: bool },
}

pub(super) struct State {
    pub(super) now: Duration,
    pub(super) plugged: bool,
    open: bool,
    stage: Stage,
    changing: Option<Run>,
    reading: Option<Run>,
    /// Command numbers of all SEND blocks that the host tried to write.
    pub(super) tried: Vec<u8>,
    /// What was executed, by name.
    pub(super) executed: Vec<String>,
    /// Questions for an answer, with their token.
    pub(super) fetched: Vec<u32>,
    /// Faults that wait, in order.
    pub(super) faults: Vec<(At, What)>,
    pub(super) twist: Twist,
    pub(super) busy_questions: u32,
    /// Good or bad, link code, payload; by name of the command.
    pub(super) answers: HashMap<String, (bool, u8, Vec<u8>)>,
    sense: (u8, u8, u8),
    pub(super) refuse_sends: Option<(u8, u8, u8)>,
    pub(super) inquiry: Vec<u8>,
    pub(super) resets: u32,
    pub(super) opened: u32,
}

/// The device in the hands of the driver.
pub(super) struct Double(pub(super) Arc<Mutex<State>>);

/// The device in the hands of the test.
#[derive(Clone)]
pub(super) struct Bench(Arc<Mutex<State>>);

impl Bench {
    /// The state. Never hold it over a call of the driver.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn device(&self) -> Double {
        Double(Arc::clone(&self.0))
    }

    pub(super) fn arm(&self, at: At, what: What) {
        self.state().faults.push((at, what));
    }

    pub(super) fn say(&self, name: &str, payload: Vec<u8>) {
        self.state().answers.insert(name.to_owned(), (true, 0, payload));
    }

    pub(super) fn refuse(&self, name: &str, code: u8, text: &str) {
        let payload = encoding_rs::GBK.encode(text).0.into_owned();
        self.state().answers.insert(name.to_owned(), (false, code, payload));
    }

    /// How often a SEND with this command number was tried.
    pub(super) fn tried(&self, command: u8) -> usize {
        self.state().tried.iter().filter(|tried| **tried == command).count()
    }

    pub(super) fn executed(&self, name: &str) -> usize {
        self.state().executed.iter().filter(|executed| *executed == name).count()
    }

    pub(super) fn replug(&self) {
        let mut state = self.state();
        (state.plugged, state.open, state.stage) = (true, false, Stage::Idle);
    }

    /// A device whose last commands were these, as another program left it.
    pub(super) fn remember(&self, changing: u32, reading: u32) {
        let run = |token| Run { token, fingerprint: (0, 0, vec![]), busy_questions: 0, answer: (true, 0, vec![]) };
        let mut state = self.state();
        (state.changing, state.reading) = (Some(run(changing)), Some(run(reading)));
    }

    pub(super) fn remember_busy(&self, changing: u32, questions: u32) {
        let run = Run { token: changing, fingerprint: (0, 0, vec![]), busy_questions: questions, answer: (true, 0, vec![]) };
        self.state().changing = Some(run);
    }
}

/// A device that answers as the samples of the facts do.
pub(super) fn bench() -> Bench {
    let document = |id: &str, fields: &str| (id.to_owned(), (true, 0, samples::answer(id, fields)));
    let voided = "<fplxdm>007</fplxdm><fpdm>1100000320</fpdm><fphm>00000088</fphm><zfrq>20260302103000</zfrq>\
                  <returncode>0</returncode><returnmsg>成功</returnmsg>";
    let mut totals = b"3".to_vec();
    totals.resize(8, 0);
    totals.extend(b"20260302101530678.00");
    totals.resize(51, 0);
    let answers = HashMap::from([
        ("02".to_owned(), (true, 0, b"661500000001".to_vec())),
        ("30".to_owned(), (true, 0, totals)),
        document("SKPXXCX", samples::IDENTITY),
        document("GPXXCX", &samples::stock("00000088")),
        document("FPKJ", samples::SIGNED),
        document("FPZF", voided),
        document("FPCX", &samples::query(1, &samples::found("00000088"))),
    ]);
    Bench(Arc::new(Mutex::new(State {
        now: Duration::ZERO,
        plugged: true,
        open: true,
        stage: Stage::Idle,
        changing: None,
        reading: None,
        tried: vec![],
        executed: vec![],
        fetched: vec![],
        faults: vec![],
        twist: Twist::None,
        busy_questions: 0,
        answers,
        sense: (0, 0, 0),
        refuse_sends: None,
        inquiry: b"\0\x80\x04\x02\x1F\0\0\0TAXDISK BOT PROFILE     0100".to_vec(),
        resets: 0,
        opened: 0,
    })))
}

pub(super) fn config() -> BotConfig {
    BotConfig {
        disk_password: Secret::new("88888888"),
        certificate_password: Secret::new("12345678"),
        machine_number: "JQ0000000001".to_owned(),
        ..BotConfig::default()
    }
}

pub(super) fn disk(bench: &Bench) -> BotDisk<Double> {
    BotDisk::new(bench.device(), config())
}

/// A disk that was asked who it is, so that the next call sends its own command only.
pub(super) fn known_disk(bench: &Bench) -> BotDisk<Double> {
    let mut disk = disk(bench);
    disk.identity().unwrap();
    bench.state().tried.clear();
    disk
}

pub(super) fn gone() -> UsbError {
    UsbError::Gone { device: "x".to_owned(), detail: "x".to_owned() }
}

impl State {
    fn fault(&mut self, at: At) -> Option<What> {
        (self.faults.first()?.0 == at).then(|| self.faults.remove(0).1)
    }

    fn unplug(&mut self) -> UsbError {
        (self.plugged, self.open) = (false, false);
        gone()
    }

    fn csw(block: &[u8], residue: u32, status: u8) -> Vec<u8> {
        [b"USBS".as_slice(), &block[4..8], &residue.to_le_bytes(), &[status]].concat()
    }

    fn begin(&mut self, block: &[u8]) {
        assert!(matches!(self.stage, Stage::Idle), "a command in the middle of another");
        assert_eq!(block.len(), 31, "a command block");
        let length = u32::from_le_bytes(block[8..12].try_into().unwrap());
        self.stage = match block[15] {
            0xD0 if length > 0 => Stage::Collect { block: block.to_vec(), got: vec![] },
            0xD0 => self.accept(block, &[]),
            0xD1 => self.fetch(block, length),
            0x12 => self.data(block, length, self.inquiry.clone(), false),
            0x03 => {
                let mut sense = vec![0; 18];
                (sense[0], sense[2], sense[12], sense[13]) = (0x70, self.sense.0, self.sense.1, self.sense.2);
                self.data(block, length, sense, false)
            }
            other => panic!("a command {other:02X}"),
        };
    }

    fn data(&self, block: &[u8], length: u32, mut bytes: Vec<u8>, fetch: bool) -> Stage {
        bytes.truncate(length as usize);
        let status = State::csw(block, length - bytes.len() as u32, 0);
        Stage::Data { bytes, status, fetch }
    }

    fn refused(&mut self, block: &[u8], sense: (u8, u8, u8)) -> Stage {
        self.sense = sense;
        Stage::Status { bytes: State::csw(block, 0, 1), fetch: false, of_send: true }
    }

    /// C.4.2.
    fn accept(&mut self, block: &[u8], payload: &[u8]) -> Stage {
        let cdb = &block[15..31];
        let (kind, command, token) = (cdb[2], cdb[3], u32::from_be_bytes(cdb[4..8].try_into().unwrap()));
        assert_eq!(u32::from_be_bytes(cdb[8..12].try_into().unwrap()) as usize, payload.len());
        if let Some(sense) = self.refuse_sends {
            return self.refused(block, sense);
        }
        if cdb[12..14] != checksum(payload).to_be_bytes() {
            return self.refused(block, (0x0B, 0x47, 3));
        }
        let passed = Stage::Status { bytes: State::csw(block, 0, 0), fetch: false, of_send: true };
        let fingerprint = (kind, command, payload.to_vec());
        let mut sense = None;
        for run in [&self.changing, &self.reading].into_iter().flatten() {
            match run.token == token {
                true if run.fingerprint == fingerprint => return passed,
                true => sense = Some((5, 0x26, 0)),
                false if run.busy_questions > 0 => sense = Some((2, 4, 7)),
                false => {}
            }
        }
        if let Some(sense) = sense {
            return self.refused(block, sense);
        }
        let name = name(command, payload);
        self.executed.push(name.clone());
        let answer = self.answers.get(&name).cloned().unwrap_or((true, 0, vec![]));
        let run = Run { token, fingerprint, busy_questions: self.busy_questions, answer };
        let changes = ["FPKJ", "FPZF", "09", "1C", "11", "12", "15", "16"].contains(&name.as_str());
        *(if changes { &mut self.changing } else { &mut self.reading }) = Some(run);
        passed
    }

    /// C.4.3.
    fn fetch(&mut self, block: &[u8], length: u32) -> Stage {
        let cdb = &block[15..31];
        let asked = u32::from_be_bytes(cdb[4..8].try_into().unwrap());
        let offset = u32::from_be_bytes(cdb[8..12].try_into().unwrap()) as usize;
        assert_eq!(u32::from_be_bytes(cdb[12..16].try_into().unwrap()), length);
        self.fetched.push(asked);
        let twist = if asked == 0 || self.faults.iter().any(|(at, _)| *at == At::Block) { Twist::None } else { self.twist };
        let changing = self.changing.as_mut().filter(|run| asked == 0 || run.token == asked);
        let run = changing.or_else(|| self.reading.as_mut().filter(|run| run.token == asked));
        let Some(run) = run.filter(|_| twist != Twist::Unknown) else {
            let header = [b"TD\x01\0".as_slice(), &asked.to_be_bytes(), &[0; 8]].concat();
            return self.data(block, length, header, false);
        };
        let token = if twist == Twist::WrongToken { run.token + 7 } else { run.token };
        let head = |state: u8| [b"TD\x01".as_slice(), &[state], &token.to_be_bytes()].concat();
        let bytes = if twist == Twist::AlwaysBusy || run.busy_questions > 0 {
            run.busy_questions = run.busy_questions.saturating_sub(1);
            [head(1), vec![0; 8]].concat()
        } else if twist == Twist::Lost {
            [head(3), vec![0; 8]].concat()
        } else {
            let (good, code, payload) = &run.answer;
            let crc = checksum(payload) ^ u16::from(twist == Twist::WrongChecksum);
            let letter = if *good { b'O' } else { b'E' };
            let rest = [&[letter, *code], crc.to_be_bytes().as_slice(), &(payload.len() as u32).to_be_bytes()].concat();
            let end = if twist == Twist::Crumbs { payload.len().min(offset + 1) } else { payload.len() };
            [head(2), rest, payload[offset..end].to_vec()].concat()
        };
        // Only a fetch after the SEND that is looked at may meet a fault.
        self.data(block, length, bytes, !self.tried.is_empty())
    }
}

/// The id of a document, or the number of a short command.
fn name(command: u8, payload: &[u8]) -> String {
    if command != 0x7E {
        return format!("{command:02X}");
    }
    let text = String::from_utf8_lossy(payload);
    let (_, rest) = text.split_once(" id=\"").expect("a document");
    rest.split('"').next().unwrap().to_owned()
}

impl BulkDevice for Double {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    fn pause(&mut self, time: Duration) {
        self.0.lock().unwrap().now += time;
    }

    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError> {
        let mut state = self.0.lock().unwrap();
        let at = match &state.stage {
            Stage::Collect { block, got } => {
                let want = u32::from_le_bytes(block[8..12].try_into().unwrap()) as usize;
                if got.len() + bytes.len() < want { At::Head } else { At::Tail }
            }
            _ if bytes.get(15) == Some(&0xD0) => {
                state.tried.push(bytes[18]);
                At::Block
            }
            _ => At::FetchBlock,
        };
        let fault = if at == At::FetchBlock && state.tried.is_empty() { None } else { state.fault(at) };
        match &fault {
            Some(What::FailsEarly(error)) => {
                state.now += timeout;
                return Err(error.clone());
            }
            Some(What::Unplug) => return Err(state.unplug()),
            Some(What::Stall) => {
                let stage = std::mem::replace(&mut state.stage, Stage::Idle);
                if let Stage::Collect { block, .. } = stage {
                    state.stage = state.refused(&block, (5, 0x24, 0));
                }
                return Err(UsbError::Stall);
            }
            _ if !state.plugged => return Err(state.unplug()),
            _ => {}
        }
        match std::mem::replace(&mut state.stage, Stage::Idle) {
            Stage::Collect { block, mut got } => {
                got.extend_from_slice(bytes);
                let want = u32::from_le_bytes(block[8..12].try_into().unwrap()) as usize;
                assert!(got.len() <= want);
                state.stage = if got.len() == want { state.accept(&block, &got) } else { Stage::Collect { block, got } };
            }
            stage => {
                state.stage = stage;
                state.begin(bytes);
            }
        }
        match fault {
            Some(What::FailsLate(error)) => Err(error),
            Some(What::UnplugLate) => Err(state.unplug()),
            _ => Ok(()),
        }
    }

    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        let mut state = self.0.lock().unwrap();
        let at = match &state.stage {
            _ if !state.plugged => return Err(state.unplug()),
            Stage::Data { fetch: true, .. } => Some(At::FetchData),
            Stage::Status { fetch: true, .. } => Some(At::FetchStatus),
            Stage::Status { of_send: true, .. } => Some(At::Status),
            Stage::Data { .. } | Stage::Status { .. } => None,
            Stage::Idle | Stage::Collect { .. } => {
                state.now += timeout;
                return Err(UsbError::Timeout { moved: Some(0) });
            }
        };
        let fault = at.and_then(|at| state.fault(at));
        match &fault {
            Some(What::Unplug | What::UnplugLate) => return Err(state.unplug()),
            Some(What::FailsEarly(error) | What::FailsLate(error)) => {
                state.now += timeout;
                return Err(error.clone());
            }
            _ => {}
        }
        let mut bytes = match std::mem::replace(&mut state.stage, Stage::Idle) {
            Stage::Data { bytes, status, fetch } => {
                state.stage = Stage::Status { bytes: status, fetch, of_send: false };
                if matches!(fault, Some(What::Stall)) {
                    return Err(UsbError::Stall);
                }
                bytes
            }
            Stage::Status { bytes, fetch, of_send } => {
                if matches!(fault, Some(What::Stall)) {
                    state.stage = Stage::Status { bytes, fetch, of_send };
                    return Err(UsbError::Stall);
                }
                bytes
            }
            Stage::Idle | Stage::Collect { .. } => unreachable!("returned above"),
        };
        if let Some(What::Bytes(change)) = fault {
            change(&mut bytes);
        }
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn control_out(&mut self, setup: Setup, _data: &[u8], _timeout: Duration) -> Result<(), UsbError> {
        let mut state = self.0.lock().unwrap();
        if !state.plugged {
            return Err(state.unplug());
        }
        assert_eq!((setup.request_type, setup.request), (0x21, 0xFF));
        state.resets += 1;
        state.stage = Stage::Idle;
        Ok(())
    }

    fn control_in(&mut self, _setup: Setup, _buffer: &mut [u8], _timeout: Duration) -> Result<usize, UsbError> {
        Err(UsbError::Stall)
    }

    fn clear_halt(&mut self, _pipe: Pipe) -> Result<(), UsbError> {
        let mut state = self.0.lock().unwrap();
        if state.plugged { Ok(()) } else { Err(state.unplug()) }
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        panic!("the driver never resets a port by itself")
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        let mut state = self.0.lock().unwrap();
        state.opened += 1;
        state.open = state.plugged;
        state.stage = Stage::Idle;
        if state.plugged { Ok(()) } else { Err(UsbError::NotFound { device: "x".to_owned() }) }
    }

    fn is_open(&self) -> bool {
        self.0.lock().unwrap().open
    }

    fn serial_number(&self) -> Option<String> {
        Some("661500000001".to_owned())
    }

    fn packet_bytes(&self) -> usize {
        64
    }

    fn describe(&self) -> String {
        "a double".to_owned()
    }
}

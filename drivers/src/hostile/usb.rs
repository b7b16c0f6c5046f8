//! The driver of the USB disk, with the simulated disk on its bus and somebody between who damages, stalls, cuts and makes up
//! transfers. Time is virtual.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taxdisk_protocol::kind::InvoiceKind;

use super::calls::{About, Said, call, short};
use super::script::{self, Act, damage, rewrite};
use super::serial::standing_clock;
use crate::dialects::bot::{BotConfig, BotDisk};
use crate::dialects::zc::crc::checksum;
use crate::disk::TaxDisk;
use crate::secret::Secret;
use crate::sim::SimDisk;
use crate::sim::bot::{BotDevice, BotOptions, ENDPOINT_IN, ENDPOINT_OUT};
use crate::sim::bridge::fresh_disk;
use crate::sim::usb::{self, BulkIn, BulkOut};
use crate::transport::usb::{BulkDevice, Pipe, Setup, UsbError};

/// More transfers than this are no conversation any more: some loop has no end.
const MAX_TRANSFERS: u32 = 100_000;
/// How far time goes on where the device does not say when it will have something.
const STEP: Duration = Duration::from_millis(1);

struct State {
    device: BotDevice,
    /// One act for each IN transfer.
    acts: VecDeque<(Act<'static>, Vec<u8>)>,
    made_up: bool,
    transfers: u32,
    /// Tag of the last command block.
    tag: [u8; 4],
    /// Token of the last SEND or FETCH.
    token: [u8; 4],
}

/// The host's end. Clones share the bus.
#[derive(Clone)]
pub(super) struct Bus {
    state: Arc<Mutex<State>>,
    now_ns: Arc<AtomicU64>,
}

impl Bus {
    /// With a fresh disk.
    pub(super) fn new() -> Bus {
        let now_ns = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&now_ns);
        let ticker = Arc::new(move || Duration::from_nanos(clock.load(Ordering::SeqCst)));
        let disk = SimDisk::in_memory(fresh_disk(), standing_clock());
        let device = BotDevice::open(disk, BotOptions::default(), ticker).expect("a disk in memory opens");
        let state = State {
            device,
            acts: VecDeque::new(),
            made_up: false,
            transfers: 0,
            tag: Default::default(),
            token: Default::default(),
        };
        Bus { state: Arc::new(Mutex::new(state)), now_ns }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every IN transfer is replaced by one of these; honest when they are used up.
    pub(super) fn turn_hostile(&self, acts: &[Act<'_>]) {
        let mut state = self.lock();
        state.acts = acts.iter().map(|act| (Act { data: &[], ..*act }, act.data.to_vec())).collect();
        state.transfers = 0;
    }

    fn with_disk<T>(&self, look: impl FnOnce(&SimDisk) -> T) -> T {
        look(&self.lock().device.disk)
    }

    fn pass(&self, time: Duration) {
        self.now_ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn transfer<T>(
        &self,
        timeout: Duration,
        mut once: impl FnMut(&mut BotDevice) -> Option<Result<T, UsbError>>,
    ) -> Result<T, UsbError> {
        let end = self.now() + timeout;
        loop {
            let mut state = self.lock();
            state.transfers += 1;
            assert!(state.transfers < MAX_TRANSFERS, "the driver goes on for ever");
            if let Some(result) = once(&mut state.device) {
                return result;
            }
            let left = end.saturating_sub(self.now());
            if left.is_zero() {
                return Err(UsbError::Timeout { moved: Some(0) });
            }
            let wait = state.device.wake_in().unwrap_or(left).max(STEP).min(left);
            drop(state);
            self.pass(wait);
        }
    }

    fn honest_in(&self, max: usize, timeout: Duration) -> Result<Vec<u8>, UsbError> {
        self.transfer(timeout, |device| match device.bulk_in(max) {
            BulkIn::Data(data) => Some(Ok(data)),
            BulkIn::Stall => Some(Err(UsbError::Stall)),
            BulkIn::Nak => None,
        })
    }

    fn control(&self, setup: Setup, data: &[u8], length: usize) -> Result<Vec<u8>, UsbError> {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        let Setup { request_type, request, value, index } = setup;
        self.transfer(STEP, |device| {
            let reply = device.control(usb::Setup { request_type, request, value, index, length }, data);
            Some(reply.and_then(Result::ok).ok_or(UsbError::Stall))
        })
    }
}

/// A status of the last command.
fn status(tag: [u8; 4], act: &Act<'_>) -> Vec<u8> {
    let mut bytes = b"USBS".to_vec();
    bytes.extend(tag);
    bytes.extend((0..4).map(|at| act.data.get(at).copied().unwrap_or(0)));
    bytes.push(act.how);
    bytes
}

/// An answer to the last FETCH, its checksum right.
fn answer(token: [u8; 4], act: &Act<'_>) -> Vec<u8> {
    let mut bytes = b"TD\x01".to_vec();
    bytes.push(act.how % 5);
    bytes.extend(token);
    bytes.extend([if act.how < 0x80 { b'O' } else { b'E' }, act.how]);
    bytes.extend(checksum(act.data).to_be_bytes());
    bytes.extend(u32::try_from(act.data.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(act.data);
    bytes
}

/// Makes the checksum of an answer right, if it is one.
fn seal(bytes: &mut [u8]) {
    if let Some((header, answer)) = bytes.split_first_chunk_mut::<16>()
        && header.starts_with(b"TD")
    {
        header[10..12].copy_from_slice(&checksum(answer).to_be_bytes());
    }
}

impl BulkDevice for Bus {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns.load(Ordering::SeqCst))
    }

    fn pause(&mut self, time: Duration) {
        self.pass(time);
    }

    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError> {
        if let Some(block) = bytes.strip_prefix(b"USBC")
            && bytes.len() == 31
        {
            let mut state = self.lock();
            state.tag.copy_from_slice(&block[..4]);
            state.token.copy_from_slice(&block[15..19]);
        }
        self.transfer(timeout, |device| match device.bulk_out(bytes) {
            BulkOut::Taken => Some(Ok(())),
            BulkOut::Stall => Some(Err(UsbError::Stall)),
            BulkOut::Nak => None,
        })
    }

    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        let act = self.lock().acts.pop_front();
        let Some((act, data)) = act else {
            let bytes = self.honest_in(buffer.len(), timeout)?;
            let room = buffer.get_mut(..bytes.len()).ok_or(UsbError::Overflow)?;
            room.copy_from_slice(&bytes);
            return Ok(bytes.len());
        };
        let act = Act { data: &data, ..act };
        self.pass(Duration::from_millis(act.pace.first_ms).min(timeout));
        let made_up = |bytes: Vec<u8>| {
            self.lock().made_up = true;
            Ok(bytes)
        };
        let (tag, token) = {
            let state = self.lock();
            (state.tag, state.token)
        };
        let bytes = match act.does % 14 {
            0 | 1 => self.honest_in(buffer.len(), timeout),
            2 => self.honest_in(buffer.len(), timeout).map(|mut bytes| {
                damage(&mut bytes, &act);
                bytes
            }),
            3 => self.honest_in(buffer.len(), timeout).map(|mut bytes| {
                bytes.truncate(usize::from(act.how));
                bytes
            }),
            4 => Err(UsbError::Stall),
            5 => {
                self.pass(timeout);
                Err(UsbError::Timeout { moved: (act.how != 0).then_some(0) })
            }
            6 => Err(UsbError::Io { detail: "hostile".to_owned() }),
            7 => Err(UsbError::Overflow),
            8 => made_up(act.data.to_vec()),
            9 | 10 => made_up(answer(token, &act)),
            11 | 12 => {
                let mut bytes = self.honest_in(buffer.len(), timeout)?;
                rewrite(&mut bytes, &act);
                seal(&mut bytes);
                made_up(bytes)
            }
            _ => made_up(status(tag, &act)),
        }?;
        let room = buffer.get_mut(..bytes.len()).ok_or(UsbError::Overflow)?;
        room.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], _timeout: Duration) -> Result<(), UsbError> {
        self.control(setup, data, data.len()).map(drop)
    }

    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], _timeout: Duration) -> Result<usize, UsbError> {
        let data = self.control(setup, &[], buffer.len())?;
        let room = buffer.get_mut(..data.len()).ok_or(UsbError::Overflow)?;
        room.copy_from_slice(&data);
        Ok(data.len())
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError> {
        let endpoint = match pipe {
            Pipe::In => ENDPOINT_IN,
            Pipe::Out => ENDPOINT_OUT,
        };
        self.control(Setup { request_type: 0x02, request: 0x01, value: 0, index: endpoint.into() }, &[], 0).map(drop)
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        panic!("no driver resets a port by itself")
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        Ok(())
    }

    fn is_open(&self) -> bool {
        true
    }

    fn serial_number(&self) -> Option<String> {
        None
    }

    fn packet_bytes(&self) -> usize {
        512
    }

    fn describe(&self) -> String {
        "hostile".to_owned()
    }
}

/// taxdisk-bot: a call, and what comes in place of each IN transfer: status blocks, headers, answers.
pub(super) fn bot(bytes: &[u8]) {
    let (which, acts) = script::read(bytes);
    let kind = InvoiceKind::PaperOrdinary;
    let bus = Bus::new();
    let config = BotConfig {
        disk_password: Secret::new("88888888"),
        certificate_password: Secret::new("12345678"),
        ..BotConfig::default()
    };
    let mut disk = BotDisk::new(bus.clone(), config);
    let longest = disk.longest_call();
    let Ok(identity) = disk.identity() else { panic!("an honest disk is understood") };
    let Ok(stock) = disk.stock(kind) else { panic!("an honest disk is understood") };
    let about = About::new(&disk, kind, stock.current, identity);
    let before = bus.with_disk(|disk| (disk.ledger().entries().len(), disk.ledger().signatures()));
    bus.turn_hostile(&acts);
    let began = bus.now();
    let said = call(&mut disk, which, &about);
    let took = bus.now() - began;
    assert!(took <= longest, "call {which} took {took:?}, its longest time is {longest:?}");
    let after = bus.with_disk(|disk| (disk.ledger().entries().len(), disk.ledger().signatures()));
    match said {
        Said::NotSent => assert_eq!(before, after, "it was sent"),
        Said::Read => assert_eq!(before, after, "a reading command changed the disk"),
        Said::Issued if !bus.lock().made_up => {
            let known = bus.with_disk(|disk| disk.ledger().find(kind, about.expected).is_some());
            assert!(known, "a damaged answer was read as a clean one");
        }
        Said::Issued | Said::Doubt => {}
    }
    if let Err(error) = disk.handshake() {
        short(&error);
    }
}

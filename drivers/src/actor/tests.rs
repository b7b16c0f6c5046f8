//! A disk that hangs, a disk that panics, and callers that give up.

#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::dialects::zc::{ZcConfig, ZcDisk};
use crate::transport::memory::ScriptedLine;

/// Comes back from a handshake only when told how; reports each call.
struct GatedDisk {
    inner: ZcDisk<ScriptedLine>,
    begun: Sender<()>,
    gate: Receiver<Gate>,
}

enum Gate {
    Return,
    Panic,
}

impl TaxDisk for GatedDisk {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }
    fn fence(&self) -> Fence {
        Fence::Ordered
    }
    fn dialect(&self) -> &'static str {
        "gated"
    }
    fn resync(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
    fn handshake(&mut self) -> Result<(), DiskError> {
        self.begun.send(()).unwrap();
        match self.gate.recv() {
            Ok(Gate::Panic) => panic!("planted"),
            _ => Ok(()),
        }
    }
    fn identity(&mut self) -> Result<Identity, DiskError> {
        unreachable!("not called")
    }
    fn stock(&mut self, _: InvoiceKind) -> Result<Stock, DiskError> {
        unreachable!("not called")
    }
    fn limits(&mut self, _: InvoiceKind) -> Result<Limits, DiskError> {
        unreachable!("not called")
    }
    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError> {
        unreachable!("not called")
    }
    fn issue(&mut self, _: &IssueRequest<'_>) -> IssueAnswer {
        unreachable!("not called")
    }
    fn query(&mut self, _: InvoiceKind, _: NumberPair) -> Result<Option<FoundInvoice>, DiskError> {
        unreachable!("not called")
    }
    fn operate(&mut self, _: &Operation) -> OperationAnswer {
        unreachable!("not called")
    }
    fn compare(&self, _: &IssueRequest<'_>, _: &FoundInvoice) -> Comparison {
        unreachable!("not called")
    }
}

fn gated() -> (Handle, Receiver<()>, Sender<Gate>) {
    let (begun, seen) = channel();
    let (open, gate) = channel();
    let inner = ZcDisk::new(ScriptedLine::default(), ZcConfig::default());
    let disk = GatedDisk { inner, begun, gate };
    (DiskActor::spawn("gated", Box::new(disk), Deadlines::default()).unwrap(), seen, open)
}

const SOON: Duration = Duration::from_millis(20);

/// Waits for the thread to settle, bounded.
fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < end, "it never happened");
        std::thread::yield_now();
    }
}

#[test]
fn a_hung_disk_stops_its_own_calls_only_and_is_well_when_it_comes_back() {
    let (handle, begun, gate) = gated();
    let (other, other_begun, other_gate) = gated();
    // On a slow computer the thread may not have begun in time: then the command was withdrawn.
    let since = loop {
        match handle.call(Command::Handshake, SOON) {
            Err(ActorError::Hung { since }) => break since,
            outcome => assert_eq!(outcome, Err(ActorError::Busy)),
        }
    };
    assert_eq!(handle.hung_since(), Some(since));
    begun.recv().unwrap();
    // Nothing else may be sent to it, whatever it is.
    assert_eq!(handle.call(Command::Resync, SOON), Err(ActorError::Hung { since }));
    assert!(begun.try_recv().is_err());
    // Another disk does not notice.
    other_gate.send(Gate::Return).unwrap();
    assert_eq!(other.handshake(), Ok(Ok(())));
    other_begun.recv().unwrap();
    // It comes back: its answer is kept as evidence, and the next command runs.
    gate.send(Gate::Return).unwrap();
    until(|| handle.hung_since().is_none());
    let late = handle.take_late().unwrap();
    assert_eq!((late.command, late.reply, late.since), ("handshake", Reply::Done(Ok(())), since));
    assert_eq!(handle.resync(), Ok(Ok(())));
    assert!(handle.take_late().is_none());
}

#[test]
fn a_second_caller_is_told_busy_and_its_command_never_runs() {
    let (handle, begun, gate) = gated();
    let first = handle.clone();
    let caller = std::thread::spawn(move || first.handshake());
    begun.recv().unwrap();
    assert_eq!(handle.call(Command::Handshake, SOON), Err(ActorError::Busy));
    gate.send(Gate::Return).unwrap();
    assert_eq!(caller.join().unwrap(), Ok(Ok(())));
    drop(handle);
    // The thread has ended, and with it the sender: nothing was begun a second time.
    assert!(begun.recv().is_err());
}

#[test]
fn a_driver_that_panics_is_gone_and_says_whether_the_command_was_begun() {
    let (handle, begun, gate) = gated();
    gate.send(Gate::Panic).unwrap();
    assert_eq!(handle.handshake(), Err(ActorError::Gone { begun: true }));
    begun.recv().unwrap();
    assert_eq!(handle.handshake(), Err(ActorError::Gone { begun: false }));
    assert_eq!(DiskError::from(ActorError::Busy).class, DeviceClass::InProgress);
}

#[test]
fn deadlines_are_never_below_the_longest_call_of_the_driver() {
    let short = Deadlines { read: Duration::from_secs(1), change: Duration::from_secs(600), resync: Duration::from_secs(1) };
    let longest = Duration::from_secs(280);
    assert_eq!(short.covering(longest), Deadlines { read: longest, change: Duration::from_secs(600), resync: longest });
    assert_eq!(short.covering(Duration::ZERO), short);
}

#[test]
fn a_command_that_was_not_begun_is_withdrawn() {
    let mut state = State { waiting: Some((7, Command::Handshake)), ..State::default() };
    assert_eq!(Handle::give_up(&mut state), ActorError::Busy);
    assert!(state.waiting.is_none());
}

//! A byte line with a simulated device at its end and somebody between who damages, cuts, delays and makes up answers. Time is
//! virtual.
//!
//! As long as nothing is made up, what the driver says can be compared with what the simulated disk did.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::script::{Act, damage, rewrite};
use crate::sim::SimDisk;
use crate::transport::{BrokenWrite, ByteLine, LineError};

/// More reads than this are no conversation any more: some loop has no end.
const MAX_READS: u32 = 200_000;
/// Turns of the device in answer to one write.
const MAX_TURNS: usize = 10_000;

/// The device side of a dialect.
pub(super) trait Device: Send {
    /// Bytes from the host.
    fn receive(&mut self, bytes: &[u8], now: Duration);
    /// Does what is due and returns what it says.
    fn turn(&mut self, now: Duration) -> Vec<u8>;
    /// When it has something to do by itself.
    fn wake_at(&self) -> Option<Duration>;
    /// The disk in it.
    fn disk(&self) -> &SimDisk;
    /// A frame of this act, its checksum right.
    fn frame(act: &Act<'_>) -> Vec<u8>;
    /// Makes the checksum of a frame right.
    fn seal(frame: &mut [u8]);
}

struct OwnedAct {
    act: Act<'static>,
    data: Vec<u8>,
}

struct State<D> {
    device: D,
    now: Duration,
    incoming: VecDeque<(Duration, u8)>,
    acts: VecDeque<OwnedAct>,
    made_up: bool,
    reads: u32,
}

/// The line. Clones share it.
pub(super) struct Line<D>(Arc<Mutex<State<D>>>);

impl<D> Clone for Line<D> {
    fn clone(&self) -> Line<D> {
        Line(Arc::clone(&self.0))
    }
}

impl<D: Device> Line<D> {
    /// An honest line.
    pub(super) fn new(device: D) -> Line<D> {
        let state =
            State { device, now: Duration::ZERO, incoming: VecDeque::new(), acts: VecDeque::new(), made_up: false, reads: 0 };
        Line(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every write is answered by one of these; honestly when they are used up.
    pub(super) fn turn_hostile(&self, acts: &[Act<'_>]) {
        let own = |act: &Act<'_>| OwnedAct { act: Act { data: &[], ..*act }, data: act.data.to_vec() };
        self.lock().acts = acts.iter().map(own).collect();
    }

    /// Something was said that no device said.
    pub(super) fn is_made_up(&self) -> bool {
        self.lock().made_up
    }

    /// Looks at the disk.
    pub(super) fn with_disk<T>(&self, look: impl FnOnce(&SimDisk) -> T) -> T {
        look(self.lock().device.disk())
    }
}

impl<D: Device> State<D> {
    fn take_turn(&mut self) {
        let said = self.device.turn(self.now);
        let now = self.now;
        self.incoming.extend(said.into_iter().map(|byte| (now, byte)));
    }

    /// Everything that the device says to what it was just told, however long it takes.
    fn whole_answer(&mut self) -> Vec<u8> {
        let mut answer = Vec::new();
        for _ in 0..MAX_TURNS {
            answer.extend(self.device.turn(self.now));
            match self.device.wake_at() {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
        }
        answer
    }

    fn perform(&mut self, OwnedAct { act, data }: OwnedAct) {
        let act = Act { data: &data, ..act };
        let bytes = match act.does % 8 {
            0 => return self.take_turn(),
            1 => {
                let mut answer = self.whole_answer();
                damage(&mut answer, &act);
                answer
            }
            2 => {
                let mut answer = self.whole_answer();
                answer.truncate(usize::from(act.how));
                answer
            }
            3 => {
                self.whole_answer();
                Vec::new()
            }
            4 => {
                self.made_up = true;
                self.whole_answer();
                data.clone()
            }
            5 => {
                self.made_up = true;
                [data.clone(), self.whole_answer()].concat()
            }
            6 => {
                self.made_up = true;
                let mut answer = self.whole_answer();
                rewrite(&mut answer, &act);
                D::seal(&mut answer);
                answer
            }
            _ => {
                self.made_up = true;
                self.whole_answer();
                D::frame(&act)
            }
        };
        let first = self.now + Duration::from_millis(act.pace.first_ms);
        let gap = Duration::from_millis(act.pace.gap_ms);
        let mut at = first.max(self.incoming.back().map_or(first, |(at, _)| *at));
        for byte in bytes {
            self.incoming.push_back((at, byte));
            at += gap;
        }
    }
}

impl<D: Device> ByteLine for Line<D> {
    fn now(&self) -> Duration {
        self.lock().now
    }

    fn write(&mut self, bytes: &[u8], _deadline: Duration) -> Result<(), BrokenWrite> {
        let mut state = self.lock();
        let now = state.now;
        state.device.receive(bytes, now);
        match state.acts.pop_front() {
            Some(act) => state.perform(act),
            None => state.take_turn(),
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError> {
        let mut state = self.lock();
        state.reads += 1;
        assert!(state.reads < MAX_READS, "the driver reads for ever");
        loop {
            state.take_turn();
            let due = state.incoming.front().map(|(at, _)| *at);
            if due.is_some_and(|at| at <= state.now) {
                let now = state.now;
                let mut count = 0;
                while count < buffer.len() && state.incoming.front().is_some_and(|(at, _)| *at <= now) {
                    if let Some((_, byte)) = state.incoming.pop_front() {
                        buffer[count] = byte;
                        count += 1;
                    }
                }
                return Ok(count);
            }
            if state.now >= deadline {
                return Ok(0);
            }
            let wake = state.device.wake_at().filter(|at| *at > state.now);
            state.now = [due, wake].into_iter().flatten().min().unwrap_or(deadline).min(deadline);
        }
    }

    fn reopen(&mut self) -> Result<(), LineError> {
        self.lock().incoming.clear();
        Ok(())
    }

    fn set_speed(&mut self, _speed_baud: u32) -> Result<(), LineError> {
        self.reopen()
    }

    fn is_open(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        "hostile".to_owned()
    }
}

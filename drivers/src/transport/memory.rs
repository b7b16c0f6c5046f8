//! A scripted line for tests: it expects bytes, answers after delays, and keeps virtual time. A wait of 30 s takes none.
//!
//! It refuses surprises: bytes that the script does not expect panic with both versions in hex, because that is a failed
//! test. It is not for production.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{BrokenWrite, ByteLine, LineError};

/// One step of a script. Steps that follow an [`Step::Expect`] happen once all its bytes were written.
#[derive(Debug, Clone)]
pub enum Step {
    /// The host must write exactly these bytes next.
    Expect(Vec<u8>),
    /// These bytes arrive so long after the step before.
    Reply(Duration, Vec<u8>),
    /// The next write takes so many bytes and then fails; later writes and reads fail until the line is opened again.
    BreakWrite(usize),
    /// The next write takes so many bytes and then times out.
    StallWrite(usize),
    /// Reading fails so long after the step before, until the line is opened again.
    Unplug(Duration),
}

/// What went over a scripted line, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// The host wrote this at this time.
    Written(Duration, Vec<u8>),
    /// The host read this at this time.
    Read(Duration, Vec<u8>),
    /// The line was opened again.
    Reopened(Duration),
    /// The line was set to this speed, baud.
    Speed(u32),
}

#[derive(Debug, Default)]
struct State {
    steps: VecDeque<Step>,
    matched: usize,
    now: Duration,
    incoming: VecDeque<(Duration, u8)>,
    unplug_at: Option<Duration>,
    closed: bool,
    traffic: Vec<Traffic>,
}

/// The line. Clones share one state, so that a test can look at it while a disk owns the other clone.
#[derive(Debug, Clone, Default)]
pub struct ScriptedLine {
    state: Arc<Mutex<State>>,
}

impl ScriptedLine {
    /// A line that plays these steps.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> ScriptedLine {
        let line = ScriptedLine::default();
        line.then(steps);
        line
    }

    /// Adds steps at the end.
    pub fn then(&self, steps: impl IntoIterator<Item = Step>) {
        let mut state = self.lock();
        state.steps.extend(steps);
        state.advance();
    }

    /// Everything that was written and read.
    pub fn traffic(&self) -> Vec<Traffic> {
        self.lock().traffic.clone()
    }

    /// All bytes that the host wrote, write by write.
    pub fn written(&self) -> Vec<Vec<u8>> {
        let written = |entry| match entry {
            Traffic::Written(_, bytes) => Some(bytes),
            _ => None,
        };
        self.traffic().into_iter().filter_map(written).collect()
    }

    /// True when every step was played and every byte read.
    pub fn is_finished(&self) -> bool {
        let state = self.lock();
        state.steps.is_empty() && state.incoming.is_empty()
    }

    /// Lets virtual time pass.
    pub fn sleep(&self, time: Duration) {
        self.lock().now += time;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Plays the steps that do not wait for the host.
    fn advance(&mut self) {
        let mut at = self.now;
        while let Some(step) = self.steps.front() {
            match step {
                Step::Reply(delay, bytes) => {
                    at += *delay;
                    let at = at.max(self.incoming.back().map_or(Duration::ZERO, |(time, _)| *time));
                    self.incoming.extend(bytes.iter().map(|byte| (at, *byte)));
                }
                Step::Unplug(delay) => {
                    at += *delay;
                    self.unplug_at = Some(at);
                }
                Step::Expect(_) | Step::BreakWrite(_) | Step::StallWrite(_) => return,
            }
            self.steps.pop_front();
        }
    }

    fn gone() -> LineError {
        LineError::Gone { port: "script".to_owned(), detail: "the script says so".to_owned() }
    }

    /// Takes bytes against the expectations; panics where they differ.
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(Step::Expect(expected)) = self.steps.front() else {
                panic!("the script expects no bytes, but these were written: {}", hex(bytes));
            };
            let count = bytes.len().min(expected.len() - self.matched);
            let (expected_now, taken) = (&expected[self.matched..self.matched + count], &bytes[..count]);
            assert!(expected_now == taken, "the script expects {}\nbut these were written: {}", hex(expected_now), hex(taken));
            self.matched += count;
            bytes = &bytes[count..];
            if self.matched == expected.len() {
                self.matched = 0;
                self.steps.pop_front();
                self.advance();
            }
        }
    }
}

impl ByteLine for ScriptedLine {
    fn now(&self) -> Duration {
        self.lock().now
    }

    fn write(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), BrokenWrite> {
        let mut state = self.lock();
        let now = state.now;
        if state.closed || state.unplug_at.is_some_and(|at| at <= now) {
            return Err(BrokenWrite { written: 0, error: State::gone() });
        }
        let stop = match state.steps.front() {
            Some(Step::BreakWrite(count)) => Some((*count, true)),
            Some(Step::StallWrite(count)) => Some((*count, false)),
            _ => None,
        };
        if let Some((written, breaks)) = stop {
            state.steps.pop_front();
            state.closed = breaks;
            state.traffic.push(Traffic::Written(now, bytes[..written].to_vec()));
            state.advance();
            if breaks {
                return Err(BrokenWrite { written, error: State::gone() });
            }
            state.now = deadline.max(now);
            return Err(BrokenWrite { written, error: LineError::WriteTimeout { port: "script".to_owned() } });
        }
        state.traffic.push(Traffic::Written(now, bytes.to_vec()));
        state.take(bytes);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError> {
        let mut state = self.lock();
        if state.closed {
            return Err(State::gone());
        }
        let next = state.incoming.front().map(|(at, _)| (*at).max(state.now));
        let unplug = state.unplug_at.map(|at| at.max(state.now));
        if let Some(at) = unplug.filter(|at| *at <= deadline && next.is_none_or(|next| *at < next)) {
            state.now = at;
            state.closed = true;
            return Err(State::gone());
        }
        let Some(at) = next.filter(|at| *at <= deadline) else {
            state.now = state.now.max(deadline);
            return Ok(0);
        };
        state.now = at;
        let mut count = 0;
        while count < buffer.len() && state.incoming.front().is_some_and(|(due, _)| *due <= at) {
            if let Some((_, byte)) = state.incoming.pop_front() {
                buffer[count] = byte;
                count += 1;
            }
        }
        state.traffic.push(Traffic::Read(at, buffer[..count].to_vec()));
        Ok(count)
    }

    fn reopen(&mut self) -> Result<(), LineError> {
        let mut state = self.lock();
        let now = state.now;
        state.closed = false;
        state.unplug_at = None;
        state.incoming.clear();
        state.traffic.push(Traffic::Reopened(now));
        Ok(())
    }

    fn set_speed(&mut self, speed_baud: u32) -> Result<(), LineError> {
        self.lock().traffic.push(Traffic::Speed(speed_baud));
        self.reopen()
    }

    fn is_open(&self) -> bool {
        !self.lock().closed
    }

    fn describe(&self) -> String {
        "script".to_owned()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn waits_take_virtual_time_only() {
        let mut line = ScriptedLine::new([Step::Expect(b"ab".to_vec()), Step::Reply(seconds(40), b"cd".to_vec())]);
        line.write(b"a", seconds(1)).unwrap();
        line.write(b"b", seconds(1)).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(line.read(&mut buffer, seconds(30)), Ok(0));
        assert_eq!(line.now(), seconds(30));
        assert_eq!(line.read(&mut buffer, seconds(60)), Ok(2));
        assert_eq!(line.now(), seconds(40));
        assert!(line.is_finished());
    }

    #[test]
    fn silence_is_counted_from_the_last_byte() {
        let steps = [Step::Reply(seconds(3), vec![1]), Step::Reply(seconds(3), vec![2, 3])];
        let mut line = ScriptedLine::new(steps);
        assert_eq!(line.wait_silent(seconds(4), seconds(60)), Ok(3));
        assert_eq!(line.now(), seconds(10));
        let chatter = (0..100).map(|_| Step::Reply(seconds(1), vec![0]));
        let mut line = ScriptedLine::new(chatter);
        assert!(matches!(line.wait_silent(seconds(4), seconds(60)), Err(LineError::NeverSilent { .. })));
    }

    #[test]
    #[should_panic(expected = "the script expects 01")]
    fn unexpected_bytes_fail_the_test() {
        let mut line = ScriptedLine::new([Step::Expect(vec![1])]);
        line.write(&[2], seconds(1)).unwrap();
    }

    #[test]
    fn broken_writes_say_how_much_was_taken() {
        let mut line = ScriptedLine::new([Step::BreakWrite(1)]);
        let broken = line.write(&[1, 2, 3], seconds(1)).unwrap_err();
        assert_eq!(broken.written, 1);
        assert!(!line.is_open());
        line.reopen().unwrap();
        assert!(line.is_open());
    }
}

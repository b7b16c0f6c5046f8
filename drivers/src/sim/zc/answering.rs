//! How the device answers: packets, the host's acknowledgements, WT, and what faults do to the bytes. Nothing is executed here.

use std::collections::VecDeque;
use std::time::Duration;

use super::fields::gbk;
use super::frame::{self, Ack, FrameType, Parsed};
use super::script::{Delay, Transmission};
use super::{ACK_WAIT, MAX_ANSWER_PACKETS, MAX_RECORDED, State, WireDirection, WireFrame, ZcDevice};
use crate::sim::refusal::Refusal;

impl ZcDevice {
    /// Begins an answer of one or more packets.
    pub(super) fn answer(&mut self, data: &[u8], cmd: u8, frame_type: FrameType, at: Duration, sending: Transmission) {
        let room = frame_type.answer_room(self.options.small_packets);
        let mut packets: VecDeque<Vec<u8>> = data.chunks(room).map(<[u8]>::to_vec).collect();
        if packets.len() > MAX_ANSWER_PACKETS {
            let text = gbk(&Refusal::jsk(562).to_string());
            return self.send(at, &sending, cmd, frame::text_error(frame_type, &text, self.options.small_packets));
        }
        let first = packets.pop_front().unwrap_or_default();
        let number = u8::from(!packets.is_empty());
        self.send(at, &sending, cmd, frame::answer(frame_type, *b"OK", number, &first));
        if number != 0 {
            self.wait_for_ack(packets, number, cmd, frame_type, sending);
        } else {
            self.after_send(&sending);
        }
    }

    pub(super) fn wait_for_ack(
        &mut self,
        rest: VecDeque<Vec<u8>>,
        number: u8,
        cmd: u8,
        frame_type: FrameType,
        sending: Transmission,
    ) {
        let until = self.sent_until + ACK_WAIT;
        self.state = if sending.breaks_after == Some(number) {
            State::Deaf { until }
        } else {
            State::Answering { rest, number, cmd, frame_type, until, sending: sending.following() }
        };
        self.after_send(&sending);
    }

    pub(super) fn step_answer(&mut self, now: Duration) -> bool {
        let State::Answering { frame_type, until, number, cmd, .. } = &self.state else { return false };
        let (frame_type, number, cmd) = (*frame_type, *number, *cmd);
        if now >= *until {
            // The host did not ask for the rest; the device forgets it. The command stays executed.
            self.drop_input();
            self.state = State::Idle;
            return true;
        }
        if self.input.is_empty() {
            return false;
        }
        let (acknowledged, used) = match frame::parse_ack(self.input.make_contiguous(), frame_type) {
            Parsed::Incomplete => return false,
            Parsed::Frame(ack, used) => (ack == Ack::Next(number), used),
            Parsed::Bad(..) => (false, 0),
        };
        let bytes: Vec<u8> = self.input.drain(..used).collect();
        if used > 0 {
            let note = (number != 0 && !acknowledged).then_some("dropped");
            self.record(now, WireDirection::ToDevice, Some(cmd), bytes, note);
        }
        let State::Answering { mut rest, sending, .. } = std::mem::replace(&mut self.state, State::Idle) else { return false };
        if number == 0 || !acknowledged {
            if used == 0 || number != 0 {
                self.drop_input();
            }
            return true;
        }
        let packet = rest.pop_front().unwrap_or_default();
        let next = if rest.is_empty() { 0 } else { number + 1 };
        let arrived = now + self.line_time(used);
        self.send(arrived, &sending, cmd, frame::answer(frame_type, *b"OK", next, &packet));
        self.wait_for_ack(rest, next, cmd, frame_type, sending);
        true
    }

    /// Sends the WTs of a delay and gives the time at which it ends.
    pub(super) fn delay(&mut self, delays: &[Delay], frame_type: FrameType, cmd: u8, mut at: Duration) -> Duration {
        for delay in delays {
            for _ in 0..delay.count {
                at += delay.each;
                if delay.with_wt {
                    self.counters.wt_sent += 1;
                    self.send(at, &Transmission::default(), cmd, frame::answer(frame_type, *b"WT", 0, &[]));
                }
            }
        }
        at
    }

    pub(super) fn after_send(&mut self, sending: &Transmission) {
        if sending.cut_after.is_some() {
            self.state = State::Dead;
        }
    }

    /// Puts one frame on the line, as the faults want it.
    pub(super) fn send(&mut self, at: Duration, sending: &Transmission, cmd: u8, mut frame: Vec<u8>) {
        let mut note = None;
        if sending.lost {
            return self.record(at, WireDirection::ToHost, Some(cmd), frame, Some("lost"));
        }
        if sending.crc_error
            && let Some(last) = frame.last_mut()
        {
            *last ^= 0xFF;
            note = Some("crc");
        }
        if let Some(bytes) = sending.cut_after {
            frame.truncate(bytes);
            note = Some("cut");
        }
        if !sending.garbage.is_empty() {
            self.schedule(at, sending.garbage.clone());
        }
        if sending.split.is_zero() {
            return self.schedule_recorded(at, Some(cmd), frame, note);
        }
        self.record(at, WireDirection::ToHost, Some(cmd), frame.clone(), note.or(Some("split")));
        let start = at.max(self.sent_until);
        for (index, byte) in (0_u32..).zip(frame) {
            self.schedule(start + sending.split * index, vec![byte]);
        }
    }

    pub(super) fn schedule_recorded(&mut self, at: Duration, cmd: Option<u8>, frame: Vec<u8>, note: Option<&'static str>) {
        self.record(at, WireDirection::ToHost, cmd, frame.clone(), note);
        self.schedule(at, frame);
    }

    pub(super) fn schedule(&mut self, at: Duration, bytes: Vec<u8>) {
        let at = at.max(self.sent_until) + self.line_time(bytes.len());
        self.sent_until = at;
        self.output.push_back((at, bytes));
    }

    pub(super) fn record(
        &mut self,
        at: Duration,
        direction: WireDirection,
        cmd: Option<u8>,
        bytes: Vec<u8>,
        note: Option<&'static str>,
    ) {
        if self.wire.len() == MAX_RECORDED {
            self.wire.pop_front();
        }
        self.wire.push_back(WireFrame { at, direction, cmd, bytes, note });
    }
}

//! Masks PINs in frames, so that traffic can be recorded. What it does not know, it masks whole.

use super::frame::sum;

/// What stands for a masked byte.
const MASK: u8 = b'*';

/// Where the instruction byte of a command stands in a frame, and where its data begins.
const INSTRUCTION_AT: usize = 7;
const DATA_AT: usize = 11;

/// VERIFY carries a PIN, F9 the fiscal PIN.
const WITH_PIN: [u8; 2] = [0x20, 0xF9];

/// A copy of a frame with the PIN masked and the sum made to fit. Answers stay as they are; parts of requests are masked.
pub fn redact_frame(frame: &[u8]) -> Vec<u8> {
    let mut copy = frame.to_vec();
    let says = |at: usize, rest: usize| frame.get(at).is_some_and(|len| usize::from(*len) + rest == frame.len());
    if matches!(frame.first(), Some(0x05 | 0x50)) && says(1, 2) {
        return copy;
    }
    if frame.first() != Some(&0x02) || !says(4, 5) {
        copy.fill(MASK);
        return copy;
    }
    if frame[5] == 0x50 && frame.get(INSTRUCTION_AT).is_some_and(|instruction| WITH_PIN.contains(instruction)) {
        let end = copy.len() - 1;
        copy[DATA_AT.min(end)..end].fill(MASK);
        copy[end] = sum(&copy[..end]);
    }
    copy
}

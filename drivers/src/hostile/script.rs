//! What a device does to a driver, written in bytes: a first byte that says what the driver is asked, then acts, each of
//! which answers one write of the driver.

/// An act: an operation, a modifier, a length and so many bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act<'a> {
    /// What is done; the device's module knows.
    pub(super) does: u8,
    /// How: a packet number, a position.
    pub(super) how: u8,
    /// How late it comes, and how slowly.
    pub(super) pace: Pace,
    /// With what.
    pub(super) data: &'a [u8],
}

/// When the bytes of an answer come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Before the first byte.
    pub(super) first_ms: u64,
    /// Between bytes.
    pub(super) gap_ms: u64,
}

impl Pace {
    /// Round the time limits of all dialects, most often none.
    fn of(byte: u8) -> Pace {
        const MS: [u64; 16] = [0, 0, 0, 0, 0, 0, 1, 100, 1000, 2900, 3400, 9_000, 29_000, 60_000, 179_000, 400_000];
        Pace { first_ms: MS[usize::from(byte & 0x0F)], gap_ms: MS[usize::from(byte >> 4)].min(2_999) }
    }
}

/// Most acts of one script: more than any call has writes when all goes well.
const MAX_ACTS: usize = 64;

/// The byte that chooses the call, and the acts.
pub(super) fn read(bytes: &[u8]) -> (u8, Vec<Act<'_>>) {
    let Some((first, mut rest)) = bytes.split_first() else { return (0, Vec::new()) };
    let mut acts = Vec::new();
    while let Some(([does, how, pace, high, low], after)) = rest.split_first_chunk::<5>() {
        let count = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (data, later) = after.split_at(count);
        acts.push(Act { does: *does, how: *how, pace: Pace::of(*pace), data });
        rest = later;
        if acts.len() == MAX_ACTS {
            break;
        }
    }
    (*first, acts)
}

/// Writes an act as `read` reads it.
pub fn write(script: &mut Vec<u8>, does: u8, how: u8, data: &[u8]) {
    script.extend([does, how, 0]);
    script.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    script.extend_from_slice(data);
}

/// At most 16 neighbouring bits, which is what the checksums of these links are sure to notice.
pub(super) fn damage(bytes: &mut [u8], act: &Act<'_>) {
    let at = |index: usize| act.data.get(index).copied().unwrap_or(0);
    let place = usize::from(u16::from_be_bytes([at(0), act.how]));
    for (index, mask) in [at(1), at(2)].into_iter().enumerate() {
        if let Some(byte) = bytes.get_mut(place + index) {
            *byte ^= mask;
        }
    }
}

/// Overwrites bytes: pairs of a place and a byte. The places are counted from sixteen times the modifier.
pub(super) fn rewrite(bytes: &mut [u8], act: &Act<'_>) {
    for pair in act.data.chunks_exact(2) {
        if let Some(byte) = bytes.get_mut(usize::from(act.how) * 16 + usize::from(pair[0])) {
            *byte = pair[1];
        }
    }
}

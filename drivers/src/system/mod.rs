//! What differs between operating systems under the drivers: how a serial port is opened, who holds one, what may be opened, and
//! how a program is ended with all that it started. One module per system, with the same names in each.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{DEFAULT_PROFILES_DIR, holder_of};
#[cfg(unix)]
pub(crate) use unix::{
    GIVEN_UP_WRITE_COUNTS, Port, TIMEOUT_LEAST, before_opening, in_own_group, is_serial_port, kill_group, may_open, open_failed,
    serial_ports, usb_devices,
};
#[cfg(windows)]
pub use windows::{DEFAULT_PROFILES_DIR, holder_of};
#[cfg(windows)]
pub(crate) use windows::{
    GIVEN_UP_WRITE_COUNTS, Port, TIMEOUT_LEAST, before_opening, in_own_group, is_serial_port, kill_group, may_open, open_failed,
    serial_ports, usb_devices,
};

/// How many bytes of a command count as written when the system gave a chunk of it up: `before` were taken for good, the chunk
/// has `chunk` bytes.
///
/// "The last byte was never written" is a proof that nothing was issued, so the count must never be too small. Unix says exactly
/// how much it took and takes nothing that it does not count. On Windows a driver that gives a write up may have passed bytes on
/// that it does not count (adapters have buffers of their own): there the whole chunk counts.
pub(crate) fn written_at_most(before: usize, chunk: usize) -> usize {
    written_under(GIVEN_UP_WRITE_COUNTS, before, chunk)
}

fn written_under(given_up_counts: bool, before: usize, chunk: usize) -> usize {
    if given_up_counts { before + chunk } else { before }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_was_given_up_is_no_proof_on_windows() {
        // A command of 70 bytes in chunks of 64 and 6: the second failed. All of it may be out.
        assert_eq!(written_under(true, 64, 6), 70);
        assert_eq!(written_under(false, 64, 6), 64);
        assert_eq!(GIVEN_UP_WRITE_COUNTS, cfg!(windows));
    }
}

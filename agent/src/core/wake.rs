//! Has the PC slept? Then what is known of ports and grants is old: a disk may have been pulled out and another plugged in.
//!
//! Two signs: the boot clock went on while the clock of waking time stood still (sleep), or the wall clock jumped ahead of both
//! (a virtual machine that was stopped; somebody who set the clock costs no more than a survey). A wall clock that is set back
//! says nothing. No decision about an attempt rests on either.

/// Clocks at one moment, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Since boot, sleep counted.
    pub boot_ms: u64,
    /// Since boot, sleep not counted.
    pub awake_ms: u64,
    /// Wall clock, since 1970.
    pub wall_ms: u64,
}

/// Shorter naps change nothing, milliseconds.
const SLEEP_MS: u64 = 2_000;
/// Smaller jumps of the wall clock are corrections of it, milliseconds.
const JUMP_MS: u64 = 10_000;

/// Looks at the clocks again and again.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    last: Option<Clocks>,
}

impl Watch {
    /// For how long the PC was away since the last look, milliseconds, if it was.
    pub fn look(&mut self, now: Clocks) -> Option<u64> {
        let last = self.last.replace(now)?;
        let booted = now.boot_ms.saturating_sub(last.boot_ms);
        let slept = booted.saturating_sub(now.awake_ms.saturating_sub(last.awake_ms));
        let jumped = now.wall_ms.saturating_sub(last.wall_ms).saturating_sub(booted);
        (slept >= SLEEP_MS || jumped >= JUMP_MS).then_some(slept.max(jumped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_ms: u64, awake_ms: u64, wall_ms: u64) -> Clocks {
        Clocks { boot_ms, awake_ms, wall_ms }
    }

    #[test]
    fn sleep_and_a_stopped_machine_are_noticed_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(at(0, 0, 1_000_000)), None);
        assert_eq!(watch.look(at(20_000, 20_000, 1_020_000)), None);
        assert_eq!(watch.look(at(3_620_000, 20_100, 4_620_000)), Some(3_599_900), "it slept");
        assert_eq!(watch.look(at(3_620_500, 20_600, 4_620_500)), None);
        assert_eq!(watch.look(at(3_621_000, 21_100, 5_221_000)), Some(600_000), "a virtual machine was stopped");
    }

    #[test]
    fn long_waits_short_naps_and_a_clock_that_is_corrected_are_no_sleep() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(at(0, 0, 1_000_000)), None);
        assert_eq!(watch.look(at(600_000, 600_000, 1_600_000)), None, "a command that took long");
        assert_eq!(watch.look(at(601_999, 600_000, 1_602_000)), None);
        assert_eq!(watch.look(at(602_999, 601_000, 1_612_999)), None);
        assert_eq!(watch.look(at(603_999, 602_000, 5_000)), None, "set back");
    }
}

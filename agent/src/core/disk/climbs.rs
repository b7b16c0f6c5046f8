//! The last climbs of one disk, for its report: people at the broker see what failed without a look at the PC.
//!
//! What it refuses to do: decide. The ladder decides; this remembers what it said, and little of that.

use std::collections::VecDeque;

use taxdisk_protocol::api::{CLIMBS_MAX, ClimbRung, DiskClimb};
use taxdisk_protocol::class::DeviceClass;

use crate::core::ladder::Rung;

#[derive(Debug, Default)]
pub(super) struct Climbs {
    last: VecDeque<DiskClimb>,
    /// The disk has answered since the last of them: one that says the same is another trouble.
    answered: bool,
}

impl Climbs {
    /// Remembers one. While the disk stays silent, the same again is no news: a broker would write one down every few seconds.
    pub(super) fn climbed(&mut self, rung: Rung, class: DeviceClass, text: String, at: &str) {
        let rung = match rung {
            Rung::Retry => ClimbRung::Retry,
            Rung::Reopen => ClimbRung::Reopen,
            Rung::Reset => ClimbRung::Reset,
            Rung::AskPerson => ClimbRung::AskPerson,
        };
        let climb = DiskClimb { at: at.to_owned(), rung, class, text }.bounded();
        let same = |last: &DiskClimb| (last.rung, last.class, &last.text) == (climb.rung, climb.class, &climb.text);
        if !self.answered && self.last.back().is_some_and(same) {
            return;
        }
        self.answered = false;
        if self.last.len() == CLIMBS_MAX {
            self.last.pop_front();
        }
        self.last.push_back(climb);
    }

    /// The disk gave a good reading.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// The newest last.
    pub(super) fn told(&self) -> Vec<DiskClimb> {
        self.last.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_silence_is_told_once_and_the_next_one_again() {
        let mut climbs = Climbs::default();
        let climb = |climbs: &mut Climbs, rung, at: &str| climbs.climbed(rung, DeviceClass::Link, "silence".into(), at);
        climb(&mut climbs, Rung::Retry, "1");
        climb(&mut climbs, Rung::Retry, "2");
        climb(&mut climbs, Rung::Reopen, "3");
        climbs.answered();
        climb(&mut climbs, Rung::Reopen, "4");
        let told: Vec<_> = climbs.told().into_iter().map(|climb| (climb.rung, climb.at)).collect();
        let at = |text: &str| text.to_owned();
        assert_eq!(told, [(ClimbRung::Retry, at("1")), (ClimbRung::Reopen, at("3")), (ClimbRung::Reopen, at("4"))]);
        for n in 0..100 {
            climbs.answered();
            climb(&mut climbs, Rung::Retry, &n.to_string());
        }
        let told = climbs.told();
        assert_eq!((told.len(), told[7].at.as_str()), (CLIMBS_MAX, "99"));
    }
}

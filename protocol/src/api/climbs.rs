//! What an agent tried when a disk did not answer well, as its report carries it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::class::DeviceClass;

/// Climbs that a report carries at most: enough for one way up the ladder with what came before. Older ones are in the agent's
/// log.
pub const CLIMBS_MAX: usize = 8;
/// The longest text of one, characters. The words of a driver are a sentence.
pub const CLIMB_TEXT_CHARS: usize = 300;

/// What was done about a reading that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClimbRung {
    /// The disk is read again after a wait.
    Retry,
    /// The port is closed and opened anew.
    Reopen,
    /// The USB device is reset, then opened anew.
    Reset,
    /// Nothing helped: a person must look.
    AskPerson,
}

impl ClimbRung {
    /// All of them, the lowest first.
    pub const ALL: [ClimbRung; 4] = [ClimbRung::Retry, ClimbRung::Reopen, ClimbRung::Reset, ClimbRung::AskPerson];
}

/// A reading of a disk that failed, and what was done about it. The same again at once is told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskClimb {
    /// When it failed first, by the PC's clock, RFC 3339.
    pub at: String,
    /// What was done.
    pub rung: ClimbRung,
    /// Class of what failed.
    pub class: DeviceClass,
    /// What failed, for people.
    pub text: String,
}

impl DiskClimb {
    /// With a text that is cut off after [`CLIMB_TEXT_CHARS`].
    #[must_use]
    pub fn bounded(mut self) -> DiskClimb {
        if let Some((end, _)) = self.text.char_indices().nth(CLIMB_TEXT_CHARS) {
            self.text.truncate(end);
        }
        self
    }
}

/// The newest [`CLIMBS_MAX`], with bounded texts. A newer agent may know rungs and classes that this program does not.
pub(super) fn known_climbs<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<DiskClimb>, D::Error> {
    let told = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let known = told.into_iter().filter_map(|one| serde_json::from_value(one).ok()).map(DiskClimb::bounded);
    let mut climbs: Vec<DiskClimb> = known.collect();
    climbs.drain(..climbs.len().saturating_sub(CLIMBS_MAX));
    Ok(climbs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out_and_what_is_too_much_is_cut_off() {
        #[derive(Deserialize)]
        struct Report(#[serde(deserialize_with = "known_climbs")] Vec<DiskClimb>);
        let one = |n: usize, rung: &str| serde_json::json!({ "at": format!("2026-02-03T01:53:{n:02}Z"), "rung": rung, "class": "link", "text": "静".repeat(n * 100) });
        let mut told: Vec<_> = (0..12).map(|n| one(n, "retry")).collect();
        told.push(one(12, "call_the_maker"));
        let Report(climbs) = serde_json::from_value(told.into()).unwrap();
        let seconds: Vec<&str> = climbs.iter().map(|climb| &climb.at[17..19]).collect();
        assert_eq!(seconds, ["04", "05", "06", "07", "08", "09", "10", "11"]);
        assert!(climbs.iter().all(|climb| climb.text.chars().count() == CLIMB_TEXT_CHARS));
    }
}

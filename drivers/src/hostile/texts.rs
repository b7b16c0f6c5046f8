//! Texts that people and other programs bring: device profiles, recordings, frames of the agent link. What was read and is
//! written again must read the same.

use taxdisk_protocol::link::{self, Decode};

use crate::dialects::anonymise;
use crate::profile::{Dialect, Profile};
use crate::transport::record::Entry;
use crate::transport::ring::{from_json_lines, to_json_lines};

/// A profile is one TOML file of a folder that a person wrote.
pub(super) fn profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Profile::parse(text) {
        Ok(profile) => {
            let written = toml::to_string(&profile).expect("what was read can be written");
            let again = Profile::parse(&written);
            assert_eq!(again.as_ref(), Ok(&profile), "{written}");
            // It allows nothing that it was not made for.
            assert!(!profile.is_detection_only() || !profile.matches.probe, "a device that is only shown would be asked");
            assert!(profile.timeouts.longest_ms >= profile.timeouts.answer_ms.max(profile.timeouts.network_ms));
        }
        Err(why) => assert!(!why.contains('\n'), "an error of several lines"),
    }
}

/// A recording that somebody sent.
pub(super) fn recording(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines() {
        if let Ok(entry) = line.parse::<Entry>() {
            assert_eq!(entry.to_string().parse::<Entry>().as_ref(), Ok(&entry), "{line}");
        }
    }
    if let Ok(entries) = from_json_lines(text) {
        assert_eq!(from_json_lines(&to_json_lines(&entries)).as_ref(), Ok(&entries));
        for dialect in Dialect::ALL {
            let clean = anonymise(dialect, entries.clone());
            let size = |entries: &[Entry]| to_json_lines(entries).len();
            assert!(clean.len() <= entries.len() && size(&clean) <= size(&entries), "taking names out makes it no longer");
        }
    }
}

/// Frames of the link between agent and broker, read by either side.
pub(super) fn link_frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match link::decode_agent(text) {
        Ok(frame) => {
            let written = serde_json::to_string(&frame).expect("what was read can be written");
            assert_eq!(link::decode_agent(&written).as_ref(), Ok(&frame), "{written}");
        }
        Err(error) => bounded(&error),
    }
    match link::decode_broker(text) {
        Ok(frame) => {
            let written = serde_json::to_string(&frame).expect("what was read can be written");
            assert_eq!(link::decode_broker(&written).as_ref(), Ok(&frame), "{written}");
        }
        Err(error) => bounded(&error),
    }
}

/// What goes back to a sender or into a log.
fn bounded(error: &Decode) {
    if let Decode::UnknownType(name) = error {
        assert!(name.len() <= 64, "a type of {} bytes is repeated", name.len());
    }
}

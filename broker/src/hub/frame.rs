//! Frames as text: what is known, what is of a newer version, and what is no frame at all.

use serde::Deserialize;
use taxdisk_protocol::link::AgentFrame;

/// A text that came over the link.
#[derive(Debug)]
pub(super) enum Heard {
    /// A frame.
    Frame(Box<AgentFrame>),
    /// A frame whose type, or a value in it, is not known here: a newer agent's. The link goes on.
    Unsupported {
        /// Its type.
        of: String,
        /// Why it was not understood.
        why: String,
    },
    /// No frame.
    Garbage(String),
}

/// The longest type that is answered, bytes.
const MAX_TYPE_BYTES: usize = 64;

/// Reads a text.
pub(super) fn read(text: &str) -> Heard {
    #[derive(Deserialize)]
    struct Tag {
        #[serde(rename = "type")]
        kind: String,
    }
    let error = match serde_json::from_str::<AgentFrame>(text) {
        Ok(frame) => return Heard::Frame(Box::new(frame)),
        Err(error) => error,
    };
    match serde_json::from_str::<Tag>(text) {
        Ok(tag) if tag.kind.len() <= MAX_TYPE_BYTES => Heard::Unsupported { of: tag.kind, why: error.to_string() },
        _ => Heard::Garbage(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_frames_are_told_from_garbage() {
        assert!(matches!(read(r#"{"type":"goodbye","later_field":1}"#), Heard::Frame(frame) if *frame == AgentFrame::Goodbye));
        assert!(matches!(read(r#"{"type":"weather","rain":1}"#), Heard::Unsupported { of, .. } if of == "weather"));
        assert!(matches!(read(r#"{"type":"disks","disks":7}"#), Heard::Unsupported { of, .. } if of == "disks"));
        assert!(matches!(read(r#"{"kind":"goodbye"}"#), Heard::Garbage(_)));
        assert!(matches!(read("goodbye"), Heard::Garbage(_)));
        assert!(matches!(read(&format!(r#"{{"type":"{}"}}"#, "x".repeat(65))), Heard::Garbage(_)));
    }
}

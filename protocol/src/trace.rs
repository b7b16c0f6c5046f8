//! Whose way something is a step of: the trace context of W3C, as a job carries it from its submission to the disk and back.
//!
//! A trace is for whoever looks at what happened. Nothing is ever decided by it: it is in no hash of a content, a wrong one is
//! ignored and never refused, and a program of a version that does not know it leaves it out.
//!
//! Spans are named by what they are, not by who made them: [`Traceparent::step`] makes the id of a step from the job's own, so
//! that broker and agent agree on it without telling each other, and a process that takes over from a killed one goes on under
//! the same.
//!
//! It refuses to draw ids: they enter at the edges, from a caller or from a random number there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The only version of the header that exists (Trace Context, section 3.2.2).
const VERSION: &str = "00";
/// The step from the broker to an agent, numbered by the attempt: both work out its place alike.
pub const HAND_OVER: &str = "hand-over";
/// Bit of the flags: the caller recorded it, and so shall we.
const SAMPLED: u8 = 1;

/// Why a text is no trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of version 00 with ids that are not zero")]
pub struct TraceparentError;

/// A trace and a place in it: the trace's id, the id of the span that what follows is a child of, and whether it is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traceparent {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl Traceparent {
    /// From ids. `None`: one of them is zero, which means "none" on the wire.
    pub fn new(trace: [u8; 16], span: [u8; 8], sampled: bool) -> Option<Traceparent> {
        (trace != [0; 16] && span != [0; 8]).then_some(Traceparent { trace, span, sampled })
    }

    /// Id of the trace, 16 bytes.
    pub fn trace(&self) -> [u8; 16] {
        self.trace
    }

    /// Id of the span, 8 bytes.
    pub fn span(&self) -> [u8; 8] {
        self.span
    }

    /// Whether spans of it are recorded.
    pub fn sampled(&self) -> bool {
        self.sampled
    }

    /// Id of the trace as people and log lines have it: 32 hex digits.
    pub fn trace_id(&self) -> String {
        hex::encode(self.trace)
    }

    /// The same trace at another span. `None`: the id is zero.
    pub fn at(&self, span: [u8; 8]) -> Option<Traceparent> {
        Traceparent::new(self.trace, span, self.sampled)
    }

    /// The place of a step of this one: always the same for the same name and number.
    pub fn step(&self, name: &str, number: u32) -> Traceparent {
        let mut hasher = Sha256::new_with_prefix("taxdisk span v1");
        hasher.update(self.trace);
        hasher.update(self.span);
        hasher.update(number.to_be_bytes());
        hasher.update(name.as_bytes());
        let digest = hasher.finalize();
        let mut span = [0; 8];
        span.copy_from_slice(&digest[..8]);
        // One in 2^64: any other id is as good.
        self.at(span).unwrap_or(Traceparent { span: [1; 8], ..*self })
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}-{}-{}-{:02x}", hex::encode(self.trace), hex::encode(self.span), u8::from(self.sampled))
    }
}

impl fmt::Debug for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Lower-case hex digits, as the header demands them.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

impl FromStr for Traceparent {
    type Err = TraceparentError;

    /// Reads the header of version 00; of a later one the parts that it shares with it (section 3.2.4).
    fn from_str(text: &str) -> Result<Traceparent, TraceparentError> {
        let read = || {
            let mut parts = text.split('-');
            let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            let [number] = digits::<1>(version)?;
            if number == 0xff || version == VERSION && parts.next().is_some() {
                return None;
            }
            let [flags] = digits::<1>(flags)?;
            Traceparent::new(digits(trace)?, digits(span)?, flags & SAMPLED != 0)
        };
        read().ok_or(TraceparentError)
    }
}

impl Serialize for Traceparent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// For a field that may be missing or be anything at all: what is no trace context is none, and whatever it stands in stays
/// readable.
///
/// # Errors
/// Those of the text around it only.
pub fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Traceparent>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(|text| text.parse().ok()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The example of the standard.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written_as_it_was() {
        let context: Traceparent = EXAMPLE.parse().unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.sampled());
        let unsampled: Traceparent = EXAMPLE.replace("-01", "-00").parse().unwrap();
        assert!(!unsampled.sampled());
    }

    #[test]
    fn of_a_later_version_the_known_parts_are_read() {
        let later: Traceparent = format!("cc{}-more", &EXAMPLE[2..]).parse().unwrap();
        assert_eq!(later.to_string(), EXAMPLE);
    }

    #[test]
    fn what_is_no_context_is_told_from_one() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        let bad = [
            "",
            "00",
            &EXAMPLE[..54],
            &format!("{EXAMPLE}-more"),
            &EXAMPLE.to_uppercase(),
            &EXAMPLE.replace("00-", "ff-"),
            &EXAMPLE.replace('-', "_"),
            &EXAMPLE.replace("4bf9", "税控"),
            &zero_trace,
            &zero_span,
            &format!(" {EXAMPLE}"),
        ];
        for text in bad {
            assert!(text.parse::<Traceparent>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_step_has_one_id_for_ever_and_no_other_steps_have_it() {
        let context: Traceparent = EXAMPLE.parse().unwrap();
        // Held here because broker and agent may be of different versions.
        assert_eq!(context.step(HAND_OVER, 1).to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-88da9930aa9f65be-01");
        let others = [context.step("hand-over", 2), context.step("queue", 1), context.at([7; 8]).unwrap().step("hand-over", 1)];
        let mut seen: Vec<_> = others.iter().chain([&context, &context.step("hand-over", 1)]).map(Traceparent::span).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn a_field_that_holds_anything_is_readable() {
        #[derive(Deserialize)]
        struct Row {
            #[serde(default, deserialize_with = "lenient")]
            trace: Option<Traceparent>,
        }
        for text in ["{}", r#"{"trace":null}"#, r#"{"trace":7}"#, r#"{"trace":"00-zz"}"#, r#"{"trace":{"a":[1]}}"#] {
            assert_eq!(serde_json::from_str::<Row>(text).unwrap().trace, None, "{text}");
        }
        let row: Row = serde_json::from_str(&format!(r#"{{"trace":"{EXAMPLE}"}}"#)).unwrap();
        assert_eq!(row.trace.unwrap().to_string(), EXAMPLE);
    }
}

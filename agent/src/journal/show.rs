//! The journal as people see it: every entry as JSON, without buyers' names, amounts and signatures.

use serde_json::Value;

use super::Line;
use super::entry;

/// Fields of frames that are left out: they are nobody's business in a support case.
const REDACTED: [&str; 7] = ["buyer", "gross", "signature", "fiscal_code", "check_code", "cipher", "qr_text"];

/// One entry as a line.
pub(super) fn line(key: &str, bytes: &[u8]) -> Line {
    let body = entry::decode::<Value>(key, bytes).map(|mut value| {
        redact(&mut value);
        value
    });
    Line { kind: entry::kind_of(key), key: key.to_owned(), body }
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if REDACTED.contains(&name.as_str()) && field.as_str().is_some_and(|text| !text.is_empty()) {
                    *field = Value::String("(left out)".into());
                } else {
                    redact(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

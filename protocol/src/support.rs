//! The file for whoever helps, as agent and broker write it: parts with a table of contents, bounded, without taxpayer numbers.
//!
//! What else must not be in it (names, passwords, keys, contents of invoices) is not handed in: nothing here could tell it from
//! other text. It goes nowhere by itself; the program that makes it writes a file.

use serde_json::{Map, Value, json};

use crate::ids::TaxpayerNumber;

/// The longest part, bytes of JSON. The largest that is meant, an agent's recording, has six million at most.
pub const PART_MAX_BYTES: usize = 8 << 20;
/// What stands in place of a taxpayer number.
const MASK: &str = "(taxpayer number)";

/// Parts that are gathered.
#[derive(Debug)]
pub struct Bundle {
    parts: Map<String, Value>,
    in_it: Vec<String>,
    not_in_it: &'static str,
}

impl Bundle {
    /// An empty one; `not_in_it` is told to whoever makes it.
    pub fn new(not_in_it: &'static str) -> Bundle {
        Bundle { parts: Map::new(), in_it: Vec::new(), not_in_it }
    }

    /// Adds a part under a name, with what it is for people. One that is too large is left out, and that is said in its place.
    pub fn put(&mut self, name: &str, what: &str, value: Value) {
        let bytes = value.to_string().len();
        let value = if bytes <= PART_MAX_BYTES { value } else { json!({ "left_out": format!("{bytes} bytes are too many") }) };
        self.in_it.push(format!("{name}: {what}"));
        self.parts.insert(name.to_owned(), value);
    }

    /// The table of contents: one line for each part.
    pub fn in_it(&self) -> &[String] {
        &self.in_it
    }

    /// What was left out of all parts.
    pub fn not_in_it(&self) -> &'static str {
        self.not_in_it
    }

    /// The text of the file; `made_at` stands in it.
    pub fn text(&self, made_at: &str) -> String {
        let about = json!({ "made_at": made_at, "in_it": self.in_it, "not_in_it": self.not_in_it });
        let mut parts = Map::from_iter([("about".to_owned(), about)]);
        parts.extend(self.parts.clone());
        format!("{:#}", masked_value(Value::Object(parts)))
    }

    /// What is said to whoever made it, once it lies in `file`.
    pub fn told(&self, file: &str) -> String {
        let list: String = self.in_it.iter().map(|line| format!("  {line}\n")).collect();
        format!("{file} holds:\n{list}It does not hold: {}.\nRead it before you send it.", self.not_in_it)
    }
}

/// The part about the machine: the program with its version, and what the system says of itself (`/etc/os-release`, and
/// `/proc/sys/kernel/osrelease`).
pub fn host(program: &str, version: &str, os_release: &str, kernel: &str) -> Value {
    let system = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    json!({
        program: version,
        "architecture": std::env::consts::ARCH,
        "system": system.trim_matches('"'),
        "kernel": kernel.trim(),
    })
}

/// Text by text, before anything is escaped: a letter of an escape would look like one of the word behind it.
fn masked_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(masked(&text)),
        Value::Array(values) => values.into_iter().map(masked_value).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (masked(&name), masked_value(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// Without taxpayer numbers, wherever they stand: every word that has the form of one and its right check character.
fn masked(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        out.push_str(&rest[..start]);
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let is_number = (15..=20).contains(&end) && word[..end].parse::<TaxpayerNumber>().is_ok();
        out.push_str(if is_number { MASK } else { &word[..end] });
        rest = &word[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taxpayer_numbers_are_masked_and_other_words_stay() {
        let text = "{\"key\": \"i/91110000MA0000001L/SERIAL-1\", \"n\": 011002000107, \"disk\": \"499000123456\"}";
        let shown = masked(text);
        assert_eq!(shown, text.replace("91110000MA0000001L", MASK));
        assert_eq!(masked("发票 ok"), "发票 ok");
    }

    #[test]
    fn the_system_is_named_as_it_names_itself() {
        let made = host("agent", "0.1.0", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n", "6.1.0\n");
        assert_eq!(
            (&made["agent"], &made["system"], &made["kernel"]),
            (&"0.1.0".into(), &"Debian GNU/Linux 12".into(), &"6.1.0".into())
        );
    }

    #[test]
    fn every_part_is_in_the_table_of_contents_and_none_is_too_large() {
        let mut bundle = Bundle::new("names");
        bundle.put("host", "the system", json!({ "91110000MA0000001L": ["of\n91110000MA0000001L"] }));
        bundle.put("log", "everything", "x".repeat(PART_MAX_BYTES).into());
        let made: Value = serde_json::from_str(&bundle.text("2026-11-29T00:00:00Z")).expect("it is JSON");
        assert_eq!(made["about"]["in_it"], json!(["host: the system", "log: everything"]));
        assert_eq!(made["about"]["not_in_it"], "names");
        assert_eq!(made["host"], json!({ MASK: [format!("of\n{MASK}")] }));
        assert_eq!(made["log"], json!({ "left_out": format!("{} bytes are too many", PART_MAX_BYTES + 2) }));
        assert!(bundle.told("a.json").contains("a.json holds:\n  host: the system\n"), "{}", bundle.told("a.json"));
    }
}

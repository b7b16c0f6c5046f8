//! What went between this PC and a disk around every failure, over whichever transport, kept here until a person exports it:
//! `record on|off|export`.
//!
//! Off unless a person switches it on. Passwords are masked before a byte is kept, names and taxpayer numbers before anything is
//! exported. It refuses to grow: a ring in memory, and two files of a stated size per disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use taxdisk_drivers::dialects::anonymise;
use taxdisk_drivers::profile::Dialect;
use taxdisk_drivers::transport::record::Entry;
use taxdisk_drivers::transport::ring::{Tape, from_json_lines, to_json_lines};

use crate::failure::Failure;

/// A file of this size, bytes, becomes the old one, and the old one goes.
const FILE_MAX_BYTES: u64 = 2 * 1024 * 1024;

/// The recordings of a state folder.
#[derive(Debug, Clone)]
pub struct Recordings {
    folder: PathBuf,
}

impl Recordings {
    /// Of this state folder.
    pub fn of(state: &Path) -> Recordings {
        Recordings { folder: state.join("recording") }
    }

    fn marker(&self) -> PathBuf {
        self.folder.join("on")
    }

    /// It is switched on.
    pub fn is_on(&self) -> bool {
        self.marker().exists()
    }

    /// Switches it on or off, for the ports that are opened from now on.
    ///
    /// # Errors
    /// The state folder cannot be written.
    pub fn switch(&self, on: bool) -> Result<(), Failure> {
        let wrong = |error: std::io::Error| Failure::config(format!("{} cannot be written ({error}).", self.folder.display()));
        if on {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(wrong)?;
            return std::fs::write(self.marker(), b"").map_err(wrong);
        }
        match std::fs::remove_file(self.marker()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(wrong(error)),
            _ => Ok(()),
        }
    }

    fn file(&self, port: &str) -> PathBuf {
        let name: String = port.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        self.folder.join(format!("{name}.jsonl"))
    }

    /// Keeps what the tape holds. A recording that cannot be written keeps no disk from working.
    pub fn keep(&self, port: &str, dialect: Dialect, why: &str, tape: &Tape) {
        let entries = tape.take();
        if entries.is_empty() || !self.is_on() {
            return;
        }
        if let Err(error) = self.append(port, dialect, why, &entries) {
            tracing::warn!(port, %error, "the recording cannot be written");
        }
    }

    fn append(&self, port: &str, dialect: Dialect, why: &str, entries: &[Entry]) -> std::io::Result<()> {
        let file = self.file(port);
        if std::fs::metadata(&file).is_ok_and(|known| known.len() > FILE_MAX_BYTES) {
            std::fs::rename(&file, file.with_extension("old"))?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
        let note = serde_json::json!({ "failure": why, "dialect": dialect.name() });
        file.write_all(format!("{note}\n{}", to_json_lines(entries)).as_bytes())
    }

    /// All that was kept, people taken out: JSON Lines. Before the entries of each disk a line names their dialect
    /// (`{"recording":1,"dialect":"zc"}`); a part that begins with such a line can be played again against its driver.
    ///
    /// # Errors
    /// Nothing was kept, or it cannot be read.
    pub fn export(&self) -> Result<String, Failure> {
        let wrong = |error: std::io::Error| Failure::failed(format!("{} cannot be read ({error}).", self.folder.display()));
        let mut files = Vec::new();
        for found in std::fs::read_dir(&self.folder).map_err(|_| nothing())? {
            let path = found.map_err(wrong)?.path();
            if path.extension().is_some_and(|end| end == "jsonl" || end == "old") {
                files.push(path);
            }
        }
        // The old one of a port first.
        files.sort_by_key(|path| (path.with_extension(""), path.extension().is_some_and(|end| end == "jsonl")));
        let mut text = String::new();
        for path in files {
            let kept = std::fs::read_to_string(&path).map_err(wrong)?;
            for (dialect, part) in parts(&kept) {
                let entries = from_json_lines(&part).map_err(|error| Failure::failed(format!("{}: {error}.", path.display())))?;
                let note = serde_json::json!({ "recording": FORMAT, "dialect": dialect.name() });
                text.push_str(&format!("{note}\n{}", to_json_lines(&anonymise(dialect, entries))));
            }
        }
        if text.is_empty() { Err(nothing()) } else { Ok(text) }
    }
}

/// Of the exported file.
const FORMAT: u32 = 1;

/// The parts of a file by the dialect that was spoken then. The notes, whose texts may name people, are left out.
fn parts(kept: &str) -> Vec<(Dialect, String)> {
    let mut parts: Vec<(Dialect, String)> = Vec::new();
    for line in kept.lines() {
        let note = serde_json::from_str::<serde_json::Value>(line).ok().filter(|value| value.get("failure").is_some());
        match note {
            Some(note) => {
                // Files from before dialects were noted are of serial lines.
                let dialect = note["dialect"].as_str().and_then(Dialect::of).unwrap_or(Dialect::Zc);
                if parts.last().is_none_or(|(last, _)| *last != dialect) {
                    parts.push((dialect, String::new()));
                }
            }
            None => {
                if parts.is_empty() {
                    parts.push((Dialect::Zc, String::new()));
                }
                if let Some((_, part)) = parts.last_mut() {
                    part.push_str(line);
                    part.push('\n');
                }
            }
        }
    }
    parts
}

fn nothing() -> Failure {
    Failure::failed("Nothing is recorded: switch it on by `taxdisk-agent record on`, and wait for a failure.")
}

//! What went between this PC and a disk around every failure, over whichever transport, kept here until a person exports it:
//! `record on|off|export`.
//!
//! Off unless a person switches it on. Passwords are masked before a byte is kept, names and taxpayer numbers before anything is
//! exported. It refuses to grow: a ring in memory, and two files of a stated size per disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use taxdisk_drivers::dialects::anonymise;
use taxdisk_drivers::profile::Dialect;
use taxdisk_drivers::transport::record::Entry;
use taxdisk_drivers::transport::ring::{Tape, from_json_lines, to_json_lines};
use taxdisk_protocol::link::RECORDED_MAX_BYTES;

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
            crate::platform::private_folder(&self.folder).map_err(wrong)?;
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

    /// Keeps what the tape holds, and gives the last of it for the broker, people taken out. A recording that cannot be written
    /// keeps no disk from working.
    pub fn keep(&self, port: &str, dialect: Dialect, why: &str, tape: &Tape) -> Option<String> {
        let entries = tape.take();
        if entries.is_empty() || !self.is_on() {
            return None;
        }
        if let Err(error) = self.append(port, dialect, why, &entries) {
            tracing::warn!(port, %error, "the recording cannot be written");
        }
        let told = to_json_lines(&anonymise(dialect, entries));
        Some(last_lines(&told, RECORDED_MAX_BYTES).to_owned()).filter(|lines| !lines.is_empty())
    }

    fn append(&self, port: &str, dialect: Dialect, why: &str, entries: &[Entry]) -> std::io::Result<()> {
        let file = self.file(port);
        if std::fs::metadata(&file).is_ok_and(|known| known.len() > FILE_MAX_BYTES) {
            std::fs::rename(&file, file.with_extension("old"))?;
        }
        let mut file = crate::platform::with_mode(OpenOptions::new().create(true).append(true), 0o600).open(file)?;
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

/// The last whole lines that fit.
fn last_lines(text: &str, max_bytes: usize) -> &str {
    let starts = text.match_indices('\n').map(|(end, _)| end + 1);
    std::iter::once(0)
        .chain(starts)
        .find_map(|start| text.get(start..).filter(|rest| rest.len() <= max_bytes))
        .unwrap_or_default()
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

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;
    use taxdisk_drivers::transport::record::{During, Event, How};

    const PORT: &str = "/dev/ttyUSB0";

    fn on() -> (tempfile::TempDir, Recordings) {
        let dir = tempfile::tempdir().unwrap();
        let recordings = Recordings::of(dir.path());
        recordings.switch(true).unwrap();
        (dir, recordings)
    }

    fn tape(events: impl IntoIterator<Item = Event>) -> Tape {
        let tape = Tape::default();
        for (at, event) in events.into_iter().enumerate() {
            tape.push(Entry { at: Duration::from_millis(u64::try_from(at).unwrap()), event });
        }
        tape
    }

    fn gbk(text: &str) -> Vec<u8> {
        encoding_rs::GBK.encode(text).0.into_owned()
    }

    #[test]
    fn nothing_is_kept_before_it_is_switched_on_nor_after_it_is_switched_off() {
        let dir = tempfile::tempdir().unwrap();
        let recordings = Recordings::of(dir.path());
        assert!(!recordings.is_on());
        recordings.switch(false).unwrap();
        recordings.keep(PORT, Dialect::Zc, "silence", &tape([Event::Reopened]));
        assert!(recordings.export().unwrap_err().text.contains("record on"));
        recordings.switch(true).unwrap();
        assert!(recordings.is_on());
        assert_eq!(std::fs::metadata(&recordings.folder).unwrap().permissions().mode() & 0o777, 0o700);
        let full = tape([Event::Reopened]);
        recordings.keep(PORT, Dialect::Zc, "silence", &full);
        assert!(full.take().is_empty(), "what was kept is not kept twice");
        assert_eq!(std::fs::metadata(recordings.file(PORT)).unwrap().permissions().mode() & 0o777, 0o600);
        recordings.switch(false).unwrap();
        recordings.keep(PORT, Dialect::Zc, "silence", &tape([Event::Reopened, Event::Reopened]));
        let exported = recordings.export().unwrap();
        assert_eq!(from_json_lines(&exported).unwrap().len(), 1, "{exported}");
    }

    #[test]
    fn every_disk_is_exported_in_its_own_dialect_and_nobody_is_named() {
        let (_dir, recordings) = on();
        let document = gbk("<business id=\"FPCX\"><ghdwmc>张三商店 Smith</ghdwmc><nsrsbh>91110000MA0000001L</nsrsbh></business>");
        let events = [Event::Sent(document.clone()), Event::Received(document), Event::Failed(During::Call, How::MaybeSent)];
        recordings.keep("http://127.0.0.1:1/bridge", Dialect::Nisec, "no answer from 张三商店", &tape(events));
        recordings.keep("/dev/ttyS9", Dialect::Card, "noise", &tape([Event::Received(gbk("91110000MA0000001L 张三"))]));
        recordings.keep("usb", Dialect::Bot, "stall", &tape([Event::Failed(During::In, How::Stall)]));
        let exported = recordings.export().unwrap();
        let notes: Vec<serde_json::Value> = exported
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|line: &serde_json::Value| line["recording"] == 1)
            .collect();
        let mut dialects: Vec<&str> = notes.iter().map(|note| note["dialect"].as_str().unwrap()).collect();
        dialects.sort_unstable();
        assert_eq!(dialects, ["bot", "card", "nisec"]);
        assert!(!exported.contains("failure") && !exported.contains("张三"), "{exported}");
        let entries = from_json_lines(&exported).unwrap();
        assert_eq!(entries.len(), 5);
        for entry in entries {
            if let Event::Sent(bytes) | Event::Received(bytes) = entry.event {
                for secret in [gbk("张三"), b"Smith".to_vec(), b"91110000MA0000001L".to_vec()] {
                    assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{}", String::from_utf8_lossy(&bytes));
                }
            }
        }
    }

    #[test]
    fn what_the_broker_is_told_is_bounded_and_names_nobody() {
        let (_dir, recordings) = on();
        let document = gbk("<business id=\"FPCX\"><ghdwmc>张三商店 Smith</ghdwmc></business>");
        let told = recordings.keep("x", Dialect::Nisec, "no answer", &tape([Event::Reopened, Event::Sent(document)])).unwrap();
        let entries = from_json_lines(&told).unwrap();
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| match &entry.event {
            Event::Sent(bytes) => !bytes.windows(5).any(|part| part == b"Smith"),
            _ => true,
        }));
        let many = (0..100).flat_map(|n| [Event::Sent(vec![0; 100]), Event::Received(vec![n; 100])]);
        let told = recordings.keep("x", Dialect::Zc, "noise", &tape(many)).unwrap();
        assert!(told.len() <= RECORDED_MAX_BYTES && told.len() > RECORDED_MAX_BYTES - 400, "{}", told.len());
        let last = from_json_lines(&told).unwrap().pop().unwrap();
        assert!(matches!(&last.event, Event::Received(bytes) if bytes.starts_with(&[99; 4])), "the newest are told: {last:?}");
        assert_eq!(last_lines("too long\n", 3), "", "half a line is none");
        recordings.switch(false).unwrap();
        assert_eq!(recordings.keep("x", Dialect::Zc, "noise", &tape([Event::Reopened])), None);
    }

    #[test]
    fn a_port_whose_profile_was_changed_keeps_both_its_dialects() {
        let (_dir, recordings) = on();
        for dialect in [Dialect::Zc, Dialect::Zc, Dialect::Card] {
            recordings.keep(PORT, dialect, "silence", &tape([Event::Reopened]));
        }
        let exported = recordings.export().unwrap();
        let lines: Vec<&str> = exported.lines().collect();
        assert!(lines.len() == 5 && lines[0].contains("zc") && lines[3].contains("card"), "{exported}");
        // A file of an older release names no dialect: it is of a serial converter.
        std::fs::write(recordings.file(PORT), "{\"failure\":\"x\"}\n{\"at_us\":1,\"event\":\"sent\",\"hex\":\"D5C5C8FD\"}\n")
            .unwrap();
        let exported = recordings.export().unwrap();
        assert!(exported.contains("zc"), "{exported}");
    }

    #[test]
    fn files_stay_bounded_and_damage_is_told() {
        let (_dir, recordings) = on();
        let large = || tape([Event::Received(vec![b'x'; 500 * 1024])]);
        for _ in 0..12 {
            recordings.keep(PORT, Dialect::Zc, "noise", &large());
        }
        let sizes: Vec<u64> =
            std::fs::read_dir(&recordings.folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
        // A file may be over its size by one tape.
        assert!(sizes.iter().sum::<u64>() <= 2 * (FILE_MAX_BYTES + 1_100_000), "{sizes:?}");
        assert!(from_json_lines(&recordings.export().unwrap()).unwrap().len() >= 2);
        std::fs::write(recordings.file(PORT), "not a recording\n").unwrap();
        let failure = recordings.export().unwrap_err();
        assert!(failure.text.contains("ttyUSB0.jsonl"), "{failure}");
    }
}

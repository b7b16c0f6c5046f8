//! Which of the configured disks are there: port present, port free, device answers, whose disk it is.
//!
//! It opens configured ports only and writes to no other: a byte that is harmless to a tax disk may not be harmless to what
//! hangs on the next port. It looks once and reports; it repeats nothing and keeps nothing open.

use serde::{Deserialize, Serialize};

use crate::dialects::zc::{ZcConfig, ZcDisk};
use crate::disk::{DiskError, Identity, TaxDisk};
use crate::transport::serial::SerialLine;
use crate::transport::{ByteLine, Holder, LineError};

/// The speed of a wired converter as delivered.
const WIRED_SPEED_BAUD: u32 = 9600;

/// One `[[disk]]` of the configuration. Passwords are kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskEntry {
    /// Path of the port, such as `/dev/serial/by-id/…`.
    pub port: String,
    /// How the device is spoken to.
    pub dialect: DialectName,
    /// Speed of the line in baud; 9600 for a wired converter, 115200 for a Bluetooth one.
    #[serde(default = "wired_speed")]
    pub speed: u32,
}

/// Dialects that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialectName {
    /// Serial converters; see [`crate::dialects::zc`].
    Zc,
}

fn wired_speed() -> u32 {
    WIRED_SPEED_BAUD
}

/// What was found at a configured port. `None`: not tried, because an earlier step failed.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The port as configured.
    pub port: String,
    /// The port exists.
    pub present: bool,
    /// Nobody else has it open.
    pub free: Option<bool>,
    /// Who has it open, where somebody has.
    pub held_by: Option<Holder>,
    /// The device answered the handshake.
    pub answers: Option<bool>,
    /// The number inside the disk, read without a password.
    pub number: Option<String>,
    /// Whose disk it is. Read only where the disk's password is set.
    pub identity: Option<Identity>,
    /// Why the look ended early: whose fault it is and what to do.
    pub why_not: Option<String>,
}

impl Found {
    fn nothing(port: &str) -> Found {
        Found {
            port: port.to_owned(),
            present: false,
            free: None,
            held_by: None,
            answers: None,
            number: None,
            identity: None,
            why_not: None,
        }
    }

    fn because(mut self, error: &impl ToString) -> Found {
        self.why_not = Some(error.to_string());
        self
    }
}

/// Looks at one configured port: opens it, 01, 02, and 04 where the disk's password is set.
pub fn look(entry: &DiskEntry, config: ZcConfig) -> Found {
    let mut found = Found::nothing(&entry.port);
    let line = match SerialLine::open(&entry.port, entry.speed) {
        Ok(line) => line,
        Err(error) => {
            found.present = !matches!(error, LineError::NotFound { .. });
            if let LineError::Busy { holder, .. } = &error {
                found.free = Some(false);
                found.held_by = Some(holder.clone());
            }
            return found.because(&error);
        }
    };
    (found.present, found.free) = (true, Some(true));
    match entry.dialect {
        DialectName::Zc => look_at_zc(line, config, found),
    }
}

fn look_at_zc<L: ByteLine>(line: L, config: ZcConfig, mut found: Found) -> Found {
    let has_password = !config.disk_password.is_empty();
    let mut disk = ZcDisk::new(line, config);
    // A new line begins in doubt: this waits for silence and gets a good handshake.
    if let Err(error) = disk.handshake() {
        found.answers = Some(false);
        return found.because(&error.text);
    }
    found.answers = Some(true);
    match disk.number() {
        Ok(number) => found.number = Some(number.to_string()),
        Err(DiskError { text, .. }) => return found.because(&text),
    }
    if !has_password {
        return found.because(&"the disk's password is not set on this computer: set it, then look again");
    }
    match disk.identity() {
        Ok(identity) => found.identity = Some(identity),
        Err(DiskError { text, .. }) => return found.because(&text),
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::transport::memory::{ScriptedLine, Step};

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn exchange(request: &str, reply: &str) -> [Step; 2] {
        [Step::Expect(hex(request)), Step::Reply(std::time::Duration::ZERO, hex(reply))]
    }

    #[test]
    fn a_missing_port_and_a_file_that_is_none_say_so() {
        let entry = |port: &str| DiskEntry { port: port.to_owned(), dialect: DialectName::Zc, speed: 9600 };
        let missing = look(&entry("/dev/no-such-port"), ZcConfig::default());
        assert!(!missing.present && missing.free.is_none() && missing.answers.is_none());
        assert!(missing.why_not.unwrap().contains("plug the device in"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let plain = look(&entry(file.path().to_str().unwrap()), ZcConfig::default());
        assert!(plain.present && plain.answers.is_none());
        assert!(plain.why_not.unwrap().contains("not a serial port"));
    }

    #[test]
    fn without_a_password_only_harmless_commands_are_sent() {
        // Vectors 1 and 2, the latter without a machine number.
        let online = || exchange("1B10010005C4C7", "4F4B0004C99A");
        // The one that makes the new line trusted, and the look itself.
        let line = ScriptedLine::new(online().into_iter().chain(online()));
        let number = crate::dialects::zc::frame::command_frames(crate::dialects::zc::frame::FrameType::Fixed, 0x02, &[0; 12]);
        line.then([
            Step::Expect(number.unwrap().remove(0)),
            Step::Reply(std::time::Duration::ZERO, hex("4F4B00103439393030303132333435369035")),
        ]);
        let found = look_at_zc(line.clone(), ZcConfig::default(), Found::nothing("script"));
        assert_eq!((found.answers, found.number.as_deref()), (Some(true), Some("499000123456")));
        assert!(found.identity.is_none() && found.why_not.unwrap().contains("password is not set"));
        assert!(line.is_finished());
    }

    /// A device at the other end of a pseudo-terminal: reads each request, writes its answer.
    fn device(exchanges: Vec<(Vec<u8>, Vec<u8>)>) -> (std::thread::JoinHandle<[std::fs::File; 2]>, String) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use std::io::{Read, Write};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        // Held open, so that the device does not read an end of file before the host opens its side.
        let slave = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let mut master = std::fs::File::from(master);
            for (request, reply) in exchanges {
                let mut seen = vec![0; request.len()];
                master.read_exact(&mut seen).unwrap();
                assert_eq!(seen, request);
                master.write_all(&reply).unwrap();
            }
            // Kept until the host has read all: a line that hangs up loses what was not read yet.
            [master, slave]
        });
        (thread, path)
    }

    #[test]
    fn a_real_line_is_looked_at() {
        let online = || (hex("1B10010005C4C7"), hex("4F4B0004C99A"));
        let number = (hex("1B100200114A51303030303030303030314210"), hex("4F4B00103439393030303132333435369035"));
        let (thread, port) = device(vec![online(), online(), number]);
        let mut config = ZcConfig { machine_number: "JQ0000000001".to_owned(), ..ZcConfig::default() };
        config.timings.silence = std::time::Duration::from_millis(20);
        let found = look(&DiskEntry { port, dialect: DialectName::Zc, speed: 9600 }, config);
        let _ends = thread.join().unwrap();
        assert_eq!((found.present, found.free, found.answers), (true, Some(true), Some(true)), "{found:?}");
        assert_eq!(found.number.as_deref(), Some("499000123456"));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["number"], "499000123456");
    }

    #[test]
    fn a_device_that_does_not_answer_says_what_to_do() {
        let line = ScriptedLine::new([Step::Expect(hex("1B10010005C4C7"))]);
        let found = look_at_zc(line, ZcConfig::default(), Found::nothing("script"));
        assert_eq!(found.answers, Some(false));
        assert!(found.why_not.unwrap().contains("did not answer within 30 s"));
    }

    #[test]
    fn entries_have_a_speed_by_default_and_no_unknown_fields() {
        let entry: DiskEntry = serde_json::from_str(r#"{"port":"/dev/ttyS0","dialect":"zc"}"#).unwrap();
        assert_eq!(entry.speed, 9600);
        assert!(serde_json::from_str::<DiskEntry>(r#"{"port":"/dev/ttyS0","dialect":"zc","password":"x"}"#).is_err());
        assert!(serde_json::from_str::<DiskEntry>(r#"{"port":"/dev/ttyS0","dialect":"xx"}"#).is_err());
    }
}

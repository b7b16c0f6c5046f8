//! Passwords of the disks (税控盘口令, 证书口令): kept in one file, mode 0600, on this PC only.
//!
//! A systemd credential `disk-NAME` (the last part of the port's path) comes before the file. What this module refuses to do:
//! read a
//! file that others can read, or show a password: the type that leaves it ([`Secret`]) prints without its value, and what
//! is serialised here goes into that one file and nowhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taxdisk_drivers::secret::Secret;

use crate::failure::Failure;
use crate::identity::{StateDir, read_private};
use crate::ready::write_atomic;

/// The longest password that a ZC command carries, bytes (device-serial-zc.md: skpkl and zskl are 8 wide).
pub const PASSWORD_MAX_BYTES: usize = 8;

/// The two passwords of a disk.
#[derive(Debug, Clone)]
pub struct DiskSecret {
    /// 税控盘口令.
    pub disk_password: Secret,
    /// 证书口令.
    pub certificate_password: Secret,
}

impl DiskSecret {
    /// Takes both passwords as a person typed them.
    ///
    /// # Errors
    /// One is empty, too long, or holds other than printable ASCII. The text does not repeat it.
    pub fn new(disk_password: &str, certificate_password: &str) -> Result<DiskSecret, String> {
        for (text, name) in
            [(disk_password, "disk password (税控盘口令)"), (certificate_password, "certificate password (证书口令)")]
        {
            if text.is_empty() || text.len() > PASSWORD_MAX_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(format!("The {name} must have 1 to {PASSWORD_MAX_BYTES} printable ASCII characters."));
            }
        }
        Ok(DiskSecret { disk_password: Secret::new(disk_password), certificate_password: Secret::new(certificate_password) })
    }

    /// Reads the form of files and credentials: `disk_password = "…"` and `certificate_password = "…"` on two lines.
    ///
    /// # Errors
    /// It has another form. The text does not repeat what was read.
    pub fn parse(text: &str) -> Result<DiskSecret, String> {
        let form = "two lines are expected: disk_password = \"…\" and certificate_password = \"…\"";
        // The parser's own message would quote the line with the password in it.
        let stored: Stored = toml::from_str(text).map_err(|_| format!("The passwords cannot be read: {form}."))?;
        DiskSecret::new(&stored.disk_password, &stored.certificate_password)
    }
}

/// As it stands in the file. No `Debug`: nothing can print it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    disk_password: String,
    certificate_password: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    disks: BTreeMap<String, Stored>,
}

/// Where passwords are found.
#[derive(Debug, Clone)]
pub struct Secrets {
    file: PathBuf,
    credentials: Option<PathBuf>,
}

impl Secrets {
    /// The passwords of this state folder, and the credentials that systemd gave this process.
    pub fn of(state: &StateDir) -> Secrets {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Secrets { file: state.secrets_file(), credentials }
    }

    /// The passwords of a port or disk number. `None`: none were set.
    ///
    /// # Errors
    /// The file is open to others or damaged.
    pub fn find(&self, name: &str) -> Result<Option<DiskSecret>, Failure> {
        if let Some(folder) = &self.credentials
            && let Some(last) = Path::new(name).file_name()
        {
            let file = folder.join(format!("disk-{}", last.to_string_lossy()));
            match std::fs::read_to_string(&file) {
                Ok(text) => {
                    let shown = file.display();
                    return DiskSecret::parse(&text)
                        .map(Some)
                        .map_err(|text| Failure::config(format!("The credential {shown}: {text}")));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Failure::config(format!("The credential {} cannot be read ({error}).", file.display())));
                }
            }
        }
        let Some(stored) = self.content()?.disks.remove(name) else { return Ok(None) };
        DiskSecret::new(&stored.disk_password, &stored.certificate_password).map(Some).map_err(Failure::config)
    }

    /// Stores the passwords of a port or disk number, at once and durably.
    ///
    /// # Errors
    /// The file is open to others, damaged, or cannot be written.
    pub fn set(&self, name: &str, secret: &DiskSecret) -> Result<(), Failure> {
        let mut content = self.content()?;
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let stored =
            Stored { disk_password: text(&secret.disk_password), certificate_password: text(&secret.certificate_password) };
        content.disks.insert(name.to_owned(), stored);
        let json = serde_json::to_string_pretty(&content).expect("plain data with text keys");
        write_atomic(&self.file, json.as_bytes(), 0o600)
            .map_err(|error| Failure::config(format!("{} cannot be written ({error}).", self.file.display())))
    }

    fn content(&self) -> Result<Content, Failure> {
        let Some(text) = read_private(&self.file)? else { return Ok(Content::default()) };
        serde_json::from_str(&text)
            .map_err(|_| Failure::config(format!("{} is damaged: remove it and set the passwords again.", self.file.display())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn secrets() -> (tempfile::TempDir, Secrets) {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets { file: dir.path().join("secrets.json"), credentials: Some(dir.path().join("credentials")) };
        (dir, secrets)
    }

    #[test]
    fn passwords_are_kept_private_per_port() {
        let (_dir, secrets) = secrets();
        assert!(secrets.find("/dev/a").unwrap().is_none());
        secrets.set("/dev/a", &DiskSecret::new("88888888", "12345678").unwrap()).unwrap();
        secrets.set("/dev/b", &DiskSecret::new("1", "2").unwrap()).unwrap();
        secrets.set("/dev/b", &DiskSecret::new("3", "4").unwrap()).unwrap();
        assert_eq!(secrets.find("/dev/a").unwrap().unwrap().disk_password.expose(), b"88888888");
        assert_eq!(secrets.find("/dev/b").unwrap().unwrap().certificate_password.expose(), b"4");
        assert_eq!(std::fs::metadata(&secrets.file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_for_reading_and_for_writing() {
        let (_dir, secrets) = secrets();
        let secret = DiskSecret::new("88888888", "12345678").unwrap();
        secrets.set("/dev/a", &secret).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o622] {
            std::fs::set_permissions(&secrets.file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(secrets.find("/dev/a").unwrap_err().text.contains("chmod 0600"), "{mode:o}");
            assert!(secrets.set("/dev/a", &secret).is_err(), "{mode:o}");
        }
    }

    #[test]
    fn a_credential_comes_before_the_file() {
        let (dir, secrets) = secrets();
        secrets.set("/dev/ttyUSB0", &DiskSecret::new("filefile", "filefile").unwrap()).unwrap();
        std::fs::create_dir(dir.path().join("credentials")).unwrap();
        let file = dir.path().join("credentials/disk-ttyUSB0");
        std::fs::write(&file, "disk_password = \"fromcred\"\ncertificate_password = \"c\"\n").unwrap();
        assert_eq!(secrets.find("/dev/ttyUSB0").unwrap().unwrap().disk_password.expose(), b"fromcred");
        std::fs::write(&file, "disk_password = hunter2\n").unwrap();
        let failure = secrets.find("/dev/ttyUSB0").unwrap_err();
        assert!(!failure.text.contains("hunter2"), "{failure}");
    }

    #[test]
    fn no_text_and_no_debug_output_repeats_a_password() {
        let secret = DiskSecret::new("hunter2x", "sesame99").unwrap();
        let shown = format!("{secret:?}");
        assert!(!shown.contains("hunter2x") && !shown.contains("sesame99"), "{shown}");
        for bad in ["hunter2 x", "hunter2hunter2", "hunter2密"] {
            let text = DiskSecret::new(bad, "12345678").unwrap_err();
            assert!(!text.contains("hunter2"), "{text}");
        }
        let text = DiskSecret::parse("disk_password = \"hunter2x\"\nnonsense = \"sesame99\"").unwrap_err();
        assert!(!text.contains("hunter2x") && !text.contains("sesame99"), "{text}");
    }
}

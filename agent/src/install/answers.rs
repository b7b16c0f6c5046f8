//! The file of `install --answers`: everything that a person would be asked, for many PCs at once.
//!
//! It holds passwords, so it is refused when others can read it. Nothing of it is repeated in an error.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::DiskConfig;
use crate::failure::Failure;
use crate::identity::read_private;
use crate::secrets::DiskSecret;

/// What is known already.
#[derive(Debug, Default)]
pub struct Answers {
    /// Address of the broker.
    pub broker: Option<String>,
    /// The single-use code.
    pub code: Option<String>,
    /// File with the code.
    pub code_file: Option<PathBuf>,
    /// What people call this PC.
    pub name: Option<String>,
    /// Authority that alone is trusted.
    pub ca_file: Option<PathBuf>,
    /// HTTP proxy, or `none`.
    pub proxy: Option<String>,
    /// Start the service; left out: where systemd runs.
    pub start: Option<bool>,
    /// Disks.
    pub disk: Vec<DiskAnswer>,
}

/// A disk of the file.
#[derive(Debug)]
pub struct DiskAnswer {
    /// Its name in the configuration.
    pub name: String,
    /// Its section for the configuration, without passwords.
    pub section: String,
    /// Its passwords, if they are in the file.
    pub secret: Option<DiskSecret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    broker: Option<String>,
    code: Option<String>,
    code_file: Option<PathBuf>,
    name: Option<String>,
    ca_file: Option<PathBuf>,
    proxy: Option<String>,
    start: Option<bool>,
    #[serde(default)]
    disk: Vec<toml::Table>,
}

impl Answers {
    /// Reads a file.
    ///
    /// # Errors
    /// It is open to others, unreadable, or not as docs/install.md says.
    pub fn read(path: &Path) -> Result<Answers, Failure> {
        let shown = path.display();
        let text = read_private(path)?.ok_or_else(|| Failure::usage(format!("--answers {shown} is not there.")))?;
        // The parser's own message would quote a line, perhaps one with a password.
        let file: File = toml::from_str(&text).map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let line = line.map(|line| format!(" at line {line}")).unwrap_or_default();
            Failure::usage(format!("--answers {shown} cannot be understood{line}: docs/install.md shows the form."))
        })?;
        let disk = file.disk.into_iter().map(DiskAnswer::of).collect::<Result<_, _>>()?;
        let File { broker, code, code_file, name, ca_file, proxy, start, .. } = file;
        Ok(Answers { broker, code, code_file, name, ca_file, proxy, start, disk })
    }

    /// The code, from wherever it is.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn code(&self) -> Result<Option<String>, Failure> {
        match (&self.code, &self.code_file) {
            (Some(code), _) => Ok(Some(code.clone())),
            (None, Some(file)) => std::fs::read_to_string(file)
                .map(|text| Some(text.trim().to_owned()))
                .map_err(|error| Failure::usage(format!("The file of the code, {}, cannot be read ({error}).", file.display()))),
            (None, None) => Ok(None),
        }
    }
}

impl DiskAnswer {
    fn of(mut table: toml::Table) -> Result<DiskAnswer, Failure> {
        let mut take = |key: &str| match table.remove(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Failure::usage(format!("[[disk]] {key} of the answers must be text, in quotes."))),
        };
        let secret = match (take("disk_password")?, take("certificate_password")?) {
            (Some(disk), Some(certificate)) => Some(DiskSecret::new(&disk, &certificate).map_err(Failure::usage)?),
            (None, None) => None,
            _ => return Err(Failure::usage("[[disk]] of the answers needs both passwords, or none.")),
        };
        let config: DiskConfig = toml::Value::Table(table.clone()).try_into().map_err(|error: toml::de::Error| {
            Failure::usage(format!("[[disk]] of the answers cannot be understood ({}).", error.message()))
        })?;
        let sections = toml::Table::from_iter([("disk".to_owned(), toml::Value::Array(vec![toml::Value::Table(table)]))]);
        let section = toml::to_string(&sections).expect("what was read as TOML can be written as TOML");
        Ok(DiskAnswer { name: config.name(), section, secret })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &str, mode: u32) -> Result<Answers, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Answers::read(&path)
    }

    #[test]
    fn a_disk_is_taken_apart_into_section_and_passwords() {
        let text = "broker = \"https://b.example\"\ncode = \"C\"\n[[disk]]\nport = \"/dev/ttyS0\"\nexclusive = true\n\
                    disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n";
        let answers = read(text, 0o600).unwrap();
        let disk = &answers.disk[0];
        assert_eq!(disk.name, "/dev/ttyS0");
        assert!(disk.section.contains("[[disk]]") && disk.section.contains("exclusive = true"), "{}", disk.section);
        assert!(!disk.section.contains("8888") && disk.secret.is_some());
        assert!(!format!("{answers:?}").contains("8888"), "nothing prints a password");
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        assert!(read("code = \"C\"\n", 0o644).unwrap_err().text.contains("chmod"));
        let half = "[[disk]]\nport = \"/dev/ttyS0\"\ndisk_password = \"secret1\"\n";
        for text in [half, "code = \"secret1\"\nbroken\n", "[[disk]]\nprot = \"/x\"\n", "pin = \"secret1\"\n"] {
            let told = read(text, 0o600).unwrap_err().text;
            assert!(!told.contains("secret1"), "{told}");
        }
    }
}

//! Passwords of the disks (税控盘口令, 证书口令): kept in one file, mode 0600, on this PC only.
//!
//! A systemd credential `disk-NAME` (the last part of the port's path) comes before the file. What this module refuses to do:
//! read a
//! file that others can read, or show a password: the type that leaves it ([`Secret`]) prints without its value, and what
//! is serialised here goes into that one file and nowhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taxdisk_drivers::operation::PasswordKind;
use taxdisk_drivers::secret::Secret;

use crate::failure::Failure;
use crate::identity::{StateDir, read_private, write_secret};
use crate::platform;

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

impl Stored {
    fn field(&mut self, which: PasswordKind) -> &mut String {
        match which {
            PasswordKind::Disk => &mut self.disk_password,
            PasswordKind::Certificate => &mut self.certificate_password,
        }
    }
}

/// A password change under way: both passwords are kept until one is proven. No `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    /// The order that it belongs to.
    id: String,
    which: PasswordKind,
    old: String,
    new: String,
    /// The old, the new one was tried by opening the disk with it.
    tried: (bool, bool),
    /// The new one is the right one, or the old one.
    #[serde(default)]
    kept: Option<bool>,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    disks: BTreeMap<String, Stored>,
    #[serde(default)]
    pending: BTreeMap<String, Vec<Pending>>,
}

/// Changes that may be prepared for one port: one runs, the others were prepared by people who were refused or went away.
const PENDING_MAX: usize = 4;

/// Both passwords of a change, to be put into the command.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which one is changed.
    pub which: PasswordKind,
    /// The present one.
    pub old: Secret,
    /// The one to be.
    pub new: Secret,
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
        if let Some(secret) = self.credential(name)? {
            return Ok(Some(secret));
        }
        let Some(stored) = self.content()?.disks.remove(name) else { return Ok(None) };
        DiskSecret::new(&stored.disk_password, &stored.certificate_password).map(Some).map_err(Failure::config)
    }

    fn credential(&self, name: &str) -> Result<Option<DiskSecret>, Failure> {
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
        Ok(None)
    }

    /// Stores the passwords of a port or disk number, at once and durably.
    ///
    /// # Errors
    /// The file is open to others, damaged, or cannot be written.
    pub fn set(&self, name: &str, secret: &DiskSecret) -> Result<(), Failure> {
        let _lock = self.lock()?;
        let mut content = self.content()?;
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let stored =
            Stored { disk_password: text(&secret.disk_password), certificate_password: text(&secret.certificate_password) };
        content.disks.insert(name.to_owned(), stored);
        // The person says which is right.
        content.pending.remove(name);
        self.write(&content)
    }

    /// Prepares a change, at once and durably: both passwords are in the file before the command is sent.
    ///
    /// # Errors
    /// The new one cannot be a password, none is set, a credential overrides the file, or the file cannot be used.
    pub fn prepare(&self, name: &str, id: &str, which: PasswordKind, new: &str) -> Result<(), Failure> {
        if self.credential(name)?.is_some() {
            return Err(Failure::config(format!(
                "The passwords of {name} come from a systemd credential, which this program cannot change: move them into the secrets file by `disks secret set` first."
            )));
        }
        let _lock = self.lock()?;
        let mut content = self.content()?;
        let Some(stored) = content.disks.get_mut(name) else {
            return Err(Failure::config(format!(
                "No passwords are set for {name}: run `taxdisk-agent disks secret set {name}`."
            )));
        };
        let old = stored.field(which).clone();
        DiskSecret::new(new, new).map_err(|_| {
            Failure::usage(format!("The new password must have 1 to {PASSWORD_MAX_BYTES} printable ASCII characters."))
        })?;
        if old == new {
            return Err(Failure::usage("The new password is the present one."));
        }
        let list = content.pending.entry(name.to_owned()).or_default();
        // What was decided is in `disks`; nobody asks for it once its outcome is durable.
        list.retain(|pending| pending.kept.is_none());
        if list.len() >= PENDING_MAX {
            return Err(Failure::failed(format!(
                "{PENDING_MAX} password changes of {name} are under way: set the right ones by `disks secret set`."
            )));
        }
        list.push(Pending { id: id.to_owned(), which, old, new: new.to_owned(), tried: (false, false), kept: None });
        self.write(&content)
    }

    /// Forgets a change that was refused: nothing of it was sent.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn withdraw(&self, name: &str, id: &str) -> Result<(), Failure> {
        let _lock = self.lock()?;
        let mut content = self.content()?;
        if let Some(list) = content.pending.get_mut(name) {
            list.retain(|pending| pending.id != id);
        }
        self.write(&content)
    }

    /// Both passwords of a change. `None`: it is not known, or decided.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn change(&self, name: &str, id: &str) -> Result<Option<Change>, Failure> {
        let content = self.content()?;
        let pending = content.pending.get(name).and_then(|list| list.iter().find(|pending| pending.id == id));
        Ok(pending.filter(|pending| pending.kept.is_none()).map(|pending| Change {
            which: pending.which,
            old: Secret::new(pending.old.clone()),
            new: Secret::new(pending.new.clone()),
        }))
    }

    /// Makes [`Secrets::find`] give the old or the new password of a change. False: it was tried already, or is known to be the
    /// wrong one.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn choose(&self, name: &str, id: &str, new: bool) -> Result<bool, Failure> {
        self.edit(name, id, |pending, stored| {
            let tried = if new { pending.tried.1 } else { pending.tried.0 };
            if pending.kept == Some(!new) || (tried && pending.kept.is_none()) {
                return false;
            }
            *stored.field(pending.which) = if new { pending.new.clone() } else { pending.old.clone() };
            true
        })
    }

    /// Notes that one is about to be tried, durably. False: it was tried already.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn spend(&self, name: &str, id: &str, new: bool) -> Result<bool, Failure> {
        self.edit(name, id, |pending, _| {
            if pending.kept == Some(new) {
                return true;
            }
            let tried = if new { &mut pending.tried.1 } else { &mut pending.tried.0 };
            !std::mem::replace(tried, true)
        })
    }

    /// Decides a change, durably.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn keep(&self, name: &str, id: &str, new: bool) -> Result<(), Failure> {
        let known = self.edit(name, id, |pending, stored| {
            pending.kept = Some(new);
            *stored.field(pending.which) = if new { pending.new.clone() } else { pending.old.clone() };
            true
        })?;
        if known {
            Ok(())
        } else {
            Err(Failure::failed(format!("The password change {id} of {name} is not in the secrets file.")))
        }
    }

    /// Changes one change. False also where it is not known.
    fn edit(&self, name: &str, id: &str, act: impl FnOnce(&mut Pending, &mut Stored) -> bool) -> Result<bool, Failure> {
        let _lock = self.lock()?;
        let mut content = self.content()?;
        let pending = content.pending.get_mut(name).and_then(|list| list.iter_mut().find(|pending| pending.id == id));
        let (Some(pending), Some(stored)) = (pending, content.disks.get_mut(name)) else { return Ok(false) };
        let good = act(pending, stored);
        self.write(&content)?;
        Ok(good)
    }

    /// One writer at a time, this process and the agent: a change must not be lost between reading and writing.
    fn lock(&self) -> Result<std::fs::File, Failure> {
        let path = self.file.with_extension("lock");
        let wrong = |error: &dyn std::fmt::Display| Failure::config(format!("{} cannot be locked ({error}).", path.display()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = platform::with_mode(&mut options, 0o600).open(&path).map_err(|error| wrong(&error))?;
        file.lock().map_err(|error| wrong(&error))?;
        Ok(file)
    }

    fn write(&self, content: &Content) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(content).expect("plain data with text keys");
        write_secret(&self.file, &json)
            .map_err(|error| Failure::config(format!("{} cannot be written ({error}).", self.file.display())))
    }

    fn content(&self) -> Result<Content, Failure> {
        let Some(text) = read_private(&self.file)? else { return Ok(Content::default()) };
        serde_json::from_str(&text)
            .map_err(|_| Failure::config(format!("{} is damaged: remove it and set the passwords again.", self.file.display())))
    }
}

#[cfg(all(test, unix))]
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

    fn with_change(which: PasswordKind) -> (tempfile::TempDir, Secrets) {
        let (dir, secrets) = secrets();
        secrets.set("/dev/a", &DiskSecret::new("88888888", "12345678").unwrap()).unwrap();
        secrets.prepare("/dev/a", "op_1", which, "newpass1").unwrap();
        (dir, secrets)
    }

    fn present(secrets: &Secrets) -> [Vec<u8>; 2] {
        let found = secrets.find("/dev/a").unwrap().unwrap();
        [found.disk_password.expose().to_vec(), found.certificate_password.expose().to_vec()]
    }

    #[test]
    fn a_prepared_change_keeps_both_passwords_and_changes_none_yet() {
        let (_dir, secrets) = with_change(PasswordKind::Disk);
        let change = secrets.change("/dev/a", "op_1").unwrap().unwrap();
        assert_eq!(
            (change.which, change.old.expose(), change.new.expose()),
            (PasswordKind::Disk, &b"88888888"[..], &b"newpass1"[..])
        );
        assert_eq!(present(&secrets), [b"88888888".to_vec(), b"12345678".to_vec()]);
        assert!(secrets.change("/dev/a", "op_2").unwrap().is_none() && secrets.change("/dev/b", "op_1").unwrap().is_none());
        let shown = format!("{change:?}");
        assert!(!shown.contains("newpass1") && !shown.contains("88888888"), "{shown}");
        // Another reader of the file, as after a crash, knows the same.
        let again = Secrets { file: secrets.file.clone(), credentials: None };
        assert!(again.change("/dev/a", "op_1").unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_a_change_is_refused_and_leaves_the_file_as_it_was() {
        let (dir, secrets) = with_change(PasswordKind::Disk);
        let before = std::fs::read(&secrets.file).unwrap();
        for (name, new, why) in [
            ("/dev/b", "newpass2", "disks secret set"),
            ("/dev/a", "too long a word", "printable"),
            ("/dev/a", "88888888", "present one"),
        ] {
            let failure = secrets.prepare(name, "op_2", PasswordKind::Disk, new).unwrap_err();
            assert!(failure.text.contains(why) && !failure.text.contains(new), "{failure}");
        }
        std::fs::create_dir(dir.path().join("credentials")).unwrap();
        let credential = dir.path().join("credentials/disk-a");
        std::fs::write(&credential, "disk_password = \"1\"\ncertificate_password = \"2\"\n").unwrap();
        assert!(secrets.prepare("/dev/a", "op_2", PasswordKind::Disk, "newpass2").unwrap_err().text.contains("credential"));
        assert_eq!(std::fs::read(&secrets.file).unwrap(), before);
    }

    #[test]
    fn changes_that_wait_are_few_and_one_that_was_refused_is_forgotten() {
        let (_dir, secrets) = with_change(PasswordKind::Disk);
        for count in 2..=PENDING_MAX {
            secrets.prepare("/dev/a", &format!("op_{count}"), PasswordKind::Certificate, "newpass2").unwrap();
        }
        let full = secrets.prepare("/dev/a", "op_9", PasswordKind::Disk, "newpass3").unwrap_err();
        assert!(full.text.contains("under way"), "{full}");
        secrets.withdraw("/dev/a", "op_2").unwrap();
        assert!(secrets.change("/dev/a", "op_2").unwrap().is_none() && secrets.change("/dev/a", "op_1").unwrap().is_some());
        secrets.prepare("/dev/a", "op_9", PasswordKind::Disk, "newpass3").unwrap();
        // A person who says which passwords are right ends all of them.
        secrets.set("/dev/a", &DiskSecret::new("7", "8").unwrap()).unwrap();
        assert!(secrets.change("/dev/a", "op_1").unwrap().is_none() && secrets.change("/dev/a", "op_9").unwrap().is_none());
    }

    #[test]
    fn each_password_of_a_change_is_tried_once_and_the_proven_one_stays() {
        for (which, new) in [(PasswordKind::Disk, true), (PasswordKind::Disk, false), (PasswordKind::Certificate, true)] {
            let (_dir, secrets) = with_change(which);
            let at = usize::from(which == PasswordKind::Certificate);
            let old = present(&secrets)[at].clone();
            assert!(secrets.choose("/dev/a", "op_1", true).unwrap());
            assert_eq!(present(&secrets)[at], b"newpass1");
            assert!(secrets.spend("/dev/a", "op_1", true).unwrap());
            assert!(!secrets.spend("/dev/a", "op_1", true).unwrap(), "a try is spent once");
            assert!(!secrets.choose("/dev/a", "op_1", true).unwrap(), "and is not offered again");
            assert!(secrets.choose("/dev/a", "op_1", false).unwrap() && secrets.spend("/dev/a", "op_1", false).unwrap());
            assert_eq!(present(&secrets)[at], old);
            secrets.keep("/dev/a", "op_1", new).unwrap();
            assert_eq!(present(&secrets)[at], if new { b"newpass1".to_vec() } else { old });
            // What is proven may be used again, the other never.
            assert!(secrets.choose("/dev/a", "op_1", new).unwrap() && secrets.spend("/dev/a", "op_1", new).unwrap());
            assert!(!secrets.choose("/dev/a", "op_1", !new).unwrap());
            assert!(secrets.change("/dev/a", "op_1").unwrap().is_none(), "a decided change is no change any more");
        }
        let (_dir, secrets) = with_change(PasswordKind::Disk);
        assert!(secrets.keep("/dev/a", "op_7", true).is_err() && !secrets.choose("/dev/a", "op_7", true).unwrap());
    }
}

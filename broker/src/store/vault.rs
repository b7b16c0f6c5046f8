//! Contents of jobs at rest: sealed with a key that is not in the database, where one is given.
//!
//! What is sealed is what says who bought what: the invoice of a job, and the content beside an event (invoices, evidence).
//! Serial numbers, states, numbers of invoices and the hashes of the chain stay as they are: the queue, the guards and a proof
//! work without a key, and a broker with a wrong one changes nothing. AES-256-GCM with a random nonce; each sealed text names
//! its key.
//!
//! A key file has a line for each key, `ID BASE64`, the newest first: that one seals, all of them open. A new key is a new
//! first line; `taxdisk-broker store rekey` seals what is older with it, and then the old line may go.
//!
//! What it refuses to do: take a sealed text that it cannot open for a content that has ended.
//!
//! Read first: [`Vault`].

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use taxdisk_protocol::api::InvoiceBody;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::{Event, Job};

use super::encoding::{damaged, json, text};
use super::{StoreError, chain};

/// Begins a sealed text. No JSON does.
const MARK: &str = "sealed:";
/// Begins the body of a job whose invoice is sealed.
const JOB_MARK: &str = "{\"sealed\":\"";
/// What a sealed content of an event is sealed for; that it is at its place is the chain's to say, which has its hash.
const CONTENT: &str = "taxdisk-content-v1";
/// Names a credential of systemd instead of a file.
const CREDENTIAL: &str = "credential:";
/// Keys of a file at most.
const KEYS: usize = 100;
/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Why a key file cannot be used. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store.key_file: {0}")]
pub struct Unusable(pub String);

struct Key {
    id: String,
    key: RandomizedNonceKey,
}

/// Seals and opens contents. Without a key it leaves them as they are.
#[derive(Clone, Default)]
pub struct Vault {
    keys: Arc<Vec<Key>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// The same keys, by their names.
impl PartialEq for Vault {
    fn eq(&self, other: &Vault) -> bool {
        self.keys.iter().map(|key| &key.id).eq(other.keys.iter().map(|key| &key.id))
    }
}

impl Eq for Vault {}

/// A new line of a key file.
pub fn new_key() -> String {
    let id = format!("k{}", hex::encode(rand::random::<[u8; 6]>()));
    format!("{id} {}", STANDARD.encode(rand::random::<[u8; KEY_BYTES]>()))
}

/// The file that a setting names: a path, or `credential:NAME` for what systemd hands to the service (`LoadCredential=`).
///
/// # Errors
/// The service has no credentials.
pub fn file_of(setting: &str) -> Result<PathBuf, Unusable> {
    let Some(name) = setting.strip_prefix(CREDENTIAL) else { return Ok(PathBuf::from(setting)) };
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Unusable(format!("{setting} is a credential, and this process has none: add LoadCredential={name}:/path to its unit"))
    })?;
    Ok(Path::new(&folder).join(name))
}

impl Vault {
    /// With the keys of a file.
    ///
    /// # Errors
    /// It cannot be read, others than its owner and group can get at it, or a line is no key.
    pub fn load(setting: &str) -> Result<Vault, Unusable> {
        let file = file_of(setting)?;
        let shown = file.display();
        let found = std::fs::metadata(&file).map_err(|error| Unusable(format!("{shown} cannot be read: {error}")))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777;
        if mode & 0o027 != 0 {
            return Err(Unusable(format!(
                "{shown} has mode {mode:04o}, so others on this machine can get at it: run `chmod 0600 {shown}`; if others may \
                 have read it, add a new key and run `taxdisk-broker store rekey`"
            )));
        }
        let lines = std::fs::read_to_string(&file).map_err(|error| Unusable(format!("{shown} cannot be read: {error}")))?;
        Vault::parse(&lines).map_err(|wrong| Unusable(format!("{shown}: {wrong}")))
    }

    /// With the keys of these lines, the newest first.
    ///
    /// # Errors
    /// Says which line is no key, and never what stands there.
    pub fn parse(lines: &str) -> Result<Vault, String> {
        let mut keys: Vec<Key> = Vec::new();
        for (place, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
            let wrong = || {
                format!("line {}: `ID BASE64` with 32 bytes is expected; `taxdisk-broker store new-key` prints one", place + 1)
            };
            let (id, secret) = line.trim().split_once(' ').ok_or_else(wrong)?;
            let secret = STANDARD.decode(secret.trim()).ok().filter(|secret| secret.len() == KEY_BYTES).ok_or_else(wrong)?;
            let is_id = (1..=40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let key = RandomizedNonceKey::new(&AES_256_GCM, &secret).map_err(|_| wrong())?;
            if !is_id || keys.iter().any(|known| known.id == id) || keys.len() >= KEYS {
                return Err(format!("line {}: ids are letters, digits and `-`, each once, {KEYS} at most", place + 1));
            }
            keys.push(Key { id: id.to_owned(), key });
        }
        if keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(Vault { keys: Arc::new(keys) }) }
    }

    /// Id of the key that seals; none: nothing is sealed.
    pub fn current(&self) -> Option<&str> {
        self.keys.first().map(|key| key.id.as_str())
    }

    /// How a text begins that the newest key has sealed.
    pub(super) fn mark(&self) -> Option<String> {
        self.current().map(|id| format!("{MARK}{id}:"))
    }

    fn seal(&self, what: &str, plain: String) -> Result<String, StoreError> {
        let Some(key) = self.keys.first() else { return Ok(plain) };
        let mut bytes = plain.into_bytes();
        let nonce = key.key.seal_in_place_append_tag(Aad::from(what), &mut bytes);
        let nonce = nonce.map_err(|_| damaged("a content", "it cannot be sealed"))?;
        let whole = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(format!("{MARK}{}:{}", key.id, STANDARD.encode(whole)))
    }

    fn open(&self, what: &str, sealed: &str) -> Result<String, StoreError> {
        let broken = || damaged("a sealed content", "it is not what was sealed");
        let (id, whole) = sealed.strip_prefix(MARK).and_then(|rest| rest.split_once(':')).ok_or_else(broken)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| StoreError::Sealed(id.to_owned()))?;
        let whole = STANDARD.decode(whole).map_err(|_| broken())?;
        let (nonce, bytes) = whole.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut bytes = bytes.to_vec();
        let plain = key.key.open_in_place(nonce, Aad::from(what), &mut bytes).map_err(|_| broken())?;
        String::from_utf8(plain.to_vec()).map_err(|_| broken())
    }

    /// The content of an event as it is stored. Its hash is of the plain text.
    pub(super) fn seal_content(&self, content: Option<String>) -> Result<Option<String>, StoreError> {
        content.map(|content| self.seal(CONTENT, content)).transpose()
    }

    /// The content of an event in the plain.
    pub(super) fn open_content<'a>(&self, content: Option<&'a str>) -> Result<Option<Cow<'a, str>>, StoreError> {
        match content {
            Some(sealed) if sealed.starts_with(MARK) => Ok(Some(Cow::Owned(self.open(CONTENT, sealed)?))),
            other => Ok(other.map(Cow::Borrowed)),
        }
    }

    /// An event from its row.
    pub(super) fn event(&self, body: &str, content: Option<&str>) -> Result<Event, StoreError> {
        let content = self.open_content(content)?;
        chain::event(body, content.as_deref()).map_err(|error| damaged("event", error))
    }

    /// A job as it is stored.
    pub(super) fn job_text(&self, job: &Job) -> Result<String, StoreError> {
        let Some(invoice) = job.invoice.as_ref().filter(|_| !self.keys.is_empty()) else { return Ok(text(job)) };
        let sealed = self.seal(&purpose(&job.key), text(invoice))?;
        let rest = text(&Job { invoice: None, ..job.clone() });
        // Neither part of the mark needs an escape.
        let rest = rest.strip_prefix('{').unwrap_or_default();
        Ok(format!("{JOB_MARK}{sealed}\",{rest}"))
    }

    /// A job from its row.
    pub(super) fn job(&self, body: &str) -> Result<Job, StoreError> {
        #[derive(Deserialize)]
        struct Sealed {
            sealed: String,
            key: JobKey,
        }
        if !body.starts_with(JOB_MARK) {
            return json("job", body);
        }
        let Sealed { sealed, key } = json("job", body)?;
        let invoice: InvoiceBody = json("invoice of a job", &self.open(&purpose(&key), &sealed)?)?;
        Ok(Job { invoice: Some(invoice), ..json("job", body)? })
    }
}

/// What the invoice of a job is sealed for: it opens as this job's and no other's.
fn purpose(key: &JobKey) -> String {
    format!("taxdisk-job-v1\n{key}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn vault(lines: &[String]) -> Vault {
        Vault::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_for_its_purpose_only() {
        let (old, new) = (new_key(), new_key());
        let first = vault(std::slice::from_ref(&old));
        let sealed = first.seal("one", "张三".to_owned()).unwrap();
        assert!(sealed.starts_with(&first.mark().unwrap()) && !sealed.contains("张三"), "{sealed}");
        assert_ne!(sealed, first.seal("one", "张三".to_owned()).unwrap(), "a nonce is never the same");
        assert_eq!(first.open("one", &sealed).unwrap(), "张三");
        assert!(matches!(first.open("other", &sealed), Err(StoreError::Damaged(_))));
        let mut changed = sealed.clone().into_bytes();
        let last = changed.len() - 3;
        changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
        assert!(first.open("one", std::str::from_utf8(&changed).unwrap()).is_err(), "a bit is not changed unseen");
        let both = vault(&[new.clone(), old]);
        assert_eq!(both.open("one", &sealed).unwrap(), "张三", "an older key opens still");
        assert_ne!(both.current(), first.current());
        let other = vault(&[new]).open("one", &sealed).unwrap_err();
        assert!(other.to_string().contains(first.current().unwrap()) && other.to_string().contains("store.key_file"), "{other}");
        assert!(Vault::default().open_content(Some(&sealed)).is_err(), "without a key it is no content that has ended");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.keys");
        std::fs::write(&file, format!("# keys\n{}\n", new_key())).unwrap();
        for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let loaded = Vault::load(file.to_str().unwrap());
            assert_eq!(loaded.is_ok(), good, "{mode:o}: {loaded:?}");
            if let Err(Unusable(why)) = loaded {
                assert!(why.contains(&format!("chmod 0600 {}", file.display())), "{why}");
            }
        }
    }

    #[test]
    fn a_line_that_is_no_key_is_named_and_not_shown() {
        let key = new_key();
        let id = key.split_once(' ').unwrap().0;
        for (lines, place) in [
            ("".to_owned(), "no key"),
            (format!("{key}\nk2 c2hvcnQ="), "line 2"),
            (format!("{key}\nnonsense"), "line 2"),
            (format!("{key}\n{key}"), "line 2"),
            (format!("a:b {}", key.split_once(' ').unwrap().1), "line 1"),
        ] {
            let wrong = Vault::parse(&lines).unwrap_err();
            assert!(wrong.contains(place) && !wrong.contains("c2hvcnQ") && !wrong.contains(id), "{wrong}");
        }
        assert!(file_of("credential:store-keys").unwrap_err().0.contains("LoadCredential=store-keys"));
        assert_eq!(file_of("/etc/x").unwrap(), Path::new("/etc/x"));
    }
}

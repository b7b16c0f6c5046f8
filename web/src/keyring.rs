//! Keys that texts are sealed with before they are stored, and the file that they are in.
//!
//! A key file has a line for each key, `ID BASE64`, the newest first: that one seals, all of them open. A new key is a new
//! first line; `store rekey` of broker and portal seals what is older with it, and then the old line may go. AES-256-GCM with a
//! random nonce; each sealed text names its key.
//!
//! What it refuses to do: use a file that others can read; take a sealed text that it cannot open for no text.
//!
//! Read first: [`Keyring`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Begins a sealed text. No JSON does.
pub const MARK: &str = "sealed:";
/// Names a credential of systemd instead of a file.
const CREDENTIAL: &str = "credential:";
/// Keys of a file at most.
const KEYS: usize = 100;
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Characters of a key's id at most.
pub const ID_CHARS: usize = 40;

/// Why a key file cannot be used. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store.key_file: {0}")]
pub struct Unusable(pub String);

/// Why a text was not opened or sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// Its key is not in the file.
    #[error(
        "contents are sealed with the key {0}, which is not in the key file (store.key_file): put that key back; nothing was \
         changed, and nothing is lost as long as the key exists"
    )]
    Missing(String),
    /// It was changed, or stands where another one belongs.
    #[error("a sealed content is not what was sealed")]
    Broken,
}

struct Key {
    id: String,
    key: RandomizedNonceKey,
    secret: [u8; KEY_BYTES],
}

/// Seals and opens texts. Without a key it leaves them as they are.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Arc<Vec<Key>>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// The same keys, by their names.
impl PartialEq for Keyring {
    fn eq(&self, other: &Keyring) -> bool {
        self.keys.iter().map(|key| &key.id).eq(other.keys.iter().map(|key| &key.id))
    }
}

impl Eq for Keyring {}

/// A new line of a key file. `None`: the system has no randomness to give.
pub fn new_key() -> Option<String> {
    let mut bytes = [0; 6 + KEY_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    let (id, secret) = bytes.split_at(6);
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("k{id} {}", STANDARD.encode(secret)))
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

impl Keyring {
    /// With the keys of a file.
    ///
    /// # Errors
    /// It cannot be read, others than its owner and group can get at it, or a line is no key.
    pub fn load(setting: &str) -> Result<Keyring, Unusable> {
        let file = file_of(setting)?;
        let shown = file.display();
        let found = std::fs::metadata(&file).map_err(|error| Unusable(format!("{shown} cannot be read: {error}")))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777;
        if mode & 0o027 != 0 {
            return Err(Unusable(format!(
                "{shown} has mode {mode:04o}, so others on this machine can get at it: run `chmod 0600 {shown}`; if others may \
                 have read it, add a new key and run `store rekey`"
            )));
        }
        let lines = std::fs::read_to_string(&file).map_err(|error| Unusable(format!("{shown} cannot be read: {error}")))?;
        Keyring::parse(&lines).map_err(|wrong| Unusable(format!("{shown}: {wrong}")))
    }

    /// With the keys of these lines, the newest first.
    ///
    /// # Errors
    /// Says which line is no key, and never what stands there.
    pub fn parse(lines: &str) -> Result<Keyring, String> {
        let mut keys: Vec<Key> = Vec::new();
        for (place, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
            let wrong = || format!("line {}: `ID BASE64` with 32 bytes is expected; `store new-key` prints one", place + 1);
            let (id, secret) = line.trim().split_once(' ').ok_or_else(wrong)?;
            let secret = STANDARD.decode(secret.trim()).ok();
            let secret: [u8; KEY_BYTES] = secret.and_then(|secret| secret.try_into().ok()).ok_or_else(wrong)?;
            let is_id = (1..=ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let key = RandomizedNonceKey::new(&AES_256_GCM, &secret).map_err(|_| wrong())?;
            if !is_id || keys.iter().any(|known| known.id == id) || keys.len() >= KEYS {
                return Err(format!("line {}: ids are letters, digits and `-`, each once, {KEYS} at most", place + 1));
            }
            keys.push(Key { id: id.to_owned(), key, secret });
        }
        if keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(Keyring { keys: Arc::new(keys) }) }
    }

    /// Id of the key that seals; none: nothing is sealed.
    pub fn current(&self) -> Option<&str> {
        self.keys.first().map(|key| key.id.as_str())
    }

    /// How a text begins that the newest key has sealed.
    pub fn mark(&self) -> Option<String> {
        self.current().map(|id| format!("{MARK}{id}:"))
    }

    /// A text as it is stored. It opens for the same purpose only.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn seal(&self, what: &str, plain: String) -> Result<String, Shut> {
        let Some(key) = self.keys.first() else { return Ok(plain) };
        let mut bytes = plain.into_bytes();
        let nonce = key.key.seal_in_place_append_tag(Aad::from(what), &mut bytes).map_err(|_| Shut::Broken)?;
        let whole = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(format!("{MARK}{}:{}", key.id, STANDARD.encode(whole)))
    }

    /// A sealed text in the plain.
    ///
    /// # Errors
    /// See [`Shut`].
    pub fn open(&self, what: &str, sealed: &str) -> Result<String, Shut> {
        let (id, whole) = sealed.strip_prefix(MARK).and_then(|rest| rest.split_once(':')).ok_or(Shut::Broken)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| Shut::Missing(id.to_owned()))?;
        let whole = STANDARD.decode(whole).map_err(|_| Shut::Broken)?;
        let (nonce, bytes) = whole.split_at_checked(NONCE_LEN).ok_or(Shut::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Shut::Broken)?;
        let mut bytes = bytes.to_vec();
        let plain = key.key.open_in_place(nonce, Aad::from(what), &mut bytes).map_err(|_| Shut::Broken)?;
        String::from_utf8(plain.to_vec()).map_err(|_| Shut::Broken)
    }

    /// A text that may be sealed, in the plain: what stood there before there was a key is in the plain.
    ///
    /// # Errors
    /// See [`Shut`].
    pub fn open_any(&self, what: &str, stored: String) -> Result<String, Shut> {
        if stored.starts_with(MARK) { self.open(what, &stored) } else { Ok(stored) }
    }

    /// A key for one thing alone (HKDF-SHA-256), from the key of this id: the same salt and purpose give it again, and nobody
    /// learns from it what it was made of. `None`: there is no key of this id.
    pub fn derived(&self, id: &str, salt: &[u8], purpose: &[u8]) -> Option<[u8; KEY_BYTES]> {
        let key = self.keys.iter().find(|key| key.id == id)?;
        let purpose = [purpose];
        let made = Salt::new(HKDF_SHA256, salt).extract(&key.secret);
        let mut derived = [0; KEY_BYTES];
        made.expand(&purpose, HKDF_SHA256).ok()?.fill(&mut derived).ok()?;
        Some(derived)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn ring(lines: &[String]) -> Keyring {
        Keyring::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_for_its_purpose_only() {
        let (old, new) = (new_key().unwrap(), new_key().unwrap());
        let first = ring(std::slice::from_ref(&old));
        let sealed = first.seal("one", "张三".to_owned()).unwrap();
        assert!(sealed.starts_with(&first.mark().unwrap()) && !sealed.contains("张三"), "{sealed}");
        assert_ne!(sealed, first.seal("one", "张三".to_owned()).unwrap(), "a nonce is never the same");
        assert_eq!(first.open("one", &sealed).unwrap(), "张三");
        assert_eq!(first.open("other", &sealed), Err(Shut::Broken));
        let mut changed = sealed.clone().into_bytes();
        let last = changed.len() - 3;
        changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
        assert!(first.open("one", std::str::from_utf8(&changed).unwrap()).is_err(), "a bit is not changed unseen");
        let both = ring(&[new.clone(), old]);
        assert_eq!(both.open("one", &sealed).unwrap(), "张三", "an older key opens still");
        assert_ne!(both.current(), first.current());
        let other = ring(&[new]).open("one", &sealed).unwrap_err();
        assert!(other.to_string().contains(first.current().unwrap()) && other.to_string().contains("store.key_file"), "{other}");
        assert!(Keyring::default().open_any("one", sealed).is_err(), "without a key it is no plain text");
        assert_eq!(both.open_any("one", "plain".to_owned()).unwrap(), "plain");
    }

    #[test]
    fn a_derived_key_is_the_same_for_the_same_and_another_for_anything_else() {
        let ring = ring(&[new_key().unwrap(), new_key().unwrap()]);
        let (first, second) = (&ring.keys[0].id, &ring.keys[1].id);
        let key = |id: &str, salt: &[u8], purpose: &[u8]| ring.derived(id, salt, purpose).unwrap();
        let one = key(first, b"salt", b"for");
        assert_eq!(one, key(first, b"salt", b"for"));
        for other in [key(second, b"salt", b"for"), key(first, b"sale", b"for"), key(first, b"salt", b"far"), ring.keys[0].secret]
        {
            assert_ne!(one, other);
        }
        assert!(ring.derived("none", b"salt", b"for").is_none());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.keys");
        std::fs::write(&file, format!("# keys\n{}\n", new_key().unwrap())).unwrap();
        for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false), (0o604, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let loaded = Keyring::load(file.to_str().unwrap());
            assert_eq!(loaded.is_ok(), good, "{mode:o}: {loaded:?}");
            if let Err(Unusable(why)) = loaded {
                assert!(why.contains(&format!("chmod 0600 {}", file.display())), "{why}");
            }
        }
    }

    #[test]
    fn a_line_that_is_no_key_is_named_and_not_shown() {
        let key = new_key().unwrap();
        let id = key.split_once(' ').unwrap().0;
        for (lines, place) in [
            ("".to_owned(), "no key"),
            (format!("{key}\nk2 c2hvcnQ="), "line 2"),
            (format!("{key}\nnonsense"), "line 2"),
            (format!("{key}\n{key}"), "line 2"),
            (format!("a:b {}", key.split_once(' ').unwrap().1), "line 1"),
        ] {
            let wrong = Keyring::parse(&lines).unwrap_err();
            assert!(wrong.contains(place) && !wrong.contains("c2hvcnQ") && !wrong.contains(id), "{wrong}");
        }
        assert!(file_of("credential:store-keys").unwrap_err().0.contains("LoadCredential=store-keys"));
        assert_eq!(file_of("/etc/x").unwrap(), Path::new("/etc/x"));
    }
}

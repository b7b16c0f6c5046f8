//! Who this agent is: its state folder, its Ed25519 key, and what the broker called it at enrolment.
//!
//! The key is made here and never leaves this PC. It refuses to read a key that other users could have read or changed.

use std::io::Read;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use taxdisk_protocol::ids::AgentId;

use crate::config::{BrokerUrl, Config};
use crate::failure::Failure;
use crate::platform::{self, refuse_wide};
use crate::ready::write_atomic;

/// The longest file of the state folder that is read whole, bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// The state folder and the places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The folder that the configuration names. Nothing is made or checked.
    pub fn at(path: &Path) -> StateDir {
        StateDir(path.to_owned())
    }

    /// Makes the folder (0700) if it is missing, and checks that nobody else can write or read in it.
    ///
    /// # Errors
    /// It cannot be made, or its modes are wider than 0700; the text says how to mend it.
    pub fn open(path: &Path) -> Result<StateDir, Failure> {
        let shown = path.display();
        match std::fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                return Err(Failure::config(format!("The state folder {shown} is not a folder: correct [state] dir.")));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                platform::private_folder(path).map_err(|error| {
                    Failure::config(format!(
                        "The state folder {shown} cannot be made ({error}): make it for this user, or correct [state] dir."
                    ))
                })?;
            }
            Err(error) => {
                return Err(Failure::config(format!(
                    "The state folder {shown} cannot be opened ({error}): correct its owner or [state] dir."
                )));
            }
        }
        refuse_wide(path, 0o700)?;
        Ok(StateDir(path.to_owned()))
    }

    /// Gives what root made in it to the folder's owner, which is the account of the service: commands that an administrator
    /// types must not leave files that the service cannot read. Does nothing for other users, and nothing to a folder of root's.
    pub fn give_back(&self) {
        platform::give_back(&self.0);
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The agent's private key.
    pub fn key_file(&self) -> PathBuf {
        self.0.join("agent.key")
    }

    /// What the broker said at enrolment.
    pub fn identity_file(&self) -> PathBuf {
        self.0.join("identity.json")
    }

    /// Passwords of the disks.
    pub fn secrets_file(&self) -> PathBuf {
        self.0.join("secrets.json")
    }

    /// The journal's folder.
    pub fn journal_dir(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// The socket on which a running agent answers `status`.
    pub fn socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// Held locked while an agent runs on this folder.
    pub fn lock_file(&self) -> PathBuf {
        self.0.join("agent.lock")
    }
}

/// Reads a private file of the state folder. `None`: it is not there.
///
/// # Errors
/// Modes too wide, unreadable, too long.
pub fn read_private(path: &Path) -> Result<Option<String>, Failure> {
    let wrong = |error: std::io::Error| {
        Failure::config(format!("{} cannot be read ({error}): correct its owner and modes.", path.display()))
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    };
    refuse_wide(path, 0o600)?;
    let mut text = String::new();
    file.take(FILE_MAX_BYTES).read_to_string(&mut text).map_err(wrong)?;
    platform::unseal(text).map(Some).map_err(|error| Failure::config(format!("{} cannot be read ({error}).", path.display())))
}

/// Writes a secret of the state folder at once: for its owner alone, and sealed where the system can do that.
///
/// # Errors
/// As the system says.
pub fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    write_atomic(path, platform::seal(text)?.as_bytes(), 0o600)
}

/// Seals those secrets of the state folder that stand in the plain, where the system can seal them now: what was written before
/// there was a credential, or by a command of the administrator's that has none.
///
/// # Errors
/// One cannot be read or written.
pub fn seal_what_is_plain(state: &StateDir) -> Result<(), Failure> {
    let keys = ["agent.key", "agent.key.next", "agent.key.before"].map(|name| state.path().join(name));
    for file in keys.into_iter().chain([state.secrets_file()]) {
        let plain = match std::fs::read_to_string(&file) {
            Ok(text) if platform::is_to_seal(&text) => text,
            _ => continue,
        };
        refuse_wide(&file, 0o600)?;
        write_secret(&file, &plain)
            .map_err(|error| Failure::config(format!("{} cannot be sealed ({error}).", file.display())))?;
        tracing::info!(file = %file.display(), "a secret was sealed with the credential of the service");
    }
    Ok(())
}

/// What the broker said at enrolment, and where that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The agent's id.
    pub agent: AgentId,
    /// Id of the broker's ledger.
    pub ledger: String,
    /// Address of the broker.
    pub broker: String,
    /// Certificate authority that alone is trusted, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// HTTP proxy on the way to the broker, or `none`, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// What people call this PC, here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which machine that was ([`this_machine`]). An enrolment of an earlier version does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// When, RFC 3339.
    pub enrolled_at: String,
}

/// This machine ([`platform::machine_id`]); hashed, since the id itself is not to be given away. `None`: it has none.
pub fn this_machine() -> Option<String> {
    let id = platform::machine_id()?;
    Some(hex::encode(&Sha256::digest(format!("taxdisk-agent {id}"))[..8]))
}

/// Where the broker is and what is needed to get there.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its address.
    pub url: BrokerUrl,
    /// Addresses of other brokers of the same ledger.
    pub others: Vec<BrokerUrl>,
    /// Authority that alone is trusted for it; `None`: what the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Proxy, or `none`; `None`: what the environment says.
    pub proxy: Option<String>,
}

impl Place {
    /// How to connect there.
    ///
    /// # Errors
    /// Trust or proxy cannot be used.
    pub fn dial(&self) -> Result<crate::link::client::Dial, Failure> {
        crate::link::client::Dial::new(self.url.clone(), self.ca_file.as_deref(), self.proxy.as_deref())
    }

    /// How to connect to any of its brokers.
    ///
    /// # Errors
    /// Trust or proxy cannot be used.
    pub fn dials(&self) -> Result<crate::link::client::Dials, Failure> {
        let at = |url: &BrokerUrl| crate::link::client::Dial::new(url.clone(), self.ca_file.as_deref(), self.proxy.as_deref());
        let others = self.others.iter().filter(|url| **url != self.url).map(at).collect::<Result<_, _>>()?;
        Ok(crate::link::client::Dials::new(self.dial()?, others))
    }

    /// A client for single requests there.
    ///
    /// # Errors
    /// Trust or proxy cannot be used.
    pub fn http(&self) -> Result<ureq::Agent, Failure> {
        crate::tls::http(self.ca_file.as_deref(), crate::link::proxy::choose(&self.url, self.proxy.as_deref())?)
    }
}

/// An enrolled agent with its key.
pub struct Identity {
    /// What the broker said.
    pub enrolled: Enrolled,
    /// The key.
    pub key: SigningKey,
}

impl Identity {
    /// Reads the identity. `None`: this folder is not enrolled.
    ///
    /// # Errors
    /// A file is damaged, missing its other half, or open to others.
    pub fn load(state: &StateDir) -> Result<Option<Identity>, Failure> {
        let Some(text) = read_private(&state.identity_file())? else { return Ok(None) };
        let damaged = |file: &Path| Failure::config(format!("{} is damaged: enrol again with --force.", file.display()));
        let enrolled = serde_json::from_str(&text).map_err(|_| damaged(&state.identity_file()))?;
        let key = load_key(state)?.ok_or_else(|| {
            Failure::config(format!("The key {} is missing: enrol again with --force.", state.key_file().display()))
        })?;
        Ok(Some(Identity { enrolled, key }))
    }

    /// Reads the identity; an agent that is not enrolled is an error.
    ///
    /// # Errors
    /// As [`Identity::load`], and not enrolled.
    pub fn require(state: &StateDir) -> Result<Identity, Failure> {
        Identity::load(state)?.ok_or_else(|| {
            Failure::config("This agent is not enrolled: get a code from the broker's administrator (`taxdisk enrollment create`) and run `taxdisk-agent enroll URL CODE`.")
        })
    }

    /// Where the broker is, which authority is trusted for it, and which proxy leads there: from the configuration, else from the
    /// enrolment.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn broker(&self, config: &Config) -> Result<Place, Failure> {
        let url = config.broker.url.as_ref().unwrap_or(&self.enrolled.broker);
        let url = BrokerUrl::parse(url).map_err(Failure::config)?;
        let ca_file = config.broker.ca_file.clone().or_else(|| self.enrolled.ca_file.clone());
        let proxy = config.broker.proxy.clone().or_else(|| self.enrolled.proxy.clone());
        let others = config.broker.others().map_err(Failure::config)?;
        Ok(Place { url, others, ca_file, proxy })
    }
}

fn load_key(state: &StateDir) -> Result<Option<SigningKey>, Failure> {
    let file = state.key_file();
    let Some(pem) = read_private(&file)? else { return Ok(None) };
    let key = SigningKey::from_pkcs8_pem(&pem)
        .map_err(|_| Failure::config(format!("The key {} is damaged: enrol again with --force.", file.display())))?;
    Ok(Some(key))
}

/// Stores the key, 0600, in place of one that is there.
///
/// # Errors
/// The file cannot be written.
pub fn store_key(state: &StateDir, key: &SigningKey) -> Result<(), Failure> {
    let file = state.key_file();
    write_secret(&file, &key_pem(key)?)
        .map_err(|error| Failure::config(format!("The key {} cannot be written ({error}).", file.display())))
}

/// A key as its file holds it. The text is wiped when it is dropped.
///
/// # Errors
/// It cannot be encoded; it always can.
pub fn key_pem(key: &SigningKey) -> Result<impl std::ops::Deref<Target = String>, Failure> {
    key.to_pkcs8_pem(LineEnding::LF).map_err(|_| Failure::failed("The new key could not be encoded: please report this."))
}

/// Stores what the broker said.
///
/// # Errors
/// The file cannot be written.
pub fn store(state: &StateDir, enrolled: &Enrolled) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(enrolled).expect("plain data with text keys");
    let file = state.identity_file();
    write_atomic(&file, text.as_bytes(), 0o600)
        .map_err(|error| Failure::config(format!("{} cannot be written ({error}).", file.display())))
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_folder_is_made_private_and_a_wide_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/state");
        StateDir::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        chmod(&path, 0o750);
        let failure = StateDir::open(&path).unwrap_err();
        assert!(failure.text.contains("chmod 0700"), "{failure}");
    }

    #[test]
    fn a_key_is_private_read_back_and_refused_when_others_could_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("s")).unwrap();
        assert!(Identity::load(&state).unwrap().is_none());
        assert!(Identity::require(&state).err().unwrap().text.contains("not enrolled"));
        let key = SigningKey::generate(&mut rand::rngs::OsRng);
        store_key(&state, &key).unwrap();
        let enrolled = Enrolled {
            agent: "ag_0123456789abcdef".parse().unwrap(),
            ledger: "lg_1".into(),
            broker: "http://127.0.0.1:1".into(),
            ca_file: None,
            proxy: None,
            name: None,
            machine: Some("00".into()),
            enrolled_at: "2026-01-01T00:00:00Z".into(),
        };
        store(&state, &enrolled).unwrap();
        let found = Identity::load(&state).unwrap().unwrap();
        assert_eq!((found.enrolled, found.key.to_bytes()), (enrolled, key.to_bytes()));
        assert_eq!(std::fs::metadata(state.key_file()).unwrap().permissions().mode() & 0o777, 0o600);
        chmod(&state.key_file(), 0o640);
        assert!(Identity::load(&state).err().unwrap().text.contains("chmod 0600"));
        std::fs::remove_file(state.key_file()).unwrap();
        assert!(Identity::load(&state).err().unwrap().text.contains("missing"));
    }
}

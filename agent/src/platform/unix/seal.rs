//! Secrets of the state folder, sealed with what systemd hands to the service.
//!
//! Where the unit has a credential `agent-seal` (`LoadCredentialEncrypted=`, which a TPM can hold the key of), key and
//! passwords stand in their files sealed with it, for this machine: a copy of the folder opens on no other one, and a copy of
//! the disk only where the credential opens. Without it they stand as they are, for their owner alone.
//!
//! What it refuses to do: write a secret in the plain where there is a credential.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Name of the credential.
const CREDENTIAL: &str = "agent-seal";
/// Begins a sealed file. No PEM and no JSON does.
const MARK: &str = "taxdisk-sealed-v1 ";
/// Bytes of the credential at least.
const BYTES_MIN: usize = 32;

/// What systemd hands to this process.
fn folder() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// A secret as it stands in its file.
///
/// # Errors
/// The credential cannot be used.
pub fn seal(text: &str) -> Result<String> {
    seal_in(folder().as_deref(), &machine(), text)
}

/// The other way round. What is not sealed is left as it is.
///
/// # Errors
/// It is sealed, and this process has not the credential, or another one, or this is another machine.
pub fn unseal(text: String) -> Result<String> {
    unseal_in(folder().as_deref(), &machine(), text)
}

/// Does this stand in the plain, although it could be sealed?
pub fn is_to_seal(text: &str) -> bool {
    !text.starts_with(MARK) && folder().is_some_and(|folder| folder.join(CREDENTIAL).exists())
}

fn machine() -> String {
    super::machine_id().unwrap_or_default()
}

fn key(folder: Option<&Path>) -> Result<Option<RandomizedNonceKey>> {
    let Some(file) = folder.map(|folder| folder.join(CREDENTIAL)).filter(|file| file.exists()) else { return Ok(None) };
    let bytes = std::fs::read(&file)?;
    if bytes.len() < BYTES_MIN {
        return Err(Error::other(format!(
            "the credential {CREDENTIAL} has {} bytes; {BYTES_MIN} random ones are needed",
            bytes.len()
        )));
    }
    let digest = Sha256::new_with_prefix(b"taxdisk-agent-seal-v1\n").chain_update(bytes).finalize();
    RandomizedNonceKey::new(&AES_256_GCM, &digest).map(Some).map_err(|_| Error::other("the credential makes no key"))
}

fn purpose(machine: &str) -> String {
    format!("{MARK}{machine}")
}

fn seal_in(folder: Option<&Path>, machine: &str, text: &str) -> Result<String> {
    let Some(key) = key(folder)? else { return Ok(text.to_owned()) };
    let mut bytes = text.as_bytes().to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(purpose(machine)), &mut bytes);
    let nonce = nonce.map_err(|_| Error::other("it cannot be sealed"))?;
    Ok(format!("{MARK}{}\n", STANDARD.encode([nonce.as_ref().as_slice(), &bytes].concat())))
}

fn unseal_in(folder: Option<&Path>, machine: &str, text: String) -> Result<String> {
    let Some(sealed) = text.strip_prefix(MARK) else { return Ok(text) };
    let key = key(folder)?.ok_or_else(|| {
        Error::other(format!("it is sealed with the credential {CREDENTIAL}, which the service has and this process has not"))
    })?;
    let other =
        || Error::other(format!("it was sealed on another machine, or with another credential {CREDENTIAL}: enrol again"));
    let whole = STANDARD.decode(sealed.trim_end()).map_err(|_| other())?;
    let (nonce, bytes) = whole.split_at_checked(NONCE_LEN).ok_or_else(other)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| other())?;
    let mut bytes = bytes.to_vec();
    let plain = key.open_in_place(nonce, Aad::from(purpose(machine)), &mut bytes).map_err(|_| other())?;
    String::from_utf8(plain.to_vec()).map_err(|_| other())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn credential(bytes: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CREDENTIAL), bytes).unwrap();
        folder
    }

    #[test]
    fn what_is_sealed_opens_with_the_credential_and_on_its_machine_only() {
        let (own, other) = (credential(&[1; 32]), credential(&[2; 32]));
        let sealed = seal_in(Some(own.path()), "machine", "a secret").unwrap();
        assert!(sealed.starts_with(MARK) && !sealed.contains("secret"), "{sealed}");
        let open = |folder, machine| unseal_in(folder, machine, sealed.clone());
        assert_eq!(open(Some(own.path()), "machine").unwrap(), "a secret");
        for (folder, machine, why) in [
            (Some(own.path()), "copy of it", "another machine"),
            (Some(other.path()), "machine", "another credential"),
            (None, "machine", "the service has"),
        ] {
            let refused = open(folder, machine).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        assert!(unseal_in(Some(own.path()), "machine", format!("{MARK}AAAA")).is_err());
    }

    #[test]
    fn without_a_credential_a_secret_stands_as_it_is_and_a_short_one_seals_nothing() {
        assert_eq!(seal_in(None, "machine", "a secret").unwrap(), "a secret");
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(seal_in(Some(empty.path()), "machine", "a secret").unwrap(), "a secret");
        assert_eq!(unseal_in(None, "machine", "a secret".to_owned()).unwrap(), "a secret", "of before there was one");
        let short = credential(b"short");
        assert!(seal_in(Some(short.path()), "machine", "a secret").unwrap_err().to_string().contains("32"));
    }
}

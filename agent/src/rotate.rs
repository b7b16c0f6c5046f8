//! The agent's key is exchanged for a new one, in two steps that may stop anywhere.
//!
//! First a new key is made and kept beside the present one (`agent.key.next`). From then on every join proves both; the broker
//! takes the new one in the commit of the join and says so in its welcome. Only then the new one takes the present one's place
//! here, and the present one stays as `agent.key.before`: a ledger that was put back from a copy may know no newer one. Nothing
//! of this has a time limit: an agent that was switched off for months in the middle goes on where it was. The broker knows one
//! key at any time, and whichever that is, this folder holds it.
//!
//! It refuses to throw a key away before the broker has named its successor.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;

use crate::failure::Failure;
use crate::fault;
use crate::identity::{StateDir, key_pem, read_private, write_secret};
use crate::link::session::OtherKeys;
use crate::platform;

/// The public half as it is written everywhere, base64.
pub fn public(key: &SigningKey) -> String {
    BASE64.encode(key.verifying_key().to_bytes())
}

fn next_file(state: &StateDir) -> PathBuf {
    state.path().join("agent.key.next")
}

fn before_file(state: &StateDir) -> PathBuf {
    state.path().join("agent.key.before")
}

/// The keys beside the present one.
///
/// # Errors
/// A file is open to others, or damaged: then nobody knows which keys there are, and a person must look.
pub fn others(state: &StateDir) -> Result<OtherKeys, Failure> {
    Ok(OtherKeys { next: load(&next_file(state))?, before: load(&before_file(state))? })
}

/// Makes the next key, unless there is one that the broker has not taken yet. Gives its public half.
///
/// # Errors
/// It cannot be kept.
pub fn begin(state: &StateDir) -> Result<String, Failure> {
    if let Some(waiting) = load(&next_file(state))? {
        return Ok(public(&waiting));
    }
    let key = SigningKey::generate(&mut rand::rngs::OsRng);
    keep(&next_file(state), &key)?;
    // If we stop here, the next start finds the new key and proves it beside the present one.
    fault::point("key_made");
    Ok(public(&key))
}

/// Makes the next key if the present one is older than this.
///
/// # Errors
/// As [`begin`].
pub fn begin_if_due(state: &StateDir, days: u32) -> Result<(), Failure> {
    let made = std::fs::metadata(state.key_file()).and_then(|found| found.modified());
    // A clock that went back makes no key old.
    let age = made.ok().and_then(|made| SystemTime::now().duration_since(made).ok()).unwrap_or_default();
    if days > 0 && age > Duration::from_secs(u64::from(days) * 24 * 3600) && load(&next_file(state))?.is_none() {
        tracing::info!(days, "the key is old: a new one is made, and takes its place at the next join");
        begin(state)?;
    }
    Ok(())
}

/// The broker has taken the key with this public half: it is the present one from now on.
///
/// # Errors
/// The files cannot be written. The next join comes through all the same, and tries again.
pub fn adopt(state: &StateDir, taken: &str) -> Result<(), Failure> {
    // If we stop here or below, the broker knows the new key, the files hold both, and the next join proves both.
    fault::point("key_taken");
    let next = load(&next_file(state))?.filter(|next| public(next) == taken);
    if next.is_none() {
        return Ok(());
    }
    if let Some(present) = load(&state.key_file())?.filter(|present| public(present) != taken) {
        keep(&before_file(state), &present)?;
    }
    fault::point("key_kept");
    let moved = platform::replace(&next_file(state), &state.key_file()).and_then(|()| platform::settle_name(&state.key_file()));
    moved.map_err(|error| Failure::config(format!("The new key could not take its place ({error}).")))?;
    fault::point("key_adopted");
    tracing::info!(fingerprint = taxdisk_protocol::link::fingerprint(taken), "the broker has taken the new key");
    Ok(())
}

/// A new enrolment begins with one key.
pub fn forget(state: &StateDir) {
    for file in [next_file(state), before_file(state)] {
        // One that stays is proven beside the new one and harms nobody.
        let _ = std::fs::remove_file(file);
    }
}

fn load(file: &std::path::Path) -> Result<Option<SigningKey>, Failure> {
    let Some(pem) = read_private(file)? else { return Ok(None) };
    let key = SigningKey::from_pkcs8_pem(&pem);
    key.map(Some).map_err(|_| Failure::config(format!("The key {} is damaged: enrol again with --force.", file.display())))
}

fn keep(file: &std::path::Path, key: &SigningKey) -> Result<(), Failure> {
    write_secret(file, &key_pem(key)?)
        .map_err(|error| Failure::config(format!("The key {} cannot be written ({error}).", file.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::identity::store_key;

    fn folder() -> (tempfile::TempDir, StateDir, SigningKey) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("s")).unwrap();
        let key = SigningKey::generate(&mut rand::rngs::OsRng);
        store_key(&state, &key).unwrap();
        (dir, state, key)
    }

    #[test]
    fn one_exchange_at_a_time_and_no_key_is_lost_before_its_successor_is_taken() {
        let (_dir, state, first) = folder();
        let made = begin(&state).unwrap();
        assert_eq!(begin(&state).unwrap(), made, "asked for twice, it is one exchange");
        assert_eq!(load(&state.key_file()).unwrap().unwrap(), first);
        adopt(&state, &public(&first)).unwrap();
        assert_eq!(load(&state.key_file()).unwrap().unwrap(), first, "the broker named another key: nothing changes");
        adopt(&state, &made).unwrap();
        let present = load(&state.key_file()).unwrap().unwrap();
        assert_eq!(public(&present), made);
        let others_now = others(&state).unwrap();
        assert_eq!((others_now.next, others_now.before), (None, Some(first)));
        adopt(&state, &made).unwrap();
        assert_eq!(public(&load(&state.key_file()).unwrap().unwrap()), made, "told twice, it is one exchange");
        forget(&state);
        assert_eq!(others(&state).unwrap(), OtherKeys::default());
    }

    #[test]
    fn a_key_is_exchanged_when_it_is_old_and_not_before() {
        let (_dir, state, _) = folder();
        begin_if_due(&state, 90).unwrap();
        begin_if_due(&state, 0).unwrap();
        assert!(others(&state).unwrap().next.is_none());
        let long_ago = SystemTime::now() - Duration::from_secs(91 * 24 * 3600);
        std::fs::File::options().write(true).open(state.key_file()).unwrap().set_modified(long_ago).unwrap();
        begin_if_due(&state, 0).unwrap();
        assert!(others(&state).unwrap().next.is_none(), "0: never");
        begin_if_due(&state, 90).unwrap();
        let next = others(&state).unwrap().next.unwrap();
        begin_if_due(&state, 90).unwrap();
        assert_eq!(others(&state).unwrap().next.unwrap(), next);
    }
}

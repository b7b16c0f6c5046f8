//! Updates of this program by itself: offered by the broker, signed by whoever releases it, tried before they count, and left by
//! themselves if they do not work ([decision 38](../../../docs/decisions/0038-signed-updates.md)).
//!
//! The installed program is never written to. Other versions lie side by side in the state folder ([`shelf`]), and one small
//! file there, replaced at once and durably, says which of them runs. The way of an update:
//!
//! 1. [`desk`] judges an offer, has the program fetched ([`fetch`]), and waits until nothing is open and the disks are idle.
//! 2. The agent stops as it does on SIGTERM, and with everything closed starts the new version as its child, on trial
//!    ([`trial`]): it joins the link and reads the disks, is granted none, and so can begin nothing.
//! 3. Proven within [`trial::LIMIT`], the new version is what runs from now on: this process becomes it ([`launch`]). Otherwise
//!    the version is noted as failed, and this process becomes the old one again.
//!
//! Whatever is killed in between: the next start reads the file, and until the proof it names the old version.
//!
//! What this refuses to do: run a program without a good signature of a pinned key, go to an older version, replace what a
//! package manager installed, try a version again that failed, or stop a disk that is at work.

pub mod desk;
pub mod fetch;
pub mod launch;
pub mod shelf;
pub mod signed;
pub mod trial;

use std::path::{Path, PathBuf};

use minisign_verify::PublicKey;

use crate::config::Config;
use crate::failure::Failure;

/// The keys of the releases that this program was built for, separated by commas; none in a build of one's own.
const BUILT_IN_KEYS: Option<&str> = option_env!("TAXDISK_UPDATE_KEYS");

/// Whether this agent takes updates, and whose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Why it takes none.
    pub off: Option<String>,
    /// The keys of which one must have signed.
    pub keys: Vec<PublicKey>,
}

impl Settings {
    /// Of this PC. `base` is the installed program.
    ///
    /// # Errors
    /// A key of the configuration cannot be read.
    pub fn of(config: &Config, base: &Path) -> Result<Settings, Failure> {
        let built_in = BUILT_IN_KEYS.unwrap_or_default().split(',').map(str::trim).filter(|key| !key.is_empty());
        let keys = if config.update.keys.is_empty() {
            built_in.map(key).collect::<Result<Vec<_>, _>>()?
        } else {
            config.update.keys.iter().map(|text| key(text)).collect::<Result<Vec<_>, _>>()?
        };
        let off = if !config.update.enabled {
            Some("[update] enabled = false".to_owned())
        } else if let Some(why) = crate::platform::no_updates() {
            Some(why.to_owned())
        } else if let Some(manager) = packaged(base) {
            Some(format!("it was installed by {manager}, which updates it"))
        } else if keys.is_empty() {
            Some("no key of releases is known: this is a build of one's own, and [update] keys names none".to_owned())
        } else {
            None
        };
        Ok(Settings { off, keys })
    }
}

/// A key as minisign shows it.
///
/// # Errors
/// It is none.
pub fn key(text: &str) -> Result<PublicKey, Failure> {
    PublicKey::from_base64(text.trim())
        .map_err(|_| Failure::config(format!("[update] keys: {text:?} is no public key as minisign shows it (RW…).")))
}

/// Who installed the program, if a package manager did. Its package has a file that says so; the archive with `install.sh` has
/// none, and neither has a program that was copied.
fn packaged(base: &Path) -> Option<String> {
    let marker = base.parent()?.parent()?.join("share/taxdisk-agent/installed-by");
    let said = std::fs::read_to_string(marker).ok()?;
    let name: String = said.trim().chars().filter(|c| !c.is_control()).take(40).collect();
    Some(if name.is_empty() { "a package manager".to_owned() } else { name })
}

/// The installed program: this one, unless it was started by it as another version.
///
/// # Errors
/// The system does not say which file this is.
pub fn base() -> Result<PathBuf, Failure> {
    match std::env::var_os(launch::BASE) {
        Some(base) => Ok(PathBuf::from(base)),
        None => std::env::current_exe()
            .map_err(|error| Failure::failed(format!("The system does not say which program this is ({error})."))),
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_package_manager_installed_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("bin/taxdisk-agent");
        let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64();
        let mut config = Config::default();
        let off = |config: &Config| Settings::of(config, &base).unwrap().off;
        assert!(off(&config).unwrap().contains("no key"));
        config.update.keys = vec![key];
        assert_eq!(off(&config), None);
        std::fs::create_dir_all(dir.path().join("share/taxdisk-agent")).unwrap();
        std::fs::write(dir.path().join("share/taxdisk-agent/installed-by"), "dpkg\n").unwrap();
        assert!(off(&config).unwrap().contains("dpkg"));
        config.update.enabled = false;
        assert!(off(&config).unwrap().contains("enabled"));
        config.update.keys = vec!["RWQ".to_owned()];
        assert_eq!(Settings::of(&config, &base).unwrap_err().exit, crate::failure::Exit::Config);
    }
}

//! Checks of this PC: configuration and state folder.

use super::Report;
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::{StateDir, read_private};

/// Configuration and state folder, if both can be used.
pub(super) fn check(report: &mut Report, config: Result<Config, Failure>) -> Option<(Config, StateDir)> {
    let config = report.take("config.readable", config.map_err(|failure| failure.text), |config| {
        format!("the configuration is good: {} disk(s), state in {}", config.disk.len(), config.state.dir.display())
    })?;
    let state = StateDir::open(&config.state.dir).map_err(|failure| failure.text);
    let state = report.take("config.state_dir", state, |state| format!("{} is private to this user", state.path().display()))?;
    let private = [state.key_file(), state.identity_file(), state.secrets_file()]
        .iter()
        .try_for_each(|file| read_private(file).map(drop))
        .map_err(|failure| failure.text);
    report.take("config.private_files", private, |()| "key and passwords are private to this user".to_owned());
    Some((config, state))
}

//! `[metrics]`: who may read the figures.

use std::path::Path;

use serde::{Deserialize, Serialize};
use taxdisk_web::keyring::file_of;

use super::ConfigError;

/// Characters of a token at least: nobody guesses so many.
const TOKEN_CHARS: usize = 16;

/// Figures for Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Whoever asks for `/metrics` shows what stands in this file, as `Authorization: Bearer …`; `credential:NAME` for one of
    /// systemd. Left out: everybody who reaches the broker reads the figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
}

impl Metrics {
    /// What stands in [`Metrics::token_file`].
    ///
    /// # Errors
    /// Says what is wrong with the file, and what mends it; never what stands in it.
    pub fn token(&self) -> Result<Option<String>, ConfigError> {
        let Some(setting) = &self.token_file else { return Ok(None) };
        let wrong = |text: String| ConfigError(format!("metrics.token_file: {text}"));
        let file = file_of(setting).map_err(|error| wrong(error.0))?;
        refuse_open(&file).map_err(wrong)?;
        let text =
            std::fs::read_to_string(&file).map_err(|error| wrong(format!("{} cannot be read: {error}", file.display())))?;
        let token = text.trim();
        if token.len() < TOKEN_CHARS || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let mend = "`openssl rand -hex 32` makes one";
            return Err(wrong(format!("{}: {TOKEN_CHARS} letters and digits at least are needed; {mend}", file.display())));
        }
        Ok(Some(token.to_owned()))
    }
}

/// A group may read it: whoever scrapes is another account.
fn refuse_open(file: &Path) -> Result<(), String> {
    let Ok(found) = std::fs::metadata(file) else { return Ok(()) };
    let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777;
    if mode & 0o027 == 0 {
        return Ok(());
    }
    Err(format!("{} has mode {mode:04o}, so others on this machine can read it: run `chmod 0640 {0}`", file.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_that_others_can_read_or_guess_is_not_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metrics = Metrics { token_file: Some(file.path().display().to_string()) };
        let with = |text: &str, mode: u32| {
            std::fs::write(file.path(), text).unwrap();
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            metrics.token().map_err(|error| error.0)
        };
        assert_eq!(with("0123456789abcdef\n", 0o640).unwrap().as_deref(), Some("0123456789abcdef"));
        assert!(with("0123456789abcdef", 0o644).unwrap_err().contains("chmod 0640"));
        for short in ["", "\n", "0123456789abcde", "0123456789 abcdef", "0123456789abcdef\n0123456789abcdef"] {
            let told = with(short, 0o600).unwrap_err();
            assert!(told.contains("metrics.token_file") && (short.trim().is_empty() || !told.contains(short.trim())), "{told}");
        }
        let none = Metrics { token_file: Some("/nonexistent/token".to_owned()) };
        assert!(none.token().unwrap_err().0.contains("cannot be read"));
        assert_eq!(Metrics::default().token().unwrap(), None);
    }
}

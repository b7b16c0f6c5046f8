//! Who may read the figures: everybody, or whoever shows the token of `metrics.token_file`, as Prometheus does with
//! `authorization.credentials_file`.
//!
//! The token opens the figures and nothing else; an API key does not open them where there is a token.

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use taxdisk_protocol::error::Code;

use super::refused::Refused;
use crate::config::{ConfigError, Metrics};

/// The digest of the token, if one is asked for.
#[derive(Clone, Default)]
pub struct Scrape(Option<[u8; 32]>);

impl std::fmt::Debug for Scrape {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Scrape").field(&self.0.is_some()).finish()
    }
}

impl Scrape {
    /// As it is configured.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn of(config: &Metrics) -> Result<Scrape, ConfigError> {
        Ok(Scrape(config.token()?.map(|token| Sha256::digest(token).into())))
    }

    /// Does everybody read them?
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// May whoever sent this read them?
    ///
    /// # Errors
    /// `unauthorized`.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(wanted) = &self.0 else { return Ok(()) };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let good = shown.is_some_and(|(_, token)| Sha256::digest(token.trim()).as_slice().ct_eq(wanted).into());
        let text = "the figures are for whoever shows the token of metrics.token_file, as Authorization: Bearer";
        if good { Ok(()) } else { Err(Refused::new(Code::Unauthorized, text)) }
    }
}

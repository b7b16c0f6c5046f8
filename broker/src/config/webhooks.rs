//! `[webhooks]`: what may be called, how long it may take, and how long events are kept.

use std::path::PathBuf;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use taxdisk_web::outbound::{Proxy, Settings};

use super::ConfigError;
use crate::core::webhooks;

/// Webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// `http://` addresses too. Everybody on the way can then read the events.
    pub allow_http: bool,
    /// Private networks that may be called all the same: `10.1.0.0/16`, `127.0.0.1/32`.
    pub allow_networks: Vec<String>,
    /// PEM file of the authorities that receivers' certificates are checked with, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// `http://[user:password@]host:port`, asked by CONNECT for the address that was looked up here. The environment is not
    /// asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Name, connection and TLS together, seconds.
    pub connect_s: u64,
    /// The whole call, seconds; 15 to 30 are usual.
    pub answer_s: u64,
    /// Delays between the attempts, seconds; each with a jitter of a fifth.
    pub schedule_s: Vec<u64>,
    /// An endpoint that takes nothing for so long is switched off, seconds.
    pub disable_after_s: u64,
    /// Messages on their way to one endpoint at the same time.
    pub concurrency: usize,
    /// Events and ended deliveries are kept so long, days. What an endpoint has not taken is kept for as long as the endpoint
    /// exists.
    pub keep_days: u64,
}

impl Default for Webhooks {
    fn default() -> Webhooks {
        let (machine, outbound) = (webhooks::Settings::default(), Settings::default());
        Webhooks {
            allow_http: false,
            allow_networks: Vec::new(),
            ca_file: None,
            proxy: None,
            connect_s: outbound.connect_limit.as_secs(),
            answer_s: outbound.call_limit.as_secs(),
            schedule_s: machine.delays_ms.iter().map(|ms| ms.unsigned_abs() / 1000).collect(),
            disable_after_s: machine.disable_after_ms.unsigned_abs() / 1000,
            concurrency: machine.concurrency,
            keep_days: 30,
        }
    }
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
}

impl Webhooks {
    /// For the guarded client.
    ///
    /// # Errors
    /// Names the value that cannot be used.
    pub fn outbound(&self) -> Result<Settings, ConfigError> {
        let wrong = |key: &str, error: String| ConfigError(format!("webhooks.{key}: {error}"));
        let mut allow_networks = Vec::new();
        for text in &self.allow_networks {
            let network = text.parse().map_err(|_| wrong("allow_networks", format!("{text:?} is no network, as 10.1.0.0/16")))?;
            allow_networks.push(network);
        }
        let authorities = match &self.ca_file {
            None => None,
            Some(file) => {
                let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let found = found.map_err(|error| wrong("ca_file", format!("{} cannot be read: {error}", file.display())))?;
                if found.is_empty() {
                    return Err(wrong("ca_file", format!("{} holds no certificate", file.display())));
                }
                Some(found)
            }
        };
        let proxy: Option<Proxy> =
            self.proxy.as_deref().map(str::parse).transpose().map_err(|error: String| wrong("proxy", error))?;
        Ok(Settings {
            allow_http: self.allow_http,
            allow_networks,
            authorities,
            proxy,
            connect_limit: Duration::from_secs(self.connect_s),
            call_limit: Duration::from_secs(self.answer_s),
            user_agent: concat!("taxdisk-broker/", env!("CARGO_PKG_VERSION")),
            ..Settings::default()
        })
    }

    /// For the decisions.
    pub fn machine(&self) -> webhooks::Settings {
        webhooks::Settings {
            delays_ms: self.schedule_s.iter().copied().map(ms).collect(),
            disable_after_ms: ms(self.disable_after_s),
            concurrency: self.concurrency,
            ..webhooks::Settings::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError(format!("webhooks.{text}")));
        if self.connect_s == 0 || self.answer_s == 0 || self.answer_s > 120 {
            return wrong("connect_s and answer_s: at least 1 s, and at most 120 s for an answer");
        }
        if self.schedule_s.is_empty() || self.schedule_s.len() > 32 || self.schedule_s.contains(&0) {
            return wrong("schedule_s: 1 to 32 delays of at least 1 s");
        }
        if self.concurrency == 0 || self.concurrency > 64 || self.keep_days == 0 || self.disable_after_s == 0 {
            return wrong("concurrency is 1 to 64; keep_days and disable_after_s are at least 1");
        }
        self.outbound().map(|_| ())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        assert_eq!(Webhooks::default().check(), Ok(()));
        assert_eq!(Webhooks::default().machine(), webhooks::Settings::default());
        let bad = |change: fn(&mut Webhooks)| {
            let mut webhooks = Webhooks::default();
            change(&mut webhooks);
            webhooks.check().unwrap_err().0
        };
        assert!(bad(|w| w.allow_networks = vec!["10.1.0.0".to_owned(), "all".to_owned()]).contains("allow_networks"));
        assert!(bad(|w| w.proxy = Some("proxy:3128".to_owned())).contains("webhooks.proxy"));
        assert!(bad(|w| w.ca_file = Some("/nonexistent.pem".into())).contains("ca_file"));
        assert!(bad(|w| w.schedule_s = vec![5, 0]).contains("schedule_s"));
        assert!(bad(|w| w.answer_s = 600).contains("answer_s"));
        assert!(bad(|w| w.concurrency = 0).contains("concurrency"));
    }
}

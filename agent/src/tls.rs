//! Encryption towards the broker, set up in this one place: rustls, aws-lc-rs, TLS 1.3 and nothing older.
//!
//! Trusted is what the system trusts, or one certificate authority from a file and then nobody else. There is no switch that
//! leaves a certificate unchecked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::failure::Failure;

/// A request that is not answered in this time has failed.
pub const HTTP_LIMIT: Duration = Duration::from_secs(20);

/// Provider with the cipher suites of TLS 1.3 only: whoever builds on it cannot speak anything older.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
    Arc::new(provider)
}

/// Certificates of an authority's PEM file.
///
/// # Errors
/// It cannot be read or holds none.
pub fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = file.display();
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => {
            Err(Failure::config(format!("ca_file {shown} holds no certificate: give the authority's certificate in PEM form.")))
        }
        Err(error) => Err(Failure::config(format!("ca_file {shown} cannot be read ({error}): correct the path or give PEM."))),
    }
}

/// The client's side of TLS.
///
/// # Errors
/// The authority's file, or the system's own trust, cannot be used.
pub fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has the suites of TLS 1.3");
    let config = match ca_file {
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in authorities(file)? {
                roots.add(certificate).map_err(|error| {
                    Failure::config(format!("ca_file {} holds a certificate that cannot be used ({error}).", file.display()))
                })?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => builder
            .with_platform_verifier()
            .map_err(|error| {
                Failure::config(format!(
                    "The system's certificates cannot be read ({error}): install ca-certificates, or set [broker] ca_file."
                ))
            })?
            .with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// A client for single requests (enrolment, doctor, tunnels). Follows no redirection, takes every status as an answer.
///
/// # Errors
/// The authority's file cannot be used.
pub fn http(ca_file: Option<&Path>, proxy: Option<ureq::Proxy>) -> Result<ureq::Agent, Failure> {
    let roots = match ca_file {
        Some(file) => {
            let found: Vec<_> = authorities(file)?.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned()).collect();
            ureq::tls::RootCerts::new_with_certs(&found)
        }
        None => ureq::tls::RootCerts::PlatformVerifier,
    };
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider()).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(HTTP_LIMIT))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(concat!("taxdisk-agent/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(ureq::Agent::new_with_config(config))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_older_than_tls_1_3_is_left() {
        let provider = provider();
        assert!(!provider.cipher_suites.is_empty());
        assert!(provider.cipher_suites.iter().all(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_3));
    }

    #[test]
    fn a_ca_file_without_certificates_is_the_administrators_fault() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        assert!(client(Some(&file)).unwrap_err().text.contains("cannot be read"));
        std::fs::write(&file, "nothing").unwrap();
        assert!(client(Some(&file)).unwrap_err().text.contains("holds no certificate"));
    }
}

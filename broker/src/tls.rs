//! TLS of the broker, over [`taxdisk_web::tls`]: version 1.3 only.
//!
//! Agents prove themselves by their own key on the link. Callers are asked for a certificate where the configuration says so
//! (`tls.client_authority`); what they may do is for their key to say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
pub use taxdisk_web::tls::Certificate;
use taxdisk_web::tls::{Clients, MODERN, Unusable};
use tokio_rustls::TlsAcceptor;

use crate::config::{ClientCertificates, ConfigError, Tls};

impl From<Unusable> for ConfigError {
    fn from(unusable: Unusable) -> ConfigError {
        ConfigError(unusable.0)
    }
}

/// Reads the certificate that the configuration names.
///
/// # Errors
/// Names the file that cannot be used.
pub fn load(files: &Tls) -> Result<Arc<Certificate>, ConfigError> {
    load_pair(&files.certificate, &files.key)
}

/// Reads a certificate and its key.
///
/// # Errors
/// Names the file that cannot be used.
pub fn load_pair(certificate: &Path, key: &Path) -> Result<Arc<Certificate>, ConfigError> {
    Ok(Certificate::load(certificate, key)?)
}

/// Accepts TLS 1.3 connections with this certificate, and asks callers for theirs where the configuration says so.
///
/// # Errors
/// Names the file that cannot be used.
pub fn acceptor_of(files: &Tls, certificate: &Arc<Certificate>) -> Result<TlsAcceptor, ConfigError> {
    let Some(authority) = files.client_authority.clone() else { return acceptor(certificate) };
    let required = files.client_certificates == ClientCertificates::Required;
    Ok(certificate.acceptor_for(MODERN, &Clients { authority, required })?)
}

/// Accepts TLS 1.3 connections with this certificate, from whoever comes.
///
/// # Errors
/// When the provider cannot do TLS 1.3; it always can.
pub fn acceptor(certificate: &Arc<Certificate>) -> Result<TlsAcceptor, ConfigError> {
    Ok(certificate.acceptor(MODERN)?)
}

/// How this broker reaches another one: TLS 1.3, and only certificates that this authority signed.
///
/// # Errors
/// Names the file that cannot be used.
pub fn client(authority: &PathBuf) -> Result<Arc<ClientConfig>, ConfigError> {
    let wrong = |error: &dyn std::fmt::Display| {
        ConfigError(format!("cluster.tls.authority: {} cannot be used: {error}", authority.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"it holds no certificate"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

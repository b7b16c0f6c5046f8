//! TLS at the broker's edge: rustls with aws-lc-rs, version 1.3 only, set up here and nowhere else.
//!
//! The certificate can be exchanged while the broker runs ([`Certificate::reload`]); a new pair that cannot be used leaves the
//! old one in place. Client certificates are not asked for: agents prove themselves by their own key on the link.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::{ConfigError, Tls};

/// The server's certificate, exchangeable.
#[derive(Debug)]
pub struct Certificate {
    files: Tls,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(files: &Tls) -> Result<Arc<Certificate>, ConfigError> {
        Ok(Arc::new(Certificate { files: files.clone(), current: RwLock::new(Arc::new(read(files)?)) }))
    }

    /// Reads the files again. Connections that exist keep the certificate that they began with.
    ///
    /// # Errors
    /// Names the file that cannot be used; the certificate in use stays.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let new = Arc::new(read(&self.files)?);
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = new;
        Ok(())
    }

    /// Accepts TLS 1.3 connections with this certificate.
    ///
    /// # Errors
    /// When the provider cannot do TLS 1.3; it always can.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, ConfigError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| ConfigError(format!("tls: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // No early data: it can be replayed.
        config.max_early_data_size = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
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

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
    }
}

fn read(files: &Tls) -> Result<CertifiedKey, ConfigError> {
    let wrong = |what: &str, path: &PathBuf, error: &dyn std::fmt::Display| {
        ConfigError(format!("{what}: {} cannot be used: {error}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong("tls.certificate", &files.certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong("tls.certificate", &files.certificate, &"it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong("tls.key", &files.key, &error))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| wrong("tls.key", &files.key, &error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write_pair(folder: &std::path::Path) -> Tls {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let files = Tls { certificate: folder.join("c.pem"), key: folder.join("k.pem") };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn a_bad_reload_leaves_the_certificate_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_pair(folder.path());
        let certificate = Certificate::load(&files).unwrap();
        certificate.acceptor().unwrap();
        let current = |certificate: &Certificate| certificate.current.read().unwrap().cert[0].to_vec();
        let first = current(&certificate);
        write_pair(folder.path());
        certificate.reload().unwrap();
        let second = current(&certificate);
        assert_ne!(first, second);
        std::fs::write(&files.certificate, "no certificate").unwrap();
        assert!(certificate.reload().unwrap_err().0.contains("tls.certificate"));
        write_pair(folder.path());
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(write_pair(other.path()).key, &files.key).unwrap();
        assert!(certificate.reload().unwrap_err().0.contains("tls.key"), "key and certificate must belong together");
        assert_eq!(current(&certificate), second);
    }
}

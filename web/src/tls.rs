//! The certificate of a service: rustls with aws-lc-rs, set up here and nowhere else.
//!
//! It can be exchanged while the service runs ([`Certificate::reload`]): connections that exist stay and keep the one that they
//! began with. A new pair that cannot be used leaves the old one in place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// TLS 1.3 and nothing older.
pub const MODERN: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// TLS 1.2 too, for integrators' systems that are old.
pub const OLD_TOO: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A certificate or key that cannot be used; the text names setting and file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// A server's certificate, exchangeable.
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files: PEM of the certificate and its chain, and of the private key.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Certificate>, Unusable> {
        let current = RwLock::new(Arc::new(read(certificate, key)?));
        Ok(Arc::new(Certificate { certificate: certificate.to_owned(), key: key.to_owned(), current }))
    }

    /// Reads the files again. Connections that exist keep the certificate that they began with.
    ///
    /// # Errors
    /// Names the file that cannot be used; the certificate in use stays.
    pub fn reload(&self) -> Result<(), Unusable> {
        let new = Arc::new(read(&self.certificate, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Accepts connections of these versions with this certificate. Client certificates are not asked for: whoever calls proves
    /// himself inside.
    ///
    /// # Errors
    /// When the provider cannot do these versions; it always can.
    pub fn acceptor(self: &Arc<Self>, versions: &[&'static SupportedProtocolVersion]) -> Result<TlsAcceptor, Unusable> {
        self.acceptor_of(versions, None)
    }

    /// The same, and asks whoever calls for a certificate that these authorities signed. One that they did not sign is refused in
    /// the handshake, whether one is needed or not.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn acceptor_for(
        self: &Arc<Self>,
        versions: &[&'static SupportedProtocolVersion],
        clients: &Clients,
    ) -> Result<TlsAcceptor, Unusable> {
        self.acceptor_of(versions, Some(clients.verifier()?))
    }

    fn acceptor_of(
        self: &Arc<Self>,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<TlsAcceptor, Unusable> {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .map_err(|error| Unusable(format!("tls: {error}")))?;
        let config = match clients {
            Some(verifier) => config.with_client_cert_verifier(verifier),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // No early data: it can be replayed.
        config.max_early_data_size = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Whose certificates callers may show, and whether they must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// PEM: the authorities.
    pub authority: PathBuf,
    /// Who shows none is refused in the handshake.
    pub required: bool,
}

impl Clients {
    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, Unusable> {
        let wrong = |error: &dyn std::fmt::Display| {
            Unusable(format!("tls.client_authority: {} cannot be used: {error}", self.authority.display()))
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.authority).map_err(|error| wrong(&error))? {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"it holds no certificate"));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = if self.required { verifier } else { verifier.allow_unauthenticated() };
        verifier.build().map_err(|error| wrong(&error))
    }
}

/// A certificate with its key that a program shows where it calls others.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the files: PEM of the certificate and its chain, and of the private key. `section` is where they are set.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(section: &str, certificate: &Path, key: &Path) -> Result<Arc<Identity>, Unusable> {
        let wrong = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
            Unusable(format!("{section}.{what}: {} cannot be used: {error}", path.display()))
        };
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        let chain: Vec<CertificateDer<'static>> = chain.map_err(|error| wrong("client_certificate", certificate, &error))?;
        if chain.is_empty() {
            return Err(wrong("client_certificate", certificate, &"it holds no certificate"));
        }
        refuse_open(&format!("{section}.client_key"), key)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("client_key", key, &error))?;
        Ok(Arc::new(Identity { chain, key }))
    }

    /// As rustls takes it.
    pub fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, Unusable> {
    let wrong = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        Unusable(format!("{what}: {} cannot be used: {error}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong("tls.certificate", certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong("tls.certificate", certificate, &"it holds no certificate"));
    }
    refuse_open("tls.key", key)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("tls.key", key, &error))?;
    CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| wrong("tls.key", key, &error))
}

/// Refuses a private key that every user of the machine can read or change. A group may read it: the service's, of a file that is
/// root's.
fn refuse_open(setting: &str, key: &Path) -> Result<(), Unusable> {
    use std::os::unix::fs::PermissionsExt as _;

    let Ok(found) = std::fs::metadata(key) else { return Ok(()) };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o027 == 0 {
        return Ok(());
    }
    Err(Unusable(format!(
        "{setting}: {} has mode {mode:04o}, so others on this machine can get at it: run `chmod 0640` on it, and have a new key \
         certified if others may have read it",
        key.display()
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write_pair(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("c.pem"), folder.join("k.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        (certificate, key)
    }

    #[test]
    fn a_bad_reload_leaves_the_certificate_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = write_pair(folder.path());
        let certificate = Certificate::load(&file, &key).unwrap();
        certificate.acceptor(MODERN).unwrap();
        let current = |certificate: &Certificate| certificate.current.read().unwrap().cert[0].to_vec();
        let first = current(&certificate);
        write_pair(folder.path());
        certificate.reload().unwrap();
        let second = current(&certificate);
        assert_ne!(first, second);
        std::fs::write(&file, "no certificate").unwrap();
        assert!(certificate.reload().unwrap_err().0.contains("tls.certificate"));
        write_pair(folder.path());
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(write_pair(other.path()).1, &key).unwrap();
        assert!(certificate.reload().unwrap_err().0.contains("tls.key"), "key and certificate must belong together");
        assert_eq!(current(&certificate), second);
    }

    #[test]
    fn a_key_that_everybody_can_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(folder.path());
        for open in [0o644, 0o660, 0o641] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(open)).unwrap();
            assert!(Certificate::load(&certificate, &key).unwrap_err().0.contains("chmod 0640"), "{open:o}");
            let refused = Identity::load("broker", &certificate, &key).unwrap_err().0;
            assert!(refused.starts_with("broker.client_key") && refused.contains("chmod 0640"), "{open:o}: {refused}");
        }
        for closed in [0o600, 0o640, 0o400] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(closed)).unwrap();
            Certificate::load(&certificate, &key).unwrap();
            Identity::load("broker", &certificate, &key).unwrap();
        }
    }
}

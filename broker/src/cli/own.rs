//! The broker that the configuration is of, asked from its own machine, without a key.
//!
//! Over TLS it must show the certificate that the configuration names, whoever signed it and for whatever name, and prove that it
//! has its key; nobody else is believed.

use std::io::{Error, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::config::{Config, ConfigError, Tls};

/// Somebody on this machine or in the next room answers in this time.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// More than all figures of a broker.
const ANSWER_MAX_BYTES: u64 = 1 << 20;

/// What it answers, head and body.
///
/// # Errors
/// Nobody answers there, or, over TLS, somebody else.
pub(super) fn ask(config: &Config, path: &str) -> Result<String> {
    let wrong = |error: ConfigError| Error::other(error.0);
    // Where callers must show a certificate, this is none of them.
    let address = config.open_address().map_err(wrong)?.map_or_else(|| config.address().map_err(wrong), Ok)?;
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    let stream = TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    let token = if path == "/metrics" { config.metrics.token().map_err(wrong)? } else { None };
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{token}\r\n");
    match &config.tls {
        None => exchange(stream, &request),
        Some(tls) => exchange(StreamOwned::new(pinned(tls, ip)?, stream), &request),
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer) {
        // A close without a word of farewell: the head says how long the body is.
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

fn pinned(tls: &Tls, ip: std::net::IpAddr) -> Result<ClientConnection> {
    let certificate = CertificateDer::from_pem_file(&tls.certificate).map_err(Error::other)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let only = Arc::new(Only { certificate, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(only)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::from(ip)).map_err(Error::other)
}

/// Accepts one certificate.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;

    use super::*;
    use crate::tls;

    fn made(folder: &Path, name: &str) -> Tls {
        let made = rcgen::generate_simple_self_signed(vec!["elsewhere.example".to_owned()]).unwrap();
        let tls = Tls {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            client_authority: None,
            client_certificates: Default::default(),
        };
        std::fs::write(&tls.certificate, made.cert.pem()).unwrap();
        std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&tls.key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        tls
    }

    #[test]
    fn over_tls_only_the_configured_certificate_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, others) = (made(folder.path(), "ours"), made(folder.path(), "others"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tls::acceptor(&tls::load(&ours).unwrap()).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = rustls::ServerConnection::new(acceptor.config().clone()).unwrap();
                let mut stream = StreamOwned::new(server, stream);
                let mut head = [0; 64];
                if stream.read(&mut head).is_ok() {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    let _ = stream.flush();
                }
            }
        });
        let mut config = Config { tls: Some(ours), ..Config::default() };
        config.listen.address = address.to_string();
        assert!(ask(&config, "/healthz").unwrap().ends_with("ok"));
        config.tls = Some(others);
        let refused = ask(&config, "/healthz").unwrap_err();
        assert!(refused.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()), "{refused}");
    }

    #[test]
    fn it_comes_where_no_certificate_is_asked_for_and_shows_the_token_for_the_figures_alone() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 1024];
                let read = stream.read(&mut head).unwrap_or_default();
                let _ = stream.write_all(&head[..read]);
            }
        });
        let token = folder.path().join("metrics.token");
        std::fs::write(&token, "0123456789abcdef").unwrap();
        std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut config = Config::default();
        // Nobody listens at the callers' address here.
        (config.listen.address, config.listen.open_address) = ("127.0.0.1:1".to_owned(), Some(address));
        config.metrics.token_file = Some(token.display().to_string());
        let said = ask(&config, "/metrics").unwrap();
        assert!(said.contains("Authorization: Bearer 0123456789abcdef\r\n\r\n"), "{said}");
        assert!(!ask(&config, "/readyz").unwrap().contains("Authorization"));
    }
}

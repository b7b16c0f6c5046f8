//! TLS as others see it: what an outside tool (`openssl s_client`) gets and does not get, and a certificate that is exchanged
//! under open connections.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rustls::SupportedProtocolVersion;
use rustls_pki_types::{CertificateDer, ServerName};
use taxdisk_web::serve::{Bounds, run};
use taxdisk_web::tls::{Certificate, Clients, MODERN, OLD_TOO};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// A service with a certificate for `localhost`.
struct Service {
    address: SocketAddr,
    certificate: Arc<Certificate>,
    files: (PathBuf, PathBuf),
    folder: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

fn write_pair(certificate: &Path, key: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    made.cert.der().clone()
}

impl Service {
    async fn start(versions: &[&'static SupportedProtocolVersion]) -> (Service, CertificateDer<'static>) {
        Service::start_with(|certificate| certificate.acceptor(versions).unwrap()).await
    }

    async fn start_with(acceptor: impl FnOnce(&Arc<Certificate>) -> TlsAcceptor) -> (Service, CertificateDer<'static>) {
        let folder = tempfile::tempdir().unwrap();
        let files = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let der = write_pair(&files.0, &files.1);
        let certificate = Certificate::load(&files.0, &files.1).unwrap();
        let acceptor = acceptor(&certificate);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let bounds = Bounds {
            connections: 100,
            strangers_per_address: 100,
            header: Duration::from_secs(20),
            head_bytes: 16 * 1024,
            stop: Duration::from_secs(1),
        };
        let router = Router::new().route("/", get(async || "good"));
        tokio::spawn(run(listener, Some(acceptor), router, bounds, stopping));
        (Service { address, certificate, files, folder, _stop: stop }, der)
    }

    /// Asks by `openssl s_client` with these arguments; gives whether it shook hands, and what it said.
    async fn openssl(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &self.address.to_string(), "-servername", "localhost", "-verify_return_error"]);
        command.arg("-CAfile").arg(&self.files.0).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().expect("the program openssl is there");
            // It may have hung up already.
            let _ = child.stdin.take().unwrap().write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            child.wait_with_output().unwrap()
        });
        let output = ended.await.unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let shook = said.contains("BEGIN CERTIFICATE")
            && said.contains("Verify return code: 0 (ok)")
            && !said.contains("Cipher is (NONE)");
        (shook, said)
    }

    async fn connect(&self, trusted: CertificateDer<'static>) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        connector.connect(ServerName::try_from("localhost").unwrap(), TcpStream::connect(self.address).await?).await
    }
}

async fn ask(stream: &mut tokio_rustls::client::TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

/// Old versions and weak suites are asked for as loudly as the tool can (security level 0).
#[tokio::test]
async fn an_outside_tool_gets_tls_1_3_and_nothing_older() {
    let (service, _) = Service::start(MODERN).await;
    for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
        let (good, said) = service.openssl(&["-tls1_3", "-ciphersuites", suite, "-alpn", "http/1.1"]).await;
        assert!(good && said.contains("TLSv1.3") && said.contains(suite), "{suite}: {said}");
        assert!(said.contains("ALPN protocol: http/1.1") && said.contains("Early data was not sent"), "{said}");
        assert!(said.contains("Compression: NONE") && !said.contains("Max Early Data: 1"), "{said}");
    }
    for old in [["-tls1_2", "ALL:@SECLEVEL=0"], ["-tls1_1", "ALL:@SECLEVEL=0"], ["-tls1", "ALL:@SECLEVEL=0"]] {
        let (good, said) = service.openssl(&[old[0], "-cipher", old[1]]).await;
        assert!(!good && said.contains("alert"), "{old:?}: {said}");
    }
    let (good, said) = service.openssl(&["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"]).await;
    assert!(!good, "a suite with a short tag: {said}");
    let (good, said) = service.openssl(&["-tls1_3", "-verify_hostname", "elsewhere"]).await;
    assert!(!good && said.contains("hostname mismatch"), "{said}");
    let (good, said) = service.openssl(&["-tls1_3", "-alpn", "h2"]).await;
    assert!(!good, "HTTP/2 is not spoken: {said}");
}

#[tokio::test]
async fn where_tls_1_2_is_spoken_too_it_is_with_forward_secrecy_and_authenticated_encryption_only() {
    let (service, _) = Service::start(OLD_TOO).await;
    assert!(service.openssl(&["-tls1_3"]).await.0);
    for suite in ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
        let (good, said) = service.openssl(&["-tls1_2", "-cipher", suite]).await;
        assert!(good && said.contains("TLSv1.2") && said.contains(suite), "{suite}: {said}");
        assert!(said.contains("Secure Renegotiation IS supported"), "{said}");
    }
    for suite in [
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA384",
        "AES128-GCM-SHA256",
        "AES256-SHA",
        "DHE-RSA-AES128-GCM-SHA256",
        "aNULL",
        "eNULL",
    ] {
        let (good, said) = service.openssl(&["-tls1_2", "-cipher", &format!("{suite}:@SECLEVEL=0")]).await;
        assert!(!good, "{suite}: {said}");
    }
    for old in ["-tls1_1", "-tls1"] {
        assert!(!service.openssl(&[old, "-cipher", "ALL:@SECLEVEL=0"]).await.0, "{old}");
    }
}

#[tokio::test]
async fn a_certificate_is_exchanged_and_open_connections_stay() {
    let (service, first) = Service::start(MODERN).await;
    let mut open = service.connect(first.clone()).await.unwrap();
    assert!(ask(&mut open).await.contains("good"));
    let second = write_pair(&service.files.0, &service.files.1);
    service.certificate.reload().unwrap();
    assert!(ask(&mut open).await.contains("good"), "the connection of before goes on");
    assert!(service.connect(first).await.is_err(), "who comes now is shown the new one");
    let mut new = service.connect(second.clone()).await.unwrap();
    assert!(ask(&mut new).await.contains("good"));
    // A pair that does not belong together leaves the one in use.
    let other = service.folder.path().join("other.pem");
    write_pair(&other, &service.files.1);
    assert!(service.certificate.reload().is_err());
    assert!(service.connect(second).await.is_ok());
}

/// By TLS 1.3 a client is done before the service has seen its certificate: what it sends meanwhile must not cost it the reason.
#[tokio::test]
async fn who_shows_no_certificate_where_one_is_needed_hears_so_although_he_is_sending() {
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), rcgen::generate_simple_self_signed(vec!["callers".to_owned()]).unwrap().cert.pem()).unwrap();
    let clients = Clients { authority: authority.path().to_owned(), required: true };
    let (service, trusted) = Service::start_with(|certificate| certificate.acceptor_for(MODERN, &clients).unwrap()).await;
    let mut stream = service.connect(trusted).await.unwrap();
    // The service has said no by now.
    stream.get_ref().0.readable().await.unwrap();
    for _ in 0..16 {
        stream.write_all(&[b'x'; 1024]).await.expect("the service hears it out");
        stream.flush().await.expect("the service hears it out");
    }
    let said = stream.read(&mut [0; 16]).await.unwrap_err().to_string();
    assert!(said.contains("CertificateRequired"), "{said}");
}

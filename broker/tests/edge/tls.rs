//! TLS at the edge: version 1.3, and nothing below.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use taxdisk_broker::config::{ClientCertificates, Tls};
use taxdisk_broker::http;
use taxdisk_broker::serve;
use taxdisk_broker::tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::support::{Answer, BOUND, Broker};

fn connector(certificate: CertificateDer<'static>, versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[tokio::test]
async fn https_answers_over_tls_1_3_only() {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = Tls {
        certificate: folder.path().join("c.pem"),
        key: folder.path().join("k.pem"),
        client_authority: None,
        client_certificates: Default::default(),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&files.key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let acceptor = tls::acceptor(&tls::load(&files).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, limits, stopping) = (http::router(broker.edge.clone()), Default::default(), broker.stop.subscribe());
    tokio::spawn(async move { serve::run(listener, Some(acceptor), router, &limits, stopping).await });

    let name = ServerName::try_from("localhost").unwrap();
    let new = connector(made.cert.der().clone(), &[&rustls::version::TLS13]);
    let mut stream = new.connect(name.clone(), TcpStream::connect(address).await.unwrap()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(Answer::read(stream).await.status, 200);

    let old = connector(made.cert.der().clone(), &[&rustls::version::TLS12]);
    let error = old.connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

/// Signs certificates of callers.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    fn caller(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec!["platform".to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (made.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A folder with a server's certificate, and an authority of callers.
struct Place {
    folder: tempfile::TempDir,
    server: CertificateDer<'static>,
    authority: Authority,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let authority = Authority::new();
        std::fs::write(folder.path().join("c.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("k.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(folder.path().join("k.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(folder.path().join("callers.pem"), &authority.pem).unwrap();
        Place { folder, server: made.cert.der().clone(), authority }
    }

    fn tls(&self, client_certificates: ClientCertificates) -> Tls {
        let file = |name: &str| self.folder.path().join(name);
        let client_authority = Some(file("callers.pem"));
        Tls { certificate: file("c.pem"), key: file("k.pem"), client_authority, client_certificates }
    }

    /// One call; `None`: the broker refused the connection.
    async fn call(&self, address: &str, identity: Option<Identity>, path: &str, key: &str) -> Option<Answer> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match identity {
            Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        // By TLS 1.3 a client is done before it hears that its certificate is not taken.
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.ok()?;
        (!said.is_empty()).then_some(())?;
        Some(Answer::read(said.as_slice()).await)
    }

    async fn status(&self, address: &str, identity: Option<Identity>, path: &str, key: &str) -> Option<u16> {
        self.call(address, identity, path, key).await.map(|answer| answer.status)
    }
}

async fn listen(broker: &Broker, files: &Tls) -> String {
    let acceptor = tls::acceptor_of(files, &tls::load(files).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (router, limits, stopping) = (http::router(broker.edge.clone()), Default::default(), broker.stop.subscribe());
    tokio::spawn(async move { serve::run(listener, Some(acceptor), router, &limits, stopping).await });
    address
}

#[tokio::test]
async fn a_caller_without_a_certificate_of_the_authority_is_refused_in_the_handshake_where_one_is_needed() {
    let (broker, place) = (Broker::start().await, Place::new());
    let address = listen(&broker, &place.tls(ClientCertificates::Required)).await;
    let key = broker.platform.clone();
    let foreign = Authority::new();
    assert_eq!(place.status(&address, None, "/v1/jobs", &key).await, None, "with a good key");
    assert_eq!(place.status(&address, Some(foreign.caller()), "/v1/jobs", &key).await, None, "of somebody else");
    assert_eq!(place.status(&address, None, "/healthz", "").await, None, "nor anything else");
    assert_eq!(place.status(&address, Some(place.authority.caller()), "/v1/jobs", &key).await, Some(200));
    assert_eq!(
        place.status(&address, Some(place.authority.caller()), "/v1/jobs", "").await,
        Some(401),
        "the key says what he may"
    );
}

#[tokio::test]
async fn where_a_certificate_may_be_shown_a_wrong_one_is_refused_and_none_is_not() {
    let (broker, place) = (Broker::start().await, Place::new());
    let address = listen(&broker, &place.tls(ClientCertificates::Optional)).await;
    let key = broker.platform.clone();
    assert_eq!(place.status(&address, None, "/v1/jobs", &key).await, Some(200));
    assert_eq!(place.status(&address, Some(place.authority.caller()), "/v1/jobs", &key).await, Some(200));
    assert_eq!(place.status(&address, Some(Authority::new().caller()), "/v1/jobs", &key).await, None);
}

/// The program itself: callers at one address, agents and people at the other.
#[test]
fn agents_and_people_have_an_address_of_their_own_where_callers_need_a_certificate() {
    let place = Place::new();
    let file = |name: &str| place.folder.path().join(name);
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_taxdisk-broker"));
    program
        .env("TAXDISK__STORE__URL", format!("sqlite:{}", file("ledger.db").display()))
        .env("TAXDISK__TLS__CERTIFICATE", file("c.pem"))
        .env("TAXDISK__TLS__KEY", file("k.pem"))
        .env("TAXDISK__TLS__CLIENT_AUTHORITY", file("callers.pem"))
        .env("TAXDISK__TLS__CLIENT_CERTIFICATES", "required")
        .args(["serve", "--listen", "127.0.0.1:0", "--ready-file"])
        .arg(file("ready.json"))
        .arg("--bootstrap-key-file")
        .arg(file("admin.key"));
    let refused = program.output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(78) && told.contains("listen.open_address"), "{told}");
    let mut broker = program.env("TAXDISK__LISTEN__OPEN_ADDRESS", "127.0.0.1:0").spawn().unwrap();
    let end = std::time::Instant::now() + BOUND;
    while !file("ready.json").exists() {
        assert!(broker.try_wait().unwrap().is_none() && std::time::Instant::now() < end, "it is not ready");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let urls: Value = serde_json::from_slice(&std::fs::read(file("ready.json")).unwrap()).unwrap();
    let at = |name: &str| urls[name].as_str().unwrap().strip_prefix("https://").unwrap().to_owned();
    let (callers, open) = (at("url"), at("open_url"));
    assert!(urls["link"].as_str().unwrap().contains(&open), "agents are linked there: {urls}");
    let key = std::fs::read_to_string(file("admin.key")).unwrap().trim().to_owned();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let caller = || Some(place.authority.caller());
        assert_eq!(place.status(&callers, None, "/v1/keys", &key).await, None);
        assert_eq!(place.status(&callers, caller(), "/v1/keys", &key).await, Some(200));
        place.call(&open, None, "/v1/keys", &key).await.unwrap().problem(403, "forbidden");
        for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/console/sign-in", 200), ("/v1/agents/enroll", 405)] {
            assert_eq!(place.status(&open, None, path, "").await, Some(status), "{path}");
        }
        let link = place.status(&open, None, taxdisk_protocol::link::LINK_PATH, "").await.unwrap();
        assert!(link != 403 && link != 404, "an agent without the upgrade of a link: {link}");
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&broker), rustix::process::Signal::TERM).unwrap();
    assert!(broker.wait().unwrap().success());
}

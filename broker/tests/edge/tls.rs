//! TLS at the edge: version 1.3, and nothing below.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName};
use taxdisk_broker::config::Tls;
use taxdisk_broker::http;
use taxdisk_broker::serve;
use taxdisk_broker::tls;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::support::{Answer, Broker};

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
    let files = Tls { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
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

//! The limit of a link: a server of nothing but WebSockets over TLS that says again what it hears. What an idle link of it takes
//! is what TLS, WebSocket and task take by themselves.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use taxdisk_tests::load::usage::resident_kib;
use taxdisk_tests::process::{PATIENCE, Running, wait_for};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use super::Way;

/// Serves, as a process of its own, with the certificate of this folder: writes its address into `folder/address`.
pub(super) fn serve(folder: &Path) {
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(folder.join("broker.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("broker.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        std::fs::write(folder.join("address.new"), listener.local_addr().unwrap().to_string()).unwrap();
        std::fs::rename(folder.join("address.new"), folder.join("address")).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever breaks off is gone.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// KiB that an idle link of it takes.
pub(super) async fn link_kib(folder: &Path, way: &Way, count: usize) -> f64 {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.arg("echo").arg(folder);
    let running = Running::start("echo", &folder.join("echo.log"), command);
    let address: SocketAddr = wait_for("the echo", PATIENCE, || {
        let text = std::fs::read_to_string(folder.join("address")).map_err(|error| error.to_string())?;
        text.parse().map_err(|error| format!("{text:?}: {error}"))
    });
    let way = Way { broker: address, ..way.clone() };
    let without = resident_kib(running.pid());
    let mut sockets = Vec::new();
    for index in 0..count {
        let stream = way.connect(index).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async("ws://localhost/", stream).await.unwrap();
        socket.send(Message::text("link")).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_text());
        sockets.push(socket);
    }
    // As long as the broker's links are idle.
    tokio::time::sleep(Duration::from_secs(45)).await;
    (resident_kib(running.pid()) - without) as f64 / count as f64
}

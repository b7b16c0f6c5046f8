//! The way to the broker through an HTTP proxy that wants a password.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use broker::{Answer, Broker};
use pc::Pc;

/// A name that only the proxy knows.
const HOST: &str = "broker.test";
/// `till:geheim`.
const RIGHT: &str = "proxy-authorization: basic dglsbdpnzwhlaw0=";

/// A proxy that leads `CONNECT broker.test:…` to `broker` and tells each request that it got.
struct Proxy {
    address: SocketAddr,
    heads: Receiver<String>,
}

impl Proxy {
    fn start(broker: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heads) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || drop(lead(stream, broker, &sender)));
            }
        });
        Proxy { address, heads }
    }
}

fn lead(mut near: TcpStream, broker: SocketAddr, heads: &Sender<String>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        near.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let right = text.contains(RIGHT);
    heads.send(text).ok();
    if !right {
        return near
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n");
    }
    let mut far = TcpStream::connect(broker)?;
    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut up_from, mut up_to) = (near.try_clone()?, far.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
    std::io::copy(&mut far, &mut near).map(|_| ())
}

#[test]
fn enrolment_link_and_doctor_go_through_the_proxy_and_a_wrong_password_is_named() {
    let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let broker = Broker::with(Answer::enrolled(), Some(tls));
    let proxy = Proxy::start(broker.address);
    let pc = Pc::new("");
    std::fs::write(pc.path("ca.pem"), made.cert.pem()).unwrap();
    let url = format!("https://{HOST}:{}", broker.address.port());
    let good = format!("http://till:geheim@{}", proxy.address);
    let bad = format!("http://till:falsch@{}", proxy.address);

    pc.ends(1, &["enroll", &url, "CODE", "--ca-file", "ca.pem", "--proxy", &bad]);
    pc.ends(0, &["enroll", &url, "CODE", "--ca-file", "ca.pem", "--proxy", &good]);
    let public_key = broker.enrolment()["public_key"].as_str().unwrap().to_owned();
    let agent = pc.start();
    broker.link().welcome(&public_key);
    assert_eq!(agent.stop(), Some(0));
    let heads: Vec<String> = proxy.heads.try_iter().collect();
    assert!(
        heads.iter().all(|head| head.starts_with(&format!("connect {HOST}:{} http/1.1\r\n", broker.address.port()))),
        "{heads:?}"
    );
    assert_eq!(heads.iter().filter(|head| head.contains(RIGHT)).count(), heads.len() - 1, "{heads:?}");

    pc.configure(&format!("[broker]\nproxy = \"{bad}\""), "");
    let output = pc.run(&["doctor"]);
    let text = pc::text(&output);
    assert!(text.contains("wants a user and password") && text.contains(&proxy.address.to_string()), "{text}");
    assert!(!text.contains("falsch") && !text.contains("geheim"), "{text}");
}

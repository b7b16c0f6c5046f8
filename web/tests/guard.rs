//! The guarded client against servers and resolvers that do everything wrong, over real sockets on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hyper::body::Bytes;
use taxdisk_protocol::time::Timestamp;
use taxdisk_web::outbound::{CallError, ConnectError, Outbound, Resolve, Settings};
use taxdisk_web::webhook::schedule::Outcome;
use taxdisk_web::webhook::{self, Message, Secret, Signers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers the n-th question with the n-th list, the last one for ever after.
struct Script {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Script {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        Ok(self.answers[n].iter().map(|ip| SocketAddr::new(*ip, port)).collect())
    }
}

fn script(answers: &[&[&str]]) -> Arc<Script> {
    let answers = answers.iter().map(|list| list.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
    Arc::new(Script { answers, asked: AtomicUsize::new(0) })
}

fn open() -> Settings {
    let allow_networks = vec!["127.0.0.1/32".parse().unwrap()];
    Settings {
        allow_http: true,
        allow_networks,
        connect_limit: Duration::from_secs(5),
        call_limit: Duration::from_secs(10),
        ..Settings::default()
    }
}

/// What a server saw.
type Seen = Arc<Mutex<Vec<String>>>;

/// A server whose n-th connection is answered by these bytes, and closed.
async fn server(answer: &'static [u8]) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let heard = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            heard.lock().unwrap().push(request);
            let _ = stream.write_all(answer).await;
        }
    });
    (address, seen)
}

/// Head and body of a request with a length.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return text;
            }
            continue;
        };
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if count == 0 || body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

async fn post(outbound: &Outbound, url: &str) -> Result<taxdisk_web::outbound::Answer, CallError> {
    outbound.post(&outbound.target(url).unwrap(), &[], Bytes::from_static(b"{}")).await
}

#[tokio::test]
async fn a_name_that_changes_its_mind_reaches_nothing_inside() {
    let (address, seen) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let port = address.port();
    // A name of the world that is this machine by the time of the connection.
    let settings = Settings { allow_http: true, ..Settings::default() };
    let rebinding = script(&[&["127.0.0.1"], &["::ffff:127.0.0.1"], &["64:ff9b::7f00:1"], &["169.254.169.254"], &["::1"]]);
    let outbound = Outbound::with_resolver(settings, rebinding.clone()).unwrap();
    for n in 1..=5 {
        let error = post(&outbound, &format!("http://shop.example:{port}/")).await.unwrap_err();
        assert!(matches!(error, CallError::Connect(ConnectError::Forbidden { .. })), "{error}");
        assert_eq!(rebinding.asked.load(Ordering::SeqCst), n, "a name is looked up once for a connection");
    }
    assert!(seen.lock().unwrap().is_empty());
    // What was judged is what is connected to: the second answer would have been another address.
    let turning = script(&[&["127.0.0.1"], &["127.0.0.9"]]);
    let outbound = Outbound::with_resolver(open(), turning.clone()).unwrap();
    assert_eq!(post(&outbound, &format!("http://shop.example:{port}/")).await.unwrap().status, 200);
    assert_eq!(turning.asked.load(Ordering::SeqCst), 1);
    // Of several addresses only those that are allowed are tried.
    let outbound = Outbound::with_resolver(open(), script(&[&["10.0.0.1", "127.0.0.9", "127.0.0.1"]])).unwrap();
    assert_eq!(post(&outbound, &format!("http://shop.example:{port}/")).await.unwrap().status, 200);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn spellings_that_only_a_resolver_knows_are_judged_by_its_answer() {
    let (address, seen) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let outbound = Outbound::new(Settings { allow_http: true, ..Settings::default() }).unwrap();
    for host in ["localhost", "127.1", "0x7f.1", "2130706433", "0177.0.0.1"] {
        let error = post(&outbound, &format!("http://{host}:{}/", address.port())).await.unwrap_err();
        let refused = matches!(error, CallError::Connect(ConnectError::Forbidden { .. } | ConnectError::Name(..)));
        assert!(refused, "{host}: {error}");
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirection_is_an_answer_and_is_not_followed() {
    let (inside, inside_seen) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
    let answer = format!("HTTP/1.1 307 Elsewhere\r\nlocation: http://{inside}/\r\ncontent-length: 0\r\n\r\n");
    let (address, _) = server(Box::leak(answer.into_boxed_str()).as_bytes()).await;
    let outbound = Outbound::new(open()).unwrap();
    let answer = post(&outbound, &format!("http://{address}/")).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (307, 0));
    assert!(inside_seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn whatever_a_server_does_it_costs_little_and_ends() {
    let outbound = Outbound::new(Settings { call_limit: Duration::from_secs(2), ..open() }).unwrap();
    // The connection ends in the middle of the head, or there is no HTTP at all, or the head does not end.
    let long: &'static [u8] = Box::leak([b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; 1 << 20]].concat().into_boxed_slice());
    let many: &'static [u8] =
        Box::leak([b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(500), b"\r\n".to_vec()].concat().into_boxed_slice());
    for bad in
        [b"HTTP/1.1 200 OK\r\nconte".as_slice(), b"", b"220 mail.example ESMTP\r\n", long, many, b"HTTP/1.1 99999 OK\r\n\r\n"]
    {
        let (address, _) = server(bad).await;
        let error = post(&outbound, &format!("http://{address}/")).await.unwrap_err();
        assert!(matches!(error, CallError::Broken(_)), "{error}");
    }
    // The status stands although the body breaks off, or lies about its length, or stalls.
    for good in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nshort".as_slice(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n",
        b"HTTP/1.1 204 OK\r\n\r\n",
    ] {
        let (address, _) = server(good).await;
        assert!((200..300).contains(&post(&outbound, &format!("http://{address}/")).await.unwrap().status));
    }
    // Nobody speaks: the call ends by its limit.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = post(&outbound, &format!("http://{}/", listener.local_addr().unwrap())).await.unwrap_err();
    assert!(matches!(error, CallError::Slow(2000)), "{error}");
    // Nobody is there.
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = post(&outbound, &format!("http://{address}/")).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(ConnectError::Refused(..))), "{error}");
}

#[tokio::test]
async fn of_a_gigabyte_only_the_beginning_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await.unwrap();
        let chunk = vec![b'x'; 64 * 1024];
        while stream.write_all(&chunk).await.is_ok() {
            count.fetch_add(chunk.len(), Ordering::SeqCst);
        }
    });
    let outbound = Outbound::new(open()).unwrap();
    let answer = post(&outbound, &format!("http://{address}/")).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 16 * 1024));
    // The connection is closed, so the server cannot go on.
    tokio::time::timeout(Duration::from_secs(60), server).await.unwrap().unwrap();
    assert!(written.load(Ordering::SeqCst) < 64 << 20, "no more than the buffers on the way");
}

#[tokio::test]
async fn certificates_are_checked_against_the_name_that_was_written() {
    let made = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let resolver = script(&[&["127.0.0.1"]]);
    let trusting = Settings { authorities: Some(vec![made.cert.der().clone()]), allow_http: false, ..open() };
    let outbound = Outbound::with_resolver(trusting, resolver.clone()).unwrap();
    assert_eq!(post(&outbound, &format!("https://shop.example:{port}/")).await.unwrap().status, 200);
    let error = post(&outbound, &format!("https://other.example:{port}/")).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(ConnectError::Tls(..))), "{error}");
    let strict = Outbound::with_resolver(open(), resolver).unwrap();
    let error = post(&strict, &format!("https://shop.example:{port}/")).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(ConnectError::Tls(..))), "{error}");
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_judged_address_and_only_if_it_is_configured() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let seen = Seen::default();
    let heard = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = read_request(&mut stream).await;
            heard.lock().unwrap().push(asked);
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            let request = read_request(&mut stream).await;
            heard.lock().unwrap().push(request);
            stream.write_all(b"HTTP/1.1 204 Fine\r\n\r\n").await.unwrap();
        }
    });
    let settings =
        Settings { allow_http: true, proxy: Some(format!("http://me:secret@{proxy}").parse().unwrap()), ..Settings::default() };
    let outbound = Outbound::with_resolver(settings, script(&[&["203.0.113.7", "8.8.8.8"], &["10.0.0.1"]])).unwrap();
    assert_eq!(post(&outbound, "http://shop.example/hooks").await.unwrap().status, 204);
    {
        let seen = seen.lock().unwrap();
        assert!(seen[0].starts_with("CONNECT 8.8.8.8:80 HTTP/1.1\r\n"), "{}", seen[0]);
        assert!(seen[0].contains("proxy-authorization: Basic bWU6c2VjcmV0"), "{}", seen[0]);
        assert!(seen[1].starts_with("POST /hooks HTTP/1.1\r\n") && seen[1].contains("host: shop.example"), "{}", seen[1]);
    }
    // The guard is not the proxy's: what is inside is not asked for.
    let error = post(&outbound, "http://inside.example/").await.unwrap_err();
    assert!(matches!(error, CallError::Connect(ConnectError::Forbidden { .. })), "{error}");
    for bad in ["proxy:3128", "https://proxy:3128", "http://proxy", "http://:3128", "http://proxy:port"] {
        assert!(bad.parse::<taxdisk_web::outbound::Proxy>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_message_carries_the_headers_of_the_standard() {
    let (address, seen) = server(b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 9\r\n\r\n\x1b[2Jfull\n").await;
    let outbound = Outbound::new(open()).unwrap();
    let signers = Signers(vec![Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()]);
    let body = Bytes::from_static(br#"{"test": 2432232314}"#);
    let message = Message { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", at: Timestamp(1_614_265_330_999), body, trace: None };
    let target = outbound.target(&format!("http://{address}/hooks")).unwrap();
    let sent = webhook::send(&outbound, &target, &signers, &message).await;
    assert_eq!((sent.outcome, sent.status), (Outcome::Failed { after_ms: Some(7000) }, Some(503)));
    assert_eq!(sent.text, "[2Jfull", "nothing of a terminal's own is kept");
    let request = seen.lock().unwrap()[0].clone();
    for line in [
        "POST /hooks HTTP/1.1",
        "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp: 1614265330",
        "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "content-type: application/json",
    ] {
        assert!(request.contains(&format!("{line}\r\n")), "{line} is missing in {request}");
    }
    assert!(request.ends_with("\r\n\r\n{\"test\": 2432232314}"));
}

//! The status page: for a browser on this PC, and for nobody else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::broker::{AGENT, Broker};
use crate::pc::Pc;

fn ask(address: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_page_shows_the_status_to_this_pc_only() {
    let broker = Broker::start();
    let pc = Pc::new("");
    let key = pc.enrol(&broker);
    pc.configure("[status]\npage = \"127.0.0.1:0\"", "");
    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    let status: Value = serde_json::from_str(&pc.ends(0, &["status", "--json"])).unwrap();
    let address = status["page"].as_str().unwrap().to_owned();
    let page = ask(&address, "GET / HTTP/1.1\r\nHost: localhost");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("/page.js") && page.contains("default-src 'self'"), "{page}");
    for part in ["/page.js", "/page.css"] {
        assert!(ask(&address, &format!("GET {part} HTTP/1.1\r\nHost: localhost")).starts_with("HTTP/1.1 200"), "{part}");
    }
    // A browser that opens a connection and says nothing holds up nobody.
    let _silent = TcpStream::connect(&address).unwrap();
    let answer = ask(&address, &format!("GET /status.json HTTP/1.1\r\nHost: {address}"));
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["agent"], AGENT);
    assert!(ask(&address, "GET /status.json HTTP/1.1\r\nHost: evil.example").starts_with("HTTP/1.1 403"));
    assert!(ask(&address, "GET /agent.key HTTP/1.1\r\nHost: localhost").starts_with("HTTP/1.1 404"));
    assert_eq!(agent.stop(), Some(0));

    pc.configure("[status]\npage = \"0.0.0.0:8475\"", "");
    assert!(pc.ends(78, &["run"]).contains("loopback"));
}

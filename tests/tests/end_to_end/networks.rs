//! Networks between agent and broker that pass no WebSocket, and lose answers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use taxdisk_tests::process::PATIENCE;
use taxdisk_tests::rig::Rig;
use taxdisk_tests::{jobs, oracle};

/// Something between that answers upgrades itself and loses every seventh answer to a tunnel's request after it was carried out.
struct Middle {
    address: SocketAddr,
    refused: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl Middle {
    fn start(broker: SocketAddr) -> Middle {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (refused, lost, count) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (refused.clone(), lost.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (refused, lost) = counts.clone();
                let count = count.clone();
                // A connection that breaks is this test's own affair.
                std::thread::spawn(move || drop(pass(stream, broker, &refused, &lost, &count)));
            }
        });
        Middle { address, refused, lost }
    }
}

fn pass(
    mut near: TcpStream,
    broker: SocketAddr,
    refused: &AtomicUsize,
    lost: &AtomicUsize,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        near.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if text.contains("\r\nupgrade:") {
        refused.fetch_add(1, Ordering::SeqCst);
        return near.write_all(
            b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\ncontent-length: 4\r\nconnection: close\r\n\r\nno.\n",
        );
    }
    let mut far = TcpStream::connect(broker)?;
    far.write_all(&head)?;
    let (mut up_from, mut up_to) = (near.try_clone()?, far.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut up_from, &mut up_to);
        let _ = up_to.shutdown(Shutdown::Write);
    });
    let in_tunnel = text.contains("?at=");
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let bytes = far.read(&mut buffer)?;
        if bytes == 0 || (in_tunnel && count.fetch_add(1, Ordering::SeqCst) % 7 == 6) {
            lost.fetch_add(usize::from(bytes > 0), Ordering::SeqCst);
            let _ = far.shutdown(Shutdown::Both);
            return near.shutdown(Shutdown::Both);
        }
        near.write_all(&buffer[..bytes])?;
    }
}

#[test]
fn where_no_websocket_passes_the_same_frames_go_over_plain_requests_and_lost_answers_double_nothing() {
    let rig = Rig::new();
    let disk = rig.disk("one", |_| ());
    let middle = Middle::start(rig.broker.url.trim_start_matches("http://").parse().unwrap());
    let mut agent = rig.agent("a", &[&disk.port]);
    let file = agent.dir.join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace(&rig.broker.url, &format!("http://{}", middle.address));
    std::fs::write(&file, text).unwrap();
    agent.start(None);
    rig.wait_online(&disk.number);
    const JOBS: usize = 30;
    for number in 0..JOBS {
        assert_eq!(rig.api.submit(&jobs::toll(&format!("T{number}"))).status, 201);
    }
    let done = oracle::wait_done(&rig.api, JOBS, PATIENCE);
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), JOBS);
    assert!(middle.refused.load(Ordering::SeqCst) >= 1, "the WebSocket was tried first");
    assert!(middle.lost.load(Ordering::SeqCst) >= 3, "answers were lost: {}", middle.lost.load(Ordering::SeqCst));
    // Asked for again by the byte where it broke, so that the link itself never noticed.
    assert_eq!(agent.log().matches("the link to the broker is up").count(), 1, "{}", agent.log());
}

//! Peers that mean harm: connections that send nothing or little, and links that send what no agent would. Whoever means well is
//! served meanwhile.

use std::time::Instant;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::link::{Agent, Link, disks};
use crate::support::{BOUND, Broker, job, until};

/// Connections that are tried to be held, or as many as this process may have files: each takes one here, and each that the
/// broker keeps another one.
const HALF_OPEN: u64 = 10_000;
/// Connections that the broker allows.
const ALLOWED: usize = 1000;

fn half_open() -> u64 {
    let may = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    HALF_OPEN.min(may.saturating_sub(ALLOWED as u64 + 500))
}

#[tokio::test]
async fn ten_thousand_half_open_connections_and_slow_ones_do_not_stop_a_caller() {
    let broker = Broker::start_with(|config| {
        config.limits.connections = ALLOWED;
        // All of them come from one address here, as from a network that many hosts share.
        config.limits.strangers_per_address = ALLOWED;
    })
    .await;
    // A caller who keeps his connection is not one of those that make room.
    let mut kept = TcpStream::connect(broker.address).await.unwrap();
    let request = format!("GET /v1/jobs HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {}\r\n\r\n", broker.platform);
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let count = tokio::time::timeout(BOUND, stream.read(&mut answer)).await.expect("an answer within the bound").unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..count]));
    };
    ask(&mut kept).await;
    let mut held = Vec::new();
    for index in 0..half_open() {
        let mut stream = TcpStream::connect(broker.address).await.unwrap();
        // One half says nothing, the other begins a request and sends a byte now and then. One that was cut off cannot.
        if index % 2 == 0 {
            let _ = stream.write_all(b"GET /v1/jobs HTTP/1.1\r\nhost: b\r\nx-slow: ").await;
        }
        held.push(stream);
        if index % 1000 == 999 {
            for stream in &mut held {
                let _ = stream.try_write(b"x");
            }
            let began = Instant::now();
            assert_eq!(broker.submit(&format!("S{index}")).await.status, 201);
            assert!(began.elapsed() < BOUND / 4, "a caller waited {:?} behind {} others", began.elapsed(), held.len());
        }
    }
    assert!(held.len() > 2 * ALLOWED, "only {} connections could be tried", held.len());
    ask(&mut kept).await;
    let agent = Agent::enrol(&broker).await;
    agent.join(&broker, 1).await;
}

#[tokio::test]
async fn strangers_of_one_address_push_out_each_other_and_no_key_of_theirs() {
    let broker = Broker::start_with(|config| config.limits.strangers_per_address = 2).await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    let mut kept = TcpStream::connect(broker.address).await.unwrap();
    let request = format!("GET /v1/jobs HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {}\r\n\r\n", broker.platform);
    let mut answer = [0; 12];
    kept.write_all(request.as_bytes()).await.unwrap();
    kept.read_exact(&mut answer).await.unwrap();
    let mut first = TcpStream::connect(broker.address).await.unwrap();
    let mut rest = Vec::new();
    for _ in 0..5 {
        rest.push(TcpStream::connect(broker.address).await.unwrap());
    }
    let mut nothing = [0; 1];
    let read = tokio::time::timeout(BOUND, first.read(&mut nothing)).await.expect("the oldest is cut off");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    link.send(&disks()).await;
    assert_eq!(link.next().await["type"], "grant", "a link that has proven itself stays");
    // The rest of the first answer comes first.
    kept.write_all(request.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    while rest.windows(12).filter(|part| part == b"HTTP/1.1 200").count() == 0 {
        let mut buffer = [0; 1024];
        let count = tokio::time::timeout(BOUND, kept.read(&mut buffer)).await.expect("an answer within the bound").unwrap();
        assert!(count > 0, "a connection with a good key was cut off");
        rest.extend_from_slice(&buffer[..count]);
    }
}

/// Each of them ends, and a good agent issues meanwhile.
#[tokio::test]
async fn links_that_send_what_no_agent_would_end_and_cost_the_others_nothing() {
    let broker = Broker::start_with(|config| config.limits.failures_per_minute = 10_000).await;
    let good = Agent::enrol(&broker).await;
    let mut link = good.join(&broker, 1).await;
    link.send(&disks()).await;
    assert_eq!(link.next().await["type"], "grant");
    let bad = Agent::enrol(&broker).await;
    let mut heard = Link::open(&broker).await;
    heard.send(&bad.hello(1)).await;
    let proof = bad.proof(&heard.next().await, 1);
    // A text frame that says that it has 1 GiB, and one that never ends its first fragment.
    let mut giant = vec![0x81, 0xff];
    giant.extend_from_slice(&(1_u64 << 30).to_be_bytes());
    giant.extend_from_slice(&[1, 2, 3, 4]);
    giant.extend_from_slice(&[b'x'; 64 * 1024]);
    let mut unmasked = vec![0x81, 0x7e, 0x00, 0x80];
    unmasked.extend_from_slice(&[b'{'; 128]);
    let noise: Vec<u8> = (0..4096_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let before_proof: [&[u8]; 3] = [&giant, &unmasked, &noise];
    for bytes in before_proof {
        let mut rude = Link::open(&broker).await;
        rude.rude(bytes).await;
        while rude.next_or_end().await.is_some() {}
    }
    for (index, bytes) in before_proof.into_iter().enumerate() {
        let mut rude = bad.join(&broker, 2 + index as u64).await;
        rude.rude(bytes).await;
        while rude.next_or_end().await.is_some() {}
    }
    let mut replayed = Link::open(&broker).await;
    replayed.send(&bad.hello(9)).await;
    replayed.next().await;
    replayed.send(&proof).await;
    replayed.refused("agent_proof").await;
    let mut newer = bad.hello(9);
    newer["protocol"] = json!([7]);
    let mut versions = Link::open(&broker).await;
    versions.send(&newer).await;
    versions.refused("link_version").await;

    assert_eq!(broker.call("POST", "/v1/jobs", Some(&job("A1"))).await.status, 201);
    assert_eq!(link.next().await["type"], "assign", "the good agent has its work");
    until("the bad agent is gone", || async {
        let agents = broker.ledger.agents().await.unwrap();
        agents.iter().all(|view| view.online == (view.agent == good.id.as_str()))
    })
    .await;
}

#[tokio::test]
async fn a_link_that_had_its_time_without_a_proof_makes_room_for_another() {
    // The grace is as long as the time for a proof at most: so long, and no longer, strangers can keep agents out.
    let broker = Broker::start_with(|config| (config.link.unproven, config.link.join_s) = (2, 1)).await;
    let agent = Agent::enrol(&broker).await;
    let strangers = [Link::open(&broker).await, Link::open(&broker).await];
    assert!(Link::try_open(&broker).await.is_err(), "an honest rush does not push out itself");
    until("there is room", || async { Link::try_open(&broker).await.is_ok() }).await;
    agent.join(&broker, 1).await;
    drop(strangers);
}

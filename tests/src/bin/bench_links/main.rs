//! `cargo xtask bench links`: many idle agents on one broker. They speak the true link, over TLS or plain, from another process
//! than the broker's; a few of them have work.
//!
//! Prints what a link costs in resident memory, and how long it takes until all are back after the broker was killed while jobs
//! are submitted. It judges nothing.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

mod echo;

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use taxdisk_tests::load::agents::{self, Acknowledged, Agent};
use taxdisk_tests::load::http::{Connection, request};
use taxdisk_tests::load::record::{Record, Row};
use taxdisk_tests::load::usage::{Meter, resident_kib};
use taxdisk_tests::load::{Serials, taxpayer, toll_of};
use taxdisk_tests::rig::BrokerRig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// Sellers whose callers submit while the agents come back.
const BUSY_SELLERS: usize = 8;
/// Agents come again within this after their link ended or was not let in, each after another time.
const RETRY_MS: u64 = 3000;
/// Handshakes under way in this process. Agents have a processor each; ours share one thread, and the broker's bound on the
/// time of a join is not to measure that.
const HANDSHAKES: usize = 96;
/// Links from one source address: there are 28,000 ports for connections to one address and port.
const LINKS_PER_SOURCE: usize = 15_000;
/// Links of the bare server at most: they are made one after the other, and each takes as much as the others.
const BARE_LINKS: usize = 2000;
/// Nobody waits longer for anything here.
const PATIENCE: Duration = Duration::from_secs(300);

/// A stream that is TLS or not.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// How the broker is reached.
#[derive(Clone)]
struct Way {
    broker: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Way {
    /// Connects from one of the loopback addresses.
    async fn connect(&self, source: usize) -> std::io::Result<Box<dyn Stream>> {
        let socket = TcpSocket::new_v4()?;
        let last = 1 + u8::try_from(source / LINKS_PER_SOURCE).unwrap_or(0);
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))?;
        let stream = socket.connect(self.broker).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost").unwrap(), stream).await?),
        })
    }
}

/// All agents.
struct Fleet {
    up: Cell<usize>,
    joins: Cell<u64>,
    refused: Cell<u64>,
    /// May they connect?
    open: tokio::sync::watch::Sender<bool>,
    last_error: RefCell<String>,
    handshakes: tokio::sync::Semaphore,
}

impl Fleet {
    /// Waits until so many are up; gives the time that it took.
    async fn wait(&self, count: usize) -> Duration {
        let began = Instant::now();
        while self.up.get() != count {
            assert!(began.elapsed() < PATIENCE, "{} of {count} are up: {}", self.up.get(), self.last_error.borrow());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }
}

/// One agent, for ever: joins, works, and joins again when the link ends.
async fn live(mut agent: Agent, index: usize, way: Way, fleet: Rc<Fleet>, acknowledged: Acknowledged) {
    let mut open = fleet.open.subscribe();
    let mut issued = 0;
    loop {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let joined = async {
            let _turn = fleet.handshakes.acquire().await.map_err(|error| error.to_string())?;
            let stream = way.connect(index).await.map_err(|error| error.to_string())?;
            let mut link = agent.join(stream, issued).await.map_err(|error| error.to_string())?;
            link.granted().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(link)
        };
        match joined.await {
            Ok(mut link) => {
                fleet.up.set(fleet.up.get() + 1);
                fleet.joins.set(fleet.joins.get() + 1);
                issued = link.work(&acknowledged).await;
                fleet.up.set(fleet.up.get() - 1);
            }
            Err(error) => {
                fleet.refused.set(fleet.refused.get() + 1);
                *fleet.last_error.borrow_mut() = error;
            }
        }
        // Each after another time, as agents do.
        tokio::time::sleep(Duration::from_millis(rand::random::<u64>() % RETRY_MS)).await;
    }
}

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next()
}

fn main() {
    if let Some("echo") = std::env::args().nth(1).as_deref() {
        return echo::serve(std::path::Path::new(&std::env::args().nth(2).expect("a folder")));
    }
    let count: usize = option("--agents").map_or(10_000, |count| count.parse().unwrap());
    let plain = std::env::args().any(|argument| argument == "--plain");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, run(count, plain));
}

fn certificate(folder: &std::path::Path) -> (String, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("broker.pem"), folder.join("broker.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(&certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let text = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    (text, TlsConnector::from(Arc::new(config)))
}

async fn run(count: usize, plain: bool) {
    let folder = tempfile::Builder::new().prefix("taxdisk-links-").tempdir().unwrap();
    let (tls_config, connector) = certificate(folder.path());
    let limits = format!("[limits]\nconnections = {0}\nstrangers_per_address = {0}\n", count + 1000);
    let config = if plain { limits } else { limits + &tls_config };
    let store = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let mut broker = BrokerRig::start_on(folder.path(), "broker", &store, &config);
    let way = Way { broker: broker.address().parse().unwrap(), tls: (!plain).then_some(connector) };
    let key = broker.admin_key();
    println!("{count} agents over {}, each with a disk; {} sellers", if plain { "plain TCP" } else { "TLS 1.3" }, count);
    let sellers: Vec<String> = (0..count).map(|index| taxpayer(&format!("9111{index:013}"))).collect();
    put_sellers(&way, &key, &sellers).await;
    let connect = {
        let way = way.clone();
        async move || way.connect(0).await
    };
    let enrolled = agents::enrol(connect, &key, count, &sellers).await.unwrap();
    let (open, _) = tokio::sync::watch::channel(true);
    let fleet = Rc::new(Fleet {
        up: Cell::new(0),
        joins: Cell::new(0),
        refused: Cell::new(0),
        open,
        last_error: RefCell::default(),
        handshakes: tokio::sync::Semaphore::new(HANDSHAKES),
    });
    let acknowledged = Acknowledged::default();
    for (index, agent) in enrolled.into_iter().enumerate() {
        tokio::task::spawn_local(live(agent, index, way.clone(), fleet.clone(), acknowledged.clone()));
    }
    let joined = fleet.wait(count).await.as_secs_f64();
    println!("first time, all joined after {joined:.1} s");

    // The disks are in the ledger now. A broker that has read them and has no link is what links are measured against.
    fleet.open.send_replace(false);
    broker.kill();
    fleet.wait(0).await;
    let began = Instant::now();
    broker.start_again(None);
    let ready = began.elapsed();
    let without = resident_kib(broker.running.pid());
    fleet.open.send_replace(true);
    let meter = Meter::start(&[broker.running.pid()]);
    let back = fleet.wait(count).await;
    let cores = meter.cores();
    // Several pings later nothing of the joins is left in buffers.
    tokio::time::sleep(Duration::from_secs(45)).await;
    let with = resident_kib(broker.running.pid());
    println!("ready again after {:.2} s, {:.1} MiB resident without links", ready.as_secs_f64(), without as f64 / 1024.0);
    println!("all joined after {:.1} s (cores: broker {:.2}, agents {:.2})", back.as_secs_f64(), cores.measured, cores.generator);
    println!(
        "{:.1} MiB resident with all links idle: {:.1} KiB a link (aim: at most 26)",
        with as f64 / 1024.0,
        (with - without) as f64 / count as f64
    );
    let mut record = Record::default();
    let (links, memory) = (format!("Until {count} agents are linked"), "Resident, broker");
    record.rows.push(Row::new(&links, "the first time, disks new", "s", &[joined]));
    record.rows.push(Row::new(&links, "again", "s", &[back.as_secs_f64()]));
    record.rows.push(Row::new(memory, "without links, agents and disks known", "MiB", &[without as f64 / 1024.0]));
    record.rows.push(Row::new(memory, &format!("{count} idle links"), "MiB", &[with as f64 / 1024.0]));
    let link = (with - without) as f64 / count as f64;
    record.rows.push(Row::new("An idle link over TLS, resident", "broker (aim: at most 26)", "KiB", &[link]));

    // Killed while jobs are submitted.
    let done = Rc::new(Cell::new(0_u64));
    let stop = Rc::new(Cell::new(false));
    for (index, seller) in sellers.iter().take(BUSY_SELLERS).enumerate() {
        let (way, key, seller) = (way.clone(), key.clone(), seller.clone());
        let (acknowledged, done, stop) = (acknowledged.clone(), done.clone(), stop.clone());
        tokio::task::spawn_local(async move {
            let mut serials = Serials::new(1, index as u32);
            while !stop.get() {
                if submit(&way, &key, &seller, &mut serials, &acknowledged, &done, &stop).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    while done.get() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    broker.kill();
    fleet.wait(0).await;
    let before = done.get();
    let began = Instant::now();
    broker.start_again(None);
    let ready = began.elapsed();
    let mut first = None;
    while fleet.up.get() != count {
        assert!(began.elapsed() < PATIENCE, "{} of {count}: {}", fleet.up.get(), fleet.last_error.borrow());
        first = first.or_else(|| (done.get() > before).then(|| began.elapsed()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = began.elapsed();
    println!(
        "killed with jobs under way: ready after {:.2} s, first job issued after {:.2} s, all links back after {:.1} s \
         (aim: 30), {} jobs issued meanwhile; {} attempts to join were refused or broke in all",
        ready.as_secs_f64(),
        first.unwrap_or_default().as_secs_f64(),
        all.as_secs_f64(),
        done.get() - before,
        fleet.refused.get(),
    );
    stop.set(true);
    record.rows.push(Row::new(&links, "after a kill with jobs under way", "s", &[all.as_secs_f64()]));
    record.rows.push(Row::new("After that kill", "broker is ready", "s", &[ready.as_secs_f64()]));
    record.rows.push(Row::new("After that kill", "first job issued", "s", &[first.unwrap_or_default().as_secs_f64()]));
    drop(broker);
    fleet.open.send_replace(false);
    if !plain {
        let bare = echo::link_kib(folder.path(), &way, count.min(BARE_LINKS)).await;
        println!("a server of nothing but WebSockets over TLS: {bare:.1} KiB a link");
        record.rows.push(Row::new("An idle link over TLS, resident", "nothing but WebSocket and TLS", "KiB", &[bare]));
    }
    record.leave();
}

/// One connection's life: jobs one after the other, each to its end.
async fn submit(
    way: &Way,
    key: &str,
    seller: &str,
    serials: &mut Serials,
    acknowledged: &Acknowledged,
    done: &Cell<u64>,
    stop: &Cell<bool>,
) -> std::io::Result<()> {
    let mut connection = Connection::over(way.connect(0).await?);
    while !stop.get() {
        let serial = serials.take();
        let body = toll_of(seller, &serial).to_string();
        let issued = acknowledged.enter(&serial);
        let answer = connection.call(&request("POST", "/v1/jobs", key, "application/json", body.as_bytes())).await?;
        if answer.status != 201 {
            return Err(std::io::Error::other(format!("{}", answer.status)));
        }
        // A kill of the broker may have come between the outcome and its acknowledgement; then nobody tells us.
        if tokio::time::timeout(Duration::from_secs(5), issued).await.is_ok() {
            done.set(done.get() + 1);
        }
    }
    Ok(())
}

async fn put_sellers(way: &Way, key: &str, sellers: &[String]) {
    let mut running = tokio::task::JoinSet::new();
    for part in sellers.chunks(sellers.len().div_ceil(32)) {
        let (way, key, part) = (way.clone(), key.to_owned(), part.to_vec());
        running.spawn_local(async move {
            let mut connection = Connection::over(way.connect(0).await.unwrap());
            for seller in part {
                let body = json!({ "name": "示例商贸有限公司" }).to_string();
                agents::send(&mut connection, "PUT", &format!("/v1/sellers/{seller}"), &key, &body).await.unwrap();
            }
        });
    }
    running.join_all().await;
}

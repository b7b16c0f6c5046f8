//! `cargo xtask bench portal`: signed requests at a steady rate into the whole chain on one machine: portal, broker, agents and
//! simulated disks behind them.
//!
//! The rate does not wait for answers: a request is due at its time, and its latency is counted from then, whether a connection
//! was free or not. Prints what was seen; judges nothing but that every request was accepted.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use taxdisk_protocol::api::JobState;
use taxdisk_tests::load::http::Connection;
use taxdisk_tests::load::usage::{Meter, resident_kib};
use taxdisk_tests::load::{Sample, Serials, taxpayer};
use taxdisk_tests::portal::{ANY_PORT, HOOKS, PortalRig, agent_named, disk_with};
use taxdisk_tests::process::wait_for;
use taxdisk_tests::rig::Rig;

/// Requests that can be under way at the same time.
const CONNECTIONS: usize = 64;
/// Sent before anything is counted.
const WARM_UP: Duration = Duration::from_secs(3);
/// Until all invoices are there.
const PATIENCE: Duration = Duration::from_secs(300);

fn option(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next();
    arguments.next().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} {text} is no number")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs and writes requests of one caller.
struct Caller {
    key: KeyPair,
    random: SystemRandom,
    host: SocketAddr,
}

impl Caller {
    fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &self.random, signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The bytes of one request to issue an invoice of one line.
    fn request(&self, seller: &str, orgcode: &str, serial: &str) -> Vec<u8> {
        let documents = json!([{
            "FPQQLSH": serial, "XSF_NSRSBH": seller, "ORGCODE": orgcode, "GMF_MC": "购方", "JSHJ": "113.00",
            "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": "113.00", "SL": 0.13, "SPBM": "1060105000000000000" }],
        }])
        .to_string();
        let now = jiff::Timestamp::now().as_second();
        let id = format!("id-{serial}");
        let covered = hex(&Md5::digest(&documents));
        let sign = self.sign(&json!({ "jti": id, "iat": now, "exp": now + 300, "requestdatas": covered }));
        let body: String = documents.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let body = format!("requestdatas={body}");
        format!(
            "POST /output-tax/api/invoiceApply/insertWithArray?appid=APP1 HTTP/1.1\r\nhost: {}\r\nsign: {sign}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
        .into_bytes()
    }
}

/// Sends each request at its time over the connections; latencies count from the time that it was due.
async fn open_loop(address: SocketAddr, requests: Vec<(Duration, Vec<u8>)>) -> Sample {
    let count = requests.len() as u64;
    let queue = Rc::new(RefCell::new(requests.into_iter()));
    let latencies = Rc::new(RefCell::new(Vec::with_capacity(usize::try_from(count).unwrap())));
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (queue, latencies) = (queue.clone(), latencies.clone());
        running.spawn_local(async move {
            let mut connection = Connection::open(address).await.unwrap();
            loop {
                // The borrow ends before anything is awaited.
                let next = queue.borrow_mut().next();
                let Some((due, bytes)) = next else { break };
                tokio::time::sleep_until((began + due).into()).await;
                let answer = connection.call(&bytes).await.unwrap();
                let reply: Value = serde_json::from_slice(answer.body).unwrap();
                assert!(answer.status == 200 && reply["code"] == "0000", "{} {reply}", answer.status);
                latencies.borrow_mut().push(began.elapsed().saturating_sub(due));
            }
        });
    }
    running.join_all().await;
    let mut latencies = latencies.take();
    latencies.sort_unstable();
    Sample { calls: count, time: began.elapsed(), latencies }
}

fn main() {
    let (rate, seconds) = (option("--rate", 200), option("--seconds", 60));
    let (disks, issue_ms) = (option("--disks", 16), option("--issue-ms", 300));
    let rig = Rig::with_broker_config(HOOKS);
    let sellers: Vec<(String, String)> =
        (0..disks).map(|index| (format!("O{index}"), taxpayer(&format!("9111000{:010}", 7 + index)))).collect();
    let mut agents = Vec::new();
    for (index, (orgcode, seller)) in sellers.iter().enumerate() {
        let folder = rig.path().join(orgcode);
        std::fs::create_dir_all(&folder).unwrap();
        let number = format!("6610{index:08}");
        let sim = disk_with(&folder, ANY_PORT, |config| {
            config.taxpayer_number.clone_from(seller);
            config.disk_number.clone_from(&number);
            config.issue_time_ms = issue_ms;
        });
        let mut agent = agent_named(orgcode, &rig, &sim);
        agent.start(None);
        rig.wait_online(&number);
        agents.push((agent, sim));
    }
    let portal = PortalRig::empty(&rig);
    portal.set_up_for(&sellers.iter().map(|(orgcode, seller)| (orgcode.as_str(), seller.as_str())).collect::<Vec<_>>());
    let address: SocketAddr = portal.url.trim_start_matches("http://").parse().unwrap();
    let pem = PrivateKeyDer::from_pem_file(portal.dir.join("caller.pem")).unwrap();
    let key = match &pem {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap(),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).unwrap(),
        _ => panic!("a key of another kind"),
    };
    let caller = Caller { key, random: SystemRandom::new(), host: address };
    let mut serials = Serials::new(1, 1);
    let mut turn = sellers.iter().cycle();
    let mut made = |time: Duration| -> Vec<(Duration, Vec<u8>)> {
        let count = rate * time.as_secs();
        (0..count)
            .map(|index| {
                let (orgcode, seller) = turn.next().unwrap();
                (Duration::from_micros(index * 1_000_000 / rate), caller.request(seller, orgcode, &serials.take()))
            })
            .collect()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let warm = local.block_on(&runtime, open_loop(address, made(WARM_UP)));
    let requests = made(Duration::from_secs(seconds));
    let mut pids = vec![portal.running.pid(), rig.broker.running.pid()];
    pids.extend(agents.iter().map(|(agent, _)| agent.running.as_ref().unwrap().pid()));
    let meter = Meter::start(&pids);
    let sample = local.block_on(&runtime, open_loop(address, requests));
    let cores = meter.cores();
    let (all, ended) = (usize::try_from(warm.calls + sample.calls).unwrap(), Instant::now());
    let issued = || {
        sellers
            .iter()
            .map(|(_, seller)| rig.api.try_jobs(seller).unwrap().iter().filter(|job| job.state == JobState::Issued).count())
            .sum::<usize>()
    };
    let at_end = issued();
    wait_for("all invoices", PATIENCE, || match issued() {
        count if count == all => Ok(()),
        count => Err(format!("{count} of {all} are issued")),
    });
    let after = ended.elapsed();
    let ms = |percent| sample.percentile(percent).as_secs_f64() * 1e3;
    println!(
        "{rate} requests/s for {seconds} s, {disks} disks: {} accepted, p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms",
        sample.calls,
        ms(50),
        ms(99),
        ms(100)
    );
    println!("issued: {at_end} of {all} when the last was accepted, all after another {:.1} s", after.as_secs_f64());
    println!("cores: portal, broker and agents {:.2}, generator and disks {:.2}", cores.measured, cores.generator);
    println!(
        "resident: portal {} MiB, broker {} MiB",
        resident_kib(portal.running.pid()) / 1024,
        resident_kib(rig.broker.running.pid()) / 1024
    );
}

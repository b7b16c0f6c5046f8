//! `cargo xtask bench console --jobs N`: how long the broker takes for each page of its console and for the lists of its API,
//! over a ledger with very many jobs. Asked one after the other over a connection that stays open, by the clock of who asks:
//! what the network of one machine adds is in it. A page above [`BOUND`] fails the run.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::Value;
use taxdisk_tests::process::binary;
use taxdisk_tests::rig::BrokerRig;

/// What an administrator waits for a page at most: the p99 of its times.
const BOUND: Duration = Duration::from_millis(150);
/// Each page is asked for so often after a first time, which reads from the drive and is printed by itself; one that takes
/// long, as often as [`PATIENCE`] allows.
const ASKED: usize = 100;
const PATIENCE: Duration = Duration::from_secs(5);
const PASSWORD: &str = "correct horse battery";

/// Somebody who is signed in, or who has a key.
struct Caller {
    agent: ureq::Agent,
    url: String,
    head: (&'static str, String),
}

impl Caller {
    /// An answer's text, and how long it took until all of it was there.
    fn get(&self, path: &str) -> (u16, String, Duration) {
        let began = Instant::now();
        let request = self.agent.get(format!("{}{path}", self.url)).header(self.head.0, &self.head.1);
        let mut answer = request.header("accept-language", "en").call().unwrap();
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
        (answer.status().as_u16(), text, began.elapsed())
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).build().into()
}

/// A browser with a session: the link sets the password, as for the first administrator.
fn signed_in(url: &str, link: &str) -> Caller {
    let agent = agent();
    let post = |path: &str, fields: &[(&str, &str)]| {
        let request = agent.post(format!("{url}{path}")).header("sec-fetch-site", "same-origin");
        request.send_form(fields.iter().copied()).unwrap()
    };
    let path = link.trim().split_once("/console").map(|(_, rest)| format!("/console{rest}")).unwrap();
    let answer = post(&path, &[("new", PASSWORD), ("again", PASSWORD)]);
    assert_eq!(answer.status(), 303, "the password is set");
    let answer = post("/console/sign-in", &[("name", "root"), ("password", PASSWORD)]);
    assert_eq!(answer.status(), 303, "signed in");
    let cookie = answer.headers().get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    let cookie = cookie.filter_map(|value| value.split(';').next()).find(|value| value.contains("taxdisk-broker")).unwrap();
    Caller { head: ("cookie", cookie.to_owned()), agent, url: url.to_owned() }
}

/// Every page that is not about one thing, and each kind of page about one.
fn pages(jobs: &[Value], number: &str) -> Vec<String> {
    let of = |state: &str| {
        let job = jobs.iter().find(|job| job["state"] == state).unwrap_or_else(|| panic!("a job that is {state}"));
        format!("{}/{}", job["seller"].as_str().unwrap(), job["serial"].as_str().unwrap())
    };
    let (issued, failed) = (of("issued"), of("failed"));
    let (seller, serial) = issued.split_once('/').unwrap();
    let mut all: Vec<String> = [
        "",
        "/now",
        "/jobs",
        "/jobs?state=issued",
        "/jobs?state=failed",
        "/jobs?state=cancelled",
        "/jobs?state=unsettled",
        "/jobs?state=queued",
        "/jobs?state=voided",
        "/jobs?waiting=no_disk",
        "/jobs?cursor=p500000",
        "/disks",
        "/agents",
        "/pauses",
        "/operations",
        "/webhooks",
        "/keys",
        "/users",
        "/audit",
        "/audit?word=nothing+has+this",
        "/bulk",
        "/account",
        "/disks/660000000000",
        "/operations?disk=660000000000",
    ]
    .iter()
    .map(|path| format!("/console{path}"))
    .collect();
    all.push(format!("/console/jobs?seller={seller}"));
    all.push(format!("/console/jobs?seller={seller}&state=failed"));
    all.push(format!("/console/jobs?serial={serial}"));
    all.push(format!("/console/jobs?number={}", number.replace(' ', "+")));
    all.push(format!("/console/audit?seller={seller}&word={serial}"));
    all.extend([issued, failed].map(|job| format!("/console/jobs/{job}")));
    all
}

/// Lists of the API, with each filter by itself where few jobs match: the worst case of a list that is read until it is full.
fn lists(seller: &str, now: &str) -> Vec<String> {
    let filters = [
        "".to_owned(),
        "state=issued".to_owned(),
        "state=failed".to_owned(),
        "state=unsettled".to_owned(),
        "waiting=no_disk".to_owned(),
        "kind=026".to_owned(),
        "kind=004".to_owned(),
        "disk=660000000000".to_owned(),
        "disk=660000000000&state=failed".to_owned(),
        "disk=999999999999".to_owned(),
        "serial=0000000".to_owned(),
        "serial=nothing".to_owned(),
        format!("since={now}"),
        format!("seller={seller}"),
        format!("seller={seller}&state=failed"),
        format!("seller={seller}&kind=004"),
        format!("seller={seller}&serial=0000"),
    ];
    let jobs = filters.iter().map(|filter| format!("/v1/jobs?limit=100&{filter}"));
    let others =
        ["/v1/disks", "/v1/agents", "/v1/sellers", "/v1/operations", "/v1/webhooks", "/v1/warnings", "/v1/calendar", "/v1/keys"];
    jobs.chain(others.map(str::to_owned)).chain([format!("/v1/audit?seller={seller}&limit=100")]).collect()
}

/// Asks for it again and again and prints what that took; true: within the bound.
fn measure(caller: &Caller, path: &str) -> bool {
    let (status, text, first) = caller.get(path);
    assert_eq!(status, 200, "{path}: {text:.300}");
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < ASKED && (times.is_empty() || began.elapsed() < PATIENCE) {
        times.push(caller.get(path).2);
    }
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (half, p99, most) = (times[times.len() / 2], times[times.len() * 99 / 100], times[times.len() - 1]);
    let late = if p99 > BOUND { "  LATE" } else { "" };
    println!("{path:<62} {:>7.1} {:>7.1} {:>7.1} {:>7.1} {:>7}{late}", ms(half), ms(p99), ms(most), ms(first), text.len());
    p99 <= BOUND
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut jobs = 1_000_000_u64;
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--jobs" => jobs = arguments.next().and_then(|count| count.parse().ok()).expect("--jobs NUMBER"),
            other => panic!("{other:?}: only --jobs NUMBER"),
        }
    }
    let folder = tempfile::Builder::new().prefix("taxdisk-console-").tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let began = Instant::now();
    let filled = Command::new(binary("examples/mixed_jobs")).arg(&store).arg(jobs.to_string()).status().unwrap();
    assert!(filled.success(), "{filled}");
    let size = std::fs::metadata(folder.path().join("ledger.db")).unwrap().len() as f64 / 1e9;
    println!("{jobs} jobs written in {:.0} s: {size:.1} GB", began.elapsed().as_secs_f64());
    let mut broker = BrokerRig::start_on(folder.path(), "broker", &store, "");
    broker.kill();
    let link = broker.tool(&["user", "add", "root", "--role", "administrator"]);
    broker.start_again(None);
    let browser = signed_in(&broker.url, &link);
    let key =
        Caller { agent: agent(), url: broker.url.clone(), head: ("authorization", format!("Bearer {}", broker.admin_key())) };
    let mut known: Vec<Value> = Vec::new();
    for state in ["issued", "failed"] {
        let page: Value = serde_json::from_str(&key.get(&format!("/v1/jobs?state={state}&limit=5")).1).unwrap();
        known.extend(page["jobs"].as_array().unwrap().iter().cloned());
    }
    let issued = known[0]["issued"].clone();
    let number = format!("{} {}", issued["code"].as_str().unwrap(), issued["number"].as_str().unwrap());
    let seller = known[0]["seller"].as_str().unwrap().to_owned();
    let now = known[0]["accepted_at"].as_str().unwrap().to_owned();
    println!("{:<62} {:>7} {:>7} {:>7} {:>7} {:>7}", "ms", "p50", "p99", "slowest", "first", "bytes");
    let mut good = true;
    for path in pages(&known, &number) {
        good &= measure(&browser, &path);
    }
    for path in lists(&seller, &now) {
        good &= measure(&key, &path);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! `cargo xtask bench growth`: what a job costs behind a history of finished jobs, and beside idle agents. The brokers of all
//! sizes run at the same time and are measured in turn, so that a slow minute of the machine slows all of them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use taxdisk_tests::load::http::{Connection, request};
use taxdisk_tests::load::record::{Record, Row};
use taxdisk_tests::load::target::{CONFIG, SELLERS, Target, seller};
use taxdisk_tests::load::usage::{Cores, resident_kib, transfers};
use taxdisk_tests::load::{Sample, closed_loop, median};
use taxdisk_tests::process::binary;
use taxdisk_tests::rig::BrokerRig;

const CALLERS: usize = 64;
/// Starts of each ledger.
const STARTS: usize = 5;
/// Calls of those that read at the same time.
const READERS: usize = 4;

struct Options {
    /// Finished jobs of each ledger.
    jobs: Vec<u64>,
    /// Linked agents of each broker with an empty ledger.
    agents: Vec<usize>,
    rounds: usize,
    time: Duration,
    /// A folder for the ledgers, which stay there. One that is there is taken as it is; no broker may have been started over it
    /// yet, or its first key is not known any more.
    folder: Option<PathBuf>,
}

impl Options {
    fn read() -> Options {
        let mut options = Options {
            jobs: vec![0, 1_000_000, 10_000_000],
            agents: vec![64, 1000, 9000],
            rounds: 5,
            time: Duration::from_millis(2000),
            folder: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
            match argument.as_str() {
                "--jobs" => options.jobs = value().split(',').map(|count| count.parse().unwrap()).collect(),
                "--agents" => options.agents = value().split(',').map(|count| count.parse().unwrap()).collect(),
                "--rounds" => options.rounds = value().parse().unwrap(),
                "--milliseconds" => options.time = Duration::from_millis(value().parse().unwrap()),
                "--folder" => options.folder = Some(value().into()),
                other => panic!("{other} is not known: --jobs N,N, --agents N,N, --rounds, --milliseconds, --folder"),
            }
        }
        options
    }
}

/// One size, and all rounds of it.
struct Size {
    name: String,
    target: Target,
    series: Vec<(&'static str, &'static str, Vec<f64>)>,
}

impl Size {
    fn add(&mut self, what: &'static str, unit: &'static str, value: f64) {
        match self.series.iter_mut().find(|series| series.0 == what) {
            Some(series) => series.2.push(value),
            None => self.series.push((what, unit, vec![value])),
        }
    }

    /// What one job of this run cost.
    fn add_jobs(&mut self, names: [&'static str; 3], (sample, cores): &(Sample, Cores), bytes: u64) {
        self.add(names[0], "jobs a second", sample.rate());
        self.add(names[1], "µs of processor a job", cores.measured * 1e6 / sample.rate());
        self.add(names[2], "KB written a job", bytes as f64 / 1000.0 / sample.calls.max(1) as f64);
    }

    async fn round(&mut self, time: Duration) {
        let pid = self.target.pid();
        let before = transfers(pid).bytes;
        let accepted = self.target.accept(CALLERS, time, &[pid]).await;
        let between = transfers(pid).bytes;
        self.add_jobs(["Accepts", "Processor of an accept", "Bytes of an accept"], &accepted, between - before);
        let ended = self.target.end_to_end(CALLERS, time, &[pid]).await;
        let bytes = transfers(pid).bytes - between;
        self.add_jobs(["Jobs end to end", "Processor of a job end to end", "Bytes of a job end to end"], &ended, bytes);
        let path = format!("/v1/jobs?seller={}&limit=50", seller(SELLERS));
        let listed = reads(&self.target, &path, time / 2).await;
        self.add("A page of a seller's jobs", "ms p50", listed.percentile(50).as_secs_f64() * 1000.0);
    }
}

async fn reads(target: &Target, path: &str, time: Duration) -> Sample {
    let (address, key) = target.door();
    let mut callers = Vec::new();
    for _ in 0..READERS {
        callers.push(Connection::open(address).await.unwrap());
    }
    let request = request("GET", path, key, "application/json", b"");
    closed_loop(callers, time, async move |caller: &mut Connection| {
        assert_eq!(caller.call(&request).await.unwrap().status, 200);
    })
    .await
}

/// Fills a ledger with jobs that have ended, of all sellers in turn; one that is there stays.
fn fill(place: &Path, count: u64) -> String {
    let url = format!("sqlite:{}", place.display());
    if count > 0 && !place.exists() {
        let began = Instant::now();
        let sellers: Vec<String> = (0..2 * SELLERS).map(seller).collect();
        let mut filler = Command::new(binary("examples/finished_jobs"));
        let filled = filler.args([&url, &count.to_string(), &sellers.join(",")]).status().unwrap();
        assert!(filled.success(), "{filled}");
        eprintln!("{count} finished jobs written in {:.0} s", began.elapsed().as_secs_f64());
    }
    url
}

/// Starts again, after a clean end: seconds until it is ready.
fn starts(broker: &mut BrokerRig) -> Vec<f64> {
    let start = |_| {
        broker.running.terminate();
        let began = Instant::now();
        broker.start_again(None);
        began.elapsed().as_secs_f64()
    };
    (0..STARTS).map(start).collect()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, run(&Options::read()));
}

async fn run(options: &Options) {
    let own = tempfile::Builder::new().prefix("taxdisk-growth-").tempdir().unwrap();
    let folder = options.folder.as_deref().unwrap_or(own.path());
    let mut record = Record::default();
    let (mut histories, mut fleets) = (Vec::new(), Vec::new());
    for count in &options.jobs {
        let (name, place) = (format!("{count} finished jobs"), folder.join(format!("{count}.db")));
        let url = fill(&place, *count);
        let mut broker = BrokerRig::start_on(own.path(), &format!("jobs-{count}"), &url, CONFIG);
        let times = starts(&mut broker);
        println!("{name}: ready after {:.3} s (median of {STARTS})", median(times.clone()));
        record.rows.push(Row::new("Start after a clean end", &name, "s", &times));
        let resident = resident_kib(broker.running.pid()) as f64 / 1024.0;
        record.rows.push(Row::new("Resident after a start", &name, "MiB", &[resident]));
        histories.push(Size { name, target: Target::over(broker, SELLERS).await, series: Vec::new() });
    }
    measure(options, &mut histories, "", &mut record).await;
    drop(histories);
    for count in &options.agents {
        let url = format!("sqlite:{}", own.path().join(format!("agents-{count}.db")).display());
        let broker = BrokerRig::start_on(own.path(), &format!("agents-{count}"), &url, CONFIG);
        fleets.push(Size { name: format!("{count} agents"), target: Target::over(broker, *count).await, series: Vec::new() });
    }
    measure(options, &mut fleets, ", by agents", &mut record).await;
    record.leave();
}

async fn measure(options: &Options, sizes: &mut [Size], by: &str, record: &mut Record) {
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for size in sizes.iter_mut() {
            size.round(options.time).await;
        }
    }
    let Some(first) = sizes.first() else { return };
    for (index, (what, unit, values)) in first.series.iter().enumerate() {
        let base = median(values.clone());
        for size in sizes.iter() {
            let values = &size.series[index].2;
            let (shown, ratio) = (median(values.clone()), median(values.clone()) / base);
            println!("{what}, {}: {shown:.2} {unit} ({ratio:.2} of the first)", size.name);
            record.rows.push(Row::new(&format!("{what}{by}"), &size.name, unit, values).beside("of the first", &[ratio]));
        }
    }
}

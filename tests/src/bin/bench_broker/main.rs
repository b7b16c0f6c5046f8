//! `cargo xtask bench broker`: durable accepts a second, jobs a second end to end, latencies and memory of the broker over SQLite
//! and PostgreSQL, and, in the same run and interleaved with them, a yardstick and the queues that are installed here.
//!
//! Each figure is the median of the rounds; each round measures everyone once. It judges nothing: it prints ratios beside the
//! aims.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

mod peers;
mod yardstick;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use peers::Peer;
use taxdisk_tests::load::record::{Record, Row as Recorded};
use taxdisk_tests::load::target::Target;
use taxdisk_tests::load::usage::{Cores, resident_kib};
use taxdisk_tests::load::{Sample, median};
use taxdisk_tests::postgres::Server;
use yardstick::Yardstick;

/// Callers of the rows that are compared with peers.
const CALLERS: usize = 64;
/// And of those where many wait.
const MANY: usize = 512;

struct Options {
    rounds: usize,
    time: Duration,
    /// Only figures whose name holds one of these.
    only: Vec<String>,
    peers: bool,
}

impl Options {
    fn read() -> Options {
        let mut options = Options { rounds: 3, time: Duration::from_millis(1500), only: Vec::new(), peers: true };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
            match argument.as_str() {
                "--rounds" => options.rounds = value().parse().unwrap(),
                "--milliseconds" => options.time = Duration::from_millis(value().parse().unwrap()),
                "--only" => options.only.push(value()),
                "--without-peers" => options.peers = false,
                other => panic!("{other} is not known: --rounds, --milliseconds, --only TEXT, --without-peers"),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

/// All rounds of one figure.
#[derive(Default)]
struct Row {
    order: usize,
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    generator: Vec<f64>,
    measured: Vec<f64>,
}

#[derive(Default)]
struct Table(BTreeMap<String, Row>);

impl Table {
    fn add(&mut self, name: &str, (sample, cores): (Sample, Cores)) {
        let order = self.0.len();
        let row = self.0.entry(name.to_owned()).or_insert_with(|| Row { order, ..Row::default() });
        row.rates.push(sample.rate());
        row.p50.push(sample.percentile(50).as_secs_f64() * 1000.0);
        row.p99.push(sample.percentile(99).as_secs_f64() * 1000.0);
        row.generator.push(cores.generator);
        row.measured.push(cores.measured);
        eprintln!("  {name}: {:.0}/s", sample.rate());
    }

    fn rate(&self, name: &str) -> f64 {
        self.0.get(name).map_or(f64::NAN, |row| median(row.rates.clone()))
    }

    fn print(&self) {
        println!(
            "\n{:<52} {:>9} {:>19} {:>9} {:>9} {:>10} {:>9}",
            "", "median/s", "lowest..highest", "p50 ms", "p99 ms", "cores: it", "generator"
        );
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by_key(|(_, row)| row.order);
        for (name, row) in rows {
            let lowest = row.rates.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = row.rates.iter().copied().fold(0.0, f64::max);
            println!(
                "{name:<52} {:>9.0} {:>9.0}..{:<8.0} {:>9.2} {:>9.2} {:>10.2} {:>9.2}",
                median(row.rates.clone()),
                lowest,
                highest,
                median(row.p50.clone()),
                median(row.p99.clone()),
                median(row.measured.clone()),
                median(row.generator.clone()),
            );
        }
    }

    fn ratio(&self, record: &mut Record, what: &str, ours: &str, theirs: &str, aim: &'static str) {
        let (ours, theirs) = (self.rate(ours), self.rate(theirs));
        if ours.is_finite() && theirs.is_finite() {
            println!("{what:<76} {:>6.2} {aim}", ours / theirs);
            record.rows.push(Recorded::new("Ratios", &format!("{what}{aim}"), "", &[ours / theirs]));
        }
    }

    /// The same for `--record`, in three tables.
    fn record(&self) -> Record {
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by_key(|(_, row)| row.order);
        let group = |name: &str| match name {
            name if name.contains("end to end") => "End to end",
            name if name.contains("batches") => "Batches",
            _ => "Accepts",
        };
        let recorded = rows.into_iter().map(|(name, row)| {
            Recorded::new(group(name), name, "a second", &row.rates)
                .beside("p50 ms", &row.p50)
                .beside("p99 ms", &row.p99)
                .beside("cores: it", &row.measured)
                .beside("cores: generator", &row.generator)
        });
        Record { rows: recorded.collect(), notes: Vec::new() }
    }
}

fn main() {
    if let Some("yardstick") = std::env::args().nth(1).as_deref() {
        return yardstick::serve(&PathBuf::from(std::env::args().nth(2).expect("a folder")));
    }
    let options = Options::read();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, run(&options));
}

async fn run(options: &Options) {
    let folder = tempfile::Builder::new().prefix("taxdisk-bench-").tempdir().unwrap();
    let server = Server::shared();
    let sqlite = format!("sqlite:{}", folder.path().join("sqlite.db").display());
    let mut targets = Vec::new();
    for (name, store) in [("SQLite", sqlite), ("PostgreSQL", server.database())] {
        let idle_before = Target::start(folder.path(), name, &store).await;
        println!(
            "broker over {name}, 64 agents linked, idle: {:.1} MiB resident",
            resident_kib(idle_before.pid()) as f64 / 1024.0
        );
        targets.push((name, idle_before));
    }
    let yardstick = Yardstick::start(folder.path());
    let (peers, missing) = if options.peers { Peer::start_all(folder.path()).await } else { Default::default() };
    let mut table = Table::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for callers in [1, CALLERS, MANY] {
            let limits =
                [("bare axum", yardstick::BARE), ("log without HTTP", yardstick::LOG), ("log behind axum", yardstick::APPEND)];
            for (what, limit) in limits {
                let name = format!("{what}, {callers} callers");
                if options.wants(&name) {
                    table.add(&name, yardstick.accept(limit, callers, options.time).await);
                }
            }
            for (store, target) in &mut targets {
                let pids = pids(store, target, &server);
                let name = format!("{store}: accepts, {callers} callers");
                if options.wants(&name) {
                    table.add(&name, target.accept(callers, options.time, &pids).await);
                }
            }
        }
        if options.wants("batches behind axum") {
            table.add("log behind axum: batches", yardstick.batches(options.time).await);
        }
        for (store, target) in &mut targets {
            let pids = pids(store, target, &server);
            let name = format!("{store}: accepts in batches");
            if options.wants(&name) {
                table.add(&name, target.batches(options.time, &pids).await);
            }
            for callers in [1, CALLERS, MANY] {
                let name = format!("{store}: end to end, {callers} callers");
                if options.wants(&name) {
                    table.add(&name, target.end_to_end(callers, options.time, &pids).await);
                }
            }
            let name = format!("{store}: end to end and result read, {CALLERS} callers");
            if options.wants(&name) {
                table.add(&name, target.with_result(CALLERS, options.time, &pids).await);
            }
        }
        for (peer, callers) in peers.iter().flat_map(|peer| [(peer, CALLERS), (peer, MANY)]) {
            let name = format!("{}: puts, {callers} callers", peer.name());
            if options.wants(&name) {
                table.add(&name, peer.accept(callers, options.time).await);
            }
            let name = format!("{}: end to end, {callers} callers", peer.name());
            if options.wants(&name) {
                table.add(&name, peer.end_to_end(callers, options.time).await);
            }
        }
    }
    table.print();
    let mut record = table.record();
    for (store, target) in &targets {
        let resident = resident_kib(target.pid()) as f64 / 1024.0;
        println!("broker over {store}, after all of it: {resident:.1} MiB resident");
        record.notes.push(format!("Broker over {store}, after all of it: {resident:.0} MiB resident."));
    }
    println!();
    for (store, _) in &targets {
        let mut ratio = |what: &str, ours: &str, theirs: &str, aim| {
            table.ratio(&mut record, &format!("{store}: {what}"), &format!("{store}: {ours}"), theirs, aim);
        };
        for callers in [1, CALLERS, MANY] {
            let ours = format!("accepts, {callers} callers");
            ratio(
                &format!("{ours}, to the log behind axum"),
                &ours,
                &format!("log behind axum, {callers} callers"),
                " (aim: 0.8)",
            );
        }
        ratio("batches, to the log behind axum", "accepts in batches", "log behind axum: batches", " (aim: 0.5)");
        for peer in &peers {
            for callers in [CALLERS, MANY] {
                for (ours, theirs) in [("accepts", "puts"), ("end to end", "end to end")] {
                    let (name, ours) = (peer.name(), format!("{ours}, {callers} callers"));
                    ratio(
                        &format!("{ours}, to {name}"),
                        &ours,
                        &format!("{name}: {theirs}, {callers} callers"),
                        " (aim: above 1)",
                    );
                }
            }
        }
    }
    for name in missing {
        println!("not measured: {name}");
        record.notes.push(format!("Not measured: {name}."));
    }
    record.leave();
}

/// The broker, and the database server where it works for it.
fn pids(store: &str, target: &Target, server: &Server) -> Vec<u32> {
    let mut pids = vec![target.pid()];
    if store == "PostgreSQL" {
        pids.extend(server.pids());
    }
    pids
}

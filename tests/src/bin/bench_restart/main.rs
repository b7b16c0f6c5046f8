//! `cargo xtask bench restart`: how long a broker takes to be ready whose ledger holds many finished jobs, after a clean end and
//! after a kill, beside one with an empty ledger.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use taxdisk_tests::api::Api;
use taxdisk_tests::jobs::{SELLER, toll};
use taxdisk_tests::load::usage::resident_kib;
use taxdisk_tests::process::binary;
use taxdisk_tests::rig::BrokerRig;

/// Starts of each kind; the slowest is printed too.
const STARTS: usize = 5;

fn starts(what: &str, broker: &mut BrokerRig, end: impl Fn(&mut BrokerRig)) {
    let mut times: Vec<Duration> = (0..STARTS)
        .map(|_| {
            end(broker);
            let began = Instant::now();
            broker.start_again(None);
            began.elapsed()
        })
        .collect();
    times.sort();
    let resident = resident_kib(broker.running.pid()) as f64 / 1024.0;
    println!(
        "{what}: ready after {:?} (median of {STARTS}; slowest {:?}), {resident:.1} MiB",
        times[STARTS / 2],
        times[STARTS - 1]
    );
}

fn measure(name: &str, folder: &Path, store: &str) {
    let mut broker = BrokerRig::start_on(folder, name, store, "");
    let api = Api::new(&broker.url, &broker.admin_key());
    assert!(api.put(&format!("/v1/sellers/{SELLER}"), &json!({ "name": "示例商贸有限公司" })).status < 300);
    starts(&format!("{name}, ended cleanly"), &mut broker, |broker| {
        broker.running.terminate();
    });
    // With a write-ahead log that the next start has to read.
    let next = std::cell::Cell::new(0);
    starts(&format!("{name}, killed while it accepts"), &mut broker, |broker| {
        let lines: Vec<_> = (0..2000).map(|line| toll(&format!("K{}N{line}", next.get()))).collect();
        next.set(next.get() + 1);
        assert!(api.batch(&lines).unwrap().iter().all(|line| line.status == 201));
        broker.kill();
    });
}

fn main() {
    let count = std::env::args().nth(1).map_or(5_000_000, |count| count.parse::<u64>().unwrap());
    let folder = tempfile::Builder::new().prefix("taxdisk-restart-").tempdir().unwrap();
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    measure("empty ledger", folder.path(), &url("empty.db"));
    let began = Instant::now();
    let filled = Command::new(binary("examples/finished_jobs")).arg(url("full.db")).arg(count.to_string()).status().unwrap();
    assert!(filled.success(), "{filled}");
    let size = std::fs::metadata(folder.path().join("full.db")).unwrap().len() as f64 / 1e9;
    println!("{count} finished jobs written in {:.0} s: {size:.1} GB", began.elapsed().as_secs_f64());
    measure("ledger of finished jobs", folder.path(), &url("full.db"));
}

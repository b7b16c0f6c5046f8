//! Durable accepts a second of one broker, SQLite beside PostgreSQL, for 1, 16 and 64 callers, one job a request and in batches.
//!
//! Run it with the binaries that `TAXDISK_TEST_BINARIES` names, on a machine that does nothing else; it judges nothing.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use taxdisk_tests::api::Api;
use taxdisk_tests::cluster::ClusterRig;
use taxdisk_tests::jobs;
use taxdisk_tests::rig::Rig;

/// Each figure is taken over so long.
const TIME: Duration = Duration::from_secs(5);

/// Accepts a second of so many callers, each with one request under way.
fn single(api: &Api, name: &str, callers: u64) -> f64 {
    let (accepted, began) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let (api, accepted) = (api.clone(), &accepted);
            scope.spawn(move || {
                for index in 0.. {
                    if began.elapsed() > TIME {
                        return;
                    }
                    let answer = api.submit(&jobs::toll(&format!("{name}{callers}C{caller}N{index}")));
                    assert_eq!(answer.status, 201, "{answer:?}");
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    accepted.into_inner() as f64 / began.elapsed().as_secs_f64()
}

/// Accepts a second of one caller who sends batches.
fn batches(api: &Api, name: &str) -> f64 {
    let (mut accepted, began) = (0, Instant::now());
    for turn in 0.. {
        if began.elapsed() > TIME {
            break;
        }
        let lines: Vec<_> = (0..2000).map(|index| jobs::toll(&format!("{name}B{turn}N{index}"))).collect();
        let answers = api.batch(&lines).unwrap();
        assert!(answers.iter().all(|line| line.status == 201));
        accepted += answers.len();
    }
    accepted as f64 / began.elapsed().as_secs_f64()
}

fn measure(store: &str, api: &Api) {
    for callers in [1, 16, 64] {
        println!("{store:<12} {callers:>3} callers   {:>8.0} accepts/s", single(api, "S", callers));
    }
    println!("{store:<12} batches       {:>8.0} accepts/s", batches(api, "S"));
}

fn main() {
    let rig = Rig::new();
    measure("SQLite", &rig.api);
    drop(rig);
    let rig = ClusterRig::new(2);
    measure("PostgreSQL", &rig.apis[0]);
    println!("{:<12}  64 callers   {:>8.0} accepts/s", "through door", single(&rig.apis[1], "D", 64));
}

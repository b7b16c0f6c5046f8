//! `cargo xtask bench first`: speed of the whole path, with the binaries that `TAXDISK_TEST_BINARIES` names.
//!
//! Prints what was measured beside the aim; judges nothing by tight times. Medians over one run.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic)]

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use taxdisk_protocol::api::JobView;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::load::record::{Record, Row};
use taxdisk_tests::process::PATIENCE;
use taxdisk_tests::rig::{AgentRig, Rig};
use taxdisk_tests::{jobs, oracle};

/// Durable writes that follow one another between a submission and its readable result: accept and hand-over (broker), intent
/// (agent), outcome (agent), outcome (broker).
const SERIAL_WRITES: u32 = 4;

/// Disks that are kept busy: time of an invoice in milliseconds, and jobs.
const SLOW: [(u64, usize); 3] = [(300, 60), (1000, 20), (3000, 8)];

fn median(values: &mut [Duration]) -> Duration {
    values.sort();
    values[values.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn fdatasync_median(folder: &Path) -> Duration {
    let mut file = std::fs::File::create(folder.join("probe")).unwrap();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            file.write_all(&[7; 512]).unwrap();
            let start = Instant::now();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    median(&mut times)
}

/// Resident kilobytes.
fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Voluntary switches of all threads: each is a wake-up.
fn switches(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(|status| {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?.to_owned();
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum()
}

/// Where the time of a job went, as the broker's and the agent's clocks have it, whole milliseconds.
struct Way {
    to_hand_over: Duration,
    to_begin: Duration,
    to_end: Duration,
    /// Of the time between begin and end: the issuing command itself.
    command: Duration,
}

fn way(job: &JobView) -> Way {
    let stamp = |text: &str| -> jiff::Timestamp { text.parse().unwrap() };
    let between = |from: &str, to: &str| Duration::from_millis(stamp(to).duration_since(stamp(from)).as_millis().max(0) as u64);
    let attempt = job.attempts.last().unwrap();
    let (started, ended) = (attempt.started_at.as_deref().unwrap(), attempt.ended_at.as_deref().unwrap());
    Way {
        to_hand_over: between(&job.accepted_at, &attempt.assigned_at),
        to_begin: between(&attempt.assigned_at, started),
        to_end: between(started, ended),
        command: Duration::from_millis(attempt.disk_ms.unwrap()),
    }
}

fn mean(ways: &[Way], part: fn(&Way) -> Duration) -> f64 {
    ms(ways.iter().map(part).sum::<Duration>()) / ways.len() as f64
}

fn one_by_one(rig: &Rig, prefix: &str, count: u32, ways: &mut Vec<Way>) -> Vec<Duration> {
    (0..count)
        .map(|index| {
            let serial = format!("{prefix}{index}");
            let start = Instant::now();
            assert_eq!(rig.api.submit(&jobs::toll(&serial)).status, 201);
            let answer = rig.api.get(&format!("/v1/jobs/{SELLER}/{serial}?wait=30s"));
            let took = start.elapsed();
            let job = answer.job();
            assert!(job.issued.is_some(), "{answer:?}");
            ways.push(way(&job));
            took
        })
        .collect()
}

fn main() {
    let mut record = Record::default();
    path_and_rest(&mut record);
    for (issue_ms, count) in SLOW {
        busy(&mut record, issue_ms, count);
    }
    record.leave();
}

/// What the whole path adds to a disk that answers at once, and what an agent needs that has nothing to do.
fn path_and_rest(record: &mut Record) {
    let rig = Rig::new();
    let disk = rig.disk("fast", |_| ());
    let mut agent = AgentRig::enroll(&rig, "bench", &[&disk.port], "");
    agent.start(None);
    rig.wait_online(&disk.number);
    let sync = fdatasync_median(rig.path());
    let _ = one_by_one(&rig, "W", 20, &mut Vec::new());
    let mut ways = Vec::new();
    let mut times = one_by_one(&rig, "T", 200, &mut ways);
    let p50 = median(&mut times);
    let overhead = p50.saturating_sub(sync * SERIAL_WRITES);
    println!(
        "whole path      {:6.2} ms p50; {SERIAL_WRITES} durable writes of {:.2} ms; the rest {:.2} ms (aim: at most 5)",
        ms(p50),
        ms(sync),
        ms(overhead)
    );
    let parts = [
        ("accepted to handed over", mean(&ways, |way| way.to_hand_over)),
        ("handed over to begun", mean(&ways, |way| way.to_begin)),
        ("begun to ended", mean(&ways, |way| way.to_end)),
        ("the issuing command itself", mean(&ways, |way| way.command)),
    ];
    let mut path =
        |name: &str, value: f64| record.rows.push(Row::new("A job from submission to its result", name, "ms", &[value]));
    path("whole path, p50", ms(p50));
    path(&format!("less {SERIAL_WRITES} durable writes (aim: at most 5)"), ms(overhead));
    path("one durable write, p50", ms(sync));
    for (name, mean) in parts {
        println!("  mean, {name}: {mean:.2} ms");
        path(&format!("mean, {name}"), mean);
    }

    let pid = agent.running.as_ref().unwrap().pid();
    let before = switches(pid);
    // Three heartbeat intervals of nothing to do.
    std::thread::sleep(Duration::from_secs(60));
    let woken = switches(pid) - before;
    let rss = resident_kb(pid) as f64 / 1024.0;
    println!("agent idle      {rss:6.1} MiB resident (aim: at most 12), {woken} wake-ups of all threads in 60 s");
    record.rows.push(Row::new("An agent at rest, resident", "one disk (aim: at most 12)", "MiB", &[rss]));
    record.rows.push(Row::new("An agent at rest, wake-ups", "all threads, in 60 s", "", &[woken as f64]));
}

/// How busy a disk of this speed is behind a full queue.
fn busy(record: &mut Record, issue_ms: u64, count: usize) {
    let rig = Rig::new();
    let disk = rig.disk("slow", |config| config.issue_time_ms = issue_ms);
    let mut agent = AgentRig::enroll(&rig, "bench", &[&disk.port], "");
    agent.start(None);
    rig.wait_online(&disk.number);
    let batch: Vec<_> = (0..count).map(|index| jobs::toll(&format!("F{index}"))).collect();
    let answers = rig.api.batch(&batch).unwrap();
    assert!(answers.iter().all(|line| line.status == 201));
    let done: Vec<JobView> = oracle::wait_done(&rig.api, count, PATIENCE);
    let stamp = |text: &Option<String>| -> jiff::Timestamp { text.as_ref().unwrap().parse().unwrap() };
    let mut spans: Vec<_> = done
        .iter()
        .map(|job| {
            let attempt = job.attempts.last().unwrap();
            (stamp(&attempt.started_at), stamp(&attempt.ended_at), attempt.disk_ms.unwrap())
        })
        .collect();
    spans.sort();
    // The first and last job have no neighbour on one side: what is between the first end and the last end is a full queue.
    let wall = spans.last().unwrap().1.duration_since(spans[0].1).as_millis() as f64;
    let busy: u64 = spans[1..].iter().map(|span| span.2).sum();
    let share = busy as f64 / wall * 100.0;
    println!("{issue_ms} ms disk      {share:6.1} % busy with a full queue of {count} (aim: at least 99)");
    let name = format!("{issue_ms} ms an invoice, {count} jobs (aim: at least 99)");
    record.rows.push(Row::new("A disk behind a full queue is busy", &name, "%", &[share]));
    oracle::check(&done, &[&disk]);
}

//! PostgreSQL under Patroni loses its primary while jobs flow: no accepted job is lost, none is issued twice, and the service is
//! back within a minute. `cargo xtask test-long patroni`.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use taxdisk_tests::fleet::{Fleet, Size};
use taxdisk_tests::patroni::{NODES, Patroni};
use taxdisk_tests::process::{PATIENCE, wait_for};

/// What is asked for.
const BACK_WITHIN: Duration = Duration::from_secs(60);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a count")))
}

/// Writes something new until it is durable; how long that took.
fn written(fleet: &Fleet, turn: usize) -> Duration {
    let began = Instant::now();
    let path = format!("/v1/sellers/91190000000{turn:04}");
    let body = serde_json::to_vec(&json!({"name": "服务恢复"})).unwrap();
    wait_for("the service to be back", PATIENCE * 3, || {
        let mut last = String::new();
        for api in &fleet.apis {
            match api.try_send("PUT", &path, "application/json", &body) {
                Ok(answer) if answer.status < 300 => return Ok(()),
                other => last = format!("{other:?}"),
            }
        }
        Err(last)
    });
    began.elapsed()
}

#[test]
fn the_primary_is_killed_while_jobs_flow() {
    let size = Size {
        agents: number("TAXDISK_TEST_PATRONI_AGENTS", 20),
        jobs: number("TAXDISK_TEST_PATRONI_JOBS", 2000),
        seed: number("TAXDISK_TEST_SEED", 20_261_128) as u64,
        callers: 4,
        pause: Duration::from_millis(3000),
    };
    let kills = number("TAXDISK_TEST_PATRONI_KILLS", 6);
    println!("{size:?}, {kills} kills; the same choices again: TAXDISK_TEST_SEED={}", size.seed);
    let mut random = StdRng::seed_from_u64(size.seed);
    let began = Instant::now();
    let mut cluster = Patroni::start();
    println!("the cluster is whole after {} s", began.elapsed().as_secs());
    let fleet = Fleet::start(&cluster.database("taxdisk"), 3, "replicated = true\n", size);
    let apis = fleet.apis.clone();

    let seen = std::thread::scope(|scope| {
        let callers = scope.spawn(|| Fleet::submit_all(&apis, size));
        let mut times = Vec::new();
        for turn in 0..kills {
            // A moment of the seed, not a wait for something.
            std::thread::sleep(Duration::from_millis(random.gen_range(2000..8000)));
            let primary = cluster.primary().unwrap();
            let machine = turn % 2 == 0;
            if machine {
                cluster.kill_node(primary)
            } else {
                cluster.kill_server(primary)
            }
            let away = written(&fleet, turn);
            let what = if machine { "machine" } else { "server" };
            println!("kill {turn} ({what} {primary}): written again after {away:.1?}, primary is {:?}", cluster.primary());
            times.push(away);
            if machine {
                cluster.start_node(primary);
            }
            // The next one is only survived by a standby that has every commit.
            cluster.wait_whole();
        }
        let longest = times.iter().max().unwrap();
        assert!(*longest < BACK_WITHIN, "{times:?}");
        callers.join().unwrap()
    });
    println!("all accepted: {seen:?}");

    // With one server left, a commit would be on it alone: no broker works, and each says why.
    let primary = cluster.primary().unwrap();
    let standbys: Vec<usize> = (0..NODES).filter(|index| *index != primary).collect();
    for standby in &standbys {
        cluster.kill_node(*standby);
    }
    for api in &fleet.apis {
        wait_for("a broker that is not ready", PATIENCE, || {
            let answer = api.try_get("/readyz")?;
            match answer.status == 503 && answer.body["missing"] == json!(["replication"]) {
                true => Ok(()),
                false => Err(format!("{answer:?}")),
            }
        });
    }
    let late = serde_json::to_vec(&json!({"name": "一台"})).unwrap();
    let answer = apis[0].try_send("PUT", "/v1/sellers/911900000009999", "application/json", &late);
    assert!(answer.as_ref().is_ok_and(|answer| answer.status == 503), "{answer:?}");
    for standby in &standbys {
        cluster.start_node(*standby);
    }
    println!("standbys are back; written again after {:.1?}", written(&fleet, kills));

    fleet.wait_settled(PATIENCE * 10);
    let issued = fleet.check();
    println!("{issued} invoices for {} jobs, ledger equal to the broker, {} s", size.jobs, began.elapsed().as_secs());
}

//! A fleet under trouble: brokers killed, stopped and frozen, links cut and made deaf by chance, while jobs flow. The disks'
//! ledgers are the oracle. The long form is `cargo xtask test-long fleet`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{SeedableRng, rngs::StdRng};
use taxdisk_tests::fleet::{Fleet, Size};
use taxdisk_tests::postgres::Server;
use taxdisk_tests::process::PATIENCE;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a count")))
}

/// Long by environment: `TAXDISK_TEST_FLEET_AGENTS`, `…_JOBS`, `…_TURNS`; `TAXDISK_TEST_SEED` repeats a run's choices.
fn size(agents: usize, jobs: usize) -> Size {
    let size = Size {
        agents: number("TAXDISK_TEST_FLEET_AGENTS", agents),
        jobs: number("TAXDISK_TEST_FLEET_JOBS", jobs),
        seed: number("TAXDISK_TEST_SEED", 20_261_128) as u64,
        callers: 4,
        pause: Duration::from_millis(number("TAXDISK_TEST_FLEET_PAUSE_MS", 800) as u64),
    };
    println!("{size:?}; the same choices again: TAXDISK_TEST_SEED={}", size.seed);
    size
}

#[test]
fn three_brokers_and_many_agents_under_trouble() {
    let size = size(10, 500);
    let turns = number("TAXDISK_TEST_FLEET_TURNS", 8);
    let began = Instant::now();
    let server = Arc::new(Server::start(&[]));
    let mut fleet = Fleet::start(&server.database(), 3, "", size);
    println!("{} agents on line after {} s", size.agents, began.elapsed().as_secs());

    let began = Instant::now();
    let apis = fleet.apis.clone();
    let (seen, done) = std::thread::scope(|scope| {
        let callers = scope.spawn(|| Fleet::submit_all(&apis, size));
        let mut random = StdRng::seed_from_u64(size.seed);
        let done = fleet.trouble(&mut random, |turn| turn < turns || !callers.is_finished());
        (callers.join().unwrap(), done)
    });
    println!("all accepted after {} s: {seen:?}", began.elapsed().as_secs());
    println!("{done}");
    fleet.wait_settled(PATIENCE * 10);
    let issued = fleet.check();
    println!("{issued} invoices for {} jobs, ledger equal to the broker, {} s", size.jobs, began.elapsed().as_secs());
}

/// The wire itself: a proof by a wire that does not cut would be none.
mod wire {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use taxdisk_tests::cutter::{Cutter, Fate};

    use super::*;

    /// A server that says everything back.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        url
    }

    fn client(cutter: &Cutter) -> TcpStream {
        let stream = TcpStream::connect(cutter.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn say(mut stream: &TcpStream) -> std::io::Result<[u8; 4]> {
        let mut back = [0; 4];
        stream.write_all(b"ping")?;
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    #[test]
    fn a_connection_passes_until_it_is_cut_and_a_refused_one_never_does() {
        let (cutter, mut random) = (Cutter::before(&echo()), StdRng::seed_from_u64(1));
        let stream = client(&cutter);
        assert_eq!(&say(&stream).unwrap(), b"ping");
        assert_eq!(cutter.strike(Fate::Cut, 100, &mut random), 1);
        assert!(say(&stream).is_err());
        cutter.refuse(true);
        assert!(say(&client(&cutter)).is_err());
        cutter.refuse(false);
        assert_eq!(&say(&client(&cutter)).unwrap(), b"ping");
    }

    #[test]
    fn a_deaf_connection_stays_open_and_says_nothing() {
        for fate in [Fate::Deaf, Fate::DeafToClient, Fate::DeafToServer] {
            let (cutter, mut random) = (Cutter::before(&echo()), StdRng::seed_from_u64(1));
            let stream = client(&cutter);
            assert_eq!(&say(&stream).unwrap(), b"ping");
            assert_eq!(cutter.strike(fate, 100, &mut random), 1);
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let silence = say(&stream).unwrap_err();
            let kind = silence.kind();
            assert!(matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{fate:?}: {silence}");
        }
    }
}

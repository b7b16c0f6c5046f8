//! Fetches a program from the broker, over the same TLS and through the same proxy as everything else, in a thread of its own.
//!
//! What comes is written beside its place and hashed on the way; only the whole, signed program gets its name. Room is looked
//! for first: the journal lives on the same drive, and an update is never worth a job.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taxdisk_protocol::update::{Manifest, UPDATES_PATH, UpdateOffer};

use super::shelf::{Fresh, Shelf};
use crate::config::BrokerUrl;

/// A program is through in this time: 20 MiB over 100 kbit/s.
const FETCH_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Room that is left for the journal beside the program, bytes.
const ROOM_LEFT_BYTES: u64 = 64 << 20;
/// Read at a time, bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// A way to a broker.
#[derive(Clone)]
pub struct Way {
    /// Where it is.
    pub url: BrokerUrl,
    /// Trusted, and through its proxy.
    pub http: ureq::Agent,
}

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What was signed.
    pub manifest: Manifest,
    /// The offer.
    pub offer: UpdateOffer,
}

/// Fetches it, unless it is there already. Blocks. `stop` ends it soon.
///
/// # Errors
/// One sentence; the same again later is safe.
pub fn fetch(ways: &[Way], shelf: &Shelf, wanted: &Wanted, stop: &Arc<AtomicBool>) -> Result<(), String> {
    let manifest = &wanted.manifest;
    if shelf.check(&manifest.version).is_ok() {
        return Ok(());
    }
    // The path comes from whoever has the link. It may name nothing but a program on the same broker.
    if !wanted.offer.path.starts_with(&format!("{UPDATES_PATH}/")) || wanted.offer.path.contains(['?', '#', '\\', ' ']) {
        return Err("The broker named no place of a program.".to_owned());
    }
    let mut said = "No broker is known.".to_owned();
    for way in ways {
        match from(way, shelf, wanted, stop) {
            Ok(()) => return Ok(()),
            Err(why) => said = why,
        }
    }
    Err(said)
}

fn from(way: &Way, shelf: &Shelf, wanted: &Wanted, stop: &Arc<AtomicBool>) -> Result<(), String> {
    let manifest = &wanted.manifest;
    let url = way.url.http(&wanted.offer.path);
    let request = way.http.get(&url).config().timeout_global(Some(FETCH_LIMIT)).build();
    let mut answer = request.call().map_err(|error| format!("The program cannot be fetched from {} ({error}).", way.url))?;
    if answer.status() != 200 {
        return Err(format!("The program cannot be fetched from {} (HTTP status {}).", way.url, answer.status().as_u16()));
    }
    let fresh = shelf.begin(manifest).map_err(kept)?;
    crate::fault::point("update_begun");
    let filled = room(free_bytes(shelf), manifest.size_bytes).and_then(|()| fill(way, &mut answer, fresh, wanted, stop));
    if filled.is_err() {
        // A drive that is full needs the room now, and the next try begins anew.
        shelf.discard(manifest);
    }
    filled?;
    crate::fault::point("update_stored");
    Ok(())
}

fn fill(
    way: &Way,
    answer: &mut ureq::http::Response<ureq::Body>,
    mut fresh: Fresh,
    wanted: &Wanted,
    stop: &Arc<AtomicBool>,
) -> Result<(), String> {
    let manifest = &wanted.manifest;
    // One byte more than was signed, so that too much is noticed, and no more.
    let mut body = answer.body_mut().with_config().limit(manifest.size_bytes + 1).reader();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err("The agent stops.".to_owned());
        }
        match body.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) if fresh.bytes() + read as u64 > manifest.size_bytes => {
                return Err(format!("More came from {} than was signed.", way.url));
            }
            Ok(read) => fresh.write(&chunk[..read]).map_err(kept)?,
            Err(error) => return Err(format!("The program did not come whole from {} ({error}).", way.url)),
        }
    }
    fresh.finish(manifest, &wanted.offer)
}

/// Why a program cannot be kept, and what to do about it.
fn kept(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            format!("The program cannot be kept: the drive is full ({error}). Make room on it; it is fetched again by itself.")
        }
        _ => format!("The program cannot be kept ({error})."),
    }
}

fn free_bytes(shelf: &Shelf) -> u64 {
    // Where the file system cannot be asked, writing shows it.
    crate::platform::room(shelf.place()).map_or(u64::MAX, |found| found.free_bytes)
}

fn room(free_bytes: u64, size_bytes: u64) -> Result<(), String> {
    let needed = size_bytes.saturating_add(ROOM_LEFT_BYTES);
    match free_bytes >= needed {
        true => Ok(()),
        false => Err(format!(
            "{} MiB are free and {} MiB are needed, so that the journal keeps its room: make room on that drive.",
            free_bytes >> 20,
            needed >> 20
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::net::TcpListener;

    use minisign::KeyPair;

    use super::*;
    use crate::identity::StateDir;
    use crate::update::signed::tests::{manifest, public, sign};

    const PROGRAM: &[u8] = b"a program of thirty-three bytes..";

    struct Bench {
        dir: tempfile::TempDir,
        pair: KeyPair,
        shelf: Shelf,
    }

    impl Bench {
        fn new() -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let pair = KeyPair::generate_unencrypted_keypair().unwrap();
            let shelf = Shelf::new(&StateDir::at(dir.path()), &[public(&pair)]);
            Bench { dir, pair, shelf }
        }

        fn wanted(&self) -> Wanted {
            use sha2::Digest;
            let text = manifest("0.2.0", "0.1.0", PROGRAM.len(), &hex::encode(sha2::Sha256::digest(PROGRAM)));
            let signature = sign(&self.pair, &text);
            let offer = UpdateOffer { manifest: text.clone(), signature, path: "/v1/updates/word/file".to_owned() };
            Wanted { manifest: Manifest::parse(&text).unwrap(), offer }
        }

        /// Fetches from a server that gives this answer to everybody.
        fn fetch(&self, answer: Vec<u8>) -> Result<(), String> {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let serve = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                // Whoever has seen enough hangs up.
                let _ = stream.write_all(&answer);
                String::from_utf8(head).unwrap()
            });
            let url = BrokerUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
            let way = Way { url, http: crate::tls::http(None, None).unwrap() };
            let result = fetch(&[way], &self.shelf, &self.wanted(), &Arc::default());
            assert!(serve.join().unwrap().starts_with("GET /v1/updates/word/file "));
            result
        }

        fn left(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.dir.path().join("versions")).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    fn answer(length: usize, body: &[u8]) -> Vec<u8> {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes();
        answer.extend_from_slice(body);
        answer
    }

    #[test]
    fn the_whole_signed_program_gets_its_name_and_is_fetched_once() {
        let bench = Bench::new();
        assert_eq!(bench.fetch(answer(PROGRAM.len(), PROGRAM)), Ok(()));
        assert_eq!(bench.left(), ["0.2.0"]);
        assert_eq!(std::fs::read(bench.shelf.check(&"0.2.0".parse().unwrap()).unwrap()).unwrap(), PROGRAM);
        // It is there: nobody is asked.
        assert_eq!(fetch(&[], &bench.shelf, &bench.wanted(), &Arc::default()), Ok(()));
    }

    #[test]
    fn what_is_cut_short_too_long_or_another_program_leaves_nothing() {
        let bench = Bench::new();
        let other = PROGRAM.iter().rev().copied().collect::<Vec<_>>();
        let long = [PROGRAM, b"!"].concat();
        for (answer, part) in [
            (answer(PROGRAM.len(), &PROGRAM[..20]), "did not come whole"),
            (answer(20, &PROGRAM[..20]), "Only 20 of 33 bytes"),
            (answer(PROGRAM.len(), &other), "not the program that was signed"),
            (answer(long.len(), &long), "More came"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "404"),
            (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec(), "302"),
            (b"nonsense\r\n\r\n".to_vec(), "cannot be fetched"),
        ] {
            let said = bench.fetch(answer).unwrap_err();
            assert!(said.contains(part), "{part}: {said}");
            assert!(bench.shelf.check(&"0.2.0".parse().unwrap()).is_err(), "{part}");
            assert!(!bench.left().contains(&"0.2.0".to_owned()), "{part}");
        }
        assert_eq!(bench.fetch(answer(PROGRAM.len(), PROGRAM)), Ok(()), "what was left in part is no obstacle");
        assert_eq!(bench.left(), ["0.2.0"]);
    }

    #[test]
    fn a_path_leads_to_programs_of_the_broker_alone() {
        let bench = Bench::new();
        for path in ["/v1/jobs", "http://elsewhere/", "/v1/updates/x?y", "/v1/updates", ""] {
            let mut wanted = bench.wanted();
            wanted.offer.path = path.to_owned();
            assert!(fetch(&[], &bench.shelf, &wanted, &Arc::default()).unwrap_err().contains("no place"), "{path}");
        }
    }

    #[test]
    fn a_drive_that_cannot_keep_it_is_said_and_the_journal_keeps_its_room() {
        let bench = Bench::new();
        std::fs::write(bench.dir.path().join("versions"), "no folder").unwrap();
        let said = bench.fetch(answer(PROGRAM.len(), PROGRAM)).unwrap_err();
        assert!(said.contains("cannot be kept"), "{said}");
        assert_eq!(room(u64::MAX, 20 << 20), Ok(()));
        assert_eq!(room(84 << 20, 20 << 20), Ok(()));
        assert!(room((84 << 20) - 1, 20 << 20).unwrap_err().contains("make room"));
    }
}

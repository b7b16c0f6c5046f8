//! The versions side by side in the state folder, and the file that says which of them runs.
//!
//! `versions/0.2.0/` holds a program, its manifest and the manifest's signature. A folder of that name is whole: it is filled
//! under another name, made durable, and renamed. `updates.json` is replaced at once ([`write_atomic`]); it is the switch. Both
//! are read by other versions of this program, older ones too: what is here may get more fields and never other meanings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use minisign_verify::PublicKey;
use semver::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use taxdisk_protocol::update::{FailedVersion, MANIFEST_MAX_BYTES, Manifest, SIGNATURE_MAX_BYTES, UpdateOffer};

use super::signed;
use crate::clock::wall_clock;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::platform;
use crate::ready::write_atomic;

/// The program in the folder of its version.
const PROGRAM: &str = "taxdisk-agent";
/// What was signed, beside it.
const MANIFEST: &str = "manifest.json";
/// The signature, under the name that `minisign -V` looks for.
const SIGNATURE: &str = "manifest.json.minisig";
/// Versions that failed are remembered up to this many, the newest ones.
const FAILED_MAX: usize = 20;
/// A version that was proven is started so often without a word from the broker before it is left: a power cut or two are no
/// fault of it.
const STARTS_MAX: u32 = 3;
/// Trials of one version: one that was cut off by a power cut is tried again.
const TRIALS_MAX: u32 = 3;
/// `updates.json` at most, bytes.
const BOOK_MAX_BYTES: u64 = 64 * 1024;

/// What `updates.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    /// The version that runs; absent: the installed one.
    pub current: Option<Version>,
    /// Starts of that version since it was chosen; 0 as soon as it has reached the broker.
    pub starts: u32,
    /// The version that ran before it; absent: the installed one.
    pub previous: Option<Version>,
    /// The version on trial.
    pub trial: Option<Trial>,
    /// Trials that were begun, by version.
    pub trials: BTreeMap<Version, u32>,
    /// What was tried and left.
    pub failed: Vec<FailedVersion>,
}

/// A version on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub version: Version,
    /// A word that only this trial knows: a proof repeats it.
    pub word: String,
    /// Ports of the disks that were ready before it, and must be again.
    pub disks: Vec<String>,
}

impl Book {
    /// Versions that are not tried any more.
    pub fn failed_versions(&self) -> BTreeSet<String> {
        self.failed.iter().map(|failed| failed.version.clone()).collect()
    }

    /// Notes a version as failed, and leaves it if it is the one that runs.
    pub fn fail(&mut self, version: &Version, reason: impl Into<String>) {
        self.failed.retain(|failed| failed.version != version.to_string());
        self.failed.push(FailedVersion { version: version.to_string(), at: wall_clock(), reason: reason.into() });
        let excess = self.failed.len().saturating_sub(FAILED_MAX);
        self.failed.drain(..excess);
        self.trials.remove(version);
        if self.trial.as_ref().is_some_and(|trial| trial.version == *version) {
            self.trial = None;
        }
        if self.current.as_ref() == Some(version) {
            self.current = self.previous.take();
            self.starts = 0;
        }
    }

    /// Begins a trial.
    pub fn try_out(&mut self, trial: Trial) {
        *self.trials.entry(trial.version.clone()).or_default() += 1;
        self.trial = Some(trial);
    }

    /// A trial ended without anybody who judged it: whoever did it is gone.
    fn broken_off(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        if self.is_worn_out(&trial.version) {
            self.fail(&trial.version, format!("its trial was cut off {TRIALS_MAX} times"));
        }
    }

    /// A trial was given up for a reason that lies elsewhere.
    pub fn call_off(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        if let Some(count) = self.trials.get_mut(&trial.version) {
            *count = count.saturating_sub(1);
        }
    }

    /// It had as many trials as a version may have.
    pub fn is_worn_out(&self, version: &Version) -> bool {
        self.trials.get(version).is_some_and(|count| *count >= TRIALS_MAX)
    }

    /// The version on trial has proven itself: it is what runs from now on.
    pub fn choose(&mut self, version: Version) {
        self.trial = None;
        self.trials.remove(&version);
        self.previous = self.current.replace(version);
        self.starts = 1;
    }
}

/// The place.
#[derive(Debug, Clone)]
pub struct Shelf {
    state: StateDir,
    keys: Vec<PublicKey>,
}

impl Shelf {
    /// In this state folder, for programs that one of these keys has signed.
    pub fn new(state: &StateDir, keys: &[PublicKey]) -> Shelf {
        Shelf { state: state.clone(), keys: keys.to_vec() }
    }

    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The folder that everything is kept in.
    pub fn place(&self) -> &Path {
        self.state.path()
    }

    fn book_file(&self) -> PathBuf {
        self.state.path().join("updates.json")
    }

    fn versions(&self) -> PathBuf {
        self.state.path().join("versions")
    }

    fn folder(&self, version: &Version) -> PathBuf {
        self.versions().join(version.to_string())
    }

    /// The file in which a version on trial writes its proof.
    pub fn proof_file(&self) -> PathBuf {
        self.state.path().join("updates.proof")
    }

    /// What the file says. One that is missing says that the installed program runs.
    ///
    /// # Errors
    /// It cannot be read; the text says what to do.
    pub fn book(&self) -> Result<Book, Failure> {
        let file = self.book_file();
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::failed(format!(
                "{} cannot be read ({error}): delete it, and the installed program runs; nothing else depends on it.",
                file.display()
            ))
        };
        match read_small(&file, BOOK_MAX_BYTES) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| wrong(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Book::default()),
            Err(error) => Err(wrong(&error)),
        }
    }

    /// Replaces it, durably. If we stop before it is through, the old one stands.
    ///
    /// # Errors
    /// It cannot be written; nothing is changed then.
    pub fn write(&self, book: &Book) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(book).expect("plain data with text keys");
        write_atomic(&self.book_file(), &text, 0o600).map_err(|error| {
            Failure::failed(format!("{} cannot be written ({error}): make room for it.", self.book_file().display()))
        })
    }

    /// Which program a start runs: that of the version that is given back, or the installed one. A trial that was cut off is
    /// noted, and a version that cannot be used any more is left. `installed` is the version of the installed program.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn at_start(&self, installed: &Version) -> Result<Option<(Version, PathBuf)>, Failure> {
        let mut book = self.book()?;
        let before = book.clone();
        book.broken_off();
        let found = loop {
            let Some(version) = book.current.clone() else { break None };
            if version <= *installed {
                // Somebody installed a newer one by hand.
                (book.current, book.previous, book.starts) = (None, None, 0);
                break None;
            }
            if book.starts >= STARTS_MAX {
                book.fail(&version, format!("it was started {STARTS_MAX} times and did not reach the broker"));
                continue;
            }
            match self.check(&version) {
                Ok(program) => {
                    book.starts = if book.starts == 0 { 0 } else { book.starts + 1 };
                    break Some((version, program));
                }
                Err(why) => book.fail(&version, why),
            }
        };
        if book != before {
            self.write(&book)?;
        }
        Ok(found)
    }

    /// The program of a version, if it is there, whole, and signed: its hash is computed anew each time, since a drive forgets
    /// and others may have written to the folder.
    ///
    /// # Errors
    /// Why it cannot be used; one sentence.
    pub fn check(&self, version: &Version) -> Result<PathBuf, String> {
        let folder = self.folder(version);
        let read = |name: &str, max: usize| {
            read_small(&folder.join(name), max as u64).map_err(|error| format!("{name} of version {version}: {error}"))
        };
        let manifest = signed::open(&self.keys, &read(MANIFEST, MANIFEST_MAX_BYTES)?, &read(SIGNATURE, SIGNATURE_MAX_BYTES)?)?;
        if manifest.version != *version {
            return Err(format!("The folder of version {version} holds version {}.", manifest.version));
        }
        let program = folder.join(PROGRAM);
        let found = hash(&program).map_err(|error| format!("The program of version {version}: {error}"))?;
        if found != (manifest.size_bytes, manifest.sha256) {
            return Err(format!("The program of version {version} is not the one that was signed."));
        }
        Ok(program)
    }

    /// A place to fetch the program of an offer into. What an earlier try left there is gone.
    ///
    /// # Errors
    /// As the file system says.
    pub fn begin(&self, manifest: &Manifest) -> io::Result<Fresh> {
        let part = self.versions().join(format!("{}.part", manifest.version));
        match std::fs::remove_dir_all(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        platform::private_folder(&part)?;
        let file = platform::with_mode(OpenOptions::new().write(true).create_new(true), 0o700).open(part.join(PROGRAM))?;
        Ok(Fresh { file, hash: Sha256::new(), bytes: 0, part, to: self.folder(&manifest.version), versions: self.versions() })
    }

    /// Removes what was fetched of this version in part. What cannot be removed is tried again by the next sweep.
    pub fn discard(&self, manifest: &Manifest) {
        let _ = std::fs::remove_dir_all(self.versions().join(format!("{}.part", manifest.version)));
    }

    /// Removes every version but these, and what was fetched in part. What cannot be removed is tried again next time.
    pub fn sweep(&self, keep: &[&Version]) {
        let keep: Vec<String> = keep.iter().map(ToString::to_string).collect();
        for entry in std::fs::read_dir(self.versions()).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|name| keep.iter().any(|kept| kept == name)) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A program that is being fetched.
#[derive(Debug)]
pub struct Fresh {
    file: File,
    hash: Sha256,
    bytes: u64,
    part: PathBuf,
    to: PathBuf,
    versions: PathBuf,
}

impl Fresh {
    /// More of it.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// How much there is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it is there: judged by the manifest, made durable, and put in its place.
    ///
    /// # Errors
    /// It is not what was signed, or the file system refuses; one sentence. Nothing is left.
    pub fn finish(self, manifest: &Manifest, offer: &UpdateOffer) -> Result<(), String> {
        let Fresh { file, hash, bytes, part, to, versions } = self;
        let found = (bytes, hex::encode(hash.finalize()));
        let whole = if found == (manifest.size_bytes, manifest.sha256.clone()) {
            put(&file, &part, &to, &versions, offer).map_err(|error| format!("The program cannot be kept ({error})."))
        } else if bytes < manifest.size_bytes {
            Err(format!("Only {bytes} of {} bytes came.", manifest.size_bytes))
        } else {
            Err("What came is not the program that was signed.".to_owned())
        };
        if whole.is_err() {
            let _ = std::fs::remove_dir_all(&part);
        }
        whole
    }
}

/// If we stop before the rename, a `.part` is left that is swept; after it, the version is there and whole.
fn put(file: &File, part: &Path, to: &Path, versions: &Path, offer: &UpdateOffer) -> io::Result<()> {
    file.sync_all()?;
    write_atomic(&part.join(MANIFEST), offer.manifest.as_bytes(), 0o600)?;
    write_atomic(&part.join(SIGNATURE), offer.signature.as_bytes(), 0o600)?;
    crate::fault::point("update_fetched");
    match std::fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(part, to)?;
    File::open(versions)?.sync_all()?;
    // The folder of versions itself may be new.
    File::open(versions.parent().unwrap_or(versions))?.sync_all()
}

fn read_small(path: &Path, max_bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(max_bytes + 1).read_to_string(&mut text)?;
    if read as u64 > max_bytes { Err(io::Error::other("it is too long")) } else { Ok(text) }
}

/// Size and SHA-256 of a file.
fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hex::encode(hash.finalize()))),
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::update::signed::tests::{manifest, public, sign};
    use minisign::KeyPair;

    struct Bench {
        dir: tempfile::TempDir,
        pair: KeyPair,
        shelf: Shelf,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let shelf = Shelf::new(&StateDir::at(dir.path()), &[public(&pair)]);
        Bench { dir, pair, shelf }
    }

    impl Bench {
        fn put(&self, version: &str) -> Version {
            let program = version.as_bytes();
            let text = manifest(version, "0.1.0", program.len(), &hex::encode(Sha256::digest(program)));
            let offer = UpdateOffer { signature: sign(&self.pair, &text), manifest: text, path: String::new() };
            let manifest = Manifest::parse(&offer.manifest).unwrap();
            let mut fresh = self.shelf.begin(&manifest).unwrap();
            fresh.write(program).unwrap();
            fresh.finish(&manifest, &offer).unwrap();
            manifest.version
        }

        fn starts(&self) -> Option<String> {
            self.shelf.at_start(&Version::new(0, 1, 0)).unwrap().map(|(version, _)| version.to_string())
        }

        fn change(&self, change: impl FnOnce(&mut Book)) {
            let mut book = self.shelf.book().unwrap();
            change(&mut book);
            self.shelf.write(&book).unwrap();
        }
    }

    fn trial(version: &Version) -> Trial {
        Trial { version: version.clone(), word: "word".to_owned(), disks: Vec::new() }
    }

    #[test]
    fn until_a_version_is_chosen_the_installed_one_runs() {
        let bench = bench();
        assert_eq!(bench.starts(), None);
        let two = bench.put("0.2.0");
        assert_eq!(bench.starts(), None, "to be there is not to be chosen");
        bench.change(|book| book.try_out(trial(&two)));
        assert_eq!(bench.starts(), None, "nor is a trial that nobody judged");
        assert_eq!(bench.shelf.book().unwrap().trial, None);
        bench.change(|book| book.choose(two.clone()));
        assert_eq!(bench.starts().as_deref(), Some("0.2.0"));
        assert_eq!(bench.shelf.at_start(&Version::new(0, 3, 0)).unwrap(), None, "somebody installed a newer one by hand");
        assert_eq!(bench.shelf.book().unwrap(), Book::default());
    }

    #[test]
    fn a_trial_that_is_cut_off_is_held_again_but_not_for_ever() {
        let bench = bench();
        let two = bench.put("0.2.0");
        for round in 1..=3 {
            assert!(bench.shelf.book().unwrap().failed.is_empty(), "{round}");
            bench.change(|book| book.try_out(trial(&two)));
            assert_eq!(bench.starts(), None);
        }
        assert!(bench.shelf.book().unwrap().failed[0].reason.contains("cut off"));
        // One that was given up for another reason does not count.
        let three = bench.put("0.3.0");
        for _ in 0..9 {
            bench.change(|book| book.try_out(trial(&three)));
            bench.change(Book::call_off);
        }
        assert!(!bench.shelf.book().unwrap().is_worn_out(&three));
    }

    #[test]
    fn a_version_that_never_reaches_the_broker_gives_way_to_the_one_before_it() {
        let bench = bench();
        let (two, three) = (bench.put("0.2.0"), bench.put("0.3.0"));
        bench.change(|book| {
            book.choose(two);
            book.starts = 0;
            book.choose(three);
        });
        let started: Vec<_> = (0..3).map(|_| bench.starts().unwrap()).collect();
        assert_eq!(started, ["0.3.0", "0.3.0", "0.2.0"], "the first start was the switch itself");
        assert_eq!(bench.shelf.book().unwrap().failed[0].version, "0.3.0");
        assert!((0..9).all(|_| bench.starts().as_deref() == Some("0.2.0")), "that one is known to work");
    }

    #[test]
    fn a_program_is_checked_at_every_start() {
        let bench = bench();
        let two = bench.put("0.2.0");
        bench.change(|book| book.choose(two.clone()));
        let folder = bench.dir.path().join("versions/0.2.0");
        std::fs::write(folder.join(PROGRAM), "0.2.1").unwrap();
        assert_eq!(bench.starts(), None);
        assert!(bench.shelf.book().unwrap().failed[0].reason.contains("not the one that was signed"));
        // A genuine version in another one's folder.
        let three = bench.put("0.3.0");
        std::fs::rename(bench.dir.path().join("versions/0.3.0"), bench.dir.path().join("versions/0.4.0")).unwrap();
        assert!(bench.shelf.check(&Version::new(0, 4, 0)).unwrap_err().contains("holds version 0.3.0"));
        assert!(bench.shelf.check(&three).is_err());
        // Of a key that is trusted no more.
        let five = bench.put("0.5.0");
        assert!(bench.shelf.check(&five).is_ok());
        let other = KeyPair::generate_unencrypted_keypair().unwrap();
        let elsewhere = Shelf::new(&StateDir::at(bench.dir.path()), &[public(&other)]);
        assert!(elsewhere.check(&five).unwrap_err().contains("key"));
    }

    #[test]
    fn what_is_not_needed_goes_and_a_broken_file_is_said() {
        let bench = bench();
        let (two, three) = (bench.put("0.2.0"), bench.put("0.3.0"));
        bench.put("0.4.0");
        std::fs::create_dir(bench.dir.path().join("versions/0.5.0.part")).unwrap();
        bench.shelf.sweep(&[&two, &three]);
        let mut left: Vec<_> =
            std::fs::read_dir(bench.dir.path().join("versions")).unwrap().map(|one| one.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["0.2.0", "0.3.0"]);
        std::fs::write(bench.dir.path().join("updates.json"), "{").unwrap();
        assert!(bench.shelf.at_start(&Version::new(0, 1, 0)).unwrap_err().text.contains("delete it"));
        // A later version may write more than this one knows.
        std::fs::write(bench.dir.path().join("updates.json"), r#"{"current":"0.2.0","later":1}"#).unwrap();
        assert_eq!(bench.starts().as_deref(), Some("0.2.0"));
    }

    #[test]
    fn failures_are_remembered_up_to_a_number() {
        let mut book = Book::default();
        for minor in 0..30 {
            book.fail(&Version::new(0, minor, 0), "x");
        }
        assert_eq!((book.failed.len(), book.failed[0].version.as_str()), (FAILED_MAX, "0.10.0"));
        book.fail(&Version::new(0, 12, 0), "again");
        assert_eq!((book.failed.len(), book.failed.last().unwrap().reason.as_str()), (FAILED_MAX, "again"));
    }
}

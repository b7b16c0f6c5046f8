//! The bridge: the disk component's documents over HTTP (`POST /bridge`, see [`super::component`]) or through a local
//! command that reads one document and writes one ([`run_filter`]), for components that are no Linux program.
//!
//! The command is one process per document. It takes the disk only while the document executes and waits for it when another
//! process has it; a simulator that serves the same folder has it for as long as it runs. Its faults and options are read
//! from `component.json` in the disk's folder, and counted down there.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::clock::{ClockSetting, real_time};
use super::component::{ComponentFaultKind, ComponentFaults, Dialect, Stage, perform};
use super::config::{LimitConfig, Signing, SimConfig};
use super::disk::SimDisk;
use super::markup::MAX_DOCUMENT_BYTES;
use super::nisec::NisecOptions;

/// Path of the bridge over HTTP.
pub const BRIDGE_PATH: &str = "/bridge";
/// Faults and options of the command, in the disk's folder.
pub const COMPONENT_FILE: &str = "component.json";
/// Longest wait for a disk that another process has.
const BUSY_WAIT: Duration = Duration::from_secs(30);
/// Between two tries.
const BUSY_LOOK: Duration = Duration::from_millis(5);

/// What `component.json` holds. A person or a test writes it; no file = no faults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterFile {
    /// Faults that wait.
    pub faults: ComponentFaults,
    /// How the component answers.
    pub options: NisecOptions,
}

impl FilterFile {
    /// Reads the file; no file = the default.
    ///
    /// # Errors
    /// It cannot be read or holds something else.
    pub fn load(state_dir: &Path) -> io::Result<FilterFile> {
        match std::fs::read(state_dir.join(COMPONENT_FILE)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(FilterFile::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes the file whole or not at all. Not synced: faults are for tests, the ledger is the truth.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn save(&self, state_dir: &Path) -> io::Result<()> {
        let temporary = state_dir.join("component.json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(temporary, state_dir.join(COMPONENT_FILE))
    }
}

/// Reads one document to its end, performs it on the disk in `state_dir` (made on first use), writes the answer.
///
/// # Errors
/// The disk cannot be had, the document is longer than 1 MiB, or a fault ended the component. Whether an invoice was issued
/// is then as unknown as with a real component: the ledger tells.
pub fn run_filter(state_dir: &Path, stdin: &mut impl Read, stdout: &mut impl Write) -> io::Result<()> {
    let mut document = Vec::new();
    stdin.take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut document)?;
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a document of more than 1 MiB"));
    }
    let options = FilterFile::load(state_dir)?.options;
    let stage = FilterStage { folder: state_dir.to_owned(), error: RefCell::new(None) };
    let delivery = perform(&stage, &Dialect::Nisec(options), &document);
    if let Some(error) = stage.error.take() {
        return Err(error);
    }
    let delivery = delivery.ok_or_else(|| io::Error::other("the component ended without an answer"))?;
    let end = delivery.cut_after.unwrap_or(usize::MAX).min(delivery.body.len());
    stdout.write_all(delivery.body.get(..end).unwrap_or_default())?;
    stdout.flush()?;
    if delivery.cut_after.is_some() || delivery.status != 200 {
        return Err(io::Error::other("the component failed in its answer"));
    }
    Ok(())
}

/// The disk that a first use makes: that of [`SimConfig::of_a_component`] with network, a running clock and wide limits.
pub fn fresh_disk() -> SimConfig {
    SimConfig {
        clock: ClockSetting::OffsetS(0),
        online: true,
        limits: LimitConfig::default(),
        signing: Signing::Derived,
        state: super::config::DiskState::default(),
        ..SimConfig::of_a_component()
    }
}

struct FilterStage {
    folder: PathBuf,
    error: RefCell<Option<io::Error>>,
}

/// The disk of the folder, made on first use; waits for it while another process has it.
pub(crate) fn open_disk(folder: &Path) -> io::Result<SimDisk> {
    let deadline = Instant::now() + BUSY_WAIT;
    loop {
        match SimDisk::open(folder, &fresh_disk(), real_time()) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(BUSY_LOOK);
            }
            opened => return opened,
        }
    }
}

impl FilterStage {
    fn open(&self) -> Option<SimDisk> {
        open_disk(&self.folder).map_err(|error| self.error.replace(Some(error))).ok()
    }
}

impl Stage for FilterStage {
    fn receive(&self, id: &str) -> Vec<ComponentFaultKind> {
        // The disk's lock also keeps two commands from counting the same fault.
        let Some(_disk) = self.open() else { return Vec::new() };
        let firing = FilterFile::load(&self.folder).and_then(|mut file| {
            let before = file.faults.clone();
            let firing = file.faults.at(id);
            if file.faults != before {
                file.save(&self.folder)?;
            }
            Ok(firing)
        });
        firing.unwrap_or_else(|error| {
            self.error.replace(Some(error));
            Vec::new()
        })
    }

    fn with_disk<T>(&self, work: impl FnOnce(&mut SimDisk) -> T) -> Option<T> {
        if self.error.borrow().is_some() {
            return None;
        }
        self.open().map(|mut disk| work(&mut disk))
    }

    fn execute(&self, _id: &str, work: impl FnOnce(&mut SimDisk) -> Vec<u8>) -> Option<Vec<u8>> {
        self.with_disk(work)
    }

    fn pause(&self, time: Duration) -> bool {
        std::thread::sleep(time);
        true
    }

    fn restart(&self, _off: Duration) {}
}

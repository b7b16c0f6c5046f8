//! What is behind QEMU's own USB devices: the serial converter's far end, where the simulated ZC disk serves, and a blank
//! medium for the stick. Neither device is ours: they say whether our drivers work with what others built.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use taxdisk_drivers::sim::clock::real_time;
use taxdisk_drivers::sim::config::SimConfig;
use taxdisk_drivers::sim::disk::SimDisk;
use taxdisk_drivers::sim::faults::Faults;
use taxdisk_drivers::sim::zc::{ZcDevice, ZcOptions};

/// Bytes of the medium: QEMU wants some.
const MEDIUM_BYTES: u64 = 1 << 20;
/// How long the device sleeps when nothing comes.
const TICK: Duration = Duration::from_millis(5);

/// The far end of the serial converter.
pub(crate) struct Converter {
    socket: PathBuf,
    disk: Arc<Mutex<SimDisk>>,
}

impl Converter {
    /// Listens in `folder`; serves each who comes, one at a time, until the process ends.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub(crate) fn start(folder: &Path) -> Result<Converter, String> {
        let socket = folder.join("converter");
        let listener = UnixListener::bind(&socket).map_err(|error| format!("{}: {error}", socket.display()))?;
        let disk = Arc::new(Mutex::new(SimDisk::in_memory(SimConfig::default(), real_time())));
        let served = Arc::clone(&disk);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // QEMU closed it, or is gone.
                let _ = serve(&stream, &served);
            }
        });
        Ok(Converter { socket, disk })
    }

    /// Where QEMU connects.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Invoices in the ledger of the disk behind it.
    pub(crate) fn issued(&self) -> usize {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).ledger().entries().len()
    }
}

fn serve(mut stream: &UnixStream, disk: &Mutex<SimDisk>) -> std::io::Result<()> {
    let (mut device, mut faults) = (ZcDevice::new(ZcOptions::default()), Faults::default());
    let (started, mut buffer) = (Instant::now(), [0; 4096]);
    stream.set_read_timeout(Some(TICK))?;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => device.receive(&buffer[..count], started.elapsed()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        device.advance(&mut disk.lock().unwrap_or_else(PoisonError::into_inner), &mut faults, started.elapsed());
        stream.write_all(&device.take_output(started.elapsed()))?;
    }
}

/// A medium without anything on it.
///
/// # Errors
/// It cannot be written.
pub(crate) fn blank_medium(path: &Path) -> Result<(), String> {
    let made = File::create(path).and_then(|file| file.set_len(MEDIUM_BYTES));
    made.map_err(|error| format!("{}: {error}", path.display()))
}

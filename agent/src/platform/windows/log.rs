//! Where a service writes its lines: Windows gives it no console. A file that rotates by itself, and the event log for
//! what a person
//! is to see.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::service;

pub(super) use taxdisk_win32::Severity;

/// A file of this size, bytes, becomes an old one.
const FILE_MAX_BYTES: u64 = 5 * 1024 * 1024;
/// So many old ones are kept, as `agent.1.log` and so on.
const OLD_MAX: u32 = 4;
/// The number of all our events: the message file that is always there knows 1 to 1000, and says each as it is.
const EVENT: u32 = 1;

/// Tells whoever looks into the event log.
pub(super) fn report(severity: Severity, text: &str) {
    taxdisk_win32::report(service::NAME, severity, EVENT, text);
}

/// Where lines of the log go: to the console, or to the file of the service.
pub fn log_writer() -> BoxMakeWriter {
    match service::log_file().map(|file| RotatingLog::open(&file)) {
        Some(Ok(log)) => BoxMakeWriter::new(log),
        Some(Err(error)) => {
            report(Severity::Warning, &format!("The log file cannot be opened ({error}); the agent runs without one."));
            BoxMakeWriter::new(io::sink)
        }
        None => BoxMakeWriter::new(io::stderr),
    }
}

/// The log file of a service.
#[derive(Debug, Clone)]
pub struct RotatingLog(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl RotatingLog {
    /// Goes on where the file ends.
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(path: &Path) -> io::Result<RotatingLog> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (file, bytes) = append(path)?;
        Ok(RotatingLog(Arc::new(Mutex::new(Open { path: path.to_owned(), file, bytes }))))
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

impl Open {
    /// A file that cannot be moved (somebody reads it) is written to as before.
    fn rotate(&mut self) {
        let old = |number: u32| self.path.with_extension(format!("{number}.log"));
        for number in (1..OLD_MAX).rev() {
            let _ = std::fs::rename(old(number), old(number + 1));
        }
        let _ = std::fs::rename(&self.path, old(1));
        if let Ok((file, bytes)) = append(&self.path) {
            (self.file, self.bytes) = (file, bytes);
        }
    }
}

impl Write for &RotatingLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes >= FILE_MAX_BYTES {
            open.rotate();
        }
        let count = open.file.write(line)?;
        open.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for RotatingLog {
    type Writer = &'a RotatingLog;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

//! What differs between operating systems under the agent: durable files, who may read them, the clocks, what stops it, how it is
//! asked how it is, how it is a service. One module per system, with the same names in each; whoever calls them does not
//! know which one it is.
//!
//! # Durable files
//!
//! The journal's promise is the same on both systems: a record counts once the drive itself confirmed it.
//!
//! * **Linux**: sled's `flush` ends in `sync_file_range`, which never reaches the drive's cache; the journal calls `fdatasync`
//!   after it.
//! * **Windows**: sled 0.34.7 ends each flush with `File::sync_all` (`pagecache/iobuf.rs`, the branch for other systems than
//!   Linux), which is `FlushFileBuffers` and reaches the drive's cache. The journal's own barrier comes after it all the same:
//!   `sync_data` is `FlushFileBuffers` too, over a second handle of the same file, and it needs one that may write. So the
//!   promise does not rest on sled.
//! * **Names**: Linux makes a new or renamed name durable by `fsync` on its folder. Windows has no such call; NTFS logs changes
//!   of names in order, and `FlushFileBuffers` on a file writes that log up to the file's own newest entry. So a file is flushed
//!   once more under its new name ([`settle_name`]). A file system without such a log (FAT) must not hold the state folder.
//! * **Locks** on Windows are mandatory: sled's lock on `db` keeps every other handle from reading and writing it, not from
//!   flushing.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

#[cfg(any(windows, test))]
mod access;

use std::path::PathBuf;

/// How to go to the background, where a system has one without a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Background {
    /// Gets the number of the process.
    pub pid_file: PathBuf,
    /// Gets the log.
    pub log_file: PathBuf,
}

/// Room on the file system of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For this user, bytes.
    pub free_bytes: u64,
    /// Files that it can hold in all; 0 where that is not counted.
    pub files: u64,
    /// Files that can still be made.
    pub free_files: u64,
}

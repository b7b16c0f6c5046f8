//! Log lines with fields for the systemd journal, where standard error is that journal.
//!
//! What it refuses to do: to send elsewhere than where the lines would have gone. A program that was started by hand, or whose
//! standard error was led into a file, is not in the journal because a variable was inherited.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use tracing_journald::{Priority, PriorityMappings};

/// By it systemd says which stream is the journal: device and inode (systemd.exec(5)).
const VARIABLE: &str = "JOURNAL_STREAM";
/// Begins the names of our fields in the journal: `TAXDISK_TRACE_ID=…`. Others write fields there too.
pub const PREFIX: &str = "TAXDISK";

/// Writes events to the journal; their fields begin with [`PREFIX`].
///
/// # Errors
/// Standard error is not the journal, or the journal does not listen: a sentence for whoever set `[log] format`. Lines on
/// standard error are to be written then.
pub fn layer() -> Result<tracing_journald::Layer, String> {
    let said = std::env::var(VARIABLE).ok();
    if !is_stream(said.as_deref(), std::io::stderr().as_fd()) {
        return Err("standard error is not the systemd journal; lines of text are written".to_owned());
    }
    let layer = tracing_journald::layer();
    let layer = layer.map_err(|error| format!("the systemd journal does not listen ({error}); lines of text are written"))?;
    // What is said of every day is no notice, which some monitors show.
    let priorities = PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
    Ok(layer.with_field_prefix(Some(PREFIX.to_owned())).with_priority_mappings(priorities))
}

/// Whether the stream that systemd names is this one.
fn is_stream(said: Option<&str>, stream: BorrowedFd<'_>) -> bool {
    let Some((device, inode)) = said.and_then(|said| said.split_once(':')) else { return false };
    let Ok(found) = stream.try_clone_to_owned().map(File::from).and_then(|file| file.metadata()) else { return false };
    device.parse() == Ok(found.dev()) && inode.parse() == Ok(found.ino())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn only_the_very_stream_that_systemd_names_is_the_journal() {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, other) = (OwnedFd::from(one), OwnedFd::from(other));
        let known = File::from(one.try_clone().unwrap()).metadata().unwrap();
        let said = format!("{}:{}", known.dev(), known.ino());
        assert!(is_stream(Some(&said), one.as_fd()));
        // Led into a file or another pipe, as `--daemon` does, with the variable inherited.
        assert!(!is_stream(Some(&said), other.as_fd()));
        assert!(!is_stream(None, one.as_fd()), "started by hand");
        for wrong in ["", ":", "1", &format!("{}:", known.dev()), &format!("{}:x", known.dev()), &format!("x:{}", known.ino())] {
            assert!(!is_stream(Some(wrong), one.as_fd()), "{wrong}");
        }
    }

    #[test]
    fn a_test_is_not_in_the_journal_and_says_so() {
        let why = layer().map(|_| ()).unwrap_err();
        assert!(why.contains("lines of text are written"), "{why}");
    }
}

//! Small files that others read: written beside their place, made durable and renamed, so that nobody ever sees half of one.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use crate::platform;

/// Writes a file at once, with these modes. If we stop before the rename, the old file stands and a `.new` beside it is
/// overwritten next time; after it, the new one stands.
///
/// # Errors
/// As the file system says.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?.to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    // A left-over with wider modes must not lend them to the new content.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = platform::with_mode(OpenOptions::new().write(true).create_new(true), mode).open(&fresh)?;
    platform::protect(&fresh, mode)?;
    file.write_all(content)?;
    file.sync_all()?;
    // Windows does not rename what is open.
    drop(file);
    platform::replace(&fresh, path)?;
    platform::settle_name(path)
}

/// Tells whoever waits that the agent is up: `{"status":"up"}`.
///
/// # Errors
/// As the file system says.
pub fn announce(path: &Path) -> io::Result<()> {
    write_atomic(path, b"{\"status\":\"up\"}\n", 0o644)
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn content_and_modes_are_replaced_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        announce(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"status\":\"up\"}\n");
        std::fs::write(dir.path().join("ready.json.new"), "left over").unwrap();
        write_atomic(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

//! The archive that Linux unpacks as its first file system: cpio in its `newc` form (Documentation/driver-api/early-userspace
//! of the kernel). Only folders and plain files; no owners, no times.

use std::collections::BTreeSet;
use std::io::{self, Write};

/// `S_IFDIR` with rwxr-xr-x.
const FOLDER_MODE: u32 = 0o040_755;
/// `S_IFREG` with rwxr-xr-x.
const FILE_MODE: u32 = 0o100_755;
/// Name of the last entry.
const TRAILER: &str = "TRAILER!!!";

/// Writes entries one after the other; [`Archive::finish`] ends it.
pub(crate) struct Archive<W> {
    to: W,
    entries: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(to: W) -> Archive<W> {
        Archive { to, entries: 0, folders: BTreeSet::new() }
    }

    /// A folder and those above it, each once.
    ///
    /// # Errors
    /// Writing fails.
    pub(crate) fn folder(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above)?;
        }
        self.folders.insert(path.to_owned());
        self.entry(path, FOLDER_MODE, &[])
    }

    /// A file, everybody may run it, and the folders above it.
    ///
    /// # Errors
    /// Writing fails, or the content is longer than the format can say (4 GiB).
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        let path = path.trim_matches('/');
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above)?;
        }
        self.entry(path, FILE_MODE, content)
    }

    /// The last entry.
    ///
    /// # Errors
    /// Writing fails.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.entry(TRAILER, 0, &[])?;
        self.to.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::other(format!("{name} is too long for this archive"));
        let (size, name_size) =
            (u32::try_from(content.len()).map_err(too_long)?, u32::try_from(name.len() + 1).map_err(too_long)?);
        self.entries += 1;
        // Magic, then thirteen fields: inode, mode, owner, group, links, time, size, four device numbers, name size, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut head = b"070701".to_vec();
        for field in fields {
            write!(head, "{field:08X}")?;
        }
        head.extend_from_slice(name.as_bytes());
        head.push(0);
        pad(&mut head);
        self.to.write_all(&head)?;
        self.to.write_all(content)?;
        self.to.write_all(&[0; 3][..content.len().wrapping_neg() % 4])
    }
}

/// To a multiple of four bytes, as the format wants it after the name and after the content.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_bytes_that_the_format_prescribes() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("a/b", b"hello").unwrap();
        archive.finish().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let zero = "00000000";
        let folder = format!("070701{:08X}000041ED{zero}{zero}00000001{zero}{zero}{zero}{zero}{zero}{zero}00000002{zero}a\0", 1);
        assert_eq!(&text[..112], folder, "110 bytes, the name, no padding");
        let file = &text[112..];
        assert!(file.starts_with("07070100000002000081ED"), "{file}");
        assert_eq!(&file[54..62], "00000005", "the size of the content");
        assert_eq!(&file[94..102], "00000004", "the size of the name with its end");
        assert_eq!(&file[110..124], "a/b\0\0\0hello\0\0\0");
        assert!(text.contains("TRAILER!!!\0") && bytes.len() % 4 == 0);
    }

    #[test]
    fn a_folder_is_entered_once_and_before_what_is_in_it() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("/lib/x/1", b"").unwrap();
        archive.file("/lib/x/2", b"").unwrap();
        archive.folder("/lib").unwrap();
        archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("070701").count(), 5, "lib, x, 1, 2 and the last");
        assert!(text.find("lib\0") < text.find("lib/x\0") && text.find("lib/x\0") < text.find("lib/x/1\0"));
    }
}

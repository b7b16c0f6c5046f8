//! A file system of its own for a test: it can be full, or read-only, as the kernel says it. Needs root.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs, gone with the test.
pub struct Drive(PathBuf);

impl Drive {
    /// A new one of this size (as `mount` writes it) at this folder.
    pub fn mount(at: PathBuf, size: &str) -> Drive {
        assert!(rustix::process::geteuid().is_root(), "a drive of its own needs root");
        std::fs::create_dir_all(&at).unwrap();
        let drive = Drive(at);
        drive.command(&["mount", "-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"]);
        drive
    }

    /// Mounts it anew with these options: `size=1g`, `ro`, `rw`.
    pub fn remount(&self, options: &str) {
        self.command(&["mount", "-o", &format!("remount,{options}")]);
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all room that is left, until what is given back is dropped.
    pub fn fill(&self) -> Ballast {
        let ballast = Ballast(self.0.join("ballast"));
        let mut file = std::fs::File::create(&ballast.0).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        ballast
    }

    fn command(&self, words: &[&str]) {
        let status = Command::new(words[0]).args(&words[1..]).arg(&self.0).status().unwrap();
        assert!(status.success(), "{words:?}");
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        // A process of the test may still look at it: it goes when that ends.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// The file that takes all room.
pub struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

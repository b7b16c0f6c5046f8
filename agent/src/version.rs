//! The version of this program, in one place: it is said at the link, in `status`, and in the proof of an update.

use std::sync::OnceLock;

use semver::Version;

/// As text.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| appended().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()))
}

/// As a version that can be compared.
pub fn parsed() -> Version {
    text().parse().expect("Cargo accepts no other text for a version")
}

#[cfg(not(feature = "fault-points"))]
fn appended() -> Option<String> {
    None
}

/// Tests make other versions of this very program: they append a line to its file, which the system's loader leaves alone.
#[cfg(feature = "fault-points")]
fn appended() -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};

    const MARK: &str = "\ntaxdisk-test-version:";
    let mut file = std::fs::File::open(std::env::current_exe().ok()?).ok()?;
    file.seek(SeekFrom::End(-64)).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail).into_owned();
    let (_, version) = tail.rsplit_once(MARK)?;
    version.trim_end().parse::<Version>().ok().map(|version| version.to_string())
}

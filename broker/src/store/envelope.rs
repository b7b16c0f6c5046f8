//! A file sealed as a whole, for copies that leave the machine: what it is, how much of it there is and in which order.
//!
//! A head in the plain names the key; then chunks of 64 KiB, each sealed with AES-256-GCM for its place and for whether it is the
//! last one (STREAM, of Hoang, Reyhanitabar, Rogaway and Vizár): a chunk that was changed, exchanged, left out or cut off is no
//! chunk of this file. The key is made for this file alone, from the key of the key file and the head with its random salt.
//!
//! What it refuses to do: leave a file behind that was not opened to its end.
//!
//! Read first: [`seal`], [`open`].

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;

use aead_stream::{Key, NewStream as _, Nonce, StreamBE32, StreamPrimitive as _};
use aes_gcm::Aes256Gcm;
use taxdisk_web::keyring::{ID_CHARS, Keyring};

/// Begins a sealed file. No SQLite file does.
const MAGIC: &[u8] = b"taxdisk-sealed-copy-1\n";
/// Random bytes of a head.
const SALT_BYTES: usize = 32;
/// Bytes of a chunk in the plain; the last one may have fewer.
const CHUNK_BYTES: usize = 64 * 1024;
/// What sealing adds to a chunk, bytes.
const TAG_BYTES: usize = 16;

/// Why a file was not sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Its key is not there.
    #[error(
        "it is sealed with the key {0}, which is not in the key file (store.key_file): put that key back; the file is as good as \
         it was"
    )]
    NoKey(String),
    /// Not even its first chunk opens.
    #[error(
        "its beginning does not open with the key {0}: the file was changed, or the key file has another key under this name; try \
         the key file that was in use when it was made, or another copy"
    )]
    WrongKey(String),
    /// A chunk is not the one that was written there.
    #[error("it was changed at byte {0}: what stands there is not what was written there; use another copy")]
    Changed(u64),
    /// Its end is missing. Of a last chunk that does not open nobody can say more.
    #[error(
        "it ends at byte {0}, and that is not the end that was written: it was cut off, or its end was changed; fetch it again \
         from where it was taken, or use another copy"
    )]
    Cut(u64),
    /// More than can be counted.
    #[error("it is too large to be sealed in one file")]
    TooLarge,
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

type Stream = StreamBE32<Aes256Gcm>;

/// The stream of this file's key. Its key is used for nothing else, so the nonce may be the same in every file.
fn stream(keys: &Keyring, id: &str, head: &[u8]) -> Option<Stream> {
    let key = keys.derived(id, &head[head.len().saturating_sub(SALT_BYTES)..], head)?;
    Some(Stream::new(&Key::<Aes256Gcm>::from(key), &Nonce::<Aes256Gcm, Stream>::default()))
}

/// Is a file sealed as a whole?
///
/// # Errors
/// It cannot be read.
pub fn is_sealed(file: &Path) -> io::Result<bool> {
    let mut begin = Vec::with_capacity(MAGIC.len());
    File::open(file)?.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok(begin == MAGIC)
}

/// Reads as much as there is, a chunk at most.
fn chunk(from: &mut impl io::Read, bytes: usize, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    from.take(bytes as u64).read_to_end(into).map(drop)
}

/// Seals a file into another one, which is there and empty, with the newest key. Nothing is on the medium yet when this returns.
///
/// # Errors
/// See [`EnvelopeError`].
pub fn seal(from: &Path, to: &Path, keys: &Keyring) -> Result<(), EnvelopeError> {
    let id = keys.current().ok_or_else(|| EnvelopeError::NoKey(String::new()))?;
    let head = [MAGIC, id.as_bytes(), b"\n", &rand::random::<[u8; SALT_BYTES]>()].concat();
    let stream = stream(keys, id, &head).ok_or_else(|| EnvelopeError::NoKey(id.to_owned()))?;
    let mut from = BufReader::new(File::open(from)?);
    let mut to = File::options().write(true).truncate(true).open(to)?;
    to.write_all(&head)?;
    let (mut place, mut bytes) = (0_u32, Vec::with_capacity(CHUNK_BYTES + TAG_BYTES));
    loop {
        chunk(&mut from, CHUNK_BYTES, &mut bytes)?;
        let last = from.fill_buf()?.is_empty();
        stream.encrypt_in_place(place, last, b"", &mut bytes).map_err(|_| EnvelopeError::TooLarge)?;
        to.write_all(&bytes)?;
        if last {
            return Ok(());
        }
        place = place.checked_add(1).ok_or(EnvelopeError::TooLarge)?;
    }
}

/// Opens a sealed file into another one, which is there. Only when this returns well, that is what was sealed.
///
/// # Errors
/// See [`EnvelopeError`].
pub fn open(from: &Path, to: &Path, keys: &Keyring) -> Result<(), EnvelopeError> {
    let mut from = BufReader::new(File::open(from)?);
    let mut head = Vec::new();
    chunk(&mut from, MAGIC.len(), &mut head)?;
    let mut id = Vec::new();
    (&mut from).take(ID_CHARS as u64 + 1).read_until(b'\n', &mut id)?;
    let mut salt = Vec::new();
    chunk(&mut from, SALT_BYTES, &mut salt)?;
    if salt.len() < SALT_BYTES || !id.ends_with(b"\n") {
        return Err(EnvelopeError::Cut((head.len() + id.len() + salt.len()) as u64));
    }
    let head = [head, id.clone(), salt].concat();
    let id = String::from_utf8_lossy(&id).trim_end().to_owned();
    let stream = stream(keys, &id, &head).ok_or_else(|| EnvelopeError::NoKey(id.clone()))?;
    let mut to = File::options().write(true).truncate(true).open(to)?;
    let (mut place, mut at) = (0_u32, head.len() as u64);
    let mut bytes = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
    loop {
        chunk(&mut from, CHUNK_BYTES + TAG_BYTES, &mut bytes)?;
        let (read, last) = (bytes.len() as u64, from.fill_buf()?.is_empty());
        let sealed = last.then(|| bytes.clone());
        if stream.decrypt_in_place(place, last, b"", &mut bytes).is_err() {
            // One that was not the last when it was sealed: the rest is gone. Of a part of one nobody can say more.
            let cut = sealed.is_some_and(|mut sealed| {
                sealed.len() < CHUNK_BYTES + TAG_BYTES || stream.decrypt_in_place(place, false, b"", &mut sealed).is_ok()
            });
            return Err(match (place, cut) {
                (_, true) => EnvelopeError::Cut(at + read),
                (0, false) => EnvelopeError::WrongKey(id),
                (_, false) => EnvelopeError::Changed(at),
            });
        }
        to.write_all(&bytes)?;
        if last {
            return Ok(());
        }
        (place, at) = (place.checked_add(1).ok_or(EnvelopeError::TooLarge)?, at + read);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use taxdisk_web::keyring::new_key;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        keys: Keyring,
    }

    impl Place {
        fn new() -> Place {
            Place { folder: tempfile::tempdir().unwrap(), keys: Keyring::parse(&new_key().unwrap()).unwrap() }
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let file = self.folder.path().join(name);
            std::fs::write(&file, bytes).unwrap();
            file
        }

        fn sealed(&self, plain: &[u8]) -> Vec<u8> {
            let sealed = self.file("sealed", b"");
            seal(&self.file("plain", plain), &sealed, &self.keys).unwrap();
            assert!(is_sealed(&sealed).unwrap());
            std::fs::read(sealed).unwrap()
        }

        fn opened_with(&self, sealed: &[u8], keys: &Keyring) -> Result<Vec<u8>, EnvelopeError> {
            let opened = self.file("opened", b"");
            open(&self.file("given", sealed), &opened, keys).map(|()| std::fs::read(opened).unwrap())
        }

        fn opened(&self, sealed: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
            self.opened_with(sealed, &self.keys)
        }

        /// Bytes of the head.
        fn head(&self) -> usize {
            MAGIC.len() + self.keys.current().unwrap().len() + 1 + SALT_BYTES
        }
    }

    fn text(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|place| u8::try_from(place / 7 % 251).unwrap()).collect()
    }

    #[test]
    fn a_file_of_any_length_comes_back_and_is_nowhere_in_what_was_sealed() {
        let place = Place::new();
        for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let plain = text(bytes);
            let sealed = place.sealed(&plain);
            let chunks = bytes.div_ceil(CHUNK_BYTES).max(1);
            assert_eq!(sealed.len(), place.head() + bytes + chunks * TAG_BYTES, "{bytes}");
            assert_eq!(place.opened(&sealed).unwrap(), plain, "{bytes}");
            assert!(bytes < 100 || !sealed.windows(50).any(|window| window == &plain[..50]), "{bytes}");
        }
        assert_ne!(place.sealed(b"one"), place.sealed(b"one"), "another key for every file");
        assert!(!is_sealed(&place.file("plain", b"SQLite format 3\0")).unwrap());
    }

    #[test]
    fn a_file_that_is_not_whole_is_not_opened_wherever_it_was_cut() {
        let place = Place::new();
        let sealed = place.sealed(&text(2 * CHUNK_BYTES + 100));
        let (head, whole) = (place.head(), CHUNK_BYTES + TAG_BYTES);
        for left in
            [head + 2 * whole, head + whole, head + whole + 1, head + 2 * whole + 40, sealed.len() - 1, head, head - 1, 30]
        {
            let cut = place.opened(&sealed[..left]);
            assert!(matches!(cut, Err(EnvelopeError::Cut(at)) if at == left as u64), "{left}: {cut:?}");
        }
    }

    #[test]
    fn a_chunk_that_was_changed_exchanged_or_taken_from_another_file_is_not_opened() {
        let place = Place::new();
        let plain = text(3 * CHUNK_BYTES + 100);
        let (sealed, other) = (place.sealed(&plain), place.sealed(&plain));
        let (head, whole) = (place.head(), CHUNK_BYTES + TAG_BYTES);
        let range = |n: usize| head + n * whole..head + (n + 1) * whole;
        let mut bit = sealed.clone();
        bit[head + whole + 5] ^= 1;
        let mut exchanged = sealed.clone();
        exchanged[range(1)].copy_from_slice(&sealed[range(2)]);
        exchanged[range(2)].copy_from_slice(&sealed[range(1)]);
        let mut foreign = sealed.clone();
        foreign[range(1)].copy_from_slice(&other[range(1)]);
        let without = [&sealed[..head + whole], &sealed[head + 2 * whole..]].concat();
        for (what, changed) in [("bit", bit), ("exchanged", exchanged), ("foreign", foreign), ("without", without)] {
            let opened = place.opened(&changed);
            let at = (head + whole) as u64;
            assert!(matches!(opened, Err(EnvelopeError::Changed(place)) if place == at), "{what}: {opened:?}");
        }
        let longer = [sealed.as_slice(), b"more"].concat();
        assert!(place.opened(&longer).is_err(), "what comes behind the last chunk");
    }

    #[test]
    fn a_wrong_key_opens_nothing_and_the_error_names_the_right_one() {
        let place = Place::new();
        let sealed = place.sealed(b"one");
        let id = place.keys.current().unwrap();
        for lost in [Keyring::default(), Keyring::parse(&new_key().unwrap()).unwrap()] {
            let refused = place.opened_with(&sealed, &lost).unwrap_err();
            assert!(matches!(&refused, EnvelopeError::NoKey(named) if named == id), "{refused}");
        }
        let other = format!("{id} {}", new_key().unwrap().split_once(' ').unwrap().1);
        let namesake = place.opened_with(&sealed, &Keyring::parse(&other).unwrap()).unwrap_err();
        assert!(matches!(&namesake, EnvelopeError::Cut(_) | EnvelopeError::WrongKey(_)), "{namesake}");
        let mut head = place.sealed(&text(2 * CHUNK_BYTES));
        head[place.head() - 1] ^= 1;
        assert!(matches!(place.opened(&head), Err(EnvelopeError::WrongKey(_))), "the head is sealed in every chunk");
    }
}

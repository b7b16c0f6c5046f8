//! What a program did to its files, as `strace` saw it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls that change what a drive holds, and those that say where the next one writes.
const CALLS: &str = "openat,open,creat,close,lseek,write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,fallocate,copy_file_range,\
sendfile,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat";
/// Begins a line that the program prints when something is durable, by its own word; a number follows.
const CONFIRMED: &str = "confirmed ";

/// One thing that happened, in the order in which it happened. A call that took a while happened when it came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A file is there; it is made if it was not.
    Made(PathBuf),
    /// A folder was made.
    Folder(PathBuf),
    /// Bytes.
    Wrote {
        /// File.
        path: PathBuf,
        /// Where.
        offset: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// The file has this length now.
    Length {
        /// File.
        path: PathBuf,
        /// Bytes.
        bytes: usize,
    },
    /// Another name.
    Moved(PathBuf, PathBuf),
    /// No name any more.
    Gone(PathBuf),
    /// What is written from here on, this flush need not keep.
    FlushBegins {
        /// Thread.
        thread: u32,
        /// File or folder.
        path: PathBuf,
    },
    /// The flush came back well.
    FlushEnds {
        /// Thread.
        thread: u32,
    },
    /// The program said so.
    Confirmed(u64),
}

/// A recording.
#[derive(Debug)]
pub struct Recording {
    /// The folder that it is about.
    pub folder: PathBuf,
    /// What happened.
    pub calls: Vec<Call>,
}

/// Runs a program under `strace` and lists what it did below `folder`, and what it confirmed on its standard output.
///
/// # Panics
/// `strace` is missing, the program fails, or it did something to its files that is not understood here: a recording with a
/// hole would prove what is not so.
pub fn record(program: &Path, words: &[&str], folder: &Path) -> Recording {
    let listing = tempfile::NamedTempFile::new().expect("a file for the list");
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "33554432", "-e", &format!("trace={CALLS}"), "-o"])
        .arg(listing.path())
        .arg(program)
        .args(words)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("strace (Debian: strace) is installed");
    assert!(status.success(), "{} under strace: {status}", program.display());
    let text = std::fs::read_to_string(listing.path()).expect("strace writes its list");
    let mut reader = Reader { folder: folder.to_owned(), begun: BTreeMap::new(), places: BTreeMap::new(), calls: Vec::new() };
    text.lines().for_each(|line| reader.line(line));
    Recording { folder: folder.to_owned(), calls: reader.calls }
}

struct Reader {
    folder: PathBuf,
    /// Calls that did not come back yet, by thread.
    begun: BTreeMap<u32, String>,
    /// Where an open file is written next, by its descriptor.
    places: BTreeMap<u32, usize>,
    calls: Vec<Call>,
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// `3</path>`.
    Descriptor(u32, PathBuf),
    /// A text in quotes.
    Bytes(Vec<u8>),
    /// Anything else, as it stands.
    Plain(String),
}

impl Word {
    fn number(&self) -> usize {
        match self {
            Word::Plain(text) => text.parse().unwrap_or_else(|_| panic!("no number: {text}")),
            other => panic!("no number: {other:?}"),
        }
    }
}

impl Reader {
    fn line(&mut self, line: &str) {
        let Some((thread, rest)) = line.split_once(' ') else { return };
        let Ok(thread) = thread.parse::<u32>() else { return };
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            return;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, more) = resumed.split_once(" resumed>").expect("a call that comes back");
            let Some(begun) = self.begun.remove(&thread) else { return };
            return self.call(thread, &format!("{begun}{more}"), true);
        }
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            self.begun.insert(thread, begun.to_owned());
            return self.begins(thread, begun);
        }
        self.call(thread, rest, false);
    }

    /// What holds from the beginning of a call on: how much a flush keeps, and that something is said to be durable.
    fn begins(&mut self, thread: u32, call: &str) {
        let Some((name, words)) = call.split_once('(') else { return };
        let words = words_of(words);
        match (name, words.as_slice()) {
            ("fsync" | "fdatasync", [Word::Descriptor(_, path), ..]) => {
                self.calls.push(Call::FlushBegins { thread, path: path.clone() });
            }
            ("write", [Word::Descriptor(1, _), Word::Bytes(bytes), ..]) => {
                let text = String::from_utf8_lossy(bytes);
                if let Some(count) = text.strip_prefix(CONFIRMED) {
                    self.calls.push(Call::Confirmed(count.trim().parse().expect("a number was confirmed")));
                }
            }
            _ => {}
        }
    }

    /// A call that came back.
    fn call(&mut self, thread: u32, call: &str, has_begun: bool) {
        if !has_begun {
            self.begins(thread, call);
        }
        let Some((call, result)) = call.rsplit_once(" = ") else { return };
        // `-1 ENOENT (…)`, or `3</path>`, or a count.
        if result.starts_with('-') || result.starts_with('?') {
            return;
        }
        let (name, words) = call.split_once('(').expect("a call has arguments");
        let words = words_of(words.trim_end().strip_suffix(')').unwrap_or(words));
        let count = || result.split_whitespace().next().and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
        match (name, words.as_slice()) {
            ("open" | "openat" | "creat", words) => self.opened(words, result),
            ("close", [Word::Descriptor(descriptor, _), ..]) => drop(self.places.remove(descriptor)),
            ("lseek", [Word::Descriptor(descriptor, _), ..]) => drop(self.places.insert(*descriptor, count())),
            ("pwrite64", [Word::Descriptor(_, path), Word::Bytes(bytes), _, offset, ..]) if self.is_ours(path) => {
                let (path, bytes, offset) = (path.clone(), bytes[..count()].to_vec(), offset.number());
                self.calls.push(Call::Wrote { path, offset, bytes });
            }
            ("write", [Word::Descriptor(descriptor, path), Word::Bytes(bytes), ..]) if self.is_ours(path) => {
                let (path, bytes) = (path.clone(), bytes[..count()].to_vec());
                let place = self.places.entry(*descriptor).or_default();
                let offset = *place;
                *place += bytes.len();
                self.calls.push(Call::Wrote { path, offset, bytes });
            }
            ("ftruncate", [Word::Descriptor(_, path), length, ..]) if self.is_ours(path) => {
                self.calls.push(Call::Length { path: path.clone(), bytes: length.number() });
            }
            ("truncate", [Word::Bytes(path), length, ..]) => {
                let path = path_of(path);
                self.calls.push(Call::Length { path, bytes: length.number() });
            }
            ("fsync" | "fdatasync", _) => self.calls.push(Call::FlushEnds { thread }),
            ("mkdir", [Word::Bytes(path), ..]) | ("mkdirat", [_, Word::Bytes(path), ..]) => {
                self.calls.push(Call::Folder(path_of(path)));
            }
            ("rename", [Word::Bytes(from), Word::Bytes(to), ..])
            | ("renameat" | "renameat2", [_, Word::Bytes(from), _, Word::Bytes(to), ..]) => {
                self.calls.push(Call::Moved(path_of(from), path_of(to)));
            }
            ("unlink", [Word::Bytes(path), ..]) | ("unlinkat", [_, Word::Bytes(path), ..]) => {
                self.calls.push(Call::Gone(path_of(path)));
            }
            (name, words) => {
                let ours = |word: &Word| match word {
                    Word::Descriptor(_, path) => self.is_ours(path),
                    Word::Bytes(path) => self.is_ours(&path_of(path)),
                    Word::Plain(_) => false,
                };
                assert!(!words.iter().any(ours), "{name} on a file of the program is not understood: {words:?}");
            }
        }
    }

    fn opened(&mut self, words: &[Word], result: &str) {
        let Some(path) = words.iter().find_map(|word| if let Word::Bytes(path) = word { Some(path_of(path)) } else { None })
        else {
            return;
        };
        let flags: Vec<&str> =
            words.iter().filter_map(|word| if let Word::Plain(text) = word { Some(text.as_str()) } else { None }).collect();
        let has = |flag: &str| flags.iter().any(|flags| flags.split('|').any(|one| one == flag));
        if let Some(Word::Descriptor(descriptor, _)) = words_of(result).first() {
            assert!(!(has("O_APPEND") && self.is_ours(&path)), "{}: appending is not understood", path.display());
            self.places.insert(*descriptor, 0);
        }
        if self.is_ours(&path) {
            if has("O_CREAT") {
                self.calls.push(Call::Made(path.clone()));
            }
            if has("O_TRUNC") {
                self.calls.push(Call::Length { path, bytes: 0 });
            }
        }
    }

    /// The shared memory of SQLite's write-ahead log is none of it: who opens a database first makes it anew.
    fn is_ours(&self, path: &Path) -> bool {
        path.starts_with(&self.folder) && !path.to_string_lossy().ends_with("-shm")
    }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

/// The arguments of a call, as `strace -y -xx` writes them.
fn words_of(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, more) = word_of(rest);
        words.push(word);
        rest = more.trim_start().strip_prefix(',').unwrap_or("").trim_start();
    }
    words
}

fn word_of(text: &str) -> (Word, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"').expect("a text ends");
        return (Word::Bytes(unhex(&quoted[..end])), quoted[end + 1..].trim_start_matches('.'));
    }
    let digits = text.len() - text.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    if let (Ok(number), Some(named)) = (text[..digits].parse(), text[digits..].strip_prefix('<')) {
        let end = named.find('>').expect("a name ends");
        // Of what is no file strace says more behind the name.
        let after = named[end + 1..].find(',').map_or("", |comma| &named[end + 1 + comma..]);
        let name = named[..end].strip_suffix("(deleted)").unwrap_or(&named[..end]);
        let name = if name.starts_with("\\x") { path_of(&unhex(name)) } else { PathBuf::from(name) };
        return (Word::Descriptor(number, name), after);
    }
    let end = text.find(',').unwrap_or(text.len());
    (Word::Plain(text[..end].trim().to_owned()), &text[end..])
}

/// `\x61\x62`.
fn unhex(text: &str) -> Vec<u8> {
    let pairs: String = text.split("\\x").collect();
    hex::decode(&pairs).unwrap_or_else(|_| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_strace_is_read_with_calls_that_come_back_late() {
        let mut reader = Reader { folder: "/d".into(), begun: BTreeMap::new(), places: BTreeMap::new(), calls: Vec::new() };
        let list = r#"
7 openat(AT_FDCWD</>, "\x2f\x64\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3</d/a>
7 openat(AT_FDCWD</>, "\x2f\x65", O_RDWR|O_CREAT, 0644) = 4</e>
7 openat(AT_FDCWD</>, "\x2f\x64\x2f\x7a", O_RDONLY) = -1 ENOENT (No such file or directory)
7 pwrite64(3</d/a>, "\x61\x62\x63", 3, 512) = 2
8 fdatasync(3</d/a> <unfinished ...>
7 write(3</d/a>, "\x78", 1) = 1
7 write(3</d/a>, "\x79", 1) = 1
8 <... fdatasync resumed>) = 0
7 write(1<pipe:[1]>, "\x63\x6f\x6e\x66\x69\x72\x6d\x65\x64\x20\x31\x32\x0a", 13) = 13
7 write(4</e>, "\x79", 1) = 1
7 ftruncate(3</d/a>, 4096) = 0
7 rename("\x2f\x64\x2f\x61", "\x2f\x64\x2f\x62") = 0
7 +++ exited with 0 +++"#;
        list.lines().for_each(|line| reader.line(line));
        let path = || PathBuf::from("/d/a");
        assert_eq!(
            reader.calls,
            [
                Call::Made(path()),
                Call::Wrote { path: path(), offset: 512, bytes: b"ab".to_vec() },
                Call::FlushBegins { thread: 8, path: path() },
                Call::Wrote { path: path(), offset: 0, bytes: b"x".to_vec() },
                Call::Wrote { path: path(), offset: 1, bytes: b"y".to_vec() },
                Call::FlushEnds { thread: 8 },
                Call::Confirmed(12),
                Call::Length { path: path(), bytes: 4096 },
                Call::Moved(path(), "/d/b".into()),
            ]
        );
    }

    #[test]
    #[should_panic(expected = "fallocate on a file of the program is not understood")]
    fn what_is_not_understood_is_no_recording() {
        let (begun, places) = (BTreeMap::new(), BTreeMap::new());
        let mut reader = Reader { folder: "/d".into(), begun, places, calls: Vec::new() };
        reader.line("7 fallocate(3</d/a>, 0, 0, 4096) = 0");
    }
}

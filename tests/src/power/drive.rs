//! The drive: what is safe on it, what is not yet, and what a loss of power may leave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::Rng;

use super::recording::Call;

/// A drive writes so much at once, bytes: all of it or nothing, unless it tears sectors ([`Kept::torn`]).
const SECTOR: usize = 512;

/// A change of a file that was not flushed.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Default)]
struct Node {
    safe: Vec<u8>,
    pending: Vec<Change>,
    /// How many changes became safe before these.
    kept: usize,
}

/// A change of a folder that was not flushed.
#[derive(Debug, Clone)]
enum Name {
    Made(PathBuf, usize),
    Folder(PathBuf),
    Moved(PathBuf, PathBuf),
    Gone(PathBuf),
}

/// A file, or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(usize),
    Folder,
}

type Names = BTreeMap<PathBuf, Entry>;

/// A drive, as far as it is below one folder.
#[derive(Debug)]
pub struct Drive {
    root: PathBuf,
    nodes: Vec<Node>,
    /// As the program sees them.
    names: Names,
    safe_names: Names,
    /// With their places among all changes of names.
    pending: Vec<(usize, Name)>,
    renamed: usize,
    /// Flushes under way, by the thread: the file or folder, and the place of the first change that they do not keep.
    flushing: BTreeMap<u32, (PathBuf, usize)>,
    /// A sector may be torn inside.
    tears: bool,
}

impl Drive {
    /// An empty one.
    pub fn new(root: &Path) -> Drive {
        Drive {
            root: root.to_owned(),
            nodes: Vec::new(),
            names: Names::new(),
            safe_names: Names::new(),
            pending: Vec::new(),
            renamed: 0,
            flushing: BTreeMap::new(),
            tears: true,
        }
    }

    /// Is there anything that a loss of power may take?
    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty() || self.nodes.iter().any(|node| !node.pending.is_empty())
    }

    /// One more call.
    pub fn happens(&mut self, call: &Call) {
        match call {
            Call::Made(path) if self.is_here(path) && !self.names.contains_key(path) => {
                self.nodes.push(Node::default());
                let node = self.nodes.len() - 1;
                self.names.insert(path.clone(), Entry::File(node));
                self.named(Name::Made(path.clone(), node));
            }
            Call::Folder(path) if self.is_here(path) && !self.names.contains_key(path) => {
                self.names.insert(path.clone(), Entry::Folder);
                self.named(Name::Folder(path.clone()));
            }
            Call::Wrote { path, offset, bytes } => {
                if let Some(node) = self.node(path) {
                    self.nodes[node].pending.push(Change::Write { offset: *offset, bytes: bytes.clone() });
                }
            }
            Call::Length { path, bytes } => {
                if let Some(node) = self.node(path) {
                    self.nodes[node].pending.push(Change::Length(*bytes));
                }
            }
            Call::Moved(from, to) => {
                if self.names.contains_key(from) {
                    moved(&mut self.names, from, to);
                    self.named(Name::Moved(from.clone(), to.clone()));
                }
            }
            Call::Gone(path) => {
                if self.names.remove(path).is_some() {
                    self.named(Name::Gone(path.clone()));
                }
            }
            Call::FlushBegins { thread, path } => {
                let of_file = |node: usize| self.nodes[node].kept + self.nodes[node].pending.len();
                let until = self.node(path).map_or(self.renamed, of_file);
                self.flushing.insert(*thread, (path.clone(), until));
            }
            Call::FlushEnds { thread } => {
                if let Some((path, until)) = self.flushing.remove(thread) {
                    self.flushed(&path, until);
                }
            }
            Call::Made(_) | Call::Folder(_) | Call::Confirmed(_) => {}
        }
    }

    fn is_here(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    fn node(&self, path: &Path) -> Option<usize> {
        match self.names.get(path) {
            Some(Entry::File(node)) => Some(*node),
            _ => None,
        }
    }

    fn named(&mut self, name: Name) {
        self.pending.push((self.renamed, name));
        self.renamed += 1;
    }

    fn flushed(&mut self, path: &Path, until: usize) {
        if let Some(node) = self.node(path) {
            let node = &mut self.nodes[node];
            // Another thread's flush may have kept them meanwhile.
            let count = until.saturating_sub(node.kept);
            for change in node.pending.drain(..count) {
                apply(&mut node.safe, &change);
            }
            node.kept += count;
            return;
        }
        // A folder: the names directly in it, in their order.
        let is_of = |name: &Path| name.parent() == Some(path);
        for (place, name) in std::mem::take(&mut self.pending) {
            let mine = match &name {
                Name::Made(at, _) | Name::Folder(at) | Name::Gone(at) => is_of(at),
                Name::Moved(from, to) => is_of(from) || is_of(to),
            };
            if mine && place < until {
                rename(&mut self.safe_names, &name);
            } else {
                self.pending.push((place, name));
            }
        }
    }

    /// Writes one of the drives that a loss of power may leave now, drawn by the dice.
    ///
    /// # Errors
    /// The image cannot be written.
    pub fn after_a_cut(&self, image: &Path, dice: &mut impl Rng) -> std::io::Result<()> {
        let mut names = self.safe_names.clone();
        // A file system keeps the order of names: it has logged them up to somewhere.
        let kept = dice.gen_range(0..=self.pending.len());
        self.pending[..kept].iter().for_each(|(_, name)| rename(&mut names, name));
        for (path, entry) in &names {
            let Ok(below) = path.strip_prefix(&self.root) else { continue };
            let at = image.join(below);
            // A folder that is not there itself has nothing in it.
            if !at.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match entry {
                Entry::Folder => std::fs::create_dir_all(at)?,
                Entry::File(node) => std::fs::write(at, self.nodes[*node].after_a_cut(dice, self.tears))?,
            }
        }
        Ok(())
    }
}

impl Node {
    fn after_a_cut(&self, dice: &mut impl Rng, tears: bool) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        match dice.gen_range(0..if tears { 5 } else { 4 }) {
            // Nothing of it, all of it, its beginning.
            0 => {}
            1 => self.pending.iter().for_each(|change| apply(&mut bytes, change)),
            2 => {
                let kept = dice.gen_range(0..=self.pending.len());
                self.pending[..kept].iter().for_each(|change| apply(&mut bytes, change));
            }
            // Each sector by itself, whole or torn inside.
            kind => {
                let kept = if kind == 3 { Kept::whole } else { Kept::torn };
                for change in &self.pending {
                    match change {
                        Change::Length(length) if dice.gen_bool(0.5) => apply(&mut bytes, &Change::Length(*length)),
                        Change::Length(_) => {}
                        Change::Write { offset, bytes: written } => sectors(&mut bytes, *offset, written, || kept(dice)),
                    }
                }
            }
        }
        bytes
    }
}

/// What a loss of power left of the bytes that were written into one sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    All,
    /// So many thousandths of it, from the front; behind them is what was there before.
    Front(usize),
    /// The same, from the back.
    Back(usize),
}

impl Kept {
    fn whole(dice: &mut impl Rng) -> Kept {
        if dice.gen_bool(0.5) { Kept::All } else { Kept::Nothing }
    }

    fn torn(dice: &mut impl Rng) -> Kept {
        let part = dice.gen_range(0..1000);
        match dice.gen_range(0..4) {
            0 => Kept::Nothing,
            1 => Kept::All,
            2 => Kept::Front(part),
            _ => Kept::Back(part),
        }
    }

    fn of(self, bytes: usize) -> std::ops::Range<usize> {
        match self {
            Kept::Nothing => 0..0,
            Kept::All => 0..bytes,
            Kept::Front(part) => 0..bytes * part / 1000,
            Kept::Back(part) => bytes - bytes * part / 1000..bytes,
        }
    }
}

/// Writes what is kept of each sector.
fn sectors(file: &mut Vec<u8>, offset: usize, written: &[u8], mut kept: impl FnMut() -> Kept) {
    let mut done = 0;
    while done < written.len() {
        let to_the_edge = SECTOR - (offset + done) % SECTOR;
        let end = (done + to_the_edge).min(written.len());
        let range = kept().of(end - done);
        if !range.is_empty() {
            let bytes = written[done + range.start..done + range.end].to_vec();
            apply(file, &Change::Write { offset: offset + done + range.start, bytes });
        }
        done = end;
    }
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => file.resize(*length, 0),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*offset..end].copy_from_slice(bytes);
        }
    }
}

fn rename(names: &mut Names, name: &Name) {
    match name {
        Name::Made(path, node) => drop(names.insert(path.clone(), Entry::File(*node))),
        Name::Folder(path) => drop(names.insert(path.clone(), Entry::Folder)),
        Name::Gone(path) => drop(names.remove(path)),
        Name::Moved(from, to) => moved(names, from, to),
    }
}

/// A folder takes with it what is in it.
fn moved(names: &mut Names, from: &Path, to: &Path) {
    let with_it: Vec<PathBuf> = names.keys().filter(|path| path.starts_with(from)).cloned().collect();
    for path in with_it {
        if let (Some(entry), Ok(below)) = (names.remove(&path), path.strip_prefix(from)) {
            // `join` of nothing would end the path with a separator.
            let new = if below == Path::new("") { to.to_owned() } else { to.join(below) };
            names.insert(new, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn write(path: &Path, offset: usize, text: &str) -> Call {
        Call::Wrote { path: path.to_owned(), offset, bytes: text.as_bytes().to_vec() }
    }

    /// One whose sectors are whole: what may be left of a file can be counted up.
    fn with_whole_sectors(root: &Path) -> Drive {
        Drive { tears: false, ..Drive::new(root) }
    }

    /// Everything that cuts here may leave of a file.
    fn left(drive: &Drive, name: &str) -> Vec<Option<String>> {
        let mut seen: Vec<Option<String>> = (0..200)
            .map(|seed| {
                let image = tempfile::tempdir().unwrap();
                drive.after_a_cut(image.path(), &mut StdRng::seed_from_u64(seed)).unwrap();
                std::fs::read_to_string(image.path().join(name)).ok()
            })
            .collect();
        seen.sort();
        seen.dedup();
        seen
    }

    #[test]
    fn only_what_was_flushed_is_there_for_certain() {
        let root = Path::new("/d");
        let (file, thread) = (root.join("a"), 7);
        let mut drive = with_whole_sectors(root);
        for call in [Call::Made(file.clone()), write(&file, 0, "one")] {
            drive.happens(&call);
        }
        assert_eq!(left(&drive, "a"), [None, Some(String::new()), Some("one".into())]);
        // The file's own flush keeps no name.
        drive.happens(&Call::FlushBegins { thread, path: file.clone() });
        drive.happens(&write(&file, 3, "two"));
        drive.happens(&Call::FlushEnds { thread });
        assert_eq!(left(&drive, "a"), [None, Some("one".into()), Some("onetwo".into())]);
        for call in [Call::FlushBegins { thread, path: root.to_owned() }, Call::FlushEnds { thread }] {
            drive.happens(&call);
        }
        assert_eq!(left(&drive, "a"), [Some("one".into()), Some("onetwo".into())]);
        assert!(drive.is_dirty());
        // A name that was changed may be either until its folder is flushed.
        for call in
            [Call::FlushBegins { thread, path: file.clone() }, Call::FlushEnds { thread }, Call::Moved(file, root.join("b"))]
        {
            drive.happens(&call);
        }
        assert_eq!(left(&drive, "a"), [None, Some("onetwo".into())]);
        assert_eq!(left(&drive, "b"), [None, Some("onetwo".into())]);
    }

    #[test]
    fn a_folder_takes_its_files_with_it() {
        let (root, thread) = (Path::new("/d"), 1);
        let file = root.join("new/a");
        let flush = |path: &Path| [Call::FlushBegins { thread, path: path.to_owned() }, Call::FlushEnds { thread }];
        let mut drive = with_whole_sectors(root);
        drive.happens(&Call::Folder(root.join("new")));
        drive.happens(&Call::Made(file.clone()));
        drive.happens(&write(&file, 0, "one"));
        [flush(&file), flush(&root.join("new"))].iter().flatten().for_each(|call| drive.happens(call));
        drive.happens(&Call::Moved(root.join("new"), root.join("b")));
        assert_eq!(left(&drive, "b/a"), [None, Some("one".into())]);
        flush(root).iter().for_each(|call| drive.happens(call));
        assert_eq!((left(&drive, "b/a"), left(&drive, "new/a")), (vec![Some("one".into())], vec![None]));
    }

    #[test]
    fn a_write_over_two_sectors_may_be_half_there() {
        let (root, file) = (Path::new("/d"), PathBuf::from("/d/a"));
        let mut drive = with_whole_sectors(root);
        let bytes = vec![b'x'; 2 * SECTOR];
        for call in [
            Call::Made(file.clone()),
            Call::Length { path: file.clone(), bytes: 2 * SECTOR },
            Call::FlushBegins { thread: 1, path: file.clone() },
            Call::FlushEnds { thread: 1 },
            Call::FlushBegins { thread: 1, path: root.to_owned() },
            Call::FlushEnds { thread: 1 },
            Call::Wrote { path: file, offset: 0, bytes },
        ] {
            drive.happens(&call);
        }
        let halves = left(&drive, "a").into_iter().map(|text| {
            let text = text.unwrap();
            (text.as_bytes()[0] == b'x', text.as_bytes()[SECTOR] == b'x', text.len())
        });
        let all: std::collections::BTreeSet<_> = halves.collect();
        assert_eq!(all.len(), 4, "both, either, none: {all:?}");
    }

    #[test]
    fn a_sector_may_be_torn_inside_and_bytes_beside_it_stay() {
        let mut dice = StdRng::seed_from_u64(1);
        let (mut front, mut back) = (0, 0);
        for _ in 0..100 {
            let mut file = vec![b'-'; 2 * SECTOR];
            sectors(&mut file, 10, &[b'x'; 100], || Kept::torn(&mut dice));
            assert!(file[..10].iter().chain(&file[110..]).all(|byte| *byte == b'-'));
            let ends = (file[10] == b'x', file[109] == b'x');
            front += u32::from(ends == (true, false));
            back += u32::from(ends == (false, true));
        }
        assert!(front > 0 && back > 0, "{front} {back}");
    }
}

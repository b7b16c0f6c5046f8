//! Every parser over the committed corpus, and over damaged copies of it that are the same on every machine.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use std::path::Path;

use taxdisk_drivers::hostile::TARGETS;

/// Damaged copies of all files of a target together: the drivers' targets hold whole conversations.
const COPIES: usize = 2000;

/// A small generator (xorshift, Marsaglia 2003): the same numbers everywhere, for ever.
struct Numbers(u32);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        usize::try_from(self.0).unwrap() % end.max(1)
    }
}

/// Flips, cuts, repeats or inserts, one to four times.
fn damaged(file: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes.truncate(at),
            2 => bytes.extend_from_within(at..),
            _ => bytes.insert(at, u8::try_from(numbers.below(256)).unwrap()),
        }
    }
    bytes
}

#[test]
fn no_parser_breaks_its_word_on_damaged_bytes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for (name, target) in TARGETS {
        let mut files: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        target(&[]);
        for (index, file) in files.iter().enumerate() {
            let bytes = std::fs::read(file).unwrap();
            target(&bytes);
            let mut numbers = Numbers(u32::try_from(index).unwrap() + 1);
            for _ in 0..COPIES.div_ceil(files.len()) {
                target(&damaged(&bytes, &mut numbers));
            }
        }
    }
}

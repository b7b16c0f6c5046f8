//! A loss of power, made from a recording: what a program wrote and flushed is listed by `strace`, and for a cut at any place in
//! that list every drive that could be left is a legal one — what was flushed is there, and of what was not any part may be.
//!
//! The drive of this module is worse than real ones. A flush keeps only what was written before it began. Of unflushed bytes each
//! sector is there or not, by itself, or torn inside: a part of what was written is there, the rest is as before. A name is there
//! once its folder was flushed, and not before. `sync_file_range` keeps nothing. What it does not model: bytes that change beside
//! those that were written, drives that lie about flushes, and file systems that lose what was flushed.
//!
//! Read first: [`recording::record`], [`drive::Drive::after_a_cut`].

pub mod drive;
pub mod recording;
pub mod work;

use std::path::Path;

use rand::{Rng, SeedableRng, rngs::StdRng};

use drive::Drive;
use recording::{Call, Recording};

/// What the cuts came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuts {
    /// Places at which the power went.
    pub cuts: u64,
    /// Of these, such that something unflushed lay in the drive: elsewhere there is but one image.
    pub dirty: u64,
    /// Of these, before the first thing was confirmed.
    pub before_the_first: u64,
}

/// Cuts the power at `cuts` places of a recording, drawn by a seed, and has what is left judged: `check` gets the folder, as
/// it was found after the cut, and how much the program had confirmed by then.
///
/// # Panics
/// `check` refuses an image: the place, the seed and its word are told.
pub fn cut(recording: &Recording, cuts: u64, seed: u64, check: impl Fn(&Path, u64) -> Result<(), String>) -> Cuts {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut places: Vec<(usize, u64)> = (0..cuts).map(|_| (dice.gen_range(0..recording.calls.len()), dice.r#gen())).collect();
    places.sort_unstable();
    let mut drive = Drive::new(&recording.folder);
    let mut seen = Cuts { cuts, dirty: 0, before_the_first: 0 };
    let (mut next, mut confirmed) = (0, 0);
    for (place, seed) in places {
        while next <= place {
            match &recording.calls[next] {
                Call::Confirmed(count) => confirmed = *count,
                call => drive.happens(call),
            }
            next += 1;
        }
        seen.dirty += u64::from(drive.is_dirty());
        seen.before_the_first += u64::from(confirmed == 0);
        let image = tempfile::tempdir().expect("a folder for what is left");
        drive.after_a_cut(image.path(), &mut StdRng::seed_from_u64(seed)).expect("the image can be written");
        if let Err(text) = check(image.path(), confirmed) {
            let kept = image.keep();
            panic!(
                "after call {place} of {}, seed {seed}, {confirmed} confirmed: {text} ({})",
                recording.calls.len(),
                kept.display()
            );
        }
    }
    seen
}

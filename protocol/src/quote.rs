//! Texts of callers inside our own texts, shortened: an error never repeats a megabyte that somebody sent.

use std::fmt;

/// Characters that are shown; enough to recognise any field.
const SHOWN: usize = 40;

/// Shows a text in quotes, control characters escaped, with `…` where it was cut.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
        }
    }
}

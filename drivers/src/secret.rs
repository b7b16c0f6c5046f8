//! A password of a disk. It shows itself nowhere: not in debug output, logs, recordings or errors.
//!
//! What it cannot promise: that no copy stays in memory. Zeroing is best effort, as this crate has no unsafe code.

use std::fmt;

/// A password.
#[derive(Clone, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps a password.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into().into_bytes())
    }

    /// The password itself, to be put into a command and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// No password was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(not set)" } else { "Secret(set)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_show_itself() {
        let secret = Secret::new("88888888");
        assert_eq!(format!("{secret:?}"), "Secret(set)");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(not set)");
        assert_eq!(secret.expose(), b"88888888");
    }
}

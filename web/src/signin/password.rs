//! Passwords: argon2id, away from the async threads, a few at a time.

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::Semaphore;

use super::Unavailable;

/// Memory of one hash, KiB; with two passes and one lane the first choice of the OWASP password storage cheat sheet.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// Hashes at once: 38 MiB and two cores at most, however many people sign in.
const AT_ONCE: usize = 2;
/// Hashes that wait for their turn at most; more are told to come back.
const WAITING: usize = 64;
/// Characters of a password at least.
pub const CHARS_MIN: usize = 10;
/// Bytes of a password at most: hashing time must not grow with what a stranger sends.
pub const BYTES_MAX: usize = 256;
/// Of nobody's password: an unknown name costs the same work.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$ZGlzcGxhY2VkLW9mLW5vYm9keS1hbmQtb2Ytbm9uZSE";

/// What is wrong with a new password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// Fewer than [`CHARS_MIN`] characters.
    #[error("a password has {CHARS_MIN} characters at least")]
    Short,
    /// More than [`BYTES_MAX`] bytes.
    #[error("a password has {BYTES_MAX} bytes at most")]
    Long,
    /// It holds the name of the account.
    #[error("a password does not contain the name of the account")]
    Name,
}

/// May this be a new password of this account?
///
/// # Errors
/// See [`Weak`].
pub fn check(password: &str, name: &str) -> Result<(), Weak> {
    if password.chars().count() < CHARS_MIN {
        return Err(Weak::Short);
    }
    if password.len() > BYTES_MAX {
        return Err(Weak::Long);
    }
    // A name of one or two letters stands in many good passwords.
    if name.len() > 2 && password.to_lowercase().contains(&name.to_lowercase()) {
        return Err(Weak::Name);
    }
    Ok(())
}

/// Hashes, a few at a time.
#[derive(Debug, Clone)]
pub struct Hasher {
    room: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Hasher { room: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::new(Semaphore::new(WAITING)) }
    }
}

fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl Hasher {
    /// What is stored of a password (PHC string).
    ///
    /// # Errors
    /// Too many wait already.
    pub async fn hash(&self, password: &str) -> Result<String, Unavailable> {
        let password = password.to_owned();
        let hashed = move || {
            let mut salt = [0; 16];
            SystemRandom::new().fill(&mut salt).ok()?;
            let salt = SaltString::encode_b64(&salt).ok()?;
            Some(argon2()?.hash_password(password.as_bytes(), &salt).ok()?.to_string())
        };
        self.run(hashed).await?.ok_or(Unavailable)
    }

    /// Is this the password? `stored`: none of an account that does not exist or has no password; the work is the same.
    ///
    /// # Errors
    /// Too many wait already.
    pub async fn verify(&self, stored: Option<String>, password: &str) -> Result<bool, Unavailable> {
        if password.len() > BYTES_MAX {
            return Ok(false);
        }
        let password = password.to_owned();
        self.run(move || {
            let known = stored.is_some();
            let stored = stored.unwrap_or_else(|| NOBODY.to_owned());
            // Parameters are those of the stored text: older hashes stay good when ours change.
            let right = PasswordHash::new(&stored)
                .ok()
                .zip(argon2())
                .is_some_and(|(hash, argon2)| argon2.verify_password(password.as_bytes(), &hash).is_ok());
            right && known
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Unavailable> {
        let _waits = self.waiting.clone().try_acquire_owned().map_err(|_| Unavailable)?;
        let room = self.room.clone().acquire_owned().await.map_err(|_| Unavailable)?;
        // The permit goes with the work: a caller who hangs up does not make room for another hash.
        let done = tokio::task::spawn_blocking(move || {
            let _room = room;
            work()
        });
        done.await.map_err(|_| Unavailable)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_nobody_has_one() {
        let hasher = Hasher::default();
        let stored = hasher.hash("correct horse battery").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(hasher.verify(Some(stored.clone()), "correct horse battery").await.unwrap());
        assert!(!hasher.verify(Some(stored), "correct horse batterz").await.unwrap());
        assert!(!hasher.verify(None, "correct horse battery").await.unwrap());
        let long = "x".repeat(BYTES_MAX + 1);
        let stored = hasher.hash(&long).await.unwrap();
        assert!(!hasher.verify(Some(stored), &long).await.unwrap(), "nobody makes us hash a book");
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let (params, length) = (Params::try_from(&nobody).unwrap(), nobody.hash.unwrap().len());
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost(), length), (MEMORY_KIB, PASSES, 1, 32), "the same work");
    }

    #[test]
    fn new_passwords_are_long_and_not_the_name() {
        assert_eq!(check("short", "anna"), Err(Weak::Short));
        assert_eq!(check("anna-anna-anna", "Anna"), Err(Weak::Name));
        assert_eq!(check(&"x".repeat(257), "anna"), Err(Weak::Long));
        assert_eq!(check("十个字的密码也是够长", "anna"), Ok(()));
    }
}

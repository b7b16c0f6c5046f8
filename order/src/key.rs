//! Keys of order tokens: random, one syscode's own, several at a time while one replaces the other.

use std::fmt;

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, AesGcm};
use sm4::Sm4;

/// GCM is one mode over any cipher of 128-bit blocks (NIST SP 800-38D); over SM4 it is that of RFC 8998.
type Sm4Gcm = AesGcm<Sm4, U12>;

/// Keys of one syscode at most: an old one stays until the last receipt's claim period ends.
const MAX_KEYS: usize = 16;

/// How a token is encrypted. A key is of one algorithm for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// 0x01: a key of 256 bits.
    Aes256Gcm,
    /// 0x02: a key of 128 bits. The cipher looks its bytes up in a table, so whoever shares the machine's caches could learn of
    /// them; it is here for merchants who must use SM4.
    Sm4Gcm,
}

impl Algorithm {
    /// As a token says it.
    pub fn byte(self) -> u8 {
        match self {
            Algorithm::Aes256Gcm => 1,
            Algorithm::Sm4Gcm => 2,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Algorithm> {
        [Algorithm::Aes256Gcm, Algorithm::Sm4Gcm].into_iter().find(|algorithm| algorithm.byte() == byte)
    }

    /// Bytes of a key.
    pub fn key_bytes(self) -> usize {
        match self {
            Algorithm::Aes256Gcm => 32,
            Algorithm::Sm4Gcm => 16,
        }
    }
}

/// A key that cannot be used. Written for whoever sets it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not as long as the algorithm wants it.
    #[error("the key must have 32 bytes for AES-256-GCM and 16 bytes for SM4-GCM")]
    Length,
    /// An id names one key of a syscode.
    #[error("two keys of one syscode have the same id")]
    Id,
    /// See the limit.
    #[error("a syscode has at most 16 keys")]
    TooMany,
}

enum Cipher {
    Aes(Box<Aes256Gcm>),
    Sm4(Box<Sm4Gcm>),
}

/// A key of one syscode.
pub struct OrderKey {
    kid: u16,
    cipher: Cipher,
    read_until_s: Option<i64>,
}

impl OrderKey {
    /// A key that makes and opens tokens.
    ///
    /// # Errors
    /// Its length is not that of the algorithm.
    pub fn new(kid: u16, algorithm: Algorithm, secret: &[u8]) -> Result<OrderKey, KeyError> {
        let cipher = match algorithm {
            Algorithm::Aes256Gcm => Cipher::Aes(Box::new(Aes256Gcm::new_from_slice(secret).map_err(|_| KeyError::Length)?)),
            Algorithm::Sm4Gcm => Cipher::Sm4(Box::new(Sm4Gcm::new_from_slice(secret).map_err(|_| KeyError::Length)?)),
        };
        Ok(OrderKey { kid, cipher, read_until_s: None })
    }

    /// Another key has taken its place: tokens of it are opened until then (Unix seconds), and no longer.
    #[must_use]
    pub fn read_until(mut self, until_s: i64) -> OrderKey {
        self.read_until_s = Some(until_s);
        self
    }

    /// Its id.
    pub fn kid(&self) -> u16 {
        self.kid
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self.cipher {
            Cipher::Aes(_) => Algorithm::Aes256Gcm,
            Cipher::Sm4(_) => Algorithm::Sm4Gcm,
        }
    }

    pub(super) fn seal(&self, nonce: &[u8; 12], plain: &[u8], authenticated: &[u8]) -> Result<Vec<u8>, ()> {
        let payload = Payload { msg: plain, aad: authenticated };
        match &self.cipher {
            Cipher::Aes(cipher) => cipher.encrypt(nonce.into(), payload),
            Cipher::Sm4(cipher) => cipher.encrypt(nonce.into(), payload),
        }
        .map_err(|_| ())
    }

    /// The tag is compared in constant time, before anything is decrypted.
    pub(super) fn open(&self, nonce: &[u8; 12], sealed: &[u8], authenticated: &[u8]) -> Result<Vec<u8>, ()> {
        let payload = Payload { msg: sealed, aad: authenticated };
        match &self.cipher {
            Cipher::Aes(cipher) => cipher.decrypt(nonce.into(), payload),
            Cipher::Sm4(cipher) => cipher.decrypt(nonce.into(), payload),
        }
        .map_err(|_| ())
    }
}

/// Never the key itself.
impl fmt::Debug for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
            .field("read_until_s", &self.read_until_s)
            .finish_non_exhaustive()
    }
}

/// The keys of one syscode.
#[derive(Debug, Default)]
pub struct Keyring(Vec<OrderKey>);

impl Keyring {
    /// The keys of a syscode.
    ///
    /// # Errors
    /// Two of them have one id, or there are too many.
    pub fn new(keys: Vec<OrderKey>) -> Result<Keyring, KeyError> {
        if keys.len() > MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        let twice = keys.iter().enumerate().any(|(at, key)| keys[..at].iter().any(|other| other.kid == key.kid));
        if twice { Err(KeyError::Id) } else { Ok(Keyring(keys)) }
    }

    /// The key of an id, if it is still read.
    pub(super) fn get(&self, kid: u16, now_s: i64) -> Option<&OrderKey> {
        self.0.iter().find(|key| key.kid == kid).filter(|key| key.read_until_s.is_none_or(|until| now_s <= until))
    }
}

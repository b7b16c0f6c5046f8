//! The `order` token of an offline code, version 1 (yonyou-open-api.md, section 5.6): a till without a network prints
//! `https://HOST/qrcode-connector?syscode=…&order=…`, and whoever scans it later brings us an order number that nobody but the
//! till can have written.
//!
//! A token is `version ‖ algorithm ‖ key id ‖ nonce ‖ ciphertext ‖ tag` in base64url. The first four bytes and the syscode are
//! authenticated with it, so a token does not move to another system and no byte of it can be changed. What is refused here says
//! why for the log alone: a consumer sees one page whatever is wrong, or the page becomes an oracle.
//!
//! Refused by design: an order in the clear, ECB, digests without a key, an algorithm that the token chooses by itself (that of
//! the registered key counts).
//!
//! A crate of its own, so that the program of a till can depend on it and on nothing else of ours. It does no I/O and reads no
//! clock; the one thing that it asks of the machine is [`Nonce::random`]. A till whose machine has no good generator counts:
//!
//! ```
//! use taxdisk_order::{Algorithm, Nonce, Order, OrderKey, make};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = [7; 32]; // as the platform gave it, once
//! let key = OrderKey::new(3, Algorithm::Aes256Gcm, &secret)?;
//! let order = Order { number: "POS42-0007".to_owned(), made_at_s: 1_800_000_000, expires_at_s: None };
//! // Till 42, its token number 7. The counter is kept on the disk before the token is printed, and never goes back.
//! let token = make("DEMOSYS", &key, &order, Nonce::counted(42, 7))?;
//! let printed = format!("https://fp.example/qrcode-connector?syscode=DEMOSYS&order={token}");
//! # assert!(printed.len() < 300);
//! # Ok(())
//! # }
//! ```
//!
//! Read first: [`make`], [`open`], [`Keyring`].

#![forbid(unsafe_code)]

mod key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub use key::{Algorithm, KeyError, Keyring, OrderKey};

/// The only version there is.
const VERSION: u8 = 1;
/// `version ‖ algorithm ‖ key id`.
const HEAD_BYTES: usize = 4;
/// 96 bits, as GCM wants it.
const NONCE_BYTES: usize = 12;
/// A whole tag; shorter ones are not made and not taken.
const TAG_BYTES: usize = 16;
/// Characters of a token at least: the shortest order number makes more.
pub const TOKEN_MIN: usize = 70;
/// Characters of a token at most: the longest order number makes fewer, and a QR code of more is hard to scan from a receipt.
pub const TOKEN_MAX: usize = 512;
/// Characters of an order number at most.
pub const ORDER_MAX: usize = 64;
/// Characters of a syscode at most.
const SYSCODE_MAX: usize = 40;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The order's number at the merchant, 1 to 64 characters, unique for a syscode.
    #[serde(rename = "o")]
    pub number: String,
    /// When the token was made, Unix seconds. The clock of a till is evidence, never a criterion.
    #[serde(rename = "t")]
    pub made_at_s: i64,
    /// Until when it may be used, Unix seconds; absent: as long as its key is read.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub expires_at_s: Option<i64>,
}

/// The nonce of a token. One key is used with one kind of nonce only: a random one could hit a counted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; NONCE_BYTES]);

impl Nonce {
    /// 96 bits of the system's generator. Good for 2³² tokens under one key (NIST SP 800-38D, section 8.3).
    pub fn random() -> Nonce {
        use rand::RngCore as _;
        let mut bytes = [0; NONCE_BYTES];
        rand::rngs::OsRng.fill_bytes(&mut bytes);
        Nonce(bytes)
    }

    /// For a till without a generator: its number and a counter that outlives every restart. A till whose counter is lost gets a
    /// new number: the same nonce twice gives the key away.
    pub fn counted(till: u32, counter: u64) -> Nonce {
        let mut bytes = [0; NONCE_BYTES];
        bytes[..4].copy_from_slice(&till.to_be_bytes());
        bytes[4..].copy_from_slice(&counter.to_be_bytes());
        Nonce(bytes)
    }
}

/// Why no token is made. Written for whoever runs the till.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// See [`ORDER_MAX`].
    #[error("an order number has 1 to 64 characters, none of them a control character")]
    Order,
    /// It would be ambiguous in what is authenticated.
    #[error("a syscode has 1 to 40 letters, digits, - and _")]
    Syscode,
    /// The cipher failed, which no input of these lengths can make it do.
    #[error("the token cannot be encrypted")]
    Cipher,
}

/// Why a token is not taken: for the log. A consumer is told one thing whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// Fewer than 70 or more than 512 characters.
    #[error("its length is not that of a token")]
    Length,
    /// Not base64url without padding, or not the one way to write these bytes.
    #[error("it is no base64url")]
    Encoding,
    /// Not version 1.
    #[error("its version is not known")]
    Version,
    /// Neither AES-256-GCM nor SM4-GCM, or not that of the registered key.
    #[error("its algorithm is not that of the key")]
    Algorithm,
    /// No such key is registered for the syscode, or it is no longer read.
    #[error("its key is not known, or no longer read")]
    Key,
    /// Not made with this key for this syscode, or changed since.
    #[error("its tag is wrong")]
    Tag,
    /// Decrypted, and not what the version says.
    #[error("its content is not that of an order")]
    Content,
    /// Its own expiry has passed.
    #[error("it has expired")]
    Expired,
}

/// Makes a token.
///
/// # Errors
/// See [`MakeError`].
pub fn make(syscode: &str, key: &OrderKey, order: &Order, nonce: Nonce) -> Result<String, MakeError> {
    if !is_syscode(syscode) {
        return Err(MakeError::Syscode);
    }
    if !is_number(&order.number) {
        return Err(MakeError::Order);
    }
    let plain = serde_json::to_vec(order).map_err(|_| MakeError::Cipher)?;
    let kid = key.kid().to_be_bytes();
    let head = [VERSION, key.algorithm().byte(), kid[0], kid[1]];
    let sealed = key.seal(&nonce.0, &plain, &authenticated(syscode, head)).map_err(|()| MakeError::Cipher)?;
    let token = URL_SAFE_NO_PAD.encode([head.as_slice(), &nonce.0, &sealed].concat());
    debug_assert!((TOKEN_MIN..=TOKEN_MAX).contains(&token.len()), "limits of number and token do not fit each other");
    Ok(token)
}

/// Opens a token that came for a syscode. `now_s`: Unix seconds.
///
/// # Errors
/// See [`Refused`].
pub fn open(token: &str, syscode: &str, keys: &Keyring, now_s: i64) -> Result<Order, Refused> {
    // Bytes bound the work; every character that base64url has is one of them.
    if !(TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) {
        return Err(Refused::Length);
    }
    // Strict: other trailing bits would make two texts of one token.
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Refused::Encoding)?;
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(Refused::Length)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Refused::Length)?;
    if sealed.len() <= TAG_BYTES {
        return Err(Refused::Length);
    }
    let [version, algorithm, kid @ ..] = *head;
    if version != VERSION {
        return Err(Refused::Version);
    }
    let algorithm = Algorithm::from_byte(algorithm).ok_or(Refused::Algorithm)?;
    if !is_syscode(syscode) {
        return Err(Refused::Key);
    }
    let key = keys.get(u16::from_be_bytes(kid), now_s).ok_or(Refused::Key)?;
    // The registered algorithm decides; what the token says must agree with it.
    if key.algorithm() != algorithm {
        return Err(Refused::Algorithm);
    }
    let plain = key.open(nonce, sealed, &authenticated(syscode, *head)).map_err(|()| Refused::Tag)?;
    let order: Order = serde_json::from_slice(&plain).map_err(|_| Refused::Content)?;
    if !is_number(&order.number) {
        return Err(Refused::Content);
    }
    match order.expires_at_s {
        Some(expiry) if now_s > expiry => Err(Refused::Expired),
        _ => Ok(order),
    }
}

/// What the tag covers beside the ciphertext.
fn authenticated(syscode: &str, head: [u8; HEAD_BYTES]) -> Vec<u8> {
    [b"qrcode-connector\n", syscode.as_bytes(), b"\n", &head].concat()
}

/// A syscode that could hold a line break would be ambiguous in what is authenticated.
fn is_syscode(text: &str) -> bool {
    (1..=SYSCODE_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn is_number(text: &str) -> bool {
    (1..=ORDER_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;

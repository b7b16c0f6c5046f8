//! Secrets and signatures: HMAC-SHA256 (`whsec_…`, signature `v1`) and Ed25519 (`whsk_…` and `whpk_…`, signature `v1a`).
//!
//! Several secrets sign at the same time while one replaces the other: the receiver takes whichever it knows. A secret is never
//! shown by `Debug`.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Bytes of a symmetric secret: 192 to 512 bits (Standard Webhooks 1.0, signature scheme).
const SYMMETRIC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of an Ed25519 seed.
const SEED_BYTES: usize = 32;

/// Receivers take base64 with or without its padding, so we do too.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A text that is no secret. It never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(pub &'static str);

/// One secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Shared with the receiver.
    Symmetric(Vec<u8>),
    /// Ours alone: the seed of an Ed25519 key. The receiver has the public half.
    Asymmetric([u8; SEED_BYTES]),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Secret::Symmetric(_) => "Secret::Symmetric(***)",
            Secret::Asymmetric(_) => "Secret::Asymmetric(***)",
        })
    }
}

impl Secret {
    /// Reads `whsec_…` or `whsk_…` (32 bytes, or 64 with the public half behind).
    ///
    /// # Errors
    /// The prefix is not known, it is not base64, or its length is not allowed.
    pub fn parse(text: &str) -> Result<Secret, SecretError> {
        let decoded = |text: &str| LENIENT.decode(text).map_err(|_| SecretError("the secret is not base64 after its prefix"));
        if let Some(text) = text.strip_prefix("whsec_") {
            let bytes = decoded(text)?;
            if !SYMMETRIC_BYTES.contains(&bytes.len()) {
                return Err(SecretError("a symmetric secret has 24 to 64 bytes"));
            }
            return Ok(Secret::Symmetric(bytes));
        }
        let Some(text) = text.strip_prefix("whsk_") else {
            return Err(SecretError("a secret begins with whsec_ (symmetric) or whsk_ (Ed25519)"));
        };
        let bytes = decoded(text)?;
        let seed = bytes.first_chunk::<SEED_BYTES>().filter(|_| matches!(bytes.len(), 32 | 64));
        let secret = Secret::Asymmetric(*seed.ok_or(SecretError("an Ed25519 secret has 32 bytes, or 64 with its public half"))?);
        if bytes.len() == 64 && secret.public().as_deref() != Some(&format!("whpk_{}", STANDARD.encode(&bytes[SEED_BYTES..]))) {
            return Err(SecretError("the public half does not belong to the secret half"));
        }
        Ok(secret)
    }

    /// As it is given to people and kept.
    pub fn text(&self) -> String {
        match self {
            Secret::Symmetric(bytes) => format!("whsec_{}", STANDARD.encode(bytes)),
            Secret::Asymmetric(seed) => format!("whsk_{}", STANDARD.encode(seed)),
        }
    }

    /// `whpk_…`, for the receiver; a symmetric secret has none.
    pub fn public(&self) -> Option<String> {
        let Secret::Asymmetric(seed) = self else { return None };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(format!("whpk_{}", STANDARD.encode(pair.public_key().as_ref())))
    }

    /// `v1,…` or `v1a,…` over `id.timestamp.body`.
    fn sign(&self, content: &[u8]) -> Option<String> {
        match self {
            Secret::Symmetric(bytes) => {
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), content);
                Some(format!("v1,{}", STANDARD.encode(tag)))
            }
            Secret::Asymmetric(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
                Some(format!("v1a,{}", STANDARD.encode(pair.sign(content))))
            }
        }
    }
}

/// All secrets in force, the newest first.
#[derive(Debug, Clone, Default)]
pub struct Signers(pub Vec<Secret>);

impl Signers {
    /// The header `webhook-signature`.
    pub fn header(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut content = format!("{id}.{seconds}.").into_bytes();
        content.extend_from_slice(body);
        let signatures: Vec<String> = self.0.iter().filter_map(|secret| secret.sign(&content)).collect();
        signatures.join(" ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn header(secrets: &[&str]) -> String {
        Signers(secrets.iter().map(|text| Secret::parse(text).unwrap()).collect()).header(ID, 1_614_265_330, BODY)
    }

    /// The published vectors of the reference libraries.
    #[test]
    fn the_published_vectors_come_out() {
        assert_eq!(header(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(
            header(&["whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="]),
            "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
        );
    }

    #[test]
    fn all_secrets_in_force_sign_and_the_public_half_verifies() {
        let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let new = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";
        let both = header(&[new, old]);
        assert_eq!(both, format!("{} {}", header(&[new]), header(&[old])));
        let public = Secret::parse(new).unwrap().public().unwrap();
        let key = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
        let signature = STANDARD.decode(header(&[new]).strip_prefix("v1a,").unwrap()).unwrap();
        let content = [format!("{ID}.1614265330.").as_bytes(), BODY].concat();
        UnparsedPublicKey::new(&ED25519, &key).verify(&content, &signature).unwrap();
        assert!(UnparsedPublicKey::new(&ED25519, &key).verify(BODY, &signature).is_err());
        assert_eq!(Secret::parse(old).unwrap().public(), None);
    }

    #[test]
    fn secrets_are_read_as_they_are_written_and_nothing_else_is() {
        for good in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="] {
            assert_eq!(Secret::parse(good).unwrap().text(), good);
        }
        let seed = STANDARD.decode("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=").unwrap();
        let public = Secret::parse(&format!("whsk_{}", STANDARD.encode(&seed))).unwrap().public().unwrap();
        let public = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
        let whole = [seed.as_slice(), &public].concat();
        assert!(Secret::parse(&format!("whsk_{}", STANDARD.encode(&whole))).is_ok());
        let strange = [seed.as_slice(), &[7; 32]].concat();
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        let mixed = format!("whsk_{}", STANDARD.encode(strange));
        for bad in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_!!", "whsk_AAAA", "whpk_AAAA", &long, &short, &mixed]
        {
            assert!(Secret::parse(bad).is_err(), "{bad:?}");
        }
        assert!(!format!("{:?}", Secret::parse(&format!("whsec_{}", STANDARD.encode([65; 24]))).unwrap()).contains("QUFB"));
    }
}

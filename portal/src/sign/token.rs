//! The three parts of a token, its algorithm, and the keys that may have made it.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

use super::inflate::Compression;
use super::{MAX_SIGN_BYTES, Refused};
use crate::wire::json::Json;

/// Bytes of the decoded header at most.
const MAX_HEADER_BYTES: usize = 4 * 1024;

/// Strict but for the padding, which some libraries leave in.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A signature algorithm that can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5, SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5, SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5, SHA-512.
    Rs512,
    /// RSASSA-PSS, SHA-256.
    Ps256,
}

impl Algorithm {
    fn parameters(self) -> &'static RsaParameters {
        match self {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        }
    }
}

/// The public half of a caller's RSA key, 2048 bits or more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// Not such a text, or not an RSA key of 2048 to 8192 bits. Written for whoever registers it.
    pub fn from_pem(pem: &str) -> Result<PublicKey, String> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "a key in PEM is expected, beginning with -----BEGIN PUBLIC KEY-----".to_owned())?;
        // This type of the library tells the size of a key; nothing is encrypted here.
        let key = aws_lc_rs::rsa::PublicEncryptingKey::from_der(&der)
            .ok()
            .filter(|key| (2048..=8192).contains(&key.key_size_bits()))
            .ok_or_else(|| "an RSA key of 2048 to 8192 bits is expected".to_owned())?;
        // Written anew, so that one key in two spellings is one key.
        let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| "this key cannot be written".to_owned())?;
        Ok(PublicKey(der.as_ref().to_vec()))
    }

    /// What names the key: the same key under two callers has the same.
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        hex::encode(sha2::Sha256::digest(&self.0))
    }

    /// Is this the signature of this key over `text`?
    pub fn verifies(&self, algorithm: Algorithm, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(algorithm.parameters(), &self.0).verify(text.as_bytes(), signature).is_ok()
    }
}

/// A token, split and decoded; nothing of it is proven.
#[derive(Debug)]
pub(super) struct Token<'a> {
    signed_text: &'a str,
    header: Json,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub(super) fn read(sign: &'a str) -> Result<Token<'a>, Refused> {
        if sign.len() > MAX_SIGN_BYTES {
            return Err(Refused::Form);
        }
        let (signed_text, signature) = sign.rsplit_once('.').ok_or(Refused::Form)?;
        let (header, payload) = signed_text.split_once('.').ok_or(Refused::Form)?;
        if payload.contains('.') {
            return Err(Refused::Form);
        }
        let decoded = |part: &str| BASE64.decode(part).map_err(|_| Refused::Form);
        let header = decoded(header)?;
        if header.len() > MAX_HEADER_BYTES {
            return Err(Refused::Header);
        }
        let header = String::from_utf8(header).map_err(|_| Refused::Header)?;
        let header = Json::parse_within(&header, super::claims::MAX_DEPTH).map_err(|_| Refused::Header)?;
        if !matches!(header, Json::Object(_)) || header.get("crit").is_some() {
            return Err(Refused::Header);
        }
        Ok(Token { signed_text, header, payload: decoded(payload)?, signature: decoded(signature)? })
    }

    /// The algorithm, from a list: it is never taken as the token has it.
    pub(super) fn algorithm(&self, ps256: bool) -> Result<Algorithm, Refused> {
        match self.header.get("alg").and_then(Json::as_text) {
            Some("RS256") => Ok(Algorithm::Rs256),
            Some("RS384") => Ok(Algorithm::Rs384),
            Some("RS512") => Ok(Algorithm::Rs512),
            Some("PS256") if ps256 => Ok(Algorithm::Ps256),
            _ => Err(Refused::Algorithm),
        }
    }

    pub(super) fn compression(&self) -> Result<Option<Compression>, Refused> {
        match (self.header.get("calg"), self.header.get("zip")) {
            (None, None) => Ok(None),
            (Some(Json::Text(name)), None) if name == "DEF" => Ok(Some(Compression::Zlib)),
            (None, Some(Json::Text(name))) if name == "DEF" => Ok(Some(Compression::ZlibOrRaw)),
            _ => Err(Refused::Header),
        }
    }

    pub(super) fn signed_text(&self) -> &str {
        self.signed_text
    }

    pub(super) fn header(&self) -> &Json {
        &self.header
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

//! The platform's own RSA key: it signs callbacks, so that a merchant can tell them from anybody else's. Old clients ignore it.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// A signature is good for so long, seconds.
const LIFETIME_S: i64 = 300;

/// The key.
#[derive(Debug)]
pub struct PlatformKey(KeyPair);

impl PlatformKey {
    /// A new key.
    pub fn generate() -> Option<PlatformKey> {
        KeyPair::generate(KeySize::Rsa2048).ok().map(PlatformKey)
    }

    /// From the form that [`PlatformKey::text`] gives.
    pub fn from_text(text: &str) -> Option<PlatformKey> {
        KeyPair::from_pkcs8(&STANDARD.decode(text).ok()?).ok().map(PlatformKey)
    }

    /// PKCS #8 in base64, for the store.
    pub fn text(&self) -> Option<String> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().ok()?;
        Some(STANDARD.encode(der.as_ref()))
    }

    /// `-----BEGIN PUBLIC KEY-----`, for merchants.
    pub fn public_pem(&self) -> Option<String> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().ok()?;
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
    }

    /// `X-Callback-Sign`: a compact JWS over `{cb, fpqqlsh, body_sha256, iat, exp}`.
    pub fn callback(&self, id: &str, serial: &str, body: &[u8], now_s: i64) -> Option<String> {
        let claims = serde_json::json!({
            "cb": id, "fpqqlsh": serial, "body_sha256": hex::encode(Sha256::digest(body)),
            "iat": now_s, "exp": now_s + LIFETIME_S,
        });
        self.jws(&claims)
    }

    /// A compact JWS, RS256, over these claims.
    pub fn jws(&self, claims: &serde_json::Value) -> Option<String> {
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
        Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sign::{PublicKey, Rules, Signed, verify};

    #[test]
    fn a_callback_is_verified_by_the_published_half_and_survives_the_store() {
        let key = PlatformKey::generate().unwrap();
        let again = PlatformKey::from_text(&key.text().unwrap()).unwrap();
        let jws = again.callback("cb_1", "A1", b"{}", 1_800_000_000).unwrap();
        let public = PublicKey::from_pem(&key.public_pem().unwrap()).unwrap();
        let signed = Signed { path: "", appid: "", requestdatas: &[], nsrsbh: None, body: b"{}" };
        verify(Some(&jws), std::slice::from_ref(&public), Rules::default(), &signed, 1_800_000_000).unwrap();
        let other = Signed { body: b"{ }", ..signed };
        assert!(verify(Some(&jws), &[public], Rules::default(), &other, 1_800_000_000).is_err(), "the body is covered");
    }
}

//! Public links to an issued invoice. A link is `/i/<token>`; whoever has it sees the invoice, so a token has 192 bits that
//! nobody can guess, ends after a time, and can be revoked.
//!
//! Tokens are made from a key, not stored: mail, message and callback of one invoice name the same link at every attempt, while
//! the store holds their SHA-256 alone. Who reads a copy of the store without the key (`links.key_file`) can open nothing.
//!
//! A revoked link stays dead, and no new one is made by itself; only the operator makes one ([`renew`]). One that ended by time
//! is replaced when the invoice is sent again.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::ledger::Session;
use crate::store::StoreError;

/// Bytes of a token: 192 bits.
const TOKEN_BYTES: usize = 24;

/// The key that tokens are made from.
#[derive(Debug, Clone)]
pub struct LinkKey(hmac::Key);

impl LinkKey {
    /// A key of 256 bits, hexadecimal.
    pub fn from_text(text: &str) -> Option<LinkKey> {
        let bytes = hex::decode(text.trim()).ok().filter(|bytes| bytes.len() == 32)?;
        Some(LinkKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Is this link's token one of this key? Those of a key that was lost still open, but nobody can name them again.
    pub fn made(&self, link: &Link) -> bool {
        hash(&self.token(&link.tenant, &link.serial, link.generation)) == link.hash
    }

    /// The token of a link.
    pub fn token(&self, tenant: &str, serial: &str, generation: u32) -> String {
        let tag = hmac::sign(&self.0, format!("link-v1\n{tenant}\n{serial}\n{generation}").as_bytes());
        URL_SAFE_NO_PAD.encode(&tag.as_ref()[..TOKEN_BYTES])
    }
}

/// What is stored of a token.
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// A link as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Link {
    /// SHA-256 of its token, hexadecimal.
    pub hash: String,
    /// Tenant.
    pub tenant: String,
    /// Serial number.
    pub serial: String,
    /// Counts the links of a serial number, from 1.
    pub generation: u32,
    /// Milliseconds.
    pub created_at: i64,
    /// It opens nothing from then on, milliseconds.
    pub expires_at: i64,
    /// When it was revoked, milliseconds.
    pub revoked_at: Option<i64>,
}

impl Link {
    /// Does it open something now?
    pub fn is_open(&self, now: i64) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// The link that is to be named for an invoice now: the latest, or a new one if there was none, it ended by time, or its key is
/// another one. `None`: it
/// was revoked, so none is named.
///
/// # Errors
/// Those of the store.
pub async fn current(
    session: &mut Session,
    key: &LinkKey,
    tenant: &str,
    serial: &str,
    valid_ms: i64,
) -> Result<Option<Link>, StoreError> {
    let links = session.db.links_of(tenant, serial).await?;
    match links.last() {
        Some(latest) if latest.revoked_at.is_some() => Ok(None),
        Some(latest) if latest.is_open(session.now) && key.made(latest) => Ok(Some(latest.clone())),
        latest => make(session, key, tenant, serial, latest.map_or(1, |link| link.generation + 1), valid_ms).await.map(Some),
    }
}

/// Revokes every link of an invoice; how many were open.
///
/// # Errors
/// Those of the store.
pub async fn revoke(session: &mut Session, tenant: &str, serial: &str, by: &str) -> Result<usize, StoreError> {
    let mut revoked = 0;
    for mut link in session.db.links_of(tenant, serial).await? {
        if link.revoked_at.is_none() {
            revoked += usize::from(link.is_open(session.now));
            link.revoked_at = Some(session.now);
            session.db.put_link(&link).await?;
        }
    }
    session.note(tenant, serial, by, "links_revoked", &revoked.to_string()).await?;
    Ok(revoked)
}

/// Makes a new link and revokes all before it.
///
/// # Errors
/// Those of the store.
pub async fn renew(
    session: &mut Session,
    key: &LinkKey,
    tenant: &str,
    serial: &str,
    valid_ms: i64,
    by: &str,
) -> Result<Link, StoreError> {
    revoke(session, tenant, serial, by).await?;
    let generation = session.db.links_of(tenant, serial).await?.last().map_or(1, |link| link.generation + 1);
    make(session, key, tenant, serial, generation, valid_ms).await
}

async fn make(
    session: &mut Session,
    key: &LinkKey,
    tenant: &str,
    serial: &str,
    generation: u32,
    valid_ms: i64,
) -> Result<Link, StoreError> {
    let link = Link {
        hash: hash(&key.token(tenant, serial, generation)),
        tenant: tenant.to_owned(),
        serial: serial.to_owned(),
        generation,
        created_at: session.now,
        expires_at: session.now.saturating_add(valid_ms),
        revoked_at: None,
    };
    session.db.put_link(&link).await?;
    Ok(link)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_its_key_its_invoice_and_its_generation() {
        let key = LinkKey::from_text(&"7a".repeat(32)).unwrap();
        let token = key.token("one", "A1", 1);
        assert_eq!((token.len(), key.token("one", "A1", 1)), (32, token.clone()), "192 bits, the same every time");
        let other = LinkKey::from_text(&"7b".repeat(32)).unwrap();
        for different in
            [key.token("one", "A1", 2), key.token("one", "A2", 1), key.token("two", "A1", 1), other.token("one", "A1", 1)]
        {
            assert_ne!(token, different);
        }
        for bad in ["", "7a", &"zz".repeat(32), &"7a".repeat(31)] {
            assert!(LinkKey::from_text(bad).is_none());
        }
    }
}

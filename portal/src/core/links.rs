//! Public links: `/i/<token>` to an issued invoice, and `/q/<token>`, the code at which a consumer names the buyer. Whoever has
//! one may use it, so a token has 192 bits that nobody can guess, ends after a time, and can be revoked.
//!
//! Tokens are made from a key, not stored: mail, message and callback of one invoice name the same link at every attempt, and a
//! repeated request for a code names the same code, while the store holds their SHA-256 alone. Who reads a copy of the store
//! without the key (`links.key_file`) can open nothing.
//!
//! A revoked link stays dead, and no new one is made by itself; only the operator makes one ([`renew`]). One that ended by time
//! is replaced when the invoice is sent again, or the code asked for again: the serial number is the same, so is the invoice.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::ledger::Session;
use crate::store::{Db, StoreError};

/// Bytes of a token: 192 bits.
const TOKEN_BYTES: usize = 24;
/// Longest token that is looked up, bytes.
const MAX_TOKEN_BYTES: usize = 64;
/// Plain codes of earlier versions that are taken into one transaction.
const ADOPTED_AT_ONCE: u32 = 500;

/// What a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An issued invoice.
    Invoice,
    /// A request whose buyer is named by a consumer.
    Code,
}

impl Kind {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Invoice => "invoice",
            Kind::Code => "code",
        }
    }

    /// Of what is stored.
    pub fn from_text(text: &str) -> Option<Kind> {
        [Kind::Invoice, Kind::Code].into_iter().find(|kind| kind.as_str() == text)
    }

    /// First part of its path.
    pub fn path(self) -> &'static str {
        match self {
            Kind::Invoice => "i",
            Kind::Code => "q",
        }
    }

    /// First line of what its tokens are made from. Never changed: links that were sent would end.
    fn tag(self) -> &'static str {
        match self {
            Kind::Invoice => "link-v1",
            Kind::Code => "code-v1",
        }
    }
}

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
        hash(&self.token(link.kind, &link.tenant, &link.serial, link.generation)) == link.hash
    }

    /// The token of a link.
    pub fn token(&self, kind: Kind, tenant: &str, serial: &str, generation: u32) -> String {
        let text = format!("{}\n{tenant}\n{serial}\n{generation}", kind.tag());
        let tag = hmac::sign(&self.0, text.as_bytes());
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
    /// What it leads to.
    pub kind: Kind,
    /// Tenant.
    pub tenant: String,
    /// Serial number.
    pub serial: String,
    /// Counts the links of a kind of a serial number, from 1.
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

/// What a token opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This link.
    Open(Link),
    /// Nothing any more: it ended, or was revoked.
    Ended,
    /// Nothing: it was never made, or leads to something else.
    Nothing,
}

/// Looks a token up.
///
/// # Errors
/// Those of the store.
pub async fn find(db: &mut dyn Db, kind: Kind, token: &str, now: i64) -> Result<Found, StoreError> {
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return Ok(Found::Nothing);
    }
    Ok(match db.link(&hash(token)).await? {
        Some(link) if link.kind != kind => Found::Nothing,
        Some(link) if link.is_open(now) => Found::Open(link),
        Some(_) => Found::Ended,
        None => Found::Nothing,
    })
}

/// Takes over codes that an earlier version stored as plain tokens: what was printed goes on opening, for `valid_ms` from now,
/// and the store holds hashes alone. Runs at every start, before anything is answered; how many there were.
///
/// # Errors
/// Those of the store.
pub async fn adopt_plain_codes(db: &mut dyn Db, now: i64, valid_ms: i64) -> Result<usize, StoreError> {
    let mut adopted = 0;
    loop {
        let codes = db.plain_codes(ADOPTED_AT_ONCE).await?;
        if codes.is_empty() {
            break;
        }
        // If we stop inside, nothing of these was done, and the next start takes them again.
        db.begin().await?;
        for code in &codes {
            let link = Link {
                hash: hash(&code.token),
                kind: Kind::Code,
                tenant: code.tenant.clone(),
                serial: code.serial.clone(),
                generation: 1,
                created_at: now,
                expires_at: now.saturating_add(valid_ms),
                revoked_at: None,
            };
            db.put_link(&link).await?;
            if let Some(request) = db.request(&code.tenant, &code.serial).await? {
                // Written again, its body is without the token.
                db.put_request(&request).await?;
            }
            db.forget_plain_code(code).await?;
        }
        db.commit().await?;
        adopted += codes.len();
    }
    if adopted > 0 {
        // Pages that were freed still hold the old text.
        db.compact().await?;
    }
    Ok(adopted)
}

/// The link that is to be named now: the latest, or a new one if there was none, it ended by time, or its key is another one.
/// `None`: it was revoked, so none is named.
///
/// # Errors
/// Those of the store.
pub async fn current(
    session: &mut Session,
    key: &LinkKey,
    kind: Kind,
    tenant: &str,
    serial: &str,
    valid_ms: i64,
) -> Result<Option<Link>, StoreError> {
    let links = session.db.links_of(kind, tenant, serial).await?;
    match links.last() {
        Some(latest) if latest.revoked_at.is_some() => Ok(None),
        Some(latest) if latest.is_open(session.now) && key.made(latest) => Ok(Some(latest.clone())),
        latest => {
            let generation = latest.map_or(1, |link| link.generation + 1);
            make(session, key, kind, tenant, serial, generation, valid_ms).await.map(Some)
        }
    }
}

/// Revokes every link of a kind of a request; how many were open.
///
/// # Errors
/// Those of the store.
pub async fn revoke(session: &mut Session, kind: Kind, tenant: &str, serial: &str, by: &str) -> Result<usize, StoreError> {
    let mut revoked = 0;
    for mut link in session.db.links_of(kind, tenant, serial).await? {
        if link.revoked_at.is_none() {
            revoked += usize::from(link.is_open(session.now));
            link.revoked_at = Some(session.now);
            session.db.put_link(&link).await?;
        }
    }
    let what = match kind {
        Kind::Invoice => "links_revoked",
        Kind::Code => "codes_revoked",
    };
    session.note(tenant, serial, by, what, &revoked.to_string()).await?;
    Ok(revoked)
}

/// Makes a new link and revokes all before it.
///
/// # Errors
/// Those of the store.
pub async fn renew(
    session: &mut Session,
    key: &LinkKey,
    kind: Kind,
    tenant: &str,
    serial: &str,
    valid_ms: i64,
    by: &str,
) -> Result<Link, StoreError> {
    revoke(session, kind, tenant, serial, by).await?;
    let generation = session.db.links_of(kind, tenant, serial).await?.last().map_or(1, |link| link.generation + 1);
    make(session, key, kind, tenant, serial, generation, valid_ms).await
}

async fn make(
    session: &mut Session,
    key: &LinkKey,
    kind: Kind,
    tenant: &str,
    serial: &str,
    generation: u32,
    valid_ms: i64,
) -> Result<Link, StoreError> {
    let link = Link {
        hash: hash(&key.token(kind, tenant, serial, generation)),
        kind,
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
    fn a_token_is_of_its_key_its_kind_its_request_and_its_generation() {
        let key = LinkKey::from_text(&"7a".repeat(32)).unwrap();
        let kind = Kind::Invoice;
        let token = key.token(kind, "one", "A1", 1);
        assert_eq!((token.len(), key.token(kind, "one", "A1", 1)), (32, token.clone()), "192 bits, the same every time");
        let other = LinkKey::from_text(&"7b".repeat(32)).unwrap();
        for different in [
            key.token(kind, "one", "A1", 2),
            key.token(kind, "one", "A2", 1),
            key.token(kind, "two", "A1", 1),
            key.token(Kind::Code, "one", "A1", 1),
            other.token(kind, "one", "A1", 1),
        ] {
            assert_ne!(token, different);
        }
        for bad in ["", "7a", &"zz".repeat(32), &"7a".repeat(31)] {
            assert!(LinkKey::from_text(bad).is_none());
        }
    }
}

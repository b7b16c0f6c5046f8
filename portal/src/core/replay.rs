//! Tokens are used for one thing (yonyou-open-api.md, section 2.5): the signature covers neither the interface nor most of the
//! parameters, so whoever saw a token could use it for another call. The same call with the same parameters is a repeat, and a
//! repeat is answered.

use sha2::{Digest as _, Sha256};

use crate::ledger::Session;
use crate::store::{StoreError, UsedToken};

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replayed {
    /// The same token with something else.
    #[error("同一令牌已用于其他请求")]
    Token,
    /// Another token with the same id.
    #[error("令牌 jti 重复")]
    Jti,
}

/// A token and what it comes with.
#[derive(Debug, Clone)]
pub struct Use {
    /// Whose.
    pub appid: String,
    /// The token.
    pub sign: String,
    /// `jti`, where it is a text that is no number.
    pub jti: Option<String>,
    /// Interface, without its prefix.
    pub name: String,
    /// SHA-256 of the decoded parameters.
    pub parameters: String,
    /// It can be used until then, seconds.
    pub until_s: i64,
}

/// Remembers a token of a call that changes something.
///
/// # Errors
/// Those of the store. The inner error: it was used for something else.
pub async fn once(session: &mut Session, used: &Use) -> Result<Result<(), Replayed>, StoreError> {
    let token = hex::encode(Sha256::digest(used.sign.as_bytes()));
    let used_for = format!("{} {}", used.name, used.parameters);
    let jti = used.jti.clone().unwrap_or_default();
    let known = session.db.used_tokens(&used.appid, &token, &jti).await?;
    if let Some(known) = known.iter().find(|known| known.token == token) {
        return Ok(if known.used_for == used_for { Ok(()) } else { Err(Replayed::Token) });
    }
    // The others have its jti.
    if !known.is_empty() {
        return Ok(Err(Replayed::Jti));
    }
    let token = UsedToken { appid: used.appid.clone(), token, jti, used_for, until_s: used.until_s };
    session.db.put_token(&token).await?;
    Ok(Ok(()))
}

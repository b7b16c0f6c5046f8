//! The header `sign` (yonyou-open-api.md, section 2): who calls, and what of the request is covered.
//!
//! Written by hand because real clients break every library: the official Java client sends a zlib stream without an end, PHP a
//! numeric `jti`, C# an `exp` in fractional milliseconds, a third one all claims inside the header. The order of the checks is
//! the point: the algorithm is judged before a key is touched, the signature before anything is inflated, so that only holders
//! of a key can make us work. Nothing in a token names the caller: the appid of the query string does, and its keys decide.
//!
//! Pure: time comes in, and the verdict does not say whether the token was seen before ([`crate::core::replay`]).
//!
//! Read first: [`verify`].

mod claims;
pub(crate) mod digest;
mod inflate;
mod token;

pub use claims::Claims;
pub use token::{Algorithm, PublicKey};

use crate::wire::json::Json;

/// Characters of the header at most. Real ones have 500 to 1100.
pub const MAX_SIGN_BYTES: usize = 16 * 1024;
/// Clocks may differ so much, seconds.
pub const SKEW_S: i64 = 300;
/// A token lives so long at most, seconds.
pub const MAX_LIFETIME_S: i64 = 24 * 3600;
/// A token without an end is good for so long after its `iat`, and `iat` may be so far ahead, seconds.
pub const WINDOW_S: i64 = 3600;

/// Why a token was refused. The text is all that the caller reads: no claim is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// No header.
    #[error("缺少 sign 请求头")]
    Missing,
    /// Not three base64url parts within the limit.
    #[error("令牌格式错误")]
    Form,
    /// The header is no JSON object, or holds what cannot be taken.
    #[error("令牌头错误")]
    Header,
    /// Not RS256, RS384 or RS512 (PS256 where it is switched on).
    #[error("签名算法不允许")]
    Algorithm,
    /// No key of this caller made it.
    #[error("签名与公钥不符")]
    Signature,
    /// The payload cannot be inflated, or is too large.
    #[error("令牌内容无法解压或过大")]
    Inflate,
    /// The payload is no JSON object.
    #[error("令牌内容不是 JSON 对象")]
    Payload,
    /// `exp`, `nbf` and `iat` are all absent, or not numbers.
    #[error("令牌没有可用的时间")]
    Time,
    /// It is over.
    #[error("令牌已过期")]
    Expired,
    /// It is not yet good, or good for too long.
    #[error("令牌时间超前，请校准时钟")]
    Early,
    /// The digest of `requestdatas` is absent.
    #[error("令牌缺少 requestdatas 摘要")]
    DigestMissing,
    /// The digest is that of something else.
    #[error("摘要与请求内容不符")]
    Digest,
    /// One of our claims (`path`, `appid`, `body_sha256`) is that of another request, or is required and absent.
    #[error("令牌与本次请求不符")]
    Bound,
    /// `requestdatas` is there twice.
    #[error("requestdatas 重复")]
    Twice,
}

impl Refused {
    /// For the member `subcode`.
    pub fn subcode(self) -> &'static str {
        match self {
            Refused::Missing => "SIGN_MISSING",
            Refused::Form => "SIGN_FORM",
            Refused::Header => "SIGN_HEADER",
            Refused::Algorithm => "SIGN_ALGORITHM",
            Refused::Signature => "SIGN_SIGNATURE",
            Refused::Inflate => "SIGN_INFLATE",
            Refused::Payload => "SIGN_PAYLOAD",
            Refused::Time => "SIGN_TIME",
            Refused::Expired => "SIGN_EXPIRED",
            Refused::Early => "SIGN_EARLY",
            Refused::DigestMissing => "SIGN_DIGEST_MISSING",
            Refused::Digest => "SIGN_DIGEST",
            Refused::Bound => "SIGN_BOUND",
            Refused::Twice => "SIGN_TWICE",
        }
    }
}

/// What the token is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Path without the query.
    pub path: &'a str,
    /// From the query string.
    pub appid: &'a str,
    /// Every value of `requestdatas`, decoded once.
    pub requestdatas: &'a [&'a str],
    /// The value of `nsrsbh`, if the form has one.
    pub nsrsbh: Option<&'a str>,
    /// The raw body.
    pub body: &'a [u8],
}

/// How strict one caller is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// PS256 is taken (the official C# sample).
    pub ps256: bool,
    /// Our claims `path`, `appid` and `body_sha256` must be there.
    pub bound: bool,
}

/// A token that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which kind of client wrote it (A to I of section 2.2), for the log.
    pub variant: char,
    /// Its `jti`, where it is a text that is no number: then it names one token.
    pub jti: Option<String>,
    /// The last second at which it can be used, skew included.
    pub until_s: i64,
}

/// Verifies a token.
///
/// # Errors
/// The first check that fails, in the order of section 2.4.
pub fn verify(
    sign: Option<&str>,
    keys: &[PublicKey],
    rules: Rules,
    signed: &Signed<'_>,
    now_s: i64,
) -> Result<Verified, Refused> {
    let sign = sign.map(str::trim).filter(|sign| !sign.is_empty()).ok_or(Refused::Missing)?;
    let token = token::Token::read(sign)?;
    let algorithm = token.algorithm(rules.ps256)?;
    let compressed = token.compression()?;
    if !keys.iter().any(|key| key.verifies(algorithm, token.signed_text(), token.signature())) {
        return Err(Refused::Signature);
    }
    let payload = match compressed {
        Some(compression) => inflate::inflate(token.payload(), compression)?,
        None => token.payload().to_vec(),
    };
    let payload = String::from_utf8(payload).map_err(|_| Refused::Payload)?;
    let payload = Json::parse_within(&payload, claims::MAX_DEPTH).map_err(|_| Refused::Payload)?;
    if !matches!(payload, Json::Object(_)) {
        return Err(Refused::Payload);
    }
    let claims = Claims::read(&payload, token.header())?;
    let until_s = claims.check_times(now_s)?;
    digest::check(&claims, rules.bound, signed)?;
    let variant = claims.variant(algorithm, compressed.is_some(), token.header());
    Ok(Verified { variant, jti: claims.jti, until_s })
}

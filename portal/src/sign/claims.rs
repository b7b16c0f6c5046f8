//! What a token says: times and digests (yonyou-open-api.md, sections 2.1, 2.2, 2.4.6).

use rust_decimal::Decimal;

use super::token::Algorithm;
use super::{MAX_LIFETIME_S, Refused, SKEW_S, WINDOW_S};
use crate::wire::json::Json;

/// Nesting of header and payload at most.
pub(super) const MAX_DEPTH: usize = 4;
/// From here on a time is in milliseconds: 10¹¹ seconds are the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Claims of a token; `sub`, `iss` and `aud` are constants of the samples and prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// `exp`, seconds.
    pub exp: Option<i64>,
    /// `nbf`, seconds.
    pub nbf: Option<i64>,
    /// `iat`, seconds.
    pub iat: Option<i64>,
    /// `jti`, where it is a text that is no number.
    pub jti: Option<String>,
    /// Digest of `requestdatas`.
    pub requestdatas: Option<String>,
    /// Digest of `nsrsbh`.
    pub nsrsbh: Option<String>,
    /// Our own: path of the request.
    pub path: Option<String>,
    /// Our own: the caller.
    pub appid: Option<String>,
    /// Our own: digest of the raw body.
    pub body_sha256: Option<String>,
    numeric_jti: bool,
    times_in_header: bool,
    fractional: bool,
}

impl Claims {
    /// Reads the claims; times and the id from the header where the payload has no time.
    pub(super) fn read(payload: &Json, header: &Json) -> Result<Claims, Refused> {
        let has_times = |json: &Json| ["exp", "nbf", "iat"].iter().any(|name| json.get(name).is_some());
        let times_in_header = !has_times(payload) && has_times(header);
        let times = if times_in_header { header } else { payload };
        let text = |name: &str| match payload.get(name) {
            Some(Json::Text(text)) => Some(text.clone()),
            // A digest that is no text is a digest that does not match.
            Some(other) => Some(other.to_string()),
            None => None,
        };
        let jti = times.get("jti").and_then(Json::scalar).map(str::to_owned);
        let numeric_jti = jti.as_deref().is_some_and(|jti| jti.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
        Ok(Claims {
            exp: seconds(times.get("exp"))?,
            nbf: seconds(times.get("nbf"))?,
            iat: seconds(times.get("iat"))?,
            jti: jti.filter(|_| !numeric_jti),
            requestdatas: text("requestdatas"),
            nsrsbh: text("nsrsbh"),
            path: text("path"),
            appid: text("appid"),
            body_sha256: text("body_sha256"),
            numeric_jti,
            times_in_header,
            fractional: times.get("exp").and_then(Json::scalar).is_some_and(|exp| exp.contains('.')),
        })
    }

    /// The last second at which the token can be used.
    pub(super) fn check_times(&self, now_s: i64) -> Result<i64, Refused> {
        let end = match (self.exp, self.iat) {
            (Some(exp), _) if exp > now_s + MAX_LIFETIME_S => return Err(Refused::Early),
            (Some(exp), _) => exp,
            (None, Some(iat)) => iat + WINDOW_S,
            (None, None) => return Err(Refused::Time),
        };
        if now_s > end + SKEW_S {
            return Err(Refused::Expired);
        }
        if self.nbf.is_some_and(|nbf| nbf > now_s + SKEW_S) || self.iat.is_some_and(|iat| iat > now_s + WINDOW_S) {
            return Err(Refused::Early);
        }
        Ok(end + SKEW_S)
    }

    /// The letter of section 2.2 that fits best; for the log alone.
    pub(super) fn variant(&self, algorithm: Algorithm, compressed: bool, header: &Json) -> char {
        match algorithm {
            Algorithm::Ps256 => 'F',
            _ if self.fractional => 'F',
            _ if self.times_in_header => 'G',
            _ if compressed && header.get("zip").is_some() => 'B',
            _ if compressed && self.exp.is_none() => 'H',
            _ if compressed => 'A',
            _ if self.numeric_jti => 'E',
            Algorithm::Rs512 => 'C',
            _ => 'D',
        }
    }
}

/// A time: a number, whole or not, or digits as text; seconds or milliseconds. Absent is not an error, nonsense is.
fn seconds(claim: Option<&Json>) -> Result<Option<i64>, Refused> {
    let Some(claim) = claim.filter(|claim| !matches!(claim, Json::Null)) else { return Ok(None) };
    let text = match claim {
        Json::Number(number) => number.as_str(),
        Json::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text,
        _ => return Err(Refused::Time),
    };
    let value = text.parse::<Decimal>().or_else(|_| Decimal::from_scientific(text)).map_err(|_| Refused::Time)?;
    let whole = i64::try_from(value.trunc()).map_err(|_| Refused::Time)?;
    let whole = if whole >= MILLISECONDS_FROM { whole / 1000 } else { whole };
    // Sums with windows must stay in range.
    (0..MILLISECONDS_FROM).contains(&whole).then_some(Some(whole)).ok_or(Refused::Time)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn times(text: &str) -> Result<i64, Refused> {
        Claims::read(&Json::parse(text).unwrap(), &Json::Object(Vec::new()))?.check_times(NOW)
    }

    #[test]
    fn times_have_their_skew_and_not_a_second_more() {
        let at = |name: &str, offset: i64| times(&format!("{{\"{name}\":{}}}", NOW + offset));
        assert_eq!(at("exp", -300), Ok(NOW));
        assert_eq!(at("exp", -301), Err(Refused::Expired));
        assert!(at("exp", MAX_LIFETIME_S).is_ok());
        assert_eq!(at("exp", MAX_LIFETIME_S + 1), Err(Refused::Early));
        assert!(at("iat", -3900).is_ok());
        assert_eq!(at("iat", -3901), Err(Refused::Expired));
        assert!(at("iat", 3600).is_ok());
        assert_eq!(at("iat", 3601), Err(Refused::Early));
        assert_eq!(at("nbf", 0), Err(Refused::Time), "nbf alone says nothing about the end");
        let nbf = |offset: i64| times(&format!("{{\"exp\":{},\"nbf\":{}}}", NOW + 10, NOW + offset));
        assert!(nbf(300).is_ok());
        assert_eq!(nbf(301), Err(Refused::Early));
    }

    #[test]
    fn times_are_read_in_every_form_that_occurs() {
        for good in ["1800000000", "1800000000.75", "\"1800000000\"", "1800000000000.25", "\"1800000000000\"", "1.8E9"] {
            assert!(times(&format!("{{\"exp\":{good}}}")).is_ok(), "{good}");
        }
        for bad in ["\"soon\"", "true", "[]", "1e30", "-1", "\"\"", "\"-1800000000\""] {
            assert_eq!(times(&format!("{{\"exp\":{bad}}}")), Err(Refused::Time), "{bad}");
        }
    }
}

//! What of the request the token covers (yonyou-open-api.md, sections 2.3 and 2.5).

use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Claims, Refused, Signed};
use crate::wire::form;

pub(super) fn check(claims: &Claims, bound: bool, signed: &Signed<'_>) -> Result<(), Refused> {
    match signed.requestdatas {
        // Status queries carry all sorts of digests: of the serial number, of an object that is never sent.
        [] => {
            if let (Some(value), Some(claim)) = (signed.nsrsbh, &claims.nsrsbh)
                && !same(claim, &md5_hex(value))
            {
                return Err(Refused::Digest);
            }
        }
        [value] => {
            let claim = claims.requestdatas.as_deref().ok_or(Refused::DigestMissing)?;
            let twice = twice_encoded(value);
            if !same(claim, &md5_hex(value)) && !twice.is_some_and(|value| same(claim, &md5_hex(&value))) {
                return Err(Refused::Digest);
            }
        }
        _ => return Err(Refused::Twice),
    }
    let ours = [
        (&claims.path, signed.path.to_owned()),
        (&claims.appid, signed.appid.to_owned()),
        (&claims.body_sha256, hex::encode(Sha256::digest(signed.body))),
    ];
    for (claim, truth) in ours {
        match claim {
            Some(claim) if !same(claim, &truth) => return Err(Refused::Bound),
            None if bound => return Err(Refused::Bound),
            _ => {}
        }
    }
    Ok(())
}

/// A client that follows the later manual encodes before its library encodes again: what the form decoding leaves then begins
/// with an escaped bracket.
pub(crate) fn twice_encoded(value: &str) -> Option<String> {
    let start = value.trim_start().get(..3)?;
    let escaped = ["%5B", "%7B"].iter().any(|bracket| start.eq_ignore_ascii_case(bracket));
    escaped.then(|| form::decode(value.as_bytes()).ok()).flatten()
}

fn md5_hex(value: &str) -> String {
    hex::encode(Md5::digest(value.as_bytes()))
}

/// Without regard to letter case, in constant time.
fn same(claim: &str, truth: &str) -> bool {
    claim.to_ascii_lowercase().as_bytes().ct_eq(truth.to_ascii_lowercase().as_bytes()).into()
}

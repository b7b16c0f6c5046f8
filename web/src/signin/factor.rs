//! The second factor: time-based one-time passwords (RFC 6238) of an app on the person's telephone, and recovery codes for the
//! day that the telephone is gone.
//!
//! Decides, and keeps nothing: a store writes what [`Factor::take`] gives back in the same step, so that a code that two requests
//! bring at once lets one of them in. SHA-1, six digits, 30 seconds: what every app knows; for HMAC that SHA-1 collides is
//! nothing.
//!
//! What it refuses to do: take a code twice, or one that is older than the one before it.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use fast_qr::ECL;
use fast_qr::qr::QRBuilder;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use totp_rs::{Builder, Secret, Totp};

use super::session::labelled;

/// Recovery codes that somebody gets.
pub const RECOVERY_CODES: usize = 10;
/// A code of a step before or after this many is good: clocks of telephones and the time that typing takes.
const SKEW_STEPS: u16 = 1;
/// A step, seconds.
const STEP_S: u64 = 30;
/// Random bytes of a recovery code: 80 bits, so a plain digest of it is enough, and 16 characters to type.
const RECOVERY_BYTES: usize = 10;
/// Longer texts are no code, bytes.
const CODE_BYTES_MAX: usize = 64;

/// A person's second factor as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// What the telephone has too, base32. It must be readable here, as a password need not.
    secret: String,
    /// The person has shown a code of it. Before, it asks for nothing: whoever scans badly does not lock himself out.
    confirmed: bool,
    /// The step of the last code that was taken; only later ones are good.
    #[serde(default)]
    step: u64,
    /// Digests of the recovery codes that were not used yet.
    #[serde(default)]
    recovery: Vec<String>,
}

impl std::fmt::Debug for Factor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It stands in rows that are logged when something is wrong with them.
        let (confirmed, recovery) = (self.confirmed, self.recovery.len());
        out.debug_struct("Factor").field("confirmed", &confirmed).field("recovery", &recovery).finish_non_exhaustive()
    }
}

/// What somebody needs to set up his app. Shown to him alone, until he has confirmed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// To type, base32.
    pub secret: String,
    /// To scan: the same as apps read it (`otpauth://`).
    pub uri: String,
    /// The same as a QR code: SVG, with attributes only.
    pub qr: String,
}

impl Factor {
    /// A new one, not confirmed yet. `None`: the system has no randomness to give.
    pub fn new() -> Option<Factor> {
        let mut bytes = [0; 20];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Factor { secret: Secret::new_stack(bytes).to_base32(), confirmed: false, step: 0, recovery: Vec::new() })
    }

    /// Does a sign-in ask for it?
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Recovery codes that are left.
    pub fn recovery_left(&self) -> usize {
        self.recovery.len()
    }

    /// How to set up the app. `issuer`: the name of this program; `account`: of the person, who sees both in the app.
    pub fn enrolment(&self, issuer: &str, account: &str) -> Option<Enrolment> {
        // A colon parts the two in the address.
        let uri = self.totp(&issuer.replace(':', " "), &account.replace(':', " "))?.to_url().ok()?;
        Some(Enrolment { secret: self.secret.clone(), qr: svg(&uri)?, uri })
    }

    /// Confirms it with the first code. `recovery`: digests of the recovery codes that come with it. `None`: the code is wrong,
    /// or it is confirmed already.
    pub fn confirm(&self, code: &str, recovery: &[String], now_ms: i64) -> Option<Factor> {
        let step = self.step_of(code, now_ms).filter(|_| !self.confirmed)?;
        Some(Factor { confirmed: true, step, recovery: recovery.to_vec(), ..self.clone() })
    }

    /// Takes a code of the app, or a recovery code. `None`: it is wrong, or was used. What is given back is to be stored before
    /// anybody is let in.
    pub fn take(&self, code: &str, now_ms: i64) -> Option<Factor> {
        if let Some(step) = self.step_of(code, now_ms) {
            return Some(Factor { step, ..self.clone() });
        }
        if code.len() > CODE_BYTES_MAX {
            return None;
        }
        let given = digest(code);
        let used = self.recovery.iter().position(|known| known.as_bytes().ct_eq(given.as_bytes()).into())?;
        let mut left = self.clone();
        left.recovery.remove(used);
        Some(left)
    }

    /// The step of a good code that is later than all that were taken.
    fn step_of(&self, code: &str, now_ms: i64) -> Option<u64> {
        let typed: String = code.chars().filter(|c| !c.is_whitespace()).take(CODE_BYTES_MAX).collect();
        if typed.len() != 6 {
            return None;
        }
        let now_s = u64::try_from(now_ms / 1000).ok()?;
        let step = self.totp("", "person")?.check(&typed, now_s)?;
        (step > self.step).then_some(step)
    }

    fn totp(&self, issuer: &str, account: &str) -> Option<Totp> {
        let secret = Secret::try_from_base32(&self.secret).ok()?;
        let issuer = (!issuer.is_empty()).then_some(issuer);
        let built = Builder::new().with_secret(secret).with_skew(SKEW_STEPS).with_step_duration(STEP_S);
        built.with_account_name(account).with_issuer(issuer).build().ok()
    }
}

/// The code that an app with this secret shows at a moment. For tests of whoever uses this module.
#[doc(hidden)]
pub fn code_of(secret: &str, now_ms: i64) -> Option<String> {
    let factor = Factor { secret: secret.to_owned(), confirmed: true, step: 0, recovery: Vec::new() };
    Some(factor.totp("", "person")?.generate(u64::try_from(now_ms / 1000).ok()?).to_string())
}

/// New recovery codes, as they are shown. `None`: the system has no randomness to give.
pub fn recovery_codes() -> Option<Vec<String>> {
    (0..RECOVERY_CODES).map(|_| recovery_code()).collect()
}

/// Four groups of four characters of base32, which nobody mixes up when he reads them from paper.
fn recovery_code() -> Option<String> {
    let mut bytes = [0; RECOVERY_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    let text = Secret::new(Box::new(bytes)).to_base32().to_lowercase();
    let groups: Vec<&str> = (0..4).filter_map(|n| text.get(n * 4..n * 4 + 4)).collect();
    Some(groups.join("-"))
}

/// What is stored of a recovery code: however it was typed.
pub(super) fn digest(code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    labelled("taxdisk-recovery-v1", &plain)
}

/// A text as a QR code (ISO/IEC 18004), one unit a module; the policy of the pages allows attributes, and no style.
fn svg(text: &str) -> Option<String> {
    const QUIET: usize = 4;
    let code = QRBuilder::new(text).ecl(ECL::M).build().ok()?;
    let side = code.size + 2 * QUIET;
    let mut path = String::new();
    for (row, modules) in code.data.chunks(code.size).take(code.size).enumerate() {
        for (column, _) in modules.iter().enumerate().filter(|(_, module)| module.value()) {
            path += &format!("M{} {}h1v1h-1z", column + QUIET, row + QUIET);
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" width=\"220\" height=\"220\" role=\"img\" \
         aria-label=\"QR\" shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/>\
         <path d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Milliseconds; the beginning of a step.
    const NOW: i64 = 1_770_000_000_000;
    const STEP_MS: i64 = 30_000;

    fn confirmed() -> (Factor, Vec<String>) {
        let (fresh, codes) = (Factor::new().unwrap(), recovery_codes().unwrap());
        let digests: Vec<String> = codes.iter().map(|code| digest(code)).collect();
        (fresh.confirm(&code_of(&fresh.secret, NOW).unwrap(), &digests, NOW).unwrap(), codes)
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1, the last six of its eight digits.
        let secret = Secret::new_stack(*b"12345678901234567890").to_base32();
        let factor = Factor { secret, confirmed: true, step: 0, recovery: Vec::new() };
        for (at, code) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")] {
            assert_eq!(code_of(&factor.secret, at * 1000).unwrap(), code, "{at}");
            assert!(factor.take(code, at * 1000).is_some(), "{at}");
        }
    }

    #[test]
    fn a_code_is_good_once_and_a_step_early_or_late() {
        let (factor, _) = confirmed();
        let code = |steps: i64| code_of(&factor.secret, NOW + steps * STEP_MS).unwrap();
        assert!(factor.take(&code(0), NOW).is_none(), "the one that confirmed it was used");
        for (steps, good) in [(3, true), (2, true), (4, true), (5, false), (1, false)] {
            assert_eq!(factor.take(&code(steps), NOW + 3 * STEP_MS).is_some(), good, "{steps}");
        }
        let used = factor.take(&code(3), NOW + 3 * STEP_MS).unwrap();
        assert!(used.take(&code(3), NOW + 3 * STEP_MS).is_none(), "once");
        assert!(used.take(&code(2), NOW + 3 * STEP_MS).is_none(), "one that was seen before it is not good after it");
        let spaced = format!("{} {}", &code(4)[..3], &code(4)[3..]);
        assert!(used.take(&spaced, NOW + 4 * STEP_MS).is_some(), "as apps show it");
        for no_code in ["", "12345", "1234567", "abcdef", "１２３４５６"] {
            assert!(used.take(no_code, NOW + 4 * STEP_MS).is_none(), "{no_code:?}");
        }
    }

    #[test]
    fn a_recovery_code_is_good_once_however_it_is_typed_and_is_not_stored() {
        let (factor, codes) = confirmed();
        assert_eq!((codes.len(), factor.recovery_left()), (RECOVERY_CODES, RECOVERY_CODES));
        let stored = serde_json_like(&factor);
        assert!(codes.iter().all(|code| code.len() == 19 && !stored.contains(code.as_str())), "{codes:?}");
        let left = factor.take(&codes[3].to_uppercase().replace('-', " "), NOW).unwrap();
        assert_eq!(left.recovery_left(), RECOVERY_CODES - 1);
        assert!(left.take(&codes[3], NOW).is_none());
        assert!(left.take(&codes[4], NOW).is_some());
        assert!(left.take(&"a".repeat(1000), NOW).is_none());
    }

    /// What a store would write, roughly.
    fn serde_json_like(factor: &Factor) -> String {
        factor.recovery.join(" ") + &format!("{factor:?}")
    }

    #[test]
    fn an_app_is_set_up_by_address_and_picture() {
        let factor = Factor::new().unwrap();
        let made = factor.enrolment("taxdisk", "anna").unwrap();
        assert_eq!(made.uri, format!("otpauth://totp/taxdisk:anna?secret={}&issuer=taxdisk", made.secret));
        assert_eq!(made.secret.len(), 32, "160 bits");
        assert!(made.qr.starts_with("<svg") && !made.qr.contains("style"));
        assert!(!format!("{factor:?}").contains(&made.secret), "nothing that is logged holds it");
        let (right, wrong) = (code_of(&factor.secret, NOW).unwrap(), code_of(&factor.secret, NOW + 10 * STEP_MS).unwrap());
        assert!(!factor.is_confirmed() && (right == wrong || factor.confirm(&wrong, &[], NOW).is_none()));
        let done = factor.confirm(&right, &[], NOW).unwrap();
        assert!(done.is_confirmed() && done.confirm(&code_of(&factor.secret, NOW + STEP_MS).unwrap(), &[], NOW).is_none());
    }
}

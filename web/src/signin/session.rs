//! Sessions: a random token in a cookie, of which only the hash is stored.

use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Without a request for so long a session ends, milliseconds: half an hour, a clerk's break.
pub const IDLE_MS: i64 = 30 * 60 * 1000;
/// A session ends after so long in any case, milliseconds: a working day.
pub const ABSOLUTE_MS: i64 = 12 * 3600 * 1000;
/// The time of the last request is written at most so often, milliseconds, so that reading does not write each time.
pub const TOUCH_MS: i64 = 60 * 1000;
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of its token, base64url.
    pub hash: String,
    /// Whose.
    pub account: String,
    /// Milliseconds.
    pub created_at: i64,
    /// The last request, milliseconds, to [`TOUCH_MS`].
    pub seen_at: i64,
}

impl Session {
    /// Is it still good?
    pub fn is_open(&self, now: i64) -> bool {
        now < self.created_at.saturating_add(ABSOLUTE_MS) && now < self.seen_at.saturating_add(IDLE_MS)
    }

    /// With this request noted, if that is worth writing.
    pub fn touched(&self, now: i64) -> Option<Session> {
        (now >= self.seen_at.saturating_add(TOUCH_MS)).then(|| Session { seen_at: now, ..self.clone() })
    }
}

/// 256 random bits, base64url. `None`: the system has no randomness to give.
pub fn random() -> Option<String> {
    let mut bytes = [0; TOKEN_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// What is stored of a token: it has 256 random bits, so a plain digest is enough.
pub fn hash(token: &str) -> String {
    labelled("taxdisk-session-v1", token)
}

/// A digest for one purpose.
pub(crate) fn labelled(label: &str, token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, format!("{label}\n{token}").as_bytes()))
}

/// The cookie of a session. Each program has its own: browsers keep no port apart from another, and two consoles on one host
/// would sign their people out of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    tls: bool,
}

impl Cookie {
    /// Of this program. Over TLS its prefix makes browsers refuse one that another host or a plain page has set.
    pub fn new(program: &str, tls: bool) -> Cookie {
        Cookie { name: format!("{}{program}", if tls { "__Host-" } else { "" }), tls }
    }

    /// `Set-Cookie` that begins a session. It ends with the browser, and here when it expires.
    pub fn begin(&self, token: &str) -> String {
        let secure = if self.tls { "; Secure" } else { "" };
        format!("{}={token}; Path=/; HttpOnly; SameSite=Lax{secure}", self.name)
    }

    /// `Set-Cookie` that ends it.
    pub fn end(&self) -> String {
        format!("{}; Max-Age=0", self.begin(""))
    }

    /// The token of a `Cookie` header. Two of the same name: none, since one of them is not ours.
    pub fn token_of<'a>(&self, header: &'a str) -> Option<&'a str> {
        let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
        let mut own = pairs.filter(|(name, _)| *name == self.name).map(|(_, value)| value);
        let token = own.next().filter(|token| !token.is_empty())?;
        own.next().is_none().then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_rest_and_by_age() {
        let session = Session { hash: String::new(), account: String::new(), created_at: 0, seen_at: 0 };
        assert!(session.is_open(IDLE_MS - 1));
        assert!(!session.is_open(IDLE_MS));
        let busy = Session { seen_at: ABSOLUTE_MS - 1, ..session };
        assert!(busy.is_open(ABSOLUTE_MS - 1));
        assert!(!busy.is_open(ABSOLUTE_MS));
        assert_eq!(busy.touched(ABSOLUTE_MS), None);
    }

    #[test]
    fn cookies_are_ours_alone() {
        let (tls, plain) = (Cookie::new("taxdisk", true), Cookie::new("taxdisk", false));
        assert_eq!(tls.begin("x"), "__Host-taxdisk=x; Path=/; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(tls.token_of("a=b; __Host-taxdisk=x"), Some("x"));
        assert_eq!(tls.token_of("taxdisk=x"), None, "a plain cookie is none over TLS");
        assert_eq!(plain.token_of("taxdisk=x; taxdisk=y"), None);
        assert_eq!(plain.token_of("taxdisk="), None);
        assert_eq!(Cookie::new("taxdisk-broker", false).token_of("taxdisk=x"), None, "another program's");
        assert_ne!(hash("x"), labelled("taxdisk-csrf-v1", "x"));
    }
}

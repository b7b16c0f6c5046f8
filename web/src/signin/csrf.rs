//! Requests that another site makes a browser send.
//!
//! Two guards, and a request that changes something passes both: the browser says that it comes from a page of ours, and the form
//! holds the token of the session. The token is made from the session's by a one-way function, so it is stored nowhere.

use subtle::ConstantTimeEq as _;

use super::session::labelled;

/// The token of a session, for its forms.
pub fn token(session_token: &str) -> String {
    labelled("taxdisk-csrf-v1", session_token)
}

/// Is this the token of the session? In constant time.
pub fn is_token(session_token: &str, given: &str) -> bool {
    token(session_token).as_bytes().ct_eq(given.as_bytes()).into()
}

/// Does the browser say that a page of this origin sent the request? Headers: `Sec-Fetch-Site`, `Origin`, `Host`.
///
/// One that says neither is refused: every browser of the last years says one of them with a POST.
pub fn from_own_page(sec_fetch_site: Option<&str>, origin: Option<&str>, host: Option<&str>) -> bool {
    if sec_fetch_site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match (origin.and_then(|origin| origin.split_once("://")), host) {
        (Some((_, authority)), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => origin.is_none() && sec_fetch_site.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_same_origin_may_change_something() {
        let own = from_own_page;
        assert!(own(Some("same-origin"), Some("https://fp.example"), Some("fp.example")));
        assert!(own(Some("same-origin"), None, Some("fp.example")));
        assert!(own(None, Some("https://fp.example:8443"), Some("FP.example:8443")));
        assert!(!own(Some("cross-site"), Some("https://fp.example"), Some("fp.example")));
        assert!(!own(Some("same-site"), None, Some("fp.example")));
        assert!(!own(Some("none"), None, Some("fp.example")));
        assert!(!own(None, Some("https://evil.example"), Some("fp.example")));
        assert!(!own(None, Some("null"), Some("fp.example")));
        assert!(!own(Some("same-origin"), Some("null"), Some("fp.example")));
        assert!(!own(None, None, Some("fp.example")), "who says nothing is refused");
    }

    #[test]
    fn a_token_is_of_one_session() {
        assert!(is_token("a", &token("a")));
        assert!(!is_token("a", &token("b")));
        assert!(!is_token("a", ""));
    }
}

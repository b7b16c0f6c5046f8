//! Addresses that callers write: parsed once, judged as far as a text can be judged.
//!
//! What a name resolves to is judged at every connect ([`super::connect`]), never here: a name may say one thing today and
//! another tomorrow.

use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::Scheme;

use super::{Refused, Settings, address};

/// Longest address, bytes.
const MAX_URL_BYTES: usize = 2048;

/// An address that may be called, as far as its text tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) uri: Uri,
}

impl Target {
    /// Parses a text.
    ///
    /// # Errors
    /// Not an absolute URL of an allowed scheme with a host; with a user name, a password or a fragment; or a literal address
    /// that is not called.
    pub fn parse(text: &str, settings: &Settings) -> Result<Target, Refused> {
        let refused = |why: &str| Err(Refused(format!("{:?} is not an address that can be called: {why}", shown(text))));
        if text.len() > MAX_URL_BYTES {
            return refused(&format!("it is longer than {MAX_URL_BYTES} bytes"));
        }
        if text.contains('#') {
            return refused("it has a fragment (#), which is never sent");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return refused("it is no URL; one looks like https://shop.example/hooks (names in other letters as xn--…)");
        };
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => {}
            Some(scheme) if *scheme == Scheme::HTTP && settings.allow_http => {}
            Some(scheme) if *scheme == Scheme::HTTP => return refused("only https:// is allowed here"),
            _ => return refused("it must begin with https://"),
        }
        let Some(authority) = uri.authority() else { return refused("it names no host") };
        if authority.as_str().contains('@') {
            return refused("a user name or password in an address is not sent; the signature proves who calls");
        }
        let names_port = authority.as_str() != authority.host();
        if authority.host().is_empty() || names_port && authority.port_u16().is_none_or(|port| port == 0) {
            return refused("host or port is wrong");
        }
        let target = Target { uri };
        if let Some(literal) = target.literal()
            && let Some(why) = address::forbidden(literal, &settings.allow_networks)
        {
            return refused(&format!("{literal} is {why}"));
        }
        Ok(target)
    }

    /// Name or literal address, without brackets.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// As it was written.
    pub fn url(&self) -> String {
        self.uri.to_string()
    }

    fn literal(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }
}

/// A long text is cut: it may be anything.
fn shown(text: &str) -> String {
    const SHOWN: usize = 120;
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str, allow_http: bool, networks: &[&str]) -> Result<Target, Refused> {
        let allow_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Target::parse(text, &Settings { allow_http, allow_networks, ..Settings::default() })
    }

    #[test]
    fn only_plain_addresses_of_allowed_schemes_are_taken() {
        for good in ["https://shop.example", "https://shop.example:8443/hooks?shop=1", "https://8.8.8.8/", "https://xn--fiqs8s/a"]
        {
            assert_eq!(parse(good, false, &[]).unwrap().uri.scheme_str(), Some("https"), "{good}");
        }
        for bad in [
            "",
            "shop.example",
            "/hooks",
            "http://shop.example",
            "ftp://shop.example",
            "file:///etc/passwd",
            "https://",
            "https:///hooks",
            "https://me@shop.example",
            "https://me:secret@shop.example",
            "https://shop.example/#top",
            "https://shop.example:0/",
            "https://shop.example:99999/",
            "https://店.example",
            "https://shop.example/ x",
            "gopher://shop.example",
            "https://shop.example\r\nhost: inside",
        ] {
            assert!(parse(bad, false, &[]).is_err(), "{bad:?}");
        }
        assert!(parse("http://shop.example", true, &[]).is_ok());
        assert!(parse(&format!("https://shop.example/{}", "x".repeat(3000)), false, &[]).is_err());
    }

    #[test]
    fn literal_addresses_are_judged_at_once() {
        for bad in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://0.0.0.0:8470/",
            "https://[fe80::1]/",
        ] {
            assert!(parse(bad, false, &[]).unwrap_err().0.contains(" is "), "{bad}");
        }
        assert!(parse("https://127.0.0.1/", false, &["127.0.0.0/8"]).is_ok());
    }
}

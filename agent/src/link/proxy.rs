//! The way through an HTTP proxy: which one, and its `CONNECT`.
//!
//! A proxy is named by the configuration (`[broker] proxy`), else by the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`),
//! else on Windows by the system. A broker on this PC itself is never reached through one.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use ureq::{Proxy, ProxyProtocol};

use crate::config::BrokerUrl;
use crate::failure::Failure;

/// Switches the proxy of the environment and of the system off.
pub const NONE: &str = "none";
/// The head of a proxy's answer at most, bytes.
const HEAD_MAX: usize = 8 * 1024;

/// The proxy on the way to `url`, if one is to be used.
///
/// # Errors
/// The configuration names something that is no HTTP proxy.
pub fn choose(url: &BrokerUrl, configured: Option<&str>) -> Result<Option<Proxy>, Failure> {
    if url.is_loopback() {
        return Ok(None);
    }
    let proxy = match configured {
        Some(NONE) => return Ok(None),
        Some(text) => Some(parse(text)?),
        None => match Proxy::try_from_env() {
            None => crate::platform::system_proxy().and_then(|(proxies, past)| of_system(&proxies, &past, &url.host)),
            named => named,
        },
    };
    let target = url.http("").parse::<ureq::http::Uri>();
    Ok(proxy.filter(|proxy| proxy.protocol() == ProxyProtocol::Http && target.is_ok_and(|target| !proxy.is_no_proxy(&target))))
}

/// The proxy out of the two texts of Windows: `host:port`, or `http=host:port;https=host:port;socks=host:port`, and the names
/// that are reached without it, behind semicolons or spaces. What is no HTTP proxy is none of ours.
fn of_system(proxies: &str, past: &str, host: &str) -> Option<Proxy> {
    let words = |text: &str| text.split([';', ' ']).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let (proxies, past): (Vec<String>, Vec<String>) = (words(proxies), words(past));
    if past.iter().any(|pattern| goes_past(pattern, host)) {
        return None;
    }
    // One for https comes before one for everything.
    let named = |scheme: &str| proxies.iter().find_map(|word| word.strip_prefix(scheme));
    let found = named("https=").or_else(|| proxies.iter().map(String::as_str).find(|word| !word.contains('=')))?;
    let found = found.strip_prefix("http://").unwrap_or(found).trim_end_matches('/');
    parse(&format!("http://{found}")).ok()
}

/// Whether a word of that list means this host. `<local>` is every name without a dot; `*` stands for any part of a name.
fn goes_past(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case("<local>") {
        return !host.contains(['.', ':']);
    }
    let (pattern, host) = (pattern.to_ascii_lowercase(), host.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| host.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What `[broker] proxy` may hold.
///
/// # Errors
/// It is no `http://[user:password@]host:port`.
pub fn parse(text: &str) -> Result<Proxy, Failure> {
    let proxy = Proxy::new(text).ok().filter(|proxy| proxy.protocol() == ProxyProtocol::Http && text.starts_with("http://"));
    // The text may hold a password: it is not repeated.
    proxy.ok_or_else(|| {
        Failure::config("[broker] proxy is no HTTP proxy: write http://host:port, http://user:password@host:port, or none.")
    })
}

/// `host:port` of a proxy, for people: without its password.
pub fn shown(proxy: &Proxy) -> String {
    format!("{}:{}", proxy.host(), proxy.port())
}

/// Asks the proxy for a connection to `url` and reads its answer. Nothing is read beyond it.
///
/// # Errors
/// One sentence for people.
pub async fn connect<S>(stream: &mut S, url: &BrokerUrl, proxy: &Proxy) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    use base64::Engine;
    let authority = url.authority();
    let who = proxy.username().map(|user| {
        let pair = format!("{user}:{}", proxy.password().unwrap_or_default());
        format!("Proxy-Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(pair))
    });
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n", who.unwrap_or_default());
    let broken = |error: io::Error| format!("The proxy {} hung up ({error}): correct [broker] proxy.", shown(proxy));
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::with_capacity(256);
    // Byte by byte: what follows the head belongs to the connection behind it.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_MAX {
            return Err(format!("What answers at {} is no proxy: correct [broker] proxy.", shown(proxy)));
        }
        head.push(stream.read_u8().await.map_err(broken)?);
    }
    judge(&head, &authority, proxy)
}

fn judge(head: &[u8], authority: &str, proxy: &Proxy) -> Result<(), String> {
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let mut words = line.split(' ');
    let version = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let at = shown(proxy);
    match words.next().and_then(|word| word.parse::<u16>().ok()).filter(|_| version) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(format!(
            "The proxy {at} wants a user and password, or refuses these: set [broker] proxy = \"http://user:password@{at}\"."
        )),
        Some(403) => Err(format!("The proxy {at} forbids the way to {authority}: have its administrator allow it.")),
        Some(502..=504) => {
            Err(format!("The proxy {at} does not reach {authority}: the broker is down, or the proxy's rules bar it."))
        }
        Some(status) => Err(format!("The proxy {at} refuses the way to {authority} (status {status}).")),
        None => Err(format!("What answers at {at} is no proxy: correct [broker] proxy.")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn url() -> BrokerUrl {
        BrokerUrl::parse("https://broker.example:8443").unwrap()
    }

    #[test]
    fn a_broker_on_this_pc_needs_no_proxy_and_none_means_none() {
        let here = BrokerUrl::parse("http://127.0.0.1:80").unwrap();
        assert!(choose(&here, Some("http://proxy:3128")).unwrap().is_none());
        assert!(choose(&url(), Some(NONE)).unwrap().is_none());
        assert_eq!(shown(&choose(&url(), Some("http://u:p@proxy:3128")).unwrap().unwrap()), "proxy:3128");
        for wrong in ["socks5://u:geheim@proxy:1", "proxy", "https://proxy:3128"] {
            let text = choose(&url(), Some(wrong)).unwrap_err().text;
            assert!(text.contains("[broker] proxy") && !text.contains("geheim"), "{text}");
        }
    }

    #[test]
    fn the_systems_proxy_is_read_as_windows_writes_it() {
        let chosen = |proxies: &str, past: &str, host: &str| of_system(proxies, past, host).map(|proxy| shown(&proxy));
        for (proxies, wanted) in [
            ("proxy:3128", Some("proxy:3128")),
            ("http://proxy:3128/", Some("proxy:3128")),
            ("http=a:1;https=b:2;socks=c:3", Some("b:2")),
            ("http=a:1 https=b:2", Some("b:2")),
            // Nothing is named for https, and SOCKS is not spoken.
            ("http=a:1", None),
            ("socks=c:3", None),
            ("", None),
        ] {
            assert_eq!(chosen(proxies, "", "broker.example").as_deref(), wanted, "{proxies}");
        }
        for (past, host, is_past) in [
            ("<local>", "broker", true),
            ("<local>", "broker.example", false),
            ("10.*;*.shop.example", "broker.Shop.example", true),
            ("*.shop.example", "shop.example", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("a*a", "a", false),
            ("broker.example", "broker.example", true),
            ("broker.example", "broker.example.org", false),
        ] {
            assert_eq!(chosen("proxy:1", past, host).is_none(), is_past, "{past} for {host}");
        }
    }

    #[tokio::test]
    async fn the_request_names_the_broker_and_nothing_behind_the_answer_is_read() {
        let proxy = parse("http://till:se%20cret@proxy:3128").unwrap();
        let (mut near, mut far) = tokio::io::duplex(1024);
        let talk = async {
            let mut request = vec![0; 1024];
            let count = far.read(&mut request).await.unwrap();
            far.write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nbehind").await.unwrap();
            String::from_utf8(request[..count].to_vec()).unwrap()
        };
        let target = url();
        let (done, request) = tokio::join!(connect(&mut near, &target, &proxy), talk);
        done.unwrap();
        assert!(request.starts_with("CONNECT broker.example:8443 HTTP/1.1\r\nHost: broker.example:8443\r\n"), "{request}");
        assert!(request.contains("Proxy-Authorization: Basic "), "{request}");
        let mut rest = [0; 6];
        near.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"behind");
    }

    #[test]
    fn each_refusal_says_who_is_to_act() {
        let proxy = parse("http://proxy:3128").unwrap();
        let said = |head: &str| judge(head.as_bytes(), "broker:443", &proxy);
        assert!(said("HTTP/1.0 200 OK\r\n\r\n").is_ok());
        for (head, part) in [
            ("HTTP/1.1 407 Auth\r\n\r\n", "user and password"),
            ("HTTP/1.1 403 No\r\n\r\n", "administrator"),
            ("HTTP/1.1 503 No\r\n\r\n", "does not reach"),
            ("HTTP/1.1 302 No\r\n\r\n", "status 302"),
            ("SSH-2.0 200\r\n\r\n", "no proxy"),
        ] {
            assert!(said(head).unwrap_err().contains(part), "{head}");
        }
    }
}

//! One connection to the broker's API: address, key, TLS, time limits. Blocking, and safe to share between threads.
//!
//! It refuses to send a key in clear text over a network: plain HTTP is for the loopback address only.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use taxdisk_protocol::error::Problem;
use ureq::http::{Method, Request};
use ureq::tls::{ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

use crate::args::Global;
use crate::failure::Failure;

/// A broker that cannot be reached within this is away.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longer than the longest long poll, and than a batch waits for its commits.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// A page of jobs with their content is far below; anything larger is no broker.
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// The broker's API.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    key: Option<String>,
}

impl Client {
    /// A client for the broker and key that the command line names. Connects at the first request.
    ///
    /// # Errors
    /// The address is not usable, or a key or certificate file cannot be read.
    pub(crate) fn new(global: &Global) -> Result<Client, Failure> {
        let base = global.broker.trim_end_matches('/').to_owned();
        let loopback = check_address(&base)?;
        let key = match (&global.key, &global.key_file) {
            (Some(key), _) => Some(key.trim().to_owned()),
            (None, Some(file)) => Some(std::fs::read_to_string(file).map_err(|e| Failure::file(file, e))?.trim().to_owned()),
            (None, None) => None,
        };
        let roots = match &global.ca_file {
            None => RootCerts::PlatformVerifier,
            Some(file) => {
                let certificates = certificates(file)?;
                RootCerts::Specific(Arc::new(certificates))
            }
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(roots)
            .client_cert(identity(global)?)
            .build();
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_send_body(Some(ANSWER_LIMIT))
            .timeout_recv_response(Some(ANSWER_LIMIT))
            .timeout_recv_body(Some(ANSWER_LIMIT))
            .user_agent(concat!("taxdisk/", env!("CARGO_PKG_VERSION")));
        if loopback {
            config = config.proxy(None);
        }
        Ok(Client { agent: config.build().into(), base, key })
    }

    /// The broker's address without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// As the broker or the network says.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.typed(path, self.call::<()>(Method::GET, path, None)?)
    }

    /// Sends a body and reads the answer.
    ///
    /// # Errors
    /// As the broker or the network says.
    pub(crate) fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.typed(path, self.call(method, path, Some(body))?)
    }

    /// Sends a JSON text as it stands and reads the answer.
    ///
    /// # Errors
    /// As the broker or the network says.
    pub(crate) fn send_text(&self, path: &str, media: &str, body: String) -> Result<String, Failure> {
        let request = self.request(Method::POST, path).header("content-type", media).body(body);
        self.answer(path, request.map_err(|e| self.unusable(path, &e))?)
    }

    /// Deletes a resource; whatever the answer holds is dropped.
    ///
    /// # Errors
    /// As the broker or the network says.
    pub(crate) fn delete(&self, path: &str) -> Result<(), Failure> {
        self.call::<()>(Method::DELETE, path, None).map(drop)
    }

    /// Sends what needs no body; whatever the answer holds is dropped.
    ///
    /// # Errors
    /// As the broker or the network says.
    pub(crate) fn act(&self, path: &str) -> Result<(), Failure> {
        self.call::<()>(Method::POST, path, None).map(drop)
    }

    /// Sends a body; whatever the answer holds is dropped.
    ///
    /// # Errors
    /// As the broker or the network says.
    pub(crate) fn tell(&self, path: &str, body: &impl Serialize) -> Result<(), Failure> {
        self.call(Method::POST, path, Some(body)).map(drop)
    }

    fn call<B: Serialize>(&self, method: Method, path: &str, body: Option<&B>) -> Result<String, Failure> {
        let request = self.request(method, path);
        match body {
            None => self.answer(path, request.body(()).map_err(|e| self.unusable(path, &e))?),
            Some(body) => {
                let text =
                    serde_json::to_string(body).map_err(|e| Failure::Usage(format!("the request has no JSON form: {e}")))?;
                let request = request.header("content-type", "application/json").body(text);
                self.answer(path, request.map_err(|e| self.unusable(path, &e))?)
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        let request = Request::builder().method(method).uri(self.url(path)).header("accept", "application/json");
        match &self.key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        }
    }

    fn answer(&self, path: &str, request: Request<impl ureq::AsSendBody>) -> Result<String, Failure> {
        let unreachable = |error: ureq::Error| Failure::Unreachable { url: self.url(path), cause: cause(&error) };
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(ANSWER_LIMIT_BYTES).read_to_string().map_err(unreachable)?;
        if (200..300).contains(&status) {
            return Ok(text);
        }
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => Err(Failure::Problem(Box::new(problem))),
            Err(_) => {
                let start: String = text.chars().take(200).collect();
                Err(Failure::Strange { url: self.url(path), status, text: format!("{start:?} is no problem document") })
            }
        }
    }

    fn typed<T: DeserializeOwned>(&self, path: &str, text: String) -> Result<T, Failure> {
        serde_json::from_str(&text).map_err(|error| Failure::Strange {
            url: self.url(path),
            status: 200,
            text: format!("the answer cannot be read ({error})"),
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn unusable(&self, path: &str, error: &ureq::http::Error) -> Failure {
        Failure::Usage(format!("{} or the API key cannot be sent in HTTP: {error}.", self.url(path)))
    }
}

/// One segment of a path, with everything escaped that is not plain.
pub(crate) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The certificates of a PEM file.
fn certificates(file: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, Failure> {
    let pem = std::fs::read(file).map_err(|e| Failure::file(file, e))?;
    let certificates: Result<Vec<_>, _> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate.to_owned())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
        .collect();
    let certificates = certificates.map_err(|e| Failure::file(file, e))?;
    if certificates.is_empty() {
        return Err(Failure::file(file, "it holds no PEM certificate"));
    }
    Ok(certificates)
}

/// The certificate that is shown to a broker that asks for one.
fn identity(global: &Global) -> Result<Option<ClientCert>, Failure> {
    let (Some(certificate), Some(key)) = (&global.client_certificate, &global.client_key) else { return Ok(None) };
    let chain = certificates(certificate)?;
    let pem = std::fs::read(key).map_err(|e| Failure::file(key, e))?;
    let key = PrivateKey::from_pem(&pem).map_err(|e| Failure::file(key, e))?;
    Ok(Some(ClientCert::new_with_certs(&chain, key)))
}

/// Is it loopback? Plain HTTP to anywhere else is refused, so that no key travels in clear text.
fn check_address(base: &str) -> Result<bool, Failure> {
    let not_url = || Failure::Usage(format!("{base:?} is not the URL of a broker; one looks like https://broker.example:8470."));
    let uri: ureq::http::Uri = base.parse().map_err(|_| not_url())?;
    let host = uri.host().ok_or_else(not_url)?.trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(loopback),
        Some("http") if loopback => Ok(true),
        Some("http") => Err(Failure::Usage(format!(
            "{base} would carry the API key in clear text over the network; use https:// (plain http:// is for this machine only)."
        ))),
        _ => Err(not_url()),
    }
}

fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => {
            format!("{error} (time limits: {} s to connect, {} s to answer)", CONNECT_LIMIT.as_secs(), ANSWER_LIMIT.as_secs())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_travels_in_clear_text_on_this_machine_only() {
        for fine in ["http://127.0.0.1:1", "http://localhost:8470", "http://[::1]:8470", "https://broker.example"] {
            assert!(check_address(fine).is_ok(), "{fine}");
        }
        for bad in
            ["http://broker.example", "http://10.0.0.1:8470", "ftp://127.0.0.1", "broker", "http://127.0.0.1.evil.example", ""]
        {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(segment("NW10248"), "NW10248");
        assert_eq!(segment("../a b?c"), "..%2Fa%20b%3Fc");
    }
}

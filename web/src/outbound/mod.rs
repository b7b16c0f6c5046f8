//! Calls to addresses that callers wrote, guarded so that nobody can use us to reach into the network around us (SSRF).
//!
//! * Only `https` (and `http` where it is allowed), only addresses of the world, unless a network is allowed by name.
//! * The name is looked up once; the connection goes to the address that was judged ([`connect`]).
//! * No redirection is followed: an answer of 3xx is an answer.
//! * Head, body, connect and the whole call have limits. Proxies of the environment are not used; one may be configured.
//!
//! It never repeats a request that may have arrived, and holds no cookies. Connections are kept for the next call to the same
//! host for a short time; each of them went through the same judgement.
//!
//! Read first: [`Settings`], [`Outbound::post`].

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_platform_verifier::BuilderVerifierExt;

pub mod address;
pub mod connect;
pub mod target;

pub use connect::{ConnectError, Resolve, SystemResolver};
pub use target::Target;

use crate::tls::Identity;

/// Headers of an answer at most.
const MAX_HEADERS: usize = 64;
/// Head of an answer at most, bytes. hyper takes no less than 8 KiB.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// A kept connection is closed after so long without a call.
const IDLE: Duration = Duration::from_secs(20);
/// Kept connections to one host at most.
const IDLE_PER_HOST: usize = 4;

/// An HTTP proxy that gives connections by CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Name or address; it is configured, so it is not judged.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `user:password`.
    pub credentials: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

impl std::str::FromStr for Proxy {
    type Err = String;

    /// `http://[user:password@]host:port`.
    fn from_str(text: &str) -> Result<Proxy, String> {
        let wrong = || "a proxy looks like http://proxy.example:3128".to_owned();
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials.to_owned()), address),
            None => (None, rest),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() || host.contains('/') {
            return Err(wrong());
        }
        Ok(Proxy { host: host.to_owned(), port, credentials })
    }
}

/// What may be called, and how long it may take.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `http://` too. What is sent is then read by everybody on the way.
    pub allow_http: bool,
    /// Networks that are called although they are private.
    pub allow_networks: Vec<IpNet>,
    /// Trusted instead of the system's authorities.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// Shown to whoever asks for a client certificate.
    pub identity: Option<Arc<Identity>>,
    /// Through which every connection goes; none unless it is named here.
    pub proxy: Option<Proxy>,
    /// Name, connection and TLS together.
    pub connect_limit: Duration,
    /// The whole call.
    pub call_limit: Duration,
    /// Of an answer's body so much is read; the rest is not waited for.
    pub max_body_bytes: usize,
    /// Says who calls.
    pub user_agent: &'static str,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allow_http: false,
            allow_networks: Vec::new(),
            authorities: None,
            identity: None,
            proxy: None,
            connect_limit: Duration::from_secs(10),
            // Standard Webhooks asks for 15 to 30 s.
            call_limit: Duration::from_secs(20),
            max_body_bytes: 16 * 1024,
            user_agent: concat!("taxdisk/", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// An address or a setting that is not taken. Written for whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Why a call got no answer. Whether the other side got the request is then not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There was no connection: nothing arrived.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer in time.
    #[error("no answer within {0} ms")]
    Slow(u128),
    /// The connection broke, or what came is no HTTP answer within its limits.
    #[error("no whole answer: {0}")]
    Broken(String),
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The beginning of the body.
    pub body: Bytes,
    /// From the call to the end of what was read, milliseconds.
    pub ms: u64,
}

/// The guarded client; cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    settings: Arc<Settings>,
    client: Client<connect::Connector, Full<Bytes>>,
}

impl Outbound {
    /// A client over the system's resolver.
    ///
    /// # Errors
    /// The system's certificates, or the given authorities, cannot be used.
    pub fn new(settings: Settings) -> Result<Outbound, Refused> {
        Outbound::with_resolver(settings, Arc::new(SystemResolver))
    }

    /// A client over a resolver of the caller's.
    ///
    /// # Errors
    /// As [`Outbound::new`].
    pub fn with_resolver(settings: Settings, resolver: Arc<dyn Resolve>) -> Result<Outbound, Refused> {
        let tls = Arc::new(tls(settings.authorities.as_deref(), settings.identity.as_deref())?);
        let networks = settings.allow_networks.clone();
        let connector = connect::Connector::new(resolver, networks, tls, settings.proxy.clone(), settings.connect_limit);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_headers(MAX_HEADERS)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        Ok(Outbound { settings: Arc::new(settings), client })
    }

    /// The same client, which reads answers of other lengths: `max_bytes` of a body, and not more.
    #[must_use]
    pub fn reading(&self, max_bytes: usize) -> Outbound {
        let settings = Settings { max_body_bytes: max_bytes, ..self.settings.as_ref().clone() };
        Outbound { settings: Arc::new(settings), client: self.client.clone() }
    }

    /// Judges an address as far as its text tells.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn target(&self, url: &str) -> Result<Target, Refused> {
        Target::parse(url, &self.settings)
    }

    /// Posts a body and reads the answer. Follows nothing.
    ///
    /// # Errors
    /// There was no whole head of an answer.
    pub async fn post(&self, target: &Target, headers: &[(HeaderName, HeaderValue)], body: Bytes) -> Result<Answer, CallError> {
        self.call(Method::POST, target, headers, body).await
    }

    /// Makes a call of any method. Follows nothing.
    ///
    /// # Errors
    /// There was no whole head of an answer.
    pub async fn call(
        &self,
        method: Method,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let began = Instant::now();
        let mut request = Request::builder().method(method).uri(target.uri.clone()).body(Full::new(body)).map_err(broken)?;
        request.headers_mut().insert(hyper::header::USER_AGENT, HeaderValue::from_static(self.settings.user_agent));
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let end = tokio::time::Instant::now() + self.settings.call_limit;
        let slow = || CallError::Slow(self.settings.call_limit.as_millis());
        let response = tokio::time::timeout_at(end, self.client.request(request)).await.map_err(|_| slow())?;
        let response = response.map_err(|error| explained(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        // The status is the answer. A body that stalls, breaks off or does not end changes nothing about it.
        let body = tokio::time::timeout_at(end, self.beginning(response)).await.unwrap_or_default();
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Answer { status, headers, body, ms })
    }

    async fn beginning(&self, response: Response<Incoming>) -> Bytes {
        let mut body = response.into_body();
        let mut read = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            let room = self.settings.max_body_bytes - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() >= room {
                // Dropped unread: the connection is closed and not kept.
                break;
            }
        }
        read.into()
    }
}

/// TLS 1.2 and 1.3: receivers are other people's machines. There is no switch that leaves a certificate unchecked.
fn tls(authorities: Option<&[CertificateDer<'static>]>, identity: Option<&Identity>) -> Result<ClientConfig, Refused> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Refused(format!("TLS: {error}")))?;
    let builder = match authorities {
        None => builder
            .with_platform_verifier()
            .map_err(|error| Refused(format!("the system's certificates cannot be read ({error}): install ca-certificates")))?,
        Some(given) => {
            let mut roots = RootCertStore::empty();
            for certificate in given {
                roots.add(certificate.clone()).map_err(|error| Refused(format!("an authority's certificate: {error}")))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let mut config = match identity.map(Identity::parts) {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| Refused(format!("certificate and key of this client do not work together: {error}")))?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn broken(error: impl std::fmt::Display) -> CallError {
    CallError::Broken(error.to_string())
}

/// What happened, without the wrapping of the layers.
fn explained(error: &hyper_util::client::legacy::Error) -> CallError {
    let mut cause = error.source();
    let mut last = error.to_string();
    while let Some(inner) = cause {
        if let Some(connect) = inner.downcast_ref::<ConnectError>() {
            return CallError::Connect(connect.clone());
        }
        last = inner.to_string();
        cause = inner.source();
    }
    CallError::Broken(last)
}

//! Bearer tokens of callers (OAuth2, OIDC): signed by a login service that is trusted by configuration, beside the broker's own
//! keys.
//!
//! A token is taken whole or not at all: an algorithm of the list, a key of the service's set by its id, issuer, audience,
//! time, and then what its claims give: a role, the sellers and the actions. What a token does not say, it does not give:
//! without a claim of sellers it is for none, and without actions for nothing. Secrets that both sides share (HS256 and the
//! like) are never an algorithm: whoever can check such a token can make one.
//!
//! Keys come from a file or from the service's address. They are asked for anew when a token names one that is not known, at
//! most once a minute, and once an hour; when the service does not answer, those that are known stay for a day.
//!
//! What it refuses to do: read a key out of a token (`jwk`, `jku`, `x5u`), or take one without a name.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Method;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use taxdisk_protocol::api::{KeyAction, Role};
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_web::outbound::{Outbound, Settings, Target};
use tokio::sync::Mutex;

use crate::config::{self, ConfigError};
use crate::ledger::{Caller, Refusal};

/// Bytes of a token at most; a head has no more room anyway.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a set of keys at most.
const SET_BYTES_MAX: usize = 256 * 1024;
/// Characters of a subject that are kept.
const SUBJECT_CHARS: usize = 60;
/// The set is asked for at most so often because a key is not known.
const UNKNOWN_KEY: Duration = Duration::from_secs(60);
/// At most so often while there is no set at all.
const NO_KEYS: Duration = Duration::from_secs(5);
/// And after so long in any case: a key that the service has given up is to end here too.
const FRESH: Duration = Duration::from_secs(3600);
/// A set that could not be asked for anew is used for so long.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Begins an action among the words of a claim.
const ACTION: &str = "taxdisk:";

enum Source {
    File(PathBuf),
    Address(Box<(Outbound, Target)>),
}

struct Known {
    set: Arc<JwkSet>,
    at: Instant,
}

/// Takes tokens.
pub struct Tokens {
    config: config::Tokens,
    algorithms: Vec<Algorithm>,
    source: Source,
    known: RwLock<Option<Known>>,
    /// When the set was last asked for; held while it is.
    asked: Mutex<Option<Instant>>,
}

impl Tokens {
    /// As it is configured; none: no tokens are taken.
    ///
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn of(config: &config::Tokens) -> Result<Option<Arc<Tokens>>, ConfigError> {
        if config.issuer.is_empty() {
            return Ok(None);
        }
        let wrong = |text: String| ConfigError(format!("tokens.{text}"));
        if config.audience.is_empty() {
            return Err(wrong("audience is empty: without it a token for any other service would open this one".to_owned()));
        }
        let algorithms = config.algorithms.iter().map(|name| algorithm(name).map_err(&wrong)).collect::<Result<Vec<_>, _>>()?;
        if algorithms.is_empty() {
            return Err(wrong("algorithms is empty".to_owned()));
        }
        let source = match (&config.keys_file, &config.keys_url) {
            (Some(file), None) => Source::File(file.clone()),
            (None, Some(url)) => {
                let networks = config.allow_networks.iter().map(|text| {
                    text.parse().map_err(|_| wrong(format!("allow_networks: {text:?} is no network like 10.1.0.0/16")))
                });
                let settings = Settings {
                    allow_networks: networks.collect::<Result<Vec<_>, _>>()?,
                    max_body_bytes: SET_BYTES_MAX,
                    ..Settings::default()
                };
                let outbound = Outbound::new(settings).map_err(|refused| wrong(format!("keys_url: {refused}")))?;
                let target = outbound.target(url).map_err(|refused| wrong(format!("keys_url: {refused}")))?;
                Source::Address(Box::new((outbound, target)))
            }
            _ => return Err(wrong("keys_file or keys_url is needed, one of them".to_owned())),
        };
        let tokens = Tokens { config: config.clone(), algorithms, source, known: RwLock::new(None), asked: Mutex::new(None) };
        if let Source::File(file) = &tokens.source {
            tokens.keep(read(file).map_err(|error| wrong(format!("keys_file: {error}")))?);
        }
        Ok(Some(Arc::new(tokens)))
    }

    /// Does it look like a token? Keys of the broker's own have no dot.
    pub fn is_one(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Who calls with this token.
    ///
    /// # Errors
    /// `unauthorized` or `key_expired`, with the reason; `not_ready` while the service's keys cannot be had.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Refusal> {
        let refused = |why: &str| Refusal::new("unauthorized", format!("this token is not taken: {why}"));
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let header = decode_header(token).map_err(|_| refused("it has no head that can be read"))?;
        if !self.algorithms.contains(&header.alg) {
            return Err(refused("its algorithm is not one of tokens.algorithms"));
        }
        let name = header.kid.ok_or_else(|| refused("it does not name its key (kid)"))?;
        let set = self.set_with(&name).await.ok_or_else(|| {
            Refusal::new("not_ready", "the keys of the login service cannot be had now; the same call again is safe")
        })?;
        let key = set.find(&name).ok_or_else(|| refused("its key is not one of the login service's"))?;
        let key = DecodingKey::from_jwk(key).map_err(|_| refused("its key cannot be used"))?;
        let claims = decode::<Map<String, Value>>(token, &key, &self.validation(header.alg));
        let claims = claims.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => {
                Refusal::new("key_expired", "the token's time is over; ask the login service for another")
            }
            ErrorKind::InvalidAudience => refused("it is for another audience"),
            ErrorKind::InvalidIssuer => refused("it is another service's"),
            ErrorKind::ImmatureSignature => refused("its time has not come"),
            ErrorKind::MissingRequiredClaim(claim) => refused(&format!("the claim {claim} is missing")),
            _ => refused("its signature does not fit"),
        })?;
        self.caller(&claims.claims).map_err(|why| refused(&why))
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        // The token's own algorithm, which is of the list: a key is then of its family, or does not fit.
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[&self.config.audience]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = self.config.leeway_s;
        validation
    }

    /// What the claims give.
    fn caller(&self, claims: &Map<String, Value>) -> Result<Caller, String> {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let decent = |c: char| c.is_ascii_alphanumeric() || "._-@|:".contains(c);
        if subject.is_empty() || subject.len() > SUBJECT_CHARS || !subject.chars().all(decent) {
            return Err(format!("sub has 1 to {SUBJECT_CHARS} letters, digits and `._-@|:`"));
        }
        let config = &self.config;
        let sellers = match words(claims.get(&config.sellers_claim)).as_slice() {
            [] => return Err(format!("the claim {} names no seller; \"*\" is all", config.sellers_claim)),
            [all] if all == "*" => Vec::new(),
            some => some
                .iter()
                .map(|seller| {
                    seller.parse::<TaxpayerNumber>().map_err(|_| format!("{}: one is no taxpayer number", config.sellers_claim))
                })
                .collect::<Result<Vec<_>, _>>()?,
        };
        let given = words(claims.get(&config.actions_claim));
        let mut actions: Vec<KeyAction> = given.iter().filter_map(|word| word.strip_prefix(ACTION)?.parse().ok()).collect();
        actions.sort_unstable();
        actions.dedup();
        if actions.is_empty() {
            return Err(format!("the claim {} names no action of ours, as {ACTION}submit", config.actions_claim));
        }
        let is_admin = words(claims.get(&config.role_claim)).iter().any(|role| role == &config.admin_role);
        let role = if is_admin { Role::Admin } else { Role::Platform };
        Ok(Caller { id: format!("token:{subject}"), name: subject.to_owned(), role, sellers, actions, unnoted: false })
    }

    /// A set of keys in which this one is, if the service has it; none: there is no set.
    async fn set_with(&self, name: &str) -> Option<Arc<JwkSet>> {
        let (known, age) = self.known();
        let has = known.as_ref().is_some_and(|set| set.find(name).is_some());
        if has && age < FRESH {
            return known;
        }
        let mut asked = self.asked.lock().await;
        // Whoever waited may find it done; and a service that does not answer is not asked by every caller.
        let (known, age) = self.known();
        let pause = if known.is_some() { UNKNOWN_KEY } else { NO_KEYS };
        if asked.is_some_and(|at| at.elapsed() < pause) {
            return known.filter(|_| age < STALE);
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(set) => self.keep(set),
            Err(error) => tracing::warn!(error, "the keys of the login service cannot be had"),
        }
        let (known, age) = self.known();
        known.filter(|_| age < STALE)
    }

    fn known(&self) -> (Option<Arc<JwkSet>>, Duration) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map_or((None, Duration::MAX), |known| (Some(known.set.clone()), known.at.elapsed()))
    }

    fn keep(&self, set: JwkSet) {
        let known = Known { set: Arc::new(set), at: Instant::now() };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        match &self.source {
            Source::File(file) => {
                let file = file.clone();
                tokio::task::spawn_blocking(move || read(&file)).await.map_err(|error| error.to_string())?
            }
            Source::Address(to) => {
                let (outbound, target) = to.as_ref();
                let answer = outbound.call(Method::GET, target, &[], Bytes::new()).await.map_err(|error| error.to_string())?;
                if answer.status != 200 {
                    return Err(format!("it answers {}", answer.status));
                }
                parsed(&answer.body)
            }
        }
    }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    let known: Option<Algorithm> = name.parse().ok();
    let signs = |one: &Algorithm| !matches!(one, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
    known
        .filter(signs)
        .ok_or_else(|| format!("algorithms: {name:?} is none that signs with a key of its own, as RS256, ES256, EdDSA"))
}

fn read(file: &std::path::Path) -> Result<JwkSet, String> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|error| format!("{shown}: {error}"))?;
    parsed(&bytes).map_err(|error| format!("{shown}: {error}"))
}

fn parsed(bytes: &[u8]) -> Result<JwkSet, String> {
    let set: JwkSet = serde_json::from_slice(bytes).map_err(|error| format!("it is no set of keys (JWKS): {error}"))?;
    if set.keys.is_empty() { Err("it holds no key".to_owned()) } else { Ok(set) }
}

/// A claim as words: a list, or a text with spaces.
fn words(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

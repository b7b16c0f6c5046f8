//! Enrolment: a single-use code of the broker's administrator turns a key made here into an agent's identity.
//!
//! It refuses to overwrite an identity unless told so, and sends nothing but code, public key and version.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use std::path::Path;
use taxdisk_protocol::api::{EnrollBody, EnrolledBody};
use taxdisk_protocol::error::Problem;

use crate::clock::wall_clock;
use crate::config::BrokerUrl;
use crate::failure::Failure;
use crate::identity::{Enrolled, Identity, Place, StateDir, store, store_key, this_machine};
use crate::rotate;

/// The longest code that is sent, characters.
const CODE_MAX: usize = 200;
/// The longest name of a PC, characters.
const NAME_MAX: usize = 100;

/// What was asked for.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// Address of the broker.
    pub url: &'a str,
    /// The single-use code.
    pub code: &'a str,
    /// What people call this PC, here.
    pub name: Option<&'a str>,
    /// Authority that alone is trusted.
    pub ca_file: Option<&'a Path>,
    /// HTTP proxy on the way, or `none`.
    pub proxy: Option<&'a str>,
    /// Replace an identity that is there.
    pub force: bool,
}

/// What came of it, for people and programs.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The agent's id.
    pub agent: String,
    /// Address of the broker.
    pub broker: String,
    /// Id of its ledger.
    pub ledger: String,
    /// Fingerprint of its key, for whoever approves it.
    pub fingerprint: String,
    /// It waits until an administrator approves it.
    pub waiting: bool,
}

/// Enrols this state folder.
///
/// # Errors
/// One sentence: whose fault, what to do.
pub fn enroll(state: &StateDir, enrolment: &Enrolment<'_>) -> Result<Report, Failure> {
    let url = BrokerUrl::parse(enrolment.url).map_err(Failure::usage)?;
    let code = enrolment.code.trim();
    if code.is_empty() || code.len() > CODE_MAX || !code.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::usage("The code is empty or not one: copy it exactly as the broker's administrator got it."));
    }
    if enrolment.name.is_some_and(|name| name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control))
    {
        return Err(Failure::usage(format!("--name must have 1 to {NAME_MAX} characters.")));
    }
    // A key without an identity is what an enrolment leaves that was cut off: it is of no use and may be replaced.
    if !enrolment.force && state.identity_file().exists() {
        let who = Identity::load(state).ok().flatten().map(|found| format!(" as {}", found.enrolled.agent)).unwrap_or_default();
        return Err(Failure::failed(format!(
            "This state folder is enrolled already{who}: run `taxdisk-agent run`, or add --force to become a new agent (the old key is lost)."
        )));
    }
    let ca_file = enrolment
        .ca_file
        .map(|file| std::path::absolute(file).map_err(|error| Failure::usage(format!("--ca-file {} ({error}).", file.display()))))
        .transpose()?;
    let proxy = enrolment.proxy.map(str::to_owned);
    let place = Place { url, others: Vec::new(), ca_file, proxy };
    let http = place.http()?;
    let Place { url, ca_file, proxy, .. } = place;
    let _lock = crate::daemon::Lock::take(&state.lock_file())?;
    // The key that is there stays until the broker took the new one: a refused code must not cost the old identity.
    let key = ed25519_dalek::SigningKey::generate(&mut rand::rngs::OsRng);
    let public_key = BASE64.encode(key.verifying_key().to_bytes());
    let body = EnrollBody { code: code.to_owned(), public_key, version: crate::version::text().to_owned() };
    let mut answer = http.post(url.http("/v1/agents/enroll")).send_json(&body).map_err(|error| unreachable(&url, &error))?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(64 * 1024).read_to_string().map_err(|error| unreachable(&url, &error))?;
    if !(200..300).contains(&status) {
        return Err(refused(&url, status, &text));
    }
    let said: EnrolledBody = serde_json::from_str(&text).map_err(|_| stranger(&url, status))?;
    let agent = said.agent.parse().map_err(|_| stranger(&url, status))?;
    store_key(state, &key)?;
    let enrolled = Enrolled {
        agent,
        ledger: said.ledger,
        broker: url.to_string(),
        ca_file,
        proxy,
        name: enrolment.name.map(str::to_owned),
        machine: this_machine(),
        enrolled_at: wall_clock(),
    };
    store(state, &enrolled)?;
    rotate::forget(state);
    let fingerprint = taxdisk_protocol::link::fingerprint(&body.public_key);
    let (agent, broker, ledger) = (enrolled.agent.to_string(), enrolled.broker, enrolled.ledger);
    Ok(Report { agent, broker, ledger, fingerprint, waiting: said.waiting })
}

fn unreachable(url: &BrokerUrl, error: &ureq::Error) -> Failure {
    Failure::failed(crate::link::trouble::http(url, error))
}

/// Something answered that is no broker.
fn stranger(url: &BrokerUrl, status: u16) -> Failure {
    Failure::failed(format!("What answers at {url} is not a taxdisk broker (status {status}): correct the address."))
}

fn refused(url: &BrokerUrl, status: u16, text: &str) -> Failure {
    let Ok(problem) = serde_json::from_str::<Problem>(text) else { return stranger(url, status) };
    let detail: String = problem.detail.chars().filter(|c| !c.is_control()).take(300).collect();
    let what = match status {
        429 => "wait a minute and try again",
        500.. => "the broker has trouble: ask its administrator, the same code can be tried again",
        _ => {
            "ask the broker's administrator for a new code (`taxdisk enrollment create`): a code works once and for a limited time"
        }
    };
    Failure::failed(format!("The broker refused the enrolment ({}: {}): {what}.", problem.code, detail.trim_end_matches('.')))
}

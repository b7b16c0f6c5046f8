//! Agents: who they are, how they enrol, and how they lose their right to.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use taxdisk_protocol::api::{AgentName, AgentView, EnrollBody, EnrolledBody, EnrollmentCode, EnrollmentRequest, RetireBody};
use taxdisk_protocol::error::{Breach, Code, Problem};
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::link::{KEYS_MAX, retire_message};

use super::auth::{Admin, Caller};
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Path, Peer, parsed};
use crate::ledger::Refusal;

/// Lists all agents. An agent may serve any seller, so a key that is for some sellers may not.
#[utoipa::path(get, path = "/v1/agents", tag = "agents", responses(
    (status = 200, description = "Agents", body = Vec<AgentView>),
    (status = 403, description = "The key is limited to sellers", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["all_sellers"])))]
pub async fn list(State(edge): State<Edge>, caller: Caller) -> Result<Json<Vec<AgentView>>, Refused> {
    caller.unlimited()?;
    let mut agents = edge.ledger.agents().await?;
    edge.hub.add_to(&mut agents);
    Ok(Json(agents))
}

/// Makes an enrolment code: for one PC, for one that is there and needs another key, or for many that wait for approval.
#[utoipa::path(post, path = "/v1/enrollments", tag = "agents", request_body = EnrollmentRequest, responses(
    (status = 201, description = "The code, shown once", body = EnrollmentCode),
), security(("key" = ["admin"])))]
pub async fn create_enrollment(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Strict(request): Strict<EnrollmentRequest>,
) -> Result<(StatusCode, Json<EnrollmentCode>), Refused> {
    let name = request.name.clone();
    let code = by.ledger(&edge).create_enrollment(request, by.by()).await?;
    tracing::info!(name, by = by.by(), expires_at = code.expires_at, "enrolment code made");
    Ok((StatusCode::CREATED, Json(code)))
}

/// Enrols an agent. The code is the permission; it works once.
#[utoipa::path(post, path = "/v1/agents/enroll", tag = "agents", request_body = EnrollBody, responses(
    (status = 201, description = "Enrolled", body = EnrolledBody),
    (status = 403, description = "The code is not known or over", body = Problem, content_type = "application/problem+json"),
))]
pub async fn enroll(State(edge): State<Edge>, request: Request) -> Result<(StatusCode, Json<EnrolledBody>), Refused> {
    let peer = request.extensions().get::<Peer>().copied();
    let Strict(body) = Strict::<EnrollBody>::from_request(request, &edge).await?;
    public_key(&body.public_key).map_err(|detail| {
        let mut problem = Problem::new(Code::InvalidBody, detail.clone());
        problem.breaches = vec![Breach { code: "public_key".to_owned(), pointer: "/public_key".to_owned(), detail }];
        Refused::from(problem)
    })?;
    let from = peer.map_or_else(String::new, |peer| peer.0.ip().to_canonical().to_string());
    match edge.ledger.of("enrollment", &from).enroll(body).await {
        Ok(enrolled) => {
            tracing::info!(agent = enrolled.agent, "agent enrolled");
            Ok((StatusCode::CREATED, Json(enrolled)))
        }
        Err(refusal) => {
            let refused = Refused::from(refusal);
            Err(if refused.0.status < 500 { edge.failed(peer, refused) } else { refused })
        }
    }
}

/// An Ed25519 public key from its base64 text.
///
/// # Errors
/// Says what is expected.
pub(crate) fn public_key(text: &str) -> Result<ed25519_dalek::VerifyingKey, String> {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| "public_key is not base64 of 32 bytes".to_owned())?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| "public_key is not an Ed25519 key".to_owned())?;
    // A weak key verifies signatures that nobody made.
    if key.is_weak() { Err("public_key is a weak Ed25519 key".to_owned()) } else { Ok(key) }
}

/// Revokes an agent: its link is closed and its key opens no other.
#[utoipa::path(post, path = "/v1/agents/{id}/revoke", tag = "agents", params(("id" = String, Path, description = "Agent")), responses(
    (status = 204, description = "Revoked"), (status = 404, description = "There is no such agent", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn revoke(State(edge): State<Edge>, Admin(by): Admin, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let agent: AgentId = parsed("id", &id)?;
    by.ledger(&edge).revoke_agent(&agent, by.by()).await.map_err(not_found)?;
    edge.hub.end(&agent, Code::AgentRevoked, "an administrator revoked this agent");
    tracing::warn!(%agent, by = by.by(), "agent revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// An agent whose PC gives up: it is revoked, as its own key asks. Only agents use it: the document of the API does not hold it.
pub async fn retire(State(edge): State<Edge>, request: Request) -> Result<StatusCode, Refused> {
    let peer = request.extensions().get::<Peer>().copied();
    let Strict(body) = Strict::<RetireBody>::from_request(request, &edge).await?;
    let agent: AgentId = parsed("agent", &body.agent)?;
    let proven = match edge.ledger.agent_key(&agent).await {
        Ok(key) => {
            let key = public_key(&key).map_err(|error| Refused::new(Code::AgentProof, error))?;
            let message = retire_message(edge.ledger.id(), &agent);
            let fits = body.signatures.iter().take(KEYS_MAX).any(|signature| signed(&key, signature, &message));
            let detail = "no signature fits the key that this agent enrolled with";
            if fits { Ok(()) } else { Err(Refused::new(Code::AgentProof, detail)) }
        }
        Err(refusal) => Err(Refused::from(refusal)),
    };
    proven.map_err(|refused| if refused.0.status < 500 { edge.failed(peer, refused) } else { refused })?;
    let from = peer.map_or_else(String::new, |peer| peer.0.ip().to_canonical().to_string());
    edge.ledger.of("agent", &from).revoke_agent(&agent, &format!("agent {agent}")).await?;
    edge.hub.end(&agent, Code::AgentRevoked, "this agent was retired at its own PC");
    tracing::warn!(%agent, "agent retired at its own PC");
    Ok(StatusCode::NO_CONTENT)
}

/// Approves an agent that enrolled by a code for many. Compare its fingerprint with what the PC shows first.
#[utoipa::path(post, path = "/v1/agents/{id}/approve", tag = "agents", request_body = AgentName, params(("id" = String, Path, description = "Agent")), responses(
    (status = 204, description = "Approved"), (status = 404, description = "There is no such agent", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn approve(State(edge): State<Edge>, told: Told) -> Result<StatusCode, Refused> {
    let Told { by, agent, name } = told;
    let name = name.map(decent_name).transpose()?;
    by.ledger(&edge).approve_agent(&agent, name, by.by()).await.map_err(not_found)?;
    tracing::info!(%agent, by = by.by(), "agent approved");
    Ok(StatusCode::NO_CONTENT)
}

/// Calls an agent something else.
#[utoipa::path(post, path = "/v1/agents/{id}/rename", tag = "agents", request_body = AgentName, params(("id" = String, Path, description = "Agent")), responses(
    (status = 204, description = "Renamed"), (status = 404, description = "There is no such agent", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn rename(State(edge): State<Edge>, told: Told) -> Result<StatusCode, Refused> {
    let Told { by, agent, name } = told;
    let name = decent_name(name.unwrap_or_default())?;
    by.ledger(&edge).rename_agent(&agent, name, by.by()).await.map_err(not_found)?;
    tracing::info!(%agent, by = by.by(), "agent renamed");
    Ok(StatusCode::NO_CONTENT)
}

/// What an administrator tells of an agent.
pub struct Told {
    by: Caller,
    agent: AgentId,
    name: Option<String>,
}

impl FromRequest<Edge> for Told {
    type Rejection = Refused;

    async fn from_request(request: Request, edge: &Edge) -> Result<Told, Refused> {
        let (mut parts, body) = request.into_parts();
        let Admin(by) = Admin::from_request_parts(&mut parts, edge).await?;
        let Path(id) = Path::<String>::from_request_parts(&mut parts, edge).await?;
        let agent = parsed("id", &id)?;
        let Strict(AgentName { name }) = Strict::from_request(Request::from_parts(parts, body), edge).await?;
        Ok(Told { by, agent, name })
    }
}

/// The longest name of a PC, characters.
const NAME_MAX: usize = 100;

fn decent_name(name: String) -> Result<String, Refused> {
    let decent = (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if decent { Ok(name) } else { Err(Refused::new(Code::InvalidParameter, format!("name has 1 to {NAME_MAX} characters"))) }
}

/// An agent in a path that is not there is not found; the link's own word for it means something else.
fn not_found(refusal: Refusal) -> Refused {
    let refused = Refused::from(refusal);
    if refused.0.code == Code::AgentUnknown.as_str() { Refused::new(Code::NotFound, refused.0.detail) } else { refused }
}

/// Is this (base64) the signature of that key?
pub(crate) fn signed(key: &VerifyingKey, signature: &str, message: &[u8]) -> bool {
    let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
    signature.is_some_and(|signature| key.verify_strict(message, &signature).is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_keys_of_the_right_length_are_taken() {
        let good = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
        assert_eq!(public_key(&STANDARD.encode(good.as_bytes())).unwrap(), good);
        assert!(public_key(&STANDARD.encode([1; 31])).is_err());
        assert!(public_key("not base64").is_err());
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(public_key(&STANDARD.encode(identity)).unwrap_err().contains("weak"));
    }
}

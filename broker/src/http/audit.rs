//! The chains: listed, verified, and proven for one job.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use taxdisk_protocol::api::JobName;
use taxdisk_protocol::chain::StoredEntry;
use taxdisk_protocol::error::Problem;
use taxdisk_protocol::ids::{JobKey, TaxpayerNumber};
use taxdisk_protocol::proof::Proof;
use utoipa::ToSchema;

use super::auth::{Admin, Caller};
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Query, parsed};
use crate::store::audit::VerifyView;

/// Entries of a page, if the caller does not say.
const PAGE: u32 = 100;
/// Entries of a page at most.
const MAX_PAGE: u32 = 1000;

/// Which entries to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Chain of this seller; the broker's own if left out (administrators only).
    seller: Option<String>,
    /// Entries after this sequence.
    after: Option<i64>,
    /// Entries of a page, 1 to 1000; 100 if left out.
    limit: Option<u32>,
}

/// A page of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditPage {
    /// In their order.
    pub entries: Vec<StoredEntry>,
    /// Give it back as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// Lists the entries of a chain, oldest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Which), responses((status = 200, description = "A page", body = AuditPage)), security(("key" = [])))]
pub async fn list(State(edge): State<Edge>, caller: Caller, Query(which): Query<Which>) -> Result<Json<AuditPage>, Refused> {
    let seller = match &which.seller {
        None => {
            caller.unlimited()?;
            String::new()
        }
        Some(seller) => {
            caller.may(seller)?;
            parsed::<TaxpayerNumber>("seller", seller)?.to_string()
        }
    };
    let limit = which.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let entries = edge.ledger.audit_entries(&seller, which.after.unwrap_or(0), limit).await?;
    let after = entries.last().map(|entry| entry.sequence).filter(|_| entries.len() == limit as usize);
    Ok(Json(AuditPage { entries, after }))
}

/// Which chains to verify.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichChain {
    /// Only this seller's; all of them with their anchors if left out.
    seller: Option<String>,
}

/// Recomputes chains. Within the time of one call; a large ledger is checked by `taxdisk-broker check`.
#[utoipa::path(get, path = "/v1/audit/verify", tag = "audit", params(WhichChain), responses(
    (status = 200, description = "What was found; `whole` says whether everything is as it was written", body = VerifyView),
), security(("key" = ["admin"])))]
pub async fn verify(State(edge): State<Edge>, _: Admin, Query(which): Query<WhichChain>) -> Result<Json<VerifyView>, Refused> {
    let seller = which.seller.as_deref().map(|seller| parsed::<TaxpayerNumber>("seller", seller)).transpose()?;
    let found = edge.ledger.verify(seller.as_ref()).await?;
    if !found.whole {
        tracing::error!(?found, "the ledger is not as it was written");
    }
    Ok(Json(found))
}

/// Makes the proof of one job: a file that is checked without a broker (`taxdisk audit check`). Heads that are not anchored yet
/// are
/// anchored now.
#[utoipa::path(post, path = "/v1/audit/proof", tag = "audit", request_body = JobName, responses(
    (status = 200, description = "The proof: keep its bytes as they are", body = Proof),
    (status = 404, description = "There is no such job", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn proof(
    State(edge): State<Edge>,
    caller: Caller,
    Strict(job): Strict<JobName>,
) -> Result<([(axum::http::HeaderName, &'static str); 1], String), Refused> {
    caller.may(&job.seller)?;
    let key = JobKey { seller: parsed("seller", &job.seller)?, serial: parsed("serial", &job.serial)? };
    let proof = edge.ledger.prove(&key).await?;
    Ok(([(axum::http::header::CONTENT_TYPE, "application/json")], proof.text()))
}

//! What a buyer may ask for: a copy of what is kept about him, and that it is removed.

use axum::Json;
use axum::extract::State;
use taxdisk_protocol::api::{BuyerErased, BuyerErasure, BuyerExport, BuyerQuery};

use super::Edge;
use super::auth::Admin;
use super::body::Strict;
use super::refused::Refused;

/// A copy of what is kept about a buyer, a page at a time. That it was asked for stands in the chain.
#[utoipa::path(post, path = "/v1/buyers:export", tag = "buyers", request_body = BuyerQuery, responses(
    (status = 200, description = "A page; go on while there is a cursor", body = BuyerExport),
), security(("key" = ["admin"])))]
pub async fn export(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Strict(query): Strict<BuyerQuery>,
) -> Result<Json<BuyerExport>, Refused> {
    let page = by.ledger(&edge).export_buyer(&query, by.by()).await?;
    tracing::warn!(jobs = page.jobs.len(), by = by.by(), "what is kept about a buyer was handed out");
    Ok(Json(page))
}

/// Removes invoice and evidence of a buyer's jobs, where the invoice need not be kept any more. Serial numbers, hashes and the
/// numbers of invoices stay.
#[utoipa::path(post, path = "/v1/buyers:erase", tag = "buyers", request_body = BuyerErasure, responses(
    (status = 200, description = "A page; go on while there is a cursor", body = BuyerErased),
), security(("key" = ["admin"])))]
pub async fn erase(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Strict(request): Strict<BuyerErasure>,
) -> Result<Json<BuyerErased>, Refused> {
    let page = by.ledger(&edge).erase_buyer(&request, by.by()).await?;
    let erased = page.jobs.iter().filter(|job| job.erased).count();
    tracing::warn!(erased, kept = page.jobs.len() - erased, by = by.by(), "what is kept about a buyer was removed");
    Ok(Json(page))
}

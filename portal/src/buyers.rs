//! The operator's calls about what is kept of a buyer; behind the operator's key like all of `/admin`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};

use crate::admin::{Answer, Failed};
use crate::console::settings::HISTORY;
use crate::core::buyers::{self, BuyerErasure, BuyerQuery};
use crate::portal::Portal;

/// Who is noted in the histories.
const BY: &str = "operator";

/// The routes under `/admin/v1/tenants`.
pub fn routes() -> Router<Arc<Portal>> {
    Router::new()
        .route("/admin/v1/tenants/{id}/buyers/export", post(export))
        .route("/admin/v1/tenants/{id}/buyers/erase", post(erase))
}

fn wrong(text: String) -> Failed {
    Failed(StatusCode::UNPROCESSABLE_ENTITY, text)
}

fn known(portal: &Portal, tenant: &str) -> Result<(), Failed> {
    let known = portal.directory().tenants().any(|one| one.id == tenant);
    if known { Ok(()) } else { Err(Failed(StatusCode::NOT_FOUND, format!("there is no tenant {tenant:?}"))) }
}

/// A copy of what is kept about a buyer, a slice at a time: go on with `cursor` until it is null.
async fn export(State(portal): State<Arc<Portal>>, Path(tenant): Path<String>, Json(query): Json<BuyerQuery>) -> Answer {
    known(&portal, &tenant)?;
    let query = query.checked().map_err(wrong)?;
    let of = tenant.clone();
    // Behind all callers: it looks through everything.
    let ledger = portal.ledger.behind();
    let work = ledger.run(move |session| Box::pin(async move { buyers::export(session, &of, &query, HISTORY, BY).await }));
    let shown = work.await?;
    tracing::warn!(tenant, "what is kept about a buyer was handed out");
    Ok(Json(shown))
}

/// Removes what is kept about a buyer, where it may go, a slice at a time.
async fn erase(State(portal): State<Arc<Portal>>, Path(tenant): Path<String>, Json(wanted): Json<BuyerErasure>) -> Answer {
    known(&portal, &tenant)?;
    let wanted = BuyerErasure { buyer: wanted.buyer.checked().map_err(wrong)?, ..wanted };
    if wanted.reason.trim().is_empty() && !wanted.dry_run {
        return Err(wrong("reason: say why; it is kept in the tenant's history, so without the buyer's name".to_owned()));
    }
    let (of, days) = (tenant.clone(), portal.config.retention.issued_days);
    let ledger = portal.ledger.behind();
    let work = ledger.run(move |session| Box::pin(async move { buyers::erase(session, &of, &wanted, days, HISTORY, BY).await }));
    let shown = work.await?;
    tracing::warn!(tenant, "what is kept about a buyer was removed");
    Ok(Json(shown))
}

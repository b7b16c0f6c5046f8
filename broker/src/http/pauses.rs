//! Pause, drain and resume of a disk, an agent's disks or a seller's disks; and the warnings that are up.

use axum::Json;
use axum::extract::State;
use taxdisk_protocol::api::{PauseMode, PauseRequest, PauseView, WarningView};
use taxdisk_protocol::error::Problem;

use super::auth::{Admin, Caller};
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Path, parsed};
use crate::ledger::Scope;

/// The calls of one kind of thing: they differ in their address alone.
macro_rules! calls {
    ($module:ident $path:literal $name:literal $of:ident $what:literal) => {
        #[doc = concat!("Pause, drain and resume ", $what, ".")]
        pub mod $module {
            use super::*;

            #[doc = concat!("Pauses ", $what, ": nothing new is handed over, and what was not begun is asked back.")]
            #[utoipa::path(post, path = concat!($path, "/pause"), tag = "pauses", params(($name = String, Path, description = "Which")),
                request_body = PauseRequest, responses(
                (status = 200, description = "Its pause", body = Vec<PauseView>),
                (status = 404, description = "It is not known", body = Problem, content_type = "application/problem+json"),
            ), security(("key" = ["admin"])))]
            pub async fn pause(
                State(edge): State<Edge>,
                Admin(by): Admin,
                Path(id): Path<String>,
                Strict(body): Strict<PauseRequest>,
            ) -> Result<Json<Vec<PauseView>>, Refused> {
                set(&edge, Scope::$of(parsed($name, &id)?), Some(PauseMode::Pause), body, &by).await
            }

            #[doc = concat!("Drains ", $what, ": as a pause, and it is recorded when nothing is open there any more.")]
            #[utoipa::path(post, path = concat!($path, "/drain"), tag = "pauses", params(($name = String, Path, description = "Which")),
                request_body = PauseRequest, responses(
                (status = 200, description = "Its pause; `drained_at` once nothing is open", body = Vec<PauseView>),
                (status = 404, description = "It is not known", body = Problem, content_type = "application/problem+json"),
            ), security(("key" = ["admin"])))]
            pub async fn drain(
                State(edge): State<Edge>,
                Admin(by): Admin,
                Path(id): Path<String>,
                Strict(body): Strict<PauseRequest>,
            ) -> Result<Json<Vec<PauseView>>, Refused> {
                set(&edge, Scope::$of(parsed($name, &id)?), Some(PauseMode::Drain), body, &by).await
            }

            #[doc = concat!("Lets ", $what, " work again.")]
            #[utoipa::path(post, path = concat!($path, "/resume"), tag = "pauses", params(($name = String, Path, description = "Which")),
                request_body = PauseRequest, responses(
                (status = 200, description = "It works again: nothing is left in the list", body = Vec<PauseView>),
                (status = 404, description = "It is not known", body = Problem, content_type = "application/problem+json"),
            ), security(("key" = ["admin"])))]
            pub async fn resume(
                State(edge): State<Edge>,
                Admin(by): Admin,
                Path(id): Path<String>,
                Strict(body): Strict<PauseRequest>,
            ) -> Result<Json<Vec<PauseView>>, Refused> {
                set(&edge, Scope::$of(parsed($name, &id)?), None, body, &by).await
            }
        }
    };
}

calls!(disk "/v1/disks/{number}" "number" Disk "a disk");
calls!(agent "/v1/agents/{id}" "id" Agent "the disks of an agent");
calls!(seller "/v1/sellers/{taxno}" "taxno" Seller "the disks of a seller");

async fn set(
    edge: &Edge,
    scope: Scope,
    mode: Option<PauseMode>,
    body: PauseRequest,
    by: &Caller,
) -> Result<Json<Vec<PauseView>>, Refused> {
    match mode {
        Some(mode) => edge.ledger.pause(scope.clone(), mode, body, by.by()).await?,
        None => edge.ledger.resume(scope.clone(), body, by.by()).await?,
    }
    tracing::info!(%scope, ?mode, by = by.by(), "pause changed");
    let (of, id) = scope.parts();
    let pauses = edge.ledger.pauses().await?.into_iter();
    Ok(Json(pauses.filter(|pause| pause.of == of && pause.id == id).collect()))
}

/// Lists the early warnings that are up, the most urgent first, for the sellers that the key is for.
#[utoipa::path(get, path = "/v1/warnings", tag = "disks", responses((status = 200, description = "Warnings", body = Vec<WarningView>)), security(("key" = [])))]
pub async fn warnings(State(edge): State<Edge>, caller: Caller) -> Result<Json<Vec<WarningView>>, Refused> {
    let warnings = edge.ledger.warnings().await?.into_iter();
    Ok(Json(warnings.filter(|warning| caller.may(warning.seller.as_deref().unwrap_or_default()).is_ok()).collect()))
}

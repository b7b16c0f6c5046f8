//! Disks: what is known of them, and to whom they belong.

use axum::Json;
use axum::extract::State;
use taxdisk_protocol::api::{DiskAssignment, DiskView};
use taxdisk_protocol::error::Problem;
use taxdisk_protocol::ids::DiskNumber;

use super::auth::{Admin, Caller};
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Path, parsed};

/// Lists the disks of the sellers that the key is for.
#[utoipa::path(get, path = "/v1/disks", tag = "disks", responses((status = 200, description = "Disks", body = Vec<DiskView>)), security(("key" = [])))]
pub async fn list(State(edge): State<Edge>, caller: Caller) -> Result<Json<Vec<DiskView>>, Refused> {
    let disks = edge.ledger.disks().await?.into_iter();
    Ok(Json(disks.filter(|disk| caller.may(&disk.report.taxpayer).is_ok()).collect()))
}

/// Says to whom a disk belongs and whether it takes jobs.
#[utoipa::path(put, path = "/v1/disks/{number}/assignment", tag = "disks", params(("number" = String, Path, description = "The number inside the disk")),
    request_body = DiskAssignment, responses(
    (status = 200, description = "As it is now", body = DiskAssignment),
    (status = 409, description = "The taxpayer number inside the disk says otherwise", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn assign(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Path(number): Path<String>,
    Strict(body): Strict<DiskAssignment>,
) -> Result<Json<DiskAssignment>, Refused> {
    let disk: DiskNumber = parsed("number", &number)?;
    by.ledger(&edge).put_disk_assignment(&disk, body.clone(), by.by()).await?;
    tracing::info!(%disk, seller = body.seller, enabled = body.enabled, by = by.by(), "disk assigned");
    Ok(Json(body))
}

//! Sellers and their issue points. Administrators write; platforms read those that their key is for.

use axum::Json;
use axum::extract::State;
use taxdisk_protocol::api::{IssuePointBody, IssuePointView, PauseOf, PauseView, SellerBody, SellerView};
use taxdisk_protocol::error::{Code, Problem};
use taxdisk_protocol::ids::{IssuePoint, TaxpayerNumber};

use super::auth::{Admin, Caller};
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Path, parsed};

/// Makes or changes a seller.
#[utoipa::path(put, path = "/v1/sellers/{taxno}", tag = "sellers", params(("taxno" = String, Path, description = "Taxpayer number")),
    request_body = SellerBody, responses(
    (status = 200, description = "As it is now", body = SellerView),
), security(("key" = ["admin"])))]
pub async fn put(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Path(taxno): Path<String>,
    Strict(body): Strict<SellerBody>,
) -> Result<Json<SellerView>, Refused> {
    let seller: TaxpayerNumber = parsed("taxno", &taxno)?;
    by.ledger(&edge).put_seller(&seller, body.clone(), by.by()).await?;
    tracing::info!(%seller, by = by.by(), "seller written");
    Ok(Json(view(&seller, body, &edge.ledger.pauses().await?)))
}

fn view(seller: &TaxpayerNumber, body: SellerBody, pauses: &[PauseView]) -> SellerView {
    let pause = pauses.iter().find(|pause| pause.of == PauseOf::Seller && pause.id == seller.as_str()).cloned();
    let SellerBody { name, disk_trouble, mark, warnings } = body;
    SellerView { taxpayer_number: seller.to_string(), name, disk_trouble, mark, warnings, pause }
}

/// Shows a seller.
#[utoipa::path(get, path = "/v1/sellers/{taxno}", tag = "sellers", params(("taxno" = String, Path, description = "Taxpayer number")), responses(
    (status = 200, description = "The seller", body = SellerView),
    (status = 404, description = "There is no such seller", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn show(State(edge): State<Edge>, caller: Caller, Path(taxno): Path<String>) -> Result<Json<SellerView>, Refused> {
    caller.may(&taxno)?;
    let seller: TaxpayerNumber = parsed("taxno", &taxno)?;
    let body = edge.ledger.seller(&seller).await.map_err(unknown_here)?;
    Ok(Json(view(&seller, body, &edge.ledger.pauses().await?)))
}

/// Under its own address an unknown seller is a thing that is not found; on a job it is a field that is wrong.
fn unknown_here(refusal: crate::ledger::Refusal) -> Refused {
    let refused = Refused::from(refusal);
    if refused.0.code == Code::SellerUnknown.as_str() { Refused::new(Code::NotFound, refused.0.detail) } else { refused }
}

/// Lists the sellers that the key is for.
#[utoipa::path(get, path = "/v1/sellers", tag = "sellers", responses((status = 200, description = "Sellers", body = Vec<SellerView>)), security(("key" = [])))]
pub async fn list(State(edge): State<Edge>, caller: Caller) -> Result<Json<Vec<SellerView>>, Refused> {
    let sellers = edge.ledger.sellers().await?.into_iter();
    let pauses = edge.ledger.pauses().await?;
    let mine = sellers.filter(|(seller, _)| caller.may(seller.as_str()).is_ok());
    Ok(Json(mine.map(|(seller, body)| view(&seller, body, &pauses)).collect()))
}

/// Makes or changes an issue point.
#[utoipa::path(put, path = "/v1/sellers/{taxno}/issue-points/{id}", tag = "sellers", params(
    ("taxno" = String, Path, description = "Taxpayer number"), ("id" = String, Path, description = "Issue point"),
), request_body = IssuePointBody, responses(
    (status = 200, description = "As it is now", body = IssuePointView),
), security(("key" = ["admin"])))]
pub async fn put_point(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Path((taxno, id)): Path<(String, String)>,
    Strict(body): Strict<IssuePointBody>,
) -> Result<Json<IssuePointView>, Refused> {
    let seller: TaxpayerNumber = parsed("taxno", &taxno)?;
    let point: IssuePoint = parsed("id", &id)?;
    by.ledger(&edge).put_issue_point(&seller, &point, body.clone(), by.by()).await.map_err(unknown_here)?;
    tracing::info!(%seller, %point, by = by.by(), "issue point written");
    Ok(Json(point_view(&point, body)))
}

fn point_view(point: &IssuePoint, body: IssuePointBody) -> IssuePointView {
    IssuePointView { id: point.to_string(), name: body.name, disks: body.disks }
}

/// Lists the issue points of a seller.
#[utoipa::path(get, path = "/v1/sellers/{taxno}/issue-points", tag = "sellers", params(("taxno" = String, Path, description = "Taxpayer number")), responses(
    (status = 200, description = "Issue points", body = Vec<IssuePointView>),
), security(("key" = [])))]
pub async fn list_points(
    State(edge): State<Edge>,
    caller: Caller,
    Path(taxno): Path<String>,
) -> Result<Json<Vec<IssuePointView>>, Refused> {
    caller.may(&taxno)?;
    let seller: TaxpayerNumber = parsed("taxno", &taxno)?;
    let points = edge.ledger.issue_points(&seller).await.map_err(unknown_here)?;
    Ok(Json(points.into_iter().map(|(point, body)| point_view(&point, body)).collect()))
}

/// Shows an issue point.
#[utoipa::path(get, path = "/v1/sellers/{taxno}/issue-points/{id}", tag = "sellers", params(
    ("taxno" = String, Path, description = "Taxpayer number"), ("id" = String, Path, description = "Issue point"),
), responses(
    (status = 200, description = "The issue point", body = IssuePointView),
    (status = 404, description = "There is no such issue point", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn show_point(
    State(edge): State<Edge>,
    caller: Caller,
    Path((taxno, id)): Path<(String, String)>,
) -> Result<Json<IssuePointView>, Refused> {
    caller.may(&taxno)?;
    let seller: TaxpayerNumber = parsed("taxno", &taxno)?;
    let points = edge.ledger.issue_points(&seller).await.map_err(unknown_here)?;
    let found = points.into_iter().find(|(point, _)| point.as_str() == id);
    let (point, body) = found.ok_or_else(|| Refused::new(Code::NotFound, format!("{seller} has no issue point {id:?}")))?;
    Ok(Json(point_view(&point, body)))
}

//! Organisations of the tenant, as the operator set them up, and the disks that issue for them, as the broker named them last.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::routing::get;
use axum::{Extension, Router};
use taxdisk_protocol::api::DiskView;
use taxdisk_protocol::kind::InvoiceKind;

use crate::console::invoices::time;
use crate::console::shell::Shell;
use crate::console::{Console, Shared, Who, page, words};

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/settings/organisations", get(show))
}

struct Point {
    orgcode: String,
    broker_point: String,
    persons: String,
    limit: String,
}

struct Disk {
    number: String,
    state: String,
    good: bool,
    stock: Vec<String>,
    seen_at: String,
}

struct Seller {
    name: String,
    number: String,
    address: String,
    bank: String,
    points: Vec<Point>,
    disks: Vec<Disk>,
}

#[derive(Template)]
#[template(path = "console/settings/organisations.html")]
struct Page {
    shell: Shell,
    sellers: Vec<Seller>,
}

async fn show(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let (directory, disks) = (console.portal.directory(), console.portal.disks());
    let t = |key: &str| words::text(visitor.language, key).to_owned();
    let point = |point: &crate::model::IssuePoint| Point {
        orgcode: point.orgcode.clone(),
        broker_point: point.broker_point.clone().unwrap_or_else(|| t("org_every_disk")),
        persons: [&point.clerk, &point.payee, &point.reviewer]
            .map(|name| if name.is_empty() { "—" } else { name.as_str() })
            .join(" / "),
        limit: point.invoice_limit.map(|limit| format!("{limit:.2}")).unwrap_or_default(),
    };
    let disk = |view: &DiskView| Disk {
        number: view.report.disk.clone(),
        good: view.online && view.enabled && view.report.health.ready,
        state: t(match (view.online, view.enabled, view.report.health.ready) {
            (false, _, _) => "disk_offline",
            (_, false, _) => "disk_disabled",
            (_, _, false) => "disk_not_ready",
            _ => "disk_ready",
        }),
        stock: view
            .report
            .stock
            .iter()
            .map(|stock| {
                let kind = stock
                    .kind
                    .parse()
                    .map_or_else(|_| stock.kind.clone(), |kind: InvoiceKind| words::said(visitor.language, kind.name()));
                format!("{kind}: {}", stock.remaining)
            })
            .collect(),
        // As every other time of the console: of China, to the second.
        seen_at: view.seen_at.parse().map_or_else(|_| view.seen_at.clone(), |at: jiff::Timestamp| time(at.as_millisecond())),
    };
    let seller = |seller: &crate::model::Seller| Seller {
        name: seller.name.clone(),
        number: seller.taxpayer_number.clone(),
        address: seller.address_phone.clone(),
        bank: seller.bank_account.clone(),
        points: seller.points.iter().map(point).collect(),
        disks: disks.iter().filter(|view| view.report.taxpayer == seller.taxpayer_number).map(disk).collect(),
    };
    let sellers = directory.tenant(visitor.tenant()).map(|tenant| tenant.sellers.iter().map(seller).collect());
    let shell = Shell::new(&console, &visitor, "menu_disks");
    page(&Page { shell, sellers: sellers.unwrap_or_default() })
}

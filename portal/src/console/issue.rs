//! 企业开票 → 填开发票: the issue screen. An address holds the key of one draft, so its serial number is fixed before the form is
//! shown: a double click, the back button and two tabs are one invoice.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};

use super::draft::screen::{self, Screen};
use super::draft::{self, Draft, Hits, Step};
use super::invoices::{encoded, time};
use super::shell::{Shell, busy, not_found};
use super::{Console, Posted, Shared, Visitor, Who, see_other, shell, words};
use crate::core::act;
use crate::core::hold::Hold;
use crate::core::insert::{Incoming, Verdict};
use crate::core::request::{Phase, Request};
use crate::core::reservations::{self, Issued};
use crate::model::Tenant;
use crate::wire::form::Form;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/issue", get(begin)).route("/console/issue/{key}", get(show).post(press))
}

/// The key is made here, before the form is shown.
async fn begin() -> Response<Body> {
    see_other(&format!("/console/issue/{}", act::random_token()))
}

async fn known(console: &Console, visitor: &Visitor, serial: &str) -> Result<Option<Request>, Response<Body>> {
    let read = async { console.portal.readers.get().await?.request(visitor.tenant(), serial).await };
    let read: Result<Option<Request>, crate::store::StoreError> = read.await;
    read.map_err(|_| busy(console, visitor))
}

fn screen_of(console: &Console, visitor: &Visitor, key: &str) -> Screen {
    Screen {
        shell: Shell::new(console, visitor, "menu_issue_screen"),
        action: format!("/console/issue/{key}"),
        serial: draft::serial("issue", visitor.tenant(), key),
        buyer: true,
        checked: true,
        make: "issue_now",
        only: None,
        facts: Vec::new(),
        panel: true,
        release: None,
    }
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(key): Path<String>) -> Response<Body> {
    let Some(tenant) = draft::tenant_of(&console, visitor.tenant()).filter(|_| draft::is_key(&key)) else {
        return not_found(&console, &visitor);
    };
    let screen = screen_of(&console, &visitor, &key);
    match known(&console, &visitor, &screen.serial).await {
        Ok(None) => screen::form(&screen, &tenant, &Draft::new(), Hits::default(), &[]),
        // What was sent back is corrected under its serial number.
        Ok(Some(request)) if request.phase == Phase::Deleted => {
            screen::form(&screen, &tenant, &Draft::of_request(&request), Hits::default(), &[])
        }
        // The back button, or another tab: it has become a request already.
        Ok(Some(request)) => see_other(&format!("/console/invoices/{}?done=known", encoded(&request.serial))),
        Err(page) => page,
    }
}

async fn press(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(key): Path<String>,
) -> Response<Body> {
    let Some(tenant) = draft::tenant_of(&console, visitor.tenant()).filter(|_| draft::is_key(&key)) else {
        return not_found(&console, &visitor);
    };
    let screen = screen_of(&console, &visitor, &key);
    pressed(&console, &visitor, &tenant, &form, &screen).await
}

/// A button of a draft that becomes an invoice: its own, or that of a reservation.
pub(super) async fn pressed(
    console: &Console,
    visitor: &Visitor,
    tenant: &Tenant,
    form: &Form,
    screen: &Screen,
) -> Response<Body> {
    let mut draft = Draft::of(form);
    let (step, hits) = match draft.pressed(console, &tenant.id, form).await {
        Ok(pressed) => pressed,
        Err(_) => return busy(console, visitor),
    };
    if step == Step::Edit {
        return screen::form(screen, tenant, &draft, hits, &[]);
    }
    let incoming = match draft.incoming(console, tenant, &screen.serial, None) {
        Ok(incoming) => incoming,
        Err(faults) => return screen::form(screen, tenant, &draft, hits, &faults),
    };
    if step == Step::Check {
        return screen::check(screen, &draft, &incoming);
    }
    made(console, visitor, tenant, incoming).await
}

async fn made(console: &Console, visitor: &Visitor, tenant: &Tenant, incoming: Incoming) -> Response<Body> {
    let batch = draft::batch(tenant, "console", incoming);
    let by = visitor.name();
    let work = console.portal.ledger.run(move |session| Box::pin(async move { reservations::issue(session, &batch, &by).await }));
    let done = |serial: &str, what: &str| see_other(&format!("/console/invoices/{}?done={what}", encoded(serial)));
    match work.await {
        Ok(Issued::Verdict(verdict)) => match *verdict {
            Verdict::Taken(seen) => done(&seen.request.serial, "asked"),
            Verdict::Repeat(seen) => done(&seen.request.serial, "known"),
            Verdict::Refused(refusal) => shell::refused(console, visitor, refusal.text),
        },
        Ok(Issued::Other(hold)) => shell::refused(console, visitor, held_text(visitor, &hold)),
        Ok(Issued::NotHeld) => shell::notice(console, visitor, StatusCode::CONFLICT, "reservation_not_held"),
        Err(_) => busy(console, visitor),
    }
}

/// Who has a reservation, and until when.
pub(super) fn held_text(visitor: &Visitor, hold: &Hold) -> String {
    let text = words::text(visitor.language, "reservation_other");
    let person = hold.person.strip_prefix("console:").unwrap_or(&hold.person);
    text.replace("{person}", person).replace("{until}", &time(hold.until))
}

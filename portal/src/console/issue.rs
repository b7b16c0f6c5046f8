//! 企业开票 → 填开发票: the issue screen. An address holds the key of one draft, so its serial number is fixed before the form is
//! shown: a double click, the back button and two tabs are one invoice.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};

use super::draft::screen::{self, Panel, Screen};
use super::draft::{self, Draft, Hits, Step};
use super::invoices::{encoded, time};
use super::shell::{Page, Shell, busy, either, not_found};
use super::{Console, Posted, Shared, Visitor, Who, reservations as guests, see_other, shell, words};
use crate::core::act;
use crate::core::hold::Hold;
use crate::core::insert::{Incoming, Verdict};
use crate::core::request::{Phase, Request};
use crate::core::reservations::{self, Issued, Taken};
use crate::model::Tenant;
use crate::store::StoreError;
use crate::wire::form::Form;

/// Reservations that the panel shows at most; a word narrows them.
const OFFERS_SHOWN: u32 = 20;

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
        panel: Some(Panel::default()),
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
    either(with_reservations(&console, &visitor, &tenant, &form, screen).await)
}

/// 开票信息: lists the reservations of the chosen organisation, attaches one to the draft, takes it off again, and keeps the one
/// that is attached for this clerk. The draft keeps its serial number and its lines, whatever happens here.
async fn with_reservations(console: &Console, visitor: &Visitor, tenant: &Tenant, form: &Form, mut screen: Screen) -> Page {
    let mut draft = Draft::of(form);
    let mut faults = Vec::new();
    let panel = match (form.get("detach"), form.get("attach"), form.get("step")) {
        (Some(_), _, _) => {
            guests::released(console, visitor, &draft.reservation).await?;
            draft.reservation.clear();
            Some(Panel::default())
        }
        (None, Some(wanted), _) => {
            faults.extend(attached(console, visitor, &mut draft, wanted).await?);
            Some(Panel::default())
        }
        (None, None, Some("find_reservation")) => {
            let offers = guests::offers(console, visitor, draft.orgcode(), &draft.reservation_word, OFFERS_SHOWN).await;
            let offers = offers.map_err(|_| busy(console, visitor))?;
            Some(Panel { more: offers.len() == OFFERS_SHOWN as usize, offers: Some(offers) })
        }
        _ => None,
    };
    if !draft.reservation.is_empty() {
        match kept(console, visitor, &draft.reservation, form.get("step") == Some("make")).await? {
            Taken::Held(reservation) | Taken::Used(reservation) => {
                screen.facts = guests::facts(visitor, &reservation);
                screen.only = Some(reservation.orgcode.clone());
            }
            Taken::Other(hold) => faults.push(held_text(visitor, &hold)),
            Taken::Unknown => draft.reservation.clear(),
        }
    }
    if panel.is_none() && faults.is_empty() {
        return Ok(pressed(console, visitor, tenant, draft, form, screen).await);
    }
    screen.panel = Some(panel.unwrap_or_default());
    Ok(screen::form(&screen, tenant, &draft, Hits::default(), &faults))
}

/// Takes a reservation for this clerk and adds it to the draft; what is wrong, if it cannot be.
async fn attached(
    console: &Console,
    visitor: &Visitor,
    draft: &mut Draft,
    wanted: &str,
) -> Result<Option<String>, Response<Body>> {
    let reservation = match guests::held(console, visitor, wanted).await? {
        Taken::Held(reservation) => reservation,
        Taken::Other(hold) => return Ok(Some(held_text(visitor, &hold))),
        Taken::Used(_) => return Ok(Some("该预约已用于另一张发票，本次未开票".to_owned())),
        Taken::Unknown => return Ok(Some("没有这条预约，本次未开票".to_owned())),
    };
    let before = draft.reservation.clone();
    // Attached already: its lines are there.
    if before == reservation.serial {
        return Ok(None);
    }
    let fault = if reservation.orgcode != draft.orgcode() {
        Some("该预约属于另一开票组织，本次未开票".to_owned())
    } else if !draft.attach(&reservation) {
        Some(format!("行数过多：最多 {} 行", draft::MAX_LINES))
    } else {
        None
    };
    // One draft, one guest: what is not attached to it is free for others.
    let free = if fault.is_some() { reservation.serial.as_str() } else { before.as_str() };
    if !free.is_empty() {
        guests::released(console, visitor, free).await?;
    }
    Ok(fault)
}

/// Whoever works on a reservation keeps it. Making the invoice is judged by the core alone, with the hold as it is.
async fn kept(console: &Console, visitor: &Visitor, serial: &str, makes: bool) -> Result<Taken, Response<Body>> {
    if !makes {
        return guests::held(console, visitor, serial).await;
    }
    let read = async { console.portal.readers.get().await?.reservation(visitor.tenant(), serial).await };
    let known = read.await.map_err(|_: StoreError| busy(console, visitor))?;
    Ok(known.map_or(Taken::Unknown, |known| Taken::Held(Box::new(known))))
}

/// A button of a draft that becomes an invoice: its own, or that of a reservation.
pub(super) async fn pressed(
    console: &Console,
    visitor: &Visitor,
    tenant: &Tenant,
    mut draft: Draft,
    form: &Form,
    screen: Screen,
) -> Response<Body> {
    let (step, hits) = match draft.pressed(console, &tenant.id, form).await {
        Ok(pressed) => pressed,
        Err(_) => return busy(console, visitor),
    };
    if step == Step::Edit {
        return screen::form(&screen, tenant, &draft, hits, &[]);
    }
    let incoming = match draft.incoming(console, tenant, &screen.serial, None) {
        Ok(incoming) => incoming,
        Err(faults) => return screen::form(&screen, tenant, &draft, hits, &faults),
    };
    if step == Step::Check {
        return screen::check(&screen, &draft, &incoming);
    }
    // A reservation's own screen has its serial number, and attaches nothing.
    let attached = Some(draft.reservation).filter(|serial| screen.panel.is_some() && !serial.is_empty());
    made(console, visitor, tenant, incoming, attached).await
}

async fn made(
    console: &Console,
    visitor: &Visitor,
    tenant: &Tenant,
    incoming: Incoming,
    attached: Option<String>,
) -> Response<Body> {
    let batch = draft::batch(tenant, "console", incoming);
    let by = visitor.name();
    let work = console
        .portal
        .ledger
        .run(move |session| Box::pin(async move { reservations::issue(session, &batch, &by, attached.as_deref()).await }));
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

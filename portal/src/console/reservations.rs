//! 预约开票信息: what guests reserved by a code on the wall, and how a clerk makes the invoice of it.
//!
//! A clerk takes a reservation before he edits it; a second one sees who has it and until when. Everything that he presses
//! renews his hold. The serial number is the reservation's own, so whoever issues it and however often, it is one invoice.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::draft::screen::{self, Screen};
use super::draft::{self, Draft, Hits};
use super::invoices::{Choice, encoded, time};
use super::issue::{held_text, pressed};
use super::roles::Action;
use super::shell::{Shell, busy, either, not_found};
use super::{Console, Posted, Shared, Visitor, Who, page, see_other, shell, words};
use crate::core::request::{Phase, Request};
use crate::core::reservations::{self, Reservation, Search, Taken};
use crate::model::Tenant;
use crate::store::StoreError;

/// Rows of a page.
const PAGE: u32 = 50;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/reservations", get(list))
        .route("/console/reservations/{reservation}", get(show).post(press))
        .route("/console/reservations/{reservation}/take", post(take))
        .route("/console/reservations/{reservation}/release", post(release))
}

fn url(serial: &str) -> String {
    format!("/console/reservations/{}", encoded(serial))
}

struct Row {
    url: String,
    number: i64,
    created: String,
    buyer: String,
    phone: String,
    mail: String,
    gross: String,
    answers: String,
    state: String,
    class: &'static str,
}

#[derive(Template)]
#[template(path = "console/reservations.html")]
struct ListPage {
    shell: Shell,
    rows: Vec<Row>,
    orgs: Vec<Choice>,
    used: Vec<Choice>,
    word: String,
    next: Option<String>,
}

/// A reservation in the panel of the issue screen.
pub(super) struct Offer {
    /// What its button sends.
    pub(super) serial: String,
    /// Number, buyer and what else was written.
    pub(super) name: String,
    pub(super) more: String,
    /// Who else has it now; empty: it can be attached.
    pub(super) held: String,
}

/// Reservations of an organisation that are not used yet, the latest first.
pub(super) async fn offers(
    console: &Console,
    visitor: &Visitor,
    orgcode: &str,
    word: &str,
    limit: u32,
) -> Result<Vec<Offer>, StoreError> {
    let search = Search {
        tenant: visitor.tenant().to_owned(),
        orgcode: orgcode.to_owned(),
        word: word.to_owned(),
        used: Some(false),
        before: i64::MAX,
        limit,
    };
    let found = console.portal.readers.get().await?.reservations(&search).await?;
    let (now, by) = ((console.portal.clock)(), visitor.name());
    let offer = |one: &Reservation| {
        let other = one.hold.as_ref().filter(|hold| hold.is_of_another(&by, now));
        let gross: rust_decimal::Decimal = one.lines.iter().filter_map(|line| line.gross).sum();
        let mut more = vec![one.phone.clone(), one.mail.clone()];
        more.extend(one.answers.iter().map(|(label, answer)| format!("{label} {answer}")));
        more.push(if gross.is_zero() { String::new() } else { format!("¥{gross:.2}") });
        more.retain(|text| !text.is_empty());
        Offer {
            serial: one.serial.clone(),
            name: format!("{} {}", one.number, one.buyer.name),
            more: more.join(" · "),
            held: other.map(|hold| held_text(visitor, hold)).unwrap_or_default(),
        }
    };
    Ok(found.iter().map(offer).collect())
}

/// Text and colour of where a reservation is.
fn state(console: &Console, visitor: &Visitor, reservation: &Reservation) -> (String, &'static str) {
    let t = |key: &str| words::text(visitor.language, key).to_owned();
    let now = (console.portal.clock)();
    match (&reservation.used, &reservation.hold) {
        (Some(_), _) => (t("reservation_used"), "good"),
        (None, Some(hold)) if hold.lasts(now) => (held_text(visitor, hold), "warn"),
        (None, _) => (t("reservation_unused"), ""),
    }
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let Some(tenant) = draft::tenant_of(&console, visitor.tenant()) else { return not_found(&console, &visitor) };
    let field = |name: &str| visitor.query.get(name).unwrap_or_default().trim().to_owned();
    let mut orgs: Vec<String> = draft::orgs(&tenant).map(|(_, point)| point.orgcode.clone()).collect();
    orgs.dedup();
    let org = orgs.iter().find(|org| **org == field("org")).or(orgs.first()).cloned().unwrap_or_default();
    let (word, chosen) = (field("word"), field("used"));
    let search = Search {
        tenant: tenant.id.clone(),
        orgcode: org.clone(),
        word: word.clone(),
        used: match chosen.as_str() {
            "yes" => Some(true),
            "all" => None,
            // What still is to be done comes first.
            _ => Some(false),
        },
        before: field("before").parse().unwrap_or(i64::MAX),
        limit: PAGE,
    };
    let read = async { console.portal.readers.get().await?.reservations(&search).await };
    let Ok(found) = read.await else { return busy(&console, &visitor) };
    let t = |key: &str| words::text(visitor.language, key).to_owned();
    let row = |one: &Reservation| {
        let (state, class) = state(&console, &visitor, one);
        let gross: rust_decimal::Decimal = one.lines.iter().filter_map(|line| line.gross).sum();
        Row {
            url: url(&one.serial),
            number: one.number,
            created: time(one.created_at),
            buyer: one.buyer.name.clone(),
            phone: one.phone.clone(),
            mail: one.mail.clone(),
            gross: if gross.is_zero() { String::new() } else { format!("{gross:.2}") },
            answers: one.answers.iter().map(|(label, answer)| format!("{label} {answer}")).collect::<Vec<_>>().join("；"),
            state,
            class,
        }
    };
    let last = found.last().filter(|_| found.len() == PAGE as usize);
    let kept = [("org", &org), ("word", &word), ("used", &chosen)].map(|(name, value)| format!("{name}={}", encoded(value)));
    let next = last.map(|last| format!("{}&before={}", kept.join("&"), last.number));
    let used = [("no", "reservation_unused"), ("yes", "reservation_used"), ("all", "all")];
    page(&ListPage {
        shell: Shell::new(&console, &visitor, "menu_reservations"),
        rows: found.iter().map(row).collect(),
        orgs: orgs.iter().map(|one| Choice { value: one.clone(), label: one.clone(), chosen: *one == org }).collect(),
        used: used.map(|(value, key)| Choice { value: value.to_owned(), label: t(key), chosen: value == chosen }).into(),
        word,
        next,
    })
}

/// A reservation of this tenant, with its request if there is one.
async fn of(console: &Console, visitor: &Visitor, serial: &str) -> Result<(Reservation, Option<Request>), Response<Body>> {
    let read = async {
        let mut db = console.portal.readers.get().await?;
        let reservation = db.reservation(visitor.tenant(), serial).await?;
        let invoice = reservation.as_ref().map_or(serial, Reservation::invoice_serial);
        Ok::<_, StoreError>((reservation.clone(), db.request(visitor.tenant(), invoice).await?))
    };
    match read.await {
        Ok((Some(reservation), request)) => Ok((reservation, request)),
        Ok((None, _)) => Err(not_found(console, visitor)),
        Err(_) => Err(busy(console, visitor)),
    }
}

/// What a clerk should see of a reservation: label and value.
pub(super) fn facts(visitor: &Visitor, reservation: &Reservation) -> Vec<(String, String)> {
    let t = |key: &str| words::text(visitor.language, key).to_owned();
    let buyer = &reservation.buyer;
    let mut facts = vec![
        (t("reservation_number"), reservation.number.to_string()),
        (t("org"), reservation.orgcode.clone()),
        (t("reservation_at"), time(reservation.created_at)),
        (t("buyer_type"), draft::type_text(visitor.language, reservation.kind.text())),
        (t("buyer"), buyer.name.clone()),
        (t("buyer_number"), buyer.taxpayer_number.clone()),
        (t("buyer_address"), buyer.address_phone.clone()),
        (t("buyer_bank"), buyer.bank_account.clone()),
        (t("telephone"), reservation.phone.clone()),
        (t("mail"), reservation.mail.clone()),
    ];
    facts.extend(reservation.answers.iter().cloned());
    let amount = |line: &reservations::Wanted| {
        let quantity = line.quantity.map(|quantity| format!(" × {}", quantity.normalize())).unwrap_or_default();
        let gross = line.gross.map(|gross| format!(" ¥{gross:.2}")).unwrap_or_default();
        format!("{}{quantity}{gross}", line.goods.name)
    };
    facts.push((t("lines"), reservation.lines.iter().map(amount).collect::<Vec<_>>().join("；")));
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

#[derive(Template)]
#[template(path = "console/reservation.html")]
struct ShowPage {
    shell: Shell,
    url: String,
    state: String,
    class: &'static str,
    facts: Vec<(String, String)>,
    request: Option<String>,
    may_take: bool,
}

fn screen_of(console: &Console, visitor: &Visitor, reservation: &Reservation) -> Screen {
    Screen {
        shell: Shell::new(console, visitor, "menu_issue_screen"),
        action: url(&reservation.serial),
        serial: reservation.serial.clone(),
        buyer: true,
        checked: true,
        make: "issue_now",
        only: Some(reservation.orgcode.clone()),
        facts: facts(visitor, reservation),
        panel: None,
        release: Some(format!("{}/release", url(&reservation.serial))),
    }
}

/// The draft that a clerk begins with.
fn begun(tenant: &Tenant, reservation: &Reservation, request: Option<&Request>) -> Draft {
    if let Some(request) = request {
        return Draft::of_request(request);
    }
    let org = draft::orgs(tenant).find(|(_, point)| point.orgcode == reservation.orgcode);
    Draft::of_reservation(reservation, org.map(|(seller, point)| draft::org_value(seller, point)).unwrap_or_default())
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let (reservation, request) = of(&console, &visitor, &serial).await?;
            let now = (console.portal.clock)();
            let by = visitor.name();
            let mine = reservation.hold.as_ref().is_some_and(|hold| hold.is_of(&by, now));
            // What was sent back is corrected under its serial number; that of a draft, where the draft was written.
            let returned = request.as_ref().is_some_and(|request| request.phase == Phase::Deleted && request.serial == serial);
            if visitor.may(Action::Issue) && (mine && request.is_none() || returned) {
                let tenant = draft::tenant_of(&console, visitor.tenant()).ok_or_else(|| not_found(&console, &visitor))?;
                let draft = begun(&tenant, &reservation, request.as_ref());
                return Ok(screen::form(&screen_of(&console, &visitor, &reservation), &tenant, &draft, Hits::default(), &[]));
            }
            let (state, class) = state(&console, &visitor, &reservation);
            let other = reservation.hold.as_ref().is_some_and(|hold| hold.lasts(now));
            let mut shell = Shell::new(&console, &visitor, "reservation");
            shell.title = format!("{} {}", shell.title, reservation.number);
            Ok(page(&ShowPage {
                url: url(&serial),
                state,
                class,
                facts: facts(&visitor, &reservation),
                request: request.map(|request| format!("/console/invoices/{}", encoded(&request.serial))),
                may_take: !other && reservation.used.is_none() && visitor.may(Action::Issue),
                shell,
            }))
        }
        .await,
    )
}

/// Takes it, or keeps it for longer.
pub(super) async fn held(console: &Console, visitor: &Visitor, serial: &str) -> Result<Taken, Response<Body>> {
    let (tenant, wanted, by) = (visitor.tenant().to_owned(), serial.to_owned(), visitor.name());
    let work = console
        .portal
        .ledger
        .run(move |session| Box::pin(async move { reservations::hold(session, &tenant, &wanted, &by).await }));
    work.await.map_err(|_| busy(console, visitor))
}

async fn take(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            match held(&console, &visitor, &serial).await? {
                // Used: its page says what became of it.
                Taken::Held(_) | Taken::Used(_) => Ok(see_other(&url(&serial))),
                Taken::Other(hold) => Err(shell::refused(&console, &visitor, held_text(&visitor, &hold))),
                Taken::Unknown => Err(not_found(&console, &visitor)),
            }
        }
        .await,
    )
}

async fn release(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            of(&console, &visitor, &serial).await?;
            released(&console, &visitor, &serial).await?;
            Ok(see_other(&url(&serial)))
        }
        .await,
    )
}

/// Gives it back, if this clerk has it.
pub(super) async fn released(console: &Console, visitor: &Visitor, serial: &str) -> Result<(), Response<Body>> {
    let (tenant, wanted, by) = (visitor.tenant().to_owned(), serial.to_owned(), visitor.name());
    let work = console
        .portal
        .ledger
        .run(move |session| Box::pin(async move { reservations::release(session, &tenant, &wanted, &by).await }));
    work.await.map(|_| ()).map_err(|_| busy(console, visitor))
}

async fn press(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(serial): Path<String>,
) -> Response<Body> {
    either(
        async {
            let (reservation, _) = of(&console, &visitor, &serial).await?;
            let tenant = draft::tenant_of(&console, visitor.tenant()).ok_or_else(|| not_found(&console, &visitor))?;
            // Whoever works on it keeps it. Making the invoice is judged by the core alone, with the hold as it is.
            if form.get("step") != Some("make")
                && let Taken::Other(hold) = held(&console, &visitor, &serial).await?
            {
                return Err(shell::refused(&console, &visitor, held_text(&visitor, &hold)));
            }
            let screen = screen_of(&console, &visitor, &reservation);
            Ok(pressed(&console, &visitor, &tenant, Draft::of(&form), &form, screen).await)
        }
        .await,
    )
}

//! Reversing a part of an invoice. The document is that of the compatible API's `part-red`, read and judged by the same
//! rules; what is left to reverse is counted inside the writer ([`crate::core::red`]).
//!
//! The serial number follows from the invoice and from how many reds there were when the form was opened. Clicking twice,
//! the back button and a second tab name the same number, and a number is one red. A form opened after that red names the
//! next one, because an invoice may be reversed in several parts.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use taxdisk_protocol::api::{Operation, PairBody};
use taxdisk_protocol::kind::InvoiceKind;

use super::actions::{done, unavailable};
use super::documents::{self, Reversible};
use super::invoice::of;
use super::invoices::encoded;
use super::shell::Shell;
use super::shell::either;
use super::{Console, Posted, Shared, Visitor, Who, page, shell, words};
use crate::core::insert::{self, Batch, Content, Incoming, Verdict};
use crate::core::red::Ask;
use crate::core::request::{Delivery, Phase, Request, Voiding};
use crate::document::fields::Form as DocumentForm;
use crate::document::{canonical, derive, read, split};
use crate::model::Suspected;
use crate::wire::form::Form;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/invoices/{serial}/part-red", get(show).post(reverse))
}

struct Line {
    place: usize,
    name: String,
    quantity: String,
    rate: String,
    gross: String,
}

#[derive(Template)]
#[template(path = "console/part_red.html")]
struct Page {
    shell: Shell,
    back: String,
    serial: String,
    remaining: String,
    nth: usize,
    special: bool,
    lines: Vec<Line>,
}

/// An invoice that can be reversed in part: its number, its lines, and how many reds there are about it.
struct Blue {
    request: Request,
    pair: PairBody,
    lines: Vec<Reversible>,
    reds: usize,
}

/// Can something of it be reversed? Says what buttons there are; the core decides.
pub(super) fn is_reversible(request: &Request) -> bool {
    request.phase == Phase::Issued
        && request.operation == Operation::Issue
        && !matches!(request.voiding, Voiding::Void | Voiding::Running)
        && !request.remaining().is_zero()
        && documents::reversible(&request.document).is_some()
}

async fn blue(console: &Console, visitor: &Visitor, serial: &str) -> Result<Blue, Response<Body>> {
    let said = |status, key| shell::notice(console, visitor, status, key);
    let request = of(console, visitor, serial).await?;
    let pair = request.pair().filter(|_| request.operation == Operation::Issue);
    let pair = pair.ok_or_else(|| said(StatusCode::CONFLICT, "not_issued"))?;
    let lines = documents::reversible(&request.document).ok_or_else(|| said(StatusCode::CONFLICT, "part_red_not"))?;
    let read = async { console.portal.readers.get().await?.about(&request.tenant, &pair.code, &pair.number).await };
    let about = read.await.map_err(|_| said(StatusCode::SERVICE_UNAVAILABLE, "busy"))?;
    let reds = about.iter().filter(|other| other.operation == Operation::Red).count();
    Ok(Blue { request, pair, lines, reds })
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    either(async { Ok(page(&shown(&console, &visitor, &blue(&console, &visitor, &serial).await?))) }.await)
}

fn shown(console: &Console, visitor: &Visitor, blue: &Blue) -> Page {
    let line = |(place, one): (usize, &Reversible)| Line {
        place,
        name: one.line.name.clone(),
        quantity: one.line.quantity.map(|quantity| quantity.normalize().to_string()).unwrap_or_default(),
        rate: format!("{}%", (one.line.rate * Decimal::ONE_HUNDRED).normalize()),
        gross: format!("{:.2}", one.gross),
    };
    Page {
        shell: Shell::new(console, visitor, "part_red"),
        back: format!("/console/invoices/{}", encoded(&blue.request.serial)),
        serial: blue.request.serial.clone(),
        remaining: format!("{:.2}", blue.request.remaining()),
        nth: blue.reds,
        special: InvoiceKind::from_yonyou(blue.request.fplx).is_some_and(InvoiceKind::is_special),
        lines: blue.lines.iter().enumerate().map(line).collect(),
    }
}

/// The serial number of the red that a form asks for; see the module.
fn red_serial(tenant: &str, pair: &PairBody, nth: usize) -> String {
    let text = format!("console-part-red-v1\n{tenant}\n{}\n{}\n{nth}", pair.code, pair.number);
    split::base32(&Sha256::digest(text.as_bytes()), 20)
}

/// Place, amount and quantity of each line that is reversed.
type Taken = Vec<(usize, Decimal, Option<Decimal>)>;

/// What the form asks for.
///
/// # Errors
/// Key of the text that says what is wrong.
fn taken(form: &Form, lines: &[Reversible]) -> Result<Taken, &'static str> {
    let mut taken = Taken::new();
    for (place, one) in lines.iter().enumerate() {
        let field = |name: &str| documents::optional(form.get(&format!("line{place}_{name}")).unwrap_or_default());
        let (gross, quantity) = (field("gross").map_err(|_| "part_red_line")?, field("quantity").map_err(|_| "part_red_line")?);
        let Some(gross) = gross else { continue };
        let fits = |value: Decimal, decimals: u32| value > Decimal::ZERO && value == value.round_dp(decimals);
        if !fits(gross, 2) || gross > one.gross || quantity.is_some_and(|quantity| !fits(quantity, 6)) {
            return Err("part_red_line");
        }
        taken.push((place, gross, quantity));
    }
    if taken.is_empty() { Err("part_red_none") } else { Ok(taken) }
}

async fn reverse(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(serial): Path<String>,
) -> Response<Body> {
    either(reversed(&console, &visitor, &form, &serial).await)
}

async fn reversed(console: &Console, visitor: &Visitor, form: &Form, serial: &str) -> Result<Response<Body>, Response<Body>> {
    let said = |status, key| shell::notice(console, visitor, status, key);
    let blue = blue(console, visitor, serial).await?;
    if form.get("confirm") != Some("yes") {
        return Err(said(StatusCode::UNPROCESSABLE_ENTITY, "unconfirmed"));
    }
    // A number that no form of ours can have named yet would let one invoice's reds be counted past each other.
    let nth: Option<usize> = form.get("nth").and_then(|nth| nth.parse().ok()).filter(|nth| *nth <= blue.reds);
    let nth = nth.ok_or_else(|| said(StatusCode::UNPROCESSABLE_ENTITY, "part_red_old"))?;
    let taken = taken(form, &blue.lines).map_err(|key| said(StatusCode::UNPROCESSABLE_ENTITY, key))?;
    let number = red_serial(&blue.request.tenant, &blue.pair, nth);
    let notice = form.get("notice").unwrap_or_default().trim();
    let json = documents::part_red(&blue.lines, &number, (&blue.pair.code, &blue.pair.number), notice, &taken);
    let texts = |faults: Vec<crate::document::Fault>| {
        let texts = faults.iter().take(10).map(ToString::to_string);
        shell::refused(console, visitor, words::said_all(visitor.language, texts))
    };
    let document = read::document(&json, DocumentForm::PartRed).map_err(texts)?;
    let tenant = console.portal.directory().tenant(&blue.request.tenant).cloned();
    let tenant = tenant.ok_or_else(|| said(StatusCode::NOT_FOUND, "not_found"))?;
    let canonical = canonical::text("part_red", &document);
    let (document, faults) = match derive::derive(document.clone()) {
        Ok(derived) => (derived, Vec::new()),
        Err(faults) => (document, faults),
    };
    let ask = Ask { document, faults, whole: false, tenant };
    // Whoever was told of the invoice is told of its reversal.
    let delivery = Delivery { urls: blue.request.delivery.urls.clone(), ..Delivery::default() };
    let content = Content::Red(Box::new(ask));
    let batch = Batch {
        tenant: blue.request.tenant.clone(),
        appid: blue.request.appid.clone(),
        interface: "part-red",
        documents: vec![Incoming { serial: number, seller: String::new(), canonical, content, delivery, qr: None }],
        audited: true,
        suspected: Suspected::Off,
        reissue_on_repeat: false,
    };
    let (of, about, by) = (blue.request.tenant, blue.request.serial, visitor.name());
    let work = console.portal.ledger.run(move |session| {
        Box::pin(async move {
            let verdicts = insert::insert(session, &batch).await?;
            if let Some(Verdict::Taken(seen)) = verdicts.first() {
                session.note(&of, &about, &by, "part-red asked for", &seen.request.serial).await?;
                session.note(&of, &seen.request.serial, &by, "asked for", "").await?;
            }
            Ok(verdicts)
        })
    });
    match work.await.map_err(unavailable(console, visitor))?.into_iter().next() {
        Some(Verdict::Taken(seen)) => Ok(done(&seen.request.serial, "red")),
        Some(Verdict::Repeat(seen)) => Ok(done(&seen.request.serial, "red_known")),
        Some(Verdict::Refused(refusal)) => {
            let text = match &refusal.original {
                Some(known) => format!("{} ({})", refusal.text, known.serial),
                None => refusal.text,
            };
            Err(shell::refused(console, visitor, text))
        }
        None => Err(said(StatusCode::SERVICE_UNAVAILABLE, "busy")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_red_of_an_invoice_has_a_number_of_its_own_and_always_the_same() {
        let pair = PairBody { code: "011002000111".to_owned(), number: "00000001".to_owned() };
        assert_eq!(red_serial("shop", &pair, 0), red_serial("shop", &pair, 0));
        assert_ne!(red_serial("shop", &pair, 0), red_serial("shop", &pair, 1));
        assert_ne!(red_serial("shop", &pair, 0), red_serial("other", &pair, 0));
    }

    #[test]
    fn amounts_are_above_zero_and_at_most_those_of_the_line() {
        let line = crate::document::Line { gross: Decimal::new(11_300, 2), ..Default::default() };
        let lines = [Reversible { gross: line.gross, line }];
        let read = |text: &str| taken(&Form::parse(text.as_bytes()).unwrap(), &lines);
        assert_eq!(read("line0_gross=113").unwrap(), [(0, Decimal::from(113), None)]);
        assert_eq!(read("line0_gross=0.01&line0_quantity=0.5").unwrap(), [(0, Decimal::new(1, 2), Some(Decimal::new(5, 1)))]);
        assert_eq!(read("line0_gross=").unwrap_err(), "part_red_none");
        for wrong in ["0", "-1", "113.01", "1.001", "abc", "1e3"] {
            assert_eq!(read(&format!("line0_gross={wrong}")).unwrap_err(), "part_red_line", "{wrong}");
        }
        assert_eq!(read("line0_gross=1&line0_quantity=-1").unwrap_err(), "part_red_line");
    }
}

//! What people do to a request. Each is the same step of [`crate::core`] that the compatible API takes, so doing it twice is
//! doing it once; the page says truthfully which of the two it was.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use axum::{Extension, Router};
use sha2::{Digest as _, Sha256};

use super::invoice::of;
use super::invoices::encoded;
use super::shell::either;
use super::{Console, Posted, Shared, Visitor, Who, see_other, shell, words};
use crate::core::act::{self, Reissued, Returned};
use crate::core::insert::{self, Batch, Content, Incoming, Verdict};
use crate::core::outbox::{self, Channel, Resent};
use crate::core::red::Ask;
use crate::core::request::{Delivery, Phase, Request, Voiding};
use crate::core::{callback, void};
use crate::document::fields::Form as DocumentForm;
use crate::document::{canonical, read, split};
use crate::ledger::Unavailable;
use crate::model::Suspected;
use crate::wire::json::Json;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/invoices/{serial}/release", post(release))
        .route("/console/invoices/{serial}/return", post(send_back))
        .route("/console/invoices/{serial}/reissue", post(reissue))
        .route("/console/invoices/{serial}/red", post(red))
        .route("/console/invoices/{serial}/void", post(void))
        .route("/console/invoices/{serial}/send", post(send))
        .route("/console/invoices/{serial}/replay", post(replay))
}

/// Back to the request, with what was done.
pub(super) fn done(serial: &str, what: &str) -> Response<Body> {
    see_other(&format!("/console/invoices/{}?done={what}", encoded(serial)))
}

/// What somebody reads when the writer does not answer: whether it was done is not known, and the same again is safe.
pub(super) fn unavailable<'a>(console: &'a Console, visitor: &'a Visitor) -> impl Fn(Unavailable) -> Response<Body> + 'a {
    move |_| shell::busy(console, visitor)
}

/// The request of this tenant, and that the person ticked the confirmation.
async fn confirmed(console: &Console, visitor: &Visitor, form: &Posted, serial: &str) -> Result<Request, Response<Body>> {
    let request = of(console, visitor, serial).await?;
    match form.0.get("confirm") {
        Some("yes") => Ok(request),
        _ => Err(shell::unconfirmed(console, visitor)),
    }
}

async fn release(State(console): Shared, Extension(visitor): Who, form: Posted, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let request = confirmed(&console, &visitor, &form, &serial).await?;
            let (tenant, wanted, by) = (request.tenant.clone(), request.serial.clone(), visitor.name());
            let work = console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { act::release(session, &tenant, &wanted, &by).await }));
            work.await.map_err(unavailable(&console, &visitor))?;
            Ok(done(&serial, if request.phase == Phase::Approval { "released" } else { "progress" }))
        }
        .await,
    )
}

async fn send_back(State(console): Shared, Extension(visitor): Who, form: Posted, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let request = confirmed(&console, &visitor, &form, &serial).await?;
            let (tenant, wanted, by) = (request.tenant, request.serial, visitor.name());
            let work = console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { act::send_back(session, &tenant, &by, &wanted, true).await }));
            match work.await.map_err(unavailable(&console, &visitor))? {
                Returned::Done => Ok(done(&serial, "returned")),
                Returned::Unknown => Err(shell::not_found(&console, &visitor)),
                Returned::Refused(_, text) => Err(shell::refused(&console, &visitor, text)),
            }
        }
        .await,
    )
}

async fn reissue(State(console): Shared, Extension(visitor): Who, form: Posted, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let request = confirmed(&console, &visitor, &form, &serial).await?;
            let by = visitor.name();
            let work = console.portal.ledger.run(move |session| {
                Box::pin(async move {
                    act::reissue(session, &request.tenant, &by, &request.serial, &request.seller, request.gross).await
                })
            });
            match work.await.map_err(unavailable(&console, &visitor))? {
                Reissued::Requeued(_) => Ok(done(&serial, "requeued")),
                Reissued::AlreadyIssued(_) => Ok(done(&serial, "already")),
                Reissued::InProgress(request) if request.phase == Phase::Settling => Ok(done(&serial, "settling")),
                Reissued::InProgress(_) => Ok(done(&serial, "progress")),
                Reissued::NotAllowed(_, text) => Err(shell::refused(&console, &visitor, text)),
                Reissued::NotFound => Err(shell::not_found(&console, &visitor)),
            }
        }
        .await,
    )
}

/// The serial number of a whole red from the console: it follows from the blue invoice, so that however often and in however many
/// tabs it is asked for, it is one.
fn red_serial(tenant: &str, code: &str, number: &str) -> String {
    let digest = Sha256::digest(format!("console-red-v1\n{tenant}\n{code}\n{number}").as_bytes());
    split::base32(&digest, 20)
}

async fn red(State(console): Shared, Extension(visitor): Who, form: Posted, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let blue = confirmed(&console, &visitor, &form, &serial).await?;
            let not_issued = || shell::notice(&console, &visitor, StatusCode::CONFLICT, "not_issued");
            let pair = blue.pair().ok_or_else(not_issued)?;
            let tenant = console.portal.directory().tenant(&blue.tenant).cloned();
            let tenant = tenant.ok_or_else(|| shell::not_found(&console, &visitor))?;
            let number = red_serial(&blue.tenant, &pair.code, &pair.number);
            // Only special invoices need the number of an information table; the core says so where it is missing.
            let notice = form.0.get("notice").unwrap_or_default().trim();
            let fields = [("FPQQLSH", number.as_str()), ("fpDm", &pair.code), ("fpHm", &pair.number), ("hzxxbbh", notice)];
            let json = Json::Object(fields.map(|(name, value)| (name.to_owned(), Json::text(value))).to_vec());
            let document = read::document(&json, DocumentForm::Red).map_err(|faults| {
                let texts = faults.iter().map(ToString::to_string);
                shell::refused(&console, &visitor, words::said_all(visitor.language, texts))
            })?;
            // Whoever was told of the invoice is told of its reversal.
            let delivery = Delivery { urls: blue.delivery.urls.clone(), ..Delivery::default() };
            let canonical = canonical::text("red", &document);
            let ask = Ask { document, faults: Vec::new(), whole: true, tenant };
            let content = Content::Red(Box::new(ask));
            let incoming = Incoming { serial: number, seller: String::new(), canonical, content, delivery, qr: None };
            let batch = Batch {
                tenant: blue.tenant.clone(),
                appid: blue.appid.clone(),
                interface: "red",
                documents: vec![incoming],
                audited: true,
                suspected: Suspected::Off,
                reissue_on_repeat: false,
            };
            let (of, about, by) = (blue.tenant, blue.serial, visitor.name());
            let work = console.portal.ledger.run(move |session| {
                Box::pin(async move {
                    let verdicts = insert::insert(session, &batch).await?;
                    if let Some(Verdict::Taken(seen)) = verdicts.first() {
                        session.note(&of, &about, &by, "red asked for", &seen.request.serial).await?;
                        session.note(&of, &seen.request.serial, &by, "asked for", "").await?;
                    }
                    Ok(verdicts)
                })
            });
            match work.await.map_err(unavailable(&console, &visitor))?.into_iter().next() {
                Some(Verdict::Taken(seen)) => Ok(done(&seen.request.serial, "red")),
                Some(Verdict::Repeat(seen)) => Ok(done(&seen.request.serial, "red_known")),
                Some(Verdict::Refused(refusal)) => Err(shell::refused(&console, &visitor, refusal.text)),
                None => Err(shell::busy(&console, &visitor)),
            }
        }
        .await,
    )
}

async fn void(State(console): Shared, Extension(visitor): Who, form: Posted, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let blue = confirmed(&console, &visitor, &form, &serial).await?;
            let not_issued = || shell::notice(&console, &visitor, StatusCode::CONFLICT, "not_issued");
            let pair = blue.pair().ok_or_else(not_issued)?;
            let (tenant, by) = (blue.tenant, visitor.name());
            let work = console.portal.ledger.run(move |session| {
                Box::pin(async move { void::invalid(session, &tenant, &by, &pair.code, &pair.number).await })
            });
            match work.await.map_err(unavailable(&console, &visitor))? {
                Ok(Voiding::Void) => Ok(done(&serial, "void")),
                Ok(_) => Ok(done(&serial, "voiding")),
                Err(refusal) => Err(shell::refused(&console, &visitor, refusal.text)),
            }
        }
        .await,
    )
}

async fn send(State(console): Shared, Extension(visitor): Who, form: Posted, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let request = of(&console, &visitor, &serial).await?;
            let address = form.0.get("address").unwrap_or_default().trim().to_owned();
            let channel = if form.0.get("channel") == Some("sms") { Channel::Sms } else { Channel::Mail };
            let (tenant, wanted, by) = (request.tenant, request.serial, visitor.name());
            let work = console.portal.ledger.run(move |session| {
                Box::pin(async move { outbox::resend(session, &tenant, &wanted, channel, &address, &by).await })
            });
            let said = |status, key| shell::notice(&console, &visitor, status, key);
            match work.await.map_err(unavailable(&console, &visitor))? {
                Resent::Queued(_) | Resent::Waiting(_) => Ok(done(&serial, "sent")),
                Resent::Unknown => Err(said(StatusCode::NOT_FOUND, "not_found")),
                Resent::NotIssued(_) => Err(said(StatusCode::CONFLICT, "not_issued")),
                Resent::Address(_) => Err(said(StatusCode::UNPROCESSABLE_ENTITY, "bad_address")),
                Resent::TooMany(_) => Err(said(StatusCode::TOO_MANY_REQUESTS, "too_many")),
            }
        }
        .await,
    )
}

async fn replay(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let request = of(&console, &visitor, &serial).await?;
            let (tenant, wanted) = (request.tenant, request.serial);
            let work = console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { callback::replay(session, &tenant, &wanted).await }));
            work.await.map_err(unavailable(&console, &visitor))?;
            Ok(done(&serial, "replayed"))
        }
        .await,
    )
}

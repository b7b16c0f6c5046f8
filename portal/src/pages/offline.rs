//! `/qrcode-connector?syscode=…&order=…`: an offline code (yonyou-open-api.md, section 5.1), made by a till without a network.
//!
//! The order is looked up first: what was claimed once leads to its page, whatever the merchant's service says or whether it
//! answers at all. Otherwise the merchant is asked ([`crate::merchant`]) and the form is shown; nothing is stored before the
//! consumer confirms. The serial number is the merchant's, or made of the order, so that however often a form is sent, there is
//! one request. Whatever is wrong with a token, the consumer sees one page; why is for the log.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use taxdisk_protocol::api::Priority;

use super::form::{self, Asks, Filled, Need};
use super::sale::Sale;
use super::shell::Shell;
use crate::application::{Decrypts, OrgWish, System};
use crate::core::insert::{self, Batch, Content, Verdict};
use crate::core::links::{self, Kind, Link};
use crate::core::request::{CallbackTarget, Delivery, QrCode, Request as Stored};
use crate::document::fields::Form as Fields;
use crate::document::{Document, read, split};
use crate::making::{self, Manner};
use crate::merchant::{self, Answer};
use crate::model::{Suspected, Tenant};
use crate::order;
use crate::portal::Portal;
use crate::store::StoreError;
use crate::wire::form::Form;
use crate::wire::json::Json;

/// Where tills' codes lead.
pub(super) const PATH: &str = "/qrcode-connector";
/// As a request names the interface that made it.
pub(super) const INTERFACE: &str = "qrcode-connector";

/// A code that can be believed.
struct Scanned {
    system: Arc<System>,
    tenant: Arc<Tenant>,
    /// What the merchant is asked for; of a merchant who decrypts himself, the token.
    order: String,
}

pub(super) async fn answer(portal: Arc<Portal>, shell: Shell, request: Request<Body>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::POST) {
        return shell.notice(StatusCode::METHOD_NOT_ALLOWED, "not_allowed", "");
    }
    let now = std::time::Instant::now();
    // Before anything is decrypted: nobody tries tokens out at our cost.
    if portal.scans.admit(super::address(&request), now).is_err() {
        return shell.notice(StatusCode::TOO_MANY_REQUESTS, "too_often", "same_safe");
    }
    let Some(scanned) = scanned(&portal, request.uri().query().unwrap_or_default()) else {
        return shell.notice(StatusCode::NOT_FOUND, "invalid_code", "");
    };
    if portal.rates.admit(&format!("syscode {}", scanned.system.syscode), now).is_err() {
        return shell.notice(StatusCode::TOO_MANY_REQUESTS, "too_often", "same_safe");
    }
    let known = async { portal.readers.get().await?.order(&scanned.system.syscode, &scanned.order).await };
    match known.await {
        Ok(None) => {}
        Ok(Some((tenant, serial))) => return on_to(&portal, &shell, tenant, serial).await,
        Err(_) => return shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "same_safe"),
    }
    let answer = match merchant::ask(&portal, &scanned.system, &scanned.order).await {
        Ok(answer) => answer,
        Err(trouble) => {
            tracing::warn!(syscode = scanned.system.syscode, %trouble, "a merchant's query service gave no answer");
            return shell.notice(StatusCode::BAD_GATEWAY, "unavailable", "nothing_issued");
        }
    };
    let data = match answer {
        Answer::Invoiceable(data) => data,
        Answer::NotFound => return shell.notice(StatusCode::NOT_FOUND, "order_unknown", "order_unknown_more"),
        Answer::NotInvoiceable(reason) => return shell.said(StatusCode::CONFLICT, "order_not", &reason),
        Answer::AlreadyInvoiced => return shell.notice(StatusCode::CONFLICT, "order_already", ""),
        Answer::Expired => return shell.notice(StatusCode::GONE, "order_expired", "ask_merchant"),
        Answer::TryLater => return shell.notice(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "nothing_issued"),
    };
    let document = match document(&scanned, data, (portal.clock)() / 1000) {
        Ok(document) => document,
        Err(Wrong::Expired) => return shell.notice(StatusCode::GONE, "order_expired", "ask_merchant"),
        Err(Wrong::Data(why)) => {
            tracing::warn!(syscode = scanned.system.syscode, why, "a merchant's answer cannot be invoiced");
            return shell.notice(StatusCode::BAD_GATEWAY, "merchant_wrong", "nothing_issued");
        }
    };
    let wish = scanned.system.wish_of(document.text("ORGCODE"));
    let (asks, sale) = (
        asks(&portal, wish.as_ref()),
        Sale::new(&portal, &scanned.tenant.id, document.text("XSF_NSRSBH"), &document, document.gross),
    );
    if request.method() != Method::POST {
        return form::empty(&shell, &sale, &Filled::empty(), asks, &[], StatusCode::OK);
    }
    let form = match form::read(&shell, request).await {
        Ok(form) => form,
        Err(page) => return *page,
    };
    let filled = Filled::of(&form);
    if let Some(page) = form::before_issuing(&shell, &sale, &filled, asks) {
        return page;
    }
    issued(&portal, &shell, scanned, document, wish.as_ref(), &sale, &filled, asks).await
}

/// Reads the address. `None`: nothing of it is believed.
fn scanned(portal: &Portal, query: &str) -> Option<Scanned> {
    let query = Form::parse(query.as_bytes()).ok()?;
    let (syscode, token) = (query.get("syscode")?, query.get("order")?);
    let directory = portal.directory();
    let system = directory.system(syscode)?.clone();
    let tenant = directory.tenant(&system.tenant)?.clone();
    let order = match system.decrypts {
        Decrypts::Platform => {
            let keys = system.keyring().map_err(|error| tracing::error!(%error, syscode, "order keys cannot be used")).ok()?;
            let opened = order::open(token, syscode, &keys, (portal.clock)() / 1000);
            opened.map_err(|refused| tracing::info!(syscode, %refused, "an order token was refused")).ok()?.number
        }
        // He alone can read it; what it may look like is bounded all the same.
        Decrypts::Merchant if (order::TOKEN_MIN..=order::TOKEN_MAX).contains(&token.len()) && token.is_ascii() => {
            token.to_owned()
        }
        Decrypts::Merchant => return None,
    };
    Some(Scanned { system, tenant, order })
}

/// The request that the order of a code has become. `None`: the code cannot be believed.
pub(super) async fn known(portal: &Portal, query: &str) -> Result<Option<Order>, StoreError> {
    let Some(scanned) = scanned(portal, query) else { return Ok(None) };
    let mut db = portal.readers.get().await?;
    let Some((tenant, serial)) = db.order(&scanned.system.syscode, &scanned.order).await? else { return Ok(Some(Order::New)) };
    // A till's code leads to the request's own one, and ends with it: whoever revoked that wanted no receipt to open anything.
    let code = db.links_of(Kind::Code, &tenant, &serial).await?.pop();
    if code.is_some_and(|code| code.revoked_at.is_some()) {
        return Ok(Some(Order::Ended));
    }
    let known = db.request(&tenant, &serial).await?;
    Ok(Some(known.map_or(Order::New, |request| Order::Known(Box::new(request)))))
}

/// What an order is to the portal.
pub(super) enum Order {
    /// Nobody has asked for its invoice yet.
    New,
    /// It is this request.
    Known(Box<Stored>),
    /// The code of its request was revoked.
    Ended,
}

enum Wrong {
    Expired,
    Data(String),
}

/// The invoice to be, without a buyer.
fn document(scanned: &Scanned, data: Json, now_s: i64) -> Result<Document, Wrong> {
    let Json::Object(mut members) = data else { return Err(Wrong::Data("no object".to_owned())) };
    let expiry = members.iter().find(|(name, _)| name == "EXPIRE").and_then(|(_, value)| value.scalar()?.parse::<i64>().ok());
    if expiry.is_some_and(|expiry| now_s > expiry) {
        return Err(Wrong::Expired);
    }
    // The buyer is the consumer's to name, addresses too.
    members.retain(|(name, _)| !name.starts_with("GMF_") && !matches!(name.as_str(), "EXPIRE" | "EMAIL"));
    if !members.iter().any(|(name, _)| name == "SHMC") {
        members.push(("SHMC".to_owned(), Json::text(&scanned.tenant.name)));
    }
    let faults =
        |faults: Vec<crate::document::Fault>| Wrong::Data(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    let mut document = read::document(&Json::Object(members), Fields::Qr).map_err(faults)?;
    let seller = document.text("XSF_NSRSBH");
    // Otherwise a merchant could bill in another's name.
    let seller = scanned.tenant.seller(seller).ok_or_else(|| Wrong::Data(format!("{seller} is no seller of this tenant")))?;
    seller.point(document.text("ORGCODE"), false).map_err(Wrong::Data)?;
    if document.serial.is_empty() {
        // A token that the merchant reads is another one on every receipt of the same order; only he knows what is the same.
        if scanned.system.decrypts == Decrypts::Merchant {
            return Err(Wrong::Data("a merchant who decrypts names FPQQLSH".to_owned()));
        }
        document.serial = serial(&scanned.tenant.id, &scanned.system.syscode, &scanned.order);
    }
    Ok(document)
}

/// The serial number of an order whose merchant names none.
fn serial(tenant: &str, syscode: &str, order: &str) -> String {
    split::base32(&Sha256::digest(format!("order-v1\n{tenant}\n{syscode}\n{order}")), 20)
}

/// The form asks for an address exactly where the merchant wishes it to be used.
fn asks(portal: &Portal, wish: Option<&OrgWish>) -> Asks {
    let need = |configured: bool, wished: Option<bool>| match (configured, wished) {
        (false, _) | (_, Some(false)) => Need::No,
        (true, Some(true)) => Need::Needed,
        (true, None) => Need::Offered,
    };
    Asks {
        email: need(portal.config.mail.is_some(), wish.map(|wish| wish.mail)),
        phone: need(portal.config.sms.is_some(), wish.map(|wish| wish.sms)),
    }
}

enum Done {
    Known(String, String),
    OtherRoad,
    Refused(String),
}

#[allow(clippy::too_many_arguments)]
async fn issued(
    portal: &Portal,
    shell: &Shell,
    scanned: Scanned,
    mut document: Document,
    wish: Option<&OrgWish>,
    sale: &Sale,
    filled: &Filled,
    asks: Asks,
) -> Response<Body> {
    document.head.extend(filled.buyer.fields().map(|(name, value)| (name.to_owned(), value.clone())));
    let (emails, phones) = filled.addresses();
    let mut delivery = Delivery { emails, phones, ..Delivery::default() };
    let url = document.text("URL").to_owned();
    if !url.is_empty() && wish.is_none_or(|wish| wish.callback) && portal.outbound.target(&url).is_ok() {
        delivery.urls.push(CallbackTarget { url, ncc: None });
    }
    let digits = rand::Rng::gen_range(&mut rand::thread_rng(), 100_000_000_000_u64..1_000_000_000_000);
    let qr = QrCode { code: digits.to_string() };
    let incoming = making::incoming(portal, &scanned.tenant, document, Manner::Single, Priority::Waiting, delivery, Some(qr));
    let Ok(incoming) = incoming else {
        return shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "nothing_issued");
    };
    if let Content::Blue(Err(faults)) = &incoming.content {
        let faults: Vec<String> = faults.iter().map(|fault| shell.in_words(&fault.text)).collect();
        return form::empty(shell, sale, filled, asks, &faults, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let batch = Batch {
        tenant: scanned.tenant.id.clone(),
        appid: scanned.system.syscode.clone(),
        interface: INTERFACE,
        documents: vec![incoming],
        audited: true,
        suspected: Suspected::Off,
        reissue_on_repeat: false,
    };
    let (syscode, number, merchant_reads) =
        (scanned.system.syscode.clone(), scanned.order.clone(), scanned.system.decrypts == Decrypts::Merchant);
    // One transaction: whoever comes second finds the first.
    let done = portal.ledger.run(move |session| {
        Box::pin(async move {
            if let Some((tenant, serial)) = session.db.order(&syscode, &number).await? {
                return Ok(Done::Known(tenant, serial));
            }
            let serial = batch.documents[0].serial.clone();
            if let Some(known) = session.db.request(&batch.tenant, &serial).await? {
                // Another receipt of the same order, or an invoice by another road. Neither is issued again.
                if !merchant_reads || known.interface != INTERFACE || known.appid != syscode {
                    return Ok(Done::OtherRoad);
                }
            } else {
                match insert::insert(session, &batch).await?.as_slice() {
                    [Verdict::Taken(_) | Verdict::Repeat(_)] => {}
                    [Verdict::Refused(refusal)] => return Ok(Done::Refused(refusal.text.clone())),
                    _ => return Ok(Done::OtherRoad),
                }
            }
            session.db.put_order(&syscode, &number, &batch.tenant, &serial, session.now).await?;
            Ok(Done::Known(batch.tenant.clone(), serial))
        })
    });
    match done.await {
        Ok(Done::Known(tenant, serial)) => on_to(portal, shell, tenant, serial).await,
        Ok(Done::OtherRoad) => shell.notice(StatusCode::CONFLICT, "order_already", ""),
        Ok(Done::Refused(text)) => form::empty(shell, sale, filled, asks, &[text], StatusCode::UNPROCESSABLE_ENTITY),
        Err(_) => shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "same_safe"),
    }
}

/// On to the page of what an order became.
async fn on_to(portal: &Portal, shell: &Shell, tenant: String, serial: String) -> Response<Body> {
    let (key, valid_ms) = (portal.links.clone(), portal.config.links.code_valid_ms());
    let link: Result<Option<Link>, _> = portal
        .ledger
        .run(move |session| Box::pin(async move { links::current(session, &key, Kind::Code, &tenant, &serial, valid_ms).await }))
        .await;
    match link {
        Ok(Some(link)) => shell.see_other(&portal.url(&link).replacen(&portal.public_url, "", 1)),
        Ok(None) => shell.notice(StatusCode::GONE, "ended_code", "nothing_changed"),
        Err(_) => shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "same_safe"),
    }
}

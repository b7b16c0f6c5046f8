//! 企业开票 → 码上开票: codes that a person makes for one sale, their list, and their receipts.
//!
//! A new code's address holds a key ([`super::draft`]): its form sent twice, from two tabs or after the back button leads to the
//! same code. What became of a code is in its request; there is no second state.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng as _;

use super::draft::screen::{self, Screen};
use super::draft::{self, Computed, Draft, Step, computed};
use super::invoices::{Choice, encoded, time};
use super::roles::Action;
use super::shell::{Page, Shell, busy, either, not_found};
use super::upload::Upload;
use super::{Console, Posted, Shared, Visitor, Who, page, see_other, shell, words};
use crate::core::act;
use crate::core::codes::{self, Cancelled, Code, Made, Receipt, Standing, Width};
use crate::core::request::{QrCode, Request};
use crate::files::goods::text_faults;
use crate::qr;
use crate::wire::form::Form;

/// Rows of a page of the list.
const PAGE: u32 = 50;
/// Above the code of a receipt, characters at most.
const MAX_HEADING: usize = 60;
/// Below it.
const MAX_FOOTER: usize = 200;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/codes", get(list))
        .route("/console/codes/new", get(begin))
        .route("/console/codes/new/{key}", get(new).post(make))
        .route("/console/codes/{code}", get(show))
        .route("/console/codes/{code}/qr.svg", get(drawing))
        .route("/console/codes/{code}/receipt", get(receipt).post(save_receipt))
        .route("/console/codes/{code}/cancel", post(cancel))
}

fn url(serial: &str) -> String {
    format!("/console/codes/{}", encoded(serial))
}

/// The text and colour of a standing.
fn said(standing: Standing) -> (String, &'static str) {
    let class = match standing {
        Standing::Unused => "",
        Standing::Filled => "warn",
        Standing::Issued => "good",
        Standing::Cancelled => "bad",
    };
    (format!("code_{}", standing.as_str()), class)
}

struct Row {
    url: String,
    serial: String,
    created: String,
    made_by: String,
    org: String,
    gross: String,
    buyer: String,
    state: String,
    class: &'static str,
}

#[derive(Template)]
#[template(path = "console/codes.html")]
struct ListPage {
    shell: Shell,
    rows: Vec<Row>,
    states: Vec<Choice>,
    next: Option<String>,
    may_issue: bool,
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let field = |name: &str| visitor.query.get(name).unwrap_or_default();
    let standing = Standing::ALL.into_iter().find(|standing| standing.as_str() == field("state"));
    let after: Option<(i64, &str)> = field("after").split_once('-').and_then(|(at, serial)| Some((at.parse().ok()?, serial)));
    let before = after.unwrap_or((i64::MAX, ""));
    let read = async { console.portal.readers.get().await?.codes(visitor.tenant(), standing, before, PAGE).await };
    let Ok(found) = read.await else { return shell::busy(&console, &visitor) };
    let t = |key: &str| words::text(visitor.language, key).to_owned();
    let states =
        Standing::ALL.map(|one| Choice { value: one.as_str().to_owned(), label: t(&said(one).0), chosen: standing == Some(one) });
    let last = found.last().filter(|_| found.len() == PAGE as usize);
    let next = last.map(|(code, _)| format!("state={}&after={}-{}", field("state"), code.created_at, encoded(&code.serial)));
    let row = |(code, request): &(Code, Request)| {
        let (key, class) = said(Standing::of(request));
        Row {
            url: url(&code.serial),
            serial: code.serial.clone(),
            created: time(code.created_at),
            made_by: code.made_by.clone(),
            org: code.orgcode.clone(),
            gross: format!("{:.2}", request.gross),
            buyer: request.document.text("GMF_MC").to_owned(),
            state: t(&key),
            class,
        }
    };
    let shell = Shell::new(&console, &visitor, "menu_codes");
    let rows = found.iter().map(row).collect();
    page(&ListPage { shell, rows, states: states.into(), next, may_issue: visitor.may(Action::Issue) })
}

/// The key is made here, before the form is shown.
async fn begin() -> Response<Body> {
    see_other(&format!("/console/codes/new/{}", act::random_token()))
}

fn screen_of(console: &Console, visitor: &Visitor, key: &str) -> Screen {
    Screen {
        shell: Shell::new(console, visitor, "code_new"),
        action: format!("/console/codes/new/{key}"),
        serial: draft::serial("code", visitor.tenant(), key),
        buyer: false,
        checked: false,
        make: "make_code",
        only: None,
        facts: Vec::new(),
        panel: None,
        release: None,
    }
}

async fn new(State(console): Shared, Extension(visitor): Who, Path(key): Path<String>) -> Response<Body> {
    let Some(tenant) = draft::tenant_of(&console, visitor.tenant()).filter(|_| draft::is_key(&key)) else {
        return not_found(&console, &visitor);
    };
    let screen = screen_of(&console, &visitor, &key);
    let known = async { console.portal.readers.get().await?.code(visitor.tenant(), &screen.serial).await };
    match known.await {
        Ok(None) => screen::form(&screen, &tenant, &Draft::new(), draft::Hits::default(), &[]),
        // The back button, or another tab: the form has become a code already.
        Ok(Some(code)) => see_other(&url(&code.serial)),
        Err(_) => busy(&console, &visitor),
    }
}

async fn make(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(key): Path<String>,
) -> Response<Body> {
    either(made(&console, &visitor, &form, &key).await)
}

async fn made(console: &Console, visitor: &Visitor, form: &Form, key: &str) -> Page {
    let tenant = draft::tenant_of(console, visitor.tenant()).filter(|_| draft::is_key(key));
    let tenant = tenant.ok_or_else(|| not_found(console, visitor))?;
    let screen = screen_of(console, visitor, key);
    let mut draft = Draft::of(form);
    let (step, hits) = draft.pressed(console, &tenant.id, form).await.map_err(|_| busy(console, visitor))?;
    if step == Step::Edit {
        return Ok(screen::form(&screen, &tenant, &draft, hits, &[]));
    }
    let digits: u64 = rand::thread_rng().gen_range(100_000_000_000..1_000_000_000_000);
    let qr = QrCode { code: digits.to_string() };
    let incoming = draft.incoming(console, &tenant, &screen.serial, Some(qr));
    let incoming = incoming.map_err(|faults| screen::form(&screen, &tenant, &draft, hits, &faults))?;
    let batch = draft::batch(&tenant, "console", incoming);
    let (by, links) = (visitor.name(), console.portal.links.clone());
    let valid_ms = console.portal.config.links.code_valid_ms();
    let done = console
        .portal
        .ledger
        .run(move |session| Box::pin(async move { codes::make(session, &batch, &by, &links, valid_ms).await }))
        .await
        .map_err(|_| busy(console, visitor))?;
    match done {
        Made::Code(request, _) => Ok(see_other(&format!("{}?done=made", url(&request.serial)))),
        Made::Refused(refusal) => Err(shell::refused(console, visitor, refusal.text)),
    }
}

/// A code of this tenant with its request.
async fn code_of(console: &Console, visitor: &Visitor, serial: &str) -> Result<(Code, Request), Response<Body>> {
    let read = async {
        let mut db = console.portal.readers.get().await?;
        let code = db.code(visitor.tenant(), serial).await?;
        Ok::<_, crate::store::StoreError>(code.zip(db.request(visitor.tenant(), serial).await?))
    };
    match read.await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(not_found(console, visitor)),
        Err(_) => Err(busy(console, visitor)),
    }
}

#[derive(Template)]
#[template(path = "console/code.html")]
struct CodePage {
    shell: Shell,
    url: String,
    request_url: String,
    state: String,
    class: &'static str,
    note: String,
    link: Option<String>,
    facts: Vec<(String, String)>,
    lines: Vec<Computed>,
    may_cancel: bool,
    may_print: bool,
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    either(shown(&console, &visitor, &serial).await)
}

async fn shown(console: &Console, visitor: &Visitor, serial: &str) -> Page {
    let (code, request) = code_of(console, visitor, serial).await?;
    let standing = Standing::of(&request);
    let link = match standing {
        Standing::Cancelled => None,
        _ => console.portal.code_link(&request).await.map_err(|_| busy(console, visitor))?,
    };
    let lang = visitor.language;
    let t = |key: &str| words::text(lang, key).to_owned();
    let done = visitor.query.get("done").filter(|done| ["made", "cancelled"].contains(done));
    let mut shell =
        Shell::new(console, visitor, "menu_codes").with_notice(done.map(|done| t(&format!("code_done_{done}"))), true);
    shell.title = format!("{} {}", shell.title, code.serial);
    let (state, class) = said(standing);
    let (lines, [_, _, gross]) = computed(&request.document);
    let mut facts = vec![
        (t("serial"), code.serial.clone()),
        (t("extraction"), request.qr.as_ref().map(|qr| qr.code.clone()).unwrap_or_default()),
        (t("org"), code.orgcode.clone()),
        (t("gross"), gross),
        (t("buyer"), request.document.text("GMF_MC").to_owned()),
        (t("created"), time(code.created_at)),
        (t("who"), code.made_by.clone()),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    let page_of = CodePage {
        url: url(serial),
        request_url: format!("/console/invoices/{}", encoded(serial)),
        note: t(&format!("{state}_note")),
        state: t(&state),
        class,
        may_cancel: standing == Standing::Unused && visitor.may(Action::Issue),
        may_print: link.is_some() && visitor.may(Action::Issue),
        link,
        facts,
        lines,
        shell,
    };
    Ok(page(&page_of))
}

async fn drawing(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let (_, request) = code_of(&console, &visitor, &serial).await?;
            let link = match Standing::of(&request) {
                Standing::Cancelled => None,
                _ => console.portal.code_link(&request).await.map_err(|_| busy(&console, &visitor))?,
            };
            let svg = link.and_then(|link| qr::svg(&link)).ok_or_else(|| not_found(&console, &visitor))?;
            Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"))], svg).into_response())
        }
        .await,
    )
}

async fn cancel(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(serial): Path<String>,
) -> Response<Body> {
    either(
        async {
            code_of(&console, &visitor, &serial).await?;
            if form.get("confirm") != Some("yes") {
                return Err(shell::unconfirmed(&console, &visitor));
            }
            let (tenant, wanted, by) = (visitor.tenant().to_owned(), serial.clone(), visitor.name());
            let done = console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { codes::cancel(session, &tenant, &wanted, &by).await }))
                .await
                .map_err(|_| busy(&console, &visitor))?;
            match done {
                Cancelled::Done => Ok(see_other(&format!("{}?done=cancelled", url(&serial)))),
                Cancelled::TooLate(_) => Err(shell::notice(&console, &visitor, StatusCode::CONFLICT, "code_too_late")),
                Cancelled::Unknown => Err(not_found(&console, &visitor)),
            }
        }
        .await,
    )
}

#[derive(Template)]
#[template(path = "console/receipt.html")]
struct ReceiptPage {
    shell: Shell,
    url: String,
    print: bool,
    script: &'static str,
    receipt: Receipt,
    wide: bool,
    seller: String,
    lines: Vec<Computed>,
    gross: String,
    created: String,
    serial: String,
    extraction: String,
}

async fn receipt(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    either(
        async {
            let (code, request) = code_of(&console, &visitor, &serial).await?;
            let stored = async { console.portal.readers.get().await?.receipt(&code.tenant, &code.orgcode).await };
            let receipt = stored.await.map_err(|_| busy(&console, &visitor))?.unwrap_or_default();
            if Standing::of(&request) == Standing::Cancelled {
                return Err(shell::notice(&console, &visitor, StatusCode::CONFLICT, "code_cancelled_note"));
            }
            let directory = console.portal.directory();
            let seller = directory.tenant(&code.tenant).and_then(|tenant| tenant.seller(&request.seller));
            let (lines, [_, _, gross]) = computed(&request.document);
            Ok(page(&ReceiptPage {
                shell: Shell::new(&console, &visitor, "receipt"),
                url: url(&serial),
                print: visitor.query.get("print").is_some(),
                script: &crate::assets::SCRIPT,
                wide: receipt.width == Width::Mm80,
                receipt,
                seller: seller.map(|seller| seller.name.clone()).unwrap_or_default(),
                lines,
                gross,
                created: time(code.created_at),
                serial: code.serial,
                extraction: request.qr.map(|qr| qr.code).unwrap_or_default(),
            }))
        }
        .await,
    )
}

/// What a form says of receipts. The logo stays as it was, unless another one came.
fn receipt_read(form: &Form, logo: &[u8], before: Receipt) -> Result<Receipt, Vec<String>> {
    let on = |name: &str| form.get(name) == Some("yes");
    let text = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
    let receipt = Receipt {
        width: if form.get("width") == Some("80") { Width::Mm80 } else { Width::Mm58 },
        seller: on("seller"),
        lines: on("lines"),
        total: on("total"),
        time: on("time"),
        extraction_code: on("extraction_code"),
        heading: text("heading"),
        footer: text("footer"),
        logo_png: match logo {
            [] if on("no_logo") => String::new(),
            [] => before.logo_png,
            png => STANDARD.encode(png),
        },
    };
    let mut faults = text_faults(&receipt.heading, MAX_HEADING);
    faults.extend(text_faults(&receipt.footer, MAX_FOOTER));
    if !logo.is_empty() {
        faults.extend(codes::check_logo(logo).err());
    }
    if faults.is_empty() { Ok(receipt) } else { Err(faults) }
}

/// 保存并打印: saves how receipts of the organisation look, and shows this one ready to print.
async fn save_receipt(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Extension(logo): Extension<Upload>,
    Path(serial): Path<String>,
) -> Response<Body> {
    either(
        async {
            let (code, _) = code_of(&console, &visitor, &serial).await?;
            let stored = async { console.portal.readers.get().await?.receipt(&code.tenant, &code.orgcode).await };
            let before = stored.await.map_err(|_| busy(&console, &visitor))?.unwrap_or_default();
            let receipt = receipt_read(&form, &logo.0, before)
                .map_err(|faults| shell::wrong(&console, &visitor, words::said_all(visitor.language, faults)))?;
            console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { session.db.put_receipt(&code.tenant, &code.orgcode, &receipt).await }))
                .await
                .map_err(|_| busy(&console, &visitor))?;
            Ok(see_other(&format!("{}/receipt?print=1", url(&serial))))
        }
        .await,
    )
}

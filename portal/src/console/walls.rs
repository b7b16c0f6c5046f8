//! 应用设置 → 组织管理 → 预约二维码生成: what the codes on an organisation's wall ask, their pictures, and their end.
//!
//! A new one's token is made before its form is shown, so a form that is sent twice is one code. Guests see
//! [`crate::pages`] under `/r/<token>`.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use axum::{Extension, Router};
use rust_decimal::Decimal;

use super::draft::{self, Hit, entry_id};
use super::invoices::{Choice, encoded, time};
use super::roles::Action;
use super::shell::{Page, Shell, busy, either, not_found};
use super::{Console, Posted, Shared, Visitor, Who, page, see_other, shell, with_status, words};
use crate::core::reservations::{self, Field, Item, MAX_FIELDS, MAX_ITEMS, Pricing, Setup};
use crate::files::goods::exact_decimal;
use crate::files::{Entry as _, Goods, import};
use crate::qr;
use crate::store::StoreError;
use crate::wire::form::Form;

/// What guests' amounts may sum up to where the merchant has not said otherwise, yuan with tax.
const LIMIT: &str = "1000.00";

/// Ways to price an item, as forms write them; each has a text `by_<name>`.
const PRICINGS: [&str; 4] = ["fixed", "amount", "quantity", "clerk"];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/organisations", get(organisations))
        .route("/console/organisations/{org}/codes", get(list))
        .route("/console/organisations/{org}/codes/new", get(begin))
        .route("/console/organisations/{org}/codes/{token}", get(show).post(save))
        .route("/console/organisations/{org}/codes/{token}/disable", post(disable))
        .route("/console/organisations/{org}/codes/{token}/qr.svg", get(drawing))
        .route("/console/organisations/{org}/codes/{token}/qr.png", get(picture))
}

fn url(org: &str, token: &str) -> String {
    format!("/console/organisations/{}/codes/{token}", encoded(org))
}

/// The organisation's seller, if it is one of the visitor's.
fn seller_of(console: &Console, visitor: &Visitor, org: &str) -> Option<String> {
    let tenant = draft::tenant_of(console, visitor.tenant());
    let found = tenant.as_ref().and_then(|tenant| draft::orgs(tenant).find(|(_, point)| point.orgcode == org));
    found.map(|(seller, _)| seller.name.clone())
}

/// A code of this organisation of this tenant.
async fn setup_of(console: &Console, visitor: &Visitor, org: &str, token: &str) -> Result<Option<Setup>, Response<Body>> {
    let read = async { console.portal.readers.get().await?.setup(token).await };
    let found: Result<Option<Setup>, StoreError> = read.await;
    match found.map_err(|_| busy(console, visitor))? {
        Some(setup) if setup.tenant == visitor.tenant() && setup.orgcode == org => Ok(Some(setup)),
        Some(_) => Err(not_found(console, visitor)),
        None => Ok(None),
    }
}

struct Org {
    org: String,
    seller: String,
    taxpayer_number: String,
    clerk: String,
    url: String,
    reservations: String,
}

#[derive(Template)]
#[template(path = "console/organisations.html")]
struct OrgsPage {
    shell: Shell,
    orgs: Vec<Org>,
}

async fn organisations(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let Some(tenant) = draft::tenant_of(&console, visitor.tenant()) else { return not_found(&console, &visitor) };
    let orgs = draft::orgs(&tenant).map(|(seller, point)| Org {
        org: point.orgcode.clone(),
        seller: seller.name.clone(),
        taxpayer_number: seller.taxpayer_number.clone(),
        clerk: point.clerk.clone(),
        url: format!("/console/organisations/{}/codes", encoded(&point.orgcode)),
        reservations: format!("/console/reservations?org={}", encoded(&point.orgcode)),
    });
    page(&OrgsPage { shell: Shell::new(&console, &visitor, "menu_organisations"), orgs: orgs.collect() })
}

struct Row {
    url: String,
    name: String,
    created: String,
    disabled: String,
}

#[derive(Template)]
#[template(path = "console/walls.html")]
struct ListPage {
    shell: Shell,
    org: String,
    seller: String,
    rows: Vec<Row>,
    new: Option<String>,
}

async fn list(State(console): Shared, Extension(visitor): Who, Path(org): Path<String>) -> Response<Body> {
    either(
        async {
            let seller = seller_of(&console, &visitor, &org).ok_or_else(|| not_found(&console, &visitor))?;
            let read = async { console.portal.readers.get().await?.setups(visitor.tenant(), &org).await };
            let setups: Result<Vec<Setup>, StoreError> = read.await;
            let row = |setup: &Setup| Row {
                url: url(&org, &setup.token),
                name: setup.name.clone(),
                created: time(setup.created_at),
                disabled: setup.disabled_at.map(time).unwrap_or_default(),
            };
            let rows = setups.map_err(|_| busy(&console, &visitor))?.iter().map(row).collect();
            let new = visitor.may(Action::Settings).then(|| url(&org, "new"));
            let shell = Shell::new(&console, &visitor, "walls");
            Ok(page(&ListPage { shell, org: org.clone(), seller, rows, new }))
        }
        .await,
    )
}

/// The token is made here, before the form is shown.
async fn begin(State(console): Shared, Extension(visitor): Who, Path(org): Path<String>) -> Response<Body> {
    match seller_of(&console, &visitor, &org) {
        Some(_) => see_other(&url(&org, &reservations::new_key())),
        None => not_found(&console, &visitor),
    }
}

/// An item as it was written.
struct ItemText {
    id: String,
    name: String,
    by: String,
    gross: String,
}

/// A code on the wall as it was written.
struct Written {
    name: String,
    limit: String,
    remark: String,
    numbered: bool,
    items: Vec<ItemText>,
    /// Label, and whether it must be answered; as many as there may be.
    fields: Vec<(String, bool)>,
    goods_word: String,
}

impl Written {
    fn empty() -> Written {
        Written {
            name: String::new(),
            limit: LIMIT.to_owned(),
            remark: String::new(),
            numbered: true,
            items: Vec::new(),
            fields: vec![(String::new(), false); MAX_FIELDS],
            goods_word: String::new(),
        }
    }

    fn of_setup(setup: &Setup) -> Written {
        let item = |item: &Item| {
            let (by, gross) = match &item.pricing {
                Pricing::Fixed { gross } => ("fixed", format!("{gross:.2}")),
                Pricing::Amount => ("amount", String::new()),
                Pricing::Quantity => ("quantity", String::new()),
                Pricing::Clerk => ("clerk", String::new()),
            };
            ItemText { id: entry_id(&item.goods.key()), name: item.goods.name.clone(), by: by.to_owned(), gross }
        };
        let mut fields: Vec<_> = setup.fields.iter().map(|field| (field.label.clone(), field.required)).collect();
        fields.resize(MAX_FIELDS, (String::new(), false));
        Written {
            name: setup.name.clone(),
            limit: format!("{:.2}", setup.limit),
            remark: setup.remark.clone(),
            numbered: setup.numbered,
            items: setup.items.iter().map(item).collect(),
            fields,
            goods_word: String::new(),
        }
    }

    fn of(form: &Form, goods: &HashMap<String, Goods>) -> Written {
        let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
        let item = |index: usize| {
            let id = field(&format!("item.{index}"));
            let name = goods.get(&id).map(|goods| goods.name.clone()).unwrap_or_default();
            ItemText { id, name, by: field(&format!("by.{index}")), gross: field(&format!("gross.{index}")) }
        };
        let count = (0..MAX_ITEMS).take_while(|index| form.get(&format!("item.{index}")).is_some()).count();
        let own = |index: usize| (field(&format!("field.{index}")), form.get(&format!("required.{index}")) == Some("yes"));
        Written {
            name: field("name"),
            limit: field("limit"),
            remark: field("BZ"),
            numbered: form.get("numbered") == Some("yes"),
            items: (0..count).map(item).collect(),
            fields: (0..MAX_FIELDS).map(own).collect(),
            goods_word: field("goods_word"),
        }
    }

    /// What it asks. The rules of the whole are those of [`Setup::faults`].
    fn setup(&self, goods: &HashMap<String, Goods>, before: Setup) -> Result<Setup, Vec<String>> {
        let mut faults = Vec::new();
        let mut money = |text: &str, name: &str| {
            exact_decimal(text, (15, 2)).unwrap_or_else(|why| {
                faults.push(format!("{name}：{why}"));
                Decimal::ONE
            })
        };
        let limit = money(&self.limit, "客户填写金额的上限");
        let mut items = Vec::with_capacity(self.items.len());
        let mut missing = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            let Some(goods) = goods.get(&item.id) else {
                missing.push(format!("第 {} 项：商品档案中已没有该商品", index + 1));
                continue;
            };
            let pricing = match item.by.as_str() {
                "fixed" => Pricing::Fixed { gross: money(&item.gross, &format!("第 {} 项固定金额", index + 1)) },
                "amount" => Pricing::Amount,
                "quantity" => Pricing::Quantity,
                _ => Pricing::Clerk,
            };
            items.push(Item { goods: goods.clone(), pricing });
        }
        faults.extend(missing);
        let own = self.fields.iter().filter(|(label, _)| !label.is_empty());
        let setup = Setup {
            name: self.name.clone(),
            items,
            limit,
            remark: self.remark.clone(),
            numbered: self.numbered,
            fields: own.map(|(label, required)| Field { label: label.clone(), required: *required }).collect(),
            ..before
        };
        faults.extend(setup.faults().into_iter().map(|fault| fault.text));
        if faults.is_empty() { Ok(setup) } else { Err(faults) }
    }
}

#[derive(Template)]
#[template(path = "console/wall.html")]
#[allow(clippy::struct_excessive_bools)]
struct WallPage {
    shell: Shell,
    url: String,
    back: String,
    /// What guests open; empty: it was not saved yet.
    public: String,
    saved: bool,
    disabled: bool,
    may_save: bool,
    written: Written,
    items: Vec<(usize, String, String, String, Vec<Choice>)>,
    fields: Vec<(usize, String, bool)>,
    hits: Option<Vec<Hit>>,
    faults: Vec<String>,
}

/// The page of one code, with its form.
fn wall(
    console: &Console,
    visitor: &Visitor,
    (org, token): (&str, &str),
    known: Option<&Setup>,
    written: Written,
    hits: Option<Vec<Hit>>,
    faults: Vec<String>,
) -> Response<Body> {
    let lang = visitor.language;
    let t = |key: &str| words::text(lang, key).to_owned();
    let done = visitor.query.get("done").filter(|done| ["saved", "disabled"].contains(done));
    let shell = Shell::new(console, visitor, "wall").with_notice(done.map(|done| t(&format!("wall_done_{done}"))), true);
    let item = |(index, item): (usize, &ItemText)| {
        let by = PRICINGS.map(|by| Choice { value: by.to_owned(), label: t(&format!("by_{by}")), chosen: by == item.by });
        (index, item.id.clone(), item.name.clone(), item.gross.clone(), by.into())
    };
    let faults: Vec<String> = faults.iter().map(|fault| words::said(lang, fault)).collect();
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let disabled = known.is_some_and(|setup| setup.disabled_at.is_some());
    let page = WallPage {
        shell,
        url: url(org, token),
        back: format!("/console/organisations/{}/codes", encoded(org)),
        public: known.map(|_| format!("{}/r/{token}", console.portal.public_url)).unwrap_or_default(),
        saved: known.is_some(),
        disabled,
        may_save: !disabled && visitor.may(Action::Settings),
        items: written.items.iter().enumerate().map(item).collect(),
        fields: written.fields.iter().enumerate().map(|(place, (label, must))| (place, label.clone(), *must)).collect(),
        written,
        hits,
        faults,
    };
    with_status(status, &page)
}

async fn show(State(console): Shared, Extension(visitor): Who, Path((org, token)): Path<(String, String)>) -> Response<Body> {
    either(
        async {
            seller_of(&console, &visitor, &org).ok_or_else(|| not_found(&console, &visitor))?;
            let known = setup_of(&console, &visitor, &org, &token).await?;
            let written = match &known {
                Some(setup) => Written::of_setup(setup),
                None if draft::is_key(&token) && visitor.may(Action::Settings) => Written::empty(),
                None => return Err(not_found(&console, &visitor)),
            };
            Ok(wall(&console, &visitor, (&org, &token), known.as_ref(), written, None, Vec::new()))
        }
        .await,
    )
}

async fn save(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path((org, token)): Path<(String, String)>,
) -> Response<Body> {
    either(saved(&console, &visitor, &form, &org, &token).await)
}

async fn saved(console: &Console, visitor: &Visitor, form: &Form, org: &str, token: &str) -> Page {
    seller_of(console, visitor, org).ok_or_else(|| not_found(console, visitor))?;
    if !draft::is_key(token) {
        return Err(not_found(console, visitor));
    }
    let known = setup_of(console, visitor, org, token).await?;
    if known.as_ref().is_some_and(|setup| setup.disabled_at.is_some()) {
        return Err(shell::notice(console, visitor, StatusCode::CONFLICT, "wall_is_disabled"));
    }
    let read = async { import::all(&mut *console.portal.readers.get().await?, visitor.tenant()).await };
    let file: Result<Vec<Goods>, StoreError> = read.await;
    let mut goods: HashMap<String, Goods> = HashMap::new();
    // Items of a code that exists stay, though their goods have left the file.
    let items = known.iter().flat_map(|setup| setup.items.iter().map(|item| item.goods.clone()));
    for one in items.chain(file.map_err(|_| busy(console, visitor))?) {
        goods.insert(entry_id(&one.key()), one);
    }
    let mut written = Written::of(form, &goods);
    let place = (org, token);
    if let Some(id) = form.get("add") {
        if let Some(one) = goods.get(id).filter(|_| written.items.len() < MAX_ITEMS) {
            let (id, name) = (id.to_owned(), one.name.clone());
            written.items.push(ItemText { id, name, by: "clerk".to_owned(), gross: String::new() });
        }
        return Ok(wall(console, visitor, place, known.as_ref(), written, None, Vec::new()));
    }
    if let Some(drop) = form.get("drop").and_then(|drop| drop.parse::<usize>().ok()) {
        if drop < written.items.len() {
            written.items.remove(drop);
        }
        return Ok(wall(console, visitor, place, known.as_ref(), written, None, Vec::new()));
    }
    match form.get("step") {
        Some("save") => {}
        Some("find") => {
            let hits = draft::found_goods(console, visitor.tenant(), &written.goods_word).await;
            let hits = hits.map_err(|_| busy(console, visitor))?;
            return Ok(wall(console, visitor, place, known.as_ref(), written, Some(hits), Vec::new()));
        }
        _ => return Ok(wall(console, visitor, place, known.as_ref(), written, None, Vec::new())),
    }
    let before = known.clone().unwrap_or_else(|| Setup {
        token: token.to_owned(),
        tenant: visitor.tenant().to_owned(),
        orgcode: org.to_owned(),
        name: String::new(),
        items: Vec::new(),
        limit: Decimal::ONE,
        remark: String::new(),
        numbered: true,
        fields: Vec::new(),
        created_at: (console.portal.clock)(),
        disabled_at: None,
    });
    let setup = match written.setup(&goods, before) {
        Ok(setup) => setup,
        Err(faults) => return Ok(wall(console, visitor, place, known.as_ref(), written, None, faults)),
    };
    let done = console
        .portal
        .ledger
        .run(move |session| Box::pin(async move { reservations::configure(session, &setup).await }))
        .await
        .map_err(|_| busy(console, visitor))?;
    match done {
        Ok(()) => Ok(see_other(&format!("{}?done=saved", url(org, token)))),
        Err(faults) => {
            let faults = faults.into_iter().map(|fault| fault.text).collect();
            Ok(wall(console, visitor, place, known.as_ref(), written, None, faults))
        }
    }
}

async fn disable(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path((org, token)): Path<(String, String)>,
) -> Response<Body> {
    either(
        async {
            let known = setup_of(&console, &visitor, &org, &token).await?;
            known.ok_or_else(|| not_found(&console, &visitor))?;
            if form.get("confirm") != Some("yes") {
                return Err(shell::unconfirmed(&console, &visitor));
            }
            let (tenant, wanted) = (visitor.tenant().to_owned(), token.clone());
            let work = console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { reservations::disable(session, &tenant, &wanted).await }));
            work.await.map_err(|_| busy(&console, &visitor))?;
            Ok(see_other(&format!("{}?done=disabled", url(&org, &token))))
        }
        .await,
    )
}

async fn drawing(State(console): Shared, Extension(visitor): Who, Path(place): Path<(String, String)>) -> Response<Body> {
    either(file(&console, &visitor, &place, ("svg", "image/svg+xml"), |text| qr::svg(text).map(String::into_bytes)).await)
}

async fn picture(State(console): Shared, Extension(visitor): Who, Path(place): Path<(String, String)>) -> Response<Body> {
    either(file(&console, &visitor, &place, ("png", "image/png"), qr::png).await)
}

/// 下载为图片.
async fn file(
    console: &Console,
    visitor: &Visitor,
    (org, token): &(String, String),
    (ending, content_type): (&str, &'static str),
    draw: impl FnOnce(&str) -> Option<Vec<u8>>,
) -> Page {
    let setup = setup_of(console, visitor, org, token).await?.filter(|setup| setup.disabled_at.is_none());
    let setup = setup.ok_or_else(|| not_found(console, visitor))?;
    let bytes = draw(&format!("{}/r/{}", console.portal.public_url, setup.token));
    let bytes = bytes.ok_or_else(|| not_found(console, visitor))?;
    let saved = visitor.query.get("save").is_some();
    let disposition = format!("{}; filename=\"reservation-code.{ending}\"", if saved { "attachment" } else { "inline" });
    let disposition = HeaderValue::from_str(&disposition).map_err(|_| not_found(console, visitor))?;
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type)), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, bytes).into_response())
}

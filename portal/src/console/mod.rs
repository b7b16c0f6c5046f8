//! The merchant's console under `/console`: pages for the people of one tenant, without JavaScript.
//!
//! Whoever is signed in reaches his own tenant and nothing else: no page takes a tenant from the request. [`guard`] is before
//! every route: it finds the session, the role ([`roles`]), and refuses a POST that does not come from a page of ours with the
//! token of the session. Invoices are made, approved, re-issued, reversed and voided by [`crate::core`] alone.
//!
//! To add a page:
//! 1. a row in [`roles::ROUTES`] says what the route is (without one nobody reaches it);
//! 2. a file beside this one with `pub(super) fn routes() -> Router<Arc<Console>>`, merged in [`router`];
//! 3. its handler takes `State<Arc<Console>>` and [`Extension`]`<`[`Visitor`]`>`; a POST also `Extension<Arc<Form>>`;
//! 4. its template extends `console/base.html`, its struct holds `shell: Shell` ([`shell::Shell::new`]); forms hold `shell.csrf`;
//! 5. its texts are rows of [`words`], and its menu entry a line of [`shell::MENU`].
//!
//! Read first: [`guard`], [`roles`], [`shell::Shell`].

pub mod accounts;
mod actions;
mod codes;
mod deliveries;
mod documents;
mod draft;
mod export;
mod factor;
mod files;
mod invoice;
mod invoices;
mod issue;
mod part_red;
mod reports;
mod reservations;
pub mod roles;
pub(crate) mod settings;
pub mod shell;
mod sign;
mod tasks;
mod upload;
mod walls;
pub mod words;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, MatchedPath, State};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, Limited};
use taxdisk_web::pages::{finished, from_own_page, keeping_query, language_cookie};
use taxdisk_web::serve::Peer;
use taxdisk_web::signin::session::Cookie;
use taxdisk_web::signin::{Gate, SignedIn, csrf};

use crate::application::User;
use crate::portal::Portal;
use crate::rate::Rates;
use crate::serve::vouch;
use crate::wire::form::Form;
use accounts::PortalAccounts;
use roles::Action;
use upload::Upload;
use words::Lang;

/// A form at most, bytes; a goods file that is pasted has room.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What is read of the body of a form, bytes.
pub(crate) fn body_limit(route: &str) -> usize {
    if upload::takes(route) { upload::MAX_BODY_BYTES } else { MAX_BODY_BYTES }
}
/// Fields of a form at most: a hundred lines of an invoice have a dozen each.
const MAX_FIELDS: usize = 2048;
/// What the pages share.
pub struct Console {
    /// The portal.
    pub portal: Arc<Portal>,
    /// Lets people in.
    pub gate: Gate<PortalAccounts>,
    /// Users of accounts.
    pub accounts: PortalAccounts,
    /// The cookie of its sessions.
    pub cookie: Cookie,
    /// Rows of an export at most.
    pub export_rows: usize,
    /// How often each tenant may try his callback address.
    pub tests: Rates,
}

/// Who asks for a page, and how.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The user and his session; none only on routes that need none ([`Action::Enter`]).
    pub signed: Option<(Arc<User>, SignedIn)>,
    /// Language of the page.
    pub language: Lang,
    /// The path that was asked for.
    pub path: String,
    /// The query of it.
    pub query: Form,
    /// What a link to the page in another language begins with; empty: it answers a form, and has no address of its own.
    pub here: String,
    /// Where the request came from, for counting attempts.
    pub address: String,
    /// A role of his needs a second factor (`console.require_second_factor`) that he has not set up.
    pub lacks_factor: bool,
}

impl Visitor {
    /// His tenant; empty without a session, where nothing is of any tenant.
    pub fn tenant(&self) -> &str {
        self.signed.as_ref().map_or("", |(user, _)| user.tenant.as_str())
    }

    /// May he do this?
    pub fn may(&self, action: Action) -> bool {
        action == Action::Enter || self.signed.as_ref().is_some_and(|(user, _)| user.roles.iter().any(|role| role.may(action)))
    }

    /// As histories name him.
    pub fn name(&self) -> String {
        self.signed.as_ref().map_or_else(String::new, |(user, _)| format!("console:{}", user.login))
    }
}

/// Test callbacks of a tenant at once; in the long run one a second.
const TESTS_BURST: u32 = 5;
/// Rows of an export at most; more are fetched by narrower dates.
const EXPORT_ROWS_MAX: usize = 10_000;

/// The routes under `/console`.
pub fn router(portal: Arc<Portal>) -> Router {
    router_with(portal, EXPORT_ROWS_MAX)
}

/// See [`router`]; an export has at most so many rows.
pub fn router_with(portal: Arc<Portal>, export_rows: usize) -> Router {
    let accounts = PortalAccounts(portal.clone());
    let tls = portal.public_url.starts_with("https://");
    let console = Arc::new(Console {
        gate: Gate::new(accounts.clone()),
        accounts,
        portal,
        cookie: Cookie::new("taxdisk", tls),
        export_rows,
        tests: Rates::new(1, TESTS_BURST),
    });
    Router::new()
        .route("/console/sign-in", get(sign::form).post(sign::sign_in))
        .route("/console/sign-out", post(sign::sign_out))
        .route("/console/password/{token}", get(sign::first_form).post(sign::first))
        .route("/console/account", get(sign::account).post(sign::change))
        .merge(factor::routes())
        .merge(invoices::routes())
        .merge(invoice::routes())
        .merge(actions::routes())
        .merge(codes::routes())
        .merge(deliveries::routes())
        .merge(files::routes())
        .merge(issue::routes())
        .merge(reservations::routes())
        .merge(walls::routes())
        .merge(part_red::routes())
        .merge(tasks::routes())
        .merge(reports::routes())
        .merge(settings::routes())
        .layer(middleware::from_fn_with_state(console.clone(), guard))
        .with_state(console)
}

/// Before every page: session, role, and whether a POST is wanted by who is signed in.
pub async fn guard(State(console): State<Arc<Console>>, request: Request<Body>, next: Next) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let visitor = match visitor(&console, &parts).await {
        Ok(visitor) => visitor,
        Err(response) => return finished(response),
    };
    let route = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // What matched no route has no handler either; everything that has one needs a row.
    let Some(route) = route else { return finished(shell::not_found(&console, &visitor)) };
    let Some(action) = roles::action(&parts.method, &route) else {
        return finished(shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "forbidden"));
    };
    if action != Action::Enter && visitor.signed.is_none() {
        return finished(match parts.method {
            Method::GET | Method::HEAD => see_other("/console/sign-in"),
            _ => shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "signed_out"),
        });
    }
    if !visitor.may(action) {
        return finished(shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "forbidden"));
    }
    // Whose role needs a second factor and has none yet sets it up first: his own page is all that he reaches.
    if !matches!(action, Action::Enter | Action::Own) && visitor.lacks_factor {
        return finished(match parts.method {
            Method::GET | Method::HEAD => see_other("/console/account"),
            _ => shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "factor_needed"),
        });
    }
    if visitor.signed.is_some() {
        vouch(&parts.extensions);
    }
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    let body = match Limited::new(body, body_limit(&route)).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return finished(shell::notice(&console, &visitor, StatusCode::PAYLOAD_TOO_LARGE, "too_large")),
    };
    if changes {
        let read = form(&parts.headers, &route, body.clone()).await;
        let Some((form, file)) = read.filter(|(form, _)| wanted(&parts.headers, &visitor, form)) else {
            return finished(shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "forged"));
        };
        parts.extensions.insert(Arc::new(form));
        parts.extensions.insert(file);
    }
    let chosen = visitor.query.get("lang").map(|_| visitor.language);
    parts.extensions.insert(visitor);
    let mut response = finished(next.run(Request::from_parts(parts, Body::from(body))).await);
    if let Some(Ok(cookie)) = chosen.map(|lang| language_cookie(lang).parse()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// A form, and its file on the routes that take one.
async fn form(headers: &HeaderMap, route: &str, body: Bytes) -> Option<(Form, Upload)> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if upload::takes(route) && upload::is_multipart(content_type) {
        return upload::read(content_type, body).await;
    }
    Some((Form::parse_at_most(&body, MAX_FIELDS).ok()?, Upload::default()))
}

/// Both guards against requests of other sites. Before there is a session, there is no token of it.
fn wanted(headers: &HeaderMap, visitor: &Visitor, form: &Form) -> bool {
    let token = |signed: &SignedIn| csrf::is_token(&signed.token, form.get("csrf").unwrap_or_default());
    from_own_page(headers) && visitor.signed.as_ref().is_none_or(|(_, signed)| token(signed))
}

async fn visitor(console: &Console, parts: &Parts) -> Result<Visitor, Response<Body>> {
    let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let reads = route.is_none_or(|route| roles::action(&Method::GET, route).is_some());
    let mut visitor = Visitor {
        signed: None,
        language: words::language(&query, &parts.headers),
        path: parts.uri.path().to_owned(),
        query,
        here: if reads { keeping_query(parts.uri.query()) } else { String::new() },
        address: parts.extensions.get::<Peer>().map(|peer| peer.0.ip().to_string()).unwrap_or_default(),
        lacks_factor: false,
    };
    if let Some(token) = token(console, &parts.headers) {
        let signed = match console.gate.session(token, (console.portal.clock)()).await {
            Ok(signed) => signed,
            Err(_) => return Err(shell::busy(console, &visitor)),
        };
        // A user who was disabled meanwhile is nobody.
        visitor.signed = signed.and_then(|signed| Some((console.accounts.user(&signed.account)?, signed)));
        let needed = &console.portal.config.console.require_second_factor;
        if let Some((user, signed)) = &visitor.signed
            && user.roles.iter().any(|role| needed.contains(role))
        {
            let Ok(factor) = console.gate.factor(signed).await else { return Err(shell::busy(console, &visitor)) };
            visitor.lacks_factor = !factor.is_some_and(|factor| factor.is_confirmed());
        }
    }
    Ok(visitor)
}

/// The session's token that a browser sent.
pub(crate) fn token<'a>(console: &Console, headers: &'a HeaderMap) -> Option<&'a str> {
    console.cookie.token_of(headers.get(header::COOKIE)?.to_str().ok()?)
}

/// A page of a template.
pub(crate) fn page(template: &impl askama::Template) -> Response<Body> {
    with_status(StatusCode::OK, template)
}

/// See [`page`].
pub(crate) fn with_status(status: StatusCode, template: &impl askama::Template) -> Response<Body> {
    match template.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/html;charset=UTF-8"))], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(crate) use taxdisk_web::pages::see_other;

/// What handlers take.
pub(crate) type Who = Extension<Visitor>;
/// See [`Who`].
pub(crate) type Posted = Extension<Arc<Form>>;
/// See [`Who`].
pub(crate) type Shared = State<Arc<Console>>;

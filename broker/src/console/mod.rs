//! The administrators' console under `/console`: another door of the same house.
//!
//! [`guard`] is before every route: it finds the session, the role ([`roles`]), and refuses a POST that does not come from a page
//! of ours with the token of the session. It decides nothing about a job, disk or agent: every page asks and tells
//! [`crate::ledger::Ledger`] exactly as the HTTP API does, under the person's own name (`console:NAME`), so that the chain says
//! who did what. Every page works without JavaScript.
//!
//! To add a page:
//! 1. a row in [`roles::ROUTES`] says what the route is (without one nobody reaches it);
//! 2. a file beside this one with `pub(super) fn routes() -> Router<Arc<Console>>`, merged in [`router`];
//! 3. its handler takes `Shared` and `Who`; a POST also `Posted`;
//! 4. its template extends `console/base.html`, its struct holds `shell: Shell`; forms hold `shell.csrf`;
//! 5. its texts are rows of [`words`], and its menu entry a line of [`shell::MENU`].
//!
//! Read first: [`guard`], [`roles`], [`shell::Shell`].

mod accounts;
mod agents;
mod audit;
mod bulk;
mod burn;
mod deliveries;
mod disks;
mod factor;
mod job;
mod jobs;
mod live;
mod operations;
mod outside;
mod overview;
mod proposals;
pub mod roles;
pub mod shell;
mod sign;
mod users;
pub mod words;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, MatchedPath, State};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::{any, get, post};
use http_body_util::{BodyExt as _, Limited};
use taxdisk_web::form::Form;
use taxdisk_web::pages::{self, finished, from_own_page, language_cookie, see_other};
use taxdisk_web::serve::Room;
use taxdisk_web::signin::session::Cookie;
use taxdisk_web::signin::{Gate, SignedIn, csrf};

use crate::core::change::UserRow;
use crate::http::{Edge, Peer};
use crate::ledger::{self, Ledger};
use accounts::LedgerAccounts;
use roles::Action;
use words::Lang;

/// A form at most, bytes.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the pages share.
pub struct Console {
    /// The broker.
    pub edge: Edge,
    /// Lets people in.
    pub gate: Gate<LedgerAccounts>,
    /// The cookie of its sessions.
    pub cookie: Cookie,
    /// How much was done lately.
    pub pace: Arc<live::Pace>,
}

/// Who asks for a page, and how.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The person and his session; none only on routes that need none ([`Action::Enter`]).
    pub signed: Option<(Arc<UserRow>, SignedIn)>,
    /// Language of the page.
    pub language: Lang,
    /// The path that was asked for.
    pub path: String,
    /// The query of it.
    pub query: Form,
    /// What a link to the page in another language begins with; empty: it is the answer to a form and cannot be asked for again.
    pub here: String,
    /// Where the request came from.
    pub address: String,
}

impl Visitor {
    /// May he do this?
    pub fn may(&self, action: Action) -> bool {
        action == Action::Enter || self.signed.as_ref().is_some_and(|(user, _)| roles::may(user.role, action))
    }

    /// Does his role need a second factor (`console.require_second_factor`) that he has not set up?
    pub fn lacks_factor(&self, console: &Console) -> bool {
        let needed = &console.edge.console.require_second_factor;
        self.signed.as_ref().is_some_and(|(user, _)| needed.contains(&user.role) && !user.has_factor())
    }

    /// As the chain names him.
    pub fn by(&self) -> String {
        self.signed.as_ref().map_or_else(|| "console".to_owned(), |(user, _)| format!("console:{}", user.name))
    }

    /// The ledger for him: what he changes is entered under his name and address.
    pub fn ledger(&self, console: &Console) -> Ledger {
        console.edge.ledger.of(&self.by(), &self.address)
    }
}

/// The routes under `/console`.
pub fn router(edge: Edge) -> Router<Edge> {
    let accounts = LedgerAccounts(edge.ledger.clone());
    let cookie = Cookie::new("taxdisk-broker", edge.console.https);
    let console = Arc::new(Console { gate: Gate::new(accounts), cookie, pace: live::follow(edge.clone()), edge });
    Router::new()
        .route("/console/sign-in", get(sign::form).post(sign::sign_in))
        .route("/console/sign-out", post(sign::sign_out))
        .route("/console/password/{token}", get(sign::first_form).post(sign::first))
        .route("/console/account", get(sign::account).post(sign::change))
        .route("/console/assets/{name}", get(shell::asset))
        .merge(factor::routes())
        .merge(overview::routes())
        .merge(jobs::routes())
        .merge(job::routes())
        .merge(disks::routes())
        .merge(agents::routes())
        .merge(bulk::routes())
        .merge(audit::routes())
        .merge(operations::routes())
        .merge(outside::routes())
        .merge(deliveries::routes())
        .merge(users::routes())
        .merge(proposals::routes())
        // What is at no page is said as a page.
        .route("/console/{*rest}", any(nothing))
        .layer(middleware::from_fn_with_state(console.clone(), guard))
        .with_state(console)
}

async fn nothing(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    shell::not_found(&console, &visitor)
}

/// Before every page: session, role, and whether a POST is wanted by who is signed in.
pub async fn guard(State(console): State<Arc<Console>>, request: Request<Body>, next: Next) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let visitor = match visitor(&console, &parts).await {
        Ok(visitor) => visitor,
        Err(response) => return finished(response),
    };
    let route = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let Some(route) = route else { return finished(shell::not_found(&console, &visitor)) };
    let Some(action) = roles::action(&parts.method, &route) else {
        return finished(shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "forbidden"));
    };
    if action != Action::Enter && visitor.signed.is_none() {
        return finished(match parts.method {
            // A part of a page cannot become another page: the whole of it goes to the door.
            _ if is_unattended(&visitor.path) => (StatusCode::NO_CONTENT, [("hx-redirect", "/console/sign-in")]).into_response(),
            Method::GET | Method::HEAD => see_other("/console/sign-in"),
            _ => shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "signed_out"),
        });
    }
    if !visitor.may(action) {
        return finished(shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "forbidden"));
    }
    // Whose role needs a second factor and has none yet sets it up first: his own page is all that he reaches.
    if !matches!(action, Action::Enter | Action::Own) && visitor.lacks_factor(&console) {
        return finished(match parts.method {
            _ if is_unattended(&visitor.path) => (StatusCode::NO_CONTENT, [("hx-redirect", "/console/account")]).into_response(),
            Method::GET | Method::HEAD => see_other("/console/account"),
            _ => shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "factor_needed"),
        });
    }
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return finished(shell::notice(&console, &visitor, StatusCode::PAYLOAD_TOO_LARGE, "too_large")),
    };
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let form = Form::parse(&body).ok().filter(|form| wanted(&parts.headers, &visitor, form));
        let Some(form) = form else {
            return finished(shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "forged"));
        };
        parts.extensions.insert(Arc::new(form));
    }
    let chosen = visitor.query.get("lang").map(|_| visitor.language);
    parts.extensions.insert(visitor);
    let mut response = finished(next.run(Request::from_parts(parts, Body::empty())).await);
    if let Some(Ok(cookie)) = chosen.map(|lang| language_cookie(lang).parse()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Both guards against requests of other sites. Before there is a session, there is no token of it.
fn wanted(headers: &HeaderMap, visitor: &Visitor, form: &Form) -> bool {
    let token = |signed: &SignedIn| csrf::is_token(&signed.token, form.get("csrf").unwrap_or_default());
    from_own_page(headers) && visitor.signed.as_ref().is_none_or(|(_, signed)| token(signed))
}

async fn visitor(console: &Console, parts: &Parts) -> Result<Visitor, Response<Body>> {
    let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let peer = parts.extensions.get::<Peer>();
    let mut visitor = Visitor {
        signed: None,
        language: pages::language(&query, &parts.headers),
        path: parts.uri.path().to_owned(),
        query,
        here: if parts.method == Method::GET { pages::keeping_query(parts.uri.query()) } else { String::new() },
        address: peer.map(|peer| peer.0.ip().to_canonical().to_string()).unwrap_or_default(),
    };
    if let Some(token) = token(console, &parts.headers) {
        let now = console.edge.ledger.now().0;
        let signed = match is_unattended(&visitor.path) {
            true => console.gate.look(token, now).await,
            false => console.gate.session(token, now).await,
        };
        let Ok(signed) = signed else { return Err(shell::busy(console, &visitor)) };
        if let Some(signed) = signed {
            let Ok(user) = console.edge.ledger.user(&signed.account).await else { return Err(shell::busy(console, &visitor)) };
            // Who was shut out meanwhile is nobody.
            visitor.signed = user.filter(|user| !user.shut_out).map(|user| (Arc::new(user), signed));
            if let (Some(_), Some(room)) = (&visitor.signed, parts.extensions.get::<Room>()) {
                room.vouch();
            }
        }
    }
    Ok(visitor)
}

/// What a page asks for by itself. It is no sign of life: a session rests although an overview is open.
fn is_unattended(path: &str) -> bool {
    matches!(path, "/console/now" | "/console/live")
}

/// The session's token that a browser sent.
fn token<'a>(console: &Console, headers: &'a HeaderMap) -> Option<&'a str> {
    console.cookie.token_of(headers.get(header::COOKIE)?.to_str().ok()?)
}

/// A page of a template.
fn page(template: &impl askama::Template) -> Response<Body> {
    with_status(StatusCode::OK, template)
}

/// See [`page`].
fn with_status(status: StatusCode, template: &impl askama::Template) -> Response<Body> {
    match template.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/html;charset=UTF-8"))], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What a step answers: what was asked for, or a page that says why not. Both are sent.
type Page = Result<Response<Body>, Response<Body>>;

/// Whichever it is.
fn either(page: Page) -> Response<Body> {
    match page {
        Ok(page) | Err(page) => page,
    }
}

/// What the ledger refused, as a page that says whose fault, whether an invoice exists and whether the same again is safe.
fn refused(console: &Console, visitor: &Visitor, refusal: ledger::Refusal) -> Response<Body> {
    shell::problem(console, visitor, refusal.into())
}

/// What handlers take.
type Who = Extension<Visitor>;
/// See [`Who`].
type Posted = Extension<Arc<Form>>;
/// See [`Who`].
type Shared = State<Arc<Console>>;

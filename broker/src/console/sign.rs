//! Signing in and out, first passwords, changing one.

use askama::Template;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use taxdisk_web::signin::Refused;

use super::shell::Shell;
use super::{Console, Posted, Shared, Visitor, Who, page, see_other, shell, token, with_status, words};
use crate::core::people::is_name;

/// Where somebody comes to after he signed in.
pub(super) const HOME: &str = "/console";

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignIn {
    shell: Shell,
    name: String,
}

#[derive(Template)]
#[template(path = "console/password.html")]
struct Password {
    shell: Shell,
    name: String,
}

#[derive(Template)]
#[template(path = "../../web/templates/signin/account.html")]
struct Account {
    shell: Shell,
    name: String,
    role: String,
    /// He has a second factor.
    factor: bool,
    /// Recovery codes that are left.
    left: usize,
    /// His role needs one and he has none.
    lacking: bool,
}

pub(super) async fn form(Extension(visitor): Who) -> Response<Body> {
    if visitor.signed.is_some() {
        return see_other(HOME);
    }
    page(&SignIn { shell: Shell::new(&visitor, "sign_in"), name: String::new() })
}

pub(super) async fn sign_in(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    headers: HeaderMap,
) -> Response<Body> {
    let name = form.get("name").unwrap_or_default().trim().to_lowercase();
    // A text that can be nobody's name costs the same work and is counted, all of them together: what is counted is stored.
    let account = if is_name(&name) { name.as_str() } else { "?" };
    let (password, code) = (form.get("password").unwrap_or_default(), form.get("code").unwrap_or_default());
    let before = token(&console, &headers);
    match console.gate.sign_in(account, password, code, &visitor.address, before, console.edge.ledger.now().0).await {
        Ok(signed) => with_cookie(see_other(HOME), &console.cookie.begin(&signed.token)),
        Err(refused) => {
            metrics::counter!("taxdisk_failed_authentications_total").increment(1);
            let (status, text) = why(&visitor, refused);
            let shell = Shell::new(&visitor, "sign_in").with_notice(Some(text), false);
            with_status(status, &SignIn { shell, name })
        }
    }
}

pub(super) fn with_cookie(mut response: Response<Body>, cookie: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// Whose fault, in words.
pub(super) fn why(visitor: &Visitor, refused: Refused) -> (StatusCode, String) {
    let (status, key) = match refused {
        Refused::Wrong => (StatusCode::FORBIDDEN, "wrong"),
        Refused::Wait(_) => (StatusCode::TOO_MANY_REQUESTS, "wait"),
        Refused::Link => (StatusCode::NOT_FOUND, "link_bad"),
        Refused::Weak(_) => (StatusCode::UNPROCESSABLE_ENTITY, "weak"),
        Refused::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
    };
    (status, words::text(visitor.language, key).to_owned())
}

pub(super) async fn sign_out(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    if let Some((_, signed)) = &visitor.signed
        && console.gate.sign_out(&signed.token).await.is_err()
    {
        return shell::busy(&console, &visitor);
    }
    with_cookie(see_other("/console/sign-in"), &console.cookie.end())
}

pub(super) async fn first_form(State(console): Shared, Extension(visitor): Who, Path(link): Path<String>) -> Response<Body> {
    match console.gate.invited(&link).await {
        Ok(Some(invited)) => page(&Password { shell: Shell::new(&visitor, "password_set"), name: invited.account }),
        Ok(None) => shell::notice(&console, &visitor, StatusCode::NOT_FOUND, "link_bad"),
        Err(_) => shell::busy(&console, &visitor),
    }
}

pub(super) async fn first(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(link): Path<String>,
) -> Response<Body> {
    let field = |name: &str| form.get(name).unwrap_or_default();
    if field("new") != field("again") {
        return again(&console, &visitor, &link, "unequal").await;
    }
    match console.gate.accept(&link, field("new"), &visitor.address).await {
        Ok(_) => see_other("/console/sign-in?done=done_password_ready"),
        Err(Refused::Weak(_)) => again(&console, &visitor, &link, "weak").await,
        Err(refused) => {
            let (status, text) = why(&visitor, refused);
            with_status(status, &Password { shell: Shell::new(&visitor, "password_set").titled(text), name: String::new() })
        }
    }
}

/// The form of a link again, with what was wrong.
async fn again(console: &Console, visitor: &Visitor, link: &str, key: &str) -> Response<Body> {
    let name = match console.gate.invited(link).await {
        Ok(Some(invited)) => invited.account,
        Ok(None) => return shell::notice(console, visitor, StatusCode::NOT_FOUND, "link_bad"),
        Err(_) => return shell::busy(console, visitor),
    };
    let text = words::text(visitor.language, key).to_owned();
    let shell = Shell::new(visitor, "password_set").with_notice(Some(text), false);
    with_status(StatusCode::UNPROCESSABLE_ENTITY, &Password { shell, name })
}

pub(super) async fn account(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    own(&console, &visitor, StatusCode::OK, None, true)
}

pub(super) fn own(
    console: &Console,
    visitor: &Visitor,
    status: StatusCode,
    notice: Option<String>,
    good: bool,
) -> Response<Body> {
    let Some((user, _)) = &visitor.signed else { return see_other("/console/sign-in") };
    let role = words::text(visitor.language, words::role(user.role)).to_owned();
    let shell = Shell::new(visitor, "account").with_notice(notice, good);
    let left = user.factor.as_ref().map_or(0, taxdisk_web::signin::factor::Factor::recovery_left);
    let (factor, lacking) = (user.has_factor(), visitor.lacks_factor(console));
    with_status(status, &Account { shell, name: user.name.clone(), role, factor, left, lacking })
}

pub(super) async fn change(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let Some((user, signed)) = visitor.signed.clone() else { return see_other("/console/sign-in") };
    let field = |name: &str| form.get(name).unwrap_or_default();
    let t = |key: &str| Some(words::text(visitor.language, key).to_owned());
    if field("new") != field("again") {
        return own(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, t("unequal"), false);
    }
    match console.gate.change(&signed, field("old"), field("new"), console.edge.ledger.now().0).await {
        Ok(signed) => {
            let cookie = console.cookie.begin(&signed.token);
            // Forms of this page belong to the session that goes on.
            let visitor = Visitor { signed: Some((user, signed)), ..visitor.clone() };
            with_cookie(own(&console, &visitor, StatusCode::OK, t("done_password_changed"), true), &cookie)
        }
        Err(refused) => {
            let (status, text) = why(&visitor, refused);
            own(&console, &visitor, status, Some(text), false)
        }
    }
}

//! Signing in and out, first passwords, changing one.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::{Extension, extract::State};
use taxdisk_web::signin::Refused;
use taxdisk_web::signin::factor::Factor;

use super::shell::Shell;
use super::{Console, Posted, Shared, Visitor, Who, page, see_other, shell, token, with_status, words};

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignIn {
    shell: Shell,
    tenant: String,
    login: String,
}

#[derive(Template)]
#[template(path = "console/password.html")]
struct Password {
    shell: Shell,
    login: String,
}

#[derive(Template)]
#[template(path = "../../web/templates/signin/account.html")]
struct Account {
    shell: Shell,
    login: String,
    roles: String,
    /// He has a second factor.
    factor: bool,
    /// Recovery codes that are left.
    left: usize,
    /// A role of his needs one and he has none.
    lacking: bool,
}

pub(super) async fn form(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    if visitor.signed.is_some() {
        return see_other("/console/invoices");
    }
    let ready = visitor.query.get("ready").map(|_| words::text(visitor.language, "password_ready").to_owned());
    let shell = Shell::new(&console, &visitor, "sign_in").with_notice(ready, true);
    page(&SignIn { shell, tenant: String::new(), login: String::new() })
}

pub(super) async fn sign_in(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    headers: HeaderMap,
) -> Response<Body> {
    let field = |name: &str| form.get(name).unwrap_or_default();
    let (tenant, login) = (field("tenant").trim().to_lowercase(), field("login").trim().to_lowercase());
    // A name that could not be one costs the same work, but is cut: what is counted under it is stored.
    let account: String = format!("{tenant}/{login}").chars().take(100).collect();
    let now = (console.portal.clock)();
    let before = token(&console, &headers);
    match console.gate.sign_in(&account, field("password"), field("code"), &visitor.address, before, now).await {
        Ok(signed) => with_cookie(see_other("/console/invoices"), &console.cookie.begin(&signed.token)),
        Err(refused) => {
            let (status, text) = why(&visitor, refused);
            let shell = Shell::new(&console, &visitor, "sign_in").with_notice(Some(text), false);
            with_status(status, &SignIn { shell, tenant, login })
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
        Ok(Some(invited)) => page(&Password { shell: Shell::new(&console, &visitor, "password_set"), login: invited.account }),
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
        return again(&console, &visitor, &link, StatusCode::UNPROCESSABLE_ENTITY, "unequal").await;
    }
    match console.gate.accept(&link, field("new"), &visitor.address).await {
        Ok(_) => see_other("/console/sign-in?ready=1"),
        Err(Refused::Weak(_)) => again(&console, &visitor, &link, StatusCode::UNPROCESSABLE_ENTITY, "weak").await,
        Err(refused) => {
            let (status, text) = why(&visitor, refused);
            let mut shell = Shell::new(&console, &visitor, "password_set");
            shell.title.clone_from(&text);
            with_status(status, &Password { shell, login: String::new() })
        }
    }
}

/// The form of a link again, with what was wrong.
async fn again(console: &Console, visitor: &Visitor, link: &str, status: StatusCode, key: &str) -> Response<Body> {
    let login = match console.gate.invited(link).await {
        Ok(Some(invited)) => invited.account,
        Ok(None) => return shell::notice(console, visitor, StatusCode::NOT_FOUND, "link_bad"),
        Err(_) => return shell::busy(console, visitor),
    };
    let text = words::text(visitor.language, key).to_owned();
    let shell = Shell::new(console, visitor, "password_set").with_notice(Some(text), false);
    with_status(status, &Password { shell, login })
}

pub(super) async fn account(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let done = visitor.query.get("done").filter(|done| *done == "factor_ended");
    let notice = done.map(|key| words::text(visitor.language, key).to_owned());
    own(&console, &visitor, StatusCode::OK, notice, true).await
}

pub(super) async fn own(
    console: &Console,
    visitor: &Visitor,
    status: StatusCode,
    notice: Option<String>,
    good: bool,
) -> Response<Body> {
    let Some((user, signed)) = &visitor.signed else { return see_other("/console/sign-in") };
    let roles = user.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    let shell = Shell::new(console, visitor, "account").with_notice(notice, good);
    let Ok(factor) = console.gate.factor(signed).await else { return shell::busy(console, visitor) };
    let factor = factor.filter(|factor| factor.is_confirmed());
    let left = factor.as_ref().map_or(0, Factor::recovery_left);
    let (login, factor) = (user.account().unwrap_or_default(), factor.is_some());
    with_status(status, &Account { shell, login, roles, factor, left, lacking: visitor.lacks_factor })
}

pub(super) async fn change(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let Some((user, signed)) = visitor.signed.clone() else { return see_other("/console/sign-in") };
    let field = |name: &str| form.get(name).unwrap_or_default();
    let t = |key: &str| Some(words::text(visitor.language, key).to_owned());
    if field("new") != field("again") {
        return own(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, t("unequal"), false).await;
    }
    match console.gate.change(&signed, field("old"), field("new"), (console.portal.clock)()).await {
        Ok(signed) => {
            let cookie = console.cookie.begin(&signed.token);
            // Forms of this page belong to the session that goes on.
            let visitor = Visitor { signed: Some((user, signed)), ..visitor.clone() };
            with_cookie(own(&console, &visitor, StatusCode::OK, t("password_changed"), true).await, &cookie)
        }
        Err(refused) => {
            let (status, text) = why(&visitor, refused);
            own(&console, &visitor, status, Some(text), false).await
        }
    }
}

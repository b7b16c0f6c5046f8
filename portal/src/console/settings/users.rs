//! People of the tenant: invited by a link, disabled, given roles. The last administrator who can sign in stays one: without him
//! the tenant could let nobody in any more. No password is ever shown; a link for one works once.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::note;
use crate::application::{TEXT_MAX, User};
use crate::console::actions::unavailable;
use crate::console::invoices::encoded;
use crate::console::roles::Role;
use crate::console::shell::Shell;
use crate::console::shell::either;
use crate::console::{Console, Posted, Shared, Visitor, Who, page, see_other, shell, words};
use crate::core::act::random_token;
use crate::ledger::Session;
use crate::model::Directory;
use crate::portal::Portal;
use crate::store::StoreError;
use crate::wire::form::Form;

/// Users of a tenant at most: each is looked for in a list.
const USERS_MAX: usize = 200;
/// Users of a page: each brings three forms.
const PAGE: usize = 20;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/settings/users", get(show).post(invite))
        .route("/console/settings/users/{login}/roles", post(roles))
        .route("/console/settings/users/{login}/disable", post(disable))
        .route("/console/settings/users/{login}/enable", post(enable))
        .route("/console/settings/users/{login}/link", post(link))
        .route("/console/settings/users/{login}/end-factor", post(end_factor))
}

struct RoleBox {
    value: &'static str,
    label: String,
    chosen: bool,
}

struct UserRow {
    login: String,
    name: String,
    url: String,
    roles: Vec<RoleBox>,
    disabled: bool,
}

#[derive(Template)]
#[template(path = "console/settings/users.html")]
struct Page {
    shell: Shell,
    users: Vec<UserRow>,
    /// There are more than these.
    paged: bool,
    /// User name that the page begins at, or where it would stand.
    from: String,
    /// User name that the next page begins at.
    next: Option<String>,
    roles: Vec<RoleBox>,
    /// A link that was made just now: user name and address.
    made: Option<(String, String)>,
}

fn made(console: &Console, visitor: &Visitor, link: Option<(String, String)>) -> Response<Body> {
    let (directory, lang) = (console.portal.directory(), visitor.language);
    let boxes = |chosen: &[Role]| {
        Role::ALL
            .map(|role| RoleBox {
                value: role.as_str(),
                label: words::text(lang, role_key(role)).to_owned(),
                chosen: chosen.contains(&role),
            })
            .into_iter()
            .collect::<Vec<_>>()
    };
    let mut known: Vec<&Arc<User>> = people(&directory, visitor.tenant()).collect();
    known.sort_by(|one, other| one.login.cmp(&other.login));
    // Who was just given a link is shown with it.
    let from = link.as_ref().map(|(login, _)| login.as_str()).or(visitor.query.get("from")).unwrap_or_default().trim().to_owned();
    let rest = &known[known.partition_point(|user| user.login < from)..];
    let next = rest.get(PAGE).map(|user| user.login.clone());
    let users: Vec<UserRow> = rest
        .iter()
        .take(PAGE)
        .map(|user| UserRow {
            url: format!("/console/settings/users/{}", encoded(&user.login)),
            login: user.login.clone(),
            name: user.name.clone(),
            roles: boxes(&user.roles),
            disabled: user.disabled,
        })
        .collect();
    let done = visitor
        .query
        .get("done")
        .filter(|done| matches!(*done, "user_changed" | "user_disabled" | "user_enabled" | "factor_ended"));
    let notice = done.map(|key| words::text(lang, key).to_owned());
    let shell = Shell::new(console, visitor, "menu_users").with_notice(notice, true);
    page(&Page { shell, paged: users.len() < known.len(), users, from, next, roles: boxes(&[]), made: link })
}

fn role_key(role: Role) -> &'static str {
    match role {
        Role::Viewer => "role_viewer",
        Role::Clerk => "role_clerk",
        Role::Manager => "role_manager",
        Role::Admin => "role_admin",
    }
}

/// Users of a tenant who sign in; systems do not.
fn people<'a>(directory: &'a Directory, tenant: &'a str) -> impl Iterator<Item = &'a Arc<User>> {
    directory.users().filter(move |user| user.tenant == tenant && !user.login.is_empty())
}

async fn show(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    made(&console, &visitor, None)
}

/// The roles that are ticked.
fn ticked(form: &Form) -> Vec<Role> {
    let is_ticked = |role: &Role| form.fields().iter().any(|(name, value)| name == "role" && value == role.as_str());
    Role::ALL.into_iter().filter(is_ticked).collect()
}

/// May this user do without the other administrators?
fn administers(user: &User) -> bool {
    !user.disabled && user.roles.contains(&Role::Admin)
}

/// Writes a user, inside the writer, if an administrator who can sign in remains. The inner error: key of the text that says why
/// not.
async fn put(
    session: &mut Session,
    portal: &Portal,
    visitor: &Visitor,
    before: Option<&User>,
    user: User,
    what: &str,
) -> Result<Result<(), String>, StoreError> {
    let directory = portal.directory();
    if before.is_some_and(administers) && !administers(&user) {
        let mut other = false;
        for one in people(&directory, &user.tenant).filter(|one| one.id != user.id && administers(one)) {
            // Who was invited and has no password yet cannot let anybody in.
            if let Some(account) = one.account() {
                other |= session.db.password(&account).await?.is_some();
            }
        }
        if !other {
            return Ok(Err("user_last_admin".to_owned()));
        }
    }
    let changed = match directory.with_user(user.clone()) {
        Ok(changed) => changed,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let body = serde_json::to_string(&user).map_err(|error| StoreError::Damaged(format!("user: {error}")))?;
    session.db.put_setting("user", &user.id, &body).await?;
    if user.disabled
        && let Some(account) = user.account()
    {
        session.db.end_sessions_of(&account).await?;
    }
    let roles: Vec<&str> = user.roles.iter().map(|role| role.as_str()).collect();
    note(session, visitor, what, &format!("{} {}", user.login, roles.join(" "))).await?;
    portal.set_directory(changed);
    Ok(Ok(()))
}

/// Changes a user of this tenant.
async fn change(
    console: &Console,
    visitor: &Visitor,
    login: &str,
    what: &'static str,
    edit: impl Fn(&mut User) + Send + 'static,
) -> Result<(), Response<Body>> {
    let (portal, who, wanted) = (console.portal.clone(), visitor.clone(), login.to_owned());
    let work = console.portal.ledger.run(move |session| {
        Box::pin(async move {
            let directory = portal.directory();
            let Some(before) = directory.user_by_login(who.tenant(), &wanted) else { return Ok(None) };
            let mut user = before.as_ref().clone();
            edit(&mut user);
            put(session, &portal, &who, Some(before), user, what).await.map(Some)
        })
    });
    match work.await.map_err(unavailable(console, visitor))? {
        Some(Ok(())) => Ok(()),
        Some(Err(key)) => {
            Err(shell::told(console, visitor, StatusCode::CONFLICT, words::text(visitor.language, &key).to_owned()))
        }
        None => Err(shell::not_found(console, visitor)),
    }
}

/// The account of a login of this tenant.
fn account(console: &Console, visitor: &Visitor, login: &str) -> Option<String> {
    let directory = console.portal.directory();
    directory.user_by_login(visitor.tenant(), login).and_then(|user| user.account())
}

/// The person ticked the confirmation.
fn confirmed(form: &Form) -> Option<()> {
    (form.get("confirm") == Some("yes")).then_some(())
}

/// To where this user stands in the list.
fn back(what: &str, login: &str) -> Response<Body> {
    see_other(&format!("/console/settings/users?done={what}&from={}", encoded(login)))
}

async fn roles(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(login): Path<String>,
) -> Response<Body> {
    either(
        async {
            account(&console, &visitor, &login).ok_or_else(|| shell::not_found(&console, &visitor))?;
            let roles = ticked(&form);
            if roles.is_empty() {
                return Err(shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, "user_no_role"));
            }
            change(&console, &visitor, &login, "user_roles", move |user| user.roles.clone_from(&roles)).await?;
            Ok(back("user_changed", &login))
        }
        .await,
    )
}

/// Shuts a person out, or lets him in again.
async fn switched(console: &Console, visitor: &Visitor, form: &Form, login: &str, disabled: bool) -> shell::Page {
    account(console, visitor, login).ok_or_else(|| shell::not_found(console, visitor))?;
    confirmed(form).ok_or_else(|| shell::unconfirmed(console, visitor))?;
    let what = if disabled { "user_disabled" } else { "user_enabled" };
    change(console, visitor, login, what, move |user| user.disabled = disabled).await?;
    Ok(back(what, login))
}

async fn disable(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(login): Path<String>,
) -> Response<Body> {
    either(switched(&console, &visitor, &form, &login, true).await)
}

async fn enable(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(login): Path<String>,
) -> Response<Body> {
    either(switched(&console, &visitor, &form, &login, false).await)
}

/// A new link for a password; earlier ones of the user end.
async fn link(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(login): Path<String>,
) -> Response<Body> {
    either(
        async {
            let account = account(&console, &visitor, &login).ok_or_else(|| shell::not_found(&console, &visitor))?;
            confirmed(&form).ok_or_else(|| shell::unconfirmed(&console, &visitor))?;
            let (who, wanted) = (visitor.clone(), login.clone());
            let work = console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { note(session, &who, "user_link", &wanted).await }));
            work.await.map_err(unavailable(&console, &visitor))?;
            invited(&console, &visitor, &account, &login).await
        }
        .await,
    )
}

/// Somebody's telephone and recovery codes are gone: whoever does this has made sure that it is he who asks.
async fn end_factor(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(login): Path<String>,
) -> Response<Body> {
    either(
        async {
            let account = account(&console, &visitor, &login).ok_or_else(|| shell::not_found(&console, &visitor))?;
            confirmed(&form).ok_or_else(|| shell::unconfirmed(&console, &visitor))?;
            let ended = console.accounts.take_factor_away(&account, &visitor.name()).await;
            ended.map_err(|_| shell::busy(&console, &visitor))?;
            Ok(back("factor_ended", &login))
        }
        .await,
    )
}

async fn invited(console: &Console, visitor: &Visitor, account: &str, login: &str) -> Result<Response<Body>, Response<Body>> {
    let token = console.accounts.invite(account).await;
    let token = token.map_err(|_| shell::busy(console, visitor))?;
    let address = format!("{}/console/password/{token}", console.portal.public_url);
    Ok(made(console, visitor, Some((login.to_owned(), address))))
}

async fn invite(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    either(
        async {
            let wrong = |key: &str| shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, key);
            let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
            let (name, login, roles) = (field("name"), field("login").to_lowercase(), ticked(&form));
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.chars().count() > TEXT_MAX {
                return Err(wrong("user_bad_name"));
            }
            if login.is_empty() || login.len() > 40 || !login.bytes().all(allowed) {
                return Err(wrong("user_bad_login"));
            }
            if roles.is_empty() {
                return Err(wrong("user_no_role"));
            }
            let user = User {
                id: format!("us_{}", random_token()),
                tenant: visitor.tenant().to_owned(),
                name,
                // A person has no key; no digest is empty, so none fits.
                key_hash: String::new(),
                login: login.clone(),
                roles,
                disabled: false,
            };
            let (portal, who) = (console.portal.clone(), visitor.clone());
            let work = console.portal.ledger.run(move |session| {
                Box::pin(async move {
                    let directory = portal.directory();
                    if directory.user_by_login(&user.tenant, &user.login).is_some() {
                        return Ok(Err("user_taken".to_owned()));
                    }
                    if people(&directory, &user.tenant).count() >= USERS_MAX {
                        return Ok(Err("user_too_many".to_owned()));
                    }
                    put(session, &portal, &who, None, user, "user_invited").await
                })
            });
            if let Err(key) = work.await.map_err(unavailable(&console, &visitor))? {
                let text = words::text(visitor.language, &key).to_owned();
                return Err(shell::told(&console, &visitor, StatusCode::CONFLICT, text));
            }
            // If we stop here, the user is there and has no password: a new link is asked for in the list.
            invited(&console, &visitor, &format!("{}/{login}", visitor.tenant()), &login).await
        }
        .await,
    )
}

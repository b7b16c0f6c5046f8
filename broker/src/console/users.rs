//! People: made, given roles, shut out and let in again, each with a link for a password that works once. The last administrator
//! stays one: the ledger refuses the rest.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Response;
use axum::routing::{get, post};

use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, see_other, shell, words};
use crate::core::people::ConsoleRole;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/users", get(list).post(add))
        .route("/console/users/{name}/role", post(set_role))
        .route("/console/users/{name}/shut-out", post(shut_out))
        .route("/console/users/{name}/let-in", post(let_in))
        .route("/console/users/{name}/link", post(link))
        .route("/console/users/{name}/end-factor", post(end_factor))
}

struct Choice {
    value: &'static str,
    label: String,
    chosen: bool,
}

struct Row {
    name: String,
    shut_out: bool,
    has_password: bool,
    has_factor: bool,
    since: String,
    roles: Vec<Choice>,
}

/// A new link: whose, its path and until when it is good.
struct Made {
    name: String,
    path: String,
    until: String,
}

#[derive(Template)]
#[template(path = "console/users.html")]
struct Users {
    shell: Shell,
    made: Option<Made>,
    users: Vec<Row>,
    roles: Vec<Choice>,
}

fn choices(visitor: &Visitor, chosen: Option<ConsoleRole>) -> Vec<Choice> {
    let choice = |role: ConsoleRole| Choice {
        value: role.as_str(),
        label: words::text(visitor.language, words::role(role)).to_owned(),
        chosen: chosen == Some(role),
    };
    ConsoleRole::ALL.into_iter().map(choice).collect()
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    either(shown(&console, &visitor, None).await)
}

async fn shown(console: &Console, visitor: &Visitor, made: Option<Made>) -> Page {
    let users = console.edge.ledger.users().await.map_err(|refusal| shell::told(console, visitor, &refusal))?;
    let users = users.into_iter().map(|user| Row {
        shut_out: user.shut_out,
        has_password: user.password.is_some(),
        has_factor: user.has_factor(),
        since: words::time(user.created_at),
        roles: choices(visitor, Some(user.role)),
        name: user.name,
    });
    let shell = Shell::new(visitor, "menu_users");
    Ok(page(&Users { shell, made, users: users.collect(), roles: choices(visitor, None) }))
}

async fn add(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step = async {
        let told = |refusal| shell::told(&console, &visitor, &refusal);
        let name = form.get("name").unwrap_or_default().trim().to_lowercase();
        let role: ConsoleRole = form.get("role").unwrap_or_default().parse().map_err(told)?;
        visitor.ledger(&console).add_user(&name, role, &visitor.by()).await.map_err(told)?;
        tracing::info!(user = name, role = role.as_str(), by = visitor.by(), "a user of the console was made");
        invited(&console, &visitor, name).await
    };
    either(step.await)
}

/// A new link, on the page that shows it once.
async fn invited(console: &Console, visitor: &Visitor, name: String) -> Page {
    let told = |refusal| shell::told(console, visitor, &refusal);
    let (token, until) = visitor.ledger(console).invite_user(&name, &visitor.by()).await.map_err(told)?;
    let made = Made { name, path: format!("/console/password/{token}"), until: words::time(until) };
    shown(console, visitor, Some(made)).await
}

async fn set_role(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(name): Path<String>,
) -> Response<Body> {
    let step = async {
        let told = |refusal| shell::told(&console, &visitor, &refusal);
        let role: ConsoleRole = form.get("role").unwrap_or_default().parse().map_err(told)?;
        visitor.ledger(&console).set_user_role(&name, role, &visitor.by()).await.map_err(told)?;
        tracing::info!(user = name, role = role.as_str(), by = visitor.by(), "a user of the console has another role");
        Ok(see_other("/console/users?done=done_saved"))
    };
    either(step.await)
}

async fn shut_out(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(name): Path<String>,
) -> Response<Body> {
    if form.get("confirm") != Some("yes") {
        return shell::unconfirmed(&console, &visitor);
    }
    out(&console, &visitor, &name, true).await
}

async fn let_in(State(console): Shared, Extension(visitor): Who, Path(name): Path<String>) -> Response<Body> {
    out(&console, &visitor, &name, false).await
}

async fn out(console: &Console, visitor: &Visitor, name: &str, out: bool) -> Response<Body> {
    match visitor.ledger(console).shut_user_out(name, out, &visitor.by()).await {
        Ok(()) => {
            tracing::info!(user = name, out, by = visitor.by(), "a user of the console was shut out or let in");
            see_other("/console/users?done=done_saved")
        }
        Err(refusal) => shell::told(console, visitor, &refusal),
    }
}

async fn link(State(console): Shared, Extension(visitor): Who, Path(name): Path<String>) -> Response<Body> {
    either(invited(&console, &visitor, name).await)
}

/// Somebody's telephone and recovery codes are gone: whoever does this has made sure that it is he who asks.
async fn end_factor(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(name): Path<String>,
) -> Response<Body> {
    if form.get("confirm") != Some("yes") {
        return shell::unconfirmed(&console, &visitor);
    }
    match visitor.ledger(&console).end_user_factor(&name, &visitor.by()).await {
        Ok(()) => {
            tracing::warn!(user = name, by = visitor.by(), "the second factor of a user was taken away");
            see_other("/console/users?done=done_saved")
        }
        Err(refusal) => shell::told(&console, &visitor, &refusal),
    }
}

//! Every call and page of the portal, and what each needs: for people who look at what others reach, and for the tests that
//! hold the tables against the routers.
//!
//! The console's and the compatible interfaces' own tables are [`crate::console::roles::ROUTES`] and
//! [`crate::api::INTERFACES`]; here is the rest. What is under `/admin/v1` and `/tenant/v1` needs its key before any route is
//! looked at.

use serde::Serialize;

use crate::config::Limits;
use crate::{api, console, hooks};

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: a page for whoever comes, at a rate of its own where it asks the store.
    Nothing,
    /// An unguessable word in the path or the body.
    Word,
    /// The broker's signature (Standard Webhooks).
    Broker,
    /// The operator's key.
    Operator,
    /// A user's key of a tenant, of a system or of a person who may set up.
    User,
}

use Needs::{Broker, Nothing, Operator, User, Word};

/// Calls and pages with methods, beside console and compatible interfaces. A path that ends with `…` has more behind it.
pub const CALLS: &[(&str, &str, Needs)] = &[
    ("GET", "/admin/v1/tenants", Operator),
    ("PUT", "/admin/v1/tenants/{id}", Operator),
    ("GET", "/admin/v1/callers", Operator),
    ("PUT", "/admin/v1/callers/{appid}", Operator),
    ("GET", "/admin/v1/waiting", Operator),
    ("GET", "/admin/v1/requests/{tenant}/{serial}", Operator),
    ("POST", "/admin/v1/requests/{tenant}/{serial}/release", Operator),
    ("POST", "/admin/v1/requests/{tenant}/{serial}/reissue", Operator),
    ("POST", "/admin/v1/requests/{tenant}/{serial}/replay", Operator),
    ("GET", "/admin/v1/requests/{tenant}/{serial}/messages", Operator),
    ("POST", "/admin/v1/requests/{tenant}/{serial}/messages", Operator),
    ("GET", "/admin/v1/requests/{tenant}/{serial}/links", Operator),
    ("POST", "/admin/v1/requests/{tenant}/{serial}/links", Operator),
    ("POST", "/admin/v1/requests/{tenant}/{serial}/links/revoke", Operator),
    ("GET", "/admin/v1/requests/{tenant}/{serial}/codes", Operator),
    ("POST", "/admin/v1/requests/{tenant}/{serial}/codes", Operator),
    ("POST", "/admin/v1/requests/{tenant}/{serial}/codes/revoke", Operator),
    ("POST", "/admin/v1/tenants/{id}/users", Operator),
    ("POST", "/admin/v1/tenants/{id}/users/{login}/password-link", Operator),
    ("POST", "/admin/v1/tenants/{id}/users/{login}/end-factor", Operator),
    ("POST", "/admin/v1/tenants/{id}/buyers/export", Operator),
    ("POST", "/admin/v1/tenants/{id}/buyers/erase", Operator),
    ("GET", "/admin/v1/applications", Operator),
    ("POST", "/admin/v1/applications/{id}/approve", Operator),
    ("POST", "/admin/v1/applications/{id}/refuse", Operator),
    ("GET", "/tenant/v1/applications", User),
    ("POST", "/tenant/v1/applications", User),
    ("PUT", "/tenant/v1/callers/{appid}/public-keys", User),
    ("GET", "/tenant/v1/systems", User),
    ("POST", "/tenant/v1/systems/{syscode}/keys", User),
    ("PUT", "/tenant/v1/systems/{syscode}/wishes", User),
    ("POST", hooks::PATH, Broker),
    ("GET", "/healthz", Nothing),
    ("GET", "/platform-key.pem", Nothing),
    ("GET", "/assets/…", Nothing),
    ("GET", "/q/…", Word),
    ("POST", "/q/…", Word),
    ("GET", "/i/…", Word),
    ("GET", "/r/…", Word),
    ("POST", "/r/…", Word),
    ("GET", "/qrcode-connector", Word),
    ("POST", "/qrcode-connector", Word),
    ("GET", "/find", Nothing),
    ("POST", "/find", Nothing),
    ("GET", "/kiosk", Nothing),
    ("POST", "/kiosk", Nothing),
    ("GET", "/wechat/signature", Nothing),
];

/// A line of what others see of this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// What it needs.
    pub needs: String,
    /// Body that is read at most, bytes, as it is set when nothing is said.
    pub body_bytes: usize,
}

/// Bodies of calls with a key: what axum reads where nothing else is said.
const KEYED_BODY_BYTES: usize = 2 * 1024 * 1024;
/// Forms of consumers.
const FORM_BYTES: usize = 16 * 1024;

/// Every call and page.
pub fn lines() -> Vec<Line> {
    let line = |method: &str, path: &str, needs: &str, body_bytes: usize| Line {
        method: method.to_owned(),
        path: path.to_owned(),
        needs: needs.to_owned(),
        body_bytes: if method == "GET" { 0 } else { body_bytes },
    };
    let mut lines = Vec::new();
    for prefix in api::PREFIXES {
        for interface in api::INTERFACES {
            let needs = if interface.changes { "an appid's signature, once" } else { "an appid's signature" };
            lines.push(line(
                "POST",
                &format!("/{prefix}/api/invoiceApply/{}", interface.name),
                needs,
                Limits::default().body_bytes,
            ));
        }
    }
    for (method, path, needs) in CALLS {
        let (needs, bytes) = match needs {
            Nothing => ("nothing", FORM_BYTES),
            Word => ("an unguessable word", FORM_BYTES),
            Broker => ("the broker's signature", hooks::MAX_BYTES),
            Operator => ("the operator's key", KEYED_BODY_BYTES),
            User => ("a user's key", KEYED_BODY_BYTES),
        };
        lines.push(line(method, path, needs, bytes));
    }
    for (method, path, action) in console::roles::ROUTES {
        let needs = match action {
            console::roles::Action::Enter => "nothing".to_owned(),
            action => format!("session: {}", format!("{action:?}").to_lowercase()),
        };
        lines.push(line(method.as_str(), path, &needs, console::body_limit(path)));
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{assets, pages};

    /// Routes of these sources: axum tells nobody what it serves.
    fn routed(sources: &[&str]) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for route in sources.iter().flat_map(|source| source.split(".route(").skip(1)) {
            let Some((path, handlers)) = route.split_once(", ") else { continue };
            let Some(path) = path.trim().strip_prefix('"').and_then(|path| path.strip_suffix('"')) else { continue };
            let handlers = handlers.lines().next().unwrap();
            for method in ["get", "post", "put", "delete"] {
                if handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(").{method}(")) {
                    found.insert((method.to_uppercase(), path.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn the_table_and_the_routers_of_keys_are_one() {
        let sources = [
            include_str!("admin.rs"),
            include_str!("post/admin.rs"),
            include_str!("application/admin.rs"),
            include_str!("buyers.rs"),
            include_str!("application/tenant.rs"),
        ];
        let mut routed = routed(&sources);
        // Those two are made of one router with a name for each.
        for name in ["links", "codes"] {
            let path = format!("/admin/v1/requests/{{tenant}}/{{serial}}/{name}");
            routed.extend(
                [("GET", path.clone()), ("POST", path.clone()), ("POST", format!("{path}/revoke"))]
                    .map(|(m, p)| (m.to_owned(), p)),
            );
        }
        let keyed = CALLS.iter().filter(|(_, _, needs)| matches!(needs, Operator | User));
        let table: BTreeSet<_> = keyed.map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(routed, table);
        for (_, path, needs) in CALLS {
            let by_path = match path {
                path if path.starts_with("/admin/") => Operator,
                path if path.starts_with("/tenant/") => User,
                _ => continue,
            };
            assert_eq!(*needs, by_path, "{path}");
        }
    }

    #[test]
    fn every_page_of_the_table_is_one_and_paths_are_not_there_twice() {
        let pages: Vec<&str> =
            CALLS.iter().filter(|(_, _, needs)| matches!(needs, Nothing | Word)).map(|(_, path, _)| *path).collect();
        let known = |path: &str| {
            pages::is_page(path) || path.starts_with(assets::PREFIX) || ["/healthz", "/platform-key.pem"].contains(&path)
        };
        for page in pages {
            assert!(known(page.trim_end_matches('…')) || known(&page.replace('…', "x")), "{page}");
        }
        let lines = lines();
        let names: BTreeSet<_> = lines.iter().map(|line| (&line.method, &line.path)).collect();
        assert_eq!(names.len(), lines.len());
        assert!(lines.iter().all(|line| !line.needs.is_empty()));
    }
}

//! Who may do what: one table of roles and actions, and one of routes and the action that each is.
//!
//! A route without a row in [`ROUTES`] is refused, so a page that forgot to say what it is can be reached by nobody.

use axum::http::Method;
use serde::{Deserialize, Serialize};

/// What a user of a tenant is. One user may be several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks, and changes nothing.
    Viewer,
    /// Issues, and sends what was issued.
    Clerk,
    /// Approves, re-issues, reds, voids; and what a clerk does.
    Manager,
    /// Users and settings. Issues nothing: who hands out rights is not who uses them, unless he has both roles.
    Admin,
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Comes to the door; no session is needed.
    Enter,
    /// Signs out, changes his own password and second factor.
    Own,
    /// Reads.
    See,
    /// Makes invoices, codes and reservations; keeps the files of goods and customers.
    Issue,
    /// Sends an invoice again, to a buyer or to a system.
    Send,
    /// Approves and returns, re-issues, reds, voids.
    Decide,
    /// Users, organisations, callbacks, keys.
    Settings,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Clerk, Role::Manager, Role::Admin];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Clerk => "clerk",
            Role::Manager => "manager",
            Role::Admin => "admin",
        }
    }

    /// The table.
    pub fn may(self, action: Action) -> bool {
        match action {
            Action::Enter | Action::Own | Action::See => true,
            Action::Issue | Action::Send => matches!(self, Role::Clerk | Role::Manager),
            Action::Decide => self == Role::Manager,
            Action::Settings => self == Role::Admin,
        }
    }
}

/// Routes and what they are. Paths as the router writes them.
pub const ROUTES: &[(Method, &str, Action)] = &[
    (Method::GET, "/console/sign-in", Action::Enter),
    (Method::POST, "/console/sign-in", Action::Enter),
    (Method::GET, "/console/password/{token}", Action::Enter),
    (Method::POST, "/console/password/{token}", Action::Enter),
    (Method::POST, "/console/sign-out", Action::Own),
    (Method::GET, "/console/account", Action::Own),
    (Method::POST, "/console/account", Action::Own),
    (Method::POST, "/console/account/factor", Action::Own),
    (Method::POST, "/console/account/factor/confirm", Action::Own),
    (Method::POST, "/console/account/factor/end", Action::Own),
    (Method::GET, "/console", Action::See),
    (Method::GET, "/console/invoices", Action::See),
    (Method::GET, "/console/invoices.csv", Action::See),
    (Method::GET, "/console/invoices.xlsx", Action::See),
    (Method::GET, "/console/approval", Action::See),
    (Method::GET, "/console/invoices/{serial}", Action::See),
    (Method::POST, "/console/invoices/{serial}/release", Action::Decide),
    (Method::POST, "/console/invoices/{serial}/return", Action::Decide),
    (Method::POST, "/console/invoices/{serial}/reissue", Action::Decide),
    (Method::POST, "/console/invoices/{serial}/red", Action::Decide),
    (Method::GET, "/console/invoices/{serial}/part-red", Action::Decide),
    (Method::POST, "/console/invoices/{serial}/part-red", Action::Decide),
    (Method::POST, "/console/invoices/{serial}/void", Action::Decide),
    (Method::POST, "/console/invoices/{serial}/send", Action::Send),
    (Method::POST, "/console/invoices/{serial}/replay", Action::Send),
    (Method::GET, "/console/issue", Action::Issue),
    (Method::GET, "/console/issue/{key}", Action::Issue),
    (Method::POST, "/console/issue/{key}", Action::Issue),
    (Method::GET, "/console/reservations", Action::See),
    (Method::GET, "/console/reservations/{reservation}", Action::See),
    (Method::POST, "/console/reservations/{reservation}", Action::Issue),
    (Method::POST, "/console/reservations/{reservation}/take", Action::Issue),
    (Method::POST, "/console/reservations/{reservation}/release", Action::Issue),
    (Method::GET, "/console/codes", Action::See),
    (Method::GET, "/console/codes/new", Action::Issue),
    (Method::GET, "/console/codes/new/{key}", Action::Issue),
    (Method::POST, "/console/codes/new/{key}", Action::Issue),
    (Method::GET, "/console/codes/{code}", Action::See),
    (Method::GET, "/console/codes/{code}/qr.svg", Action::See),
    (Method::GET, "/console/codes/{code}/receipt", Action::Issue),
    (Method::POST, "/console/codes/{code}/receipt", Action::Issue),
    (Method::POST, "/console/codes/{code}/cancel", Action::Issue),
    (Method::GET, "/console/goods", Action::See),
    (Method::POST, "/console/goods", Action::Issue),
    (Method::GET, "/console/goods.csv", Action::See),
    (Method::GET, "/console/goods.xlsx", Action::See),
    (Method::POST, "/console/goods/import", Action::Issue),
    (Method::POST, "/console/goods/remove", Action::Issue),
    (Method::GET, "/console/customers", Action::See),
    (Method::POST, "/console/customers", Action::Issue),
    (Method::GET, "/console/customers.csv", Action::See),
    (Method::GET, "/console/customers.xlsx", Action::See),
    (Method::POST, "/console/customers/import", Action::Issue),
    (Method::POST, "/console/customers/remove", Action::Issue),
    (Method::GET, "/console/organisations", Action::See),
    (Method::GET, "/console/organisations/{org}/codes", Action::See),
    (Method::GET, "/console/organisations/{org}/codes/new", Action::Settings),
    (Method::GET, "/console/organisations/{org}/codes/{token}", Action::See),
    (Method::POST, "/console/organisations/{org}/codes/{token}", Action::Settings),
    (Method::POST, "/console/organisations/{org}/codes/{token}/disable", Action::Settings),
    (Method::GET, "/console/organisations/{org}/codes/{token}/qr.svg", Action::See),
    (Method::GET, "/console/organisations/{org}/codes/{token}/qr.png", Action::See),
    (Method::GET, "/console/tasks", Action::See),
    (Method::GET, "/console/tasks/{id}", Action::See),
    (Method::POST, "/console/tasks/{id}/take", Action::Issue),
    (Method::POST, "/console/tasks/{id}/release", Action::Issue),
    (Method::POST, "/console/tasks/{id}/replace", Action::Issue),
    (Method::POST, "/console/tasks/{id}/end", Action::Issue),
    (Method::GET, "/console/deliveries", Action::See),
    (Method::GET, "/console/reports", Action::See),
    (Method::GET, "/console/reports.csv", Action::See),
    (Method::GET, "/console/reports.xlsx", Action::See),
    (Method::GET, "/console/settings/organisations", Action::Settings),
    (Method::GET, "/console/settings/callbacks", Action::Settings),
    (Method::POST, "/console/settings/callbacks", Action::Settings),
    (Method::POST, "/console/settings/callbacks/test", Action::Settings),
    (Method::GET, "/console/settings/wishes", Action::Settings),
    (Method::POST, "/console/settings/wishes/{syscode}", Action::Settings),
    (Method::GET, "/console/settings/keys", Action::Settings),
    (Method::POST, "/console/settings/systems/{syscode}/rotate", Action::Settings),
    (Method::POST, "/console/settings/callers/{appid}/add-key", Action::Settings),
    (Method::POST, "/console/settings/callers/{appid}/end-key", Action::Settings),
    (Method::GET, "/console/settings/users", Action::Settings),
    (Method::POST, "/console/settings/users", Action::Settings),
    (Method::POST, "/console/settings/users/{login}/roles", Action::Settings),
    (Method::POST, "/console/settings/users/{login}/disable", Action::Settings),
    (Method::POST, "/console/settings/users/{login}/enable", Action::Settings),
    (Method::POST, "/console/settings/users/{login}/link", Action::Settings),
    (Method::POST, "/console/settings/users/{login}/end-factor", Action::Settings),
    (Method::GET, "/console/settings/history", Action::Settings),
];

/// What a route is; none: it is not in the table.
pub fn action(method: &Method, path: &str) -> Option<Action> {
    // What a browser may ask before it reads is what it reads.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|(known, route, _)| known == method && *route == path).map(|(_, _, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_it_was_decided() {
        let may = |role: Role| {
            let all = [Action::See, Action::Issue, Action::Send, Action::Decide, Action::Settings];
            all.into_iter().filter(|action| role.may(*action)).collect::<Vec<_>>()
        };
        assert_eq!(may(Role::Viewer), [Action::See]);
        assert_eq!(may(Role::Clerk), [Action::See, Action::Issue, Action::Send]);
        assert_eq!(may(Role::Manager), [Action::See, Action::Issue, Action::Send, Action::Decide]);
        assert_eq!(may(Role::Admin), [Action::See, Action::Settings]);
    }
}

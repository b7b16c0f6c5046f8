//! Who may do what: one table of roles and actions, and one of routes and the action that each is.
//!
//! A route without a row in [`ROUTES`] is refused, so a page that forgot to say what it is can be reached by nobody.

use axum::http::Method;

use crate::core::people::ConsoleRole;

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Comes to the door; no session is needed.
    Enter,
    /// Signs out, changes his own password and second factor.
    Own,
    /// Reads.
    See,
    /// Keeps the work going: re-issues, withdraws, pauses, sends again.
    Operate,
    /// Reads and verifies the chains.
    Audit,
    /// Decides what became of an attempt.
    Settle,
    /// Sets up: people, keys, agents, endpoints. Asks disks for reports, clears and readings.
    Manage,
}

/// The table.
pub fn may(role: ConsoleRole, action: Action) -> bool {
    match action {
        Action::Enter | Action::Own | Action::See => true,
        Action::Operate => matches!(role, ConsoleRole::Operator | ConsoleRole::Administrator),
        Action::Audit => matches!(role, ConsoleRole::Auditor | ConsoleRole::Administrator),
        Action::Settle | Action::Manage => role == ConsoleRole::Administrator,
    }
}

/// Routes and what they are. Paths as the router writes them.
pub const ROUTES: &[(Method, &str, Action)] = &[
    (Method::GET, "/console/sign-in", Action::Enter),
    (Method::POST, "/console/sign-in", Action::Enter),
    (Method::GET, "/console/password/{token}", Action::Enter),
    (Method::POST, "/console/password/{token}", Action::Enter),
    (Method::GET, "/console/assets/{name}", Action::Enter),
    (Method::POST, "/console/sign-out", Action::Own),
    (Method::GET, "/console/account", Action::Own),
    (Method::POST, "/console/account", Action::Own),
    (Method::POST, "/console/account/factor", Action::Own),
    (Method::POST, "/console/account/factor/confirm", Action::Own),
    (Method::POST, "/console/account/factor/end", Action::Own),
    (Method::GET, "/console/{*rest}", Action::See),
    (Method::GET, "/console", Action::See),
    (Method::GET, "/console/now", Action::See),
    (Method::GET, "/console/live", Action::See),
    (Method::GET, "/console/jobs", Action::See),
    (Method::GET, "/console/jobs/{seller}/{serial}", Action::See),
    (Method::POST, "/console/jobs/{seller}/{serial}/reissue", Action::Operate),
    (Method::POST, "/console/jobs/{seller}/{serial}/cancel", Action::Operate),
    (Method::POST, "/console/jobs/{seller}/{serial}/settle", Action::Settle),
    (Method::GET, "/console/disks", Action::See),
    (Method::GET, "/console/disks/{number}", Action::See),
    (Method::GET, "/console/pauses", Action::See),
    (Method::POST, "/console/pauses/{of}/{id}", Action::Operate),
    (Method::GET, "/console/operations", Action::See),
    (Method::POST, "/console/operations", Action::Manage),
    (Method::GET, "/console/operations/{id}", Action::See),
    (Method::POST, "/console/operations/{id}/begin", Action::Manage),
    (Method::POST, "/console/operations/{id}/cancel", Action::Manage),
    (Method::GET, "/console/agents", Action::See),
    (Method::POST, "/console/agents/enroll", Action::Manage),
    (Method::POST, "/console/agents/updates", Action::Manage),
    (Method::POST, "/console/agents/{id}/revoke", Action::Manage),
    (Method::POST, "/console/agents/{id}/approve", Action::Manage),
    (Method::GET, "/console/bulk", Action::Operate),
    (Method::POST, "/console/bulk", Action::Operate),
    (Method::POST, "/console/bulk/begin", Action::Operate),
    (Method::GET, "/console/bulk/{key}", Action::See),
    (Method::GET, "/console/proposals", Action::See),
    (Method::POST, "/console/proposals/{id}/confirm", Action::Settle),
    (Method::POST, "/console/proposals/{id}/decline", Action::Settle),
    (Method::POST, "/console/proposals/{id}/withdraw", Action::Operate),
    (Method::GET, "/console/audit", Action::Audit),
    (Method::POST, "/console/audit/verify", Action::Audit),
    (Method::GET, "/console/keys", Action::Manage),
    (Method::POST, "/console/keys", Action::Manage),
    (Method::POST, "/console/keys/{id}/revoke", Action::Manage),
    (Method::GET, "/console/webhooks", Action::See),
    (Method::GET, "/console/webhooks/{id}", Action::See),
    (Method::POST, "/console/webhooks/{id}/enable", Action::Manage),
    (Method::POST, "/console/webhooks/{id}/disable", Action::Manage),
    (Method::POST, "/console/webhooks/{id}/replay", Action::Operate),
    (Method::GET, "/console/users", Action::Manage),
    (Method::POST, "/console/users", Action::Manage),
    (Method::POST, "/console/users/{name}/role", Action::Manage),
    (Method::POST, "/console/users/{name}/shut-out", Action::Manage),
    (Method::POST, "/console/users/{name}/let-in", Action::Manage),
    (Method::POST, "/console/users/{name}/link", Action::Manage),
    (Method::POST, "/console/users/{name}/end-factor", Action::Manage),
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
        let may = |role: ConsoleRole| {
            let all = [Action::See, Action::Operate, Action::Audit, Action::Settle, Action::Manage];
            all.into_iter().filter(|action| may(role, *action)).collect::<Vec<_>>()
        };
        assert_eq!(may(ConsoleRole::Viewer), [Action::See]);
        assert_eq!(may(ConsoleRole::Operator), [Action::See, Action::Operate]);
        assert_eq!(may(ConsoleRole::Auditor), [Action::See, Action::Audit]);
        let everything = [Action::See, Action::Operate, Action::Audit, Action::Settle, Action::Manage];
        assert_eq!(may(ConsoleRole::Administrator), everything);
    }
}

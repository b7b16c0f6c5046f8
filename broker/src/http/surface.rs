//! Every call of the HTTP API, and who may make it: one table, which the door itself asks.
//!
//! [`super::auth::Caller`] looks here what the call needs, so a call without a row is refused whoever makes it, and a row that
//! says too little is seen by the tests, which hold the table against the router, the OpenAPI document, and the answers that
//! callers without a credential get. The console has a table of its own ([`crate::console::roles::ROUTES`]).
//!
//! Read first: [`CALLS`], [`Needs`].

use axum::http::Method;
use serde::Serialize;
use taxdisk_protocol::api::KeyAction;
use taxdisk_protocol::link::{LINK_PATH, TUNNEL_PATH};

use super::batch::MAX_LINE_BYTES;
use super::body::MAX_BODY_BYTES;
use crate::console::roles;

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it tells nothing of anybody's business.
    Nothing,
    /// Nothing, or the token of the figures where one is set (`metrics.token_file`).
    Scrape,
    /// An enrolment code, in the body.
    Code,
    /// What an agent proves: the link asks for it itself, and a place among those without proof is all there is before.
    Proof,
    /// A word in the path that only linked agents are told.
    Word,
    /// An API key, for this action; what it says of sellers holds.
    Key(KeyAction),
    /// An API key, for one of these actions.
    Either([KeyAction; 2]),
    /// An API key without a limit to sellers.
    AllSellers(KeyAction),
    /// An API key of the role admin, without a limit to sellers.
    Admin(KeyAction),
}

impl Needs {
    /// As `taxdisk-broker surface` writes it.
    pub fn text(self) -> String {
        match self {
            Needs::Nothing => "nothing".to_owned(),
            Needs::Scrape => "nothing, or the token of metrics.token_file".to_owned(),
            Needs::Code => "an enrolment code".to_owned(),
            Needs::Proof => "an agent's proof".to_owned(),
            Needs::Word => "an agent's word".to_owned(),
            Needs::Key(action) => format!("key: {}", action.as_str()),
            Needs::Either([one, other]) => format!("key: {} or {}", one.as_str(), other.as_str()),
            Needs::AllSellers(action) => format!("key of all sellers: {}", action.as_str()),
            Needs::Admin(action) => format!("admin: {}", action.as_str()),
        }
    }

    /// The actions of a key, of which it needs one; whether it must be without a limit to sellers; whether its role must be
    /// admin.
    pub fn of_key(&self) -> Option<(&[KeyAction], bool, bool)> {
        match self {
            Needs::Key(action) => Some((std::slice::from_ref(action), false, false)),
            Needs::Either(actions) => Some((actions, false, false)),
            Needs::AllSellers(action) => Some((std::slice::from_ref(action), true, false)),
            Needs::Admin(action) => Some((std::slice::from_ref(action), true, true)),
            Needs::Nothing | Needs::Scrape | Needs::Code | Needs::Proof | Needs::Word => None,
        }
    }
}

/// What of a call's body is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// None is read.
    None,
    /// [`MAX_BODY_BYTES`].
    One,
    /// A stream of lines, each bounded by its call.
    Lines,
}

/// A call.
pub type Call = (Method, &'static str, Needs, Body);

use Body::{Lines, None as Without, One};
use KeyAction::{Audit, Cancel, Keys, Operate, Read, Reissue, Settle, Setup, Submit, Webhooks};
use Needs::{Admin, AllSellers, Code, Either, Key, Nothing, Proof, Scrape, Word};

/// The table. Paths as the router writes them.
pub const CALLS: &[Call] = &[
    (Method::POST, "/v1/jobs", Key(Submit), One),
    (Method::GET, "/v1/jobs", Key(Read), Without),
    (Method::POST, "/v1/jobs:batch", Key(Submit), Lines),
    (Method::POST, "/v1/jobs:reissue", Key(Reissue), One),
    (Method::GET, "/v1/jobs:reissue/{key}", Key(Read), Without),
    (Method::GET, "/v1/jobs/{seller}/{serial}", Key(Read), Without),
    (Method::POST, "/v1/jobs/{seller}/{serial}/reissue", Key(Reissue), One),
    (Method::POST, "/v1/jobs/{seller}/{serial}/cancel", Key(Cancel), One),
    (Method::POST, "/v1/jobs/{seller}/{serial}/settle", Admin(Settle), One),
    (Method::POST, "/v1/buyers:export", Admin(Audit), One),
    (Method::POST, "/v1/buyers:erase", Admin(Setup), One),
    (Method::GET, "/v1/proposals", AllSellers(Read), Without),
    (Method::POST, "/v1/proposals/{id}/confirm", Admin(Settle), Without),
    (Method::POST, "/v1/proposals/{id}/decline", Admin(Settle), One),
    (Method::POST, "/v1/proposals/{id}/withdraw", Either([Reissue, Settle]), One),
    (Method::GET, "/v1/sellers", Key(Read), Without),
    (Method::PUT, "/v1/sellers/{taxno}", Admin(Setup), One),
    (Method::GET, "/v1/sellers/{taxno}", Key(Read), Without),
    (Method::GET, "/v1/sellers/{taxno}/issue-points", Key(Read), Without),
    (Method::PUT, "/v1/sellers/{taxno}/issue-points/{id}", Admin(Setup), One),
    (Method::GET, "/v1/sellers/{taxno}/issue-points/{id}", Key(Read), Without),
    (Method::GET, "/v1/disks", Key(Read), Without),
    (Method::PUT, "/v1/disks/{number}/assignment", Admin(Setup), One),
    (Method::POST, "/v1/disks/{number}/pause", Admin(Operate), One),
    (Method::POST, "/v1/disks/{number}/drain", Admin(Operate), One),
    (Method::POST, "/v1/disks/{number}/resume", Admin(Operate), One),
    (Method::POST, "/v1/disks/{number}/operations", Admin(Operate), One),
    (Method::GET, "/v1/disks/{number}/operations", Key(Read), Without),
    (Method::GET, "/v1/operations", Key(Read), Without),
    (Method::POST, "/v1/operations:bulk", Admin(Operate), One),
    (Method::GET, "/v1/calendar", Key(Read), Without),
    (Method::GET, "/v1/operations/{id}", Key(Read), Without),
    (Method::POST, "/v1/operations/{id}/cancel", Admin(Operate), One),
    (Method::POST, "/v1/agents/{id}/pause", Admin(Operate), One),
    (Method::POST, "/v1/agents/{id}/drain", Admin(Operate), One),
    (Method::POST, "/v1/agents/{id}/resume", Admin(Operate), One),
    (Method::POST, "/v1/sellers/{taxno}/pause", Admin(Operate), One),
    (Method::POST, "/v1/sellers/{taxno}/drain", Admin(Operate), One),
    (Method::POST, "/v1/sellers/{taxno}/resume", Admin(Operate), One),
    (Method::GET, "/v1/warnings", Key(Read), Without),
    (Method::GET, "/v1/updates", AllSellers(Read), Without),
    (Method::PUT, "/v1/updates", Admin(Setup), One),
    (Method::DELETE, "/v1/updates", Admin(Setup), Without),
    (Method::GET, "/v1/updates/{word}/{file}", Word, Without),
    (Method::GET, "/v1/agents", AllSellers(Read), Without),
    (Method::POST, "/v1/agents/enroll", Code, One),
    (Method::POST, "/v1/agents/retire", Proof, One),
    (Method::POST, "/v1/agents/{id}/revoke", Admin(Setup), Without),
    (Method::POST, "/v1/agents/{id}/approve", Admin(Setup), One),
    (Method::POST, "/v1/agents/{id}/rename", Admin(Setup), One),
    (Method::POST, "/v1/enrollments", Admin(Setup), One),
    (Method::POST, "/v1/keys", Admin(Keys), One),
    (Method::GET, "/v1/keys", Admin(Keys), Without),
    (Method::DELETE, "/v1/keys/{id}", Admin(Keys), Without),
    (Method::GET, "/v1/events", Key(Read), Without),
    (Method::POST, "/v1/webhooks", Key(Webhooks), One),
    (Method::GET, "/v1/webhooks", Key(Webhooks), Without),
    (Method::GET, "/v1/webhooks/{id}", Key(Webhooks), Without),
    (Method::PUT, "/v1/webhooks/{id}", Key(Webhooks), One),
    (Method::DELETE, "/v1/webhooks/{id}", Key(Webhooks), Without),
    (Method::POST, "/v1/webhooks/{id}/rotate", Key(Webhooks), One),
    (Method::POST, "/v1/webhooks/{id}/test", Key(Webhooks), Without),
    (Method::POST, "/v1/webhooks/{id}/replay", Key(Webhooks), One),
    (Method::GET, "/v1/webhooks/{id}/deliveries", Key(Webhooks), Without),
    (Method::GET, "/v1/audit", Key(Read), Without),
    (Method::GET, "/v1/audit/verify", Admin(Audit), Without),
    (Method::POST, "/v1/audit/proof", Key(Read), One),
    (Method::GET, "/v1/reconcile", Admin(Read), Without),
    (Method::POST, "/v1/reconcile/numbers", Admin(Settle), One),
    (Method::POST, "/v1/reconcile/jobs/{seller}/{serial}", Admin(Settle), One),
    (Method::POST, "/v1/reconcile/disks/{number}/release-unread", Admin(Settle), One),
    (Method::GET, LINK_PATH, Proof, Without),
    (Method::POST, TUNNEL_PATH, Proof, Without),
    (Method::POST, "/v1/agents/tunnel/{id}", Proof, One),
    (Method::GET, "/v1/agents/tunnel/{id}", Proof, Without),
    (Method::DELETE, "/v1/agents/tunnel/{id}", Proof, Without),
    (Method::GET, "/healthz", Nothing, Without),
    (Method::GET, "/readyz", Nothing, Without),
    (Method::GET, "/metrics", Scrape, Without),
    (Method::GET, "/openapi.json", Nothing, Without),
];

/// What a call needs; none: it is not in the table.
pub fn needs(method: &Method, path: &str) -> Option<Needs> {
    // What somebody may ask before he reads is what he reads.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    CALLS.iter().find(|(known, route, ..)| known == method && *route == path).map(|(_, _, needs, _)| *needs)
}

/// Does a good answer to this request show that whoever sent it has a credential? For a door, which sees no more than that.
pub(crate) fn shows_who(method: &Method, path: &str) -> bool {
    let of_route = |route: &str| {
        let (mut route, mut path) = (route.split('/'), path.split('/'));
        loop {
            match (route.next(), path.next()) {
                (None, None) => return true,
                (Some(route), Some(path)) if route == path || route.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    let call = CALLS.iter().find(|(known, route, ..)| known == method && of_route(route));
    let page = || {
        let page = roles::ROUTES.iter().find(|(known, route, _)| known == method && of_route(route));
        page.is_some_and(|(_, _, action)| *action != roles::Action::Enter)
    };
    call.map_or_else(page, |(_, _, needs, _)| needs.of_key().is_some() || *needs == Needs::Proof)
}

/// A line of what others see of this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Method.
    pub method: String,
    /// Path, as the router writes it.
    pub path: String,
    /// What it needs.
    pub needs: String,
    /// Body that is read at most, bytes, of all or of each line.
    pub body_bytes: usize,
}

/// Every call and every page.
pub fn lines() -> Vec<Line> {
    let calls = CALLS.iter().map(|(method, path, needs, body)| Line {
        method: method.to_string(),
        path: (*path).to_owned(),
        needs: needs.text(),
        body_bytes: match body {
            Body::None => 0,
            Body::One => MAX_BODY_BYTES,
            Body::Lines => MAX_LINE_BYTES,
        },
    });
    let pages = roles::ROUTES.iter().map(|(method, path, action)| Line {
        method: method.to_string(),
        path: (*path).to_owned(),
        needs: match action {
            roles::Action::Enter => "nothing".to_owned(),
            action => format!("session: {}", format!("{action:?}").to_lowercase()),
        },
        body_bytes: if *method == Method::GET { 0 } else { crate::console::MAX_BODY_BYTES },
    });
    calls.chain(pages).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use taxdisk_protocol::update::UPDATES_PATH;

    use super::*;

    /// Paths and methods that the router is built of, out of its source: axum tells nobody what it serves.
    fn routed() -> BTreeSet<(String, String)> {
        let source = include_str!("mod.rs");
        let source = &source[source.find("pub fn router(").unwrap()..source.find("async fn no_such_path").unwrap()];
        let mut found = BTreeSet::new();
        for route in source.split(".route(").skip(1) {
            let path = route.trim_start_matches(['&', ' ']).trim_start_matches("format!(");
            let (path, handlers) = path.split_once(", ").unwrap();
            let path = path.trim_matches(['"', ')']).replace("{LINK_PATH}", LINK_PATH).replace("{TUNNEL_PATH}", TUNNEL_PATH);
            let path = path.replace("{UPDATES_PATH}", UPDATES_PATH).replace("{{", "{").replace("}}", "}");
            let path = match path.as_str() {
                "LINK_PATH" => LINK_PATH.to_owned(),
                "TUNNEL_PATH" => TUNNEL_PATH.to_owned(),
                other => other.to_owned(),
            };
            for method in ["get", "post", "put", "delete"] {
                let has = handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(").{method}("));
                if has {
                    found.insert((method.to_uppercase(), path.clone()));
                }
            }
            if handlers.starts_with("any(") {
                found.insert(("GET".to_owned(), path.clone()));
            }
        }
        found
    }

    #[test]
    fn the_table_and_the_router_are_one() {
        let table: BTreeSet<_> = CALLS.iter().map(|(method, path, ..)| (method.to_string(), (*path).to_owned())).collect();
        assert_eq!(table.len(), CALLS.len(), "a call is there twice");
        assert_eq!(routed(), table);
        assert!(table.len() > 60, "the router was not read");
    }

    #[test]
    fn the_table_and_the_openapi_document_say_the_same() {
        let document: serde_json::Value = serde_json::from_str(&super::super::openapi::document()).unwrap();
        let mut documented = BTreeSet::new();
        for (path, calls) in document["paths"].as_object().unwrap() {
            for (method, call) in calls.as_object().unwrap() {
                let needs = needs(&method.to_uppercase().parse().unwrap(), path).unwrap_or_else(|| panic!("{method} {path}"));
                let scopes = call["security"][0]["key"]
                    .as_array()
                    .map(|scopes| scopes.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect::<Vec<_>>());
                let expected = match needs {
                    Key(_) | Either(_) => Some(Vec::new()),
                    AllSellers(_) => Some(vec!["all_sellers".to_owned()]),
                    Admin(_) => Some(vec!["admin".to_owned()]),
                    _ => None,
                };
                assert_eq!(scopes, expected, "{method} {path}: {needs:?}");
                documented.insert((method.to_uppercase(), path.clone()));
            }
        }
        // What agents alone use is described by the link's own page.
        let undocumented: Vec<&str> = CALLS
            .iter()
            .filter(|(method, path, ..)| !documented.contains(&(method.to_string(), (*path).to_owned())))
            .map(|(_, path, ..)| *path)
            .collect();
        let agents = ["/v1/updates/{word}/{file}", LINK_PATH, TUNNEL_PATH, "/v1/agents/tunnel/{id}", "/v1/agents/retire"];
        assert!(undocumented.iter().all(|path| agents.contains(path) || *path == "/openapi.json"), "{undocumented:?}");
    }

    #[test]
    fn a_door_knows_which_answers_show_a_credential() {
        let shows = |method: Method, path: &str| shows_who(&method, path);
        assert!(shows(Method::GET, "/v1/jobs/911101080000000007/A1") && shows(Method::POST, "/v1/jobs"));
        assert!(shows(Method::GET, LINK_PATH) && shows(Method::GET, "/console/jobs"));
        assert!(!shows(Method::GET, "/healthz") && !shows(Method::GET, "/console/sign-in") && !shows(Method::GET, "/nowhere"));
        assert!(!shows(Method::POST, "/v1/agents/enroll") && !shows(Method::GET, "/console/assets/style.css"));
    }
}

//! Every route and every role.

use taxdisk_broker::console::roles::{Action, ROUTES, may};
use taxdisk_broker::core::people::ConsoleRole;

use super::Browser;
use crate::support::{Broker, SELLER};

const FORBIDDEN: &str = "Your role may not do this";
const FORGED: &str = "This did not come from a page of ours";

/// A path of a route: of things that are not there, so that nothing is changed on the way.
fn path(route: &str) -> String {
    let filled = [
        ("{name}", "nobody"),
        ("{token}", "x"),
        ("{*rest}", "nowhere"),
        ("{seller}", SELLER),
        ("{serial}", "NOT-THERE"),
        ("{number}", "660000000000"),
        ("{of}", "disk"),
        ("{id}", "x"),
        ("{key}", "x"),
        ("{taxno}", SELLER),
    ];
    filled.iter().fold(route.to_owned(), |path, (hole, text)| path.replace(hole, text))
}

#[tokio::test]
async fn every_route_is_for_the_roles_of_the_table_and_for_nobody_else() {
    let broker = Broker::start().await;
    for role in ConsoleRole::ALL {
        let mut browser = Browser::of(&broker, role.as_str(), role).await;
        for (method, route, action) in ROUTES {
            // Signing out and the live stream have tests of their own: the one ends the session, the other does not end.
            if matches!(*route, "/console/sign-out" | "/console/live") {
                continue;
            }
            let path = path(route);
            let answer = match method.as_str() {
                "GET" => browser.get(&path).await,
                _ => browser.post(&path, &[]).await,
            };
            let text = answer.text();
            let refused = answer.status == 403 && text.contains(FORBIDDEN);
            assert_eq!(refused, !may(role, *action), "{method} {route} as {role:?}: {} {text}", answer.status);
            assert!(answer.status < 500, "{method} {route} as {role:?}: {text}");
        }
    }
}

#[tokio::test]
async fn without_a_session_there_is_the_door_alone() {
    let broker = Broker::start().await;
    let mut browser = Browser::new(&broker);
    for (method, route, action) in ROUTES.iter().filter(|(_, _, action)| *action != Action::Enter) {
        let answer = match method.as_str() {
            "GET" => browser.get(&path(route)).await,
            _ => browser.post(&path(route), &[]).await,
        };
        let (status, to) = match (method.as_str(), *route) {
            // A part of a page: the whole of it goes to the door.
            ("GET", "/console/now" | "/console/live") => (204, "hx-redirect: /console/sign-in"),
            ("GET", _) => (303, "location: /console/sign-in"),
            _ => (403, ""),
        };
        assert_eq!(answer.status, status, "{method} {route} {action:?}");
        assert!(answer.head.contains(to), "{route}: {}", answer.head);
    }
}

#[tokio::test]
async fn what_is_in_no_table_is_reached_by_nobody() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let answer = browser.post("/console/nowhere", &[]).await;
    assert_eq!((answer.status, answer.text().contains(FORBIDDEN)), (403, true));
    assert_eq!(browser.get("/console/nowhere").await.status, 404);
}

#[tokio::test]
async fn a_form_of_another_site_or_session_changes_nothing() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let other = Browser::of(&broker, "bert", ConsoleRole::Administrator).await;
    let own = browser.csrf.clone();
    let fields = |csrf: &str| vec![("csrf".to_owned(), csrf.to_owned())];
    let cases = [
        (fields(&own), "sec-fetch-site: cross-site\r\norigin: http://evil.example\r\n"),
        (fields(&own), "origin: http://evil.example\r\n"),
        (fields(&own), ""),
        (fields(&other.csrf), "sec-fetch-site: same-origin\r\norigin: http://broker\r\n"),
        (Vec::new(), "sec-fetch-site: same-origin\r\norigin: http://broker\r\n"),
    ];
    for (token, head) in cases {
        let mut all: Vec<(&str, &str)> = token.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.extend([("name", "mallory"), ("role", "administrator")]);
        let answer = browser.send("/console/users", &all, head).await;
        assert_eq!((answer.status, answer.text().contains(FORGED)), (403, true), "{head:?} {token:?}");
    }
    let names: Vec<String> = broker.ledger.users().await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["anna", "bert"]);
    browser.csrf = own;
    assert_eq!(browser.post("/console/users", &[("name", "carla"), ("role", "viewer")]).await.status, 200);
    assert_eq!(broker.ledger.users().await.unwrap().len(), 3);
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_are_kept_by_nobody() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let answer = browser.get("/console/users").await;
    assert!(answer.head.contains("content-security-policy: default-src 'none'"), "{}", answer.head);
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    let text = answer.text();
    for outside in ["http://", "https://", "src=\"//", "style=\"", "onclick"] {
        assert!(!text.contains(outside), "{outside} in {text}");
    }
    let style = super::after(&text, "rel=\"stylesheet\" href=\"", "\"").unwrap();
    let style = browser.get(style).await;
    assert_eq!(style.status, 200);
    assert!(style.head.contains("immutable") && style.text().contains("--brand"), "{}", style.head);
}

#[tokio::test]
async fn a_form_that_is_too_large_or_no_form_is_not_read() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let filler = "x".repeat(64 * 1024);
    let answer = browser.post("/console/users", &[("name", "carla"), ("role", "viewer"), ("filler", &filler)]).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert_eq!(broker.ledger.users().await.unwrap().len(), 1);
}

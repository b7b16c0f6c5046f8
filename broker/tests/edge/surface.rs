//! The table of calls against the real router: without a credential, and with one that is not enough, no call is made.

use axum::http::Method;
use serde_json::json;
use taxdisk_broker::http::surface::{CALLS, Needs};
use taxdisk_protocol::api::{KeyAction, Role};

use crate::support::{Answer, Broker, SELLER};

/// A path of things that are not there, so that nothing is changed on the way.
fn path(route: &str) -> String {
    let filled = [
        ("{seller}", SELLER),
        ("{taxno}", SELLER),
        ("{serial}", "NOT-THERE"),
        ("{number}", "660000000000"),
        ("{word}", "guessed"),
        ("{file}", "taxdisk-agent"),
        ("{key}", "x"),
    ];
    let id = if route.starts_with("/v1/agents/{id}") { "ag_0123456789abcdef" } else { "x" };
    let path = filled.iter().fold(route.to_owned(), |path, (hole, text)| path.replace(hole, text)).replace("{id}", id);
    if route.starts_with("/v1/agents/tunnel/") && !route.ends_with("tunnel") { format!("{path}?at=0") } else { path }
}

async fn call(broker: &Broker, (method, route): (&Method, &str), head: &str) -> Answer {
    broker.raw(method.as_str(), &path(route), &format!("{head}content-length: 0\r\n"), b"").await
}

#[tokio::test]
async fn no_call_is_made_without_what_the_table_says() {
    let broker = Broker::start_with(|config| config.limits.failures_per_minute = 10_000).await;
    let secretless = broker.admin.rsplit_once('_').unwrap().0.to_owned();
    let wrong = format!("authorization: Bearer {secretless}_{}\r\n", "0".repeat(64));
    for (method, route, needs, _) in CALLS {
        let answers = [call(&broker, (method, route), "").await, call(&broker, (method, route), &wrong).await];
        for answer in answers {
            match needs {
                Needs::Key(_) | Needs::Either(_) | Needs::AllSellers(_) | Needs::Admin(_) => {
                    answer.problem(401, "unauthorized");
                    assert!(answer.head.contains("www-authenticate: bearer"), "{method} {route}");
                }
                // It asks for the code in a body, and this is none.
                Needs::Code => assert_eq!(answer.status, 415, "{method} {route}"),
                Needs::Word => answer.problem(404, "not_found").as_object().map(drop).unwrap(),
                // Nothing but a place to prove oneself, or nothing at all where there is no such tunnel.
                Needs::Proof => assert!(matches!(answer.status, 201 | 204 | 404 | 415 | 426), "{method} {route}: {answer:?}"),
                Needs::Nothing | Needs::Scrape => assert!(answer.status < 400, "{method} {route}: {answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn roles_sellers_and_actions_of_a_key_open_what_the_table_says_and_no_more() {
    let broker = Broker::start_with(|config| config.limits.request_s = 60).await;
    let platform = broker.key(Role::Platform, &[], None).await;
    let one_seller = broker.key(Role::Admin, &[SELLER], None).await;
    let mut limited = Vec::new();
    for action in KeyAction::ALL {
        let body = json!({ "name": action.as_str(), "role": "admin", "actions": [action] });
        let made = broker.call_as(&broker.admin, "POST", "/v1/keys", Some(&body)).await;
        limited.push((action, made.json()["key"].as_str().unwrap().to_owned()));
    }
    let forbidden = |answer: &Answer| answer.status == 403 && answer.json()["code"] == "forbidden";
    for (method, route, needs, _) in CALLS {
        let (actions, all_sellers, admin) = match needs {
            Needs::Key(action) => (vec![action], false, false),
            Needs::Either([one, other]) => (vec![one, other], false, false),
            Needs::AllSellers(action) => (vec![action], true, false),
            Needs::Admin(action) => (vec![action], true, true),
            _ => continue,
        };
        // The stream of events does not end.
        if *route == "/v1/events" {
            continue;
        }
        let with = |key: &str| format!("authorization: Bearer {key}\r\n");
        let answer = call(&broker, (method, route), &with(&platform)).await;
        assert_eq!(forbidden(&answer), admin, "{method} {route} as platform: {answer:?}");
        let answer = call(&broker, (method, route), &with(&one_seller)).await;
        assert!(forbidden(&answer) || !all_sellers, "{method} {route} for one seller: {answer:?}");
        for (of, key) in &limited {
            let answer = call(&broker, (method, route), &with(key)).await;
            assert_eq!(forbidden(&answer), !actions.contains(&of), "{method} {route} for {of:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_key_says_when_it_was_used_and_calls_at_its_rate() {
    let broker = Broker::start_with(|config| config.limits.calls_per_key_s = 1).await;
    let body = json!({ "name": "till", "role": "platform", "actions": ["submit", "read", "submit"] });
    let made = broker.call_as(&broker.admin, "POST", "/v1/keys", Some(&body)).await.json();
    let (id, key) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
    let view = || broker.ledger.keys().into_iter().find(|view| view.caller.id == id).unwrap();
    assert_eq!((view().used_at, view().caller.actions), (None, vec![KeyAction::Submit, KeyAction::Read]));
    let mut good = 0;
    let refused = loop {
        let answer = broker.call_as(&key, "GET", "/v1/jobs", None).await;
        match answer.status {
            200 => good += 1,
            _ => break answer,
        }
        assert!(good < 1000, "there is no rate");
    };
    assert!(good >= 10, "ten seconds' calls can be made at once, {good} were");
    let problem = refused.problem(429, "rate_limited");
    let wait = problem["retry_after_s"].as_u64().unwrap();
    assert!((1..=2).contains(&wait), "{problem}");
    assert!(refused.head.contains(&format!("retry-after: {wait}")), "{}", refused.head);
    assert_eq!(broker.call("GET", "/v1/jobs", None).await.status, 200, "another key has a rate of its own");
    crate::support::until("the use is noted", || async { view().used_at.is_some() }).await;
}

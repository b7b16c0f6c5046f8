//! Who gets in, and who does not any more.

use taxdisk_broker::core::people::ConsoleRole;
use taxdisk_web::signin::session::{ABSOLUTE_MS, IDLE_MS};

use super::{Browser, Hands, PASSWORD};
use crate::support::Broker;

async fn is_in(browser: &mut Browser<'_>) -> bool {
    browser.get("/console/account").await.status == 200
}

#[tokio::test]
async fn the_first_administrator_sets_a_password_by_a_link_that_works_once() {
    let hands = Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    broker.ledger.add_user("anna", ConsoleRole::Administrator, "command line").await.unwrap();
    let (old, _) = broker.ledger.invite_user("anna", "command line").await.unwrap();
    let (token, _) = broker.ledger.invite_user("anna", "command line").await.unwrap();
    let mut browser = Browser::new(&broker);
    assert_eq!(browser.get(&format!("/console/password/{old}")).await.status, 404, "a newer link ends the older");
    let path = format!("/console/password/{token}");
    let set = |new: &'static str, again: &'static str| [("new", new), ("again", again)];
    assert_eq!(browser.post(&path, &set("short", "short")).await.status, 422);
    assert_eq!(browser.post(&path, &set(PASSWORD, "another password")).await.status, 422);
    assert_eq!(browser.post(&path, &set(PASSWORD, PASSWORD)).await.status, 303);
    assert_eq!(browser.get(&path).await.status, 404, "it works once");
    assert_eq!(browser.post(&path, &set("another password", "another password")).await.status, 404);
    assert_eq!(browser.sign_in("anna", "another password").await.status, 403);
    let answer = browser.sign_in(" Anna", PASSWORD).await;
    assert_eq!(answer.status, 303);
    assert!(answer.head.contains("httponly; samesite=lax"), "{}", answer.head);
    assert!(is_in(&mut browser).await);
    let (late, _) = broker.ledger.invite_user("anna", "command line").await.unwrap();
    hands.on(72 * 3600 * 1000);
    assert_eq!(browser.get(&format!("/console/password/{late}")).await.status, 404, "after 72 hours");
}

#[tokio::test]
async fn what_is_done_stands_in_the_chain_under_the_persons_name() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let answer = browser.post("/console/users", &[("name", "Bert"), ("role", "auditor")]).await;
    assert!(answer.text().contains("/console/password/"), "{}", answer.text());
    assert_eq!(browser.post("/console/users/bert/role", &[("role", "operator")]).await.status, 303);
    assert_eq!(browser.post("/console/users/bert/shut-out", &[]).await.status, 422, "not confirmed");
    assert_eq!(browser.post("/console/users/bert/shut-out", &[("confirm", "yes")]).await.status, 303);
    assert_eq!(browser.post("/console/users/bert/let-in", &[]).await.status, 303);
    let bert = broker.ledger.user("bert").await.unwrap().unwrap();
    assert_eq!((bert.role, bert.shut_out), (ConsoleRole::Operator, false));
    let entries = broker.ledger.audit_entries("", 0, 1000).await.unwrap();
    for what in ["user_added", "user_link", "user_role", "user_shut_out", "user_let_in"] {
        let entry = entries.iter().rev().find(|entry| entry.what == what && entry.body.contains("bert")).unwrap();
        assert!(entry.body.contains("\"by\":\"console:anna\"") && entry.body.contains("127.0.0.1"), "{}", entry.body);
    }
    assert!(entries.iter().any(|entry| entry.what == "signed_in" && entry.body.contains("console:anna")));
    let secret = broker.ledger.user("anna").await.unwrap().unwrap().password.unwrap();
    assert!(entries.iter().all(|entry| !entry.body.contains(&secret) && !entry.body.contains(PASSWORD)));
}

#[tokio::test]
async fn a_session_ends_by_rest_by_age_and_at_the_door() {
    let hands = Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Viewer).await;
    hands.on(IDLE_MS - 1);
    assert!(is_in(&mut browser).await);
    hands.on(IDLE_MS);
    assert!(!is_in(&mut browser).await, "it rested");
    browser.sign_in("anna", PASSWORD).await;
    let mut gone = 0;
    while gone < ABSOLUTE_MS - IDLE_MS / 2 {
        assert!(is_in(&mut browser).await, "{gone}");
        hands.on(IDLE_MS / 2);
        gone += IDLE_MS / 2;
    }
    hands.on(IDLE_MS / 2);
    assert!(!is_in(&mut browser).await, "twelve hours");
    browser.sign_in("anna", PASSWORD).await;
    let kept = browser.cookie.clone();
    assert_eq!(browser.post("/console/sign-out", &[]).await.status, 303);
    browser.cookie = kept;
    assert!(!is_in(&mut browser).await, "the session ended, not the cookie alone");
}

#[tokio::test]
async fn who_is_shut_out_or_has_a_new_password_is_out_everywhere_at_once() {
    let broker = Broker::start().await;
    let mut admin = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let mut bert = Browser::of(&broker, "bert", ConsoleRole::Operator).await;
    let mut second = Browser::new(&broker);
    second.sign_in("bert", PASSWORD).await;
    assert!(is_in(&mut second).await);
    let fields = [("old", PASSWORD), ("new", "another good password"), ("again", "another good password")];
    assert_eq!(bert.post("/console/account", &fields).await.status, 200);
    assert!(is_in(&mut bert).await, "this one goes on");
    assert!(!is_in(&mut second).await);
    assert_eq!(admin.post("/console/users/bert/shut-out", &[("confirm", "yes")]).await.status, 303);
    assert!(!is_in(&mut bert).await);
    assert_eq!(bert.sign_in("bert", "another good password").await.status, 403);
    assert_eq!(admin.post("/console/users/anna/role", &[("role", "viewer")]).await.status, 409, "the last administrator");
    assert_eq!(admin.post("/console/users/anna/shut-out", &[("confirm", "yes")]).await.status, 409);
}

#[tokio::test]
async fn guessing_is_made_to_wait_and_unknown_names_are_not_told_apart() {
    let hands = Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let mut thief = Browser::new(&broker);
    let mut said = Vec::new();
    for name in ["anna", "nobody", "no name\0at all"] {
        let answer = thief.sign_in(name, "wrong password").await;
        let text = answer.text();
        said.push((answer.status, super::after(&text, "role=\"status\">", "<").map(str::to_owned)));
    }
    assert!(said.iter().all(|one| *one == said[0]) && said[0].0 == 403, "{said:?}");
    for _ in 0..4 {
        assert_eq!(thief.sign_in("anna", "wrong password").await.status, 403);
    }
    assert_eq!(thief.sign_in("anna", PASSWORD).await.status, 429, "five were free");
    hands.on(1000);
    assert_eq!(thief.sign_in("anna", PASSWORD).await.status, 303, "it opens again by itself");
    assert!(broker.ledger.is_ready());
}

#[tokio::test]
async fn a_console_that_is_not_wanted_is_not_there() {
    let broker = Broker::start_with(|config| config.console.enabled = false).await;
    broker.raw("GET", "/console/sign-in", "", b"").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_new_session_ends_the_one_that_the_browser_had() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let mut before = browser.again();
    assert_eq!(browser.sign_in("anna", PASSWORD).await.status, 303);
    assert!(is_in(&mut browser).await && !is_in(&mut before).await);
    assert_eq!(browser.get("/console/sign-in").await.status, 303, "who is in does not stand at the door");
    let wrong = [("old", "not the password"), ("new", "another good password"), ("again", "another good password")];
    assert_eq!(browser.post("/console/account", &wrong).await.status, 403, "a password is changed by who knows it");
    let unequal = [("old", PASSWORD), ("new", "another good password"), ("again", "another god password")];
    assert_eq!(browser.post("/console/account", &unequal).await.status, 422);
    let weak = [("old", PASSWORD), ("new", "short"), ("again", "short")];
    assert_eq!(browser.post("/console/account", &weak).await.status, 422);
    assert!(is_in(&mut browser).await, "nothing was changed");
}

#[tokio::test]
async fn guessing_links_or_the_old_password_is_made_to_wait_too() {
    let hands = Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let wrong = [("old", "not the password"), ("new", "another good password"), ("again", "another good password")];
    for _ in 0..5 {
        assert_eq!(browser.post("/console/account", &wrong).await.status, 403);
    }
    let right = [("old", PASSWORD), ("new", "another good password"), ("again", "another good password")];
    assert_eq!(browser.post("/console/account", &right).await.status, 429, "who sits at an open page guesses no faster");
    let mut thief = Browser::new(&broker);
    let (link, _) = broker.ledger.invite_user("anna", "test").await.unwrap();
    let new = [("new", PASSWORD), ("again", PASSWORD)];
    let mut statuses = Vec::new();
    for n in 0..40 {
        statuses.push(thief.post(&format!("/console/password/guess{n}"), &new).await.status);
    }
    assert!(statuses.contains(&404) && statuses.last() == Some(&429), "{statuses:?}");
    assert_eq!(thief.post(&format!("/console/password/{link}"), &new).await.status, 429);
}

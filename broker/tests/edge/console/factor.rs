//! Second factors: who has one comes in with a code of it only, and each code lets one in.

use taxdisk_broker::core::people::ConsoleRole;
use taxdisk_web::signin::factor::code_of;

use super::{Browser, Hands, PASSWORD, after};
use crate::support::{Answer, Broker};

const START: i64 = 1_770_000_000_000;
const STEP_MS: i64 = 30_000;

async fn sign_in(browser: &mut Browser<'_>, name: &str, code: &str) -> Answer {
    let answer = browser.post("/console/sign-in", &[("name", name), ("password", PASSWORD), ("code", code)]).await;
    if answer.status == 303 {
        browser.get("/console/account").await;
    }
    answer
}

/// Sets one up; gives the secret and the recovery codes. The code of `START` is used.
async fn set_up(browser: &mut Browser<'_>) -> (String, Vec<String>) {
    assert_eq!(browser.post("/console/account/factor", &[("password", "not the password")]).await.status, 403);
    let text = browser.post("/console/account/factor", &[("password", PASSWORD)]).await.text();
    let secret = after(&text, "<code>", "</code>").unwrap().to_owned();
    assert!(text.contains("<svg") && text.contains(&format!("otpauth://totp/taxdisk%20broker:anna?secret={secret}")), "{text}");
    let wrong =
        browser.post("/console/account/factor/confirm", &[("code", &code_of(&secret, START + 9 * STEP_MS).unwrap())]).await;
    assert!(wrong.status == 403 && wrong.text().contains(&secret), "scanned badly, one scans again");
    let done = browser.post("/console/account/factor/confirm", &[("code", &code_of(&secret, START).unwrap())]).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let codes: Vec<String> =
        done.text().split("<code>").skip(1).filter_map(|part| part.split_once('<')).map(|(code, _)| code.to_owned()).collect();
    assert_eq!(codes.len(), 10);
    (secret, codes)
}

#[tokio::test]
async fn who_has_a_second_factor_comes_in_with_a_code_of_it_once() {
    let hands = Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let mut other = Browser::new(&broker);
    other.sign_in("anna", PASSWORD).await;
    let (secret, codes) = set_up(&mut browser).await;
    assert_eq!(browser.get("/console/jobs").await.status, 200, "this session goes on");
    assert_eq!(other.get("/console/jobs").await.status, 303, "what the password alone had opened is closed");
    let now = |steps: i64| code_of(&secret, START + steps * STEP_MS).unwrap();
    let mut thief = Browser::new(&broker);
    let without = sign_in(&mut thief, "anna", "").await;
    assert_eq!(without.status, 403);
    let bad_password = thief.sign_in("anna", "not the password").await;
    let said = |answer: &Answer| after(&answer.text(), "role=\"status\">", "<").map(str::to_owned);
    assert_eq!(said(&without), said(&bad_password), "no answer says that the password was right");
    assert_eq!(sign_in(&mut thief, "anna", &now(0)).await.status, 403, "it was used to confirm");
    hands.on(2 * STEP_MS);
    assert_eq!(sign_in(&mut browser, "anna", &now(2)).await.status, 303);
    assert_eq!(sign_in(&mut thief, "anna", &now(2)).await.status, 403, "somebody looked over the shoulder");
    assert_eq!(sign_in(&mut browser, "anna", &codes[0]).await.status, 303);
    assert_eq!(sign_in(&mut thief, "anna", &codes[0]).await.status, 403);
    let entries = broker.ledger.audit_entries("", 0, 1000).await.unwrap();
    for what in ["factor_set", "recovery_code_used"] {
        assert!(entries.iter().any(|entry| entry.what == what && entry.body.contains("console:anna")), "{what}");
    }
    assert!(entries.iter().all(|entry| !entry.body.contains(&secret) && codes.iter().all(|code| !entry.body.contains(code))));
    assert_eq!(browser.post("/console/account/factor", &[("password", PASSWORD)]).await.status, 409, "it ends first");
    let end = [("password", PASSWORD), ("code", "000")];
    assert_eq!(browser.post("/console/account/factor/end", &end).await.status, 403, "with a code only");
    let end = [("password", PASSWORD), ("code", codes[1].as_str())];
    assert_eq!(browser.post("/console/account/factor/end", &end).await.status, 303);
    assert_eq!(sign_in(&mut other, "anna", "").await.status, 303);
}

#[tokio::test]
async fn guessing_codes_is_made_to_wait_like_guessing_passwords() {
    let hands = Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let (secret, _) = set_up(&mut browser).await;
    hands.on(2 * STEP_MS);
    let mut thief = Browser::new(&broker);
    for _ in 0..5 {
        assert_eq!(sign_in(&mut thief, "anna", "12345x").await.status, 403);
    }
    let right = code_of(&secret, START + 2 * STEP_MS).unwrap();
    assert_eq!(sign_in(&mut thief, "anna", &right).await.status, 429, "five were free");
}

#[tokio::test]
async fn a_role_that_needs_a_second_factor_reaches_nothing_before_it_is_set_up() {
    let hands = Hands::new();
    let needed = vec![ConsoleRole::Administrator];
    let broker = Broker::start_at(hands.clock(), |config| config.console.require_second_factor = needed).await;
    let mut viewer = Browser::of(&broker, "bert", ConsoleRole::Viewer).await;
    assert_eq!(viewer.get("/console/jobs").await.status, 200, "his role does not");
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    for page in ["/console", "/console/jobs", "/console/users", "/console/audit"] {
        assert_eq!(super::location(&browser.get(page).await), "/console/account", "{page}");
    }
    assert_eq!(browser.post("/console/users", &[("name", "eve"), ("role", "administrator")]).await.status, 403);
    assert!(broker.ledger.user("eve").await.unwrap().is_none());
    assert!(browser.get("/console/account").await.text().contains("Your role needs a second factor"));
    set_up(&mut browser).await;
    assert_eq!(browser.get("/console/users").await.status, 200);
    // An administrator takes it away from another one, who lost his telephone, and it stands in the chain.
    let mut carla = Browser::of(&broker, "carla", ConsoleRole::Administrator).await;
    assert_eq!(browser.post("/console/users/anna/end-factor", &[]).await.status, 422, "not confirmed");
    assert_eq!(carla.post("/console/users/anna/end-factor", &[("confirm", "yes")]).await.status, 403, "she has none herself");
    broker.ledger.end_user_factor("anna", "console:dora").await.unwrap();
    assert_eq!(super::location(&browser.get("/console/account").await), "/console/sign-in", "her sessions ended");
    let entries = broker.ledger.audit_entries("", 0, 1000).await.unwrap();
    let ended = entries.iter().find(|entry| entry.what == "factor_ended").unwrap();
    assert!(ended.body.contains("console:dora") && ended.body.contains("anna"), "{}", ended.body);
}

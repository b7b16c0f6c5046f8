//! Second factors of a tenant's people.

use taxdisk_portal::console::roles::Role;
use taxdisk_web::outbound::Settings;
use taxdisk_web::signin::factor::code_of;

use crate::browser::{Browser, PASSWORD, Page, Place};
use crate::platform::{NOW_S, Platform};

const STEP_S: i64 = 30;

fn code(secret: &str, steps: i64) -> String {
    code_of(secret, (NOW_S + steps * STEP_S) * 1000).unwrap()
}

/// What stands in the `<code>` elements of a page.
fn codes_of(page: &Page) -> Vec<String> {
    page.body.split("<code>").skip(1).filter_map(|part| part.split_once('<')).map(|(code, _)| code.to_owned()).collect()
}

async fn sign_in(browser: &mut Browser<'_>, login: &str, code: &str) -> Page {
    let fields = [("tenant", "shop"), ("login", login), ("password", PASSWORD), ("code", code)];
    let page = browser.post("/console/sign-in", &fields).await;
    if page.status == 303 {
        browser.get("/console/account").await;
    }
    page
}

/// Sets one up at the beginning of the test; gives the secret and the recovery codes.
async fn set_up(browser: &mut Browser<'_>) -> (String, Vec<String>) {
    browser.get("/console/account").await;
    assert_eq!(browser.post("/console/account/factor", &[("password", "not the password")]).await.status, 403);
    let secret = codes_of(&browser.post("/console/account/factor", &[("password", PASSWORD)]).await).remove(0);
    let wrong = browser.post("/console/account/factor/confirm", &[("code", &code(&secret, 9))]).await;
    assert_eq!((wrong.status, codes_of(&wrong)), (403, vec![secret.clone()]));
    let done = browser.post("/console/account/factor/confirm", &[("code", &code(&secret, 0))]).await;
    assert_eq!(done.status, 200, "{}", done.body);
    (secret, codes_of(&done))
}

#[tokio::test]
async fn who_has_a_second_factor_comes_in_with_a_code_of_it_once() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    let mut other = place.browser();
    other.sign_in("shop", "anna", PASSWORD).await;
    let (secret, recovery) = set_up(&mut browser).await;
    assert_eq!(recovery.len(), 10);
    assert_eq!(browser.get("/console/invoices").await.status, 200, "this session goes on");
    assert_eq!(other.get("/console/invoices").await.status, 303, "what the password alone had opened is closed");
    let mut thief = place.browser();
    assert_eq!(sign_in(&mut thief, "anna", "").await.status, 403);
    assert_eq!(sign_in(&mut thief, "anna", &code(&secret, 0)).await.status, 403, "it was used to confirm");
    place.platform.pass(2 * STEP_S);
    assert_eq!(sign_in(&mut browser, "anna", &code(&secret, 2)).await.status, 303);
    assert_eq!(sign_in(&mut thief, "anna", &code(&secret, 2)).await.status, 403, "once");
    assert_eq!(sign_in(&mut browser, "anna", &recovery[0]).await.status, 303);
    assert_eq!(sign_in(&mut thief, "anna", &recovery[0]).await.status, 403, "once");
    let end = [("password", PASSWORD), ("code", recovery[1].as_str())];
    assert_eq!(browser.post("/console/account/factor/end", &end).await.status, 303);
    assert_eq!(sign_in(&mut other, "anna", "").await.status, 303);
}

#[tokio::test]
async fn a_role_that_needs_one_reaches_nothing_before_and_an_administrator_takes_one_away() {
    let edit = |config: &mut taxdisk_portal::config::Config| config.console.require_second_factor = vec![Role::Manager];
    let place = Place::of(Platform::start_with(edit, Settings::default()).await);
    let mut manager = place.signed_in("shop", "berta", &["manager", "viewer"]).await;
    let page = manager.get("/console/invoices").await;
    assert_eq!((page.status, page.location.as_str()), (303, "/console/account"));
    assert_eq!(manager.post("/console/invoices/S-1/void", &[]).await.status, 403);
    set_up(&mut manager).await;
    assert_eq!(manager.get("/console/invoices").await.status, 200);
    let mut admin = place.signed_in("shop", "dora", &["admin"]).await;
    admin.get("/console/settings/users").await;
    let path = "/console/settings/users/berta/end-factor";
    assert_eq!(admin.post(path, &[]).await.status, 422, "not confirmed");
    assert_eq!(admin.post(path, &[("confirm", "yes")]).await.status, 303);
    assert_eq!(manager.get("/console/account").await.status, 303, "the session ended");
    let history = admin.get("/console/settings/history?lang=en").await.body;
    assert!(history.contains("Second factor set up") && history.contains("Second factor taken away"), "{history}");
    assert!(history.contains("console:dora"), "{history}");
}

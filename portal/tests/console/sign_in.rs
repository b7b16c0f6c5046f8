//! Signing in: passwords, sessions, lock-out, and requests of other sites.

use axum::body::Body;
use axum::http::Request;
use taxdisk_web::signin::csrf;
use taxdisk_web::signin::session::{ABSOLUTE_MS, IDLE_MS};

use crate::browser::{PASSWORD, Place};
use crate::platform::form;

#[tokio::test]
async fn a_link_sets_the_first_password_once() {
    let place = Place::start().await;
    let token = place.invite("shop", "anna", &["viewer"]).await;
    let path = format!("/console/password/{token}");
    let mut browser = place.browser();
    assert!(browser.get(&path).await.body.contains("shop/anna"));
    let fields = |new: &'static str| [("new", new), ("again", new)];
    assert_eq!(browser.post(&path, &fields("short")).await.status, 422);
    assert_eq!(browser.post(&path, &fields("anna-anna-anna")).await.status, 422);
    assert_eq!(browser.post(&path, &[("new", PASSWORD), ("again", "else else else")]).await.status, 422);
    assert_eq!(browser.post(&path, &fields(PASSWORD)).await.status, 303);
    assert_eq!(browser.post(&path, &fields("another password")).await.status, 404, "it was used");
    assert_eq!(browser.get(&path).await.status, 404);
    assert_eq!(browser.sign_in("shop", "anna", "another password").await.status, 403);
    assert_eq!(browser.sign_in("shop", "anna", PASSWORD).await.status, 303);

    let late = place.invite("shop", "berta", &["viewer"]).await;
    place.platform.pass(72 * 3600);
    assert_eq!(place.browser().get(&format!("/console/password/{late}")).await.status, 404, "it has expired");
}

#[tokio::test]
async fn nobody_learns_whether_a_name_exists() {
    let place = Place::start().await;
    place.user("shop", "anna", &["viewer"]).await;
    place.invite("shop", "berta", &["viewer"]).await;
    let mut seen = Vec::new();
    for (tenant, login) in [("shop", "anna"), ("shop", "nobody"), ("nowhere", "anna"), ("shop", "berta")] {
        let page = place.browser().sign_in(tenant, login, "a wrong password").await;
        seen.push((
            page.status,
            page.body.replace(&format!("value=\"{tenant}\""), "").replace(&format!("value=\"{login}\""), ""),
        ));
    }
    assert_eq!(seen[0].0, 403);
    assert!(seen.iter().all(|one| *one == seen[0]));
}

#[tokio::test]
async fn guessing_is_slowed_down_for_known_and_unknown_names_alike() {
    let place = Place::start().await;
    place.user("shop", "anna", &["viewer"]).await;
    for login in ["anna", "nobody"] {
        for _ in 0..5 {
            assert_eq!(place.browser().sign_in("shop", login, "a wrong password").await.status, 403);
        }
        assert_eq!(place.browser().sign_in("shop", login, PASSWORD).await.status, 429, "{login}: even the right one waits");
    }
    place.platform.pass(1);
    let mut browser = place.browser();
    assert_eq!(browser.sign_in("shop", "anna", PASSWORD).await.status, 303, "the door opens again by itself");
    assert_eq!(place.browser().sign_in("shop", "anna", "a wrong password").await.status, 403, "what was right is forgotten");
}

#[tokio::test]
async fn whoever_guesses_at_many_names_is_slowed_down_by_his_address() {
    let place = Place::start().await;
    place.user("shop", "anna", &["viewer"]).await;
    for number in 0..30 {
        assert_eq!(place.browser().sign_in("shop", &format!("nobody{number}"), "a wrong password").await.status, 403);
    }
    assert_eq!(place.browser().sign_in("shop", "anna", PASSWORD).await.status, 429, "one of each name is many of an address");
}

#[tokio::test]
async fn what_is_counted_under_a_name_that_cannot_be_one_is_short() {
    let place = Place::start().await;
    let long = "x".repeat(100_000);
    for number in 0..5 {
        assert_eq!(place.browser().sign_in("shop", &format!("{long}{number}"), "a wrong password").await.status, 403);
    }
    // What differs beyond the bound is one name: a stranger stores no more than that.
    assert_eq!(place.browser().sign_in("shop", &format!("{long}x"), "a wrong password").await.status, 429);
}

#[tokio::test]
async fn links_for_passwords_and_old_passwords_are_not_guessed_either() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    let new = "a longer new password";
    let change = |old: &'static str, new: &'static str, again: &'static str| [("old", old), ("new", new), ("again", again)];
    assert_eq!(browser.post("/console/account", &change(PASSWORD, new, "another new password")).await.status, 422);
    for weak in ["short", "anna-anna-anna"] {
        assert_eq!(browser.post("/console/account", &change(PASSWORD, weak, weak)).await.status, 422, "{weak}");
    }
    assert_eq!(place.browser().sign_in("shop", "anna", PASSWORD).await.status, 303, "nothing was changed");
    for _ in 0..5 {
        assert_eq!(browser.post("/console/account", &change("a wrong password", new, new)).await.status, 403);
    }
    assert_eq!(browser.post("/console/account", &change(PASSWORD, new, new)).await.status, 429, "even the right one waits");
    let fields = [("new", new), ("again", new)];
    let mut tried = 0;
    while place.browser().post("/console/password/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &fields).await.status == 404 {
        tried += 1;
        assert!(tried <= 30, "nobody tries links out for ever");
    }
    let late = place.invite("shop", "berta", &["viewer"]).await;
    assert_eq!(place.browser().post(&format!("/console/password/{late}"), &fields).await.status, 429, "a good one waits too");
}

#[tokio::test]
async fn a_link_of_somebody_who_was_disabled_sets_no_password() {
    let place = Place::start().await;
    let token = place.invite("shop", "anna", &["viewer"]).await;
    let portal = &place.platform.portal;
    let mut user = portal.directory().user_by_login("shop", "anna").unwrap().as_ref().clone();
    user.disabled = true;
    portal.set_directory(portal.directory().with_user(user).unwrap());
    let path = format!("/console/password/{token}");
    assert_eq!(place.browser().get(&path).await.status, 404);
    assert_eq!(place.browser().post(&path, &[("new", PASSWORD), ("again", PASSWORD)]).await.status, 404);
}

#[tokio::test]
async fn a_form_has_its_bounds_and_a_file_its_routes() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    let long = "x".repeat(1024 * 1024);
    assert_eq!(browser.post("/console/account", &[("old", &long)]).await.status, 413);
    let names: Vec<String> = (0..3000).map(|index| format!("f{index}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(browser.post("/console/customers", &many).await.status, 403);
    assert_eq!(
        browser.upload("/console/customers", &[("c0", "个人"), ("c1", "张三")], b"").await.status,
        403,
        "no file is taken here"
    );
    assert_eq!(
        browser.upload("/console/customers/import", &[("step", "try")], b"").await.status,
        422,
        "and none is missing there"
    );
}

#[tokio::test]
async fn an_office_whose_people_sign_in_well_is_never_made_to_wait() {
    let place = Place::start().await;
    place.user("shop", "anna", &["viewer"]).await;
    // One more than an address has free.
    for time in 0..31 {
        assert_eq!(place.browser().sign_in("shop", "anna", PASSWORD).await.status, 303, "{time}");
    }
    // Nor one that lets so many in by their first links: each is good, and none is a guess.
    for time in 0..31 {
        let token = place.invite("shop", &format!("person{time}"), &["viewer"]).await;
        let mut browser = place.browser();
        let path = format!("/console/password/{token}");
        assert_eq!(browser.get(&path).await.status, 200);
        let set = browser.post(&path, &[("new", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!((set.status, set.location.as_str()), (303, "/console/sign-in?ready=1"), "{time}");
    }
    assert_eq!(place.browser().sign_in("shop", "person30", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn sessions_end_by_rest_by_age_and_by_signing_out() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    assert_eq!(browser.get("/console/invoices").await.status, 200);
    place.platform.pass(IDLE_MS / 1000);
    let page = browser.get("/console/invoices").await;
    assert_eq!((page.status, page.location.as_str()), (303, "/console/sign-in"), "it rested");

    assert_eq!(browser.sign_in("shop", "anna", PASSWORD).await.status, 303);
    for _ in 0..ABSOLUTE_MS / (IDLE_MS / 2) - 1 {
        place.platform.pass(IDLE_MS / 2000);
        assert_eq!(browser.get("/console/invoices").await.status, 200);
    }
    place.platform.pass(IDLE_MS / 2000);
    assert_eq!(browser.get("/console/invoices").await.status, 303, "it is old");

    assert_eq!(browser.sign_in("shop", "anna", PASSWORD).await.status, 303);
    let stolen = browser.cookie.clone();
    assert_eq!(browser.post("/console/sign-out", &[]).await.status, 303);
    browser.cookie = stolen;
    assert_eq!(browser.get("/console/invoices").await.status, 303, "the token is worth nothing afterwards");
}

#[tokio::test]
async fn a_sign_in_is_a_new_session_and_ends_the_one_it_came_with() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    let before = browser.cookie.clone();
    assert!(before.starts_with("__Host-taxdisk="));
    place.platform.pass(IDLE_MS / 1000);
    browser.sign_in("shop", "anna", PASSWORD).await;
    assert_ne!(browser.cookie, before);

    let mut elsewhere = place.browser();
    assert_eq!(elsewhere.sign_in("shop", "anna", PASSWORD).await.status, 303);
    let fields = [("old", PASSWORD), ("new", "a longer new password"), ("again", "a longer new password")];
    assert_eq!(browser.post("/console/account", &[("old", "wrong"), fields[1], fields[2]]).await.status, 403);
    let page = browser.post("/console/account", &fields).await;
    assert_eq!(page.status, 200);
    let cookie = page.cookies.iter().find(|cookie| cookie.starts_with("__Host-")).unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    assert_eq!(elsewhere.get("/console/invoices").await.status, 303, "other devices are out");
    assert_eq!(browser.get("/console/invoices").await.status, 200, "this one goes on");
    assert_eq!(place.browser().sign_in("shop", "anna", PASSWORD).await.status, 403, "the old password is gone");
}

#[tokio::test]
async fn requests_of_other_sites_change_nothing() {
    let place = Place::start().await;
    let browser = place.signed_in("shop", "anna", &["viewer"]).await;
    let token = browser.cookie.split_once('=').unwrap().1.to_owned();
    let good = csrf::token(&token);
    let post = |site: Option<&str>, origin: Option<&str>, csrf: &str| {
        let mut request = Request::post("/console/sign-out").header("host", "fp.example").header("cookie", &browser.cookie);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.body(Body::from(form(&[("csrf", csrf)]))).unwrap()
    };
    for (what, request) in [
        ("no token", post(Some("same-origin"), None, "")),
        ("another session's token", post(Some("same-origin"), None, &csrf::token("x"))),
        ("another site", post(Some("cross-site"), None, &good)),
        ("another origin", post(None, Some("https://evil.example"), &good)),
        ("nothing said", post(None, None, &good)),
    ] {
        assert_eq!(place.send(request).await.status, 403, "{what}");
    }
    assert_eq!(place.send(post(None, Some("https://fp.example"), &good)).await.status, 303, "a page of ours");
}

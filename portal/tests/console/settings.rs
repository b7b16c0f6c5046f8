//! Settings: users and the last administrator, keys that are shown once, a callback that is tried.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use taxdisk_portal::application::Algorithm;
use taxdisk_portal::platform_key::PlatformKey;
use taxdisk_portal::sign::{PublicKey, Rules, Signed, verify};
use taxdisk_web::outbound::Settings;

use crate::browser::{Browser, PASSWORD, Place};
use crate::platform::{APPID, NOW_S, Platform, Said, blue};

const ADMIN: &[&str] = &["admin"];

async fn user_post(browser: &mut Browser<'_>, login: &str, what: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
    browser.get("/console/settings/users").await;
    let page = browser.post(&format!("/console/settings/users/{login}/{what}"), fields).await;
    (page.status, page.location, page.body)
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let place = Place::start().await;
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let yes = [("confirm", "yes")];
    let stays = |answer: (u16, String, String)| assert!(answer.0 == 409 && answer.2.contains("最后一位"), "{answer:?}");
    stays(user_post(&mut anna, "anna", "disable", &yes).await);
    stays(user_post(&mut anna, "anna", "roles", &[("role", "manager")]).await);
    // Invited, and without a password: he could let nobody in.
    let page = anna.post("/console/settings/users", &[("name", "王芳"), ("login", "wang"), ("role", "admin")]).await;
    assert_eq!(page.status, 200, "{}", page.body);
    stays(user_post(&mut anna, "anna", "disable", &yes).await);
    let link = page.body.split("https://fp.example/console/password/").nth(1).unwrap().split('<').next().unwrap();
    let new = [("new", PASSWORD), ("again", PASSWORD)];
    let path = format!("/console/password/{link}");
    assert_eq!(place.browser().post(&path, &new).await.status, 303);
    assert_ne!(place.browser().post(&path, &new).await.status, 303, "the link works once");
    // An administrator of another tenant does not count, and two may go down to one.
    place.user("other", "boss", ADMIN).await;
    assert_eq!(user_post(&mut anna, "wang", "disable", &yes).await.1, "/console/settings/users?done=user_disabled&from=wang");
    stays(user_post(&mut anna, "anna", "disable", &yes).await);
    assert_eq!(user_post(&mut anna, "wang", "enable", &yes).await.0, 303);
    assert_eq!(user_post(&mut anna, "anna", "roles", &[("role", "manager"), ("role", "clerk")]).await.0, 303);
    assert_eq!(anna.get("/console/settings/users").await.status, 403, "it counts at once");
    let mut wang = place.browser();
    assert_eq!(wang.sign_in("shop", "wang", PASSWORD).await.status, 303);
    stays(user_post(&mut wang, "wang", "disable", &yes).await);
    let history = wang.get("/console/settings/history").await.body;
    assert!(history.contains("console:anna") && history.contains("anna clerk manager"), "{history}");
}

#[tokio::test]
async fn two_administrators_who_remove_each_other_at_once_leave_one() {
    let place = Place::start().await;
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let mut carl = place.signed_in("shop", "carl", ADMIN).await;
    let yes = [("confirm", "yes")];
    let (one, other) = tokio::join!(user_post(&mut anna, "carl", "disable", &yes), user_post(&mut carl, "anna", "disable", &yes));
    let left = place.platform.portal.directory().users().filter(|user| user.tenant == "shop" && !user.disabled).count();
    assert_eq!(left, 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn users_are_invited_disabled_and_given_new_links() {
    let place = Place::start().await;
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let wang = [("name", "王芳"), ("login", "wang"), ("role", "clerk")];
    let first = anna.post("/console/settings/users", &wang).await;
    assert!(first.status == 200 && first.body.contains("/console/password/"));
    assert!(!anna.get("/console/settings/users").await.body.contains("/console/password/"), "the link is shown once");
    let again = anna.post("/console/settings/users", &wang).await;
    assert!(again.status == 409 && again.body.contains("已存在"), "a second click makes no second user");
    for wrong in [
        [("name", ""), ("login", "x"), ("role", "clerk")],
        [("name", "x"), ("login", "A b"), ("role", "clerk")],
        [("name", "x"), ("login", "x"), ("role", "king")],
    ] {
        assert_eq!(anna.post("/console/settings/users", &wrong).await.status, 422, "{wrong:?}");
    }
    let (name, login) = ("长".repeat(201), "x".repeat(41));
    for wrong in [
        [("name", name.as_str()), ("login", "x"), ("role", "clerk")],
        [("name", "x"), ("login", &login), ("role", "clerk")],
        [("name", "x"), ("login", ""), ("role", "clerk")],
    ] {
        assert_eq!(anna.post("/console/settings/users", &wrong).await.status, 422, "{wrong:?}");
    }
    assert_eq!(user_post(&mut anna, "wang", "roles", &[("role", "king")]).await.0, 422, "nobody is nothing");
    let yes = [("confirm", "yes")];
    let unconfirmed = user_post(&mut anna, "wang", "link", &[]).await;
    assert!(unconfirmed.0 == 422 && !unconfirmed.2.contains("/console/password/"), "{unconfirmed:?}");
    place.user("other", "boss", ADMIN).await;
    for login in ["boss", "nobody"] {
        for what in ["disable", "enable", "link"] {
            assert_eq!(user_post(&mut anna, login, what, &yes).await.0, 404, "{what} of {login}, whom this tenant does not have");
        }
    }
    assert!(place.platform.portal.directory().users().all(|user| !user.disabled));
    let link = user_post(&mut anna, "wang", "link", &yes).await;
    let token = link.2.split("/console/password/").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let old = first.body.split("/console/password/").nth(1).unwrap().split('<').next().unwrap();
    let new = [("new", PASSWORD), ("again", PASSWORD)];
    assert_ne!(place.browser().post(&format!("/console/password/{old}"), &new).await.status, 303, "earlier links end");
    assert_eq!(place.browser().post(&format!("/console/password/{token}"), &new).await.status, 303);
    let mut wang = place.browser();
    assert_eq!(wang.sign_in("shop", "wang", PASSWORD).await.status, 303);
    assert_eq!(user_post(&mut anna, "wang", "disable", &[]).await.0, 422, "unconfirmed");
    assert_eq!(user_post(&mut anna, "wang", "disable", &yes).await.0, 303);
    assert_eq!(wang.get("/console/invoices").await.status, 303, "out at once");
    // Enabled again, the old session is still over.
    assert_eq!(user_post(&mut anna, "wang", "enable", &yes).await.0, 303);
    assert_eq!(wang.get("/console/invoices").await.status, 303);
    let mut db = place.platform.portal.readers.get().await.unwrap();
    let stored = db.settings("user").await.unwrap();
    assert!(stored.iter().any(|(_, body)| body.contains("\"wang\"")), "it is durable");
}

#[tokio::test]
async fn an_order_key_is_shown_once_and_stands_beside_the_old_one_until_that_ends() {
    let place = Place::start().await;
    place.system("TOLL");
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let page = anna.get("/console/settings/keys").await;
    assert!(page.body.contains("TOLL") && page.body.contains("使用中"));
    let path = "/console/settings/systems/TOLL/rotate";
    let form = [("confirm", "yes"), ("algorithm", "sm4-gcm"), ("overlap", "7"), ("latest", "1")];
    assert_eq!(anna.post(path, &form[1..]).await.status, 422, "unconfirmed");
    assert_eq!(anna.post(path, &[("confirm", "yes"), ("overlap", "9999"), ("latest", "1")]).await.status, 422);
    let page = anna.post(path, &form).await;
    let system = place.platform.portal.directory().system("TOLL").unwrap().clone();
    let (old, new) = (&system.keys[0], &system.keys[1]);
    assert!(page.status == 200 && page.body.contains(&new.secret), "it is shown");
    assert_eq!((new.kid, new.algorithm, new.read_until_s), (2, Algorithm::Sm4Gcm, None));
    assert_eq!(old.read_until_s, Some(NOW_S + 7 * 24 * 3600));
    let page = anna.post(path, &form).await;
    assert!(page.status == 422 && page.body.contains("已生成") && !page.body.contains(&new.secret), "{}", page.body);
    assert_eq!(place.platform.portal.directory().system("TOLL").unwrap().keys.len(), 2, "a second click makes none");
    place.platform.pass(1);
    for path in ["/console/settings/keys", "/console/settings/history"] {
        let page = anna.get(path).await;
        assert!(!page.body.contains(&new.secret) && !page.body.contains(&old.secret), "never again: {path}");
    }
    place.platform.pass(7 * 24 * 3600);
    let mut later = place.browser();
    later.sign_in("shop", "anna", PASSWORD).await;
    assert!(later.get("/console/settings/keys").await.body.contains("已失效"));
}

#[tokio::test]
async fn a_public_key_is_added_beside_the_old_one_and_the_last_one_stays() {
    let place = Place::start().await;
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let pem = PlatformKey::generate().unwrap().public_pem().unwrap();
    let print = PublicKey::from_pem(&pem).unwrap().fingerprint();
    let old = place.platform.portal.directory().caller(APPID).unwrap().keys[0].fingerprint();
    let (add, end) = (format!("/console/settings/callers/{APPID}/add-key"), format!("/console/settings/callers/{APPID}/end-key"));
    assert_eq!(anna.post(&end, &[("confirm", "yes"), ("fingerprint", &old)]).await.status, 422, "the last one stays");
    assert_eq!(anna.post(&add, &[("pem", "-----BEGIN PUBLIC KEY-----")]).await.status, 422);
    for _ in 0..2 {
        assert_eq!(anna.post(&add, &[("pem", &pem)]).await.location, "/console/settings/keys?done=key_added");
    }
    let known = place.platform.portal.directory().caller(APPID).unwrap().keys.len();
    assert_eq!(known, 2, "both count, and the same one twice is one");
    assert_eq!(anna.post(&end, &[("fingerprint", &old)]).await.status, 422, "unconfirmed");
    assert_eq!(anna.post(&end, &[("confirm", "yes"), ("fingerprint", &old)]).await.status, 303);
    assert_eq!(anna.post(&end, &[("confirm", "yes"), ("fingerprint", &old)]).await.status, 422, "it is gone");
    let keys: Vec<String> =
        place.platform.portal.directory().caller(APPID).unwrap().keys.iter().map(PublicKey::fingerprint).collect();
    assert_eq!(keys, [print]);
    for more in 2..=5 {
        let pem = PlatformKey::generate().unwrap().public_pem().unwrap();
        let page = anna.post(&add, &[("pem", &pem)]).await;
        assert_eq!(page.status, if more <= 4 { 303 } else { 422 }, "{more}: {}", page.body);
    }
}

#[tokio::test]
async fn a_tenant_has_so_many_users() {
    let place = Place::start().await;
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let portal = &place.platform.portal;
    let mut directory = portal.directory().as_ref().clone();
    for number in 0..199 {
        let user = serde_json::json!({ "id": format!("us_{number}"), "tenant": "shop", "name": "王五", "key_hash": "",
            "login": format!("user-{number}"), "roles": ["viewer"] });
        directory = directory.with_user(serde_json::from_value(user).unwrap()).unwrap();
    }
    portal.set_directory(directory);
    let page = anna.post("/console/settings/users", &[("name", "赵六"), ("login", "zhao"), ("role", "viewer")]).await;
    assert_eq!(page.status, 409, "{}", page.body);
    // All of them are reached, a page of twenty at a time; a page is small however many there are.
    let (mut path, mut seen, mut pages) = ("/console/settings/users".to_owned(), std::collections::BTreeSet::new(), 0);
    loop {
        let body = anna.get(&path).await.body;
        assert!(body.len() < 45_000, "{} bytes", body.len());
        let on_page: Vec<&str> =
            body.split("<h2>").skip(1).filter_map(|card| card.split("<small>").nth(1)?.split('<').next()).collect();
        assert!(on_page.len() <= 20 && on_page.iter().all(|login| seen.insert((*login).to_owned())), "{on_page:?}");
        pages += 1;
        let Some(next) = body.split(" rel=\"next\"").next().filter(|before| before.len() < body.len()) else { break };
        path = format!("/console/settings/users{}", next.rsplit("href=\"").next().unwrap().trim_end_matches('"'));
    }
    assert_eq!((seen.len(), pages), (200, 10));
    let found = anna.get("/console/settings/users?from=user-42").await.body;
    assert!(found.contains("<small>user-42</small>") && !found.contains("<small>user-41</small>"), "{found}");
}

/// What a merchant's system got.
type Got = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A merchant's system that answers this.
async fn merchant(answer: &'static str) -> (String, Got) {
    let got = Got::default();
    let kept = got.clone();
    let router = Router::new().route(
        "/hook",
        post(move |headers: HeaderMap, body: Bytes| async move {
            kept.lock().unwrap().push((headers, body));
            answer
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

async fn place_that_calls(key: Option<PlatformKey>) -> Place {
    let settings = Settings { allow_http: true, allow_networks: vec!["127.0.0.1/32".parse().unwrap()], ..Settings::default() };
    Place::of(Platform::start_signing(|_| {}, settings, key).await)
}

#[tokio::test]
async fn a_test_callback_is_signed_and_its_answer_is_told_as_it_was() {
    let key = PlatformKey::generate().unwrap();
    let public = PublicKey::from_pem(&key.public_pem().unwrap()).unwrap();
    let place = place_that_calls(Some(key)).await;
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let (good, got) = merchant(r#"{"code":"0000","msg":"ok"}"#).await;
    let (bad, _) = merchant("<b>maintenance</b>").await;
    let settings = "/console/settings/callbacks";
    assert_eq!(anna.post(&format!("{settings}/test"), &[]).await.status, 422, "there is no address");
    assert_eq!(anna.post(settings, &[("url", &good)]).await.status, 303);
    let page = anna.post(&format!("{settings}/test"), &[("url", "http://127.0.0.1:1/")]).await;
    assert!(page.status == 200 && page.body.contains("<p>HTTP 200 ") && page.body.contains("对方已确认"), "{}", page.body);
    let (headers, body) = got.lock().unwrap().pop().expect("a call");
    let sign = headers["x-callback-sign"].to_str().unwrap();
    let signed = Signed { path: "", appid: "", requestdatas: &[], nsrsbh: None, body: &body };
    verify(Some(sign), &[public], Rules::default(), &signed, NOW_S).unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("\"action\":\"test\"") && !text.contains("0000\""), "no outcome is in it: {text}");
    anna.post(settings, &[("url", &bad)]).await;
    let page = anna.post(&format!("{settings}/test"), &[]).await;
    assert!(page.body.contains("未获确认") && page.body.contains("&#60;b&#62;maintenance"), "{}", page.body);
    assert!(page.body.contains("merchant.example") || page.body.contains(APPID), "the caller's list of hosts is named");
    // Nobody listens any more.
    anna.post(settings, &[("url", "http://127.0.0.1:1/hook")]).await;
    let page = anna.post(&format!("{settings}/test"), &[]).await;
    assert!(
        page.body.contains("未获确认") && page.body.contains("no connection") && !page.body.contains("<p>HTTP"),
        "{}",
        page.body
    );
    let mut limited = false;
    for _ in 0..20 {
        limited |= anna.post(&format!("{settings}/test"), &[]).await.status == 429;
    }
    assert!(limited, "a button is no way to flood somebody");
}

#[tokio::test]
async fn a_callback_address_obeys_the_rules_of_every_callback() {
    let place = Place::start().await;
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let settings = "/console/settings/callbacks";
    let long = format!("https://merchant.example/{}", "x".repeat(500));
    assert_eq!(anna.post(settings, &[("url", &long)]).await.status, 422, "longer than any request may name");
    for wrong in ["http://merchant.example/hook", "https://10.0.0.1/hook", "https://127.0.0.1/", "file:///etc/passwd", "hook"] {
        let page = anna.post(settings, &[("url", wrong)]).await;
        assert_eq!(page.status, 422, "{wrong}");
    }
    assert_eq!(anna.post(settings, &[]).await.status, 422, "no field is no wish");
    assert_eq!(anna.post(settings, &[("url", "https://merchant.example/hook")]).await.status, 303);
    // It counts for requests that name no address of their own, and for no others.
    place.platform.issued(&blue("S-1")).await;
    let documents = serde_json::json!([blue("S-2")]).to_string();
    let urls = r#"[{"fpqqlsh":"S-2","url":"https://merchant.example/own"}]"#;
    place.platform.form("insertWithArray", &[("requestdatas", &documents), ("url", urls)]).await;
    place.platform.broker_says("S-2", &Said::Issued).await;
    let mut db = place.platform.portal.readers.get().await.unwrap();
    let mut told = Vec::new();
    for serial in ["S-1", "S-2"] {
        let callbacks = db.callbacks_of("shop", serial).await.unwrap();
        told.push(callbacks.into_iter().map(|one| one.target.url).collect::<Vec<_>>());
    }
    assert_eq!(told, [["https://merchant.example/hook"], ["https://merchant.example/own"]]);
    drop(db);
    assert_eq!(anna.post(settings, &[("url", "")]).await.status, 303, "none again");
    let mut other = blue("S-3");
    other["LYID"] = serde_json::json!("3");
    place.platform.issued(&other).await;
    assert!(place.platform.portal.readers.get().await.unwrap().callbacks_of("shop", "S-3").await.unwrap().is_empty());
}

#[tokio::test]
async fn organisations_and_their_disks_are_listed() {
    let place = Place::start().await;
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let page = anna.get("/console/settings/organisations").await;
    for fact in
        ["示例商贸有限公司", "示例餐饮有限公司", "661545600001", "张三 / —", "2027-01-15 16:00:00", "就绪", "尚无税控设备报告"]
    {
        assert!(page.body.contains(fact), "{fact}");
    }
}

#[tokio::test]
async fn callers_whose_list_lacks_the_address_are_named_and_only_ones_own() {
    let place = Place::start().await;
    let portal = &place.platform.portal;
    let mut directory = portal.directory().as_ref().clone();
    for (appid, tenant, host) in [("APP-LISTED", "shop", "Till.example"), ("APP-THEIRS", "other", "elsewhere.example")] {
        let pem = PlatformKey::generate().unwrap().public_pem().unwrap();
        let caller = serde_json::json!({ "appid": appid, "tenant": tenant, "public_keys": [pem],
            "switches": { "callback_hosts": [host] } });
        directory = directory.with_caller(serde_json::from_value(caller).unwrap()).unwrap();
    }
    portal.set_directory(directory);
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    assert_eq!(anna.post("/console/settings/callbacks", &[("url", "https://till.example/hook")]).await.status, 303);
    let page = anna.get("/console/settings/callbacks").await.body;
    assert!(page.contains(APPID), "its list does not name the host: {page}");
    assert!(!page.contains("APP-LISTED"), "its list names it, whatever its case");
    assert!(!page.contains("APP-THEIRS"), "another tenant's caller");
}

#[tokio::test]
async fn where_results_of_offline_codes_go_is_set_for_each_organisation() {
    let place = Place::start().await;
    place.system("TOLL");
    let mut anna = place.signed_in("shop", "anna", ADMIN).await;
    let page = anna.get("/console/settings/wishes").await;
    assert!(
        page.body.contains("TOLL") && page.body.contains("name=\"mail.0\"") && !page.body.contains("checked"),
        "{}",
        page.body
    );
    let orgs: Vec<String> =
        page.body.split("name=\"org.").skip(1).map(|rest| rest.split('"').nth(2).unwrap().to_owned()).collect();
    assert!(orgs.contains(&"A".to_owned()), "{orgs:?}");
    let names: Vec<String> = (0..orgs.len()).map(|index| format!("org.{index}")).collect();
    let form: Vec<(&str, &str)> = names.iter().zip(&orgs).map(|(name, org)| (name.as_str(), org.as_str())).collect();
    let path = "/console/settings/wishes/TOLL";
    // Mail and callback for the first one; the others keep what the platform offers.
    let wished = [form.as_slice(), &[("own.0", "yes"), ("mail.0", "yes"), ("callback.0", "yes")]].concat();
    assert_eq!(anna.post(path, &wished).await.location, "/console/settings/wishes?done=saved");
    let wishes = || place.platform.portal.directory().system("TOLL").unwrap().wishes.clone();
    let first = wishes();
    assert_eq!(first.len(), 1);
    assert_eq!(
        (first[0].orgcode.as_str(), first[0].mail, first[0].sms, first[0].callback),
        (orgs[0].as_str(), true, false, true)
    );
    let page = anna.get("/console/settings/wishes").await;
    assert_eq!(page.body.matches(" checked").count(), 3, "{}", page.body);
    // A page of before: an organisation that is not the tenant's, or another order of them. Nothing is guessed, nothing changed.
    for wrong in [vec![("own.0", "yes")], vec![("org.0", "NOBODYS"), ("own.0", "yes")]] {
        assert_eq!(anna.post(path, &wrong).await.status, 422);
    }
    assert_eq!(wishes(), first);
    assert_eq!(anna.post("/console/settings/wishes/OTHER", &form).await.status, 404);
    let history = anna.get("/console/settings/history").await.body;
    assert!(history.contains(&format!("TOLL: {} mail callback", orgs[0])), "{history}");
    assert_eq!(anna.post(path, &form).await.status, 303);
    assert!(wishes().is_empty(), "without a wish of its own it offers what the platform can");
    let mut carl = place.signed_in("shop", "carl", &["clerk", "manager"]).await;
    assert_eq!(carl.get("/console/settings/wishes").await.status, 403);
}

//! Where results go: mail, short message and callback as the merchant wished for his organisation, and a code's callback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::routing::post;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taxdisk_portal::admin::OperatorKey;
use taxdisk_portal::application::{self, User};
use taxdisk_portal::callback::send;
use taxdisk_portal::core::callback::Attempt;
use taxdisk_portal::core::outbox::Channel;
use taxdisk_portal::model::{Caller, Tenant};
use tower::ServiceExt as _;

use crate::offline::{Scheme, filled, path};
use crate::platform::{APPID, Said};
use crate::rig::{Rig, Smtp, served};
use crate::texts::{self, Provider};

/// What came to a merchant's address.
type Told = Arc<Mutex<Vec<Value>>>;

async fn merchant() -> (String, Told) {
    let told = Told::default();
    let take = |State(told): State<Told>, body: String| async move {
        told.lock().unwrap().push(serde_json::from_str(&body).unwrap());
        json!({ "code": "0000" }).to_string()
    };
    let url = served(Router::new().route("/cb", post(take)).with_state(told.clone())).await;
    (format!("{url}/cb"), told)
}

/// Waits until the merchant has been told so often.
async fn until(told: &Told, count: usize) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while told.lock().unwrap().len() < count {
        assert!(tokio::time::Instant::now() < patience, "{count} callbacks did not come: {told:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A user of a tenant; his key is `tpu_` and the tenant.
fn user(tenant: &str) -> User {
    User {
        id: format!("us_{tenant}"),
        tenant: tenant.to_owned(),
        name: "王五".to_owned(),
        key_hash: OperatorKey::of(&format!("tpu_{tenant}")).0,
        login: String::new(),
        roles: Vec::new(),
        disabled: false,
    }
}

/// A call of a user about the syscode of the test.
async fn wish(rig: &Rig, tenant: &str, wishes: &Value) -> (u16, Value) {
    let router = application::tenant::router(rig.platform.portal.clone());
    let request = Request::put("/tenant/v1/systems/TOLL/wishes").header("authorization", format!("Bearer tpu_{tenant}"));
    let body = json!({ "wishes": wishes }).to_string();
    let request = request.header("content-type", "application/json").body(Body::from(body)).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn with_users(rig: &Rig) {
    let portal = &rig.platform.portal;
    let other: Tenant = serde_json::from_value(json!({ "id": "other", "name": "别家", "sellers": [] })).unwrap();
    let known = portal.directory().with_tenant(other).and_then(|known| known.with_user(user("shop"))).unwrap();
    portal.set_directory(known.with_user(user("other")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_go_where_the_merchant_wished_for_his_organisation() {
    let (smtp, provider) = (Smtp::start(Some("127.0.0.1"), &json!({})), Provider::default());
    let ((sms, _dir), (url, told)) = (texts::config(&provider).await, merchant().await);
    let mail = smtp.config();
    let scheme = Scheme::start_with(|config| (config.mail, config.sms) = (Some(mail), Some(sms)), Vec::new()).await;
    let portal = scheme.rig.platform.portal.clone();
    with_users(&scheme.rig);
    scheme.calls_back(&url);
    let sending = tokio::spawn(send::run(portal.clone(), portal.outbound.clone()));
    let (mut mails, mut texts, mut calls) = (0, 0, 0);
    for wished in 0..8 {
        let (mail, sms, callback) = (wished & 1 != 0, wished & 2 != 0, wished & 4 != 0);
        let wishes = json!([{ "orgcode": "A", "mail": mail, "sms": sms, "callback": callback }]);
        let (status, shown) = wish(&scheme.rig, "shop", &wishes).await;
        assert_eq!((status, &shown["wishes"]), (200, &wishes), "{shown}");
        let number = format!("WISH{wished}");
        let code = path(&scheme.token(&number, None));
        let (_, _, form) = scheme.sent("GET", &code, "").await;
        assert_eq!((form.contains("name=\"email\""), form.contains("name=\"phone\"")), (mail, sms), "{wished}: {form}");
        // What is wished must be filled in, and nothing else may be.
        let (mail_to, sms_to) = (format!("a{wished}@buyer.example"), format!("1390000000{}", [0, 1, 2, 3, 4, 5, 6, 8][wished]));
        for (is_wished, field) in [(mail, ("email", mail_to.as_str())), (sms, ("phone", sms_to.as_str()))] {
            let others = [(mail, ("email", mail_to.as_str())), (sms, ("phone", sms_to.as_str()))];
            let mut fields: Vec<_> =
                others.into_iter().filter(|(is_wished, other)| *is_wished && other != &field).map(|(_, other)| other).collect();
            if !is_wished {
                fields.push(field);
            }
            let (status, _, text) = scheme.sent("POST", &code, &filled(&[&fields[..], &[("step", "check")]].concat())).await;
            assert_eq!(status, 422, "{wished} {field:?}: {text}");
        }
        let all = [(mail, ("email", mail_to.as_str())), (sms, ("phone", sms_to.as_str()))];
        let fields: Vec<_> = all.into_iter().filter(|(is_wished, _)| *is_wished).map(|(_, field)| field).collect();
        let serial = scheme.issue(&number, &fields).await;
        scheme.rig.platform.broker_says(&serial, &Said::Issued).await;
        let messages = scheme.rig.messages(&serial).await;
        let to = |channel: Channel| messages.iter().filter(move |one| one.channel == channel).map(|one| one.address.clone());
        assert_eq!(to(Channel::Mail).collect::<Vec<_>>(), Vec::from_iter(mail.then_some(mail_to)), "{wished}");
        assert_eq!(to(Channel::Sms).collect::<Vec<_>>(), Vec::from_iter(sms.then_some(sms_to)), "{wished}");
        let called = portal.readers.get().await.unwrap().callbacks_of("shop", &serial).await.unwrap();
        assert_eq!(called.len(), usize::from(callback), "{wished}");
        scheme.rig.send_due().await;
        (mails, texts, calls) = (mails + usize::from(mail), texts + usize::from(sms), calls + usize::from(callback));
        assert_eq!((smtp.saw("data").len(), provider.taken.lock().unwrap().len()), (mails, texts), "{wished}");
        until(&told, calls).await;
    }
    let last = told.lock().unwrap().last().unwrap().to_string();
    assert!(last.contains("011002000111"), "the merchant gets the invoice: {last}");
    sending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_wishes_for_another_tenant_or_for_what_is_not_his() {
    let scheme = Scheme::start(Vec::new()).await;
    with_users(&scheme.rig);
    let one = json!([{ "orgcode": "A", "mail": true }]);
    assert_eq!(wish(&scheme.rig, "other", &one).await.0, 404, "another tenant knows no such syscode");
    assert_eq!(wish(&scheme.rig, "nobody", &one).await.0, 401);
    for wrong in [
        json!([{ "orgcode": "Z", "mail": true }]),
        json!([{ "orgcode": "A" }, { "orgcode": "A", "sms": true }]),
        json!([{ "orgcode": "A", "fax": true }]),
        Value::from(vec![json!({ "orgcode": "A" }); 1001]),
    ] {
        assert_eq!(wish(&scheme.rig, "shop", &wrong).await.0, 422, "{wrong:.100}");
    }
    assert!(scheme.rig.platform.portal.directory().system("TOLL").unwrap().wishes.is_empty(), "nothing of it was taken");
    assert_eq!(wish(&scheme.rig, "shop", &one).await.0, 200);
    assert_eq!(scheme.rig.platform.portal.directory().system("TOLL").unwrap().wishes.len(), 1);
    let stored = scheme.rig.platform.portal.readers.get().await.unwrap().settings("system").await.unwrap();
    assert!(stored.iter().any(|(name, body)| name == "TOLL" && body.contains("\"orgcode\":\"A\"")), "durable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_s_callback_comes_once_its_invoice_is_issued() {
    let rig = Rig::start(|_| {}).await;
    let portal = rig.platform.portal.clone();
    let (url, told) = merchant().await;
    let caller = portal.directory().caller(APPID).unwrap().caller.clone();
    let mut caller: Caller = caller;
    caller.switches.callback_hosts.clear();
    portal.set_directory(portal.directory().with_caller(caller).unwrap());
    let sending = tokio::spawn(send::run(portal.clone(), portal.outbound.clone()));
    let path = rig.code("BACK1", &json!({ "URL": url })).await;
    let callbacks = async || portal.readers.get().await.unwrap().callbacks_of("shop", "BACK1").await.unwrap().len();
    assert_eq!(callbacks().await, 0);
    rig.fill(&path, &[]).await;
    assert_eq!(callbacks().await, 0, "asked for is not issued");
    rig.platform.broker_says("BACK1", &Said::Issued).await;
    until(&told, 1).await;
    let news = told.lock().unwrap()[0].to_string();
    assert!(news.contains("BACK1") && news.contains("011002000111") && news.contains("00000001"), "{news}");
    rig.browse("192.0.2.1", "GET", &path, "").await;
    assert_eq!(callbacks().await, 1, "a later scan tells nothing anew");
    sending.abort();
}

/// The first attempt of a code's only callback, whoever sends it.
async fn attempted(rig: &Rig, serial: &str) -> Attempt {
    let portal = rig.platform.portal.clone();
    let sending = tokio::spawn(send::run(portal.clone(), portal.outbound.clone()));
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    let attempt = loop {
        let callbacks = portal.readers.get().await.unwrap().callbacks_of("shop", serial).await.unwrap();
        if let Some(attempt) = callbacks[0].attempts.last() {
            break attempt.clone();
        }
        assert!(tokio::time::Instant::now() < patience, "it was not tried");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    sending.abort();
    attempt
}

fn switched(rig: &Rig, change: impl FnOnce(&mut Caller)) {
    let portal = &rig.platform.portal;
    let mut caller: Caller = portal.directory().caller(APPID).unwrap().caller.clone();
    change(&mut caller);
    portal.set_directory(portal.directory().with_caller(caller).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_to_a_host_that_left_the_callers_list_is_not_sent() {
    let rig = Rig::start(|_| {}).await;
    let (url, told) = merchant().await;
    switched(&rig, |caller| caller.switches.callback_hosts = vec!["127.0.0.1".to_owned()]);
    let path = rig.code("BACK2", &json!({ "URL": url })).await;
    rig.fill(&path, &[]).await;
    rig.platform.broker_says("BACK2", &Said::Issued).await;
    switched(&rig, |caller| caller.switches.callback_hosts = vec!["merchant.example".to_owned()]);
    let attempt = attempted(&rig, "BACK2").await;
    assert!(attempt.status.is_none() && attempt.text.contains("not on this caller's list of hosts"), "{attempt:?}");
    assert!(told.lock().unwrap().is_empty(), "nothing of the invoice left this portal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_unless_the_caller_wants_no_such_callback() {
    for wanted in [true, false] {
        let rig = Rig::start(|_| {}).await;
        let (url, told) = merchant().await;
        switched(&rig, |caller| {
            caller.switches.callback_hosts.clear();
            caller.switches.no_failure_callback = !wanted;
        });
        let path = rig.code("BACK3", &json!({ "URL": url })).await;
        rig.fill(&path, &[]).await;
        let data = Said::Failed { fault: "request", code: "disk_refused", text: "税控设备拒绝" };
        rig.platform.broker_says("BACK3", &data).await;
        let attempt = attempted(&rig, "BACK3").await;
        assert_eq!((attempt.status.is_some(), told.lock().unwrap().len()), (wanted, usize::from(wanted)), "{attempt:?}");
    }
}

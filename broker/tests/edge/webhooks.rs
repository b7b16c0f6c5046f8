//! Webhooks over real sockets: receivers that fail, stall, redirect and lie; every event arrives, under one id, signed.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use taxdisk_broker::config::Config;
use taxdisk_protocol::api::Role;
use taxdisk_web::webhook::{Secret, Signers};

use crate::receiver::{Got, Manner, Receiver};
use crate::support::{Broker, OTHER_SELLER, SELLER, until};

pub fn on_loopback(config: &mut Config) {
    config.webhooks.allow_http = true;
    config.webhooks.allow_networks = vec!["127.0.0.1/32".to_owned()];
    config.webhooks.schedule_s = vec![1; 20];
    config.webhooks.answer_s = 2;
}

async fn start() -> Broker {
    Broker::start_with(on_loopback).await
}

impl Broker {
    pub async fn hook(&self, body: Value) -> Value {
        let answer = self.call("POST", "/v1/webhooks", Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()
    }

    /// A job that was cancelled: one event.
    pub async fn cancelled(&self, serial: &str) {
        assert_eq!(self.submit(serial).await.status, 201);
        self.cancel(serial).await;
    }

    async fn cancel(&self, serial: &str) {
        let answer = self.call("POST", &format!("/v1/jobs/{SELLER}/{serial}/cancel"), Some(&json!({ "reason": "test" }))).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    async fn reissue(&self, serial: &str) {
        let answer = self.call("POST", &format!("/v1/jobs/{SELLER}/{serial}/reissue"), Some(&json!({ "reason": "test" }))).await;
        assert_eq!(answer.json()["outcome"], "requeued");
    }

    async fn show(&self, id: &str) -> Value {
        self.call("GET", &format!("/v1/webhooks/{id}"), None).await.json()
    }
}

pub fn id(hook: &Value) -> String {
    hook["webhook"]["id"].as_str().unwrap().to_owned()
}

/// Is the message signed by this secret, and by which of the signatures?
fn is_signed(got: &Got, secret: &str) -> bool {
    let seconds = got.headers["webhook-timestamp"].parse().unwrap();
    let expected = Signers(vec![Secret::parse(secret).unwrap()]).header(got.id(), seconds, &got.raw);
    got.headers["webhook-signature"].split(' ').any(|signature| signature == expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_receiver_does_each_event_arrives_under_one_id() {
    let broker = start().await;
    // Each message meets another rudeness at its first attempt, and is taken at the next.
    let rude = [
        Manner::Status(500, ""),
        Manner::Stall,
        Manner::Status(302, "location: http://127.0.0.1:1/elsewhere\r\n"),
        Manner::CutHead,
        Manner::Close,
        Manner::Status(429, "retry-after: 1\r\n"),
        Manner::Status(503, "retry-after: 1\r\n"),
        Manner::Status(404, ""),
    ];
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut manners = rude.into_iter().cycle();
    let receiver = Receiver::start(move |got| {
        let times = seen.entry(got.id().to_owned()).or_insert(0);
        *times += 1;
        if *times == 1 { manners.next().unwrap() } else { Manner::Take }
    })
    .await;
    let hook = broker.hook(json!({ "url": receiver.url(), "events": ["job.*"] })).await;
    let secret = hook["secret"].as_str().unwrap().to_owned();
    for n in 0..8 {
        broker.cancelled(&format!("R{n}")).await;
    }
    until("all are taken", || async { broker.show(&id(&hook)).await["waiting"] == 0 && receiver.got().len() >= 16 }).await;
    let got = receiver.got();
    assert!(got.iter().all(|one| is_signed(one, &secret)), "every attempt is signed anew");
    let mut ids: BTreeMap<&str, Vec<&Got>> = BTreeMap::new();
    for one in &got {
        ids.entry(one.id()).or_default().push(one);
    }
    assert_eq!(ids.len(), 8);
    for (id, attempts) in &ids {
        assert_eq!(attempts.len(), 2, "{id}");
        assert_eq!(attempts[0].body["id"], *id);
        assert_eq!((attempts[0].kind(), attempts[0].serial()), ("job.cancelled", attempts[1].serial()));
        assert_eq!(attempts[1].body["data"]["state"], "cancelled");
        assert_eq!(attempts[1].body["data"]["superseded"], false);
    }
    let log = broker.call("GET", &format!("/v1/webhooks/{}/deliveries?limit=5", id(&hook)), None).await.json();
    let deliveries = log["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), 5);
    assert!(deliveries.iter().all(|one| one["state"] == "delivered" && one["tries"] == 2), "{log}");
    let cursor = log["cursor"].as_str().unwrap();
    let rest = broker.call("GET", &format!("/v1/webhooks/{}/deliveries?limit=5&cursor={cursor}", id(&hook)), None).await.json();
    assert_eq!(rest["deliveries"].as_array().unwrap().len(), 3);
    assert!(rest["cursor"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_2xx_is_a_2xx_whatever_comes_with_it() {
    let broker = start().await;
    let mut manners = [Manner::Garbage, Manner::Endless, Manner::CutBody, Manner::Take].into_iter();
    let receiver = Receiver::start(move |_| manners.next().unwrap_or(Manner::Take)).await;
    let hook = broker.hook(json!({ "url": receiver.url() })).await;
    for n in 0..4 {
        broker.cancelled(&format!("G{n}")).await;
    }
    let log = format!("/v1/webhooks/{}/deliveries?state=delivered", id(&hook));
    until("all are taken", || async { broker.call("GET", &log, None).await.json()["deliveries"].as_array().unwrap().len() == 4 })
        .await;
    assert_eq!(receiver.got().len(), 4, "nothing was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_says_what_overtook_it() {
    let broker = start().await;
    let receiver = Receiver::start(|_| Manner::Status(500, "")).await;
    let hook = broker.hook(json!({ "url": receiver.url(), "events": ["job.*"] })).await;
    broker.cancelled("L1").await;
    until("it was tried", || async { !receiver.got().is_empty() }).await;
    broker.reissue("L1").await;
    broker.cancel("L1").await;
    broker.reissue("L1").await;
    receiver.behave(|_| Manner::Take);
    until("all are taken", || async { broker.show(&id(&hook)).await["waiting"] == 0 && receiver.got().len() >= 5 }).await;
    let mut order = Vec::new();
    for one in receiver.got().iter().filter(|one| one.serial() == "L1") {
        order.retain(|revision| *revision != one.revision());
        order.push(one.revision());
    }
    assert_eq!(order, [2, 3, 4, 5], "per job in the order of the revisions");
    let last: HashMap<u64, Got> = receiver.got().into_iter().map(|one| (one.revision(), one)).collect();
    for revision in [2, 3, 4] {
        let data = &last[&revision].body["data"];
        assert_eq!((&data["superseded"], &data["current"]["state"]), (&true.into(), &"queued".into()), "{data}");
        assert_eq!(data["current"]["revision"], 5);
    }
    assert_eq!(last[&5].body["data"]["superseded"], false);
    assert!(last[&5].body["data"]["current"].is_null());
    assert_eq!([2, 3].map(|revision| last[&revision].kind()), ["job.cancelled", "job.queued"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_endpoint_delays_nobody_else() {
    let broker = start().await;
    let slow = Receiver::start(|_| Manner::Stall).await;
    let fast = Receiver::start(|_| Manner::Take).await;
    let stuck = broker.hook(json!({ "url": slow.url() })).await;
    broker.hook(json!({ "url": fast.url() })).await;
    for n in 0..30 {
        broker.cancelled(&format!("S{n}")).await;
    }
    // All of them while the other endpoint has not taken one.
    until("the fast one has all", || async { fast.got().len() == 30 }).await;
    assert_eq!(broker.show(&id(&stuck)).await["delivered_at"], Value::Null);
    assert!(slow.got().len() < 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_410_switches_off_and_what_was_kept_comes_when_it_is_switched_on() {
    let broker = start().await;
    let receiver = Receiver::start(|_| Manner::Status(410, "")).await;
    let witness = Receiver::start(|_| Manner::Take).await;
    let hook = broker.hook(json!({ "url": receiver.url(), "events": ["job.*"] })).await;
    broker.hook(json!({ "url": witness.url(), "events": ["webhook.disabled"] })).await;
    broker.cancelled("O1").await;
    until("it is switched off", || async { broker.show(&id(&hook)).await["disabled"]["reason"] == "gone" }).await;
    until("others are told", || async { witness.got().len() == 1 }).await;
    assert_eq!(witness.got()[0].body["data"]["webhook"], id(&hook));
    broker.cancelled("O2").await;
    let before = receiver.got().len();
    receiver.behave(|_| Manner::Take);
    let body = json!({ "url": receiver.url(), "events": ["job.*"], "enabled": true });
    let answer = broker.call("PUT", &format!("/v1/webhooks/{}", id(&hook)), Some(&body)).await;
    assert_eq!((answer.status, &answer.json()["enabled"]), (200, &true.into()));
    until("both came", || async { receiver.got().len() == before + 2 }).await;
    let mut serials: Vec<String> = receiver.got()[before..].iter().map(|one| one.serial().to_owned()).collect();
    // Of two jobs: side by side.
    serials.sort();
    assert_eq!(serials, ["O1", "O2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_rotate_and_both_sign_for_a_time() {
    let broker = start().await;
    let receiver = Receiver::start(|_| Manner::Take).await;
    let hook = broker.hook(json!({ "url": receiver.url() })).await;
    let (hook, old) = (id(&hook), hook["secret"].as_str().unwrap().to_owned());
    let rotated = broker.call("POST", &format!("/v1/webhooks/{hook}/rotate"), Some(&json!({ "overlap_s": 3600 }))).await.json();
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    assert!(rotated["webhook"]["old_secret_until"].is_string());
    assert_eq!(broker.call("POST", &format!("/v1/webhooks/{hook}/test"), None).await.json()["delivered"], true);
    let got = receiver.got().remove(0);
    assert_eq!((got.kind(), got.headers["webhook-signature"].split(' ').count()), ("webhook.test", 2));
    assert!(is_signed(&got, &old) && is_signed(&got, &new));
    // Without an overlap the old one ends at once.
    let last = broker.call("POST", &format!("/v1/webhooks/{hook}/rotate"), Some(&json!({ "overlap_s": 0 }))).await.json();
    broker.call("POST", &format!("/v1/webhooks/{hook}/test"), None).await;
    let got = receiver.got().remove(1);
    assert!(is_signed(&got, last["secret"].as_str().unwrap()) && !is_signed(&got, &new));
    // Ed25519: only the public half is ever shown.
    let made = broker.hook(json!({ "url": receiver.url(), "signing": "asymmetric" })).await;
    assert!(made["secret"].is_null());
    assert!(made["webhook"]["public_key"].as_str().unwrap().starts_with("whpk_"));
    broker.call("POST", &format!("/v1/webhooks/{}/test", id(&made)), None).await;
    assert!(receiver.got()[2].headers["webhook-signature"].starts_with("v1a,"));
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let made = broker.hook(json!({ "url": receiver.url(), "secret": own })).await;
    assert!(made["secret"].is_null(), "a secret that the caller has is not said back");
    broker.call("POST", &format!("/v1/webhooks/{}/test", id(&made)), None).await;
    assert!(is_signed(&receiver.got()[3], own));
    let all = broker.call("GET", "/v1/webhooks", None).await.json();
    for secret in [own, &old, &new, "whsk_"] {
        assert!(!all.to_string().contains(secret), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_one_seller_sees_and_makes_endpoints_of_that_seller_only() {
    let broker = start().await;
    let receiver = Receiver::start(|_| Manner::Take).await;
    let ours = broker.key(Role::Platform, &[SELLER], None).await;
    let theirs = broker.key(Role::Platform, &[OTHER_SELLER], None).await;
    let all = broker.hook(json!({ "url": receiver.url(), "enabled": false })).await;
    let make = |key: &str, body: Value| {
        let (broker, key) = (&broker, key.to_owned());
        async move { broker.call_as(&key, "POST", "/v1/webhooks", Some(&body)).await }
    };
    let mine = make(&ours, json!({ "url": receiver.url() })).await;
    assert_eq!((mine.status, &mine.json()["webhook"]["sellers"]), (201, &json!([SELLER])));
    let mine = id(&mine.json());
    make(&ours, json!({ "url": receiver.url(), "sellers": [OTHER_SELLER] })).await.problem(403, "forbidden");
    let other = make(&theirs, json!({ "url": receiver.url() })).await;
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate"), ("GET", "/deliveries")] {
        for hook in [&mine, &id(&all)] {
            let answer = broker.call_as(&theirs, method, &format!("/v1/webhooks/{hook}{path}"), None).await;
            answer.problem(404, "not_found");
        }
    }
    let list = broker.call_as(&ours, "GET", "/v1/webhooks", None).await.json();
    assert_eq!(list.as_array().unwrap().iter().map(|hook| hook["id"].clone()).collect::<Vec<_>>(), [json!(mine)]);
    assert_eq!(broker.call("GET", "/v1/webhooks", None).await.json().as_array().unwrap().len(), 3);
    broker.cancelled("K1").await;
    until("it came", || async { !receiver.got().is_empty() }).await;
    assert_eq!(receiver.got().len(), 1, "only the endpoint of this seller is open to it");
    let log = format!("/v1/webhooks/{}/deliveries", id(&other.json()));
    assert_eq!(broker.call_as(&theirs, "GET", &log, None).await.json()["deliveries"], json!([]));
    assert_eq!(broker.call_as(&ours, "DELETE", &format!("/v1/webhooks/{mine}"), None).await.status, 204);
    broker.call_as(&ours, "GET", &format!("/v1/webhooks/{mine}"), None).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_or_many_are_replayed_with_their_ids() {
    let broker = start().await;
    let receiver = Receiver::start(|_| Manner::Take).await;
    let hook = id(&broker.hook(json!({ "url": receiver.url() })).await);
    for n in 0..3 {
        broker.cancelled(&format!("P{n}")).await;
    }
    until("all came", || async { receiver.got().len() == 3 }).await;
    let mut ids: Vec<String> = receiver.got().iter().map(|one| one.id().to_owned()).collect();
    ids.sort();
    until("all is kept", || async { broker.show(&hook).await["waiting"] == 0 }).await;
    let replay = |body: Value| {
        let (broker, path) = (&broker, format!("/v1/webhooks/{hook}/replay"));
        async move { broker.call("POST", &path, Some(&body)).await }
    };
    assert_eq!(replay(json!({ "event": ids[1] })).await.json()["queued"], 1);
    until("one came again", || async { receiver.got().len() == 4 }).await;
    assert_eq!(receiver.got()[3].id(), ids[1]);
    until("all is kept", || async { broker.show(&hook).await["waiting"] == 0 }).await;
    assert_eq!(replay(json!({ "since": "2020-01-01T00:00:00Z" })).await.json()["queued"], 3);
    until("all came again", || async { receiver.got().len() == 7 }).await;
    let mut again: Vec<String> = receiver.got()[4..].iter().map(|one| one.id().to_owned()).collect();
    again.sort();
    assert_eq!(again, ids);
    assert_eq!(replay(json!({ "failed": true })).await.json()["queued"], 0);
    replay(json!({ "event": "evt_1_000000000000" })).await.problem(404, "not_found");
    replay(json!({ "event": "nonsense" })).await.problem(400, "invalid_parameter");
    replay(json!({ "since": "yesterday" })).await.problem(400, "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_inside_are_refused_when_they_are_written() {
    let broker = Broker::start().await;
    for url in [
        "http://shop.example/",
        "https://127.0.0.1/",
        "https://[::1]:8470/",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://me@shop.example/",
        "shop.example",
        "https://[::ffff:192.168.0.1]/",
    ] {
        let answer = broker.call("POST", "/v1/webhooks", Some(&json!({ "url": url }))).await;
        answer.problem(422, "webhook_address");
    }
    for body in [
        json!({ "url": "https://shop.example/", "events": ["job.isued"] }),
        json!({ "url": "https://shop.example/", "secret": "whsec_AAAA" }),
        json!({ "url": "https://shop.example/", "sellers": ["x"] }),
        json!({ "url": "https://shop.example/", "description": "x".repeat(500) }),
    ] {
        broker.call("POST", "/v1/webhooks", Some(&body)).await.problem(400, "invalid_parameter");
    }
    // A name that resolves to this machine is refused at every attempt, by what it resolves to.
    let broker = Broker::start_with(|config| config.webhooks.allow_http = true).await;
    let hook = broker.hook(json!({ "url": format!("http://localhost:{}/", broker.address.port()) })).await;
    let answer = broker.call("POST", &format!("/v1/webhooks/{}/test", id(&hook)), None).await.json();
    assert_eq!((&answer["delivered"], &answer["status"]), (&false.into(), &Value::Null));
    assert!(answer["text"].as_str().unwrap().contains("not called"), "{answer}");
}

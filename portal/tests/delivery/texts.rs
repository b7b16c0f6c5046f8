//! Short messages, through a provider that checks what it gets.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use taxdisk_portal::config::{Language, Sms};
use taxdisk_portal::core::outbox::{Channel, Message, Standing};
use taxdisk_portal::post::Channels;
use taxdisk_web::outbound::{Outbound, Resolve, Settings};

use crate::platform::{NOW_S, blue};
use crate::rig::{Rig, guarded, served};

#[derive(Clone, Default)]
pub(crate) struct Provider {
    pub(crate) taken: Arc<Mutex<Vec<Value>>>,
}

async fn take(State(provider): State<Provider>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    let text = format!("{}\n{body}", header("x-sms-timestamp"));
    let signature = hex::decode(header("x-sms-signature")).unwrap_or_default();
    if header("x-sms-key") != "key1" || hmac::verify(&key, text.as_bytes(), &signature).is_err() {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    assert!((header("x-sms-timestamp").parse::<i64>().unwrap() - NOW_S).abs() < 600);
    let body: Value = serde_json::from_str(&body).unwrap();
    if body["to"] == "13800000009" {
        return (StatusCode::UNPROCESSABLE_ENTITY, json!({ "result": "refused", "detail": "no such number" }).to_string());
    }
    let mut taken = provider.taken.lock().unwrap();
    let known = taken.iter().any(|one| one["id"] == body["id"]);
    taken.push(body);
    // The first answer to a number that ends in 7 is lost on its way.
    if !known && taken.last().unwrap()["to"] == "13800000007" {
        return (StatusCode::BAD_GATEWAY, String::new());
    }
    (StatusCode::OK, json!({ "result": if known { "duplicate" } else { "accepted" } }).to_string())
}

/// A configuration for a provider that runs from now on.
pub(crate) async fn config(provider: &Provider) -> (Sms, tempfile::TempDir) {
    let url = served(Router::new().route("/send", post(take)).with_state(provider.clone())).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "secret\n").unwrap();
    let sms = Sms {
        url: format!("{url}/send"),
        key_id: "key1".to_owned(),
        secret_file: dir.path().join("secret"),
        signature_name: "示例".to_owned(),
        language: Language::Zh,
    };
    (sms, dir)
}

async fn rig(provider: &Provider) -> (Rig, tempfile::TempDir) {
    let (sms, dir) = config(provider).await;
    (Rig::start(|config| config.sms = Some(sms)).await, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_signed_taken_once_and_refused_for_good() {
    let provider = Provider::default();
    let (rig, _dir) = rig(&provider).await;
    rig.issue(&blue("SMS1"), &[], &["13800000001", "13800000007", "13800000009", "no number"]).await;
    assert_eq!(rig.send_due().await, 4);
    let standing =
        async |address: &str| rig.messages("SMS1").await.into_iter().find(|message| message.address == address).unwrap().standing;
    assert_eq!(standing("13800000001").await, Standing::Sent);
    assert_eq!(standing("13800000007").await, Standing::Waiting);
    assert_eq!(standing("13800000009").await, Standing::Failed);
    assert_eq!(standing("no number").await, Standing::Failed);
    assert_eq!(rig.state("SMS1", "smsState").await, "1");
    rig.platform.pass(60);
    rig.send_due().await;
    assert_eq!(standing("13800000007").await, Standing::Sent, "the provider knows it by its id");
    let link = rig.platform.portal.link(&rig.request("SMS1").await).await.unwrap().unwrap();
    let text = provider.taken.lock().unwrap()[0]["text"].as_str().unwrap().to_owned();
    assert_eq!(text, format!("【示例】[样票 SAMPLE] 示例商贸有限公司为您开具的电子发票¥113.00已生成，查看下载：{link}"));
    let answer = rig.platform.form("callBackBySms", &[("fpqqlsh", "SMS1"), ("phone", "13800000002")]).await;
    assert_eq!(answer.code(), "0000", "{}", answer.body);
    rig.send_due().await;
    assert_eq!(standing("13800000002").await, Standing::Sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_inside_the_network_is_not_called_unless_that_is_allowed() {
    let provider = Provider::default();
    let (rig, _dir) = rig(&provider).await;
    let portal = &rig.platform.portal;
    let refused = Channels::new(&portal.config, &guarded(), &portal.clock).err().expect("refused at the start").to_string();
    assert!(refused.contains("sms.url") && refused.contains("loopback"), "{refused}");
    assert!(provider.taken.lock().unwrap().is_empty());
}

/// Says that every name is this machine.
struct Here;

#[async_trait::async_trait]
impl Resolve for Here {
    async fn resolve(&self, _host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_name_leads_inside_is_not_called() {
    let provider = Provider::default();
    let (mut rig, _dir) = rig(&provider).await;
    let portal = &rig.platform.portal;
    let mut config = portal.config.clone();
    let sms = config.sms.as_mut().unwrap();
    sms.url = sms.url.replace("127.0.0.1", "sms.provider.example");
    // A name says nothing when the portal starts: what it leads to is judged at every connect.
    let here = Outbound::with_resolver(Settings { allow_http: true, ..Settings::default() }, Arc::new(Here)).unwrap();
    rig.channels = Channels::new(&config, &here, &portal.clock).unwrap();
    rig.issue(&blue("SMS5"), &[], &["13800000001"]).await;
    assert_eq!(rig.send_due().await, 1);
    let message = rig.messages("SMS5").await.remove(0);
    assert_eq!(message.standing, Standing::Waiting);
    assert!(message.attempts[0].text.contains("loopback"), "{:?}", message.attempts);
    assert!(provider.taken.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_gets_thirty_messages_a_day_at_most_whoever_asks() {
    let provider = Provider::default();
    let (rig, _dir) = rig(&provider).await;
    rig.issue(&blue("SMS6"), &[], &[]).await;
    let now = rig.platform.now_s() * 1000;
    let written = rig.platform.portal.ledger.run(move |session| {
        Box::pin(async move {
            for at in 0..29 {
                let message = Message {
                    id: format!("msg_{at}"),
                    tenant: "another".to_owned(),
                    serial: format!("S{at}"),
                    channel: Channel::Sms,
                    address: "13800000003".to_owned(),
                    cause: "issued".to_owned(),
                    standing: Standing::Sent,
                    tries: 1,
                    unclear: false,
                    attempts: Vec::new(),
                    created_at: now,
                    due_at: i64::MAX,
                };
                session.db.put_message(&message).await?;
            }
            Ok(())
        })
    });
    written.await.unwrap();
    let ask = async || rig.platform.form("callBackBySms", &[("fpqqlsh", "SMS6"), ("phone", "13800000003")]).await;
    assert_eq!(ask().await.code(), "0000", "the thirtieth");
    rig.send_due().await;
    let refused = ask().await;
    assert_ne!(refused.code(), "0000", "{}", refused.body);
    assert!(refused.body.contains("30"), "{}", refused.body);
    assert_eq!(rig.messages("SMS6").await.len(), 1);
    rig.platform.pass(24 * 3600);
    assert_eq!(ask().await.code(), "0000", "a day later");
}

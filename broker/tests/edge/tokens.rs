//! Tokens of a login service: what is taken, and what of them is not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use taxdisk_broker::config;
use taxdisk_broker::http::tokens::Tokens;
use taxdisk_protocol::ids::JobKey;

use crate::support::{Broker, OTHER_SELLER, SELLER};

const ISSUER: &str = "https://login.example/";

/// A login service: signs what it is asked to.
struct Login {
    key: SigningKey,
    folder: tempfile::TempDir,
}

impl Login {
    fn new() -> Login {
        let login = Login { key: SigningKey::from_bytes(&[7; 32]), folder: tempfile::tempdir().unwrap() };
        login.publish(&["k1"]);
        login
    }

    /// The set of its keys, under these names.
    fn publish(&self, names: &[&str]) {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        let key = |name: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": name, "x": x });
        let set = json!({ "keys": names.iter().map(key).collect::<Vec<Value>>() });
        std::fs::write(self.folder.path().join("jwks.json"), set.to_string()).unwrap();
    }

    fn settings(&self) -> config::Tokens {
        let keys_file = Some(self.folder.path().join("jwks.json"));
        config::Tokens { issuer: ISSUER.to_owned(), audience: "taxdisk".to_owned(), keys_file, ..config::Tokens::default() }
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(head), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k1" }), claims)
    }
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Claims of a till of one seller, with these changes; `null` takes one away.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "taxdisk", "sub": "till-7", "exp": now_s() + 300,
        "taxdisk_sellers": [SELLER], "scope": "openid taxdisk:submit taxdisk:read",
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn broker(login: &Login) -> Broker {
    let settings = login.settings();
    Broker::start_with(|config| config.tokens = settings).await
}

#[tokio::test]
async fn a_token_does_what_its_claims_say_and_no_more() {
    let login = Login::new();
    let broker = broker(&login).await;
    let till = login.token(&claims(&json!({})));
    assert_eq!(broker.call_as(&till, "POST", "/v1/jobs", Some(&crate::support::job("A1"))).await.status, 201);
    let key = JobKey { seller: SELLER.parse().unwrap(), serial: "A1".parse().unwrap() };
    let history = broker.ledger.history(&key).await.unwrap();
    assert_eq!(history[0].origin.as_ref().unwrap().by, "token:till-7", "the chain says who it was");
    let path = format!("/v1/jobs/{SELLER}/A1");
    assert_eq!(broker.call_as(&till, "GET", &path, None).await.status, 200);
    broker.call_as(&till, "POST", &format!("{path}/cancel"), None).await.problem(403, "forbidden");
    broker.call_as(&till, "GET", &format!("/v1/jobs/{OTHER_SELLER}/A1"), None).await.problem(403, "forbidden");
    broker.call_as(&till, "GET", "/v1/keys", None).await.problem(403, "forbidden");
    // An administrator of everything, and one of one seller only.
    let admin = |sellers: Value| {
        let wanted = json!({ "taxdisk_role": "admin", "taxdisk_sellers": sellers, "scope": "taxdisk:keys", "sub": "anna" });
        login.token(&claims(&wanted))
    };
    assert_eq!(broker.call_as(&admin(json!("*")), "GET", "/v1/keys", None).await.status, 200);
    broker.call_as(&admin(json!([SELLER])), "GET", "/v1/keys", None).await.problem(403, "forbidden");
    assert_eq!(broker.call_as(&broker.platform, "GET", &path, None).await.status, 200, "keys of the broker's own go on");
}

#[tokio::test]
async fn a_token_that_is_not_whole_opens_nothing() {
    let login = Login::new();
    let broker = broker(&login).await;
    let refused = async |token: String, why: &str, code: &str| {
        let answer = broker.call_as(&token, "GET", &format!("/v1/jobs?seller={SELLER}"), None).await;
        let text = answer.text();
        assert!(text.contains(why), "{why}: {text}");
        answer.problem(401, code);
    };
    for (change, why) in [
        (json!({ "iss": "https://other.example/" }), "another service"),
        (json!({ "iss": null }), "iss"),
        (json!({ "aud": "mail" }), "another audience"),
        (json!({ "aud": null }), "aud"),
        (json!({ "exp": null }), "exp"),
        (json!({ "nbf": now_s() + 3600 }), "its time has not come"),
        (json!({ "sub": "" }), "sub"),
        (json!({ "sub": "a b" }), "sub"),
        (json!({ "taxdisk_sellers": null }), "names no seller"),
        (json!({ "taxdisk_sellers": ["x"] }), "no taxpayer number"),
        (json!({ "scope": "openid" }), "names no action"),
    ] {
        refused(login.token(&claims(&change)), why, "unauthorized").await;
    }
    refused(login.token(&claims(&json!({ "exp": now_s() - 3600 }))), "time is over", "key_expired").await;
    let good = claims(&json!({}));
    let thief = Login { key: SigningKey::from_bytes(&[8; 32]), ..Login::new() };
    refused(thief.token(&good), "signature", "unauthorized").await;
    let mut changed = login.token(&good);
    changed.replace_range(changed.len() - 8..changed.len() - 4, "AAAA");
    refused(changed, "signature", "unauthorized").await;
    for (head, why) in [
        (json!({ "alg": "none", "kid": "k1" }), "this token is not taken"),
        (json!({ "alg": "HS256", "kid": "k1" }), "its algorithm"),
        (json!({ "alg": "RS256", "kid": "k1" }), "this token is not taken"),
        (json!({ "alg": "EdDSA" }), "does not name its key"),
        (json!({ "alg": "EdDSA", "kid": "k9" }), "not one of the login service's"),
    ] {
        refused(login.sign(&head, &good), why, "unauthorized").await;
    }
    refused(format!("{}.{}", "a".repeat(9000), "b.c"), "too long", "unauthorized").await;
    // A key that the service has published meanwhile is asked for, once a minute at most; that was used up above.
    login.publish(&["k1", "k2"]);
    let other = Tokens::of(&login.settings()).unwrap().unwrap();
    let by_new = login.sign(&json!({ "alg": "EdDSA", "kid": "k2" }), &good);
    assert_eq!(other.authenticate(&by_new).await.unwrap().id, "token:till-7");
}

#[tokio::test]
async fn a_key_that_was_published_later_is_found() {
    let login = Login::new();
    let tokens = Tokens::of(&login.settings()).unwrap().unwrap();
    login.publish(&["k2"]);
    let token = login.sign(&json!({ "alg": "EdDSA", "kid": "k2" }), &claims(&json!({})));
    assert!(tokens.authenticate(&token).await.is_ok());
    assert!(tokens.authenticate(&login.token(&claims(&json!({})))).await.is_err(), "and one that was taken away is none");
}

#[test]
fn settings_that_would_open_the_door_are_refused() {
    let login = Login::new();
    let with = |change: fn(&mut config::Tokens)| {
        let mut settings = login.settings();
        change(&mut settings);
        Tokens::of(&settings).err().map(|error| error.0).unwrap_or_default()
    };
    assert_eq!(with(|_| ()), "");
    assert!(with(|settings| settings.audience = String::new()).contains("audience"));
    assert!(with(|settings| settings.algorithms = vec!["HS256".to_owned()]).contains("HS256"));
    assert!(with(|settings| settings.algorithms = vec!["none".to_owned()]).contains("none"));
    assert!(with(|settings| settings.algorithms = Vec::new()).contains("algorithms"));
    assert!(with(|settings| settings.keys_file = None).contains("keys_file or keys_url"));
    assert!(with(|settings| settings.keys_file = Some("/nowhere".into())).contains("/nowhere"));
    assert!(
        with(|settings| {
            settings.keys_file = None;
            settings.keys_url = Some("http://login.example/jwks".to_owned());
        })
        .contains("keys_url")
    );
    let off = config::Tokens { issuer: String::new(), ..login.settings() };
    assert!(Tokens::of(&off).unwrap().is_none(), "without an issuer none is taken");
}

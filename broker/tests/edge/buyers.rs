//! What is kept about a buyer: handed out whole, removed where it may go, and what must stay stays.

use serde_json::{Value, json};
use taxdisk_broker::ledger::Settings;

use crate::support::{Broker, OTHER_SELLER, SELLER, job};

const NAME: &str = "王小明";
const PHONE: &str = "13800000099";

/// A job for a buyer of this name.
fn bought(serial: &str, name: &str) -> Value {
    let mut body = job(serial);
    body["invoice"]["buyer"] = json!({ "name": name, "taxpayer_number": OTHER_SELLER, "address_phone": format!("北京 {PHONE}") });
    body
}

async fn submitted(broker: &Broker, serial: &str, name: &str) {
    let answer = broker.call("POST", "/v1/jobs", Some(&bought(serial, name))).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[tokio::test]
async fn a_buyer_gets_a_copy_and_is_forgotten_and_the_serial_number_is_not() {
    let broker = Broker::start_set(Settings::default()).await;
    submitted(&broker, "A1", NAME).await;
    submitted(&broker, "A2", NAME).await;
    submitted(&broker, "B1", "别人").await;
    let cancel = format!("/v1/jobs/{SELLER}/A1/cancel");
    assert_eq!(broker.call("POST", &cancel, None).await.status, 200);
    let export = async |query: Value| {
        let answer = broker.call_as(&broker.admin, "POST", "/v1/buyers:export", Some(&query)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut serials: Vec<String> =
            answer.json()["jobs"].as_array().unwrap().iter().map(|job| job["serial"].as_str().unwrap().to_owned()).collect();
        serials.sort_unstable();
        serials
    };
    assert_eq!(export(json!({ "name": NAME })).await, ["A1", "A2"]);
    assert_eq!(export(json!({ "contact": PHONE })).await, ["A1", "A2", "B1"]);
    assert_eq!(export(json!({ "contact": PHONE, "name": "别人", "seller": SELLER })).await, ["B1"]);
    assert_eq!(export(json!({ "taxpayer_number": OTHER_SELLER.to_lowercase() })).await, ["A1", "A2", "B1"]);
    for nobody in [json!({}), json!({ "name": " " }), json!({ "seller": SELLER }), json!({ "contact": "138" })] {
        broker.call_as(&broker.admin, "POST", "/v1/buyers:export", Some(&nobody)).await.problem(400, "invalid_parameter");
    }
    broker.call("POST", "/v1/buyers:export", Some(&json!({ "name": NAME }))).await.problem(403, "forbidden");

    let erase = json!({ "buyer": { "name": NAME }, "reason": "he asked for it, letter 12" });
    let dry = json!({ "buyer": { "name": NAME }, "reason": "", "dry_run": true });
    let looked = broker.call_as(&broker.admin, "POST", "/v1/buyers:erase", Some(&dry)).await.json();
    assert!(looked["jobs"].as_array().unwrap().iter().all(|line| line["erased"] == json!(false)), "{looked}");
    assert_eq!(export(json!({ "name": NAME })).await, ["A1", "A2"], "looking removes nothing");
    let done = broker.call_as(&broker.admin, "POST", "/v1/buyers:erase", Some(&erase)).await.json();
    let line =
        |serial: &str| done["jobs"].as_array().unwrap().iter().find(|line| line["serial"] == json!(serial)).unwrap().clone();
    assert_eq!((line("A1")["erased"].clone(), line("A2")["kept"].clone()), (json!(true), json!("open")), "{done}");
    assert_eq!(export(json!({ "name": NAME })).await, ["A2"]);
    let left = broker.call("GET", &format!("/v1/jobs/{SELLER}/A1"), None).await.text();
    assert!(!left.contains(NAME) && !left.contains(PHONE), "{left}");

    // I1 and I6: the number is known for ever, by the hash of its content.
    let again = broker.call("POST", "/v1/jobs", Some(&bought("A1", NAME))).await;
    assert_eq!((again.status, &again.json()["repeated"]), (200, &json!(true)));
    broker.call("POST", "/v1/jobs", Some(&bought("A1", "另一个"))).await.problem(409, "conflict");
    // The chain holds who asked and why, and nobody's name; and it verifies.
    let entries = broker.ledger.audit_entries(SELLER, 0, 1000).await.unwrap();
    for (what, serial) in [("buyer_exported", "A2"), ("buyer_erased", "A1")] {
        let entry = entries.iter().find(|entry| entry.what == what).unwrap();
        assert!(entry.body.contains(serial) && !entry.body.contains(NAME), "{}", entry.body);
    }
    let whole = broker.call_as(&broker.admin, "GET", "/v1/audit/verify", None).await;
    assert!(whole.status == 200 && !whole.text().contains("broken"), "{}", whole.text());
    broker
        .call_as(&broker.admin, "POST", "/v1/buyers:erase", Some(&json!({ "buyer": { "name": NAME }, "reason": " " })))
        .await
        .problem(400, "invalid_parameter");
}

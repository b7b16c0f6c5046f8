//! The two-person rule at the edge: the API answers 202, the console shows what waits, another person confirms.

use serde_json::json;
use taxdisk_broker::core::people::ConsoleRole;
use taxdisk_broker::ledger::{Settings, TwoPersons};
use taxdisk_protocol::api::Role;

use crate::console::{Browser, location};
use crate::support::Broker;

const BOTH: TwoPersons = TwoPersons { settle: true, bulk_reissue: true, reconcile: true, valid_s: 3600 };

#[tokio::test]
async fn a_bulk_re_issue_waits_for_another_person_and_begins_then() {
    let broker = Broker::start_set(Settings { two_persons: BOTH, ..Settings::default() }).await;
    let mut anna = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let mut bert = Browser::of(&broker, "bert", ConsoleRole::Operator).await;
    let mut carla = Browser::of(&broker, "carla", ConsoleRole::Administrator).await;
    let request = |dry_run: bool| json!({ "key": "b1", "filter": {}, "reason": "the disk was repaired", "dry_run": dry_run });
    let looked = broker.call("POST", "/v1/jobs:reissue", Some(&request(true))).await;
    assert_eq!(looked.status, 200, "looking takes one person");
    let answer = broker.call("POST", "/v1/jobs:reissue", Some(&request(false))).await;
    let (status, proposal) = (answer.status, answer.json());
    let id = proposal["id"].as_str().unwrap().to_owned();
    assert_eq!((status, &proposal["what"]["what"]), (202, &json!("bulk_reissue")), "{proposal}");
    broker.call("GET", "/v1/jobs:reissue/b1", None).await.problem(404, "not_found");
    let path = format!("/v1/proposals/{id}/confirm");
    broker.call("POST", &path, None).await.problem(403, "forbidden");
    assert_eq!(broker.call_as(&broker.admin, "GET", "/v1/proposals", None).await.json()[0]["id"], json!(id));
    for browser in [&mut anna, &mut bert] {
        let text = browser.get("/console/proposals").await.text();
        assert!(text.contains(&id) && text.contains("the disk was repaired"), "{text}");
    }
    assert_eq!(bert.post(&format!("/console/proposals/{id}/confirm"), &[("confirm", "yes")]).await.status, 403, "an operator");
    let confirm = format!("/console/proposals/{id}/confirm");
    assert_eq!(anna.post(&confirm, &[]).await.status, 422, "not ticked");
    assert_eq!(location(&anna.post(&confirm, &[("confirm", "yes")]).await), "/console/bulk/b1");
    assert_eq!(broker.call("GET", "/v1/jobs:reissue/b1", None).await.status, 200);
    assert_eq!(broker.call("POST", "/v1/jobs:reissue", Some(&request(false))).await.json()["key"], json!("b1"), "it has begun");
    broker.call_as(&broker.admin, "POST", &path, None).await.problem(404, "not_found");
    // In the console: whoever proposed it sees that he cannot confirm it, and another one declines it.
    carla.get("/console/bulk").await;
    let text = carla.post("/console/bulk", &[("state", "failed"), ("reason", "once more")]).await.text();
    let field = |name: &str| crate::console::after(&text, &format!("name=\"{name}\" value=\""), "\"").unwrap().to_owned();
    let request = field("request").replace("&#34;", "\"").replace("&quot;", "\"");
    let begin = [("request", request.as_str()), ("seen", &field("seen")), ("confirm", "yes")];
    assert_eq!(location(&carla.post("/console/bulk/begin", &begin).await), "/console/proposals?done=done_proposed");
    let own = carla.get("/console/proposals").await.text();
    assert!(own.contains("You proposed this yourself"), "{own}");
    let id = broker.ledger.proposals().await.unwrap()[0].id.clone();
    assert_eq!(carla.post(&format!("/console/proposals/{id}/confirm"), &[("confirm", "yes")]).await.status, 409);
    anna.get("/console/proposals").await;
    assert_eq!(anna.post(&format!("/console/proposals/{id}/decline"), &[("reason", "no")]).await.status, 303);
    assert!(broker.ledger.proposals().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_unsettled_is_not_proposed_and_a_reason_is_needed() {
    let broker = Broker::start_set(Settings { two_persons: BOTH, ..Settings::default() }).await;
    broker.submit("A1").await;
    let current = json!({ "code": "011002000107", "number": "00000001" });
    let settle = json!({ "decision": "not_issued", "current": current, "expected": "absent", "reason": "read", "revision": 1 });
    let path = format!("/v1/jobs/{}/A1/settle", crate::support::SELLER);
    broker.call_as(&broker.admin, "POST", &path, Some(&settle)).await.problem(409, "settle_not_unsettled");
    assert_eq!(broker.call_as(&broker.admin, "GET", "/v1/proposals", None).await.json(), json!([]));
    let decline = json!({ "reason": "no" });
    broker.call_as(&broker.admin, "POST", "/v1/proposals/pr_x/decline", Some(&decline)).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_word_on_a_ledger_that_went_back_waits_for_another_person() {
    let broker = Broker::start_set(Settings { two_persons: BOTH, ..Settings::default() }).await;
    let mut anna = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let path = "/v1/reconcile/disks/661234567890/release-unread";
    let answer = broker.call_as(&broker.admin, "POST", path, Some(&json!({ "reason": "burnt" }))).await;
    let (status, proposal) = (answer.status, answer.json());
    assert_eq!((status, &proposal["what"]), (202, &json!({ "what": "release_unread", "disk": "661234567890" })), "{proposal}");
    let id = proposal["id"].as_str().unwrap();
    let confirm = format!("/v1/proposals/{id}/confirm");
    broker.call_as(&broker.admin, "POST", &confirm, None).await.problem(409, "second_person");
    let pair = json!({ "code": "011002000107", "number": "00000001" });
    let number = json!({ "disk": "661234567890", "kind": "025", "pair": pair, "reason": "asked the shop" });
    let answer = broker.call_as(&broker.admin, "POST", "/v1/reconcile/numbers", Some(&number)).await;
    assert_eq!((answer.status, &answer.json()["what"]["request"]["pair"]), (202, &pair));
    let page = anna.get("/console/proposals").await.text();
    assert!(page.contains("Recount: a disk is let go unread") && page.contains("Recount: whose a number is"), "{page}");
    // This ledger did not go back: what waits cannot be done, and says so to whoever confirms it.
    let refused = anna.post(&format!("/console/proposals/{id}/confirm"), &[("confirm", "yes")]).await;
    assert_eq!(refused.status, 404, "{}", refused.text());
    assert_eq!(broker.ledger.proposals().await.unwrap().len(), 2);
}

#[tokio::test]
async fn whoever_proposed_takes_it_back_and_everybody_reads_in_words_what_waits() {
    let broker = Broker::start_set(Settings { two_persons: BOTH, ..Settings::default() }).await;
    let mut bert = Browser::of(&broker, "bert", ConsoleRole::Operator).await;
    let mut vera = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let other = broker.key(Role::Platform, &[], None).await;
    let filter = json!({ "problem": "disk_trouble", "serial": "TILL" });
    let request = json!({ "key": "b1", "filter": filter, "reason": "the disk was repaired" });
    let id = broker.call("POST", "/v1/jobs:reissue", Some(&request)).await.json()["id"].as_str().unwrap().to_owned();
    let page = vera.get("/console/proposals").await.text();
    for words in ["code of the problem: disk_trouble", "serial number begins with: TILL", "state: failed", "seller: all of them"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let chinese = vera.get("/console/proposals?lang=zh").await.text();
    assert!(chinese.contains("问题代码：disk_trouble") && chinese.contains("流水号开头：TILL"), "{chinese}");
    for page in [&page, &chinese] {
        assert!(!page.contains("bulk_reissue") && !page.contains("&#34;filter"), "not as JSON: {page}");
        assert!(!page.contains("/withdraw") && !page.contains("/confirm"), "a viewer only reads: {page}");
    }
    // A platform takes its own back, and no other one's; the answer to another one is no other for an administrator.
    let (path, reason) = (format!("/v1/proposals/{id}/withdraw"), json!({ "reason": "wrong filter" }));
    for stranger in [&other, &broker.admin] {
        broker.call_as(stranger, "POST", &path, Some(&reason)).await.problem(403, "forbidden");
    }
    broker.call("POST", &path, Some(&json!({ "reason": "" }))).await.problem(400, "invalid_parameter");
    assert_eq!(broker.ledger.proposals().await.unwrap().len(), 1);
    assert_eq!(broker.call("POST", &path, Some(&reason)).await.status, 204);
    broker.call("POST", &path, Some(&reason)).await.problem(404, "not_found");
    broker.call("GET", "/v1/jobs:reissue/b1", None).await.problem(404, "not_found");
    // In the console: an operator, who may confirm nothing, takes back what he proposed.
    let id = broker.call("POST", "/v1/jobs:reissue", Some(&request)).await.json()["id"].as_str().unwrap().to_owned();
    bert.get("/console/bulk").await;
    let text = bert.post("/console/bulk", &[("state", "failed"), ("reason", "mine")]).await.text();
    let field = |name: &str| crate::console::after(&text, &format!("name=\"{name}\" value=\""), "\"").unwrap().to_owned();
    let asked = field("request").replace("&#34;", "\"").replace("&quot;", "\"");
    let begin = [("request", asked.as_str()), ("seen", &field("seen")), ("confirm", "yes")];
    assert_eq!(location(&bert.post("/console/bulk/begin", &begin).await), "/console/proposals?done=done_proposed");
    let own = broker.ledger.proposals().await.unwrap().into_iter().find(|view| view.id != id).unwrap().id;
    let page = bert.get("/console/proposals").await.text();
    assert!(page.contains(&format!("/console/proposals/{own}/withdraw")), "{page}");
    assert!(!page.contains(&format!("/console/proposals/{id}/withdraw")) && !page.contains("/decline"), "{page}");
    let post = async |browser: &mut Browser, id: &str| {
        browser.post(&format!("/console/proposals/{id}/withdraw"), &[("reason", "looked again")]).await
    };
    vera.get("/console/proposals").await;
    assert_eq!(post(&mut vera, &own).await.status, 403, "a viewer");
    assert_eq!(post(&mut bert, &id).await.status, 403, "another one's");
    assert_eq!(location(&post(&mut bert, &own).await), "/console/proposals?done=done_withdrawn");
    assert!(bert.get("/console/proposals?done=done_withdrawn").await.text().contains("It is taken back"));
    let left = broker.ledger.proposals().await.unwrap();
    assert_eq!(left.into_iter().map(|view| view.id).collect::<Vec<_>>(), [id]);
    let chain = broker.call_as(&broker.admin, "GET", "/v1/audit?limit=100", None).await.text();
    assert!(chain.contains("withdrawn") && chain.contains("looked again") && chain.contains("console:bert"), "{chain}");
}

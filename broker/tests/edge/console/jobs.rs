//! Jobs in the console: found, re-issued, withdrawn and settled through the calls of the API.

use serde_json::json;
use taxdisk_broker::core::people::ConsoleRole;
use taxdisk_broker::ledger::JobFilter;
use taxdisk_protocol::api::JobState;
use taxdisk_protocol::ids::JobKey;

use super::{Browser, Live};
use crate::link::{Agent, DISK, disks};
use crate::support::{Broker, SELLER, job, until};

#[tokio::test]
async fn jobs_are_listed_a_page_at_a_time_and_found_by_what_is_in_the_hand() {
    let broker = Broker::start().await;
    for number in 0..60 {
        assert_eq!(broker.call("POST", "/v1/jobs", Some(&job(&format!("L{number}")))).await.status, 201);
    }
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = browser.get("/console/jobs?state=queued").await.text();
    assert!(text.contains(">L59<") && text.contains(">L10<") && !text.contains(">L9<"), "newest first, fifty of them");
    let next = super::after(&text, "<a href=\"?state=queued&#38;cursor=", "\"").expect("a next page");
    let text = browser.get(&format!("/console/jobs?state=queued&cursor={next}")).await.text();
    assert!(text.contains(">L9<") && text.contains(">L0<") && !text.contains(">L10<"));
    assert!(!text.contains("rel=\"next\""), "the last page");
    let found = browser.get(&format!("/console/jobs?serial=L7&seller={SELLER}")).await.text();
    assert!(found.contains(">L7<") && !found.contains(">L59<"), "{found}");
    for other in ["serial=L7&state=issued", "serial=L7&seller=91110000MA0000001L", "serial=L7&waiting=paused"] {
        let text = browser.get(&format!("/console/jobs?{other}")).await.text();
        assert!(text.contains("Nothing matches"), "{other}: what was asked for beside it holds too");
    }
    assert!(browser.get("/console/jobs?waiting=no_disk").await.text().contains(">L59<"));
    assert!(!browser.get("/console/jobs?state=issued").await.text().contains(">L59<"));
    assert!(browser.get("/console/jobs?number=011002100111+12345678").await.text().contains("Nothing matches"));
    assert_eq!(browser.get("/console/jobs?state=lost").await.status, 400);
    assert_eq!(browser.get("/console/jobs?cursor=q").await.status, 400);
}

#[tokio::test]
async fn a_job_is_withdrawn_and_issued_again_by_its_operator_under_the_same_number() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let path = format!("/console/jobs/{SELLER}/A1");
    let mut viewer = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = viewer.get(&path).await.text();
    assert!(!text.contains("/reissue\"") && !text.contains("/cancel\""), "who may not has no button: {text}");
    let mut browser = Browser::of(&broker, "olaf", ConsoleRole::Operator).await;
    assert!(browser.get(&path).await.text().contains("to re-issue now changes nothing"));
    assert_eq!(browser.post(&format!("{path}/cancel"), &[("reason", "why")]).await.status, 422, "not confirmed");
    let cancel = [("reason", "sold twice"), ("confirm", "yes")];
    assert_eq!(browser.post(&format!("{path}/cancel"), &cancel).await.status, 303);
    let text = browser.get(&path).await.text();
    assert!(text.contains("console:olaf") && text.contains("sold twice") && text.contains("127.0.0.1"), "{text}");
    assert!(!text.contains("/cancel\""), "what has ended is not withdrawn: {text}");
    let mut anna = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    assert!(!anna.get(&path).await.text().contains("/settle\""), "only what is unsettled is settled");
    let answer = browser.post(&format!("{path}/reissue"), &[("reason", "")]).await;
    assert_eq!(answer.status, 422, "a reason is wanted: {}", answer.text());
    for done in ["done_requeued", "done_in_progress"] {
        let answer = browser.post(&format!("{path}/reissue"), &[("reason", "the sale was good")]).await;
        assert!(answer.status == 303 && answer.head.contains(done), "{}", answer.head);
    }
    assert_eq!(broker.stored().await, 1, "it is one job whatever is clicked");
    assert_eq!(browser.post(&format!("{path}/settle"), &[]).await.status, 403, "an operator settles nothing");
    assert_eq!(browser.get(&format!("/console/jobs/{SELLER}/NONE")).await.status, 404);
}

#[tokio::test]
async fn only_an_unsettled_job_is_settled_and_the_page_says_what_the_api_would() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let path = format!("/console/jobs/{SELLER}/A1/settle");
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let fields = |confirm: &'static str| {
        [
            ("decision", "not_issued"),
            ("expected", "absent"),
            ("current_code", "011002100111"),
            ("current_number", "00000001"),
            ("reason", "read twice"),
            ("revision", "1"),
            ("confirm", confirm),
        ]
    };
    assert_eq!(browser.post(&path, &fields("")).await.status, 422, "not confirmed");
    let answer = browser.post(&path, &fields("yes")).await;
    let text = answer.text();
    assert!(answer.status == 409 && text.contains("settle_not_unsettled"), "{text}");
    assert!(text.contains("Does an invoice exist?"), "{text}");
    assert_eq!(browser.post(&path, &[("confirm", "yes")]).await.status, 400, "nothing was said");
}

#[tokio::test]
async fn the_overview_counts_what_waits_and_is_fresh_by_events() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = browser.get("/console").await.text();
    assert!(text.contains("/console/jobs?waiting=no_disk"), "{text}");
    assert!(text.contains("sse-connect=\"/console/live\""));
    for name in ["htmx-", "htmx-sse-"] {
        let script = super::after(&text, &format!("<script src=\"/console/assets/{name}"), "\"").unwrap().to_owned();
        assert_eq!(browser.get(&format!("/console/assets/{name}{script}")).await.status, 200);
    }
    let part = browser.get("/console/now").await.text();
    assert!(part.contains("Open jobs") && !part.contains("<html"), "{part}");
    let cookie = browser.cookie.clone().unwrap();
    let mut live = Live::open(&broker, &cookie).await;
    live.until("200 ok").await;
    broker.call("POST", "/v1/jobs", Some(&job("A2"))).await;
    live.until("event: changed").await;
    assert_eq!(browser.post("/console/sign-out", &[]).await.status, 303);
    broker.call("POST", "/v1/jobs", Some(&job("A3"))).await;
    live.end().await;
}

#[tokio::test]
async fn what_a_page_asks_by_itself_keeps_no_session_open() {
    use taxdisk_web::signin::session::IDLE_MS;
    let hands = super::Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    for _ in 0..4 {
        hands.on(IDLE_MS / 4 - 1);
        assert_eq!(browser.get("/console/now").await.status, 200);
    }
    hands.on(5);
    let answer = browser.get("/console/now").await;
    assert!(answer.status == 204 && answer.head.contains("hx-redirect: /console/sign-in"), "{}", answer.head);
    assert_eq!(browser.get("/console").await.status, 303);
}

#[tokio::test]
async fn what_callers_write_is_shown_as_text() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let reason = json!({ "reason": "<script>alert(1)</script>" });
    broker.call("POST", &format!("/v1/jobs/{SELLER}/A1/cancel"), Some(&reason)).await;
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = browser.get(&format!("/console/jobs/{SELLER}/A1")).await.text();
    assert!(!text.contains("<script>alert") && text.contains("&#60;script&#62;alert"), "{text}");
}

#[tokio::test]
async fn an_unsettled_job_is_settled_with_both_readings_by_who_looked_last() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    broker.submit("A1").await;
    let mut link = agent.join(&broker, 1).await;
    link.send(&disks()).await;
    let grant = link.next().await;
    let assign = link.next().await;
    let pair = json!({ "code": "011002000107", "number": "00000001" });
    let attempt = json!({ "seller": SELLER, "serial": "A1", "attempt": 1 });
    link.send(&json!({ "type": "started", "disk": DISK, "epoch": grant["epoch"], "attempt": attempt, "expected": pair })).await;
    link.send(&json!({
        "type": "outcome", "id": "o1", "disk": DISK, "epoch": grant["epoch"], "sequence": assign["assignment"]["sequence"],
        "attempt": attempt, "expected": pair, "readings": [], "disk_ms": 20,
        "outcome": { "result": "unsettled", "class": "link", "text": "the line broke" },
    }))
    .await;
    let key = JobKey { seller: SELLER.parse().unwrap(), serial: "A1".parse().unwrap() };
    until("it is unsettled", || async { broker.ledger.job(&key).await.unwrap().state == JobState::Unsettled }).await;
    let path = format!("/console/jobs/{SELLER}/A1");
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let text = browser.get(&path).await.text();
    assert!(
        text.contains("First reading") && text.contains("Second reading") && text.contains("011002000107 00000001"),
        "{text}"
    );
    let mut operator = Browser::of(&broker, "olaf", ConsoleRole::Operator).await;
    assert!(!operator.get(&path).await.text().contains("First reading"), "an operator settles nothing");
    let revision = super::after(&text, "name=\"revision\" value=\"", "\"").unwrap().to_owned();
    let fields = |expected: &'static str, number: &'static str, revision: &str| {
        let all = [
            ("decision", "not_issued"),
            ("expected", expected),
            ("current_code", "011002000107"),
            ("current_number", number),
            ("reason", "read at the disk"),
            ("confirm", "yes"),
        ];
        let mut all: Vec<(String, String)> = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        all.push(("revision".to_owned(), revision.to_owned()));
        all
    };
    let path = format!("{path}/settle");
    for (fields, code) in [
        (fields("absent", "00000001", "1"), "settle_revision"),
        (fields("absent", "00000002", &revision), "settle_contradiction"),
        (fields("absent", "", &revision), "settle_needs_readings"),
    ] {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = browser.post(&path, &fields).await;
        assert!(answer.text().contains(code), "{code}: {}", answer.text());
    }
    assert_eq!(broker.ledger.job(&key).await.unwrap().state, JobState::Unsettled);
    let good = fields("absent", "00000001", &revision);
    let good: Vec<(&str, &str)> = good.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = browser.post(&path, &good).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let job = broker.ledger.job(&key).await.unwrap();
    assert_ne!(job.state, JobState::Unsettled);
    let evidence = job.evidence.iter().find(|one| one.what == "settled_by_hand").unwrap();
    assert_eq!(evidence.body["by"], "console:anna");
}

#[tokio::test]
async fn many_jobs_are_issued_again_only_from_the_page_that_said_what_it_would_do() {
    let broker = Broker::start().await;
    for serial in ["B1", "B2", "C1"] {
        broker.submit(serial).await;
        broker.call("POST", &format!("/v1/jobs/{SELLER}/{serial}/cancel"), None).await;
    }
    let mut browser = Browser::of(&broker, "olaf", ConsoleRole::Operator).await;
    browser.get("/console/bulk").await;
    let fields = [("state", "cancelled"), ("serial", "B"), ("reason", "the stock is back")];
    let text = browser.post("/console/bulk", &fields).await.text();
    assert!(text.contains(">B1<") && text.contains(">B2<") && !text.contains(">C1<"), "{text}");
    for kept in
        ["<option value=\"cancelled\" selected>", "name=\"serial\" value=\"B\"", "name=\"reason\" value=\"the stock is back\""]
    {
        assert!(text.contains(kept), "whoever looks once more changes one field, and writes none anew: {kept}: {text}");
    }
    let field = |name: &str| {
        let value = super::after(&text, &format!("name=\"{name}\" value=\""), "\"").unwrap();
        value.replace("&#34;", "\"").replace("&#38;", "&")
    };
    let (request, seen) = (field("request"), field("seen"));
    let cancelled = async || {
        let filter = JobFilter { states: vec![JobState::Cancelled], ..JobFilter::default() };
        broker.ledger.jobs(&filter, None, 10).await.unwrap().jobs.len()
    };
    assert_eq!(cancelled().await, 3, "nothing was done yet");
    let wider = request.replace("\"B\"", "\"\"");
    assert_ne!(wider, request);
    for fields in [
        vec![("request", request.as_str()), ("confirm", "yes")],
        vec![("request", wider.as_str()), ("seen", seen.as_str()), ("confirm", "yes")],
        vec![("request", request.as_str()), ("seen", seen.as_str())],
    ] {
        assert_eq!(browser.post("/console/bulk/begin", &fields).await.status, 422, "{fields:?}");
    }
    assert_eq!(cancelled().await, 3);
    let fields = [("request", request.as_str()), ("seen", seen.as_str()), ("confirm", "yes")];
    let mut to = String::new();
    for _ in 0..2 {
        let answer = browser.post("/console/bulk/begin", &fields).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let path =
            super::after(&answer.head, "location: ", "\r").unwrap_or_else(|| answer.head.rsplit("location: ").next().unwrap());
        to = path.lines().next().unwrap().to_owned();
    }
    until("both are queued again", || async { cancelled().await == 1 }).await;
    until("the page says that it is done", || {
        let mut other = browser.again();
        let to = to.clone();
        async move { other.get(&to).await.text().contains("It is done") }
    })
    .await;
}

#[tokio::test]
async fn the_chains_are_searched_and_verified_by_an_auditor() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let mut browser = Browser::of(&broker, "ada", ConsoleRole::Auditor).await;
    let text = browser.get("/console/audit?word=user_added").await.text();
    assert!(text.contains("user_added") && text.contains("ada") && !text.contains("key_created"), "{text}");
    let text = browser.get(&format!("/console/audit?seller={SELLER}&word=A1")).await.text();
    assert!(text.contains("accepted") && text.contains(&format!("/console/jobs/{SELLER}/A1")), "{text}");
    assert!(text.contains("lang=zh\""), "what can be read again can be read in another language: {text}");
    let text = browser.post("/console/audit/verify", &[("seller", "")]).await.text();
    assert!(text.contains("Everything is as it was written") && text.contains(SELLER), "{text}");
    assert!(!text.contains("lang=zh\""), "the answer to a form has no address: {text}");
}

#[tokio::test]
async fn a_key_is_made_shown_once_and_revoked_under_the_persons_name() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    for wrong in ["", "root"] {
        assert_eq!(browser.post("/console/keys", &[("name", "shop"), ("role", wrong)]).await.status, 422, "{wrong:?}");
    }
    let text = browser.post("/console/keys", &[("name", "shop"), ("role", "platform"), ("sellers", SELLER)]).await.text();
    let key = super::after(&text, "<code>", "</code>").unwrap().to_owned();
    let caller = broker.ledger.authenticate(&key).unwrap();
    assert_eq!(caller.sellers.len(), 1);
    assert!(!browser.get("/console/keys").await.text().contains(&key));
    let path = format!("/console/keys/{}/revoke", caller.id);
    assert_eq!(browser.post(&path, &[]).await.status, 422);
    assert_eq!(browser.post(&path, &[("confirm", "yes")]).await.status, 303);
    assert!(broker.ledger.authenticate(&key).is_err());
    assert_eq!(browser.post("/console/webhooks/wh_none/replay", &[]).await.status, 404);
    let entries = broker.ledger.audit_entries("", 0, 1000).await.unwrap();
    assert!(entries.iter().any(|entry| entry.what == "key_created" && entry.body.contains("console:anna")));
}

#[tokio::test]
async fn another_language_keeps_what_was_searched_for() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = browser.get("/console/jobs?state=failed&lang=zh&word=a%26b").await.text();
    assert!(text.contains("href=\"?state=failed&#38;word=a%26b&#38;lang=en\""), "{text}");
    let text = browser.get("/console/jobs").await.text();
    assert!(text.contains("href=\"?lang=zh\""), "{text}");
}

#[tokio::test]
async fn a_search_of_the_chain_looks_at_so_much_and_goes_on_from_there() {
    let broker = Broker::start().await;
    for n in 0..60 {
        broker.submit(&format!("A{n}")).await;
    }
    let mut browser = Browser::of(&broker, "ada", ConsoleRole::Auditor).await;
    let path = format!("/console/audit?seller={SELLER}&word=accepted");
    let text = browser.get(&path).await.text();
    assert_eq!(text.matches("<tr><td>").count(), 50, "a page");
    let before = text.split_once("\" rel=\"next\"").expect("a next page").0;
    let next = before.rsplit("href=\"?").next().unwrap().replace("&#38;", "&");
    let rest = browser.get(&format!("/console/audit?{next}")).await.text();
    assert_eq!(rest.matches("<tr><td>").count(), 10, "{rest}");
    assert!(!rest.contains("rel=\"next\""));
    assert_eq!(browser.get("/console/audit?seller=x").await.status, 400);
}

#[tokio::test]
async fn a_long_dry_run_shows_its_counts_and_the_first_hundred() {
    let broker = Broker::start().await;
    for n in 0..103 {
        broker.submit(&format!("B{n}")).await;
        broker.call("POST", &format!("/v1/jobs/{SELLER}/B{n}/cancel"), None).await;
    }
    let mut browser = Browser::of(&broker, "olaf", ConsoleRole::Operator).await;
    let fields = [("state", "cancelled"), ("reason", "the stock is back")];
    let text = browser.post("/console/bulk", &fields).await.text();
    assert_eq!(text.matches(&format!("href=\"/console/jobs/{SELLER}/")).count(), 100);
    assert!(text.contains("<dd>103</dd>"), "{text}");
    // The digest is of one session: another one begins nothing with it.
    let field = |name: &str| super::after(&text, &format!("name=\"{name}\" value=\""), "\"").unwrap().replace("&#34;", "\"");
    let (request, seen) = (field("request"), field("seen"));
    let mut other = Browser::of(&broker, "otto", ConsoleRole::Operator).await;
    let fields = [("request", request.as_str()), ("seen", seen.as_str()), ("confirm", "yes")];
    assert_eq!(other.post("/console/bulk/begin", &fields).await.status, 422);
    assert_eq!(other.post("/console/bulk", &[("state", "cancelled")]).await.status, 422, "a reason is wanted");
}

#[tokio::test]
async fn a_job_of_many_events_shows_the_newest() {
    let hands = super::Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    broker.submit("A1").await;
    let path = format!("/v1/jobs/{SELLER}/A1");
    for turn in 0..105 {
        // A job is issued again so often in a day at most.
        if turn % 20 == 0 {
            hands.on(24 * 3600 * 1000);
        }
        let reason = json!({ "reason": format!("turn {turn}.") });
        assert_eq!(broker.call("POST", &format!("{path}/cancel"), Some(&reason)).await.status, 200);
        assert_eq!(broker.call("POST", &format!("{path}/reissue"), Some(&reason)).await.status, 200);
    }
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = browser.get(&format!("/console/jobs/{SELLER}/A1")).await.text();
    assert!(text.contains("turn 104.") && text.contains("turn 5.") && !text.contains("turn 4."), "two hundred of 211");
}

#[tokio::test]
async fn links_to_another_language_keep_the_question_and_a_page_says_only_what_it_knows() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = browser.get("/console/jobs?state=failed&serial=%22%3E%3Cb%3E&done=done_saved&lang=en").await.text();
    assert!(text.contains("href=\"?state=failed&#38;serial=%22%3E%3Cb%3E&#38;done=done_saved&#38;lang=zh\""), "{text}");
    assert!(text.contains("Saved") && !text.contains("<b>"), "{text}");
    for none in ["done_evil", "password", "%3Cscript%3E"] {
        let text = browser.get(&format!("/console/jobs?done={none}")).await.text();
        assert!(!text.contains("role=\"status\""), "{none}: {text}");
    }
    let answer = browser.get("/console/jobs?lang=zh").await;
    assert!(answer.text().contains("<html lang=\"zh\">") && answer.head.contains("set-cookie: lang=zh"), "{}", answer.head);
}

//! One job is one trace, from its submission to the disk and back, over both programs and over a restart in the middle; and a
//! trace decides nothing. The programs are built with the feature `otel` for this, as `cargo xtask test` does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use taxdisk_protocol::api::JobState;
use taxdisk_protocol::trace::{HAND_OVER, Traceparent};
use taxdisk_tests::jobs::{SELLER, coffee};
use taxdisk_tests::oracle;
use taxdisk_tests::otlp::{Receiver, Seen};
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

/// The caller's span.
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn broker(receiver: &Receiver) -> String {
    format!(
        "[traces]\nendpoint = \"{}\"\n[log]\nformat = \"json\"\n[webhooks]\nallow_http = true\nallow_networks = [\"127.0.0.1/32\"]\n",
        receiver.url
    )
}

/// The head of each message and its body.
type Messages = Arc<Mutex<Vec<(BTreeMap<String, String>, Value)>>>;

/// Takes webhooks, one message a connection.
fn hooks() -> (String, Messages) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let all = Messages::default();
    let got = all.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let lines = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let pairs =
                lines.filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())));
            let headers: BTreeMap<_, _> = pairs.collect();
            let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            got.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
        }
    });
    (url, all)
}

/// Waits until the trace has all of these.
fn wait_spans(receiver: &Receiver, trace: &str, names: &[&str]) -> Vec<Seen> {
    wait_for(&format!("the spans of {trace}"), PATIENCE, || {
        let seen = receiver.of(trace);
        let missing: Vec<_> = names.iter().filter(|name| !seen.iter().any(|span| span.name == **name)).collect();
        if missing.is_empty() { Ok(seen) } else { Err(format!("without {missing:?}: {seen:#?}")) }
    })
}

fn named<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn only<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    match named(spans, name).as_slice() {
        [one] => one,
        other => panic!("{name}: {other:#?}"),
    }
}

/// The place of an acceptance, for the steps of it.
fn place(accept: &Seen) -> Traceparent {
    format!("00-{}-{}-01", accept.trace, accept.span).parse().unwrap()
}

#[test]
fn one_job_is_one_trace_from_submission_to_disk_and_back() {
    let receiver = Receiver::start();
    let rig = Rig::with_broker_config(&broker(&receiver));
    let disk = rig.disk("till", |_| ());
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], &format!("[traces]\nendpoint = \"{}\"\n", receiver.url));
    agent.start(None);
    rig.wait_online(&disk.number);
    let (url, messages) = hooks();
    assert_eq!(rig.api.post("/v1/webhooks", &json!({ "url": url, "events": ["job.issued"] })).status, 201);

    // Not recorded by its caller: it has a trace, and nothing is sent of it.
    let silent = TRACE.replace('4', "5");
    let (answer, _) = rig.api.submit_traced(&coffee("T0"), &format!("00-{silent}-00f067aa0ba902b7-00"));
    assert_eq!((answer.status, answer.body["trace_id"].as_str()), (201, Some(silent.as_str())));
    let (answer, header) = rig.api.submit_traced(&coffee("T1"), CALLER);
    assert_eq!((answer.status, answer.body["trace_id"].as_str(), header.as_str()), (201, Some(TRACE), TRACE));
    oracle::wait_done(&rig.api, 2, PATIENCE);

    let names = ["accept", "queue", "hand-over", "journal", "disk stock", "disk issue", "report", "outcome", "webhook"];
    let spans = wait_spans(&receiver, TRACE, &names);
    let (accept, hand_over) = (only(&spans, "accept"), only(&spans, "hand-over"));
    assert_eq!(accept.parent, "00f067aa0ba902b7", "the caller's span");
    assert_eq!(hand_over.span, hex::encode(place(accept).step(HAND_OVER, 1).span()));
    let key = format!("{SELLER}/T1");
    for span in &spans {
        let (parent, service) = match span.name.as_str() {
            "accept" => (accept.parent.as_str(), "taxdisk-broker"),
            "queue" | "hand-over" | "webhook" => (accept.span.as_str(), "taxdisk-broker"),
            "outcome" => (hand_over.span.as_str(), "taxdisk-broker"),
            "journal" | "report" | "disk stock" | "disk issue" => (hand_over.span.as_str(), "taxdisk-agent"),
            other => panic!("{other}: {span:#?}"),
        };
        assert_eq!((span.parent.as_str(), span.service.as_str()), (parent, service), "{span:#?}");
        assert!(span.start <= span.end && !span.failed, "{span:#?}");
        if let Some(job) = span.attributes.get("taxdisk.job") {
            assert_eq!(*job, key, "{span:#?}");
        }
    }
    for once in ["queue", "disk issue", "report", "outcome", "webhook"] {
        only(&spans, once);
    }
    assert_eq!(named(&spans, "journal").len(), 2, "intent and outcome: {spans:#?}");
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| &span.span).collect();
    assert_eq!(ids.len(), spans.len(), "no two spans have one id: {spans:#?}");
    let issue = only(&spans, "disk issue");
    assert!(named(&spans, "journal")[0].end <= issue.start, "the intent is durable before the command: {spans:#?}");

    // Who is told goes on with it.
    let messages = messages.lock().unwrap();
    let (head, body) = messages.iter().find(|(_, body)| body["data"]["serial"] == "T1").unwrap();
    assert_eq!(body["data"]["trace_id"], TRACE);
    assert_eq!(body["data"]["traceparent"], place(accept).to_string());
    assert_eq!(head["traceparent"], format!("00-{TRACE}-{}-01", only(&spans, "webhook").span));
    // Both programs' log lines carry it.
    for message in ["job accepted", "assigned", "job ended", "answered"] {
        let log = rig.broker.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let has = |line: &Value| line["trace_id"] == TRACE || line["span"]["trace_id"] == TRACE;
        assert!(lines.filter(|line| line["message"] == message).any(|line| has(&line)), "{message}: {log}");
    }
    assert!(agent.log().lines().any(|line| line.contains("attempt ended") && line.contains(TRACE)), "{}", agent.log());
    assert_eq!(receiver.of(&silent), [], "what its caller does not record is not sent");
}

#[test]
fn a_trace_decides_nothing() {
    let receiver = Receiver::start();
    let rig = Rig::with_broker_config(&broker(&receiver));
    let disk = rig.disk("till", |_| ());
    // An agent that sends no spans carries the trace all the same.
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);

    let (first, header) = rig.api.submit_traced(&coffee("W1"), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01");
    let drawn = first.body["trace_id"].as_str().unwrap().to_owned();
    assert_eq!((first.status, header.as_str(), drawn.len()), (201, drawn.as_str(), 32));
    assert_ne!(drawn, TRACE, "a wrong one is replaced");
    // The same again under another trace is the same job, and the first one's trace.
    let (again, header) = rig.api.submit_traced(&coffee("W1"), CALLER);
    assert_eq!((again.status, again.body["repeated"].as_bool()), (200, Some(true)));
    assert_eq!((again.body["trace_id"].as_str(), header.as_str()), (Some(drawn.as_str()), drawn.as_str()));
    // Each job of a batch has its own.
    let lines = rig.api.batch(&[coffee("W2"), coffee("W3")]).unwrap();
    let ids: Vec<_> = lines.iter().map(|line| line.job.as_ref().unwrap().trace_id.clone().unwrap()).collect();
    assert!(ids[0] != ids[1] && !ids.contains(&drawn), "{ids:?}");

    let jobs = oracle::wait_done(&rig.api, 3, PATIENCE);
    assert!(jobs.iter().all(|job| job.state == JobState::Issued));
    oracle::check(&jobs, &[&disk]);
    let spans = wait_spans(&receiver, &drawn, &["accept", "queue", "hand-over", "outcome"]);
    assert_eq!(only(&spans, "accept").parent, "", "it begins the trace");
    assert_eq!(receiver.of(TRACE), [], "a repeated submission is no second acceptance");
}

#[test]
fn an_agent_that_takes_over_goes_on_with_the_trace() {
    let receiver = Receiver::start();
    let rig = Rig::with_broker_config(&broker(&receiver));
    let disk = rig.disk("till", |_| ());
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], &format!("[traces]\nendpoint = \"{}\"\n", receiver.url));
    // The disk has answered, and nothing of that is durable.
    agent.start(Some("after_answer"));
    rig.wait_online(&disk.number);
    let (answer, _) = rig.api.submit_traced(&coffee("R1"), CALLER);
    assert_eq!(answer.status, 201);
    agent.wait_death_and_restart();
    let jobs = oracle::wait_done(&rig.api, 1, PATIENCE);
    assert_eq!((jobs[0].state, jobs[0].attempts.len(), jobs[0].trace_id.as_deref()), (JobState::Issued, 1, Some(TRACE)));
    oracle::check(&jobs, &[&disk]);

    let spans =
        wait_spans(&receiver, TRACE, &["accept", "queue", "hand-over", "settle", "disk query", "journal", "report", "outcome"]);
    let hand_over = hex::encode(place(only(&spans, "accept")).step(HAND_OVER, 1).span());
    assert_eq!(only(&spans, "hand-over").span, hand_over);
    let settle = only(&spans, "settle");
    let by_agent: Vec<_> = spans.iter().filter(|span| span.service == "taxdisk-agent").collect();
    assert!(by_agent.iter().all(|span| span.parent == hand_over), "{spans:#?}");
    let query = named(&spans, "disk query")[0];
    assert!(settle.start <= query.start && query.end <= settle.end, "it settles by reading: {spans:#?}");
    assert!(named(&spans, "disk issue").len() <= 1, "never sent again: {spans:#?}");
}

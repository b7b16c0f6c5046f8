//! Webhooks of real invoices: signed as the published reference library of another language expects it, and none lost although
//! the broker is killed between a receiver's answer and its own note of it (I2).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use taxdisk_tests::jobs::{SELLER, toll};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

const HOOKS: &str = "[webhooks]\nallow_http = true\nallow_networks = [\"127.0.0.1/32\"]\nschedule_s = [1, 1, 1, 1, 1, 1, 1, 1]\n";

/// A message as it came.
#[derive(Debug, Clone)]
struct Got {
    headers: BTreeMap<String, String>,
    body: String,
}

impl Got {
    fn data(&self) -> Value {
        serde_json::from_str::<Value>(&self.body).unwrap()["data"].clone()
    }
}

/// Takes everything with 204, one message a connection.
fn receiver() -> (String, Arc<Mutex<Vec<Got>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let all = Arc::<Mutex<Vec<Got>>>::default();
    let got = all.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, got) = (stream.unwrap(), got.clone());
            std::thread::spawn(move || -> Option<()> {
                let mut reader = BufReader::new(stream.try_clone().ok()?);
                let mut headers = BTreeMap::new();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
                    match line.trim_end().split_once(": ") {
                        Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
                        None if line.trim_end().is_empty() => break,
                        None => continue,
                    };
                }
                let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
                reader.read_exact(&mut body).ok()?;
                got.lock().unwrap().push(Got { headers, body: String::from_utf8(body).ok()? });
                stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").ok()
            });
        }
    });
    (url, all)
}

/// Python with the package `standardwebhooks`, made by `cargo xtask test`.
fn python() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    while !folder.ends_with("debug") && !folder.ends_with("release") {
        assert!(folder.pop(), "the tests are not in a target folder");
    }
    let python = folder.parent().unwrap().join("tools/standardwebhooks/bin/python");
    assert!(python.exists(), "{} is missing: `cargo xtask test` makes it", python.display());
    python
}

/// What the reference library says of each message: `ok` or why not.
fn verdicts(secret: &str, messages: &[Got]) -> Vec<String> {
    const CHECK: &str = "
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
hook = Webhook(sys.argv[1])
for line in sys.stdin:
    message = json.loads(line)
    try:
        hook.verify(message['body'], message['headers'])
        print('ok')
    except WebhookVerificationError as error:
        print(error)
";
    let mut child =
        Command::new(python()).args(["-c", CHECK, secret]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for message in messages {
        writeln!(input, "{}", json!({ "headers": message.headers, "body": message.body })).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_invoice_is_told_although_the_broker_is_killed_and_the_reference_library_verifies_all() {
    /// Jobs after the first one.
    const JOBS: usize = 20;
    let mut rig = Rig::with_broker_config(HOOKS);
    let disk = rig.disk("till", |config| config.issue_time_ms = 5);
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], "");
    agent.start(None);
    rig.wait_online(&disk.number);
    let (url, all) = receiver();
    let made = rig.api.post("/v1/webhooks", &json!({ "url": url, "events": ["job.*"] }));
    assert_eq!(made.status, 201, "{made:?}");
    let secret = made.body["secret"].as_str().unwrap().to_owned();
    let hook = made.body["webhook"]["id"].as_str().unwrap().to_owned();

    // The receiver has answered, and the broker dies before it has noted that. Three times over.
    let mut deaths = 0;
    for round in 0..3 {
        rig.broker.kill();
        rig.broker.start_again(Some(&format!("after_webhook_answer:{}", round + 1)));
        // Some of these are not answered: the broker may be dead by then. The same again, later, is the same.
        for n in 0..JOBS {
            let body = serde_json::to_vec(&toll(&format!("W{round}N{n}"))).unwrap();
            let _ = rig.api.try_send("POST", "/v1/jobs", "application/json", &body);
        }
        wait_for("the broker to die at the point", PATIENCE, || rig.broker.running.ended().ok_or("it lives".to_owned()));
        deaths += 1;
    }
    assert_eq!(deaths, 3);
    rig.broker.start_again(None);
    rig.wait_online(&disk.number);
    for round in 0..3 {
        for n in 0..JOBS {
            let answer = rig.api.submit(&toll(&format!("W{round}N{n}")));
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        }
    }
    let done = oracle::wait_done(&rig.api, 3 * JOBS, PATIENCE * 2);
    oracle::check(&done, &[&disk]);
    wait_for("every delivery to be noted", PATIENCE, || {
        let issued = all.lock().unwrap().iter().filter(|got| got.data()["state"] == "issued").count();
        let waiting = rig.api.get(&format!("/v1/webhooks/{hook}")).body["waiting"].clone();
        if waiting == 0 && issued >= 3 * JOBS { Ok(()) } else { Err(format!("{issued} came, {waiting} wait")) }
    });

    let got = all.lock().unwrap().clone();
    let mut by_serial: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
    for message in &got {
        let data = message.data();
        let id = message.headers["webhook-id"].clone();
        let known = by_serial.entry(data["serial"].as_str().unwrap().to_owned()).or_default();
        let first = known.entry(data["revision"].as_u64().unwrap()).or_insert_with(|| id.clone());
        assert_eq!(*first, id, "one event has one id, however often it comes");
    }
    for job in &done {
        let is_issued = |message: &&Got| message.data()["serial"] == job.serial && message.data()["state"] == "issued";
        let ids: BTreeSet<&String> = got.iter().filter(is_issued).map(|message| &message.headers["webhook-id"]).collect();
        assert_eq!(ids.len(), 1, "{}: {ids:?}", job.serial);
        assert!(by_serial[&job.serial].keys().max() <= Some(&job.revision));
        let message = got.iter().find(is_issued).unwrap().data();
        let number = &job.issued.as_ref().unwrap().number;
        assert_eq!((&message["issued"]["number"], &message["seller"]), (&json!(number), &json!(SELLER)));
    }
    assert!(got.len() > 3 * JOBS, "the message before each death came twice: {} in all", got.len());

    let verdicts = verdicts(&secret, &got);
    assert_eq!(verdicts.len(), got.len());
    assert!(verdicts.iter().all(|verdict| verdict == "ok"), "{verdicts:?}");
    let mut forged = got[0].clone();
    forged.body = forged.body.replace("issued", "failed");
    assert_eq!(self::verdicts(&secret, &[forged]), ["No matching signature found"]);
}

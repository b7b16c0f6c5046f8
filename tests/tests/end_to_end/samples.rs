//! What `docs/integrate.md` says works as it stands: its walk with curl, and the samples of `docs/samples` in two languages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_tests::api::Api;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::oracle;
use taxdisk_tests::portal::{ANY_PORT, HOOKS, agent, disk};
use taxdisk_tests::process::{PATIENCE, Running, tail, wait_for};
use taxdisk_tests::rig::Rig;

use crate::portal_walk::script;

/// Language, ending of its files, beginning of the serial numbers.
const LANGUAGES: [(&str, &str, &str); 2] = [("python3", "py", "PY"), ("node", "mjs", "JS")];

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples").join(name)
}

/// A key as an integrator gets one: of this seller alone.
fn platform_key(rig: &Rig) -> String {
    let made = rig.api.post("/v1/keys", &json!({ "name": "shop", "role": "platform", "sellers": [SELLER] }));
    assert_eq!(made.status, 201, "{made:?}");
    made.body["key"].as_str().unwrap().to_owned()
}

#[test]
fn the_walk_of_the_page_for_integrators_works_as_it_stands() {
    let rig = Rig::new();
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    rig.wait_online(&sim.with(|rig| rig.disk.config().disk_number.clone()));
    let folder = rig.path().join("walk");
    std::fs::create_dir_all(&folder).unwrap();
    // A walk that waits for ever is ended by `timeout`, and seen as failed.
    let output = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "bash", "-euo", "pipefail", "-c"])
        .arg(script(include_str!("../../../docs/integrate.md")))
        .current_dir(folder)
        .env("TAXDISK_BROKER", &rig.broker.url)
        .env("TAXDISK_KEY", platform_key(&rig))
        .env("no_proxy", "127.0.0.1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let in_order = [
        r#""serial":"WALK10248""#,
        r#""state":"issued""#,
        r#""repeated":true"#,
        r#""code":"conflict""#,
        r#""pointer":"/invoice/buyer/name""#,
        r#""serial":"WALK10248R""#,
        r#""operation":"red""#,
        r#""state":"issued""#,
        r#""line":1,"status":201"#,
        r#""line":2,"status":422"#,
        r#""pointer":"/invoice/lines/0/rate""#,
        r#""serial":"WALK10249""#,
        r#""state":"issued""#,
    ];
    let mut rest = said.as_ref();
    for words in in_order {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words} is missing in order:\n{said}"));
        rest = &rest[at + words.len()..];
    }
    let jobs = oracle::wait_done(&rig.api, 3, PATIENCE);
    let entries = Ledger::read(&rig.path().join("disk-component")).unwrap();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), 3);
}

/// Runs the submitting sample with a job.
fn submit(rig: &Rig, key: &str, language: &(&str, &str, &str), job: &Value, patience_s: u64) -> Command {
    let file = rig.path().join(format!("job-{}-{}.json", language.1, job["serial"].as_str().unwrap()));
    std::fs::write(&file, job.to_string()).unwrap();
    let mut command = Command::new(language.0);
    command.arg(sample(&format!("submit.{}", language.1))).arg(file);
    command.env("TAXDISK_BROKER", &rig.broker.url).env("TAXDISK_KEY", key).env("PATIENCE_S", patience_s.to_string());
    command.env("no_proxy", "127.0.0.1");
    command
}

/// Exit code and what was said.
fn ended(output: &Output) -> (i32, String) {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    (output.status.code().unwrap_or(-1), texts.concat())
}

/// The sample that takes webhooks.
struct Hooks {
    running: Running,
    url: String,
    store: PathBuf,
}

impl Hooks {
    fn start(rig: &Rig, language: &(&str, &str, &str), port: &str) -> Hooks {
        let folder = rig.path().join(format!("hooks-{}", language.1));
        std::fs::create_dir_all(&folder).unwrap();
        let (log, store) = (folder.join("log"), folder.join("events.jsonl"));
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new(language.0);
        command.arg(sample(&format!("hooks.{}", language.1))).arg(port).arg(folder.join("secrets")).arg(&store);
        let mut running = Running::start("hooks", &log, command);
        let url = wait_for("the receiver to listen", PATIENCE, || {
            assert!(running.ended().is_none(), "it ended: {}", tail(&log));
            let said = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
            said.lines().find(|line| line.starts_with("http://")).map(str::to_owned).ok_or(said)
        });
        Hooks { running, url, store }
    }

    fn secrets(&self) -> PathBuf {
        self.store.with_file_name("secrets")
    }

    /// Ids and types of what is stored, in order, of one serial number.
    fn stored(&self, serial: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(&self.store).unwrap_or_default();
        // A line that is being written is not there yet.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let of_serial = lines.filter(|line| line["event"]["data"]["serial"] == serial);
        of_serial.map(|line| (text(&line["id"]), text(&line["event"]["type"]))).collect()
    }
}

#[test]
fn the_samples_submit_once_through_an_outage_and_take_each_webhook_once() {
    let mut rig = Rig::with_broker_config(HOOKS);
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    rig.wait_online(&sim.with(|rig| rig.disk.config().disk_number.clone()));
    let key = platform_key(&rig);
    let example: Value = serde_json::from_str(&std::fs::read_to_string(sample("job.json")).unwrap()).unwrap();
    assert_eq!(example["seller"], SELLER);

    for language in &LANGUAGES {
        let job = |serial: &str| {
            let mut job = example.clone();
            job["serial"] = format!("{}{serial}", language.2).into();
            job
        };
        let run =
            |rig: &Rig, job: &Value, patience_s: u64| ended(&submit(rig, &key, language, job, patience_s).output().unwrap());
        let hooks = Hooks::start(&rig, language, "0");
        let made = Api::new(&rig.broker.url, &key).post("/v1/webhooks", &json!({ "url": hooks.url, "events": ["job.*"] }));
        assert_eq!(made.status, 201, "{made:?}");
        let hook = format!("/v1/webhooks/{}", made.body["webhook"]["id"].as_str().unwrap());
        // The secret is not there yet when the first message may come: what is not confirmed comes again.
        std::fs::write(hooks.secrets(), format!("{}\n", made.body["secret"].as_str().unwrap())).unwrap();

        let first = run(&rig, &job("1"), 60);
        assert_eq!((first.0, first.1.starts_with("issued ")), (0, true), "{first:?}");
        assert_eq!(run(&rig, &job("1"), 60), first, "the same again says the same");
        let mut other = job("1");
        other["invoice"]["buyer"]["name"] = "另一购方".into();
        let conflict = run(&rig, &other, 60);
        assert_eq!((conflict.0, conflict.1.starts_with("conflict: ")), (2, true), "{conflict:?}");
        let mut wrong = job("2");
        wrong["invoice"]["lines"][0]["rate"] = "13".into();
        let refused = run(&rig, &wrong, 60);
        assert_eq!((refused.0, refused.1.contains("/invoice/lines/0/rate: ")), (1, true), "{refused:?}");

        rig.broker.kill();
        let away = run(&rig, &job("3"), 1);
        assert_eq!((away.0, away.1.contains("run it again with the same file")), (2, true), "{away:?}");
        let waiting = submit(&rig, &key, language, &job("3"), PATIENCE.as_secs()).stdout(std::process::Stdio::piped()).spawn();
        rig.broker.start_again(None);
        let through = ended(&waiting.unwrap().wait_with_output().unwrap());
        assert_eq!((through.0, through.1.starts_with("issued ")), (0, true), "{through:?}");

        let serial = job("1")["serial"].as_str().unwrap().to_owned();
        let known = wait_for("the event of the first invoice", PATIENCE, || {
            let stored = hooks.stored(&serial);
            if stored.iter().any(|(_, kind)| kind == "job.issued") { Ok(stored) } else { Err(format!("{stored:?}")) }
        });
        forged_is_refused(&hooks);

        // It comes once more, and to a receiver that was killed in between.
        let port = hooks.url.rsplit(':').next().and_then(|end| end.split('/').next()).unwrap().to_owned();
        let mut hooks = hooks;
        hooks.running.kill();
        let (event, _) = known.iter().find(|(_, kind)| kind == "job.issued").unwrap();
        assert_eq!(rig.api.post(&format!("{hook}/replay"), &json!({ "event": event })).status, 200);
        let hooks = Hooks::start(&rig, language, &port);
        wait_for("everything to be taken", PATIENCE, || {
            let waiting = rig.api.get(&hook).body["waiting"].clone();
            if waiting == 0 { Ok(()) } else { Err(format!("{waiting} wait")) }
        });
        let stored = hooks.stored(&serial);
        let ids: BTreeSet<&String> = stored.iter().map(|(id, _)| id).collect();
        assert_eq!((stored.len(), ids.contains(event)), (ids.len(), true), "each message once: {stored:?}");
        // The receiver ends here: its endpoint must not hold up the next language's.
        assert_eq!(rig.api.try_delete(&hook).unwrap().status, 204);
    }

    let jobs = oracle::wait_done(&rig.api, 2 * LANGUAGES.len(), PATIENCE);
    let entries = Ledger::read(&rig.path().join("disk-component")).unwrap();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), 2 * LANGUAGES.len());
}

/// A message without a signature of ours is answered 401 and not stored.
fn forged_is_refused(hooks: &Hooks) {
    let now = jiff::Timestamp::now().as_second().to_string();
    let body = json!({ "type": "job.issued", "data": { "serial": "FORGED" } }).to_string();
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    let caller: ureq::Agent = config.into();
    let answer = caller
        .post(&hooks.url)
        .header("webhook-id", "evt_1_000000000000")
        .header("webhook-timestamp", &now)
        .header("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        .send(body.as_bytes())
        .unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    // Messages of the other orders may come meanwhile, so the store as a whole is not compared.
    let stored = std::fs::read_to_string(&hooks.store).unwrap();
    assert!(!stored.contains("FORGED"), "{stored}");
}

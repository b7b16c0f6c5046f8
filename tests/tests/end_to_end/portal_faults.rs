//! The portal in trouble: a disk that is pulled, the portal killed at its named points, and every kind once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_protocol::api::JobState;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::Rig;

use taxdisk_tests::portal::{ANY_PORT, HOOKS, PortalRig, agent, disk};

/// A point of the portal, and the passage at which it dies: a few commits after its start, the first forward, the first callback.
const PORTAL_POINTS: [&str; 4] = ["before_commit:8", "after_commit:8", "after_forward:2", "after_callback:1"];

/// What a merchant was told: serial number, id, body.
type Told = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A merchant's address for callbacks. It lives as long as the test's process.
fn merchant() -> (String, Told) {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let url = format!("http://{}/callback", listener.local_addr().unwrap());
    let told = Told::default();
    let kept = told.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut id, mut line) = (0, String::new(), String::new());
            // A portal that is killed in the middle leaves half a request: it is not told.
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "x-callback-id" => value.clone_into(&mut id),
                    _ => {}
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let Ok(body) = reader.read_exact(&mut body).map(|()| body) else { continue };
            let Ok(body) = serde_json::from_slice::<Value>(&body) else { continue };
            kept.lock().unwrap().push((body["fpqqlsh"].as_str().unwrap().to_owned(), id, body));
            let answer = r#"{"code":"0000","msg":"ok"}"#;
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        }
    });
    (url, told)
}

fn wait_told(told: &Told, serial: &str, code: &str) -> Value {
    wait_for(&format!("a callback for {serial} with {code}"), PATIENCE, || {
        let told = told.lock().unwrap();
        let found = told.iter().find(|(of, _, body)| of == serial && body["code"] == code);
        found.map(|(_, _, body)| body.clone()).ok_or_else(|| format!("{told:?}"))
    })
}

fn document(serial: &str, kind: &str) -> Value {
    json!({
        "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "FPLX": kind, "GMF_MC": format!("虚构购方{serial}"), "JSHJ": "113.00",
        "GMF_NSRSBH": "91110000MA0000002P", "GMF_DZDH": "北京市示例路2号 010-1", "GMF_YHZH": "示例银行 1",
        "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": "113.00", "SL": "0.13", "SPBM": "1060105010000000000" }],
    })
}

#[test]
fn every_kind_is_issued_once_and_electronic_ones_are_not_voided() {
    const KINDS: [(&str, &str); 5] = [("1", "026"), ("12", "025"), ("3", "007"), ("4", "004"), ("2", "028")];
    let rig = Rig::with_broker_config(HOOKS);
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    rig.wait_online(&sim.with(|rig| rig.disk.config().disk_number.clone()));
    let portal = PortalRig::start(&rig);
    let (url, told) = merchant();
    for (fplx, kind) in KINDS {
        let serial = format!("KIND{kind}");
        portal.insert(&document(&serial, fplx), &url);
        let issued = portal.wait_status(&serial, "4");
        assert_eq!(issued["data"]["fplx"], fplx, "{issued}");
        assert_eq!(rig.api.job(SELLER, &serial).kind, kind);
        wait_told(&told, &serial, "0000");
        if matches!(kind, "026" | "028") {
            let pair = json!({ "fpDm": issued["data"]["fpDm"], "fpHm": issued["data"]["fpHm"] }).to_string();
            let refused = portal.call("invalid", &[("requestdatas", &pair)]);
            assert_eq!((&refused["code"], &refused["subcode"]), (&json!("1001"), &json!("VOID_KIND")), "{refused}");
            assert!(refused["msg"].as_str().unwrap().contains("red only"), "{refused}");
            assert_eq!(portal.wait_status(&serial, "4")["data"]["zfbz"], "N");
        }
    }
    let jobs = oracle::wait_done(&rig.api, KINDS.len(), PATIENCE);
    assert!(jobs.iter().all(|job| job.state == JobState::Issued));
    let entries = Ledger::read(&rig.path().join("disk-component")).unwrap();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), KINDS.len());
}

/// A merchant's view of 开票失败: the disk is away for longer than the seller's policy waits, and comes back.
#[test]
fn an_unplugged_disk_fails_after_its_time_and_the_same_serial_is_issued_when_it_is_back() {
    let rig = Rig::with_broker_config(HOOKS);
    let rule = json!({ "name": "示例商贸有限公司", "disk_trouble": { "fail_after_s": 6 } });
    assert_eq!(rig.api.put(&format!("/v1/sellers/{SELLER}"), &rule).status, 200);
    let sim = disk(rig.path(), ANY_PORT);
    let address = sim.http().unwrap().to_string();
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    let number = sim.with(|rig| rig.disk.config().disk_number.clone());
    rig.wait_online(&number);
    let portal = PortalRig::start(&rig);
    let (url, told) = merchant();

    sim.stop();
    wait_for("the disk to be off line", PATIENCE, || {
        let disks = rig.disks();
        if disks.iter().any(|disk| disk.online && disk.report.health.ready) { Err(format!("{disks:?}")) } else { Ok(()) }
    });
    for serial in ["AWAY1", "AWAY2"] {
        portal.insert(&document(serial, "1"), &url);
    }
    // Why it waits is said while it waits.
    wait_for("a reason to wait", PATIENCE, || {
        let reply = portal.try_call("queryInvoiceStatus", &[("fpqqlsh", "AWAY1")])?;
        match (&reply["statuscode"], &reply["substate"], reply["substateMsg"].as_str()) {
            (code, substate, Some(why)) if code == "2" && substate == "QUEUED" && why.contains("离线") => Ok(()),
            _ => Err(reply.to_string()),
        }
    });
    for serial in ["AWAY1", "AWAY2"] {
        let failed = portal.wait_status(serial, "3");
        assert!(failed["errmsg"].as_str().is_some_and(|text| text.contains("6 s")), "{failed}");
        let body = wait_told(&told, serial, "9999");
        assert!(body["data"].is_null() && body["pdf"].is_null(), "{body}");
        assert_eq!(rig.api.job(SELLER, serial).state, JobState::Failed);
    }
    // A repeat of what has failed is answered with that, and is no re-issue.
    let documents = json!([document("AWAY1", "1")]).to_string();
    let repeat = portal.call("insertWithArray", &[("requestdatas", &documents)]);
    assert_eq!((&repeat["code"], &repeat["datas"][0]["statuscode"]), (&json!("0000"), &json!("3")), "{repeat}");

    let _sim = disk(rig.path(), &address);
    rig.wait_online(&number);
    let named = json!([{ "FPQQLSH": "AWAY1", "XSF_NSRSBH": SELLER, "JSHJ": "113.00" }]).to_string();
    let again = portal.call("reissue", &[("requestdatas", &named)]);
    assert_eq!((&again["code"], &again["datas"][0]["result"]), (&json!("0000"), &json!("REQUEUED")), "{again}");
    // The other one by the operator's hand.
    let button = portal.operator().post("/admin/v1/requests/shop/AWAY2/reissue", &json!({}));
    assert_eq!(button.status, 200, "{button:?}");
    for serial in ["AWAY1", "AWAY2"] {
        let issued = portal.wait_status(serial, "4");
        let body = wait_told(&told, serial, "0000");
        let data: Value = serde_json::from_str(body["data"].as_str().unwrap()).unwrap();
        assert_eq!(data["fpHm"], issued["data"]["fpHm"]);
    }
    assert_eq!(portal.call("reissue", &[("requestdatas", &named)])["datas"][0]["result"], "ALREADY_ISSUED");
    let jobs = oracle::wait_done(&rig.api, 2, PATIENCE);
    let entries = Ledger::read(&rig.path().join("disk-component")).unwrap();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), 2, "one invoice for each serial number");
}

/// The portal makes its sellers known to the broker, with the policy that merchants expect; those that are known stay.
#[test]
fn a_seller_that_the_broker_does_not_know_gets_thirty_minutes() {
    const OTHER: &str = "91110000MA0000002P";
    let rig = Rig::with_broker_config(HOOKS);
    let portal = PortalRig::empty(&rig);
    let point = json!([{ "orgcode": "A", "clerk": "张三" }]);
    let sellers = json!([{ "taxpayer_number": SELLER, "name": "另一个名称", "points": point },
        { "taxpayer_number": OTHER, "name": "示例餐饮有限公司", "points": point }]);
    assert_eq!(portal.operator().put("/admin/v1/tenants/shop", &json!({ "name": "示例", "sellers": sellers })).status, 200);
    let made = wait_for("the seller at the broker", PATIENCE, || {
        let answer = rig.api.get(&format!("/v1/sellers/{OTHER}"));
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("{answer:?}")) }
    });
    assert_eq!((&made["name"], &made["disk_trouble"]), (&json!("示例餐饮有限公司"), &json!({ "fail_after_s": 1800 })));
    let kept = rig.api.get(&format!("/v1/sellers/{SELLER}")).body;
    assert_eq!((&kept["name"], &kept["disk_trouble"]), (&json!("示例商贸有限公司"), &json!("wait")));
}

#[test]
fn killed_at_every_named_point_the_portal_loses_nothing_and_issues_nothing_twice() {
    let rig = Rig::with_broker_config(HOOKS);
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    rig.wait_online(&sim.with(|rig| rig.disk.config().disk_number.clone()));
    let mut portal = PortalRig::start(&rig);
    let (url, told) = merchant();
    let mut serials = BTreeSet::new();
    for (turn, point) in PORTAL_POINTS.into_iter().enumerate() {
        portal.running.kill();
        portal.start_again(Some(point));
        let batch: Vec<String> = (0..6).map(|index| format!("DIES{turn}{index}")).collect();
        serials.extend(batch.iter().cloned());
        let mut sent = 0;
        // What is sent meanwhile meets a portal that dies; what got no answer is sent again below.
        while portal.running.ended().is_none() && sent < batch.len() {
            let documents = json!([document(&batch[sent], "1")]).to_string();
            let callback = json!([{ "fpqqlsh": batch[sent], "url": url }]).to_string();
            let _ = portal.try_call("insertWithArray", &[("requestdatas", &documents), ("url", &callback)]);
            sent += 1;
        }
        portal.running.wait();
        portal.start_again(None);
        for serial in &batch {
            portal.insert(&document(serial, "1"), &url);
        }
        for serial in &batch {
            portal.wait_status(serial, "4");
            wait_told(&told, serial, "0000");
        }
    }
    let jobs = oracle::wait_done(&rig.api, serials.len(), PATIENCE);
    let entries = Ledger::read(&rig.path().join("disk-component")).unwrap();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), serials.len(), "one invoice for each serial number");
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (serial, id, _) in told.lock().unwrap().iter() {
        ids.entry(serial.clone()).or_default().insert(id.clone());
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "an outcome has one id however often it is told: {ids:?}");
}

/// A provider of short messages that takes everything, a message that it knows as known. It lives as long as the test's process.
fn provider() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let url = format!("http://{}/send", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::<Value>::new()));
    let kept = taken.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let Ok(message) = reader.read_exact(&mut body).map(|()| serde_json::from_slice::<Value>(&body)) else { continue };
            let message = message.unwrap();
            let mut taken = kept.lock().unwrap();
            let known = taken.iter().any(|one| one["id"] == message["id"]);
            taken.push(message);
            let answer = if known { r#"{"result":"duplicate"}"# } else { r#"{"result":"accepted"}"# };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        }
    });
    (url, taken)
}

#[test]
fn killed_behind_a_message_the_portal_sends_it_again_under_its_id() {
    let rig = Rig::with_broker_config(HOOKS);
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    rig.wait_online(&sim.with(|rig| rig.disk.config().disk_number.clone()));
    let mut portal = PortalRig::start(&rig);
    let (url, taken) = provider();
    let secret = portal.dir.join("sms.secret");
    std::fs::write(&secret, "secret\n").unwrap();
    let file = portal.dir.join("portal.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let sms =
        format!("[sms]\nurl = \"{url}\"\nkey_id = \"key1\"\nsecret_file = \"{}\"\nsignature_name = \"示例\"\n", secret.display());
    std::fs::write(&file, text + &sms).unwrap();
    portal.running.kill();
    portal.start_again(Some("after_message:1"));
    let documents = json!([document("SMS1", "1")]).to_string();
    let receivers = json!([{ "fpqqlsh": "SMS1", "address": "13800000001" }]).to_string();
    let fields = [("requestdatas", documents.as_str()), ("sms", receivers.as_str())];
    // Its answer may be lost: it dies once the message is sent.
    wait_for("the document to be taken", PATIENCE, || portal.try_call("insertWithArray", &fields).map(|_| ()));
    portal.running.wait();
    assert_eq!(taken.lock().unwrap().len(), 1, "it was sent before the portal died");
    portal.start_again(None);
    let sent = wait_for("the message to be noted as sent", PATIENCE, || {
        let answer = portal.operator().try_get("/admin/v1/requests/shop/SMS1/messages")?;
        let messages = answer.body["messages"].as_array().cloned().unwrap_or_default();
        let sent = messages.iter().all(|message| message["standing"] == "sent") && !messages.is_empty();
        if sent { Ok(messages) } else { Err(answer.body.to_string()) }
    });
    let taken = taken.lock().unwrap();
    assert_eq!((sent.len(), taken.len()), (1, 2), "{sent:?} {taken:?}");
    assert_eq!((&taken[0], &taken[0]["id"]), (&taken[1], &sent[0]["id"]), "the provider sees that it is the same one");
    assert_eq!(oracle::wait_done(&rig.api, 1, PATIENCE)[0].state, JobState::Issued);
}

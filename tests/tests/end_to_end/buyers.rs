//! What a buyer may ask of a merchant, by the command of the portal's operator, over portals that run: a copy, and that it goes.

use std::process::Command;

use serde_json::{Value, json};
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::portal::{ANY_PORT, Before, HOOKS, PortalRig, agent, disk};
use taxdisk_tests::postgres::Server;
use taxdisk_tests::process::{PATIENCE, binary, wait_for};
use taxdisk_tests::rig::Rig;

const NAME: &str = "买方甲乙丙丁";
const NUMBER: &str = "91110000MA0000002P";
const MAIL: &str = "buyer.seven@mail.example";

fn document(serial: &str, name: &str, number: &str) -> Value {
    json!({
        "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "FPLX": "1", "GMF_MC": name, "GMF_NSRSBH": number, "JSHJ": "113.00",
        "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": "113.00", "SL": "0.13", "SPBM": "1060105010000000000" }],
    })
}

/// `taxdisk-portal buyer …`: its lines, or what it said.
fn buyer(portal: &PortalRig, key: &str, args: &[&str]) -> Result<Vec<Value>, String> {
    let mut command = Command::new(binary("taxdisk-portal"));
    command.arg("buyer").arg(args[0]).args(["--portal", &portal.url, "--tenant", "shop", "--operator-key-file"]);
    let output = command.arg(portal.dir.join(key)).args(&args[1..]).output().unwrap();
    if !output.status.success() {
        assert!(output.stdout.is_empty(), "half an answer: {output:?}");
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The whole way over one store. `held`: everything that the store holds, as text.
fn a_buyers_way(rig: &Rig, store: &str, held: &dyn Fn() -> String) {
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(rig, &sim);
    agent.start(None);
    rig.wait_online(&sim.with(|rig| rig.disk.config().disk_number.clone()));
    let (dir, key) = (rig.path().join("portal"), rig.broker.admin_key());
    let before = Before { url: &rig.broker.url, key: &key, lines: "" };
    let mut portal = PortalRig::of(&dir, store, &before, "");
    portal.set_up();
    let email = json!([{ "fpqqlsh": "E1", "address": MAIL }]).to_string();
    portal.insert_with(&document("E1", NAME, NUMBER), &[("email", &email)]);
    portal.insert_with(&document("E2", "另一买方", ""), &[]);
    portal.wait_status("E1", "4");
    portal.wait_status("E2", "4");
    let everything = held();
    assert!([NAME, NUMBER, MAIL, "另一买方"].iter().all(|word| everything.contains(word)), "{everything}");

    // Whose word it is, and which words are needed.
    std::fs::write(dir.join("another.key"), "tpo_test_another").unwrap();
    let refused = buyer(&portal, "another.key", &["export", "--name", NAME]).unwrap_err();
    assert!(refused.contains("nothing was done (401)"), "{refused}");
    let refused = buyer(&portal, "operator.key", &["export"]).unwrap_err();
    assert!(refused.contains("nobody's data is everybody's"), "{refused}");
    let refused = buyer(&portal, "operator.key", &["erase", "--name", NAME]).unwrap_err();
    assert!(refused.contains("(422)") && refused.contains("reason"), "{refused}");

    let of = |portal: &PortalRig, args: &[&str]| buyer(portal, "operator.key", args).unwrap_or_else(|said| panic!("{said}"));
    for way in [["--name", NAME], ["--taxpayer-number", NUMBER], ["--contact", MAIL]] {
        let copy = of(&portal, &["export", way[0], way[1]]);
        let text = json!(copy).to_string();
        assert!(copy.len() == 1 && text.contains(MAIL) && text.contains(NUMBER), "{way:?}: {text}");
        assert!(!text.contains("另一买方") && !text.contains("E2"), "{way:?}: {text}");
    }
    assert!(of(&portal, &["export", "--name", "买方甲乙丙"]).is_empty(), "a part of a name is another name");

    // The message to him has to be over first: this platform has no mail.
    wait_for("nothing to be under way", PATIENCE, || {
        let rows = of(&portal, &["erase", "--name", NAME, "--dry-run"]);
        if rows.len() == 1 && rows[0]["kept"] == "retention" { Ok(()) } else { Err(json!(rows).to_string()) }
    });
    assert!(held().contains(MAIL), "asking changes nothing");
    let rows = of(&portal, &["erase", "--name", NAME, "--reason", "letter 12"]);
    assert_eq!((rows.len(), &rows[0]["serial"], &rows[0]["erased"]), (1, &json!("E1"), &json!("contacts")), "{rows:?}");
    let left = held();
    assert!(!left.contains(MAIL) && left.contains(NAME) && left.contains(NUMBER), "the law wants the invoice: {left}");

    // An invoice that need not be kept any longer.
    portal.running.terminate();
    let config = PortalRig::config(&dir, store, &before, "[retention]\nissued_days = 0\n");
    std::fs::write(dir.join("portal.toml"), config).unwrap();
    portal.start_again(None);
    let rows = of(&portal, &["erase", "--taxpayer-number", NUMBER, "--reason", "letter 13"]);
    assert_eq!((rows.len(), &rows[0]["serial"], &rows[0]["erased"]), (1, &json!("E1"), &json!("all")), "{rows:?}");
    assert!(of(&portal, &["export", "--name", NAME]).is_empty());
    let left = held();
    for word in [NAME, NUMBER, MAIL] {
        assert!(!left.contains(word), "{word}: {left}");
    }
    assert!(left.contains("另一买方") && left.contains("letter 12") && left.contains("letter 13"), "{left}");

    // His document sent again is known, and issues nothing.
    portal.insert_with(&document("E1", NAME, NUMBER), &[("email", &email)]);
    assert_eq!(portal.wait_status("E1", "4")["data"]["fpHm"], "00000001");
    assert!(!held().contains(NAME), "and brings nothing back");
    assert_eq!(Ledger::read(&rig.path().join("disk-component")).unwrap().len(), 2);
    agent.terminate();
}

#[test]
fn what_is_kept_about_a_buyer_is_handed_out_and_removed_by_the_operators_command() {
    let rig = Rig::with_broker_config(HOOKS);
    let file = rig.path().join("portal/portal.db");
    let script = "import sqlite3, sys\nfor line in sqlite3.connect(sys.argv[1]).iterdump(): print(line)";
    let held = || {
        let output = Command::new("python3").args(["-c", script]).arg(&file).env("PYTHONUTF8", "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    a_buyers_way(&rig, &format!("sqlite:{}", file.display()), &held);
}

#[test]
fn what_is_kept_about_a_buyer_is_handed_out_and_removed_in_postgres_too() {
    let rig = Rig::with_broker_config(HOOKS);
    let server = Server::shared();
    let store = server.database();
    let database = store.split_once("localhost/").unwrap().1.split_once('?').unwrap().0.to_owned();
    let ask = |statement: &str| server.ask(&database, statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    let held = || {
        let tables = ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
        let row = |table: &str| ask(&format!("SELECT string_agg(row::text, E'\\n') FROM \"{table}\" AS row"));
        tables.lines().map(row).collect::<Vec<_>>().join("\n")
    };
    a_buyers_way(&rig, &store, &held);
}

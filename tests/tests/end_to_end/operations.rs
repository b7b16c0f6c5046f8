//! Operations at a disk through the real binaries: in line with its jobs, never sent twice, judged by the disk itself.

use serde_json::{Value, json};
use taxdisk_drivers::sim::faults::{Fault, FaultKind};
use taxdisk_protocol::api::{OperationState, OperationVerdict, OperationView};
use taxdisk_tests::jobs::{SELLER, toll};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{Rig, SimRig};

/// 抄报 and 清卡 on the wire.
const REPORT: u8 = 0x11;
const CLEAR: u8 = 0x12;

/// Seconds of a week.
const WEEK_S: i64 = 7 * 24 * 3600;

/// A disk with a lock date.
fn disk(rig: &Rig) -> SimRig {
    let disk = rig.disk("till", |_| ());
    lock_soon(&disk);
    disk
}

fn deadline(disk: &SimRig) -> Option<String> {
    disk.handle.with(|rig| rig.disk.config().limits.deadline.clone())
}

/// The lock date is in a week: a clear moves it to the end of the next month, which is later.
fn lock_soon(disk: &SimRig) {
    let day = soon(disk);
    disk.handle.with(|rig| rig.disk.configure(|config| config.limits.deadline = Some(day))).unwrap();
}

fn soon(disk: &SimRig) -> String {
    disk.handle.with(|rig| rig.disk.now().plus_seconds(WEEK_S).date())
}

fn is_cleared(disk: &SimRig) -> bool {
    deadline(disk) == Some(disk.handle.with(|rig| rig.disk.now().last_day_of_next_month()))
}

fn body(key: &str, operation: &str) -> Value {
    json!({ "key": key, "operation": operation, "reason": "month end", "anyway": true })
}

/// Sends until an answer comes, as an administrator's program would.
fn ask(rig: &Rig, disk: &SimRig, request: &Value) -> OperationView {
    let text = serde_json::to_vec(request).unwrap();
    let path = format!("/v1/disks/{}/operations", disk.number);
    wait_for("an answer to the operation", PATIENCE, || {
        let answer = rig.api.try_send("POST", &path, "application/json", &text)?;
        if answer.status >= 500 {
            return Err(format!("{answer:?}"));
        }
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        serde_json::from_value(answer.body.clone()).map_err(|error| format!("{error}: {answer:?}"))
    })
}

fn ended(rig: &Rig, id: &str) -> OperationView {
    wait_for(&format!("the end of {id}"), PATIENCE, || {
        let answer = rig.api.try_get(&format!("/v1/operations/{id}?wait=5s"))?;
        let view: OperationView = serde_json::from_value(answer.body.clone()).map_err(|error| format!("{error}: {answer:?}"))?;
        if view.state.is_ended() { Ok(view) } else { Err(format!("{view:?}")) }
    })
}

fn run(rig: &Rig, disk: &SimRig, key: &str, operation: &str) -> OperationView {
    ended(rig, &ask(rig, disk, &body(key, operation)).id)
}

fn verdict(view: &OperationView) -> &OperationVerdict {
    &view.result.as_ref().unwrap_or_else(|| panic!("no result: {view:?}")).verdict
}

fn wait_clears(disk: &SimRig, count: usize) {
    wait_for("the clear to reach the disk", PATIENCE, || match disk.complete_commands(CLEAR) {
        seen if seen == count => Ok(()),
        seen => Err(format!("{seen} of {count}")),
    });
}

#[test]
fn report_and_clear_go_in_line_with_the_jobs_and_once_each() {
    let rig = Rig::new();
    let disk = disk(&rig);
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    let dry = json!({ "key": "m1", "operation": "report", "reason": "look first", "dry_run": true });
    let dry = ended(&rig, &ask(&rig, &disk, &dry).id);
    assert!(matches!(verdict(&dry), OperationVerdict::Allowed { .. }), "{dry:?}");
    assert_eq!(disk.complete_commands(REPORT), 0, "a dry run sends nothing");
    for n in 0..6 {
        assert_eq!(rig.api.submit(&toll(&format!("A{n}"))).status, 201);
    }
    let report = ask(&rig, &disk, &body("m1", "report"));
    let clear = ask(&rig, &disk, &body("c1", "clear"));
    for n in 6..9 {
        assert_eq!(rig.api.submit(&toll(&format!("A{n}"))).status, 201);
    }
    assert_eq!(ended(&rig, &report.id).state, OperationState::Done);
    let clear = ended(&rig, &clear.id);
    assert_eq!(verdict(&clear), &OperationVerdict::Done { read: true }, "{clear:?}");
    assert!(is_cleared(&disk));
    assert!(ask(&rig, &disk, &body("m1", "report")).repeated);
    assert_eq!((disk.complete_commands(REPORT), disk.complete_commands(CLEAR)), (1, 1));
    let test = run(&rig, &disk, "t1", "self_test");
    assert_eq!(verdict(&test), &OperationVerdict::Read);
    let read = &test.result.as_ref().unwrap().before.stock[0];
    assert_eq!((read.kind.as_str(), &read.issue_deadline), ("025", &deadline(&disk)));
    let stock = run(&rig, &disk, "s1", "stock");
    assert!(stock.result.unwrap().before.stock[0].remaining > 0);
    let done = oracle::wait_done(&rig.api, 9, PATIENCE);
    oracle::check(&done, &[&disk]);
    let told = rig.api.get(&format!("/v1/audit?seller={SELLER}&limit=500"));
    let entries = told.body.to_string();
    for what in ["operation_asked", "operation_handed", "operation_ended"] {
        assert!(entries.contains(what), "{what} is not in the chain: {entries}");
    }
}

#[test]
fn the_agent_dies_at_every_named_point_of_a_clear() {
    let rig = Rig::new();
    let disk = disk(&rig);
    let mut agent = rig.agent("shop", &[&disk.port]);
    let points =
        ["before_intent", "after_intent", "before_send", "after_answer", "before_outcome", "after_outcome", "after_confirm"];
    for (turn, point) in points.into_iter().enumerate() {
        agent.start(None);
        rig.wait_online(&disk.number);
        assert_eq!(run(&rig, &disk, &format!("m{turn}"), "report").state, OperationState::Done, "{point}");
        // A report that it has to tell once more would be what the next start confirms, and dies of.
        wait_for("the report to be confirmed", PATIENCE, || match agent.tool(&["status"]) {
            said if said.contains("outbox   0 ") => Ok(()),
            said => Err(said),
        });
        agent.terminate();
        let sent = disk.complete_commands(CLEAR);
        lock_soon(&disk);
        agent.start(Some(&format!("{point}:1")));
        let asked = ask(&rig, &disk, &body(&format!("c{turn}"), "clear"));
        agent.wait_death_and_restart();
        let view = ended(&rig, &asked.id);
        let (sent, cleared) = (disk.complete_commands(CLEAR) - sent, is_cleared(&disk));
        assert!(sent <= 1, "{point}: sent {sent} times");
        match view.state {
            OperationState::Done => assert!(cleared && sent == 1, "{point}: {view:?}"),
            // It was never sent, and no reading can prove that of a clear.
            OperationState::Unsettled => {
                assert!(!cleared && matches!(point, "after_intent" | "before_send"), "{point}: {view:?}")
            }
            state => panic!("{point}: {state} {view:?}"),
        }
        agent.kill();
    }
    agent.start(None);
    rig.wait_online(&disk.number);
    assert_eq!(rig.api.submit(&toll("A1")).status, 201);
    oracle::check(&oracle::wait_done(&rig.api, 1, PATIENCE), &[&disk]);
}

#[test]
fn the_broker_dies_at_every_named_point_of_a_report() {
    let mut rig = Rig::new();
    let disk = disk(&rig);
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    for (turn, point) in ["before_operate_send", "before_ack"].into_iter().enumerate() {
        rig.wait_online(&disk.number);
        let sent = disk.complete_commands(REPORT);
        rig.broker.kill();
        rig.broker.start_again(Some(&format!("{point}:1")));
        rig.wait_online(&disk.number);
        let text = serde_json::to_vec(&body(&format!("m{turn}"), "report")).unwrap();
        // It may die before it has answered.
        let _ = rig.api.try_send("POST", &format!("/v1/disks/{}/operations", disk.number), "application/json", &text);
        rig.broker.running.wait();
        rig.broker.start_again(None);
        let view = run(&rig, &disk, &format!("m{turn}"), "report");
        assert_eq!(view.state, OperationState::Done, "{point}: {view:?}");
        assert_eq!(disk.complete_commands(REPORT) - sent, 1, "{point}: sent once");
    }
}

#[test]
fn a_disk_that_is_pulled_while_it_clears_is_read_and_not_asked_again() {
    let rig = Rig::new();
    let disk = disk(&rig);
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    assert_eq!(run(&rig, &disk, "m1", "report").state, OperationState::Done);
    disk.fault(Fault::once(FaultKind::DieMidFrame { after_bytes: 3 }).on(CLEAR));
    let asked = ask(&rig, &disk, &body("c1", "clear"));
    wait_clears(&disk, 1);
    assert_eq!(rig.api.submit(&toll("A1")).status, 201);
    disk.replug();
    let view = ended(&rig, &asked.id);
    assert_eq!(verdict(&view), &OperationVerdict::Done { read: true }, "{view:?}");
    assert_eq!(disk.complete_commands(CLEAR), 1);

    // Pulled before it had done anything: nobody can tell, so that a person must, and nothing is sent again.
    assert_eq!(run(&rig, &disk, "m2", "report").state, OperationState::Done);
    disk.fault(Fault::once(FaultKind::LoseAnswerBeforeSigning).on(CLEAR));
    let asked = ask(&rig, &disk, &body("c2", "clear"));
    wait_clears(&disk, 2);
    disk.replug();
    let view = ended(&rig, &asked.id);
    assert_eq!(view.state, OperationState::Unsettled, "{view:?}");
    assert_eq!(disk.complete_commands(CLEAR), 2);
    let careful = json!({ "key": "c3", "operation": "clear", "reason": "again" });
    let refused = ended(&rig, &ask(&rig, &disk, &careful).id);
    assert!(matches!(verdict(&refused), OperationVerdict::Refused { anyway: true, .. }), "{refused:?}");
    oracle::check(&oracle::wait_done(&rig.api, 1, PATIENCE), &[&disk]);
}

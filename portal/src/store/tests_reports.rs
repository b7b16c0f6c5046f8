//! Sums and tasks, over every store: part of the suite.
#![allow(clippy::unwrap_used)]

use rust_decimal::Decimal;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use taxdisk_protocol::api::{IssuedInvoice, Operation};
use taxdisk_protocol::printed::Printed;

use super::tests::request;
use super::{By, Db, Period, Sum, open};
use crate::core::hold::Hold;
use crate::core::request::{Phase, Request, Voiding};
use crate::core::task::{Task, TaskKind, TaskState};
use crate::document::Line;

fn line(net: i64, tax: i64, rate: i64, zero: &str) -> Line {
    Line {
        net: Some(Decimal::new(net, 2)),
        tax: Some(Decimal::new(tax, 2)),
        gross: Decimal::new(net + tax, 2),
        rate: Decimal::new(rate, 2),
        zero_rate: zero.to_owned(),
        ..Line::default()
    }
}

fn issued(serial: &str, operation: Operation, day: &str, lines: Vec<Line>) -> Request {
    let mut request = request("sums", serial);
    (request.phase, request.operation) = (Phase::Issued, operation);
    request.document.lines = lines;
    request.issued = Some(IssuedInvoice {
        code: "011002000111".to_owned(),
        number: serial.to_owned(),
        issued_at: format!("{day}120000"),
        fiscal_code: String::new(),
        signature: String::new(),
        disk: "661545600001".to_owned(),
        printed: Printed::default(),
    });
    request
}

fn sum(key: &str, zero: &str, counts: (i64, i64), net: i64, tax: i64) -> Sum {
    Sum {
        key: key.to_owned(),
        zero_rate: zero.to_owned(),
        blues: counts.0,
        reds: counts.1,
        net: Decimal::new(net, 2),
        tax: Decimal::new(tax, 2),
        gross: Decimal::new(net + tax, 2),
    }
}

pub(super) async fn sums_are_exact_and_reds_take_away(db: &mut dyn Db) {
    let red = Operation::Red;
    let mut of_other = issued("SUM5", Operation::Issue, "20270102", vec![line(999, 1, 13, "")]);
    of_other.orgcode = "B".to_owned();
    // 15 digits, as long as an amount can be: a float would lose the fen.
    let large = 999_999_999_999_901;
    for request in [
        issued("SUM1", Operation::Issue, "20270101", vec![line(10_000, 1_300, 13, ""), line(10, 0, 0, "1")]),
        issued("SUM2", Operation::Issue, "20270101", vec![line(large, 0, 0, "1"), line(1, 0, 0, "1"), line(1, 0, 0, "2")]),
        issued("SUM3", red, "20270102", vec![line(-4_000, -520, 13, "")]),
        issued("SUM4", Operation::Issue, "20270103", vec![line(5_000, 650, 13, "")]),
        of_other,
        Request { phase: Phase::Failed, ..issued("SUM6", Operation::Issue, "20270101", vec![line(1, 1, 13, "")]) },
    ] {
        db.put_request(&request).await.unwrap();
        // Written again, as every later change of a request does: it counts once.
        db.put_request(&request).await.unwrap();
    }
    let void = Request { voiding: Voiding::Void, ..issued("SUM4", Operation::Issue, "20270103", vec![line(5_000, 650, 13, "")]) };
    db.put_request(&void).await.unwrap();
    let period = |from: i64, to: i64, org: &str| Period { tenant: "sums".to_owned(), from, to, orgcode: org.to_owned() };
    let january = period(20_270_101, 20_270_131, "");
    assert_eq!(
        db.sums(&january, By::Day).await.unwrap(),
        [sum("20270101", "", (2, 0), 10_000 + 10 + large + 2, 1_300), sum("20270102", "", (1, 1), -3_001, -519)]
    );
    assert_eq!(
        db.sums(&january, By::Rate).await.unwrap(),
        [sum("0", "1", (2, 0), 10 + large + 1, 0), sum("0", "2", (1, 0), 1, 0), sum("0.13", "", (2, 1), 6_999, 781)]
    );
    assert_eq!(db.sums(&january, By::Kind).await.unwrap(), [sum("1", "", (3, 1), 7_011 + large, 781)]);
    assert_eq!(db.sums(&period(20_270_102, 20_270_102, "B"), By::Day).await.unwrap(), [sum("20270102", "", (1, 0), 999, 1)]);
    assert_eq!((db.voids(&january).await.unwrap(), db.voids(&period(20_270_104, 20_270_131, "")).await.unwrap()), (1, 0));
    let of_nobody = Period { tenant: "nobody".to_owned(), ..january };
    assert!(db.sums(&of_nobody, By::Day).await.unwrap().is_empty());
}

pub(super) async fn tasks_settings_and_histories_are_kept(db: &mut dyn Db) {
    let task = |id: &str, created_at: i64| Task {
        id: id.to_owned(),
        tenant: "tasks".to_owned(),
        serial: "A1".to_owned(),
        kind: TaskKind::Correction,
        state: TaskState::Open,
        text: "抬头".to_owned(),
        contact: String::new(),
        created_at,
        answer: String::new(),
        hold: None,
        ended_by: String::new(),
        ended_at: 0,
    };
    for (id, at) in [("t2", 2), ("t1", 1), ("t3", 3), ("t4", 4)] {
        db.put_task(&task(id, at)).await.unwrap();
    }
    let held = Task { hold: Some(Hold { person: "console:anna".to_owned(), until: 9 }), ..task("t1", 1) };
    db.put_task(&held).await.unwrap();
    for id in ["t2", "t3"] {
        let ended = Task { state: TaskState::Refused, ended_by: "console:anna".to_owned(), ended_at: 5, ..task(id, 0) };
        db.put_task(&ended).await.unwrap();
    }
    assert_eq!(db.task("tasks", "t1").await.unwrap(), Some(held));
    assert_eq!(db.task("other", "t1").await.unwrap(), None, "of its tenant alone");
    for (state, limit, wanted) in [
        (TaskState::Open, 10, vec!["t1", "t4"]),
        (TaskState::Open, 1, vec!["t1"]),
        (TaskState::Refused, 10, vec!["t3", "t2"]),
        (TaskState::Done, 10, vec![]),
    ] {
        let ids: Vec<String> = db.tasks("tasks", state, limit).await.unwrap().into_iter().map(|task| task.id).collect();
        assert_eq!(ids, wanted, "{state:?}");
    }
    assert_eq!(db.setting("callback", "tasks").await.unwrap(), None);
    db.put_setting("callback", "tasks", "{}").await.unwrap();
    assert_eq!(db.setting("callback", "tasks").await.unwrap().as_deref(), Some("{}"));
    for number in 0..5 {
        let note = super::Note { at: number, by: "anna".to_owned(), what: format!("w{number}"), body: String::new() };
        db.add_note("tasks", "*settings", &note).await.unwrap();
    }
    let latest = db.latest_notes("tasks", "*settings", 2).await.unwrap();
    assert_eq!(latest.iter().map(|note| note.what.as_str()).collect::<Vec<_>>(), ["w4", "w3"]);
}

#[tokio::test]
async fn what_was_issued_before_there_were_reports_is_in_them_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("portal.db").display());
    let mut opened = open(&url).await.unwrap();
    opened.writer.put_request(&issued("SUM1", Operation::Issue, "20270101", vec![line(100, 13, 13, "")])).await.unwrap();
    drop(opened);
    // As it was: no sums, and what the migration does with it.
    let options: SqliteConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let migration = include_str!("migrations/0010_reports.sql");
    let update = migration.lines().find(|line| line.starts_with("UPDATE")).expect("the migration lists them anew");
    sqlx::raw_sql("DELETE FROM issued_sums").execute(&mut connection).await.unwrap();
    sqlx::raw_sql(update).execute(&mut connection).await.unwrap();
    drop(connection);
    let mut again = open(&url).await.unwrap();
    let period = Period { tenant: "sums".to_owned(), from: 0, to: 99_999_999, orgcode: String::new() };
    assert_eq!(again.writer.sums(&period, By::Day).await.unwrap(), [sum("20270101", "", (1, 0), 100, 13)]);
}

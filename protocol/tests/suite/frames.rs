//! One committed sample of every frame: what other versions of broker and agent see on the link.

use std::path::Path;

use taxdisk_protocol::api::{ClimbRung, DiskClimb, DiskHealth, DiskReport, InvoiceBody, Operation, PairBody, StockView};
use taxdisk_protocol::api::{OperationKind, OperationReadings, OperationResultView, OperationVerdict};
use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::error::{Code, Difference, Problem};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{
    Accounted, AgentFrame, Assignment, AttemptRef, AttemptResult, BrokerFrame, Decode, JournalHead, KeyProof, MAX_FRAME_BYTES,
    NumberEntry, OpenAttempt, Owner, QueryResult, Reading, decode_agent, decode_broker, proof_message,
};
use taxdisk_protocol::link::{Forgotten, IndexLine, OperationOrder, RecountedNumbers, SeenNumber};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::undo::Undoing;
use taxdisk_protocol::update::{AgentUpdate, FailedVersion, UpdateOffer, UpdateState};

use crate::documents::compare;
use crate::making::{first, serial_converter};

fn attempt() -> AttemptRef {
    let key = taxdisk_protocol::rules::parse_key(&first()).unwrap();
    AttemptRef { key, attempt: 1 }
}

fn pair(number: u32) -> NumberPair {
    format!("011002000107 {number:08}").parse().unwrap()
}

fn assignment() -> Assignment {
    Assignment {
        attempt: attempt(),
        sequence: 7,
        operation: Operation::Issue,
        kind: InvoiceKind::Roll,
        invoice: first().invoice.unwrap(),
        content_hash: taxdisk_protocol::hash::content(&first()).hash,
        original: None,
        mark: Some(taxdisk_protocol::mark::mark(&attempt().key)),
        trace: None,
    }
}

fn open() -> OpenAttempt {
    OpenAttempt {
        assignment: assignment(),
        epoch: 3,
        agent: "ag_0123456789abcdef".parse().unwrap(),
        expected: Some(pair(88)),
        named: None,
    }
}

fn outcome(outcome: AttemptResult, readings: Vec<Reading>) -> AgentFrame {
    AgentFrame::Outcome {
        id: "o-1".into(),
        disk: "499000123456".parse().unwrap(),
        epoch: 3,
        sequence: 7,
        attempt: attempt(),
        expected: Some(pair(88)),
        outcome,
        readings,
        disk_ms: 412,
    }
}

fn agent_samples() -> Vec<(&'static str, AgentFrame)> {
    let disk: taxdisk_protocol::ids::DiskNumber = "499000123456".parse().unwrap();
    let at = "2026-02-03T01:53:00Z".to_owned();
    let readings = vec![
        Reading::Current { kind: InvoiceKind::Roll, pair: Some(pair(89)), remaining: Some(912), at: at.clone() },
        Reading::Query {
            pair: pair(88),
            found: QueryResult::Present {
                different: vec!["buyer.name".into()],
                mark: Some("#0123ABCDE".into()),
                status: "positive".into(),
                gross: "226.00".into(),
                buyer: "测试买方有限公司".into(),
            },
            at: at.clone(),
        },
        Reading::Query { pair: pair(89), found: QueryResult::Absent, at: at.clone() },
        Reading::Query { pair: pair(90), found: QueryResult::Failed { class: DeviceClass::Link, text: "silence".into() }, at },
    ];
    let issued = AttemptResult::Issued {
        pair: pair(88),
        issued_at: "20260203015300".into(),
        fiscal_code: "12345678901234567890".into(),
        signature: "TUVDSVEt".into(),
        printed: Printed::new(
            "12345678901234567890",
            "03*<81->6",
            "01,10,011002000107,00000088,200.00,20260203,12345678901234567890,",
        ),
        settled: false,
    };
    let not_issued =
        AttemptResult::NotIssued { class: DeviceClass::NoStock, code: Some("JSK011".into()), text: "no blank invoice".into() };
    let unsettled = AttemptResult::Unsettled { class: DeviceClass::Link, text: "the disk does not answer".into() };
    let report = DiskReport {
        disk: "499000123456".into(),
        taxpayer: "91110000MA00000019".into(),
        taxpayer_name: "示例商贸有限公司".into(),
        kinds: vec!["025".into()],
        capabilities: serial_converter(),
        fence: Fence::Ordered,
        dialect: "zc".into(),
        port: "/dev/ttyUSB0".into(),
        health: DiskHealth { ready: false, class: Some(DeviceClass::NoStock), text: "no blank invoice".into() },
        stock: vec![StockView {
            kind: "025".into(),
            current: Some(PairBody::from(pair(88))),
            remaining: 913,
            invoice_limit: Some("10000.00".into()),
            issue_deadline: None,
            upload_day: None,
            offline_hours: None,
            offline_amount: None,
            period: None,
        }],
        clock: Some("20260203015300".into()),
        offline: None,
        password_tries: None,
        memory_percent: None,
        clock_offset_s: None,
        takes: vec![Operation::Issue, Operation::Void],
        sequence: 0,
        climbs: vec![DiskClimb {
            at: "2026-02-03T01:52:00Z".into(),
            rung: ClimbRung::Reopen,
            class: DeviceClass::Link,
            text: "the disk does not answer".into(),
        }],
    };
    vec![
        (
            "hello",
            AgentFrame::Hello {
                agent: "ag_0123456789abcdef".parse().unwrap(),
                version: "0.1.0".into(),
                protocol: vec![1],
                journal: JournalHead { id: "6f1d".into(), sequence: 42 },
                join: 5,
            },
        ),
        ("proof", AgentFrame::Proof { signature: "c2lnbmF0dXJl".into(), keys: Vec::new() }),
        (
            "proof_keys",
            AgentFrame::Proof {
                signature: "c2lnbmF0dXJl".into(),
                keys: vec![KeyProof { public_key: "bmV3".into(), signature: "c2lnbmVk".into() }],
            },
        ),
        ("disks", AgentFrame::Disks { disks: vec![report] }),
        (
            "recorded",
            AgentFrame::Recorded {
                disk: disk.clone(),
                attempt: attempt(),
                why: "the device answers nothing".to_owned(),
                lines: "{\"at_us\":1200,\"sent\":\"5a00\"}\n".to_owned(),
            },
        ),
        ("started", AgentFrame::Started { disk, epoch: 3, attempt: attempt(), expected: pair(88) }),
        ("outcome", outcome(issued, readings)),
        ("outcome_voided", outcome(AttemptResult::Voided { pair: pair(88), voided_at: "20260203020000".into() }, vec![])),
        ("outcome_not_issued", outcome(not_issued, vec![])),
        ("outcome_given_back", outcome(AttemptResult::GivenBack { text: "restart".into() }, vec![])),
        ("outcome_unsettled", outcome(unsettled, vec![])),
        (
            "accounted",
            AgentFrame::Accounted {
                id: "a-1".into(),
                disk: "499000123456".parse().unwrap(),
                epoch: 3,
                kind: InvoiceKind::Roll,
                entries: vec![
                    NumberEntry {
                        pair: pair(88),
                        owner: Owner::Ours(attempt()),
                        status: "positive".into(),
                        digest: "00ff".into(),
                    },
                    NumberEntry { pair: pair(89), owner: Owner::Foreign, status: "blank_void".into(), digest: "11ee".into() },
                ],
                last: pair(89),
                note: None,
            },
        ),
        ("recounted", recounted()),
        (
            "operating",
            AgentFrame::Operating { disk: "499000123456".parse().unwrap(), epoch: 3, operation: "op_0123456789abcdef".into() },
        ),
        ("operated", operated()),
        (
            "updating",
            AgentFrame::Updating {
                update: AgentUpdate {
                    target: "x86_64-linux".into(),
                    state: UpdateState::Waiting,
                    version: Some("0.2.0".into()),
                    text: "the disk at /dev/ttyUSB0 is at work".into(),
                    failed: vec![FailedVersion {
                        version: "0.1.9".into(),
                        at: "2026-02-03T01:53:00Z".into(),
                        reason: "it ended with exit code 1".into(),
                    }],
                },
            },
        ),
        ("unsupported", AgentFrame::Unsupported { of: "dance".into() }),
        ("goodbye", AgentFrame::Goodbye),
    ]
}

fn recounted() -> AgentFrame {
    AgentFrame::Recounted {
        disk: "499000123456".parse().unwrap(),
        epoch: 4,
        lines: vec![IndexLine {
            attempt: attempt(),
            kind: InvoiceKind::Roll,
            epoch: 3,
            sequence: 7,
            content_hash: Some("5f1c".into()),
            expected: Some(pair(88)),
            undoing: Some(Undoing::Of(pair(12))),
            result: AttemptResult::GivenBack { text: "restart".into() },
        }],
        numbers: Some(RecountedNumbers {
            kind: InvoiceKind::Roll,
            seen: vec![SeenNumber {
                pair: pair(89),
                status: "positive".into(),
                digest: "11ee".into(),
                mark: Some("#123456789".into()),
                reverses: Some(pair(12)),
                gross: "226.00".into(),
                buyer: "个人".into(),
            }],
            last: Some(pair(89)),
            complete: true,
        }),
        done: true,
    }
}

fn operated() -> AgentFrame {
    let stock = |deadline: &str| StockView {
        kind: "025".into(),
        current: Some(PairBody::from(pair(88))),
        remaining: 913,
        issue_deadline: Some(deadline.into()),
        ..StockView::default()
    };
    let readings = |deadline| OperationReadings { stock: vec![stock(deadline)], ..OperationReadings::default() };
    let result = OperationResultView {
        verdict: OperationVerdict::Done { read: true },
        before: readings("20260215"),
        after: readings("20260315"),
    };
    AgentFrame::Operated {
        id: "p-1".into(),
        disk: "499000123456".parse().unwrap(),
        epoch: 3,
        operation: "op_0123456789abcdef".into(),
        result: Box::new(result),
    }
}

fn broker_samples() -> Vec<(&'static str, BrokerFrame)> {
    let disk = || "499000123456".parse().unwrap();
    let accounted = || vec![Accounted { kind: InvoiceKind::Roll, last: pair(87) }];
    vec![
        ("challenge", BrokerFrame::Challenge { nonce: "bm9uY2U=".into(), ledger: "01JH".into(), ancestors: Vec::new() }),
        ("welcome", BrokerFrame::Welcome { protocol: 1, journal_known: Some(42), updates: true, key: None }),
        (
            "update",
            BrokerFrame::Update {
                offer: Some(UpdateOffer {
                    manifest: "{\"format\":1}".into(),
                    signature: "untrusted comment: signature of a taxdisk release".into(),
                    path: "/v1/updates/00ff/taxdisk-agent-0.2.0-x86_64-linux".into(),
                }),
            },
        ),
        (
            "grant",
            BrokerFrame::Grant {
                disk: disk(),
                epoch: 4,
                accounted: accounted(),
                open: vec![open()],
                forgotten: Forgotten { recounting: true, unsettled: vec![attempt()] },
            },
        ),
        ("deny", BrokerFrame::Deny { disk: disk(), reason: "two agents claim it".into() }),
        ("assign", BrokerFrame::Assign { disk: disk(), epoch: 3, assignment: assignment() }),
        ("recall", BrokerFrame::Recall { disk: disk(), attempt: attempt() }),
        ("settle", BrokerFrame::Settle { disk: disk(), epoch: 4, open: OpenAttempt { named: Some(pair(91)), ..open() } }),
        ("settled", BrokerFrame::Settled { disk: disk(), attempt: attempt(), pair: Some(pair(91)) }),
        ("recount", BrokerFrame::Recount { disk: disk(), epoch: 4, after: 6, since: accounted() }),
        ("operate", BrokerFrame::Operate { disk: disk(), epoch: 3, operation: order() }),
        ("ack", BrokerFrame::Ack { ids: vec!["o-1".into()] }),
        ("unsupported", BrokerFrame::Unsupported { of: "dance".into() }),
        ("refused", BrokerFrame::Refused { code: Code::AgentRevoked.as_str().into(), reason: "revoked".into() }),
    ]
}

fn order() -> OperationOrder {
    OperationOrder {
        id: "op_0123456789abcdef".into(),
        what: OperationKind::Clear,
        kind: Some(InvoiceKind::Roll),
        dry_run: false,
        anyway: true,
        settle_only: true,
    }
}

fn golden(name: &str, value: &impl serde::Serialize) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    compare(&file, &(serde_json::to_string_pretty(value).unwrap() + "\n"));
}

/// The frame with a field that a newer version might add, on every object in it.
fn from_the_future(frame: &impl serde::Serialize) -> String {
    fn add(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.values_mut().for_each(add);
                // An object that stands for one of several cases has its case as only field.
                if !fields.keys().any(|key| ["ours", "present", "failed", "of"].contains(&key.as_str())) {
                    fields.insert("of_the_future".into(), serde_json::json!({"a": [1, null]}));
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(add),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(frame).unwrap();
    add(&mut value);
    value.to_string()
}

#[test]
fn a_void_is_assigned_in_a_form_that_older_agents_read_too() {
    let clerk = InvoiceBody { clerk: "张三".into(), ..InvoiceBody::default() };
    let void = Assignment { operation: Operation::Void, invoice: clerk, original: Some(pair(80)), mark: None, ..assignment() };
    let frame = BrokerFrame::Assign { disk: "499000123456".parse().unwrap(), epoch: 3, assignment: void };
    golden("broker_assign_void", &frame);
    let text = serde_json::to_value(&frame).unwrap();
    // The version before knows no original, and must find an invoice to answer `unsupported` at all.
    assert!(text["assignment"]["invoice"].is_object(), "{text}");
    let decoded = taxdisk_protocol::link::decode_broker(&text.to_string()).unwrap();
    assert_eq!(decoded, frame);
}

#[test]
fn an_assignment_carries_its_trace_and_whatever_stands_in_its_place_is_no_trouble() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = Assignment { trace: trace.parse().ok(), ..assignment() };
    let frame = BrokerFrame::Assign { disk: "499000123456".parse().unwrap(), epoch: 3, assignment: traced };
    let mut text = serde_json::to_value(&frame).unwrap();
    assert_eq!(text["assignment"]["trace"], trace);
    assert_eq!(taxdisk_protocol::link::decode_broker(&text.to_string()).unwrap(), frame);
    // A broker of the version before sends none, a broken one sends anything: the job is the same.
    let plain = BrokerFrame::Assign { disk: "499000123456".parse().unwrap(), epoch: 3, assignment: assignment() };
    assert!(serde_json::to_value(&plain).unwrap()["assignment"].get("trace").is_none());
    for wrong in [serde_json::json!(null), serde_json::json!(7), serde_json::json!("00-00"), serde_json::json!({"a": []})] {
        text["assignment"]["trace"] = wrong;
        assert_eq!(taxdisk_protocol::link::decode_broker(&text.to_string()).unwrap(), plain);
    }
}

#[test]
fn frames_of_agents_are_as_committed_and_ignore_what_is_new() {
    for (name, frame) in agent_samples() {
        golden(&format!("agent_{name}"), &frame);
        assert!(name.starts_with(frame.type_name()));
        assert_eq!(decode_agent(&serde_json::to_string(&frame).unwrap()).unwrap(), frame);
        assert_eq!(decode_agent(&from_the_future(&frame)).unwrap(), frame, "{name}");
    }
    let seen: Vec<_> = agent_samples().iter().map(|(_, frame)| frame.type_name()).collect();
    assert!(AgentFrame::TYPES.iter().all(|name| seen.contains(name)), "a frame has no sample");
}

#[test]
fn frames_of_brokers_are_as_committed_and_ignore_what_is_new() {
    for (name, frame) in broker_samples() {
        golden(&format!("broker_{name}"), &frame);
        assert_eq!(frame.type_name(), name);
        assert_eq!(decode_broker(&serde_json::to_string(&frame).unwrap()).unwrap(), frame);
        assert_eq!(decode_broker(&from_the_future(&frame)).unwrap(), frame, "{name}");
    }
    let seen: Vec<_> = broker_samples().iter().map(|(_, frame)| frame.type_name()).collect();
    assert!(BrokerFrame::TYPES.iter().all(|name| seen.contains(name)), "a frame has no sample");
}

#[test]
fn submissions_and_problems_are_as_committed() {
    golden("api_submission", &first());
    let differences = vec![Difference { pointer: "/invoice/totals/gross".into() }];
    let breaches = taxdisk_protocol::rules::parse(&Default::default()).unwrap_err();
    let problem = Problem::new(Code::Conflict, "NW10248 is known").with_differences(differences).with_breaches(breaches);
    golden("api_problem", &problem);
}

#[test]
fn what_is_unknown_and_what_is_broken_are_told_apart() {
    assert_eq!(decode_agent(r#"{"type":"dance","step":1}"#), Err(Decode::UnknownType("dance".into())));
    assert_eq!(decode_broker(r#"{"type":"hello"}"#), Err(Decode::UnknownType("hello".into())));
    for broken in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"proof"}"#,
        r#"{"type":"proof","signature":1}"#,
        r#"{"type":"goodbye"} x"#,
        r#"{"type":"ack","type":"ack","ids":[]}"#,
    ] {
        assert!(matches!(decode_agent(broken), Err(Decode::Malformed(_))), "{broken}");
    }
    let long_type = format!(r#"{{"type":"{}"}}"#, "x".repeat(1000));
    assert!(matches!(decode_agent(&long_type), Err(Decode::Malformed(_))));
    let too_long = format!(r#"{{"type":"goodbye","pad":"{}"}}"#, "x".repeat(MAX_FRAME_BYTES));
    assert!(matches!(decode_agent(&too_long), Err(Decode::Malformed(_))));
    let bad_pair = r#"{"type":"started","disk":"1","epoch":1,"seller":"x"}"#;
    assert!(matches!(decode_agent(bad_pair), Err(Decode::Malformed(_))));
    let deep = "[".repeat(100_000);
    assert!(matches!(decode_agent(&deep), Err(Decode::Malformed(_))));
}

#[test]
fn the_largest_invoice_fits_a_frame() {
    let mut assignment = assignment();
    let mut line = assignment.invoice.lines[0].clone();
    line.name = "字".repeat(45);
    line.specification = "字".repeat(20);
    assignment.invoice.lines = vec![line; taxdisk_protocol::rules::LINES_MAX];
    let frame = BrokerFrame::Assign { disk: "1".parse().unwrap(), epoch: u64::MAX, assignment };
    let text = serde_json::to_string(&frame).unwrap();
    assert!(text.len() < 64 * 1024, "{}", text.len());
    assert_eq!(decode_broker(&text).unwrap(), frame);
}

#[test]
fn a_proof_is_bound_to_ledger_agent_join_and_nonce() {
    let message = proof_message("01JH", &"ag_0123456789abcdef".parse().unwrap(), 5, "bm9uY2U=");
    assert_eq!(message, b"taxdisk link v1\n01JH\nag_0123456789abcdef\n5\nbm9uY2U=");
}

//! The changing commands besides issuing: sent once, believed on their own good answer only, and guarded where a repeat harms.

use std::time::Duration;

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use super::super::commands::{
    certificate_password, clear, issue, password, refresh_offline, report, samples::subject, speed, upload, upload_errors, void,
};
use super::super::config::RedSign;
use super::super::{ZcConfig, ZcDisk, samples, vectors};
use super::script::{answer, config, device, er, host, identity, many, online, order, ready_disk, single};
use crate::disk::{Comparison, IssueAnswer, NumberStatus, Red, Search, TaxDisk};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::secret::Secret;
use crate::transport::ByteLine;
use crate::transport::memory::{ScriptedLine, Step, Traffic};

const ROLL: InvoiceKind = InvoiceKind::Roll;
const DONE: OperationAnswer = OperationAnswer::Done { pair: None, at: None };

/// 01, then a command of one packet.
fn sent(code: u8, data: Vec<u8>) -> Vec<Step> {
    let [frame] = vectors::frames_of(code, &data).try_into().unwrap();
    online().into_iter().chain([host(frame)]).collect()
}

fn ok() -> Vec<u8> {
    vectors::frame("1 answer")
}

fn offline(count: u32) -> Vec<Step> {
    let mut data = format!("{count}").into_bytes();
    data.resize(22, 0);
    data.extend(b"678.00");
    data.resize(51, 0);
    single("18 request", answer(b"OK", 0, &data))
}

/// Every operation that needs no look before it, with the bytes that it sends.
fn plain() -> Vec<(Operation, Vec<Step>)> {
    let (old, new) = (Secret::new("88888888"), Secret::new("newpass1"));
    let subject = subject();
    let disk = password::request(subject.taxpayer, subject.disk, subject.machine, &old, &new).unwrap();
    let certificate = certificate_password::request(subject.machine, &old, &new).unwrap();
    let change = |which| Operation::ChangePassword { which, old: old.clone(), new: new.clone() };
    let reported = report::request(&subject, ROLL, report::Route::Network, "0").unwrap();
    vec![
        (Operation::Report { kind: ROLL }, sent(0x11, reported)),
        (Operation::Clear { kind: ROLL }, sent(0x12, clear::request(&subject, ROLL, "0").unwrap())),
        (Operation::RefreshOffline { kind: ROLL }, sent(0x15, refresh_offline::request(&subject, ROLL, "0").unwrap())),
        (change(PasswordKind::Disk), sent(0x09, disk)),
        (change(PasswordKind::Certificate), sent(0x1C, certificate)),
    ]
}

#[test]
fn each_is_done_on_an_empty_ok_and_in_doubt_on_anything_else() {
    for (operation, steps) in plain() {
        let (mut disk, line) = ready_disk(steps.clone());
        assert!(disk.capabilities().can(operation.name()));
        line.then([device(ok())]);
        assert_eq!(disk.operate(&operation), DONE, "{operation:?}");
        assert!(line.is_finished());
        for reply in
            [er("JSK701:金税卡处于报税期,不能开票"), answer(b"ER", 0, &[0x20]), answer(b"OK", 0, b"x"), b"noise".to_vec()]
        {
            let (mut disk, line) = ready_disk(steps.clone());
            line.then([device(reply)]);
            assert!(matches!(disk.operate(&operation), OperationAnswer::InDoubt(_)), "{operation:?}");
        }
    }
}

#[test]
fn what_fails_before_the_last_byte_is_not_sent_and_what_fails_in_it_is_in_doubt() {
    for (operation, _) in plain() {
        let cases: [(Vec<Step>, bool); 5] = [
            (vec![Step::BreakWrite(0)], true),
            (vec![host(vectors::frame("1 request"))], true),
            (online().into_iter().chain([Step::BreakWrite(0)]).collect(), true),
            (online().into_iter().chain([Step::BreakWrite(1)]).collect(), false),
            (online().into_iter().chain([Step::StallWrite(20)]).collect(), false),
        ];
        for (steps, not_sent) in cases {
            let (mut disk, _) = ready_disk(steps.clone());
            let answer = disk.operate(&operation);
            assert_eq!(matches!(answer, OperationAnswer::NotSent(_)), not_sent, "{steps:?} {answer:?}");
            assert!(not_sent || matches!(answer, OperationAnswer::InDoubt(_)));
        }
    }
}

#[test]
fn commands_over_the_network_are_waited_for_180_s() {
    for (operation, steps) in plain() {
        let (mut disk, line) = ready_disk(steps);
        let before = line.now();
        assert!(matches!(disk.operate(&operation), OperationAnswer::InDoubt(_)));
        let seconds = if matches!(operation, Operation::ChangePassword { .. }) { 30 } else { 180 };
        assert_eq!(line.now() - before, Duration::from_secs(seconds), "{operation:?}");
    }
}

#[test]
fn a_blank_is_voided_only_while_it_is_the_current_one() {
    let pair = order().expected;
    let of = |expected| Operation::BlankVoid { kind: ROLL, expected, operator: "张三".to_owned() };
    let data = void::request(&subject(), &Secret::new("12345678"), ROLL, void::Target::Blank, pair, "张三").unwrap();
    let (mut disk, line) = ready_disk(single("3 request", vectors::frame("3 answer")));
    line.then(sent(void::CODE, data));
    line.then(many(&vectors::frames("10 answer")));
    assert!(matches!(disk.operate(&of(pair)), OperationAnswer::Done { pair: Some(voided), .. } if voided == pair));
    // The number moved meanwhile: a repeat would burn the next blank.
    line.then(single("3 request", vectors::frame("3 answer")));
    let OperationAnswer::NotSent(error) = disk.operate(&of(pair.successor().unwrap())) else { panic!("another is current") };
    assert_eq!(error.class, DeviceClass::NumberMismatch);
    // No blank at all, or no answer: nothing is sent either.
    line.then(single("3 request", er("JSK176:无可用发票")));
    assert!(matches!(disk.operate(&of(pair)), OperationAnswer::NotSent(_)));
    line.then([host(vectors::frame("3 request"))]);
    assert!(matches!(disk.operate(&of(pair)), OperationAnswer::NotSent(_)));
    let voids = line.written().iter().filter(|frame| frame.starts_with(&[0x1B, 0x10, 0x0B])).count();
    assert_eq!(voids, 1);
}

#[test]
fn an_upload_that_runs_is_not_stopped_by_starting_it_again() {
    let operation = Operation::Upload { kind: ROLL };
    let start = || sent(upload::CODE, upload::request(&subject(), ROLL, 3, "0").unwrap());
    let (mut disk, line) = ready_disk(offline(0));
    assert!(matches!(disk.operate(&operation), OperationAnswer::NotSent(_)), "nothing waits");
    line.then(offline(3).into_iter().chain(start()).chain([device(ok())]));
    assert_eq!(disk.operate(&operation), DONE);
    line.then(offline(2));
    let OperationAnswer::NotSent(error) = disk.operate(&operation) else { panic!("it would stop the upload") };
    assert_eq!(error.class, DeviceClass::InProgress);
    // Seen to be through; three more wait later.
    line.then(offline(0));
    disk.offline_totals().unwrap();
    line.then(offline(3).into_iter().chain(start()).chain([device(er("停止发票上传"))]));
    assert!(matches!(disk.operate(&operation), OperationAnswer::InDoubt(_)));
    // It was stopped, so it may be started; and once in doubt it is not sent again.
    line.then(offline(3).into_iter().chain(start()).chain([device(b"noise".to_vec())]));
    assert!(matches!(disk.operate(&operation), OperationAnswer::InDoubt(_)));
    line.then(online());
    line.then(offline(3));
    assert!(matches!(disk.operate(&operation), OperationAnswer::NotSent(_)));
    assert!(line.is_finished());
}

#[test]
fn a_new_password_is_used_from_then_on_and_a_refused_old_one_stops_everything() {
    let (operation, steps) = plain().remove(3);
    let (mut disk, line) = ready_disk(steps.clone());
    line.then([device(ok())]);
    assert_eq!(disk.operate(&operation), DONE);
    let new = Secret::new("newpass1");
    let renamed = super::super::commands::Subject { password: &new, ..subject() };
    let request = super::super::commands::stock::request(&renamed, ROLL).unwrap();
    line.then([host(vectors::frames_of(0x08, &request).remove(0)), device(vectors::frame("3 answer"))]);
    disk.stock(ROLL).unwrap();
    assert!(line.is_finished());

    let (mut disk, line) = ready_disk(steps);
    line.then([device(er("JSK237:操作员口令错误"))]);
    assert!(matches!(disk.operate(&operation), OperationAnswer::InDoubt(_)));
    assert_eq!(disk.stock(ROLL).unwrap_err().class, DeviceClass::BadPassword);
    line.then(online());
    assert!(matches!(disk.operate(&operation), OperationAnswer::NotSent(_)));
    assert!(line.is_finished());
}

#[test]
fn the_speed_changes_on_both_sides() {
    let request = || sent(speed::CODE, speed::request(57_600).unwrap());
    let (mut disk, line) = ready_disk(request());
    line.then([device(ok())].into_iter().chain(online()));
    assert_eq!(disk.set_speed(57_600), DONE);
    assert!(line.is_finished() && line.traffic().contains(&Traffic::Speed(57_600)));
    // Refused, or unheard: the line stays as it is.
    for reply in [er("x y"), vec![]] {
        let (mut disk, line) = ready_disk(request());
        line.then([device(reply)]);
        assert!(matches!(disk.set_speed(57_600), OperationAnswer::InDoubt(_)));
        assert!(!line.traffic().contains(&Traffic::Speed(57_600)));
    }
    // Dumb at the new speed.
    let (mut disk, line) = ready_disk(request());
    line.then([device(ok()), host(vectors::frame("1 request"))]);
    assert!(matches!(disk.set_speed(57_600), OperationAnswer::InDoubt(_)));
    let (mut disk, line) = ready_disk(online());
    assert!(matches!(disk.set_speed(57_601), OperationAnswer::NotSent(_)));
    assert!(line.is_finished());
}

#[test]
fn no_upload_errors_are_an_empty_list_and_other_refusals_are_not() {
    let [frame] = vectors::frames_of(upload_errors::CODE, &upload_errors::request(&subject()).unwrap()).try_into().unwrap();
    let (mut disk, line) = ready_disk([host(frame.clone()), device(er("无上传错误发票信息"))]);
    assert_eq!(disk.upload_errors(), Ok(Vec::new()));
    line.then([host(frame), device(er("JSK4001:没有找到金税盘"))]);
    assert!(disk.upload_errors().is_err());
}

#[test]
fn the_last_invoice_is_the_one_before_the_current_pair() {
    let mut current = vectors::answer_data("3 answer");
    current[15..23].copy_from_slice(b"00000089");
    let stock = || single("3 request", answer(b"OK", 0, &current));
    let (mut disk, line) = ready_disk(stock().into_iter().chain([host(vectors::frame("7 request"))]));
    line.then(many(&vectors::frames("8 answer")));
    let found = disk.find(ROLL, Search::Last).unwrap();
    assert_eq!((found.len(), found[0].pair), (1, order().expected));
    // Absent says that a roll begins here, never that there is no last invoice.
    line.then(stock().into_iter().chain(single("7 request", er("JSK89:未找到指定发票明细"))));
    assert_eq!(disk.find(ROLL, Search::Last).unwrap_err().class, DeviceClass::Unsupported);
    assert_eq!(disk.find(ROLL, Search::Request("A1")).unwrap_err().class, DeviceClass::Unsupported);
    assert!(line.is_finished());
}

fn reversed() -> Invoice {
    let mut line = samples::paper();
    line.quantity = Some("-2".parse().unwrap());
    line.net = "-200.00".parse().unwrap();
    line.tax = "-26.00".parse().unwrap();
    samples::invoice(vec![line])
}

#[test]
fn a_red_invoice_names_its_original_and_compares_equal_with_either_sign() {
    let red = Red { original: "011002000107 00000077".parse().unwrap(), notice: None };
    let mut order = order();
    order.invoice = reversed();
    order.red = Some(red.clone());
    for sign in [RedSign::Positive, RedSign::Negative] {
        let certificate = Secret::new("12345678");
        let data = issue::request(&issue::Request {
            subject: subject(),
            certificate_password: &certificate,
            seller_name: "示例商贸有限公司",
            kind: ROLL,
            invoice: &order.invoice,
            remark: "",
            red: Some(issue::Red { original: red.original, sign }),
            max_lines: 10,
        })
        .unwrap();
        let frames = vectors::frames_of(issue::CODE, &data);
        let line = ScriptedLine::new(online().into_iter().chain(identity()).chain(online()));
        for (index, frame) in frames.iter().enumerate() {
            line.then([host(frame.clone())]);
            if index + 1 < frames.len() {
                line.then([device(answer(b"NP", 0, &[index as u8 + 1]))]);
            }
        }
        line.then(many(&vectors::frames("5 answer")));
        let mut disk = ZcDisk::new(line.clone(), ZcConfig { red_sign: sign, ..config() });
        disk.identity().unwrap();
        assert!(matches!(disk.issue(&order.request()), IssueAnswer::Signed(_)));
        assert!(line.is_finished());
    }
    let (mut disk, _) = ready_disk([host(vectors::frame("7 request"))].into_iter().chain(many(&vectors::frames("8 answer"))));
    assert!(disk.capabilities().red);
    let mut found = disk.query(ROLL, order.expected).unwrap().unwrap();
    let of = |disk: &ZcDisk<ScriptedLine>, found: &crate::disk::FoundInvoice| disk.compare(&order.request(), found);
    assert_eq!(of(&disk, &found), Comparison::Different(vec!["status", "original"]));
    found.status = NumberStatus::Negative;
    found.original = Some(red.original);
    assert_eq!(of(&disk, &found), Comparison::Equal);
    (found.net, found.tax, found.gross) =
        ("-200.00".parse().unwrap(), "-26.00".parse().unwrap(), "-226.00".parse::<Amount>().unwrap());
    found.lines[0].quantity = "-2.000".to_owned();
    assert_eq!(of(&disk, &found), Comparison::Equal);
    found.original = Some(order.expected);
    assert_eq!(of(&disk, &found), Comparison::Different(vec!["original"]));
}

#[test]
fn red_invoices_that_cannot_be_expressed_are_not_sent() {
    let original = "011002000107 00000077".parse().unwrap();
    let (mut disk, line) = ready_disk([]);
    let mut refused = |change: &dyn Fn(&mut crate::actor::IssueOrder)| {
        let mut order = order();
        order.invoice = reversed();
        order.red = Some(Red { original, notice: None });
        change(&mut order);
        let IssueAnswer::NotSent(error) = disk.issue(&order.request()) else { panic!("it cannot be expressed") };
        error.text
    };
    assert!(refused(&|one| one.red = Some(Red { original, notice: Some("1".to_owned()) })).starts_with("red.notice"));
    assert!(refused(&|one| one.invoice = samples::invoice(vec![samples::paper()])).starts_with("totals.gross"));
    let ten = Red { original: "1100200010 00000001".parse().unwrap(), notice: None };
    assert!(refused(&|one| one.red = Some(ten.clone())).starts_with("original.code"));
    assert!(refused(&|one| one.red = None).starts_with("totals.gross"));
    assert!(line.is_finished());
}

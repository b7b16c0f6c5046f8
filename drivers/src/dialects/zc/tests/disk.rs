//! The disk behind the trait: a line that must be trusted, absence, passwords, the right disk, comparison.

use std::time::Duration;

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::invoice::LineKind;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::super::{ZcDisk, samples, vectors};
use super::script::{
    SILENCE, answer, config, device, er, host, identity, issue_packets, many, ms, online, order, ready_disk, single,
};
use crate::disk::{Comparison, IssueAnswer, NumberStatus, TaxDisk};
use crate::operation::{Operation, OperationAnswer};
use crate::transport::ByteLine;
use crate::transport::memory::{ScriptedLine, Step, Traffic};

const ROLL: InvoiceKind = InvoiceKind::Roll;

fn pair() -> NumberPair {
    order().expected
}

/// 0C of vector 7.
fn query(reply: Vec<Step>) -> Vec<Step> {
    [host(vectors::frame("7 request"))].into_iter().chain(reply).collect()
}

fn void_of(operator: &str) -> Operation {
    Operation::Void { kind: ROLL, pair: pair(), net: "200.00".parse().unwrap(), operator: operator.to_owned() }
}

fn void(reply: Vec<Step>) -> Vec<Step> {
    online().into_iter().chain([host(vectors::frame("9 request"))]).chain(reply).collect()
}

#[test]
fn a_new_line_is_silent_and_answers_before_anything_else_is_asked() {
    // The program before this one was ended in the middle of a command: its answer comes now.
    let line = ScriptedLine::new([Step::Reply(ms(2000), vectors::frames("5 answer")[0].clone())]);
    line.then(online());
    line.then(identity());
    let mut disk = ZcDisk::new(line.clone(), config());
    assert_eq!(disk.identity().unwrap().taxpayer_name, "示例商贸有限公司");
    let first = line.traffic().into_iter().find_map(|entry| match entry {
        Traffic::Written(at, _) => Some(at),
        _ => None,
    });
    assert_eq!(first.unwrap(), ms(2000) + SILENCE);
    assert!(line.is_finished());
}

#[test]
fn reads_are_the_vectors() {
    let (mut disk, line) = ready_disk(single("3 request", vectors::frame("3 answer")));
    assert_eq!(disk.stock(ROLL).unwrap().remaining, 913);
    line.then([host(vectors::frame("16 request"))].into_iter().chain(many(&vectors::frames("16 answer"))));
    assert_eq!(disk.limits(ROLL).unwrap().upload_day, Some(15));
    line.then(single("18 request", vectors::frame("18 answer")));
    assert_eq!(disk.offline_totals().unwrap().count, 3);
    line.then(query(many(&vectors::frames("8 answer"))));
    assert_eq!(disk.query(ROLL, pair()).unwrap().unwrap().pair, pair());
    assert!(line.is_finished());
}

#[test]
fn a_late_answer_is_never_taken_for_another() {
    let (mut disk, line) = ready_disk([host(vectors::frame("3 request"))]);
    assert_eq!(disk.stock(ROLL).unwrap_err().class, DeviceClass::Link);
    // The old answer comes a second into the silence; then 01 and only then the next command.
    line.then([Step::Reply(ms(1000), vectors::frame("3 answer"))]);
    line.then(online());
    line.then(query(vec![device(er("JSK89:未找到指定发票明细"))]));
    let before = line.now();
    assert_eq!(disk.query(ROLL, pair()), Ok(None));
    assert!(line.now() - before >= ms(1000) + SILENCE);
    assert!(line.is_finished());
}

#[test]
fn an_issued_invoice_whose_answer_comes_during_the_handshake_does_not_confuse_it() {
    let (mut disk, line) = ready_disk(online());
    line.then(issue_packets());
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::InDoubt(_)));
    // The device was at work all the time. Its old answer meets the handshake, which has to be done again.
    line.then([host(vectors::frame("1 request"))]);
    line.then(many(&vectors::frames("5 answer")));
    line.then(online());
    let before = line.now();
    disk.resync().unwrap();
    assert!(line.now() - before >= SILENCE * 2);
    assert!(line.is_finished());
}

#[test]
fn a_line_that_stays_silent_or_never_falls_silent_stays_in_doubt() {
    let (mut disk, line) = ready_disk([host(vectors::frame("1 request"))]);
    assert!(disk.resync().is_err());
    // Everything tries for itself and finds the same.
    line.then([host(vectors::frame("1 request"))]);
    let IssueAnswer::NotSent(_) = disk.issue(&order().request()) else { panic!("nothing may be sent") };
    line.then((0..100).map(|_| Step::Reply(ms(1000), vec![0x55])));
    assert!(disk.resync().unwrap_err().text.contains("never falls silent"));
    // One that answers wrongly for ever ends, too.
    let (mut disk, line) = ready_disk([]);
    for _ in 0..4 {
        line.then(single("1 request", answer(b"OK", 0, b"x")));
    }
    // The first wrong answer on a line that was trusted brings it into doubt; then three rounds of silence.
    assert!(disk.resync().is_err());
    let before = line.now();
    assert!(disk.resync().is_err());
    assert!(line.now() - before >= SILENCE * 3);
    assert!(line.is_finished());
}

#[test]
fn a_line_that_owes_nothing_needs_a_handshake_and_no_silence() {
    let (mut disk, line) = ready_disk([]);
    line.then(single("1 request", answer(b"OK", 0, b"")));
    let before = line.now();
    disk.resync().unwrap();
    assert!(line.now() - before < SILENCE);
    assert!(line.is_finished());
}

#[test]
fn only_the_device_itself_can_say_that_there_is_no_such_invoice() {
    for code in ["JSK89:未找到指定发票明细", "JSK220:检索函数出错", "JSK790:按月查询发票明细时该月无票"]
    {
        let (mut disk, _) = ready_disk(query(vec![device(er(code))]));
        assert_eq!(disk.query(ROLL, pair()), Ok(None), "{code}");
    }
    for other in ["未找到指定发票明细", "JSK88:检索参数错误", "JSK176:无可用发票", "JSK4000:一般错误", "-10320:nothing"]
    {
        let (mut disk, _) = ready_disk(query(vec![device(er(other))]));
        assert!(disk.query(ROLL, pair()).is_err(), "{other}");
    }
    for broken in [vec![], vec![device(answer(b"ER", 0, &[0x1F]))], vec![device(answer(b"OK", 0, &[]))]] {
        let (mut disk, _) = ready_disk(query(broken));
        assert!(disk.query(ROLL, pair()).is_err());
    }
}

#[test]
fn absence_is_not_believed_when_something_else_was_on_the_line() {
    let (mut disk, line) = ready_disk([device(vectors::frame("14 next 1"))]);
    line.then(query(vec![device(er("JSK89:未找到指定发票明细"))]));
    assert!(disk.query(ROLL, pair()).is_err());
    // The same answer on a clean line is believed.
    line.then(online());
    line.then(query(vec![device(er("JSK89:未找到指定发票明细"))]));
    assert_eq!(disk.query(ROLL, pair()), Ok(None));
}

#[test]
fn an_answer_about_another_pair_is_an_error() {
    let (mut disk, line) = ready_disk([]);
    let successor = pair().successor().unwrap();
    let request = super::super::commands::query::request(&super::super::commands::samples::subject(), ROLL, successor);
    let frame = vectors::frames_of(0x0C, &request.unwrap()).remove(0);
    line.then([host(frame)].into_iter().chain(many(&vectors::frames("8 answer"))));
    let error = disk.query(ROLL, successor).unwrap_err();
    assert!(error.text.contains("00000089 was asked for"), "{}", error.text);
    // And the line has to prove itself again.
    line.then(online());
    line.then(single("3 request", vectors::frame("3 answer")));
    let before = line.now();
    disk.stock(ROLL).unwrap();
    assert!(line.now() - before >= SILENCE);
}

#[test]
fn no_stock_is_a_class_of_its_own() {
    for code in ["JSK176:无可用发票", "JSK182:金税盘无新购发卷"] {
        let (mut disk, _) = ready_disk(single("3 request", er(code)));
        let error = disk.stock(ROLL).unwrap_err();
        assert_eq!(error.class, DeviceClass::NoStock);
        assert!(error.code.unwrap().starts_with("JSK1"));
    }
}

#[test]
fn a_refused_password_is_never_sent_again() {
    let (mut disk, line) = ready_disk(single("3 request", er("JSK237:操作员口令错误")));
    assert_eq!(disk.stock(ROLL).unwrap_err().class, DeviceClass::BadPassword);
    let sent = line.written().len();
    assert_eq!(disk.stock(ROLL).unwrap_err().class, DeviceClass::BadPassword);
    assert_eq!(disk.query(ROLL, pair()).unwrap_err().class, DeviceClass::BadPassword);
    assert_eq!(line.written().len(), sent, "something was sent");
    line.then(online());
    let IssueAnswer::NotSent(error) = disk.issue(&order().request()) else { panic!("not a byte may be sent") };
    assert_eq!(error.class, DeviceClass::BadPassword);
    // What carries none may go on.
    line.then(single("18 request", vectors::frame("18 answer")));
    disk.offline_totals().unwrap();
    assert!(line.is_finished());
}

#[test]
fn a_refused_certificate_password_leaves_the_reads_for_settling() {
    let (mut disk, line) = ready_disk(online());
    line.then(issue_packets());
    line.then([device(er("JSK6023:证书口令错误"))]);
    let IssueAnswer::InDoubt(error) = disk.issue(&order().request()) else { panic!("the last packet was sent") };
    assert_eq!(error.class, DeviceClass::BadPassword);
    line.then(single("3 request", vectors::frame("3 answer")));
    disk.stock(ROLL).unwrap();
    line.then(online());
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)));
    assert!(line.is_finished());
}

#[test]
fn a_disk_that_was_exchanged_is_noticed_before_anything_is_done_with_it() {
    let (mut disk, line) = ready_disk([Step::Unplug(Duration::ZERO)]);
    assert_eq!(disk.stock(ROLL).unwrap_err().class, DeviceClass::NotPresent);
    let swapped = || {
        let mut steps = online();
        steps.extend(single("2 request", answer(b"OK", 0, b"499000999999")));
        steps
    };
    line.then(swapped());
    let IssueAnswer::NotSent(error) = disk.issue(&order().request()) else { panic!("nothing may be sent") };
    assert!(error.text.contains("499000999999"), "{}", error.text);
    assert!(line.traffic().iter().any(|entry| matches!(entry, Traffic::Reopened(_))));
    // It stays so until its identity is asked for; each call looks again.
    line.then(single("2 request", answer(b"OK", 0, b"499000999999")));
    assert_eq!(disk.stock(ROLL).unwrap_err().class, DeviceClass::NotPresent);
    // The right one is back.
    line.then(single("2 request", vectors::frame("2 answer")));
    line.then(single("3 request", vectors::frame("3 answer")));
    disk.stock(ROLL).unwrap();
    assert!(line.is_finished());
}

#[test]
fn an_order_for_another_disk_or_seller_is_not_sent() {
    let (mut disk, line) = ready_disk([]);
    let mut other = order();
    other.seller.disk = "499000999999".parse().unwrap();
    assert!(matches!(disk.issue(&other.request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::NotPresent));
    let mut other = order();
    other.seller.taxpayer = taxdisk_protocol::ids::TaxpayerNumber::from_device("91310000MA00000027").unwrap();
    assert!(matches!(disk.issue(&other.request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::InvalidRequest));
    let mut bad = order();
    bad.invoice.lines[0].name = "一二三四五六七八九十一".to_owned();
    let IssueAnswer::NotSent(error) = disk.issue(&bad.request()) else { panic!("it does not fit") };
    assert!(error.text.starts_with("lines[0].name: it needs 22 bytes"), "{}", error.text);
    assert!(line.is_finished());
}

#[test]
fn a_void_is_proven_by_nothing_but_its_own_answer() {
    let (mut disk, line) = ready_disk(void(many(&vectors::frames("10 answer"))));
    assert_eq!(
        disk.operate(&void_of("张三")),
        OperationAnswer::Done { pair: Some(pair()), at: Some("20260302103000".to_owned()) }
    );
    let mut wrong = vectors::answer_data("10 answer")[..249].to_vec();
    wrong[15..23].copy_from_slice(b"00000089");
    let mut frames = vectors::frames("10 answer");
    frames[0] = answer(b"OK", 1, &wrong);
    line.then(void(many(&frames)));
    assert!(matches!(disk.operate(&void_of("张三")), OperationAnswer::InDoubt(_)));
    for reply in [er("废票不能再次作废!"), answer(b"ER", 0, &[0x1F]), answer(b"OK", 0, &[]), vec![]] {
        let (mut disk, line) = ready_disk(void(vec![device(reply)]));
        assert!(matches!(disk.operate(&void_of("张三")), OperationAnswer::InDoubt(_)));
        assert!(line.is_finished());
    }
    let (mut disk, _) = ready_disk(online().into_iter().chain([Step::BreakWrite(0)]));
    assert!(matches!(disk.operate(&void_of("张三")), OperationAnswer::NotSent(_)));
    let (mut disk, _) = ready_disk(online());
    assert!(matches!(disk.operate(&void_of(&"张".repeat(11))), OperationAnswer::NotSent(_)));
}

#[test]
fn what_is_read_back_compares_equal_and_every_change_is_named() {
    let (mut disk, _) = ready_disk(query(many(&vectors::frames("8 answer"))));
    let found = disk.query(ROLL, pair()).unwrap().unwrap();
    let sent = order();
    assert_eq!(disk.compare(&sent.request(), &found), Comparison::Equal);
    let mut voided = found.clone();
    voided.status = NumberStatus::PositiveVoid;
    assert_eq!(disk.compare(&sent.request(), &voided), Comparison::Equal);
    type Change = fn(&mut crate::disk::FoundInvoice);
    let changes: [(&str, Change); 12] = [
        ("status", |found| found.status = NumberStatus::Negative),
        ("buyer.name", |found| found.buyer_name.push('x')),
        ("buyer.taxpayer_number", |found| found.buyer_number = "000000000000000".to_owned()),
        ("lines", |found| found.lines.clear()),
        ("lines.name", |found| found.lines[0].name.push('x')),
        ("lines.price", |found| found.lines[0].price = "100.001".to_owned()),
        ("lines.quantity", |found| found.lines[0].quantity = String::new()),
        ("lines.net", |found| found.lines[0].net = "200.01".parse().unwrap()),
        ("lines.rate", |found| found.lines[0].rate = "0.06".to_owned()),
        ("totals.gross", |found| found.gross = "226.01".parse().unwrap()),
        ("remark", |found| found.remark = "another mark".to_owned()),
        ("clerk", |found| found.clerk = "李四".to_owned()),
    ];
    for (field, change) in changes {
        let mut changed = found.clone();
        change(&mut changed);
        assert_eq!(disk.compare(&sent.request(), &changed), Comparison::Different(vec![field]));
    }
}

#[test]
fn the_device_rewrites_some_things_and_they_compare_equal() {
    let (mut disk, _) = ready_disk(query(many(&vectors::frames("8 answer"))));
    let mut found = disk.query(ROLL, pair()).unwrap().unwrap();
    let mut sent = order();
    // A person has no number; spaces are trimmed; a discount pair is one line; a missing quantity is a zero.
    sent.invoice.buyer.taxpayer_number = None;
    found.buyer_number = "000000000000000".to_owned();
    sent.invoice.buyer.name = " 测试买方有限公司 ".to_owned();
    let mut discounted = samples::paper();
    discounted.kind = LineKind::Discounted;
    discounted.net = "220.00".parse().unwrap();
    discounted.tax = "28.60".parse().unwrap();
    discounted.price = Some("110".parse().unwrap());
    let mut discount = samples::paper();
    discount.kind = LineKind::Discount;
    (discount.price, discount.quantity) = (None, None);
    discount.net = "-20.00".parse().unwrap();
    discount.tax = "-2.60".parse().unwrap();
    sent.invoice.lines = vec![discounted, discount];
    assert_eq!(disk.compare(&sent.request(), &found), Comparison::Equal);
    (sent.invoice.lines[0].quantity, sent.invoice.lines[0].price) = (None, None);
    found.lines[0].quantity = "0.000".to_owned();
    found.lines[0].price = String::new();
    assert_eq!(disk.compare(&sent.request(), &found), Comparison::Equal);
}

#[test]
fn nothing_prints_a_password() {
    let config = config();
    assert!(!format!("{config:?}").contains("8888") && !format!("{config:?}").contains("1234"));
    let order = order();
    assert!(!format!("{order:?}").contains("88888888"));
}

//! The XML form: vectors, and whole conversations over a scripted line.

#![allow(clippy::unwrap_used)]

use taxdisk_protocol::class::DeviceClass;

use super::super::commands::{report, samples::subject, void};
use super::super::frame::{FrameType, Word, acknowledgement, command_frames};
use super::super::{Framing, ZcConfig, ZcDisk, samples, vectors};
use super::*;
use crate::actor::IssueOrder;
use crate::disk::{IssueAnswer, IssueRequest, NumberStatus, TaxDisk};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::transport::memory::{ScriptedLine, Step};

const ROLL: InvoiceKind = InvoiceKind::Roll;

fn expected() -> NumberPair {
    "011002000107 00000088".parse().unwrap()
}

fn certificate() -> Secret {
    Secret::new("12345678")
}

fn order() -> IssueOrder {
    IssueOrder {
        kind: ROLL,
        expected: expected(),
        invoice: samples::invoice(vec![samples::paper()]),
        remark: "A<1>&B".to_owned(),
        seller: samples::identity(),
        red: None,
        request_id: String::new(),
    }
}

/// A document that the device sends back, with its answer frame.
fn document(id: &str, output: &str) -> Vec<u8> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"gbk\"?><business id=\"{id}\"><body><output>{output}</output></body></business>"
    );
    encoding_rs::GBK.encode(&text).0.into_owned()
}

fn good(id: &str, output: &str) -> Step {
    answer(&document(id, &format!("{output}<returncode>0</returncode><returnmsg>成功</returnmsg>")))
}

fn bad(id: &str, code: &str, text: &str) -> Step {
    answer(&document(id, &format!("<returncode>{code}</returncode><returnmsg>{text}</returnmsg>")))
}

fn answer(data: &[u8]) -> Step {
    Step::Reply(std::time::Duration::ZERO, acknowledgement(FrameType::Xml, Word::Ok, data))
}

fn host(code: u8, data: &[u8]) -> Step {
    Step::Expect(command_frames(FrameType::Xml, code, data).unwrap().concat())
}

fn online() -> Vec<Step> {
    vec![host(0x01, &[]), Step::Reply(std::time::Duration::ZERO, vectors::frame("21 ok"))]
}

fn ready(steps: impl IntoIterator<Item = Step>) -> (ZcDisk<ScriptedLine>, ScriptedLine) {
    let line = ScriptedLine::new(online());
    line.then([host(0x02, &disk_number("JQ0000000001").unwrap())]);
    line.then([good("SKSBBH", "<sksbbh>499000123456</sksbbh><bspbh/><qtxx/>")]);
    line.then([host(0x04, &disk_info(subject().password, "JQ0000000001").unwrap())]);
    line.then([good(
        "SKPXXCX",
        "<sksbbh>499000123456</sksbbh><nsrsbh>91110000MA00000019</nsrsbh><nsrmc>示例商贸有限公司</nsrmc><fplxdm>004025</fplxdm>\
         <dqsz>20260302101500</dqsz><bbh>V1</bbh>",
    )]);
    let config = ZcConfig {
        disk_password: subject().password.clone(),
        certificate_password: certificate(),
        machine_number: "JQ0000000001".to_owned(),
        framing: Framing::Xml,
        ..ZcConfig::default()
    };
    let mut disk = ZcDisk::new(line.clone(), config);
    let identity = disk.identity().unwrap();
    assert_eq!((identity.kinds.len(), identity.taxpayer_name.as_str()), (2, "示例商贸有限公司"));
    assert!(line.is_finished());
    line.then(steps);
    (disk, line)
}

fn issue_steps() -> Vec<Step> {
    let (certificate, order) = (certificate(), order());
    let request = super::super::commands::issue::Request {
        subject: subject(),
        certificate_password: &certificate,
        seller_name: "示例商贸有限公司",
        kind: ROLL,
        invoice: &order.invoice,
        remark: &order.remark,
        red: None,
        max_lines: 10,
    };
    let data = issue(&request).unwrap();
    let text = encoding_rs::GBK.decode(&data).0.into_owned();
    assert!(text.contains(
        "<sfxm count=\"1\"><group xh=\"1\"><xm>打印纸</xm><dj>100.000</dj><sl>2.000</sl><je>200.00</je><zsl>0.13</zsl>"
    ));
    assert!(text.contains("<hjje>200.00</hjje><hjse>26.00</hjse><jshj>226.00</jshj><bz>A&lt;1&gt;&amp;B</bz><skr>张三</skr>"));
    online().into_iter().chain([host(0x0A, &data)]).collect()
}

#[test]
fn vector_23_both_ways() {
    let frames = command_frames(FrameType::Xml, 0x08, &stock(&subject(), ROLL).unwrap()).unwrap();
    assert_eq!(frames, vectors::frames("23 request"));
    let (mut disk, line) = ready([Step::Expect(vectors::frame("23 request"))]);
    line.then([Step::Reply(std::time::Duration::ZERO, vectors::frame("23 answer"))]);
    let stock = disk.stock(ROLL).unwrap();
    assert_eq!((stock.current, stock.remaining), (expected(), 913));
    assert!(line.is_finished());
}

#[test]
fn the_other_reads() {
    let (mut disk, line) = ready([host(0x06, &limits(&subject(), ROLL).unwrap())]);
    line.then([good(
        "JKSJCX",
        "<fplxdm>025</fplxdm><kpjzsj>20260331</kpjzsj><dzkpxe>9999.99</dzkpxe><scjzrq/><lxkpsc>72</lxkpsc>",
    )]);
    let told = disk.limits(ROLL).unwrap();
    assert_eq!((told.issue_deadline.as_deref(), told.upload_day, told.offline_hours), (Some("20260331"), None, Some(72)));
    line.then([host(0x30, &offline().unwrap())]);
    line.then([good("HQLXSJ", "<wscfpzs>3</wscfpzs><wscfpsj>20260302101530</wscfpsj><wscfpljje>678.00</wscfpljje>")]);
    assert_eq!(disk.offline_totals().unwrap().count, 3);
    line.then([host(0x07, &rates(&subject(), ROLL).unwrap())]);
    line.then([good("SQSLCX", "<fplxdm>025</fplxdm><sqslxx count=\"1\"><group><sl>0.13</sl></group></sqslxx>")]);
    assert_eq!(disk.rates(ROLL).unwrap(), ["0.13".parse().unwrap()]);
    // An answer to another command, or about another kind, is no answer.
    line.then([host(0x06, &limits(&subject(), ROLL).unwrap()), good("GPXXCX", "<fplxdm>025</fplxdm>")]);
    assert!(disk.limits(ROLL).is_err());
    line.then(online().into_iter().chain([host(0x06, &limits(&subject(), ROLL).unwrap())]));
    line.then([good("JKSJCX", "<fplxdm>007</fplxdm>")]);
    assert!(disk.limits(ROLL).is_err());
    assert!(disk.statistics(ROLL, "20260201", "20260228").is_err(), "it has no document");
    assert!(line.is_finished());
}

#[test]
fn only_a_good_document_with_a_pair_is_signed() {
    let (mut disk, line) = ready(issue_steps());
    line.then([good(
        "FPKJ",
        "<fplxdm>025</fplxdm><fpdm>011002000107</fpdm><fphm>00000088</fphm><kprq>20260302101530</kprq><skm>0</skm>",
    )]);
    let IssueAnswer::Signed(signed) = disk.issue(&order().request()) else { panic!("it was signed") };
    assert_eq!((signed.pair, signed.issued_at.as_str()), (expected(), "20260302101530"));
    assert!(line.is_finished());
    for reply in [
        bad("FPKJ", "176", "无可用发票"),
        bad("", "-1", "解析错误"),
        good("FPKJ", "<fplxdm>025</fplxdm>"),
        good("FPCX", "<fplxdm>025</fplxdm><fpdm>011002000107</fpdm><fphm>00000088</fphm>"),
        answer(b"<business id=\"FPKJ\"><body><output></output></body></business>"),
        answer(b""),
        Step::Reply(std::time::Duration::ZERO, vectors::frame("22 no stock")),
        Step::Reply(std::time::Duration::ZERO, vectors::frame("21 link 1F")),
        Step::Unplug(std::time::Duration::ZERO),
    ] {
        let (mut disk, line) = ready(issue_steps());
        line.then([reply]);
        assert!(matches!(disk.issue(&order().request()), IssueAnswer::InDoubt(_)));
        let issued = line.written().iter().filter(|frame| frame.starts_with(&[0x1B, 0x20, 0x0A])).count();
        assert_eq!(issued, 1);
    }
    for (cut, not_sent) in [(0, true), (1, false)] {
        let (mut disk, _) = ready(online().into_iter().chain([Step::BreakWrite(cut)]));
        assert_eq!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)), not_sent);
    }
}

#[test]
fn a_refusal_inside_a_good_answer_has_its_class() {
    let ask = || host(0x08, &stock(&subject(), ROLL).unwrap());
    for (code, text, class) in [
        ("176", "无可用发票", DeviceClass::NoStock),
        ("-101", "纳税人识别号错误!", DeviceClass::InvalidRequest),
        ("1", "JSK176:无可用发票", DeviceClass::NoStock),
        ("237", "操作员口令错误", DeviceClass::BadPassword),
    ] {
        let (mut disk, _) = ready([ask(), bad("GPXXCX", code, text)]);
        assert_eq!(disk.stock(ROLL).unwrap_err().class, class, "{code} {text}");
    }
    let (mut disk, line) = ready([ask(), bad("GPXXCX", "237", "操作员口令错误")]);
    disk.stock(ROLL).unwrap_err();
    disk.stock(ROLL).unwrap_err();
    assert!(line.is_finished(), "a refused password is not sent again");
}

#[test]
fn absence_needs_the_code_and_a_clean_line() {
    let ask = || host(0x0C, &query(&subject(), ROLL, expected()).unwrap());
    let (mut disk, line) = ready([ask(), bad("FPCX", "89", "未找到指定发票明细")]);
    assert_eq!(disk.query(ROLL, expected()), Ok(None));
    line.then([ask(), good("FPCX", "<fpxx count=\"0\"></fpxx>")]);
    assert!(disk.query(ROLL, expected()).is_err(), "an empty list is not the disk's word");
    let (mut disk, _) = ready([answer(b"late"), ask(), bad("FPCX", "89", "未找到指定发票明细")]);
    assert!(disk.query(ROLL, expected()).is_err(), "something else was on the line");
    let group = "<fpdm>011002000107</fpdm><fphm>00000088</fphm><fpzt>01</fpzt><kprq>20260302</kprq><kpsj>101530</kpsj>\
                 <ghdwmc>测试买方有限公司</ghdwmc><sfxm count=\"1\"><group xh=\"1\"><xm>打印纸</xm><dj>100.000</dj><sl>2.000</sl><je>200.00</je>\
                 <zsl>0.13</zsl><se>26.00</se></group></sfxm><hjje>200.00</hjje><hjse>26.00</hjse><jshj>226.00</jshj><bz>x</bz>\
                 <yfpdm>011002000107</yfpdm><yfphm>00000077</yfphm>";
    let list = |number: &str| {
        let group = group.replace("00000088", number);
        good("FPCX", &format!("<fplxdm>025</fplxdm><fpxx count=\"1\"><group xh=\"1\">{group}</group></fpxx>"))
    };
    let (mut disk, line) = ready([ask(), list("00000088")]);
    let found = disk.query(ROLL, expected()).unwrap().unwrap();
    assert_eq!((found.status, found.issued_at.as_str(), found.lines.len()), (NumberStatus::Negative, "20260302101530", 1));
    assert_eq!(found.original, Some("011002000107 00000077".parse().unwrap()));
    line.then([ask(), list("00000089")]);
    assert!(disk.query(ROLL, expected()).is_err(), "another invoice");
}

#[test]
fn voids_and_reports() {
    let (subject, certificate) = (subject(), certificate());
    let data = super::void(&subject, &certificate, ROLL, void::Target::Issued, expected(), "张三").unwrap();
    let operation =
        Operation::Void { kind: ROLL, pair: expected(), net: "200.00".parse().unwrap(), operator: "张三".to_owned() };
    let (mut disk, line) = ready(online().into_iter().chain([host(0x0B, &data)]));
    line.then([good("FPZF", "<fplxdm>025</fplxdm><fpdm>011002000107</fpdm><fphm>00000088</fphm><zfrq>20260302103000</zfrq>")]);
    let at = Some("20260302103000".to_owned());
    assert_eq!(disk.operate(&operation), OperationAnswer::Done { pair: Some(expected()), at });
    line.then(online().into_iter().chain([host(0x0B, &data), bad("FPZF", "-101", "废票不能再次作废!")]));
    assert!(matches!(disk.operate(&operation), OperationAnswer::InDoubt(error) if error.class == DeviceClass::Duplicate));
    let reported = super::report(&subject, ROLL, report::Route::Network).unwrap();
    line.then(online().into_iter().chain([host(0x11, &reported), good("SJCB", "<sq>1</sq>")]));
    assert_eq!(disk.operate(&Operation::Report { kind: ROLL }), OperationAnswer::Done { pair: None, at: None });
    let password = Operation::ChangePassword { which: PasswordKind::Disk, old: certificate.clone(), new: certificate.clone() };
    assert!(!disk.capabilities().can(password.name()));
    assert!(matches!(disk.operate(&password), OperationAnswer::NotSent(_)), "it has no document");
    assert!(line.is_finished());
}

#[test]
fn long_documents_travel_in_many_packets_both_ways() {
    // 70,000 bytes take two packets; their lengths have two bytes.
    let data = vec![b'x'; 70_000];
    let frames = command_frames(FrameType::Xml, 0x0C, &data).unwrap();
    assert_eq!((frames.len(), frames[0].len(), frames[0][3], frames[1][3]), (2, 65_535, 1, 0));
    let line = ScriptedLine::new(online());
    let timings = super::super::exchange::Timings::default();
    let mut wire = super::super::exchange::Wire::new(line.clone(), FrameType::Xml, timings);
    wire.resync().unwrap();
    let device = |frame| Step::Reply(std::time::Duration::ZERO, frame);
    let part = |number: u8, data: &[u8]| {
        let mut frame = acknowledgement(FrameType::Xml, Word::Ok, data);
        frame[2] = number;
        let end = frame.len() - 2;
        let crc = super::super::crc::checksum(&frame[..end]).to_be_bytes();
        frame[end..].copy_from_slice(&crc);
        device(frame)
    };
    line.then([Step::Expect(frames[0].clone()), device(vectors::frame("21 next 1")), Step::Expect(frames[1].clone())]);
    line.then([part(1, &[b'a'; 65_528]), Step::Expect(vectors::frame("21 next 1")), part(0, b"end")]);
    line.then([Step::Expect(vectors::frame("21 ok"))]);
    let answer = wire.exchange(0x0C, &data, super::super::exchange::Before::Nothing).unwrap();
    assert_eq!((answer.len(), &answer[65_526..]), (65_531, &b"aaend"[..]));
    assert!(line.is_finished() && !wire.is_in_doubt());
}

/// The document form of an order refuses what the fixed form refuses.
#[test]
fn what_does_not_fit_is_not_sent() {
    let (mut disk, line) = ready([]);
    let mut order = order();
    order.invoice.lines[0].name = "一二三四五六七八九十一".to_owned();
    let request: IssueRequest<'_> = order.request();
    assert!(matches!(disk.issue(&request), IssueAnswer::NotSent(error) if error.text.starts_with("lines[0].name")));
    assert!(line.is_finished());
}

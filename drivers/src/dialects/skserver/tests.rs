//! Documents against the samples of the facts, and the disk over a scripted link.

#![allow(clippy::unwrap_used)]

use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;

use super::commands::{current, issue, query};
use super::{KnownRequest, NumberForm, SkServerConfig, SkServerDisk};
use crate::dialects::nisec::document::samples::{self, found, order, stock};
use crate::disk::{IssueAnswer, Search, TaxDisk};
use crate::operation::{Operation, OperationAnswer};
use crate::secret::Secret;
use crate::transport::document::{DocumentError, ScriptedDocuments, Sent};

const KIND: InvoiceKind = InvoiceKind::PaperOrdinary;
const SIGNED: &str = "<fpdm>1100000320</fpdm><fphm>00000088</fphm><kprq>20260302101530</kprq><skm>0123456789</skm>\
    <jym>12345678901234567890</jym><ewm>01,007,1100000320,00000088,200.00,20260302,</ewm>";
const SERIAL: &str = "T0000000000000000001";

fn pair() -> NumberPair {
    "1100000320 00000088".parse().unwrap()
}

fn config() -> SkServerConfig {
    let identity = samples::identity();
    SkServerConfig {
        taxpayer_name: identity.taxpayer_name,
        kinds: identity.kinds,
        key_password: Secret::new("12345678"),
        request_query: Some(1),
        ..SkServerConfig::new("kp001", identity.disk, identity.taxpayer)
    }
}

fn answer(id: &str, data: &str) -> Vec<u8> {
    let text = format!(
        r#"<?xml version="1.0" encoding="gbk"?><business id="{id}" comment="x"><body yylxdm="1"><returncode>0</returncode><returnmsg>成功</returnmsg><returndata>{data}</returndata></body></business>"#
    );
    encoding_rs::GBK.encode(&text).0.into_owned()
}

fn refusal(id: &str, message: &str) -> Vec<u8> {
    let text = format!(
        r#"<business id="{id}"><body yylxdm="1"><returncode>1</returncode><returnmsg>{message}</returnmsg></body></business>"#
    );
    encoding_rs::GBK.encode(&text).0.into_owned()
}

fn failed(sent: Sent) -> DocumentError {
    DocumentError { sent, text: "the link failed".to_owned() }
}

fn disk_with(config: SkServerConfig) -> (SkServerDisk<ScriptedDocuments>, ScriptedDocuments) {
    let link = ScriptedDocuments::default();
    (SkServerDisk::new(link.clone(), config), link)
}

/// A disk whose server was asked whose it is.
fn ready() -> (SkServerDisk<ScriptedDocuments>, ScriptedDocuments) {
    let (mut disk, link) = disk_with(config());
    key(&link);
    disk.identity().unwrap();
    (disk, link)
}

fn key(link: &ScriptedDocuments) {
    link.then("20002", Ok(answer("20002", "<nsrsbh>91110000MA00000019</nsrsbh><keyno>440000001</keyno>")));
}

fn current_pair(link: &ScriptedDocuments, number: &str) {
    link.then("10004", Ok(answer("10004", &format!("<dqfpdm>1100000320</dqfpdm><dqfphm>{number}</dqfphm>"))));
}

fn invoices(count: usize, groups: &str) -> Vec<u8> {
    answer("10010", &format!("<kpxx count=\"{count}\">{groups}</kpxx>"))
}

fn text(bytes: &[u8]) -> String {
    encoding_rs::GBK.decode(bytes).0.into_owned()
}

#[test]
fn the_samples_of_the_facts() {
    let request = current::request("kp001", KIND).unwrap();
    assert_eq!(
        text(request.bytes()),
        r#"<?xml version="1.0" encoding="gbk"?><business id="10004" comment="查询当前未开票号"><body yylxdm="1"><kpzdbs>kp001</kpzdbs><fplxdm>007</fplxdm></body></business>"#
    );
    let bytes = answer("10004", "<dqfpdm>1100000320</dqfpdm><dqfphm>00000089</dqfphm>");
    assert_eq!(current::answer(&bytes, KIND).unwrap(), pair().successor().unwrap());
    let error = current::answer(&refusal("10004", "09D103:发票领购信息已用完"), KIND).unwrap_err();
    assert_eq!(crate::disk::DiskError::from(error).class, DeviceClass::NoStock);
    assert!(current::request("", KIND).is_err());
}

#[test]
fn an_issuing_document_has_no_input_level_and_carries_the_serial() {
    let document = text(issue::request("kp001", &config().issuing, &order().request()).unwrap().bytes());
    let expected = r#"<?xml version="1.0" encoding="gbk"?><business id="10008" comment="发票开具"><body yylxdm="1"><kpzdbs>kp001</kpzdbs><fplxdm>007</fplxdm><fpqqlsh>T0000000000000000001</fpqqlsh><kplx>0</kplx><tspz>00</tspz><xhdwsbh>91110000MA00000019</xhdwsbh><xhdwmc>示例商贸有限公司</xhdwmc><xhdwdzdh/><xhdwyhzh/><ghdwsbh/><ghdwmc>个人</ghdwmc><ghdwdzdh/><ghdwyhzh/><qdbz>0</qdbz><zsfs>0</zsfs><kce/><fyxm count="1"><group xh="1"><fphxz>0</fphxz><spmc>*纸制品*打印纸</spmc><spsm/><ggxh>A4</ggxh><dw>包</dw><spsl>2</spsl><dj>100</dj><je>200.00</je><sl>0.13</sl><se>26.00</se><hsbz>0</hsbz><spbm>1060105000000000000</spbm><zxbm/><yhzcbs>0</yhzcbs><lslbs/><zzstsgl/></group></fyxm><hjje>200.00</hjje><hjse>26.00</hjse><jshj>226.00</jshj><bz/><skr>张三</skr><fhr>李四</fhr><kpr>王五</kpr><tzdbh/><yfpdm/><yfphm/><qmcs>0000004282000000</qmcs></body></business>"#;
    assert_eq!(document, expected);
    for serial in ["", "a-b", "T00000000000000000001"] {
        let mut order = order();
        order.request_id = serial.to_owned();
        assert!(issue::request("kp001", &config().issuing, &order.request()).is_err(), "{serial}");
    }
    let mut order = order();
    order.invoice.lines[0].deduction = Some("60.00".parse().unwrap());
    let document = text(issue::request("kp001", &config().issuing, &order.request()).unwrap().bytes());
    assert!(document.contains("<zsfs>2</zsfs><kce>60.00</kce>"));
    order.invoice.lines.push(samples::paper());
    assert!(issue::request("kp001", &config().issuing, &order.request()).is_err());
}

#[test]
fn numbers_are_asked_for_as_the_product_takes_them() {
    let number = pair().number;
    let range = crate::dialects::nisec::document::commands::fpcx::Range { code: pair().code, first: number, last: number };
    let condition = |form| text(query::by_number("kp001", KIND, form, range).unwrap().bytes());
    assert!(condition(NumberForm::CodeFirstLast).contains("<cxfs>0</cxfs><cxtj>11000003200000008800000088</cxtj>"));
    assert!(condition(NumberForm::CodeTildeNumber).contains("<cxfs>0</cxfs><cxtj>1100000320~00000088</cxtj>"));
    let document = text(query::by_request("kp001", KIND, 1, SERIAL).unwrap().bytes());
    assert!(document.contains("<cxfs>1</cxfs><cxtj>T0000000000000000001</cxtj>"));
    let (mut disk, link) = disk_with(SkServerConfig { number_form: NumberForm::CodeTildeNumber, ..config() });
    let search = Search::Range(pair().code, number, number);
    assert_eq!(disk.find(KIND, search).unwrap_err().class, DeviceClass::Unsupported);
    assert!(link.sent().is_empty());
}

#[test]
fn an_invoice_is_issued_and_sent_once() {
    let (mut disk, link) = ready();
    current_pair(&link, "00000088");
    link.then("10008", Ok(answer("10008", SIGNED)));
    let IssueAnswer::Signed(signed) = disk.issue(&order().request()) else { panic!("it was signed") };
    assert_eq!((signed.pair, signed.fiscal_code.as_str()), (pair(), "0123456789"));
    assert_eq!(signed.printed, Printed::new("12345678901234567890", "", "01,007,1100000320,00000088,200.00,20260302,"));
    let times: Vec<u64> = link.sent().iter().map(|sent| sent.within.as_secs()).collect();
    assert_eq!(times, [30, 30, 120]);
    assert_eq!((disk.fence(), disk.dialect(), link.is_finished()), (Fence::None, "skserver", true));
}

#[test]
fn a_definite_refusal_of_this_very_command_is_told_apart() {
    for text in ["09D103:发票领购信息已用完", "0963C3"] {
        let (mut disk, link) = ready();
        current_pair(&link, "00000088");
        link.then("10008", Ok(refusal("10008", text)));
        let given = disk.issue(&order().request());
        assert!(matches!(given, IssueAnswer::Refused(_)), "{given:?}");
        assert_eq!(link.count("10008"), 1);
    }
}

#[test]
fn every_end_but_a_signature_or_a_document_that_did_not_leave_is_doubt() {
    let other_serial = format!("{SIGNED}<fpqqlsh>T2</fpqqlsh>");
    for reply in [
        Err(failed(Sent::Maybe)),
        Ok(Vec::new()),
        Ok(answer("10008", "")),
        Ok(answer("10008", &other_serial)),
        Ok(answer("10010", SIGNED)),
        Ok(refusal("10008", "流水号已存在")),
    ] {
        let (mut disk, link) = ready();
        current_pair(&link, "00000088");
        link.then("10008", reply.clone());
        assert!(matches!(disk.issue(&order().request()), IssueAnswer::InDoubt(_)), "{reply:?}");
        assert_eq!(link.count("10008"), 1);
        assert!(link.is_finished());
    }
    let (mut disk, link) = ready();
    current_pair(&link, "00000088");
    link.then("10008", Err(failed(Sent::No)));
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)));
    // The pair moved since the caller read it; the server is looked at again after the failure.
    key(&link);
    current_pair(&link, "00000089");
    let IssueAnswer::NotSent(error) = disk.issue(&order().request()) else { panic!("nothing may be sent") };
    assert_eq!((error.class, link.count("10008")), (DeviceClass::NumberMismatch, 1));
    assert!(link.is_finished());
}

#[test]
fn another_taxpayers_server_is_refused() {
    let other = answer("20002", "<nsrsbh>91310000MA00000027</nsrsbh><keyno>1</keyno>");
    let (mut disk, link) = disk_with(config());
    for _ in 0..3 {
        link.then("20002", Ok(other.clone()));
    }
    assert_eq!(disk.identity().unwrap_err().class, DeviceClass::NotPresent);
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(_)));
    assert!(disk.query(KIND, pair()).is_err());
    let (mut disk, link) = disk_with(SkServerConfig { key_number: Some("440000002".to_owned()), ..config() });
    key(&link);
    assert!(disk.identity().unwrap_err().text.contains("another key"));
    assert!(link.is_finished());
}

#[test]
fn a_serial_is_answered_only_after_the_proof() {
    let (mut disk, link) = ready();
    let sent = link.sent().len();
    let error = disk.find(KIND, Search::Request(SERIAL)).unwrap_err();
    assert_eq!((error.class, link.sent().len()), (DeviceClass::Unsupported, sent), "{}", error.text);
    assert!(!disk.capabilities().finds_request);
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    link.then("10010", Ok(refusal("10010", "09D106:无数据")));
    disk.prove_request_query(KIND, SERIAL, pair()).unwrap();
    assert!(disk.capabilities().finds_request);
    link.then("10010", Ok(refusal("10010", "09D106:无数据")));
    assert_eq!(disk.find(KIND, Search::Request("T2")).unwrap(), []);
    link.then("10010", Ok(invoices(0, "")));
    assert_eq!(disk.find(KIND, Search::Request("T2")).unwrap(), []);
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    assert_eq!(disk.find(KIND, Search::Request(SERIAL)).unwrap()[0].pair, pair());
    // An invoice of another request, and what is no answer, are never absence.
    let foreign = found("00000088").replace("<fpzt>", "<fpqqlsh>T3</fpqqlsh><fpzt>");
    link.then("10010", Ok(invoices(1, &foreign)));
    assert!(disk.find(KIND, Search::Request(SERIAL)).is_err());
    // After an answer that was none the server is asked again whose it is, and has to prove its query again.
    proof(&link);
    for reply in [refusal("10010", "没有找到"), answer("10010", "")] {
        link.then("10010", Ok(reply));
        assert!(disk.find(KIND, Search::Request(SERIAL)).is_err());
    }
    proof(&link);
    link.then("10010", Ok(answer("10010", "<kpxx/>")));
    assert!(disk.find(KIND, Search::Request(SERIAL)).is_err());
    assert!(link.is_finished());
}

/// Whose server it is, and the positive control: by number, by serial, and a serial that nobody used.
fn proof(link: &ScriptedDocuments) {
    key(link);
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    link.then("10010", Ok(refusal("10010", "09D106:无数据")));
}

fn known() -> SkServerConfig {
    SkServerConfig { known_request: Some(KnownRequest { kind: KIND, serial: SERIAL.to_owned(), pair: pair() }), ..config() }
}

#[test]
fn with_a_known_invoice_the_first_question_proves_the_query_and_a_broken_link_costs_the_proof() {
    let (mut disk, link) = disk_with(known());
    assert!(!disk.capabilities().finds_request);
    proof(&link);
    disk.identity().unwrap();
    assert!(disk.capabilities().finds_request && link.is_finished());
    // Asked again who it is, it proves nothing twice.
    key(&link);
    disk.identity().unwrap();
    link.then("10010", Err(failed(Sent::Maybe)));
    assert!(disk.query(KIND, pair()).is_err());
    // Another server came up behind the address: it reads dates, and its "nothing" is not believed.
    key(&link);
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    link.then("10010", Ok(refusal("10010", "09D106:无数据")));
    assert_eq!(disk.find(KIND, Search::Request("T2")).unwrap_err().class, DeviceClass::Unsupported);
    assert!(!disk.capabilities().finds_request && link.is_finished());
}

#[test]
fn a_server_whose_query_by_serial_lies_is_used_without_it() {
    for answers in [
        // Nothing, as one that reads dates.
        vec![invoices(1, &found("00000088")), refusal("10010", "09D106:无数据")],
        // Another invoice.
        vec![invoices(1, &found("00000088")), invoices(1, &found("00000087"))],
        // The same invoice for every serial.
        vec![invoices(1, &found("00000088")), invoices(1, &found("00000088")), invoices(1, &found("00000088"))],
        // It does not have the invoice that is known to be there.
        vec![refusal("10010", "09D106:无数据")],
    ] {
        let (mut disk, link) = disk_with(known());
        key(&link);
        for answer in answers {
            link.then("10010", Ok(answer));
        }
        assert_eq!(disk.identity().unwrap().disk, samples::identity().disk);
        assert!(!disk.capabilities().finds_request && link.is_finished());
        assert_eq!(disk.find(KIND, Search::Request("T2")).unwrap_err().class, DeviceClass::Unsupported);
    }
    // A product that has no such query is not asked, whatever is known.
    let (mut disk, link) = disk_with(SkServerConfig { request_query: None, ..known() });
    key(&link);
    disk.identity().unwrap();
    assert!(!disk.capabilities().finds_request && link.is_finished());
}

#[test]
fn a_query_that_means_dates_is_never_proven() {
    // The product reads the serial as dates and finds nothing: the trap of B.4.
    let (mut disk, link) = ready();
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    link.then("10010", Ok(refusal("10010", "09D106:无数据")));
    assert_eq!(disk.prove_request_query(KIND, SERIAL, pair()).unwrap_err().class, DeviceClass::Unsupported);
    // It finds another invoice.
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    link.then("10010", Ok(invoices(1, &found("00000087"))));
    assert!(disk.prove_request_query(KIND, SERIAL, pair()).is_err());
    // It answers every serial with the same invoice.
    for _ in 0..3 {
        link.then("10010", Ok(invoices(1, &found("00000088"))));
    }
    assert!(disk.prove_request_query(KIND, SERIAL, pair()).unwrap_err().text.contains("never used"));
    // The invoice of the proof does not exist, or the serial proves nothing.
    link.then("10010", Ok(refusal("10010", "09D106:无数据")));
    assert!(disk.prove_request_query(KIND, SERIAL, pair()).is_err());
    assert!(disk.prove_request_query(KIND, "2026030120260331", pair()).is_err());
    assert!(link.is_finished());
    assert_eq!(disk.find(KIND, Search::Request(SERIAL)).unwrap_err().class, DeviceClass::Unsupported);
    // Not configured: not even tried.
    let (mut disk, link) = disk_with(SkServerConfig { request_query: None, ..config() });
    key(&link);
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    assert_eq!(disk.prove_request_query(KIND, SERIAL, pair()).unwrap_err().class, DeviceClass::Unsupported);
    assert!(link.is_finished());
}

#[test]
fn the_wrapper_of_a_query_may_be_any_of_the_known_ones() {
    let bare = found("00000088").replace("<group xh=\"1\"><fpdm>", "<kpxx><fpdm>").replace("</qmz></group>", "</qmz></kpxx>");
    for data in [
        format!("<kpxx count=\"1\">{}</kpxx>", found("00000088")),
        format!("<fpxx count=\"1\">{}</fpxx>", found("00000088")),
        found("00000088"),
        bare,
    ] {
        let (mut disk, link) = ready();
        link.then("10010", Ok(answer("10010", &data)));
        assert_eq!(disk.query(KIND, pair()).unwrap().unwrap().pair, pair(), "{data}");
    }
    let (mut disk, link) = ready();
    let other_disk = found("00000088").replace("661500000001", "661500000002");
    link.then("10010", Ok(invoices(1, &other_disk)));
    assert!(disk.query(KIND, pair()).unwrap_err().text.contains("661500000002"));
}

#[test]
fn a_refused_password_stops_signing_and_leaves_the_reads_for_settling() {
    let (mut disk, link) = ready();
    current_pair(&link, "00000088");
    link.then("10008", Ok(refusal("10008", "0963C3:口令错误")));
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::Refused(error) if error.tries_left == Some(3)));
    let sent = link.sent().len();
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::BadPassword));
    assert_eq!(disk.identity().unwrap_err().class, DeviceClass::BadPassword);
    assert_eq!(link.sent().len(), sent, "something was sent");
    link.then("10010", Ok(refusal("10010", "09D106")));
    assert_eq!(disk.query(KIND, pair()), Ok(None));
    // Once the link failed, nobody knows whose server says "absent"; an invoice names its disk.
    link.then("10010", Err(failed(Sent::Maybe)));
    assert!(disk.query(KIND, pair()).is_err());
    link.then("10010", Ok(refusal("10010", "09D106")));
    assert_eq!(disk.query(KIND, pair()).unwrap_err().class, DeviceClass::NotPresent);
    link.then("10010", Ok(invoices(1, &found("00000088"))));
    assert!(disk.query(KIND, pair()).unwrap().is_some());
    // Even a read is refused: nothing goes out any more.
    link.then("10010", Ok(refusal("10010", "0963C2")));
    assert!(disk.query(KIND, pair()).is_err());
    let sent = link.sent().len();
    assert_eq!(disk.query(KIND, pair()).unwrap_err().class, DeviceClass::BadPassword);
    assert_eq!(link.sent().len(), sent);
}

#[test]
fn voids_stock_segments_limits_and_the_last_invoice() {
    let (mut disk, link) = ready();
    let voided = "<fpdm>1100000320</fpdm><fphm>00000088</fphm><zfrq>20260302103000</zfrq>";
    link.then("10009", Ok(answer("10009", voided)));
    let net = "200.00".parse().unwrap();
    let void = Operation::Void { kind: KIND, pair: pair(), net, operator: "王五".to_owned() };
    assert!(matches!(disk.operate(&void), OperationAnswer::Done { pair: Some(done), .. } if done == pair()));
    current_pair(&link, "00000089");
    let blank = Operation::BlankVoid { kind: KIND, expected: pair(), operator: "王五".to_owned() };
    assert!(matches!(disk.operate(&blank), OperationAnswer::NotSent(error) if error.class == DeviceClass::NumberMismatch));
    link.then("10009", Err(failed(Sent::Maybe)));
    assert!(matches!(disk.operate(&void), OperationAnswer::InDoubt(_)));
    key(&link);
    let stock = stock("00000088").replace("fpdxx", "lgxx");
    link.then("10005", Ok(answer("10005", &stock)));
    assert_eq!(disk.stock(KIND).unwrap().current, pair());
    link.then("10005", Ok(answer("10005", &stock)));
    assert_eq!(disk.segments(KIND).unwrap()[0].code, pair().code);
    link.then("10005", Ok(answer("10005", &stock)));
    link.then("10010", Ok(invoices(1, &found("00000087"))));
    assert_eq!(disk.find(KIND, Search::Last).unwrap()[0].pair, pair().predecessor().unwrap());
    link.then("10002", Ok(answer("10002", "<dzkpxe>1000.00</dzkpxe>")));
    assert_eq!(disk.limits(KIND).unwrap().invoice_limit, Some("1000.00".parse().unwrap()));
    link.then("10004", Ok(refusal("10004", "09D103")));
    disk.handshake().unwrap();
    assert!(link.is_finished());
    assert_eq!(link.count("10009"), 2);
}

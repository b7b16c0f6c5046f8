//! The disk over a scripted link: what is sent, how often, and what is concluded.

#![allow(clippy::unwrap_used)]

use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::document::samples::{IDENTITY, SIGNED, answer, found, order, query, refusal, stock};
use super::{NisecConfig, NisecDisk};
use crate::disk::{IssueAnswer, Search, TaxDisk};
use crate::operation::{Operation, OperationAnswer};
use crate::secret::Secret;
use crate::transport::document::{DocumentError, ScriptedDocuments, Sent};

const KIND: InvoiceKind = InvoiceKind::PaperOrdinary;

fn pair() -> NumberPair {
    "1100000320 00000088".parse().unwrap()
}

fn config() -> NisecConfig {
    NisecConfig {
        disk_password: Secret::new("88888888"),
        certificate_password: Secret::new("12345678"),
        ..NisecConfig::default()
    }
}

fn disk() -> (NisecDisk<ScriptedDocuments>, ScriptedDocuments) {
    let link = ScriptedDocuments::default();
    (NisecDisk::new(link.clone(), config()), link)
}

fn identity(link: &ScriptedDocuments) {
    link.then("SKPXXCX", Ok(answer("SKPXXCX", IDENTITY)));
}

/// What goes before every changing document: the disk's number, and its pair.
fn prepared(link: &ScriptedDocuments) {
    identity(link);
    link.then("GPXXCX", Ok(answer("GPXXCX", &stock("00000088"))));
}

fn failed(sent: Sent) -> DocumentError {
    DocumentError { sent, text: "the link failed".to_owned() }
}

fn void() -> Operation {
    Operation::Void { kind: KIND, pair: pair(), net: "200.00".parse().unwrap(), operator: "王五".to_owned() }
}

fn blank_void() -> Operation {
    Operation::BlankVoid { kind: KIND, expected: pair(), operator: "王五".to_owned() }
}

#[test]
fn an_invoice_is_issued() {
    let (mut disk, link) = disk();
    prepared(&link);
    link.then("FPKJ", Ok(answer("FPKJ", SIGNED)));
    let IssueAnswer::Signed(signed) = disk.issue(&order().request()) else { panic!("it was signed") };
    assert_eq!(signed.pair, pair());
    assert!(link.is_finished());
    // Reads get 30 s, changing commands 120 s.
    let times: Vec<u64> = link.sent().iter().map(|sent| sent.within.as_secs()).collect();
    assert_eq!(times, [30, 30, 120]);
    assert_eq!((disk.fence(), disk.dialect()), (Fence::None, "nisec"));
}

#[test]
fn only_a_document_that_did_not_leave_is_not_sent() {
    let (mut disk, link) = disk();
    prepared(&link);
    link.then("FPKJ", Err(failed(Sent::No)));
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::Link));
    assert_eq!(link.count("FPKJ"), 1);
}

#[test]
fn a_definite_refusal_of_this_very_command_is_told_apart_and_nothing_is_sent_again() {
    for reply in [refusal("FPKJ", "1", "09D103:发票领购信息已用完"), refusal("FPKJ", "10315", "")] {
        let (mut disk, link) = disk();
        prepared(&link);
        link.then("FPKJ", Ok(reply));
        let given = disk.issue(&order().request());
        assert!(matches!(given, IssueAnswer::Refused(_)), "{given:?}");
        assert_eq!(link.count("FPKJ"), 1);
        assert!(link.is_finished());
    }
}

#[test]
fn every_other_end_is_doubt_and_nothing_is_sent_again() {
    let unsigned = SIGNED.replace("<fphm>00000088</fphm>", "");
    for reply in [
        Err(failed(Sent::Maybe)),
        Ok(Vec::new()),
        Ok(b"<html>502</html>".to_vec()),
        Ok(answer("FPKJ", &unsigned)),
        Ok(answer("FPKJ", "<returncode/>")),
        Ok(answer("GPXXCX", &stock("00000088"))),
        Ok(answer("FPKJ", SIGNED)[..200].to_vec()),
        Ok(vec![b'<'; 2_000_000]),
        // A refusal that leaves open what the device did.
        Ok(refusal("FPKJ", "1", "税控设备写发票明细时异常 DiskErr:092400")),
        Ok(refusal("FPKJ", "1", "")),
    ] {
        let (mut disk, link) = disk();
        prepared(&link);
        link.then("FPKJ", reply.clone());
        assert!(matches!(disk.issue(&order().request()), IssueAnswer::InDoubt(_)), "{reply:?}");
        assert_eq!(link.count("FPKJ"), 1);
        assert!(link.is_finished());
    }
}

#[test]
fn a_pair_that_moved_is_noticed_before_anything_is_sent() {
    for operation in [None, Some(blank_void())] {
        let (mut disk, link) = disk();
        identity(&link);
        link.then("GPXXCX", Ok(answer("GPXXCX", &stock("00000089"))));
        let error = match operation {
            None => match disk.issue(&order().request()) {
                IssueAnswer::NotSent(error) => error,
                other => panic!("{other:?}"),
            },
            Some(operation) => match disk.operate(&operation) {
                OperationAnswer::NotSent(error) => error,
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(error.class, DeviceClass::NumberMismatch);
        assert_eq!((link.count("FPKJ"), link.count("FPZF")), (0, 0));
        assert!(link.is_finished());
    }
}

#[test]
fn another_disk_is_noticed_before_anything_is_sent() {
    let other = IDENTITY.replace("661500000001", "661500000002");
    let (mut disk, link) = disk();
    identity(&link);
    disk.identity().unwrap();
    link.then("SKPXXCX", Ok(answer("SKPXXCX", &other)));
    let IssueAnswer::NotSent(error) = disk.issue(&order().request()) else { panic!("nothing may be sent") };
    assert_eq!(error.class, DeviceClass::NotPresent);
    assert!(error.text.contains("661500000002"), "{}", error.text);
    // It stays so, for reads too, until its identity is asked for.
    link.then("SKPXXCX", Ok(answer("SKPXXCX", &other)));
    assert_eq!(disk.stock(KIND).unwrap_err().class, DeviceClass::NotPresent);
    link.then("SKPXXCX", Ok(answer("SKPXXCX", &other)));
    assert_eq!(disk.identity().unwrap().disk.as_str(), "661500000002");
    // An invoice for the first one does not go to the second.
    link.then("SKPXXCX", Ok(answer("SKPXXCX", &other)));
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::NotPresent));
    assert!(link.is_finished());
}

#[test]
fn after_a_failed_link_the_disk_is_looked_at_again() {
    let (mut disk, link) = disk();
    prepared(&link);
    disk.stock(KIND).unwrap();
    link.then("GPXXCX", Err(failed(Sent::Maybe)));
    assert_eq!(disk.stock(KIND).unwrap_err().class, DeviceClass::Link);
    prepared(&link);
    disk.stock(KIND).unwrap();
    assert!(link.is_finished());
}

#[test]
fn a_refused_certificate_password_is_never_sent_again() {
    let (mut disk, link) = disk();
    prepared(&link);
    link.then("FPKJ", Ok(refusal("FPKJ", "1", "0963C4:证书口令错误")));
    let IssueAnswer::Refused(error) = disk.issue(&order().request()) else { panic!("it was sent") };
    assert_eq!((error.class, error.tries_left), (DeviceClass::BadPassword, Some(4)));
    let sent = link.sent().len();
    assert!(matches!(disk.issue(&order().request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::BadPassword));
    assert!(matches!(disk.operate(&void()), OperationAnswer::NotSent(_)));
    assert_eq!(disk.stock(KIND).unwrap_err().class, DeviceClass::BadPassword);
    assert_eq!(disk.query(KIND, pair()).unwrap_err().class, DeviceClass::BadPassword);
    assert_eq!(link.sent().len(), sent, "something was sent");
    // What carries the disk's own password alone may go on.
    identity(&link);
    disk.identity().unwrap();
}

#[test]
fn a_refused_disk_password_stops_everything() {
    let (mut disk, link) = disk();
    link.then("SKPXXCX", Ok(refusal("SKPXXCX", "1", "0963C1")));
    assert_eq!(disk.identity().unwrap_err().tries_left, Some(1));
    for _ in 0..3 {
        assert_eq!(disk.identity().unwrap_err().class, DeviceClass::BadPassword);
        assert_eq!(disk.stock(KIND).unwrap_err().class, DeviceClass::BadPassword);
        assert_eq!(disk.handshake().unwrap_err().class, DeviceClass::BadPassword);
    }
    assert_eq!(link.sent().len(), 1);
}

#[test]
fn what_cannot_be_written_costs_the_disk_nothing() {
    let (mut disk, link) = disk();
    let mut order = order();
    order.invoice.lines[0].unit = "😀".to_owned();
    assert!(matches!(disk.issue(&order.request()), IssueAnswer::NotSent(error) if error.class == DeviceClass::InvalidRequest));
    order.invoice.lines = vec![super::document::samples::paper(); 101];
    order.kind = InvoiceKind::Roll;
    assert!(matches!(disk.issue(&order.request()), IssueAnswer::NotSent(error) if error.text.contains("101 lines")));
    assert!(link.sent().is_empty());
}

#[test]
fn voids_are_sent_once_and_believed_when_they_name_the_invoice() {
    let good = "<fpdm>1100000320</fpdm><fphm>00000088</fphm><zfrq>20260302103000</zfrq><returncode>0</returncode>";
    let done = OperationAnswer::Done { pair: Some(pair()), at: Some("20260302103000".to_owned()) };
    let (mut disk, link) = disk();
    identity(&link);
    link.then("FPZF", Ok(answer("FPZF", good)));
    assert_eq!(disk.operate(&void()), done);
    prepared(&link);
    link.then("FPZF", Ok(answer("FPZF", good)));
    assert_eq!(disk.operate(&blank_void()), done);
    let other = good.replace("00000088", "00000089");
    for reply in [Ok(answer("FPZF", &other)), Ok(refusal("FPZF", "1", "09d11c")), Err(failed(Sent::Maybe)), Ok(Vec::new())] {
        let before = link.count("FPZF");
        identity(&link);
        link.then("FPZF", reply);
        assert!(matches!(disk.operate(&void()), OperationAnswer::InDoubt(_)));
        assert_eq!(link.count("FPZF"), before + 1);
    }
    identity(&link);
    link.then("FPZF", Err(failed(Sent::No)));
    assert!(matches!(disk.operate(&void()), OperationAnswer::NotSent(_)));
    assert!(matches!(disk.operate(&Operation::Report { kind: KIND }), OperationAnswer::NotSent(_)));
    assert!(link.is_finished());
}

#[test]
fn queries_and_searches() {
    let (mut disk, link) = disk();
    identity(&link);
    link.then("FPCX", Ok(answer("FPCX", &query(1, &found("00000088")))));
    assert_eq!(disk.query(KIND, pair()).unwrap().unwrap().pair, pair());
    link.then("FPCX", Ok(refusal("FPCX", "1", "09D106:无数据")));
    assert_eq!(disk.query(KIND, pair()), Ok(None));
    for unknown in [Ok(refusal("FPCX", "1", "x")), Err(failed(Sent::No)), Ok(Vec::new())] {
        let look_again = !matches!(unknown, Ok(ref bytes) if !bytes.is_empty());
        link.then("FPCX", unknown);
        assert!(disk.query(KIND, pair()).is_err());
        if look_again {
            identity(&link);
            disk.handshake().unwrap();
        }
    }
    // 00000088 is next, so 00000087 was the last.
    link.then("GPXXCX", Ok(answer("GPXXCX", &stock("00000088"))));
    link.then("FPCX", Ok(answer("FPCX", &query(1, &found("00000087")))));
    assert_eq!(disk.find(KIND, Search::Last).unwrap()[0].pair, pair().predecessor().unwrap());
    // That it should not exist is a contradiction and no answer.
    link.then("GPXXCX", Ok(answer("GPXXCX", &stock("00000088"))));
    link.then("FPCX", Ok(refusal("FPCX", "1", "09D106:无数据")));
    assert!(disk.find(KIND, Search::Last).is_err());
    // At the beginning of a segment nobody knows what came before.
    link.then("GPXXCX", Ok(answer("GPXXCX", &stock("00000001"))));
    assert_eq!(disk.find(KIND, Search::Last).unwrap_err().class, DeviceClass::Unsupported);
    let (first, last) = ("00000080".parse().unwrap(), "00000104".parse().unwrap());
    link.then("FPCX", Ok(answer("FPCX", &query(2, &(found("00000088") + &found("00000087"))))));
    link.then("FPCX", Ok(answer("FPCX", &query(1, &found("00000104")))));
    let numbers: Vec<u32> =
        disk.find(KIND, Search::Range(pair().code, first, last)).unwrap().iter().map(|found| found.pair.number.value()).collect();
    assert_eq!(numbers, [87, 88, 104]);
    assert_eq!(disk.find(KIND, Search::Request("T1")).unwrap_err().class, DeviceClass::Unsupported);
    link.then("GPXXCX", Ok(answer("GPXXCX", &stock("00000088"))));
    assert_eq!(disk.segments(KIND).unwrap().len(), 2);
    assert!(link.is_finished());
}

#[test]
fn an_error_that_repeats_a_password_does_not_show_it() {
    let (mut disk, link) = disk();
    prepared(&link);
    link.then("FPKJ", Ok(refusal("FPKJ", "1", "bad request: skpkl=88888888 keypwd=12345678")));
    let IssueAnswer::InDoubt(error) = disk.issue(&order().request()) else { panic!("it was sent") };
    assert_eq!(error.text, "bad request: skpkl=*** keypwd=***");
    assert!(!format!("{:?}", config()).contains("8888"));
}

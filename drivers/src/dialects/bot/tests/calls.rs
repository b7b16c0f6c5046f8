//! The reading calls, passwords, and what the disk says it can do.

use taxdisk_protocol::capabilities::{DiskOperation, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;

use super::double::{bench, config, disk, known_disk};
use crate::dialects::nisec::document::samples;
use crate::disk::{Comparison, IssueAnswer, Search, TaxDisk};

const KIND: InvoiceKind = InvoiceKind::PaperOrdinary;

#[test]
fn who_it_is_what_is_left_and_what_was_issued() {
    let bench = bench();
    let mut disk = disk(&bench);
    assert_eq!((disk.dialect(), disk.fence()), ("bot", Fence::Token));
    let identity = disk.identity().unwrap();
    assert_eq!((identity.disk.as_str(), identity.kinds.len()), ("661500000001", 2));
    let stock = disk.stock(KIND).unwrap();
    assert_eq!((stock.current, stock.remaining), ("1100000320 00000088".parse().unwrap(), 113));
    assert_eq!(disk.segments(KIND).unwrap().len(), 2);
    let totals = disk.offline_totals().unwrap();
    assert_eq!((totals.count, totals.sum.to_string().as_str()), (3, "678.00"));
    let order = samples::order();
    let IssueAnswer::Signed(signed) = disk.issue(&order.request()) else { panic!("issued") };
    assert_eq!((signed.pair, signed.issued_at.as_str()), (order.expected, "20260302101530"));
    let found = disk.query(KIND, order.expected).unwrap().unwrap();
    assert_eq!(disk.compare(&order.request(), &found), Comparison::Equal);
    assert!(bench.state().executed.iter().all(|name| name != "0A" && name != "0B" && name != "0C"), "documents only");
}

#[test]
fn an_issuing_document_carries_the_expected_pair() {
    let disk = known_disk(&bench());
    assert!(disk.capabilities().carries_pair);
    assert!(disk.capabilities().can(DiskOperation::ChangePassword));
    let order = samples::order();
    let card = disk.card().unwrap();
    let pair = crate::dialects::nisec::document::commands::fpkj::ExpectedPair::Send;
    let document =
        crate::dialects::nisec::document::commands::fpkj::request(&card, &config().issuing, &order.request(), pair).unwrap();
    let text = String::from_utf8_lossy(document.bytes()).into_owned();
    assert!(text.contains("<dqfpdm>1100000320</dqfpdm><dqfphm>00000088</dqfphm>"), "{text}");
}

#[test]
fn absence_is_the_devices_own_word_only() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    let pair = "1100000320 00000088".parse().unwrap();
    bench.say("FPCX", samples::answer("FPCX", &samples::query(0, "")));
    assert_eq!(disk.query(KIND, pair).unwrap(), None);
    bench.say("FPCX", samples::refusal("FPCX", "1", "09d106:无数据"));
    assert_eq!(disk.query(KIND, pair).unwrap(), None);
    bench.say("FPCX", samples::refusal("FPCX", "1", "忙"));
    assert!(disk.query(KIND, pair).is_err());
    bench.refuse("FPCX", 0x1F, "");
    assert!(disk.query(KIND, pair).is_err());
}

#[test]
fn searches_are_bounded() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    let code = "1100000320".parse().unwrap();
    let number = |text: &str| text.parse().unwrap();
    let found = disk.find(KIND, Search::Range(code, number("00000080"), number("00000095"))).unwrap();
    assert_eq!(found.len(), 1);
    let wide = disk.find(KIND, Search::Range(code, number("00000001"), number("00001001"))).unwrap_err();
    assert_eq!(wide.class, DeviceClass::InvalidRequest);
    assert_eq!(disk.find(KIND, Search::Last).unwrap_err().class, DeviceClass::Unsupported);
    assert_eq!(bench.tried(0x7E), 1);
}

#[test]
fn a_refused_password_is_not_sent_again() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.say("GPXXCX", samples::refusal("GPXXCX", "1", "0963c4:证书口令错误"));
    let error = disk.stock(KIND).unwrap_err();
    assert_eq!((error.class, error.tries_left), (DeviceClass::BadPassword, Some(4)));
    let tried = bench.tried(0x7E);
    let again = disk.stock(KIND).unwrap_err();
    assert_eq!(again, error);
    assert!(matches!(disk.issue(&samples::order().request()), IssueAnswer::NotSent(_)));
    assert_eq!(bench.tried(0x7E), tried, "nothing that carries it went out");
    // The disk's own password is another one.
    disk.identity().unwrap();
    disk.handshake().unwrap();
}

#[test]
fn no_password_stands_in_an_error_or_in_debug_output() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.refuse("GPXXCX", 0, "JSK237:操作员口令错误");
    let error = disk.stock(KIND).unwrap_err();
    let shown = format!("{error:?} {error} {:?}", config());
    assert!(!shown.contains("88888888") && !shown.contains("12345678"), "{shown}");
}

#[test]
fn a_long_answer_comes_in_parts() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    // Spaces between the elements are allowed and make it longer than one FETCH holds.
    let document = samples::answer("GPXXCX", &format!("{}{}", samples::stock("00000088"), " ".repeat(200_000)));
    bench.say("GPXXCX", document);
    assert_eq!(disk.stock(KIND).unwrap().remaining, 113);
    bench.state().fetched.clear();
    disk.stock(KIND).unwrap();
    let fetched = bench.state().fetched.len();
    assert!((4..=6).contains(&fetched), "{fetched} parts");
}

//! What is read.

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;

use super::super::commands::{fpcx, fpkj, fpzf, gpxxcx, jksjcx, skpxxcx, szsmcx};
use super::super::samples::{self, answer, found, identity, order, query, refusal};
use super::super::{AnswerError, classify, compare};
use crate::disk::{Comparison, FoundInvoice, NumberStatus, Red};

const KIND: InvoiceKind = InvoiceKind::PaperOrdinary;
const GOOD: &str = "<returncode>00000000</returncode><returnmsg>成功</returnmsg>";

fn net() -> Amount {
    "200.00".parse().unwrap()
}

fn pair() -> NumberPair {
    "1100000320 00000088".parse().unwrap()
}

fn range() -> fpcx::Range {
    fpcx::Range { code: pair().code, first: pair().number, last: pair().number }
}

fn class(error: AnswerError) -> DeviceClass {
    crate::disk::DiskError::from(error).class
}

fn is_bad<T: std::fmt::Debug>(answer: Result<T, AnswerError>) -> bool {
    matches!(answer, Err(AnswerError::Bad(_)))
}

fn read_back() -> FoundInvoice {
    fpcx::answer(&answer("FPCX", &query(1, &found("00000088"))), KIND, range()).unwrap().remove(0)
}

#[test]
fn an_issued_invoice() {
    let signed = fpkj::answer(&answer("FPKJ", samples::SIGNED), KIND, net()).unwrap();
    assert_eq!((signed.pair, signed.issued_at.as_str()), (pair(), "20260302101530"));
    assert_eq!(signed.fiscal_code, "0123456789");
    assert_eq!(signed.printed, Printed::new("12345678901234567890", "", ""));
}

#[test]
fn texts_for_the_printed_form_are_optional_and_never_stop_an_answer() {
    for (jym, expected) in [
        ("<jym/>", Printed::default()),
        ("", Printed::default()),
        (&*format!("<jym>{}</jym>", "1".repeat(500)), Printed::default()),
        // Said twice: what was signed is read all the same.
        ("<jym>1</jym><jym>2</jym>", Printed::default()),
        ("<jym>1</jym><ewm>01,10</ewm><fp_mw>03*&lt;81</fp_mw>", Printed::new("1", "03*<81", "01,10")),
    ] {
        let fields = samples::SIGNED.replace("<jym>12345678901234567890</jym>", jym);
        let signed = fpkj::answer(&answer("FPKJ", &fields), KIND, net()).unwrap();
        assert_eq!((signed.pair, &signed.printed), (pair(), &expected), "{jym}");
        let group = found("00000088").replace("<jym/>", jym);
        let read = fpcx::answer(&answer("FPCX", &query(1, &group)), KIND, range()).unwrap().remove(0);
        assert_eq!((read.pair, read.printed), (pair(), expected), "{jym}");
    }
}

#[test]
fn a_success_without_its_pair_is_no_success() {
    for (from, to) in [
        ("<fpdm>1100000320</fpdm>", ""),
        ("<fphm>00000088</fphm>", "<fphm/>"),
        ("<fplxdm>007</fplxdm>", "<fplxdm>004</fplxdm>"),
        ("<hjje>200.00</hjje>", "<hjje>200.01</hjje>"),
        ("<returncode>0</returncode>", ""),
        ("<returncode>0</returncode>", "<returncode/>"),
        ("<returncode>0</returncode>", "<returncode>0</returncode><returncode>1</returncode>"),
    ] {
        let fields = samples::SIGNED.replace(from, to);
        assert_ne!(fields, samples::SIGNED);
        assert!(is_bad(fpkj::answer(&answer("FPKJ", &fields), KIND, net())), "{to}");
    }
    assert!(is_bad(fpkj::answer(&answer("FPCX", samples::SIGNED), KIND, net())), "an answer to another command");
}

#[test]
fn success_is_zeros_and_nothing_else() {
    for code in ["0", "00000000", "0000"] {
        let fields = samples::SIGNED.replace("<returncode>0<", &format!("<returncode>{code}<"));
        assert!(fpkj::answer(&answer("FPKJ", &fields), KIND, net()).is_ok(), "{code}");
    }
    for code in ["1", "00000001", "0x0", "-0", "0.0", "OK", "10315"] {
        let fields = samples::SIGNED.replace("<returncode>0<", &format!("<returncode>{code}<"));
        let error = fpkj::answer(&answer("FPKJ", &fields), KIND, net()).unwrap_err();
        assert!(matches!(error, AnswerError::Refused(_)), "{code}");
    }
}

#[test]
fn the_codes_of_devices() {
    use DeviceClass::*;
    let known = [
        ("09d103", NoStock),
        ("09d106", NoStock),
        ("09d200", NoStock),
        ("09d108", NumberMismatch),
        ("09d109", Locked),
        ("09d110", Unsupported),
        ("09d11c", Locked),
        ("09d11f", OverOfflineTime),
        ("09d120", OverOfflineCount),
        ("09d121", OverOfflineAmount),
        ("09d122", Locked),
        ("096a80", Clock),
        ("09e105", Clock),
        ("09c000", NotPresent),
        ("092000", Unsupported),
        ("092100", InvalidRequest),
        ("092400", InvalidRequest),
        ("092403", InvalidRequest),
        ("09240d", Locked),
        ("092700", DeviceFault),
        ("09ffff", DeviceFault),
    ];
    for (code, expected) in known {
        for (returncode, text) in [
            (code.to_owned(), String::new()),
            (code.to_ascii_uppercase(), "x".to_owned()),
            ("1".to_owned(), format!("{}:某事", code.to_ascii_uppercase())),
            ("-1".to_owned(), format!("{code},00F103,Read")),
            ("1".to_owned(), format!("税控设备异常 DiskErr:{code}")),
        ] {
            let refusal = classify(&returncode, &text);
            assert_eq!((refusal.class, refusal.code.as_str()), (expected, code), "{returncode} {text}");
            assert_eq!(refusal.absent_in_query, ["09d106", "09d200"].contains(&code));
        }
    }
    let password = classify("1", "0963C5:证书口令错误");
    assert_eq!((password.class, password.tries_left), (BadPassword, Some(5)));
    assert_eq!(classify("0963c0", "").tries_left, Some(0));
    // It came while the invoice was being written.
    assert_eq!(classify("1", "税控设备写发票明细时异常 DiskErr:092400").class, DeviceFault);
    assert_eq!(classify("10315", "").class, NumberMismatch);
    for unknown in ["", "没有发票", "D103", "09D1031", "x09d103", "2009d103", "19d103"] {
        assert_eq!(classify("1", unknown).class, DeviceFault, "{unknown}");
    }
}

#[test]
fn identity_stock_and_limits() {
    assert_eq!(skpxxcx::answer(&answer("SKPXXCX", samples::IDENTITY)).unwrap(), identity());
    let odd = samples::IDENTITY.replace("<fplxdm>004007</fplxdm>", "<fplxdm>00400</fplxdm>");
    assert!(is_bad(skpxxcx::answer(&answer("SKPXXCX", &odd))));
    let unknown = samples::IDENTITY.replace("<fplxdm>004007</fplxdm>", "<fplxdm>004999007</fplxdm>");
    assert_eq!(skpxxcx::answer(&answer("SKPXXCX", &unknown)).unwrap().kinds, identity().kinds);

    let purchased = gpxxcx::answer(&answer("GPXXCX", &samples::stock("00000088")), KIND).unwrap();
    assert_eq!((purchased.stock.current, purchased.stock.remaining), (pair(), 113));
    let codes: Vec<&str> = purchased.segments.iter().map(|segment| segment.code.as_str()).collect();
    assert_eq!(codes, ["1100000320", "1100000321"], "the current one comes first");
    let empty = "<dqfpdm>1100000320</dqfpdm><dqfphm>00000100</dqfphm><zsyfs>0</zsyfs><returncode>0</returncode>";
    assert_eq!(class(gpxxcx::answer(&answer("GPXXCX", empty), KIND).unwrap_err()), DeviceClass::NoStock);
    let refused = refusal("GPXXCX", "1", "09D103:发票领购信息已用完");
    assert_eq!(class(gpxxcx::answer(&refused, KIND).unwrap_err()), DeviceClass::NoStock);

    let fields = format!(
        "<fplxdm>007</fplxdm><kpjzsj>20260415</kpjzsj><bsqsrq>20260301</bsqsrq><bszzrq>20260331</bszzrq>\
         <dzkpxe>100000.00</dzkpxe><scjzrq>0</scjzrq><lxkpsc>72</lxkpsc><lxzsljje/>{GOOD}"
    );
    let limits = jksjcx::answer(&answer("JKSJCX", &fields), KIND).unwrap();
    assert_eq!(limits.issue_deadline.as_deref(), Some("20260415"));
    assert_eq!((limits.upload_day, limits.offline_hours, limits.offline_amount), (None, Some(72), None));
    assert_eq!(limits.invoice_limit, Some("100000.00".parse().unwrap()));
    let fields = format!(
        "<szsmxx count=\"1\"><group xh=\"1\"><szsmsyh>1</szsmsyh><szsmdm>0101</szsmdm><sl>0.13</sl><szmc>增值税</szmc>\
         </group></szsmxx>{GOOD}"
    );
    assert_eq!(szsmcx::answer(&answer("SZSMCX", &fields), KIND).unwrap()[0].rate, "0.13".parse().unwrap());
}

#[test]
fn a_found_invoice_compares_equal_and_every_change_is_named() {
    let found = read_back();
    assert_eq!((found.status, found.issued_at.as_str()), (NumberStatus::Positive, "20260302101530"));
    assert_eq!((found.signature.as_str(), &found.original, &found.voided_at), ("SIGNATURE", &None, &None));
    let sent = order();
    assert_eq!(compare(&sent.request(), &found), Comparison::Equal);
    type Change = fn(&mut FoundInvoice);
    let changes: [(&str, Change); 20] = [
        ("status", |found| found.status = NumberStatus::BlankVoid),
        ("original", |found| found.original = Some(found.pair)),
        ("buyer.name", |found| found.buyer_name.push('x')),
        ("buyer.taxpayer_number", |found| found.buyer_number = "91310000MA00000027".to_owned()),
        ("buyer.address_phone", |found| found.buyer_address_phone = "x".to_owned()),
        ("buyer.bank_account", |found| found.buyer_bank_account = "x".to_owned()),
        ("lines", |found| found.lines.clear()),
        ("lines.kind", |found| found.lines[0].nature = "2".to_owned()),
        ("lines.name", |found| found.lines[0].name.push('x')),
        ("lines.goods_code", |found| found.lines[0].goods_code = "1060106000000000000".to_owned()),
        ("lines.specification", |found| found.lines[0].specification.clear()),
        ("lines.unit", |found| found.lines[0].unit = "箱".to_owned()),
        ("lines.price", |found| found.lines[0].price = "100.00000001".to_owned()),
        ("lines.quantity", |found| found.lines[0].quantity.clear()),
        ("lines.net", |found| found.lines[0].net = "200.01".parse().unwrap()),
        ("lines.rate", |found| found.lines[0].rate = "0.06".to_owned()),
        ("totals.gross", |found| found.gross = "226.01".parse().unwrap()),
        ("remark", |found| found.remark = "another mark".to_owned()),
        ("clerk", |found| found.clerk = "李四".to_owned()),
        ("request_id", |found| found.request_id = Some("OTHER".to_owned())),
    ];
    for (field, change) in changes {
        let mut changed = found.clone();
        change(&mut changed);
        assert_eq!(compare(&sent.request(), &changed), Comparison::Different(vec![field]));
    }
    // What components rewrite.
    let mut rewritten = found.clone();
    rewritten.buyer_number = "000000000000000".to_owned();
    rewritten.lines[0].goods_code = "1060105".to_owned();
    rewritten.lines[0].price = "100".to_owned();
    rewritten.status = NumberStatus::PositiveVoid;
    // Never a criterion: components give them in one answer and leave them out of another.
    rewritten.printed = Printed::new("09876543210987654321", "<", "01,10");
    assert_eq!(compare(&sent.request(), &rewritten), Comparison::Equal);
    let mut red = order();
    red.red = Some(Red { original: pair(), notice: None });
    assert_eq!(compare(&red.request(), &found), Comparison::Different(vec!["status", "original"]));
}

#[test]
fn absence_is_said_by_the_device_alone() {
    let ask = |bytes: Vec<u8>| fpcx::answer(&bytes, KIND, range());
    for absent in [
        refusal("FPCX", "1", "09D106:无数据"),
        refusal("FPCX", "09d200", ""),
        answer("FPCX", &query(0, "")),
        answer("FPCX", "<fpxx count=\"0\"/><returncode>0</returncode>"),
    ] {
        assert_eq!(ask(absent).unwrap(), []);
    }
    for unknown in [
        refusal("FPCX", "1", "未找到"),
        refusal("FPCX", "1", "09D103:发票领购信息已用完"),
        refusal("FPCX", "0", "09D106"),
        refusal("FPCX", "0", ""),
        answer("FPCX", "<fpxx/><returncode>0</returncode>"),
        answer("FPCX", &query(1, "")),
        answer("FPCX", &query(0, &found("00000088"))),
        answer("FPCX", &query(2, &found("00000088"))),
        answer("FPCX", &query(1, &found("00000089"))),
        answer("FPCX", &query(2, &(found("00000088") + &found("00000088")))),
        refusal("FPKJ", "0", "09D106"),
    ] {
        assert!(ask(unknown).is_err());
    }
    // The same code for another command is no stock.
    assert_eq!(class(gpxxcx::answer(&refusal("GPXXCX", "09d106", ""), KIND).unwrap_err()), DeviceClass::NoStock);
}

#[test]
fn voids_and_voided_blanks() {
    let fields =
        "<fplxdm>007</fplxdm><fpdm>1100000320</fpdm><fphm>00000088</fphm><zfrq>20260302103000</zfrq><returncode>0</returncode>";
    let bytes = answer("FPZF", fields);
    let voided = fpzf::answer(&bytes, KIND, fpzf::Target::Issued(pair(), net())).unwrap();
    assert_eq!((voided.pair, voided.at.as_deref()), (pair(), Some("20260302103000")));
    let other = pair().successor().unwrap();
    assert!(is_bad(fpzf::answer(&bytes, KIND, fpzf::Target::Issued(other, net()))));
    // A blank void takes what is current: the caller has to hear what that was.
    assert_eq!(fpzf::answer(&bytes, KIND, fpzf::Target::Blank(other)).unwrap().pair, pair());
    assert!(is_bad(fpzf::answer(&refusal("FPZF", "0", ""), KIND, fpzf::Target::Blank(pair()))));

    let blank = "<group><fpdm>1100000320</fpdm><fphm>00000088</fphm><fpzt>2</fpzt><fyxm/><zfrq>20260302103000</zfrq></group>";
    let found = fpcx::answer(&answer("FPCX", &query(1, blank)), KIND, range()).unwrap().remove(0);
    assert_eq!((found.status, found.lines.len(), found.gross), (NumberStatus::BlankVoid, 0, Amount::ZERO));
    // Any other status without sums is damaged.
    let damaged = blank.replace("<fpzt>2", "<fpzt>0");
    assert!(is_bad(fpcx::answer(&answer("FPCX", &query(1, &damaged)), KIND, range())));
    let unknown = blank.replace("<fpzt>2", "<fpzt>7");
    assert!(is_bad(fpcx::answer(&answer("FPCX", &query(1, &unknown)), KIND, range())));
}

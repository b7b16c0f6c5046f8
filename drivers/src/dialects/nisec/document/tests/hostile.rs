//! Answers that are none.

use proptest::prelude::*;

use super::super::commands::{fpcx, fpkj, gpxxcx};
use super::super::samples::{self, answer};
use super::super::{MAX_ANSWER_BYTES, MAX_DEPTH, MAX_ELEMENTS, Shape, parse, parse_answer};
use taxdisk_protocol::kind::InvoiceKind;

fn wrapped(fields: &str) -> String {
    format!(r#"<business id="FPKJ"><body><output>{fields}</output></body></business>"#)
}

fn reason(bytes: &[u8]) -> String {
    parse_answer(bytes).unwrap_err().0
}

#[test]
fn broken_documents_are_never_half_read() {
    let good = wrapped("<returncode>0</returncode>");
    assert!(parse_answer(good.as_bytes()).is_ok());
    for length in 0..good.len() {
        assert!(parse_answer(&good.as_bytes()[..length]).is_err(), "cut at {length}");
    }
    for bad in [
        "<business><body><output><returncode>0</output></returncode></body></business>".to_owned(),
        "<business><body><returncode>0</returncode></business></body>".to_owned(),
        "</business>".to_owned(),
        format!("{good}{good}"),
        format!("{good}x"),
        wrapped("<returncode>0</returncode>&unknown;"),
        wrapped("<returncode>0</returncode>&#xFFFFFFFF;"),
        format!("<!DOCTYPE business [<!ENTITY a \"b\">]>{good}"),
        "<html><body><returncode>0</returncode></body></html>".to_owned(),
        "<business><returncode>0</returncode></business>".to_owned(),
        good.replace("<body>", "<body/><body>"),
        "OK".to_owned(),
        String::new(),
    ] {
        assert!(parse_answer(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn size_depth_and_count_are_bounded() {
    assert!(reason(&vec![b' '; MAX_ANSWER_BYTES + 1]).contains("more than"));
    let deep = "<a>".repeat(MAX_DEPTH) + &"</a>".repeat(MAX_DEPTH);
    assert!(reason(wrapped(&deep).as_bytes()).contains("deeper"));
    assert!(reason(wrapped(&"<a/>".repeat(MAX_ELEMENTS)).as_bytes()).contains("elements"));
    assert!(reason("<a>".repeat(MAX_ANSWER_BYTES / 3).as_bytes()).contains("deeper"));
}

#[test]
fn the_declared_encoding_is_obeyed_and_gbk_is_the_default() {
    let fields = "<returncode>1</returncode><returnmsg>发票</returnmsg>";
    let message = |bytes: &[u8]| parse_answer(bytes).unwrap().message;
    let gbk = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    let utf8 = format!("<?xml version='1.0' encoding='UTF-8'?>{}", wrapped(fields));
    assert_eq!(message(utf8.as_bytes()), "发票");
    assert_eq!(message(&gbk(&wrapped(fields))), "发票");
    for label in ["gbk", "GB2312", "GB18030"] {
        assert_eq!(message(&gbk(&format!("\n<?xml version=\"1.0\" encoding = \"{label}\" ?>{}", wrapped(fields)))), "发票");
    }
    // A byte order mark is stronger than what is declared.
    let marked = format!("\u{FEFF}<?xml version=\"1.0\" encoding=\"gbk\"?>{}", wrapped(fields));
    assert_eq!(message(marked.as_bytes()), "发票");
    assert!(reason(utf8.replace("UTF-8", "klingon").as_bytes()).contains("encoding"));
    // Declared wrongly: the text is damaged, what decides is ASCII and stays what it is.
    let wrong = parse_answer(&gbk(&utf8)).unwrap();
    assert_eq!(wrong.code, "1");
    assert!(wrong.message.contains('\u{FFFD}'));
    // A cut character does not swallow the tag behind it.
    let mut cut = gbk(&wrapped(fields));
    let at = cut.windows(4).position(|four| four == gbk("发票")).unwrap();
    cut.remove(at + 3);
    assert_eq!(parse_answer(&cut).unwrap().code, "1");
    // C strings with their end.
    assert_eq!(message(&[gbk(&wrapped(fields)), vec![0, 0]].concat()), "发票");
}

#[test]
fn the_order_and_what_is_not_known_do_not_matter() {
    let fields = samples::SIGNED.replace("<fpdm>", "<new x='1'><y/><fpdm>9</fpdm></new><!-- - --><fpdm>");
    let net = "200.00".parse().unwrap();
    assert!(fpkj::answer(&answer("fpkj", &fields), InvoiceKind::PaperOrdinary, net).is_ok());
    let text = wrapped("<returnmsg>a &lt;b&gt; &#65;<![CDATA[<c>]]></returnmsg><returncode> 1\r\n</returncode>");
    let answer = parse_answer(text.as_bytes()).unwrap();
    assert_eq!((answer.code.as_str(), answer.message.as_str()), ("1", "a <b> A<c>"));
}

/// Pieces of answers, so that random documents get past the first check.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "<business id=\"FPCX\">",
        "</business>",
        "<body>",
        "</body>",
        "<output>",
        "</output>",
        "<returncode>0</returncode>",
        "<fpxx count=\"1\">",
        "</fpxx>",
        "<group>",
        "</group>",
        "<fpdm>1100000320</fpdm>",
        "<fphm>00000088</fphm>",
        "<zsyfs>1</zsyfs>",
        "<fpzt>0</fpzt>",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
        "&amp;",
        "&#0;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<a b>",
        "<a",
    ];
    prop_oneof![9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_answer(&bytes);
        let _ = parse(&bytes, Shape::ReturnData);
    }

    #[test]
    fn no_document_makes_it_panic_or_invents_an_invoice(pieces in proptest::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        let _ = parse(text.as_bytes(), Shape::ReturnData);
        let kind = InvoiceKind::PaperOrdinary;
        let _ = gpxxcx::answer(text.as_bytes(), kind);
        let range = fpcx::Range {
            code: "1100000320".parse().unwrap(), first: "00000088".parse().unwrap(), last: "00000088".parse().unwrap()
        };
        let _ = fpcx::answer(text.as_bytes(), kind, range);
        // Without the answer's id for it there is no invoice.
        prop_assert!(fpkj::answer(text.as_bytes(), kind, "200.00".parse().unwrap()).is_err());
    }

    #[test]
    fn one_changed_byte_never_makes_another_pair(at in 0_usize..600, value in any::<u8>()) {
        let mut bytes = answer("FPKJ", samples::SIGNED);
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(signed) = fpkj::answer(&bytes, InvoiceKind::PaperOrdinary, "200.00".parse().unwrap()) {
            // Only a changed digit of the pair itself can do that, and the caller compares the pair.
            let original = answer("FPKJ", samples::SIGNED);
            let digit = original[at].is_ascii_digit() && value.is_ascii_digit();
            prop_assert!(signed.pair == "1100000320 00000088".parse().unwrap() || digit);
        }
    }
}

//! What is sent, byte by byte.

use taxdisk_protocol::invoice::{Line, LineKind, ZeroRate};
use taxdisk_protocol::kind::InvoiceKind;

use super::super::commands::fpkj::{self, ExpectedPair};
use super::super::commands::{fpcx, fpzf, gpxxcx, jksjcx, skpxxcx, szsmcx};
use super::super::samples::{identity, order, paper};
use super::super::{Card, Document, FieldError, Issuing};
use crate::actor::IssueOrder;
use crate::disk::{Identity, Red};
use crate::secret::Secret;

/// device-xml-and-usb.md, A.4, with empty elements written the one way that this driver writes them.
const FPKJ: &str = r#"<?xml version="1.0" encoding="gbk"?><business comment="发票开具" id="FPKJ"><body yylxdm="1"><input><skpbh>661500000001</skpbh><skpkl>88888888</skpkl><keypwd>12345678</keypwd><fplxdm>007</fplxdm><kplx>0</kplx><tspz>00</tspz><xhdwsbh>91110000MA00000019</xhdwsbh><xhdwmc>示例商贸有限公司</xhdwmc><xhdwdzdh>示例路1号 010-00000000</xhdwdzdh><xhdwyhzh>示例银行 0001</xhdwyhzh><ghdwsbh></ghdwsbh><ghdwmc>个人</ghdwmc><ghdwdzdh/><ghdwyhzh/><bmbbbh>13.0</bmbbbh><hsslbs>0</hsslbs><fyxm count="1"><group xh="1"><fphxz>0</fphxz><spmc>*纸制品*打印纸</spmc><spsm/><ggxh>A4</ggxh><dw>包</dw><spsl>2</spsl><dj>100</dj><je>200.00</je><kcje/><sl>0.13</sl><se>26.00</se><hsbz>0</hsbz><spbm>1060105000000000000</spbm><zxbm/><yhzcbs>0</yhzcbs><slbs/><zzstsgl/></group></fyxm><zhsl/><hjje>200.00</hjje><hjse>26.00</hjse><jshj>226.00</jshj><bz/><skr>张三</skr><fhr>李四</fhr><kpr>王五</kpr><jmbbh/><zyspmc/><spsm/><qdbz>0</qdbz><ssyf/><kpjh>0</kpjh><tzdbh/><yfpdm/><yfphm/><qmcs>0000004282000000</qmcs></input></body></business>"#;

fn with_card<T>(then: impl FnOnce(&Card<'_>) -> T) -> T {
    let Identity { disk, taxpayer, .. } = identity();
    let (disk_password, certificate_password) = (Secret::new("88888888"), Secret::new("12345678"));
    then(&Card { disk: &disk, taxpayer: &taxpayer, disk_password: &disk_password, certificate_password: &certificate_password })
}

fn issuing() -> Issuing {
    Issuing {
        seller_address_phone: "示例路1号 010-00000000".to_owned(),
        seller_bank_account: "示例银行 0001".to_owned(),
        ..Issuing::default()
    }
}

fn fpkj(order: &IssueOrder, pair: ExpectedPair) -> Result<Document, FieldError> {
    with_card(|card| fpkj::request(card, &issuing(), &order.request(), pair))
}

fn text(document: &Document) -> String {
    let (text, _, damaged) = encoding_rs::GBK.decode(document.bytes());
    assert!(!damaged);
    text.into_owned()
}

fn reason(order: &IssueOrder) -> String {
    fpkj(order, ExpectedPair::Omit).unwrap_err().to_string()
}

#[test]
fn the_sample_of_the_facts() {
    let sample = FPKJ.replace("<ghdwsbh></ghdwsbh>", "<ghdwsbh/>");
    assert_eq!(text(&fpkj(&order(), ExpectedPair::Omit).unwrap()), sample);
    let pair = "</qmcs><dqfpdm>1100000320</dqfpdm><dqfphm>00000088</dqfphm></input>";
    assert_eq!(text(&fpkj(&order(), ExpectedPair::Send).unwrap()), sample.replace("</qmcs></input>", pair));
}

#[test]
fn the_other_commands() {
    let disk4 = "<nsrsbh>91110000MA00000019</nsrsbh><skpbh>661500000001</skpbh><skpkl>88888888</skpkl><keypwd>12345678</keypwd>";
    let body = |document: Result<Document, FieldError>| {
        let text = text(&document.unwrap());
        text.split_once("<input>").unwrap().1.replace("</input></body></business>", "")
    };
    let kind = InvoiceKind::PaperOrdinary;
    assert_eq!(body(skpxxcx::request(&Secret::new("88888888"))), "<skpkl>88888888</skpkl>");
    let only_kind = format!("{disk4}<fplxdm>007</fplxdm>");
    assert_eq!(body(with_card(|card| jksjcx::request(card, kind))), only_kind);
    assert_eq!(body(with_card(|card| szsmcx::request(card, kind))), only_kind);
    assert_eq!(body(with_card(|card| gpxxcx::request(card, kind))), only_kind);
    let pair = "1100000320 00000088".parse().unwrap();
    let void = |target| body(with_card(|card| fpzf::request(card, &issuing(), kind, target, "王五")));
    assert_eq!(
        void(fpzf::Target::Issued(pair, "200.00".parse().unwrap())),
        format!(
            "{only_kind}<zflx>1</zflx><fpdm>1100000320</fpdm><fphm>00000088</fphm><hjje>200.00</hjje><zfr>王五</zfr>\
             <qmcs>0000004282000000</qmcs>"
        )
    );
    assert!(void(fpzf::Target::Blank(pair)).contains("<zflx>0</zflx><fpdm>1100000320</fpdm><fphm>00000088</fphm><hjje/>"));
    let range = |first: &str, last: &str| fpcx::Range {
        code: "011002000107".parse().unwrap(),
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
    };
    assert_eq!(
        body(with_card(|card| fpcx::request(card, kind, range("00000088", "00000090")))),
        format!("{only_kind}<cxfs>0</cxfs><cxtj>0110020001070000008800000090</cxtj><cxlx>0</cxlx>")
    );
    for (first, last) in [("00000002", "00000001"), ("00000001", "00000021")] {
        assert!(with_card(|card| fpcx::request(card, kind, range(first, last))).is_err());
    }
    let parts = fpcx::parts(range("00000001", "00000050"), 100).unwrap();
    let bounds: Vec<(u32, u32)> = parts.iter().map(|part| (part.first.value(), part.last.value())).collect();
    assert_eq!(bounds, [(1, 20), (21, 40), (41, 50)]);
    assert!(fpcx::parts(range("00000001", "00000101"), 100).is_err());
}

#[test]
fn discounts_exemptions_and_deductions_have_their_own_fields() {
    let mut order = order();
    let discounted = Line { kind: LineKind::Discounted, ..paper() };
    let discount = Line {
        kind: LineKind::Discount,
        specification: String::new(),
        unit: String::new(),
        quantity: None,
        price: None,
        net: "-20.00".parse().unwrap(),
        tax: "-2.60".parse().unwrap(),
        ..paper()
    };
    let exempt = Line {
        zero_rate: Some(ZeroRate::Exempt),
        rate: "0".parse().unwrap(),
        deduction: Some("60.00".parse().unwrap()),
        ..paper()
    };
    order.invoice.lines = vec![discounted, discount, exempt];
    let text = text(&fpkj(&order, ExpectedPair::Omit).unwrap());
    assert!(text.contains(r#"<fyxm count="3"><group xh="1"><fphxz>2</fphxz>"#));
    assert!(text.contains(
        r#"<group xh="2"><fphxz>1</fphxz><spmc>*纸制品*打印纸</spmc><spsm/><ggxh/><dw/><spsl/><dj/><je>-20.00</je><kcje/><sl>0.13</sl><se>-2.60</se>"#
    ));
    assert!(text.contains("<kcje>60.00</kcje><sl>0</sl>"));
    assert!(text.contains("<yhzcbs>1</yhzcbs><slbs>1</slbs><zzstsgl>免税</zzstsgl></group></fyxm>"));
}

#[test]
fn a_red_invoice_names_its_original_and_its_notice() {
    let mut order = order();
    order.kind = InvoiceKind::PaperSpecial;
    order.red = Some(Red { original: "1100000320 00000077".parse().unwrap(), notice: Some("1100000000000001".to_owned()) });
    assert!(reason(&order).contains("below zero"));
    order.invoice.totals.gross = "-226.00".parse().unwrap();
    let document = text(&fpkj(&order, ExpectedPair::Omit).unwrap());
    assert!(document.contains("<kplx>1</kplx>"));
    assert!(document.contains("<tzdbh>1100000000000001</tzdbh><yfpdm>1100000320</yfpdm><yfphm>00000077</yfphm><qmcs>"));
    order.red.as_mut().unwrap().notice = None;
    assert!(reason(&order).contains("信息表编号"));
    order.red = None;
    assert!(reason(&order).contains("above zero"));
}

#[test]
fn what_does_not_fit_is_refused_and_never_cut() {
    let changed = |change: fn(&mut IssueOrder)| {
        let mut order = order();
        change(&mut order);
        reason(&order)
    };
    assert_eq!(
        changed(|order| order.invoice.lines[0].name = "纸".repeat(46)),
        "lines[0].name: it needs 92 bytes, the field has 90"
    );
    let emoji = changed(|order| order.invoice.buyer.name = "个人😀".to_owned());
    assert!(emoji.starts_with("buyer.name: character 3"), "{emoji}");
    assert!(changed(|order| order.remark = "a\nb".to_owned()).contains("control character"));
    assert!(changed(|order| order.remark = "备".repeat(101)).starts_with("remark: it needs 202 bytes"));
    assert!(changed(|order| order.invoice.lines = vec![paper(); 9]).contains("9 lines"));
    assert!(changed(|order| order.invoice.lines.clear()).starts_with("lines"));
}

#[test]
fn markup_in_a_text_stays_text() {
    let mut order = order();
    order.remark = "</bz><kplx>1</kplx> & \"'".to_owned();
    let document = text(&fpkj(&order, ExpectedPair::Omit).unwrap());
    assert!(document.contains("<bz>&lt;/bz&gt;&lt;kplx&gt;1&lt;/kplx&gt; &amp; &quot;&apos;</bz>"), "{document}");
    assert_eq!(document.matches("<kplx>").count(), 1);
}

#[test]
fn a_document_shows_no_password() {
    let document = fpkj(&order(), ExpectedPair::Omit).unwrap();
    assert_eq!(format!("{document:?}"), format!("Document(FPKJ, {} bytes)", document.bytes().len()));
    let error = skpxxcx::request(&Secret::new("密码😀")).unwrap_err();
    assert!(!format!("{error:?}").contains("密码"), "{error}");
}

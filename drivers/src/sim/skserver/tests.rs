//! The tax-control server against the samples of the facts, and its traps.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::sim::nisec::{fpkj_sample, sim_disk, to_gbk};

/// An invoice of the facts' FPKJ sample as 10008 carries it.
pub(in crate::sim) fn order(request_id: &str) -> String {
    let sample = fpkj_sample();
    let (_, fields) = sample.split_once("<kplx>").unwrap();
    let (fields, _) = fields.split_once("</input>").unwrap();
    document("10008", &format!("<kpzdbs>kp001</kpzdbs><fplxdm>007</fplxdm><fpqqlsh>{request_id}</fpqqlsh><kplx>{fields}"))
}

pub(in crate::sim) fn document(id: &str, fields: &str) -> String {
    format!(r#"<business id="{id}" comment=""><body yylxdm="1">{fields}</body></business>"#)
}

fn body(answer: &[u8]) -> Element {
    Element::parse(answer).unwrap().child("body").unwrap().clone()
}

fn ask(disk: &mut SimDisk, options: &SkServerOptions, text: &str) -> Element {
    body(&answer(disk, &to_gbk(text), options))
}

fn data<'a>(body: &'a Element, name: &str) -> &'a str {
    assert_eq!(body.text("returncode"), "0", "{body:?}");
    body.child("returndata").unwrap().text(name)
}

const WHO: &str = "<kpzdbs>kp001</kpzdbs><fplxdm>007</fplxdm>";

#[test]
fn the_samples_of_the_facts_are_answered_as_there() {
    let mut disk = sim_disk();
    let options = SkServerOptions::default();
    ask(&mut disk, &options, &order("R1"));
    let sample = r#"<business id="10004" comment="查询当前未开票号"><body yylxdm="1"><kpzdbs>kp001</kpzdbs><fplxdm>007</fplxdm></body></business>"#;
    let told = encoding_rs::GBK.decode_without_bom_handling(&answer(&mut disk, &to_gbk(sample), &options)).0.into_owned();
    assert_eq!(
        told,
        concat!(
            r#"<?xml version="1.0" encoding="gbk"?><business id="10004" comment="查询当前未开票号"><body yylxdm="1">"#,
            "<returncode>0</returncode><returnmsg>成功</returnmsg><returndata><dqfpdm>1100000320</dqfpdm>",
            "<dqfphm>00000089</dqfphm></returndata></body></business>"
        )
    );
    disk.configure(|config| config.segments.clear()).unwrap();
    let empty = ask(&mut disk, &options, sample);
    assert_eq!((empty.text("returncode"), empty.text("returnmsg")), ("1", "09D103:发票领购信息已用完"));
}

#[test]
fn an_invoice_is_issued_found_and_voided() {
    let mut disk = sim_disk();
    let options = SkServerOptions { terminal: Some("kp001".to_owned()), ..SkServerOptions::default() };
    let issued = ask(&mut disk, &options, &order("R1"));
    assert_eq!(
        (data(&issued, "fpdm"), data(&issued, "fphm"), data(&issued, "kprq")),
        ("1100000320", "00000088", "20260302101530")
    );
    assert!(data(&issued, "ewm").starts_with("01,007,1100000320,00000088,200.00,20260302,"));
    let entry = &disk.ledger().entries()[0];
    assert_eq!((&*entry.details.request_id, &*entry.details.reviewer, &*entry.lines[0].unit), ("R1", "李四", "包"));
    let query = document("10010", &format!("{WHO}<cxfs>0</cxfs><cxtj>11000003200000008800000088</cxtj>"));
    let found = ask(&mut disk, &options, &query);
    let group = found.child("returndata").unwrap().child("kpxx").unwrap().children[0].clone();
    assert_eq!((group.text("fpqqlsh"), group.text("fpzt"), group.text("jshj")), ("R1", "0", "226.00"));
    let void = document(
        "10009",
        &format!("{WHO}<zflx>1</zflx><fpdm>1100000320</fpdm><fphm>00000088</fphm><hjje>200.00</hjje><zfr>李四</zfr>"),
    );
    assert_eq!(data(&ask(&mut disk, &options, &void), "fphm"), "00000088");
    let found = ask(&mut disk, &options, &query);
    assert_eq!(found.child("returndata").unwrap().child("kpxx").unwrap().children[0].text("fpzt"), "3");
    let blank = document("10009", &format!("{WHO}<zflx>0</zflx><zfr>李四</zfr>"));
    assert_eq!(data(&ask(&mut disk, &options, &blank), "fphm"), "00000089");
    let stock = ask(&mut disk, &options, &document("10005", WHO));
    assert_eq!((data(&stock, "dqfphm"), data(&stock, "zsyfs")), ("00000090", "111"));
    assert_eq!(stock.child("returndata").unwrap().child("lgxx").unwrap().children[0].text("syfs"), "11");
    let limits = ask(&mut disk, &options, &document("10002", WHO));
    assert_eq!((data(&limits, "kpjzsj"), data(&limits, "zxbsrq")), ("20260331", "20260215"));
    let other = ask(&mut disk, &options, &document("10004", &WHO.replace("kp001", "kp002")));
    assert_eq!(other.text("returnmsg"), "09C000:税控设备未打开");
    assert_eq!(ask(&mut disk, &options, &document("10006", WHO)).text("returnmsg"), "092000:非法命令");
}

#[test]
fn a_repeated_request_does_what_the_product_does() {
    let mut disk = sim_disk();
    let repeated = |repeated| SkServerOptions { repeated, ..SkServerOptions::default() };
    assert_eq!(data(&ask(&mut disk, &repeated(Repeated::default()), &order("R1")), "fphm"), "00000088");
    // The default is the dangerous one: a second invoice for one sale.
    assert_eq!(data(&ask(&mut disk, &repeated(Repeated::default()), &order("R1")), "fphm"), "00000089");
    assert_eq!(ask(&mut disk, &repeated(Repeated::RefusesDuplicate), &order("R1")).text("returncode"), "-10324");
    assert_eq!(ask(&mut disk, &repeated(Repeated::InProgress), &order("R1")).text("returncode"), "-10326");
    assert_eq!(disk.ledger().entries().len(), 2);
    assert_eq!(data(&ask(&mut disk, &repeated(Repeated::RefusesDuplicate), &order("R2")), "fphm"), "00000090");
    let stranger = order("R3").replacen("<xhdwsbh>9", "<xhdwsbh>8", 1);
    assert_eq!(ask(&mut disk, &repeated(Repeated::default()), &stranger).text("returnmsg"), "092400:纳税人识别号错误!");
    assert_eq!(ask(&mut disk, &repeated(Repeated::default()), &order("")).text("returnmsg"), "092400:发票请求流水号为空");
}

#[test]
fn cxfs_1_is_a_period_or_a_request_and_never_both() {
    let mut disk = sim_disk();
    let means = |cxfs_one| SkServerOptions { cxfs_one, ..SkServerOptions::default() };
    ask(&mut disk, &means(CxfsOne::Dates), &order("R1"));
    let query = |cxtj: &str| document("10010", &format!("{WHO}<cxfs>1</cxfs><cxtj>{cxtj}</cxtj>"));
    let mut count = |options: &SkServerOptions, cxtj: &str| {
        let found = ask(&mut disk, options, &query(cxtj));
        found.child("returndata").map(|data| data.child("kpxx").unwrap().children.len()).ok_or(found.text("returnmsg").to_owned())
    };
    let nothing = Err("09D106:没有检索到数据".to_owned());
    assert_eq!(count(&means(CxfsOne::Dates), "2026030120260302"), Ok(1));
    // B.4: an invoice that exists is "not found" by its request, because the product reads dates.
    assert_eq!(count(&means(CxfsOne::Dates), "R1"), nothing);
    assert_eq!(count(&means(CxfsOne::Request), "R1"), Ok(1));
    assert_eq!(count(&means(CxfsOne::Request), "2026030120260302"), nothing);
    assert_eq!(count(&means(CxfsOne::Request), ""), nothing);
    let zero = SkServerOptions { empty_is_count_zero: true, ..means(CxfsOne::Request) };
    assert_eq!(count(&zero, "R2"), Ok(0));
}

#[test]
fn the_key_is_asked_by_its_password() {
    let mut disk = sim_disk();
    let options = SkServerOptions::default();
    let key = |id: &str, password: &str| document(id, &format!("<keypwd>{password}</keypwd>"));
    assert_eq!(data(&ask(&mut disk, &options, &key("20002", "12345678")), "keyno"), "661500000001");
    assert_eq!(ask(&mut disk, &options, &key("20001", "12345678")).text("returncode"), "0");
    assert_eq!(ask(&mut disk, &options, &key("20001", "1")).text("returnmsg"), "0963C4:数字证书密码错误");
}

#[test]
fn answers_are_written_as_they_declare() {
    let mut disk = sim_disk();
    let options = SkServerOptions { encoding: Encoding::Utf8, ..SkServerOptions::default() };
    let told = String::from_utf8(answer(&mut disk, &to_gbk(&document("10004", WHO)), &options)).unwrap();
    assert!(told.starts_with(r#"<?xml version="1.0" encoding="utf-8"?>"#) && told.contains("成功"));
    let utf8 = format!(r#"<?xml version="1.0" encoding="UTF-8"?>{}"#, order("R1"));
    assert_eq!(data(&body(&answer(&mut disk, utf8.as_bytes(), &options)), "fphm"), "00000088");
    assert_eq!(disk.ledger().entries()[0].buyer_name, "个人");
    assert!(is_changing(utf8.as_bytes()) && is_changing(&to_gbk(&document("10009", ""))));
    assert!(!is_changing(&to_gbk(&document("10010", ""))) && !is_changing(b"<"));
    assert_eq!(business_id(utf8.as_bytes()).as_deref(), Some("10008"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_issue(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut disk = sim_disk();
        let answer = answer(&mut disk, &bytes, &SkServerOptions::default());
        prop_assert!(Element::parse(&answer).is_ok());
        is_changing(&bytes);
        prop_assert_eq!(disk.ledger().signatures(), 0);
    }

    #[test]
    fn a_spoilt_document_never_panics_and_issues_once_at_most(at in 0_usize..2_000, byte: u8, cut in 0_usize..2_500) {
        let mut document = to_gbk(&order("R1"));
        document.truncate(cut);
        if let Some(spoilt) = document.get_mut(at) {
            *spoilt = byte;
        }
        let mut disk = sim_disk();
        let answer = answer(&mut disk, &document, &SkServerOptions::default());
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let good = answer.contains("<returncode>0</returncode>");
        prop_assert_eq!(good, disk.ledger().signatures() == 1, "{}", answer);
    }
}

//! The component against the samples of the facts, the disk's rules on full invoices, and hostile documents.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use taxdisk_protocol::kind::InvoiceKind;

use super::*;
use crate::sim::clock::real_time;
use crate::sim::config::SimConfig;
use crate::sim::details::LineNature;
use crate::sim::ledger::EntryStatus;

/// The sample of device-xml-and-usb.md, A.4.
const FPKJ: &str = concat!(
    r#"<business comment="发票开具" id="FPKJ"><body yylxdm="1"><input><skpbh>661500000001</skpbh><skpkl>88888888</skpkl>"#,
    "<keypwd>12345678</keypwd><fplxdm>007</fplxdm><kplx>0</kplx><tspz>00</tspz><xhdwsbh>91110000MA00000019</xhdwsbh>",
    "<xhdwmc>示例商贸有限公司</xhdwmc><xhdwdzdh>示例路1号 010-00000000</xhdwdzdh><xhdwyhzh>示例银行 0001</xhdwyhzh>",
    "<ghdwsbh></ghdwsbh><ghdwmc>个人</ghdwmc><ghdwdzdh/><ghdwyhzh/><bmbbbh>13.0</bmbbbh><hsslbs>0</hsslbs>",
    r#"<fyxm count="1"><group xh="1"><fphxz>0</fphxz><spmc>*纸制品*打印纸</spmc><spsm/><ggxh>A4</ggxh><dw>包</dw>"#,
    "<spsl>2</spsl><dj>100</dj><je>200.00</je><kcje/><sl>0.13</sl><se>26.00</se><hsbz>0</hsbz>",
    "<spbm>1060105000000000000</spbm><zxbm/><yhzcbs>0</yhzcbs><slbs/><zzstsgl/></group></fyxm><zhsl/><hjje>200.00</hjje>",
    "<hjse>26.00</hjse><jshj>226.00</jshj><bz/><skr>张三</skr><fhr>李四</fhr><kpr>王五</kpr><jmbbh/><zyspmc/><spsm/>",
    "<qdbz>0</qdbz><ssyf/><kpjh>0</kpjh><tzdbh/><yfpdm/><yfphm/><qmcs>0000004282000000</qmcs></input></body></business>",
);

pub(in crate::sim) fn fpkj_sample() -> &'static str {
    FPKJ
}

const DISK4: &str = concat!(
    "<nsrsbh>91110000MA00000019</nsrsbh><skpbh>661500000001</skpbh><skpkl>88888888</skpkl>",
    "<keypwd>12345678</keypwd>",
);

pub(in crate::sim) fn disk() -> SimDisk {
    SimDisk::in_memory(SimConfig::of_a_component(), real_time())
}

pub(in crate::sim) fn gbk(text: &str) -> Vec<u8> {
    [br#"<?xml version="1.0" encoding="gbk"?>"#.as_slice(), &Encoding::Gbk.encode(text)].concat()
}

fn ask(disk: &mut SimDisk, document: &str) -> Element {
    let answer = answer(disk, &gbk(document), false);
    Element::parse(&answer).unwrap().child("body").unwrap().child("output").unwrap().clone()
}

fn command(id: &str, fields: &str) -> String {
    format!(r#"<business comment="" id="{id}"><body yylxdm="1"><input>{DISK4}{fields}</input></body></business>"#)
}

fn code(output: &Element) -> &str {
    output.text("returncode")
}

/// The sample with some texts exchanged.
fn fpkj(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(FPKJ.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    })
}

const LINES: (&str, &str) = (r#"<fyxm count="1">"#, "</fyxm>");

/// The sample with other lines and totals.
fn with_lines(lines: &[String], net: &str, tax: &str, gross: &str) -> String {
    let (head, rest) = FPKJ.split_once(LINES.0).unwrap();
    let (_, tail) = rest.split_once(LINES.1).unwrap();
    let sums = |net: &str, tax: &str, gross: &str| format!("<hjje>{net}</hjje><hjse>{tax}</hjse><jshj>{gross}</jshj>");
    let tail = tail.replacen(&sums("200.00", "26.00", "226.00"), &sums(net, tax, gross), 1);
    format!("{head}<fyxm count=\"{}\">{}</fyxm>{tail}", lines.len(), lines.concat())
}

fn line(nature: u8, quantity: &str, price: &str, net: &str, tax: &str) -> String {
    format!(
        "<group><fphxz>{nature}</fphxz><spmc>纸</spmc><spsl>{quantity}</spsl><dj>{price}</dj><je>{net}</je><sl>0.13</sl>\
         <se>{tax}</se><hsbz>0</hsbz><spbm>1060105000000000000</spbm></group>"
    )
}

#[test]
fn the_sample_is_issued_and_answered_as_in_the_facts() {
    let mut disk = disk();
    let answer = answer(&mut disk, &gbk(FPKJ), false);
    let text = encoding_rs::GBK.decode_without_bom_handling(&answer).0.into_owned();
    let jym = check_code(&disk.ledger().entries()[0]);
    assert_eq!((jym.len(), jym.bytes().all(|byte| byte.is_ascii_digit())), (20, true));
    assert_eq!(
        text,
        format!(
            "<?xml version=\"1.0\" encoding=\"gbk\"?><business comment=\"发票开具\" id=\"FPKJ\"><body yylxdm=\"1\"><output>\
             <fplxdm>007</fplxdm><fpdm>1100000320</fpdm><fphm>00000088</fphm><kprq>20260302101530</kprq>\
             <hjje>200.00</hjje><skm>01234567890123456789</skm><jym>{jym}</jym><returncode>0</returncode>\
             <returnmsg>成功</returnmsg></output></body></business>"
        )
    );
    let entry = &disk.ledger().entries()[0];
    let (line, details) = (&entry.lines[0], &entry.details);
    assert_eq!((&*entry.buyer_number, &*entry.buyer_name, &*entry.clerk), ("", "个人", "王五"));
    assert_eq!((&*line.specification, &*line.unit, &*line.goods_code), ("A4", "包", "1060105000000000000"));
    assert_eq!((&*line.quantity, &*line.price, line.nature), ("2", "100", LineNature::Normal));
    assert_eq!((&*details.payee, &*details.reviewer, &*details.code_table), ("张三", "李四", "13.0"));
    assert_eq!((&*details.seller_address, &*details.seller_bank), ("示例路1号 010-00000000", "示例银行 0001"));

    // The disk cannot tell a repeat: the same bytes are a second invoice.
    assert_eq!(ask(&mut disk, FPKJ).text("fphm"), "00000089");
}

#[test]
fn a_query_gives_everything_back_by_number_and_by_days() {
    let mut disk = disk();
    ask(&mut disk, FPKJ);
    let by = |cxfs: u8, cxtj: &str, cxlx: u8| {
        command("FPCX", &format!("<fplxdm>007</fplxdm><cxfs>{cxfs}</cxfs><cxtj>{cxtj}</cxtj><cxlx>{cxlx}</cxlx>"))
    };
    let found = ask(&mut disk, &by(0, "11000003200000008800000088", 0));
    assert_eq!((code(&found), found.child("fpxx").unwrap().attribute("count")), ("0", "1"));
    let group = &found.child("fpxx").unwrap().children[0];
    for (name, value) in [
        ("fpdm", "1100000320"),
        ("fphm", "00000088"),
        ("fpzt", "0"),
        ("scbz", "0"),
        ("kprq", "20260302"),
        ("kpsj", "101530"),
        ("tspz", "00"),
        ("skpbh", "661500000001"),
        ("xhdwsbh", "91110000MA00000019"),
        ("ghdwmc", "个人"),
        ("hjje", "200.00"),
        ("hjse", "26.00"),
        ("jshj", "226.00"),
        ("skr", "张三"),
        ("fhr", "李四"),
        ("kpr", "王五"),
        ("qdbz", "0"),
        ("qmcs", "0000004282000000"),
        ("ykfsje", "0.00"),
        ("yfpdm", ""),
        ("zfrq", ""),
    ] {
        assert_eq!(group.text(name), value, "{name}");
    }
    let line = &group.child("fyxm").unwrap().children[0];
    for (name, value) in
        [("fphxz", "0"), ("spmc", "*纸制品*打印纸"), ("ggxh", "A4"), ("dw", "包"), ("spsl", "2"), ("je", "200.00")]
    {
        assert_eq!(line.text(name), value, "{name}");
    }
    assert_eq!(ask(&mut disk, &by(1, "2026030120260302", 1)).child("fpxx").unwrap().children.len(), 1);
    assert_eq!(code(&ask(&mut disk, &by(1, "2026030320260331", 0))), "09d106");
    assert_eq!(code(&ask(&mut disk, &by(0, "11000003200000008900000089", 0))), "09d106");
    // A serial number is no period: refused, never "nothing found".
    assert_eq!(code(&ask(&mut disk, &by(1, "ABCDEFGH12345678", 0))), "092403");
    disk.configure(|config| config.online = true).unwrap();
    let uploaded = ask(&mut disk, &by(0, "11000003200000008800000088", 0));
    assert_eq!(uploaded.child("fpxx").unwrap().children[0].text("scbz"), "1");
    assert_eq!(code(&ask(&mut disk, &by(0, "11000003200000008800000088", 1))), "09d106");
    let count_zero = NisecOptions { empty_is_count_zero: true, ..NisecOptions::default() };
    let empty = answer_with(&mut disk, &gbk(&by(0, "11000003200000008900000089", 0)), &count_zero);
    let empty = String::from_utf8_lossy(&empty).into_owned();
    assert!(empty.contains(r#"<fpxx count="0"></fpxx><returncode>0</returncode>"#), "{empty}");
}

#[test]
fn the_disk_tells_of_itself_with_eight_zeros() {
    let mut disk = disk();
    let information = ask(&mut disk, &command("SKPXXCX", ""));
    assert_eq!((code(&information), information.text("fplxdm")), ("00000000", "004007025026"));
    assert_eq!((information.text("dqsz"), information.text("nsrmc")), ("20260302101530", "示例商贸有限公司"));
    let stock = ask(&mut disk, &command("GPXXCX", "<fplxdm>007</fplxdm>"));
    assert_eq!((stock.text("dqfpdm"), stock.text("dqfphm"), stock.text("zsyfs")), ("1100000320", "00000088", "113"));
    let segments = &stock.child("fpdxx").unwrap().children;
    assert_eq!((segments.len(), segments[1].text("qshm"), segments[1].text("syfs")), (2, "00002001", "100"));
    let limits = ask(&mut disk, &command("JKSJCX", "<fplxdm>026</fplxdm>"));
    assert_eq!((limits.text("kpjzsj"), limits.text("dzkpxe"), limits.text("lxkpzs")), ("20260331", "9999.99", ""));
    let rates = ask(&mut disk, &command("SZSMCX", "<fplxdm>026</fplxdm>"));
    assert_eq!(rates.child("szsmxx").unwrap().children[0].text("sl"), "0.13");
    assert_eq!(code(&ask(&mut disk, &command("GPXXCX", "<fplxdm>028</fplxdm>"))), "09d110");
    assert_eq!(code(&ask(&mut disk, &command("FPDY", "<fplxdm>007</fplxdm>"))), "092000");
    assert_eq!(disk.ledger().signatures(), 0);
}

#[test]
fn an_expected_pair_is_the_disks_own_compare_and_swap() {
    let mut disk = disk();
    let expecting = |code: &str, number: &str| {
        let pair = format!("</qmcs><dqfpdm>{code}</dqfpdm><dqfphm>{number}</dqfphm>");
        gbk(&fpkj(&[("</qmcs>", &pair)]))
    };
    let output = |answer: &[u8]| Element::parse(answer).unwrap().child("body").unwrap().child("output").unwrap().clone();
    assert_eq!(code(&output(&answer(&mut disk, &gbk(FPKJ), true))), "092400");
    assert_eq!(code(&output(&answer(&mut disk, &expecting("1100000320", "00000087"), true))), "10315");
    assert_eq!(code(&output(&answer(&mut disk, &expecting("1100000321", "00000088"), false))), "10315");
    assert!(disk.ledger().entries().is_empty());
    let wanted = expecting("1100000320", "00000088");
    assert_eq!(output(&answer(&mut disk, &wanted, true)).text("fphm"), "00000088");
    assert_eq!(code(&output(&answer(&mut disk, &wanted, true))), "10315", "the same document again issues nothing");
    assert_eq!(disk.ledger().entries().len(), 1);
}

#[test]
fn segments_end_and_the_pair_jumps() {
    let mut disk = disk();
    let electronic = fpkj(&[("<fplxdm>007", "<fplxdm>026")]);
    let numbers: Vec<_> = (0..11).map(|_| ask(&mut disk, &electronic)).map(|found| found.text("fphm").to_owned()).collect();
    assert_eq!((&*numbers[9], &*numbers[10]), ("00000010", "00000301"));
    disk.configure(|config| config.segments.truncate(6)).unwrap();
    assert_eq!(code(&ask(&mut disk, &electronic)), "09d103");
    assert_eq!(code(&ask(&mut disk, &command("GPXXCX", "<fplxdm>026</fplxdm>"))), "09d103");
}

#[test]
fn discount_lines_stand_under_their_line_or_nothing_is_issued() {
    let mut disk = disk();
    let item = || line(2, "10", "100", "1000.00", "130.00");
    let discount = |net: &str, tax: &str| line(1, "", "", net, tax);
    let good = with_lines(&[item(), discount("-100.00", "-13.00")], "900.00", "117.00", "1017.00");
    assert_eq!(code(&ask(&mut disk, &good)), "0");
    let lines = &disk.ledger().entries()[0].lines;
    assert_eq!((lines[0].nature, lines[1].nature), (LineNature::Discounted, LineNature::Discount));
    let signed = disk.ledger().signatures();
    let half = || discount("-100.00", "-13.00");
    for (what, document) in [
        ("first", with_lines(&[half(), line(0, "10", "100", "1000.00", "130.00")], "900.00", "117.00", "1017.00")),
        ("two", with_lines(&[item(), half(), half()], "800.00", "104.00", "904.00")),
        ("last", with_lines(&[item()], "1000.00", "130.00", "1130.00")),
        ("positive", with_lines(&[item(), discount("100.00", "13.00")], "1100.00", "143.00", "1243.00")),
        ("priced", with_lines(&[item(), line(1, "1", "-100", "-100.00", "-13.00")], "900.00", "117.00", "1017.00")),
        ("other name", with_lines(&[item(), half().replace("纸", "笔")], "900.00", "117.00", "1017.00")),
        (
            "large",
            with_lines(&[item(), discount("-1000.01", "-130.00"), line(0, "1", "1", "1.00", "0.13")], "0.99", "0.13", "1.12"),
        ),
    ] {
        let refused = ask(&mut disk, &document);
        assert_eq!(code(&refused), "092400", "{what}: {refused:?}");
    }
    assert_eq!(disk.ledger().signatures(), signed);
}

#[test]
fn sums_limits_kinds_and_characters_are_checked() {
    let mut disk = disk();
    for (changes, expected) in [
        (vec![("<hjje>200.00", "<hjje>200.01")], "092400"),
        (vec![("<se>26.00", "<se>26.70"), ("<hjse>26.00", "<hjse>26.70"), ("<jshj>226.00", "<jshj>226.70")], "092400"),
        (vec![("<sl>0.13", "<sl>0.17")], "092400"),
        (vec![("<dj>100", "<dj>")], "092400"),
        (vec![("个人", "&#x1F600;")], "092400"),
        (vec![("<kplx>0", "<kplx>2")], "092400"),
        (vec![("<je>200.00", "<je>2e2")], "092400"),
        (vec![("包", "包包包包包包包包包包包包")], "092100"),
        (vec![("<fplxdm>007", "<fplxdm>028")], "09d110"),
        (vec![("<fplxdm>007", "<fplxdm>004")], "092400"),
        (vec![("<skpbh>661500000001", "<skpbh>661500000002")], "09c000"),
        (vec![("<xhdwsbh>91110000MA00000019", "<xhdwsbh>91110000MA00000018")], "092400"),
    ] {
        let refused = ask(&mut disk, &fpkj(&changes));
        assert_eq!(code(&refused), expected, "{changes:?} {refused:?}");
    }
    let special = [
        ("<fplxdm>007", "<fplxdm>004"),
        ("<ghdwsbh>", "<ghdwsbh>91110000MA00000027"),
        ("<ghdwdzdh/>", "<ghdwdzdh>路2号</ghdwdzdh>"),
        ("<ghdwyhzh/>", "<ghdwyhzh>银行 2</ghdwyhzh>"),
    ];
    let issued = ask(&mut disk, &fpkj(&special));
    assert_eq!((code(&issued), issued.text("fpdm"), issued.text("jym")), ("0", "1100000140", ""));
    // The component's limit is without tax: 226.00 with tax passes a limit of 200.00.
    disk.configure(|config| config.limits.invoice = Some("200.00".parse().unwrap())).unwrap();
    assert_eq!(code(&ask(&mut disk, FPKJ)), "0");
    disk.configure(|config| config.limits.invoice = Some("199.99".parse().unwrap())).unwrap();
    assert_eq!(code(&ask(&mut disk, FPKJ)), "092400");
    disk.configure(|config| config.limits.invoice = None).unwrap();
    let nine = vec![line(0, "1", "1", "1.00", "0.13"); 9];
    let many = with_lines(&nine, "9.00", "1.17", "10.17");
    assert_eq!(code(&ask(&mut disk, &many)), "092100");
    let listed = many.replace("<qdbz>0", "<qdbz>1");
    assert_eq!(code(&ask(&mut disk, &listed)), "0");
    disk.configure(|config| config.limits.offline_count = Some(3)).unwrap();
    assert_eq!(code(&ask(&mut disk, FPKJ)), "09d120");
    disk.configure(|config| config.limits.deadline = Some("20260301".to_owned())).unwrap();
    assert_eq!(code(&ask(&mut disk, FPKJ)), "09d109");
    assert_eq!(disk.ledger().entries().len(), 3);
}

#[test]
fn amounts_with_tax_are_rewritten_without() {
    let mut disk = disk();
    let inclusive = fpkj(&[("<je>200.00", "<je>226.00"), ("<dj>100", "<dj>113"), ("<hsbz>0", "<hsbz>1")]);
    assert_eq!(code(&ask(&mut disk, &inclusive)), "0");
    let line = &disk.ledger().entries()[0].lines[0];
    assert_eq!((line.net.to_string(), &*line.price, &*line.gross_price), ("200.00".to_owned(), "100.00", "113"));
}

#[test]
fn a_red_is_negative_names_its_original_and_takes_back_no_more_than_is_left() {
    let mut disk = disk();
    ask(&mut disk, FPKJ);
    let red = |net: &str, tax: &str, gross: &str, number: &str| {
        let lines = [line(0, "-1", "100", net, tax)];
        let original = format!("<yfpdm>1100000320</yfpdm><yfphm>{number}</yfphm>");
        with_lines(&lines, net, tax, gross).replacen("<kplx>0", "<kplx>1", 1).replacen("<yfpdm/><yfphm/>", &original, 1)
    };
    assert_eq!(code(&ask(&mut disk, &red("100.00", "13.00", "113.00", "00000088"))), "092400", "not negative");
    assert_eq!(code(&ask(&mut disk, &red("-100.00", "-13.00", "-113.00", "00000099"))), "092400", "no such original");
    assert_eq!(code(&ask(&mut disk, &red("-300.00", "-39.00", "-339.00", "00000088"))), "092400", "too much");
    assert_eq!(code(&ask(&mut disk, &red("-100.00", "-13.00", "-113.00", "00000088"))), "0");
    assert_eq!(code(&ask(&mut disk, &red("-200.00", "-26.00", "-226.00", "00000088"))), "092400", "only half is left");
    assert_eq!(code(&ask(&mut disk, &red("-100.00", "-13.00", "-113.00", "00000088"))), "0");
    assert_eq!(code(&ask(&mut disk, &red("-0.10", "-0.01", "-0.11", "00000088"))), "092400", "nothing is left");
    assert_eq!(code(&ask(&mut disk, &red("-100.00", "-13.00", "-113.00", "00000089"))), "092400", "red of a red");
    let entry = &disk.ledger().entries()[1];
    assert_eq!((entry.status, entry.original.unwrap().to_string()), (EntryStatus::Negative, "1100000320 00000088".to_owned()));
    let query = "<fplxdm>007</fplxdm><cxfs>0</cxfs><cxtj>11000003200000008800000089</cxtj><cxlx>0</cxlx>";
    let found = ask(&mut disk, &command("FPCX", query));
    let groups = &found.child("fpxx").unwrap().children;
    assert_eq!((groups[0].text("ykfsje"), groups[1].text("fpzt"), groups[1].text("yfphm")), ("226.00", "1", "00000088"));
    assert_eq!(groups[1].text("jshj"), "-113.00");
}

#[test]
fn a_red_special_invoice_needs_its_notice() {
    let mut disk = disk();
    disk.configure(|config| config.component.special_needs_buyer = false).unwrap();
    ask(&mut disk, &fpkj(&[("<fplxdm>007", "<fplxdm>004")]));
    let lines = [line(0, "-2", "100", "-200.00", "-26.00")];
    let red = with_lines(&lines, "-200.00", "-26.00", "-226.00").replacen("<kplx>0", "<kplx>1", 1);
    let red = red.replacen("<fplxdm>007", "<fplxdm>004", 1);
    let red = red.replacen("<yfpdm/><yfphm/>", "<yfpdm>1100000140</yfpdm><yfphm>00000011</yfphm>", 1);
    assert_eq!(code(&ask(&mut disk, &red)), "092400");
    assert_eq!(code(&ask(&mut disk, &red.replacen("<tzdbh/>", "<tzdbh>1101060000000001</tzdbh>", 1))), "0");
    assert_eq!(disk.ledger().entries()[1].details.notice, "1101060000000001");
}

#[test]
fn voids_follow_the_disks_rules() {
    let mut disk = disk();
    let void = |kind: &str, what: u8, code: &str, number: &str, net: &str| {
        command(
            "FPZF",
            &format!(
                "<fplxdm>{kind}</fplxdm><zflx>{what}</zflx><fpdm>{code}</fpdm><fphm>{number}</fphm><hjje>{net}</hjje><zfr>李四</zfr><qmcs/>"
            ),
        )
    };
    ask(&mut disk, FPKJ);
    ask(&mut disk, &fpkj(&[("<fplxdm>007", "<fplxdm>026")]));
    assert_eq!(code(&ask(&mut disk, &void("007", 1, "1100000320", "00000088", "200.01"))), "092400");
    let done = ask(&mut disk, &void("007", 1, "1100000320", "00000088", "200.00"));
    assert_eq!((code(&done), done.text("fphm"), done.text("zfrq")), ("0", "00000088", "20260302101530"));
    assert_eq!(code(&ask(&mut disk, &void("007", 1, "1100000320", "00000088", "200.00"))), "092400", "void already");
    assert_eq!(code(&ask(&mut disk, &void("007", 1, "1100000320", "00000099", "200.00"))), "09d106");
    assert_eq!(code(&ask(&mut disk, &void("026", 1, "011002000111", "00000001", "200.00"))), "092000", "electronic");
    assert_eq!(code(&ask(&mut disk, &void("026", 0, "", "", ""))), "092000", "electronic blank");
    // A blank void burns the current number, whatever it names.
    let blank = ask(&mut disk, &void("007", 0, "1100000320", "00000095", ""));
    assert_eq!((code(&blank), blank.text("fphm")), ("0", "00000089"));
    ask(&mut disk, FPKJ);
    disk.configure(|config| config.state.reported_at = Some("20260302101530".parse().unwrap())).unwrap();
    assert_eq!(code(&ask(&mut disk, &void("007", 1, "1100000320", "00000090", "200.00"))), "09d11c");
    let states: Vec<_> = disk
        .ledger()
        .entries()
        .iter()
        .filter(|entry| entry.kind == InvoiceKind::PaperOrdinary)
        .map(|entry| entry.status)
        .collect();
    assert_eq!(states, [EntryStatus::PositiveVoid, EntryStatus::BlankVoid, EntryStatus::Positive]);
}

#[test]
fn a_wrong_password_costs_a_try_and_says_how_many_are_left() {
    let mut disk = disk();
    let wrong = fpkj(&[("<keypwd>12345678", "<keypwd>1")]);
    assert_eq!(code(&ask(&mut disk, &wrong)), "0963c4");
    assert_eq!(code(&ask(&mut disk, &fpkj(&[("<skpkl>88888888", "<skpkl>1")]))), "0963c4");
    for left in ["0963c3", "0963c2", "0963c1", "0963c0", "0963c0"] {
        assert_eq!(code(&ask(&mut disk, &wrong)), left);
    }
    assert_eq!(code(&ask(&mut disk, FPKJ)), "0963c0", "locked, though the password is right now");
    assert!(disk.ledger().entries().is_empty());
}

#[test]
fn codes_stand_where_the_product_puts_them() {
    let mut disk = disk();
    disk.configure(|config| config.segments.clear()).unwrap();
    let mut words = |code_in| {
        let options = NisecOptions { code_in, zeros: Some(8), ..NisecOptions::default() };
        let answer = answer_with(&mut disk, &gbk(FPKJ), &options);
        let output = Element::parse(&answer).unwrap().child("body").unwrap().child("output").unwrap().clone();
        (output.text("returncode").to_owned(), output.text("returnmsg").to_owned())
    };
    let said = |code: &str, text: &str| (code.to_owned(), text.to_owned());
    assert_eq!(words(CodePlace::Returncode), said("09d103", "发票领购信息已用完"));
    assert_eq!(words(CodePlace::Message), said("1", "09D103:发票领购信息已用完"));
    assert_eq!(words(CodePlace::DiskErr), said("1", "发票领购信息已用完 DiskErr:09d103"));
}

#[test]
fn what_changes_is_told_from_what_reads() {
    assert!(is_changing(&gbk(FPKJ)) && is_changing(&gbk(&command("FPZF", ""))) && is_changing(&gbk(&command("NEW", ""))));
    assert!(!is_changing(&gbk(&command("FPCX", ""))) && !is_changing(&gbk(&command("GPXXCX", ""))));
    assert!(!is_changing(b"") && !is_changing(b"<business id=\"FPKJ\">"));
    assert_eq!(business_id(&gbk(FPKJ)).as_deref(), Some("FPKJ"));
    assert_eq!(order_of(&gbk(FPKJ), &disk()).unwrap().gross.to_string(), "226.00");
}

#[test]
fn what_was_signed_stands_in_the_ledger_when_the_answer_comes() {
    let folder = tempfile::tempdir().unwrap();
    let source = real_time();
    let mut disk = SimDisk::open(folder.path(), &SimConfig::of_a_component(), source.clone()).unwrap();
    answer(&mut disk, &gbk(FPKJ), false);
    // Read beside the running disk, and again after it went without a goodbye.
    let read = crate::sim::Ledger::read(folder.path()).unwrap();
    assert_eq!(read, disk.ledger().entries());
    assert_eq!(read[0].details.payee, "张三");
    drop(disk);
    let mut disk = SimDisk::open(folder.path(), &SimConfig::default(), source).unwrap();
    assert_eq!(ask(&mut disk, FPKJ).text("fphm"), "00000089");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_issue(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut disk = disk();
        let answer = answer(&mut disk, &bytes, false);
        prop_assert!(Element::parse(&answer).is_ok());
        is_changing(&bytes);
        prop_assert_eq!(disk.ledger().signatures(), 0);
    }

    #[test]
    fn a_spoilt_document_never_panics_and_issues_once_at_most(at in 0_usize..2_000, byte: u8, cut in 0_usize..2_500) {
        let mut document = gbk(FPKJ);
        document.truncate(cut);
        if let Some(spoilt) = document.get_mut(at) {
            *spoilt = byte;
        }
        let mut disk = disk();
        let answer = answer(&mut disk, &document, false);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let good = answer.contains("<returncode>0</returncode>");
        prop_assert_eq!(good, disk.ledger().signatures() == 1, "{}", answer);
    }
}

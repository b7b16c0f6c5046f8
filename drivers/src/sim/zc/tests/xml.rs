//! Type 0x20: documents in wide frames, both ways in several packets, and the length quirk; the commands around the device.

use proptest::prelude::*;

use super::*;
use crate::sim::faults::FaultKind;
use crate::sim::markup::Element;

const COMMON: &str = "<jqbh>JQ0000000001</jqbh><nsrsbh>91110000MA00000019</nsrsbh><sksbbh>499000123456</sksbbh>\
                      <sksbkl>88888888</sksbkl><fplxdm>025</fplxdm>";

fn document(id: &str, input: &str) -> Vec<u8> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"gbk\"?><business id=\"{id}\" comment=\"x\"><body><input>{input}</input>\
         </body></business>"
    );
    crate::sim::zc::fields::gbk(&text)
}

fn wide(cmd: u8, number: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(6 + data.len()).unwrap().to_be_bytes();
    sealed([&[0x1B, 0x20, cmd, number, length[0], length[1]], data].concat())
}

fn wide_host(letters: &[u8; 2], data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(5 + data.len()).unwrap().to_be_bytes();
    sealed([letters, [0, length[0], length[1]].as_slice(), data].concat())
}

/// Sends a document and takes its whole answer; gives `output` and how many packets it came in.
fn ask(bench: &mut Bench, cmd: u8, document: &[u8]) -> (Element, usize) {
    let (mut frame, mut data, mut packets) = (bench.send(&wide(cmd, 0, document)), Vec::new(), 1);
    let long = frame[2] != 0;
    loop {
        assert_eq!(&frame[..2], b"OK", "{frame:02X?}");
        data.extend_from_slice(&frame[5..frame.len() - 2]);
        if frame[2] == 0 {
            break;
        }
        frame = bench.send(&wide_host(b"NP", &[frame[2]]));
        packets += 1;
    }
    if long {
        assert_eq!(bench.send(&wide_host(b"OK", &[])), b"");
    }
    let root = Element::parse(&data).unwrap();
    (root.child("body").unwrap().child("output").unwrap().clone(), packets)
}

fn fpkj() -> Vec<u8> {
    let line = "<group xh=\"1\"><xm>打印纸</xm><dj>100.000</dj><sl>2.000</sl><je>200.00</je><zsl>0.13</zsl><se>26.00</se>\
                <hsdj>113.000</hsdj><hsje>226.00</hsje></group>";
    document(
        "FPKJ",
        &format!(
            "<jqbh>JQ0000000001</jqbh><zskl>12345678</zskl><xhdwdm>91110000MA00000019</xhdwdm><xhdwmc>示例商贸有限公司</xhdwmc>\
             <sksbbh>499000123456</sksbbh><sksbkl>88888888</sksbkl><fplxdm>025</fplxdm><kplx>0</kplx><hyfl/>\
             <ghdwdm>91310000MA00000027</ghdwdm><ghdwmc>测试买方有限公司</ghdwmc><sfxm count=\"1\">{line}</sfxm>\
             <hjje>200.00</hjje><hjse>26.00</hjse><jshj>226.00</jshj><bz>订单A1001</bz><skr>张三</skr><kpr>张三</kpr>\
             <yfpdm/><yfphm>00000000</yfphm>"
        ),
    )
}

fn fpcx(number: &str) -> Vec<u8> {
    let input = format!("{COMMON}<cxfs>0</cxfs><cxtj>011002000107{number}{number}</cxtj>");
    document("FPCX", &input)
}

#[test]
fn an_invoice_is_issued_queried_and_voided_by_documents() {
    let mut bench = Bench::new();
    let (issued, _) = ask(&mut bench, 0x0A, &fpkj());
    assert_eq!(
        ["fplxdm", "fpdm", "fphm", "kprq", "returncode"].map(|name| issued.text(name)),
        ["025", "011002000107", "00000088", "20260302101530", "0"]
    );
    let by_fields = {
        let mut other = Bench::new();
        let heard = other.command(&super::issue());
        other.whole_answer(heard);
        other.entries()[0].clone()
    };
    let entry = bench.entries()[0].clone();
    assert_eq!((&entry.lines, entry.gross, &entry.buyer_name), (&by_fields.lines, by_fields.gross, &by_fields.buyer_name));
    assert_eq!(entry.remark, "订单A1001");
    let (found, _) = ask(&mut bench, 0x0C, &fpcx("00000088"));
    let group = found.child("fpxx").unwrap().child("group").unwrap();
    assert_eq!(
        ["fphm", "fpzt", "ghdwmc", "jshj", "bz", "kpr"].map(|name| group.text(name)),
        ["00000088", "00", "测试买方有限公司", "226.00", "订单A1001", "张三"]
    );
    assert_eq!(group.child("sfxm").unwrap().child("group").unwrap().text("xm"), "打印纸");
    let (absent, _) = ask(&mut bench, 0x0C, &fpcx("00000089"));
    assert_eq!((absent.text("returncode"), absent.child("fpxx")), ("89", None));
    let void =
        format!("{COMMON}<zskl>12345678</zskl><zflx>1</zflx><fpdm>011002000107</fpdm><fphm>00000088</fphm><zfr>张三</zfr>");
    let (void, again) = {
        let first = ask(&mut bench, 0x0B, &document("FPZF", &void)).0;
        (first, ask(&mut bench, 0x0B, &document("FPZF", &void)).0)
    };
    assert_eq!((void.text("fphm"), void.text("returncode")), ("00000088", "0"));
    assert_eq!((again.text("returncode"), again.text("returnmsg")), ("-101", "废票不能再次作废!"));
}

#[test]
fn every_reading_document_answers_what_its_fields_say() {
    let mut bench = Bench::new();
    ask(&mut bench, 0x0A, &fpkj());
    for (cmd, id, more, name, value) in [
        (0x02, "SKSBBH", "", "sksbbh", "499000123456"),
        (0x04, "SKPXXCX", "", "nsrmc", "示例商贸有限公司"),
        (0x06, "JKSJCX", "", "lxzsljje", "500000.00"),
        (0x07, "SQSLCX", "", "fplxdm", "025"),
        (0x08, "GPXXCX", "", "dqfphm", "00000089"),
        (0x13, "TJXXCX", "<qsrq>20260301</qsrq><zzrq>20260331</zzrq>", "fplxdm", "025"),
        (0x1D, "FPBL", "<bsqsrq>20260301</bsqsrq><bsjzrq>20260331</bsjzrq>", "returncode", "0"),
        (0x30, "HQLXSJ", "", "wscfpljje", "226.00"),
        (0x31, "ERRUPINV", "", "returncode", "-101"),
        (0x11, "SJCB", "<jzlx>1</jzlx>", "returncode", "250"),
    ] {
        let (output, _) = ask(&mut bench, cmd, &document(id, &format!("{COMMON}{more}")));
        assert_eq!(output.text(name), value, "{id}: {output:?}");
    }
    let (rates, _) = ask(&mut bench, 0x07, &document("SQSLCX", COMMON));
    let rates = rates.child("sqslxx").unwrap();
    assert_eq!((rates.attribute("count"), rates.children[0].text("sl")), ("7", "0.13"));
    let (months, _) = ask(&mut bench, 0x13, &document("TJXXCX", &format!("{COMMON}<qsrq>20260301</qsrq><zzrq>20260331</zzrq>")));
    let month = &months.child("tjxx").unwrap().children[0];
    assert_eq!((month.text("zsfpfs"), month.text("zsfpje"), month.text("zsfpse")), ("1", "200.00", "26.00"));
}

#[test]
fn what_cannot_be_handled_issues_nothing() {
    let mut bench = Bench::new();
    let (output, _) = ask(&mut bench, 0x08, &document("FPKJ", COMMON));
    assert_eq!(output.text("returncode"), "3003", "a document of another cmd");
    let (output, _) = ask(&mut bench, 0x0A, b"<business id=\"FPKJ\"><body><input>");
    assert_eq!(output.text("returncode"), "3003");
    let long = fpkj();
    let long = String::from_utf8_lossy(&long).replace("<yfpdm/>", "<yfpdm>0123456789012</yfpdm>").into_bytes();
    let (output, _) = ask(&mut bench, 0x0A, &long);
    assert_eq!((output.text("returncode"), bench.entries().len()), ("3003", 0), "never cut");
    assert_eq!(bench.send(&wide(0x77, 0, b"")), wide_host(b"ER", &[0x20]));
}

#[test]
fn documents_come_and_go_in_several_packets() {
    let mut bench = Bench::with(SimConfig::of_the_vectors(), ZcOptions { small_packets: true, ..ZcOptions::default() });
    let order = fpkj();
    let (first, rest) = order.split_at(400);
    assert_eq!(bench.send(&wide(0x0A, 1, first)), wide_host(b"NP", &[1]));
    assert_eq!(bench.send(&wide(0x0A, 2, &rest[..200])), wide_host(b"NP", &[2]));
    assert!(bench.entries().is_empty());
    let mut frame = bench.send(&wide(0x0A, 0, &rest[200..]));
    assert_eq!((bench.entries().len(), frame.len(), frame[2]), (1, 90, 1));
    while frame[2] != 0 {
        assert!(frame.len() <= 90);
        frame = bench.send(&wide_host(b"NP", &[frame[2]]));
    }
    assert_eq!(bench.send(&wide_host(b"OK", &[])), b"");
    let (found, packets) = ask(&mut bench, 0x0C, &fpcx("00000088"));
    assert_eq!((found.text("returncode"), packets > 10), ("0", true));
}

#[test]
fn an_error_text_has_the_length_quirk_of_vector_22() {
    let mut bench = Bench::new();
    bench.fault(Fault::once(FaultKind::OutOfStock));
    assert_eq!(bench.send(&wide(0x08, 0, &document("GPXXCX", COMMON))), vector("22.1"));
}

#[test]
fn commands_around_the_device() {
    let common = data_of(&vectors(&["3.1"]));
    let mut bench = Bench::new();
    let mut ask = |cmd: u8, data: &[u8]| bench.send(&packet(cmd, 0, data));
    assert_eq!(ask(0x14, &common), vector("1.2"));
    assert_eq!(ask(0x14, &[common.as_slice(), b"0\0\0\0\0"].concat()), vector("1.2"));
    for cmd in [0x05, 0x0D, 0x0E, 0x0F, 0x10, 0x19, 0x1A] {
        let data = if cmd == 0x05 { b"88888888JQ0000000001".as_slice() } else { &common };
        assert_eq!(ask(cmd, data), error_text("JSK1000:未连接报税盘"), "{cmd:02X}");
    }
    assert_eq!(ask(0x1B, &common), error_text("JSK10000:未实现接口"));
    let mut network = vec![0_u8; 215];
    network[0] = b'0';
    for at in [1, 21, 41, 61, 81] {
        network[at..at + 8].copy_from_slice(b"10.0.0.1");
    }
    network[101..105].copy_from_slice(b"8001");
    assert_eq!(ask(0x17, &network), vector("1.2"));
    network[1] = b'x';
    assert_eq!(ask(0x17, &network), error_text("local_ip is unvalid"));
    let period = |from: &[u8], to: &[u8]| [&common[..43], from, to, b"JQ0000000001"].concat();
    assert_eq!(ask(0x1D, &period(b"20260301", b"20260302")), vector("1.2"));
    assert_eq!(ask(0x1D, &period(b"20260303", b"20260302")), error_text("JSK75:抄税起始时间大于截止时间"));

    let config = SimConfig { report_disk: Some("661500000001".to_owned()), ..SimConfig::of_the_vectors() };
    let mut bench = Bench::with(config, ZcOptions::default());
    let heard = bench.send(&packet(0x05, 0, b"88888888JQ0000000001"));
    let answer = bench.whole_answer(heard);
    assert_eq!((answer.len(), &answer[..32]), (267, b"66150000000191110000MA00000019\0\0".as_slice()));
    assert_eq!(bench.send(&packet(0x0D, 0, &common)), error_text("JSK10000:未实现接口"));
}

proptest! {
    #[test]
    fn damaged_documents_never_panic_or_issue_twice(
        cmd in prop::sample::select(vec![2_u8, 4, 6, 8, 0x0A, 0x0B, 0x0C, 0x13, 0x31]),
        at in 0_usize..1200,
        byte in any::<u8>(),
        cut in 0_usize..1200,
    ) {
        let mut bench = Bench::new();
        let mut data = fpkj();
        let at = at % data.len();
        data[at] = byte;
        data.truncate(cut.max(at));
        bench.send(&wide(cmd, 0, &data));
        prop_assert!(bench.entries().len() <= 1);
    }
}

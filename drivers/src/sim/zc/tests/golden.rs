//! Every vector of device-serial-zc.md, section 10, from the device's side, and the rules of sections 2 to 4.

use super::*;
use crate::sim::config::Segment;
use crate::sim::faults::{FaultKind, When};
use crate::sim::ledger::EntryStatus;

#[test]
fn handshake_number_stock_limits_speed_and_unknown() {
    let mut bench = Bench::new();
    for (request, answer) in [("1.1", "1.2"), ("2.1", "2.2"), ("3.1", "3.2"), ("15.1", "12.1"), ("19.1", "19.2")] {
        assert_eq!(bench.send(&vector(request)), vector(answer), "vector {request}");
    }
    assert_eq!(bench.send(&packet(0x02, 0, &[])), vector("2.2"), "some hosts send no data");
    assert_eq!(bench.send(&vector("17.1")), vector("1.2"));
    assert_eq!(bench.device.options.speed_baud, 57_600);
    assert_eq!(bench.send(&vector("16.1")), vector("16.2"));
    assert_eq!(bench.send(&vector("14.1")), vector("16.3"));
    assert_eq!(bench.send(&vector("1.2")), b"");
    bench.assert_alive();
}

#[test]
fn one_line_is_issued_queried_and_voided() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(&vector("4.1")), vector("14.1"));
    assert_eq!(bench.send(&vector("4.2")), vector("14.2"));
    assert!(bench.entries().is_empty(), "nothing is executed before the last packet");
    assert_eq!(bench.send(&vector("4.3")), vector("5.1"));
    assert_eq!(bench.entries().len(), 1);
    assert_eq!(bench.send(&vector("14.1")), vector("5.2"));
    assert_eq!(bench.send(&vector("14.2")), vector("5.3"));
    assert_eq!(bench.send(&vector("1.2")), b"");

    let mut heard = bench.send(&vector("7.1"));
    for (number, name) in (1..).zip(["8.1", "8.2", "8.3", "8.4", "8.5"]) {
        assert_eq!(heard, vector(name), "vector {name}");
        heard = if number < 5 { bench.send(&host_answer(b"NP", &[number])) } else { bench.send(&vector("1.2")) };
    }
    assert_eq!(heard, b"");

    bench.disk.configure(|config| config.clock = clock("20260302103000")).unwrap();
    assert_eq!(bench.send(&vector("9.1")), vector("10.1"));
    assert_eq!(bench.send(&vector("14.1")), vector("10.2"));
    assert_eq!(bench.send(&vector("14.2")), vector("10.3"));
    assert_eq!(bench.send(&vector("1.2")), b"");
    assert_eq!(bench.send(&vector("9.1")), error_text("废票不能再次作废!"));
    let heard = bench.send(&vector("7.1"));
    let found = bench.whole_answer(heard);
    assert_eq!(&found[20..22], b"03");
}

fn clock(at: &str) -> crate::sim::clock::ClockSetting {
    crate::sim::clock::ClockSetting::Fixed(at.parse().unwrap())
}

#[test]
fn two_lines_are_stored_as_they_were_sent() {
    let mut bench = Bench::new();
    let heard = bench.command(&vectors(&["6.1", "6.2", "6.3"]));
    let answer = bench.whole_answer(heard);
    assert_eq!(answer.len(), 569);
    let entry = &bench.entries()[0];
    assert_eq!(
        (entry.buyer_name.as_str(), entry.remark.as_str(), entry.clerk.as_str()),
        ("测试买方有限公司", "订单A1001", "张三")
    );
    let line = |index: usize| {
        let line = &entry.lines[index];
        format!("{} {} {} {} {} {}", line.name, line.price, line.quantity, line.net, line.rate, line.tax)
    };
    assert_eq!(line(0), "打印纸 100.000 2.000 200.00 0.13 26.00");
    assert_eq!(line(1), "技术服务费 471.698 1.000 471.70 0.06 28.30");
    assert_eq!(format!("{} {} {}", entry.net, entry.tax, entry.gross), "671.70 54.30 726.00");
    assert_eq!((entry.status, entry.original, entry.saved), (EntryStatus::Positive, None, true));
    let heard = bench.send(&vector("7.1"));
    let found = bench.whole_answer(heard);
    assert_eq!(found.len(), 988 + 2 * 98);
    let sent = data_of(&vectors(&["6.1", "6.2", "6.3"]));
    // Lines, totals, remark and clerk come back byte for byte.
    let (from, length) = (12 + 8 + 2 + 2 + 14 + 20 + 12 + 100 + 100, 4 + 2 * 98 + 36 + 80 + 20);
    assert_eq!(found[from..from + length], sent[232..232 + length]);
}

#[test]
fn no_stock_and_offline_data() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        let heard = bench.command(&issue());
        bench.whole_answer(heard);
    }
    assert_eq!(bench.send(&vector("18.1")), vector("18.2"));
    bench.disk.configure(|config| config.segments.clear()).unwrap();
    assert_eq!(bench.send(&vector("3.1")), vector("11.1"));
    assert_eq!(bench.command(&issue()), vector("11.1"));
    assert_eq!(error_text("JSK784:开票明细中发票代码或号码与票面不一致"), vector("20.1"));
}

#[test]
fn xml_frames_are_wide() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(&vector("23.1")), vector("23.2"));
    assert_eq!(bench.send(&sealed(vec![0x1B, 0x20, 0x01, 0, 0, 6])), vector("21.1"));
    let mut damaged = vector("23.1");
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(bench.send(&damaged), vector("21.4"));
    assert_eq!(bench.send(&sealed(vec![0x1B, 0x20, 0x08, 1, 0, 6])), vector("21.2"));
    bench.fault(Fault::once(FaultKind::WtStorm { count: 1, interval_ms: 0, when: When::Before }));
    bench.fault(Fault::once(FaultKind::OutOfStock));
    let heard = bench.send(&vector("23.1"));
    assert_eq!(heard, [vector("21.3"), vector("22.1")].concat(), "the text is one byte longer than its length field says");
}

#[test]
fn wt_and_sequence_errors() {
    let mut bench = Bench::new();
    bench.fault(Fault::once(FaultKind::WtStorm { count: 1, interval_ms: 0, when: When::Before }));
    assert_eq!(bench.send(&vector("1.1")), [vector("13.1"), vector("1.2")].concat());
    // A gap, another command, a start in the middle: ER 12, and all of it is forgotten.
    let issue = issue();
    for broken in [
        vec![issue[0].clone(), issue[2].clone(), issue[2].clone()].split_off(1),
        vec![packet(0x0A, 2, b"x")],
        vec![issue[0].clone(), packet(0x0A, 3, b"x")],
        vec![issue[0].clone(), issue[1].clone(), packet(0x0B, 0, b"x")],
        vec![issue[0].clone(), sealed(vec![0x1B, 0x20, 0x0A, 2, 0, 6])],
    ] {
        let mut bench = Bench::new();
        let (last, first) = broken.split_last().unwrap();
        first.iter().for_each(|packet| drop(bench.send(packet)));
        let heard = bench.send(last);
        assert_eq!(&heard[..3], b"ER\0", "{heard:02X?}");
        assert!(bench.entries().is_empty());
        bench.assert_alive();
    }
    // Packet 1 always starts afresh.
    let mut bench = Bench::new();
    bench.send(&issue[0]);
    bench.send(&issue[1]);
    let heard = bench.command(&issue);
    bench.whole_answer(heard);
    assert_eq!(bench.entries().len(), 1);
    assert_eq!(bench.send(&packet(0x0A, 2, b"x")), vector("12.2"));
}

#[test]
fn silence_ends_what_was_begun() {
    let mut bench = Bench::new();
    // Inside a frame.
    assert_eq!(bench.send(&vector("1.1")[..6]), b"");
    assert_eq!(bench.wait(2_999), b"");
    assert_eq!(bench.wait(2), host_answer(b"ER", &[0x30]));
    bench.assert_alive();
    // Between the packets of a command.
    bench.send(&issue()[0]);
    assert_eq!(bench.wait(2_999), b"");
    assert_eq!(bench.wait(2), host_answer(b"ER", &[0x30]));
    assert_eq!(bench.send(&issue()[1]), vector("12.2"));
    // Each byte starts the gap again.
    for byte in vector("1.1") {
        assert!(bench.device.wake_at().is_none_or(|at| at > bench.now));
        let heard = bench.send(&[byte]);
        if heard.is_empty() {
            bench.wait(2_900);
        } else {
            assert_eq!(heard, vector("1.2"));
        }
    }
    // While it waits for the host's NP: the answer is forgotten, the command stays executed.
    let heard = bench.command(&issue());
    assert_eq!(heard, vector("5.1"));
    assert_eq!(bench.wait(3_001), b"");
    bench.assert_alive();
    assert_eq!(bench.entries().len(), 1);
}

#[test]
fn a_wrong_acknowledgement_ends_the_answer() {
    for wrong in [host_answer(b"NP", &[2]), vec![0, 0, 0], vector("1.1")] {
        let mut bench = Bench::new();
        bench.command(&issue());
        assert_eq!(bench.send(&wrong), b"");
        bench.assert_alive();
        assert_eq!(bench.entries().len(), 1);
    }
    // In place of the final OK anything is taken, a command too.
    let mut bench = Bench::new();
    bench.command(&issue());
    bench.send(&vector("14.1"));
    assert_eq!(bench.send(&vector("14.2")), vector("5.3"));
    assert_eq!(bench.send(&vector("1.1")), b"", "taken for the final OK");
    bench.assert_alive();
}

#[test]
fn a_bluetooth_converter_sends_90_bytes_at_most() {
    let options = ZcOptions { small_packets: true, ..ZcOptions::default() };
    let mut bench = Bench::with(SimConfig::of_the_vectors(), options);
    let heard = bench.command(&issue());
    assert_eq!(heard.len(), 90);
    assert_eq!(bench.whole_answer(heard).len(), 569);
    let text = FaultKind::Refuse { jsk: None, text: Some("错".repeat(60)), when: When::Before };
    bench.fault(Fault::once(text));
    assert_eq!(bench.send(&vector("1.1")).len(), 90, "an error text is cut");
    let heard = bench.send(&vector("7.1"));
    assert_eq!(bench.whole_answer(heard).len(), 1086);
}

#[test]
fn answers_to_06_and_13_have_two_widths() {
    let month = [b"91110000MA00000019\x00\x00499000123456".as_slice(), b"88888888025", b"20260301", b"20260430", b"JQ0000000001"];
    for (wide, limits, per_month) in [(false, 356, 202), (true, 358, 210)] {
        let options = ZcOptions { wide_limits: wide, wide_statistics: wide, ..ZcOptions::default() };
        let mut bench = Bench::with(SimConfig::of_the_vectors(), options);
        let heard = bench.command(&issue());
        bench.whole_answer(heard);
        let heard = bench.send(&vector("16.1"));
        assert_eq!(bench.whole_answer(heard).len(), limits);
        let heard = bench.send(&packet(0x13, 0, &month.concat()));
        let answer = bench.whole_answer(heard);
        assert_eq!(answer.len(), 6 + 2 * per_month);
        assert_eq!(&answer[..22], b"025\x00\x00\x002026030120260331");
        // 913 at first, one issued, 912 left; the positive sum.
        assert_eq!(&answer[22..32], b"913\0\0\0\0\0\0\0");
        assert_eq!(&answer[52..53], b"1");
        assert_eq!(&answer[102..106], b"912\0");
        assert_eq!(&answer[112..118], b"200.00");
    }
}

#[test]
fn information_rates_and_passwords() {
    let mut bench = Bench::new();
    let heard = bench.send(&packet(0x04, 0, b"88888888JQ0000000001"));
    let answer = bench.whole_answer(heard);
    assert_eq!(answer.len(), 375);
    assert_eq!(&answer[..32], b"49900012345691110000MA00000019\0\0");
    let common = data_of(&vectors(&["3.1"]));
    let heard = bench.send(&packet(0x07, 0, &common));
    assert_eq!(&bench.whole_answer(heard)[..12], b"0250070.13\0\0");
    let change =
        |old: &[u8], new: &[u8]| [b"91110000MA00000019\x00\x00499000123456".as_slice(), old, new, b"JQ0000000001"].concat();
    assert_eq!(bench.send(&packet(0x09, 0, &change(b"00000000", b"77777777"))), error_text("JSK237:操作员口令错误"));
    assert_eq!(bench.send(&packet(0x09, 0, &change(b"88888888", b"77777777"))), vector("1.2"));
    // The old password is wrong now, four times; the fifth locks; then nothing helps.
    for text in [
        "237:操作员口令错误",
        "237:操作员口令错误",
        "237:操作员口令错误",
        "237:操作员口令错误",
        "238:操作员锁死",
        "238:操作员锁死",
    ] {
        assert_eq!(bench.send(&vector("3.1")), error_text(&format!("JSK{text}")));
    }
    let mut right = common.clone();
    right[32..40].copy_from_slice(b"77777777");
    assert_eq!(bench.send(&packet(0x08, 0, &right)), error_text("JSK238:操作员锁死"));
}

#[test]
fn a_stranger_is_refused() {
    let mut bench = Bench::new();
    let mut data = data_of(&vectors(&["3.1"]));
    data[0] = b'8';
    assert_eq!(bench.send(&packet(0x08, 0, &data)), error_text("纳税人识别号错误!"));
    let mut data = data_of(&vectors(&["3.1"]));
    data[20] = b'5';
    assert_eq!(bench.send(&packet(0x08, 0, &data)), error_text("税控设备编号错误!"));
    let mut data = data_of(&vectors(&["3.1"]));
    data[40..43].copy_from_slice(b"026");
    assert_eq!(bench.send(&packet(0x08, 0, &data)), error_text("JSK210:没有票种授权"));
    bench.disk.configure(|config| config.machine_number = Some("JQ0000000002".to_owned())).unwrap();
    assert_eq!(bench.send(&vector("3.1")), error_text("JSK4007:款机编号认证失败"));
    assert_eq!(bench.send(&packet(0x08, 0, b"short")), error_text("JSK3003:接口输入参数错"));
}

#[test]
fn uploads_reports_and_clears() {
    let mut bench = Bench::new();
    let upload = [&data_of(&vectors(&["3.1"]))[..43], &[b'0'; 28]].concat();
    assert_eq!(bench.send(&packet(0x16, 0, &upload)), error_text("所有发票都已上传!"));
    let heard = bench.command(&issue());
    bench.whole_answer(heard);
    assert_eq!(bench.send(&packet(0x16, 0, &upload)), vector("1.2"));
    assert_eq!(bench.send(&packet(0x16, 0, &upload)), error_text("停止发票上传"));
    let report = [data_of(&vectors(&["3.1"])), b"100000".to_vec()].concat();
    let clear = [data_of(&vectors(&["3.1"])), b"00000".to_vec()].concat();
    assert_eq!(bench.send(&packet(0x11, 0, &report)), error_text("JSK250:有离线未上传发票,不允许远程抄报"));
    bench.disk.configure(|config| config.online = true).unwrap();
    assert_eq!(bench.send(&packet(0x12, 0, &clear)), error_text("JSK1085:报税盘读清卡信息时无报税成功标志(无清卡信息)"));
    assert_eq!(bench.send(&packet(0x11, 0, &report)), vector("1.2"));
    assert_eq!(bench.send(&vector("9.1")), error_text("原发票已抄报,不能作废"));
    bench.disk.configure(|config| config.state.locked = Some(701)).unwrap();
    assert_eq!(bench.command(&issue()), error_text("JSK701:金税卡处于报税期,不能开票"));
    assert_eq!(bench.send(&packet(0x12, 0, &clear)), vector("1.2"));
    assert_eq!(bench.disk.config().limits.deadline.as_deref(), Some("20260430"));
    assert_eq!(bench.send(&packet(0x15, 0, &clear)), vector("1.2"));
    let heard = bench.command(&issue());
    assert_eq!(&heard[..2], b"OK");
    let failed = data_of(&vectors(&["3.1"]));
    let failed = [&failed[..40], &failed[43..]].concat();
    bench.wait(3_001);
    assert_eq!(bench.send(&packet(0x31, 0, &failed)), error_text("无上传错误发票信息"));
}

#[test]
fn a_blank_void_burns_the_current_number_and_a_roll_ends() {
    let mut config = SimConfig::of_the_vectors();
    let next = Segment {
        code: "011002000108".parse().unwrap(),
        first: "00000001".parse().unwrap(),
        last: "00000009".parse().unwrap(),
        ..config.segments[0].clone()
    };
    config.segments[0].last = "00000089".parse().unwrap();
    config.segments.push(next);
    let mut bench = Bench::with(config, ZcOptions::default());
    let mut data = data_of(&vectors(&["9.1"]));
    data[51] = b'0';
    let heard = bench.send(&packet(0x0B, 0, &data));
    assert_eq!(&bench.whole_answer(heard)[3..23], b"01100200010700000088");
    let heard = bench.send(&packet(0x0B, 0, &data));
    assert_eq!(&bench.whole_answer(heard)[3..23], b"01100200010700000089", "a repeat burns the next one");
    assert_eq!(&bench.send(&vector("3.1"))[7..28], b"011002000108000000019");
    let heard = bench.send(&vector("7.1"));
    let found = bench.whole_answer(heard);
    assert_eq!(&found[20..38], b"0200\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(found.len(), 988);
    let mut unknown = data_of(&vectors(&["7.1"]));
    unknown[56..64].copy_from_slice(b"00000087");
    assert_eq!(bench.send(&packet(0x0C, 0, &unknown)), error_text("JSK89:未找到指定发票明细"));
    unknown[43] = b'1';
    assert_eq!(bench.send(&packet(0x0C, 0, &unknown)), error_text("不支持时间段查询方式!"));
}

#[test]
fn a_red_needs_its_whole_original_once() {
    let mut bench = Bench::new();
    let heard = bench.command(&issue());
    bench.whole_answer(heard);
    let mut red = data_of(&issue());
    red[131] = b'1';
    let tail = red.len() - 32;
    red[tail..tail + 20].copy_from_slice(b"01100200010700000088");
    let mut partial = red.clone();
    // 226.00 → the line and the totals of a smaller invoice would have to add up; a wrong original is enough here.
    partial[tail + 19] = b'9';
    assert_eq!(bench.command(&packets(0x0A, &partial)), error_text("JSK89:未找到指定发票明细"));
    let heard = bench.command(&packets(0x0A, &red));
    assert_eq!(&bench.whole_answer(heard)[15..23], b"00000089");
    assert_eq!(bench.entries()[1].status, EntryStatus::Negative);
    assert_eq!(bench.command(&packets(0x0A, &red)), error_text("已开过负票,不能再次开具!"));
    let mut of_red = red.clone();
    of_red[tail + 19] = b'9';
    assert_eq!(bench.command(&packets(0x0A, &of_red)), error_text("原发票非正数发票,不能开具负票!"));
}

#[test]
fn a_paced_line_takes_its_time() {
    let options = ZcOptions { paced: true, ..ZcOptions::default() };
    let mut bench = Bench::with(SimConfig::of_the_vectors(), options);
    // 7 bytes there and 6 back at 9600: 13 × 10 bits = 13.5 ms.
    assert_eq!(bench.send(&vector("1.1")), b"");
    assert_eq!(bench.wait(13), b"");
    assert_eq!(bench.wait(1), vector("1.2"));
    // The first packet of 0A takes 266 ms; its NP 7 ms more.
    assert_eq!(bench.send(&issue()[0]), b"");
    assert_eq!(bench.wait(272), b"");
    assert_eq!(bench.wait(2), vector("14.1"));
    for (packet, answer) in [(1, "14.2"), (2, "5.1")] {
        bench.send(&issue()[packet]);
        assert_eq!(bench.wait(600), vector(answer));
    }
    assert_eq!(bench.send(&vector("14.1")), b"");
    assert_eq!(bench.wait(300), vector("5.2"));
    assert_eq!(bench.entries().len(), 1);
}

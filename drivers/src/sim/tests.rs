//! The simulator as a whole: a real pseudo-terminal with a real serial client, the control socket, and the folder.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serialport::{SerialPort, TTYPort};
use taxdisk_protocol::kind::InvoiceKind;

use super::clock::{ClockSetting, real_time};
use super::faults::When;
use super::issue::{IssueOrder, Saving};
use super::ledger::{EntryStatus, LEDGER_FILE, Origin};
use super::serve::WIRE_FILE;
use super::zc::{WireDirection, ZcOptions, vector};
use super::*;

fn options(folder: &Path) -> SimOptions {
    SimOptions {
        state_dir: folder.join("disk"),
        link: Some(folder.join("port")),
        control: Some(folder.join("control")),
        config: SimConfig::of_the_vectors(),
        zc: ZcOptions::default(),
        ..SimOptions::default()
    }
}

fn client(folder: &Path) -> TTYPort {
    let path = folder.join("port");
    serialport::new(path.to_str().unwrap(), 9600).timeout(Duration::from_secs(10)).open_native().unwrap()
}

fn hear(port: &mut TTYPort, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    port.read_exact(&mut heard).unwrap();
    assert_eq!(heard, expected);
}

fn exchange(port: &mut TTYPort, request: &str, answer: &str) {
    port.write_all(&vector(request)).unwrap();
    hear(port, &vector(answer));
}

fn issue(port: &mut TTYPort) {
    for (request, answer) in [("4.1", "14.1"), ("4.2", "14.2"), ("4.3", "5.1"), ("14.1", "5.2"), ("14.2", "5.3")] {
        exchange(port, request, answer);
    }
    port.write_all(&vector("1.2")).unwrap();
}

/// Waits for a state of the simulator that another thread brings about.
fn until(sim: &SimHandle, wanted: impl Fn(&SimState) -> bool) -> SimState {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let state = sim.state();
        if wanted(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "not reached: {state:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_serial_client_issues_and_queries_over_a_real_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let sim = serve(SimOptions { record_wire: true, ..options(folder.path()) }).unwrap();
    let mut port = client(folder.path());
    exchange(&mut port, "1.1", "1.2");
    exchange(&mut port, "3.1", "3.2");
    issue(&mut port);
    port.write_all(&vector("7.1")).unwrap();
    hear(&mut port, &vector("8.1"));
    for (number, name) in (1..).zip(["8.2", "8.3", "8.4", "8.5"]) {
        port.write_all(&super::zc::host_next(number)).unwrap();
        hear(&mut port, &vector(name));
    }
    port.write_all(&vector("1.2")).unwrap();
    exchange(&mut port, "1.1", "1.2");

    let wire = sim.wire(0, 1_000);
    let to_device: Vec<_> = wire.iter().filter(|record| record.direction == WireDirection::ToDevice).collect();
    let sent: Vec<u8> = to_device.iter().flat_map(|record| unhex(&record.hex)).collect();
    let names = ["1.1", "3.1", "4.1", "4.2", "4.3", "14.1", "14.2", "1.2", "7.1"];
    let mut expected: Vec<u8> = names.iter().flat_map(|name| vector(name)).collect();
    (1..=4).for_each(|number| expected.extend(super::zc::host_next(number)));
    expected.extend([vector("1.2"), vector("1.1")].concat());
    assert_eq!(sent, expected, "every byte that reached the disk is on record");
    assert_eq!(to_device.iter().filter(|record| record.cmd.as_deref() == Some("0A")).count(), 6);
    let state = sim.state();
    assert_eq!(state.counters.commands["0A"], 1);
    assert_eq!((state.issued, state.wire_seq), (1, wire.last().unwrap().seq));
    sim.stop();
    let recorded = std::fs::read_to_string(folder.path().join("disk").join(WIRE_FILE)).unwrap();
    let recorded: Vec<WireRecord> = recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(recorded, wire);
    assert!(!folder.path().join("port").is_symlink() && !folder.path().join("control").exists());
    assert_eq!(Ledger::read(&folder.path().join("disk")).unwrap().len(), 1);
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_client_may_close_and_open_and_finds_nothing_stale() {
    let folder = tempfile::tempdir().unwrap();
    let sim = serve(options(folder.path())).unwrap();
    for round in 1..=5 {
        let mut port = client(folder.path());
        exchange(&mut port, "1.1", "1.2");
        // Leaves with an answer unread.
        port.write_all(&vector("3.1")).unwrap();
        until(&sim, |state| state.counters.commands.get("08") == Some(&round));
        drop(port);
        // The device speaks to nobody.
        sim.with(|rig| assert!(rig.disk.ledger().entries().is_empty()));
        let deadline = Instant::now() + Duration::from_secs(20);
        while sim.with(|rig| rig.has_client()) {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    }
    let mut port = client(folder.path());
    exchange(&mut port, "1.1", "1.2");
}

#[test]
fn all_byte_values_pass_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let sim = serve(options(folder.path())).unwrap();
    let mut port = client(folder.path());
    let noise: String = (0..=255_u8).map(|byte| format!("{byte:02X}")).collect();
    assert!(sim.fault(Fault::once(FaultKind::Garbage { hex: noise.clone() })));
    port.write_all(&vector("1.1")).unwrap();
    hear(&mut port, &unhex(&noise));
    hear(&mut port, &vector("1.2"));
    // And the other way: noise that is no frame reaches the device byte by byte as it was sent.
    let mut sent: Vec<u8> = vec![0x1B, 0x10, 0x01, 0x00, 0xFD];
    sent.extend((0..=255_u8).take(248));
    sent.extend([0, 0]);
    port.write_all(&sent).unwrap();
    hear(&mut port, &vector("12.1"));
    let dropped: String =
        sim.wire(0, 100).iter().filter(|record| record.cmd.is_none()).map(|record| record.hex.clone()).collect();
    assert_eq!(unhex(&dropped)[..sent.len()], sent);
}

#[test]
fn unplugging_hangs_up_and_a_running_signature_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let sim = serve(SimOptions { issue_time_ms: Some(50), ..options(folder.path()) }).unwrap();
    let mut port = client(folder.path());
    for (request, answer) in [("4.1", "14.1"), ("4.2", "14.2")] {
        exchange(&mut port, request, answer);
    }
    port.write_all(&vector("4.3")).unwrap();
    until(&sim, |state| state.working || state.issued == 1);
    sim.unplug();
    assert!(!folder.path().join("port").is_symlink());
    let error = port.read(&mut [0; 1]).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::TimedOut, "a hang-up, not a timeout");
    assert!(!sim.state().plugged);
    until(&sim, |state| state.issued == 1);
    sim.replug().unwrap();
    let mut port = client(folder.path());
    exchange(&mut port, "1.1", "1.2");
    // With the power cut, the same command is never executed.
    for (request, answer) in [("4.1", "14.1"), ("4.2", "14.2")] {
        exchange(&mut port, request, answer);
    }
    sim.with(|rig| rig.disk.configure(|config| config.issue_time_ms = 3_600_000).unwrap());
    port.write_all(&vector("4.3")).unwrap();
    until(&sim, |state| state.working);
    sim.unplug_and_cut_power();
    sim.replug().unwrap();
    let mut port = client(folder.path());
    exchange(&mut port, "1.1", "1.2");
    assert_eq!(sim.state().issued, 1);
}

#[test]
fn a_command_costs_less_than_a_millisecond_beside_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let _sim = serve(options(folder.path())).unwrap();
    let mut port = client(folder.path());
    exchange(&mut port, "1.1", "1.2");
    let mut fastest = Duration::MAX;
    for _ in 0..200 {
        let started = Instant::now();
        exchange(&mut port, "1.1", "1.2");
        fastest = fastest.min(started.elapsed());
    }
    // The fastest of many: a busy machine slows some, a wrong wait slows all.
    assert!(fastest < Duration::from_millis(1), "{fastest:?}");
}

#[test]
fn another_process_steers_it_over_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let sim = serve(options(folder.path())).unwrap();
    let mut control = ControlClient::connect(&folder.path().join("control")).unwrap();
    let mut ask = |text: &str| control.ask(&serde_json::from_str(text).unwrap());
    ask(r#"{"do":"fault","fault":"out_of_stock","times":2}"#).unwrap();
    assert_eq!(ask(r#"{"do":"state"}"#).unwrap().state.unwrap().faults[0].times, 2);
    ask(r#"{"do":"clear_faults"}"#).unwrap();
    let entry = ask(r#"{"do":"foreign_issue"}"#).unwrap().entry.unwrap();
    assert_eq!((entry.number.to_string().as_str(), entry.origin), ("00000088", Origin::Foreign));
    ask(r#"{"do":"foreign_void","kind":"025","pair":{"code":"011002000107","number":"00000088"}}"#).unwrap();
    assert!(ask(r#"{"do":"foreign_void","kind":"025","pair":{"code":"011002000107","number":"00000088"}}"#).is_err());
    let more = r#"{"kind":"025","code":"011002000108","first":"00000001","last":"00000010"}"#;
    ask(&format!(
        r#"{{"do":"set","patch":{{"limits":{{"invoice":null}},"state":{{"locked":701}},"clock":{{"offset_s":0}}}},"stock_add":[{more}]}}"#
    ))
    .unwrap();
    assert!(ask(r#"{"do":"set","patch":{"no_such":1}}"#).is_err());
    assert!(ask(r#"{"do":"set","patch":{"limits":{"no_such":1}}}"#).is_err());
    let state = ask(r#"{"do":"state"}"#).unwrap().state.unwrap();
    assert_eq!((state.locked, state.stock[0].remaining, state.issued_foreign, state.void), (Some(701), 922, 1, 1));
    assert!(ask(r#"{"do":"foreign_issue"}"#).unwrap_err().to_string().contains("JSK701"));
    let saved = SimConfig::load(&folder.path().join("disk")).unwrap().unwrap();
    assert_eq!((saved.limits.invoice, saved.limits.upload_day, saved.clock), (None, Some(15), ClockSetting::OffsetS(0)));
    ask(r#"{"do":"unplug"}"#).unwrap();
    assert!(!ask(r#"{"do":"state"}"#).unwrap().state.unwrap().plugged);
    ask(r#"{"do":"replug"}"#).unwrap();
    let mut port = client(folder.path());
    exchange(&mut port, "1.1", "1.2");
    assert_eq!(ask(r#"{"do":"wire","since":1}"#).unwrap().wire.unwrap().len(), 1);
    // Many at once, with the line busy: nothing waits for ever.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut control = ControlClient::connect(&folder.path().join("control")).unwrap();
                for _ in 0..50 {
                    control.fault(Fault::once(FaultKind::CrcError)).unwrap();
                    control.ask(&ControlRequest::ClearFaults).unwrap();
                    control.ask(&ControlRequest::Unplug { cut_power: false }).unwrap();
                    control.ask(&ControlRequest::Replug).unwrap();
                    control.state().unwrap();
                }
            });
        }
    });
    control.ask(&ControlRequest::Stop).unwrap();
    sim.wait();
    // The folder is free although a client is still connected.
    drop(serve(options(folder.path())).unwrap());
}

#[test]
fn bad_requests_are_answered_and_a_second_simulator_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sim = serve(options(folder.path())).unwrap();
    let mut stream = std::os::unix::net::UnixStream::connect(folder.path().join("control")).unwrap();
    stream.write_all(b"{\"do\":\"nothing\"}\n").unwrap();
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, br#"{"ok":false"#);
    let busy = serve(SimOptions { control: None, link: None, ..options(folder.path()) }).err().unwrap();
    assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
    std::fs::write(folder.path().join("a file"), b"").unwrap();
    let other = SimOptions {
        state_dir: folder.path().join("other"),
        control: None,
        link: Some(folder.path().join("a file")),
        ..options(folder.path())
    };
    assert_eq!(serve(other).err().unwrap().kind(), ErrorKind::Other);
    assert!(folder.path().join("a file").is_file());
    assert!(sim.port().is_some());
}

#[test]
fn a_disk_that_went_without_goodbye_remembers_everything() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig::of_the_vectors();
    let order = IssueOrder::default();
    let mut disk = SimDisk::open(folder.path(), &config, real_time()).unwrap();
    disk.issue(&order, Some("12345678"), Saving::Done).unwrap();
    disk.issue(&order, Some("12345678"), Saving::PowerCut).unwrap();
    disk.configure(|config| config.segments[0].last = "00000095".parse().unwrap()).unwrap();
    disk.check_secret(super::disk::Secret::Disk, "wrong").unwrap_err();
    drop(disk);
    // Reopened after a power cut in the middle of the third record.
    let ledger = folder.path().join(LEDGER_FILE);
    let mut bytes = std::fs::read(&ledger).unwrap();
    bytes.extend_from_slice(br#"{"sum":"00000000","record":{"number":{"kind":"025""#);
    std::fs::write(&ledger, bytes).unwrap();
    let mut disk = SimDisk::open(folder.path(), &SimConfig::default(), real_time()).unwrap();
    assert_eq!(disk.config().taxpayer_number, config.taxpayer_number);
    assert_eq!(disk.tries_left(super::disk::Secret::Disk), 4, "a restart gives no try back");
    assert_eq!(disk.ledger().entries().iter().map(|entry| entry.saved).collect::<Vec<_>>(), [true, false]);
    let next = disk.issue(&order, Some("12345678"), Saving::Done).unwrap();
    assert_eq!(next.number.to_string(), "00000090");
    let mut pairs: Vec<_> = disk.ledger().entries().iter().map(|entry| (entry.kind, entry.pair())).collect();
    pairs.dedup();
    assert_eq!(pairs.len(), 3);
}

#[test]
fn limits_of_the_disk_stop_issuing() {
    let mut config = SimConfig { clock: ClockSetting::Fixed("20260302101530".parse().unwrap()), ..SimConfig::of_the_vectors() };
    config.limits.offline_amount = Some("25.00".parse().unwrap());
    let mut disk = SimDisk::in_memory(config, real_time());
    let order = IssueOrder::default();
    let refused = |disk: &mut SimDisk, order: &IssueOrder| disk.issue(order, None, Saving::Done).unwrap_err().to_string();
    let at = |disk: &mut SimDisk, time: &str| {
        disk.configure(|config| config.clock = ClockSetting::Fixed(time.parse().unwrap())).unwrap();
    };
    disk.issue(&order, None, Saving::Done).unwrap();
    disk.issue(&order, None, Saving::Done).unwrap();
    assert_eq!(refused(&mut disk, &order), "离线累计金额超限!");
    disk.configure(|config| config.limits.offline_amount = None).unwrap();
    at(&mut disk, "20260305101530");
    assert_eq!(refused(&mut disk, &order), "离线开具限定时长超限!");
    at(&mut disk, "20260302101529");
    assert_eq!(refused(&mut disk, &order), "JSK506:金税卡时钟异常");
    at(&mut disk, "20260401000000");
    assert_eq!(refused(&mut disk, &order), "JSK702:金税卡处于锁死期,不能开票");
    disk.configure(|config| config.limits.deadline = None).unwrap();
    at(&mut disk, "20260416000000");
    assert_eq!(refused(&mut disk, &order), "JSK246:到了离线锁死日,上月有已开未上传发票");
    // Network: everything is uploaded, and it goes on.
    disk.configure(|config| config.online = true).unwrap();
    disk.issue(&order, None, Saving::Done).unwrap();
    disk.configure(|config| config.limits.invoice = Some("9.99".parse().unwrap())).unwrap();
    assert_eq!(refused(&mut disk, &order), "开票单张金额超限!");
    disk.configure(|config| config.limits.invoice = Some("10.00".parse().unwrap())).unwrap();
    let mut wrong = order.clone();
    wrong.gross = "10.01".parse().unwrap();
    assert_eq!(refused(&mut disk, &IssueOrder { gross: "0".parse().unwrap(), ..order.clone() }), "正数发票金额不能为零");
    disk.configure(|config| config.limits.invoice = None).unwrap();
    assert_eq!(refused(&mut disk, &wrong), "JSK99:开票数据有问题");
    let rate = |rate: &str| {
        let mut order = order.clone();
        order.lines[0].rate = rate.to_owned();
        order
    };
    assert_eq!(refused(&mut disk, &rate("0.17")), "JSK559:税率超限");
    assert_eq!(refused(&mut disk, &rate("0.05")), "JSK449:金额减税额除以税率的绝对值应小于0.625");
    let lines = vec![order.lines[0].clone(); 11];
    assert_eq!(refused(&mut disk, &IssueOrder { lines, ..order.clone() }), "JSK562:发票明细超过64K错");
    assert_eq!(refused(&mut disk, &IssueOrder { kind: InvoiceKind::PaperOrdinary, ..order.clone() }), "JSK210:没有票种授权");
    let entries = disk.ledger().entries();
    assert_eq!(entries.len(), 3);
    assert!(entries.iter().all(|entry| entry.status == EntryStatus::Positive && entry.origin == Origin::Foreign));
}

#[test]
fn a_stalled_line_answers_by_the_real_clock() {
    let folder = tempfile::tempdir().unwrap();
    let sim = serve(options(folder.path())).unwrap();
    let mut port = client(folder.path());
    assert!(sim.fault(Fault::once(FaultKind::Stall { ms: 30, when: When::Before })));
    let started = Instant::now();
    exchange(&mut port, "1.1", "1.2");
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert!(sim.fault(Fault::once(FaultKind::Split { delay_ms: 1 })));
    exchange(&mut port, "3.1", "3.2");
    assert!(sim.fault(Fault::once(FaultKind::DieMidFrame { after_bytes: 3 })));
    port.write_all(&vector("1.1")).unwrap();
    hear(&mut port, b"OK\0");
    port.set_timeout(Duration::from_millis(50)).unwrap();
    assert_eq!(port.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(sim.state().dead);
    sim.unplug();
    sim.replug().unwrap();
    exchange(&mut client(folder.path()), "1.1", "1.2");
}

#[test]
fn the_terminal_is_raw_before_anybody_opens_it() {
    use rustix::termios::{InputModes, LocalModes, OutputModes, tcgetattr};
    let folder = tempfile::tempdir().unwrap();
    let sim = serve(options(folder.path())).unwrap();
    for _ in 0..2 {
        // Opened as a plain file, so that no serial library sets anything.
        let port = std::fs::File::options().read(true).write(true).open(sim.port().unwrap()).unwrap();
        let settings = tcgetattr(&port).unwrap();
        assert!(!settings.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
        assert!(!settings.input_modes.intersects(InputModes::IXON | InputModes::ICRNL));
        assert!(!settings.output_modes.contains(OutputModes::OPOST));
        drop(port);
        sim.unplug();
        sim.replug().unwrap();
    }
}

#[test]
fn the_first_command_after_opening_is_always_answered() {
    let folder = tempfile::tempdir().unwrap();
    let _sim = serve(options(folder.path())).unwrap();
    // The opening falls anywhere into the device's own look for a client.
    for _ in 0..300 {
        exchange(&mut client(folder.path()), "1.1", "1.2");
    }
}

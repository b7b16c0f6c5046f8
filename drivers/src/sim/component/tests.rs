//! The components over real sockets and as a filter, and each of their faults.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::sim::bridge::{BRIDGE_PATH, FilterFile, run_filter};
use crate::sim::config::SimConfig;
use crate::sim::control::{ControlClient, ControlRequest};
use crate::sim::ledger::{LedgerEntry, Origin};
use crate::sim::nisec::{fpkj_sample, to_gbk};
use crate::sim::skserver::{sample_document, sample_order};
use crate::sim::{Ledger, SimHandle, SimOptions, serve};

/// Longest wait for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(20);
/// A stall that no test waits out.
const FOREVER_MS: u64 = 600_000;

fn start(folder: &Path) -> SimHandle {
    let options = SimOptions {
        state_dir: folder.join("disk"),
        control: Some(folder.join("control")),
        config: SimConfig::of_a_component(),
        http: Some(HttpOptions::default()),
        ..SimOptions::default()
    };
    serve(options).unwrap()
}

fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends and reads until the other side closes.
fn post(address: SocketAddr, path: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    let request =
        String::from_utf8_lossy(&request(path, b"")).replace("Content-Length: 0", &format!("Content-Length: {}", body.len()));
    let request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    stream.write_all(&[request.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    // A connection that breaks tells no more than one that closes.
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn issue(sim: &SimHandle) -> String {
    let answer = post(sim.http().unwrap(), SKSERVER_PATH, &to_gbk(&sample_order("R1")));
    encoding_rs::GBK.decode_without_bom_handling(&answer).0.into_owned()
}

fn entries(folder: &Path) -> Vec<LedgerEntry> {
    Ledger::read(&folder.join("disk")).unwrap()
}

fn fault(sim: &SimHandle, kind: ComponentFaultKind) {
    assert!(sim.component_fault(ComponentFault::once(kind)));
}

fn until(sim: &SimHandle, wanted: impl Fn(&crate::sim::SimState) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wanted(&sim.state()) {
        assert!(Instant::now() < deadline, "not reached: {:?}", sim.state());
        std::thread::yield_now();
    }
}

fn received(state: &crate::sim::SimState) -> u64 {
    state.component_counters.received.get("10008").copied().unwrap_or_default()
}

#[test]
fn one_disk_is_reached_through_all_doors() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path());
    assert!(issue(&sim).contains("<fphm>00000088</fphm>"));
    let bridge = post(sim.http().unwrap(), BRIDGE_PATH, &to_gbk(fpkj_sample()));
    assert!(String::from_utf8_lossy(&bridge).contains("<fphm>00000089</fphm>"));
    assert!(sim.port().is_some(), "the serial line stands beside them");
    let state = sim.state();
    assert_eq!((state.issued, received(&state), state.component_counters.executed["FPKJ"]), (2, 1, 1));
    assert_eq!(state.http, sim.http());
    sim.stop();
    assert_eq!(entries(folder.path()).len(), 2);
}

#[test]
fn a_connection_serves_many_requests_and_nonsense_gets_a_status() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path());
    let address = sim.http().unwrap();
    let question = request(SKSERVER_PATH, &to_gbk(&sample_document("10004", "<fplxdm>007</fplxdm>")));
    let mut stream = connect(address);
    stream.write_all(&question.repeat(2)).unwrap();
    let mut heard = String::new();
    while heard.matches("</business>").count() < 2 {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert_eq!(heard.matches("Connection: keep-alive").count(), 2);
    assert!(post(address, "/", b"").starts_with(b"HTTP/1.1 404 "));
    let mut get = connect(address);
    get.write_all(b"GET /bridge HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut told = String::new();
    get.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 405 "));
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn a_hung_component_executes_after_its_client_went_away() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path());
    fault(&sim, ComponentFaultKind::Stall { ms: 300, when: When::Before });
    let mut hasty = connect(sim.http().unwrap());
    hasty.write_all(&request(SKSERVER_PATH, &to_gbk(&sample_order("R1")))).unwrap();
    until(&sim, |state| received(state) == 1);
    drop(hasty);
    // Meanwhile the component answers others, and nothing is there: absence that proves nothing.
    let query = sample_document("10010", "<fplxdm>007</fplxdm><cxfs>0</cxfs><cxtj>11000003200000008800000088</cxtj>");
    let before = post(sim.http().unwrap(), SKSERVER_PATH, &to_gbk(&query));
    assert!(String::from_utf8_lossy(&before).contains("09D106"));
    until(&sim, |state| state.issued == 1);
    assert_eq!(entries(folder.path())[0].details.request_id, "R1");
}

#[test]
fn what_waits_in_a_component_that_restarts_is_never_executed() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path());
    fault(&sim, ComponentFaultKind::Stall { ms: FOREVER_MS, when: When::Before });
    let mut hung = connect(sim.http().unwrap());
    hung.write_all(&request(SKSERVER_PATH, &to_gbk(&sample_order("R1")))).unwrap();
    until(&sim, |state| received(state) == 1);
    sim.restart_component(Duration::ZERO);
    let mut nothing = Vec::new();
    let _ = hung.read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
    // Somebody listens again at the same address, and the next one is the first invoice.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(sim.http().unwrap()).is_err() {
        assert!(Instant::now() < deadline);
    }
    assert!(issue(&sim).contains("<fphm>00000088</fphm>"));
    sim.stop();
    assert_eq!(entries(folder.path()).len(), 1);
}

#[test]
fn a_restart_during_the_command_leaves_it_signed_or_not_as_told() {
    for (when, signed) in [(When::Before, 0), (When::After, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let sim = start(folder.path());
        fault(&sim, ComponentFaultKind::Restart { when, off_ms: 60_000 });
        assert_eq!(issue(&sim), "", "{when:?}");
        assert_eq!(TcpStream::connect(sim.http().unwrap()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(entries(folder.path()).len(), signed, "{when:?}");
    }
}

#[test]
fn every_fault_leaves_the_ledger_and_the_client_as_it_says() {
    type Check = fn(&str) -> bool;
    let nothing: Check = str::is_empty;
    let cases: Vec<(ComponentFaultKind, usize, Check)> = vec![
        (ComponentFaultKind::LoseAnswer { when: When::Before }, 0, nothing),
        (ComponentFaultKind::LoseAnswer { when: When::After }, 1, nothing),
        (ComponentFaultKind::CutAnswer { after_bytes: 150 }, 1, |text| {
            text.contains("200 OK") && text.contains("<business") && !text.contains("</business>")
        }),
        (ComponentFaultKind::Html { status: 500, when: When::Before }, 0, |text| {
            text.starts_with("HTTP/1.1 500 ") && text.contains("text/html") && text.contains("<html>")
        }),
        (ComponentFaultKind::Html { status: 500, when: When::After }, 1, |text| text.starts_with("HTTP/1.1 500 ")),
        (ComponentFaultKind::Garbage { bytes: 1 << 20, when: When::After }, 1, |text| text.len() > 1 << 20),
        (ComponentFaultKind::WrongEncoding, 1, |text| text.contains("encoding=\"gbk\"") && !text.contains("成功")),
        (ComponentFaultKind::NoReturncode, 1, |text| !text.contains("returncode") && text.contains("<fphm>00000088</fphm>")),
        (ComponentFaultKind::NoPair, 1, |text| {
            text.contains("<returncode>0</returncode>") && !text.contains("<fphm>") && !text.contains("<fpdm>")
        }),
        (ComponentFaultKind::Refuse { code: "-10323".to_owned(), text: "未知".to_owned(), when: When::Before }, 0, |text| {
            text.contains("<returncode>-10323</returncode><returnmsg>未知</returnmsg>")
        }),
        (ComponentFaultKind::Refuse { code: "1".to_owned(), text: String::new(), when: When::After }, 1, |text| {
            text.contains("<returncode>1</returncode>")
        }),
        (ComponentFaultKind::Stall { ms: 30, when: When::After }, 1, |text| text.contains("<fphm>00000088</fphm>")),
    ];
    for (kind, signed, told) in cases {
        let folder = tempfile::tempdir().unwrap();
        let sim = start(folder.path());
        fault(&sim, kind.clone());
        // A question is not what the fault waits for.
        let question = to_gbk(&sample_document("10004", "<fplxdm>007</fplxdm>"));
        assert!(String::from_utf8_lossy(&post(sim.http().unwrap(), SKSERVER_PATH, &question)).contains("00000088"));
        let heard = issue(&sim);
        assert!(told(&heard), "{kind:?}: {:.300}", heard);
        assert_eq!(entries(folder.path()).len(), signed, "{kind:?}");
        assert!(sim.state().component_faults.is_empty(), "{kind:?}");
    }
}

#[test]
fn another_program_takes_the_number_with_the_same_invoice() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path());
    fault(&sim, ComponentFaultKind::ForeignIssue { content: ForeignContent::SameAsNext(Some("别人".to_owned())) });
    assert!(issue(&sim).contains("<fphm>00000089</fphm>"));
    let found = entries(folder.path());
    assert_eq!((found[0].origin, &*found[0].remark, &*found[0].details.request_id), (Origin::Foreign, "别人", ""));
    assert_eq!((found[0].gross, found[1].origin), (found[1].gross, Origin::Host));
}

#[test]
fn another_process_steers_the_components() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path());
    let mut control = ControlClient::connect(&folder.path().join("control")).unwrap();
    let text = r#"{"do":"component_fault","fault":"lose_answer","when":"after","id":"10008"}"#;
    control.ask(&serde_json::from_str::<ControlRequest>(text).unwrap()).unwrap();
    assert_eq!(control.state().unwrap().component_faults.len(), 1);
    assert_eq!(issue(&sim), "");
    control.ask(&ControlRequest::RestartComponent { off_ms: 0 }).unwrap();
    let any = ComponentFault { times: 3, skip: 1, ..ComponentFault::once(ComponentFaultKind::NoReturncode) };
    control.ask(&ControlRequest::ComponentFault(any.on("*"))).unwrap();
    control.ask(&ControlRequest::ClearFaults).unwrap();
    let state = control.state().unwrap();
    assert_eq!((state.component_faults.len(), state.issued, state.http), (0, 1, sim.http()));
}

#[test]
fn a_slow_disk_signs_late_and_a_stop_ends_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let sim = start(folder.path());
    sim.with(|rig| rig.disk.configure(|config| config.issue_time_ms = FOREVER_MS)).unwrap();
    let mut waiting = connect(sim.http().unwrap());
    waiting.write_all(&request(SKSERVER_PATH, &to_gbk(&sample_order("R1")))).unwrap();
    until(&sim, |state| received(state) == 1);
    let before = Instant::now();
    sim.stop();
    assert!(before.elapsed() < PATIENCE);
    assert!(entries(folder.path()).is_empty());
    let outside = HttpOptions { listen: "0.0.0.0:0".parse().unwrap(), ..HttpOptions::default() };
    let options = SimOptions { state_dir: folder.path().join("disk"), http: Some(outside), ..SimOptions::default() };
    assert_eq!(serve(options).err().unwrap().kind(), ErrorKind::InvalidInput);
}

fn filter(folder: &Path) -> (std::io::Result<()>, String) {
    let mut told = Vec::new();
    let result = run_filter(folder, &mut to_gbk(fpkj_sample()).as_slice(), &mut told);
    (result, encoding_rs::GBK.decode_without_bom_handling(&told).0.into_owned())
}

#[test]
fn the_filter_is_one_component_over_many_processes() {
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = filter(folder.path());
    result.unwrap();
    assert!(told.contains("<fphm>00000088</fphm>"), "{told}");
    // Two at once wait for each other.
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(|| filter(folder.path()).1);
        [filter(folder.path()).1, other.join().unwrap()].concat()
    });
    assert!(both.contains("<fphm>00000089</fphm>") && both.contains("<fphm>00000090</fphm>"), "{both}");
    let long = vec![b' '; (1 << 20) + 1];
    assert_eq!(run_filter(folder.path(), &mut long.as_slice(), &mut Vec::new()).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Ledger::read(folder.path()).unwrap().len(), 3);
}

#[test]
fn the_filter_has_the_same_faults_and_counts_them_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = FilterFile::default();
    file.faults.add(ComponentFault { skip: 1, ..ComponentFault::once(ComponentFaultKind::LoseAnswer { when: When::After }) });
    file.save(folder.path()).unwrap();
    let (result, told) = filter(folder.path());
    assert!(result.is_ok() && told.contains("<fphm>00000088</fphm>"));
    let (result, told) = filter(folder.path());
    assert!(result.is_err() && told.is_empty());
    assert_eq!(Ledger::read(folder.path()).unwrap().len(), 2, "signed, and nobody heard of it");
    assert_eq!(FilterFile::load(folder.path()).unwrap(), FilterFile::default());
    for kind in [ComponentFaultKind::CutAnswer { after_bytes: 60 }, ComponentFaultKind::Html { status: 500, when: When::After }] {
        file.faults.clear();
        file.faults.add(ComponentFault::once(kind));
        file.save(folder.path()).unwrap();
        let (result, told) = filter(folder.path());
        assert!(result.is_err() && !told.is_empty());
    }
    assert_eq!(Ledger::read(folder.path()).unwrap().len(), 4);
    std::fs::write(folder.path().join("component.json"), "{").unwrap();
    assert!(filter(folder.path()).0.is_err());
    assert_eq!(Ledger::read(folder.path()).unwrap().len(), 4, "a file that cannot be read executes nothing");
}

#[test]
fn who_may_steer_over_http_can_and_who_may_not_finds_nothing_there() {
    for allowed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let sim = serve(SimOptions {
            state_dir: folder.path().to_owned(),
            http: Some(HttpOptions { control: allowed, ..HttpOptions::default() }),
            ..SimOptions::default()
        })
        .unwrap();
        let answer = post(sim.http().unwrap(), "/control", br#"{"do":"set","patch":{"issue_time_ms":7}}"#);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer.contains(r#""ok":true"#), allowed, "{answer}");
        assert_eq!(sim.with(|rig| rig.disk.config().issue_time_ms) == 7, allowed);
        let wrong = post(sim.http().unwrap(), "/control", b"{}");
        assert_eq!(String::from_utf8_lossy(&wrong).contains("not a request"), allowed);
    }
}

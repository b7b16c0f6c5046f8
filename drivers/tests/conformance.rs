//! The suite of `taxdisk_drivers::conformance` over every dialect, and what does not apply to each of them. The component
//! behind a local command needs a program: `agent/tests/conformance.rs`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use taxdisk_drivers::conformance::bot::BotStand;
use taxdisk_drivers::conformance::component::{Component, ComponentStand};
use taxdisk_drivers::conformance::line::{LineDialect, LineStand};
use taxdisk_drivers::conformance::sample;
use taxdisk_drivers::conformance::{Report, Stand, run, run_shares};
use taxdisk_drivers::dialects::zc::Framing;
use taxdisk_drivers::disk::{Comparison, IssueAnswer, IssueRequest};
use taxdisk_drivers::sim::bot::BotOptions;
use taxdisk_drivers::sim::faults::{Fault, FaultKind, UsbStage};

/// All cases of the suite: one that is lost from it must be taken out here, too.
const CASES: usize = 31;
/// Shares of the suite that run side by side where a line's silences take real time.
const SHARES: usize = 16;

/// No case fails, and exactly these do not apply, each for what the dialect itself declares.
fn conforms(report: &Report, not_applicable: &[(&str, &str)]) {
    println!("{report}");
    assert_eq!(report.failures().count(), 0, "{report}");
    assert_eq!(report.not_applicable().collect::<Vec<_>>(), not_applicable, "{report}");
    assert_eq!(report.cases.len(), CASES, "{report}");
}

fn on_a_terminal(dialect: LineDialect) -> Report {
    let folder = tempfile::tempdir().unwrap();
    run_shares(SHARES, |share| {
        let folder = folder.path().join(share.to_string());
        std::fs::create_dir(&folder)?;
        Ok(Box::new(LineStand::on_a_terminal(dialect, &folder)?))
    })
    .unwrap()
}

const ZC: LineDialect = LineDialect::Zc(Framing::Fixed);
const ZC_XML: LineDialect = LineDialect::Zc(Framing::Xml);
const NO_REQUEST: (&str, &str) = ("a number is found by its request", "finds_request = false");
const NOT_ON_ZC: &[(&str, &str)] = &[NO_REQUEST, ALL_OPERATIONS];
const NOT_ON_ZC_XML: &[(&str, &str)] = &[NO_REQUEST];
const ALL_OPERATIONS: (&str, &str) = (
    "an operation that the dialect has not is refused before it is sent",
    "operations has blank_void, report, clear, upload, refresh_offline",
);
const LAST_NUMBER_ONLY: &str = "numbers_readable = false: the disk tells its last number only, and no content";
const NOT_ON_THE_CARD: &[(&str, &str)] = &[
    ("an invoice reads back equal, and another one does not", LAST_NUMBER_ONLY),
    ("a number that was never used is absent", LAST_NUMBER_ONLY),
    ("a void is proven by its number", "operations has no void"),
    ("a red invoice names the invoice that it reverses", "red = false"),
    NO_REQUEST,
    ("report and clear end a lock", "operations has no clear"),
];
const NO_REPORT: [(&str, &str); 2] =
    [("a period is reported", "operations has no report"), ("report and clear end a lock", "operations has no report")];
const TORN: &str = "an answer in pieces, then settling by reads";
const NO_PIECES: (&str, &str) = (TORN, "fence = none: an answer comes whole, there is no stream of bytes");
const NOT_ON_NISEC: &[(&str, &str)] = &[NO_REQUEST, NO_REPORT[0], NO_REPORT[1], NO_PIECES];
const NOT_ON_SKSERVER: &[(&str, &str)] = &[
    ("a wrong password costs one try and is not sent again", "identity_proves has no disk password: the device checks none"),
    NO_REQUEST,
    NO_REPORT[0],
    NO_REPORT[1],
    NO_PIECES,
];
const NOT_ON_BOT: &[(&str, &str)] =
    &[NO_REQUEST, ALL_OPERATIONS, (TORN, "fence = token: an answer comes whole, there is no stream of bytes")];

#[test]
fn zc_with_fields_of_fixed_width() {
    conforms(&run(&mut LineStand::in_memory(ZC)), NOT_ON_ZC);
}

#[test]
fn zc_with_documents() {
    conforms(&run(&mut LineStand::in_memory(ZC_XML)), NOT_ON_ZC_XML);
}

#[test]
fn a_fiscal_card() {
    conforms(&run(&mut LineStand::in_memory(LineDialect::Card)), NOT_ON_THE_CARD);
}

/// Through the kernel's own terminals and the driver's own serial port, with the silences of the protocols in real time: all
/// three side by side, as they mostly wait.
#[test]
fn zc_with_fields_and_with_documents_and_a_fiscal_card_on_pseudo_terminals() {
    std::thread::scope(|scope| {
        scope.spawn(|| conforms(&on_a_terminal(ZC), NOT_ON_ZC));
        scope.spawn(|| conforms(&on_a_terminal(ZC_XML), NOT_ON_ZC_XML));
        scope.spawn(|| conforms(&on_a_terminal(LineDialect::Card), NOT_ON_THE_CARD));
    });
}

#[test]
fn nisec_over_http() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&run(&mut ComponentStand::new(Component::Nisec, folder.path()).unwrap()), NOT_ON_NISEC);
}

#[test]
fn skserver_over_http() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&run(&mut ComponentStand::new(Component::SkServer, folder.path()).unwrap()), NOT_ON_SKSERVER);
}

#[test]
fn taxdisk_bot_in_memory() {
    conforms(&run(&mut BotStand::new().unwrap()), NOT_ON_BOT);
}

#[test]
fn taxdisk_bot_that_skips_a_stage_without_a_stall() {
    let options = BotOptions { stalls: false, ..BotOptions::default() };
    conforms(&run(&mut BotStand::with(options).unwrap()), NOT_ON_BOT);
}

#[test]
fn taxdisk_bot_that_forgets_its_token_with_the_power() {
    let options = BotOptions { durable: false, ..BotOptions::default() };
    conforms(&run(&mut BotStand::with(options).unwrap()), NOT_ON_BOT);
}

/// CDB of the profile's two commands (device-xml-and-usb.md, C.4.1 and C.4.3).
const SEND: u8 = 0xD0;
const FETCH: u8 = 0xD1;

fn usb_faults() -> Vec<Fault> {
    let mut faults = vec![Fault::once(FaultKind::UsbUnplug), Fault::once(FaultKind::OtherHost)];
    for command in [SEND, FETCH] {
        // The readings before the issuing command are let through, then that command or its answer is met.
        for passed in 0..8 {
            let on = |kind| Fault::once(kind).on(command).after(passed);
            faults.extend([on(FaultKind::UsbWrongTag), on(FaultKind::UsbPhaseError)]);
            for stage in [UsbStage::Command, UsbStage::Data, UsbStage::Status] {
                faults.push(on(FaultKind::UsbStall { stage }));
                // Shorter than a transfer may take, and longer.
                faults.extend([2_000, 30_000].map(|ms| on(FaultKind::UsbNak { stage, ms })));
            }
        }
    }
    faults
}

#[test]
fn no_fault_of_the_bus_makes_a_second_invoice_or_a_wrong_verdict() {
    every_fault_of_the_bus(BotOptions::default());
}

#[test]
fn nor_does_it_on_a_device_that_skips_a_stage_without_a_stall_and_forgets_its_token() {
    every_fault_of_the_bus(BotOptions { stalls: false, durable: false, ..BotOptions::default() });
}

fn every_fault_of_the_bus(options: BotOptions) {
    let mut verdicts = [0_u32; 3];
    for (turn, fault) in usb_faults().into_iter().enumerate() {
        let mut stand = BotStand::with(options).unwrap();
        let kind = stand.kind();
        let mut disk = stand.open().unwrap();
        let seller = disk.identity().unwrap();
        let remark = format!("U{turn}");
        let invoice = sample::plain(disk.capabilities());
        // A known invoice first, then the one that meets the fault.
        let mut issued = Vec::new();
        for remark in ["first", remark.as_str()] {
            let last = remark != "first";
            if last {
                assert!(stand.fault(fault.clone()), "{fault:?}");
            }
            let Ok(stock) = disk.stock(kind) else { break };
            let request = IssueRequest {
                kind,
                expected: stock.current,
                invoice: &invoice,
                remark,
                seller: &seller,
                red: None,
                request_id: "R1",
            };
            issued.push((stock.current, disk.issue(&request)));
        }
        let mut ours = 0;
        stand.with_disk(&mut |disk| ours = disk.ledger().entries().iter().filter(|entry| entry.remark == remark).count());
        assert!(ours <= 1, "{fault:?}: one command made {ours} invoices");
        // The fault met the reading before the command: then nothing was sent.
        let Some((expected, answer)) = issued.get(1) else {
            assert_eq!(ours, 0, "{fault:?}");
            continue;
        };
        match answer {
            IssueAnswer::Signed(signed) => {
                assert_eq!((ours, signed.pair), (1, *expected), "{fault:?}");
                verdicts[0] += 1;
            }
            IssueAnswer::NotSent(_) => {
                assert_eq!(ours, 0, "{fault:?}: {answer:?}");
                verdicts[1] += 1;
            }
            IssueAnswer::Refused(_) | IssueAnswer::InDoubt(_) => verdicts[2] += 1,
        }
        // The cable is in again, the bus is well: reading tells the truth, without sending anything again.
        stand.calm();
        disk.resync().unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        disk.identity().unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let found = disk.query(kind, *expected).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        let request = IssueRequest {
            kind,
            expected: *expected,
            invoice: &invoice,
            remark: &remark,
            seller: &seller,
            red: None,
            request_id: "R1",
        };
        let mut tokens = stand.tokens_sent();
        let commands = tokens.len();
        tokens.sort_unstable();
        tokens.dedup();
        assert!(commands > 4 && tokens.len() == commands, "{fault:?}: a command was sent again");
        let is_ours = found.is_some_and(|found| disk.compare(&request, &found) == Comparison::Equal);
        assert_eq!(is_ours, ours == 1, "{fault:?}: {answer:?}");
    }
    println!("signed {}, not sent {}, in doubt {}", verdicts[0], verdicts[1], verdicts[2]);
    // Each verdict was reached: the faults met the command at different moments.
    assert!(verdicts.iter().all(|count| *count > 0), "{verdicts:?}");
}

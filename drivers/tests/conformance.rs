//! The suite of `taxdisk_drivers::conformance` over the dialects that have a stand; the fiscal card has none yet.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use taxdisk_drivers::conformance::bot::BotStand;
use taxdisk_drivers::conformance::component::{Component, ComponentStand};
use taxdisk_drivers::conformance::sample;
use taxdisk_drivers::conformance::zc::ZcStand;
use taxdisk_drivers::conformance::{Report, Stand, run};
use taxdisk_drivers::dialects::zc::Framing;
use taxdisk_drivers::disk::{Comparison, IssueAnswer, IssueRequest};
use taxdisk_drivers::sim::faults::{Fault, FaultKind, UsbStage};

/// No case fails, and the suite was not empty: `passed` at least.
fn conforms(stand: &mut dyn Stand, passed: usize) {
    let report: Report = run(stand);
    println!("{report}");
    assert_eq!(report.failures().count(), 0, "{report}");
    assert!(report.passed() >= passed, "{report}");
}

#[test]
fn zc_with_fields_of_fixed_width() {
    conforms(&mut ZcStand::new(Framing::Fixed), 20);
}

#[test]
fn nisec_over_http() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&mut ComponentStand::new(Component::Nisec, folder.path()).unwrap(), 18);
}

#[test]
fn skserver_over_http() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&mut ComponentStand::new(Component::SkServer, folder.path()).unwrap(), 15);
}

#[test]
fn zc_with_documents() {
    conforms(&mut ZcStand::new(Framing::Xml), 20);
}

#[test]
fn taxdisk_bot_in_memory() {
    conforms(&mut BotStand::new().unwrap(), 22);
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
    let mut verdicts = [0_u32; 3];
    for (turn, fault) in usb_faults().into_iter().enumerate() {
        let mut stand = BotStand::new().unwrap();
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

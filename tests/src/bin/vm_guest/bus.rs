//! What a bus does to a USB disk in the middle of issuing: a stall, a device that holds the host off for longer than he waits,
//! a reset that somebody else orders. Each ends in a verdict that the disk's ledger bears out, and without a new cable.

use std::time::Duration;

use rusb::UsbContext as _;
use taxdisk_drivers::conformance::{Stand as _, sample};
use taxdisk_drivers::disk::{Comparison, IssueAnswer, IssueRequest, TaxDisk};
use taxdisk_drivers::sim::faults::{Fault, FaultKind, UsbStage};

use crate::checks::issue_and_read_back;
use crate::devices::UsbBotStand;

/// How long the disk signs: a reset falls into it.
const SIGNING_MS: u64 = 300;
/// First bytes of the profile's two command blocks.
const SEND: u8 = 0xD0;
const FETCH: u8 = 0xD1;
/// Longer than the five seconds that a command block or a status is waited for.
const STORM_MS: u64 = 6_000;

/// A verdict in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Signed,
    NotSent,
    Open,
}

/// Issues while `beside` happens; the verdict and whether it was signed, compared with each other, the ledger and what reading
/// says afterwards. `before` comes between the reading of the stock and the command. Guards I1.
fn issue_into(
    stand: &UsbBotStand,
    disk: &mut dyn TaxDisk,
    name: &str,
    before: impl FnOnce(),
    beside: impl FnOnce() + Send,
) -> (Verdict, bool) {
    let (kind, seller) = (stand.kind(), disk.identity().unwrap());
    let expected = disk.stock(kind).unwrap().current;
    let invoice = sample::plain(disk.capabilities());
    let request =
        IssueRequest { kind, expected, invoice: &invoice, remark: name, seller: &seller, red: None, request_id: "BUS1" };
    before();
    let answer = std::thread::scope(|scope| {
        scope.spawn(beside);
        disk.issue(&request)
    });
    disk.resync().unwrap_or_else(|error| panic!("{name}: {error:?} after {answer:?}"));
    let found = disk.query(kind, expected).unwrap();
    let ours = stand.lock().disk.ledger().entries().iter().filter(|entry| entry.remark == name).count();
    println!("{name}: {ours} signed, {answer:?}");
    assert!(ours <= 1, "{name}");
    assert_eq!(found.is_some(), ours == 1, "{name}: {answer:?}, {found:?}");
    assert!(found.is_none_or(|found| disk.compare(&request, &found) == Comparison::Equal), "{name}");
    let verdict = match answer {
        IssueAnswer::Signed(signed) => {
            assert_eq!((signed.pair, ours), (expected, 1), "{name}");
            Verdict::Signed
        }
        IssueAnswer::NotSent(_) => {
            assert_eq!(ours, 0, "{name}");
            Verdict::NotSent
        }
        IssueAnswer::Refused(_) | IssueAnswer::InDoubt(_) => Verdict::Open,
    };
    (verdict, ours == 1)
}

/// The same with a fault of the bus, then one invoice without.
fn under(stand: &UsbBotStand, disk: &mut dyn TaxDisk, name: &str, kind: FaultKind, command: u8) -> (Verdict, bool) {
    let fault = Fault::once(kind).on(command);
    let found = issue_into(stand, disk, name, || assert!(stand.lock().faults.add(fault)), || {});
    assert!(stand.lock().faults.waiting().is_empty(), "{name}: it did not happen");
    issue_and_read_back(disk, stand.kind());
    found
}

pub(crate) fn stalls_end_in_a_true_verdict() {
    let mut stand = UsbBotStand::new(0);
    let mut disk = stand.open().unwrap();
    issue_and_read_back(disk.as_mut(), stand.kind());
    for (stage, stage_name) in [(UsbStage::Command, "block"), (UsbStage::Data, "data"), (UsbStage::Status, "status")] {
        for (command, command_name) in [(SEND, "command"), (FETCH, "answer")] {
            let name = format!("stall of the {stage_name} of the {command_name}");
            let (verdict, signed) = under(&stand, disk.as_mut(), &name, FaultKind::UsbStall { stage }, command);
            // Whatever happens to the fetching of an answer, it can be fetched again.
            assert!(command == SEND || (verdict, signed) == (Verdict::Signed, true), "{name}: {verdict:?}");
        }
    }
}

pub(crate) fn a_nak_storm_is_left_and_settled_by_reading() {
    let mut stand = UsbBotStand::new(0);
    let mut disk = stand.open().unwrap();
    issue_and_read_back(disk.as_mut(), stand.kind());
    let storm = |stage| FaultKind::UsbNak { stage, ms: STORM_MS };
    let held = under(&stand, disk.as_mut(), "storm before the command", storm(UsbStage::Command), SEND);
    assert_eq!(held, (Verdict::NotSent, false), "nothing of it was taken");
    let (verdict, signed) = under(&stand, disk.as_mut(), "storm before the status", storm(UsbStage::Status), SEND);
    assert!(signed && verdict != Verdict::NotSent, "the disk had all of it: {verdict:?}");
}

pub(crate) fn a_reset_by_somebody_else_makes_no_second_invoice() {
    let mut stand = UsbBotStand::new(SIGNING_MS);
    let mut disk = stand.open().unwrap();
    issue_and_read_back(disk.as_mut(), stand.kind());
    let executed = || stand.lock().executed;
    let before = executed();
    let (verdict, signed) = issue_into(
        &stand,
        disk.as_mut(),
        "a reset while it signs",
        || {},
        || {
            // The reading of the stock before is through: what runs now is the issuing command.
            taxdisk_tests::process::wait_for("the disk to sign", Duration::from_secs(60), || {
                let device = stand.lock();
                if device.wake_at().is_some() { Ok(()) } else { Err(device.executed.to_string()) }
            });
            reset_the_device();
        },
    );
    assert!(signed && verdict != Verdict::NotSent, "it kept its power: {verdict:?}");
    assert!(executed() > before);
    issue_and_read_back(disk.as_mut(), stand.kind());
}

/// As another program, or the kernel, resets it: beside whoever has it open.
fn reset_the_device() {
    let context = rusb::Context::new().unwrap();
    let devices = context.devices().unwrap();
    let ours = |device: &rusb::Device<rusb::Context>| {
        device.device_descriptor().is_ok_and(|about| (about.vendor_id(), about.product_id()) == (0x1209, 0x0001))
    };
    let device = devices.iter().find(ours).unwrap();
    // It may come back as another device, and then says so.
    let reset = device.open().unwrap().reset();
    assert!(matches!(reset, Ok(()) | Err(rusb::Error::NotFound)), "{reset:?}");
}

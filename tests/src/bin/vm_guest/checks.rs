//! The checks. Each is a function that panics when something is not as it must be.

use std::path::Path;

use taxdisk_drivers::conformance::{self, Stand as _, sample};
use taxdisk_drivers::dialects::zc::{ZcConfig, ZcDisk};
use taxdisk_drivers::disk::{Comparison, IssueAnswer, IssueRequest, TaxDisk};
use taxdisk_drivers::secret::Secret;
use taxdisk_drivers::sim::bot::real_ticker;
use taxdisk_drivers::sim::clock::real_time;
use taxdisk_drivers::sim::usb::{Speed, UsbAcm, attach_vhci};
use taxdisk_drivers::sim::zc::ZcOptions;
use taxdisk_drivers::sim::{SimConfig, SimDisk};
use taxdisk_drivers::transport::serial::SerialLine;
use taxdisk_drivers::transport::usb::bot::{Bot, Status};
use taxdisk_drivers::transport::usb::real::{Selector, UsbDevice};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_tests::process::wait_for;

use crate::devices::{PLUG_PATIENCE, UsbBotStand};
use crate::modem::ModemStand;
use crate::{bus, import, product};

/// How often the cable is pulled under the driver at least: each place gets its turn as often as the others.
const PULLS: u64 = 25;
/// Transfers of an issuing command at most; more would be a driver that asks without end.
const MOST_TRANSFERS: u64 = 100;
/// How long the disk signs then: some of the breaks fall into it.
const SIGNING_MS: u64 = 30;
/// Where the modem port is plugged in; the USB disk goes round the others.
const ACM_PORT: u32 = 14;

/// A check and its name.
pub(crate) type Check = (&'static str, fn());

/// Those that run side by side, each list in its order: they mostly wait, and share no device.
pub(crate) const SIDE_BY_SIDE: [&[Check]; 2] = [USB, SERIAL];

/// The USB disk.
const USB: &[Check] = &[
    ("the_kernel_has_a_virtual_usb_controller", the_kernel_has_a_virtual_usb_controller),
    ("bulk_only_transport_to_a_foreign_stick", bulk_only_transport_to_a_foreign_stick),
    ("conformance_of_the_usb_disk", conformance_of_the_usb_disk),
    ("pulls_of_the_cable_make_no_invoice_twice", pulls_of_the_cable_make_no_invoice_twice),
    ("stalls_end_in_a_true_verdict", bus::stalls_end_in_a_true_verdict),
    ("a_nak_storm_is_left_and_settled_by_reading", bus::a_nak_storm_is_left_and_settled_by_reading),
    ("a_reset_by_somebody_else_makes_no_second_invoice", bus::a_reset_by_somebody_else_makes_no_second_invoice),
    ("the_disk_that_sim_gives_away_is_plugged_in", import::the_disk_that_sim_gives_away_is_plugged_in_by_this_kernel),
];

/// Serial ports.
const SERIAL: &[Check] = &[
    ("conformance_of_the_converter_at_a_modem_port", conformance_of_the_converter_at_a_modem_port),
    ("zc_over_a_modem_port_of_the_kernel", zc_over_a_modem_port_of_the_kernel),
    ("zc_through_a_foreign_serial_converter", zc_through_a_foreign_serial_converter),
];

/// Those that have the machine for themselves, afterwards.
pub(crate) const ALONE: &[Check] = &[("the_shipped_agent_survives_fifty_pulls", product::the_shipped_agent_survives_fifty_pulls)];

fn the_kernel_has_a_virtual_usb_controller() {
    assert!(Path::new("/sys/devices/platform/vhci_hcd.0/attach").exists());
}

/// QEMU's own USB stick (46F4:0001). INQUIRY is the one command that every such device must know (SPC-4, 6.4).
fn bulk_only_transport_to_a_foreign_stick() {
    let selector: Selector = "46f4:0001".parse().unwrap();
    let device = wait_for("the stick", PLUG_PATIENCE, || UsbDevice::open(selector.clone()).map_err(|error| error.to_string()));
    let mut bot = Bot::new(device);
    bot.recover().unwrap();
    assert_eq!(bot.max_lun().unwrap(), 0);
    let inquire = |bot: &mut Bot<UsbDevice>| {
        let reply = bot.command_in(&[0x12, 0, 0, 0, 36, 0], 36).unwrap();
        assert_eq!((reply.status, &reply.data[8..12]), (Status::Passed, b"QEMU".as_slice()), "{reply:?}");
    };
    inquire(&mut bot);
    // A command that it does not know fails, and the next one goes well.
    let refused = bot.command_in(&[0xFE, 0, 0, 0, 16, 0], 16);
    assert!(!matches!(&refused, Ok(reply) if reply.status == Status::Passed), "{refused:?}");
    if !bot.is_ready() {
        bot.recover().unwrap();
    }
    let _ = bot.command_in(&[0x03, 0, 0, 0, 18, 0], 18).unwrap();
    inquire(&mut bot);
}

/// QEMU's own FTDI converter, with the simulated ZC disk behind it on the host.
fn zc_through_a_foreign_serial_converter() {
    let port = "/dev/ttyUSB0";
    let line = wait_for("the converter", PLUG_PATIENCE, || SerialLine::open(port, 9600).map_err(|error| error.to_string()));
    let mut disk = ZcDisk::new(line, zc_config());
    issue_and_read_back(&mut disk, InvoiceKind::Roll);
}

/// Issues one invoice with the pair that was read before, and reads it back.
pub(crate) fn issue_and_read_back(disk: &mut dyn TaxDisk, kind: InvoiceKind) {
    let seller = disk.identity().unwrap();
    let expected = disk.stock(kind).unwrap().current;
    let invoice = sample::plain(disk.capabilities());
    let remark = "虚拟机 #GUEST";
    let request = IssueRequest { kind, expected, invoice: &invoice, remark, seller: &seller, red: None, request_id: "GUEST1" };
    let answer = disk.issue(&request);
    assert!(matches!(&answer, IssueAnswer::Signed(signed) if signed.pair == expected), "{answer:?}");
    let found = disk.query(kind, expected).unwrap().expect("what was signed is found");
    assert_eq!(disk.compare(&request, &found), Comparison::Equal);
    assert_eq!(Some(disk.stock(kind).unwrap().current), expected.successor());
}

/// The whole suite, through libusb and the kernel.
fn conformance_of_the_usb_disk() {
    let report = conformance::run(&mut UsbBotStand::new(0));
    println!("{report}");
    assert_eq!(report.failures().count(), 0);
    assert!(report.passed() >= 18);
}

/// The same over the kernel's serial driver.
fn conformance_of_the_converter_at_a_modem_port() {
    let report = conformance::run(&mut ModemStand::new(ACM_PORT));
    println!("{report}");
    assert_eq!(report.failures().count(), 0);
    assert!(report.passed() >= 18);
}

/// The cable breaks at each transfer of an issuing command in turn, then behind its answer, again and again; the shipped agent
/// meets fifty pulls more. Guards I1 and I5: what the driver says agrees with the disk's ledger, and after plugging in again
/// reading tells what became of the expected number.
fn pulls_of_the_cable_make_no_invoice_twice() {
    let mut stand = UsbBotStand::new(SIGNING_MS);
    let kind = stand.kind();
    let (mut signed, mut in_doubt, mut not_sent, mut lost_answers) = (0, 0, 0, 0);
    let mut disk = stand.open().unwrap();
    let seller = disk.identity().unwrap();
    // One without trouble first, to know how many transfers it takes: how often the host asks whether the disk is through
    // depends on how busy the guest is.
    let mut transfers = None;
    for round in 0_u64.. {
        let expected = disk.stock(kind).unwrap().current;
        let invoice = sample::plain(disk.capabilities());
        let remark = format!("第{round}次");
        let request_id = format!("PULL{round}");
        let request = IssueRequest {
            kind,
            expected,
            invoice: &invoice,
            remark: &remark,
            seller: &seller,
            red: None,
            request_id: &request_id,
        };
        let before = stand.outlet.moved();
        let place = transfers.map(|whole| (round - 1) % (whole + 1));
        let behind = place.is_some() && place == transfers;
        if let Some(place) = place.filter(|_| !behind) {
            stand.outlet.break_after(place);
        }
        let answer = disk.issue(&request);
        if transfers.is_none() {
            assert!(matches!(&answer, IssueAnswer::Signed(_)), "{answer:?}");
            let whole = stand.outlet.moved() - before;
            assert!(whole <= MOST_TRANSFERS, "{whole} transfers");
            transfers = Some(whole);
            continue;
        }
        if behind {
            stand.outlet.pull();
        }
        drop(disk);
        // It kept its power: what it was signing when the cable went, it signs.
        wait_for("the disk to end what it does", PLUG_PATIENCE, || {
            let mut device = stand.lock();
            device.advance();
            if device.wake_at().is_some() { Err("it signs".to_owned()) } else { Ok(()) }
        });
        stand.plug();
        disk = stand.open().unwrap();
        disk.resync().unwrap();
        let ours = stand.lock().disk.ledger().entries().iter().filter(|entry| entry.remark == remark).count();
        match &answer {
            IssueAnswer::Signed(got) => {
                signed += 1;
                assert_eq!((ours, got.pair), (1, expected), "round {round}");
            }
            IssueAnswer::NotSent(_) => {
                not_sent += 1;
                assert_eq!(ours, 0, "round {round}: {answer:?}");
            }
            IssueAnswer::Refused(_) | IssueAnswer::InDoubt(_) => {
                in_doubt += 1;
                lost_answers += ours;
                assert!(ours <= 1, "round {round}");
            }
        }
        let found = disk.query(kind, expected).unwrap();
        assert_eq!(found.is_some(), ours == 1, "round {round}: {answer:?}, {found:?}");
        assert!(found.is_none_or(|found| disk.compare(&request, &found) == Comparison::Equal), "round {round}");
        if behind && round >= PULLS {
            break;
        }
    }
    println!("{signed} signed, {in_doubt} in doubt of which {lost_answers} were signed, {not_sent} not sent");
    assert!(signed > 0 && lost_answers > 0 && not_sent > 0, "a place was never hit");
}

/// The serial converter as a CDC-ACM device: the kernel's own driver makes `/dev/ttyACM0` of it, and takes it away again.
fn zc_over_a_modem_port_of_the_kernel() {
    let port = "/dev/ttyACM0";
    for _ in 0..2 {
        let disk = SimDisk::in_memory(SimConfig::default(), real_time());
        let device = UsbAcm::new(disk, ZcOptions::default(), real_ticker());
        let rig = device.rig();
        let cable = attach_vhci(ACM_PORT, Speed::High, Box::new(device)).unwrap();
        let line = wait_for("the modem port", PLUG_PATIENCE, || SerialLine::open(port, 9600).map_err(|error| error.to_string()));
        let mut disk = ZcDisk::new(line, zc_config());
        issue_and_read_back(&mut disk, InvoiceKind::Roll);
        assert_eq!(rig.lock().unwrap().disk.ledger().entries().len(), 1);
        cable.unplug();
        let error = disk.stock(InvoiceKind::Roll).unwrap_err();
        assert!(matches!(error.class, DeviceClass::NotPresent | DeviceClass::Link), "{error:?}");
        drop(disk);
        wait_for("the port to go", PLUG_PATIENCE, || if Path::new(port).exists() { Err("there".to_owned()) } else { Ok(()) });
        // The controller's own port is free again only some time later.
        wait_for("a free port", PLUG_PATIENCE, || free(ACM_PORT));
    }
}

/// Whether a port of the virtual controller is free: its status is 4 (`VDEV_ST_NULL` of the kernel's usbip).
pub(crate) fn free(port: u32) -> Result<(), String> {
    let status = std::fs::read_to_string("/sys/devices/platform/vhci_hcd.0/status").map_err(|error| error.to_string())?;
    let wanted = format!("{port:04}");
    let line = status.lines().find(|line| line.split_whitespace().nth(1) == Some(&wanted)).unwrap_or("no such port");
    if line.split_whitespace().nth(2) == Some("004") { Ok(()) } else { Err(line.to_owned()) }
}

fn zc_config() -> ZcConfig {
    ZcConfig {
        disk_password: Secret::new("88888888"),
        certificate_password: Secret::new("12345678"),
        machine_number: "JQ0000000001".to_owned(),
        ..ZcConfig::default()
    }
}

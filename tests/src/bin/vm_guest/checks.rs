//! The checks, in the order in which they run. Each is a function that panics when something is not as it must be.

use std::path::Path;
use std::time::Duration;

use taxdisk_drivers::conformance::sample;
use taxdisk_drivers::dialects::zc::{ZcConfig, ZcDisk};
use taxdisk_drivers::disk::{Comparison, IssueAnswer, IssueRequest, TaxDisk};
use taxdisk_drivers::secret::Secret;
use taxdisk_drivers::transport::serial::SerialLine;
use taxdisk_drivers::transport::usb::bot::{Bot, Status};
use taxdisk_drivers::transport::usb::real::{Selector, UsbDevice};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_tests::process::wait_for;

/// The longest that a device may take to appear.
const PLUG_PATIENCE: Duration = Duration::from_secs(30);

/// A check and its name.
type Check = (&'static str, fn());

/// All of them.
pub(crate) const ALL: &[Check] = &[
    ("the_kernel_has_a_virtual_usb_controller", the_kernel_has_a_virtual_usb_controller),
    ("bulk_only_transport_to_a_foreign_stick", bulk_only_transport_to_a_foreign_stick),
    ("zc_through_a_foreign_serial_converter", zc_through_a_foreign_serial_converter),
];

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
    let config = ZcConfig {
        disk_password: Secret::new("88888888"),
        certificate_password: Secret::new("12345678"),
        machine_number: "JQ0000000001".to_owned(),
        ..ZcConfig::default()
    };
    let mut disk = ZcDisk::new(line, config);
    issue_and_read_back(&mut disk, InvoiceKind::Roll);
}

/// Issues one invoice with the pair that was read before, and reads it back.
fn issue_and_read_back(disk: &mut dyn TaxDisk, kind: InvoiceKind) {
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

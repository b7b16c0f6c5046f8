//! The other changing commands: what they send, that they send it once, and what is believed.

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;

use super::double::{At, What, bench, known_disk};
use crate::dialects::nisec::document::samples;
use crate::disk::TaxDisk;
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::secret::Secret;
use crate::transport::usb::UsbError;

const KIND: InvoiceKind = InvoiceKind::PaperOrdinary;
const DONE: OperationAnswer = OperationAnswer::Done { pair: None, at: None };

fn void() -> Operation {
    Operation::Void {
        kind: KIND,
        pair: "1100000320 00000088".parse().unwrap(),
        net: "200.00".parse().unwrap(),
        operator: "王五".to_owned(),
    }
}

fn blank_void(number: &str) -> Operation {
    let expected = format!("1100000320 {number}").parse().unwrap();
    Operation::BlankVoid { kind: KIND, expected, operator: "王五".to_owned() }
}

fn password(which: PasswordKind) -> Operation {
    Operation::ChangePassword { which, old: Secret::new("88888888"), new: Secret::new("87654321") }
}

/// All of them with the number of their command.
fn all() -> Vec<(Operation, u8, &'static str)> {
    vec![
        (void(), 0x7E, "FPZF"),
        (Operation::Report { kind: KIND }, 0x11, "11"),
        (Operation::Clear { kind: KIND }, 0x12, "12"),
        (Operation::RefreshOffline { kind: KIND }, 0x15, "15"),
        (Operation::Upload { kind: KIND }, 0x16, "16"),
        (password(PasswordKind::Disk), 0x09, "09"),
        (password(PasswordKind::Certificate), 0x1C, "1C"),
    ]
}

#[test]
fn each_is_sent_once_and_done() {
    for (operation, command, name) in all() {
        let bench = bench();
        let mut disk = known_disk(&bench);
        assert!(disk.capabilities().can(operation.name()));
        let answer = disk.operate(&operation);
        assert!(matches!(answer, OperationAnswer::Done { .. }), "{name}: {answer:?}");
        assert_eq!((bench.tried(command), bench.executed(name)), (1, 1), "{name}");
    }
}

#[test]
fn each_is_sent_once_and_in_doubt_when_its_end_is_not_heard() {
    for (operation, command, name) in all() {
        let bench = bench();
        let mut disk = known_disk(&bench);
        if name == "16" {
            // It asks first what waits: the fault is for the second command.
            bench.arm(At::Status, What::Bytes(|_| ()));
        }
        bench.arm(At::Status, What::Unplug);
        let answer = disk.operate(&operation);
        assert!(matches!(answer, OperationAnswer::InDoubt(_)), "{name}: {answer:?}");
        bench.replug();
        disk.resync().unwrap();
        assert_eq!((bench.tried(command), bench.executed(name)), (1, 1), "{name}");
    }
}

#[test]
fn each_is_not_sent_when_its_last_packet_was_not() {
    for (operation, command, name) in all() {
        let bench = bench();
        let mut disk = known_disk(&bench);
        if name == "16" {
            bench.arm(At::Status, What::Bytes(|_| ()));
        }
        bench.arm(At::Block, What::FailsEarly(UsbError::Timeout { moved: None }));
        let answer = disk.operate(&operation);
        assert!(matches!(answer, OperationAnswer::NotSent(_)), "{name}: {answer:?}");
        disk.resync().unwrap();
        assert_eq!((bench.tried(command), bench.executed(name)), (1, 0), "{name}");
    }
}

#[test]
fn a_refusal_is_doubt_whatever_its_text() {
    for (operation, _, name) in all() {
        let bench = bench();
        let mut disk = known_disk(&bench);
        bench.refuse(name, 0, "JSK98:未到允许开票的起始时间");
        let answer = disk.operate(&operation);
        assert!(matches!(&answer, OperationAnswer::InDoubt(error) if error.class == DeviceClass::Locked), "{name}: {answer:?}");
    }
}

#[test]
fn a_blank_is_voided_only_if_it_is_the_one_that_was_written_down() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    let answer = disk.operate(&blank_void("00000087"));
    assert!(matches!(&answer, OperationAnswer::NotSent(error) if error.class == DeviceClass::NumberMismatch), "{answer:?}");
    assert_eq!(bench.executed("FPZF"), 0);
    let answer = disk.operate(&blank_void("00000088"));
    let pair = Some("1100000320 00000088".parse().unwrap());
    assert_eq!(answer, OperationAnswer::Done { pair, at: Some("20260302103000".to_owned()) });
    assert_eq!(bench.executed("FPZF"), 1);
}

#[test]
fn an_answer_about_another_invoice_is_doubt() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    let other = "<fplxdm>007</fplxdm><fpdm>1100000320</fpdm><fphm>00000087</fphm><zfrq/><returncode>0</returncode>";
    bench.say("FPZF", samples::answer("FPZF", other));
    assert!(matches!(disk.operate(&void()), OperationAnswer::InDoubt(_)));
}

#[test]
fn the_upload_is_a_toggle_and_not_sent_while_it_runs() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    let upload = Operation::Upload { kind: KIND };
    assert_eq!(disk.operate(&upload), DONE);
    let again = disk.operate(&upload);
    assert!(matches!(&again, OperationAnswer::NotSent(error) if error.class == DeviceClass::InProgress), "{again:?}");
    let mut none = b"0".to_vec();
    none.resize(51, 0);
    bench.say("30", none);
    let nothing = disk.operate(&upload);
    assert!(matches!(&nothing, OperationAnswer::NotSent(error) if error.class == DeviceClass::InvalidRequest), "{nothing:?}");
    assert_eq!(bench.executed("16"), 1);
}

#[test]
fn a_network_command_is_waited_for_longer() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.state().busy_questions = 1700;
    assert_eq!(disk.operate(&Operation::Report { kind: KIND }), DONE);
    bench.state().busy_questions = 2000;
    let began = bench.state().now;
    assert!(matches!(disk.operate(&Operation::Clear { kind: KIND }), OperationAnswer::InDoubt(_)));
    assert_eq!((bench.state().now - began).as_secs(), 180);
    assert_eq!((bench.tried(0x11), bench.tried(0x12)), (1, 1));
}

#[test]
fn a_changed_password_is_used_from_then_on_and_only_then() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.refuse("09", 0, "JSK236:管理员登录口令错误");
    assert!(matches!(disk.operate(&password(PasswordKind::Disk)), OperationAnswer::InDoubt(_)));
    assert_eq!(disk.config.disk_password.expose(), b"88888888");
    assert!(disk.stock(KIND).is_err(), "what carries a refused password waits for a person");
    let mut disk = known_disk(&super::double::bench());
    assert_eq!(disk.operate(&password(PasswordKind::Certificate)), DONE);
    assert_eq!(disk.config.certificate_password.expose(), b"87654321");
    assert_eq!(disk.config.disk_password.expose(), b"88888888");
}

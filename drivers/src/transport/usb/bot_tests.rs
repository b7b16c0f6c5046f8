//! The bulk-only transport against a scripted device: the vectors of part C.4.6, and every way in which a command can break.

#![allow(clippy::unwrap_used)]

use super::super::memory::{ScriptedDevice, Step};
use super::*;

const PACKET: usize = 64;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn gone() -> UsbError {
    UsbError::Gone { device: "x".to_owned(), detail: "x".to_owned() }
}

fn io() -> UsbError {
    UsbError::Io { detail: "x".to_owned() }
}

/// What reset recovery looks like to the device.
fn recovery() -> Vec<Step> {
    vec![
        Step::Control(RESET),
        Step::ClearHalt(Pipe::In),
        Step::ClearHalt(Pipe::Out),
        Step::InFails(UsbError::Timeout { moved: Some(0) }),
    ]
}

/// A transport that is ready, its next tag 1, and then these steps.
fn bot(steps: Vec<Step>) -> Bot<ScriptedDevice> {
    let mut bot = Bot::new(ScriptedDevice::new(recovery()).with_packet_bytes(PACKET));
    bot.recover().unwrap();
    bot.device_mut().expect(steps);
    bot
}

fn csw(tag: u32, residue: u32, status: u8) -> Vec<u8> {
    [b"USBS".as_slice(), &tag.to_le_bytes(), &residue.to_le_bytes(), &[status]].concat()
}

fn block_out(length: u32) -> Step {
    Step::Out(command_block(1, &[0xD0], length, false).to_vec())
}

fn block_in(length: u32) -> Step {
    Step::Out(command_block(1, &[0xD1], length, true).to_vec())
}

/// Runs a command with 100 bytes to the device: 64 and then 36.
fn run_out(steps: Vec<Step>) -> (Result<Reply, Broken>, Bot<ScriptedDevice>) {
    let mut bot = bot(steps);
    let outcome = bot.command_out(&[0xD0], &[7; 100]);
    assert_eq!(bot.device().rest(), 0, "the device expected more");
    (outcome, bot)
}

fn run_in(steps: Vec<Step>) -> (Result<Reply, Broken>, Bot<ScriptedDevice>) {
    let mut bot = bot(steps);
    let outcome = bot.command_in(&[0xD1], 512);
    assert_eq!(bot.device().rest(), 0, "the device expected more");
    (outcome, bot)
}

fn head() -> Step {
    Step::Out(vec![7; 64])
}

fn tail() -> Step {
    Step::Out(vec![7; 36])
}

#[test]
fn the_inquiry_block_is_the_vector() {
    let block = command_block(1, &[0x12, 0, 0, 0, 0x24, 0], 36, true);
    assert_eq!(block.to_vec(), hex("5553424301000000240000008000061200000024 0000000000000000000000"));
}

#[test]
fn the_statuses_of_the_vectors() {
    let parse = |text: &str, tag, length| parse_status(&hex(text), tag, length);
    assert_eq!(parse("555342530101 00000000000000", 0x101, 55), Ok((Status::Passed, 0)));
    assert_eq!(parse("5553425302010000F001000000", 0x102, 512), Ok((Status::Passed, 496)));
    assert_eq!(parse("5553425303010000CD01000000", 0x103, 512), Ok((Status::Passed, 461)));
    assert_eq!(parse("55534253040100003700000001", 0x104, 55), Ok((Status::Failed, 55)));
}

#[test]
fn a_status_is_valid_and_meaningful_or_none() {
    let good = csw(9, 5, 0);
    assert_eq!(parse_status(&good, 9, 5), Ok((Status::Passed, 5)));
    for (bytes, tag, length) in [
        (good[..12].to_vec(), 9, 5),
        ([good.clone(), vec![0]].concat(), 9, 5),
        (good.clone(), 8, 5),
        (good.clone(), 9, 4),
        (csw(9, 0, 3), 9, 5),
        ([b"USBC".as_slice(), &good[4..]].concat(), 9, 5),
    ] {
        assert!(matches!(parse_status(&bytes, tag, length), Err(Fault::BadStatus(_))), "{bytes:02X?}");
    }
    assert_eq!(parse_status(&csw(9, 99, 2), 9, 5), Err(Fault::Phase), "a phase error says nothing by its residue");
}

#[test]
fn data_to_the_device_go_out_with_their_last_packet_apart() {
    let (outcome, bot) = run_out(vec![block_out(100), head(), tail(), Step::In(csw(1, 0, 0))]);
    let reply = outcome.unwrap();
    assert_eq!((reply.status, reply.residue, reply.progress), (Status::Passed, 0, Progress::LastByteBegun));
    assert!(bot.is_ready());
    // An exact multiple of the packet: the last packet is a full one, and no empty packet follows.
    let mut bot = self::bot(vec![block_out(128), head(), head(), Step::In(csw(1, 0, 0))]);
    assert_eq!(bot.command_out(&[0xD0], &[7; 128]).unwrap().status, Status::Passed);
    assert_eq!(bot.device().rest(), 0);
}

#[test]
fn nothing_goes_out_before_a_recovery_that_worked() {
    let mut bot = Bot::new(ScriptedDevice::new([]));
    let broken = bot.command_out(&[0xD0], &[1]).unwrap_err();
    assert_eq!(broken, Broken { progress: Progress::BeforeLastByte, fault: Fault::NotRecovered });
    // And after one that failed.
    let (outcome, mut bot) = run_out(vec![
        block_out(100),
        head(),
        tail(),
        Step::InFails(UsbError::Timeout { moved: Some(0) }),
        Step::ControlFails(UsbError::Stall),
    ]);
    assert_eq!(outcome.unwrap_err().progress, Progress::LastByteBegun);
    assert!(!bot.is_ready());
    assert_eq!(bot.command_in(&[0xD1], 512).unwrap_err().fault, Fault::NotRecovered);
}

#[test]
fn a_command_that_does_not_fit_is_not_sent() {
    let mut bot = bot(vec![]);
    for (cdb, length) in [(vec![], 0), (vec![0; 17], 0), (vec![0], MAX_DATA_BYTES + 1)] {
        let broken = bot.command_in(&cdb, length).unwrap_err();
        assert!(matches!(broken.fault, Fault::TooLong { .. }));
        assert_eq!(broken.progress, Progress::BeforeLastByte);
    }
}

#[test]
fn until_the_last_packet_is_begun_nothing_was_sent_whatever_the_fault() {
    for error in [UsbError::Stall, UsbError::Timeout { moved: None }, UsbError::Timeout { moved: Some(31) }, io()] {
        // The command block; its data never follow.
        let (outcome, bot) = run_out([vec![block_out_fails(&error)], recovery()].concat());
        assert_eq!(outcome.unwrap_err().progress, Progress::BeforeLastByte, "{error:?}");
        assert!(bot.is_ready());
    }
    for error in [UsbError::Timeout { moved: Some(64) }, UsbError::Timeout { moved: None }, io()] {
        let (outcome, bot) = run_out([vec![block_out(100), Step::OutFails(error)], recovery()].concat());
        assert_eq!(outcome.unwrap_err().progress, Progress::BeforeLastByte);
        assert!(bot.is_ready());
    }
}

fn block_out_fails(error: &UsbError) -> Step {
    Step::OutFails(error.clone())
}

#[test]
fn from_the_last_packet_on_the_device_may_have_the_command() {
    for (error, progress) in [
        (UsbError::Timeout { moved: Some(36) }, Progress::LastByteBegun),
        (UsbError::Timeout { moved: None }, Progress::LastByteBegun),
        (io(), Progress::LastByteBegun),
        // The operating system counted the bytes: the last one was not among them.
        (UsbError::Timeout { moved: Some(35) }, Progress::BeforeLastByte),
    ] {
        let (outcome, _) = run_out([vec![block_out(100), head(), Step::OutFails(error.clone())], recovery()].concat());
        assert_eq!(outcome.unwrap_err().progress, progress, "{error:?}");
    }
}

#[test]
fn a_command_without_data_is_whole_with_its_block() {
    for (error, progress) in [
        (UsbError::Timeout { moved: Some(0) }, Progress::BeforeLastByte),
        (UsbError::Timeout { moved: None }, Progress::LastByteBegun),
        (UsbError::Stall, Progress::LastByteBegun),
    ] {
        let mut bot = bot([vec![Step::OutFails(error)], recovery()].concat());
        assert_eq!(bot.command_out(&[0xD0], &[]).unwrap_err().progress, progress);
    }
}

#[test]
fn a_stalled_data_stage_goes_on_to_the_status() {
    // In its first part: the device never had the whole.
    let steps = vec![block_out(100), Step::OutFails(UsbError::Stall), Step::ClearHalt(Pipe::Out), Step::In(csw(1, 100, 1))];
    let (outcome, bot) = run_out(steps);
    let reply = outcome.unwrap();
    assert_eq!((reply.status, reply.residue, reply.progress), (Status::Failed, 100, Progress::BeforeLastByte));
    assert!(bot.is_ready());
    // In its last packet: it may have had it.
    let stall = [Step::OutFails(UsbError::Stall), Step::ClearHalt(Pipe::Out), Step::In(csw(1, 36, 1))];
    let (outcome, _) = run_out([vec![block_out(100), head()], stall.to_vec()].concat());
    assert_eq!(outcome.unwrap().progress, Progress::LastByteBegun);
    // From the device.
    let steps = vec![block_in(512), Step::InFails(UsbError::Stall), Step::ClearHalt(Pipe::In), Step::In(csw(1, 512, 1))];
    let (outcome, _) = run_in(steps);
    let reply = outcome.unwrap();
    assert_eq!((reply.status, reply.data.len()), (Status::Failed, 0));
}

#[test]
fn a_short_answer_is_normal() {
    let (outcome, _) = run_in(vec![block_in(512), Step::In(vec![9; 16]), Step::In(csw(1, 496, 0))]);
    let reply = outcome.unwrap();
    assert_eq!((reply.data, reply.residue), (vec![9; 16], 496));
}

#[test]
fn an_empty_packet_that_closes_the_data_is_passed_over_once() {
    let (outcome, _) = run_in(vec![block_in(512), Step::In(vec![9; 64]), Step::In(vec![]), Step::In(csw(1, 448, 0))]);
    assert_eq!(outcome.unwrap().data.len(), 64);
    let twice = vec![block_in(512), Step::In(vec![9; 64]), Step::In(vec![]), Step::In(vec![])];
    let (outcome, _) = run_in([twice, recovery()].concat());
    assert!(matches!(outcome.unwrap_err().fault, Fault::BadStatus(_)));
}

#[test]
fn a_status_in_place_of_data_ends_the_data_stage() {
    let (outcome, _) = run_in(vec![block_in(512), Step::In(csw(1, 512, 1))]);
    let reply = outcome.unwrap();
    assert_eq!((reply.status, reply.residue, reply.data), (Status::Failed, 512, vec![]));
    // That of another command is data.
    let (outcome, _) = run_in(vec![block_in(512), Step::In(csw(7, 512, 1)), Step::In(csw(1, 499, 0))]);
    assert_eq!(outcome.unwrap().data, csw(7, 512, 1));
}

#[test]
fn a_stalled_status_is_read_once_more() {
    let again = [Step::InFails(UsbError::Stall), Step::ClearHalt(Pipe::In)];
    let begin = || [vec![block_out(100), head(), tail()], again.to_vec()].concat();
    let (outcome, _) = run_out([begin(), vec![Step::In(csw(1, 0, 0))]].concat());
    assert_eq!(outcome.unwrap().status, Status::Passed);
    let (outcome, bot) = run_out([begin(), vec![Step::InFails(UsbError::Stall)], recovery()].concat());
    assert_eq!(outcome.unwrap_err(), Broken { progress: Progress::LastByteBegun, fault: Fault::Usb(UsbError::Stall) });
    assert!(bot.is_ready());
}

#[test]
fn a_bad_status_a_phase_error_and_silence_end_in_recovery_and_doubt() {
    let bad = [
        Step::In(csw(1, 0, 0)[..12].to_vec()),
        Step::In(csw(2, 0, 0)),
        Step::In(csw(1, 101, 0)),
        Step::In(csw(1, 0, 2)),
        Step::InFails(UsbError::Timeout { moved: Some(0) }),
        Step::InFails(UsbError::Overflow),
        Step::InFails(io()),
    ];
    for step in bad {
        let (outcome, bot) = run_out([vec![block_out(100), head(), tail(), step.clone()], recovery()].concat());
        assert_eq!(outcome.unwrap_err().progress, Progress::LastByteBegun, "{step:02X?}");
        assert!(bot.is_ready());
    }
}

#[test]
fn an_unplugged_device_is_left_alone() {
    let stages = [
        (vec![Step::OutFails(gone())], Progress::BeforeLastByte),
        (vec![block_out(100), Step::OutFails(gone())], Progress::BeforeLastByte),
        (vec![block_out(100), head(), Step::OutFails(gone())], Progress::LastByteBegun),
        (vec![block_out(100), head(), tail(), Step::InFails(gone())], Progress::LastByteBegun),
    ];
    for (steps, progress) in stages {
        let (outcome, mut bot) = run_out(steps);
        assert_eq!(outcome.unwrap_err(), Broken { progress, fault: Fault::Usb(gone()) });
        assert!(!bot.is_ready());
        bot.device_mut().expect([vec![Step::Reopen], recovery()].concat());
        bot.reopen().unwrap();
        assert!(bot.is_ready());
    }
}

#[test]
fn recovery_throws_away_what_a_cancelled_command_left() {
    let reset = || vec![Step::Control(RESET), Step::ClearHalt(Pipe::In), Step::ClearHalt(Pipe::Out)];
    let late = vec![Step::In(vec![1; 512]), Step::In(csw(77, 0, 0)), Step::InFails(UsbError::Timeout { moved: Some(0) })];
    let mut bot = Bot::new(ScriptedDevice::new([reset(), late].concat()));
    bot.recover().unwrap();
    assert_eq!((bot.device().rest(), bot.is_ready()), (0, true));
    let endless = (0..MAX_DRAIN_READS).map(|_| Step::In(vec![1]));
    let mut bot = Bot::new(ScriptedDevice::new(reset().into_iter().chain(endless)));
    assert!(bot.recover().is_err());
    assert!(!bot.is_ready());
    let stalls = vec![Step::InFails(UsbError::Stall), Step::ClearHalt(Pipe::In)];
    let mut bot = Bot::new(ScriptedDevice::new([reset(), stalls].concat()));
    bot.recover().unwrap();
}

#[test]
fn the_units_of_a_device_that_does_not_count_them() {
    let mut bot = bot(vec![Step::ControlIn(MAX_LUN, vec![3]), Step::ControlFails(UsbError::Stall)]);
    assert_eq!(bot.max_lun(), Ok(3));
    assert_eq!(bot.max_lun(), Ok(0));
}

#[test]
fn tags_count_up_and_are_never_zero() {
    let mut bot = bot(vec![]);
    for tag in [u32::MAX, 1, 2] {
        bot.device_mut().expect([Step::Out(command_block(tag, &[0], 0, false).to_vec()), Step::In(csw(tag, 0, 0))]);
    }
    bot.count_tags_from(u32::MAX);
    for _ in 0..3 {
        bot.command_out(&[0], &[]).unwrap();
    }
}

proptest::proptest! {
    /// Only 13 bytes with our signature and our tag end a command; whatever else comes is doubt.
    #[test]
    fn whatever_comes_as_status_is_ours_or_refused(bytes: Vec<u8>, signed: bool) {
        let mut bytes = bytes;
        if signed && bytes.len() >= 8 {
            bytes[..4].copy_from_slice(b"USBS");
        }
        let ours = bytes.len() == CSW_BYTES && bytes.starts_with(b"USBS") && bytes[4..8] == [1, 0, 0, 0];
        proptest::prop_assert!(ours || parse_status(&bytes, 1, 512).is_err());
    }
}

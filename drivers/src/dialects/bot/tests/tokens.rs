//! Tokens: where they begin, that none is used twice, and that nobody's older command is run over.

use taxdisk_protocol::class::DeviceClass;

use super::double::{At, What, bench, config, disk, known_disk};
use crate::dialects::bot::{BotConfig, BotDisk};
use crate::disk::TaxDisk;
use crate::transport::usb::{BulkDevice, UsbError};

#[test]
fn they_count_on_above_the_larger_of_the_floor_and_what_the_disk_shows() {
    for (floor, changing, reading, first) in [(0, 5, 3, 6), (9, 5, 3, 10), (0, 5, 6, 7), (4, 4, 5, 6), (0, u32::MAX, 1, 2)] {
        let bench = bench();
        bench.remember(changing, reading);
        let mut disk = BotDisk::new(bench.device(), BotConfig { token_floor: floor, ..config() });
        disk.handshake().unwrap();
        assert_eq!(disk.last_token(), first, "floor {floor}, changing {changing}, reading {reading}");
        disk.handshake().unwrap();
        assert_eq!(disk.last_token(), first + 1);
    }
}

#[test]
fn a_host_that_forgot_its_count_meets_no_old_answer() {
    // Its floor is gone, and the disk remembers a reading token ahead of those that come next.
    for ahead in 6..12 {
        let bench = bench();
        bench.remember(5, ahead);
        let mut disk = BotDisk::new(bench.device(), BotConfig { token_floor: 0, ..config() });
        for nth in 1..=8 {
            disk.handshake().unwrap();
            assert_eq!(bench.executed("01"), nth, "reading token {ahead}: one command each, and each is new to the disk");
        }
    }
}

#[test]
fn a_command_of_the_program_before_is_waited_for() {
    let bench = bench();
    bench.remember_busy(77, 20);
    let mut disk = disk(&bench);
    disk.handshake().unwrap();
    assert!(bench.state().now.as_millis() >= 1900, "{:?}", bench.state().now);
    assert_eq!(disk.last_token(), 78);
}

#[test]
fn the_transport_begins_with_a_reset_recovery() {
    let bench = bench();
    // The program before was ended in the middle of a command.
    let mut abandoned = bench.device();
    let mut block = vec![0; 31];
    block[..4].copy_from_slice(b"USBC");
    (block[8], block[15]) = (36, 0x12);
    abandoned.bulk_out(&block, std::time::Duration::ZERO).unwrap();
    disk(&bench).handshake().unwrap();
    assert_eq!(bench.state().resets, 1);
}

#[test]
fn a_device_of_another_make_gets_no_command() {
    let bench = bench();
    bench.state().inquiry[8..16].copy_from_slice(b"KINGSTON");
    let mut disk = disk(&bench);
    let error = disk.identity().unwrap_err();
    assert_eq!(error.class, DeviceClass::NotPresent);
    assert!(error.text.contains("KINGSTON"), "{}", error.text);
    assert!(bench.state().tried.is_empty());
}

#[test]
fn a_device_that_is_not_there_says_so() {
    let bench = bench();
    bench.state().plugged = false;
    let mut disk = disk(&bench);
    assert_eq!(disk.resync().unwrap_err().class, DeviceClass::NotPresent);
    bench.replug();
    disk.resync().unwrap();
}

#[test]
fn a_reading_command_whose_end_was_not_heard_is_waited_for() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.state().busy_questions = 400;
    assert_eq!(disk.handshake().unwrap_err().class, DeviceClass::InProgress);
    let owed = disk.last_token();
    bench.state().busy_questions = 0;
    disk.handshake().unwrap();
    assert!(bench.state().fetched.iter().filter(|token| **token == owed).count() > 300, "asked until it was idle");
    assert_eq!(bench.tried(0x01), 2);
}

#[test]
fn a_failed_recovery_is_followed_by_opening_anew() {
    let bench = bench();
    let mut disk = known_disk(&bench);
    bench.arm(At::Status, What::FailsEarly(UsbError::Timeout { moved: Some(0) }));
    disk.handshake().unwrap();
    let opened = bench.state().opened;
    assert_eq!(opened, 0, "a recovery that works opens nothing");
    bench.arm(At::Status, What::Unplug);
    assert!(disk.handshake().is_err());
    bench.replug();
    disk.handshake().unwrap();
    assert_eq!(bench.state().opened, 1);
}

//! The vectors of part D.5, both ways, and frames that are none.

use proptest::prelude::*;

use super::super::apdu::{read_binary, select};
use super::super::files::{DAY, DayRecord, LIMITS, Roll};
use super::super::frame::{Answer, AnswerReader, FrameFault, ReaderFault, RequestType, request_frame};
use super::super::{files, redact_frame};
use super::script::{answer, f2, hex, identity, roll};

fn take(asked: RequestType, bytes: &[u8]) -> Result<Option<Answer>, FrameFault> {
    let mut reader = AnswerReader::new(asked);
    let mut rest = bytes;
    while !rest.is_empty() && reader.wants() > 0 {
        let (now, later) = rest.split_at(reader.wants().min(rest.len()));
        rest = later;
        if let Some(answer) = reader.take(now)? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

fn data(asked: RequestType, text: &str) -> (Vec<u8>, Option<u16>) {
    let answer = take(asked, &hex(text)).unwrap().unwrap();
    (answer.data, answer.status)
}

#[test]
fn requests() {
    assert_eq!(request_frame(RequestType::PowerOn, &[]), hex("0255AA960252EB"));
    assert_eq!(request_frame(RequestType::Apdu, &select::by_id(DAY.id).bytes), hex("0255AA96095000A4000002EF0388"));
    assert_eq!(request_frame(RequestType::Apdu, &read_binary::first(DAY.bytes).bytes), hex("0255AA96075000B000004CEA"));
    assert_eq!(
        request_frame(RequestType::Apdu, &f2().bytes),
        hex("0255AA963450C0F200002C2026030201000000590100002C24 {00*27} 2C245E08A5")
    );
    assert_eq!(request_frame(RequestType::Again, &[]), hex("0255AA9602FA93"));
}

#[test]
fn answers() {
    assert_eq!(data(RequestType::PowerOn, "05025259"), (vec![], None));
    assert_eq!(data(RequestType::Apdu, "0504509000E9"), (vec![], Some(0x9000)));
    let issued = (hex("1122334455667788"), Some(0x9000));
    assert_eq!(data(RequestType::Apdu, "050C501122334455667788900055"), issued);
    assert_eq!(data(RequestType::Again, "500CFA112233445566778890004A"), issued);
    assert_eq!(data(RequestType::Apdu, "0504509401EE").1, Some(0x9401));
    assert_eq!(data(RequestType::Apdu, "0504509303EF").1, Some(0x9303));
    let absent = FrameFault::Reader(ReaderFault::CardAbsent);
    assert_eq!(take(RequestType::Apdu, &hex("0502F6FD")), Err(absent));
}

#[test]
fn the_day_record_of_the_vector() {
    let text = "055050202603020005 {00*4} 0102 {00*6} 5848 {00*47} 580123456789ABCDEF900040";
    let (file, status) = data(RequestType::Apdu, text);
    assert_eq!((file.len(), status), (76, Some(0x9000)));
    let day = DayRecord::read(&file).unwrap();
    assert_eq!((day.date, day.normal, day.returned, day.spoiled), ([0x20, 0x26, 0x03, 0x02], 5, 0, 0));
    assert_eq!((day.normal_of(1), day.normal_of(2), day.normal_total(), day.previous), (22_600, 0, 22_600, 88));
    assert_eq!(day.fiscal_code, [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]);
    assert!(DayRecord::read(&file[1..]).is_err() && files::CardLimits::read(&file).is_err());
}

#[test]
fn every_wrong_byte_is_noticed_and_types_rule() {
    let frame = hex("050C501122334455667788900055");
    for at in 0..frame.len() {
        let mut wrong = frame.clone();
        wrong[at] ^= 0x04;
        assert!(!matches!(take(RequestType::Apdu, &wrong), Ok(Some(_))), "byte {at}");
        assert_eq!(take(RequestType::Apdu, &frame[..at]), Ok(None));
    }
    // 50 begins an answer only when it was got again; FA is no type of any other answer.
    assert_eq!(take(RequestType::Apdu, &hex("500CFA112233445566778890004A")), Err(FrameFault::Noise(0x50)));
    assert_eq!(take(RequestType::Again, &answer(0x05, 0xFA, &[], 0x9000)).unwrap().unwrap().status, Some(0x9000));
    assert_eq!(take(RequestType::Apdu, &answer(0x05, 0xFA, &[], 0x9000)), Err(FrameFault::Type(0xFA)));
    assert_eq!(take(RequestType::Again, &answer(0x05, 0x50, &[], 0x9000)), Err(FrameFault::Type(0x50)));
    // Power commands may be answered as if a card had spoken; commands for the card may not.
    for kind in [0x52, 0x50, 0xF0] {
        assert!(take(RequestType::PowerOn, &answer(0x05, kind, &[0x3B, 0x7C], 0x9000)).is_ok());
    }
    assert!(take(RequestType::Apdu, &answer(0x05, 0xF0, &[], 0x9000)).is_err());
    for kind in [0xF1, 0xF2, 0xF3, 0xF4, 0xF7, 0xF8, 0xF9] {
        let fault = FrameFault::Reader(ReaderFault::Other(kind));
        assert_eq!(take(RequestType::Apdu, &answer(0x05, kind, &[], 0x9000)), Err(fault));
    }
    assert_eq!(take(RequestType::Apdu, &request_frame(RequestType::Apdu, &f2().bytes)), Err(FrameFault::Echo));
    assert_eq!(take(RequestType::Apdu, &[0x05, 0x01, 0x50]), Err(FrameFault::Length(1)));
    assert_eq!(take(RequestType::Apdu, &[0x05, 0x03, 0x50]), Err(FrameFault::Length(3)));
}

#[test]
fn the_code_of_a_roll_is_read_in_both_forms_and_never_guessed() {
    let with = |code: &[u8]| {
        let mut data = roll();
        data[1..11].copy_from_slice(code);
        Roll::read(&data).map(|roll| roll.code.to_string())
    };
    assert_eq!(with(b"1100200010").unwrap(), "1100200010");
    assert_eq!(with(&hex("00000000011002000107")).unwrap(), "011002000107");
    assert_eq!(with(&hex("00000000001100200010")).unwrap(), "1100200010");
    for bad in ["11002000100000000000", "0000000001100200010A", "31313030323030303130FF"] {
        assert!(with(&hex(bad)[..10]).is_err() || bad.len() > 20, "{bad}");
    }
    let mut backwards = roll();
    backwards[11..15].copy_from_slice(&200_u32.to_be_bytes());
    assert!(Roll::read(&backwards).is_err());
    let card = files::CardIdentity::read(&identity()).unwrap();
    assert_eq!((card.number.as_str(), card.name.as_str()), ("1234567890ABCDEF", "示例商贸有限公司"));
    assert_eq!(LIMITS.bytes, 23);
}

#[test]
fn the_current_number_follows_the_last_one_to_the_end_of_the_roll() {
    let roll = Roll::read(&roll()).unwrap();
    let number = |previous| roll.current(previous).map(|pair| pair.number.value());
    assert_eq!((number(88), number(99), number(100), number(7), number(101)), (Some(89), Some(100), None, Some(80), Some(80)));
    assert_eq!(Roll { none_left: true, ..roll }.current(88), None);
}

#[test]
fn a_pin_is_masked_in_recordings() {
    let pin = crate::secret::Secret::new("87654321");
    let frame = request_frame(RequestType::Apdu, &super::super::apdu::verify::request(&pin, 1).unwrap().bytes);
    let masked = redact_frame(&frame);
    assert!(!masked.windows(3).any(|window| window == b"765") && masked.len() == frame.len());
    for length in 1..frame.len() {
        assert!(!redact_frame(&frame[..length]).windows(3).any(|window| window == b"765"), "cut at {length}");
        assert!(!redact_frame(&frame[length..]).windows(3).any(|window| window == b"765"), "from {length}");
    }
    let issuing = request_frame(RequestType::Apdu, &f2().bytes);
    assert_eq!(redact_frame(&issuing), issuing);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = take(RequestType::Apdu, &bytes);
        let _ = take(RequestType::Again, &bytes);
        let _ = redact_frame(&bytes);
        let _ = (DayRecord::read(&bytes), Roll::read(&bytes), files::CardIdentity::read(&bytes));
    }
}

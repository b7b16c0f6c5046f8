//! Frames in any portions, garbage, and both ways.

use proptest::prelude::*;

use super::super::frame::{Answer, FrameFault, FrameType, Word, acknowledgement, command_frames};
use super::super::vectors::{self, read, read_in_portions};
use super::script::answer;

const ANSWERS: [&str; 13] = [
    "1 answer",
    "2 answer",
    "3 answer",
    "5 answer",
    "8 answer",
    "10 answer",
    "11 no stock",
    "12 link 1F",
    "12 link 12",
    "13 busy",
    "14 next 1",
    "16 answer",
    "20 number",
];

#[test]
fn acknowledgements_are_the_vectors() {
    assert_eq!(acknowledgement(FrameType::Fixed, Word::Ok, &[]), vectors::frame("1 answer"));
    assert_eq!(acknowledgement(FrameType::Fixed, Word::Np, &[2]), vectors::frame("14 next 2"));
    assert_eq!(acknowledgement(FrameType::Xml, Word::Ok, &[]), vectors::frame("21 ok"));
    assert_eq!(acknowledgement(FrameType::Xml, Word::Np, &[1]), vectors::frame("21 next 1"));
}

#[test]
fn commands_without_a_file_of_their_own_frame_like_their_vectors() {
    assert_eq!(vectors::frames_of(0x18, b"057600"), vectors::frames("17 request"));
    assert_eq!(vectors::frames_of(0x77, &[]), vectors::frames("19 request"));
    let xml = vectors::frame("23 request");
    assert_eq!(command_frames(FrameType::Xml, 0x08, &xml[6..xml.len() - 2]).unwrap(), vec![xml]);
}

#[test]
fn short_answers_say_what_the_vectors_mean() {
    let said = |name: &str, kind| {
        let Answer { word, number, data } = read(kind, &vectors::frame(name)).unwrap().unwrap();
        assert_eq!(number, 0);
        (word, data)
    };
    assert_eq!(said("12 link 1F", FrameType::Fixed), (Word::Er, vec![0x1F]));
    assert_eq!(said("12 link 12", FrameType::Fixed), (Word::Er, vec![0x12]));
    assert_eq!(said("19 answer", FrameType::Fixed), (Word::Er, vec![0x20]));
    assert_eq!(said("13 busy", FrameType::Fixed), (Word::Wt, vec![]));
    assert_eq!(said("21 busy", FrameType::Xml), (Word::Wt, vec![]));
    assert_eq!(said("21 link 1F", FrameType::Xml), (Word::Er, vec![0x1F]));
    assert_eq!(said("23 answer", FrameType::Xml).1.len(), 244);
}

#[test]
fn the_short_length_of_xml_errors_is_read_right_and_wrong() {
    let quirk = vectors::frame("22 no stock");
    let stock = read(FrameType::Fixed, &vectors::frame("11 no stock")).unwrap().unwrap();
    assert_eq!(read(FrameType::Xml, &quirk).unwrap().unwrap().data, stock.data);
    // A device that counts right is understood too.
    let right = acknowledgement(FrameType::Xml, Word::Er, &stock.data);
    assert_eq!(read(FrameType::Xml, &right).unwrap().unwrap().data, stock.data);
    // One byte is waited for, not more.
    let mut damaged = quirk.clone();
    damaged[8] ^= 1;
    assert_eq!(read(FrameType::Xml, &damaged), Err(FrameFault::Checksum));
    assert_eq!(read(FrameType::Xml, &quirk[..quirk.len() - 1]), Ok(None));
}

#[test]
fn what_is_no_answer_is_told_apart() {
    assert_eq!(read(FrameType::Fixed, &vectors::frame("3 request")), Err(FrameFault::Echo));
    assert_eq!(read(FrameType::Fixed, b"\xFFOK"), Err(FrameFault::Noise(0xFF, b'O')));
    assert_eq!(read(FrameType::Fixed, b"OK\0\x03"), Err(FrameFault::Length(3)));
    assert_eq!(read(FrameType::Fixed, b"OK\0\xFE"), Err(FrameFault::Length(254)));
    assert_eq!(read(FrameType::Xml, b"OK\0\xFF\xFE"), Err(FrameFault::Length(65_534)));
    let mut damaged = vectors::frame("3 answer");
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(read(FrameType::Fixed, &damaged), Err(FrameFault::Checksum));
}

#[test]
fn packets_are_numbered_and_bounded() {
    let numbers = |bytes: usize| -> Vec<u8> { vectors::frames_of(0x0A, &vec![7; bytes]).iter().map(|frame| frame[3]).collect() };
    assert_eq!(numbers(0), [0]);
    assert_eq!(numbers(248), [0]);
    assert_eq!(numbers(249), [1, 0]);
    assert_eq!(numbers(496), [1, 0]);
    assert_eq!(numbers(497), [1, 2, 0]);
    assert_eq!(numbers(248 * 255).last_chunk(), Some(&[254, 0]));
    assert!(command_frames(FrameType::Fixed, 0x0A, &vec![7; 248 * 255 + 1]).is_err());
    assert!(vectors::frames_of(0x0A, &vec![7; 500]).iter().all(|frame| frame.len() <= 255));
}

proptest! {
    #[test]
    fn any_portions_read_the_same(which in 0..ANSWERS.len(), portions in prop::collection::vec(1..40_usize, 1..20)) {
        for frame in vectors::frames(ANSWERS[which]) {
            let whole = read(FrameType::Fixed, &frame);
            prop_assert!(matches!(whole, Ok(Some(_))));
            prop_assert_eq!(read_in_portions(FrameType::Fixed, &frame, &portions), whole);
        }
    }

    #[test]
    fn garbage_never_panics_and_never_passes_for_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..600), xml: bool) {
        let kind = if xml { FrameType::Xml } else { FrameType::Fixed };
        if let Ok(Some(found)) = read(kind, &bytes) {
            // Only a right checksum passes.
            prop_assert_eq!(acknowledgement(kind, found.word, &found.data).len() <= bytes.len(), true);
        }
    }

    #[test]
    fn garbage_behind_a_good_beginning_never_panics(
        word in 0..4_usize,
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        xml: bool,
    ) {
        let mut frame = [*b"OK", *b"ER", *b"WT", *b"NP"][word].to_vec();
        frame.extend(bytes);
        let kind = if xml { FrameType::Xml } else { FrameType::Fixed };
        let _ = read(kind, &frame);
    }

    #[test]
    fn answers_read_back_what_was_written(number: u8, data in prop::collection::vec(any::<u8>(), 0..=249)) {
        let frame = answer(b"OK", number, &data);
        prop_assert_eq!(read(FrameType::Fixed, &frame), Ok(Some(Answer { word: Word::Ok, number, data })));
    }

    #[test]
    fn commands_put_together_again_are_the_data(data in prop::collection::vec(any::<u8>(), 0..2000)) {
        let frames = vectors::frames_of(0x0A, &data);
        let again: Vec<u8> = frames.iter().flat_map(|frame| frame[5..frame.len() - 2].to_vec()).collect();
        prop_assert_eq!(again, data);
        prop_assert_eq!(frames.last().unwrap()[3], 0);
    }

    #[test]
    fn a_changed_byte_is_seen(at in 0..41_usize, change in 1..=255_u8) {
        let mut frame = vectors::frame("3 answer");
        frame[at] ^= change;
        prop_assert!(!matches!(read(FrameType::Fixed, &frame), Ok(Some(_))));
    }
}

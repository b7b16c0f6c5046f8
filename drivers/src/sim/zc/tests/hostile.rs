//! Random bytes, splits and truncations: no panic, no execution of an incomplete command, bounded memory.

use proptest::prelude::*;

use super::*;
use crate::sim::zc::MAX_INPUT_BYTES;

/// Bytes that a confused host might send: pieces of good frames, damaged ones, noise.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::sample::select(vec!["1.1", "3.1", "4.1", "4.2", "7.1", "9.1", "14.1", "14.2", "1.2", "23.1", "18.1"]);
    prop_oneof![
        4 => good.clone().prop_map(vector),
        2 => (good.clone(), any::<prop::sample::Index>()).prop_map(|(name, end)| {
            let bytes = vector(name);
            bytes[..end.index(bytes.len())].to_vec()
        }),
        2 => (good, any::<prop::sample::Index>(), 1_u8..).prop_map(|(name, at, change)| {
            let mut bytes = vector(name);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..600),
        1 => Just(vec![0x1B, 0x20, 0x0A, 0, 0xFF, 0xFD]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_never_issues_and_never_panics(parts in prop::collection::vec((pieces(), 0_u64..4_000), 1..30)) {
        let mut bench = Bench::new();
        for (bytes, pause_ms) in parts {
            bench.send(&bytes);
            bench.wait(pause_ms);
            // 4.3, the last packet of 0A, is never sent: whatever else came, nothing may be signed.
            prop_assert!(bench.entries().is_empty());
            prop_assert!(bench.device.memory() <= MAX_INPUT_BYTES + (2 << 20));
        }
        bench.wait(10_000);
        bench.assert_alive();
    }

    #[test]
    fn any_split_of_a_good_exchange_issues_exactly_once(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut bench = Bench::new();
        let mut heard = Vec::new();
        for packet in issue() {
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(packet.len())).collect();
            ends.push(packet.len());
            ends.sort_unstable();
            let mut start = 0;
            for end in ends {
                prop_assert!(bench.entries().is_empty());
                heard.extend(bench.send(&packet[start..end]));
                heard.extend(bench.wait(1));
                start = end;
            }
        }
        prop_assert_eq!(heard, [vector("14.1"), vector("14.2"), vector("5.1")].concat());
        prop_assert_eq!(bench.whole_answer(vector("5.1")).len(), 569);
        prop_assert_eq!(bench.entries().len(), 1);
    }

    #[test]
    fn a_truncated_last_packet_never_executes(end in 0_usize..13) {
        let mut bench = Bench::new();
        bench.send(&issue()[0]);
        bench.send(&issue()[1]);
        let last = issue()[2].clone();
        prop_assert!(end < last.len());
        prop_assert_eq!(bench.send(&last[..end]), b"");
        prop_assert!(!bench.wait(3_500).is_empty(), "the device says that it gave up");
        prop_assert!(bench.entries().is_empty());
        bench.assert_alive();
    }
}

#[test]
fn a_flood_while_it_works_is_bounded() {
    let mut bench = Bench::new();
    bench.disk.configure(|config| config.issue_time_ms = 1_000).unwrap();
    bench.command(&issue());
    for _ in 0..100 {
        bench.send(&[0xAA; 10_000]);
        assert!(bench.device.memory() <= MAX_INPUT_BYTES + 1_000);
    }
    assert!(bench.device.counters().bytes_dropped >= 1_000_000 - MAX_INPUT_BYTES as u64);
    bench.wait(10_000);
    bench.assert_alive();
    assert_eq!(bench.entries().len(), 1);
}

#[test]
fn a_command_that_never_ends_is_bounded() {
    let mut bench = Bench::new();
    let mut frame = |number: u8| {
        let data = vec![0x41; 65_527];
        bench.send(&sealed([&[0x1B, 0x20, 0x08, number, 0xFF, 0xFD], data.as_slice()].concat()))
    };
    for number in 1..=16 {
        assert_eq!(&frame(number)[..2], b"NP");
    }
    assert_eq!(frame(17), sealed(vec![b'E', b'R', 0, 0, 6, 0x12]), "more than 1 MiB");
    assert!(bench.device.memory() < 1_000);
    bench.assert_alive();
}

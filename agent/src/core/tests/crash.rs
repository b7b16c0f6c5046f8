//! A crash at every effect of every scenario, and random faults with random crashes. The oracle is the disk's ledger.

use proptest::prelude::*;

use taxdisk_protocol::class::DeviceClass;

use super::fake::{FakeDisk, Fault};
use super::world::{World, key};

const SERIALS: [&str; 3] = ["A1", "A2", "A3"];

fn faults() -> Vec<Option<Fault>> {
    vec![
        None,
        Some(Fault::LostAfter),
        Some(Fault::LostBefore),
        Some(Fault::ErrorAfter(DeviceClass::NumberMismatch)),
        Some(Fault::ErrorAfter(DeviceClass::DeviceFault)),
        Some(Fault::ErrorBefore(DeviceClass::DeviceFault)),
        Some(Fault::NotSent(DeviceClass::Link)),
        Some(Fault::ForeignThenLost { equal: true }),
        Some(Fault::ForeignThenOk { equal: true }),
        Some(Fault::ForeignThenNothing { equal: true }),
        Some(Fault::RunsLate(6)),
        Some(Fault::HungAfter),
    ]
}

fn world(fault: Option<Fault>) -> World {
    let mut world = World::new(FakeDisk::used(10, 12));
    world.disk.rolls.push_back((super::fake::pair_on("011002000108", 700), 799));
    world.disk.faults.extend(fault);
    for serial in SERIALS {
        world.submit(serial, true);
    }
    world
}

#[test]
fn crash_at_every_effect_of_every_fault_still_issues_each_once() {
    let mut crashes = 0_u32;
    for fault in faults() {
        for after in [false, true] {
            for at in 0.. {
                let mut world = world(fault.clone());
                world.acks = at % 2 == 0;
                if !world.crash_at(at, after, 2_000) {
                    break;
                }
                crashes += 1;
                world.run();
                for serial in SERIALS {
                    assert_eq!(
                        world.disk.of(&key(serial)).len(),
                        1,
                        "{fault:?}, crash at {at}, after {after}: {serial} {:?} {:?}",
                        world.broker.results,
                        world.disk.log
                    );
                    assert!(world.issued(serial).is_some(), "{fault:?}, crash at {at}, after {after}: {serial} is not settled");
                }
            }
        }
    }
    assert!(crashes > 300, "only {crashes} crashes were tried");
}

#[test]
fn crash_with_a_lost_journal_at_every_effect_never_doubles() {
    for fault in [None, Some(Fault::LostAfter), Some(Fault::ForeignThenLost { equal: true })] {
        for at in 0.. {
            let mut world = world(fault.clone());
            if !world.crash_at(at, true, 2_000) {
                break;
            }
            world.journal = Default::default();
            world.run();
        }
    }
}

fn any_fault() -> impl Strategy<Value = Option<Fault>> {
    prop::sample::select(faults())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_faults_and_crashes_never_double_and_end_settled(
        faults in prop::collection::vec(any_fault(), 1..8),
        crashes in prop::collection::vec((1_u64..40, any::<bool>(), any::<bool>()), 0..6),
        marked in any::<bool>(),
        bad_reads in 0_u32..4,
    ) {
        let mut world = World::new(FakeDisk::used(10, 13));
        world.disk.rolls.push_back((super::fake::pair_on("011002000108", 700), 799));
        world.disk.faults.extend(faults.into_iter().flatten());
        for serial in SERIALS {
            world.submit(serial, marked);
        }
        for (at, after, foreign) in crashes {
            let at = world.effects + at;
            world.disk.bad_reads = bad_reads;
            if foreign {
                world.disk.foreign("个人", "10.00");
            }
            world.crash_at(at, after, 3_000);
            world.check();
        }
        world.run();
        for serial in SERIALS {
            let on_disk = world.disk.of(&key(serial)).len();
            prop_assert!(on_disk <= 1);
            if marked {
                prop_assert!(on_disk == 1 && world.issued(serial).is_some(), "{} is not settled", serial);
            }
        }
    }
}

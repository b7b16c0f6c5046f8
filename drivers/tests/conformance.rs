//! The suite of `taxdisk_drivers::conformance` over every dialect that has a simulated device.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use taxdisk_drivers::conformance::component::{Component, ComponentStand};
use taxdisk_drivers::conformance::zc::ZcStand;
use taxdisk_drivers::conformance::{Report, Stand, run};
use taxdisk_drivers::dialects::zc::Framing;

/// No case fails, and the suite was not empty: `passed` at least.
fn conforms(stand: &mut dyn Stand, passed: usize) {
    let report: Report = run(stand);
    println!("{report}");
    assert_eq!(report.failures().count(), 0, "{report}");
    assert!(report.passed() >= passed, "{report}");
}

#[test]
fn zc_with_fields_of_fixed_width() {
    conforms(&mut ZcStand::new(Framing::Fixed), 20);
}

#[test]
fn nisec_over_http() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&mut ComponentStand::new(Component::Nisec, folder.path()).unwrap(), 18);
}

#[test]
fn skserver_over_http() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&mut ComponentStand::new(Component::SkServer, folder.path()).unwrap(), 15);
}

#[test]
fn zc_with_documents() {
    conforms(&mut ZcStand::new(Framing::Xml), 20);
}

//! The suite of the drivers through the shipped binary: it is its own component, started once for each document.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use pc::Pc;

#[test]
fn the_component_behind_a_local_command_passes_the_suite() {
    let pc = Pc::new("");
    let shown: serde_json::Value = serde_json::from_str(&pc.ends(0, &["sim", "conformance", "--json", "nisec-command"])).unwrap();
    assert_eq!(shown["disk"], "nisec, through a local command");
    let expected = serde_json::json!({
        "a number is found by its request": "finds_request = false",
        "a period is reported": "operations has no report",
        "report and clear end a lock": "operations has no report",
        "an answer in pieces, then settling by reads": "fence = none: an answer comes whole, there is no stream of bytes",
    });
    assert_eq!(shown["not_applicable"], expected, "{shown}");
    assert_eq!((&shown["failed"], &shown["passed"], &shown["cases"]), (&serde_json::json!([]), &27.into(), &31.into()));
}

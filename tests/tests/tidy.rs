//! Tidy is a test: the same checks as `cargo xtask tidy`.

#[path = "../../xtask/src/tidy.rs"]
mod tidy;

#[test]
fn the_workspace_is_tidy() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is a folder of the workspace");
    let report = tidy::check(root);
    assert!(report.lengths.len() > 10, "the files were not found: {}", report.summary());
    assert!(report.breaches.is_empty(), "{}\n{}", report.summary(), report.breaches.join("\n"));
}

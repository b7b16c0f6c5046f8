//! Pages of the documentation that are made from tables.

use std::path::Path;

use taxdisk_protocol::error::catalogue_markdown;

/// Compares with a committed file; `TAXDISK_BLESS=1` writes it.
pub(crate) fn compare(file: &Path, made: &str) {
    if std::env::var_os("TAXDISK_BLESS").is_some() {
        std::fs::write(file, made).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(kept == made, "{} differs from what the code makes; TAXDISK_BLESS=1 writes it anew:\n{made}", file.display());
}

#[test]
fn the_page_of_errors_is_that_of_the_catalogue() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    compare(&file, &catalogue_markdown());
}

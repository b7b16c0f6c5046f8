//! The migrations of the tables, compiled in.
//!
//! The macro of `sqlx` would do it too, but it brings both databases a second time into every build, for checks of queries that
//! are not used here.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Names and texts of the files of a folder, as `(name without .sql, text)`: `0001_first` is version 1, described as "first".
macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!($folder, "/", $name, ".sql")))),+]
    };
}

/// From the texts of a folder.
///
/// # Panics
/// A name has no version: of what is compiled in, the tests see it.
fn migrator(files: &[(&'static str, &'static str)]) -> Migrator {
    let migration = |(name, text): &(&'static str, &'static str)| {
        let (version, description) = name.split_once('_').expect("VERSION_DESCRIPTION");
        let version = version.parse().expect("a version is a number");
        Migration::new(version, description.replace('_', " ").into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(files.iter().map(migration).collect())
}

/// Tables of the portal, the same for both databases.
pub(super) fn portal() -> Migrator {
    migrator(files!(
        "migrations":
        "0001_portal",
        "0003_deliveries",
        "0004_consumers",
        "0005_console",
        "0006_codes",
        "0007_codes",
        "0010_reports",
        "0011_order_words",
        "0012_troubled",
        "0013_orders_number",
        "0014_factors",
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_compiled_in() {
        known("migrations", &portal());
    }

    fn known(folder: &str, migrator: &Migrator) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store").join(folder);
        let files = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<i64> = files.map(|name| name.split_once('_').unwrap().0.parse().unwrap()).collect();
        files.sort_unstable();
        assert_eq!(migrator.iter().map(|migration| migration.version).collect::<Vec<_>>(), files, "{folder}");
    }
}

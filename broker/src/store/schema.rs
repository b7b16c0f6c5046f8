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

/// Tables of the ledger in SQLite.
pub(super) fn sqlite() -> Migrator {
    migrator(files!(
        "sqlite/migrations":
        "0001_ledger",
        "0002_notices",
        "0003_reconcile",
        "0004_webhooks",
        "0005_retention",
        "0006_bulk",
        "0007_contents",
        "0008_about",
        "0010_operations",
        "0011_console",
        "0012_lists",
        "0013_log",
        "0014_scopes",
        "0015_about_keys"
    ))
}

/// Tables of the ledger in PostgreSQL.
pub(super) fn postgres() -> Migrator {
    migrator(files!(
        "postgres/migrations":
        "0001_ledger",
        "0002_notices",
        "0004_webhooks",
        "0007_contents",
        "0008_about",
        "0009_guard",
        "0010_operations",
        "0011_console",
        "0014_scopes",
        "0015_about_keys"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_compiled_in() {
        known("sqlite/migrations", &sqlite());
        known("postgres/migrations", &postgres());
    }

    fn known(folder: &str, migrator: &Migrator) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store").join(folder);
        let files = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<i64> = files.map(|name| name.split_once('_').unwrap().0.parse().unwrap()).collect();
        files.sort_unstable();
        assert_eq!(migrator.iter().map(|migration| migration.version).collect::<Vec<_>>(), files, "{folder}");
    }
}

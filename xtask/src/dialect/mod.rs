//! `cargo xtask new-dialect NAME`: the beginning of a driver. What it writes compiles, sends nothing, and has a test that
//! fails with what is left to do. docs/devices.md says how to go on.

use std::path::Path;

use clap::Args;

use crate::workspace;

/// The files that are written, with NAME and Name to be replaced.
const FILES: [(&str, &str); 3] = [
    ("drivers/src/dialects/NAME/mod.rs", include_str!("mod.rs.txt")),
    ("drivers/src/dialects/NAME/disk.rs", include_str!("disk.rs.txt")),
    ("drivers/tests/conformance_NAME.rs", include_str!("test.rs.txt")),
];
/// Where dialects are listed.
const LIST: &str = "drivers/src/dialects/mod.rs";
/// The longest name, letters.
const NAME_LETTERS: usize = 20;

/// What to call it.
#[derive(Debug, Args)]
pub(crate) struct DialectArgs {
    /// Small letters and digits, beginning with a letter, such as `ukey`.
    name: String,
}

/// Writes the skeleton into the workspace.
///
/// # Errors
/// The name is none, is taken, or a file cannot be written.
pub(crate) fn run(args: &DialectArgs) -> Result<(), String> {
    write(&workspace::root(), &args.name)?;
    println!(
        "Written. What is left to do:\n  cargo test -p taxdisk-drivers --test conformance_{}\nand docs/devices.md.",
        args.name
    );
    Ok(())
}

fn write(root: &Path, name: &str) -> Result<(), String> {
    let good = name.len() <= NAME_LETTERS
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !good {
        return Err(format!("{name:?} is no name for a dialect: at most {NAME_LETTERS} small letters and digits."));
    }
    let list = root.join(LIST);
    let old = std::fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    if FILES.iter().any(|(file, _)| root.join(filled(file, name)).exists()) {
        return Err(format!("There is a dialect {name} already."));
    }
    for (file, text) in FILES {
        let path = root.join(filled(file, name));
        let folder = path.parent().unwrap_or(root);
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        std::fs::write(&path, filled(text, name)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    std::fs::write(&list, listed(&old, name)).map_err(|error| format!("{}: {error}", list.display()))
}

fn filled(text: &str, name: &str) -> String {
    let mut title = name.to_owned();
    title[..1].make_ascii_uppercase();
    text.replace("NAME", name).replace("Title", &title)
}

/// The list with the new module among the others, in order.
fn listed(old: &str, name: &str) -> String {
    let (modules, rest): (Vec<&str>, Vec<&str>) = old.lines().partition(|line| line.starts_with("pub mod "));
    let mut modules: Vec<String> = modules.into_iter().map(str::to_owned).chain([format!("pub mod {name};")]).collect();
    modules.sort();
    format!("{}\n\n{}\n", rest.join("\n").trim_end(), modules.join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_skeleton_is_written_once_and_listed_in_order() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("drivers/src/dialects")).unwrap();
        std::fs::write(root.path().join(LIST), "//! Words.\n\npub mod bot;\npub mod zc;\n").unwrap();
        write(root.path(), "ukey").unwrap();
        let list = std::fs::read_to_string(root.path().join(LIST)).unwrap();
        assert_eq!(list, "//! Words.\n\npub mod bot;\npub mod ukey;\npub mod zc;\n");
        let disk = std::fs::read_to_string(root.path().join("drivers/src/dialects/ukey/disk.rs")).unwrap();
        assert!(disk.contains("pub struct UkeyDisk") && !disk.contains("NAME") && !disk.contains("Title"));
        // Every method that is left to do says what, and the test ends with the list of them. That the file compiles, and what
        // the list says, is tested where the suite is (drivers/src/conformance/to_do).
        assert!(disk.matches("to_do(\"").count() >= 7, "{disk}");
        let test = std::fs::read_to_string(root.path().join("drivers/tests/conformance_ukey.rs")).unwrap();
        assert!(test.contains("to_do(&report)") && test.contains("dialects::ukey::UkeyDisk"), "{test}");
        assert!(write(root.path(), "ukey").unwrap_err().contains("already"));
        for bad in ["", "Ukey", "a-b", "1a", "../x"] {
            assert!(write(root.path(), bad).is_err(), "{bad:?} was taken");
        }
    }
}

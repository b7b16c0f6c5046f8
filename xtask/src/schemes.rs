//! What `docs/schemes.md` names was run, and what it shows was seen: held against the names of the tests of a whole ladder, and
//! the screenshots that its walks left. That the names exist at all is a test of the portal.

use std::collections::BTreeSet;
use std::path::Path;

/// What is wrong with the table after a run. `ran`: tests that passed, as [`passed`] names them. `screenshots`: the folder of the
/// walks.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn objections(table: &Path, ran: &BTreeSet<String>, screenshots: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(table).map_err(|error| format!("{}: {error}", table.display()))?;
    let left = left_by_walks(screenshots);
    Ok(judged(&text, ran, &left))
}

/// The name of a test that a line of a run says has passed: the function without its modules, or the walk without language and
/// width.
pub(crate) fn passed(line: &str) -> Option<String> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.split(" (").next()?.rsplit("::").next()?;
    (result == "ok" || result.starts_with("ok ")).then(|| name.to_owned())
}

fn judged(table: &str, ran: &BTreeSet<String>, left: &BTreeSet<(String, String)>) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit()) {
        let row: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [section, _, tests, shots] = row.as_slice() else {
            wrong.push(format!("docs/schemes.md: {line} has not four columns"));
            continue;
        };
        for name in quoted(tests).filter(|name| !ran.contains(*name)) {
            wrong.push(format!("docs/schemes.md: {section} names {name}, which did not run and pass"));
        }
        for (walk, page) in quoted(shots).filter_map(|shot| shot.split_once(": ")) {
            let seen = left.iter().any(|(folder, file)| is_of(folder, walk) && file == page);
            if !seen {
                wrong.push(format!("docs/schemes.md: {section} shows {page} of {walk}, which left no such screenshot"));
            }
        }
    }
    wrong
}

fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// A folder is that of a walk, whatever its language and width: `offline_scheme-zh-1280`.
fn is_of(folder: &str, walk: &str) -> bool {
    folder.strip_prefix(walk).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Folders and pages of the screenshots: `…/offline_scheme-zh-1280/03-faults.png`.
fn left_by_walks(folder: &Path) -> BTreeSet<(String, String)> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().collect::<Vec<_>>();
    let mut left = BTreeSet::new();
    for walk in entries(folder) {
        for shot in entries(&walk.path()) {
            let name = shot.file_name().to_string_lossy().into_owned();
            let page = name.strip_suffix(".png").and_then(|name| name.split_once('-'));
            left.extend(page.map(|(_, page)| (walk.file_name().to_string_lossy().into_owned(), page.to_owned())));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_run_names_a_test_that_passed() {
        let name = |line: &str| passed(line);
        assert_eq!(name("test offline::a_code_is_one_invoice ... ok").as_deref(), Some("a_code_is_one_invoice"));
        assert_eq!(name("test offline_scheme (zh 1280) ... ok (8.6 s)").as_deref(), Some("offline_scheme"));
        assert_eq!(name("test keyboard_alone ... ok (3.5 s)").as_deref(), Some("keyboard_alone"));
        for other in ["test a::b ... FAILED", "test a::b ... ignored", "test result: ok. 3 passed", "testing a ... ok"] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_named_must_have_run_and_what_is_shown_must_have_been_seen() {
        let table = "| section | promise | test | screenshot |\n|---|---|---|---|\n\
                     | 3.1 | x | `one`, `walk_a` | [p](images/p.png), `walk_a: form` |\n| 3.2 | y | `two` | none |\n";
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let seen = |walk: &str, page: &str| BTreeSet::from([(walk.to_owned(), page.to_owned())]);
        let all = set(&["one", "two", "walk_a"]);
        assert_eq!(judged(table, &all, &seen("walk_a-zh-390", "form")), Vec::<String>::new());
        assert_eq!(judged(table, &set(&["one", "walk_a"]), &seen("walk_a", "form")).len(), 1, "two did not run");
        assert_eq!(judged(table, &all, &seen("walk_a-zh-390", "faults")).len(), 1, "no such page");
        assert_eq!(judged(table, &all, &seen("walk_ab-zh-390", "form")).len(), 1, "another walk's page");
        assert_eq!(judged("| 3.1 | x | `one` |", &all, &BTreeSet::new()).len(), 1, "a column is missing");
    }
}

//! The threat model (`docs/threat-model.md`): each line of its table of negative tests names a test that exists.
//!
//! Only the standard library, as in the file that this one belongs to.

use std::collections::BTreeMap;

/// The page.
const PAGE: &str = "docs/threat-model.md";
/// What its table stands under.
const HEADING: &str = "## Negative tests";
/// Fewer lines than this, and the table was not found.
const LINES: usize = 20;

/// What is wrong with the table. `read` gives the text of a file below the root.
pub(super) fn breaches(files: &BTreeMap<String, String>, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    // A tree without the page is one of a test.
    let Some(page) = files.get(PAGE) else { return Vec::new() };
    let mut breaches = Vec::new();
    let mut rows = 0;
    let table = page.split_once(HEADING).map_or("", |(_, rest)| rest);
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat")) {
        rows += 1;
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [threat, _defence, test, removed] = cells[..] else {
            breaches.push(format!("{PAGE}: not four cells: {line}"));
            continue;
        };
        if removed.is_empty() {
            breaches.push(format!("{PAGE}: {threat}: it does not say what was taken out to see the test fail"));
        }
        for name in test.split(", ").map(|name| name.trim_matches('`')) {
            match name.split_once("::") {
                Some((file, test)) if read(file).is_some_and(|text| text.contains(&format!("fn {test}("))) => {}
                _ => breaches.push(format!("{PAGE}: {threat}: there is no test {name}")),
            }
        }
    }
    if rows < LINES {
        breaches.push(format!("{PAGE}: the table under {HEADING:?} has {rows} lines; at least {LINES} are expected"));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_its_test_is_seen() {
        let row = |test: &str, removed: &str| format!("| a thief | a lock | {test} | {removed} |\n");
        let good = row("`a.rs::the_lock_holds`", "the lock").repeat(LINES);
        let found = |rows: &str| {
            let page = format!("# T\n{HEADING}\n\n| threat | defence | test | taken out |\n|---|---|---|---|\n{rows}");
            let read = |name: &str| (name == "a.rs").then(|| "async fn the_lock_holds() {}".to_owned());
            breaches(&BTreeMap::from([(PAGE.to_owned(), page)]), &read)
        };
        assert_eq!(found(&good), Vec::<String>::new());
        for (bad, what) in [
            (row("`a.rs::the_lock`", "the lock"), "no test a.rs::the_lock"),
            (row("`b.rs::the_lock_holds`", "the lock"), "no test b.rs"),
            (row("`a.rs::the_lock_holds`, `a.rs::another`", "the lock"), "no test a.rs::another"),
            (row("`a.rs::the_lock_holds`", ""), "taken out"),
            ("| a thief | a lock |\n".to_owned(), "not four cells"),
        ] {
            let found = found(&format!("{good}{bad}"));
            assert!(found.len() == 1 && found[0].contains(what), "{what}: {found:?}");
        }
        assert!(found("")[0].contains("0 lines"));
    }
}

//! `docs/schemes.md`: every section of the source document has a row, and every test that is named exists, a function here or a
//! walk in a browser; so does every picture, and every page of a walk that is to be seen. That what is named ran is held by the
//! ladder (`xtask/src/schemes.rs`).

use std::path::Path;

/// Sections of the source document that promise something.
const SECTIONS: [&str; 31] = [
    "3.1", "3.2", "3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.3.5", "3.3.6", "4.1", "4.2", "4.3.1", "4.3.2", "4.3.3", "5.1", "5.2",
    "5.3.1", "5.3.2", "5.3.3", "5.3.4", "5.3.5", "6.1", "6.2", "6.3.1", "6.3.2", "6.3.3", "7.1", "7.2", "7.3.1", "7.3.2",
    "7.3.3", "7.3.4",
];

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_promise_of_the_schemes_has_a_row_and_every_named_test_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("../docs/schemes.md")).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    sources(&root.join("../order/src"), &mut code);
    let mut walks = String::new();
    for file in std::fs::read_dir(root.join("../tests/browser/walks")).unwrap() {
        walks.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    for section in SECTIONS {
        assert!(rows.iter().any(|row| row[0] == section), "section {section} has no row");
    }
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
        assert!(!row[1].is_empty(), "{row:?} quotes nothing");
        let named: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row:?} names no test");
        for name in named {
            let walk = walks.contains(&format!("walk(\"{name}\","));
            // A function, or a line of the list of transcripts.
            let function = code.contains(&format!("fn {name}(")) || code.contains(&format!("\n    {name} \""));
            assert!(walk || function, "{row:?} names {name}, which does not exist");
        }
        assert!(!row[3].is_empty(), "{row:?} shows nothing, and does not say why");
        for page in row[3].split('`').skip(1).step_by(2) {
            let (walk, page) = page.split_once(": ").unwrap_or_else(|| panic!("{row:?}: `WALK: PAGE`"));
            let of_walk = walks.split(&format!("walk(\"{walk}\",")).nth(1).unwrap_or_else(|| panic!("{row:?}: no walk {walk}"));
            let of_walk = of_walk.split("\nwalk(").next().unwrap_or_default();
            let looked = of_walk.contains(&format!("look(\"{page}\""))
                || of_walk.contains(&format!("-{}`", page.split_once('-').map_or(page, |(_, end)| end)));
            assert!(looked, "{row:?}: {walk} looks at no {page}");
        }
        for picture in row[3].split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(root.join("../docs").join(picture).is_file(), "{row:?} shows {picture}, which does not exist");
        }
    }
}

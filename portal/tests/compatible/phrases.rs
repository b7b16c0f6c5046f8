//! No text of this program tells anybody to take another serial number: whoever obeys issues twice (yonyou-open-api.md, section
//! 4.2). Scanned are all string literals of the crates whose texts can reach a merchant, the pages of the manual, and everything
//! that the golden replies and the broken rules say.

use std::path::{Path, PathBuf};

use crate::transcript::folder;

/// What no text says. Blanks and letter case do not count.
const PHRASES: &[&str] = &[
    "新流水号",
    "新的流水号",
    "新请求流水号",
    "新的请求流水号",
    "重新赋值",
    "更换流水号",
    "重新生成流水号",
    "换流水号",
    "换一个流水号",
    "换个流水号",
    "另一流水号",
    "另一个流水号",
    "另用流水号",
    "其他流水号",
    "其它流水号",
    "不同的流水号",
    "修改流水号",
    "变更流水号",
    "重新分配流水号",
    "重新编流水号",
    "newserial",
    "newfpqqlsh",
    "anotherserial",
    "anotherfpqqlsh",
    "differentserial",
    "differentfpqqlsh",
    "freshserial",
    "changetheserial",
    "changefpqqlsh",
    "nextserial",
    "otherserialnumber",
];

/// Says that nobody must.
const ALLOWED: &[&str] = &["nobodymusttakeanewserialnumber"];

/// The phrase that a text holds, if any.
pub(crate) fn found(text: &str) -> Option<&'static str> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    let text = ALLOWED.iter().fold(text, |text, allowed| text.replace(allowed, ""));
    PHRASES.iter().find(|phrase| text.contains(**phrase)).copied()
}

/// The string literals of a source: comments say what they like.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'', 'r']) {
        let here = &rest[at..];
        let raw = here.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
        rest = if here.starts_with("//") {
            here.find('\n').map_or("", |end| &here[end..])
        } else if here.starts_with("/*") {
            here.find("*/").map_or("", |end| &here[end + 2..])
        } else if let Some(hashes) = raw.filter(|hashes| here[1 + hashes..].starts_with('"')) {
            let begin = &here[hashes + 2..];
            let end = format!("\"{}", "#".repeat(hashes));
            let length = begin.find(&end).unwrap_or(begin.len());
            found.push(begin[..length].to_owned());
            begin.get(length + end.len()..).unwrap_or_default()
        } else if let Some(begin) = here.strip_prefix('"') {
            let mut escaped = false;
            let length = begin.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let length = length.unwrap_or(begin.len());
            found.push(begin[..length].to_owned());
            begin.get(length + 1..).unwrap_or_default()
        } else if let Some(behind) = here.strip_prefix("'\"'").or_else(|| here.strip_prefix("'\\\"'")) {
            behind
        } else {
            &here[1..]
        };
    }
    found
}

fn files(folder: &Path, ending: &str, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, ending, all),
            false if path.extension().is_some_and(|extension| extension == ending) => all.push(path),
            false => {}
        }
    }
}

#[test]
fn no_message_asks_for_another_serial_number() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut scanned = 0;
    for part in ["portal/src", "protocol/src", "broker/src", "agent/src", "drivers/src", "layout/src", "web/src", "cli/src"] {
        let mut sources = Vec::new();
        files(&root.join(part), "rs", &mut sources);
        // What a test says is told to nobody.
        for source in sources.into_iter().filter(|source| !source.iter().any(|part| part == "tests" || part == "tests.rs")) {
            let text = std::fs::read_to_string(&source).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for literal in literals(text) {
                scanned += 1;
                assert_eq!(found(&literal), None, "{}: {literal:?}", source.display());
            }
        }
    }
    assert!(scanned > 5_000, "the scan reads literals: {scanned}");
    let mut pages = Vec::new();
    for ending in ["html", "txt"] {
        files(&root.join("portal"), ending, &mut pages);
    }
    let goldens = pages.iter().filter(|page| page.starts_with(folder())).count();
    assert!(goldens >= 20, "the golden replies are among them");
    pages.extend(["docs/portal.md", "docs/errors.md", "README.md"].map(|page| root.join(page)));
    for page in pages.iter().filter(|page| page.exists()) {
        assert_eq!(found(&std::fs::read_to_string(page).unwrap()), None, "{}", page.display());
    }
}

#[test]
fn the_scan_finds_what_it_looks_for_in_literals_and_not_in_comments() {
    let source = r##"
        // take a new serial number
        const A: char = '"'; /* another serial */
        const B: &str = "say \"please\"";
        const C: &str = r#"请您重新赋值流水号 "!" "#;
        fn over<'a>(c: &'a str) -> &'a str { "Use a New  serial number" }
    "##;
    let literals = literals(source);
    assert_eq!(literals, ["say \\\"please\\\"", "请您重新赋值流水号 \"!\" ", "Use a New  serial number"]);
    let told: Vec<_> = literals.iter().map(|literal| found(literal)).collect();
    assert_eq!(told, [None, Some("重新赋值"), Some("newserial")]);
}

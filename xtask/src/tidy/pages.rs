//! The Markdown files: every link between them leads somewhere, and the book (`docs/SUMMARY.md`) holds every page of `docs/`.
//!
//! mdBook finds neither: it shows a broken link as it is and leaves out silently what its summary does not name. Links to other
//! hosts are not followed. Only the standard library, as in the file that this one belongs to.
//!
//! Read first: [`breaches`].

use std::collections::{BTreeMap, BTreeSet};

/// Folder of the book's pages.
const BOOK: &str = "docs/";
/// What names the pages of the book, in their order.
const SUMMARY: &str = "docs/SUMMARY.md";
/// The alert rules as they are shipped.
pub(super) const ALERTS: &str = "systemd/alerts/taxdisk.rules.yml";
/// What says of each alert what it means and what to do: a heading for each.
const RUNBOOKS: [&str; 2] = ["docs/operate.md", "docs/zh/operate.md"];

/// What is wrong with the links of these files (name below the root, with `/`, and text). `exists` says whether there is a file
/// or folder of a name; pictures and sources are linked too.
pub(super) fn breaches(files: &BTreeMap<String, String>, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let pages: BTreeMap<&str, Page> = files.iter().map(|(name, text)| (name.as_str(), Page::read(text))).collect();
    let mut breaches = Vec::new();
    for (name, page) in &pages {
        for (line, link) in &page.links {
            if let Err(what) = follow(name, link, &pages, exists) {
                breaches.push(format!("{name}:{line}: {link} {what}"));
            }
        }
    }
    book(&pages, &mut breaches);
    breaches
}

fn follow(name: &str, link: &str, pages: &BTreeMap<&str, Page>, exists: &dyn Fn(&str) -> bool) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    if link.starts_with('/') {
        return Err("begins at the root of a site; a path from this file is the same everywhere".to_owned());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let to = if path.is_empty() { name.to_owned() } else { resolved(name, path).ok_or("leads out of the repository")? };
    if !exists(&to) {
        return Err("leads to nothing".to_owned());
    }
    if name.starts_with(BOOK) && !to.starts_with(BOOK) {
        return Err("leads out of docs/, where the book ends; name the file instead of linking it".to_owned());
    }
    match pages.get(to.as_str()) {
        Some(page) if !anchor.is_empty() && !page.anchors.contains(anchor) => Err(format!("names no heading of {to}")),
        _ => Ok(()),
    }
}

/// The name below the root to which a path leads from a file; none if it leaves the root.
fn resolved(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Each page of the book is in its summary, and there once.
fn book(pages: &BTreeMap<&str, Page>, breaches: &mut Vec<String>) {
    let named: Vec<String> = match pages.get(SUMMARY) {
        Some(summary) => summary.links.iter().filter_map(|(_, link)| resolved(SUMMARY, link)).collect(),
        None => Vec::new(),
    };
    for name in pages.keys().filter(|name| name.starts_with(BOOK) && **name != SUMMARY) {
        match named.iter().filter(|other| other == name).count() {
            1 => {}
            0 => breaches.push(format!("{name}: {SUMMARY} does not name this page: the book would lack it")),
            _ => breaches.push(format!("{name}: {SUMMARY} names this page more than once")),
        }
    }
}

/// Alerts of the shipped rules that a page for administrators does not explain, and headings of alerts that are gone.
pub(super) fn unexplained(rules: &str, files: &BTreeMap<String, String>) -> Vec<String> {
    let alerts: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let mut breaches = Vec::new();
    for name in RUNBOOKS {
        let page = files.get(name).map_or("", String::as_str);
        let headings: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        for alert in alerts.difference(&headings) {
            breaches.push(format!("{name}: nothing under ### {alert} says what to do when it is raised"));
        }
        for heading in headings.difference(&alerts).filter(|heading| heading.starts_with("Taxdisk")) {
            breaches.push(format!("{name}: {ALERTS} has no alert {heading}"));
        }
    }
    breaches
}

/// What of a file matters here.
#[derive(Debug, Default)]
struct Page {
    /// Line, and where the link leads, as it is written.
    links: Vec<(usize, String)>,
    /// Names of its headings, as GitHub and mdBook make them.
    anchors: BTreeSet<String>,
}

impl Page {
    fn read(text: &str) -> Page {
        let mut page = Page::default();
        let mut fence: Option<&str> = None;
        for (index, line) in text.lines().enumerate() {
            let words = line.trim_start();
            let mark = &words[..words.len() - words.trim_start_matches(['`', '~']).len()];
            match fence {
                Some(open) if mark.starts_with(open) && words.trim_end() == mark => fence = None,
                Some(_) => {}
                None if mark.len() >= 3 => fence = Some(mark),
                None => page.line(index + 1, line),
            }
        }
        page
    }

    fn line(&mut self, number: usize, line: &str) {
        let level = line.chars().take_while(|c| *c == '#').count();
        if (1..=6).contains(&level) && line[level..].starts_with(' ') {
            self.heading(&line[level..]);
        }
        let line = without_code(line);
        let mut found = |link: &str| {
            let link = link.split_whitespace().next().unwrap_or_default().trim_matches(['<', '>']);
            self.links.push((number, link.to_owned()));
        };
        for (at, mark) in line.match_indices("](") {
            if let Some(end) = line[at + mark.len()..].find(')') {
                found(&line[at + mark.len()..at + mark.len() + end]);
            }
        }
        for mark in ["src=\"", "href=\""] {
            for (at, _) in line.match_indices(mark) {
                found(line[at + mark.len()..].split('"').next().unwrap_or_default());
            }
        }
        if let Some((name, link)) = line.split_once("]: ").filter(|_| line.starts_with('['))
            && !name.contains(']')
        {
            found(link);
        }
    }

    /// A second heading of the same name gets `-1`, a third `-2`.
    fn heading(&mut self, text: &str) {
        let name = anchor(text);
        let mut unique = name.clone();
        let mut count = 0;
        while !self.anchors.insert(unique.clone()) {
            count += 1;
            unique = format!("{name}-{count}");
        }
    }
}

/// Letters and digits of any language in lower case, `-` and `_`; a space is a `-`, everything else is dropped. Of a link its
/// text.
fn anchor(heading: &str) -> String {
    let mut text = heading.trim().to_owned();
    while let Some(at) = text.find("](") {
        let Some(end) = text[at..].find(')') else { break };
        text.replace_range(at..=at + end, "");
    }
    let kept = text.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A line without what stands between backticks: links in code lead nowhere.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // An odd one at the end opens nothing.
    let paired = parts.len() - usize::from(parts.len().is_multiple_of(2));
    let outside = parts.iter().enumerate().filter(|(index, _)| index % 2 == 0 || *index >= paired);
    outside.map(|(_, part)| *part).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a page `docs/a.md` beside good ones.
    fn found(text: &str) -> Vec<String> {
        let files = BTreeMap::from([
            ("README.md".to_owned(), "# Root\n[a](docs/a.md#second) [a](docs/) <img src=\"docs/p.png\">\n".to_owned()),
            ("docs/SUMMARY.md".to_owned(), "- [A](a.md)\n- [B](zh/b.md)\n".to_owned()),
            ("docs/a.md".to_owned(), format!("# First\n\n## Second\n\n{text}\n")),
            ("docs/zh/b.md".to_owned(), "# 安装 broker\n\n## `--json`, again\n\n## Same\n\n## Same\n".to_owned()),
        ]);
        let others = ["docs", "docs/p.png", "src/main.rs"];
        breaches(&files, &|name| files.contains_key(name) || others.contains(&name))
    }

    #[test]
    fn good_links_are_good() {
        let good = [
            "[b](zh/b.md) and ![p](p.png \"a title\") and [b](./zh/../zh/b.md)",
            "[b](zh/b.md#安装-broker) [b](zh/b.md#--json-again) [b](zh/b.md#same-1) [here](#second)",
            "[out](https://example.org/x) <mailto:a@example.org> [m](mailto:a@example.org)",
            "`[not a link](nowhere.md)` and an odd ` here",
            "```\n[not a link](nowhere.md)\n# Not a heading\n```",
            "````\n```\n[still](nowhere.md)\n````",
            "[b]\n\n[b]: zh/b.md",
        ];
        for text in good {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn each_bad_link_is_named_with_its_line() {
        let bad = [
            ("[x](nowhere.md)", "docs/a.md:5: nowhere.md leads to nothing"),
            ("![x](q.png)", "docs/a.md:5: q.png leads to nothing"),
            ("<a href=\"nowhere.md\">", "docs/a.md:5: nowhere.md leads to nothing"),
            ("[x]: nowhere.md", "docs/a.md:5: nowhere.md leads to nothing"),
            ("an odd ` [x](nowhere.md)", "docs/a.md:5: nowhere.md leads to nothing"),
            ("[x](zh/b.md#same-2)", "docs/a.md:5: zh/b.md#same-2 names no heading of docs/zh/b.md"),
            ("[x](#third)", "docs/a.md:5: #third names no heading of docs/a.md"),
            ("```\n# Third\n```\n[x](#third)", "docs/a.md:8: #third names no heading of docs/a.md"),
            ("[x](../../y.md)", "docs/a.md:5: ../../y.md leads out of the repository"),
            ("[x](/docs/a.md)", "docs/a.md:5: /docs/a.md begins at the root"),
            ("[x](../src/main.rs)", "docs/a.md:5: ../src/main.rs leads out of docs/"),
        ];
        for (text, what) in bad {
            let found = found(text);
            assert!(found.len() == 1 && found[0].starts_with(what), "{text}: {found:?}");
        }
    }

    #[test]
    fn each_alert_is_explained_and_no_other() {
        let rules =
            "groups:\n  - name: taxdisk\n    rules:\n      - alert: TaxdiskOne\n        expr: 1\n      - alert: TaxdiskTwo\n";
        let with = |text: &str| BTreeMap::from(RUNBOOKS.map(|name| (name.to_owned(), text.to_owned())));
        assert_eq!(unexplained(rules, &with("### TaxdiskTwo\n\n### TaxdiskOne\n\n### Another\n")), Vec::<String>::new());
        let lacks = unexplained(rules, &with("### TaxdiskTwo\n"));
        assert!(lacks.len() == 2 && lacks.iter().all(|lack| lack.contains("### TaxdiskOne")), "{lacks:?}");
        let gone = unexplained(rules, &with("### TaxdiskTwo\n### TaxdiskOne\n### TaxdiskGone\n"));
        assert!(gone.len() == 2 && gone.iter().all(|gone| gone.ends_with("no alert TaxdiskGone")), "{gone:?}");
        assert_eq!(unexplained(rules, &BTreeMap::new()).len(), 4);
    }

    #[test]
    fn the_book_holds_every_page_once() {
        let page = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let book = |summary: &str| {
            let files = BTreeMap::from([page("docs/SUMMARY.md", summary), page("docs/a.md", ""), page("docs/zh/b.md", "")]);
            breaches(&files, &|name| files.contains_key(name))
        };
        assert_eq!(book("[A](a.md)\n\n- [B](zh/b.md)\n"), Vec::<String>::new());
        let lacks = book("- [A](a.md)\n");
        assert!(lacks.len() == 1 && lacks[0].starts_with("docs/zh/b.md: docs/SUMMARY.md does not name"), "{lacks:?}");
        let twice = book("- [A](a.md)\n- [B](zh/b.md)\n- [A](a.md)\n");
        assert!(twice.len() == 1 && twice[0].contains("more than once"), "{twice:?}");
        let nothing = book("- [A](a.md)\n- [B](zh/b.md)\n- [C](c.md)\n");
        assert!(nothing.len() == 1 && nothing[0].contains("c.md leads to nothing"), "{nothing:?}");
        let none = breaches(&BTreeMap::from([page("docs/a.md", "")]), &|_| true);
        assert_eq!(none.len(), 1, "{none:?}");
    }
}

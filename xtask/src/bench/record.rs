//! What a measurement leaves behind (`tests/src/load/record.rs`), and what is made of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::picture;
use crate::workspace;

/// The page that holds all parts.
const PAGE: &str = "docs/performance.md";
const FOLDER: &str = "docs/bench";

/// All rows of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) rows: Vec<Row>,
    notes: Vec<String>,
}

/// One figure: the values of all rounds, in one unit, and medians of what was seen beside it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Row {
    group: String,
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) values: Vec<f64>,
    beside: BTreeMap<String, f64>,
}

impl Row {
    /// A figure that was seen once.
    pub(super) fn new(group: &str, name: &str, unit: &str, value: f64) -> Row {
        Row { group: group.to_owned(), ..Row::rounds(name, unit, &[value]) }
    }

    /// A figure of several rounds.
    pub(super) fn rounds(name: &str, unit: &str, values: &[f64]) -> Row {
        Row { name: name.to_owned(), unit: unit.to_owned(), values: values.to_vec(), ..Row::default() }
    }
}

impl Record {
    /// What a program of the tests crate left.
    ///
    /// # Errors
    /// It left nothing, or something else.
    pub(super) fn read(file: &Path) -> Result<Record, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("this measurement cannot be recorded: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("what was measured cannot be read: {error}"))
    }

    /// Writes docs/bench/NAME.json, a picture of each group, and the part NAME of the page.
    ///
    /// # Errors
    /// A file cannot be written, or the page has no such part.
    pub(super) fn publish(&self, name: &str, command: &str) -> Result<(), String> {
        let folder = workspace::root().join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{FOLDER}: {error}"))?;
        let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).map_err(|error| format!("{file}: {error}"));
        let date = jiff::Zoned::now().date().to_string();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let head = json!({ "command": command, "date": date, "commit": commit(), "cores": cores, "rows": self.rows, "notes": self.notes });
        let text = serde_json::to_string_pretty(&head).map_err(|error| error.to_string())?;
        write(&format!("{name}.json"), &(text + "\n"))?;
        let mut part = format!(
            "`{command}`, {date}, version `{}`, {cores} cores; medians of the rounds, with the lowest and the highest. All figures: \
             [{name}.json](bench/{name}.json).\n",
            commit()
        );
        for (index, group) in self.groups().into_iter().enumerate() {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.group == group).collect();
            let file = format!("{name}-{}.svg", index + 1);
            write(&file, &picture::bars(group, &rows))?;
            part += &format!("\n![{group}](bench/{file})\n\n{}", table(group, &rows));
        }
        for note in &self.notes {
            // Writing into a text cannot fail.
            let _ = write!(part, "\n{note}\n");
        }
        let page = workspace::root().join(PAGE);
        let text = std::fs::read_to_string(&page).map_err(|error| format!("{PAGE}: {error}"))?;
        std::fs::write(&page, with_part(&text, name, &part)?).map_err(|error| format!("{PAGE}: {error}"))?;
        println!("{FOLDER}/{name}.json and {PAGE} are written");
        Ok(())
    }

    /// In the order of their first rows.
    fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !groups.contains(&row.group.as_str()) {
                groups.push(&row.group);
            }
        }
        groups
    }
}

/// The version that was measured; pages and figures that are not committed yet do not change it.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").args(args).current_dir(workspace::root()).output();
        output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default()
    };
    let changed = !git(&["status", "--porcelain", "--", ".", ":!docs"]).trim().is_empty();
    format!("{}{}", git(&["rev-parse", "--short", "HEAD"]).trim(), if changed { ", changed" } else { "" })
}

fn table(group: &str, rows: &[&Row]) -> String {
    let unit = rows.first().map_or("", |row| row.unit.as_str());
    let mut columns: Vec<&str> = rows.iter().flat_map(|row| row.beside.keys().map(String::as_str)).collect();
    columns.sort_unstable();
    columns.dedup();
    let ranged = rows.iter().any(|row| row.values.len() > 1);
    let mut head = vec![group.to_owned(), unit.to_owned()];
    head.extend(ranged.then(|| "lowest to highest".to_owned()));
    head.extend(columns.iter().map(|column| (*column).to_owned()));
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let mut cells = vec![row.name.clone(), shown(median(&row.values))];
        let (low, high) =
            row.values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
        cells.extend(ranged.then(|| format!("{} to {}", shown(low), shown(high))));
        cells.extend(columns.iter().map(|column| row.beside.get(*column).map_or_else(String::new, |value| shown(*value))));
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

/// The page with this part in the place of the one of before.
fn with_part(page: &str, name: &str, part: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- bench {name} -->\n"), format!("<!-- end of bench {name} -->"));
    let around = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = around.ok_or_else(|| format!("{PAGE} has no part between {} and {end}", begin.trim()))?;
    Ok(format!("{before}{begin}{part}{end}{after}"))
}

/// The middle value; of an even number the higher one of the middle; of none: zero.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// With as many digits as say something.
pub(super) fn shown(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    // 12345 as 12,345.
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or_else(|| format!("{sign}{grouped}"), |rest| format!("{sign}{grouped}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_as_many_digits_as_say_something() {
        let seen = [1_234_567.8, 1234.4, 12.345, 0.5, 0.0, 0.001_234, -1500.0].map(shown);
        assert_eq!(seen, ["1,234,568", "1,234", "12.3", "0.50", "0.00", "0.0012", "-1,500"]);
    }

    #[test]
    fn a_part_takes_the_place_of_the_one_before_and_of_nothing_else() {
        let page = "a\n<!-- bench x -->\nold\n<!-- end of bench x -->\nb\n";
        let new = with_part(page, "x", "new\n").unwrap_or_default();
        assert_eq!(new, "a\n<!-- bench x -->\nnew\n<!-- end of bench x -->\nb\n");
        assert_eq!(with_part(&new, "x", "new\n").as_deref(), Ok(new.as_str()));
        assert!(with_part(page, "y", "new\n").is_err());
    }

    #[test]
    fn a_table_has_the_median_the_range_and_what_was_seen_beside() {
        let mut row = Row::rounds("one", "ms", &[3.0, 1.0, 2.0]);
        row.beside.insert("cores".to_owned(), 0.5);
        let seen = table("Group", &[&row]);
        assert_eq!(seen, "| Group | ms | lowest to highest | cores |\n|---|---|---|---|\n| one | 2.00 | 1.00 to 3.00 | 0.50 |\n");
    }
}

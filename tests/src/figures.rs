//! The metrics as docs/metrics.md lists them, and what sources, rules, dashboards and a run name.

use std::collections::{BTreeMap, BTreeSet};

/// A row of the table: kind and labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figure {
    pub kind: String,
    pub labels: BTreeSet<String>,
}

/// Names of metrics with what is known of each.
pub type Figures = BTreeMap<String, Figure>;

/// The table of docs/metrics.md.
pub fn documented(page: &str) -> Figures {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `taxdisk_"))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let labels =
                cells[2].split(',').map(|label| label.trim().trim_matches('`').to_owned()).filter(|label| !label.is_empty());
            (
                format!("taxdisk_{}", cells[0].trim_end_matches('`')),
                Figure { kind: cells[1].to_owned(), labels: labels.collect() },
            )
        })
        .collect()
}

/// What `/metrics` shows: kinds from its `# TYPE` lines, labels from its samples.
pub fn shown(text: &str) -> Figures {
    let mut figures = Figures::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            figures.entry(name.to_owned()).or_default().kind = kind.to_owned();
            continue;
        }
        let Some((name, labels)) = line.split_once('{').and_then(|(name, rest)| Some((name, rest.rsplit_once('}')?.0))) else {
            continue;
        };
        let name = base(name, &figures);
        let figure = figures.entry(name).or_default();
        // `le` and `quantile` belong to the kind.
        figure.labels.extend(names_before_equals(labels).into_iter().filter(|label| label != "le" && label != "quantile"));
    }
    figures
}

/// A name without the endings of histograms and summaries, if that is one that is known.
fn base(name: &str, known: &Figures) -> String {
    let short =
        ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).filter(|short| known.contains_key(*short));
    short.unwrap_or(name).to_owned()
}

/// `a="1",b="2"`: a and b. Values are skipped, whatever is in them.
fn names_before_equals(text: &str) -> BTreeSet<String> {
    let mut outside = String::new();
    let mut inside = false;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '"' if !escaped => inside = !inside,
            c if !inside => outside.push(c),
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
    }
    outside
        .split(',')
        .filter_map(|part| Some(part.split(['=', '!']).next()?.trim().to_owned()))
        .filter(|part| !part.is_empty())
        .collect()
}

/// What is wrong with a query in Prometheus' language, as far as names go: metrics and labels that do not exist, and parentheses.
pub fn faults(query: &str, known: &Figures) -> Vec<String> {
    let mut faults = Vec::new();
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        if query.matches(open).count() != query.matches(close).count() {
            faults.push(format!("{open} and {close} do not pair"));
        }
    }
    let mut labels = BTreeSet::new();
    let mut allowed: BTreeSet<String> = BTreeSet::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (at, _) in query.match_indices("taxdisk_").filter(|(at, _)| !query[..*at].ends_with(is_word)) {
        let name: String = query[at..].chars().take_while(|c| is_word(*c)).collect();
        match known.get(&base(&name, known)) {
            None => faults.push(format!("{name} is not documented")),
            Some(figure) => {
                let suffixed = base(&name, known) != name;
                if suffixed != matches!(figure.kind.as_str(), "histogram" | "summary") {
                    faults.push(format!("{name} is no sample of a {}", figure.kind));
                }
                if name.ends_with("_bucket") {
                    if figure.kind != "histogram" {
                        faults.push(format!("{name}: only histograms have buckets"));
                    }
                    allowed.insert("le".to_owned());
                }
                allowed.extend(figure.labels.iter().cloned());
            }
        }
        if let Some((inner, _)) = query[at + name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            labels.extend(names_before_equals(inner));
        }
    }
    for (at, word) in query.match_indices("by (") {
        let inner = query[at + word.len()..].split(')').next().unwrap_or_default();
        labels.extend(inner.split(',').map(|label| label.trim().to_owned()));
    }
    faults.extend(labels.difference(&allowed).map(|label| format!("no metric of the query has the label {label}")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_held_against_the_table() {
        let known = documented("| `taxdisk_jobs` | gauge | `waiting` | x |\n| `taxdisk_t_seconds` | histogram | | x |\n");
        assert_eq!(known["taxdisk_jobs"].labels, BTreeSet::from(["waiting".to_owned()]));
        for good in [
            "sum by (waiting) (taxdisk_jobs{waiting=\"no=stock,x\"}) > 0",
            "histogram_quantile(0.5, sum by (le) (rate(taxdisk_t_seconds_bucket[5m])))",
        ] {
            assert_eq!(faults(good, &known), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "taxdisk_job",
            "sum by (why) (taxdisk_jobs)",
            "taxdisk_jobs{why=\"x\"}",
            "sum(taxdisk_jobs",
            "taxdisk_t_seconds",
            "sum by (le) (taxdisk_jobs)",
        ] {
            assert_ne!(faults(bad, &known), Vec::<String>::new(), "{bad}");
        }
    }

    #[test]
    fn kinds_and_labels_are_read_from_what_is_shown() {
        let text = "# TYPE taxdisk_t_seconds histogram\ntaxdisk_t_seconds_bucket{route=\"/v1/{a}\",le=\"0.1\"} 1\ntaxdisk_t_seconds_sum{route=\"\\\"x\"} 1\n";
        let found = shown(text);
        assert_eq!(found["taxdisk_t_seconds"], Figure { kind: "histogram".into(), labels: ["route".to_owned()].into() });
        assert_eq!(found.len(), 1);
    }
}

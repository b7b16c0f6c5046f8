//! A picture of one group of figures: bars of medians, with the range of the rounds as a line. SVG, light or dark as the page.

#![allow(clippy::float_arithmetic, reason = "pictures are for people")]

use std::fmt::Write as _;

use super::record::{Row, median, shown};

const LABEL: f64 = 330.0;
const BARS: f64 = 380.0;
const VALUE: f64 = 110.0;
const LINE: f64 = 20.0;
const TOP: f64 = 30.0;
/// Above this ratio of the largest to the smallest figure the bars are of the logarithm, which the picture says.
const FAR_APART: f64 = 50.0;

const STYLE: &str = "<style>text{fill:#222;font:12px sans-serif} rect{fill:#3b6ea5} line{stroke:#222} \
                     @media (prefers-color-scheme: dark){text{fill:#ddd} line{stroke:#ddd}}</style>";

/// Draws rows of one unit.
pub(super) fn bars(title: &str, rows: &[&Row]) -> String {
    let highest = rows.iter().flat_map(|row| row.values.iter().copied()).fold(0.0, f64::max);
    let lowest = rows.iter().flat_map(|row| row.values.iter().copied()).filter(|value| *value > 0.0).fold(highest, f64::min);
    let logarithm = lowest > 0.0 && highest / lowest > FAR_APART;
    let place = |value: f64| {
        let share = if highest <= 0.0 || value <= 0.0 {
            0.0
        } else if logarithm {
            // A tenth of the smallest is the left edge, so that the smallest is seen.
            (value / (lowest / 10.0)).log10() / (highest / (lowest / 10.0)).log10()
        } else {
            value / highest
        };
        LABEL + share * BARS
    };
    let (width, height) = (LABEL + BARS + VALUE, TOP + LINE * f64::from(u32::try_from(rows.len()).unwrap_or(0)) + 6.0);
    let unit = rows.first().map_or("", |row| row.unit.as_str());
    let scale = if logarithm { ", logarithmic" } else { "" };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n{STYLE}\n\
         <text x=\"4\" y=\"16\" font-weight=\"bold\">{}</text>\n",
        escaped(&format!("{title} ({unit}{scale})"))
    );
    let mut y = TOP;
    for row in rows {
        let middle = median(&row.values);
        let (from, to) = row.values.iter().fold((middle, middle), |(from, to), value| (from.min(*value), to.max(*value)));
        let (text, bar, line) = (y + 13.0, place(middle), y + 9.0);
        // Writing into a text cannot fail.
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>", LABEL - 6.0, escaped(&row.name));
        let _ = writeln!(svg, "<rect x=\"{LABEL}\" y=\"{}\" width=\"{:.1}\" height=\"12\"/>", y + 3.0, bar - LABEL);
        let _ = writeln!(svg, "<line x1=\"{:.1}\" y1=\"{line}\" x2=\"{:.1}\" y2=\"{line}\"/>", place(from), place(to));
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{text}\">{}</text>", place(to).max(bar) + 5.0, shown(middle));
        y += LINE;
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_ends_at_its_median_and_its_range_is_drawn() {
        let (half, whole) = (Row::rounds("a <b>", "ms", &[1.0, 5.0, 9.0]), Row::rounds("c", "ms", &[10.0]));
        let svg = bars("title", &[&half, &whole]);
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("title (ms)"), "{svg}");
        assert!(svg.contains("width=\"190.0\"") && svg.contains("width=\"380.0\""), "{svg}");
        assert!(svg.contains("x1=\"368.0\"") && svg.contains("x2=\"672.0\""), "{svg}");
    }

    #[test]
    fn figures_that_are_far_apart_are_drawn_by_their_logarithm() {
        let (small, large) = (Row::rounds("a", "ms", &[1.0]), Row::rounds("b", "ms", &[1000.0]));
        let svg = bars("title", &[&small, &large]);
        assert!(svg.contains("(ms, logarithmic)") && svg.contains("width=\"95.0\""), "{svg}");
    }
}

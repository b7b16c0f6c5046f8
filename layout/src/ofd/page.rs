//! One page's marks as OFD objects.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::{DECLARATION, Ids, NAMESPACE, mm};
use crate::canvas::{Ink, Mark, Page, Run};
use crate::fonts::Fonts;

/// Handle length of the four curves that make a circle, in ten thousandths of its radius.
const ARC: i64 = 5_523;

/// `Content.xml` of a page.
pub(super) fn content(page: &Page, fonts: &Fonts, font_ids: &BTreeMap<u8, u32>, ids: &mut Ids) -> String {
    let (width, height, layer) = (mm(page.width), mm(page.height), ids.next());
    let mut text = format!(
        "{DECLARATION}<ofd:Page {NAMESPACE}><ofd:Area><ofd:PhysicalBox>0 0 {width} {height}</ofd:PhysicalBox></ofd:Area>\
         <ofd:Content><ofd:Layer ID=\"{layer}\" Type=\"Body\">"
    );
    for mark in &page.marks {
        match mark {
            Mark::Text(run) => pieces(&mut text, page, run, fonts, font_ids, ids),
            Mark::Line { from, to, width, ink } => {
                let data = format!("M {} L {}", at(*from), at(*to));
                path(&mut text, page, ids, Some((*width, *ink)), &data);
            }
            Mark::Ellipse { centre, radius, width, ink } => {
                path(&mut text, page, ids, Some((*width, *ink)), &ellipse(*centre, *radius));
            }
            Mark::Boxes(boxes) => {
                let mut data = String::new();
                for (x, y, width, height) in boxes {
                    let (right, bottom) = (x + width, y + height);
                    let corners = [(right, *y), (right, bottom), (*x, bottom)].map(at);
                    let _ = write!(data, "M {} L {} L {} L {} C ", at((*x, *y)), corners[0], corners[1], corners[2]);
                }
                path(&mut text, page, ids, None, data.trim_end());
            }
        }
    }
    text.push_str("</ofd:Layer></ofd:Content></ofd:Page>\n");
    text
}

fn at((x, y): (i32, i32)) -> String {
    format!("{} {}", mm(x), mm(y))
}

fn colour(ink: Ink) -> String {
    let (red, green, blue) = ink.rgb();
    format!("{red} {green} {blue}")
}

/// A path in coordinates of the page: its box is the page. Stroked with a width and a colour, or filled black.
fn path(text: &mut String, page: &Page, ids: &mut Ids, stroke: Option<(i32, Ink)>, data: &str) {
    let (id, width, height) = (ids.next(), mm(page.width), mm(page.height));
    let _ = write!(text, "<ofd:PathObject ID=\"{id}\" Boundary=\"0 0 {width} {height}\" ");
    match stroke {
        Some((line, ink)) => {
            let _ = write!(text, "LineWidth=\"{}\"><ofd:StrokeColor Value=\"{}\"/>", mm(line), colour(ink));
        }
        None => text.push_str("Stroke=\"false\" Fill=\"true\"><ofd:FillColor Value=\"0 0 0\"/>"),
    }
    let _ = write!(text, "<ofd:AbbreviatedData>{data}</ofd:AbbreviatedData></ofd:PathObject>");
}

fn ellipse((x, y): (i32, i32), (rx, ry): (i32, i32)) -> String {
    let handle = |radius: i32| i32::try_from(i64::from(radius) * ARC / 10_000).unwrap_or(radius);
    let (hx, hy) = (handle(rx), handle(ry));
    let curve = |points: [(i32, i32); 3]| {
        let [a, b, end] = points.map(|(dx, dy)| at((x + dx, y + dy)));
        format!(" B {a} {b} {end}")
    };
    let mut data = format!("M {}", at((x + rx, y)));
    data.push_str(&curve([(rx, hy), (hx, ry), (0, ry)]));
    data.push_str(&curve([(-hx, ry), (-rx, hy), (-rx, 0)]));
    data.push_str(&curve([(-rx, -hy), (-hx, -ry), (0, -ry)]));
    data.push_str(&curve([(hx, -ry), (rx, -hy), (rx, 0)]));
    data.push_str(" C");
    data
}

/// A run, one text object for each face that it needs.
fn pieces(text: &mut String, page: &Page, run: &Run, fonts: &Fonts, font_ids: &BTreeMap<u8, u32>, ids: &mut Ids) {
    let characters: Vec<char> = run.text.chars().collect();
    let (mut x, mut first) = (run.x, 0);
    for piece in run.glyphs.chunk_by(|a, b| a.face == b.face) {
        let advances: Vec<i32> = piece.iter().map(|glyph| fonts.advance(*glyph, run.size)).collect();
        let width: i32 = advances.iter().sum();
        let content: String = characters[first..first + piece.len()].iter().collect();
        let (id, size) = (ids.next(), mm(run.size));
        let font = font_ids.get(&piece[0].face).copied().unwrap_or_default();
        // The box of a text is as high as its em; its baseline lies where the font says, about 0.88 below the top.
        let rise = run.size * 88 / 100;
        let (boundary, turn, origin) = if run.turn == 0 {
            (format!("{} {} {}", at((x, run.y - rise)), mm(width), size), String::new(), format!("X=\"0\" Y=\"{}\"", mm(rise)))
        } else {
            // Turned by 30 degrees against the clock, the only turn there is: cos 0.866, sin 0.5.
            let turn = format!(" CTM=\"0.866 -0.5 0.5 0.866 {}\"", at((x, run.y)));
            (format!("0 0 {} {}", mm(page.width), mm(page.height)), turn, "X=\"0\" Y=\"0\"".to_owned())
        };
        let _ = write!(
            text,
            "<ofd:TextObject ID=\"{id}\" Boundary=\"{boundary}\" Font=\"{font}\" Size=\"{size}\"{turn}>\
             <ofd:FillColor Value=\"{}\"/><ofd:TextCode {origin}{}>{}</ofd:TextCode></ofd:TextObject>",
            colour(run.ink),
            deltas(&advances),
            escape(content)
        );
        x += width;
        first += piece.len();
    }
}

/// Distances from character to character, repeats shortened: ` DeltaX="g 3 2.8 1.5"`.
fn deltas(advances: &[i32]) -> String {
    let Some((_, between)) = advances.split_last() else { return String::new() };
    if between.is_empty() {
        return String::new();
    }
    let groups: Vec<String> = between
        .chunk_by(|a, b| a == b)
        .map(|group| match group {
            [one] => mm(*one),
            [one, ..] => format!("g {} {}", group.len(), mm(*one)),
            [] => String::new(),
        })
        .collect();
    format!(" DeltaX=\"{}\"", groups.join(" "))
}

//! Pages as PDF, by krilla: subset fonts, text that can be found and copied, the same bytes for the same input.

// The writer takes 32-bit floats. They are made here, at the last moment, from whole micrometres.
#![allow(clippy::float_arithmetic)]

use krilla::color::rgb;
use krilla::geom::{Path, PathBuilder, Point, Rect, Transform};
use krilla::metadata::Metadata;
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;
use krilla::text::{GlyphId, KrillaGlyph};
use krilla::{Document, SerializeSettings};

use crate::canvas::{Ink, Mark, Page, Run};
use crate::error::LayoutError;
use crate::fonts::Fonts;

/// Points of a micrometre.
const POINTS: f32 = 72.0 / 25_400.0;
/// Handle length of the four curves that make a circle.
const ARC: f32 = 0.552_284_8;

/// Writes the pages.
pub(crate) fn write(pages: &[Page], fonts: &Fonts, title: &str) -> Result<Vec<u8>, LayoutError> {
    let settings = SerializeSettings { xmp_metadata: false, enable_tagging: false, ..SerializeSettings::default() };
    let mut document = Document::new_with(settings);
    document.set_metadata(Metadata::new().title(title.to_owned()).language("zh-CN".to_owned()).creator("taxdisk".to_owned()));
    for page in pages {
        let settings = PageSettings::from_wh(points(page.width), points(page.height)).ok_or_else(|| defect("page"))?;
        let mut sheet = document.start_page_with(settings);
        let mut surface = sheet.surface();
        for mark in &page.marks {
            draw(&mut surface, fonts, mark)?;
        }
        surface.finish();
        sheet.finish();
    }
    document.finish().map_err(|error| LayoutError::Defect(format!("PDF: {error:?}")))
}

fn defect(what: &str) -> LayoutError {
    LayoutError::Defect(format!("PDF: a {what} without extent"))
}

fn points(micrometres: i32) -> f32 {
    micrometres as f32 * POINTS
}

fn point((x, y): (i32, i32)) -> Point {
    Point::from_xy(points(x), points(y))
}

fn colour(ink: Ink) -> rgb::Color {
    let (red, green, blue) = ink.rgb();
    rgb::Color::new(red, green, blue)
}

fn fill(ink: Ink) -> Option<Fill> {
    Some(Fill { paint: colour(ink).into(), opacity: NormalizedF32::ONE, rule: Default::default() })
}

fn draw(surface: &mut Surface<'_>, fonts: &Fonts, mark: &Mark) -> Result<(), LayoutError> {
    match mark {
        Mark::Text(run) => text(surface, fonts, run),
        Mark::Line { from, to, width, ink } => {
            let mut builder = PathBuilder::new();
            builder.move_to(points(from.0), points(from.1));
            builder.line_to(points(to.0), points(to.1));
            stroke(surface, &builder.finish().ok_or_else(|| defect("line"))?, *width, *ink);
        }
        Mark::Ellipse { centre, radius, width, ink } => {
            let path = ellipse(point(*centre), points(radius.0), points(radius.1)).ok_or_else(|| defect("circle"))?;
            stroke(surface, &path, *width, *ink);
        }
        Mark::Boxes(boxes) => {
            let mut builder = PathBuilder::new();
            for (x, y, width, height) in boxes {
                let rect = Rect::from_xywh(points(*x), points(*y), points(*width), points(*height));
                builder.push_rect(rect.ok_or_else(|| defect("box"))?);
            }
            let path = builder.finish().ok_or_else(|| defect("code"))?;
            surface.set_stroke(None);
            surface.set_fill(fill(Ink::Black));
            surface.draw_path(&path);
        }
    }
    Ok(())
}

fn stroke(surface: &mut Surface<'_>, path: &Path, width: i32, ink: Ink) {
    surface.set_fill(None);
    surface.set_stroke(Some(Stroke { paint: colour(ink).into(), width: points(width), ..Stroke::default() }));
    surface.draw_path(path);
}

fn ellipse(centre: Point, rx: f32, ry: f32) -> Option<Path> {
    let (x, y, hx, hy) = (centre.x, centre.y, rx * ARC, ry * ARC);
    let mut builder = PathBuilder::new();
    builder.move_to(x + rx, y);
    builder.cubic_to(x + rx, y + hy, x + hx, y + ry, x, y + ry);
    builder.cubic_to(x - hx, y + ry, x - rx, y + hy, x - rx, y);
    builder.cubic_to(x - rx, y - hy, x - hx, y - ry, x, y - ry);
    builder.cubic_to(x + hx, y - ry, x + rx, y - hy, x + rx, y);
    builder.close();
    builder.finish()
}

/// A run, one piece for each face that it needs. The watermark is drawn as outlines: as text it would stand between the lines of
/// everything that is copied out of the page.
fn text(surface: &mut Surface<'_>, fonts: &Fonts, run: &Run) {
    surface.set_stroke(None);
    surface.set_fill(fill(run.ink));
    if run.turn != 0 {
        surface.push_transform(&Transform::from_rotate_at(-(run.turn as f32), points(run.x), points(run.y)));
    }
    let starts: Vec<usize> = run.text.char_indices().map(|(at, _)| at).chain([run.text.len()]).collect();
    let (mut x, mut first) = (run.x, 0);
    for piece in run.glyphs.chunk_by(|a, b| a.face == b.face) {
        let face = fonts.face(piece[0].face);
        let begin = starts[first];
        let mut glyphs = Vec::with_capacity(piece.len());
        let mut width = 0;
        for (index, glyph) in piece.iter().enumerate() {
            let advance = glyph.width as f32 / face.units as f32;
            width += fonts.advance(*glyph, run.size);
            let range = starts[first + index] - begin..starts[first + index + 1] - begin;
            glyphs.push(KrillaGlyph::new(GlyphId::new(u32::from(glyph.id)), advance, 0.0, 0.0, 0.0, range, None));
        }
        let content = &run.text[begin..starts[first + piece.len()]];
        surface.draw_glyphs(point((x, run.y)), &glyphs, face.pdf.clone(), content, points(run.size), run.turn != 0);
        x += width;
        first += piece.len();
    }
    if run.turn != 0 {
        surface.pop();
    }
}

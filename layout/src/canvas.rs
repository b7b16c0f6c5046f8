//! A page as a list of marks at exact places, which every writer draws alike.
//!
//! Lengths are whole micrometres from the upper left corner, y downwards: the same input gives the same numbers on every
//! machine, and no writer rounds otherwise than another. One em of a text is its size.

use crate::error::LayoutError;
use crate::fonts::{Fonts, Glyph};

/// One millimetre.
pub(crate) const MM: i32 = 1000;
/// The smallest size of any text: 1.2 mm, 3.4 points. Below it print cannot be read.
pub(crate) const SIZE_MIN: i32 = 1200;

/// A colour of the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// What the invoice says.
    Black,
    /// What the form says: lines and labels.
    Form,
    /// Seals.
    Seal,
    /// The watermark, under everything.
    Watermark,
}

impl Ink {
    /// Red, green, blue.
    pub(crate) fn rgb(self) -> (u8, u8, u8) {
        match self {
            Ink::Black => (0, 0, 0),
            Ink::Form => (156, 82, 35),
            Ink::Seal => (214, 32, 32),
            Ink::Watermark => (250, 222, 218),
        }
    }
}

/// A text on one line.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Left end of the baseline.
    pub(crate) x: i32,
    /// Baseline.
    pub(crate) y: i32,
    /// One em.
    pub(crate) size: i32,
    pub(crate) ink: Ink,
    /// Degrees against the clock around its left end; of the watermark only.
    pub(crate) turn: i32,
    pub(crate) text: String,
    /// One for each character.
    pub(crate) glyphs: Vec<Glyph>,
}

/// One mark.
#[derive(Debug, Clone)]
pub(crate) enum Mark {
    Text(Run),
    /// A straight line.
    Line {
        from: (i32, i32),
        to: (i32, i32),
        width: i32,
        ink: Ink,
    },
    /// An ellipse's outline.
    Ellipse {
        centre: (i32, i32),
        radius: (i32, i32),
        width: i32,
        ink: Ink,
    },
    /// Black rectangles: x, y, width, height.
    Boxes(Vec<(i32, i32, i32, i32)>),
}

/// A page.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) marks: Vec<Mark>,
}

/// Where a text stands between its left and right end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// A field of text: a place, and the sizes that it may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) left: i32,
    pub(crate) right: i32,
    pub(crate) size: i32,
    pub(crate) align: Align,
    pub(crate) ink: Ink,
}

impl Cell {
    pub(crate) fn new(left: i32, right: i32, size: i32, align: Align) -> Cell {
        Cell { left, right, size, align, ink: Ink::Black }
    }

    pub(crate) fn form(self) -> Cell {
        Cell { ink: Ink::Form, ..self }
    }

    pub(crate) fn width(&self) -> i32 {
        self.right - self.left
    }
}

/// A text cut into rows of a size.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<(String, Vec<Glyph>)>,
}

/// Draws on a page.
pub(crate) struct Painter<'a> {
    pub(crate) fonts: &'a Fonts,
    pub(crate) page: Page,
}

impl<'a> Painter<'a> {
    pub(crate) fn new(fonts: &'a Fonts, width: i32, height: i32) -> Painter<'a> {
        Painter { fonts, page: Page { width, height, marks: Vec::new() } }
    }

    pub(crate) fn line(&mut self, from: (i32, i32), to: (i32, i32), width: i32) {
        self.page.marks.push(Mark::Line { from, to, width, ink: Ink::Form });
    }

    /// The baseline at which a Chinese character of this size stands in the middle of `centre`.
    pub(crate) fn baseline(centre: i32, size: i32) -> i32 {
        centre + size * 38 / 100
    }

    /// A text on one line around `centre`, made smaller if it is too wide.
    ///
    /// # Errors
    /// A missing glyph, or a text that does not fit in the smallest size.
    pub(crate) fn text(&mut self, field: &'static str, cell: Cell, centre: i32, text: &str) -> Result<(), LayoutError> {
        let glyphs = self.fonts.glyphs(field, text)?;
        self.glyphs(field, cell, centre, text, glyphs)
    }

    /// The same with glyphs that the caller has chosen.
    ///
    /// # Errors
    /// As [`Painter::text`].
    pub(crate) fn glyphs(
        &mut self,
        field: &'static str,
        cell: Cell,
        centre: i32,
        text: &str,
        glyphs: Vec<Glyph>,
    ) -> Result<(), LayoutError> {
        let mut size = cell.size;
        while self.fonts.width(&glyphs, size) > cell.width() {
            if size <= SIZE_MIN {
                return Err(LayoutError::DoesNotFit { field });
            }
            size = (size - 50).max(SIZE_MIN);
        }
        self.put(cell, centre, size, text, glyphs);
        Ok(())
    }

    /// Rows, each around its own middle, `leading` apart, the first one around `first`.
    pub(crate) fn rows(&mut self, cell: Cell, first: i32, leading: i32, rows: &Rows) {
        let mut centre = first;
        for (text, glyphs) in &rows.rows {
            self.put(cell, centre, cell.size, text, glyphs.clone());
            centre += leading;
        }
    }

    fn put(&mut self, cell: Cell, centre: i32, size: i32, text: &str, glyphs: Vec<Glyph>) {
        if text.is_empty() {
            return;
        }
        let width = self.fonts.width(&glyphs, size);
        let x = match cell.align {
            Align::Left => cell.left,
            Align::Centre => i32::midpoint(cell.left, cell.right) - width / 2,
            Align::Right => cell.right - width,
        };
        let y = Self::baseline(centre, size);
        let run = Run { x, y, size, ink: cell.ink, turn: 0, text: text.to_owned(), glyphs };
        self.page.marks.push(Mark::Text(run));
    }

    /// A text one character a line, from `top` to `bottom`.
    pub(crate) fn vertical(&mut self, x: i32, top: i32, bottom: i32, size: i32, text: &'static str) -> Result<(), LayoutError> {
        let count = i32::try_from(text.chars().count()).unwrap_or(1).max(1);
        let step = (bottom - top) / (count + 1).max(3);
        let mut centre = i32::midpoint(top, bottom) - step * (count - 1) / 2;
        for character in text.chars() {
            let cell = Cell::new(x - size, x + size, size, Align::Centre).form();
            self.text("layout", cell, centre, character.encode_utf8(&mut [0; 4]))?;
            centre += step;
        }
        Ok(())
    }

    /// A run that the caller has placed himself.
    pub(crate) fn run(&mut self, run: Run) {
        self.page.marks.push(Mark::Text(run));
    }

    /// Cuts a text into rows of a width, at spaces where a Latin word would be torn, otherwise anywhere. Every character stays.
    ///
    /// # Errors
    /// A missing glyph.
    pub(crate) fn wrap(fonts: &Fonts, field: &'static str, text: &str, width: i32, size: i32) -> Result<Rows, LayoutError> {
        let glyphs = fonts.glyphs(field, text)?;
        let characters: Vec<char> = text.chars().collect();
        let mut rows = Vec::new();
        let (mut start, mut used, mut at) = (0, 0, 0);
        while at < characters.len() {
            let advance = fonts.advance(glyphs[at], size);
            // A row holds one character at least, however narrow it is.
            if used + advance > width && at > start && characters[at] != ' ' {
                let end = word_start(&characters, start, at);
                rows.push((start, end));
                (start, used, at) = (end, 0, end);
                continue;
            }
            used += advance;
            at += 1;
        }
        rows.push((start, characters.len()));
        let row = |(from, to): (usize, usize)| (characters[from..to].iter().collect(), glyphs[from..to].to_vec());
        Ok(Rows { rows: rows.into_iter().map(row).collect() })
    }
}

/// Where the row ends that cannot take the character at `at`: before the Latin word that it belongs to, if the row holds
/// more than that word.
fn word_start(characters: &[char], start: usize, at: usize) -> usize {
    let is_word = |c: char| (c.is_alphanumeric() && c < '\u{2E80}') || matches!(c, '-' | '.' | '/' | '@');
    if !is_word(characters[at]) {
        return at;
    }
    let begin = (start..at).rev().take_while(|place| is_word(characters[*place])).last();
    match begin {
        Some(begin) if begin > start => begin,
        _ => at,
    }
}

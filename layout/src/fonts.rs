//! Fonts: the embedded one, and those of the system for characters that it lacks. A character that none has is an error.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

use crate::error::LayoutError;

/// Part of WenQuanYi Micro Hei: ASCII, Latin, GB 2312 and what names need beside it (`layout/fonts/make.py`).
static EMBEDDED: &[u8] = include_bytes!("../fonts/taxdisk-hei.ttf");
/// ASCII of the same family in equal widths, for the cipher area.
static MONO: &[u8] = include_bytes!("../fonts/taxdisk-mono.ttf");
/// Where Debian's packages put fonts with many Chinese characters, best first: fonts-wqy-microhei, fonts-noto-cjk,
/// fonts-wqy-zenhei, fonts-droid-fallback, fonts-arphic-uming. The second number is the face within a collection.
const SYSTEM: [(&str, u32); 5] = [
    ("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", 0),
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", 2),
    ("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc", 0),
    ("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf", 0),
    ("/usr/share/fonts/truetype/arphic/uming.ttc", 0),
];
/// A larger file is no font that we read into memory.
const FONT_BYTES_MAX: u64 = 64 << 20;

/// One face.
pub(crate) struct Face {
    /// The whole font file, for subsetting.
    pub(crate) data: Arc<dyn AsRef<[u8]> + Send + Sync>,
    /// Face within a collection.
    pub(crate) index: u32,
    /// The same, as the PDF writer holds it.
    pub(crate) pdf: krilla::text::Font,
    /// Units of an em.
    pub(crate) units: i32,
    /// Glyph and width in units, by character.
    glyphs: HashMap<char, (u16, i32)>,
}

impl Face {
    fn new(data: Arc<dyn AsRef<[u8]> + Send + Sync>, index: u32) -> Option<Face> {
        let bytes: &[u8] = data.as_ref().as_ref();
        let font = FontRef::from_index(bytes, index).ok()?;
        let metrics = font.glyph_metrics(Size::unscaled(), LocationRef::default());
        let units = i32::from(font.metrics(Size::unscaled(), LocationRef::default()).units_per_em);
        let glyph = |(code, id): (u32, skrifa::GlyphId)| {
            let width = metrics.advance_width(id)?;
            Some((char::from_u32(code)?, (u16::try_from(id.to_u32()).ok()?, width as i32)))
        };
        let glyphs = font.charmap().mappings().filter_map(glyph).collect();
        let pdf = krilla::text::Font::new(data.clone().into(), index)?;
        (units > 0).then_some(Face { data, index, pdf, units, glyphs })
    }

    fn read(path: &Path, index: u32) -> Option<Face> {
        let file = std::fs::File::open(path).ok()?;
        if file.metadata().ok()?.len() > FONT_BYTES_MAX {
            return None;
        }
        Face::new(Arc::new(std::fs::read(path).ok()?), index)
    }
}

/// One character in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glyph {
    /// Which face: see [`Fonts::face`].
    pub(crate) face: u8,
    /// Glyph of that face.
    pub(crate) id: u16,
    /// Width in units of that face.
    pub(crate) width: i32,
}

/// The fonts that documents are written with. Made once and shared: a few milliseconds.
pub struct Fonts {
    embedded: Face,
    mono: Face,
    paths: Vec<(PathBuf, u32)>,
    // Read when the first character is met that the embedded font lacks: most processes never need them.
    system: OnceLock<Vec<Face>>,
}

impl Fonts {
    /// The embedded font, and the system's for what it lacks. The fonts of the system are found once per process.
    pub fn shared() -> &'static Fonts {
        static SHARED: LazyLock<Fonts> =
            LazyLock::new(|| Fonts::with_fallback(SYSTEM.iter().map(|(path, face)| (PathBuf::from(path), *face)).collect()));
        &SHARED
    }

    /// The embedded font, and these files (with the number of a face in a collection) for what it lacks, in this order. Files
    /// that are missing or no fonts are passed over.
    pub fn with_fallback(paths: Vec<(PathBuf, u32)>) -> Fonts {
        let embedded = Face::new(Arc::new(EMBEDDED), 0).expect("the embedded font is a font (tested)");
        let mono = Face::new(Arc::new(MONO), 0).expect("the embedded font is a font (tested)");
        Fonts { embedded, mono, paths, system: OnceLock::new() }
    }

    fn system(&self) -> &[Face] {
        // A glyph names its face by one byte.
        let read = || self.paths.iter().take(253).filter_map(|(path, index)| Face::read(path, *index)).collect();
        self.system.get_or_init(read)
    }

    /// The face that a glyph names.
    pub(crate) fn face(&self, face: u8) -> &Face {
        match face {
            0 => &self.embedded,
            1 => &self.mono,
            face => &self.system()[usize::from(face) - 2],
        }
    }

    /// The glyphs of a text, one for each character.
    ///
    /// # Errors
    /// A character that no font has.
    pub(crate) fn glyphs(&self, field: &'static str, text: &str) -> Result<Vec<Glyph>, LayoutError> {
        let glyph = |(position, character)| self.glyph(character).ok_or(LayoutError::NoGlyph { field, character, position });
        text.chars().enumerate().map(glyph).collect()
    }

    /// The same in equal widths, as far as the text is ASCII.
    ///
    /// # Errors
    /// A character that no font has.
    pub(crate) fn mono(&self, field: &'static str, text: &str) -> Result<Vec<Glyph>, LayoutError> {
        let mut glyphs = self.glyphs(field, text)?;
        for (glyph, character) in glyphs.iter_mut().zip(text.chars()) {
            if let Some((id, width)) = self.mono.glyphs.get(&character) {
                *glyph = Glyph { face: 1, id: *id, width: *width };
            }
        }
        Ok(glyphs)
    }

    fn glyph(&self, character: char) -> Option<Glyph> {
        // Glyph 0 is the box that stands for "missing".
        let of = |face: &Face| face.glyphs.get(&character).copied().filter(|(id, _)| *id != 0);
        if let Some((id, width)) = of(&self.embedded) {
            return Some(Glyph { face: 0, id, width });
        }
        let found = self.system().iter().enumerate().find_map(|(index, face)| Some((index, of(face)?)));
        let (index, (id, width)) = found?;
        Some(Glyph { face: u8::try_from(index + 2).ok()?, id, width })
    }

    /// Width of glyphs in a size.
    pub(crate) fn width(&self, glyphs: &[Glyph], size: i32) -> i32 {
        glyphs.iter().map(|glyph| self.advance(*glyph, size)).sum()
    }

    /// Width of one glyph in a size.
    pub(crate) fn advance(&self, glyph: Glyph, size: i32) -> i32 {
        let units = i64::from(self.face(glyph.face).units);
        // Widths are a few thousand units and sizes below a page: far inside i32.
        i32::try_from(i64::from(glyph.width) * i64::from(size) / units).unwrap_or(i32::MAX)
    }
}

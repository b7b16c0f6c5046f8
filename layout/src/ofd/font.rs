//! The part of a font that a document uses, as a font of its own that every reader can open: with a character map.

use std::collections::BTreeSet;

use skrifa::raw::types::Tag;
use skrifa::raw::{FontRef, TableProvider};
use skrifa::string::StringId;
use skrifa::{GlyphId, MetadataProvider};
use subsetter::GlyphRemapper;
use write_fonts::FontBuilder;
use write_fonts::tables::cmap::Cmap;

use crate::error::LayoutError;
use crate::fonts::Face;

/// A cut font.
pub(super) struct Cut {
    /// Name of the family.
    pub(super) name: String,
    /// `ttf` or `otf`.
    pub(super) extension: &'static str,
    /// The file.
    pub(super) data: Vec<u8>,
}

/// Cuts a face down to these characters, given with their glyphs.
pub(super) fn cut(face: &Face, characters: &BTreeSet<(char, u16)>) -> Result<Cut, LayoutError> {
    let defect = |what: &dyn std::fmt::Display| LayoutError::Defect(format!("OFD font: {what}"));
    let whole: &[u8] = face.data.as_ref().as_ref();
    let font = FontRef::from_index(whole, face.index).map_err(|error| defect(&error))?;
    let mut mapper = GlyphRemapper::new();
    // `sorted` by character: the same text gives the same font, whatever was drawn first.
    let mappings: Vec<(char, GlyphId)> =
        characters.iter().map(|(character, id)| (*character, GlyphId::new(u32::from(mapper.remap(*id))))).collect();
    let part = subsetter::subset(whole, face.index, &mapper).map_err(|error| defect(&error))?;
    let part = FontRef::new(&part).map_err(|error| defect(&error))?;
    let map = Cmap::from_mappings(mappings).map_err(|error| defect(&error))?;
    let mut builder = FontBuilder::new();
    builder.add_table(&map).map_err(|error| defect(&error))?;
    // The part is made for PDF and lacks what other readers look for.
    for tag in [Tag::new(b"OS/2"), Tag::new(b"name"), Tag::new(b"post")] {
        if let (None, Some(table)) = (part.data_for_tag(tag), font.data_for_tag(tag)) {
            builder.add_raw(tag, table.as_bytes());
        }
    }
    builder.copy_missing_tables(part.clone());
    let name = font.localized_strings(StringId::FAMILY_NAME).english_or_first();
    let name = name.map_or_else(|| "Unnamed".to_owned(), |name| name.chars().collect());
    let extension = if part.cff().is_ok() { "otf" } else { "ttf" };
    Ok(Cut { name, extension, data: builder.build() })
}

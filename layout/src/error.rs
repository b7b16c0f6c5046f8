//! Why a document cannot be made. The invoice itself is never touched by that.

use taxdisk_protocol::kind::InvoiceKind;

/// No document was made. The invoice exists and stays as it is; making its documents again is always safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Neither the embedded font nor a system font has the character. An administrator installs a font that has it, or the
    /// text goes to a form without fonts ([`crate::json`], [`crate::xml`]).
    #[error(
        "{field}: no font has the character U+{code:04X} at place {place}. The invoice is issued and stays valid; install a \
         font that has it (Debian: fonts-noto-cjk) and make the document again",
        code = u32::from(*.character),
        place = .position + 1
    )]
    NoGlyph {
        /// Field of the invoice, as the API names it.
        field: &'static str,
        /// The character.
        character: char,
        /// Its place, counted in characters from 0.
        position: usize,
    },
    /// A character that no document may hold: a control character, or one that XML 1.0 excludes.
    #[error(
        "{field}: the character U+{code:04X} at place {place} is not allowed in a document. The invoice is issued and stays valid",
        code = u32::from(*.character),
        place = .position + 1
    )]
    Control {
        /// Field of the invoice.
        field: &'static str,
        /// The character.
        character: char,
        /// Its place, counted in characters from 0.
        position: usize,
    },
    /// More than any invoice holds.
    #[error("{field}: {found} {unit}, at most {limit} are laid out. The invoice is issued and stays valid")]
    TooMany {
        /// Field of the invoice.
        field: &'static str,
        /// What was found.
        found: usize,
        /// The limit.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// The text does not fit into its place in the smallest size that can still be read. Nothing is cut.
    #[error("{field}: the text is too long for its place in the layout. The invoice is issued and stays valid")]
    DoesNotFit {
        /// Field of the invoice.
        field: &'static str,
    },
    /// The date of issue is not `yyyyMMddHHmmss`.
    #[error("issued_at: not a time of a disk (yyyyMMddHHmmss)")]
    NotATime,
    /// The kind has no layout here.
    #[error("there is no layout for invoices of kind {kind} ({name}). The invoice is issued and stays valid", name = .kind.name())]
    NoLayout {
        /// The kind.
        kind: InvoiceKind,
    },
    /// A real invoice without the QR content of its device. It is never made up (invoice-rules.md, section 2).
    #[error("the device gave no QR content for this invoice, and none is made up")]
    NoQrText,
    /// A writer refused what it was given: a defect of this program.
    #[error("a defect of this program: {0}. The invoice is issued and stays valid")]
    Defect(String),
}

//! Documents of an issued invoice: PDF, OFD, QR code, JSON and XML.
//!
//! Everything here is a pure function of an [`IssuedInvoice`]: no clock, no network, the same bytes for the same input. The
//! one thing read from outside are fonts of the system, and only for characters that the embedded font lacks ([`Fonts`]).
//! Making a document never touches the invoice: it can be made again at any time ([`LayoutError`] says what was in the way).
//!
//! Nothing is cut, replaced or dropped: what does not fit, or what no font can show, is an error that names the field. Documents
//! of a simulated disk say 样票 / SAMPLE, always. Seals and cipher texts are not made up; they come from the device or are left
//! out.
//!
//! Read first: [`IssuedInvoice`], [`pdf`]. What is drawn where: docs/layout.md.
#![forbid(unsafe_code)]

mod canvas;
mod capitals;
mod error;
mod facts;
mod fonts;
mod invoice;
mod ofd;
mod pdf;
mod qr;
mod sheet;
mod slip;
mod words;

use taxdisk_protocol::kind::InvoiceKind;

pub use self::capitals::capitals;
pub use self::error::LayoutError;
pub use self::facts::{json, xml};
pub use self::fonts::Fonts;
pub use self::invoice::{CIPHER_CHARS_MAX, IssuedInvoice, QR_BYTES_MAX, Seller};
pub use self::qr::{qr_png, qr_svg, qr_text};

/// The invoice as PDF, text extractable, with the fonts of [`Fonts::shared`].
///
/// # Errors
/// See [`LayoutError`]; the invoice is not touched.
pub fn pdf(invoice: &IssuedInvoice) -> Result<Vec<u8>, LayoutError> {
    pdf_with(invoice, Fonts::shared())
}

/// The invoice as PDF with other fonts.
///
/// # Errors
/// See [`LayoutError`].
pub fn pdf_with(invoice: &IssuedInvoice, fonts: &Fonts) -> Result<Vec<u8>, LayoutError> {
    pdf::write(&pages(invoice, fonts)?, fonts, &title(invoice))
}

/// The invoice as OFD (GB/T 33190), with the XML form attached, with the fonts of [`Fonts::shared`].
///
/// # Errors
/// See [`LayoutError`]; the invoice is not touched.
pub fn ofd(invoice: &IssuedInvoice) -> Result<Vec<u8>, LayoutError> {
    ofd_with(invoice, Fonts::shared())
}

/// The invoice as OFD with other fonts.
///
/// # Errors
/// See [`LayoutError`].
pub fn ofd_with(invoice: &IssuedInvoice, fonts: &Fonts) -> Result<Vec<u8>, LayoutError> {
    ofd::write(&pages(invoice, fonts)?, fonts, invoice, &xml(invoice)?)
}

fn title(invoice: &IssuedInvoice) -> String {
    format!("{} {}", words::title(invoice.kind, invoice.pair.code), invoice.pair)
}

fn pages(invoice: &IssuedInvoice, fonts: &Fonts) -> Result<Vec<canvas::Page>, LayoutError> {
    invoice.check()?;
    match invoice.kind {
        InvoiceKind::ElectronicOrdinary
        | InvoiceKind::ElectronicSpecial
        | InvoiceKind::PaperOrdinary
        | InvoiceKind::PaperSpecial => sheet::pages(invoice, fonts),
        InvoiceKind::Roll => slip::pages(invoice, fonts),
        kind => Err(LayoutError::NoLayout { kind }),
    }
}

//! The QR code: its content, its modules, and as a picture of its own.

use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, Module, QRCode};
use taxdisk_protocol::kind::InvoiceKind;

use crate::error::LayoutError;
use crate::invoice::{IssuedInvoice, QR_BYTES_MAX};

/// Light modules around a code (ISO/IEC 18004).
const QUIET: usize = 4;
/// Pixels of a module in a picture: large enough for every till's display, still below 10 KB.
const PIXELS: usize = 8;

/// The content of the QR code: what the device said; on a sample without it the same comma list, whose check value is the
/// word SAMPLE (yonyou-open-api.md, section 3.6). A real invoice's content is never made up: `None`.
pub fn qr_text(invoice: &IssuedInvoice) -> Option<String> {
    if let Some(text) = invoice.qr_text.as_deref().filter(|text| !text.is_empty()) {
        return Some(text.to_owned());
    }
    let kind = match invoice.kind {
        InvoiceKind::ElectronicOrdinary => "10",
        other => other.fplxdm(),
    };
    let (pair, net) = (invoice.pair, invoice.invoice.totals.net);
    let date = invoice.issued_at.get(..8).unwrap_or_default();
    let text = format!("01,{kind},{},{},{net},{date},{},SAMPLE", pair.code, pair.number, invoice.check_code());
    invoice.simulated.then_some(text)
}

/// The modules of a code, dark ones true, row by row, without the light ones around.
pub(crate) struct Modules {
    pub(crate) side: usize,
    dark: Vec<bool>,
}

impl Modules {
    /// Dark runs of each row: row, first column, length.
    pub(crate) fn runs(&self) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::new();
        for (row, modules) in self.dark.chunks(self.side).enumerate() {
            let mut column = 0;
            for run in modules.chunk_by(|a, b| a == b) {
                if run.first() == Some(&true) {
                    runs.push((row, column, run.len()));
                }
                column += run.len();
            }
        }
        runs
    }
}

/// The modules for a content.
///
/// # Errors
/// The content is too long.
pub(crate) fn modules(text: &str) -> Result<Modules, LayoutError> {
    let too_many = LayoutError::TooMany { field: "qr_text", found: text.len(), limit: QR_BYTES_MAX, unit: "bytes" };
    if text.len() > QR_BYTES_MAX {
        return Err(too_many);
    }
    let code: QRCode = QRBuilder::new(text).ecl(ECL::M).build().map_err(|_| too_many)?;
    let dark = code.data.iter().take(code.size * code.size).map(|module: &Module| module.value()).collect();
    Ok(Modules { side: code.size, dark })
}

/// The QR code as a PNG picture, 8 pixels a module.
///
/// # Errors
/// A real invoice without QR content, or a content that is too long.
pub fn qr_png(invoice: &IssuedInvoice) -> Result<Vec<u8>, LayoutError> {
    let modules = modules(&qr_text(invoice).ok_or(LayoutError::NoQrText)?)?;
    let side = (modules.side + 2 * QUIET) * PIXELS;
    // One byte a pixel first: 255 is light.
    let mut pixels = vec![255_u8; side * side];
    for (row, column, length) in modules.runs() {
        for y in (row + QUIET) * PIXELS..(row + QUIET + 1) * PIXELS {
            let from = y * side + (column + QUIET) * PIXELS;
            pixels[from..from + length * PIXELS].fill(0);
        }
    }
    // A side is a multiple of 8: every row fills its bytes.
    let bits: Vec<u8> = pixels.chunks(8).map(|eight| eight.iter().fold(0, |byte, p| byte << 1 | (p & 1))).collect();
    let mut picture = Vec::new();
    let side = u32::try_from(side).map_err(|_| LayoutError::Defect("a QR code of this size".to_owned()))?;
    let mut encoder = png::Encoder::new(&mut picture, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&bits));
    written.map_err(|error| LayoutError::Defect(format!("PNG: {error}")))?;
    Ok(picture)
}

/// The QR code as an SVG picture, one unit a module.
///
/// # Errors
/// As [`qr_png`].
pub fn qr_svg(invoice: &IssuedInvoice) -> Result<String, LayoutError> {
    let modules = modules(&qr_text(invoice).ok_or(LayoutError::NoQrText)?)?;
    let side = modules.side + 2 * QUIET;
    let run = |(row, column, length): (usize, usize, usize)| format!("M{} {}h{length}v1h-{length}z", column + QUIET, row + QUIET);
    let path: String = modules.runs().into_iter().map(run).collect();
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\"/></svg>\n"
    ))
}

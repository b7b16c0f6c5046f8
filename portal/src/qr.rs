//! A text as a QR code (ISO/IEC 18004), as a drawing and as a picture.

use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, QRCode};

/// The quiet zone of the standard, modules.
const QUIET: usize = 4;
/// A module of a picture, pixels: a code of 41 modules then prints at 300 dpi on 4 cm.
const MODULE_PX: usize = 12;

fn code(text: &str) -> Option<QRCode> {
    QRBuilder::new(text).ecl(ECL::M).build().ok()
}

/// As SVG, one unit a module. `None`: it does not fit into a code.
pub fn svg(text: &str) -> Option<String> {
    let code = code(text)?;
    let side = code.size + 2 * QUIET;
    let mut path = String::new();
    for (row, modules) in code.data.chunks(code.size).take(code.size).enumerate() {
        for (column, module) in modules.iter().enumerate() {
            if module.value() {
                path += &format!("M{} {}h1v1h-1z", column + QUIET, row + QUIET);
            }
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\"/></svg>"
    ))
}

/// As a PNG of one bit a pixel. `None`: it does not fit into a code.
pub fn png(text: &str) -> Option<Vec<u8>> {
    let code = code(text)?;
    let side = (code.size + 2 * QUIET) * MODULE_PX;
    let row_bytes = side.div_ceil(8);
    // White is one, and the bits that fill a row up are white too.
    let mut pixels = vec![0xFF_u8; row_bytes * side];
    for (row, modules) in code.data.chunks(code.size).take(code.size).enumerate() {
        for (column, _) in modules.iter().enumerate().filter(|(_, module)| module.value()) {
            for y in (row + QUIET) * MODULE_PX..(row + QUIET + 1) * MODULE_PX {
                for x in (column + QUIET) * MODULE_PX..(column + QUIET + 1) * MODULE_PX {
                    pixels[y * row_bytes + x / 8] &= !(0x80 >> (x % 8));
                }
            }
        }
    }
    let side = u32::try_from(side).ok()?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    Some(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn picture_and_drawing_show_the_same_modules() {
        let text = "https://fp.example/r/AAAAAAAAAAAAAAAAAAAAAA";
        let (drawing, picture) = (svg(text).unwrap(), png(text).unwrap());
        let code = code(text).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
        let side = (code.size + 2 * QUIET) * MODULE_PX;
        assert_eq!((reader.info().width as usize, reader.info().height as usize), (side, side));
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let mut dark = 0;
        for row in 0..code.size + 2 * QUIET {
            for column in 0..code.size + 2 * QUIET {
                let (x, y) = (column * MODULE_PX + MODULE_PX / 2, row * MODULE_PX + MODULE_PX / 2);
                let black = pixels[y * side.div_ceil(8) + x / 8] & (0x80 >> (x % 8)) == 0;
                assert_eq!(drawing.contains(&format!("M{column} {row}h1v1h-1z")), black, "row {row}, column {column}");
                dark += usize::from(black);
            }
        }
        assert!(dark > 100, "{dark}");
        assert!(svg(&"x".repeat(5000)).is_none() && png(&"x".repeat(5000)).is_none(), "no code holds that");
    }
}

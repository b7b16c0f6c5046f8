//! Programs that read what we write: poppler, zbar, easyofd. Where one is missing the test fails and says what to install.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program and gives its output.
pub fn run(program: &Path, arguments: &[&str], install: &str) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask test` installs it, or: {install}", program.display()));
    assert!(output.status.success(), "{} {arguments:?}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn poppler(program: &str, arguments: &[&str]) -> Vec<u8> {
    run(Path::new(program), arguments, "apt-get install --no-install-recommends poppler-utils")
}

/// The text of a PDF in the order in which it was drawn.
pub fn pdf_text(pdf: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("invoice.pdf");
    std::fs::write(&file, pdf).unwrap();
    String::from_utf8(poppler("pdftotext", &["-raw", "-enc", "UTF-8", file.to_str().unwrap(), "-"])).unwrap()
}

/// The pages of a PDF as pictures.
pub fn pdf_pages(pdf: &[u8], dpi: u32) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("invoice.pdf");
    std::fs::write(&file, pdf).unwrap();
    let root = folder.path().join("page");
    poppler("pdftoppm", &["-r", &dpi.to_string(), "-png", file.to_str().unwrap(), root.to_str().unwrap()]);
    let mut pages: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "png"));
    pages.sort();
    pages.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// What zbar reads in a PNG picture.
pub fn qr_content(png: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("code.png");
    std::fs::write(&file, png).unwrap();
    let install = "apt-get install --no-install-recommends zbar-tools";
    let text = run(Path::new("zbarimg"), &["--quiet", "--raw", file.to_str().unwrap()], install);
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

/// What easyofd reads in an OFD, and fontTools in its fonts.
pub fn read_ofd(ofd: &[u8]) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("invoice.ofd");
    std::fs::write(&file, ofd).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_ofd.py");
    let arguments = [script.to_str().unwrap(), file.to_str().unwrap()];
    let text = run(&target.join("tools/easyofd/bin/python"), &arguments, "cargo xtask test --only unit");
    serde_json::from_slice(&text).unwrap()
}

/// Red, green and blue of each pixel of a PNG picture.
pub fn pixels(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    buffer.truncate(info.buffer_size());
    (info.width, info.height, buffer)
}

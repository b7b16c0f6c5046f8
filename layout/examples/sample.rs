//! Writes sample documents of real orders: `cargo run -p taxdisk-layout --example sample -- [FOLDER]`.

use std::path::PathBuf;

#[path = "../tests/samples/mod.rs"]
mod samples;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/invoices"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for (name, invoice) in samples::all() {
        let save = |extension: &str, data: &[u8]| std::fs::write(folder.join(format!("{name}.{extension}")), data);
        save("pdf", &taxdisk_layout::pdf(&invoice)?)?;
        save("ofd", &taxdisk_layout::ofd(&invoice)?)?;
        save("png", &taxdisk_layout::qr_png(&invoice)?)?;
        save("svg", taxdisk_layout::qr_svg(&invoice)?.as_bytes())?;
        save("json", taxdisk_layout::json(&invoice)?.as_bytes())?;
        save("xml", taxdisk_layout::xml(&invoice)?.as_bytes())?;
        println!("{}", folder.join(name).display());
    }
    Ok(())
}

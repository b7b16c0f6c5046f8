//! Writes sample documents of real orders: `cargo run -p taxdisk-layout --example sample -- [FOLDER]`.

use std::path::PathBuf;

#[path = "../tests/samples/mod.rs"]
mod samples;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/invoices"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for (name, invoice) in samples::all() {
        std::fs::write(folder.join(format!("{name}.pdf")), taxdisk_layout::pdf(&invoice)?)?;
        println!("{}", folder.join(name).display());
    }
    Ok(())
}

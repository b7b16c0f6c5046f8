//! How long a document takes, on one core: `cargo run --release -p taxdisk-layout --example bench`.

// A measurement: milliseconds are divided.
#![allow(clippy::float_arithmetic)]

use std::time::Instant;

use taxdisk_layout::{IssuedInvoice, LayoutError, json, ofd, pdf, qr_png};

#[path = "../tests/samples/mod.rs"]
mod samples;

/// Documents of each kind and sample.
const ROUNDS: u32 = 200;

type Make = fn(&IssuedInvoice) -> Result<usize, LayoutError>;

fn main() -> Result<(), LayoutError> {
    let began = Instant::now();
    pdf(&samples::all()[0].1)?;
    println!("first, with reading the font: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let kinds: [(&str, Make); 4] = [
        ("PDF", |invoice| Ok(pdf(invoice)?.len())),
        ("OFD", |invoice| Ok(ofd(invoice)?.len())),
        ("QR", |invoice| Ok(qr_png(invoice)?.len())),
        ("JSON", |invoice| Ok(json(invoice)?.len())),
    ];
    for (name, invoice) in samples::all() {
        for (kind, make) in kinds {
            let (mut bytes, mut slowest, began) = (0, 0.0_f64, Instant::now());
            for _ in 0..ROUNDS {
                let one = Instant::now();
                bytes = make(&invoice)?;
                slowest = slowest.max(one.elapsed().as_secs_f64() * 1e3);
            }
            let mean = began.elapsed().as_secs_f64() * 1e3 / f64::from(ROUNDS);
            println!("{name:9} {kind:5} {bytes:6} bytes, mean {mean:6.2} ms, slowest {slowest:6.2} ms");
        }
    }
    Ok(())
}

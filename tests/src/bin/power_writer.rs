//! Writes a journal, a ledger or a portal's store while `strace` looks on, and says what is durable:
//! `power_writer journal|ledger|portal FOLDER PIECES`.
#![forbid(unsafe_code)]

use std::path::Path;

use taxdisk_tests::power::work;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, folder, pieces] = words.as_slice() else { panic!("usage: power_writer journal|ledger|portal FOLDER PIECES") };
    let (folder, pieces) = (Path::new(folder), pieces.parse().expect("a number of pieces"));
    match what.as_str() {
        "journal" => work::write_journal(folder, pieces),
        "ledger" => work::write_ledger(folder, pieces),
        "portal" => work::write_portal(folder, pieces),
        other => panic!("{other} is not known here"),
    }
}

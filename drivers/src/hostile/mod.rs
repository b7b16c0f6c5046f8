//! Every parser of this crate as a function of bytes that somebody else made: answers of a device to the driver, commands of a
//! host to the simulated device, texts of people and programs. None may panic, hang or take more memory than its limits say,
//! whatever the bytes, and each asserts besides what must hold of its result:
//!
//! * a call comes back within the driver's `longest_call`, in virtual time, however slowly the bytes come;
//! * "not sent" means that the disk did nothing; a reading call never changes the disk;
//! * an answer that was damaged (up to 16 neighbouring bits), cut or lost on its way is never a clean OK under the expected
//!   pair, unless the disk did issue that pair;
//! * what was read and is written again reads the same.
//!
//! The fuzzers in the workspace's `fuzz/` and the replay of their corpus in `tests/corpus.rs` run these. An input of the driver
//! targets is a small script: which call, then what comes in answer to each write ([`write_act`]).

mod calls;
mod devices;
mod documents;
mod line;
#[cfg(test)]
mod recordings;
mod script;
mod serial;
mod texts;
mod usb;

pub use calls::CALLS;
pub use script::write as write_act;

/// Feeds bytes to one parser.
pub type Target = fn(&[u8]);

/// All targets by name; the corpus has a folder for each. First the parsers of what a device or a stranger sends, then the
/// device sides.
pub const TARGETS: [(&str, Target); 14] = [
    ("zc_answer", serial::zc_fixed),
    ("zc_xml_answer", serial::zc_xml),
    ("card_answer", serial::card),
    ("nisec_answer", documents::nisec),
    ("skserver_answer", documents::skserver),
    ("bot_answer", usb::bot),
    ("profile", texts::profile),
    ("recording", texts::recording),
    ("link_frame", texts::link_frame),
    ("zc_device", devices::zc),
    ("card_device", devices::card),
    ("nisec_device", devices::nisec),
    ("skserver_device", devices::skserver),
    ("bot_device", devices::bot),
];

/// Feeds bytes to the target of this name.
///
/// # Panics
/// There is no such target, or the parser broke its word.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("there is no target {name}"));
    target(bytes);
}

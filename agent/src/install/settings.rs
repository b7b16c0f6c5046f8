//! The configuration's `[[disk]]` sections: found at this PC, and added to the file without touching what a person wrote.

use std::path::Path;

use taxdisk_drivers::discover::{Candidate, Inventory, State, explain};

use super::people::People;
use crate::config::Config;
use crate::failure::Failure;
use crate::platform::PORT_EXAMPLE;
use crate::ready::write_atomic;

/// Modes of a configuration that was not there: it holds no secret.
const USUAL_MODE: u32 = 0o644;

/// Lets a person choose among the disks that may be at this PC. Nothing is sent to any of them.
pub(super) fn choose(config: &Config, people: &mut dyn People) -> Result<Vec<String>, Failure> {
    let found = explain(&Inventory::of_this_pc(), &[], &config.known, &mut Untouched);
    let usable: Vec<&Candidate> = found
        .iter()
        .filter(|one| !one.profiles.is_empty() && !matches!(one.state, State::DetectionOnly { .. } | State::Held { .. }))
        .collect();
    for (index, one) in usable.iter().enumerate() {
        let product = one.product.as_deref().unwrap_or("unnamed");
        people.say(&format!("  {}. {} ({product}; {})", index + 1, one.place, one.profiles.join(", ")));
    }
    let question = match usable.is_empty() {
        true => format!("Port of the disk, such as {PORT_EXAMPLE}"),
        false => "Which disk: a number, or its port".to_owned(),
    };
    let said = people.ask("[[disk]] port", &question, (usable.len() == 1).then_some("1"))?;
    let chosen = said.parse::<usize>().ok().and_then(|number| usable.get(number.checked_sub(1)?)).copied();
    let disk = match chosen {
        Some(one) => section(one),
        None if crate::platform::check_port_name(&said).is_ok() => format!("port = {}\n", quoted(&said)),
        None => {
            return Err(Failure::usage(format!("{said:?} is neither a number of the list nor a port such as {PORT_EXAMPLE}.")));
        }
    };
    Ok(vec![format!("[[disk]]\n{disk}")])
}

/// A name that survives replugging comes first.
fn section(candidate: &Candidate) -> String {
    if let Some(selector) = candidate.place.strip_prefix("usb:") {
        return format!("usb = {}\n", quoted(selector));
    }
    let stable = candidate.names.iter().find(|name| name.starts_with("/dev/serial/by-id/"));
    let port = format!("port = {}\n", quoted(stable.unwrap_or(&candidate.place)));
    // With several, the person decides later which one is right; the first is the usual one of that bridge.
    let profile = candidate.profiles.first().map(|name| format!("profile = {}\n", quoted(name))).unwrap_or_default();
    port + &profile
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Looks at nothing: a port that is not configured gets no byte.
struct Untouched;

impl taxdisk_drivers::discover::Prober for Untouched {
    fn known(&mut self, _entry: usize) -> Option<State> {
        None
    }

    fn probe(
        &mut self,
        _place: &taxdisk_drivers::discover::Place,
        _profile: &taxdisk_drivers::profile::Profile,
        _entry: Option<usize>,
    ) -> State {
        State::NotConfigured { advice: "it was not asked".to_owned() }
    }
}

/// Adds sections to the end of the file. If the whole cannot be used, the file stays as it was.
pub(super) fn append(file: &Path, sections: &[String], state_dir: Option<&Path>) -> Result<(), Failure> {
    let wrong =
        |error: std::io::Error| Failure::config(format!("The configuration {} cannot be written ({error}).", file.display()));
    let old = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(wrong(error)),
    };
    let mode = crate::platform::mode_of(file).unwrap_or(USUAL_MODE);
    let mut text = old;
    for section in sections {
        if !text.is_empty() && !text.ends_with("\n\n") {
            text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
        }
        text.push_str(section);
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let mut trial = file.file_name().unwrap_or_default().to_owned();
    trial.push(".trial");
    let trial = file.with_file_name(trial);
    write_atomic(&trial, text.as_bytes(), mode).map_err(wrong)?;
    let good = Config::load(Some(&trial), state_dir);
    // If we stop before this, a file .trial is left, which nobody reads.
    let removed = std::fs::remove_file(&trial);
    good?;
    removed.map_err(wrong)?;
    write_atomic(file, text.as_bytes(), mode).map_err(wrong)
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn sections_come_behind_what_a_person_wrote_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.toml");
        let state = dir.path().join("state");
        append(&file, &["[[disk]]\nport = \"/dev/ttyS0\"\n".to_owned()], Some(&state)).unwrap();
        assert_eq!(Config::load(Some(&file), None).unwrap().disk.len(), 1);
        std::fs::write(&file, "# mine\n[log]\nlevel = \"debug\"").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        append(&file, &["[[disk]]\nport = \"/dev/ttyS0\"\n".to_owned()], Some(&state)).unwrap();
        let before = std::fs::read_to_string(&file).unwrap();
        assert!(before.starts_with("# mine\n[log]\nlevel = \"debug\"\n\n[[disk]]\n"), "{before}");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(append(&file, &["[[disk]]\nport = \"/dev/ttyS0\"\n".to_owned()], Some(&state)).is_err(), "twice the same port");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}

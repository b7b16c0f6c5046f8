//! Checks of this PC: configuration, state folder, room on the drive, journal, programs and power saving that disturb disks.

use std::path::Path;

use taxdisk_drivers::discover::Place;

use super::Report;
use crate::config::Config;
use crate::daemon::Lock;
use crate::failure::Failure;
use crate::identity::{StateDir, read_private};
use crate::status::Status;

/// Below this the journal may not be able to write its next record, bytes: it takes room by half a MiB.
const ROOM_LEAST_BYTES: u64 = 16 << 20;
/// Below this somebody should look, bytes: logs and recordings fill it in days.
const ROOM_LITTLE_BYTES: u64 = 256 << 20;
/// More entries than this wait only if the broker has been away for long.
const OUTBOX_MANY: usize = 1000;
/// Programs that write to ports that are not theirs, and what to do about each.
const DISTURBERS: [(&str, &str); 2] = [
    ("ModemManager", "install the udev rules that come with taxdisk, or `systemctl disable --now ModemManager`"),
    ("brltty", "it takes CH340 bridges for Braille displays: `apt-get remove brltty`, or take their line out of its udev rules"),
];
/// Vendors of tax disks and of the USB bridges that converters are built with, as in the udev rules.
const VENDORS: [&str; 7] = ["1a86", "067b", "0403", "10c4", "101d", "1432", "1209"];

/// Configuration and state folder, if both can be used.
pub(super) fn check(report: &mut Report, config: Result<Config, Failure>) -> Option<(Config, StateDir)> {
    let config = report.take("config.readable", config.map_err(|failure| failure.text), |config| {
        format!("the configuration is good: {} disk(s), state in {}", config.disk.len(), config.state.dir.display())
    })?;
    let state = StateDir::open(&config.state.dir).map_err(|failure| failure.text);
    let state = report.take("config.state_dir", state, |state| format!("{} is private to this user", state.path().display()))?;
    let private = [state.key_file(), state.identity_file(), state.secrets_file()]
        .iter()
        .try_for_each(|file| read_private(file).map(drop))
        .map_err(|failure| failure.text);
    report.take("config.private_files", private, |()| "key and passwords are private to this user".to_owned());
    Some((config, state))
}

/// Is there room for the journal?
pub(super) fn room(report: &mut Report, state: &StateDir) {
    match crate::platform::room(state.path()) {
        Ok(found) => judge_room(report, state.path(), found.free_bytes, found.files, found.free_files),
        Err(error) => report.warning(
            "pc.room",
            format!("the room for {} cannot be told ({error})", state.path().display()),
            "look with `df`",
        ),
    }
}

fn judge_room(report: &mut Report, folder: &Path, free_bytes: u64, files: u64, free_files: u64) {
    let text = format!("{} MiB are free for {}", free_bytes >> 20, folder.display());
    let hint = "make room on that file system: without it no intent can be written, and nothing is issued";
    // Some file systems count no files.
    if files > 0 && free_files < 16 {
        report.failed_with("pc.room", format!("no more files can be made in {}", folder.display()), hint);
    } else if free_bytes < ROOM_LEAST_BYTES {
        report.failed_with("pc.room", text, hint);
    } else if free_bytes < ROOM_LITTLE_BYTES {
        report.warning("pc.room", text, hint);
    } else {
        report.good("pc.room", text);
    }
}

/// Can the journal be read, whole?
pub(super) fn journal(report: &mut Report, state: &StateDir, running: Option<&Status>) {
    let waits = |report: &mut Report, text: String, waiting: usize| match waiting {
        0..=OUTBOX_MANY => report.good("journal.health", format!("{text}, {waiting} outcomes wait for the broker")),
        _ => report.warning(
            "journal.health",
            format!("{text}, {waiting} outcomes wait for the broker"),
            "they are safe here and go out by themselves: see why the link is down",
        ),
    };
    if let Some(status) = running {
        let text = format!("the running agent writes journal {}, sequence {}", status.journal, status.journal_sequence);
        return waits(report, text, status.outbox);
    }
    if !state.journal_dir().exists() {
        return report.good("journal.health", "there is none yet; the agent makes it at its first start");
    }
    let opened = Lock::take(&state.lock_file()).and_then(|lock| Ok((lock, crate::commands::open_journal(state)?)));
    let (_lock, journal) = match opened {
        Ok(opened) => opened,
        Err(failure) => return report.failed("journal.health", failure.text),
    };
    let (entries, damaged) = journal.lines().fold((0, 0), |(all, bad), line| (all + 1, bad + usize::from(line.body.is_err())));
    if damaged > 0 {
        return report.failed_with(
            "journal.health",
            format!("{damaged} of {entries} entries are damaged"),
            "keep a copy of the folder for the support and check the drive; nothing is taken from a damaged entry",
        );
    }
    waits(report, format!("journal {}, {entries} entries, all can be read", journal.head().id), journal.pending().len());
}

/// Which version runs, whether it updates itself, and what failed.
pub(super) fn updates(report: &mut Report, config: &Config, state: &StateDir, running: Option<&Status>) {
    let settings = match crate::update::base().and_then(|base| crate::update::Settings::of(config, &base)) {
        Ok(settings) => settings,
        Err(failure) => return report.failed("agent.updates", failure.text),
    };
    let shelf = crate::update::shelf::Shelf::new(state, &settings.keys);
    let book = match shelf.book() {
        Ok(book) => book,
        Err(failure) => return report.failed("agent.updates", failure.text),
    };
    let version = running.map_or(crate::version::text(), |status| status.version.as_str());
    match (book.failed.last(), settings.off) {
        (_, Some(why)) => report.good("agent.updates", format!("version {version}; it does not update itself: {why}")),
        (None, None) => {
            report.good("agent.updates", format!("version {version}; it takes what the broker offers and a known key signed"))
        }
        (Some(failed), None) => report.warning(
            "agent.updates",
            format!("version {version}; version {} was tried at {} and left: {}", failed.version, failed.at, failed.reason),
            format!("offer a later version; once the reason is mended: `taxdisk-agent update retry {}`", failed.version),
        ),
    }
}

/// Programs and settings of this PC that take a disk away from the agent.
pub(super) fn surroundings(report: &mut Report, config: &Config, proc: &Path, sys: &Path) {
    let serial = config.disk.iter().any(|disk| matches!(config.setup(disk).place, Place::Serial(_)));
    if serial {
        disturbers(report, proc);
    }
    if serial || config.disk.iter().any(|disk| matches!(config.setup(disk).place, Place::Usb(_))) {
        power_saving(report, sys);
    }
}

fn disturbers(report: &mut Report, proc: &Path) {
    let names: Vec<String> = std::fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .collect();
    match DISTURBERS.iter().find(|(name, _)| names.iter().any(|running| running == name)) {
        Some((name, hint)) => report.warning("pc.disturbers", format!("{name} runs and may write to the disk's port"), *hint),
        None => report.good("pc.disturbers", "no program runs that is known to disturb serial ports"),
    }
}

fn power_saving(report: &mut Report, sys: &Path) {
    let read = |folder: &Path, name: &str| std::fs::read_to_string(folder.join(name)).map(|text| text.trim().to_owned()).ok();
    let sleepy =
        std::fs::read_dir(sys.join("bus/usb/devices")).into_iter().flatten().flatten().map(|entry| entry.path()).find(|device| {
            read(device, "idVendor").is_some_and(|vendor| VENDORS.contains(&vendor.as_str()))
                && read(device, "power/control").as_deref() == Some("auto")
                && read(device, "power/autosuspend_delay_ms")
                    .and_then(|text| text.parse::<i64>().ok())
                    .is_none_or(|delay| delay >= 0)
        });
    match sleepy {
        Some(device) => {
            let name = read(&device, "product").unwrap_or_else(|| "a USB device of a disk".to_owned());
            report.warning(
                "usb.power",
                format!("{name} may be put to sleep to save power (USB autosuspend)"),
                format!("install the udev rules that come with taxdisk, or `echo on > {}/power/control`", device.display()),
            );
        }
        None => report.good("usb.power", "no USB device of a disk is put to sleep"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::Outcome;

    fn outcome(look: impl FnOnce(&mut Report)) -> (Outcome, String) {
        let mut report = Report::default();
        look(&mut report);
        let check = report.checks.remove(0);
        (check.outcome, format!("{} {}", check.text, check.hint.unwrap_or_default()))
    }

    #[test]
    fn room_is_judged_by_bytes_and_by_files() {
        let of = |bytes, files, free| outcome(|report| judge_room(report, Path::new("/x"), bytes, files, free)).0;
        assert_eq!([of(1 << 30, 0, 0), of(1 << 30, 1000, 16)], [Outcome::Good; 2]);
        assert_eq!([of(1 << 30, 1000, 15), of((16 << 20) - 1, 0, 0)], [Outcome::Failed; 2]);
        assert_eq!([of(16 << 20, 0, 0), of((256 << 20) - 1, 0, 0)], [Outcome::Warning; 2]);
    }

    #[test]
    fn a_disturber_and_a_sleepy_device_are_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let file = dir.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        put("proc/7/comm", "ModemManagerX\n");
        put("sys/bus/usb/devices/1-1/idVendor", "1a86\n");
        put("sys/bus/usb/devices/1-1/power/control", "on\n");
        put("sys/bus/usb/devices/1-2/idVendor", "046d\n");
        put("sys/bus/usb/devices/1-2/power/control", "auto\n");
        let (proc, sys) = (dir.path().join("proc"), dir.path().join("sys"));
        assert_eq!(outcome(|report| disturbers(report, &proc)).0, Outcome::Good);
        assert_eq!(outcome(|report| power_saving(report, &sys)).0, Outcome::Good, "a mouse may sleep");
        put("proc/8/comm", "brltty\n");
        put("sys/bus/usb/devices/1-1/power/control", "auto\n");
        put("sys/bus/usb/devices/1-1/product", "USB Serial\n");
        let (found, text) = outcome(|report| disturbers(report, &proc));
        assert!(found == Outcome::Warning && text.contains("brltty") && text.contains("apt-get"), "{text}");
        let (found, text) = outcome(|report| power_saving(report, &sys));
        assert!(found == Outcome::Warning && text.contains("USB Serial") && text.contains("1-1/power/control"), "{text}");
        put("sys/bus/usb/devices/1-1/power/autosuspend_delay_ms", "-1000\n");
        assert_eq!(outcome(|report| power_saving(report, &sys)).0, Outcome::Good, "a negative delay is never");
    }
}

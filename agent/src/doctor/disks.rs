//! Checks of each disk: present, free, passwords, answers, identity, stock, lock. A running agent holds the ports, so then it
//! is asked.

use taxdisk_drivers::disk::{Identity, TaxDisk};
use taxdisk_protocol::class::DeviceClass;

use super::Report;
use crate::config::Config;
use crate::daemon::Lock;
use crate::identity::StateDir;
use crate::journal::Journal;
use crate::ports::{Port, Way};
use crate::probe::{keep_refusal, password_hold};
use crate::secrets::Secrets;
use crate::status::{DiskStatus, Status};

const CODES: [&str; 7] =
    ["disk.present", "disk.free", "disk.answers", "disk.passwords", "disk.identity", "disk.stock", "disk.lock"];

pub(super) fn check(report: &mut Report, config: &Config, state: &StateDir, running: Option<&Status>) {
    if config.disk.is_empty() {
        report.warning("disk.configured", "no disk is configured", "add [[disk]] port = \"/dev/ttyUSB0\" to the configuration");
        return;
    }
    if let Some(status) = running {
        for disk in &status.disks {
            report.port = Some(disk.port.clone());
            reported(report, disk, expected(config, &disk.port));
        }
        report.port = None;
        return;
    }
    let ground = Lock::take(&state.lock_file()).and_then(|lock| Ok((lock, crate::commands::open_journal(state)?)));
    for disk in &config.disk {
        report.port = Some(disk.name());
        let port = Port::new(config, disk, &Secrets::of(state));
        match &ground {
            Ok((_, journal)) => tried(report, &port, journal, disk.taxpayer.as_deref()),
            Err(failure) => report.not_made(&CODES, &failure.text),
        }
    }
    report.port = None;
}

/// Whose disk the configuration expects at a port.
fn expected<'a>(config: &'a Config, port: &str) -> Option<&'a str> {
    config.disk.iter().find(|disk| disk.name() == port)?.taxpayer.as_deref()
}

fn seller(report: &mut Report, expected: Option<&str>, found: &str) {
    match expected {
        Some(expected) if expected != found => report.failed_with(
            "disk.seller",
            format!("the disk is one of {found}; the configuration expects one of {expected}"),
            "plug in the right disk, or correct [[disk]] taxpayer",
        ),
        Some(_) => report.good("disk.seller", "it is the expected seller's"),
        None => {}
    }
}

/// What the running agent says.
fn reported(report: &mut Report, disk: &DiskStatus, expected: Option<&str>) {
    let Some(found) = &disk.report else {
        report.failed(
            "disk.present",
            disk.trouble.clone().unwrap_or_else(|| "It is being opened: try again in a moment.".to_owned()),
        );
        return report.not_made(&CODES[1..], "the disk comes first");
    };
    report.good("disk.identity", format!("disk {} of {} {}", found.disk, found.taxpayer, found.taxpayer_name));
    seller(report, expected, &found.taxpayer);
    for stock in &found.stock {
        count(report, &stock.kind, stock.remaining);
    }
    if found.health.ready {
        report.good("disk.lock", "it is ready");
    } else {
        report.failed("disk.lock", found.health.text.clone());
    }
}

/// Tried from here, step by step.
fn tried(report: &mut Report, port: &Port, journal: &Journal, expected: Option<&str>) {
    let Some(way) = way(report, port) else { return };
    let name = &port.name;
    let secret = match password_hold(journal, name) {
        Some(text) => Err(crate::commands::password_stop(name, &text)),
        None => port.secret().map_err(|why| why.text),
    };
    let mut driver = match port.driver(way, secret.clone().ok()) {
        Ok(driver) => driver,
        Err(_) if secret.is_err() => {
            report.not_made(&CODES[2..3], "it answers nothing without its passwords");
            report.failed("disk.passwords", secret.err().unwrap_or_default());
            return report.not_made(&CODES[4..], "the passwords come first");
        }
        Err(error) => {
            report.failed("disk.answers", error.why().text);
            return report.not_made(&CODES[3..], "a driver comes first");
        }
    };
    // Without passwords the driver was made only if this carries none.
    let number = driver.greet().map_err(|error| {
        keep_refusal(journal, name, &error);
        format!("The disk does not answer ({}): check cable, power and speed.", error.text)
    });
    let answers = |number: &Option<_>| match number {
        Some(number) => format!("disk {number} answers"),
        None => "the device answers".to_owned(),
    };
    if report.take("disk.answers", number, answers).is_none() {
        return report.not_made(&CODES[3..], "an answer comes first");
    }
    if report.take("disk.passwords", secret, |_| "passwords are set and not known to be wrong".to_owned()).is_none() {
        return report.not_made(&CODES[4..], "the passwords come first");
    }
    let disk = driver.disk();
    let identity = disk.identity().map_err(|error| {
        keep_refusal(journal, name, &error);
        format!("The disk does not say whose it is ({error}).")
    });
    let Some(identity) = report.take("disk.identity", identity, |found| {
        let kinds = found.kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("disk {} of {} {}, kinds {kinds}", found.disk, found.taxpayer, found.taxpayer_name)
    }) else {
        return report.not_made(&CODES[5..], "the identity comes first");
    };
    seller(report, expected, identity.taxpayer.as_str());
    kinds(report, disk, &identity);
}

fn way(report: &mut Report, port: &Port) -> Option<Way> {
    match port.way() {
        Ok(way) => {
            report.good("disk.present", "the port is there");
            report.good("disk.free", "no other program holds it");
            Some(way)
        }
        Err(error) if error.is_busy() => {
            report.good("disk.present", "the port is there");
            report.failed("disk.free", error.why().text);
            report.not_made(&CODES[2..], "the port must be free first");
            None
        }
        Err(error) => {
            report.failed("disk.present", error.why().text);
            report.not_made(&CODES[1..], "the port comes first");
            None
        }
    }
}

fn kinds(report: &mut Report, disk: &mut dyn TaxDisk, identity: &Identity) {
    let today = identity.clock.as_ref().map(|clock| clock.chars().take(8).collect::<String>());
    for kind in &identity.kinds {
        match disk.stock(*kind) {
            Ok(stock) => count(report, kind.fplxdm(), stock.remaining),
            // Some disks answer an empty roll by an error.
            Err(error) if error.class == DeviceClass::NoStock => count(report, kind.fplxdm(), 0),
            Err(error) => report.failed("disk.stock", format!("kind {kind}: {error}")),
        }
        match disk.limits(*kind) {
            Ok(limits) => match (&limits.issue_deadline, &today) {
                (Some(deadline), Some(today)) if deadline < today => report.failed_with(
                    "disk.lock",
                    format!("kind {kind} is locked since {deadline}"),
                    "report and clear the period (抄报, 清卡) with the tax office's program",
                ),
                (Some(deadline), _) => report.good("disk.lock", format!("kind {kind} may issue until {deadline}")),
                (None, _) => report.good("disk.lock", format!("kind {kind}: the disk tells no lock date")),
            },
            Err(error) => report.failed("disk.lock", format!("kind {kind}: {error}")),
        }
    }
}

fn count(report: &mut Report, kind: &str, remaining: u32) {
    let text = format!("kind {kind}: {remaining} blank invoices");
    if remaining == 0 {
        report.failed_with("disk.stock", text, "buy invoices at the tax office and read them in");
    } else {
        report.good("disk.stock", text);
    }
}

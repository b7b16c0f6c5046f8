//! Pause, drain and resume of disks, agents and sellers, and early warnings.

use taxdisk_protocol::api::{PauseMode, PauseRequest, PauseView, Severity, Thresholds, WarningView};
use ureq::http::Method;

use crate::args::{DrainArgs, PauseArgs, ResumeArgs};
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::{EXIT_OK, output};

/// Between two looks at a drain, milliseconds. It ends when the disk has finished an invoice, which takes about a second.
const LOOK_EVERY_MS: u64 = 500;

pub(super) fn pause(client: &Client, things: &str, args: &PauseArgs, json: bool) -> Result<u8, Failure> {
    print(&set(client, things, &args.id, "pause", &args.reason)?, json);
    Ok(EXIT_OK)
}

pub(super) fn drain(client: &Client, things: &str, args: &DrainArgs, json: bool) -> Result<u8, Failure> {
    let PauseArgs { id, reason } = &args.pause;
    let mut pauses = set(client, things, id, "drain", reason)?;
    // The same drain again changes nothing and says how it stands; if somebody resumes meanwhile, it begins anew.
    while args.wait && pauses.iter().any(|pause| pause.drained_at.is_none()) {
        std::thread::sleep(std::time::Duration::from_millis(LOOK_EVERY_MS));
        pauses = set(client, things, id, "drain", reason)?;
    }
    print(&pauses, json);
    Ok(EXIT_OK)
}

pub(super) fn resume(client: &Client, things: &str, args: &ResumeArgs, json: bool) -> Result<u8, Failure> {
    let pauses = set(client, things, &args.id, "resume", &args.reason)?;
    if json {
        output::json(&pauses)
    } else {
        output::print(&format!("{} works again.", args.id))
    }
    Ok(EXIT_OK)
}

fn set(client: &Client, things: &str, id: &str, what: &str, reason: &str) -> Result<Vec<PauseView>, Failure> {
    let path = format!("/v1/{things}/{}/{what}", segment(id));
    client.send(Method::POST, &path, &PauseRequest { reason: reason.to_owned() })
}

fn print(pauses: &[PauseView], json: bool) {
    if json { output::json(&pauses) } else { output::print(&pauses.iter().map(text).collect::<Vec<_>>().join("\n")) }
}

/// A pause in one line.
pub(super) fn text(pause: &PauseView) -> String {
    let how = match (pause.mode, &pause.drained_at) {
        (PauseMode::Pause, _) => "paused".to_owned(),
        (PauseMode::Drain, None) => "draining".to_owned(),
        (PauseMode::Drain, Some(at)) => format!("drained at {at}; nothing is open"),
    };
    format!("{how} (by {} since {}: {})", pause.by, pause.since, pause.reason)
}

/// Warnings, one a line.
pub(super) fn warnings(warnings: &[WarningView]) -> String {
    if warnings.is_empty() {
        return "No warnings.".to_owned();
    }
    let line = |warning: &WarningView| {
        let how = if warning.severity == Severity::Critical { "CRITICAL" } else { "warning" };
        format!("{how} disk {}: {} ({}, since {})", warning.disk, warning.text, warning.code.as_str(), warning.since)
    };
    warnings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads `stock_count=100` and the like.
pub(super) fn thresholds(known: Thresholds, given: &[String]) -> Result<Thresholds, Failure> {
    let wrong = |one: &str, why: String| Failure::Usage(format!("--warn {one}: {why}"));
    let mut fields = serde_json::to_value(known).unwrap_or_default();
    for one in given {
        let (name, number) = one.split_once('=').ok_or_else(|| wrong(one, "NAME=NUMBER is expected".to_owned()))?;
        let number: u32 = number.parse().map_err(|error| wrong(one, format!("{error}")))?;
        let known: Vec<String> = fields.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
        match fields.get_mut(name) {
            Some(field) => *field = number.into(),
            None => return Err(wrong(one, format!("the names are {}", known.join(", ")))),
        }
    }
    serde_json::from_value(fields).map_err(|error| wrong(&given.join(" "), error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn thresholds_are_read_by_name_and_a_wrong_one_is_refused() {
        let given = |given: &[&str]| given.iter().map(ToString::to_string).collect::<Vec<_>>();
        let read = |words: &[&str]| thresholds(Thresholds::default(), &given(words));
        assert_eq!(read(&[]).unwrap(), Thresholds::default());
        let changed = read(&["stock_count=100", "clock_s=60"]).unwrap();
        assert_eq!((changed.stock_count, changed.clock_s, changed.stock_hours), (100, 60, 24));
        let again = thresholds(changed, &given(&["clock_s=90"])).unwrap();
        assert_eq!((again.stock_count, again.clock_s), (100, 90), "what is not named stays");
        for bad in ["stock_count", "stock=3", "stock_count=-1", "limit_percent=300"] {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
    }
}

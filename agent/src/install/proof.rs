//! The proof: from the broker to each disk, every hop with its time.
//!
//! With a running agent it is the running agent's own way: its link, the broker's grant for the disk, and a fresh reading of the
//! disk through it. Without one it is what the checks did themselves, a moment ago.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::Config;
use crate::doctor::{Check, Outcome};
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::status::{Answer, Question, Status, ask};

/// A service that was just started has this long to join and to open its disks.
const LIMIT: Duration = Duration::from_secs(90);
/// A running agent that opens a disk, perhaps anew, has done so within this time.
const OPEN_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);
/// The checks that are a step of the way.
const WAY: [&str; 7] =
    ["broker.names", "broker.tcp", "broker.tls", "broker.websocket", "enrolment.accepted", "disk.answers", "disk.identity"];

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// From where to where.
    pub hop: String,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// What was found.
    pub text: String,
}

impl Hop {
    fn new(hop: impl Into<String>, ms: u64, text: impl Into<String>) -> Hop {
        Hop { hop: hop.into(), ms, text: text.into() }
    }
}

/// Whether an agent runs, and the way. `started`: one was just started and must be there.
///
/// # Errors
/// A hop does not work; the sentence says which.
pub(super) fn of(config: &Config, state: &StateDir, checks: &[Check], started: bool) -> Result<(bool, Vec<Hop>), Failure> {
    let mut hops: Vec<Hop> = checks
        .iter()
        .filter(|check| WAY.contains(&check.code) && check.outcome != Outcome::NotMade)
        .map(|check| {
            let port = check.port.as_ref().map(|port| format!(" {port}")).unwrap_or_default();
            Hop::new(format!("{}{port}", check.code), check.ms, check.text.clone())
        })
        .collect();
    if !started && status(state)?.is_none() {
        return Ok((false, hops));
    }
    let began = Instant::now();
    let up = wait(state, began, LIMIT, "its link to the broker", |status| match (&status.link.trouble, status.link.up) {
        (_, true) => Ok(()),
        (Some(trouble), false) => Err(trouble.clone()),
        (None, false) => Err("it is connecting".to_owned()),
    })?;
    let trip = up.link.round_trip_ms.map(|ms| format!(", last round trip {ms} ms")).unwrap_or_default();
    hops.push(Hop::new("agent → broker", elapsed_ms(began), format!("agent {} is joined{trip}", up.agent)));
    for disk in &config.disk {
        let name = disk.name();
        let granted = Instant::now();
        let status = wait(state, granted, LIMIT, &format!("the disk at {name}"), |status| {
            let found = status.disks.iter().find(|one| one.port == name);
            match found {
                Some(disk) if disk.report.is_some() && disk.epoch.is_some() => Ok(()),
                Some(disk) => Err(disk.trouble.clone().unwrap_or_else(|| "it waits for the broker's grant".to_owned())),
                None => Err("the running agent does not know it: restart it".to_owned()),
            }
        })?;
        let known = status.disks.iter().find(|one| one.port == name).and_then(|disk| disk.report.clone());
        let (number, taxpayer) = known.map(|report| (report.disk, report.taxpayer)).unwrap_or_default();
        hops.push(Hop::new("broker → agent", elapsed_ms(granted), format!("disk {number} is granted to this agent")));
        let read = Instant::now();
        crate::commands::read_through(config, state, &name)?;
        hops.push(Hop::new("agent → disk", elapsed_ms(read), format!("disk {number} of {taxpayer} read through the agent")));
    }
    Ok((true, hops))
}

/// Waits until a running agent has opened its disks. After the limit the checks say what is so.
///
/// # Errors
/// An agent runs and cannot be asked.
pub(super) fn settle(state: &StateDir) -> Result<(), Failure> {
    if status(state)?.is_some() {
        let open = |status: &Status| match status.disks.iter().find(|disk| disk.report.is_none() || disk.trouble.is_some()) {
            None => Ok(()),
            Some(disk) => Err(format!("{} is being opened", disk.port)),
        };
        let _ = wait(state, Instant::now(), OPEN_LIMIT, "its disks", open);
    }
    Ok(())
}

fn status(state: &StateDir) -> Result<Option<Status>, Failure> {
    Ok(match ask(&state.socket(), &Question::Status)? {
        Some(Answer::Status(status)) => Some(*status),
        _ => None,
    })
}

/// The running agent's status once it holds.
fn wait(
    state: &StateDir,
    began: Instant,
    limit: Duration,
    what: &str,
    holds: impl Fn(&Status) -> Result<(), String>,
) -> Result<Status, Failure> {
    loop {
        let why = match status(state) {
            Ok(Some(status)) => match holds(&status) {
                Ok(()) => return Ok(status),
                Err(why) => why,
            },
            Ok(None) => "no agent runs".to_owned(),
            // It may be starting.
            Err(failure) => failure.text,
        };
        if began.elapsed() > limit {
            let limit_s = limit.as_secs();
            return Err(Failure::failed(format!(
                "The agent runs, but {what} was not there within {limit_s} s ({}): `taxdisk-agent doctor` says where it ends.",
                why.trim_end_matches('.')
            )));
        }
        std::thread::sleep(LOOK);
    }
}

fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

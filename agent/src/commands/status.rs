//! `status`.

use std::time::Duration;

use super::table::table;
use crate::cli::StatusArgs;
use crate::config::Config;
use crate::core::ladder::Counts;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::status::{Answer, Question, Status, ask};

pub(super) fn status(config: &Config, args: &StatusArgs, json: bool) -> Result<(), Failure> {
    let state = StateDir::at(&config.state.dir);
    loop {
        let status = running(&state)?.ok_or_else(|| {
            Failure::failed(format!(
                "No agent runs on {}: start it with `taxdisk-agent run` or `{}`.",
                state.path().display(),
                crate::platform::START
            ))
        })?;
        if args.watch && !json {
            // Clear the screen and go home, as `watch` does.
            super::print(&format!("\x1b[2J\x1b[H{}", text(&status)));
        } else if args.watch {
            super::print(&serde_json::to_string(&status).expect("plain data with text keys"));
        } else {
            super::show(json, &status, || text(&status));
        }
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The running agent's status. `None`: none runs.
pub(super) fn running(state: &StateDir) -> Result<Option<Box<Status>>, Failure> {
    match ask(&state.socket(), &Question::Status)? {
        Some(Answer::Status(status)) => Ok(Some(status)),
        Some(_) => Err(Failure::failed("The running agent gave another answer than was asked for: restart it after the update.")),
        None => Ok(None),
    }
}

fn text(status: &Status) -> String {
    let name = status.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let link = match (status.link.up_s, &status.link.trouble) {
        (Some(up_s), _) => {
            let trip = status.link.round_trip_ms.map(|ms| format!(", round trip {ms} ms")).unwrap_or_default();
            format!("up for {up_s} s{trip}")
        }
        (None, Some(trouble)) => format!("down: {trouble}"),
        (None, None) => "connecting".to_owned(),
    };
    let disks = status.disks.iter().map(|disk| {
        let (number, stock) = disk.report.as_ref().map_or_else(Default::default, |report| {
            let stock = report.stock.iter().map(|stock| format!("{}: {}", stock.kind, stock.remaining));
            (report.disk.clone(), stock.collect::<Vec<_>>().join(", "))
        });
        let state = match (&disk.running, &disk.trouble, disk.epoch) {
            (Some(attempt), ..) => format!("works on {attempt}"),
            (None, Some(trouble), _) => trouble.clone(),
            (None, None, Some(epoch)) => format!("ready, epoch {epoch}"),
            (None, None, None) if disk.report.is_some() => "waits for the broker's grant".to_owned(),
            (None, None, None) => "is being opened".to_owned(),
        };
        vec![disk.port.clone(), number, stock, state]
    });
    let recoveries = status.recoveries.iter().map(|(profile, counts)| {
        let Counts { retries, reopens, resets, asks } = counts;
        format!("\n{profile}: read again {retries} times, opened anew {reopens}, reset {resets}, a person was asked {asks}")
    });
    let recoveries = recoveries.collect::<String>();
    let recoveries = if recoveries.is_empty() { recoveries } else { format!("\n{recoveries}") };
    let update = status.update.as_ref().map(|update| format!("\nupdates  {}", super::update::line(update))).unwrap_or_default();
    format!(
        "agent    {}{name}, version {}, process {}, since {}\nbroker   {}\nlink     {link}\noutbox   {} without acknowledgement\njournal  {}, sequence {}{update}\n\n{}{recoveries}",
        status.agent,
        status.version,
        status.pid,
        status.started_at,
        status.broker,
        status.outbox,
        status.journal,
        status.journal_sequence,
        table(&["port", "disk", "stock", "state"], disks)
    )
}

//! `update`: what runs, what is offered, what failed; and allowing a version again.

use semver::Version;
use serde::Serialize;
use taxdisk_protocol::update::AgentUpdate;

use super::{show, status::running};
use crate::cli::UpdateCommand;
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::update::desk::Desk;
use crate::update::shelf::{Book, Shelf};
use crate::update::{Settings, base};
use crate::version;

#[derive(Debug, Serialize)]
struct Shown {
    /// The version that runs, or that this program is while none runs.
    version: String,
    running: bool,
    update: AgentUpdate,
    #[serde(flatten)]
    book: Book,
}

pub(super) fn update(config: &Config, command: &UpdateCommand, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let settings = Settings::of(config, &base()?)?;
    let shelf = Shelf::new(&state, &settings.keys);
    match command {
        UpdateCommand::Show => {
            let status = running(&state)?;
            let shown = Shown {
                version: status.as_ref().map_or_else(|| version::text().to_owned(), |status| status.version.clone()),
                running: status.is_some(),
                update: status
                    .and_then(|status| status.update)
                    .unwrap_or_else(|| Desk::new(settings.off, shelf.clone(), version::parsed()).standing()),
                book: shelf.book()?,
            };
            show(json, &shown, || text(&shown));
        }
        UpdateCommand::Retry { version } => {
            let mut book = shelf.book()?;
            if !book.failed_versions().contains(&version.to_string()) {
                return Err(Failure::failed(format!(
                    "Version {version} is not among those that failed: `taxdisk-agent update show` lists them."
                )));
            }
            allow(&mut book, version);
            shelf.write(&book)?;
            show(json, &book, || format!("Version {version} is taken up again within ten minutes, if the broker offers it."));
        }
    }
    Ok(())
}

fn allow(book: &mut Book, version: &Version) {
    book.failed.retain(|failed| failed.version != version.to_string());
    book.trials.remove(version);
}

fn text(shown: &Shown) -> String {
    let which = if shown.running { "runs" } else { "is installed; no agent runs" };
    let mut text = format!("version {} {which}\nupdates {}", shown.version, line(&shown.update));
    for failed in &shown.book.failed {
        text.push_str(&format!("\nfailed  {} at {}: {}", failed.version, failed.at, failed.reason));
    }
    text
}

/// How it stands, in one line.
pub(super) fn line(update: &AgentUpdate) -> String {
    let version = update.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let why = if update.text.is_empty() { String::new() } else { format!(": {}", update.text) };
    format!("{}{version}{why}", update.state.as_str())
}

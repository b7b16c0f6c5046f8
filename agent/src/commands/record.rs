//! `record on|off|export`.

use std::fs::OpenOptions;
use std::io::Write;

use crate::cli::RecordCommand;
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::recording::Recordings;

pub(super) fn record(config: &Config, command: &RecordCommand, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let recordings = Recordings::of(state.path());
    let text = match command {
        RecordCommand::On => {
            recordings.switch(true)?;
            "Recording is on for every port that is opened from now on: restart the agent to record at once.".to_owned()
        }
        RecordCommand::Off => {
            recordings.switch(false)?;
            "Recording is off. What was kept stays for `record export`.".to_owned()
        }
        RecordCommand::Export { file } => {
            let lines = recordings.export()?;
            let wrong = |error: std::io::Error| Failure::failed(format!("{} cannot be written ({error}).", file.display()));
            let mut out =
                crate::platform::with_mode(OpenOptions::new().write(true).create_new(true), 0o600).open(file).map_err(wrong)?;
            out.write_all(lines.as_bytes()).and_then(|()| out.sync_all()).map_err(wrong)?;
            format!(
                "{} entries are in {}: no names, taxpayer numbers or passwords.",
                lines.lines().filter(|line| line.contains("\"at_us\"")).count(),
                file.display()
            )
        }
    };
    super::show(json, &serde_json::json!({ "recording": recordings.is_on(), "text": text }), || text.clone());
    Ok(())
}

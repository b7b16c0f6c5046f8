//! What the broker writes to standard error: one line an event, for people or as JSON; or to the systemd journal,
//! with fields.
//!
//! Lines about a job carry its key as the field `job` (`seller/serial`); lines of a request carry `request`. API keys, secrets
//! and enrolment codes are never given to a log line: the types that hold them print `***`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{ConfigError, Log, LogFormat};

/// Starts logging for this process. A second call changes nothing.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(log: &Log) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| ConfigError(format!("log.filter: {error}")))?;
    // An error of `try_init` means that a subscriber is set already: a test's, which then sees the lines.
    let lines = |filter| tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let human = |filter| lines(filter).with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init();
    let _ = match log.format {
        LogFormat::Json => lines(filter).json().flatten_event(true).with_span_list(false).try_init(),
        LogFormat::Human => human(filter),
        LogFormat::Journal => match taxdisk_telemetry::journal::layer() {
            Ok(journal) => tracing_subscriber::registry().with(filter).with(journal).try_init().map_err(Into::into),
            Err(why) => {
                let started = human(filter);
                tracing::warn!("log.format = \"journal\": {why}");
                started
            }
        },
    };
    Ok(())
}

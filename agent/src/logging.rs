//! Log lines on standard error: plain under systemd and in log files, coloured on a terminal, JSON on request, or to the
//! systemd journal with fields.
//!
//! No secret is ever given to it: passwords are of a type that prints as dots ([`crate::secrets`]).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
#[cfg(unix)]
use tracing_subscriber::layer::SubscriberExt;
#[cfg(unix)]
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};
use crate::failure::Failure;

/// Starts logging. Call once.
///
/// # Errors
/// The filter is not understood.
pub fn start(config: &LogConfig) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.level).map_err(|error| {
        Failure::config(format!("[log] level = {:?} is not a filter such as info or debug ({error}).", config.level))
    })?;
    // Where the lines go elsewhere than to standard error (a service of Windows), that is no terminal either.
    let terminal = std::io::stderr().is_terminal();
    let lines =
        |filter| tracing_subscriber::fmt().with_env_filter(filter).with_writer(crate::platform::log_writer()).with_target(false);
    // The second start in one process (tests) keeps the first one's settings.
    let _ = match config.format {
        LogFormat::Json => lines(filter).json().with_target(true).try_init(),
        LogFormat::Text => lines(filter).with_ansi(terminal).try_init(),
        #[cfg(not(unix))]
        LogFormat::Journal => {
            let started = lines(filter).with_ansi(false).try_init();
            tracing::warn!("[log] format = \"journal\": there is no systemd here; lines of text are written");
            started
        }
        #[cfg(unix)]
        LogFormat::Journal => match taxdisk_telemetry::journal::layer() {
            Ok(journal) => tracing_subscriber::registry().with(filter).with(journal).try_init().map_err(Into::into),
            Err(why) => {
                let started = lines(filter).with_ansi(terminal).try_init();
                tracing::warn!("[log] format = \"journal\": {why}");
                started
            }
        },
    };
    Ok(())
}

//! The progress bars of an import, on standard error. Where that is no terminal, a line of text now and then.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Event;
use crate::output;

/// How often a log gets a line.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Jobs accepted and jobs ended, as far as they are known.
pub(super) struct Progress {
    accepted: ProgressBar,
    ended: Option<ProgressBar>,
    logged: Instant,
    log: bool,
}

impl Progress {
    /// Bars for so many lines (`None`: unknown), with a second one if jobs are waited for.
    pub(super) fn new(total: Option<u64>, wait: bool) -> Progress {
        let all = MultiProgress::new();
        let bar = |label: &'static str| {
            let bar = all.add(total.map_or_else(ProgressBar::no_length, ProgressBar::new));
            let style = ProgressStyle::with_template("{prefix:9} {bar:32} {pos:>6}/{len} {per_sec:>10} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
            bar.set_prefix(label);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        };
        let accepted = bar("accepted");
        let ended = wait.then(|| bar("issued"));
        let log = all.is_hidden();
        Progress { accepted, ended, logged: Instant::now(), log }
    }

    /// Shows an event.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Accepted(_) => self.accepted.inc(1),
            Event::Refused(_) => {
                // It will never be accepted: the bars can still come to their ends.
                for bar in std::iter::once(&self.accepted).chain(&self.ended) {
                    if let Some(length) = bar.length() {
                        bar.set_length(length.saturating_sub(1));
                    }
                }
            }
            Event::Ended(_) => {
                if let Some(bar) = &self.ended {
                    bar.inc(1);
                    bar.set_message("");
                }
            }
            Event::Waiting(job) => {
                if let Some(bar) = &self.ended {
                    bar.set_message(format!("{}: {}", job.serial, output::state(job)));
                }
            }
            Event::Read | Event::Changed(_) | Event::Stopped(_) | Event::SenderDone => {}
        }
        if self.log && self.logged.elapsed() >= LOG_EVERY {
            self.logged = Instant::now();
            let ended = self.ended.as_ref().map_or(String::new(), |bar| format!(", {} ended", bar.position()));
            eprintln!("{} accepted{ended}", self.accepted.position());
        }
    }

    /// Takes the bars away; the report follows.
    pub(super) fn finish(&self) {
        self.accepted.finish_and_clear();
        if let Some(bar) = &self.ended {
            bar.finish_and_clear();
        }
    }
}

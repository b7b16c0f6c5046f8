//! `taxdisk-agent doctor`: goes the way of a job from this PC to the broker and to the disk, step by step, and says where it
//! ends and
//! how to mend it.
//!
//! It changes nothing: it joins the link once if no agent runs, and sends a disk nothing that could issue. A check that cannot
//! be made
//! because an earlier one failed says so; it never counts as good.

mod broker;
mod chain;
mod disks;
mod local;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::status::Status;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Good.
    Good,
    /// It works, and a person should know.
    Warning,
    /// Not good.
    Failed,
    /// Not made, because an earlier one failed.
    NotMade,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Counts from 1, in the order in which they were made.
    pub number: usize,
    /// Stable code: programs and instructions refer to it.
    pub code: &'static str,
    /// Port, where it is about a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Since the check before it, milliseconds.
    pub ms: u64,
    /// What was found.
    pub text: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// All checks.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    #[serde(skip)]
    port: Option<String>,
    /// When the last check ended.
    #[serde(skip)]
    since: Option<Instant>,
}

impl Report {
    fn add(&mut self, code: &'static str, outcome: Outcome, text: impl Into<String>, hint: Option<String>) {
        let number = self.checks.len() + 1;
        let now = Instant::now();
        let ms = self.since.replace(now).map_or(0, |since| u64::try_from((now - since).as_millis()).unwrap_or(u64::MAX));
        self.checks.push(Check { number, code, port: self.port.clone(), outcome, ms, text: text.into(), hint });
    }

    fn good(&mut self, code: &'static str, text: impl Into<String>) {
        self.add(code, Outcome::Good, text, None);
    }

    fn failed(&mut self, code: &'static str, text: impl Into<String>) {
        self.add(code, Outcome::Failed, text, None);
    }

    fn failed_with(&mut self, code: &'static str, text: impl Into<String>, hint: impl Into<String>) {
        self.add(code, Outcome::Failed, text, Some(hint.into()));
    }

    fn warning(&mut self, code: &'static str, text: impl Into<String>, hint: impl Into<String>) {
        self.add(code, Outcome::Warning, text, Some(hint.into()));
    }

    fn not_made(&mut self, codes: &[&'static str], why: &str) {
        codes.iter().for_each(|code| self.add(code, Outcome::NotMade, format!("not checked: {why}"), None));
    }

    /// Takes a result: what was found, or the sentence of what is wrong. The value goes on.
    fn take<T>(&mut self, code: &'static str, result: Result<T, String>, text: impl FnOnce(&T) -> String) -> Option<T> {
        match result {
            Ok(value) => {
                self.good(code, text(&value));
                Some(value)
            }
            Err(text) => {
                self.failed(code, text);
                None
            }
        }
    }

    /// 78 if the configuration is wrong, 1 if something else is, 0 otherwise.
    pub fn exit(&self) -> Option<Exit> {
        let failed = |check: &&Check| check.outcome == Outcome::Failed;
        let mut failed = self.checks.iter().filter(failed).peekable();
        failed.peek()?;
        Some(if failed.any(|check| check.code.starts_with("config.")) { Exit::Config } else { Exit::Failed })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let mark = match check.outcome {
                Outcome::Good => "good   ",
                Outcome::Warning => "WARNING",
                Outcome::Failed => "FAILED ",
                Outcome::NotMade => "-      ",
            };
            let port = check.port.as_ref().map(|port| format!("{port}: ")).unwrap_or_default();
            text.push_str(&format!("{:>2}  {mark}  {:<20} {port}{}\n", check.number, check.code, check.text));
            if let Some(hint) = &check.hint {
                text.push_str(&format!("{:36}→ {hint}\n", ""));
            }
        }
        let failed = self.checks.iter().filter(|check| check.outcome == Outcome::Failed).count();
        text.push_str(&match failed {
            0 => "\nEverything that was checked is good.".to_owned(),
            1 => "\n1 check failed: begin with it.".to_owned(),
            _ => format!("\n{failed} checks failed: begin with the first."),
        });
        text
    }
}

/// Makes all checks and prints them.
///
/// # Errors
/// None of its own: what is wrong is in the report and in the exit code.
pub fn doctor(config: Result<Config, Failure>, json: bool) -> Result<ExitCode, Failure> {
    let report = examine(config);
    crate::commands::show(json, &report, || report.text());
    Ok(report.exit().map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Makes all checks.
pub fn examine(config: Result<Config, Failure>) -> Report {
    let mut report = Report { since: Some(Instant::now()), ..Report::default() };
    let Some((config, state)) = local::check(&mut report, config) else {
        report.not_made(&broker::CODES, "the configuration comes first");
        return report;
    };
    local::room(&mut report, &state);
    let running = match crate::status::ask(&state.socket(), &crate::status::Question::Status) {
        Ok(Some(crate::status::Answer::Status(status))) => Some(*status),
        _ => None,
    };
    let running: Option<&Status> = running.as_ref();
    match running {
        Some(status) => report
            .good("agent.running", format!("the agent runs (process {}); it is asked for what only it can know", status.pid)),
        None => report.warning(
            "agent.running",
            "no agent runs on this state folder; everything is tried from here",
            format!("start it when all is good: `{}` or `taxdisk-agent run`", crate::platform::START),
        ),
    }
    local::journal(&mut report, &state, running);
    local::updates(&mut report, &config, &state, running);
    if cfg!(unix) {
        local::surroundings(&mut report, &config, Path::new("/proc"), Path::new("/sys"));
    } else {
        report.not_made(&["pc.disturbers", "usb.power"], "they are looked for on Linux only");
    }
    broker::check(&mut report, &config, &state, running);
    disks::check(&mut report, &config, &state, running);
    report
}

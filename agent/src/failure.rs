//! How a command of the agent ends badly: one sentence that says whose fault it is and what to do, and an exit code.
//!
//! It refuses to carry chains of causes: the person at the PC reads one line, the log has the rest.

use std::fmt;
use std::process::ExitCode;

/// Why a command ended badly, as its exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 1: it was tried and did not work.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 78 (`EX_CONFIG` of sysexits.h): the configuration is wrong; trying again helps nobody. systemd does not restart on it.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Config => 78,
        })
    }
}

/// One sentence for the person, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// What is wrong and what to do.
    pub text: String,
}

impl Failure {
    /// It was tried and did not work.
    pub fn failed(text: impl Into<String>) -> Failure {
        Failure { exit: Exit::Failed, text: text.into() }
    }

    /// The command line is wrong.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure { exit: Exit::Usage, text: text.into() }
    }

    /// The configuration is wrong.
    pub fn config(text: impl Into<String>) -> Failure {
        Failure { exit: Exit::Config, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

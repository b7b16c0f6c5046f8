//! Which program runs, and how one becomes another in the same process: by `exec`, so that process number, log, and what systemd
//! knows of the service stay what they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Settings, base};
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::update::shelf::Shelf;
use crate::version;

/// Variable: how this process came to run this program. Absent: somebody started it.
const STAGE: &str = "TAXDISK_AGENT_STAGE";
/// Its value in a process whose program was chosen already.
const CHOSEN: &str = "chosen";
/// Its value in a child on trial.
const TRIAL: &str = "trial";
/// Variable: the installed program.
pub(super) const BASE: &str = "TAXDISK_AGENT_BASE";
/// Variable of a child on trial: the process that tries it.
pub(super) const TRIED_BY: &str = "TAXDISK_AGENT_TRIED_BY";
/// Variable: the process is in the background already.
const BACKGROUND: &str = "TAXDISK_AGENT_BACKGROUND";

/// How this process came to run this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Somebody started it.
    Fresh,
    /// It was chosen, by an earlier program of this process.
    Chosen,
    /// It is on trial, as the child of the version before.
    Trial,
}

/// How this process came to run this program.
pub fn stage() -> Stage {
    match std::env::var(STAGE).as_deref() {
        Ok(CHOSEN) => Stage::Chosen,
        Ok(TRIAL) => Stage::Trial,
        _ => Stage::Fresh,
    }
}

/// The process went to the background before it became this program.
pub fn in_background() -> bool {
    stage() == Stage::Chosen && std::env::var_os(BACKGROUND).is_some()
}

/// What `run` was asked, so that another program can be asked the same. All paths are absolute.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--ready-file`.
    pub ready_file: Option<PathBuf>,
    /// `--daemon`.
    pub daemon: bool,
    /// `--pid-file`.
    pub pid_file: Option<PathBuf>,
    /// `--log-file`.
    pub log_file: Option<PathBuf>,
}

impl Words {
    /// `program run …`. On trial it needs to know configuration and state, and nothing else.
    fn command(&self, program: &Path, trial: bool) -> Command {
        let mut command = Command::new(program);
        command.arg("run");
        let mut give = |name: &str, value: &Option<PathBuf>| {
            if let Some(value) = value {
                command.arg(name).arg(value);
            }
        };
        give("--config", &self.config);
        give("--state-dir", &self.state_dir);
        if !trial {
            give("--ready-file", &self.ready_file);
            give("--pid-file", &self.pid_file);
            give("--log-file", &self.log_file);
            if self.daemon {
                command.arg("--daemon");
            }
        }
        command
    }

    /// A child on trial. systemd's watchdog and the words to it stay with this process.
    pub(super) fn on_trial(&self, program: &Path, base: &Path) -> Command {
        let mut command = self.command(program, true);
        command.env(STAGE, TRIAL).env(BASE, base).env(TRIED_BY, std::process::id().to_string());
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command.stdin(std::process::Stdio::null());
        command
    }
}

/// This process becomes that program. It comes back only if it cannot.
pub fn become_program(program: &Path, words: &Words, base: &Path, in_background: bool) -> std::io::Error {
    let mut command = words.command(program, false);
    command.env(STAGE, CHOSEN).env(BASE, base);
    if in_background {
        command.env(BACKGROUND, "1");
    }
    crate::platform::become_program(&mut command)
}

/// Of a start by somebody: becomes the version that was chosen, if another one than the installed was. Comes back if this
/// program is to run. Updates never keep an agent from starting: what is wrong with them is logged.
///
/// # Errors
/// A key of the configuration cannot be read.
pub fn choose(config: &Config, words: &Words) -> Result<(), Failure> {
    if stage() != Stage::Fresh {
        return Ok(());
    }
    let installed = base()?;
    let settings = Settings::of(config, &installed)?;
    // Without a folder this PC is not enrolled, and nothing was ever chosen.
    if settings.off.is_some() || !config.state.dir.is_dir() {
        return Ok(());
    }
    let shelf = Shelf::new(&StateDir::at(&config.state.dir), &settings.keys);
    loop {
        match shelf.at_start(&version::parsed()) {
            Ok(None) => return Ok(()),
            Ok(Some((chosen, program))) => {
                let error = become_program(&program, words, &installed, false);
                let reason = format!("it cannot be started ({error})");
                let noted = shelf.book().and_then(|mut book| {
                    book.fail(&chosen, reason);
                    shelf.write(&book)
                });
                if let Err(failure) = noted {
                    eprintln!("taxdisk-agent: {failure} The installed version runs.");
                    return Ok(());
                }
            }
            Err(failure) => {
                eprintln!("taxdisk-agent: {failure} The installed version runs.");
                return Ok(());
            }
        }
    }
}

//! What the commands do. Each prints for people or, with `--json`, one JSON document; none decides about jobs.

mod config;
mod disks;
mod enroll;
mod install;
mod journal;
mod manual;
mod operate;
mod record;
mod run;
#[cfg(unix)]
mod sim;
mod status;
mod support;
mod table;
mod update;

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::{Cli, Command, ConfigCommand, DisksCommand, JournalCommand, SecretCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::StateDir;

pub(crate) use self::disks::{ask_hidden, open_journal, password_stop, store_secret};
pub(crate) use self::operate::read_through;

/// Does what the command line says.
///
/// # Errors
/// One sentence and an exit code.
pub fn perform(cli: &Cli) -> Result<ExitCode, Failure> {
    let done = dispatch(cli);
    // As root in the folder of the service's account: it must be able to use what was made here, whatever came of it.
    if crate::platform::acts_for_others()
        && let Ok(config) = Config::load(cli.common.config.as_deref(), cli.common.state_dir.as_deref())
    {
        StateDir::at(&config.state.dir).give_back();
    }
    done
}

fn dispatch(cli: &Cli) -> Result<ExitCode, Failure> {
    let common = &cli.common;
    let load = || Config::load(common.config.as_deref(), common.state_dir.as_deref());
    let json = common.json;
    match &cli.command {
        Command::Run(args) => run::run(load()?, common, args)?,
        Command::Update(args) => update::update(&load()?, &args.command, json)?,
        Command::Install(args) => install::install(common, args)?,
        #[cfg(windows)]
        Command::Uninstall(args) => install::uninstall(common, args)?,
        #[cfg(windows)]
        Command::Service => run::service(common)?,
        Command::Enroll(args) => enroll::enroll(&load()?, args, json)?,
        Command::Retire => enroll::retire(&load()?, json)?,
        Command::RotateKey => enroll::rotate_key(&load()?, json)?,
        Command::Disks(args) => match &args.command {
            None if args.explain => disks::explain_all(&load()?, json)?,
            None => disks::list(&load()?, json)?,
            Some(DisksCommand::Secret(secret)) => match &secret.command {
                SecretCommand::Set { disk, from_file } => disks::set_secret(&load()?, disk, from_file.as_deref(), json)?,
            },
            Some(other) => operate::operate(&load()?, other, json)?,
        },
        Command::Status(args) => status::status(&load()?, args, json)?,
        #[cfg(unix)]
        Command::Sim(args) => sim::sim(args, json)?,
        #[cfg(not(unix))]
        Command::Sim(_) => return Err(Failure::usage("The simulator stands on pseudo-terminals: start it on Linux.")),
        Command::Journal(args) => match &args.command {
            JournalCommand::Show { limit } => journal::show(&load()?, *limit, json)?,
        },
        Command::Record(args) => record::record(&load()?, &args.command, json)?,
        Command::Support { file } => support::support(&load()?, file, json)?,
        Command::Doctor => return crate::doctor::doctor(load(), json),
        Command::Config(args) => match args.command {
            ConfigCommand::Check => config::check(&load()?, json)?,
        },
        Command::Manual { to } => manual::write(to)
            .map_err(|error| Failure::failed(format!("The manual cannot be written to {} ({error}).", to.display())))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line to standard output. Whoever stopped reading is not waited for and not scolded.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
}

/// Prints JSON for programs, or text for people.
pub fn show(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) {
    if json {
        print(&serde_json::to_string_pretty(value).expect("what is shown is plain data with text keys"));
    } else {
        print(&text());
    }
}

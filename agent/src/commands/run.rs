//! `run`: checks everything where a person still reads it, goes to the background if asked, then runs.

use crate::cli::RunArgs;
use crate::config::Config;
use crate::daemon::{Background, Side, to_background};
use crate::failure::Failure;
use crate::run::{Options, prepare};

pub(super) fn run(config: Config, args: &RunArgs) -> Result<(), Failure> {
    // Paths of the command line are meant from here, and the background's folder is /.
    let absolute = |path: &std::path::PathBuf| {
        std::path::absolute(path).map_err(|error| Failure::usage(format!("{} ({error}).", path.display())))
    };
    let ready_file = args.ready_file.as_ref().map(absolute).transpose()?;
    let pid_file = args.pid_file.as_ref().map(absolute).transpose()?;
    let log_file = args.log_file.as_ref().map(absolute).transpose()?;
    let log = config.log.clone();
    let prepared = prepare(config)?;
    let mut starter = None;
    if let (true, Some(pid_file), Some(log_file)) = (args.daemon, &pid_file, &log_file) {
        match to_background(&Background { pid_file: pid_file.clone(), log_file: log_file.clone() })? {
            Side::Starter => return Ok(()),
            Side::Service(told) => starter = Some(told),
        }
    }
    let options = Options { ready_file, pid_file, log_file, starter };
    let result = crate::logging::start(&log).and_then(|()| crate::run::run(prepared, &options));
    if let Err(failure) = &result {
        tracing::error!("{}", failure.text);
        if let Some(starter) = &options.starter {
            starter.failed(failure);
        }
    }
    result
}

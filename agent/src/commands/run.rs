//! `run`: becomes the version that was chosen, checks everything where a person still reads it, goes to the background if asked,
//! then runs; and becomes another version when it is to.

use std::path::PathBuf;

use crate::cli::{Common, RunArgs};
use crate::config::Config;
use crate::daemon::{self, Background, Side, to_background};
use crate::failure::Failure;
use crate::run::{Ended, Options, prepare};
use crate::update::launch::{Words, become_program, choose, in_background};

pub(super) fn run(config: Config, common: &Common, args: &RunArgs) -> Result<(), Failure> {
    // Paths of the command line are meant from here, and the background's folder is /.
    let absolute =
        |path: &PathBuf| std::path::absolute(path).map_err(|error| Failure::usage(format!("{} ({error}).", path.display())));
    let words = Words {
        config: common.config.as_ref().map(absolute).transpose()?,
        state_dir: common.state_dir.as_ref().map(absolute).transpose()?,
        ready_file: args.ready_file.as_ref().map(absolute).transpose()?,
        daemon: args.daemon,
        pid_file: args.pid_file.as_ref().map(absolute).transpose()?,
        log_file: args.log_file.as_ref().map(absolute).transpose()?,
    };
    choose(&config, &words)?;
    // Before a new program may take the place of this one's file.
    let own = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("The system does not say which program this is ({error}).")))?;
    let base = crate::update::base()?;
    let log = config.log.clone();
    let prepared = prepare(config)?;
    let mut starter = None;
    let mut pid_lock = None;
    if let (true, Some(pid_file), Some(log_file)) = (args.daemon, &words.pid_file, &words.log_file) {
        if in_background() {
            // The lock on the file went with the program that this process was.
            pid_lock = daemon::hold_pid_file(pid_file);
        } else {
            match to_background(&Background { pid_file: pid_file.clone(), log_file: log_file.clone() })? {
                Side::Starter => return Ok(()),
                Side::Service(told) => starter = Some(told),
            }
        }
    }
    let options = Options {
        ready_file: words.ready_file.clone(),
        pid_file: words.pid_file.clone(),
        log_file: words.log_file.clone(),
        starter,
        words,
    };
    let result = crate::logging::start(&log).and_then(|()| crate::run::run(prepared, &options));
    let go_on = match &result {
        Ok(Ended::New(program)) => Some(program.clone()),
        Ok(Ended::Again) => Some(own.clone()),
        Ok(Ended::Stopped) => None,
        Err(failure) => {
            tracing::error!("{}", failure.text);
            if let Some(starter) = &options.starter {
                starter.failed(failure);
            }
            None
        }
    };
    drop(pid_lock);
    let Some(program) = go_on else { return result.map(drop) };
    let error = become_program(&program, &options.words, &base, args.daemon);
    tracing::error!(program = %program.display(), %error, "this process cannot become this program");
    // The file of this version may have been moved away meanwhile; the system still knows what it held.
    let error = match program == own {
        true => become_program(std::path::Path::new("/proc/self/exe"), &options.words, &base, args.daemon),
        false => become_program(&own, &options.words, &base, args.daemon),
    };
    Err(Failure::failed(format!("The agent cannot go on after an update ({error}): start it again.")))
}

/// The same for the service control manager: what is wrong goes to the event log, the log to a file of the state folder.
#[cfg(windows)]
pub(super) fn service(common: &Common) -> Result<(), Failure> {
    use crate::platform::service::{log_to, serve};
    let (path, state_dir) = (common.config.clone(), common.state_dir.clone());
    serve(move || {
        let config = Config::load(path.as_deref(), state_dir.as_deref())?;
        let logs = config.log.clone();
        log_to(config.state.dir.join("logs").join("agent.log"));
        let prepared = prepare(config)?;
        crate::logging::start(&logs)?;
        crate::run::run(prepared, &Options::default()).map(drop).inspect_err(|failure| tracing::error!("{}", failure.text))
    })
}

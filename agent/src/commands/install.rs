//! `install`.

use std::path::PathBuf;

use crate::cli::{Common, InstallArgs};
use crate::failure::Failure;
use crate::install::answers::Answers;
use crate::install::people::Terminal;
use crate::install::{Order, install as set_up};

pub(super) fn install(common: &Common, args: &InstallArgs) -> Result<(), Failure> {
    #[cfg(windows)]
    if args.service {
        let name = crate::platform::service::NAME;
        let config = crate::config::Config::load(common.config.as_deref(), common.state_dir.as_deref())?;
        let state = crate::identity::StateDir::open(&config.state.dir)?;
        // An installer runs this before a person has enrolled the PC: the service would only end again and again.
        let enrolled = crate::identity::Identity::load(&state)?.is_some();
        let start = enrolled && !args.no_start;
        crate::platform::service::install(common.config.as_deref(), common.state_dir.as_deref(), start)?;
        let said = serde_json::json!({ "service": name, "started": start });
        super::show(common.json, &said, || match (start, enrolled) {
            (true, _) => format!("The service {name} is installed and started."),
            (false, true) => format!("The service {name} is installed."),
            (false, false) => {
                format!("The service {name} is installed; run `taxdisk-agent install` to enrol this PC and start it.")
            }
        });
        return Ok(());
    }
    // It is written into the enrolment, and the agent runs in another folder.
    let absolute =
        |path: &PathBuf| std::path::absolute(path).map_err(|error| Failure::usage(format!("{} ({error}).", path.display())));
    let mut answers = match &args.answers {
        Some(file) => Answers::read(file)?,
        None => Answers {
            broker: args.url.clone(),
            code: args.code.clone(),
            name: args.name.clone(),
            ca_file: args.ca_file.as_ref().map(absolute).transpose()?,
            proxy: args.proxy.clone(),
            ..Answers::default()
        },
    };
    if args.no_start {
        answers.start = Some(false);
    }
    let config = common.config.as_ref().map(absolute).transpose()?;
    let order = Order { config, state_dir: common.state_dir.clone(), answers };
    let installed = set_up(&order, &mut Terminal { quiet: common.json })?;
    super::show(common.json, &installed, || installed.text());
    Ok(())
}

#[cfg(windows)]
pub(super) fn uninstall(common: &Common, args: &crate::cli::UninstallArgs) -> Result<(), Failure> {
    let was_there = crate::platform::service::uninstall()?;
    let enrolled = |config: &crate::config::Config| config.state.dir.join("identity.json").exists();
    let config = crate::config::Config::load(common.config.as_deref(), common.state_dir.as_deref());
    // The service is gone whatever the broker says: a program is to be taken away also from a PC that is offline.
    let retired = match config {
        Ok(config) if !args.keep_key && enrolled(&config) => Some(crate::retire::retire(&config)),
        Ok(_) => None,
        Err(failure) => Some(Err(failure)),
    };
    let said = match (&retired, was_there) {
        (Some(Ok(agent)), _) => format!("The broker revoked agent {agent}: this PC needs a new code to come back."),
        (Some(Err(failure)), _) => format!("The broker was not told: {}", failure.text),
        (None, _) => "The key of this PC stays good.".to_owned(),
    };
    let document = serde_json::json!({ "was_there": was_there, "retired": matches!(retired, Some(Ok(_))) });
    super::show(common.json, &document, || match was_there {
        true => format!("The service was stopped and taken away; state and configuration stay. {said}"),
        false => format!("There is no service to take away. {said}"),
    });
    Ok(())
}

//! `install`.

use std::path::PathBuf;

use crate::cli::{Common, InstallArgs};
use crate::failure::Failure;
use crate::install::answers::Answers;
use crate::install::people::Terminal;
use crate::install::{Order, install as set_up};

pub(super) fn install(common: &Common, args: &InstallArgs) -> Result<(), Failure> {
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

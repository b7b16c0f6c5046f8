//! `taxdisk-portal store`: keys that second factors are sealed with.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;
use crate::{config, factors, store};

/// A store opens within this, or somebody else has it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Print a new line for the key file (`store.key_file`). Put it first, and start the portal anew: what is new is sealed with
    /// it, and what is older is opened with the lines below.
    NewKey,
    /// Seal all second factors with the first key of the key file. The portal must be stopped. Then the lines of older keys may
    /// go, once no copy needs them.
    Rekey {
        /// Configuration file (TOML). Every value can be set in the environment: TAXDISK__STORE__URL=…
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Open them instead: nothing is sealed any more.
        #[arg(long)]
        plain: bool,
    },
}

impl Keys {
    pub(super) fn run(self) -> Result<(), Failure> {
        let told = match self {
            Keys::NewKey => taxdisk_web::keyring::new_key()
                .ok_or_else(|| Failure::Other("no key was made: the system has no randomness".to_owned()))?,
            Keys::Rekey { config, plain } => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| Failure::Other(format!("the runtime does not start: {error}")))?;
                runtime.block_on(rekey(&config::load(config.as_deref(), None)?, plain))?
            }
        };
        writeln!(std::io::stdout(), "{told}").map_err(|error| Failure::Other(format!("standard output: {error}")))
    }
}

async fn rekey(config: &config::Config, plain: bool) -> Result<String, Failure> {
    let keys = config.store.keys()?;
    let Some(key) = keys.current() else {
        return Err(Failure::Other("nothing was changed: store.key_file is not set: it names the keys".to_owned()));
    };
    // A portal that runs has the writer's place of PostgreSQL, and this would wait for it to end.
    let opened = tokio::time::timeout(PATIENCE, store::open(&config.store.url)).await;
    let taken = |_| Failure::Other("nothing was changed: a portal writes to this store; stop it first".to_owned());
    let mut opened = opened.map_err(taken)??;
    let written = factors::rekey(opened.writer.as_mut(), &keys, plain).await?;
    Ok(match plain {
        true => format!("{written} second factors are in the plain now; take store.key_file out of the configuration."),
        false => format!("{written} second factors are sealed with the key {key} now."),
    })
}

//! `config check`.

use crate::config::Config;
use crate::failure::Failure;

/// Every value as it is used, as TOML that could be the file.
pub(super) fn check(config: &Config, json: bool) -> Result<(), Failure> {
    let text =
        toml::to_string(config).map_err(|error| Failure::failed(format!("The configuration cannot be shown ({error}).")))?;
    super::show(json, config, || format!("# The configuration is good. These values are used:\n{text}"));
    Ok(())
}

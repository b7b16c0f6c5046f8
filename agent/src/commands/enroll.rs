//! `enroll`, `retire`, `rotate-key`.

use serde::Serialize;
use taxdisk_protocol::link::fingerprint;

use crate::cli::EnrollArgs;
use crate::config::Config;
use crate::enroll::{Enrolment, enroll as enrol};
use crate::failure::Failure;
use crate::identity::{Identity, StateDir};
use crate::rotate;

pub(super) fn enroll(config: &Config, args: &EnrollArgs, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let code = match (&args.code, &args.code_file) {
        (Some(code), _) => code.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("--code-file {} cannot be read ({error}).", file.display())))?,
        (None, None) => return Err(Failure::usage("A code is needed: give it after the address, or by --code-file.")),
    };
    let enrolment = Enrolment {
        url: &args.url,
        code: &code,
        name: args.name.as_deref(),
        ca_file: args.ca_file.as_deref().or(config.broker.ca_file.as_deref()),
        proxy: args.proxy.as_deref().or(config.broker.proxy.as_deref()),
        force: args.force,
    };
    let report = enrol(&state, &enrolment)?;
    super::show(json, &report, || {
        let next = if config.disk.is_empty() {
            "Next: name the disk's port in the configuration ([[disk]] port = \"/dev/ttyUSB0\"), then `taxdisk-agent disks secret set PORT`."
        } else {
            "Next: `taxdisk-agent disks secret set PORT`, `taxdisk-agent doctor`, then start the agent."
        };
        let approval = if report.waiting {
            "\nIt waits until an administrator approves it (`taxdisk agent approve`); tell him the fingerprint."
        } else {
            ""
        };
        format!(
            "This PC is agent {} of {} now. Fingerprint of its key: {}{approval}\n{next}",
            report.agent, report.broker, report.fingerprint
        )
    });
    Ok(())
}

/// A new key, and what people compare of it.
#[derive(Debug, Serialize)]
struct NewKey {
    fingerprint: String,
}

/// The running agent finds it at its next join.
pub(super) fn rotate_key(config: &Config, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    Identity::require(&state)?;
    let fingerprint = fingerprint(&rotate::begin(&state)?);
    super::show(json, &NewKey { fingerprint: fingerprint.clone() }, || {
        format!(
            "A new key is made; its fingerprint is {fingerprint}. It takes the present one's place when the agent joins the broker next: \
             at once if you start the agent again."
        )
    });
    Ok(())
}

pub(super) fn retire(config: &Config, json: bool) -> Result<(), Failure> {
    let agent = crate::retire::retire(config)?;
    super::show(json, &serde_json::json!({ "agent": agent }), || {
        format!("The broker revoked agent {agent}: its key is good for nothing any more. State and configuration stay.")
    });
    Ok(())
}

//! systemd: word to it where it runs the agent, and an order to it to do so.

use std::path::Path;
use std::process::Command;

use sd_notify::NotifyState;

use crate::failure::Failure;

/// It is there where systemd runs (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
/// The service.
const UNIT: &str = "taxdisk-agent.service";

/// Tells systemd that the agent is up. Does nothing elsewhere.
pub fn tell_ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells systemd that the agent stops.
pub fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells systemd that the agent is alive.
pub fn tell_alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// How often systemd wants to hear that the agent is alive, halved; `None` if it does not.
pub fn watchdog_interval() -> Option<std::time::Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Starts the service where systemd has it. Gives whether it did.
///
/// # Errors
/// systemd refuses; the text is its own.
pub fn start_service(_config: Option<&Path>, _state_dir: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<bool, Failure> {
    if !Path::new(SYSTEMD).is_dir() {
        return Ok(false);
    }
    let systemctl = |arguments: &[&str]| {
        let output = Command::new("systemctl").args(arguments).output();
        output.map_err(|error| Failure::failed(format!("systemctl does not run ({error}): start {UNIT} by hand.")))
    };
    if !systemctl(&["cat", UNIT])?.status.success() {
        return Ok(false);
    }
    say("Starting the service …");
    for arguments in [["enable", UNIT], ["restart", UNIT]] {
        let output = systemctl(&arguments)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
            return Err(Failure::failed(format!(
                "systemctl {} failed ({said}): look into `journalctl -u {UNIT}`.",
                arguments.join(" ")
            )));
        }
    }
    Ok(true)
}

/// How to start it where nobody starts services.
pub fn how_to_start(file: &Path, state: &Path) -> String {
    if Path::new(SYSTEMD).is_dir() {
        return format!("Start it: systemctl enable --now {UNIT}");
    }
    let state = state.display();
    format!(
        "There is no systemd here. Start it, now and when the PC starts, with: taxdisk-agent run --config {} --daemon --pid-file \
         /run/taxdisk-agent.pid --log-file {state}/agent.log",
        file.display()
    )
}

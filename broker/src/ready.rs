//! Says that the broker can answer: to a file with the bound URLs, and to systemd.
//!
//! The file appears whole or not at all (temporary file, then rename): who waits for it never reads half of it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taxdisk_protocol::link::LINK_PATH;

/// The URLs of a running broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Urls {
    /// The HTTP API.
    pub url: String,
    /// The agent link.
    pub link: String,
    /// Where agents and browsers come who have no certificate of a caller, if that is another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_url: Option<String>,
}

impl Urls {
    /// The URLs at a bound address.
    pub fn of(address: SocketAddr, tls: bool) -> Urls {
        let secure = if tls { "s" } else { "" };
        let url = format!("http{secure}://{address}");
        Urls { url, link: format!("ws{secure}://{address}{LINK_PATH}"), open_url: None }
    }

    /// With a second address, by TLS, where agents are linked.
    #[must_use]
    pub fn with_open(self, address: Option<SocketAddr>) -> Urls {
        let Some(address) = address else { return self };
        Urls { link: format!("wss://{address}{LINK_PATH}"), open_url: Some(format!("https://{address}")), ..self }
    }
}

/// Writes `content` so that it is there whole or not at all. With `secret`, only the owner can read it.
///
/// # Errors
/// Those of the file system.
pub fn write_whole(path: &Path, content: &[u8], secret: bool) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = path.file_name().ok_or_else(|| std::io::Error::other("a file name is needed"))?;
    let temporary = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let mode = if secret { 0o600 } else { 0o644 };
    let written = (|| {
        let _ = std::fs::remove_file(&temporary);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Tells systemd that the broker is up. Nothing happens where there is no systemd.
pub fn tell_up(urls: &Urls) {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(&format!("serves {}", urls.url))]);
}

/// Tells systemd that the broker stops.
pub fn tell_stopping() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}

/// Pets systemd's watchdog at half its time, as long as `healthy` says so: a broker whose writer hangs is restarted.
pub async fn pet_watchdog<F, Fut>(healthy: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = bool>,
{
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval((limit / 2).max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        if tokio::time::timeout(limit / 2, healthy()).await.unwrap_or(false) {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        } else {
            tracing::error!("the ledger does not answer; the watchdog is not petted");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_appear_whole_and_secrets_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        let urls = Urls::of("127.0.0.1:43211".parse().unwrap(), false);
        write_whole(&path, &serde_json::to_vec(&urls).unwrap(), false).unwrap();
        write_whole(&path, &serde_json::to_vec(&urls).unwrap(), true).unwrap();
        let back: Urls = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(back.link, "ws://127.0.0.1:43211/v1/agents/link");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        assert_eq!(Urls::of("127.0.0.1:1".parse().unwrap(), true).link, "wss://127.0.0.1:1/v1/agents/link");
    }
}

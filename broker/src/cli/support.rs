//! `support`: one file for whoever helps, which says itself what is in it. It goes nowhere by itself.
//!
//! It reads and changes nothing, needs no key, and a broker may run meanwhile. People are taken out of it: no names, taxpayer
//! numbers, passwords, keys, contents of invoices, invoice numbers or serial numbers.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};
use taxdisk_protocol::support::{self, Bundle};

use super::own::ask;
use super::{Failure, doctor, failed, print, print_json};
use crate::config::Loaded;
use crate::ledger::Ledger;
use crate::store::outline::Outline;

/// Left out of all parts.
const NOT_IN_IT: &str = "names, taxpayer numbers, passwords, keys, contents of invoices, invoice and serial numbers, who did what; \
                         logs (`journalctl -u taxdisk-broker`: read them before you add them)";

pub(super) async fn support(loaded: &Loaded, file: &Path, json: bool) -> Result<(), Failure> {
    let unwritten = |error: std::io::Error| failed(&format!("{} cannot be written", file.display()), error);
    let mut bundle = Bundle::new(NOT_IN_IT);
    bundle.put("host", "version of the broker, of the system and of its kernel", host());
    bundle.put("configuration", "every value as it is used and where it comes from, without passwords", json!(loaded.lines()));
    // It looks at the network and the ledger by itself, with waits of its own.
    let examined = loaded.clone();
    let report = tokio::task::spawn_blocking(move || serde_json::to_value(doctor::examine(Ok(examined)))).await;
    let report = report.ok().and_then(Result::ok).unwrap_or_default();
    bundle.put("doctor", "all checks", report);
    let asked = loaded.config.clone();
    let figures = tokio::task::spawn_blocking(move || ask(&asked, "/metrics")).await;
    bundle.put("figures", "what the running broker counts: jobs by what they wait for, links, disks, requests", lines(figures));
    match Outline::open(&loaded.config.store.url).await {
        Ok(mut outline) => {
            let what = "jobs by state and problem, the oldest open and the newest ended without an invoice, agents, disks";
            bundle.put("ledger", what, outline.read().await);
            bundle.put("audit", "what was done lately in the broker's own chain, without by whom", outline.entries().await);
        }
        Err(error) => bundle.put("ledger", "why it cannot be read", json!({ "trouble": error.to_string() })),
    }
    let made_at = (Ledger::system_clock())().to_string();
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(unwritten)?;
    out.write_all(bundle.text(&made_at).as_bytes()).and_then(|()| out.sync_all()).map_err(unwritten)?;
    if json {
        return print_json(&json!({ "file": file, "in_it": bundle.in_it(), "not_in_it": bundle.not_in_it() }));
    }
    print(&format!("{}\n", bundle.told(&file.display().to_string())))
}

fn host() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    support::host("broker", env!("CARGO_PKG_VERSION"), &read("/etc/os-release"), &read("/proc/sys/kernel/osrelease"))
}

/// Metrics without their descriptions and buckets. Their labels hold no seller, disk, buyer or serial number.
fn lines(answer: Result<std::io::Result<String>, tokio::task::JoinError>) -> Value {
    let text = match answer {
        Ok(Ok(text)) if text.starts_with("HTTP/1.1 200") => text,
        Ok(Ok(_)) => return json!({ "trouble": "what answers there is no broker" }),
        Ok(Err(error)) => return json!({ "trouble": error.to_string() }),
        Err(_) => return Value::Null,
    };
    text.lines().filter(|line| line.starts_with("taxdisk_") && !line.contains("_bucket{")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_a_brokers_figures_are_taken() {
        let answer = |text: &str| lines(Ok(Ok(text.to_owned())));
        let figures = "HTTP/1.1 200 OK\r\nserver: x\r\n\r\n# HELP taxdisk_links a\ntaxdisk_links 3\n\
                       taxdisk_commit_seconds_bucket{le=\"1\"} 4\nother_things{name=\"张三\"} 1\n";
        assert_eq!(answer(figures), json!(["taxdisk_links 3"]));
        assert_eq!(answer("HTTP/1.1 404 Not Found\r\n\r\n"), json!({ "trouble": "what answers there is no broker" }));
    }
}

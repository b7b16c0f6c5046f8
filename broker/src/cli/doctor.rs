//! `doctor`: what keeps this broker from working, check by check, with the remedy. It changes nothing and needs no key; a broker
//! may run meanwhile.
//!
//! What it refuses to do: open the ledger for writing, or read a job. Whether the ledger is whole is `check`'s question. Of the
//! ledger only the time of its newest entry is read.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use taxdisk_protocol::time::{Timestamp, skew_ms};

use super::own::{ANSWER_LIMIT, ask};
use super::{EXIT_CONFIG, Failure, print, print_json};
use crate::config::{Config, ConfigError, Loaded, Tls};
use crate::ledger::Ledger;
use crate::store::StoreError;
use crate::store::outline::Outline;
use crate::tls;

/// Below this a commit may fail any moment, bytes.
const ROOM_LEAST_BYTES: u64 = 64 << 20;
/// Below this somebody should look, bytes.
const ROOM_LITTLE_BYTES: u64 = 1 << 30;
/// More than this, and log lines of brokers, agents and the ledger cannot be put side by side.
const SKEW_WARNING_MS: i64 = 10_000;
/// More than this, and certificates and keys are judged by the wrong day soon.
const SKEW_MAX_MS: i64 = 300_000;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Good,
    Warning,
    Failed,
    NotMade,
}

#[derive(Debug, Serialize)]
struct Check {
    number: usize,
    /// Stable: programs and instructions refer to it.
    code: &'static str,
    outcome: Outcome,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// All checks.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    checks: Vec<Check>,
}

impl Report {
    fn add(&mut self, code: &'static str, outcome: Outcome, text: impl Into<String>, hint: Option<&'static str>) {
        let number = self.checks.len() + 1;
        self.checks.push(Check { number, code, outcome, text: text.into(), hint });
    }

    fn good(&mut self, code: &'static str, text: impl Into<String>) {
        self.add(code, Outcome::Good, text, None);
    }

    fn warning(&mut self, code: &'static str, text: impl Into<String>, hint: &'static str) {
        self.add(code, Outcome::Warning, text, Some(hint));
    }

    fn failed(&mut self, code: &'static str, text: impl Into<String>, hint: &'static str) {
        self.add(code, Outcome::Failed, text, Some(hint));
    }

    /// 78 if the configuration is wrong, 1 if something else is.
    fn exit(&self) -> u8 {
        let failed: Vec<&Check> = self.checks.iter().filter(|check| check.outcome == Outcome::Failed).collect();
        match failed.iter().any(|check| check.code.starts_with("config.")) {
            true => EXIT_CONFIG,
            false => u8::from(!failed.is_empty()),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let mark = match check.outcome {
                Outcome::Good => "good   ",
                Outcome::Warning => "WARNING",
                Outcome::Failed => "FAILED ",
                Outcome::NotMade => "-      ",
            };
            text.push_str(&format!("{:>2}  {mark}  {:<18} {}\n", check.number, check.code, check.text));
            if let Some(hint) = check.hint {
                text.push_str(&format!("{:34}→ {hint}\n", ""));
            }
        }
        text.push_str(match self.checks.iter().filter(|check| check.outcome == Outcome::Failed).count() {
            0 => "\nEverything that was checked is good.\n",
            1 => "\n1 check failed: begin with it.\n",
            _ => "\nSeveral checks failed: begin with the first.\n",
        });
        text
    }
}

/// Makes all checks and prints them; gives the exit code.
pub(super) fn doctor(loaded: Result<Loaded, ConfigError>, json: bool) -> Result<u8, Failure> {
    let report = examine(loaded);
    if json {
        print_json(&report)?
    } else {
        print(&report.text())?
    }
    Ok(report.exit())
}

/// Makes all checks.
pub(super) fn examine(loaded: Result<Loaded, ConfigError>) -> Report {
    let mut report = Report::default();
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            report.failed("config.readable", error.0, "correct that value; `taxdisk-broker config check` shows all of them");
            for code in ["config.tls", "store.place", "store.room", "clock.right", "listen.address"] {
                report.add(code, Outcome::NotMade, "not checked: the configuration comes first", None);
            }
            return report;
        }
    };
    report.good("config.readable", "the configuration is good");
    certificate(&mut report, loaded.config.tls.as_ref());
    match loaded.config.store.url.strip_prefix("sqlite:") {
        Some(file) => sqlite(&mut report, Path::new(file)),
        None => database(&mut report, &loaded.config.store.url),
    }
    clock(&mut report, &loaded.config.store.url);
    match loaded.config.address() {
        Ok(address) => listen(&mut report, &loaded.config, address),
        Err(error) => report.failed("listen.address", error.0, "correct listen.address"),
    }
    report
}

fn certificate(report: &mut Report, files: Option<&Tls>) {
    let Some(files) = files else {
        return report.good("config.tls", "not used: only this machine can reach the broker");
    };
    if let Err(error) = tls::load(files) {
        let mend = "give the certificate with its chain, and its own key, as PEM files that the broker alone can read";
        return report.failed("config.tls", error.0, mend);
    }
    report.good("config.tls", format!("certificate {} and its key fit", files.certificate.display()));
}

/// The ledger's folder: is it there, private, writable, and is there room?
fn sqlite(report: &mut Report, file: &Path) {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    let found = match std::fs::metadata(&folder) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return no_place(report, format!("{} is no folder", folder.display())),
        Err(error) => return no_place(report, format!("{} cannot be used ({error})", folder.display())),
    };
    let user = rustix::process::geteuid();
    let writable = rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_ok();
    let ledger = std::fs::metadata(file);
    if !writable {
        no_place(report, format!("user {} may not write in {}", user.as_raw(), folder.display()));
    } else if ledger
        .as_ref()
        .is_ok_and(|ledger| ledger.permissions().mode() & 0o007 != 0 && found.permissions().mode() & 0o001 != 0)
    {
        let text = format!("everybody on this machine can read the ledger {}", file.display());
        report.failed("store.place", text, "chmod 0700 its folder: it holds names and tax numbers of buyers");
    } else if let Ok(ledger) = &ledger
        && ledger.uid() != user.as_raw()
        && !user.is_root()
    {
        let text =
            format!("the ledger {} belongs to user {}, the broker runs as {}", file.display(), ledger.uid(), user.as_raw());
        report.failed("store.place", text, "chown it, with the files -wal and -shm beside it, to the broker's account");
    } else {
        let text = if ledger.is_ok() { "is there" } else { "is made at the first start" };
        report.good("store.place", format!("the ledger {} {text}", file.display()));
    }
    match rustix::fs::statvfs(&folder) {
        Ok(room) => judge_room(report, &folder, room.f_bavail.saturating_mul(room.f_frsize)),
        Err(error) => report.warning("store.room", format!("the room for it cannot be told ({error})"), "look with `df`"),
    }
}

fn no_place(report: &mut Report, text: String) {
    report.failed("store.place", text, "make the folder for the broker's account, mode 0700, or correct store.url");
    if report.checks.iter().all(|check| check.code != "store.room") {
        report.add("store.room", Outcome::NotMade, "not checked: the ledger's place comes first", None);
    }
}

fn judge_room(report: &mut Report, folder: &Path, free_bytes: u64) {
    if report.checks.iter().any(|check| check.code == "store.room") {
        return;
    }
    let text = format!("{} MiB are free for {}", free_bytes >> 20, folder.display());
    let hint = "make room on that file system: what cannot be written is not accepted, and nothing is issued";
    match free_bytes {
        ..ROOM_LEAST_BYTES => report.failed("store.room", text, hint),
        ROOM_LEAST_BYTES..ROOM_LITTLE_BYTES => report.warning("store.room", text, hint),
        _ => report.good("store.room", text),
    }
}

/// Does the database's server answer at all? What it says is the broker's business.
fn database(report: &mut Report, url: &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let place = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    let reached = std::net::ToSocketAddrs::to_socket_addrs(&place).map_err(|error| error.to_string()).and_then(|addresses| {
        let mut last = "the name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, ANSWER_LIMIT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    });
    match reached {
        Ok(()) => report.good("store.place", format!("a server answers at {place}")),
        Err(why) => {
            report.failed("store.place", format!("no database answers at {place} ({why})"), "start it, or correct store.url")
        }
    }
    report.add("store.room", Outcome::NotMade, "the database's server knows its room", None);
}

/// A broker has nobody to ask for the time but the server of its database. What the ledger holds already was at some moment,
/// and a clock before it has gone back.
fn clock(report: &mut Report, url: &str) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report.add("clock.right", Outcome::NotMade, format!("not checked: {error}"), None),
    };
    let now = Ledger::system_clock();
    let asked = runtime.block_on(async {
        let mut outline = Outline::open(url).await?;
        let newest = outline.newest_entry().await?;
        let before = now();
        let server = outline.server_time().await?;
        Ok::<_, StoreError>((newest, server.map(|server| (before, server, now()))))
    });
    match asked {
        Ok((newest, server)) => judge_clock(report, now(), newest, server),
        Err(_) => report.add("clock.right", Outcome::NotMade, "not checked: the ledger cannot be read yet", None),
    }
}

/// `server`: this clock before the server told its own, that, and this clock after it.
fn judge_clock(
    report: &mut Report,
    now: Timestamp,
    newest: Option<Timestamp>,
    server: Option<(Timestamp, Timestamp, Timestamp)>,
) {
    let hint = "set it, and switch time synchronisation on: `timedatectl set-ntp true`; on the database's server too";
    let back_ms = newest.map_or(0, |newest| newest.since_ms(now));
    let apart_ms = server.map_or(0, |(before, server, after)| skew_ms(before, server, 0, after));
    let (skew_ms, text) = if back_ms > SKEW_WARNING_MS {
        (back_ms, format!("this machine's clock says {now}, and the ledger has an entry of {} s later", back_ms / 1000))
    } else if server.is_some() {
        let side = if apart_ms < 0 { "behind" } else { "ahead of" };
        (apart_ms.abs(), format!("this machine's clock is {} s {side} the database server's", apart_ms.abs() / 1000))
    } else {
        (0, format!("this machine's clock says {now}, and nothing in the ledger is later"))
    };
    if skew_ms > SKEW_MAX_MS {
        report.failed("clock.right", text, hint);
    } else if skew_ms > SKEW_WARNING_MS {
        report.warning("clock.right", text, hint);
    } else {
        report.good("clock.right", text);
    }
}

fn listen(report: &mut Report, config: &Config, address: SocketAddr) {
    if address.port() == 0 {
        return report.good("listen.address", "a free port is taken at the start");
    }
    match TcpListener::bind(address) {
        Ok(_) => report.warning(
            "listen.address",
            format!("nobody listens at {address}"),
            "start the broker: `systemctl start taxdisk-broker`",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => held(report, config, address),
        Err(error) => report.failed(
            "listen.address",
            format!("{address} cannot be listened at ({error})"),
            "take an address that this machine has, and a port above 1023 or a proxy in front",
        ),
    }
}

/// Is it a broker that holds the address?
fn held(report: &mut Report, config: &Config, address: SocketAddr) {
    match ask(config, "/readyz") {
        Ok(answer) if answer.contains("\"ready\":true") => report.good("listen.address", format!("a broker works at {address}")),
        Ok(answer) if answer.contains("\"missing\":[") => report.failed(
            "listen.address",
            format!("the broker at {address} runs and cannot work yet"),
            "look into its log: `journalctl -u taxdisk-broker`",
        ),
        Ok(answer) if answer.starts_with("HTTP/") => report.failed(
            "listen.address",
            format!("another program holds {address}"),
            "`ss -ltnp` names it: stop it, or give the broker another port",
        ),
        _ => report.warning(
            "listen.address",
            format!("somebody listens at {address} and does not answer as this broker does"),
            "`ss -ltnp` names the program; a broker that has an older certificate takes the new one with SIGHUP",
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn first_failed(text: &str) -> (Option<&'static str>, u8, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("broker.toml");
        std::fs::write(&file, text.replace("HERE", &dir.path().display().to_string())).unwrap();
        let report = examine(crate::config::load(Some(&file), &Overrides::default()));
        let found = report.checks.iter().find(|check| check.outcome == Outcome::Failed).map(|check| check.code);
        (found, report.exit(), report.text())
    }

    #[test]
    fn each_broken_broker_is_named_with_the_remedy() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            for mut stream in held.incoming().flatten() {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let store = "[store]\nurl = \"sqlite:HERE/ledger.db\"\n";
        let cases = [
            ("[lisen]\n".to_owned(), "config.readable", 78, "config check"),
            (format!("{store}[tls]\ncertificate = \"HERE/none.pem\"\nkey = \"HERE/none.key\"\n"), "config.tls", 78, "PEM"),
            ("[store]\nurl = \"sqlite:HERE/nowhere/ledger.db\"\n".to_owned(), "store.place", 1, "mode 0700"),
            ("[store]\nurl = \"postgres://u@127.0.0.1:1/d\"\n".to_owned(), "store.place", 1, "store.url"),
            (format!("{store}[listen]\naddress = \"{address}\"\n"), "listen.address", 1, "ss -ltnp"),
        ];
        for (config, code, exit, remedy) in cases {
            let (found, ended, text) = first_failed(&config);
            assert_eq!((found, ended), (Some(code), exit), "{text}");
            assert!(text.contains(remedy), "{text}");
        }
        let (found, ended, text) = first_failed(&format!("{store}[listen]\naddress = \"127.0.0.1:0\"\n"));
        assert_eq!((found, ended), (None, 0), "{text}");
    }

    #[test]
    fn a_clock_that_went_back_or_is_not_the_servers_is_named() {
        let of = |newest: Option<i64>, server: Option<(i64, i64, i64)>| {
            let mut report = Report::default();
            let server = server.map(|(before, server, after)| (Timestamp(before), Timestamp(server), Timestamp(after)));
            judge_clock(&mut report, Timestamp(1_000_000), newest.map(Timestamp), server);
            (report.checks[0].outcome, report.checks[0].text.clone())
        };
        for (newest, outcome) in [(1_000_000, Outcome::Good), (1_010_000, Outcome::Good), (1_010_001, Outcome::Warning)] {
            assert_eq!(of(Some(newest), None).0, outcome, "{newest}");
        }
        let (outcome, text) = of(Some(1_300_001), Some((0, 0, 0)));
        assert!(outcome == Outcome::Failed && text.contains("entry of 300 s later"), "{text}");
        assert_eq!(of(None, None).0, Outcome::Good, "a new ledger");
        // A server that takes a minute to answer is not a minute away.
        assert_eq!(
            of(None, Some((0, 30_000, 60_000))),
            (Outcome::Good, "this machine's clock is 0 s ahead of the database server's".into())
        );
        let (outcome, text) = of(None, Some((50_000, 30_000, 60_000)));
        assert!(outcome == Outcome::Warning && text.contains("20 s ahead of"), "{text}");
        let (outcome, text) = of(None, Some((0, 400_000, 60_000)));
        assert!(outcome == Outcome::Failed && text.contains("340 s behind"), "{text}");
    }

    #[test]
    fn room_is_judged_by_bytes() {
        let of = |bytes| {
            let mut report = Report::default();
            judge_room(&mut report, Path::new("/x"), bytes);
            report.checks[0].outcome
        };
        assert_eq!([of(0), of(ROOM_LEAST_BYTES - 1)], [Outcome::Failed; 2]);
        assert_eq!([of(ROOM_LEAST_BYTES), of(ROOM_LITTLE_BYTES - 1)], [Outcome::Warning; 2]);
        assert_eq!(of(ROOM_LITTLE_BYTES), Outcome::Good);
    }
}

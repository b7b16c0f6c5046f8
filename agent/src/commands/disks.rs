//! `disks` and `disks secret set`.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use taxdisk_drivers::discover::{Candidate, Inventory, explain};

use super::status::running;
use super::table::table;
use crate::config::Config;
use crate::daemon::Lock;
use crate::failure::Failure;
use crate::identity::StateDir;
use crate::journal::{Journal, JournalError, Record};
use crate::ports::Port;
use crate::probe::{Ground, PcProber, entries, keep_refusal, password_hold};
use crate::secrets::{DiskSecret, Secrets};
use crate::status::{Answer, Question, ask};

/// The longest file of passwords, bytes.
pub(super) const SECRET_FILE_MAX_BYTES: u64 = 4096;

/// One disk as it is shown.
#[derive(Debug, Default, Serialize)]
struct Shown {
    port: String,
    dialect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taxpayer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taxpayer_name: Option<String>,
    kinds: Vec<String>,
    stock: Vec<(String, u32)>,
    ready: bool,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

pub(super) fn list(config: &Config, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let shown = match running(&state)? {
        Some(status) => status.disks.iter().map(|disk| reported(config, disk)).collect(),
        None => read_all(config, &state)?,
    };
    super::show(json, &serde_json::json!({ "disks": shown }), || {
        if shown.is_empty() {
            return "No disk is configured: add [[disk]] port = \"/dev/ttyUSB0\" to the configuration.".to_owned();
        }
        let rows = shown.iter().map(|disk| {
            let taxpayer =
                [disk.taxpayer.clone(), disk.taxpayer_name.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let stock = disk.stock.iter().map(|(kind, count)| format!("{kind}: {count}")).collect::<Vec<_>>().join(", ");
            let health =
                disk.trouble.clone().unwrap_or_else(|| if disk.ready { "ready".to_owned() } else { "not ready".to_owned() });
            vec![
                disk.port.clone(),
                disk.dialect.clone(),
                disk.disk.clone().unwrap_or_default(),
                taxpayer,
                disk.kinds.join(","),
                stock,
                health,
            ]
        });
        table(&["port", "dialect", "disk", "taxpayer", "kinds", "stock", "health"], rows)
    });
    Ok(())
}

/// As the running agent sees it.
fn reported(config: &Config, disk: &crate::status::DiskStatus) -> Shown {
    let dialect = config.disk.iter().find(|one| one.name() == disk.port).and_then(|one| one.dialect.clone()).unwrap_or_default();
    let trouble = disk.trouble.clone();
    match &disk.report {
        None => Shown {
            port: disk.port.clone(),
            dialect,
            trouble: trouble.or_else(|| Some("is being opened".into())),
            ..Shown::default()
        },
        Some(report) => Shown {
            port: disk.port.clone(),
            dialect: report.dialect.clone(),
            disk: Some(report.disk.clone()),
            taxpayer: Some(report.taxpayer.clone()),
            taxpayer_name: Some(report.taxpayer_name.clone()),
            kinds: report.kinds.clone(),
            stock: report.stock.iter().map(|stock| (stock.kind.clone(), stock.remaining)).collect(),
            ready: report.health.ready,
            trouble,
        },
    }
}

/// No agent runs: each disk is read here, under the lock that keeps an agent from starting meanwhile.
fn read_all(config: &Config, state: &StateDir) -> Result<Vec<Shown>, Failure> {
    let _lock = Lock::take(&state.lock_file())?;
    let journal = open_journal(state)?;
    let secrets = Secrets::of(state);
    let read = |disk: &crate::config::DiskConfig| {
        let port = Port::new(config, disk, &secrets);
        let shown = Shown { port: disk.name(), dialect: port.setup.dialect.name().to_owned(), ..Shown::default() };
        match read_one(&port, &journal) {
            Ok(found) => Shown { port: shown.port, dialect: shown.dialect, ..found },
            Err(text) => Shown { trouble: Some(text), ..shown },
        }
    };
    Ok(config.disk.iter().map(read).collect())
}

fn read_one(port: &Port, journal: &Journal) -> Result<Shown, String> {
    let way = port.way().map_err(|error| error.why().text)?;
    if let Some(text) = password_hold(journal, &port.name) {
        return Err(password_stop(&port.name, &text));
    }
    let secret = port.secret().map_err(|why| why.text)?;
    let mut driver = port.driver(way, Some(secret)).map_err(|error| error.why().text)?;
    let disk = driver.disk();
    let identity = disk.identity().map_err(|error| {
        keep_refusal(journal, &port.name, &error);
        error.to_string()
    })?;
    let mut stock = Vec::new();
    let mut trouble = None;
    for kind in &identity.kinds {
        match disk.stock(*kind) {
            Ok(found) => stock.push((kind.to_string(), found.remaining)),
            Err(error) => trouble = Some(format!("{kind}: {error}")),
        }
    }
    Ok(Shown {
        disk: Some(identity.disk.to_string()),
        taxpayer: Some(identity.taxpayer.to_string()),
        taxpayer_name: Some(identity.taxpayer_name),
        kinds: identity.kinds.iter().map(ToString::to_string).collect(),
        stock,
        ready: trouble.is_none(),
        trouble,
        ..Shown::default()
    })
}

/// `disks --explain`: every place where a disk may be, and why it cannot be used if it cannot.
pub(super) fn explain_all(config: &Config, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let secrets = Secrets::of(&state);
    let look = |ground: Ground<'_>| {
        let mut prober = PcProber::new(config, &secrets, ground);
        explain(&Inventory::of_this_pc(), &entries(config), &config.known, &mut prober)
    };
    let found = match running(&state)? {
        Some(status) => look(Ground::Agent(&status)),
        None => {
            let _lock = Lock::take(&state.lock_file())?;
            look(Ground::Free(&open_journal(&state)?))
        }
    };
    super::show(json, &serde_json::json!({ "candidates": found }), || {
        if found.is_empty() {
            return "There is no serial port and no USB device here, and no disk is configured.".to_owned();
        }
        found.iter().map(paragraph).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

fn paragraph(candidate: &Candidate) -> String {
    let profiles = match (candidate.profiles.join(", "), &candidate.matched_by) {
        (profiles, _) if profiles.is_empty() => "no profile".to_owned(),
        (profiles, Some(by)) => format!("{profiles}, by {by}"),
        (profiles, None) => profiles,
    };
    let mark = if candidate.state.is_usable() { "+" } else { "-" };
    let mut text = format!("{mark} {}  [{profiles}]", candidate.place);
    if let Some(product) = &candidate.product {
        text.push_str(&format!("  {product}"));
    }
    for name in &candidate.names {
        text.push_str(&format!("\n    also {name}"));
    }
    format!("{text}\n    {}", candidate.text)
}

/// What to tell of a port whose passwords were refused.
pub(crate) fn password_stop(port: &str, text: &str) -> String {
    format!(
        "No password of this disk may be tried ({text}); nothing that carries one is sent until that is settled, or until a person sets the right one by `taxdisk-agent disks secret set {port}`."
    )
}

/// A journal that this process has let go of is closed by its own threads within this time.
const CLOSING_LIMIT: Duration = Duration::from_secs(10);

/// The journal of a stopped agent. The caller holds the lock, so whoever has the journal still is this process itself, a moment
/// after it let go of it.
pub(crate) fn open_journal(state: &StateDir) -> Result<Journal, Failure> {
    let began = Instant::now();
    loop {
        match Journal::open(&state.journal_dir()) {
            Err(JournalError::InUse(_)) if began.elapsed() < CLOSING_LIMIT => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened.map_err(|error| Failure::failed(format!("{error}."))),
        }
    }
}

pub(super) fn set_secret(config: &Config, disk: &str, from_file: Option<&Path>, json: bool) -> Result<(), Failure> {
    let state = StateDir::open(&config.state.dir)?;
    let port = port_of(config, &state, disk)?;
    let secret = match from_file {
        Some(file) => from_text(file)?,
        None => ask_twice(&port)?,
    };
    let told = store_secret(&state, &port, &secret)?;
    super::show(json, &serde_json::json!({ "port": port, "stored": true, "running_agent_told": told }), || {
        let next = if told { "The running agent uses them from now on." } else { "They are used when the agent starts." };
        format!("The passwords of {port} are stored. {next}")
    });
    Ok(())
}

/// Stores the passwords of a port and lifts what an earlier refusal stopped. Gives whether a running agent was told.
pub(crate) fn store_secret(state: &StateDir, port: &str, secret: &DiskSecret) -> Result<bool, Failure> {
    Secrets::of(state).set(port, secret)?;
    // If we stop here, the new password is stored and a stop still stands: the person runs this again.
    match ask(&state.socket(), &Question::SecretChanged { port: port.to_owned() })? {
        Some(Answer::Refused { text }) => Err(Failure::failed(format!("The passwords are stored. {text}"))),
        Some(_) => Ok(true),
        None => {
            let _lock = Lock::take(&state.lock_file())?;
            let record = Record::PasswordSet { port: port.to_owned() };
            open_journal(state)?
                .append(vec![record])
                .wait()
                .map_err(|error| Failure::failed(format!("The passwords are stored, but {error}.")))?;
            Ok(false)
        }
    }
}

/// The configured port that a port or a disk number means.
pub(super) fn port_of(config: &Config, state: &StateDir, disk: &str) -> Result<String, Failure> {
    if let Some(found) = config.disk.iter().find(|one| one.name() == disk) {
        return Ok(found.name());
    }
    if let Some(status) = running(state)?
        && let Some(found) = status.disks.iter().find(|one| one.report.as_ref().is_some_and(|report| report.disk == disk))
    {
        return Ok(found.port.clone());
    }
    let known = config.disk.iter().map(crate::config::DiskConfig::name).collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "none is configured".to_owned() } else { format!("configured are: {known}") };
    Err(Failure::usage(format!(
        "{disk} is neither a configured port nor the number of a disk that a running agent sees; {known}."
    )))
}

fn from_text(file: &Path) -> Result<DiskSecret, Failure> {
    let wrong = |error: std::io::Error| Failure::usage(format!("--from-file {} cannot be read ({error}).", file.display()));
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(SECRET_FILE_MAX_BYTES).read_to_string(&mut text).map_err(wrong)?;
    } else {
        std::fs::File::open(file).map_err(wrong)?.take(SECRET_FILE_MAX_BYTES).read_to_string(&mut text).map_err(wrong)?;
    }
    DiskSecret::parse(&text).map_err(Failure::usage)
}

fn ask_twice(port: &str) -> Result<DiskSecret, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "There is no terminal to ask at: give the passwords by --from-file FILE, or --from-file - for standard input.",
        ));
    }
    let disk_password = ask_hidden(&format!("Disk password (税控盘口令) of {port}: "))?;
    let certificate_password = ask_hidden(&format!("Certificate password (证书口令) of {port}: "))?;
    DiskSecret::new(&disk_password, &certificate_password).map_err(Failure::usage)
}

/// Asks at the terminal without echo. The terminal is put back whatever happens in between.
pub(crate) fn ask_hidden(prompt: &str) -> Result<String, Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::failed(format!("The terminal cannot be read ({error}): use --from-file."));
    let hidden = crate::platform::NoEcho::begin().map_err(|error| wrong(&error))?;
    eprint!("{prompt}");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().take(SECRET_FILE_MAX_BYTES).read_line(&mut line);
    drop(hidden);
    // The line end that was typed was not shown.
    eprintln!();
    read.map_err(|error| wrong(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

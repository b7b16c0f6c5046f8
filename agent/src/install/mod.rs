//! `taxdisk-agent install`: from a fresh PC to an agent that is proven to work, in one go: enrolment, disks, their passwords,
//! every check of the doctor, the service, and a round trip with each hop timed.
//!
//! It asks a person ([`people`]) or a file ([`answers`]) and does what the single commands do, in the same code. It may be run
//! again at any time: what is done already is left as it is. It never overwrites an identity and never writes a password
//! anywhere but into the state folder.

pub mod answers;
pub mod people;
mod proof;
mod settings;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use self::answers::{Answers, DiskAnswer};
use self::people::People;
use self::proof::Hop;
use crate::config::{Config, DEFAULT_PATH};
use crate::doctor::{Check, Outcome};
use crate::enroll::{Enrolment, enroll};
use crate::failure::{Exit, Failure};
use crate::identity::{Identity, StateDir};
use crate::platform;
use crate::ports::Port;
use crate::secrets::{DiskSecret, Secrets};

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Installed {
    /// The agent's id.
    pub agent: String,
    /// Address of the broker.
    pub broker: String,
    /// Ports of the disks, as configured.
    pub disks: Vec<String>,
    /// An agent runs and was asked.
    pub running: bool,
    /// The way from the broker to each disk.
    pub hops: Vec<Hop>,
    /// What is left to do for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What was asked for on the command line.
#[derive(Debug, Default)]
pub struct Order {
    /// The configuration; `None`: the usual one.
    pub config: Option<PathBuf>,
    /// Another state folder.
    pub state_dir: Option<PathBuf>,
    /// Answers that are known already.
    pub answers: Answers,
}

/// Installs, asking `people` for what the answers lack.
///
/// # Errors
/// One sentence: what is wrong, whose fault it is, what to do.
pub fn install(order: &Order, people: &mut dyn People) -> Result<Installed, Failure> {
    let file = order.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    // A host that has no configuration yet gets one as soon as there is something to write.
    let load = || {
        let path = order.config.as_deref().filter(|path| path.exists());
        Config::load(path, order.state_dir.as_deref())
    };
    let answers = &order.answers;
    let mut config = load()?;
    let state = StateDir::open(&config.state.dir)?;
    let agent = become_known(&config, &state, answers, people)?;

    let disks = answers.disk.iter().filter(|disk| config.disk.iter().all(|known| known.name() != disk.name)).collect::<Vec<_>>();
    if !disks.is_empty() {
        let sections: Vec<String> = disks.iter().map(|disk| disk.section.clone()).collect();
        settings::append(&file, &sections, order.state_dir.as_deref())?;
        config = load()?;
    } else if config.disk.is_empty() {
        let sections = settings::choose(&config, people)?;
        settings::append(&file, &sections, order.state_dir.as_deref())?;
        config = load()?;
    }
    passwords(&config, &state, &answers.disk, people)?;

    people.say("Checking the way from the broker to the disks …");
    proof::settle(&state)?;
    let checks = crate::doctor::examine(Ok(config.clone())).checks;
    if let Some(bad) = checks.iter().find(|check| check.outcome == Outcome::Failed) {
        state.give_back();
        return Err(sentence(bad));
    }
    state.give_back();
    let started = match answers.start {
        Some(false) => false,
        _ => platform::start_service(order.config.as_deref(), order.state_dir.as_deref(), &mut |text| people.say(text))?,
    };
    let (running, hops) = proof::of(&config, &state, &checks, started)?;
    state.give_back();
    let next = (!running).then(|| platform::how_to_start(&file, state.path()));
    let disks = config.disk.iter().map(crate::config::DiskConfig::name).collect();
    Ok(Installed { agent: agent.0, broker: agent.1, disks, running, hops, next })
}

/// Enrols, unless this PC is enrolled. Gives agent and broker.
fn become_known(
    config: &Config,
    state: &StateDir,
    answers: &Answers,
    people: &mut dyn People,
) -> Result<(String, String), Failure> {
    if let Some(known) = Identity::load(state)? {
        let (agent, broker) = (known.enrolled.agent.to_string(), known.enrolled.broker);
        people.say(&format!("This PC is agent {agent} of {broker} already."));
        return Ok((agent, broker));
    }
    let url = match answers.broker.clone().or_else(|| config.broker.url.clone()) {
        Some(url) => url,
        None => people.ask("broker", "Address of the broker (https://…)", None)?,
    };
    let code = match answers.code()? {
        Some(code) => code,
        None => people.ask("code", "Code from the broker's administrator (`taxdisk enrollment create`)", None)?,
    };
    let enrolment = Enrolment {
        url: &url,
        code: &code,
        name: answers.name.as_deref(),
        ca_file: answers.ca_file.as_deref().or(config.broker.ca_file.as_deref()),
        proxy: answers.proxy.as_deref().or(config.broker.proxy.as_deref()),
        force: false,
    };
    let began = Instant::now();
    let report = enroll(state, &enrolment);
    // As root in the service's folder: the service must be able to read its key whatever comes next.
    state.give_back();
    let report = report?;
    people.say(&format!("This PC is agent {} of {} now ({} ms).", report.agent, report.broker, began.elapsed().as_millis()));
    if report.waiting {
        people.say(&format!(
            "An administrator must approve it (`taxdisk agent approve {}`); the fingerprint of its key is {}.",
            report.agent, report.fingerprint
        ));
    }
    Ok((report.agent, report.broker))
}

/// Sets the passwords that are missing.
fn passwords(config: &Config, state: &StateDir, answers: &[DiskAnswer], people: &mut dyn People) -> Result<(), Failure> {
    let secrets = Secrets::of(state);
    for disk in &config.disk {
        let name = disk.name();
        let said = answers.iter().find(|answer| answer.name == name).and_then(|answer| answer.secret.clone());
        let known = Port::new(config, disk, &secrets).secret().is_ok();
        // A refusal that is on record is lifted by setting a password only, as by `disks secret set`.
        let secret = match (said, known) {
            (Some(secret), _) => secret,
            (None, true) => continue,
            (None, false) => {
                let disk = people.hidden("disk_password", &format!("Disk password (税控盘口令) of {name}"))?;
                let certificate = people.hidden("certificate_password", &format!("Certificate password (证书口令) of {name}"))?;
                DiskSecret::new(&disk, &certificate).map_err(Failure::usage)?
            }
        };
        crate::commands::store_secret(state, &name, &secret)?;
    }
    state.give_back();
    Ok(())
}

/// A failed check as the one sentence that a person gets.
fn sentence(check: &Check) -> Failure {
    let port = check.port.as_ref().map(|port| format!("{port}: ")).unwrap_or_default();
    let hint = check.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let text = format!("{port}{}{hint} [{}]", check.text.trim_end_matches('.'), check.code);
    let exit = if check.code.starts_with("config.") { Exit::Config } else { Exit::Failed };
    Failure { exit, text }
}

impl Installed {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for hop in &self.hops {
            text.push_str(&format!("  {:<34} {:>6} ms  {}\n", hop.hop, hop.ms, hop.text));
        }
        match (&self.next, self.running) {
            (Some(next), _) => text.push_str(&format!("Everything was checked and works.\n{next}")),
            (None, _) => {
                text.push_str(&format!("Installed: agent {} of {} works with {}.", self.agent, self.broker, self.disks()))
            }
        }
        text
    }

    fn disks(&self) -> String {
        self.disks.join(", ")
    }
}

//! What `disks --explain` asks of devices, and how passwords are kept safe from it.
//!
//! A password that a disk refused is never sent again before a person sets it: a refusal met here stops the agent's work on that
//! disk as durably as one met by the agent. Where an agent runs, it is asked, and its ports are left alone.

use taxdisk_drivers::discover::{Entry, Place, Prober, State};
use taxdisk_drivers::disk::DiskError;
use taxdisk_drivers::profile::Profile;
use taxdisk_protocol::class::DeviceClass;

use crate::config::{Config, Setup};
use crate::core::operation::What;
use crate::core::records::View;
use crate::journal::{Journal, Record};
use crate::ports::Port;
use crate::secrets::Secrets;
use crate::status::{DiskStatus, Status};

/// Looks at the disks of a PC.
pub struct PcProber<'a> {
    ports: Vec<Port>,
    secrets: Secrets,
    ground: Ground<'a>,
}

/// Who has the ports.
pub enum Ground<'a> {
    /// An agent runs: this is what it says.
    Agent(&'a Status),
    /// No agent runs, and none can start while this journal is open.
    Free(&'a Journal),
}

/// The configured disks, as a discovery takes them.
pub fn entries(config: &Config) -> Vec<Entry> {
    let entry = |disk| {
        let setup = config.setup(disk);
        Entry { place: setup.place, profile: setup.profile.name }
    };
    config.disk.iter().map(entry).collect()
}

impl<'a> PcProber<'a> {
    /// For this configuration.
    pub fn new(config: &Config, secrets: &Secrets, ground: Ground<'a>) -> PcProber<'a> {
        let ports = config.disk.iter().map(|disk| Port::new(config, disk, secrets)).collect();
        PcProber { ports, secrets: secrets.clone(), ground }
    }

    fn configured(&self, port: &Port, journal: &Journal) -> State {
        if let Some(text) = journal.password_stop(&port.name) {
            return State::WrongPassword { tries_left: None, detail: text };
        }
        if let Some(detail) = password_hold(journal, &port.name) {
            return State::Failed { detail };
        }
        let profile = &port.setup.profile;
        let secret = match port.secret() {
            Ok(secret) => secret,
            Err(why) => return self.without_password(port, &why.text),
        };
        let opened = port.way().and_then(|way| port.driver(way, Some(secret)));
        let mut driver = match opened {
            Ok(driver) => driver,
            Err(error) => return error.state(profile),
        };
        match driver.disk().identity() {
            Ok(identity) => {
                State::Usable { disk: Some(identity.disk.to_string()), taxpayer: Some(identity.taxpayer.to_string()) }
            }
            Err(error) => {
                keep_refusal(journal, &port.name, &error);
                State::of_disk(&error)
            }
        }
    }

    /// Only what a device tells without a password.
    fn without_password(&self, port: &Port, advice: &str) -> State {
        let advice = advice.to_owned();
        if !port.greets() {
            return State::NoPassword { disk: None, advice };
        }
        match port.bare() {
            Ok(mut driver) => match driver.greet() {
                Ok(disk) => State::NoPassword { disk: disk.map(|disk| disk.to_string()), advice },
                Err(error) => State::of_disk(&error),
            },
            Err(error) => error.state(&port.setup.profile),
        }
    }
}

impl Prober for PcProber<'_> {
    fn known(&mut self, entry: usize) -> Option<State> {
        let Ground::Agent(status) = &self.ground else { return None };
        let name = &self.ports.get(entry)?.name;
        Some(match status.disks.iter().find(|disk| disk.port == *name) {
            Some(disk) => reported(disk),
            None => {
                let detail = "the running agent does not know it yet: restart the agent".to_owned();
                State::Failed { detail }
            }
        })
    }

    fn probe(&mut self, place: &Place, profile: &Profile, entry: Option<usize>) -> State {
        let configured = entry.and_then(|entry| self.ports.get(entry));
        if let (Some(port), Ground::Free(journal)) = (configured, &self.ground) {
            return self.configured(port, journal);
        }
        let Some(dialect) = profile.dialect else {
            return State::Failed { detail: "its profile names no dialect".to_owned() };
        };
        let setup = Setup {
            place: place.clone(),
            profile: profile.clone(),
            dialect,
            speed_baud: profile.speed_baud().unwrap_or_default(),
            max_lines: 1,
            answer_timeout_ms: profile.timeouts.answer_ms,
            issuing: Default::default(),
            skserver: None,
            card: None,
        };
        let (name, secrets) = (place.to_string(), self.secrets.clone());
        let port = Port { name, setup, secrets, recordings: None, tape: Default::default(), journal: None };
        self.without_password(&port, "add it to the configuration first")
    }
}

/// What the running agent says of a disk.
fn reported(disk: &DiskStatus) -> State {
    if !disk.twins.is_empty() {
        return State::Duplicate { others: disk.twins.clone() };
    }
    match (&disk.report, &disk.trouble) {
        (_, Some(trouble)) if disk.class == Some(DeviceClass::BadPassword) => {
            State::WrongPassword { tries_left: None, detail: trouble.clone() }
        }
        (Some(report), None) => State::InUse { disk: Some(report.disk.clone()) },
        (_, Some(trouble)) => State::Failed { detail: trouble.clone() },
        (None, None) => State::InUse { disk: None },
    }
}

/// Why no command that carries a password may go through this port now: one was refused, or a change is open, and of two
/// passwords only the agent may find out which one is right, by one try of each.
pub(crate) fn password_hold(journal: &Journal, port: &str) -> Option<String> {
    if let Some(text) = journal.password_stop(port) {
        return Some(text);
    }
    let open = journal.open_operation_at(port).filter(|open| matches!(open.what, What::ChangePassword { .. }))?;
    Some(format!(
        "a change of its password ({}) is not settled yet: start the agent, which finds out which of the two is right",
        open.id
    ))
}

/// A refused password stops everything that would carry it, durably: tries are few.
pub(crate) fn keep_refusal(journal: &Journal, port: &str, error: &DiskError) {
    if error.class != DeviceClass::BadPassword {
        return;
    }
    // If we stop before this is durable, at the next look one more try is spent; there is no earlier place to write it.
    let text = match error.tries_left {
        Some(tries) => format!("{} ({tries} tries left)", error.text),
        None => error.text.clone(),
    };
    if let Err(error) = journal.append(vec![Record::PasswordStop { port: port.to_owned(), text }]).wait() {
        tracing::error!(port, %error, "the refused password could not be remembered");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    use taxdisk_drivers::discover::{Inventory, SerialSeen, explain};
    use taxdisk_drivers::profile::Profiles;

    use super::*;
    use crate::identity::StateDir;

    /// A port that records what is written to it, and its path. The slave is held open so that reading never ends early.
    fn recorder() -> (std::fs::File, std::fs::File, String) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        (std::fs::File::from(master), slave, path)
    }

    /// Looks at a PC with this one port, and gives all bytes that arrived at its other end.
    fn bytes_written(profiles: &[(&str, &str)]) -> (State, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("profiles");
        std::fs::create_dir(&own).unwrap();
        for (name, text) in profiles {
            std::fs::write(own.join(name), text).unwrap();
        }
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let journal = Journal::open(&state.journal_dir()).unwrap();
        let (mut master, _slave, path) = recorder();
        // As a common bridge shows itself, so that shipped profiles know it too.
        let seen = SerialSeen { path, usb: Some("1a86:7523".parse().unwrap()), ..SerialSeen::default() };
        let mut prober = PcProber::new(&Config::default(), &Secrets::of(&state), Ground::Free(&journal));
        let inventory = Inventory { serial: vec![seen], ..Inventory::default() };
        let mut found = explain(&inventory, &[], &Profiles::with_dir(&own).unwrap(), &mut prober);
        let mut bytes = vec![0; 4096];
        let count = master.read(&mut bytes).unwrap_or(0);
        bytes.truncate(count);
        (found.remove(0).state, bytes)
    }

    #[test]
    fn a_port_that_no_profile_allows_gets_no_byte() {
        let (state, bytes) = bytes_written(&[]);
        assert!(matches!(state, State::NotConfigured { .. }), "{state:?}");
        assert_eq!(bytes, b"");
    }

    #[test]
    fn a_component_gets_no_document_before_its_passwords_are_set() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let journal = Journal::open(&state.journal_dir()).unwrap();
        let component = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        component.set_nonblocking(true).unwrap();
        let url = format!("http://{}/bridge", component.local_addr().unwrap());
        let disk = crate::config::DiskConfig { url: Some(url), profile: Some("nisec-bridge".into()), ..Default::default() };
        let config = Config { disk: vec![disk], ..Config::default() };
        let secrets = Secrets::of(&state);
        let mut prober = PcProber::new(&config, &secrets, Ground::Free(&journal));
        let found = explain(&Inventory::default(), &entries(&config), &config.known, &mut prober);
        assert!(matches!(found[0].state, State::NoPassword { .. }), "{found:?}");
        assert_eq!(component.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody connected");
        // The place where it is refused, whoever asks.
        let port = Port::new(&config, &config.disk[0], &secrets);
        assert!(port.bare().is_err());
    }

    #[test]
    fn a_port_that_a_profile_allows_is_asked_without_any_password() {
        // Proves that the recorder of the test above would have seen a byte.
        let text = "name = \"mine\"\nextends = \"zc-converter\"\n[match]\nports = [\"/dev/pts/*\"]\nprobe = true\n\
                    [timeouts]\nanswer_ms = 100\nnetwork_ms = 100\nsilence_ms = 10\n";
        let began = Instant::now();
        let (state, bytes) = bytes_written(&[("mine.toml", text)]);
        assert!(matches!(state, State::Silent { .. }), "{state:?}");
        assert_eq!(bytes[..3], [0x1b, 0x10, 0x01], "a look begins with the one command that is harmless");
        assert!(began.elapsed() < Duration::from_secs(30), "the profile's times are used");
    }
}

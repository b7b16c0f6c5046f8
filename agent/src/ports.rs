//! From a `[[disk]]` of the configuration to a driver: the one place that knows which dialect needs what.
//!
//! It refuses to open a disk without passwords: a device answers nothing useful without them, and a command with an empty
//! password may cost one of the few tries. [`Port::bare`] is for looking only, with commands that carry none.

use std::time::Duration;

use taxdisk_drivers::dialects::bot::{self, BotConfig, BotDisk};
use taxdisk_drivers::dialects::card::{self, CardConfig, CardDisk};
use taxdisk_drivers::dialects::nisec::{NisecConfig, NisecDisk};
use taxdisk_drivers::dialects::skserver::{SkServerConfig, SkServerDisk};
use taxdisk_drivers::dialects::zc::config::Framing;
use taxdisk_drivers::dialects::zc::exchange::Timings;
use taxdisk_drivers::dialects::zc::{ZcConfig, ZcDisk, redact_frame};
use taxdisk_drivers::discover::{Place, State};
use taxdisk_drivers::disk::{DiskError, TaxDisk};
use taxdisk_drivers::profile::{Dialect, Profile};
use taxdisk_drivers::secret::Secret;
use taxdisk_drivers::transport::LineError;
use taxdisk_drivers::transport::document::{CommandLink, DocumentLink, HttpLink, RecordedDocuments};
use taxdisk_drivers::transport::record::Recorded;
use taxdisk_drivers::transport::ring::Tape;
use taxdisk_drivers::transport::serial::SerialLine;
use taxdisk_drivers::transport::usb::real::UsbDevice;
use taxdisk_drivers::transport::usb::record::RecordedUsb;
use taxdisk_drivers::transport::usb::{BulkDevice, UsbError};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;

use crate::config::{CardSetup, Config, DiskConfig, Setup, SkServerSetup};
use crate::core::ladder::Rules;
use crate::journal::Journal;
use crate::known::known_request;
use crate::recording::Recordings;
use crate::secrets::{DiskSecret, Secrets};
use crate::worker::{Opener, Why};

/// Opens one configured disk.
#[derive(Debug)]
pub struct Port {
    /// As configured: the name under which passwords and password stops are kept.
    pub name: String,
    /// Its usable values.
    pub setup: Setup,
    /// Where its passwords are.
    pub secrets: Secrets,
    /// Where recordings are kept; `None`: it is only looked at.
    pub recordings: Option<Recordings>,
    /// What went over its line lately.
    pub tape: Tape,
    /// Read for an invoice on which a component can prove its queries; `None`: nothing is proven.
    pub journal: Option<Journal>,
}

/// Why a disk does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The line says so.
    Line(LineError),
    /// The USB device says so.
    Usb(UsbError),
    /// A driver that is not over a line says so, or there is none.
    Other(Why),
}

impl OpenError {
    /// Class and text.
    pub fn why(&self) -> Why {
        match self {
            OpenError::Line(error) => {
                let class = match error {
                    LineError::NotFound { .. } | LineError::Gone { .. } => DeviceClass::NotPresent,
                    _ => DeviceClass::Link,
                };
                Why { class, text: error.to_string() }
            }
            OpenError::Usb(error) => {
                let class = if error.is_absence() { DeviceClass::NotPresent } else { DeviceClass::Link };
                Why { class, text: error.to_string() }
            }
            OpenError::Other(why) => why.clone(),
        }
    }

    /// Somebody else has it.
    pub fn is_busy(&self) -> bool {
        matches!(self, OpenError::Line(LineError::Busy { .. }) | OpenError::Usb(UsbError::Busy { .. }))
    }

    /// What it means for a discovery.
    pub fn state(&self, profile: &Profile) -> State {
        match self {
            OpenError::Line(error) => State::of_line(error, profile),
            OpenError::Usb(error) => State::of_usb(error, profile),
            OpenError::Other(why) if why.class == DeviceClass::NotPresent => State::Absent,
            OpenError::Other(why) => State::Failed { detail: why.text.clone() },
        }
    }
}

/// An open disk. What can be asked without a password differs by dialect.
pub enum Driver {
    /// A converter tells its disk's number without a password.
    Zc(Box<ZcDisk<SerialLine>>),
    /// So does a USB disk.
    Bot(Box<BotDisk<UsbDevice>>),
    /// Any other disk tells at least that it is there.
    Other(Box<dyn TaxDisk>),
}

impl Driver {
    /// Asks, without any password, whether somebody answers and, where the dialect can, which disk it is.
    ///
    /// # Errors
    /// As the device or the line says.
    pub fn greet(&mut self) -> Result<Option<DiskNumber>, DiskError> {
        match self {
            Driver::Zc(disk) => disk.number().map(Some),
            Driver::Bot(disk) => disk.number().map(Some),
            Driver::Other(disk) => disk.handshake().map(|()| None),
        }
    }

    /// The disk.
    pub fn disk(&mut self) -> &mut dyn TaxDisk {
        match self {
            Driver::Zc(disk) => &mut **disk,
            Driver::Bot(disk) => &mut **disk,
            Driver::Other(disk) => &mut **disk,
        }
    }

    /// The disk alone.
    pub fn into_disk(self) -> Box<dyn TaxDisk> {
        match self {
            Driver::Zc(disk) => disk,
            Driver::Bot(disk) => disk,
            Driver::Other(disk) => disk,
        }
    }
}

impl Port {
    /// The port of a configured disk.
    pub fn new(config: &Config, disk: &DiskConfig, secrets: &Secrets) -> Port {
        Port {
            name: disk.name(),
            setup: config.setup(disk),
            secrets: secrets.clone(),
            recordings: Some(Recordings::of(&config.state.dir)),
            tape: Tape::default(),
            journal: None,
        }
    }

    /// The same, with what this agent knows of its disks.
    pub fn knowing(self, journal: Journal) -> Port {
        Port { journal: Some(journal), ..self }
    }

    /// The passwords of this disk.
    ///
    /// # Errors
    /// None were set, or they cannot be read.
    pub fn secret(&self) -> Result<DiskSecret, Why> {
        let name = &self.name;
        if self.setup.card.as_ref().is_some_and(|card| !card.pin) {
            // A card that asks for no PIN: nothing is kept, and nothing is shown to it.
            return Ok(DiskSecret { disk_password: Secret::default(), certificate_password: Secret::default() });
        }
        match self.secrets.find(name) {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(Why {
                class: DeviceClass::BadPassword,
                text: format!("No passwords are set for {name}: run `taxdisk-agent disks secret set {name}`."),
            }),
            Err(failure) => Err(Why { class: DeviceClass::BadPassword, text: failure.text }),
        }
    }

    /// Opens the way to the disk, without passwords yet.
    ///
    /// # Errors
    /// Not there, held, not permitted, not what the profile says.
    pub fn way(&self) -> Result<Way, OpenError> {
        match &self.setup.place {
            Place::Serial(path) => SerialLine::open(path, self.setup.speed_baud).map(Way::Line).map_err(OpenError::Line),
            Place::Usb(selector) => {
                UsbDevice::open(selector.clone()).map(|device| Way::Usb(Box::new(device))).map_err(OpenError::Usb)
            }
            // Nothing is opened yet: each document has its own connection, or its own process.
            Place::Url(url) => Ok(Way::Documents(Box::new(HttpLink::new(url.clone())))),
            Place::Command(words) => {
                let (program, arguments) = words.split_first().ok_or_else(|| self.not_driven())?;
                Ok(Way::Documents(Box::new(CommandLink::new(program, arguments.iter().cloned()))))
            }
        }
    }

    /// The driver over an open way. `None`: only commands without passwords may be sent.
    ///
    /// # Errors
    /// The dialect is not driven by this release.
    pub fn driver(&self, way: Way, secret: Option<DiskSecret>) -> Result<Driver, OpenError> {
        if secret.is_none() && !self.greets() {
            // Every command would carry an empty password, and cost a try.
            let text = format!("{} cannot be asked anything before its passwords are set.", self.name);
            return Err(OpenError::Other(Why { class: DeviceClass::BadPassword, text }));
        }
        match (self.setup.dialect, way) {
            (Dialect::Zc, Way::Line(line)) => Ok(Driver::Zc(Box::new(ZcDisk::new(line, self.zc(secret))))),
            (Dialect::Card, Way::Line(line)) => Ok(Driver::Other(Box::new(CardDisk::new(line, self.card(secret))))),
            (Dialect::Bot, Way::Usb(device)) => Ok(Driver::Bot(Box::new(BotDisk::new(*device, self.bot(secret))))),
            (Dialect::Nisec, Way::Documents(link)) => Ok(Driver::Other(Box::new(NisecDisk::new(link, self.nisec(secret))))),
            (Dialect::Skserver, Way::Documents(link)) => {
                let server = self.setup.skserver.as_ref().ok_or_else(|| self.not_driven())?;
                Ok(Driver::Other(Box::new(SkServerDisk::new(link, self.skserver(server, secret)))))
            }
            // The profile's check keeps these apart.
            (_, Way::Line(_) | Way::Usb(_) | Way::Documents(_)) => Err(self.not_driven()),
        }
    }

    /// The driver over an open way with a recorder between.
    fn recorded(&self, way: Way, secret: DiskSecret) -> Result<Box<dyn TaxDisk>, OpenError> {
        let tape = self.tape.clone();
        let sink = move |entry| tape.push(entry);
        let secret = Some(secret);
        match (self.setup.dialect, way) {
            (Dialect::Zc, Way::Line(line)) => Ok(Box::new(ZcDisk::new(Recorded::new(line, redact_frame, sink), self.zc(secret)))),
            (Dialect::Card, Way::Line(line)) => {
                Ok(Box::new(CardDisk::new(Recorded::new(line, card::redact_frame, sink), self.card(secret))))
            }
            (Dialect::Bot, Way::Usb(device)) => {
                Ok(Box::new(BotDisk::new(RecordedUsb::new(*device, bot::mask_command, sink), self.bot(secret))))
            }
            (_, Way::Documents(link)) => {
                let link: Box<dyn DocumentLink> = Box::new(RecordedDocuments::new(link, sink));
                self.driver(Way::Documents(link), secret).map(Driver::into_disk)
            }
            (_, way) => self.driver(way, secret).map(Driver::into_disk),
        }
    }

    /// Whether the dialect has a command without a password by which a device shows that it is there.
    pub fn greets(&self) -> bool {
        match self.setup.dialect {
            Dialect::Zc | Dialect::Card | Dialect::Bot => true,
            Dialect::Skserver | Dialect::Nisec => false,
        }
    }

    /// Opens the disk for looking, without passwords.
    ///
    /// # Errors
    /// As [`Port::way`] and [`Port::driver`].
    pub fn bare(&self) -> Result<Driver, OpenError> {
        self.driver(self.way()?, None)
    }

    /// What may be tried when the disk stops answering.
    pub fn recovery(&self) -> Rules {
        // A command may run as long as the driver waits for it under this configuration, whatever the profile says.
        let waits = match self.setup.dialect {
            Dialect::Zc => self.zc(None).timings.longest_command(),
            Dialect::Card => self.card(None).timings.longest_command(),
            Dialect::Bot => self.bot(None).timings.longest_command(),
            Dialect::Nisec | Dialect::Skserver => self.times().1,
        };
        let waits_ms = u64::try_from(waits.as_millis()).unwrap_or(u64::MAX);
        let longest_ms = u64::from(self.setup.profile.timeouts.longest_ms).max(waits_ms);
        Rules { longest_ms, can_reset: matches!(self.setup.place, Place::Usb(_)) }
    }

    /// The configuration refuses such a dialect, so this is for a release that forgot an arm.
    fn not_driven(&self) -> OpenError {
        let text = format!("{} is not driven by this release: update the agent.", self.setup.dialect.name());
        OpenError::Other(Why { class: DeviceClass::Unsupported, text })
    }

    fn card(&self, secret: Option<DiskSecret>) -> CardConfig {
        let byte = Duration::from_millis(self.setup.answer_timeout_ms.into());
        let usual = card::link::Timings::default();
        let timings = card::link::Timings {
            byte,
            answer: usual.answer.max(byte),
            silence: Duration::from_millis(self.setup.profile.timeouts.silence_ms.into()),
            ..usual
        };
        let pin = secret.map(|secret| secret.disk_password).unwrap_or_default();
        let config = CardConfig { pin, timings, ..CardConfig::default() };
        match self.setup.card.clone() {
            Some(CardSetup { kind, tax_indexes, pin_id, content_is_printed_elsewhere, .. }) => {
                CardConfig { kind, tax_indexes, pin_id, content_is_printed_elsewhere, ..config }
            }
            // Only a look at a card that nobody configured.
            None => config,
        }
    }

    /// Times for reading and for changing commands.
    fn times(&self) -> (Duration, Duration) {
        let answer = Duration::from_millis(self.setup.answer_timeout_ms.into());
        (answer, answer.max(Duration::from_millis(self.setup.profile.timeouts.network_ms.into())))
    }

    fn bot(&self, secret: Option<DiskSecret>) -> BotConfig {
        let (answer, network) = self.times();
        let (disk_password, certificate_password) = passwords(secret);
        BotConfig {
            disk_password,
            certificate_password,
            issuing: self.setup.issuing.issuing(),
            max_lines: self.setup.max_lines,
            token_floor: token_floor(),
            timings: bot::Timings { answer, network, ..bot::Timings::default() },
            ..BotConfig::default()
        }
    }

    fn nisec(&self, secret: Option<DiskSecret>) -> NisecConfig {
        let (read_timeout, change_timeout) = self.times();
        let (disk_password, certificate_password) = passwords(secret);
        NisecConfig {
            disk_password,
            certificate_password,
            issuing: self.setup.issuing.issuing(),
            max_lines: self.setup.max_lines,
            read_timeout,
            change_timeout,
        }
    }

    /// 税控钥匙 has one password; it is kept where other disks have that of their certificate.
    fn skserver(&self, server: &SkServerSetup, secret: Option<DiskSecret>) -> SkServerConfig {
        let (read_timeout, change_timeout) = self.times();
        let (disk, kinds) = server.disk();
        SkServerConfig {
            known_request: self.journal.as_ref().and_then(|journal| known_request(journal, disk, kinds)),
            key_password: passwords(secret).1,
            issuing: self.setup.issuing.issuing(),
            max_lines: self.setup.max_lines,
            read_timeout,
            change_timeout,
            ..server.config()
        }
    }

    fn zc(&self, secret: Option<DiskSecret>) -> ZcConfig {
        let profile = &self.setup.profile;
        let network = Duration::from_millis(profile.timeouts.network_ms.into());
        let timings = Timings {
            first_byte: Duration::from_millis(self.setup.answer_timeout_ms.into()),
            answer: network.max(Duration::from_millis(self.setup.answer_timeout_ms.into())),
            silence: Duration::from_millis(profile.timeouts.silence_ms.into()),
            ..Timings::default()
        };
        let framing = match profile.framing {
            Some(taxdisk_drivers::profile::Framing::ZcXml) => Framing::Xml,
            _ => Framing::Fixed,
        };
        let config = ZcConfig {
            framing,
            max_lines: self.setup.max_lines,
            red_sign: profile.quirks.red_sign,
            timings,
            ..ZcConfig::default()
        };
        match secret {
            Some(DiskSecret { disk_password, certificate_password, .. }) => {
                ZcConfig { disk_password, certificate_password, ..config }
            }
            None => config,
        }
    }
}

/// An open way to a disk.
pub enum Way {
    /// A serial port.
    Line(SerialLine),
    /// A USB device.
    Usb(Box<UsbDevice>),
    /// A component.
    Documents(Box<dyn DocumentLink>),
}

/// A number above the tokens of all commands before, as long as there was no more than one a second: the disk's own word counts
/// if it is larger. A PC that was restored from a backup begins above its old tokens too.
fn token_floor() -> u32 {
    const START_OF_2026_S: i64 = 1_767_225_600;
    u32::try_from(jiff::Timestamp::now().as_second().saturating_sub(START_OF_2026_S)).unwrap_or(0)
}

impl Opener for Port {
    fn keep_recording(&mut self, why: &str) -> Option<String> {
        self.recordings.as_ref()?.keep(&self.name, self.setup.dialect, why, &self.tape)
    }

    fn passwords(&self) -> Option<(&Secrets, String)> {
        Some((&self.secrets, self.name.clone()))
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, Why> {
        // The way first: for a port that is not there, nobody needs to hear of passwords.
        let way = self.way().map_err(|error| error.why())?;
        let secret = self.secret()?;
        if self.recordings.as_ref().is_some_and(Recordings::is_on) {
            return self.recorded(way, secret).map_err(|error| error.why());
        }
        let driver = self.driver(way, Some(secret)).map_err(|error| error.why())?;
        Ok(driver.into_disk())
    }

    fn reset(&mut self) -> Result<(), Why> {
        let Place::Usb(selector) = &self.setup.place else {
            return Err(Why { class: DeviceClass::Unsupported, text: "only a USB device can be reset".to_owned() });
        };
        let reset = UsbDevice::open(selector.clone()).and_then(|mut device| device.usb_reset());
        match reset {
            // It comes back as a device that was just plugged in, and is opened as one.
            Ok(()) | Err(UsbError::Gone { .. }) => Ok(()),
            Err(error) => Err(OpenError::Usb(error).why()),
        }
    }
}

/// Both passwords; empty where only commands without any are to be sent.
fn passwords(secret: Option<DiskSecret>) -> (Secret, Secret) {
    secret.map_or_else(Default::default, |secret| (secret.disk_password, secret.certificate_password))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::identity::StateDir;

    fn port(text: &str) -> (tempfile::TempDir, Port) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let disk: DiskConfig = toml::from_str(text).unwrap();
        let config = Config { disk: vec![disk], ..Config::default() };
        let port = Port::new(&config, &config.disk[0], &Secrets::of(&state));
        (dir, port)
    }

    #[test]
    fn recovery_goes_by_the_profile_and_only_usb_is_reset() {
        let (_dir, mut serial) = port("port = \"/dev/no-such-port\"");
        // A report may go over the network, and its answer may drip: longer than the profile's 180 s.
        assert_eq!(serial.recovery(), Rules { longest_ms: 384_000, can_reset: false });
        assert_eq!(serial.reset().unwrap_err().class, DeviceClass::Unsupported);
        assert_eq!(Opener::open(&mut serial).err().unwrap().class, DeviceClass::NotPresent);
        let (_dir, mut usb) = port("usb = \"1209:0001/nothing-has-this-number\"");
        assert!(usb.recovery().can_reset);
        let absent = Opener::open(&mut usb).err().unwrap();
        assert_eq!(absent.class, DeviceClass::NotPresent, "{absent:?}");
        assert!(usb.reset().is_err());
        let card = "port = \"/dev/a\"\nprofile = \"card-reader\"\n[card]\npin = false\ntax_indexes = { \"1\" = \"0.13\" }";
        let (_dir, card) = port(card);
        // A minute by its profile; its answer may be waited for three times, 39 s.
        assert_eq!(card.recovery().longest_ms, 60_000);
        let slow = "port = \"/dev/a\"\nprofile = \"card-reader\"\nanswer_timeout_ms = 60000\n\
                    [card]\npin = false\ntax_indexes = { \"1\" = \"0.13\" }";
        assert_eq!(self::port(slow).1.recovery().longest_ms, 189_000, "three answers of 60 s, and 3 s to write each request");
        assert!(card.secret().unwrap().disk_password.is_empty(), "a card without a PIN needs none");
    }

    #[test]
    fn every_dialect_has_a_driver_and_asks_for_passwords_first() {
        let server = "profile = \"skserver\"\n[skserver]\nterminal = \"1\"\ndisk = \"661500000001\"\ntaxpayer = \"91110000MA0000001L\"\n\
                      taxpayer_name = \"示例\"\nkinds = [\"007\"]";
        for (text, greets) in [
            ("url = \"http://127.0.0.1:1/bridge\"\nprofile = \"nisec-bridge\"".to_owned(), false),
            (format!("url = \"http://127.0.0.1:1/SKServer/SKDo\"\n{server}"), false),
        ] {
            let (_dir, port) = port(&text);
            assert_eq!(port.greets(), greets, "{text}");
            assert!(matches!(port.bare(), Err(OpenError::Other(why)) if why.class == DeviceClass::BadPassword), "{text}");
            let secret = DiskSecret::new("88888888", "12345678").unwrap();
            let driver = port.driver(port.way().unwrap(), Some(secret)).unwrap();
            assert_eq!(driver.into_disk().dialect(), port.setup.dialect.name());
        }
        assert!(token_floor() > 0);
    }
}

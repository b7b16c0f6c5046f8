//! One `[[disk]]`: where it is, which profile it has, and the values that it changes.
//!
//! [`DiskConfig::setup`] turns it into values that can be used, or says which word of it is wrong. It opens nothing.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taxdisk_drivers::discover::Place;
use taxdisk_drivers::profile::{Dialect, Profile, Profiles, Transport};
use taxdisk_drivers::transport::usb::real::BadSelector;

use taxdisk_protocol::ids::TaxpayerNumber;

use super::card::{CardSection, CardSetup};
use super::component::{IssuingSection, SkServerSection, SkServerSetup};

/// Dialects that this release drives.
pub const DIALECTS: [Dialect; 5] = Dialect::ALL;
/// Speeds that the serial converters know, bit/s (device-serial-zc.md, section 1).
pub const SPEEDS: [u32; 9] = [300, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115_200];
/// Half a second is longer than any line turns round; above three minutes even network commands have ended.
const ANSWER_TIMEOUT_MS: std::ops::RangeInclusive<u32> = 500..=180_000;
/// The most lines that any dialect can print on one invoice.
pub const MAX_LINES: u16 = 100;
/// Lines of one invoice where neither configuration nor profile says.
const USUAL_LINES: u16 = 10;
/// Speed of a wired converter as delivered, where neither configuration nor profile says.
const USUAL_SPEED: u32 = 9600;

/// One disk at this PC. Exactly one of `port`, `usb`, `url` and `command` says where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskConfig {
    /// Device file of the serial port. A name under `/dev/serial/by-id/` survives replugging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PathBuf>,
    /// USB device: `vid:pid`; `vid:pid/serial number` or `vid:pid@bus path` where several of a kind are plugged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usb: Option<String>,
    /// Address of a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Program of a component, and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Name of the device's profile; left out: the usual one of the dialect, or of the way to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Command language; left out: the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// Speed of the line, bit/s; left out: the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<u32>,
    /// The most lines of one invoice, as this device is set up; left out: the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lines: Option<u16>,
    /// How long the disk may think before the first byte of an answer, milliseconds; left out: the profile's. Too short costs
    /// a settling, never an invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_timeout_ms: Option<u32>,
    /// What every full invoice says besides its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuing: Option<IssuingSection>,
    /// What an invoicing server does not tell of the disk behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skserver: Option<SkServerSection>,
    /// What a fiscal card does not tell of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<CardSection>,
    /// Taxpayer number (纳税人识别号) of the seller whose disk is expected here; `doctor` and `install` tell when it is another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taxpayer: Option<String>,
    /// No other program uses this disk. Only then is equal content proof without a mark (I10).
    #[serde(default)]
    pub exclusive: bool,
}

/// A `[[disk]]` with its profile, ready for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Where it is.
    pub place: Place,
    /// Its profile.
    pub profile: Profile,
    /// Its command language.
    pub dialect: Dialect,
    /// Speed of the line, baud. Means nothing where there is no line.
    pub speed_baud: u32,
    /// The most lines of one invoice.
    pub max_lines: u16,
    /// Time to the first byte of an answer, milliseconds.
    pub answer_timeout_ms: u32,
    /// What every full invoice says besides its content.
    pub issuing: IssuingSection,
    /// Of an invoicing server.
    pub skserver: Option<SkServerSetup>,
    /// Of a fiscal card.
    pub card: Option<CardSetup>,
}

impl DiskConfig {
    /// The name under which its passwords are kept: the place as configured.
    pub fn name(&self) -> String {
        match (&self.port, &self.usb, &self.url, &self.command) {
            (Some(port), ..) => port.to_string_lossy().into_owned(),
            (_, Some(usb), ..) => format!("usb:{usb}"),
            (_, _, Some(url), _) => url.clone(),
            (.., Some(command)) => command.join(" "),
            (None, None, None, None) => String::new(),
        }
    }

    /// The usable values of it.
    ///
    /// # Errors
    /// What is wrong, beginning with `[[disk]]`.
    pub fn setup(&self, profiles: &Profiles) -> Result<Setup, String> {
        let place = self.place()?;
        let name = self.name();
        let wrong = |what: String| format!("[[disk]] {name}: {what}");
        if let Some(taxpayer) = &self.taxpayer {
            // As disks tell them: some have a number whose check character is wrong.
            TaxpayerNumber::from_device(taxpayer).map_err(|error| wrong(format!("taxpayer: {error}.")))?;
        }
        let profile = self.profile(&place, profiles).map_err(wrong)?;
        if let Some(advice) = &profile.detection_only {
            return Err(wrong(format!("profile {:?} is for detection only; {advice}.", profile.name)));
        }
        let transport = match place {
            Place::Serial(_) => Transport::Serial,
            Place::Usb(_) => Transport::Usb,
            Place::Url(_) => Transport::Http,
            Place::Command(_) => Transport::Command,
        };
        if profile.transport != transport {
            let key = key_of(profile.transport);
            return Err(wrong(format!("profile {:?} is for devices that are named by {key} = ….", profile.name)));
        }
        // A profile that is driven has one; parsing it checked that.
        let dialect = profile.dialect.ok_or_else(|| wrong(format!("profile {:?} names no dialect.", profile.name)))?;
        if let Some(said) = self.dialect.as_ref().filter(|said| said.as_str() != dialect.name()) {
            return Err(wrong(format!("dialect {said:?} is not that of profile {:?} ({}).", profile.name, dialect.name())));
        }
        if !DIALECTS.contains(&dialect) {
            return Err(wrong(format!("dialect {:?} is not driven by this release; {}.", dialect.name(), known_dialects())));
        }
        let speed_baud = self.speed.or(profile.speed_baud()).unwrap_or(USUAL_SPEED);
        if self.speed.is_some() && transport != Transport::Serial {
            return Err(wrong("only a serial line has a speed.".into()));
        }
        if !SPEEDS.contains(&speed_baud) {
            return Err(wrong(format!("speed {speed_baud} is none of {SPEEDS:?}.")));
        }
        let answer_timeout_ms = self.answer_timeout_ms.unwrap_or(profile.timeouts.answer_ms);
        if !ANSWER_TIMEOUT_MS.contains(&answer_timeout_ms) {
            let (least, most) = (ANSWER_TIMEOUT_MS.start(), ANSWER_TIMEOUT_MS.end());
            return Err(wrong(format!("answer_timeout_ms must be from {least} to {most}.")));
        }
        let max_lines = self.max_lines.or(profile.quirks.max_lines).unwrap_or(USUAL_LINES);
        if !(1..=MAX_LINES).contains(&max_lines) {
            return Err(wrong(format!("max_lines must be from 1 to {MAX_LINES}.")));
        }
        let card = match (&self.card, dialect) {
            (Some(card), Dialect::Card) => Some(card.parse().map_err(wrong)?),
            (None, Dialect::Card) => return Err(wrong("[disk.card] tax_indexes is missing.".into())),
            (Some(_), _) => return Err(wrong("[disk.card] is for fiscal cards only.".into())),
            (None, _) => None,
        };
        let skserver = match (&self.skserver, dialect) {
            (Some(server), Dialect::Skserver) => Some(server.parse().map_err(wrong)?),
            (None, Dialect::Skserver) => {
                return Err(wrong("[disk.skserver] is missing: the server does not tell whose disk it has.".into()));
            }
            (Some(_), _) => return Err(wrong("[disk.skserver] is for invoicing servers only.".into())),
            (None, _) => None,
        };
        if self.issuing.is_some() && matches!(dialect, Dialect::Zc | Dialect::Card) {
            return Err(wrong(format!("[disk.issuing]: dialect {:?} has no place for it.", dialect.name())));
        }
        let issuing = self.issuing.clone().unwrap_or_default();
        issuing.check().map_err(wrong)?;
        Ok(Setup { place, profile: profile.clone(), dialect, speed_baud, max_lines, answer_timeout_ms, issuing, skserver, card })
    }

    /// Fills in what was left out, so that a person sees what is used.
    pub(super) fn fill(&mut self, setup: &Setup) {
        self.profile = Some(setup.profile.name.clone());
        self.dialect = Some(setup.dialect.name().to_owned());
        self.speed = matches!(setup.place, Place::Serial(_)).then_some(setup.speed_baud);
        self.max_lines = Some(setup.max_lines);
        self.answer_timeout_ms = Some(setup.answer_timeout_ms);
    }

    fn place(&self) -> Result<Place, String> {
        let ways = [self.port.is_some(), self.usb.is_some(), self.url.is_some(), self.command.is_some()];
        if ways.iter().filter(|given| **given).count() != 1 {
            return Err("[[disk]] needs exactly one of port, usb, url and command.".to_owned());
        }
        if let Some(port) = &self.port {
            crate::platform::check_port_name(&port.to_string_lossy())?;
            return Ok(Place::Serial(self.name()));
        }
        if let Some(usb) = &self.usb {
            return usb.parse().map(Place::Usb).map_err(|error: BadSelector| format!("[[disk]] usb = {error}."));
        }
        if let Some(url) = &self.url {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(format!("[[disk]] url = {url:?} must begin with http:// or https://."));
            }
            return Ok(Place::Url(url.clone()));
        }
        let words = self.command.clone().unwrap_or_default();
        if words.first().is_none_or(|program| !Path::new(program).is_absolute()) {
            return Err("[[disk]] command must begin with the full path of a program.".to_owned());
        }
        Ok(Place::Command(words))
    }

    fn profile<'a>(&self, place: &Place, profiles: &'a Profiles) -> Result<&'a Profile, String> {
        let find = |name: &str| {
            profiles.find(name).ok_or_else(|| format!("there is no profile {name:?}; known are: {}.", profiles.names()))
        };
        if let Some(name) = &self.profile {
            return find(name);
        }
        let dialect = match &self.dialect {
            Some(said) => Some(Dialect::of(said).ok_or_else(|| format!("dialect {said:?} is unknown; {}.", known_dialects()))?),
            None => None,
        };
        match (dialect, place) {
            (Some(Dialect::Zc), _) | (None, Place::Serial(_)) => find("zc-converter"),
            (Some(Dialect::Card), _) => find("card-reader"),
            (Some(Dialect::Bot), _) | (None, Place::Usb(_)) => find("taxdisk-bot"),
            (Some(Dialect::Skserver), _) => find("skserver"),
            (Some(Dialect::Nisec), Place::Command(_)) => find("nisec-library"),
            (Some(Dialect::Nisec), _) => find("nisec-bridge"),
            (None, Place::Url(_) | Place::Command(_)) => {
                Err("name its profile: an address does not tell what answers there.".into())
            }
        }
    }
}

fn known_dialects() -> String {
    format!("this release knows: {}", DIALECTS.map(Dialect::name).join(", "))
}

fn key_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Serial => "port",
        Transport::Usb => "usb",
        Transport::Http => "url",
        Transport::Command => "command",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn setup(text: &str) -> Result<Setup, String> {
        toml::from_str::<DiskConfig>(text).unwrap().setup(&Profiles::shipped())
    }

    #[test]
    fn an_old_entry_and_a_profile_fill_the_rest() {
        let old = setup("port = \"/dev/ttyUSB0\"").unwrap();
        assert_eq!((old.profile.name.as_str(), old.dialect, old.speed_baud), ("zc-converter", Dialect::Zc, 9600));
        assert_eq!((old.max_lines, old.answer_timeout_ms), (10, 30_000));
        let blue = setup("port = \"/dev/rfcomm0\"\nprofile = \"zc-bluetooth\"\nmax_lines = 4").unwrap();
        assert_eq!((blue.speed_baud, blue.max_lines), (115_200, 4));
        let said = setup("port = \"/dev/ttyS0\"\ndialect = \"zc\"\nspeed = 57600\nanswer_timeout_ms = 700").unwrap();
        assert_eq!((said.speed_baud, said.answer_timeout_ms), (57_600, 700));
    }

    #[test]
    fn a_card_has_its_tax_indexes() {
        let text = "port = \"/dev/a\"\nprofile = \"card-reader\"\n[card]\nkind = \"025\"\ntax_indexes = { \"1\" = \"0.13\", \"2\" = \"0.06\" }\npin_id = 1";
        let card = setup(text).unwrap().card.unwrap();
        assert_eq!(card.tax_indexes, [(1, "0.13".parse().unwrap()), (2, "0.06".parse().unwrap())]);
        assert!(card.pin && card.pin_id == 1 && !card.content_is_printed_elsewhere);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for (text, part) in [
            ("", "exactly one"),
            ("port = \"/dev/a\"\nurl = \"http://a\"", "exactly one"),
            ("port = \"/dev/a\"\nprofile = \"nothing\"", "zc-converter"),
            ("port = \"/dev/a\"\nprofile = \"skserver\"", "url = "),
            ("port = \"/dev/a\"\nprofile = \"zc-converter\"\ndialect = \"card\"", "not that of profile"),
            ("usb = \"101d:0003\"\nprofile = \"aisino-goldtax\"", "maker's component"),
            ("usb = \"101d-0003\"", "names no USB device"),
            ("url = \"ftp://a\"", "http://"),
            ("url = \"http://a/SKServer/SKDo\"", "name its profile"),
            ("command = [\"bridge\"]", "full path"),
            ("port = \"/dev/a\"\ndialect = \"qd\"", "\"qd\" is unknown"),
            ("url = \"http://a/SKServer/SKDo\"\nprofile = \"skserver\"", "[disk.skserver] is missing"),
            ("url = \"http://a/x\"\nprofile = \"nisec-bridge\"\nspeed = 9600", "only a serial line"),
            ("port = \"/dev/a\"\n[issuing]\nmachine = 1", "no place for it"),
            ("port = \"/dev/a\"\nprofile = \"card-reader\"", "tax_indexes is missing"),
            ("port = \"/dev/a\"\ndialect = \"card\"\n[card]\ntax_indexes = { \"1\" = \"13%\" }", "no tax rate"),
            ("port = \"/dev/a\"\ndialect = \"card\"\n[card]\ntax_indexes = {}", "1 to 6"),
            ("port = \"/dev/a\"\n[card]\ntax_indexes = { \"1\" = \"0.13\" }", "fiscal cards only"),
        ] {
            let wrong = setup(text).unwrap_err();
            assert!(wrong.starts_with("[[disk]]") && wrong.contains(part), "{text}: {wrong}");
        }
    }
}

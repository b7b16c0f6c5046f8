//! Every place at this PC where a tax disk may be, the profile that knows it, and why it cannot be used if it cannot.
//!
//! What it refuses to do: open or write to anything that neither the configuration names nor a profile with `match.probe` knows.
//! A byte that is harmless to a tax disk may not be harmless to what hangs on the next port, and opening alone moves lines.
//! Devices that are known for detection only are never opened, whoever configured them.
//!
//! Read first: [`explain`], and [`State`] for what can be wrong.

pub(crate) mod inventory;
mod state;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::profile::{Match, Profile, Profiles, Transport, UsbId};
use crate::system::{self, holder_of, may_open};
use crate::transport::Holder;
use crate::transport::usb::real::{Selector, Which};

pub use inventory::{DEVICES_MAX, Inventory, SerialSeen, UsbInterface, UsbSeen};
pub use state::State;

/// Where a disk is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Path of a serial port.
    Serial(String),
    /// A USB device.
    Usb(Selector),
    /// Address of a component.
    Url(String),
    /// Program and arguments.
    Command(Vec<String>),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Serial(path) => f.write_str(path),
            Place::Usb(address) => write!(f, "usb:{address}"),
            Place::Url(url) => f.write_str(url),
            Place::Command(words) => f.write_str(&words.join(" ")),
        }
    }
}

/// Whether the selector means this device.
fn means(selector: &Selector, seen: &UsbSeen) -> bool {
    let this = match &selector.which {
        Which::Only => true,
        Which::Serial(serial) => seen.serial.as_ref() == Some(serial),
        Which::BusPath(path) => seen.bus_path == *path,
    };
    this && seen.id == UsbId { vendor: selector.vendor, product: selector.product }
}

/// How the configuration names this device: by its serial number where that tells it apart, else by its port.
fn selector_of(seen: &UsbSeen, all: &[UsbSeen]) -> Selector {
    let same = |other: &&UsbSeen| other.id == seen.id && other.serial == seen.serial;
    let which = match &seen.serial {
        Some(serial) if all.iter().filter(same).count() == 1 => Which::Serial(serial.clone()),
        _ => Which::BusPath(seen.bus_path.clone()),
    };
    Selector { vendor: seen.id.vendor, product: seen.id.product, which }
}

/// One disk of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// Name of its profile.
    pub profile: String,
}

/// Asks a device who it is. The only part of a discovery that opens anything.
pub trait Prober {
    /// What is known of a configured disk without touching it, because the program that has it open says so.
    fn known(&mut self, entry: usize) -> Option<State> {
        let _ = entry;
        None
    }

    /// Opens the place as its profile says, and reads. `entry` is the index of the configured disk; `None`: nobody configured
    /// it, so there are no passwords, and only commands without any may be sent.
    fn probe(&mut self, place: &Place, profile: &Profile, entry: Option<usize>) -> State;
}

/// One place and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Port, `usb:vid:pid`, address or command.
    pub place: String,
    /// Its other names, such as those under `/dev/serial/by-id`.
    pub names: Vec<String>,
    /// What the device calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The configuration names it.
    pub configured: bool,
    /// The profiles that know it; the configured one alone where there is one.
    pub profiles: Vec<String>,
    /// What they know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_by: Option<String>,
    /// What is so.
    #[serde(flatten)]
    pub state: State,
    /// The same for people: whose fault, and what to do.
    pub text: String,
}

/// Looks at every place once: configured ones in their order, then the other serial ports and USB devices.
pub fn explain(inventory: &Inventory, entries: &[Entry], profiles: &Profiles, prober: &mut dyn Prober) -> Vec<Candidate> {
    let mut found: Vec<Candidate> =
        entries.iter().enumerate().map(|(index, entry)| configured(inventory, entry, index, profiles, prober)).collect();
    for seen in &inventory.serial {
        let named = |entry: &Entry| matches!(&entry.place, Place::Serial(path) if seen.is_called(path));
        if !entries.iter().any(named) {
            found.push(other_serial(seen, profiles, prober));
        }
    }
    for seen in &inventory.usb {
        let named = |entry: &Entry| matches!(&entry.place, Place::Usb(address) if means(address, seen));
        let bridge = |serial: &SerialSeen| serial.usb == Some(seen.id) && serial.usb_serial == seen.serial;
        if !seen.is_hub() && !entries.iter().any(named) && !inventory.serial.iter().any(bridge) {
            found.push(other_usb(inventory, seen, profiles, prober));
        }
    }
    mark_duplicates(&mut found);
    found
}

fn candidate(place: &Place, configured: bool, profiles: Vec<String>, matched_by: Option<String>, state: State) -> Candidate {
    let text = state.text();
    Candidate { place: place.to_string(), names: Vec::new(), product: None, configured, profiles, matched_by, state, text }
}

fn configured(inventory: &Inventory, entry: &Entry, index: usize, profiles: &Profiles, prober: &mut dyn Prober) -> Candidate {
    let by = Some("the configuration".to_owned());
    let Some(profile) = profiles.find(&entry.profile) else {
        let state = State::Failed { detail: format!("there is no profile {:?}", entry.profile) };
        return candidate(&entry.place, true, Vec::new(), by, state);
    };
    let before = || match &entry.place {
        Place::Usb(address) => {
            let seen: Vec<&UsbSeen> = inventory.usb.iter().filter(|seen| means(address, seen)).collect();
            before_usb(&seen, profile)
        }
        Place::Serial(path) => before_serial(path, profile),
        Place::Url(_) | Place::Command(_) => before_opening(profile),
    };
    let state = prober.known(index).or_else(before).unwrap_or_else(|| prober.probe(&entry.place, profile, Some(index)));
    let mut found = candidate(&entry.place, true, vec![profile.name.clone()], by, state);
    if let Place::Serial(path) = &entry.place
        && let Some(seen) = inventory.serial.iter().find(|seen| seen.is_called(path))
    {
        found.names = seen.names.iter().filter(|name| *name != path).cloned().collect();
        found.product.clone_from(&seen.product);
    }
    found
}

fn other_serial(seen: &SerialSeen, profiles: &Profiles, prober: &mut dyn Prober) -> Candidate {
    let hits: Vec<(&Profile, String)> =
        profiles.iter().filter_map(|profile| Some((profile, serial_hit(&profile.matches, seen, profile.transport)?))).collect();
    let place = Place::Serial(seen.path.clone());
    let state = unconfigured(&hits, |profile| before_serial(&seen.path, profile), &place, prober)
        .unwrap_or_else(|| State::not_configured(&format!("port = \"{}\"", seen.best_name()), &hits));
    let mut found = with_hits(&place, &hits, state);
    found.names.clone_from(&seen.names);
    found.product.clone_from(&seen.product);
    found
}

fn other_usb(inventory: &Inventory, seen: &UsbSeen, profiles: &Profiles, prober: &mut dyn Prober) -> Candidate {
    let hits: Vec<(&Profile, String)> = profiles
        .iter()
        .filter_map(|profile| Some((profile, usb_hit(&profile.matches, seen.id, seen.serial.as_deref())?)))
        .collect();
    let address = selector_of(seen, &inventory.usb);
    let place = Place::Usb(address.clone());
    let state = unconfigured(&hits, |profile| before_usb(&[seen], profile), &place, prober)
        .unwrap_or_else(|| State::not_configured(&format!("usb = \"{address}\""), &hits));
    let mut found = with_hits(&place, &hits, state);
    // Windows has no device file.
    found.names = Some(seen.node.display().to_string()).filter(|name| !name.is_empty()).into_iter().collect();
    found.product.clone_from(&seen.product);
    found
}

fn with_hits(place: &Place, hits: &[(&Profile, String)], state: State) -> Candidate {
    let names = hits.iter().map(|(profile, _)| profile.name.clone()).collect();
    candidate(place, false, names, hits.first().map(|(_, by)| by.clone()), state)
}

/// What can be said of a device that nobody configured. It is opened only if a profile that allows it knows it.
fn unconfigured(
    hits: &[(&Profile, String)],
    before: impl Fn(&Profile) -> Option<State>,
    place: &Place,
    prober: &mut dyn Prober,
) -> Option<State> {
    if hits.is_empty() {
        return Some(State::NoProfile);
    }
    // A device that anything knows as a maker's disk is left alone, whatever else knows it.
    if let Some(state) = hits.iter().find_map(|(profile, _)| before_opening(profile)) {
        return Some(state);
    }
    let (profile, _) = hits.iter().find(|(profile, _)| profile.matches.probe)?;
    Some(before(profile).unwrap_or_else(|| prober.probe(place, profile, None)))
}

/// What is known without looking: such a device is never opened.
fn before_opening(profile: &Profile) -> Option<State> {
    profile.detection_only.clone().map(|advice| State::DetectionOnly { advice })
}

/// What is wrong with a serial port, as far as it shows without opening it.
fn before_serial(path: &str, profile: &Profile) -> Option<State> {
    if let Some(state) = before_opening(profile) {
        return Some(state);
    }
    match system::is_serial_port(path) {
        None => return Some(State::Absent),
        Some(false) => return Some(State::WrongMode { detail: format!("{path} is not a serial port") }),
        Some(true) => {}
    }
    (!may_open(std::path::Path::new(path))).then(|| State::no_permission(profile))
}

/// What is wrong with a USB device, as far as it shows without opening it. `seen`: the plugged ones that the address fits.
fn before_usb(seen: &[&UsbSeen], profile: &Profile) -> Option<State> {
    if let Some(state) = before_opening(profile) {
        return Some(state);
    }
    let one = match seen {
        [] => return Some(State::Absent),
        [one] => one,
        several => {
            let others = several.iter().map(|one| format!("{} at {}", one.id, one.bus_path)).collect();
            return Some(State::Duplicate { others });
        }
    };
    let Some(interface) = one.interfaces.iter().find(|interface| interface.is_bulk_only()) else {
        let detail = "it does not show itself as a bulk-only mass storage device; unplug it, wait, and plug it in again";
        return Some(State::WrongMode { detail: detail.to_owned() });
    };
    if !may_open(&one.node) {
        return Some(State::no_permission(profile));
    }
    let holder = holder_of(&one.node.display().to_string());
    if matches!(holder, Holder::Process { .. }) {
        return Some(State::held(holder));
    }
    // The driver detaches the kernel's disk driver by itself, and no other.
    let driver = interface.driver.as_deref().filter(|driver| !matches!(*driver, "usb-storage" | "uas" | "usbfs"));
    driver.map(|driver| State::KernelDriver { driver: driver.to_owned() })
}

fn usb_hit(matches: &Match, id: UsbId, serial: Option<&str>) -> Option<String> {
    if !matches.usb.contains(&id) {
        return None;
    }
    if matches.usb_serials.is_empty() {
        return Some(format!("USB id {id}"));
    }
    let serial = serial?;
    matches.usb_serials.iter().any(|pattern| pattern.fits(serial)).then(|| format!("USB id {id} and serial number {serial}"))
}

fn serial_hit(matches: &Match, seen: &SerialSeen, transport: Transport) -> Option<String> {
    if let Some(by) = seen.usb.and_then(|id| usb_hit(matches, id, seen.usb_serial.as_deref())) {
        return Some(by);
    }
    if transport != Transport::Serial {
        return None;
    }
    let by_id =
        seen.names.iter().filter_map(|name| name.rsplit_once('/')).find(|(_, name)| matches.by_id.iter().any(|p| p.fits(name)));
    if let Some((_, name)) = by_id {
        return Some(format!("the name {name}"));
    }
    let path = std::iter::once(&seen.path).chain(&seen.names).find(|path| matches.ports.iter().any(|p| p.fits(path)));
    path.map(|path| format!("the port {path}"))
}

/// Two places that show the same disk number: one of them is a copy, or the same device under two names.
fn mark_duplicates(found: &mut [Candidate]) {
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, candidate) in found.iter().enumerate() {
        if let State::Usable { disk: Some(disk), .. } = &candidate.state {
            places.entry(disk.clone()).or_default().push(at);
        }
    }
    for same in places.values().filter(|same| same.len() > 1) {
        let names: Vec<String> = same.iter().map(|at| found[*at].place.clone()).collect();
        for at in same {
            let others = names.iter().filter(|name| **name != found[*at].place).cloned().collect();
            found[*at].state = State::Duplicate { others };
            found[*at].text = found[*at].state.text();
        }
    }
}

#[cfg(all(test, unix))]
mod tests;

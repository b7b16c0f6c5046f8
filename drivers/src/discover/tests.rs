#![allow(clippy::unwrap_used)]
use super::*;
use crate::disk::DiskError;
use crate::transport::LineError;
use taxdisk_protocol::class::DeviceClass;

/// Says what it is told to say, and remembers where it was sent.
#[derive(Default)]
struct Asked {
    places: Vec<String>,
    answers: Vec<State>,
}

impl Prober for Asked {
    fn probe(&mut self, place: &Place, profile: &Profile, entry: Option<usize>) -> State {
        self.places.push(format!("{place} {} {entry:?}", profile.name));
        if self.answers.is_empty() { State::Silent { detail: "30 s".into() } } else { self.answers.remove(0) }
    }
}

fn port(path: &str, id: Option<&str>) -> SerialSeen {
    let usb = id.map(|id| id.parse().unwrap());
    SerialSeen { path: path.into(), names: vec![format!("{path}-by-id")], usb, ..SerialSeen::default() }
}

fn usb(id: &str, serial: &str, bus_path: &str) -> UsbSeen {
    let interface = UsbInterface { class: [8, 6, 0x50], driver: Some("usb-storage".into()) };
    UsbSeen {
        bus_path: bus_path.into(),
        id: id.parse().unwrap(),
        class: 0,
        serial: Some(serial.into()),
        product: None,
        node: "/dev/null".into(),
        interfaces: vec![interface],
    }
}

fn entry(place: Place, profile: &str) -> Entry {
    Entry { place, profile: profile.into() }
}

fn one(inventory: Inventory, entries: &[Entry], asked: &mut Asked) -> Candidate {
    let mut found = explain(&inventory, entries, &Profiles::shipped(), asked);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn nothing_that_nobody_configured_is_opened() {
    let mut asked = Asked::default();
    let inventory = Inventory {
        serial: vec![port("/dev/ttyS9", None), port("/dev/ttyUSB0", Some("1a86:7523")), port("/dev/ttyACM0", Some("2341:0043"))],
        usb: vec![usb("101d:0003", "A", "1-1"), usb("1209:0001", "499000123456", "1-2"), usb("0781:5567", "B", "1-3")],
    };
    let found = explain(&inventory, &[], &Profiles::shipped(), &mut asked);
    assert_eq!(asked.places, Vec::<String>::new());
    let states: Vec<_> = found.iter().map(|one| (one.place.as_str(), one.profiles.join(" "), one.state.clone())).collect();
    assert!(matches!(&states[0], ("/dev/ttyS9", profiles, State::NoProfile) if profiles.is_empty()), "{states:?}");
    assert!(matches!(&states[1], ("/dev/ttyUSB0", profiles, State::NotConfigured { advice })
        if profiles == "zc-converter" && advice.contains("port = \"/dev/ttyUSB0-by-id\"")));
    assert!(matches!(states[2].2, State::NoProfile));
    assert!(matches!(&states[3].2, State::DetectionOnly { advice } if advice.contains("maker's component")));
    assert!(matches!(&states[4].2, State::NotConfigured { advice } if advice.contains("usb = \"1209:0001/499000123456\"")));
    assert!(matches!(states[5].2, State::NoProfile));
    assert_eq!(found[1].matched_by.as_deref(), Some("USB id 1a86:7523"));
}

#[test]
fn a_profile_that_allows_it_is_asked_and_a_makers_disk_never() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        "name = \"mine\"\nextends = \"zc-converter\"\n[match]\nusb = [\"1a86:7523\"]\nusb_serials = [\"SHOP*\"]\nprobe = true\n";
    std::fs::write(dir.path().join("mine.toml"), text).unwrap();
    let bold = "name = \"bold\"\nextends = \"taxdisk-bot\"\n[match]\nusb = [\"101d:0003\"]\nprobe = true\n";
    std::fs::write(dir.path().join("bold.toml"), bold).unwrap();
    let profiles = Profiles::with_dir(dir.path()).unwrap();
    let shop = SerialSeen { usb_serial: Some("SHOP1".into()), ..port("/dev/null", Some("1a86:7523")) };
    let other = SerialSeen { usb_serial: Some("OTHER".into()), ..port("/dev/zero", Some("1a86:7523")) };
    let inventory = Inventory { serial: vec![shop, other], usb: vec![usb("101d:0003", "A", "1-1")] };
    let mut asked = Asked::default();
    let found = explain(&inventory, &[], &profiles, &mut asked);
    assert_eq!(asked.places, ["/dev/null mine None"]);
    assert!(matches!(found[0].state, State::Silent { .. }));
    assert!(matches!(found[1].state, State::NotConfigured { .. }));
    assert!(matches!(found[2].state, State::DetectionOnly { .. }), "{found:?}");
}

#[test]
fn a_configured_makers_disk_is_not_opened_either() {
    let address: Selector = "101d:0003".parse().unwrap();
    let inventory = Inventory { usb: vec![usb("101d:0003", "A", "1-1")], ..Inventory::default() };
    let mut asked = Asked::default();
    let found = one(inventory, &[entry(Place::Usb(address), "aisino-goldtax")], &mut asked);
    assert!(matches!(found.state, State::DetectionOnly { .. }) && found.configured);
    assert!(asked.places.is_empty());
}

#[test]
fn what_keeps_a_configured_port_from_being_opened_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut asked = Asked::default();
    let serial = |path: &str| [entry(Place::Serial(path.into()), "zc-converter")];
    assert_eq!(one(Inventory::default(), &serial("/dev/no-such-port"), &mut asked).state, State::Absent);
    let found = one(Inventory::default(), &serial(file.to_str().unwrap()), &mut asked);
    assert!(matches!(&found.state, State::WrongMode { detail } if detail.contains("not a serial port")));
    assert!(asked.places.is_empty());
    // A port of its own name is listed once, under the name that the configuration uses.
    let inventory = Inventory { serial: vec![port("/dev/null", None)], ..Inventory::default() };
    let found = one(inventory, &serial("/dev/null"), &mut asked);
    assert_eq!((found.names.clone(), found.configured), (vec!["/dev/null-by-id".to_owned()], true));
    assert_eq!(asked.places, ["/dev/null zc-converter Some(0)"]);
}

#[test]
fn what_keeps_a_usb_disk_from_being_opened_is_told_apart() {
    let entries = [entry(Place::Usb("1209:0001".parse().unwrap()), "taxdisk-bot")];
    // Openable, and held by nobody.
    let node = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let seen = |change: fn(&mut UsbSeen)| {
        let mut seen = UsbSeen { node: node.to_path_buf(), ..usb("1209:0001", "A", "1-1") };
        change(&mut seen);
        let mut asked = Asked { answers: vec![State::Usable { disk: None, taxpayer: None }], ..Asked::default() };
        one(Inventory { usb: vec![seen], ..Inventory::default() }, &entries, &mut asked).state
    };
    assert!(seen(|_| {}).is_usable(), "the kernel's disk driver is detached by ours");
    assert_eq!(
        seen(|seen| seen.interfaces[0].driver = Some("ftdi_sio".into())),
        State::KernelDriver { driver: "ftdi_sio".into() }
    );
    assert!(matches!(seen(|seen| seen.interfaces[0].class = [8, 5, 0x50]), State::WrongMode { .. }));
    let State::NoPermission { advice } = seen(|seen| seen.node = "/dev/bus/usb/999/999".into()) else { panic!() };
    assert!(advice.contains("1209") && advice.contains("taxdisk"), "{advice}");
    assert_eq!(one(Inventory::default(), &entries, &mut Asked::default()).state, State::Absent);
}

#[test]
fn two_devices_with_one_serial_number_are_not_opened() {
    let inventory = Inventory { usb: vec![usb("1209:0001", "A", "1-1"), usb("1209:0001", "A", "1-2")], ..Inventory::default() };
    let mut asked = Asked::default();
    let found = one(inventory, &[entry(Place::Usb("1209:0001/A".parse().unwrap()), "taxdisk-bot")], &mut asked);
    assert!(matches!(&found.state, State::Duplicate { others } if others.len() == 2), "{found:?}");
    assert!(asked.places.is_empty());
}

#[test]
fn one_disk_number_at_two_places_makes_both_unusable() {
    let disk = |number: &str| State::Usable { disk: Some(number.into()), taxpayer: None };
    let entries = ["http://a/x", "http://b/x", "http://c/x"].map(|url| entry(Place::Url(url.into()), "nisec-bridge"));
    let mut asked = Asked { answers: vec![disk("499000123456"), disk("499000123457"), disk("499000123456")], ..Asked::default() };
    let found = explain(&Inventory::default(), &entries, &Profiles::shipped(), &mut asked);
    assert_eq!(found[0].state, State::Duplicate { others: vec!["http://c/x".into()] });
    assert!(found[0].text.contains("http://c/x"));
    assert!(found[1].state.is_usable());
    assert_eq!(found[2].state, State::Duplicate { others: vec!["http://a/x".into()] });
}

#[test]
fn errors_become_states_and_json_has_state_and_text() {
    let profiles = Profiles::shipped();
    let profile = profiles.find("zc-converter").unwrap();
    let holder = Holder::Process { pid: 7, name: "cat".into() };
    let busy = State::of_line(&LineError::Busy { port: "p".into(), holder }, profile);
    assert!(busy.text().contains("cat (process 7)"), "{}", busy.text());
    let denied = State::of_line(&LineError::Permission { port: "p".into() }, profile);
    assert!(denied.text().contains("usermod -aG dialout"));
    let refused = DiskError { class: DeviceClass::BadPassword, code: None, text: "口令错".into(), tries_left: Some(3) };
    assert!(State::of_disk(&refused).text().contains("3 tries left"));
    let silent = DiskError { class: DeviceClass::Link, code: None, text: "no answer".into(), tries_left: None };
    assert!(matches!(State::of_disk(&silent), State::Silent { .. }));
    let json = serde_json::to_value(candidate(&Place::Serial("p".into()), true, Vec::new(), None, busy)).unwrap();
    assert_eq!((&json["state"], &json["by"]["process"]["pid"]), (&"held".into(), &7.into()), "{json}");
    assert!(json["text"].as_str().unwrap().contains("cat"));
}

#[test]
fn devices_that_nobody_can_tell_apart_by_number_are_named_by_their_port() {
    let inventory = Inventory { usb: vec![usb("1209:0001", "A", "1-1"), usb("1209:0001", "A", "1-2")], ..Inventory::default() };
    let named = [entry(Place::Usb("1209:0001@1-2".parse().unwrap()), "taxdisk-bot")];
    let mut asked = Asked::default();
    let found = explain(&inventory, &named, &Profiles::shipped(), &mut asked);
    assert_eq!((found.len(), asked.places.len()), (2, 0), "/dev/null is held by other programs: {found:?}");
    assert!(found[0].configured && !matches!(found[0].state, State::Duplicate { .. }), "{found:?}");
    assert!(
        matches!(&found[1].state, State::NotConfigured { advice } if advice.contains("usb = \"1209:0001@1-1\"")),
        "{found:?}"
    );
}

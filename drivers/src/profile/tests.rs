#![allow(clippy::unwrap_used)]
use super::*;

const WHOLE: &str = r#"
name = "till"
title = "Till"
transport = "serial"
framing = "zc_fixed"
dialect = "zc"
speeds_baud = [57600]
"#;

#[test]
fn every_shipped_profile_is_read_and_the_makers_disks_are_never_opened() {
    let profiles = Profiles::shipped();
    assert_eq!(
        profiles.names(),
        "zc-converter, zc-bluetooth, card-reader, taxdisk-bot, skserver, nisec-bridge, nisec-library, aisino-goldtax, nisec-skp, tax-ukey"
    );
    for name in ["aisino-goldtax", "nisec-skp", "tax-ukey"] {
        let profile = profiles.find(name).unwrap();
        assert!(profile.is_detection_only() && profile.dialect.is_none() && !profile.matches.probe, "{name}");
        assert!(profile.detection_only.as_ref().unwrap().contains("component"), "{name}");
    }
    // A shipped match is a bridge that many devices have: nothing is sent on its word alone.
    assert!(profiles.iter().all(|profile| !profile.matches.probe));
    assert_eq!(profiles.find("zc-converter").unwrap().speed_baud(), Some(9600));
    assert_eq!(profiles.find("zc-bluetooth").unwrap().speed_baud(), Some(115_200));
}

#[test]
fn the_ids_of_the_facts_are_known() {
    let profiles = Profiles::shipped();
    let known = |id: &str| -> Vec<String> {
        let id: UsbId = id.parse().unwrap();
        profiles.iter().filter(|profile| profile.matches.usb.contains(&id)).map(|profile| profile.name.clone()).collect()
    };
    for id in ["101d:0003", "101d:0005"] {
        assert_eq!(known(id), ["aisino-goldtax"], "{id}");
    }
    for id in ["1432:07dc", "1432:07e2"] {
        assert_eq!(known(id), ["nisec-skp"], "{id}");
    }
    let ukeys = [
        "14d6:a002",
        "3254:ff10",
        "1677:6101",
        "2012:2010",
        "1432:07d0",
        "287f:00d4",
        "1ea8:b00b",
        "d449:0001",
        "163c:5480",
        "2ec9:1001",
        "3a59:4458",
    ];
    for id in ukeys {
        assert_eq!(known(id), ["tax-ukey"], "{id}");
    }
    assert_eq!(known("1209:0001"), ["taxdisk-bot"]);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, parts) in [
        (format!("{WHOLE}colour = \"red\"\n"), vec!["colour", "line 8"]),
        (WHOLE.replace("serial", "usb"), vec!["zc", "Usb"]),
        (WHOLE.replace("57600", "57601"), vec!["speeds_baud", "57601"]),
        (WHOLE.replace("name = \"till\"", "name = \"Till 1\""), vec!["name", "lower case"]),
        (format!("{WHOLE}[match]\nusb = [\"1a86-7523\"]\n"), vec!["1a86-7523", "line 9"]),
        (format!("{WHOLE}[match]\nports = [\"*\"]\n"), vec!["everything"]),
        (format!("{WHOLE}[match]\nusb_serials = [\"A*\"]\n"), vec!["match.usb_serials"]),
        (format!("{WHOLE}[timeouts]\nlongest_ms = 1000\n"), vec!["timeouts.longest_ms"]),
        (format!("{WHOLE}[timeouts]\nanswer = 1\n"), vec!["answer", "line"]),
        (format!("{WHOLE}[quirks]\nmax_lines = 101\n"), vec!["quirks.max_lines"]),
        (format!("{WHOLE}[quirks]\nred_sign = \"odd\"\n"), vec!["odd"]),
        (WHOLE.replace("dialect", "detection_only"), vec!["detection_only"]),
        (WHOLE.replace("dialect = \"zc\"", ""), vec!["dialect is missing"]),
    ] {
        let wrong = Profile::parse(&text).unwrap_err();
        for part in parts {
            assert!(wrong.contains(part), "{text}: {wrong}");
        }
        assert!(!wrong.contains('\n'));
    }
    Profile::parse(WHOLE).unwrap();
}

fn folder(files: &[(&str, &str)]) -> Result<Profiles, ProfileError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    Profiles::with_dir(dir.path())
}

#[test]
fn a_folder_changes_extends_and_adds() {
    let change = "name = \"zc-converter\"\n[timeouts]\nanswer_ms = 5000\n";
    let extend = "name = \"till-4\"\nextends = \"zc-converter\"\nspeeds_baud = [57600]\n[match]\nusb_serials = [\"A1*\"]\n";
    let profiles = folder(&[("10.toml", change), ("20.toml", extend), ("30.toml", WHOLE), ("note.txt", "no profile")]).unwrap();
    let changed = profiles.find("zc-converter").unwrap();
    assert_eq!((changed.timeouts.answer_ms, changed.timeouts.longest_ms), (5000, 180_000));
    let extended = profiles.find("till-4").unwrap();
    assert_eq!((extended.timeouts.answer_ms, extended.speed_baud()), (5000, Some(57600)), "it extends what stands before it");
    assert_eq!(extended.matches.usb, changed.matches.usb);
    assert!(profiles.find("till").is_some());
    assert_eq!(profiles.iter().count(), Profiles::shipped().iter().count() + 2);
    assert_eq!(folder(&[]).unwrap(), Profiles::shipped());
    assert_eq!(Profiles::with_dir(std::path::Path::new("/nowhere/profiles.d")).unwrap(), Profiles::shipped());
}

#[test]
fn a_wrong_file_stops_everything_and_is_named() {
    for (text, part) in [
        ("name = \"zc-converter\"\nspeed = 9600\n", "speed"),
        ("name = \"x\"\nextends = \"nothing\"\n", "nothing"),
        ("title = \"x\"\n", "name is missing"),
        ("name = \n", "line 1"),
        ("name = \"aisino-goldtax\"\ndialect = \"bot\"\nframing = \"bulk_only\"\n", "never spoken to"),
    ] {
        let error = folder(&[("10-mine.toml", text)]).unwrap_err();
        assert!(error.file.ends_with("10-mine.toml") && error.what.contains(part), "{error}");
    }
}

#[test]
fn patterns_and_ids_are_strict() {
    let fits = |pattern: &str, text: &str| Pattern::try_from(pattern.to_owned()).unwrap().fits(text);
    assert!(fits("usb-1a86_*-if00*", "usb-1a86_USB_Serial-if00-port0"));
    assert!(fits("/dev/rfcomm*", "/dev/rfcomm0") && fits("a*a", "aa") && fits("*b", "ab"));
    assert!(!fits("/dev/rfcomm*", "/dev/ttyUSB0") && !fits("a*a", "a") && !fits("a*b*a", "aa") && !fits("abc", "abcd"));
    assert_eq!("101D:0003".parse::<UsbId>().unwrap().to_string(), "101d:0003");
    for bad in ["", "101d", "101d0003", "101d:3", "101d:00003", "+01d:0003", "101d:000g"] {
        assert!(bad.parse::<UsbId>().is_err(), "{bad}");
    }
}

#[test]
fn missing_permission_says_what_to_do() {
    let profiles = Profiles::shipped();
    let advice = profiles.find("taxdisk-bot").unwrap().permissions.advice();
    assert!(advice.contains("usermod -aG taxdisk") && advice.contains("ATTR{idVendor}==\"1209\""), "{advice}");
    assert!(profiles.find("zc-converter").unwrap().permissions.advice().contains("dialout"));
}

//! The package of the Windows installer, put in, brought up to date and taken away by Wine's own installer: with the places and
//! the actions that it has on a PC.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use taxdisk_tests::jobs;
use taxdisk_tests::process::wait_for;
use taxdisk_tests::rig::Rig;

use super::service::{SIGNING_MS, at_work, process};
use super::{DRIVE, PORT, Wine, all_issued, made, submit};

const PROGRAM: &str = r"C:\Program Files\taxdisk\taxdisk-agent.exe";
const SERVICE: &str = r"HKLM\System\CurrentControlSet\Services\taxdisk-agent";
const INSTALLED: &str = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall";
/// What Windows makes of a package takes seconds; Wine's is slower where much else runs.
const INSTALLING: Duration = Duration::from_secs(60);

/// The Windows installer, silent; `Err` says what it logged.
fn msiexec(wine: &Wine, what: &str, package: &Path) -> Result<(), String> {
    let log = wine.prefix.join("drive_c/install.log");
    let seen = |path: &Path| format!("{DRIVE}{}", path.display());
    let mut command = wine.command(&["msiexec", what, &seen(package), "/qn", "/l*v", r"C:\install.log"]);
    if what == "/i" {
        // Windows tells a package that it goes because a newer one comes; Wine does not.
        command.env("TAXDISK_TEST_UPGRADING", "1");
    }
    let ended = command.status().unwrap();
    let said = std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    if ended.success() { Ok(()) } else { Err(format!("{ended}: {said}")) }
}

fn has_service(wine: &Wine) -> bool {
    wine.command(&["reg", "query", SERVICE]).output().unwrap().status.success()
}

fn runs() {
    wait_for("the service", INSTALLING, || process().map(drop).ok_or_else(|| "it does not run".to_owned()));
}

/// The agent's file as it was built is the one on the drive.
fn is_in_place(folder: &Path) {
    let built = std::fs::read(made("TAXDISK_TEST_WINDOWS_AGENT")).unwrap();
    assert!(std::fs::read(folder.join("taxdisk-agent.exe")).unwrap() == built);
    for name in ["taxdisk-bridge.exe", "LICENSE.txt", "agent.sample.toml"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
}

/// What Wine before 9 lacks, where every program of this drive finds it.
fn random_numbers(wine: &Wine) {
    let library: PathBuf = made("TAXDISK_TEST_WINDOWS_AGENT").with_file_name("bcryptprimitives.dll");
    std::fs::copy(library, wine.prefix.join("drive_c/windows/system32/bcryptprimitives.dll")).unwrap();
}

#[test]
fn the_package_is_installed_brought_up_to_date_under_an_order_and_taken_away() {
    let (now, next) = (made("TAXDISK_TEST_WINDOWS_PACKAGE"), made("TAXDISK_TEST_WINDOWS_NEXT_PACKAGE"));
    let rig = Rig::new();
    let wine = Wine::start_on(rig.path().join("wine"));
    random_numbers(&wine);
    let disk = rig.disk("till", |config| config.issue_time_ms = SIGNING_MS);
    wine.port(PORT, &disk.port);
    let folder = wine.prefix.join("drive_c/Program Files/taxdisk");
    let data = wine.prefix.join("drive_c/ProgramData/taxdisk");

    // On a PC that is not enrolled the service is made and does not run.
    msiexec(&wine, "/i", &now).unwrap();
    is_in_place(&folder);
    assert!(has_service(&wine) && process().is_none(), "made, and not started");

    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("agent.toml"), format!("[[disk]]\nport = \"{PORT}\"\ndialect = \"zc\"\nspeed = 115200\n")).unwrap();
    let answer = rig.api.post("/v1/enrollments", &json!({"name": "till 4"}));
    wine.say(&[PROGRAM, "enroll", &rig.api.url, answer.body["code"].as_str().unwrap()]);
    let secret = rig.path().join("secret.txt");
    std::fs::write(&secret, "disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n").unwrap();
    taxdisk_tests::rig::restrict(&secret);
    wine.say(&[PROGRAM, "disks", "secret", "set", PORT, "--from-file", &format!("{DRIVE}{}", secret.display())]);
    wine.say(&[PROGRAM, "install", "--service"]);
    runs();
    rig.wait_online(&disk.number);
    submit(&rig, &[jobs::toll("PACKAGE1")]);
    all_issued(&rig, &disk.state_dir, 1, "installed");

    // A newer one in the middle of an order: the order ends, the programs are replaced, the service goes on as the same agent.
    at_work(&rig, "PACKAGE2");
    msiexec(&wine, "/i", &next).unwrap();
    is_in_place(&folder);
    runs();
    submit(&rig, &[jobs::toll("PACKAGE3")]);
    all_issued(&rig, &disk.state_dir, 3, "brought up to date under an order");
    let installed = wine.say(&["reg", "query", INSTALLED, "/s"]);
    let version = next.file_stem().unwrap().to_str().unwrap().rsplit('-').next().unwrap().to_owned();
    assert_eq!(installed.matches("DisplayVersion").count(), 1, "the older one is gone: {installed}");
    assert!(installed.contains(&version), "{installed}");
    let agents = rig.agents();
    assert!(agents.len() == 1 && !agents[0].revoked, "it is the same agent: {agents:?}");

    // A journal is never given to an older version.
    let refused = msiexec(&wine, "/i", &now).unwrap_err();
    assert!(refused.contains("WIX_DOWNGRADE_DETECTED = {") && !refused.contains("CostInitialize"), "{refused}");
    runs();
    submit(&rig, &[jobs::toll("PACKAGE4")]);
    all_issued(&rig, &disk.state_dir, 4, "an older one was refused");

    // Taken away: nothing is open, so the broker is asked to revoke the key. What proves what was issued stays.
    msiexec(&wine, "/x", &next).unwrap();
    assert!(!has_service(&wine) && process().is_none(), "no service is left");
    assert!(!folder.join("taxdisk-agent.exe").exists() && !folder.join("taxdisk-bridge.exe").exists());
    assert!(rig.agents()[0].revoked, "the broker was asked");
    assert!(data.join("agent.toml").is_file() && data.join("state/journal").is_dir(), "journal and configuration stay");
}

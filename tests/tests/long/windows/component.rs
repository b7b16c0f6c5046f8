//! The bridge to makers' components under Wine: on 64 bits below the agent, on 32 bits below the driver, with a stand-in of ours
//! as the maker's library and as the maker's class of COM.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use taxdisk_drivers::conformance::component::{Component, ComponentStand};
use taxdisk_drivers::conformance::{Stand, Trouble, run, sample};
use taxdisk_drivers::disk::{DiskError, IssueAnswer, IssueRequest, TaxDisk};
use taxdisk_drivers::sim::SimDisk;
use taxdisk_drivers::sim::bridge::BRIDGE_PATH;
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_drivers::transport::document::{CommandLink, DocumentLink, Sent};
use taxdisk_protocol::api::JobState;
use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::mark::mark;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

use super::{AFTER_A_CRASH, AFTER_A_CRASH_DO_NOTHING, DRIVE, Wine, all_issued, made, paper, quick_profile, served, submit};

/// What the stand-in does when it is to issue, and whether an invoice exists afterwards.
const BROKEN: [(&str, bool); 4] = [("late", true), ("crash", false), ("garbage", false), ("hang", false)];

#[test]
fn no_library_takes_the_agent_down_or_makes_it_issue_twice() {
    for (mode, signs) in BROKEN {
        let wine = Wine::start();
        let rig = Rig::new();
        let (sim, ledger, config) = served(rig.path());
        let bridge = made("TAXDISK_TEST_WINDOWS_BRIDGE");
        let library = bridge.parent().unwrap().join("examples/stand_in.dll");
        let words = [&bridge, &library].map(|path| format!("{DRIVE}{}", path.display()));
        let entry = format!("command = ['{}', '{}']\nprofile = \"quick\"\n", words[0], words[1]);
        let more = quick_profile(&rig, "nisec-library");
        let program = wine.agent(rig.path());
        let mut agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "library", &more, &[(words.join(" "), entry)]);
        let told = rig.path().join("mode");
        std::fs::write(&told, "good").unwrap();
        let (told_seen, url) = (format!("@{DRIVE}{}", told.display()), format!("http://{}{BRIDGE_PATH}", sim.http().unwrap()));
        let variables =
            [("TAXDISK_STAND_IN", &*told_seen), ("TAXDISK_STAND_IN_AT", "id=\"FPKJ\""), ("TAXDISK_STAND_IN_URL", &url)];
        agent.start_with(&variables, None);
        rig.wait_online(&config.disk_number);
        submit(&rig, &[paper("LGOOD")]);
        all_issued(&rig, &ledger, 1, "a library that is well");

        std::fs::write(&told, mode).unwrap();
        submit(&rig, &[paper("LBROKEN")]);
        let wanted = if signs { JobState::Issued } else { JobState::Unsettled };
        wait_for(mode, PATIENCE * 2, || match rig.api.job(SELLER, "LBROKEN") {
            job if job.state == wanted => Ok(()),
            job => Err(format!("{:?}\n{}", job, agent.log())),
        });
        // It lives, and the library is well again: what may still be carried out is not given out a second time.
        std::fs::write(&told, "good").unwrap();
        assert!(agent.is_running(), "{mode}: {}", agent.log());
        let shown = agent.tool(&["status"]);
        assert!(shown.contains(&config.disk_number), "{mode}: {shown}");
        agent.kill();
        agent.start_with(&variables, None);
        rig.wait_online(&config.disk_number);
        wait_for("the same answer after a restart", PATIENCE, || match rig.api.job(SELLER, "LBROKEN") {
            job if job.state == wanted => Ok(()),
            job => Err(format!("{job:?}")),
        });
        agent.kill();
        assert_eq!(Ledger::read(&ledger).unwrap().len(), 1 + usize::from(signs), "{mode}");
        sim.stop();
    }
}

/// The class that the stand-in plays, which is the maker's own.
const CLASS: &str = "{003BD8F2-A6C3-48EF-9B72-ECFD8FC4D49F}";
/// Longer than a start of the program takes on a busy computer.
const ENOUGH: Duration = Duration::from_secs(20);

/// A Windows of 32 bits: a Wine in a folder with a Debian of that architecture, with mounts that only its own processes see.
struct Wine32 {
    root: PathBuf,
}

impl Wine32 {
    fn start() -> Wine32 {
        assert!(rustix::process::geteuid().is_root(), "chroot needs root");
        let wine = Wine32 { root: made("TAXDISK_TEST_WINE_32") };
        let folder = wine.root.join("opt/taxdisk");
        std::fs::create_dir_all(&folder).unwrap();
        let bridge = made("TAXDISK_TEST_WINDOWS_BRIDGE_32");
        for name in ["taxdisk-bridge.exe", "bcryptprimitives.dll", "examples/stand_in.dll"] {
            let from = bridge.parent().unwrap().join(name);
            std::fs::copy(&from, folder.join(from.file_name().unwrap())).unwrap();
        }
        // What a run that was cut off left.
        wine.end();
        // It stays while nothing of ours runs: a program that begins while the server ends does not start.
        assert!(wine.quietly(&[SERVER_32, "-p"]).success());
        wine.say(&["wineboot", "--init"]);
        for (name, value) in AFTER_A_CRASH_DO_NOTHING {
            wine.say(&["reg", "add", AFTER_A_CRASH, "/v", name, "/d", value, "/f"]);
        }
        let key = format!(r"HKLM\Software\Classes\CLSID\{CLASS}\InprocServer32");
        wine.say(&["reg", "add", &key, "/ve", "/d", LIBRARY, "/f"]);
        wine.say(&["reg", "add", &key, "/v", "ThreadingModel", "/d", "Apartment", "/f"]);
        wine
    }

    /// The words that run a program of that Debian.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let script = "mount -t proc proc \"$0/proc\" && mount --bind /dev \"$0/dev\" && exec chroot \"$0\" env HOME=/opt/taxdisk \
                      WINEPREFIX=/opt/taxdisk/wine WINEDEBUG=-all \"$@\"";
        let before = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, self.root.to_str().unwrap()];
        before.iter().chain(words).map(|word| (*word).to_owned()).collect()
    }

    /// What Wine starts of its own keeps what it is given as output for ever: it is given none.
    fn quietly(&self, words: &[&str]) -> ExitStatus {
        let mut command = Command::new("env");
        command.args(self.words(words)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap()
    }

    /// A program of Windows.
    fn say(&self, words: &[&str]) {
        assert!(self.quietly(&[&[WINE_32], words].concat()).success(), "{words:?}");
    }

    /// Ends what runs in it, and nothing else; waits for its end.
    fn end(&self) {
        for word in ["-k", "-w"] {
            let mut command = Command::new("chroot");
            command.arg(&self.root).args(["env", "HOME=/opt/taxdisk", "WINEPREFIX=/opt/taxdisk/wine", SERVER_32, word]);
            let _ = command.output();
        }
    }

    /// The bridge with these words, and the stand-in with these variables.
    fn link(&self, variables: &[(&str, &str)], words: &[&str]) -> CommandLink {
        let words = [&[WINE_32, "/opt/taxdisk/taxdisk-bridge.exe"], words].concat();
        let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
        CommandLink::new("/usr/bin/env", variables.chain(self.words(&words)))
    }
}

/// Where that Debian has them.
const WINE_32: &str = "/usr/lib/wine/wine";
const SERVER_32: &str = "/usr/lib/wine/wineserver32";

impl Drop for Wine32 {
    fn drop(&mut self) {
        self.end();
    }
}

const LIBRARY: &str = r"Z:\opt\taxdisk\stand_in.dll";
/// Both ways to the stand-in.
const WAYS: [&[&str]; 2] = [&[LIBRARY], &["--class", CLASS]];

/// A simulated disk, its component on loopback, and the bridge of 32 bits before it.
struct Bridged<'a> {
    inner: ComponentStand,
    wine: &'a Wine32,
    words: &'static [&'static str],
    url: String,
}

impl<'a> Bridged<'a> {
    fn new(wine: &'a Wine32, words: &'static [&'static str], folder: &Path) -> Bridged<'a> {
        let inner = ComponentStand::new(Component::Nisec, folder).unwrap();
        let url = inner.link().unwrap().describe();
        Bridged { inner, wine, words, url }
    }

    fn link(&self, variables: &[(&str, &str)]) -> Box<dyn DocumentLink> {
        let variables = [variables, &[("TAXDISK_STAND_IN_URL", &self.url)]].concat();
        Box::new(self.wine.link(&variables, self.words))
    }
}

impl Stand for Bridged<'_> {
    fn name(&self) -> String {
        format!("{}, the bridge of 32 bits before it: {:?}", self.inner.name(), self.words)
    }

    fn kind(&self) -> InvoiceKind {
        self.inner.kind()
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
        self.inner.driver(self.link(&[]))
    }

    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
        self.inner.open_with_wrong_password()
    }

    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
        self.inner.with_disk(work);
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        self.inner.trouble(trouble)
    }

    fn calm(&mut self) {
        self.inner.calm();
    }
}

#[test]
fn on_32_bits_every_end_of_a_component_is_called_what_it_is() {
    let wine = Wine32::start();
    never_called(&wine);
    for words in WAYS {
        let dir = tempfile::tempdir().unwrap();
        let report = run(&mut Bridged::new(&wine, words, dir.path()));
        assert!(report.failures().next().is_none(), "{words:?}: {:?}", report.failures().collect::<Vec<_>>());
        assert!(report.cases.len() > 10, "{} cases", report.cases.len());
        for mode in ["crash", "exit", "garbage", "null", "empty", "hang", "late"] {
            doubt(&wine, words, mode);
        }
    }
}

/// What never reached the component is proven not sent, and says why.
fn never_called(wine: &Wine32) {
    let other_class = "{00000000-0000-0000-0000-00000000FFFF}";
    let seen = wine.root.join("opt/taxdisk/seen");
    for words in [
        &[r"Z:\nonexistent\NISEC_SKSC.dll"][..],
        &[LIBRARY, "--function", "NoSuchFunction"],
        &["--class", other_class],
        &["--class", "No.SuchClass"],
        &["--class", CLASS, "--method", "NoSuchMethod"],
    ] {
        let answer = wine.link(&[("TAXDISK_STAND_IN_SEEN", "/opt/taxdisk/seen")], words).call(b"<x/>", ENOUGH);
        let refused = answer.unwrap_err();
        assert_eq!(refused.sent, Sent::No, "{words:?}: {refused}");
        assert!(!seen.exists(), "{words:?}: the component got something");
    }
    for words in WAYS {
        let answer = wine.link(&[("TAXDISK_STAND_IN_SEEN", "/opt/taxdisk/seen")], words).call(b"<x/>", ENOUGH).unwrap();
        assert!(String::from_utf8(answer).unwrap().contains("<returncode>0</returncode>"), "{words:?}");
        assert_eq!(std::fs::read(&seen).unwrap(), b"<x/>\n", "{words:?}");
        std::fs::remove_file(&seen).unwrap();
    }
}

/// An issuing command that meets a broken component is doubt, and reading tells what became of it.
fn doubt(wine: &Wine32, words: &'static [&'static str], mode: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut stand = Bridged::new(wine, words, dir.path());
    let mut good = stand.open().unwrap();
    assert_eq!(good.fence(), Fence::None, "nothing proves that the component does not go on");
    let (seller, kind) = (good.identity().unwrap(), stand.kind());
    let expected = good.stock(kind).unwrap().current;
    let invoice = sample::plain(good.capabilities());
    let key = JobKey { seller: SELLER.parse().unwrap(), serial: format!("BRIDGE{mode}").parse().unwrap() };
    let remark = mark(&key);
    let link = stand.link(&[("TAXDISK_STAND_IN", mode), ("TAXDISK_STAND_IN_AT", "id=\"FPKJ\"")]);
    let mut broken = stand.inner.driver(link).unwrap();
    let answer = broken.issue(&IssueRequest {
        kind,
        expected,
        invoice: &invoice,
        remark: &remark,
        seller: &seller,
        red: None,
        request_id: "BRIDGE1",
    });
    assert!(matches!(answer, IssueAnswer::InDoubt(_)), "{words:?}, {mode}: {answer:?}");
    let mut numbers = 0;
    stand.with_disk(&mut |disk| numbers = disk.ledger().entries().len());
    let signed = mode == "late";
    assert_eq!(numbers, usize::from(signed), "{words:?}, {mode}");
    let found = good.query(kind, expected).unwrap();
    assert_eq!(found.is_some_and(|found| found.remark.contains(&remark)), signed, "{words:?}, {mode}");
}

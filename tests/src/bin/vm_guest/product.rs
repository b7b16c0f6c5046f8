//! The shipped broker and the shipped agent over a real kernel: both disks found by hot-plug, and cables that are pulled at
//! random points of a transfer, among them the one between signing and answer. The disks' own ledgers are the oracle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use taxdisk_drivers::conformance::sample::GOODS_CODE;
use taxdisk_drivers::sim::bot::{BotDevice, BotOptions, Ticker, real_ticker};
use taxdisk_drivers::sim::clock::real_time;
use taxdisk_drivers::sim::config::Segment;
use taxdisk_drivers::sim::faults::{Fault, FaultKind, Faults};
use taxdisk_drivers::sim::ledger::{LedgerEntry, Origin};
use taxdisk_drivers::sim::usb::{UsbAcm, UsbBot, UsbDevice};
use taxdisk_drivers::sim::zc::ZcOptions;
use taxdisk_drivers::sim::{Rig as ConverterRig, SimConfig, SimDisk};
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_tests::api::Api;
use taxdisk_tests::jobs::{SELLER, distinct};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

use crate::machine;
use crate::outlet::Outlet;

/// Pulls of each of the two cables: fifty in all.
const PULLS_EACH: u32 = 25;
/// How long the disks sign.
const SIGNING_MS: u64 = 30;
/// The issuing command of both dialects.
const ISSUE: u8 = 0x0A;
/// The longest that all jobs may take after the last cable is in again.
const END_PATIENCE: Duration = Duration::from_secs(120);
/// What udev makes of the converter: a name that stays while the number of the device file changes.
const BY_ID: &str = "/dev/serial/by-id/usb-TAXDISK_ZC_CONVERTER-if00";

/// A simulated disk on the bus.
trait OnBus: Send {
    /// The device as it is plugged in.
    fn device(&self) -> Box<dyn Fn() -> Box<dyn UsbDevice> + Send + Sync>;
    /// Works on the disk and its faults while its line stands still.
    fn with(&self, work: &mut dyn FnMut(&mut SimDisk, &mut Faults));
    /// The power goes with the cable: what was not signed never will be.
    fn cut_power(&self);
    /// The cable goes when the invoice is signed and the answer is not there, or not all of it.
    fn goes_after_signing(&self, random: &mut StdRng) -> FaultKind;
    /// What udev does when a device came.
    fn came(&self) {}
    /// What udev does when it went.
    fn went(&self) {}
}

/// The USB disk.
struct Stick(Arc<Mutex<BotDevice>>);

impl OnBus for Stick {
    fn device(&self) -> Box<dyn Fn() -> Box<dyn UsbDevice> + Send + Sync> {
        let device = Arc::clone(&self.0);
        Box::new(move || Box::new(UsbBot::new(Arc::clone(&device))))
    }

    fn with(&self, work: &mut dyn FnMut(&mut SimDisk, &mut Faults)) {
        let device = &mut *lock(&self.0);
        work(&mut device.disk, &mut device.faults);
    }

    fn cut_power(&self) {
        lock(&self.0).power_cut();
    }

    fn goes_after_signing(&self, _random: &mut StdRng) -> FaultKind {
        FaultKind::UsbUnplug
    }
}

/// The serial converter.
struct Converter {
    rig: Arc<Mutex<ConverterRig>>,
    ticker: Ticker,
    number: String,
}

impl OnBus for Converter {
    fn device(&self) -> Box<dyn Fn() -> Box<dyn UsbDevice> + Send + Sync> {
        let (rig, ticker) = (Arc::clone(&self.rig), Arc::clone(&self.ticker));
        Box::new(move || Box::new(UsbAcm::of_rig(Arc::clone(&rig), Arc::clone(&ticker))))
    }

    fn with(&self, work: &mut dyn FnMut(&mut SimDisk, &mut Faults)) {
        let rig = &mut *lock(&self.rig);
        work(&mut rig.disk, &mut rig.faults);
    }

    fn cut_power(&self) {
        lock(&self.rig).device.power_cut((self.ticker)());
    }

    fn goes_after_signing(&self, random: &mut StdRng) -> FaultKind {
        FaultKind::DieMidFrame { after_bytes: random.gen_range(0..12) }
    }

    fn came(&self) {
        let node =
            wait_for("the device file of the converter", PATIENCE, || tty_of(&self.number).ok_or_else(|| "none".to_owned()));
        let link = Path::new(BY_ID);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(node, link).unwrap();
    }

    fn went(&self) {
        std::fs::remove_file(BY_ID).unwrap();
        // The kernel strikes the port out some time after its line broke: until then the link would be made to the old one.
        wait_for("the old port to go", PATIENCE, || tty_of(&self.number).map_or(Ok(()), |node| Err(node.display().to_string())));
    }
}

/// The device file of the port whose USB device has this serial number, as udev finds it.
fn tty_of(number: &str) -> Option<PathBuf> {
    let ports = std::fs::read_dir("/sys/class/tty").ok()?.flatten();
    let mut modems = ports.filter(|port| port.file_name().to_string_lossy().starts_with("ttyACM"));
    let found = modems.find(|port| {
        let serial = std::fs::read_to_string(port.path().join("device/../serial"));
        serial.is_ok_and(|serial| serial.trim() == number)
    })?;
    Some(Path::new("/dev").join(found.file_name())).filter(|node| node.exists())
}

/// Whole or not begun, whatever panicked elsewhere.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn disk_config(number: &str, kind: InvoiceKind, code: &str) -> SimConfig {
    let number_of = |value| taxdisk_protocol::number::InvoiceNumber::new(value).unwrap();
    SimConfig {
        disk_number: number.to_owned(),
        taxpayer_number: SELLER.to_owned(),
        kinds: vec![kind],
        segments: vec![Segment {
            kind,
            code: code.parse().unwrap(),
            first: number_of(101),
            last: number_of(900),
            bought_at: None,
            closed: false,
        }],
        issue_time_ms: SIGNING_MS,
        ..SimConfig::default()
    }
}

/// What a round knows.
struct Place {
    name: &'static str,
    kind: InvoiceKind,
    disk: Box<dyn OnBus>,
    outlet: Outlet,
    /// What came of the pulls.
    seen: Seen,
}

/// Where the pulls fell.
#[derive(Debug, Default)]
struct Seen {
    /// Pulls in the middle of something.
    in_transfer: u32,
    /// Of these, after the number was used and before the host had the answer.
    after_signing: u32,
    /// With the power.
    without_power: u32,
    jobs: u32,
}

impl Place {
    fn plug(&mut self) {
        self.outlet.plug();
        self.disk.came();
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        let mut entries = Vec::new();
        self.disk.with(&mut |disk, _| entries = disk.ledger().entries().to_vec());
        entries
    }

    /// A job for this disk alone: no other has its kind.
    fn submit(&mut self, api: &Api) -> String {
        let serial = format!("{}{:04}", self.name, self.seen.jobs);
        self.seen.jobs += 1;
        let mut job: Value = distinct(&serial);
        job["kind"] = json!(self.kind.to_string());
        if self.kind != InvoiceKind::Roll {
            job["invoice"]["lines"][0]["goods_code"] = json!(GOODS_CODE);
            job["invoice"]["payee"] = json!("李四");
            job["invoice"]["reviewer"] = json!("王五");
        }
        let answer = api.submit(&job);
        assert_eq!(answer.status, 201, "{answer:?}");
        serial
    }

    /// One invoice without trouble; how many transfers it took.
    fn first_light(&mut self, api: &Api) -> u64 {
        let before = self.outlet.moved();
        let serial = self.submit(api);
        wait_for(&format!("{serial} to be issued"), PATIENCE, || issued(api, &serial));
        self.outlet.moved() - before
    }

    /// Plugs in, gives work, lets the cable go at a random point of it.
    fn round(&mut self, api: &Api, random: &mut StdRng, whole: u64) {
        let (serial, used) = (self.submit(api), self.ledger().len());
        let after_signing = random.gen_bool(0.3);
        if after_signing {
            let fault = Fault::once(self.disk.goes_after_signing(random)).on(ISSUE);
            self.disk.with(&mut |_, faults| assert!(faults.add(fault.clone())));
        } else {
            // Most fall into the job; some into the opening of the disk or the settling of the job before.
            if random.gen_bool(0.6) {
                wait_for("the jobs before", PATIENCE, || open_jobs(api, self.kind, 1));
            }
            self.outlet.break_after(random.gen_range(1..=whole));
        }
        let begun = Instant::now();
        wait_for(&format!("{} to leave the bus", self.name), PATIENCE, || {
            if self.outlet.is_out() {
                return Ok(());
            }
            // The job was through before its turn came: then the cable is pulled beside the work.
            if begun.elapsed() > Duration::from_secs(1) && issued(api, &serial).is_ok() {
                self.outlet.pull();
            }
            Err(format!("it is there; {serial} {:?}", api.job(SELLER, &serial).state))
        });
        self.outlet.pull();
        self.disk.went();
        self.disk.with(&mut |_, faults| faults.clear());
        if random.gen_bool(0.5) {
            self.disk.cut_power();
            self.seen.without_power += 1;
        }
        if issued(api, &serial).is_err() {
            self.seen.in_transfer += 1;
            self.seen.after_signing += u32::from(self.ledger().len() > used);
        }
        self.plug();
    }
}

fn issued(api: &Api, serial: &str) -> Result<(), String> {
    let job = api.try_job(SELLER, serial)?;
    if job.state == JobState::Issued { Ok(()) } else { Err(oracle::summary(&job)) }
}

/// Waits until no more than so many jobs of the kind are open.
fn open_jobs(api: &Api, kind: InvoiceKind, at_most: usize) -> Result<(), String> {
    let jobs = api.try_jobs(SELLER)?;
    let open: Vec<&JobView> = jobs.iter().filter(|job| job.kind == kind.to_string() && !job.state.is_terminal()).collect();
    if open.len() <= at_most { Ok(()) } else { Err(open.iter().map(|job| oracle::summary(job)).collect()) }
}

/// Guards I1, I2, I5 and I10 with the binaries that are shipped.
pub(crate) fn the_shipped_agent_survives_fifty_pulls() {
    let seed: u64 = machine::argument("taxdisk.seed").map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("seed {seed}; once more: cargo xtask vm --only shipped_agent --seed {seed}");
    let rig = Rig::new();
    let (stick_number, converter_number) = ("661500000077", "499000123477");
    let stick_disk = SimDisk::in_memory(disk_config(stick_number, InvoiceKind::PaperOrdinary, "1100000320"), real_time());
    let stick = Stick(Arc::new(Mutex::new(BotDevice::open(stick_disk, BotOptions::default(), real_ticker()).unwrap())));
    let converter_disk = SimDisk::in_memory(disk_config(converter_number, InvoiceKind::Roll, "011002000107"), real_time());
    let ticker = real_ticker();
    let acm = UsbAcm::new(converter_disk, ZcOptions::default(), Arc::clone(&ticker));
    let converter = Converter { rig: acm.rig(), ticker, number: converter_number.to_owned() };
    let place = |name, kind, disk: Box<dyn OnBus>, ports| {
        let outlet = Outlet::new(ports, disk.device());
        Place { name, kind, disk, outlet, seen: Seen::default() }
    };
    let mut places = [
        place("STICK", InvoiceKind::PaperOrdinary, Box::new(stick), 0..7),
        place("CONV", InvoiceKind::Roll, Box::new(converter), 7..14),
    ];
    // A silence of half a second in place of 3.5: where that is too short it costs a further settling, never an invoice. All
    // else is as shipped.
    let profiles = rig.path().join("profiles.d");
    std::fs::create_dir(&profiles).unwrap();
    let quick = "name = \"quick\"\nextends = \"zc-converter\"\n[timeouts]\nsilence_ms = 500\n";
    std::fs::write(profiles.join("quick.toml"), quick).unwrap();
    let usb = format!("1209:0001/{stick_number}");
    let disks = [
        (format!("usb:{usb}"), format!("usb = \"{usb}\"")),
        (BY_ID.to_owned(), format!("port = \"{BY_ID}\"\nprofile = \"quick\"\nspeed = 115200")),
    ];
    let mut agent = AgentRig::enroll_disks(
        &rig,
        "guest",
        &format!(
            "[log]\nlevel = \"taxdisk_agent=debug,taxdisk_drivers=debug,info\"\n[profiles]\ndir = \"{}\"\n",
            profiles.display()
        ),
        &disks,
    );
    // It starts with nothing plugged in: what it finds, it finds by hot-plug.
    agent.start(None);
    wait_for("the agent to be linked", PATIENCE, || {
        if rig.agents().iter().any(|agent| agent.online) { Ok(()) } else { Err("away".to_owned()) }
    });
    assert!(rig.disks().is_empty(), "{:?}", rig.disks());
    places.iter_mut().for_each(Place::plug);
    assert_eq!(std::fs::read_link(BY_ID).unwrap(), Path::new("/dev/ttyACM0"));
    rig.wait_online(stick_number);
    rig.wait_online(converter_number);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for (at, place) in places.iter_mut().enumerate() {
            let api = rig.api.clone();
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(seed ^ at as u64);
                let whole = place.first_light(&api);
                for _ in 0..PULLS_EACH {
                    place.round(&api, &mut random, whole);
                }
                println!(
                    "{} of {whole} transfers a job, {PULLS_EACH} pulls: {:?}, {} s",
                    place.name,
                    place.seen,
                    begun.elapsed().as_secs()
                );
            });
        }
    });
    let count: u32 = places.iter().map(|place| place.seen.jobs).sum();
    let jobs = oracle::wait_done(&rig.api, count as usize, END_PATIENCE);
    assert!(jobs.iter().all(|job| job.state == JobState::Issued), "{:?}", jobs.iter().map(oracle::summary).collect::<Vec<_>>());
    let entries: Vec<LedgerEntry> = places.iter().flat_map(Place::ledger).collect();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), jobs.len(), "I1: a number for each job and none besides");
    for place in &places {
        every_number_is_accounted_for(place, &jobs);
        assert!(place.seen.after_signing > 0, "{}: no cable went between signing and answer: {:?}", place.name, place.seen);
        assert!(place.seen.in_transfer > PULLS_EACH / 2, "{}: {:?}", place.name, place.seen);
    }
    // One process from the beginning to the end.
    assert!(agent.running.as_mut().unwrap().ended().is_none());
    let log = agent.log();
    assert!(!log.contains("panicked"), "{log}");
    println!("{} jobs, {} s", jobs.len(), begun.elapsed().as_secs());
    assert!(agent.running.as_mut().unwrap().terminate().success());
}

/// I5: the disk's numbers follow each other without a gap, and each belongs to one job.
fn every_number_is_accounted_for(place: &Place, jobs: &[JobView]) {
    let ours = jobs.iter().filter(|job| job.kind == place.kind.to_string());
    let owned: BTreeSet<(String, String)> =
        ours.filter_map(|job| job.issued.as_ref()).map(|issued| (issued.code.clone(), issued.number.clone())).collect();
    let entries = place.ledger();
    for (before, after) in entries.iter().zip(entries.iter().skip(1)) {
        assert_eq!(Some(after.pair()), before.pair().successor(), "{}", place.name);
    }
    let used = entries.iter().map(|entry| (entry.code.to_string(), entry.number.to_string())).collect();
    assert_eq!(owned, used, "{}: numbers of the broker and of the disk", place.name);
    assert!(entries.iter().all(|entry| entry.origin == Origin::Host));
}

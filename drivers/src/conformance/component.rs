//! The stands of dialects that speak documents: a component over HTTP on loopback, or behind a local command, before a
//! simulated disk.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use taxdisk_protocol::ids::{IdError, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;

use super::{Stand, Trouble};
use crate::dialects::nisec::{NisecConfig, NisecDisk};
use crate::dialects::skserver::{SkServerConfig, SkServerDisk};
use crate::disk::{DiskError, TaxDisk};
use crate::secret::Secret;
use crate::sim::bridge::{BRIDGE_PATH, COMPONENT_FILE, FilterFile, fresh_disk, open_disk};
use crate::sim::component::{ComponentFault, ComponentFaultKind, SKSERVER_PATH};
use crate::sim::faults::{ForeignContent, When};
use crate::sim::{HttpOptions, SimDisk, SimHandle, SimOptions, serve};
use crate::transport::document::{CommandLink, DocumentLink, HttpLink};

/// How long a driver waits here: the component answers at once, or never.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a component is away when it restarts.
const RESTART_MS: u64 = 50;
/// The longest wait for a component that restarts.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

/// Which component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The disk's own component.
    Nisec,
    /// A tax-control server.
    SkServer,
}

/// How it is reached.
enum Door {
    /// Over HTTP; the simulator runs all the time.
    Http(Box<SimHandle>),
    /// Through a program that is started for each document.
    Command { link: CommandLink, folder: PathBuf },
}

/// A component and the disk behind it.
pub struct ComponentStand {
    component: Component,
    door: Door,
}

impl ComponentStand {
    /// A fresh disk in `folder`, its component on a free port.
    ///
    /// # Errors
    /// The simulator cannot be started.
    pub fn new(component: Component, folder: &Path) -> io::Result<ComponentStand> {
        let options = SimOptions {
            state_dir: folder.join("disk"),
            config: fresh_disk(),
            http: Some(HttpOptions::default()),
            ..SimOptions::default()
        };
        Ok(ComponentStand { component, door: Door::Http(Box::new(serve(options)?)) })
    }

    /// A fresh disk in `folder`, the disk's component behind this program: it is given `arguments` and the disk's folder, reads
    /// one document and writes one ([`crate::sim::bridge::run_filter`]).
    ///
    /// # Errors
    /// The disk cannot be made.
    pub fn by_command(program: &Path, arguments: impl IntoIterator<Item = String>, folder: &Path) -> io::Result<ComponentStand> {
        let folder = folder.join("disk");
        open_disk(&folder)?;
        let arguments = arguments.into_iter().chain([folder.to_string_lossy().into_owned()]);
        let link = CommandLink::new(program, arguments);
        Ok(ComponentStand { component: Component::Nisec, door: Door::Command { link, folder } })
    }

    /// The driver's end of the link.
    ///
    /// # Errors
    /// The component does not listen.
    pub fn link(&self) -> Result<Box<dyn DocumentLink>, DiskError> {
        match &self.door {
            Door::Command { link, .. } => Ok(Box::new(link.clone())),
            Door::Http(sim) => {
                let address = sim.http().ok_or_else(|| DiskError::unsupported("the component does not listen"))?;
                let path = match self.component {
                    Component::Nisec => BRIDGE_PATH,
                    Component::SkServer => SKSERVER_PATH,
                };
                Ok(Box::new(HttpLink::new(format!("http://{address}{path}"))))
            }
        }
    }

    /// The next document that this fault names meets it.
    pub fn fault(&self, fault: ComponentFault) -> bool {
        match &self.door {
            Door::Http(sim) => sim.component_fault(fault),
            Door::Command { folder, .. } => FilterFile::load(folder)
                .and_then(|mut file| if file.faults.add(fault) { file.save(folder) } else { Err(io::ErrorKind::Other.into()) })
                .is_ok(),
        }
    }

    /// A driver with the right passwords on a link to this stand that may be anything, such as [`Self::link`] with something
    /// between.
    ///
    /// # Errors
    /// The disk has no number that a driver could be given.
    pub fn driver(&self, link: Box<dyn DocumentLink>) -> Result<Box<dyn TaxDisk>, DiskError> {
        self.driver_with(link, "88888888")
    }

    fn driver_with(&self, link: Box<dyn DocumentLink>, password: &str) -> Result<Box<dyn TaxDisk>, DiskError> {
        let (mut disk, mut taxpayer, mut name) = (String::new(), String::new(), String::new());
        self.with_disk(&mut |on| {
            let config = on.config();
            (disk, taxpayer, name) = (config.disk_number.clone(), config.taxpayer_number.clone(), config.taxpayer_name.clone());
        });
        match self.component {
            Component::Nisec => {
                let config = NisecConfig {
                    disk_password: Secret::new(password),
                    certificate_password: Secret::new("12345678"),
                    read_timeout: PATIENCE,
                    change_timeout: PATIENCE,
                    ..NisecConfig::default()
                };
                Ok(Box::new(NisecDisk::new(link, config)))
            }
            Component::SkServer => {
                let wrong = |error: IdError| DiskError::unsupported(error.to_string());
                let config = SkServerConfig {
                    taxpayer_name: name,
                    kinds: vec![self.kind()],
                    key_password: Secret::new("12345678"),
                    read_timeout: PATIENCE,
                    change_timeout: PATIENCE,
                    ..SkServerConfig::new(
                        "1",
                        disk.parse().map_err(wrong)?,
                        TaxpayerNumber::from_device(&taxpayer).map_err(wrong)?,
                    )
                };
                Ok(Box::new(SkServerDisk::new(link, config)))
            }
        }
    }
}

impl Stand for ComponentStand {
    fn name(&self) -> String {
        let component = match self.component {
            Component::Nisec => "nisec",
            Component::SkServer => "skserver",
        };
        let door = match self.door {
            Door::Http(_) => "over HTTP",
            Door::Command { .. } => "through a local command",
        };
        format!("{component}, {door}")
    }

    fn kind(&self) -> InvoiceKind {
        InvoiceKind::PaperOrdinary
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
        self.driver(self.link()?)
    }

    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
        // The server's documents name no disk password.
        (self.component == Component::Nisec).then(|| self.driver_with(self.link()?, "11111111"))
    }

    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
        match &self.door {
            Door::Http(sim) => sim.with(|rig| work(&mut rig.disk)),
            // No program runs now: it has the disk only while a document executes. Where the disk cannot be had, the case
            // finds that its work was not done.
            Door::Command { folder, .. } => {
                if let Ok(mut disk) = open_disk(folder) {
                    work(&mut disk);
                }
            }
        }
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        let refuse = |when| ComponentFaultKind::Refuse { code: "999999".to_owned(), text: "系统异常".to_owned(), when };
        let kind = match trouble {
            Trouble::LostCommand => ComponentFaultKind::LoseAnswer { when: When::Before },
            Trouble::LostAnswer => ComponentFaultKind::LoseAnswer { when: When::After },
            Trouble::DamagedAnswer => ComponentFaultKind::CutAnswer { after_bytes: 120 },
            // A document comes whole: the fence of every component is none.
            Trouble::TornAnswer => return false,
            Trouble::RefusedBefore => refuse(When::Before),
            Trouble::RefusedAfter => refuse(When::After),
            Trouble::Busy => ComponentFaultKind::Stall { ms: 300, when: When::After },
            Trouble::ForeignInvoice => {
                ComponentFaultKind::ForeignIssue { content: ForeignContent::SameAsNext(Some("别人的".to_owned())) }
            }
            Trouble::PowerCutBefore => ComponentFaultKind::Restart { when: When::Before, off_ms: RESTART_MS },
            Trouble::PowerCutAfter => ComponentFaultKind::Restart { when: When::After, off_ms: RESTART_MS },
        };
        self.fault(ComponentFault::once(kind))
    }

    fn calm(&mut self) {
        let sim = match &self.door {
            Door::Http(sim) => sim,
            // No file, no faults.
            Door::Command { folder, .. } => return drop(std::fs::remove_file(folder.join(COMPONENT_FILE))),
        };
        sim.with(|rig| rig.component.faults.clear());
        // Also ends what still hangs in it, so that no command of this case runs in the next.
        sim.restart_component(Duration::ZERO);
        let Some(address) = sim.http() else { return };
        let end = Instant::now() + RETURN_LIMIT;
        while TcpStream::connect(address).is_err() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

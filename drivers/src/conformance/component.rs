//! The stand of dialects that speak documents over HTTP: a component on loopback, before a simulated disk.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use taxdisk_protocol::ids::{IdError, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;

use super::{Stand, Trouble};
use crate::dialects::nisec::{NisecConfig, NisecDisk};
use crate::dialects::skserver::{SkServerConfig, SkServerDisk};
use crate::disk::{DiskError, TaxDisk};
use crate::secret::Secret;
use crate::sim::bridge::{BRIDGE_PATH, fresh_disk};
use crate::sim::component::{ComponentFault, ComponentFaultKind, SKSERVER_PATH};
use crate::sim::faults::{ForeignContent, When};
use crate::sim::{HttpOptions, SimDisk, SimHandle, SimOptions, serve};
use crate::transport::document::HttpLink;

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

/// A component and the disk behind it.
pub struct ComponentStand {
    component: Component,
    sim: SimHandle,
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
        Ok(ComponentStand { component, sim: serve(options)? })
    }

    fn opened(&self, password: &str) -> Result<Box<dyn TaxDisk>, DiskError> {
        let address = self.sim.http().ok_or_else(|| DiskError::unsupported("the component does not listen"))?;
        let (mut disk, mut taxpayer, mut name) = (String::new(), String::new(), String::new());
        self.sim.with(|rig| {
            let config = rig.disk.config();
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
                Ok(Box::new(NisecDisk::new(HttpLink::new(format!("http://{address}{BRIDGE_PATH}")), config)))
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
                Ok(Box::new(SkServerDisk::new(HttpLink::new(format!("http://{address}{SKSERVER_PATH}")), config)))
            }
        }
    }
}

impl Stand for ComponentStand {
    fn name(&self) -> String {
        match self.component {
            Component::Nisec => "nisec, over HTTP".to_owned(),
            Component::SkServer => "skserver, over HTTP".to_owned(),
        }
    }

    fn kind(&self) -> InvoiceKind {
        InvoiceKind::PaperOrdinary
    }

    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError> {
        self.opened("88888888")
    }

    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>> {
        // The server's documents name no disk password.
        (self.component == Component::Nisec).then(|| self.opened("11111111"))
    }

    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk)) {
        self.sim.with(|rig| work(&mut rig.disk));
    }

    fn trouble(&mut self, trouble: Trouble) -> bool {
        let refuse = |when| ComponentFaultKind::Refuse { code: "999999".to_owned(), text: "系统异常".to_owned(), when };
        let kind = match trouble {
            Trouble::LostCommand => ComponentFaultKind::LoseAnswer { when: When::Before },
            Trouble::LostAnswer => ComponentFaultKind::LoseAnswer { when: When::After },
            Trouble::DamagedAnswer => ComponentFaultKind::CutAnswer { after_bytes: 120 },
            // HTTP puts pieces together by itself.
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
        self.sim.component_fault(ComponentFault::once(kind))
    }

    fn calm(&mut self) {
        self.sim.with(|rig| rig.component.faults.clear());
        // Also ends what still hangs in it, so that no command of this case runs in the next.
        self.sim.restart_component(Duration::ZERO);
        let Some(address) = self.sim.http() else { return };
        let end = Instant::now() + RETURN_LIMIT;
        while TcpStream::connect(address).is_err() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

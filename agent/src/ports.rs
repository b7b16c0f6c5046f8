//! From a port in the configuration to a driver: the one place that knows which dialect needs what.
//!
//! It refuses to open a port without passwords: a converter answers nothing useful without them, and a command with an empty
//! password
//! may cost one of the few tries.

use std::time::Duration;

use taxdisk_drivers::dialects::zc::exchange::Timings;
use taxdisk_drivers::dialects::zc::{ZcConfig, ZcDisk};
use taxdisk_drivers::disk::TaxDisk;
use taxdisk_drivers::transport::LineError;
use taxdisk_drivers::transport::serial::SerialLine;
use taxdisk_protocol::class::DeviceClass;

use crate::config::DiskConfig;
use crate::secrets::{DiskSecret, Secrets};
use crate::worker::{Opener, Why};

/// Opens one configured port.
#[derive(Debug)]
pub struct Port {
    /// As configured.
    pub config: DiskConfig,
    /// Where its passwords are.
    pub secrets: Secrets,
}

impl Port {
    /// The passwords of this port.
    ///
    /// # Errors
    /// None were set, or they cannot be read.
    pub fn secret(&self) -> Result<DiskSecret, Why> {
        let name = self.config.name();
        match self.secrets.find(&name) {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(Why {
                class: DeviceClass::BadPassword,
                text: format!("No passwords are set for {name}: run `taxdisk-agent disks secret set {name}`."),
            }),
            Err(failure) => Err(Why { class: DeviceClass::BadPassword, text: failure.text }),
        }
    }

    /// Opens the line alone, for `doctor`.
    ///
    /// # Errors
    /// Not there, held, not permitted, not a serial port.
    pub fn line(&self) -> Result<SerialLine, LineError> {
        SerialLine::open(&self.config.name(), self.config.speed)
    }

    /// The driver's settings.
    pub fn settings(&self, secret: DiskSecret) -> ZcConfig {
        ZcConfig {
            disk_password: secret.disk_password,
            certificate_password: secret.certificate_password,
            max_lines: self.config.max_lines,
            timings: Timings { first_byte: Duration::from_millis(self.config.answer_timeout_ms.into()), ..Timings::default() },
            ..ZcConfig::default()
        }
    }
}

/// Class and text of a line that does not open.
pub fn why(error: &LineError) -> Why {
    let class = match error {
        LineError::NotFound { .. } | LineError::Gone { .. } => DeviceClass::NotPresent,
        _ => DeviceClass::Link,
    };
    Why { class, text: error.to_string() }
}

impl Opener for Port {
    fn open(&mut self) -> Result<Box<dyn TaxDisk>, Why> {
        // The line first: for a port that is not there, nobody needs to hear of passwords.
        let line = self.line().map_err(|error| why(&error))?;
        let secret = self.secret()?;
        Ok(Box::new(ZcDisk::new(line, self.settings(secret))))
    }
}

//! Settings of one disk behind a NISEC component.

use std::time::Duration;

use super::document::Issuing;
use crate::secret::Secret;

/// What the driver has to know about a disk that the disk does not tell.
#[derive(Debug, Clone)]
pub struct NisecConfig {
    /// 税控盘口令 (skpkl).
    pub disk_password: Secret,
    /// 数字证书密码 (keypwd).
    pub certificate_password: Secret,
    /// What an invoice says besides its content.
    pub issuing: Issuing,
    /// The most lines of an invoice; paper has its own, lower limit ([`Issuing::paper_lines`]).
    pub max_lines: u16,
    /// The longest that a reading command may take.
    pub read_timeout: Duration,
    /// The longest that a changing command may take. Too short is safe: what outlives it is settled by reading.
    pub change_timeout: Duration,
}

impl Default for NisecConfig {
    fn default() -> NisecConfig {
        NisecConfig {
            disk_password: Secret::default(),
            certificate_password: Secret::default(),
            issuing: Issuing::default(),
            max_lines: 100,
            read_timeout: Duration::from_secs(30),
            change_timeout: Duration::from_secs(120),
        }
    }
}

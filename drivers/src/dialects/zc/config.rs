//! Settings of one disk behind a ZC line.

use std::time::Duration;

use super::exchange::Timings;
use crate::secret::Secret;

/// Which sign the amounts of a red invoice carry. Converters differ (device-serial-zc.md, section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedSign {
    /// Positive amounts; only the mark kplx says "red". What the examined converter expects.
    #[default]
    Positive,
    /// Negative amounts.
    Negative,
}

/// In which form the commands travel. Not every converter takes documents on its line: the fixed form is the safe one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Type 0x10: fields of fixed width.
    #[default]
    Fixed,
    /// Type 0x20: XML documents (device-serial-zc.md, section 7).
    Xml,
}

/// What the driver has to know about a disk that the disk does not tell.
#[derive(Debug, Clone)]
pub struct ZcConfig {
    /// 税控盘口令 (skpkl): the disk's password, up to 8 characters.
    pub disk_password: Secret,
    /// 证书口令 (zskl): the certificate's password, up to 8 characters.
    pub certificate_password: Secret,
    /// 机器编号 (jqbh) of this register, up to 12 characters; may be empty.
    pub machine_number: String,
    /// 开票机号 (kpjh), up to 5 digits; 0 is the main machine.
    pub issuer_number: String,
    /// The most lines of an invoice. The tax disk itself refuses details over 64 KB; converters have room for 10 to 64.
    pub max_lines: u16,
    /// The form of the commands.
    pub framing: Framing,
    /// Sign of red amounts.
    pub red_sign: RedSign,
    /// Time limits.
    pub timings: Timings,
}

impl ZcConfig {
    /// The longest that any call takes when the device answers as slowly as it may: for the deadlines above.
    pub fn longest_call(&self) -> Duration {
        // An invoice: parties and remark, and for each line its name and amounts, in packets of 248 bytes. A document has fewer.
        let bytes = 1024 + 128 * u32::from(self.max_lines);
        self.timings.longest_call(bytes.div_ceil(248))
    }
}

impl Default for ZcConfig {
    fn default() -> ZcConfig {
        ZcConfig {
            disk_password: Secret::default(),
            certificate_password: Secret::default(),
            machine_number: String::new(),
            issuer_number: "0".to_owned(),
            max_lines: 10,
            framing: Framing::default(),
            red_sign: RedSign::default(),
            timings: Timings::default(),
        }
    }
}

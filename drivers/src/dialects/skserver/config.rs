//! Settings of one disk behind an SKServer.

use std::time::Duration;

use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use crate::dialects::nisec::document::Issuing;
use crate::secret::Secret;

/// How a query names a number (cxfs 0). A property of the product, never found out by trying (B.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberForm {
    /// Code, first and last number in one string: SKServer itself.
    #[default]
    CodeFirstLast,
    /// `code~number`: server products whose terminals are called `nsrsbh~~kpzdbs`. They cannot be asked for a range.
    CodeTildeNumber,
}

/// An invoice that is known to have been issued for a request: the positive control of the query by serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRequest {
    /// Kind.
    pub kind: InvoiceKind,
    /// The serial that it was issued for. One of 16 digits proves nothing: it could be two dates.
    pub serial: String,
    /// Its code and number.
    pub pair: NumberPair,
}

impl KnownRequest {
    /// A product that reads dates would read this serial as two of them.
    pub fn could_be_dates(serial: &str) -> bool {
        serial.len() == 16 && serial.bytes().all(|digit| digit.is_ascii_digit())
    }
}

/// What the driver has to know about a disk that the server does not tell.
#[derive(Debug, Clone)]
pub struct SkServerConfig {
    /// 开票终端标识 (kpzdbs): names one disk behind the server.
    pub terminal: String,
    /// Number of that disk. Invoices that are read back must name it where they name any.
    pub disk: DiskNumber,
    /// Its taxpayer; must be what the server says.
    pub taxpayer: TaxpayerNumber,
    /// His name, as it stands on invoices.
    pub taxpayer_name: String,
    /// The kinds that the disk is licensed for.
    pub kinds: Vec<InvoiceKind>,
    /// 税控钥匙 password (keypwd).
    pub key_password: Secret,
    /// Number of the 税控钥匙 (keyno), if it is to be checked.
    pub key_number: Option<String>,
    /// What an invoice says besides its content.
    pub issuing: Issuing,
    /// The most lines of an invoice; paper has its own, lower limit ([`Issuing::paper_lines`]).
    pub max_lines: u16,
    /// How a query names a number.
    pub number_form: NumberForm,
    /// The digit of cxfs by which this product is asked for a request serial; `None` where it cannot be, or where nobody
    /// knows. It must be proven besides ([`super::SkServerDisk::prove_request_query`]).
    pub request_query: Option<u8>,
    /// With which invoice that is proven, by the first question who the disk is and after every failure of the link. `None`:
    /// none is known, so the query is not used.
    pub known_request: Option<KnownRequest>,
    /// The longest that a reading command may take.
    pub read_timeout: Duration,
    /// The longest that a changing command may take. Too short is safe: what outlives it is settled by reading.
    pub change_timeout: Duration,
}

impl SkServerConfig {
    /// The settings that most servers need.
    pub fn new(terminal: impl Into<String>, disk: DiskNumber, taxpayer: TaxpayerNumber) -> SkServerConfig {
        SkServerConfig {
            terminal: terminal.into(),
            disk,
            taxpayer,
            taxpayer_name: String::new(),
            kinds: Vec::new(),
            key_password: Secret::default(),
            key_number: None,
            issuing: Issuing::default(),
            max_lines: 100,
            number_form: NumberForm::default(),
            request_query: None,
            known_request: None,
            read_timeout: Duration::from_secs(30),
            change_timeout: Duration::from_secs(120),
        }
    }
}

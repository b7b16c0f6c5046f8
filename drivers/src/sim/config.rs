//! What a simulated disk is: identity, licences, stock, limits, passwords. Kept as `disk.json` in its folder, together with
//! what changes while it runs ([`DiskState`]). A person may edit the file while the simulator is stopped.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::{Amount, TaxRate};
use taxdisk_protocol::number::{InvoiceCode, InvoiceNumber};

use super::clock::{ClockSetting, Stamp};
use super::rules::ComponentRules;

/// Name of the configuration in the disk's folder.
pub const CONFIG_FILE: &str = "disk.json";

/// A piece of stock: numbers `first..=last` under one code. Segments of a kind are used in the order in which they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Kind of the invoices.
    pub kind: InvoiceKind,
    /// Their code.
    pub code: InvoiceCode,
    /// First number.
    pub first: InvoiceNumber,
    /// Last number, this one included.
    pub last: InvoiceNumber,
    /// When it was read in; absent = it was always there. For period statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bought_at: Option<Stamp>,
    /// No number of it is used any more (the pair jumped to the next segment).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// Limits and dates. `None` = the disk tells nothing and enforces nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// 单张限额, compared with the total with tax on a till's receipt and without tax on a full invoice.
    pub invoice: Option<Amount>,
    /// 开票截止日期, `yyyyMMdd`: issuing stops after this day (JSK702).
    pub deadline: Option<String>,
    /// 报税起始, `yyyyMMddHHmmss`.
    pub period_start: Option<Stamp>,
    /// 报税终止.
    pub period_end: Option<Stamp>,
    /// 上传截止日: day of the month.
    pub upload_day: Option<u8>,
    /// 离线时长, hours.
    pub offline_hours: Option<u32>,
    /// 离线张数 (lxkpzs).
    pub offline_count: Option<u32>,
    /// 离线累计金额上限 of positive invoices.
    pub offline_amount: Option<Amount>,
    /// 剩余容量, bytes. Shown, not enforced.
    pub free_bytes: Option<u32>,
}

impl Default for LimitConfig {
    fn default() -> Self {
        LimitConfig {
            invoice: Amount::from_fen(99_999_999),
            deadline: None,
            period_start: None,
            period_end: None,
            upload_day: Some(15),
            offline_hours: Some(72),
            offline_count: None,
            offline_amount: Amount::from_fen(50_000_000),
            free_bytes: Some(8_388_608),
        }
    }
}

/// How a signature looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// Made from the content, so that two different invoices never look alike.
    Derived,
    /// Always this fiscal code; signatures are the prefix and the count of signatures, four digits (golden tests).
    Counted {
        /// 税控码.
        fiscal_code: String,
        /// What every signature begins with.
        prefix: String,
    },
}

/// The sign of amounts on a red invoice in the dialect that the disk speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedSign {
    /// As on the original; only the operation says "red" (the serial converter).
    Positive,
    /// All amounts negative.
    Negative,
}

/// One simulated disk. Every field has a default; the default disk is the one of the published vectors with a running clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// The number inside the disk.
    pub disk_number: String,
    /// Whose disk it is.
    pub taxpayer_number: String,
    /// His name.
    pub taxpayer_name: String,
    /// 机器编号 of the cash register that may use the disk (else JSK4007); absent = any.
    pub machine_number: Option<String>,
    /// 报税盘 that is plugged in beside it.
    pub report_disk: Option<String>,
    /// 税务机关代码.
    pub office_code: String,
    /// 税务机关名称.
    pub office_name: String,
    /// 启用时间.
    pub enabled_since: String,
    /// Version text, at most 10 bytes.
    pub version: String,
    /// 开票机号.
    pub machine_index: String,
    /// Licensed kinds.
    pub kinds: Vec<InvoiceKind>,
    /// Licensed rates.
    pub rates: Vec<TaxRate>,
    /// Stock.
    pub segments: Vec<Segment>,
    /// Limits and dates.
    pub limits: LimitConfig,
    /// 税控盘口令. Made up: a simulated disk guards nothing.
    pub disk_password: String,
    /// 证书口令.
    pub certificate_password: String,
    /// Wrong passwords in a row until it is locked (238).
    pub password_tries: u8,
    /// Most lines of one invoice (562).
    pub max_lines: u16,
    /// Rules of full invoices, for orders that come through a component.
    pub component: ComponentRules,
    /// Sign of reds through the converter; a component's are always negative.
    pub red_sign: RedSign,
    /// How signatures look.
    pub signing: Signing,
    /// How long signing takes.
    pub issue_time_ms: u64,
    /// Whether the disk has network: then everything is uploaded before the next command.
    pub online: bool,
    /// How its clock stands to the real one.
    pub clock: ClockSetting,
    /// What changes while it runs.
    pub state: DiskState,
}

/// The part of the disk that its own work changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskState {
    /// Wrong disk passwords in a row.
    pub disk_password_misses: u8,
    /// Wrong certificate passwords in a row.
    pub certificate_password_misses: u8,
    /// Locked, with this JSK code (21, 701, 702 …).
    pub locked: Option<u32>,
    /// Last period report: invoices up to here can no longer be voided.
    pub reported_at: Option<Stamp>,
    /// What the last declaration of a fiscal card said (F4), as it came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub declaration: Vec<u8>,
    /// A report was made and waits to be cleared.
    pub report_pending: bool,
    /// So many ledger entries, from the first, were uploaded. Only kept while offline.
    pub uploaded_count: usize,
    /// The upload thread was started by command 16.
    pub uploading: bool,
    /// Invoices whose upload failed: code, number, text.
    pub upload_errors: Vec<(InvoiceCode, InvoiceNumber, String)>,
}

fn parsed<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("only literals of this file come here, and a test builds them")
}

impl Default for SimConfig {
    fn default() -> Self {
        SimConfig {
            disk_number: "499000123456".to_owned(),
            taxpayer_number: "91110000MA00000019".to_owned(),
            taxpayer_name: "示例商贸有限公司".to_owned(),
            machine_number: None,
            report_disk: None,
            office_code: "11101080000".to_owned(),
            office_name: "国家税务总局示例区税务局".to_owned(),
            enabled_since: "20250101000000".to_owned(),
            version: "SIM0100".to_owned(),
            machine_index: "0".to_owned(),
            kinds: vec![InvoiceKind::Roll],
            rates: ["0.13", "0.09", "0.06", "0.05", "0.03", "0.01", "0.00"].map(parsed).to_vec(),
            segments: vec![Segment {
                kind: InvoiceKind::Roll,
                code: parsed("011002000107"),
                first: parsed("00000088"),
                last: parsed("00001000"),
                bought_at: None,
                closed: false,
            }],
            limits: LimitConfig::default(),
            disk_password: "88888888".to_owned(),
            certificate_password: "12345678".to_owned(),
            password_tries: 5,
            max_lines: 10,
            component: ComponentRules::default(),
            red_sign: RedSign::Positive,
            signing: Signing::Derived,
            issue_time_ms: 0,
            online: true,
            clock: ClockSetting::OffsetS(0),
            state: DiskState::default(),
        }
    }
}

impl SimConfig {
    /// The disk that made the golden vectors (device-serial-zc.md, section 10): offline, its clock standing at 2026-03-02
    /// 10:15:30.
    pub fn of_the_vectors() -> SimConfig {
        SimConfig {
            limits: LimitConfig {
                invoice: Amount::from_fen(999_999),
                deadline: Some("20260331".to_owned()),
                period_start: Some(parsed("20260201000000")),
                period_end: Some(parsed("20260228235959")),
                ..LimitConfig::default()
            },
            signing: Signing::Counted {
                fiscal_code: "01234567890123456789".to_owned(),
                prefix: "MEUCIQ-SAMPLE-SIGNATURE-".to_owned(),
            },
            online: false,
            clock: ClockSetting::Fixed(parsed("20260302101530")),
            state: DiskState { reported_at: Some(parsed("20260215093000")), ..DiskState::default() },
            ..SimConfig::default()
        }
    }

    /// A disk as it stands behind a component: paper and electronic kinds, two segments each, codes of 10 and 12 digits, a
    /// clock that stands at 2026-03-02 10:15:30, offline.
    pub fn of_a_component() -> SimConfig {
        let segment = |kind, code, first, last| Segment {
            kind,
            code: parsed(code),
            first: parsed(first),
            last: parsed(last),
            bought_at: Some(parsed("20260110090000")),
            closed: false,
        };
        SimConfig {
            disk_number: "661500000001".to_owned(),
            kinds: vec![
                InvoiceKind::PaperSpecial,
                InvoiceKind::PaperOrdinary,
                InvoiceKind::Roll,
                InvoiceKind::ElectronicOrdinary,
            ],
            segments: vec![
                segment(InvoiceKind::PaperSpecial, "1100000140", "00000011", "00000020"),
                segment(InvoiceKind::PaperSpecial, "1100000141", "00000501", "00000600"),
                segment(InvoiceKind::PaperOrdinary, "1100000320", "00000088", "00000100"),
                segment(InvoiceKind::PaperOrdinary, "1100000321", "00002001", "00002100"),
                segment(InvoiceKind::Roll, "011002000107", "00000088", "00001000"),
                segment(InvoiceKind::ElectronicOrdinary, "011002000111", "00000001", "00000010"),
                segment(InvoiceKind::ElectronicOrdinary, "011002100111", "00000301", "00000400"),
            ],
            ..SimConfig::of_the_vectors()
        }
    }

    /// Reads `disk.json`; `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be read or is not a configuration; the text names the place.
    pub fn load(folder: &Path) -> io::Result<Option<SimConfig>> {
        let path = folder.join(CONFIG_FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let config = serde_json::from_slice(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))?;
        Ok(Some(config))
    }

    /// Writes `disk.json` whole or not at all; durable on return.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let temporary = folder.join("disk.json.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        // If we stop before the rename, the old file stands; after it, the new one. Never half of one.
        file.sync_data()?;
        std::fs::rename(&temporary, folder.join(CONFIG_FILE))?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn configuration_survives_its_file_and_names_mistakes() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(SimConfig::load(folder.path()).unwrap(), None);
        let config = SimConfig::of_the_vectors();
        config.save(folder.path()).unwrap();
        assert_eq!(SimConfig::load(folder.path()).unwrap(), Some(config));
        std::fs::write(folder.path().join(CONFIG_FILE), br#"{"max_lines": 30}"#).unwrap();
        assert_eq!(SimConfig::load(folder.path()).unwrap(), Some(SimConfig { max_lines: 30, ..SimConfig::default() }));
        // A file from before a disk had components: its limits name every field of then.
        let older = br#"{"limits": {"invoice": "9.99", "offline_hours": 72}, "red_sign": "negative"}"#;
        std::fs::write(folder.path().join(CONFIG_FILE), older).unwrap();
        let older = SimConfig::load(folder.path()).unwrap().unwrap();
        assert_eq!((older.component, older.limits.offline_count), (ComponentRules::default(), None));
        std::fs::write(folder.path().join(CONFIG_FILE), br#"{"max_line": 30}"#).unwrap();
        assert!(SimConfig::load(folder.path()).unwrap_err().to_string().contains("max_line"));
    }
}

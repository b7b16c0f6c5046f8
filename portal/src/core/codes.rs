//! 码上开票: a person at the merchant's makes a code; whoever scans it names the buyer. One code, one invoice.
//!
//! A code is a request like one of `insertForQRInvoice`, with a serial number that was fixed when its form was opened: the form
//! sent twice, from two tabs or after the back button finds the code that is there. What became of a code is in its request, so
//! it cannot say anything else than the invoice does.
//!
//! A code is cancelled only while nobody filled it in. Filling ([`super::claim`]) and cancelling both go through the one writer
//! and both start from [`Phase::Buyer`]: whichever comes first wins, and the other one is told.

use serde::{Deserialize, Serialize};

use super::act;
use super::insert::{self, Batch, Refusal, Verdict};
use super::links::{self, Kind, Link, LinkKey};
use super::request::{Phase, Request};
use crate::ledger::Session;
use crate::store::StoreError;

/// A logo on receipts at most, bytes: 58 mm of thermal paper have 384 dots.
pub const MAX_LOGO_BYTES: usize = 64 * 1024;

/// That a request is a code made by a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Tenant.
    pub tenant: String,
    /// Serial number of the request.
    pub serial: String,
    /// ORGCODE of the issue point.
    pub orgcode: String,
    /// Who made it.
    pub made_by: String,
    /// Milliseconds.
    pub created_at: i64,
}

/// Where a code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// 未使用.
    Unused,
    /// 已填写: the buyer is known; nothing is proven to be issued yet.
    Filled,
    /// 已开票.
    Issued,
    /// 已作废 as a code; no invoice exists.
    Cancelled,
}

impl Standing {
    /// Of the request of a code.
    pub fn of(request: &Request) -> Standing {
        match request.phase {
            Phase::Buyer => Standing::Unused,
            Phase::Issued => Standing::Issued,
            Phase::Deleted => Standing::Cancelled,
            _ => Standing::Filled,
        }
    }

    /// All of them, in the order of a code's life.
    pub const ALL: [Standing; 4] = [Standing::Unused, Standing::Filled, Standing::Issued, Standing::Cancelled];

    /// As queries write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Unused => "unused",
            Standing::Filled => "filled",
            Standing::Issued => "issued",
            Standing::Cancelled => "cancelled",
        }
    }

    /// In Chinese.
    pub fn text(self) -> &'static str {
        match self {
            Standing::Unused => "未使用",
            Standing::Filled => "已填写",
            Standing::Issued => "已开票",
            Standing::Cancelled => "已取消",
        }
    }
}

/// What making a code did.
#[derive(Debug, Clone)]
pub enum Made {
    /// There is a code now, or was before under this serial number; and its link, unless that was revoked.
    Code(Box<Request>, Option<Link>),
    /// Not taken; no code exists.
    Refused(Refusal),
}

/// Makes a code. `batch` holds one document with a code and without a buyer.
///
/// # Errors
/// Those of the store.
pub async fn make(session: &mut Session, batch: &Batch, person: &str, key: &LinkKey, valid_ms: i64) -> Result<Made, StoreError> {
    let [document] = batch.documents.as_slice() else {
        return Ok(Made::Refused(Refusal::new("", "INVALID_DATA", "一次只能生成一个二维码")));
    };
    // A code that is known answers, cancelled or not: a form that is sent again never brings it back to life.
    let known = match session.db.code(&batch.tenant, &document.serial).await? {
        Some(_) => session.db.request(&batch.tenant, &document.serial).await?,
        None => None,
    };
    let request = match known {
        Some(request) => request,
        None => match insert::insert(session, batch).await?.pop() {
            Some(Verdict::Taken(seen)) => {
                let code = Code {
                    tenant: batch.tenant.clone(),
                    serial: seen.request.serial.clone(),
                    orgcode: seen.request.orgcode.clone(),
                    made_by: person.to_owned(),
                    created_at: session.now,
                };
                session.db.add_code(&code).await?;
                seen.request
            }
            Some(Verdict::Repeat(seen)) => seen.request,
            Some(Verdict::Refused(refusal)) => return Ok(Made::Refused(refusal)),
            None => return Ok(Made::Refused(Refusal::new(&document.serial, "INVALID_DATA", "没有单据"))),
        },
    };
    // Durable together with the request: a code that is named opens something. One that came by another road has none.
    let link = match request.qr {
        Some(_) => links::current(session, key, Kind::Code, &batch.tenant, &request.serial, valid_ms).await?,
        None => None,
    };
    Ok(Made::Code(Box::new(request), link))
}

/// What cancelling did.
#[derive(Debug, Clone)]
pub enum Cancelled {
    /// Cancelled now or before: no invoice exists, and none will.
    Done,
    /// Somebody filled it in before; the request as it stands.
    TooLate(Box<Request>),
    /// No such code of this tenant.
    Unknown,
}

/// Cancels a code that nobody filled in.
///
/// # Errors
/// Those of the store.
pub async fn cancel(session: &mut Session, tenant: &str, serial: &str, person: &str) -> Result<Cancelled, StoreError> {
    if session.db.code(tenant, serial).await?.is_none() {
        return Ok(Cancelled::Unknown);
    }
    let Some(request) = session.db.request(tenant, serial).await? else { return Ok(Cancelled::Unknown) };
    match request.phase {
        Phase::Deleted => Ok(Cancelled::Done),
        Phase::Buyer => match act::send_back(session, tenant, person, serial, true).await? {
            act::Returned::Done => Ok(Cancelled::Done),
            _ => Ok(Cancelled::TooLate(Box::new(request))),
        },
        _ => Ok(Cancelled::TooLate(Box::new(request))),
    }
}

/// Width of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Width {
    /// 58 mm.
    #[default]
    #[serde(rename = "58")]
    Mm58,
    /// 80 mm.
    #[serde(rename = "80")]
    Mm80,
}

/// Which facts a receipt shows. The code itself and its serial number are always on it: a damaged code is found by the number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Receipt {
    /// Width of the paper.
    pub width: Width,
    /// 销方名称.
    pub seller: bool,
    /// Lines with quantity and amount.
    pub lines: bool,
    /// 价税合计.
    pub total: bool,
    /// When it was made.
    pub time: bool,
    /// 发票提取码.
    pub extraction_code: bool,
    /// A line above the code, 60 characters at most.
    pub heading: String,
    /// A line below it, 200 characters at most.
    pub footer: String,
    /// PNG in base64; empty: none.
    pub logo_png: String,
}

impl Default for Receipt {
    fn default() -> Receipt {
        Receipt {
            width: Width::Mm58,
            seller: true,
            lines: true,
            total: true,
            time: true,
            extraction_code: true,
            heading: String::new(),
            footer: String::new(),
            logo_png: String::new(),
        }
    }
}

/// A PNG that may be a logo: its signature, its size in bytes, and its first chunk with a size in dots that paper can hold.
///
/// # Errors
/// What is wrong with it, for whoever uploads it.
pub fn check_logo(png: &[u8]) -> Result<(), String> {
    /// Dots of 80 mm at 203 dpi, doubled for sharp screens.
    const MAX_DOTS: u32 = 1280;
    if png.len() > MAX_LOGO_BYTES {
        return Err(format!("图标过大：最多 {} KB", MAX_LOGO_BYTES / 1024));
    }
    let header = png.strip_prefix(b"\x89PNG\r\n\x1a\n").filter(|rest| rest.len() >= 16 && rest[4..8] == *b"IHDR");
    let Some(header) = header else { return Err("图标应为 PNG 图片".to_owned()) };
    let dots = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (width, height) = (dots(8), dots(12));
    if width == 0 || height == 0 || width > MAX_DOTS || height > MAX_DOTS {
        return Err(format!("图标为 {width} × {height} 像素，每边应为 1 至 {MAX_DOTS} 像素"));
    }
    Ok(())
}

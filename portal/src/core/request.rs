//! One serial number's way through the portal.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use taxdisk_protocol::api::{Fault, IssuedInvoice, JobSubmission, Operation, PairBody};

use super::outbox::Delivered;
use crate::document::{Document, exact};

/// Nothing is to be done for it.
pub const NEVER: i64 = i64::MAX;

/// Where a request is. Old clients see four states (yonyou-open-api.md, section 3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// 1: waits for `issue`, or for a person.
    Approval,
    /// 1: a code was made; the buyer is not known yet.
    Buyer,
    /// 2: stored here, not yet known to be stored at the broker.
    Forwarding,
    /// 2: the broker has it, no disk yet.
    Queued,
    /// 2: at a disk.
    Issuing,
    /// 2: the disk was asked, and whether it issued is being read. Never a failure.
    Settling,
    /// 3: proven that no invoice exists.
    Failed,
    /// 4: the invoice exists; of a void: done.
    Issued,
    /// Sent back by the merchant, proven never issued. The serial number stays taken.
    Deleted,
    /// Was split: its parts are requests of their own.
    Plan,
}

/// Why a request failed. All of them: no invoice exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose fault.
    pub fault: Fault,
    /// Code of the broker's catalogue.
    pub code: String,
    /// What the merchant reads.
    pub text: String,
    /// The broker says that it is not its job: another content stands under this serial number there.
    #[serde(default)]
    pub foreign: bool,
}

/// 作废 of an invoice, as `zfbz` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Voiding {
    /// N.
    #[default]
    No,
    /// I: under way.
    Running,
    /// Y.
    Void,
    /// F: it did not work; the invoice is good.
    Failed,
}

impl Voiding {
    /// `zfbz`.
    pub fn letter(self) -> &'static str {
        match self {
            Voiding::No => "N",
            Voiding::Running => "I",
            Voiding::Void => "Y",
            Voiding::Failed => "F",
        }
    }
}

/// Where results go. The first request sets it; a repeat never changes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delivery {
    /// Addresses of callbacks.
    #[serde(default)]
    pub urls: Vec<CallbackTarget>,
    /// Told when the request is sent back.
    #[serde(default)]
    pub del_urls: Vec<String>,
    /// Mail addresses.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Telephone numbers.
    #[serde(default)]
    pub phones: Vec<String>,
}

/// One address that is called back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallbackTarget {
    /// Address.
    pub url: String,
    /// NCC 友企联: interface and method, which wrap the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ncc: Option<(String, String)>,
}

/// A code for the consumer. What opens it is a link ([`Kind::Code`](super::links::Kind)), stored as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QrCode {
    /// 发票提取码, 12 digits.
    pub code: String,
}

/// A request. Kept as JSON, so a field that is added needs a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Tenant.
    pub tenant: String,
    /// Serial number: unique within the tenant, for ever. A void has one of ours, which no caller can write.
    pub serial: String,
    /// Name of the interface that made it.
    pub interface: String,
    /// Who sent it.
    pub appid: String,
    /// Seller.
    pub seller: String,
    /// ORGCODE of the issue point.
    pub orgcode: String,
    /// Serial number of the job at the broker.
    pub job_serial: String,
    /// Issue, red or void.
    pub operation: Operation,
    /// FPLX.
    pub fplx: u8,
    /// Counts the contents of this serial number, from 1.
    pub revision: u32,
    /// What the caller wrote, in canonical form.
    pub canonical: String,
    /// SHA-256 of it.
    pub hash: String,
    /// Equal for requests that say the same under other serial numbers.
    pub fingerprint: String,
    /// What is invoiced, derived; frozen.
    pub document: Document,
    /// What the broker is asked for; frozen, but for the buyer of a code that is claimed.
    pub job: JobSubmission,
    /// With tax, as printed; below zero on a red.
    #[serde(with = "exact")]
    pub gross: Decimal,
    /// Serial number of the request that was split into this one and others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Serial numbers of the parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Where it is.
    pub phase: Phase,
    /// The broker has a job under this key.
    #[serde(default)]
    pub at_broker: bool,
    /// Revision of the job that was seen last; an older one says nothing.
    #[serde(default)]
    pub job_revision: u64,
    /// Re-issues asked for, each time of re-queueing one.
    #[serde(default)]
    pub attempt: u32,
    /// When re-issues were asked for, milliseconds; those of a day are limited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reissued_at: Vec<i64>,
    /// Tries to forward or to ask that failed in a row.
    #[serde(default)]
    pub tries: u32,
    /// Why it waits, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Held as a suspected duplicate of this serial number, until a person releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_for: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The legal invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedInvoice>,
    /// Of a red or void: the blue invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<PairBody>,
    /// Whether it is void.
    #[serde(default)]
    pub voiding: Voiding,
    /// What reds have taken of it, with tax; not below minus the gross.
    #[serde(default, with = "exact")]
    pub reversed: Decimal,
    /// Where results go.
    #[serde(default)]
    pub delivery: Delivery,
    /// Code for the consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qr: Option<QrCode>,
    /// How mails, messages and cards about it stand.
    #[serde(default, skip_serializing_if = "Delivered::is_nothing")]
    pub delivered: Delivered,
    /// Accepted, milliseconds.
    pub created_at: i64,
    /// Last changed, milliseconds.
    pub changed_at: i64,
    /// When the courier looks at it next, milliseconds; [`NEVER`]: not by itself.
    pub due_at: i64,
    /// When the broker said last how its job stands, milliseconds; 0: not yet.
    #[serde(default)]
    pub asked_at: i64,
    /// Who bought was removed then, milliseconds; 0: he was not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub erased_at: i64,
}

fn is_zero(at: &i64) -> bool {
    *at == 0
}

impl Request {
    /// `statuscode`; `None` where old clients know no such request.
    pub fn status(&self) -> Option<u8> {
        match self.phase {
            Phase::Approval | Phase::Buyer => Some(1),
            Phase::Forwarding | Phase::Queued | Phase::Issuing | Phase::Settling => Some(2),
            Phase::Failed => Some(3),
            Phase::Issued => Some(4),
            Phase::Deleted | Phase::Plan => None,
        }
    }

    /// `status`.
    pub fn status_text(&self) -> &'static str {
        match self.status() {
            Some(1) => "待开票",
            Some(2) => "开票中",
            Some(3) => "开票失败",
            Some(4) => "开票成功",
            _ => "已退回",
        }
    }

    /// What old clients do not know: `substate`.
    pub fn substate(&self) -> &'static str {
        match self.phase {
            Phase::Approval if self.held_for.is_some() => "HELD",
            Phase::Approval => "WAITING_APPROVAL",
            Phase::Buyer => "WAITING_BUYER",
            Phase::Forwarding | Phase::Queued => "QUEUED",
            Phase::Issuing => "ISSUING",
            Phase::Settling => "SETTLING",
            Phase::Failed => "FAILED",
            Phase::Issued => "ISSUED",
            Phase::Deleted => "RETURNED",
            Phase::Plan => "SPLIT",
        }
    }

    /// Number and code, once there are.
    pub fn pair(&self) -> Option<PairBody> {
        self.issued.as_ref().map(|issued| PairBody { code: issued.code.clone(), number: issued.number.clone() })
    }

    /// What can still be reversed, with tax.
    pub fn remaining(&self) -> Decimal {
        self.gross + self.reversed
    }

    /// A failure of the device or a policy may be re-issued as it is; one of the data must be corrected.
    pub fn may_reissue(&self) -> bool {
        self.phase == Phase::Failed
            && self.failure.as_ref().is_some_and(|failure| failure.fault != Fault::Request && !failure.foreign)
    }
}

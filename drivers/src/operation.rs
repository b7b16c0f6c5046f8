//! Everything that changes a disk besides issuing: voids, reports, passwords.
//!
//! Each is written down before it is sent, is sent at most once, and is proven by reading alone, exactly like issuing (I1–I10
//! hold for every changing command). Two of them must never be repeated on a guess: a blank void takes the *next* blank, and
//! an upload is a toggle on some devices.

use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;

use crate::disk::DiskError;
use crate::secret::Secret;

/// Which of a disk's two passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordKind {
    /// 税控盘口令.
    Disk,
    /// 证书口令.
    Certificate,
}

/// A changing command that is not issuing.
#[derive(Debug, Clone)]
pub enum Operation {
    /// 作废 of an issued invoice. Proven by the status of its number.
    Void {
        /// Kind.
        kind: InvoiceKind,
        /// Which.
        pair: NumberPair,
        /// Its sum without tax, as it was read just before; some devices check it.
        net: Amount,
        /// 作废人, at most 20 bytes of GBK.
        operator: String,
    },
    /// 作废 of the next blank. Proven by the expected pair with the status blank-void.
    BlankVoid {
        /// Kind.
        kind: InvoiceKind,
        /// The current pair, read and journalled just before. A device may ignore it and void whatever is current.
        expected: NumberPair,
        /// 作废人, at most 20 bytes of GBK.
        operator: String,
    },
    /// 抄报: the period report of a kind over the network.
    Report {
        /// Kind.
        kind: InvoiceKind,
    },
    /// 清卡: the unlock after a report.
    Clear {
        /// Kind.
        kind: InvoiceKind,
    },
    /// Starts the upload of invoices that were issued off line. A toggle on some devices.
    Upload {
        /// Kind.
        kind: InvoiceKind,
    },
    /// 离线权限更新: asks for a fresh offline allowance.
    RefreshOffline {
        /// Kind.
        kind: InvoiceKind,
    },
    /// Changes a password. From its [`OperationAnswer::Done`] on the driver uses the new one.
    ChangePassword {
        /// Which one.
        which: PasswordKind,
        /// The present one.
        old: Secret,
        /// The one to be.
        new: Secret,
    },
}

impl Operation {
    /// What it is, without its arguments.
    pub fn name(&self) -> DiskOperation {
        match self {
            Operation::Void { .. } => DiskOperation::Void,
            Operation::BlankVoid { .. } => DiskOperation::BlankVoid,
            Operation::Report { .. } => DiskOperation::Report,
            Operation::Clear { .. } => DiskOperation::Clear,
            Operation::Upload { .. } => DiskOperation::Upload,
            Operation::RefreshOffline { .. } => DiskOperation::RefreshOffline,
            Operation::ChangePassword { .. } => DiskOperation::ChangePassword,
        }
    }
}

/// What a changing command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationAnswer {
    /// OK.
    Done {
        /// The number that it was about, where the device names one. The caller compares.
        pair: Option<NumberPair>,
        /// Disk clock, `yyyyMMddHHmmss`, where the device tells.
        at: Option<String>,
    },
    /// The command's last byte was not written, and the dialect guarantees that nothing runs before it.
    NotSent(DiskError),
    /// Anything else: an error text, silence, a broken answer. Whatever the class, read before anything else is sent.
    InDoubt(DiskError),
}

impl OperationAnswer {
    /// The dialect cannot do it. Nothing was sent.
    pub fn unsupported(operation: &Operation) -> OperationAnswer {
        OperationAnswer::NotSent(DiskError::unsupported(format!("this device cannot do {}", operation.name())))
    }
}

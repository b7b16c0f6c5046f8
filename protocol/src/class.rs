//! What kind of trouble a disk reports. The class tells people what to do and the broker where to route next; it never
//! proves by itself that nothing was issued (architecture: a clean answer is OK with the expected pair, or a refusal before
//! the command's last byte was written; everything else is settled by reading).

use serde::{Deserialize, Serialize};

/// The class of a device error, the same over all dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceClass {
    /// No blank invoice of this kind is left. Buy or distribute stock.
    NoStock,
    /// The disk is locked by the period rules: report, declare and clear.
    Locked,
    /// The invoice is above the single-invoice limit of the licence.
    OverInvoiceLimit,
    /// Too many hours since the first invoice that was not uploaded.
    OverOfflineTime,
    /// Too many invoices that were not uploaded.
    OverOfflineCount,
    /// The sum of the invoices that were not uploaded is above its limit.
    OverOfflineAmount,
    /// A password is wrong or blocked. Tries are few: nothing that carries it is sent again until a person acts.
    BadPassword,
    /// The disk's clock failed or ran over midnight.
    Clock,
    /// Code or number differ from what the disk expects. May hide a first execution that succeeded (784).
    NumberMismatch,
    /// The disk says that this was done before. Proves nothing about our attempt.
    Duplicate,
    /// The component says that this is being done. Proves nothing.
    InProgress,
    /// No disk, the wrong disk, or several disks behind the port.
    NotPresent,
    /// The disk cannot do this, or has no licence for it.
    Unsupported,
    /// The disk refuses the content.
    InvalidRequest,
    /// The line failed: silence, CRC, broken frames.
    Link,
    /// The disk failed inside. The outcome is unknown until it is read.
    DeviceFault,
}

impl DeviceClass {
    /// The class as it is written on the wire and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceClass::NoStock => "no_stock",
            DeviceClass::Locked => "locked",
            DeviceClass::OverInvoiceLimit => "over_invoice_limit",
            DeviceClass::OverOfflineTime => "over_offline_time",
            DeviceClass::OverOfflineCount => "over_offline_count",
            DeviceClass::OverOfflineAmount => "over_offline_amount",
            DeviceClass::BadPassword => "bad_password",
            DeviceClass::Clock => "clock",
            DeviceClass::NumberMismatch => "number_mismatch",
            DeviceClass::Duplicate => "duplicate",
            DeviceClass::InProgress => "in_progress",
            DeviceClass::NotPresent => "not_present",
            DeviceClass::Unsupported => "unsupported",
            DeviceClass::InvalidRequest => "invalid_request",
            DeviceClass::Link => "link",
            DeviceClass::DeviceFault => "device_fault",
        }
    }
}

impl std::fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

//! Wire types of dispatch: why a job waits and until when about, pauses, and early warnings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Waiting;

/// When a queued job is likely to begin, and how that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    /// RFC 3339.
    pub start: String,
    /// Jobs that are before it, those at the disks included.
    pub jobs_ahead: u64,
    /// Median time of one invoice on the disks that can take it, milliseconds of the disk's own commands.
    pub median_ms: u64,
    /// Disks that can take it now.
    pub disks: u64,
    /// How it was made, for people.
    pub basis: String,
}

/// How a disk is kept from work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseMode {
    /// Nothing new is handed over; what was not begun is asked back.
    Pause,
    /// The same, and it is recorded when nothing is open any more: the disk may be taken away.
    Drain,
}

/// What is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseOf {
    /// One disk.
    Disk,
    /// Every disk that an agent owns.
    Agent,
    /// Every disk of a seller.
    Seller,
}

/// Why something is paused, drained or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PauseRequest {
    /// Kept in the ledger and shown with the jobs that wait. A pause or drain needs one.
    #[serde(default)]
    pub reason: String,
}

/// A pause in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PauseView {
    /// What is paused.
    pub of: PauseOf,
    /// Its number or id.
    pub id: String,
    /// How.
    pub mode: PauseMode,
    /// Id of the key that asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// RFC 3339.
    pub since: String,
    /// Nothing was open any more at, RFC 3339. Only a drain records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_at: Option<String>,
}

/// How urgent a warning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should plan for it.
    Warning,
    /// Issuing stops soon, or has stopped.
    Critical,
}

/// What a warning is about. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// Blank invoices of a kind run out.
    StockLow,
    /// The day after which the disk issues nothing more (开票截止日期) is near.
    LockDateNear,
    /// The day by which invoices must be uploaded (上传截止日) is near, and some are not.
    UploadDue,
    /// Invoices wait for their upload for nearly as long as is allowed (离线时长).
    OfflineTime,
    /// Their sum is near what is allowed (离线累计金额).
    OfflineAmount,
    /// Their count is near what is allowed.
    OfflineCount,
    /// Few tries of a password are left.
    PasswordTries,
    /// The disk's memory is nearly full.
    DiskMemory,
    /// The disk's clock differs from the PC's.
    ClockOff,
}

impl WarningCode {
    /// Every code.
    pub const ALL: [WarningCode; 9] = [
        WarningCode::StockLow,
        WarningCode::LockDateNear,
        WarningCode::UploadDue,
        WarningCode::OfflineTime,
        WarningCode::OfflineAmount,
        WarningCode::OfflineCount,
        WarningCode::PasswordTries,
        WarningCode::DiskMemory,
        WarningCode::ClockOff,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            WarningCode::StockLow => "stock_low",
            WarningCode::LockDateNear => "lock_date_near",
            WarningCode::UploadDue => "upload_due",
            WarningCode::OfflineTime => "offline_time",
            WarningCode::OfflineAmount => "offline_amount",
            WarningCode::OfflineCount => "offline_count",
            WarningCode::PasswordTries => "password_tries",
            WarningCode::DiskMemory => "disk_memory",
            WarningCode::ClockOff => "clock_off",
        }
    }
}

/// Something that will stop a disk if nobody acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WarningView {
    /// What it is about.
    pub code: WarningCode,
    /// How urgent.
    pub severity: Severity,
    /// Disk.
    pub disk: String,
    /// Seller, where the disk names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Invoice kind, where the warning is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What people read, with the numbers of now.
    pub text: String,
    /// Raised at, RFC 3339.
    pub since: String,
}

/// When a seller wants to be warned. What is left out has the default that is named with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Thresholds {
    /// At so many blank invoices of a kind; 50.
    pub stock_count: u32,
    /// When they run out within so many hours at the present rate; 24.
    pub stock_hours: u32,
    /// So many days before the lock date and the upload day; 3.
    pub date_days: u32,
    /// At this part of an offline limit, percent; 80.
    pub limit_percent: u8,
    /// At so many tries of a password left; 3.
    pub password_tries: u8,
    /// At this part of the disk's memory, percent; 80.
    pub memory_percent: u8,
    /// When the clocks differ by so many seconds; 300.
    pub clock_s: u32,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            stock_count: 50,
            stock_hours: 24,
            date_days: 3,
            limit_percent: 80,
            password_tries: 3,
            memory_percent: 80,
            clock_s: 300,
        }
    }
}

impl Thresholds {
    /// The seller has changed nothing.
    pub fn is_default(&self) -> bool {
        *self == Thresholds::default()
    }
}

/// What a disk holds that was not uploaded yet, and what the disk allows of it. Absent is not told, never zero.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct OfflineView {
    /// Invoices.
    pub count: u32,
    /// Time of the first of them, disk clock, `yyyyMMddHHmmss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Their sum with tax.
    pub sum: String,
    /// The most that may wait, where the disk tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count_limit: Option<u32>,
}

impl Waiting {
    /// Every reason, in the order in which people read them.
    pub const ALL: [Waiting; 14] = [
        Waiting::NoDisk,
        Waiting::DiskOffline,
        Waiting::NoStock,
        Waiting::Locked,
        Waiting::OverLimit,
        Waiting::Password,
        Waiting::DiskFault,
        Waiting::Contested,
        Waiting::Settling,
        Waiting::Backlog,
        Waiting::Breaker,
        Waiting::Paused,
        Waiting::Reconcile,
        Waiting::Operation,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reason_to_wait_is_missing() {
        // A new one does not compile here before it has a place.
        let place = |waiting: Waiting| match waiting {
            Waiting::NoDisk => 0,
            Waiting::DiskOffline => 1,
            Waiting::NoStock => 2,
            Waiting::Locked => 3,
            Waiting::OverLimit => 4,
            Waiting::Password => 5,
            Waiting::DiskFault => 6,
            Waiting::Contested => 7,
            Waiting::Settling => 8,
            Waiting::Backlog => 9,
            Waiting::Breaker => 10,
            Waiting::Paused => 11,
            Waiting::Reconcile => 12,
            Waiting::Operation => 13,
        };
        assert_eq!(Waiting::ALL.map(place).to_vec(), (0..14).collect::<Vec<_>>());
    }
}

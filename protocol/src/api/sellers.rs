//! Sellers and their issue points: what is put, and what lists show.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PauseView, Thresholds};

/// A seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SellerBody {
    /// Name.
    pub name: String,
    /// What happens to a job when a disk is in trouble.
    #[serde(default)]
    pub disk_trouble: DiskTrouble,
    /// Our mark in the remark; on unless switched off.
    #[serde(default = "yes")]
    pub mark: bool,
    /// When to warn.
    #[serde(default, skip_serializing_if = "Thresholds::is_default")]
    pub warnings: Thresholds,
}

fn yes() -> bool {
    true
}

/// Policy on disk trouble that is proven not to have issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskTrouble {
    /// The job waits.
    #[default]
    Wait,
    /// A job that a disk refused fails at once.
    Fail,
    /// The job waits; when disk trouble has lasted for so many seconds, it fails if it is proven not issued.
    #[serde(rename = "fail_after_s")]
    FailAfter(u32),
}

impl DiskTrouble {
    /// The longest time of `fail_after_s`, seconds: 30 days. What waits longer waits for a person.
    pub const FAIL_AFTER_MAX_S: u32 = 30 * 24 * 3600;
}

/// An issue point of a seller.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct IssuePointBody {
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// Disks that may issue for it; empty: every disk of the seller.
    #[serde(default)]
    pub disks: Vec<String>,
}

/// A seller as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SellerView {
    /// Taxpayer number.
    pub taxpayer_number: String,
    /// Name.
    pub name: String,
    /// What happens to a job when a disk is in trouble.
    pub disk_trouble: DiskTrouble,
    /// Our mark in the remark.
    pub mark: bool,
    /// When to warn.
    #[serde(default)]
    pub warnings: Thresholds,
    /// Its disks are kept from work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseView>,
}

/// An issue point as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuePointView {
    /// Its id within the seller.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Disks that may issue for it; empty: every disk of the seller.
    pub disks: Vec<String>,
}

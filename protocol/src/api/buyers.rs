//! What a buyer may ask for: a copy of what is kept about him, and that it is removed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::JobView;

/// Which buyer. Everything that is given must hold, and one thing at least must be given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BuyerQuery {
    /// 纳税人识别号, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taxpayer_number: Option<String>,
    /// 名称, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A telephone number or mail address: 5 characters at least that stand somewhere in address, telephone, bank account or
    /// remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Only invoices of this seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Where the page before ended; left out: the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A page of what is kept. A page may be empty and not the last one: so much was looked through.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BuyerExport {
    /// Jobs with their invoices, and the evidence that was kept of them.
    pub jobs: Vec<JobView>,
    /// For the next page; absent: this was the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Remove what is kept about a buyer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BuyerErasure {
    /// Which buyer.
    pub buyer: BuyerQuery,
    /// Why; kept in the ledger, so without the buyer's name.
    pub reason: String,
    /// Only say what would be removed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErasureLine {
    /// Seller.
    pub seller: String,
    /// Serial number; its row, its hashes and the number of the invoice stay.
    pub serial: String,
    /// Its contents are removed.
    pub erased: bool,
    /// Why not, where they are not: `open` (the job goes on), or `retention` (the invoice must be kept).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// Until when the invoice must be kept. RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A page of what was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BuyerErased {
    /// The buyer's jobs.
    pub jobs: Vec<ErasureLine>,
    /// For the next page, as `buyer.cursor`; absent: this was the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

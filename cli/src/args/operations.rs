//! `disk operate`, `disk operations`, `disk operation`, `disk calendar`.

use clap::Args as ClapArgs;

use super::{DueWord, OperationStateWord, OperationWord};

#[derive(Debug, Clone, ClapArgs)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["disk", "seller", "all"]))]
pub(crate) struct OperateArgs {
    /// What.
    pub(crate) operation: OperationWord,
    /// Number of the disk.
    pub(crate) disk: Option<String>,
    /// All disks of this seller.
    #[arg(long)]
    pub(crate) seller: Option<String>,
    /// All disks.
    #[arg(long)]
    pub(crate) all: bool,
    /// Invoice kind; may be left out of a disk with one kind. Of many disks: every kind of each, if left out.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Why; kept in the ledger.
    #[arg(long)]
    pub(crate) reason: String,
    /// Only say whether it may and what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it although it was refused, where the refusal offers that.
    #[arg(long)]
    pub(crate) anyway: bool,
    /// Key of this operation: sent twice, it is done once. The same command on the same day has the same one, if left out.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Do not wait for its end.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct OperationsArgs {
    /// Of this disk.
    #[arg(long)]
    pub(crate) disk: Option<String>,
    /// Of this seller's disks.
    #[arg(long)]
    pub(crate) seller: Option<String>,
    /// In this state.
    #[arg(long)]
    pub(crate) state: Option<OperationStateWord>,
    /// Of the bulk operation with this key.
    #[arg(long)]
    pub(crate) bulk: Option<String>,
    /// At most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct OperationArgs {
    /// Id of the operation.
    pub(crate) id: String,
    /// Withdraw it.
    #[arg(long)]
    pub(crate) cancel: bool,
    /// Why it is withdrawn.
    #[arg(long, requires = "cancel", default_value = "")]
    pub(crate) reason: String,
    /// It was handed over, and its disk will not come back: it ends as unsettled.
    #[arg(long, requires = "cancel")]
    pub(crate) abandon: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct CalendarArgs {
    /// Of this seller's disks.
    #[arg(long)]
    pub(crate) seller: Option<String>,
    /// Of this disk.
    #[arg(long)]
    pub(crate) disk: Option<String>,
    /// Only what stands so.
    #[arg(long)]
    pub(crate) state: Option<DueWord>,
}

//! The shape of the command line. Nothing here talks to the broker.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use taxdisk_protocol::api::{self, KeyAction};

#[cfg(test)]
mod documented;
pub(crate) mod operations;
pub(crate) mod webhook;

use operations::{CalendarArgs, OperateArgs, OperationArgs, OperationsArgs};
use webhook::WebhookCommand;

/// Submit, watch and administer issuing jobs over a taxdisk broker.
#[derive(Debug, Parser)]
#[command(name = "taxdisk", version, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line. Every command may be run again: a serial number issues at most once."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the broker is and who asks.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Global {
    /// URL of the broker.
    #[arg(long, global = true, env = "TAXDISK_BROKER", default_value = "http://127.0.0.1:8470", value_name = "URL")]
    pub(crate) broker: String,
    /// API key. Other users of this machine can see a command line: prefer the environment or --key-file.
    #[arg(long, global = true, env = "TAXDISK_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// File that holds the API key; used when no key is given.
    #[arg(long, global = true, env = "TAXDISK_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// PEM file of the certificates that the broker's certificate is checked with, instead of the system's.
    #[arg(long, global = true, env = "TAXDISK_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file of a certificate for a broker that asks callers for one (`tls.client_authority`).
    #[arg(long, global = true, env = "TAXDISK_CLIENT_CERTIFICATE", value_name = "FILE", requires = "client_key")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// PEM file of its private key.
    #[arg(long, global = true, env = "TAXDISK_CLIENT_KEY", value_name = "FILE", requires = "client_certificate")]
    pub(crate) client_key: Option<PathBuf>,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Issuing jobs.
    #[command(subcommand)]
    Job(JobCommand),
    /// Sellers and their rules.
    #[command(subcommand)]
    Seller(SellerCommand),
    /// Organisations or terminals of a seller that issue.
    #[command(subcommand)]
    IssuePoint(IssuePointCommand),
    /// Tax disks.
    #[command(subcommand)]
    Disk(DiskCommand),
    /// Agents: the PCs with the disks.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Single-use codes with which an agent enrols.
    #[command(subcommand)]
    Enrollment(EnrollmentCommand),
    /// API keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Endpoints that are told what happens.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// The ledger's chains: who did what, and the proof that nothing was changed.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// What is kept about a buyer: a copy for him, or its removal.
    #[command(subcommand)]
    Buyer(BuyerCommand),
    /// What waits for a second person, where the broker asks for one.
    #[command(subcommand)]
    Proposal(ProposalCommand),
    /// After a backup was put back: what the ledger does not know of its disks.
    #[command(subcommand)]
    Reconcile(ReconcileCommand),
    /// Write manual pages and shell completions into a folder, for packages.
    #[command(hide = true)]
    Manual {
        /// Folder; made if missing.
        to: PathBuf,
    },
}

/// Which buyer. Everything that is given must hold.
#[derive(Debug, ClapArgs)]
pub(crate) struct BuyerArgs {
    /// His taxpayer number.
    #[arg(long, value_name = "TAXNO")]
    pub(crate) taxpayer_number: Option<String>,
    /// His name, exactly.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A telephone number or mail address that stands in address, account or remark.
    #[arg(long)]
    pub(crate) contact: Option<String>,
    /// Only invoices of this seller.
    #[arg(long, value_name = "SELLER")]
    pub(crate) seller: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BuyerCommand {
    /// Write all of it, a job as JSON a line.
    Export {
        #[command(flatten)]
        buyer: BuyerArgs,
    },
    /// Remove invoice and evidence of his jobs, where the invoice need not be kept any more.
    Erase {
        #[command(flatten)]
        buyer: BuyerArgs,
        /// Why; kept in the ledger, so without his name.
        #[arg(long)]
        reason: String,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProposalCommand {
    /// List what waits, the oldest first.
    List,
    /// Confirm what another person proposed: it is done then.
    Confirm {
        /// Its id.
        id: String,
    },
    /// Take back your own: nothing is done.
    Withdraw {
        /// Its id.
        id: String,
        /// Why; kept in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// Decline it.
    Decline {
        /// Its id.
        id: String,
        /// Why; kept in the ledger.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List who did what, oldest first.
    List {
        /// The chain of this seller; the broker's own if left out.
        #[arg(long)]
        seller: Option<String>,
        /// Entries after this sequence.
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
    /// Recompute every chain, or one. Ends with 1 if anything is not as it was written.
    Verify {
        /// Only the chain of this seller.
        #[arg(long)]
        seller: Option<String>,
    },
    /// Write the proof of one job: a file that anybody can check without the broker.
    Proof {
        #[command(flatten)]
        key: Key,
        /// The new file; nothing is overwritten. Named after the job if left out.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Check the proof of a job, without a broker.
    Check {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReconcileCommand {
    /// Show disks, attempts and numbers that are not accounted for.
    Show,
    /// Say whose a number of unknown origin is.
    Number {
        /// Disk.
        disk: String,
        /// Kind, three digits.
        kind: String,
        /// Code of the invoice.
        code: String,
        /// Number of the invoice.
        number: String,
        /// Seller and serial number of the job whose invoice it is. Left out: it is no job's of this ledger.
        #[arg(long, num_args = 2, value_names = ["SELLER", "SERIAL"])]
        job: Option<Vec<String>>,
        /// The job was lost with the ledger and will be sent again; without this, a job that the ledger does not know is refused.
        #[arg(long, requires = "job")]
        forgotten: bool,
        /// Why; kept in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// Say what became of an attempt that an agent remembers as unsettled.
    Job {
        #[command(flatten)]
        key: Key,
        /// What is proven.
        #[arg(long)]
        decision: Decision,
        /// Which attempt; needed where several of the job are in doubt.
        #[arg(long)]
        attempt: Option<u32>,
        /// At which disk; needed where two disks have an attempt of the same number in doubt.
        #[arg(long)]
        disk: Option<String>,
        /// The pair that was issued, `CODE NUMBER`; needed for `issued`.
        #[arg(long, num_args = 2, value_names = ["CODE", "NUMBER"])]
        pair: Option<Vec<String>>,
        /// Why; kept in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// Let a seller go on although this disk was never read again. If one of its unread numbers is the invoice of a job that is
    /// sent again, that sale gets two invoices.
    ReleaseUnread {
        /// Disk.
        disk: String,
        /// Why that cannot be; kept in the ledger.
        #[arg(long)]
        reason: String,
    },
}

/// The key of a job.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Key {
    /// Taxpayer number of the seller.
    pub(crate) seller: String,
    /// Serial number.
    pub(crate) serial: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Submit one job (a JSON object).
    Submit {
        /// File with the job; `-` reads standard input.
        file: PathBuf,
        /// Wait until it is issued, failed or cancelled.
        #[arg(long)]
        wait: bool,
    },
    /// Submit many jobs: JSON Lines, one job (or one order, with --map) a line. May be stopped and run again at any time.
    Import(ImportArgs),
    /// Show a job with its attempts and evidence.
    Show {
        #[command(flatten)]
        key: Key,
    },
    /// List jobs, newest first.
    List {
        /// Only of this seller.
        #[arg(long)]
        seller: Option<String>,
        /// Only in this state.
        #[arg(long)]
        state: Option<State>,
        /// Only queued jobs that wait for this reason.
        #[arg(long, conflicts_with = "state")]
        waiting: Option<WaitingArg>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Print every change of a job until it is issued, failed or cancelled.
    Watch {
        #[command(flatten)]
        key: Key,
    },
    /// Issue a failed or cancelled job again, with the same serial number; or many, with --filter. Refused while an invoice may
    /// exist.
    Reissue(ReissueArgs),
    /// Withdraw a queued job.
    Cancel {
        #[command(flatten)]
        key: Key,
        /// Why; kept in the ledger.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Decide an unsettled job by hand, after reading the disk. This signs a legal statement: it cannot be undone.
    Settle(SettleArgs),
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ReissueArgs {
    /// Taxpayer number of the seller.
    #[arg(requires = "serial", required_unless_present = "filter")]
    pub(crate) seller: Option<String>,
    /// Serial number.
    pub(crate) serial: Option<String>,
    /// Why; kept in the ledger.
    #[arg(long)]
    pub(crate) reason: String,
    /// JSON file with other content for the invoice.
    #[arg(long, value_name = "FILE", conflicts_with = "filter")]
    pub(crate) invoice: Option<PathBuf>,
    /// Many jobs: `seller=…`, `state=…`, `problem=…`, `class=…`, `kind=…`, `disk=…`, `since=…`, `until=…`, `serial=…` (its
    /// beginning); may be given several times, and all must hold.
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "seller")]
    pub(crate) filter: Vec<String>,
    /// Only say what would be done with each job.
    #[arg(long, requires = "filter")]
    pub(crate) dry_run: bool,
    /// Key of this bulk re-issue: run again with the same one, it is done once. Made of filter, reason and day if left out.
    #[arg(long, requires = "filter", value_name = "KEY")]
    pub(crate) bulk_key: Option<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct SettleArgs {
    #[command(flatten)]
    pub(crate) key: Key,
    /// What the readings prove.
    #[arg(long)]
    pub(crate) decision: Decision,
    /// The pair that was issued, `CODE NUMBER`; needed for `issued`, but of a void job.
    #[arg(long, value_name = "PAIR")]
    pub(crate) pair: Option<String>,
    /// First reading: the disk's current pair, `CODE NUMBER`.
    #[arg(long, value_name = "PAIR")]
    pub(crate) current: String,
    /// Second reading: what the disk says about the expected pair; for a dead disk, what the tax office's record says.
    #[arg(long)]
    pub(crate) reading: Reading,
    /// The disk is dead: where the tax office's record was looked up, and what it says. A second person must send the same
    /// decision
    /// with a key of their own.
    #[arg(long, value_name = "TEXT")]
    pub(crate) tax_office: Option<String>,
    /// Why; kept in the ledger.
    #[arg(long)]
    pub(crate) reason: String,
    /// Revision of the job that you looked at (`job show`).
    #[arg(long)]
    pub(crate) revision: u64,
}

/// How an import reads and sends.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ImportArgs {
    /// JSON Lines; `-` reads standard input.
    pub(crate) file: PathBuf,
    /// Turn lines of a known sample into jobs.
    #[arg(long, requires = "seller")]
    pub(crate) map: Option<Map>,
    /// Write letters that GBK lacks with letters that it has (ö as oe), and show what was changed.
    #[arg(long)]
    pub(crate) transliterate: bool,
    /// Taxpayer number of the seller, for lines that name none.
    #[arg(long)]
    pub(crate) seller: Option<String>,
    /// Invoice kind of mapped orders.
    #[arg(long, default_value = "025")]
    pub(crate) kind: String,
    /// Issue point of mapped orders.
    #[arg(long)]
    pub(crate) issue_point: Option<String>,
    /// Priority of mapped orders.
    #[arg(long, default_value = "bulk")]
    pub(crate) priority: PriorityArg,
    /// Clerk (开票人) of mapped orders.
    #[arg(long, default_value = "收银员")]
    pub(crate) clerk: String,
    /// Read at most so many lines.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Wait until every accepted job is issued, failed or cancelled.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Stop waiting after so many seconds; the jobs go on.
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    pub(crate) wait_limit_s: Option<u64>,
    /// Batches under way at once. More than 1 does not keep the order of the file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16), value_name = "N")]
    pub(crate) concurrency: u8,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SellerSetArgs {
    /// Taxpayer number.
    pub(crate) seller: String,
    /// Name; needed for a new seller.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What a job does when a disk is in trouble and nothing was issued; a new seller's wait.
    #[arg(long)]
    pub(crate) disk_trouble: Option<DiskTroubleArg>,
    /// Instead: let a job wait, and fail when disk trouble has lasted so long and nothing was issued.
    #[arg(long, value_name = "SECONDS", conflicts_with = "disk_trouble")]
    pub(crate) fail_after: Option<u32>,
    /// Warn at another threshold, as in `stock_count=100`; give it several times.
    #[arg(long = "warn", value_name = "NAME=NUMBER")]
    pub(crate) warnings: Vec<String>,
    /// Do not put our mark into the remark. An answer that was lost can then often not be proved from the disk.
    #[arg(long)]
    pub(crate) without_mark: bool,
    /// Put our mark into the remark again.
    #[arg(long, conflicts_with = "without_mark")]
    pub(crate) with_mark: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SellerCommand {
    /// Create a seller, or change what is named here and nothing else of him.
    Set(SellerSetArgs),
    /// Show a seller.
    Show {
        /// Taxpayer number.
        seller: String,
    },
    /// List sellers.
    List,
    /// Keep the disks of a seller from work: nothing new is handed over, and what was not begun is asked back.
    Pause(PauseArgs),
    /// The same, and see when nothing is open any more: the disk may be taken away.
    Drain(DrainArgs),
    /// Let the disks of a seller work again.
    Resume(ResumeArgs),
}

/// What is kept from work, and why.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct PauseArgs {
    /// Its number or id.
    pub(crate) id: String,
    /// Why; kept in the ledger and shown with the jobs that wait.
    #[arg(long)]
    pub(crate) reason: String,
}

/// What is drained, and why.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) pause: PauseArgs,
    /// Wait until nothing is open any more.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// What works again.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ResumeArgs {
    /// Its number or id.
    pub(crate) id: String,
    /// Why; kept in the ledger.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IssuePointCommand {
    /// Create an issue point or change it.
    Set {
        /// Taxpayer number of the seller.
        seller: String,
        /// Its id: letters, digits, `-` and `_`.
        point: String,
        /// What people call it.
        #[arg(long, default_value = "")]
        name: String,
        /// A disk that may issue for it; give it several times. None: every disk of the seller.
        #[arg(long = "disk", value_name = "DISK")]
        disks: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DiskCommand {
    /// List disks with stock, health, pauses and warnings.
    List,
    /// List what will stop a disk if nobody acts, the most urgent first.
    Warnings,
    /// Keep a disk from work: nothing new is handed over, and what was not begun is asked back.
    Pause(PauseArgs),
    /// The same, and see when nothing is open any more: the disk may be taken away.
    Drain(DrainArgs),
    /// Let a disk work again.
    Resume(ResumeArgs),
    /// Ask a disk, a seller's disks or all disks for an upload, a period report, a clear or a reading.
    Operate(OperateArgs),
    /// List operations, newest first.
    Operations(OperationsArgs),
    /// Show an operation, or withdraw one that was not handed over.
    Operation(OperationArgs),
    /// Say what is due when: period report, clear, lock date, uploads, off-line limits.
    Calendar(CalendarArgs),
    /// Say whose jobs a disk takes, or stop it.
    Assign {
        /// Number of the disk.
        disk: String,
        /// Taxpayer number; must be the one inside the disk.
        #[arg(long)]
        seller: String,
        /// Hand no more jobs to it.
        #[arg(long)]
        disable: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// List agents.
    List,
    /// Keep the disks of an agent from work: nothing new is handed over, and what was not begun is asked back.
    Pause(PauseArgs),
    /// The same, and see when nothing is open any more: the disk may be taken away.
    Drain(DrainArgs),
    /// Approve an agent that enrolled by a code for many, once its fingerprint is the one that the PC showed.
    Approve {
        /// Its id, as `agent list` shows it.
        agent: String,
        /// What people call the PC; as the code said if left out.
        #[arg(long)]
        name: Option<String>,
    },
    /// Call an agent something else.
    Rename {
        /// Its id, as `agent list` shows it.
        agent: String,
        /// What people call the PC.
        name: String,
    },
    /// Close the link of an agent for good: its key opens no other, and a PC that comes back must enrol again.
    Revoke {
        /// Its id, as `agent list` shows it.
        agent: String,
    },
    /// Let the disks of an agent work again.
    Resume(ResumeArgs),
    /// See which updates of themselves agents are offered, and change it.
    Updates {
        /// What to do; left out: show.
        #[command(subcommand)]
        command: Option<UpdatesCommand>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UpdatesCommand {
    /// Offer agents the newest version of a channel and a range. Each takes it when nothing is open there.
    Offer {
        /// Channel of the releases.
        #[arg(long, default_value = "stable")]
        channel: String,
        /// Range of versions, as in ^0.2 or ">=0.2.1, <0.4".
        #[arg(long, value_name = "RANGE")]
        versions: String,
        /// Only this agent, by its id; may be repeated. Left out: all.
        #[arg(long = "agent", value_name = "ID")]
        agents: Vec<String>,
    },
    /// Offer nothing any more. What an agent has taken stays.
    Stop,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnrollmentCommand {
    /// Make a code for one agent, or for many that wait until they are approved. It is shown once.
    Create {
        /// What people call the PC.
        #[arg(long)]
        name: String,
        /// The only seller whose disks the agent may have.
        #[arg(long, value_name = "SELLER")]
        seller: Option<String>,
        /// The only disk that the agent may have.
        #[arg(long, value_name = "DISK")]
        disk: Option<String>,
        /// An agent that is there and gets a new key; its old one opens nothing any more.
        #[arg(long, value_name = "ID", conflicts_with_all = ["seller", "disk", "many"])]
        agent: Option<String>,
        /// Good for so many PCs, for a day at most; each waits for `taxdisk agent approve`.
        #[arg(long, value_name = "COUNT")]
        many: Option<u32>,
        /// How long the code is good.
        #[arg(long, value_name = "SECONDS")]
        valid_s: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key. It is shown once.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// What it may do.
        #[arg(long, default_value = "platform")]
        role: RoleArg,
        /// Limit it to this seller; give it several times. None: all.
        #[arg(long = "seller", value_name = "SELLER")]
        sellers: Vec<String>,
        /// Limit it to this action of its role (submit, read, reissue, cancel, settle, operate, webhooks, setup, keys, audit);
        /// give it several times. None: all.
        #[arg(long = "action", value_name = "ACTION")]
        actions: Vec<KeyAction>,
        /// How long it is good; for ever if left out.
        #[arg(long, value_name = "SECONDS")]
        valid_s: Option<u64>,
        /// Whose it is, a person of the console: where two persons are asked for, the key counts as him and as you.
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
    },
    /// List keys, without the secret halves.
    List,
    /// Revoke a key.
    Revoke {
        /// Public half of the key, as listed.
        id: String,
    },
}

/// A value of the API as a word on the command line.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident => $api:ty { $($(#[$word_doc:meta])* $word:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
        pub(crate) enum $name {
            $($(#[$word_doc])* $word),*
        }

        impl From<$name> for $api {
            fn from(word: $name) -> $api {
                match word {
                    $($name::$word => <$api>::$word),*
                }
            }
        }
    };
}

/// A sample that can be turned into jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Map {
    /// The Northwind sample orders.
    Northwind,
}

words!(
    /// State of a job.
    State => api::JobState { Queued, Assigned, Unsettled, Issued, Voided, Failed, Cancelled }
);
words!(
    /// Why a queued job waits.
    WaitingArg => api::Waiting {
        NoDisk, DiskOffline, NoStock, Locked, OverLimit, Password, DiskFault, Contested, Settling, Backlog, Breaker, Paused,
        Operation, Reconcile,
    }
);
words!(
    /// What is asked of a disk.
    OperationWord => api::OperationKind { Upload, Report, Clear, Stock, SelfTest }
);
words!(
    /// State of an operation.
    OperationStateWord => api::OperationState { Queued, Running, Done, Refused, Failed, Unsettled, Cancelled }
);
words!(
    /// How something that is due stands.
    DueWord => api::DueState { Overdue, Due, Done }
);
words!(
    /// Priority of a job.
    PriorityArg => api::Priority { Waiting, Bulk }
);
words!(
    /// Policy of a seller.
    DiskTroubleArg => api::DiskTrouble { Wait, Fail }
);
words!(
    /// What a key may do.
    RoleArg => api::Role { Platform, Admin }
);
words!(
    /// What an administrator decides.
    Decision => api::SettleDecision { Issued, NotIssued }
);
words!(
    /// What the disk says about a pair.
    Reading => api::SettleReading {
        /// The number is there and it is this job's.
        PresentOurs,
        /// The number is there and it is somebody else's.
        PresentForeign,
        /// The disk has no such invoice.
        Absent,
        /// Of a void job: the original is void.
        Void,
        /// Of a void job: the original is valid.
        Valid,
    }
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn a_mapped_import_needs_a_seller() {
        let parse = |text: &str| Args::try_parse_from(text.split(' '));
        assert!(parse("taxdisk job import f --map northwind").is_err());
        assert!(parse("taxdisk job import f --map northwind --seller 91110000MA0000001L").is_ok());
        assert!(parse("taxdisk job import f --concurrency 17").is_err());
    }
}

//! The command line: what can be asked of the agent, and with which exit code it ends.
//!
//! Every command prints for people, or with `--json` one JSON document on standard output. 0 is good, 1 failed, 2 wrong command
//! line, 78 wrong configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use taxdisk_protocol::kind::InvoiceKind;

use crate::commands;
use crate::failure::Failure;

/// Runs tax disks at this PC for a taxdisk broker.
#[derive(Debug, Parser)]
#[command(name = "taxdisk-agent", version, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    /// What everything takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Configuration file [default: /etc/taxdisk/agent.toml if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "TAXDISK_AGENT_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// State folder, in place of the configured one
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print one JSON document for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run: hold the link to the broker and drive the disks, until SIGTERM
    Run(RunArgs),
    /// Set this PC up: enrol it, find its disks, check everything, start the service, and prove that it works
    Install(InstallArgs),
    /// Enrol this PC at a broker with a single-use code
    Enroll(EnrollArgs),
    /// Make a new key for this PC; it takes the present one's place at the next join, and nothing is to be done at the broker
    RotateKey,
    /// Give up at this PC: ask the broker to revoke its key, for good. Refused while something is not settled or not told
    Retire,
    /// Show the disks at this PC, set their passwords, or give them orders
    Disks(DisksArgs),
    /// Show how the running agent is
    Status(StatusArgs),
    /// Start a simulated tax disk behind a pseudo-terminal, to try everything without hardware
    Sim(SimArgs),
    /// Look into the journal
    Journal(JournalArgs),
    /// Record what goes over the disks' lines around failures, for the support
    Record(RecordArgs),
    /// Check configuration, broker and disks, and say how to mend what is wrong
    Doctor,
    /// Write one file for whoever helps: checks, status, configuration, recordings; it says what is in it
    Support {
        /// New file; an existing one is not overwritten
        file: PathBuf,
    },
    /// See how this agent stands with updates, or allow a version again that failed
    Update(UpdateArgs),
    /// Look at the configuration
    Config(ConfigArgs),
    /// Stop the service of Windows, take it away, and ask the broker to revoke this PC's key; state and configuration stay
    #[cfg(windows)]
    Uninstall(UninstallArgs),
    /// Be the service: for the service control manager of Windows
    #[cfg(windows)]
    #[command(hide = true)]
    Service,
    /// Write manual pages and shell completions into a folder, for packages
    #[command(hide = true)]
    Manual {
        /// Folder; made if missing
        to: PathBuf,
    },
}

/// Of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Write {"status":"up"} here once the agent is up
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Go to the background (for hosts without systemd)
    #[arg(long, requires_all = ["pid_file", "log_file"])]
    pub daemon: bool,
    /// With --daemon: gets the number of the process
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pub pid_file: Option<PathBuf>,
    /// With --daemon: gets the log
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pub log_file: Option<PathBuf>,
}

/// Of `update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// What to do
    #[command(subcommand)]
    pub command: UpdateCommand,
}

/// Of `update`.
#[derive(Debug, Subcommand)]
pub enum UpdateCommand {
    /// Show which version runs, what is offered, and what failed and why
    Show,
    /// Allow a version again that was tried and failed; it is taken up within ten minutes, if the broker still offers it
    Retry {
        /// Which
        version: semver::Version,
    },
}

/// Of `install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Address of the broker: `https://host[:port]`; left out: it is asked for
    pub url: Option<String>,
    /// Code from `taxdisk enrollment create`; left out: it is asked for
    pub code: Option<String>,
    /// Ask nobody: take everything from this file (docs/install.md), which others must not be able to read
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "code", "name", "ca_file", "proxy"])]
    pub answers: Option<PathBuf>,
    /// What people call this PC, in `status`
    #[arg(long)]
    pub name: Option<String>,
    /// Trust this certificate authority (PEM) and no other
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Go through this HTTP proxy (`http://[user:password@]host:port`), or `none`; left out: what the environment says
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Do not start the service
    #[arg(long)]
    pub no_start: bool,
    /// Only make this program a service of Windows, and start it if this PC is enrolled: ask for nothing and check nothing
    #[cfg(windows)]
    #[arg(long, conflicts_with_all = ["url", "code", "answers", "name", "ca_file", "proxy"])]
    pub service: bool,
}

/// Of `uninstall`.
#[cfg(windows)]
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Ask the broker nothing: this PC is to go on with the same key when the service is installed again
    #[arg(long)]
    pub keep_key: bool,
}

/// Of `enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// Address of the broker: `https://host[:port]`
    pub url: String,
    /// Code from `taxdisk enrollment create`
    #[arg(required_unless_present = "code_file", conflicts_with = "code_file")]
    pub code: Option<String>,
    /// Read the code from a file
    #[arg(long, value_name = "FILE")]
    pub code_file: Option<PathBuf>,
    /// What people call this PC, in `status` (the broker's list shows the name that the code was made for)
    #[arg(long)]
    pub name: Option<String>,
    /// Trust this certificate authority (PEM) and no other
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Go through this HTTP proxy (`http://[user:password@]host:port`), or `none`; left out: what the environment says
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Become a new agent although this folder is enrolled
    #[arg(long)]
    pub force: bool,
}

/// Of `disks`.
#[derive(Debug, Args)]
pub struct DisksArgs {
    /// Show every serial port, USB device and configured disk, and why it cannot be used if it cannot
    #[arg(long)]
    pub explain: bool,
    /// What to do; left out: show the disks
    #[command(subcommand)]
    pub command: Option<DisksCommand>,
}

/// Of `disks`.
#[derive(Debug, Subcommand)]
pub enum DisksCommand {
    /// Passwords of a disk
    Secret(SecretArgs),
    /// Read stock, dates, limits and what waits for upload
    Status(OnDisk),
    /// Read the next number of each kind and how many are left
    Stock(OnDisk),
    /// Read one number
    Query {
        /// The number
        #[command(flatten)]
        number: NumberArgs,
        /// Which disk
        #[command(flatten)]
        on: OnDisk,
    },
    /// Void an invoice (作废)
    Void {
        /// The number
        #[command(flatten)]
        number: NumberArgs,
        /// Who voids (作废人)
        #[arg(long, value_name = "NAME")]
        operator: String,
        /// How
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Void the next blank invoice (空白作废)
    VoidBlank {
        /// Kind, such as 025; not needed where the disk is licensed for one
        #[arg(long)]
        kind: Option<InvoiceKind>,
        /// Who voids (作废人)
        #[arg(long, value_name = "NAME")]
        operator: String,
        /// How
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Report the period of a kind over the network (抄报)
    Report(KindArgs),
    /// Unlock a kind after its report (清卡)
    Clear(KindArgs),
    /// Start the upload of invoices that were issued off line
    Upload(KindArgs),
    /// Ask for a fresh offline allowance (离线权限更新)
    RefreshOffline(KindArgs),
    /// Change a password on the disk itself (口令更改); asks for the new one without echo
    Password {
        /// Which one
        #[arg(value_enum)]
        which: Which,
        /// Read the new password from a file (-: standard input)
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
        /// How
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// Which disk.
#[derive(Debug, Clone, Args)]
pub struct OnDisk {
    /// Port as configured, or number of the disk; not needed with one disk
    #[arg(long, value_name = "DISK")]
    pub disk: Option<String>,
}

/// One number.
#[derive(Debug, Clone, Args)]
pub struct NumberArgs {
    /// Invoice code (发票代码)
    pub code: String,
    /// Invoice number (发票号码)
    pub number: String,
    /// Kind, such as 025; not needed where the disk is licensed for one
    #[arg(long)]
    pub kind: Option<InvoiceKind>,
}

/// How a changing command is given.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Which disk
    #[command(flatten)]
    pub on: OnDisk,
    /// Say whether it would be allowed, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking back
    #[arg(long)]
    pub yes: bool,
    /// Do it although the agent advises against it, where it offers that
    #[arg(long)]
    pub anyway: bool,
}

/// A changing command about a kind.
#[derive(Debug, Clone, Args)]
pub struct KindArgs {
    /// Kind, such as 025; not needed where the disk is licensed for one
    #[arg(long)]
    pub kind: Option<InvoiceKind>,
    /// How
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Which password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// 税控盘口令
    Disk,
    /// 证书口令
    Certificate,
}

/// Of `disks secret`.
#[derive(Debug, Args)]
pub struct SecretArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SecretCommand,
}

/// Of `disks secret`.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Set both passwords of a disk (税控盘口令, 证书口令); asks without echo
    Set {
        /// Port as configured, or the number of a disk that the running agent sees
        #[arg(value_name = "DISK")]
        disk: String,
        /// Read disk_password = "…" and certificate_password = "…" from a file (-: standard input)
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
}

/// Of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it again every second until interrupted
    #[arg(long)]
    pub watch: bool,
}

/// How a simulated disk is spoken to over its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SimDialect {
    /// A converter with a disk inside
    Zc,
    /// A fiscal card behind a reader
    Card,
    /// A USB disk of the open profile taxdisk-bot; with --usbip only
    Bot,
}

/// Below `sim`.
#[derive(Debug, clap::Subcommand)]
pub enum SimCommand {
    /// Drive the simulated disks through everything that a driver must get right, and print a report
    Conformance {
        /// Only these; left out: all
        #[arg(value_enum, value_name = "DISK")]
        disks: Vec<ConformanceDisk>,
    },
    /// Be the maker's component for one document: reads it from the input, writes the answer. Give this command as `command`
    /// in the agent's configuration
    Component {
        /// Folder of the disk: its ledger and settings, made if missing
        state: PathBuf,
    },
}

/// What the suite can be run over without hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ConformanceDisk {
    /// A converter, fields of fixed width
    Zc,
    /// A converter, documents
    ZcXml,
    /// A converter on a pseudo-terminal, fields of fixed width; half a minute, as all that are on one
    ZcPty,
    /// A converter on a pseudo-terminal, documents
    ZcXmlPty,
    /// A fiscal card behind a reader
    Card,
    /// A fiscal card behind a reader on a pseudo-terminal
    CardPty,
    /// A USB disk of the profile taxdisk-bot, in memory
    Bot,
    /// The maker's component, over HTTP
    Nisec,
    /// The maker's component, through a local command
    NisecCommand,
    /// A tax-control server
    Skserver,
}

/// Of `sim`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct SimArgs {
    /// Something else than a disk to be used.
    #[command(subcommand)]
    pub command: Option<SimCommand>,
    /// Path that is linked to the pseudo-terminal; give it as `port` in the agent's configuration
    #[arg(long, value_name = "LINK", required_unless_present_any = ["http", "usbip"])]
    pub pty: Option<PathBuf>,
    /// Loopback address, such as 127.0.0.1:3240, at which the disk is given away as a USB device: `usbip attach -r 127.0.0.1 -b
    /// 1-1` plugs it in
    #[arg(long, value_name = "ADDRESS", conflicts_with = "pty")]
    pub usbip: Option<std::net::SocketAddr>,
    /// What the disk speaks
    #[arg(long, value_enum, default_value_t = SimDialect::Zc)]
    pub dialect: SimDialect,
    /// Loopback address, such as 127.0.0.1:0, where the disk also answers as a tax-control server (/SKServer/SKDo) and as its
    /// maker's component (/bridge)
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<std::net::SocketAddr>,
    /// Let whoever reaches the HTTP address steer the simulator (POST /control, as over the socket)
    #[arg(long, requires = "http")]
    pub http_control: bool,
    /// Folder of the disk: its ledger and settings, made if missing
    #[arg(long, value_name = "DIR", required = true)]
    pub state: Option<PathBuf>,
    /// Unix socket on which faults can be switched on
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,
    /// Licensed kinds, at the first start
    #[arg(long = "kind", value_name = "KIND", default_values_t = ["025".to_owned()])]
    pub kinds: Vec<String>,
    /// Stock, at the first start: CODE:FIRST-LAST
    #[arg(long, value_name = "CODE:FIRST-LAST")]
    pub stock: Vec<String>,
    /// Taxpayer number of the disk, at the first start
    #[arg(long, value_name = "NUMBER")]
    pub taxpayer: Option<String>,
    /// Name of the taxpayer, at the first start
    #[arg(long, value_name = "NAME")]
    pub taxpayer_name: Option<String>,
    /// Number inside the disk, at the first start
    #[arg(long, value_name = "NUMBER")]
    pub disk: Option<String>,
    /// How long the disk takes to sign an invoice, milliseconds
    #[arg(long, value_name = "MS")]
    pub issue_time_ms: Option<u64>,
}

/// Of `record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// What to do
    #[command(subcommand)]
    pub command: RecordCommand,
}

/// Of `record`.
#[derive(Debug, Subcommand)]
pub enum RecordCommand {
    /// Record from the next opening of each port on; passwords are masked before anything is kept
    On,
    /// Record no more; what was kept stays
    Off,
    /// Write what was kept, without names, taxpayer numbers and passwords, as JSON Lines
    Export {
        /// New file; an existing one is not overwritten
        file: PathBuf,
    },
}

/// Of `journal`.
#[derive(Debug, Args)]
pub struct JournalArgs {
    /// What to do
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// Of `journal`.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Show its entries (the agent must be stopped); names and signatures are left out
    Show {
        /// The last so many entries
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

/// Of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// Of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and show every value as it is used
    Check,
}

/// Parses the command line, does it, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::perform(&cli) {
        Ok(code) => code,
        Err(failure) => {
            tell(&failure, cli.common.json);
            failure.exit.into()
        }
    }
}

fn tell(failure: &Failure, json: bool) {
    if json {
        commands::print(&serde_json::json!({ "error": failure.text }).to_string());
    }
    eprintln!("taxdisk-agent: {}", failure.text);
}

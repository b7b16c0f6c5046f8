//! `taxdisk webhook …`

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use taxdisk_protocol::event;

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Make an endpoint. Its secret is shown once.
    Create {
        #[command(flatten)]
        wanted: Wanted,
        /// How messages are signed.
        #[arg(long, default_value = "symmetric", conflicts_with = "secret_file")]
        signing: SigningArg,
        /// File with a secret of your own, `whsec_…` or `whsk_…`.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// List endpoints.
    List,
    /// Show an endpoint.
    Show {
        /// Its id.
        webhook: String,
    },
    /// Change an endpoint: what is not given is emptied.
    Set {
        /// Its id.
        webhook: String,
        #[command(flatten)]
        wanted: Wanted,
        /// Send nothing for now; events are kept.
        #[arg(long)]
        disable: bool,
    },
    /// Send again what was kept while an endpoint was switched off.
    Enable {
        /// Its id.
        webhook: String,
    },
    /// Delete an endpoint with its delivery log.
    Delete {
        /// Its id.
        webhook: String,
    },
    /// Give an endpoint a new secret. The old one signs too for a time.
    Rotate {
        /// Its id.
        webhook: String,
        /// How long the old secret signs too; one day if left out.
        #[arg(long, value_name = "SECONDS")]
        overlap_s: Option<u64>,
        /// File with a secret of your own.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Send a test message now and print what came of it.
    Test {
        /// Its id.
        webhook: String,
    },
    /// Send events again, with the ids that they had.
    Replay(ReplayArgs),
    /// Print the delivery log, the newest event first.
    Deliveries {
        /// Its id.
        webhook: String,
        /// Only in this state.
        #[arg(long)]
        state: Option<DeliveryStateArg>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

/// What an endpoint is told, and where.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Wanted {
    /// Address, `https://…`.
    #[arg(long)]
    pub(crate) url: String,
    /// What people call it.
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// Type of event (`job.issued`) or group (`job.*`); give it several times. None: all.
    #[arg(long = "event", value_name = "TYPE")]
    pub(crate) events: Vec<String>,
    /// Taxpayer number; give it several times. None: all that the key is for.
    #[arg(long = "seller", value_name = "SELLER")]
    pub(crate) sellers: Vec<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ReplayArgs {
    /// Id of the endpoint.
    pub(crate) webhook: String,
    /// Only this event.
    #[arg(long, conflicts_with_all = ["failed", "since", "until"], required_unless_present_any = ["failed", "since", "until"])]
    pub(crate) event: Option<String>,
    /// Only what was given up.
    #[arg(long)]
    pub(crate) failed: bool,
    /// Events at or after, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Events before, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// How messages are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SigningArg {
    /// HMAC-SHA256 with a shared secret.
    Symmetric,
    /// Ed25519; the receiver needs the public key only.
    Asymmetric,
}

impl From<SigningArg> for event::Signing {
    fn from(word: SigningArg) -> event::Signing {
        match word {
            SigningArg::Symmetric => event::Signing::Symmetric,
            SigningArg::Asymmetric => event::Signing::Asymmetric,
        }
    }
}

/// State of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeliveryStateArg {
    /// It is sent, or sent again.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// Given up.
    Failed,
}

impl DeliveryStateArg {
    /// As the API writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            DeliveryStateArg::Waiting => "waiting",
            DeliveryStateArg::Delivered => "delivered",
            DeliveryStateArg::Failed => "failed",
        }
    }
}

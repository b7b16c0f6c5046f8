//! What a running agent says about itself over a Unix socket in its state folder (on Windows a named pipe): one line
//! asked, one line answered.
//!
//! Only who may enter the state folder (0700) can ask. The answer holds no secret and no invoice's content.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taxdisk_protocol::api::DiskReport;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::update::AgentUpdate;

use crate::core::ladder::{Counts, Rung};
use crate::core::operation::{Order, OrderReport};
use crate::failure::Failure;

/// The longest line of either side, bytes: 32 disks with their reports stay far below.
pub const LINE_MAX_BYTES: u64 = 256 * 1024;
/// Either side gives up after this time.
pub const LIMIT: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Question {
    /// How are you?
    Status,
    /// Do this, and keep what comes of it for [`Question::Report`].
    Order {
        /// Port as configured.
        port: String,
        /// What.
        order: Order,
    },
    /// What came of an order?
    Report {
        /// Its id.
        id: String,
    },
    /// A person set the passwords of this port.
    SecretChanged {
        /// Port as configured.
        port: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "content", rename_all = "snake_case")]
pub enum Answer {
    /// Of [`Question::Status`].
    Status(Box<Status>),
    /// Of [`Question::Report`]; absent while nothing is known of it yet.
    Report(Option<Box<OrderReport>>),
    /// Done.
    Done,
    /// Not done.
    Refused {
        /// Why.
        text: String,
    },
}

/// How the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Process.
    pub pid: u32,
    /// Its id.
    pub agent: String,
    /// What people call this PC, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the broker is.
    pub broker: String,
    /// Started at, RFC 3339.
    pub started_at: String,
    /// Address of the status page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The link.
    pub link: LinkStatus,
    /// Entries that the broker has not acknowledged.
    pub outbox: usize,
    /// Id of the journal.
    pub journal: String,
    /// Its sequence.
    pub journal_sequence: u64,
    /// Disks, in the order of the configuration.
    pub disks: Vec<DiskStatus>,
    /// How it stands with updates; absent from agents of 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<AgentUpdate>,
    /// What was done about failing readings since the agent started, by profile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub recoveries: BTreeMap<String, Counts>,
}

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkStatus {
    /// It is joined.
    pub up: bool,
    /// For how many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_s: Option<u64>,
    /// Last measured round trip, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<u64>,
    /// Why it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How a disk is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiskStatus {
    /// Port as configured.
    pub port: String,
    /// What the broker is told; absent while no disk answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<DiskReport>,
    /// Epoch under which this agent owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The attempt that runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// Why it is not used, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Class of that trouble, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DeviceClass>,
    /// The device's profile.
    #[serde(default)]
    pub profile: String,
    /// The last step of its recovery; absent while it reads well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Rung>,
    /// Other ports that show the same disk number: nothing is issued on any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<String>,
}

/// Asks the agent that runs on this state folder. `None`: none runs.
///
/// # Errors
/// One runs and does not answer.
pub fn ask(socket: &Path, question: &Question) -> Result<Option<Answer>, Failure> {
    let mut line = serde_json::to_vec(question).expect("plain data with text keys");
    line.push(b'\n');
    let answer = match crate::platform::exchange(socket, &line, LINE_MAX_BYTES, LIMIT) {
        Ok(Some(answer)) => answer,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(Failure::failed(format!(
                "The agent's socket {} cannot be opened ({error}): run this as the agent's user.",
                socket.display()
            )));
        }
        Err(error) => return Err(Failure::failed(format!("The running agent does not answer ({error}): look into its log."))),
    };
    serde_json::from_str(&answer)
        .map(Some)
        .map_err(|_| Failure::failed("The running agent answers in another version's words: restart it after the update."))
}

//! Frames of the agent link, WebSocket subprotocol `taxdisk.v1`: one JSON object a text frame, tagged by `type`.
//!
//! Order at a join: agent `hello` → broker `challenge` → agent `proof` → broker `welcome`. Then the agent reports its
//! `disks`; for each the broker answers `grant` (the agent owns it, under this epoch) or `deny` (somebody else does, or two
//! claim it: nobody issues). Work follows: `assign`, `recall`, `settle` one way; `started`, `outcome`, `accounted`,
//! `disks` the other.
//!
//! Unknown fields are ignored; an unknown `type` is answered by `unsupported`. Frames that carry an `id` are durable at
//! their sender until an `ack` names the id; they may arrive twice or late. An `assign` is durable at the broker until
//! `outcome`, and is repeated as an open attempt in every `grant` of its disk: the agent answers from its index.
//!
//! A broker whose ledger went back asks by `recount`, and the agent answers by `recounted`; an agent that does not know the
//! frame keeps its seller waiting until it is updated, or until a person releases the disk.
//!
//! An operation of an administrator is handed over by `operate` and answered by `operated`; an agent that does not know the frame
//! answers `unsupported`, and the operation ends so. It is asked for again after every `grant` until it is answered.
//!
//! A broker that offers updates says so in its `welcome`; only then the agent tells by `updating` how it stands with them, after
//! the welcome and when that changes, and each is answered by an `update`. Neither is sent to a peer that does not know it.
//!
//! An agent that exchanges its key proves, at its next join, every key that it has ([`KeyProof`], the newest first). The broker
//! knows one of them and from then on the newest alone, which its `welcome` names; then the agent forgets the others. A peer of
//! 0.1 neither sends nor reads this.
//!
//! Versions: 1 — first.

use serde::{Deserialize, Serialize};

use crate::api::{DiskReport, InvoiceBody, Operation, OperationKind, OperationResultView};
use crate::class::DeviceClass;
use crate::ids::{AgentId, DiskNumber, JobKey};
use crate::kind::InvoiceKind;
use crate::number::NumberPair;
use crate::printed::Printed;
use crate::trace::Traceparent;
use crate::undo::Undoing;
use crate::update::{AgentUpdate, UpdateOffer};

mod keys;

pub use keys::{KEYS_MAX, KeyProof, fingerprint, key_message, proof_message, retire_message};

/// The subprotocol that both sides name at the upgrade.
pub const SUBPROTOCOL: &str = "taxdisk.v1";
/// Path of the link on the broker.
pub const LINK_PATH: &str = "/v1/agents/link";
/// Path of the tunnels: the link's bytes over plain requests, where a network passes no WebSocket.
pub const TUNNEL_PATH: &str = "/v1/agents/tunnel";
/// A fetch through a tunnel waits for bytes so long, seconds. Below what proxies cut.
pub const TUNNEL_WAIT_S: u64 = 15;
/// Bytes of one fetch or one sending through a tunnel, at most.
pub const TUNNEL_CHUNK_BYTES: usize = 64 * 1024;
/// The longest frame either side accepts, bytes: an invoice of 100 lines is under 64 KiB, a grant repeats at most a few.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;
/// Ping interval on both sides, seconds.
pub const PING_S: u64 = 20;
/// Silence after which a link is dead on both sides, seconds.
pub const SILENCE_S: u64 = 60;
/// An agent begins a job only while it has heard from the broker within this time, seconds. Shorter than [`SILENCE_S`], after
/// which the broker may give the disk to another claimant: so a cut-off agent stops beginning before its disk can move.
pub const BEGIN_LEASE_S: u64 = 45;

/// One attempt of one job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptRef {
    /// Job.
    #[serde(flatten)]
    pub key: JobKey,
    /// Counts from 1.
    pub attempt: u32,
}

impl std::fmt::Display for AttemptRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.key, self.attempt)
    }
}

/// Everything that a disk needs to know of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which attempt.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// Rises by one with every assignment to this disk, for ever, over all agents and epochs.
    pub sequence: u64,
    /// What to do.
    pub operation: Operation,
    /// Kind.
    pub kind: InvoiceKind,
    /// Content, as the broker accepted and checked it. Of a void only the clerk counts, who voids; the rest is empty.
    pub invoice: InvoiceBody,
    /// Hash over the canonical form of the content, hex.
    pub content_hash: String,
    /// The invoice that a void or red is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<NumberPair>,
    /// Our mark, which the agent puts at the end of the remark; absent where the seller has it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The hand-over in the job's trace, for whoever looks on; older brokers leave it out, and older agents leave it unread.
    #[serde(default, deserialize_with = "crate::trace::lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<Traceparent>,
}

/// The last number of a kind of which the broker knows whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounted {
    /// Kind.
    pub kind: InvoiceKind,
    /// Last accounted pair.
    pub last: NumberPair,
}

/// Whose a number is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// This attempt's.
    Ours(AttemptRef),
    /// Another program's, or older than us.
    Foreign,
}

/// One number that was read and entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberEntry {
    /// Code and number.
    pub pair: NumberPair,
    /// Whose it is.
    pub owner: Owner,
    /// Status as the disk gave it (`positive`, `blank_void` …).
    pub status: String,
    /// Hash over what was read, hex.
    pub digest: String,
}

/// What a ledger that went back does not know of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The disk is to be recounted first: the ledger may have forgotten anything.
    #[serde(default)]
    pub recounting: bool,
    /// Unsettled attempts that it knows from the agent's index only, and that no person has decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<AttemptRef>,
}

impl Forgotten {
    /// It forgot nothing.
    pub fn is_nothing(&self) -> bool {
        !self.recounting && self.unsettled.is_empty()
    }

    /// May it not know what became of this attempt?
    pub fn is(&self, attempt: &AttemptRef) -> bool {
        self.recounting || self.unsettled.contains(attempt)
    }
}

/// Of the entries of a [`AgentFrame::Recorded`]: some hundred lines of a disk's frames.
pub const RECORDED_MAX_BYTES: usize = 16 * 1024;

/// A line of the agent's index: never deleted, told again to a ledger that went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexLine {
    /// Which attempt.
    #[serde(flatten)]
    pub attempt: AttemptRef,
    /// Kind.
    pub kind: InvoiceKind,
    /// Epoch of the assignment.
    pub epoch: u64,
    /// Sequence of the assignment.
    pub sequence: u64,
    /// Hash over the content, where the journal has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// The journalled pair, if it came so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<NumberPair>,
    /// What it does to an earlier invoice. Absent where the journal does not tell: lines of agents of 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<Undoing>,
    /// How it ended.
    pub result: AttemptResult,
}

impl IndexLine {
    /// May it have voided or reversed this invoice? What the line does not tell is possible.
    pub fn may_undo(&self, original: NumberPair) -> bool {
        match (&self.result, self.undoing) {
            (AttemptResult::Voided { pair, .. }, _) => *pair == original,
            (_, Some(undoing)) => undoing == Undoing::Of(original),
            (_, None) => true,
        }
    }
}

/// The numbers of one kind after the last one that a ledger knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecountedNumbers {
    /// Kind.
    pub kind: InvoiceKind,
    /// In their order, without those that the index holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<SeenNumber>,
    /// All numbers up to this one were looked at. Absent if no number of the kind is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<NumberPair>,
    /// They reach the disk's current number. If not, the rest is asked for from `last`.
    pub complete: bool,
}

/// A number of which the agent's index has no attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenNumber {
    /// Code and number.
    pub pair: NumberPair,
    /// Status as the disk gave it.
    pub status: String,
    /// Hash over what was read, hex.
    pub digest: String,
    /// The mark in its remark, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The invoice that it reverses, where the disk tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<NumberPair>,
    /// Gross amount.
    pub gross: String,
    /// Buyer's name.
    pub buyer: String,
}

/// One reading of the disk, kept as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "read", rename_all = "snake_case")]
pub enum Reading {
    /// The current pair; `None`: no stock.
    Current {
        /// Kind.
        kind: InvoiceKind,
        /// Next pair.
        pair: Option<NumberPair>,
        /// Blank invoices left.
        remaining: Option<u32>,
        /// RFC 3339, clock of the PC.
        at: String,
    },
    /// A query of one number.
    Query {
        /// Which.
        pair: NumberPair,
        /// What the disk said.
        found: QueryResult,
        /// RFC 3339, clock of the PC.
        at: String,
    },
}

/// What a query of one number said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryResult {
    /// The disk says that it has no such invoice.
    Absent,
    /// It is there.
    Present {
        /// Fields of the content that differ from what was sent; empty: equal.
        different: Vec<String>,
        /// The mark in its remark, if there is one.
        mark: Option<String>,
        /// Status.
        status: String,
        /// Gross amount, for people.
        gross: String,
        /// Buyer, for people.
        buyer: String,
    },
    /// The query failed: this proves nothing.
    Failed {
        /// Class.
        class: DeviceClass,
        /// Text.
        text: String,
    },
}

/// How an attempt ended, as far as the agent can prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum AttemptResult {
    /// A legal invoice exists.
    Issued {
        /// Its pair.
        pair: NumberPair,
        /// Disk clock, `yyyyMMddHHmmss`.
        issued_at: String,
        /// 税控码.
        fiscal_code: String,
        /// 签名.
        signature: String,
        /// What the disk gave for the printed form; agents of 0.1 do not send it.
        #[serde(default, skip_serializing_if = "Printed::is_empty")]
        printed: Printed,
        /// Found by reading, not by a clean answer.
        settled: bool,
    },
    /// Of a void: the original is void, as reading it proves.
    Voided {
        /// The original.
        pair: NumberPair,
        /// Disk clock, `yyyyMMddHHmmss`, where the disk tells.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        voided_at: String,
    },
    /// Proven: no invoice exists; of a void: the original is valid.
    NotIssued {
        /// Class of the trouble.
        class: DeviceClass,
        /// The device's code, if it gave one.
        code: Option<String>,
        /// Text for people.
        text: String,
    },
    /// The attempt was never begun; nothing was written to the disk for it.
    GivenBack {
        /// Why.
        text: String,
    },
    /// Unknown; the disk must be read again, or a person must decide.
    Unsettled {
        /// Class of the trouble.
        class: DeviceClass,
        /// Why it cannot be decided.
        text: String,
    },
}

impl AttemptResult {
    /// The word that it has on the wire, for log lines.
    pub fn name(&self) -> &'static str {
        match self {
            AttemptResult::Issued { .. } => "issued",
            AttemptResult::Voided { .. } => "voided",
            AttemptResult::NotIssued { .. } => "not_issued",
            AttemptResult::GivenBack { .. } => "given_back",
            AttemptResult::Unsettled { .. } => "unsettled",
        }
    }
}

/// What an administrator asks of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationOrder {
    /// Its id, never used for another one: the agent's journal answers by it for ever.
    pub id: String,
    /// What.
    pub what: OperationKind,
    /// Invoice kind; absent where nothing is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<InvoiceKind>,
    /// Read and judge; send nothing that changes the disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// A person overruled a refusal beforehand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anyway: bool,
    /// It may have been sent already, by this agent or another one: nothing is begun for it. An agent whose journal knows nothing
    /// of it answers `unsettled`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settle_only: bool,
}

/// Head of the agent's journal, by which a lost, rolled-back or cloned one is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// Random id, made with the journal.
    pub id: String,
    /// Rises with every durable record.
    pub sequence: u64,
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "said one at a time; most that are kept are outcomes, which are the large ones")]
pub enum AgentFrame {
    /// First frame.
    Hello {
        /// Who.
        agent: AgentId,
        /// Version of the program.
        version: String,
        /// Link versions that it speaks.
        protocol: Vec<u32>,
        /// Journal.
        journal: JournalHead,
        /// Rises by one with every join, durable before it is sent: two copies of one agent show as one that went back.
        join: u64,
    },
    /// Signature over [`proof_message`], base64.
    Proof {
        /// Ed25519.
        signature: String,
        /// Every key of an agent that exchanges it, the newest first; empty: there is one key only.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<KeyProof>,
    },
    /// All disks that answer now. A disk that is missing here is away.
    Disks {
        /// Each.
        disks: Vec<DiskReport>,
    },
    /// Intent is durable; the command is about to be written.
    Started {
        /// Disk.
        disk: DiskNumber,
        /// Epoch under which it began.
        epoch: u64,
        /// Which.
        attempt: AttemptRef,
        /// The journalled pair.
        expected: NumberPair,
    },
    /// What went between PC and disk when something failed in an attempt, where a person has switched recordings on. People are
    /// taken out of it. It proves nothing and is sent once: the whole recording stays at the PC.
    Recorded {
        /// Disk.
        disk: DiskNumber,
        /// Which.
        attempt: AttemptRef,
        /// What failed.
        why: String,
        /// JSON Lines of the last entries before that, [`RECORDED_MAX_BYTES`] at most.
        lines: String,
    },
    /// How an attempt ended. Sent again until acknowledged.
    Outcome {
        /// Id for the `ack`.
        id: String,
        /// Disk.
        disk: DiskNumber,
        /// Epoch of the assignment.
        epoch: u64,
        /// Sequence of the assignment.
        sequence: u64,
        /// Which.
        attempt: AttemptRef,
        /// The journalled pair, if it came so far.
        expected: Option<NumberPair>,
        /// How.
        outcome: AttemptResult,
        /// Readings that led to it.
        readings: Vec<Reading>,
        /// Milliseconds of the disk's own commands for this attempt.
        disk_ms: u64,
    },
    /// Numbers that were read and entered. Sent again until acknowledged.
    Accounted {
        /// Id for the `ack`.
        id: String,
        /// Disk.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// Kind.
        kind: InvoiceKind,
        /// Entries in the order of the numbers.
        entries: Vec<NumberEntry>,
        /// The last accounted pair after them.
        last: NumberPair,
        /// What a person should know, if anything is odd.
        note: Option<String>,
    },
    /// A part of the answer to `recount`, in order on one link.
    Recounted {
        /// Disk.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// Lines of the index.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<IndexLine>,
        /// What was read of one kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        numbers: Option<RecountedNumbers>,
        /// The last part.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        done: bool,
    },
    /// The intent of an operation is durable; its command is about to be written. May be lost.
    Operating {
        /// Disk.
        disk: DiskNumber,
        /// Epoch under which it began.
        epoch: u64,
        /// Id of the operation.
        operation: String,
    },
    /// How an operation ended. Sent again until acknowledged.
    Operated {
        /// Id for the `ack`.
        id: String,
        /// Disk.
        disk: DiskNumber,
        /// Epoch under which it was asked for.
        epoch: u64,
        /// Id of the operation.
        operation: String,
        /// How, with what was read.
        result: Box<OperationResultView>,
    },
    /// How this agent stands with updates. May be lost.
    Updating {
        /// How.
        update: AgentUpdate,
    },
    /// This type is not known here.
    Unsupported {
        /// The type.
        of: String,
    },
    /// The agent leaves on purpose. Nothing is begun after it.
    Goodbye,
}

/// What a broker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BrokerFrame {
    /// Answer to `hello`.
    Challenge {
        /// Random, base64, 32 bytes.
        nonce: String,
        /// Id of the ledger.
        ledger: String,
        /// Ids that this ledger had before it was restored from a backup, oldest first. An agent of one of them goes on here, and
        /// never goes back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ancestors: Vec<String>,
    },
    /// The proof is good.
    Welcome {
        /// Link version that both speak.
        protocol: u32,
        /// Highest journal sequence of this journal id that the broker has heard of; larger than the agent's own: it went back.
        journal_known: Option<u64>,
        /// The broker takes `updating` and answers by `update`; brokers of 0.1 do not send it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        updates: bool,
        /// The key that the broker knows from now on, base64; brokers of 0.1 do not send it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// The agent owns the disk.
    Grant {
        /// Disk.
        disk: DiskNumber,
        /// Epoch; only grows.
        epoch: u64,
        /// What the broker knows as accounted, per kind.
        accounted: Vec<Accounted>,
        /// Attempts on this disk that have no outcome at the broker, of any epoch. Each is answered by an `outcome`.
        open: Vec<OpenAttempt>,
        /// What is unsettled at the agent and not listed as open was settled by a person, except for these.
        #[serde(default, skip_serializing_if = "Forgotten::is_nothing")]
        forgotten: Forgotten,
    },
    /// The agent must not issue on this disk.
    Deny {
        /// Disk.
        disk: DiskNumber,
        /// For people.
        reason: String,
    },
    /// Do this.
    Assign {
        /// Disk.
        disk: DiskNumber,
        /// Epoch under which it is assigned.
        epoch: u64,
        /// What.
        assignment: Assignment,
    },
    /// Give it back if it has not begun; the `outcome` says.
    Recall {
        /// Disk.
        disk: DiskNumber,
        /// Which.
        attempt: AttemptRef,
    },
    /// Read the disk and say what became of this attempt. Never sends an issuing command.
    Settle {
        /// Disk.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// What.
        open: OpenAttempt,
    },
    /// A person has settled this attempt. An agent that is not told learns of it from the next grant, which does not list it.
    Settled {
        /// Disk.
        disk: DiskNumber,
        /// Which.
        attempt: AttemptRef,
        /// The number that he said is its own, and from now on nobody else's. Older brokers leave it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<NumberPair>,
    },
    /// The broker's ledger went back: say again what the index holds above this sequence, and read every number after these.
    /// Nothing is assigned for the seller before. Asked in every grant until it is answered whole: it need not be durable.
    Recount {
        /// Disk.
        disk: DiskNumber,
        /// Epoch.
        epoch: u64,
        /// The highest assign sequence that the ledger knows.
        after: u64,
        /// What it knows as accounted.
        since: Vec<Accounted>,
    },
    /// Do this beside no job, and say by `operated` what came of it.
    Operate {
        /// Disk.
        disk: DiskNumber,
        /// Epoch under which it is asked for.
        epoch: u64,
        /// What.
        operation: OperationOrder,
    },
    /// These are durable at the broker.
    Ack {
        /// Ids.
        ids: Vec<String>,
    },
    /// The version that this agent may go to, in place of what was offered before.
    Update {
        /// Absent: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offer: Option<UpdateOffer>,
    },
    /// This type is not known here.
    Unsupported {
        /// The type.
        of: String,
    },
    /// The link ends. `code` is of the error catalogue.
    Refused {
        /// Code.
        code: String,
        /// For people.
        reason: String,
    },
}

impl AgentFrame {
    /// Every `type` of this version.
    pub const TYPES: &[&str] = &[
        "hello",
        "proof",
        "disks",
        "started",
        "recorded",
        "outcome",
        "accounted",
        "recounted",
        "operating",
        "operated",
        "updating",
        "unsupported",
        "goodbye",
    ];

    /// The `type` of this frame, for logs.
    pub fn type_name(&self) -> &'static str {
        match self {
            AgentFrame::Hello { .. } => "hello",
            AgentFrame::Proof { .. } => "proof",
            AgentFrame::Disks { .. } => "disks",
            AgentFrame::Started { .. } => "started",
            AgentFrame::Recorded { .. } => "recorded",
            AgentFrame::Outcome { .. } => "outcome",
            AgentFrame::Accounted { .. } => "accounted",
            AgentFrame::Recounted { .. } => "recounted",
            AgentFrame::Operating { .. } => "operating",
            AgentFrame::Operated { .. } => "operated",
            AgentFrame::Updating { .. } => "updating",
            AgentFrame::Unsupported { .. } => "unsupported",
            AgentFrame::Goodbye => "goodbye",
        }
    }
}

impl BrokerFrame {
    /// Every `type` of this version.
    pub const TYPES: &[&str] = &[
        "challenge",
        "welcome",
        "grant",
        "deny",
        "assign",
        "recall",
        "settle",
        "settled",
        "recount",
        "operate",
        "ack",
        "update",
        "unsupported",
        "refused",
    ];

    /// The `type` of this frame, for logs.
    pub fn type_name(&self) -> &'static str {
        match self {
            BrokerFrame::Challenge { .. } => "challenge",
            BrokerFrame::Welcome { .. } => "welcome",
            BrokerFrame::Grant { .. } => "grant",
            BrokerFrame::Deny { .. } => "deny",
            BrokerFrame::Assign { .. } => "assign",
            BrokerFrame::Recall { .. } => "recall",
            BrokerFrame::Settle { .. } => "settle",
            BrokerFrame::Settled { .. } => "settled",
            BrokerFrame::Recount { .. } => "recount",
            BrokerFrame::Operate { .. } => "operate",
            BrokerFrame::Ack { .. } => "ack",
            BrokerFrame::Update { .. } => "update",
            BrokerFrame::Unsupported { .. } => "unsupported",
            BrokerFrame::Refused { .. } => "refused",
        }
    }
}

/// Why a text is no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Decode {
    /// A frame of a newer version: answer `unsupported` with this type and go on.
    #[error("frames of the type {0:?} are not known here")]
    UnknownType(String),
    /// Not a frame at all: refuse the link.
    #[error("not a frame of the link: {0}")]
    Malformed(String),
}

/// Reads what an agent said.
///
/// # Errors
/// The type is not known, or the text is no frame, or it is longer than [`MAX_FRAME_BYTES`].
pub fn decode_agent(text: &str) -> Result<AgentFrame, Decode> {
    decode(text, AgentFrame::TYPES)
}

/// Reads what a broker said.
///
/// # Errors
/// The type is not known, or the text is no frame, or it is longer than [`MAX_FRAME_BYTES`].
pub fn decode_broker(text: &str) -> Result<BrokerFrame, Decode> {
    decode(text, BrokerFrame::TYPES)
}

/// The longest type that is repeated back to its sender, bytes.
const UNKNOWN_TYPE_BYTES: usize = 64;

fn decode<T: serde::de::DeserializeOwned>(text: &str, types: &[&str]) -> Result<T, Decode> {
    #[derive(Deserialize)]
    struct Tag {
        r#type: String,
    }

    if text.len() > MAX_FRAME_BYTES {
        return Err(Decode::Malformed(format!("{} bytes, at most {MAX_FRAME_BYTES} are taken", text.len())));
    }
    let malformed = |error: serde_json::Error| Decode::Malformed(error.to_string());
    let Tag { r#type } = serde_json::from_str(text).map_err(malformed)?;
    if types.contains(&r#type.as_str()) {
        return serde_json::from_str(text).map_err(malformed);
    }
    if r#type.len() > UNKNOWN_TYPE_BYTES {
        return Err(Decode::Malformed(format!("a type of {} bytes", r#type.len())));
    }
    Err(Decode::UnknownType(r#type))
}

/// An attempt whose outcome the broker does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAttempt {
    /// What was assigned.
    pub assignment: Assignment,
    /// Under which epoch.
    pub epoch: u64,
    /// To which agent.
    pub agent: AgentId,
    /// The journalled pair, where the broker has heard of it.
    pub expected: Option<NumberPair>,
    /// A pair that a late outcome named: read it too.
    pub named: Option<NumberPair>,
}

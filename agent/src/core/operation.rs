//! The other changing commands (void, blank void, report, clear, upload, refresh, password): what is asked, what is durable
//! before it, and what reading the disk says of it afterwards. Pure; [`super::disk`] performs it.
//!
//! What it refuses to do: call a command *not done* because of an error text or because time passed, call it *done* because
//! nothing contradicts it, and advise to send a command again whose repetition does something else (a blank void takes the next
//! blank; an upload is a toggle on some devices).

use serde::{Deserialize, Serialize};

use taxdisk_drivers::disk::{FoundInvoice, Limits, NumberStatus, OfflineTotals, Stock};
use taxdisk_drivers::operation::PasswordKind;
use taxdisk_protocol::capabilities::{DiskOperation, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::AttemptRef;
use taxdisk_protocol::mark::find_mark;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;

use super::compare::Doubt;
use super::walk::Survey;

/// What a person asks of a disk. Passwords are never part of it: they lie in the secrets file under the order's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// Reads stock, limits and offline totals. Changes nothing.
    Status,
    /// Reads one number. Changes nothing.
    Query {
        /// Kind.
        kind: InvoiceKind,
        /// Which.
        pair: NumberPair,
    },
    /// 作废 of an issued invoice.
    Void {
        /// Kind.
        kind: InvoiceKind,
        /// Which.
        pair: NumberPair,
        /// 作废人.
        operator: String,
    },
    /// 作废 of the next blank.
    BlankVoid {
        /// Kind.
        kind: InvoiceKind,
        /// 作废人.
        operator: String,
    },
    /// 抄报.
    Report {
        /// Kind.
        kind: InvoiceKind,
    },
    /// 清卡.
    Clear {
        /// Kind.
        kind: InvoiceKind,
    },
    /// Upload of what was issued off line.
    Upload {
        /// Kind.
        kind: InvoiceKind,
    },
    /// 离线权限更新.
    RefreshOffline {
        /// Kind.
        kind: InvoiceKind,
    },
    /// 口令更改. The passwords are in the secrets file.
    ChangePassword {
        /// Which one.
        which: PasswordKind,
    },
}

impl What {
    /// The command that it sends; `None`: it only reads.
    pub fn operation(&self) -> Option<DiskOperation> {
        Some(match self {
            What::Status | What::Query { .. } => return None,
            What::Void { .. } => DiskOperation::Void,
            What::BlankVoid { .. } => DiskOperation::BlankVoid,
            What::Report { .. } => DiskOperation::Report,
            What::Clear { .. } => DiskOperation::Clear,
            What::Upload { .. } => DiskOperation::Upload,
            What::RefreshOffline { .. } => DiskOperation::RefreshOffline,
            What::ChangePassword { .. } => DiskOperation::ChangePassword,
        })
    }

    /// The kind that it is about.
    pub fn kind(&self) -> Option<InvoiceKind> {
        match self {
            What::Status | What::ChangePassword { .. } => None,
            What::Query { kind, .. }
            | What::Void { kind, .. }
            | What::BlankVoid { kind, .. }
            | What::Report { kind }
            | What::Clear { kind }
            | What::Upload { kind }
            | What::RefreshOffline { kind } => Some(*kind),
        }
    }

    /// What must be read before it, and again after it where that can prove anything.
    pub(super) fn reads(&self, kinds: &[InvoiceKind]) -> Vec<Read> {
        match self {
            What::Status => {
                let of_kinds = kinds.iter().flat_map(|kind| [Read::Stock(*kind), Read::Limits(*kind)]);
                of_kinds.chain([Read::Totals]).collect()
            }
            What::Query { kind, pair } => vec![Read::Target(*kind, *pair)],
            What::Void { kind, pair, .. } => vec![Read::Limits(*kind), Read::Target(*kind, *pair)],
            What::BlankVoid { kind, .. } => vec![Read::Stock(*kind)],
            What::Report { kind } | What::Clear { kind } | What::Upload { kind } | What::RefreshOffline { kind } => {
                vec![Read::Stock(*kind), Read::Limits(*kind), Read::Totals]
            }
            What::ChangePassword { .. } => Vec::new(),
        }
    }
}

/// An order to a disk's worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id, never used twice: what is known of it is found by it, also after a restart.
    pub id: String,
    /// What.
    pub what: What,
    /// Read and judge; send nothing that changes the disk.
    #[serde(default)]
    pub dry_run: bool,
    /// The person has seen the refusal and confirms that it shall be done all the same, where that is offered.
    #[serde(default)]
    pub anyway: bool,
}

/// One reading for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Stock(InvoiceKind),
    Limits(InvoiceKind),
    Totals,
    Target(InvoiceKind, NumberPair),
}

/// Stock and limits of one kind. `None`: the disk did not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindReading {
    /// Kind.
    pub kind: InvoiceKind,
    /// Current pair and what is left; `None` also where no blank invoice is left.
    pub stock: Option<Stock>,
    /// Dates and limits.
    pub limits: Option<Limits>,
}

/// One number as it was read, without buyer and lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Code and number.
    pub pair: NumberPair,
    /// What became of it.
    pub status: NumberStatus,
    /// Disk clock, `yyyyMMddHHmmss`; empty on voided blanks.
    pub issued_at: String,
    /// Sum without tax.
    pub net: Amount,
    /// Sum with tax.
    pub gross: Amount,
    /// Our mark in its remark.
    pub mark: Option<String>,
    /// Voided at, where the disk tells.
    pub voided_at: Option<String>,
    /// The invoice that a red one reverses, where the disk tells.
    pub original: Option<NumberPair>,
}

impl From<&FoundInvoice> for Target {
    fn from(found: &FoundInvoice) -> Target {
        Target {
            pair: found.pair,
            status: found.status,
            issued_at: found.issued_at.clone(),
            net: found.net,
            gross: found.gross,
            mark: find_mark(&found.remark).map(str::to_owned),
            voided_at: found.voided_at.clone(),
            original: found.original,
        }
    }
}

/// What was read for an operation, before or after it: evidence for a person, and what settling compares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Readings {
    /// Per kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindReading>,
    /// What waits for upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<OfflineTotals>,
    /// The number that it is about; `None` where it was not read or where the disk has no such invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Jobs that were unsettled on the disk then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<AttemptRef>,
}

impl Readings {
    pub(super) fn kind(&mut self, kind: InvoiceKind) -> &mut KindReading {
        let at = self.kinds.iter().position(|reading| reading.kind == kind).unwrap_or_else(|| {
            self.kinds.push(KindReading { kind, stock: None, limits: None });
            self.kinds.len() - 1
        });
        &mut self.kinds[at]
    }

    fn limits(&self, kind: InvoiceKind) -> Option<&Limits> {
        self.kinds.iter().find(|reading| reading.kind == kind)?.limits.as_ref()
    }
}

/// Written and durable before an operation is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationIntent {
    /// Id of the order.
    pub id: String,
    /// Disk.
    pub disk: DiskNumber,
    /// Port as configured: a password change must be known before the disk can be asked who it is.
    pub port: String,
    /// What.
    pub what: What,
    /// The pair that the disk showed just before (blank void).
    pub expected: Option<NumberPair>,
    /// A reading can prove which password is the right one (password change).
    pub provable: bool,
    /// Readings before.
    pub before: Readings,
    /// RFC 3339, clock of the PC. For people only.
    pub at: String,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum OperationResult {
    /// It took effect.
    Done {
        /// Proven by reading the disk; otherwise by its clean answer alone, where no reading shows it.
        read: bool,
    },
    /// Proven: it had no effect, and can have none later.
    NotDone {
        /// Class.
        class: DeviceClass,
        /// For people.
        text: String,
    },
    /// Reading cannot tell. For a person, with both readings.
    Unsettled {
        /// Class.
        class: DeviceClass,
        /// For people.
        text: String,
    },
}

/// The line of an operation in the journal; never deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationOutcome {
    /// As it began.
    pub intent: OperationIntent,
    /// How it ended.
    pub result: OperationResult,
    /// Readings after.
    pub after: Readings,
    /// RFC 3339, clock of the PC. For people only.
    pub at: String,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReport {
    /// Id of the order.
    pub id: String,
    /// Disk, where one answered.
    pub disk: Option<DiskNumber>,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Readings before.
    #[serde(default)]
    pub before: Readings,
    /// Readings after; empty where nothing was sent.
    #[serde(default)]
    pub after: Readings,
}

/// What came of an order, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It only read.
    Read,
    /// Dry run: it would be sent.
    Allowed {
        /// What the disk may still refuse it for.
        warnings: Vec<String>,
    },
    /// Nothing was sent.
    Refused {
        /// Class.
        class: DeviceClass,
        /// Whose fault and what to do.
        text: String,
        /// A person may confirm that it shall be done all the same.
        anyway: bool,
    },
    /// It was sent.
    Ended(OperationResult),
}

impl OrderReport {
    /// Of an operation that ended.
    pub fn ended(outcome: &OperationOutcome) -> OrderReport {
        OrderReport {
            id: outcome.intent.id.clone(),
            disk: Some(outcome.intent.disk.clone()),
            verdict: Verdict::Ended(outcome.result.clone()),
            before: outcome.intent.before.clone(),
            after: outcome.after.clone(),
        }
    }
}

/// Why an order is not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) class: DeviceClass,
    pub(super) text: String,
    /// A person may overrule it.
    pub(super) anyway: bool,
}

impl Refusal {
    pub(super) fn new(class: DeviceClass, text: impl Into<String>) -> Refusal {
        Refusal { class, text: text.into(), anyway: false }
    }

    pub(super) fn unless_confirmed(class: DeviceClass, text: impl Into<String>) -> Refusal {
        Refusal { class, text: text.into(), anyway: true }
    }
}

fn is_void(status: NumberStatus) -> bool {
    matches!(status, NumberStatus::PositiveVoid | NumberStatus::NegativeVoid)
}

/// Judges the readings before. `clock`: that of the disk, as it was when the disk was opened.
pub(super) fn judge_before(what: &What, before: &Readings, clock: Option<&str>) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    let waiting = before.offline.as_ref().map_or(0, |totals| totals.count);
    match what {
        What::Void { pair, .. } => {
            let Some(target) = &before.target else {
                return Err(Refusal::new(
                    DeviceClass::InvalidRequest,
                    format!("the disk has no invoice {pair}: check code, number and kind"),
                ));
            };
            match target.status {
                NumberStatus::Positive | NumberStatus::Negative => {}
                NumberStatus::BlankVoid => {
                    return Err(Refusal::new(DeviceClass::InvalidRequest, format!("{pair} is a voided blank, not an invoice")));
                }
                _ => return Err(Refusal::new(DeviceClass::Duplicate, format!("{pair} is void already: nothing is left to do"))),
            }
            let month = |time: &str| time.get(..6).map(str::to_owned);
            if let (Some(issued), Some(now)) = (month(&target.issued_at), clock.and_then(month))
                && issued != now
            {
                warnings.push(format!("{pair} was issued in {issued}: after the period's report a disk voids nothing of it; reverse it by a red invoice"));
            }
        }
        What::Report { .. } if waiting > 0 => {
            return Err(Refusal::unless_confirmed(
                DeviceClass::Locked,
                format!(
                    "{waiting} invoices wait for upload, and a disk reports nothing before they are uploaded: run upload first"
                ),
            ));
        }
        What::Clear { .. } if waiting > 0 => warnings.push(format!("{waiting} invoices wait for upload")),
        What::Upload { .. } if before.offline.is_none() => {
            return Err(Refusal::new(
                DeviceClass::Unsupported,
                "the disk does not tell what waits for upload, so that nothing could prove an upload",
            ));
        }
        What::Upload { .. } if waiting == 0 => {
            return Err(Refusal::new(DeviceClass::InvalidRequest, "no invoice waits for upload: nothing is left to do"));
        }
        _ => {}
    }
    Ok(warnings)
}

/// What the command's answer was, as far as settling is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// A clean OK.
    Clean,
    /// Unclear, or the process that sent it is gone.
    Doubt(Doubt),
}

impl Heard {
    fn class(&self) -> DeviceClass {
        match self {
            Heard::Clean => DeviceClass::DeviceFault,
            Heard::Doubt(doubt) => doubt.class,
        }
    }

    fn text(&self) -> String {
        match self {
            Heard::Clean => "the disk said that it was done".into(),
            Heard::Doubt(doubt) => doubt.text.clone(),
        }
    }
}

/// After an `Ok` resync on such a line nothing older can still run, so that a reading proves an absence.
fn is_fenced(fence: Fence) -> bool {
    matches!(fence, Fence::Ordered | Fence::Token)
}

fn unsettled(heard: &Heard, text: impl std::fmt::Display) -> OperationResult {
    OperationResult::Unsettled { class: heard.class(), text: format!("{}; {text}", heard.text()) }
}

fn not_done(heard: &Heard) -> OperationResult {
    OperationResult::NotDone { class: heard.class(), text: heard.text() }
}

/// Settles by the readings after. Blank voids and passwords have their own ways: [`judge_blank`], and trying.
pub(super) fn judge_after(intent: &OperationIntent, after: &Readings, heard: &Heard, fence: Fence) -> OperationResult {
    match &intent.what {
        What::Void { pair, .. } => match after.target.as_ref().map(|target| target.status) {
            Some(status) if is_void(status) => OperationResult::Done { read: true },
            Some(NumberStatus::Positive | NumberStatus::Negative) => match heard {
                Heard::Doubt(_) if is_fenced(fence) => not_done(heard),
                Heard::Doubt(_) => unsettled(heard, "the invoice is not void, but on this line the command may still run"),
                Heard::Clean => unsettled(heard, format!("but {pair} is still valid")),
            },
            _ => unsettled(heard, format!("and {pair} cannot be found any more")),
        },
        What::Report { kind } | What::Clear { kind } | What::RefreshOffline { kind } => {
            let (before, after) = (intent.before.limits(*kind), after.limits(*kind));
            match (before, after) {
                (Some(before), Some(after)) if moved(&intent.what, before, after) => OperationResult::Done { read: true },
                _ if *heard == Heard::Clean => OperationResult::Done { read: false },
                _ => unsettled(heard, "dates and limits of the disk are what they were, which proves nothing"),
            }
        }
        What::Upload { .. } => match (&intent.before.offline, &after.offline) {
            (Some(before), Some(after)) if after.count < before.count => OperationResult::Done { read: true },
            _ if *heard == Heard::Clean => OperationResult::Done { read: false },
            _ => unsettled(heard, "as many invoices wait for upload as before; a second command could stop an upload that runs"),
        },
        What::BlankVoid { .. } | What::ChangePassword { .. } | What::Status | What::Query { .. } => {
            unsettled(heard, "this reading cannot settle it")
        }
    }
}

/// Did that change which only this operation changes? A date that a disk begins to tell, or stops to tell, is no change.
fn moved(what: &What, before: &Limits, after: &Limits) -> bool {
    fn differs<T: PartialEq>(before: &Option<T>, after: &Option<T>) -> bool {
        matches!((before, after), (Some(before), Some(after)) if before != after)
    }
    let later = matches!((&before.issue_deadline, &after.issue_deadline), (Some(before), Some(after)) if after > before);
    match what {
        What::RefreshOffline { .. } => {
            differs(&before.offline_hours, &after.offline_hours) || differs(&before.offline_amount, &after.offline_amount)
        }
        What::Clear { .. } => later || differs(&before.period, &after.period),
        _ => differs(&before.period, &after.period),
    }
}

/// Settles a blank void: by the expected pair with the status blank-void. True: the number is the operation's own.
pub(super) fn judge_blank(expected: NumberPair, survey: &Survey, heard: &Heard, fence: Fence) -> (OperationResult, bool) {
    if let Some(found) = survey.present(expected) {
        return match found.invoice.status {
            NumberStatus::BlankVoid => (OperationResult::Done { read: true }, true),
            status => {
                let text = format!(
                    "{expected} is {}: another program took it, and which blank was voided, if any, cannot be told",
                    super::account::status_text(status)
                );
                (unsettled(heard, text), false)
            }
        };
    }
    // A positive control of the same code width in the same conversation, or a roll that has no invoice yet.
    let control = survey.numbers.iter().any(|(pair, found)| found.is_some() && pair.code.width() == expected.code.width())
        || !survey.known.is_empty()
        || survey.plan.bases.iter().all(|base| base.last().is_none() || matches!(base, super::records::Base::From(_)));
    let unmoved = survey.current == Some(expected) && survey.absent(expected);
    if unmoved && control && is_fenced(fence) && matches!(heard, Heard::Doubt(_)) {
        return (not_done(heard), false);
    }
    (unsettled(heard, format!("{expected} cannot be read as a voided blank")), false)
}

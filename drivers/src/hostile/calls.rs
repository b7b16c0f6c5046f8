//! One call of a driver, and what must hold whatever came of it.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use crate::actor::IssueOrder;
use crate::disk::{DiskError, FoundInvoice, Identity, IssueAnswer, Search, TaxDisk};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::secret::Secret;

/// The longest text that a driver gives to people, bytes.
const MAX_TEXT_BYTES: usize = 4096;
/// The most invoices that one question may bring.
const MAX_FOUND: usize = 1000;

/// What the call is about.
pub(super) struct About {
    pub(super) kind: InvoiceKind,
    pub(super) expected: NumberPair,
    pub(super) order: IssueOrder,
}

impl About {
    /// A plain invoice under the pair that is next.
    pub(super) fn new(disk: &dyn TaxDisk, kind: InvoiceKind, expected: NumberPair, seller: Identity) -> About {
        let invoice = crate::conformance::sample::plain(disk.capabilities());
        let (remark, request_id) = (String::new(), "T0000000000000000001".to_owned());
        About { kind, expected, order: IssueOrder { kind, expected, invoice, remark, seller, red: None, request_id } }
    }
}

/// What a changing call said of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It read only.
    Read,
    /// Certainly nothing was changed.
    NotSent,
    /// Issued under the expected pair.
    Issued,
    /// Anything else.
    Doubt,
}

/// How many calls there are to choose from.
pub const CALLS: u8 = 20;

/// Makes the call with this number.
pub(super) fn call(disk: &mut dyn TaxDisk, which: u8, about: &About) -> Said {
    let (kind, pair) = (about.kind, about.expected);
    let operator = || "王五".to_owned();
    let before = pair.predecessor().unwrap_or(pair);
    match which % CALLS {
        0 => read(disk.handshake()),
        1 => read(disk.resync()),
        2 => read(disk.identity()),
        3 => read(disk.stock(kind)),
        4 => read(disk.limits(kind)),
        5 => read(disk.offline_totals()),
        6 => found(disk.query(kind, before).map(|found| found.into_iter().collect())),
        7 => found(disk.query(kind, pair).map(|found| found.into_iter().collect())),
        8 => found(disk.find(kind, Search::Last)),
        9 => found(disk.find(kind, Search::Range(pair.code, before.number, pair.number))),
        10 => read(disk.segments(kind)),
        11 => issue(disk, about),
        12 => operate(disk, &Operation::BlankVoid { kind, expected: pair, operator: operator() }),
        13 => operate(disk, &Operation::Void { kind, pair: before, net: about.order.invoice.totals.net, operator: operator() }),
        14 => operate(disk, &Operation::Report { kind }),
        15 => operate(disk, &Operation::Clear { kind }),
        16 => operate(disk, &Operation::Upload { kind }),
        17 => operate(disk, &Operation::RefreshOffline { kind }),
        which => {
            let which = if which == 18 { PasswordKind::Disk } else { PasswordKind::Certificate };
            let old = if which == PasswordKind::Disk { "88888888" } else { "12345678" };
            operate(disk, &Operation::ChangePassword { which, old: Secret::new(old), new: Secret::new("newpass1") })
        }
    }
}

fn issue(disk: &mut dyn TaxDisk, about: &About) -> Said {
    match disk.issue(&about.order.request()) {
        IssueAnswer::Signed(signed) if signed.pair == about.expected => Said::Issued,
        IssueAnswer::Signed(_) => Said::Doubt,
        IssueAnswer::NotSent(error) => {
            short(&error);
            Said::NotSent
        }
        IssueAnswer::Refused(error) | IssueAnswer::InDoubt(error) => {
            short(&error);
            Said::Doubt
        }
    }
}

fn operate(disk: &mut dyn TaxDisk, operation: &Operation) -> Said {
    match disk.operate(operation) {
        OperationAnswer::NotSent(error) => {
            short(&error);
            Said::NotSent
        }
        OperationAnswer::InDoubt(error) => {
            short(&error);
            Said::Doubt
        }
        OperationAnswer::Done { .. } => Said::Doubt,
    }
}

fn read<T>(answer: Result<T, DiskError>) -> Said {
    if let Err(error) = answer {
        short(&error);
    }
    Said::Read
}

fn found(answer: Result<Vec<FoundInvoice>, DiskError>) -> Said {
    match answer {
        Ok(invoices) => assert!(invoices.len() <= MAX_FOUND, "{} invoices", invoices.len()),
        Err(error) => short(&error),
    }
    Said::Read
}

/// An error is a sentence, not a memory dump.
pub(super) fn short(error: &DiskError) {
    assert!(!error.text.is_empty() || error.code.is_some(), "an error without a word");
    assert!(error.text.len() <= MAX_TEXT_BYTES, "an error of {} bytes", error.text.len());
}

//! One suite over every dialect: what a driver must do, whatever language its disk speaks.
//!
//! A dialect gives a [`Stand`]: how its driver is opened, the simulated disk behind it, and which troubles its line can be
//! given. [`run`] goes through the `cases::ALL` and tells of each whether it passed, failed, or does not apply, and then
//! which of the disk's capabilities says so. The simulated disk's own ledger is the oracle: no answer of the driver is
//! believed that the ledger does not bear out.
//!
//! It refuses to run on a real disk: it issues, voids, locks and empties what it is given.

pub mod bot;
pub mod cases;
pub mod component;
mod faults;
pub mod line;
pub mod sample;
mod session;
mod to_do;

use std::fmt;

use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::kind::InvoiceKind;

pub use self::to_do::to_do;
use crate::disk::{DiskError, TaxDisk};
use crate::sim::SimDisk;
use crate::sim::faults::{FaultKind, ForeignContent, ForeignTime, When};

/// What goes wrong around one issuing command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The command is swallowed: nothing runs, nothing is answered.
    LostCommand,
    /// It runs, and its answer is lost.
    LostAnswer,
    /// It runs, and its answer arrives damaged.
    DamagedAnswer,
    /// It runs, and the answer comes in pieces.
    TornAnswer,
    /// The device refuses before it did anything.
    RefusedBefore,
    /// The device says that it failed, but the number is used.
    RefusedAfter,
    /// The device keeps saying that it is busy, then answers.
    Busy,
    /// Another program takes the number first, for something else.
    ForeignInvoice,
    /// The power goes before anything is signed.
    PowerCutBefore,
    /// The power goes when it is signed and not yet answered.
    PowerCutAfter,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Trouble; 10] = [
        Trouble::LostCommand,
        Trouble::LostAnswer,
        Trouble::DamagedAnswer,
        Trouble::TornAnswer,
        Trouble::RefusedBefore,
        Trouble::RefusedAfter,
        Trouble::Busy,
        Trouble::ForeignInvoice,
        Trouble::PowerCutBefore,
        Trouble::PowerCutAfter,
    ];

    /// As it stands in the report.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::LostCommand => "a lost command",
            Trouble::LostAnswer => "a lost answer",
            Trouble::DamagedAnswer => "a damaged answer",
            Trouble::TornAnswer => "an answer in pieces",
            Trouble::RefusedBefore => "a refusal before signing",
            Trouble::RefusedAfter => "a refusal after signing",
            Trouble::Busy => "a busy device",
            Trouble::ForeignInvoice => "a foreign invoice just before",
            Trouble::PowerCutBefore => "a power cut before signing",
            Trouble::PowerCutAfter => "a power cut after signing",
        }
    }

    /// What the simulated device calls it, where it is spoken to without a component.
    pub fn fault(self) -> FaultKind {
        let refuse = |jsk, when| FaultKind::Refuse { jsk: Some(jsk), text: None, when };
        match self {
            Trouble::LostCommand => FaultKind::LoseAnswerBeforeSigning,
            Trouble::LostAnswer => FaultKind::LoseAnswerAfterSigning,
            Trouble::DamagedAnswer => FaultKind::CrcError,
            Trouble::TornAnswer => FaultKind::Split { delay_ms: 1 },
            Trouble::RefusedBefore => refuse(784, When::Before),
            Trouble::RefusedAfter => refuse(784, When::After),
            Trouble::Busy => FaultKind::WtStorm { count: 4, interval_ms: 20, when: When::After },
            Trouble::ForeignInvoice => {
                let content = ForeignContent::SameAsNext(Some("别人的".to_owned()));
                FaultKind::ForeignIssue { at: ForeignTime::BeforeIssue, content }
            }
            Trouble::PowerCutBefore => FaultKind::PowerCut { when: When::Before, off_ms: 100 },
            Trouble::PowerCutAfter => FaultKind::PowerCut { when: When::After, off_ms: 100 },
        }
    }

    /// Why it cannot happen to a device with these capabilities and this fence, in their own words; `None` where it can. A
    /// stand must be able to make everything that can.
    pub fn excluded_by(self, _capabilities: &Capabilities, fence: Fence) -> Option<&'static str> {
        match (self, fence) {
            (Trouble::TornAnswer, Fence::Token) => Some("fence = token: an answer comes whole, there is no stream of bytes"),
            (Trouble::TornAnswer, Fence::None) => Some("fence = none: an answer comes whole, there is no stream of bytes"),
            _ => None,
        }
    }
}

/// A driver and the simulated disk behind it. Between two cases the driver is dropped and opened again; the disk stays.
pub trait Stand {
    /// What stands there, for the report: dialect and transport.
    fn name(&self) -> String;

    /// The kind of invoices to issue. The disk is licensed for it and has at least 100 blanks of it.
    fn kind(&self) -> InvoiceKind;

    /// Opens the driver with the right passwords.
    ///
    /// # Errors
    /// As its line says.
    fn open(&mut self) -> Result<Box<dyn TaxDisk>, DiskError>;

    /// Opens it with a wrong disk password; `None` where the dialect carries none.
    fn open_with_wrong_password(&mut self) -> Option<Result<Box<dyn TaxDisk>, DiskError>>;

    /// Works on the simulated disk while its line stands still.
    fn with_disk(&self, work: &mut dyn FnMut(&mut SimDisk));

    /// The next issuing command meets this; `false` where the simulated device cannot do it, which is a failure unless
    /// [`Trouble::excluded_by`] says that it never happens to such a device.
    fn trouble(&mut self, trouble: Trouble) -> bool;

    /// Takes back what still waits, and sees that the device can be reached again.
    fn calm(&mut self);
}

/// What a case came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// As it must be.
    Pass,
    /// The device cannot do it, and this is what says so.
    NotApplicable(String),
    /// What is wrong.
    Fail(String),
}

/// A case that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseReport {
    /// Which.
    pub name: String,
    /// What it came to.
    pub finding: Finding,
}

/// All cases of a stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// [`Stand::name`].
    pub stand: String,
    /// In the order in which they ran.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// Those that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| matches!(case.finding, Finding::Fail(_)))
    }

    /// Those that do not apply, and the capability that says so.
    pub fn not_applicable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cases.iter().filter_map(|case| match &case.finding {
            Finding::NotApplicable(why) => Some((case.name.as_str(), why.as_str())),
            _ => None,
        })
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.finding == Finding::Pass).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.stand)?;
        for case in &self.cases {
            match &case.finding {
                Finding::Pass => writeln!(f, "  pass  {}", case.name)?,
                Finding::NotApplicable(why) => writeln!(f, "  --    {}: {why}", case.name)?,
                Finding::Fail(what) => writeln!(f, "  FAIL  {}: {what}", case.name)?,
            }
        }
        let failed = self.failures().count();
        write!(f, "{} passed, {failed} failed, {} not applicable", self.passed(), self.cases.len() - self.passed() - failed)
    }
}

/// Why a case ends before its end.
pub(crate) enum Stop {
    NotApplicable(String),
    Fail(String),
}

/// What a case gives back.
pub(crate) type Outcome = Result<(), Stop>;

/// Ends a case that is not as it must be.
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::conformance::Stop::Fail(format!($($text)+)));
        }
    };
}
pub(crate) use ensure;

/// Runs every case.
pub fn run(stand: &mut dyn Stand) -> Report {
    run_share(stand, 0, 1)
}

/// Runs the suite in so many shares side by side, each on a stand of its own: for lines whose silences take real time. The
/// report is the same as that of [`run`].
///
/// # Errors
/// A stand cannot be made.
///
/// # Panics
/// A case does.
pub fn run_shares(shares: usize, stand: impl Fn(usize) -> std::io::Result<Box<dyn Stand>> + Sync) -> std::io::Result<Report> {
    let (shares, make) = (shares.max(1), &stand);
    let work = |share: usize| move || -> std::io::Result<Report> { Ok(run_share(&mut *make(share)?, share, shares)) };
    let parts: Vec<Report> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..shares).map(|share| scope.spawn(work(share))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a case panicked")).collect::<Result<_, _>>()
    })?;
    let name = parts.first().map(|part| part.stand.clone()).unwrap_or_default();
    let mut parts: Vec<_> = parts.into_iter().map(|part| part.cases.into_iter()).collect();
    let mut cases = Vec::new();
    // They were dealt out in turn, and are taken in again in turn.
    for share in (0..shares).cycle() {
        match parts[share].next() {
            Some(case) => cases.push(case),
            None => break,
        }
    }
    Ok(Report { stand: name, cases })
}

/// Every `shares`-th case, from the one of this number on.
fn run_share(stand: &mut dyn Stand, share: usize, shares: usize) -> Report {
    let mut report = Report { stand: stand.name(), cases: Vec::new() };
    let quiet = cases::ALL.iter().map(|(name, case)| ((*name).to_owned(), Work::Quiet(*case)));
    let troubles = Trouble::ALL.map(|trouble| (format!("{}, then settling by reads", trouble.name()), Work::Trouble(trouble)));
    // Last, because afterwards nothing can be issued.
    let last = ("the last blank is used".to_owned(), Work::Quiet(cases::stock_out as cases::Case));
    for (name, work) in quiet.chain(troubles).chain([last]).skip(share).step_by(shares) {
        let outcome = match work {
            Work::Quiet(case) => case(stand),
            Work::Trouble(trouble) => faults::issue_and_settle(stand, trouble),
        };
        stand.calm();
        report.cases.push(CaseReport { name, finding: finding(outcome) });
    }
    report
}

/// What a case consists of.
enum Work {
    Quiet(cases::Case),
    Trouble(Trouble),
}

fn finding(outcome: Outcome) -> Finding {
    match outcome {
        Ok(()) => Finding::Pass,
        Err(Stop::NotApplicable(why)) => Finding::NotApplicable(why),
        Err(Stop::Fail(what)) => Finding::Fail(what),
    }
}

//! A simulated tax disk, at the level of what a driver answers: rolls of numbers, a ledger, and the ways in which a disk fails.
//!
//! Its ledger is the oracle: it knows for which attempt each number was signed, which no real disk does, and nobody but the
//! oracle asks it that. What it refuses to do: sign a number twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use taxdisk_agent::core::effect::{Found, Opened, Request, Send, Trouble};
use taxdisk_agent::core::operation::What;
use taxdisk_drivers::disk::{Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, NumberStatus, Signed, Stock};
use taxdisk_drivers::operation::OperationAnswer;
use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Fence, Widths};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::AttemptRef;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;

use super::dice::Dice;
use super::knobs::{Fault, Knobs, Line};

/// The kind of all invoices here.
pub const KIND: InvoiceKind = InvoiceKind::Roll;
/// Taxpayer number of the one seller.
pub const SELLER: &str = "911101080000000007";
/// Blank invoices of a roll.
const ROLL: u32 = 1000;
/// The same where stock runs out.
const SHORT_ROLL: u32 = 7;
/// The longest time by which a component executes too late, milliseconds.
const LATE_MS: u64 = 400_000;

/// One number that was consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The attempt that it was signed for; `None`: another program's, or an operation's.
    pub by: Option<AttemptRef>,
    /// How it stands.
    pub status: NumberStatus,
    /// The invoice that it reverses.
    pub original: Option<NumberPair>,
    buyer: String,
    gross: Amount,
    remark: String,
    fiscal: String,
    request: Option<String>,
}

/// What took effect in a disk, for the oracle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A number was signed for an attempt.
    Signed(NumberPair, AttemptRef),
    /// A number was voided by this operation.
    Voided(NumberPair, String),
    /// A blank was voided by this operation.
    BlankVoided(NumberPair, String),
    /// A command ran after everybody had stopped waiting for it.
    Late,
}

#[derive(Debug, Clone)]
enum Job {
    Issue(Arc<Request>, NumberPair),
    Operate(Box<Send>),
}

#[derive(Debug, Clone)]
struct Pending {
    id: u64,
    job: Job,
    at_ms: u64,
    /// If the line is brought back before it ran: it still runs then.
    survives: bool,
    late: bool,
}

/// What the answer to a command will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What came of it.
    True,
    /// Silence.
    Lost,
    /// An error text, by itself.
    Error(DeviceClass),
    /// The component's own refusal.
    Refused(DeviceClass),
    /// It was not written whole.
    NotSent,
    /// The driver does not come back.
    Hung,
    /// The answer to the command before.
    Stale,
}

/// A command under way.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Its number on this disk.
    pub id: u64,
    /// When the answer is there.
    pub answered_at_ms: u64,
    /// When it takes effect, if it does so by itself.
    pub runs_at_ms: Option<u64>,
    /// What the answer will be.
    pub reply: Reply,
    stale: Option<Signed>,
}

/// A disk.
#[derive(Debug, Clone)]
pub struct Device {
    /// The number inside it.
    pub number: DiskNumber,
    /// Its ledger.
    pub ledger: BTreeMap<NumberPair, Entry>,
    /// PCs and ports that reach it.
    pub reached_from: Vec<(usize, usize)>,
    /// What took effect and the oracle has not seen.
    pub news: Vec<Happened>,
    /// It refuses to issue.
    pub locked: bool,
    /// It says that it is busy until then.
    pub busy_until_ms: u64,
    /// Its driver does not come back until then.
    pub hung_until_ms: u64,
    /// A conversation that begins before then finds nothing.
    pub blind_until_ms: u64,
    blind: bool,
    /// Next number and blanks left when it went blind last.
    seen: Option<(NumberPair, u32)>,
    line: Line,
    mark_readable: bool,
    rolls: VecDeque<(NumberPair, u32)>,
    next_code: u32,
    short: bool,
    pending: Vec<Pending>,
    results: BTreeMap<u64, Result<Signed, DiskError>>,
    last_signed: Option<Signed>,
    next_id: u64,
    dice: Dice,
}

fn error(class: DeviceClass) -> DiskError {
    // That nobody is there is said by the line, which knows no codes.
    let code = (class != DeviceClass::NotPresent && class != DeviceClass::Link).then(|| "JSK".to_owned());
    DiskError { class, code, text: format!("{class} by the simulated disk"), tries_left: None }
}

/// The answer of a line at whose end nothing is.
pub fn nobody() -> Trouble {
    Trouble::Disk(error(DeviceClass::NotPresent))
}

fn capabilities(line: Line, mark_readable: bool) -> Capabilities {
    Capabilities {
        characters: CharacterSet::Gbk,
        widths: Widths {
            party_name: 100,
            taxpayer_number: 20,
            address_phone: Some(100),
            bank_account: Some(100),
            item_name: 92,
            specification: Some(40),
            unit: Some(22),
            remark: 130,
            person: 16,
            amount: 20,
            price: 20,
        },
        max_lines: 10,
        discount_lines: true,
        goods_codes: true,
        price_decimals: 8,
        rate_decimals: 3,
        single_person: false,
        remark_readable: mark_readable,
        carries_pair: line == Line::Token,
        red: true,
        operations: vec![DiskOperation::Void, DiskOperation::BlankVoid],
        finds_request: line == Line::Component,
        numbers_readable: true,
    }
}

impl Device {
    /// A disk with one old invoice of another program.
    pub fn new(index: usize, knobs: &Knobs, dice: Dice) -> Device {
        let mut device = Device {
            number: format!("66123456789{index}").parse().unwrap(),
            ledger: BTreeMap::new(),
            reached_from: vec![(index, index)],
            news: Vec::new(),
            locked: false,
            busy_until_ms: 0,
            hung_until_ms: 0,
            blind_until_ms: 0,
            blind: false,
            seen: None,
            line: knobs.line,
            mark_readable: knobs.mark_readable,
            rolls: VecDeque::new(),
            next_code: 100 * (index as u32 + 1),
            short: knobs.on(Fault::OutOfStock),
            pending: Vec::new(),
            results: BTreeMap::new(),
            last_signed: None,
            next_id: 1,
            dice,
        };
        device.add_roll();
        device.other_program(false);
        device
    }

    /// A roll of a new code.
    pub fn add_roll(&mut self) {
        let first: NumberPair =
            format!("011002000{:03} {:08}", self.next_code, 7_000_000 + self.dice.below(1000)).parse().unwrap();
        self.next_code += 1;
        let blanks = if self.short { SHORT_ROLL } else { ROLL };
        self.rolls.push_back((first, first.number.value() + blanks - 1));
    }

    /// The next blank number.
    pub fn current(&mut self) -> Option<NumberPair> {
        while self.rolls.front().is_some_and(|(next, last)| next.number.value() > *last) {
            self.rolls.pop_front();
        }
        self.rolls.front().map(|(next, _)| *next)
    }

    fn remaining(&self) -> u32 {
        self.rolls.iter().map(|(next, last)| (last + 1).saturating_sub(next.number.value())).sum()
    }

    /// Conversations that begin before then find nothing.
    pub fn go_blind(&mut self, until_ms: u64) {
        self.blind_until_ms = until_ms;
        let remaining = self.remaining();
        self.seen = self.current().map(|current| (current, remaining));
    }

    /// Everything settles in it: what was sent and did not run never runs. As after a power cycle by a person.
    pub fn power_cycle(&mut self, now_ms: u64) {
        let pending = std::mem::take(&mut self.pending);
        for one in pending {
            if self.dice.chance(500) {
                self.execute(&one, now_ms);
            }
        }
        self.hung_until_ms = 0;
    }

    /// No fault of its own any more; stock again.
    pub fn mend(&mut self) {
        (self.locked, self.busy_until_ms, self.hung_until_ms, self.blind_until_ms) = (false, 0, 0, 0);
        self.blind = false;
        self.short = false;
        if self.remaining() < 100 {
            self.add_roll();
        }
    }

    /// Commands whose time has come run.
    pub fn run_due(&mut self, now_ms: u64) {
        let (due, rest) = std::mem::take(&mut self.pending).into_iter().partition(|one| one.at_ms <= now_ms);
        self.pending = rest;
        let due: Vec<Pending> = due;
        for one in due {
            self.execute(&one, now_ms);
        }
    }

    fn execute(&mut self, one: &Pending, _now_ms: u64) {
        if one.late {
            self.news.push(Happened::Late);
        }
        let result = match &one.job {
            Job::Issue(request, expected) => self.sign_ours(request, *expected),
            Job::Operate(send) => self.operate_now(send),
        };
        self.results.insert(one.id, result);
    }

    fn sign_ours(&mut self, request: &Request, expected: NumberPair) -> Result<Signed, DiskError> {
        if self.locked {
            return Err(error(DeviceClass::Locked));
        }
        let Some(current) = self.current() else { return Err(error(DeviceClass::NoStock)) };
        if self.line == Line::Token && current != expected {
            return Err(error(DeviceClass::NumberMismatch));
        }
        let attempt = request.assignment.attempt.clone();
        let red = request.assignment.original;
        let entry = Entry {
            status: if red.is_some() { NumberStatus::Negative } else { NumberStatus::Positive },
            original: red,
            buyer: request.invoice.buyer.name.clone(),
            gross: request.invoice.totals.gross,
            remark: request.remark.clone(),
            fiscal: String::new(),
            request: (self.line == Line::Component).then(|| attempt.key.serial.to_string()),
            by: Some(attempt.clone()),
        };
        let signed = self.sign(entry)?;
        self.news.push(Happened::Signed(signed.pair, attempt));
        Ok(signed)
    }

    fn sign(&mut self, entry: Entry) -> Result<Signed, DiskError> {
        let current = self.current().ok_or_else(|| error(DeviceClass::NoStock))?;
        let fiscal = format!("FC{}{}", current.code, current.number);
        let known = self.ledger.insert(current, Entry { fiscal: fiscal.clone(), ..entry });
        assert!(known.is_none(), "the simulated disk signed {current} twice");
        if let (Some(roll), Some(next)) = (self.rolls.front_mut(), current.successor()) {
            roll.0 = next;
        }
        let signed = Signed {
            pair: current,
            issued_at: "20260302101530".to_owned(),
            fiscal_code: fiscal,
            signature: "S".to_owned(),
            printed: Printed::default(),
        };
        self.last_signed = Some(signed.clone());
        Ok(signed)
    }

    /// Another program issues: an invoice that equals many of ours, or one of its own.
    pub fn other_program(&mut self, equal: bool) {
        let (buyer, gross) = if equal { ("个人", "226.00") } else { ("别人", "7.77") };
        let entry = Entry {
            by: None,
            status: NumberStatus::Positive,
            original: None,
            buyer: buyer.to_owned(),
            gross: gross.parse().unwrap(),
            remark: String::new(),
            fiscal: String::new(),
            request: (self.line == Line::Component).then(|| "FOREIGN1".to_owned()),
        };
        let last = self.last_signed.clone();
        // Out of stock for it as for us.
        let _ = self.sign(entry);
        self.last_signed = last;
    }

    fn operate_now(&mut self, send: &Send) -> Result<Signed, DiskError> {
        let nothing = Signed {
            pair: send.expected.or_else(|| self.current()).unwrap_or_else(|| "0110020001 00000000".parse().unwrap()),
            issued_at: String::new(),
            fiscal_code: String::new(),
            signature: String::new(),
            printed: Printed::default(),
        };
        match &send.what {
            What::Void { pair, .. } => {
                let Some(entry) = self.ledger.get_mut(pair) else { return Err(error(DeviceClass::InvalidRequest)) };
                entry.status = match entry.status {
                    NumberStatus::Positive => NumberStatus::PositiveVoid,
                    NumberStatus::Negative => NumberStatus::NegativeVoid,
                    _ => return Err(error(DeviceClass::Duplicate)),
                };
                self.news.push(Happened::Voided(*pair, send.id.clone()));
                Ok(nothing)
            }
            What::BlankVoid { .. } => {
                let entry = Entry {
                    by: None,
                    status: NumberStatus::BlankVoid,
                    original: None,
                    buyer: String::new(),
                    gross: Amount::ZERO,
                    remark: String::new(),
                    fiscal: String::new(),
                    request: None,
                };
                let last = self.last_signed.clone();
                let signed = self.sign(entry)?;
                self.last_signed = last;
                self.news.push(Happened::BlankVoided(signed.pair, send.id.clone()));
                Ok(signed)
            }
            _ => Err(error(DeviceClass::Unsupported)),
        }
    }

    fn fault_of(&mut self, knobs: &Knobs) -> Option<(Fault, Reply, bool)> {
        if !self.dice.chance(knobs.disk_fault_per_mille) {
            return None;
        }
        let kinds = [Fault::AnswerLost, Fault::ErrorText, Fault::NotSent, Fault::StaleAnswer, Fault::Hung, Fault::RunsLate];
        let possible: Vec<Fault> = kinds.into_iter().filter(|kind| knobs.on(*kind)).collect();
        let kind = *self.dice.pick(&possible)?;
        let runs = self.dice.chance(500);
        let classes = [DeviceClass::DeviceFault, DeviceClass::NumberMismatch, DeviceClass::Duplicate, DeviceClass::InProgress];
        let class = *self.dice.pick(&classes)?;
        let (reply, runs) = match kind {
            Fault::AnswerLost => (Reply::Lost, runs),
            Fault::ErrorText if self.line == Line::Component && self.dice.chance(300) => {
                (Reply::Refused(DeviceClass::Locked), runs)
            }
            Fault::ErrorText => (Reply::Error(class), runs),
            Fault::NotSent => (Reply::NotSent, false),
            Fault::StaleAnswer if self.line != Line::Component && self.last_signed.is_some() => (Reply::Stale, runs),
            Fault::Hung => (Reply::Hung, runs),
            _ => (Reply::Lost, true),
        };
        Some((kind, reply, runs))
    }

    fn begin(&mut self, job: Job, now_ms: u64, knobs: &Knobs, calm: bool) -> (Begun, Option<Fault>) {
        let id = self.next_id;
        self.next_id += 1;
        let met = if calm { None } else { self.fault_of(knobs) };
        let (mut reply, mut runs) = met.as_ref().map_or((Reply::True, true), |(_, reply, runs)| (reply.clone(), *runs));
        let kind = met.map(|(kind, ..)| kind);
        if matches!(job, Job::Operate(_)) && matches!(reply, Reply::Stale | Reply::Refused(_)) {
            (reply, runs) = (Reply::Lost, runs);
        }
        let stale = self.last_signed.clone();
        let takes_ms = self.dice.between(5, knobs.issue_ms.max(6));
        let runs_at = now_ms + self.dice.between(1, takes_ms - 1);
        let late = kind == Some(Fault::RunsLate);
        let mut answered_at_ms = now_ms + takes_ms;
        match reply {
            Reply::Hung => {
                answered_at_ms = now_ms + 60_000;
                self.hung_until_ms = answered_at_ms + self.dice.between(1, 90_000);
            }
            Reply::Lost => answered_at_ms = now_ms + takes_ms + 10_000,
            Reply::NotSent => answered_at_ms = now_ms + 1,
            _ => {}
        }
        let runs_at_ms = match (runs, late) {
            (false, _) => None,
            (true, false) => Some(runs_at),
            (true, true) => Some(answered_at_ms + self.dice.between(1, LATE_MS)),
        };
        if let Some(at_ms) = runs_at_ms {
            let survives = self.dice.chance(500);
            self.pending.push(Pending { id, job, at_ms, survives, late });
        }
        (Begun { id, answered_at_ms, runs_at_ms, reply, stale }, kind)
    }

    /// An issuing command goes out.
    pub fn issue(
        &mut self,
        request: &Arc<Request>,
        expected: NumberPair,
        now_ms: u64,
        knobs: &Knobs,
        calm: bool,
    ) -> (Begun, Option<Fault>) {
        self.begin(Job::Issue(request.clone(), expected), now_ms, knobs, calm)
    }

    /// An operation's command goes out.
    pub fn operate(&mut self, send: &Send, now_ms: u64, knobs: &Knobs, calm: bool) -> (Begun, Option<Fault>) {
        self.begin(Job::Operate(Box::new(send.clone())), now_ms, knobs, calm)
    }

    /// What an issuing command is answered. `gone`: the line went meanwhile.
    pub fn issue_answer(&mut self, begun: &Begun, gone: bool) -> Result<IssueAnswer, Trouble> {
        let result = self.results.remove(&begun.id);
        if gone && begun.reply != Reply::NotSent && begun.reply != Reply::Hung {
            return Ok(IssueAnswer::InDoubt(error(DeviceClass::NotPresent)));
        }
        Ok(match (&begun.reply, result) {
            (Reply::True, Some(Ok(signed))) => IssueAnswer::Signed(signed),
            (Reply::True, Some(Err(error))) => IssueAnswer::InDoubt(error),
            (Reply::True | Reply::Lost, _) => IssueAnswer::InDoubt(error(DeviceClass::Link)),
            (Reply::Error(class), _) => IssueAnswer::InDoubt(error(*class)),
            (Reply::Refused(class), _) => IssueAnswer::Refused(error(*class)),
            (Reply::NotSent, _) => IssueAnswer::NotSent(error(DeviceClass::Link)),
            (Reply::Hung, _) => return Err(Trouble::Hung),
            (Reply::Stale, _) => match begun.stale.clone() {
                Some(signed) => IssueAnswer::Signed(signed),
                None => IssueAnswer::InDoubt(error(DeviceClass::Link)),
            },
        })
    }

    /// What an operation's command is answered.
    pub fn operate_answer(&mut self, begun: &Begun, gone: bool) -> Result<OperationAnswer, Trouble> {
        let result = self.results.remove(&begun.id);
        if gone && begun.reply != Reply::NotSent && begun.reply != Reply::Hung {
            return Ok(OperationAnswer::InDoubt(error(DeviceClass::NotPresent)));
        }
        Ok(match (&begun.reply, result) {
            (Reply::True, Some(Ok(_))) => OperationAnswer::Done { pair: None, at: None },
            (Reply::True, Some(Err(error))) => OperationAnswer::InDoubt(error),
            (Reply::Error(class), _) => OperationAnswer::InDoubt(error(*class)),
            (Reply::NotSent, _) => OperationAnswer::NotSent(error(DeviceClass::Link)),
            (Reply::Hung, _) => return Err(Trouble::Hung),
            _ => OperationAnswer::InDoubt(error(DeviceClass::Link)),
        })
    }

    /// A conversation begins: on an ordered line nothing older can run after it.
    fn converse(&mut self, now_ms: u64) {
        self.blind = now_ms < self.blind_until_ms;
        if self.line == Line::Component {
            return;
        }
        for one in std::mem::take(&mut self.pending) {
            if one.survives || one.at_ms <= now_ms {
                self.execute(&one, now_ms);
            }
        }
    }

    /// Every reading goes through here.
    fn reading(&mut self, now_ms: u64, knobs: &Knobs, calm: bool) -> Result<(), Trouble> {
        self.run_due(now_ms);
        if now_ms < self.hung_until_ms {
            return Err(Trouble::Hung);
        }
        if calm {
            return Ok(());
        }
        if knobs.on(Fault::BadReadings) && self.dice.chance(knobs.disk_fault_per_mille) {
            return Err(Trouble::Disk(error(
                *self.dice.pick(&[DeviceClass::Link, DeviceClass::DeviceFault]).unwrap_or(&DeviceClass::Link),
            )));
        }
        if now_ms < self.busy_until_ms {
            return Err(Trouble::Disk(error(DeviceClass::InProgress)));
        }
        Ok(())
    }

    /// Opens it and says who it is.
    pub fn open(&mut self, now_ms: u64, knobs: &Knobs, calm: bool) -> Result<Opened, Trouble> {
        self.reading(now_ms, knobs, calm)?;
        self.converse(now_ms);
        let fence = match self.line {
            Line::Ordered => Fence::Ordered,
            Line::Token => Fence::Token,
            Line::Component => Fence::None,
        };
        Ok(Opened {
            identity: Identity {
                disk: self.number.clone(),
                taxpayer: SELLER.parse().unwrap(),
                taxpayer_name: "示例商贸有限公司".to_owned(),
                kinds: vec![KIND],
                clock: None,
                version: "1".to_owned(),
            },
            capabilities: capabilities(self.line, self.mark_readable),
            fence,
            dialect: "simulated".to_owned(),
            proves: Vec::new(),
        })
    }

    /// Brings the line back.
    pub fn resync(&mut self, now_ms: u64, knobs: &Knobs, calm: bool) -> Result<(), Trouble> {
        self.reading(now_ms, knobs, calm)?;
        self.converse(now_ms);
        Ok(())
    }

    /// The next pair and what is left.
    pub fn stock(&mut self, now_ms: u64, knobs: &Knobs, calm: bool) -> Result<Stock, Trouble> {
        self.reading(now_ms, knobs, calm)?;
        if let Some((current, remaining)) = self.seen.filter(|_| self.blind && knobs.on(Fault::StaleView)) {
            return Ok(Stock { current, remaining });
        }
        let remaining = self.remaining();
        let current = self.current().ok_or_else(|| Trouble::Disk(error(DeviceClass::NoStock)))?;
        Ok(Stock { current, remaining })
    }

    /// Anything else that is only read.
    pub fn read(&mut self, now_ms: u64, knobs: &Knobs, calm: bool) -> Result<(), Trouble> {
        self.reading(now_ms, knobs, calm)
    }

    /// One number.
    pub fn query(
        &mut self,
        pair: NumberPair,
        against: &[Arc<Request>],
        now_ms: u64,
        knobs: &Knobs,
        calm: bool,
    ) -> Result<Option<Found>, Trouble> {
        self.reading(now_ms, knobs, calm)?;
        let Some(entry) = self.ledger.get(&pair).filter(|_| !self.blind).cloned() else { return Ok(None) };
        let comparisons = against.iter().map(|request| self.compare(request, &entry)).collect();
        Ok(Some(Found { invoice: self.found(pair, &entry), comparisons }))
    }

    fn compare(&self, request: &Request, entry: &Entry) -> Comparison {
        let differs = [
            ("buyer", request.invoice.buyer.name != entry.buyer),
            ("gross", request.invoice.totals.gross != entry.gross),
            ("remark", self.mark_readable && request.remark != entry.remark),
            ("original", request.assignment.original != entry.original),
        ];
        let fields: Vec<&'static str> = differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
        if fields.is_empty() { Comparison::Equal } else { Comparison::Different(fields) }
    }

    fn found(&self, pair: NumberPair, entry: &Entry) -> FoundInvoice {
        FoundInvoice {
            pair,
            status: entry.status,
            issued_at: "20260302101530".to_owned(),
            fiscal_code: entry.fiscal.clone(),
            buyer_name: entry.buyer.clone(),
            buyer_number: String::new(),
            lines: Vec::new(),
            net: entry.gross,
            tax: Amount::ZERO,
            gross: entry.gross,
            remark: if self.mark_readable { entry.remark.clone() } else { String::new() },
            clerk: String::new(),
            voided_at: None,
            signature: "S".to_owned(),
            printed: Printed::default(),
            original: entry.original,
            request_id: entry.request.clone(),
            buyer_address_phone: String::new(),
            buyer_bank_account: String::new(),
        }
    }

    /// Which invoice a request became, for a component that knows requests.
    pub fn find(&mut self, request: &str, now_ms: u64, knobs: &Knobs, calm: bool) -> Result<Vec<FoundInvoice>, Trouble> {
        self.reading(now_ms, knobs, calm)?;
        let same = |entry: &&Entry| entry.request.as_deref() == Some(request);
        let all = self.ledger.iter().filter(|(_, entry)| same(entry) && !self.blind);
        Ok(all.map(|(pair, entry)| self.found(*pair, entry)).collect())
    }
}

impl Device {
    /// An attempt of this job was sent and has not run, and may run yet.
    pub fn may_still_run(&self, key: &taxdisk_protocol::ids::JobKey) -> bool {
        let ours = |one: &Pending| matches!(&one.job, Job::Issue(request, _) if request.assignment.attempt.key == *key);
        self.pending.iter().any(ours)
    }

    /// The cable goes: what was under way in it ran to its end, or never will.
    pub fn unplug(&mut self, now_ms: u64) {
        let hung_until_ms = self.hung_until_ms;
        self.power_cycle(now_ms);
        self.hung_until_ms = hung_until_ms;
        self.reached_from.clear();
    }
}

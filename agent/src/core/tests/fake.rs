//! A tax disk of a few lines: rolls, a ledger, and faults at the one command that matters.

use std::collections::{BTreeMap, VecDeque};

use taxdisk_drivers::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, Limits, NumberStatus, OfflineTotals, Signed, Stock,
};
use taxdisk_drivers::operation::{OperationAnswer, PasswordKind};
use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Fence, Widths};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;

use crate::core::effect::{Found, Opened, Request, Send, Trouble};
use crate::core::operation::What;

pub(super) const KIND: InvoiceKind = InvoiceKind::Roll;

pub(super) fn pair(number: u32) -> NumberPair {
    format!("011002000107 {number:08}").parse().unwrap()
}

pub(super) fn pair_on(code: &str, number: u32) -> NumberPair {
    format!("{code} {number:08}").parse().unwrap()
}

/// What the next issuing command meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Signed; the answer is lost.
    LostAfter,
    /// Never executed; the answer is lost.
    LostBefore,
    /// Signed; an error text comes back.
    ErrorAfter(DeviceClass),
    /// Not signed; an error text comes back.
    ErrorBefore(DeviceClass),
    /// Refused by the component's own answer to this very command; nothing was signed.
    Refused,
    /// The same, but it had signed.
    RefusedAfter,
    /// The last byte was not written.
    NotSent(DeviceClass),
    /// Another program takes the number first (an equal invoice, if so wished), then ours is signed; the answer is lost.
    ForeignThenLost { equal: bool },
    /// Another program takes the number first, then ours is signed and answered.
    ForeignThenOk { equal: bool },
    /// Another program takes the number, ours is never executed.
    ForeignThenNothing { equal: bool },
    /// Ours lies in a buffer and runs only after so many more readings, or when the line is drained.
    RunsLate(u32),
    /// The driver does not come back; ours was signed.
    HungAfter,
    /// The driver does not come back; nothing was signed.
    HungBefore,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) by: Option<JobKey>,
    pub(super) buyer: String,
    pub(super) gross: Amount,
    pub(super) remark: String,
    pub(super) fiscal: String,
    pub(super) status: NumberStatus,
    pub(super) original: Option<NumberPair>,
}

#[derive(Debug, Default)]
pub(super) struct FakeDisk {
    /// Next and last number of each roll, the current one first.
    pub(super) rolls: VecDeque<(NumberPair, u32)>,
    pub(super) ledger: BTreeMap<NumberPair, Entry>,
    pub(super) faults: VecDeque<Fault>,
    /// So many readings fail, and how.
    pub(super) bad_reads: u32,
    pub(super) bad_queries: u32,
    /// Queries say that they find nothing, whatever is there.
    pub(super) blind: bool,
    pub(super) bad_password: bool,
    pub(super) number: Option<String>,
    pub(super) fence: Option<Fence>,
    pub(super) marks_readable: bool,
    /// A component that keeps the request with each invoice and finds it by that.
    pub(super) keeps_requests: bool,
    /// It gives them back rewritten.
    pub(super) rewrites_requests: bool,
    pub(super) late: Option<(Request, u32)>,
    /// Every command in order.
    pub(super) log: Vec<String>,
    /// The driver is hung for so many more calls.
    pub(super) hung: u32,
    /// What the next operations meet.
    pub(super) operation_faults: VecDeque<Fault>,
    /// Invoices that wait for upload.
    pub(super) waiting: u32,
    /// Periods that were reported, and cleared.
    pub(super) periods: (u32, u32),
    pub(super) offline_hours: u32,
    pub(super) clock: Option<String>,
    /// True: the password was changed to the new one.
    pub(super) new_password: bool,
    /// Passwords that were refused.
    pub(super) refused: u32,
}

fn error(class: DeviceClass) -> DiskError {
    // That nobody is there is said by the line, which knows no codes.
    let code = (class != DeviceClass::NotPresent).then(|| "JSK".into());
    DiskError { class, code, text: format!("{class} by the device"), tries_left: None }
}

impl FakeDisk {
    pub(super) fn new(first: u32, last: u32) -> FakeDisk {
        let mut disk = FakeDisk { marks_readable: true, ..FakeDisk::default() };
        disk.rolls.push_back((pair(first), last));
        disk
    }

    /// With one old foreign invoice before the first number.
    pub(super) fn used(first: u32, last: u32) -> FakeDisk {
        let mut disk = FakeDisk::new(first - 1, last);
        disk.foreign("老客户", "1.00");
        disk
    }

    pub(super) fn opened(&self) -> Opened {
        let widths = Widths {
            party_name: 80,
            taxpayer_number: 20,
            address_phone: None,
            bank_account: None,
            item_name: 20,
            specification: None,
            unit: None,
            remark: 80,
            person: 20,
            amount: 12,
            price: 12,
        };
        Opened {
            identity: Identity {
                disk: self.number.as_deref().unwrap_or("499000123456").parse().unwrap(),
                taxpayer: "91350100M000100Y43".parse().unwrap(),
                taxpayer_name: "示例商贸有限公司".into(),
                kinds: vec![KIND],
                clock: self.clock.clone(),
                version: "1".into(),
            },
            capabilities: Capabilities {
                characters: CharacterSet::Gbk,
                widths,
                max_lines: 10,
                discount_lines: false,
                goods_codes: false,
                price_decimals: 3,
                rate_decimals: 2,
                single_person: true,
                remark_readable: self.marks_readable,
                carries_pair: false,
                red: true,
                operations: self.operations(),
                finds_request: self.keeps_requests,
                numbers_readable: true,
            },
            fence: self.fence.unwrap_or(Fence::Ordered),
            dialect: "fake".into(),
            proves: vec![PasswordKind::Disk],
        }
    }

    fn current(&mut self) -> Option<NumberPair> {
        while self.rolls.front().is_some_and(|(next, last)| next.number.value() > *last) {
            self.rolls.pop_front();
        }
        self.rolls.front().map(|(next, _)| *next)
    }

    fn remaining(&self) -> u32 {
        self.rolls.iter().map(|(next, last)| (last + 1).saturating_sub(next.number.value())).sum()
    }

    fn sign(&mut self, by: Option<JobKey>, buyer: &str, gross: Amount, remark: &str) -> Option<Signed> {
        let current = self.current()?;
        let fiscal = format!("FC{}{}", current.code, current.number);
        let entry = Entry {
            by,
            buyer: buyer.into(),
            gross,
            remark: remark.into(),
            fiscal: fiscal.clone(),
            status: NumberStatus::Positive,
            original: None,
        };
        assert!(self.ledger.insert(current, entry).is_none(), "the fake disk signed {current} twice");
        self.rolls.front_mut()?.0 = current.successor()?;
        Some(Signed {
            pair: current,
            issued_at: "20260302101530".into(),
            fiscal_code: fiscal,
            signature: "S".into(),
            printed: Printed::default(),
        })
    }

    pub(super) fn foreign(&mut self, buyer: &str, gross: &str) {
        self.sign(None, buyer, gross.parse().unwrap(), "");
    }

    /// Another agent issues for a job of the same broker.
    pub(super) fn other_agent(&mut self, by: JobKey, buyer: &str, gross: &str) {
        self.sign(Some(by), buyer, gross.parse().unwrap(), "");
    }

    /// Another program reverses an invoice.
    pub(super) fn foreign_red(&mut self, original: NumberPair) {
        let signed = self.sign(None, "老客户", "-1.00".parse().unwrap(), "").unwrap();
        let entry = self.ledger.get_mut(&signed.pair).unwrap();
        (entry.status, entry.original) = (NumberStatus::Negative, Some(original));
    }

    fn foreign_before(&mut self, request: &Request, equal: bool) {
        let (buyer, gross) = (request.invoice.buyer.name.clone(), request.invoice.totals.gross);
        if equal {
            self.sign(None, &buyer, gross, &request.invoice.remark);
        } else {
            self.foreign("别人", "7.77");
        }
    }

    fn ours(&mut self, request: &Request) -> Option<Signed> {
        let key = request.assignment.attempt.key.clone();
        let signed = self.sign(Some(key), &request.invoice.buyer.name, request.invoice.totals.gross, &request.remark)?;
        if let (Some(original), Some(entry)) = (request.assignment.original, self.ledger.get_mut(&signed.pair)) {
            (entry.status, entry.original) = (NumberStatus::Negative, Some(original));
        }
        Some(signed)
    }

    /// A reading: what lies in the buffer may run after it.
    fn reading(&mut self, name: String) -> Result<(), Trouble> {
        self.log.push(name);
        if self.hung > 0 {
            self.hung -= 1;
            return Err(Trouble::Hung);
        }
        if self.bad_password {
            return Err(Trouble::Disk(error(DeviceClass::BadPassword)));
        }
        if self.bad_reads > 0 {
            self.bad_reads -= 1;
            return Err(Trouble::Disk(error(DeviceClass::Link)));
        }
        if let Some((request, left)) = self.late.take() {
            if left == 0 {
                self.ours(&request);
            } else {
                self.late = Some((request, left - 1));
            }
        }
        Ok(())
    }

    pub(super) fn resync(&mut self) -> Result<(), Trouble> {
        // What a component took, no conversation drives out.
        if self.fence != Some(Fence::None)
            && let Some((request, _)) = self.late.take()
        {
            self.ours(&request);
        }
        self.reading("resync".into())
    }

    pub(super) fn stock(&mut self) -> Result<Stock, Trouble> {
        let current = self.current();
        let answer = current.map(|current| Stock { current, remaining: self.remaining() });
        self.reading("stock".into())?;
        answer.ok_or_else(|| Trouble::Disk(error(DeviceClass::NoStock)))
    }

    pub(super) fn issue(&mut self, request: &Request) -> Result<IssueAnswer, Trouble> {
        self.log.push(format!("issue {}", request.assignment.attempt));
        let lost = || Ok(IssueAnswer::InDoubt(error(DeviceClass::Link)));
        let Some(fault) = self.faults.pop_front() else {
            return Ok(self.ours(request).map_or(IssueAnswer::InDoubt(error(DeviceClass::NoStock)), IssueAnswer::Signed));
        };
        match fault {
            Fault::LostAfter => {
                self.ours(request);
                lost()
            }
            Fault::LostBefore => lost(),
            Fault::ErrorAfter(class) => {
                self.ours(request);
                Ok(IssueAnswer::InDoubt(error(class)))
            }
            Fault::Refused => Ok(IssueAnswer::Refused(error(DeviceClass::Locked))),
            Fault::RefusedAfter => {
                self.ours(request);
                Ok(IssueAnswer::Refused(error(DeviceClass::Locked)))
            }
            Fault::ErrorBefore(class) => Ok(IssueAnswer::InDoubt(error(class))),
            Fault::NotSent(class) => Ok(IssueAnswer::NotSent(error(class))),
            Fault::ForeignThenLost { equal } => {
                self.foreign_before(request, equal);
                self.ours(request);
                lost()
            }
            Fault::ForeignThenOk { equal } => {
                self.foreign_before(request, equal);
                Ok(self.ours(request).map_or(IssueAnswer::InDoubt(error(DeviceClass::NoStock)), IssueAnswer::Signed))
            }
            Fault::ForeignThenNothing { equal } => {
                self.foreign_before(request, equal);
                lost()
            }
            Fault::RunsLate(readings) => {
                self.late = Some((request.clone(), readings));
                lost()
            }
            Fault::HungAfter => {
                self.ours(request);
                self.hung = 3;
                Err(Trouble::Hung)
            }
            Fault::HungBefore => {
                self.hung = 3;
                Err(Trouble::Hung)
            }
        }
    }

    fn operations(&self) -> Vec<DiskOperation> {
        use DiskOperation::*;
        vec![Void, BlankVoid, Report, Clear, Upload, RefreshOffline, ChangePassword]
    }

    pub(super) fn limits(&mut self) -> Result<Limits, Trouble> {
        let (reported, cleared) = self.periods;
        let limits = Limits {
            issue_deadline: Some(format!("2026{:02}15", 4 + cleared)),
            period: Some((format!("2026{:02}01", 3 + reported), format!("2026{:02}31", 3 + reported))),
            offline_hours: Some(self.offline_hours),
            ..Limits::default()
        };
        self.reading("limits".into())?;
        Ok(limits)
    }

    pub(super) fn totals(&mut self) -> Result<OfflineTotals, Trouble> {
        let totals = OfflineTotals { count: self.waiting, first: None, sum: Amount::ZERO };
        self.reading("totals".into())?;
        Ok(totals)
    }

    /// Does it, as a disk would, whatever was expected.
    fn act(&mut self, what: &What) {
        match what {
            What::Void { pair, .. } => {
                let entry = self.ledger.get_mut(pair).unwrap();
                assert_eq!(entry.status, NumberStatus::Positive, "{pair} was voided twice");
                entry.status = NumberStatus::PositiveVoid;
            }
            What::BlankVoid { .. } => {
                let signed = self.sign(None, "", Amount::ZERO, "").unwrap();
                self.ledger.get_mut(&signed.pair).unwrap().status = NumberStatus::BlankVoid;
            }
            What::Report { .. } => self.periods.0 += 1,
            What::Clear { .. } => self.periods.1 += 1,
            What::Upload { .. } => self.waiting = 0,
            What::RefreshOffline { .. } => self.offline_hours += 1,
            What::ChangePassword { .. } => self.new_password = true,
            What::Status | What::Stock | What::Query { .. } => unreachable!("a reading is not sent"),
        }
    }

    pub(super) fn operate(&mut self, send: &Send) -> Result<OperationAnswer, Trouble> {
        self.log.push(format!("operate {}", send.id));
        let lost = || Ok(OperationAnswer::InDoubt(error(DeviceClass::Link)));
        match self.operation_faults.pop_front() {
            None => {
                self.act(&send.what);
                Ok(OperationAnswer::Done { pair: None, at: None })
            }
            Some(Fault::LostBefore) => lost(),
            Some(Fault::NotSent(class)) => Ok(OperationAnswer::NotSent(error(class))),
            Some(Fault::ErrorBefore(class)) => Ok(OperationAnswer::InDoubt(error(class))),
            Some(Fault::ErrorAfter(class)) => {
                self.act(&send.what);
                Ok(OperationAnswer::InDoubt(error(class)))
            }
            Some(Fault::ForeignThenLost { .. }) => {
                self.foreign("别人", "7.77");
                self.act(&send.what);
                lost()
            }
            Some(Fault::HungAfter) => {
                self.act(&send.what);
                self.hung = 3;
                Err(Trouble::Hung)
            }
            Some(_) => {
                self.act(&send.what);
                lost()
            }
        }
    }

    /// Opening it with a password.
    pub(super) fn open_with(&mut self, new: bool) -> Result<Opened, Trouble> {
        self.log.push(format!("open {}", if new { "new" } else { "old" }));
        if new != self.new_password {
            self.refused += 1;
            return Err(Trouble::Disk(error(DeviceClass::BadPassword)));
        }
        Ok(self.opened())
    }

    pub(super) fn operations_sent(&self, id: &str) -> usize {
        self.log.iter().filter(|line| **line == format!("operate {id}")).count()
    }

    pub(super) fn query(&mut self, pair: NumberPair, against: &[std::sync::Arc<Request>]) -> Result<Option<Found>, Trouble> {
        let entry = self.ledger.get(&pair).cloned();
        self.reading(format!("query {}", pair.number))?;
        if self.bad_queries > 0 {
            self.bad_queries -= 1;
            return Err(Trouble::Disk(error(DeviceClass::DeviceFault)));
        }
        let Some(entry) = entry.filter(|_| !self.blind) else { return Ok(None) };
        let compare = |request: &std::sync::Arc<Request>| {
            let mut fields = Vec::new();
            let differs = [
                ("buyer", request.invoice.buyer.name != entry.buyer),
                ("gross", request.invoice.totals.gross != entry.gross),
                ("remark", request.remark != entry.remark),
                ("original", request.assignment.original != entry.original),
            ];
            fields.extend(differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name));
            if fields.is_empty() { Comparison::Equal } else { Comparison::Different(fields) }
        };
        let comparisons = against.iter().map(compare).collect();
        let invoice = FoundInvoice {
            pair,
            status: entry.status,
            issued_at: "20260302101530".into(),
            fiscal_code: entry.fiscal,
            buyer_name: entry.buyer,
            buyer_number: String::new(),
            lines: Vec::new(),
            net: entry.gross,
            tax: Amount::ZERO,
            gross: entry.gross,
            remark: entry.remark,
            clerk: String::new(),
            voided_at: None,
            signature: "S".into(),
            printed: Printed::default(),
            original: entry.original,
            request_id: self.keeps_requests.then(|| {
                let request = entry.by.as_ref().map_or_else(|| "FOREIGN1".into(), |key| key.serial.to_string());
                if self.rewrites_requests { format!("0{request}") } else { request }
            }),
            buyer_address_phone: String::new(),
            buyer_bank_account: String::new(),
        };
        Ok(Some(Found { invoice, comparisons }))
    }

    pub(super) fn find(&mut self, request: &str) -> Result<Vec<FoundInvoice>, Trouble> {
        let same = |entry: &Entry| entry.by.as_ref().is_some_and(|key| key.serial.as_str() == request);
        let pairs: Vec<NumberPair> = self.ledger.iter().filter(|(_, entry)| same(entry)).map(|(pair, _)| *pair).collect();
        self.log.push(format!("find {request}"));
        let found = pairs.into_iter().map(|pair| self.query(pair, &[]).map(|found| found.map(|found| found.invoice)));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    pub(super) fn of(&self, key: &JobKey) -> Vec<NumberPair> {
        self.ledger.iter().filter(|(_, entry)| entry.by.as_ref() == Some(key)).map(|(pair, _)| *pair).collect()
    }

    pub(super) fn issues_sent(&self) -> usize {
        self.log.iter().filter(|line| line.starts_with("issue")).count()
    }
}

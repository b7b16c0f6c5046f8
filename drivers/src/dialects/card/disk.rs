//! A fiscal card behind a reader, as the agent sees a tax disk.
//!
//! Every call begins with a line that can be trusted and a card that is switched on. Before a changing command the card's
//! identity, its roll and, last of all, its day record are read; after one whose answer was lost, the day record again
//! (`settling.rs`). No command is repeated.

use std::time::Duration;

use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::{InvoiceNumber, NumberPair};
use taxdisk_protocol::printed::Printed;

use super::apdu::{Command, issue, read_binary, select, verify};
use super::config::CardConfig;
use super::content;
use super::errors::{is_good, own_error, refused};
use super::files::{BadFile, CardIdentity, CardLimits, DAY, DayRecord, File, IDENTITY, LIMITS, ROLL, Roll, date_text};
use super::frame::{FrameFault, ReaderFault, RequestType};
use super::link::{Fault, GetAgain, Link};
use super::settling::Outcome;
use crate::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, IssueRequest, Limits, NumberStatus, OfflineTotals, Search,
    Segment, Signed, Stock, TaxDisk,
};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::transport::ByteLine;

/// What the card does not tell of an invoice, so that no comparison can ever say "equal".
const NOT_TOLD: [&str; 4] = ["buyer.name", "lines", "totals.gross", "remark"];

/// The card in use.
struct Known {
    disk: DiskNumber,
    taxpayer: TaxpayerNumber,
}

/// A fiscal card behind a reader, over any byte line.
pub struct CardDisk<L: ByteLine> {
    pub(super) link: Link<L>,
    pub(super) config: CardConfig,
    capabilities: Capabilities,
    known: Option<Known>,
    /// The card was switched on since the line was opened and took its PIN, and no fault said since that it is gone.
    powered: bool,
    /// Tries are few: a PIN that was refused once is not shown again by this driver.
    pin_refused: Option<DiskError>,
    /// The last number that this driver used, and for what: the card itself tells only the number.
    pub(super) last: Option<(u32, NumberStatus)>,
}

impl<L: ByteLine> CardDisk<L> {
    /// A card on this line. Nothing is sent yet.
    pub fn new(line: L, config: CardConfig) -> CardDisk<L> {
        CardDisk {
            link: Link::new(line, config.timings),
            capabilities: content::capabilities(&config),
            config,
            known: None,
            powered: false,
            pin_refused: None,
            last: None,
        }
    }

    /// What stands in EF03 now.
    ///
    /// # Errors
    /// As the card or the line says.
    pub fn day_record(&mut self) -> Result<DayRecord, DiskError> {
        self.file(DAY, DayRecord::read)
    }

    /// Makes the line and the card usable.
    pub(super) fn ready(&mut self) -> Result<(), DiskError> {
        if !self.link.line().is_open() {
            self.link.reopen().map_err(|error| DiskError::from(Fault::Line(error)))?;
            self.powered = false;
        }
        if self.link.is_in_doubt() {
            self.link.settle()?;
            // Whoever spoke before us may have been ended in the middle of a command; the card has to answer one of ours.
            if self.powered && self.select(DAY).is_err() {
                // The card hangs. Everything was silent for a long time; only now may it be switched off.
                self.powered = false;
                self.link.settle()?;
                self.power(RequestType::PowerOff)?;
            }
        }
        if !self.powered {
            self.power(RequestType::PowerOn)?;
            self.show_pin()?;
            self.powered = true;
            self.select(DAY)?;
        }
        Ok(())
    }

    fn power(&mut self, kind: RequestType) -> Result<(), DiskError> {
        self.link.exchange(kind, &[], GetAgain::Never).map(drop).map_err(|broken| broken.fault.into())
    }

    fn show_pin(&mut self) -> Result<(), DiskError> {
        if self.config.pin.is_empty() {
            return Ok(());
        }
        if let Some(error) = &self.pin_refused {
            return Err(error.clone());
        }
        // A card that is not ours must not lose one of its tries. Where the identity cannot be read without a PIN, it is not.
        if self.known.is_some() && self.select(IDENTITY).is_ok() {
            let data = self.command(&read_binary::first(IDENTITY.bytes)).unwrap_or_default();
            if let (Ok(found), Some(known)) = (CardIdentity::read(&data), &self.known)
                && found.number != known.disk
            {
                return Err(another_card(&found.number, &known.disk));
            }
        }
        let command = verify::request(&self.config.pin, self.config.pin_id)
            .map_err(|problem| own_error(DeviceClass::InvalidRequest, problem))?;
        // Until it is accepted it counts as refused: an answer that was lost may have cost a try, too.
        let lost = own_error(DeviceClass::BadPassword, "the card's answer to its PIN was lost: it is not shown again");
        self.pin_refused = Some(lost);
        match self.command(&command) {
            Ok(_) => {
                self.pin_refused = None;
                Ok(())
            }
            Err(error) => {
                if error.code.is_some() {
                    self.pin_refused = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    fn select(&mut self, file: File) -> Result<(), DiskError> {
        self.command(&select::by_id(file.id)).map(drop)
    }

    /// A reading command. A lost answer is an error; it can be asked for anew.
    pub(super) fn command(&mut self, command: &Command) -> Result<Vec<u8>, DiskError> {
        let reply = self.link.exchange(RequestType::Apdu, &command.bytes, GetAgain::Never);
        let reply = reply.map_err(|broken| {
            self.notice(&broken.fault);
            DiskError::from(broken.fault)
        })?;
        let Some(status) = reply.answer.status else { return Err(self.misplaced("an answer without a status word")) };
        if !is_good(status) {
            return Err(refused(status, command.instruction()));
        }
        if reply.answer.data.len() != command.answer_bytes {
            let what = format!("{} bytes of data where {} were asked for", reply.answer.data.len(), command.answer_bytes);
            return Err(self.misplaced(what));
        }
        Ok(reply.answer.data)
    }

    /// A card that was taken out is switched off, whatever comes back.
    pub(super) fn notice(&mut self, fault: &Fault) {
        if matches!(fault, Fault::Frame(FrameFault::Reader(ReaderFault::CardAbsent)) | Fault::Line(_)) {
            self.powered = false;
        }
    }

    /// An answer that is not what its command promises belongs to something else.
    fn misplaced(&mut self, what: impl std::fmt::Display) -> DiskError {
        self.link.distrust();
        own_error(DeviceClass::DeviceFault, format!("the card answered out of order: {what}"))
    }

    pub(super) fn file<T>(&mut self, file: File, read: fn(&[u8]) -> Result<T, BadFile>) -> Result<T, DiskError> {
        self.ready()?;
        self.select(file)?;
        let data = self.command(&read_binary::first(file.bytes))?;
        read(&data).map_err(|bad| own_error(DeviceClass::DeviceFault, bad.0))
    }

    /// Reads whose card it is, and that it is still the one.
    pub(super) fn verify(&mut self) -> Result<CardIdentity, DiskError> {
        let found = self.file(IDENTITY, CardIdentity::read)?;
        match &self.known {
            Some(known) if known.disk != found.number => Err(another_card(&found.number, &known.disk)),
            _ => Ok(found),
        }
    }

    fn of_kind(&self, kind: InvoiceKind) -> Result<(), DiskError> {
        if kind == self.config.kind {
            return Ok(());
        }
        Err(DiskError::unsupported(format!("this card issues {} only, not {kind}", self.config.kind)))
    }

    /// Roll and day record, in this order: the record is the last thing that is read.
    fn roll_and_day(&mut self) -> Result<(Roll, DayRecord), DiskError> {
        let roll = self.file(ROLL, Roll::read)?;
        Ok((roll, self.day_record()?))
    }

    /// Everything before the first byte of F2: the right card, and the day record that shows that this pair is next.
    pub(super) fn prepare(&mut self, kind: InvoiceKind, expected: NumberPair) -> Result<DayRecord, DiskError> {
        self.of_kind(kind)?;
        let found = self.verify()?;
        if self.known.is_none() {
            self.known = Some(Known { disk: found.number, taxpayer: found.taxpayer });
        }
        let (roll, day) = self.roll_and_day()?;
        match roll.current(day.previous) {
            Some(current) if current == expected => Ok(day),
            Some(current) => {
                let text = format!("the card's next number is {current}, not {expected}: nothing was sent");
                Err(own_error(DeviceClass::NumberMismatch, text))
            }
            None => Err(no_stock()),
        }
    }

    fn check_seller(&self, seller: &Identity) -> Result<(), DiskError> {
        let Some(known) = &self.known else { return Ok(()) };
        if seller.disk != known.disk {
            let text = format!("the invoice is for the card {}, this is {}; nothing was sent", seller.disk, known.disk);
            return Err(own_error(DeviceClass::NotPresent, text));
        }
        if seller.taxpayer != known.taxpayer {
            let text = format!("the card belongs to {}, the invoice is for {}", known.taxpayer, seller.taxpayer);
            return Err(own_error(DeviceClass::InvalidRequest, text));
        }
        Ok(())
    }

    /// What the last number is: ours, or the only thing that the day's counts allow.
    fn status_of_last(&self, day: &DayRecord) -> Option<NumberStatus> {
        if let Some((number, status)) = self.last
            && number == day.previous
        {
            return Some(status);
        }
        match (day.normal, day.returned, day.spoiled) {
            (1.., 0, 0) => Some(NumberStatus::Positive),
            (0, 1.., 0) => Some(NumberStatus::Negative),
            (0, 0, 1..) => Some(NumberStatus::BlankVoid),
            _ => None,
        }
    }

    fn last_invoice(&mut self) -> Result<FoundInvoice, DiskError> {
        let (roll, day) = self.roll_and_day()?;
        let unknown = |text: String| own_error(DeviceClass::Unsupported, text);
        let pair = roll.pair(day.previous).ok_or_else(|| {
            unknown(format!("this card tells only its last invoice, {:08}, and that is not on its present roll", day.previous))
        })?;
        let Some(status) = self.status_of_last(&day) else {
            return Err(unknown(format!("this card does not tell whether {pair} is an invoice, a return or spoiled")));
        };
        Ok(FoundInvoice {
            pair,
            status,
            issued_at: date_text(day.date).unwrap_or_default() + "000000",
            fiscal_code: issue::printed(day.fiscal_code),
            buyer_name: String::new(),
            buyer_number: String::new(),
            lines: Vec::new(),
            net: Amount::ZERO,
            tax: Amount::ZERO,
            gross: Amount::ZERO,
            remark: String::new(),
            clerk: String::new(),
            voided_at: None,
            signature: String::new(),
            printed: Printed::default(),
            original: None,
            request_id: None,
            buyer_address_phone: String::new(),
            buyer_bank_account: String::new(),
        })
    }
}

fn another_card(found: &DiskNumber, expected: &DiskNumber) -> DiskError {
    let text = format!("another card is in the reader: {found} instead of {expected}; put the right one in, nothing was sent");
    own_error(DeviceClass::NotPresent, text)
}

fn no_stock() -> DiskError {
    own_error(DeviceClass::NoStock, "the card has no number left: load a new roll at the tax office")
}

impl<L: ByteLine> TaxDisk for CardDisk<L> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fence(&self) -> Fence {
        Fence::Ordered
    }

    fn dialect(&self) -> &'static str {
        "card"
    }

    fn longest_call(&self) -> Duration {
        self.config.timings.longest_call()
    }

    fn resync(&mut self) -> Result<(), DiskError> {
        self.handshake()
    }

    fn handshake(&mut self) -> Result<(), DiskError> {
        self.ready()?;
        self.select(DAY)
    }

    fn identity(&mut self) -> Result<Identity, DiskError> {
        let found = self.file(IDENTITY, CardIdentity::read)?;
        self.known = Some(Known { disk: found.number.clone(), taxpayer: found.taxpayer.clone() });
        let identity = Identity {
            disk: found.number,
            taxpayer: found.taxpayer,
            taxpayer_name: found.name,
            kinds: vec![self.config.kind],
            clock: None,
            version: format!("{:02X}", found.version),
        };
        match identity.unreadable() {
            Some(why) => Err(self.misplaced(why)),
            None => Ok(identity),
        }
    }

    fn stock(&mut self, kind: InvoiceKind) -> Result<Stock, DiskError> {
        self.of_kind(kind)?;
        self.verify()?;
        let (roll, day) = self.roll_and_day()?;
        let current = roll.current(day.previous).ok_or_else(no_stock)?;
        Ok(Stock { current, remaining: roll.last - current.number.value() + 1 })
    }

    fn limits(&mut self, kind: InvoiceKind) -> Result<Limits, DiskError> {
        self.of_kind(kind)?;
        let limits = self.file(LIMITS, CardLimits::read)?;
        Ok(Limits {
            issue_deadline: date_text(limits.deadline),
            invoice_limit: Amount::from_fen(i64::from(limits.single_fen)),
            ..Limits::default()
        })
    }

    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError> {
        Err(DiskError::unsupported("a fiscal card uploads nothing: it is declared"))
    }

    fn issue(&mut self, request: &IssueRequest<'_>) -> IssueAnswer {
        if let Err(error) = content::check(request, &self.config) {
            return IssueAnswer::NotSent(error);
        }
        let invoice = match content::signed_part(request, &self.config) {
            Ok(invoice) => invoice,
            Err(error) => return IssueAnswer::NotSent(error),
        };
        let before = self.prepare(request.kind, request.expected).and_then(|day| {
            self.check_seller(request.seller)?;
            Ok(day)
        });
        let before = match before {
            Ok(day) => day,
            Err(error) => return IssueAnswer::NotSent(error),
        };
        match self.issue_once(&invoice, &before) {
            Outcome::Done(code) => {
                self.last = Some((invoice.number, NumberStatus::Positive));
                IssueAnswer::Signed(Signed {
                    pair: request.expected,
                    issued_at: date_text(invoice.date).unwrap_or_default() + "000000",
                    fiscal_code: issue::printed(code),
                    signature: String::new(),
                    printed: Printed::default(),
                })
            }
            Outcome::NotSent(error) => IssueAnswer::NotSent(error),
            Outcome::InDoubt(error) => IssueAnswer::InDoubt(error),
        }
    }

    fn query(&mut self, kind: InvoiceKind, pair: NumberPair) -> Result<Option<FoundInvoice>, DiskError> {
        self.of_kind(kind)?;
        self.verify()?;
        let found = self.last_invoice()?;
        if found.pair == pair {
            return Ok(Some(found));
        }
        let text = format!("this card tells only its last invoice, {}; whether {pair} exists it does not say", found.pair);
        Err(own_error(DeviceClass::Unsupported, text))
    }

    fn find(&mut self, kind: InvoiceKind, search: Search<'_>) -> Result<Vec<FoundInvoice>, DiskError> {
        self.of_kind(kind)?;
        match search {
            Search::Last => {
                self.verify()?;
                Ok(vec![self.last_invoice()?])
            }
            _ => Err(DiskError::unsupported("this card tells only its last invoice")),
        }
    }

    fn segments(&mut self, kind: InvoiceKind) -> Result<Vec<Segment>, DiskError> {
        let stock = self.stock(kind)?;
        let roll = self.file(ROLL, Roll::read)?;
        let (Some(first), Some(last)) = (InvoiceNumber::new(roll.first), InvoiceNumber::new(roll.last)) else {
            return Err(own_error(DeviceClass::DeviceFault, "the card's roll has numbers of more than 8 digits"));
        };
        Ok(vec![Segment { code: roll.code, first, last, remaining: stock.remaining }])
    }

    fn operate(&mut self, operation: &Operation) -> OperationAnswer {
        match operation {
            Operation::BlankVoid { kind, expected, .. } => self.spoil(*kind, *expected),
            Operation::Report { kind } => match self.of_kind(*kind).and_then(|()| self.verify().map(drop)) {
                Ok(()) => self.declare(),
                Err(error) => OperationAnswer::NotSent(error),
            },
            other => OperationAnswer::unsupported(other),
        }
    }

    fn identity_proves(&self) -> &'static [PasswordKind] {
        // The PIN is kept as the disk's password, and is shown before anything is read.
        if self.config.pin.is_empty() { &[] } else { &[PasswordKind::Disk] }
    }

    fn compare(&self, _: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
        let status = (!matches!(found.status, NumberStatus::Positive)).then_some("status");
        Comparison::Different(status.into_iter().chain(NOT_TOLD).collect())
    }
}

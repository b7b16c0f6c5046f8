//! A tax disk behind a NISEC component, over any document link.
//!
//! The component knows no request serials and its link has no fence: what was sent may be carried out at any later time.
//! So nothing is sent twice, and a changing document goes out only after the disk's number and its current pair were read
//! in the same call. A disk that was exchanged is noticed by its number, and nothing is done with it until
//! [`NisecDisk::identity`](TaxDisk::identity) was asked for.

use std::time::Duration;

use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Fence, Widths};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::config::NisecConfig;
use super::document::commands::fpcx::Range;
use super::document::commands::fpkj::{self, ExpectedPair};
use super::document::commands::gpxxcx::Purchased;
use super::document::commands::szsmcx::TaxItem;
use super::document::commands::{fpcx, fpzf, gpxxcx, jksjcx, skpxxcx, szsmcx};
use super::document::lines::{self, PRICE_DECIMALS, RATE_DECIMALS};
use super::document::{AnswerError, Card, Document, FieldError, compare, hide_passwords, own_error};
use crate::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, IssueRequest, Limits, OfflineTotals, Search, Segment, Stock,
    TaxDisk,
};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::secret::Secret;
use crate::transport::document::{DocumentLink, Sent};

/// The most numbers that one [`Search::Range`] may hold: five questions, so that the call stays within 3 minutes.
pub const MAX_SEARCH: u32 = 5 * fpcx::MAX_RANGE;

/// Which passwords a document carries: a refusal stops all that carry the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    DiskPassword,
    BothPasswords,
}

/// A tax disk behind a NISEC component.
pub struct NisecDisk<L: DocumentLink> {
    link: L,
    config: NisecConfig,
    capabilities: Capabilities,
    /// The disk in use, as it told itself.
    known: Option<Identity>,
    /// Cleared when the link failed: another disk may be behind it since.
    verified: bool,
    disk_password_refused: Option<DiskError>,
    certificate_password_refused: Option<DiskError>,
}

/// A document without a good answer.
struct Failure {
    sent: Sent,
    /// It answered this very document, and refused it.
    refused: bool,
    error: DiskError,
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Failure {
        Failure { sent: Sent::No, refused: false, error: error.into() }
    }
}

impl<L: DocumentLink> NisecDisk<L> {
    /// A disk behind this link. Nothing is sent yet.
    pub fn new(link: L, config: NisecConfig) -> NisecDisk<L> {
        let capabilities = capabilities(config.max_lines);
        let (disk_password_refused, certificate_password_refused) = (None, None);
        NisecDisk {
            link,
            config,
            capabilities,
            known: None,
            verified: false,
            disk_password_refused,
            certificate_password_refused,
        }
    }

    /// The tax items, and so the rates, that a kind is licensed for.
    ///
    /// # Errors
    /// As the device or the link says.
    pub fn tax_items(&mut self, kind: InvoiceKind) -> Result<Vec<TaxItem>, DiskError> {
        self.read(|card| szsmcx::request(card, kind), |bytes| szsmcx::answer(bytes, kind))
    }

    /// One document. The only place that sends one.
    fn send<T>(
        &mut self,
        document: &Document,
        carries: Carries,
        within: Duration,
        answer: impl FnOnce(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<T, Failure> {
        let span = tracing::debug_span!(
            "nisec",
            command = document.id(),
            sent_bytes = document.bytes().len(),
            received_bytes = tracing::field::Empty,
            class = tracing::field::Empty
        );
        let _entered = span.enter();
        let outcome = match self.refused_password(carries) {
            Some(error) => Err(Failure { sent: Sent::No, refused: false, error }),
            None => match self.link.call(document.bytes(), within) {
                Ok(bytes) => {
                    span.record("received_bytes", bytes.len());
                    answer(&bytes).map_err(|error| Failure {
                        sent: Sent::Maybe,
                        refused: matches!(error, AnswerError::Refused(_)),
                        error: self.told(error, carries),
                    })
                }
                Err(broken) => {
                    self.verified = false;
                    Err(Failure { sent: broken.sent, refused: false, error: own_error(DeviceClass::Link, broken.text) })
                }
            },
        };
        outcome.map_err(|mut failure| {
            let passwords = [&self.config.disk_password, &self.config.certificate_password];
            failure.error = hide_passwords(failure.error, &passwords);
            span.record("class", failure.error.class.as_str());
            failure
        })
    }

    /// What the component said, in our terms. A refused password is remembered.
    fn told(&mut self, error: AnswerError, carries: Carries) -> DiskError {
        if matches!(error, AnswerError::Bad(_)) {
            // It answered something else: who knows what is behind the link now.
            self.verified = false;
        }
        let error = DiskError::from(error);
        if error.class == DeviceClass::NotPresent {
            self.verified = false;
        }
        if error.class == DeviceClass::BadPassword {
            let refused = match carries {
                Carries::DiskPassword => &mut self.disk_password_refused,
                Carries::BothPasswords => &mut self.certificate_password_refused,
            };
            *refused = Some(error.clone());
        }
        error
    }

    /// Tries are few: what carries a refused password is not sent again by this driver.
    fn refused_password(&self, carries: Carries) -> Option<DiskError> {
        let certificate = self.certificate_password_refused.as_ref().filter(|_| carries == Carries::BothPasswords);
        self.disk_password_refused.as_ref().or(certificate).cloned()
    }

    fn ask_identity(&mut self) -> Result<Identity, DiskError> {
        let document = skpxxcx::request(&self.config.disk_password)?;
        let within = self.config.read_timeout;
        self.send(&document, Carries::DiskPassword, within, skpxxcx::answer).map_err(|failure| failure.error)
    }

    /// Looks which disk is behind the link, and refuses another one than before.
    fn verify(&mut self) -> Result<(), DiskError> {
        let told = self.ask_identity()?;
        match &self.known {
            Some(known) if known.disk != told.disk => {
                self.verified = false;
                let text = format!(
                    "another disk is plugged in: {} instead of {}; plug the right one in, nothing was sent",
                    told.disk, known.disk
                );
                Err(own_error(DeviceClass::NotPresent, text))
            }
            _ => {
                self.known = Some(told);
                self.verified = true;
                Ok(())
            }
        }
    }

    /// A document with DISK4, from the disk that is known.
    fn document(&self, make: impl FnOnce(&Card<'_>) -> Result<Document, FieldError>) -> Result<Document, DiskError> {
        let Some(known) = &self.known else { return Err(own_error(DeviceClass::NotPresent, "no disk is known yet")) };
        let (disk_password, certificate_password): (&Secret, &Secret) =
            (&self.config.disk_password, &self.config.certificate_password);
        Ok(make(&Card { disk: &known.disk, taxpayer: &known.taxpayer, disk_password, certificate_password })?)
    }

    fn read<T>(
        &mut self,
        request: impl FnOnce(&Card<'_>) -> Result<Document, FieldError>,
        answer: impl FnOnce(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<T, DiskError> {
        if !self.verified {
            self.verify()?;
        }
        let document = self.document(request)?;
        let within = self.config.read_timeout;
        self.send(&document, Carries::BothPasswords, within, answer).map_err(|failure| failure.error)
    }

    fn purchased(&mut self, kind: InvoiceKind) -> Result<Purchased, DiskError> {
        self.read(|card| gpxxcx::request(card, kind), |bytes| gpxxcx::answer(bytes, kind))
    }

    fn range(&mut self, kind: InvoiceKind, range: Range) -> Result<Vec<FoundInvoice>, DiskError> {
        self.read(|card| fpcx::request(card, kind, range), |bytes| fpcx::answer(bytes, kind, range))
    }

    /// Everything before a changing document: the right disk, and its pair still where the caller read it.
    fn prepare_change(
        &mut self,
        kind: InvoiceKind,
        seller: Option<&Identity>,
        expected: Option<NumberPair>,
    ) -> Result<(), DiskError> {
        // A refused password is not worth a question.
        self.refused_password(Carries::BothPasswords).map_or(Ok(()), Err)?;
        self.verify()?;
        if let (Some(seller), Some(known)) = (seller, &self.known)
            && (known.disk != seller.disk || known.taxpayer != seller.taxpayer)
        {
            let text = format!(
                "the invoice is for disk {} of {}, but {} of {} is plugged in: nothing was sent",
                seller.disk, seller.taxpayer, known.disk, known.taxpayer
            );
            return Err(own_error(DeviceClass::NotPresent, text));
        }
        let Some(expected) = expected else { return Ok(()) };
        let current = self.purchased(kind)?.stock.current;
        if current != expected {
            let text = format!("the disk's next number is {current}, {expected} was expected: nothing was sent");
            return Err(own_error(DeviceClass::NumberMismatch, text));
        }
        Ok(())
    }

    fn change<T>(&mut self, document: &Document, answer: impl FnOnce(&[u8]) -> Result<T, AnswerError>) -> Result<T, Failure> {
        let within = self.config.change_timeout;
        self.send(document, Carries::BothPasswords, within, answer)
    }

    fn prepare_issue(&mut self, request: &IssueRequest<'_>) -> Result<Document, DiskError> {
        // First what needs no disk, so that content that cannot be sent costs it nothing.
        let (seller, config) = (request.seller, &self.config);
        let card = Card {
            disk: &seller.disk,
            taxpayer: &seller.taxpayer,
            disk_password: &config.disk_password,
            certificate_password: &config.certificate_password,
        };
        if request.invoice.lines.len() > usize::from(config.max_lines) {
            let text = format!("lines: {} lines, this disk is set to {}", request.invoice.lines.len(), config.max_lines);
            return Err(own_error(DeviceClass::InvalidRequest, text));
        }
        let document = fpkj::request(&card, &config.issuing, request, ExpectedPair::Omit)?;
        self.prepare_change(request.kind, Some(seller), Some(request.expected))?;
        Ok(document)
    }

    fn void(&mut self, kind: InvoiceKind, target: fpzf::Target, operator: &str) -> OperationAnswer {
        let expected = match target {
            fpzf::Target::Blank(pair) => Some(pair),
            fpzf::Target::Issued(..) => None,
        };
        let issuing = self.config.issuing.clone();
        let prepared = self
            .prepare_change(kind, None, expected)
            .and_then(|()| self.document(|card| fpzf::request(card, &issuing, kind, target, operator)));
        let document = match prepared {
            Ok(document) => document,
            Err(error) => return OperationAnswer::NotSent(error),
        };
        match self.change(&document, |bytes| fpzf::answer(bytes, kind, target)) {
            Ok(voided) => OperationAnswer::Done { pair: Some(voided.pair), at: voided.at },
            Err(Failure { sent: Sent::No, error, .. }) => OperationAnswer::NotSent(error),
            Err(Failure { sent: Sent::Maybe, error, .. }) => OperationAnswer::InDoubt(error),
        }
    }
}

impl<L: DocumentLink> TaxDisk for NisecDisk<L> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fence(&self) -> Fence {
        Fence::None
    }

    fn dialect(&self) -> &'static str {
        "nisec"
    }

    fn longest_call(&self) -> Duration {
        // Two reads before a change, or one before the questions of a search.
        (self.config.read_timeout * 2 + self.config.change_timeout).max(self.config.read_timeout * 6)
    }

    fn resync(&mut self) -> Result<(), DiskError> {
        // Every document has its own way to the component, so no answer can be taken for another's: there is no line to clear.
        self.handshake()
    }

    fn handshake(&mut self) -> Result<(), DiskError> {
        self.verify()
    }

    fn identity(&mut self) -> Result<Identity, DiskError> {
        let told = self.ask_identity()?;
        self.known = Some(told.clone());
        self.verified = true;
        Ok(told)
    }

    fn stock(&mut self, kind: InvoiceKind) -> Result<Stock, DiskError> {
        Ok(self.purchased(kind)?.stock)
    }

    fn limits(&mut self, kind: InvoiceKind) -> Result<Limits, DiskError> {
        self.read(|card| jksjcx::request(card, kind), |bytes| jksjcx::answer(bytes, kind))
    }

    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError> {
        Err(DiskError::unsupported("this component does not tell what waits for upload"))
    }

    fn issue(&mut self, request: &IssueRequest<'_>) -> IssueAnswer {
        let document = match self.prepare_issue(request) {
            Ok(document) => document,
            Err(error) => return IssueAnswer::NotSent(error),
        };
        let (kind, net) = (request.kind, request.invoice.totals.net);
        match self.change(&document, |bytes| fpkj::answer(bytes, kind, net)) {
            Ok(signed) => IssueAnswer::Signed(signed),
            Err(Failure { sent: Sent::No, error, .. }) => IssueAnswer::NotSent(error),
            Err(Failure { refused: true, error, .. }) => IssueAnswer::refused_by_component(error),
            Err(Failure { sent: Sent::Maybe, error, .. }) => IssueAnswer::InDoubt(error),
        }
    }

    fn query(&mut self, kind: InvoiceKind, pair: NumberPair) -> Result<Option<FoundInvoice>, DiskError> {
        let range = Range { code: pair.code, first: pair.number, last: pair.number };
        Ok(self.range(kind, range)?.pop())
    }

    fn find(&mut self, kind: InvoiceKind, search: Search<'_>) -> Result<Vec<FoundInvoice>, DiskError> {
        match search {
            Search::Request(_) => Err(DiskError::unsupported("this component keeps no request serials: ask by code and number")),
            Search::Last => {
                let last = last_of(&self.purchased(kind)?)?;
                self.query(kind, last).and_then(|found| found.map(|found| vec![found]).ok_or_else(|| missing(last)))
            }
            Search::Range(code, first, last) => {
                let parts = fpcx::parts(Range { code, first, last }, MAX_SEARCH)?;
                let mut found = Vec::new();
                for part in parts {
                    found.extend(self.range(kind, part)?);
                }
                Ok(found)
            }
        }
    }

    fn segments(&mut self, kind: InvoiceKind) -> Result<Vec<Segment>, DiskError> {
        let segments = self.purchased(kind)?.segments;
        if segments.is_empty() {
            return Err(DiskError::unsupported("this component does not list its segments"));
        }
        Ok(segments)
    }

    fn operate(&mut self, operation: &Operation) -> OperationAnswer {
        match operation {
            Operation::Void { kind, pair, net, operator } => self.void(*kind, fpzf::Target::Issued(*pair, *net), operator),
            Operation::BlankVoid { kind, expected, operator } => self.void(*kind, fpzf::Target::Blank(*expected), operator),
            _ => OperationAnswer::unsupported(operation),
        }
    }

    fn identity_proves(&self) -> &'static [PasswordKind] {
        // SKPXXCX carries the disk password; nothing that only reads carries the certificate's.
        &[PasswordKind::Disk]
    }

    fn compare(&self, request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
        compare(request, found)
    }
}

/// The number before the next one, where both are of one segment: only then it must be the one that was consumed last.
pub(crate) fn last_of(purchased: &Purchased) -> Result<NumberPair, DiskError> {
    let current = purchased.stock.current;
    let segment = purchased.segments.iter().find(|segment| gpxxcx::holds(segment, &purchased.stock));
    match (segment, current.predecessor()) {
        (Some(segment), Some(last)) if segment.first <= last.number => Ok(last),
        _ => Err(DiskError::unsupported("the next number begins a segment, so the last invoice cannot be told: ask by number")),
    }
}

/// The device said that a number was consumed, and then that it does not exist.
pub(crate) fn missing(pair: NumberPair) -> DiskError {
    own_error(DeviceClass::DeviceFault, format!("the disk has no invoice {pair} although its next number is after it"))
}

/// What the documents can express, whichever way they go.
pub(crate) fn capabilities(max_lines: u16) -> Capabilities {
    Capabilities {
        characters: CharacterSet::Gbk,
        widths: Widths {
            party_name: fpkj::PARTY_BYTES as u16,
            taxpayer_number: fpkj::TAXPAYER_BYTES as u16,
            address_phone: Some(fpkj::CONTACT_BYTES as u16),
            bank_account: Some(fpkj::CONTACT_BYTES as u16),
            item_name: lines::ITEM_NAME_BYTES as u16,
            specification: Some(lines::SPECIFICATION_BYTES as u16),
            unit: Some(lines::UNIT_BYTES as u16),
            remark: fpkj::REMARK_BYTES as u16,
            person: fpkj::PERSON_BYTES as u16,
            amount: lines::AMOUNT_BYTES as u16,
            price: lines::PRICE_BYTES as u16,
        },
        max_lines,
        discount_lines: true,
        goods_codes: true,
        price_decimals: PRICE_DECIMALS,
        rate_decimals: RATE_DECIMALS,
        single_person: false,
        remark_readable: true,
        carries_pair: false,
        red: true,
        operations: vec![DiskOperation::Void, DiskOperation::BlankVoid],
        finds_request: false,
        numbers_readable: true,
    }
}

//! A tax disk behind the profile taxdisk-bot.
//!
//! Every call begins with a disk that can be trusted: one that is closed is opened again and greeted, one that may still be at
//! an older command is waited for. No command is repeated. A disk that was exchanged is noticed by its number, and nothing is
//! done with it until [`BotDisk::identity`] was asked for.

use std::time::Duration;

use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::{InvoiceCode, InvoiceNumber, NumberPair};

use super::cdb::PayloadType;
use super::config::BotConfig;
use super::expresses::capabilities;
use super::session::{Broken, Fault, Order, Session};
use crate::dialects::nisec::document::commands::fpkj::ExpectedPair;
use crate::dialects::nisec::document::commands::{fpcx, fpkj, gpxxcx, jksjcx, skpxxcx};
use crate::dialects::nisec::document::{AnswerError, Card, Document, compare, own_error, parse_answer};
use crate::dialects::zc::commands::{Subject, disk_number, offline, online};
use crate::dialects::zc::errors::classify;
use crate::dialects::zc::fields;
use crate::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, IssueRequest, Limits, OfflineTotals, Search, Segment, Stock,
    TaxDisk,
};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::transport::usb::BulkDevice;
use crate::transport::usb::bot::Progress;

/// The command number that carries a whole NISEC document.
pub(super) const DOCUMENT: u8 = 0x7E;

/// The most numbers of one search, in questions of [`fpcx::MAX_RANGE`]: minutes, not hours.
const MAX_SEARCH: u32 = 1000;

/// Which passwords a command carries: a refusal stops all that carry the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    Nothing,
    Disk,
    Certificate,
    Both,
}

impl Carries {
    fn disk(self) -> bool {
        matches!(self, Carries::Disk | Carries::Both)
    }

    fn certificate(self) -> bool {
        matches!(self, Carries::Certificate | Carries::Both)
    }
}

/// The disk in use.
struct Known {
    disk: DiskNumber,
    taxpayer: TaxpayerNumber,
    /// [`Session::greetings`] when its number was read: after another greeting another disk may be behind the device.
    greetings: u64,
}

/// A failed command: whether the disk can have had it, and the error for people.
pub(super) struct Failure {
    pub(super) progress: Progress,
    pub(super) error: DiskError,
}

/// A tax disk of the profile taxdisk-bot over any USB device.
pub struct BotDisk<D: BulkDevice> {
    session: Session<D>,
    pub(super) config: BotConfig,
    capabilities: Capabilities,
    known: Option<Known>,
    disk_password_refused: Option<DiskError>,
    certificate_password_refused: Option<DiskError>,
    /// The upload was started and not yet seen to end: sent again it would stop it.
    pub(super) uploading: bool,
}

impl<D: BulkDevice> BotDisk<D> {
    /// A disk on this device. Nothing is sent yet.
    pub fn new(device: D, config: BotConfig) -> BotDisk<D> {
        let session = Session::new(device, config.timings, config.token_floor);
        let capabilities = capabilities(&config);
        BotDisk {
            session,
            config,
            capabilities,
            known: None,
            disk_password_refused: None,
            certificate_password_refused: None,
            uploading: false,
        }
    }

    /// The number inside the disk, by a command that carries no password.
    ///
    /// # Errors
    /// As the disk or the transport says.
    pub fn number(&mut self) -> Result<DiskNumber, DiskError> {
        let data = disk_number::request(&self.config.machine_number).map_err(refused_field)?;
        let data = self.short(disk_number::CODE, data, Carries::Nothing, self.config.timings.answer).map_err(error_of)?;
        let number = disk_number::answer(&data).map_err(|bad| self.misplaced(bad.0))?;
        if let Some(serial) = self.session.device().serial_number().filter(|serial| serial != number.as_str()) {
            tracing::warn!(%number, serial, "the USB serial number is not the disk's number; the number inside the disk counts");
        }
        Ok(number)
    }

    /// The last token that was used or seen, to be remembered as [`BotConfig::token_floor`].
    pub fn last_token(&self) -> u32 {
        self.session.last_token()
    }

    /// One command. The only place that sends one.
    pub(super) fn command(&mut self, order: Order<'_>, carries: Carries) -> Result<Vec<u8>, Failure> {
        let span = tracing::debug_span!(
            "bot",
            command = format_args!("{:02X}", order.command),
            sent_bytes = order.payload.len(),
            token = tracing::field::Empty,
            ms = tracing::field::Empty,
            class = tracing::field::Empty
        );
        let _entered = span.enter();
        if let Some(error) = self.refused_password(carries) {
            span.record("class", error.class.as_str());
            return Err(Failure { progress: Progress::BeforeLastByte, error });
        }
        let began = self.session.device().now();
        let outcome = self.session.run(order);
        span.record("ms", (self.session.device().now() - began).as_millis() as u64);
        span.record("token", self.session.last_token());
        outcome.map_err(|Broken { progress, fault }| {
            if let Fault::Business(text) = &fault {
                let refusal = classify(text);
                if refusal.class == DeviceClass::BadPassword {
                    let certificate = carries == Carries::Certificate || refusal.certificate;
                    self.password_refused(certificate, refusal.into());
                }
            }
            let error = DiskError::from(fault);
            span.record("class", error.class.as_str());
            Failure { progress, error }
        })
    }

    /// A short command of fixed fields.
    pub(super) fn short(
        &mut self,
        command: u8,
        mut payload: Vec<u8>,
        carries: Carries,
        limit: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let outcome = self.command(Order { payload_type: PayloadType::Fixed, command, payload: &payload, limit }, carries);
        // It may hold a password; best effort.
        payload.fill(0);
        std::hint::black_box(&payload);
        outcome
    }

    /// A whole document; its answer is a document too.
    pub(super) fn document(&mut self, document: &Document, carries: Carries) -> Result<Vec<u8>, Failure> {
        let limit = self.config.timings.answer;
        let order = Order { payload_type: PayloadType::Xml, command: DOCUMENT, payload: document.bytes(), limit };
        let answer = self.command(order, carries)?;
        if let Ok(parsed) = parse_answer(&answer)
            && let Some(refusal) = parsed.refusal().filter(|refusal| refusal.class == DeviceClass::BadPassword)
        {
            // 0963cX is the certificate's; a document that carries the disk's password alone can mean that only.
            self.password_refused(carries != Carries::Disk, AnswerError::Refused(refusal).into());
        }
        Ok(answer)
    }

    fn password_refused(&mut self, certificate: bool, error: DiskError) {
        let refused = if certificate { &mut self.certificate_password_refused } else { &mut self.disk_password_refused };
        *refused = Some(error);
    }

    /// A new password was taken: what carries it may be sent again.
    pub(super) fn password_changed(&mut self, certificate: bool) {
        let refused = if certificate { &mut self.certificate_password_refused } else { &mut self.disk_password_refused };
        *refused = None;
    }

    /// Tries are few: what carries a refused password is not sent again by this driver.
    fn refused_password(&self, carries: Carries) -> Option<DiskError> {
        let disk = self.disk_password_refused.as_ref().filter(|_| carries.disk());
        disk.or_else(|| self.certificate_password_refused.as_ref().filter(|_| carries.certificate())).cloned()
    }

    /// An answer that is not what its command promises: the disk is not trusted before it was asked what it is at.
    pub(super) fn misplaced(&mut self, text: String) -> DiskError {
        self.session.distrust();
        own_error(DeviceClass::DeviceFault, text)
    }

    /// What a good or bad answer document means. A document that cannot be believed costs the trust, a refusal does not.
    pub(super) fn believed<T>(&mut self, outcome: Result<T, AnswerError>) -> Result<T, DiskError> {
        outcome.map_err(|error| match error {
            AnswerError::Bad(bad) => self.misplaced(bad.0),
            refused @ AnswerError::Refused(_) => refused.into(),
        })
    }

    /// Makes sure which disk is behind the device.
    pub(super) fn verify(&mut self) -> Result<(), DiskError> {
        self.session.ready().map_err(DiskError::from)?;
        let Some(known) = &self.known else { return self.identity().map(drop) };
        let greetings = self.session.greetings();
        if known.greetings == greetings {
            return Ok(());
        }
        let expected = known.disk.clone();
        let found = self.number()?;
        if found != expected {
            return Err(another_disk(&found, &expected));
        }
        if let Some(known) = &mut self.known {
            known.greetings = greetings;
        }
        Ok(())
    }

    /// Everything before the first byte of a changing command: the right disk, idle.
    pub(super) fn prepare_change(&mut self, seller: Option<&Identity>) -> Result<(), DiskError> {
        self.verify()?;
        let (Some(seller), Some(known)) = (seller, &self.known) else { return Ok(()) };
        if seller.disk != known.disk {
            return Err(another_disk(&known.disk, &seller.disk));
        }
        if seller.taxpayer != known.taxpayer {
            let text =
                format!("the disk belongs to {}, the invoice is for {}; nothing was sent", known.taxpayer, seller.taxpayer);
            return Err(own_error(DeviceClass::InvalidRequest, text));
        }
        Ok(())
    }

    /// The disk and its passwords, for a document.
    pub(super) fn card(&self) -> Result<Card<'_>, DiskError> {
        let known = self.known.as_ref().ok_or_else(|| own_error(DeviceClass::NotPresent, "no disk is known yet"))?;
        Ok(Card {
            disk: &known.disk,
            taxpayer: &known.taxpayer,
            disk_password: &self.config.disk_password,
            certificate_password: &self.config.certificate_password,
        })
    }

    /// The disk and its password, for a short command.
    pub(super) fn subject(&self) -> Result<Subject<'_>, DiskError> {
        let card = self.card()?;
        Ok(Subject {
            taxpayer: card.taxpayer,
            disk: card.disk,
            password: card.disk_password,
            machine: &self.config.machine_number,
        })
    }

    fn purchased(&mut self, kind: InvoiceKind) -> Result<gpxxcx::Purchased, DiskError> {
        self.verify()?;
        let request = gpxxcx::request(&self.card()?, kind)?;
        let answer = self.document(&request, Carries::Both).map_err(error_of)?;
        self.believed(gpxxcx::answer(&answer, kind))
    }

    fn range(&mut self, kind: InvoiceKind, range: fpcx::Range) -> Result<Vec<FoundInvoice>, DiskError> {
        self.verify()?;
        let request = fpcx::request(&self.card()?, kind, range)?;
        let answer = self.document(&request, Carries::Both).map_err(error_of)?;
        self.believed(fpcx::answer(&answer, kind, range))
    }

    fn search(
        &mut self,
        kind: InvoiceKind,
        code: InvoiceCode,
        first: InvoiceNumber,
        last: InvoiceNumber,
    ) -> Result<Vec<FoundInvoice>, DiskError> {
        let whole = fpcx::Range { code, first, last };
        if whole.count() > MAX_SEARCH {
            let text = format!("{} numbers: one search may be for at most {MAX_SEARCH}", whole.count());
            return Err(own_error(DeviceClass::InvalidRequest, text));
        }
        let mut found = Vec::new();
        let mut next = first.value();
        while next <= last.value() {
            let end = last.value().min(next + fpcx::MAX_RANGE - 1);
            let (Some(from), Some(to)) = (InvoiceNumber::new(next), InvoiceNumber::new(end)) else { break };
            found.extend(self.range(kind, fpcx::Range { code, first: from, last: to })?);
            next = end + 1;
        }
        Ok(found)
    }
}

impl<D: BulkDevice> TaxDisk for BotDisk<D> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fence(&self) -> Fence {
        Fence::Token
    }

    fn dialect(&self) -> &'static str {
        "bot"
    }

    /// The transport's reset recovery, or opening anew; then the disk's word that it is no longer at what was sent before.
    fn longest_call(&self) -> Duration {
        self.config.timings.longest_call()
    }

    fn resync(&mut self) -> Result<(), DiskError> {
        self.session.distrust();
        self.handshake()
    }

    fn handshake(&mut self) -> Result<(), DiskError> {
        let data = self.short(online::CODE, Vec::new(), Carries::Nothing, self.config.timings.answer).map_err(error_of)?;
        if data.is_empty() {
            return Ok(());
        }
        Err(self.misplaced(format!("{} bytes of data in answer to a handshake", data.len())))
    }

    fn identity(&mut self) -> Result<Identity, DiskError> {
        // The number first: it needs no password, and a disk that is not ours must not cost one of its tries.
        let number = self.number()?;
        let request = skpxxcx::request(&self.config.disk_password)?;
        let answer = self.document(&request, Carries::Disk).map_err(error_of)?;
        let identity = self.believed(skpxxcx::answer(&answer))?;
        if identity.disk != number {
            return Err(self.misplaced(format!("the disk gives two numbers, {number} and {}", identity.disk)));
        }
        let greetings = self.session.greetings();
        self.known = Some(Known { disk: identity.disk.clone(), taxpayer: identity.taxpayer.clone(), greetings });
        Ok(identity)
    }

    fn stock(&mut self, kind: InvoiceKind) -> Result<Stock, DiskError> {
        Ok(self.purchased(kind)?.stock)
    }

    fn segments(&mut self, kind: InvoiceKind) -> Result<Vec<Segment>, DiskError> {
        Ok(self.purchased(kind)?.segments)
    }

    fn limits(&mut self, kind: InvoiceKind) -> Result<Limits, DiskError> {
        self.verify()?;
        let request = jksjcx::request(&self.card()?, kind)?;
        let answer = self.document(&request, Carries::Both).map_err(error_of)?;
        self.believed(jksjcx::answer(&answer, kind))
    }

    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError> {
        self.verify()?;
        let data = self.short(offline::CODE, Vec::new(), Carries::Nothing, self.config.timings.answer).map_err(error_of)?;
        let totals = offline::answer(&data).map_err(|bad| self.misplaced(bad.0))?;
        self.uploading &= totals.count > 0;
        Ok(totals)
    }

    fn issue(&mut self, request: &IssueRequest<'_>) -> IssueAnswer {
        let card = Card {
            disk: &request.seller.disk,
            taxpayer: &request.seller.taxpayer,
            disk_password: &self.config.disk_password,
            certificate_password: &self.config.certificate_password,
        };
        let document = match fpkj::request(&card, &self.config.issuing, request, ExpectedPair::Send) {
            Ok(document) => document,
            Err(error) => return IssueAnswer::NotSent(error.into()),
        };
        if let Err(error) = self.prepare_change(Some(request.seller)) {
            return IssueAnswer::NotSent(error);
        }
        let answer = match self.document(&document, Carries::Both) {
            Ok(answer) => answer,
            Err(Failure { progress: Progress::BeforeLastByte, error }) => return IssueAnswer::NotSent(error),
            Err(Failure { error, .. }) => return IssueAnswer::InDoubt(error),
        };
        // A refusal, also that of the pair (10315), proves nothing by itself: the caller reads.
        match self.believed(fpkj::answer(&answer, request.kind, request.invoice.totals.net)) {
            Ok(signed) => {
                if signed.pair != request.expected {
                    // The device checks the pair, so this cannot be its answer to this command. The caller adopts nothing of it
                    // and reads both numbers.
                    self.session.distrust();
                }
                IssueAnswer::Signed(signed)
            }
            Err(error) => IssueAnswer::InDoubt(error),
        }
    }

    fn query(&mut self, kind: InvoiceKind, pair: NumberPair) -> Result<Option<FoundInvoice>, DiskError> {
        let only = fpcx::Range { code: pair.code, first: pair.number, last: pair.number };
        Ok(self.range(kind, only)?.pop())
    }

    fn find(&mut self, kind: InvoiceKind, search: Search<'_>) -> Result<Vec<FoundInvoice>, DiskError> {
        match search {
            Search::Range(code, first, last) => self.search(kind, code, first, last),
            Search::Request(_) | Search::Last => {
                Err(DiskError::unsupported("this disk cannot be asked for it: ask by code and number"))
            }
        }
    }

    fn operate(&mut self, operation: &Operation) -> OperationAnswer {
        self.change(operation)
    }

    fn identity_proves(&self) -> &'static [PasswordKind] {
        // SKPXXCX carries the disk password; nothing that only reads carries the certificate's.
        &[PasswordKind::Disk]
    }

    fn compare(&self, request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
        compare(request, found)
    }
}

pub(super) fn error_of(failure: Failure) -> DiskError {
    failure.error
}

pub(super) fn refused_field(error: fields::FieldError) -> DiskError {
    own_error(DeviceClass::InvalidRequest, error.to_string())
}

fn another_disk(found: &DiskNumber, expected: &DiskNumber) -> DiskError {
    let text = format!("another disk is plugged in: {found} instead of {expected}; plug the right one in, nothing was sent");
    own_error(DeviceClass::NotPresent, text)
}

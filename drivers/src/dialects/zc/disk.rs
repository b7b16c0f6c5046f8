//! A tax disk behind a ZC line.
//!
//! Every call begins with a line that can be trusted: one that is closed is opened again, one that still owes an answer is
//! brought to silence first. No command is repeated. A disk that was exchanged while the line was closed is noticed by its
//! number, and nothing is done with it until [`ZcDisk::identity`] was asked for.

use std::time::Duration;

use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::TaxRate;
use taxdisk_protocol::number::NumberPair;

use super::commands::statistics::Month;
use super::commands::{Subject, disk_info, disk_number, issue, limits, offline, online, query, rates, statistics, stock};
use super::compare::compare;
use super::config::{Framing, ZcConfig};
use super::errors::{classify, own_error};
use super::exchange::{Before, Broken, Fault, Progress, Wire};
use super::expresses::capabilities;
use super::fields::{BadAnswer, FieldError};
use super::frame::FrameType;
use super::xml;
use crate::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, IssueRequest, Limits, OfflineTotals, Search, Stock, TaxDisk,
};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::transport::ByteLine;

/// Which password a command carries: a refusal stops all that carry the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    Nothing,
    DiskPassword,
    CertificatePassword,
    BothPasswords,
    /// The reporting disk's, which this driver does not keep.
    AnotherPassword,
}

/// How a request about a kind is written, in the fixed form and as a document.
type Asks = [for<'a, 'b> fn(&'a Subject<'b>, InvoiceKind) -> Result<Vec<u8>, FieldError>; 2];

/// How its answer is read, likewise.
type Reads<T> = [fn(&[u8], InvoiceKind) -> Result<T, BadAnswer>; 2];

/// The disk in use.
struct Known {
    disk: DiskNumber,
    taxpayer: TaxpayerNumber,
    /// Cleared when the line was closed: another disk may be behind it since.
    verified: bool,
}

/// A failed conversation: how far it came, the error for people, and whether the device said "no such invoice".
pub(super) struct Failure {
    pub(super) progress: Progress,
    pub(super) error: DiskError,
    absent: bool,
}

/// A tax disk behind a converter that speaks ZC, over any byte line.
pub struct ZcDisk<L: ByteLine> {
    pub(super) wire: Wire<L>,
    pub(super) config: ZcConfig,
    capabilities: Capabilities,
    known: Option<Known>,
    pub(super) disk_password_refused: Option<DiskError>,
    pub(super) certificate_password_refused: Option<DiskError>,
    /// The upload was started, and no look has shown since that nothing waits: the command would stop it.
    pub(super) uploading: bool,
}

impl<L: ByteLine> ZcDisk<L> {
    /// A disk on this line. Nothing is sent yet.
    pub fn new(line: L, config: ZcConfig) -> ZcDisk<L> {
        let kind = match config.framing {
            Framing::Fixed => FrameType::Fixed,
            Framing::Xml => FrameType::Xml,
        };
        let wire = Wire::new(line, kind, config.timings);
        ZcDisk {
            wire,
            capabilities: capabilities(&config),
            config,
            known: None,
            disk_password_refused: None,
            certificate_password_refused: None,
            uploading: false,
        }
    }

    /// The number inside the disk, by a command that carries no password.
    ///
    /// # Errors
    /// As the device or the line says.
    pub fn number(&mut self) -> Result<DiskNumber, DiskError> {
        self.ready()?;
        self.read_number()
    }

    /// The tax rates that a kind is licensed for.
    ///
    /// # Errors
    /// As the device or the line says.
    pub fn rates(&mut self, kind: InvoiceKind) -> Result<Vec<TaxRate>, DiskError> {
        self.read_of_kind(rates::CODE, kind, [rates::request, xml::rates], [rates::answer, xml::rates_of])
    }

    /// Monthly totals of a kind; from and to are days, `yyyyMMdd`.
    ///
    /// # Errors
    /// As the device or the line says.
    pub fn statistics(&mut self, kind: InvoiceKind, from: &str, to: &str) -> Result<Vec<Month>, DiskError> {
        self.fixed_only()?;
        let request = |subject: &Subject<'_>| statistics::request(subject, kind, from, to);
        self.read(statistics::CODE, request, |data| statistics::answer(data, kind))
    }

    /// A command whose document is not known travels in the fixed form only.
    pub(super) fn fixed_only(&self) -> Result<(), DiskError> {
        match self.config.framing {
            Framing::Fixed => Ok(()),
            Framing::Xml => Err(DiskError::unsupported("this command has no XML form: set the framing to fixed")),
        }
    }

    fn is_xml(&self) -> bool {
        self.config.framing == Framing::Xml
    }

    /// Makes the line usable: open, and nothing owed on it.
    pub(super) fn ready(&mut self) -> Result<(), DiskError> {
        if !self.wire.line().is_open() {
            self.wire.reopen().map_err(|error| DiskError::from(Fault::Line(error)))?;
            if let Some(known) = &mut self.known {
                known.verified = false;
            }
        }
        if self.wire.is_in_doubt() {
            self.wire.resync().map_err(|broken| DiskError::from(broken.fault))?;
        }
        Ok(())
    }

    /// One command. The only place that sends one.
    pub(super) fn command(&mut self, code: u8, mut data: Vec<u8>, carries: Carries, before: Before) -> Result<Vec<u8>, Failure> {
        let span = tracing::debug_span!(
            "zc",
            command = format_args!("{code:02X}"),
            sent_bytes = data.len(),
            received_bytes = tracing::field::Empty,
            ms = tracing::field::Empty,
            class = tracing::field::Empty
        );
        let _entered = span.enter();
        if let Some(error) = self.refused_password(carries) {
            data.fill(0);
            span.record("class", error.class.as_str());
            return Err(Failure { progress: Progress::BeforeLastPacket, error, absent: false });
        }
        let (began, received) = (self.wire.line().now(), self.wire.received_bytes());
        let outcome = self.wire.exchange(code, &data, before);
        data.fill(0);
        std::hint::black_box(&data);
        span.record("received_bytes", self.wire.received_bytes() - received);
        span.record("ms", (self.wire.line().now() - began).as_millis() as u64);
        // A document can carry a refusal inside a good answer.
        let outcome = outcome.and_then(|data| match xml::refusal(&data).filter(|_| self.is_xml()) {
            Some(text) => {
                let fault = Fault::Refused { text, definite: self.wire.was_clean() };
                Err(Broken { progress: Progress::LastPacketBegun, fault })
            }
            None => Ok(data),
        });
        if outcome.is_ok() {
            span.record("class", "ok");
        }
        outcome.map_err(|broken| {
            let failure = self.failure(broken, carries);
            span.record("class", failure.error.class.as_str());
            tracing::debug!(code = failure.error.code.as_deref(), "no good answer");
            failure
        })
    }

    fn failure(&mut self, broken: Broken, carries: Carries) -> Failure {
        let Broken { progress, fault } = broken;
        let mut absent = false;
        if let Fault::Refused { text, definite } = &fault {
            let refusal = classify(text);
            absent = refusal.absent_in_query && *definite;
            if refusal.class == DeviceClass::BadPassword {
                match carries {
                    Carries::AnotherPassword => {}
                    Carries::CertificatePassword => self.certificate_password_refused = Some(refusal.into()),
                    Carries::BothPasswords if refusal.certificate => self.certificate_password_refused = Some(refusal.into()),
                    _ => self.disk_password_refused = Some(refusal.into()),
                }
            }
        }
        Failure { progress, error: fault.into(), absent }
    }

    /// Tries are few: what carries a refused password is not sent again by this driver.
    fn refused_password(&self, carries: Carries) -> Option<DiskError> {
        match carries {
            Carries::Nothing | Carries::AnotherPassword => None,
            Carries::CertificatePassword => self.certificate_password_refused.clone(),
            Carries::DiskPassword => self.disk_password_refused.clone(),
            Carries::BothPasswords => self.disk_password_refused.clone().or_else(|| self.certificate_password_refused.clone()),
        }
    }

    fn read_number(&mut self) -> Result<DiskNumber, DiskError> {
        let request = if self.is_xml() { xml::disk_number } else { disk_number::request };
        let data = request(&self.config.machine_number).map_err(refused_field)?;
        let data = self.command(disk_number::CODE, data, Carries::Nothing, Before::Anything).map_err(|failure| failure.error)?;
        let answer = if self.is_xml() { xml::number } else { disk_number::answer };
        answer(&data).map_err(|bad| self.misplaced(bad))
    }

    /// An answer that is not what its command promises belongs to something else, or the line is damaged in a way that the
    /// checksum does not see. Either way the next command must not trust the line.
    pub(super) fn misplaced(&mut self, bad: BadAnswer) -> DiskError {
        self.wire.distrust();
        own_error(DeviceClass::DeviceFault, bad.0)
    }

    /// Makes sure which disk is behind the line.
    pub(super) fn verify(&mut self) -> Result<(), DiskError> {
        self.ready()?;
        let Some(known) = &self.known else { return self.identity().map(drop) };
        if known.verified {
            return Ok(());
        }
        let expected = known.disk.clone();
        let found = self.read_number()?;
        if found != expected {
            return Err(another_disk(&found, &expected));
        }
        if let Some(known) = &mut self.known {
            known.verified = true;
        }
        Ok(())
    }

    /// A reading command that needs to know whose disk it asks.
    fn ask(
        &mut self,
        code: u8,
        request: impl FnOnce(&Subject<'_>) -> Result<Vec<u8>, FieldError>,
    ) -> Result<Result<Vec<u8>, Failure>, DiskError> {
        self.verify()?;
        let data = request(&self.subject()?).map_err(refused_field)?;
        Ok(self.command(code, data, Carries::DiskPassword, Before::Anything))
    }

    /// Whose disk the next command is for.
    pub(super) fn subject(&self) -> Result<Subject<'_>, DiskError> {
        let Some(known) = &self.known else { return Err(own_error(DeviceClass::NotPresent, "no disk is known yet")) };
        Ok(Subject {
            taxpayer: &known.taxpayer,
            disk: &known.disk,
            password: &self.config.disk_password,
            machine: &self.config.machine_number,
        })
    }

    fn read_of_kind<T>(&mut self, code: u8, kind: InvoiceKind, asks: Asks, reads: Reads<T>) -> Result<T, DiskError> {
        let form = usize::from(self.is_xml());
        self.read(code, |subject| asks[form](subject, kind), |data| reads[form](data, kind))
    }

    pub(super) fn read<T>(
        &mut self,
        code: u8,
        request: impl FnOnce(&Subject<'_>) -> Result<Vec<u8>, FieldError>,
        answer: impl FnOnce(&[u8]) -> Result<T, BadAnswer>,
    ) -> Result<T, DiskError> {
        let data = self.ask(code, request)?.map_err(|failure| failure.error)?;
        answer(&data).map_err(|bad| self.misplaced(bad))
    }

    /// Everything before the first byte of a changing command: the right disk, and a handshake on a trusted line.
    pub(super) fn prepare_change(&mut self, seller: Option<&Identity>) -> Result<(), DiskError> {
        self.verify()?;
        if let (Some(seller), Some(known)) = (seller, &self.known) {
            if seller.disk != known.disk {
                return Err(another_disk(&known.disk, &seller.disk));
            }
            if seller.taxpayer != known.taxpayer {
                let text = format!("the disk belongs to {}, the invoice is for {}", known.taxpayer, seller.taxpayer);
                return Err(own_error(DeviceClass::InvalidRequest, text));
            }
        }
        self.handshake()
    }

    fn issue_data(&self, request: &IssueRequest<'_>) -> Result<Vec<u8>, FieldError> {
        if request.red.is_some_and(|red| red.notice.is_some()) {
            let problem = "this disk has no field for it: use another disk for red special invoices".to_owned();
            return Err(FieldError { field: "red.notice".to_owned(), problem });
        }
        let write = if self.is_xml() { xml::issue } else { issue::request };
        write(&issue::Request {
            subject: Subject {
                taxpayer: &request.seller.taxpayer,
                disk: &request.seller.disk,
                password: &self.config.disk_password,
                machine: &self.config.machine_number,
            },
            certificate_password: &self.config.certificate_password,
            seller_name: &request.seller.taxpayer_name,
            kind: request.kind,
            invoice: request.invoice,
            remark: request.remark,
            red: request.red.map(|red| issue::Red { original: red.original, sign: self.config.red_sign }),
            max_lines: self.config.max_lines,
        })
    }
}

impl<L: ByteLine> TaxDisk for ZcDisk<L> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fence(&self) -> Fence {
        Fence::Ordered
    }

    fn dialect(&self) -> &'static str {
        "zc"
    }

    fn longest_call(&self) -> Duration {
        self.config.longest_call()
    }

    fn resync(&mut self) -> Result<(), DiskError> {
        // A line that owes nothing was brought to silence since it was opened, and every command since then was answered in
        // full: the device is back in its command loop, and nothing older can still run. A good handshake says that it still is.
        if self.wire.line().is_open() && !self.wire.is_in_doubt() {
            return self.handshake();
        }
        self.ready()
    }

    fn handshake(&mut self) -> Result<(), DiskError> {
        self.ready()?;
        self.command(online::CODE, Vec::new(), Carries::Nothing, Before::Anything).map_err(|failure| failure.error).and_then(
            |data| {
                if data.is_empty() {
                    return Ok(());
                }
                Err(self.misplaced(BadAnswer(format!("{} bytes of data in answer to a handshake", data.len()))))
            },
        )
    }

    fn identity(&mut self) -> Result<Identity, DiskError> {
        self.ready()?;
        // The number first: it needs no password, and a disk that is not ours must not cost one of its tries.
        let number = self.read_number()?;
        let request = if self.is_xml() { xml::disk_info } else { disk_info::request };
        let data = request(&self.config.disk_password, &self.config.machine_number).map_err(refused_field)?;
        let outcome = self.command(disk_info::CODE, data, Carries::DiskPassword, Before::Anything);
        let data = outcome.map_err(|failure| failure.error)?;
        let answer = if self.is_xml() { xml::identity } else { disk_info::answer };
        let identity = answer(&data).map_err(|bad| self.misplaced(bad))?;
        if let Some(why) = identity.unreadable() {
            return Err(self.misplaced(BadAnswer(why)));
        }
        if identity.disk != number {
            return Err(self.misplaced(BadAnswer(format!("the disk gives two numbers, {number} and {}", identity.disk))));
        }
        self.known = Some(Known { disk: identity.disk.clone(), taxpayer: identity.taxpayer.clone(), verified: true });
        Ok(identity)
    }

    fn stock(&mut self, kind: InvoiceKind) -> Result<Stock, DiskError> {
        self.read_of_kind(stock::CODE, kind, [stock::request, xml::stock], [stock::answer, xml::stock_of])
    }

    fn limits(&mut self, kind: InvoiceKind) -> Result<Limits, DiskError> {
        self.read_of_kind(limits::CODE, kind, [limits::request, xml::limits], [limits::answer, xml::limits_of])
    }

    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError> {
        self.verify()?;
        let data = if self.is_xml() { xml::offline().map_err(refused_field)? } else { Vec::new() };
        let outcome = self.command(offline::CODE, data, Carries::Nothing, Before::Anything);
        let data = outcome.map_err(|failure| failure.error)?;
        let answer = if self.is_xml() { xml::offline_of } else { offline::answer };
        let totals = answer(&data).map_err(|bad| self.misplaced(bad))?;
        self.uploading &= totals.count > 0;
        Ok(totals)
    }

    fn issue(&mut self, request: &IssueRequest<'_>) -> IssueAnswer {
        let data = match self.issue_data(request) {
            Ok(data) => data,
            Err(error) => return IssueAnswer::NotSent(refused_field(error)),
        };
        if let Err(error) = self.prepare_change(Some(request.seller)) {
            return IssueAnswer::NotSent(error);
        }
        match self.command(issue::CODE, data, Carries::BothPasswords, Before::Nothing) {
            Ok(data) => match if self.is_xml() { xml::signed } else { issue::answer }(&data, request.kind) {
                Ok(signed) => IssueAnswer::Signed(signed),
                Err(bad) => IssueAnswer::InDoubt(self.misplaced(bad)),
            },
            Err(failure) => match failure.progress {
                Progress::BeforeLastPacket => IssueAnswer::NotSent(failure.error),
                Progress::LastPacketBegun => IssueAnswer::InDoubt(failure.error),
            },
        }
    }

    fn query(&mut self, kind: InvoiceKind, pair: NumberPair) -> Result<Option<FoundInvoice>, DiskError> {
        let (request, answer) = if self.is_xml() { XML_QUERY } else { FIXED_QUERY };
        match self.ask(query::CODE, |subject| request(subject, kind, pair))? {
            Ok(data) => match answer(&data, pair).map(|found| (found.unreadable(), found)) {
                Ok((None, found)) => Ok(Some(found)),
                Ok((Some(why), _)) => Err(self.misplaced(BadAnswer(why))),
                Err(bad) => Err(self.misplaced(bad)),
            },
            Err(failure) if failure.absent => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }

    fn find(&mut self, kind: InvoiceKind, search: Search<'_>) -> Result<Vec<FoundInvoice>, DiskError> {
        let Search::Last = search else {
            return Err(DiskError::unsupported("this device cannot be asked for it: ask by code and number"));
        };
        let current = self.stock(kind)?.current;
        let found = match current.predecessor() {
            Some(before) => self.query(kind, before)?,
            None => None,
        };
        // Absent only says that a roll begins here: the last invoice is on another one, whose code nobody told.
        let text = || format!("nothing was issued before {current} on its roll, and this device does not tell the roll before");
        Ok(vec![found.ok_or_else(|| DiskError::unsupported(text()))?])
    }

    fn operate(&mut self, operation: &Operation) -> OperationAnswer {
        if !self.capabilities.can(operation.name()) {
            return OperationAnswer::unsupported(operation);
        }
        self.change(operation)
    }

    /// The disk information carries the disk password; nothing that only reads carries the certificate's.
    fn identity_proves(&self) -> &'static [PasswordKind] {
        &[PasswordKind::Disk]
    }

    fn compare(&self, request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
        compare(request, found)
    }
}

type Query = (
    for<'a, 'b> fn(&'a Subject<'b>, InvoiceKind, NumberPair) -> Result<Vec<u8>, FieldError>,
    fn(&[u8], NumberPair) -> Result<FoundInvoice, BadAnswer>,
);

const FIXED_QUERY: Query = (query::request, query::answer);
const XML_QUERY: Query = (xml::query, xml::found);

pub(super) fn refused_field(error: FieldError) -> DiskError {
    own_error(DeviceClass::InvalidRequest, error.to_string())
}

fn another_disk(found: &DiskNumber, expected: &DiskNumber) -> DiskError {
    let text = format!("another disk is plugged in: {found} instead of {expected}; plug the right one in, nothing was sent");
    own_error(DeviceClass::NotPresent, text)
}

//! A tax disk behind a ZC line.
//!
//! Every call begins with a line that can be trusted: one that is closed is opened again, one that still owes an answer is
//! brought to silence first. No command is repeated. A disk that was exchanged while the line was closed is noticed by its
//! number, and nothing is done with it until [`ZcDisk::identity`] was asked for.

use std::time::Duration;

use taxdisk_protocol::capabilities::{Capabilities, CharacterSet, DiskOperation, Fence, Widths};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::TaxRate;
use taxdisk_protocol::number::NumberPair;

use super::commands::statistics::Month;
use super::commands::{Subject, disk_info, disk_number, issue, limits, offline, online, query, rates, statistics, stock, void};
use super::compare::compare;
use super::config::ZcConfig;
use super::errors::{classify, own_error};
use super::exchange::{Before, Broken, Fault, Progress, Wire};
use super::fields::{BadAnswer, FieldError};
use super::frame::FrameType;
use crate::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, IssueRequest, Limits, OfflineTotals, Stock, TaxDisk,
};
use crate::operation::{Operation, OperationAnswer};
use crate::transport::ByteLine;

/// Which password a command carries: a refusal stops all that carry the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carries {
    Nothing,
    DiskPassword,
    BothPasswords,
}

/// The disk in use.
struct Known {
    disk: DiskNumber,
    taxpayer: TaxpayerNumber,
    /// Cleared when the line was closed: another disk may be behind it since.
    verified: bool,
}

/// A failed conversation: how far it came, the error for people, and whether the device said "no such invoice".
struct Failure {
    progress: Progress,
    error: DiskError,
    absent: bool,
}

/// A tax disk behind a converter that speaks ZC, over any byte line.
pub struct ZcDisk<L: ByteLine> {
    wire: Wire<L>,
    config: ZcConfig,
    capabilities: Capabilities,
    known: Option<Known>,
    disk_password_refused: Option<DiskError>,
    certificate_password_refused: Option<DiskError>,
}

impl<L: ByteLine> ZcDisk<L> {
    /// A disk on this line. Nothing is sent yet.
    pub fn new(line: L, config: ZcConfig) -> ZcDisk<L> {
        let wire = Wire::new(line, FrameType::Fixed, config.timings);
        let capabilities = capabilities(&config);
        ZcDisk { wire, config, capabilities, known: None, disk_password_refused: None, certificate_password_refused: None }
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
        self.read(rates::CODE, |subject| rates::request(subject, kind), |data| rates::answer(data, kind))
    }

    /// Monthly totals of a kind; from and to are days, `yyyyMMdd`.
    ///
    /// # Errors
    /// As the device or the line says.
    pub fn statistics(&mut self, kind: InvoiceKind, from: &str, to: &str) -> Result<Vec<Month>, DiskError> {
        let request = |subject: &Subject<'_>| statistics::request(subject, kind, from, to);
        self.read(statistics::CODE, request, |data| statistics::answer(data, kind))
    }

    /// The longest that any call takes when the device answers as slowly as it may: for the deadlines above.
    pub fn longest_call(&self) -> Duration {
        let times = self.config.timings;
        let resync = (times.silence_limit + times.first_byte + times.write) * 3;
        // 02 after reopening, 01, three packets of a command with their NP, the answer.
        resync + times.answer * 6 + times.write * 6
    }

    /// Makes the line usable: open, and nothing owed on it.
    fn ready(&mut self) -> Result<(), DiskError> {
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
    fn command(&mut self, code: u8, mut data: Vec<u8>, carries: Carries, before: Before) -> Result<Vec<u8>, Failure> {
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
                let certificate = refusal.certificate && carries == Carries::BothPasswords;
                let refused = if certificate { &mut self.certificate_password_refused } else { &mut self.disk_password_refused };
                *refused = Some(refusal.into());
            }
        }
        Failure { progress, error: fault.into(), absent }
    }

    /// Tries are few: what carries a refused password is not sent again by this driver.
    fn refused_password(&self, carries: Carries) -> Option<DiskError> {
        match carries {
            Carries::Nothing => None,
            Carries::DiskPassword => self.disk_password_refused.clone(),
            Carries::BothPasswords => self.disk_password_refused.clone().or_else(|| self.certificate_password_refused.clone()),
        }
    }

    fn read_number(&mut self) -> Result<DiskNumber, DiskError> {
        let data = disk_number::request(&self.config.machine_number).map_err(refused_field)?;
        let data = self.command(disk_number::CODE, data, Carries::Nothing, Before::Anything).map_err(|failure| failure.error)?;
        disk_number::answer(&data).map_err(|bad| self.misplaced(bad))
    }

    /// An answer that is not what its command promises belongs to something else, or the line is damaged in a way that the
    /// checksum does not see. Either way the next command must not trust the line.
    fn misplaced(&mut self, bad: BadAnswer) -> DiskError {
        self.wire.distrust();
        own_error(DeviceClass::DeviceFault, bad.0)
    }

    /// Makes sure which disk is behind the line.
    fn verify(&mut self) -> Result<(), DiskError> {
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
        let Some(known) = &self.known else { return Err(own_error(DeviceClass::NotPresent, "no disk is known yet")) };
        let data = request(&Subject {
            taxpayer: &known.taxpayer,
            disk: &known.disk,
            password: &self.config.disk_password,
            machine: &self.config.machine_number,
        })
        .map_err(refused_field)?;
        Ok(self.command(code, data, Carries::DiskPassword, Before::Anything))
    }

    fn read<T>(
        &mut self,
        code: u8,
        request: impl FnOnce(&Subject<'_>) -> Result<Vec<u8>, FieldError>,
        answer: impl FnOnce(&[u8]) -> Result<T, BadAnswer>,
    ) -> Result<T, DiskError> {
        let data = self.ask(code, request)?.map_err(|failure| failure.error)?;
        answer(&data).map_err(|bad| self.misplaced(bad))
    }

    /// Everything before the first byte of a changing command: the right disk, and a handshake on a trusted line.
    fn prepare_change(&mut self, seller: Option<&Identity>) -> Result<(), DiskError> {
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
        issue::request(&issue::Request {
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
            red: None,
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
        let data = disk_info::request(&self.config.disk_password, &self.config.machine_number).map_err(refused_field)?;
        let outcome = self.command(disk_info::CODE, data, Carries::DiskPassword, Before::Anything);
        let data = outcome.map_err(|failure| failure.error)?;
        let identity = disk_info::answer(&data).map_err(|bad| self.misplaced(bad))?;
        if identity.disk != number {
            return Err(self.misplaced(BadAnswer(format!("the disk gives two numbers, {number} and {}", identity.disk))));
        }
        self.known = Some(Known { disk: identity.disk.clone(), taxpayer: identity.taxpayer.clone(), verified: true });
        Ok(identity)
    }

    fn stock(&mut self, kind: InvoiceKind) -> Result<Stock, DiskError> {
        self.read(stock::CODE, |subject| stock::request(subject, kind), |data| stock::answer(data, kind))
    }

    fn limits(&mut self, kind: InvoiceKind) -> Result<Limits, DiskError> {
        self.read(limits::CODE, |subject| limits::request(subject, kind), |data| limits::answer(data, kind))
    }

    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError> {
        self.verify()?;
        let outcome = self.command(offline::CODE, Vec::new(), Carries::Nothing, Before::Anything);
        let data = outcome.map_err(|failure| failure.error)?;
        offline::answer(&data).map_err(|bad| self.misplaced(bad))
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
            Ok(data) => match issue::answer(&data, request.kind) {
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
        match self.ask(query::CODE, |subject| query::request(subject, kind, pair))? {
            Ok(data) => query::answer(&data, pair).map(Some).map_err(|bad| self.misplaced(bad)),
            Err(failure) if failure.absent => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }

    fn operate(&mut self, operation: &Operation) -> OperationAnswer {
        let Operation::Void { kind, pair, operator, .. } = operation else { return OperationAnswer::unsupported(operation) };
        let (kind, pair) = (*kind, *pair);
        if let Err(error) = self.prepare_change(None) {
            return OperationAnswer::NotSent(error);
        }
        let Some(known) = &self.known else {
            return OperationAnswer::NotSent(own_error(DeviceClass::NotPresent, "no disk is known yet"));
        };
        let subject = Subject {
            taxpayer: &known.taxpayer,
            disk: &known.disk,
            password: &self.config.disk_password,
            machine: &self.config.machine_number,
        };
        let data = match void::request(&subject, &self.config.certificate_password, kind, pair, operator) {
            Ok(data) => data,
            Err(error) => return OperationAnswer::NotSent(refused_field(error)),
        };
        match self.command(void::CODE, data, Carries::BothPasswords, Before::Nothing) {
            Ok(data) => match void::answer(&data, kind, pair) {
                Ok(at) => OperationAnswer::Done { pair: Some(pair), at },
                Err(bad) => OperationAnswer::InDoubt(self.misplaced(bad)),
            },
            Err(failure) => match failure.progress {
                Progress::BeforeLastPacket => OperationAnswer::NotSent(failure.error),
                Progress::LastPacketBegun => OperationAnswer::InDoubt(failure.error),
            },
        }
    }

    fn compare(&self, request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
        compare(request, found)
    }
}

fn refused_field(error: FieldError) -> DiskError {
    own_error(DeviceClass::InvalidRequest, error.to_string())
}

fn another_disk(found: &DiskNumber, expected: &DiskNumber) -> DiskError {
    let text = format!("another disk is plugged in: {found} instead of {expected}; plug the right one in, nothing was sent");
    own_error(DeviceClass::NotPresent, text)
}

fn capabilities(config: &ZcConfig) -> Capabilities {
    Capabilities {
        characters: CharacterSet::Gbk,
        widths: Widths {
            party_name: 80,
            taxpayer_number: 20,
            address_phone: None,
            bank_account: None,
            item_name: issue::ITEM_NAME_BYTES as u16,
            specification: None,
            unit: None,
            remark: issue::REMARK_BYTES as u16,
            person: issue::PERSON_BYTES as u16,
            amount: issue::NUMBER_BYTES as u16,
            price: issue::NUMBER_BYTES as u16,
        },
        max_lines: config.max_lines,
        discount_lines: false,
        goods_codes: false,
        price_decimals: issue::PRICE_DECIMALS as u8,
        rate_decimals: issue::RATE_DECIMALS as u8,
        single_person: true,
        remark_readable: true,
        carries_pair: false,
        red: false,
        operations: vec![DiskOperation::Void],
        finds_request: false,
    }
}

//! The changing commands besides issuing, and those for a person at the converter.
//!
//! Each is prepared first (the right disk, a trusted line, a handshake), sent once, and believed only on its own good answer.
//! A refusal after the last byte was written is doubt, whatever its text says.

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::commands::network::NetworkSettings;
use super::commands::report::Route;
use super::commands::reporting_info::ReportingDisk;
use super::commands::upload_errors::UploadError;
use super::commands::void::Target;
use super::commands::{
    Subject, certificate_password, channel, clear, network, password, rebuild, refresh_offline, report, reporting_info,
    reporting_number, speed, upload, upload_errors, void,
};
use super::config::{Framing, ZcConfig};
use super::disk::{Carries, Failure, ZcDisk, refused_field};
use super::errors::own_error;
use super::exchange::{Before, Progress};
use super::fields::{BadAnswer, FieldError};
use super::xml;
use crate::disk::{DiskError, TaxDisk};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::secret::Secret;
use crate::transport::ByteLine;

/// What the device says when the toggle of 16 stopped a running upload.
const UPLOAD_STOPPED: &str = "停止发票上传";

const DONE: OperationAnswer = OperationAnswer::Done { pair: None, at: None };

impl<L: ByteLine> ZcDisk<L> {
    pub(super) fn change(&mut self, operation: &Operation) -> OperationAnswer {
        match operation {
            Operation::Void { kind, pair, operator, .. } => self.void(*kind, Target::Issued, *pair, operator),
            Operation::BlankVoid { kind, expected, operator } => match self.still_current(*kind, *expected) {
                Ok(()) => self.void(*kind, Target::Blank, *expected, operator),
                Err(error) => OperationAnswer::NotSent(error),
            },
            Operation::Report { kind } => self.report(*kind, Route::Network),
            Operation::Clear { kind } => self.over_network(clear::CODE, *kind, clear::request, xml::clear),
            Operation::RefreshOffline { kind } => {
                self.over_network(refresh_offline::CODE, *kind, refresh_offline::request, xml::refresh_offline)
            }
            Operation::Upload { kind } => self.upload(*kind),
            Operation::ChangePassword { which, old, new } => self.change_password(*which, old, new),
        }
    }

    /// 11: the period report, over the network or onto a reporting disk that is plugged in beside.
    pub fn report(&mut self, kind: InvoiceKind, route: Route) -> OperationAnswer {
        let request = |subject: &Subject<'_>, config: &ZcConfig| match config.framing {
            Framing::Fixed => report::request(subject, kind, route, &config.issuer_number),
            Framing::Xml => xml::report(subject, kind, route),
        };
        self.plain_change(report::CODE, Carries::DiskPassword, request)
    }

    /// 03: the number inside the reporting disk.
    ///
    /// # Errors
    /// As the device or the line says.
    pub fn reporting_number(&mut self) -> Result<DiskNumber, DiskError> {
        self.fixed_only()?;
        self.ready()?;
        let data = reporting_number::request(&self.config.machine_number).map_err(refused_field)?;
        let data = self.command(reporting_number::CODE, data, Carries::Nothing, Before::Anything).map_err(error_of)?;
        reporting_number::answer(&data).map_err(|bad| self.misplaced(bad))
    }

    /// 05: whose reporting disk it is. A wrong password costs one of its few tries: do not ask again with the same one.
    ///
    /// # Errors
    /// As the device or the line says.
    pub fn reporting_info(&mut self, password: &Secret) -> Result<ReportingDisk, DiskError> {
        self.fixed_only()?;
        self.ready()?;
        let data = reporting_info::request(password, &self.config.machine_number).map_err(refused_field)?;
        let data = self.command(reporting_info::CODE, data, Carries::AnotherPassword, Before::Anything).map_err(error_of)?;
        reporting_info::answer(&data).map_err(|bad| self.misplaced(bad))
    }

    /// 31: invoices whose upload failed, at most ten.
    ///
    /// # Errors
    /// As the device or the line says.
    pub fn upload_errors(&mut self) -> Result<Vec<UploadError>, DiskError> {
        self.fixed_only()?;
        match self.read(upload_errors::CODE, upload_errors::request, upload_errors::answer) {
            Err(error) if error.text.starts_with(upload_errors::NONE) => Ok(Vec::new()),
            outcome => outcome,
        }
    }

    /// 32: the device tests its network and certificate.
    ///
    /// # Errors
    /// The test failed, in the words of the device, or the line did.
    pub fn test_channel(&mut self) -> Result<(), DiskError> {
        self.fixed_only()?;
        self.verify()?;
        let data = channel::request(&self.subject()?, &self.config.certificate_password).map_err(refused_field)?;
        let data = self.command(channel::CODE, data, Carries::BothPasswords, Before::Anything).map_err(error_of)?;
        expect_empty(&data).map_err(|bad| self.misplaced(bad))
    }

    /// 17: replaces all network settings of the converter.
    pub fn set_network(&mut self, settings: &NetworkSettings) -> OperationAnswer {
        self.plain_change(network::CODE, Carries::Nothing, |_, _| network::request(settings))
    }

    /// 1D: the converter rebuilds its records of a period from the disk; from and to are days, `yyyyMMdd`.
    pub fn rebuild(&mut self, kind: InvoiceKind, from: &str, to: &str) -> OperationAnswer {
        self.plain_change(rebuild::CODE, Carries::DiskPassword, |subject, _| rebuild::request(subject, kind, from, to))
    }

    /// 18: changes the line's speed. The device says OK at the old one; then both sides go on at the new one, which has to
    /// be written into the configuration too. `Done` only after a handshake at the new speed.
    pub fn set_speed(&mut self, speed_baud: u32) -> OperationAnswer {
        let answer = self.plain_change(speed::CODE, Carries::Nothing, |_, _| speed::request(speed_baud));
        if answer != DONE {
            return answer;
        }
        let reopened = self.wire.set_speed(speed_baud).map_err(|error| error.to_string());
        match reopened.and_then(|()| self.resync().map_err(|error| error.text)) {
            Ok(()) => DONE,
            Err(why) => {
                let text = format!("the device took {speed_baud} baud and does not answer at that speed ({why})");
                OperationAnswer::InDoubt(own_error(DeviceClass::Link, text))
            }
        }
    }

    /// zflx 0 takes whatever blank is current: it must be the one that the caller has written down.
    fn still_current(&mut self, kind: InvoiceKind, expected: NumberPair) -> Result<(), DiskError> {
        let current = self.stock(kind)?.current;
        if current == expected {
            return Ok(());
        }
        let text =
            format!("the next blank is {current}, not {expected}: nothing was sent; account for the numbers between first");
        Err(own_error(DeviceClass::NumberMismatch, text))
    }

    fn void(&mut self, kind: InvoiceKind, target: Target, pair: NumberPair, operator: &str) -> OperationAnswer {
        let framing = self.config.framing;
        let request = |subject: &Subject<'_>, config: &ZcConfig| {
            let write = if framing == Framing::Xml { xml::void } else { void::request };
            write(subject, &config.certificate_password, kind, target, pair, operator)
        };
        match self.send(void::CODE, Carries::BothPasswords, request) {
            Ok(data) => match if framing == Framing::Xml { xml::voided } else { void::answer }(&data, kind, pair) {
                Ok(at) => OperationAnswer::Done { pair: Some(pair), at },
                Err(bad) => OperationAnswer::InDoubt(self.misplaced(bad)),
            },
            Err(answer) => answer,
        }
    }

    fn upload(&mut self, kind: InvoiceKind) -> OperationAnswer {
        // This look also ends a run that was started before and is through.
        let waiting = match self.offline_totals() {
            Ok(totals) => totals.count,
            Err(error) => return OperationAnswer::NotSent(error),
        };
        if waiting == 0 {
            return OperationAnswer::NotSent(own_error(DeviceClass::InvalidRequest, "no invoice waits for upload"));
        }
        if self.uploading {
            let text = format!("the upload was started before, {waiting} invoices still wait; sending it again would stop it");
            return OperationAnswer::NotSent(own_error(DeviceClass::InProgress, text));
        }
        let request = |subject: &Subject<'_>, config: &ZcConfig| upload::request(subject, kind, waiting, &config.issuer_number);
        let answer = self.plain_change(upload::CODE, Carries::DiskPassword, request);
        self.uploading = match &answer {
            OperationAnswer::NotSent(_) => false,
            OperationAnswer::InDoubt(error) => !error.text.starts_with(UPLOAD_STOPPED),
            OperationAnswer::Done { .. } => true,
        };
        answer
    }

    fn change_password(&mut self, which: PasswordKind, old: &Secret, new: &Secret) -> OperationAnswer {
        let answer = match which {
            PasswordKind::Disk => self.plain_change(password::CODE, Carries::DiskPassword, |subject, _| {
                password::request(subject.taxpayer, subject.disk, subject.machine, old, new)
            }),
            PasswordKind::Certificate => {
                self.plain_change(certificate_password::CODE, Carries::CertificatePassword, |subject, _| {
                    certificate_password::request(subject.machine, old, new)
                })
            }
        };
        if answer == DONE {
            match which {
                PasswordKind::Disk => self.config.disk_password = new.clone(),
                PasswordKind::Certificate => self.config.certificate_password = new.clone(),
            }
        }
        answer
    }

    /// COMMON55 and kpjh; as a document without kpjh.
    fn over_network(
        &mut self,
        code: u8,
        kind: InvoiceKind,
        fixed: fn(&Subject<'_>, InvoiceKind, &str) -> Result<Vec<u8>, FieldError>,
        xml: fn(&Subject<'_>, InvoiceKind) -> Result<Vec<u8>, FieldError>,
    ) -> OperationAnswer {
        self.plain_change(code, Carries::DiskPassword, |subject, config| match config.framing {
            Framing::Fixed => fixed(subject, kind, &config.issuer_number),
            Framing::Xml => xml(subject, kind),
        })
    }

    /// A changing command whose good answer is empty, or a document that says "good".
    fn plain_change(
        &mut self,
        code: u8,
        carries: Carries,
        request: impl FnOnce(&Subject<'_>, &ZcConfig) -> Result<Vec<u8>, FieldError>,
    ) -> OperationAnswer {
        let has_document = [report::CODE, clear::CODE, refresh_offline::CODE].contains(&code);
        if let (false, Err(error)) = (has_document, self.fixed_only()) {
            return OperationAnswer::NotSent(error);
        }
        let data = match self.send(code, carries, request) {
            Ok(data) => data,
            Err(answer) => return answer,
        };
        let checked = match self.config.framing {
            Framing::Fixed => expect_empty(&data),
            Framing::Xml => xml::done(&data, code),
        };
        match checked {
            Ok(()) => DONE,
            Err(bad) => OperationAnswer::InDoubt(self.misplaced(bad)),
        }
    }

    /// Sends a changing command, once, and only after everything before it went well.
    fn send(
        &mut self,
        code: u8,
        carries: Carries,
        request: impl FnOnce(&Subject<'_>, &ZcConfig) -> Result<Vec<u8>, FieldError>,
    ) -> Result<Vec<u8>, OperationAnswer> {
        self.prepare_change(None).map_err(OperationAnswer::NotSent)?;
        let subject = self.subject().map_err(OperationAnswer::NotSent)?;
        let data = request(&subject, &self.config).map_err(|error| OperationAnswer::NotSent(refused_field(error)))?;
        self.command(code, data, carries, Before::Nothing).map_err(|failure| match failure.progress {
            Progress::BeforeLastPacket => OperationAnswer::NotSent(failure.error),
            Progress::LastPacketBegun => OperationAnswer::InDoubt(failure.error),
        })
    }
}

fn error_of(failure: Failure) -> DiskError {
    failure.error
}

fn expect_empty(data: &[u8]) -> Result<(), BadAnswer> {
    if data.is_empty() {
        return Ok(());
    }
    Err(BadAnswer(format!("the answer has {} bytes, none are expected of this command", data.len())))
}

//! The changing commands besides issuing.
//!
//! Each is prepared first (the right disk, idle), sent once, and believed only on its own good answer. A refusal after the
//! last byte was sent is doubt, whatever its text says.

use std::time::Duration;

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::disk::{BotDisk, Carries, Failure, refused_field};
use crate::dialects::nisec::document::commands::fpzf::{self, Target};
use crate::dialects::nisec::document::own_error;
use crate::dialects::zc::commands::report::Route;
use crate::dialects::zc::commands::{Subject, certificate_password, clear, password, refresh_offline, report, upload};
use crate::dialects::zc::fields::FieldError;
use crate::disk::{DiskError, TaxDisk};
use crate::operation::{Operation, OperationAnswer, PasswordKind};
use crate::secret::Secret;
use crate::transport::usb::BulkDevice;
use crate::transport::usb::bot::Progress;

/// What the device says when the toggle of 16 stopped a running upload.
const UPLOAD_STOPPED: &str = "停止发票上传";

impl<D: BulkDevice> BotDisk<D> {
    pub(super) fn change(&mut self, operation: &Operation) -> OperationAnswer {
        let network = self.config.timings.network;
        let issuer = self.config.issuing.machine.clone();
        match operation {
            Operation::Void { kind, pair, net, operator } => self.void(*kind, Target::Issued(*pair, *net), operator),
            Operation::BlankVoid { kind, expected, operator } => match self.still_current(*kind, *expected) {
                Ok(()) => self.void(*kind, Target::Blank(*expected), operator),
                Err(error) => OperationAnswer::NotSent(error),
            },
            Operation::Report { kind } => self.plain_change(report::CODE, Carries::Disk, network, |subject| {
                report::request(subject, *kind, Route::Network, &issuer)
            }),
            Operation::Clear { kind } => {
                self.plain_change(clear::CODE, Carries::Disk, network, |subject| clear::request(subject, *kind, &issuer))
            }
            Operation::RefreshOffline { kind } => {
                let request = |subject: &Subject<'_>| refresh_offline::request(subject, *kind, &issuer);
                self.plain_change(refresh_offline::CODE, Carries::Disk, network, request)
            }
            Operation::Upload { kind } => self.upload(*kind, &issuer),
            Operation::ChangePassword { which, old, new } => self.change_password(*which, old, new),
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

    fn void(&mut self, kind: InvoiceKind, target: Target, operator: &str) -> OperationAnswer {
        if let Err(error) = self.prepare_change(None) {
            return OperationAnswer::NotSent(error);
        }
        let written = self.card().and_then(|card| Ok(fpzf::request(&card, &self.config.issuing, kind, target, operator)?));
        let document = match written {
            Ok(document) => document,
            Err(error) => return OperationAnswer::NotSent(error),
        };
        let answer = match self.document(&document, Carries::Both) {
            Ok(answer) => answer,
            Err(failure) => return failed(failure),
        };
        match self.believed(fpzf::answer(&answer, kind, target)) {
            Ok(voided) => OperationAnswer::Done { pair: Some(voided.pair), at: voided.at },
            Err(error) => OperationAnswer::InDoubt(error),
        }
    }

    fn upload(&mut self, kind: InvoiceKind, issuer: &str) -> OperationAnswer {
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
        let limit = self.config.timings.answer;
        let request = |subject: &Subject<'_>| upload::request(subject, kind, waiting, issuer);
        let answer = self.plain_change(upload::CODE, Carries::Disk, limit, request);
        self.uploading = match &answer {
            OperationAnswer::NotSent(_) => false,
            OperationAnswer::InDoubt(error) => !error.text.starts_with(UPLOAD_STOPPED),
            OperationAnswer::Done { .. } => true,
        };
        answer
    }

    fn change_password(&mut self, which: PasswordKind, old: &Secret, new: &Secret) -> OperationAnswer {
        let limit = self.config.timings.answer;
        let certificate = which == PasswordKind::Certificate;
        let answer = if certificate {
            self.plain_change(certificate_password::CODE, Carries::Certificate, limit, |subject| {
                certificate_password::request(subject.machine, old, new)
            })
        } else {
            self.plain_change(password::CODE, Carries::Disk, limit, |subject| {
                password::request(subject.taxpayer, subject.disk, subject.machine, old, new)
            })
        };
        if matches!(answer, OperationAnswer::Done { .. }) {
            let kept = if certificate { &mut self.config.certificate_password } else { &mut self.config.disk_password };
            *kept = new.clone();
            self.password_changed(certificate);
        }
        answer
    }

    /// A changing short command whose good answer is empty.
    fn plain_change(
        &mut self,
        code: u8,
        carries: Carries,
        limit: Duration,
        request: impl FnOnce(&Subject<'_>) -> Result<Vec<u8>, FieldError>,
    ) -> OperationAnswer {
        if let Err(error) = self.prepare_change(None) {
            return OperationAnswer::NotSent(error);
        }
        let payload = match self.subject().and_then(|subject| request(&subject).map_err(refused_field)) {
            Ok(payload) => payload,
            Err(error) => return OperationAnswer::NotSent(error),
        };
        match self.short(code, payload, carries, limit) {
            Ok(data) if data.is_empty() => OperationAnswer::Done { pair: None, at: None },
            Ok(data) => {
                let text = format!("the answer has {} bytes, none are expected of this command", data.len());
                OperationAnswer::InDoubt(self.misplaced(text))
            }
            Err(failure) => failed(failure),
        }
    }
}

fn failed(failure: Failure) -> OperationAnswer {
    match failure.progress {
        Progress::BeforeLastByte => OperationAnswer::NotSent(failure.error),
        Progress::LastByteBegun => OperationAnswer::InDoubt(failure.error),
    }
}

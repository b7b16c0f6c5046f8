//! A tax disk behind an SKServer, over any document link.
//!
//! The link has no fence: what was sent may be carried out at any later time. So nothing is sent twice, and an issuing
//! document goes out only after the current pair was read in the same call. Whether the server's query by serial means
//! serials is proven on a known invoice before any answer of it is believed ([`SkServerDisk::prove_request_query`]).

use std::time::Duration;

use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::commands::{current, issue, key, limits, purchased, query, void};
use super::config::{KnownRequest, NumberForm, SkServerConfig};
use crate::dialects::nisec::disk::{MAX_SEARCH, capabilities, last_of, missing};
use crate::dialects::nisec::document::commands::fpcx::{Range, parts};
use crate::dialects::nisec::document::commands::fpzf::Target;
use crate::dialects::nisec::document::commands::gpxxcx::Purchased;
use crate::dialects::nisec::document::{AnswerError, Document, FieldError, compare, hide_passwords, own_error};
use crate::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, IssueRequest, Limits, OfflineTotals, Search, Segment, Stock,
    TaxDisk,
};
use crate::operation::{Operation, OperationAnswer};
use crate::transport::document::{DocumentLink, Sent};

/// A serial that nobody ever issues: no scheme of ours makes it, and it holds letters, so that it is no date.
const NEVER_ISSUED: &str = "TAXDISKNEVERISSUED00";

/// What a document makes the server do with its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Uses {
    /// Reads that need none.
    Nothing,
    /// The question for the key carries it; signing makes the server use the one that it keeps.
    Password,
}

/// A tax disk behind an SKServer.
pub struct SkServerDisk<L: DocumentLink> {
    link: L,
    config: SkServerConfig,
    capabilities: Capabilities,
    /// The server said whose it is, and the link has not failed since.
    verified: bool,
    /// The query by serial was proven to this server, and the link has not failed since.
    proven: bool,
    password_refused: Option<DiskError>,
    /// Even a read was answered with a refused password: nothing at all may be sent any more.
    reads_refused: Option<DiskError>,
}

/// A document without a good answer.
struct Failure {
    sent: Sent,
    /// It answered this very document, and refused it.
    refused: bool,
    error: DiskError,
}

impl<L: DocumentLink> SkServerDisk<L> {
    /// A disk behind this link. Nothing is sent yet.
    pub fn new(link: L, config: SkServerConfig) -> SkServerDisk<L> {
        let capabilities = capabilities(config.max_lines);
        SkServerDisk { link, config, capabilities, verified: false, proven: false, password_refused: None, reads_refused: None }
    }

    /// Proves that the query by serial means serials: a known issued one must bring back its invoice, the same that its
    /// number brings, and an invented one none. From its `Ok` on [`Search::Request`] is answered and
    /// [`Capabilities::finds_request`] holds. The first [`TaxDisk::identity`] does it with
    /// [`SkServerConfig::known_request`]. After a failure of the link another server may answer, so the next question by serial
    /// begins with the same proof.
    ///
    /// # Errors
    /// The product has no such query, it means something else, or the server cannot be asked now. Nothing is proven then.
    pub fn prove_request_query(&mut self, kind: InvoiceKind, serial: &str, pair: NumberPair) -> Result<(), DiskError> {
        self.capabilities.finds_request = false;
        self.proven = false;
        if KnownRequest::could_be_dates(serial) {
            let text = "a serial of 16 digits could be read as two dates and proves nothing: take one with a letter in it";
            return Err(own_error(DeviceClass::InvalidRequest, text));
        }
        let Some(by_number) = self.query(kind, pair)? else {
            let text = format!("the server has no invoice {pair}: the proof needs one that was issued");
            return Err(own_error(DeviceClass::InvalidRequest, text));
        };
        if self.by_request(kind, serial)? != [by_number] {
            let text = format!("the server does not answer {serial} with the invoice {pair}: its query means something else");
            return Err(own_error(DeviceClass::Unsupported, text));
        }
        // A server that does not look at the serial answers this one just as well. That it refuses an unknown one is fine.
        match self.by_request(kind, NEVER_ISSUED) {
            Ok(found) if !found.is_empty() => {
                let text = "the server finds an invoice for a serial that was never used: its query means something else";
                return Err(own_error(DeviceClass::Unsupported, text));
            }
            Err(error) if error.class == DeviceClass::Link => return Err(error),
            _ => {}
        }
        self.capabilities.finds_request = true;
        self.proven = true;
        self.config.known_request = Some(KnownRequest { kind, serial: serial.to_owned(), pair });
        Ok(())
    }

    /// The proof with the invoice that is known, if there is one and such a query at all.
    fn prove_known(&mut self) -> Result<(), DiskError> {
        let (Some(KnownRequest { kind, serial, pair }), Some(_)) = (self.config.known_request.clone(), self.config.request_query)
        else {
            return Err(unproven());
        };
        self.prove_request_query(kind, &serial, pair)
    }

    /// One document. The only place that sends one.
    fn send<T>(
        &mut self,
        document: Result<Document, FieldError>,
        uses: Uses,
        within: Duration,
        answer: impl FnOnce(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<T, Failure> {
        let document = document.map_err(|error| Failure { sent: Sent::No, refused: false, error: error.into() })?;
        let span = tracing::debug_span!(
            "skserver",
            command = document.id(),
            sent_bytes = document.bytes().len(),
            received_bytes = tracing::field::Empty,
            class = tracing::field::Empty
        );
        let _entered = span.enter();
        let outcome = match self.refused_password(uses) {
            Some(error) => Err(Failure { sent: Sent::No, refused: false, error }),
            None => match self.link.call(document.bytes(), within) {
                Ok(bytes) => {
                    span.record("received_bytes", bytes.len());
                    answer(&bytes).map_err(|error| Failure {
                        sent: Sent::Maybe,
                        refused: matches!(error, AnswerError::Refused(_)),
                        error: self.told(error, uses),
                    })
                }
                Err(broken) => {
                    self.distrust();
                    Err(Failure { sent: broken.sent, refused: false, error: own_error(DeviceClass::Link, broken.text) })
                }
            },
        };
        outcome.map_err(|mut failure| {
            failure.error = hide_passwords(failure.error, &[&self.config.key_password]);
            span.record("class", failure.error.class.as_str());
            failure
        })
    }

    /// What the server said, in our terms. A refused password is remembered.
    fn told(&mut self, error: AnswerError, uses: Uses) -> DiskError {
        let bad = matches!(error, AnswerError::Bad(_));
        let error = DiskError::from(error);
        // A refused change may be that of another disk, and nothing but the key says whose server it is.
        let change = uses == Uses::Password && error.class != DeviceClass::BadPassword;
        self.verified &= !change;
        if bad || error.class == DeviceClass::NotPresent {
            self.distrust();
        }
        if error.class == DeviceClass::BadPassword {
            self.password_refused = Some(error.clone());
            if uses == Uses::Nothing {
                self.reads_refused = Some(error.clone());
            }
        }
        error
    }

    /// Who knows what is behind the link now.
    fn distrust(&mut self) {
        self.verified = false;
        self.proven = false;
    }

    /// Tries are few: nothing goes out that makes a refused password be tried again.
    fn refused_password(&self, uses: Uses) -> Option<DiskError> {
        let password = self.password_refused.as_ref().filter(|_| uses == Uses::Password);
        self.reads_refused.as_ref().or(password).cloned()
    }

    /// Asks the server whose it is, and refuses another taxpayer's.
    fn verify(&mut self) -> Result<(), DiskError> {
        let (document, within) = (key::request(&self.config.key_password), self.config.read_timeout);
        let key = self.send(document, Uses::Password, within, key::answer).map_err(|failure| failure.error)?;
        self.verified = false;
        if key.taxpayer != self.config.taxpayer {
            let text = format!("the server belongs to {}, {} is configured", key.taxpayer, self.config.taxpayer);
            return Err(own_error(DeviceClass::NotPresent, text));
        }
        if let Some(number) = self.config.key_number.as_deref().filter(|number| *number != key.number) {
            let text = format!("another key is plugged into the server: {:.20} instead of {number}", key.number);
            return Err(own_error(DeviceClass::NotPresent, text));
        }
        self.verified = true;
        Ok(())
    }

    fn ensure_verified(&mut self) -> Result<(), DiskError> {
        if self.verified { Ok(()) } else { self.verify() }
    }

    fn read<T>(
        &mut self,
        document: Result<Document, FieldError>,
        answer: impl FnOnce(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<T, Failure> {
        let within = self.config.read_timeout;
        self.send(document, Uses::Nothing, within, answer)
    }

    fn current(&mut self, kind: InvoiceKind) -> Result<NumberPair, DiskError> {
        let document = current::request(&self.config.terminal, kind);
        self.read(document, |bytes| current::answer(bytes, kind)).map_err(|failure| failure.error)
    }

    fn purchased(&mut self, kind: InvoiceKind) -> Result<Purchased, DiskError> {
        let document = purchased::request(&self.config.terminal, kind);
        self.read(document, |bytes| purchased::answer(bytes, kind)).map_err(|failure| failure.error)
    }

    fn range(&mut self, kind: InvoiceKind, range: Range) -> Result<Vec<FoundInvoice>, DiskError> {
        self.prepare_query()?;
        let document = query::by_number(&self.config.terminal, kind, self.config.number_form, range);
        let disk = self.config.disk.clone();
        let found = self.read(document, |bytes| query::numbers(bytes, kind, &disk, range)).map_err(|failure| failure.error)?;
        self.believe(found)
    }

    /// Asks by serial, proven or not.
    fn by_request(&mut self, kind: InvoiceKind, serial: &str) -> Result<Vec<FoundInvoice>, DiskError> {
        let Some(cxfs) = self.config.request_query else {
            let text = "this server is not configured for queries by serial: ask by code and number";
            return Err(DiskError::unsupported(text));
        };
        self.prepare_query()?;
        let document = query::by_request(&self.config.terminal, kind, cxfs, serial);
        let disk = self.config.disk.clone();
        let found = self.read(document, |bytes| query::request(bytes, kind, &disk, serial)).map_err(|failure| failure.error)?;
        self.believe(found)
    }

    /// After a refused password queries go on, so that what was sent can be settled; an invoice names its disk.
    fn prepare_query(&mut self) -> Result<(), DiskError> {
        if self.password_refused.is_some() { Ok(()) } else { self.ensure_verified() }
    }

    /// "No such invoice" counts from the right server only.
    fn believe(&self, found: Vec<FoundInvoice>) -> Result<Vec<FoundInvoice>, DiskError> {
        if found.is_empty() && !self.verified {
            let text = "the server finds nothing, but whose server it is cannot be asked: this says nothing about the invoice";
            return Err(own_error(DeviceClass::NotPresent, text));
        }
        Ok(found)
    }

    /// Everything before a changing document: the right server, and the pair still where the caller read it.
    fn prepare_change(&mut self, kind: InvoiceKind, expected: Option<NumberPair>) -> Result<(), DiskError> {
        // A refused password is not worth a question.
        self.refused_password(Uses::Password).map_or(Ok(()), Err)?;
        self.ensure_verified()?;
        let Some(expected) = expected else { return Ok(()) };
        let current = self.current(kind)?;
        if current != expected {
            let text = format!("the disk's next number is {current}, {expected} was expected: nothing was sent");
            return Err(own_error(DeviceClass::NumberMismatch, text));
        }
        Ok(())
    }

    fn prepare_issue(&mut self, request: &IssueRequest<'_>) -> Result<Document, DiskError> {
        // First what needs no server, so that content that cannot be sent costs it nothing.
        let (seller, config) = (request.seller, &self.config);
        if seller.disk != config.disk || seller.taxpayer != config.taxpayer {
            let text = format!("the invoice is for disk {} of {}, not for this one", seller.disk, seller.taxpayer);
            return Err(own_error(DeviceClass::NotPresent, text));
        }
        if request.invoice.lines.len() > usize::from(config.max_lines) {
            let text = format!("lines: {} lines, this disk is set to {}", request.invoice.lines.len(), config.max_lines);
            return Err(own_error(DeviceClass::InvalidRequest, text));
        }
        let document = issue::request(&config.terminal, &config.issuing, request)?;
        self.prepare_change(request.kind, Some(request.expected))?;
        Ok(document)
    }

    fn void(&mut self, kind: InvoiceKind, target: Target, operator: &str) -> OperationAnswer {
        let expected = match target {
            Target::Blank(pair) => Some(pair),
            Target::Issued(..) => None,
        };
        if let Err(error) = self.prepare_change(kind, expected) {
            return OperationAnswer::NotSent(error);
        }
        let document = void::request(&self.config.terminal, kind, target, operator);
        let within = self.config.change_timeout;
        match self.send(document, Uses::Password, within, |bytes| void::answer(bytes, kind, target)) {
            Ok(voided) => OperationAnswer::Done { pair: Some(voided.pair), at: voided.at },
            Err(Failure { sent: Sent::No, error, .. }) => OperationAnswer::NotSent(error),
            Err(Failure { sent: Sent::Maybe, error, .. }) => OperationAnswer::InDoubt(error),
        }
    }
}

fn unproven() -> DiskError {
    DiskError::unsupported(
        "the query by serial was not proven on a known invoice here, so its answer means nothing: ask by code and number",
    )
}

impl<L: DocumentLink> TaxDisk for SkServerDisk<L> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn fence(&self) -> Fence {
        Fence::None
    }

    fn dialect(&self) -> &'static str {
        "skserver"
    }

    fn longest_call(&self) -> Duration {
        // Two reads before a change, or one before the questions of a search.
        (self.config.read_timeout * 2 + self.config.change_timeout).max(self.config.read_timeout * 6)
    }

    fn resync(&mut self) -> Result<(), DiskError> {
        // Every document has its own connection, so no answer can be taken for another's: there is no line to clear.
        self.handshake()
    }

    fn handshake(&mut self) -> Result<(), DiskError> {
        let Some(kind) = self.config.kinds.first().copied() else { return self.ensure_verified() };
        match self.current(kind) {
            // It answers, and that is all that was asked.
            Err(error) if error.class == DeviceClass::NoStock => Ok(()),
            other => other.map(drop),
        }
    }

    fn identity(&mut self) -> Result<Identity, DiskError> {
        self.verify()?;
        if !self.proven && self.config.request_query.is_some() && self.config.known_request.is_some() {
            match self.prove_known() {
                Ok(()) => tracing::info!("the server's query by serial is proven on an invoice of ours"),
                Err(error) => tracing::warn!(%error, "the server's query by serial is not used"),
            }
        }
        let config = &self.config;
        Ok(Identity {
            disk: config.disk.clone(),
            taxpayer: config.taxpayer.clone(),
            taxpayer_name: config.taxpayer_name.clone(),
            kinds: config.kinds.clone(),
            clock: None,
            version: String::new(),
        })
    }

    fn stock(&mut self, kind: InvoiceKind) -> Result<Stock, DiskError> {
        self.ensure_verified()?;
        Ok(self.purchased(kind)?.stock)
    }

    fn limits(&mut self, kind: InvoiceKind) -> Result<Limits, DiskError> {
        self.ensure_verified()?;
        let document = limits::request(&self.config.terminal, kind);
        self.read(document, |bytes| limits::answer(bytes, kind)).map_err(|failure| failure.error)
    }

    fn offline_totals(&mut self) -> Result<OfflineTotals, DiskError> {
        Err(DiskError::unsupported("this server does not tell what waits for upload"))
    }

    fn issue(&mut self, request: &IssueRequest<'_>) -> IssueAnswer {
        let document = match self.prepare_issue(request) {
            Ok(document) => document,
            Err(error) => return IssueAnswer::NotSent(error),
        };
        let (kind, net, serial) = (request.kind, request.invoice.totals.net, request.request_id);
        let within = self.config.change_timeout;
        match self.send(Ok(document), Uses::Password, within, |bytes| issue::answer(bytes, kind, net, serial)) {
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
            Search::Request(_) if !self.capabilities.finds_request => Err(unproven()),
            Search::Request(serial) => {
                if !self.proven {
                    self.prove_known()?;
                }
                self.by_request(kind, serial)
            }
            Search::Last => {
                let last = last_of(&self.purchased(kind)?)?;
                self.query(kind, last)?.map(|found| vec![found]).ok_or_else(|| missing(last))
            }
            Search::Range(..) if self.config.number_form == NumberForm::CodeTildeNumber => {
                Err(DiskError::unsupported("this server answers for one number at a time: ask by code and number"))
            }
            Search::Range(code, first, last) => {
                let mut found = Vec::new();
                for part in parts(Range { code, first, last }, MAX_SEARCH)? {
                    found.extend(self.range(kind, part)?);
                }
                Ok(found)
            }
        }
    }

    fn segments(&mut self, kind: InvoiceKind) -> Result<Vec<Segment>, DiskError> {
        self.ensure_verified()?;
        let segments = self.purchased(kind)?.segments;
        if segments.is_empty() {
            return Err(DiskError::unsupported("this server does not list its segments"));
        }
        Ok(segments)
    }

    fn operate(&mut self, operation: &Operation) -> OperationAnswer {
        match operation {
            Operation::Void { kind, pair, net, operator } => self.void(*kind, Target::Issued(*pair, *net), operator),
            Operation::BlankVoid { kind, expected, operator } => self.void(*kind, Target::Blank(*expected), operator),
            _ => OperationAnswer::unsupported(operation),
        }
    }

    fn compare(&self, request: &IssueRequest<'_>, found: &FoundInvoice) -> Comparison {
        compare(request, found)
    }
}

//! An open driver within a case, with the questions that most cases ask.

use taxdisk_protocol::capabilities::Capabilities;
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::{Stand, Stop, ensure};
use crate::disk::{DiskError, Identity, IssueAnswer, IssueRequest, Red, Signed, Stock, TaxDisk};
use crate::sim::LedgerEntry;

/// The request of everything that names no other.
pub(super) const REQUEST_ID: &str = "CONFORMANCE1";

/// A driver, who its disk is, and the stand that it is on.
pub(super) struct Session<'a> {
    pub(super) stand: &'a mut dyn Stand,
    pub(super) disk: Box<dyn TaxDisk>,
    pub(super) seller: Identity,
    pub(super) kind: InvoiceKind,
}

impl<'a> Session<'a> {
    pub(super) fn open(stand: &'a mut dyn Stand) -> Result<Session<'a>, Stop> {
        let mut disk = stand.open().map_err(failed("opening it"))?;
        let seller = disk.identity().map_err(failed("reading who it is"))?;
        let kind = stand.kind();
        Ok(Session { stand, disk, seller, kind })
    }

    /// Begins again, as an agent that was ended does: the old driver lets the device go before the new one opens it.
    pub(super) fn reopen(self) -> Result<Session<'a>, Stop> {
        let Session { stand, disk, seller, kind } = self;
        drop(disk);
        stand.calm();
        let mut disk = stand.open().map_err(failed("opening it again"))?;
        disk.resync().map_err(failed("bringing the line back"))?;
        Ok(Session { stand, disk, seller, kind })
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.disk.capabilities().clone()
    }

    /// Ends a case that needs what the device does not give back.
    pub(super) fn reads_numbers(&self) -> Result<(), Stop> {
        if self.disk.capabilities().numbers_readable {
            return Ok(());
        }
        Err(Stop::NotApplicable("numbers_readable = false: the disk tells its last number only, and no content".to_owned()))
    }

    pub(super) fn stock(&mut self) -> Result<Stock, Stop> {
        self.disk.stock(self.kind).map_err(failed("reading the stock"))
    }

    pub(super) fn issue(&mut self, expected: NumberPair, invoice: &Invoice, remark: &str, red: Option<&Red>) -> IssueAnswer {
        let request =
            IssueRequest { kind: self.kind, expected, invoice, remark, seller: &self.seller, red, request_id: REQUEST_ID };
        self.disk.issue(&request)
    }

    /// Issues something that must be signed, with the expected pair and one more number in the ledger.
    pub(super) fn issue_well(&mut self, invoice: &Invoice, remark: &str, red: Option<&Red>) -> Result<Signed, Stop> {
        let (expected, before) = (self.stock()?.current, self.ledger().len());
        let answer = self.issue(expected, invoice, remark, red);
        let IssueAnswer::Signed(signed) = answer else { return Err(Stop::Fail(format!("issuing gave {answer:?}"))) };
        let entries = self.ledger();
        ensure!(signed.pair == expected, "{expected} was expected and {} signed", signed.pair);
        ensure!(entries.len() == before + 1, "one command made {} numbers", entries.len() - before);
        ensure!(entries[before].pair() == expected, "the ledger says {}", entries[before].pair());
        Ok(signed)
    }

    pub(super) fn ledger_has(&self, pair: NumberPair, fiscal_code: &str) -> bool {
        self.ledger().iter().any(|entry| entry.pair() == pair && entry.fiscal_code == fiscal_code)
    }

    pub(super) fn ledger(&self) -> Vec<LedgerEntry> {
        let mut entries = Vec::new();
        self.stand.with_disk(&mut |disk| entries = disk.ledger().entries().to_vec());
        entries
    }
}

/// A device error as the end of a case.
pub(super) fn failed(what: &'static str) -> impl Fn(DiskError) -> Stop {
    move |error| Stop::Fail(format!("{what}: {error}"))
}

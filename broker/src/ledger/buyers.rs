//! What is kept about a buyer: found, handed out, and removed where the law lets it go.
//!
//! There is no index of buyers, on purpose: it would be one more copy of what they bought. Whoever asks waits while all jobs
//! are looked through, a slice for each call.

use std::sync::Arc;

use taxdisk_protocol::api::{BuyerErased, BuyerErasure, BuyerExport, BuyerQuery, ErasureLine, InvoiceBody, JobState};
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Job;
use taxdisk_protocol::time::Timestamp;

use super::shared::unreadable;
use super::{Answer, JobFilter, Ledger, Refusal};
use crate::core::Input;
use crate::store::PAGE_JOBS;

/// Pages of jobs that one call looks through.
const PAGES: usize = 8;
/// Characters of a contact at least: fewer stand in half of all remarks.
const CONTACT_CHARS: usize = 5;
const DAY_S: i64 = 24 * 3600;

/// A question that was looked at.
struct Wanted {
    taxpayer_number: Option<String>,
    name: Option<String>,
    contact: Option<String>,
    filter: JobFilter,
}

impl Wanted {
    fn of(query: &BuyerQuery) -> Answer<Wanted> {
        let wrong = |text: String| Refusal::new("invalid_parameter", text);
        let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let wanted = Wanted {
            taxpayer_number: given(&query.taxpayer_number),
            name: given(&query.name),
            contact: given(&query.contact),
            filter: JobFilter {
                sellers: match given(&query.seller) {
                    Some(seller) => vec![seller.parse().map_err(|error| wrong(format!("seller: {error}")))?],
                    None => Vec::new(),
                },
                ..JobFilter::default()
            },
        };
        if wanted.taxpayer_number.is_none() && wanted.name.is_none() && wanted.contact.is_none() {
            return Err(wrong("give a taxpayer number, a name or a contact: nobody's data is everybody's".to_owned()));
        }
        if wanted.contact.as_ref().is_some_and(|contact| contact.chars().count() < CONTACT_CHARS) {
            return Err(wrong(format!("contact: {CONTACT_CHARS} characters at least")));
        }
        Ok(wanted)
    }

    fn fits(&self, invoice: &InvoiceBody) -> bool {
        let buyer = &invoice.buyer;
        let number = self.taxpayer_number.as_ref();
        let number =
            number.is_none_or(|number| buyer.taxpayer_number.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(number)));
        let name = self.name.as_ref().is_none_or(|name| buyer.name.trim() == name);
        let texts = [&buyer.address_phone, &buyer.bank_account, &invoice.remark];
        let contact = self.contact.as_ref().is_none_or(|contact| texts.iter().any(|text| text.contains(contact.as_str())));
        number && name && contact
    }
}

impl Ledger {
    /// The buyer's jobs in the next slice, and where it ends.
    async fn slice_of_buyer(&self, query: &BuyerQuery) -> Answer<(Vec<Arc<Job>>, Option<String>)> {
        let wanted = Wanted::of(query)?;
        let (mut found, mut cursor) = (Vec::new(), query.cursor.clone());
        for _ in 0..PAGES {
            let page = self.shared.store.jobs(&wanted.filter, cursor.as_deref(), PAGE_JOBS).await.map_err(unreadable)?;
            found.extend(page.jobs.into_iter().filter(|job| job.invoice.as_ref().is_some_and(|invoice| wanted.fits(invoice))));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok((found, cursor))
    }

    /// A copy of what is kept about a buyer; that it was asked for is entered in the broker's chain, without who he is.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_ready`.
    pub async fn export_buyer(&self, query: &BuyerQuery, by: &str) -> Answer<BuyerExport> {
        let (found, cursor) = self.slice_of_buyer(query).await?;
        let mut jobs = Vec::with_capacity(found.len());
        for job in &found {
            jobs.push(self.view(job).await?);
        }
        self.done(Input::BuyerExported { jobs: found.iter().map(|job| job.key.clone()).collect(), by: by.to_owned() }).await?;
        Ok(BuyerExport { jobs, cursor })
    }

    /// Removes invoice and evidence of a buyer's jobs, where they may go. Serial numbers, hashes and numbers stay: the same
    /// content sent again is still known, and the chain still verifies.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_ready`.
    pub async fn erase_buyer(&self, request: &BuyerErasure, by: &str) -> Answer<BuyerErased> {
        let reason: String = request.reason.trim().chars().take(1000).collect();
        if reason.is_empty() && !request.dry_run {
            return Err(Refusal::new(
                "invalid_parameter",
                "reason: say why; it is kept in the ledger, so without the buyer's name",
            ));
        }
        let (found, cursor) = self.slice_of_buyer(&request.buyer).await?;
        let (now, days) = (self.now(), self.shared.settings.keep_issued_days);
        let judged: Vec<(JobKey, Option<Kept>)> = found.iter().map(|job| (job.key.clone(), kept(job, days, now))).collect();
        let due: Vec<JobKey> = judged.iter().filter(|(_, kept)| kept.is_none()).map(|(key, _)| key.clone()).collect();
        if !request.dry_run && !due.is_empty() {
            self.done(Input::EraseContents { jobs: due, reason, by: by.to_owned() }).await?;
        }
        let line = |(key, kept): (JobKey, Option<Kept>)| ErasureLine {
            seller: key.seller.to_string(),
            serial: key.serial.to_string(),
            erased: kept.is_none() && !request.dry_run,
            until: kept.as_ref().and_then(|kept| kept.until).map(|until| until.to_string()),
            kept: kept.map(|kept| kept.why.to_owned()),
        };
        Ok(BuyerErased { jobs: judged.into_iter().map(line).collect(), cursor })
    }
}

/// Why a job's contents stay.
struct Kept {
    why: &'static str,
    until: Option<Timestamp>,
}

fn kept(job: &Job, days: u32, now: Timestamp) -> Option<Kept> {
    if job.is_live() {
        return Some(Kept { why: "open", until: None });
    }
    // Without an invoice there is nothing that the law wants kept.
    let until = job.changed_at.plus_s(i64::from(days) * DAY_S);
    let must = matches!(job.state, JobState::Issued | JobState::Voided) && now < until;
    must.then_some(Kept { why: "retention", until: Some(until) })
}

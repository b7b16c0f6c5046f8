//! What waits for a second person.

use taxdisk_protocol::api::{BulkView, JobView, ProposalView};

use super::shared::unexpected;
use super::{Answer, Ledger};
use crate::core::{Input, ProposalRow, Reply};

/// What a confirmation has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmed {
    /// The job was decided.
    Job(Box<JobView>),
    /// The bulk re-issue has begun.
    Bulk(Box<BulkView>),
    /// The decision about a ledger that went back is entered.
    Entered,
}

impl Ledger {
    /// What waits, the oldest first.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn proposals(&self) -> Answer<Vec<ProposalView>> {
        let now = self.now();
        self.look(move |core| core.proposals(now).iter().map(ProposalRow::view).collect()).await
    }

    /// What waits, the oldest first, and whether it is this one's own.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn proposals_seen_by(&self, by: &str) -> Answer<Vec<(ProposalView, bool)>> {
        let (now, by) = (self.now(), by.to_owned());
        self.look(move |core| core.proposals(now).iter().map(|row| (row.view(), core.is_own(row, &by))).collect()).await
    }

    /// Another person confirms, and it is done.
    ///
    /// # Errors
    /// `not_found`, `second_person` (whoever proposed it does not confirm it), `not_ready`, and all that what is confirmed may
    /// be refused with: it waits on then.
    pub async fn confirm(&self, id: &str, by: &str) -> Answer<Confirmed> {
        match self.ask(Input::Confirm(id.to_owned(), by.to_owned())).await? {
            Reply::Job(job) => Ok(Confirmed::Job(job)),
            Reply::Bulk(row, begins) => {
                if begins {
                    self.run_bulk(row.view.key.clone());
                }
                Ok(Confirmed::Bulk(Box::new(row.view)))
            }
            Reply::Done => Ok(Confirmed::Entered),
            _ => Err(unexpected()),
        }
    }

    /// Somebody declines it.
    ///
    /// # Errors
    /// `not_found`, `invalid_parameter` (no reason), `not_ready`.
    pub async fn decline(&self, id: &str, reason: &str, by: &str) -> Answer<()> {
        self.done(Input::Decline(id.to_owned(), reason.to_owned(), by.to_owned())).await
    }

    /// Whoever proposed it takes it back.
    ///
    /// # Errors
    /// `not_found`, `forbidden` (somebody else proposed it), `invalid_parameter` (no reason), `not_ready`.
    pub async fn withdraw(&self, id: &str, reason: &str, by: &str) -> Answer<()> {
        self.done(Input::Withdraw(id.to_owned(), reason.to_owned(), by.to_owned())).await
    }
}

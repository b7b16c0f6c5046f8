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

    /// Somebody declines it, or takes it back.
    ///
    /// # Errors
    /// `not_found`, `invalid_parameter` (no reason), `not_ready`.
    pub async fn decline(&self, id: &str, reason: &str, by: &str) -> Answer<()> {
        self.done(Input::Decline(id.to_owned(), reason.to_owned(), by.to_owned())).await
    }
}

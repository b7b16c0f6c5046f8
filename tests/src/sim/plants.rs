//! Faults that are planted on purpose: one guard of the production cores is taken out, and the simulation has to notice.

use super::knobs::{Fault, Knobs};
use super::world::Violation;

/// A planted fault.
#[derive(Debug, Clone, Copy)]
pub struct Plant {
    /// Its name in the code (`fault::planted`).
    pub name: &'static str,
    /// What is wrong with it in place.
    pub what: &'static str,
    /// Where the guard stands.
    pub place: &'static str,
    /// It shows in worlds with these faults: they are switched on.
    pub needs: &'static [Fault],
    /// And where no mark tells whose an invoice is.
    pub unmarked: bool,
}

impl Plant {
    /// The world of a seed in which it may show.
    pub fn world(&self, seed: u64) -> Knobs {
        Knobs::of(seed).with(self.needs, self.unmarked)
    }

    /// What the missing guard lets happen in the world of a seed. `None` also where it happens with the guard in place: a fault
    /// that was switched on may carry the world beyond what is claimed, and that shows nothing of the guard.
    ///
    /// `with` instead of the faults that it needs, if there are any; `behind` instead of the guard before it.
    pub fn caught(&self, seed: u64, with: &[Fault], behind: Option<&str>) -> Option<Violation> {
        let world = if with.is_empty() { self.world(seed) } else { Knobs::of(seed).with(with, false) };
        let first = behind.or(self.behind());
        let both = first.map_or_else(|| self.name.to_owned(), |first| format!("{first}+{}", self.name));
        plant(Some(&both));
        let violation = super::run(&world, false).violation;
        plant(first);
        let violation = violation.filter(|_| super::run(&world, false).violation.is_none());
        plant(None);
        violation
    }

    /// The guard that stands before this one ([`SECOND`]).
    pub fn behind(&self) -> Option<&'static str> {
        SECOND.iter().find(|(name, _)| *name == self.name).map(|(_, first)| *first)
    }

    /// Takes the guard out for this thread, and what stands before it. False: this build cannot.
    pub fn put(&self) -> bool {
        plant(Some(&self.behind().map_or_else(|| self.name.to_owned(), |first| format!("{first}+{}", self.name))))
    }
}

/// All of them.
pub const PLANTS: [Plant; 45] = [
    Plant {
        name: "resend_after_time_out",
        what: "a command whose answer is lost is sent again",
        place: "agent: core/attempt.rs",
        needs: &[Fault::AnswerLost],
        unmarked: false,
    },
    Plant {
        name: "send_before_intent",
        what: "the command goes out before its intent is durable",
        place: "agent: core/attempt.rs",
        needs: &[],
        unmarked: false,
    },
    Plant {
        name: "report_before_durable",
        what: "an outcome is told before it is durable",
        place: "agent: core/disk/answers.rs",
        needs: &[],
        unmarked: false,
    },
    Plant {
        name: "stale_answer_taken",
        what: "OK with another pair than the expected one counts as issued",
        place: "agent: core/attempt.rs",
        needs: &[Fault::StaleAnswer],
        unmarked: false,
    },
    Plant {
        name: "duplicate_is_failure",
        what: "the error text *duplicate* is taken for *not issued*",
        place: "agent: core/attempt.rs",
        needs: &[Fault::ErrorText],
        unmarked: false,
    },
    Plant {
        name: "hang_is_failure",
        what: "a driver that does not come back is taken for *not issued*",
        place: "agent: core/attempt.rs",
        needs: &[Fault::Hung],
        unmarked: false,
    },
    Plant {
        name: "numbers_not_accounted",
        what: "a command goes out although the current pair does not follow the accounted one",
        place: "agent: core/attempt.rs",
        needs: &[Fault::OtherProgram],
        unmarked: false,
    },
    Plant {
        name: "failed_query_is_absent",
        what: "a query that failed is taken for an absence",
        place: "agent: core/walk.rs",
        needs: &[Fault::AnswerLost, Fault::BadReadings],
        unmarked: false,
    },
    Plant {
        name: "no_positive_control",
        what: "an absence counts without a number that must be there",
        place: "agent: core/settle.rs",
        needs: &[Fault::AnswerLost, Fault::Blind, Fault::StaleView],
        unmarked: false,
    },
    Plant {
        name: "fence_ignored",
        what: "an absence counts although the command may still run",
        place: "agent: core/settle.rs",
        needs: &[Fault::RunsLate],
        unmarked: false,
    },
    Plant {
        name: "equal_is_adopted",
        what: "an equal invoice is adopted on a disk that others use",
        place: "agent: core/settle.rs",
        needs: &[Fault::AnswerLost, Fault::OtherProgram],
        unmarked: true,
    },
    Plant {
        name: "equal_is_proof",
        what: "equal content proves whose an invoice is",
        place: "agent: core/compare.rs",
        needs: &[Fault::AnswerLost, Fault::OtherProgram],
        unmarked: true,
    },
    Plant {
        name: "no_begin_lease",
        what: "a command goes out without the begin lease",
        place: "agent: core/mod.rs",
        needs: &[Fault::Partition],
        unmarked: false,
    },
    Plant {
        name: "old_epoch_begins",
        what: "what is staged outlives the link, and begins under an old epoch",
        place: "agent: core/disk",
        needs: &[Fault::LinkBreaks],
        unmarked: false,
    },
    Plant {
        name: "journal_silence_is_proof",
        what: "what the journal does not know was never begun",
        place: "agent: core/disk/commands.rs; broker: core/outcome.rs",
        needs: &[Fault::AgentCrash, Fault::JournalLost],
        unmarked: false,
    },
    Plant {
        name: "index_purged",
        what: "an assignment comes again after its line left the index",
        place: "agent: core/disk/commands.rs, journal/fold.rs",
        needs: &[Fault::FrameTwice],
        unmarked: false,
    },
    Plant {
        name: "outbox_lost",
        what: "what was not confirmed is not told again on the next link",
        place: "agent: link/outbox.rs, core/disk/commands.rs",
        needs: &[Fault::LinkBreaks],
        unmarked: false,
    },
    Plant {
        name: "blank_void_repeated",
        what: "the same order again voids another blank",
        place: "agent: core/disk/orders.rs, journal/fold.rs",
        needs: &[Fault::BlankVoid],
        unmarked: false,
    },
    Plant {
        name: "recounted_unread",
        what: "a ledger that went back is told *done* without a reading",
        place: "agent: core/disk/recount.rs",
        needs: &[Fault::LedgerRestored],
        unmarked: false,
    },
    Plant {
        name: "unsettled_not_looked_at",
        what: "the number of an unsettled attempt is entered as another program's",
        place: "agent: core/disk/mod.rs",
        needs: &[Fault::RunsLate],
        unmarked: false,
    },
    Plant {
        name: "entered_without_a_grant",
        what: "what is read before the grant is entered as another program's",
        place: "agent: core/disk/mod.rs",
        needs: &[Fault::Move, Fault::AnswerLost, Fault::AgentCrash],
        unmarked: true,
    },
    Plant {
        name: "entered_without_a_lease",
        what: "what is read while the broker is not heard is entered as another program's",
        place: "agent: core/disk/mod.rs",
        needs: &[Fault::Shared, Fault::AgentClone],
        unmarked: true,
    },
    Plant {
        name: "decided_is_absent",
        what: "an attempt that a person decided and a restored ledger lists again is told *not issued*",
        place: "agent: core/settle.rs",
        needs: &[Fault::LedgerRestored, Fault::Settle, Fault::NotSent],
        unmarked: true,
    },
    Plant {
        name: "settled_number_ignored",
        what: "the number that a person gave to an attempt is entered as another program's",
        place: "agent: core/disk/commands.rs",
        needs: &[Fault::LedgerLost, Fault::RunsLate, Fault::Settle],
        unmarked: false,
    },
    Plant {
        name: "forgotten_is_adopted",
        what: "an equal invoice is adopted although the ledger went back and may have forgotten whose it is",
        place: "agent: core/settle.rs",
        needs: &[Fault::LedgerRestored, Fault::Shared, Fault::AgentCrash],
        unmarked: true,
    },
    Plant {
        name: "void_is_reversed",
        what: "a red goes out although its disk shows that the original is void",
        place: "agent: core/attempt.rs",
        needs: &[Fault::LedgerRestored, Fault::JournalLost, Fault::Undo],
        unmarked: false,
    },
    Plant {
        name: "late_outcome_counts",
        what: "an outcome from somebody who does not own the disk changes the state",
        place: "broker: core/outcome.rs",
        needs: &[Fault::Partition, Fault::Move, Fault::AnswerLost],
        unmarked: false,
    },
    Plant {
        name: "late_claim_ignored",
        what: "a late outcome that names a number does not keep the job from being handed over",
        place: "broker: core/late.rs",
        needs: &[Fault::Shared, Fault::Cancel, Fault::Hung, Fault::AnswerLost],
        unmarked: false,
    },
    Plant {
        name: "unsettled_is_failure",
        what: "an unknown outcome is taken for *not issued*",
        place: "broker: core/outcome.rs",
        needs: &[],
        unmarked: false,
    },
    Plant {
        name: "lapse_requeues",
        what: "an agent that is away too long loses its job to another",
        place: "broker: core/session.rs",
        needs: &[Fault::AgentCrash],
        unmarked: false,
    },
    Plant {
        name: "no_silence_before_grant",
        what: "a disk with open attempts goes to a new agent at once",
        place: "broker: core/ownership.rs",
        needs: &[Fault::Partition, Fault::Shared, Fault::Hung],
        unmarked: false,
    },
    Plant {
        name: "two_claimants_granted",
        what: "of two claimants the newer one gets the disk",
        place: "broker: core/ownership.rs, core/disk.rs",
        needs: &[Fault::Shared],
        unmarked: false,
    },
    Plant {
        name: "number_gets_second_owner",
        what: "a number is adopted that has an owner",
        place: "broker: core/outcome.rs",
        needs: &[Fault::JournalBack, Fault::AnswerLost],
        unmarked: true,
    },
    Plant {
        name: "restore_unnoticed",
        what: "a ledger that went back goes on as if nothing were",
        place: "broker: core/reconcile.rs",
        needs: &[Fault::LedgerRestored],
        unmarked: false,
    },
    Plant {
        name: "attempts_numbered_alike",
        what: "attempts after a restore are numbered like those before",
        place: "broker: core/reconcile.rs",
        needs: &[Fault::LedgerRestored, Fault::NotSent],
        unmarked: false,
    },
    Plant {
        name: "unknown_holds_nothing",
        what: "a number of unknown origin holds no job back",
        place: "broker: core/reconcile.rs",
        needs: &[Fault::LedgerRestored, Fault::JournalLost],
        unmarked: false,
    },
    Plant {
        name: "forgotten_is_settled",
        what: "an unsettled attempt that a restored ledger forgot is taken for settled by a person",
        place: "agent: core/disk/commands.rs",
        needs: &[Fault::LedgerRestored, Fault::RunsLate],
        unmarked: false,
    },
    Plant {
        name: "undecided_is_accounted",
        what: "the accounts go on past a number that may be an open attempt's, and nobody but a journal remembers it",
        place: "agent: core/disk/answers.rs",
        needs: &[Fault::JournalLost, Fault::BrokerCrash],
        unmarked: true,
    },
    Plant {
        name: "forgotten_owner_entered",
        what: "after a restore a number is entered for an attempt that the ledger forgot, and counts as known",
        place: "broker: core/late.rs",
        needs: &[Fault::LedgerRestored, Fault::JournalLost, Fault::PowerCut, Fault::RunsLate],
        unmarked: false,
    },
    Plant {
        name: "void_forgotten",
        what: "a void that a restored ledger forgot, and an index tells, holds back no other undoing of its invoice",
        place: "broker: core/reconcile.rs",
        needs: &[Fault::LedgerRestored, Fault::Undo],
        unmarked: false,
    },
    Plant {
        name: "settle_any_revision",
        what: "a person decides a job that has changed since he looked",
        place: "broker: core/reissue.rs",
        needs: &[Fault::Settle, Fault::RunsLate],
        unmarked: false,
    },
    Plant {
        name: "settle_a_blank",
        what: "a person says that a blank number was issued",
        place: "broker: core/reissue.rs",
        needs: &[Fault::Settle, Fault::RunsLate],
        unmarked: false,
    },
    Plant {
        name: "settle_an_owned_number",
        what: "a person gives a number that has an owner to another job",
        place: "broker: core/reissue.rs",
        needs: &[Fault::Settle, Fault::RunsLate],
        unmarked: false,
    },
    Plant {
        name: "original_undone_twice",
        what: "one invoice is voided and reversed, or twice",
        place: "broker: core/original.rs",
        needs: &[Fault::Undo],
        unmarked: false,
    },
    Plant {
        name: "other_content_repeated",
        what: "other content under a known serial number is answered like the same",
        place: "broker: core/accept.rs",
        needs: &[],
        unmarked: false,
    },
];

/// Guards that stand behind another one: as long as that one holds, nothing is left for them to catch. They show in worlds that
/// are clean with the other one out, and are not with both.
pub const SECOND: [(&str, &str); 1] = [("late_claim_ignored", "two_claimants_granted")];

/// Puts a fault in place for this thread (several: joined by `+`), or takes all out. False: this build has none.
pub fn plant(name: Option<&str>) -> bool {
    let agent = taxdisk_agent::fault::plant(name);
    let broker = taxdisk_broker::fault::plant(name);
    agent && broker
}

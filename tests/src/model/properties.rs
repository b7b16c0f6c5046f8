//! What must hold in every state, and what must be reached in some.

use stateright::Property;
use taxdisk_protocol::api::JobState;

use super::calm::{all_ended, calm};
use super::world::{AGENTS, Control, Outcome, Row, World};
use super::{Fence, Model, any_row};

/// Names of what must always hold, by the invariants of ARCHITECTURE.md.
pub const I1: &str = "I1 at most one invoice a job";
pub const I2: &str = "I2 an outcome is offered until somebody has confirmed it";
pub const I2_ENDS: &str = "I2 once faults stop, every job ends";
pub const I3_ISSUED: &str = "I3 what is issued has its invoice";
pub const I3_FREE: &str = "I3 what is free to be issued has no invoice, and nothing of it runs";
pub const I4: &str = "I4 no attempt goes to the disk twice, after its proof, or beside an earlier one";
pub const I7_EPOCH: &str = "I7 epochs of commands only grow";
pub const I7_OWNER: &str = "I7 only the owner's word changes a job";
pub const I8: &str = "I8 what is told is durable, and so is the intent before a command";
pub const I9: &str = "I9 no event is made that the job refuses";
pub const I10: &str = "I10 a number has one owner";

fn of_jobs(world: &World, holds: impl Fn(usize) -> bool) -> bool {
    (0..world.ledger.jobs.len()).all(holds)
}

fn one_invoice(_: &Model, world: &World) -> bool {
    of_jobs(world, |job| world.disk.count(job) <= 1)
}

fn issued_is_true(_: &Model, world: &World) -> bool {
    of_jobs(world, |job| {
        let known = world.ledger.numbers[job];
        (world.ledger.jobs[job].state == JobState::Issued) == known.is_some()
            && (known.is_none() || known == world.disk.number_of(job))
    })
}

fn free_is_true(_: &Model, world: &World) -> bool {
    of_jobs(world, |job| {
        let runs = world.disk.pending.iter().any(|attempt| super::job_of(attempt) == job);
        !world.ledger.jobs[job].is_free() || (world.disk.count(job) == 0 && !runs)
    })
}

/// What an agent knows of an attempt that is open in the ledger, lies in its outbox, or its owner is or will be asked.
fn outcomes_are_kept(_: &Model, world: &World) -> bool {
    let owner = world.broker.owner;
    (0..AGENTS).all(|agent| {
        let journal = &world.agents[agent].journal;
        (0..).zip(&journal.outcomes).all(|(attempt, outcome)| {
            let is_open = world.ledger.rows[usize::from(attempt)].is_open();
            let told_late = owner != Some(agent as u8) || world.broker.asked.has(attempt) || world.ledger.named.has(attempt);
            !(is_open && outcome.is_final()) || journal.outbox.has(attempt) || told_late
        })
    })
}

fn told_is_durable(_: &Model, world: &World) -> bool {
    !world.breaches.not_durable
}

fn numbers_have_one_owner(_: &Model, world: &World) -> bool {
    let numbers = world.ledger.numbers;
    of_jobs(world, |job| numbers[job].is_none() || numbers.iter().filter(|other| **other == numbers[job]).count() == 1)
}

fn epochs_grow(_: &Model, world: &World) -> bool {
    let known = world.ledger.epoch;
    let granted = |control: &Option<Control>| match control {
        Some(Control::Grant { epoch, .. }) => *epoch,
        Some(Control::Deny) | None => 0,
    };
    let held =
        world.agents.iter().filter_map(|agent| agent.process.epoch).chain(world.wires.iter().map(|wire| granted(&wire.control)));
    !world.breaches.epoch_back && held.into_iter().all(|epoch| epoch <= known)
}

fn ends(model: &Model, world: &World) -> bool {
    calm(model, world).is_some_and(|end| all_ended(model, &end))
}

fn is_unsettled(world: &World) -> bool {
    world.ledger.jobs.iter().any(|job| job.state == JobState::Unsettled)
}

/// All properties of a model.
pub fn all(model: &Model) -> Vec<Property<Model>> {
    let mut all = vec![
        Property::always(I1, one_invoice),
        Property::always(I2, outcomes_are_kept),
        Property::always(I3_ISSUED, issued_is_true),
        Property::always(I3_FREE, free_is_true),
        Property::always(I4, |_, world: &World| !world.breaches.ran_again),
        Property::always(I7_EPOCH, epochs_grow),
        Property::always(I7_OWNER, |_, world: &World| !world.breaches.word_of_another),
        Property::always(I8, told_is_durable),
        Property::always(I9, |_, world: &World| !world.breaches.refused),
        Property::always(I10, numbers_have_one_owner),
        // Without these it might hold because nothing happens.
        Property::sometimes("all issued", |model: &Model, world: &World| {
            world.ledger.jobs[..model.bound.jobs].iter().all(|job| job.state == JobState::Issued)
        }),
        Property::sometimes("unsettled", |_, world: &World| is_unsettled(world)),
        Property::sometimes("given back", |_, world: &World| any_row(world, Row::GivenBack)),
        Property::sometimes("settled by reading", |_, world: &World| any_row(world, Row::Found)),
        Property::sometimes("settled by hand", |_, world: &World| any_row(world, Row::ByHand)),
        Property::sometimes("lapsed", |_, world: &World| {
            let known = |attempt: usize| world.agents.iter().any(|agent| agent.journal.outcomes[attempt] != Outcome::None);
            (0..).zip(&world.ledger.rows).any(|(attempt, row)| *row == Row::Unsettled && !known(attempt))
        }),
        Property::sometimes("withheld", |_, world: &World| {
            let withheld = |agent: &super::world::Agent| {
                let given_back = Outcome::GivenBack { read: false };
                agent.journal.intents.iter().any(|attempt| agent.journal.outcomes[usize::from(attempt)] == given_back)
            };
            world.agents.iter().any(withheld)
        }),
        Property::sometimes("moved, and issued there", |_, world: &World| {
            world.agents[1].journal.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Issued(_)))
        }),
        Property::sometimes("read by an agent that never had the attempt", |_, world: &World| {
            let journal = &world.agents[1].journal;
            (0..).zip(&journal.outcomes).any(|(attempt, outcome)| outcome.has_read() && !journal.intents.has(attempt))
        }),
        Property::sometimes("two claimants", |_, world: &World| world.broker.claims == [true; AGENTS]),
        Property::sometimes("a late outcome names a number", |_, world: &World| !world.ledger.named.is_empty()),
        Property::sometimes("a disk waits for silence", |_, world: &World| {
            let other = |former: super::world::Former| world.broker.claims[usize::from(1 - former.agent)] && !former.silent;
            world.broker.owner.is_none() && world.broker.former.is_some_and(other)
        }),
        Property::sometimes("executed when nobody waits any more", |_, world: &World| {
            let waits = |attempt: u8| world.agents.iter().any(|agent| agent.process.run.attempt() == Some(attempt));
            let known =
                |attempt: u8| world.agents.iter().any(|agent| agent.journal.outcomes[usize::from(attempt)].number().is_some());
            world.disk.signed.iter().flatten().any(|attempt| !waits(*attempt) && !known(*attempt))
        }),
    ];
    if model.bound.refusals > 0 {
        all.push(Property::sometimes("failed", |_, world: &World| {
            world.ledger.jobs.iter().any(|job| job.state == JobState::Failed)
        }));
    }
    if model.fence == Fence::None {
        all.push(Property::sometimes("unsettled while its command still runs", |_, world: &World| {
            is_unsettled(world) && !world.disk.pending.is_empty()
        }));
    }
    if model.ends {
        all.push(Property::always(I2_ENDS, ends));
    }
    all
}

//! What happens once faults stop: everybody does what is to be done, one step after the other, until nothing is left to do.
//!
//! A safe system that stands still is worth nothing. From every state that faults can lead to, the jobs must come to an
//! end without another fault, or use up the attempts that the bound gives them.

use stateright::Model as _;
use taxdisk_protocol::api::JobState;

use super::world::World;
use super::{Action, Model};

/// Steps after which a calm world is taken to go in circles.
const STEPS_MAX: usize = 300;

/// Where a calm world ends; `None`: it goes in circles.
pub fn calm(model: &Model, world: &World) -> Option<World> {
    let mut world = *world;
    let mut actions = Vec::new();
    for _ in 0..STEPS_MAX {
        actions.clear();
        model.actions(&world, &mut actions);
        actions.retain(|action| !action.is_fault());
        // Who waits for an answer gets it, if it comes; time passes only when nothing else happens.
        actions.sort_by_key(|action| match action {
            Action::LinkDies(_) | Action::TimeOut(_) | Action::Silence | Action::ByHand(_) | Action::Reissue(_) => 1,
            Action::Lapse => 2,
            _ => 0,
        });
        let next = actions.iter().map(|action| model.step(&world, *action)).find(|after| *after != world);
        match next {
            Some(after) => world = after,
            None => return Some(world),
        }
    }
    None
}

/// Has every job ended, as far as the bound lets it?
pub fn all_ended(model: &Model, world: &World) -> bool {
    (0..model.bound.jobs).all(|job| {
        let spent = world.ledger.tries[job] >= model.bound.tries;
        match world.ledger.jobs[job].state {
            JobState::Issued => true,
            JobState::Queued | JobState::Failed => spent,
            _ => false,
        }
    })
}

//! Breaks and mends the network and the processes of a world, as its plan says.

use std::time::Duration;

use turmoil::Sim;

use super::plan::{Peer, Trouble, Way, What};
use super::world::World;

/// From the moment at which nothing comes through a link any more until both ends have let go of it: an agent's next ping goes
/// out within 20 s and waits 60 s for its answer; the hub waits 60 s for anything. The rest is for the farewell and for noticing.
const APART: Duration = Duration::from_secs(80 + 6);

/// Name of an agent's host.
pub(crate) fn agent(index: usize) -> String {
    format!("agent{index}")
}

fn host(peer: Peer) -> String {
    match peer {
        Peer::Agent(index) => agent(index),
        Peer::Merchant => "merchant".to_owned(),
    }
}

/// What is broken at present.
pub(crate) struct Faults {
    world: World,
    /// Not begun yet, the next one last.
    coming: Vec<Trouble>,
    /// Not mended yet.
    present: Vec<Trouble>,
    /// A link and when both its ends must have let go of it.
    apart: Vec<(Duration, usize)>,
}

impl Faults {
    /// Those of the world's plan.
    pub(crate) fn new(world: World) -> Faults {
        let coming = world.plan().troubles.iter().rev().cloned().collect();
        Faults { world, coming, present: Vec::new(), apart: Vec::new() }
    }

    /// Does what is due before the next step.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        self.apart.retain(|(at, agent)| {
            if *at <= now {
                self.world.note_at(now, "faults", &format!("both ends of the link of agent {agent} must have let go"));
                self.world.must_be_apart(*agent);
            }
            *at > now
        });
        let ended = |trouble: &Trouble| Duration::from_millis(trouble.until_ms) <= now;
        let (over, present) = std::mem::take(&mut self.present).into_iter().partition(ended);
        self.present = present;
        let over: Vec<Trouble> = over;
        for trouble in over {
            self.world.note_at(now, "faults", &format!("mended: {:?}", trouble.what));
            self.mend(sim, &trouble.what);
        }
        while self.coming.last().is_some_and(|trouble| Duration::from_millis(trouble.from_ms) <= now) {
            let Some(trouble) = self.coming.pop() else { break };
            self.world.note_at(now, "faults", &format!("broken: {:?}", trouble.what));
            self.damage(sim, &trouble.what);
            if now + APART < Duration::from_millis(trouble.until_ms) {
                let silenced = trouble.what.silenced(self.world.plan().agents);
                self.apart.extend(silenced.into_iter().map(|agent| (now + APART, agent)));
            }
            self.present.push(trouble);
        }
        for trouble in &self.present {
            if let What::HoldOneWay(peer, way) = trouble.what {
                let_through(sim, &host(peer), way);
            }
        }
    }

    fn damage(&self, sim: &mut Sim<'_>, what: &What) {
        match what {
            What::Cut(peer) => sim.partition(host(*peer), "broker"),
            What::CutOneWay(peer, Way::Up) => sim.partition_oneway(host(*peer), "broker"),
            What::CutOneWay(peer, Way::Down) => sim.partition_oneway("broker", host(*peer)),
            What::Hold(peer) | What::HoldOneWay(peer, _) => sim.hold(host(*peer), "broker"),
            What::Slow(peer, ms) => sim.set_link_latency(host(*peer), "broker", Duration::from_millis(*ms)),
            What::BrokerDies => self.broker_dies(sim),
            What::BrokerVanishes => {
                self.peers().for_each(|peer| sim.partition(host(peer), "broker"));
                self.broker_dies(sim);
            }
            What::AgentDies(index) => self.agent_dies(sim, *index),
            What::AgentVanishes(index) => {
                sim.partition(agent(*index), "broker");
                self.agent_dies(sim, *index);
            }
        }
    }

    /// What is released is healthy again too.
    fn mend(&self, sim: &mut Sim<'_>, what: &What) {
        match what {
            What::Cut(peer) | What::CutOneWay(peer, _) | What::Hold(peer) | What::HoldOneWay(peer, _) => {
                sim.release(host(*peer), "broker");
            }
            What::Slow(peer, _) => {
                let usual = Duration::from_millis(self.world.plan().latency_ms);
                sim.set_link_latency(host(*peer), "broker", usual);
            }
            What::BrokerDies => sim.bounce("broker"),
            What::BrokerVanishes => {
                self.peers().for_each(|peer| sim.release(host(peer), "broker"));
                sim.bounce("broker");
            }
            What::AgentDies(index) => sim.bounce(agent(*index)),
            What::AgentVanishes(index) => {
                sim.release(agent(*index), "broker");
                sim.bounce(agent(*index));
            }
        }
    }

    fn peers(&self) -> impl Iterator<Item = Peer> {
        (0..self.world.plan().agents).map(Peer::Agent).chain([Peer::Merchant])
    }

    fn broker_dies(&self, sim: &mut Sim<'_>) {
        self.world.sockets().die();
        sim.crash("broker");
        self.world.broker_gone();
    }

    fn agent_dies(&self, sim: &mut Sim<'_>, index: usize) {
        self.world.pc(index).sockets.die();
        sim.crash(agent(index));
        self.world.pc(index).gone();
    }
}

/// Of what is held on a link, one direction goes on.
fn let_through(sim: &Sim<'_>, peer: &str, held: Way) {
    let (peer, broker) = (sim.lookup(peer), sim.lookup("broker"));
    let open = match held {
        Way::Up => (broker, peer),
        Way::Down => (peer, broker),
    };
    sim.links(|links| {
        for sent in links.flatten() {
            let (from, to) = sent.pair();
            if (from.ip(), to.ip()) == open {
                sent.deliver();
            }
        }
    });
}

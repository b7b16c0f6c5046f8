//! What is done to the world from outside: networks, processes, drives, cables, clocks.

use super::knobs::Fault;
use super::trace::Lane;
use super::world::{Event, World};

/// An hour, milliseconds.
const HOUR_MS: i64 = 3_600_000;

impl World {
    pub(super) fn next_trouble(&mut self) {
        let ms = self.dice.between(1, self.knobs.trouble_every_ms * 2);
        self.after(ms, Event::Trouble);
    }

    /// One of the faults that this world has.
    pub(super) fn trouble(&mut self) {
        if self.calm {
            return;
        }
        self.next_trouble();
        let Some(fault) = self.dice.pick(&self.knobs.faults).copied() else { return };
        let pc = self.dice.below(self.pcs.len() as u64) as usize;
        let device = self.dice.below(self.devices.len() as u64) as usize;
        let now = self.now;
        let name = match fault {
            Fault::LinkBreaks => self.break_link(pc).then_some("link_breaks"),
            Fault::Partition => {
                let ms = self.dice.between(1_000, 200_000);
                let (up, down) = (self.dice.chance(700), self.dice.chance(700));
                self.note(Lane::Fault, || format!("PC {pc} is cut off for {ms} ms (up {up}, down {down})"));
                if up {
                    self.pcs[pc].up_cut_until = now + ms;
                }
                if down || !up {
                    self.pcs[pc].down_cut_until = now + ms;
                }
                Some("partition")
            }
            Fault::AgentCrash => self.down(pc, "agent_crash"),
            Fault::JournalLost => {
                let crashed = self.down(pc, "journal_lost");
                if crashed.is_some() {
                    let id = self.dice.roll();
                    self.pcs[pc].lose_journal(id);
                    self.note(Lane::Fault, || format!("the journal of PC {pc} is lost"));
                }
                crashed
            }
            Fault::JournalBack => match self.pcs[pc].copy.take() {
                None => {
                    self.pcs[pc].back_up();
                    None
                }
                Some((journal, join)) => {
                    let crashed = self.down(pc, "journal_back");
                    if crashed.is_some() {
                        (self.pcs[pc].journal, self.pcs[pc].join) = (journal, join);
                        self.note(Lane::Fault, || format!("the journal of PC {pc} is one of before"));
                    }
                    crashed
                }
            },
            Fault::BrokerCrash => {
                let ms = self.dice.between(200, 60_000);
                let crashed = self.crash_broker();
                self.after(ms, Event::BrokerUp);
                crashed.then_some("broker_crash")
            }
            Fault::LedgerRestored | Fault::LedgerLost => match self.broker.copy {
                // A copy from before a disk was first seen knows nothing of it; see decision 16.
                None if self.devices.iter().all(|device| self.broker.store.knows_numbers_of(&device.number)) => {
                    self.broker.copy = Some(self.broker.store.clone());
                    None
                }
                None => None,
                Some(_) => {
                    let marked = fault == Fault::LedgerRestored;
                    self.put_back(marked);
                    self.broker.copy = None;
                    Some(if marked { "ledger_restored" } else { "ledger_lost" })
                }
            },
            Fault::Busy => {
                self.devices[device].busy_until_ms = now + self.dice.between(1_000, 60_000);
                Some("busy")
            }
            Fault::Blind => {
                let until_ms = now + self.dice.between(1_000, 120_000);
                self.devices[device].go_blind(until_ms);
                Some("blind")
            }
            Fault::OtherProgram => {
                for _ in 0..self.dice.between(1, 3) {
                    let equal = self.dice.chance(500);
                    self.note(Lane::Fault, || format!("another program issues on disk {device} (equal: {equal})"));
                    self.devices[device].other_program(equal);
                }
                Some("other_program")
            }
            Fault::Unplug => self.pull(device, false).then_some("unplug"),
            Fault::Move => self.pull(device, true).then_some("move"),
            Fault::Shared => self.share(device).then_some("shared"),
            Fault::Locked => {
                self.devices[device].locked = true;
                Some("locked")
            }
            Fault::Sleep => {
                let ms = self.dice.between(5_000, 600_000);
                let awake = self.pcs[pc].is_awake();
                if awake {
                    self.note(Lane::Fault, || format!("PC {pc} sleeps for {ms} ms"));
                    self.sleep(pc, ms);
                }
                awake.then_some("sleep")
            }
            Fault::ClockJump => {
                let far = [2_000, 60_000, HOUR_MS, 24 * HOUR_MS];
                let ms = *self.dice.pick(&far).unwrap_or(&1);
                let ms = if self.dice.chance(500) { ms } else { -ms };
                self.broker.skew_ms += ms;
                self.note(Lane::Fault, || format!("the broker's clock jumps by {ms} ms"));
                Some("clock_jump")
            }
            Fault::AgentClone => self.clone_agent().then_some("agent_clone"),
            Fault::PowerCut => self.power_cut().then_some("power_cut"),
            // These happen on the way, at a disk, or by people.
            _ => None,
        };
        if let Some(name) = name {
            self.trace.fault(name);
        }
    }

    /// An agent goes down, and comes back: mostly soon, sometimes after a longer time than an attempt may wait.
    fn down(&mut self, pc: usize, name: &'static str) -> Option<&'static str> {
        let power = self.dice.chance(500);
        let long = self.dice.chance(100);
        let ms = if long { self.dice.between(900_000, 1_500_000) } else { self.dice.between(100, 90_000) };
        let crashed = self.crash_pc(pc, power);
        if crashed {
            self.after(ms, Event::PcUp { pc });
        }
        crashed.then_some(name)
    }

    /// The power of the whole site goes: everything that runs dies at one moment.
    pub(super) fn power_cut(&mut self) -> bool {
        self.note(Lane::Fault, || "the power of the whole site goes".to_owned());
        let mut died = self.crash_broker();
        if died {
            let ms = self.dice.between(200, 60_000);
            self.after(ms, Event::BrokerUp);
        }
        let lost = self.knobs.on(Fault::JournalLost) && self.dice.chance(500);
        let lost = lost.then(|| self.dice.below(self.pcs.len() as u64) as usize);
        for pc in 0..self.pcs.len() {
            if !self.crash_pc(pc, true) {
                continue;
            }
            died = true;
            if lost == Some(pc) {
                let id = self.dice.roll();
                self.pcs[pc].lose_journal(id);
                self.trace.fault("journal_lost");
                self.note(Lane::Fault, || format!("the journal of PC {pc} is lost"));
            }
            let ms = self.dice.between(100, 90_000);
            self.after(ms, Event::PcUp { pc });
        }
        died
    }

    fn pull(&mut self, device: usize, moves: bool) -> bool {
        let Some((pc, port)) = self.devices[device].reached_from.first().copied() else { return false };
        self.devices[device].unplug(self.now);
        self.look_at_disk(device);
        let ms = self.dice.between(50, 60_000);
        let (to, port) = if moves {
            let to = self.dice.below(self.pcs.len() as u64) as usize;
            (to, self.dice.below(self.devices.len() as u64) as usize)
        } else {
            (pc, port)
        };
        self.note(Lane::Fault, || format!("disk {device} is pulled out of PC {pc}, and goes to PC {to}, port {port}"));
        self.after(ms, Event::Plug { device, pc: to, port });
        true
    }

    pub(super) fn plug(&mut self, device: usize, pc: usize, port: usize) {
        let taken =
            self.devices.iter().enumerate().any(|(other, known)| other != device && known.reached_from.contains(&(pc, port)));
        if taken {
            return self.after(1_000, Event::Plug { device, pc, port: (port + 1) % self.devices.len() });
        }
        if self.calm && !self.devices[device].reached_from.is_empty() {
            return;
        }
        self.note(Lane::Fault, || format!("disk {device} is plugged into PC {pc}, port {port}"));
        self.devices[device].reached_from = vec![(pc, port)];
    }

    /// Another PC reaches the disk too, for a while.
    fn share(&mut self, device: usize) -> bool {
        let reached = &self.devices[device].reached_from;
        let [home] = reached[..] else { return false };
        let free = |pc: usize, port: usize| self.devices.iter().all(|known| !known.reached_from.contains(&(pc, port)));
        let places: Vec<(usize, usize)> = (0..self.pcs.len())
            .flat_map(|pc| (0..self.devices.len()).map(move |port| (pc, port)))
            .filter(|(pc, port)| *pc != home.0 && free(*pc, *port))
            .collect();
        let Some(place) = self.dice.pick(&places).copied() else { return false };
        self.note(Lane::Fault, || format!("disk {device} is reached from PC {} too", place.0));
        self.devices[device].reached_from.push(place);
        let (ms, stays) = (self.dice.between(2_000, 200_000), if self.dice.chance(500) { home } else { place });
        self.after(ms, Event::Plug { device, pc: stays.0, port: stays.1 });
        true
    }

    /// The last PC begins as a copy of the first one, or ends.
    fn clone_agent(&mut self) -> bool {
        let clone = self.pcs.len() - 1;
        if self.pcs[clone].is_up() {
            return self.crash_pc(clone, true);
        }
        let (before, last) = self.pcs.split_at_mut(clone);
        last[0].become_copy_of(&before[0]);
        self.note(Lane::Fault, || format!("PC {clone} begins as a copy of PC 0"));
        self.after(100, Event::PcUp { pc: clone });
        true
    }

    /// The last PC has the part of a copy.
    pub(super) fn is_copy(&self, pc: usize) -> bool {
        self.knobs.on(Fault::AgentClone) && pc > 0 && pc + 1 == self.pcs.len()
    }

    /// Faults stop, and what is broken is mended. Copies of PCs are switched off for good.
    pub(super) fn become_calm(&mut self) {
        self.calm = true;
        self.note(Lane::Fault, || "from here on nothing goes wrong".to_owned());
        let last = self.pcs.len() - 1;
        let has_clone = self.is_copy(last);
        if has_clone {
            self.crash_pc(last, false);
        }
        let real = self.pcs.len() - usize::from(has_clone);
        for device in 0..self.devices.len() {
            let home = (device % real, device);
            if self.devices[device].reached_from != [home] {
                self.devices[device].unplug(self.now);
                self.look_at_disk(device);
                self.devices[device].reached_from = vec![home];
            }
            self.devices[device].mend();
        }
        for pc in 0..real {
            (self.pcs[pc].up_cut_until, self.pcs[pc].down_cut_until) = (0, 0);
            if self.pcs[pc].is_up() {
                if self.pcs[pc].asleep_until > 0 {
                    self.pcs[pc].asleep_until = self.now;
                    self.wake(pc);
                }
            } else {
                self.start_pc(pc);
            }
        }
        self.start_broker();
    }
}
